//! What lies in a volume's place is given back to Mesos only where it is all of the volume's data, and nobody
//! else's matter.

use mesos_volumed::decide::facts::{
    CheckpointFile, Facts, FileKind, Known, OperationKind, OperationState, Why,
};
use mesos_volumed::decide::give_back::{GiveBack, Wanted, give_back, lies_on, may_give_back};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::mesos::disk::{DiskRef, SourceExtras};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::operator::{Change, reserved, reserved_part, whole};
use mesos_volumed::mesos::resource::{ReservationType, Resource};
use mesos_volumed::units::Megabytes;

use super::builder::{DAY, World, a_volume, healthy, key, mount, path, root, unknown};
use super::prepared;

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

#[test]
fn a_disk_is_found_by_the_volumes_directory_and_a_mount_by_its_name() {
    let facts = adopted();
    let on = |name: &str, root: Option<&DiskRef>| {
        let named = root.map(|disk| &disk.root);
        let found = lies_on(&facts, &key(name), named);
        found.into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(on("db/o", None), [path()]);
    assert_eq!(on("db/o", Some(&path())), [path()]);
    assert_eq!(on("db/o", Some(&root())), []);
    assert_eq!(on("db/o", Some(&mount())), [mount()]);
    assert_eq!(on("db/other", Some(&path())), []);
}

#[test]
fn what_another_volume_or_an_empty_entry_waits_for_is_no_obstacle() {
    for empty in [false, true] {
        let mut facts = adopted();
        let of = if empty { "db/o" } else { "db/other" };
        let entry = facts.trash(&path(), &key(of), TrashState::Moved);
        if let Known::Known(manifest) = &mut entry.manifest {
            manifest.unconfirmed = true;
        }
        if empty {
            entry.data = Known::Absent;
        }
        may_give_back(&facts, &key("db/o"), &path()).unwrap();
    }
}

#[test]
fn a_mount_of_which_an_entry_has_a_part_is_not_given_back() {
    let facts = prepared::half();
    let why = may_give_back(&facts, &key("db/m"), &mount()).unwrap_err();
    assert!(
        why.iter().any(|reason| reason.code == Refusal::Contested),
        "{why:?}"
    );
}

// The calls.

/// What the running agent offers of a disk.
fn offering(disk: &DiskRef, size: u64) -> Resource {
    whole(disk, &SourceExtras::default(), Megabytes::whole(size))
}

fn offers(facts: &mut Facts, all: Vec<Resource>) {
    match &mut facts.answer {
        mesos_volumed::decide::facts::AgentAnswer::State(state) => state.resources.extend(all),
        other => panic!("{other:?}"),
    }
}

fn calls(facts: &Facts, disk: &DiskRef, size: Option<u64>) -> GiveBack {
    let wanted = Wanted {
        size: size.map(Megabytes::whole),
        principal: Some("ops".into()),
    };
    give_back(
        facts,
        facts.memory.known().unwrap(),
        &key("db/o"),
        disk,
        &wanted,
    )
    .unwrap()
}

/// The sizes of what the calls reserve and create.
fn sizes(made: &GiveBack) -> Vec<(&'static str, Megabytes)> {
    let of = |all: &Vec<Resource>| {
        assert_eq!(all.len(), 1);
        all[0].megabytes().unwrap()
    };
    made.calls
        .iter()
        .map(|call| match call {
            Change::Reserve(all) => ("reserve", of(all)),
            Change::Create(all) => ("create", of(all)),
            other => panic!("{other:?}"),
        })
        .collect()
}

const UNSAID: &str = "did not say how it offers this disk";

fn says(made: &GiveBack, what: &str) -> bool {
    made.notes.iter().any(|note| note.contains(what))
}

#[test]
fn the_calls_reserve_and_create_of_what_the_agent_offers() {
    let mut facts = adopted();
    let mut offered = offering(&path(), 1000);
    offered.source.as_mut().unwrap().vendor = Some("acme".into());
    // None of these is what it offers of that disk.
    let reserved_by_somebody =
        reserved(&offering(&path(), 1), &Role::new("web"), None, Vec::new()).unwrap();
    let of_a_provider = Resource {
        provider_id: Some("csi".into()),
        ..offering(&path(), 2)
    };
    let mut no_disk = offering(&path(), 3);
    no_disk.name = "cpus".into();
    offers(
        &mut facts,
        vec![
            a_volume(&path(), &key("db/x")),
            reserved_by_somebody,
            of_a_provider,
            no_disk,
            offering(&root(), 4),
            offered.clone(),
        ],
    );
    let made = calls(&facts, &path(), Some(512));
    let size = Megabytes::whole(512);
    assert_eq!(sizes(&made), [("reserve", size), ("create", size)]);
    let part = reserved_part(&offered, size);
    let wanted = reserved(&part, &Role::new("db"), Some("ops".into()), Vec::new()).unwrap();
    assert_eq!(made.calls[0], Change::Reserve(vec![wanted]));
    assert!(!says(&made, UNSAID), "{:?}", made.notes);
    // An agent that does not answer does not say.
    facts.stop_agent();
    let made = calls(&facts, &path(), Some(512));
    assert_eq!(sizes(&made), [("reserve", size), ("create", size)]);
    assert!(says(&made, UNSAID), "{:?}", made.notes);
}

#[test]
fn what_the_flags_reserve_for_its_role_needs_no_reservation() {
    let by = |kind: ReservationType, role: &str| {
        let mut facts = adopted();
        let mut offered =
            reserved(&offering(&path(), 1000), &Role::new(role), None, Vec::new()).unwrap();
        offered.reservations[0].kind = kind;
        offers(&mut facts, vec![offered]);
        facts
    };
    let made = calls(&by(ReservationType::Static, "db"), &path(), Some(9));
    assert_eq!(sizes(&made), [("create", Megabytes::whole(9))]);
    // Another role's can't be had.
    let facts = by(ReservationType::Static, "web");
    let memory = facts.memory.known().unwrap();
    let wanted = Wanted {
        size: Some(Megabytes::whole(9)),
        principal: None,
    };
    give_back(&facts, memory, &key("db/o"), &path(), &wanted).unwrap_err();
}

#[test]
fn a_mount_is_given_back_to_the_last_decimal_and_others_as_large_as_they_were() {
    let mut facts = adopted();
    // The operator's number, where nobody else says one.
    let made = calls(&facts, &mount(), Some(7));
    assert_eq!(sizes(&made)[0], ("reserve", Megabytes::whole(7)));
    assert!(says(&made, "can be offered to anybody"));
    facts.disk(&mount()).filesystem.advertised = Some(Megabytes::whole(500));
    let made = calls(&facts, &mount(), Some(7));
    assert_eq!(sizes(&made)[0], ("reserve", Megabytes::whole(500)));
    offers(&mut facts, vec![offering(&mount(), 512)]);
    let made = calls(&facts, &mount(), Some(7));
    assert_eq!(sizes(&made)[0], ("reserve", Megabytes::whole(512)));
    // A directory's is what is remembered of this very volume.
    facts.create(&path(), &key("db/o"));
    facts.create(&path(), &key("db/another"));
    facts.pass();
    for record in &mut facts.memory().volumes {
        if record.key == key("db/another") {
            record.size = Some(Megabytes::whole(1));
        }
    }
    let made = calls(&facts, &path(), None);
    assert_eq!(sizes(&made)[0], ("reserve", Megabytes::whole(512)));
    assert!(!says(&made, "can be offered to anybody"));
}
