//! Ahead of the walk: thousands of files are overwritten, made durable by one sync, and read back in
//! the order of the device.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use rustix::fs::syncfs;
use rustix::io::retry_on_intr;
use rustix::time::{ClockId, clock_gettime};

use super::io::{Halt, in_time};
use super::tree::{self, Go, PathOf, Visit};
use super::{DIRECT_FROM, Overwrite, Piece, grown, lock, take, target};
use crate::act::wipe::control::Pace;
use crate::act::wipe::report::StopReason;
use crate::sys::ioctl::FileExtent;
use crate::sys::text;

/// So many bytes in the page cache are written out before there are more: the neighbour's fsync
/// waits for them.
const DIRTY: u64 = 64 << 20;
/// The same where nobody asked for politeness: such a window is written out and read back by a
/// second thread while the next one is being filled, and the last one is waited for.
const DIRTY_UNPACED: u64 = 32 << 20;
/// So many extents are remembered until they are read back.
const EXTENTS: usize = 32 << 10;
const EXTENTS_UNPACED: usize = 16 << 10;
/// So many files of a directory are worth a second thread.
const TOGETHER: usize = 64;
/// So many files that have to be done again are remembered.
const REMEMBERED: usize = 4096;

impl Overwrite<'_> {
    /// Overwrites what it reaches of a whole tree, and marks it.
    pub(in crate::act::wipe) fn ahead(&self, root: BorrowedFd<'_>) -> Result<(), StopReason> {
        // What planned the wipe makes room for the buffers.
        text::give_back();
        for (pattern, last) in self.patterns() {
            std::thread::scope(|scope| {
                let mut window = Window::default();
                let mut beside = None;
                let mut pace = Pace::new(1);
                let went = tree::visit(root, self.control, &mut |visit, path| {
                    let Visit::Files(dir, mut names) = visit else {
                        return Ok(Go::On);
                    };
                    while !names.is_empty() {
                        let files = Files {
                            dir,
                            names,
                            path,
                            pattern,
                            last,
                        };
                        let done = self.some(&files, &mut window, &mut pace)?;
                        names = names.get(done..).unwrap_or_default();
                        if window.is_full(self.control.rate() > 0) {
                            self.settled(beside.take())?;
                            beside = self.settle_beside(scope, root, &mut window)?;
                        }
                    }
                    Ok(Go::On)
                });
                let before = self.settled(beside);
                went.and(before)?;
                self.settle(root, &mut window)
            })?;
        }
        Ok(())
    }

    /// Some of these files, from the first on, until the window is full or there is no more; how many.
    /// By two threads where there is no rate to keep to: what a file takes before its bytes are on
    /// their way is all computing.
    fn some(
        &self,
        files: &Files<'_>,
        window: &mut Window,
        pace: &mut Pace,
    ) -> Result<usize, StopReason> {
        let mut extents = Vec::new();
        if self.control.rate() > 0 || files.names.len() < TOGETHER {
            for (at, name) in files.names.iter().enumerate() {
                self.visit(files, name, window, &mut extents)?;
                if !pace.removed(self.control, monotonic) {
                    return Err(StopReason::Cancelled);
                }
                if window.is_full(self.control.rate() > 0) {
                    return Ok(at.saturating_add(1));
                }
            }
            return Ok(files.names.len());
        }
        // Who takes a name does that file, so that all up to the last one taken are done.
        let next = AtomicUsize::new(0);
        let work = |own: &mut Window, extents: &mut Vec<FileExtent>| {
            while !own.is_half_full() {
                if !self.control.proceed() {
                    return Err(StopReason::Cancelled);
                }
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(name) = files.names.get(at) else {
                    break;
                };
                self.visit(files, name, own, extents)?;
            }
            Ok(())
        };
        let (mut ours, mut theirs) = (Window::default(), Window::default());
        std::thread::scope(|scope| {
            let other = std::thread::Builder::new()
                .name("overwrite".to_owned())
                .stack_size(128 << 10)
                .spawn_scoped(scope, || work(&mut theirs, &mut Vec::new()));
            let done = work(&mut ours, &mut extents);
            match other.map(ScopedJoinHandle::join) {
                // One will do.
                Err(_) => done,
                Ok(Ok(theirs)) => done.and(theirs),
                // What it wrote is not known: everything is done again.
                Ok(Err(_panicked)) => {
                    self.memory().all_again = true;
                    done
                }
            }
        })?;
        window.take(ours);
        window.take(theirs);
        Ok(next.into_inner().min(files.names.len()))
    }

    /// Settles a window on a thread of its own where there is no rate to keep to, at once otherwise;
    /// `window` is empty afterwards.
    fn settle_beside<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        root: BorrowedFd<'scope>,
        window: &mut Window,
    ) -> Result<Option<Beside<'scope>>, StopReason> {
        if self.control.rate() > 0 {
            return self.settle(root, window).map(|()| None);
        }
        let full = Arc::new(Mutex::new(std::mem::take(window)));
        let theirs = Arc::clone(&full);
        let spawned = std::thread::Builder::new()
            .name("settle".to_owned())
            .stack_size(128 << 10)
            .spawn_scoped(scope, move || self.settle(root, &mut lock(&theirs)));
        match spawned {
            Ok(handle) => Ok(Some(handle)),
            Err(_) => self.settle(root, &mut lock(&full)).map(|()| None),
        }
    }

    /// Waits for a window that is settled beside.
    fn settled(&self, beside: Option<Beside<'_>>) -> Result<(), StopReason> {
        match beside.map(ScopedJoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            // What it would have found is not known: everything is done again.
            Some(Err(_panicked)) => {
                self.memory().all_again = true;
                Ok(())
            }
        }
    }

    /// One file, ahead of the walk. What goes wrong here is tried again, and reported, before the
    /// file is unlinked.
    fn visit(
        &self,
        files: &Files<'_>,
        name: &[u8],
        window: &mut Window,
        extents: &mut Vec<FileExtent>,
    ) -> Result<(), StopReason> {
        let (pattern, last) = (files.pattern, files.last);
        let Ok(Some((entry, look))) = target::find(files.dir, name) else {
            return Ok(());
        };
        if look.links != 1 || look.is_empty() || look.bears(self.mark) {
            return Ok(());
        }
        let direct = look.allocated >= DIRECT_FROM;
        let Ok(Some(file)) = take(&entry, &look, direct) else {
            return Ok(());
        };
        drop(entry);
        let known = window.pieces.len();
        let pieces = last.then_some(&mut window.pieces);
        let covered = match self.cover(file.as_fd(), &look, pattern, pieces, extents) {
            Ok(covered) => covered,
            Err(halt) => {
                window.pieces.truncate(known);
                return halt.errno().map(|_again_later| ());
            }
        };
        window.wrote(covered.bytes, direct);
        self.account.written(covered.bytes);
        let grew = covered.grew || grown(file.as_fd(), &look, &covered);
        let short = self.storage.short.or(covered.short);
        let short = short.or_else(|| self.storage.unread(self.method));
        // Strictly, the walk has it stay.
        let stays = short.is_some() && self.method.strict;
        if !last || grew || stays || self.mark.set(file.as_fd()).is_err() {
            return Ok(());
        }
        self.account.file();
        self.progress.overwritten(covered.bytes);
        if let Some(short) = short {
            self.account.short(short, Some(&|| (files.path)(name)));
        }
        Ok(())
    }

    /// Makes what was written durable, and reads it back.
    fn settle(&self, root: BorrowedFd<'_>, window: &mut Window) -> Result<(), StopReason> {
        let pieces = std::mem::take(&mut window.pieces);
        window.dirty = 0;
        match in_time(root, self.control, |fd| retry_on_intr(|| syncfs(fd))) {
            Ok(()) => {}
            Err(Halt::Stopped) => return Err(StopReason::Cancelled),
            Err(Halt::Io(errno)) => return Err(StopReason::from_errno(errno)),
        }
        let (wrong, bytes) = match self.read_pieces(pieces) {
            Ok(read) => read,
            // Everything is done again, one by one, and what is wrong is said there.
            Err(halt) => {
                halt.errno()?;
                self.memory().all_again = true;
                return Ok(());
            }
        };
        self.account.read_back(bytes);
        let mut memory = self.memory();
        memory.again.extend(wrong);
        if memory.again.len() > REMEMBERED {
            memory.again.clear();
            memory.all_again = true;
        }
        Ok(())
    }
}

/// Names of one directory, and what is done to the files.
struct Files<'a> {
    dir: BorrowedFd<'a>,
    names: &'a [&'a [u8]],
    path: &'a PathOf<'a>,
    pattern: &'a [u8],
    /// Whether the pattern is the one that stays.
    last: bool,
}

/// What was written and is not durable yet, nor read back.
#[derive(Debug, Default)]
struct Window {
    pieces: Vec<Piece>,
    dirty: u64,
}

impl Window {
    fn is_full(&self, paced: bool) -> bool {
        let (dirty, extents) = if paced {
            (DIRTY, EXTENTS)
        } else {
            (DIRTY_UNPACED, EXTENTS_UNPACED)
        };
        self.dirty >= dirty || self.pieces.len() >= extents
    }

    /// What was written past the page cache waits for no sync.
    fn wrote(&mut self, bytes: u64, direct: bool) {
        if !direct {
            self.dirty = self.dirty.saturating_add(bytes);
        }
    }

    /// Whether it and another one are as much as fits.
    fn is_half_full(&self) -> bool {
        self.dirty >= DIRTY_UNPACED / 2 || self.pieces.len() >= EXTENTS_UNPACED / 2
    }

    fn take(&mut self, mut other: Self) {
        self.pieces.append(&mut other.pieces);
        self.dirty = self.dirty.saturating_add(other.dirty);
    }
}

/// A window that a thread of its own settles.
type Beside<'scope> = ScopedJoinHandle<'scope, Result<(), StopReason>>;

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{overwrite, watched};
    use super::*;
    use crate::act::wipe::tests::temp;

    fn window(dirty: u64, extents: usize) -> Window {
        let piece = Piece {
            physical: 0,
            length: 4096,
            inode: 1,
        };
        Window {
            pieces: vec![piece; extents],
            dirty,
        }
    }

    #[test]
    fn bytes_that_went_past_the_page_cache_wait_for_no_sync() {
        let mut window = Window::default();
        window.wrote(5, false);
        window.wrote(7, true);
        assert_eq!(window.dirty, 5);
    }

    #[test]
    fn a_window_that_is_settled_beside_is_read_back_and_what_that_found_is_not_lost() {
        let (temp, watched) = (temp(), watched());
        let device = tempfile::tempfile_in(temp.path()).unwrap();
        device.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&device, b"x", 0).unwrap();
        let overwrite = overwrite(Some(device), &watched);
        let dir = std::fs::File::open(temp.path()).unwrap();
        let root = dir.as_fd();
        let again = || std::mem::take(&mut overwrite.memory().again);
        // On a thread of its own, and where there is a rate to keep to, at once.
        for rate in [0, 1000] {
            watched.0.set_rate(rate);
            let mut window = window(DIRTY_UNPACED, 1);
            std::thread::scope(|scope| {
                let beside = overwrite.settle_beside(scope, root, &mut window).unwrap();
                assert_eq!(beside.is_some(), rate == 0);
                assert!(window.pieces.is_empty() && window.dirty == 0);
                overwrite.settled(beside).unwrap();
            });
            assert_eq!(again(), [1].into(), "it is not what was written: {rate}");
        }
        assert!(overwrite.settled(None).is_ok());
        std::thread::scope(|scope| {
            let failed = scope.spawn(|| Err(StopReason::Cancelled));
            assert_eq!(overwrite.settled(Some(failed)), Err(StopReason::Cancelled));
            assert!(!overwrite.memory().all_again);
            let panicked = scope.spawn(|| panic!("as a test wants it"));
            assert_eq!(overwrite.settled(Some(panicked)), Ok(()));
            assert!(
                overwrite.memory().all_again,
                "what it would have found is not known"
            );
        });
    }

    #[test]
    fn the_clock_that_a_rate_is_kept_by_goes_on() {
        let begun = monotonic();
        std::thread::sleep(Duration::from_millis(2));
        assert!(monotonic() > begun);
    }

    /// What bounds memory, and what others' syncs wait for.
    #[test]
    fn a_window_is_full_by_bytes_or_by_extents_and_two_halves_fit_into_it() {
        for (paced, dirty, extents) in [
            (true, DIRTY, EXTENTS),
            (false, DIRTY_UNPACED, EXTENTS_UNPACED),
        ] {
            assert!(!window(dirty - 1, extents - 1).is_full(paced));
            assert!(window(dirty, 0).is_full(paced));
            assert!(window(0, extents).is_full(paced));
        }
        let (dirty, extents) = (DIRTY_UNPACED / 2, EXTENTS_UNPACED / 2);
        let mut all = window(dirty - 1, extents - 1);
        assert!(!all.is_half_full());
        assert!(window(dirty, 0).is_half_full() && window(0, extents).is_half_full());
        all.take(window(dirty, extents));
        assert_eq!(
            (all.dirty, all.pieces.len()),
            (2 * dirty - 1, 2 * extents - 1)
        );
        assert!(!all.is_full(false));
    }
}
