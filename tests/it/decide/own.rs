//! Destroys of our own (design §6), each way with what allows it and without.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, Destroying, Facts, HolderKind, Known, MasterFacts, OperationKind, OperationState,
    Phase, Registered, Words,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::manifest::{Asked, Manifest, TrashState};
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Step};
use mesos_volumed::mesos::operator::Change;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Raw;

use super::builder::{
    World, a_master, a_registration, a_task, a_volume, healthy, identity, key, mount, path, root,
};
use super::ideal::apply as execute;
use super::story::{codes, steps};

pub(crate) const KEY: &str = "db/v";

pub(crate) fn words(phase: Phase) -> Words {
    Words {
        destroy: Some(Destroying {
            volume: key(KEY),
            phase,
        }),
        ..Words::default()
    }
}

/// The master lists what the agent's own answer lists.
pub(crate) fn master(facts: &mut Facts, since: &str) {
    let AgentAnswer::State(state) = &facts.answer else {
        panic!("{:?}", facts.answer)
    };
    facts.master = Known::Known(a_master(a_registration(since, &state.resources)));
}

/// Our agent there.
pub(crate) fn registered(facts: &mut Facts) -> &mut Registered {
    let Known::Known(MasterFacts {
        agent: Known::Known(agent),
        ..
    }) = &mut facts.master
    else {
        panic!("no master")
    };
    agent
}

/// A framework's DESTROY of it is pending.
pub(crate) fn pending(facts: &mut Facts) {
    let volume = a_volume(&root(), &key(KEY));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 9, volume);
}

/// `db/v` on ROOT is held, and its destroy is wanted.
pub(crate) fn wanted() -> Facts {
    let mut facts = healthy();
    facts.create(&root(), &key(KEY));
    facts.pass();
    facts.later(60);
    master(&mut facts, "1");
    facts.words = words(Phase::SetAside);
    facts
}

fn made(facts: &Facts) -> Plan {
    let made = plan(facts);
    check(made.clone(), facts).unwrap();
    made
}

/// It lies in the trash; the master was asked, or not yet.
pub(crate) fn aside(asked: bool) -> Facts {
    let before = wanted();
    let made = made(&before);
    let mut facts = execute(&made, &before);
    facts.later(1);
    if asked {
        facts.words = words(Phase::Ask);
        let made = self::made(&facts);
        facts = execute(&made, &facts);
        facts.later(1);
    }
    facts.words = Words::default();
    facts
}

fn manifest(facts: &mut Facts) -> &mut Manifest {
    let Known::Known(entries) = &mut facts.disk(&root()).trash else {
        panic!("no trash")
    };
    let Known::Known(manifest) = &mut entries[0].manifest else {
        panic!("no manifest")
    };
    manifest
}

pub(crate) fn changed(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    change(&mut facts);
    facts
}

#[test]
fn a_held_volume_is_moved_aside_for_a_destroy_of_ours_and_for_nothing_else() {
    let made = made(&wanted());
    let [
        Step::Quarantine {
            place, manifest, ..
        },
    ] = made.steps.as_slice()
    else {
        panic!("{:?}", made.steps)
    };
    assert_eq!(place.volume, key(KEY));
    assert!(manifest.unconfirmed && manifest.asked.is_none());
    assert_eq!(manifest.evidence, Evidence::OwnDestroy);
    // Nobody asked: nothing.
    let idle = changed(&wanted(), |facts| facts.words = Words::default());
    assert!(self::made(&idle).steps.is_empty());
    // A check that was lied to says no.
    let lied = changed(&wanted(), |facts| facts.words = words(Phase::Settle));
    assert!(check(made.clone(), &lied).is_err());
    let lied = changed(&wanted(), |facts| {
        facts.create(&root(), &key("db/other"));
        facts.words.destroy.as_mut().unwrap().volume = key("db/other");
    });
    assert!(check(made, &lied).is_err());
}

#[test]
fn each_guard_keeps_a_volume_from_being_moved_aside() {
    type Change = fn(&mut Facts);
    let cases: [(Refusal, Change); 9] = [
        (Refusal::PendingOperation, |facts| pending(facts)),
        (Refusal::InUseTask, |facts| {
            facts.tasks = Known::Known(vec![a_task(&key(KEY))]);
        }),
        (Refusal::InUseTask, |facts| {
            registered(facts).used.insert(key(KEY));
        }),
        (Refusal::InUseFd, |facts| {
            facts.hold(&root(), "volumes/roles/db/v/data", HolderKind::OpenFile);
        }),
        (Refusal::AuthorityUnknown, |facts| {
            facts.master = Known::Absent;
        }),
        (Refusal::AuthorityUnknown, |facts| {
            registered(facts).active = false;
        }),
        (Refusal::AuthorityUnknown, |facts| {
            registered(facts).resources.clear();
        }),
        (Refusal::AuthorityUnknown, |facts| {
            registered(facts).id = "agent-S9".into();
        }),
        (Refusal::Protected, |facts| {
            facts.policy.protect = vec![KEY.to_owned()];
        }),
    ];
    let good = made(&wanted());
    for (code, change) in cases {
        let facts = changed(&wanted(), change);
        let made = made(&facts);
        assert!(made.steps.is_empty(), "{code}: {:?}", made.steps);
        assert!(codes(&made, KEY).contains(&code), "{code}: {:?}", made.kept);
        assert!(
            check(good.clone(), &facts).is_err(),
            "{code}: the check let it pass"
        );
    }
    // With the agent down a destroy would be lost (N1).
    let facts = changed(&wanted(), World::stop_agent);
    assert!(made(&facts).steps.is_empty());
    assert!(check(good, &facts).is_err());
}

#[test]
fn the_master_is_asked_once_a_pass_for_exactly_the_volume_that_it_lists() {
    let facts = changed(&aside(false), |facts| facts.words = words(Phase::Ask));
    let made = made(&facts);
    let [
        Step::Call {
            call, asked, entry, ..
        },
    ] = made.steps.as_slice()
    else {
        panic!("{:?}", made.steps)
    };
    assert_eq!(call.agent, Raw::from("agent-S0"));
    assert_eq!(asked.registered, "1");
    assert!(entry.is_some());
    let Change::Destroy(volumes) = &call.change else {
        panic!("{call:?}")
    };
    let keys: Vec<_> = volumes.iter().map(Resource::volume_key).collect();
    assert_eq!(keys, [Some(key(KEY))]);
    let later = changed(&facts, |facts| facts.words.later_round = true);
    assert!(self::made(&later).steps.is_empty());
    assert!(check(made.clone(), &later).is_err());
    let cases: [fn(&mut Facts); 4] = [
        |facts: &mut Facts| registered(facts).since = "2".to_owned(),
        |facts| registered(facts).resources.clear(),
        |facts| pending(facts),
        |facts| facts.words = Words::default(),
    ];
    for lie in cases {
        assert!(check(made.clone(), &changed(&facts, lie)).is_err());
    }
}

#[test]
fn an_entry_is_of_no_matter_to_a_life_of_its_name_that_is_held_on_another_disk() {
    // Set aside on ROOT by a command that was killed, destroyed by somebody else, and created on PATH.
    let mut facts = aside(false);
    facts.forget(&key(KEY));
    facts.create(&path(), &key(KEY));
    master(&mut facts, "1");
    for (phase, wanted) in [(Phase::SetAside, "quarantine"), (Phase::Ask, "")] {
        let facts = changed(&facts, |facts| facts.words = words(phase));
        let said = steps(&made(&facts));
        assert_eq!(
            said,
            if wanted.is_empty() {
                vec![]
            } else {
                vec![wanted]
            }
        );
    }
    // That one's own entry is asked for with.
    let first = changed(&facts, |facts| facts.words = words(Phase::SetAside));
    let mut second = execute(&made(&first), &first);
    second.later(1);
    second.words = words(Phase::Ask);
    let made = self::made(&second);
    let [Step::Call { disk, entry, .. }] = made.steps.as_slice() else {
        panic!("{:?}", made.steps)
    };
    assert_eq!(*disk, path());
    assert_eq!(entry.as_ref().unwrap().disk, path());
}

/// Its data is in its place again, and the frame in the trash was not removed.
fn half_back(asked: bool) -> Facts {
    let mut facts = aside(asked);
    let identity = manifest(&mut facts).identity.clone();
    let Known::Known(entries) = &mut facts.disk(&root()).trash else {
        panic!("no trash")
    };
    entries[0].data = Known::Absent;
    facts.mkdir(&root(), &key(KEY)).identity = Known::Known(identity);
    facts
}

#[test]
fn the_frame_of_what_went_back_goes_where_that_may_go_back_and_nowhere_else() {
    let back = half_back(false);
    let good = made(&back);
    assert_eq!(steps(&good), ["void"]);
    assert_eq!(steps(&made(&half_back(true))), Vec::<String>::new());
    let again = changed(&half_back(true), |facts| master(facts, "2"));
    assert_eq!(steps(&made(&again)), ["void"]);
    let cases: [fn(&mut Facts); 7] = [
        |facts| pending(facts),
        |facts| facts.tasks = Known::unknown("damaged"),
        |facts| facts.forget(&key(KEY)),
        |facts| manifest(facts).identity = identity("other", 9),
        |facts| {
            facts.rmdir(&root(), &key(KEY));
        },
        // Another directory lies in its place, or it lies in another's.
        |facts| {
            facts.rmdir(&root(), &key(KEY));
            facts.mkdir(&root(), &key(KEY)).identity = Known::Known(identity("other", 9));
        },
        |facts| {
            let data = manifest(facts).identity.clone();
            facts.rmdir(&root(), &key(KEY));
            facts.mkdir(&root(), &key("db/elsewhere")).identity = Known::Known(data);
        },
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let facts = changed(&back, case);
        let said = steps(&plan(&facts));
        assert!(!said.contains(&"void".to_owned()), "case {at}: {said:?}");
        assert!(check(good.clone(), &facts).is_err(), "case {at}");
    }
}

#[test]
fn an_earlier_life_that_waits_in_the_trash_keeps_nothing_from_being_destroyed() {
    let mut facts = wanted();
    facts.trash(&root(), &key(KEY), TrashState::Cleared);
    assert_eq!(steps(&made(&facts)), ["quarantine"]);
    // Without a directory it is only asked for.
    facts.rmdir(&root(), &key(KEY));
    facts.words = words(Phase::Ask);
    let made = self::made(&facts);
    assert_eq!(steps(&made), ["call"]);
}

#[test]
fn what_was_not_asked_for_goes_back() {
    let facts = aside(false);
    let made = made(&facts);
    assert!(
        matches!(made.steps.as_slice(), [Step::PutBack { .. }]),
        "{:?}",
        made.steps
    );
    // Not while a command is at it, nor while a change is in flight, or nobody knows.
    let cases: [fn(&mut Facts); 3] = [
        |facts: &mut Facts| facts.words = words(Phase::SetAside),
        |facts| pending(facts),
        |facts| facts.answer = AgentAnswer::Recovering,
    ];
    for change in cases {
        let facts = changed(&facts, change);
        assert!(self::made(&facts).steps.is_empty());
    }
}

#[test]
fn what_was_asked_for_goes_back_only_once_the_agent_has_registered_again_and_still_holds_it() {
    let facts = aside(true);
    assert!(made(&facts).steps.is_empty());
    assert!(codes(&made(&facts), KEY).contains(&Refusal::Unconfirmed));
    // Time is no answer.
    let much_later = changed(&facts, |facts| {
        for _ in 0..50 {
            facts.later(600);
            facts.pass();
        }
    });
    assert!(made(&much_later).steps.is_empty());
    // Neither is an agent that runs anew, as long as the master has not heard of it.
    let restarted = changed(&facts, World::restart_agent);
    assert!(made(&restarted).steps.is_empty());
    let again = changed(&facts, |facts| registered(facts).since = "2".to_owned());
    let back = made(&again);
    assert!(
        matches!(back.steps.as_slice(), [Step::PutBack { .. }]),
        "{:?}",
        back.steps
    );
    let cases: [fn(&mut Facts); 7] = [
        |facts: &mut Facts| registered(facts).since = "1".to_owned(),
        |facts| registered(facts).active = false,
        |facts| registered(facts).resources.clear(),
        |facts| facts.master = Known::Absent,
        |facts| facts.master = Known::unknown("the master does not answer"),
        |facts| facts.answer = AgentAnswer::Refused,
        |facts| pending(facts),
    ];
    for lie in cases {
        let facts = changed(&again, lie);
        assert!(made(&facts).steps.is_empty());
        assert!(check(back.clone(), &facts).is_err());
    }
}

#[test]
fn a_destroy_is_confirmed_by_the_agents_own_checkpoint_alone_and_then_wiped() {
    for asked in [false, true] {
        let facts = changed(&aside(asked), |facts| facts.forget(&key(KEY)));
        let made = made(&facts);
        assert!(
            matches!(made.steps.as_slice(), [Step::Confirm { .. }]),
            "{:?}",
            made.steps
        );
        let cases: [fn(&mut Facts); 3] = [
            |facts: &mut Facts| pending(facts),
            |facts| facts.tasks = Known::Known(vec![a_task(&key(KEY))]),
            |facts| facts.providers = Known::unknown("damaged"),
        ];
        for lie in cases {
            let facts = changed(&facts, lie);
            assert!(self::made(&facts).steps.is_empty());
            assert!(check(made.clone(), &facts).is_err());
        }
        let mut after = execute(&made, &facts);
        after.later(1);
        let made = self::made(&after);
        assert!(
            matches!(made.steps.as_slice(), [Step::Wipe { .. }]),
            "{:?}",
            made.steps
        );
    }
    // The master's word is none: it drops the volume at once.
    let facts = changed(&aside(true), |facts| registered(facts).resources.clear());
    assert!(made(&facts).steps.is_empty());
}

#[test]
fn no_word_of_an_operator_wipes_or_makes_anything_before_the_confirmation() {
    let facts = aside(true);
    let mut facts = facts;
    let id = manifest(&mut facts).id.clone();
    for words in [
        Words {
            purge: vec![id],
            ..Words::default()
        },
        Words {
            wipe: Some(key(KEY)),
            ..Words::default()
        },
        Words {
            recreate: Some(key(KEY)),
            ..Words::default()
        },
    ] {
        let facts = changed(&facts, |facts| facts.words = words);
        assert!(made(&facts).steps.is_empty(), "{:?}", made(&facts).steps);
    }
    let eager = changed(&facts, |facts| facts.policy.recreate_vanished = true);
    assert!(made(&eager).steps.is_empty());
}

#[test]
fn an_entry_that_a_crash_left_prepared_is_as_good_as_moved() {
    let mut facts = aside(false);
    manifest(&mut facts).state = TrashState::Prepared;
    assert!(matches!(
        made(&facts).steps.as_slice(),
        [Step::PutBack { .. }]
    ));
    facts.words = words(Phase::Ask);
    assert!(matches!(made(&facts).steps.as_slice(), [Step::Call { .. }]));
    // Without data it is only a frame.
    let empty = changed(&wanted(), |facts| {
        let before = aside(false);
        facts.words = Words::default();
        let trash = before
            .roots
            .iter()
            .find(|one| one.disk == root())
            .unwrap()
            .trash
            .clone();
        facts.disk(&root()).trash = trash;
        if let Known::Known(entries) = &mut facts.disk(&root()).trash {
            entries[0].data = Known::Absent;
        }
        manifest(facts).state = TrashState::Prepared;
    });
    assert!(matches!(made(&empty).steps.as_slice(), [Step::Void { .. }]));
}

#[test]
fn a_mount_is_asked_for_and_never_moved() {
    let mut facts = healthy();
    facts.create(&mount(), &key(KEY));
    facts.pass();
    facts.later(60);
    master(&mut facts, "1");
    facts.words = words(Phase::SetAside);
    assert!(made(&facts).steps.is_empty());
    facts.words = words(Phase::Ask);
    let made = made(&facts);
    assert!(
        matches!(made.steps.as_slice(), [Step::Call { entry: None, .. }]),
        "{:?}",
        made.steps
    );
}

#[test]
fn an_entry_that_no_destroy_of_ours_made_is_not_believed() {
    let mut facts = aside(true);
    manifest(&mut facts).evidence = Evidence::Operator;
    registered(&mut facts).since = "2".to_owned();
    assert!(made(&facts).steps.is_empty());
    facts.forget(&key(KEY));
    assert!(made(&facts).steps.is_empty());
    let mut facts = aside(true);
    assert_eq!(
        manifest(&mut facts)
            .asked
            .as_ref()
            .map(|asked: &Asked| asked.registered.as_str()),
        Some("1")
    );
}
