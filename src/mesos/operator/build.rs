//! Resources as calls name them, made from one another.

use crate::mesos::disk::{DiskRef, DiskSource, DiskType, SourceExtras, SourceType};
use crate::mesos::ids::Role;
use crate::mesos::resource::{
    Persistence, Reservation, ReservationType, Resource, Value as Amount,
};
use crate::units::{Megabytes, Raw};

/// Why a resource can't be made from another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No role `*`, nor one that Mesos refuses.
    #[error("`{role}` {fault}; name a role to reserve for")]
    Role {
        /// The role.
        role: Role,
        /// The rest of the sentence.
        fault: &'static str,
    },
    /// A reservation may only be refined below its own role.
    #[error(
        "it is reserved to `{held}`; it can only be reserved further below that, not to `{role}`"
    )]
    NotBelow {
        /// The role that has it.
        held: Role,
        /// The role that was asked for.
        role: Role,
    },
    /// There is nothing to take a volume from.
    #[error("a volume can only be created on reserved disk")]
    Unreserved,
    /// There is a volume on it already.
    #[error("it is a volume already")]
    IsVolume,
    /// There is no reservation to take off.
    #[error("its last reservation is static, from the agent's --resources, and stays")]
    Static,
}

/// All of a disk as an agent offers it that was given no role: `disk` with its source.
#[must_use]
pub fn whole(disk: &DiskRef, extras: &SourceExtras, size: Megabytes) -> Resource {
    let source = |kind| {
        Some(DiskSource {
            kind,
            root: Some(disk.root.clone()),
            id: None,
            vendor: extras.vendor.clone(),
            profile: extras.profile.clone(),
            metadata: extras.metadata.clone(),
        })
    };
    Resource {
        name: Raw::from("disk"),
        value: Amount::Scalar(size),
        reservations: Vec::new(),
        source: match disk.kind {
            DiskType::Root => None,
            DiskType::Path => source(SourceType::Path),
            DiskType::Mount => source(SourceType::Mount),
        },
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

/// So much of a resource, with everything else as it is.
#[must_use]
pub fn reserved_part(of: &Resource, size: Megabytes) -> Resource {
    Resource {
        value: Amount::Scalar(size),
        ..of.clone()
    }
}

/// The resource with one more dynamic reservation.
pub fn reserved(
    of: &Resource,
    role: &Role,
    principal: Option<Raw>,
    labels: Vec<(Raw, Option<Raw>)>,
) -> Result<Resource, BuildError> {
    if of.persistence.is_some() {
        return Err(BuildError::IsVolume);
    }
    let fault = if role.is_unreserved() {
        Some("stands for no reservation")
    } else {
        role.fault()
    };
    if let Some(fault) = fault {
        return Err(BuildError::Role {
            role: role.clone(),
            fault,
        });
    }
    if let Some(held) = of.role()
        && !role.refines(held)
    {
        return Err(BuildError::NotBelow {
            held: held.clone(),
            role: role.clone(),
        });
    }
    let mut reserved = of.clone();
    reserved.reservations.push(Reservation {
        kind: ReservationType::Dynamic,
        role: role.clone(),
        principal,
        labels,
    });
    Ok(reserved)
}

/// The resource without its last, dynamic reservation.
pub fn unreserved(of: &Resource) -> Result<Resource, BuildError> {
    let mut free = of.clone();
    match free.reservations.pop() {
        Some(Reservation {
            kind: ReservationType::Dynamic,
            ..
        }) => Ok(free),
        Some(_) => Err(BuildError::Static),
        None => Err(BuildError::Unreserved),
    }
}

/// A volume on this reserved disk.
pub fn volume(
    of: &Resource,
    persistence: Persistence,
    shared: bool,
) -> Result<Resource, BuildError> {
    if of.persistence.is_some() {
        return Err(BuildError::IsVolume);
    }
    if of.reservations.is_empty() {
        return Err(BuildError::Unreserved);
    }
    Ok(Resource {
        persistence: Some(persistence),
        shared,
        ..of.clone()
    })
}

/// What is left of a volume once it is destroyed: reserved disk.
#[must_use]
pub fn stripped_volume(volume: &Resource) -> Resource {
    Resource {
        persistence: None,
        shared: false,
        ..volume.clone()
    }
}
