//! A path as some process sees it: resolved step by step from that process's root directory, with
//! its mount table at hand, so that no file system is asked that might never answer.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::mountinfo::{self, MountinfoError};
use super::places::Places;
use super::proc::Task;
use crate::decide::facts::{DeviceNumber, FileKind, FsLocation, MountTable};
use crate::sys;
use crate::units::Raw;

/// Links that a path may lead through: the kernel's own bound.
const LINKS: usize = 40;

/// Why a path could not be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("{path} is not there")]
    Missing { path: Raw },
    #[error("{path} is not absolute")]
    Relative { path: Raw },
    #[error("{path} lies on {fs_type}, which is never asked: it may not answer")]
    NotAsked {
        path: Raw,
        fs_type: Raw,
        device: DeviceNumber,
    },
    #[error("no mount table shows where {path} lies")]
    Unlisted { path: Raw },
    #[error("{path} leads through too many symbolic links")]
    Links { path: Raw },
    #[error("what is mounted at {path} changed while it was looked at")]
    Changed { path: Raw },
    #[error("{path} could not be looked at")]
    Io {
        path: Raw,
        #[source]
        source: Errno,
    },
    #[error(transparent)]
    Mounts(#[from] MountinfoError),
}

/// Where a process looks from: its root directory and its mount table.
#[derive(Debug)]
pub(super) struct Viewpoint {
    root: OwnedFd,
    pub(super) table: MountTable,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) struct Found {
    /// An `O_PATH` descriptor of it.
    pub(super) fd: OwnedFd,
    /// Where that lies in its file system.
    pub(super) location: FsLocation,
    /// The path to it without links.
    pub(super) real: Raw,
}

const FLAGS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Viewpoint {
    /// This very process.
    pub(super) fn own(table: MountTable) -> Result<Self, WalkError> {
        Self::at(&Raw::from("/"), table)
    }

    /// Another process.
    pub(super) fn of(places: &Places, pid: i32) -> Result<Self, WalkError> {
        let folder = Task::process(places, pid).folder;
        let table = MountTable::new(mountinfo::read_at(folder.join("mountinfo").as_path())?);
        Self::at(&folder.join("root"), table)
    }

    fn at(root: &Raw, table: MountTable) -> Result<Self, WalkError> {
        may_be_asked(&table, &Raw::from("/"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = retry_on_intr(|| openat(CWD, root.as_path(), flags, Mode::empty())).map_err(
            |source| WalkError::Io {
                path: root.clone(),
                source,
            },
        )?;
        Ok(Self { root, table })
    }

    /// Follows an absolute path, links included.
    pub(super) fn follow(&self, path: &Raw) -> Result<Found, WalkError> {
        if path.as_bytes().first() != Some(&b'/') {
            return Err(WalkError::Relative { path: path.clone() });
        }
        // What is still to be done, the next component last.
        let mut todo = components(path.as_bytes());
        // The directories passed, the present one last; none: the root.
        let mut passed: Vec<(Raw, OwnedFd)> = Vec::new();
        let mut links = 0_usize;
        while let Some(name) = todo.pop() {
            if name == b".." {
                passed.pop();
                continue;
            }
            let (here, dir) = match passed.last() {
                Some((here, dir)) => (here.clone(), dir.as_fd()),
                None => (Raw::from("/"), self.root.as_fd()),
            };
            let next = here.join(&name);
            may_be_asked(&self.table, &next)?;
            let io = |source| match source {
                Errno::NOENT | Errno::NOTDIR => WalkError::Missing { path: next.clone() },
                source => WalkError::Io {
                    path: next.clone(),
                    source,
                },
            };
            let fd =
                retry_on_intr(|| openat(dir, name.as_slice(), FLAGS, Mode::empty())).map_err(io)?;
            if sys::node(&fd).map_err(io)?.kind == FileKind::Symlink {
                links = links.saturating_add(1);
                if links > LINKS {
                    return Err(WalkError::Links { path: path.clone() });
                }
                let target = readlinkat(&fd, c"", Vec::new()).map_err(io)?.into_bytes();
                if target.first() == Some(&b'/') {
                    passed.clear();
                }
                todo.extend(components(&target));
            } else {
                passed.push((next, fd));
            }
        }
        let (path, fd) = match passed.pop() {
            Some(found) => found,
            None => (
                Raw::from("/"),
                self.root.try_clone().map_err(|source| WalkError::Io {
                    path: Raw::from("/"),
                    source: Errno::from_io_error(&source).unwrap_or(Errno::IO),
                })?,
            ),
        };
        let mount = self
            .table
            .mount_of(&path)
            .ok_or_else(|| WalkError::Unlisted { path: path.clone() })?;
        let id = sys::mount_id(&fd).map_err(|source| WalkError::Io {
            path: path.clone(),
            source,
        })?;
        match mount.location(&path) {
            Some(location) if id.0 == mount.id && !mount.root_deleted => Ok(Found {
                fd,
                location,
                real: path,
            }),
            Some(_) | None => Err(WalkError::Changed { path }),
        }
    }
}

/// The names in a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

/// The path with single slashes, without `.` and without a slash at its end. `..` stays.
pub(super) fn normal(path: &Raw) -> Raw {
    let mut names = components(path.as_bytes());
    names.reverse();
    let mut bytes = if path.as_bytes().first() == Some(&b'/') {
        vec![b'/']
    } else {
        Vec::new()
    };
    bytes.extend(names.join(&b'/'));
    Raw::new(bytes)
}

fn may_be_asked(table: &MountTable, path: &Raw) -> Result<(), WalkError> {
    let mount = table
        .mount_of(path)
        .ok_or_else(|| WalkError::Unlisted { path: path.clone() })?;
    if mount.class().may_be_asked() {
        Ok(())
    } else {
        Err(WalkError::NotAsked {
            path: path.clone(),
            fs_type: mount.fs_type.clone(),
            device: mount.device,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    fn own() -> Viewpoint {
        Viewpoint::own(MountTable::new(mountinfo::read_self().unwrap())).unwrap()
    }

    #[test]
    fn a_path_is_followed_through_links_to_where_it_lies() {
        let tree = tempfile::tempdir().unwrap();
        let base = Raw::from(std::fs::canonicalize(tree.path()).unwrap());
        std::fs::create_dir_all(base.join("a/b").as_path()).unwrap();
        std::os::unix::fs::symlink("../a/./b", base.join("a/up").as_path()).unwrap();
        std::os::unix::fs::symlink(base.join("a").as_path(), base.join("abs").as_path()).unwrap();
        let view = own();
        let expected = sys::node(std::fs::File::open(base.join("a/b").as_path()).unwrap());
        for path in ["a/b", "a//b/", "a/up", "abs/up", "abs/b/../b", "a/up/../up"] {
            let found = view.follow(&base.join(path)).unwrap();
            assert_eq!(sys::node(&found.fd), expected, "{path}");
            assert_eq!(
                found.location,
                view.table.locate(&base.join("a/b")).unwrap()
            );
        }
        let root = view.follow(&"/".into()).unwrap();
        assert_eq!(root.location, view.table.locate(&"/".into()).unwrap());
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        let tree = tempfile::tempdir().unwrap();
        let base = Raw::from(std::fs::canonicalize(tree.path()).unwrap());
        std::os::unix::fs::symlink("ring", base.join("ring").as_path()).unwrap();
        let view = own();
        let error = |path: &Raw| view.follow(path).unwrap_err();
        assert!(matches!(
            error(&base.join("none")),
            WalkError::Missing { .. }
        ));
        assert!(matches!(error(&base.join("ring")), WalkError::Links { .. }));
        assert!(matches!(error(&"a".into()), WalkError::Relative { .. }));
        assert!(matches!(
            error(&"/proc/self/root/tmp".into()),
            WalkError::NotAsked { .. }
        ));
    }

    #[test]
    fn paths_compare_by_their_normal_form() {
        for (path, form) in [
            ("/a//b/./c/", "/a/b/c"),
            ("/", "/"),
            ("//", "/"),
            ("a/b/", "a/b"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(normal(&path.into()), form.into());
        }
    }
}
