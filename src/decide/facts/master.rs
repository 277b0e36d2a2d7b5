//! What the leading master says of our agent. It is asked only where a call to it is wanted, or one
//! of ours is not confirmed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AgentVersion, Known};
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// The leading master, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterFacts {
    /// Its version.
    pub version: AgentVersion,
    /// Our agent as it lists it; `Absent`: it is not registered there.
    pub agent: Known<Registered>,
    /// As whom disk is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Raw>,
}

/// Our agent as the leading master lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The agent id.
    pub id: Raw,
    /// Whether it is connected.
    pub active: bool,
    /// When it was registered, and registered again, in the master's own words: another text means
    /// that it has registered again since.
    pub since: String,
    /// Whether its volumes can be resized.
    pub resizes: bool,
    /// What it has, as calls name it.
    pub resources: Vec<Resource>,
    /// Volumes in use, as the master knows.
    pub used: BTreeSet<VolumeKey>,
}

impl Registered {
    /// The volume of this role with this id.
    #[must_use]
    pub fn volume(&self, key: &VolumeKey) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|one| one.volume_key().as_ref() == Some(key))
    }
}
