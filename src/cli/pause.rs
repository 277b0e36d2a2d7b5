//! `pause` and `resume`.

use serde_json::json;

use super::host::{Either, Owner, by_whom};
use super::{Context, Exit, Text};
use crate::daemon::answers::jobs::{Jobs, Paused};
use crate::decide::facts::{Known, Pauses};
use crate::observe::state_dir;
use crate::units::Raw;

/// Hold every wipe back, on one root or everywhere, until `resume`
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Holds wipes back, those that run as well, and also after a restart of the daemon. What was \
        destroyed is still moved to the trash; nothing is deleted. A MOUNT disk that is emptied just now keeps \
        its agent from starting for as long as it is paused.",
    after_help = "\
Example: mesos-volumed pause --root /dcos/volume0
  leaves that disk to its tenants; `mesos-volumed resume` lets everything go on"
)]
pub(super) struct PauseArgs {
    /// Only on this root
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
}

/// Let wipes go on that `pause` held back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed resume
  lets every wipe go on")]
pub(super) struct ResumeArgs {
    /// Only on this root
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
}

pub(super) fn pause(args: &PauseArgs, context: &Context) -> anyhow::Result<Exit> {
    let root = args.root.as_deref();
    change("/v1/pause", root, context, Pauses::pause)
}

pub(super) fn resume(args: &ResumeArgs, context: &Context) -> anyhow::Result<Exit> {
    let root = args.root.as_deref();
    change("/v1/resume", root, context, Pauses::resume)
}

fn change(
    path: &str,
    root: Option<&str>,
    context: &Context,
    change: fn(Pauses, Option<&Raw>) -> Pauses,
) -> anyhow::Result<Exit> {
    let jobs = match by_whom(context)? {
        Either::Daemon(daemon) => daemon.post(path, &json!({ "root": root }))?,
        Either::Us(owner) => Jobs {
            jobs: Vec::new(),
            paused: written_down(&owner, root.map(Raw::from).as_ref(), change)?,
        },
    };
    context.output.value_or(&jobs, |_| {
        let mut text = Text::new();
        let roots = Raw::from(jobs.paused.roots.join(", "));
        match (jobs.paused.all, jobs.paused.roots.is_empty()) {
            (false, true) => text.line("nothing is paused"),
            (false, false) => text.line(format_args!("paused: {roots}")),
            (true, true) => text.line("paused: everything"),
            (true, false) => text.line(format_args!("paused: everything but {roots}")),
        }
        for job in &jobs.jobs {
            text.line(Raw::from(job.text.as_str()));
        }
        text.into_string()
    })?;
    Ok(Exit::Done)
}

/// For the next start of the daemon, where none runs.
fn written_down(
    owner: &Owner,
    root: Option<&Raw>,
    change: fn(Pauses, Option<&Raw>) -> Pauses,
) -> anyhow::Result<Paused> {
    let store = &owner.shared.desk.store;
    let present = match state_dir::pauses(&Raw::from(store.dir())) {
        Known::Known(pauses) => pauses,
        Known::Absent => Pauses::none(),
        // As the daemon takes it.
        Known::Unknown(_) => Pauses::everything(),
    };
    let pauses = change(present, root);
    store.write_pauses(&pauses)?;
    Ok(Paused::from(&pauses))
}
