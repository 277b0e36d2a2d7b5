//! Every refusal, with its stable code, its sentence and its remedy.
//!
//! A refusal is a value; all that apply are listed, never only the first; and every `match` over
//! them is exhaustive, so that a new one forces a decision everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rule's "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// An authority names the volume, or the directory is the same inode as a held volume's.
    Held,
    /// An operation on it is pending.
    PendingOperation,
    /// A checkpoint file, provider state, `task.info` or the agent's answer could not be trusted.
    AuthorityUnknown,
    /// The checkpoint is missing or empty, or everything went across an agent start.
    AuthorityEmpty,
    /// Named only by the file of lower precedence.
    StaleGeneration,
    /// The agent answers 503 while it recovers.
    AgentRecovering,
    /// The agent's answer hides roles from our principal.
    RoleHidden,
    /// `agent.require` is set and the agent is down.
    AgentRequired,
    /// A running agent of a version that commits before it deletes may still be deleting.
    AgentDeleting,
    /// Processes, their mounts or their open files could not all be read.
    HoldersUnknown,
    /// The volume is mounted somewhere.
    InUseMount,
    /// A process has something in it open, mapped, or as its directory.
    InUseFd,
    /// A task that has not ended was given the volume.
    InUseTask,
    /// Something is mounted inside it.
    MountInside,
    /// It is a symbolic link.
    Symlink,
    /// It is not at depth 2 below `volumes/roles`, or its name can't be a volume's.
    NotAVolumePath,
    /// It lies on another file system than its root.
    WrongFilesystem,
    /// The file system is not the one that was known under this root.
    FingerprintMismatch,
    /// The file system is smaller than what is advertised of it.
    FilesystemShrunk,
    /// The file system refuses writes since an error, or was shut down.
    FilesystemFailed,
    /// The block device below the mounted file system is gone.
    DeviceGone,
    /// The root was first met with directories of held volumes missing.
    RootUnverified,
    /// The root's file system gives no UUID or no file handle.
    NoIdentity,
    /// The root is not there, or not mounted.
    NotMounted,
    /// Nothing shows that the root belongs to this agent.
    ForeignRoot,
    /// An agent on this host sees something else under the root, or also uses its file system.
    OtherView,
    /// The root is on a network file system.
    NetworkFilesystem,
    /// The root's file system is read-only.
    ReadOnly,
    /// An orphan that was not sighted twice at least `grace` of lived time apart.
    GracePeriod,
    /// A `protect` glob matches it.
    Protected,
    /// Too many unwitnessed steps in 24 hours.
    Brake,
    /// A MOUNT disk can't be kept from Mesos while it is emptied.
    NoBarrier,
    /// `sweep.orphans = "report"`.
    ReportOnly,
    /// A trash entry whose retention has not passed.
    Retention,
    /// A trash entry whose volume is named again, or whose place is taken.
    Contested,
    /// A trash entry whose destroy the agent has not confirmed.
    Unconfirmed,
    /// An operator wants it kept: it was restored from the trash, or adopted.
    Adopted,
    /// A trash entry whose wipe has begun: there is nothing whole to restore.
    HalfWiped,
    /// A trash entry whose manifest is damaged, or of another machine or work_dir.
    ForeignTrash,
    /// Another process holds the lock of the root.
    RootLocked,
    /// The wipe mode can't be carried out there, or can't promise there what it says.
    ModeRefused,
}

/// What a refusal means for the exit status of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The volume is simply to be kept, or its time has not come: exit 0.
    Expected,
    /// A destroy or an overdue orphan is held back by something that an operator should see:
    /// exit 5.
    Blocking,
}

impl Refusal {
    /// Every refusal, in the order of their codes' documentation.
    pub const ALL: [Self; 41] = [
        Self::Held,
        Self::PendingOperation,
        Self::AuthorityUnknown,
        Self::AuthorityEmpty,
        Self::StaleGeneration,
        Self::AgentRecovering,
        Self::RoleHidden,
        Self::AgentRequired,
        Self::AgentDeleting,
        Self::HoldersUnknown,
        Self::InUseMount,
        Self::InUseFd,
        Self::InUseTask,
        Self::MountInside,
        Self::Symlink,
        Self::NotAVolumePath,
        Self::WrongFilesystem,
        Self::FingerprintMismatch,
        Self::FilesystemShrunk,
        Self::FilesystemFailed,
        Self::DeviceGone,
        Self::RootUnverified,
        Self::NoIdentity,
        Self::NotMounted,
        Self::ForeignRoot,
        Self::OtherView,
        Self::NetworkFilesystem,
        Self::ReadOnly,
        Self::GracePeriod,
        Self::Protected,
        Self::Brake,
        Self::NoBarrier,
        Self::ReportOnly,
        Self::Retention,
        Self::Contested,
        Self::Unconfirmed,
        Self::Adopted,
        Self::HalfWiped,
        Self::ForeignTrash,
        Self::RootLocked,
        Self::ModeRefused,
    ];

    /// The stable code that operators, logs and metrics see.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::PendingOperation => "pending_operation",
            Self::AuthorityUnknown => "authority_unknown",
            Self::AuthorityEmpty => "authority_empty",
            Self::StaleGeneration => "stale_generation",
            Self::AgentRecovering => "agent_recovering",
            Self::RoleHidden => "role_hidden",
            Self::AgentRequired => "agent_required",
            Self::AgentDeleting => "agent_deleting",
            Self::HoldersUnknown => "holders_unknown",
            Self::InUseMount => "in_use_mount",
            Self::InUseFd => "in_use_fd",
            Self::InUseTask => "in_use_task",
            Self::MountInside => "mount_inside",
            Self::Symlink => "symlink",
            Self::NotAVolumePath => "not_a_volume_path",
            Self::WrongFilesystem => "wrong_filesystem",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::FilesystemShrunk => "filesystem_shrunk",
            Self::FilesystemFailed => "filesystem_failed",
            Self::DeviceGone => "device_gone",
            Self::RootUnverified => "root_unverified",
            Self::NoIdentity => "no_identity",
            Self::NotMounted => "not_mounted",
            Self::ForeignRoot => "foreign_root",
            Self::OtherView => "other_view",
            Self::NetworkFilesystem => "network_filesystem",
            Self::ReadOnly => "read_only",
            Self::GracePeriod => "grace_period",
            Self::Protected => "protected",
            Self::Brake => "brake",
            Self::NoBarrier => "no_barrier",
            Self::ReportOnly => "report_only",
            Self::Retention => "retention",
            Self::Contested => "contested",
            Self::Unconfirmed => "unconfirmed",
            Self::Adopted => "adopted",
            Self::HalfWiped => "half_wiped",
            Self::ForeignTrash => "foreign_trash",
            Self::RootLocked => "root_locked",
            Self::ModeRefused => "mode_refused",
        }
    }

    /// What is so: half a sentence in lower case.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Held => "an authority names the volume",
            Self::PendingOperation => "an operation on the volume is pending",
            Self::AuthorityUnknown => "not every authority could be read",
            Self::AuthorityEmpty => {
                "the agent's checkpoint is missing or empty, or lost everything across an agent start"
            }
            Self::StaleGeneration => "only the older checkpoint file names the volume",
            Self::AgentRecovering => "the agent is still recovering",
            Self::RoleHidden => "the agent's answer hides roles from our principal",
            Self::AgentRequired => "the agent is down and agent.require is set",
            Self::AgentDeleting => "the running agent may still be deleting the volume itself",
            Self::HoldersUnknown => "it could not be seen who uses the volume",
            Self::InUseMount => "the volume is mounted by a process",
            Self::InUseFd => "a process has files of the volume open",
            Self::InUseTask => "a task that has not ended was given the volume",
            Self::MountInside => "something is mounted inside the volume",
            Self::Symlink => "it is a symbolic link",
            Self::NotAVolumePath => "it does not lie where Mesos keeps volumes",
            Self::WrongFilesystem => "it lies on another file system than its root",
            Self::FingerprintMismatch => "another file system than before is mounted there",
            Self::FilesystemShrunk => "the file system is smaller than what is advertised of it",
            Self::FilesystemFailed => {
                "the file system refuses writes since an error, or was shut down"
            }
            Self::DeviceGone => "the device below the mounted file system is gone",
            Self::RootUnverified => {
                "the root was first met with directories of held volumes missing"
            }
            Self::NoIdentity => "its file system gives no UUID or no file handles",
            Self::NotMounted => "the root is not mounted, or can't be looked at",
            Self::ForeignRoot => "nothing shows that the root belongs to this agent",
            Self::OtherView => {
                "another agent, or our agent in another mount namespace, uses what lies there"
            }
            Self::NetworkFilesystem => "the root is on a network file system",
            Self::ReadOnly => "the file system is read-only",
            Self::GracePeriod => "the orphan was not yet seen twice with the grace period between",
            Self::Protected => "a protect glob matches it",
            Self::Brake => "too many volumes would go without a witnessed destroy",
            Self::NoBarrier => "nothing keeps Mesos from using the disk while it is emptied",
            Self::ReportOnly => "sweep.orphans is \"report\"",
            Self::Retention => "it stays in the trash until its retention has passed",
            Self::Contested => "the volume is named again, or something else lies in its place",
            Self::Unconfirmed => "the agent has not confirmed the destroy",
            Self::Adopted => "an operator wants it kept",
            Self::HalfWiped => "its wipe has begun, so that part of its data is gone",
            Self::ForeignTrash => "its manifest is damaged, or of another machine or work_dir",
            Self::RootLocked => "another process works on the root",
            Self::ModeRefused => "the wipe mode can't promise there what it says",
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Held => {
                "nothing to do; destroy the volume through Mesos when it is no longer wanted"
            }
            Self::PendingOperation => {
                "wait until the agent has carried it out; an operation that stays pending shows in the agent's log"
            }
            Self::AuthorityUnknown => {
                "mend what the reason names: a damaged checkpoint, an unreadable folder, an agent that does not answer for its work_dir"
            }
            Self::AuthorityEmpty => {
                "find out why (power cut, removed meta/resources); if nothing is meant to be held, run `mesos-volumed sweep --accept-empty`"
            }
            Self::StaleGeneration => {
                "start the agent and set agent.url: its answer releases the volume after the grace period"
            }
            Self::AgentRecovering => "wait until the agent has registered",
            Self::RoleHidden => {
                "give the principal VIEW_ROLE for all roles (agent.credentials_file)"
            }
            Self::AgentRequired => "start the agent, or set agent.require = false",
            Self::AgentDeleting => {
                "set agent.url so that its answer can be asked for; without it the grace period has to pass"
            }
            Self::HoldersUnknown => {
                "run in the initial pid namespace with CAP_SYS_PTRACE; where agent and tasks all live in our own, set agent.pid_namespace = \"own\""
            }
            Self::InUseMount => "end the task or container that the reason names",
            Self::InUseFd => "end the process that the reason names",
            Self::InUseTask => "end the task, or let the agent recover it",
            Self::MountInside => "unmount what the reason names",
            Self::Symlink => "look at where it points, then remove the link by hand",
            Self::NotAVolumePath => "nothing to do: it is not touched",
            Self::WrongFilesystem => "unmount what lies over it, or move it by hand",
            Self::FingerprintMismatch => {
                "mount the right disk, or take the new one on with `mesos-volumed disk accept <root>`"
            }
            Self::FilesystemShrunk => {
                "mount the right disk; or, if it is meant to be that small, `mesos-volumed disk accept <root>`"
            }
            Self::FilesystemFailed => {
                "look at the kernel's log (dmesg), stop what uses the disk, unmount it, check it with fsck, and mount it again"
            }
            Self::DeviceGone => {
                "plug the drive in again or replace it; unmount what is left of it and mount it anew"
            }
            Self::RootUnverified => {
                "check that the right disk is mounted, then `mesos-volumed disk accept <root>`"
            }
            Self::NoIdentity => {
                "use ext4, xfs or btrfs; one of these that does not tell its UUID does not answer: look at the kernel's log (dmesg)"
            }
            Self::NotMounted => "mount the disk; where it is mounted, mend what the reason names",
            Self::ForeignRoot => {
                "start the agent with this root in --resources, or take the root out of the configuration"
            }
            Self::OtherView => "stop the other agent, or run both in one mount namespace",
            Self::NetworkFilesystem => "other hosts may use it; clean it by hand",
            Self::ReadOnly => "mount it read-write; look at the kernel's log for errors first",
            Self::GracePeriod => "wait; see sweep.grace",
            Self::Protected => "change sweep.protect",
            Self::Brake => {
                "look at the list; if it is right, run `mesos-volumed sweep --confirm-brake N`"
            }
            Self::NoBarrier => {
                "do what the reason names: set [master] with a principal that may reserve for role mesos-volumed; or stop the agent where its unit runs `mesos-volumed preflight --gate`, or where agent.start_gate says that it obeys the gate"
            }
            Self::ReportOnly => {
                "set sweep.orphans to \"quarantine\" or \"wipe\" when the list is right"
            }
            Self::Retention => "wait, or `mesos-volumed trash purge <id>`",
            Self::Contested => {
                "decide which of both is wanted: `mesos-volumed trash restore <entry>` once its place is free, or `mesos-volumed trash purge <entry>`"
            }
            Self::Unconfirmed => {
                "run `mesos-volumed volumes destroy` again, or restart the agent: what it still holds after it has registered again goes back"
            }
            Self::Adopted => {
                "give it back to Mesos with `mesos-volumed volumes adopt <role/id> --send`, or take the mark back with `mesos-volumed volumes adopt <role/id> --undo`"
            }
            Self::HalfWiped => {
                "nothing brings it back whole; copy what is left out of the entry's data folder before the wipe goes on, or let it end"
            }
            Self::ForeignTrash => {
                "look at the manifest; remove the entry by hand if it is not wanted"
            }
            Self::RootLocked => "wait, or stop the other process",
            Self::ModeRefused => {
                "choose another mode (`wipe --mode`, wipe.mode), or leave out --strict (wipe.strict)"
            }
        }
    }

    /// What it means for the exit status.
    #[must_use]
    pub const fn weight(self) -> Weight {
        match self {
            Self::Held
            | Self::Adopted
            | Self::GracePeriod
            | Self::Protected
            | Self::ReportOnly
            | Self::Retention => Weight::Expected,
            Self::PendingOperation
            | Self::AuthorityUnknown
            | Self::AuthorityEmpty
            | Self::StaleGeneration
            | Self::AgentRecovering
            | Self::RoleHidden
            | Self::AgentRequired
            | Self::AgentDeleting
            | Self::HoldersUnknown
            | Self::InUseMount
            | Self::InUseFd
            | Self::InUseTask
            | Self::MountInside
            | Self::Symlink
            | Self::NotAVolumePath
            | Self::WrongFilesystem
            | Self::FingerprintMismatch
            | Self::FilesystemShrunk
            | Self::FilesystemFailed
            | Self::DeviceGone
            | Self::RootUnverified
            | Self::NoIdentity
            | Self::NotMounted
            | Self::ForeignRoot
            | Self::OtherView
            | Self::NetworkFilesystem
            | Self::ReadOnly
            | Self::Brake
            | Self::NoBarrier
            | Self::Contested
            | Self::Unconfirmed
            | Self::HalfWiped
            | Self::ForeignTrash
            | Self::RootLocked
            | Self::ModeRefused => Weight::Blocking,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A refusal with what was seen: which process, which file, which glob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: Refusal,
    /// What was seen, for this very volume; empty where the code says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Reason {
    /// The refusal with what was seen.
    pub fn new(code: Refusal, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl From<Refusal> for Reason {
    fn from(code: Refusal) -> Self {
        Self {
            code,
            detail: String::new(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            write!(f, "{}: {}", self.code, self.code.reason())
        } else {
            write!(f, "{}: {}", self.code, self.detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_are_what_json_says() {
        let codes: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.code());
            assert!(!refusal.reason().is_empty() && !refusal.remedy().is_empty());
        }
    }
}
