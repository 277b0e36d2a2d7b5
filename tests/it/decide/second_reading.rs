//! What the check asks of the memory, of roots and of marks, each broken alone: it says which.

#![expect(
    clippy::items_after_statements,
    clippy::semicolon_if_nothing_returned,
    reason = "tables of one-line changes, with what finds their place beside them"
)]

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, Known, MountContent};
use mesos_volumed::decide::manifest::{AdoptedMark, Manifest, TrashState};
use mesos_volumed::decide::memory::Sighting;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::Step;
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::units::Span;

use super::builder::{World, a_root, an_agent, first_met, identity, key, mount, path, root};
use super::builder::{healthy, unknown};
use super::guards::{destroyed, orphaned};
use super::lies::refused;
use super::places::mount_destroyed;
use super::prepared::Change;
use super::story::{plan_of, steps};
use super::undelete;

/// Each change of the facts makes the check refuse the plan that was right before, and say so.
pub(crate) fn spoilt(good: &Plan, facts: &Facts, changes: &[Change<Facts>]) {
    assert!(check(good.clone(), facts).is_ok());
    for (says, change) in changes {
        let mut facts = facts.clone();
        change(&mut facts);
        let why = refused(good.clone(), &facts, says);
        assert!(why.contains(says), "{says}: {why}");
        // The planner would not say it either.
        plan_of(&facts);
    }
}

/// With none of these changes does it.
pub(crate) fn passes(good: &Plan, facts: &Facts, changes: &[Change<Facts>]) {
    for (what, change) in changes {
        let mut facts = facts.clone();
        change(&mut facts);
        check(good.clone(), &facts).unwrap_or_else(|rejected| panic!("{what}: {rejected}"));
        assert_eq!(steps(&plan_of(&facts)), steps(good), "{what}");
    }
}

/// Each change of the plan does.
pub(crate) fn forged(good: &Plan, facts: &Facts, says: &str, changes: &[fn(&mut Plan)]) {
    assert!(check(good.clone(), facts).is_ok());
    for (place, change) in changes.iter().enumerate() {
        let mut lied = good.clone();
        change(&mut lied);
        let why = refused(lied, facts, says);
        assert!(why.contains(says), "{place}: {says}: {why}");
    }
}

fn sighting(sightings: &mut [Sighting]) -> &mut Sighting {
    let of = |one: &&mut Sighting| one.key == key("db/o");
    sightings.iter_mut().find(of).unwrap()
}

#[test]
fn an_orphan_wants_sightings_of_this_directory_then_and_now() {
    let facts = orphaned();
    let good = plan_of(&facts);
    forged(
        &good,
        &facts,
        "was not sighted long enough",
        &[
            |plan| sighting(&mut plan.memory.sightings).identity = identity("other", 1),
            |plan| sighting(&mut plan.memory.sightings).times += 1,
            |plan| sighting(&mut plan.memory.sightings).last = Span::ZERO,
        ],
    );
    forged(
        &good,
        &facts,
        "were not counted",
        &[
            |plan| plan.memory.unwitnessed.last_mut().unwrap().count = 0,
            |plan| plan.memory.unwitnessed.last_mut().unwrap().at = Span::ZERO,
        ],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("was not sighted before", |facts| {
                sighting(&mut facts.memory().sightings).identity = identity("other", 1);
            }),
            ("was not sighted before", |facts| {
                sighting(&mut facts.memory().sightings).first = Span::seconds(10);
            }),
        ],
    );
}

#[test]
fn a_destroyed_volume_goes_where_it_was_held_and_nowhere_else() {
    let facts = destroyed();
    let good = plan_of(&facts);
    fn places(plan: &mut Plan) -> &mut mesos_volumed::decide::memory::VolumePlaceRecord {
        let mut volumes = plan.memory.volumes.iter_mut();
        let record = volumes.find(|record| record.key == key("db/a")).unwrap();
        &mut record.places[0]
    }
    forged(
        &good,
        &facts,
        "is not where db/a was held",
        &[
            |plan| places(plan).disk = path(),
            |plan| places(plan).filesystem = Some("other".into()),
            |plan| places(plan).directory = Some(identity("other", 1)),
        ],
    );
}

#[test]
fn a_volume_that_went_without_an_operation_went_within_one_run_of_the_agent_and_one_boot() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(60);
    facts.forget(&key("db/a"));
    let good = plan_of(&facts);
    assert!(
        good.steps
            .iter()
            .any(|step| matches!(step, Step::Quarantine { .. })),
        "{good:#?}"
    );
    fn record(facts: &mut Facts) -> &mut mesos_volumed::decide::memory::VolumeRecord {
        let mut volumes = facts.memory().volumes.iter_mut();
        volumes.find(|record| record.key == key("db/a")).unwrap()
    }
    spoilt(
        &good,
        &facts,
        &[
            ("within one run", |facts| record(facts).held_in_run = None),
            ("within one run", |facts| {
                record(facts).held_in_run.as_mut().unwrap().inode += 1;
            }),
            ("within one run", |facts| {
                record(facts).held_in_boot = "other".into()
            }),
        ],
    );
}

#[test]
fn a_root_is_used_as_it_was_seen_by_the_only_agent_that_may() {
    let facts = destroyed();
    let good = plan_of(&facts);
    fn another(facts: &mut Facts, change: fn(&mut mesos_volumed::decide::facts::AgentProcess)) {
        let mut agent = an_agent(900);
        change(&mut agent);
        match &mut facts.agent.processes {
            Known::Known(agents) => agents.push(agent),
            other => panic!("{other:?}"),
        }
    }
    spoilt(
        &good,
        &facts,
        &[
            ("may use", |facts| {
                another(facts, |agent| agent.ours = false)
            }),
            ("may use", |facts| {
                another(facts, |agent| agent.roots = unknown())
            }),
            ("may use", |facts| {
                another(facts, |agent| agent.filesystems = unknown())
            }),
            ("the agent does not name", |facts| {
                facts.disk(&root()).named_by.clear();
                facts.agent.work_dir = "/elsewhere".into();
            }),
        ],
    );
    // The work_dir is the agent's, whoever names it.
    let mut unnamed = facts.clone();
    unnamed.disk(&root()).named_by.clear();
    assert!(check(good, &unnamed).is_ok());
}

fn adopted<'a>(plan: &'a mut Plan, of: &DiskRef) -> &'a mut Step {
    let is = |step: &&mut Step| matches!(step, Step::AdoptRoot { disk, .. } if disk == of);
    plan.steps.iter_mut().find(is).unwrap()
}

#[test]
fn a_root_first_met_is_noted_as_it_is_with_all_that_is_held_on_it() {
    let mut facts = first_met();
    facts.create(&path(), &key("db/a"));
    let good = plan_of(&facts);
    forged(
        &good,
        &facts,
        "another size",
        &[|plan| match adopted(plan, &path()) {
            Step::AdoptRoot { verified, .. } => verified.total_bytes += 1,
            other => panic!("{other:?}"),
        }],
    );
    forged(
        &good,
        &facts,
        "another host or root",
        &[
            |plan| match adopted(plan, &path()) {
                Step::AdoptRoot { marker, .. } => marker.as_mut().unwrap().root = "/x".into(),
                other => panic!("{other:?}"),
            },
            |plan| match adopted(plan, &path()) {
                Step::AdoptRoot { marker, .. } => marker.as_mut().unwrap().machine_id = "x".into(),
                other => panic!("{other:?}"),
            },
        ],
    );
    spoilt(
        &good,
        &facts,
        &[
            ("lacks the directory of db/a", |facts| {
                facts.rmdir(&path(), &key("db/a"))
            }),
            ("of another file system", |facts| {
                facts.disk(&path()).filesystem.marker = Known::Known("other".into());
            }),
            ("not the file system of the ledger", |facts| {
                let mut other = facts.disk(&path()).filesystem.present.clone();
                if let Known::Known(print) = &mut other {
                    print.directory = identity("other", 1);
                }
                facts.disk(&path()).filesystem.ledger = other;
            }),
        ],
    );
}

#[test]
fn an_empty_disk_is_no_word_for_one_that_is_half_emptied() {
    let mut facts = mount_destroyed();
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    let mut beside = a_root(&DiskRef {
        root: "/dcos/volume9".into(),
        ..mount()
    });
    beside.content = Known::Known(MountContent::Empty);
    facts.roots.push(beside);
    let mut lied = plan(&facts);
    lied.steps = vec![Step::OpenGate];
    let why = refused(lied, &facts, "half emptied");
    assert!(why.contains("may be half emptied"), "{why}");
}

pub(crate) fn mark(plan: &mut Plan) -> &mut AdoptedMark {
    let marks = plan.steps.iter_mut().find_map(|step| match step {
        Step::Restore { mark, .. } | Step::Adopt { mark, .. } => Some(mark),
        _ => None,
    });
    marks.unwrap()
}

#[test]
fn a_restore_leaves_a_mark_of_this_pass_that_describes_it() {
    let (facts, id) = undelete::destroyed();
    let facts = undelete::asked(&facts, &id);
    let good = plan_of(&facts);
    forged(
        &good,
        &facts,
        "does not describe the restore",
        &[
            |plan| mark(plan).version += 1,
            |plan| mark(plan).volume = key("db/other"),
            |plan| mark(plan).trash = None,
            |plan| mark(plan).disk = path(),
            |plan| mark(plan).identity = identity("other", 1),
        ],
    );
    forged(
        &good,
        &facts,
        "is not of this pass",
        &[|plan| mark(plan).lived_at = Span::ZERO],
    );
    // A wipe that has begun is past the way back.
    let (mut begun, mut lied) = (facts.clone(), good.clone());
    let state = |manifest: &mut Manifest| manifest.state = TrashState::Wiping;
    if let Known::Known(entries) = &mut begun.disk(&root()).trash
        && let Known::Known(manifest) = &mut entries[0].manifest
    {
        state(manifest);
    }
    for step in &mut lied.steps {
        if let Step::Restore { entry, .. } = step {
            state(&mut entry.manifest);
        }
    }
    let why = refused(lied, &begun, "wiping");
    assert!(why.contains("has begun"), "{why}");
}

#[test]
fn only_what_the_operator_named_is_adopted_or_given_up() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    let asked = undelete::adopting(&facts, false);
    let good = plan_of(&asked);
    forged(
        &good,
        &asked,
        "the mark does not describe the step",
        &[
            |plan| mark(plan).version += 1,
            |plan| mark(plan).trash = Some(mesos_volumed::decide::steps::TrashId("1-a".into())),
            |plan| mark(plan).disk = root(),
        ],
    );
    forged(
        &good,
        &asked,
        "another directory",
        &[|plan| mark(plan).identity = identity("other", 1)],
    );
    spoilt(
        &good,
        &asked,
        &[
            ("nobody adopts", |facts| facts.words.adopt = None),
            ("nobody adopts", |facts| {
                facts.words.adopt.as_mut().unwrap().undo = true
            }),
            ("nobody adopts", |facts| {
                facts.words.adopt.as_mut().unwrap().volume = key("db/other");
            }),
            ("nobody adopts", |facts| {
                facts.words.adopt.as_mut().unwrap().root = Some("/elsewhere".into());
            }),
        ],
    );
    // And given up by name.
    facts.mark(&path(), &key("db/o"), None);
    let asked = undelete::adopting(&facts, true);
    let good = plan(&asked);
    assert!(
        good.steps
            .iter()
            .any(|step| matches!(step, Step::Unadopt { .. })),
        "{good:#?}"
    );
    spoilt(
        &good,
        &asked,
        &[
            ("is still adopted", |facts| {
                facts.words.adopt.as_mut().unwrap().undo = false
            }),
            ("is still adopted", |facts| {
                facts.words.adopt.as_mut().unwrap().volume = key("db/other");
            }),
        ],
    );
}
