//! This machine, as executing a plan needs it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::act::executor::{Desk, Host, Job};
use crate::act::jobs::{self, AgentsNow, JobContext};
use crate::act::outcome::Outcome;
use crate::act::sys::Kernel;
use crate::act::wipe::{BY_FILE_SYSTEM, Control, Progress};
use crate::config::{WipeRate, WipeSettings};
use crate::decide::facts::FileIdentity;

/// What jobs of this process share.
#[derive(Clone)]
pub struct Shared {
    /// What every step works with.
    pub desk: Desk<Kernel>,
    /// Looks for agent processes.
    pub agents: Arc<AgentsNow>,
    /// How fast they are wiped.
    pub pace: Pace,
}

/// How fast a disk is wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    rate: u32,
    threads: u32,
}

impl From<&WipeSettings> for Pace {
    fn from(settings: &WipeSettings) -> Self {
        Self {
            rate: match settings.rate {
                WipeRate::ByFileSystem => BY_FILE_SYSTEM,
                WipeRate::Fixed(rate) => rate.get(),
                WipeRate::Unpaced => 0,
            },
            threads: settings.threads,
        }
    }
}

impl Pace {
    /// The reins of a wipe that begins at this pace.
    #[must_use]
    pub fn control(self) -> Control {
        Control::new(self.rate).with_threads(self.threads)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.desk.store)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self, job: Job, plan: &str, control: &Control, progress: &Progress) -> Outcome {
        let context = JobContext {
            sys: self.desk.sys.as_ref(),
            locks: &self.desk.locks,
            gate: &self.desk.gate,
            agents: self.agents.as_ref(),
            control,
            progress,
        };
        jobs::run(&context, job, plan)
    }
}

/// Runs a job while somebody shows its progress; called with the progress and the job's subject.
pub type Around<'a> = dyn Fn(&Progress, &str, &mut dyn FnMut() -> Outcome) -> Outcome + 'a;

/// A host that runs jobs at once, on this thread: for commands.
pub struct Inline<'a> {
    shared: Shared,
    control: &'a Control,
    around: &'a Around<'a>,
}

impl std::fmt::Debug for Inline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inline")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl<'a> Inline<'a> {
    /// A host for one command. `around` is called with the progress and the subject of each job,
    /// and has to run it.
    pub fn new(shared: Shared, control: &'a Control, around: &'a Around<'a>) -> Self {
        Self {
            shared,
            control,
            around,
        }
    }
}

impl Host for Inline<'_> {
    type Sys = Kernel;

    fn desk(&self) -> &Desk<Kernel> {
        &self.shared.desk
    }

    fn busy(&self, _directory: &FileIdentity) -> bool {
        false
    }

    fn run(&mut self, job: Job, plan: &str, subject: &str) -> Outcome {
        let progress = Progress::default();
        let mut job = Some(job);
        (self.around)(&progress, subject, &mut || match job.take() {
            Some(job) => self.shared.run(job, plan, self.control, &progress),
            None => Outcome::Identity,
        })
    }
}

/// A host that hands jobs to one worker thread a file system: for the daemon.
pub struct Workers {
    shared: Shared,
    state: Arc<Mutex<WorkState>>,
    /// Called on the worker's thread when a job has ended.
    ended: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct WorkState {
    /// One worker a file system: a second one only gets in the first one's way (and in the
    /// tenants').
    queues: BTreeMap<String, Vec<Task>>,
    running: BTreeMap<FileIdentity, Running>,
    stopping: bool,
}

#[derive(Debug)]
struct Task {
    job: Job,
    plan: String,
    subject: String,
}

/// A job that waits or runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// What it is about, for display.
    pub subject: String,
    /// Its reins.
    pub control: Arc<Control>,
    /// How far it is.
    pub progress: Arc<Progress>,
}

fn lock(state: &Mutex<WorkState>) -> MutexGuard<'_, WorkState> {
    // Each change is one insert or remove: a panic elsewhere leaves nothing half done.
    match state.lock() {
        Ok(state) => state,
        Err(poisoned) => poisoned.into_inner(),
    }
}

impl Workers {
    /// A host without jobs.
    #[must_use]
    pub fn new(shared: Shared, ended: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            shared,
            state: Arc::default(),
            ended,
        }
    }

    /// Jobs that wait or run.
    #[must_use]
    pub fn handle(&self) -> WorkersHandle {
        WorkersHandle {
            state: Arc::clone(&self.state),
        }
    }

    /// Another pace, for jobs that run as well.
    pub fn set_pace(&mut self, pace: Pace) {
        self.shared.pace = pace;
        for running in lock(&self.state).running.values() {
            running.control.set_rate(pace.rate);
        }
    }
}

/// Looks at jobs, and ends them, from any thread.
#[derive(Clone, Debug)]
pub struct WorkersHandle {
    state: Arc<Mutex<WorkState>>,
}

impl WorkersHandle {
    /// Every job that waits or runs.
    #[must_use]
    pub fn jobs(&self) -> Vec<Running> {
        lock(&self.state).running.values().cloned().collect()
    }

    /// Whether no worker runs.
    #[must_use]
    pub fn idle(&self) -> bool {
        lock(&self.state).queues.is_empty()
    }

    /// Ends every job at its next entry and lets none begin; each goes on at the next start.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        state.queues.values_mut().for_each(Vec::clear);
        for running in state.running.values() {
            running.control.stop();
        }
    }
}

impl Host for Workers {
    type Sys = Kernel;

    fn desk(&self) -> &Desk<Kernel> {
        &self.shared.desk
    }

    fn busy(&self, directory: &FileIdentity) -> bool {
        lock(&self.state).running.contains_key(directory)
    }

    fn run(&mut self, job: Job, plan: &str, subject: &str) -> Outcome {
        let directory = job.directory().clone();
        let filesystem = directory.filesystem.clone();
        let mut state = lock(&self.state);
        if state.stopping {
            return Outcome::Stale("the daemon is stopping".to_owned());
        }
        state.running.insert(
            directory,
            Running {
                subject: subject.to_owned(),
                control: Arc::new(self.shared.pace.control()),
                progress: Arc::default(),
            },
        );
        let task = Task {
            job,
            plan: plan.to_owned(),
            subject: subject.to_owned(),
        };
        if let Some(queue) = state.queues.get_mut(&filesystem) {
            queue.push(task);
            return Outcome::Started;
        }
        state.queues.insert(filesystem.clone(), vec![task]);
        drop(state);
        let worker = Worker {
            shared: self.shared.clone(),
            state: Arc::clone(&self.state),
            ended: Arc::clone(&self.ended),
            filesystem: filesystem.clone(),
        };
        let spawned = std::thread::Builder::new()
            .name("wipe".to_owned())
            .spawn(move || worker.work());
        match spawned {
            Ok(_detached) => Outcome::Started,
            Err(error) => {
                let mut state = lock(&self.state);
                for task in state.queues.remove(&filesystem).into_iter().flatten() {
                    state.running.remove(task.job.directory());
                }
                Outcome::Stale(format!("no thread could be started: {error}"))
            }
        }
    }
}

struct Worker {
    shared: Shared,
    state: Arc<Mutex<WorkState>>,
    ended: Arc<dyn Fn() + Send + Sync>,
    filesystem: String,
}

impl Worker {
    /// Runs the jobs of one file system in their order, and ends with the last.
    fn work(self) {
        while let Some((task, running)) = self.next() {
            let Task { job, plan, subject } = task;
            let directory = job.directory().clone();
            let step = job.step();
            let outcome = self
                .shared
                .run(job, &plan, &running.control, &running.progress);
            jobs::record_end(
                &self.shared.desk.store,
                (self.shared.desk.wall_seconds)(),
                &plan,
                step,
                &subject,
                &outcome,
            );
            lock(&self.state).running.remove(&directory);
            (self.ended)();
        }
    }

    fn next(&self) -> Option<(Task, Running)> {
        let mut state = lock(&self.state);
        let queue = state.queues.get_mut(&self.filesystem)?;
        if queue.is_empty() {
            state.queues.remove(&self.filesystem);
            return None;
        }
        let task = queue.remove(0);
        let running = state.running.get(task.job.directory()).cloned();
        if running.is_none() {
            state.queues.remove(&self.filesystem);
        }
        Some((task, running?))
    }
}
