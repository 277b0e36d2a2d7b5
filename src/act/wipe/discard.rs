//! Unlinking, and then telling the device what is free.
//!
//! `FITRIM` is a word to the device, not an order: what it reads back afterwards is the device's
//! choice. So places of files are noted before they are unlinked, and read back after the trim: only
//! where all of them are zeros is the mode's promise kept. Where the device takes no such word, what
//! was done is an unlink, and is called that.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{OFlags, fstatvfs, syncfs};
use rustix::io::{Errno, retry_on_intr};

use super::control::Control;
use super::links::Links;
use super::overwrite::target;
use super::overwrite::{Aligned, Halt, Range, Storage, in_time, read_back};
use super::proof::{Account, ShortOf};
use super::report::StopReason;
use super::walk::{BeforeUnlink, Ready};
use crate::act::sys::FsKind;
use crate::decide::facts::{WipeMethod, WipeMode};
use crate::sys::ioctl::{FileExtent, file_extents, trim_free};
use crate::units::Raw;

/// So many places are noted; reading back all of a large volume would take as long as writing it.
const PLACES: usize = 4096;
/// How often it is trimmed again because a place was not free yet.
const TRIES: u32 = 4;
/// How often the free space of xfs is looked at until it rests,
const RESTS: u32 = 50;
/// and the time between.
const REST: Duration = Duration::from_millis(50);
/// Of each extent so many bytes.
const LONGEST: u64 = 64 << 10;

/// A discard after one wipe.
#[derive(Debug)]
pub(super) struct Discard<'a> {
    method: WipeMethod,
    control: &'a Control,
    account: &'a Account,
    storage: Storage,
    links: Links,
    places: Mutex<Vec<Range>>,
}

impl<'a> Discard<'a> {
    pub(super) fn new(
        root: BorrowedFd<'_>,
        method: WipeMethod,
        control: &'a Control,
        account: &'a Account,
    ) -> Result<Self, Errno> {
        Ok(Self {
            method,
            control,
            account,
            storage: Storage::of(root)?,
            links: Links::default(),
            places: Mutex::default(),
        })
    }

    fn places(&self) -> MutexGuard<'_, Vec<Range>> {
        // Each change is one push.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the device, and looks.
    pub(super) fn after(&self, dir: BorrowedFd<'_>) -> Result<(), StopReason> {
        if !self.storage.takes_discard() {
            self.account.downgrade(WipeMode::Unlink, ShortOf::NoDiscard);
            return Ok(());
        }
        if self.storage.short == Some(ShortOf::JournaledData) {
            self.account.short(ShortOf::JournaledData, None);
        }
        let places = std::mem::take(&mut *self.places());
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            self.freed(dir)?;
            // What is not committed is not free yet.
            let trimmed = in_time(dir, self.control, |fd| {
                retry_on_intr(|| syncfs(fd))?;
                trim_free(fd)
            });
            let discarded = match trimmed {
                Ok(bytes) => bytes,
                Err(Halt::Stopped) => return Err(StopReason::Cancelled),
                Err(Halt::Io(Errno::OPNOTSUPP | Errno::NOTTY)) => {
                    self.account.downgrade(WipeMode::Unlink, ShortOf::NoDiscard);
                    return Ok(());
                }
                Err(Halt::Io(errno)) => {
                    let errno = errno.raw_os_error();
                    self.account.short(ShortOf::DiscardFailed { errno }, None);
                    return Ok(());
                }
            };
            // The last try holds all that the ones before it did, and is what is told of.
            if self.look(&places, tries >= TRIES)? {
                self.account.discarded(discarded);
                return Ok(());
            }
        }
    }

    /// xfs gives the blocks of unlinked files back behind the unlink, and a trim passes over what is
    /// not free yet: waits until its free space rests.
    fn freed(&self, dir: BorrowedFd<'_>) -> Result<(), StopReason> {
        if self.storage.kind != FsKind::Xfs {
            return Ok(());
        }
        let mut before = None;
        for _ in 0..RESTS {
            // Asking also hurries it on.
            let now = in_time(dir, self.control, |fd| {
                retry_on_intr(|| syncfs(fd))?;
                retry_on_intr(|| fstatvfs(fd)).map(|space| (space.f_bfree, space.f_ffree))
            });
            let now = match now {
                Ok(now) => Some(now),
                Err(Halt::Stopped) => return Err(StopReason::Cancelled),
                Err(Halt::Io(_)) => None,
            };
            if now.is_none() || now == before {
                return Ok(());
            }
            before = now;
            if !self.control.rest(REST) {
                return Err(StopReason::Cancelled);
            }
        }
        Ok(())
    }

    /// Reads the places back; whether that was the last look: all of them are zeros, or it can't be
    /// told, or no more tries are left.
    fn look(&self, places: &[Range], last: bool) -> Result<bool, StopReason> {
        if !self.method.verify {
            return Ok(true);
        }
        let Some(device) = &self.storage.device else {
            let errno = Errno::NODEV.raw_os_error();
            self.account.short(ShortOf::NotReadBack { errno }, None);
            return Ok(true);
        };
        let zeros = Aligned::zeros();
        let dirty = AtomicBool::new(false);
        let good = AtomicU64::new(0);
        let read = read_back(device.as_fd(), places, self.control, &|range, bytes| {
            if zeros.get().get(..bytes.len()) == Some(bytes) {
                good.fetch_add(range.length, Ordering::Relaxed);
            } else {
                dirty.store(true, Ordering::Relaxed);
            }
        });
        let dirty = dirty.into_inner();
        if dirty && !last && read.is_ok() {
            return Ok(false);
        }
        self.account.read_back(good.into_inner());
        if let Err(halt) = read {
            let errno = halt.errno()?.raw_os_error();
            self.account.short(ShortOf::NotReadBack { errno }, None);
        }
        if dirty {
            self.account.short(ShortOf::NotZero, None);
        }
        Ok(true)
    }
}

impl BeforeUnlink for Discard<'_> {
    fn before_unlink(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &dyn Fn() -> Raw,
    ) -> Result<Ready, StopReason> {
        // Whatever can't be looked at is unlinked all the same; nothing is said of its blocks.
        let Ok(Some((entry, look))) = target::find(dir, name) else {
            return Ok(Ready::Unlink);
        };
        if look.is_empty() {
            return Ok(Ready::Unlink);
        }
        if look.links > 1 {
            self.links.one_of_several(look.inode, self.account, path);
            return Ok(Ready::Unlink);
        }
        self.links.last(look.inode, self.account);
        if self.places().len() >= PLACES {
            return Ok(Ready::Unlink);
        }
        let mut extents = Vec::new();
        let found = target::open(&entry, OFlags::RDONLY)
            .and_then(|file| file_extents(file.as_fd(), 0, false, &mut extents));
        if found.is_err() {
            return Ok(Ready::Unlink);
        }
        if extents.iter().any(FileExtent::is_shared) {
            self.account.short(ShortOf::SharedBlocks, Some(path));
        } else {
            let mut places = self.places();
            let room = PLACES.saturating_sub(places.len());
            places.extend(
                extents
                    .iter()
                    .filter(|extent| extent.on_device() && extent.length > 0)
                    .map(|extent| Range {
                        from: extent.physical,
                        length: extent.length.min(LONGEST),
                    })
                    .take(room),
            );
        }
        Ok(Ready::Unlink)
    }

    fn is_ready(&self, _dir: BorrowedFd<'_>, _name: &[u8]) -> bool {
        false
    }
}
