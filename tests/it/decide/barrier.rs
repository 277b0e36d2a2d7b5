//! The barrier by reservation: reserved, seen in the agent's checkpoint, wiped, given back; each
//! step from what is seen alone.

use mesos_volumed::decide::bar::{labels, role_below};
use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, HolderKind, Known, MountContent, Policy,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Barrier, Step};
use mesos_volumed::mesos::disk::SourceExtras;
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::operator::{Change, reserved, whole};
use mesos_volumed::mesos::resource::{ReservationType, Resource};
use mesos_volumed::units::{Megabytes, Raw};

use super::builder::{World, an_agent, healthy, key, mount, path};
use super::ideal::{apply as execute, barred};
use super::own::{master, registered};
use super::story::{codes, settle, steps};

pub(crate) const KEY: &str = "db/v";

pub(crate) fn free() -> Resource {
    whole(&mount(), &SourceExtras::default(), Megabytes::whole(512))
}

pub(crate) fn ours(of: &Resource) -> Resource {
    reserved(of, &role_below(of.role()), None, labels()).unwrap()
}

/// `db/v` was destroyed on MOUNT and its data stayed; the agent runs, and the disk is nobody's.
pub(crate) fn owed() -> Facts {
    let mut facts = healthy();
    facts.policy.barrier = true;
    facts.create(&mount(), &key(KEY));
    facts.pass();
    facts.later(60);
    facts.destroy(&key(KEY), 1);
    facts.later(1);
    facts.pass();
    facts.later(60);
    if let AgentAnswer::State(state) = &mut facts.answer {
        state.asked_at = facts.host.now.since_boot;
    }
    master(&mut facts, "1");
    registered(&mut facts).resources.push(free());
    facts
}

/// The same, with this of the disk in the agent's checkpoint and at the master.
pub(crate) fn with(one: &Resource) -> Facts {
    let mut facts = owed();
    barred(&mut facts, &Change::Reserve(vec![one.clone()]), &mount());
    facts
}

pub(crate) fn made(facts: &Facts) -> Plan {
    let made = plan(facts);
    check(made.clone(), facts).unwrap_or_else(|error| panic!("{error}\n{made:#?}"));
    made
}

pub(crate) fn changed(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    change(&mut facts);
    facts
}

/// This is what the master lists of the disk.
pub(crate) fn lists(facts: &mut Facts, one: Resource) {
    let agent = registered(facts);
    agent.resources.retain(|one| one.source.is_none());
    agent.resources.push(one);
}

fn why(plan: &Plan) -> String {
    let all = plan.kept.iter().flat_map(|kept| &kept.reasons);
    let all: Vec<String> = all.map(ToString::to_string).collect();
    all.join("\n")
}

#[test]
fn a_mount_is_reserved_then_emptied_then_given_back() {
    let (mut after, taken) = settle(&owed());
    assert_eq!(taken, ["bar", "empty_mount", "bar"]);
    assert_eq!(
        after.disk(&mount()).content,
        Known::Known(MountContent::Empty)
    );
    let now = after.checkpoint.state.whole().unwrap();
    let of_disk = |one: &&Resource| one.source.is_some();
    assert_eq!(now.resources.iter().filter(of_disk).count(), 0);

    let first = made(&owed());
    let [Step::Bar { call, volume, .. }] = first.steps.as_slice() else {
        panic!("{:?}", first.steps)
    };
    assert_eq!(call.agent, Raw::from("agent-S0"));
    assert_eq!(*volume, Some(key(KEY)));
    assert_eq!(call.change, Change::Reserve(vec![ours(&free())]));
    // Until it is emptied its data is kept, and a sweep says so.
    assert_eq!(codes(&first, KEY), [Refusal::NoBarrier]);
    assert!(first.blocked());
}

#[test]
fn what_is_reserved_to_a_role_is_reserved_below_it() {
    let theirs = reserved(
        &free(),
        &Role::new("db"),
        Some("marathon".into()),
        Vec::new(),
    )
    .unwrap();
    let facts = changed(&owed(), |facts| {
        facts.state().resources.push(theirs.clone());
        lists(facts, theirs.clone());
    });
    let first = made(&facts);
    let [Step::Bar { call, .. }] = first.steps.as_slice() else {
        panic!("{:?} {}", first.steps, why(&first))
    };
    let Change::Reserve(wanted) = &call.change else {
        panic!("{call:?}")
    };
    assert_eq!(wanted[0].role(), Some(&Role::new("db/mesos-volumed")));
    let (after, taken) = settle(&facts);
    assert_eq!(taken, ["bar", "empty_mount", "bar"]);
    // The reservation below it is theirs as before.
    let agent = after.master.known().unwrap().agent.known().unwrap();
    assert!(agent.resources.contains(&theirs));

    // Masters before 1.4 have no words for it.
    let old = changed(&facts, |facts| {
        if let Known::Known(master) = &mut facts.master {
            master.version.minor = 3;
        }
    });
    let kept = made(&old);
    assert!(kept.steps.is_empty() && why(&kept).contains("before 1.4"));
}

#[test]
fn each_guard_keeps_a_disk_from_being_reserved() {
    type Case = (Refusal, fn(&mut Facts));
    let cases: [Case; 10] = [
        (Refusal::NoBarrier, |facts| facts.policy.barrier = false),
        (Refusal::NoBarrier, |facts| facts.master = Known::Absent),
        (Refusal::NoBarrier, |facts| {
            facts.master = Known::unknown("no master took the request");
        }),
        (Refusal::NoBarrier, |facts| registered(facts).active = false),
        (Refusal::NoBarrier, |facts| {
            registered(facts).id = "agent-S9".into();
        }),
        (Refusal::NoBarrier, |facts| {
            registered(facts)
                .resources
                .retain(|one| one.source.is_none());
        }),
        (Refusal::NoBarrier, |facts| {
            registered(facts).resources.push(free());
        }),
        (Refusal::NoBarrier, |facts| {
            if let Known::Known(all) = &mut facts.agent.processes {
                all.push(an_agent(900));
                all[1].ours = false;
                all[1].work_dir = Known::Known("/other".into());
            }
        }),
        (Refusal::InUseFd, |facts| {
            facts.hold(&mount(), "data", HolderKind::OpenFile);
        }),
        (Refusal::Protected, |facts| {
            facts.policy.protect = vec![KEY.to_owned()];
        }),
    ];
    let good = made(&owed());
    for (number, (code, change)) in cases.into_iter().enumerate() {
        let facts = changed(&owed(), change);
        let made = made(&facts);
        assert!(made.steps.is_empty(), "{number}: {:?}", made.steps);
        assert!(
            codes(&made, KEY).contains(&code),
            "{number}: {}",
            why(&made)
        );
        assert!(
            check(good.clone(), &facts).is_err(),
            "{number}: the check let it pass"
        );
    }
}

#[test]
fn between_the_masters_word_and_the_agents_nothing_is_done_twice() {
    // The master reserved it; the agent has not heard.
    let asked = changed(&owed(), |facts| {
        lists(facts, ours(&free()));
    });
    let waits = made(&asked);
    assert!(waits.steps.is_empty(), "{:?}", waits.steps);
    assert!(
        why(&waits).contains("does not show it yet"),
        "{}",
        why(&waits)
    );
    // The agent writes it down: not before the target is gone.
    let writing = changed(&with(&ours(&free())), |facts| {
        facts.checkpoint.state_target = CheckpointFile::Whole(facts.state().clone());
    });
    assert!(made(&writing).steps.is_empty());
    // Seen: what is not as it was seen is not emptied.
    let seen = with(&ours(&free()));
    let empties = made(&seen);
    let [Step::EmptyMount { barrier, .. }] = empties.steps.as_slice() else {
        panic!("{:?}", empties.steps)
    };
    assert_eq!(*barrier, Barrier::Reservation);
    for lied in [
        &owed(),
        &asked,
        &writing,
        &changed(&seen, |facts| {
            facts.hold(&mount(), "data", HolderKind::OpenFile);
        }),
    ] {
        assert!(check(empties.clone(), lied).is_err());
    }
    // The agent may start anew meanwhile, or be down: its checkpoint holds.
    let down = changed(&seen, World::stop_agent);
    assert_eq!(steps(&made(&down)), ["empty_mount"]);

    // Emptied; the master gave it back, and the agent has not heard.
    let mut done = execute(&empties, &seen);
    done.later(1);
    let back = made(&done);
    assert_eq!(steps(&back), ["bar"]);
    lists(&mut done, free());
    assert!(made(&done).steps.is_empty());
    assert!(check(back, &seen).is_err(), "data lies there");
}

#[test]
fn a_reservation_that_a_crash_left_stays_while_data_is_owed_and_goes_when_none_is() {
    // Half emptied, and now something keeps the rest: it stays reserved.
    let stuck = changed(&with(&ours(&free())), |facts| {
        facts.hold(&mount(), "data", HolderKind::OpenFile);
    });
    let kept = made(&stuck);
    assert!(kept.steps.is_empty(), "{:?}", kept.steps);
    // Nobody knows any more whose data lies there: it stays, also where the setting is off.
    for policy in [
        stuck.policy.clone(),
        Policy {
            barrier: false,
            ..stuck.policy.clone()
        },
    ] {
        let forgotten = changed(&stuck, |facts| {
            facts.memory = Known::Absent;
            facts.policy = policy;
        });
        assert!(made(&forgotten).steps.is_empty());
    }
    // Emptied, by whomever: given back. With no master to ask that is said.
    let empty = changed(&stuck, |facts| {
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    });
    assert_eq!(steps(&made(&empty)), ["bar"]);
    let alone = changed(&empty, |facts| facts.master = Known::Absent);
    let kept = made(&alone);
    assert!(kept.steps.is_empty() && kept.blocked());
    assert!(why(&kept).contains("can't be given back"), "{}", why(&kept));
}

#[test]
fn what_others_reserved_to_the_role_is_theirs() {
    let without_label =
        reserved(&free(), &role_below(None), Some("ops".into()), Vec::new()).unwrap();
    let mut of_flags = ours(&free());
    of_flags.reservations[0].kind = ReservationType::Static;
    for theirs in [without_label, of_flags] {
        let empty = changed(&with(&theirs), |facts| {
            facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        });
        assert!(made(&empty).steps.is_empty());
        // Nor is it a barrier: anybody with that role may use it.
        let data = made(&with(&theirs));
        assert!(
            !steps(&data).contains(&"empty_mount".to_owned()),
            "{:?}",
            data.steps
        );
    }
    // Only a MOUNT goes as a whole.
    let mut facts = owed();
    let elsewhere = whole(&path(), &SourceExtras::default(), Megabytes::whole(9));
    facts.state().resources.push(ours(&elsewhere));
    assert_eq!(made(&facts).steps.len(), 1);
}
