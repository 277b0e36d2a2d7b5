//! May a volume be created here, or resized, and of what? (F§3.2, F§3.7)
//!
//! A new volume adopts whatever lies where it will be: that place must be known to be empty.

use super::authority::Claims;
use super::facts::{
    CheckpointFile, Facts, FileIdentity, FileKind, Fingerprint, Known, MountContent, Registered,
};
use super::guards::{Reason, Refusal};
use super::remember::remember;
use super::roots::{RootView, dir_key};
use super::steps::VolumePlace;
use super::volumes::Judge;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::operator::{BuildError, reserved, reserved_part, volume};
use crate::mesos::paths;
use crate::mesos::resource::{Persistence, ReservationType, Resource};
use crate::units::{Megabytes, Raw};

/// Where a new volume's directory will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlace {
    /// The directory, on ROOT and PATH; a MOUNT is its own.
    pub place: Option<VolumePlace>,
    /// The path, for display.
    pub path: Raw,
    /// The file system.
    pub root: Fingerprint,
    /// The empty directory that lies there, as a run that was cut short leaves it: it has to go first.
    pub leftover: Option<FileIdentity>,
}

/// The directory that lies in the place of a volume that is to be created, where it is one.
#[must_use]
pub fn lies_there<'a>(
    facts: &'a Facts,
    key: &VolumeKey,
    disk: &DiskRef,
) -> Option<&'a FileIdentity> {
    let dirs = facts.root(disk)?.dirs.known()?;
    let dir = dirs
        .iter()
        .find(|dir| dir.kind == FileKind::Directory && dir_key(dir) == *key)?;
    dir.identity.known()
}

/// A change that the agent has written down and not carried out may be of this very volume.
pub(super) fn in_flight(claims: &Claims, reasons: &mut Vec<Reason>) {
    if claims.in_flight {
        reasons.push(Reason::new(
            Refusal::PendingOperation,
            "a target file exists: a change is in flight".to_owned(),
        ));
    }
}

/// The root on which a volume is to be.
pub(super) fn on_disk<'a, 'f>(
    views: &'a [RootView<'f>],
    disk: &DiskRef,
) -> Result<&'a RootView<'f>, Reason> {
    let found = views.iter().find(|view| view.root.disk == *disk);
    found.ok_or_else(|| {
        Reason::new(
            Refusal::ForeignRoot,
            format!("the agent on this host has no disk {disk}"),
        )
    })
}

/// Whether a volume may be created on this disk: nothing lies in its place but perhaps `empty`, a
/// directory that was seen to hold nothing, nobody names it, and nothing is in flight. Every reason why
/// not.
pub fn may_create(
    facts: &Facts,
    key: &VolumeKey,
    disk: &DiskRef,
    empty: Option<&FileIdentity>,
) -> Result<NewPlace, Vec<Reason>> {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let mut reasons = claims.doubts.clone();
    if let Some(claim) = claims.get(key) {
        reasons.push(Refusal::Held.into());
        for operation in &claim.pending {
            reasons.push(Reason::new(Refusal::PendingOperation, operation.clone()));
        }
    }
    in_flight(&claims, &mut reasons);
    trashed(facts, key, disk, &mut reasons);
    let view = match on_disk(&views, disk) {
        Ok(view) => view,
        Err(reason) => {
            reasons.push(reason);
            return Err(reasons);
        }
    };
    reasons.extend(view.reasons.iter().cloned());
    let path = match disk.kind {
        DiskType::Mount => disk.root.clone(),
        DiskType::Root | DiskType::Path => disk.root.join(paths::volume_directory(key)),
    };
    let lies = |what: &str| {
        Reason::new(
            Refusal::Contested,
            format!("{what}; the agent would take over what lies there as the volume's data"),
        )
    };
    let mut leftover = None;
    match disk.kind {
        DiskType::Root | DiskType::Path => {
            leftover = empty.filter(|empty| lies_there(facts, key, disk) == Some(*empty));
            match view.dirs.get(key).filter(|_| leftover.is_some()) {
                // Empty, but perhaps not for somebody who is about to write to it.
                Some(dir) => {
                    let memory = remember(facts, &claims, &views);
                    let judge = Judge::new(facts, &claims, &memory, &views);
                    judge.use_reasons(key, &dir.location, &mut reasons);
                }
                None if view.occupied(key) => {
                    reasons.push(lies(&format!("something lies at {path}")));
                }
                None => {}
            }
        }
        DiskType::Mount => {
            if let Some(holder) = claims.holder_of(disk) {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("the disk holds volume {holder}"),
                ));
            }
            match &view.root.content {
                Known::Known(MountContent::Empty) => {}
                Known::Known(_) => reasons.push(lies(&format!("{path} is not empty"))),
                Known::Absent => reasons.push(Refusal::NotMounted.into()),
                Known::Unknown(why) => {
                    reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
                }
            }
        }
    }
    match view.standing() {
        Some((_, present)) if reasons.is_empty() => Ok(NewPlace {
            place: (disk.kind != DiskType::Mount).then(|| VolumePlace {
                volume: key.clone(),
                disk: disk.clone(),
                root: present.clone(),
                role_dir: key.role.directory(),
                id_dir: key.id.as_raw().clone(),
            }),
            path,
            root: present.clone(),
            leftover: leftover.cloned(),
        }),
        Some(_) | None => {
            if reasons.is_empty() {
                reasons.push(Refusal::NoIdentity.into());
            }
            Err(reasons)
        }
    }
}

/// Data of an earlier volume of this name would be contested with the new one's.
fn trashed(facts: &Facts, key: &VolumeKey, disk: &DiskRef, reasons: &mut Vec<Reason>) {
    for root in &facts.roots {
        if let Known::Unknown(why) = &root.trash
            && root.disk == *disk
        {
            reasons.push(Reason::new(Refusal::ForeignTrash, why.to_string()));
        }
        for entry in root.trash.known().into_iter().flatten() {
            let manifest = entry.manifest.known();
            if manifest.is_some_and(|manifest| manifest.volume == *key) {
                reasons.push(Reason::new(
                    Refusal::Contested,
                    format!(
                        "trash entry {} holds the data of an earlier volume of this name; \
                         `mesos-volumed trash purge` it first",
                        entry.id
                    ),
                ));
            }
            if manifest.is_none() && root.disk == *disk {
                reasons.push(Reason::new(
                    Refusal::ForeignTrash,
                    format!("trash entry {} can't be read", entry.id),
                ));
            }
        }
    }
}

/// Whether a directory that was made for a volume, and that no call came for, may be taken away
/// again: nobody names the volume, and nothing is in flight.
#[must_use]
pub fn may_withdraw(facts: &Facts, key: &VolumeKey) -> bool {
    let claims = Claims::join(facts);
    claims.doubts.is_empty()
        && claims.get(key).is_none()
        && matches!(facts.checkpoint.state_target, CheckpointFile::Missing)
        && matches!(facts.checkpoint.info_target, CheckpointFile::Missing)
}

/// Who reserves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The role.
    pub role: Role,
    /// The principal.
    pub principal: Option<Raw>,
    /// Labels.
    pub labels: Vec<(Raw, Option<Raw>)>,
}

/// What a volume, or an addition to one, is to be taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stock {
    /// It is reserved as wanted already, so much or more.
    Reserved(Resource),
    /// It has to be reserved first.
    Free(Resource),
}

/// Disk of this agent on `disk` that is wanted for `holder`: what is reserved so already is used
/// first. A MOUNT goes as a whole. `None` where there is not enough of either.
#[must_use]
pub fn stock(
    agent: &Registered,
    work_dir: &Raw,
    disk: &DiskRef,
    holder: &Holder,
    size: Option<Megabytes>,
) -> Option<Stock> {
    let enough = |one: &&Resource| {
        let there = one.megabytes().unwrap_or_default();
        match (disk.kind, size) {
            (DiskType::Mount, Some(size)) => there == size,
            (DiskType::Mount, None) => true,
            (DiskType::Root | DiskType::Path, Some(size)) => there >= size,
            (DiskType::Root | DiskType::Path, None) => false,
        }
    };
    let mut there = agent.resources.iter().filter(|one| {
        one.persistence.is_none()
            && !one.shared
            && one.provider_id.is_none()
            && one.source.as_ref().is_none_or(|source| source.id.is_none())
            && one.disk(work_dir).as_ref() == Some(disk)
    });
    let reserved = there.clone().filter(enough).find(|one| {
        one.reservations.last().is_some_and(|last| {
            last.role == holder.role
                && match last.kind {
                    ReservationType::Static => true,
                    ReservationType::Dynamic => {
                        last.principal == holder.principal && last.labels == holder.labels
                    }
                    ReservationType::Unknown(_) => false,
                }
        })
    });
    if let Some(reserved) = reserved {
        return Some(Stock::Reserved(reserved.clone()));
    }
    there
        .find(|one| enough(one) && one.role().is_none_or(|role| holder.role.refines(role)))
        .map(|free| Stock::Free(free.clone()))
}

/// A volume that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The disk.
    pub disk: DiskRef,
    /// How much; `None`: a MOUNT, which goes as a whole.
    pub size: Option<Megabytes>,
    /// For whom it is reserved.
    pub holder: Holder,
    /// Its id and principal.
    pub persistence: Persistence,
    /// Whether several tasks may use it at a time.
    pub shared: bool,
}

/// What is reserved, where that is needed, and what is created on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// What has to be reserved first.
    pub reserve: Option<Resource>,
    /// The volume.
    pub create: Resource,
}

/// Why a volume can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// There is not enough of what is free or reserved as wanted.
    #[error(
        "{disk} has not enough that is free or reserved for `{role}`{}",
        if disk.kind == DiskType::Mount { " (a MOUNT goes as a whole, to one volume)" } else { "" }
    )]
    TooLittle {
        /// The disk.
        disk: DiskRef,
        /// The role.
        role: Role,
    },
    /// The calls can't be built.
    #[error("the calls can't be made of what is known")]
    Build(#[from] BuildError),
}

/// What is reserved and created for a volume, of what the master says that the agent has.
pub fn supply(agent: &Registered, work_dir: &Raw, order: &Order) -> Result<Supply, SupplyError> {
    let Order {
        disk, size, holder, ..
    } = order;
    let there =
        stock(agent, work_dir, disk, holder, *size).ok_or_else(|| SupplyError::TooLittle {
            disk: disk.clone(),
            role: holder.role.clone(),
        })?;
    let sized = |of: &Resource| match size {
        Some(size) => reserved_part(of, *size),
        None => of.clone(),
    };
    let (reserve, on) = match there {
        Stock::Reserved(on) => (None, sized(&on)),
        Stock::Free(free) => {
            let Holder {
                role,
                principal,
                labels,
            } = holder;
            let on = reserved(&sized(&free), role, principal.clone(), labels.clone())?;
            (Some(on.clone()), on)
        }
    };
    Ok(Supply {
        create: volume(&on, order.persistence.clone(), order.shared)?,
        reserve,
    })
}
