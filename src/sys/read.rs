//! Reading small files whole, within a limit.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

use super::open::{one_component, quietly};
use super::stat::node;
use crate::decide::facts::FileKind;
use crate::units::Raw;

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("{path} is not there")]
    Missing {
        /// The file.
        path: Raw,
    },
    /// It is something else than a regular file.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The file.
        path: Raw,
    },
    /// It has more bytes than anything that belongs there.
    #[error("{path} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: Raw,
        /// The limit.
        limit: usize,
    },
    /// Anything else.
    #[error("{path} could not be read")]
    Io {
        /// The file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// The whole content of the file at this path, links followed, when it has at most `limit` bytes.
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    let name = || Raw::new(path.as_os_str().as_bytes());
    let open = |flags| openat(CWD, path, flags, Mode::empty());
    read_opened(quietly(FLAGS, open), name, limit)
}

/// The whole content of the file `name` of an open directory, no link followed, when it has at
/// most `limit` bytes.
pub fn read_bounded_at(dir: impl AsFd, name: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
    let open = |flags| {
        one_component(name)?;
        openat(dir.as_fd(), name, flags, Mode::empty())
    };
    let file = quietly(FLAGS | OFlags::NOFOLLOW, open);
    read_opened(file, || Raw::new(name), limit)
}

fn read_opened(
    file: Result<OwnedFd, Errno>,
    path: impl Fn() -> Raw,
    limit: usize,
) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io {
        path: path(),
        source,
    };
    let file = file.map_err(|errno| match errno {
        Errno::NOENT => ReadError::Missing { path: path() },
        Errno::LOOP | Errno::NXIO => ReadError::NotAFile { path: path() },
        other => io(other),
    })?;
    let found = node(&file).map_err(io)?;
    if found.kind != FileKind::File {
        return Err(ReadError::NotAFile { path: path() });
    }
    let mut content = Vec::new();
    let mut chunk = vec![0_u8; 64 << 10];
    loop {
        let length = retry_on_intr(|| rustix::io::read(&file, chunk.as_mut_slice())).map_err(io)?;
        let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else {
            return Ok(content);
        };
        if content.len().saturating_add(length) > limit {
            return Err(ReadError::TooLarge {
                path: path(),
                limit,
            });
        }
        content.extend_from_slice(read);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), vec![7_u8; 200_000]).unwrap();
        std::os::unix::fs::symlink("file", temp.path().join("link")).unwrap();
        let dir = File::open(temp.path()).unwrap();
        assert_eq!(
            read_bounded_at(&dir, b"file", 200_000).unwrap(),
            vec![7_u8; 200_000]
        );
        assert!(matches!(
            read_bounded_at(&dir, b"file", 199_999).unwrap_err(),
            ReadError::TooLarge { limit: 199_999, .. }
        ));
        assert!(matches!(
            read_bounded_at(&dir, b"none", 9).unwrap_err(),
            ReadError::Missing { .. }
        ));
        assert!(matches!(
            read_bounded_at(&dir, b"link", 200_000).unwrap_err(),
            ReadError::NotAFile { .. }
        ));
        assert_eq!(
            read_bounded(&temp.path().join("link"), 200_000)
                .unwrap()
                .len(),
            200_000
        );
        assert!(matches!(
            read_bounded(temp.path(), 9).unwrap_err(),
            ReadError::NotAFile { .. }
        ));
        assert!(
            !read_bounded(Path::new("/proc/self/mountinfo"), 1 << 20)
                .unwrap()
                .is_empty()
        );
    }
}
