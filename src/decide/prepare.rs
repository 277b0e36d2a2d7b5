//! Whether a device may become a disk for Mesos, and what is to be done for it: the most
//! destructive thing that an operator can ask for, so that everything must speak for it.
//!
//! [`prepare`] is a pure function of facts: it verdicts every rule, keeps each verdict with its
//! evidence and remedy, and gives a plan only where all of them hold. [`release()`] is its way back.
//! The steps carry everything that the executor needs; a dry run prints the very commands.
//!
//! A disk for MOUNT is laid out so that its trash and marker lie out of the tenant's sight:
//!
//! ```text
//! <state_dir>/mounts/<uuid>            the file system (0700 folders above it)
//!     volume/                          ── bound to ──►  the advertised root
//!     .mesos-volumed/marker.json       never inside the root
//!     .mesos-volumed/trash/…
//! ```
//!
//! The bare folder under each of the two mounts is immutable, so that whatever is written while a
//! mount is missing fails at once and never fills the disk below. Under a PATH root that flag would
//! end the agent at its next CREATE (it makes the volume's directory itself and exits where it
//! can't), so that there it is the operator's choice.
//!
//! # What a tenant can do from inside a MOUNT
//!
//! Its root directory is `volume`, by a bind mount: `..` leads to the host's tree or, in a
//! container, nowhere; it never leads to the file system's own root. Links and renames across two
//! mounts are refused by the kernel, also on one file system. So marker and trash can't be reached
//! by name. Three things stay possible, none of them more than on any disk:
//!
//! * A process with `CAP_DAC_READ_SEARCH` in the first user namespace can open any inode of the
//!   file system by its handle, and read and change marker and trash. Such a process can read
//!   every file of the host. What it can't do is make this program act on something else: a trash
//!   entry counts only with a manifest of this host and work_dir whose identity its data has, and
//!   the marker only confirms what the file system's UUID decides.
//! * A tenant can fill the disk to its last byte and inode. Moving into the trash needs a few of
//!   both, so that [`RESERVE`] files are kept beside the trash and are given up first.
//! * A tenant that runs while its disk is emptied would see its files move away. Moves are made
//!   behind the same barrier as the emptying of a plain MOUNT, and never while anything holds it.

mod release;
mod rules;
mod steps;
mod units;

use serde::Serialize;

pub use release::{ReleaseFacts, ReleasePlan, release};
pub use rules::Rule;
pub use steps::{Command, DiskStep};
pub use units::{UNIT_FOLDER, escape_path};

use self::rules::Tries;
pub use super::manifest::{RESERVE, RESERVE_BYTES, VOLUME};

use super::facts::{BlockDevice, PrepareFacts, PrepareRequest, PreparedDisk, Stage};
use crate::mesos::disk::DiskRef;

/// The mode of `volume`, and of a PATH disk's `volumes`: as Mesos makes such folders.
pub const FOLDER_MODE: u32 = 0o755;

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The rule.
    pub rule: Rule,
    /// Whether it speaks for going on.
    pub passed: bool,
    /// What is so, in a sentence.
    pub evidence: String,
    /// What the operator can do; none where it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Every rule that was tried, and the plan where all of them passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<P> {
    /// In the order in which they were tried.
    pub tried: Vec<Tried>,
    /// What is to be done.
    pub plan: Option<P>,
}

impl<P> Judged<P> {
    /// The rules that speak against it.
    pub fn refusals(&self) -> impl Iterator<Item = &Tried> {
        self.tried.iter().filter(|tried| !tried.passed)
    }
}

/// What is to be done to a device that nothing speaks against: made here alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparePlan {
    record: PreparedDisk,
    steps: Vec<DiskStep>,
    notes: Vec<String>,
    resumed: bool,
}

impl PreparePlan {
    /// The disk as it will be recorded.
    #[must_use]
    pub fn record(&self) -> &PreparedDisk {
        &self.record
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[DiskStep] {
        &self.steps
    }

    /// The steps, to be executed once.
    #[must_use]
    pub fn into_steps(self) -> Vec<DiskStep> {
        self.steps
    }

    /// Sentences that the operator should read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether an earlier run began it.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }
}

/// Tries every rule, and plans where all of them pass.
#[must_use]
pub fn prepare(request: &PrepareRequest, facts: &PrepareFacts) -> Judged<PreparePlan> {
    let mut verdicts = Tries::default();
    let device = rules::device(request, facts, &mut verdicts);
    let earlier = rules::earlier(request, facts, device, &mut verdicts);
    if let Some(device) = device {
        rules::use_of(request, facts, device, earlier, &mut verdicts);
    }
    rules::place(request, facts, earlier, &mut verdicts);
    rules::programs(request, facts, &mut verdicts);
    let tried = verdicts.into_all();
    let plan = match device {
        Some(device) if tried.iter().all(|tried| tried.passed) => {
            Some(planned(request, facts, device, earlier))
        }
        Some(_) | None => None,
    };
    Judged { tried, plan }
}

fn planned(
    request: &PrepareRequest,
    facts: &PrepareFacts,
    device: &BlockDevice,
    earlier: Option<&PreparedDisk>,
) -> PreparePlan {
    let uuid = earlier.map_or(&request.uuid, |earlier| &earlier.uuid);
    let disk = DiskRef {
        kind: request.kind,
        root: request.at.clone(),
    };
    let fresh = PreparedDisk {
        version: PreparedDisk::VERSION,
        uuid: uuid.clone(),
        disk,
        fs: request.fs,
        device: device.name.clone(),
        confirmed: request.confirm.clone(),
        backing_file: device.backing_file.clone(),
        size_bytes: device.size_bytes.known().copied().unwrap_or_default(),
        hidden: request.hidden(uuid),
        immutable: request.immutable,
        folders: steps::folders_to_make(facts),
        units: Vec::new(),
        stage: Stage::Chosen,
    };
    let mut record = PreparedDisk {
        stage: earlier.map_or(Stage::Chosen, |earlier| earlier.stage),
        folders: earlier.map_or_else(
            || fresh.folders.clone(),
            |earlier| steps::joined(&earlier.folders, &fresh.folders),
        ),
        ..fresh
    };
    if facts.systemd {
        record.units = units::names(&record);
    }
    let steps = steps::of_prepare(&record, facts, device);
    PreparePlan {
        notes: notes(&record, facts),
        steps,
        resumed: earlier.is_some(),
        record,
    }
}

fn notes(record: &PreparedDisk, facts: &PrepareFacts) -> Vec<String> {
    let root = &record.disk.root;
    let mut notes = Vec::new();
    if !facts.systemd {
        notes.push(format!(
            "systemd does not run here, so nothing mounts it at the next boot; in /etc/fstab: {}",
            units::fstab(record).join(" and ")
        ));
    }
    if record.hidden.is_none() {
        notes.push(if record.immutable {
            format!(
                "{root} is immutable without its disk: an agent that runs while the disk is \
                 missing ends at its next CREATE there"
            )
        } else {
            format!(
                "without its disk {root} takes data onto the disk below; \
                 --immutable-mount-point makes that fail, and with it the agent at its next CREATE"
            )
        });
    }
    let known = facts
        .ledger
        .known()
        .and_then(|ledger| ledger.root(&record.disk))
        .and_then(|entry| entry.fingerprint.as_ref());
    if let Some(print) = known
        && print.filesystem != record.uuid
    {
        notes.push(format!(
            "{root} was file system {} before; take the new one on with `mesos-volumed disk \
             accept {root}`",
            print.filesystem
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
