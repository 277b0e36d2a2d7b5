//! The calls that give a restored or adopted volume back to Mesos: RESERVE, then CREATE.
//!
//! CREATE keeps what lies in the volume's directory (F§3.2), so that the data is back with it. The
//! calls are made by an operator, or by `mesos-volumed volumes create`: here they are only told.

use super::facts::{AgentAnswer, Facts};
use super::memory::Memory;
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{BuildError, Change, reserved, reserved_part, volume, whole};
use crate::mesos::resource::{Persistence, ReservationType, Resource};
use crate::units::{Megabytes, Raw};

/// What an operator adds to what is known.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The size; else that of the last time it was held, or the number of a MOUNT disk.
    pub size: Option<Megabytes>,
    /// The principal; else that of the last time it was held.
    pub principal: Option<Raw>,
}

/// Two calls, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveBack {
    /// The agent's id.
    pub agent: Raw,
    /// RESERVE_RESOURCES and CREATE_VOLUMES.
    pub calls: Vec<Change>,
    /// What an operator should look at before making them.
    pub notes: Vec<String>,
}

/// Why they can't be told.
#[derive(Debug, thiserror::Error)]
pub enum GiveBackError {
    /// Nobody knows the agent's id.
    #[error("the agent's id can't be told (meta/slaves/latest)")]
    NoAgent,
    /// Nobody knows how large the volume was.
    #[error(
        "nobody remembers how large it was: say it with --size, at least as large as what lies in it"
    )]
    NoSize,
    /// They can't be built.
    #[error("the calls can't be made of what is known")]
    Build(#[from] BuildError),
}

/// The calls for a volume on this disk.
pub fn give_back(
    facts: &Facts,
    memory: &Memory,
    key: &VolumeKey,
    disk: &DiskRef,
    wanted: &Wanted,
) -> Result<GiveBack, GiveBackError> {
    let agent = facts.agent.latest.known().ok_or(GiveBackError::NoAgent)?;
    let record = memory.volumes.iter().find(|record| record.key == *key);
    let mut notes = Vec::new();
    let offered = offered(facts, disk);
    let size = match disk.kind {
        // A MOUNT disk is given whole, to the last decimal (F§11).
        DiskType::Mount => offered
            .and_then(Resource::megabytes)
            .or_else(|| advertised(facts, disk))
            .or(wanted.size),
        DiskType::Root | DiskType::Path => wanted
            .size
            .or_else(|| record.and_then(|record| record.size)),
    }
    .ok_or(GiveBackError::NoSize)?;
    let of = if let Some(offered) = offered {
        reserved_part(offered, size)
    } else {
        notes.push(
            "the agent did not say how it offers this disk: where --resources give it a role or \
             metadata, add them"
                .to_owned(),
        );
        whole(disk, &SourceExtras::default(), size)
    };
    let principal = wanted
        .principal
        .clone()
        .or_else(|| record.and_then(|record| record.principal.clone()));
    if principal.is_none() {
        notes.push(
            "with HTTP authentication on, the principal that makes the calls has to stand in them: \
             say it with --principal"
                .to_owned(),
        );
    }
    let marathon = key.id.marathon();
    if marathon.is_some() {
        notes.push(
            "Marathon knows its volumes by labels of their reservation as well, which are lost with \
             the agent's checkpoint: start the app anew on the data, or add the labels"
                .to_owned(),
        );
    }
    if disk.kind == DiskType::Mount {
        notes.push(
            "until CREATE is carried out this disk can be offered to anybody, with the data on it: \
             make both calls as soon as the agent has registered"
                .to_owned(),
        );
    }
    let role_reserved = of
        .reservations
        .last()
        .is_some_and(|last| last.kind == ReservationType::Static && last.role == key.role);
    let reserved = if role_reserved {
        of
    } else {
        reserved(&of, &key.role, principal.clone(), Vec::new())?
    };
    let container_path = marathon.map_or_else(
        || Raw::from("data"),
        |volume| Raw::from(volume.container_path.as_str()),
    );
    let created = volume(
        &reserved,
        Persistence {
            id: key.id.clone(),
            principal,
            container_path: Some(container_path),
        },
        false,
    )?;
    let mut calls = Vec::new();
    if !role_reserved {
        calls.push(Change::Reserve(vec![reserved]));
    }
    calls.push(Change::Create(vec![created]));
    Ok(GiveBack {
        agent: agent.clone(),
        calls,
        notes,
    })
}

/// The disk as the running agent offers it: unreserved, or with the role of its `--resources`.
fn offered<'a>(facts: &'a Facts, disk: &DiskRef) -> Option<&'a Resource> {
    let AgentAnswer::State(state) = &facts.answer else {
        return None;
    };
    state.resources.iter().find(|resource| {
        let dynamic = |reservation: &crate::mesos::resource::Reservation| {
            reservation.kind == ReservationType::Dynamic
        };
        resource.name == Raw::from("disk")
            && resource.persistence.is_none()
            && resource.provider_id.is_none()
            && !resource.reservations.iter().any(dynamic)
            && resource.disk(&facts.agent.work_dir).as_ref() == Some(disk)
    })
}

fn advertised(facts: &Facts, disk: &DiskRef) -> Option<Megabytes> {
    facts.root(disk)?.filesystem.advertised
}
