//! What a disk that is given back between the look and the write does to the write.

#![expect(clippy::disallowed_methods, reason = "tests look at their own files")]

use super::*;
use crate::decide::advertise::Advertised;
use crate::decide::ledger::LedgerRoot;
use crate::mesos::disk::SourceExtras;
use crate::mesos::ids::Role;
use crate::units::Megabytes;

fn disk() -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: Raw::from("/mnt/data"),
    }
}

/// One disk to write into `file`; whether the ledger had it when that was decided.
fn proposal(file: &Path, known: bool) -> Proposal {
    let root = DiskEntry {
        disk: DiskRef {
            kind: DiskType::Root,
            root: Raw::from("/var/lib/mesos/slave"),
        },
        size: Megabytes::default(),
        role: Role::new("*"),
        extras: SourceExtras::default(),
        known: false,
    };
    let merged = merge(
        &[root],
        &Foreign::parse("cpus:1").unwrap(),
        &[],
        &|_, _| false,
        &Role::new("*"),
    )
    .unwrap();
    let offered = Advertised {
        disk: disk(),
        role: Role::new("*"),
        number: Megabytes::default(),
        because: String::new(),
        extras: SourceExtras::default(),
        known: false,
        adopted: None,
        on: None,
    };
    Proposal {
        advertisement: Advertisement {
            disks: vec![offered],
            ..Advertisement::default()
        },
        kept: Vec::new(),
        replaced: Vec::new(),
        text: merged.text,
        known: known.then(disk).into_iter().collect(),
        files: vec![Planned {
            path: file.to_owned(),
            before: None,
            content: "cpus:1".to_owned(),
        }],
    }
}

#[test]
fn a_disk_that_was_given_back_after_the_look_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let file = folder.path().join("resources");
    let with_disk = |ledger: Ledger| Ledger {
        roots: vec![LedgerRoot::new(disk(), 5)],
        ..ledger
    };

    // `disk release` took it out of the ledger meanwhile.
    let ledger = store.update_ledger(|ledger| ledger).unwrap();
    let refused = proposal(&file, true).write(&store, 7).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "PATH:/mnt/data was given back meanwhile (`disk release`); nothing was written"
    );
    assert!(std::fs::symlink_metadata(&file).is_err());
    assert_eq!(store.update_ledger(|ledger| ledger).unwrap(), ledger);

    // It is there still, or was never there: a disk that comes is no disk that went.
    for known in [true, false] {
        let ledger = if known {
            store.update_ledger(with_disk).unwrap()
        } else {
            store.update_ledger(|_| Ledger::default()).unwrap()
        };
        assert_eq!(ledger.roots.len(), usize::from(known));
        proposal(&file, known).write(&store, 7).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "cpus:1");
        let roots = store.update_ledger(|ledger| ledger).unwrap().roots;
        assert_eq!(roots.len(), 1);
        std::fs::remove_file(&file).unwrap();
    }
}
