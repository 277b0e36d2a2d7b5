//! The free space of a MOUNT disk is owed its zeros until they were written, however that was cut
//! short.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    Facts, Known, MountContent, OwedFill, WipeMethod, WipeMode, WipeMode::Unlink,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::{Evidence, Step};

use super::builder::{World, fingerprint, identity, key, mount, unknown};
use super::places::mount_destroyed;
use super::story::{codes, plan_of, records, settle, steps};

const ZEROS: WipeMethod = WipeMethod {
    mode: WipeMode::ZeroFree,
    ..WipeMethod::UNLINK
};

/// `db/m` was destroyed, and its disk emptied; then the program was killed while it filled the free
/// space.
pub(crate) fn cut_short(evidence: Evidence) -> Facts {
    let mut facts = mount_destroyed();
    facts.pass();
    facts.disk(&mount()).content = Known::Known(MountContent::Empty);
    owe(&mut facts, evidence);
    facts
}

fn owe(facts: &mut Facts, evidence: Evidence) {
    let there = facts.disk(&mount()).filesystem.present.known().unwrap();
    let directory = there.directory.clone();
    facts.gate.closed_for = Known::Known(vec![mount().root]);
    facts.gate.fills = vec![OwedFill {
        root: mount().root,
        directory,
        volume: key("db/m"),
        evidence,
        method: ZEROS,
    }];
}

/// What is to be done to the disk: whether only its free space is left, and how.
fn emptying(plan: &Plan) -> (bool, WipeMethod, Evidence) {
    plan.steps
        .iter()
        .find_map(|step| match step {
            Step::EmptyMount {
                authorization,
                fill_only,
                ..
            } => Some((
                *fill_only,
                authorization.method(),
                authorization.evidence().clone(),
            )),
            _ => None,
        })
        .unwrap_or_else(|| panic!("{plan:#?}"))
}

#[test]
fn a_fill_that_was_cut_short_is_taken_up_again_and_the_gate_opens_after() {
    let facts = cut_short(Evidence::OwnDestroy);
    let made = plan_of(&facts);
    assert_eq!(steps(&made), ["empty_mount"]);
    let (fill_only, method, evidence) = emptying(&made);
    assert_eq!((fill_only, method), (true, ZEROS));
    assert!(matches!(evidence, Evidence::DestroyOperation(_)));
    let (after, taken) = settle(&facts);
    assert_eq!(taken, ["empty_mount", "open_gate"]);
    assert_eq!(records(&after), ["db/stays"]);
    // Behind the barrier, like the emptying itself; until then agents are held back.
    let mut facts = facts;
    facts.policy.start_gate = false;
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    assert_eq!(codes(&made, "db/m"), [Refusal::NoBarrier]);
}

#[test]
fn an_operators_word_counts_for_what_is_empty_and_for_no_data() {
    let mut facts = cut_short(Evidence::Operator);
    // It went without a witness.
    facts.memory().volumes[0].gone.as_mut().unwrap().evidence = None;
    facts.state().operations.clear();
    facts.restart_agent();
    facts.stop_agent();
    let made = plan_of(&facts);
    assert_eq!(emptying(&made), (true, ZEROS, Evidence::Operator));
    facts.disk(&mount()).content = Known::Known(MountContent::Data);
    let made = plan_of(&facts);
    assert!(made.is_idle(), "{made:#?}");
    assert_eq!(codes(&made, "db/m"), [Refusal::ReportOnly]);
    // Said again, it counts again, and so does the mode that was asked for.
    facts.words.wipe = Some(key("db/m"));
    assert_eq!(
        emptying(&plan_of(&facts)),
        (false, ZEROS, Evidence::Operator)
    );
    facts.words.mode = Some(Unlink);
    assert_eq!(emptying(&plan_of(&facts)).1, WipeMethod::UNLINK);
}

#[test]
fn nothing_is_owed_to_another_disk_another_tenant_or_what_is_forgotten() {
    // Another file system lies at that root.
    let mut facts = cut_short(Evidence::OwnDestroy);
    facts.gate.fills[0].directory = identity("other", 2);
    assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
    // The disk was given to another volume.
    let mut facts = cut_short(Evidence::OwnDestroy);
    facts.create(&mount(), &key("db/next"));
    assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
    // It is not mounted, or nobody can look: it waits.
    for content in [Known::Absent, unknown()] {
        let mut facts = cut_short(Evidence::OwnDestroy);
        facts.disk(&mount()).content = content;
        assert!(plan_of(&facts).is_idle());
    }
    // A memory that can't be read may be mended; one that is lost knows of no volume.
    let mut facts = cut_short(Evidence::OwnDestroy);
    facts.memory = unknown();
    assert!(plan_of(&facts).is_idle());
    facts.memory = Known::Absent;
    assert_eq!(steps(&plan_of(&facts)), ["open_gate"]);
}

#[test]
fn the_check_lets_no_fill_pass_that_is_not_owed() {
    let facts = cut_short(Evidence::OwnDestroy);
    let made = plan_of(&facts);
    for spoil in [
        |facts: &mut Facts| facts.gate.fills.clear(),
        |facts: &mut Facts| facts.gate.fills[0].volume = key("db/other"),
        |facts: &mut Facts| facts.disk(&mount()).content = Known::Known(MountContent::Data),
        |facts: &mut Facts| facts.gate.fills[0].method = WipeMethod::UNLINK,
        |facts: &mut Facts| facts.policy.start_gate = false,
        |facts: &mut Facts| {
            facts.disk(&mount()).filesystem.present = Known::Known(fingerprint("other"));
        },
    ] {
        let mut other = facts.clone();
        spoil(&mut other);
        assert!(check(made.clone(), &other).is_err());
    }
    // Opening the gate over it.
    let mut lied = made;
    lied.steps = vec![Step::OpenGate];
    assert!(check(lied, &facts).is_err());
}
