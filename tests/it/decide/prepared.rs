//! Prepared MOUNT disks: each guard with and without, and the check that shares no code with the
//! planner.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, DeviceNumber, Facts, FsLocation, HiddenSide, HolderKind, Known, MountContent,
    TrashFacts,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Step, TrashId};
use mesos_volumed::units::{Raw, Span};

use super::builder::{
    DAY, MACHINE, WORK_DIR, World, a_task, an_agent, filesystem, fingerprint, healthy, identity,
    key, mount, root, unknown, uuid,
};
use super::story::{codes, plan_of, records, settle, steps};

const HIDDEN: &str = "/var/lib/mesos-volumed/mounts/x";

/// Its root shows `volume` of a file system whose own root is mounted out of sight.
fn prepared(facts: &mut Facts) {
    let disk = facts.disk(&mount());
    let print = disk.filesystem.present.known().unwrap().clone();
    disk.hidden = Known::Known(HiddenSide {
        path: HIDDEN.into(),
        directory: identity(&print.filesystem, 128),
    });
    disk.filesystem.marker = Known::Known(print.filesystem);
    if let Known::Known(mount) = &mut disk.mount {
        mount.location.path = "/volume".into();
    }
}

/// `db/m` on it was destroyed by operation 7; the barrier is up.
pub(crate) fn destroyed() -> Facts {
    let mut facts = healthy();
    prepared(&mut facts);
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/m"), 7);
    facts.stop_agent();
    facts.pass();
    facts.later(60);
    facts.policy.start_gate = true;
    facts
}

fn device(facts: &mut Facts) -> DeviceNumber {
    facts.disk(&mount()).mount.known().unwrap().device
}

/// An entry of `db/m` in this state, with data, and the gate closed, as a crash leaves it.
pub(crate) fn entry(facts: &mut Facts, state: TrashState) -> &mut TrashFacts {
    facts.pass();
    let lived_at = facts.memory().clock.lived;
    let device = device(facts);
    let disk = facts.disk(&mount());
    let print = disk.filesystem.present.known().unwrap().clone();
    let data = identity(&print.filesystem, 7777);
    let id = TrashId("1-abc-1".to_owned());
    disk.trash = Known::Known(vec![TrashFacts {
        id: id.clone(),
        manifest: Known::Known(Manifest {
            version: Manifest::VERSION,
            id,
            volume: key("db/m"),
            disk: mount(),
            path: "volume".into(),
            identity: data.clone(),
            emptied: Some(print.directory),
            state,
            evidence: Evidence::DestroyOperation(uuid(7)),
            unconfirmed: false,
            asked: None,
            machine_id: MACHINE.into(),
            work_dir: WORK_DIR.into(),
            plan: "abc".to_owned(),
            lived_at,
            retention: Span::ZERO,
            quarantined_at: 0,
            method: None,
            size: None,
        }),
        data: Known::Known(data),
        location: Known::Known(FsLocation {
            device,
            path: "/.mesos-volumed/trash/1-abc-1/data".into(),
        }),
        bare: false,
    }]);
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    facts.later(60);
    match &mut facts.disk(&mount()).trash {
        Known::Known(entries) => &mut entries[0],
        Known::Absent | Known::Unknown(_) => unreachable!(),
    }
}

/// A crash in the middle: part in the root, part in the entry.
pub(crate) fn half() -> Facts {
    let mut facts = destroyed();
    entry(&mut facts, TrashState::Prepared);
    facts
}

#[test]
fn a_destroyed_volume_is_moved_out_looked_at_again_and_wiped() {
    let (after, taken) = settle(&destroyed());
    assert_eq!(taken, ["move_out", "clear", "open_gate", "wipe"]);
    assert_eq!(records(&after), ["db/stays"]);
    assert_eq!(after.gate.closed_for, Known::Absent);
}

#[test]
fn its_own_retention_applies_and_the_disk_is_the_next_tenants_meanwhile() {
    let mut facts = destroyed();
    facts.policy.retention = Span::seconds(7 * DAY);
    let (mut facts, taken) = settle(&facts);
    assert_eq!(taken, ["move_out", "clear", "open_gate"]);
    assert_eq!(codes(&plan_of(&facts), "db/m"), [Refusal::Retention]);
    facts.create(&mount(), &key("db/next"));
    facts.later(60);
    facts.pass();
    for _ in 0..8 {
        facts.later(DAY);
        facts.pass();
    }
    let (_, taken) = settle(&facts);
    assert_eq!(
        taken,
        ["wipe"],
        "the entry goes, the next tenant's data stays"
    );
}

#[test]
fn what_is_laid_on_it_after_the_second_look_is_nobodys_garbage() {
    let mut facts = destroyed();
    facts.policy.retention = Span::seconds(7 * DAY);
    let (mut facts, _) = settle(&facts);
    // An operator fills the disk before its next volume, as Mesos allows.
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    facts.later(60);
    let (_, taken) = settle(&facts);
    assert_eq!(taken, [""; 0]);
}

/// A change, and its name.
pub(crate) type Change<T> = (&'static str, fn(&mut T));

/// What keeps a destroy from being carried out, and how it is told.
type Case = (&'static str, fn(&mut Facts), Refusal);

fn guards() -> Vec<Case> {
    vec![
        (
            "an agent runs",
            |f| {
                f.agent.processes = Known::Known(vec![an_agent(9)]);
                for root in &mut f.roots {
                    root.view = mesos_volumed::decide::facts::AgentView::Same;
                }
            },
            Refusal::NoBarrier,
        ),
        (
            "nothing obeys the gate",
            |f| f.policy.start_gate = false,
            Refusal::NoBarrier,
        ),
        (
            "agents are unknown",
            |f| f.agent.processes = unknown(),
            Refusal::NoBarrier,
        ),
        (
            "the hidden side is unknown",
            |f| f.disk(&mount()).hidden = unknown(),
            Refusal::NotMounted,
        ),
        (
            "the trash is unknown",
            |f| f.disk(&mount()).trash = unknown(),
            Refusal::ForeignTrash,
        ),
        (
            "the marker is another's",
            |f| f.disk(&mount()).filesystem.marker = Known::Known("another".to_owned()),
            Refusal::FingerprintMismatch,
        ),
        (
            "another file system",
            |f| f.disk(&mount()).filesystem.present = Known::Known(fingerprint("another")),
            Refusal::FingerprintMismatch,
        ),
        (
            "a mount of it",
            |f| f.hold(&mount(), "", HolderKind::MountOf),
            Refusal::InUseMount,
        ),
        (
            "a file in it",
            |f| f.hold(&mount(), "a/b", HolderKind::OpenFile),
            Refusal::InUseFd,
        ),
        (
            "holders unknown",
            |f| f.holders = unknown(),
            Refusal::HoldersUnknown,
        ),
        (
            "it is named",
            |f| {
                f.create(&mount(), &key("db/m"));
            },
            Refusal::Held,
        ),
        (
            "a task has it",
            |f| f.tasks = Known::Known(vec![a_task(&key("db/m"))]),
            Refusal::Held,
        ),
        (
            "another has it",
            |f| f.create(&mount(), &key("db/next")),
            Refusal::Held,
        ),
        (
            "providers unknown",
            |f| f.providers = unknown(),
            Refusal::AuthorityUnknown,
        ),
        (
            "protected",
            |f| f.policy.protect = vec!["db/*".to_owned()],
            Refusal::Protected,
        ),
        (
            "what lies in it is unknown",
            |f| f.disk(&mount()).content = unknown(),
            Refusal::NotMounted,
        ),
    ]
}

#[test]
fn each_guard_keeps_what_would_be_moved_out_and_the_check_sees_it_too() {
    let open = destroyed();
    let without = plan_of(&open);
    assert_eq!(steps(&without), ["move_out"]);
    for (what, change, code) in guards() {
        let mut closed = open.clone();
        change(&mut closed);
        let with = plan_of(&closed);
        assert!(!steps(&with).contains(&"move_out".to_owned()), "{what}");
        // What is named is held, and no more is said of its disk.
        let named = ["it is named", "a task has it", "another has it"].contains(&what);
        assert!(
            named || codes(&with, "db/m").contains(&code),
            "{what}: {with:#?}"
        );
        // `protect` is the checker's as well; every other one is a fact.
        assert!(
            check(without.clone(), &closed).is_err(),
            "{what}: the check lets it pass"
        );
    }
}

#[test]
fn what_is_half_moved_goes_on_behind_the_barrier_and_keeps_the_gate_closed() {
    let open = half();
    let made = plan_of(&open);
    assert_eq!(steps(&made), ["move_out"]);
    assert_eq!(settle(&open).1, ["move_out", "clear", "open_gate", "wipe"]);
    // Also when nothing is left in the root.
    let mut done = open.clone();
    done.disk(&mount()).content = Known::Known(MountContent::Empty);
    assert_eq!(steps(&plan_of(&done)), ["move_out"]);
    for (what, change, _) in guards() {
        let mut closed = open.clone();
        change(&mut closed);
        let with = plan_of(&closed);
        let names = steps(&with);
        assert!(!names.contains(&"move_out".to_owned()), "{what}: {with:#?}");
        assert!(
            !names.contains(&"open_gate".to_owned()),
            "{what}: {with:#?}"
        );
        assert!(!names.contains(&"clear".to_owned()), "{what}");
        if what != "the trash is unknown" {
            assert!(
                check(made.clone(), &closed).is_err(),
                "{what}: the check lets it pass"
            );
        }
    }
}

#[test]
fn what_is_half_moved_goes_back_when_it_is_named_again_or_nobody_knows() {
    for named in [true, false] {
        let mut facts = half();
        if named {
            facts.state().operations.clear();
            facts.create(&mount(), &key("db/m"));
        } else {
            facts.providers = unknown();
        }
        let made = plan_of(&facts);
        assert_eq!(steps(&made), ["put_back"], "{made:#?}");
        // Not beside an agent, not under a user, not over another tenant.
        let changes: [Change<Facts>; 5] = [
            ("an agent answers", |f| {
                f.agent.processes = Known::Known(vec![an_agent(9)]);
            }),
            ("no gate", |f| f.policy.start_gate = false),
            ("in use", |f| f.hold(&mount(), "x", HolderKind::OpenFile)),
            ("hidden side unknown", |f| {
                f.disk(&mount()).hidden = unknown();
            }),
            ("another tenant", |f| f.create(&mount(), &key("db/next"))),
        ];
        for (what, change) in changes {
            let mut closed = facts.clone();
            change(&mut closed);
            let with = plan_of(&closed);
            assert!(
                !steps(&with).contains(&"put_back".to_owned()),
                "{what}: {with:#?}"
            );
            assert!(!steps(&with).contains(&"open_gate".to_owned()), "{what}");
            assert!(
                check(made.clone(), &closed).is_err(),
                "{what}: the check lets it pass"
            );
        }
        // A task that is to have it again wants its data back.
        let mut wanted = facts.clone();
        wanted.tasks = Known::Known(vec![a_task(&key("db/m"))]);
        assert_eq!(steps(&plan_of(&wanted)), ["put_back"]);
    }
}

#[test]
fn what_is_wholly_moved_goes_back_only_where_nothing_lies_in_its_way() {
    let mut facts = destroyed();
    entry(&mut facts, TrashState::Moved);
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    assert_eq!(steps(&plan_of(&facts)), ["clear", "open_gate"]);
    facts.state().operations.clear();
    facts.create(&mount(), &key("db/m"));
    // `create` lays data there.
    let made = plan_of(&facts);
    assert!(!steps(&made).contains(&"put_back".to_owned()));
    assert!(codes(&made, "db/m").contains(&Refusal::Contested));
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    let back = plan_of(&facts);
    assert!(steps(&back).contains(&"put_back".to_owned()), "{back:#?}");
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    assert!(check(back, &facts).is_err());
}

#[test]
fn data_that_came_since_is_not_taken_for_the_rest() {
    // The record of the volume is closed: what lies there now is nobody's.
    let mut facts = half();
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    facts.pass();
    facts
        .memory()
        .volumes
        .retain(|record| record.key != key("db/m"));
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    let mut open = half();
    open.memory = facts.memory.clone();
    for facts in [&facts, &open] {
        let made = plan_of(facts);
        assert!(!steps(&made).contains(&"move_out".to_owned()), "{made:#?}");
        assert!(codes(&made, "db/m").contains(&Refusal::Contested));
        assert!(check(plan_of(&half()), facts).is_err());
    }
    // Another volume was on it since.
    let mut facts = half();
    facts.create(&mount(), &key("db/next"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/next"));
    let made = plan_of(&facts);
    assert!(!steps(&made).contains(&"move_out".to_owned()), "{made:#?}");
}

#[test]
fn entries_of_another_layout_disk_or_place_are_none_of_ours() {
    let changes: [Change<Manifest>; 5] = [
        ("of no destroy", |m| m.evidence = Evidence::GoneWithinRun),
        ("of a rename", |m| m.emptied = None),
        ("of another disk", |m| m.disk.root = "/dcos/volume9".into()),
        ("of another place", |m| {
            m.path = Raw::from("volumes/roles/db/m");
        }),
        ("of another agent", |m| m.work_dir = "/other".into()),
    ];
    for (what, change) in changes {
        let mut facts = destroyed();
        let found = entry(&mut facts, TrashState::Moved);
        if let Known::Known(manifest) = &mut found.manifest {
            change(manifest);
        }
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        let made = plan_of(&facts);
        assert!(
            !steps(&made)
                .iter()
                .any(|step| step == "clear" || step == "wipe"),
            "{what}"
        );
        assert!(
            codes(&made, "db/m").contains(&Refusal::ForeignTrash),
            "{what}"
        );
    }
}

/// A plan with its steps changed.
fn forged(facts: &Facts, change: impl Fn(&mut Step)) -> Plan {
    let mut made = plan(facts);
    for step in &mut made.steps {
        change(step);
    }
    made
}

#[test]
fn the_check_rejects_what_the_planner_would_never_say() {
    let fresh = destroyed();
    let going_on = half();
    for facts in [&fresh, &going_on] {
        assert!(check(plan(facts), facts).is_ok());
        let changes: [Change<Manifest>; 7] = [
            ("another volume", |m| m.volume = key("db/stays")),
            ("another state", |m| m.state = TrashState::Moved),
            ("unconfirmed", |m| m.unconfirmed = true),
            ("another directory", |m| m.emptied = Some(identity("x", 1))),
            ("no directory", |m| m.emptied = None),
            ("a way up as name", |m| m.id = TrashId("..".to_owned())),
            ("another place", |m| m.path = "elsewhere".into()),
        ];
        for (what, change) in changes {
            let lied = forged(facts, |step| {
                if let Step::MoveOut { entry, .. } = step {
                    change(&mut entry.manifest);
                }
            });
            assert!(check(lied, facts).is_err(), "{what}");
        }
        let lied = forged(facts, |step| {
            if let Step::MoveOut { entry, .. } = step {
                entry.hidden = Some(HiddenSide {
                    path: "/elsewhere".into(),
                    directory: identity(&filesystem(&mount()), 128),
                });
            }
        });
        assert!(check(lied, facts).is_err(), "another hidden side");
        let lied = forged(facts, |step| {
            if let Step::MoveOut { entry, .. } = step {
                entry.hidden = None;
            }
        });
        assert!(check(lied, facts).is_err(), "no hidden side");
    }
    // Emptying in place what has a trash.
    let lied = forged(&fresh, |step| {
        if let Step::MoveOut {
            authorization,
            entry,
            barrier,
        } = step
        {
            *step = Step::EmptyMount {
                authorization: authorization.clone(),
                root: entry.root.clone(),
                fill_only: false,
                barrier: *barrier,
            };
        }
    });
    assert!(check(lied, &fresh).is_err(), "in place");
    // A second entry beside one that is half moved.
    let lied = plan(&fresh);
    assert!(check(lied, &going_on).is_err(), "a second entry");
    // Opening the gate over what is half moved.
    let mut lied = plan(&going_on);
    lied.steps = vec![Step::OpenGate];
    assert!(check(lied, &going_on).is_err(), "the gate");
    // Clearing what is half moved.
    let mut moved = destroyed();
    entry(&mut moved, TrashState::Moved);
    moved.disk(&mount()).content = Known::Known(MountContent::Empty);
    let mut lied = plan(&moved);
    lied.steps.retain(|step| matches!(step, Step::Clear { .. }));
    for step in &mut lied.steps {
        if let Step::Clear { entry } = step {
            entry.manifest.state = TrashState::Prepared;
        }
    }
    let mut half_moved = moved.clone();
    if let Known::Known(entries) = &mut half_moved.disk(&mount()).trash
        && let Known::Known(manifest) = &mut entries[0].manifest
    {
        manifest.state = TrashState::Prepared;
    }
    assert!(
        check(lied, &half_moved).is_err(),
        "cleared while half moved"
    );
}

#[test]
fn the_operators_word_moves_it_out_as_well() {
    let mut facts = healthy();
    prepared(&mut facts);
    facts.create(&mount(), &key("db/m"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/m"));
    facts.stop_agent();
    facts.policy.start_gate = true;
    facts.policy.retention = Span::seconds(7 * DAY);
    assert_eq!(codes(&plan_of(&facts), "db/m"), [Refusal::ReportOnly]);
    facts.words.wipe = Some(key("db/m"));
    let (_, taken) = settle(&facts);
    assert_eq!(taken, ["move_out", "clear", "open_gate", "wipe"]);
    facts.answer = AgentAnswer::NotConfigured;
    assert_eq!(steps(&plan_of(&facts)), ["move_out"]);
}
