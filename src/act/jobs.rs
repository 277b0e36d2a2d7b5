//! Jobs: the wipes themselves, with what has to stand around them.

use super::behind::Behind;
use super::executor::{AuditLine, Job, log, outcome_line};
use super::gate::Gate;
use super::outcome::{Outcome, Receipt, StepError};
use super::prepare::PrepareLock;
use super::roots::{OpenRoot, RootLocks};
use super::store::Store;
use super::sys::Sys;
use super::trash::{self, OpenEntry};
use super::volume_dir::VolumeDir;
use super::wipe::reformat::{Old, ReformatError};
use super::wipe::{Control, Extent, Options, Progress, Proof, WipeReport, promise, wipe};
use crate::decide::facts::{Fingerprint, Known, OwedFill, WipeMode};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::TrashState;
use crate::decide::steps::{Barrier, TrashPlace, WipeAuthorization};
use crate::mesos::disk::DiskRef;
use crate::sys::{Batch, More};
use crate::units::{Raw, Span, chain};

/// Process ids of agents that run now, whatever their work_dir.
pub type AgentsNow = dyn Fn() -> Known<Vec<i32>> + Send + Sync;

/// Whether the agent's own checkpoint has a disk reserved to a role of ours now.
pub type ReservedNow = dyn Fn(&DiskRef) -> Known<()> + Send + Sync;

/// What a job works with.
pub struct JobContext<'a, S: Sys> {
    /// The calls.
    pub sys: &'a S,
    /// The locks of roots.
    pub locks: &'a RootLocks<S>,
    /// The gate.
    pub gate: &'a Gate,
    /// Looks for agent processes again, after the gate was closed.
    pub agents: &'a AgentsNow,
    /// Looks at the agent's checkpoint again.
    pub reserved: &'a ReservedNow,
    /// Stops, pauses, paces.
    pub control: &'a Control,
    /// Counts.
    pub progress: &'a Progress,
}

impl<S: Sys> std::fmt::Debug for JobContext<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext")
            .field("gate", self.gate)
            .finish_non_exhaustive()
    }
}

/// Runs a job to its end, or until `control` stops it.
#[must_use]
pub fn run<S: Sys>(context: &JobContext<'_, S>, job: Job, plan: &str) -> Outcome {
    let outcome = match job {
        Job::Wipe {
            authorization,
            entry,
        } => wipe_entry(context, &authorization, &entry, plan),
        Job::EmptyMount {
            authorization,
            root,
            fill_only,
            barrier,
        } => empty_mount(context, &authorization, &root, (fill_only, barrier), plan),
        Job::MoveOut { entry, barrier, .. } => trash::move_out(context, &entry, barrier, plan),
        Job::MoveBack { entry } => trash::move_back(context, &entry, None, plan),
        Job::Clear { entry } => trash::clear(context, &entry, plan),
        Job::Restore { entry, mark } => trash::restore(context, &entry, &mark, plan),
    };
    match outcome {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

/// Wipes a cleared trash entry: `wiping` is durable before the first unlink, so that what is half
/// gone never goes back; the entry's frame goes last.
fn wipe_entry<S: Sys>(
    context: &JobContext<'_, S>,
    authorization: &WipeAuthorization,
    place: &TrashPlace,
    plan: &str,
) -> Result<Outcome, Outcome> {
    let JobContext {
        sys,
        locks,
        control,
        progress,
        ..
    } = context;
    let entry = OpenEntry::open(*sys, locks, place)?;
    let data = entry.data(*sys, place)?;
    promised(*sys, data.dir(), authorization, control)?;
    if place.manifest.state != TrashState::Wiping {
        entry.advance(*sys, place, TrashState::Wiping)?;
    }
    let options = Options {
        extent: Extent::Tree,
        method: authorization.method(),
    };
    let report = wipe(*sys, data, authorization, options, control, progress);
    if !report.complete {
        return Err(incomplete(authorization, &report));
    }
    entry.remove_wiped(*sys, place)?;
    if place.hidden.is_some() {
        trash::refill(*sys, &entry);
    }
    Ok(done(
        "wipe",
        plan,
        authorization,
        entry.path().clone(),
        &report,
    ))
}

/// Empties a MOUNT disk in place, behind its barrier from the first unlink to the last.
fn empty_mount<S: Sys>(
    context: &JobContext<'_, S>,
    authorization: &WipeAuthorization,
    print: &Fingerprint,
    (fill_only, barrier): (bool, Barrier),
    plan: &str,
) -> Result<Outcome, Outcome> {
    let JobContext {
        sys,
        locks,
        control,
        progress,
        ..
    } = context;
    let disk = authorization.disk();
    let root = OpenRoot::open(*sys, locks, disk, print)?;
    let volume =
        VolumeDir::open(*sys, &root.dir, &[], authorization.identity()).map_err(|source| {
            StepError::VolumeDir {
                volume: authorization.volume().clone(),
                source,
            }
        })?;
    promised(*sys, volume.dir(), authorization, control)?;
    if fill_only {
        still_empty(*sys, volume.dir(), &disk.root)?;
    }
    let owed = (authorization.method().mode == WipeMode::ZeroFree).then(|| OwedFill {
        root: disk.root.clone(),
        directory: authorization.identity().clone(),
        volume: authorization.volume().clone(),
        evidence: authorization.evidence().clone(),
        method: authorization.method(),
    });
    let behind = Behind::stand(context, disk, barrier, owed)?;
    if authorization.method().mode == WipeMode::Reformat {
        return reformat(context, authorization, (root, volume), behind, plan);
    }
    let options = Options {
        extent: Extent::Content,
        method: authorization.method(),
    };
    let report = behind.watched(|| wipe(*sys, volume, authorization, options, control, progress));
    behind.leave(report.complete)?;
    if !report.complete {
        return Err(incomplete(authorization, &report));
    }
    Ok(done(
        "empty_mount",
        plan,
        authorization,
        disk.root.clone(),
        &report,
    ))
}

/// What was decided for an empty disk is for nothing that lies there by now.
fn still_empty<S: Sys>(sys: &S, dir: &S::Dir, root: &Raw) -> Result<(), Outcome> {
    let failed = |source| StepError::Call {
        what: "look into",
        path: root.clone(),
        left: "nothing was changed",
        source,
    };
    let dir = sys.reopen(dir).map_err(failed)?;
    let mut batch = Batch::new(1);
    loop {
        batch.clear();
        let more = sys.read_entries(&dir, &mut batch).map_err(failed)?;
        // What mkfs put there is empty, or was looked at as data.
        if batch.iter().any(|(name, ..)| name != b"lost+found") {
            return Err(Outcome::Stale(format!("{root} is empty no more")));
        }
        if more == More::No {
            return Ok(());
        }
    }
}

/// Makes the file system anew, behind the closed gate.
fn reformat<S: Sys>(
    context: &JobContext<'_, S>,
    authorization: &WipeAuthorization,
    (root, volume): (OpenRoot<S>, VolumeDir<S>),
    behind: Behind<'_, '_, S>,
    plan: &str,
) -> Result<Outcome, Outcome> {
    let JobContext { sys, .. } = context;
    let disk = authorization.disk();
    let begun = sys.now();
    let before = sys.space(volume.dir());
    // For a moment nobody has its device, and there is nothing on it: no command that works on whole
    // devices may find it so.
    let alone = PrepareLock::acquire(context.gate.store());
    let old = match (&alone, sys.descriptor(volume.dir())) {
        (Ok(_), Some(dir)) => Old::of(dir, &disk.root, authorization.identity()),
        (Ok(_), None) => Err(ReformatError::Refused {
            what: "there is no kernel here".to_owned(),
        }),
        (Err(error), _) => Err(ReformatError::Refused { what: chain(error) }),
    };
    // Nothing of the old one may be open when it is unmounted.
    drop(volume);
    drop(root);
    let made = old.and_then(Old::make_anew);
    drop(alone);
    match &made {
        Ok(()) => behind.leave(true)?,
        Err(error) if error.changed_nothing() => behind.leave_untouched()?,
        Err(_) => behind.leave(false)?,
    }
    if let Err(source) = made {
        if source.changed_nothing() {
            let why = chain(&source);
            return Err(Outcome::Refused(Reason::new(Refusal::ModeRefused, why)));
        }
        return Err(Outcome::Failed(StepError::Reformat {
            root: disk.root.clone(),
            source,
        }));
    }
    let after = sys
        .open_root(disk.root.as_path())
        .ok()
        .and_then(|root| sys.space(&root).ok());
    let (freed, files) = match (before, after) {
        (Ok(before), Some(after)) => (
            Some(after.free_bytes.saturating_sub(before.free_bytes)),
            before.used_inodes.saturating_sub(after.used_inodes),
        ),
        (Ok(_) | Err(_), _) => (None, 0),
    };
    Ok(done(
        "empty_mount",
        plan,
        authorization,
        disk.root.clone(),
        &WipeReport {
            files,
            dirs: 0,
            subvolumes: 0,
            still_open: None,
            freed_bytes: freed,
            elapsed: Span(sys.now().saturating_sub(begun)),
            complete: true,
            left: Vec::new(),
            stopped: None,
            proof: Proof::plain(WipeMode::Reformat),
        },
    ))
}

/// Under `strict` a mode that can't keep its promise here is refused, before anything is touched.
fn promised<S: Sys>(
    sys: &S,
    dir: &S::Dir,
    authorization: &WipeAuthorization,
    control: &Control,
) -> Result<(), Outcome> {
    let method = authorization.method();
    if !method.strict {
        return Ok(());
    }
    promise(sys, dir, method, control)
        .map_err(|broken| Outcome::Refused(Reason::new(Refusal::ModeRefused, broken.to_string())))
}

fn incomplete(authorization: &WipeAuthorization, report: &WipeReport) -> Outcome {
    Outcome::Failed(StepError::Incomplete {
        volume: authorization.volume().clone(),
        what: left_in_words(report),
    })
}

/// What is left, and why: `3 entries are busy (a/b, c), stopped: told to stop`.
fn left_in_words(report: &WipeReport) -> String {
    let mut parts: Vec<String> = report
        .left
        .iter()
        .map(|left| {
            let paths: Vec<String> = left.paths.iter().take(3).map(ToString::to_string).collect();
            format!("{} × {} ({})", left.count, left.kind, paths.join(", "))
        })
        .collect();
    if let Some(reason) = &report.stopped {
        parts.push(reason.to_string());
    }
    parts.push(format!(
        "{} files and {} directories are gone",
        report.files, report.dirs
    ));
    parts.join("; ")
}

fn done(
    step: &'static str,
    plan: &str,
    authorization: &WipeAuthorization,
    path: Raw,
    report: &WipeReport,
) -> Outcome {
    for held in report.still_open.iter().flatten() {
        tracing::warn!(
            volume = %authorization.volume(),
            pid = held.pid,
            files = held.files,
            bytes = held.bytes,
            "the data is gone from its disk's names, but a process holds files of it open; their space \
             comes back when it closes them, or ends"
        );
    }
    Outcome::Done(Box::new(Receipt {
        step,
        plan: plan.to_owned(),
        volume: Some(authorization.volume().clone()),
        disk: authorization.disk().clone(),
        path,
        evidence: Some(authorization.evidence().clone()),
        mode: Some(authorization.method().mode.name()),
        proof: Some(report.proof.clone()),
        files: report.files,
        directories: report.dirs,
        freed_bytes: report.freed_bytes.unwrap_or(0),
        milliseconds: report.elapsed.as_milliseconds(),
        verified: report.complete,
        filesystem: Some(authorization.identity().filesystem.clone()),
    }))
}

/// Logs and records the end of a job that ran apart from its plan.
pub fn record_end(
    store: &Store,
    wall_seconds: i64,
    plan: &str,
    step: &str,
    subject: &str,
    outcome: &Outcome,
) {
    log(plan, step, subject, outcome);
    let line: Option<AuditLine<'_>> = outcome_line(wall_seconds, plan, step, subject, outcome);
    if let Some(line) = line
        && let Err(error) = store.audit(&line)
    {
        tracing::error!(plan.id = plan, step, error = %chain(&error), "the outcome is not in the audit log");
    }
}
