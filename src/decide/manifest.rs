//! A trash entry's manifest: it says by itself what the entry is and how far it got.

use serde::{Deserialize, Serialize};

use super::facts::{FileIdentity, MarkerOf, Who, WipeMethod};
use super::steps::{Evidence, TrashId};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::{Raw, Span};

/// The folder of everything of ours on a ROOT or PATH root, relative to the root. Outside
/// `volumes/roles`, where the xfs isolator globs (F§9.2).
pub const OURS: &str = "volumes/.mesos-volumed";
/// The trash, relative to the root.
pub const TRASH: &str = "volumes/.mesos-volumed/trash";
/// The folder of everything of ours on the hidden side of a prepared MOUNT, relative to that.
pub const HIDDEN_OURS: &str = ".mesos-volumed";
/// The trash of a prepared MOUNT, relative to its hidden side.
pub const HIDDEN_TRASH: &str = ".mesos-volumed/trash";
/// The folder that is bound to the advertised root of a prepared MOUNT.
pub const VOLUME: &str = "volume";
/// How many files of [`RESERVE_BYTES`] lie beside the trash of a prepared MOUNT: room for one entry
/// on a disk whose tenant has filled it.
pub const RESERVE: u32 = 8;
/// The size of each.
pub const RESERVE_BYTES: u64 = 64 << 10;
/// The folder of marks in our folder: what an operator wants kept although nobody names it.
pub const ADOPTED: &str = "adopted";
/// Our marker on the file system, relative to the root.
pub const MARKER: &str = "volumes/.mesos-volumed/marker.json";

/// How far a trash entry got. Each state is durable before the next step's first system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrashState {
    /// The manifest is durable; no data is there yet. Void after a crash: plan anew.
    Prepared,
    /// Renamed, both parents synced; the second look is due.
    Moved,
    /// The second look passed. Only now may it be wiped.
    Cleared,
    /// Being wiped: half of it may be gone.
    Wiping,
}

/// `manifest.json` of a trash entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this structure; see [`Manifest::VERSION`].
    pub version: u32,
    /// The entry's own name.
    pub id: TrashId,
    /// The volume it was.
    pub volume: VolumeKey,
    /// The disk it lies on.
    pub disk: DiskRef,
    /// Where it lay, relative to the root.
    pub path: Raw,
    /// Identity of the volume's directory.
    pub identity: FileIdentity,
    /// Prepared MOUNT: the directory whose entries are moved, one by one; [`Manifest::identity`]
    /// is then that of the folder of ours that takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emptied: Option<FileIdentity>,
    /// How far it got.
    pub state: TrashState,
    /// Why it was moved here.
    pub evidence: Evidence,
    /// Whether the agent has not yet confirmed a destroy of ours (design §6).
    #[serde(default)]
    pub unconfirmed: bool,
    /// Set, durably, before the master is asked for that destroy: from then on nobody knows by himself
    /// whether it will happen. `None` while unconfirmed: it was certainly not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The machine that moved it.
    pub machine_id: Raw,
    /// The work_dir of the agent it belonged to.
    pub work_dir: Raw,
    /// The plan that moved it.
    pub plan: String,
    /// Our lived time when it was moved: its age is counted from here.
    pub lived_at: Span,
    /// How long it stays, in lived time.
    pub retention: Span,
    /// Seconds since 1970 when it was moved, for display only.
    pub quarantined_at: i64,
    /// How the operator wanted it destroyed; `None`: as the configuration says when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<WipeMethod>,
    /// What it takes up, counted once after its second look, where it stays for a while; `None`:
    /// not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TrashSize>,
}

/// What a trash entry takes up. Nobody writes to it any more, so that one count holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashSize {
    /// Bytes that are allocated. A file with names elsewhere counts with its share.
    pub bytes: u64,
    /// Entries, directories among them.
    pub entries: u64,
    /// What could not be looked at: the numbers are too small by that.
    #[serde(default)]
    pub skipped: u64,
}

/// When a destroy of ours was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// [`crate::decide::facts::Registered::since`] of then: an agent that registered again since has
    /// either carried it out or will never hear of it.
    pub registered: String,
    /// Seconds since 1970, for display only.
    pub at: i64,
}

impl Manifest {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// Where a volume lies on a disk of this type, relative to its root, or to the hidden side.
    #[must_use]
    pub fn place_of(disk: DiskType, volume: &VolumeKey) -> Raw {
        match disk {
            DiskType::Root | DiskType::Path => paths::volume_directory(volume),
            DiskType::Mount => Raw::from(VOLUME),
        }
    }

    /// For tests: of a destroy that the agent was seen to make, prepared, with nothing moved yet.
    #[cfg(test)]
    pub(crate) fn sample(volume: VolumeKey, disk: DiskRef, identity: FileIdentity) -> Self {
        Self {
            version: Self::VERSION,
            id: TrashId("1-a-1".to_owned()),
            path: Self::place_of(disk.kind, &volume),
            volume,
            disk,
            identity,
            emptied: None,
            state: TrashState::Prepared,
            evidence: Evidence::GoneWithinRun,
            unconfirmed: false,
            asked: None,
            machine_id: Raw::from("m"),
            work_dir: Raw::from("/w"),
            plan: "p".to_owned(),
            lived_at: Span::ZERO,
            retention: Span::ZERO,
            quarantined_at: 1,
            method: None,
            size: None,
        }
    }
}

/// A mark beside the trash, `adopted/<name>.json`: this volume is wanted, although no authority names
/// it. It lies on the volume's own file system, so that it survives the loss of `state_dir`, and goes
/// with the disk to another host.
///
/// It holds for the volume on this disk, whatever directory that has by then, until an authority
/// names the volume: from then on the authority's word decides again, also when it is DESTROY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedMark {
    /// Version of this structure; see [`AdoptedMark::VERSION`].
    pub version: u32,
    /// Its own name, without `.json`.
    pub name: String,
    /// The volume.
    pub volume: VolumeKey,
    /// The disk.
    pub disk: DiskRef,
    /// The directory that was marked: of the volume, or of a MOUNT disk's root.
    pub identity: FileIdentity,
    /// The trash entry that it is restored from. While that has data the restore is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<TrashId>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
    /// The plan that made it.
    pub plan: String,
    /// Our lived time when it was made.
    pub lived_at: Span,
    /// Seconds since 1970 when it was made, for display only.
    pub marked_at: i64,
}

impl AdoptedMark {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
}

/// Our marker on a ROOT or PATH file system: whose it is. It only confirms what the ledger knows; a
/// marker that does not fit tells a moved disk, or a copy of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Version of this structure; see [`Marker::VERSION`].
    pub version: u64,
    /// The file system's UUID.
    pub filesystem: String,
    /// Host and root, where they could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MarkerOf>,
}

impl Marker {
    /// The version that this program writes and reads.
    pub const VERSION: u64 = 1;
}
