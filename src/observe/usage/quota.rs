//! What a directory takes up as its file system counts it, without looking at what is in it.
//!
//! In any doubt there is no answer, and the directory is walked: where the count is of more or of less
//! than the directory, is being made anew, or is switched off.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{FsWord, fstatfs};
use rustix::io::{Errno, retry_on_intr};

use super::{Method, Usage};
use crate::decide::facts::DeviceNumber;
use crate::sys::{footprint, ioctl};

const BTRFS: FsWord = 0x9123_683e;
const XFS: FsWord = 0x5846_5342;

/// A project of an xfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Project {
    /// The file system's.
    pub device: DeviceNumber,
    /// Its id, never 0.
    pub id: u32,
}

/// The project that a directory hands on to all that is made in it; `None` where its file system is no
/// xfs, too. Who asks [`counted`] has to know these of all volumes: an id that two have counts both.
pub fn project(dir: &OwnedFd) -> Result<Option<Project>, Errno> {
    if retry_on_intr(|| fstatfs(dir))?.f_type != XFS {
        return Ok(None);
    }
    let device = footprint(dir, b"")?.device;
    let id = ioctl::inherited_project(dir.as_fd())?;
    Ok(id.map(|id| Project { device, id }))
}

/// What the file system itself says that a directory takes up, in a moment whatever its size; `None`
/// where it says nothing that can be relied on. Its project, if any, is used only when it is `lone`:
/// no other directory's.
pub fn counted(dir: &OwnedFd, lone: impl FnOnce(Project) -> bool) -> Result<Option<Usage>, Errno> {
    Ok(match retry_on_intr(|| fstatfs(dir))?.f_type {
        BTRFS => of_subvolume(dir)?.map(|bytes| usage(Method::Qgroup, bytes, None)),
        XFS => match project(dir)? {
            Some(project) if lone(project) => {
                match ioctl::xfs_project_usage(dir.as_fd(), project.id) {
                    Ok(found) => found
                        .map(|found| usage(Method::ProjectQuota, found.bytes, Some(found.inodes))),
                    // No quota in this kernel, or none on this mount, or not for us.
                    Err(Errno::NOSYS | Errno::INVAL | Errno::SRCH | Errno::PERM) => None,
                    Err(errno) => return Err(errno),
                }
            }
            Some(_) | None => None,
        },
        _ => None,
    })
}

fn usage(method: Method, bytes: u64, entries: Option<u64>) -> Usage {
    Usage {
        method,
        bytes,
        entries,
        skipped: 0,
        recounted: 0,
    }
}

/// The trees and kinds of items of btrfs, by its on-disk format.
const ROOT_TREE: u64 = 1;
const QUOTA_TREE: u64 = 8;
const ROOT_REF: u32 = 156;
const QGROUP_STATUS: u32 = 240;
const QGROUP_INFO: u32 = 242;
/// The root directory of every subvolume.
const SUBVOLUME_ROOT: u64 = 256;

/// What the qgroup of a subvolume says that it refers to, in bytes.
fn of_subvolume(dir: &OwnedFd) -> Result<Option<u64>, Errno> {
    // A directory in a subvolume has no count of its own.
    if footprint(dir, b"")?.inode != SUBVOLUME_ROOT {
        return Ok(None);
    }
    match of_qgroup(dir) {
        Ok(found) => Ok(found),
        // Quota was never switched on, or it is not for us to see.
        Err(Errno::NOENT | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn of_qgroup(dir: &OwnedFd) -> Result<Option<u64>, Errno> {
    let dir = dir.as_fd();
    let id = ioctl::btrfs_subvolume_id(dir)?;
    // Subvolumes inside have qgroups of their own.
    let inside = ioctl::btrfs_item(dir, ROOT_TREE, id, ROOT_REF, [0, u64::MAX])?;
    if inside.is_some() || !is_reliable(dir)? {
        return Ok(None);
    }
    // Level 0, so that the qgroup's id is the subvolume's.
    let info = ioctl::btrfs_item(dir, QUOTA_TREE, 0, QGROUP_INFO, [id, id])?;
    // A count that is made anew meanwhile says so afterwards.
    if !is_reliable(dir)? {
        return Ok(None);
    }
    // `rfer`, after a generation; a subvolume takes up something.
    Ok(info
        .and_then(|info| number(&info, 1))
        .filter(|bytes| *bytes > 0))
}

/// Whether qgroups are on, complete, and count what is referred to, not (as simple quotas do) what was
/// written first.
fn is_reliable(dir: std::os::fd::BorrowedFd<'_>) -> Result<bool, Errno> {
    const ON: u64 = 1;
    let status = ioctl::btrfs_item(dir, QUOTA_TREE, 0, QGROUP_STATUS, [0, 0])?;
    // Version, generation, flags. Any other flag, known or not, is a doubt.
    Ok(
        status
            .is_some_and(|status| number(&status, 0) == Some(1) && number(&status, 2) == Some(ON)),
    )
}

/// The little-endian number at this place among the numbers of an item.
fn number(item: &[u8], at: usize) -> Option<u64> {
    item.chunks_exact(8)
        .nth(at)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
