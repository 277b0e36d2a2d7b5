//! Short questions to plans.

use std::collections::BTreeSet;

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, Known};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::{Evidence, Step};
use mesos_volumed::mesos::ids::VolumeKey;

use super::builder::key;
use super::ideal::apply;

/// The plan, which its check accepts.
pub(crate) fn plan_of(facts: &Facts) -> Plan {
    let made = plan(facts);
    check(made.clone(), facts).unwrap_or_else(|rejected| panic!("{rejected}\n{made:#?}"));
    made
}

/// The volumes whose directories are moved, in order.
pub(crate) fn quarantined(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| {
            let Step::Quarantine { place, .. } = step else {
                return None;
            };
            Some(place.volume.to_string())
        })
        .collect()
}

/// The volumes in destructive steps.
pub(crate) fn doomed(plan: &Plan) -> BTreeSet<VolumeKey> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Quarantine { place, .. } => Some(place.volume.clone()),
            Step::Wipe { authorization, .. }
            | Step::EmptyMount { authorization, .. }
            | Step::MoveOut { authorization, .. } => Some(authorization.volume().clone()),
            Step::AdoptRoot { .. }
            | Step::Clear { .. }
            | Step::PutBack { .. }
            | Step::Void { .. }
            | Step::OpenGate
            | Step::Bar { .. }
            | Step::Restore { .. }
            | Step::Adopt { .. }
            | Step::Unadopt { .. }
            | Step::Tidy { .. }
            | Step::Call { .. }
            | Step::Confirm { .. }
            | Step::Create { .. } => None,
        })
        .collect()
}

/// By what evidence the volume's directory is moved.
pub(crate) fn evidence_for(plan: &Plan, volume: &str) -> Option<Evidence> {
    plan.steps.iter().find_map(|step| {
        let Step::Quarantine {
            place, manifest, ..
        } = step
        else {
            return None;
        };
        (place.volume == key(volume)).then(|| manifest.evidence.clone())
    })
}

/// The codes for which what is the volume's is kept, without repetition.
pub(crate) fn codes(plan: &Plan, volume: &str) -> Vec<Refusal> {
    let mut codes: Vec<Refusal> = plan
        .kept
        .iter()
        .filter(|kept| kept.volume == Some(key(volume)))
        .flat_map(|kept| kept.reasons.iter().map(|reason| reason.code))
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

/// The names of the steps.
pub(crate) fn steps(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            let json = serde_json::to_value(step).unwrap();
            json["step"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Plans and executes until nothing is left to do; says which steps it took.
pub(crate) fn settle(facts: &Facts) -> (Facts, Vec<String>) {
    let mut facts = facts.clone();
    let mut taken = Vec::new();
    for _ in 0..8 {
        let made = plan_of(&facts);
        facts = apply(&made, &facts);
        if made.is_idle() {
            return (facts, taken);
        }
        taken.extend(steps(&made));
    }
    panic!("it goes on and on: {taken:?}");
}

/// The volumes that the memory has records of.
pub(crate) fn records(facts: &Facts) -> Vec<String> {
    match &facts.memory {
        Known::Known(memory) => memory
            .volumes
            .iter()
            .map(|record| record.key.to_string())
            .collect(),
        Known::Absent | Known::Unknown(_) => panic!("no memory"),
    }
}

/// The evidence that the memory has for the end of this volume.
pub(crate) fn gone(facts: &Facts, volume: &str) -> Option<Evidence> {
    facts
        .memory
        .known()?
        .volumes
        .iter()
        .find(|record| record.key == key(volume))?
        .gone
        .as_ref()?
        .evidence
        .clone()
}
