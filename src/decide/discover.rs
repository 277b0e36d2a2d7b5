//! Which disks this host offers: every block device and every mount gets a verdict.
//!
//! ```text
//! mounts ─┐  class, hidden, rule ─┐
//! exact   ├► one row each         ├► candidates ─► conflicts ─► numbers ─► offered
//! paths  ─┘  (judge)              └► rejected ◄──────┴────────────┘
//! devices that no row shows ──► rejected, each with what it is
//! ```
//!
//! A mount is shown in exactly one row. A device is shown in the rows of its mounts; one without
//! mounts has a row of its own. Nothing here asks the host: [`questions`] says which paths are to
//! be asked, so that a file system that no rule names is left alone.

mod candidate;
mod codes;
mod devices;
mod directory;
mod judge;
mod known;
mod number;
mod passes;
mod rejections;
mod rules;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

pub use codes::{Code, Meaning, Rejection};
pub use passes::{Passed, Passes};

use self::candidate::{Candidate, Judged};
use self::judge::Judge;
use self::rules::{Rules, is_plain_absolute};
use super::adopt::AdoptedFrom;
use super::baseline::{Baselines, plain};
use super::facts::{
    BlockDevice, DeviceNumber, DiskRules, HostDisks, Known, MountTable, PathAnswer, RootMount,
    device_of,
};
use super::ledger::{Ledger, LedgerPlace};
use super::numbers::{self, NumberReason};
use super::preflight::missing::{AgentWill, Emit};
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::Role;
use crate::units::{Megabytes, Raw};

/// What discovery decides from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the configuration says about disks.
    pub rules: &'a DiskRules,
    /// The host.
    pub host: &'a HostDisks,
    /// What was advertised before.
    pub ledger: &'a Ledger,
    /// The disks that a reservation or volume is on. Unknown counts as held.
    pub held: &'a Known<BTreeSet<DiskRef>>,
    /// What the agent's start is measured by.
    pub agent: &'a Baselines,
}

/// Every verdict, and what is odd about the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Offered disks first, ROOT before all.
    pub disks: Vec<DiskVerdict>,
    /// A sentence each: a glob that matches nothing, a path named twice, a source unread.
    pub warnings: Vec<String>,
}

impl Discovery {
    /// The disks that are offered.
    pub fn offered(&self) -> impl Iterator<Item = &DiskVerdict> {
        self.disks.iter().filter(|disk| disk.offer().is_some())
    }

    /// The verdict on this disk, if a rule names it or the ledger knows it; the offer, where
    /// several mounts share the mount point.
    #[must_use]
    pub fn of(&self, disk: &DiskRef) -> Option<&DiskVerdict> {
        let mut named = self
            .disks
            .iter()
            .filter(|verdict| verdict.disk.as_ref() == Some(disk));
        // Offers are sorted before rejections.
        named.next()
    }
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// `agent.work_dir`, with the mount of that very mount point if there is one.
    WorkDir(Option<u64>),
    /// A mount, by id.
    Mount(u64),
    /// A path that a rule or the ledger names and that is no mount point.
    Path(Raw),
    /// A block device without a mount, by name.
    Device(Raw),
}

/// The verdict on a disk, mount or device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskVerdict {
    /// What it is about.
    pub subject: Subject,
    /// Type and root, where a rule, `agent.work_dir` or the ledger names it.
    pub disk: Option<DiskRef>,
    /// The mount point or path; `None` for a device.
    pub path: Option<Raw>,
    /// The static role of the rule; `*` for none.
    pub role: Option<Role>,
    /// The block device.
    pub device: Option<BlockDevice>,
    /// Its file system.
    pub filesystem: Option<FilesystemSeen>,
    /// The mount that the root lies on, where the root was asked.
    pub mount: Option<RootMount>,
    /// The rules that did not speak against it, in the order in which they were tried.
    pub passes: Passes,
    /// Offered or not.
    pub verdict: Verdict,
    /// What stands in for a disk that is rejected, and that was advertised or that the agent has.
    pub last_good: Option<LastGood>,
}

impl DiskVerdict {
    /// The offer, if it is offered.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        match &self.verdict {
            Verdict::Offered(offer) => Some(offer),
            Verdict::Rejected(_) => None,
        }
    }

    /// The rejection, if it is rejected.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.verdict {
            Verdict::Rejected(rejection) => Some(rejection),
            Verdict::Offered(_) => None,
        }
    }
}

/// A file system as far as it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemSeen {
    /// Its type.
    pub fs_type: Raw,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<Raw>,
    /// Size and what is free for root, in bytes; `None` where it was not asked.
    pub space: Option<(u64, u64)>,
}

/// Offered or rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A disk for Mesos.
    Offered(Box<Offer>),
    /// Not.
    Rejected(Rejection),
}

/// A disk for Mesos, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whole megabytes, or a number that had to be kept.
    pub number: Megabytes,
    /// Where the number comes from.
    pub reason: NumberReason,
    /// The rule that offers it: its place among `[[disks]]`, from 1; `None` for ROOT, and for what
    /// the agent has and no rule names.
    pub rule: Option<usize>,
    /// How its entry is written.
    pub form: Form,
    /// What it lies on.
    pub on: LedgerPlace,
}

/// How the entry of a disk is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The static role; `*` for none.
    pub role: Role,
    /// Other parts of the root with roles of their own, which the agent has.
    pub parts: Vec<(Role, Megabytes)>,
    /// What its source says beside type and root; set for what the agent has, or was advertised.
    pub known: Option<SourceExtras>,
    /// Where its number was found, if it is not ours.
    pub adopted: Option<AdoptedFrom>,
}

/// What stands in for a disk that can't be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// The number that it had.
    pub number: Megabytes,
    /// How its entry was written.
    pub form: Form,
    /// Whether it is written.
    pub emit: Emit,
    /// What an agent does that starts with it, where that is decided by this alone.
    pub agent: Option<AgentWill>,
    /// Whether something is wrong with the host.
    pub degrades: bool,
}

/// The paths that must be asked before [`discover`] can judge: the work_dir, mount points that a
/// rule names and that can answer, and the rules' exact paths.
#[must_use]
pub fn questions(rules: &DiskRules, mounts: &MountTable, devices: &[BlockDevice]) -> Vec<Raw> {
    let ready = Rules::new(rules, &[]);
    let mut paths = BTreeSet::from([rules.work_dir.clone()]);
    for mount in mounts.entries() {
        let device = device_of(mount, devices);
        if mount.class().may_be_asked() && ready.first(&mount.mount_point, device).is_some() {
            paths.insert(mount.mount_point.clone());
        }
    }
    paths.extend(ready.exact_paths().map(|(_, path)| path.clone()));
    paths.retain(is_plain_absolute);
    paths.into_iter().collect()
}

/// The paths that must be asked because of the agent: the roots that it has or that were found
/// written for it, and the directories of volumes by which a root is told that was never verified.
#[must_use]
pub fn questions_of_agent(ledger: &Ledger, agent: &Baselines) -> Vec<Raw> {
    let mut paths = BTreeSet::new();
    for disk in number::of_agent(ledger, agent) {
        if disk.kind == DiskType::Root {
            continue;
        }
        paths.insert(plain(&disk.root));
        if !is_verified(ledger, &disk) {
            paths.extend(agent.volume_directories(&disk));
        }
    }
    paths.into_iter().filter(is_plain_absolute).collect()
}

/// The PATH disks on which not one of the volumes that the agent holds there has its directory, and
/// of which nothing else tells whether they are the right ones.
#[must_use]
pub fn emptied(
    ledger: &Ledger,
    agent: &Baselines,
    answers: &BTreeMap<Raw, PathAnswer>,
) -> BTreeSet<DiskRef> {
    let is_gone = |path: &Raw| matches!(answers.get(path), Some(PathAnswer::Missing));
    agent
        .disks()
        .into_iter()
        .filter(|disk| !is_verified(ledger, disk))
        .filter(|disk| {
            let volumes = agent.volume_directories(disk);
            !volumes.is_empty() && volumes.iter().all(is_gone)
        })
        .collect()
}

fn is_verified(ledger: &Ledger, disk: &DiskRef) -> bool {
    ledger
        .root_spelt_in_any_way(disk)
        .is_some_and(|entry| entry.fingerprint.is_some() || entry.place.is_some())
}

/// Judges every block device and every mount.
#[must_use]
pub fn discover(input: Input<'_>) -> Discovery {
    let discovery = judged(input);
    // The agent's files lie on ROOT. Where that is gone, what is seen of them is nothing, and not
    // that there is none.
    let root = discovery
        .disks
        .iter()
        .find(|disk| matches!(disk.subject, Subject::WorkDir(_)));
    let is_gone = root.is_some_and(|root| {
        root.last_good.is_some()
            && root
                .rejection()
                .is_some_and(|rejection| matches!(rejection.code.meaning(), Meaning::Gone(_)))
    });
    if !is_gone || input.agent.registered.why().is_some() {
        return discovery;
    }
    let why = "the disk of agent.work_dir, on which the agent's files lie, is gone";
    judged(Input {
        held: &Known::unknown(why),
        agent: &Baselines::unknown(why, input.agent.policy),
        ..input
    })
}

fn judged(input: Input<'_>) -> Discovery {
    let of_agent = number::of_agent(input.ledger, input.agent);
    let rules = Rules::new(input.rules, &of_agent);
    let judge = Judge::new(input, &rules, &of_agent);
    let mut rows = vec![judge.work_dir()];
    let root_mount = rows
        .iter()
        .find_map(|row: &Judged| match row.verdict.subject {
            Subject::WorkDir(mount) => mount,
            Subject::Mount(_) | Subject::Path(_) | Subject::Device(_) => None,
        });
    for mount in input.host.mounts.entries() {
        if Some(mount.id) != root_mount {
            rows.push(judge.mount(mount));
        }
    }
    rows.extend(judge.exact_paths());
    rows.extend(judge.forgotten(&rows));
    rows.extend(judge.unshown(&rows));
    settle_conflicts(&mut rows);
    settle_numbers(&mut rows);
    for row in &mut rows {
        judge.stand_in(&mut row.verdict);
    }
    let mut disks: Vec<DiskVerdict> = rows.into_iter().map(|row| row.verdict).collect();
    disks.extend(devices::rows(input.host, &judge, &disks));
    disks.sort_by_cached_key(rank);
    Discovery {
        warnings: judge.warnings(&disks),
        disks,
    }
}

/// Goes through the candidates, the strongest first, and rejects each that can't be beside one
/// that was accepted.
fn settle_conflicts(rows: &mut [Judged]) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|index| {
        rows.get(*index)
            .and_then(|row| row.candidate.as_ref())
            .map(Candidate::strength)
    });
    let mut accepted: Vec<Candidate> = Vec::new();
    for index in order {
        let Some(row) = rows.get_mut(index) else {
            continue;
        };
        let Some(candidate) = &row.candidate else {
            continue;
        };
        let conflict = accepted
            .iter()
            .find_map(|other| candidate.conflict_with(other));
        if let Some(rejection) = conflict {
            row.reject(rejection);
            continue;
        }
        accepted.push(candidate.clone());
        let passes = &mut row.verdict.passes;
        passes.note(
            Code::DuplicateDevice,
            "no stronger root takes its file system for itself",
        );
        passes.note(
            Code::NestedRoot,
            "it is, holds, lies in and binds no other root",
        );
    }
}

/// Gives each candidate its number, file system by file system, and rejects what does not fit.
fn settle_numbers(rows: &mut [Judged]) {
    let mut shares: BTreeMap<DeviceNumber, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some(candidate) = &row.candidate {
            shares
                .entry(candidate.location.device)
                .or_default()
                .push(index);
        }
    }
    for mut sharing in shares.into_values() {
        sharing.sort_by_key(|index| {
            rows.get(*index)
                .and_then(|row| row.candidate.as_ref())
                .map(Candidate::strength)
        });
        let claims: Vec<numbers::Claim> = sharing
            .iter()
            .filter_map(|index| Some(rows.get(*index)?.candidate.as_ref()?.claim.clone()))
            .collect();
        for (index, share) in sharing.iter().zip(numbers::allot(&claims)) {
            let Some(row) = rows.get_mut(*index) else {
                continue;
            };
            match share {
                Ok(share) => row.offer(share),
                Err(rejection) => row.reject(rejection),
            }
        }
    }
}

/// The order of the verdicts: what is offered, what was to be, other disks, the rest.
fn rank(verdict: &DiskVerdict) -> (u8, Option<DiskType>, Raw) {
    let rank = match (&verdict.verdict, &verdict.disk) {
        (Verdict::Offered(_), _) => 0,
        (Verdict::Rejected(_), Some(_)) => 1,
        (Verdict::Rejected(rejection), None) => [
            [Code::NoMedium, Code::Excluded],
            [Code::NetworkFilesystem, Code::FuseFilesystem],
            [Code::PseudoFilesystem, Code::UnknownFilesystem],
        ]
        .iter()
        .zip(3..)
        .find(|(codes, _)| codes.contains(&rejection.code))
        .map_or(2, |(_, rank)| rank),
    };
    let name = verdict
        .path
        .clone()
        .or_else(|| verdict.device.as_ref().map(|device| device.name.clone()))
        .unwrap_or_default();
    (rank, verdict.disk.as_ref().map(|disk| disk.kind), name)
}
