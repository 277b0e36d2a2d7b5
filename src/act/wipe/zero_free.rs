//! Filling the free space of a file system with zeros, and giving it back.
//!
//! Only of a MOUNT disk that was emptied, behind its barrier: a tenant who shares a file system that is
//! full loses data. The file has no name from the start (`O_TMPFILE`), so that a crash at any moment
//! gives its space back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, fstatvfs, fsync, openat, syncfs};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::control::Control;
use super::overwrite::{Aligned, BLOCK, Halt, Range, Storage, in_time, read_back};
use super::progress::Progress;
use super::proof::{Account, ShortOf};
use super::report::StopReason;
use crate::act::sys::FsKind;
use crate::sys::ioctl::{FileExtent, file_extents};
use crate::sys::read_bounded;

/// The smallest write: what O_DIRECT takes on every device.
const SMALLEST: usize = 4096;
/// No file is made larger, so that every file system can have it.
const LARGEST: u64 = 1 << 40;
/// Less than this may stay free without being called short: what a file system hands out while its
/// last blocks are written.
const CRUMBS: u64 = 256 << 10;

/// Fills, syncs, reads back, and frees.
pub(super) fn zero_free(
    dir: BorrowedFd<'_>,
    verify: bool,
    control: &Control,
    progress: &Progress,
    account: &Account,
) -> Result<(), StopReason> {
    let storage = Storage::of(dir).map_err(StopReason::from_errno)?;
    if let Some(why) = storage.short {
        account.short(why, None);
    }
    if storage.kind == FsKind::Xfs {
        // For its own trees; nothing tells which they are, nor counts them as free.
        account.short(ShortOf::KeptBack, None);
    }
    let kept = Kept::lift(&storage);
    let filled = fill(dir, control, progress, account);
    drop(kept);
    let files = match filled {
        Ok(files) => files,
        Err(halt) => {
            let errno = halt.errno()?.raw_os_error();
            account.short(ShortOf::NotFilled { errno }, None);
            return Ok(());
        }
    };
    let left = fstatvfs(dir).map_err(StopReason::from_errno)?;
    if left.f_bfree.saturating_mul(left.f_frsize) > CRUMBS {
        let errno = Errno::NOSPC.raw_os_error();
        account.short(ShortOf::NotFilled { errno }, None);
    }
    if verify {
        look(&storage, &files, control, account)?;
    }
    drop(files);
    match in_time(dir, control, |fd| retry_on_intr(|| syncfs(fd))) {
        Ok(()) => Ok(()),
        Err(Halt::Stopped) => Err(StopReason::Cancelled),
        Err(Halt::Io(errno)) => Err(StopReason::from_errno(errno)),
    }
}

/// Zeros up to the last block; the files that hold them.
fn fill(
    dir: BorrowedFd<'_>,
    control: &Control,
    progress: &Progress,
    account: &Account,
) -> Result<Vec<OwnedFd>, Halt> {
    let zeros = Aligned::zeros();
    let mut files = Vec::new();
    let mut size = BLOCK;
    loop {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match retry_on_intr(|| openat(dir, c".", flags, mode)) {
            Ok(file) => file,
            // Not one more inode, or block for it.
            Err(Errno::NOSPC | Errno::DQUOT) if !files.is_empty() => return Ok(files),
            Err(errno) => return Err(Halt::Io(errno)),
        };
        let mut at: u64 = 0;
        let mut full = false;
        while at < LARGEST {
            if !control.proceed() {
                return Err(Halt::Stopped);
            }
            let piece = zeros.get().get(..size).unwrap_or_default();
            match retry_on_intr(|| pwrite(&file, piece, at)) {
                Ok(done) if done > 0 => {
                    let done = u64::try_from(done).unwrap_or(u64::MAX);
                    at = at.saturating_add(done);
                    account.written(done);
                    progress.overwritten(done);
                }
                Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => {
                    if size <= SMALLEST {
                        full = true;
                        break;
                    }
                    size = size.checked_div(2).unwrap_or(SMALLEST).max(SMALLEST);
                    // What was reserved for later is given out once it is known not to be needed.
                    in_time(file.as_fd(), control, |fd| retry_on_intr(|| fsync(fd)))?;
                }
                Err(Errno::FBIG) => break,
                Err(errno) => return Err(Halt::Io(errno)),
            }
        }
        in_time(file.as_fd(), control, |fd| retry_on_intr(|| fsync(fd)))?;
        files.push(file);
        if full {
            return Ok(files);
        }
    }
}

/// Reads back what was filled, at its places on the device.
fn look(
    storage: &Storage,
    files: &[OwnedFd],
    control: &Control,
    account: &Account,
) -> Result<(), StopReason> {
    let unread = |errno: Errno| {
        let errno = errno.raw_os_error();
        account.short(ShortOf::NotReadBack { errno }, None);
    };
    let Some(device) = &storage.device else {
        unread(Errno::NODEV);
        return Ok(());
    };
    let zeros = Aligned::zeros();
    let differs = AtomicBool::new(false);
    let mut extents = Vec::new();
    for file in files {
        let mut from = 0;
        loop {
            if let Err(errno) = file_extents(file.as_fd(), from, false, &mut extents) {
                unread(errno);
                break;
            }
            let places: Vec<Range> = extents
                .iter()
                .filter(|extent| extent.on_device())
                .map(|extent| Range {
                    from: extent.physical,
                    length: extent.length,
                })
                .collect();
            let read = read_back(device.as_fd(), &places, control, &|range, bytes| {
                if zeros.get().get(..bytes.len()) == Some(bytes) {
                    account.read_back(range.length);
                } else {
                    differs.store(true, Ordering::Relaxed);
                }
            });
            if let Err(halt) = read {
                unread(halt.errno()?);
                break;
            }
            let end = extents
                .last()
                .map_or(from, |last| last.logical.saturating_add(last.length));
            if end <= from || extents.last().is_none_or(FileExtent::is_last) {
                break;
            }
            from = end;
        }
    }
    if differs.load(Ordering::Relaxed) {
        account.short(ShortOf::Differs, None);
    }
    Ok(())
}

/// The clusters that ext4 keeps even from root, for its own needs: lifted while it is filled, put
/// back after. A crash forgets it, and so does the next mount.
struct Kept {
    file: PathBuf,
    before: Vec<u8>,
}

impl Kept {
    fn lift(storage: &Storage) -> Option<Self> {
        if storage.kind != FsKind::Ext4 {
            return None;
        }
        let name = super::overwrite::device_name(storage.number)?;
        let file = PathBuf::from("/sys/fs/ext4")
            .join(name.file_name()?)
            .join("reserved_clusters");
        let before = read_bounded(&file, 64).ok()?;
        let kept = Self { file, before };
        // Where it can't be lifted, what stays free is reported.
        kept.write(b"0").then_some(kept)
    }

    fn write(&self, text: &[u8]) -> bool {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        retry_on_intr(|| openat(CWD, &self.file, flags, Mode::empty()))
            .and_then(|file| retry_on_intr(|| rustix::io::write(&file, text)))
            .is_ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.write(&self.before) {
            tracing::warn!(file = %self.file.display(), "could not be put back to what it was, ignoring");
        }
    }
}
