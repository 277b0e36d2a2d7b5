//! `status`: the running daemon and what it saw last.

use anyhow::anyhow;

use super::daemon::Daemon;
use super::{Align, Context, Exit, Output, Table, Text, WithExit, date};
use crate::daemon::answers::status::Status;
use crate::daemon::answers::volumes::AuthorityState;
use crate::units::{Bytes, Raw, Span};

/// Ask the running daemon how it is, what it does, and what it keeps back
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Asks the running daemon through daemon.socket: disks, volumes by state, the trash, wipes with \
        their rate and what is left, every authority with the age of the last good look at it, the last pass, \
        and what is kept back and why. Changes nothing.",
    after_help = "\
Example: mesos-volumed status --output json | jq .jobs
  shows the wipes that wait or run

Exit codes: 4 where the daemon runs and is not ready (GET /readyz says the same), 1 where none runs."
)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let daemon = running(context)?;
    let status: Status = daemon.get("/v1/status")?;
    let state_dir = context.settings().daemon.state_dir.display().to_string();
    if status.state_dir != state_dir {
        return Err(anyhow!(
            "the daemon that answers keeps its state in {}, and this configuration in {state_dir}: it is \
             another one",
            Raw::from(status.state_dir)
        ));
    }
    context
        .output
        .value_or(&status, |output| text(&status, output))?;
    Ok(if status.ready {
        Exit::Done
    } else {
        Exit::Degraded
    })
}

/// The daemon, or where it should be and how it is started.
fn running(context: &Context) -> anyhow::Result<Daemon> {
    let Some(socket) = &context.settings().daemon.socket else {
        return Err(anyhow!(
            "daemon.socket is empty: a daemon that runs can't be asked; `systemctl status mesos-volumed` \
             tells whether one does"
        ));
    };
    Daemon::at(socket, None)?
        .ok_or_else(|| {
            anyhow!(
                "no daemon answers at {}; `systemctl start mesos-volumed` (or `mesos-volumed run`) starts \
                 one. Without it `mesos-volumed volumes list`, `trash list` and `sweep --dry-run` tell what \
                 is on this host",
                socket.display()
            )
        })
        .exit(Exit::Error)
}

fn text(status: &Status, output: &Output) -> String {
    let mut text = Text::new();
    let up = Span::seconds(status.up_seconds);
    text.line(format_args!(
        "mesos-volumed {}, process {}, up {up}: {}",
        status.version,
        status.pid,
        if status.ready { "ready" } else { "not ready" }
    ));
    for trouble in &status.troubles {
        text.line(format_args!("  {}", Raw::from(trouble.as_str())));
    }
    match &status.last_pass {
        Some(pass) => text.line(format_args!(
            "last pass   {}, {:.1} s{}: {}",
            date(pass.ended_at),
            pass.seconds,
            if pass.ok { "" } else { ", failed" },
            Raw::from(pass.summary.as_str())
        )),
        None => text.line("last pass   none has ended yet"),
    }
    if let Some(volumes) = &status.volumes {
        let counts: Vec<String> = volumes
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let counts = if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        };
        text.line(format_args!("volumes     {counts}"));
    }
    if let Some(trash) = &status.trash {
        text.line(format_args!("trash       {} entries", trash.items));
    }
    for (alarm, count) in status
        .alarms
        .iter()
        .flatten()
        .filter(|(_, count)| **count > 0)
    {
        text.line(format_args!(
            "alarm       {alarm}: {count}; see `mesos-volumed volumes list`"
        ));
    }
    held_back(status, &mut text);
    for job in &status.jobs {
        text.line(format_args!("job         {}", Raw::from(job.text.as_str())));
    }
    if status.jobs.is_empty() {
        text.line("jobs        none");
    }
    text.line(format_args!(
        "resources   the file is {}",
        status.resources_file
    ));
    for table in [disks(status), authorities(status), refusals(status)] {
        if !table.is_empty() {
            text.line("");
            text.block(&output.rendered(&table));
        }
    }
    text.into_string()
}

fn held_back(status: &Status, text: &mut Text) {
    let paused = &status.paused;
    let roots = Raw::from(paused.roots.join(", "));
    match (paused.all, paused.roots.is_empty()) {
        (false, true) => {}
        (false, false) => text.line(format_args!(
            "paused      {roots}; see `mesos-volumed resume`"
        )),
        (true, true) => text.line("paused      everything; see `mesos-volumed resume`"),
        (true, false) => text.line(format_args!(
            "paused      everything but {roots}; see `mesos-volumed resume`"
        )),
    }
}

fn disks(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("DISK", Align::Left),
        ("ROOT", Align::Left),
        ("SIZE", Align::Right),
        ("FREE", Align::Right),
        ("MB", Align::Right),
        ("VERDICT", Align::Left),
    ]);
    let dash = || "-".to_owned();
    let bytes = |bytes: Option<u64>| bytes.map_or_else(dash, |bytes| Bytes(bytes).to_string());
    for disk in status.disks.iter().flatten() {
        table.row([
            disk.kind.to_string(),
            disk.root.clone().unwrap_or_else(dash),
            bytes(disk.total_bytes),
            bytes(disk.free_bytes),
            disk.advertised_mb.map_or_else(dash, |mb| mb.to_string()),
            disk.reason
                .map_or_else(|| "offered".to_owned(), |code| code.to_string()),
        ]);
    }
    table
}

fn authorities(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("AUTHORITY", Align::Left),
        ("STATE", Align::Left),
        ("LAST GOOD", Align::Left),
        ("WHY", Align::Left),
    ]);
    for authority in &status.authorities {
        let state = match authority.state {
            AuthorityState::Known => "known",
            AuthorityState::Absent => "absent",
            AuthorityState::Empty => "empty",
            AuthorityState::Unknown => "unknown",
        };
        let age = authority.good_seconds_ago.map_or_else(
            || "never".to_owned(),
            |age| format!("{} ago", Span::seconds(age)),
        );
        let why = authority.reason.clone().unwrap_or_default();
        table.row([authority.name.clone(), state.to_owned(), age, why]);
    }
    table
}

fn refusals(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("KEPT BACK BY", Align::Left),
        ("VOLUMES", Align::Right),
        ("ROOTS", Align::Right),
        ("WHY", Align::Left),
        ("WHAT TO DO", Align::Left),
    ]);
    for refused in &status.refusals {
        table.row([
            refused.code.to_string(),
            refused.volumes.to_string(),
            refused.roots.to_string(),
            refused.reason.clone(),
            refused.remedy.clone(),
        ]);
    }
    table
}
