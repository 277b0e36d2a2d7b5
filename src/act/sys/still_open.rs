//! Who holds open what was unlinked: its space comes back when he lets go of it.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, readlinkat_raw, statx};
use rustix::io::{Errno, retry_on_intr};
use serde::Serialize;

use crate::sys::{Batch, More};

/// What one process holds open although it has no name any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StillOpen {
    /// The process.
    pub pid: i32,
    /// How many files; one that is open twice counts once.
    pub files: u64,
    /// What they take up, in bytes.
    pub bytes: u64,
}

/// How many processes are named, those that hold most.
const NAMED: usize = 16;
/// How many files of one process are told apart.
const FILES: usize = 4096;

/// The longest path that procfs tells.
const LONGEST_PATH: usize = 4096;

/// Unlinked files of the file system on which this directory lies that processes hold open; only those
/// whose path, as the kernel remembers it, has this in it, or is longer than the kernel tells. Processes
/// that can't be looked at are left out.
///
/// This is what a wipe of a small tree takes longest for, so that it asks no more than it has to.
pub(super) fn still_open(dir: &OwnedFd, within: &[u8]) -> Result<Vec<StillOpen>, Errno> {
    let device = device_of(dir, "")?;
    let proc = folder(CWD, "/proc")?;
    let mut look = Look {
        device,
        within,
        path: [MaybeUninit::uninit(); LONGEST_PATH],
        descriptors: Batch::new(1),
    };
    let mut found = Vec::new();
    for_each_number(&proc, &mut Batch::new(1), &mut |pid| {
        // It may end at any moment.
        if let Ok(files) = look.held_by(&proc, pid)
            && !files.is_empty()
            && let Ok(number) = pid.parse()
        {
            found.push(StillOpen {
                pid: number,
                files: u64::try_from(files.len()).unwrap_or(u64::MAX),
                bytes: files
                    .values()
                    .fold(0, |sum, bytes| sum.saturating_add(*bytes)),
            });
            found.sort_by_key(|held| std::cmp::Reverse(held.bytes));
            found.truncate(NAMED);
        }
    })?;
    Ok(found)
}

/// What is looked for, and memory that is used again for each process.
struct Look<'a> {
    device: (u32, u32),
    within: &'a [u8],
    path: [MaybeUninit<u8>; LONGEST_PATH],
    descriptors: Batch,
}

impl Look<'_> {
    /// The files that a process holds, by inode, with the bytes they take up.
    fn held_by(&mut self, proc: &OwnedFd, pid: &str) -> Result<BTreeMap<u64, u64>, Errno> {
        let mut files = BTreeMap::new();
        // Threads of the kernel have no program (`ENOENT`), and no descriptors of their own; nor does a process of
        // which the first thread has ended show either. Who may not be looked at (`EACCES`) would refuse it for
        // each descriptor.
        let program = format!("{pid}/exe");
        if let Err(errno @ (Errno::NOENT | Errno::ACCESS | Errno::PERM | Errno::SRCH)) =
            readlinkat_raw(proc, &program, &mut self.path)
        {
            return Err(errno);
        }
        let descriptors = folder(proc, &format!("{pid}/fd"))?;
        let (device, within, path) = (self.device, self.within, &mut self.path);
        for_each_number(&descriptors, &mut self.descriptors, &mut |link| {
            if may_be_removed(&descriptors, link, within, path)
                && let Some((inode, bytes)) = removed(&descriptors, link, device)
                && files.len() < FILES
            {
                files.insert(inode, bytes);
            }
        })?;
        Ok(files)
    }
}

/// Whether what this descriptor stands for has no name any more, and had one with this in it.
fn may_be_removed(
    descriptors: &OwnedFd,
    link: &str,
    within: &[u8],
    path: &mut [MaybeUninit<u8>],
) -> bool {
    match readlinkat_raw(descriptors, link, path) {
        Ok((path, _)) => path.strip_suffix(b" (deleted)").is_some_and(|path| {
            within.is_empty() || path.windows(within.len()).any(|part| part == within)
        }),
        // It lay as deep as the trees that are made to be hard to remove.
        Err(errno) => errno == Errno::NAMETOOLONG,
    }
}

/// The inode of a regular file of this file system that has no name, and the bytes it takes up.
fn removed(descriptors: &OwnedFd, link: &str, device: (u32, u32)) -> Option<(u64, u64)> {
    // What the descriptor stands for, asked of nobody who may be dead.
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::NLINK | StatxFlags::BLOCKS;
    let stat = statx(descriptors, link, flags, mask).ok()?;
    let is_removed = (stat.stx_dev_major, stat.stx_dev_minor) == device
        && stat.stx_nlink == 0
        // Directories take up next to nothing, and one may be our own.
        && FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    is_removed.then(|| (stat.stx_ino, stat.stx_blocks.saturating_mul(512)))
}

fn device_of(dir: impl AsFd, name: &str) -> Result<(u32, u32), Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    let found = retry_on_intr(|| statx(dir.as_fd(), name, flags, StatxFlags::INO))?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

fn folder(at: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// Every entry of a folder of procfs whose name is a number.
fn for_each_number(
    folder: &OwnedFd,
    batch: &mut Batch,
    act: &mut dyn FnMut(&str),
) -> Result<(), Errno> {
    loop {
        batch.clear();
        // procfs gives as many as there is room for: where there was room, that was the end.
        let more = batch.read(folder)? == More::Maybe;
        for (name, ..) in batch.iter() {
            if let Ok(text) = std::str::from_utf8(name)
                && text.bytes().all(|byte| byte.is_ascii_digit())
            {
                act(text);
            }
        }
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make files of their own")]
mod tests {
    use std::fs::File;

    use rustix::fs::{mkdirat, unlinkat};

    use super::*;

    /// A file in the last of so many directories with long names, and that directory.
    fn deep(root: &OwnedFd, levels: usize) -> (OwnedFd, OwnedFd) {
        let name = "d".repeat(200);
        let mut dir = folder(root, ".").unwrap();
        for _ in 0..levels {
            mkdirat(&dir, &name, Mode::RWXU).unwrap();
            dir = folder(&dir, &name).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(&dir, "file", flags, Mode::RUSR | Mode::WUSR).unwrap();
        rustix::io::write(&file, &[b'x'; 8192]).unwrap();
        rustix::fs::fsync(&file).unwrap();
        (dir, file)
    }

    /// What this process holds.
    fn ours(root: &OwnedFd, within: &[u8]) -> Option<(u64, bool)> {
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = still_open(root, within).unwrap();
        let ours = found.into_iter().find(|held| held.pid == pid)?;
        Some((ours.files, ours.bytes >= 8192))
    }

    #[test]
    fn what_was_removed_is_known_by_its_path_and_also_where_that_is_too_long_to_be_told() {
        let temp = tempfile::tempdir().unwrap();
        let root = OwnedFd::from(File::open(temp.path()).unwrap());
        let name = temp.path().file_name().unwrap().as_encoded_bytes();
        let near = deep(&root, 1);
        assert_eq!(ours(&root, name), None, "it still has its name");
        unlinkat(&near.0, "file", AtFlags::empty()).unwrap();
        assert_eq!(ours(&root, name), Some((1, true)));
        assert_eq!(ours(&root, b"/another/tree"), None);
        drop(near);
        assert_eq!(ours(&root, name), None);

        std::fs::remove_dir_all(temp.path().join("d".repeat(200))).unwrap();
        let (dir, held) = deep(&root, 25);
        unlinkat(&dir, "file", AtFlags::empty()).unwrap();
        assert_eq!(ours(&root, b"/another/tree"), Some((1, true)));
        drop(held);
        assert_eq!(ours(&root, b"/another/tree"), None);
    }
}
