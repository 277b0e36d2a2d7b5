//! Lives of volumes, told pass by pass: what may be taken for a destroy, and what must not.

use mesos_volumed::decide::facts::{
    AgentAnswer, AgentView, CheckpointFile, Facts, Known, OperationKind, OperationState, Why,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::listing::{self, VolumeState};
use mesos_volumed::decide::steps::Evidence;
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Span;

use super::builder::{
    DAY, World, a_reservation, a_task, a_volume, fingerprint, healthy, key, path, root, unknown,
    uuid,
};
use super::story::{codes, evidence_for, gone, plan_of, quarantined, records, settle, steps};

/// A host that held `db/a` on this disk a minute ago, and holds another volume that stays.
pub(crate) fn held_on(disk: &DiskRef) -> Facts {
    let mut facts = healthy();
    facts.create(disk, &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts
}

pub(crate) fn held() -> Facts {
    held_on(&root())
}

/// As agents before 1.8 write it: `resources.info` alone.
fn info_alone(facts: &mut Facts) {
    facts.checkpoint.state = CheckpointFile::Missing;
}

#[test]
fn a_witnessed_destroy_is_moved_looked_at_again_and_wiped() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    let made = plan_of(&facts);
    assert_eq!(
        evidence_for(&made, "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
    let (after, steps) = settle(&facts);
    assert_eq!(steps, ["quarantine", "clear", "wipe"]);
    assert_eq!(records(&after), ["db/stays"], "its matter is closed");
}

#[test]
fn gone_within_one_run_of_the_agent_is_a_witnessed_destroy() {
    for alone in [false, true] {
        let mut facts = healthy();
        if alone {
            info_alone(&mut facts);
            facts.answer = AgentAnswer::NotConfigured;
            facts.stop_agent();
            facts.answer = AgentAnswer::NotConfigured;
        }
        facts.pass();
        facts.later(60);
        if alone {
            if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
                resources.push(a_volume(&root(), &key("db/a")));
            }
            facts.mkdir(&root(), &key("db/a"));
        } else {
            facts.create(&root(), &key("db/a"));
        }
        facts.pass();
        facts.later(60);
        facts.forget(&key("db/a"));
        let made = plan_of(&facts);
        assert_eq!(evidence_for(&made, "db/a"), Some(Evidence::GoneWithinRun));
        // Its evidence outlives the run.
        facts.disk(&root()).mount = Known::Absent;
        facts.pass();
        facts.restart_agent();
        facts.later(60);
        facts.disk(&root()).mount = healthy().disk(&root()).mount.clone();
        let made = plan_of(&facts);
        assert_eq!(evidence_for(&made, "db/a"), Some(Evidence::GoneWithinRun));
    }
}

#[test]
fn gone_across_a_start_of_the_agent_or_the_host_is_unwitnessed() {
    let starts: [fn(&mut Facts); 2] = [Facts::restart_agent, Facts::reboot];
    for start in starts {
        let mut facts = held();
        facts.forget(&key("db/a"));
        start(&mut facts);
        let made = plan_of(&facts);
        assert_eq!(quarantined(&made), Vec::<String>::new());
        assert_eq!(codes(&made, "db/a"), [Refusal::GracePeriod]);
        // Nor later, when the run is an old one.
        facts.pass();
        facts.later(60);
        assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
    }
}

#[test]
fn a_boot_without_a_trace_in_the_agents_files_counts_as_well() {
    let mut facts = held();
    facts.forget(&key("db/a"));
    facts.host.now.boot_id = "another boot".to_owned();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

#[test]
fn a_pending_destroy_that_was_read_is_evidence_across_a_start() {
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
    let made = plan_of(&facts);
    assert_eq!(
        codes(&made, "db/a"),
        [Refusal::Held, Refusal::PendingOperation]
    );
    facts.pass();
    facts.later(5);
    facts.state().operations.clear();
    facts.forget(&key("db/a"));
    facts.restart_agent();
    let made = plan_of(&facts);
    assert_eq!(
        evidence_for(&made, "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn a_destroy_that_failed_or_is_unclear_is_no_evidence() {
    for state in [OperationState::Failed, OperationState::Unclear] {
        let mut facts = held();
        let volume = a_volume(&root(), &key("db/a"));
        facts.operate(OperationKind::Destroy, state, 7, volume);
        facts.pass();
        facts.later(60);
        facts.forget(&key("db/a"));
        if state == OperationState::Unclear {
            facts.state().operations.clear();
        }
        facts.restart_agent();
        assert_eq!(
            quarantined(&plan_of(&facts)),
            Vec::<String>::new(),
            "{state:?}"
        );
    }
}

#[test]
fn a_pending_destroy_that_fails_in_the_end_is_no_evidence() {
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
    facts.pass();
    facts.later(5);
    // It fails, and the volume is lost with the next power cut.
    facts.state().operations[0].state = OperationState::Failed;
    facts.pass();
    facts.later(5);
    facts.state().operations.clear();
    facts.pass();
    facts.later(5);
    facts.forget(&key("db/a"));
    facts.reboot();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

#[test]
fn what_was_concluded_from_a_pending_destroy_is_void_when_the_files_say_that_it_failed() {
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
    facts.pass();
    facts.later(5);
    facts.forget(&key("db/a"));
    facts.state().operations.clear();
    facts.policy.protect = vec!["**".to_owned()];
    facts.restart_agent();
    facts.pass();
    assert_eq!(
        gone(&facts, "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
    facts.policy.protect.clear();
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Failed, 7, volume);
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

/// `db/a` was destroyed by operation 7 and lives again; the operation is still in the files.
fn reborn() -> Facts {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    facts.rmdir(&root(), &key("db/a"));
    facts.create(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts
}

#[test]
fn the_destroy_of_an_earlier_life_is_no_evidence() {
    let mut facts = reborn();
    facts.forget(&key("db/a"));
    facts.restart_agent();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
    // The present life's own destroy is.
    let mut facts = reborn();
    facts.destroy(&key("db/a"), 8);
    assert_eq!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(8)))
    );
}

#[test]
fn a_checkpoint_rolled_back_to_an_acknowledged_destroy_kills_no_later_life() {
    let mut facts = reborn();
    // Acknowledged: out of the files, and its uuid with it.
    facts.state().operations.clear();
    facts.pass();
    facts.later(60);
    facts.pass();
    facts.later(60);
    // The power cut takes the checkpoint back to between the two lives.
    facts.forget(&key("db/a"));
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Finished, 7, volume);
    facts.reboot();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

#[test]
fn a_rollback_kills_no_later_life_whose_earlier_one_was_long_closed() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    let (mut facts, _) = settle(&facts);
    facts.later(60);
    facts.pass();
    assert_eq!(records(&facts), ["db/stays"]);
    facts.state().operations.clear();
    facts.later(60);
    facts.pass();
    facts.create(&root(), &key("db/a"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/a"));
    let volume = a_volume(&root(), &key("db/a"));
    facts.operate(OperationKind::Destroy, OperationState::Finished, 7, volume);
    facts.reboot();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

#[test]
fn spent_destroys_are_remembered_within_bounds_and_those_in_the_files_always() {
    let mut facts = held();
    for n in 0..3000 {
        let volume = a_volume(&root(), &key("db/other"));
        facts.operate(OperationKind::Destroy, OperationState::Finished, n, volume);
    }
    facts.pass();
    assert_eq!(facts.memory().spent_destroys.len(), 3000);
    facts.state().operations.truncate(10);
    facts.pass();
    assert_eq!(facts.memory().spent_destroys.len(), 1024 + 10);
    // The youngest of those that are in no file any more are kept.
    assert!(
        facts
            .memory()
            .spent_destroys
            .iter()
            .any(|spent| spent.uuid == uuid(2999))
    );
}

#[test]
fn a_destroy_finished_in_the_target_is_not_taken_for_an_earlier_lifes() {
    // Step 5a of a DESTROY (F§3.1): the target has it finished and the volume gone, the committed
    // file still names the volume and has it pending. A large volume is deleted for seconds here, in
    // which the agent answers nobody.
    let mut facts = held();
    let answer = std::mem::replace(
        &mut facts.answer,
        AgentAnswer::Unknown(Why("it does not answer".to_owned())),
    );
    let volume = a_volume(&root(), &key("db/a"));
    let mut target = facts.state().clone();
    target
        .resources
        .retain(|resource| resource.volume_key() != Some(key("db/a")));
    target.operations.push(super::builder::an_operation(
        OperationKind::Destroy,
        OperationState::Finished,
        7,
        std::slice::from_ref(&volume),
    ));
    facts.checkpoint.state_target = CheckpointFile::Whole(target.clone());
    let made = plan_of(&facts);
    assert!(codes(&made, "db/a").contains(&Refusal::Held), "{made:#?}");
    facts.pass();
    facts.later(3);
    facts.answer = answer;
    facts.forget(&key("db/a"));
    facts.checkpoint.state_target = CheckpointFile::Missing;
    facts.checkpoint.state = CheckpointFile::Whole(target);
    facts.restart_agent();
    assert_eq!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn a_target_that_the_running_agent_does_not_believe_is_not_taken_for_this_lifes_destroy() {
    // An agent of 1.9 crashed before it committed the DESTROY. One of 0.28, which reads `resources.info`
    // alone, has the volume again, and a task writes to it; then one of 1.9 carries the target out.
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.checkpoint.info = CheckpointFile::Whole(facts.state().resources.clone());
    let mut target = facts.state().clone();
    let gone = |one: &Resource| one.volume_key() != Some(key("db/a"));
    target.resources.retain(gone);
    target.operations.push(super::builder::an_operation(
        OperationKind::Destroy,
        OperationState::Finished,
        7,
        std::slice::from_ref(&volume),
    ));
    facts.checkpoint.state_target = CheckpointFile::Whole(target.clone());
    assert!(facts.answer.names(&key("db/a")));
    facts.pass();
    facts.later(3);
    facts.forget(&key("db/a"));
    facts.checkpoint.state_target = CheckpointFile::Missing;
    facts.checkpoint.state = CheckpointFile::Whole(target);
    facts.restart_agent();
    let made = plan_of(&facts);
    assert_eq!(evidence_for(&made, "db/a"), None);
    assert_eq!(codes(&made, "db/a"), [Refusal::GracePeriod]);
}

#[test]
fn a_target_beside_a_committed_file_of_0_bytes_is_not_taken_for_this_lifes_destroy() {
    // The same, with the committed file cut to nothing and nobody who asks the agent: only the older
    // file tells that an agent of 0.28 may hold the volume.
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.checkpoint.info = CheckpointFile::Whole(facts.state().resources.clone());
    facts.pass();
    let mut target = facts.state().clone();
    target
        .resources
        .retain(|one| one.volume_key() != Some(key("db/a")));
    target.operations.push(super::builder::an_operation(
        OperationKind::Destroy,
        OperationState::Finished,
        7,
        std::slice::from_ref(&volume),
    ));
    let answer = std::mem::replace(&mut facts.answer, AgentAnswer::NotConfigured);
    facts.later(3);
    facts.restart_agent();
    facts.checkpoint.state_target = CheckpointFile::Whole(target.clone());
    facts.checkpoint.state = CheckpointFile::Empty;
    facts.pass();
    facts.later(3);
    facts.answer = answer;
    facts.forget(&key("db/a"));
    facts.checkpoint.state_target = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Whole(target.resources.clone());
    facts.checkpoint.state = CheckpointFile::Whole(target);
    facts.restart_agent();
    facts.words.accept_empty = true;
    let made = plan_of(&facts);
    assert_eq!(evidence_for(&made, "db/a"), None);
    assert!(
        codes(&made, "db/a").contains(&Refusal::GracePeriod),
        "{made:#?}"
    );
}

/// What comes with the loss of a checkpoint.
pub(crate) type Loss = fn(&mut Facts);

/// The checkpoint is lost, two passes long.
pub(crate) fn lose(facts: &mut Facts, loss: Loss) {
    loss(facts);
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Missing;
    facts.pass();
    facts.later(60);
    facts.pass();
    facts.words.accept_empty = false;
}

#[test]
fn what_waits_to_be_removed_when_the_checkpoint_is_lost_waits_like_an_orphan() {
    // It may have been created anew, and adopted, after the last look and before the checkpoint went.
    let restart: Loss = |facts| facts.restart_agent();
    let reboot: Loss = |facts| facts.reboot();
    let accept: Loss = |facts| facts.words.accept_empty = true;
    let nothing: Loss = |_facts| {};
    for (witnessed, loss, stands) in [
        (true, restart, false),
        (false, restart, false),
        (true, reboot, false),
        (true, accept, false),
        // The agent runs on, and the file is put back.
        (true, nothing, true),
    ] {
        let mut facts = held();
        let held = std::mem::replace(&mut facts.holders, unknown());
        if witnessed {
            facts.destroy(&key("db/a"), 7);
        } else {
            facts.forget(&key("db/a"));
        }
        facts.pass();
        assert!(gone(&facts, "db/a").is_some(), "{witnessed}");
        let whole = facts.checkpoint.clone();
        facts.later(60);
        lose(&mut facts, loss);
        facts.checkpoint = whole;
        facts.holders = held;
        let made = plan_of(&facts);
        assert_eq!(evidence_for(&made, "db/a").is_some(), stands, "{made:#?}");
        if !stands {
            assert_eq!(codes(&made, "db/a"), [Refusal::GracePeriod]);
            facts.pass();
            facts.later(DAY);
            assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
        }
    }
}

#[test]
fn one_destroy_of_two_volumes_is_spent_for_the_one_that_lives_again_only() {
    let mut facts = held();
    facts.create(&root(), &key("db/b"));
    facts.pass();
    facts.later(60);
    let both = [
        a_volume(&root(), &key("db/a")),
        a_volume(&root(), &key("db/b")),
    ];
    facts.forget(&key("db/b"));
    facts.state().operations.push(super::builder::an_operation(
        OperationKind::Destroy,
        OperationState::Finished,
        7,
        &both,
    ));
    facts.restart_agent();
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), ["db/b"]);
}

#[test]
fn a_destroy_read_while_the_agent_does_not_answer_is_not_forgotten() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    let answer = std::mem::replace(&mut facts.answer, AgentAnswer::Recovering);
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), Vec::<String>::new());
    assert!(made.blocked(), "a destroy waits behind the doubt");
    facts.pass();
    // Acknowledged meanwhile, and the agent has started anew.
    facts.later(60);
    facts.state().operations.clear();
    facts.restart_agent();
    facts.answer = answer;
    assert_eq!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn a_destroy_is_not_forgotten_while_a_task_outlives_it() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    facts.tasks = Known::Known(vec![a_task(&key("db/a"))]);
    assert_eq!(
        codes(&plan_of(&facts), "db/a"),
        [Refusal::Held, Refusal::InUseTask]
    );
    facts.pass();
    facts.later(60);
    facts.state().operations.clear();
    facts.tasks = Known::Known(Vec::new());
    assert_eq!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}

#[test]
fn a_name_that_comes_back_voids_the_evidence() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    facts.policy.protect = vec!["**".to_owned()];
    facts.pass();
    facts.policy.protect.clear();
    facts.later(60);
    // By any authority, and for one pass only.
    facts.tasks = Known::Known(vec![a_task(&key("db/a"))]);
    facts.pass();
    facts.later(60);
    facts.tasks = Known::Known(Vec::new());
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

#[test]
fn an_accepted_emptiness_witnesses_nothing() {
    let mut facts = held();
    facts.checkpoint.state = CheckpointFile::Empty;
    facts.checkpoint.info = CheckpointFile::Empty;
    facts.answer = AgentAnswer::NotConfigured;
    facts.words.accept_empty = true;
    facts.pass();
    facts.words.accept_empty = false;
    facts.later(DAY);
    let made = plan_of(&facts);
    // Unwitnessed, after its grace: not at once, and for the orphans' retention.
    assert!(matches!(
        evidence_for(&made, "db/a"),
        None | Some(Evidence::Unwitnessed { .. })
    ));
    assert_eq!(gone(&super::ideal::apply(&made, &facts), "db/a"), None);
}

#[test]
fn a_change_of_the_file_that_the_agent_believes_is_no_destroy() {
    let mut facts = held();
    // An older resources.info, and .state removed "to unblock" the agent: same run, same boot.
    facts.checkpoint.state = CheckpointFile::Missing;
    facts.checkpoint.info = CheckpointFile::Whole(vec![a_reservation("other")]);
    facts.stop_agent();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
}

/// Everything was held and nothing is, across a start of the agent; both files agree.
pub(crate) fn all_lost() -> Facts {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.create(&path(), &key("db/b"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/a"));
    facts.forget(&key("db/b"));
    facts.restart_agent();
    facts
}

#[test]
fn everything_gone_across_a_start_waits_for_the_operator() {
    let mut facts = all_lost();
    facts.policy.brake_percent = 100;
    for _ in 0..4 {
        let made = plan_of(&facts);
        assert!(made.steps.is_empty());
        assert!(
            codes(&made, "db/a").contains(&Refusal::AuthorityEmpty),
            "{made:#?}"
        );
        facts.pass();
        facts.later(DAY);
    }
    facts.words.accept_empty = true;
    facts.pass();
    facts.words.accept_empty = false;
    facts.later(DAY - 1);
    facts.pass();
    assert_eq!(quarantined(&plan_of(&facts)), Vec::<String>::new());
    facts.later(DAY);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a", "db/b"]);
}

#[test]
fn a_new_volume_is_no_acceptance_of_the_loss_of_all_others() {
    let mut facts = all_lost();
    facts.pass();
    facts.later(60);
    facts.create(&root(), &key("db/new"));
    facts.policy.brake_percent = 100;
    for _ in 0..4 {
        let made = plan_of(&facts);
        assert!(made.steps.is_empty(), "{made:#?}");
        assert!(codes(&made, "db/a").contains(&Refusal::AuthorityEmpty));
        facts.pass();
        facts.later(DAY);
    }
}

#[test]
fn a_loss_is_over_when_everything_is_back() {
    let mut facts = all_lost();
    facts.pass();
    facts.later(60);
    for (disk, name) in [(root(), "db/a"), (path(), "db/b")] {
        let volume = a_volume(&disk, &key(name));
        facts.state().resources.push(volume);
    }
    facts.pass();
    assert!(!facts.memory().lost_across_start);
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
}

#[test]
fn what_a_destroy_was_read_for_is_not_lost() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    facts.restart_agent();
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), ["db/a"], "{made:#?}");
}

#[test]
fn a_destroy_of_an_unmounted_disk_is_owed_to_the_same_file_system() {
    let mut facts = held_on(&path());
    let there = facts.disk(&path()).clone();
    let away = |facts: &mut Facts| {
        let root = facts.disk(&path());
        root.mount = Known::Absent;
        root.dirs = Known::Absent;
        root.trash = Known::Absent;
        root.filesystem.present = Known::Absent;
        root.filesystem.marker = Known::Absent;
    };
    away(&mut facts);
    facts.destroy(&key("db/a"), 7);
    let made = plan_of(&facts);
    assert_eq!(codes(&made, "db/a"), [Refusal::NotMounted]);
    assert!(made.blocked());
    facts.pass();
    // The operation is long acknowledged, agent and host have started anew.
    facts.state().operations.clear();
    facts.reboot();
    facts.later(40 * DAY);
    facts.pass();

    // Another disk with a directory of the same name, taken on by the operator: not that one.
    let mut other = facts.clone();
    *other.disk(&path()) = {
        let mut root = there.clone();
        root.filesystem.present = Known::Known(fingerprint("another-file-system"));
        root.filesystem.ledger = root.filesystem.present.clone();
        root.filesystem.marker = Known::Known("another-file-system".to_owned());
        if let Known::Known(dirs) = &mut root.dirs
            && let Known::Known(identity) = &mut dirs[0].identity
        {
            identity.filesystem = "another-file-system".to_owned();
        }
        root
    };
    assert_eq!(quarantined(&plan_of(&other)), Vec::<String>::new());
    other.pass();

    // And then the disk of then.
    for mut facts in [facts, other] {
        *facts.disk(&path()) = there.clone();
        facts.later(60);
        assert_eq!(
            evidence_for(&plan_of(&facts), "db/a"),
            Some(Evidence::DestroyOperation(uuid(7)))
        );
        let (after, _) = settle(&facts);
        assert_eq!(records(&after), ["db/stays"]);
    }
}

#[test]
fn a_disk_that_cannot_be_looked_at_is_not_called_away() {
    let mut facts = held_on(&path());
    let there = facts.disk(&path()).clone();
    facts.destroy(&key("db/a"), 7);
    let disk = facts.disk(&path());
    disk.mount = unknown();
    disk.dirs = unknown();
    disk.trash = unknown();
    disk.filesystem.present = unknown();
    disk.filesystem.marker = unknown();
    let made = plan_of(&facts);
    assert!(steps(&made).is_empty() && made.blocked(), "{made:#?}");
    let due: Vec<_> = made.kept.iter().filter(|kept| kept.due).collect();
    assert_eq!(due.len(), 2, "the volume, and the trash: {made:#?}");
    for kept in due {
        // What it was, not what would be so of a disk that is away or of a damaged manifest.
        let [reason] = kept.reasons.as_slice() else {
            panic!("{kept:?}");
        };
        assert_eq!(reason.code, Refusal::NotMounted, "{kept:?}");
        let Known::Unknown(why) = unknown::<()>() else {
            panic!("it is not known");
        };
        let said = &reason.detail;
        assert!(said.starts_with(&why.0), "{said}");
        assert!(!said.contains("was not mounted"), "{said}");
    }
    facts.pass();
    *facts.disk(&path()) = there;
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
}

#[test]
fn a_disk_that_was_never_told_is_not_taken_for_the_place_of_a_destroy() {
    // Held while the agent saw something else under the root.
    let mut facts = healthy();
    facts.disk(&path()).view = AgentView::Other("another inode".to_owned());
    facts.create(&path(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    facts.pass();
    facts.later(60);
    facts.disk(&path()).view = AgentView::Same;
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::GracePeriod]);
    // Nor is it remembered for ever: once nothing lies there, it is over.
    facts.pass();
    assert_eq!(records(&facts), ["db/a"]);
    facts.rmdir(&path(), &key("db/a"));
    facts.pass();
    assert_eq!(records(&facts), Vec::<String>::new());
}

#[test]
fn data_put_back_into_a_place_that_was_empty_while_held_is_not_what_was_destroyed() {
    let mut facts = held_on(&path());
    facts.rmdir(&path(), &key("db/a"));
    facts.memory = Known::Absent;
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    // Somebody saves the tenant's data to where it once was.
    facts.mkdir(&path(), &key("db/a"));
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::GracePeriod]);
}

#[test]
fn a_directory_that_came_and_went_between_two_looks_is_known_by_its_volume() {
    let mut facts = healthy();
    facts.later(60);
    // Directories are read first: the volume is named, its directory not yet seen.
    facts.create(&root(), &key("db/a"));
    facts.rmdir(&root(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.mkdir(&root(), &key("db/a"));
    facts.destroy(&key("db/a"), 7);
    assert_eq!(quarantined(&plan_of(&facts)), ["db/a"]);
}

#[test]
fn another_directory_of_the_same_name_is_not_what_was_destroyed() {
    let mut facts = held();
    facts.destroy(&key("db/a"), 7);
    if let Known::Known(dirs) = &mut facts.disk(&root()).dirs
        && let Known::Known(identity) = &mut dirs[0].identity
    {
        identity.handle = "1:another".to_owned();
    }
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::GracePeriod]);
}

#[test]
fn a_destroy_speaks_of_the_disk_that_the_volume_was_on() {
    // An old life of the name left its directory on PATH; the present one was on ROOT.
    let mut facts = held();
    facts.mkdir(&path(), &key("db/a"));
    facts.pass();
    facts.later(60);
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::Held]);
    facts.destroy(&key("db/a"), 7);
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), ["db/a"]);
    assert!(
        made.kept
            .iter()
            .any(|kept| kept.disk == path() && !kept.due && kept.reasons.len() == 1)
    );
}

#[test]
fn a_disk_named_by_the_older_file_alone_is_not_a_place_of_the_volume() {
    let mut facts = held();
    // The older file is of another life, on PATH, whose directory is still there.
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.clear();
        resources.push(a_volume(&path(), &key("db/a")));
    }
    facts.mkdir(&path(), &key("db/a"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    let made = plan_of(&facts);
    assert_eq!(quarantined(&made), ["db/a"]);
    assert!(
        made.steps
            .iter()
            .all(|step| !serde_json::to_string(step).unwrap().contains("/mnt/data"))
    );
}

#[test]
fn volumes_of_a_resource_provider_leave_nothing_owed() {
    for mark in [
        |volume: &mut mesos_volumed::mesos::resource::Resource| {
            volume.provider_id = Some("provider-1".into());
        },
        |volume: &mut mesos_volumed::mesos::resource::Resource| {
            if let Some(source) = &mut volume.source {
                source.id = Some("csi-1".into());
            }
        },
    ] {
        let mut facts = healthy();
        let mut volume = a_volume(&path(), &key("db/csi"));
        mark(&mut volume);
        volume.source.as_mut().unwrap().root = Some("./csi/mounts".into());
        facts.state().resources.push(volume);
        facts.pass();
        facts.later(60);
        facts.destroy(&key("db/csi"), 7);
        let made = plan_of(&facts);
        assert!(!made.blocked(), "{made:#?}");
        facts.pass();
        assert_eq!(records(&facts), Vec::<String>::new());
    }
}

#[test]
fn lived_time_is_capped_stands_still_across_a_boot_and_never_goes_back() {
    let mut facts = healthy();
    facts.policy.sweep_every = Span::seconds(300);
    let lived = |facts: &mut Facts| {
        facts.pass();
        facts.memory().clock.lived
    };
    let begin = lived(&mut facts);
    facts.later(299);
    assert_eq!(lived(&mut facts).minus(begin), Span::seconds(299));
    facts.later(40 * DAY);
    assert_eq!(lived(&mut facts).minus(begin), Span::seconds(299 + 600));
    facts.reboot();
    facts.later(40 * DAY);
    assert_eq!(lived(&mut facts).minus(begin), Span::seconds(899));
    facts.host.now.since_boot = Span::seconds(1);
    assert_eq!(lived(&mut facts).minus(begin), Span::seconds(899));
    // The wall clock means nothing.
    facts.host.now.wall_seconds += 1_000_000_000;
    assert_eq!(lived(&mut facts).minus(begin), Span::seconds(899));
}

#[test]
fn a_disk_that_was_away_is_sighted_anew() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    let there = facts.disk(&path()).clone();
    facts.later(DAY);
    // Not readable for a while is still there; away is away.
    facts.disk(&path()).dirs = unknown();
    facts.pass();
    *facts.disk(&path()) = there.clone();
    assert_eq!(quarantined(&plan_of(&facts)), ["db/o"]);
    let root = facts.disk(&path());
    root.mount = Known::Absent;
    root.dirs = Known::Absent;
    facts.pass();
    *facts.disk(&path()) = there;
    assert_eq!(codes(&plan_of(&facts), "db/o"), [Refusal::GracePeriod]);
}

#[test]
fn an_orphan_that_was_named_meanwhile_starts_anew_even_in_a_doubtful_pass() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    facts.later(DAY);
    facts.providers = unknown();
    facts.tasks = Known::Known(vec![a_task(&key("db/o"))]);
    facts.pass();
    facts.providers = Known::Known(Vec::new());
    facts.tasks = Known::Known(Vec::new());
    assert_eq!(codes(&plan_of(&facts), "db/o"), [Refusal::GracePeriod]);
}

#[test]
fn the_release_of_an_older_files_name_starts_anew_when_the_agent_names_it_meanwhile() {
    let mut facts = healthy();
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&path(), &key("db/s")));
    }
    facts.mkdir(&path(), &key("db/s"));
    facts.pass();
    assert_eq!(facts.memory().stale.len(), 1);
    facts.later(60);
    // A doubtful pass in which the agent itself names it.
    let silent = facts.answer.clone();
    if let AgentAnswer::State(state) = &mut facts.answer {
        state.resources.push(a_volume(&path(), &key("db/s")));
    }
    facts.providers = unknown();
    facts.pass();
    assert_eq!(facts.memory().stale.len(), 0);
    facts.answer = silent;
    facts.providers = Known::Known(Vec::new());
    facts.later(DAY);
    facts.pass();
    assert_eq!(codes(&plan_of(&facts), "db/s"), [Refusal::StaleGeneration]);
}

/// Agents 1.8 commit, and crash before they delete (F§3.5 O3): `resources.info` names the volume
/// for ever.
#[test]
fn a_destroy_that_only_the_older_file_denies_ends_as_an_orphan_once_the_agent_was_asked() {
    let mut facts = held_on(&path());
    let volume = a_volume(&path(), &key("db/a"));
    facts.operate(
        OperationKind::Destroy,
        OperationState::Pending,
        7,
        volume.clone(),
    );
    facts.pass();
    facts.forget(&key("db/a"));
    facts.state().operations.clear();
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(volume);
    }
    facts.later(60);
    facts.pass();
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::StaleGeneration]);
    for _ in 0..2 {
        facts.later(DAY);
        facts.pass();
    }
    facts.later(DAY);
    assert!(matches!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::Unwitnessed { .. })
    ));
    let rows = listing::volumes(&facts, &plan_of(&facts));
    let row = rows
        .iter()
        .find(|row| row.key == Some(key("db/a")))
        .unwrap();
    assert_eq!(row.state, VolumeState::Orphan);
}

/// A crash after the state's target (F§3.4, row 5a) ends in a destroy that `resources.info` does not
/// know of.
#[test]
fn a_volume_that_only_the_older_file_names_is_not_told_as_lost() {
    let mut facts = held_on(&path());
    facts.forget(&key("db/a"));
    if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
        resources.push(a_volume(&path(), &key("db/a")));
    }
    facts.rmdir(&path(), &key("db/a"));
    facts.pass();
    let state = |facts: &Facts| {
        let rows = listing::volumes(facts, &plan_of(facts));
        let row = rows.into_iter().find(|row| row.key == Some(key("db/a")));
        row.map(|row| row.state)
    };
    assert_eq!(state(&facts), Some(VolumeState::Held));
    facts.later(DAY);
    facts.pass();
    assert_eq!(state(&facts), None, "the agent was asked often enough");
}

/// A checkpointed resource that is no valid one is dropped without a word (F§3.5 O8).
#[test]
fn what_an_agent_drops_that_its_file_still_names_was_not_destroyed() {
    let mut facts = held();
    facts.restart_agent();
    facts.later(60);
    if let AgentAnswer::State(state) = &mut facts.answer {
        state
            .resources
            .retain(|one| one.volume_key() != Some(key("db/a")));
    }
    for _ in 0..3 {
        facts.pass();
        facts.later(60);
    }
    // Its next checkpoint leaves it out, in the same life of the agent.
    facts.forget(&key("db/a"));
    facts.pass();
    facts.later(60);
    assert_eq!(evidence_for(&plan_of(&facts), "db/a"), None);
    assert_eq!(codes(&plan_of(&facts), "db/a"), [Refusal::GracePeriod]);
}

#[test]
fn a_destroy_in_a_file_that_the_running_agent_does_not_believe_is_not_taken_for_this_lifes() {
    // An agent of 1.8 carried it out; one of 0.28, which never reads that file, has the volume again.
    let mut facts = held();
    let volume = a_volume(&root(), &key("db/a"));
    facts.checkpoint.info = CheckpointFile::Whole(facts.state().resources.clone());
    facts
        .state()
        .resources
        .retain(|one| one.volume_key() != Some(key("db/a")));
    let finished = super::builder::an_operation(
        OperationKind::Destroy,
        OperationState::Finished,
        7,
        std::slice::from_ref(&volume),
    );
    facts.state().operations.push(finished);
    facts.pass();
    // An agent that believes the file comes back, and its answers do not know the volume.
    facts.later(3);
    facts.restart_agent();
    facts.forget(&key("db/a"));
    facts.checkpoint.info = CheckpointFile::Missing;
    assert_ne!(
        evidence_for(&plan_of(&facts), "db/a"),
        Some(Evidence::DestroyOperation(uuid(7)))
    );
}
