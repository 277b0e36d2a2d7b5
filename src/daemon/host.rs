//! This machine, as executing a plan needs it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::monitor::Watch;
use rustix::process::{getpriority_process, setpriority_process};

use crate::act::executor::{Desk, Host, Job};
use crate::act::jobs::{self, AgentsNow, JobContext, ReservedNow};
use crate::act::master::ChangeError;
use crate::act::outcome::Outcome;
use crate::act::sys::Kernel;
use crate::act::wipe::{BY_FILE_SYSTEM, Control, Progress};
use crate::config::{Settings, WipeRate, WipeSettings};
use crate::decide::facts::{FileIdentity, FreeBelow, Known};
use crate::decide::steps::MasterCall;
use crate::mesos::disk::DiskRef;
use crate::observe::clock;
use crate::units::Span;

/// Makes a call to the leading master.
pub type Caller = dyn Fn(&MasterCall) -> Result<(), ChangeError> + Send + Sync;

/// How often the checkpoint is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// What jobs of this process share.
#[derive(Clone)]
pub struct Shared {
    /// What every step works with.
    pub desk: Desk<Kernel>,
    /// Looks for agent processes.
    pub agents: Arc<AgentsNow>,
    /// Looks at the agent's checkpoint for a disk that is reserved to our role.
    pub reserved: Arc<ReservedNow>,
    /// Calls the leading master.
    pub caller: Arc<Caller>,
    /// How long the agent's checkpoint is waited for after a call.
    pub confirm: Span,
    /// How fast they are wiped.
    pub pace: Pace,
    /// When a wipe slows down and when it hurries, as is in force now.
    pub reins: Arc<Reins>,
}

/// What every wipe that runs goes by; a reload changes it under way.
#[derive(Debug, Default)]
pub struct Reins {
    /// `wipe.pressure_limit`, in percent.
    limit: AtomicU8,
    /// `trash.free_below`.
    free_below: Mutex<Option<FreeBelow>>,
}

impl Reins {
    /// These settings' reins.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let reins = Self::default();
        reins.set(settings);
        reins
    }

    /// Those of other settings, from now on.
    pub(super) fn set(&self, settings: &Settings) {
        self.limit
            .store(settings.wipe.pressure_limit, Ordering::Relaxed);
        self.hurry_below(settings.trash.policy.free_below);
    }

    /// With less free than this, wipes hurry.
    pub(super) fn hurry_below(&self, least: Option<FreeBelow>) {
        let mut free_below = self
            .free_below
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *free_below = least;
    }

    /// Above this share of time, in percent, a wipe goes more slowly.
    pub(super) fn limit(&self) -> f64 {
        f64::from(self.limit.load(Ordering::Relaxed))
    }

    /// So many bytes are to be free on a file system of this size; with less, space is short.
    pub(super) fn least_free(&self, total: u64) -> Option<u64> {
        let free_below = *self
            .free_below
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free_below.map(|least| least.of(total))
    }
}

/// How fast a disk is wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub(super) rate: u32,
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
    /// Waits, for so long at most, until the agent's checkpoint has the disk reserved to our role, or
    /// has not: what was not seen by then, a later pass sees.
    pub(super) fn await_agent(&self, disk: &DiskRef, reserved: bool, most: Span) {
        let begin = clock::since_boot();
        while clock::since_boot().minus(begin) < most {
            let shows = match (self.reserved)(disk) {
                Known::Known(()) => reserved,
                Known::Absent => !reserved,
                Known::Unknown(_) => false,
            };
            if shows {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Runs a job on this thread, while a second one watches it.
    pub(super) fn run(
        &self,
        job: Job,
        plan: &str,
        control: &Control,
        progress: &Progress,
    ) -> Outcome {
        let root = job.disk().root.clone();
        let context = JobContext {
            sys: self.desk.sys.as_ref(),
            locks: &self.desk.locks,
            gate: &self.desk.gate,
            agents: self.agents.as_ref(),
            reserved: self.reserved.as_ref(),
            control,
            progress,
        };
        let watch = Watch {
            root: &root,
            reins: &self.reins,
            control,
            progress,
        };
        watch.over(|| jobs::run(&context, job, plan))
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

    fn call(&mut self, call: &MasterCall) -> Result<(), ChangeError> {
        (self.shared.caller)(call)
    }

    fn await_agent(&mut self, disk: &DiskRef, reserved: bool) {
        self.shared.await_agent(disk, reserved, self.shared.confirm);
    }

    fn run(&mut self, job: Job, plan: &str, subject: &str) -> Outcome {
        let progress = Progress::default();
        // Who turned all pacing off is in a hurry.
        let _while_it_runs = (self.control.ordinary() > 0).then(LowPriority::set);
        let mut job = Some(job);
        (self.around)(&progress, subject, &mut || match job.take() {
            Some(job) => self.shared.run(job, plan, self.control, &progress),
            None => Outcome::Identity,
        })
    }
}

/// The lowest CPU priority for this thread and those that it starts, until this is dropped. Not the
/// idle class: a thread that waits for a processor while it holds a lock of the file system holds up
/// everybody, and in that class it may wait for ever.
#[derive(Debug)]
pub(super) struct LowPriority {
    before: Option<i32>,
}

impl LowPriority {
    pub(super) fn set() -> Self {
        // On Linux a priority is a thread's.
        let before = getpriority_process(None).ok();
        if let Err(errno) = setpriority_process(None, 19) {
            tracing::debug!(%errno, "the CPU priority could not be lowered, ignoring");
        }
        Self { before }
    }
}

impl Drop for LowPriority {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(errno) = setpriority_process(None, before)
        {
            tracing::debug!(%errno, "the CPU priority could not be raised again, ignoring");
        }
    }
}
