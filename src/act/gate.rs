//! The gate's file, shared by all jobs of this process.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::store::{Store, StoreError};
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
    /// Roots that a job of this process is emptying right now.
    busy: BTreeSet<Raw>,
}

impl Gate {
    /// The gate as it was found: a crash may have left it closed.
    #[must_use]
    pub fn new(store: Store, closed_for: impl IntoIterator<Item = Raw>) -> Self {
        let state = State {
            closed_for: closed_for.into_iter().collect(),
            busy: BTreeSet::new(),
        };
        Self {
            store,
            state: Mutex::new(state),
        }
    }

    /// Closes the gate for this root too; whether it was closed for it before, by a wipe that did
    /// not end.
    pub fn close(&self, root: &Raw) -> Result<bool, StoreError> {
        let mut state = self.state();
        let mut roots = state.closed_for.clone();
        let before = !roots.insert(root.clone());
        self.store
            .close_gate(&roots.iter().cloned().collect::<Vec<_>>())?;
        state.closed_for = roots;
        state.busy.insert(root.clone());
        Ok(before)
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
        let roots: Vec<Raw> = state
            .closed_for
            .iter()
            .filter(|root| stays(root))
            .cloned()
            .collect();
        if roots.is_empty() {
            self.store.open_gate()?;
        } else {
            self.store.close_gate(&roots)?;
        }
        state.closed_for = roots.into_iter().collect();
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

    #[test]
    fn the_gate_opens_after_the_last_root_and_never_under_a_job() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        let file = temp.path().join("gate.json");
        let (a, b) = (Raw::from("/a"), Raw::from("/b"));
        let gate = Gate::new(store, [Raw::from("/left/by/a/crash")]);
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
