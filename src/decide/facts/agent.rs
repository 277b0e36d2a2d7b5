//! The agent: its processes, its life, its answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{DeviceNumber, Known, Operation, Why};
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::resource::Resource;
pub use crate::mesos::state::{AgentVersion, SlaveInfo};
use crate::units::{Raw, Span};

/// What files and `/proc` tell of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// `agent.work_dir`, absolute.
    pub work_dir: Raw,
    /// The agent id that `meta/slaves/latest` names.
    pub latest: Known<Raw>,
    /// That agent's `slave.info`: the `--resources` in force at its first registration.
    pub slave_info: Known<SlaveInfo>,
    /// The agent's present or last life.
    pub run: Known<AgentRun>,
    /// Every agent process on the host; an empty list means that none runs.
    pub processes: Known<Vec<AgentProcess>>,
}

/// One life of the agent process, told from `meta/boot_id`, which every agent start rewrites.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentRun {
    /// Content of the file: the boot id that the agent saw.
    pub boot_id: Raw,
    /// Inode of the file.
    pub inode: u64,
    /// Modification time of the file, nanoseconds since 1970.
    pub mtime_nanos: i64,
}

/// A process whose executable or `argv[0]` is an agent's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProcess {
    /// Process id in our namespace.
    pub pid: i32,
    /// `--work_dir`, from argv or environment.
    pub work_dir: Known<Raw>,
    /// Whether its work_dir is ours, or could not be read and therefore counts as ours.
    pub ours: bool,
    /// For an agent whose work_dir is not known to be ours: its work_dir and the roots that its
    /// flags and `slave.info` name. `Absent` for ours.
    pub roots: Known<Vec<Raw>>,
    /// The file systems that those roots lie on, seen from that process. `Absent` for ours.
    pub filesystems: Known<BTreeSet<DeviceNumber>>,
}

/// What the agent's HTTP said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentAnswer {
    /// `agent.url` is empty: there is no agent to ask.
    NotConfigured,
    /// Connection refused: nothing listens there.
    Refused,
    /// 503: the agent has not finished recovery.
    Recovering,
    /// Anything else that is not a whole answer of our agent.
    Unknown(Why),
    /// A whole answer of the agent with our work_dir.
    State(AgentState),
}

impl AgentAnswer {
    /// Whether the agent itself says that it has the volume.
    #[must_use]
    pub fn names(&self, key: &VolumeKey) -> bool {
        match self {
            Self::State(state) => state
                .resources
                .iter()
                .any(|one| one.volume_key().as_ref() == Some(key)),
            Self::NotConfigured | Self::Refused | Self::Recovering | Self::Unknown(_) => false,
        }
    }
}

/// The agent's `/state`, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// The agent id; empty before the first registration.
    pub id: Raw,
    /// The version.
    pub version: Option<AgentVersion>,
    /// Every entry of `reserved_resources_full` and `unreserved_resources_full`, and of
    /// `resource_providers`.
    pub resources: Vec<Resource>,
    /// The keys of `reserved_resources_full`: roles that the principal may see.
    pub roles: BTreeSet<Role>,
    /// The disk roots that its flag `resources` names.
    pub flag_roots: Known<Vec<Raw>>,
    /// Operations that are not at their end (GET_OPERATIONS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Tasks with volumes that wait or run (GET_TASKS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskUse>,
    /// `CLOCK_BOOTTIME` when the question was sent.
    pub asked_at: Span,
}

/// A task or executor of a run that has not ended, and the volumes it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUse {
    /// Task id, for the operator.
    pub task: Raw,
    /// Framework id.
    pub framework: Raw,
    /// Its volumes.
    pub volumes: BTreeSet<VolumeKey>,
}
