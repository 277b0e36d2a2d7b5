//! Block devices and file systems of the host, as discovery sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeviceNumber, FsFailure, Known, MountEntry, MountTable, Why};
use crate::units::{Raw, Span};

/// What a block device carries, told from its first and last bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A file system.
    Filesystem {
        /// Its type, in the kernel's word.
        fs_type: String,
        /// Its UUID, in the usual form; none where the type has none or it is all zero.
        uuid: Option<String>,
        /// Its label; none where it is empty.
        label: Option<Raw>,
    },
    /// Swap space.
    Swap,
    /// A part of something else (an LVM physical volume, a RAID member, …), in words.
    Member(String),
    /// A partition table, in words.
    PartitionTable(String),
}

/// A block device of `/sys/class/block`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Name below `/dev`, such as `sdb1` or `cciss/c0d0`.
    pub name: Raw,
    /// Device number.
    pub number: DeviceNumber,
    /// For a partition: the drive's name.
    pub parent: Option<Raw>,
    /// For device mapper: the name below `/dev/mapper`.
    pub mapper_name: Option<Raw>,
    /// Size in bytes; 0 without a medium or backing file.
    pub size_bytes: Known<u64>,
    /// Whether the kernel refuses to write to it.
    pub read_only: Known<bool>,
    /// Whether its medium, or that of its drive, can be taken out.
    pub removable: Known<bool>,
    /// Whether it, or its drive, turns.
    pub rotational: Known<bool>,
    /// Whether no hardware of its own is behind it (loop, zram, device mapper, …).
    pub is_virtual: bool,
    /// For a loop device: its backing file.
    pub backing_file: Option<Raw>,
    /// Devices that use it (device mapper, md, bcache), by name.
    pub holders: Vec<Raw>,
    /// Devices that it uses, by name.
    pub slaves: Vec<Raw>,
    /// Its partitions, by name.
    pub partitions: Vec<Raw>,
    /// Model of the drive.
    pub model: Option<Raw>,
    /// Serial number of the drive.
    pub serial: Option<Raw>,
    /// World-wide name of the drive.
    pub wwn: Option<Raw>,
    /// What it carries. `Absent`: nothing that is known here.
    pub content: Known<Content>,
}

impl BlockDevice {
    /// The label of the file system on it.
    #[must_use]
    pub fn label(&self) -> Option<&Raw> {
        match self.content.known()? {
            Content::Filesystem { label, .. } => label.as_ref(),
            Content::Swap | Content::Member(_) | Content::PartitionTable(_) => None,
        }
    }

    /// The UUID of the file system on it.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        match self.content.known()? {
            Content::Filesystem { uuid, .. } => uuid.as_deref(),
            Content::Swap | Content::Member(_) | Content::PartitionTable(_) => None,
        }
    }

    /// Whether this path, such as the source of a mount or of swap, is this device by text.
    #[must_use]
    pub fn is_called(&self, path: &Raw) -> bool {
        let Some(name) = path.as_bytes().strip_prefix(b"/dev/") else {
            return false;
        };
        name == self.name.as_bytes()
            || self
                .mapper_name
                .as_ref()
                .is_some_and(|mapper| name.strip_prefix(b"mapper/") == Some(mapper.as_bytes()))
    }
}

/// A directory that was asked, and its file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryAnswer {
    /// The path without symbolic links; the same as the one asked for where it holds none.
    pub resolved: Raw,
    /// Id of the mount that it lies on, as the kernel says of the opened directory.
    pub mount: u64,
    /// Size of the file system in bytes (`f_frsize * f_blocks`, as Mesos counts it).
    pub total_bytes: u64,
    /// Free for root, in bytes.
    pub free_bytes: u64,
    /// Whether `statvfs` says read-only.
    pub read_only: bool,
    /// The UUID of the file system. `Absent`: it has none.
    pub uuid: Known<String>,
    /// What is wrong with the file system although it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FsFailure>,
}

/// What was found at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathAnswer {
    /// A directory.
    Directory(DirectoryAnswer),
    /// Nothing: the last component, or one before it, is not there.
    Missing,
    /// Something else than a directory.
    NotADirectory,
    /// A mount on the way must not be asked: its id. Nothing below it was touched.
    OutOfBounds(u64),
    /// No answer came within the time.
    Unanswering,
    /// The file system on the mount with this id answers with errors alone (an xfs that was shut
    /// down): what it said.
    Erring(u64, FsFailure),
    /// The look failed.
    Failed(Why),
}

/// How long mounts have been as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Not asked for: a mere look, or one that has waited long enough.
    Taken,
    /// By mount id; a mount that is not listed was just met.
    Since(BTreeMap<u64, Span>),
}

/// Everything that discovery decides from. Mounts that no rule names were not asked for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDisks {
    /// The mount table.
    pub mounts: MountTable,
    /// The block devices.
    pub devices: Known<Vec<BlockDevice>>,
    /// Active swap: devices and files.
    pub swaps: Known<Vec<Raw>>,
    /// Mount points that `/etc/fstab` wants.
    pub fstab: Known<Vec<Raw>>,
    /// What was found at the paths that the rules name.
    pub answers: BTreeMap<Raw, PathAnswer>,
    /// How long the mounts have been there.
    pub settled: Settled,
}

impl HostDisks {
    /// The block devices, none where they are unknown.
    #[must_use]
    pub fn devices(&self) -> &[BlockDevice] {
        self.devices.known().map_or(&[], Vec::as_slice)
    }

    /// The device that a mount's file system lies on; see [`device_of`].
    #[must_use]
    pub fn device_of(&self, mount: &MountEntry) -> Option<&BlockDevice> {
        device_of(mount, self.devices())
    }

    /// The device with this name.
    #[must_use]
    pub fn device_named(&self, name: &Raw) -> Option<&BlockDevice> {
        self.devices().iter().find(|device| device.name == *name)
    }
}

/// The device that a mount's file system lies on: by number, or, where the file system has a
/// number of its own (btrfs), by the source's text.
#[must_use]
pub fn device_of<'a>(mount: &MountEntry, devices: &'a [BlockDevice]) -> Option<&'a BlockDevice> {
    if mount.device.major == 0 {
        return devices
            .iter()
            .find(|device| device.is_called(&mount.source));
    }
    devices.iter().find(|device| device.number == mount.device)
}
