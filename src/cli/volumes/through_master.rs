//! What `volumes create, adopt, destroy, grow, shrink` share: the way to the master, the calls as curl
//! would make them, and the wait for the agent's own checkpoint.

use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::destroy::amount;
use crate::act::master::{ChangeError, MasterLock, change};
use crate::act::store::Store;
use crate::cli::host::store;
use crate::cli::{Context, Exit, WithExit};
use crate::config::{AccessFiles, AccessSecrets, Settings};
use crate::daemon::observer::Observer;
use crate::daemon::{clients, destroy};
use crate::decide::facts::{CheckpointFacts, Facts, Words};
use crate::decide::lifecycle::Supply;
use crate::decide::own::{Shown, call_of, committed, reachable, shown};
use crate::decide::steps::MasterCall;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, CurlAs, curl, stripped_volume};
use crate::mesos::resource::{ReservationType, Resource};
use crate::observe::checkpoints::observe_committed;
use crate::observe::clock;
use crate::sys::http::Site;
use crate::units::{Raw, Span, chain};

/// How often the checkpoint is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The masters.
pub(in crate::cli) fn site(context: &Context) -> anyhow::Result<Site> {
    clients::master(context.settings()).context("the master can't be called")
}

/// A command that changes an agent's resources through the master: one at a time on this host. What it does
/// itself is to call, to look, and to write both down, so that a daemon may run beside it.
pub(in crate::cli) struct Errand<'a> {
    _lock: MasterLock,
    pub(in crate::cli) context: &'a Context,
    site: Site,
    pub(in crate::cli) observer: Observer,
    store: Store,
}

impl<'a> Errand<'a> {
    pub(in crate::cli) fn new(context: &'a Context) -> anyhow::Result<Self> {
        let site = site(context)?;
        let store = store(context)?;
        let lock = MasterLock::acquire(&store).context("the lock master.lock can't be taken")?;
        let Some(lock) = lock else {
            return Err(anyhow!(
                "another command that calls the master is at work on this host; wait until it has ended"
            ))
            .exit(Exit::Locked);
        };
        Ok(Self {
            _lock: lock,
            context,
            site,
            observer: Observer::new(context.settings()),
            store,
        })
    }

    /// The facts of now, with what the master says; refuses where a call would not arrive.
    pub(in crate::cli) fn facts(&self) -> anyhow::Result<Facts> {
        let facts = self.observer.facts_with_master(&Words::default())?;
        reachable(&facts)
            .map_err(|why| anyhow!("nothing was done: {why}"))
            .exit(Exit::Refused)?;
        Ok(facts)
    }

    /// Makes a call that is written down before and after, and waits until the agent's own checkpoint
    /// shows what it is for.
    pub(in crate::cli) fn call(
        &self,
        facts: &Facts,
        what: Change,
        shows: &dyn Fn(&CheckpointFacts) -> bool,
    ) -> anyhow::Result<Called> {
        let settings = self.context.settings();
        let Some(call) = call_of(facts, what) else {
            return Err(anyhow!("the master was not asked"));
        };
        let name = call.change.name();
        let audit = |event: &'static str, why: Option<&str>| self.audit(&call, event, why);
        audit("begin", None)?;
        let made = change(&self.site, &call.agent, &call.change, call.format);
        let mut lost = None;
        match made {
            Ok(()) => {}
            Err(error) if error.changed_nothing() => {
                audit("refused", Some(&chain(&error)))?;
                return Ok(Called::Refused(error));
            }
            Err(error) => lost = Some(chain(&error)),
        }
        if wait(settings, shows)? {
            audit("done", None)?;
            return Ok(Called::Done);
        }
        let why = lost.unwrap_or_else(|| {
            format!(
                "{name}: the agent's checkpoint does not show it after {}",
                settings.master.confirm
            )
        });
        audit("undecided", Some(&why))?;
        Ok(Called::Undecided(why))
    }

    /// Reserves what is to be reserved, creates the volume on it, and waits for each. Nothing is created on
    /// a reservation of which the agent's own checkpoint does not know.
    pub(in crate::cli) fn supply(
        &self,
        facts: &Facts,
        key: &VolumeKey,
        supply: &Supply,
    ) -> anyhow::Result<Supplied> {
        if let Some(part) = &supply.reserve {
            let before = committed(&facts.checkpoint).map_or(0, |now| amount(now, part));
            let shows = |checkpoint: &CheckpointFacts| {
                committed(checkpoint).is_some_and(|now| amount(now, part) > before)
            };
            match self.call(facts, Change::Reserve(vec![part.clone()]), &shows)? {
                Called::Done => {}
                Called::Refused(error) => return Ok(Supplied::NotReserved(error)),
                Called::Undecided(why) => return Ok(Supplied::PerhapsReserved(why)),
            }
        } else if !self.waits_for(&|now| knows(now, &supply.create))? {
            return Ok(Supplied::PerhapsReserved(format!(
                "the master lists the reservation, and the agent's checkpoint does not show it after {}",
                self.context.settings().master.confirm
            )));
        }
        let shows = |checkpoint: &CheckpointFacts| matches!(shown(checkpoint, key), Shown::Held(_));
        let create = Change::Create(vec![supply.create.clone()]);
        Ok(match self.call(facts, create, &shows)? {
            Called::Done => Supplied::Done,
            Called::Refused(error) => Supplied::NotCreated(error),
            Called::Undecided(why) => Supplied::PerhapsCreated(why),
        })
    }

    /// Unreserves what this command reserved; says what is left.
    pub(in crate::cli) fn give_back(&self, facts: &Facts, part: &Resource) -> String {
        let work_dir = &self.context.settings().agent.work_dir;
        let before = observe_committed(work_dir.as_path())
            .ok()
            .and_then(|now| committed(&now.checkpoint).map(|all| amount(all, part)))
            .unwrap_or_default();
        let shows = |checkpoint: &CheckpointFacts| {
            committed(checkpoint).is_some_and(|now| amount(now, part) < before)
        };
        match self.call(facts, Change::Unreserve(vec![part.clone()]), &shows) {
            Ok(Called::Done) => "; what was reserved for it is free again".to_owned(),
            Ok(Called::Refused(error)) => format!("; its disk is still reserved: {error}"),
            Ok(Called::Undecided(why)) => format!("; its disk may still be reserved: {why}"),
            Err(error) => format!("; its disk is still reserved: {error:#}"),
        }
    }

    /// Waits until the agent's own checkpoint is so; `false` when `master.confirm` is over.
    pub(in crate::cli) fn waits_for(
        &self,
        shows: &dyn Fn(&CheckpointFacts) -> bool,
    ) -> anyhow::Result<bool> {
        wait(self.context.settings(), shows)
    }

    /// Makes a call for another host's agent, written down before and after.
    pub(in crate::cli) fn send(&self, call: &MasterCall) -> anyhow::Result<Sent> {
        self.audit(call, "begin", None)?;
        let sent = match change(&self.site, &call.agent, &call.change, call.format) {
            Ok(()) => Sent::Taken,
            Err(error) if error.changed_nothing() => Sent::Refused(error),
            Err(error) => Sent::Unclear(chain(&error)),
        };
        match &sent {
            Sent::Taken => self.audit(call, "asked", None)?,
            Sent::Refused(error) => self.audit(call, "refused", Some(&chain(error)))?,
            Sent::Unclear(why) => self.audit(call, "undecided", Some(why))?,
        }
        Ok(sent)
    }

    /// A line of the audit log about a call.
    fn audit(
        &self,
        call: &MasterCall,
        event: &'static str,
        why: Option<&str>,
    ) -> anyhow::Result<()> {
        self.store.audit(&serde_json::json!({
            "at": clock::wall_seconds(),
            "step": "call",
            "subject": format!("{} for agent {}", call.change.name(), call.agent),
            "event": event,
            "body": call.change.body(&call.agent, call.format).ok(),
            "why": why,
        }))?;
        Ok(())
    }
}

/// As whom curl would make the calls.
pub(in crate::cli) fn who(files: &AccessFiles) -> CurlAs {
    let name =
        |file: &Option<std::path::PathBuf>| file.as_deref().map(|file| Raw::from(file).to_string());
    let principal = AccessSecrets::read(files)
        .ok()
        .and_then(|secrets| secrets.credentials)
        .map(|credentials| credentials.principal);
    CurlAs {
        principal,
        token_file: name(&files.token),
        ca_file: name(&files.authorities),
        cert_file: name(&files.certificate),
        key_file: name(&files.key),
    }
}

/// How calls are made by hand.
pub(in crate::cli) struct ByHand {
    url: String,
    who: CurlAs,
}

impl ByHand {
    /// At the master that leads, where that can be found out: curl takes no credentials along when it is
    /// sent on.
    pub(in crate::cli) fn new(settings: &Settings) -> Self {
        let leader = clients::master(settings).ok().and_then(|site| {
            crate::observe::master::version(&site).ok()?;
            site.leader()
        });
        Self {
            url: leader
                .or_else(|| settings.master.urls.first().cloned())
                .unwrap_or_default(),
            who: who(&settings.master.access),
        }
    }

    /// A call as curl would make it.
    pub(in crate::cli) fn line(&self, call: &MasterCall) -> anyhow::Result<String> {
        let body = call.change.body(&call.agent, call.format)?;
        Ok(curl(&self.url, &body, &self.who))
    }
}

/// How a call ended.
pub(in crate::cli) enum Called {
    /// The agent's checkpoint shows it.
    Done,
    /// The master refused it, or it never got there: nothing changed.
    Refused(ChangeError),
    /// Nobody knows: the time is over, or the master's answer was lost.
    Undecided(String),
}

/// How reserving and creating ended.
pub(in crate::cli) enum Supplied {
    /// The agent's checkpoint shows the volume.
    Done,
    /// Nothing was reserved, and nothing created.
    NotReserved(ChangeError),
    /// Nothing was created; nobody knows whether it is reserved.
    PerhapsReserved(String),
    /// It is reserved, and nothing was created.
    NotCreated(ChangeError),
    /// It is reserved, and nobody knows whether it will be created.
    PerhapsCreated(String),
}

/// Whether the agent knows of the reservation that this volume is created on: a static one is in its
/// `--resources`.
fn knows(checkpoint: &CheckpointFacts, volume: &Resource) -> bool {
    let on = stripped_volume(volume);
    let dynamic = |one: &crate::mesos::resource::Reservation| one.kind == ReservationType::Dynamic;
    if !on.reservations.iter().any(dynamic) {
        return true;
    }
    let size = on.megabytes().unwrap_or_default().thousandths();
    committed(checkpoint).is_some_and(|now| amount(now, &on) >= size)
}

/// What became of a call for another host's agent, whose checkpoint can't be read from here.
pub(in crate::cli) enum Sent {
    /// The master took it: it is valid, and on its way.
    Taken,
    /// The master refused it, or it never got there: nothing changed.
    Refused(ChangeError),
    /// Nobody knows.
    Unclear(String),
}

/// Waits until the agent's own checkpoint is so; `false` when `master.confirm` is over.
fn wait(settings: &Settings, shows: &dyn Fn(&CheckpointFacts) -> bool) -> anyhow::Result<bool> {
    let begin = clock::since_boot();
    loop {
        let now = observe_committed(settings.agent.work_dir.as_path())?;
        if shows(&now.checkpoint) {
            return Ok(true);
        }
        if clock::since_boot().minus(begin) >= settings.master.confirm {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

/// An undecided end, said as such.
pub(in crate::cli) fn undecided(why: &str, left: &str, limit: Span) -> anyhow::Error {
    anyhow!("{}", destroy::undecided(why, left, limit))
}
