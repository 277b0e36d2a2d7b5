//! The UUID of a mounted file system, asked of the file system that is there, never of a path.
//!
//! Three sources, the best first: the kernel (`FS_IOC_GETFSUUID`, Linux 6.9; btrfs's own call,
//! any version), the superblock on the block device that the file's device number names, and what
//! udev noted about that device.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, major, minor, openat};
use rustix::io::{Errno, pread, retry_on_intr};
use uuid::Uuid;

use super::ioctl;
use super::read::read_bounded;
use super::stat::node;
use crate::decide::facts::DeviceNumber;

/// Why a file system's UUID could not be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FsUuidError {
    /// It is not on a block device of its own (tmpfs, overlay, network), and has no UUID.
    #[error("the file system is on no block device")]
    NoDevice,
    /// Neither kernel nor superblock nor udev knows a UUID of this device.
    #[error("no UUID is known of device {device}")]
    NotKnown {
        /// The device.
        device: DeviceNumber,
    },
    /// The kernel refused a question.
    #[error("the file system could not be asked")]
    Io(#[source] Errno),
}

/// File systems told apart by the magic number of `statfs(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// ext2, ext3, ext4: one magic number.
    Ext4,
    /// xfs.
    Xfs,
    /// btrfs.
    Btrfs,
    /// Any other.
    Other,
}

/// Which of the file systems that need care of their own this file lies on.
pub fn fs_kind(fd: impl AsFd) -> Result<FsKind, Errno> {
    let magic = retry_on_intr(|| fstatfs(fd.as_fd()))?.f_type;
    Ok(match u64::try_from(magic) {
        Ok(0xEF53) => FsKind::Ext4,
        Ok(0x5846_5342) => FsKind::Xfs,
        Ok(0x9123_683E) => FsKind::Btrfs,
        Ok(_) | Err(_) => FsKind::Other,
    })
}

/// The UUID of the file system that this file lies on, lower case with hyphens. The file must be
/// open for reading (`O_PATH` won't do).
pub fn filesystem_uuid(fd: impl AsFd) -> Result<String, FsUuidError> {
    let fd = fd.as_fd();
    match ioctl::fs_uuid(fd) {
        Ok(bytes) => {
            if let Some(text) = text_of(bytes) {
                return Ok(text);
            }
        }
        Err(Errno::BADF) => return Err(FsUuidError::Io(Errno::BADF)),
        // ENOTTY or EINVAL by older kernels and other file systems.
        Err(_) => {}
    }
    let kind = fs_kind(fd).map_err(FsUuidError::Io)?;
    if kind == FsKind::Btrfs {
        // Its device number is anonymous, so that only its own call can tell.
        let fsid = ioctl::btrfs_fsid(fd).map_err(FsUuidError::Io)?;
        return text_of(fsid).ok_or(FsUuidError::NoDevice);
    }
    uuid_by_device(fd, kind)
}

/// As [`filesystem_uuid`], without asking the kernel for the UUID.
fn uuid_by_device(fd: BorrowedFd<'_>, kind: FsKind) -> Result<String, FsUuidError> {
    let device = node(fd).map_err(FsUuidError::Io)?.device;
    if device.major == 0 {
        return Err(FsUuidError::NoDevice);
    }
    if let Ok(Some(uuid)) = superblock_uuid(device, kind) {
        return Ok(uuid);
    }
    // No such node in /dev (a container), or a file system whose superblock is not known here.
    udev_uuid(device, kind).ok_or(FsUuidError::NotKnown { device })
}

fn text_of(bytes: [u8; 16]) -> Option<String> {
    (bytes != [0; 16]).then(|| Uuid::from_bytes(bytes).hyphenated().to_string())
}

/// Where a superblock has its magic number and its UUID, both in bytes from the device's start.
struct Superblock {
    magic_at: u64,
    magic: &'static [u8],
    uuid_at: u64,
}

fn superblock_of(kind: FsKind) -> Option<Superblock> {
    match kind {
        FsKind::Ext4 => Some(Superblock {
            magic_at: 1024 + 0x38,
            magic: &[0x53, 0xEF],
            uuid_at: 1024 + 0x68,
        }),
        FsKind::Xfs => Some(Superblock {
            magic_at: 0,
            magic: b"XFSB",
            uuid_at: 32,
        }),
        FsKind::Btrfs => Some(Superblock {
            magic_at: 0x1_0040,
            magic: b"_BHRfS_M",
            uuid_at: 0x1_0020,
        }),
        FsKind::Other => None,
    }
}

/// The UUID in the superblock on this block device; `None` where it holds no such superblock.
pub fn superblock_uuid(device: DeviceNumber, kind: FsKind) -> Result<Option<String>, Errno> {
    let Some(place) = superblock_of(kind) else {
        return Ok(None);
    };
    let link = rustix::fs::readlinkat(
        CWD,
        format!("/sys/dev/block/{}:{}", device.major, device.minor),
        Vec::new(),
    )?;
    let name = Path::new(std::ffi::OsStr::from_bytes(link.to_bytes()))
        .file_name()
        .ok_or(Errno::NODEV)?;
    // The kernel writes `!` where a device's name has a `/`.
    let name: Vec<u8> = name
        .as_bytes()
        .iter()
        .map(|&byte| if byte == b'!' { b'/' } else { byte })
        .collect();
    let path = [b"/dev/", name.as_slice()].concat();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(CWD, path.as_slice(), flags, Mode::empty()))?;
    let found = fstat(&file)?;
    let is_it = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice
        && major(found.st_rdev) == device.major
        && minor(found.st_rdev) == device.minor;
    if !is_it {
        return Err(Errno::NODEV);
    }
    let mut magic = vec![0_u8; place.magic.len()];
    let mut bytes = [0_u8; 16];
    let whole = retry_on_intr(|| pread(&file, magic.as_mut_slice(), place.magic_at))?
        == magic.len()
        && retry_on_intr(|| pread(&file, &mut bytes, place.uuid_at))? == bytes.len();
    Ok((whole && magic == place.magic)
        .then(|| text_of(bytes))
        .flatten())
}

/// `ID_FS_UUID` of udev's note on a device; `None` where there is none, or where it speaks of
/// another kind of file system (udev may not have looked since a mkfs).
fn udev_uuid(device: DeviceNumber, kind: FsKind) -> Option<String> {
    let path = format!("/run/udev/data/b{}:{}", device.major, device.minor);
    let note = read_bounded(Path::new(&path), 1 << 20).ok()?;
    udev_note_uuid(&note, kind)
}

fn udev_note_uuid(note: &[u8], kind: FsKind) -> Option<String> {
    let value = |key: &str| {
        note.split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(key.as_bytes()))
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    let fs_type = value("E:ID_FS_TYPE=")?;
    let agrees = match kind {
        FsKind::Ext4 => matches!(fs_type, "ext2" | "ext3" | "ext4"),
        FsKind::Xfs => fs_type == "xfs",
        FsKind::Btrfs => fs_type == "btrfs",
        FsKind::Other => !matches!(fs_type, "ext2" | "ext3" | "ext4" | "xfs" | "btrfs"),
    };
    let uuid = value("E:ID_FS_UUID=")?;
    (agrees && !uuid.is_empty()).then(|| uuid.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udevs_note_counts_only_when_it_speaks_of_the_file_system_that_is_mounted() {
        let note = b"S:disk/by-id/x\nE:ID_FS_TYPE=xfs\nE:ID_FS_UUID=ABCD-12\nE:ID_FS_UUID_ENC=no\n";
        assert_eq!(
            udev_note_uuid(note, FsKind::Xfs).as_deref(),
            Some("abcd-12")
        );
        assert_eq!(udev_note_uuid(note, FsKind::Ext4), None);
        assert_eq!(udev_note_uuid(b"E:ID_FS_UUID=x\n", FsKind::Xfs), None);
        assert_eq!(udev_note_uuid(b"", FsKind::Other), None);
    }

    #[test]
    fn a_descriptor_without_reading_is_refused_not_guessed() {
        let dir = openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(
            filesystem_uuid(&dir).unwrap_err(),
            FsUuidError::Io(Errno::BADF)
        );
    }
}
