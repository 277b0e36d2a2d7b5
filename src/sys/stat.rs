//! What a descriptor or an entry is, told without ever asking a file system that might not answer.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, statx,
};
use rustix::io::{Errno, retry_on_intr};

use super::ioctl;
use super::open::one_component;
use crate::decide::facts::{DeviceNumber, FileKind};

/// A mount's id: the first field of its line in mountinfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId(pub u64);

/// When a file was made and last changed, in seconds since 1970 by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was made, where the file system keeps that.
    pub made: Option<i64>,
    /// When its content last changed; a directory's own, not that of what is below it.
    pub changed: i64,
}

/// When what is open was made and last changed.
pub fn times(fd: impl AsFd) -> Result<Times, Errno> {
    let flags = QUIET.union(AtFlags::EMPTY_PATH);
    let wanted = StatxFlags::BTIME.union(StatxFlags::MTIME);
    let found = retry_on_intr(|| statx(fd.as_fd(), c"", flags, wanted))?;
    Ok(Times {
        made: (found.stx_mask & StatxFlags::BTIME.bits() != 0).then_some(found.stx_btime.tv_sec),
        changed: found.stx_mtime.tv_sec,
    })
}

/// A file as `stat` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The device number that `stat` gives; anonymous for btrfs.
    pub device: DeviceNumber,
    /// The inode number.
    pub inode: u64,
    /// Directory, link, file or special. Never `Mount`: what was opened is not looked at from
    /// outside.
    pub kind: FileKind,
    /// Names that it has.
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
}

/// `AT_STATX_DONT_SYNC` keeps the kernel from asking a FUSE or network server, which may be dead.
const QUIET: AtFlags = AtFlags::STATX_DONT_SYNC
    .union(AtFlags::SYMLINK_NOFOLLOW)
    .union(AtFlags::NO_AUTOMOUNT);

/// What an open file is; works on `O_PATH` descriptors.
pub fn node(fd: impl AsFd) -> Result<Node, Errno> {
    let found = retry_on_intr(|| {
        statx(
            fd.as_fd(),
            c"",
            QUIET.union(AtFlags::EMPTY_PATH),
            StatxFlags::BASIC_STATS,
        )
    })?;
    Ok(Node {
        device: DeviceNumber {
            major: found.stx_dev_major,
            minor: found.stx_dev_minor,
        },
        inode: found.stx_ino,
        kind: kind_of(&found),
        links: found.stx_nlink,
        size: found.stx_size,
    })
}

/// What an entry takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// As by `stat`; anonymous for btrfs.
    pub device: DeviceNumber,
    /// The inode number.
    pub inode: u64,
    /// Names that it has.
    pub links: u32,
    /// Blocks that are allocated to it, in bytes.
    pub bytes: u64,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether something is mounted on it, as far as the kernel tells (Linux 5.8); what was mounted is
    /// then what the rest is about.
    pub mounted: bool,
}

/// What an entry takes up, told without asking a server that may be dead; with an empty name, what an
/// open file does.
pub fn footprint(dir: impl AsFd, name: &[u8]) -> Result<Footprint, Errno> {
    let mut flags = QUIET;
    if name.is_empty() {
        flags = flags.union(AtFlags::EMPTY_PATH);
    } else {
        one_component(name)?;
    }
    let mask = StatxFlags::TYPE
        .union(StatxFlags::NLINK)
        .union(StatxFlags::INO)
        .union(StatxFlags::BLOCKS);
    let found = retry_on_intr(|| statx(dir.as_fd(), name, flags, mask))?;
    Ok(Footprint {
        device: DeviceNumber {
            major: found.stx_dev_major,
            minor: found.stx_dev_minor,
        },
        inode: found.stx_ino,
        links: found.stx_nlink,
        bytes: found.stx_blocks.saturating_mul(512),
        directory: kind_of(&found) == FileKind::Directory,
        mounted: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    })
}

fn kind_of(found: &Statx) -> FileKind {
    match FileType::from_raw_mode(u32::from(found.stx_mode)) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::RegularFile => FileKind::File,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => FileKind::Special,
    }
}

/// The mount through which a file was opened; works on `O_PATH` descriptors.
///
/// Asks `statx` (Linux 5.8), then `/proc/self/fdinfo` (3.15), then `name_to_handle_at`; an error
/// where none of them tells.
pub fn mount_id(fd: impl AsFd) -> Result<MountId, Errno> {
    let fd = fd.as_fd();
    let found = statx(
        fd,
        c"",
        QUIET.union(AtFlags::EMPTY_PATH),
        StatxFlags::MNT_ID,
    );
    match found {
        Ok(found) if found.stx_mask & StatxFlags::MNT_ID.bits() != 0 => {
            Ok(MountId(found.stx_mnt_id))
        }
        Ok(_) | Err(_) => mount_id_without_statx(fd),
    }
}

/// As [`mount_id`], by what kernels before 5.8 have.
pub(super) fn mount_id_without_statx(fd: BorrowedFd<'_>) -> Result<MountId, Errno> {
    if let Some(id) = fdinfo_mount_id(fd) {
        return Ok(id);
    }
    let handle = ioctl::file_handle(fd)?;
    let id = u64::try_from(handle.mount_id).map_err(|_negative| Errno::OVERFLOW)?;
    Ok(MountId(id))
}

/// `mnt_id` of `/proc/self/fdinfo/<fd>`; `None` where there is no such line or no `/proc`: the
/// caller has another way, and refuses when that fails too.
fn fdinfo_mount_id(fd: BorrowedFd<'_>) -> Option<MountId> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let file: OwnedFd = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0_u8; 1024];
    let length = retry_on_intr(|| rustix::io::read(&file, &mut text)).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok().map(MountId)
}

/// What the entry `name` of this directory is, without entering or asking it: never hangs on a
/// dead FUSE or network mount, and says `Mount` for anything that is mounted there, bind mounts
/// of files included.
pub fn entry_kind(dir: impl AsFd, name: &[u8]) -> Result<FileKind, Errno> {
    one_component(name)?;
    let dir = dir.as_fd();
    let wanted = StatxFlags::TYPE | StatxFlags::MNT_ID;
    match retry_on_intr(|| statx(dir, name, QUIET, wanted)) {
        Ok(found)
            if found
                .stx_attributes_mask
                .contains(StatxAttributes::MOUNT_ROOT) =>
        {
            if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                Ok(FileKind::Mount)
            } else {
                Ok(kind_of(&found))
            }
        }
        Err(errno @ (Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ACCESS)) => {
            Err(errno)
        }
        // Before Linux 5.8, or statx refused: by an O_PATH descriptor, which asks nobody.
        Ok(_) | Err(_) => entry_kind_by_path(dir, name),
    }
}

fn entry_kind_by_path(dir: BorrowedFd<'_>, name: &[u8]) -> Result<FileKind, Errno> {
    let entry = open_path(dir, name)?;
    if mount_id_without_statx(entry.as_fd())? != mount_id_without_statx(dir)? {
        return Ok(FileKind::Mount);
    }
    node(&entry).map(|node| node.kind)
}

/// An `O_PATH` descriptor of an entry: of a link itself, of a mount's root; nobody is asked.
pub(crate) fn open_path(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| openat(dir, name, flags, Mode::empty()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn every_way_tells_the_same_mount_id() {
        let dir = File::open(tempfile::tempdir().unwrap().path()).unwrap();
        let by_handle = ioctl::file_handle(dir.as_fd()).unwrap().mount_id;
        let id = mount_id(&dir).unwrap();
        assert_eq!(id, mount_id_without_statx(dir.as_fd()).unwrap());
        assert_eq!(id.0, u64::try_from(by_handle).unwrap());
        assert_ne!(id, mount_id(File::open("/proc").unwrap()).unwrap());
    }

    #[test]
    fn entries_are_told_by_both_ways() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        std::fs::write(temp.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("dir", temp.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
        let dir = File::open(temp.path()).unwrap();
        for (name, kind) in [
            ("dir", FileKind::Directory),
            ("file", FileKind::File),
            ("link", FileKind::Symlink),
            ("socket", FileKind::Special),
        ] {
            assert_eq!(entry_kind(&dir, name.as_bytes()).unwrap(), kind);
            assert_eq!(
                entry_kind_by_path(dir.as_fd(), name.as_bytes()).unwrap(),
                kind
            );
        }
        let root = File::open("/").unwrap();
        assert_eq!(entry_kind(&root, b"proc").unwrap(), FileKind::Mount);
        assert_eq!(
            entry_kind_by_path(root.as_fd(), b"proc").unwrap(),
            FileKind::Mount
        );
        assert_eq!(entry_kind(&dir, b"none").unwrap_err(), Errno::NOENT);
        for path in [&b"dir/.."[..], b"..", b".", b"", b"/"] {
            assert_eq!(entry_kind(&dir, path).unwrap_err(), Errno::INVAL);
        }
    }
}
