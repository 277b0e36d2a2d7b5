//! Who uses what: mounts and open files of all processes.

use serde::{Deserialize, Serialize};

use super::DeviceNumber;
use crate::units::Raw;

/// A place inside a file system, whatever mounts show it: the device, and the path from the file
/// system's own root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FsLocation {
    /// The file system's device number, as in mountinfo.
    pub device: DeviceNumber,
    /// Absolute path from the file system's root (for btrfs: as in mountinfo's root field).
    pub path: Raw,
}

impl FsLocation {
    /// Whether `self` is `other` or lies below it.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.device == other.device && self.path.below(&other.path).is_some()
    }
}

/// How a place is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// A mount whose source lies there (a bind mount of the volume into a container).
    MountOf,
    /// A mount point that lies there (something is mounted inside the volume).
    MountPoint,
    /// An open file or directory.
    OpenFile,
    /// A working directory or root directory.
    WorkingDirectory,
    /// A mapped file.
    Mapping,
    /// An active swap file.
    Swap,
}

/// A process that holds a place on one of the roots' file systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// How.
    pub kind: HolderKind,
    /// What is held, or where the mount point lies.
    pub location: FsLocation,
    /// For mounts: the mount point as that process sees it. Copies of a MOUNT root's own mount, in
    /// another namespace or below a recursive bind mount of the host's tree, are no use of it and
    /// are left out: they lie on the same directory of the same parent file system. The same text
    /// alone says nothing (a container may have the disk at the same path).
    pub mount_point: Option<Raw>,
    /// One process that has it; 0 for swap.
    pub pid: i32,
    /// That process's name.
    pub command: Raw,
}
