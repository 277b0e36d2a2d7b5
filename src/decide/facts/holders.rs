//! Who uses what: mounts and open files of all processes.

use serde::{Deserialize, Serialize};

use super::{DeviceNumber, Known};
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

/// A mounting: one directory of a file system shown on another directory, or something that lies
/// on a directory of a volume. Its copies in other mount namespaces (propagated there, or inherited
/// when the namespace was made) lie on the same directory: they are the same mounting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounting {
    /// What it shows; of one inside a volume, the directory that it lies on.
    pub location: FsLocation,
    /// Whether it lies inside the volume instead of showing it.
    pub inside: bool,
    /// The directory that it lies on, where that can be told.
    pub lies_on: Option<FsLocation>,
    /// Some of the namespaces that have it: that of pid 1 first, then by their lowest pid.
    pub views: Vec<MountView>,
    /// How many mount namespaces have it.
    pub namespaces: u32,
}

/// A mounting as one mount namespace has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountView {
    /// The namespace, as `/proc/<pid>/ns/mnt` names it.
    pub namespace: Raw,
    /// Whether it is that of pid 1.
    pub host: bool,
    /// The mount point there, from the top of the namespace's tree.
    pub mount_point: Raw,
    /// The first processes that live there, by pid.
    pub pids: Vec<i32>,
    /// How many live there.
    pub processes: u32,
    /// The name of the first.
    pub command: Raw,
    /// The containers whose sandbox is itself mounted there: what Mesos and Docker give the
    /// container that a namespace belongs to.
    pub sandboxes: Vec<Raw>,
    /// The container that the first process's control group names; of Docker, `docker-` and the
    /// first digits.
    pub cgroup: Option<Raw>,
}

/// What the agent's files say of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRun {
    /// The container id: the name of its folder in `runs`.
    pub id: Raw,
    /// The framework.
    pub framework: Raw,
    /// The executor; for tasks without one of their own, the task.
    pub executor: Raw,
    /// Whether it has ended; `Absent`: nothing says so.
    pub ended: Known<RunEnd>,
}

/// By what a container is known to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Its run has `executor.sentinel`: the agent knows.
    Sentinel,
    /// The process of `pids/forked.pid` is gone: an agent that runs will know soon.
    ProcessGone(i32),
}
