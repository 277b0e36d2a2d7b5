//! `trash list` and `trash purge`.

use anyhow::{anyhow, bail};

use super::host::Owner;
use super::{Align, Context, Exit, Table, WithExit, sweep};
use crate::daemon::answers;
use crate::daemon::observer::Observer;
use crate::daemon::pass::look;
use crate::decide::facts::Words;
use crate::decide::listing::{self, TrashItem};
use crate::decide::steps::TrashId;

/// Look into the trash, or empty it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what lies in the trash of every root
    #[command(after_help = "\
Example: mesos-volumed trash list
  shows each entry with the time it has left")]
    List,
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
        Command::Purge { entries, all } => purge(entries, *all, context),
    }
}

fn items(observer: &Observer) -> anyhow::Result<Vec<TrashItem>> {
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    Ok(listing::trash(&facts, checked.plan()))
}

fn list(context: &Context) -> anyhow::Result<Exit> {
    let items = items(&Observer::new(context.settings()))?;
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
        ("EXPIRES IN", Align::Left),
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
            item.expires_in
                .map_or_else(|| "never".to_owned(), |span| span.to_string()),
            codes.join(","),
        ]);
    }
    if table.is_empty() {
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

fn purge(entries: &[String], all: bool, context: &Context) -> anyhow::Result<Exit> {
    if entries.is_empty() && !all {
        return Err(anyhow!("name the entries to purge, or --all")).exit(Exit::Usage);
    }
    let owner = Owner::new(context)?;
    let known: Vec<TrashId> = items(&owner.observer)?
        .into_iter()
        .map(|item| item.id)
        .collect();
    let purge = if all {
        known
    } else {
        let named: Vec<TrashId> = entries.iter().map(|entry| TrashId(entry.clone())).collect();
        if let Some(id) = named.iter().find(|id| !known.contains(id)) {
            bail!("there is no trash entry {id}; see `mesos-volumed trash list`");
        }
        named
    };
    let pass = owner.pass(&Words {
        purge: purge.clone(),
        ..Words::default()
    })?;
    sweep::print(context, &pass)?;
    if pass.failed() {
        return Ok(Exit::Error);
    }
    let left = listing::trash(&pass.facts, &pass.last);
    let kept = left.iter().any(|item| purge.contains(&item.id));
    Ok(if kept { Exit::Refused } else { Exit::Done })
}
