//! Files with several names: their data goes with the last of them, which may lie outside.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::proof::{Account, ShortOf};
use crate::units::Raw;

/// So many are remembered; of more, each stays reported.
const REMEMBERED: usize = 4096;

/// Inodes of which a name was unlinked while they had others.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: Mutex<BTreeMap<u64, Raw>>,
}

impl Links {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Raw>> {
        // Each change is one insert or remove.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name goes, and the file has others: reported, once a file.
    pub(super) fn one_of_several(&self, inode: u64, account: &Account, path: &dyn Fn() -> Raw) {
        let mut known = self.known();
        if known.contains_key(&inode) {
            return;
        }
        account.short(ShortOf::HardLink, Some(path));
        if known.len() < REMEMBERED {
            known.insert(inode, path());
        }
    }

    /// The last name goes: all of them lay in the volume.
    pub(super) fn last(&self, inode: u64, account: &Account) {
        if let Some(first) = self.known().remove(&inode) {
            account.made_up(ShortOf::HardLink, &first);
        }
    }
}
