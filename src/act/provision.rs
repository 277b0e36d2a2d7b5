//! Makes the missing directory of a held volume, as the agent would: mode 0755, owner root.
//!
//! Each directory is durable in its parent before the one in it is made. A crash in between leaves
//! directories that hold nothing, and that the next run, or the agent, finds and goes on from.

use super::outcome::{Outcome, Receipt, StepError};
use super::roots::{OpenRoot, RootLocks, open_or_make};
use super::sys::{Errno, Sys};
use super::volume_dir::VolumeDir;
use crate::decide::facts::FileIdentity;
use crate::decide::steps::VolumePlace;
use crate::sys::OpenError;

/// Mode of the directories that Mesos makes (F§3.2).
pub(in crate::act) const MODE: u32 = 0o755;

/// Makes the directory. One that is there by now is left as it is.
pub fn create<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &VolumePlace, plan: &str) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
        let role_dir = role_directory(sys, &root, place)?;
        if !make(sys, &role_dir, place.id_dir.as_bytes(), place)? {
            return Ok(Outcome::Identity);
        }
        Ok(Outcome::Done(Box::new(Receipt {
            directories: 1,
            filesystem: Some(place.root.filesystem.clone()),
            ..Receipt::plain(
                "create",
                plan,
                Some(&place.volume),
                &place.disk,
                place.path(),
            )
        })))
    };
    step().unwrap_or_else(|outcome| outcome)
}

/// The directory of the volume's role, made where it is missing.
fn role_directory<S: Sys>(
    sys: &S,
    root: &OpenRoot<S>,
    place: &VolumePlace,
) -> Result<S::Dir, StepError> {
    let path = place.path();
    let open = |source: OpenError| StepError::Open {
        path: path.clone(),
        source,
    };
    let mut dir = sys
        .reopen(&root.dir)
        .map_err(|source| open(OpenError::Io(source)))?;
    for name in ["volumes", "roles"] {
        dir = open_or_make(sys, &dir, name, MODE, &path)?;
    }
    let role = place.role_dir.as_bytes();
    match sys.open_child(&dir, role) {
        Ok(role_dir) => Ok(role_dir),
        Err(OpenError::Missing) => {
            make(sys, &dir, role, place)?;
            sys.open_child(&dir, role).map_err(open)
        }
        Err(source) => Err(open(source)),
    }
}

/// Makes one directory, durably; `false` where something of that name is there.
fn make<S: Sys>(
    sys: &S,
    dir: &S::Dir,
    name: &[u8],
    place: &VolumePlace,
) -> Result<bool, StepError> {
    let fail = |source| StepError::Call {
        what: "make",
        path: place.path(),
        left: "nothing else was changed",
        source,
    };
    match sys.mkdir(dir, name, MODE) {
        Ok(()) => {
            sys.sync(dir).map_err(fail)?;
            Ok(true)
        }
        Err(Errno::EXIST) => Ok(false),
        Err(source) => Err(fail(source)),
    }
}

/// Owner and mode of a directory that is made for a volume before the agent takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// User and group; `None`: root.
    pub owner: Option<(u32, u32)>,
    /// Permission bits.
    pub mode: u32,
}

/// Makes the directory of a volume that is about to be created, with its owner and mode, and gives
/// its identity back. Something of that name is an error: the agent would take it over.
pub fn make_ahead<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &VolumePlace,
    owned: Owned,
) -> Result<FileIdentity, Outcome> {
    let path = place.path();
    let open = |source: OpenError| StepError::Open {
        path: path.clone(),
        source,
    };
    let fail = |source: Errno| StepError::Call {
        what: "make",
        path: path.clone(),
        left: "no volume was created",
        source,
    };
    let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
    let role_dir = role_directory(sys, &root, place)?;
    let name = place.id_dir.as_bytes();
    // Nobody but root enters it before it is as it shall be.
    sys.mkdir(&role_dir, name, 0o700)
        .map_err(|source| match source {
            Errno::EXIST => Outcome::Stale(format!("something lies at {path} by now")),
            source => fail(source).into(),
        })?;
    let made = sys.open_child(&role_dir, name).map_err(open)?;
    let finished = sys
        .set_owner(&made, owned.owner, owned.mode)
        .and_then(|()| sys.sync(&made))
        .and_then(|()| sys.sync(&role_dir));
    if let Err(source) = finished {
        return Err(fail(source).into());
    }
    sys.identity(&made).map_err(|source| {
        StepError::Identity {
            path: path.clone(),
            source,
        }
        .into()
    })
}

/// Takes a directory away again that [`make_ahead`] made and no volume came for: only that very
/// directory, and only while it is empty.
pub fn withdraw<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &VolumePlace,
    identity: &FileIdentity,
) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
        let dir =
            VolumeDir::open(sys, &root.dir, &place.components(), identity).map_err(|source| {
                Outcome::Failed(StepError::VolumeDir {
                    volume: place.volume.clone(),
                    source,
                })
            })?;
        let Some((parent, name)) = dir.place() else {
            return Err(Outcome::Stale(format!("{} has no parent", place.path())));
        };
        sys.rmdir(parent, name)
            .and_then(|()| sys.sync(parent))
            .map_err(|source| StepError::Call {
                what: "remove",
                path: place.path(),
                left: "an empty directory stays",
                source,
            })?;
        Ok(Outcome::Identity)
    };
    step().unwrap_or_else(|outcome| outcome)
}
