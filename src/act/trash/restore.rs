//! Out of the trash again, because an operator wants it; and frames that hold nothing.
//!
//! Durability points of a restore, each before the next call:
//!
//! 1. project ids cleared, the entry's own directory last: the agent may have given the id away, and
//!    aborts over a volume that carries one it does not know (F§9.2);
//! 2. the mark beside the trash, which is the intent: from here on the restore is finished at the
//!    next start, and what is restored is not swept again;
//! 3. the rename to the volume's place, where nothing may be;
//! 4. both parents synced, the new one first;
//! 5. the entry's frame removed.
//!
//! A crash after 2 leaves an entry that the planner sees a mark for; one after 3 a frame without
//! data, which goes as any other.

use super::super::jobs::JobContext;
use super::super::marks;
use super::super::outcome::{Outcome, StepError};
use super::super::roots::{OpenRoot, RootLocks, open_or_make};
use super::super::sys::{Errno, Sys, temp_name};
use super::{
    DATA, MANIFEST, OpenEntry, call, labelled, look_through, move_back, receipt_of, sync_both,
};
use crate::act::provision;
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::AdoptedMark;
use crate::decide::steps::{OursPlace, TrashId, TrashPlace};
use crate::sys::OpenError;
use crate::units::Raw;

/// Renames an entry's data back to its place on a ROOT or PATH root, durably; the place's path.
pub(super) fn back<S: Sys>(
    sys: &S,
    entry: &OpenEntry<S>,
    place: &TrashPlace,
) -> Result<Raw, Outcome> {
    let manifest = &place.manifest;
    let path = place.disk.root.join(&manifest.path);
    let volumes = sys
        .open_child(&entry.root.dir, b"volumes")
        .map_err(|source| StepError::Open {
            path: path.clone(),
            source,
        })?;
    let mode = provision::MODE;
    let roles = open_or_make(sys, &volumes, "roles", mode, &path)?;
    let role = manifest.volume.role.directory();
    let role_dir = match sys.open_child(&roles, role.as_bytes()) {
        Ok(role_dir) => role_dir,
        Err(OpenError::Missing) => {
            // As the agent would make it (F§3.2).
            match sys.mkdir(&roles, role.as_bytes(), mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(source) => {
                    return Err(
                        call("make the role of", &path, "it is in the trash")(source).into(),
                    );
                }
            }
            sys.sync(&roles)
                .map_err(call("sync the folder of", &path, "it is in the trash"))?;
            sys.open_child(&roles, role.as_bytes())
                .map_err(|source| StepError::Open {
                    path: path.clone(),
                    source,
                })?
        }
        Err(source) => return Err(StepError::Open { path, source }.into()),
    };
    let name = manifest.volume.id.as_raw().as_bytes();
    match sys.rename_noreplace(&entry.dir, DATA, &role_dir, name) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(Outcome::Stale(format!("{path} exists again"))),
        Err(source) => return Err(call("put back", &path, "it is in the trash")(source).into()),
    }
    sync_both(sys, &role_dir, &entry.dir, &path)?;
    Ok(path)
}

/// Restores an entry: by one rename, or, of a prepared MOUNT, entry by entry behind the gate.
pub(in crate::act) fn restore<S: Sys>(
    context: &JobContext<'_, S>,
    place: &TrashPlace,
    mark: &AdoptedMark,
    plan: &str,
) -> Result<Outcome, Outcome> {
    if place.hidden.is_some() {
        return move_back(context, place, Some(mark), plan);
    }
    let sys = context.sys;
    let entry = OpenEntry::open(sys, context.locks, place)?;
    let data = entry.data(sys, place)?;
    if labelled(sys, place, &data, &entry)? {
        look_through(context, &entry, &data, true)?;
    }
    marks::write(sys, &entry.root, mark)?;
    let path = match back(sys, &entry, place) {
        Ok(path) => path,
        Err(Outcome::Stale(why)) => {
            // Something was quicker, and the operator is to decide again.
            marks::remove(sys, &entry.root, mark)?;
            return Err(Outcome::Stale(why));
        }
        Err(outcome) => return Err(outcome),
    };
    entry.remove(sys, place)?;
    Ok(receipt_of("restore", &place.manifest, plan, path, 0))
}

/// Removes the frame of an entry that has neither manifest nor data. Nothing goes but by calls that
/// refuse where something is: it holds nothing, or it stays.
pub(in crate::act) fn tidy<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    at: &OursPlace,
    id: &TrashId,
) -> Outcome {
    let step = || -> Result<Outcome, Outcome> {
        let root = OpenRoot::open_at(sys, locks, &at.disk, &at.root, at.hidden.as_ref())?;
        let trash = root.trash(sys)?;
        let path = root.trash_path.join(&id.0);
        let name = id.0.as_bytes();
        let entry = match sys.open_child(&trash, name) {
            Ok(entry) => entry,
            Err(OpenError::Missing) => return Ok(Outcome::Identity),
            Err(source) => return Err(StepError::Open { path, source }.into()),
        };
        if sys.kind(&entry, MANIFEST) != Err(Errno::NOENT) {
            return Err(Outcome::Stale(format!("{path} has a manifest by now")));
        }
        let full = || {
            Outcome::Refused(Reason::new(
                Refusal::ForeignTrash,
                format!("something lies in {path}"),
            ))
        };
        let left = "nothing but empty folders went";
        match sys.rmdir(&entry, DATA) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => return Err(full()),
            Err(source) => return Err(call("remove", &path, left)(source).into()),
        }
        match sys.unlink(&entry, &temp_name(MANIFEST)) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(source) => return Err(call("remove", &path, left)(source).into()),
        }
        match sys.rmdir(&trash, name) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(full()),
            Err(source) => return Err(call("remove", &path, left)(source).into()),
        }
        sys.sync(&trash)
            .map_err(call("sync the folder of", &path, "it is removed"))?;
        let receipt = super::Receipt::plain("tidy", "", None, &at.disk, path);
        Ok(Outcome::Done(Box::new(receipt)))
    };
    step().unwrap_or_else(|outcome| outcome)
}
