//! Explanations say what the planner decided: no more, no less.

use std::collections::BTreeSet;

use mesos_volumed::decide::explain::{Answer, Explanation, sweepable, volume};
use mesos_volumed::decide::facts::Facts;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::roots::dir_key;
use mesos_volumed::mesos::ids::VolumeKey;
use proptest::prelude::*;

use super::builder::{DAY, World, healthy, key, path, root};
use super::properties::config;
use super::random::{Tape, facts, keys};
use super::story::{doomed, plan_of};

fn codes(explanation: &Explanation, answer: Answer) -> BTreeSet<&'static str> {
    explanation
        .questions
        .iter()
        .flat_map(|question| &question.rules)
        .filter(|rule| rule.answer == answer)
        .map(|rule| rule.code)
        .collect()
}

/// Every volume that the facts or the plan know.
fn known(facts: &Facts, plan: &Plan) -> BTreeSet<VolumeKey> {
    let mut known: BTreeSet<VolumeKey> = keys().into_iter().collect();
    for root in &facts.roots {
        known.extend(root.dirs.known().into_iter().flatten().map(dir_key));
    }
    known.extend(plan.kept.iter().filter_map(|kept| kept.volume.clone()));
    known
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_the_plan_keeps_is_explained_by_the_same_guards(
        tape in proptest::collection::vec(any::<u16>(), 0..400)
    ) {
        let facts = facts(&mut Tape::new(&tape));
        let made = plan(&facts);
        for key in known(&facts, &made) {
            let told = volume(&facts, &made, &key);
            let said: BTreeSet<&str> = told.iter().flat_map(|one| codes(one, Answer::No)).collect();
            for kept in made.kept.iter().filter(|kept| kept.volume.as_ref() == Some(&key)) {
                for reason in &kept.reasons {
                    prop_assert!(said.contains(reason.code.code()), "{key}: {reason} is not told: {told:#?}");
                }
            }
            for one in &told {
                let (no, pass) = (codes(one, Answer::No), codes(one, Answer::Pass));
                prop_assert!(no.is_disjoint(&pass), "{one:#?}");
                prop_assert!(codes(one, Answer::Untried).is_disjoint(&pass), "{one:#?}");
                for question in &one.questions {
                    // What a step carries out has a "yes", and no guard against it.
                    let goes = question.answer.starts_with("yes");
                    prop_assert!(!goes || no.is_empty(), "{one:#?}");
                    prop_assert!(!goes || doomed(&made).contains(&key), "{one:#?}");
                }
            }
            let places = facts.roots.iter().flat_map(|root| root.dirs.known().into_iter().flatten());
            let has_directory = places.into_iter().any(|dir| dir_key(dir) == key);
            prop_assert!(!has_directory || !told.is_empty(), "{key} has a directory");
        }
        for root in &facts.roots {
            prop_assert!(sweepable(&facts, &root.disk).is_some());
        }
    }
}

#[test]
fn a_held_volume_and_an_orphan_are_told_apart() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/held"));
    facts.mkdir(&path(), &key("db/orphan"));
    facts.later(60);
    facts.pass();
    let made = plan_of(&facts);

    let [held] = &volume(&facts, &made, &key("db/held"))[..] else {
        panic!("one directory");
    };
    assert_eq!(codes(held, Answer::No), BTreeSet::from(["held"]));
    assert!(codes(held, Answer::Pass).contains("in_use_fd"), "{held:#?}");
    assert!(codes(held, Answer::Untried).contains("grace_period"));
    assert!(
        held.history[0]
            .what
            .starts_with("last named by an authority")
    );

    let [orphan] = &volume(&facts, &made, &key("db/orphan"))[..] else {
        panic!("one directory");
    };
    assert_eq!(codes(orphan, Answer::No), BTreeSet::from(["grace_period"]));
    let grace = orphan.questions[0]
        .rules
        .iter()
        .find(|rule| rule.code == "grace_period")
        .unwrap();
    assert!(grace.remedy.is_some(), "{grace:?}");
    assert!(
        orphan.history[0].what.starts_with("sighted as an orphan"),
        "{orphan:#?}"
    );
}

#[test]
fn a_destroyed_volume_may_go_and_a_missing_one_has_vanished() {
    let mut facts = healthy();
    facts.create(&root(), &key("db/a"));
    facts.create(&root(), &key("db/stays"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 1);
    facts.later(DAY);
    let made = plan_of(&facts);
    let told = volume(&facts, &made, &key("db/a"));
    assert!(told[0].questions[0].answer.starts_with("yes"), "{told:#?}");
    assert!(codes(&told[0], Answer::No).is_empty());

    let told = volume(&facts, &made, &key("db/never-heard-of"));
    assert!(told.is_empty(), "{told:#?}");
}
