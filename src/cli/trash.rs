//! `trash list`, `trash restore` and `trash purge`.

use anyhow::{anyhow, bail};

use super::host::{Owner, who};
use super::volumes::adopt;
use super::{Align, Context, Exit, Table, Text, WithExit, sweep};
use crate::daemon::answers;
use crate::daemon::observer::Observer;
use crate::daemon::operator::{self, Answer, Became};
use crate::daemon::pass::look;
use crate::decide::facts::{Facts, Known, RootFacts, Why, Words};
use crate::decide::give_back::Wanted;
use crate::decide::listing::{self, TrashItem};
use crate::decide::steps::TrashId;
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
            named it; the calls that give it back to Mesos are printed. On a MOUNT disk that `disk prepare` \
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
    done: answers::trash::Done,
    #[serde(flatten)]
    calls: &'a adopt::Calls,
}

/// Puts an entry back.
fn restore(entry: &str, context: &Context) -> anyhow::Result<Exit> {
    let owner = Owner::new(context)?;
    let id = TrashId(entry.to_owned());
    let key = items(&owner.observer)?
        .0
        .into_iter()
        .find(|item| item.id == id)
        .and_then(|item| item.key);
    let answer = owner.with(|observe, host| operator::restore(observe, host, &id, who()))?;
    let calls = match (&key, answer.refused() || answer.missing()) {
        (Some(key), false) => adopt::marked(&answer.pass.facts, key)
            .first()
            .map(|disk| {
                let (facts, memory) = (&answer.pass.facts, &answer.pass.last.memory);
                adopt::calls(context, facts, memory, key, disk, &Wanted::default())
            })
            .unwrap_or_default(),
        (Some(_) | None, _) => adopt::Calls::default(),
    };
    let told = Told {
        done: answers::trash::done(&answer),
        calls: &calls,
    };
    context.output.value_or(&told, |_| {
        let mut text = Text::new();
        for (id, became) in &answer.entries {
            text.line(became_text(id, key.as_ref(), became));
        }
        text.block(&adopt::calls_text(&calls));
        text.into_string()
    })?;
    Ok(exit(&answer))
}

fn exit(answer: &Answer) -> Exit {
    if answer.failed() || answer.missing() {
        Exit::Error
    } else if answer.refused() {
        Exit::Refused
    } else {
        Exit::Done
    }
}

fn became_text(id: &TrashId, key: Option<&VolumeKey>, became: &Became) -> String {
    let of = key.map_or_else(String::new, |key| format!(" of {key}"));
    match became {
        Became::Restored { at } => format!(
            "restored: {at}{of} is back, as it was, and adopted: no sweep takes it until an authority \
             has named it again"
        ),
        Became::Purged => format!("purged: entry {id}{of} is gone"),
        Became::UnderWay => {
            format!("under way: entry {id}{of}; `mesos-volumed receipts` tells how it ended")
        }
        Became::Failed(error) => {
            format!("failed: entry {id}{of}: {error}; what was begun goes on at the next pass")
        }
        Became::Missing => format!(
            "missing: there is no trash entry {id}, or it held no data; `mesos-volumed trash list` names \
             them. A MOUNT disk that `disk prepare` did not lay out has no trash: what was destroyed \
             there can't be restored"
        ),
        Became::Kept(reasons) => {
            let mut text = Text::new();
            text.line(format_args!("kept: entry {id}{of} stays in the trash"));
            for reason in reasons {
                text.line(format_args!("  {reason}; {}", reason.code.remedy()));
            }
            text.into_string().trim_end().to_owned()
        }
    }
}

fn purge(entries: &[String], all: bool, context: &Context) -> anyhow::Result<Exit> {
    if entries.is_empty() && !all {
        return Err(anyhow!("name the entries to purge, or --all")).exit(Exit::Usage);
    }
    let owner = Owner::new(context)?;
    let (items, hidden) = items(&owner.observer)?;
    let known: Vec<TrashId> = items.iter().map(|item| item.id.clone()).collect();
    if let Some(why) = hidden.first().filter(|_| all) {
        return Err(anyhow!("{why}; nothing was purged")).exit(Exit::Refused);
    }
    let purge = if all {
        known
    } else {
        let named: Vec<TrashId> = entries.iter().map(|entry| TrashId(entry.clone())).collect();
        if let Some(id) = named.iter().find(|id| !known.contains(id)) {
            bail!("there is no trash entry {id}; see `mesos-volumed trash list`");
        }
        named
    };
    if purge.is_empty() {
        // Without an entry to name it would be a word for everything: a sweep.
        context.output.value_or(
            &serde_json::json!({ "steps": [], "kept": [], "doubts": [], "outcomes": [] }),
            |_| "the trash is empty\n".to_owned(),
        )?;
        return Ok(Exit::Done);
    }
    let answer = owner.with(|observe, host| operator::purge(observe, host, &purge, who()))?;
    let pass = &answer.pass;
    sweep::print(context, pass)?;
    if pass.failed() {
        return Ok(Exit::Error);
    }
    let left = listing::trash(&pass.facts, &pass.last);
    let hidden = unseen(&pass.facts);
    let kept = items
        .iter()
        .filter(|item| purge.contains(&item.id))
        .any(|item| {
            left.iter().any(|left| left.id == item.id)
                || hidden.iter().any(|root| root.disk == item.disk)
        });
    Ok(if kept { Exit::Refused } else { Exit::Done })
}
