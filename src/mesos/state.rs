//! What the agent's files say: its checkpointed resources and operations, `slave.info`, and the
//! tasks and executors it launched.

use std::str::FromStr;

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

/// An agent's version, as `/state` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentVersion {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl FromStr for AgentVersion {
    type Err = VersionError;

    /// `1.11.0`, with or without what a build appends (`1.12.0-rc1`, `1.9.0+git`).
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fail = || VersionError {
            text: text.to_owned(),
        };
        let numbers = text.split(['-', '+']).next().unwrap_or(text);
        let mut parts = numbers.split('.');
        let mut next = || -> Result<u32, VersionError> {
            let part = parts.next().ok_or_else(fail)?;
            part.parse().map_err(|_no_number| fail())
        };
        let (major, minor, patch) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(fail());
        }
        Ok(Self {
            major,
            minor,
            patch,
        })
    }
}

/// Why a text is no version.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no version of Mesos, such as 1.11.0")]
pub struct VersionError {
    text: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers_and_perhaps_a_tail() {
        let version = AgentVersion {
            major: 1,
            minor: 12,
            patch: 3,
        };
        for text in ["1.12.3", "1.12.3-rc1", "1.12.3+git.1"] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for text in ["", "1", "1.12", "1.12.x", "1.12.3.4", "v1.2.3", "1.-1.2"] {
            assert!(text.parse::<AgentVersion>().is_err(), "{text}");
        }
    }
}
