//! The gate's file, shared by all jobs of this process.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::store::{Store, StoreError};
use crate::decide::facts::{GateFile, Known, OwedFill};
use crate::units::Raw;

/// Which roots the gate is closed for. Every change is durable before the call returns.
#[derive(Debug)]
pub struct Gate {
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As in the file.
    closed_for: BTreeSet<Raw>,
    /// As in the file: at most one for each root that it is closed for.
    fills: Vec<OwedFill>,
    /// Roots that a job of this process is emptying right now.
    busy: BTreeSet<Raw>,
}

impl Gate {
    /// The gate as its file was found: a crash may have left it closed.
    #[must_use]
    pub fn found(store: Store, file: &Known<GateFile>) -> Self {
        match file {
            Known::Known(file) => Self::new(store, file.roots.clone(), file.fills.clone()),
            // Its file stays until all MOUNT disks are empty; then there is nothing to know.
            Known::Absent | Known::Unknown(_) => Self::new(store, [], Vec::new()),
        }
    }

    /// A gate that is closed for these roots, of which these have a fill owed.
    #[must_use]
    pub fn new(
        store: Store,
        closed_for: impl IntoIterator<Item = Raw>,
        fills: Vec<OwedFill>,
    ) -> Self {
        let state = State {
            closed_for: closed_for.into_iter().collect(),
            fills,
            busy: BTreeSet::new(),
        };
        Self {
            store,
            state: Mutex::new(state),
        }
    }

    /// Where its file lies.
    pub(in crate::act) fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the gate for this root too; whether it was closed for it before, by a wipe that did
    /// not end.
    pub fn close(&self, root: &Raw) -> Result<bool, StoreError> {
        self.close_owing(root, None)
    }

    /// The same; and, in one stroke, notes what is to be done to its free space once it is empty, in
    /// place of what was owed before.
    pub fn close_owing(&self, root: &Raw, fill: Option<OwedFill>) -> Result<bool, StoreError> {
        let mut state = self.state();
        let mut roots = state.closed_for.clone();
        let before = !roots.insert(root.clone());
        let mut fills = state.fills.clone();
        fills.retain(|owed| owed.root != *root);
        fills.extend(fill);
        self.write(&roots, &fills)?;
        state.closed_for = roots;
        state.fills = fills;
        state.busy.insert(root.clone());
        Ok(before)
    }

    /// Whether something is owed to the free space of the disk at this root.
    pub fn owes(&self, root: &Raw) -> bool {
        self.state().fills.iter().any(|owed| owed.root == *root)
    }

    fn write(&self, roots: &BTreeSet<Raw>, fills: &[OwedFill]) -> Result<(), StoreError> {
        let roots: Vec<Raw> = roots.iter().cloned().collect();
        self.store.close_gate(&roots, fills)
    }

    /// The job on this root ended; `emptied`: it need not be closed for it any more.
    pub fn done(&self, root: &Raw, emptied: bool) -> Result<(), StoreError> {
        let mut state = self.state();
        state.busy.remove(root);
        if emptied {
            self.shrink(&mut state, |closed| closed != root)
        } else {
            Ok(())
        }
    }

    /// Opens the gate, but for roots that are being emptied right now.
    pub fn open(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let busy = state.busy.clone();
        self.shrink(&mut state, |closed| busy.contains(closed))
    }

    fn shrink(&self, state: &mut State, stays: impl Fn(&Raw) -> bool) -> Result<(), StoreError> {
        let mut roots = state.closed_for.clone();
        roots.retain(|root| stays(root));
        let mut fills = state.fills.clone();
        fills.retain(|fill| roots.contains(&fill.root));
        if roots.is_empty() {
            self.store.open_gate()?;
        } else {
            self.write(&roots, &fills)?;
        }
        state.closed_for = roots;
        state.fills = fills;
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // State is changed only after the file was: a panic in between leaves it behind the file,
        // on the closed side.
        match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::{FileIdentity, WipeMethod};
    use crate::decide::steps::Evidence;
    use crate::mesos::ids::VolumeKey;

    #[test]
    fn what_is_owed_stands_in_the_file_until_its_root_is_done() {
        let temp = tempfile::tempdir().unwrap();
        let store = || Store::open(temp.path()).unwrap();
        let root = Raw::from("/a");
        let fill = OwedFill {
            root: root.clone(),
            directory: FileIdentity {
                filesystem: "uuid".to_owned(),
                handle: "1:2".to_owned(),
            },
            volume: VolumeKey::named("role/id").unwrap(),
            evidence: Evidence::OwnDestroy,
            method: WipeMethod::UNLINK,
        };
        let gate = Gate::new(store(), [], Vec::new());
        assert!(!gate.close_owing(&root, Some(fill)).unwrap());
        let text = std::fs::read(temp.path().join("gate.json")).unwrap();
        let written = Known::Known(serde_json::from_slice(&text).unwrap());
        // After a crash; another root comes and goes meanwhile.
        let gate = Gate::found(store(), &written);
        let other = Raw::from("/b");
        gate.close(&other).unwrap();
        gate.done(&other, true).unwrap();
        assert!(gate.owes(&root) && !gate.owes(&other));
        gate.done(&root, false).unwrap();
        assert!(gate.owes(&root));
        // Somebody wants it no more.
        assert!(gate.close_owing(&root, None).unwrap());
        assert!(!gate.owes(&root));
    }

    #[test]
    fn the_gate_opens_after_the_last_root_and_never_under_a_job() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        let file = temp.path().join("gate.json");
        let (a, b) = (Raw::from("/a"), Raw::from("/b"));
        let gate = Gate::new(store, [Raw::from("/left/by/a/crash")], Vec::new());
        gate.close(&a).unwrap();
        gate.close(&b).unwrap();
        gate.done(&a, true).unwrap();
        gate.open().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.contains("/b") && !text.contains("/a\"") && !text.contains("crash"),
            "{text}"
        );
        gate.done(&b, false).unwrap();
        assert!(
            std::fs::metadata(&file).is_ok(),
            "a half-emptied disk keeps it closed"
        );
        gate.open().unwrap();
        assert!(std::fs::metadata(&file).is_err());
    }
}
