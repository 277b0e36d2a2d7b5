//! What the check asks of a directory that is made and of the gate that is opened, each broken alone,
//! and what the planner leaves alone there.

#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, Known, MountContent, OwedFill, WipeMethod};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::memory::VolumePlaceRecord;
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::{Evidence, Step, VolumePlace};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::units::Megabytes;

use super::builder::{
    World, a_root, fingerprint, healthy, identity, key, mount, path, root, unknown,
};
use super::guards::destroyed;
use super::lies::refused;
use super::places::mount_destroyed;
use super::prepared;
use super::second_reading::{forged, passes, spoilt};
use super::story::{codes, plan_of, steps};

/// `db/new` came while we watched, and has no directory.
pub(super) fn came() -> (Facts, Plan) {
    let mut facts = healthy();
    facts.later(60);
    facts.create(&path(), &key("db/new"));
    facts.rmdir(&path(), &key("db/new"));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["create"]);
    (facts, good)
}

fn place(plan: &mut Plan) -> &mut VolumePlace {
    match &mut plan.steps[0] {
        Step::Create { place } => place,
        other => panic!("{other:?}"),
    }
}

fn remembered(plan: &mut Plan) -> &mut VolumePlaceRecord {
    let mut records = plan.memory.volumes.iter_mut();
    let record = records.find(|record| record.key == key("db/new")).unwrap();
    &mut record.places[0]
}

#[test]
fn a_directory_is_made_where_its_volume_is_held_and_never_was() {
    let (facts, good) = came();
    forged(
        &good,
        &facts,
        "is not the directory of db/new",
        &[
            |plan| place(plan).role_dir = "web".into(),
            |plan| place(plan).id_dir = "other".into(),
        ],
    );
    forged(
        &good,
        &facts,
        "was there before and is gone",
        &[
            |plan| remembered(plan).disk = root(),
            |plan| remembered(plan).watched = false,
            |plan| remembered(plan).directory = Some(identity("other", 1)),
        ],
    );
    forged(
        &good,
        &facts,
        "is not held on",
        &[|plan| {
            place(plan).disk = root();
            place(plan).root = fingerprint(&super::builder::filesystem(&root()));
        }],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("a change is in flight", |facts| {
                facts.checkpoint.state_target = facts.checkpoint.state.clone()
            }),
            ("a change is in flight", |facts| {
                facts.checkpoint.info_target = facts.checkpoint.info.clone()
            }),
            ("has a directory on", |facts| {
                facts.mkdir(&path(), &key("db/new"));
            }),
            ("the trash holds the data of db/new", |facts| {
                facts.trash(&root(), &key("db/new"), TrashState::Cleared);
            }),
        ],
    );
    // A root that this very plan takes on is verified by it; without that step it is not.
    let mut unverified = facts.clone();
    unverified.disk(&path()).filesystem.ledger = Known::Absent;
    let why = refused(good.clone(), &unverified, "unverified");
    assert!(why.contains("was never verified"), "{why}");
    // A word for the directory is none for another disk.
    let mut asked = facts;
    asked.words.recreate = Some(key("db/new"));
    check(good.clone(), &asked).unwrap();
    asked.disk(&path()).filesystem.ledger = Known::Known(fingerprint("other"));
    let why = refused(good, &asked, "another disk");
    assert!(why.contains("was never verified"), "{why}");
}

#[test]
fn no_directory_is_made_while_its_data_may_lie_in_an_entry_that_nobody_can_read() {
    let (mut facts, _) = came();
    facts
        .trash(&path(), &key("db/x"), TrashState::Moved)
        .manifest = unknown();
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{:?}", made.steps);
}

#[test]
fn a_root_that_cannot_be_looked_at_counts_against_the_size_of_a_disk_that_it_may_be_on() {
    let mut facts = destroyed();
    let full = |facts: &mut Facts, disk: &DiskRef, mb: u64| {
        facts.disk(disk).filesystem.advertised = Some(Megabytes::whole(mb));
    };
    // 100 GiB are there, and all of it is advertised.
    full(&mut facts, &root(), 102_400);
    let beside = DiskRef {
        kind: DiskType::Path,
        root: "/mnt/beside".into(),
    };
    facts.roots.push(a_root(&beside));
    full(&mut facts, &beside, 1);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    passes(
        &good,
        &facts,
        &[
            ("it is known to lie elsewhere", |facts| {
                facts.roots.last_mut().unwrap().mount = unknown()
            }),
            ("it is not there", |facts| {
                facts.roots.last_mut().unwrap().mount = Known::Absent
            }),
        ],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("was never verified", |facts| {
                let last = facts.roots.last_mut().unwrap();
                last.mount = unknown();
                last.filesystem.ledger = Known::Absent;
            }),
            ("was never verified", |facts| {
                let ours = facts.disk(&root()).filesystem.ledger.clone();
                let last = facts.roots.last_mut().unwrap();
                last.mount = unknown();
                last.filesystem.ledger = ours;
            }),
            ("was never verified", |facts| {
                let ours = facts.disk(&root()).mount.clone();
                facts.roots.last_mut().unwrap().mount = ours;
            }),
        ],
    );
}

// The gate.

/// All of `db/m` was moved out of its disk, and the second look at it is due.
fn moved() -> (Facts, Plan) {
    let mut facts = prepared::destroyed();
    prepared::entry(&mut facts, TrashState::Moved);
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["clear", "open_gate"]);
    (facts, good)
}

fn owes(facts: &mut Facts, at: &DiskRef, other_directory: bool) {
    let print = facts.disk(&mount()).filesystem.present.known().unwrap();
    let directory = if other_directory {
        identity("other", 2)
    } else {
        print.directory.clone()
    };
    facts.gate.fills = vec![OwedFill {
        root: at.root.clone(),
        directory,
        volume: key("db/m"),
        evidence: Evidence::OwnDestroy,
        method: WipeMethod::UNLINK,
    }];
}

#[test]
fn the_gate_stays_closed_for_what_is_owed_to_the_disk_that_is_there() {
    let (facts, good) = moved();
    passes(
        &good,
        &facts,
        &[
            ("owed to another disk", |facts| owes(facts, &mount(), true)),
            ("owed at another place", |facts| owes(facts, &path(), false)),
        ],
    );
    spoilt(
        &good,
        &facts,
        &[("may be half emptied", |facts| owes(facts, &mount(), false))],
    );
}

fn opening(facts: &Facts) -> Plan {
    let mut plan = plan_of(facts);
    plan.steps = vec![Step::OpenGate];
    plan
}

#[test]
fn the_gate_stays_closed_for_what_is_half_moved_even_when_nothing_is_left_on_the_disk() {
    let mut facts = prepared::half();
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    let why = refused(opening(&facts), &facts, "half moved");
    assert!(why.contains("is half moved into its trash"), "{why}");
    // Of a disk that it was not closed for nothing is waited for.
    facts.gate.closed_for = Known::Known(vec!["/dcos/volume9".into()]);
    check(opening(&facts), &facts).unwrap();
}

#[test]
fn a_gate_of_which_nothing_is_remembered_opens_over_empty_disks_alone() {
    let mut facts = mount_destroyed();
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    facts.memory = Known::Absent;
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["open_gate"]);
    spoilt(
        &good,
        &facts,
        &[
            ("a disk may be half emptied", |facts| {
                facts.disk(&mount()).content = Known::Known(MountContent::Data)
            }),
            ("nobody knows what the gate was closed for", |facts| {
                facts.gate.closed_for = Known::Absent
            }),
        ],
    );
    // Forgotten is forgotten; what can't be read may be mended, and may owe the disk something.
    owes(&mut facts, &mount(), false);
    check(good.clone(), &facts).unwrap();
    let mut unread = facts.clone();
    unread.memory = unknown();
    let mut lied = good;
    lied.memory_unknown = true;
    let why = refused(lied, &unread, "owed");
    assert_eq!(why, "a disk may be half emptied");
}

#[test]
fn an_empty_disk_beside_opens_no_gate_for_another() {
    let mut facts = mount_destroyed();
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    facts.policy.protect = vec!["**".to_owned()];
    let mut beside = a_root(&DiskRef {
        root: "/dcos/volume9".into(),
        ..mount()
    });
    beside.content = Known::Known(MountContent::Empty);
    facts.roots.push(beside);
    assert!(plan_of(&facts).is_idle());
}

// What is half moved, for the planner.

#[test]
fn what_lies_in_two_entries_is_for_people_to_tell_apart() {
    for same_volume in [true, false] {
        let mut facts = prepared::half();
        let Known::Known(entries) = &mut facts.disk(&mount()).trash else {
            panic!("no trash");
        };
        let mut second = entries[0].clone();
        second.id.0 = "1-abc-2".to_owned();
        let other = identity(&super::builder::filesystem(&mount()), 8888);
        second.data = Known::Known(other.clone());
        if let Known::Known(manifest) = &mut second.manifest {
            manifest.id = second.id.clone();
            manifest.identity = other;
            if same_volume {
                // One that was moved wholly, and one that was not.
                manifest.state = TrashState::Moved;
            } else {
                manifest.volume = key("db/n");
            }
        }
        entries.push(second);
        let made = plan_of(&facts);
        assert!(
            !steps(&made).contains(&"move_out".to_owned()),
            "{:?}",
            made.steps
        );
        assert!(codes(&made, "db/m").contains(&Refusal::Contested));
    }
}

#[test]
fn what_is_half_moved_goes_back_where_an_operator_wants_what_lies_on_the_disk() {
    let mut facts = prepared::half();
    facts.mark(&mount(), &key("db/m"), None);
    assert_eq!(steps(&plan_of(&facts)), ["put_back"]);
}

#[test]
fn a_disk_is_not_emptied_again_before_what_was_moved_out_of_it_was_looked_at() {
    let mut facts = prepared::destroyed();
    prepared::entry(&mut facts, TrashState::Moved);
    // The data that lies there came since.
    let made = plan_of(&facts);
    assert!(
        !steps(&made).contains(&"move_out".to_owned()),
        "{:?}",
        made.steps
    );
    // An entry that nothing was moved to is no obstacle.
    if let Known::Known(entries) = &mut facts.disk(&mount()).trash {
        entries[0].data = Known::Absent;
    }
    let made = plan_of(&facts);
    assert!(steps(&made).contains(&"move_out".to_owned()), "{made:#?}");
}
