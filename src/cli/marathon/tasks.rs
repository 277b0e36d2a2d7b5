//! `marathon tasks`.

use anyhow::anyhow;
use serde::Serialize;

use super::{absolute, all, one, site};
use crate::cli::volumes::usage::{self, Used};
use crate::cli::{Align, Context, Exit, Table, Text, WithExit};
use crate::daemon::answers;
use crate::daemon::observer::Observer;
use crate::daemon::pass::look;
use crate::decide::facts::{Facts, Words};
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::decide::marathon::{Instance, Kind, Mark, Stateful};
use crate::mesos::marathon::{LocalVolume, UpgradeStrategy};
use crate::observe::clock;
use crate::sys::Times;
use crate::units::{Megabytes, Raw, Span, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only this app or pod
    #[arg(long, value_name = "APP")]
    app: Option<String>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    apps: Vec<App>,
    /// Why this host's part can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    this_host: Option<String>,
}

#[derive(Debug, Serialize)]
struct App {
    id: String,
    kind: Kind,
    /// As it stands at the beginning of persistence ids.
    in_persistence_ids: String,
    role: Option<String>,
    wanted: Option<u64>,
    deploying: bool,
    upgrade_strategy: Option<UpgradeStrategy>,
    marks: Vec<Mark>,
    tasks: Vec<Task>,
}

#[derive(Debug, Serialize)]
struct Task {
    id: String,
    state: &'static str,
    host: Option<String>,
    agent: Option<String>,
    volumes: Vec<Volume>,
}

#[derive(Debug, Serialize)]
struct Volume {
    container_path: String,
    persistence_id: String,
    /// What this host has of it; left out where it is another's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    here: Vec<Here>,
}

#[derive(Debug, Serialize)]
struct Here {
    path: String,
    state: VolumeState,
    size_mb: Option<f64>,
    usage: Option<answers::volumes::Used>,
    /// Seconds since 1970.
    made_at: Option<i64>,
    /// Seconds since 1970: of the volume's directory itself.
    changed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    used: Option<Used>,
}

/// What this host has.
struct Local {
    facts: Facts,
    rows: Vec<VolumeRow>,
    used: Vec<Option<Used>>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let site = site(context)?;
    let found = match &args.app {
        None => all(&site)?,
        Some(id) => {
            let id = absolute(id);
            let found = one(&site, &id)?;
            let found = found.ok_or_else(|| {
                anyhow!("no_such_app: Marathon has neither an app nor a pod `{id}`")
            });
            vec![found.exit(Exit::Refused)?]
        }
    };
    let (local, this_host) = match Local::of(&found, context) {
        Ok(local) => (Some(local), None),
        Err(why) => (None, Some(why)),
    };
    let apps = found.iter().map(|app| told(app, local.as_ref())).collect();
    let answer = Answer { apps, this_host };
    context
        .output
        .value_or(&answer, |output| text(&answer, output))?;
    Ok(Exit::Done)
}

impl Local {
    fn of(apps: &[Stateful], context: &Context) -> Result<Self, String> {
        let observer = Observer::new(context.settings());
        let (facts, checked) =
            look(&mut || observer.facts(&Words::default())).map_err(|error| chain(&error))?;
        let rows = listing::volumes(&facts, checked.plan());
        let instances = apps.iter().flat_map(|app| &app.instances);
        let ids: std::collections::BTreeSet<&str> = instances
            .flat_map(|instance| &instance.volumes)
            .map(|volume| volume.persistence_id.as_str())
            .collect();
        let is_theirs = |row: &VolumeRow| {
            let id = row.key.as_ref().map(|key| key.id.to_string());
            id.is_some_and(|id| ids.contains(id.as_str()))
        };
        let used = usage::of_those(&rows, &facts, is_theirs);
        Ok(Self { facts, rows, used })
    }

    fn of_volume(&self, volume: &LocalVolume) -> Vec<Here> {
        let id = volume.id();
        let rows = self.rows.iter().zip(&self.used);
        rows.filter(|(row, _)| row.key.as_ref().is_some_and(|key| key.id == id))
            .map(|(row, used)| self.here(row, used.as_ref()))
            .collect()
    }

    fn here(&self, row: &VolumeRow, used: Option<&Used>) -> Here {
        let times = usage::times_of(row, &self.facts);
        let (times, error) = match times {
            Ok(times) => (Some(times), None),
            Err(why) => (None, Some(why)),
        };
        Here {
            path: row.path.to_string(),
            state: row.state,
            size_mb: row.size.map(Megabytes::as_f64),
            usage: used.map(answers::volumes::Used::from),
            made_at: times.and_then(|times: Times| times.made),
            changed_at: times.map(|times| times.changed),
            error,
            used: used.cloned(),
        }
    }
}

fn told(app: &Stateful, local: Option<&Local>) -> App {
    App {
        id: app.id.clone(),
        kind: app.kind,
        in_persistence_ids: crate::mesos::marathon::app_in_persistence_id(&app.id),
        role: app.role.clone(),
        wanted: app.wanted,
        deploying: app.deploying,
        upgrade_strategy: app.strategy,
        marks: app.marks(),
        tasks: app
            .instances
            .iter()
            .map(|instance| task(instance, local))
            .collect(),
    }
}

fn task(instance: &Instance, local: Option<&Local>) -> Task {
    let volumes = instance.volumes.iter().map(|volume| Volume {
        container_path: volume.container_path.clone(),
        persistence_id: volume.persistence_id.clone(),
        here: local.map_or_else(Vec::new, |local| local.of_volume(volume)),
    });
    Task {
        id: instance.id.clone(),
        state: instance.state.word(),
        host: instance.host.clone(),
        agent: instance.agent.clone(),
        volumes: volumes.collect(),
    }
}

fn text(answer: &Answer, output: &crate::cli::Output) -> String {
    let mut table = Table::new(&[
        ("APP", Align::Left),
        ("STATE", Align::Left),
        ("HOST", Align::Left),
        ("TASK", Align::Left),
        ("VOLUME", Align::Left),
        ("PERSISTENCE ID", Align::Left),
        ("USED MB", Align::Right),
        ("AGE", Align::Right),
        ("CHANGED", Align::Right),
        ("PATH", Align::Left),
    ]);
    let now = clock::wall_seconds();
    let mut notes = Text::new();
    for app in &answer.apps {
        if app.deploying {
            notes.line(format_args!(
                "{}: a deployment of it goes on",
                Raw::from(app.id.as_str())
            ));
        }
        for mark in &app.marks {
            notes.line(format_args!(
                "{}: {}",
                Raw::from(app.id.as_str()),
                mark.words()
            ));
        }
        if app.tasks.is_empty() {
            notes.line(format_args!(
                "{}: no instance of it has a persistent volume",
                Raw::from(app.id.as_str())
            ));
        }
        for task in &app.tasks {
            for volume in &task.volumes {
                let mut cells = [
                    app.id.as_str(),
                    task.state,
                    task.host.as_deref().unwrap_or("-"),
                    &task.id,
                    &volume.container_path,
                    &volume.persistence_id,
                ]
                .map(str::to_owned)
                .to_vec();
                cells.extend(of_here(&volume.here, now));
                table.row(cells);
            }
        }
    }
    if let Some(why) = &answer.this_host {
        notes.line(format_args!(
            "this host can't be looked at: {}",
            Raw::from(why.as_str())
        ));
    }
    let table = output.rendered(&table);
    if table.is_empty() && notes.is_empty() {
        notes.line("no stateful tasks");
    }
    format!("{table}{}", notes.into_string())
}

/// Size, age, last change and path; of several places the first that is no trash.
fn of_here(here: &[Here], now: i64) -> [String; 4] {
    let nothing = || "-".to_owned();
    let best = here
        .iter()
        .min_by_key(|one| matches!(one.state, VolumeState::Trashed));
    let Some(one) = best else {
        return [nothing(), nothing(), nothing(), nothing()];
    };
    let [used, ..] = usage::cells(one.used.as_ref());
    let since = |at: Option<i64>| {
        let seconds = at.and_then(|at| u64::try_from(now.saturating_sub(at)).ok());
        seconds.map_or_else(nothing, |seconds| Span::seconds(seconds).to_string())
    };
    let state = if one.state == VolumeState::Held {
        String::new()
    } else {
        format!(" ({})", one.state.word())
    };
    [
        used,
        since(one.made_at),
        since(one.changed_at),
        format!("{}{state}", one.path),
    ]
}
