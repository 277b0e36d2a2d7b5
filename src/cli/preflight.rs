//! `preflight`: will the agent recover? With `--gate` it stands before an agent's start.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Align, Context, Exit, Table, Text};
use crate::daemon::preflight::{ObserveError, Request, from_environment, observe};
use crate::decide::facts::{Detected, FlagText, Known, ReconfigurationPolicy};
use crate::decide::preflight::compare::Line;
use crate::decide::preflight::{Check, PreflightInput, PreflightReport, Verdict, preflight};
use crate::observe::gate;
use crate::units::{Raw, Span};

/// How long an agent's start waits before it is refused; systemd then tries again.
const PATIENCE: Span = Span::seconds(60);

/// How often the gate is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// A `--resources` has some hundred bytes a disk.
const LONGEST_TEXT: u64 = 16 << 20;

/// Tell whether the agent will recover with its resources, before it starts
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Does an agent's checks at its start beforehand, in its order: the text of --resources, the \
        disks that it names, resources that were not committed, whether everything reserved fits, whether \
        what the agent says of itself is what it registered with, and operations that were pending. Says \
        recovers, refuses (in the agent's own words), becomes a new agent id, or cannot tell, and the \
        smallest edit that keeps the agent. Makes and changes nothing.",
    after_help = "\
Example: mesos-volumed resources | mesos-volumed preflight --resources -
  judges what would be written, before it is
Example: ExecStartPre=/usr/bin/mesos-volumed preflight --gate
  in a drop-in of the agent's unit; see systemd/mesos-agent.service.d

Exit codes: 0 recovers, 4 becomes a new agent id, 5 refuses, 7 cannot tell. With --gate: 5 the agent
would refuse, or a MOUNT disk is still being emptied after a minute; otherwise 0, with a warning. A
refusal that hangs on flags which its unit, its environment and the packages' files do not tell for
certain is a warning too: name them with --resources and --policy."
)]
pub(super) struct Args {
    /// The agent's --reconfiguration_policy [default: what the agent's flags say, or else
    /// resources.policy]
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    policy: Option<ReconfigurationPolicy>,
    /// Judge this text, `-` for standard input [default: what the agent's flags say, or else the
    /// file of resources.write_to]
    #[arg(long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Judge a start after a reboot [default: what meta/boot_id says]
    #[arg(long)]
    rebooted: bool,
    /// Stand before an agent's start: wait up to a minute while a MOUNT disk is emptied, then fail
    /// only if the agent would refuse
    #[arg(long)]
    gate: bool,
}

fn policy(text: &str) -> Result<ReconfigurationPolicy, String> {
    ReconfigurationPolicy::named(text).ok_or_else(|| "write equal or additive".to_owned())
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.gate {
        return gate(args, context);
    }
    let input = match input(args, context) {
        Ok(input) => input,
        Err(error) => return untold(error, context),
    };
    let report = preflight(&input);
    context.output.value_or(&json(&input, &report), |output| {
        text(&input, &report, |table| output.rendered(table))
    })?;
    Ok(exit(&report.verdict))
}

/// Nobody knows what the agent is started with: not a failure of ours.
fn untold(error: anyhow::Error, context: &Context) -> anyhow::Result<Exit> {
    let is_untold = matches!(
        error.downcast_ref(),
        Some(ObserveError::NoText { .. } | ObserveError::Written { .. })
    );
    if !is_untold {
        return Err(error);
    }
    let verdict = Verdict::CannotTell {
        why: vec![format!("{error:#}")],
    };
    let value = json!({"verdict": word(&verdict), "why": [format!("{error:#}")]});
    context
        .output
        .value_or(&value, |_| format!("{}\n", sentence(&verdict)))?;
    Ok(exit(&verdict))
}

fn exit(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Recovers { .. } => Exit::Done,
        Verdict::NewAgentId { .. } => Exit::Degraded,
        Verdict::Refuses { .. } => Exit::Refused,
        Verdict::CannotTell { .. } => Exit::CannotTell,
    }
}

fn input(args: &Args, context: &Context) -> anyhow::Result<PreflightInput> {
    let text = args.resources.as_deref().map(read).transpose()?;
    let request = Request {
        text,
        policy: args.policy,
        rebooted: args.rebooted,
        in_unit: args.gate,
    };
    Ok(observe(context.settings(), &request)?)
}

/// The text of a file: as it is, or of the variable in an environment file.
fn read(file: &Path) -> anyhow::Result<FlagText> {
    let mut bytes = Vec::new();
    let from = if file.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(LONGEST_TEXT)
            .read_to_end(&mut bytes)
            .context("standard input can't be read")?;
        "standard input".to_owned()
    } else {
        let name = Raw::from(file);
        let opened =
            std::fs::File::open(file).with_context(|| format!("{name} can't be opened"))?;
        opened
            .take(LONGEST_TEXT)
            .read_to_end(&mut bytes)
            .with_context(|| format!("{name} can't be read"))?;
        name.to_string()
    };
    let text = String::from_utf8(bytes).with_context(|| format!("{from} is not UTF-8"))?;
    let has_variable = text
        .lines()
        .any(|line| line.trim_start().starts_with("MESOS_RESOURCES="));
    let text = if has_variable {
        from_environment(&text)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("{from} can't be used"))?
    } else {
        text
    };
    Ok(FlagText { text, from })
}

/// Waits for the gate, and then fails only if the agent would refuse.
fn gate(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(why) = closed(context) {
        context.output.text(&format!(
            "the gate stayed closed: {why}; let mesos-volumed finish (`systemctl start \
             mesos-volumed`, or `mesos-volumed sweep`), then start the agent\n"
        ))?;
        return Ok(Exit::Refused);
    }
    let input = match input(args, context) {
        Ok(input) => input,
        // What we can't find out is no reason to keep an agent down.
        Err(error) => {
            tracing::warn!("whether the agent recovers can't be told, ignoring: {error:#}");
            return Ok(Exit::Done);
        }
    };
    let report = preflight(&input);
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    match &report.verdict {
        Verdict::Recovers { .. } => Ok(Exit::Done),
        // The start that fails is what mends it.
        Verdict::Refuses {
            once: true, text, ..
        } => {
            tracing::warn!("this start of the agent fails, and the next one does not: {text}");
            Ok(Exit::Done)
        }
        Verdict::Refuses { text, check, .. } => {
            if let Some(unless) = unless(args, &input, *check) {
                tracing::warn!(
                    "the agent refuses to start unless {unless}: {}",
                    first_line(text)
                );
                return Ok(Exit::Done);
            }
            context.output.text(&self::text(&input, &report, |table| {
                context.output.rendered(table)
            }))?;
            Ok(Exit::Refused)
        }
        Verdict::NewAgentId { why } => {
            tracing::warn!("the agent becomes a new agent id: {}", first_line(why));
            Ok(Exit::Done)
        }
        Verdict::CannotTell { why } => {
            tracing::warn!(
                "whether the agent recovers can't be told, ignoring: {}",
                why.join("; ")
            );
            Ok(Exit::Done)
        }
    }
}

/// What is not certain about a refusal; no reason to keep the agent down.
fn unless(args: &Args, input: &PreflightInput, check: Check) -> Option<String> {
    let flags = &input.flags;
    if hangs_on_flags(check)
        && args.resources.is_none()
        && (flags.resources.why().is_some() || !flags.source.is_sure())
    {
        return Some(format!(
            "it is started with other flags than {} has (say which: preflight --gate --resources \
             FILE)",
            Raw::from(input.text.from.as_str())
        ));
    }
    let refuses =
        |input: &PreflightInput| matches!(preflight(input).verdict, Verdict::Refuses { .. });
    let mut other = input.clone();
    if args.policy.is_none() && input.flags.policy.why().is_some() {
        other.policy = ReconfigurationPolicy::Additive;
        if !refuses(&other) {
            return Some(
                "it has --reconfiguration_policy=additive, which can't be told here (say it: \
                 preflight --gate --policy POLICY)"
                    .to_owned(),
            );
        }
    }
    // The agent counts with its own eyes, which a container may have changed.
    let why = || "the agent counts by itself".to_owned();
    other.facts.detected = Detected {
        cpus: Known::unknown(why()),
        memory: Known::unknown(why()),
        disk: Known::unknown(why()),
    };
    (!refuses(&other)).then(|| {
        "it detects the cpus, mem and disk that it registered with, and not what is seen here \
         (name them in its --resources)"
            .to_owned()
    })
}

/// Whether a check may end otherwise with other flags.
fn hangs_on_flags(check: Check) -> bool {
    match check {
        Check::Resources | Check::Disks | Check::Flags | Check::Fit | Check::Policy => true,
        Check::Checkpoint | Check::Replay | Check::Operations => false,
    }
}

/// Why the gate stayed closed; `None` when it is open.
fn closed(context: &Context) -> Option<String> {
    let state_dir = Raw::from(context.settings().daemon.state_dir.as_path());
    let mut waited = Duration::ZERO;
    loop {
        let why = match gate::closed_for(&state_dir) {
            Known::Absent => return None,
            Known::Known(roots) => {
                let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
                format!("{} is being emptied", roots.join(", "))
            }
            Known::Unknown(why) => why.to_string(),
        };
        if waited.is_zero() {
            tracing::warn!("the gate is closed: {why}; waiting up to {PATIENCE}");
        }
        if waited >= PATIENCE.0 {
            return Some(why);
        }
        std::thread::sleep(EVERY);
        waited = waited.saturating_add(EVERY);
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}

/// The word for a verdict in output.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Recovers { .. } => "recovers",
        Verdict::NewAgentId { .. } => "new_agent_id",
        Verdict::Refuses { .. } => "refuses",
        Verdict::CannotTell { .. } => "cannot_tell",
    }
}

/// The verdict in a sentence.
pub(super) fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Recovers { first_start: true } => "the agent starts for the first time".to_owned(),
        Verdict::Recovers { first_start: false } => "the agent recovers".to_owned(),
        Verdict::NewAgentId { why } => format!(
            "the agent becomes a new agent id, and keeps its volumes: {}",
            first_line(why)
        ),
        Verdict::Refuses {
            check, once: false, ..
        } => format!("the agent refuses to start (check: {check})"),
        Verdict::Refuses {
            check, once: true, ..
        } => format!("the agent refuses to start once (check: {check}), and not a second time"),
        Verdict::CannotTell { why } => {
            format!(
                "whether the agent recovers can't be told: {}",
                why.join("; ")
            )
        }
    }
}

fn text(
    input: &PreflightInput,
    report: &PreflightReport,
    rendered: impl Fn(&Table) -> String,
) -> String {
    let mut text = Text::new();
    text.line(sentence(&report.verdict));
    text.line(format_args!(
        "  resources of {}, policy {}, flags of {}{}",
        Raw::from(input.text.from.as_str()),
        input.policy,
        input.flags.source,
        match input.rebooted {
            Known::Known(true) => ", after a reboot",
            Known::Known(false) | Known::Absent | Known::Unknown(_) => "",
        }
    ));
    if let Verdict::Refuses { text: said, .. } = &report.verdict {
        text.line("the agent would say:");
        for line in said.lines() {
            text.line(format_args!("  {}", Raw::from(line)));
        }
    }
    if let Some(hint) = &report.hint {
        text.line(format_args!("hint: {hint}"));
    }
    if !report.differences.is_empty() {
        text.line("what differs from what it registered with:");
        for line in rendered(&differences(&report.differences)).lines() {
            text.line(format_args!("  {line}"));
        }
    }
    for deletion in &report.deletes {
        text.line(format_args!(
            "the start deletes {} ({}): the rest of a DESTROY",
            deletion.path, deletion.volume
        ));
    }
    remedy(&mut text, report);
    for warning in &report.warnings {
        text.line(format_args!("warning: {}", Raw::from(warning.as_str())));
    }
    text.into_string()
}

fn differences(lines: &[Line]) -> Table {
    let mut table = Table::new(&[
        ("WHAT", Align::Left),
        ("REGISTERED", Align::Right),
        ("NOW", Align::Right),
    ]);
    for line in lines {
        let dash = || "-".to_owned();
        table.row([
            line.what.clone(),
            line.before.clone().unwrap_or_else(dash),
            line.after.clone().unwrap_or_else(dash),
        ]);
    }
    table
}

fn remedy(text: &mut Text, report: &PreflightReport) {
    let remedy = &report.remedy;
    if !remedy.edits.is_empty() {
        text.line("to keep the agent:");
        for edit in &remedy.edits {
            text.line(format_args!("  {}", Raw::from(edit.to_string())));
        }
    }
    if let Some(policy) = remedy.policy {
        text.line(format_args!(
            "or start it as it is with --reconfiguration_policy={policy} (masters since 1.5)"
        ));
    }
    if let Some(why) = &remedy.no_edit {
        text.line(Raw::from(why.as_str()));
    }
    if !remedy.ways.is_empty() {
        text.line("what gets it up, the least harm first:");
        for way in &remedy.ways {
            text.line(format_args!("  {}", Raw::from(way.as_str())));
        }
    }
}

fn json(input: &PreflightInput, report: &PreflightReport) -> Value {
    let remedy = &report.remedy;
    let mut value = json!({
        "verdict": word(&report.verdict),
        "policy": input.policy.to_string(),
        "rebooted": input.rebooted.known(),
        "resources_from": input.text.from,
        "flags_from": input.flags.source.to_string(),
        "hint": report.hint,
        "resources": report
            .resources
            .entries()
            .iter()
            .map(|entry| json!({"what": entry.label(), "value": entry.value_text()}))
            .collect::<Vec<_>>(),
        "differences": report
            .differences
            .iter()
            .map(|line| json!({
                "what": line.what,
                "registered": line.before,
                "now": line.after,
                "change": line.change().as_str(),
            }))
            .collect::<Vec<_>>(),
        "deletes": report
            .deletes
            .iter()
            .map(|deletion| json!({
                "id": deletion.volume.id,
                "role": deletion.volume.role,
                "path": deletion.path,
            }))
            .collect::<Vec<_>>(),
        "remedy": {
            "edits": remedy.edits.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "policy": remedy.policy.map(|policy| policy.to_string()),
            "no_edit": remedy.no_edit,
            "ways": remedy.ways,
        },
        "warnings": report.warnings,
    });
    let mut set = |key: &str, more: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(key.to_owned(), more);
        }
    };
    match &report.verdict {
        Verdict::Recovers { first_start } => set("first_start", json!(first_start)),
        Verdict::Refuses { check, text, once } => {
            set("check", json!(check.as_str()));
            set("text", json!(text));
            set("once", json!(once));
        }
        Verdict::NewAgentId { why } => set("why", json!([why])),
        Verdict::CannotTell { why } => set("why", json!(why)),
    }
    value
}
