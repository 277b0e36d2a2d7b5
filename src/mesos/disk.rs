//! ROOT, PATH and MOUNT disks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Raw;

/// The kinds of disk that an operator can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DiskType {
    /// The agent's work_dir; in Mesos a disk without source.
    Root,
    /// A directory that is carved up into volumes.
    Path,
    /// A whole file system for one volume.
    Mount,
}

impl fmt::Display for DiskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Root => "ROOT",
            Self::Path => "PATH",
            Self::Mount => "MOUNT",
        })
    }
}

/// A disk as Mesos tells one from another: its type and the text of its root (src/common/
/// resources.cpp compares roots as plain strings).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskRef {
    /// ROOT, PATH or MOUNT.
    #[serde(rename = "type")]
    pub kind: DiskType,
    /// The root's text; the work_dir for ROOT.
    pub root: Raw,
}

impl fmt::Display for DiskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.root)
    }
}

/// `DiskInfo.Source.Type` (include/mesos/mesos.proto).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SourceType {
    /// A carved-up directory.
    Path,
    /// A whole file system.
    Mount,
    /// A block device of a resource provider.
    Block,
    /// Unformatted capacity of a resource provider.
    Raw,
    /// A number that this program does not know.
    Unknown(i32),
}

/// `DiskInfo.Source`: absent for ROOT. All fields take part in Mesos's equality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskSource {
    /// The type.
    #[serde(rename = "type")]
    pub kind: SourceType,
    /// `path.root` or `mount.root`.
    pub root: Option<Raw>,
    /// CSI volume id; it changes the directory of the volume.
    pub id: Option<Raw>,
    /// CSI vendor.
    pub vendor: Option<Raw>,
    /// CSI profile.
    pub profile: Option<Raw>,
    /// CSI metadata, as key and value in the order given.
    pub metadata: Vec<(Raw, Option<Raw>)>,
}

/// What a source says beside type, root and `id`: part of Mesos's equality, so that an agent that
/// was given it must be given it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceExtras {
    /// CSI vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Raw>,
    /// CSI profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Raw>,
    /// CSI metadata, as key and value in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<(Raw, Option<Raw>)>,
}

impl SourceExtras {
    /// Whether there is nothing of it, as with almost every disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vendor.is_none() && self.profile.is_none() && self.metadata.is_empty()
    }
}

impl From<&DiskSource> for SourceExtras {
    fn from(source: &DiskSource) -> Self {
        Self {
            vendor: source.vendor.clone(),
            profile: source.profile.clone(),
            metadata: source.metadata.clone(),
        }
    }
}

impl From<DiskSource> for SourceExtras {
    fn from(source: DiskSource) -> Self {
        Self {
            vendor: source.vendor,
            profile: source.profile,
            metadata: source.metadata,
        }
    }
}
