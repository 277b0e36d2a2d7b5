//! `janitor`: destroys the volumes and unreserves the resources that a removed framework left, here or
//! on all agents, through the leading master.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::volumes::destroy;
use super::volumes::through_master::{self as through, ByHand, Called, Errand, Sent};
use super::{Align, Context, Exit, Table, Text, WithExit};
use crate::config::Settings;
use crate::daemon::answers::plan::StepResult;
use crate::daemon::operate::Ending;
use crate::decide::facts::{CheckpointFacts, Known, OperationState, Words};
use crate::decide::janitor::{Agent, Cluster, Left, Share, Stay, Whose, left};
use crate::decide::own::{committed, reachable};
use crate::decide::steps::MasterCall;
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::operator::{AgentEntry, Change, ResourceFormat};
use crate::mesos::resource::Resource;
use crate::observe::master;
use crate::sys::http::Site;
use crate::units::{Megabytes, Raw, chain};

/// Destroy the volumes and unreserve the resources that a removed framework left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Destroys the volumes and unreserves the resources that a removed framework left, on the \
        agent of this host, or on all through the leading master. The plan is printed first; a volume in \
        use stays. A framework counts as removed only where the leading master lists it as completed, or \
        where its id is typed after --confirm. After a failover a master does not know frameworks that \
        live, so --role and --principal wait until it leads for longer than the longest failover_timeout.",
    after_help = "\
Example: mesos-volumed janitor --framework 53ab8732-fd96-11e5-8e70-76a1c19f8c3d-0000 --all-agents --dry-run
  prints the plan, and the calls as curl would make them, and does nothing

Example: mesos-volumed janitor --framework 53ab8732-fd96-11e5-8e70-76a1c19f8c3d-0000
  on this host alone; each volume goes aside by one rename before its agent is asked to destroy it

Example: mesos-volumed janitor --role old-team --all-agents --output json
  everything that is reserved for a role, on every agent, told to a program

On other agents \"asked\" is the most that can be told: the master took the call, and the agent's own
checkpoint, which its sidecar reads, tells the rest. It can be run again."
)]
#[command(group(
    clap::ArgGroup::new("whose").required(true).args(["role", "principal", "framework"])
))]
#[group(skip)]
pub(super) struct Args {
    /// Everything that is reserved for this role
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Everything that this principal reserved
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// Everything of the framework with this id
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    /// On every agent of the master, not on this host's alone
    #[arg(long)]
    all_agents: bool,
    /// The framework's id again, where the master does not list it as completed
    #[arg(long, value_name = "ID", requires = "framework")]
    confirm: Option<String>,
    /// Print the plan with the calls as curl would make them, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn whose(&self) -> anyhow::Result<Whose> {
        if self.confirm.is_some() && self.framework.is_none() {
            return Err(anyhow!("--confirm types the id of a --framework again"));
        }
        match (&self.role, &self.principal, &self.framework) {
            (Some(role), ..) => {
                let role = Role::new(role.as_str());
                if role.is_unreserved() {
                    return Err(anyhow!("`*` stands for no reservation; name a role"));
                }
                Ok(Whose::Role(role))
            }
            (None, Some(principal), _) => Ok(Whose::Principal(Raw::from(principal.as_str()))),
            (None, None, Some(id)) => Ok(Whose::Framework(Raw::from(id.as_str()))),
            (None, None, None) => Err(anyhow!("name --role, --principal or --framework")),
        }
    }
}

/// One agent with what is to be done there.
struct Target {
    id: Raw,
    hostname: Raw,
    here: bool,
    share: Share,
}

#[derive(Serialize)]
struct Wanted {
    agent: Raw,
    hostname: Raw,
    step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    resource: String,
    disk: String,
    size_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
}

#[derive(Serialize)]
struct KeptRow {
    agent: Raw,
    hostname: Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    code: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Ended {
    agent: Raw,
    what: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

#[derive(Serialize)]
struct Answer {
    steps: Vec<Wanted>,
    kept: Vec<KeptRow>,
    outcomes: Vec<Ended>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let whose = args.whose().exit(Exit::Usage)?;
    let site = through::site(context)?;
    let format = ResourceFormat::of(master::version(&site)?);
    let left = removed(&whose, args.confirm.as_deref(), &site, settings)?;
    let targets = targets(&left, args.all_agents, &site, settings)?;
    let (steps, kept) = planned(&targets, format, args.dry_run, settings)?;
    let mut answer = Answer {
        steps,
        kept,
        outcomes: Vec::new(),
    };
    if !context.output.is_json() {
        context.output.text(&plan_text(&answer, &whose, context))?;
    }
    if !args.dry_run && !answer.steps.is_empty() {
        let work = Work {
            errand: &Errand::new(context)?,
            format,
        };
        for target in &targets {
            work.on(target, &mut answer.outcomes)?;
        }
    }
    context.output.value_or(&answer, |_| ended_text(&answer))?;
    let any = |is: &[&str]| answer.outcomes.iter().any(|one| is.contains(&one.outcome));
    Ok(if any(&["failed", "undecided"]) {
        Exit::Error
    } else if any(&["refused"]) || !answer.kept.is_empty() {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// Whether these are things that were left; refuses otherwise.
fn removed(
    whose: &Whose,
    typed: Option<&str>,
    site: &Site,
    settings: &Settings,
) -> anyhow::Result<Left> {
    let leader = master::leader(site)?;
    let frameworks = master::frameworks(site)?;
    // A new leader forgets frameworks that live: the list has to be that of the one that told its age.
    let still = master::leader(site)?;
    if still.info.id != leader.info.id || still.info.elected != leader.info.elected {
        let code = Stay::ElectedRecently;
        return Err(anyhow!(
            "{code}: another master was elected while this one was asked; nothing was done"
        ))
        .exit(Exit::Refused);
    }
    let cluster = Cluster {
        frameworks: &frameworks,
        elected_for: leader.elected_for,
        longest_failover: settings.master.longest_failover,
    };
    left(whose, cluster, typed)
        .map_err(|(code, why)| anyhow!("{code}: {why}; nothing was done"))
        .exit(Exit::Refused)
}

/// The agents that have something of it.
fn targets(
    left: &Left,
    all: bool,
    site: &Site,
    settings: &Settings,
) -> anyhow::Result<Vec<Target>> {
    let pending: BTreeSet<VolumeKey> = master::operations(site)?
        .into_iter()
        .filter(|one| {
            matches!(
                one.operation.state,
                OperationState::Pending | OperationState::Unclear
            )
        })
        .flat_map(|one| one.operation.volumes)
        .filter_map(|one| one.volume_key())
        .collect();
    let protect = &settings.policy().protect;
    let ours = ours(all, settings)?;
    let mut found = Vec::new();
    let mut each = |entry: AgentEntry| {
        let used = entry.used.clone().unwrap_or_default();
        let hides = match (&entry.used, entry.hides()) {
            (_, Some(why)) => Some(why),
            (None, None) => Some("the master does not tell what tasks use".to_owned()),
            (Some(_), None) => None,
        };
        let agent = Agent {
            active: entry.active,
            resources: &entry.resources,
            used: &used,
            hides: hides.as_deref(),
        };
        let share = left.on(agent, &pending, protect);
        if !share.is_empty() {
            found.push(Target {
                here: ours.as_ref() == Some(&entry.id),
                id: entry.id,
                hostname: entry.hostname,
                share,
            });
        }
    };
    if all {
        master::agents_with_use(site, &mut each)?;
    } else {
        let id = ours
            .as_ref()
            .context("the agent of this host is not known")?;
        let entry = master::agent(site, id)?
            .with_context(|| format!("the master does not have agent {id} of this host registered"))
            .exit(Exit::Refused)?;
        each(entry);
    }
    Ok(found)
}

/// The agent of this host. Where all agents are meant there may be none.
fn ours(all: bool, settings: &Settings) -> anyhow::Result<Option<Raw>> {
    let observed =
        crate::observe::checkpoints::observe_committed(settings.agent.work_dir.as_path());
    match observed {
        Ok(observed) => match observed.latest {
            Known::Known(id) => Ok(Some(id)),
            Known::Absent => Ok(None),
            Known::Unknown(why) => Err(anyhow!("{why}")),
        },
        Err(error) if all => {
            tracing::debug!(error = chain(&error), "this host has no agent");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn describe(resource: &Resource) -> String {
    resource.volume_key().map_or_else(
        || {
            let role = resource
                .role()
                .map_or_else(String::new, ToString::to_string);
            format!("{} reserved for {role}", resource.name)
        },
        |key| key.to_string(),
    )
}

fn planned(
    targets: &[Target],
    format: ResourceFormat,
    with_calls: bool,
    settings: &Settings,
) -> anyhow::Result<(Vec<Wanted>, Vec<KeptRow>)> {
    let (mut steps, mut kept) = (Vec::new(), Vec::new());
    let hand = with_calls.then(|| ByHand::new(settings));
    for target in targets {
        let share = &target.share;
        let destroy = share.destroy.iter().map(|one| ("destroy", one));
        let unreserve = share.unreserve.iter().map(|one| ("unreserve", one));
        for (step, one) in destroy.chain(unreserve) {
            let change = match step {
                "destroy" => Change::Destroy(vec![one.clone()]),
                _ => Change::Unreserve(vec![one.clone()]),
            };
            let call = MasterCall {
                agent: target.id.clone(),
                format,
                change,
            };
            let key = one.volume_key();
            steps.push(Wanted {
                agent: target.id.clone(),
                hostname: target.hostname.clone(),
                step,
                role: one.role().map(ToString::to_string),
                id: key.map(|key| key.id.to_string()),
                resource: one.name.to_string(),
                // The work_dir of other agents is theirs.
                disk: match one.source {
                    None => "ROOT".to_owned(),
                    Some(_) => one
                        .disk(&settings.agent.work_dir)
                        .map_or_else(|| "-".to_owned(), |disk| disk.to_string()),
                },
                size_mb: one.megabytes().map(Megabytes::as_f64),
                call: hand.as_ref().map(|hand| hand.line(&call)).transpose()?,
            });
        }
        kept.extend(share.stays.iter().map(|stays| KeptRow {
            agent: target.id.clone(),
            hostname: target.hostname.clone(),
            what: stays.resource.as_ref().map(describe),
            code: stays.code.code(),
            detail: stays.detail.clone(),
        }));
    }
    Ok((steps, kept))
}

fn plan_text(answer: &Answer, whose: &Whose, context: &Context) -> String {
    let mut table = Table::new(&[
        ("STEP", Align::Left),
        ("AGENT", Align::Left),
        ("WHAT", Align::Left),
        ("DISK", Align::Left),
        ("MB", Align::Right),
    ]);
    for step in &answer.steps {
        let what = match (&step.role, &step.id) {
            (Some(role), Some(id)) => format!("{role}/{id}"),
            (Some(role), None) => format!("{} of {role}", step.resource),
            (None, _) => step.resource.clone(),
        };
        table.row(vec![
            step.step.to_owned(),
            step.hostname.to_string(),
            what,
            step.disk.clone(),
            step.size_mb
                .map_or_else(|| "-".to_owned(), |size| size.to_string()),
        ]);
    }
    let mut text = Text::new();
    for kept in &answer.kept {
        text.line(format_args!(
            "kept: {} on {}: {}: {}",
            kept.what.as_deref().unwrap_or("everything"),
            kept.hostname,
            kept.code,
            kept.detail
        ));
    }
    for call in answer.steps.iter().filter_map(|step| step.call.as_ref()) {
        text.line(call);
    }
    if answer.steps.is_empty() && answer.kept.is_empty() {
        text.line(format_args!("{whose} left nothing"));
    }
    format!("{}{}", context.output.rendered(&table), text.into_string())
}

fn ended_text(answer: &Answer) -> String {
    let mut text = Text::new();
    for one in &answer.outcomes {
        let why = if one.why.is_empty() {
            String::new()
        } else {
            format!(": {}", one.why)
        };
        text.line(format_args!(
            "{} on agent {}: {}{why}",
            one.what, one.agent, one.outcome
        ));
    }
    text.into_string()
}

struct Work<'a> {
    errand: &'a Errand<'a>,
    format: ResourceFormat,
}

impl Work<'_> {
    /// Volumes first; what of an agent could not be destroyed stays reserved.
    fn on(&self, target: &Target, ended: &mut Vec<Ended>) -> anyhow::Result<()> {
        let mut left = Vec::new();
        for volume in &target.share.destroy {
            let (outcome, why) = if target.here {
                self.destroy_here(volume)
            } else {
                self.send(target, Change::Destroy(vec![volume.clone()]))?
            };
            if !matches!(outcome, "done" | "asked") {
                left.push(crate::mesos::operator::stripped_volume(volume));
            }
            ended.push(Ended {
                agent: target.id.clone(),
                what: format!("destroy {}", describe(volume)),
                outcome,
                why,
            });
        }
        for reserved in &target.share.unreserve {
            if let Some(at) = left.iter().position(|one| one == reserved) {
                left.remove(at);
                continue;
            }
            let change = Change::Unreserve(vec![reserved.clone()]);
            let (outcome, why) = if target.here {
                self.unreserve_here(reserved, change)?
            } else {
                self.send(target, change)?
            };
            ended.push(Ended {
                agent: target.id.clone(),
                what: format!("unreserve {}", describe(reserved)),
                outcome,
                why,
            });
        }
        Ok(())
    }

    /// As `volumes destroy` does it: aside first, and confirmed by the agent's own checkpoint; by the
    /// daemon where one runs.
    fn destroy_here(&self, volume: &Resource) -> (&'static str, String) {
        let Some(key) = volume.volume_key() else {
            return ("failed", "it is no volume".to_owned());
        };
        let context = self.errand.context;
        let operated = match destroy::carry_out(&key, context) {
            Ok(operated) => operated,
            Err(error) => {
                let refused = super::exit::of(&error) == Exit::Refused;
                let outcome = if refused { "refused" } else { "failed" };
                return (outcome, format!("{error:#}"));
            }
        };
        let failed = || {
            let steps = operated.planned.outcomes.iter();
            let failed = steps.filter(|step| step.result == StepResult::Failed);
            failed
                .map(|step| step.text.clone())
                .collect::<Vec<_>>()
                .join("; ")
        };
        let why = operated.why.clone().unwrap_or_else(failed);
        match operated.result {
            Ending::Done => ("done", why),
            // It is gone, and a guard keeps its data.
            Ending::Refused if destroy::is_destroyed(&key, context).unwrap_or(false) => {
                ("done", why)
            }
            Ending::Refused => ("refused", why),
            Ending::Failed => ("failed", why),
        }
    }

    fn unreserve_here(
        &self,
        reserved: &Resource,
        change: Change,
    ) -> anyhow::Result<(&'static str, String)> {
        let facts = self.errand.observer.facts_with_master(&Words::default())?;
        if let Err(why) = reachable(&facts) {
            return Ok(("failed", why));
        }
        let there = |checkpoint: &CheckpointFacts| {
            committed(checkpoint).map(|all| destroy::amount(all, reserved))
        };
        let before = there(&facts.checkpoint).unwrap_or_default();
        let is_disk = reserved.megabytes().is_some() && reserved.name.as_bytes() == b"disk";
        let shows = |checkpoint: &CheckpointFacts| {
            // Of other resources the checkpoint is asked whether it has them as they were.
            let gone = committed(checkpoint).is_some_and(|all| !all.contains(reserved));
            gone || (is_disk && there(checkpoint).is_some_and(|now| now < before))
        };
        let called = self.errand.call(&facts, change, &shows)?;
        Ok(match called {
            Called::Done => ("done", String::new()),
            Called::Refused(error) => ("refused", chain(&error)),
            Called::Undecided(why) => ("undecided", why),
        })
    }

    fn send(&self, target: &Target, change: Change) -> anyhow::Result<(&'static str, String)> {
        let call = MasterCall {
            agent: target.id.clone(),
            format: self.format,
            change,
        };
        Ok(match self.errand.send(&call)? {
            Sent::Taken => ("asked", String::new()),
            Sent::Refused(error) => ("refused", chain(&error)),
            Sent::Unclear(why) => ("undecided", why),
        })
    }
}
