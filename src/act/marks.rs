//! Marks beside the trash: what an operator wants kept although no authority names it.
//!
//! A mark is one small file, replaced atomically and durable when a call here returns: before what
//! it keeps is moved to where a sweep would find it. What a crash leaves of one that was being written
//! says nothing, and goes with the next change.

use super::outcome::{Outcome, Receipt, StepError};
use super::roots::{OpenRoot, RootLocks, open_or_make};
use super::sys::{Errno, Sys};
use crate::decide::manifest::{ADOPTED, AdoptedMark};
use crate::decide::steps::OursPlace;
use crate::sys::{Batch, More, OpenError};
use crate::units::Raw;

fn file(mark: &AdoptedMark) -> Vec<u8> {
    [mark.name.as_bytes(), b".json"].concat()
}

fn path<S: Sys>(root: &OpenRoot<S>, mark: &AdoptedMark) -> Raw {
    root.ours_path
        .join(ADOPTED)
        .join(format!("{}.json", mark.name).as_str())
}

/// Writes a mark into the folder of ours on an open root; durable when this returns.
pub(in crate::act) fn write<S: Sys>(
    sys: &S,
    root: &OpenRoot<S>,
    mark: &AdoptedMark,
) -> Result<(), StepError> {
    let path = path(root, mark);
    let Some(ours) = &root.ours else {
        return Err(StepError::Open {
            path,
            source: OpenError::Missing,
        });
    };
    let mut text = serde_json::to_vec_pretty(mark).map_err(|source| StepError::EncodeMark {
        mark: mark.name.clone(),
        source,
    })?;
    text.push(b'\n');
    let folder = open_or_make(sys, ours, ADOPTED, 0o700, &path)?;
    clear_halves(sys, &folder);
    sys.write_file(&folder, &file(mark), &text, 0o600)
        .map_err(|source| StepError::Call {
            what: "write",
            path,
            left: "nothing was moved",
            source,
        })
}

/// Removes a mark; one that is gone is gone.
pub(in crate::act) fn remove<S: Sys>(
    sys: &S,
    root: &OpenRoot<S>,
    mark: &AdoptedMark,
) -> Result<(), StepError> {
    let path = path(root, mark);
    let Some(ours) = &root.ours else {
        return Ok(());
    };
    let folder = match sys.open_child(ours, ADOPTED.as_bytes()) {
        Ok(folder) => folder,
        Err(OpenError::Missing) => return Ok(()),
        Err(source) => return Err(StepError::Open { path, source }),
    };
    let fail = |source| StepError::Call {
        what: "remove",
        path: path.clone(),
        left: "the volume stays adopted",
        source,
    };
    clear_halves(sys, &folder);
    match sys.unlink(&folder, &file(mark)) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(source) => return Err(fail(source)),
    }
    sys.sync(&folder).map_err(fail)
}

/// Takes away what crashes left of marks that were being written: every mark has a name of its own, so
/// that nothing else would. The root's lock is held: nobody is writing one. What stays is no mark.
fn clear_halves<S: Sys>(sys: &S, folder: &S::Dir) {
    let cleared = (|| {
        let mut batch = Batch::new(1 << 16);
        sys.rewind(folder)?;
        while sys.read_entries(folder, &mut batch)? != More::No {}
        for (name, ..) in batch.iter() {
            if name.starts_with(b".") && name.ends_with(b".json.new") {
                sys.unlink(folder, name)?;
            }
        }
        Ok::<(), Errno>(())
    })();
    if let Err(errno) = cleared {
        tracing::debug!(
            errno = errno.raw_os_error(),
            "what a crash left of a mark stays, ignoring"
        );
    }
}

/// Marks a volume as wanted.
pub fn adopt<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    at: &OursPlace,
    mark: &AdoptedMark,
    plan: &str,
) -> Outcome {
    changed(sys, locks, at, mark, plan, "adopt", write)
}

/// Takes a mark away.
pub fn unadopt<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    at: &OursPlace,
    mark: &AdoptedMark,
    plan: &str,
) -> Outcome {
    changed(sys, locks, at, mark, plan, "unadopt", remove)
}

fn changed<S: Sys>(
    sys: &S,
    locks: &RootLocks<S>,
    at: &OursPlace,
    mark: &AdoptedMark,
    plan: &str,
    step: &'static str,
    change: impl FnOnce(&S, &OpenRoot<S>, &AdoptedMark) -> Result<(), StepError>,
) -> Outcome {
    let done = || -> Result<Outcome, Outcome> {
        let root = OpenRoot::open_at(sys, locks, &at.disk, &at.root, at.hidden.as_ref())?;
        change(sys, &root, mark)?;
        Ok(Outcome::Done(Box::new(Receipt {
            filesystem: Some(at.root.filesystem.clone()),
            ..Receipt::plain(step, plan, Some(&mark.volume), &at.disk, path(&root, mark))
        })))
    };
    done().unwrap_or_else(|outcome| outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::sys::{Kernel, temp_name};

    #[test]
    fn what_a_crash_left_of_a_mark_goes_and_marks_stay() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let folder = kernel.open_root(temp.path()).unwrap();
        let write = |name: &[u8]| kernel.write_file(&folder, name, b"{}", 0o600).unwrap();
        write(b"1-a-1.json");
        write(&temp_name(b"1-a-2.json"));
        clear_halves(&kernel, &folder);
        let left: Vec<_> = std::fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["1-a-1.json"]);
    }
}
