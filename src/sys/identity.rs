//! What identifies an open file for good.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::fs_uuid::{FsUuidError, filesystem_uuid};
use super::ioctl;
use crate::decide::facts::FileIdentity;

/// Why a file has no identity: the refusal `no_identity`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The file system gives no handles.
    #[error("its file system gives no file handles")]
    NoHandle,
    /// The file system has no UUID, or it can't be told.
    #[error("its file system's UUID can't be told")]
    NoUuid(#[source] FsUuidError),
    /// The kernel refused the question.
    #[error("its file handle could not be read")]
    Io(#[source] Errno),
}

/// The identity of an open file (`O_PATH` included) on the file system with this UUID.
pub fn identity_of(fd: impl AsFd, filesystem: &str) -> Result<FileIdentity, IdentityError> {
    let handle = ioctl::file_handle(fd.as_fd()).map_err(|errno| match errno {
        Errno::OPNOTSUPP | Errno::OVERFLOW => IdentityError::NoHandle,
        other => IdentityError::Io(other),
    })?;
    let mut text = format!("{}:", handle.kind);
    for byte in handle.bytes {
        // Writing into a String can't fail.
        write!(text, "{byte:02x}").map_err(|_| IdentityError::NoHandle)?;
    }
    Ok(FileIdentity {
        filesystem: filesystem.to_owned(),
        handle: text,
    })
}

/// The identity of a file that is open for reading, with its file system's UUID asked of the file
/// system itself.
pub fn identity(fd: impl AsFd) -> Result<FileIdentity, IdentityError> {
    let fd = fd.as_fd();
    let filesystem = filesystem_uuid(fd).map_err(IdentityError::NoUuid)?;
    identity_of(fd, &filesystem)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_directory_made_again_in_the_same_place_is_another_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("dir");
        std::fs::create_dir(&path).unwrap();
        let of = || identity_of(File::open(&path).unwrap(), "u").unwrap();
        let first = of();
        assert_eq!(first, of());
        // ext4 gives the freed inode number out again at once; the generation tells them apart.
        for _ in 0..20 {
            std::fs::remove_dir(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
            assert_ne!(first, of());
        }
    }

    #[test]
    fn a_file_system_without_uuid_gives_no_identity() {
        let error = identity(File::open("/proc").unwrap()).unwrap_err();
        assert!(matches!(error, IdentityError::NoUuid(_)), "{error}");
    }
}
