//! Writes the agent's resources where the agent reads them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::durable::{ReplaceError, replace_as};
use super::sys::Access;
use crate::units::Raw;

/// Mode of a file that was not there before: resources are no secret.
const MODE: u32 = 0o644;

/// A list of resources has some hundred bytes an entry.
const LARGEST: u64 = 16 << 20;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It holds these bytes already, and was not touched.
    Same,
    /// It holds them now, durably.
    Written,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The present file could not be read.
    #[error("{path} could not be read; it was left as it is")]
    Read {
        /// The file.
        path: Raw,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a folder.
    #[error("{path} is a folder; name a file")]
    Folder {
        /// The path.
        path: Raw,
    },
    /// There is something else than a file.
    #[error("{path} is no regular file; name the file itself")]
    NotAFile {
        /// The path.
        path: Raw,
    },
    /// It is larger than any list of resources.
    #[error("{path} has more than {LARGEST} bytes, and is no list of resources")]
    TooLarge {
        /// The path.
        path: Raw,
    },
    /// Somebody else wrote it meanwhile.
    #[error("{path} was changed by somebody else meanwhile; it was left as it is")]
    Changed {
        /// The path.
        path: Raw,
    },
    /// It could not be replaced.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// A file as it is now.
struct Present {
    bytes: Vec<u8>,
    access: Access,
}

/// The content of the file; `None` where there is none.
///
/// # Errors
/// When it can't be read, or is something else than a file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, PublishError> {
    Ok(present(path)?.map(|present| present.bytes))
}

/// Puts these bytes into the file, atomically and durably, in the place of those that were read from
/// it; a file that holds them already is left alone, so that nothing that watches it wakes up. A
/// present file keeps its mode, user and group.
///
/// # Errors
/// When the present file can't be read, is something else than a file, holds something else than
/// what was read, or can't be replaced. The old content is whole then.
pub fn publish(
    path: &Path,
    before: Option<&[u8]>,
    content: &[u8],
) -> Result<Published, PublishError> {
    let present = present(path)?;
    let bytes = present.as_ref().map(|present| present.bytes.as_slice());
    if bytes == Some(content) {
        return Ok(Published::Same);
    }
    if bytes != before {
        return Err(PublishError::Changed { path: path.into() });
    }
    let access = present.map_or(
        Access {
            mode: MODE,
            owner: None,
        },
        |present| present.access,
    );
    replace_as(path, content, access)?;
    Ok(Published::Written)
}

/// `None` where there is no file.
fn present(path: &Path) -> Result<Option<Present>, PublishError> {
    let failed = |source| PublishError::Read {
        path: path.into(),
        source,
    };
    // A link is not followed: what it leads to would not be what is replaced.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(PublishError::NotAFile { path: path.into() });
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(PublishError::Folder { path: path.into() });
    }
    if !metadata.is_file() {
        return Err(PublishError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(PublishError::TooLarge { path: path.into() });
    }
    Ok(Some(Present {
        bytes,
        access: Access {
            mode: metadata.mode() & 0o777,
            owner: Some((metadata.uid(), metadata.gid())),
        },
    }))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_written_once_and_then_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("resources");
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(publish(&path, None, b"[]").unwrap(), Published::Written);
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o7777, 0o644);
        assert_eq!(publish(&path, Some(b"[]"), b"[]").unwrap(), Published::Same);
        assert_eq!(read(&path).unwrap().unwrap(), b"[]");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), first.ino());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_is_not_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("resources");
        std::fs::write(&path, "theirs").unwrap();
        for before in [None, Some(&b"old"[..])] {
            let error = publish(&path, before, b"ours").unwrap_err();
            assert!(matches!(error, PublishError::Changed { .. }), "{error}");
        }
        // Whoever wrote what we would have written did no harm.
        assert_eq!(
            publish(&path, Some(b"old"), b"theirs").unwrap(),
            Published::Same
        );
        std::fs::remove_file(&path).unwrap();
        assert!(publish(&path, Some(b"theirs"), b"ours").is_err());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn mode_user_and_group_of_a_present_file_stay() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("resources");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        } else {
            println!("skipped: changing the owner needs root");
        }
        publish(&path, Some(b"old"), b"new").unwrap();
        let now = std::fs::metadata(&path).unwrap();
        assert_eq!(now.mode() & 0o7777, 0o640);
        if is_root {
            assert_eq!((now.uid(), now.gid()), (1234, 4321));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_folders_and_devices_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let real = temp.path().join("real");
        std::fs::write(&real, "old").unwrap();
        let link = temp.path().join("link");
        symlink(&real, &link).unwrap();
        for path in [link.as_path(), temp.path(), Path::new("/dev/null")] {
            let error = publish(path, None, b"new").unwrap_err();
            let fits = if path == temp.path() {
                matches!(error, PublishError::Folder { .. })
            } else {
                matches!(error, PublishError::NotAFile { .. })
            };
            assert!(fits, "{error}");
        }
        assert_eq!(std::fs::read(&real).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_the_path() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("none/resources");
        let error = publish(&path, None, b"new").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the folder of {} could not be opened", path.display())
        );
    }
}
