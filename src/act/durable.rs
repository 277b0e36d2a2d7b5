//! Replacing files so that a reader, and the next boot, see the old or the new content, whole.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

use super::sys::{Access, replace_by};
pub use crate::sys::{ReadError, read_bounded};
use crate::units::Raw;

/// Why a file was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// The path names no file.
    #[error("{path} names no file")]
    NoName {
        /// The path.
        path: Raw,
    },
    /// Its folder could not be opened; nothing was changed.
    #[error("the folder of {path} could not be opened")]
    Folder {
        /// The file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The new content could not be written, or could not be made durable.
    #[error("{path} could not be written")]
    Write {
        /// The file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

/// Puts a file with this content and mode at `path`: a new file beside it, made durable, then
/// renamed over it, and the folder made durable. On an error before the rename the old file is as
/// it was, and nothing is left beside it. A link at `path` is replaced, not followed.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ReplaceError> {
    replace_as(path, content, Access { mode, owner: None })
}

/// As [`replace`], with user and group of the new file.
pub(super) fn replace_as(path: &Path, content: &[u8], access: Access) -> Result<(), ReplaceError> {
    // Two processes may write the same file at once; each needs a name of its own.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let raw = || Raw::new(path.as_os_str().as_bytes());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ReplaceError::NoName { path: raw() });
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = retry_on_intr(|| openat(CWD, parent, flags, Mode::empty())).map_err(|source| {
        ReplaceError::Folder {
            path: raw(),
            source,
        }
    })?;
    let temp = format!(
        ".mesos-volumed-{}-{}.new",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    );
    replace_by(&dir, name.as_bytes(), temp.as_bytes(), content, access).map_err(|source| {
        ReplaceError::Write {
            path: raw(),
            source,
        }
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        replace(&path, b"one", 0o600).unwrap();
        let first = std::fs::metadata(&path).unwrap();
        replace(&path, b"two", 0o644).unwrap();
        let second = std::fs::metadata(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(first.permissions().mode() & 0o7777, 0o600);
        assert_eq!(second.permissions().mode() & 0o7777, 0o644);
        assert_ne!(first.ino(), second.ino());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        // Renaming a file over a directory fails after everything was written.
        let path = temp.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        let error = replace(&path, b"new", 0o644).unwrap_err();
        assert!(
            matches!(
                error,
                ReplaceError::Write {
                    source: Errno::ISDIR,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);

        let error = replace(&temp.path().join("none/file"), b"new", 0o644).unwrap_err();
        assert!(
            matches!(
                error,
                ReplaceError::Folder {
                    source: Errno::NOENT,
                    ..
                }
            ),
            "{error}"
        );
        assert!(matches!(
            replace(Path::new("/"), b"", 0o644).unwrap_err(),
            ReplaceError::NoName { .. }
        ));
    }

    #[test]
    fn writers_of_one_file_at_once_never_mix_their_content() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::thread::scope(|scope| {
            for byte in *b"abcd" {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace(path, &[byte; 10_000], 0o644).unwrap();
                    }
                });
            }
        });
        let content = std::fs::read(&path).unwrap();
        assert!(content.len() == 10_000 && content.iter().all(|byte| *byte == content[0]));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
