//! `disk release`.

use anyhow::anyhow;
use serde_json::json;

use super::disk_prepare::{lock, notes, of_lock, outcome, refusals, steps_json, verdicts};
use super::{Context, Exit, Text, WithExit};
use crate::act::lock::InstanceLock;
use crate::act::prepare::release;
use crate::act::store::Store;
use crate::daemon::observer::Observer;
use crate::decide::facts::{Known, PreparedDisk, Words};
use crate::decide::prepare::{DiskStep, ReleaseFacts, release as decide};
use crate::observe::prepare::{on_disk, program_path, records, systemd_runs};
use crate::units::Raw;

/// Give a disk back: unmount it, take its units, flags and ledger entry away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed disk release /dcos/volume0
  after its last volume was destroyed and the agent no longer offers it

Nothing of it may be held: no volume, reservation or operation in any file of the agent, no process
that uses it, nothing in its trash, no destroy owed. The data on it stays. A root that `disk prepare`
did not make is only taken out of the ledger.")]
pub(super) struct Args {
    /// The root, as it is advertised
    #[arg(value_name = "ROOT")]
    root: std::path::PathBuf,
    /// Try every rule and print each command; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let state_dir = Raw::from(settings.daemon.state_dir.as_path());
    let store = if args.dry_run {
        None
    } else {
        Some(Store::open(&settings.daemon.state_dir)?)
    };
    let mut _instance = None;
    let mut _lock = None;
    if let Some(store) = &store {
        // A running daemon may be about to wipe on that very disk.
        match InstanceLock::acquire(store.dir()) {
            Ok(lock) => _instance = Some(lock),
            Err(error) => of_lock(error)?,
        }
        _lock = Some(lock(store)?);
    }
    let root = Raw::from(args.root.as_path());
    let observer = Observer::new(settings);
    let facts = observer.facts(&Words::default())?;
    let ledger = observer.ledger()?;
    let record = record(&state_dir, &root);
    let (trash, data) = match &record {
        Known::Known(record) => on_disk(record),
        Known::Absent | Known::Unknown(_) => (Known::Absent, Known::Absent),
    };
    let decision = decide(&ReleaseFacts {
        facts: &facts,
        root: root.clone(),
        record,
        ledger: &ledger,
        trash,
        data,
        umount: program_path("umount"),
        systemctl: program_path("systemctl"),
        systemd: systemd_runs(),
    });
    let Some(plan) = decision.plan else {
        context.output.value_or(
            &json!({ "tried": decision.tried, "steps": [], "outcomes": [] }),
            |_| verdicts(&decision.tried),
        )?;
        return Err(anyhow!(
            "{root} was not given back, nothing was changed: {}",
            refusals(&decision.tried)
        ))
        .exit(Exit::Refused);
    };
    let Some(store) = store else {
        let value = json!({
            "tried": decision.tried,
            "steps": steps_json(plan.steps()),
            "notes": plan.notes(),
            "outcomes": [],
        });
        context.output.value_or(&value, |_| {
            let mut text = Text::new();
            text.line(verdicts(&decision.tried).trim_end());
            for line in plan.steps().iter().flat_map(DiskStep::commands) {
                text.line(line);
            }
            notes(&mut text, plan.notes());
            text.into_string()
        })?;
        return Ok(Exit::Done);
    };
    let disk = plan.disk().clone();
    let said = plan.notes().to_vec();
    let mut outcomes = Vec::new();
    let done = release(&store, plan, &mut |step, change| {
        outcomes.push(outcome(step, change));
    });
    let value = json!({
        "tried": decision.tried,
        "notes": said,
        "outcomes": outcomes.iter().map(|(value, _)| value).collect::<Vec<_>>(),
    });
    context.output.value_or(&value, |_| {
        let mut text = Text::new();
        for (_, line) in &outcomes {
            text.line(line);
        }
        if done.is_ok() {
            text.line(format_args!("{disk} is given back"));
            notes(&mut text, &said);
        }
        text.into_string()
    })?;
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(anyhow::Error::new(error)
            .context("it was not given back to the end; the same command goes on")),
    }
}

/// The record of this root.
fn record(state_dir: &Raw, root: &Raw) -> Known<PreparedDisk> {
    match records(state_dir) {
        Known::Known(records) => records
            .into_iter()
            .find(|record| record.disk.root == *root)
            .map_or(Known::Absent, Known::Known),
        Known::Absent => Known::Absent,
        Known::Unknown(why) => Known::Unknown(why),
    }
}
