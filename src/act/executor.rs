//! Carries out a checked plan, step by step, and chooses nothing.

mod lines;

use std::sync::Arc;

pub(in crate::act) use self::lines::{AuditLine, log, outcome_line};
use self::lines::{audited, intent, record, step_name, subject};

use super::gate::Gate;
use super::marks;
use super::master::ChangeError;
use super::outcome::{Outcome, Receipt, StepError};
use super::provision;
use super::roots::{OpenRoot, RootLocks};
use super::store::{Store, StoreError, with_verified_root};
use super::sys::Sys;
use super::trash;
use crate::decide::check::CheckedPlan;
use crate::decide::facts::{FileIdentity, Fingerprint, MarkerOf, Who};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::ledger::Verified;
use crate::decide::manifest::{AdoptedMark, Asked, Manifest, Marker};
use crate::decide::plan::Plan;
use crate::decide::steps::{Barrier, MasterCall, Step, TrashPlace, WipeAuthorization};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::Change;
use crate::sys::http::SiteError;
use crate::units::{Raw, chain};

/// Work that may take hours: it runs on a thread of its own in the daemon.
#[derive(Debug)]
pub enum Job {
    /// Wipe a cleared trash entry.
    Wipe {
        /// What may go.
        authorization: WipeAuthorization,
        /// From which entry.
        entry: Box<TrashPlace>,
    },
    /// Empty a plain MOUNT disk behind a barrier.
    EmptyMount {
        /// What may go.
        authorization: WipeAuthorization,
        /// The root as it was verified.
        root: Fingerprint,
        /// It is empty already, and only its free space is left to be seen to.
        fill_only: bool,
        /// Behind what.
        barrier: Barrier,
    },
    /// Move the entries of a prepared MOUNT disk into its trash behind a barrier.
    MoveOut {
        /// What may go.
        authorization: WipeAuthorization,
        /// Where to.
        entry: Box<TrashPlace>,
        /// Behind what.
        barrier: Barrier,
    },
    /// Move them back, behind the gate.
    MoveBack {
        /// From where.
        entry: Box<TrashPlace>,
    },
    /// The second look passed: look an entry through, and say so in its manifest.
    Clear {
        /// Which.
        entry: Box<TrashPlace>,
    },
    /// Restore an entry of the trash because an operator wants it.
    Restore {
        /// Which.
        entry: Box<TrashPlace>,
        /// The mark, durable before anything moves.
        mark: Box<AdoptedMark>,
    },
}

impl Job {
    /// The directory that it works on.
    #[must_use]
    pub fn directory(&self) -> &FileIdentity {
        match self {
            Self::Wipe { authorization, .. }
            | Self::EmptyMount { authorization, .. }
            | Self::MoveOut { authorization, .. } => authorization.identity(),
            Self::MoveBack { entry } | Self::Clear { entry } | Self::Restore { entry, .. } => {
                &entry.manifest.identity
            }
        }
    }

    /// The volume that it is about.
    #[must_use]
    pub fn volume(&self) -> &VolumeKey {
        match self {
            Self::Wipe { authorization, .. }
            | Self::EmptyMount { authorization, .. }
            | Self::MoveOut { authorization, .. } => authorization.volume(),
            Self::MoveBack { entry } | Self::Clear { entry } | Self::Restore { entry, .. } => {
                &entry.manifest.volume
            }
        }
    }

    /// The disk that it works on.
    #[must_use]
    pub fn disk(&self) -> &DiskRef {
        match self {
            Self::Wipe { entry, .. }
            | Self::MoveOut { entry, .. }
            | Self::MoveBack { entry }
            | Self::Clear { entry }
            | Self::Restore { entry, .. } => &entry.disk,
            Self::EmptyMount { authorization, .. } => authorization.disk(),
        }
    }

    /// Whether it takes nothing away and is wanted soon: it waits neither behind wipes nor while they
    /// are paused.
    #[must_use]
    pub const fn is_quick(&self) -> bool {
        match self {
            Self::Clear { .. } | Self::Restore { .. } => true,
            Self::Wipe { .. }
            | Self::EmptyMount { .. }
            | Self::MoveOut { .. }
            | Self::MoveBack { .. } => false,
        }
    }

    /// The step that it is, as in JSON.
    #[must_use]
    pub const fn step(&self) -> &'static str {
        match self {
            Self::Wipe { .. } => "wipe",
            Self::EmptyMount { .. } => "empty_mount",
            Self::MoveOut { .. } => "move_out",
            Self::MoveBack { .. } => "put_back",
            Self::Clear { .. } => "clear",
            Self::Restore { .. } => "restore",
        }
    }
}

/// What every step works with.
#[derive(Debug)]
pub struct Desk<S: Sys> {
    /// The calls that change the world: the kernel's, or a model of them.
    pub sys: Arc<S>,
    /// The locks of roots that this process holds.
    pub locks: RootLocks<S>,
    /// `state_dir`.
    pub store: Store,
    /// The gate.
    pub gate: Arc<Gate>,
    /// Seconds since 1970, for display.
    pub wall_seconds: fn() -> i64,
}

impl<S: Sys> Desk<S> {
    /// Does something that changes the world, with a line in the audit log before and after; without
    /// the first nothing is done.
    pub(in crate::act) fn audited(
        &self,
        plan: &str,
        step: &str,
        subject: &str,
        by: Option<&Who>,
        act: impl FnOnce() -> Outcome,
    ) -> Outcome {
        if let Err(error) = intent(self, plan, step, subject, by) {
            return Outcome::Failed(error);
        }
        let outcome = act();
        log(plan, step, subject, &outcome);
        record(self, plan, step, subject, &outcome);
        outcome
    }
}

// Not derived: that would ask the kernel to be cloneable, of which only the handle is.
impl<S: Sys> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self {
            sys: Arc::clone(&self.sys),
            locks: self.locks.clone(),
            store: self.store.clone(),
            gate: Arc::clone(&self.gate),
            wall_seconds: self.wall_seconds,
        }
    }
}

/// What executing needs of the host: a desk to work at, and somebody who runs jobs.
pub trait Host {
    /// The calls that change the world.
    type Sys: Sys;

    /// What every step works with.
    fn desk(&self) -> &Desk<Self::Sys>;
    /// Whether a worker of this process has a job on this directory, begun by an earlier plan.
    fn busy(&self, directory: &FileIdentity) -> bool;
    /// Runs the job, or hands it to a worker and answers [`Outcome::Started`].
    fn run(&mut self, job: Job, plan: &str, subject: &str) -> Outcome;
    /// Waits for a while until the agent's checkpoint has the disk reserved to our role, or has not.
    fn await_agent(&mut self, _disk: &DiskRef, _reserved: bool) {}
    /// Calls the leading master. A host that has none to call says so, and nothing came of it.
    fn call(&mut self, call: &MasterCall) -> Result<(), ChangeError> {
        Err(ChangeError::Site {
            call: call.change.name(),
            source: SiteError::NotConfigured {
                what: "master",
                key: "master.urls",
            },
        })
    }
}

/// A step with what became of it.
#[derive(Debug)]
pub struct StepOutcome {
    /// The step's name, as in JSON.
    pub step: &'static str,
    /// What it was about, for display.
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A plan with what became of its steps.
#[derive(Debug)]
pub struct Executed {
    /// The plan, for display.
    pub plan: Plan,
    /// What became of each step, in their order.
    pub outcomes: Vec<StepOutcome>,
}

/// Executes a plan, once. The memory is durable before the first step; one that could not be read
/// is left as it is.
pub fn execute<H: Host>(plan: CheckedPlan, host: &mut H) -> Result<Executed, StepError> {
    let mut plan = plan.into_plan();
    let store = host.desk().store.clone();
    if !plan.memory_unknown && !plan.memory_written {
        store.write_memory(&plan.memory)?;
    }
    let id = plan.id.as_str();
    let mut undone: u32 = 0;
    let mut outcomes = Vec::with_capacity(plan.steps.len());
    for step in plan.steps.iter().cloned() {
        let (name, subject) = (step_name(&step), subject(&step));
        let unwitnessed = matches!(
            &step,
            Step::Quarantine { manifest, .. } if !manifest.evidence.witnessed()
        );
        let outcome = if working_on(&step).is_some_and(|directory| host.busy(directory)) {
            Outcome::Started
        } else if audited(&step) {
            let desk = host.desk().clone();
            desk.audited(id, name, &subject, plan.by.as_ref(), || {
                execute_step(step, id, &subject, host)
            })
        } else {
            execute_step(step, id, &subject, host)
        };
        if unwitnessed && !matches!(outcome, Outcome::Done(_)) {
            undone = undone.saturating_add(1);
        }
        outcomes.push(StepOutcome {
            step: name,
            subject,
            outcome,
        });
    }
    // What did not happen does not count for the brake; the count was too high, never too low.
    if undone > 0
        && let Some(batch) = plan.memory.unwitnessed.last_mut()
    {
        batch.count = batch.count.saturating_sub(undone);
        store.write_memory(&plan.memory)?;
    }
    Ok(Executed { plan, outcomes })
}

/// The directory that a long step works on.
fn working_on(step: &Step) -> Option<&FileIdentity> {
    match step {
        Step::Wipe { authorization, .. }
        | Step::EmptyMount { authorization, .. }
        | Step::MoveOut { authorization, .. } => Some(authorization.identity()),
        Step::Clear { entry } | Step::PutBack { entry } | Step::Restore { entry, .. } => {
            Some(&entry.manifest.identity)
        }
        // A frame of a MOUNT disk may be that of an entry which a worker has just begun.
        Step::Tidy { at, .. } => Some(&at.root.directory),
        Step::Bar { directory, .. } => directory.as_ref(),
        Step::AdoptRoot { .. }
        | Step::Quarantine { .. }
        | Step::Void { .. }
        | Step::OpenGate
        | Step::Adopt { .. }
        | Step::Unadopt { .. }
        | Step::Call { .. }
        | Step::Confirm { .. }
        | Step::Create { .. } => None,
    }
}

fn execute_step<H: Host>(step: Step, plan: &str, subject: &str, host: &mut H) -> Outcome {
    let desk = host.desk();
    let (sys, locks) = (desk.sys.as_ref(), &desk.locks);
    match step {
        Step::AdoptRoot {
            disk,
            root,
            verified,
            marker,
        } => adopt(desk, &disk, &root, verified, marker),
        Step::Quarantine {
            place,
            identity,
            manifest,
        } => trash::quarantine(sys, locks, &place, &identity, &manifest),
        Step::Clear { entry } => match trash::clear_at_once(sys, locks, &entry) {
            Some(outcome) => outcome,
            None => host.run(Job::Clear { entry }, plan, subject),
        },
        Step::PutBack { entry } if entry.hidden.is_some() => {
            host.run(Job::MoveBack { entry }, plan, subject)
        }
        Step::PutBack { entry } => trash::put_back(sys, locks, &entry),
        Step::MoveOut {
            authorization,
            entry,
            barrier,
        } => host.run(
            Job::MoveOut {
                authorization,
                entry,
                barrier,
            },
            plan,
            subject,
        ),
        Step::Confirm { entry, lived_at } => trash::confirm(sys, locks, &entry, lived_at),
        Step::Call {
            call,
            volume,
            disk,
            asked,
            entry,
        } => ask(host, (&call, plan), (&volume, &disk), asked, entry),
        Step::Void { entry } => trash::void(sys, locks, &entry),
        Step::Wipe {
            authorization,
            entry,
        } => host.run(
            Job::Wipe {
                authorization,
                entry,
            },
            plan,
            subject,
        ),
        Step::EmptyMount {
            authorization,
            root,
            fill_only,
            barrier,
        } => host.run(
            Job::EmptyMount {
                authorization,
                root,
                fill_only,
                barrier,
            },
            plan,
            subject,
        ),
        Step::Bar { call, disk, .. } => bar(host, &call, plan, &disk),
        Step::OpenGate => match desk.gate.open() {
            Ok(()) => Outcome::Done(Box::new(gate_receipt(plan))),
            Err(error) => Outcome::Failed(error.into()),
        },
        Step::Restore { entry, mark } => host.run(Job::Restore { entry, mark }, plan, subject),
        Step::Adopt { at, mark } => marks::adopt(sys, locks, &at, &mark, plan),
        Step::Unadopt { at, mark, .. } => marks::unadopt(sys, locks, &at, &mark, plan),
        Step::Tidy { at, id } => trash::tidy(sys, locks, &at, &id),
        Step::Create { place } => provision::create(sys, locks, &place, plan),
    }
}

/// Calls the master for a destroy of ours. An entry says durably that it was asked before the request
/// leaves, and takes that back only where nothing can have come of it.
fn ask<H: Host>(
    host: &mut H,
    (call, plan): (&MasterCall, &str),
    (volume, disk): (&VolumeKey, &DiskRef),
    asked: Asked,
    entry: Option<Box<TrashPlace>>,
) -> Outcome {
    let Some(entry) = entry else {
        return asked_of(host.call(call), call, plan, volume, disk);
    };
    let at = host.desk();
    if let Err(outcome) = trash::asked(at.sys.as_ref(), &at.locks, &entry, Some(&asked)) {
        return outcome;
    }
    let said = host.call(call);
    let refused = said.as_ref().is_err_and(ChangeError::changed_nothing);
    // One that was asked before may still be on its way.
    if refused && entry.manifest.asked.is_none() {
        let at = host.desk();
        let place = TrashPlace {
            manifest: Manifest {
                asked: Some(asked),
                ..entry.manifest.clone()
            },
            ..*entry
        };
        if let Err(outcome) = trash::asked(at.sys.as_ref(), &at.locks, &place, None) {
            return outcome;
        }
    }
    asked_of(said, call, plan, volume, disk)
}

/// Calls the master for a barrier, and waits for a while until the agent has heard of it.
fn bar<H: Host>(host: &mut H, call: &MasterCall, plan: &str, disk: &DiskRef) -> Outcome {
    let said = host.call(call);
    if said.is_ok() {
        host.await_agent(disk, matches!(call.change, Change::Reserve(_)));
    }
    barred(said, call, plan, disk)
}

/// What became of a call for the barrier. One that the master refuses leaves the disk as it is: the
/// guard that wanted the barrier keeps what lies there, and says what is missing.
fn barred(said: Result<(), ChangeError>, call: &MasterCall, plan: &str, disk: &DiskRef) -> Outcome {
    match said {
        Ok(()) => Outcome::Done(Box::new(Receipt {
            disk: disk.clone(),
            path: Raw::from(call.change.name()),
            verified: false,
            step: bar_name(call),
            ..gate_receipt(plan)
        })),
        Err(error) if error.refused() && matches!(call.change, Change::Reserve(_)) => {
            let what = if error.no_right() {
                "; the principal of [master] needs the right to reserve for this role"
            } else {
                ""
            };
            let why = format!("{}{what}", chain(&error));
            Outcome::Refused(Reason::new(Refusal::NoBarrier, why))
        }
        Err(source) => Outcome::Failed(StepError::Barrier {
            disk: disk.clone(),
            source: Box::new(source),
        }),
    }
}

/// The step's name, as in JSON.
fn bar_name(call: &MasterCall) -> &'static str {
    match call.change {
        Change::Unreserve(_) => "unreserve",
        Change::Reserve(_)
        | Change::Create(_)
        | Change::Destroy(_)
        | Change::Grow { .. }
        | Change::Shrink { .. } => "reserve",
    }
}

/// What became of a call: a 202 says that it is valid and on its way, and is told as no more.
fn asked_of(
    said: Result<(), ChangeError>,
    call: &MasterCall,
    plan: &str,
    volume: &VolumeKey,
    disk: &DiskRef,
) -> Outcome {
    match said {
        Ok(()) => Outcome::Done(Box::new(Receipt {
            volume: Some(volume.clone()),
            disk: disk.clone(),
            path: Raw::from(call.change.name()),
            verified: false,
            step: "call",
            ..gate_receipt(plan)
        })),
        Err(source) => Outcome::Failed(StepError::Master {
            volume: volume.clone(),
            source: Box::new(source),
        }),
    }
}

fn gate_receipt(plan: &str) -> Receipt {
    let nowhere = DiskRef {
        kind: DiskType::Mount,
        root: Raw::default(),
    };
    Receipt::plain("open_gate", plan, None, &nowhere, Raw::default())
}

/// Remembers a root: the ledger decides, the marker (ROOT and PATH with a `volumes` folder)
/// confirms. The marker is written first: without the ledger it says nothing, and one who is killed
/// in between begins anew. One that can't be written keeps nobody from cleaning a disk that is full.
fn adopt<S: Sys>(
    at: &Desk<S>,
    disk: &DiskRef,
    print: &Fingerprint,
    verified: Verified,
    marker: Option<MarkerOf>,
) -> Outcome {
    let root = match OpenRoot::open(at.sys.as_ref(), &at.locks, disk, print) {
        Ok(root) => root,
        Err(stop) => return stop.into(),
    };
    let written = match &root.ours {
        Some(ours) => mark(at.sys.as_ref(), ours, disk, print, marker),
        None => Ok(()),
    };
    let now = (at.wall_seconds)();
    let changed = at
        .store
        .update_ledger(|ledger| with_verified_root(ledger, disk, print, verified, now));
    match (changed, written) {
        (Err(error), _) => Outcome::Failed(error.into()),
        (Ok(_), Err(error)) => Outcome::Failed(error),
        (Ok(_), Ok(())) => adopted(disk),
    }
}

fn mark<S: Sys>(
    sys: &S,
    ours: &S::Dir,
    disk: &DiskRef,
    print: &Fingerprint,
    of: Option<MarkerOf>,
) -> Result<(), StepError> {
    let marker = Marker {
        version: Marker::VERSION,
        filesystem: print.filesystem.clone(),
        of,
    };
    let mut text = serde_json::to_vec(&marker).map_err(|source| StoreError::Encode {
        what: "marker.json",
        source,
    })?;
    text.push(b'\n');
    sys.write_file(ours, b"marker.json", &text, 0o600)
        .map_err(|source| StepError::Call {
            what: "write",
            path: disk.root.join(crate::decide::manifest::MARKER),
            left: "the ledger knows the root",
            source,
        })
}

fn adopted(disk: &DiskRef) -> Outcome {
    let receipt = Receipt::plain("adopt_root", "", None, disk, disk.root.clone());
    Outcome::Done(Box::new(receipt))
}
