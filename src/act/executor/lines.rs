//! What the audit log and the log say of a step: its name, what it is about, a line before it and one after.

use serde::Serialize;

use super::{Desk, bar_name};
use crate::act::outcome::{Outcome, Receipt, StepError};
use crate::act::sys::Sys;
use crate::decide::facts::Who;
use crate::decide::steps::Step;
use crate::units::chain;

/// Whether a step changes what tenants can see, and so has its two lines in the audit log.
pub(super) fn audited(step: &Step) -> bool {
    match step {
        Step::Quarantine { .. }
        | Step::PutBack { .. }
        | Step::Wipe { .. }
        | Step::EmptyMount { .. }
        | Step::MoveOut { .. }
        | Step::Restore { .. }
        | Step::Adopt { .. }
        | Step::Unadopt { .. }
        | Step::Call { .. }
        | Step::Confirm { .. }
        | Step::Bar { .. }
        | Step::Create { .. } => true,
        Step::AdoptRoot { .. }
        | Step::Clear { .. }
        | Step::Void { .. }
        | Step::Tidy { .. }
        | Step::OpenGate => false,
    }
}

pub(super) fn step_name(step: &Step) -> &'static str {
    match step {
        Step::AdoptRoot { .. } => "adopt_root",
        Step::Quarantine { .. } => "quarantine",
        Step::Clear { .. } => "clear",
        Step::PutBack { .. } => "put_back",
        Step::Void { .. } => "void",
        Step::Wipe { .. } => "wipe",
        Step::EmptyMount { .. } => "empty_mount",
        Step::MoveOut { .. } => "move_out",
        Step::Call { .. } => "call",
        Step::Confirm { .. } => "confirm",
        Step::OpenGate => "open_gate",
        Step::Bar { call, .. } => bar_name(call),
        Step::Restore { .. } => "restore",
        Step::Adopt { .. } => "adopt",
        Step::Unadopt { .. } => "unadopt",
        Step::Tidy { .. } => "tidy",
        Step::Create { .. } => "create",
    }
}

pub(super) fn subject(step: &Step) -> String {
    match step {
        Step::AdoptRoot { disk, .. } => disk.to_string(),
        Step::Quarantine { place, .. } | Step::Create { place } => {
            format!("{} on {}", place.volume, place.disk)
        }
        Step::Clear { entry }
        | Step::PutBack { entry }
        | Step::Void { entry }
        | Step::Restore { entry, .. }
        | Step::Confirm { entry, .. }
        | Step::Wipe { entry, .. } => format!(
            "{} (trash entry {}) on {}",
            entry.manifest.volume, entry.manifest.id, entry.disk
        ),
        Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
            format!("{} on {}", authorization.volume(), authorization.disk())
        }
        Step::Adopt { at, mark } | Step::Unadopt { at, mark, .. } => {
            format!("{} on {}", mark.volume, at.disk)
        }
        Step::Tidy { at, id } => format!("empty trash entry {id} on {}", at.disk),
        Step::Call {
            call, volume, disk, ..
        } => format!("{} of {volume} on {disk}", call.change),
        Step::OpenGate => "the gate".to_owned(),
        Step::Bar { call, disk, .. } => format!("{} of {disk}", call.change),
    }
}

/// A line of the audit log.
#[derive(Debug, Serialize)]
pub(in crate::act) struct AuditLine<'a> {
    pub(in crate::act) at: i64,
    pub(in crate::act) plan: &'a str,
    pub(in crate::act) step: &'a str,
    pub(in crate::act) subject: &'a str,
    pub(in crate::act) event: &'a str,
    /// Whose word it follows; on the first line of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::act) by: Option<&'a Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::act) receipt: Option<&'a Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::act) why: Option<String>,
}

/// The line before a step; without it nothing is done.
pub(super) fn intent<S: Sys>(
    desk: &Desk<S>,
    plan: &str,
    step: &str,
    subject: &str,
    by: Option<&Who>,
) -> Result<(), StepError> {
    tracing::info!(plan.id = plan, step, subject, "begins");
    desk.store.audit(&AuditLine {
        by,
        at: (desk.wall_seconds)(),
        plan,
        step,
        subject,
        event: "begin",
        receipt: None,
        why: None,
    })?;
    Ok(())
}

/// The outcome's line. It can't be written: the world has changed all the same, so that is logged.
pub(super) fn record<S: Sys>(
    desk: &Desk<S>,
    plan: &str,
    step: &str,
    subject: &str,
    outcome: &Outcome,
) {
    let line = outcome_line((desk.wall_seconds)(), plan, step, subject, outcome);
    if let Some(line) = line
        && let Err(error) = desk.store.audit(&line)
    {
        tracing::error!(plan.id = plan, step, error = %chain(&error), "the outcome is not in the audit log");
    }
}

pub(in crate::act) fn outcome_line<'a>(
    at: i64,
    plan: &'a str,
    step: &'a str,
    subject: &'a str,
    outcome: &'a Outcome,
) -> Option<AuditLine<'a>> {
    let (event, receipt, why) = match outcome {
        Outcome::Identity => ("was so already", None, None),
        Outcome::Done(receipt) => ("done", Some(receipt.as_ref()), None),
        // Its end has a line of its own.
        Outcome::Started => return None,
        Outcome::Stale(why) => ("stale", None, Some(why.clone())),
        Outcome::Refused(reason) => ("refused", None, Some(reason.to_string())),
        Outcome::Failed(error) => ("failed", None, Some(chain(error))),
    };
    Some(AuditLine {
        by: None,
        at,
        plan,
        step,
        subject,
        event,
        receipt,
        why,
    })
}

/// Logs what became of a step, in one line.
pub(in crate::act) fn log(plan: &str, step: &str, subject: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Identity => tracing::info!(plan.id = plan, step, subject, "was so already"),
        Outcome::Done(receipt) => tracing::info!(
            plan.id = plan,
            step,
            subject,
            files = receipt.files,
            directories = receipt.directories,
            freed_bytes = receipt.freed_bytes,
            milliseconds = receipt.milliseconds,
            "done"
        ),
        Outcome::Started => tracing::debug!(plan.id = plan, step, subject, "handed to a worker"),
        Outcome::Stale(why) => {
            tracing::info!(
                plan.id = plan,
                step,
                subject,
                why,
                "the world moved, planning again"
            );
        }
        Outcome::Refused(reason) => {
            tracing::warn!(plan.id = plan, step, subject, refusal = %reason, "refused, keeping the volume");
        }
        Outcome::Failed(error) => {
            tracing::error!(plan.id = plan, step, subject, error = %chain(error), "failed");
        }
    }
}
