//! One owner: a lock in `state_dir` for the host, and a lock on a folder of each root.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ftruncate, openat};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::sys::{Sys, try_lock};
use crate::units::Raw;

/// Why the lock was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{}", held_by(path, *holder))]
    Locked {
        /// The lock file.
        path: Raw,
        /// The process that says it has it; `None` when it does not say.
        holder: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    #[error("the lock file {path} could not be used")]
    Io {
        /// The lock file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

fn held_by(path: &Raw, holder: Option<u32>) -> String {
    match holder {
        Some(pid) => format!("process {pid} holds the lock {path}; only one may run per host"),
        None => format!("another process holds the lock {path}; only one may run per host"),
    }
}

/// The lock of this host's only instance; it is held until this is dropped, and the kernel lets go
/// of it when the process ends in whatever way.
#[derive(Debug)]
pub struct InstanceLock {
    _file: OwnedFd,
}

impl InstanceLock {
    /// Takes the lock `lock` in this folder, which must exist, or says who has it.
    pub fn acquire(state_dir: &Path) -> Result<Self, LockError> {
        let path = state_dir.join("lock");
        let raw = || Raw::new(path.as_os_str().as_bytes());
        let io = |source| LockError::Io {
            path: raw(),
            source,
        };
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = retry_on_intr(|| openat(CWD, &path, flags, mode)).map_err(io)?;
        if !try_lock(&file).map_err(io)? {
            return Err(LockError::Locked {
                path: raw(),
                holder: holder(&file),
            });
        }
        // For display alone: the lock is the kernel's.
        ftruncate(&file, 0).map_err(io)?;
        let text = format!("{}\n", std::process::id());
        retry_on_intr(|| pwrite(&file, text.as_bytes(), 0)).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &OwnedFd) -> Option<u32> {
    let mut text = [0_u8; 16];
    let length = retry_on_intr(|| pread(file, &mut text, 0)).ok()?;
    std::str::from_utf8(text.get(..length)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The lock of a root, on an open directory of it; held until dropped.
#[derive(Debug)]
pub struct RootLock<S: Sys> {
    dir: S::Dir,
}

impl<S: Sys> RootLock<S> {
    /// Takes the lock of this directory; `None` when another process has it (`root_locked`).
    pub fn acquire(sys: &S, dir: S::Dir) -> Result<Option<Self>, Errno> {
        Ok(sys.lock(&dir)?.then_some(Self { dir }))
    }
}

impl<S: Sys> Drop for RootLock<S> {
    fn drop(&mut self) {
        S::unlock(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::sys::Kernel;

    #[test]
    fn the_second_instance_is_told_who_the_first_is() {
        let temp = tempfile::tempdir().unwrap();
        let first = InstanceLock::acquire(temp.path()).unwrap();
        let error = InstanceLock::acquire(temp.path()).unwrap_err();
        assert_eq!(
            error,
            LockError::Locked {
                path: Raw::from(temp.path().join("lock")),
                holder: Some(std::process::id()),
            }
        );
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(first);
        InstanceLock::acquire(temp.path()).unwrap();
    }

    #[test]
    fn a_missing_state_dir_is_said_so() {
        let temp = tempfile::tempdir().unwrap();
        assert!(matches!(
            InstanceLock::acquire(&temp.path().join("none")).unwrap_err(),
            LockError::Io {
                source: Errno::NOENT,
                ..
            }
        ));
    }

    #[test]
    fn a_root_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let open = || kernel.open_root(temp.path()).unwrap();
        let first = RootLock::acquire(&kernel, open()).unwrap().unwrap();
        assert!(RootLock::acquire(&kernel, open()).unwrap().is_none());
        drop(first);
        assert!(RootLock::acquire(&kernel, open()).unwrap().is_some());
    }

    #[test]
    fn a_process_that_is_being_started_does_not_keep_a_root_locked() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let open = || kernel.open_root(temp.path()).unwrap();
        let dir = open();
        // What a child has between its fork and its program.
        let copy = dir.try_clone().unwrap();
        let first = RootLock::acquire(&kernel, dir).unwrap().unwrap();
        assert!(RootLock::acquire(&kernel, open()).unwrap().is_none());
        drop(first);
        assert!(RootLock::acquire(&kernel, open()).unwrap().is_some());
        drop(copy);
    }
}
