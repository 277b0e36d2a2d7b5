//! What was observed at one moment: the only input of a decision.
//!
//! A facts file (`mesos-volumed plan --save-facts`) is this structure as JSON; it replays a host
//! on any machine, and each one can become a test.

mod agent;
mod checkpoint;
mod devices;
mod disks;
mod doctor;
mod holders;
mod host;
mod marathon;
mod master;
mod mounts;
mod pauses;
mod policy;
mod prepare;
mod roots;
mod start;

use serde::{Deserialize, Serialize};

pub use agent::{
    AgentAnswer, AgentFacts, AgentProcess, AgentRun, AgentState, AgentVersion, SlaveInfo, TaskUse,
};
pub use checkpoint::{
    CheckpointFacts, CheckpointFile, Operation, OperationKind, OperationState, ProviderState,
    ResourceState,
};
pub use devices::{
    BlockDevice, Content, DirectoryAnswer, HostDisks, PathAnswer, Settled, device_of,
};
pub use disks::{DiscoveryRules, DiskRule, DiskRules, RootRule, SizeRule};
pub use doctor::{
    BootMount, DoctorFacts, FileAccess, Fix, ProjectUse, SocketAccess, UnitOrder, VolumeUse,
};
pub use holders::{ContainerRun, FsLocation, Holder, HolderKind, MountView, Mounting, RunEnd};
pub use host::{GateFacts, GateFile, HostFacts, Moment, OwedFill};
pub use marathon::{MarathonWipe, MarathonWipes};
pub use master::{MasterFacts, Registered};
pub use mounts::{FsClass, MountEntry, MountTable};
pub use pauses::Pauses;
pub use policy::{
    AdoptWord, Destroying, FreeBelow, OrphanPolicy, Phase, PidNamespace, Policy, RoleRetention,
    TrashPolicy, Who, WipeMethod, WipeMode, Words,
};
pub use prepare::{
    MountPoint, MountedElsewhere, PrepareFacts, PrepareRequest, PreparedDisk, PreparedFs, Probe,
    Stage,
};
pub use roots::{
    AgentView, DeviceNumber, DirFacts, Drive, FileIdentity, FileKind, Fingerprint, FsFacts,
    FsFailure, HiddenSide, MarkerOf, MountContent, RootFacts, RootMount, RootWitness, StrangeEntry,
    TrashFacts,
};

pub use start::{
    AgentFlags, Detected, FlagSource, FlagText, LatestAgent, MakeOutcome, Obstacle, ObstacleKind,
    ReconfigurationPolicy, RootFilesystem, RootLook, StartFacts, TouchedVolume, VolumeLook,
};

// The words of Mesos that rules for disks are stated in, for `config`, which imports nothing else.
pub use crate::mesos::disk::DiskType;
pub use crate::mesos::ids::Role;

use super::memory::Memory;
use crate::mesos::disk::DiskRef;

/// Whether something is so, is not so, or could not be told.
///
/// Never an `Option` and never a `bool`: a value that stands for "could not tell" ends in deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// It was read whole.
    Known(T),
    /// It was looked for, the look succeeded, and it is not there.
    Absent,
    /// The look failed, or what it found can't be trusted.
    Unknown(Why),
}

impl<T> Known<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Unknown, for this reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(Why(why.into()))
    }

    /// The reason, where it is unknown.
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Known(_) | Self::Absent => None,
        }
    }

    /// The same with the value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Known(value) => Known::Known(change(value)),
            Self::Absent => Known::Absent,
            Self::Unknown(why) => Known::Unknown(why),
        }
    }
}

/// Why something is unknown: a sentence that names the source and what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Why(pub String);

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// All observations of one moment. Directories were read before authorities (law 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of this structure; see [`Facts::VERSION`].
    pub version: u32,
    /// The host and its clocks.
    pub host: HostFacts,
    /// The settings that decisions need.
    pub policy: Policy,
    /// What the operator said in this very run.
    pub words: Words,
    /// Roots with what lies in them; read first.
    pub roots: Vec<RootFacts>,
    /// The agent: processes, run, ids.
    pub agent: AgentFacts,
    /// The four checkpoint files.
    pub checkpoint: CheckpointFacts,
    /// Every `resource_provider.state` below `meta/slaves`.
    pub providers: Known<Vec<ProviderState>>,
    /// Every `task.info` of a run without `executor.sentinel`.
    pub tasks: Known<Vec<TaskUse>>,
    /// The agent's `/state`.
    pub answer: AgentAnswer,
    /// What the leading master says of our agent; `Absent`: it was not asked.
    #[serde(default = "not_asked", skip_serializing_if = "is_not_asked")]
    pub master: Known<MasterFacts>,
    /// Mounts and open files of all processes on the roots' file systems.
    pub holders: Known<Vec<Holder>>,
    /// Every mounting of, and inside, what lies on the roots, by all namespaces.
    #[serde(default = "not_looked")]
    pub mountings: Known<Vec<Mounting>>,
    /// The containers that mountings tell of, as far as the agent's files know them.
    #[serde(default = "not_looked")]
    pub containers: Known<Vec<ContainerRun>>,
    /// The gate that holds an agent's start back.
    pub gate: GateFacts,
    /// What earlier passes saw and did. `Absent` on a first run.
    pub memory: Known<Memory>,
}

/// For facts that were saved by a version that did not look.
fn not_looked<T>() -> Known<T> {
    Known::unknown("these facts were saved by a version that did not look")
}

fn not_asked() -> Known<MasterFacts> {
    Known::Absent
}

fn is_not_asked(master: &Known<MasterFacts>) -> bool {
    *master == Known::Absent
}

impl Facts {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// The root of a disk, where it was observed.
    #[must_use]
    pub fn root(&self, disk: &DiskRef) -> Option<&RootFacts> {
        self.roots.iter().find(|root| root.disk == *disk)
    }

    /// Every task that has not ended, by the files and by the agent's own word; one may be told twice.
    pub fn task_uses(&self) -> impl Iterator<Item = &TaskUse> {
        let told = match &self.answer {
            AgentAnswer::State(state) => state.tasks.as_slice(),
            AgentAnswer::NotConfigured
            | AgentAnswer::Refused
            | AgentAnswer::Recovering
            | AgentAnswer::Unknown(_) => &[],
        };
        self.tasks.known().into_iter().flatten().chain(told)
    }
}
