//! `marathon wipe`: Marathon's two steps in one, and what became of the data.
//!
//! Three things are kept apart. *Marathon* is told to wipe an instance, after a last look at it. *Mesos*
//! drops its volumes, which the agent's own checkpoint tells, never Marathon. *The data* is gone when a
//! sweep of its host says so; this command moves and deletes nothing itself.
//!
//! What Marathon was told is written down first: once it has dropped an instance nobody could say any
//! more which volumes that had.

mod choose;
mod end;

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use self::choose::{Target, Verdict, choose};
use self::end::{End, Ended, Mesos};
use super::{one, site};
use crate::act::marathon::{
    Deletion, WipeLock, delete_task, delete_task_path, wipe_pod_instance, wipe_pod_instance_path,
};
use crate::act::store::Store;
use crate::cli::host::operate;
use crate::cli::volumes::through_master::who;
use crate::cli::{Context, Exit, Text, WithExit};
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Sweep};
use crate::daemon::pass::look;
use crate::decide::facts::{Known, MarathonWipe, MarathonWipes, Words};
use crate::decide::listing;
use crate::decide::marathon::{Instance, Kind, Stays, Way};
use crate::mesos::ids::PersistenceId;
use crate::mesos::marathon::TaskState;
use crate::mesos::operator::by_hand;
use crate::observe::{clock, state_dir};
use crate::sys::http::{Site, SiteError};
use crate::units::{Raw, Span, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The app or pod
    #[arg(value_name = "APP", required_unless_present = "group")]
    app: Option<String>,
    /// Only this instance, as `marathon tasks` shows it
    #[arg(long, value_name = "ID", conflicts_with_all = ["waiting", "group"])]
    task: Option<String>,
    /// Only instances that wait
    #[arg(long)]
    waiting: bool,
    /// Every app and pod of this group, those first that depend on others
    #[arg(long, value_name = "GROUP", conflicts_with = "app")]
    group: Option<String>,
    /// End what runs, and give its app one instance less for each
    #[arg(long)]
    scale: bool,
    /// Print what would be done, with the calls as curl would make them, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for each of Marathon, Mesos and the data of an instance
    #[arg(long, value_name = "SPAN", default_value = "5m")]
    wait: Span,
}

/// How often Marathon is asked again.
const ASK: std::time::Duration = std::time::Duration::from_millis(300);

/// What is told of an instance.
#[derive(Debug, Serialize)]
struct Said {
    app: String,
    task: String,
    host: Option<String>,
    here: bool,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stays: Option<Stays>,
    /// The calls as curl would make them, of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<String>,
    /// What became of it as a whole, where that is no matter of its volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    volumes: Vec<Ended>,
}

#[derive(Debug, Serialize)]
struct Answer {
    instances: Vec<Said>,
}

impl Said {
    fn new(target: &Target) -> Self {
        let wipe = &target.wipe;
        let (verdict, stays) = match &target.verdict {
            Verdict::May(Way::Wipe) => ("wipe", None),
            Verdict::May(Way::ScaleAndWipe) => ("scale_and_wipe", None),
            Verdict::Begun => ("begun_before", None),
            Verdict::Stays(stays) => ("stays", Some(*stays)),
        };
        Self {
            app: wipe.app.clone(),
            task: wipe.instance.clone(),
            host: wipe.host.clone(),
            here: wipe.here,
            verdict,
            stays,
            calls: Vec::new(),
            why: stays.map(|stays| stays.to_string()),
            volumes: wipe.volumes.iter().map(|id| Ended::open(id)).collect(),
        }
    }

    fn line(&self) -> String {
        let host = self.host.as_deref().unwrap_or("an unknown host");
        let here = if self.here { " (this host)" } else { "" };
        format!(
            "{} {} on {}{here}",
            Raw::from(self.app.as_str()),
            Raw::from(self.task.as_str()),
            Raw::from(host)
        )
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let marathon = site(context)?;
    let here = here(context)?;
    let path = Raw::from(context.settings().daemon.state_dir.as_path());
    if args.dry_run {
        let journal = journal(&path)?;
        let targets = choose(args, &marathon, &journal, &here)?;
        return dry_run(&targets, context);
    }
    let store = Store::open(&context.settings().daemon.state_dir)?;
    let lock = WipeLock::acquire(&store).context("the lock marathon.lock can't be taken")?;
    let Some(_lock) = lock else {
        return Err(anyhow!(
            "another `marathon wipe` is at work; wait until it has ended"
        ))
        .exit(Exit::Locked);
    };
    let journal = journal(&path)?;
    let targets = choose(args, &marathon, &journal, &here)?;
    let stays = |target: &Target| matches!(target.verdict, Verdict::Stays(_));
    if targets.iter().any(stays) {
        print(targets.iter().map(Said::new).collect(), context)?;
        return Err(anyhow!("nothing was done: not all of it may go")).exit(Exit::Refused);
    }
    let mut doing = Doing {
        args,
        context,
        marathon,
        mesos: Mesos::new(context)?,
        store,
        journal,
    };
    doing.all(&targets)
}

/// The persistence ids that this host has anything of.
fn here(context: &Context) -> anyhow::Result<BTreeSet<String>> {
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    let rows = listing::volumes(&facts, checked.plan());
    let keys = rows.into_iter().filter_map(|row| row.key);
    Ok(keys.map(|key| key.id.to_string()).collect())
}

fn journal(state_dir: &Raw) -> anyhow::Result<MarathonWipes> {
    match state_dir::marathon_wipes(state_dir) {
        Known::Known(wipes) => Ok(wipes),
        Known::Absent => Ok(MarathonWipes::default()),
        Known::Unknown(why) => Err(anyhow!("{why}")),
    }
}

fn dry_run(targets: &[Target], context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let url = settings.marathon.url.as_deref().unwrap_or_default();
    let by = who(&settings.marathon.access);
    let all: Vec<Said> = targets
        .iter()
        .map(|target| Said {
            calls: calls(target)
                .iter()
                .map(|path| by_hand("DELETE", &format!("{url}{path}"), None, &by))
                .collect(),
            ..Said::new(target)
        })
        .collect();
    let exit = if all.iter().any(|one| one.stays.is_some()) {
        Exit::Refused
    } else {
        Exit::Done
    };
    print(all, context)?;
    Ok(exit)
}

/// The paths of the calls that are made for it, in their order.
fn calls(target: &Target) -> Vec<String> {
    let (app, id) = (target.wipe.app.as_str(), target.wipe.instance.as_str());
    let Verdict::May(way) = target.verdict else {
        return Vec::new();
    };
    let wipe = match target.kind {
        Kind::App => delete_task_path(app, id, Deletion::Wipe),
        Kind::Pod => wipe_pod_instance_path(app, id),
    };
    match way {
        Way::Wipe => vec![wipe],
        Way::ScaleAndWipe => vec![delete_task_path(app, id, Deletion::Scale), wipe],
    }
}

fn print(instances: Vec<Said>, context: &Context) -> anyhow::Result<()> {
    let answer = Answer { instances };
    context.output.value_or(&answer, |_| {
        let mut text = Text::new();
        if answer.instances.is_empty() {
            text.line(NOTHING);
        }
        for said in &answer.instances {
            match &said.why {
                Some(why) => text.line(format_args!("{}: stays: {why}", said.line())),
                None if said.verdict == "begun_before" => {
                    text.line(format_args!("{}: was begun before", said.line()));
                }
                None => text.line(format_args!("{}: would be wiped", said.line())),
            }
            for volume in &said.volumes {
                text.line(format_args!(
                    "  {}",
                    Raw::from(volume.persistence_id.as_str())
                ));
            }
            for call in &said.calls {
                text.line(format_args!("  {call}"));
            }
        }
        text.into_string()
    })
}

const NOTHING: &str = "nothing to wipe: no such instance has a persistent volume";

/// A run.
struct Doing<'a> {
    args: &'a Args,
    context: &'a Context,
    marathon: Site,
    mesos: Mesos,
    store: Store,
    journal: MarathonWipes,
}

/// How far an instance got with Marathon.
enum Told {
    /// Marathon lists it no more.
    Dropped,
    /// It stays.
    Stays(Stays),
    /// Nobody can say yet.
    Undecided(String),
    /// The call failed, and certainly changed nothing.
    Failed(SiteError),
}

/// An instance as Marathon has it now.
struct Now {
    kind: Kind,
    instance: Instance,
    verdict: Result<Way, Stays>,
}

/// How an instance ended.
struct Done {
    exit: Exit,
    /// What comes after it must not begin.
    stop: bool,
}

impl Doing<'_> {
    fn all(&mut self, targets: &[Target]) -> anyhow::Result<Exit> {
        let is_here =
            |target: &Target| target.wipe.here && !matches!(target.verdict, Verdict::Begun);
        if targets.iter().any(is_here) {
            // This host has to have seen that they were held: that is the evidence of their destroy.
            operate(self.context, Ask::Sweep(Sweep::default()))
                .context("nothing was done: this host can't be swept")?;
        }
        let mut instances = Vec::new();
        let mut exit = Exit::Done;
        let mut stopped = false;
        for target in targets {
            let mut said = Said::new(target);
            if stopped {
                let why = "not begun: what comes before it has not gone";
                self.say(&format!("{}: {why}", said.line()))?;
                said.why = Some(why.to_owned());
            } else {
                let done = self.target(target, &mut said)?;
                stopped = done.stop;
                exit = worse(exit, done.exit);
            }
            instances.push(said);
        }
        if self.context.output.is_json() {
            self.context.output.json(&Answer { instances })?;
        } else if instances.is_empty() {
            self.say(NOTHING)?;
        }
        Ok(exit)
    }

    fn say(&self, line: &str) -> anyhow::Result<()> {
        if self.context.output.is_json() {
            return Ok(());
        }
        self.context.output.text(&format!("{line}\n"))
    }

    /// One instance, from the last look at it to the last byte.
    fn target(&mut self, target: &Target, said: &mut Said) -> anyhow::Result<Done> {
        let mut wipe = target.wipe.clone();
        if !matches!(target.verdict, Verdict::Begun) {
            match self.tell(&mut wipe)? {
                Told::Dropped => self.say(&format!("{}: Marathon has dropped it", said.line()))?,
                Told::Stays(stays) => {
                    (said.verdict, said.stays) = ("stays", Some(stays));
                    return self.stop(said, &format!("stays: {stays}"), Exit::Refused);
                }
                Told::Failed(error) => {
                    let why = format!("nothing came of the call: {error}");
                    return self.stop(said, &why, Exit::Error);
                }
                Told::Undecided(why) => {
                    for volume in &mut said.volumes {
                        *volume = Ended::new(&volume.persistence_id, End::Held, why.clone());
                    }
                    let why = format!("undecided: {why}; run the same command again");
                    return self.stop(said, &why, Exit::Error);
                }
            }
        }
        let ids: BTreeSet<PersistenceId> = wipe
            .volumes
            .iter()
            .map(|id| PersistenceId::new(id.as_str()))
            .collect();
        said.volumes = if wipe.here {
            end::here(&ids, self.args.wait, self.context)?
        } else {
            self.mesos.end_there(&wipe, self.args.wait)
        };
        let mut exit = Exit::Done;
        for volume in &said.volumes {
            let id = Raw::from(volume.persistence_id.as_str());
            let detail = volume.detail.as_ref();
            let detail =
                detail.map_or_else(String::new, |why| format!(": {}", Raw::from(why.as_str())));
            self.say(&format!(
                "{}: {id}: {}{detail}",
                said.line(),
                volume.end.words()
            ))?;
            exit = worse(exit, volume.end.exit());
        }
        // Where no sidecar knew them none will ever tell.
        let nobody_can_tell =
            |one: &Ended| one.end == End::Unverified && !wipe.here && !wipe.known_there;
        if said
            .volumes
            .iter()
            .all(|one| one.end.is_over() || nobody_can_tell(one))
        {
            self.forget(&wipe)?;
        }
        Ok(Done {
            exit,
            stop: said.volumes.iter().any(|one| one.end == End::Held),
        })
    }

    fn stop(&self, said: &mut Said, why: &str, exit: Exit) -> anyhow::Result<Done> {
        self.say(&format!("{}: {}", said.line(), Raw::from(why)))?;
        said.why = Some(why.to_owned());
        Ok(Done { exit, stop: true })
    }

    /// Tells Marathon to wipe an instance, after a last look, and waits until it lists it no more.
    fn tell(&mut self, wipe: &mut MarathonWipe) -> anyhow::Result<Told> {
        wipe.known_there = !wipe.here && self.mesos.knows(wipe);
        let Some(now) = self.now(wipe)? else {
            self.remember(wipe)?;
            return Ok(Told::Dropped);
        };
        let way = match now.verdict {
            Ok(way) => way,
            Err(stays) => return Ok(Told::Stays(stays)),
        };
        wipe.instance = now.instance.id;
        self.remember(wipe)?;
        if way == Way::ScaleAndWipe {
            if let Some(error) = self.call("scale", wipe, &|marathon, wipe| {
                delete_task(marathon, &wipe.app, &wipe.instance, Deletion::Scale)
            })? {
                self.forget(wipe)?;
                return Ok(Told::Failed(error));
            }
            if let Some(why) = self.until("its task has not ended", wipe, &has_ended) {
                return Ok(Told::Undecided(why));
            }
        }
        if let Some(error) = self.call("wipe", wipe, &|marathon, wipe| match now.kind {
            Kind::App => delete_task(marathon, &wipe.app, &wipe.instance, Deletion::Wipe),
            Kind::Pod => wipe_pod_instance(marathon, &wipe.app, &wipe.instance),
        })? {
            return Ok(Told::Failed(error));
        }
        let dropped = |_: &mut MarathonWipe, now: Option<&Now>| now.is_none();
        Ok(
            match self.until("Marathon still lists it", wipe, &dropped) {
                None => Told::Dropped,
                Some(why) => Told::Undecided(why),
            },
        )
    }

    /// Asks Marathon until it says what is waited for; why it does not, when the time is over.
    fn until(
        &self,
        otherwise: &str,
        wipe: &mut MarathonWipe,
        holds: &dyn Fn(&mut MarathonWipe, Option<&Now>) -> bool,
    ) -> Option<String> {
        let begin = clock::since_boot();
        loop {
            let why = match self.now(wipe) {
                Ok(now) if holds(wipe, now.as_ref()) => return None,
                Ok(_) => otherwise.to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if clock::since_boot().minus(begin) >= self.args.wait {
                return Some(format!("{why} after {}", self.args.wait));
            }
            std::thread::sleep(ASK);
        }
    }

    /// What Marathon says of it now; `None` where it lists it no more.
    fn now(&self, wipe: &MarathonWipe) -> anyhow::Result<Option<Now>> {
        let app = one(&self.marathon, &wipe.app)?;
        Ok(app.and_then(|app| {
            let instance = app.instance(&wipe.instance, &wipe.volumes)?;
            Some(Now {
                kind: app.kind,
                verdict: app.may_wipe(instance, self.args.scale),
                instance: instance.clone(),
            })
        }))
    }

    /// Makes a call that is written down before and after; gives back the error of one that certainly
    /// changed nothing.
    fn call(
        &self,
        what: &'static str,
        wipe: &MarathonWipe,
        call: &dyn Fn(&Site, &MarathonWipe) -> Result<(), SiteError>,
    ) -> anyhow::Result<Option<SiteError>> {
        let audit = |event: &'static str, why: Option<String>| {
            self.store.audit(&serde_json::json!({
                "at": clock::wall_seconds(),
                "step": "marathon",
                "subject": format!("{what} {} of {}", wipe.instance, wipe.app),
                "event": event,
                "why": why,
            }))
        };
        audit("begin", Some(wipe.volumes.join(", ")))?;
        match call(&self.marathon, wipe) {
            Ok(()) => audit("done", None)?,
            // It is gone already.
            Err(SiteError::Refused { status: 404, .. }) => audit("done", Some("404".to_owned()))?,
            Err(error) if error.changed_nothing() => {
                audit("refused", Some(chain(&error)))?;
                return Ok(Some(error));
            }
            // Whether it was taken shows in what Marathon says next.
            Err(error) => audit("undecided", Some(chain(&error)))?,
        }
        Ok(None)
    }

    /// Writes down what is begun, before it is.
    fn remember(&mut self, wipe: &MarathonWipe) -> anyhow::Result<()> {
        self.journal.wipes.retain(|one| one.volumes != wipe.volumes);
        self.journal.wipes.push(wipe.clone());
        Ok(self.store.write_marathon_wipes(&self.journal)?)
    }

    fn forget(&mut self, wipe: &MarathonWipe) -> anyhow::Result<()> {
        self.journal.wipes.retain(|one| one.volumes != wipe.volumes);
        Ok(self.store.write_marathon_wipes(&self.journal)?)
    }
}

/// Whether the task of an instance whose app was scaled down has ended, or can't be reached: then it is
/// wiped when its agent is back.
fn has_ended(wipe: &mut MarathonWipe, now: Option<&Now>) -> bool {
    let Some(now) = now else {
        return true;
    };
    wipe.instance.clone_from(&now.instance.id);
    match now.verdict {
        Ok(Way::Wipe) => true,
        Ok(Way::ScaleAndWipe) => now.instance.state == TaskState::Lost,
        Err(_) => false,
    }
}

/// The exit code of both: an error wins.
fn worse(a: Exit, b: Exit) -> Exit {
    match (a, b) {
        (Exit::Error, _) | (_, Exit::Error) => Exit::Error,
        (Exit::Done, other) | (other, _) => other,
    }
}
