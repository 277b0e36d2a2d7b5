//! Observes this host as the settings say.

use std::sync::Arc;

use super::clients;
use super::host::Caller;
use crate::act;
use crate::act::jobs::{AgentsNow, ReservedNow};
use crate::act::master::ChangeError;
use crate::config::Settings;
use crate::decide::bar;
use crate::decide::facts::{
    AgentAnswer, CheckpointFacts, Facts, GateFile, Known, MasterFacts, Policy, Registered, Why,
    Words,
};
use crate::decide::ledger::Ledger;
use crate::decide::own::wants_master;
use crate::decide::steps::MasterCall;
use crate::mesos::operator::DiskUse;
use crate::observe::agent_http::{self, Limits, Question};
use crate::observe::checkpoints::{WorkDirError, observe_committed};
use crate::observe::facts::{ObserveError, Request, observe_facts};
use crate::observe::places::Places;
use crate::observe::{agent_process, gate, master, state_dir};
use crate::sys::http::SiteError;
use crate::units::{Raw, Span, chain};

/// The observers, set up for this host.
#[derive(Clone, Debug)]
pub struct Observer {
    settings: Settings,
    places: Places,
    state_dir: Raw,
}

/// Why there are no facts, or no ledger.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// The host.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The ledger is damaged.
    #[error("{0}")]
    Ledger(Why),
}

impl Observer {
    /// Observers for these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            places: Places::default(),
            state_dir: Raw::from(settings.daemon.state_dir.as_path()),
        }
    }

    /// Observes everything once.
    pub fn facts(&self, words: &Words) -> Result<Facts, ObserverError> {
        let request = Request {
            rules: self.settings.disk_rules(),
            policy: self.settings.policy(),
            words: words.clone(),
            state_dir: self.state_dir.clone(),
        };
        let ask = |latest: &Known<Raw>| self.ask(latest);
        // Each name stands in every file of the agent, and in ours.
        let mut facts = Raw::sharing(|| observe_facts(&self.places, &request, &ask))?;
        if wants_master(&facts) {
            facts.master = self.ask_master(&facts.agent.latest);
        }
        Ok(facts)
    }

    /// Observes everything once, with what the leading master says of our agent: for commands that
    /// call it.
    pub fn facts_with_master(&self, words: &Words) -> Result<Facts, ObserverError> {
        let mut facts = self.facts(words)?;
        if facts.master == Known::Absent {
            facts.master = self.ask_master(&facts.agent.latest);
        }
        Ok(facts)
    }

    /// Asks the leading master about our agent. A host that names no master has none to ask.
    fn ask_master(&self, latest: &Known<Raw>) -> Known<MasterFacts> {
        if self.settings.master.urls.is_empty() {
            return Known::Absent;
        }
        let site = match clients::master(&self.settings) {
            Ok(site) => site,
            Err(error) => return Known::unknown(chain(&error)),
        };
        let version = match master::version(&site) {
            Ok(version) => version,
            Err(error) => return Known::unknown(chain(&error)),
        };
        let agent = match latest {
            Known::Known(id) => match master::agent(&site, id) {
                Ok(Some(agent)) => Known::Known(Registered {
                    id: agent.id,
                    active: agent.active,
                    since: agent.registered,
                    resizes: agent.capabilities.contains("RESIZE_VOLUME"),
                    resources: agent.resources,
                    used: agent.used.unwrap_or_default(),
                }),
                Ok(None) => Known::Absent,
                Err(error) => Known::unknown(chain(&error)),
            },
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why.clone()),
        };
        let principal = match clients::principal(&self.settings) {
            Ok(principal) => principal,
            Err(error) => return Known::unknown(chain(&error)),
        };
        Known::Known(MasterFacts {
            version,
            agent,
            principal,
        })
    }

    /// Asks the agent. The credentials are read anew each time: they may have been changed.
    fn ask(&self, latest: &Known<Raw>) -> AgentAnswer {
        let agent = &self.settings.agent;
        let access = match clients::access(&agent.access) {
            Ok(access) => access,
            Err(error) => return AgentAnswer::Unknown(Why(chain(&error))),
        };
        agent_http::ask(&Question {
            url: agent.url.as_deref(),
            access: &access,
            work_dir: &agent.work_dir,
            latest,
            limits: Limits::default(),
        })
    }

    /// What the agent of these facts measured of volumes in use.
    #[must_use]
    pub fn measured(&self, facts: &Facts) -> Known<Vec<DiskUse>> {
        let agent = &self.settings.agent;
        let (Some(url), AgentAnswer::State(_)) = (agent.url.as_deref(), &facts.answer) else {
            return Known::Absent;
        };
        match clients::access(&agent.access) {
            Ok(access) => agent_http::measured(url, &access, Limits::default()),
            Err(error) => Known::unknown(chain(&error)),
        }
    }

    /// What decisions need of the settings.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.settings.policy()
    }

    /// The ledger; an empty one on a first run. A damaged one is refused, never rebuilt.
    pub fn ledger(&self) -> Result<Ledger, ObserverError> {
        match state_dir::ledger(&self.state_dir) {
            Known::Known(ledger) => Ok(ledger),
            Known::Absent => Ok(Ledger::default()),
            Known::Unknown(why) => Err(ObserverError::Ledger(why)),
        }
    }

    /// The gate's file, as it was left.
    #[must_use]
    pub fn gate_file(&self) -> Known<GateFile> {
        gate::file(&self.state_dir)
    }

    /// Whether the agent's checkpoint has a disk reserved to our role now.
    #[must_use]
    pub fn reserved(&self) -> Arc<ReservedNow> {
        let work_dir = self.settings.agent.work_dir.clone();
        Arc::new(move |disk| match observe_committed(work_dir.as_path()) {
            Ok(now) => bar::stands(&now.checkpoint, disk, &work_dir),
            Err(error) => Known::unknown(chain(&error)),
        })
    }

    /// The agent's own checkpoint, as it is now.
    pub(super) fn checkpoint(&self) -> Result<CheckpointFacts, WorkDirError> {
        observe_committed(self.settings.agent.work_dir.as_path()).map(|now| now.checkpoint)
    }

    /// Calls the leading master, as the files say now who we are.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        let settings = self.settings.clone();
        Arc::new(move |call: &MasterCall| {
            let site = clients::master(&settings).map_err(|error| ChangeError::Site {
                call: call.change.name(),
                source: SiteError::Access {
                    what: "master",
                    why: chain(&error),
                },
            })?;
            act::master::change(&site, &call.agent, &call.change, call.format)
        })
    }

    /// How long an agent's checkpoint is waited for after a call.
    #[must_use]
    pub fn confirm(&self) -> Span {
        self.settings.master.confirm
    }

    /// Looks for agent processes now.
    #[must_use]
    pub fn agents(&self) -> Arc<AgentsNow> {
        let places = self.places.clone();
        let work_dir = self.settings.agent.work_dir.clone();
        Arc::new(move || {
            agent_process::observe(&places, &work_dir)
                .map(|agents| agents.into_iter().map(|agent| agent.pid).collect())
        })
    }
}
