//! The agent's checkpointed resources and operations.

use serde::{Deserialize, Serialize};

use super::Why;
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// A checkpoint file, read once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointFile<T> {
    /// Every byte was read and understood.
    Whole(T),
    /// Not there.
    Missing,
    /// There, with 0 bytes. Legal for `resources.info`, a lost write for `.state`; never proof of
    /// a destroy.
    Empty,
    /// There, and not to be trusted.
    Damaged(Why),
}

impl<T> CheckpointFile<T> {
    /// The content, where it is whole.
    pub fn whole(&self) -> Option<&T> {
        match self {
            Self::Whole(content) => Some(content),
            Self::Missing | Self::Empty | Self::Damaged(_) => None,
        }
    }
}

/// The four files, each target read before its committed file, all again when one changed
/// meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointFacts {
    /// `resources_and_operations.target`.
    pub state_target: CheckpointFile<ResourceState>,
    /// `resources_and_operations.state`.
    pub state: CheckpointFile<ResourceState>,
    /// `resources.target`.
    pub info_target: CheckpointFile<Vec<Resource>>,
    /// `resources.info`.
    pub info: CheckpointFile<Vec<Resource>>,
}

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
    /// Anything else (UNSUPPORTED, UNREACHABLE, RECOVERING, UNKNOWN, a new number): nothing can be
    /// concluded, so it is handled as pending.
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
    /// Any other type; the volumes it names, if any, are kept.
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

/// A storage resource provider's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderState {
    /// The file, relative to the work_dir.
    pub file: Raw,
    /// Its resources and operations.
    pub content: ResourceState,
}
