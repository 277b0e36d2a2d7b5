//! What an agent compares its `--resources` with when it starts: `slave.info`, as far as its policy
//! wants (F§6.3), and its checkpoint, into which they must fit (F§6.2).

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{CheckpointFile, Known, LatestAgent, ReconfigurationPolicy, StartFacts};
use super::preflight::missing::Occupancy;
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::paths::volume_directory;
use crate::mesos::resource::{ReservationType, Resource};
use crate::units::{Megabytes, Raw};

/// A disk as an agent has it: of one root, the part with one static role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentDisk {
    /// Type and root, spelt as the agent spells it.
    pub disk: DiskRef,
    /// The static role; `*` for none.
    pub role: Role,
    /// The number. Of ROOT and PATH the sum of all entries, of MOUNT the number itself.
    pub number: Megabytes,
    /// What its source says beside type and root.
    pub extras: SourceExtras,
    /// The volumes there.
    pub volumes: BTreeSet<VolumeKey>,
}

/// The disks of a list of resources, and what of it can't be written again: a sentence each.
pub fn disks_of<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
    work_dir: &Raw,
) -> (Vec<AgentDisk>, Vec<String>) {
    let mut disks: BTreeMap<(DiskRef, Role), AgentDisk> = BTreeMap::new();
    let mut faults = Vec::new();
    for resource in resources {
        let (Some(disk), Some(number)) = (resource.disk(work_dir), resource.megabytes()) else {
            continue;
        };
        if number <= Megabytes::default() || resource.provider_id.is_some() {
            continue;
        }
        if let Some(source) = &resource.source
            && source.id.is_some()
        {
            faults.push(format!(
                "{disk} has a disk.source.id, which is for storage providers and is never written \
                 here"
            ));
            continue;
        }
        let role = static_role(resource);
        let part = disks
            .entry((disk.clone(), role.clone()))
            .or_insert_with(|| AgentDisk {
                disk: disk.clone(),
                role,
                number: Megabytes::default(),
                extras: resource
                    .source
                    .as_ref()
                    .map(SourceExtras::from)
                    .unwrap_or_default(),
                volumes: BTreeSet::new(),
            });
        part.number = match disk.kind {
            DiskType::Root | DiskType::Path => part.number.saturating_add(number),
            DiskType::Mount => number,
        };
        part.volumes.extend(resource.volume_key());
    }
    (disks.into_values().collect(), faults)
}

/// The role that `--resources` gives: of the first reservation, if that is static.
fn static_role(resource: &Resource) -> Role {
    resource
        .reservations
        .first()
        .filter(|first| first.kind == ReservationType::Static)
        .map_or_else(|| Role::new("*"), |first| first.role.clone())
}

/// A path's text without doubled, trailing and `.` components, to compare two spellings.
#[must_use]
pub fn plain(path: &Raw) -> Raw {
    let bytes = path.as_bytes();
    let mut plain: Vec<u8> = Vec::with_capacity(bytes.len());
    for name in bytes.split(|byte| *byte == b'/') {
        if name.is_empty() || name == b"." {
            continue;
        }
        if !plain.is_empty() || bytes.first() == Some(&b'/') {
            plain.push(b'/');
        }
        plain.extend_from_slice(name);
    }
    if plain.is_empty() && bytes.first() == Some(&b'/') {
        plain.push(b'/');
    }
    Raw::new(plain)
}

/// Whether two texts are spellings of one root.
pub(in crate::decide) fn same_root(one: &Raw, other: &Raw) -> bool {
    one == other || plain(one) == plain(other)
}

/// What an agent's start is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baselines {
    /// The disks of `slave.info`. `Absent`: no agent id would be kept, and nothing is compared.
    pub registered: Known<Vec<AgentDisk>>,
    /// What of each disk is reserved or a volume in the files that the agent believes.
    pub needed: Known<Vec<AgentDisk>>,
    /// Disks that the agent is running with, whether it registered with them or not.
    pub running: Vec<AgentDisk>,
    /// Its `--reconfiguration_policy`.
    pub policy: ReconfigurationPolicy,
    /// Whether the host has rebooted since an agent last ran.
    pub rebooted: Known<bool>,
    /// PATH disks on which not one of the volumes that the agent holds there has its directory.
    pub emptied: BTreeSet<DiskRef>,
    /// What the agent has and can't be written again: a sentence each.
    pub faults: Vec<String>,
}

impl Default for Baselines {
    /// No agent ever ran.
    fn default() -> Self {
        Self {
            registered: Known::Absent,
            needed: Known::Absent,
            running: Vec::new(),
            policy: ReconfigurationPolicy::default(),
            rebooted: Known::Known(false),
            emptied: BTreeSet::new(),
            faults: Vec::new(),
        }
    }
}

impl Baselines {
    /// The baselines in an agent's files.
    #[must_use]
    pub fn new(facts: &StartFacts, policy: ReconfigurationPolicy, rebooted: Known<bool>) -> Self {
        let mut faults = Vec::new();
        let mut disks = |resources: &[Resource]| {
            let (disks, found) = disks_of(resources, &facts.work_dir);
            faults.extend(found);
            disks
        };
        let registered = match (&facts.latest, &facts.info) {
            (LatestAgent::Missing { .. }, _)
            | (LatestAgent::Id(_), CheckpointFile::Missing | CheckpointFile::Empty) => {
                Known::Absent
            }
            (LatestAgent::Dangling, _) => Known::unknown("meta/slaves/latest leads nowhere"),
            (LatestAgent::Unknown(why), _) => Known::Unknown(why.clone()),
            (LatestAgent::Id(_), CheckpointFile::Whole(info)) => Known::Known(disks(&info.disks())),
            (LatestAgent::Id(_), CheckpointFile::Damaged(why)) => {
                Known::unknown(format!("slave.info: {why}"))
            }
        };
        let needed = needed(facts).map(|resources| disks(&resources));
        faults.sort();
        faults.dedup();
        Self {
            registered,
            needed,
            running: Vec::new(),
            policy,
            rebooted,
            emptied: BTreeSet::new(),
            faults,
        }
    }

    /// No agent's files could be read, for this reason.
    #[must_use]
    pub fn unknown(why: &str, policy: ReconfigurationPolicy) -> Self {
        Self {
            registered: Known::unknown(why),
            needed: Known::unknown(why),
            rebooted: Known::unknown(why),
            policy,
            ..Self::default()
        }
    }

    /// Every disk that an agent would miss, spelt as it spells it: what is held, what it registered
    /// with, and what it runs with.
    #[must_use]
    pub fn disks(&self) -> Vec<DiskRef> {
        let mut disks: Vec<DiskRef> = Vec::new();
        let lists = [
            self.needed.known().map_or(&[][..], Vec::as_slice),
            self.registered.known().map_or(&[][..], Vec::as_slice),
            &self.running,
        ];
        for part in lists.into_iter().flatten() {
            let is_it = |disk: &DiskRef| {
                disk.kind == part.disk.kind && same_root(&disk.root, &part.disk.root)
            };
            if !disks.iter().any(is_it) {
                disks.push(part.disk.clone());
            }
        }
        disks
    }

    /// What is held there of this part of a disk.
    #[must_use]
    pub fn need(&self, disk: &DiskRef, role: &Role) -> Option<Megabytes> {
        find(self.needed.known()?, disk, role).map(|part| part.number)
    }

    /// What is on a disk; what can't be told counts as held.
    #[must_use]
    pub fn occupancy(&self, disk: &DiskRef, held: Option<bool>) -> Occupancy {
        let parts = || {
            self.needed
                .known()
                .into_iter()
                .flatten()
                .filter(|part| part.disk == *disk)
        };
        if parts().any(|part| !part.volumes.is_empty()) {
            Occupancy::Held
        } else if parts().next().is_some() {
            Occupancy::Reserved
        } else if held == Some(false) && self.needed.why().is_none() {
            Occupancy::Bare
        } else {
            Occupancy::Held
        }
    }

    /// The directories of the volumes that are held on this PATH disk.
    #[must_use]
    pub fn volume_directories(&self, disk: &DiskRef) -> Vec<Raw> {
        let mut paths: Vec<Raw> = Vec::new();
        for part in self.needed.known().into_iter().flatten() {
            if part.disk == *disk && disk.kind == DiskType::Path {
                let of_key = |key: &VolumeKey| plain(&disk.root).join(volume_directory(key));
                paths.extend(part.volumes.iter().map(of_key));
            }
        }
        paths
    }

    /// Why it can't be told what the agent compares with, if it can't.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let whys: Vec<String> = [self.registered.why(), self.needed.why()]
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        (!whys.is_empty()).then(|| whys.join("; "))
    }
}

/// This part of a disk in a list.
pub(in crate::decide) fn find<'a>(
    disks: &'a [AgentDisk],
    disk: &DiskRef,
    role: &Role,
) -> Option<&'a AgentDisk> {
    disks
        .iter()
        .find(|part| part.disk == *disk && part.role == *role)
}

/// What is reserved, in the generation of files that the agent believes; where a target waits to be
/// committed, that.
fn needed(facts: &StartFacts) -> Known<Vec<Resource>> {
    let files = &facts.checkpoint;
    match &files.state {
        CheckpointFile::Missing => {}
        CheckpointFile::Empty => return Known::Absent,
        CheckpointFile::Damaged(why) => {
            return Known::unknown(format!("resources_and_operations.state: {why}"));
        }
        CheckpointFile::Whole(state) => {
            return match &files.state_target {
                CheckpointFile::Missing | CheckpointFile::Empty => {
                    Known::Known(state.resources.clone())
                }
                CheckpointFile::Whole(target) => Known::Known(target.resources.clone()),
                CheckpointFile::Damaged(why) => {
                    Known::unknown(format!("resources_and_operations.target: {why}"))
                }
            };
        }
    }
    let committed = match &files.info {
        CheckpointFile::Missing => return Known::Absent,
        CheckpointFile::Empty => Vec::new(),
        CheckpointFile::Whole(resources) => resources.clone(),
        CheckpointFile::Damaged(why) => return Known::unknown(format!("resources.info: {why}")),
    };
    match &files.info_target {
        CheckpointFile::Missing => Known::Known(committed),
        CheckpointFile::Empty => Known::Known(Vec::new()),
        CheckpointFile::Whole(resources) => Known::Known(resources.clone()),
        CheckpointFile::Damaged(why) => Known::unknown(format!("resources.target: {why}")),
    }
}

#[cfg(test)]
mod tests;
