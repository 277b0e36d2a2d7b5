//! Workers: one thread a drive that runs the jobs of its file systems one after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::answers::Disk;
use super::answers::jobs::Job as Shown;
use super::answers::plan::{Became, StepResult, became};
use super::host::{LowPriority, Pace, Shared};
use super::jobs::{JobState, eta};
use super::observer::Observer;
use crate::act::executor::{Desk, Host, Job, StepOutcome};
use crate::act::jobs;
use crate::act::master::ChangeError;
use crate::act::outcome::Outcome;
use crate::act::store::{Store, StoreError};
use crate::act::sys::Kernel;
use crate::act::wipe::{Control, Progress, ProgressNow, Speed};
use crate::config::Settings;
use crate::decide::facts::{FileIdentity, Known, Pauses};
use crate::decide::steps::MasterCall;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::observe::places::Places;
use crate::observe::{clock, drives, state_dir};
use crate::units::{Raw, Span};

/// A host that hands jobs to one worker thread a drive: for the daemon.
pub struct Workers {
    shared: Shared,
    work: Arc<Work>,
    /// Called on the worker's thread when a job has ended.
    ended: Arc<Told>,
}

/// Called on a worker's thread when a job has ended.
pub type Told = dyn Fn(&Ended) + Send + Sync;

/// So long a pass waits for the agent's checkpoint after a call.
const LONGEST_WAIT: Span = Span::seconds(3);

/// How many ended jobs are remembered for those who wait for their end.
const REMEMBERED: usize = 512;

/// A job that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Ends are counted from 1.
    pub number: u64,
    /// How it ended; its subject is that of the job.
    pub became: Became,
    /// The same as it was.
    pub outcome: Arc<Outcome>,
    /// What it removed, whether to its end or not.
    pub progress: ProgressNow,
    /// How long it ran.
    pub took: Span,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// What workers, and those who look at them, share.
#[derive(Debug)]
struct Work {
    state: Mutex<WorkState>,
    /// Told when a worker that waits may have something to do.
    changed: Condvar,
    store: Store,
    /// Held while pauses are changed, so that what is on disk is what is in force.
    pausing: Mutex<()>,
}

#[derive(Debug)]
struct WorkState {
    /// One worker a drive: a second one only gets in the first one's way (and in the tenants').
    queues: BTreeMap<Queue, Vec<Task>>,
    jobs: BTreeMap<FileIdentity, Running>,
    pauses: Pauses,
    /// Jobs so far; they are shown in their order.
    count: u64,
    /// The last jobs that ended, oldest first.
    ended: VecDeque<Ended>,
    ends: u64,
    stopping: bool,
}

/// What has one worker: the drives under a file system, or where they can't be told the file system.
type Queue = BTreeSet<Raw>;

#[derive(Debug)]
struct Task {
    job: Job,
    plan: String,
    subject: String,
}

/// A job that waits or runs.
#[derive(Clone, Debug)]
struct Running {
    number: u64,
    quick: bool,
    subject: String,
    kind: &'static str,
    volume: VolumeKey,
    disk: DiskRef,
    plan: String,
    queued_at: i64,
    started_at: Option<i64>,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

impl Running {
    /// Whether it waits because an operator paused it.
    fn held(&self, pauses: &Pauses) -> bool {
        !self.quick && pauses.holds(&self.disk.root)
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one insert, remove or assignment: a panic elsewhere leaves nothing half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// A host without jobs. What was paused when the daemon last ran is paused; where that can't be
    /// told, everything is: [`WorkersHandle::resume`] writes it anew.
    #[must_use]
    pub fn new(shared: Shared, ended: Arc<Told>) -> Self {
        let store = shared.desk.store.clone();
        let pauses = match state_dir::pauses(&Raw::from(store.dir())) {
            Known::Known(pauses) => pauses,
            Known::Absent => Pauses::none(),
            Known::Unknown(why) => {
                tracing::error!("{why}; until then every wipe is paused");
                Pauses::everything()
            }
        };
        if pauses != Pauses::none() {
            tracing::warn!(
                "wipes are paused, as when the daemon last ran; `mesos-volumed resume` lets them go on"
            );
        }
        Self {
            shared,
            work: Arc::new(Work {
                state: Mutex::new(WorkState {
                    queues: BTreeMap::new(),
                    jobs: BTreeMap::new(),
                    pauses,
                    count: 0,
                    ended: VecDeque::new(),
                    ends: 0,
                    stopping: false,
                }),
                changed: Condvar::new(),
                store,
                pausing: Mutex::new(()),
            }),
            ended,
        }
    }

    /// What its jobs share.
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Jobs that wait or run.
    #[must_use]
    pub fn handle(&self) -> WorkersHandle {
        WorkersHandle {
            work: Arc::clone(&self.work),
        }
    }

    /// Another pace, for jobs that run as well.
    pub fn set_pace(&mut self, settings: &Settings) {
        let pace = Pace::from(&settings.wipe);
        self.shared.pace = pace;
        self.shared.reins.set(settings);
        for running in lock(&self.work.state).jobs.values() {
            running.control.set_rate(pace.rate);
        }
    }

    /// Other settings: who is called, and whose checkpoint is looked at. For what runs, the old ones
    /// stay.
    pub fn set_observer(&mut self, observer: &Observer) {
        self.shared.agents = observer.agents();
        self.shared.reserved = observer.reserved();
        self.shared.caller = observer.caller();
        self.shared.confirm = observer.confirm();
    }

    /// The drives under a job's file system; without them the file system stands for itself.
    fn queue(job: &Job) -> Queue {
        if job.is_quick() {
            // A name that no drive has.
            let filesystem = format!("quick/{}", job.directory().filesystem);
            return Queue::from([Raw::from(filesystem)]);
        }
        let root = job.disk().root.as_path();
        drives::device(root)
            .and_then(|device| drives::under(&Places::default(), device))
            .unwrap_or_else(|| {
                let filesystem = job.directory().filesystem.as_str();
                Queue::from([Raw::from(filesystem)])
            })
    }
}

/// Looks at jobs, holds them, and ends them, from any thread. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkersHandle {
    work: Arc<Work>,
}

impl WorkersHandle {
    /// Every job that waits or runs, in the order in which they came.
    #[must_use]
    pub fn jobs(&self) -> Vec<Shown> {
        let (mut running, pauses): (Vec<Running>, Pauses) = {
            let state = lock(&self.work.state);
            (state.jobs.values().cloned().collect(), state.pauses.clone())
        };
        running.sort_by_key(|running| running.number);
        running
            .iter()
            .map(|running| view(running, running.held(&pauses)))
            .collect()
    }

    /// What is paused.
    #[must_use]
    pub fn pauses(&self) -> Pauses {
        lock(&self.work.state).pauses.clone()
    }

    /// Holds every job on this root, or every job there is; also those that come later, and after a
    /// restart of the daemon, until [`WorkersHandle::resume`]. In force, within 100 ms for jobs that
    /// run, also when it could not be written down: then for as long as the daemon runs.
    ///
    /// A job that has emptied a part of a MOUNT disk keeps the gate closed while it is held: an agent
    /// that is started then has to wait.
    ///
    /// # Errors
    /// When `paused.json` could not be written.
    pub fn pause(&self, root: Option<&Raw>) -> Result<(), StoreError> {
        self.change(|pauses| pauses.pause(root))
    }

    /// Lets jobs on this root, or all of them, go on.
    ///
    /// # Errors
    /// When `paused.json` could not be written: they go on, and are paused again after a restart.
    pub fn resume(&self, root: Option<&Raw>) -> Result<(), StoreError> {
        self.change(|pauses| pauses.resume(root))
    }

    fn change(&self, change: impl FnOnce(Pauses) -> Pauses) -> Result<(), StoreError> {
        let _one_at_a_time = lock(&self.work.pausing);
        let pauses = {
            let mut state = lock(&self.work.state);
            state.pauses = change(state.pauses.clone());
            for running in state.jobs.values() {
                if running.held(&state.pauses) {
                    running.control.pause();
                } else {
                    running.control.resume();
                }
            }
            state.pauses.clone()
        };
        self.work.changed.notify_all();
        self.work.store.write_pauses(&pauses)
    }

    /// How many jobs have ended.
    #[must_use]
    pub fn ends(&self) -> u64 {
        lock(&self.work.state).ends
    }

    /// How the step with this subject ended, if a job for it ended after the end of this number;
    /// `None` while a job works on that subject, be it for this step or for the one before it: a trash
    /// entry shows that it is cleared a moment before the job that cleared it has ended. Where there is
    /// none, and none is remembered, that is said.
    #[must_use]
    pub fn end_of(&self, step: &str, subject: &str, after: u64) -> Option<Became> {
        let state = lock(&self.work.state);
        let about = |ended: &&Ended| {
            ended.number > after && ended.became.step == step && ended.became.subject == subject
        };
        // Two passes, or two rounds of one, may each have begun it: the second one then found it done.
        let of_it = || state.ended.iter().rev().filter(about);
        let ended = of_it().find(|ended| ended.became.result != StepResult::Stale);
        if let Some(ended) = ended.or_else(|| of_it().next()) {
            return Some(ended.became.clone());
        }
        let lives = state
            .jobs
            .values()
            .any(|running| running.subject == subject);
        (!lives).then(|| Became::unseen(step, subject))
    }

    /// Jobs that ended after the end of this number and did what they were for, oldest first.
    #[must_use]
    pub fn done_after(&self, after: u64) -> Vec<Became> {
        let state = lock(&self.work.state);
        let done = |ended: &&Ended| ended.number > after && ended.became.result == StepResult::Done;
        let ended = state.ended.iter().filter(done);
        ended.map(|ended| ended.became.clone()).collect()
    }

    /// Whether no worker runs.
    #[must_use]
    pub fn idle(&self) -> bool {
        lock(&self.work.state).queues.is_empty()
    }

    /// Ends every job at its next entry and lets none begin; each goes on at the next start.
    pub fn stop(&self) {
        let mut state = lock(&self.work.state);
        state.stopping = true;
        state.queues.values_mut().for_each(Vec::clear);
        for running in state.jobs.values() {
            running.control.stop();
        }
        drop(state);
        self.work.changed.notify_all();
    }
}

fn view(running: &Running, held: bool) -> Shown {
    let now = running.progress.now();
    let state = match running.started_at {
        _ if held => JobState::Paused,
        None => JobState::Waiting,
        Some(_) if running.control.is_slowed() => JobState::Slowed,
        Some(_) => JobState::Running,
    };
    let runs = matches!(state, JobState::Running | JobState::Slowed);
    let speed = if runs {
        running.progress.speed()
    } else {
        Speed::default()
    };
    let pressure = running.progress.pressure().filter(|_| runs);
    let mut shown = Shown {
        kind: running.kind.to_owned(),
        role: running.volume.role.to_string(),
        persistence_id: running.volume.id.to_string(),
        persistence_id_base64: running.volume.id.as_raw().base64_if_not_utf8(),
        disk: Disk::from(&running.disk),
        plan: running.plan.clone(),
        state,
        queued_at: running.queued_at,
        started_at: running.started_at,
        files: now.files,
        directories: now.dirs,
        left: now.left,
        freed_bytes: now.freed,
        overwritten_bytes: now.overwritten,
        expected: now.expected,
        rate: speed.removals,
        bytes_per_second: speed.overwritten,
        allowed_rate: Some(running.control.rate()).filter(|&rate| runs && rate > 0),
        io_pressure: pressure.map(|pressure| pressure.worked),
        eta_seconds: eta(now, speed),
        text: String::new(),
    };
    shown.text = shown.line();
    shown
}

impl Host for Workers {
    type Sys = Kernel;

    fn desk(&self) -> &Desk<Kernel> {
        &self.shared.desk
    }

    fn busy(&self, directory: &FileIdentity) -> bool {
        lock(&self.work.state).jobs.contains_key(directory)
    }

    fn call(&mut self, call: &MasterCall) -> Result<(), ChangeError> {
        (self.shared.caller)(call)
    }

    fn await_agent(&mut self, disk: &DiskRef, reserved: bool) {
        // Whoever waits here holds up every pass; a change that comes later begins one by itself.
        let most = self.shared.confirm.min(LONGEST_WAIT);
        self.shared.await_agent(disk, reserved, most);
    }

    fn run(&mut self, job: Job, plan: &str, subject: &str) -> Outcome {
        let directory = job.directory().clone();
        let queue = Self::queue(&job);
        let mut state = lock(&self.work.state);
        if state.stopping {
            return Outcome::Stale("the daemon is stopping".to_owned());
        }
        state.count = state.count.saturating_add(1);
        let running = Running {
            number: state.count,
            quick: job.is_quick(),
            subject: subject.to_owned(),
            kind: job.step(),
            volume: job.volume().clone(),
            disk: job.disk().clone(),
            plan: plan.to_owned(),
            queued_at: (self.shared.desk.wall_seconds)(),
            started_at: None,
            control: Arc::new(self.shared.pace.control()),
            progress: Arc::default(),
        };
        if running.held(&state.pauses) {
            running.control.pause();
        }
        state.jobs.insert(directory, running);
        let task = Task {
            job,
            plan: plan.to_owned(),
            subject: subject.to_owned(),
        };
        // Drives may be shared by file systems that share no other: the worker of any of them is
        // the one.
        let shared = state.queues.keys().find(|keys| !keys.is_disjoint(&queue));
        if let Some(queue) = shared.cloned() {
            state.queues.entry(queue).or_default().push(task);
            drop(state);
            self.work.changed.notify_all();
            return Outcome::Started;
        }
        state.queues.insert(queue.clone(), vec![task]);
        drop(state);
        let worker = Worker {
            shared: self.shared.clone(),
            work: Arc::clone(&self.work),
            ended: Arc::clone(&self.ended),
            queue: queue.clone(),
        };
        let spawned = std::thread::Builder::new()
            .name("wipe".to_owned())
            .spawn(move || worker.work());
        match spawned {
            Ok(_detached) => Outcome::Started,
            Err(error) => {
                let mut state = lock(&self.work.state);
                for task in state.queues.remove(&queue).into_iter().flatten() {
                    state.jobs.remove(task.job.directory());
                }
                Outcome::Stale(format!("no thread could be started: {error}"))
            }
        }
    }
}

struct Worker {
    shared: Shared,
    work: Arc<Work>,
    ended: Arc<Told>,
    queue: Queue,
}

impl Worker {
    /// Runs the jobs of its drives in their order, those that are paused excepted, and ends with
    /// the last.
    fn work(self) {
        let _for_the_thread = LowPriority::set();
        while let Some((task, control, progress)) = self.next() {
            let Task { job, plan, subject } = task;
            let directory = job.directory().clone();
            let step = job.step();
            let began = clock::since_boot();
            let outcome = self.shared.run(job, &plan, &control, &progress);
            let took = clock::since_boot().minus(began);
            jobs::record_end(
                &self.shared.desk.store,
                (self.shared.desk.wall_seconds)(),
                &plan,
                step,
                &subject,
                &outcome,
            );
            let end = StepOutcome {
                step,
                subject,
                outcome,
            };
            let became = became(&end);
            let mut state = lock(&self.work.state);
            state.jobs.remove(&directory);
            state.ends = state.ends.saturating_add(1);
            let ended = Ended {
                number: state.ends,
                became,
                outcome: Arc::new(end.outcome),
                progress: progress.now(),
                took,
            };
            state.ended.push_back(ended.clone());
            if state.ended.len() > REMEMBERED {
                state.ended.pop_front();
            }
            drop(state);
            (self.ended)(&ended);
        }
    }

    /// The first job that is not paused; waits where all are. `None`, and no worker any more, where
    /// there is none.
    fn next(&self) -> Option<(Task, Arc<Control>, Arc<Progress>)> {
        let mut guard = lock(&self.work.state);
        loop {
            let state = &mut *guard;
            let queue = state.queues.get_mut(&self.queue)?;
            if queue.is_empty() {
                state.queues.remove(&self.queue);
                return None;
            }
            let ready = queue
                .iter()
                .position(|task| task.job.is_quick() || !state.pauses.holds(&task.job.disk().root));
            let Some(at) = ready else {
                guard = self
                    .work
                    .changed
                    .wait(guard)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let task = queue.remove(at);
            if let Some(running) = state.jobs.get_mut(task.job.directory()) {
                running.started_at = Some((self.shared.desk.wall_seconds)());
                let (control, progress) = (&running.control, &running.progress);
                return Some((task, Arc::clone(control), Arc::clone(progress)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
