//! Files, links and listings of `/proc`, `/sys` and the host's own folders, in the one error of
//! [`crate::sys`].

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::{Errno, retry_on_intr};

use crate::sys::{self, ReadError};
use crate::units::Raw;

/// The whole content of a regular file of at most `limit` bytes.
pub(super) fn whole(path: &Raw, limit: usize) -> Result<Vec<u8>, ReadError> {
    sys::read_bounded(path.as_path(), limit)
}

/// The names in a folder of the host, sorted; leaves no access time behind.
pub(super) fn folder(path: &Raw) -> Result<Vec<Raw>, ReadError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |errno| from_errno(path, errno);
    let opened =
        retry_on_intr(|| openat(CWD, path.as_path(), flags, Mode::empty())).map_err(failed)?;
    let entries = sys::list(&opened, 1 << 16).map_err(failed)?;
    Ok(entries.into_iter().map(|(name, ..)| name).collect())
}

/// The names in a folder of `/proc` or `/sys`, in no order, without `.` and `..`; all of them or
/// an error.
pub(super) fn names(path: &Raw) -> Result<Vec<Raw>, ReadError> {
    let entries = std::fs::read_dir(path.as_path()).map_err(|error| io_error(path, &error))?;
    entries
        .map(|entry| match entry {
            Ok(entry) => Ok(Raw::from(entry.file_name())),
            Err(error) => Err(io_error(path, &error)),
        })
        .collect()
}

/// The text of a symbolic link; `EINVAL` where it is none.
pub(super) fn link(path: &Raw) -> Result<Raw, ReadError> {
    match readlinkat(CWD, path.as_path(), Vec::new()) {
        Ok(text) => Ok(Raw::from(text.into_bytes())),
        Err(errno) => Err(from_errno(path, errno)),
    }
}

pub(super) fn from_errno(path: &Raw, errno: Errno) -> ReadError {
    let path = path.clone();
    match errno {
        Errno::NOENT => ReadError::Missing { path },
        source => ReadError::Io { path, source },
    }
}

fn io_error(path: &Raw, error: &std::io::Error) -> ReadError {
    from_errno(path, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// What the kernel said, where it said something else than "not there".
pub(super) fn errno(error: &ReadError) -> Option<Errno> {
    match error {
        ReadError::Io { source, .. } => Some(*source),
        ReadError::Missing { .. } | ReadError::NotAFile { .. } | ReadError::TooLarge { .. } => None,
    }
}

/// Whether the file or a folder above it is not there.
pub(super) fn is_absent(error: &ReadError) -> bool {
    matches!(error, ReadError::Missing { .. })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use crate::units::chain;

    #[test]
    fn folders_and_links_are_read_or_say_what_is_wrong() {
        let tree = tempfile::tempdir().unwrap();
        let folder = Raw::from(tree.path());
        std::fs::write(folder.join("a").as_path(), "").unwrap();
        std::os::unix::fs::symlink("a b", folder.join("b").as_path()).unwrap();
        let mut found = names(&folder).unwrap();
        found.sort();
        assert_eq!(found, [Raw::from("a"), Raw::from("b")]);
        assert_eq!(link(&folder.join("b")).unwrap(), "a b".into());
        let error = link(&folder.join("a")).unwrap_err();
        assert_eq!(errno(&error), Some(Errno::INVAL));
        assert_eq!(
            chain(&error),
            format!(
                "{} could not be read: Invalid argument (os error 22)",
                folder.join("a")
            )
        );
        assert_eq!(super::folder(&folder).unwrap(), found);
        assert!(is_absent(&super::folder(&folder.join("c")).unwrap_err()));
        assert!(is_absent(&names(&folder.join("c")).unwrap_err()));
        assert_eq!(
            errno(&names(&folder.join("a")).unwrap_err()),
            Some(Errno::NOTDIR)
        );
    }
}
