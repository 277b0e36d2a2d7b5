//! Rules for disks, as the configuration states them.

use serde::{Deserialize, Serialize};

use crate::mesos::disk::DiskType;
use crate::mesos::ids::Role;
use crate::units::{Bytes, Raw, Span};

/// How the advertised number is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeRule {
    /// The file system's total size less this.
    Reserve(Bytes),
    /// Exactly this; must fit into the file system.
    Size(Bytes),
}

/// `[root]`: the agent's work_dir as a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRule {
    /// Whether ROOT is offered at all (an explicit entry of 0 MB is written where it is not,
    /// because the agent would detect it by itself: F§1.6, F§1.7).
    pub advertise: bool,
    /// The number.
    pub size: SizeRule,
    /// Static role; `*` for none.
    pub role: Role,
}

/// One `[[disks]]` rule: first match wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRule {
    /// PATH or MOUNT.
    pub kind: DiskType,
    /// Globs over mount points; a PATH entry without wildcard may also be a directory on a mount.
    pub paths: Vec<String>,
    /// Globs over file-system labels; empty: any.
    pub labels: Vec<String>,
    /// Globs over drive models; empty: any.
    pub models: Vec<String>,
    /// Globs over device names such as `sd*` or `/dev/sdb1`; empty: any.
    pub devices: Vec<String>,
    /// The number.
    pub size: SizeRule,
    /// Static role; `*` for none.
    pub role: Role,
}

/// `[discovery]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryRules {
    /// How long a disk must be unchanged before it is offered.
    pub settle: Span,
    /// Smaller file systems are not offered.
    pub min_size: Bytes,
    /// File-system types that may be offered; empty: every local one.
    pub filesystems: Vec<String>,
    /// Globs over mount points and device names that are never offered.
    pub exclude: Vec<String>,
}

/// Everything that the configuration says about disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRules {
    /// `agent.work_dir`.
    pub work_dir: Raw,
    /// `[root]`.
    pub root: RootRule,
    /// `[[disks]]`, in order.
    pub disks: Vec<DiskRule>,
    /// `[discovery]`.
    pub discovery: DiscoveryRules,
}
