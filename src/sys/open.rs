//! Opening directories so that nothing can lead outside: no link, no mount, no `..`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, retry_on_intr};

use super::stat::{MountId, entry_kind, mount_id_without_statx, node, open_path};
use crate::decide::facts::FileKind;

/// Why a directory was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Something is mounted there; it was not entered.
    #[error("something is mounted there")]
    Mount,
    /// It is a symbolic link, or a link is on the way; it was not followed.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is something else than a directory.
    #[error("it is not a directory")]
    NotADirectory,
    /// It is not there.
    #[error("it is not there")]
    Missing,
    /// The kernel tells in no way which mount a file lies on, so that nothing may be opened.
    #[error("the kernel does not tell which mount it lies on")]
    NoMountId,
    /// Anything else.
    #[error("it could not be opened")]
    Io(#[source] Errno),
}

impl OpenError {
    fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::XDEV => Self::Mount,
            Errno::LOOP => Self::Symlink,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::NOENT => Self::Missing,
            other => Self::Io(other),
        }
    }
}

/// How a name is resolved without leaving its directory or its mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// By `openat2` (Linux 5.6): one call, judged by the kernel.
    Openat2,
    /// By an `O_PATH` descriptor whose mount id is compared with its directory's: for older
    /// kernels, and where seccomp refuses `openat2`.
    Fdinfo,
}

impl Resolver {
    /// What this kernel has; asked once per process.
    #[must_use]
    pub fn probed() -> Self {
        static PROBED: OnceLock<Resolver> = OnceLock::new();
        *PROBED.get_or_init(|| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match openat2(CWD, c"/", flags, Mode::empty(), NO_LINKS) {
                Ok(_) => Self::Openat2,
                // ENOSYS before 5.6, EPERM under seccomp. The other way needs nothing.
                Err(_) => Self::Fdinfo,
            }
        })
    }

    /// Opens the directory `name` of `dir`, for reading.
    pub fn open_beneath(self, dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, OpenError> {
        one_component(name).map_err(OpenError::Io)?;
        let dir = dir.as_fd();
        let opened = match self {
            Self::Openat2 => without_noatime_if_refused(|flags| {
                openat2(dir, name, flags, Mode::empty(), BENEATH)
            })
            .map_err(OpenError::from_errno),
            Self::Fdinfo => open_beneath_by_mount_id(dir, name),
        };
        match opened {
            // With O_DIRECTORY the kernel says ENOTDIR of a link, too.
            Err(OpenError::NotADirectory) => match entry_kind(dir, name) {
                Ok(FileKind::Symlink) => Err(OpenError::Symlink),
                Ok(_) | Err(_) => Err(OpenError::NotADirectory),
            },
            other => other,
        }
    }

    /// An `O_PATH` descriptor of the entry `name` of `dir`, whatever it is: of a link itself. Not of
    /// what is mounted there.
    pub fn entry_beneath(self, dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, OpenError> {
        one_component(name).map_err(OpenError::Io)?;
        let dir = dir.as_fd();
        match self {
            Self::Openat2 => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                retry_on_intr(|| openat2(dir, name, flags, Mode::empty(), BENEATH))
                    .map_err(OpenError::from_errno)
            }
            Self::Fdinfo => {
                let entry = open_path(dir, name).map_err(OpenError::from_errno)?;
                if mount_of(entry.as_fd())? == mount_of(dir)? {
                    Ok(entry)
                } else {
                    Err(OpenError::Mount)
                }
            }
        }
    }

    /// Opens the directory at this absolute path, for reading, through mounts but through no link.
    ///
    /// A file system that never answers hangs it: look at mountinfo before.
    pub fn open_root(self, path: &Path) -> Result<OwnedFd, OpenError> {
        if !path.is_absolute() {
            return Err(OpenError::Io(Errno::INVAL));
        }
        match self {
            Self::Openat2 => without_noatime_if_refused(|flags| {
                let flags = flags.difference(OFlags::NOFOLLOW);
                openat2(CWD, path, flags, Mode::empty(), NO_LINKS)
            })
            .map_err(OpenError::from_errno),
            Self::Fdinfo => open_root_step_by_step(path),
        }
    }
}

const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);
const BENEATH: ResolveFlags = NO_LINKS
    .union(ResolveFlags::BENEATH)
    .union(ResolveFlags::NO_XDEV);

/// `O_NONBLOCK` matters only where the name turns out to be a FIFO, which is then not opened.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Opens the directory `name` of `dir`, for reading, by what this kernel has.
pub fn open_beneath(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, OpenError> {
    Resolver::probed().open_beneath(dir, name)
}

/// Opens the directory at this absolute path, for reading, through mounts but through no link.
///
/// A file system that never answers hangs it: look at mountinfo before.
pub fn open_root(path: &Path) -> Result<OwnedFd, OpenError> {
    Resolver::probed().open_root(path)
}

/// Another descriptor of the same directory, with a reading position and locks of its own. Works
/// on `O_PATH` descriptors of directories.
pub fn reopen(dir: impl AsFd) -> Result<OwnedFd, Errno> {
    let dir = dir.as_fd();
    without_noatime_if_refused(|flags| openat(dir, c".", flags, Mode::empty()))
}

/// `EINVAL` unless the name is one component.
pub(crate) fn one_component(name: &[u8]) -> Result<(), Errno> {
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL),
        name if name.contains(&b'/') => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

/// [`quietly`] for a directory.
pub(crate) fn without_noatime_if_refused(
    open: impl Fn(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    quietly(DIRECTORY, open)
}

/// Reading should not write; `O_NOATIME` is refused to non-owners.
pub(crate) fn quietly(
    flags: OFlags,
    open: impl Fn(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    match retry_on_intr(|| open(flags | OFlags::NOATIME)) {
        Err(Errno::PERM) => retry_on_intr(|| open(flags)),
        other => other,
    }
}

fn mount_of(fd: BorrowedFd<'_>) -> Result<MountId, OpenError> {
    mount_id_without_statx(fd).map_err(|_errno| OpenError::NoMountId)
}

fn open_beneath_by_mount_id(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, OpenError> {
    let entry = open_path(dir, name).map_err(OpenError::from_errno)?;
    // The mount first: asking anything else of a dead mount would hang.
    if mount_of(entry.as_fd())? != mount_of(dir)? {
        return Err(OpenError::Mount);
    }
    match node(&entry).map_err(OpenError::Io)?.kind {
        FileKind::Directory => reopen(&entry).map_err(OpenError::from_errno),
        FileKind::Symlink => Err(OpenError::Symlink),
        FileKind::File | FileKind::Special | FileKind::Mount => Err(OpenError::NotADirectory),
    }
}

fn open_root_step_by_step(path: &Path) -> Result<OwnedFd, OpenError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at =
        retry_on_intr(|| openat(CWD, c"/", flags, Mode::empty())).map_err(OpenError::from_errno)?;
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(OpenError::Io(Errno::INVAL)),
            Component::Normal(name) => {
                let next = open_path(at.as_fd(), name.as_bytes()).map_err(OpenError::from_errno)?;
                match node(&next).map_err(OpenError::Io)?.kind {
                    FileKind::Directory => at = next,
                    FileKind::Symlink => return Err(OpenError::Symlink),
                    FileKind::File | FileKind::Special | FileKind::Mount => {
                        return Err(OpenError::NotADirectory);
                    }
                }
            }
        }
    }
    reopen(&at).map_err(OpenError::from_errno)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::fs::File;

    use super::*;

    const BOTH: [Resolver; 2] = [Resolver::Openat2, Resolver::Fdinfo];

    #[test]
    fn both_resolvers_open_directories_and_say_what_else_is_there() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        std::fs::write(temp.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("dir", temp.path().join("link")).unwrap();
        rustix::fs::mknodat(
            CWD,
            temp.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let dir = File::open(temp.path()).unwrap();
        let inside = File::open(temp.path().join("dir")).unwrap();
        for resolver in BOTH {
            let open = |name: &[u8]| resolver.open_beneath(&dir, name);
            assert_eq!(node(open(b"dir").unwrap()), node(&inside), "{resolver:?}");
            assert_eq!(open(b"link").unwrap_err(), OpenError::Symlink);
            assert_eq!(open(b"file").unwrap_err(), OpenError::NotADirectory);
            assert_eq!(open(b"fifo").unwrap_err(), OpenError::NotADirectory);
            assert_eq!(open(b"none").unwrap_err(), OpenError::Missing);
            for name in [&b".."[..], b".", b"", b"dir/..", b"/"] {
                assert_eq!(open(name).unwrap_err(), OpenError::Io(Errno::INVAL));
            }
        }
    }

    #[test]
    fn both_resolvers_leave_mounts_alone() {
        let root = File::open("/").unwrap();
        for resolver in BOTH {
            assert_eq!(
                resolver.open_beneath(&root, b"proc").unwrap_err(),
                OpenError::Mount,
                "{resolver:?}"
            );
        }
    }

    #[test]
    fn roots_are_opened_through_mounts_but_not_through_links() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", temp.path().join("link")).unwrap();
        for resolver in BOTH {
            let open = |tail: &str| resolver.open_root(&temp.path().join(tail));
            let expected = node(File::open(temp.path().join("a/b")).unwrap());
            assert_eq!(node(open("a/b").unwrap()), expected);
            assert_eq!(
                open("link/b").unwrap_err(),
                OpenError::Symlink,
                "{resolver:?}"
            );
            assert_eq!(open("link").unwrap_err(), OpenError::Symlink);
            assert_eq!(open("none").unwrap_err(), OpenError::Missing);
            resolver
                .open_root(Path::new("/proc/self/task"))
                .unwrap_err();
            resolver.open_root(Path::new("/proc/sys")).unwrap();
            assert_eq!(
                resolver.open_root(Path::new("a")).unwrap_err(),
                OpenError::Io(Errno::INVAL)
            );
        }
    }
}
