//! The walk: depth first, with an explicit stack, in bounded memory and descriptors.

pub(super) mod crew;
mod down;
mod entries;
mod root;
mod up;

use std::mem;
use std::os::fd::BorrowedFd;

use self::crew::Crew;
use super::control::{Control, Pace};
use super::progress::Progress;
use super::report::{LeftKind, StopReason, Tally};
use crate::act::sys::{Anchor, Errno, FsKind, Sys};
use crate::decide::facts::FileIdentity;
use crate::sys::{Batch, NameStack};
use crate::units::Raw;

/// What bounds memory and descriptors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many directories are open at once, the root not counted.
    pub(super) window: usize,
    /// The memory of one batch of entries, in bytes.
    pub(super) batch: usize,
    /// How deep the stack may become; what lies deeper is moved up.
    pub(super) deepest: usize,
    /// Behind a [fence](super::fence): at each so many levels what lies deeper is moved up where that
    /// can be, because the kernel goes from there up to the root at each change. `None` without one.
    pub(super) shallow: Option<usize>,
    /// The names of directories to enter may take this much memory; half of what is free of it is
    /// given to each directory,
    pub(super) names: usize,
    /// but never less than this,
    pub(super) names_least: usize,
    /// and beyond this, directories are moved up.
    pub(super) names_most: usize,
}

impl Limits {
    /// About 10 MiB in all at the very worst, 5 MiB for a flat directory of any size. On ext4
    /// larger batches gain, up to here.
    pub(super) const USUAL: Self = Self {
        window: 32,
        batch: 5 << 20,
        deepest: 1 << 15,
        shallow: None,
        names: 2 << 20,
        names_least: 4 << 10,
        names_most: 5 << 19,
    };

    /// At each so many levels the walk moves up what lies deeper, behind a fence.
    ///
    /// Of a chain of 3,000, each 16 was as quick as each 8, and faster than each 64 by a sixth (ext4 and xfs); few
    /// trees of tenants are that deep at all.
    pub(super) const SHALLOW: usize = 16;

    /// The same, behind a fence, where it is a long way at each so many levels. What can't be moved up is
    /// removed where it lies down to a depth at which that is a matter of seconds; at 32,768 it would be one
    /// of many minutes.
    pub(super) const fn fenced(self, shallow: usize) -> Self {
        Self {
            deepest: 1 << 12,
            shallow: Some(shallow),
            ..self
        }
    }
}

/// How often a directory is emptied again when it is found filled.
const TRIES: u8 = 8;
/// So many entries in a directory that was just emptied mean that somebody fills it all the time.
const FLOOD: u32 = 1000;
/// How many failures of the device are counted before the walk gives up.
const FAILURES: u32 = 16;

/// A directory on the way from the root to where the walk is.
#[derive(Debug)]
struct Frame<D> {
    /// `None` while it is closed.
    dir: Option<D>,
    /// By what it is known again; set when it is closed.
    anchor: Option<Anchor>,
    /// Where the names of its directories begin in the stack of names. Its own name ends there.
    names_from: usize,
    /// How many more entries one reading may give: directories that grow while they are read must
    /// come to an end. Set once it is seen to be large.
    readable: Option<u64>,
    /// How often it was read anew for want of room.
    readings: u16,
    /// With the directory in it that is worked on.
    patience: Patience,
    /// Whether something in it is left.
    left: bool,
    pass: Pass,
}

/// One reading of a directory.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// Whether there may be more entries.
    more: bool,
    /// Whether directories were seen for which there was no room.
    skipped: bool,
    /// How many entries were seen.
    seen: u32,
}

impl Pass {
    const NEW: Self = Self {
        more: true,
        skipped: false,
        seen: 0,
    };
}

impl<D> Frame<D> {
    fn new(dir: D, names_from: usize) -> Self {
        Self {
            dir: Some(dir),
            anchor: None,
            names_from,
            readable: None,
            readings: 0,
            patience: Patience::default(),
            left: false,
            pass: Pass::NEW,
        }
    }
}

/// How often a directory that is found filled is emptied again.
#[derive(Clone, Copy, Debug, Default)]
struct Patience {
    tries: u8,
    seen: u32,
}

impl Patience {
    /// After a try that saw so many entries: whether to try again. A writer that fills a directory
    /// faster than we empty it would otherwise have us work longer with each try.
    fn lasts(&mut self, seen: u32) -> bool {
        self.tries = self.tries.saturating_add(1);
        let losing = self.tries > 1 && seen > FLOOD && seen >= self.seen;
        self.seen = seen;
        self.tries < TRIES && !losing
    }
}

/// What became of an entry that was to be unlinked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlinked {
    Gone,
    IsDirectory,
    Left,
    /// The directory was moved out of the tree; the fence let nothing happen in it.
    Outside,
}

/// What a mode does to a regular file before it is unlinked; shared by all workers.
pub(super) trait BeforeUnlink: Sync {
    /// Does it to what `name` is, which may be no regular file at all. `path` tells where it lies,
    /// for reports.
    fn before_unlink(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &dyn Fn() -> Raw,
    ) -> Result<Ready, StopReason>;

    /// Whether nothing is left to be done to what `name` is. One of several workers leaves
    /// everything else to the single walk that follows, which knows all paths.
    fn is_ready(&self, dir: BorrowedFd<'_>, name: &[u8]) -> bool;
}

/// Whether an entry may be unlinked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Unlink,
    /// It has to stay, for this reason.
    Stays(LeftKind),
}

/// Where the root lies, when it goes as well.
pub(super) type Place<'a, S> = (&'a <S as Sys>::Dir, &'a [u8], &'a FileIdentity);

/// A walk through one tree.
pub(super) struct Walk<'a, S: Sys> {
    sys: &'a S,
    control: &'a Control,
    progress: &'a Progress,
    pace: Pace,
    tally: Tally,
    /// What is done to a regular file before it is unlinked.
    before: Option<&'a dyn BeforeUnlink>,
    kind: FsKind,
    /// Whether freed blocks are discarded at once.
    discards: bool,
    /// Whether these two are known.
    looked: bool,
    /// Those that work on other parts of the same tree. What this walk leaves, for whatever reason,
    /// another one looks at after them.
    crew: Option<&'a Crew<S::Dir>>,
    /// From the root to where the walk is; never empty while it runs.
    frames: Vec<Frame<S::Dir>>,
    /// How many frames after the root are closed; the others are open.
    closed: usize,
    limits: Limits,
    /// The names of the directories still to enter, and of those entered.
    names: NameStack,
    batch: Batch,
    /// The name that is worked on.
    name: Vec<u8>,
    root_patience: Patience,
    restarts: u32,
    failures: u32,
    syncs: u32,
    moved_up: u64,
    /// How many levels the root of this walk lies below that of the whole tree.
    base: usize,
}

impl<'a, S: Sys> Walk<'a, S> {
    pub(super) fn new(
        sys: &'a S,
        control: &'a Control,
        progress: &'a Progress,
        limits: Limits,
    ) -> Self {
        Self {
            sys,
            control,
            progress,
            pace: Pace::new(1),
            tally: Tally::default(),
            before: None,
            kind: FsKind::Other,
            discards: false,
            looked: false,
            crew: None,
            frames: Vec::new(),
            closed: 0,
            limits,
            names: NameStack::default(),
            batch: Batch::new(limits.batch),
            name: Vec::new(),
            root_patience: Patience::default(),
            restarts: 0,
            failures: 0,
            syncs: 0,
            moved_up: 0,
            base: 0,
        }
    }

    pub(super) fn control(&self) -> &'a Control {
        self.control
    }

    /// Has this done to every regular file before it is unlinked.
    pub(super) fn before_unlink(&mut self, before: Option<&'a dyn BeforeUnlink>) {
        self.before = before;
    }

    pub(super) fn before(&self) -> Option<&'a dyn BeforeUnlink> {
        self.before
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Looks, once, what file system the tree lies on, and tells the rate that suits it. The table of mounts
    /// that has to be read for that is long on hosts with many containers.
    pub(super) fn look(&mut self, root: &S::Dir) -> Result<(), StopReason> {
        if !self.looked {
            self.kind = self.sys.fs_kind(root).map_err(StopReason::from_errno)?;
            self.discards = self.sys.discards(root) == Ok(true);
            self.control.set_usual(usual_rate(self.kind, self.discards));
            self.looked = true;
        }
        Ok(())
    }

    /// Removes everything in this directory, and, when its place is given, itself.
    pub(super) fn empty(
        &mut self,
        root: S::Dir,
        place: Option<Place<'_, S>>,
    ) -> Result<(), StopReason> {
        self.look(&root)?;
        self.frames.push(Frame::new(root, 0));
        if self.root_subvolume_gone(place)? {
            return Ok(());
        }
        loop {
            if !self.step()? && self.root_is_done(place)? {
                return Ok(());
            }
        }
    }

    /// Does the next thing; `false` when only the root is left to deal with.
    fn step(&mut self) -> Result<bool, StopReason> {
        self.check()?;
        let top = self.top()?;
        let (from, pass) = (top.names_from, top.pass);
        if self.names.height() > from {
            self.with_top_name(Self::descend)?;
        } else if pass.more {
            self.read()?;
        } else if pass.skipped {
            self.read_anew()?;
        } else if self.frames.len() > 1 {
            self.ascend()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check(&self) -> Result<(), StopReason> {
        if self.control.proceed() {
            Ok(())
        } else {
            Err(StopReason::Cancelled)
        }
    }

    /// Whether it works behind a [fence](super::fence).
    pub(super) fn is_fenced(&self) -> bool {
        self.limits.shallow.is_some()
    }

    /// Whether this refusal may come from an immutable or append-only flag. `EACCES` behind a fence is
    /// the fence's: what it is about was moved out, and its flags are no business of ours any more.
    fn may_be_flags(&self, errno: Errno) -> bool {
        errno == Errno::PERM || (errno == Errno::ACCESS && !self.is_fenced())
    }

    fn top(&mut self) -> Result<&mut Frame<S::Dir>, StopReason> {
        self.frames.last_mut().ok_or(NO_DIRECTORY)
    }

    /// The directory that the walk is in; it is always open.
    fn dir(&self) -> Result<&S::Dir, StopReason> {
        self.frames
            .last()
            .and_then(|frame| frame.dir.as_ref())
            .ok_or(NO_DIRECTORY)
    }

    /// Does something with the name on top of the stack, which stays there.
    fn with_top_name<T>(
        &mut self,
        act: impl FnOnce(&mut Self, &[u8]) -> Result<T, StopReason>,
    ) -> Result<T, StopReason> {
        let mut name = mem::take(&mut self.name);
        name.clear();
        name.extend_from_slice(self.names.top().ok_or(NO_DIRECTORY)?);
        let result = act(self, &name);
        self.name = name;
        result
    }

    // What is left.

    /// Notes an entry of the directory that the walk is in.
    fn leave(&mut self, kind: LeftKind, name: &[u8]) -> Result<(), StopReason> {
        let (frames, names) = (&self.frames, &self.names);
        self.tally
            .leave(kind, || path_of(frames, names, Some(name)));
        self.left(kind)
    }

    /// Notes the directory itself that the walk is in.
    fn leave_directory(&mut self, kind: LeftKind) -> Result<(), StopReason> {
        let (frames, names) = (&self.frames, &self.names);
        self.tally.leave(kind, || path_of(frames, names, None));
        self.left(kind)
    }

    /// Notes the directory on top of the names.
    fn leave_child(&mut self, kind: LeftKind) -> Result<(), StopReason> {
        let (frames, names) = (&self.frames, &self.names);
        self.tally
            .leave(kind, || path_of(frames, names, names.top()));
        self.child_is_done();
        self.left(kind)
    }

    fn left(&mut self, kind: LeftKind) -> Result<(), StopReason> {
        if self.crew.is_none() {
            self.progress.left();
        }
        self.top()?.left = true;
        if kind == LeftKind::Failed {
            self.failures = self.failures.saturating_add(1);
            if self.failures > FAILURES {
                return Err(StopReason::Failing);
            }
        }
        Ok(())
    }
}

/// Removals per second beside which a neighbour's fsync takes about what it takes beside nothing, as
/// measured; half of that where nothing was.
fn usual_rate(kind: FsKind, discards: bool) -> u32 {
    match kind {
        FsKind::Ext4 if !discards => 20_000,
        FsKind::Btrfs if !discards => 10_000,
        FsKind::Ext4 | FsKind::Xfs | FsKind::Btrfs | FsKind::Other => 5_000,
    }
}

/// Never used: the walk is always in an open directory.
const NO_DIRECTORY: StopReason = StopReason::Unusable { errno: libc::EBADF };

/// Longer paths are cut in the middle.
const LONGEST_PATH: usize = 1024;

/// The path from the root to an entry of the last frame, or to that frame itself.
fn path_of<D>(frames: &[Frame<D>], names: &NameStack, name: Option<&[u8]>) -> Raw {
    let mut path = Vec::new();
    let on_the_way = frames
        .iter()
        .skip(1)
        .filter_map(|frame| names.ending_at(frame.names_from));
    for component in on_the_way {
        if path.len() > LONGEST_PATH {
            path.extend_from_slice("…/".as_bytes());
            break;
        }
        path.extend_from_slice(component);
        path.push(b'/');
    }
    match name {
        Some(name) => path.extend_from_slice(name),
        None if path.is_empty() => path.push(b'.'),
        None => {
            path.pop();
        }
    }
    Raw::new(path)
}
