//! Plans with one thing in them that is not so: the check says which.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, Known, MountContent, WipeMode};
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Step, TrashPlace, VolumePlace};
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::units::{Raw, Span};

use super::builder::{DAY, World, healthy, identity, key, mount, path};
use super::fills::cut_short;
use super::guards::destroyed;
use super::places::mount_destroyed;
use super::prepared::Change;
use super::story::plan_of;

/// Why the check says no.
pub(crate) fn refused(made: Plan, facts: &Facts, what: &str) -> String {
    check(made, facts).expect_err(what).why
}

#[test]
fn a_move_whose_manifest_says_anything_else_is_rejected() {
    let facts = destroyed();
    let good = plan_of(&facts);
    let changes: [Change<Manifest>; 9] = [
        ("version", |m| m.version += 1),
        ("state", |m| m.state = TrashState::Moved),
        ("volume", |m| m.volume = key("db/stays")),
        ("disk", |m| m.disk = path()),
        ("path", |m| m.path = "volumes/roles/db/b".into()),
        ("identity", |m| m.identity = identity("other", 1)),
        ("work_dir", |m| m.work_dir = "/elsewhere".into()),
        ("lived_at", |m| m.lived_at = Span::ZERO),
        ("machine_id", |m| m.machine_id = "another".into()),
    ];
    for (what, change) in changes {
        let mut lied = good.clone();
        let mut told = 0;
        for step in &mut lied.steps {
            if let Step::Quarantine { manifest, .. } = step {
                change(manifest);
                told += 1;
            }
        }
        assert_eq!(told, 1, "{good:#?}");
        let why = refused(lied, &facts, what);
        assert_eq!(why, "the manifest does not describe the step", "{what}");
    }
}

#[test]
fn a_move_of_what_is_not_the_volumes_directory_is_rejected() {
    let facts = destroyed();
    let good = plan_of(&facts);
    let changes: [Change<VolumePlace>; 7] = [
        ("is not the directory of", |p| p.role_dir = "web".into()),
        ("is not the directory of", |p| p.id_dir = "b".into()),
        ("is not the directory of", |p| p.volume = key("db/b")),
        ("is no plain name", |p| p.id_dir = "".into()),
        ("is no plain name", |p| p.id_dir = ".".into()),
        ("is no plain name", |p| p.role_dir = "..".into()),
        ("is no plain name", |p| p.role_dir = "db/..".into()),
    ];
    for (expected, change) in changes {
        let mut lied = good.clone();
        for step in &mut lied.steps {
            if let Step::Quarantine { place, .. } = step {
                change(place);
            }
        }
        let why = refused(lied, &facts, expected);
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

/// An entry in this state whose time is over.
fn entry(state: TrashState) -> Facts {
    let mut facts = healthy();
    facts.pass();
    facts.trash(&path(), &key("db/x"), state);
    facts.later(400 * DAY);
    facts
}

/// Of the first entry on this disk.
pub(crate) fn manifest<'a>(facts: &'a mut Facts, disk: &DiskRef) -> &'a mut Manifest {
    match &mut facts.disk(disk).trash {
        Known::Known(entries) => match &mut entries[0].manifest {
            Known::Known(manifest) => manifest,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The entry of the only step that has one.
pub(crate) fn entry_of(plan: &mut Plan) -> &mut TrashPlace {
    let mut entries = plan.steps.iter_mut().filter_map(|step| match step {
        Step::Wipe { entry, .. }
        | Step::Clear { entry }
        | Step::Restore { entry, .. }
        | Step::MoveOut { entry, .. }
        | Step::PutBack { entry }
        | Step::Void { entry }
        | Step::Confirm { entry, .. }
        | Step::Call {
            entry: Some(entry), ..
        } => Some(entry),
        _ => None,
    });
    let first = entries.next().unwrap();
    assert!(entries.next().is_none());
    first
}

/// The plan and the facts, with the manifest changed in both.
pub(crate) fn changed(facts: &Facts, good: &Plan, change: impl Fn(&mut Manifest)) -> (Facts, Plan) {
    let (mut facts, mut lied) = (facts.clone(), good.clone());
    let entry = entry_of(&mut lied);
    change(manifest(&mut facts, &entry.disk));
    change(&mut entry.manifest);
    (facts, lied)
}

/// The data is another directory, of another file system, as the manifest says as well.
fn elsewhere(facts: &Facts, good: &Plan) -> (Facts, Plan) {
    let other = identity("other", 1);
    let (mut facts, mut lied) = changed(facts, good, |m| m.identity = identity("other", 1));
    let entry = entry_of(&mut lied);
    if let Known::Known(entries) = &mut facts.disk(&entry.disk).trash {
        entries[0].data = Known::Known(other.clone());
    }
    entry.data = Some(other);
    (facts, lied)
}

/// Data that is not the directory of the manifest is none that may go anywhere.
pub(crate) fn another_directory(good: &Plan, facts: &Facts, on_another_disk: &str) {
    let other: [fn(&mut Manifest); 1] = [|m| m.identity = identity("other", 1)];
    retold(good, facts, "is another directory", &other);
    // Entry and manifest agree, and both lie.
    let (other, lied) = elsewhere(facts, good);
    let why = refused(lied, &other, "another file system");
    assert!(why.ends_with(on_another_disk), "{why}");
}

/// Each of these changes in both makes the check refuse, and say so.
pub(crate) fn retold(good: &Plan, facts: &Facts, says: &str, changes: &[fn(&mut Manifest)]) {
    for (place, change) in changes.iter().enumerate() {
        let (facts, lied) = changed(facts, good, change);
        let why = refused(lied, &facts, says);
        assert!(why.contains(says), "{place}: {says}: {why}");
        plan_of(&facts);
    }
}

#[test]
fn a_wipe_by_an_authorization_for_something_else_is_rejected() {
    let facts = entry(TrashState::Cleared);
    let good = plan_of(&facts);
    let changes: [Change<Manifest>; 3] = [
        ("another directory", |m| m.identity = identity("other", 1)),
        ("another volume", |m| {
            m.volume = key("db/y");
            m.path = "volumes/roles/db/y".into();
        }),
        ("other evidence", |m| m.evidence = Evidence::Operator),
    ];
    for (what, change) in changes {
        let (facts, lied) = changed(&facts, &good, change);
        let why = refused(lied, &facts, what);
        assert_eq!(why, "the authorization is for something else", "{what}");
    }
    // What changes in the entry is not what was authorized.
    let (mut other, mut lied) = (facts.clone(), good.clone());
    let another = identity("other", 1);
    if let Known::Known(entries) = &mut other.disk(&path()).trash {
        entries[0].data = Known::Known(another.clone());
    }
    for step in &mut lied.steps {
        if let Step::Wipe { entry, .. } = step {
            entry.data = Some(another.clone());
        }
    }
    let why = refused(lied, &other, "other data");
    assert_eq!(why, "the authorization is for something else");
}

#[test]
fn nothing_is_wiped_or_cleared_that_was_not_looked_at_or_was_never_confirmed() {
    for (state, says) in [
        (TrashState::Cleared, "was not cleared"),
        (TrashState::Moved, "is not at its second look"),
    ] {
        let facts = entry(state);
        let good = plan_of(&facts);
        let changes: [fn(&mut Manifest); 2] = [
            |m| m.unconfirmed = true,
            |m| {
                m.state = match m.state {
                    TrashState::Moved => TrashState::Cleared,
                    _ => TrashState::Moved,
                };
            },
        ];
        for change in changes {
            let (facts, lied) = changed(&facts, &good, change);
            let why = refused(lied, &facts, says);
            assert!(why.contains(says), "{why}");
        }
    }
}

/// Whether an entry goes whose volume was named so long after it was moved.
fn goes_when_named(after: u64) -> bool {
    let mut facts = healthy();
    let volume = key("db/x");
    facts.create(&path(), &volume);
    facts.pass();
    facts.later(60);
    facts.forget(&volume);
    facts.rmdir(&path(), &volume);
    facts.trash(&path(), &volume, TrashState::Cleared);
    let at = manifest(&mut facts, &path()).lived_at;
    for record in &mut facts.memory().volumes {
        if record.key == volume {
            record.named_at = at.plus(Span(std::time::Duration::from_secs(after)));
        }
    }
    facts.later(400 * DAY);
    let made = plan_of(&facts);
    made.steps
        .iter()
        .any(|step| matches!(step, Step::Wipe { .. }))
}

#[test]
fn what_was_named_in_the_pass_that_moved_it_goes_and_what_was_named_later_stays() {
    assert!(goes_when_named(0));
    assert!(!goes_when_named(1));
}

/// The plan with its emptying changed.
fn emptying(good: &Plan, change: impl Fn(&mut bool)) -> Plan {
    let mut lied = good.clone();
    let mut told = 0;
    for step in &mut lied.steps {
        if let Step::EmptyMount { fill_only, .. } = step {
            change(fill_only);
            told += 1;
        }
    }
    assert_eq!(told, 1, "{good:#?}");
    lied
}

#[test]
fn a_word_for_the_free_space_is_none_for_data() {
    let mut facts = cut_short(Evidence::Operator);
    facts.memory().volumes[0].gone.as_mut().unwrap().evidence = None;
    facts.state().operations.clear();
    facts.restart_agent();
    facts.stop_agent();
    let good = plan_of(&facts);
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    let lied = emptying(&good, |fill_only| *fill_only = false);
    assert!(check(lied, &facts).is_err());
}

#[test]
fn a_fill_that_another_volume_is_owed_is_not_this_ones() {
    let facts = cut_short(Evidence::OwnDestroy);
    let good = plan_of(&facts);
    let changes: [fn(&mut Facts); 3] = [
        |facts| facts.gate.fills[0].volume = key("db/other"),
        |facts| facts.gate.fills[0].root = "/elsewhere".into(),
        |facts| facts.gate.fills[0].directory = identity("other", 2),
    ];
    for change in changes {
        let mut facts = facts.clone();
        change(&mut facts);
        let why = refused(good.clone(), &facts, "owed to another");
        assert!(why.starts_with("nothing is owed to"), "{why}");
    }
}

#[test]
fn a_mount_with_a_volume_of_its_own_trash_is_not_emptied_over_it() {
    let mut facts = mount_destroyed();
    let good = plan_of(&facts);
    facts.mark(&mount(), &key("db/m"), None);
    let why = refused(good, &facts, "a mark");
    assert!(why.contains("adopt"), "{why}");
}

#[test]
fn a_mode_of_whole_disks_wants_the_whole_file_system_mounted_there() {
    let mut facts = mount_destroyed();
    facts.policy.mount_mode = Some(WipeMode::Reformat);
    let at = |facts: &mut Facts, is_mount_point: bool, below: &str| {
        let Known::Known(mount) = &mut facts.disk(&mount()).mount else {
            panic!("not mounted");
        };
        mount.is_mount_point = is_mount_point;
        mount.location.path = Raw::from(below);
    };
    at(&mut facts, true, "/");
    let good = plan(&facts);
    let is_reformat = |plan: &Plan| {
        plan.steps.iter().any(|step| {
            matches!(step, Step::EmptyMount { authorization, .. }
                if authorization.method().mode == WipeMode::Reformat)
        })
    };
    assert!(is_reformat(&good), "{good:#?}");
    assert!(check(good.clone(), &facts).is_ok());
    for (is_mount_point, below) in [(true, "/below"), (false, "/"), (false, "/below")] {
        let mut facts = facts.clone();
        at(&mut facts, is_mount_point, below);
        assert!(!is_reformat(&plan_of(&facts)));
        let why = refused(good.clone(), &facts, below);
        assert!(
            !is_mount_point || why.ends_with("is for whole disks"),
            "{why}"
        );
    }
}
