//! Roots, directories, trash and MOUNT disks in states that a hostile world brings about.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, FsLocation, HolderKind, Known, MountContent, OperationKind,
    OperationState, OrphanPolicy, RootFacts,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::memory::UnwitnessedBatch;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Kept, Step};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::units::{Raw, Span};

use super::builder::{
    DAY, HOUR, World, a_reservation, a_root, a_task, a_volume, an_operation, fingerprint,
    first_met, healthy, key, mount, path, root, unknown, uuid,
};
use super::own::changed;
use super::story::{codes, evidence_for, plan_of, quarantined, records, settle, steps};

fn second(kind: DiskType) -> DiskRef {
    DiskRef {
        kind,
        root: "/mnt/more".into(),
    }
}

/// A root that shows the directory at this place of another root's file system.
pub(crate) fn bind(facts: &mut Facts, of: &DiskRef, below: &str, kind: DiskType) {
    let of = facts.disk(of).clone();
    let mut bound = a_root(&second(kind));
    bound.filesystem = of.filesystem.clone();
    if kind == DiskType::Mount {
        bound.filesystem.marker = Known::Absent;
    }
    if let (Known::Known(mount), Known::Known(theirs)) = (&mut bound.mount, &of.mount) {
        mount.device = theirs.device;
        mount.location = theirs.location.clone();
        if !below.is_empty() {
            mount.location.path = mount.location.path.join(below);
        }
    }
    if below.is_empty() {
        bound.dirs = of.dirs.clone();
        bound.trash = of.trash.clone();
    } else {
        for print in [&mut bound.filesystem.present, &mut bound.filesystem.ledger] {
            if let Known::Known(print) = print {
                print.directory.handle = format!("1:{below}");
            }
        }
    }
    facts.roots.push(bound);
}

fn orphan_on(disk: &DiskRef) -> Facts {
    let mut facts = healthy();
    facts.mkdir(disk, &key("db/o"));
    facts.pass();
    facts.later(DAY);
    facts
}

// Roots.

#[test]
fn a_root_first_met_is_remembered_when_every_held_directory_is_there() {
    let mut facts = first_met();
    facts.create(&path(), &key("db/a"));
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["adopt_root", "adopt_root", "adopt_root"]);
    let (after, _) = settle(&facts);
    assert!(plan_of(&after).is_idle());
}

#[test]
fn a_root_is_not_taken_on_while_it_cannot_be_told_what_belongs_there() {
    let mut facts = first_met();
    facts.tasks = unknown();
    assert!(plan_of(&facts).is_idle());
    facts.words.accept_root = Some(path().root);
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["adopt_root"]);
}

#[test]
fn a_missing_mount_is_no_root_to_take_on() {
    let mut facts = first_met();
    facts.create(&path(), &key("db/a"));
    facts.rmdir(&path(), &key("db/a"));
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["adopt_root", "adopt_root"], "{made:#?}");
    assert!(
        made.steps
            .iter()
            .all(|step| !serde_json::to_string(step).unwrap().contains("/mnt/data"))
    );
}

#[test]
fn a_root_is_remembered_by_file_system_and_directory_not_by_the_name_of_its_type() {
    let mut facts = healthy();
    if let Known::Known(print) = &mut facts.disk(&path()).filesystem.ledger {
        print.fs_type = "ext3".to_owned();
    }
    facts.create(&path(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
    settle(&facts);
}

#[test]
fn accepting_a_root_is_done_once() {
    let mut facts = healthy();
    facts.disk(&path()).filesystem.ledger = Known::Known(fingerprint("another"));
    facts.disk(&path()).filesystem.marker = Known::Known("another".to_owned());
    facts.words.accept_root = Some(path().root);
    let (_, taken) = settle(&facts);
    assert_eq!(taken, ["adopt_root"]);
}

#[test]
fn swapped_disks_are_left_alone() {
    let mut facts = healthy();
    bind(&mut facts, &path(), "", DiskType::Path);
    let other = facts.disk(&second(DiskType::Path));
    *other = RootFacts {
        disk: second(DiskType::Path),
        ..a_root(&second(DiskType::Path))
    };
    facts.create(&path(), &key("db/a"));
    facts.create(&second(DiskType::Path), &key("db/b"));
    facts.pass();
    facts.later(60);
    let (one, two) = (
        facts.disk(&path()).clone(),
        facts.disk(&second(DiskType::Path)).clone(),
    );
    let swap = |to: &mut RootFacts, from: &RootFacts| {
        to.mount = from.mount.clone();
        to.dirs = from.dirs.clone();
        to.filesystem.present = from.filesystem.present.clone();
        to.filesystem.marker = from.filesystem.marker.clone();
    };
    swap(facts.disk(&path()), &two);
    swap(facts.disk(&second(DiskType::Path)), &one);
    facts.destroy(&key("db/a"), 7);
    facts.words.wipe = Some(key("db/b"));
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert!(made.blocked());
}

// Directories.

#[test]
fn a_missing_directory_is_made_only_for_a_volume_that_came_while_we_watched() {
    let mut facts = healthy();
    facts.later(60);
    facts.create(&path(), &key("db/new"));
    facts.rmdir(&path(), &key("db/new"));
    assert_eq!(steps(&plan_of(&facts)), ["create"]);
    let (after, _) = settle(&facts);
    assert!(plan_of(&after).is_idle());
    // Once it was seen it is vanished, and nothing makes it again.
    let mut seen = after;
    seen.later(60);
    seen.pass();
    seen.rmdir(&path(), &key("db/new"));
    assert!(plan_of(&seen).is_idle());
    seen.policy.recreate_vanished = true;
    assert_eq!(steps(&plan_of(&seen)), ["create"]);
    seen.policy.recreate_vanished = false;
    seen.words.recreate = Some(key("db/new"));
    assert_eq!(steps(&plan_of(&seen)), ["create"]);
}

#[test]
fn without_memory_nobody_knows_what_was_never_there() {
    let mut facts = healthy();
    facts.create(&path(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.rmdir(&path(), &key("db/a"));
    facts.memory = Known::Absent;
    for _ in 0..3 {
        assert!(plan_of(&facts).is_idle());
        facts.pass();
        facts.later(60);
    }
    // Neither after a long time without a look.
    let mut slept = healthy();
    slept.later(30 * DAY);
    slept.create(&path(), &key("db/a"));
    slept.rmdir(&path(), &key("db/a"));
    assert!(plan_of(&slept).is_idle());
    // Nor after passes that could not tell what was named.
    let mut blind = healthy();
    blind.checkpoint.state = CheckpointFile::Empty;
    blind.pass();
    blind.later(60);
    blind.checkpoint.state = healthy().checkpoint.state;
    blind.create(&path(), &key("db/a"));
    blind.rmdir(&path(), &key("db/a"));
    assert!(plan_of(&blind).is_idle());
}

#[test]
fn an_accepted_root_is_right_as_it_is_and_its_missing_directories_stay_vanished() {
    let mut facts = first_met();
    for name in ["db/a", "db/b"] {
        facts.create(&path(), &key(name));
        facts.rmdir(&path(), &key(name));
    }
    facts.pass();
    // Until then the operator's word makes one directory.
    let mut asked = facts.clone();
    asked.words.recreate = Some(key("db/b"));
    assert_eq!(steps(&plan_of(&asked)), ["create"]);
    // The word itself makes none.
    facts.words.accept_root = Some(path().root);
    let (mut facts, taken) = settle(&facts);
    assert_eq!(taken, ["adopt_root"]);
    facts.words.accept_root = None;
    facts.later(60);
    let (mut facts, taken) = settle(&facts);
    assert_eq!(
        taken,
        ["adopt_root", "adopt_root"],
        "the other roots are remembered as ever; an empty directory would hide the loss"
    );
    // Each is made on the operator's word for it.
    facts.words.recreate = Some(key("db/b"));
    assert_eq!(steps(&plan_of(&facts)), ["create"]);
    facts.words.recreate = None;
    // Another disk is not waived by `recreate`.
    facts.words.recreate = Some(key("db/a"));
    assert_eq!(steps(&plan_of(&facts)), ["create"]);
    facts.disk(&path()).filesystem.ledger = Known::Known(fingerprint("another"));
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert_eq!(codes(&made, "db/a"), [Refusal::FingerprintMismatch]);
}

#[test]
fn a_destroy_on_a_root_that_was_not_verified_is_due_once_it_is_accepted() {
    let mut facts = first_met();
    facts.create(&path(), &key("db/lost"));
    facts.rmdir(&path(), &key("db/lost"));
    facts.create(&path(), &key("db/goes"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/goes"), 7);
    let made = plan_of(&facts);
    assert_eq!(codes(&made, "db/goes"), [Refusal::RootUnverified]);
    assert!(made.blocked());
    facts.words.accept_root = Some(path().root);
    let (mut facts, _) = settle(&facts);
    facts.words.accept_root = None;
    facts.later(60);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/goes"]);
}

#[test]
fn a_directory_is_made_by_the_effective_generation_alone() {
    let ways: [fn(&mut Facts); 7] = [
        // On the disk that only the older file names.
        |facts| {
            facts.state().resources.pop();
            let volume = a_volume(&root(), &key("db/new"));
            facts.state().resources.push(volume);
            facts.mkdir(&root(), &key("db/new"));
        },
        |facts| {
            facts.state().resources.pop();
        },
        |facts| {
            facts.checkpoint.state_target = facts.checkpoint.state.clone();
        },
        |facts| {
            facts.checkpoint.info_target = facts.checkpoint.info.clone();
        },
        |facts| {
            let volume = a_volume(&path(), &key("db/new"));
            facts.operate(OperationKind::Resize, OperationState::Pending, 9, volume);
        },
        |facts| {
            facts.trash(&root(), &key("db/new"), TrashState::Cleared);
        },
        |facts| facts.disk(&path()).dirs = unknown(),
    ];
    for way in ways {
        let mut facts = healthy();
        facts.later(60);
        facts.create(&path(), &key("db/new"));
        facts.rmdir(&path(), &key("db/new"));
        way(&mut facts);
        facts.policy.recreate_vanished = true;
        let made = plan_of(&facts);
        assert!(!steps(&made).contains(&"create".to_owned()), "{made:#?}");
    }
}

#[test]
fn the_directory_of_a_held_volume_under_another_name_is_held() {
    let mut facts = orphan_on(&path());
    facts.create(&path(), &key("db/held"));
    facts.pass();
    let twin = |facts: &mut Facts| {
        let Known::Known(dirs) = &mut facts.disk(&path()).dirs else {
            panic!()
        };
        dirs[0].identity = dirs[1].identity.clone();
    };
    let mut seen = facts.clone();
    twin(&mut seen);
    seen.words.wipe = Some(key("db/o"));
    assert_eq!(codes(&plan_of(&seen), "db/o"), [Refusal::Held]);
    // Also where only the memory knows what the held volume's directory is.
    let mut remembered = seen;
    remembered.rmdir(&path(), &key("db/held"));
    assert_eq!(codes(&plan_of(&remembered), "db/o"), [Refusal::Held]);
}

#[test]
fn the_root_of_a_held_mount_disk_is_held_wherever_it_shows() {
    // A MOUNT root that is a bind mount of an orphan's directory (F§11: accepted by the agent).
    let mut facts = orphan_on(&path());
    bind(&mut facts, &path(), "volumes/roles/db/o", DiskType::Mount);
    let bound = second(DiskType::Mount);
    facts.create(&bound, &key("db/m"));
    let made = plan_of(&facts);
    let is_it = |kept: &&Kept| kept.volume == Some(key("db/o"));
    let reasons = &made.kept.iter().find(is_it).unwrap().reasons;
    let told: Vec<_> = reasons
        .iter()
        .map(|reason| (reason.code, reason.detail.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Refusal::Held, "it is the directory of held volume db/m"),
            (Refusal::MountInside, "MOUNT:/mnt/more lies inside it"),
        ]
    );
    // Known by its identity where the place can't be told.
    if let Known::Known(dirs) = &mut facts.disk(&path()).dirs {
        dirs[0].location = unknown();
        let identity = dirs[0].identity.known().cloned().unwrap();
        if let Known::Known(print) = &mut facts.disk(&bound).filesystem.present {
            print.directory = identity;
        }
    }
    assert!(codes(&plan_of(&facts), "db/o").contains(&Refusal::Held));
}

#[test]
fn a_neighbour_whose_name_begins_with_that_of_another_is_not_in_it() {
    let mut facts = healthy();
    facts.create(&path(), &key("db/held"));
    facts.mkdir(&path(), &key("db/held-old"));
    facts.mkdir(&path(), &key("db/hel"));
    facts.pass();
    facts.later(DAY);
    assert_eq!(steps(&plan_of(&facts)), ["quarantine", "quarantine"]);
}

#[test]
fn what_holds_a_root_or_lies_in_a_held_volume_is_nobodys_garbage() {
    // A PATH root below an orphan's directory.
    let mut facts = orphan_on(&path());
    bind(
        &mut facts,
        &path(),
        "volumes/roles/db/o/deep",
        DiskType::Path,
    );
    assert_eq!(codes(&plan_of(&facts), "db/o"), [Refusal::MountInside]);
    // The same when it is not mounted, by its text.
    let mut facts = orphan_on(&path());
    let mut inside = a_root(&DiskRef {
        kind: DiskType::Path,
        root: "/mnt/data/volumes/roles/db/o/deep".into(),
    });
    inside.mount = Known::Absent;
    facts.roots.push(inside);
    assert_eq!(codes(&plan_of(&facts), "db/o"), [Refusal::MountInside]);
    // An orphan's directory inside a held volume: the tenant's own data.
    let mut facts = orphan_on(&path());
    bind(
        &mut facts,
        &path(),
        "volumes/roles/db/held/deep",
        DiskType::Path,
    );
    facts.create(&path(), &key("db/held"));
    facts.mkdir(&second(DiskType::Path), &key("db/inner"));
    facts.pass();
    facts.later(DAY);
    let made = plan_of(&facts);
    assert_eq!(codes(&made, "db/inner"), [Refusal::Held]);
    assert_eq!(quarantined(&made), ["db/o"]);
    // And inside a held MOUNT disk.
    let mut facts = healthy();
    bind(&mut facts, &mount(), "", DiskType::Path);
    facts.create(&mount(), &key("db/m"));
    facts.mkdir(&second(DiskType::Path), &key("db/o"));
    facts.pass();
    facts.later(DAY);
    assert_eq!(codes(&plan_of(&facts), "db/o"), [Refusal::Held]);
}

#[test]
fn two_roots_that_are_one_directory_have_one_step() {
    let mut facts = orphan_on(&path());
    facts.trash(&path(), &key("db/t"), TrashState::Cleared);
    bind(&mut facts, &path(), "", DiskType::Path);
    facts.pass();
    facts.later(DAY);
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["quarantine", "wipe"]);
    assert_eq!(codes(&made, "db/o"), [Refusal::Contested]);
    assert!(!made.blocked());
    settle(&facts);
}

#[test]
fn names_that_are_not_utf8_are_told_apart_by_their_bytes() {
    let mut facts = healthy();
    let odd = |byte: u8| {
        mesos_volumed::mesos::ids::VolumeKey::new(
            mesos_volumed::mesos::ids::Role::new("db"),
            mesos_volumed::mesos::ids::PersistenceId::new(Raw::new(vec![b'x', byte])),
        )
    };
    facts.create(&path(), &odd(0xfe));
    facts.mkdir(&path(), &odd(0xff));
    facts.pass();
    facts.later(DAY);
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), ["db/x\\xff"]);
}

// The brake.

#[test]
fn the_brake_counts_a_day_of_lived_time_and_from_its_first_baseline() {
    let mut facts = healthy();
    facts.policy.brake_min = 2;
    facts.policy.brake_percent = 50;
    let orphans = |facts: &mut Facts, names: &[&str]| {
        for name in names {
            facts.mkdir(&path(), &key(name));
        }
        facts.pass();
        facts.later(DAY);
    };
    // A baseline of ten: five may go in a day.
    facts.memory().unwitnessed.push(UnwitnessedBatch {
        at: Span::seconds(DAY),
        count: 3,
        of: 10,
    });
    facts.memory().clock.lived = Span::seconds(DAY);
    orphans(&mut facts, &["db/1", "db/2"]);
    let mut now = facts.clone();
    now.later(1);
    // A second later the first batch is a day old; half of the two that are there is one, but
    // two never trip it.
    assert_eq!(quarantined(&plan_of(&now)).len(), 2);
    let mut early = facts.clone();
    early.memory().unwitnessed[0].at = Span::seconds(DAY + 60);
    assert_eq!(quarantined(&plan_of(&early)).len(), 2, "3 and 2 of 10");
    early.memory().unwitnessed[0].count = 4;
    assert_eq!(quarantined(&plan_of(&early)).len(), 0, "4 and 2 of 10");
    // What was done counts on.
    let (after, _) = settle(&facts);
    assert_eq!(
        after
            .memory
            .known()
            .unwrap()
            .unwitnessed
            .last()
            .unwrap()
            .count,
        2
    );
}

// The trash.

#[test]
fn what_is_named_or_doubtful_at_the_second_look_goes_back() {
    let doubts: [fn(&mut Facts); 5] = [
        |facts| {
            let volume = a_volume(&root(), &key("db/t"));
            facts.state().resources.push(volume);
        },
        |facts| facts.tasks = Known::Known(vec![a_task(&key("db/t"))]),
        |facts| facts.providers = unknown(),
        |facts| facts.answer = AgentAnswer::Recovering,
        |facts| facts.checkpoint.state = CheckpointFile::Empty,
    ];
    for doubt in doubts {
        for state in [TrashState::Prepared, TrashState::Moved] {
            let mut facts = healthy();
            facts.trash(&root(), &key("db/t"), state);
            let calm = plan_of(&facts);
            assert_eq!(steps(&calm), ["clear"]);
            doubt(&mut facts);
            assert_eq!(steps(&plan_of(&facts)), ["put_back"]);
            // Never over something else, never while an operation on it is pending.
            let mut taken = facts.clone();
            taken.mkdir(&root(), &key("db/t"));
            let made = plan_of(&taken);
            assert!(made.is_idle());
            assert!(made.blocked());
            assert!(codes(&made, "db/t").contains(&Refusal::Contested));
            if let CheckpointFile::Whole(state) = &mut facts.checkpoint.state {
                state.operations.push(an_operation(
                    OperationKind::Destroy,
                    OperationState::Pending,
                    9,
                    &[a_volume(&root(), &key("db/t"))],
                ));
                let made = plan_of(&facts);
                assert!(made.is_idle());
                assert!(codes(&made, "db/t").contains(&Refusal::PendingOperation));
            }
        }
    }
}

#[test]
fn a_destroy_is_not_forgotten_when_its_data_goes_back_in_doubt() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    let made = plan_of(&facts);
    facts = super::ideal::apply(&made, &facts);
    // The second look comes to no end for a while: something in it is open.
    facts.state().operations.clear();
    facts.hold(&root(), "", HolderKind::OpenFile);
    if let Known::Known(holders) = &mut facts.holders {
        let place = facts.roots[0].trash.known().unwrap()[0].location.clone();
        holders[0].location = place.known().unwrap().clone();
    }
    facts.later(60);
    facts.pass();
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::InUseFd]);
    // Then a doubt: it goes back, and must go again.
    facts.holders = Known::Known(Vec::new());
    facts.providers = unknown();
    facts.later(60);
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["put_back"]);
    facts = super::ideal::apply(&made, &facts);
    facts.providers = Known::Known(Vec::new());
    facts.restart_agent();
    facts.later(60);
    assert_eq!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn an_entry_without_data_is_only_a_frame() {
    for state in [
        TrashState::Prepared,
        TrashState::Moved,
        TrashState::Cleared,
        TrashState::Wiping,
    ] {
        let mut facts = healthy();
        facts.trash(&root(), &key("db/t"), state).data = Known::Absent;
        assert_eq!(steps(&plan_of(&facts)), ["void"], "{state:?}");
    }
}

#[test]
fn a_wipe_that_began_goes_on_whatever_its_retention() {
    let mut facts = healthy();
    facts.policy.retention = Span::seconds(7 * DAY);
    facts.trash(&root(), &key("db/t"), TrashState::Wiping);
    assert_eq!(steps(&plan_of(&facts)), ["wipe"]);
}

#[test]
fn two_entries_for_one_place_are_for_people_to_tell_apart() {
    let mut facts = healthy();
    facts.trash(&root(), &key("db/t"), TrashState::Moved);
    let entry = facts.trash(&root(), &key("db/t"), TrashState::Moved);
    for identity in [
        &mut entry.data,
        &mut entry.manifest.clone().map(|m| m.identity),
    ] {
        if let Known::Known(identity) = identity {
            identity.handle = "1:the other".to_owned();
        }
    }
    if let Known::Known(manifest) = &mut entry.manifest {
        manifest.identity.handle = "1:the other".to_owned();
    }
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    facts.create(&root(), &key("db/t"));
    facts.rmdir(&root(), &key("db/t"));
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    assert!(made.blocked());
}

#[test]
fn the_trash_of_a_lost_memory_expires_some_time() {
    let mut facts = healthy();
    facts.policy.retention = Span::seconds(7 * DAY);
    facts.memory().clock.lived = Span::seconds(400 * DAY);
    facts.trash(&root(), &key("db/t"), TrashState::Cleared);
    facts.memory = Known::Absent;
    facts.pass();
    assert_eq!(facts.memory().clock.lived, Span::seconds(400 * DAY));
    facts.later(2 * DAY);
    assert_eq!(codes(&plan_of(&facts), "db/t"), [Refusal::Retention]);
    for _ in 0..3 {
        facts.pass();
        facts.later(2 * DAY);
    }
    assert_eq!(steps(&plan_of(&facts)), ["wipe"]);
    // A clock that another machine wrote is no clock.
    let mut foreign = healthy();
    foreign.memory().clock.lived = Span::seconds(400 * DAY);
    let entry = foreign.trash(&root(), &key("db/t"), TrashState::Cleared);
    if let Known::Known(manifest) = &mut entry.manifest {
        manifest.machine_id = "another".into();
    }
    foreign.memory = Known::Absent;
    foreign.pass();
    assert_eq!(foreign.memory().clock.lived, Span::ZERO);
}

#[test]
fn a_trash_entry_on_a_root_that_may_not_be_used_is_said_to_be_due() {
    for state in [TrashState::Moved, TrashState::Cleared, TrashState::Wiping] {
        let mut facts = healthy();
        facts.trash(&root(), &key("db/t"), state);
        facts.disk(&root()).filesystem.ledger = Known::Known(fingerprint("another"));
        facts.answer = AgentAnswer::Recovering;
        let made = plan_of(&facts);
        assert!(made.is_idle());
        assert!(made.blocked());
        assert_eq!(
            codes(&made, "db/t"),
            [Refusal::AgentRecovering, Refusal::FingerprintMismatch]
        );
    }
}

#[test]
fn orphans_go_for_their_retention_or_at_once_as_the_policy_says() {
    for (policy, retention, taken) in [
        (
            OrphanPolicy::Quarantine,
            7 * DAY,
            vec!["quarantine", "clear"],
        ),
        (OrphanPolicy::Wipe, 0, vec!["quarantine", "clear", "wipe"]),
        (OrphanPolicy::Report, 0, vec![]),
    ] {
        let mut facts = orphan_on(&path());
        facts.policy.orphans = policy;
        for step in plan_of(&facts).steps {
            if let Step::Quarantine { manifest, .. } = step {
                assert_eq!(manifest.retention, Span::seconds(retention));
                assert!(!manifest.evidence.witnessed());
            }
        }
        assert_eq!(settle(&facts).1, taken);
    }
    // The operator's word is neither an orphan nor kept.
    let mut facts = orphan_on(&path());
    facts.policy.orphans = OrphanPolicy::Report;
    facts.words.wipe = Some(key("db/o"));
    assert_eq!(settle(&facts).1, ["quarantine", "clear", "wipe"]);
}

#[test]
fn a_memory_that_could_not_be_read_is_not_written_over() {
    let mut facts = healthy();
    assert!(!plan(&facts).memory_unknown);
    facts.memory = Known::Absent;
    assert!(!plan(&facts).memory_unknown);
    facts.memory = unknown();
    assert!(plan(&facts).memory_unknown);
    let mut lied = plan(&facts);
    lied.memory_unknown = false;
    assert!(mesos_volumed::decide::check::check(lied, &facts).is_err());
}

#[test]
fn a_later_round_leaves_a_memory_that_says_the_same_as_it_is() {
    let mut facts = healthy();
    facts.create(&path(), &key("db/v"));
    facts.pass();
    // Another pass writes: its lived time must not be lost.
    assert!(!plan(&facts).memory_written);
    facts.words.later_round = true;
    assert!(plan(&facts).memory_written);
    // But for a moment of lived time, which counts for nothing.
    facts.host.now.since_boot = facts
        .host
        .now
        .since_boot
        .plus(Span(std::time::Duration::from_millis(900)));
    assert!(plan(&facts).memory_written);
    facts.later(1);
    assert!(!plan(&facts).memory_written);
    facts.pass();
    assert!(plan(&facts).memory_written);
    // Whatever is new is written.
    facts.mkdir(&path(), &key("db/orphan"));
    let lied = plan(&facts);
    assert!(!lied.memory_written);
    let lied = Plan {
        memory_written: true,
        ..lied
    };
    let error = mesos_volumed::decide::check::check(lied, &facts).unwrap_err();
    assert!(error.why.contains("would not be written"), "{error}");
    facts.pass();
    facts.reboot();
    assert!(!plan(&facts).memory_written);
    facts.pass();
    for memory in [Known::Absent, unknown()] {
        facts.memory = memory;
        assert!(!plan(&facts).memory_written);
    }
}

#[test]
fn a_destroy_of_an_earlier_life_is_no_witness_against_what_a_downgraded_agent_made() {
    // Destroyed, and made anew by an agent before 1.8, which writes the older file alone.
    let mut facts = healthy();
    facts.create(&path(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    let anew = a_volume(&path(), &key("db/a"));
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(anew);
    }
    facts.stop_agent();
    assert_eq!(quarantined(&plan_of(&facts)), [""; 0]);
    facts.pass();
    facts.later(60);
    // The agent of 1.9 is back, and writes the older file without it.
    facts.restart_agent();
    facts.forget(&key("db/a"));
    for _ in 0..2 {
        let made = plan_of(&facts);
        assert_eq!(quarantined(&made), [""; 0], "{:#?}", made.kept);
        facts.pass();
        facts.later(60);
    }
    assert_eq!(super::story::gone(&facts, "db/a"), None);
}

// The agent's own word.

#[test]
fn what_only_the_agents_operator_api_names_is_kept() {
    let facts = orphan_on(&root());
    let good = plan_of(&facts);
    assert_eq!(quarantined(&good), ["db/o"]);
    let volume = a_volume(&root(), &key("db/o"));
    let operation = |state| {
        an_operation(
            OperationKind::Create,
            state,
            9,
            std::slice::from_ref(&volume),
        )
    };
    let cases = [
        (
            vec![operation(OperationState::Pending)],
            vec![],
            Some(Refusal::PendingOperation),
        ),
        (
            vec![operation(OperationState::Unclear)],
            vec![],
            Some(Refusal::PendingOperation),
        ),
        (vec![], vec![a_task(&key("db/o"))], Some(Refusal::InUseTask)),
        (vec![operation(OperationState::Finished)], vec![], None),
        (vec![operation(OperationState::Failed)], vec![], None),
    ];
    for (operations, tasks, code) in cases {
        let facts = changed(&facts, |facts| {
            let AgentAnswer::State(state) = &mut facts.answer else {
                panic!("{:?}", facts.answer)
            };
            (state.operations, state.tasks) = (operations, tasks);
        });
        let made = plan_of(&facts);
        assert_eq!(made.is_idle(), code.is_some(), "{code:?}");
        assert_eq!(
            check(good.clone(), &facts).is_err(),
            code.is_some(),
            "{code:?}"
        );
        if let Some(code) = code {
            assert!(codes(&made, "db/o").contains(&code), "{:#?}", made.kept);
        }
    }
}

// MOUNT disks.

/// `db/m` on the MOUNT disk was destroyed by operation 7; the barrier is up.
pub(crate) fn mount_destroyed() -> Facts {
    let mut facts = healthy();
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/m"), 7);
    facts.stop_agent();
    facts.policy.start_gate = true;
    facts
}

#[test]
fn a_destroyed_mount_is_emptied_behind_the_gate_which_opens_after() {
    let (after, taken) = settle(&mount_destroyed());
    assert_eq!(taken, ["empty_mount", "open_gate"]);
    assert_eq!(records(&after), ["db/stays"]);
}

#[test]
fn a_mount_whose_volume_went_without_an_operation_is_reported_only() {
    let mut facts = healthy();
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/m"));
    facts.stop_agent();
    facts.policy.start_gate = true;
    for _ in 0..3 {
        let made = plan_of(&facts);
        assert!(made.is_idle());
        assert_eq!(codes(&made, "db/m"), [Refusal::ReportOnly]);
        assert!(!made.blocked());
        facts.pass();
        facts.later(DAY);
    }
    // The operator can name it.
    facts.words.wipe = Some(key("db/m"));
    assert_eq!(settle(&facts).1, ["empty_mount", "open_gate"]);
    // On the file system that it was on, and no other.
    facts.disk(&mount()).filesystem.present = Known::Known(fingerprint("another"));
    facts.disk(&mount()).filesystem.ledger = Known::Known(fingerprint("another"));
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert_eq!(codes(&made, "db/m"), [Refusal::FingerprintMismatch]);
}

#[test]
fn a_mount_belongs_to_its_new_tenant_with_all_that_lies_on_it() {
    for doubtful in [false, true] {
        let mut facts = mount_destroyed();
        facts.policy.start_gate = false;
        facts.pass();
        // A new volume on it, seen in a certain or a doubtful pass only.
        facts.create(&mount(), &key("db/tenant"));
        if doubtful {
            facts.providers = unknown();
        }
        facts.later(60);
        facts.pass();
        facts.providers = Known::Known(Vec::new());
        // The power cut takes the new tenant from the checkpoint: its data is live.
        facts.forget(&key("db/tenant"));
        facts.reboot();
        facts.policy.start_gate = true;
        let made = plan_of(&facts);
        assert!(made.is_idle(), "{made:#?}");
        // What it may have left there is told, and nothing is done about it.
        assert_eq!(codes(&made, "db/m"), [Refusal::ReportOnly]);
        assert_eq!(codes(&made, "db/tenant"), [Refusal::ReportOnly]);
    }
}

/// `db/m` was on the MOUNT disk in one pass, and `db/tenant` is in the next; `between` happens in
/// between, by an agent of 1.`minor`.
pub(crate) fn taken_over(minor: u64, between: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = healthy();
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    between(&mut facts);
    facts.create(&mount(), &key("db/tenant"));
    let AgentAnswer::State(state) = &mut facts.answer else {
        panic!("{:?}", facts.answer)
    };
    state.version = Some(format!("1.{minor}.0").parse().unwrap());
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    facts
}

#[test]
fn what_a_volume_may_have_left_to_the_next_is_told_until_it_is_over() {
    let forgotten = |facts: &mut Facts| facts.forget(&key("db/m"));
    let destroyed = |facts: &mut Facts| facts.destroy(&key("db/m"), 7);
    // An agent of 1.9 has emptied the disk before it wrote down that the volume is gone.
    let told = |facts: &Facts| codes(&plan_of(facts), "db/m") == [Refusal::ReportOnly];
    assert!(told(&taken_over(11, forgotten)), "no DESTROY was read");
    assert!(told(&taken_over(8, destroyed)));
    assert!(!told(&taken_over(9, destroyed)));
    let mut facts = taken_over(11, forgotten);
    let made = plan_of(&facts);
    assert!(made.is_idle() && !made.blocked());
    facts.pass();
    facts.later(60);
    assert!(told(&facts));
    // Another disk has nothing of it; on its return it is told again.
    let other = changed(&facts, |facts| {
        facts.disk(&mount()).filesystem.present = Known::Known(fingerprint("another"));
    });
    assert!(!told(&other));
    // Over: it was seen empty; the operator has looked; it is its own again.
    let ends: [fn(&mut Facts); 3] = [
        |facts: &mut Facts| {
            facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        },
        |facts| facts.words.accept_root = Some(mount().root),
        |facts| {
            facts.forget(&key("db/tenant"));
            facts.create(&mount(), &key("db/m"));
        },
    ];
    for end in ends {
        let mut facts = changed(&facts, end);
        assert!(!told(&facts));
        facts.pass();
        facts.later(60);
        facts.words = mesos_volumed::decide::facts::Words::default();
        facts.disk(&mount()).content = Known::Known(MountContent::Data);
        assert!(!told(&facts));
    }
}

#[test]
fn what_may_be_owed_on_a_mount_is_kept_back_while_the_memory_is_not_read() {
    let mut held = healthy();
    held.create(&mount(), &key("db/m"));
    held.create(&root(), &key("db/stays"));
    held.pass();
    held.later(60);
    held.disk(&mount()).content = Known::Known(MountContent::Data);
    let kept = |facts: &Facts| {
        let made = plan_of(&changed(facts, |facts| facts.memory = unknown()));
        assert!(made.is_idle(), "{made:#?}");
        let nobodys = |kept: &&Kept| kept.disk == mount() && kept.volume.is_none();
        let kept = made.kept.iter().find(nobodys).cloned();
        assert!(kept.is_none() || made.blocked());
        kept
    };
    assert_eq!(kept(&held), None, "it is held, which the checkpoint tells");
    let gone = changed(&held, |facts| {
        facts.forget(&key("db/m"));
        facts.disk(&mount()).content = Known::Known(MountContent::Data);
    });
    let owed = kept(&gone).unwrap();
    assert!(owed.due && owed.reasons[0].code == Refusal::AuthorityUnknown);
    let empty = changed(&gone, |facts| {
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    });
    assert_eq!(kept(&empty), None);
}

#[test]
fn what_a_volume_left_before_it_was_created_elsewhere_is_told() {
    let mut facts = healthy();
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/m"));
    facts.create(&root(), &key("db/m"));
    for _ in 0..3 {
        let made = plan_of(&facts);
        assert!(made.is_idle());
        let told = made
            .kept
            .iter()
            .any(|kept| kept.disk == mount() && kept.volume == Some(key("db/m")) && !kept.due);
        assert!(told, "{:#?}", made.kept);
        facts.pass();
        facts.later(60);
    }
}

#[test]
fn a_create_that_is_only_wanted_takes_no_mount_over() {
    let mut facts = mount_destroyed();
    facts.policy.start_gate = false;
    facts.pass();
    let volume = a_volume(&mount(), &key("db/tenant"));
    facts.operate(OperationKind::Create, OperationState::Pending, 9, volume);
    facts.later(60);
    let made = plan_of(&facts);
    assert!(codes(&made, "db/m").contains(&Refusal::PendingOperation));
    facts.pass();
    // It fails: the destroyed volume's data is still owed.
    facts.state().operations.clear();
    facts.later(60);
    facts.policy.start_gate = true;
    assert_eq!(steps(&plan_of(&facts)), ["empty_mount"]);
}

#[test]
fn two_volumes_destroyed_on_one_mount_are_one_emptying() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/stays"));
    facts.create(&mount(), &key("db/m"));
    facts.pass();
    facts.later(60);
    // The second one comes and goes while nothing can be concluded.
    facts.destroy(&key("db/m"), 7);
    facts.providers = unknown();
    facts.pass();
    let record = facts.memory().volumes[0].clone();
    facts.create(&mount(), &key("db/n"));
    facts.pass();
    facts.destroy(&key("db/n"), 8);
    facts.providers = Known::Known(Vec::new());
    facts.memory().volumes[0] = record;
    facts.later(60);
    facts.stop_agent();
    facts.policy.start_gate = true;
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["empty_mount"], "{made:#?}");
}

#[test]
fn a_volume_that_only_a_task_names_keeps_the_mount_it_was_on() {
    let mut facts = mount_destroyed();
    let mut other = facts.memory().volumes[0].clone();
    other.key = key("db/running");
    facts.memory().volumes.push(other);
    facts.tasks = Known::Known(vec![a_task(&key("db/running"))]);
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert!(codes(&made, "db/m").contains(&Refusal::Held));
}

#[test]
fn a_mount_that_holds_another_root_is_not_emptied() {
    // A PATH root in a directory of the MOUNT's file system, mounted or not.
    let mut facts = mount_destroyed();
    bind(&mut facts, &mount(), "carved", DiskType::Path);
    facts.stop_agent();
    assert_eq!(codes(&plan_of(&facts), "db/m"), [Refusal::MountInside]);
    let mut facts = mount_destroyed();
    let mut inside = a_root(&DiskRef {
        kind: DiskType::Path,
        root: mount().root.join("carved"),
    });
    inside.mount = unknown();
    facts.roots.push(inside);
    facts.stop_agent();
    assert_eq!(codes(&plan_of(&facts), "db/m"), [Refusal::MountInside]);
    // The same disk as PATH and as MOUNT, with a volume carved from the PATH.
    let mut facts = mount_destroyed();
    bind(&mut facts, &mount(), "", DiskType::Path);
    facts.create(&second(DiskType::Path), &key("db/carved"));
    facts.stop_agent();
    let made = plan_of(&facts);
    assert!(!steps(&made).contains(&"empty_mount".to_owned()));
    assert_eq!(codes(&made, "db/m"), [Refusal::Held, Refusal::MountInside]);
}

#[test]
fn a_mount_inside_a_held_volume_is_not_emptied() {
    let mut facts = healthy();
    bind(
        &mut facts,
        &path(),
        "volumes/roles/db/held/deep",
        DiskType::Mount,
    );
    let inner = second(DiskType::Mount);
    facts.create(&path(), &key("db/held"));
    facts.create(&inner, &key("db/m"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/m"), 7);
    facts.stop_agent();
    facts.policy.start_gate = true;
    let made = plan_of(&facts);
    assert!(made.is_idle());
    assert_eq!(codes(&made, "db/m"), [Refusal::Held]);
}

#[test]
fn the_gate_stays_closed_while_a_disk_may_be_half_emptied() {
    let closed = || Known::Known(vec![mount().root]);
    // Whatever keeps the wipe from going on.
    let mut facts = mount_destroyed();
    facts.gate.closed_for = closed();
    facts.providers = unknown();
    assert!(plan_of(&facts).is_idle());
    // Begun by an operator's word, of which nothing is remembered.
    let mut word = mount_destroyed();
    word.state().operations.clear();
    word.restart_agent();
    word.pass();
    word.gate.closed_for = closed();
    assert!(plan_of(&word).is_idle());
    // With a memory that is lost or can't be read.
    for memory in [Known::Absent, unknown()] {
        let mut facts = mount_destroyed();
        facts.gate.closed_for = closed();
        facts.memory = memory;
        assert!(plan_of(&facts).is_idle());
        facts.gate.closed_for = unknown();
        assert!(plan_of(&facts).is_idle());
        facts.gate.closed_for = closed();
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
    }
    // A gate file that can't be read opens when nothing at all is left to empty.
    let mut facts = mount_destroyed();
    facts.gate.closed_for = unknown();
    facts.policy.protect = vec!["**".to_owned()];
    assert!(plan_of(&facts).is_idle());
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
    // And one that was closed for another disk does not wait for this one.
    let mut facts = mount_destroyed();
    facts.policy.protect = vec!["**".to_owned()];
    facts.gate.closed_for = Known::Known(vec!["/dcos/volume9".into()]);
    assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
}

#[test]
fn an_owed_mount_is_emptied_when_its_disk_returns_and_no_other() {
    let mut facts = mount_destroyed();
    let there = facts.disk(&mount()).clone();
    facts.disk(&mount()).mount = Known::Absent;
    facts.disk(&mount()).content = unknown();
    facts.disk(&mount()).filesystem.present = Known::Absent;
    facts.pass();
    facts.reboot();
    facts.later(HOUR);
    assert!(codes(&plan_of(&facts), "db/m").contains(&Refusal::NotMounted));
    let mut other = facts.clone();
    *other.disk(&mount()) = there.clone();
    other.disk(&mount()).filesystem.present = Known::Known(fingerprint("another"));
    other.disk(&mount()).filesystem.ledger = Known::Known(fingerprint("another"));
    assert!(plan_of(&other).is_idle());
    *facts.disk(&mount()) = there;
    assert_eq!(steps(&plan_of(&facts)), ["empty_mount"]);
}

#[test]
fn a_reservation_alone_is_a_whole_authority() {
    // 0.28: resources.info alone, another reservation left standing.
    let mut facts = healthy();
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Whole(vec![
        a_reservation("other"),
        a_volume(&root(), &key("db/a")),
    ]);
    facts.mkdir(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.checkpoint.info = CheckpointFile::Whole(vec![a_reservation("other")]);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
    facts.checkpoint.info = CheckpointFile::Empty;
    assert_eq!(
        codes(&plan_of(&facts), "db/a"),
        [Refusal::AuthorityEmpty, Refusal::GracePeriod]
    );
}

#[test]
fn a_holder_elsewhere_on_the_file_system_is_no_use_of_the_volume() {
    let mut facts = orphan_on(&path());
    facts.hold(&path(), "volumes/roles/db/o-other/x", HolderKind::OpenFile);
    facts.hold(&path(), "volumes/roles/db", HolderKind::WorkingDirectory);
    if let Known::Known(holders) = &mut facts.holders {
        let mut elsewhere = holders[0].clone();
        elsewhere.location = FsLocation {
            device: mesos_volumed::decide::facts::DeviceNumber { major: 1, minor: 1 },
            path: "/volumes/roles/db/o/x".into(),
        };
        holders.push(elsewhere);
    }
    assert_eq!(quarantined(&plan_of(&facts)), ["db/o"]);
}

#[test]
fn a_destroy_on_a_mount_that_was_never_seen_is_told_all_the_same() {
    let mut facts = mount_destroyed();
    facts.pass();
    // Its disk was not mounted whenever a pass looked while the volume was held.
    for record in &mut facts.memory().volumes {
        for place in &mut record.places {
            place.filesystem = None;
        }
    }
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    assert_eq!(codes(&made, "db/m"), [Refusal::ReportOnly]);
    // Its name alone does not say that this is the disk; naming the disk does.
    facts.words.wipe = Some(key("db/m"));
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    assert_eq!(codes(&made, "db/m"), [Refusal::FingerprintMismatch]);
    facts.words.wipe_root = Some("/elsewhere".into());
    assert!(plan_of(&facts).is_idle());
    facts.words.wipe_root = Some(mount().root);
    let good = plan_of(&facts);
    assert_eq!(settle(&facts).1, ["empty_mount", "open_gate"]);
    // The word is for what nobody knows: not for a disk that is known to be another, nor for one that
    // may not be used.
    let lies: [fn(&mut Facts); 5] = [
        |facts: &mut Facts| {
            for record in &mut facts.memory().volumes {
                for place in &mut record.places {
                    place.filesystem = Some("another".to_owned());
                }
            }
        },
        |facts| {
            facts.disk(&mount()).filesystem.ledger = Known::Known(fingerprint("another"));
        },
        |facts| facts.words.wipe_root = None,
        |facts| facts.words.wipe = Some(key("db/stays")),
        |facts| facts.create(&mount(), &key("db/m")),
    ];
    for lie in lies {
        let facts = changed(&facts, lie);
        assert_eq!(steps(&plan_of(&facts)), [""; 0]);
        assert!(check(good.clone(), &facts).is_err());
    }
}

#[test]
fn a_name_that_was_on_two_disks_is_told_of_on_the_one_that_is_left() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.create(&mount(), &key("db/m"));
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/m"));
    for _ in 0..3 {
        let made = plan_of(&facts);
        let told = made
            .kept
            .iter()
            .any(|kept| kept.disk == mount() && kept.volume == Some(key("db/m")));
        assert!(told, "{:#?}", made.kept);
        facts = settle(&facts).0;
        facts.pass();
        facts.later(60);
    }
}
