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
//! * It goes on after errors. What is left is reported by kind, with the first few paths, and what
//!   is reported as complete has been looked at and made durable.
//!
//! Entries are removed in the order of their inodes where that costs least (a third less in large
//! directories of ext4), by one thread: a rate protects tenants, a second thread harms them. Only
//! where there is no rate to keep to, and only on ext4, several threads may hasten it.

mod control;
mod names;
mod report;
#[cfg(test)]
mod tests;
mod walk;

use rustix::io::Errno;

pub use control::{BY_FILE_SYSTEM, Control, Progress, ProgressNow};
pub use report::{Left, LeftKind, StopReason, WipeReport};

use super::sys::Sys;
use super::volume_dir::VolumeDir;
use crate::decide::steps::WipeAuthorization;
use crate::units::Span;
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
    let mut walk = Walk::new(sys, control, progress, Limits::USUAL);
    let mut hastened = Done::default();
    let stopped = if volume.identity() == authorization.identity() {
        run(sys, &volume, options, &mut walk, &mut hastened, progress).err()
    } else {
        Some(StopReason::WrongDirectory)
    };
    let tally = walk.into_tally().after(hastened);
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
        stopped,
    }
}

fn run<S: Sys>(
    sys: &S,
    volume: &VolumeDir<S>,
    options: Options,
    walk: &mut Walk<'_, S>,
    hastened: &mut Done,
    progress: &Progress,
) -> Result<(), StopReason> {
    let place = match (options.extent, volume.place()) {
        (Extent::Content, _) => None,
        (Extent::Tree, Some((parent, name))) => Some((parent, name, volume.identity())),
        // A root lies in no directory that we know.
        (Extent::Tree, None) => return Err(StopReason::WrongDirectory),
    };
    if let Some((kernel, dir)) = sys.between_threads(volume.dir()) {
        *hastened = hasten(kernel, dir, walk.control(), progress);
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
