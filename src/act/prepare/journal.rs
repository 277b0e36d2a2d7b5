//! The durable records of prepared disks, `state_dir/prepared/<uuid>.json`, and the lock that
//! keeps two commands from preparing disks at once.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, openat};
use rustix::io::Errno;

use super::{Change, PrepareError};
use crate::act::durable;
use crate::act::store::Store;
use crate::act::sys::lock_file;
use crate::decide::facts::PreparedDisk;
use crate::sys::read_bounded;
use crate::units::Raw;

/// Held while a disk is prepared or given back. It is apart from the instance lock: a daemon that
/// runs need not be stopped for a new disk.
#[derive(Debug)]
pub struct PrepareLock {
    _file: OwnedFd,
}

impl PrepareLock {
    /// Takes it.
    pub fn acquire(store: &Store) -> Result<Self, PrepareError> {
        let path = store.dir().join("prepare.lock");
        let fail = |source| PrepareError::Lock {
            path: path.as_path().into(),
            source,
        };
        match lock_file(&path).map_err(fail)? {
            Some(file) => Ok(Self { _file: file }),
            None => Err(PrepareError::Locked),
        }
    }
}

fn folder(store: &Store) -> Raw {
    Raw::from(store.dir()).join(PreparedDisk::FOLDER)
}

fn path(store: &Store, uuid: &str) -> Raw {
    folder(store).join(format!("{uuid}.json"))
}

/// Writes a record; what is written the same already stays.
pub(super) fn write(store: &Store, record: &PreparedDisk) -> Result<Change, PrepareError> {
    let path = path(store, &record.uuid);
    let mut text = serde_json::to_vec_pretty(record).map_err(|source| PrepareError::Encode {
        uuid: record.uuid.clone(),
        source,
    })?;
    text.push(b'\n');
    super::places::folder(&folder(store), 0o700)?;
    match read_bounded(path.as_path(), 1 << 20) {
        Ok(present) if present == text => return Ok(Change::Identity),
        // Whatever keeps it from being read shows up when it is replaced.
        Ok(_) | Err(_) => {}
    }
    // Each UUID is chosen once; [`PrepareLock`] is held.
    durable::clear_half_written(folder(store).as_path());
    durable::replace(path.as_path(), &text, 0o600)?;
    Ok(Change::Done)
}

/// Removes a record, durably.
#[expect(
    clippy::disallowed_methods,
    reason = "a record is a file of ours in a folder of ours"
)]
pub(super) fn remove(store: &Store, uuid: &str) -> Result<Change, PrepareError> {
    let path = path(store, uuid);
    let fail = |source| PrepareError::Record {
        path: path.clone(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(CWD, folder(store).as_path(), flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(Change::Identity),
        Err(source) => return Err(fail(source)),
    };
    let name = format!("{uuid}.json");
    match rustix::fs::unlinkat(&dir, name.as_str(), AtFlags::empty()) {
        Ok(()) => {
            fsync(&dir).map_err(fail)?;
            Ok(Change::Done)
        }
        Err(Errno::NOENT) => Ok(Change::Identity),
        Err(source) => Err(fail(source)),
    }
}
