//! What doctor finds, by stable codes.

use std::fmt;

use serde::Serialize;

use crate::decide::radar::AlarmKind;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Data is being lost or shown to others, or the agent is down.
    Critical,
    /// Something does not work, or will fail.
    Error,
    /// It may become harm.
    Warning,
    /// Worth knowing; nothing is wrong.
    Note,
}

impl Severity {
    /// The word of the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Two agents, or two views of the mounts, use one `work_dir` or root.
    TwoAgents,
    /// Two roots are one directory, or one lies in the other.
    RootTwice,
    /// A checkpoint of the agent has 0 bytes: it would start without a volume, and say nothing.
    CheckpointEmpty,
    /// A checkpoint of the agent can't be read.
    CheckpointDamaged,
    /// The agent exits at each start, because it can't delete a destroyed volume.
    UndeletableVolume,
    /// The agent would refuse its next start.
    AgentRefuses,
    /// A volume is mounted more than once.
    MountedTwice,
    /// A volume is mounted for a container that has ended.
    DeadContainer,
    /// A volume is in use although destroyed.
    InUseDestroyed,
    /// A volume has something mounted inside.
    MountedInside,
    /// The `work_dir` lies in memory: every volume is an orphan after the next boot.
    WorkDirVolatile,
    /// Directories that nobody names: a CREATE of the same name shows them to its new tenant.
    OrphanExposed,
    /// A MOUNT disk went from one volume to another, and no pass saw it empty in between.
    DataExposed,
    /// The agent would get a new id at its next start: its tasks are lost.
    AgentNewId,
    /// The directory of a held volume is missing: its next task fails.
    VolumeVanished,
    /// A PATH root lies on the file system of the system or of the `work_dir`.
    PathOnParent,
    /// A file system has less room than is offered of it.
    OverCommitted,
    /// Nothing on this root may be made, moved or wiped.
    RootUnusable,
    /// The file system has counted errors.
    FilesystemErrors,
    /// The file system has no room left: nothing can be moved to the trash.
    FilesystemFull,
    /// Project ids on an xfs are not what the agent counts on: it aborts, or charges a container for
    /// what is not its own.
    ProjectIds,
    /// The two generations of checkpoint files name different volumes.
    GenerationsDisagree,
    /// Something doubtful keeps every volume.
    AuthorityDoubtful,
    /// It can't be seen who uses the volumes: nothing is moved or wiped, and double mounts are not seen.
    HoldersUnknown,
    /// Our own memory or ledger can't be read.
    OwnFilesDamaged,
    /// Others than root may change or read what is ours.
    UnsafePermissions,
    /// The gate holds the agent's start back.
    GateClosed,
    /// The kernel has no openat2(2), or seccomp refuses it.
    NoOpenat2,
    /// The agent may start before its disk is mounted.
    AgentBeforeMounts,
    /// The unit that writes --resources is not ordered before the agent.
    ResourcesAfterAgent,
    /// The disk is mounted, and nothing mounts it at boot.
    MountNotKept,
    /// Resources.target was left behind: some agents fail every start because of it.
    StaleTarget,
    /// What was destroyed is kept back by a guard.
    DestroyKept,
    /// Several principals or frameworks share a role: any of them may be offered the others' volumes.
    RoleShared,
    /// The framework that a volume was reserved for is not known to the master.
    FrameworkGone,
    /// Disk was reserved, and no volume was created (Marathon gives up after `task_reservation_timeout`, 20 s).
    ReservationIdle,
    /// A volume takes up more than its size, and nothing enforced it.
    VolumeLarger,
    /// The trash is larger than it may be, or may be no larger than a volume: undelete windows end early.
    TrashBudget,
    /// Nothing holds the agent's start back: MOUNT disks are never emptied.
    NoGate,
    /// The agent would start, and regret it later.
    StartWarning,
    /// The clock is wrong, or jumped: a file of the agent is from the future.
    ClockWrong,
    /// A check could not look; what it looks for may be so.
    NotChecked,
    /// A MOUNT disk that no volume is on holds data, which its next volume will show.
    MountNotEmpty,
    /// The kernel has no Landlock by which a wipe could be fenced in.
    NoFence,
    /// Something in the configuration is worth knowing.
    ConfigNote,
    /// A check was not made, because it is dear or not configured.
    NotAsked,
}

impl Code {
    /// All of them, the most harmful first.
    pub const ALL: [Self; 46] = [
        Self::TwoAgents,
        Self::RootTwice,
        Self::CheckpointEmpty,
        Self::CheckpointDamaged,
        Self::UndeletableVolume,
        Self::AgentRefuses,
        Self::MountedTwice,
        Self::DeadContainer,
        Self::WorkDirVolatile,
        Self::InUseDestroyed,
        Self::MountedInside,
        Self::OrphanExposed,
        Self::DataExposed,
        Self::AgentNewId,
        Self::VolumeVanished,
        Self::PathOnParent,
        Self::OverCommitted,
        Self::RootUnusable,
        Self::FilesystemErrors,
        Self::FilesystemFull,
        Self::ProjectIds,
        Self::GenerationsDisagree,
        Self::AuthorityDoubtful,
        Self::HoldersUnknown,
        Self::OwnFilesDamaged,
        Self::UnsafePermissions,
        Self::GateClosed,
        Self::NoOpenat2,
        Self::AgentBeforeMounts,
        Self::ResourcesAfterAgent,
        Self::MountNotKept,
        Self::StaleTarget,
        Self::DestroyKept,
        Self::RoleShared,
        Self::FrameworkGone,
        Self::ReservationIdle,
        Self::VolumeLarger,
        Self::TrashBudget,
        Self::NoGate,
        Self::StartWarning,
        Self::ClockWrong,
        Self::NotChecked,
        Self::MountNotEmpty,
        Self::NoFence,
        Self::ConfigNote,
        Self::NotAsked,
    ];

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TwoAgents => "two_agents",
            Self::RootTwice => "root_twice",
            Self::CheckpointEmpty => "checkpoint_empty",
            Self::CheckpointDamaged => "checkpoint_damaged",
            Self::UndeletableVolume => "undeletable_volume",
            Self::AgentRefuses => "agent_refuses",
            Self::MountedTwice => "mounted_twice",
            Self::DeadContainer => "dead_container",
            Self::InUseDestroyed => "in_use_destroyed",
            Self::MountedInside => "mounted_inside",
            Self::WorkDirVolatile => "work_dir_volatile",
            Self::OrphanExposed => "orphan_exposed",
            Self::DataExposed => "data_exposed",
            Self::AgentNewId => "agent_new_id",
            Self::VolumeVanished => "volume_vanished",
            Self::PathOnParent => "path_on_parent",
            Self::OverCommitted => "over_committed",
            Self::RootUnusable => "root_unusable",
            Self::FilesystemErrors => "filesystem_errors",
            Self::FilesystemFull => "filesystem_full",
            Self::ProjectIds => "project_ids",
            Self::GenerationsDisagree => "generations_disagree",
            Self::AuthorityDoubtful => "authority_doubtful",
            Self::HoldersUnknown => "holders_unknown",
            Self::NoOpenat2 => "no_openat2",
            Self::OwnFilesDamaged => "own_files_damaged",
            Self::UnsafePermissions => "unsafe_permissions",
            Self::GateClosed => "gate_closed",
            Self::AgentBeforeMounts => "agent_before_mounts",
            Self::ResourcesAfterAgent => "resources_after_agent",
            Self::MountNotKept => "mount_not_kept",
            Self::StaleTarget => "stale_target",
            Self::DestroyKept => "destroy_kept",
            Self::RoleShared => "role_shared",
            Self::FrameworkGone => "framework_gone",
            Self::ReservationIdle => "reservation_idle",
            Self::VolumeLarger => "volume_larger",
            Self::TrashBudget => "trash_budget",
            Self::NoGate => "no_gate",
            Self::StartWarning => "start_warning",
            Self::ClockWrong => "clock_wrong",
            Self::NotChecked => "not_checked",
            Self::MountNotEmpty => "mount_not_empty",
            Self::NoFence => "no_fence",
            Self::ConfigNote => "config_note",
            Self::NotAsked => "not_asked",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::TwoAgents
            | Self::RootTwice
            | Self::CheckpointEmpty
            | Self::CheckpointDamaged
            | Self::UndeletableVolume
            | Self::AgentRefuses
            | Self::MountedTwice
            | Self::DeadContainer
            | Self::WorkDirVolatile => Severity::Critical,
            Self::InUseDestroyed
            | Self::MountedInside
            | Self::OrphanExposed
            | Self::DataExposed
            | Self::AgentNewId
            | Self::VolumeVanished
            | Self::PathOnParent
            | Self::OverCommitted
            | Self::RootUnusable
            | Self::FilesystemErrors
            | Self::FilesystemFull
            | Self::ProjectIds
            | Self::GenerationsDisagree
            | Self::AuthorityDoubtful
            | Self::HoldersUnknown
            | Self::OwnFilesDamaged
            | Self::UnsafePermissions
            | Self::GateClosed => Severity::Error,
            Self::NoOpenat2
            | Self::AgentBeforeMounts
            | Self::ResourcesAfterAgent
            | Self::MountNotKept
            | Self::StaleTarget
            | Self::DestroyKept
            | Self::RoleShared
            | Self::FrameworkGone
            | Self::ReservationIdle
            | Self::VolumeLarger
            | Self::TrashBudget
            | Self::NoGate
            | Self::StartWarning
            | Self::ClockWrong
            | Self::NotChecked => Severity::Warning,
            Self::MountNotEmpty | Self::NoFence | Self::ConfigNote | Self::NotAsked => {
                Severity::Note
            }
        }
    }

    /// What is so: half a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::TwoAgents => "two agents, or two views of the mounts, use one work_dir or root",
            Self::RootTwice => "two roots are one directory, or one lies in the other",
            Self::CheckpointEmpty => {
                "a checkpoint of the agent has 0 bytes: it would start without a volume, and say nothing"
            }
            Self::CheckpointDamaged => "a checkpoint of the agent can't be read",
            Self::UndeletableVolume => {
                "the agent exits at each start, because it can't delete a destroyed volume"
            }
            Self::AgentRefuses => "the agent would refuse its next start",
            Self::MountedTwice => "a volume is mounted more than once, and Mesos does not share it",
            Self::DeadContainer => "a volume is still mounted for a container that has ended",
            Self::InUseDestroyed => {
                "a volume is in use, although Mesos knows no such volume any more"
            }
            Self::MountedInside => "something is mounted inside a volume",
            Self::WorkDirVolatile => {
                "the work_dir lies in memory: every volume is an orphan after the next boot"
            }
            Self::DataExposed => {
                "a MOUNT disk went from one volume to another, and was not seen empty in between: its tenant may see the data of the one before"
            }
            Self::OrphanExposed => {
                "directories that nobody names: a CREATE of the same name shows them to its new tenant"
            }
            Self::AgentNewId => {
                "the agent would get a new id at its next start: its tasks are lost"
            }
            Self::VolumeVanished => {
                "the directory of a held volume is missing: its next task fails"
            }
            Self::PathOnParent => {
                "a PATH root lies on the file system of the system or of the work_dir"
            }
            Self::OverCommitted => "a file system has less room than is offered of it",
            Self::RootUnusable => "nothing on this root may be made, moved or wiped",
            Self::FilesystemErrors => "the file system has counted errors",
            Self::FilesystemFull => {
                "the file system has no room left: nothing can be moved to the trash"
            }
            Self::ProjectIds => {
                "xfs project ids are not what the agent counts on: it aborts, or charges a container for what is not its own"
            }
            Self::GenerationsDisagree => {
                "the two generations of checkpoint files name different volumes"
            }
            Self::AuthorityDoubtful => "something doubtful keeps every volume",
            Self::HoldersUnknown => {
                "it can't be seen who uses the volumes: nothing is moved or wiped, and double mounts are not seen"
            }
            Self::NoOpenat2 => {
                "the kernel has no openat2(2), or seccomp refuses it: names are resolved step by step, which is slower"
            }
            Self::OwnFilesDamaged => "our own memory or ledger can't be read",
            Self::UnsafePermissions => "others than root may change or read what is ours",
            Self::GateClosed => "the gate holds the agent's start back",
            Self::AgentBeforeMounts => "the agent may start before its disk is mounted",
            Self::ResourcesAfterAgent => {
                "the unit that writes --resources is not ordered before the agent"
            }
            Self::MountNotKept => "the disk is mounted, and nothing mounts it at boot",
            Self::StaleTarget => {
                "resources.target was left behind: some agents fail every start because of it"
            }
            Self::DestroyKept => "what was destroyed is kept back by a guard",
            Self::RoleShared => {
                "several principals or frameworks share a role: any of them may be offered the others' volumes"
            }
            Self::FrameworkGone => {
                "the framework that a volume was reserved for is not known to the master"
            }
            Self::ReservationIdle => {
                "disk was reserved, and no volume was created (Marathon gives up after task_reservation_timeout, 20 s)"
            }
            Self::VolumeLarger => "a volume takes up more than its size, and nothing enforced it",
            Self::TrashBudget => {
                "the trash is larger than it may be, or may be no larger than a volume: undelete windows end early"
            }
            Self::NoGate => {
                "nothing holds the agent's start back: MOUNT disks are emptied behind a reservation only ([master])"
            }
            Self::StartWarning => "the agent would start, and regret it later",
            Self::ClockWrong => {
                "the clock is wrong, or jumped: a file of the agent is from the future"
            }
            Self::NotChecked => "a check could not look; what it looks for may be so",
            Self::MountNotEmpty => {
                "a MOUNT disk that no volume is on holds data, which its next volume will show"
            }
            Self::NoFence => {
                "the kernel has no Landlock: what keeps a wipe in its volume are its own steps, and no fence round them"
            }
            Self::ConfigNote => "something in the configuration is worth knowing",
            Self::NotAsked => "a check was not made, because it is dear or not configured",
        }
    }

    /// What to do where the finding has no remedy of its own.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TwoAgents => "stop the other agent, or run both in one mount namespace",
            Self::RootTwice => {
                "take one of them out of --resources; its volumes are counted and deleted twice"
            }
            Self::CheckpointEmpty => {
                "do not start the agent; put the file back from the other generation or a backup, then `mesos-volumed preflight`"
            }
            Self::CheckpointDamaged => {
                "keep the file; `mesos-volumed preflight` says what the agent does with it"
            }
            Self::UndeletableVolume => {
                "take away what the evidence names; the agent goes on at its next start"
            }
            Self::AgentRefuses => "`mesos-volumed preflight` names the smallest edit that keeps it",
            Self::MountedTwice => AlarmKind::MountedTwice.remedy(),
            Self::DeadContainer => AlarmKind::DeadContainer.remedy(),
            Self::InUseDestroyed => AlarmKind::InUseDestroyed.remedy(),
            Self::MountedInside => AlarmKind::MountedInside.remedy(),
            Self::WorkDirVolatile => "move the agent's work_dir to a disk",
            Self::DataExposed => {
                "look at what lies on the disk; `mesos-volumed disk accept ROOT` when it is right as it is, else move the tenant to another disk and destroy its volume"
            }
            Self::OrphanExposed => {
                "`mesos-volumed volumes list` shows them; sweep them (sweep.orphans), or move them away"
            }
            Self::AgentNewId => {
                "`mesos-volumed preflight` names the smallest edit that keeps the id"
            }
            Self::VolumeVanished => {
                "mount the right disk, or `mesos-volumed volumes recreate` for an empty one"
            }
            Self::PathOnParent => {
                "mount the disk there, and move what lies below the mount point; or give both a `size`"
            }
            Self::OverCommitted => "give its roots a `size` that fits, or a larger disk",
            Self::RootUnusable | Self::AuthorityDoubtful | Self::DestroyKept => {
                "what the finding says, by its reason"
            }
            Self::FilesystemErrors => {
                "look at the kernel's log (dmesg); drain the host, unmount it and run fsck"
            }
            Self::FilesystemFull => {
                "free a few megabytes by hand, or purge the trash (`mesos-volumed trash purge`)"
            }
            Self::ProjectIds => {
                "take the id from the directory that the agent did not give it to (`xfs_quota -x -c 'project -C -p DIRECTORY ID' MOUNT`) before its next start; of a trash entry `mesos-volumed sweep` does"
            }
            Self::GenerationsDisagree => {
                "do not remove either; start the agent, and let it write both anew"
            }
            Self::HoldersUnknown => {
                "run in the initial pid namespace with CAP_SYS_PTRACE; where agent and tasks all live in our own, set agent.pid_namespace = \"own\""
            }
            Self::NoOpenat2 => {
                "use Linux 5.6 or later, and let a container's seccomp filter pass openat2"
            }
            Self::OwnFilesDamaged => "move the file aside; what it remembered begins anew",
            Self::UnsafePermissions => "take the permissions away (`chmod`, `chown root`)",
            Self::GateClosed => {
                "let the daemon or `mesos-volumed sweep` finish the disk that it names; the gate then opens"
            }
            Self::AgentBeforeMounts => {
                "add `RequiresMountsFor=` with the root in a drop-in of the agent's unit"
            }
            Self::ResourcesAfterAgent => {
                "install mesos-volumed-resources.service as it is shipped, or name the agent's unit in its `Before=`"
            }
            Self::MountNotKept => "add it to /etc/fstab by UUID, or write a mount unit",
            Self::StaleTarget => {
                "`mesos-volumed preflight`; if it refuses, stop the agent and move the file aside"
            }
            Self::RoleShared => "give each framework a role of its own",
            Self::FrameworkGone => {
                "check that it is not only disconnected (a master that has just started does not list those); then destroy the volume and unreserve through the master"
            }
            Self::ReservationIdle => "unreserve it through the master, or restart the app",
            Self::TrashBudget => {
                "raise trash.max_bytes, or shorten trash.retention; `mesos-volumed trash purge` frees it now"
            }
            Self::VolumeLarger => {
                "grow the volume, or enforce sizes (disk/xfs, --enforce_container_disk_quota)"
            }
            Self::NoGate => {
                "copy systemd/mesos-agent.service.d/10-mesos-volumed.conf to the agent's unit, or set agent.start_gate"
            }
            Self::StartWarning => "edit --resources; `mesos-volumed preflight` shows all of it",
            Self::ClockWrong => {
                "set the clock (chrony, ntpd); ages are counted in lived time and are not hurt"
            }
            Self::NotChecked => "mend what the evidence names, and run doctor again",
            Self::MountNotEmpty => "nothing, if it was filled on purpose; else empty it by hand",
            Self::NoFence => {
                "use Linux 5.19 or later with `landlock` among its security modules (`lsm=`), and let filters of system calls pass landlock_*"
            }
            Self::ConfigNote => "see `mesos-volumed config check`",
            Self::NotAsked => "give what the evidence names",
        }
    }
}

impl From<AlarmKind> for Code {
    fn from(kind: AlarmKind) -> Self {
        match kind {
            AlarmKind::MountedTwice => Self::MountedTwice,
            AlarmKind::DeadContainer => Self::DeadContainer,
            AlarmKind::InUseDestroyed => Self::InUseDestroyed,
            AlarmKind::MountedInside => Self::MountedInside,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}
