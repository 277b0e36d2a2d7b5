//! The operator API (v1) of master and agent as JSON (include/mesos/v1/master/master.proto,
//! include/mesos/v1/agent/agent.proto): calls that change an agent's resources, and the questions
//! that tell what became of them.
//!
//! A master answers 202 once a call is *valid*. Whether the agent carried it out is told by the
//! agent's own checkpoint alone (F§5.5, F§11).

mod answers;
mod build;
mod curl;
mod encode;
mod stream;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub use answers::{
    AgentEntry, AgentTask, AgentTasks, DiskUse, FrameworkEntry, Frameworks, MasterInfo,
    OperationEntry, TaskPhase, hides, parse_agent_info, parse_frameworks, parse_master,
    parse_operations, parse_providers, parse_statistics, parse_tasks, parse_version,
};
pub use build::{BuildError, reserved, reserved_part, stripped_volume, unreserved, volume, whole};
pub use curl::{CurlAs, by_hand, curl, quoted};
pub use encode::{ResourceFormat, WriteError, resource_json};
pub use stream::{AgentsSeen, StreamError, read_agents, read_slaves};

use super::resource::Resource;
use crate::units::{Megabytes, Raw};

/// A call that changes an agent's resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// RESERVE_RESOURCES: resources as they shall be, the new reservation last in their stack.
    Reserve(Vec<Resource>),
    /// UNRESERVE_RESOURCES: resources as they are; the last reservation goes.
    Unreserve(Vec<Resource>),
    /// CREATE_VOLUMES.
    Create(Vec<Resource>),
    /// DESTROY_VOLUMES: volumes exactly as the master lists them.
    Destroy(Vec<Resource>),
    /// GROW_VOLUME.
    Grow {
        /// The volume as it is.
        volume: Box<Resource>,
        /// Reserved disk that becomes part of it.
        addition: Box<Resource>,
    },
    /// SHRINK_VOLUME.
    Shrink {
        /// The volume as it is.
        volume: Box<Resource>,
        /// How much of it goes.
        subtract: Megabytes,
    },
}

impl Change {
    /// The call's name in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reserve(_) => "RESERVE_RESOURCES",
            Self::Unreserve(_) => "UNRESERVE_RESOURCES",
            Self::Create(_) => "CREATE_VOLUMES",
            Self::Destroy(_) => "DESTROY_VOLUMES",
            Self::Grow { .. } => "GROW_VOLUME",
            Self::Shrink { .. } => "SHRINK_VOLUME",
        }
    }

    /// The body of the request, for the agent with this id.
    pub fn body(&self, agent: &Raw, format: ResourceFormat) -> Result<Value, WriteError> {
        let id = agent.as_str().ok_or_else(|| WriteError::NotText {
            what: "agent id",
            value: agent.clone(),
        })?;
        let all = |resources: &[Resource]| -> Result<Value, WriteError> {
            resources
                .iter()
                .map(|one| resource_json(one, format))
                .collect()
        };
        let mut call = Map::new();
        call.insert("agent_id".to_owned(), json!({ "value": id }));
        match self {
            Self::Reserve(resources) | Self::Unreserve(resources) => {
                call.insert("resources".to_owned(), all(resources)?);
            }
            Self::Create(volumes) | Self::Destroy(volumes) => {
                call.insert("volumes".to_owned(), all(volumes)?);
            }
            Self::Grow { volume, addition } => {
                call.insert("volume".to_owned(), resource_json(volume, format)?);
                call.insert("addition".to_owned(), resource_json(addition, format)?);
            }
            Self::Shrink { volume, subtract } => {
                call.insert("volume".to_owned(), resource_json(volume, format)?);
                call.insert("subtract".to_owned(), encode::scalar(*subtract));
            }
        }
        let mut body = Map::new();
        body.insert("type".to_owned(), Value::from(self.name()));
        body.insert(self.name().to_lowercase(), Value::Object(call));
        Ok(Value::Object(body))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A question without parameters; it changes nothing and may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Agent: its `--resources`, whatever the principal may see (MESOS-9006).
    GetAgent,
    /// Master: every agent with its resources.
    GetAgents,
    /// Master or agent: operations that are pending, or whose end is not acknowledged.
    GetOperations,
    /// Agent: volumes of resource providers.
    GetResourceProviders,
    /// Agent: tasks with all their resources.
    GetTasks,
    /// Master: frameworks, completed ones included.
    GetFrameworks,
    /// Master: who it is, and since when it leads.
    GetMaster,
    /// Master or agent: its version.
    GetVersion,
}

impl Question {
    /// The call's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetAgent => "GET_AGENT",
            Self::GetAgents => "GET_AGENTS",
            Self::GetOperations => "GET_OPERATIONS",
            Self::GetResourceProviders => "GET_RESOURCE_PROVIDERS",
            Self::GetTasks => "GET_TASKS",
            Self::GetFrameworks => "GET_FRAMEWORKS",
            Self::GetMaster => "GET_MASTER",
            Self::GetVersion => "GET_VERSION",
        }
    }

    /// The body of the request.
    #[must_use]
    pub fn body(self) -> Value {
        json!({ "type": self.name() })
    }
}

#[cfg(test)]
mod tests;
