//! Files and folders below the agent's `meta`: whole or not at all, never through a link in their
//! last component, with what tells one state of a file from the next, and, where the kernel allows
//! it, without leaving an access time behind (a dry run changes nothing).

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::open::quietly;
use crate::units::Raw;

/// Why a file or folder could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Opening failed.
    #[error("can't open {}", Raw::from(path.as_path()))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A symbolic link.
    #[error("{} is a symbolic link, which Mesos never makes there", Raw::from(path.as_path()))]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A directory, FIFO, socket or device.
    #[error("{} is no regular file", Raw::from(path.as_path()))]
    NotAFile {
        /// The entry.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("can't read {}", Raw::from(path.as_path()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is larger than anything that belongs there.
    #[error("{} has more than the {limit} bytes that belong there", Raw::from(path.as_path()))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// It grew or shrank while it was read.
    #[error("{} changed its size while it was read", Raw::from(path.as_path()))]
    Resized {
        /// The file.
        path: PathBuf,
    },
}

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Not there.
    Absent,
    /// There.
    There {
        device: u64,
        inode: u64,
        size: u64,
        modified_nanos: i64,
        changed_nanos: i64,
    },
    /// Could not be looked at.
    Failed(io::ErrorKind),
}

impl Stamp {
    /// The state of what lies at `path` now; of a link, its own.
    pub(super) fn of(path: &Path) -> Self {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Self::from_metadata(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Failed(error.kind()),
        }
    }

    fn from_metadata(metadata: &Metadata) -> Self {
        Self::There {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_nanos: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed_nanos: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Seconds and nanoseconds since 1970 as nanoseconds, held at the ends of the range.
fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A file's bytes and which file it was.
#[derive(Debug)]
pub(super) struct Content {
    pub bytes: Vec<u8>,
    pub inode: u64,
    pub modified_nanos: i64,
}

fn open(path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | more;
    quietly(flags, |flags| rustix::fs::open(path, flags, Mode::empty()))
}

fn open_error(path: &Path, errno: Errno) -> FileError {
    let path = path.to_path_buf();
    if errno == Errno::LOOP {
        FileError::Link { path }
    } else {
        FileError::Open {
            path,
            source: errno.into(),
        }
    }
}

/// All of a regular file of at most `limit` bytes; `None` when it is not there.
pub(super) fn read(path: &Path, limit: usize) -> Result<Option<Content>, FileError> {
    let file = match open(path, OFlags::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        // A socket, or a device without a driver.
        Err(Errno::NXIO) => {
            return Err(FileError::NotAFile {
                path: path.to_path_buf(),
            });
        }
        Err(errno) => return Err(open_error(path, errno)),
    };
    let failed = |source| FileError::Read {
        path: path.to_path_buf(),
        source,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile {
            path: path.to_path_buf(),
        });
    }
    let too_large = || FileError::TooLarge {
        path: path.to_path_buf(),
        limit,
    };
    let expected = usize::try_from(metadata.size())
        .ok()
        .filter(|size| *size <= limit)
        .ok_or_else(too_large)?;
    let mut bytes = Vec::with_capacity(expected);
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    (&file).take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(too_large());
    }
    if bytes.len() != expected {
        return Err(FileError::Resized {
            path: path.to_path_buf(),
        });
    }
    Ok(Some(Content {
        bytes,
        inode: metadata.ino(),
        modified_nanos: nanos(metadata.mtime(), metadata.mtime_nsec()),
    }))
}

/// What an entry of a folder is, as far as the agent's `meta` tells entries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    File,
    Link,
    Other,
}

/// An entry of a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: Raw,
    pub path: PathBuf,
    pub kind: EntryKind,
}

/// Every entry of a folder but `.` and `..`, by name; `None` when it is not there.
pub(super) fn list(path: &Path) -> Result<Option<Vec<Entry>>, FileError> {
    let fd = match open(path, OFlags::DIRECTORY) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(open_error(path, errno)),
    };
    let failed = |errno: Errno| FileError::Read {
        path: path.to_path_buf(),
        source: errno.into(),
    };
    let mut entries = Vec::new();
    for entry in Dir::new(fd).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = Raw::new(entry.file_name().to_bytes());
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let path = path.join(name.as_os_str());
        let kind = match entry.file_type() {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => EntryKind::File,
            FileType::Symlink => EntryKind::Link,
            FileType::Unknown => match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => EntryKind::Directory,
                Ok(metadata) if metadata.is_file() => EntryKind::File,
                Ok(metadata) if metadata.is_symlink() => EntryKind::Link,
                Ok(_) => EntryKind::Other,
                // It went while the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(FileError::Read { path, source }),
            },
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice => EntryKind::Other,
        };
        entries.push(Entry { name, path, kind });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Some(entries))
}
