//! What histories reached.

use std::collections::BTreeMap;

use mesos_volumed::daemon::pass::Pass;
use mesos_volumed::decide::guards::Refusal;

/// How often what came up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) histories: u64,
    pub(crate) events: BTreeMap<&'static str, u64>,
    pub(crate) passes: u64,
    pub(crate) calls: u64,
    pub(crate) codes: BTreeMap<&'static str, u64>,
    pub(crate) steps: BTreeMap<String, u64>,
    pub(crate) causes: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn event(&mut self, name: &'static str) {
        *self.events.entry(name).or_default() += 1;
    }

    pub(crate) fn pass(&mut self, pass: &Pass) {
        self.passes += 1;
        for reason in pass.last.kept.iter().flat_map(|kept| &kept.reasons) {
            *self.codes.entry(reason.code.code()).or_default() += 1;
        }
        for step in &pass.outcomes {
            use mesos_volumed::act::outcome::Outcome;
            let became = match &step.outcome {
                Outcome::Identity => "was so",
                Outcome::Done(_) => "done",
                Outcome::Started => "started",
                Outcome::Stale(_) => "stale",
                Outcome::Refused(reason) => {
                    *self.codes.entry(reason.code.code()).or_default() += 1;
                    "refused"
                }
                Outcome::Failed(_) => "failed",
            };
            *self
                .steps
                .entry(format!("{} {became}", step.step))
                .or_default() += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.passes += other.passes;
        self.calls += other.calls;
        for (name, count) in &other.events {
            *self.events.entry(name).or_default() += count;
        }
        for (name, count) in &other.codes {
            *self.codes.entry(name).or_default() += count;
        }
        for (name, count) in &other.steps {
            *self.steps.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.causes {
            *self.causes.entry(name).or_default() += count;
        }
    }

    /// The refusals that no history came to.
    pub(crate) fn unreached(&self) -> Vec<&'static str> {
        Refusal::ALL
            .into_iter()
            .map(Refusal::code)
            .filter(|code| !self.codes.contains_key(code))
            .collect()
    }

    /// For a reader.
    pub(crate) fn text(&self) -> String {
        let list = |pairs: &mut dyn Iterator<Item = (String, u64)>| {
            let all: Vec<String> = pairs
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            all.join(", ")
        };
        let of = |map: &BTreeMap<&'static str, u64>| {
            list(&mut map.iter().map(|(name, count)| ((*name).to_owned(), *count)))
        };
        format!(
            "{} histories, {} events, {} passes, {} calls\n\
             events: {}\n\
             steps: {}\n\
             refusals ({} of {}): {}\n\
             not reached: {}\n\
             orphan causes and the like: {}",
            self.histories,
            self.events.values().sum::<u64>(),
            self.passes,
            self.calls,
            of(&self.events),
            list(
                &mut self
                    .steps
                    .iter()
                    .map(|(name, count)| (name.clone(), *count))
            ),
            self.codes.len(),
            Refusal::ALL.len(),
            of(&self.codes),
            self.unreached().join(", "),
            of(&self.causes),
        )
    }
}
