//! One pass: observe, decide, check, act, and look again until nothing is left to do.
//!
//! The second look of a quarantine (law 7) is simply the next round: it observes anew and plans
//! anew. A pass therefore has several rounds; each is written down in the memory before it acts.

use crate::act::executor::{Executed, Host, StepOutcome, execute};
use crate::act::held_back;
use crate::act::outcome::{Outcome, StepError};
use crate::decide::check::{CheckedPlan, PlanRejected, check};
use crate::decide::facts::Facts;
use crate::decide::plan::{Plan, is_whole, plan};
use crate::units::chain;

/// A quarantine, its second look, its wipe, and the frame's removal are four; a few more rounds
/// let what moved meanwhile settle. What is left then waits for the next pass.
const MOST_ROUNDS: usize = 8;

/// Why a pass ended before it could say what is so.
#[derive(Debug, thiserror::Error)]
pub enum PassError<E: std::error::Error + 'static> {
    /// The host could not be observed.
    #[error("the host could not be observed; nothing was done")]
    Observe(#[source] E),
    /// Planner and checker disagree.
    #[error(transparent)]
    Rejected(#[from] PlanRejected),
    /// The memory could not be written, so nothing was destroyed.
    #[error("what this pass saw could not be written down; nothing was destroyed")]
    Memory(#[source] StepError),
}

/// What a pass did and saw.
#[derive(Debug)]
pub struct Pass {
    /// Every step of every round with what became of it.
    pub outcomes: Vec<StepOutcome>,
    /// The last plan: what is kept and why. Its steps, if any, were not executed.
    pub last: Plan,
    /// The facts of the last plan.
    pub facts: Facts,
}

impl Pass {
    /// Whether a step was tried and did not work.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcomes
            .iter()
            .any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// Whether a guard held back what was due.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.last.blocked()
            || self
                .outcomes
                .iter()
                .any(|step| matches!(step.outcome, Outcome::Refused(_)))
    }
}

/// Observes and decides once; changes nothing, not even a timestamp.
pub fn look<E: std::error::Error + 'static>(
    observe: &mut dyn FnMut() -> Result<Facts, E>,
) -> Result<(Facts, CheckedPlan), PassError<E>> {
    decide(observe().map_err(PassError::Observe)?)
}

fn decide<E: std::error::Error + 'static>(
    facts: Facts,
) -> Result<(Facts, CheckedPlan), PassError<E>> {
    let checked = check(plan(&facts), &facts)?;
    Ok((facts, checked))
}

/// Makes a pass.
pub fn pass<H: Host, E: std::error::Error + 'static>(
    observe: &mut dyn FnMut() -> Result<Facts, E>,
    host: &mut H,
) -> Result<Pass, PassError<E>> {
    let mut outcomes = Vec::new();
    let mut round = 0_usize;
    loop {
        let mut facts = observe().map_err(PassError::Observe)?;
        // A pass sees an orphan once, however often it looks.
        facts.words.later_round = round > 0;
        round = round.saturating_add(1);
        let (facts, checked) = decide(facts)?;
        let Executed {
            plan: last,
            outcomes: done,
        } = execute(checked, host).map_err(PassError::Memory)?;
        let moved = done.iter().any(|step| match step.outcome {
            Outcome::Done(_) | Outcome::Stale(_) => true,
            Outcome::Identity | Outcome::Started | Outcome::Refused(_) | Outcome::Failed(_) => {
                false
            }
        });
        outcomes.extend(done);
        if !moved || round >= MOST_ROUNDS {
            let desk = host.desk();
            let whole = is_whole(&facts);
            let told = held_back::record(&desk.store, (desk.wall_seconds)(), &last, whole);
            if let Err(error) = told {
                tracing::error!(error = %chain(&error), "what is held back is not in the audit log");
            }
            return Ok(Pass {
                outcomes,
                last,
                facts,
            });
        }
    }
}
