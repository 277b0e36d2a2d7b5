//! Which instances are meant, and whether they may go.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};

use super::Args;
use crate::cli::marathon::{absolute, one};
use crate::cli::{Exit, WithExit};
use crate::decide::facts::{MarathonWipe, MarathonWipes};
use crate::decide::marathon::{Instance, Kind, Stateful, Stays, Way, is_in, order};
use crate::mesos::marathon::TaskState;
use crate::observe::{clock, marathon as ask};
use crate::sys::http::Site;

/// An instance that is meant.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) wipe: MarathonWipe,
    pub(super) verdict: Verdict,
}

/// What is to become of it.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It may go, so.
    May(Way),
    /// Marathon has dropped it for an earlier run; what became of its data is still to be seen.
    Begun,
    /// It stays.
    Stays(Stays),
}

/// Every instance that is meant, in the order in which they go.
pub(super) fn choose(
    args: &Args,
    marathon: &Site,
    journal: &MarathonWipes,
    here: &BTreeSet<String>,
) -> anyhow::Result<Vec<Target>> {
    let (ids, group) = match (&args.app, &args.group) {
        (Some(app), _) => (vec![absolute(app)], None),
        (None, group) => {
            let group = absolute(group.as_deref().unwrap_or_default());
            (of_group(marathon, &group, journal)?, Some(group))
        }
    };
    let mut targets = Vec::new();
    for id in &ids {
        let begun: Vec<&MarathonWipe> = journal.wipes.iter().filter(|one| one.app == *id).collect();
        let found = one(marathon, id)?;
        if found.is_none() && begun.is_empty() && group.is_none() {
            return Err(anyhow!(
                "no_such_app: Marathon has neither an app nor a pod `{id}`"
            ))
            .exit(Exit::Refused);
        }
        let before = targets.len();
        if let Some(app) = &found {
            for instance in meant(args, app) {
                targets.push(target(app, instance, args.scale, here));
            }
        }
        for wipe in begun {
            let listed = found
                .as_ref()
                .is_some_and(|app| app.instance(&wipe.instance, &wipe.volumes).is_some());
            if !listed && args.task.as_ref().is_none_or(|task| *task == wipe.instance) {
                targets.push(Target {
                    kind: Kind::App,
                    wipe: wipe.clone(),
                    verdict: Verdict::Begun,
                });
            }
        }
        if let Some(task) = &args.task
            && targets.len() == before
        {
            return Err(anyhow!(
                "no_such_task: `{id}` has no instance `{task}` with a persistent volume; see \
                 `mesos-volumed marathon tasks --app {id}`"
            ))
            .exit(Exit::Refused);
        }
    }
    Ok(targets)
}

/// The apps and pods of a group in their order; those that were begun and are gone come last.
fn of_group(marathon: &Site, group: &str, journal: &MarathonWipes) -> anyhow::Result<Vec<String>> {
    let mut ids = match ask::group(marathon, group) {
        Ok(found) => order(&found)
            .context("nothing was done: the group has no order")
            .exit(Exit::Refused)?,
        Err(error) if error.not_found() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for wipe in &journal.wipes {
        if is_in(&wipe.app, group) && !ids.contains(&wipe.app) {
            ids.push(wipe.app.clone());
        }
    }
    if ids.is_empty() {
        return Err(anyhow!(
            "no_such_group: Marathon has no group `{group}` with anything in it"
        ))
        .exit(Exit::Refused);
    }
    Ok(ids)
}

fn meant<'a>(args: &'a Args, app: &'a Stateful) -> impl Iterator<Item = &'a Instance> {
    app.instances.iter().filter(|one| match &args.task {
        Some(task) => one.id == *task,
        None => !args.waiting || one.state == TaskState::Waiting,
    })
}

fn target(app: &Stateful, instance: &Instance, scale: bool, here: &BTreeSet<String>) -> Target {
    let volumes: Vec<String> = instance
        .volumes
        .iter()
        .map(|volume| volume.persistence_id.clone())
        .collect();
    Target {
        kind: app.kind,
        verdict: match app.may_wipe(instance, scale) {
            Ok(way) => Verdict::May(way),
            Err(stays) => Verdict::Stays(stays),
        },
        wipe: MarathonWipe {
            app: app.id.clone(),
            instance: instance.id.clone(),
            host: instance.host.clone(),
            agent: instance.agent.clone(),
            here: volumes.iter().any(|id| here.contains(id)),
            volumes,
            known_there: false,
            began_at: clock::wall_seconds(),
        },
    }
}
