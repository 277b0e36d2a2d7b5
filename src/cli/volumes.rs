//! `volumes`: what is on this host, and the life of volumes through the master.

pub(super) mod adopt;
mod create;
pub(super) mod destroy;
mod resize;
pub(super) mod through_master;
pub(super) mod usage;

use anyhow::anyhow;

use self::usage::Used;
use super::host::operate;
use super::{Align, Context, Exit, Table, Text, WithExit, date, sweep};
use crate::daemon::answers;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Recreate};
use crate::daemon::pass::look;
use crate::decide::facts::Words;
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::decide::radar::Alarm;
use crate::mesos::ids::VolumeKey;
use crate::sys::text;

/// List what is on this host, or make a vanished directory again
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Join what the authorities name with what lies on the disks
    #[command(after_help = "\
Example: mesos-volumed volumes list --output json | jq '.volumes[] | select(.state == \"orphan\")'
  shows the directories that nobody names

States: held, pending, destroyed, orphan, trashed, foreign, vanished.")]
    List {
        /// Also look how much each takes up: MOUNT by the file system's count, others entry by entry
        #[arg(long)]
        usage: bool,
    },
    /// Keep a volume that nobody names from being swept, and give it back to Mesos
    #[command(
        long_about = "Marks an orphan as wanted: no sweep takes it until an authority has named its volume \
            again. The mark lies beside the trash on the volume's own disk, so that it survives the loss of \
            state_dir and goes with the disk to another host. Prints the RESERVE and CREATE calls that give \
            the volume back to Mesos: CREATE keeps what lies in the directory. With --send it makes them \
            itself, after the mark, and waits until the agent's own checkpoint names the volume.",
        after_help = "\
Example: mesos-volumed volumes adopt slave_public/data --size 10GiB
  keeps the orphan, and prints two calls of curl

Example: mesos-volumed volumes adopt slave_public/data --size 10GiB --send
  keeps it, reserves, creates, and returns when the agent holds it, with its data

Example: mesos-volumed volumes adopt db/disk1 --root /dcos/volume0 --send --dry-run
  prints the calls that --send makes, and does nothing

Where the volume is refused, its reservation is given back (exit code 1); undecided after master.confirm:
exit code 1. Its data is never touched and stays adopted, and the same command goes on from what it finds.

Example: mesos-volumed volumes adopt slave_public/data --undo
  takes the mark back; what is known of its destroy, or its age as an orphan, counts again"
    )]
    Adopt(adopt::Args),
    /// Make the missing directory of a held volume again: empty, mode 0755, owner root
    #[command(after_help = "\
Example: mesos-volumed volumes recreate slave_public/data --confirm data
  lets the task start again, on an empty volume")]
    Recreate {
        /// The volume, as role/persistence-id
        #[arg(value_name = "ROLE/ID")]
        volume: String,
        /// The persistence id again
        #[arg(long, value_name = "ID")]
        confirm: String,
    },
    /// Destroy a held volume through the master; its agent has nothing left to delete
    #[command(after_help = "\
Example: mesos-volumed volumes destroy db/old --confirm old
  moves its directory aside, asks the master for the DESTROY, waits until the agent's own checkpoint
  names it no more, and wipes it

Example: mesos-volumed volumes destroy db/old --unreserve --dry-run
  prints the steps, and the calls as curl would make them

Undecided after master.confirm: exit 1. Its data then waits in the trash, and is neither wiped nor
lost; the same command goes on from there, and so does every sweep. A running daemon does it on this
command's behalf, and goes on also where the command is interrupted.")]
    Destroy(destroy::Args),
    /// Create a volume through the master, on disk of this host
    #[command(after_help = "\
Example: mesos-volumed volumes create --role db --id data1 --disk PATH:/mnt/data --size 10GiB --owner postgres:postgres --mode 700
  makes its directory, reserves, creates, and returns when the agent's own checkpoint names it

Example: mesos-volumed volumes create --role db --id disk1 --disk MOUNT:/dcos/volume0 --dry-run
  prints the calls as curl would make them

Refused (exit 5) where anything lies in its place: the agent would take that over as its data.")]
    Create(create::Args),
    /// Make a volume on ROOT or PATH larger, through the master
    #[command(after_help = "\
Example: mesos-volumed volumes grow db/data1 --by 2GiB
  reserves what is missing, grows it, and returns when the agent's own checkpoint says so")]
    Grow(resize::Args),
    /// Make a volume on ROOT or PATH smaller, through the master, and give back what it had
    #[command(after_help = "\
Example: mesos-volumed volumes shrink db/data1 --to 2GiB --dry-run
  prints the calls as curl would make them")]
    Shrink(resize::Args),
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::List { usage } => list(*usage, context),
        Command::Adopt(args) => adopt::run(args, context),
        Command::Recreate { volume, confirm } => recreate(volume, confirm, context),
        Command::Destroy(args) => destroy::run(args, context),
        Command::Create(args) => create::run(args, context),
        Command::Grow(args) => resize::run(args, resize::Way::Grow, context),
        Command::Shrink(args) => resize::run(args, resize::Way::Shrink, context),
    }
}

/// Takes `role/persistence-id` apart.
fn volume_key(text: &str) -> anyhow::Result<VolumeKey> {
    VolumeKey::named(text).ok_or_else(|| {
        anyhow!("`{text}` is no volume: write role/persistence-id, as `volumes list` shows it")
    })
}

/// The most dangerous verbs ask for the id a second time.
fn confirmed(key: &VolumeKey, confirm: &str) -> anyhow::Result<()> {
    crate::daemon::operate::confirmed(key, confirm).exit(Exit::Refused)
}

fn list(with_usage: bool, context: &Context) -> anyhow::Result<Exit> {
    if with_usage {
        // Nothing is parsed again, and what follows may take long.
        text::give_back();
    }
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    let plan = checked.plan();
    let listing = listing::all(&facts, plan);
    let used = with_usage.then(|| usage::of_rows(&listing.rows, &facts));
    let used = used.as_deref();
    if context.output.is_json() {
        let answer = answers::volumes::volumes(&listing, &facts, plan, used);
        context.output.json(&answer)?;
    } else {
        let mut text = table(&listing.rows, used, &plan.doubts, context);
        for alarm in listing.alarms.known().into_iter().flatten() {
            text.push_str(&alarm_text(alarm));
        }
        context.output.text(&text)?;
    }
    Ok(Exit::Done)
}

/// An alarm as a line for people, with what can be done.
fn alarm_text(alarm: &Alarm) -> String {
    let since = alarm
        .since
        .map_or_else(String::new, |at| format!(", since {}", date(at)));
    let mut text = Text::new();
    text.line(format_args!(
        "alarm: {alarm}{since}; {}",
        alarm.kind.remedy()
    ));
    text.into_string()
}

fn table(
    rows: &[VolumeRow],
    used: Option<&[Used]>,
    doubts: &[crate::decide::guards::Reason],
    context: &Context,
) -> String {
    let mut columns = vec![
        ("STATE", Align::Left),
        ("ROLE", Align::Left),
        ("ID", Align::Left),
        ("APP", Align::Left),
        ("DISK", Align::Left),
        ("MB", Align::Right),
    ];
    if used.is_some() {
        columns.extend([
            ("USED MB", Align::Right),
            ("FILES", Align::Right),
            ("COUNTED BY", Align::Left),
        ]);
    }
    columns.push(("REASONS", Align::Left));
    let mut table = Table::new(&columns);
    for (at, row) in rows.iter().enumerate() {
        let (role, id) = match &row.key {
            Some(key) => (key.role.to_string(), key.id.to_string()),
            None => ("-".to_owned(), row.path.to_string()),
        };
        let app = row
            .key
            .as_ref()
            .and_then(|key| key.id.marathon())
            .map_or_else(
                || "-".to_owned(),
                |volume| format!("{}:{}", volume.app, volume.container_path),
            );
        let mut codes: Vec<&str> = row
            .reasons
            .iter()
            .map(|reason| reason.code.code())
            .collect();
        codes.dedup();
        let mut cells = vec![
            row.state.word().to_owned(),
            role,
            id,
            app,
            row.disk
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            row.size
                .map_or_else(|| "-".to_owned(), |size| size.to_string()),
        ];
        if let Some(used) = used {
            cells.extend(usage::cells(used.get(at)));
        }
        cells.push(codes.join(","));
        table.row(cells);
    }
    let mut text = Text::new();
    for doubt in doubts {
        text.line(format_args!("doubt: {doubt}; {}", doubt.code.remedy()));
    }
    for row in rows.iter().filter(|row| row.state == VolumeState::Vanished) {
        if let Some(key) = &row.key {
            text.line(format_args!(
                "vanished: the directory of {key} is missing, its next task fails; mount the right \
                 disk, or `mesos-volumed volumes recreate {key} --confirm {}` for an empty one",
                key.id
            ));
        }
    }
    let table = context.output.rendered(&table);
    if table.is_empty() {
        text.line("no volumes");
    }
    format!("{table}{}", text.into_string())
}

fn recreate(volume: &str, confirm: &str, context: &Context) -> anyhow::Result<Exit> {
    let ask = Ask::Recreate(Recreate {
        volume: volume.to_owned(),
        confirm: confirm.to_owned(),
    });
    sweep::end(context, &operate(context, ask)?)
}
