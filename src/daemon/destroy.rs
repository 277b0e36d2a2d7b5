//! `volumes destroy`: aside by one rename, destroyed through the master, confirmed by the agent's own
//! checkpoint, wiped behind (design §6). One code for the commands and for the daemon.
//!
//! Nobody makes another pass between the rename and the call: they are one turn. While the agent's checkpoint is
//! waited for other passes may come; they leave what was asked for alone, or confirm it themselves. A
//! turn that ends halfway leaves an entry of the trash that says how far it came, from which every
//! later pass goes on or puts back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observer::{Observer, ObserverError};
use super::operate::{Ending, OperateError};
use super::pass::{Pass, PassError, pass};
use crate::act::executor::{Host, StepOutcome};
use crate::act::outcome::{Outcome, StepError};
use crate::decide::facts::{Destroying, Facts, Phase, Who, Words};
use crate::decide::listing::{self, VolumeState};
use crate::decide::own::{Shown, shown};
use crate::decide::plan::Plan;
use crate::decide::steps::Kept;
use crate::mesos::ids::VolumeKey;
use crate::observe::clock;
use crate::units::{Span, chain};

/// A held volume that is to be destroyed through the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Destroy {
    /// As role/persistence-id.
    pub volume: String,
    /// The persistence id again.
    pub confirm: String,
}

/// A destroy of ours, from the rename to the wipe.
#[derive(Clone, Debug)]
pub(super) struct OwnDestroy {
    key: VolumeKey,
    by: Who,
    /// How long the agent's checkpoint is waited for.
    limit: Span,
    stage: Stage,
    end: End,
}

/// How soon it is looked again where a name is gone and the agent's files do not agree on it yet.
const AGAIN: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was done.
    Begin,
    /// The master has it, or may have it, since this time after boot; before the other time nothing more
    /// can be told.
    Asked { since: Span, not_before: Span },
    /// Confirmed, put back, or undecided.
    Settled,
}

/// What became of it, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The agent's own checkpoint names it no more.
    Destroyed,
    Refused(String),
    Failed(String),
}

impl OwnDestroy {
    pub(super) const fn new(key: VolumeKey, by: Who, limit: Span) -> Self {
        Self {
            key,
            by,
            limit,
            stage: Stage::Begin,
            end: End::Open,
        }
    }

    /// Whether the agent's checkpoint is waited for: nothing is to be done until [`OwnDestroy::heard`].
    pub(super) const fn awaits(&self) -> bool {
        matches!(self.stage, Stage::Asked { .. })
    }

    /// Whether the agent's checkpoint shows what is waited for, or the time for that is over.
    pub(super) fn heard(&self, observer: &Observer) -> bool {
        let Stage::Asked { since, not_before } = self.stage else {
            return true;
        };
        let now = clock::since_boot();
        if now.minus(since) >= self.limit {
            return true;
        }
        if now < not_before {
            return false;
        }
        match observer.checkpoint() {
            Ok(checkpoint) => shown(&checkpoint, &self.key) == Shown::Gone,
            Err(error) => {
                let error = chain(&error);
                tracing::debug!(
                    error,
                    "the agent's checkpoint can't be read now, looking again"
                );
                false
            }
        }
    }

    /// Whether more passes may have more to do: the data of what is destroyed is to go.
    pub(super) fn goes_on(&self) -> bool {
        self.end == End::Destroyed
    }

    /// Goes on as far as that goes without waiting.
    pub(super) fn turn<H: Host>(
        &mut self,
        observer: &Observer,
        host: &mut H,
    ) -> Result<Pass, OperateError> {
        match self.stage {
            Stage::Begin => self.begin(observer, host),
            Stage::Asked { since, .. } => self.settle(Vec::new(), since, observer, host),
            Stage::Settled => self.pass(Phase::Settle, observer, host).map_err(Into::into),
        }
    }

    fn pass<H: Host>(
        &self,
        phase: Phase,
        observer: &Observer,
        host: &mut H,
    ) -> Result<Pass, PassError<ObserverError>> {
        let words = Words {
            destroy: Some(Destroying {
                volume: self.key.clone(),
                phase,
            }),
            by: Some(self.by.clone()),
            ..Words::default()
        };
        pass(&mut || observer.facts(&words), host)
    }

    fn begin<H: Host>(&mut self, observer: &Observer, host: &mut H) -> Result<Pass, OperateError> {
        let aside = self.pass(Phase::SetAside, observer, host)?;
        self.known(&aside)?;
        let refusals = self.kept(&aside.last);
        if aside.failed() || !refusals.is_empty() {
            // What was moved before something failed goes back: the master was not asked.
            self.end = self.not_destroyed(&refusals);
            self.stage = Stage::Settled;
            let settled = self.look(observer, host)?;
            return Ok(after(aside.outcomes, settled));
        }
        if shown(&aside.facts.checkpoint, &self.key) == Shown::Gone {
            return self.settle(aside.outcomes, clock::since_boot(), observer, host);
        }
        let asked = self
            .pass(Phase::Ask, observer, host)
            .map_err(|source| self.halfway("the master was not asked", source))?;
        let refusals = self.kept(&asked.last);
        let call = asked.outcomes.iter().rev().find(|step| step.step == "call");
        let (waits, why) = match call.map(|step| &step.outcome) {
            Some(Outcome::Done(_)) => (true, None),
            Some(Outcome::Failed(StepError::Master { source, .. })) => {
                (!source.changed_nothing(), Some(chain(source.as_ref())))
            }
            // It did not come to a call.
            Some(_) | None => (false, None),
        };
        let asked = after(aside.outcomes, asked);
        if waits {
            let now = clock::since_boot();
            self.stage = Stage::Asked {
                since: now,
                not_before: now,
            };
            return Ok(asked);
        }
        self.put_back(asked.outcomes, why, &refusals, observer, host)
    }

    /// It was not asked for, for these reasons, or the master certainly does not do it: its data goes back.
    fn put_back<H: Host>(
        &mut self,
        before: Vec<StepOutcome>,
        why: Option<String>,
        refusals: &[Kept],
        observer: &Observer,
        host: &mut H,
    ) -> Result<Pass, OperateError> {
        let settled = self.look(observer, host)?;
        self.end = match why {
            None => self.not_destroyed(refusals),
            Some(why) => {
                let back = if waiting(&settled.facts, &self.key) {
                    "its data waits in the trash, unconfirmed, and is never wiped from there as long as \
                     the volume may be held; run the command again"
                } else {
                    "it is as it was"
                };
                End::Failed(format!("{} was not destroyed: {why}; {back}", self.key))
            }
        };
        self.stage = Stage::Settled;
        Ok(after(before, settled))
    }

    /// Confirms it, where the agent's checkpoint names it no more; `since` it may be on its way.
    fn settle<H: Host>(
        &mut self,
        before: Vec<StepOutcome>,
        since: Span,
        observer: &Observer,
        host: &mut H,
    ) -> Result<Pass, OperateError> {
        let settled = self.look(observer, host)?;
        let key = &self.key;
        let facts = &settled.facts;
        let waits = waiting(facts, key);
        let gone = shown(&facts.checkpoint, key) == Shown::Gone;
        let unconfirmed = gone && waits && self.kept(&settled.last).is_empty();
        let now = clock::since_boot();
        if unconfirmed && now.minus(since) < self.limit {
            // The file of lower precedence comes a moment later, or something else is not clear yet.
            self.stage = Stage::Asked {
                since,
                not_before: Span(now.0.saturating_add(AGAIN)),
            };
            return Ok(after(before, settled));
        }
        self.end = if gone && !unconfirmed {
            End::Destroyed
        } else {
            let left = if waits {
                "its data lies in the trash, unconfirmed: it is wiped once the agent's checkpoint names \
                 the volume no more, and put back once the agent has registered again and still holds it"
            } else {
                "nothing was moved"
            };
            let why = if gone {
                // A checkpoint that lost everything names nothing either.
                format!("the agent's checkpoint names {key} no more, and that is not certain")
            } else {
                format!("the agent's checkpoint still names {key}")
            };
            End::Failed(undecided(&why, left, self.limit))
        };
        self.stage = Stage::Settled;
        Ok(after(before, settled))
    }

    fn look<H: Host>(&self, observer: &Observer, host: &mut H) -> Result<Pass, OperateError> {
        self.pass(Phase::Settle, observer, host)
            .map_err(|source| self.halfway("what came of it can't be told now", source))
    }

    /// Refuses what is not held here, and is no destroy of ours that waits.
    fn known(&self, pass: &Pass) -> Result<(), OperateError> {
        let key = &self.key;
        let rows = listing::volumes(&pass.facts, &pass.last);
        let held = rows.iter().any(|row| {
            row.key.as_ref() == Some(key)
                && matches!(
                    row.state,
                    VolumeState::Held | VolumeState::Pending | VolumeState::Vanished
                )
        });
        let ended = pass.outcomes.iter().any(|step| step.step == "confirm");
        if held || ended || waiting(&pass.facts, key) {
            return Ok(());
        }
        Err(OperateError::Refused(format!(
            "no_such_volume: the agent on this host holds no volume {key}, and nothing was done; what \
             lies on its disks without being held is `mesos-volumed wipe`'s"
        )))
    }

    /// What a pass kept of the volume although it was to go.
    fn kept(&self, plan: &Plan) -> Vec<Kept> {
        plan.kept
            .iter()
            .filter(|kept| kept.due && kept.volume.as_ref() == Some(&self.key))
            .cloned()
            .collect()
    }

    fn not_destroyed(&self, refusals: &[Kept]) -> End {
        let key = &self.key;
        if refusals.is_empty() {
            End::Failed(format!("{key} was not destroyed: a step failed"))
        } else {
            End::Refused(format!("{key} was not destroyed: {}", reasons(refusals)))
        }
    }

    fn halfway(&self, how_far: &str, source: PassError<ObserverError>) -> OperateError {
        OperateError::Halfway {
            what: format!(
                "the destroy of {} was begun, and {how_far}; the next pass goes on with it or puts \
                 back what was moved",
                self.key
            ),
            source,
        }
    }

    /// How it ended, after its last pass; `failed` tells whether a step of it did.
    pub(super) fn ending(&self, last: &Plan, failed: bool) -> (Ending, Option<String>) {
        match &self.end {
            End::Open => (Ending::Failed, Some("nothing was done".to_owned())),
            End::Refused(why) => (Ending::Refused, Some(why.clone())),
            End::Failed(why) => (Ending::Failed, Some(why.clone())),
            End::Destroyed if failed => (Ending::Failed, None),
            End::Destroyed => {
                let left = self.kept(last);
                if left.is_empty() {
                    return (Ending::Done, None);
                }
                let why = format!(
                    "{} is destroyed, and its data was kept: {}",
                    self.key,
                    reasons(&left)
                );
                (Ending::Refused, Some(why))
            }
        }
    }
}

/// A pass with the outcomes of one before it.
fn after(mut before: Vec<StepOutcome>, pass: Pass) -> Pass {
    before.extend(pass.outcomes);
    Pass {
        outcomes: before,
        ..pass
    }
}

/// Whether an unconfirmed entry holds the data.
fn waiting(facts: &Facts, key: &VolumeKey) -> bool {
    facts.roots.iter().any(|root| root.has_set_aside(key))
}

/// Every reason, once.
fn reasons(kept: &[Kept]) -> String {
    let mut all: Vec<String> = kept
        .iter()
        .flat_map(|kept| &kept.reasons)
        .map(|reason| format!("{reason}; {}", reason.code.remedy()))
        .collect();
    all.sort();
    all.dedup();
    all.join("; ")
}

/// An undecided end, said as such.
#[must_use]
pub fn undecided(why: &str, left: &str, limit: Span) -> String {
    format!(
        "undecided: {why}; {left}. Neither the master's answer nor the passing of {limit} tells \
         whether the agent does it; run the same command again, it goes on from what it finds"
    )
}
