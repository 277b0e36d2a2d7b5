//! Asking all of them.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use super::sums::Sums;
use crate::config::Settings;
use crate::daemon::clients;
use crate::mesos::operator::AgentEntry;
use crate::mesos::resource::Resource;
use crate::observe::master;
use crate::observe::sidecar::{NoAnswer, Sidecars};
use crate::sys::http::Site;
use crate::units::{Megabytes, chain};

/// What is kept of an agent until its sidecar has answered.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) host: String,
    /// Volumes that the master believes it holds, and their size.
    pub(super) volumes: u32,
    pub(super) size: Megabytes,
    /// Volumes that tasks use, as `role/id`; `None` where the master does not tell.
    pub(super) used: Option<BTreeSet<Box<str>>>,
}

impl Agent {
    fn of(entry: &AgentEntry) -> Self {
        let volumes = entry
            .resources
            .iter()
            .filter(|one| one.persistence.is_some());
        let (mut count, mut size) = (0_u32, Megabytes::default());
        for volume in volumes {
            count = count.saturating_add(1);
            size = size.saturating_add(volume.megabytes().unwrap_or_default());
        }
        let used = entry.used.as_ref().map(|used| {
            let names = used.iter().map(|key| key.to_string().into_boxed_str());
            names.collect()
        });
        Self {
            id: entry.id.to_string(),
            host: entry.hostname.to_string(),
            volumes: count,
            size,
            used,
        }
    }
}

/// What a sidecar told.
pub(super) enum Told<T> {
    /// Its answer, and its version.
    Answer { version: String, answer: T },
    /// Nothing that can be used.
    Nothing(NoAnswer),
}

impl<T> From<Result<(String, T), NoAnswer>> for Told<T> {
    fn from(told: Result<(String, T), NoAnswer>) -> Self {
        match told {
            Ok((version, answer)) => Self::Answer { version, answer },
            Err(why) => Self::Nothing(why),
        }
    }
}

/// Who takes the answers.
type Take<'a, T> = dyn FnMut(Agent, Told<T>, &mut Sums) -> anyhow::Result<()> + 'a;

/// Whom to ask.
pub(super) struct Fleet {
    pub(super) master: Site,
    pub(super) sidecars: Sidecars,
    at_once: u32,
}

impl Fleet {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            master: clients::master(settings).context("the master can't be asked")?,
            sidecars: clients::sidecars(settings).context("sidecars can't be asked")?,
            at_once: settings.fleet.at_once,
        })
    }

    /// Asks the sidecar of each agent; `take` gets one answer after the other, as they come.
    ///
    /// The master's list is read to its end at its own pace, whatever the sidecars do: it must not be
    /// kept waiting.
    pub(super) fn each<T: Send>(
        &self,
        ask: &(dyn Fn(&Agent) -> Told<T> + Sync),
        sums: &mut Sums,
        take: &mut Take<'_, T>,
    ) -> anyhow::Result<()> {
        match master::frameworks(&self.master) {
            Ok(frameworks) => sums.frameworks(&frameworks),
            Err(error) => sums.troubles.push(chain(&error)),
        }
        let (agents, waiting) = channel();
        let waiting = Mutex::new(waiting);
        let (answers, answered) = sync_channel(usize::try_from(self.at_once).unwrap_or(1));
        std::thread::scope(|scope| {
            let list = scope.spawn(move || {
                let listed = self.list(&agents);
                // Those who ask end when nothing is left in it.
                drop(agents);
                listed
            });
            for _ in 0..self.at_once {
                let (answers, waiting) = (answers.clone(), &waiting);
                scope.spawn(move || {
                    while let Some(agent) = next(waiting) {
                        let told = ask(&agent);
                        // Nobody wants it any more where output has failed.
                        if answers.send((agent, told)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(answers);
            let mut failed = None;
            for (agent, told) in &answered {
                if let Err(error) = take(agent, told, sums) {
                    failed = Some(error);
                    break;
                }
            }
            // Those who wait to send give up.
            drop(answered);
            match list.join() {
                Ok(listed) => sums.listed(listed),
                Err(_panicked) => sums
                    .troubles
                    .push("the list of agents was not read".to_owned()),
            }
            failed.map_or(Ok(()), Err)
        })
    }

    fn list(&self, agents: &Sender<Agent>) -> Listed {
        let mut listed = Listed::default();
        let read = master::slaves(&self.master, &mut |entry| {
            listed.agents = listed.agents.saturating_add(1);
            if entry.hides().is_some() {
                listed.hidden = listed.hidden.saturating_add(1);
            }
            if !entry.active {
                listed.away = listed.away.saturating_add(1);
            }
            let reserved = entry.resources.iter().filter_map(Resource::role);
            for role in reserved {
                if !listed.roles.contains(role.as_raw()) {
                    listed.roles.insert(role.as_raw().clone());
                }
            }
            // It is read on to its end, for the counts.
            let _nobody_wants_it = agents.send(Agent::of(&entry));
        });
        match read {
            Ok(seen) => {
                listed.recovered = seen.recovered.iter().map(ToString::to_string).collect();
            }
            Err(error) => listed.cut = Some(chain(&error)),
        }
        listed
    }
}

/// What the master's list was.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) agents: u32,
    /// Agents of which something is hidden from our principal.
    pub(super) hidden: u32,
    /// Agents that are not connected.
    pub(super) away: u32,
    /// Agents that were there before the master's failover, and have not come back.
    pub(super) recovered: Vec<String>,
    /// Roles with reservations.
    pub(super) roles: BTreeSet<crate::units::Raw>,
    /// Why the list is not whole.
    pub(super) cut: Option<String>,
}

fn next(waiting: &Mutex<Receiver<Agent>>) -> Option<Agent> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.recv().ok()
}
