//! A master: which agents there are, what it believes that they hold, and which frameworks.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use mesos_volumed::mesos::resource::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::change::Change;
use super::control::{self, Order};
use super::http::{Access, Answer};
use super::json::at;
use super::register::Registration;
use super::resources::{is_checkpointed, without};
use super::validate;

/// A master. Everything goes through one lock: it is one actor.
#[derive(Debug)]
pub(crate) struct Master {
    state: Mutex<State>,
}

/// What a master knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) id: String,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) version: String,
    /// Seconds since 1970.
    pub(crate) start_time: f64,
    /// Since when it leads.
    pub(crate) elected_time: f64,
    /// So many seconds its clock is ahead of ours.
    pub(crate) clock_ahead: f64,
    /// The leader, where it is another.
    pub(crate) leader: Option<String>,
    pub(crate) agents: BTreeMap<String, Known>,
    /// Agents that were there before a failover and have not registered again.
    pub(crate) recovered: Vec<Registration>,
    pub(crate) frameworks: Vec<Framework>,
    pub(crate) completed: Vec<Framework>,
    pub(crate) access: Access,
    /// Calls that the asking principal may not make.
    pub(crate) forbidden: Vec<String>,
    /// How messages to agents fare.
    pub(crate) post: Arc<Mutex<Post>>,
    /// How long after an operation ended it is acknowledged.
    pub(crate) acknowledged_after: Duration,
}

/// Messages to agents.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// How long each is on its way, those included that are.
    after: Duration,
    /// Those that came to where an agent listens, or did not.
    pub(crate) ended: u32,
}

/// An agent as a master knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) registration: Registration,
    /// What the master believes that there is.
    pub(crate) total: Vec<Resource>,
    /// In offers to frameworks.
    pub(crate) offered: Vec<Resource>,
    pub(crate) registered_time: f64,
    /// It is only a name: nobody is to be reached.
    pub(crate) is_simulated: bool,
    /// The next word of the agent counts for its resources.
    resync: bool,
    mail: Sender<Order>,
}

/// A framework.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Framework {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) principal: Option<String>,
    /// In seconds.
    pub(crate) failover_timeout: f64,
    pub(crate) connected: bool,
    pub(crate) registered_time: f64,
    pub(crate) unregistered_time: f64,
    pub(crate) webui_url: String,
}

/// What a test has a master do; over HTTP it is the body of a POST to `/double/order`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MasterOrder {
    /// Another master is elected, with nothing in memory: agents and connected frameworks come back
    /// by themselves.
    Failover,
    /// From now on this one leads; without a name, this master itself.
    Lead(Option<String>),
    /// It was elected so many seconds ago.
    ElectedAgo(f64),
    /// Its clock is so many seconds ahead of ours, as it was when it was elected.
    ClockAhead(f64),
    /// A framework registers.
    Framework(Framework),
    /// A framework's scheduler goes away.
    Disconnect(String),
    /// A framework is torn down, or its failover timeout is over.
    Complete(String),
    /// Who may ask.
    Access(Access),
    /// The asking principal may not make these calls.
    Forbid(Vec<String>),
    /// Offers these resources of an agent to a framework that keeps them.
    Offer(String, Vec<Resource>),
    /// Seconds that a message needs to an agent, also one that is on its way.
    DeliveredAfter(f64),
    /// Seconds from the end of an operation to its acknowledgement.
    AcknowledgedAfter(f64),
    /// An agent that is only a name.
    Simulate(Box<Registration>),
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a master shows the wall clock")]
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

impl Master {
    /// A master that leads.
    pub(crate) fn new(ip: &str, port: u16, version: &str) -> Self {
        let time = now();
        Self {
            state: Mutex::new(State {
                id: uuid::Uuid::new_v4().to_string(),
                ip: ip.to_owned(),
                port,
                version: version.to_owned(),
                start_time: time,
                elected_time: time,
                clock_ahead: 0.0,
                leader: None,
                agents: BTreeMap::new(),
                recovered: Vec::new(),
                frameworks: Vec::new(),
                completed: Vec::new(),
                access: Access::default(),
                forbidden: Vec::new(),
                post: Arc::default(),
                acknowledged_after: Duration::from_millis(500),
            }),
        }
    }

    /// What it knows.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a test wants.
    pub(crate) fn order(&self, order: MasterOrder) -> anyhow::Result<()> {
        let mut state = self.lock();
        match order {
            MasterOrder::Failover => state.failover(),
            MasterOrder::Lead(leader) => {
                state.elected_time = now();
                state.leader = leader;
            }
            MasterOrder::ElectedAgo(seconds) => state.elected_time = now() - seconds,
            MasterOrder::ClockAhead(seconds) => state.clock_ahead = seconds,
            MasterOrder::Framework(framework) => state.add_framework(framework),
            MasterOrder::Disconnect(id) => {
                let framework = state.frameworks.iter_mut().find(|one| one.id == id);
                framework.context("no such framework")?.connected = false;
            }
            MasterOrder::Complete(id) => {
                let index = state.frameworks.iter().position(|one| one.id == id);
                let mut framework = state.frameworks.remove(index.context("no such framework")?);
                framework.connected = false;
                framework.unregistered_time = now();
                state.completed.push(framework);
            }
            MasterOrder::Access(access) => state.access = access,
            MasterOrder::Forbid(calls) => state.forbidden = calls,
            MasterOrder::Offer(agent, resources) => {
                let agent = state.agents.get_mut(&agent).context("no such agent")?;
                agent.offered = resources;
            }
            MasterOrder::DeliveredAfter(seconds) => {
                let mut post = state.post.lock().unwrap_or_else(PoisonError::into_inner);
                post.after = Duration::try_from_secs_f64(seconds)?;
            }
            MasterOrder::AcknowledgedAfter(seconds) => {
                state.acknowledged_after = Duration::try_from_secs_f64(seconds)?;
            }
            MasterOrder::Simulate(registration) => {
                let known = Known::new(*registration, &state, true);
                state.agents.insert(known.registration.id.clone(), known);
            }
        }
        Ok(())
    }

    /// An agent registers, or says that it is still there.
    pub(crate) fn register(&self, registration: Registration) {
        let mut state = self.lock();
        if state.leader.is_some() {
            return;
        }
        let id = registration.id.clone();
        state.recovered.retain(|one| one.id != id);
        if let Some(known) = state.agents.get_mut(&id) {
            known.hear(registration);
        } else {
            let known = Known::new(registration, &state, false);
            state.agents.insert(id, known);
        }
    }

    /// An operation of the operator API, as JSON.
    pub(crate) fn operate(&self, call: &Json) -> Answer {
        let change = match Change::from_call(call) {
            Ok(change) => change,
            Err(error) => {
                return Answer::text(400, format!("Failed to validate master::Call: {error:#}"));
            }
        };
        let kind = at(call, "/type").as_str().unwrap_or_default();
        let member = call.get(kind.to_ascii_lowercase());
        let id = member
            .and_then(|member| member.pointer("/agent_id/value"))
            .and_then(Json::as_str)
            .unwrap_or_default();
        let mut state = self.lock();
        if state.access.read_only || state.forbidden.iter().any(|one| one == kind) {
            return Answer::empty(403);
        }
        let Some(agent) = state.agents.get_mut(id) else {
            return Answer::text(400, "No agent found with specified ID");
        };
        let used = agent.used();
        let name = agent.name();
        if let Some(fault) = validate::fault(&change, call, &agent.total, &used, &name) {
            return Answer::text(400, fault);
        }
        match agent.operate(&change, &used) {
            Ok(()) => Answer::empty(202),
            Err(conflict) => Answer::text(409, format!("{conflict:#}")),
        }
    }

    /// An operation of a framework, which holds the offer of what it needs.
    pub(crate) fn accept(&self, agent: &str, change: &Change) -> anyhow::Result<()> {
        let mut state = self.lock();
        let agent = state.agents.get_mut(agent).context("no such agent")?;
        let used = agent.used();
        agent.operate(change, &used)
    }

    /// A message to an agent.
    pub(crate) fn send(&self, agent: &str, order: Order) -> anyhow::Result<()> {
        let state = self.lock();
        let agent = state.agents.get(agent).context("no such agent")?;
        // An agent that is gone gets no mail; so is it with Mesos.
        drop(agent.mail.send(order));
        Ok(())
    }
}

impl State {
    fn failover(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        self.id = uuid::Uuid::new_v4().to_string();
        self.start_time = now();
        self.elected_time = now();
        self.recovered = agents.into_values().map(|one| one.registration).collect();
        self.frameworks.retain(|one| one.connected);
        self.completed.clear();
    }

    fn add_framework(&mut self, framework: Framework) {
        self.frameworks.retain(|one| one.id != framework.id);
        self.frameworks.push(Framework {
            connected: true,
            registered_time: now(),
            ..framework
        });
    }

    /// `host:port` of this master.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }
}

impl Known {
    fn new(registration: Registration, state: &State, is_simulated: bool) -> Self {
        let (mail, box_) = channel();
        let (control, post, acknowledged) = (
            registration.control.clone(),
            Arc::clone(&state.post),
            state.acknowledged_after,
        );
        if !is_simulated {
            std::thread::spawn(move || {
                for order in box_ {
                    deliver(&control, &order, &post, acknowledged);
                }
            });
        }
        Self {
            total: registration.total.clone(),
            registration,
            offered: Vec::new(),
            registered_time: now(),
            is_simulated,
            resync: false,
            mail,
        }
    }

    /// A word of the agent. One that starts anew is believed if it is provider-capable; others are
    /// told what they hold.
    fn hear(&mut self, registration: Registration) {
        let is_new = self.registration.life != registration.life;
        let decides = registration
            .capabilities
            .iter()
            .any(|one| one == "RESOURCE_PROVIDER");
        if is_new && !decides {
            let resources = self
                .total
                .iter()
                .filter(|one| is_checkpointed(one))
                .cloned()
                .collect();
            drop(self.mail.send(Order::Checkpoint { resources }));
        }
        if (is_new || self.resync) && decides {
            self.total.clone_from(&registration.total);
            self.resync = false;
        }
        if is_new {
            self.registered_time = now();
        }
        self.registration = registration;
    }

    /// What tasks use.
    pub(crate) fn used(&self) -> Vec<Resource> {
        self.registration
            .tasks
            .iter()
            .flat_map(|(_, _, _, resources)| resources.clone())
            .collect()
    }

    /// As the master calls it in refusals.
    fn name(&self) -> String {
        let agent = &self.registration;
        format!(
            "agent {} at slave(1)@{}:{} ({})",
            agent.id, agent.ip, agent.port, agent.hostname
        )
    }

    /// Whether the agent's process is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_simulated || UnixStream::connect(&self.registration.control).is_ok()
    }

    /// Changes what is believed at once, and tells the agent when it can be told.
    fn operate(&mut self, change: &Change, used: &[Resource]) -> anyhow::Result<()> {
        let total = change.apply(&self.total)?;
        let (consumed, _) = change.conversion();
        let free = without(&self.total, used).unwrap_or_default();
        let free = without(&free, &self.offered).unwrap_or_default();
        without(&free, &consumed)?;
        self.total = total;
        let decides = self
            .registration
            .capabilities
            .iter()
            .any(|one| one == "RESOURCE_PROVIDER");
        let order = if decides {
            Order::Apply {
                change: Box::new(change.clone()),
            }
        } else {
            let resources = self.total.iter().filter(|one| is_checkpointed(one));
            Order::Checkpoint {
                resources: resources.cloned().collect(),
            }
        };
        drop(self.mail.send(order));
        Ok(())
    }
}

/// How often a message that is on its way is looked at.
const SLICE: Duration = Duration::from_millis(10);

/// One message: it is lost where nobody listens, and waits where the agent is busy.
fn deliver(control: &std::path::Path, order: &Order, post: &Mutex<Post>, acknowledged: Duration) {
    let post = || post.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waited = Duration::ZERO;
    while waited < post().after {
        std::thread::sleep(SLICE);
        waited = waited.saturating_add(SLICE);
    }
    let done = control::send(control, order);
    let mut post = post();
    post.ended = post.ended.saturating_add(1);
    drop(post);
    let ends = matches!(order, Order::Apply { change } if change.kind().is_some());
    if let Ok(uuids) = done
        && ends
    {
        let control = control.to_owned();
        let operations = uuids.split(' ').map(str::to_owned).collect();
        std::thread::spawn(move || {
            std::thread::sleep(acknowledged);
            drop(control::send(&control, &Order::Acknowledge { operations }));
        });
    }
}
