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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::WipeMethod;

    fn short(account: &Account) -> Vec<(u64, Vec<Raw>)> {
        let short = account.proof(WipeMethod::UNLINK).short.into_iter();
        short.map(|one| (one.count, one.paths)).collect()
    }

    #[test]
    fn a_file_is_reported_once_and_no_more_once_its_last_name_was_met() {
        let (links, account) = (Links::default(), Account::default());
        for (inode, path) in [(7, "a"), (7, "b"), (8, "other")] {
            links.one_of_several(inode, &account, &|| path.into());
        }
        assert_eq!(short(&account), [(2, vec!["a".into(), "other".into()])]);
        links.last(7, &account);
        assert_eq!(short(&account), [(1, vec!["other".into()])]);
        links.last(9, &account);
        assert_eq!(short(&account), [(1, vec!["other".into()])]);
    }

    #[test]
    fn of_more_files_than_are_remembered_each_stays_reported() {
        let (links, account) = (Links::default(), Account::default());
        let many = 10_000;
        for inode in 0..many {
            links.one_of_several(inode, &account, &|| "f".into());
        }
        assert_eq!(links.known().len(), REMEMBERED);
        for inode in 0..many {
            links.last(inode, &account);
        }
        assert_eq!(short(&account)[0].0, 10_000 - 4096);
    }
}
