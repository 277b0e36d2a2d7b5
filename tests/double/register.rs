//! How an agent tells a stand-in master of itself.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::Operation;
use serde::{Deserialize, Serialize};

use super::agent::{Agent, Task};

/// Where a master takes it.
pub(crate) const PATH: &str = "/double/register";

/// How often an agent says that it is there.
const EVERY: Duration = Duration::from_millis(200);

/// An agent as it registers, and as it says again and again that it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) id: String,
    /// Random for each life of the agent.
    pub(crate) life: String,
    pub(crate) hostname: String,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) version: String,
    pub(crate) capabilities: Vec<String>,
    /// The socket that takes orders.
    pub(crate) control: std::path::PathBuf,
    /// `--resources`.
    pub(crate) flagged: Vec<Resource>,
    pub(crate) total: Vec<Resource>,
    pub(crate) operations: Vec<Operation>,
    /// Ids of running tasks, their frameworks, and what they use.
    pub(crate) tasks: Vec<(String, String, String, Vec<Resource>)>,
}

impl Registration {
    /// Of an agent in one of its lives.
    pub(crate) fn of(agent: &Agent, life: &str) -> Self {
        let flags = &agent.flags;
        let tuple = |task: &Task| {
            (
                task.id.clone(),
                task.framework.clone(),
                task.container.clone(),
                task.resources.clone(),
            )
        };
        Self {
            id: agent.id.clone(),
            life: life.to_owned(),
            hostname: flags.hostname.clone(),
            ip: flags.ip.clone(),
            port: flags.port,
            version: flags.as_version.to_string(),
            capabilities: flags
                .as_version
                .capabilities()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            control: flags.control.clone(),
            flagged: agent.flagged.clone(),
            total: agent.total.clone(),
            operations: agent.operations.clone(),
            tasks: agent.tasks.iter().map(tuple).collect(),
        }
    }
}

/// What a master says to an agent that registers must find it listening.
fn wait_for_orders(agent: &Weak<Mutex<Agent>>) {
    while let Some(agent) = agent.upgrade() {
        let agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
        if agent.dead || UnixStream::connect(&agent.flags.control).is_ok() {
            return;
        }
        drop(agent);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Registers once the recovery is over, and goes on saying so, until the agent ends.
pub(super) fn keep_registered(agent: &Arc<Mutex<Agent>>, recovery: Duration) {
    let (agent, life) = (Arc::downgrade(agent), uuid::Uuid::new_v4().to_string());
    std::thread::spawn(move || {
        std::thread::sleep(recovery);
        wait_for_orders(&agent);
        while let Some(agent) = agent.upgrade() {
            let agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(master) = agent.flags.master.clone().filter(|_| !agent.dead) else {
                return;
            };
            let registration = Registration::of(&agent, &life);
            drop(agent);
            let url = format!("http://{master}{PATH}");
            if let Ok(body) = serde_json::to_string(&registration) {
                // A master that is away is asked again.
                drop(ureq::post(&url).send(body));
            }
            std::thread::sleep(EVERY);
        }
    });
}
