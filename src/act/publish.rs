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
    /// There is something else than a file.
    #[error("{path} is no regular file; name the file itself")]
    NotAFile {
        /// The path.
        path: Raw,
    },
    /// It could not be replaced.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// The present file, as far as it matters for the next one.
struct Present {
    same: bool,
    access: Access,
}

/// Whether [`publish`] would write.
///
/// # Errors
/// When the present file can't be read, or is something else than a file.
pub fn differs(path: &Path, content: &[u8]) -> Result<bool, PublishError> {
    Ok(!present(path, content)?.is_some_and(|present| present.same))
}

/// Puts these bytes into the file, atomically and durably; a file that holds them already is left
/// alone, so that nothing that watches it wakes up. A present file keeps its mode, user and group.
///
/// # Errors
/// When the present file can't be read, is something else than a file, or can't be replaced. The
/// old content is whole then.
pub fn publish(path: &Path, content: &[u8]) -> Result<Published, PublishError> {
    let access = match present(path, content)? {
        Some(present) if present.same => return Ok(Published::Same),
        Some(present) => present.access,
        None => Access {
            mode: MODE,
            owner: None,
        },
    };
    replace_as(path, content, access)?;
    Ok(Published::Written)
}

/// `None` where there is no file.
fn present(path: &Path, content: &[u8]) -> Result<Option<Present>, PublishError> {
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
    if !metadata.is_file() {
        return Err(PublishError::NotAFile { path: path.into() });
    }
    let limit = u64::try_from(content.len())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(Present {
        same: bytes == content,
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
        assert!(differs(&path, b"[]").unwrap());
        assert_eq!(publish(&path, b"[]").unwrap(), Published::Written);
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o7777, 0o644);
        assert_eq!(publish(&path, b"[]").unwrap(), Published::Same);
        assert!(!differs(&path, b"[]").unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), first.ino());
        assert!(differs(&path, b"[1]").unwrap());
        assert!(differs(&path, b"[").unwrap());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
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
        publish(&path, b"new").unwrap();
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
            let error = publish(path, b"new").unwrap_err();
            assert!(matches!(error, PublishError::NotAFile { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&real).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_the_path() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("none/resources");
        let error = publish(&path, b"new").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the folder of {} could not be opened", path.display())
        );
    }
}
