//! Overwriting files where they lie, before they are unlinked.
//!
//! It has two parts. [`Overwrite::ahead`] goes through the whole tree once (in each pass): it
//! writes over every extent of every regular file that has one name, large files past the page
//! cache and small ones through it, makes that durable by one `syncfs` for thousands of files,
//! and reads the very places on the device back that the extents had before they were written
//! (where there is no rate to keep to, by a second thread, while the next thousands are written).
//! That costs little where a sync and a read for each file cost hundreds of times the unlink.
//! Then the walk unlinks; before each file it asks [`BeforeUnlink::before_unlink`], which lets go
//! what bears the mark of this run (a time of change that nobody can guess, lost by any later
//! write), and overwrites, syncs and reads back by itself everything else: what lies too deep,
//! what was new or changed, what could not be read back.
//!
//! What makes it a promise, and when it is none ([`ShortOf`]):
//!
//! * The file system writes over what is there: ext4 without `data=journal`, and xfs. Extents that
//!   are shared, inline, compressed or encrypted, and devices that are thin or not known, are
//!   reported as short.
//! * Written durably before the name goes: overwritten pages of an unlinked file are thrown away.
//! * All extents, those that are allocated and unwritten too: `FALLOC_FL_ZERO_RANGE` leaves old data
//!   in them. Holes are left holes.
//! * A file with another name is never written to: that name may lie outside the volume. Once all
//!   names but one are gone it is overwritten like any other.
//! * FIFOs, sockets and devices are never opened: an entry is taken hold of by `O_PATH`, looked at,
//!   and only a regular file is opened, through its descriptor.
//!
//! Files are not renamed before they are unlinked: where the old name stood in the directory and in
//! the journal is not overwritten by that (the test `root_a_rename_leaves_the_old_name_on_the_disk`
//! shows it for ext4, xfs and btrfs), so that it would promise what it does not do; and one more change of
//! metadata a file would cost as much as the unlink itself. Nor are they truncated first: the unlink
//! of a file with one name gives back the same blocks in the same transaction.
//!
//! It promises nothing about file names, earlier places of the data that the file system gave up
//! before, the journal's copies of metadata, and what a device keeps below the addresses that it
//! shows. In the words of NIST SP 800-88 that is no *clear* of the medium, as that means all
//! addressable places, and never a *purge*.

mod ahead;
mod io;
mod storage;
mod survey;
pub(super) mod target;
mod tree;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fsync};
use rustix::io::{Errno, retry_on_intr};

use self::target::{Look, Mark};
use super::control::Control;
use super::links::Links;
use super::progress::Progress;
use super::proof::{Account, ShortOf};
use super::report::{LeftKind, StopReason};
use super::walk::{BeforeUnlink, Ready};
use crate::act::sys::FsKind;
use crate::decide::facts::WipeMethod;
use crate::sys::OpenError;
use crate::sys::ioctl::{FileExtent, file_extents};
use crate::units::Raw;

use self::io::write_over;
pub(super) use self::io::{Aligned, BLOCK, Halt, Range, in_time, read_back};
pub(super) use self::storage::{Storage, device_name, is_device};
pub(super) use self::survey::survey;

/// From so many bytes on, a file is written past the page cache.
const DIRECT_FROM: u64 = 256 << 10;
/// How often a file is overwritten again because it was written to meanwhile.
const TRIES: u8 = 4;

/// An overwrite of one tree.
#[derive(Debug)]
pub(super) struct Overwrite<'a> {
    method: WipeMethod,
    control: &'a Control,
    progress: &'a Progress,
    account: &'a Account,
    storage: Storage,
    mark: Mark,
    zeros: Aligned,
    random: Option<Aligned>,
    links: Links,
    memory: Mutex<Memory>,
}

/// What is remembered of single files.
#[derive(Debug, Default)]
struct Memory {
    /// Inodes that bear the mark and were read back as something else.
    again: BTreeSet<u64>,
    /// There were more of these than are remembered: the mark counts for nothing.
    all_again: bool,
}

/// A part of a file on the device, to be read back.
#[derive(Clone, Copy, Debug)]
struct Piece {
    physical: u64,
    length: u64,
    inode: u64,
}

/// What covering a file came to.
#[derive(Clone, Copy, Debug)]
struct Covered {
    bytes: u64,
    /// Where the last extent ended.
    end: u64,
    short: Option<ShortOf>,
    /// There was more of it than when it was looked at.
    grew: bool,
}

impl<'a> Overwrite<'a> {
    pub(super) fn new(
        root: BorrowedFd<'_>,
        method: WipeMethod,
        control: &'a Control,
        progress: &'a Progress,
        account: &'a Account,
    ) -> Result<Self, Errno> {
        let random = if method.passes > 1 {
            Some(Aligned::random()?)
        } else {
            None
        };
        Ok(Self {
            method,
            control,
            progress,
            account,
            storage: Storage::of(root)?,
            mark: Mark::random()?,
            zeros: Aligned::zeros(),
            random,
            links: Links::default(),
            memory: Mutex::default(),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// The patterns, the last of which stays.
    fn patterns(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let before = self.method.passes.saturating_sub(1);
        let random = self.random.as_ref().map_or(&[][..], Aligned::get);
        (0..before)
            .map(move |_| (random, false))
            .chain([(self.zeros.get(), true)])
    }

    /// Writes over every extent of a file.
    fn cover(
        &self,
        file: BorrowedFd<'_>,
        look: &Look,
        pattern: &[u8],
        mut pieces: Option<&mut Vec<Piece>>,
        extents: &mut Vec<FileExtent>,
    ) -> Result<Covered, Halt> {
        // A file that grows as fast as it is written over has to come to an end.
        let most = look.allocated.saturating_add(64 << 20);
        let mut covered = Covered {
            bytes: 0,
            end: 0,
            short: None,
            grew: false,
        };
        if self.storage.kind == FsKind::Ext4 && target::is_journaled(file) {
            covered.short = Some(ShortOf::JournaledData);
        }
        let mut ranges: Vec<Range> = Vec::new();
        loop {
            let from = covered.end;
            file_extents(file, from, false, extents).map_err(Halt::Io)?;
            if extents.iter().any(FileExtent::is_pending) {
                file_extents(file, from, true, extents).map_err(Halt::Io)?;
            }
            ranges.clear();
            for extent in extents.iter() {
                covered.end = covered
                    .end
                    .max(extent.logical.saturating_add(extent.length));
                if let Some(short) = short_of(extent) {
                    covered.short.get_or_insert(short);
                }
                // Written elsewhere, it would do nothing to what is shared.
                if extent.is_shared() || extent.length == 0 {
                    continue;
                }
                if let (Some(pieces), true) = (pieces.as_deref_mut(), extent.on_device())
                    && self.method.verify
                    && self.storage.device.is_some()
                {
                    pieces.push(Piece {
                        physical: extent.physical,
                        length: extent.length,
                        inode: look.inode,
                    });
                }
                match ranges.last_mut() {
                    Some(range) if range.from.checked_add(range.length) == Some(extent.logical) => {
                        range.length = range.length.saturating_add(extent.length);
                    }
                    Some(_) | None => ranges.push(Range {
                        from: extent.logical,
                        length: extent.length,
                    }),
                }
            }
            let written = write_over(file, &ranges, pattern, self.control)?;
            covered.bytes = covered.bytes.saturating_add(written);
            let ended = extents.last().is_none_or(FileExtent::is_last) || covered.end <= from;
            if ended {
                return Ok(covered);
            }
            if covered.bytes > most {
                covered.grew = true;
                return Ok(covered);
            }
        }
    }

    /// Reads pieces back: the inodes of those that are not all zeros, and how many bytes were.
    fn read_pieces(&self, mut pieces: Vec<Piece>) -> Result<(BTreeSet<u64>, u64), Halt> {
        let Some(device) = &self.storage.device else {
            return Ok((BTreeSet::new(), 0));
        };
        pieces.sort_unstable_by_key(|piece| piece.physical);
        let mut ranges: Vec<Range> = Vec::new();
        for piece in &pieces {
            match ranges.last_mut() {
                Some(range) if range.from.checked_add(range.length) == Some(piece.physical) => {
                    range.length = range.length.saturating_add(piece.length);
                }
                Some(_) | None => ranges.push(Range {
                    from: piece.physical,
                    length: piece.length,
                }),
            }
        }
        let zeros = self.zeros.get();
        let wrong: Mutex<Vec<Range>> = Mutex::default();
        let good = std::sync::atomic::AtomicU64::new(0);
        read_back(device.as_fd(), &ranges, self.control, &|range, bytes| {
            if zeros.get(..bytes.len()) == Some(bytes) {
                good.fetch_add(range.length, std::sync::atomic::Ordering::Relaxed);
            } else {
                wrong
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(range);
            }
        })?;
        let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        let touches = |piece: &Piece, range: &Range| {
            piece.physical < range.from.saturating_add(range.length)
                && range.from < piece.physical.saturating_add(piece.length)
        };
        // Of a block that holds several files all are done again.
        let inodes = pieces
            .iter()
            .filter(|piece| wrong.iter().any(|range| touches(piece, range)))
            .map(|piece| piece.inode)
            .collect();
        Ok((inodes, good.into_inner()))
    }

    /// One file by itself: overwritten, synced, read back; why it fell short, if it did.
    fn one(&self, entry: &OwnedFd, first: Look) -> Result<Option<ShortOf>, StopReason> {
        let not_overwritten = |errno: Errno| ShortOf::NotOverwritten {
            errno: errno.raw_os_error(),
        };
        let mut look = first;
        let mut direct = look.allocated >= DIRECT_FROM;
        let mut extents = Vec::new();
        for _try in 0..TRIES {
            let file = match take(entry, &look, direct) {
                Ok(Some(file)) => file,
                Ok(None) => return Ok(Some(ShortOf::Changing)),
                Err(Errno::INVAL) if direct => {
                    direct = false;
                    continue;
                }
                Err(errno) => return Ok(Some(not_overwritten(errno))),
            };
            let mut pieces = Vec::new();
            let mut short = self.storage.short;
            let mut grew = false;
            for (pattern, last) in self.patterns() {
                let wanted = last.then_some(&mut pieces);
                let covered = match self.cover(file.as_fd(), &look, pattern, wanted, &mut extents) {
                    Ok(covered) => covered,
                    Err(halt) => return Ok(Some(not_overwritten(halt.errno()?))),
                };
                match in_time(file.as_fd(), self.control, |fd| retry_on_intr(|| fsync(fd))) {
                    Ok(()) => {}
                    Err(halt) => return Ok(Some(not_overwritten(halt.errno()?))),
                }
                self.account.written(covered.bytes);
                short = short.or(covered.short);
                grew |= covered.grew || grown(file.as_fd(), &look, &covered);
            }
            if grew {
                // What it is by now; whether it is still ours alone is seen when it is taken.
                match target::look(file.as_fd()) {
                    Ok(Some(now)) => look = now,
                    Ok(None) | Err(_) => return Ok(Some(ShortOf::Changing)),
                }
                continue;
            }
            self.account.file();
            self.progress.overwritten(look.allocated);
            return match self.read_pieces(pieces) {
                Ok((wrong, bytes)) => {
                    self.account.read_back(bytes);
                    Ok(short.or_else(|| {
                        if wrong.is_empty() {
                            self.storage.unread(self.method)
                        } else {
                            Some(ShortOf::Differs)
                        }
                    }))
                }
                Err(halt) => Ok(Some(ShortOf::NotReadBack {
                    errno: halt.errno()?.raw_os_error(),
                })),
            };
        }
        Ok(Some(ShortOf::Changing))
    }

    /// Whether it was overwritten, read back, and not changed since.
    fn is_done(&self, look: &Look) -> bool {
        if !look.bears(self.mark) {
            return false;
        }
        let memory = self.memory();
        !memory.all_again && !memory.again.contains(&look.inode)
    }

    fn fell_short(&self, why: ShortOf, path: &dyn Fn() -> Raw) -> Ready {
        if self.method.strict {
            return Ready::Stays(LeftKind::Promise);
        }
        self.account.short(why, Some(path));
        Ready::Unlink
    }
}

impl BeforeUnlink for Overwrite<'_> {
    fn before_unlink(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &dyn Fn() -> Raw,
    ) -> Result<Ready, StopReason> {
        // The usual case, without opening anything: between a look by descriptor and the unlink the
        // name could be given to another file as well.
        if let Ok(Some(look)) = target::glance(dir, name)
            && look.links == 1
            && self.is_done(&look)
        {
            return Ok(Ready::Unlink);
        }
        let (entry, look) = match target::find(dir, name) {
            Ok(Some(found)) => found,
            // No regular file, or not to be reached: the unlink says which.
            Ok(None) | Err(OpenError::Missing | OpenError::Mount | OpenError::Symlink) => {
                return Ok(Ready::Unlink);
            }
            Err(OpenError::Io(errno)) => {
                let errno = errno.raw_os_error();
                return Ok(self.fell_short(ShortOf::NotOverwritten { errno }, path));
            }
            Err(OpenError::NotADirectory | OpenError::NoMountId) => {
                let errno = Errno::NOSYS.raw_os_error();
                return Ok(self.fell_short(ShortOf::NotOverwritten { errno }, path));
            }
        };
        if look.is_empty() {
            return Ok(Ready::Unlink);
        }
        if look.links > 1 {
            if self.method.strict {
                return Ok(Ready::Stays(LeftKind::Promise));
            }
            self.links.one_of_several(look.inode, self.account, path);
            return Ok(Ready::Unlink);
        }
        if self.is_done(&look) {
            return Ok(Ready::Unlink);
        }
        if let Some(why) = self.one(&entry, look)? {
            return Ok(self.fell_short(why, path));
        }
        self.links.last(look.inode, self.account);
        Ok(Ready::Unlink)
    }

    fn is_ready(&self, dir: BorrowedFd<'_>, name: &[u8]) -> bool {
        match target::find(dir, name) {
            Ok(None) => true,
            Ok(Some((_, look))) => look.is_empty() || (look.links == 1 && self.is_done(&look)),
            Err(_) => false,
        }
    }
}

/// Sets and lists of which one more or less entry is always whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a promise can't be kept for an extent.
fn short_of(extent: &FileExtent) -> Option<ShortOf> {
    if extent.is_shared() {
        Some(ShortOf::SharedBlocks)
    } else if extent.is_inline() {
        Some(ShortOf::InlineData)
    } else if extent.is_encoded() {
        Some(ShortOf::Encoded)
    } else if extent.is_pending() {
        Some(ShortOf::Changing)
    } else {
        None
    }
}

/// Opens for writing what was looked at; `None` when it is another by now, or has another name.
fn take(entry: &OwnedFd, look: &Look, direct: bool) -> Result<Option<OwnedFd>, Errno> {
    let more = if direct {
        OFlags::DIRECT
    } else {
        OFlags::empty()
    };
    let file = target::open_to_write(entry, more)?;
    let same =
        target::look(file.as_fd())?.is_some_and(|now| now.inode == look.inode && now.links == 1);
    Ok(same.then_some(file))
}

/// Whether somebody else made it longer: writing over its last block may have, a little.
fn grown(file: BorrowedFd<'_>, before: &Look, covered: &Covered) -> bool {
    match target::look(file) {
        Ok(Some(now)) => now.links != 1 || now.size > before.size.max(covered.end),
        Ok(None) | Err(_) => true,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make files of their own")]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::act::wipe::tests::temp;
    use crate::decide::facts::DeviceNumber;

    const KIB: u64 = 1 << 10;

    /// An overwrite whose device is this file.
    pub(super) fn overwrite(
        device: Option<File>,
        watched: &(Control, Progress, Account),
    ) -> Overwrite<'_> {
        Overwrite {
            method: WipeMethod::UNLINK,
            control: &watched.0,
            progress: &watched.1,
            account: &watched.2,
            storage: Storage {
                kind: FsKind::Ext4,
                short: None,
                device: device.map(OwnedFd::from),
                number: DeviceNumber { major: 0, minor: 0 },
            },
            mark: Mark::random().unwrap(),
            zeros: Aligned::zeros(),
            random: None,
            links: Links::default(),
            memory: Mutex::default(),
        }
    }

    pub(super) fn watched() -> (Control, Progress, Account) {
        (Control::new(0), Progress::default(), Account::default())
    }

    #[test]
    fn of_a_block_that_was_read_back_as_something_else_all_files_are_done_again_and_no_other() {
        let (temp, watched) = (temp(), watched());
        let device = tempfile::tempfile_in(temp.path()).unwrap();
        device.set_len(8 << 20).unwrap();
        // In the second of three blocks, all in one run, and in a place by itself.
        device.write_all_at(b"x", 1500 * KIB).unwrap();
        device.write_all_at(b"x", 6000 * KIB).unwrap();
        let of = |inode: u64, from: u64, to: u64| Piece {
            physical: from * KIB,
            length: (to - from) * KIB,
            inode,
        };
        let pieces = vec![
            of(6, 6000, 6004),
            of(1, 0, 1024),
            of(2, 1024, 1028),
            of(3, 1028, 2047),
            of(4, 2047, 2048),
            of(5, 2048, 3072),
            of(7, 7000, 7004),
        ];
        let all: u64 = pieces.iter().map(|piece| piece.length).sum();
        let (again, good) = overwrite(Some(device), &watched)
            .read_pieces(pieces)
            .unwrap();
        assert_eq!(again, BTreeSet::from([2, 3, 4, 6]));
        assert_eq!(good, all - 1024 * KIB - 4 * KIB);
    }

    #[test]
    fn a_mark_counts_for_nothing_once_something_else_was_read_back() {
        let (temp, watched) = (temp(), watched());
        let overwrite = overwrite(None, &watched);
        let file = tempfile::tempfile_in(temp.path()).unwrap();
        let is_done = || overwrite.is_done(&target::look(file.as_fd()).unwrap().unwrap());
        assert!(!is_done());
        overwrite.mark.set(file.as_fd()).unwrap();
        assert!(is_done());
        let inode = target::look(file.as_fd()).unwrap().unwrap().inode;
        overwrite.memory().again.insert(inode + 1);
        assert!(is_done(), "another one's");
        overwrite.memory().again.insert(inode);
        assert!(!is_done());
        overwrite.memory().again.clear();
        overwrite.memory().all_again = true;
        assert!(!is_done());
    }

    #[test]
    fn what_has_another_name_or_is_another_file_is_not_opened_for_writing() {
        let temp = temp();
        let at = |name: &str| temp.path().join(name);
        for name in ["file", "other"] {
            std::fs::write(at(name), "data").unwrap();
        }
        let dir = File::open(temp.path()).unwrap();
        let (entry, look) = target::find(dir.as_fd(), b"file").unwrap().unwrap();
        let (_, other) = target::find(dir.as_fd(), b"other").unwrap().unwrap();
        assert!(take(&entry, &look, false).unwrap().is_some());
        assert!(take(&entry, &other, false).unwrap().is_none());
        std::fs::hard_link(at("file"), at("outside")).unwrap();
        assert!(take(&entry, &look, false).unwrap().is_none());
    }

    #[test]
    fn a_file_that_became_longer_or_got_another_name_is_seen_to_have() {
        let temp = temp();
        let path = temp.path().join("file");
        std::fs::write(&path, "data").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let before = target::look(file.as_fd()).unwrap().unwrap();
        let covered = |end| Covered {
            bytes: 4,
            end,
            short: None,
            grew: false,
        };
        assert!(!grown(file.as_fd(), &before, &covered(4)));
        file.set_len(5000).unwrap();
        assert!(grown(file.as_fd(), &before, &covered(4096)));
        // To the end of its last block, which was written over.
        assert!(!grown(file.as_fd(), &before, &covered(8192)));
        std::fs::hard_link(&path, temp.path().join("other")).unwrap();
        assert!(grown(file.as_fd(), &before, &covered(8192)));
    }
}
