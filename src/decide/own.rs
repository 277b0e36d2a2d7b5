//! What commands through the master need of the facts: whether the master is to be asked at all,
//! what the agent's own checkpoint says of a volume, and the calls that a command makes.

use std::collections::BTreeSet;

use super::facts::{CheckpointFacts, CheckpointFile, Facts, Known, OperationState};
use super::steps::MasterCall;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::{PersistenceId, VolumeKey};
use crate::mesos::operator::{Change, ResourceFormat};
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// Whether the leading master is to be asked about our agent before anything is decided: a command
/// wants to call it, or a destroy of ours waits for its end.
#[must_use]
pub fn wants_master(facts: &Facts) -> bool {
    facts.words.destroy.is_some()
        || super::bar::wants_master(facts)
        || facts.roots.iter().any(|root| {
            root.trash
                .known()
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.manifest.known())
                .any(|manifest| manifest.unconfirmed)
        })
}

/// What the agent's own checkpoint says of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The file that the agent would believe names it, and nothing of it is in flight.
    Held(Box<Resource>),
    /// That file is whole and does not name it, and nothing of it is in flight.
    Gone,
    /// A change is in flight.
    InFlight,
    /// No file can be believed.
    Doubtful,
}

/// The resources of the file that the agent would believe.
#[must_use]
pub fn committed(checkpoint: &CheckpointFacts) -> Option<&[Resource]> {
    match (&checkpoint.state, &checkpoint.info) {
        (CheckpointFile::Whole(state), _) => Some(&state.resources),
        (CheckpointFile::Missing, CheckpointFile::Whole(resources)) => Some(resources),
        // Before its first reservation an agent has no such file.
        (CheckpointFile::Missing, CheckpointFile::Missing | CheckpointFile::Empty) => Some(&[]),
        (CheckpointFile::Empty | CheckpointFile::Damaged(_), _)
        | (CheckpointFile::Missing, CheckpointFile::Damaged(_)) => None,
    }
}

/// What the agent's own checkpoint says of this volume.
#[must_use]
pub fn shown(checkpoint: &CheckpointFacts, key: &VolumeKey) -> Shown {
    let Some(resources) = committed(checkpoint) else {
        return Shown::Doubtful;
    };
    if in_flight(checkpoint, |volume| volume == key) {
        return Shown::InFlight;
    }
    let found = resources
        .iter()
        .find(|one| one.volume_key().as_ref() == Some(key));
    match found {
        Some(volume) => Shown::Held(Box::new(volume.clone())),
        None => Shown::Gone,
    }
}

/// Whether a change is in flight: a target file is there, or an operation on one of these volumes is
/// not at its end.
fn in_flight(checkpoint: &CheckpointFacts, is: impl Fn(&VolumeKey) -> bool) -> bool {
    let mut pending = checkpoint
        .state
        .whole()
        .into_iter()
        .flat_map(|state| &state.operations)
        .filter(|operation| {
            matches!(
                operation.state,
                OperationState::Pending | OperationState::Unclear
            )
        })
        .flat_map(|operation| &operation.volumes);
    pending.any(|volume| volume.volume_key().as_ref().is_some_and(&is))
        || !matches!(checkpoint.state_target, CheckpointFile::Missing)
        || !matches!(checkpoint.info_target, CheckpointFile::Missing)
}

/// Whether the agent's own checkpoint is whole and names none of these persistence ids, whatever their
/// role, and nothing of them is in flight.
#[must_use]
pub fn names_none(checkpoint: &CheckpointFacts, ids: &BTreeSet<PersistenceId>) -> bool {
    let is = |volume: &VolumeKey| ids.contains(&volume.id);
    committed(checkpoint).is_some_and(|resources| {
        let mut keys = resources.iter().filter_map(Resource::volume_key);
        !keys.any(|key| is(&key))
    }) && !in_flight(checkpoint, is)
}

/// The disk of a held volume, by the checkpoint.
#[must_use]
pub fn disk_of(facts: &Facts, key: &VolumeKey) -> Option<DiskRef> {
    match shown(&facts.checkpoint, key) {
        Shown::Held(volume) => volume.disk(&facts.agent.work_dir),
        Shown::Gone | Shown::InFlight | Shown::Doubtful => None,
    }
}

/// A call for our agent, in the format of the master that answered.
#[must_use]
pub fn call_of(facts: &Facts, change: Change) -> Option<MasterCall> {
    let master = facts.master.known()?;
    Some(MasterCall {
        agent: master.agent.known()?.id.clone(),
        format: ResourceFormat::of(master.version),
        change,
    })
}

/// The volume as the master lists it, which is how a call has to name it.
#[must_use]
pub fn listed<'a>(facts: &'a Facts, key: &VolumeKey) -> Option<&'a Resource> {
    facts.master.known()?.agent.known()?.volume(key)
}

/// Why the master can't be called for our agent now.
pub fn reachable(facts: &Facts) -> Result<&super::facts::Registered, String> {
    let master = match &facts.master {
        Known::Known(master) => master,
        Known::Absent => return Err("no master is configured; set master.urls".to_owned()),
        Known::Unknown(why) => return Err(why.to_string()),
    };
    let agent = match &master.agent {
        Known::Known(agent) => agent,
        Known::Absent => return Err("the agent is not registered with the master".to_owned()),
        Known::Unknown(why) => return Err(why.to_string()),
    };
    let latest = facts.agent.latest.known();
    if latest != Some(&agent.id) {
        return Err(format!(
            "the master lists agent {}, and ours is {}",
            agent.id,
            latest.map_or_else(|| Raw::from("unknown"), Raw::clone)
        ));
    }
    if !agent.active {
        return Err("the master has lost the agent; a call would not arrive".to_owned());
    }
    if !matches!(facts.answer, super::facts::AgentAnswer::State(_)) {
        return Err("the agent does not answer at agent.url; a call would be lost".to_owned());
    }
    Ok(agent)
}
