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

/// Why [`make_ahead`] did not make a directory as it shall be.
#[derive(Debug)]
pub struct NotMade {
    /// What happened.
    pub outcome: Outcome,
    /// The directory that was made all the same, and that [`withdraw`] takes away again.
    pub made: Option<FileIdentity>,
}

impl From<Outcome> for Box<NotMade> {
    fn from(outcome: Outcome) -> Self {
        Self::new(NotMade {
            outcome,
            made: None,
        })
    }
}

/// Makes the directory of a volume that is about to be created, with its owner and mode, and gives
/// its identity back. Something of that name is an error: the agent would take it over.
pub fn make_ahead<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &VolumePlace,
    owned: Owned,
) -> Result<FileIdentity, Box<NotMade>> {
    let path = place.path();
    let fail = |source: Errno| StepError::Call {
        what: "make",
        path: path.clone(),
        left: "no volume was created",
        source,
    };
    let before = || -> Result<(OpenRoot<S>, S::Dir), Outcome> {
        let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
        let role_dir = role_directory(sys, &root, place)?;
        Ok((root, role_dir))
    };
    let (_root, role_dir) = before()?;
    let name = place.id_dir.as_bytes();
    // Nobody but root enters it before it is as it shall be.
    sys.mkdir(&role_dir, name, 0o700)
        .map_err(|source| match source {
            Errno::EXIST => Outcome::Stale(format!("something lies at {path} by now")),
            source => fail(source).into(),
        })?;
    let look = || -> Result<(S::Dir, FileIdentity), StepError> {
        let made = sys
            .open_child(&role_dir, name)
            .map_err(|source| StepError::Open {
                path: path.clone(),
                source,
            })?;
        let identity = sys.identity(&made).map_err(|source| StepError::Identity {
            path: path.clone(),
            source,
        })?;
        Ok((made, identity))
    };
    let (made, identity) = look().map_err(Outcome::from)?;
    let finished = sys
        .set_owner(&made, owned.owner, owned.mode)
        .and_then(|()| sys.sync(&made))
        .and_then(|()| sys.sync(&role_dir));
    match finished {
        Ok(()) => Ok(identity),
        Err(source) => Err(Box::new(NotMade {
            outcome: fail(source).into(),
            made: Some(identity),
        })),
    }
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

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make and look at folders of their own"
)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::act::sys::hooked::{Hooked, quiet};
    use crate::decide::facts::Fingerprint;
    use crate::mesos::disk::{DiskRef, DiskType};
    use crate::mesos::ids::VolumeKey;
    use crate::units::Raw;

    const AS_ASKED: Owned = Owned {
        owner: None,
        mode: 0o750,
    };

    /// The place of `eng/dev/new` on a PATH root; its role has a directory.
    fn place(root: &Path) -> VolumePlace {
        for folder in ["roles/eng dev", ".mesos-volumed"] {
            std::fs::create_dir_all(root.join("volumes").join(folder)).unwrap();
        }
        let kernel = Hooked::new(&quiet);
        let directory = kernel.identity(&kernel.open_root(root).unwrap()).unwrap();
        VolumePlace {
            volume: VolumeKey::named("eng/dev/new").unwrap(),
            disk: DiskRef {
                kind: DiskType::Path,
                root: Raw::from(root),
            },
            root: Fingerprint {
                filesystem: directory.filesystem.clone(),
                fs_type: "test".to_owned(),
                directory,
            },
            role_dir: Raw::from("eng dev"),
            id_dir: Raw::from("new"),
        }
    }

    #[test]
    fn a_directory_that_could_not_be_finished_is_named_and_goes_again() {
        for call in ["set_owner", "sync"] {
            let temp = tempfile::tempdir().unwrap();
            let place = place(temp.path());
            let fail = |name: &'static str, _: &[u8]| {
                if name == call { Err(Errno::IO) } else { Ok(()) }
            };
            let locks = RootLocks::default();
            let half = make_ahead(&Hooked::new(&fail), &locks, &place, AS_ASKED).unwrap_err();
            assert!(matches!(half.outcome, Outcome::Failed(_)), "{half:?}");
            let made = half.made.expect("the directory that is there");
            assert!(place.path().as_path().exists(), "{call}");
            let gone = withdraw(&Hooked::new(&quiet), &RootLocks::default(), &place, &made);
            assert!(matches!(gone, Outcome::Identity), "{gone:?}");
            assert!(!place.path().as_path().exists(), "{call}");
        }
    }

    #[test]
    fn only_the_directory_that_was_made_is_withdrawn_and_only_while_it_is_empty() {
        let temp = tempfile::tempdir().unwrap();
        let place = place(temp.path());
        let sys = Hooked::new(&quiet);
        let locks = RootLocks::default();
        let made = make_ahead(&sys, &locks, &place, AS_ASKED).unwrap();
        // Somebody has begun to use it.
        let path = place.path().as_path().to_owned();
        std::fs::write(path.join("data"), "x").unwrap();
        let kept = withdraw(&sys, &locks, &place, &made);
        assert!(matches!(kept, Outcome::Failed(_)), "{kept:?}");
        assert!(path.join("data").exists());
        // Somebody made another one of that name.
        std::fs::rename(&path, temp.path().join("aside")).unwrap();
        std::fs::create_dir(&path).unwrap();
        let kept = withdraw(&sys, &locks, &place, &made);
        assert!(matches!(kept, Outcome::Failed(_)), "{kept:?}");
        assert!(path.exists());
        // And nothing is made where something is.
        let stale = make_ahead(&sys, &locks, &place, AS_ASKED).unwrap_err();
        assert!(matches!(stale.outcome, Outcome::Stale(_)) && stale.made.is_none());
    }

    #[test]
    fn a_directory_is_as_asked_for_before_anybody_may_enter_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().unwrap();
        let place = place(temp.path());
        let mode = || {
            let metadata = place.path().as_path().metadata().unwrap();
            metadata.permissions().mode() & 0o7777
        };
        let seen = Cell::new(None);
        let look = |call: &'static str, _: &[u8]| {
            if call == "set_owner" {
                seen.set(Some(mode()));
            }
            Ok(())
        };
        make_ahead(&Hooked::new(&look), &RootLocks::default(), &place, AS_ASKED).unwrap();
        assert_eq!(seen.get(), Some(0o700));
        assert_eq!(mode(), 0o750);
    }
}
