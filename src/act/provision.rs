//! Makes the missing directory of a held volume, as the agent would: mode 0755, owner root.
//!
//! Each directory is durable in its parent before the one in it is made. A crash in between leaves
//! directories that hold nothing, and that the next run, or the agent, finds and goes on from.

use super::outcome::{Outcome, Receipt, StepError};
use super::roots::{OpenRoot, RootLocks, open_or_make};
use super::sys::{Errno, Sys};
use crate::decide::steps::VolumePlace;
use crate::sys::OpenError;

/// Mode of the directories that Mesos makes (F§3.2).
pub(in crate::act) const MODE: u32 = 0o755;

/// Makes the directory. One that is there by now is left as it is.
pub fn create<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &VolumePlace, plan: &str) -> Outcome {
    let path = place.path();
    let step = || -> Result<Outcome, Outcome> {
        let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
        let mut dir = sys.reopen(&root.dir).map_err(|source| StepError::Open {
            path: path.clone(),
            source: OpenError::Io(source),
        })?;
        for name in ["volumes", "roles"] {
            dir = open_or_make(sys, &dir, name, MODE, &path)?;
        }
        let role = place.role_dir.as_bytes();
        let role_dir = match sys.open_child(&dir, role) {
            Ok(role_dir) => role_dir,
            Err(OpenError::Missing) => {
                make(sys, &dir, role, place)?;
                sys.open_child(&dir, role)
                    .map_err(|source| StepError::Open {
                        path: path.clone(),
                        source,
                    })?
            }
            Err(source) => return Err(StepError::Open { path, source }.into()),
        };
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
