//! `doctor`: what is wrong with this host, and how it is mended.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::volumes::usage;
use super::{Context, Exit, Text, WithExit};
use crate::act::doctor::fix;
use crate::act::sys::Kernel;
use crate::daemon::doctor::Looked;
use crate::decide::doctor::{Finding, Fix, Severity};
use crate::decide::facts::VolumeUse;
use crate::decide::listing;
use crate::mesos::disk::DiskType;
use crate::observe::clock;
use crate::units::{Bytes, Raw, chain};

/// Find what is wrong with this host and how to mend it, the most harmful first
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Checks the host end to end: the agent's next start, its checkpoints and what keeps it from \
        deleting a volume, roots and what is offered of them, mounts at boot, who uses what, what nobody \
        names, our own files. Each finding has a stable code, what was seen, and a remedy. A check that \
        could not look is a finding too. Changes nothing without --fix.",
    after_help = "\
Example: mesos-volumed doctor
  is the first thing to run when an agent does not start
Example: mesos-volumed doctor --output json | jq -r '.findings[] | select(.severity == \"critical\").code'
  for monitoring

Exit codes: 0 nothing, or only notes; 4 something is wrong or could not be checked; 5 --fix without a
terminal and without --yes; 1 an error, or a fix that failed."
)]
pub(super) struct Args {
    /// Also look how much each volume takes up: every entry of every volume
    #[arg(long)]
    usage: bool,
    /// Mend what can be undone: asks for each, and writes down what undoes it
    #[arg(long)]
    fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    yes: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.fix && !args.yes && !std::io::stdin().is_terminal() {
        return Err(anyhow!(
            "--fix asks for each change, and standard input is no terminal; nothing was looked at \
             or done; give --yes to have all of them made"
        ))
        .exit(Exit::Refused);
    }
    let notes = context
        .loaded
        .notes
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut looked = Looked::at(context.settings(), notes)?;
    if args.usage {
        let usage = used(&looked);
        looked = looked.with_usage(usage);
    }
    let findings = looked.findings();
    if !context.output.is_json() {
        context.output.text(&text(&findings))?;
    }
    let fixed = if args.fix {
        mend(&findings, args.yes, context)?
    } else {
        Vec::new()
    };
    if context.output.is_json() {
        context
            .output
            .json(&value(&findings, args.fix.then_some(&fixed)))?;
    }
    if fixed.iter().any(|one| one.outcome.is_err()) {
        return Ok(Exit::Error);
    }
    let worst = findings.iter().map(|finding| finding.severity).min();
    Ok(match worst {
        Some(Severity::Critical | Severity::Error | Severity::Warning) => Exit::Degraded,
        Some(Severity::Note) | None => Exit::Done,
    })
}

/// What each held volume takes up. MOUNT disks are told by their file system's count.
fn used(looked: &Looked) -> Vec<VolumeUse> {
    let rows: Vec<_> = listing::volumes(looked.facts(), looked.plan())
        .into_iter()
        .filter(|row| row.state == listing::VolumeState::Held && row.disk.is_some())
        .collect();
    let used = usage::of_rows(&rows, looked.facts());
    rows.iter()
        .zip(used)
        .filter_map(|(row, used)| {
            let size = row.size?;
            // A MOUNT volume is its disk.
            if row.disk.as_ref()?.kind == DiskType::Mount {
                return None;
            }
            Some(VolumeUse {
                volume: row.key.clone()?,
                path: row.path.clone(),
                size,
                used: used.map(|used| Bytes(used.bytes)),
            })
        })
        .collect()
}

/// A fix, and what became of it.
struct Fixed {
    fix: Fix,
    outcome: Result<bool, String>,
}

fn mend(findings: &[Finding], yes: bool, context: &Context) -> anyhow::Result<Vec<Fixed>> {
    let mut fixed = Vec::new();
    for one in findings.iter().filter_map(|finding| finding.fix.clone()) {
        let wanted = yes || asked(&one)?;
        let outcome = if wanted {
            let state_dir = &context.settings().daemon.state_dir;
            fix(&Kernel::new(), state_dir, clock::wall_seconds(), &one)
                .map(|()| true)
                .map_err(|error| chain(&error))
        } else {
            Ok(false)
        };
        if !context.output.is_json() {
            let mut text = Text::new();
            match &outcome {
                Ok(true) => text.line(format_args!("done: {one}; undone by `{}`", one.undo())),
                Ok(false) => text.line(format_args!("left: {one}")),
                Err(why) => text.line(format_args!("failed: {one}: {why}")),
            }
            context.output.text(&text.into_string())?;
        }
        fixed.push(Fixed { fix: one, outcome });
    }
    Ok(fixed)
}

/// Asks on the terminal; anything but yes is no.
fn asked(fix: &Fix) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{}? [y/N] ", Raw::from(fix.to_string()))?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(findings: &[Finding]) -> String {
    let mut text = Text::new();
    for finding in findings {
        text.line(format_args!(
            "{} {} {}",
            finding.severity.word(),
            finding.code,
            Raw::from(finding.subject.as_str())
        ));
        text.line(format_args!("  {}", Raw::from(finding.evidence.as_str())));
        text.line(format_args!("  → {}", Raw::from(finding.remedy.as_str())));
        if let Some(fix) = &finding.fix {
            text.line(format_args!("  --fix would {}", Raw::from(fix.to_string())));
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let of = [
        Severity::Critical,
        Severity::Error,
        Severity::Warning,
        Severity::Note,
    ];
    let counts: Vec<String> = of
        .into_iter()
        .filter(|severity| count(*severity) > 0)
        .map(|severity| format!("{} {}", count(severity), severity.word()))
        .collect();
    if counts.is_empty() {
        text.line("nothing was found");
    } else {
        text.line(counts.join(", "));
    }
    text.into_string()
}

fn value(findings: &[Finding], fixed: Option<&Vec<Fixed>>) -> Value {
    let found: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "severity": finding.severity,
                "subject": finding.subject,
                "evidence": finding.evidence,
                "remedy": finding.remedy,
                "fixable": finding.fix.is_some(),
                "fix": finding.fix.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let mut value = json!({ "findings": found });
    if let Some(fixed) = fixed
        && let Some(object) = value.as_object_mut()
    {
        let made = fixed.iter().map(|one| {
            json!({
                "fix": one.fix.to_string(),
                "undo": one.fix.undo(),
                "done": one.outcome == Ok(true),
                "error": one.outcome.as_ref().err(),
            })
        });
        object.insert("fixes".to_owned(), made.collect());
    }
    value
}
