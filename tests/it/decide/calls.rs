//! What the check asks of the calls that reserve a MOUNT disk and give it back, each broken alone.

use mesos_volumed::decide::bar::{labels, role_below, wants_master};
use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentProcess, Facts, Known, MountContent, OwedFill, WipeMethod,
};
use mesos_volumed::decide::guards::Reason;
use mesos_volumed::decide::memory::VolumeRecord;
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::{Evidence, MasterCall, Step};
use mesos_volumed::mesos::disk::SourceExtras;
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::operator::{Change, reserved, whole};
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Megabytes;

use super::barrier::{KEY, changed, free, lists, made, ours, owed, with};
use super::builder::{World, a_volume, identity, key, mount, path};
use super::lies::refused;
use super::prepared::Change as Case;

fn call(plan: &mut Plan) -> &mut MasterCall {
    let mut calls = plan.steps.iter_mut().filter_map(|step| match step {
        Step::Bar { call, .. } => Some(call),
        _ => None,
    });
    calls.next().unwrap()
}

fn with_call(good: &Plan, change: impl FnOnce(&mut MasterCall)) -> Plan {
    let mut plan = good.clone();
    change(call(&mut plan));
    plan
}

fn of_the_volume(all: &mut [VolumeRecord]) -> &mut VolumeRecord {
    all.iter_mut()
        .find(|record| record.key == key(KEY))
        .unwrap()
}

fn says(plan: Plan, facts: &Facts, expected: &str) {
    let why = refused(plan, facts, expected);
    assert!(why.contains(expected), "{expected}: {why}");
}

/// Of another size than the disk.
fn smaller() -> Resource {
    ours(&whole(
        &mount(),
        &SourceExtras::default(),
        Megabytes::whole(1),
    ))
}

#[test]
fn a_call_that_reserves_anything_but_the_disk_as_it_is_listed_is_rejected() {
    let facts = owed();
    let good = made(&facts);
    let as_listed = "does not reserve";
    let forged: [(&str, Change); 6] = [
        ("is no RESERVE", Change::Unreserve(vec![ours(&free())])),
        ("more than one disk", Change::Reserve(Vec::new())),
        (
            "more than one disk",
            Change::Reserve(vec![ours(&free()), ours(&free())]),
        ),
        (as_listed, Change::Reserve(vec![smaller()])),
        // For anybody with that role.
        (
            as_listed,
            Change::Reserve(vec![
                reserved(&free(), &Role::new("db"), None, labels()).unwrap(),
            ]),
        ),
        // As somebody else, who alone could give it back.
        (
            as_listed,
            Change::Reserve(vec![
                reserved(&free(), &role_below(None), Some("ops".into()), labels()).unwrap(),
            ]),
        ),
    ];
    for (expected, change) in forged {
        says(
            with_call(&good, |call| call.change = change),
            &facts,
            expected,
        );
    }
    let other = with_call(&good, |call| call.agent = "agent-S9".into());
    says(other, &facts, "another agent or another master");
    let older = changed(&facts, |facts| {
        if let Known::Known(master) = &mut facts.master {
            master.version.minor = 3;
        }
    });
    says(good.clone(), &older, "another agent or another master");
    // It is reserved already: to reserve it below that would give it to nobody.
    let ours_already = changed(&facts, |facts| {
        lists(facts, ours(&free()));
    });
    let below = with_call(&good, |call| {
        call.change = Change::Reserve(vec![ours(&ours(&free()))]);
    });
    says(below, &ours_already, as_listed);
}

#[test]
fn a_disk_is_reserved_for_what_was_destroyed_on_it_alone() {
    let facts = owed();
    let good = made(&facts);
    let not_here = "was not destroyed on";
    let remembering = |change: fn(&mut VolumeRecord)| {
        let mut plan = good.clone();
        change(of_the_volume(&mut plan.memory.volumes));
        plan
    };
    let elsewhere = remembering(|record| record.places[0].disk = path());
    says(elsewhere, &facts, not_here);
    let unwitnessed = remembering(|record| record.gone.as_mut().unwrap().evidence = None);
    says(unwitnessed.clone(), &facts, not_here);
    // An operator's word stands for it, and a word on another volume does not.
    let named = |by: &str| changed(&facts, |facts| facts.words.wipe = Some(key(by)));
    check(unwitnessed.clone(), &named(KEY)).unwrap();
    says(unwitnessed, &named("db/w"), not_here);
}

#[test]
fn a_disk_is_reserved_for_its_free_space_where_that_is_owed_to_this_file_system() {
    let facts = owed();
    let good = made(&facts);
    let empty = changed(&facts, |facts| {
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    });
    let nothing = "holds nothing to wipe";
    says(good.clone(), &empty, nothing);
    let present = empty
        .roots
        .iter()
        .find(|root| root.disk == mount())
        .unwrap();
    let present = present.filesystem.present.known().unwrap();
    let fill = OwedFill {
        root: mount().root,
        directory: present.directory.clone(),
        volume: key(KEY),
        evidence: Evidence::Operator,
        method: WipeMethod::UNLINK,
    };
    let owes = |fill: OwedFill| changed(&empty, |facts| facts.gate.fills = vec![fill]);
    check(good.clone(), &owes(fill.clone())).unwrap();
    let another_root = OwedFill {
        root: path().root,
        ..fill.clone()
    };
    says(good.clone(), &owes(another_root), nothing);
    let another_disk = OwedFill {
        directory: identity("other", 1),
        ..fill
    };
    says(good, &owes(another_disk), nothing);
}

#[test]
fn no_disk_is_reserved_while_another_agent_may_run() {
    let facts = owed();
    let good = made(&facts);
    let running = |change: fn(&mut AgentProcess)| {
        changed(&facts, |facts| {
            if let Known::Known(all) = &mut facts.agent.processes {
                change(&mut all[0]);
            }
        })
    };
    let another = "another agent may run";
    let changes: [fn(&mut AgentProcess); 2] = [
        |one| one.ours = false,
        |one| one.work_dir = Known::Known("/other".into()),
    ];
    for change in changes {
        let facts = running(change);
        says(good.clone(), &facts, another);
        assert!(made(&facts).steps.is_empty());
    }
    // Nor is one emptied then that is reserved already.
    let reserved = with(&ours(&free()));
    let good = made(&reserved);
    for change in changes {
        let facts = changed(&reserved, |facts| {
            if let Known::Known(all) = &mut facts.agent.processes {
                change(&mut all[0]);
            }
        });
        assert!(made(&facts).steps.is_empty());
        assert!(check(good.clone(), &facts).is_err());
    }
}

#[test]
fn a_disk_with_a_volume_on_it_is_not_reserved_and_that_is_said() {
    let facts = changed(&owed(), |facts| {
        lists(facts, a_volume(&mount(), &key("db/next")));
    });
    let kept = made(&facts);
    assert!(kept.steps.is_empty(), "{:?}", kept.steps);
    let mut reasons = kept.kept.iter().flat_map(|kept| &kept.reasons);
    let said = |reason: &Reason| reason.to_string().contains("volume db/next is on it");
    assert!(reasons.any(said), "{:?}", kept.kept);
}

#[test]
fn an_empty_disk_is_given_back_whatever_is_remembered() {
    for memory in [Known::Absent, Known::unknown("it could not be read")] {
        let facts = changed(&emptied(), |facts| facts.memory = memory);
        let given: Vec<_> = made(&facts).steps;
        assert!(
            matches!(given.as_slice(), [Step::Bar { volume: None, .. }]),
            "{given:?}"
        );
    }
}

/// The disk was emptied behind our reservation, which is to be given back.
fn emptied() -> Facts {
    changed(&with(&ours(&free())), |facts| {
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    })
}

#[test]
fn a_call_that_gives_back_anything_but_our_reservation_is_rejected() {
    let facts = emptied();
    let good = made(&facts);
    let not_ours = "does not give back what we reserved";
    let forged: [(&str, Change); 4] = [
        ("is no UNRESERVE", Change::Reserve(vec![ours(&free())])),
        (not_ours, Change::Unreserve(Vec::new())),
        (not_ours, Change::Unreserve(vec![smaller()])),
        (
            not_ours,
            Change::Unreserve(vec![ours(&free()), ours(&free())]),
        ),
    ];
    for (expected, change) in forged {
        says(
            with_call(&good, |call| call.change = change),
            &facts,
            expected,
        );
    }
    // An operator's own, without our label.
    let theirs = reserved(&free(), &role_below(None), Some("ops".into()), Vec::new()).unwrap();
    let listed = changed(&facts, |facts| {
        lists(facts, theirs.clone());
    });
    let given = with_call(&good, |call| {
        call.change = Change::Unreserve(vec![theirs.clone()]);
    });
    says(given, &listed, not_ours);
}

#[test]
fn a_disk_is_not_given_back_with_data_on_it_that_are_nobodys() {
    let facts = emptied();
    let good = made(&facts);
    let data = changed(&facts, |facts| {
        facts.disk(&mount()).content = Known::Known(MountContent::Data);
    });
    // As long as it is remembered whose they are.
    let mut remembers = good.clone();
    remembers.memory.volumes = made(&owed()).memory.volumes;
    says(remembers.clone(), &data, "may be half emptied");
    check(remembers, &facts).unwrap();
    let forgotten = changed(&data, |facts| facts.memory = Known::Absent);
    says(good.clone(), &forgotten, "nobody knows whose data");
    // It is to be emptied by the same plan: afterwards, not before.
    let empties = made(&with(&ours(&free())));
    let mut both = good;
    both.steps.extend(empties.steps);
    says(both, &facts, "is about to be emptied");
}

#[test]
fn the_master_is_asked_where_a_barrier_stands_or_may_be_wanted_and_not_otherwise() {
    let facts = owed();
    assert!(wants_master(&facts));
    let cases: [Case<Facts>; 6] = [
        ("no barrier is wanted", |facts| facts.policy.barrier = false),
        ("no agent runs", |facts| {
            facts.agent.processes = Known::Known(Vec::new());
        }),
        ("nobody knows whether one runs", |facts| {
            facts.agent.processes = Known::Absent;
        }),
        ("nothing is remembered", |facts| {
            facts.memory = Known::Absent;
        }),
        ("no data lies there", |facts| {
            facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        }),
        ("nor on a MOUNT", |facts| {
            facts.disk(&path()).content = Known::Known(MountContent::Data);
            facts.roots.retain(|root| root.disk != mount());
        }),
    ];
    for (what, change) in cases {
        assert!(!wants_master(&changed(&facts, change)), "{what}");
    }
    let elsewhere = changed(&facts, |facts| {
        of_the_volume(&mut facts.memory().volumes).places[0].disk = path();
    });
    assert!(!wants_master(&elsewhere));
    // It is there still; an operator's word on it, and on no other, is a reason.
    let mut there = changed(&facts, |facts| {
        of_the_volume(&mut facts.memory().volumes).gone = None;
    });
    assert!(!wants_master(&there));
    there.words.wipe = Some(key("db/w"));
    assert!(!wants_master(&there));
    there.words.wipe = Some(key(KEY));
    assert!(wants_master(&there));
    // One that stands is looked after without an agent.
    let mut stands = with(&ours(&free()));
    stands.agent.processes = Known::Known(Vec::new());
    assert!(wants_master(&stands));
    stands.policy.barrier = false;
    assert!(!wants_master(&stands));
}
