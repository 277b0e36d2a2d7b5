//! Several threads on one tree: a gain on ext4 and xfs, and only where nobody is to be spared.
//!
//! Two need 0.48 of one's time on ext4 and 0.58 on xfs, where each processor has a queue of its own for
//! what the kernel does behind an unlink; on btrfs they only wait for each other.
//!
//! Each worker is a walk of its own, with its own descriptors, names and window, bound by everything
//! that binds a single one. One begins at the root; who has nothing to do is lent names: half of
//! those that another one has still to enter in one of its directories, together with a descriptor of
//! that directory. So no two work in one directory at the same names.
//!
//! A directory from which names were lent is not removed by its walk, nor is any on the way to it.
//! Whoever finishes last would have to do that; here it is the single walk that follows in any case,
//! finds a skeleton of a few directories, removes it, and looks at everything that the workers left:
//! what a wipe reports, it says.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::control::{Control, Pace};
use super::super::progress::Progress;
use super::super::report::{StopReason, Tally};
use super::{BeforeUnlink, Frame, Limits, Pass, Walk};
use crate::act::sys::{FsKind, Kernel, Sys};
use crate::sys::{self, Batch, NameStack};

/// More gain nothing.
const MOST_WORKERS: u32 = 4;

/// Behind a fence, workers can't move up what lies deeper than this, and leave it to the single walk. That is
/// slower than their going there, unless it is deep.
const DEEP: usize = 64;

/// So that all workers together keep to the memory of one walk.
const SHARED: Limits = Limits {
    window: 32,
    batch: 512 << 10,
    deepest: 1 << 13,
    shallow: None,
    names: 256 << 10,
    names_least: 4 << 10,
    names_most: 512 << 10,
};

/// Directories to enter, in a directory that stays.
#[derive(Debug)]
pub(super) struct Task<D> {
    dir: D,
    names: NameStack,
    /// Whether everything in the directory is meant, not these names alone.
    whole: bool,
    /// How many levels it lies below the root of the tree.
    depth: usize,
}

/// The workers on one tree.
#[derive(Debug)]
pub(super) struct Crew<D> {
    tasks: sys::Crew<Task<D>>,
    /// Whether somebody has a large batch.
    large: AtomicBool,
}

/// What the workers did.
#[derive(Debug, Default)]
pub(in crate::act::wipe) struct Done {
    pub(in crate::act::wipe) tally: Tally,
    /// Why nothing more is to be tried.
    pub(in crate::act::wipe) stopped: Option<StopReason>,
}

/// Removes most of what is in this directory, by several threads, where that is a gain and allowed.
pub(in crate::act::wipe) fn hasten(
    kernel: Kernel,
    root: &OwnedFd,
    control: &Control,
    progress: &Progress,
    before: Option<&dyn BeforeUnlink>,
    fenced: bool,
) -> Done {
    let limits = if fenced { SHARED.fenced(DEEP) } else { SHARED };
    match kernel.fs_kind(root) {
        Ok(kind @ (FsKind::Ext4 | FsKind::Xfs)) => {
            hasten_within(kernel, (root, kind), (control, progress), before, limits)
        }
        Ok(FsKind::Btrfs | FsKind::Other) | Err(_) => Done::default(),
    }
}

pub(in crate::act::wipe) fn hasten_within(
    kernel: Kernel,
    (root, kind): (&OwnedFd, FsKind),
    (control, progress): (&Control, &Progress),
    before: Option<&dyn BeforeUnlink>,
    limits: Limits,
) -> Done {
    let workers = control.threads().min(MOST_WORKERS);
    if workers < 2 || control.rate() > 0 {
        return Done::default();
    }
    let Ok(dir) = kernel.reopen(root) else {
        return Done::default();
    };
    let first = Task {
        dir,
        names: NameStack::default(),
        whole: true,
        depth: 0,
    };
    let crew = Crew {
        tasks: sys::Crew::new([first]),
        large: AtomicBool::new(false),
    };
    let work = || {
        let mut done = Done::default();
        while let Some((task, working)) = crew.tasks.next() {
            let mut walk = Walk::new(&kernel, control, progress, limits);
            walk.pace = Pace::new(workers);
            walk.kind = kind;
            walk.crew = Some(&crew);
            walk.before = before;
            let ended = walk.carry_out(task, &crew);
            drop(working);
            done.tally.add(walk.into_tally());
            match ended {
                Ok(()) => {}
                // The single walk may have better luck.
                Err(StopReason::Moving | StopReason::Resources) => crew.tasks.end(),
                Err(
                    reason @ (StopReason::Cancelled
                    | StopReason::WrongDirectory
                    | StopReason::ReadOnly
                    | StopReason::Failing
                    | StopReason::Unfenced
                    | StopReason::NotDurable { .. }
                    | StopReason::Unusable { .. }),
                ) => {
                    done.stopped = Some(reason);
                    crew.tasks.end();
                }
            }
        }
        done
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers)
            .filter_map(|_| {
                let builder = std::thread::Builder::new().name("wipe".to_owned());
                // Fewer will do.
                builder.stack_size(256 << 10).spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut all = work();
        for other in others {
            // One that panicked left directories behind; the single walk finds them.
            if let Ok(done) = other.join() {
                all.tally.add(done.tally);
                all.stopped = all.stopped.or(done.stopped);
            }
        }
        all
    });
    if all.stopped.is_none() {
        all.tally.left.clear();
    }
    all
}

impl<S: Sys> Walk<'_, S> {
    fn carry_out(&mut self, task: Task<S::Dir>, crew: &Crew<S::Dir>) -> Result<(), StopReason> {
        let mut root = Frame::new(task.dir, 0);
        if !task.whole {
            root.pass = Pass {
                more: false,
                ..Pass::NEW
            };
        }
        self.frames.push(root);
        self.names = task.names;
        self.base = task.depth;
        while self.step()? {
            if self.control.rate() > 0 {
                crew.tasks.end();
            }
            if crew.tasks.is_over() {
                break;
            }
            if crew.tasks.is_hungry() {
                self.lend(crew);
            }
        }
        Ok(())
    }

    /// Gives half of the names of a directory to whoever waits: of the one nearest to the root, so
    /// that it is much at a time.
    fn lend(&mut self, crew: &Crew<S::Dir>) {
        let frames = self.frames.iter();
        let found = self
            .names
            .to_lend(frames.map(|frame| (frame.dir.is_some(), frame.names_from)));
        let Some((at, from, to)) = found else {
            return;
        };
        let lender = self.frames.get(at).and_then(|frame| frame.dir.as_ref());
        let Some(Ok(dir)) = lender.map(|dir| self.sys.reopen(dir)) else {
            return;
        };
        let names = self.names.take(from, to);
        let taken = to.saturating_sub(from);
        for (index, frame) in self.frames.iter_mut().enumerate().skip(at) {
            if index == at {
                // It is not to be removed by this walk: another one is inside.
                frame.left = true;
            } else {
                frame.names_from = frame.names_from.saturating_sub(taken);
            }
        }
        crew.tasks.give(Task {
            dir,
            names,
            whole: false,
            depth: self.base.saturating_add(at),
        });
    }

    /// A batch is full and the directory has more: whether the batch may become as large as that of a
    /// single walk, which one worker's may at a time.
    pub(super) fn large_batch(&self, batch: &mut Batch) -> bool {
        let Some(crew) = self.crew else {
            return false;
        };
        if batch.limit() >= Limits::USUAL.batch || crew.large.swap(true, Ordering::Relaxed) {
            return false;
        }
        batch.set_limit(Limits::USUAL.batch);
        true
    }

    /// Gives the permission back.
    pub(super) fn small_batch(&self, batch: &mut Batch) {
        if let Some(crew) = self.crew
            && batch.limit() > self.limits.batch
        {
            *batch = Batch::new(self.limits.batch);
            crew.large.store(false, Ordering::Relaxed);
        }
    }
}

impl Tally {
    /// Both together.
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.dirs = self.dirs.saturating_add(other.dirs);
        self.subvolumes = self.subvolumes.saturating_add(other.subvolumes);
        for (kind, other) in other.left {
            match self.left.get_mut(&kind) {
                Some(left) => {
                    left.count = left.count.saturating_add(other.count);
                    let room = super::super::report::PATHS.saturating_sub(left.paths.len());
                    left.paths.extend(other.paths.into_iter().take(room));
                }
                None => {
                    self.left.insert(kind, other);
                }
            }
        }
    }

    /// With what the workers did before.
    pub(in crate::act::wipe) fn after(self, before: Done) -> Self {
        let mut all = before.tally;
        all.add(self);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All workers together keep to the memory of one walk.
    #[test]
    fn one_worker_at_a_time_has_a_large_batch_and_gives_it_back() {
        let (kernel, control, progress) = (Kernel::new(), Control::new(0), Progress::default());
        let crew = Crew {
            tasks: sys::Crew::new([]),
            large: AtomicBool::new(false),
        };
        let worker = || {
            let mut walk = Walk::new(&kernel, &control, &progress, SHARED);
            walk.crew = Some(&crew);
            (walk, Batch::new(SHARED.batch))
        };
        let ((one, mut its), (other, mut others)) = (worker(), worker());
        assert!(one.large_batch(&mut its));
        assert_eq!(its.limit(), Limits::USUAL.batch);
        assert!(!one.large_batch(&mut its), "not larger still");
        for _ in 0..2 {
            assert!(!other.large_batch(&mut others));
            assert_eq!(others.limit(), SHARED.batch);
            // What it has not it can't give back.
            other.small_batch(&mut others);
        }
        one.small_batch(&mut its);
        assert_eq!(its.limit(), SHARED.batch);
        assert!(other.large_batch(&mut others));
        let single = Walk::new(&kernel, &control, &progress, Limits::USUAL);
        let mut batch = Batch::new(Limits::USUAL.batch);
        assert!(!single.large_batch(&mut batch));
    }
}
