//! What lies below `volumes` on a ROOT or PATH root, and in a MOUNT root: looked at through open
//! descriptors, never through a link, never into anything that is mounted there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::decide::facts::{
    DirFacts, FileIdentity, FileKind, FsLocation, Known, MountContent, StrangeEntry, Why,
};
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::paths;
use crate::sys::{self, OpenError};
use crate::units::{Raw, chain};

/// No agent has more roles, or volumes in one, than this; a listing that does not end is not
/// waited for.
const ENTRIES: usize = 1 << 20;

/// Why what lies on a root could not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error("{path} can't be opened")]
    Open {
        path: Raw,
        #[source]
        source: OpenError,
    },
    #[error("{path} can't be listed")]
    List {
        path: Raw,
        #[source]
        source: Errno,
    },
    #[error("{path} can't be looked at")]
    Entry {
        path: Raw,
        #[source]
        source: Errno,
    },
}

impl From<LookError> for Why {
    fn from(error: LookError) -> Self {
        Self(chain(&error))
    }
}

/// An open directory on a root, with what is needed to name and to place what lies in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folder<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// Its path, for display.
    pub(super) path: &'a Raw,
    /// Where it lies in its file system.
    pub(super) location: &'a FsLocation,
    /// UUID of the file system, for identities.
    pub(super) filesystem: &'a Known<String>,
}

impl Folder<'_> {
    /// A directory in it; `None` where there is none.
    pub(super) fn open(&self, name: &[u8]) -> Result<Option<OwnedFd>, LookError> {
        match sys::open_beneath(self.fd, name) {
            Ok(fd) => Ok(Some(fd)),
            Err(OpenError::Missing) => Ok(None),
            Err(source) => Err(LookError::Open {
                path: self.path.join(name),
                source,
            }),
        }
    }

    /// Its entries, sorted.
    pub(super) fn names(&self) -> Result<Vec<Raw>, LookError> {
        match sys::list(self.fd, ENTRIES) {
            Ok(entries) => Ok(entries.into_iter().map(|(name, ..)| name).collect()),
            Err(source) => Err(LookError::List {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Where an entry lies.
    pub(super) fn place(&self, name: &[u8]) -> FsLocation {
        FsLocation {
            device: self.location.device,
            path: self.location.path.join(name),
        }
    }

    /// What an entry is that is no directory to be entered; `None` where it has gone meanwhile.
    fn kind(&self, name: &[u8], error: OpenError) -> Result<Option<FileKind>, LookError> {
        match error {
            OpenError::Missing => Ok(None),
            OpenError::Mount => Ok(Some(FileKind::Mount)),
            OpenError::Symlink => Ok(Some(FileKind::Symlink)),
            OpenError::NotADirectory => match sys::entry_kind(self.fd, name) {
                Ok(kind) => Ok(Some(kind)),
                Err(Errno::NOENT) => Ok(None),
                Err(source) => Err(LookError::Entry {
                    path: self.path.join(name),
                    source,
                }),
            },
            OpenError::NoMountId | OpenError::Io(_) => Err(LookError::Open {
                path: self.path.join(name),
                source: error,
            }),
        }
    }
}

/// The identity of an open file; `Unknown` where its file system gives none.
pub(super) fn identity(fd: BorrowedFd<'_>, filesystem: &Known<String>) -> Known<FileIdentity> {
    match filesystem {
        Known::Known(uuid) => match sys::identity_of(fd, uuid) {
            Ok(identity) => Known::Known(identity),
            Err(error) => Known::unknown(chain(&error)),
        },
        Known::Absent => Known::unknown("its file system has no UUID"),
        Known::Unknown(why) => Known::Unknown(why.clone()),
    }
}

/// What lies at depth 2 below `volumes/roles`, and what can't be a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) dirs: Vec<DirFacts>,
    pub(super) strange: Vec<StrangeEntry>,
}

/// Lists `volumes/roles`, of an open `volumes`. `None`: there is none.
pub(super) fn list(volumes: &Folder<'_>) -> Result<Option<Listing>, LookError> {
    let Some(roles) = volumes.open(b"roles")? else {
        return Ok(None);
    };
    let path = volumes.path.join("roles");
    let location = volumes.place(b"roles");
    let roles = Folder {
        fd: roles.as_fd(),
        path: &path,
        location: &location,
        ..*volumes
    };
    let mut listing = Listing::default();
    for name in roles.names()? {
        role(&roles, &name, &mut listing)?;
    }
    Ok(Some(listing))
}

fn role(roles: &Folder<'_>, name: &Raw, listing: &mut Listing) -> Result<(), LookError> {
    let relative = Raw::from(paths::ROLES).join(name);
    let mut strange = |kind, reason: String| {
        listing.strange.push(StrangeEntry {
            path: relative.clone(),
            kind,
            reason,
        });
    };
    let opened = match sys::open_beneath(roles.fd, name.as_bytes()) {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(kind) = roles.kind(name.as_bytes(), error)? {
                let what = match kind {
                    FileKind::Mount => "something is mounted where a role's directory would be",
                    FileKind::Symlink => "a symbolic link where a role's directory would be",
                    FileKind::File | FileKind::Special | FileKind::Directory => {
                        "no directory where a role's would be"
                    }
                };
                strange(kind, what.to_owned());
            }
            return Ok(());
        }
    };
    if let Some(fault) = Role::from_directory(name.as_bytes()).fault() {
        strange(FileKind::Directory, format!("its name {fault}"));
        return Ok(());
    }
    let path = roles.path.join(name);
    let location = roles.place(name.as_bytes());
    let folder = Folder {
        fd: opened.as_fd(),
        path: &path,
        location: &location,
        ..*roles
    };
    for id in folder.names()? {
        volume(&folder, name, &id, listing)?;
    }
    Ok(())
}

fn volume(
    folder: &Folder<'_>,
    role: &Raw,
    id: &Raw,
    listing: &mut Listing,
) -> Result<(), LookError> {
    let (kind, identity) = match sys::open_beneath(folder.fd, id.as_bytes()) {
        Ok(opened) => (
            FileKind::Directory,
            identity(opened.as_fd(), folder.filesystem),
        ),
        Err(error) => match folder.kind(id.as_bytes(), error)? {
            Some(kind) => (kind, Known::Absent),
            None => return Ok(()),
        },
    };
    if let Some(fault) = PersistenceId::new(id.clone()).fault() {
        listing.strange.push(StrangeEntry {
            path: Raw::from(paths::ROLES).join(role).join(id),
            kind,
            reason: format!("its name {fault}"),
        });
        return Ok(());
    }
    listing.dirs.push(DirFacts {
        role_dir: role.clone(),
        id_dir: id.clone(),
        kind,
        identity,
        location: Known::Known(folder.place(id.as_bytes())),
    });
    Ok(())
}

/// Whether anything lies in a MOUNT root but an empty `lost+found`.
pub(super) fn content(root: &Folder<'_>) -> Result<MountContent, LookError> {
    match sys::list(root.fd, 1) {
        Ok(entries) => match entries.first() {
            None => Ok(MountContent::Empty),
            Some((name, ..)) if name.as_bytes() == b"lost+found" => lost_and_found(root),
            Some(_) => Ok(MountContent::Data),
        },
        Err(Errno::FBIG) => Ok(MountContent::Data),
        Err(source) => Err(LookError::List {
            path: root.path.clone(),
            source,
        }),
    }
}

fn lost_and_found(root: &Folder<'_>) -> Result<MountContent, LookError> {
    let name = b"lost+found";
    match sys::open_beneath(root.fd, name) {
        Ok(opened) => match sys::list(&opened, 0) {
            Ok(_) => Ok(MountContent::Empty),
            Err(Errno::FBIG) => Ok(MountContent::Data),
            Err(source) => Err(LookError::List {
                path: root.path.join(name),
                source,
            }),
        },
        // Removed between the two looks.
        Err(OpenError::Missing) => Ok(MountContent::Empty),
        // A tenant's file, link or mount of that name.
        Err(OpenError::Mount | OpenError::Symlink | OpenError::NotADirectory) => {
            Ok(MountContent::Data)
        }
        Err(source @ (OpenError::NoMountId | OpenError::Io(_))) => Err(LookError::Open {
            path: root.path.join(name),
            source,
        }),
    }
}
