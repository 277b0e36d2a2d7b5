//! An opened root: the file system that the plan was made for, locked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::lock::RootLock;
use super::outcome::StepError;
use super::sys::{Errno, Sys};
use crate::decide::facts::{Fingerprint, HiddenSide};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{HIDDEN_OURS, HIDDEN_TRASH, VOLUME};
use crate::decide::steps::TrashPlace;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::sys::OpenError;
use crate::units::Raw;

/// Why a root is not to be worked on.
#[derive(Debug)]
pub enum RootStop {
    /// It is not what the plan was made for.
    Stale(String),
    /// A guard.
    Refused(Reason),
    /// It could not be opened.
    Failed(StepError),
}

/// The locks of roots that this process holds: a root that two threads work on is locked once, and
/// let go of when neither does, so that an idle daemon never keeps a disk from being unmounted.
#[derive(Debug)]
pub struct RootLocks<S: Sys> {
    held: Arc<Mutex<Held<S>>>,
}

type Held<S> = BTreeMap<DiskRef, Weak<RootLock<S>>>;

fn guard<S: Sys>(held: &Mutex<Held<S>>) -> MutexGuard<'_, Held<S>> {
    // A thread that panicked in here left the map whole: it only inserts.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread's part of a root's lock.
#[derive(Debug)]
struct Part<S: Sys> {
    lock: Option<Arc<RootLock<S>>>,
    held: Arc<Mutex<Held<S>>>,
}

impl<S: Sys> Drop for Part<S> {
    fn drop(&mut self) {
        // Nobody shall find it let go of by all and not open yet: that would look like another process.
        let held = guard(&self.held);
        self.lock = None;
        drop(held);
    }
}

impl<S: Sys> Clone for RootLocks<S> {
    fn clone(&self) -> Self {
        Self {
            held: Arc::clone(&self.held),
        }
    }
}

impl<S: Sys> Default for RootLocks<S> {
    fn default() -> Self {
        Self {
            held: Arc::default(),
        }
    }
}

impl<S: Sys> RootLocks<S> {
    fn take(&self, sys: &S, disk: &DiskRef, dir: &S::Dir) -> Result<Part<S>, LockStop> {
        let part = |lock| Part {
            lock: Some(lock),
            held: Arc::clone(&self.held),
        };
        let mut held = guard(&self.held);
        if let Some(lock) = held.get(disk).and_then(Weak::upgrade) {
            return Ok(part(lock));
        }
        let own = sys.reopen(dir).map_err(LockStop::Io)?;
        let lock = RootLock::acquire(sys, own)
            .map_err(LockStop::Io)?
            .ok_or(LockStop::Elsewhere)?;
        let lock = Arc::new(lock);
        held.insert(disk.clone(), Arc::downgrade(&lock));
        Ok(part(lock))
    }
}

enum LockStop {
    Elsewhere,
    Io(Errno),
}

/// An opened, verified and locked root.
#[derive(Debug)]
pub struct OpenRoot<S: Sys> {
    /// The disk.
    pub disk: DiskRef,
    /// Its root directory.
    pub dir: S::Dir,
    /// `volumes/.mesos-volumed` (ROOT and PATH), `.mesos-volumed` of the hidden side (prepared
    /// MOUNT).
    pub ours: Option<S::Dir>,
    /// Where its trash lies, for display.
    pub trash_path: Raw,
    /// Where the folder of ours lies, for display.
    pub ours_path: Raw,
    _lock: Option<Part<S>>,
}

/// Opens a child directory, making it where it is missing.
pub(in crate::act) fn open_or_make<S: Sys>(
    sys: &S,
    dir: &S::Dir,
    name: &str,
    mode: u32,
    path: &Raw,
) -> Result<S::Dir, StepError> {
    match sys.open_child(dir, name.as_bytes()) {
        Ok(child) => return Ok(child),
        Err(OpenError::Missing) => {}
        Err(source) => {
            return Err(StepError::Open {
                path: path.clone(),
                source,
            });
        }
    }
    let fail = |what| {
        move |source| StepError::Call {
            what,
            path: path.clone(),
            left: "nothing else was changed",
            source,
        }
    };
    match sys.mkdir(dir, name.as_bytes(), mode) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(source) => return Err(fail("make")(source)),
    }
    sys.sync(dir).map_err(fail("sync the folder of"))?;
    sys.open_child(dir, name.as_bytes())
        .map_err(|source| StepError::Open {
            path: path.clone(),
            source,
        })
}

impl<S: Sys> OpenRoot<S> {
    /// Opens the root by its path, checks on the descriptor that it is the directory and file
    /// system that the plan was made for, and locks it. On ROOT and PATH the lock lies on
    /// `volumes/.mesos-volumed`, which is made when `volumes` is there; on MOUNT on the root
    /// itself, where no file of ours ever lies.
    pub fn open(
        sys: &S,
        locks: &RootLocks<S>,
        disk: &DiskRef,
        print: &Fingerprint,
    ) -> Result<Self, RootStop> {
        let dir = sys.open_root(disk.root.as_path()).map_err(|source| {
            if matches!(source, OpenError::Missing) {
                RootStop::Stale(format!("{} is gone", disk.root))
            } else {
                RootStop::Failed(StepError::OpenRoot {
                    root: disk.root.clone(),
                    source,
                })
            }
        })?;
        let found = sys.identity(&dir).map_err(|source| {
            RootStop::Failed(StepError::Identity {
                path: disk.root.clone(),
                source,
            })
        })?;
        if found != print.directory || found.filesystem != print.filesystem {
            return Err(RootStop::Stale(format!(
                "{} is another directory or file system than it was planned for",
                disk.root
            )));
        }
        let (ours, lock) = match disk.kind {
            DiskType::Mount => {
                let lock = Self::lock(sys, locks, disk, &dir)?;
                (None, Some(lock))
            }
            DiskType::Root | DiskType::Path => match sys.open_child(&dir, b"volumes") {
                Err(OpenError::Missing) => (None, None),
                Err(source) => {
                    return Err(RootStop::Failed(StepError::Open {
                        path: disk.root.join("volumes"),
                        source,
                    }));
                }
                Ok(volumes) => {
                    let path = disk.root.join(crate::decide::manifest::OURS);
                    let ours = open_or_make(sys, &volumes, ".mesos-volumed", 0o700, &path)
                        .map_err(RootStop::Failed)?;
                    let lock = Self::lock(sys, locks, disk, &ours)?;
                    (Some(ours), Some(lock))
                }
            },
        };
        Ok(Self {
            disk: disk.clone(),
            dir,
            ours,
            trash_path: disk.root.join(crate::decide::manifest::TRASH),
            ours_path: disk.root.join(crate::decide::manifest::OURS),
            _lock: lock,
        })
    }

    /// Opens the root for an entry of its trash. On a prepared MOUNT everything goes through the
    /// mount of its hidden side, where root and trash lie side by side: the advertised root must
    /// show the very directory `volume` there. The lock lies on our folder of the hidden side.
    pub fn open_for(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Result<Self, RootStop> {
        Self::open_at(sys, locks, &place.disk, &place.root, place.hidden.as_ref())
    }

    /// The same for anything in our folder there.
    pub fn open_at(
        sys: &S,
        locks: &RootLocks<S>,
        disk: &DiskRef,
        print: &Fingerprint,
        hidden: Option<&HiddenSide>,
    ) -> Result<Self, RootStop> {
        let Some(hidden) = hidden else {
            if disk.kind == DiskType::Mount {
                return Err(RootStop::Stale(format!("{disk} has no trash")));
            }
            return Self::open(sys, locks, disk, print);
        };
        let identity = |dir: &S::Dir, path: &Raw| {
            sys.identity(dir).map_err(|source| {
                RootStop::Failed(StepError::Identity {
                    path: path.clone(),
                    source,
                })
            })
        };
        let opened = |path: &Raw, result: Result<S::Dir, OpenError>| match result {
            Ok(dir) => Ok(dir),
            Err(OpenError::Missing) => Err(RootStop::Stale(format!("{path} is gone"))),
            Err(source) => Err(RootStop::Failed(StepError::Open {
                path: path.clone(),
                source,
            })),
        };
        let stale = |path: &Raw| {
            RootStop::Stale(format!(
                "{path} is another directory or file system than it was planned for"
            ))
        };
        let shown = opened(&disk.root, sys.open_root(disk.root.as_path()))?;
        if identity(&shown, &disk.root)? != print.directory {
            return Err(stale(&disk.root));
        }
        let top = opened(&hidden.path, sys.open_root(hidden.path.as_path()))?;
        let found = identity(&top, &hidden.path)?;
        if found != hidden.directory || found.filesystem != print.filesystem {
            return Err(stale(&hidden.path));
        }
        let path = hidden.path.join(VOLUME);
        let dir = opened(&path, sys.open_child(&top, VOLUME.as_bytes()))?;
        if identity(&dir, &path)? != print.directory {
            return Err(stale(&path));
        }
        let path = hidden.path.join(HIDDEN_OURS);
        let ours = opened(&path, sys.open_child(&top, HIDDEN_OURS.as_bytes()))?;
        let lock = Self::lock(sys, locks, disk, &ours)?;
        Ok(Self {
            disk: disk.clone(),
            dir,
            ours: Some(ours),
            trash_path: hidden.path.join(HIDDEN_TRASH),
            ours_path: hidden.path.join(HIDDEN_OURS),
            _lock: Some(lock),
        })
    }

    fn lock(
        sys: &S,
        locks: &RootLocks<S>,
        disk: &DiskRef,
        dir: &S::Dir,
    ) -> Result<Part<S>, RootStop> {
        locks.take(sys, disk, dir).map_err(|stop| match stop {
            LockStop::Elsewhere => RootStop::Refused(Refusal::RootLocked.into()),
            LockStop::Io(source) => RootStop::Failed(StepError::Call {
                what: "lock",
                path: disk.root.clone(),
                left: "nothing was changed",
                source,
            }),
        })
    }

    /// The trash folder, made where it is missing.
    pub fn trash(&self, sys: &S) -> Result<S::Dir, StepError> {
        let path = &self.trash_path;
        match &self.ours {
            Some(ours) => open_or_make(sys, ours, "trash", 0o700, path),
            None => Err(StepError::Open {
                path: path.clone(),
                source: OpenError::Missing,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::sys::Kernel;

    #[test]
    fn threads_of_one_process_never_find_a_root_locked_by_another() {
        let temp = tempfile::tempdir().unwrap();
        let disk = DiskRef {
            kind: DiskType::Path,
            root: Raw::from(temp.path().to_owned()),
        };
        let locks = RootLocks::default();
        let works = || {
            let kernel = Kernel::new();
            let dir = kernel.open_root(temp.path()).unwrap();
            (0..5_000).all(|_| locks.take(&kernel, &disk, &dir).is_ok())
        };
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(works));
            for thread in threads {
                assert!(thread.join().unwrap());
            }
        });
    }
}
