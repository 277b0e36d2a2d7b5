//! The trash of a root: into it by one rename, back by one rename.
//!
//! Durability points, each before the next call, so that a crash between any two of them restarts
//! into "continue" (law 9):
//!
//! 1. the entry's folder and its manifest in state `prepared` (file and folder synced);
//! 2. the rename of the volume's directory to `data`;
//! 3. both parents synced: the entry first, so that a power cut can show the directory in both
//!    places' journals or in the old one, never in none.
//!
//! Then, whole but not durable by a sync of its own:
//!
//! 4. the manifest in state `moved`, later in state `cleared`.
//!
//! After a crash between 2 and 4 the entry is `prepared` with data, which the planner treats like
//! `moved`; so a power cut that takes 4 back changes nothing, and one that takes `cleared` back costs
//! a second look more. What the states are followed by does have its sync: `wiping` is durable before
//! the first unlink, and brings with it whatever came before. (On a prepared MOUNT `prepared` means
//! half moved, and `moved` opens the gate: there it is durable, see `entries`.)

mod entries;
mod restore;
mod survey;

pub(in crate::act) use self::entries::{move_back, move_out, refill};
pub(in crate::act) use self::restore::{restore, tidy};
use self::survey::{Survey, SurveyStop, survey};
use super::jobs::JobContext;
use super::outcome::{Outcome, Receipt, StepError};
use super::roots::{OpenRoot, RootLocks, RootStop};
use super::sys::{Errno, Sys, temp_name};
use super::volume_dir::{VolumeDir, VolumeDirError};
use crate::decide::facts::FileIdentity;
use crate::decide::manifest::{Asked, Manifest, TRASH, TrashState};
use crate::decide::steps::{TrashPlace, VolumePlace};
use crate::sys::OpenError;
use crate::units::{Raw, Span};

const MANIFEST: &[u8] = b"manifest.json";
const DATA: &[u8] = b"data";

/// A manifest is a few hundred bytes; a name can make it a few thousand.
const MANIFEST_LIMIT: usize = 1 << 20;

impl From<RootStop> for Outcome {
    fn from(stop: RootStop) -> Self {
        match stop {
            RootStop::Stale(why) => Self::Stale(why),
            RootStop::Refused(reason) => Self::Refused(reason),
            RootStop::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<StepError> for Outcome {
    fn from(error: StepError) -> Self {
        Self::Failed(error)
    }
}

fn receipt(step: &'static str, manifest: &Manifest, path: Raw) -> Outcome {
    Outcome::Done(Box::new(Receipt {
        evidence: Some(manifest.evidence.clone()),
        filesystem: Some(manifest.identity.filesystem.clone()),
        ..Receipt::plain(
            step,
            &manifest.plan,
            Some(&manifest.volume),
            &manifest.disk,
            path,
        )
    }))
}

/// As [`receipt`], of a plan that goes on with an entry, and with what was moved.
fn receipt_of(
    step: &'static str,
    manifest: &Manifest,
    plan: &str,
    path: Raw,
    moved: u64,
) -> Outcome {
    let mut outcome = receipt(step, manifest, path);
    if let Outcome::Done(receipt) = &mut outcome {
        plan.clone_into(&mut receipt.plan);
        receipt.files = moved;
    }
    outcome
}

fn call(
    what: &'static str,
    path: &Raw,
    left: &'static str,
) -> impl FnOnce(Errno) -> StepError + use<> {
    let path = path.clone();
    move |source| StepError::Call {
        what,
        path,
        left,
        source,
    }
}

/// Moves a volume's directory into the trash.
pub fn quarantine<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &VolumePlace,
    identity: &FileIdentity,
    manifest: &Manifest,
) -> Outcome {
    match try_quarantine(sys, locks, place, identity, manifest) {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

fn try_quarantine<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &VolumePlace,
    identity: &FileIdentity,
    manifest: &Manifest,
) -> Result<Outcome, Outcome> {
    let root = OpenRoot::open(sys, locks, &place.disk, &place.root)?;
    let volume = VolumeDir::open(sys, &root.dir, &place.components(), identity)
        .map_err(|source| volume_stop(place, source))?;
    let Some((role_dir, name)) = volume.place() else {
        return Err(Outcome::Stale(format!("{} has no parent", place.path())));
    };
    let trash = root.trash(sys)?;
    let entry_path = place.disk.root.join(TRASH).join(&manifest.id.0);
    let entry_name = manifest.id.0.as_bytes();
    sys.mkdir(&trash, entry_name, 0o700).map_err(call(
        "make",
        &entry_path,
        "nothing was changed",
    ))?;
    let entry = sys
        .open_child(&trash, entry_name)
        .map_err(|source| StepError::Open {
            path: entry_path.clone(),
            source,
        })?;
    let prepared = write_manifest(sys, &entry, manifest, TrashState::Prepared).and_then(|()| {
        sys.sync(&trash)
            .map_err(call("sync", &entry_path, "nothing was moved"))
    });
    if let Err(error) = prepared {
        discard_entry(sys, &trash, &entry, entry_name);
        return Err(error.into());
    }

    let mut moved = sys.rename_noreplace(role_dir, name, &entry, DATA);
    if moved == Err(Errno::PERM) && sys.clear_flags(volume.dir()) == Ok(true) {
        // An immutable or append-only directory can't be renamed, by root either.
        moved = sys.rename_noreplace(role_dir, name, &entry, DATA);
    }
    if let Err(source) = moved {
        discard_entry(sys, &trash, &entry, entry_name);
        return Err(match source {
            Errno::NOENT => Outcome::Stale(format!("{} is gone", place.path())),
            source => Outcome::Failed(call("move", &place.path(), "it is where it was")(source)),
        });
    }
    // Between the open and the rename the name may have been given to another directory.
    let found = sys
        .open_child(&entry, DATA)
        .ok()
        .and_then(|data| sys.identity(&data).ok());
    if found.as_ref() != Some(identity) {
        sys.rename_noreplace(&entry, DATA, role_dir, name)
            .map_err(call(
                "move back",
                &entry_path,
                "another directory lies in the trash",
            ))?;
        sync_both(sys, role_dir, &entry, &place.path())?;
        discard_entry(sys, &trash, &entry, entry_name);
        return Err(Outcome::Stale(format!(
            "{} was exchanged meanwhile",
            place.path()
        )));
    }
    sync_both(sys, &entry, role_dir, &place.path())?;
    write_manifest_as(sys, &entry, manifest, TrashState::Moved, Lasting::Whole)?;
    Ok(receipt("quarantine", manifest, place.path()))
}

fn volume_stop(place: &VolumePlace, source: VolumeDirError) -> Outcome {
    match source {
        VolumeDirError::Open {
            source: OpenError::Missing,
            ..
        } => Outcome::Stale(format!("{} is gone", place.path())),
        VolumeDirError::Another { .. } => {
            Outcome::Stale(format!("{} is another directory by now", place.path()))
        }
        source @ (VolumeDirError::Open { .. }
        | VolumeDirError::NoIdentity(_)
        | VolumeDirError::HostRoot
        | VolumeDirError::Io(_)) => Outcome::Failed(StepError::VolumeDir {
            volume: place.volume.clone(),
            source,
        }),
    }
}

fn sync_both<S: Sys>(
    sys: &S,
    first: &S::Dir,
    second: &S::Dir,
    path: &Raw,
) -> Result<(), StepError> {
    for dir in [first, second] {
        sys.sync(dir)
            .map_err(call("sync the folders of", path, "it was moved"))?;
    }
    Ok(())
}

/// What a power cut may do to a manifest that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// Nothing.
    Durable,
    /// Bring the one before back, which leads to the same end.
    Whole,
}

fn write_manifest<S: Sys>(
    sys: &S,
    entry: &S::Dir,
    manifest: &Manifest,
    state: TrashState,
) -> Result<(), StepError> {
    write_manifest_as(sys, entry, manifest, state, Lasting::Durable)
}

fn write_manifest_as<S: Sys>(
    sys: &S,
    entry: &S::Dir,
    manifest: &Manifest,
    state: TrashState,
    lasting: Lasting,
) -> Result<(), StepError> {
    let manifest = Manifest {
        state,
        ..manifest.clone()
    };
    let mut text =
        serde_json::to_vec_pretty(&manifest).map_err(|source| StepError::EncodeManifest {
            entry: manifest.id.0.clone(),
            source,
        })?;
    text.push(b'\n');
    let written = match lasting {
        Lasting::Durable => sys.write_file(entry, MANIFEST, &text, 0o600),
        Lasting::Whole => sys.write_file_whole(entry, MANIFEST, &text, 0o600),
    };
    written.map_err(call(
        "write the manifest of",
        &Raw::from(manifest.id.0.as_str()),
        "the old manifest is whole",
    ))
}

/// Takes away what is left of an entry that holds no data. Never fails: what stays is an entry
/// without data, which the next plan removes.
fn discard_entry<S: Sys>(sys: &S, trash: &S::Dir, entry: &S::Dir, name: &[u8]) {
    let removed = remove_frame(sys, trash, entry, name).and_then(|()| sys.sync(trash));
    if let Err(errno) = removed {
        tracing::debug!(
            errno = errno.raw_os_error(),
            "an empty trash entry stays, ignoring"
        );
    }
}

/// Not durable by itself: a frame that a power cut brings back, or brings back in part, holds no data.
fn remove_frame<S: Sys>(sys: &S, trash: &S::Dir, entry: &S::Dir, name: &[u8]) -> Result<(), Errno> {
    for file in [temp_name(MANIFEST), MANIFEST.to_vec()] {
        match sys.unlink(entry, &file) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    match sys.rmdir(trash, name) {
        // Somebody else of this process was quicker.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// An opened entry whose manifest is what the plan was made for.
#[derive(Debug)]
pub struct OpenEntry<S: Sys> {
    root: OpenRoot<S>,
    trash: S::Dir,
    dir: S::Dir,
    path: Raw,
}

impl<S: Sys> OpenEntry<S> {
    /// Opens the entry and reads its manifest again.
    pub fn open(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Result<Self, Outcome> {
        let root = OpenRoot::open_for(sys, locks, place)?;
        let trash = root.trash(sys)?;
        let id = &place.manifest.id;
        let path = root.trash_path.join(&id.0);
        let dir = sys.open_child(&trash, id.0.as_bytes()).map_err(|source| {
            if matches!(source, OpenError::Missing) {
                Outcome::Stale(format!("trash entry {id} is gone"))
            } else {
                Outcome::Failed(StepError::Open {
                    path: path.clone(),
                    source,
                })
            }
        })?;
        let text = sys
            .read_file(&dir, MANIFEST, MANIFEST_LIMIT)
            .map_err(|source| StepError::ReadManifest {
                entry: id.0.clone(),
                source,
            })?;
        match serde_json::from_slice::<Manifest>(&text) {
            Ok(found) if found == place.manifest => Ok(Self {
                root,
                trash,
                dir,
                path,
            }),
            Ok(_) | Err(_) => Err(Outcome::Stale(format!(
                "the manifest of {id} is another by now"
            ))),
        }
    }

    /// The entry's data, as a directory with a checked identity.
    pub fn data(&self, sys: &S, place: &TrashPlace) -> Result<VolumeDir<S>, Outcome> {
        let expected = place
            .data
            .as_ref()
            .ok_or_else(|| Outcome::Stale(format!("{} has no data", place.manifest.id)))?;
        VolumeDir::open(sys, &self.dir, &[DATA], expected).map_err(|source| match source {
            VolumeDirError::Another { .. }
            | VolumeDirError::Open {
                source: OpenError::Missing,
                ..
            } => Outcome::Stale(format!(
                "the data of {} is another by now",
                place.manifest.id
            )),
            source @ (VolumeDirError::Open { .. }
            | VolumeDirError::NoIdentity(_)
            | VolumeDirError::HostRoot
            | VolumeDirError::Io(_)) => Outcome::Failed(StepError::VolumeDir {
                volume: place.manifest.volume.clone(),
                source,
            }),
        })
    }

    /// Writes the manifest in a later state.
    pub fn advance(&self, sys: &S, place: &TrashPlace, state: TrashState) -> Result<(), StepError> {
        write_manifest(sys, &self.dir, &place.manifest, state)
    }

    /// Removes the entry, which must hold no data any more; that is durable when this returns.
    pub fn remove(&self, sys: &S, place: &TrashPlace) -> Result<(), StepError> {
        self.remove_wiped(sys, place)?;
        sys.sync(&self.trash)
            .map_err(call("sync", &self.path, "its data is gone"))
    }

    /// Removes the entry after its data was wiped, durably. The frame's own removal is not made
    /// durable: one that a power cut brings back says `wiping`, holds nothing, and goes with the next
    /// pass.
    pub fn remove_wiped(&self, sys: &S, place: &TrashPlace) -> Result<(), StepError> {
        remove_frame(sys, &self.trash, &self.dir, place.manifest.id.0.as_bytes()).map_err(call(
            "remove",
            &self.path,
            "its data is gone",
        ))
    }

    /// Where it lies, for display.
    pub fn path(&self) -> &Raw {
        &self.path
    }
}

/// Marks an entry `cleared`: the second look passed. `None` where there is a walk to make first:
/// project ids to take away, or, of an entry that stays for a while, what it takes up to be counted.
pub fn clear_at_once<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Option<Outcome> {
    let step = || -> Result<Option<Outcome>, Outcome> {
        if counted_later(&place.manifest) {
            return Ok(None);
        }
        let entry = OpenEntry::open(sys, locks, place)?;
        let data = entry.data(sys, place)?;
        if labelled(sys, place, &data, &entry)? {
            return Ok(None);
        }
        let cleared = TrashState::Cleared;
        write_manifest_as(sys, &entry.dir, &place.manifest, cleared, Lasting::Whole)?;
        let path = entry.path().clone();
        Ok(Some(receipt("clear", &place.manifest, path)))
    };
    step().unwrap_or_else(Some)
}

/// The same with the walk.
pub(in crate::act) fn clear<S: Sys>(
    context: &JobContext<'_, S>,
    place: &TrashPlace,
    plan: &str,
) -> Result<Outcome, Outcome> {
    let sys = context.sys;
    let entry = OpenEntry::open(sys, context.locks, place)?;
    let data = entry.data(sys, place)?;
    let strip = labelled(sys, place, &data, &entry)?;
    let found = if strip || counted_later(&place.manifest) {
        look_through(context, &entry, &data, strip)?
    } else {
        Survey::default()
    };
    let manifest = Manifest {
        size: counted_later(&place.manifest).then_some(found.size),
        ..place.manifest.clone()
    };
    write_manifest(sys, &entry.dir, &manifest, TrashState::Cleared)?;
    let mut outcome = receipt_of(
        "clear",
        &manifest,
        plan,
        entry.path().clone(),
        found.cleared,
    );
    if let Outcome::Done(receipt) = &mut outcome {
        receipt.verified = found.left == 0;
    }
    Ok(outcome)
}

/// Whether an entry's size is to be known: it stays for a while, and has not been counted.
fn counted_later(manifest: &Manifest) -> bool {
    manifest.retention > Span::ZERO && manifest.size.is_none()
}

/// Whether a directory carries a project id that may be given away. No MOUNT disk is labelled (F§9.2):
/// ids there are the tenant's own.
fn labelled<S: Sys>(
    sys: &S,
    place: &TrashPlace,
    data: &VolumeDir<S>,
    entry: &OpenEntry<S>,
) -> Result<bool, Outcome> {
    if place.hidden.is_some() {
        return Ok(false);
    }
    let project =
        sys.project(data.dir())
            .map_err(call("look at", &entry.path, "nothing was changed"))?;
    Ok(project != 0)
}

/// Walks through an entry's data.
fn look_through<S: Sys>(
    context: &JobContext<'_, S>,
    entry: &OpenEntry<S>,
    data: &VolumeDir<S>,
    strip: bool,
) -> Result<Survey, Outcome> {
    let found =
        survey(context.sys, data.dir(), context.control, strip).map_err(|stop| match stop {
            SurveyStop::Stopped => {
                Outcome::Stale(format!("stopped while {} was counted", entry.path))
            }
            SurveyStop::Io(source) => {
                call("look through", &entry.path, "nothing was moved")(source).into()
            }
        })?;
    if found.left > 0 {
        tracing::warn!(
            entry = %entry.path,
            left = found.left,
            "some project ids could not be taken away, ignoring"
        );
    }
    Ok(found)
}

/// Writes down, durably, that the master is about to be asked to destroy the volume of an entry, or
/// that it certainly was not.
pub fn asked<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &TrashPlace,
    asked: Option<&Asked>,
) -> Result<(), Outcome> {
    let entry = OpenEntry::open(sys, locks, place)?;
    entry.data(sys, place)?;
    let manifest = Manifest {
        asked: asked.cloned(),
        ..place.manifest.clone()
    };
    write_manifest(sys, &entry.dir, &manifest, TrashState::Moved)?;
    Ok(())
}

/// Marks an entry `cleared` whose destroy the agent's own checkpoint confirmed.
pub fn confirm<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    place: &TrashPlace,
    lived_at: Span,
) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let entry = OpenEntry::open(sys, locks, place)?;
        entry.data(sys, place)?;
        let manifest = Manifest {
            unconfirmed: false,
            asked: None,
            lived_at,
            ..place.manifest.clone()
        };
        write_manifest(sys, &entry.dir, &manifest, TrashState::Cleared)?;
        Ok(receipt("confirm", &manifest, entry.path().clone()))
    };
    step().unwrap_or_else(|outcome| outcome)
}

/// Removes an entry that holds no data.
pub fn void<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let entry = OpenEntry::open(sys, locks, place)?;
        // rmdir refuses an entry in which data has appeared after all.
        match sys.open_child(&entry.dir, DATA) {
            Err(OpenError::Missing) => {}
            Ok(_) | Err(_) => {
                return Err(Outcome::Stale(format!("{} holds data", place.manifest.id)));
            }
        }
        entry.remove(sys, place)?;
        Ok(receipt("void", &place.manifest, entry.path().clone()))
    };
    step().unwrap_or_else(|outcome| outcome)
}

/// Puts an entry's data back where it was. Nothing is replaced: a directory in its place makes it
/// stale, and the next plan contested.
pub fn put_back<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let entry = OpenEntry::open(sys, locks, place)?;
        entry.data(sys, place)?;
        let path = restore::back(sys, &entry, place)?;
        entry.remove(sys, place)?;
        Ok(receipt("put_back", &place.manifest, path))
    };
    step().unwrap_or_else(|outcome| outcome)
}

#[cfg(test)]
mod tests;
