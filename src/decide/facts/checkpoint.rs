//! The agent's checkpointed resources and operations.

use serde::{Deserialize, Serialize};

use super::Why;
use crate::mesos::resource::Resource;
pub use crate::mesos::state::{Operation, OperationKind, OperationState, ResourceState};
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

/// A storage resource provider's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderState {
    /// The file, relative to the work_dir.
    pub file: Raw,
    /// Its resources and operations.
    pub content: ResourceState,
}
