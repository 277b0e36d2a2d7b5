//! The trash of a prepared MOUNT: its entries go into it, and back, one by one.
//!
//! The root itself can't be renamed: the bind mount would follow it into the trash. So an entry of
//! the trash gets a folder `data` of its own, and what lies in the root is moved into it, through
//! the hidden side's mount, in which root and trash lie side by side. Durability points, each before
//! the next call:
//!
//! 1. the gate is closed for this root, and no agent is found behind it;
//! 2. the entry's folder, its empty `data`, and the manifest in state `prepared`, which names both
//!    the root directory and `data` by identity;
//! 3. entry by entry, until a look finds nothing more in the root;
//! 4. `data` synced, then the root;
//! 5. the manifest in state `moved`; then the gate opens.
//!
//! A crash between 2 and 5 leaves a *half moved* entry and a closed gate: on, or, where the volume is
//! named again, back, by the same moves the other way. Moving back begins with the state `prepared`,
//! so that half of it is never taken for the whole.

use super::super::behind::Behind;
use super::super::jobs::JobContext;
use super::super::marks;
use super::super::outcome::{Outcome, StepError};
use super::super::roots::OpenRoot;
use super::super::sys::{Errno, Sys};
use super::{DATA, OpenEntry, call, discard_entry, receipt_of, write_manifest};
use crate::act::roots::open_or_make;
use crate::decide::facts::FileIdentity;
use crate::decide::manifest::{AdoptedMark, Manifest, RESERVE, RESERVE_BYTES, TrashState};
use crate::decide::steps::{Barrier, TrashPlace};
use crate::sys::{Batch, More};
use crate::units::Raw;

/// So much memory for names at once.
const BATCH: usize = 1 << 20;

/// Moves what lies in the root into the entry, or goes on with that.
pub(in crate::act) fn move_out<S: Sys>(
    context: &JobContext<'_, S>,
    place: &TrashPlace,
    barrier: Barrier,
    plan: &str,
) -> Result<Outcome, Outcome> {
    let sys = context.sys;
    let root = OpenRoot::open_for(sys, context.locks, place)?;
    let behind = Behind::stand(context, &place.disk, barrier, None)?;
    let (entry, data, manifest) = match begin(sys, &root, place, context) {
        Ok(begun) => begun,
        Err(outcome) => {
            // What was begun earlier stays behind the barrier.
            behind.leave_untouched()?;
            return Err(outcome);
        }
    };
    let moved = behind.through(|| {
        let spare = Spare::new(&root);
        let moved = all(context, &root.dir, &data, &spare, &place.disk.root)?;
        for dir in [&data, &entry, &root.dir] {
            sys.sync(dir).map_err(call(
                "sync the folders of",
                &place.disk.root,
                "its entries are in the trash",
            ))?;
        }
        spare.retry(sys, || {
            write_manifest(sys, &entry, &manifest, TrashState::Moved)
        })?;
        Ok(moved)
    })?;
    let path = root.trash_path.join(&manifest.id.0);
    Ok(receipt_of("move_out", &manifest, plan, path, moved))
}

/// Moves everything back into the root; with a mark, because an operator wants it there.
pub(in crate::act) fn move_back<S: Sys>(
    context: &JobContext<'_, S>,
    place: &TrashPlace,
    mark: Option<&AdoptedMark>,
    plan: &str,
) -> Result<Outcome, Outcome> {
    let sys = context.sys;
    let entry = OpenEntry::open(sys, context.locks, place)?;
    let data = entry.data(sys, place)?;
    let root = &entry.root;
    let text = &place.disk.root;
    let behind = Behind::stand(context, &place.disk, Barrier::Gate, None)?;
    let whole = place.manifest.state != TrashState::Prepared;
    if whole {
        match is_empty(sys, &root.dir) {
            Ok(true) => {}
            Ok(false) => {
                behind.leave_untouched()?;
                return Err(Outcome::Stale(format!("something lies in {text} already")));
            }
            Err(source) => {
                behind.leave_untouched()?;
                return Err(call("look into", text, "nothing was moved")(source).into());
            }
        }
    }
    let moved = behind.through(|| {
        let spare = Spare::new(root);
        if let Some(mark) = mark {
            spare.retry(sys, || marks::write(sys, root, mark))?;
        }
        if whole {
            spare.retry(sys, || entry.advance(sys, place, TrashState::Prepared))?;
        }
        let moved = all(context, data.dir(), &root.dir, &spare, text)?;
        for dir in [&root.dir, data.dir()] {
            sys.sync(dir)
                .map_err(call("sync the folders of", text, "its entries are back"))?;
        }
        sys.rmdir(&entry.dir, DATA)
            .map_err(call("remove", &entry.path, "its entries are back"))?;
        entry.remove(sys, place)?;
        Ok(moved)
    })?;
    Ok(receipt_of(
        if mark.is_some() {
            "restore"
        } else {
            "put_back"
        },
        &place.manifest,
        plan,
        text.clone(),
        moved,
    ))
}

fn is_empty<S: Sys>(sys: &S, dir: &S::Dir) -> Result<bool, Errno> {
    let mut batch = Batch::new(BATCH);
    sys.rewind(dir)?;
    sys.read_entries(dir, &mut batch)?;
    Ok(batch.is_empty())
}

/// The entry's folder, its `data` and its manifest: those that are there, or new ones.
fn begin<S: Sys>(
    sys: &S,
    root: &OpenRoot<S>,
    place: &TrashPlace,
    context: &JobContext<'_, S>,
) -> Result<(S::Dir, S::Dir, Manifest), Outcome> {
    if place.data.is_some() {
        let entry = OpenEntry::open(sys, context.locks, place)?;
        let data = entry.data(sys, place)?;
        let data =
            sys.reopen(data.dir())
                .map_err(call("open", &entry.path, "nothing was moved"))?;
        return Ok((entry.dir, data, place.manifest.clone()));
    }
    let spare = Spare::new(root);
    spare.retry(sys, || fresh(sys, root, place))
}

fn fresh<S: Sys>(
    sys: &S,
    root: &OpenRoot<S>,
    place: &TrashPlace,
) -> Result<(S::Dir, S::Dir, Manifest), Outcome> {
    let trash = root.trash(sys)?;
    let name = place.manifest.id.0.as_bytes();
    let path = root.trash_path.join(name);
    let nothing = "nothing was moved";
    sys.mkdir(&trash, name, 0o700)
        .map_err(call("make", &path, nothing))?;
    let open = |dir: &S::Dir, name: &[u8]| {
        sys.open_child(dir, name).map_err(|source| StepError::Open {
            path: path.clone(),
            source,
        })
    };
    let entry = open(&trash, name)?;
    let made = || -> Result<(S::Dir, FileIdentity, Manifest), StepError> {
        sys.mkdir(&entry, DATA, 0o700)
            .map_err(call("make", &path, nothing))?;
        let data = open(&entry, DATA)?;
        let identity = sys.identity(&data).map_err(|source| StepError::Identity {
            path: path.clone(),
            source,
        })?;
        let manifest = Manifest {
            identity: identity.clone(),
            ..place.manifest.clone()
        };
        write_manifest(sys, &entry, &manifest, TrashState::Prepared)?;
        sys.sync(&trash).map_err(call("sync", &path, nothing))?;
        Ok((data, identity, manifest))
    };
    match made() {
        Ok((data, _, manifest)) => Ok((entry, data, manifest)),
        Err(error) => {
            match sys.rmdir(&entry, DATA) {
                Ok(()) | Err(Errno::NOENT) => discard_entry(sys, &trash, &entry, name),
                Err(errno) => tracing::debug!(
                    errno = errno.raw_os_error(),
                    "an empty trash entry stays, ignoring"
                ),
            }
            Err(error.into())
        }
    }
}

/// Moves every entry of one directory into another; how many. Nothing is replaced.
fn all<S: Sys>(
    context: &JobContext<'_, S>,
    from: &S::Dir,
    to: &S::Dir,
    spare: &Spare<'_, S>,
    path: &Raw,
) -> Result<u64, Outcome> {
    let sys = context.sys;
    let left = "the rest is where it was, and agents stay held back";
    let mut moved: u64 = 0;
    let mut batch = Batch::new(BATCH);
    loop {
        // A directory that changes while it is read may leave entries out: until a look finds none.
        sys.rewind(from).map_err(call("look into", path, left))?;
        let before = moved;
        loop {
            batch.clear();
            let more = sys
                .read_entries(from, &mut batch)
                .map_err(call("look into", path, left))?;
            for (name, _, _) in batch.iter() {
                if !context.control.proceed() {
                    return Err(Outcome::Stale(format!(
                        "stopped: {moved} entries of {path} were moved, {left}"
                    )));
                }
                one(sys, from, to, name, spare).map_err(call("move", &path.join(name), left))?;
                moved = moved.saturating_add(1);
            }
            if more == More::No {
                break;
            }
        }
        if moved == before {
            return Ok(moved);
        }
    }
}

fn one<S: Sys>(
    sys: &S,
    from: &S::Dir,
    to: &S::Dir,
    name: &[u8],
    spare: &Spare<'_, S>,
) -> Result<(), Errno> {
    let rename = || sys.rename_noreplace(from, name, to, name);
    match rename() {
        Err(Errno::PERM) => {
            // Neither an immutable or append-only entry can be moved, nor one of such a directory.
            let cleared = sys.clear_flags(from)? | sys.clear_entry_flags(from, name)?;
            if cleared { rename() } else { Err(Errno::PERM) }
        }
        Err(Errno::NOSPC | Errno::DQUOT) if spare.give(sys) => rename(),
        other => other,
    }
}

/// The reserve beside the trash: files that are given up when the tenant has filled the disk.
struct Spare<'a, S: Sys> {
    root: &'a OpenRoot<S>,
    given: std::cell::Cell<bool>,
}

impl<'a, S: Sys> Spare<'a, S> {
    fn new(root: &'a OpenRoot<S>) -> Self {
        Self {
            root,
            given: std::cell::Cell::new(false),
        }
    }

    /// Does it again once where there was no room.
    fn retry<T, E: NoRoom>(&self, sys: &S, mut act: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        match act() {
            Err(error) if error.no_room() && self.give(sys) => act(),
            other => other,
        }
    }

    /// Gives the reserve up, once; whether there was one.
    fn give(&self, sys: &S) -> bool {
        if self.given.replace(true) {
            return false;
        }
        let Some(ours) = &self.root.ours else {
            return false;
        };
        let Ok(reserve) = sys.open_child(ours, RESERVE_NAME) else {
            return false;
        };
        let mut gave = false;
        for number in 0..RESERVE {
            gave |= sys.unlink(&reserve, number.to_string().as_bytes()).is_ok();
        }
        // Room is there for others when the unlinks are in the journal.
        gave && sys.sync(&reserve).is_ok()
    }
}

const RESERVE_NAME: &[u8] = b"reserve";

/// Makes the reserve again. Where that does not work there is none, which is no failure.
pub(in crate::act) fn refill<S: Sys>(sys: &S, entry: &OpenEntry<S>) {
    let Some(ours) = &entry.root.ours else {
        return;
    };
    let path = entry.root.trash_path.clone();
    let Ok(reserve) = open_or_make(sys, ours, "reserve", 0o700, &path) else {
        return;
    };
    let size = usize::try_from(RESERVE_BYTES).unwrap_or(0);
    let zeros = vec![0_u8; size];
    for number in 0..RESERVE {
        let name = number.to_string();
        let there = sys
            .read_file(&reserve, name.as_bytes(), size)
            .is_ok_and(|present| present.len() == size);
        if !there && let Err(errno) = sys.write_file(&reserve, name.as_bytes(), &zeros, 0o600) {
            tracing::debug!(
                errno = errno.raw_os_error(),
                "the reserve was not made again, ignoring"
            );
            return;
        }
    }
}

/// Whether an error says that there was no room.
trait NoRoom {
    fn no_room(&self) -> bool;
}

impl NoRoom for StepError {
    fn no_room(&self) -> bool {
        matches!(
            self,
            Self::Call {
                source: Errno::NOSPC | Errno::DQUOT,
                ..
            }
        )
    }
}

impl NoRoom for Outcome {
    fn no_room(&self) -> bool {
        matches!(self, Self::Failed(error) if error.no_room())
    }
}

#[cfg(test)]
mod tests;
