//! The undelete window: what an operator gets back, what stands in the way, and when a mark ends.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AdoptWord, CheckpointFile, Facts, FreeBelow, HiddenSide, Known, MountContent, OperationKind,
    OperationState, ResourceState, RoleRetention, Words,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::listing::{self, VolumeState};
use mesos_volumed::decide::manifest::{TrashSize, TrashState};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Step, TrashId};
use mesos_volumed::units::{Bytes, Span};

use super::builder::{DAY, World, a_volume, healthy, identity, key, mount, path, root, unknown};
use super::ideal::apply;
use super::story::{codes, plan_of, settle, steps};

/// `db/a` on ROOT was destroyed an hour ago and lies in the trash for a week.
pub(crate) fn destroyed() -> (Facts, TrashId) {
    let mut facts = healthy();
    facts.policy.retention = Span::seconds(7 * DAY);
    facts.create(&root(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    facts.pass();
    facts.later(60);
    let (mut facts, taken) = settle(&facts);
    assert_eq!(taken, ["quarantine", "clear"]);
    facts.later(3600);
    let id = facts.disk(&root()).trash.known().unwrap()[0].id.clone();
    (facts, id)
}

pub(crate) fn asked(facts: &Facts, id: &TrashId) -> Facts {
    Facts {
        words: Words {
            restore: Some(id.clone()),
            ..Words::default()
        },
        ..facts.clone()
    }
}

pub(crate) fn quiet(mut facts: Facts) -> Facts {
    facts.words = Words::default();
    facts
}

fn there(facts: &Facts, name: &str) -> bool {
    let root = facts.roots.iter().find(|at| at.disk == root()).unwrap();
    let mut dirs = root.dirs.known().unwrap().iter();
    dirs.any(|dir| mesos_volumed::decide::roots::dir_key(dir) == key(name))
}

fn marks(facts: &Facts) -> usize {
    let marks = facts.roots.iter().filter_map(|root| root.adopted.known());
    marks.map(Vec::len).sum()
}

#[test]
fn a_destroyed_volume_comes_back_and_stays_whatever_the_evidence() {
    let (facts, id) = destroyed();
    let (facts, taken) = settle(&asked(&facts, &id));
    assert_eq!(taken, ["restore"]);
    assert!(there(&facts, "db/a"));
    let mut facts = quiet(facts);
    for _ in 0..5 {
        facts.later(10 * DAY);
        let made = plan_of(&facts);
        assert_eq!(steps(&made), [""; 0]);
        assert_eq!(codes(&made, "db/a"), [Refusal::Adopted]);
        assert!(!made.blocked(), "an adopted volume is no alarm");
        facts = apply(&made, &facts);
    }
    let rows = listing::volumes(&facts, &plan(&facts));
    let row = rows
        .iter()
        .find(|row| row.key == Some(key("db/a")))
        .unwrap();
    assert_eq!(
        row.state,
        VolumeState::Orphan,
        "its destroy is no word any more"
    );
}

#[test]
fn the_mark_ends_when_the_agent_holds_the_volume_and_the_next_destroy_is_carried_out() {
    let (facts, id) = destroyed();
    let (facts, _) = settle(&asked(&facts, &id));
    let mut facts = quiet(facts);
    facts.later(60);
    facts.create(&root(), &key("db/a"));
    let (mut facts, taken) = settle(&facts);
    assert_eq!(taken, ["unadopt"]);
    assert_eq!(marks(&facts), 0);
    facts.policy.retention = Span::ZERO;
    facts.later(60);
    facts.destroy(&key("db/a"), 8);
    facts.later(60);
    let (facts, taken) = settle(&facts);
    assert_eq!(taken, ["quarantine", "clear", "wipe"]);
    assert!(!there(&facts, "db/a"));
}

#[test]
fn a_mark_that_could_not_be_removed_in_time_is_void_all_the_same() {
    let (facts, id) = destroyed();
    let (facts, _) = settle(&asked(&facts, &id));
    let mut facts = quiet(facts);
    facts.policy.retention = Span::ZERO;
    facts.later(60);
    facts.create(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 8);
    facts.pass();
    facts.later(60);
    assert_eq!(marks(&facts), 1, "passes that acted on nothing left it");
    let (facts, taken) = settle(&facts);
    assert!(taken.contains(&"unadopt".to_owned()), "{taken:?}");
    assert!(taken.contains(&"wipe".to_owned()), "{taken:?}");
    assert_eq!(marks(&facts), 0);
}

#[test]
fn a_create_that_came_to_nothing_does_not_end_a_mark() {
    let (facts, id) = destroyed();
    let (facts, _) = settle(&asked(&facts, &id));
    let mut facts = quiet(facts);
    facts.later(60);
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(
        OperationKind::Create,
        OperationState::Pending,
        30,
        volume.clone(),
    );
    assert_eq!(steps(&plan_of(&facts)), [""; 0], "wanted is not held");
    facts.pass();
    facts.later(60);
    facts.state().operations.pop();
    facts.operate(OperationKind::Create, OperationState::Failed, 30, volume);
    for _ in 0..3 {
        facts.pass();
        facts.later(2 * DAY);
    }
    let made = plan_of(&facts);
    assert_eq!(steps(&made), [""; 0]);
    assert!(codes(&made, "db/a").contains(&Refusal::Adopted));
}

#[test]
fn what_a_crash_left_of_a_restore_goes_on_by_itself() {
    let (mut facts, id) = destroyed();
    // After the mark, before the rename.
    facts.mark(&root(), &key("db/a"), Some(id.clone()));
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["restore"]);
    let (after, taken) = settle(&facts);
    assert_eq!(
        (taken, there(&after, "db/a")),
        (vec!["restore".to_owned()], true)
    );
    // Neither retention nor an operator's other word wipes it meanwhile.
    let ways: [fn(&mut Facts, &TrashId); 3] = [
        |facts, _| facts.later(30 * DAY),
        |facts, id| facts.words.purge = vec![id.clone()],
        |facts, _| facts.words.wipe = Some(key("db/a")),
    ];
    for way in ways {
        let mut changed = facts.clone();
        way(&mut changed, &id);
        assert!(!steps(&plan_of(&changed)).contains(&"wipe".to_owned()));
    }
    // After the rename, before the frame went: the frame goes, the mark stays.
    let mut after = after;
    let entry = facts.disk(&root()).trash.known().unwrap()[0].clone();
    after.disk(&root()).trash = Known::Known(vec![mesos_volumed::decide::facts::TrashFacts {
        data: Known::Absent,
        ..entry
    }]);
    let (after, taken) = settle(&after);
    assert_eq!(taken, ["void"]);
    assert!(codes(&plan_of(&after), "db/a").contains(&Refusal::Adopted));
}

/// What stands in the way of a restore, and its code.
type Case = (&'static str, fn(&mut Facts), Refusal);

fn hindrances() -> Vec<Case> {
    vec![
        (
            "it is named again",
            |f| f.create(&root(), &key("db/a")),
            Refusal::Held,
        ),
        (
            "a new directory lies in its place",
            |f| {
                f.mkdir(&root(), &key("db/a"));
            },
            Refusal::Contested,
        ),
        (
            "a CREATE is pending",
            |f| {
                let volume = a_volume(&root(), &key("db/a"));
                f.operate(OperationKind::Create, OperationState::Pending, 30, volume);
            },
            Refusal::PendingOperation,
        ),
        (
            "its wipe began",
            |f| set(f, |m| m.state = TrashState::Wiping),
            Refusal::HalfWiped,
        ),
        (
            "it was made by another machine",
            |f| set(f, |m| m.machine_id = "another".into()),
            Refusal::ForeignTrash,
        ),
        (
            "it is another agent's",
            |f| set(f, |m| m.work_dir = "/tmp/mesos".into()),
            Refusal::ForeignTrash,
        ),
        (
            "the agent has not confirmed its destroy",
            |f| set(f, |m| m.unconfirmed = true),
            Refusal::Unconfirmed,
        ),
        (
            "another disk is mounted there",
            |f| {
                let known = &mut f.disk(&root()).filesystem.ledger;
                if let Known::Known(print) = known {
                    print.filesystem = "another".to_owned();
                }
            },
            Refusal::FingerprintMismatch,
        ),
        (
            "nothing is mounted there",
            |f| f.disk(&root()).mount = Known::Absent,
            Refusal::NotMounted,
        ),
        (
            "the disk is read-only",
            |f| {
                if let Known::Known(mount) = &mut f.disk(&root()).mount {
                    mount.read_only = true;
                }
            },
            Refusal::ReadOnly,
        ),
        (
            "tasks can't be read",
            |f| f.tasks = unknown(),
            Refusal::AuthorityUnknown,
        ),
        (
            "a mark can't be read",
            |f| f.disk(&root()).adopted = unknown(),
            Refusal::AuthorityUnknown,
        ),
        (
            "the directories can't be read",
            |f| f.disk(&root()).dirs = unknown(),
            Refusal::Contested,
        ),
    ]
}

fn set(facts: &mut Facts, change: fn(&mut mesos_volumed::decide::manifest::Manifest)) {
    if let Known::Known(entries) = &mut facts.disk(&root()).trash
        && let Known::Known(manifest) = &mut entries[0].manifest
    {
        change(manifest);
    }
}

#[test]
fn each_hindrance_is_named_and_the_check_sees_it_too() {
    let (facts, id) = destroyed();
    let open = asked(&facts, &id);
    let wanted = plan_of(&open);
    assert_eq!(steps(&wanted), ["restore"]);
    for (what, change, code) in hindrances() {
        let mut closed = open.clone();
        change(&mut closed);
        let made = plan_of(&closed);
        assert!(!steps(&made).contains(&"restore".to_owned()), "{what}");
        let kept: Vec<_> = made
            .kept
            .iter()
            .filter(|kept| kept.trash.as_ref().is_some_and(|(kept, _)| *kept == id))
            .flat_map(|kept| &kept.reasons)
            .collect();
        assert!(
            kept.iter().any(|reason| reason.code == code),
            "{what}: {kept:?}"
        );
        let late = check(wanted.clone(), &closed);
        assert!(late.is_err(), "the check lets it pass that {what}");
    }
}

#[test]
fn nobody_asked_is_no_word() {
    let (facts, id) = destroyed();
    let wanted = plan_of(&asked(&facts, &id));
    check(wanted, &facts).unwrap_err();
}

#[test]
fn a_lost_checkpoint_does_not_keep_data_from_coming_back() {
    let (facts, id) = destroyed();
    let mut facts = asked(&facts, &id);
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Missing;
    facts.answer = mesos_volumed::decide::facts::AgentAnswer::NotConfigured;
    facts.later(2 * DAY);
    assert_eq!(steps(&plan_of(&facts)), ["restore"]);
}

#[test]
fn of_two_entries_of_one_volume_the_one_that_is_asked_for_comes_back() {
    let (mut facts, first) = destroyed();
    // Made again, and destroyed again.
    facts.create(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 8);
    facts.pass();
    facts.later(60);
    let (mut facts, _) = settle(&facts);
    let entries = facts.disk(&root()).trash.known().unwrap().clone();
    assert_eq!(entries.len(), 2);
    // The first one was named since: contested, and the operator's word decides.
    facts.later(60);
    let made = plan_of(&facts);
    assert!(codes(&made, "db/a").contains(&Refusal::Contested));
    let (facts, taken) = settle(&asked(&facts, &first));
    assert_eq!(taken, ["restore"]);
    let second = entries.iter().find(|entry| entry.id != first).unwrap();
    let made = plan_of(&asked(&facts, &second.id));
    assert!(
        codes(&made, "db/a").contains(&Refusal::Contested),
        "its place is taken now"
    );
}

#[test]
fn an_entry_at_its_second_look_can_be_asked_for_too() {
    let (mut facts, id) = destroyed();
    for state in [TrashState::Prepared, TrashState::Moved] {
        if let Known::Known(entries) = &mut facts.disk(&root()).trash
            && let Known::Known(manifest) = &mut entries[0].manifest
        {
            manifest.state = state;
        }
        assert_eq!(
            steps(&plan_of(&asked(&facts, &id))),
            ["restore"],
            "{state:?}"
        );
    }
}

// ---- adopt

pub(crate) fn orphan() -> Facts {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    facts.later(DAY);
    facts
}

pub(crate) fn adopting(facts: &Facts, undo: bool) -> Facts {
    let mut facts = facts.clone();
    facts.words.adopt = Some(AdoptWord {
        volume: key("db/o"),
        root: None,
        undo,
    });
    facts
}

#[test]
fn an_adopted_orphan_stays_until_that_is_taken_back() {
    let facts = orphan();
    assert_eq!(steps(&plan_of(&facts)), ["quarantine"]);
    let (facts, taken) = settle(&adopting(&facts, false));
    assert_eq!(taken, ["adopt"], "once");
    let mut facts = quiet(facts);
    for _ in 0..5 {
        facts.later(10 * DAY);
        let made = plan_of(&facts);
        assert_eq!(steps(&made), [""; 0]);
        assert_eq!(codes(&made, "db/o"), [Refusal::Adopted]);
        facts = apply(&made, &facts);
    }
    let (facts, taken) = settle(&adopting(&facts, true));
    assert_eq!(taken, ["unadopt"]);
    let made = plan_of(&quiet(facts));
    assert_eq!(
        steps(&made),
        ["quarantine"],
        "its sightings went on meanwhile"
    );
}

#[test]
fn the_mark_outlives_state_dir_and_its_clock() {
    let (mut facts, _) = settle(&adopting(&orphan(), false));
    facts = quiet(facts);
    facts.memory = Known::Absent;
    for _ in 0..4 {
        facts.pass();
        facts.later(2 * DAY);
    }
    let made = plan_of(&facts);
    assert_eq!(steps(&made), [""; 0]);
    assert_eq!(codes(&made, "db/o"), [Refusal::Adopted]);
}

#[test]
fn only_what_is_there_and_named_by_nobody_is_adopted() {
    let named = {
        let mut facts = orphan();
        facts.create(&path(), &key("db/o"));
        adopting(&facts, false)
    };
    let made = plan_of(&named);
    assert_eq!(steps(&made), [""; 0]);
    assert!(codes(&made, "db/o").contains(&Refusal::Held));
    let nothing = adopting(&healthy(), false);
    assert_eq!(steps(&plan_of(&nothing)), [""; 0]);
    let mut elsewhere = adopting(&orphan(), false);
    elsewhere.words.adopt.as_mut().unwrap().root = Some("/mnt/none".into());
    assert_eq!(steps(&plan_of(&elsewhere)), [""; 0]);
    let open = plan_of(&adopting(&orphan(), false));
    check(open.clone(), &named).unwrap_err();
    check(open.clone(), &orphan()).unwrap_err();
    check(open, &elsewhere).unwrap_err();
}

#[test]
fn a_mark_is_taken_away_for_a_reason_only() {
    let (facts, _) = settle(&adopting(&orphan(), false));
    let undo = plan_of(&adopting(&facts, true));
    assert_eq!(steps(&undo), ["unadopt"]);
    check(undo, &quiet(facts)).unwrap_err();
}

// ---- MOUNT

pub(crate) fn prepared(mut facts: Facts) -> Facts {
    let disk = facts.disk(&mount());
    let print = disk.filesystem.present.known().unwrap().clone();
    disk.hidden = Known::Known(HiddenSide {
        path: "/hidden".into(),
        directory: identity(&print.filesystem, 128),
    });
    disk.filesystem.marker = Known::Known(print.filesystem);
    if let Known::Known(mount) = &mut disk.mount {
        mount.location.path = "/volume".into();
    }
    facts
}

/// `db/m` on a prepared MOUNT lies in the trash of its hidden side; no agent runs.
pub(crate) fn emptied() -> (Facts, TrashId) {
    let mut facts = prepared(healthy());
    facts.policy.retention = Span::seconds(7 * DAY);
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/m"), 7);
    facts.stop_agent();
    facts.pass();
    facts.later(60);
    facts.policy.start_gate = true;
    let (mut facts, taken) = settle(&facts);
    assert_eq!(taken, ["move_out", "clear", "open_gate"]);
    let id = facts.disk(&mount()).trash.known().unwrap()[0].id.clone();
    facts.later(60);
    (facts, id)
}

#[test]
fn what_was_moved_out_of_a_mount_comes_back_and_stays() {
    let (facts, id) = emptied();
    let (facts, taken) = settle(&asked(&facts, &id));
    assert_eq!(taken, ["restore"]);
    let mut facts = quiet(facts);
    assert_eq!(
        facts.disk(&mount()).content,
        Known::Known(MountContent::Data)
    );
    for _ in 0..3 {
        facts.later(10 * DAY);
        let made = plan_of(&facts);
        assert_eq!(steps(&made), [""; 0]);
        let rows = listing::volumes(&facts, &made);
        let row = rows.iter().find(|row| row.key == Some(key("db/m")));
        assert_eq!(row.unwrap().state, VolumeState::Orphan);
        assert_eq!(row.unwrap().reasons[0].code, Refusal::Adopted);
        facts = apply(&made, &facts);
    }
}

#[test]
fn a_mount_is_restored_behind_the_barrier_only_and_only_into_an_empty_disk() {
    let (facts, id) = emptied();
    let open = asked(&facts, &id);
    let wanted = plan_of(&open);
    let cases: [Case; 3] = [
        (
            "no gate",
            |f| f.policy.start_gate = false,
            Refusal::NoBarrier,
        ),
        (
            "data in it",
            |f| f.disk(&mount()).content = Known::Known(MountContent::Data),
            Refusal::Contested,
        ),
        (
            "the next tenant",
            |f| {
                let next = a_volume(&mount(), &key("db/next"));
                f.state().resources.push(next);
            },
            Refusal::Held,
        ),
    ];
    for (what, change, code) in cases {
        let mut closed = open.clone();
        change(&mut closed);
        let made = plan_of(&closed);
        assert_eq!(steps(&made), [""; 0], "{what}");
        assert!(codes(&made, "db/m").contains(&code), "{what}");
        check(wanted.clone(), &closed).unwrap_err();
    }
}

#[test]
fn a_mount_that_a_crash_left_half_restored_goes_back_not_out() {
    let (mut facts, id) = emptied();
    facts.mark(&mount(), &key("db/m"), Some(id));
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    let disk = facts.disk(&mount());
    disk.content = Known::Known(MountContent::Data);
    if let Known::Known(entries) = &mut disk.trash
        && let Known::Known(manifest) = &mut entries[0].manifest
    {
        manifest.state = TrashState::Prepared;
    }
    let (facts, taken) = settle(&facts);
    assert_eq!(taken, ["restore", "open_gate"]);
    let mut facts = facts;
    assert_eq!(
        facts.disk(&mount()).content,
        Known::Known(MountContent::Data)
    );
    facts.later(10 * DAY);
    assert_eq!(steps(&plan_of(&facts)), [""; 0]);
}

#[test]
fn a_plain_mount_has_no_marks() {
    let mut facts = healthy();
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    facts.words.adopt = Some(AdoptWord {
        volume: key("db/m"),
        root: Some(mount().root),
        undo: false,
    });
    let made = plan_of(&facts);
    assert_eq!(steps(&made), [""; 0]);
    assert_eq!(codes(&made, "db/m"), [Refusal::NotAVolumePath]);
}

// ---- frames

pub(crate) fn frame(bare: bool) -> Facts {
    let mut facts = healthy();
    facts.trash(&root(), &key("db/t"), TrashState::Prepared);
    if let Known::Known(entries) = &mut facts.disk(&root()).trash {
        entries[0].manifest = Known::Absent;
        entries[0].data = Known::Absent;
        entries[0].bare = bare;
    }
    facts
}

#[test]
fn a_frame_that_a_crash_left_before_its_manifest_goes_where_it_is_empty() {
    let open = plan_of(&frame(true));
    assert!(
        matches!(open.steps.as_slice(), [Step::Tidy { .. }]),
        "{:?}",
        open.steps
    );
    let (facts, _) = settle(&frame(true));
    assert_eq!(facts.roots[0].trash, Known::Known(Vec::new()));
    let full = frame(false);
    let made: Plan = plan_of(&full);
    assert_eq!(steps(&made), [""; 0]);
    assert_eq!(made.kept[0].reasons[0].code, Refusal::ForeignTrash);
    check(open, &full).unwrap_err();
}

#[test]
fn an_agent_that_starts_with_nothing_is_no_reason_to_end_a_mark() {
    let (facts, _) = settle(&adopting(&orphan(), false));
    let mut facts = quiet(facts);
    facts.checkpoint.state = CheckpointFile::Whole(ResourceState::default());
    facts.restart_agent();
    for _ in 0..3 {
        let made = plan_of(&facts);
        assert_eq!(steps(&made), [""; 0]);
        assert!(codes(&made, "db/o").contains(&Refusal::Adopted));
        facts = apply(&made, &facts);
        facts.later(2 * DAY);
    }
}

// ---- retention and space

/// Entries of ROOT that were cleared an hour, two hours, … ago, with these sizes, for 30 days.
pub(crate) fn heap(sizes: &[Option<u64>]) -> Facts {
    let mut facts = healthy();
    facts.pass();
    facts.memory().clock.lived = Span::seconds(100 * DAY);
    for (n, bytes) in sizes.iter().enumerate() {
        let name = key(&format!("db/t{n}"));
        let hours = 3600 * (u64::try_from(sizes.len() - n).unwrap());
        if let Known::Known(manifest) =
            &mut facts.trash(&root(), &name, TrashState::Cleared).manifest
        {
            manifest.lived_at = Span::seconds(100 * DAY - hours);
            manifest.retention = Span::seconds(30 * DAY);
            manifest.size = bytes.map(|bytes| TrashSize {
                bytes,
                entries: 1,
                skipped: 0,
            });
        }
    }
    facts
}

pub(crate) fn wiped(facts: &Facts) -> Vec<String> {
    plan_of(facts)
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Wipe { authorization, .. } => Some(authorization.volume().to_string()),
            _ => None,
        })
        .collect()
}

pub(crate) const GIB: u64 = 1 << 30;

#[test]
fn over_its_budget_the_oldest_go_and_no_more_than_it_takes() {
    let mut facts = heap(&[Some(GIB), Some(GIB), Some(GIB), Some(GIB)]);
    assert_eq!(
        wiped(&facts),
        [""; 0],
        "without a budget nothing goes early"
    );
    facts.policy.trash.max_bytes = Some(Bytes(4 * GIB));
    assert_eq!(wiped(&facts), [""; 0]);
    facts.policy.trash.max_bytes = Some(Bytes(3 * GIB));
    assert_eq!(wiped(&facts), ["db/t0"]);
    facts.policy.trash.max_bytes = Some(Bytes(3 * GIB / 2));
    assert_eq!(wiped(&facts), ["db/t0", "db/t1", "db/t2"]);
    // Never before min_retention, however short space is.
    facts.policy.trash.min_retention = Span::seconds(3 * 3600);
    assert_eq!(wiped(&facts), ["db/t0", "db/t1"]);
    facts.policy.trash.min_retention = Span::seconds(DAY);
    assert_eq!(wiped(&facts), [""; 0]);
}

#[test]
fn a_disk_that_fills_up_gives_up_the_oldest_one_after_the_other() {
    // 60 of 100 GiB are free.
    let mut facts = heap(&[Some(GIB), Some(5 * GIB), None, Some(GIB)]);
    facts.policy.trash.free_below = Some(FreeBelow::Percent(60));
    assert_eq!(wiped(&facts), [""; 0]);
    facts.policy.trash.free_below = Some(FreeBelow::Bytes(63 * GIB));
    assert_eq!(wiped(&facts), ["db/t0", "db/t1"]);
    // Of one that nobody counted it is seen afterwards how much it was.
    facts.policy.trash.free_below = Some(FreeBelow::Percent(90));
    assert_eq!(wiped(&facts), ["db/t0", "db/t1", "db/t2"]);
    // What is being wiped counts as gone; of unknown size: wait.
    let mut begun = facts.clone();
    if let Known::Known(entries) = &mut begun.disk(&root()).trash
        && let Known::Known(manifest) = &mut entries[2].manifest
    {
        manifest.state = TrashState::Wiping;
    }
    assert_eq!(wiped(&begun), ["db/t2"], "only that goes on");
}

#[test]
fn what_has_to_stay_is_passed_over_and_the_next_goes_instead() {
    let mut facts = heap(&[Some(GIB), Some(GIB), Some(GIB)]);
    facts.policy.trash.max_bytes = Some(Bytes(2 * GIB));
    facts.policy.protect = vec!["db/t0".to_owned()];
    let made = plan_of(&facts);
    assert_eq!(wiped(&facts), ["db/t1"]);
    assert!(codes(&made, "db/t0").contains(&Refusal::Protected));
}

#[test]
fn the_check_rejects_what_goes_early_without_need_or_out_of_its_turn() {
    let mut short = heap(&[Some(GIB), Some(GIB), Some(GIB)]);
    short.policy.trash.max_bytes = Some(Bytes(2 * GIB));
    let made = plan_of(&short);
    let mut enough = short.clone();
    enough.policy.trash.max_bytes = Some(Bytes(3 * GIB));
    check(made.clone(), &enough).unwrap_err();
    let mut young = short.clone();
    young.policy.trash.min_retention = Span::seconds(DAY);
    check(made, &young).unwrap_err();
    // The second oldest instead of the oldest.
    let mut others = short.clone();
    others.policy.protect = vec!["db/t0".to_owned()];
    let mut out_of_turn = plan_of(&others);
    for kept in &mut out_of_turn.kept {
        kept.reasons
            .retain(|reason| reason.code != Refusal::Protected);
    }
    check(out_of_turn, &short).unwrap_err();
}

#[test]
fn a_clock_that_jumps_from_1970_to_today_expires_nothing() {
    let (mut facts, id) = destroyed();
    facts.policy.trash.max_bytes = Some(Bytes(1));
    facts.policy.trash.min_retention = Span::seconds(DAY);
    facts.host.now.wall_seconds = 0;
    facts.pass();
    for wall in [1_795_176_301, 0, i64::MAX, -1, 4_000_000_000] {
        facts.host.now.wall_seconds = wall;
        let made = plan_of(&facts);
        assert_eq!(steps(&made), [""; 0], "{wall}");
        let items = listing::trash(&facts, &made);
        assert_eq!(items[0].id, id);
        assert!(
            items[0].expires_in.unwrap() > Span::seconds(6 * DAY),
            "{wall}"
        );
        facts = apply(&made, &facts);
    }
    // A suspend, or a daemon that was away: each step of the clock counts at most twice the interval.
    facts.policy.sweep_every = Span::seconds(60);
    facts.later(40 * DAY);
    assert_eq!(steps(&plan_of(&facts)), [""; 0]);
}

#[test]
fn roles_have_retentions_of_their_own() {
    let mut facts = healthy();
    facts.policy.retention = Span::ZERO;
    facts.policy.trash.roles = vec![
        RoleRetention {
            role: "prod/*".to_owned(),
            retention: Some(Span::seconds(30 * DAY)),
            orphan_retention: None,
        },
        RoleRetention {
            role: "**".to_owned(),
            retention: Some(Span::seconds(DAY)),
            orphan_retention: Some(Span::seconds(2 * DAY)),
        },
    ];
    for name in ["prod/db/a", "eng/b", "prod/x/y/c"] {
        facts.create(&root(), &key(name));
    }
    facts.mkdir(&path(), &key("prod/db/orphan"));
    facts.pass();
    facts.later(DAY);
    for (n, name) in (7..).zip(["prod/db/a", "eng/b", "prod/x/y/c"]) {
        facts.destroy(&key(name), n);
    }
    let made = plan_of(&facts);
    let mut retentions: Vec<(String, Span)> = made
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Quarantine {
                place, manifest, ..
            } => Some((place.volume.to_string(), manifest.retention)),
            _ => None,
        })
        .collect();
    retentions.sort();
    let days = |n| Span::seconds(n * DAY);
    assert_eq!(
        retentions,
        [
            ("eng/b".to_owned(), days(1)),
            // The first rule that matches says nothing of orphans.
            ("prod/db/a".to_owned(), days(30)),
            ("prod/db/orphan".to_owned(), days(7)),
            ("prod/x/y/c".to_owned(), days(1)),
        ]
    );
}
