//! What the agent's files say: its checkpointed resources and operations, `slave.info`, and the
//! tasks and executors it launched.

use serde::{Deserialize, Serialize};

use super::resource::Resource;
use crate::units::Raw;

/// `mesos.internal.slave.ResourceState`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Pending and terminal-unacknowledged operations.
    pub operations: Vec<Operation>,
    /// Reserved resources and volumes.
    pub resources: Vec<Resource>,
}

/// `Operation.latest_status.state`, as far as decisions tell states apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// PENDING: the agent will carry it out.
    Pending,
    /// FINISHED.
    Finished,
    /// FAILED, ERROR, DROPPED or GONE_BY_OPERATOR: it will not happen.
    Failed,
    /// UNSUPPORTED, UNREACHABLE, RECOVERING or UNKNOWN: nothing can be concluded, so it is handled
    /// as pending. (A number that Mesos does not have makes the whole file untrusted.)
    Unclear,
}

/// What an operation does to volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// CREATE.
    Create,
    /// DESTROY.
    Destroy,
    /// GROW_VOLUME, SHRINK_VOLUME.
    Resize,
    /// Any other type (RESERVE 2, UNRESERVE 3, CREATE_DISK 13, DESTROY_DISK 14); the volumes it
    /// names, if any, are kept.
    Other(i32),
}

/// An operation and the volumes it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The operation's uuid, in hexadecimal.
    pub uuid: String,
    /// What it does.
    pub kind: OperationKind,
    /// How far it got.
    pub state: OperationState,
    /// The volumes it names.
    pub volumes: Vec<Resource>,
}

/// `SlaveInfo` (include/mesos/mesos.proto), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaveInfo {
    /// Host name.
    pub hostname: Raw,
    /// Port.
    pub port: i32,
    /// The `--resources` of the first registration.
    pub resources: Vec<Resource>,
}

/// A task or an executor as the agent checkpointed it (`task.info`, `executor.info`), as far as it
/// matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// Task id or executor id.
    pub id: Raw,
    /// Framework id; `executor.info` of old agents may lack it.
    pub framework: Option<Raw>,
    /// What it was given, volumes included.
    pub resources: Vec<Resource>,
}
