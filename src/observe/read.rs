//! Whole small files, with a bound, and directory listings: never half of one.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::units::Raw;

/// Why a file or folder could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel said no.
    #[error("{path} could not be read")]
    Io {
        /// The file or folder.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is larger than such a file can sensibly be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: Raw,
        /// The bound.
        limit: u64,
    },
    /// It is no regular file (a FIFO would block the reader for ever).
    #[error("{path} is no regular file")]
    NotAFile {
        /// The path.
        path: Raw,
    },
}

impl ReadError {
    /// What the kernel said, where it said something.
    #[must_use]
    pub fn kind(&self) -> Option<io::ErrorKind> {
        self.io().map(io::Error::kind)
    }

    /// The kernel's error, where it is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::TooLarge { .. } | Self::NotAFile { .. } => None,
        }
    }

    /// Whether the file or a folder above it is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// The error and its cause in one line, for a reason that is kept as data.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(self)
    }
}

/// An error with all its causes in one line.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The whole content of a regular file (`/proc` and `/sys` files included) of at most `limit`
/// bytes.
pub fn whole(path: &Raw, limit: u64) -> Result<Vec<u8>, ReadError> {
    let io_error = |source| ReadError::Io {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .read(true)
        .custom_flags(nonblocking())
        .open(path.as_path())
        .map_err(io_error)?;
    if !file.metadata().map_err(io_error)?.is_file() {
        return Err(ReadError::NotAFile { path: path.clone() });
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(ReadError::TooLarge {
            path: path.clone(),
            limit,
        });
    }
    Ok(bytes)
}

fn nonblocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

/// The names in a folder, in no order, without `.` and `..`; all of them or an error.
pub fn names(path: &Raw) -> Result<Vec<Raw>, ReadError> {
    let io_error = |source| ReadError::Io {
        path: path.clone(),
        source,
    };
    std::fs::read_dir(path.as_path())
        .map_err(io_error)?
        .map(|entry| Ok(Raw::from(entry.map_err(io_error)?.file_name())))
        .collect()
}

/// The text of a symbolic link.
pub fn link(path: &Raw) -> Result<Raw, ReadError> {
    std::fs::read_link(path.as_path())
        .map(Raw::from)
        .map_err(|source| ReadError::Io {
            path: path.clone(),
            source,
        })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_refused() {
        let tree = tempfile::tempdir().unwrap();
        let file = Raw::from(tree.path()).join("a");
        std::fs::write(file.as_path(), "12345").unwrap();
        assert_eq!(whole(&file, 5).unwrap(), b"12345");
        assert_eq!(
            whole(&file, 4).unwrap_err().sentence(),
            format!("{file} is larger than 4 bytes")
        );
        let missing = Raw::from(tree.path()).join("b");
        let error = whole(&missing, 5).unwrap_err();
        assert!(error.is_absent());
        assert_eq!(
            error.sentence(),
            format!("{missing} could not be read: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn a_fifo_does_not_block_the_reader() {
        let tree = tempfile::tempdir().unwrap();
        let fifo = Raw::from(tree.path()).join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            fifo.as_path(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(matches!(whole(&fifo, 5), Err(ReadError::NotAFile { .. })));
    }
}
