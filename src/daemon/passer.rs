//! The thread of the daemon that makes passes, and what it tells of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::mpsc::{self as std_mpsc, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::answers::status::PassEnd;
use super::board::{Board, Seen};
use super::figures::{Figures, PassFigures};
use super::observer::Observer;
use super::operations::{Next, Operation, Waiting};
use super::pass::{Pass, pass};
use super::run::{Event, Order};
use super::wake::Bell;
use super::workers::Workers;
use crate::act::outcome::Outcome;
use crate::decide::facts::Words;
use crate::decide::guards::Refusal;
use crate::decide::listing::Listing;
use crate::decide::radar::AlarmKind;
use crate::decide::{listing, trip};
use crate::observe::clock;
use crate::sys::{heap, text};
use crate::units::chain;

/// How often the agent's checkpoint is looked at while somebody waits for it.
const LOOK: Duration = Duration::from_millis(200);

/// Makes passes on a thread of its own.
pub(super) struct Passer {
    pub(super) observer: Observer,
    pub(super) workers: Workers,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) figures: Figures,
    pub(super) board: Board,
    /// Rung where a whole pass is due.
    pub(super) again: Bell,
    /// What was asked for and is not answered yet.
    pub(super) waiting: Vec<Waiting>,
    /// What is kept, as last logged: a line a change, not a line a pass. There may be tens of thousands, of
    /// which each is looked up.
    pub(super) said: BTreeSet<String>,
}

impl Passer {
    pub(super) fn work(mut self, orders: &std_mpsc::Receiver<Order>) {
        loop {
            let order = if self.waiting.iter().any(Waiting::awaits) {
                match orders.recv_timeout(LOOK) {
                    Ok(order) => order,
                    Err(RecvTimeoutError::Timeout) => {
                        self.go_on();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match orders.recv() {
                    Ok(order) => order,
                    Err(_gone) => return,
                }
            };
            match order {
                Order::Pass => {
                    let status = self.pass();
                    heap::give_back();
                    text::give_back();
                    if self.events.blocking_send(Event::Passed(status)).is_err() {
                        return;
                    }
                    self.go_on();
                }
                Order::Operate(operation) => self.operate(*operation),
                Order::Reload(settings) => {
                    self.workers.set_pace(&settings);
                    self.observer = Observer::new(&settings);
                    self.workers.set_observer(&self.observer);
                }
                Order::Stop => return,
            }
        }
    }

    /// Does what was asked for, or begins to.
    fn operate(&mut self, operation: Operation) {
        let Operation { ask, by, reply } = operation;
        match ask.prepare(by, &self.observer, self.workers.shared()) {
            Ok(prepared) => self.pass_for(Waiting::new(prepared, reply)),
            // Whoever asked may be gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Looks after everything whose jobs may have ended, or whose agent may have done its part.
    fn go_on(&mut self) {
        let jobs = self.workers.handle();
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.look(&self.observer, &jobs) {
                Next::Wait(waiting) => self.waiting.push(waiting),
                Next::Pass(waiting) => self.pass_for(waiting),
                Next::Over => {}
            }
        }
    }

    /// Makes a pass with an operator's words.
    fn pass_for(&mut self, mut waiting: Waiting) {
        let jobs = self.workers.handle();
        waiting.begins(&jobs);
        match waiting.prepared.turn(&self.observer, &mut self.workers) {
            Ok(turn) => match waiting.passed(turn, &self.observer, &jobs) {
                // Where its jobs have ended already, the pass that is ordered below looks after it.
                Next::Wait(waiting) | Next::Pass(waiting) => self.waiting.push(waiting),
                Next::Over => {}
            },
            Err(error) => {
                tracing::error!(error = chain(&error), "the pass failed");
                waiting.fail(error);
            }
        }
        // It saw a part of the host only: a whole pass tells what is so now.
        self.again.ring();
    }

    fn pass(&mut self) -> String {
        let began = clock::since_boot();
        let (status, seen) = self.try_pass();
        let now = clock::since_boot();
        let took = now.minus(began).0.as_secs_f64();
        let end = PassEnd {
            ended_at: clock::wall_seconds(),
            seconds: took,
            ok: seen.is_ok(),
            summary: status.clone(),
        };
        let (figures, seen) = match seen {
            Ok((figures, seen)) => (Ok(figures), seen),
            Err(why) => (Err(why), None),
        };
        self.board.passed(end, now, seen);
        self.figures
            .passed((clock::wall_seconds(), now), took, figures);
        status
    }

    /// A line for people, and what was seen, or why nothing was.
    fn try_pass(&mut self) -> (String, Result<(PassFigures, Option<Seen>), String>) {
        // Facts hold a damaged ledger as unknown, which keeps every volume; this says so first.
        if let Err(error) = self.observer.ledger() {
            tracing::error!(error = %error, "no pass was made");
            let error = error.to_string();
            return (error.clone(), Err(error));
        }
        let words = Words::default();
        let observer = &self.observer;
        match pass(&mut || observer.facts(&words), &mut self.workers) {
            Ok(pass) => {
                let listing = listing::all(&pass.facts, &pass.last);
                (self.tell(&pass, &listing), Ok(seen(&pass, &listing)))
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the pass failed");
                (format!("the last pass failed: {error}"), Err(error))
            }
        }
    }

    fn tell(&mut self, pass: &Pass, listing: &Listing) -> String {
        let mut said: Vec<String> = Vec::new();
        for kept in pass.last.kept.iter().filter(|kept| kept.due) {
            let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
            said.push(format!("{}: {}", kept.path, reasons.join("; ")));
        }
        said.extend(pass.last.doubts.iter().map(ToString::to_string));
        let alarms = listing.alarms.known().into_iter().flatten();
        said.extend(alarms.map(|alarm| format!("{alarm}; {}", alarm.kind.remedy())));
        for root in &pass.facts.roots {
            let differs = trip::root_drive_differences(root);
            if !differs.is_empty() {
                said.push(format!(
                    "{}: {}; the file system is the same, so it is used as before (`mesos-volumed \
                     disk accept {}` takes the drive on)",
                    root.disk,
                    differs.join(", "),
                    root.disk.root
                ));
            }
        }
        for line in said.iter().filter(|line| !self.said.contains(*line)) {
            tracing::warn!("{line}, keeping");
        }
        self.said = said.into_iter().collect();
        let held = pass
            .last
            .memory
            .volumes
            .iter()
            .filter(|volume| volume.gone.is_none())
            .count();
        let due = pass.last.kept.iter().filter(|kept| kept.due).count();
        let failed = pass
            .outcomes
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Failed(_)))
            .count();
        let volumes = if held == 1 { "volume" } else { "volumes" };
        let mut status = format!("{held} {volumes} held");
        for (count, what) in [(due, "kept back"), (failed, "steps failed")] {
            if count > 0 {
                let _infallible = write!(status, ", {count} {what}");
            }
        }
        if let Some(doubt) = pass.last.doubts.first() {
            let _infallible = write!(status, "; {doubt}");
        }
        status
    }
}

/// What a pass saw, in numbers and for the board.
fn seen(pass: &Pass, listing: &Listing) -> (PassFigures, Option<Seen>) {
    let figures = figures(pass, listing);
    match Seen::of(pass, listing, clock::wall_seconds()) {
        Ok(seen) => {
            let seen = Seen {
                refusals: figures.refused.clone(),
                tripped: figures.tripped.clone(),
                alarms: figures.alarms.clone(),
                ..seen
            };
            (figures, Some(seen))
        }
        Err(error) => {
            tracing::error!(%error, "what this pass saw can't be told to anybody, ignoring");
            (figures, None)
        }
    }
}

fn figures(pass: &Pass, listing: &Listing) -> PassFigures {
    let mut figures = PassFigures {
        tripped: listing.tripped.clone(),
        ..PassFigures::default()
    };
    let count = |number: &mut u32| *number = number.saturating_add(1);
    for kept in pass.last.kept.iter().filter(|kept| kept.due) {
        let codes: BTreeSet<Refusal> = kept.reasons.iter().map(|reason| reason.code).collect();
        for code in codes {
            count(figures.refused.entry(code).or_default());
        }
    }
    for row in &listing.rows {
        count(figures.volumes.entry(row.state).or_default());
    }
    figures.alarms = listing.alarms.known().map(|alarms| {
        let mut by_kind: BTreeMap<AlarmKind, u32> = BTreeMap::new();
        for alarm in alarms {
            count(by_kind.entry(alarm.kind).or_default());
        }
        by_kind
    });
    figures
}
