//! A plan and what became of it: `sweep`, `plan`, `GET /v1/plan`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Disk, Name, Why, whys};
use crate::act::executor::StepOutcome;
use crate::act::outcome::Outcome;
use crate::act::wipe::Proof;
use crate::decide::facts::WipeMode;
use crate::decide::plan::Plan;
use crate::decide::steps::{Kept as KeptByPlan, TrashId};
use crate::units::{Bytes, Span, chain};

/// What is to be done, what is left alone and why, and what was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Planned {
    /// The plan's name in logs, manifests and receipts.
    pub plan: String,
    /// What is still to be done: everything in a dry run, nothing after a pass that ended.
    #[cfg_attr(test, schemars(with = "Vec<super::schemas::Object>"))]
    pub steps: Vec<Value>,
    /// What was looked at and is left as it is.
    pub kept: Vec<Kept>,
    /// What is doubtful about the authorities as a whole; empty when all is well.
    pub doubts: Vec<Why>,
    /// What became of each step that was carried out.
    pub outcomes: Vec<Became>,
}

/// Something that is left as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Kept {
    /// The persistence id.
    pub id: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The disk.
    pub disk: Disk,
    /// Where it lies.
    pub path: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// The trash entry, where it is one.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub trash: Option<TrashId>,
    /// Whether a destroy or an overdue orphan waits behind the reasons.
    pub due: bool,
    /// Every reason; never empty.
    pub reasons: Vec<Why>,
}

/// What became of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Became {
    /// `quarantine`, `wipe`, …
    pub step: String,
    /// What it was about, for people.
    pub subject: String,
    /// How it ended.
    pub result: StepResult,
    /// The receipt, the refusal, or why not.
    #[cfg_attr(test, schemars(with = "super::schemas::Anything"))]
    pub detail: Value,
    /// The same in a line for people.
    pub text: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum StepResult {
    /// It was so already.
    Identity,
    /// Done; the detail is the receipt.
    Done,
    /// It is under way.
    Started,
    /// The world moved since the plan; the next pass plans anew.
    Stale,
    /// A guard refused.
    Refused,
    /// It was tried and did not work.
    Failed,
}

/// A plan with what became of earlier ones of the same pass.
#[must_use]
pub fn planned(plan: &Plan, outcomes: &[StepOutcome]) -> Planned {
    Planned {
        plan: plan.id.clone(),
        steps: plan.steps.iter().map(|step| json!(step)).collect(),
        kept: plan.kept.iter().map(kept).collect(),
        doubts: whys(&plan.doubts),
        outcomes: outcomes.iter().map(became).collect(),
    }
}

fn kept(kept: &KeptByPlan) -> Kept {
    let path = Name::from(&kept.path);
    Kept {
        id: kept.volume.as_ref().map(|volume| volume.id.to_string()),
        role: kept.volume.as_ref().map(|volume| volume.role.to_string()),
        disk: Disk::from(&kept.disk),
        path: path.text,
        path_base64: path.base64,
        trash: kept.trash.as_ref().map(|(id, _)| id.clone()),
        due: kept.due,
        reasons: whys(&kept.reasons),
    }
}

impl Became {
    /// A step of which nobody saw the end.
    pub(in crate::daemon) fn unseen(step: &str, subject: &str) -> Self {
        let why = "its end was not seen; the audit log tells it";
        Self {
            step: step.to_owned(),
            subject: subject.to_owned(),
            result: StepResult::Stale,
            detail: json!(why),
            text: format!("{step}: {subject}: {why}"),
        }
    }
}

/// What became of a step.
#[must_use]
pub fn became(step: &StepOutcome) -> Became {
    let (result, detail) = match &step.outcome {
        Outcome::Identity => (StepResult::Identity, Value::Null),
        Outcome::Done(receipt) => (StepResult::Done, json!(receipt)),
        Outcome::Started => (StepResult::Started, Value::Null),
        Outcome::Stale(why) => (StepResult::Stale, json!(why)),
        Outcome::Refused(reason) => (StepResult::Refused, json!(reason)),
        Outcome::Failed(error) => (StepResult::Failed, json!(chain(error))),
    };
    Became {
        step: step.step.to_owned(),
        text: outcome_text(step),
        subject: step.subject.clone(),
        result,
        detail,
    }
}

/// What became of a step, in one line.
fn outcome_text(step: &StepOutcome) -> String {
    let StepOutcome {
        step: name,
        subject,
        outcome,
    } = step;
    match outcome {
        Outcome::Identity => format!("{name}: {subject}: was so already"),
        Outcome::Done(receipt) if receipt.mode.is_some() => format!(
            "{name}: {subject}: done, {} files and {} directories gone in {}, {} more free{}",
            receipt.files,
            receipt.directories,
            Span::milliseconds(receipt.milliseconds),
            Bytes(receipt.freed_bytes),
            receipt.proof.as_ref().map(proof_text).unwrap_or_default()
        ),
        Outcome::Done(_) => format!("{name}: {subject}: done"),
        Outcome::Started => format!("{name}: {subject}: under way"),
        Outcome::Stale(why) => format!("{name}: {subject}: not done, {why}"),
        Outcome::Refused(reason) => {
            format!(
                "{name}: {subject}: refused, {reason}; {}",
                reason.code.remedy()
            )
        }
        Outcome::Failed(error) => format!("{name}: {subject}: failed, {}", chain(error)),
    }
}

/// What was reached of a promise that is more than giving the space back.
fn proof_text(proof: &Proof) -> String {
    if proof.mode == WipeMode::Unlink.name() {
        return String::new();
    }
    let mut parts = vec![match proof.instead {
        Some(instead) => format!("; {} {} to {instead}", proof.mode, proof.guarantee),
        None => format!("; {} {}", proof.mode, proof.guarantee),
    }];
    for (bytes, what) in [
        (proof.overwritten_bytes, "overwritten"),
        (proof.discarded_bytes, "discarded"),
        (proof.read_back_bytes, "read back"),
    ] {
        if bytes > 0 {
            parts.push(format!("{} {what}", Bytes(bytes)));
        }
    }
    let mut lines = vec![parts.join(", ")];
    lines.extend(
        proof
            .short
            .iter()
            .map(|short| format!("            short: {short}")),
    );
    lines.join("\n")
}
