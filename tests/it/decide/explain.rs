//! Explanations say what the planner decided: no more, no less.

use std::collections::BTreeSet;

use mesos_volumed::decide::explain::{Answer, Explanation, sweepable, volume};
use mesos_volumed::decide::facts::{
    Facts, HolderKind, Known, OperationKind, OperationState, OrphanPolicy,
};
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::roots::dir_key;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::units::Span;
use proptest::prelude::*;

use super::builder::{
    DAY, World, a_task, a_volume, fingerprint, healthy, key, mount, path, root, unknown,
};
use super::prepared::{destroyed, half};
use super::properties::config;
use super::random::{Tape, facts, keys};
use super::story::{doomed, plan_of};

fn codes(explanation: &Explanation, answer: Answer) -> BTreeSet<&'static str> {
    explanation
        .questions
        .iter()
        .flat_map(|question| &question.rules)
        .filter(|rule| rule.answer == answer)
        .map(|rule| rule.code)
        .collect()
}

/// Every volume that the facts or the plan know.
fn known(facts: &Facts, plan: &Plan) -> BTreeSet<VolumeKey> {
    let mut known: BTreeSet<VolumeKey> = keys().into_iter().collect();
    for root in &facts.roots {
        known.extend(root.dirs.known().into_iter().flatten().map(dir_key));
    }
    known.extend(plan.kept.iter().filter_map(|kept| kept.volume.clone()));
    known
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_the_plan_keeps_is_explained_by_the_same_guards(
        tape in proptest::collection::vec(any::<u16>(), 0..400)
    ) {
        let facts = facts(&mut Tape::new(&tape));
        let made = plan(&facts);
        for key in known(&facts, &made) {
            let told = volume(&facts, &made, &key);
            let said: BTreeSet<&str> = told.iter().flat_map(|one| codes(one, Answer::No)).collect();
            for kept in made.kept.iter().filter(|kept| kept.volume.as_ref() == Some(&key)) {
                for reason in &kept.reasons {
                    prop_assert!(said.contains(reason.code.code()), "{key}: {reason} is not told: {told:#?}");
                }
            }
            for one in &told {
                let (no, pass) = (codes(one, Answer::No), codes(one, Answer::Pass));
                prop_assert!(no.is_disjoint(&pass), "{one:#?}");
                prop_assert!(codes(one, Answer::Untried).is_disjoint(&pass), "{one:#?}");
                for question in &one.questions {
                    // What a step carries out has a "yes", and no guard against it.
                    let goes = question.answer.starts_with("yes");
                    prop_assert!(!goes || no.is_empty(), "{one:#?}");
                    prop_assert!(!goes || doomed(&made).contains(&key), "{one:#?}");
                }
            }
            let places = facts.roots.iter().flat_map(|root| root.dirs.known().into_iter().flatten());
            let has_directory = places.into_iter().any(|dir| dir_key(dir) == key);
            prop_assert!(!has_directory || !told.is_empty(), "{key} has a directory");
        }
        for root in &facts.roots {
            prop_assert!(sweepable(&facts, &root.disk).is_some());
        }
    }
}

#[test]
fn a_held_volume_and_an_orphan_are_told_apart() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/held"));
    facts.mkdir(&path(), &key("db/orphan"));
    facts.later(60);
    facts.pass();
    let made = plan_of(&facts);

    let [held] = &volume(&facts, &made, &key("db/held"))[..] else {
        panic!("one directory");
    };
    assert_eq!(codes(held, Answer::No), BTreeSet::from(["held"]));
    assert!(codes(held, Answer::Pass).contains("in_use_fd"), "{held:#?}");
    assert!(codes(held, Answer::Untried).contains("grace_period"));
    assert!(
        held.history[0]
            .what
            .starts_with("last named by an authority")
    );

    let [orphan] = &volume(&facts, &made, &key("db/orphan"))[..] else {
        panic!("one directory");
    };
    assert_eq!(codes(orphan, Answer::No), BTreeSet::from(["grace_period"]));
    let grace = orphan.questions[0]
        .rules
        .iter()
        .find(|rule| rule.code == "grace_period")
        .unwrap();
    assert!(grace.remedy.is_some(), "{grace:?}");
    assert!(
        orphan.history[0].what.starts_with("sighted as an orphan"),
        "{orphan:#?}"
    );
}

#[test]
fn a_destroyed_volume_may_go_and_a_missing_one_has_vanished() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 1);
    facts.later(DAY);
    let made = plan_of(&facts);
    let told = volume(&facts, &made, &key("db/a"));
    assert!(told[0].questions[0].answer.starts_with("yes"), "{told:#?}");
    assert!(codes(&told[0], Answer::No).is_empty());

    let told = volume(&facts, &made, &key("db/never-heard-of"));
    assert!(told.is_empty(), "{told:#?}");
}

/// What is told: the subject, each question's answer, what says no, and what was not tried with its reason.
fn told(facts: &Facts, name: &str) -> Vec<String> {
    let made = plan(facts);
    let mut lines = Vec::new();
    for one in volume(facts, &made, &key(name)) {
        lines.push(one.subject.clone());
        for question in &one.questions {
            lines.push(format!("  {}", question.answer));
            let of = |answer: Answer| {
                let rules = question.rules.iter();
                rules.filter(move |rule| rule.answer == answer)
            };
            let no: Vec<&str> = of(Answer::No).map(|rule| rule.code).collect();
            if !no.is_empty() {
                lines.push(format!("  NO {}", no.join(" ")));
            }
            let mut last = String::new();
            for rule in of(Answer::Untried) {
                if rule.evidence != last {
                    lines.push(format!("  - {}:", rule.evidence));
                    last.clone_from(&rule.evidence);
                }
                let line = lines.last_mut().unwrap();
                line.push(' ');
                line.push_str(rule.code);
            }
        }
        lines.extend(
            one.history
                .iter()
                .map(|event| format!("  * {}", event.what)),
        );
    }
    lines
}

/// A volume of PATH that an agent holds.
fn held() -> Facts {
    let mut facts = healthy();
    facts.create(&path(), &key("r/a"));
    facts.pass();
    facts
}

const PLACE: &str = "volume r/a at /mnt/data/volumes/roles/r/a, on PATH:/mnt/data";
const NAMED: &str = "  * last named by an authority 0s ago (lived time)";
const READ: &str = "  * DESTROY operation 00000000000000000000000000000005 was read";

#[test]
fn a_directory_is_explained_from_its_hold_to_its_end() {
    let mut facts = held();
    assert_eq!(
        told(&facts, "r/a"),
        [
            PLACE,
            "  no, it is named",
            "  NO held",
            "  - the volume is named, so it stays whatever its age: agent_deleting grace_period \
             report_only brake",
            "  it is",
            NAMED,
        ]
    );
    facts.destroy(&key("r/a"), 5);
    facts.later(60);
    let goes = told(&facts, "r/a");
    let orphans =
        "  - it is for orphans only, and this was a destroy: grace_period report_only brake";
    let history = [
        "  * last named by an authority 1m ago (lived time)",
        READ,
        "  * named by nobody since 0s ago (lived time): DESTROY operation \
         00000000000000000000000000000005",
        "  * sighted as an orphan 1 times, first 0s ago (lived time), last 0s ago (lived time)",
    ];
    let how = "DESTROY operation 00000000000000000000000000000005";
    let yes = format!("  yes, it will be moved to the trash: {how}");
    assert_eq!(goes[..4], [PLACE, &yes, orphans, "  it is"]);
    assert_eq!(goes[4..], history);
    facts.hold(&path(), "volumes/roles/r/a", HolderKind::OpenFile);
    let used = told(&facts, "r/a");
    let not_yet = format!("  not yet, although {how}");
    assert_eq!(
        used[..6],
        [
            PLACE,
            &not_yet,
            "  NO in_use_fd",
            orphans,
            "  it is not: in_use_destroyed",
            "  NO in_use_destroyed",
        ]
    );
    assert_eq!(
        used.last().unwrap(),
        "  * in_use_destroyed first seen, 0s of lived time ago"
    );
    facts.holders = unknown();
    let unseen = told(&facts, "r/a");
    assert_eq!(
        unseen[1..7],
        [
            &not_yet,
            "  NO holders_unknown",
            "  - who uses it can't be told: in_use_mount in_use_fd mount_inside",
            orphans,
            "  that can't be told",
            "  - it could not be read: mounted_twice dead_container in_use_destroyed mounted_inside",
        ]
    );
}

#[test]
fn an_orphan_is_explained_by_its_age_and_by_what_the_operator_lets_go() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("r/a"));
    // One of the same name elsewhere has a history of its own.
    facts.mkdir(&root(), &key("r/a"));
    facts.policy.orphans = OrphanPolicy::Report;
    facts.pass();
    facts.later(60);
    let two = told(&facts, "r/a");
    let (of_root, of_path) = two.split_at(6);
    for one in [of_root, of_path] {
        assert_eq!(
            one[1..],
            [
                "  no",
                "  NO grace_period",
                "  - its time has not come: report_only brake",
                "  it is",
                "  * sighted as an orphan 2 times, first 1m ago (lived time), last 0s ago (lived time)",
            ]
        );
    }
    assert_eq!(of_path[0], PLACE);
    facts.later(DAY);
    let reported = told(&facts, "r/a");
    let answer = "  not yet, although orphan, seen 2 times in 1day 1m";
    assert_eq!(
        reported[1..5],
        [
            answer,
            "  NO report_only",
            "  - other guards keep it already: brake",
            "  it is"
        ]
    );
    // A doubtful pass sights nothing, and the time goes on.
    let mut doubtful = facts.clone();
    doubtful.providers = unknown();
    assert_eq!(
        told(&doubtful, "r/a")[1],
        "  not yet, although its time has come"
    );
    facts.policy.orphans = OrphanPolicy::Quarantine;
    facts.policy.brake_min = 0;
    facts.policy.brake_percent = 0;
    assert_eq!(told(&facts, "r/a")[1..4], [answer, "  NO brake", "  it is"]);
    for disk in [root(), path()] {
        facts.disk(&disk).filesystem.present = unknown();
    }
    assert_eq!(
        told(&facts, "r/a")[1..5],
        [
            "  no",
            "  NO no_identity grace_period",
            "  - the file system can't be identified: fingerprint_mismatch filesystem_shrunk \
             root_unverified",
            "  - its time has not come: report_only brake",
        ]
    );
}

/// The guards of a root that are asked only where it is there.
const OF_A_MOUNT: &str = "network_filesystem read_only filesystem_failed device_gone other_view \
                          no_identity fingerprint_mismatch filesystem_shrunk root_unverified";

#[test]
fn a_directory_that_is_not_there_is_explained_by_its_disk() {
    let mut facts = held();
    facts.rmdir(&path(), &key("r/a"));
    assert_eq!(
        told(&facts, "r/a"),
        [
            PLACE,
            "  no, it has vanished; `mesos-volumed volumes recreate` makes it again, empty",
            "  NO held",
            "  it is",
            NAMED,
        ]
    );
    let mut other = facts.clone();
    other.disk(&path()).filesystem.present = Known::Known(fingerprint("another"));
    assert_eq!(
        told(&other, "r/a"),
        [
            PLACE,
            "  no",
            "  NO fingerprint_mismatch fingerprint_mismatch held",
            "  - another file system is there: root_unverified",
            "  it is",
            NAMED,
        ]
    );
    facts.disk(&path()).mount = Known::Absent;
    let (no, unmounted) = (
        "  NO not_mounted held",
        format!("  - nothing is mounted there: {OF_A_MOUNT}"),
    );
    assert_eq!(
        told(&facts, "r/a"),
        [PLACE, "  no", no, &unmounted, "  it is", NAMED]
    );
    facts.roots.retain(|root| root.disk != path());
    let unseen = format!("  - the root was not seen: foreign_root {OF_A_MOUNT}");
    assert_eq!(
        told(&facts, "r/a"),
        [PLACE, "  no", no, &unseen, "  it is", NAMED]
    );
    // It never was there: it is made.
    let mut facts = healthy();
    facts.create(&path(), &key("r/a"));
    facts.rmdir(&path(), &key("r/a"));
    assert_eq!(told(&facts, "r/a")[1], "  no, it will be made");
    // No disk is known to hold it.
    let mut facts = healthy();
    facts.tasks = Known::Known(vec![a_task(&key("r/a"))]);
    assert_eq!(
        told(&facts, "r/a"),
        [
            "volume r/a",
            "  it is named, and no disk of this host is known to hold it",
            "  NO held",
        ]
    );
}

#[test]
fn a_mount_is_explained_by_its_destroy_and_its_barrier() {
    let mut facts = held();
    facts.create(&mount(), &key("r/m"));
    facts.pass();
    let place = "volume r/m at /dcos/volume0, on MOUNT:/dcos/volume0";
    let untried = "  - no destroy of it is to be carried out: role_hidden in_use_task holders_unknown \
                   in_use_mount in_use_fd mount_inside protected adopted no_barrier";
    assert_eq!(
        told(&facts, "r/m"),
        [
            place,
            "  no, it is named",
            "  NO held",
            untried,
            "  it is",
            NAMED
        ]
    );
    let mut pending = facts.clone();
    let volume = a_volume(&mount(), &key("r/m"));
    pending.operate(OperationKind::Destroy, OperationState::Pending, 4, volume);
    assert_eq!(told(&pending, "r/m")[2], "  NO held pending_operation");
    // Nobody saw a destroy of it.
    let mut lost = facts.clone();
    lost.forget(&key("r/m"));
    lost.pass();
    assert_eq!(told(&lost, "r/m")[1..3], ["  no", "  NO report_only"]);
    facts.destroy(&key("r/m"), 5);
    facts.later(60);
    assert_eq!(
        told(&facts, "r/m")[1..4],
        [
            "  not yet, although the volume was destroyed",
            "  NO no_barrier no_barrier no_barrier no_barrier",
            "  it is",
        ]
    );
    // What is kept on the disk is no matter of another volume.
    let other = told(&facts, "r/a");
    let places = other.iter().filter(|line| !line.starts_with(' '));
    assert_eq!(places.collect::<Vec<_>>(), [PLACE]);
    facts.stop_agent();
    facts.policy.start_gate = true;
    assert_eq!(
        told(&facts, "r/m")[..3],
        [place, "  yes, it will be emptied", "  it is"]
    );
}

const ENTRY: &str = "trash entry 1700000000-0000000000000abc-0 of r/old, on PATH:/mnt/data";

/// Guards of an entry's name and use, in their order.
const OF_AN_ENTRY: &str = "held pending_operation stale_generation authority_unknown authority_empty \
                           agent_recovering agent_required role_hidden in_use_task holders_unknown \
                           in_use_mount in_use_fd mount_inside protected adopted wrong_filesystem \
                           contested retention";

fn trashed(change: fn(&mut Manifest)) -> Facts {
    let mut facts = healthy();
    facts.pass();
    let entry = facts.trash(&path(), &key("r/old"), TrashState::Cleared);
    if let Known::Known(manifest) = &mut entry.manifest {
        change(manifest);
    }
    facts.later(60);
    facts
}

#[test]
fn an_entry_of_the_trash_is_explained_by_how_far_it_got() {
    let moved = "  * moved to the trash: destroyed within one run of the agent";
    let facts = trashed(|_| {});
    assert_eq!(
        told(&facts, "r/old"),
        [ENTRY, "  yes, it will be wiped now", moved]
    );
    // Each by itself.
    let mut two = facts.clone();
    let second = two.trash(&path(), &key("r/old"), TrashState::Cleared);
    if let Known::Known(manifest) = &mut second.manifest {
        manifest.retention = Span::seconds(DAY);
    }
    let both = told(&two, "r/old");
    assert_eq!(both[..3], [ENTRY, "  yes, it will be wiped now", moved]);
    assert_eq!(both[4..], ["  no", "  NO retention", moved]);
    let looked = trashed(|manifest| manifest.state = TrashState::Moved);
    assert_eq!(
        told(&looked, "r/old"),
        [
            ENTRY,
            "  its second look passed; it is wiped when its retention has passed",
            moved
        ]
    );
    let theirs = trashed(|manifest| manifest.machine_id = "another".into());
    let untried = format!(
        "  - the entry is not ours to touch: foreign_root not_mounted {OF_A_MOUNT} unconfirmed \
         {OF_AN_ENTRY}"
    );
    assert_eq!(
        told(&theirs, "r/old"),
        [ENTRY, "  no", "  NO foreign_trash", &untried, moved]
    );
    let mut unconfirmed = trashed(|manifest| {
        manifest.unconfirmed = true;
        manifest.state = TrashState::Moved;
    });
    unconfirmed.create(&path(), &key("r/old"));
    unconfirmed.rmdir(&path(), &key("r/old"));
    let untried = format!("  - nothing is asked before the agent's confirmation: {OF_AN_ENTRY}");
    assert_eq!(
        told(&unconfirmed, "r/old")[..5],
        [ENTRY, "  no", "  NO unconfirmed", &untried, moved]
    );
    let mut blocked = facts.clone();
    blocked.disk(&path()).filesystem.present = Known::Known(fingerprint("another"));
    let late = OF_AN_ENTRY.split_once("role_hidden").unwrap().1;
    let untried = format!("  - the root may not be used: unconfirmed role_hidden{late}");
    assert_eq!(
        told(&blocked, "r/old"),
        [
            ENTRY,
            "  no",
            "  NO fingerprint_mismatch fingerprint_mismatch",
            "  - another file system is there: root_unverified",
            &untried,
            moved
        ]
    );
    let mut unseen = facts;
    unseen.holders = unknown();
    assert_eq!(
        told(&unseen, "r/old")[1..4],
        [
            "  no",
            "  NO holders_unknown",
            "  - who uses it can't be told: in_use_mount in_use_fd mount_inside",
        ]
    );
}

#[test]
fn data_that_is_half_moved_out_is_explained_by_the_disk_and_by_its_entry() {
    let whole = told(&destroyed(), "db/m");
    assert_eq!(whole[1], "  yes, it will be emptied", "{whole:?}");
    let half = told(&half(), "db/m");
    assert_eq!(
        half[1], "  not yet: the rest of it is moved out of its disk first",
        "{half:?}"
    );
}

#[test]
fn each_root_may_be_swept_or_not_by_itself() {
    let mut facts = healthy();
    facts.disk(&path()).mount = Known::Absent;
    let answers = [root(), path(), mount()].map(|disk| sweepable(&facts, &disk).unwrap().answer);
    assert_eq!(answers, ["yes", "no, not_mounted", "yes"]);
}
