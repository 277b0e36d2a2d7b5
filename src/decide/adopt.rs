//! The numbers of a host that has an agent before it has this program: they are taken over as they
//! are, because an agent does not start with others (F§6.4).
//!
//! Sources, the one that decides first: what is held in the agent's checkpoint, `slave.info`, the
//! `--resources` that the agent was started with, and files that were written for it. A number that
//! was found twice is that of the earlier source; ROOT and PATH are never less than what is held.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::baseline::{AgentDisk, Baselines, find, same_root};
use super::facts::{Known, ReconfigurationPolicy};
use super::ledger::{Ledger, LedgerChange, LedgerPart, LedgerRoot};
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::Role;
use crate::units::{Megabytes, Raw};

/// Where a number was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptedFrom {
    /// What is held: the sum of a root and role, or a MOUNT's own number.
    Checkpoint,
    /// What the agent registered with.
    SlaveInfo,
    /// `--resources` of an agent, and where that was read.
    Flags(String),
    /// A file that was written for the agent.
    File(Raw),
}

impl fmt::Display for AdoptedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("the agent's checkpoint"),
            Self::SlaveInfo => f.write_str("the agent's slave.info"),
            Self::Flags(from) => f.write_str(from),
            Self::File(path) => write!(f, "{path}"),
        }
    }
}

/// What a text for `--resources` says of disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it stands.
    pub from: AdoptedFrom,
    /// Whether an agent is known to run with it.
    pub running: bool,
    /// Its disks. `Absent`: there is no such text.
    pub disks: Known<Vec<AgentDisk>>,
}

/// The ledger with what was found, and what could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The ledger; what it knew already is unchanged.
    pub ledger: Ledger,
    /// What could not be read: a sentence each.
    pub warnings: Vec<String>,
    /// Why nothing may be advertised: there is no number yet, and a source that may hold one can't
    /// be read.
    pub blocked: Option<String>,
}

/// Takes the numbers over that the ledger does not know.
#[must_use]
pub fn adopt(ledger: &Ledger, agent: &Baselines, told: &[Told], now: i64) -> Adoption {
    let mut adopted = ledger.clone();
    for disk in candidates(agent, told) {
        let known = ledger
            .root_spelt_in_any_way(&disk)
            .is_some_and(|entry| entry.advertised.is_some());
        if !known {
            take_over(&mut adopted, agent, told, &disk, now);
        }
    }
    let mut warnings = agent.faults.clone();
    let mut unread = Vec::new();
    let first_run = !ledger.has_numbers();
    if first_run {
        unread.extend(agent.doubt());
    }
    for told in told {
        let Known::Unknown(why) = &told.disks else {
            continue;
        };
        let sentence = format!("what {} says of disks can't be told: {why}", told.from);
        let is_file = matches!(told.from, AdoptedFrom::File(_));
        if first_run && is_file && agent.registered.known().is_none() {
            unread.push(sentence);
        } else if first_run {
            warnings.push(sentence);
        }
    }
    Adoption {
        ledger: adopted,
        warnings,
        blocked: (!unread.is_empty()).then(|| unread.join("; ")),
    }
}

/// Every disk that a source names, spelt as the first that does.
fn candidates(agent: &Baselines, told: &[Told]) -> Vec<DiskRef> {
    let mut disks = agent.disks();
    for told in told {
        if !may_be_added(agent, told) {
            continue;
        }
        for part in told.disks.known().into_iter().flatten() {
            let is_it = |disk: &DiskRef| {
                disk.kind == part.disk.kind && same_root(&disk.root, &part.disk.root)
            };
            if !disks.iter().any(is_it) {
                disks.push(part.disk.clone());
            }
        }
    }
    disks
}

/// Whether a disk of this text may stand beside what the agent registered with: always where no id
/// is kept, never under `equal`, and under `additive` if the agent runs with it.
fn may_be_added(agent: &Baselines, told: &Told) -> bool {
    match (&agent.registered, agent.policy) {
        (Known::Absent, _) => true,
        (Known::Known(_), ReconfigurationPolicy::Additive) => told.running,
        (Known::Known(_), ReconfigurationPolicy::Equal) | (Known::Unknown(_), _) => false,
    }
}

fn take_over(ledger: &mut Ledger, agent: &Baselines, told: &[Told], disk: &DiskRef, now: i64) {
    let mut parts: Vec<(Role, Found)> = Vec::new();
    for role in roles(agent, told, disk) {
        if let Some(found) = number(agent, told, disk, &role) {
            parts.push((role, found));
        }
    }
    let mut parts = parts.into_iter();
    let Some((role, first)) = parts.next() else {
        return;
    };
    let rest: Vec<LedgerPart> = parts
        .map(|(role, found)| LedgerPart {
            role,
            advertised: found.number,
        })
        .collect();
    let index = ledger
        .roots
        .iter()
        .position(|entry| entry.disk.kind == disk.kind && same_root(&entry.disk.root, &disk.root))
        .unwrap_or_else(|| {
            ledger.roots.push(LedgerRoot::new(disk.clone(), now));
            ledger.roots.len().saturating_sub(1)
        });
    let Some(entry) = ledger.roots.get_mut(index) else {
        return;
    };
    entry.disk = disk.clone();
    entry.changes.push(LedgerChange {
        at: now,
        what: format!("{} MB adopted from {}", first.number, first.from),
    });
    entry.role = Some(role);
    entry.advertised = Some(first.number);
    entry.extras = first.extras;
    entry.parts = rest;
    entry.adopted = Some(first.from);
}

/// A number, and where it was found.
struct Found {
    number: Megabytes,
    from: AdoptedFrom,
    extras: SourceExtras,
}

/// The lists in the order of their authority.
fn lists<'a>(
    agent: &'a Baselines,
    told: &'a [Told],
) -> impl Iterator<Item = (AdoptedFrom, bool, &'a [AgentDisk])> {
    let registered = agent.registered.known();
    let registered = registered.map(|disks| (AdoptedFrom::SlaveInfo, false, disks.as_slice()));
    let told = told.iter().filter_map(|told| {
        Some((
            told.from.clone(),
            told.running,
            told.disks.known()?.as_slice(),
        ))
    });
    registered.into_iter().chain(told)
}

/// The static roles that the first source which names the disk has there, and those of what is
/// held.
fn roles(agent: &Baselines, told: &[Told], disk: &DiskRef) -> Vec<Role> {
    let named = |disks: &[AgentDisk]| -> Vec<Role> {
        let of_disk = disks.iter().filter(|part| is_of(part, disk));
        of_disk.map(|part| part.role.clone()).collect()
    };
    let mut roles = lists(agent, told)
        .map(|(_, _, disks)| named(disks))
        .find(|roles| !roles.is_empty())
        .unwrap_or_default();
    for role in named(agent.needed.known().map_or(&[], Vec::as_slice)) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles
}

fn is_of(part: &AgentDisk, disk: &DiskRef) -> bool {
    part.disk.kind == disk.kind && same_root(&part.disk.root, &disk.root)
}

fn number(agent: &Baselines, told: &[Told], disk: &DiskRef, role: &Role) -> Option<Found> {
    let need = agent
        .needed
        .known()
        .and_then(|needed| find(needed, disk, role));
    let of_need = |need: &AgentDisk| Found {
        number: need.number,
        from: AdoptedFrom::Checkpoint,
        extras: need.extras.clone(),
    };
    if let (DiskType::Mount, Some(need)) = (disk.kind, need) {
        return Some(of_need(need));
    }
    let grows = agent.policy == ReconfigurationPolicy::Additive;
    let mut found: Option<Found> = None;
    for (from, running, disks) in lists(agent, told) {
        let Some(part) = disks
            .iter()
            .find(|part| is_of(part, disk) && part.role == *role)
        else {
            continue;
        };
        // What an agent runs with may be more than it registered with.
        let is_better = match &found {
            None => true,
            Some(found) => grows && running && part.number > found.number,
        };
        if is_better {
            found = Some(Found {
                number: part.number,
                from,
                extras: part.extras.clone(),
            });
        }
    }
    match (found, need) {
        (Some(found), Some(need)) if need.number > found.number => Some(of_need(need)),
        (Some(found), _) => Some(found),
        (None, need) => need.map(of_need),
    }
}

#[cfg(test)]
mod tests;
