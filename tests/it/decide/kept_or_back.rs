//! What the check asks of what an operator wants kept or back, each broken alone: it says which.

#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AdoptWord, AgentAnswer, DeviceNumber, Facts, FileKind, Known, OperationKind, OperationState,
    RootFacts, Who,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::{AdoptedMark, TrashState};
use mesos_volumed::decide::memory::VolumeRecord;
use mesos_volumed::decide::plan::{Plan, is_whole};
use mesos_volumed::decide::steps::{Evidence, Step, TrashId};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::units::Span;

use super::builder::{
    DAY, World, a_root, a_task, a_volume, filesystem, healthy, identity, key, mount, path, root,
    unknown,
};
use super::guards::orphaned;
use super::lies::{another_directory, changed, manifest, refused, retold};
use super::second_reading::{forged, mark, passes, spoilt};
use super::story::{codes, plan_of, settle, steps};
use super::undelete::{adopting, asked, destroyed, emptied, frame, orphan, prepared, quiet};

/// A restore is asked for; another volume of that root is marked already.
fn restoring() -> (Facts, Plan) {
    let (mut facts, id) = destroyed();
    facts.mark(&root(), &key("db/other"), None);
    let facts = asked(&facts, &id);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["restore"]);
    (facts, good)
}

#[test]
fn only_what_was_destroyed_for_good_and_is_whole_comes_back() {
    let (facts, good) = restoring();
    retold(
        &good,
        &facts,
        "nobody confirmed the destroy",
        &[|m| m.unconfirmed = true],
    );
    another_directory(&good, &facts, "is on another file system");
    spoilt(
        &good,
        &facts,
        &[
            ("db/a is named", |facts| {
                facts.tasks = Known::Known(vec![a_task(&key("db/a"))])
            }),
            ("the agent may still delete db/a", |facts| {
                facts.answer = AgentAnswer::NotConfigured
            }),
            ("a mark can't be read", |facts| {
                facts.disk(&root()).adopted = unknown()
            }),
            ("nobody asked for entry", |facts| facts.words.restore = None),
            ("nobody asked for entry", |facts| {
                facts.words.restore = Some(TrashId("1-another-0".to_owned()))
            }),
        ],
    );
    // An agent that is not there deletes nothing.
    let mut down = facts;
    down.stop_agent();
    check(good, &down).unwrap();
}

#[test]
fn a_mark_is_made_now_by_who_asked_and_replaces_none() {
    let (facts, good) = restoring();
    forged(
        &good,
        &facts,
        "is not of this pass",
        &[
            |plan| mark(plan).lived_at = Span::ZERO,
            |plan| {
                mark(plan).by = Some(Who {
                    via: "cli".to_owned(),
                    uid: 0,
                    pid: None,
                    login_uid: None,
                })
            },
            |plan| mark(plan).name = "1-abc-0".to_owned(),
        ],
    );
    forged(
        &good,
        &facts,
        "is no plain name",
        &[
            |plan| mark(plan).name = "..".to_owned(),
            |plan| mark(plan).name = "a/b".to_owned(),
        ],
    );
}

/// What the plan remembers of this volume.
fn remembered<'a>(plan: &'a mut Plan, name: &str) -> &'a mut VolumeRecord {
    let mut records = plan.memory.volumes.iter_mut();
    records.find(|record| record.key == key(name)).unwrap()
}

#[test]
fn a_restore_that_was_begun_is_over_when_the_agent_held_the_volume_since() {
    let (mut facts, id) = destroyed();
    facts.mark(&root(), &key("db/a"), Some(id));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["restore"]);
    let named = |after: u64, in_file: bool| {
        let mut plan = good.clone();
        let at = mark(&mut plan).lived_at;
        let record = remembered(&mut plan, "db/a");
        record.named_at = at.plus(Span::seconds(after));
        if !in_file {
            record.held_in_file = None;
        }
        plan
    };
    let why = refused(named(1, true), &facts, "held since");
    assert!(why.contains("was held since its mark"), "{why}");
    // What was named in the pass of the mark was named before it; a task's word is no file's.
    check(named(0, true), &facts).unwrap();
    check(named(1, false), &facts).unwrap();
}

#[test]
fn only_a_directory_that_nobody_names_is_adopted() {
    let asked = adopting(&orphan(), false);
    let good = plan_of(&asked);
    assert_eq!(steps(&good), ["adopt"]);
    spoilt(
        &good,
        &asked,
        &[
            ("db/o is named", |facts| {
                facts.tasks = Known::Known(vec![a_task(&key("db/o"))])
            }),
            ("another directory", |facts| {
                let Known::Known(dirs) = &mut facts.disk(&path()).dirs else {
                    panic!("no directories")
                };
                dirs[0].kind = FileKind::File;
            }),
            ("has no directory", |facts| {
                facts.rmdir(&path(), &key("db/o"))
            }),
            ("has no folder of ours there", |facts| {
                facts.disk(&path()).hidden = unknown()
            }),
        ],
    );
}

/// What lies on a prepared MOUNT disk is adopted by an operator who names the disk.
fn adopting_a_mount() -> (Facts, Plan) {
    let mut facts = prepared(healthy());
    facts.disk(&mount()).content = Known::Known(mesos_volumed::decide::facts::MountContent::Data);
    facts.words.adopt = Some(AdoptWord {
        volume: key("db/o"),
        root: Some(mount().root),
        undo: false,
    });
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["adopt"]);
    (facts, good)
}

#[test]
fn a_mount_is_adopted_by_name_of_its_disk_while_it_holds_nothing() {
    let (facts, good) = adopting_a_mount();
    spoilt(
        &good,
        &facts,
        &[
            ("nobody adopts db/o", |facts| {
                facts.words.adopt.as_mut().unwrap().root = None
            }),
            ("holds a volume", |facts| {
                let next = a_volume(&mount(), &key("db/next"));
                facts.state().resources.push(next);
            }),
            ("has no folder of ours there", |facts| {
                facts.disk(&mount()).hidden = Known::Absent
            }),
        ],
    );
    forged(
        &good,
        &facts,
        "another directory",
        &[|plan| mark(plan).identity = identity("other", 1)],
    );
    forged(
        &good,
        &facts,
        "has no folder of ours there",
        &[
            |plan| match &mut plan.steps[0] {
                Step::Adopt { at, .. } => at.hidden.as_mut().unwrap().path = "/elsewhere".into(),
                other => panic!("{other:?}"),
            },
            |plan| match &mut plan.steps[0] {
                Step::Adopt { at, .. } => at.hidden = None,
                other => panic!("{other:?}"),
            },
        ],
    );
}

#[test]
fn a_mark_ends_when_the_file_that_the_agent_believes_names_its_volume_and_nothing_is_pending() {
    let (facts, _) = settle(&adopting(&orphan(), false));
    let mut facts = quiet(facts);
    let volume = a_volume(&path(), &key("db/o"));
    facts.state().resources.push(volume);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["unadopt"]);
    spoilt(
        &good,
        &facts,
        &[
            ("db/o is still adopted", |facts| {
                let volume = a_volume(&path(), &key("db/o"));
                facts.operate(OperationKind::Destroy, OperationState::Pending, 9, volume);
            }),
            ("db/o is still adopted", |facts| facts.forget(&key("db/o"))),
            ("was not seen", |facts| {
                facts.disk(&path()).adopted = Known::Known(Vec::new())
            }),
        ],
    );
    // Also when that was a while ago: the next destroy is the agent's word.
    facts.later(60);
    let over = plan_of(&facts);
    facts.forget(&key("db/o"));
    check(over, &facts).unwrap();
}

/// Another PATH disk on a file system of its own, with marks that can't be read.
fn other() -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: "/mnt/other".into(),
    }
}

fn marked_here(facts: &mut Facts) {
    let Known::Known(dirs) = &facts.disk(&path()).dirs else {
        panic!("no directories")
    };
    let there = dirs[0].identity.known().unwrap().clone();
    facts.mark(&other(), &key("db/o"), None);
    match &mut facts.disk(&other()).adopted {
        Known::Known(marks) => marks[0].identity = there,
        unread => panic!("{unread:?}"),
    }
}

fn mounted_on(facts: &mut Facts, device: Option<DeviceNumber>) {
    let disk = facts.disk(&other());
    disk.filesystem.present = unknown();
    disk.adopted = unknown();
    match (device, &mut disk.mount) {
        (None, mount) => *mount = Known::Absent,
        (Some(device), Known::Known(mount)) => {
            mount.device = device;
            mount.location.device = device;
        }
        (Some(_), unmounted) => panic!("{unmounted:?}"),
    }
}

fn device(facts: &mut Facts) -> DeviceNumber {
    let found: &RootFacts = facts.disk(&path());
    found.mount.known().unwrap().location.device
}

#[test]
fn a_directory_that_a_mark_on_another_root_may_be_of_stays() {
    let mut facts = orphaned();
    facts.roots.push(a_root(&other()));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    passes(
        &good,
        &facts,
        &[
            ("on another file system", |facts| {
                facts.disk(&other()).adopted = unknown()
            }),
            ("not mounted", |facts| mounted_on(facts, None)),
            ("on another device", |facts| {
                mounted_on(facts, Some(DeviceNumber { major: 7, minor: 7 }))
            }),
            ("of another directory", |facts| {
                facts.mark(&other(), &key("db/o"), None)
            }),
        ],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("db/o was adopted on", marked_here),
            ("a mark on PATH:/mnt/other can't be read", |facts| {
                facts.disk(&other()).filesystem.present =
                    facts.disk(&path()).filesystem.present.clone();
                facts.disk(&other()).adopted = unknown();
            }),
            ("a mark on PATH:/mnt/other can't be read", |facts| {
                let device = device(facts);
                mounted_on(facts, Some(device));
            }),
            ("a mark on PATH:/mnt/other can't be read", |facts| {
                let disk = facts.disk(&other());
                disk.filesystem.present = unknown();
                disk.mount = unknown();
                disk.adopted = unknown();
            }),
        ],
    );
}

fn second_mount() -> DiskRef {
    DiskRef {
        root: "/dcos/volume1".into(),
        ..mount()
    }
}

#[test]
fn the_gate_opens_over_data_on_a_mount_that_a_mark_there_keeps() {
    let (facts, id) = emptied();
    let (facts, taken) = settle(&asked(&facts, &id));
    assert_eq!(taken, ["restore"]);
    let mut facts = quiet(facts);
    let mut beside = a_root(&second_mount());
    beside.hidden = facts.disk(&mount()).hidden.clone();
    facts.roots.push(beside);
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    // The memory has not let the volume go.
    let mut record = facts.memory().volumes[0].clone();
    record.key = key("db/m");
    record.named_at = Span::ZERO;
    record.places[0].disk = mount();
    record.places[0].filesystem = Some(filesystem(&mount()));
    facts.memory().volumes.push(record);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["open_gate"]);
    spoilt(
        &good,
        &facts,
        &[
            ("may be half emptied", |facts| {
                facts.disk(&mount()).hidden = unknown()
            }),
            ("may be half emptied", |facts| {
                facts.disk(&mount()).adopted = unknown()
            }),
            ("may be half emptied", |facts| {
                facts.disk(&mount()).adopted = Known::Absent
            }),
            ("may be half emptied", |facts| {
                match &mut facts.disk(&mount()).adopted {
                    Known::Known(marks) => marks[0].volume = key("db/other"),
                    unread => panic!("{unread:?}"),
                }
            }),
            ("may be half emptied", |facts| {
                let marks: Known<Vec<AdoptedMark>> = facts.disk(&mount()).adopted.clone();
                facts.disk(&mount()).adopted = Known::Known(Vec::new());
                facts.disk(&second_mount()).adopted = marks;
            }),
        ],
    );
}

#[test]
fn only_an_empty_frame_is_taken_away() {
    let facts = frame(true);
    let good = plan_of(&facts);
    spoilt(
        &good,
        &facts,
        &[
            ("is no empty frame", |facts| {
                match &mut facts.disk(&root()).trash {
                    Known::Known(entries) => entries[0].bare = false,
                    unread => panic!("{unread:?}"),
                }
            }),
            ("is no empty frame", |facts| {
                match &mut facts.disk(&root()).trash {
                    Known::Known(entries) => entries[0].manifest = unknown(),
                    unread => panic!("{unread:?}"),
                }
            }),
        ],
    );
    forged(
        &good,
        &facts,
        "no",
        &[|plan| match &mut plan.steps[0] {
            Step::Tidy { id, .. } => *id = TrashId("..".to_owned()),
            other => panic!("{other:?}"),
        }],
    );
}

/// An entry of this state on ROOT whose time is over, and what is to be done with it.
fn due(state: TrashState) -> (Facts, Plan) {
    let mut facts = healthy();
    facts.pass();
    facts.trash(&root(), &key("db/x"), state);
    facts.later(60);
    let good = plan_of(&facts);
    (facts, good)
}

#[test]
fn an_entry_is_of_the_layout_of_its_disk() {
    let (facts, good) = due(TrashState::Cleared);
    assert_eq!(steps(&good), ["wipe"]);
    retold(
        &good,
        &facts,
        "is of another layout or disk",
        &[|m| m.emptied = Some(identity("other", 1))],
    );
    // A folder of ROOT or PATH may have been mounted elsewhere then: it is known by its file system.
    let (facts, good) = changed(&facts, &good, |m| m.disk = path());
    check(good, &facts).unwrap();
}

#[test]
fn a_frame_of_a_destroy_that_nobody_confirmed_stays_once_its_data_was_moved() {
    let mut facts = healthy();
    facts.pass();
    facts.trash(&root(), &key("db/x"), TrashState::Moved);
    if let Known::Known(entries) = &mut facts.disk(&root()).trash {
        entries[0].data = Known::Absent;
    }
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["void"]);
    retold(
        &good,
        &facts,
        "nobody confirmed the destroy",
        &[|m| {
            m.unconfirmed = true;
            m.evidence = Evidence::OwnDestroy;
        }],
    );
    let (prepared, lied) = changed(&facts, &good, |m| {
        m.unconfirmed = true;
        m.state = TrashState::Prepared;
    });
    check(lied, &prepared).unwrap();
    manifest(&mut facts, &root()).version += 1;
    let why = refused(good, &facts, "another manifest");
    assert!(why.contains("the manifest of"), "{why}");
}

// What the planner says of them.

#[test]
fn a_restore_that_was_begun_gives_way_to_what_goes_back_in_any_case() {
    let (mut facts, id) = destroyed();
    facts.mark(&root(), &key("db/a"), Some(id));
    manifest(&mut facts, &root()).state = TrashState::Moved;
    assert_eq!(steps(&plan_of(&facts)), ["restore"]);
    facts.providers = unknown();
    assert_eq!(steps(&plan_of(&facts)), ["put_back"]);
}

#[test]
fn a_directory_that_can_not_be_told_from_another_is_not_adopted() {
    let mut facts = adopting(&orphan(), false);
    if let Known::Known(dirs) = &mut facts.disk(&path()).dirs {
        dirs[0].identity = unknown();
    }
    // Of the directory it is said in any case; of the wish to adopt it where nothing else is.
    let said = |facts: &Facts| {
        let made = plan_of(facts);
        let reasons = made.kept.iter().flat_map(|kept| &kept.reasons);
        let told = reasons.filter(|reason| reason.code == Refusal::NoIdentity);
        told.count()
    };
    assert_eq!(said(&facts), 2);
    facts.tasks = Known::Known(vec![a_task(&key("db/o"))]);
    assert_eq!(said(&facts), 1);
}

#[test]
fn a_command_says_what_it_is_about_and_nothing_else() {
    let mut facts = healthy();
    for (disk, name) in [(path(), "db/o"), (path(), "db/p"), (root(), "db/q")] {
        facts.mkdir(&disk, &key(name));
    }
    facts.trash(&path(), &key("db/o"), TrashState::Cleared);
    manifest(&mut facts, &path()).retention = Span::seconds(DAY);
    facts.pass();
    let said = |facts: &Facts| -> Vec<(String, bool)> {
        let kept = plan_of(facts).kept;
        let mut said: Vec<_> = kept
            .iter()
            .map(|kept| {
                let volume = kept.volume.as_ref().map(ToString::to_string);
                (volume.unwrap_or_default(), kept.trash.is_some())
            })
            .collect();
        said.sort();
        said
    };
    let about = |name: &str, trash: bool| (name.to_owned(), trash);
    assert_eq!(
        said(&facts),
        [
            about("db/o", false),
            about("db/o", true),
            about("db/p", false),
            about("db/q", false)
        ]
    );
    assert!(is_whole(&facts));
    let mut accepting = facts.clone();
    accepting.words.accept_root = Some(path().root);
    assert_eq!(
        said(&accepting),
        [
            about("db/o", false),
            about("db/o", true),
            about("db/p", false)
        ]
    );
    assert!(!is_whole(&accepting));
    // The mark is made, or why not is said, of the directory.
    let mut hindered = adopting(&facts, false);
    hindered.tasks = unknown();
    assert_eq!(said(&hindered), [about("db/o", false)]);
}

#[test]
fn what_lies_on_a_side_that_can_not_be_seen_is_left_alone() {
    let (mut facts, good) = due(TrashState::Cleared);
    assert_eq!(steps(&good), ["wipe"]);
    facts.disk(&root()).hidden = unknown();
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{:?}", made.steps);
    assert!(codes(&made, "db/x").contains(&Refusal::NotMounted));
    let kept = made.kept.iter().find(|kept| kept.trash.is_some()).unwrap();
    let id = manifest(&mut facts, &root()).id.to_string();
    let at = root().root.join("volumes/.mesos-volumed/trash").join(id);
    assert_eq!(kept.path, at);
}

#[test]
fn an_empty_frame_is_no_rival_of_an_entry_with_data() {
    let (mut facts, good) = due(TrashState::Moved);
    assert_eq!(steps(&good), ["clear"]);
    facts.trash(&root(), &key("db/x"), TrashState::Moved).data = Known::Absent;
    let mut made = steps(&plan_of(&facts));
    made.sort();
    assert_eq!(made, ["clear", "void"]);
}

#[test]
fn of_several_that_could_go_back_an_operator_names_one_and_the_other_goes_on() {
    let (mut facts, _) = due(TrashState::Moved);
    let other = facts
        .trash(&root(), &key("db/x"), TrashState::Moved)
        .id
        .clone();
    let made = plan_of(&facts);
    assert_eq!(steps(&made), [""; 0]);
    assert_eq!(made.kept.len(), 2);
    for kept in &made.kept {
        let codes: Vec<Refusal> = kept.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(codes, [Refusal::Contested], "{}", kept.path);
    }
    facts.words.purge = vec![other.clone()];
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["clear"]);
    assert!(matches!(&made.steps[0], Step::Clear { entry } if entry.manifest.id == other));
    check(made, &facts).unwrap();
    // Its volume is named by now: then no word of the operator's counts.
    let mut named = facts.clone();
    named.create(&root(), &key("db/x"));
    assert_eq!(steps(&plan_of(&named)), [""; 0]);
    // It is gone, or waits for its time: neither is in the way of the other.
    let RootFacts { trash, .. } = &mut facts.roots[0];
    let Known::Known(entries) = trash else {
        panic!("{trash:?}")
    };
    entries.retain(|entry| entry.id != other);
    facts.words.purge.clear();
    assert_eq!(steps(&plan_of(&facts)), ["clear"]);
}
