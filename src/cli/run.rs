//! `run`: the daemon.

use super::host::Owner;
use super::{Context, Exit};
use crate::daemon::{self, privileges};

/// Run as the daemon: watch the checkpoint, sweep, wipe
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed run --config /etc/mesos-volumed/config.toml
  runs in the foreground, as its systemd unit does

SIGHUP reads the configuration again and keeps the last good one, SIGUSR1 makes a pass now, SIGTERM
stops within two seconds; what is not wiped by then goes on at the next start.")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let left = privileges::give_up()?;
    if !left.is_empty() {
        tracing::debug!("not in reach, and in the bounding set: {left:?}");
    }
    let owner = Owner::new(context)?;
    // A damaged ledger is refused at the start, where the operator looks.
    owner.observer.ledger()?;
    for note in &context.loaded.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    daemon::run::run(&context.loaded, &context.source, owner.shared.clone())?;
    Ok(Exit::Done)
}
