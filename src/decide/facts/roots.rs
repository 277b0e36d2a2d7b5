//! Roots of disks, and what lies in them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FsLocation, Known};
use crate::decide::ledger::Verified;
use crate::decide::manifest::{
    ADOPTED, AdoptedMark, HIDDEN_OURS, HIDDEN_TRASH, Manifest, OURS, TRASH, TrashState,
};
use crate::decide::steps::TrashId;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths::ROLES;
use crate::units::{Megabytes, Raw};

/// A device number, `major:minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceNumber {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What identifies a file for good: its file system and its handle there. The handle holds inode
/// *and* generation, so that a reused inode number is not the same file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// The file system's UUID.
    pub filesystem: String,
    /// `handle_type` and bytes of `name_to_handle_at(2)`, as `type:hex`.
    pub handle: String,
}

/// What identifies a disk: its file system decides, the rest warns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The file system's UUID.
    pub filesystem: String,
    /// Its type.
    pub fs_type: String,
    /// Identity of the root directory: a PATH root may be any directory of its file system.
    pub directory: FileIdentity,
}

/// Who names a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootWitness {
    /// Our configuration: `agent.work_dir` or a `[[disks]]` rule.
    Config,
    /// The agent's `slave.info`.
    SlaveInfo,
    /// The agent's checkpoint.
    Checkpoint,
    /// The agent's flags.
    Flags,
    /// Our ledger: it was advertised before.
    Ledger,
}

/// The mount that a root lies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootMount {
    /// Device number, as in mountinfo.
    pub device: DeviceNumber,
    /// File-system type.
    pub fs_type: String,
    /// The mount point.
    pub mount_point: Raw,
    /// Where the root lies in its file system.
    pub location: FsLocation,
    /// Whether the root is itself a mount point.
    pub is_mount_point: bool,
    /// Whether the mount or its file system is read-only.
    pub read_only: bool,
    /// Whether the type is a network file system.
    pub network: bool,
    /// Size, in bytes.
    pub total_bytes: u64,
    /// Free for root, in bytes.
    pub free_bytes: u64,
    /// What is wrong with it although it is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FsFailure>,
    /// The drive below it, where there is one and it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<Drive>,
}

/// What is wrong with a file system that is mounted, and that may still answer: `statfs` and the
/// mount table do not show it. Each with a sentence that says by what it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FsFailure {
    /// It was shut down, or refuses writes since an error.
    Failed(String),
    /// Its block device is gone.
    DeviceGone(String),
}

impl FsFailure {
    /// By what it was seen, in a sentence.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Failed(what) | Self::DeviceGone(what) => what,
        }
    }
}

/// A drive as it was seen. The file system's UUID decides what a disk is; where the drive differs,
/// that is a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// Name of the block device below `/dev`, such as `sdb1`.
    pub name: Raw,
    /// Size of the block device in bytes.
    pub size_bytes: Option<u64>,
    /// Serial number.
    pub serial: Option<Raw>,
    /// World-wide name.
    pub wwn: Option<Raw>,
}

/// The root's file system as it stands, and as we knew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsFacts {
    /// What is there now.
    pub present: Known<Fingerprint>,
    /// What the ledger knows; `Absent`: the root was never verified.
    pub ledger: Known<Fingerprint>,
    /// The file-system UUID that our marker on the root names; `Absent`: no marker.
    pub marker: Known<String>,
    /// What else the marker says, where it says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_of: Option<MarkerOf>,
    /// The number that was advertised for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<Megabytes>,
    /// What was noted when the root was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// Whose root our marker says it lies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerOf {
    /// `/etc/machine-id` of the host that made it.
    pub machine_id: Raw,
    /// The root's text there.
    pub root: Raw,
}

/// The hidden side of a MOUNT disk that `disk prepare` laid out: the file system's own root, of
/// which the advertised root shows the folder `volume`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HiddenSide {
    /// Where the file system is mounted.
    pub path: Raw,
    /// Identity of its root directory.
    pub directory: FileIdentity,
}

/// What a running agent sees under the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentView {
    /// No agent of ours runs.
    NoAgent,
    /// The same inode and device as we see.
    Same,
    /// Something else: a sentence.
    Other(String),
    /// Could not be compared: a sentence.
    Unknown(String),
}

/// A root and everything observed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFacts {
    /// Type and text, as Mesos knows them.
    pub disk: DiskRef,
    /// Who names it.
    pub named_by: BTreeSet<RootWitness>,
    /// The mount it lies on. `Absent`: the path does not exist, or a MOUNT root is not a mount
    /// point, or a PATH root's own mount is missing (the ledger or a rule knows it).
    pub mount: Known<RootMount>,
    /// Fingerprints, old and new.
    pub filesystem: FsFacts,
    /// What the agent sees there.
    pub view: AgentView,
    /// ROOT and PATH: the entries of `volumes/roles/*/`. `Absent`: there is no `volumes/roles`.
    /// Always `Absent` for MOUNT.
    pub dirs: Known<Vec<DirFacts>>,
    /// ROOT and PATH: entries below `volumes/roles` that can't be volumes.
    pub strange: Vec<StrangeEntry>,
    /// The trash. `Absent`: none was made yet.
    pub trash: Known<Vec<TrashFacts>>,
    /// MOUNT only: whether anything lies in it. `Absent` otherwise.
    pub content: Known<MountContent>,
    /// MOUNT only: its hidden side. `Absent`: a plain one, which has no trash. `Unknown`: it was
    /// laid out by us, and its hidden side can't be seen or is not what it should be.
    #[serde(default = "absent", skip_serializing_if = "is_absent")]
    pub hidden: Known<HiddenSide>,
    /// The marks beside the trash. `Absent`: none. `Unknown`: one can't be read, and could be any
    /// volume's.
    #[serde(default = "absent", skip_serializing_if = "is_absent")]
    pub adopted: Known<Vec<AdoptedMark>>,
}

fn absent<T>() -> Known<T> {
    Known::Absent
}

fn is_absent<T>(fact: &Known<T>) -> bool {
    matches!(fact, Known::Absent)
}

impl RootFacts {
    /// The type.
    #[must_use]
    pub fn kind(&self) -> DiskType {
        self.disk.kind
    }

    /// Whether it is seen to be on an xfs: no other file system has projects that anything is counted by.
    #[must_use]
    pub fn is_on_xfs(&self) -> bool {
        matches!(&self.mount, Known::Known(mount) if mount.fs_type == "xfs")
    }

    /// Where its trash lies.
    #[must_use]
    pub fn trash_path(&self) -> Raw {
        match &self.hidden {
            Known::Known(hidden) => hidden.path.join(HIDDEN_TRASH),
            Known::Absent | Known::Unknown(_) => self.disk.root.join(TRASH),
        }
    }

    /// Where its marks lie.
    #[must_use]
    pub fn adopted_path(&self) -> Raw {
        let ours = match &self.hidden {
            Known::Known(hidden) => hidden.path.join(HIDDEN_OURS),
            Known::Absent | Known::Unknown(_) => self.disk.root.join(OURS),
        };
        ours.join(ADOPTED)
    }

    /// Whether a destroy of ours moved this volume aside here, and nothing is known of its end.
    #[must_use]
    pub fn has_set_aside(&self, key: &VolumeKey) -> bool {
        let entries = self.trash.known().into_iter().flatten();
        entries
            .filter_map(|entry| entry.manifest.known())
            .any(|manifest| manifest.unconfirmed && manifest.volume == *key)
    }

    /// The entries of its trash that are being filled or emptied, one by one, and have data: the
    /// disk is half a tenant's until that has ended.
    pub fn half_moved(&self) -> impl Iterator<Item = &TrashFacts> {
        let is_mount = self.disk.kind == DiskType::Mount;
        self.trash
            .known()
            .into_iter()
            .flatten()
            .filter(move |entry| {
                is_mount
                    && entry.data != Known::Absent
                    && match &entry.manifest {
                        Known::Known(manifest) => manifest.state == TrashState::Prepared,
                        // Nothing is moved before its manifest is there.
                        Known::Absent => false,
                        Known::Unknown(_) => true,
                    }
            })
    }
}

/// What a MOUNT root holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountContent {
    /// Nothing, or nothing but an empty `lost+found`.
    Empty,
    /// Something.
    Data,
}

/// The type of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Regular file.
    File,
    /// FIFO, socket or device.
    Special,
    /// Something is mounted there; what lies behind was not looked at.
    Mount,
}

/// A directory at depth 2 below `volumes/roles`, as it was seen through open descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirFacts {
    /// Name of the role directory.
    pub role_dir: Raw,
    /// Name of the volume directory.
    pub id_dir: Raw,
    /// What it is.
    pub kind: FileKind,
    /// Its identity. `Unknown` where the file system gives none.
    pub identity: Known<FileIdentity>,
    /// Where it lies in its file system, for comparison with holders. `Unknown` when it could not
    /// be told.
    pub location: Known<FsLocation>,
}

impl DirFacts {
    /// Where it lies on its disk, for display and comparison.
    #[must_use]
    pub fn path(&self, disk: &DiskRef) -> Raw {
        disk.root
            .join(ROLES)
            .join(&self.role_dir)
            .join(&self.id_dir)
    }
}

/// An entry that can't be a volume: a file, link or mount at depth 1, or a name at depth 2 that
/// Mesos would refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangeEntry {
    /// Relative to the root.
    pub path: Raw,
    /// What it is.
    pub kind: FileKind,
    /// Why it can't be a volume.
    pub reason: String,
}

/// An entry of the trash, as found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashFacts {
    /// Its directory's name.
    pub id: TrashId,
    /// Its manifest. `Unknown` when damaged: such an entry is reported and never touched.
    pub manifest: Known<Manifest>,
    /// The identity of `data`. `Absent`: no data is there.
    pub data: Known<FileIdentity>,
    /// Where `data` lies, for comparison with holders.
    pub location: Known<FsLocation>,
    /// Whether it is the frame of an entry that a crash left before its manifest was written: nothing
    /// lies in it but, perhaps, half a manifest and an empty `data`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
}
