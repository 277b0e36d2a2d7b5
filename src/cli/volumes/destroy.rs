//! `volumes destroy`: aside by one rename, destroyed through the master, confirmed by the agent's
//! own checkpoint, wiped behind (design §6). A running daemon does it, or this command where none runs.

use anyhow::anyhow;

use super::through_master::{self as through, ByHand, Called, Errand, undecided};
use super::{confirmed, volume_key};
use crate::cli::host::operate;
use crate::cli::plan_text::plan_text;
use crate::cli::{Context, Exit, Text, WithExit, sweep};
use crate::daemon::answers::plan::planned;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Destroy, Operated};
use crate::daemon::pass::look;
use crate::decide::facts::{CheckpointFacts, Destroying, Facts, Phase, Words};
use crate::decide::own::{Shown, call_of, committed, disk_of, listed, shown};
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, stripped_volume, unreserved};
use crate::mesos::resource::Resource;
use crate::observe::checkpoints::observe_committed;
use crate::units::chain;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The volume, as role/persistence-id
    #[arg(value_name = "ROLE/ID")]
    volume: String,
    /// The persistence id again
    #[arg(long, value_name = "ID", required_unless_present = "dry_run")]
    confirm: Option<String>,
    /// Give its space back too, where it was reserved dynamically
    #[arg(long)]
    unreserve: bool,
    /// Print what would be done, with the calls as curl would make them, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(&args.volume).exit(Exit::Usage)?;
    if args.dry_run {
        return dry_run(&key, args.unreserve, context);
    }
    confirmed(&key, args.confirm.as_deref().unwrap_or_default())?;
    // What can't be called is told before anything is moved.
    through::site(context)?;
    let volume = if args.unreserve {
        let facts = Observer::new(context.settings()).facts_with_master(&Words::default())?;
        listed(&facts, &key).cloned()
    } else {
        None
    };
    let operated = carry_out(&key, context)?;
    let ended = sweep::end(context, &operated);
    if let Some(volume) = volume
        && is_destroyed(&key, context)?
    {
        give_back(context, &volume)?;
    }
    ended
}

/// Destroys a volume, from the rename to the wipe.
pub(in crate::cli) fn carry_out(key: &VolumeKey, context: &Context) -> anyhow::Result<Operated> {
    let (Some(role), Some(id)) = (key.role.as_raw().as_str(), key.id.as_raw().as_str()) else {
        return Err(anyhow!("{key} was not destroyed: its name is not UTF-8")).exit(Exit::Refused);
    };
    let ask = Ask::Destroy(Destroy {
        volume: format!("{role}/{id}"),
        confirm: id.to_owned(),
    });
    operate(context, ask)
}

/// Whether the agent's own checkpoint names it no more.
pub(in crate::cli) fn is_destroyed(key: &VolumeKey, context: &Context) -> anyhow::Result<bool> {
    let now = observe_committed(context.settings().agent.work_dir.as_path())?;
    Ok(shown(&now.checkpoint, key) == Shown::Gone)
}

/// Unreserves what the volume stood on, where that was reserved dynamically.
fn give_back(context: &Context, volume: &Resource) -> anyhow::Result<()> {
    let reserved = stripped_volume(volume);
    if let Err(why) = unreserved(&reserved) {
        return say(&format!("not unreserved: {why}\n"), context);
    }
    let errand = Errand::new(context)?;
    let facts = errand.facts()?;
    let before = free_of(&facts, &reserved);
    let change = Change::Unreserve(vec![reserved.clone()]);
    let shows = |checkpoint: &CheckpointFacts| match committed(checkpoint) {
        Some(now) => amount(now, &reserved) < before,
        None => false,
    };
    match errand.call(&facts, change, &shows)? {
        Called::Done => say("unreserved: done\n", context),
        Called::Refused(error) => Err(anyhow!(
            "the volume is destroyed; its space is still reserved: {}",
            chain(&error)
        ))
        .exit(Exit::Error),
        Called::Undecided(why) => Err(undecided(
            &why,
            "the volume is destroyed",
            context.settings().master.confirm,
        ))
        .exit(Exit::Error),
    }
}

/// A line more for people; JSON was printed as a whole.
fn say(line: &str, context: &Context) -> anyhow::Result<()> {
    if context.output.is_json() {
        return Ok(());
    }
    context.output.text(line)
}

/// How much there is of resources that are like this one, in thousandths of a megabyte.
pub(in crate::cli) fn amount(of: &[Resource], like: &Resource) -> i64 {
    of.iter()
        .filter(|one| {
            one.reservations == like.reservations
                && one.source == like.source
                && one.persistence.is_none()
                && one.name == like.name
        })
        .filter_map(Resource::megabytes)
        .fold(0, |sum, one| sum.saturating_add(one.thousandths()))
}

fn free_of(facts: &Facts, like: &Resource) -> i64 {
    crate::decide::own::committed(&facts.checkpoint).map_or(0, |now| amount(now, like))
}

fn dry_run(key: &VolumeKey, unreserve: bool, context: &Context) -> anyhow::Result<Exit> {
    let observer = Observer::new(context.settings());
    let words = Words {
        destroy: Some(Destroying {
            volume: key.clone(),
            phase: Phase::SetAside,
        }),
        ..Words::default()
    };
    let (facts, checked) = look(&mut || observer.facts(&words))?;
    let plan = checked.plan();
    let mut calls = Vec::new();
    if let Some(volume) = listed(&facts, key) {
        calls.push(Change::Destroy(vec![volume.clone()]));
        let reserved = stripped_volume(volume);
        if unreserve && unreserved(&reserved).is_ok() {
            calls.push(Change::Unreserve(vec![reserved]));
        }
    }
    let hand = ByHand::new(context.settings());
    let lines: Vec<String> = calls
        .into_iter()
        .filter_map(|change| call_of(&facts, change))
        .map(|call| hand.line(&call))
        .collect::<anyhow::Result<_>>()?;
    let mut answer = serde_json::to_value(planned(plan, &[]))?;
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("calls".to_owned(), lines.clone().into());
    }
    context.output.value_or(&answer, |_| {
        let mut text = Text::new();
        if let Some(disk) = disk_of(&facts, key) {
            text.line(format_args!("{key} is held on {disk}"));
        }
        let mut text = text.into_string();
        text.push_str(&plan_text(plan));
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    })?;
    if facts.master.known().is_none() || plan.blocked() || lines.is_empty() {
        return Ok(Exit::Refused);
    }
    Ok(Exit::Done)
}
