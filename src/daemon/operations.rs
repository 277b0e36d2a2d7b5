//! What was asked of the daemon and is not answered yet.
//!
//! The pass thread makes a pass for it; what that started on worker threads goes on by itself, and
//! other passes are made meanwhile. When its jobs have ended it makes another pass for it, until
//! nothing is left to do, and answers.

use tokio::sync::oneshot;

use super::answers::plan::{Became, StepResult, became};
use super::observer::Observer;
use super::operate::{Ask, OperateError, Operated, Prepared, Turn};
use super::workers::WorkersHandle;
use crate::decide::facts::Who;

/// As for a pass: what is left then waits for the next one.
const MOST_PASSES: u32 = 8;

/// What came of it.
pub(super) type Answer = Result<Operated, OperateError>;

/// What is asked for, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) ask: Ask,
    /// Who asks.
    pub(super) by: Who,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// One whose jobs have not ended.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) prepared: Prepared,
    reply: oneshot::Sender<Answer>,
    outcomes: Vec<Became>,
    last: Option<Turn>,
    /// Jobs that had ended before its last pass.
    ends: u64,
    /// And before its first one.
    first: Option<u64>,
    passes: u32,
}

/// What is to be done about one that waits.
#[derive(Debug)]
pub(super) enum Next {
    /// Its jobs run.
    Wait(Waiting),
    /// Its jobs have ended, and there may be more to do.
    Pass(Waiting),
    /// It was answered.
    Over,
}

impl Waiting {
    pub(super) fn new(prepared: Prepared, reply: oneshot::Sender<Answer>) -> Self {
        Self {
            prepared,
            reply,
            outcomes: Vec::new(),
            last: None,
            ends: 0,
            first: None,
            passes: 0,
        }
    }

    /// A pass for it is about to begin.
    pub(super) fn begins(&mut self, jobs: &WorkersHandle) {
        self.ends = jobs.ends();
        self.first.get_or_insert(self.ends);
    }

    /// A pass for it ended.
    pub(super) fn passed(mut self, turn: Turn, observer: &Observer, jobs: &WorkersHandle) -> Next {
        self.outcomes.extend(turn.pass.outcomes.iter().map(became));
        self.last = Some(turn);
        if !self.awaits() {
            self.passes = self.passes.saturating_add(1);
        }
        if self.awaits() || self.started().next().is_some() {
            self.look(observer, jobs)
        } else {
            self.answer(jobs)
        }
    }

    fn started(&self) -> impl Iterator<Item = &Became> {
        let started = |step: &&Became| step.result == StepResult::Started;
        self.outcomes.iter().filter(started)
    }

    /// Whether it waits for the agent, and not for its jobs.
    pub(super) fn awaits(&self) -> bool {
        self.prepared.awaits()
    }

    /// Looks whether its jobs have ended, or the agent has done what it was asked for.
    pub(super) fn look(mut self, observer: &Observer, jobs: &WorkersHandle) -> Next {
        if self.reply.is_closed() {
            // Nobody waits any more; what was begun goes on by itself.
            return Next::Over;
        }
        if self.awaits() {
            return if self.prepared.heard(observer) {
                Next::Pass(self)
            } else {
                Next::Wait(self)
            };
        }
        let mut went_well = true;
        let mut moved = false;
        for step in &mut self.outcomes {
            if step.result != StepResult::Started {
                continue;
            }
            match jobs.end_of(&step.step, &step.subject, self.ends) {
                Some(end) => *step = end,
                None => return Next::Wait(self),
            }
            // What did not work is tried again by the next pass, not at once.
            went_well &= matches!(
                step.result,
                StepResult::Done | StepResult::Stale | StepResult::Identity
            );
            // Another job had it, or the world moved: it is planned anew, whatever was asked for.
            moved |= step.result == StepResult::Stale;
        }
        if went_well && (moved || self.prepared.goes_on()) && self.passes < MOST_PASSES {
            self.outcomes
                .retain(|step| step.result != StepResult::Stale);
            Next::Pass(self)
        } else {
            self.answer(jobs)
        }
    }

    /// It could not be carried on.
    pub(super) fn fail(self, error: OperateError) {
        // Whoever asked may be gone.
        drop(self.reply.send(Err(error)));
    }

    /// Adds what a pass between its own ones took over: the wipe of an entry whose clearing it waited
    /// for.
    fn taken_over(&mut self, jobs: &WorkersHandle) {
        for end in jobs.done_after(self.first.unwrap_or(self.ends)) {
            let mut of_it = self
                .outcomes
                .iter()
                .filter(|it| it.subject == end.subject)
                .peekable();
            if of_it.peek().is_some() && of_it.all(|it| it.step != end.step) {
                self.outcomes.push(end);
            }
        }
    }

    fn answer(mut self, jobs: &WorkersHandle) -> Next {
        self.taken_over(jobs);
        if let Some(last) = &self.last {
            drop(
                self.reply
                    .send(Ok(self.prepared.finish(last, self.outcomes))),
            );
        }
        Next::Over
    }
}
