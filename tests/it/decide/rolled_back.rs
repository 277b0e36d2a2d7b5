//! Checkpoints that were rolled back, lost, or are another generation's: what they still witness.

use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFacts, CheckpointFile, Facts, Known, MountContent, OperationKind,
    OperationState, RootFacts, Why,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::steps::Evidence;
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::mesos::resource::Resource;

use super::builder::{World, a_volume, fingerprint, key, mount, path, root, unknown, uuid};
use super::lives::{Loss, held, held_on, lose};
use super::second_reading::spoilt;
use super::story::{codes, gone, plan_of, quarantined, steps};

/// No agent runs, and its newer file does not name `db/a`.
fn rolled_back() -> Facts {
    let mut facts = held();
    facts.stop_agent();
    let name = key("db/a");
    let other = |volume: &Resource| volume.volume_key().as_ref() != Some(&name);
    facts.state().resources.retain(other);
    facts
}

#[test]
fn what_a_power_cut_took_from_the_file_is_not_destroyed_within_the_run_before_it() {
    // The newer file went back to what it was before `db/a`; the older one names it still.
    let mut facts = rolled_back();
    facts.host.now.boot_id = "another boot".to_owned();
    facts.pass();
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::StaleGeneration]);
    facts.later(60);
    facts.pass();
    // Then that is lost as well, and no agent has started since: its run is the one of then.
    facts.later(60);
    facts.checkpoint.info = CheckpointFile::Missing;
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), Vec::<String>::new());
    assert_eq!(codes(&made, "db/a"), [Refusal::GracePeriod]);
    // Without the cut it was the agent that dropped it.
    let mut facts = rolled_back();
    facts.pass();
    facts.later(60);
    facts.checkpoint.info = CheckpointFile::Missing;
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
}

/// A pass read a DESTROY of `db/a` on a MOUNT that is pending, and nobody asks the agent; with the checkpoint
/// of before.
fn pending_on_mount() -> (Facts, CheckpointFacts) {
    let mut facts = held_on(&mount());
    facts.answer = AgentAnswer::NotConfigured;
    let whole = facts.checkpoint.clone();
    let volume = a_volume(&mount(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
    facts.pass();
    facts.later(60);
    (facts, whole)
}

#[test]
fn a_pending_destroy_witnesses_nothing_once_the_checkpoint_is_lost_across_a_start() {
    // A crash left it in a target that the agent which runs since does not read.
    let restart: Loss = |facts| facts.restart_agent();
    let reboot: Loss = |facts| facts.reboot();
    // No agent has started since.
    let boot: Loss = |facts| facts.host.now.boot_id = "another boot".to_owned();
    let accept: Loss = |facts| facts.words.accept_empty = true;
    let nothing: Loss = |_facts| {};
    for (loss, stands) in [
        (restart, false),
        (reboot, false),
        (boot, false),
        (accept, false),
        (nothing, true),
    ] {
        let (mut facts, whole) = pending_on_mount();
        lose(&mut facts, loss);
        facts.checkpoint = whole;
        facts.forget(&key("db/a"));
        facts.later(60);
        facts.pass();
        let witness = gone(&facts, "db/a").is_some();
        assert_eq!(witness, stands);
    }
}

/// The disks that `db/a` is known on.
fn places(facts: &mut Facts) -> Vec<DiskRef> {
    let records = facts.memory().volumes.iter();
    records
        .filter(|record| record.key == key("db/a"))
        .flat_map(|record| record.places.iter().map(|place| place.disk.clone()))
        .collect()
}

/// What is told of the MOUNT disk.
fn told(facts: &Facts) -> Vec<String> {
    let kept = plan_of(facts).kept;
    let of_mount = kept.iter().filter(|kept| kept.disk == mount());
    of_mount
        .flat_map(|kept| &kept.reasons)
        .map(|reason| reason.detail.clone())
        .collect()
}

/// The older file names `db/a` on MOUNT as well, or no more.
fn in_older_file(facts: &mut Facts, named: bool) {
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.clear();
        resources.push(a_volume(&root(), &key("db/a")));
        if named {
            resources.push(a_volume(&mount(), &key("db/a")));
        }
    }
    facts.later(60);
}

#[test]
fn what_the_older_file_alone_names_on_a_mount_is_told_once_it_does_so_no_more() {
    // An agent before the newer file made and destroyed it there; this one knows of another by that name.
    for seen in [[true, true], [false, true], [true, false], [false, false]] {
        let mut facts = held();
        facts.disk(&mount()).content = Known::Known(MountContent::Data);
        facts.pass();
        let present = facts.disk(&mount()).filesystem.present.clone();
        for seen in seen {
            in_older_file(&mut facts, true);
            if !seen {
                facts.disk(&mount()).filesystem.present = unknown();
            }
            facts.pass();
            facts.disk(&mount()).filesystem.present = present.clone();
            let said = told(&facts);
            assert!(said.iter().all(|one| !one.contains("was on the disk")));
        }
        in_older_file(&mut facts, false);
        facts.pass();
        let said = told(&facts);
        assert_eq!(said.len(), 1, "{seen:?} {said:?}");
        assert!(said[0].contains("nobody has the disk now"), "{said:?}");
        // While it can't be looked at nothing is over, and another disk is not it.
        let mut away = facts.clone();
        away.disk(&mount()).filesystem.present = unknown();
        away.disk(&mount()).content = Known::Known(MountContent::Empty);
        away.pass();
        assert_eq!(away.memory().left_on.len(), 1);
        // Seen empty, it is over.
        facts.disk(&mount()).content = Known::Known(MountContent::Empty);
        facts.pass();
        facts.disk(&mount()).content = Known::Known(MountContent::Data);
        assert_eq!(told(&facts), Vec::<String>::new());
    }
}

#[test]
fn each_life_that_the_older_file_names_on_a_mount_is_told_and_none_beside_a_tenant() {
    let mut facts = held();
    facts.create(&root(), &key("db/b"));
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        for name in ["db/a", "db/b", "db/older"] {
            resources.push(a_volume(&mount(), &key(name)));
        }
        // What another life left on a PATH is a directory of its own, which speaks for itself.
        resources.push(a_volume(&path(), &key("db/b")));
    }
    let mut taken = facts.clone();
    facts.pass();
    let left = facts.memory().left_on.iter();
    assert_eq!(
        left.map(|one| one.key.clone()).collect::<Vec<_>>(),
        [key("db/a"), key("db/b")]
    );
    // Who has the disk is told of by other means.
    taken.create(&mount(), &key("db/tenant"));
    taken.pass();
    assert_eq!(taken.memory().left_on, []);
}

#[test]
fn a_destroy_is_no_witness_against_another_life_of_the_name_on_another_disk() {
    for disk in [mount(), path()] {
        // A power cut took it out of the files; under its name another came, on ROOT, and was destroyed
        // before any pass saw that.
        let mut facts = held_on(&disk);
        facts.forget(&key("db/a"));
        let volume = a_volume(&root(), &key("db/a"));
        facts.operate(OperationKind::Destroy, OperationState::Finished, 7, volume);
        facts.restart_agent();
        facts.pass();
        assert_eq!(gone(&facts, "db/a"), None, "{disk}");
        assert_eq!(steps(&plan_of(&facts)), Vec::<String>::new());
        // Pending while the name is read elsewhere, it is none later either.
        let mut facts = held_on(&disk);
        let volume = a_volume(&root(), &key("db/a"));
        facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
        facts.pass();
        facts.state().operations.clear();
        facts.forget(&key("db/a"));
        facts.restart_agent();
        facts.pass();
        assert_eq!(gone(&facts, "db/a"), None, "{disk}");
    }
}

#[test]
fn a_destroy_is_of_the_disk_it_names_where_two_lives_were_read() {
    // The older files name one on MOUNT, their target one on ROOT.
    let mut facts = rolled_back();
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    facts.memory().volumes.clear();
    facts.checkpoint.info = CheckpointFile::Whole(vec![a_volume(&mount(), &key("db/a"))]);
    facts.checkpoint.info_target = CheckpointFile::Whole(vec![a_volume(&root(), &key("db/a"))]);
    facts.pass();
    facts.later(60);
    facts.checkpoint.info = CheckpointFile::Whole(Vec::new());
    facts.checkpoint.info_target = CheckpointFile::Missing;
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Finished, 7, volume);
    // An empty disk is not it, if it is another one, or if it is not known to be it.
    let other: fn(&mut RootFacts) = |root| {
        let other = fingerprint("0a0a0a0a-0000-4000-8000-00000000000a");
        root.filesystem.present = Known::Known(other.clone());
        root.filesystem.ledger = Known::Known(other);
    };
    let unsure: fn(&mut RootFacts) = |root| {
        let other = fingerprint("0a0a0a0a-0000-4000-8000-00000000000a");
        root.filesystem.ledger = Known::Known(other);
    };
    for change in [other, unsure] {
        let mut facts = facts.clone();
        let disk = facts.disk(&mount());
        disk.content = Known::Known(MountContent::Empty);
        change(disk);
        facts.pass();
        assert_eq!(facts.memory().left_on.len(), 1);
    }
    facts.pass();
    assert_eq!(places(&mut facts), [root()]);
    let left: Vec<_> = facts
        .memory()
        .left_on
        .iter()
        .map(|one| one.disk.clone())
        .collect();
    assert_eq!(left, [mount()]);
    assert_eq!(
        gone(&facts, "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn a_pending_destroy_is_no_witness_once_the_older_file_alone_names_the_volume() {
    // The agent that was to carry it out did, or an older one came and made the volume anew.
    for disk in [mount(), root()] {
        let mut facts = held_on(&disk);
        let volume = a_volume(&disk, &key("db/a"));
        facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
        facts.pass();
        facts.later(60);
        facts.stop_agent();
        facts.state().operations.clear();
        let name = key("db/a");
        facts
            .state()
            .resources
            .retain(|volume| volume.volume_key().as_ref() != Some(&name));
        facts.restart_agent();
        facts.pass();
        facts.later(60);
        facts.forget(&name);
        facts.restart_agent();
        facts.pass();
        assert_eq!(gone(&facts, "db/a"), None, "{disk}");
    }
}

#[test]
fn the_check_reads_for_itself_on_which_disk_a_destroy_was() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    let good = plan_of(&facts);
    assert_eq!(quarantined(&good), ["db/a"]);
    let says = "on another disk";
    spoilt(
        &good,
        &facts,
        &[(says, |facts| {
            facts.state().operations[0].volumes = vec![a_volume(&path(), &key("db/a"))];
        })],
    );
}

#[test]
fn a_destroy_is_not_carried_out_on_a_mount_that_the_older_file_named_another_volume_on_since() {
    let mut facts = held_on(&mount());
    facts.destroy(&key("db/a"), 7);
    facts.pass();
    facts.later(60);
    assert!(gone(&facts, "db/a").is_some());
    assert_eq!(places(&mut facts), [mount()]);
    // An agent before the newer file came, and made it; the next one forgets it.
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&mount(), &key("db/t")));
    }
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/t"));
    facts.stop_agent();
    facts.pass();
    assert_eq!(places(&mut facts), []);
    assert!(
        told(&facts)
            .iter()
            .any(|said| said.contains("was on the disk"))
    );
}

#[test]
fn no_agent_emptied_a_disk_for_a_volume_that_the_older_file_alone_names_on_it() {
    let mut facts = held_on(&mount());
    facts.destroy(&key("db/a"), 7);
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&mount(), &key("db/t")));
    }
    facts.pass();
    let left = facts.memory().left_on.iter();
    assert_eq!(
        left.map(|one| one.key.clone()).collect::<Vec<_>>(),
        [key("db/a")]
    );
}

#[test]
fn a_pending_destroy_witnesses_nothing_once_the_file_it_was_on_its_way_in_is_damaged_across_a_start()
 {
    // The agent that made the target crashed. Either its next start makes the damaged target the whole
    // truth, or an older agent, which reads neither, lets tasks go on in the volume.
    let empty: Loss = |facts| facts.checkpoint.state_target = CheckpointFile::Empty;
    let torn: Loss = |facts| facts.checkpoint.state_target = spoiled();
    let committed: Loss = |facts| facts.checkpoint.state = spoiled();
    let older: Loss = |facts| facts.checkpoint.info = spoiled();
    let older_target: Loss = |facts| facts.checkpoint.info_target = spoiled();
    let nothing: Loss = |_facts| {};
    for (case, (damage, restarted, stands)) in [
        (empty, true, false),
        (torn, true, false),
        (committed, true, false),
        (older, true, false),
        (older_target, true, false),
        // The agent that runs on has the truth, and its target is empty while it writes it.
        (empty, false, true),
        (torn, false, true),
        (nothing, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut facts, whole) = pending_on_mount();
        if restarted {
            facts.restart_agent();
        }
        damage(&mut facts);
        facts.pass();
        facts.later(60);
        facts.checkpoint = whole;
        facts.forget(&key("db/a"));
        facts.pass();
        assert_eq!(gone(&facts, "db/a").is_some(), stands, "{case}");
    }
}

fn spoiled<T>() -> CheckpointFile<T> {
    CheckpointFile::Damaged(Why("cut at 100 bytes".to_owned()))
}
