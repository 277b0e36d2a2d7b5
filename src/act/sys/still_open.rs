//! Who holds open what was unlinked: its space comes back when he lets go of it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, readlinkat, statx};
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

/// Unlinked files of the file system on which this directory lies that processes hold open; only those
/// whose path, as the kernel remembers it, has this in it. Processes that can't be looked at are left
/// out.
pub(super) fn still_open(dir: &OwnedFd, within: &[u8]) -> Result<Vec<StillOpen>, Errno> {
    let device = device_of(dir, "")?;
    let mut found = Vec::new();
    for_each_number(Path::new("/proc"), &mut |pid, path| {
        let mut files = BTreeMap::new();
        // It may end at any moment.
        let looked = for_each_number(&path.join("fd"), &mut |_, link| {
            let Ok(text) = readlinkat(CWD, &link, Vec::new()) else {
                return;
            };
            let Some(text) = text.as_bytes().strip_suffix(b" (deleted)") else {
                return;
            };
            if !within.is_empty() && !text.windows(within.len()).any(|part| part == within) {
                return;
            }
            // What the descriptor stands for, asked of nobody who may be dead.
            let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
            let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::NLINK | StatxFlags::BLOCKS;
            if let Ok(stat) = statx(CWD, &link, flags, mask)
                && (stat.stx_dev_major, stat.stx_dev_minor) == device
                && stat.stx_nlink == 0
                // Directories take up next to nothing, and one may be our own.
                && FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile
                && files.len() < FILES
            {
                files.insert(stat.stx_ino, stat.stx_blocks.saturating_mul(512));
            }
        });
        if looked.is_ok() && !files.is_empty() {
            found.push(StillOpen {
                pid,
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

fn device_of(dir: impl AsFd, name: &str) -> Result<(u32, u32), Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    let found = retry_on_intr(|| statx(dir.as_fd(), name, flags, StatxFlags::INO))?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

/// Every entry of a folder of procfs whose name is a number.
fn for_each_number(folder: &Path, act: &mut dyn FnMut(i32, PathBuf)) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, folder, flags, Mode::empty())?;
    let mut batch = Batch::new(1);
    loop {
        batch.clear();
        let more = batch.read(&dir)? != More::No;
        for (name, ..) in batch.iter() {
            if let Some((text, number)) = std::str::from_utf8(name)
                .ok()
                .and_then(|text| Some((text, text.parse().ok()?)))
            {
                act(number, folder.join(text));
            }
        }
        if !more {
            return Ok(());
        }
    }
}
