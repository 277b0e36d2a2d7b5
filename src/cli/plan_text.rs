//! A plan and its outcomes, for people and for programs.

use super::Text;
use crate::daemon::answers::plan::{Kept, Planned, StepResult, planned};
use crate::decide::facts::{WipeMethod, WipeMode};
use crate::decide::guards::Refusal;
use crate::decide::plan::Plan;
use crate::decide::steps::{Barrier, Step, TrashPlace, WipeAuthorization};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Span;

/// The plan: one line a step with its evidence, one line a volume that is kept although its time
/// has come, and a summary.
#[must_use]
pub fn plan_text(plan: &Plan) -> String {
    let mut text = Text::new();
    for step in &plan.steps {
        text.line(step_text(step));
    }
    let mut text = text.into_string();
    text.push_str(&kept_text(&planned(plan, &[])));
    text
}

/// What one step would do.
fn step_text(step: &Step) -> String {
    match step {
        Step::AdoptRoot { disk, root, .. } => {
            format!("remember    {disk} as {} {}", root.fs_type, root.filesystem)
        }
        Step::Quarantine {
            place, manifest, ..
        } => format!(
            "quarantine  {} at {}: {}; {}",
            place.volume,
            place.path(),
            manifest.evidence,
            after(manifest.retention)
        ),
        Step::Clear { entry } => format!(
            "clear       {} in trash entry {}: nobody names it; {}",
            entry.manifest.volume,
            entry.manifest.id,
            after(entry.manifest.retention)
        ),
        Step::PutBack { entry } => format!(
            "put back    {} from trash entry {}: it is named again, or that can't be told",
            entry.manifest.volume, entry.manifest.id
        ),
        Step::Void { entry } => {
            format!(
                "remove      trash entry {}: it holds no data",
                entry.manifest.id
            )
        }
        Step::Wipe {
            authorization,
            entry,
        } => format!(
            "wipe        {} in trash entry {} on {}: {}{}",
            entry.manifest.volume,
            entry.manifest.id,
            entry.disk,
            entry.manifest.evidence,
            by(authorization.method())
        ),
        Step::EmptyMount {
            authorization,
            fill_only,
            barrier,
            ..
        } => empty_text(authorization, *fill_only, *barrier),
        Step::MoveOut {
            authorization,
            entry,
            barrier,
        } => move_text(authorization, entry, *barrier),
        Step::Bar { volume, disk, .. } => bar_text(volume.as_ref(), disk),
        Step::Restore { entry, .. } => format!(
            "restore     {} from trash entry {}: an operator wants it back",
            entry.manifest.volume, entry.manifest.id
        ),
        Step::Adopt { at, mark } => format!(
            "adopt       {} on {}: an operator wants it kept",
            mark.volume, at.disk
        ),
        Step::Unadopt { at, mark, why } => {
            format!("unadopt     {} on {}: {why}", mark.volume, at.disk)
        }
        Step::Tidy { at, id } => {
            format!("remove      trash entry {id} on {}: it is empty", at.disk)
        }
        Step::Call {
            call, volume, disk, ..
        } => format!("call        {} for {volume} on {disk}", call.change),
        Step::Confirm { entry, .. } => format!(
            "confirm     {} in trash entry {}: the agent's checkpoint names it no more; {}",
            entry.manifest.volume,
            entry.manifest.id,
            after(entry.manifest.retention)
        ),
        Step::OpenGate => "open gate   no MOUNT disk is to be emptied any more".to_owned(),
        Step::Create { place } => {
            format!(
                "create      {} for held volume {}",
                place.path(),
                place.volume
            )
        }
    }
}

fn empty_text(authorization: &WipeAuthorization, fill_only: bool, barrier: Barrier) -> String {
    format!(
        "{} {} of {}: {}; {}{}",
        if fill_only {
            "end empty  "
        } else {
            "empty      "
        },
        authorization.disk(),
        authorization.volume(),
        authorization.evidence(),
        meanwhile(barrier),
        by(authorization.method())
    )
}

fn move_text(authorization: &WipeAuthorization, entry: &TrashPlace, barrier: Barrier) -> String {
    format!(
        "move out    {} of {} into trash entry {}: {}; {}",
        authorization.disk(),
        authorization.volume(),
        entry.manifest.id,
        authorization.evidence(),
        meanwhile(barrier)
    )
}

fn bar_text(volume: Option<&VolumeKey>, disk: &DiskRef) -> String {
    match volume {
        Some(volume) => format!("reserve     {disk} while the data of {volume} is wiped from it"),
        None => format!("unreserve   {disk}: nothing is left to be wiped from it"),
    }
}

/// What keeps Mesos from using the disk.
const fn meanwhile(barrier: Barrier) -> &'static str {
    match barrier {
        Barrier::Gate => "agents are held back meanwhile",
        Barrier::Reservation => "it is reserved to mesos-volumed meanwhile",
    }
}

/// How, where it is more than giving the space back.
fn by(method: WipeMethod) -> String {
    match (method.mode, method.strict) {
        (WipeMode::Unlink, _) => String::new(),
        (mode, false) => format!("; by {mode}"),
        (mode, true) => format!("; by {mode}, strictly"),
    }
}

fn after(retention: Span) -> String {
    if retention == Span::ZERO {
        "wiped after a second look".to_owned()
    } else {
        format!("wiped {retention} after a second look")
    }
}

/// Doubts, what is kept back although its time has come, what somebody should look at, and a summary.
#[must_use]
pub fn kept_text(planned: &Planned) -> String {
    let mut text = Text::new();
    for doubt in &planned.doubts {
        text.line(format_args!(
            "doubt       {}: {}; {}",
            doubt.code, doubt.reason, doubt.remedy
        ));
    }
    for kept in planned.kept.iter().filter(|kept| kept.due) {
        for (number, why) in kept.reasons.iter().enumerate() {
            let what = if number == 0 { "kept" } else { "and" };
            text.line(format_args!(
                "{what:<11} {}: {}: {}",
                name(kept),
                why.code,
                why.reason
            ));
            let next = kept
                .reasons
                .get(number.saturating_add(1))
                .map(|next| next.code);
            if next != Some(why.code) {
                text.line(format_args!("            → {}", why.remedy));
            }
        }
    }
    for kept in planned.kept.iter().filter(|kept| !kept.due) {
        for why in kept.reasons.iter().filter(|why| is_told(kept, why.code)) {
            text.line(format_args!(
                "told        {}: {}: {}",
                name(kept),
                why.code,
                why.reason
            ));
        }
    }
    let due = planned.kept.iter().filter(|kept| kept.due).count();
    let rest = planned.kept.len().saturating_sub(due);
    let done = planned
        .outcomes
        .iter()
        .filter(|step| matches!(step.result, StepResult::Done | StepResult::Identity))
        .count();
    let steps = match (done, planned.steps.len()) {
        (0, to_do) => format!("{} to do", steps(to_do)),
        (done, 0) => format!("{} done", steps(done)),
        (done, to_do) => format!("{} done, {to_do} to do", steps(done)),
    };
    text.line(format_args!(
        "{steps}, {due} kept back, {rest} left as they are"
    ));
    text.into_string()
}

/// Whether somebody should look at it although nothing is due: what a volume left on a MOUNT disk, which
/// is never an orphan, and a destroy of ours that was cut short.
fn is_told(kept: &Kept, code: Refusal) -> bool {
    code == Refusal::Unconfirmed
        || (code == Refusal::ReportOnly && kept.disk.kind == DiskType::Mount)
}

fn steps(count: usize) -> String {
    match count {
        0 => "nothing".to_owned(),
        1 => "1 step".to_owned(),
        n => format!("{n} steps"),
    }
}

fn name(kept: &Kept) -> String {
    match (&kept.role, &kept.id, &kept.trash) {
        (Some(role), Some(id), Some(entry)) => format!("{role}/{id} (trash entry {entry})"),
        (Some(role), Some(id), None) => format!("{role}/{id} at {}", kept.path),
        (None, _, _) | (_, None, _) => kept.path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::daemon::answers::plan::Became;

    #[test]
    fn the_last_line_tells_what_was_done_and_what_is_left_to_do() {
        let last = |planned: &Planned| kept_text(planned).lines().last().map(str::to_owned);
        let mut ran = Planned {
            plan: String::new(),
            steps: Vec::new(),
            kept: Vec::new(),
            doubts: Vec::new(),
            outcomes: Vec::new(),
        };
        let nothing = "nothing to do, 0 kept back, 0 left as they are";
        assert_eq!(last(&ran).as_deref(), Some(nothing));
        for result in [StepResult::Done, StepResult::Failed, StepResult::Identity] {
            ran.outcomes.push(Became {
                step: "wipe".to_owned(),
                subject: "prod/db".to_owned(),
                result,
                detail: Value::Null,
                text: String::new(),
            });
        }
        let done = "2 steps done, 0 kept back, 0 left as they are";
        assert_eq!(last(&ran).as_deref(), Some(done));
        ran.steps.push(Value::Null);
        let more = "2 steps done, 1 to do, 0 kept back, 0 left as they are";
        assert_eq!(last(&ran).as_deref(), Some(more));
    }
}
