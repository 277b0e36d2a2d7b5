//! What lies in a volume's place is given back to Mesos only where it is all of the volume's data, and nobody
//! else's matter.

use mesos_volumed::decide::facts::{
    CheckpointFile, Facts, FileKind, Known, OperationKind, OperationState, Why,
};
use mesos_volumed::decide::give_back::{lies_on, may_give_back};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::mesos::disk::DiskRef;

use super::builder::{DAY, World, a_volume, healthy, key, mount, path, unknown};

/// `db/o` is an orphan on PATH, and adopted.
fn adopted() -> Facts {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    facts.later(DAY);
    facts.mark(&path(), &key("db/o"), None);
    facts.later(60);
    facts
}

fn refused(facts: &Facts, disk: &DiskRef) -> Vec<Refusal> {
    let why = may_give_back(facts, &key("db/o"), disk).err();
    let why = why.into_iter().flatten();
    why.map(|reason| reason.code).collect()
}

/// What stands in the way, and its code.
type Case = (&'static str, fn(&mut Facts), Refusal);

fn hindrances() -> Vec<Case> {
    vec![
        (
            "the agent holds it",
            |f| f.create(&path(), &key("db/o")),
            Refusal::Held,
        ),
        (
            "a CREATE is pending",
            |f| {
                let volume = a_volume(&path(), &key("db/o"));
                f.operate(OperationKind::Create, OperationState::Pending, 30, volume);
            },
            Refusal::PendingOperation,
        ),
        (
            "a change is in flight",
            |f| {
                let now = f.checkpoint.state.clone();
                f.checkpoint.state_target = now;
            },
            Refusal::PendingOperation,
        ),
        (
            "the checkpoint can't be read",
            |f| f.checkpoint.state = CheckpointFile::Damaged(Why("torn".to_owned())),
            Refusal::AuthorityUnknown,
        ),
        (
            "its directory went",
            |f| f.rmdir(&path(), &key("db/o")),
            Refusal::NotAVolumePath,
        ),
        (
            "a file lies there",
            |f| {
                let mut dirs = f.disk(&path()).dirs.known().unwrap().clone();
                dirs[0].kind = FileKind::File;
                f.disk(&path()).dirs = Known::Known(dirs);
            },
            Refusal::NotAVolumePath,
        ),
        (
            "its directory can't be told from another",
            |f| {
                let mut dirs = f.disk(&path()).dirs.known().unwrap().clone();
                dirs[0].identity = unknown();
                f.disk(&path()).dirs = Known::Known(dirs);
            },
            Refusal::NoIdentity,
        ),
        (
            "another disk is mounted there",
            |f| {
                if let Known::Known(print) = &mut f.disk(&path()).filesystem.ledger {
                    print.filesystem = "another".to_owned();
                }
            },
            Refusal::FingerprintMismatch,
        ),
        (
            "a destroy of ours is not confirmed",
            |f| {
                let entry = f.trash(&path(), &key("db/o"), TrashState::Moved);
                if let Known::Known(manifest) = &mut entry.manifest {
                    manifest.unconfirmed = true;
                }
            },
            Refusal::Unconfirmed,
        ),
        (
            "its restore is not over",
            |f| {
                let id = f
                    .trash(&path(), &key("db/o"), TrashState::Cleared)
                    .id
                    .clone();
                f.mark(&path(), &key("db/o"), Some(id));
            },
            Refusal::Contested,
        ),
    ]
}

#[test]
fn what_is_held_in_flight_in_doubt_or_not_all_there_is_not_given_back() {
    let facts = adopted();
    let lying = may_give_back(&facts, &key("db/o"), &path()).unwrap();
    assert_eq!(lying.path, path().root.join("volumes/roles/db/o"));
    for (what, change, code) in hindrances() {
        let mut changed = facts.clone();
        change(&mut changed);
        let codes = refused(&changed, &path());
        assert!(codes.contains(&code), "{what}: {codes:?}");
    }
    let elsewhere = DiskRef {
        root: "/no/disk/of/ours".into(),
        ..path()
    };
    assert_eq!(refused(&facts, &elsewhere), [Refusal::ForeignRoot]);
}

#[test]
fn data_of_an_earlier_volume_of_that_name_in_the_trash_is_no_obstacle() {
    let mut facts = adopted();
    facts.trash(&path(), &key("db/o"), TrashState::Cleared);
    may_give_back(&facts, &key("db/o"), &path()).unwrap();
}

#[test]
fn a_lost_checkpoint_is_when_it_is_wanted_most() {
    let mut facts = adopted();
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Missing;
    may_give_back(&facts, &key("db/o"), &path()).unwrap();
}

#[test]
fn a_mount_is_given_back_where_its_root_is_named_and_nobody_holds_it() {
    let mut facts = healthy();
    facts.pass();
    facts.later(60);
    assert!(lies_on(&facts, &key("db/o"), None).is_empty());
    assert_eq!(
        lies_on(&facts, &key("db/o"), Some(&mount().root)),
        [&mount()]
    );
    let lying = may_give_back(&facts, &key("db/o"), &mount()).unwrap();
    assert_eq!(lying.path, mount().root);
    facts.disk(&mount()).content = unknown();
    assert_eq!(refused(&facts, &mount()), [Refusal::NotMounted]);
    let mut held = adopted();
    held.create(&mount(), &key("db/other"));
    assert!(refused(&held, &mount()).contains(&Refusal::Held));
}
