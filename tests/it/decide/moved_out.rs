//! What is moved out of a prepared MOUNT disk, and what leaves a trash early: each thing that the check
//! asks, broken alone.

#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, FreeBelow, HolderKind, Known, MountContent};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::memory::{Gone, VolumeRecord};
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::{Evidence, Kept, TrashId};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::units::{Bytes, Span};

use super::barrier::{free, ours};
use super::builder::{BOOT, DAY, World, fingerprint, identity, key, mount, path, root, uuid};
use super::lies::{entry_of, manifest, refused};
use super::own::changed;
use super::places::bind;
use super::prepared::{destroyed, entry, half};
use super::second_reading::{forged, spoilt};
use super::story::{codes, plan_of, steps};
use super::undelete::{GIB, emptied, heap, wiped};

fn fresh() -> (Facts, Plan) {
    let facts = destroyed();
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["move_out"]);
    (facts, good)
}

fn going_on() -> (Facts, Plan) {
    let facts = half();
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["move_out"]);
    (facts, good)
}

fn told(plan: &mut Plan) -> &mut Manifest {
    &mut entry_of(plan).manifest
}

#[test]
fn what_is_moved_out_is_described_by_its_manifest() {
    for (facts, good) in [fresh(), going_on()] {
        forged(
            &good,
            &facts,
            "is no MOUNT disk, or another one",
            &[
                |plan| entry_of(plan).disk = path(),
                |plan| told(plan).disk.root = "/dcos/volume9".into(),
            ],
        );
        forged(
            &good,
            &facts,
            "the manifest of",
            &[
                |plan| told(plan).version += 1,
                |plan| told(plan).state = TrashState::Moved,
                |plan| told(plan).volume = key("db/other"),
                |plan| told(plan).evidence = Evidence::Operator,
                |plan| told(plan).unconfirmed = true,
                |plan| told(plan).path = "volumes".into(),
                |plan| told(plan).emptied = Some(identity("other", 1)),
            ],
        );
        forged(
            &good,
            &facts,
            "is no plain name",
            &[|plan| told(plan).id = TrashId("..".to_owned())],
        );
        forged(
            &good,
            &facts,
            "another file system than planned",
            &[|plan| entry_of(plan).root = fingerprint("other")],
        );
    }
    let (facts, good) = fresh();
    forged(
        &good,
        &facts,
        "the manifest does not describe the step",
        &[
            |plan| told(plan).identity = identity("other", 1),
            |plan| told(plan).work_dir = "/elsewhere".into(),
            |plan| told(plan).lived_at = Span::ZERO,
            |plan| told(plan).machine_id = "another".into(),
        ],
    );
}

#[test]
fn a_mark_of_its_volume_or_of_its_entry_keeps_what_would_be_moved_out() {
    for (facts, good) in [fresh(), going_on()] {
        spoilt(
            &good,
            &facts,
            &[("db/m was adopted on", |facts| {
                facts.mark(&mount(), &key("db/m"), None)
            })],
        );
        let id = entry_of(&mut good.clone()).manifest.id.clone();
        let mut restoring = facts.clone();
        restoring.mark(&mount(), &key("db/other"), Some(id));
        let why = refused(good.clone(), &restoring, "a restore");
        assert!(why.contains("db/other was adopted on"), "{why}");
        // A mark of something else keeps something else.
        let mut other = facts.clone();
        other.mark(&mount(), &key("db/other"), None);
        check(good, &other).unwrap();
    }
}

#[test]
fn an_entry_is_made_beside_others_and_never_over_one() {
    let mut facts = destroyed();
    let old = entry(&mut facts, TrashState::Cleared);
    if let Known::Known(manifest) = &mut old.manifest {
        manifest.volume = key("db/old");
        manifest.evidence = Evidence::Operator;
        manifest.retention = Span::seconds(7 * DAY);
    }
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["move_out"]);
    let id = entry_of(&mut good.clone()).manifest.id.clone();
    if let Known::Known(entries) = &mut facts.disk(&mount()).trash {
        entries[0].id = id;
    }
    let why = refused(good, &facts, "the same name");
    assert!(why.contains("there is an entry"), "{why}");
}

#[test]
fn what_is_left_on_the_disk_is_moved_after_the_rest_of_the_same_volume_alone() {
    let (facts, good) = going_on();
    let nobody_knows = "nobody knows whose the data";
    spoilt(
        &good,
        &facts,
        &[
            (nobody_knows, |facts| {
                of(facts, "db/m").places[0].disk = path()
            }),
            (nobody_knows, |facts| {
                of(facts, "db/m").places[0].filesystem = Some("other".into())
            }),
            (nobody_knows, |facts| {
                facts
                    .memory()
                    .volumes
                    .retain(|record| record.key != key("db/m"))
            }),
        ],
    );
}

fn of<'a>(facts: &'a mut Facts, name: &str) -> &'a mut VolumeRecord {
    let mut records = facts.memory().volumes.iter_mut();
    records.find(|record| record.key == key(name)).unwrap()
}

/// Another volume that was on the disk, and was destroyed.
fn earlier(facts: &mut Facts, named_at: Span) -> VolumeRecord {
    let mut record = of(facts, "db/m").clone();
    record.key = key("db/old");
    record.named_at = named_at;
    record.gone = Some(Gone {
        since: named_at,
        since_boot: Span::ZERO,
        boot_id: BOOT.to_owned(),
        evidence: Some(Evidence::DestroyOperation(uuid(3))),
    });
    record
}

#[test]
fn data_goes_on_beside_what_was_there_before_it_and_not_beside_what_came_since() {
    let (mut facts, good) = going_on();
    let at = manifest(&mut facts, &mount()).lived_at;
    for (since, goes_on) in [(0, true), (1, false)] {
        let record = earlier(&mut facts, at.plus(Span::seconds(since)));
        let mut lied = good.clone();
        lied.memory.volumes.push(record.clone());
        let answer = check(lied, &facts);
        assert_eq!(answer.is_ok(), goes_on, "{answer:?}");
        let mut both = facts.clone();
        both.memory().volumes.push(record);
        let made = plan_of(&both);
        assert_eq!(steps(&made) == ["move_out"], goes_on, "{made:#?}");
        let contested = codes(&made, "db/m").contains(&Refusal::Contested);
        assert_eq!(contested, !goes_on, "{made:#?}");
    }
}

#[test]
fn data_of_a_disk_that_held_what_nobody_destroyed_is_not_moved_out() {
    let (mut facts, good) = fresh();
    let record = earlier(&mut facts, Span::ZERO);
    for destroyed in [true, false] {
        let mut lied = good.clone();
        lied.memory.volumes.push(VolumeRecord {
            gone: record.gone.clone().filter(|_| destroyed),
            ..record.clone()
        });
        match (check(lied, &facts), destroyed) {
            (Ok(_), true) => {}
            (Err(rejected), false) => {
                assert!(rejected.why.contains("held db/old"), "{rejected}");
            }
            other => panic!("{other:?}"),
        }
    }
}

// What leaves a trash early.

/// The plan that this budget makes, and what the check says of it where that is the budget.
fn early(facts: &Facts, planned: u64, now: u64) -> Option<String> {
    let with = |most: u64| {
        let mut facts = facts.clone();
        facts.policy.trash.max_bytes = Some(Bytes(most * GIB));
        facts
    };
    let made = plan_of(&with(planned));
    assert!(!made.steps.is_empty());
    check(made, &with(now)).err().map(|rejected| rejected.why)
}

#[test]
fn no_more_goes_early_than_is_needed_counted_with_what_goes_before_it() {
    let facts = heap(&[Some(GIB), Some(GIB), Some(GIB)]);
    assert_eq!(early(&facts, 1, 1), None);
    let why = early(&facts, 1, 2).unwrap();
    assert!(why.contains("is to stay"), "{why}");
    // What is being wiped is as good as gone.
    let mut begun = facts.clone();
    if let Known::Known(entries) = &mut begun.disk(&root()).trash
        && let Known::Known(manifest) = &mut entries[2].manifest
    {
        manifest.state = TrashState::Wiping;
    }
    assert_eq!(early(&begun, 1, 1), None);
    assert!(early(&begun, 1, 2).is_some());
}

#[test]
fn what_two_roots_show_counts_once_and_a_disk_that_is_short_counts_for_itself() {
    let mut facts = heap(&[Some(GIB), Some(GIB)]);
    facts.pass();
    bind(&mut facts, &root(), "", DiskType::Path);
    assert_eq!(facts.roots[0].trash, facts.roots[3].trash);
    let why = early(&facts, 1, 3).unwrap();
    assert!(why.contains("is to stay"), "{why}");
    // Space is short on another disk.
    let mut short = heap(&[Some(GIB), Some(GIB)]);
    short.policy.trash.free_below = Some(FreeBelow::Bytes(61 * GIB));
    assert_eq!(wiped(&short), ["db/t0"]);
    let made = plan_of(&short);
    if let Known::Known(mount) = &mut short.disk(&root()).mount {
        mount.free_bytes = 61 << 30;
    }
    assert!(!steps(&plan_of(&short)).contains(&"wipe".to_owned()));
    let why = refused(made, &short, "elsewhere");
    assert!(why.contains("is to stay"), "{why}");
}

#[test]
fn an_empty_disk_has_nothing_that_could_be_moved_out() {
    let (mut facts, good) = fresh();
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    let why = refused(good, &facts, "nothing");
    assert!(why.contains("holds nothing to move"), "{why}");
}

#[test]
fn what_goes_in_any_case_counts_before_anything_goes_early() {
    // The youngest is over its time, and that is enough.
    let mut facts = heap(&[Some(GIB), Some(GIB), Some(GIB)]);
    facts.policy.trash.max_bytes = Some(Bytes(2 * GIB));
    if let Known::Known(entries) = &mut facts.disk(&root()).trash
        && let Known::Known(manifest) = &mut entries[2].manifest
    {
        manifest.retention = Span::ZERO;
    }
    assert_eq!(wiped(&facts), ["db/t2"]);
    // What two roots show, or what has no data, takes up no more.
    let mut facts = heap(&[Some(GIB), Some(GIB)]);
    facts.pass();
    facts.policy.trash.max_bytes = Some(Bytes(2 * GIB));
    bind(&mut facts, &root(), "", DiskType::Path);
    assert_eq!(wiped(&facts), [""; 0]);
    let mut facts = heap(&[Some(GIB), Some(GIB)]);
    facts.policy.trash.max_bytes = Some(Bytes(GIB));
    if let Known::Known(entries) = &mut facts.disk(&root()).trash {
        entries[1].data = Known::Absent;
    }
    assert_eq!(wiped(&facts), [""; 0]);
}

#[test]
fn an_entry_that_may_not_be_wiped_is_passed_over_whatever_keeps_it() {
    let mut facts = heap(&[Some(GIB), Some(GIB), Some(GIB)]);
    facts.policy.trash.max_bytes = Some(Bytes(2 * GIB));
    assert_eq!(wiped(&facts), ["db/t0"]);
    let cases: [fn(&mut Facts); 5] = [
        |facts| manifest(facts, &root()).unconfirmed = true,
        |facts| manifest(facts, &root()).machine_id = "another".into(),
        |facts| {
            let id = manifest(facts, &root()).id.clone();
            facts.mark(&root(), &key("db/t0"), Some(id));
            facts.mkdir(&root(), &key("db/t0"));
        },
        |facts| facts.create(&root(), &key("db/t0")),
        |facts| {
            let id = manifest(facts, &root()).id.clone();
            let at = format!("volumes/.mesos-volumed/trash/{id}/data");
            facts.hold(&root(), &at, HolderKind::OpenFile);
        },
    ];
    for change in cases {
        let mut facts = facts.clone();
        change(&mut facts);
        assert_eq!(wiped(&facts), ["db/t1"]);
    }
}

#[test]
fn what_is_in_doubt_is_not_told_as_due_because_space_is_short() {
    let mut facts = heap(&[Some(GIB), Some(GIB)]);
    facts.policy.trash.max_bytes = Some(Bytes(GIB));
    facts.providers = super::builder::unknown();
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert!(!made.blocked(), "{:#?}", made.kept);
}

#[test]
fn a_disk_that_data_goes_back_to_is_not_told_as_one_to_give_back() {
    let (facts, id) = emptied();
    let facts = changed(&facts, |facts| {
        facts.mark(&mount(), &key("db/m"), Some(id));
        let reserved = ours(&free());
        facts.state().resources.push(reserved);
    });
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["restore"]);
    let on_disk = |kept: &&Kept| kept.disk == mount() && kept.volume.is_none();
    assert_eq!(made.kept.iter().find(on_disk), None);
}
