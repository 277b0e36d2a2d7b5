//! `marathon`: stateful apps, their instances and volumes.

mod tasks;
mod wipe;

use super::{Context, Exit};
use crate::daemon::clients;
use crate::decide::marathon::{Stateful, of_app, of_pod, stateful};
use crate::mesos::marathon::{PodStatus, Under};
use crate::observe::marathon as ask;
use crate::sys::http::Site;

/// Show Marathon's apps with persistent volumes, or wipe instances with all their data
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List each stateful task with its state, host and volumes; for this host also path, size and age
    #[command(after_help = "\
Example: mesos-volumed marathon tasks
  lists every instance of every app and pod that has persistent volumes, running or not

Example: mesos-volumed marathon tasks --app /db/postgres --output json

States: Running, Waiting (it has volumes and does not run), Lost (its agent is away). Apps whose only copy is
one local volume, and upgrade strategies above 0.5/0, are noted below the table. A Marathon that does not
answer is an error (exit code 1), never an empty list.")]
    Tasks(tasks::Args),
    /// Wipe instances of an app with their volumes, and see that their data is gone
    #[command(
        long_about = "Does the documented two steps in one, in the right order: reads the instance anew, deletes it \
            with wipe=true, waits until Marathon lists it no more and its agent holds its volumes no more, and \
            then sees that the data is gone: on this host by a sweep, under its evidence and guards, asking the \
            daemon where one runs; on other hosts by what their sidecars tell. No directory is touched by this \
            command itself.",
        after_help = "\
Example: mesos-volumed marathon wipe /db/postgres --waiting --dry-run
  shows which instances wait, which of them would go, and the calls as curl would make them

Example: mesos-volumed marathon wipe /db/postgres --task postgres.53ab8733-fd96-11e5-8e70-76a1c19f8c3d --scale
  ends that instance, gives its app one less, and wipes it

Example: mesos-volumed marathon wipe --group /shop --scale
  takes the apps of the group in the reverse of their dependencies

Refused (exit 5), with nothing done: what runs, is lost, or waits to be launched again (--scale), and what a
deployment is changing. Undecided or unverified after --wait: exit 1. The same command goes on from there."
    )]
    Wipe(wipe::Args),
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Tasks(args) => tasks::run(args, context),
        Command::Wipe(args) => wipe::run(args, context),
    }
}

/// Marathon.
fn site(context: &Context) -> anyhow::Result<Site> {
    use anyhow::Context as _;
    clients::marathon(context.settings()).context("Marathon can't be asked")
}

/// Pods; a Marathon before 1.4 has none.
fn pods(site: &Site) -> Result<Vec<PodStatus>, ask::AskError> {
    match ask::pods(site) {
        Err(error) if error.not_found() => Ok(Vec::new()),
        answer => answer,
    }
}

/// Everything that keeps something.
fn all(site: &Site) -> Result<Vec<Stateful>, ask::AskError> {
    let under = ask::deployments(site)?;
    Ok(stateful(&ask::apps(site)?, &pods(site)?, &under))
}

/// An app or pod by its id; `None` where Marathon has neither.
fn one(site: &Site, id: &str) -> Result<Option<Stateful>, ask::AskError> {
    // Asked first: what has ended by the time that the app is asked for is no longer in the way.
    let under: Vec<Under> = ask::deployments(site)?;
    match ask::app(site, id) {
        Ok(app) => Ok(Some(of_app(&app, &under))),
        Err(error) if error.not_found() => {
            let pods = pods(site)?;
            let pod = pods.iter().find(|pod| pod.id == id);
            Ok(pod.map(|pod| of_pod(pod, &under)))
        }
        Err(error) => Err(error),
    }
}

/// An id with its first slash, and none at its end.
fn absolute(id: &str) -> String {
    format!("/{}", id.trim_matches('/'))
}
