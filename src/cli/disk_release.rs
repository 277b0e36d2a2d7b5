//! `disk release`.

use super::disk_prepare::lock;
use super::disk_steps::{Shown, outcome, refused};
use super::{Context, Exit};
use crate::act::prepare::release;
use crate::act::store::Store;
use crate::daemon::observer::Observer;
use crate::decide::facts::{Known, PreparedDisk, Words};
use crate::decide::prepare::{ReleaseFacts, release as decide};
use crate::observe::prepare::{on_disk, program_path, records, systemd_runs};
use crate::units::Raw;

/// Give a disk back: unmount it, take its units, flags and ledger entry away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed disk release /dcos/volume0
  after its last volume was destroyed and the agent no longer offers it

Nothing of it may be held: no volume, reservation or operation in any file of the agent, no process
that uses it, nothing in its trash, no destroy owed. The data on it stays. A root that `disk prepare`
did not make is only taken out of the ledger. A daemon may run.")]
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
    // A daemon may run: what it works on right now has its lock and is in use, and what it has still to
    // do there is in its memory and in the trash. Unmounting is the kernel's word that nobody has
    // anything open there.
    let _lock = store.as_ref().map(lock).transpose()?;
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
        let what = format!("{root} was not given back");
        return refused(context, &decision.tried, &what);
    };
    let Some(store) = store else {
        let shown = Shown {
            tried: &decision.tried,
            record: None,
            notes: plan.notes(),
        };
        return shown.dry_run(context, plan.steps(), None);
    };
    let disk = plan.disk().clone();
    let said = plan.notes().to_vec();
    let mut outcomes = Vec::new();
    let done = release(&store, plan, &mut |step, change| {
        outcomes.push(outcome(step, change));
    });
    let end = done.is_ok().then(|| format!("{disk} is given back"));
    let shown = Shown {
        tried: &decision.tried,
        record: None,
        notes: &said,
    };
    shown.outcomes(context, &outcomes, end)?;
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
