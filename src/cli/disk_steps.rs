//! What `disk prepare` and `disk release` print: rules, steps, outcomes.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Context, Exit, Text, WithExit};
use crate::act::prepare::Change;
use crate::decide::facts::PreparedDisk;
use crate::decide::prepare::{DiskStep, Tried};

/// A rule said no: every verdict, and the refusals as the error.
pub(super) fn refused(context: &Context, tried: &[Tried], what: &str) -> anyhow::Result<Exit> {
    context.output.value_or(
        &json!({ "tried": tried, "steps": [], "outcomes": [] }),
        |_| verdicts(tried),
    )?;
    Err(anyhow!("{what}, nothing was changed: {}", refusals(tried))).exit(Exit::Refused)
}

/// What is shown of a decision that every rule passed.
pub(super) struct Shown<'a> {
    pub(super) tried: &'a [Tried],
    /// Only `prepare` shows one.
    pub(super) record: Option<&'a PreparedDisk>,
    pub(super) notes: &'a [String],
}

impl Shown<'_> {
    fn value(&self) -> serde_json::Map<String, Value> {
        let mut value = serde_json::Map::new();
        value.insert("tried".to_owned(), json!(self.tried));
        if let Some(record) = self.record {
            value.insert("record".to_owned(), json!(record));
        }
        value.insert("notes".to_owned(), json!(self.notes));
        value
    }

    /// Rules and commands, of which none is run.
    pub(super) fn dry_run(
        &self,
        context: &Context,
        steps: &[DiskStep],
        more: Option<&str>,
    ) -> anyhow::Result<Exit> {
        let mut value = self.value();
        value.insert("steps".to_owned(), json!(steps_json(steps)));
        value.insert("outcomes".to_owned(), json!([]));
        context.output.value_or(&Value::Object(value), |_| {
            let mut text = Text::new();
            text.line(verdicts(self.tried).trim_end());
            for line in steps.iter().flat_map(DiskStep::commands) {
                text.line(line);
            }
            notes(&mut text, self.notes);
            if let Some(more) = more {
                text.line(more);
            }
            text.into_string()
        })?;
        Ok(Exit::Done)
    }

    /// What became of the steps; `end` where all are done.
    pub(super) fn outcomes(
        &self,
        context: &Context,
        outcomes: &[(Value, String)],
        end: Option<String>,
    ) -> anyhow::Result<()> {
        let mut value = self.value();
        let all: Vec<&Value> = outcomes.iter().map(|(value, _)| value).collect();
        value.insert("outcomes".to_owned(), json!(all));
        context.output.value_or(&Value::Object(value), |_| {
            let mut text = Text::new();
            for (_, line) in outcomes {
                text.line(line);
            }
            if let Some(end) = end {
                text.line(end);
                notes(&mut text, self.notes);
            }
            text.into_string()
        })
    }
}

/// One line a rule.
fn verdicts(tried: &[Tried]) -> String {
    let mut text = Text::new();
    for rule in tried {
        let mark = if rule.passed { "pass" } else { "FAIL" };
        text.line(format_args!(
            "# {mark}  {:<16} {}",
            rule.rule, rule.evidence
        ));
        if let Some(remedy) = &rule.remedy {
            text.line(format_args!("#       {:<16} → {remedy}", ""));
        }
    }
    text.into_string()
}

/// The rules that speak against it, in one line.
fn refusals(tried: &[Tried]) -> String {
    tried
        .iter()
        .filter(|tried| !tried.passed)
        .map(|tried| format!("{}: {}", tried.rule, tried.evidence))
        .collect::<Vec<_>>()
        .join("; ")
}

fn notes(text: &mut Text, notes: &[String]) {
    for note in notes {
        text.line(format_args!("# note: {note}"));
    }
}

fn steps_json(steps: &[DiskStep]) -> Vec<Value> {
    steps
        .iter()
        .map(|step| json!({ "step": step.name(), "commands": step.commands() }))
        .collect()
}

/// What became of a step, as JSON and as a line.
pub(super) fn outcome(step: &DiskStep, change: Change) -> (Value, String) {
    let word = match change {
        Change::Identity => "was so",
        Change::Done => "done",
    };
    let commands = step.commands();
    let first = match step {
        DiskStep::Unit { path, .. } => format!("# write {path}"),
        DiskStep::Format { command, .. } => command.typed(),
        DiskStep::Record { .. }
        | DiskStep::Folder { .. }
        | DiskStep::Protect { .. }
        | DiskStep::Systemd { .. }
        | DiskStep::Mount { .. }
        | DiskStep::Furnish { .. }
        | DiskStep::Unmount { .. }
        | DiskStep::RemoveUnit { .. }
        | DiskStep::Unprotect { .. }
        | DiskStep::RemoveFolder { .. }
        | DiskStep::Retire { .. }
        | DiskStep::Forget { .. } => commands.first().cloned().unwrap_or_default(),
    };
    (
        json!({ "step": step.name(), "outcome": word, "commands": commands }),
        format!("{word:<7} {first}"),
    )
}
