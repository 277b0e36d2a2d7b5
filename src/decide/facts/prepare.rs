//! What is looked at before a disk is prepared or given back, and the durable record of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BlockDevice, DeviceNumber, Known, MountTable};
use crate::decide::ledger::Ledger;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::{Bytes, Raw};

/// A file system that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparedFs {
    /// xfs.
    Xfs,
    /// ext4.
    Ext4,
}

impl PreparedFs {
    /// Its name, as the kernel and mount(8) know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
        }
    }

    /// The program that makes it.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Xfs => "mkfs.xfs",
            Self::Ext4 => "mkfs.ext4",
        }
    }

    /// The smallest device that it is made on: what its program wants, and room for a journal.
    #[must_use]
    pub const fn smallest(self) -> Bytes {
        match self {
            Self::Xfs => Bytes(300 << 20),
            Self::Ext4 => Bytes(16 << 20),
        }
    }
}

/// How far preparing got. Each is durable before what follows it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Chosen and written down; the device is as it was.
    Chosen,
    /// The file system is being made: half of it may be there.
    Formatting,
    /// The file system is whole.
    Formatted,
    /// Everything is in place.
    Done,
    /// It is being given back: parts may be gone.
    Releasing,
}

/// `state_dir/prepared/<uuid>.json`: a disk that `disk prepare` made, or is making.
///
/// The UUID of the file system is chosen before it is made, so that a run that was interrupted
/// knows its own half-made file system from everything else that may lie on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedDisk {
    /// Version of this structure; see [`PreparedDisk::VERSION`].
    pub version: u32,
    /// The file system's UUID.
    pub uuid: String,
    /// The disk as it is to be advertised.
    pub disk: DiskRef,
    /// The file system.
    pub fs: PreparedFs,
    /// Name of the device below `/dev` when it was prepared.
    pub device: Raw,
    /// The word that it was confirmed by: a serial number, or the device's own name where it has
    /// none.
    pub confirmed: Raw,
    /// For a loop device: its backing file then.
    pub backing_file: Option<Raw>,
    /// Its size.
    pub size_bytes: u64,
    /// MOUNT: where the file system is mounted out of sight.
    pub hidden: Option<Raw>,
    /// Whether the bare mount point is made immutable.
    pub immutable: bool,
    /// Folders that were not there before, the outermost first: giving back removes them.
    pub folders: Vec<Raw>,
    /// The systemd units, by name; empty where systemd did not run.
    pub units: Vec<String>,
    /// How far it got.
    pub stage: Stage,
}

impl PreparedDisk {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
    /// The folder of these records in `state_dir`.
    pub const FOLDER: &str = "prepared";

    /// Whether it was begun for this very device. Numbers and names change from boot to boot: the
    /// serial decides; where there is none the name, the size and the backing file together.
    #[must_use]
    pub fn is_of(&self, device: &BlockDevice, confirmed: &Raw) -> bool {
        self.confirmed == *confirmed
            && device.size_bytes.known() == Some(&self.size_bytes)
            && self.backing_file == device.backing_file
    }

    /// Where the file system itself is mounted.
    #[must_use]
    pub fn mounted_at(&self) -> &Raw {
        self.hidden.as_ref().unwrap_or(&self.disk.root)
    }
}

impl BlockDevice {
    /// The word that confirms this device, and what it is: its serial number; its world-wide name
    /// where it has none; its own name (`loop3`, or `vg-data` below `/dev/mapper`) where no
    /// hardware is behind it.
    #[must_use]
    pub fn confirmation(&self) -> (Raw, &'static str) {
        if let Some(serial) = &self.serial {
            (serial.clone(), "serial number")
        } else if let Some(wwn) = &self.wwn {
            (wwn.clone(), "world-wide name")
        } else if let Some(name) = &self.mapper_name {
            (name.clone(), "mapper name (it has no serial number)")
        } else {
            (self.name.clone(), "name (it has no serial number)")
        }
    }
}

/// What one program that knows signatures says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program and its arguments.
    pub command: String,
    /// What it found, a line each; `Absent`: it looked and found nothing.
    pub found: Known<Vec<String>>,
}

/// A mount of the device that a process in another mount namespace sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedElsewhere {
    /// The process.
    pub pid: i32,
    /// Where, as that process sees it.
    pub mount_point: Raw,
}

/// What lies at a path where something is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// Nothing: these folders are to be made, the outermost first.
    Missing(Vec<Raw>),
    /// An empty folder, and nothing is mounted on it.
    Empty,
    /// Something is mounted there.
    Mounted,
    /// It can't be used, and why: a sentence.
    Unusable(String),
}

/// Everything that a preparation is decided from.
#[derive(Clone, Debug)]
pub struct PrepareFacts {
    /// Which device its node is. `Absent`: there is no such node.
    pub node: Known<DeviceNumber>,
    /// Every block device.
    pub devices: Known<Vec<BlockDevice>>,
    /// Active swap.
    pub swaps: Known<Vec<Raw>>,
    /// Mount points that `/etc/fstab` wants.
    pub fstab: Known<Vec<Raw>>,
    /// The mount table.
    pub mounts: MountTable,
    /// Its mounts in other namespaces, and how many processes could not be looked at.
    pub elsewhere: (Vec<MountedElsewhere>, usize),
    /// Whether the kernel let it be opened exclusively. `Absent`: somebody else has it.
    pub exclusive: Known<()>,
    /// What blkid and wipefs find.
    pub probes: Vec<Probe>,
    /// Whether the first and the last MiB hold nothing but zeros.
    pub blank: Known<bool>,
    /// What lies at the advertised root.
    pub at: MountPoint,
    /// MOUNT: what lies at the hidden path.
    pub hidden: Option<MountPoint>,
    /// Every record. Unknown where one can't be read.
    pub records: Known<Vec<PreparedDisk>>,
    /// The ledger.
    pub ledger: Known<Ledger>,
    /// Where each program that is needed lies; `Absent`: not in the usual folders.
    pub programs: BTreeMap<&'static str, Known<Raw>>,
    /// Whether systemd runs this host.
    pub systemd: bool,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareRequest {
    /// The device as named, such as `/dev/sdb`.
    pub device: Raw,
    /// PATH or MOUNT.
    pub kind: DiskType,
    /// The root to be advertised.
    pub at: Raw,
    /// The file system.
    pub fs: PreparedFs,
    /// The word that confirms it.
    pub confirm: Raw,
    /// PATH: whether the bare mount point is made immutable. MOUNT: always.
    pub immutable: bool,
    /// The UUID for a new file system.
    pub uuid: String,
    /// `daemon.state_dir`.
    pub state_dir: Raw,
    /// `agent.work_dir`.
    pub work_dir: Raw,
    /// `discovery.min_size`: a smaller disk would never be offered.
    pub min_size: Bytes,
}

impl PrepareRequest {
    /// Where a MOUNT disk's file system is mounted: below `state_dir`, which only root enters.
    #[must_use]
    pub fn hidden(&self, uuid: &str) -> Option<Raw> {
        match self.kind {
            DiskType::Mount => Some(self.state_dir.join("mounts").join(uuid)),
            DiskType::Root | DiskType::Path => None,
        }
    }
}
