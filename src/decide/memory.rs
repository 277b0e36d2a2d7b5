//! What earlier passes saw and did, kept in `state_dir/memory.json`.
//!
//! One file, replaced atomically, so that sightings, witnessed destroys, owed destroys and the
//! brake's count can't disagree with one another. It is written before the first destructive step
//! of a pass.

use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::authority::Source;
use super::facts::{AgentRun, FileIdentity, Moment};
use super::radar::AlarmSince;
use super::steps::Evidence;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::units::{Megabytes, Raw, Span};

/// Everything remembered between passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Version of this structure; see [`Memory::VERSION`].
    pub version: u32,
    /// The clock of lived time.
    pub clock: LivedClock,
    /// Whether the last pass could conclude something from absence: what comes up right after it
    /// is new.
    pub certain: bool,
    /// The agent run of the last pass whose authorities were all known.
    pub run: Option<AgentRun>,
    /// Every volume that was held at some time and whose matter is not closed.
    #[serde(deserialize_with = "each_once")]
    pub volumes: Vec<VolumeRecord>,
    /// Orphans seen.
    #[serde(deserialize_with = "each_once")]
    pub sightings: Vec<Sighting>,
    /// Volumes that only the older generation names, since when.
    #[serde(deserialize_with = "each_once")]
    pub stale: Vec<StaleSince>,
    /// Lived time at which an operator accepted an empty checkpoint.
    pub empty_accepted_at: Option<Span>,
    /// Whether everything went across an agent start and neither came back nor was accepted; the
    /// volumes are those with [`VolumeRecord::lost`].
    pub lost_across_start: bool,
    /// DESTROYs whose matter is over. A checkpoint that is rolled back to their time shows them
    /// again, and the name may have another life by then.
    pub spent_destroys: Vec<SpentDestroy>,
    /// Unwitnessed steps of the last 24 hours.
    pub unwitnessed: Vec<UnwitnessedBatch>,
    /// What volumes left on MOUNT disks that are another's by now, or nobody's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_on: Vec<LeftOn>,
    /// Alarms of the radar, since when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<AlarmSince>,
}

impl Memory {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// The memory of a host that was never looked at, begun at this moment.
    #[must_use]
    pub fn new(now: &Moment) -> Self {
        Self {
            version: Self::VERSION,
            clock: LivedClock {
                boot_id: now.boot_id.clone(),
                since_boot: now.since_boot,
                lived: Span::ZERO,
            },
            certain: false,
            run: None,
            volumes: Vec::new(),
            sightings: Vec::new(),
            stale: Vec::new(),
            empty_accepted_at: None,
            lost_across_start: false,
            spent_destroys: Vec::new(),
            unwitnessed: Vec::new(),
            left_on: Vec::new(),
            alarms: Vec::new(),
        }
    }
}

impl Memory {
    /// Whether both remember the same, seen at different moments: but for the clock, for when that
    /// which is there all the time was last seen, and for sightings of directories that are not there
    /// any more, which nobody misses: they are of no other directory.
    #[must_use]
    pub fn same_but_for_when(&self, later: &Self) -> bool {
        // Compared in place: a copy of all of it would be among the largest things of a pass.
        let Self {
            version,
            clock: _,
            certain,
            run,
            volumes,
            sightings,
            stale,
            empty_accepted_at,
            lost_across_start,
            spent_destroys,
            unwitnessed,
            left_on,
            alarms,
        } = self;
        let there: BTreeSet<_> = later.sightings.iter().map(Sighting::directory).collect();
        let sightings = sightings
            .iter()
            .filter(|sighting| there.contains(&sighting.directory()));
        *version == later.version
            && *certain == later.certain
            && *run == later.run
            && *stale == later.stale
            && *empty_accepted_at == later.empty_accepted_at
            && *lost_across_start == later.lost_across_start
            && *spent_destroys == later.spent_destroys
            && *unwitnessed == later.unwitnessed
            && *left_on == later.left_on
            && *alarms == later.alarms
            && volumes.len() == later.volumes.len()
            && volumes
                .iter()
                .zip(&later.volumes)
                .all(|(now, later)| now.same_but_for_when(later))
            && sightings.clone().count() == later.sightings.len()
            && sightings
                .zip(&later.sightings)
                .all(|(now, later)| now.same_but_for_when(later))
    }
}

impl VolumeRecord {
    fn same_but_for_when(&self, later: &Self) -> bool {
        // That it is gone for one alone tells them apart in any case.
        let named_at = if self.gone.is_none() {
            later.named_at
        } else {
            self.named_at
        };
        Self {
            named_at,
            ..self.clone()
        } == *later
    }
}

impl Sighting {
    fn same_but_for_when(&self, later: &Self) -> bool {
        Self {
            last: later.last,
            ..self.clone()
        } == *later
    }
}

/// Lived time: the sum of `CLOCK_BOOTTIME` steps between passes, each capped, none across a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivedClock {
    /// The boot of the last pass.
    pub boot_id: String,
    /// `CLOCK_BOOTTIME` of the last pass.
    pub since_boot: Span,
    /// Lived time in all.
    pub lived: Span,
}

/// A volume that an authority named, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The volume.
    pub key: VolumeKey,
    /// Where it was held last, and what was seen there.
    pub places: Vec<VolumePlaceRecord>,
    /// Size when last held.
    pub size: Option<Megabytes>,
    /// Principal when last held.
    pub principal: Option<Raw>,
    /// Lived time when it was last named: what was moved aside before then is contested.
    pub named_at: Span,
    /// The agent run in which the effective generation last named it; `None` when only another
    /// authority did.
    pub held_in_run: Option<AgentRun>,
    /// The file that was the effective generation then. That the agent believes another file now
    /// is no destroy.
    pub held_in_file: Option<Source>,
    /// The boot in which the effective generation last named it.
    pub held_in_boot: String,
    /// Uuids of DESTROY operations that were read as pending or finished since it was last known
    /// to live.
    pub pending_destroys: Vec<String>,
    /// Whether it went with everything else across an agent start.
    pub lost: bool,
    /// Set once no authority names it: lived time, and the evidence found so far.
    pub gone: Option<Gone>,
}

/// A place of a volume, as last seen while it was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlaceRecord {
    /// The disk.
    pub disk: DiskRef,
    /// The file system's UUID when it was last told.
    pub filesystem: Option<String>,
    /// Identity of the volume's directory when it was last seen there; `None`: never seen.
    pub directory: Option<FileIdentity>,
    /// Whether the volume was first named here while we watched: without a directory it never had
    /// one. What was there before the first look, nobody knows; an operator who accepts a root
    /// says that the disk is right, not that nothing was ever on it.
    pub watched: bool,
}

/// A DESTROY operation whose matter is over, for one of the volumes that it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpentDestroy {
    /// The operation's uuid.
    pub uuid: String,
    /// The volume.
    pub key: VolumeKey,
}

/// A volume that no authority names any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Lived time when that was first seen.
    pub since: Span,
    /// `CLOCK_BOOTTIME` when that was first seen, within [`Gone::boot_id`].
    pub since_boot: Span,
    /// That boot.
    pub boot_id: String,
    /// Why its data is to go; `None`: unwitnessed.
    pub evidence: Option<Evidence>,
}

/// An orphan directory, since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The disk.
    pub disk: DiskRef,
    /// The volume that its names say.
    pub key: VolumeKey,
    /// Its identity: another directory of the same name starts anew.
    pub identity: FileIdentity,
    /// Lived time of the first sighting.
    pub first: Span,
    /// Lived time of the last sighting.
    pub last: Span,
    /// How many passes saw it.
    pub times: u32,
}

impl Sighting {
    /// Of which directory it is.
    fn directory(&self) -> (&DiskRef, &VolumeKey, &FileIdentity) {
        (&self.disk, &self.key, &self.identity)
    }
}

/// Data that a volume may have left on a MOUNT disk, which was not seen empty since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOn {
    /// The volume.
    pub key: VolumeKey,
    /// The disk.
    pub disk: DiskRef,
    /// The file system that it was on; `None`: the disk could not be looked at then.
    pub filesystem: Option<String>,
    /// Lived time when it was found not to be the volume's any more.
    pub since: Span,
}

impl LeftOn {
    /// Whether it may lie on the file system that is at its disk now.
    #[must_use]
    pub fn may_be_on(&self, present: Option<&str>) -> bool {
        present.is_some_and(|present| {
            let then = self.filesystem.as_deref();
            then.is_none_or(|then| then == present)
        })
    }
}

/// A volume that only the file of lower precedence names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleSince {
    /// The volume.
    pub key: VolumeKey,
    /// Lived time since which the running agent's unfiltered answer lacks it.
    pub since: Span,
}

/// Unwitnessed steps of one pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnwitnessedBatch {
    /// Lived time of the pass.
    pub at: Span,
    /// How many.
    pub count: u32,
    /// All volumes (named, and directories found) at that time.
    pub of: u32,
}

/// What a list has one entry of.
trait OfVolume {
    /// The volume.
    fn volume(&self) -> &VolumeKey;

    /// The disk, where each has entries of its own.
    fn disk(&self) -> Option<&DiskRef> {
        None
    }
}

impl OfVolume for VolumeRecord {
    fn volume(&self) -> &VolumeKey {
        &self.key
    }
}

impl OfVolume for Sighting {
    fn volume(&self) -> &VolumeKey {
        &self.key
    }

    fn disk(&self) -> Option<&DiskRef> {
        Some(&self.disk)
    }
}

impl OfVolume for StaleSince {
    fn volume(&self) -> &VolumeKey {
        &self.key
    }
}

/// A list in which nothing is there twice. This program writes no other; in one that is damaged, which of two
/// entries counts would differ from who looks it up to who goes through all of them.
fn each_once<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + OfVolume,
{
    let list = Vec::<T>::deserialize(from)?;
    let mut known = BTreeSet::new();
    if let Some(twice) = list
        .iter()
        .find(|entry| !known.insert((entry.disk(), entry.volume())))
    {
        let volume = twice.volume();
        return Err(D::Error::custom(format!("{volume} is there twice")));
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
