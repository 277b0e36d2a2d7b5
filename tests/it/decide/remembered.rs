//! What is taken from the memory and noted in it, where a moment, an order or one fact decides.

#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Drive, Facts, Known, MountContent, OperationKind, OperationState,
    ProviderState, ResourceState,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::ledger::Verified;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::memory::{UnwitnessedBatch, VolumeRecord};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Step};
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::units::{Megabytes, Span};

use super::builder::{
    DAY, World, a_reservation, a_task, a_volume, an_operation, filesystem, fingerprint, first_met,
    healthy, identity, key, mount, path, root, unknown, uuid,
};
use super::grounds::came;
use super::guards::{destroyed, marked, orphaned};
use super::lies::refused;
use super::lives::{all_lost, held, held_on};
use super::places::{mount_destroyed, taken_over};
use super::prepared;
use super::second_reading::{passes, spoilt};
use super::story::{codes, evidence_for, plan_of, records, steps};

// The brake.

#[test]
fn what_went_within_a_day_counts_for_the_brake_and_what_went_before_does_not() {
    let mut facts = orphaned();
    facts.policy.brake_min = 1;
    facts.policy.brake_percent = 1;
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    assert_eq!(good.memory.clock.lived, Span::seconds(DAY));
    passes(
        &good,
        &facts,
        &[("a day ago", |facts| went(facts, Span::ZERO))],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("unwitnessed steps in 24 hours", |facts| {
                went(facts, Span::seconds(1))
            }),
            ("unwitnessed steps in 24 hours", |facts| {
                went(facts, Span::seconds(DAY))
            }),
        ],
    );
}

fn went(facts: &mut Facts, at: Span) {
    facts.memory().unwitnessed.push(UnwitnessedBatch {
        at,
        count: 5,
        of: 10,
    });
}

// Order.

#[test]
fn a_memory_out_of_order_says_the_same() {
    let mut facts = destroyed();
    facts.create(&root(), &key("db/b"));
    facts.create(&root(), &key("db/c"));
    facts.pass();
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    let names = records(&facts);
    assert_eq!(names, ["db/a", "db/b", "db/c"]);
    facts.memory().volumes.reverse();
    assert_eq!(steps(&plan_of(&facts)), ["quarantine"]);
    facts.pass();
    assert_eq!(records(&facts), names);
}

// Who names what.

/// The newer file names nothing at all.
fn nothing(facts: &mut Facts) {
    facts.checkpoint.state = CheckpointFile::Whole(ResourceState::default());
}

#[test]
fn a_file_that_names_nothing_is_believed_where_the_older_one_agrees() {
    let mut facts = orphaned();
    nothing(&mut facts);
    let with = |facts: &Facts, info: CheckpointFile<Vec<_>>| {
        let mut facts = facts.clone();
        facts.checkpoint.info = info;
        codes(&plan_of(&facts), "db/o").contains(&Refusal::AuthorityEmpty)
    };
    assert!(!with(&facts, CheckpointFile::Whole(Vec::new())));
    assert!(!with(&facts, CheckpointFile::Empty));
    assert!(with(&facts, CheckpointFile::Missing));
    let other = vec![a_reservation("other")];
    assert!(with(&facts, CheckpointFile::Whole(other)));
}

/// `db/s` is a directory that only the older file names, and the agent, which answers, does not.
fn released() -> (Facts, Plan) {
    let mut facts = healthy();
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&path(), &key("db/s")));
    }
    facts.mkdir(&path(), &key("db/s"));
    for _ in 0..3 {
        facts.pass();
        facts.later(DAY);
    }
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    (facts, good)
}

#[test]
fn an_older_files_name_is_released_by_the_answer_of_an_agent_that_was_long_without_it() {
    let (facts, good) = released();
    spoilt(
        &good,
        &facts,
        &[("db/s is held", |facts| {
            facts.answer = AgentAnswer::NotConfigured
        })],
    );
    let mut lied = good;
    lied.memory.stale[0].since = lied.memory.clock.lived;
    let why = refused(lied, &facts, "just now");
    assert!(why.contains("db/s is held"), "{why}");
}

#[test]
fn what_a_provider_has_is_held_on_no_disk_of_the_agents() {
    let (facts, good) = came();
    spoilt(
        &good,
        &facts,
        &[
            ("is not held on", |facts| {
                let volume = facts.state().resources.last_mut().unwrap();
                volume.provider_id = Some("csi".into());
            }),
            ("is not held on", |facts| {
                let volume = facts.state().resources.last_mut().unwrap();
                volume.source.as_mut().unwrap().id = Some("volume-1".into());
            }),
        ],
    );
}

#[test]
fn a_mount_disk_that_lies_in_a_held_volume_is_not_emptied() {
    let facts = mount_destroyed();
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["empty_mount"]);
    spoilt(
        &good,
        &facts,
        &[("a held volume shares its place", |facts| {
            let held = facts.disk(&root()).dirs.known().unwrap()[0].clone();
            let inside = held.location.known().unwrap().clone();
            if let Known::Known(mount) = &mut facts.disk(&mount()).mount {
                mount.location = inside;
                mount.location.path = mount.location.path.join("below");
            }
        })],
    );
}

#[test]
fn an_orphan_that_lies_in_a_held_mount_disk_stays() {
    let mut facts = orphaned();
    facts.create(&mount(), &key("db/m"));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    spoilt(
        &good,
        &facts,
        &[("lies in a held volume", |facts| {
            let inside = facts.disk(&mount()).mount.known().unwrap().location.clone();
            if let Known::Known(dirs) = &mut facts.disk(&path()).dirs {
                dirs[0].location = Known::Known(inside);
                if let Known::Known(location) = &mut dirs[0].location {
                    location.path = location.path.join("below");
                }
            }
        })],
    );
}

// Roots.

fn adopts(facts: &Facts) -> Vec<&'static str> {
    let made = plan_of(facts);
    let disks = made.steps.iter().map(|step| match step {
        Step::AdoptRoot { disk, .. } if *disk == path() => "path",
        Step::AdoptRoot { .. } => "another",
        _ => "?",
    });
    disks.collect()
}

#[test]
fn our_marker_is_written_again_where_it_is_gone_or_where_the_operator_accepts_the_disk() {
    let mut facts = healthy();
    assert_eq!(adopts(&facts), [""; 0]);
    facts.disk(&path()).filesystem.marker = Known::Absent;
    assert_eq!(adopts(&facts), ["path"]);
    // Where our folder is there without any volume, and not where nothing is.
    facts.disk(&path()).trash = Known::Known(Vec::new());
    facts.disk(&path()).dirs = Known::Absent;
    assert_eq!(adopts(&facts), ["path"]);
    facts.disk(&path()).trash = Known::Absent;
    assert_eq!(adopts(&facts), [""; 0]);
    let mut moved = healthy();
    marked(&mut moved, "another machine", "/mnt/data");
    assert_eq!(adopts(&moved), [""; 0]);
    moved.words.accept_root = Some(path().root);
    assert_eq!(adopts(&moved), ["path"]);
    let mut copied = healthy();
    copied.disk(&path()).filesystem.marker = Known::Known("other".to_owned());
    assert_eq!(adopts(&copied), [""; 0]);
    copied.words.accept_root = Some(path().root);
    assert_eq!(adopts(&copied), ["path"]);
}

fn drive(serial: &str) -> Drive {
    Drive {
        serial: Some(serial.into()),
        wwn: None,
        size_bytes: None,
        name: "sdb1".into(),
    }
}

#[test]
fn another_drive_is_noted_on_the_operators_word() {
    let mut facts = healthy();
    facts.disk(&path()).filesystem.verified = Some(Verified {
        total_bytes: 100 << 30,
        overdrawn: false,
        drive: Some(drive("A1")),
    });
    facts.words.accept_root = Some(path().root);
    assert_eq!(adopts(&facts), [""; 0]);
    if let Known::Known(mount) = &mut facts.disk(&path()).mount {
        mount.drive = Some(drive("A1"));
    }
    assert_eq!(adopts(&facts), [""; 0]);
    if let Known::Known(mount) = &mut facts.disk(&path()).mount {
        mount.drive = Some(drive("B2"));
    }
    assert_eq!(adopts(&facts), ["path"]);
    facts.words.accept_root = None;
    assert_eq!(adopts(&facts), [""; 0]);
}

#[test]
fn a_disk_that_is_advertised_to_its_last_byte_is_not_noted_as_overdrawn() {
    for (megabytes, expected) in [(102_400, false), (102_401, true)] {
        let mut facts = first_met();
        facts.disk(&path()).filesystem.advertised = Some(Megabytes::whole(megabytes));
        let noted = plan_of(&facts)
            .steps
            .into_iter()
            .find_map(|step| match step {
                Step::AdoptRoot { disk, verified, .. } if disk == path() => {
                    Some(verified.overdrawn)
                }
                _ => None,
            });
        assert_eq!(noted, Some(expected), "{megabytes}");
    }
}

// Orphans.

fn is_due(facts: &Facts) -> bool {
    let made = plan(facts);
    let kept = made
        .kept
        .iter()
        .find(|kept| kept.volume == Some(key("db/o")));
    kept.unwrap().due
}

#[test]
fn an_orphan_is_overdue_in_a_doubtful_pass_once_its_time_has_come() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    let doubtful = |after: u64| {
        let mut facts = facts.clone();
        facts.later(after);
        facts.providers = unknown();
        is_due(&facts)
    };
    assert!(!doubtful(60));
    assert!(doubtful(DAY));
    // Once is not twice, however short the grace.
    let mut hasty = healthy();
    hasty.policy.grace = Span::ZERO;
    hasty.mkdir(&path(), &key("db/o"));
    assert!(!is_due(&hasty));
}

#[test]
fn a_second_between_two_looks_is_written_down() {
    let mut facts = healthy();
    facts.pass();
    facts.words.later_round = true;
    assert!(plan(&facts).memory_written);
    facts.host.now.since_boot = facts.host.now.since_boot.plus(Span::seconds(1));
    assert!(!plan(&facts).memory_written);
}

// What is left of a volume on a disk that is reserved to us.

#[test]
fn a_disk_is_given_back_over_data_of_a_volume_that_a_task_is_to_have_again() {
    let mut facts = super::barrier::with(&super::barrier::ours(&super::barrier::free()));
    assert_eq!(
        facts.disk(&mount()).content,
        Known::Known(MountContent::Data)
    );
    assert_eq!(steps(&plan_of(&facts)), ["empty_mount"]);
    facts.tasks = Known::Known(vec![a_task(&key(super::barrier::KEY))]);
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["bar"]);
    check(made, &facts).unwrap();
}

#[test]
fn an_agent_before_the_newer_file_reserves_in_the_older_one() {
    let mut facts = super::barrier::with(&super::barrier::ours(&super::barrier::free()));
    let resources = facts.state().resources.clone();
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Whole(resources);
    assert_eq!(steps(&plan_of(&facts)), ["empty_mount"]);
}

// Destroys that were read, and those of another life.

fn record<'a>(facts: &'a mut Facts, name: &str) -> &'a mut VolumeRecord {
    let mut records = facts.memory().volumes.iter_mut();
    records.find(|record| record.key == key(name)).unwrap()
}

fn operate(facts: &mut Facts, state: OperationState) {
    facts.state().operations.clear();
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, state, 7, volume);
}

/// The operation is told otherwise by a provider.
fn denied(facts: &mut Facts) {
    let volume = a_volume(&root(), &key("db/a"));
    let operation = an_operation(OperationKind::Destroy, OperationState::Failed, 7, &[volume]);
    facts.providers = Known::Known(vec![ProviderState {
        file: "resource_provider.state".into(),
        content: ResourceState {
            operations: vec![operation],
            resources: Vec::new(),
        },
    }]);
}

/// It is not named any more, across a start of the agent, which witnesses nothing by itself.
fn went_across_a_start(facts: &mut Facts) -> Option<Evidence> {
    facts.forget(&key("db/a"));
    facts.restart_agent();
    facts.later(5);
    evidence_for(&plan_of(facts), "db/a")
}

#[test]
fn a_destroy_that_any_file_denies_is_no_evidence() {
    let mut facts = held();
    operate(&mut facts, OperationState::Finished);
    let mut alone = facts.clone();
    let seven = Some(Evidence::DestroyOperation(uuid(7)));
    alone.forget(&key("db/a"));
    assert_eq!(evidence_for(&plan_of(&alone), "db/a"), seven);
    facts.forget(&key("db/a"));
    facts.restart_agent();
    denied(&mut facts);
    assert_eq!(evidence_for(&plan_of(&facts), "db/a"), None);
    // One that was pending, and failed.
    let mut facts = held();
    operate(&mut facts, OperationState::Pending);
    facts.pass();
    facts.later(5);
    operate(&mut facts, OperationState::Failed);
    assert_eq!(went_across_a_start(&mut facts), None);
    // One that is pending by one file, and failed by another.
    let mut facts = held();
    operate(&mut facts, OperationState::Pending);
    facts.pass();
    assert_eq!(record(&mut facts, "db/a").pending_destroys, [uuid(7)]);
    denied(&mut facts);
    facts.later(5);
    facts.pass();
    assert!(record(&mut facts, "db/a").pending_destroys.is_empty());
}

#[test]
fn a_destroy_that_its_volume_survived_is_another_lifes_also_without_an_answer() {
    let mut facts = held();
    let answer = std::mem::replace(&mut facts.answer, AgentAnswer::NotConfigured);
    operate(&mut facts, OperationState::Finished);
    facts.pass();
    facts.state().operations.clear();
    facts.answer = answer;
    assert_eq!(went_across_a_start(&mut facts), None);
}

#[test]
fn a_destroy_that_was_read_as_pending_stays_evidence_while_it_is_pending_or_unclear() {
    for state in [OperationState::Pending, OperationState::Unclear] {
        let mut facts = held();
        operate(&mut facts, OperationState::Pending);
        facts.pass();
        facts.later(5);
        operate(&mut facts, state);
        facts.pass();
        facts.later(5);
        facts.state().operations.clear();
        let seven = Some(Evidence::DestroyOperation(uuid(7)));
        assert_eq!(went_across_a_start(&mut facts), seven, "{state:?}");
    }
}

// Places.

#[test]
fn the_older_file_tells_the_place_of_a_volume_of_which_nothing_else_is_known() {
    let mut facts = held_on(&path());
    let on = |facts: &mut Facts, name: &str| -> Vec<DiskRef> {
        let places = record(facts, name).places.iter();
        places.map(|place| place.disk.clone()).collect()
    };
    assert_eq!(on(&mut facts, "db/a"), [path()]);
    facts.forget(&key("db/a"));
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&root(), &key("db/a")));
        resources.push(a_volume(&root(), &key("db/b")));
    }
    facts.pass();
    assert_eq!(on(&mut facts, "db/a"), [path()]);
    assert_eq!(on(&mut facts, "db/b"), [root()]);
}

#[test]
fn an_accepted_emptiness_counts_after_its_grace_and_not_before() {
    let mut facts = all_lost();
    facts.words.accept_empty = true;
    facts.pass();
    facts.words.accept_empty = false;
    assert!(facts.memory().lost_across_start);
    facts.later(DAY - 60);
    facts.pass();
    assert!(facts.memory().lost_across_start);
    facts.later(60);
    facts.pass();
    assert!(!facts.memory().lost_across_start);
}

#[test]
fn what_lies_on_a_mount_after_its_entry_was_cleared_is_not_moved_out_again() {
    let moves = |since: Option<u64>| {
        let mut facts = prepared::destroyed();
        let gone = record(&mut facts, "db/m").gone.clone().unwrap().since;
        let found = prepared::entry(&mut facts, TrashState::Cleared);
        if let Known::Known(manifest) = &mut found.manifest {
            manifest.retention = Span::seconds(7 * DAY);
            manifest.lived_at = since.map_or(Span::ZERO, |after| gone.plus(Span::seconds(after)));
        }
        facts.gate.closed_for = Known::Absent;
        steps(&plan_of(&facts)).contains(&"move_out".to_owned())
    };
    assert!(!moves(Some(0)));
    assert!(!moves(Some(1)));
    // Of an earlier life: this one's data is still to go.
    assert!(moves(None));
}

#[test]
fn the_claim_of_the_older_file_ages_while_the_whole_answer_lacks_it_and_starts_anew_otherwise() {
    let (mut facts, _) = released();
    facts.pass();
    assert_eq!(facts.memory().stale.len(), 1);
    let silent: [fn(&mut Facts); 2] = [
        |facts| facts.answer = AgentAnswer::NotConfigured,
        // What it hides it may hold.
        |facts| {
            if let AgentAnswer::State(state) = &mut facts.answer {
                state.roles.clear();
            }
        },
    ];
    for change in silent {
        let mut facts = facts.clone();
        change(&mut facts);
        facts.pass();
        assert_eq!(facts.memory().stale, []);
    }
}

#[test]
fn what_a_volume_left_on_a_disk_that_can_not_be_looked_at_is_told() {
    let mut facts = taken_over(11, |facts| facts.destroy(&key("db/m"), 7));
    assert_eq!(plan(&facts).memory.left_on, []);
    facts.disk(&mount()).filesystem.present = unknown();
    assert_eq!(plan(&facts).memory.left_on.len(), 1);
}

#[test]
fn another_directory_of_an_orphans_name_and_one_that_was_named_meanwhile_start_anew() {
    let mut facts = orphaned();
    let sighted = |facts: &mut Facts| facts.memory().sightings.first().map(|one| one.times);
    facts.pass();
    assert_eq!(sighted(&mut facts), Some(2));
    let mut named = facts.clone();
    named.tasks = Known::Known(vec![a_task(&key("db/o"))]);
    named.later(5);
    named.pass();
    assert_eq!(sighted(&mut named), None);
    if let Known::Known(dirs) = &mut facts.disk(&path()).dirs {
        dirs[0].identity = Known::Known(identity(&filesystem(&path()), 99));
    }
    facts.later(5);
    facts.pass();
    assert_eq!(sighted(&mut facts), Some(1));
}

#[test]
fn a_disk_is_not_given_back_in_the_pass_that_empties_it_on_an_operators_word() {
    let mut facts = super::barrier::with(&super::barrier::ours(&super::barrier::free()));
    // The older file names the volume on another disk, and the agent has long denied it.
    let volume = key(super::barrier::KEY);
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&path(), &volume));
    }
    for _ in 0..3 {
        facts.pass();
        facts.later(DAY);
    }
    if let AgentAnswer::State(state) = &mut facts.answer {
        state.asked_at = facts.host.now.since_boot;
    }
    facts.words.wipe = Some(volume);
    assert_eq!(steps(&plan_of(&facts)), ["empty_mount"]);
}

#[test]
fn a_name_in_the_older_files_target_is_the_older_files() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/s"));
    let mut named = vec![a_reservation("other"), a_volume(&path(), &key("db/s"))];
    facts.checkpoint.info = CheckpointFile::Whole(named.clone());
    facts.checkpoint.info_target = CheckpointFile::Whole(std::mem::take(&mut named));
    for _ in 0..3 {
        facts.pass();
        facts.later(DAY);
    }
    assert_eq!(steps(&plan_of(&facts)), ["quarantine"]);
    // Without the newer file it is what the agent is about to believe.
    facts.checkpoint.state = CheckpointFile::Missing;
    assert!(plan_of(&facts).is_idle());
    assert!(codes(&plan_of(&facts), "db/s").contains(&Refusal::Held));
}

#[test]
fn an_orphan_on_a_disk_that_another_took_the_place_of_is_sighted_anew() {
    let facts = orphaned();
    assert_eq!(steps(&plan_of(&facts)), ["quarantine"]);
    let away: [fn(&mut Facts); 2] = [
        |facts| facts.disk(&path()).filesystem.present = Known::Known(fingerprint("other")),
        |facts| facts.disk(&path()).dirs = Known::Absent,
    ];
    for change in away {
        let mut other = facts.clone();
        change(&mut other);
        other.pass();
        assert_eq!(other.memory().sightings, []);
    }
    // What can't be listed for once is neither confirmed nor refuted.
    let mut unread = facts;
    unread.disk(&path()).dirs = unknown();
    unread.pass();
    assert_eq!(unread.memory().sightings.len(), 1);
}
