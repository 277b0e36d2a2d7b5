//! Settings that decisions need, and the operator's words.

use serde::{Deserialize, Serialize};

use super::super::steps::TrashId;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::{Bytes, Raw, Span};

/// What happens to an orphan past its grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanPolicy {
    /// It is listed.
    Report,
    /// It goes to the trash for `trash.orphan_retention`.
    Quarantine,
    /// It goes to the trash and is wiped from there in the same pass.
    Wipe,
}

/// `agent.pid_namespace`: what the operator states about namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidNamespace {
    /// Agent and tasks are seen from the initial pid namespace only.
    Host,
    /// Agent and tasks all live in our own pid namespace.
    Own,
}

/// How data is destroyed, named by what is guaranteed. None of them is a *purge* in the words of
/// NIST SP 800-88; see `act::wipe` for which word each meets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum WipeMode {
    /// The space is given back; blocks keep their content until they are used again.
    #[default]
    Unlink,
    /// Unlinked; then the file system tells its device which blocks are free.
    Discard,
    /// The data of files is overwritten where it lies, and read back, before it is unlinked.
    Overwrite,
    /// Of a whole MOUNT disk: emptied, then its free space is filled with zeros and freed.
    ZeroFree,
    /// Of a whole MOUNT disk: emptied by making its file system anew.
    Reformat,
}

impl WipeMode {
    /// As in configuration, receipts and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unlink => "unlink",
            Self::Discard => "discard",
            Self::Overwrite => "overwrite",
            Self::ZeroFree => "zero_free",
            Self::Reformat => "reformat",
        }
    }

    /// Whether it acts on a whole file system, which must be nobody else's.
    #[must_use]
    pub const fn whole_disk(self) -> bool {
        match self {
            Self::Unlink | Self::Discard | Self::Overwrite => false,
            Self::ZeroFree | Self::Reformat => true,
        }
    }
}

impl std::fmt::Display for WipeMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A mode with what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WipeMethod {
    /// The mode.
    pub mode: WipeMode,
    /// What can't be guaranteed is refused instead of being done as well as it goes.
    pub strict: bool,
    /// How often files are overwritten; the last time with zeros, before with random bytes.
    pub passes: u32,
    /// Whether what was overwritten is read back.
    pub verify: bool,
}

impl WipeMethod {
    /// Gives the space back and promises no more.
    pub const UNLINK: Self = Self {
        mode: WipeMode::Unlink,
        strict: false,
        passes: 1,
        verify: true,
    };

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_usual(&self) -> bool {
        *self == Self::UNLINK
    }
}

impl Default for WipeMethod {
    fn default() -> Self {
        Self::UNLINK
    }
}

/// The settings that decisions need; see `config/mesos-volumed.toml` for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "settings, each apart")]
pub struct Policy {
    /// `sweep.every`: bounds the lived time between two passes.
    pub sweep_every: Span,
    /// `sweep.grace`: lived time between the sightings of an orphan.
    pub grace: Span,
    /// `sweep.orphans`.
    pub orphans: OrphanPolicy,
    /// `sweep.protect`: globs on `role/persistence-id`; `*` does not cross `/`.
    pub protect: Vec<String>,
    /// `sweep.brake_percent`; 100 turns the brake off.
    pub brake_percent: u8,
    /// `sweep.brake_min`: so many unwitnessed steps in 24 h never trip the brake.
    pub brake_min: u32,
    /// `volumes.recreate_vanished`.
    pub recreate_vanished: bool,
    /// `trash.retention`: how long a witnessed destroy stays in the trash.
    pub retention: Span,
    /// `trash.orphan_retention`.
    pub orphan_retention: Span,
    /// `agent.require`: an agent that is down refuses destructive steps.
    pub require_agent: bool,
    /// `agent.start_gate`: whatever starts the agent obeys the gate.
    pub start_gate: bool,
    /// `agent.pid_namespace`.
    pub pid_namespace: PidNamespace,
    /// `master.barrier`: a MOUNT disk is reserved while its destroyed data is wiped and the agent
    /// runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barrier: bool,
    /// `[wipe]`: how data is destroyed.
    #[serde(default, skip_serializing_if = "WipeMethod::is_usual")]
    pub wipe: WipeMethod,
    /// `wipe.mount_mode`: the mode of MOUNT disks, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_mode: Option<WipeMode>,
    /// `[trash]` beyond the two retentions.
    #[serde(default, skip_serializing_if = "TrashPolicy::is_usual")]
    pub trash: TrashPolicy,
}

/// How long things stay in the trash, by role, and when they leave it early.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashPolicy {
    /// `trash.min_retention`: no entry leaves early before it has stayed so long.
    pub min_retention: Span,
    /// `trash.max_bytes`: the most that the trash of a file system is to take up.
    pub max_bytes: Option<Bytes>,
    /// `trash.free_below`: so much is to be free on a file system while its trash holds anything.
    pub free_below: Option<FreeBelow>,
    /// `[[trash.roles]]`: the first that matches a role decides.
    pub roles: Vec<RoleRetention>,
}

impl TrashPolicy {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Free space, as a size or as a share of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeBelow {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the whole.
    Percent(u8),
}

impl FreeBelow {
    /// In bytes, of a file system of this size.
    #[must_use]
    pub fn of(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(share) => {
                let part = u128::from(total_bytes).saturating_mul(u128::from(share));
                u64::try_from(part.checked_div(100).unwrap_or(0)).unwrap_or(u64::MAX)
            }
        }
    }
}

/// What stays how long for certain roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRetention {
    /// A glob on the role; `*` does not cross `/`.
    pub role: String,
    /// For witnessed destroys, where it is another.
    pub retention: Option<Span>,
    /// For orphans, where it is another.
    pub orphan_retention: Option<Span>,
}

impl Policy {
    /// How data on a disk of this type is destroyed where nobody says otherwise.
    #[must_use]
    pub fn method(&self, disk: DiskType) -> WipeMethod {
        let mode = match (disk, self.mount_mode) {
            (DiskType::Mount, Some(mode)) => mode,
            (DiskType::Mount | DiskType::Root | DiskType::Path, _) => self.wipe.mode,
        };
        WipeMethod { mode, ..self.wipe }
    }
}

/// What the operator said on the command line of this run; empty for the daemon and the timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// This is a later round of one pass: what it sees was seen in the same pass before, so it is
    /// no further sighting. Set by the loop, not by an operator.
    #[serde(default)]
    pub later_round: bool,
    /// `sweep --accept-empty`: an empty checkpoint is right as it is.
    pub accept_empty: bool,
    /// `sweep --confirm-brake N`: up to so many unwitnessed steps are wanted now.
    pub confirm_brake: Option<u32>,
    /// `wipe <role/id> --confirm`: this volume's directories, now, under the same guards.
    pub wipe: Option<VolumeKey>,
    /// `wipe <root of a MOUNT disk> --confirm`: the disk that it lies on, by its path. What was never
    /// seen while it was held may be another disk; this is the operator's word that it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe_root: Option<Raw>,
    /// `wipe --mode`: how, for that volume alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<WipeMode>,
    /// `wipe --strict`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// `volumes recreate <role/id> --confirm`.
    pub recreate: Option<VolumeKey>,
    /// `disk accept <root>`: this root is right as it is.
    pub accept_root: Option<Raw>,
    /// `trash purge`: these entries, now.
    pub purge: Vec<TrashId>,
    /// `trash restore`: this entry goes back to its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<TrashId>,
    /// `volumes adopt`: this volume is wanted, or is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptWord>,
    /// Who says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
    /// `volumes destroy <role/id> --confirm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy: Option<Destroying>,
}

/// `volumes adopt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptWord {
    /// The volume.
    pub volume: VolumeKey,
    /// `--root`: on this disk only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Raw>,
    /// `--undo`: the mark is taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
}

/// Who said an operator's word, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Who {
    /// By which way: `cli` or `api`.
    pub via: String,
    /// User id of the process that said it.
    pub uid: u32,
    /// Its process id, where it is another one than ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The user id that logged in, which `sudo` does not change; `None`: nobody did, as for a timer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
}

/// How far the command `volumes destroy` is with a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroying {
    /// The volume.
    pub volume: VolumeKey,
    /// How far.
    pub phase: Phase,
}

/// What `volumes destroy` wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its directory is to be moved aside (design §6).
    SetAside,
    /// The master is to be asked to destroy it.
    Ask,
    /// What became of that is to be seen.
    Settle,
}

impl Words {
    /// How the operator wants a volume on a disk of this type destroyed; `None` where nothing was
    /// said.
    #[must_use]
    pub fn method(
        &self,
        volume: &VolumeKey,
        disk: DiskType,
        policy: &Policy,
    ) -> Option<WipeMethod> {
        if self.wipe.as_ref() != Some(volume) || (self.mode.is_none() && !self.strict) {
            return None;
        }
        let usual = policy.method(disk);
        Some(WipeMethod {
            mode: self.mode.unwrap_or(usual.mode),
            strict: self.strict || usual.strict,
            ..usual
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::ids::{PersistenceId, Role};

    #[test]
    fn modes_are_called_the_same_everywhere() {
        for (mode, name) in [
            (WipeMode::Unlink, "unlink"),
            (WipeMode::Discard, "discard"),
            (WipeMode::Overwrite, "overwrite"),
            (WipeMode::ZeroFree, "zero_free"),
            (WipeMode::Reformat, "reformat"),
        ] {
            assert_eq!((mode.name(), mode.to_string().as_str()), (name, name));
            assert_eq!(serde_json::to_value(mode).unwrap(), name);
        }
    }

    #[test]
    fn what_an_operator_says_of_one_wipe_is_of_that_volume_and_adds_to_the_settings() {
        let key = |id: &str| VolumeKey::new(Role::new("r"), PersistenceId::new(id));
        let policy = |mode, strict| {
            serde_json::from_value::<Policy>(serde_json::json!({
                "sweep_every": Span::ZERO, "grace": Span::ZERO, "orphans": OrphanPolicy::Report,
                "protect": [], "brake_percent": 1, "brake_min": 1, "recreate_vanished": false,
                "retention": Span::ZERO, "orphan_retention": Span::ZERO, "require_agent": false,
                "start_gate": false, "pid_namespace": PidNamespace::Host, "barrier": false,
                "wipe": WipeMethod { mode, strict, ..WipeMethod::UNLINK },
                "mount_mode": WipeMode::ZeroFree,
            }))
            .unwrap()
        };
        let said = |volume: &str, mode, strict| Words {
            wipe: Some(key(volume)),
            mode,
            strict,
            ..Words::default()
        };
        let (unlink, discard) = (WipeMode::Unlink, WipeMode::Discard);
        for (volume, mode, strict, settings, disk, wanted) in [
            ("v", None, false, (discard, true), DiskType::Root, None),
            (
                "w",
                Some(discard),
                true,
                (unlink, false),
                DiskType::Root,
                None,
            ),
            (
                "v",
                Some(discard),
                false,
                (unlink, false),
                DiskType::Root,
                Some((discard, false)),
            ),
            (
                "v",
                Some(unlink),
                false,
                (discard, true),
                DiskType::Path,
                Some((unlink, true)),
            ),
            (
                "v",
                None,
                true,
                (discard, false),
                DiskType::Path,
                Some((discard, true)),
            ),
            (
                "v",
                Some(unlink),
                true,
                (discard, true),
                DiskType::Path,
                Some((unlink, true)),
            ),
            (
                "v",
                None,
                true,
                (discard, false),
                DiskType::Mount,
                Some((WipeMode::ZeroFree, true)),
            ),
        ] {
            let policy = policy(settings.0, settings.1);
            let found = said(volume, mode, strict).method(&key("v"), disk, &policy);
            let wanted = wanted.map(|(mode, strict)| WipeMethod {
                mode,
                strict,
                ..WipeMethod::UNLINK
            });
            assert_eq!(
                found, wanted,
                "{volume} {mode:?} {strict} {settings:?} {disk}"
            );
        }
    }
}
