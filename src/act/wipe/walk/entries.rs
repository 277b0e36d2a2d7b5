//! Reading a directory, and unlinking what is in it.

use std::mem;
use std::time::Duration;

use super::{Pass, Ready, Unlinked, Walk, path_of};
use crate::act::sys::{Errno, FsKind, Sys};
use crate::act::wipe::report::{LeftKind, StopReason};
use crate::sys::{Batch, More, TypeHint};

/// What of a batch's memory is kept between directories.
const BATCH_KEPT: usize = 256 << 10;
/// From so many entries on, they are put in the order of their inodes on every file system. On ext4
/// that is always a gain. On xfs it costs one thread 14 % in small directories, and gives two threads a
/// quarter of their time.
const SORT_FROM: usize = 10_000;
/// On btrfs, up to so many entries of a directory are removed in the order in which they were made, what lies
/// in its directories included, as `rm` does: the tree that holds them all loses one end then, where
/// it would be gone through twice otherwise. A chain of directories takes a tenth less.
const IN_ORDER: usize = 4096;
/// How often a directory is read again because the names of its directories did not fit.
const READINGS: u16 = 1000;
/// How often the file system is synced to get room for removing.
const SYNCS: u32 = 8;
/// Larger files are shortened in steps before they are unlinked, when there is a rate to keep to
/// and the file system is ext4, or one that discards what is freed at once: there, unlinking one
/// gigabyte holds up everybody's fsync. xfs frees it in the background.
const LARGE: u64 = 256 << 20;
/// The steps,
const STEP: u64 = 64 << 20;
/// and the rest after each.
const STEP_REST: Duration = Duration::from_millis(20);

impl<S: Sys> Walk<'_, S> {
    pub(super) fn read(&mut self) -> Result<(), StopReason> {
        let mut batch = mem::replace(&mut self.batch, Batch::new(0));
        let result = self.read_batch(&mut batch);
        self.small_batch(&mut batch);
        batch.release_beyond(BATCH_KEPT);
        self.batch = batch;
        result
    }

    pub(super) fn read_batch(&mut self, batch: &mut Batch) -> Result<(), StopReason> {
        batch.clear();
        let mut more = true;
        while more && (!batch.is_full() || self.large_batch(batch)) {
            self.check()?;
            match self.sys.read_entries(self.dir()?, batch) {
                Ok(More::Maybe) => {}
                Ok(More::No) => more = false,
                // On local file systems that was the end. What came meanwhile is not chased:
                // a writer may be as fast as we are.
                Ok(More::Hardly) => more = self.kind == FsKind::Other,
                Err(errno) => {
                    // What was read up to here can go.
                    more = false;
                    self.leave_directory(LeftKind::from_errno(errno))?;
                }
            }
        }
        let sorted = match self.kind {
            FsKind::Ext4 => true,
            FsKind::Xfs => self.crew.is_some(),
            FsKind::Btrfs | FsKind::Other => false,
        };
        if sorted || batch.len() > SORT_FROM {
            batch.sort_by_inode();
        }

        let height = self.names.height();
        let room = self
            .limits
            .names
            .saturating_sub(height)
            .checked_div(2)
            .unwrap_or(0);
        let room = height.saturating_add(room.max(self.limits.names_least));
        let mut skipped = false;
        let waiting = self.waiting(batch);
        for at in 0..waiting {
            let Some((name, _, hint)) = batch.get(at) else {
                continue;
            };
            let Some(is_directory) = self.stays_as_directory(name, hint)? else {
                return self.begin_anew();
            };
            if is_directory && (self.names.height() >= room || !self.names.push(name)) {
                skipped = true;
            }
        }
        // The last name laid down is the first that is seen to.
        for at in (waiting..batch.len()).rev() {
            let Some((name, _, hint)) = batch.get(at) else {
                continue;
            };
            let waits = if hint == TypeHint::Directory {
                self.names.height() < room && self.names.push(name)
            } else {
                self.names.height() < self.limits.names / 4 && self.names.push_other(name)
            };
            if waits {
                continue;
            }
            let Some(is_directory) = self.stays_as_directory(name, hint)? else {
                return self.begin_anew();
            };
            skipped |= is_directory;
        }

        if more && !skipped {
            more = self.may_read_on(batch.len())?;
        }
        let seen = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let pass = &mut self.top()?.pass;
        pass.seen = pass.seen.saturating_add(seen);
        pass.skipped |= skipped;
        // What was skipped is found when it is read anew; reading on now would only skip more.
        pass.more = more && !skipped;
        Ok(())
    }

    /// Unlinks what is no directory, and tells whether it is one; `None` where nothing of the directory it
    /// lies in is any of ours.
    fn stays_as_directory(
        &mut self,
        name: &[u8],
        hint: TypeHint,
    ) -> Result<Option<bool>, StopReason> {
        if hint == TypeHint::Directory {
            return Ok(Some(true));
        }
        Ok(match self.unlink(name, hint)? {
            Unlinked::IsDirectory => Some(true),
            Unlinked::Gone | Unlinked::Left => Some(false),
            Unlinked::Outside => None,
        })
    }

    /// From which entry on what was read is removed when its turn comes, and not at once: from the first
    /// directory on, where the order matters.
    fn waiting(&self, batch: &Batch) -> usize {
        let count = batch.len();
        if self.kind != FsKind::Btrfs || count > IN_ORDER {
            return count;
        }
        let mut hints = batch.iter().map(|(.., hint)| hint);
        match hints.position(|hint| hint == TypeHint::Directory) {
            // The file system tells what everything is, or it is asked as everywhere.
            Some(first) if !hints.any(|hint| hint == TypeHint::Unknown) => first,
            Some(_) | None => count,
        }
    }

    /// Whether a directory that has more entries may be read on: no reading gives more entries
    /// than the directory's size allowed when it was found to be large.
    pub(super) fn may_read_on(&mut self, read: usize) -> Result<bool, StopReason> {
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        let readable = if let Some(readable) = self.top()?.readable {
            readable.saturating_sub(read)
        } else {
            // The fewest bytes that an entry adds to a directory's size.
            let least = match self.kind {
                FsKind::Ext4 | FsKind::Xfs => 8,
                FsKind::Btrfs => 2,
                FsKind::Other => 1,
            };
            match self.sys.node(self.dir()?) {
                Ok(node) => node.size.checked_div(least).unwrap_or(0),
                Err(_) => u64::MAX,
            }
        };
        self.top()?.readable = (readable > 0).then_some(readable);
        Ok(readable > 0)
    }

    pub(super) fn read_anew(&mut self) -> Result<(), StopReason> {
        let top = self.top()?;
        top.pass = Pass::NEW;
        top.readable = None;
        top.readings = top.readings.saturating_add(1);
        if top.readings > READINGS {
            top.pass.more = false;
            return self.leave_directory(LeftKind::Busy);
        }
        if let Err(errno) = self.sys.rewind(self.dir()?) {
            self.top()?.pass.more = false;
            return self.leave_directory(LeftKind::from_errno(errno));
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, name: &[u8], hint: TypeHint) -> Result<Unlinked, StopReason> {
        self.check()?;
        if let Ready::Stays(kind) = self.before_unlinking(name, hint)? {
            self.leave(kind, name)?;
            return Ok(Unlinked::Left);
        }
        if (self.kind == FsKind::Ext4 || self.discards)
            && self.control.rate() > 0
            && matches!(hint, TypeHint::File | TypeHint::Unknown)
        {
            self.shorten(name)?;
        }
        match self.sys.unlink(self.dir()?, name) {
            Ok(()) => self.unlinked(),
            Err(errno) => self.unlink_after(errno, name),
        }
    }

    /// What the mode does to a file before it goes.
    fn before_unlinking(&self, name: &[u8], hint: TypeHint) -> Result<Ready, StopReason> {
        let Some(before) = self.before else {
            return Ok(Ready::Unlink);
        };
        if !matches!(hint, TypeHint::File | TypeHint::Unknown) {
            return Ok(Ready::Unlink);
        }
        // Files of a model have no data.
        let Some(dir) = self.sys.descriptor(self.dir()?) else {
            return Ok(Ready::Unlink);
        };
        if self.crew.is_some() {
            return Ok(if before.is_ready(dir, name) {
                Ready::Unlink
            } else {
                Ready::Stays(LeftKind::Promise)
            });
        }
        let (frames, names) = (&self.frames, &self.names);
        before.before_unlink(dir, name, &|| path_of(frames, names, Some(name)))
    }

    pub(super) fn unlinked(&mut self) -> Result<Unlinked, StopReason> {
        self.tally.files = self.tally.files.saturating_add(1);
        self.progress.removed_file();
        self.keep_pace()?;
        Ok(Unlinked::Gone)
    }

    pub(super) fn keep_pace(&mut self) -> Result<(), StopReason> {
        let sys = self.sys;
        if self.pace.removed(self.control, || sys.now()) {
            Ok(())
        } else {
            Err(StopReason::Cancelled)
        }
    }

    #[cold]
    pub(super) fn unlink_after(
        &mut self,
        first: Errno,
        name: &[u8],
    ) -> Result<Unlinked, StopReason> {
        let mut result = Err(first);
        if self.may_be_flags(first) {
            result = self.unlink_flagged(first, name)?;
        }
        while matches!(result, Err(Errno::NOSPC | Errno::DQUOT)) && self.sync_for_room()? {
            result = self.sys.unlink(self.dir()?, name);
        }
        match result {
            Ok(()) => self.unlinked(),
            Err(Errno::NOENT) => Ok(Unlinked::Gone),
            Err(Errno::ISDIR) => Ok(Unlinked::IsDirectory),
            Err(Errno::ROFS) => Err(StopReason::ReadOnly),
            Err(Errno::ACCESS) if self.is_outside() => Ok(Unlinked::Outside),
            Err(errno) => {
                let mut kind = LeftKind::from_errno(errno);
                if kind == LeftKind::NotPermitted && self.sys.is_swap(self.dir()?, name) == Ok(true)
                {
                    kind = LeftKind::Swap;
                }
                self.leave(kind, name)?;
                Ok(Unlinked::Left)
            }
        }
    }

    /// Not permitted: takes flags from the directory, then from the entry.
    pub(super) fn unlink_flagged(
        &mut self,
        first: Errno,
        name: &[u8],
    ) -> Result<Result<(), Errno>, StopReason> {
        let dir = self.dir()?;
        if self.sys.clear_flags(dir) == Ok(true) {
            match self.sys.unlink(dir, name) {
                Err(Errno::PERM | Errno::ACCESS) => {}
                other => return Ok(other),
            }
        }
        Ok(match self.sys.unlink_flagged(dir, name) {
            Err(Errno::PERM | Errno::ACCESS) => Err(first),
            other => other,
        })
    }

    /// Whether it is worth to try again after a sync.
    pub(super) fn sync_for_room(&mut self) -> Result<bool, StopReason> {
        self.syncs = self.syncs.saturating_add(1);
        Ok(self.syncs <= SYNCS && self.sys.sync_fs(self.dir()?).is_ok())
    }

    /// Shortens a large file step by step. Whatever goes wrong, the unlink that follows decides.
    pub(super) fn shorten(&mut self, name: &[u8]) -> Result<(), StopReason> {
        let Ok(Some((file, mut size))) = self.sys.open_large(self.dir()?, name, LARGE) else {
            return Ok(());
        };
        while size > STEP {
            size = size.saturating_sub(STEP);
            if self.sys.truncate(&file, size).is_err() {
                break;
            }
            if !self.control.rest(STEP_REST) {
                return Err(StopReason::Cancelled);
            }
        }
        Ok(())
    }
}
