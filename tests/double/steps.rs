//! The steps of an agent between which it may crash.

use serde::{Deserialize, Serialize};

/// What is on disk once the step is done. Not every version takes every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Operations alone changed: the state's target is written.
    OperationsTarget,
    /// Operations alone changed: the state is committed.
    Operations,
    /// Resources changed: the state's target is written.
    StateTarget,
    /// `resources.target` is written.
    InfoTarget,
    /// New directories are made and old ones deleted.
    Directories,
    /// `resources.info` is committed.
    Info,
    /// The state is committed.
    State,
}

impl Step {
    /// The steps of a change of resources since 1.9, in their order.
    pub(crate) const SINCE_1_9: [Self; 7] = [
        Self::OperationsTarget,
        Self::Operations,
        Self::StateTarget,
        Self::InfoTarget,
        Self::Directories,
        Self::Info,
        Self::State,
    ];
}
