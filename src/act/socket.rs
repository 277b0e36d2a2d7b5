//! The socket of the API: put in its place whole, with its owner and mode, and taken away again.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, openat, statat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::units::Raw;

/// Connections that wait to be taken.
const BACKLOG: i32 = 64;

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// The path names no file.
    #[error("daemon.socket = \"{path}\" names no file in a folder")]
    NoName {
        /// The path.
        path: Raw,
    },
    /// Its folder is not there, and could not be made or opened.
    #[error("the folder of the socket {path} could not be opened")]
    Folder {
        /// The socket.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// Others may put files into its folder, and so take the socket's place.
    #[error(
        "the folder of the socket {path} may be written by others than its owner, who could put \
         another one in its place; take that right away, or choose another daemon.socket"
    )]
    OpenFolder {
        /// The socket.
        path: Raw,
    },
    /// Something else is there.
    #[error("{path} is there and is no socket; it was left as it is")]
    Occupied {
        /// The path.
        path: Raw,
    },
    /// Somebody answers there.
    #[error("another process answers at {path}; it was left as it is")]
    InUse {
        /// The path.
        path: Raw,
    },
    /// A call failed.
    #[error("could not {what} the socket {path}")]
    Call {
        /// The verb.
        what: &'static str,
        /// The path.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

/// A socket that listens. Dropped, it is taken away, if it is still ours.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    dir: OwnedFd,
    /// Device and inode, by which it is known again.
    node: (u64, u64),
}

impl Socket {
    /// Listens at `path` with mode 0660 and this group. One that nobody answers at any more is
    /// replaced, by a rename, so that there is never a moment with a socket of another owner or mode;
    /// one that is answered at, and anything else, is left as it is. A folder that is missing is
    /// made (0755), its parent is not.
    pub fn listen(path: &Path, group: Option<u32>) -> Result<(Self, UnixListener), SocketError> {
        let raw = || Raw::new(path.as_os_str().as_bytes());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(SocketError::NoName { path: raw() });
        };
        let dir = folder(parent).map_err(|source| SocketError::Folder {
            path: raw(),
            source,
        })?;
        let call = |what| {
            move |source| SocketError::Call {
                what,
                path: Raw::new(path.as_os_str().as_bytes()),
                source,
            }
        };
        // One that is too long could be renamed to, and never be connected to.
        SocketAddrUnix::new(path).map_err(call("name"))?;
        let stat = rustix::fs::fstat(&dir).map_err(call("look at the folder of"))?;
        let others = Mode::WGRP | Mode::WOTH;
        if Mode::from_raw_mode(stat.st_mode).intersects(others) {
            return Err(SocketError::OpenFolder { path: raw() });
        }
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(call("look at")(error)),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                return Err(SocketError::Occupied { path: raw() });
            }
            Ok(_) if answers(path).map_err(call("ask at"))? => {
                return Err(SocketError::InUse { path: raw() });
            }
            Ok(_) => {}
        }
        let temp = parent.join(format!(".mesos-volumed-{}.sock", std::process::id()));
        let (node, listener) = place(&dir, &temp, name.as_bytes(), group).map_err(call("make"))?;
        let socket = Self {
            path: path.to_owned(),
            dir,
            node,
        };
        Ok((socket, UnixListener::from(listener)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket of ours, by its inode, in a folder that only its owner writes"
    )]
    fn drop(&mut self) {
        let Some(name) = self.path.file_name() else {
            return;
        };
        let ours = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.node);
        if ours {
            match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
                // One that stays is replaced at the next start.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Opens the folder, making it where it is missing.
#[expect(
    clippy::disallowed_methods,
    reason = "the folder of our socket below /run, by one name in a folder that is there"
)]
fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let dir = openat(CWD, path, flags, Mode::empty())?;
            // Whatever the umask: members of the socket's group have to pass.
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))?;
            Ok(dir)
        }
        other => other,
    }
}

/// Whether a process listens there.
fn answers(path: &Path) -> Result<bool, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        // Again: its queue is full, so somebody has one.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

type Placed = ((u64, u64), OwnedFd);

/// Makes the socket under another name, with owner and mode, lets it listen, and renames it.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket of ours under a name of ours, renamed over one that nobody answers at"
)]
fn place(dir: &OwnedFd, temp: &Path, name: &[u8], group: Option<u32>) -> Result<Placed, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let temp_name = temp.file_name().ok_or(Errno::INVAL)?;
    match rustix::fs::unlinkat(dir, temp_name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    rustix::net::bind(&socket, &SocketAddrUnix::new(temp)?)?;
    let made = (|| {
        let owner = Some(Uid::from_raw(rustix::process::geteuid().as_raw()));
        let group = group.map(Gid::from_raw);
        rustix::fs::chownat(dir, temp_name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
        // Nobody can connect before it listens.
        rustix::fs::chmodat(dir, temp_name, Mode::from_raw_mode(0o660), AtFlags::empty())?;
        let stat = statat(dir, temp_name, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::net::listen(&socket, BACKLOG)?;
        rustix::fs::renameat(dir, temp_name, dir, name)?;
        Ok((stat.st_dev, stat.st_ino))
    })();
    match made {
        Ok(node) => Ok((node, socket)),
        Err(error) => match rustix::fs::unlinkat(dir, temp_name, AtFlags::empty()) {
            // The error that counts is the first one.
            Ok(()) | Err(_) => Err(error),
        },
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_is_made_with_its_mode_answers_and_is_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run/api.sock");
        let (socket, _listener) = Socket::listen(&path, None).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o660);
        UnixStream::connect(socket.path()).unwrap();
        assert_eq!(
            std::fs::read_dir(temp.path().join("run")).unwrap().count(),
            1
        );
        drop(socket);
        assert!(path.symlink_metadata().is_err());
    }

    #[test]
    fn one_that_nobody_answers_at_is_replaced_and_another_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("api.sock");
        let (first, listener) = Socket::listen(&path, None).unwrap();
        assert!(matches!(
            Socket::listen(&path, None).unwrap_err(),
            SocketError::InUse { .. }
        ));
        // As after a kill: the file stays, nobody listens.
        drop(listener);
        let stale = std::fs::metadata(&path).unwrap().ino();
        let (second, _listener) = Socket::listen(&path, None).unwrap();
        assert_ne!(std::fs::metadata(&path).unwrap().ino(), stale);
        // The first one is not the one that is there now.
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(path.symlink_metadata().is_err());
    }

    #[test]
    fn what_is_no_socket_and_folders_that_others_write_are_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("api.sock");
        let made: [&dyn Fn() -> std::io::Result<()>; 3] = [
            &|| std::fs::write(&path, "precious"),
            &|| std::os::unix::fs::symlink("/etc/passwd", &path),
            &|| std::fs::create_dir(&path),
        ];
        for make in made {
            make().unwrap();
            let before = std::fs::symlink_metadata(&path).unwrap().ino();
            assert!(matches!(
                Socket::listen(&path, None).unwrap_err(),
                SocketError::Occupied { .. }
            ));
            assert_eq!(std::fs::symlink_metadata(&path).unwrap().ino(), before);
            drop(std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)));
        }
        let open = temp.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
        assert!(matches!(
            Socket::listen(&open.join("s"), None).unwrap_err(),
            SocketError::OpenFolder { .. }
        ));
        assert!(matches!(
            Socket::listen(&temp.path().join("a/b/s"), None).unwrap_err(),
            SocketError::Folder {
                source: Errno::NOENT,
                ..
            }
        ));
        let long = temp.path().join("x".repeat(120));
        assert!(matches!(
            Socket::listen(&long, None).unwrap_err(),
            SocketError::Call { .. }
        ));
    }
}
