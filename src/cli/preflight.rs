//! `preflight --gate`: holds an agent's start back while a MOUNT disk is emptied.

use std::time::Duration;

use super::{Context, Exit};
use crate::decide::facts::Known;
use crate::observe::gate;
use crate::units::{Raw, Span};

/// How long an agent's start waits before it is refused; systemd then tries again.
const PATIENCE: Span = Span::seconds(60);

/// How often the gate is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Hold an agent's start back while the gate is closed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: ExecStartPre=/usr/bin/mesos-volumed preflight --gate
  in a drop-in of the agent's unit; see systemd/mesos-agent.service.d

A MOUNT disk is only emptied while no agent runs and its start is held back here. Exit codes: 0 the
gate is open, 5 it stayed closed for a minute.")]
pub(super) struct Args {
    /// Wait up to a minute for the gate to open
    #[arg(long, required = true)]
    gate: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Args { gate: _required } = args;
    let state_dir = Raw::from(context.settings().daemon.state_dir.as_path());
    let mut waited = Duration::ZERO;
    loop {
        let why = match gate::closed_for(&state_dir) {
            Known::Absent => return Ok(Exit::Done),
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
            context.output.text(&format!(
                "the gate stayed closed: {why}; let mesos-volumed finish (`systemctl start \
                 mesos-volumed`, or `mesos-volumed sweep`), then start the agent\n"
            ))?;
            return Ok(Exit::Refused);
        }
        std::thread::sleep(EVERY);
        waited = waited.saturating_add(EVERY);
    }
}
