//! The daemon: signals, timers, metrics and systemd on the main thread, passes on a second one,
//! looks at the disks on a third, wipes on one thread a file system.
//!
//! ```text
//!  signals, timer, file events ──► main ──"pass", "reload", "stop"──► pass thread
//!           systemd ◄── READY, STATUS, WATCHDOG ── main ◄──"passed"── │
//!                                                 ▲ ▲ │               ▼ jobs
//!  uevents, mounts ── hints thread ──"heard"──────┘ │ │ ◄──"ended"── wipe threads
//!                                         "looked"──┘ └──"look"──► disks thread ──► resources file
//! ```
//!
//! The main thread only ever waits, so that a signal is answered at once whatever a disk does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior};

use super::after;
use super::answers::jobs::Job;
use super::api::{self, Api, Rules};
use super::board::Board;
use super::due::Due;
use super::figures::Figures;
use super::host::Shared;
use super::jobs::JobState;
use super::listen::Listen;
use super::observer::Observer;
use super::offers::{self, Looked, Looker};
use super::operations::Operation;
use super::passer::Passer;
use super::suspend::Suspend;
use super::textfile::Textfile;
use super::wake::Bell;
use super::watch::{FileHints, Stamps};
use super::workers::{Ended, Workers, WorkersHandle};
use crate::act::wipe::fence;
use crate::config::{self, ConfigError, Inputs, Loaded, Settings, Source};
use crate::observe::clock;
use crate::observe::hints::{Heard, Hints};
use crate::units::Span;

/// How often stamps are compared. With `settle` this bounds the reaction to a destroy.
const TICK: Duration = Duration::from_secs(1);

/// A pass may look at a hundred thousand directories on slow disks; one that takes longer hangs,
/// and systemd's watchdog may end it.
const LONGEST_PASS: Duration = Duration::from_mins(15);

/// How long after a hint the disks are looked at: mounting a disk gives several.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Looks at the disks begin no sooner after one another, however many hints there are.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How long the hints thread rests after a hint, so that a flood of them costs nothing.
const REST: Duration = Duration::from_millis(100);

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
    /// The disks thread ended by itself, which is a fault of this program.
    #[error("the thread that looks at the disks has ended unexpectedly")]
    DisksThread,
}

pub(super) enum Order {
    Pass,
    Operate(Box<Operation>),
    Reload(Box<Settings>),
    Stop,
}

pub(super) enum Event {
    /// A bell was rung.
    Rung,
    /// A pass ended: a line for people.
    Passed(String),
    /// The disks may have changed.
    Heard(Heard),
    /// A look at the disks ended.
    Looked(Looked),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(loaded: &Loaded, source: &Source, shared: Shared) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Setup)?;
    runtime.block_on(async { Daemon::start(loaded, source, shared)?.serve().await })
}

struct Daemon {
    source: Source,
    /// The configuration in force, to tell what a reload changes.
    inputs: Inputs,
    work_dir: PathBuf,
    settle: Duration,
    every: Duration,
    orders: std_mpsc::Sender<Order>,
    events: mpsc::Receiver<Event>,
    /// So that there is always one, and the channel never closes.
    _sender: mpsc::Sender<Event>,
    bells: Bells,
    suspend: Suspend,
    looks: Looks,
    figures: Figures,
    listen: Listen,
    api: Arc<Api>,
    textfile: Textfile,
    jobs: WorkersHandle,
    pass_thread: std::thread::JoinHandle<()>,
    stamps: Stamps,
    hints: Option<FileHints>,
    /// When a pass is.
    due: Due,
    status: String,
    /// The status that systemd has.
    told: String,
    ready: bool,
}

/// What may happen any number of times.
struct Bells {
    /// Something changed under `meta`, perhaps.
    hint: Bell,
    /// A job ended.
    ended: Bell,
}

/// When the disks are looked at.
struct Looks {
    orders: std_mpsc::Sender<offers::Order>,
    due: Due,
    /// Whether it is to be made although no mount of a disk changed.
    anyway: bool,
}

impl Looks {
    fn within(&mut self, span: Duration, anyway: bool) {
        self.due.hint(after(Instant::now(), span));
        self.anyway |= anyway;
    }

    fn ended(&mut self, looked: Looked) {
        self.due.ended(Instant::now());
        if let Some(span) = looked.again_in {
            // A little later, so that it has settled by then whatever the clocks' grain.
            self.within(span.saturating_add(DEBOUNCE), true);
        }
    }

    /// Without a disks thread there is nobody to look: the daemon then ends, as without a pass
    /// thread.
    fn look_if_due(&mut self, every: Duration) -> Result<(), RunError> {
        if !self.due.begin(Instant::now(), every) {
            return Ok(());
        }
        let anyway = std::mem::take(&mut self.anyway);
        self.orders
            .send(offers::Order::Look { anyway })
            .map_err(|_gone| RunError::DisksThread)
    }
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
    fn start(loaded: &Loaded, source: &Source, shared: Shared) -> Result<Self, RunError> {
        let settings = &loaded.settings;
        // A few events may wait; a hint that finds the channel full is not needed.
        let (hint, events) = mpsc::channel(16);
        let (orders, received) = std_mpsc::channel();
        let bells = Bells {
            hint: Bell::new(hint.clone()),
            ended: Bell::new(hint.clone()),
        };
        let figures = Figures::default();
        let ended = {
            let bell = bells.ended.clone();
            let figures = figures.clone();
            Arc::new(move |ended: &Ended| {
                figures.ended(ended);
                bell.ring();
            })
        };
        let store = shared.desk.store.clone();
        say_whether_fenced();
        let workers = Workers::new(shared, ended);
        let jobs = workers.handle();
        figures.reloaded(clock::wall_seconds(), true);
        figures.stale_after(stale_after(settings.sweep.every.0));
        let board = Board::default();
        let observer = Observer::new(settings);
        let api = Api {
            figures: figures.clone(),
            board: board.clone(),
            jobs: jobs.clone(),
            store: store.clone(),
            rules: Mutex::new(Rules::new(settings)),
            orders: orders.clone(),
            looking: Semaphore::new(1),
            asking: Semaphore::new(api::ASKERS),
            drawing: Semaphore::new(1),
            streaming: Arc::new(Semaphore::new(api::LOOKING_ON)),
            started: (clock::wall_seconds(), clock::since_boot()),
        };
        let passer = Passer {
            observer,
            workers,
            events: hint.clone(),
            figures: figures.clone(),
            board: board.clone(),
            again: bells.ended.clone(),
            waiting: Vec::new(),
            said: BTreeSet::new(),
        };
        let looker = Looker::new(settings, store, figures.clone(), board);
        let (looks, ordered) = std_mpsc::channel();
        let came = hint.clone();
        std::thread::Builder::new()
            .name("disks".to_owned())
            .spawn(move || {
                looker.work(&ordered, |looked| {
                    came.blocking_send(Event::Looked(looked)).is_ok()
                });
            })
            .map_err(RunError::Setup)?;
        listen_to_the_kernel(&figures, hint.clone())?;
        let pass_thread = std::thread::Builder::new()
            .name("pass".to_owned())
            .spawn(move || passer.work(&received))
            .map_err(RunError::Setup)?;
        let work_dir = settings.agent.work_dir.as_path().to_owned();
        Ok(Self {
            source: source.clone(),
            inputs: loaded.inputs.clone(),
            stamps: Stamps::read(&work_dir),
            hints: None,
            work_dir,
            settle: settings.sweep.settle.0,
            every: settings.sweep.every.0,
            orders,
            events,
            _sender: hint,
            bells,
            suspend: Suspend::new(clock::since_boot().0, clock::precise()),
            looks: Looks {
                orders: looks,
                due: Due::new(Instant::now(), BETWEEN_LOOKS),
                anyway: true,
            },
            figures,
            listen: Listen::new(settings),
            api: Arc::new(api),
            textfile: Textfile::new(settings),
            jobs,
            pass_thread,
            due: Due::new(Instant::now(), Duration::ZERO),
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
                _ = signals.now.recv() => self.due.now(Instant::now()),
                event = self.events.recv() => self.event(event),
                () = tokio::time::sleep_until(self.due.begins()), if self.due.since().is_none() => {}
                () = tokio::time::sleep_until(self.looks.due.begins()), if self.looks.due.since().is_none() => {}
                _ = tick.tick() => self.tick(),
                () = next(&mut watchdog) => self.alive(),
            }
            if self.bells.ended.answered() {
                self.due.now(Instant::now());
            }
            if self.bells.hint.answered() {
                self.compare();
            }
            self.pass_if_due()?;
            self.looks.look_if_due(self.every)?;
            self.listen.serve(&self.api).await;
            self.textfile.write_if_due(&self.api);
        }
        self.stop().await;
        Ok(())
    }

    /// Watches anew: `meta/resources` may be there by now.
    fn watch(&mut self) {
        let hint = self.bells.hint.clone();
        self.hints = FileHints::watch(&self.work_dir, move || hint.ring());
    }

    fn event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Passed(status)) => {
                self.due.ended(Instant::now());
                self.textfile.now();
                self.status = status;
                self.watch();
                if !self.ready {
                    self.ready = true;
                    tell(&[NotifyState::Ready]);
                    tracing::info!("ready");
                }
                self.tell_status();
            }
            Some(Event::Heard(heard)) => self.looks.within(DEBOUNCE, heard.devices),
            Some(Event::Looked(looked)) => {
                self.looks.ended(looked);
                if looked.changed {
                    self.due.hint(Instant::now());
                }
            }
            // What a bell was rung for is seen at the end of each turn. `None` is never: this
            // struct holds a sender itself.
            Some(Event::Rung) | None => {}
        }
    }

    fn tick(&mut self) {
        let slept = self.suspend.since(clock::since_boot().0, clock::precise());
        if let Some(slept) = slept {
            tracing::info!(
                "the host was suspended for {}; everything is looked at anew",
                Span::seconds(slept.as_secs())
            );
            self.due.now(Instant::now());
            self.looks.within(Duration::ZERO, true);
        }
        self.compare();
    }

    /// The truth about changes: stamps. Later changes don't put off what the first one leads to, so that
    /// an agent that never rests is looked at all the same.
    fn compare(&mut self) {
        let stamps = Stamps::read(&self.work_dir);
        if stamps != self.stamps {
            self.stamps = stamps;
            self.due.hint(after(Instant::now(), self.settle));
        }
        self.tell_status();
    }

    fn pass_if_due(&mut self) -> Result<(), RunError> {
        if !self.due.begin(Instant::now(), self.every) {
            return Ok(());
        }
        self.orders
            .send(Order::Pass)
            .map_err(|_gone| RunError::PassThread)
    }

    fn reload(&mut self) {
        tell(&reloading());
        match config::load(&self.source) {
            Ok(loaded) => {
                let changes = config::changes(&self.inputs, &loaded.inputs);
                self.inputs = loaded.inputs;
                for note in &loaded.notes {
                    tracing::warn!("{note}");
                }
                let settings = loaded.settings;
                self.settle = settings.sweep.settle.0;
                self.every = settings.sweep.every.0;
                settings
                    .agent
                    .work_dir
                    .as_path()
                    .clone_into(&mut self.work_dir);
                self.watch();
                self.due.now(Instant::now());
                self.figures.stale_after(stale_after(self.every));
                self.listen.set(&settings);
                self.api.set(Rules::new(&settings));
                self.looks.within(Duration::ZERO, true);
                let for_looks = offers::Order::Reload(Box::new(settings.clone()));
                drop(self.looks.orders.send(for_looks));
                self.textfile.set(&settings);
                self.figures.reloaded(clock::wall_seconds(), true);
                if self.orders.send(Order::Reload(Box::new(settings))).is_ok() {
                    for change in &changes {
                        tracing::info!("{change}");
                    }
                    let count = changes.len();
                    tracing::info!(changes = count, "the configuration was read again");
                }
            }
            Err(error) => {
                self.figures.reloaded(clock::wall_seconds(), false);
                keep_last_good(&error);
            }
        }
        tell(&[NotifyState::Ready]);
    }

    fn alive(&self) {
        let hangs = self
            .due
            .since()
            .is_some_and(|since| since.elapsed() > LONGEST_PASS);
        if !hangs {
            tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell_status(&mut self) {
        let jobs = self.jobs.jobs();
        let status = match jobs_text(&jobs) {
            None => self.status.clone(),
            Some(jobs) => format!("{}; {jobs}", self.status),
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
        drop(self.looks.orders.send(offers::Order::Stop));
        let until = after(Instant::now(), LAST_WORDS);
        while Instant::now() < until {
            if self.pass_thread.is_finished() && self.jobs.idle() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// `wiping 2 (1200 entries gone, 400/s): …`, with the first job that runs in full.
fn jobs_text(jobs: &[Job]) -> Option<String> {
    let shown = jobs
        .iter()
        .find(|job| matches!(job.state, JobState::Running | JobState::Slowed))
        .or_else(|| jobs.first())?;
    Some(if jobs.len() == 1 {
        format!("wiping {}", shown.text)
    } else {
        format!("wiping {}, first {}", jobs.len(), shown.text)
    })
}

fn say_whether_fenced() {
    if fence::is_there() {
        tracing::info!("a wipe can write and remove nothing outside its volume (Landlock)");
    } else {
        tracing::warn!(
            "no Landlock of Linux 5.19 or later can be had here: wipes run without a fence round them"
        );
    }
}

/// Hears what the kernel says of disks and mounts, on a thread that does nothing else and ends with
/// the process.
fn listen_to_the_kernel(figures: &Figures, hint: mpsc::Sender<Event>) -> Result<(), RunError> {
    let hints = Hints::open().map_err(RunError::Setup)?;
    let deaf = hints.deaf();
    figures.hears(deaf.is_none());
    if let Some(error) = deaf {
        tracing::warn!(
            "the kernel's events of block devices can't be heard ({error}); new mounts are seen all \
             the same"
        );
    }
    std::thread::Builder::new()
        .name("hints".to_owned())
        .spawn(move || {
            loop {
                match hints.wait() {
                    Ok(heard) => {
                        if hint.blocking_send(Event::Heard(heard)).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no hints of new disks any more, ignoring");
                        return;
                    }
                }
                std::thread::sleep(REST);
            }
        })
        .map_err(RunError::Setup)?;
    Ok(())
}

/// After how many seconds without a pass the daemon is not well: two are missing, or one hangs.
fn stale_after(every: Duration) -> u64 {
    every
        .saturating_mul(2)
        .saturating_add(LONGEST_PASS)
        .as_secs()
}

fn keep_last_good(error: &ConfigError) {
    for line in error.to_string().lines() {
        tracing::error!("{line}");
    }
    tracing::error!("the configuration was not read; the last good one stays in force");
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
