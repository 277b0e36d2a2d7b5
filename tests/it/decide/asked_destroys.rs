//! Destroys of our own, with one thing in them that is not so: the check says which, and the planner
//! does not plan it.

#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, HolderKind, Known, OperationKind, OperationState, Phase,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::{Asked, Manifest, TrashState};
use mesos_volumed::decide::own::{
    Shown, disk_of, listed, names_none, reachable, shown, wants_master,
};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, MasterCall, Step, TrashPlace};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::{PersistenceId, VolumeKey};
use mesos_volumed::mesos::operator::{Change, ResourceFormat};
use mesos_volumed::units::Span;

use super::barrier::{free, ours, with};
use super::builder::{
    World, a_task, a_volume, filesystem, fingerprint, healthy, identity, key, mount, path, root,
    unknown,
};
use super::lies::{another_directory, changed as both, entry_of, manifest, refused, retold};
use super::own::{KEY, aside, changed, master, pending, registered, wanted, words};
use super::places::bind;
use super::prepared::Change as Case;
use super::second_reading::{forged, spoilt};
use super::story::{codes, plan_of, steps};
use super::undelete::emptied;

/// Of the volume that is to be destroyed, at each step.
fn in_flight() -> [Case<Facts>; 3] {
    [
        ("a change is in flight", pending),
        ("a change is in flight", |facts| {
            facts.checkpoint.state_target = facts.checkpoint.state.clone();
        }),
        ("a change is in flight", |facts| {
            facts.checkpoint.info_target = facts.checkpoint.info.clone();
        }),
    ]
}

#[test]
fn a_volume_is_set_aside_while_it_is_held_quiet_unused_and_within_reach() {
    let mut facts = wanted();
    facts.create(&root(), &key("db/stays"));
    master(&mut facts, "1");
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["quarantine"]);
    spoilt(&good, &facts, &in_flight());
    spoilt(
        &good,
        &facts,
        &[
            ("nobody asked to destroy db/v", |facts| {
                facts.words.destroy.as_mut().unwrap().volume = key("db/stays")
            }),
            ("is not held on", |facts| facts.forget(&key(KEY))),
            ("does not name db/v", |facts| {
                if let AgentAnswer::State(state) = &mut facts.answer {
                    state.resources.clear();
                }
            }),
            ("no master answered", |facts| {
                facts.master = unknown();
            }),
            ("is not registered", |facts| {
                if let Known::Known(master) = &mut facts.master {
                    master.agent = Known::Absent;
                }
            }),
            ("lists another agent", |facts| {
                registered(facts).id = "agent-S9".into()
            }),
            ("has lost ours", |facts| registered(facts).active = false),
            ("does not list db/v", |facts| {
                registered(facts).resources.clear()
            }),
            ("or a task uses it", |facts| {
                registered(facts).used.insert(key(KEY));
            }),
            ("a task uses db/v", |facts| {
                facts.tasks = Known::Known(vec![a_task(&key(KEY))])
            }),
            ("db/v is in use", |facts| {
                facts.hold(&root(), "volumes/roles/db/v", HolderKind::WorkingDirectory)
            }),
            ("holders are unknown", |facts| facts.holders = unknown()),
            ("lies in", |facts| {
                bind(facts, &root(), "volumes/roles/db/v/below", DiskType::Path)
            }),
        ],
    );
    let manifest = |plan: &mut Plan, change: fn(&mut Manifest)| match &mut plan.steps[0] {
        Step::Quarantine { manifest, .. } => change(manifest),
        other => panic!("{other:?}"),
    };
    for change in [
        |m: &mut Manifest| {
            m.asked = Some(Asked {
                registered: "1".to_owned(),
                at: 0,
            })
        },
        |m: &mut Manifest| m.evidence = Evidence::Operator,
        |m: &mut Manifest| m.identity = identity("other", 1),
    ] {
        let mut lied = good.clone();
        manifest(&mut lied, change);
        let why = refused(lied, &facts, "a manifest");
        assert_eq!(why, "the manifest does not describe the step");
    }
}

/// `db/w` is held on a disk that lies in the directory of `db/v`.
fn nested(facts: &mut Facts) {
    bind(facts, &root(), "volumes/roles/db/v/below", DiskType::Path);
    let disk = facts.roots.last().unwrap().disk.clone();
    facts.create(&disk, &key("db/w"));
}

#[test]
fn a_volume_that_shares_its_place_with_another_is_not_set_aside() {
    let facts = wanted();
    let good = plan_of(&facts);
    spoilt(
        &good,
        &facts,
        &[("another held volume shares its place", nested)],
    );
    // Nor the inner one.
    let apart = changed(&wanted(), |facts| {
        bind(facts, &root(), "elsewhere", DiskType::Path);
        let disk = facts.roots.last().unwrap().disk.clone();
        facts.forget(&key(KEY));
        facts.rmdir(&root(), &key(KEY));
        facts.create(&disk, &key(KEY));
        facts.create(&root(), &key("db/outer"));
        master(facts, "1");
        facts.pass();
    });
    let good = plan_of(&apart);
    assert_eq!(steps(&good), ["quarantine"]);
    spoilt(
        &good,
        &apart,
        &[("another held volume shares its place", |facts| {
            let below = "volumes/roles/db/outer/elsewhere";
            let bound = facts.roots.last_mut().unwrap();
            let Known::Known(mount) = &mut bound.mount else {
                panic!("not mounted");
            };
            let location = mount.location.clone();
            mount.location.path = mesos_volumed::units::Raw::from("/").join(below);
            let moved = mount.location.clone();
            if let Known::Known(dirs) = &mut bound.dirs {
                for dir in dirs {
                    if let Known::Known(place) = &mut dir.location {
                        let rest = place.path.below(&location.path).unwrap();
                        place.path = moved.path.join(rest);
                    }
                }
            }
        })],
    );
}

/// It lies in the trash, and the master is to be asked.
fn to_ask() -> (Facts, Plan) {
    let facts = changed(&aside(false), |facts| facts.words = words(Phase::Ask));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["call"]);
    (facts, good)
}

fn call(plan: &mut Plan) -> (&mut MasterCall, &mut Asked, &mut Option<Box<TrashPlace>>) {
    match &mut plan.steps[0] {
        Step::Call {
            call, asked, entry, ..
        } => (call, asked, entry),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_master_is_asked_for_that_volume_alone_of_that_agent_in_its_own_words() {
    let (facts, good) = to_ask();
    forged(
        &good,
        &facts,
        "another agent or another master",
        &[
            |plan| call(plan).0.agent = "agent-S9".into(),
            |plan| call(plan).0.format = ResourceFormat::PreReservationRefinement,
            |plan| call(plan).1.registered = "2".to_owned(),
        ],
    );
    forged(
        &good,
        &facts,
        "does not name db/v alone",
        &[
            |plan| call(plan).0.change = Change::Destroy(Vec::new()),
            |plan| match &mut call(plan).0.change {
                Change::Destroy(volumes) => volumes.push(volumes[0].clone()),
                other => panic!("{other:?}"),
            },
            |plan| {
                let other = a_volume(&root(), &key("db/other"));
                call(plan).0.change = Change::Destroy(vec![other]);
            },
        ],
    );
    forged(
        &good,
        &facts,
        "is no DESTROY",
        &[|plan| {
            let volume = a_volume(&root(), &key(KEY));
            call(plan).0.change = Change::Unreserve(vec![volume]);
        }],
    );
    spoilt(&good, &facts, &in_flight());
    spoilt(
        &good,
        &facts,
        &[
            ("was asked for in this pass", |facts| {
                facts.words.later_round = true
            }),
            ("nobody asked to destroy", |facts| {
                facts.words = words(Phase::SetAside)
            }),
            ("has a directory on", |facts| {
                facts.mkdir(&root(), &key(KEY));
            }),
        ],
    );
    // Of what was not moved aside no data may lie there.
    let mut lied = good;
    *call(&mut lied).2 = None;
    check(lied.clone(), &facts).unwrap();
    let there = changed(&facts, |facts| {
        facts.mkdir(&root(), &key(KEY));
    });
    let why = refused(lied, &there, "a directory");
    assert!(why.contains("has a directory on"), "{why}");
}

#[test]
fn a_call_goes_with_the_entry_of_its_volume() {
    let (facts, good) = to_ask();
    let not_its_own = "is not that of the destroy";
    for change in [
        |m: &mut Manifest| m.unconfirmed = false,
        |m: &mut Manifest| {
            m.volume = key("db/other");
            m.path = "volumes/roles/db/other".into();
        },
        |m: &mut Manifest| m.identity = identity("other", 1),
    ] {
        let (facts, lied) = both(&facts, &good, change);
        let why = refused(lied, &facts, not_its_own);
        assert!(why.contains(not_its_own), "{why}");
    }
    // An entry on another disk.
    let moved = changed(&facts, |facts| {
        let trash = std::mem::replace(&mut facts.disk(&root()).trash, Known::Absent);
        facts.disk(&path()).trash = trash;
    });
    let mut lied = good;
    let print = moved.root(&path()).unwrap().filesystem.present.clone();
    let entry = entry_of(&mut lied);
    entry.disk = path();
    entry.root = print.known().unwrap().clone();
    let why = refused(lied, &moved, not_its_own);
    assert!(why.contains(not_its_own), "{why}");
}

#[test]
fn a_mount_is_asked_for_while_nobody_uses_it() {
    let mut facts = healthy();
    facts.create(&mount(), &key(KEY));
    facts.pass();
    facts.later(60);
    master(&mut facts, "1");
    facts.words = words(Phase::Ask);
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["call"]);
    spoilt(
        &good,
        &facts,
        &[
            ("is in use by pid 4711", |facts| {
                facts.hold(&mount(), "a", HolderKind::OpenFile)
            }),
            ("holders are unknown", |facts| facts.holders = unknown()),
            ("is in flight", pending_on_mount),
        ],
    );
}

fn pending_on_mount(facts: &mut Facts) {
    let volume = a_volume(&mount(), &key(KEY));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 9, volume);
}

/// The agent's checkpoint does not name it any more.
fn to_confirm() -> (Facts, Plan) {
    let facts = changed(&aside(true), |facts| facts.forget(&key(KEY)));
    let good = plan_of(&facts);
    assert_eq!(steps(&good), ["confirm"]);
    (facts, good)
}

#[test]
fn only_a_destroy_of_ours_that_waits_is_confirmed_and_its_age_counts_from_now() {
    let (facts, good) = to_confirm();
    retold(
        &good,
        &facts,
        "is no destroy that waits",
        &[
            |m| m.unconfirmed = false,
            |m: &mut Manifest| m.evidence = Evidence::Operator,
            |m| m.state = TrashState::Cleared,
        ],
    );
    another_directory(&good, &facts, "is another directory");
    forged(
        &good,
        &facts,
        "its age would not be counted from now",
        &[|plan| match &mut plan.steps[0] {
            Step::Confirm { lived_at, .. } => *lived_at = Span::ZERO,
            other => panic!("{other:?}"),
        }],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("is pending", pending),
            ("db/v is in use", |facts| {
                let id = manifest(facts, &root()).id.clone();
                let at = format!("volumes/.mesos-volumed/trash/{id}/data");
                facts.hold(&root(), &at, HolderKind::WorkingDirectory);
            }),
            ("db/v is protected", |facts| {
                facts.policy.protect = vec![KEY.to_owned()]
            }),
        ],
    );
}

#[test]
fn what_was_set_aside_goes_back_while_nothing_is_in_flight_and_it_is_held_there() {
    for asked in [false, true] {
        let mut facts = aside(asked);
        if asked {
            registered(&mut facts).since = "2".to_owned();
        }
        let good = plan_of(&facts);
        assert_eq!(steps(&good), ["put_back"]);
        spoilt(&good, &facts, &in_flight());
        spoilt(
            &good,
            &facts,
            &[
                ("a change is in flight", pending),
                ("is not held on", |facts| facts.forget(&key(KEY))),
            ],
        );
        if asked {
            spoilt(
                &good,
                &facts,
                &[
                    ("may still arrive", |facts| {
                        registered(facts).since = "1".to_owned()
                    }),
                    ("may still arrive", |facts| {
                        registered(facts).resources.clear()
                    }),
                    ("does not name db/v", |facts| {
                        facts.answer = AgentAnswer::NotConfigured
                    }),
                    ("has lost ours", |facts| registered(facts).active = false),
                ],
            );
        }
        retold(
            &good,
            &facts,
            "is past the way back",
            &[|m| m.state = TrashState::Cleared],
        );
    }
}

#[test]
fn a_mount_is_never_moved_for_a_destroy_of_ours() {
    let (mut facts, _) = emptied();
    let found = manifest(&mut facts, &mount());
    found.unconfirmed = true;
    found.evidence = Evidence::OwnDestroy;
    found.state = TrashState::Moved;
    let mut lied = plan_of(&facts);
    let print = facts.root(&mount()).unwrap().filesystem.present.clone();
    let entry = TrashPlace {
        disk: mount(),
        root: print.known().unwrap().clone(),
        manifest: manifest(&mut facts, &mount()).clone(),
        data: Some(manifest(&mut facts, &mount()).identity.clone()),
        hidden: facts.root(&mount()).unwrap().hidden.known().cloned(),
    };
    let lived_at = lied.memory.clock.lived;
    let forged: [(Step, &str); 2] = [
        (
            Step::Confirm {
                entry: Box::new(entry.clone()),
                lived_at,
            },
            "is no destroy that waits",
        ),
        (
            Step::PutBack {
                entry: Box::new(entry),
            },
            "a MOUNT is never moved for a destroy of ours",
        ),
    ];
    for (step, says) in forged {
        lied.steps = vec![step];
        let why = refused(lied.clone(), &facts, says);
        assert!(why.contains(says), "{why}");
    }
}

// What commands ask before they call the master.

#[test]
fn the_master_is_asked_for_a_destroy_that_is_wanted_or_not_confirmed() {
    let idle = changed(&wanted(), |facts| facts.words.destroy = None);
    assert!(!wants_master(&idle));
    assert!(wants_master(&wanted()));
    assert!(wants_master(&aside(true)));
    let confirmed = changed(&aside(true), |facts| {
        manifest(facts, &root()).unconfirmed = false
    });
    assert!(!wants_master(&confirmed));
    // Or for a barrier that stands.
    assert!(wants_master(&with(&ours(&free()))));
}

#[test]
fn the_agents_own_checkpoint_says_whether_a_volume_is_held() {
    let is_held = |facts: &Facts, of: &VolumeKey| match shown(&facts.checkpoint, of) {
        Shown::Held(volume) => {
            assert_eq!(volume.volume_key().as_ref(), Some(of));
            "held"
        }
        Shown::Gone => "gone",
        Shown::InFlight => "in flight",
        Shown::Doubtful => "doubtful",
    };
    let mut facts = wanted();
    facts.create(&path(), &key("web/other"));
    assert_eq!(is_held(&facts, &key(KEY)), "held");
    assert_eq!(disk_of(&facts, &key(KEY)), Some(root()));
    assert_eq!(disk_of(&facts, &key("web/other")), Some(path()));
    assert_eq!(is_held(&facts, &key("web/v")), "gone");
    assert_eq!(disk_of(&facts, &key("web/v")), None);
    for (_, change) in in_flight() {
        let moving = changed(&facts, change);
        assert_eq!(is_held(&moving, &key(KEY)), "in flight");
        assert_eq!(disk_of(&moving, &key(KEY)), None);
    }
    // What is over, or another volume's, is not in flight.
    let over = changed(&facts, |facts| {
        let volume = a_volume(&root(), &key(KEY));
        facts.operate(OperationKind::Create, OperationState::Finished, 9, volume);
        pending(facts);
        facts.state().operations[1].volumes = vec![a_volume(&path(), &key("web/other"))];
    });
    assert_eq!(is_held(&over, &key(KEY)), "held");
    let unclear = changed(&facts, |facts| {
        let volume = a_volume(&root(), &key(KEY));
        facts.operate(OperationKind::Create, OperationState::Unclear, 9, volume);
    });
    assert_eq!(is_held(&unclear, &key(KEY)), "in flight");
    // Before its first reservation an agent has no such file; one that is empty is torn.
    let with = |state: CheckpointFile<_>, info: CheckpointFile<_>| {
        let facts = changed(&facts, |facts| {
            facts.checkpoint.state = state;
            facts.checkpoint.info = info;
        });
        is_held(&facts, &key(KEY))
    };
    let older = facts.checkpoint.info.clone();
    assert_eq!(with(CheckpointFile::Missing, older.clone()), "held");
    assert_eq!(
        with(CheckpointFile::Missing, CheckpointFile::Missing),
        "gone"
    );
    assert_eq!(with(CheckpointFile::Missing, CheckpointFile::Empty), "gone");
    assert_eq!(with(CheckpointFile::Empty, older), "doubtful");
}

#[test]
fn an_id_is_free_of_names_where_no_role_has_it_and_nothing_of_it_is_in_flight() {
    let facts = wanted();
    let none =
        |facts: &Facts, id: &str| names_none(&facts.checkpoint, &[PersistenceId::new(id)].into());
    assert!(none(&facts, "other"));
    assert!(!none(&facts, "v"), "db has it");
    let forgotten = changed(&facts, |facts| facts.forget(&key(KEY)));
    assert!(none(&forgotten, "v"));
    for (_, change) in in_flight() {
        assert!(!none(&changed(&forgotten, change), "v"));
    }
    let damaged = changed(&forgotten, |facts| {
        facts.checkpoint.state = CheckpointFile::Empty
    });
    assert!(!none(&damaged, "v"));
}

#[test]
fn a_volume_is_called_by_what_the_master_lists() {
    let mut facts = wanted();
    assert_eq!(
        listed(&facts, &key(KEY)).unwrap().volume_key(),
        Some(key(KEY))
    );
    assert!(listed(&facts, &key("db/other")).is_none());
    let unasked = changed(&facts, |facts| facts.master = Known::Absent);
    assert!(listed(&unasked, &key(KEY)).is_none());
    assert!(reachable(&facts).is_ok());
    registered(&mut facts).id = "agent-S9".into();
    assert!(reachable(&facts).unwrap_err().contains("agent-S9"));
}

/// Whatever the root is by now, only what was seen there is put back.
#[test]
fn an_entry_is_put_back_on_the_file_system_that_it_was_seen_on() {
    let facts = aside(false);
    let good = plan(&facts);
    let mut lied = good;
    entry_of(&mut lied).root = fingerprint("other");
    let why = refused(lied, &facts, "another file system");
    assert!(why.contains("is another file system than planned"), "{why}");
}

// What the planner leaves alone by itself.

#[test]
fn what_has_a_directory_is_never_asked_for_where_it_lies_and_what_has_none_is() {
    let facts = changed(&wanted(), |facts| facts.words = words(Phase::Ask));
    assert!(plan_of(&facts).is_idle());
    let gone = changed(&facts, |facts| facts.rmdir(&root(), &key(KEY)));
    let made = plan_of(&gone);
    assert!(
        matches!(made.steps.as_slice(), [Step::Call { entry: None, .. }]),
        "{:?}",
        made.steps
    );
    // There is nothing to set aside then, and no fault in that.
    let gone = changed(&wanted(), |facts| facts.rmdir(&root(), &key(KEY)));
    let made = plan_of(&gone);
    assert!(made.is_idle());
    assert!(!codes(&made, KEY).contains(&Refusal::NoIdentity));
    // What was set aside before is not set aside again.
    let again = changed(&aside(false), |facts| {
        facts.mkdir(&root(), &key(KEY));
        facts.words = words(Phase::SetAside);
    });
    assert!(plan_of(&again).is_idle());
}

#[test]
fn a_command_that_only_waits_for_the_end_keeps_nothing_from_going_back() {
    let facts = changed(&aside(false), |facts| facts.words = words(Phase::Settle));
    assert_eq!(steps(&plan_of(&facts)), ["put_back"]);
}

#[test]
fn what_keeps_a_destroy_of_ours_from_its_end_is_said_besides() {
    let facts = changed(&aside(true), pending);
    let codes = codes(&plan_of(&facts), KEY);
    assert!(codes.contains(&Refusal::Unconfirmed), "{codes:?}");
    assert!(codes.contains(&Refusal::PendingOperation), "{codes:?}");
}

#[test]
fn of_two_entries_that_were_set_aside_none_goes_back() {
    let facts = changed(&aside(false), |facts| {
        let Known::Known(entries) = &mut facts.disk(&root()).trash else {
            panic!("no trash");
        };
        let mut second = entries[0].clone();
        second.id.0 = "1-abc-2".to_owned();
        let other = identity(&filesystem(&root()), 8888);
        second.data = Known::Known(other.clone());
        if let Known::Known(manifest) = &mut second.manifest {
            manifest.id = second.id.clone();
            manifest.identity = other;
        }
        entries.push(second);
    });
    assert!(plan_of(&facts).is_idle());
}

#[test]
fn what_the_agents_file_names_elsewhere_or_not_at_all_does_not_go_back_here() {
    let elsewhere = changed(&aside(false), |facts| {
        facts.forget(&key(KEY));
        let volume = a_volume(&path(), &key(KEY));
        facts.state().resources.push(volume);
    });
    assert!(plan_of(&elsewhere).is_idle());
    // The agent's answer alone is not what it would believe after a crash.
    let mut answered = aside(false);
    let answer = answered.answer.clone();
    answered.forget(&key(KEY));
    answered.answer = answer;
    assert!(plan_of(&answered).is_idle());
}
