//! Folders, flags, units and mounts of a prepared disk. Every look goes through an open
//! descriptor; a mount is told from a bare folder by its mount id, never by its name.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, FallocateFlags, IFlags, Mode, OFlags, fallocate, fsync, ioctl_getflags,
    ioctl_setflags, openat, syncfs,
};
use rustix::io::Errno;

use super::{Change, PrepareError};
use crate::act::durable;
use crate::act::sys::{Kernel, Sys as _};
use crate::decide::manifest::Marker;
use crate::decide::prepare::{Command, FOLDER_MODE, RESERVE, RESERVE_BYTES, VOLUME};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::sys::{self, OpenError, read_bounded};
use crate::units::Raw;

fn call(what: &'static str, path: &Raw) -> impl FnOnce(Errno) -> PrepareError + use<> {
    let path = path.clone();
    move |source| PrepareError::Call { what, path, source }
}

fn opened(path: &Raw) -> Result<OwnedFd, PrepareError> {
    sys::open_root(path.as_path()).map_err(|source| PrepareError::Open {
        path: path.clone(),
        source,
    })
}

/// The folder that a path lies in, opened, and its name there.
fn parent(path: &Raw) -> Result<(OwnedFd, Vec<u8>, Raw), PrepareError> {
    let (Some(parent), Some(name)) = (path.as_path().parent(), path.as_path().file_name()) else {
        return Err(PrepareError::Open {
            path: path.clone(),
            source: OpenError::NotADirectory,
        });
    };
    let folder = Raw::from(parent);
    let dir = opened(&folder)?;
    Ok((dir, name.as_bytes().to_vec(), folder))
}

/// As [`parent`]; `None` where that folder is not there, and so nothing in it.
fn parent_if_there(path: &Raw) -> Result<Option<(OwnedFd, Vec<u8>, Raw)>, PrepareError> {
    match parent(path) {
        Ok(found) => Ok(Some(found)),
        Err(PrepareError::Open {
            source: OpenError::Missing,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a folder where none is.
pub(super) fn folder(path: &Raw, mode: u32) -> Result<Change, PrepareError> {
    match sys::open_root(path.as_path()) {
        Ok(_) => return Ok(Change::Identity),
        Err(OpenError::Missing) => {}
        Err(source) => {
            return Err(PrepareError::Open {
                path: path.clone(),
                source,
            });
        }
    }
    let (dir, name, folder) = parent(path)?;
    Kernel::new()
        .mkdir(&dir, &name, mode)
        .map_err(call("make the folder", path))?;
    fsync(&dir).map_err(call("sync", &folder))?;
    Ok(Change::Done)
}

/// What is at a path.
enum Shown {
    /// The bare folder.
    Bare(OwnedFd),
    /// A mount, with the UUID of its file system.
    Mount(OwnedFd, String),
    /// Nothing.
    Missing,
}

fn shown(path: &Raw) -> Result<Shown, PrepareError> {
    let here = match sys::open_root(path.as_path()) {
        Ok(here) => here,
        Err(OpenError::Missing) => return Ok(Shown::Missing),
        Err(source) => {
            return Err(PrepareError::Open {
                path: path.clone(),
                source,
            });
        }
    };
    let (dir, _, folder) = parent(path)?;
    let above = sys::mount_id(&dir).map_err(call("look at", &folder))?;
    if sys::mount_id(&here).map_err(call("look at", path))? == above {
        return Ok(Shown::Bare(here));
    }
    match sys::filesystem_uuid(&here) {
        Ok(uuid) => Ok(Shown::Mount(here, uuid)),
        Err(source) => Err(PrepareError::Uuid {
            path: path.clone(),
            source,
        }),
    }
}

/// Makes the bare folder at a mount point immutable. Where something is mounted already the
/// folder below is out of reach; it was made immutable before that mount, by an earlier run.
pub(super) fn protect(path: &Raw) -> Result<Change, PrepareError> {
    let bare = match shown(path)? {
        Shown::Bare(bare) => bare,
        Shown::Mount(..) => return Ok(Change::Identity),
        Shown::Missing => {
            return Err(PrepareError::Open {
                path: path.clone(),
                source: OpenError::Missing,
            });
        }
    };
    let no_flag = |errno| match errno {
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL => {
            PrepareError::NoFlag { path: path.clone() }
        }
        source => call("make immutable", path)(source),
    };
    let flags = ioctl_getflags(&bare).map_err(no_flag)?;
    if flags.contains(IFlags::IMMUTABLE) {
        return Ok(Change::Identity);
    }
    ioctl_setflags(&bare, flags.union(IFlags::IMMUTABLE)).map_err(no_flag)?;
    fsync(&bare).map_err(call("sync", path))?;
    Ok(Change::Done)
}

/// Takes the immutable flag from a bare folder.
pub(super) fn unprotect(path: &Raw) -> Result<Change, PrepareError> {
    match shown(path)? {
        Shown::Bare(bare) => match Kernel::new().clear_flags(&bare) {
            Ok(true) => Ok(Change::Done),
            Ok(false) => Ok(Change::Identity),
            Err(source) => Err(call("take the flag from", path)(source)),
        },
        Shown::Missing => Ok(Change::Identity),
        Shown::Mount(_, uuid) => Err(PrepareError::Another {
            at: path.clone(),
            uuid,
        }),
    }
}

/// Removes a folder of ours if it is empty.
#[expect(
    clippy::disallowed_methods,
    reason = "an empty folder that the record says was made by us; rmdir takes no other"
)]
pub(super) fn remove_folder(path: &Raw) -> Result<Change, PrepareError> {
    let Some((dir, name, folder)) = parent_if_there(path)? else {
        return Ok(Change::Identity);
    };
    if let Shown::Mount(_, uuid) = shown(path)? {
        return Err(PrepareError::Another {
            at: path.clone(),
            uuid,
        });
    }
    let name = std::ffi::OsStr::from_bytes(&name);
    match rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
        Ok(()) => {
            fsync(&dir).map_err(call("sync", &folder))?;
            Ok(Change::Done)
        }
        // Others have put something in, or are in it; it is theirs as well then.
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(Change::Identity),
        Err(source) => Err(call("remove", path)(source)),
    }
}

/// Puts a unit's file in place.
pub(super) fn unit(path: &Raw, text: &str) -> Result<Change, PrepareError> {
    match read_bounded(path.as_path(), 1 << 20) {
        Ok(present) if present == text.as_bytes() => return Ok(Change::Identity),
        Ok(_) | Err(_) => {}
    }
    durable::replace(path.as_path(), text.as_bytes(), 0o644)?;
    Ok(Change::Done)
}

/// Removes a unit's file.
#[expect(
    clippy::disallowed_methods,
    reason = "a unit that the record says was made by us"
)]
pub(super) fn remove_file(path: &Raw) -> Result<Change, PrepareError> {
    let Some((dir, name, folder)) = parent_if_there(path)? else {
        return Ok(Change::Identity);
    };
    let name = std::ffi::OsStr::from_bytes(&name);
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) => {
            fsync(&dir).map_err(call("sync", &folder))?;
            Ok(Change::Done)
        }
        Err(Errno::NOENT) => Ok(Change::Identity),
        Err(source) => Err(call("remove", path)(source)),
    }
}

/// Mounts, and looks whether the right thing is to be seen.
pub(super) fn mount(
    command: &Command,
    at: &Raw,
    uuid: &str,
    shows: Option<&Raw>,
) -> Result<Change, PrepareError> {
    let change = match shown(at)? {
        Shown::Mount(..) => Change::Identity,
        Shown::Bare(_) => {
            super::run(command)?;
            Change::Done
        }
        Shown::Missing => {
            return Err(PrepareError::Open {
                path: at.clone(),
                source: OpenError::Missing,
            });
        }
    };
    let wrong = |what: String| PrepareError::Mounted {
        at: at.clone(),
        uuid: uuid.to_owned(),
        command: command.typed(),
        what,
    };
    let dir = match shown(at)? {
        Shown::Mount(dir, found) if found == uuid => dir,
        Shown::Mount(_, found) => return Err(wrong(format!("file system {found} is"))),
        Shown::Bare(_) | Shown::Missing => {
            return Err(wrong("nothing is mounted there".to_owned()));
        }
    };
    if let Some(shows) = shows {
        let node = |dir: &OwnedFd, path: &Raw| {
            sys::node(dir)
                .map(|node| (node.device, node.inode))
                .map_err(call("look at", path))
        };
        let wanted = opened(shows)?;
        if node(&dir, at)? != node(&wanted, shows)? {
            return Err(wrong(format!("it is another folder than {shows}")));
        }
    }
    Ok(change)
}

/// Unmounts. The kernel refuses while anything uses it, and nothing is forced.
pub(super) fn unmount(command: &Command, at: &Raw, uuid: &str) -> Result<Change, PrepareError> {
    match shown(at)? {
        Shown::Bare(_) | Shown::Missing => return Ok(Change::Identity),
        Shown::Mount(dir, found) if found == uuid => free(&dir, at)?,
        Shown::Mount(..) => {
            return Err(PrepareError::Another {
                at: at.clone(),
                uuid: uuid.to_owned(),
            });
        }
    }
    super::run(command)?;
    match shown(at)? {
        Shown::Bare(_) | Shown::Missing => Ok(Change::Done),
        Shown::Mount(..) => Err(PrepareError::Mounted {
            at: at.clone(),
            uuid: uuid.to_owned(),
            command: command.typed(),
            what: "it is still mounted".to_owned(),
        }),
    }
}

/// Whether no other process works on the disk: the lock of our folder on it is free.
fn free(dir: &OwnedFd, at: &Raw) -> Result<(), PrepareError> {
    locked(dir, at).map(drop)
}

/// Keeps every other process of ours from working on a disk that is not mounted by this program, and so
/// from writing it down, for as long as the descriptor is open; `None` where there is nothing to lock.
pub(super) fn hold(disk: &DiskRef) -> Result<Option<OwnedFd>, PrepareError> {
    let kernel = Kernel::new();
    let at = &disk.root;
    let dir = match kernel.open_root(at.as_path()) {
        Ok(dir) => dir,
        Err(OpenError::Missing) => return Ok(None),
        Err(source) => {
            return Err(PrepareError::Open {
                path: at.clone(),
                source,
            });
        }
    };
    match disk.kind {
        // Where nothing of ours lies the root itself has the lock.
        DiskType::Mount => lock(kernel, dir, at).map(Some),
        DiskType::Root | DiskType::Path => locked(&dir, at),
    }
}

fn lock(kernel: Kernel, dir: OwnedFd, at: &Raw) -> Result<OwnedFd, PrepareError> {
    match kernel.lock(&dir) {
        Ok(true) => Ok(dir),
        Ok(false) => Err(PrepareError::InUse { at: at.clone() }),
        Err(source) => Err(call("lock", at)(source)),
    }
}

/// Our folder, locked, where there is one.
fn locked(dir: &OwnedFd, at: &Raw) -> Result<Option<OwnedFd>, PrepareError> {
    let kernel = Kernel::new();
    let ours = match kernel.open_child(dir, b".mesos-volumed") {
        Err(OpenError::Missing) => kernel
            .open_child(dir, b"volumes")
            .and_then(|volumes| kernel.open_child(&volumes, b".mesos-volumed")),
        other => other,
    };
    match ours {
        Ok(ours) => lock(kernel, ours, at).map(Some),
        Err(OpenError::Missing) => Ok(None),
        Err(source) => Err(PrepareError::Open {
            path: at.clone(),
            source,
        }),
    }
}

/// Opens a child folder, making it where it is missing.
fn child(
    dir: &OwnedFd,
    name: &str,
    mode: u32,
    path: &Raw,
) -> Result<(OwnedFd, bool), PrepareError> {
    let kernel = Kernel::new();
    let open = |source| PrepareError::Open {
        path: path.clone(),
        source,
    };
    match kernel.open_child(dir, name.as_bytes()) {
        Ok(child) => return Ok((child, false)),
        Err(OpenError::Missing) => {}
        Err(source) => return Err(open(source)),
    }
    kernel
        .mkdir(dir, name.as_bytes(), mode)
        .map_err(call("make the folder", path))?;
    let child = kernel.open_child(dir, name.as_bytes()).map_err(open)?;
    Ok((child, true))
}

/// Lays out what belongs on the new file system; durable when this returns.
pub(super) fn furnish(disk: &DiskRef, at: &Raw, uuid: &str) -> Result<Change, PrepareError> {
    let top = match shown(at)? {
        Shown::Mount(top, found) if found == uuid => top,
        Shown::Mount(..) | Shown::Bare(_) | Shown::Missing => {
            return Err(PrepareError::Another {
                at: at.clone(),
                uuid: uuid.to_owned(),
            });
        }
    };
    let kernel = Kernel::new();
    let hidden = disk.kind == DiskType::Mount;
    let name = if hidden { VOLUME } else { "volumes" };
    let (folder, mut changed) = child(&top, name, FOLDER_MODE, &at.join(name))?;
    let (above, above_path) = if hidden {
        (top, at.clone())
    } else {
        (folder, at.join(name))
    };
    let path = above_path.join(".mesos-volumed");
    let (ours, made) = child(&above, ".mesos-volumed", 0o700, &path)?;
    changed |= made;
    let marker = path.join("marker.json");
    // A sweep may have written more into it since.
    let present = kernel
        .read_file(&ours, b"marker.json", 4096)
        .is_ok_and(|text| {
            serde_json::from_slice::<Marker>(&text).is_ok_and(|marker| marker.filesystem == uuid)
        });
    if !present {
        let mut text = serde_json::to_vec(&Marker {
            version: Marker::VERSION,
            filesystem: uuid.to_owned(),
            of: None,
        })
        .map_err(|source| PrepareError::Encode {
            uuid: uuid.to_owned(),
            source,
        })?;
        text.push(b'\n');
        kernel
            .write_file(&ours, b"marker.json", &text, 0o600)
            .map_err(call("write", &marker))?;
        changed = true;
    }
    if hidden {
        let path = path.join("reserve");
        let (reserve, made) = child(&ours, "reserve", 0o700, &path)?;
        changed |= made | fill_reserve(&reserve, &path)?;
    }
    syncfs(ours.as_fd()).map_err(call("sync", at))?;
    Ok(if changed {
        Change::Done
    } else {
        Change::Identity
    })
}

/// Makes the files of the reserve that are missing.
fn fill_reserve(dir: &OwnedFd, path: &Raw) -> Result<bool, PrepareError> {
    let mut changed = false;
    for number in 0..RESERVE {
        let name = number.to_string();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(dir, name.as_str(), flags, Mode::from_raw_mode(0o600))
            .map_err(call("make the reserve in", path))?;
        let size = rustix::fs::fstat(&file)
            .map_err(call("look at", path))?
            .st_size;
        if u64::try_from(size).unwrap_or(0) != RESERVE_BYTES {
            fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES)
                .map_err(call("make the reserve in", path))?;
            changed = true;
        }
    }
    Ok(changed)
}
