//! The wipe: destroys a tree that untrusted root tasks wrote, beside live data.
//!
//! What it relies on, and nothing else:
//!
//! * It takes a [`VolumeDir`] and a [`WipeAuthorization`] of the same identity. From there on there
//!   are no paths: every call is an open directory and one name in it.
//! * A directory is entered only by [`Sys::open_child`], which follows no link and enters no mount,
//!   bind mounts of the same file system included. What is no directory is never opened, only
//!   unlinked. What a directory listing says about types is a hint; the kernel's errors decide.
//! * Only a few dozen directories are open at once. A parent that had to be closed is entered
//!   again by `..` and must be the very one that was closed; otherwise the tree was moved under us,
//!   and that branch is begun anew from a directory that stayed open.
//! * Memory has a fixed bound: directories are read in batches, the names of directories still to
//!   enter are kept in one stack with a limit, and what does not fit is read again later.
//!   Directories deeper than the stack allows are moved up to the top of the tree being wiped.
//! * Nothing is tried for ever: a directory that is filled again and again, a tree that keeps
//!   moving, a device that keeps failing each have a count.
//! * Where the kernel has Landlock, all that happens behind a [`fence`]: whatever the walk did, nothing
//!   outside the directory could change.
//! * It goes on after errors. What is left is reported by kind, with the first few paths, and what
//!   is reported as complete has been looked at and made durable.
//!
//! Entries are removed in the order of their inodes where that costs least (a third less in large
//! directories of ext4), by one thread: a rate protects tenants, a second thread harms them. Only
//! where there is no rate to keep to, and only on ext4 and xfs, several threads may hasten it.

mod control;
pub mod device;
mod discard;
pub mod fence;
mod links;
mod overwrite;
mod progress;
mod proof;
pub mod reformat;
mod report;
#[cfg(test)]
mod tests;
mod walk;
mod zero_free;

use std::os::fd::AsFd;

use rustix::io::Errno;

pub use control::{BY_FILE_SYSTEM, Control};
pub use progress::{Pressure, Progress, ProgressNow, Speed};
pub use proof::{Guarantee, Proof, Short, ShortOf};
pub use report::{Left, LeftKind, StopReason, WipeReport};

pub use super::sys::StillOpen;

use super::sys::Sys;
use super::volume_dir::VolumeDir;
use crate::decide::facts::{WipeMethod, WipeMode};
use crate::decide::steps::WipeAuthorization;
use crate::units::{Raw, Span};
use discard::Discard;
use overwrite::{Overwrite, Storage};
use proof::Account;
use report::Tally;
use walk::BeforeUnlink;
use walk::crew::{Done, hasten};
use walk::{Limits, Walk};

/// How much of a directory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The directory with everything in it.
    Tree,
    /// Everything in it (of a MOUNT root also `lost+found`, as Mesos does), not the directory.
    Content,
}

/// How to wipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much of the directory goes.
    pub extent: Extent,
    /// How data is destroyed. What acts on whole disks is the caller's; here it is `unlink`.
    pub method: WipeMethod,
}

/// Wipes, on this thread, until it is done, stopped by `control`, or can't go on. The report says
/// the truth about what is left.
pub fn wipe<S: Sys>(
    sys: &S,
    volume: VolumeDir<S>,
    authorization: &WipeAuthorization,
    options: Options,
    control: &Control,
    progress: &Progress,
) -> WipeReport {
    let begun = sys.now();
    let before = sys.space(volume.dir());
    // Everything on the file system of a root is what was in it.
    let path = match options.extent {
        Extent::Content => Some(Vec::new()),
        Extent::Tree => sys
            .path(volume.dir())
            .ok()
            .map(|path| tail(path.as_bytes())),
    };
    if let (Extent::Content, Ok(space)) = (options.extent, &before) {
        progress.expect(space.used_inodes);
    }
    let account = Account::default();
    // A root lies in no directory that we know, so that it can't go itself.
    let has_place = options.extent == Extent::Content || volume.place().is_some();
    let (tally, stopped) = if has_place && volume.identity() == authorization.identity() {
        fenced(sys, &volume, options, (control, progress), &account)
    } else {
        (Tally::default(), Some(StopReason::WrongDirectory))
    };
    let still_open = path
        .filter(|_| tally.files > 0)
        .and_then(|path| sys.still_open(volume.dir(), &path).ok());
    let promised_more = !matches!(options.method.mode, WipeMode::Unlink | WipeMode::Overwrite);
    if promised_more && still_open.as_ref().is_some_and(|open| !open.is_empty()) {
        account.short(ShortOf::StillOpen, None);
    }
    let freed = match (before, sys.space(volume.dir())) {
        (Ok(before), Ok(after)) => Some(after.free_bytes.saturating_sub(before.free_bytes)),
        (Err(_), _) | (_, Err(_)) => None,
    };
    drop(volume);
    WipeReport {
        files: tally.files,
        dirs: tally.dirs,
        subvolumes: tally.subvolumes,
        freed_bytes: freed,
        elapsed: Span(sys.now().saturating_sub(begun)),
        complete: stopped.is_none() && tally.left.is_empty(),
        left: tally.left.into_values().collect(),
        still_open,
        stopped,
        proof: account.proof(options.method),
    }
}

/// The end of a path by which what lay there is known again, also where its file system is mounted
/// elsewhere: `/trash/<entry>/data`.
fn tail(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = path.rsplit(|&byte| byte == b'/').take(3).collect();
    parts.reverse();
    let mut tail = vec![b'/'];
    tail.extend_from_slice(&parts.join(&b'/'));
    tail
}

/// Wipes behind a fence, and does outside it what a mode does to the whole file system.
fn fenced<S: Sys>(
    sys: &S,
    volume: &VolumeDir<S>,
    options: Options,
    (control, progress): (&Control, &Progress),
    account: &Account,
) -> (Tally, Option<StopReason>) {
    let (tally, mut stopped) = match volume.for_a_thread(sys) {
        Some(Ok((kernel, volume))) => {
            let parent = volume.place().map(|(parent, _)| parent.as_fd());
            let watched = (control, progress);
            fence::within(volume.dir().as_fd(), parent, |fenced| {
                let limits = if fenced {
                    Limits::USUAL.fenced(Limits::SHALLOW)
                } else {
                    Limits::USUAL
                };
                by_mode(&kernel, &volume, options, watched, account, limits)
            })
            .unwrap_or_else(|reason| (Tally::default(), Some(reason)))
        }
        Some(Err(errno)) => (Tally::default(), Some(StopReason::from_errno(errno))),
        None => {
            let watched = (control, progress);
            by_mode(sys, volume, options, watched, account, Limits::USUAL)
        }
    };
    let method = options.method;
    let whole = options.extent == Extent::Content && tally.left.is_empty();
    let dir = sys.descriptor(volume.dir());
    if let (WipeMode::ZeroFree, true, Some(dir), None) = (method.mode, whole, dir, stopped) {
        stopped = zero_free::zero_free(dir, method.verify, control, progress, account).err();
    }
    (tally, stopped)
}

/// Removes, with what the mode does before the walk, at each file, and after.
fn by_mode<S: Sys>(
    sys: &S,
    volume: &VolumeDir<S>,
    options: Options,
    (control, progress): (&Control, &Progress),
    account: &Account,
    limits: Limits,
) -> (Tally, Option<StopReason>) {
    let method = options.method;
    let dir = sys.descriptor(volume.dir());
    let mut walk = Walk::new(sys, control, progress, limits);
    // What comes before the walk keeps to its pace as well.
    if let Err(reason) = walk.look(volume.dir()) {
        return (Tally::default(), Some(reason));
    }
    let overwrite = match (method.mode, dir) {
        (WipeMode::Overwrite, Some(dir)) => {
            let made = Overwrite::new(dir, method, control, progress, account)
                .map_err(StopReason::from_errno)
                .and_then(|overwrite| overwrite.ahead(dir).map(|()| overwrite));
            match made {
                Ok(overwrite) => Some(overwrite),
                Err(reason) => return (Tally::default(), Some(reason)),
            }
        }
        _ => None,
    };
    let discard = match (method.mode, dir) {
        (WipeMode::Discard, Some(dir)) => match Discard::new(dir, method, control, account) {
            Ok(discard) => Some(discard),
            Err(errno) => return (Tally::default(), Some(StopReason::from_errno(errno))),
        },
        _ => None,
    };
    let before: Option<&dyn BeforeUnlink> = match (&overwrite, &discard) {
        (Some(overwrite), _) => Some(overwrite),
        (None, Some(discard)) => Some(discard),
        (None, None) => None,
    };
    walk.before_unlink(before);
    let mut hastened = Done::default();
    // Every file has something to be noted of before a discard.
    let several = discard.is_none();
    let mut stopped = run(
        sys,
        volume,
        options,
        &mut walk,
        (several, &mut hastened),
        progress,
    )
    .err();
    if let (Some(discard), Some(dir), None) = (&discard, dir, stopped) {
        stopped = discard.after(dir).err();
    }
    (walk.into_tally().after(hastened), stopped)
}

/// Looks, before anything is touched, whether the mode can keep its promise for this directory;
/// the first reason why not, with where.
pub fn promise<S: Sys>(
    sys: &S,
    dir: &S::Dir,
    method: WipeMethod,
    control: &Control,
) -> Result<(), Broken> {
    let Some(dir) = sys.descriptor(dir) else {
        return Ok(());
    };
    match method.mode {
        WipeMode::Overwrite => match overwrite::survey(dir, method, control) {
            Ok(None) => Ok(()),
            Ok(Some((why, path))) => Err(Broken::Short(why, path)),
            Err(reason) => Err(Broken::Stopped(reason)),
        },
        WipeMode::Discard => match Storage::of(dir) {
            Ok(storage) if storage.takes_discard() => Ok(()),
            Ok(_) => Err(Broken::Short(ShortOf::NoDiscard, Raw::from("."))),
            Err(errno) => Err(Broken::Stopped(StopReason::from_errno(errno))),
        },
        WipeMode::Unlink | WipeMode::ZeroFree | WipeMode::Reformat => Ok(()),
    }
}

/// Why a promise could not be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It can't be kept there.
    #[error("{1}: {0}")]
    Short(ShortOf, Raw),
    /// The look did not come to its end.
    #[error("it could not be looked through: {0}")]
    Stopped(StopReason),
}

fn run<S: Sys>(
    sys: &S,
    volume: &VolumeDir<S>,
    options: Options,
    walk: &mut Walk<'_, S>,
    (several, hastened): (bool, &mut Done),
    progress: &Progress,
) -> Result<(), StopReason> {
    let place = match (options.extent, volume.place()) {
        (Extent::Content, _) => None,
        (Extent::Tree, Some((parent, name))) => Some((parent, name, volume.identity())),
        // A root lies in no directory that we know.
        (Extent::Tree, None) => return Err(StopReason::WrongDirectory),
    };
    if let (true, Some((kernel, dir))) = (several, sys.between_threads(volume.dir())) {
        let (control, before) = (walk.control(), walk.before());
        *hastened = hasten(kernel, dir, control, progress, before, walk.is_fenced());
        if let Some(reason) = hastened.stopped {
            return Err(reason);
        }
    }
    // The walk has a descriptor of its own; the volume's keeps standing for what was checked.
    let root = sys.reopen(volume.dir()).map_err(StopReason::from_errno)?;
    walk.empty(root, place)?;
    let durable = sys.sync(place.map_or(volume.dir(), |(parent, ..)| parent));
    match durable {
        Ok(()) => Ok(()),
        Err(errno @ (Errno::ROFS | Errno::IO)) => Err(StopReason::from_errno(errno)),
        Err(errno) => Err(StopReason::NotDurable {
            errno: errno.raw_os_error(),
        }),
    }
}
