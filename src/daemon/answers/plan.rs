//! A plan and what became of it: `sweep`, `plan`, `GET /v1/plan`.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Disk, Name, Why, whys};
use crate::act::executor::StepOutcome;
use crate::act::outcome::Outcome;
use crate::decide::plan::Plan;
use crate::decide::steps::{Kept as KeptByPlan, Step, TrashId};
use crate::units::chain;

/// What is to be done, what is left alone and why, and what was done.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Planned {
    /// The plan's name in logs, manifests and receipts.
    pub plan: String,
    /// What is still to be done: everything in a dry run, nothing after a pass that ended.
    #[cfg_attr(test, schemars(with = "Vec<super::schemas::Object>"))]
    pub steps: Vec<Step>,
    /// What was looked at and is left as it is.
    pub kept: Vec<Kept>,
    /// What is doubtful about the authorities as a whole; empty when all is well.
    pub doubts: Vec<Why>,
    /// What became of each step that was carried out.
    pub outcomes: Vec<Became>,
}

/// Something that is left as it is.
#[derive(Clone, Debug, Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Became {
    /// `quarantine`, `wipe`, …
    pub step: &'static str,
    /// What it was about, for people.
    pub subject: String,
    /// How it ended.
    pub result: StepResult,
    /// The receipt, the refusal, or why not.
    #[cfg_attr(test, schemars(with = "super::schemas::Anything"))]
    pub detail: Value,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
        steps: plan.steps.clone(),
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
        step: step.step,
        subject: step.subject.clone(),
        result,
        detail,
    }
}
