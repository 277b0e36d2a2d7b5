//! Replacing files so that a reader, and the next boot, see the old or the new content, whole.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::sys::{Access, Content, replace_by, try_lock};
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

/// Puts a file with this content and mode at `path`. A link at `path` is replaced, not followed.
///
/// Durability points, each before the next call: the new content in a file beside it; the rename over
/// it; its folder. A crash before the rename leaves the old file as it was, and the new one beside it,
/// which the next replacement takes away; an error leaves nothing beside it.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ReplaceError> {
    replace_as(path, content, Access { mode, owner: None })
}

/// As [`replace`], with user and group of the new file.
pub(super) fn replace_as(path: &Path, content: &[u8], access: Access) -> Result<(), ReplaceError> {
    replace_by_writing(path, &mut |out| out.write_all(content), access)
}

/// As [`replace_as`], with content that is never in memory as a whole.
pub(super) fn replace_by_writing(
    path: &Path,
    content: Content<'_>,
    access: Access,
) -> Result<(), ReplaceError> {
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
    let written = beside(&dir, name.as_bytes())
        .and_then(|temp| replace_by(&dir, name.as_bytes(), &temp, content, access));
    written.map_err(|source| ReplaceError::Write {
        path: raw(),
        source,
    })
}

/// The name that the new file has until it is whole. Two may write the same file at once: who has the
/// lock of the folder, as long as that is open, takes away what a crash left under this name. Anybody
/// who may read the folder can keep the lock, and not every file system has one; then the name is one
/// that nobody else takes.
fn beside(dir: &OwnedFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    for _ in 0..TRIES {
        match try_lock(dir) {
            Ok(true) => {
                let temp = [b".mesos-volumed-", name, b".new"].concat();
                clear_away(dir, &temp)?;
                return Ok(temp);
            }
            Ok(false) => std::thread::sleep(PAUSE),
            // A file system without locks.
            Err(_) => break,
        }
    }
    let unique = format!(
        ".mesos-volumed-{}-{}.new",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    );
    Ok(unique.into_bytes())
}

/// Takes away what crashes left half written in a folder of ours, for files whose names never come again.
/// For a folder with one writer, whose lock is held; what can't be taken away is no file of ours' content,
/// and stays.
#[expect(
    clippy::disallowed_methods,
    reason = "files of ours that a crash left half written, under names of ours"
)]
pub(super) fn clear_half_written(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_bytes();
        if name.starts_with(b".mesos-volumed-")
            && name.ends_with(b".new")
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::debug!(%error, "a half-written file stays, ignoring");
        }
    }
}

/// A replacement takes milliseconds, or a busy disk's fsync.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

#[expect(
    clippy::disallowed_methods,
    reason = "a file of ours that a crash left half written, under a name of ours"
)]
fn clear_away(dir: &OwnedFd, temp: &[u8]) -> Result<(), Errno> {
    match retry_on_intr(|| unlinkat(dir, temp, AtFlags::empty())) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
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
    fn what_a_crash_left_beside_a_file_goes_with_the_next_replacement() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("memory.json");
        std::fs::write(temp.path().join(".mesos-volumed-memory.json.new"), "half").unwrap();
        replace(&path, b"whole", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_written_files_of_names_that_never_come_again_go_and_others_stay() {
        let temp = tempfile::tempdir().unwrap();
        for name in [
            ".mesos-volumed-835cfb1d.json.new",
            "835cfb1d.json",
            ".else.new",
        ] {
            std::fs::write(temp.path().join(name), "").unwrap();
        }
        clear_half_written(temp.path());
        clear_half_written(&temp.path().join("none"));
        let mut left: Vec<_> = std::fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".else.new", "835cfb1d.json"]);
    }

    #[test]
    fn somebody_who_keeps_the_lock_of_the_folder_holds_nothing_up_for_good() {
        let temp = tempfile::tempdir().unwrap();
        let theirs = std::fs::File::open(temp.path()).unwrap();
        assert_eq!(try_lock(&theirs), Ok(true));
        let path = temp.path().join("file");
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
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
