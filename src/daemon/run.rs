//! The daemon: signals, timers and systemd on the main thread, passes on a second one, wipes on
//! one thread a file system.
//!
//! ```text
//!  signals, timer, file events ──► main ──"pass", "reload", "stop"──► pass thread
//!           systemd ◄── READY, STATUS, WATCHDOG ── main ◄──"passed"── │
//!                                                    ▲                ▼ jobs
//!                                                    └──"ended"── wipe threads
//! ```
//!
//! The main thread only ever waits, so that a signal is answered at once whatever a disk does.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::host::{Pace, Shared, Workers, WorkersHandle};
use super::observer::Observer;
use super::pass::{Pass, pass};
use super::watch::{Hints, Stamps};
use crate::act::outcome::Outcome;
use crate::config::{self, ConfigError, Settings, Source};
use crate::decide::facts::Words;
use crate::units::chain;

/// How often stamps are compared. With `settle` this bounds the reaction to a destroy.
const TICK: Duration = Duration::from_secs(1);

/// A pass may look at a hundred thousand directories on slow disks; one that takes longer hangs,
/// and systemd's watchdog may end it.
const LONGEST_PASS: Duration = Duration::from_mins(15);

/// How long jobs and a running pass get to end on SIGTERM. What does not end is ended with the
/// process, and goes on at the next start.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime or a signal could not be set up.
    #[error("the daemon could not be set up")]
    Setup(#[source] std::io::Error),
    /// The pass thread ended by itself, which is a fault of this program.
    #[error("the thread that makes passes has ended unexpectedly; wipes go on at the next start")]
    PassThread,
}

enum Order {
    Pass,
    Reload(Box<Settings>),
    Stop,
}

enum Event {
    /// Something changed under `meta`, perhaps.
    Hint,
    /// A job ended.
    Ended,
    /// A pass ended: a line for people.
    Passed(String),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(settings: &Settings, source: &Source, shared: Shared) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Setup)?;
    runtime.block_on(async { Daemon::start(settings, source, shared)?.serve().await })
}

struct Daemon {
    source: Source,
    work_dir: PathBuf,
    settle: Duration,
    every: Duration,
    orders: std_mpsc::Sender<Order>,
    events: mpsc::Receiver<Event>,
    hint: mpsc::Sender<Event>,
    jobs: WorkersHandle,
    pass_thread: std::thread::JoinHandle<()>,
    stamps: Stamps,
    hints: Option<Hints>,
    /// A pass that was ordered and has not ended, since when.
    passing: Option<Instant>,
    /// When the next pass is due.
    due: Instant,
    status: String,
    /// The status that systemd has.
    told: String,
    ready: bool,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    now: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            now: signal(SignalKind::user_defined1())?,
        })
    }
}

impl Daemon {
    fn start(settings: &Settings, source: &Source, shared: Shared) -> Result<Self, RunError> {
        // A few events may wait; a hint that finds the channel full is not needed.
        let (hint, events) = mpsc::channel(16);
        let (orders, received) = std_mpsc::channel();
        let ended = {
            let hint = hint.clone();
            Arc::new(move || drop(hint.try_send(Event::Ended)))
        };
        let workers = Workers::new(shared, ended);
        let jobs = workers.handle();
        let passer = Passer {
            observer: Observer::new(settings),
            workers,
            events: hint.clone(),
            said: Vec::new(),
        };
        let pass_thread = std::thread::Builder::new()
            .name("pass".to_owned())
            .spawn(move || passer.work(&received))
            .map_err(RunError::Setup)?;
        let work_dir = settings.agent.work_dir.as_path().to_owned();
        Ok(Self {
            source: source.clone(),
            stamps: Stamps::read(&work_dir),
            hints: None,
            work_dir,
            settle: settings.sweep.settle.0,
            every: settings.sweep.every.0,
            orders,
            events,
            hint,
            jobs,
            pass_thread,
            passing: None,
            due: Instant::now(),
            status: "first pass".to_owned(),
            told: String::new(),
            ready: false,
        })
    }

    async fn serve(mut self) -> Result<(), RunError> {
        let mut signals = Signals::new().map_err(RunError::Setup)?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = watchdog_interval().map(tokio::time::interval);
        self.watch();
        loop {
            if self.pass_thread.is_finished() {
                return Err(RunError::PassThread);
            }
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.reload.recv() => self.reload(),
                _ = signals.now.recv() => self.due = Instant::now(),
                event = self.events.recv() => self.event(event),
                () = tokio::time::sleep_until(self.due), if self.passing.is_none() => {}
                _ = tick.tick() => self.compare(),
                () = next(&mut watchdog) => self.alive(),
            }
            self.pass_if_due()?;
        }
        self.stop().await;
        Ok(())
    }

    /// Watches anew: `meta/resources` may be there by now.
    fn watch(&mut self) {
        let hint = self.hint.clone();
        self.hints = Hints::watch(&self.work_dir, move || drop(hint.try_send(Event::Hint)));
    }

    fn event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Hint) => self.compare(),
            Some(Event::Ended) => self.due = Instant::now(),
            Some(Event::Passed(status)) => {
                self.passing = None;
                self.status = status;
                self.watch();
                if !self.ready {
                    self.ready = true;
                    tell(&[NotifyState::Ready]);
                    tracing::info!("ready");
                }
                self.tell_status();
            }
            // Never: this struct holds a sender itself.
            None => {}
        }
    }

    /// The truth about changes: stamps. The first change sets the time; later ones don't put it
    /// off, so that an agent that never rests is looked at all the same.
    fn compare(&mut self) {
        let stamps = Stamps::read(&self.work_dir);
        if stamps != self.stamps {
            self.stamps = stamps;
            let settled = after(Instant::now(), self.settle);
            self.due = self.due.min(settled);
        }
        self.tell_status();
    }

    fn pass_if_due(&mut self) -> Result<(), RunError> {
        let now = Instant::now();
        if self.passing.is_some() || now < self.due {
            return Ok(());
        }
        self.passing = Some(now);
        self.due = after(now, self.every);
        self.orders
            .send(Order::Pass)
            .map_err(|_gone| RunError::PassThread)
    }

    fn reload(&mut self) {
        tell(&reloading());
        match config::load(&self.source) {
            Ok(loaded) => {
                let settings = loaded.settings;
                self.settle = settings.sweep.settle.0;
                self.every = settings.sweep.every.0;
                settings
                    .agent
                    .work_dir
                    .as_path()
                    .clone_into(&mut self.work_dir);
                self.watch();
                self.due = Instant::now();
                if self.orders.send(Order::Reload(Box::new(settings))).is_ok() {
                    tracing::info!("the configuration was read again");
                }
            }
            Err(error) => keep_last_good(&error),
        }
        tell(&[NotifyState::Ready]);
    }

    fn alive(&self) {
        let hangs = self
            .passing
            .is_some_and(|since| since.elapsed() > LONGEST_PASS);
        if !hangs {
            tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell_status(&mut self) {
        let jobs = self.jobs.jobs();
        let status = if jobs.is_empty() {
            self.status.clone()
        } else {
            let done = jobs.iter().fold(0_u64, |sum, job| {
                let now = job.progress.now();
                sum.saturating_add(now.files).saturating_add(now.dirs)
            });
            format!(
                "{}; wiping {} ({done} entries gone)",
                self.status,
                jobs.len()
            )
        };
        if status != self.told {
            tell(&[NotifyState::Status(&status)]);
            self.told = status;
        }
    }

    async fn stop(self) {
        tell(&[NotifyState::Stopping]);
        tracing::info!("stopping; what is not wiped yet goes on at the next start");
        self.jobs.stop();
        // The pass thread ends after the pass that it may be in the middle of.
        drop(self.orders.send(Order::Stop));
        let until = after(Instant::now(), LAST_WORDS);
        while Instant::now() < until {
            if self.pass_thread.is_finished() && self.jobs.idle() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn keep_last_good(error: &ConfigError) {
    for line in error.to_string().lines() {
        tracing::error!("{line}");
    }
    tracing::error!("the configuration was not read; the last good one stays in force");
}

fn after(from: Instant, span: Duration) -> Instant {
    // Out of range only for spans of centuries: far enough away then.
    from.checked_add(span)
        .or_else(|| from.checked_add(Duration::from_hours(365 * 24)))
        .unwrap_or(from)
}

async fn next(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Half of what systemd grants, if it asks for signs of life.
fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit.checked_div(2).unwrap_or(limit))
}

fn reloading() -> Vec<NotifyState<'static>> {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => vec![NotifyState::Reloading, now],
        Err(_no_clock) => vec![NotifyState::Reloading],
    }
}

/// Tells systemd, where it listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told, ignoring");
    }
}

/// Makes passes on a thread of its own.
struct Passer {
    observer: Observer,
    workers: Workers,
    events: mpsc::Sender<Event>,
    /// What is kept, as last logged: a line a change, not a line a pass.
    said: Vec<String>,
}

impl Passer {
    fn work(mut self, orders: &std_mpsc::Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Pass => {
                    let status = self.pass();
                    if self.events.blocking_send(Event::Passed(status)).is_err() {
                        return;
                    }
                }
                Order::Reload(settings) => {
                    self.workers.set_pace(Pace::from(&settings.wipe));
                    self.observer = Observer::new(&settings);
                }
                Order::Stop => return,
            }
        }
    }

    fn pass(&mut self) -> String {
        // Facts hold a damaged ledger as unknown, which keeps every volume; this says so first.
        if let Err(error) = self.observer.ledger() {
            tracing::error!(error = %error, "no pass was made");
            return error.to_string();
        }
        let words = Words::default();
        let observer = &self.observer;
        match pass(&mut || observer.facts(&words), &mut self.workers) {
            Ok(pass) => self.tell(&pass),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the pass failed");
                format!("the last pass failed: {error}")
            }
        }
    }

    fn tell(&mut self, pass: &Pass) -> String {
        let mut said: Vec<String> = Vec::new();
        for kept in pass.last.kept.iter().filter(|kept| kept.due) {
            let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
            said.push(format!("{}: {}", kept.path, reasons.join("; ")));
        }
        said.extend(pass.last.doubts.iter().map(ToString::to_string));
        for line in said.iter().filter(|line| !self.said.contains(line)) {
            tracing::warn!("{line}, keeping");
        }
        self.said = said;
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
        let mut status = format!("{held} volumes held");
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
