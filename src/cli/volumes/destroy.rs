//! `volumes destroy`: aside by one rename, destroyed through the master, confirmed by the agent's
//! own checkpoint, wiped behind (design §6).

use anyhow::anyhow;

use super::through_master::{self as through, Called, by_hand, undecided};
use super::{confirmed, volume_key};
use crate::act::executor::StepOutcome;
use crate::act::outcome::{Outcome, StepError};
use crate::cli::host::Owner;
use crate::cli::plan_text::{kept_text, plan_text};
use crate::cli::{Context, Exit, Text, WithExit};
use crate::daemon::answers::plan::{became, planned};
use crate::daemon::observer::Observer;
use crate::daemon::pass::{Pass, look};
use crate::decide::facts::{CheckpointFacts, Destroying, Facts, Phase, Words};
use crate::decide::listing::{self, VolumeState};
use crate::decide::own::{Shown, call_of, disk_of, listed, shown};
use crate::decide::steps::Kept;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, stripped_volume, unreserved};
use crate::mesos::resource::Resource;
use crate::sys::http::Site;
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

fn words(key: &VolumeKey, phase: Phase) -> Words {
    Words {
        destroy: Some(Destroying {
            volume: key.clone(),
            phase,
        }),
        ..Words::default()
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(&args.volume).exit(Exit::Usage)?;
    if args.dry_run {
        return dry_run(&key, args.unreserve, context);
    }
    confirmed(&key, args.confirm.as_deref().unwrap_or_default())?;
    let site = through::site(context)?;
    let owner = Owner::new(context)?;
    let mut said = Said::default();
    let ended = carry_out(&key, (&owner, &site), context, &mut said);
    said.print(context)?;
    let Ended { volume, left } = ended?;
    if args.unreserve
        && let Some(volume) = volume
    {
        give_back(&owner, context, &site, &volume)?;
    }
    if !left.is_empty() {
        return Err(anyhow!(
            "{key} is destroyed, and its data was kept: {}",
            reasons(&left)
        ))
        .exit(Exit::Refused);
    }
    Ok(if said.failed() {
        Exit::Error
    } else {
        Exit::Done
    })
}

/// A volume that is destroyed.
pub(in crate::cli) struct Ended {
    /// As the master listed it.
    volume: Option<Resource>,
    /// What of its data was kept, and why.
    pub(in crate::cli) left: Vec<Kept>,
}

/// Destroys a volume, from the rename to the wipe; an error says what is left.
pub(in crate::cli) fn carry_out(
    key: &VolumeKey,
    (owner, site): (&Owner, &Site),
    context: &Context,
    said: &mut Said,
) -> anyhow::Result<Ended> {
    let aside = owner.pass_calling(&words(key, Phase::SetAside), site)?;
    let volume = listed(&aside.facts, key).cloned();
    known(key, &aside)?;
    let refusals = said.take(aside, key);
    if said.failed() || !refusals.is_empty() {
        // What was moved before something failed goes back: the master was not asked.
        let settled = owner.pass_calling(&words(key, Phase::Settle), site)?;
        said.take(settled, key);
        return Err(refused(key, &refusals));
    }

    let mut refused_by = None;
    if !matches!(shown(&said.checkpoint(), key), Shown::Gone) {
        let asked = owner.pass_calling(&words(key, Phase::Ask), site)?;
        let refusals = said.take(asked, key);
        let call = said.steps.iter().rev().find(|step| step.step == "call");
        let (wait, why) = match call.map(|step| &step.outcome) {
            Some(Outcome::Done(_)) => (true, None),
            Some(Outcome::Failed(StepError::Master { source, .. })) => {
                (!source.changed_nothing(), Some(chain(source.as_ref())))
            }
            // It did not come to a call.
            Some(_) | None => (false, None),
        };
        if wait {
            let gone = |checkpoint: &CheckpointFacts| shown(checkpoint, key) == Shown::Gone;
            through::wait(context.settings(), &gone)?;
        } else {
            refused_by = Some((why, refusals));
        }
    }

    let settled = owner.pass_calling(&words(key, Phase::Settle), site)?;
    let facts = settled.facts.clone();
    let left = said.take(settled, key);
    if let Some((why, refusals)) = refused_by {
        let back = if waiting(&facts, key) {
            "its data waits in the trash, unconfirmed, and is never wiped from there as long as the \
             volume may be held; run the command again"
        } else {
            "it is as it was"
        };
        if let Some(why) = why {
            return Err(anyhow!("{key} was not destroyed: {why}; {back}")).exit(Exit::Error);
        }
        return Err(refused(key, &refusals));
    }
    match shown(&facts.checkpoint, key) {
        Shown::Gone => Ok(Ended { volume, left }),
        Shown::Held(_) | Shown::InFlight | Shown::Doubtful => {
            let left = if waiting(&facts, key) {
                "its data lies in the trash, unconfirmed: it is wiped once the agent's checkpoint \
                 names the volume no more, and put back once the agent has registered again and \
                 still holds it"
            } else {
                "nothing was moved"
            };
            let why = format!("the agent's checkpoint still names {key}");
            Err(undecided(&why, left, context.settings().master.confirm)).exit(Exit::Error)
        }
    }
}

/// Whether an unconfirmed entry holds the data.
fn waiting(facts: &Facts, key: &VolumeKey) -> bool {
    facts.roots.iter().any(|root| {
        root.trash
            .known()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.manifest.known())
            .any(|manifest| manifest.unconfirmed && manifest.volume == *key)
    })
}

/// Refuses what is not held here, and is no destroy of ours that waits.
fn known(key: &VolumeKey, pass: &Pass) -> anyhow::Result<()> {
    let rows = listing::volumes(&pass.facts, &pass.last);
    let held = rows.iter().any(|row| {
        row.key.as_ref() == Some(key)
            && matches!(
                row.state,
                VolumeState::Held | VolumeState::Pending | VolumeState::Vanished
            )
    });
    let ended = pass.outcomes.iter().any(|step| step.step == "confirm");
    if held || ended || waiting(&pass.facts, key) {
        return Ok(());
    }
    Err(anyhow!(
        "no_such_volume: the agent on this host holds no volume {key}, and nothing was done; what \
         lies on its disks without being held is `mesos-volumed wipe`'s"
    ))
    .exit(Exit::Refused)
}

fn refused(key: &VolumeKey, refusals: &[Kept]) -> anyhow::Error {
    let (why, exit) = if refusals.is_empty() {
        ("a step failed".to_owned(), Exit::Error)
    } else {
        (reasons(refusals), Exit::Refused)
    };
    exit.error(anyhow!("{key} was not destroyed: {why}"))
}

pub(in crate::cli) fn reasons(kept: &[Kept]) -> String {
    let mut all: Vec<String> = kept
        .iter()
        .flat_map(|kept| &kept.reasons)
        .map(|reason| format!("{reason}; {}", reason.code.remedy()))
        .collect();
    all.sort();
    all.dedup();
    all.join("; ")
}

/// Unreserves what the volume stood on, where that was reserved dynamically.
fn give_back(
    owner: &Owner,
    context: &Context,
    site: &Site,
    volume: &Resource,
) -> anyhow::Result<()> {
    let reserved = stripped_volume(volume);
    if let Err(why) = unreserved(&reserved) {
        context.output.text(&format!("not unreserved: {why}\n"))?;
        return Ok(());
    }
    let facts = through::facts(owner)?;
    let before = free_of(&facts, &reserved);
    let change = Change::Unreserve(vec![reserved.clone()]);
    let shows = |checkpoint: &CheckpointFacts| match crate::decide::own::committed(checkpoint) {
        Some(now) => amount(now, &reserved) < before,
        None => false,
    };
    match through::call(owner, context, &facts, site, change, &shows)? {
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
    let (facts, checked) = look(&mut || observer.facts(&words(key, Phase::SetAside)))?;
    let plan = checked.plan();
    let mut calls = Vec::new();
    if let Some(volume) = listed(&facts, key) {
        calls.push(Change::Destroy(vec![volume.clone()]));
        let reserved = stripped_volume(volume);
        if unreserve && unreserved(&reserved).is_ok() {
            calls.push(Change::Unreserve(vec![reserved]));
        }
    }
    let lines: Vec<String> = calls
        .into_iter()
        .filter_map(|change| call_of(&facts, change))
        .map(|call| by_hand(context.settings(), &call))
        .collect::<anyhow::Result<_>>()?;
    let answer = planned(plan, &[]);
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

/// What the passes of one command did.
#[derive(Default)]
pub(in crate::cli) struct Said {
    steps: Vec<StepOutcome>,
    last: Option<(crate::decide::plan::Plan, Facts)>,
}

impl Said {
    /// Takes a pass; gives back what it kept of the volume although it was to go.
    fn take(&mut self, pass: Pass, key: &VolumeKey) -> Vec<Kept> {
        let kept = pass
            .last
            .kept
            .iter()
            .filter(|kept| kept.due && kept.volume.as_ref() == Some(key))
            .cloned()
            .collect();
        self.steps.extend(pass.outcomes);
        self.last = Some((pass.last, pass.facts));
        kept
    }

    fn checkpoint(&self) -> CheckpointFacts {
        match &self.last {
            Some((_, facts)) => facts.checkpoint.clone(),
            None => CheckpointFacts {
                state: crate::decide::facts::CheckpointFile::Missing,
                state_target: crate::decide::facts::CheckpointFile::Missing,
                info: crate::decide::facts::CheckpointFile::Missing,
                info_target: crate::decide::facts::CheckpointFile::Missing,
            },
        }
    }

    fn failed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    fn print(&self, context: &Context) -> anyhow::Result<()> {
        let Some((plan, _)) = &self.last else {
            return Ok(());
        };
        context.output.value_or(&planned(plan, &self.steps), |_| {
            let mut text = Text::new();
            for step in &self.steps {
                text.line(became(step).text);
            }
            let mut text = text.into_string();
            text.push_str(&kept_text(&planned(plan, &[])));
            text
        })?;
        Ok(())
    }
}
