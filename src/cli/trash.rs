//! `trash list`, `trash restore` and `trash purge`.

use super::host::operate;
use super::volumes::adopt;
use super::{Align, Context, Exit, Table, Text, sweep};
use crate::daemon::answers;
use crate::daemon::answers::trash::{DoneEntry, Word};
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Ending, Operated, Purge, Restore};
use crate::daemon::operator;
use crate::daemon::pass::look;
use crate::decide::facts::{Facts, Known, RootFacts, Why, Words};
use crate::decide::give_back::Wanted;
use crate::decide::listing::{self, TrashItem};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::units::Bytes;

/// Look into the trash, or empty it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what lies in the trash of every root
    #[command(after_help = "\
Example: mesos-volumed trash list
  shows each entry with the time it has left")]
    List,
    /// Move an entry back to where it was, as it was, and adopt its volume
    #[command(
        long_about = "Moves an entry's data back to its volume's place by one rename: owner, mode, times, \
            extended attributes, ACLs and hard links are as they were. Project-quota ids go: the agent may \
            have given them away. The volume is adopted: no sweep takes it again until an authority has \
            named it; the calls that give it back to Mesos are printed, and `mesos-volumed volumes adopt \
            ROLE/ID --send` makes them. On a MOUNT disk that `disk prepare` \
            laid out its entries are moved back one by one while no agent runs; a MOUNT disk of any other \
            layout has no trash, and nothing to restore.",
        after_help = "\
Example: mesos-volumed trash restore 1795176301-00ab…-1
  puts this entry back; exits 5 and says why where a guard is against it"
    )]
    Restore {
        /// The entry, as `trash list` names it
        #[arg(value_name = "ENTRY")]
        entry: String,
    },
    /// Wipe entries now, whatever their retention; every guard still holds
    #[command(after_help = "\
Example: mesos-volumed trash purge 1795176301-00ab…-1
  wipes this entry; --all wipes every entry that no guard keeps")]
    Purge {
        /// The entries, as `trash list` names them
        #[arg(value_name = "ENTRY")]
        entries: Vec<String>,
        /// Every entry
        #[arg(long, conflicts_with = "entries")]
        all: bool,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::List => list(context),
        Command::Restore { entry } => restore(entry, context),
        Command::Purge { entries, all } => purge(entries, *all, context),
    }
}

/// What lies in the trash, and the roots whose trash can't be seen.
fn items(observer: &Observer) -> anyhow::Result<(Vec<TrashItem>, Vec<Unseen>)> {
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    Ok((listing::trash(&facts, checked.plan()), unseen(&facts)))
}

/// A root whose trash can't be seen: nobody may say that it is empty, or was emptied.
struct Unseen {
    disk: DiskRef,
    why: Why,
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the trash of {} can't be seen: {}", self.disk, self.why)
    }
}

fn unseen(facts: &Facts) -> Vec<Unseen> {
    let of = |root: &RootFacts| match &root.trash {
        Known::Unknown(why) => Some(Unseen {
            disk: root.disk.clone(),
            why: why.clone(),
        }),
        Known::Known(_) | Known::Absent => None,
    };
    facts.roots.iter().filter_map(of).collect()
}

fn list(context: &Context) -> anyhow::Result<Exit> {
    let (items, unseen) = items(&Observer::new(context.settings()))?;
    for why in &unseen {
        tracing::warn!("{why}");
    }
    if context.output.is_json() {
        context.output.json(&answers::trash::trash(&items))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("ENTRY", Align::Left),
        ("STATE", Align::Left),
        ("ROLE", Align::Left),
        ("ID", Align::Left),
        ("DISK", Align::Left),
        ("SIZE", Align::Right),
        ("AGE", Align::Left),
        ("EXPIRES IN", Align::Left),
        ("WHY", Align::Left),
        ("REASONS", Align::Left),
    ]);
    for item in &items {
        let codes: Vec<&str> = item
            .reasons
            .iter()
            .map(|reason| reason.code.code())
            .collect();
        table.row([
            item.id.to_string(),
            item.state.map_or("-", state_word).to_owned(),
            item.key
                .as_ref()
                .map_or_else(|| "-".to_owned(), |key| key.role.to_string()),
            item.key
                .as_ref()
                .map_or_else(|| "-".to_owned(), |key| key.id.to_string()),
            item.disk.to_string(),
            item.size
                .map_or_else(|| "-".to_owned(), |size| Bytes(size.bytes).to_string()),
            item.age
                .map_or_else(|| "-".to_owned(), |span| span.to_string()),
            item.expires_in.map_or_else(
                || "never".to_owned(),
                |span| {
                    let early = if item.may_go_early { ", or early" } else { "" };
                    format!("{span}{early}")
                },
            ),
            item.evidence
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            codes.join(","),
        ]);
    }
    if table.is_empty() && unseen.is_empty() {
        context.output.text("the trash is empty\n")?;
    }
    context.output.table(&table)?;
    Ok(Exit::Done)
}

fn state_word(state: crate::decide::manifest::TrashState) -> &'static str {
    use crate::decide::manifest::TrashState;
    match state {
        TrashState::Prepared => "prepared",
        TrashState::Moved => "moved",
        TrashState::Cleared => "cleared",
        TrashState::Wiping => "wiping",
    }
}

/// What became of it, and the calls that give it back to Mesos.
#[derive(serde::Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    operated: &'a Operated,
    #[serde(flatten)]
    calls: &'a adopt::Calls,
}

/// Puts an entry back.
fn restore(entry: &str, context: &Context) -> anyhow::Result<Exit> {
    let observer = Observer::new(context.settings());
    let key = items(&observer)?
        .0
        .into_iter()
        .find(|item| item.id.0 == entry)
        .and_then(|item| item.key);
    let ask = Ask::Restore(Restore {
        entry: entry.to_owned(),
    });
    let operated = operate(context, ask)?;
    let mut calls = adopt::Calls::default();
    if let Some(key) = key.as_ref().filter(|_| operated.result == Ending::Done) {
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        if let Some(disk) = operator::marked(&facts, key).first() {
            let memory = &checked.plan().memory;
            calls = adopt::calls(context, &facts, memory, key, disk, &Wanted::default());
        }
    }
    let told = Told {
        operated: &operated,
        calls: &calls,
    };
    context.output.value_or(&told, |_| {
        let mut text = Text::new();
        for entry in &operated.entries {
            text.line(became_text(entry, key.as_ref()));
        }
        text.block(&adopt::calls_text(&calls));
        text.into_string()
    })?;
    Ok(sweep::exit(&operated))
}

fn became_text(entry: &DoneEntry, key: Option<&VolumeKey>) -> String {
    let id = &entry.id;
    let of = key.map_or_else(String::new, |key| format!(" of {key}"));
    match entry.became {
        Word::Restored => format!(
            "restored: {}{of} is back, as it was, and adopted: no sweep takes it until an authority has \
             named it again",
            entry.path.as_deref().unwrap_or("it")
        ),
        Word::Purged => format!("purged: entry {id}{of} is gone"),
        Word::UnderWay => {
            format!("under way: entry {id}{of}; `mesos-volumed receipts` tells how it ended")
        }
        Word::Failed => format!(
            "failed: entry {id}{of}: {}; what was begun goes on at the next pass",
            entry.error.as_deref().unwrap_or("it did not work")
        ),
        Word::Missing => format!(
            "missing: there is no trash entry {id}, or it held no data; `mesos-volumed trash list` names \
             them. A MOUNT disk that `disk prepare` did not lay out has no trash: what was destroyed \
             there can't be restored"
        ),
        Word::Kept => {
            let mut text = Text::new();
            text.line(format_args!("kept: entry {id}{of} stays in the trash"));
            for why in &entry.reasons {
                text.line(format_args!(
                    "  {}: {}; {}",
                    why.code, why.reason, why.remedy
                ));
            }
            text.into_string().trim_end().to_owned()
        }
    }
}

fn purge(entries: &[String], all: bool, context: &Context) -> anyhow::Result<Exit> {
    let ask = Ask::Purge(Purge {
        entries: entries.to_vec(),
        all,
    });
    let operated = operate(context, ask)?;
    if all && operated.entries.is_empty() && operated.result == Ending::Done {
        context
            .output
            .value_or(&operated, |_| "the trash is empty\n".to_owned())?;
        return Ok(Exit::Done);
    }
    sweep::end(context, &operated)
}
