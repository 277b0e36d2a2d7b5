//! The calls that give a restored or adopted volume back to Mesos: RESERVE, then CREATE.
//!
//! CREATE keeps what lies in the volume's directory (F§3.2), so that the data is back with it. The
//! calls are made by an operator, of what the agent says that it has ([`give_back`]), or by
//! `mesos-volumed volumes adopt --send`, of what the master says ([`to_send`]).

use super::authority::Claims;
use super::facts::{AgentAnswer, Facts, FileIdentity, FileKind, Known, Registered};
use super::guards::{Reason, Refusal};
use super::lifecycle::{Holder, Order, Supply, SupplyError, in_flight, on_disk, supply};
use super::memory::Memory;
use super::remember::{agent_may_delete, remember};
use super::roots::{RootView, dir_key};
use super::volumes::Judge;
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{BuildError, Change, reserved, reserved_part, volume, whole};
use crate::mesos::paths;
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
    /// The agent has too little.
    #[error(transparent)]
    Supply(#[from] SupplyError),
}

/// What a volume that is given back shall be, on whatever disk.
struct Terms {
    /// As the operator says, or as it was.
    size: Option<Megabytes>,
    holder: Holder,
    persistence: Persistence,
    /// What whoever had it makes of it.
    note: Option<String>,
}

impl Terms {
    fn of(memory: &Memory, key: &VolumeKey, wanted: &Wanted) -> Self {
        let record = memory.volumes.iter().find(|record| record.key == *key);
        let principal = wanted
            .principal
            .clone()
            .or_else(|| record.and_then(|record| record.principal.clone()));
        let marathon = key.id.marathon();
        let note = marathon.as_ref().map(|_volume| {
            "Marathon knows its volumes by labels of their reservation as well, which are lost with \
             the agent's checkpoint: start the app anew on the data, or add the labels"
                .to_owned()
        });
        let container_path = marathon.map_or_else(
            || Raw::from("data"),
            |volume| Raw::from(volume.container_path.as_str()),
        );
        Self {
            size: wanted
                .size
                .or_else(|| record.and_then(|record| record.size)),
            holder: Holder {
                role: key.role.clone(),
                principal: principal.clone(),
                labels: Vec::new(),
            },
            persistence: Persistence {
                id: key.id.clone(),
                principal,
                container_path: Some(container_path),
            },
            note,
        }
    }
}

/// What is to be sent, and what an operator should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// What is reserved, where that is needed, and what is created.
    pub supply: Supply,
    /// What whoever had the volume makes of it.
    pub note: Option<String>,
}

/// What is to be sent for a volume on this disk, of what the master says that the agent has. A reservation
/// that an earlier run left is used.
pub fn to_send(
    agent: &Registered,
    work_dir: &Raw,
    memory: &Memory,
    key: &VolumeKey,
    disk: &DiskRef,
    wanted: &Wanted,
) -> Result<Sending, GiveBackError> {
    let terms = Terms::of(memory, key, wanted);
    let size = match disk.kind {
        DiskType::Mount => None,
        DiskType::Root | DiskType::Path => Some(terms.size.ok_or(GiveBackError::NoSize)?),
    };
    let order = Order {
        disk: disk.clone(),
        size,
        holder: terms.holder,
        persistence: terms.persistence,
        shared: false,
    };
    Ok(Sending {
        supply: supply(agent, work_dir, &order)?,
        note: terms.note,
    })
}

/// What lies in the place of a volume that is to be given back, and will be its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lying {
    /// The directory.
    pub path: Raw,
    /// Which one.
    pub identity: FileIdentity,
}

/// The disks on which a directory has the volume's name; a MOUNT disk bears none, and counts where its root
/// is named.
#[must_use]
pub fn lies_on<'a>(facts: &'a Facts, key: &VolumeKey, root: Option<&Raw>) -> Vec<&'a DiskRef> {
    let disks = facts.roots.iter().filter(|found| match found.kind() {
        DiskType::Root | DiskType::Path => {
            let mut dirs = found.dirs.known().into_iter().flatten();
            root.is_none_or(|root| *root == found.disk.root) && dirs.any(|dir| dir_key(dir) == *key)
        }
        DiskType::Mount => root == Some(&found.disk.root),
    });
    disks.map(|found| &found.disk).collect()
}

/// Whether what lies in the volume's place may be given back to Mesos with it: nobody names the volume,
/// nothing is in flight, its disk is the one that it should be, and all of the data is there. Every reason
/// why not.
pub fn may_give_back(facts: &Facts, key: &VolumeKey, disk: &DiskRef) -> Result<Lying, Vec<Reason>> {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let memory = remember(facts, &claims, &views);
    let judge = Judge::new(facts, &claims, &memory, &views);
    // That a checkpoint proves nothing by being empty is no doubt here: that is when data is given back.
    let mut reasons = claims.doubts.clone();
    judge.name_reasons(key, &mut reasons);
    judge.hidden_role(key, &mut reasons);
    in_flight(&claims, &mut reasons);
    let gone = judge.record(key).and_then(|record| record.gone.as_ref());
    if gone.is_some_and(|gone| agent_may_delete(facts, &memory, gone)) {
        reasons.push(Refusal::AgentDeleting.into());
    }
    let view = match on_disk(&views, disk) {
        Ok(view) => view,
        Err(reason) => {
            reasons.push(reason);
            return Err(reasons);
        }
    };
    reasons.extend(view.reasons.iter().cloned());
    half_way(facts, view, key, &mut reasons);
    let lying = match disk.kind {
        DiskType::Root | DiskType::Path => {
            let path = disk.root.join(paths::volume_directory(key));
            let identity = match view.dirs.get(key) {
                Some(dir) if dir.kind == FileKind::Directory => dir.identity.known(),
                Some(_) => {
                    reasons.push(Reason::new(
                        Refusal::NotAVolumePath,
                        format!("{path} is not a directory"),
                    ));
                    None
                }
                None => {
                    reasons.push(Reason::new(
                        Refusal::NotAVolumePath,
                        format!("nothing lies at {path}; `mesos-volumed volumes create` makes an empty volume"),
                    ));
                    None
                }
            };
            identity.map(|identity| Lying {
                path,
                identity: identity.clone(),
            })
        }
        DiskType::Mount => {
            if let Some(holder) = claims.holder_of(disk) {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("the disk holds volume {holder}"),
                ));
            }
            match &view.root.content {
                Known::Known(_) => {}
                Known::Absent => reasons.push(Refusal::NotMounted.into()),
                Known::Unknown(why) => {
                    reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
                }
            }
            view.root.filesystem.present.known().map(|present| Lying {
                path: disk.root.clone(),
                identity: present.directory.clone(),
            })
        }
    };
    match lying {
        Some(lying) if reasons.is_empty() => Ok(lying),
        Some(_) | None => {
            if reasons.is_empty() {
                reasons.push(Refusal::NoIdentity.into());
            }
            Err(reasons)
        }
    }
}

/// Adds what of the volume's data is elsewhere: a restore that is not over, a destroy of ours that nobody has
/// confirmed, a MOUNT disk of which an entry of the trash has a part. Another entry with data of an earlier
/// volume of this name is kept, contested, once the volume is held.
fn half_way(facts: &Facts, view: &RootView<'_>, key: &VolumeKey, reasons: &mut Vec<Reason>) {
    for root in &facts.roots {
        for entry in root.trash.known().into_iter().flatten() {
            let Some(manifest) = entry.manifest.known() else {
                continue;
            };
            if manifest.volume != *key || entry.data == Known::Absent {
                continue;
            }
            let mut marks = root.adopted.known().into_iter().flatten();
            if manifest.unconfirmed {
                reasons.push(Refusal::Unconfirmed.into());
            } else if marks.any(|mark| mark.trash.as_ref() == Some(&entry.id)) {
                reasons.push(Reason::new(
                    Refusal::Contested,
                    format!(
                        "the restore of trash entry {} is not over; every sweep goes on with it",
                        entry.id
                    ),
                ));
            }
        }
    }
    for entry in view.root.half_moved() {
        reasons.push(Reason::new(
            Refusal::Contested,
            format!(
                "trash entry {} holds parts of what was on the disk",
                entry.id
            ),
        ));
    }
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
    let terms = Terms::of(memory, key, wanted);
    let mut notes = Vec::new();
    let offered = offered(facts, disk);
    let size = match disk.kind {
        // A MOUNT disk is given whole, to the last decimal (F§11).
        DiskType::Mount => offered
            .and_then(Resource::megabytes)
            .or_else(|| advertised(facts, disk))
            .or(wanted.size),
        DiskType::Root | DiskType::Path => terms.size,
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
    if terms.holder.principal.is_none() {
        notes.push(
            "with HTTP authentication on, the principal that makes the calls has to stand in them: \
             say it with --principal"
                .to_owned(),
        );
    }
    notes.extend(terms.note);
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
        reserved(&of, &key.role, terms.holder.principal, terms.holder.labels)?
    };
    let created = volume(&reserved, terms.persistence, false)?;
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
        resource.persistence.is_none()
            && resource.provider_id.is_none()
            && !resource.reservations.iter().any(dynamic)
            && resource.disk(&facts.agent.work_dir).as_ref() == Some(disk)
    })
}

fn advertised(facts: &Facts, disk: &DiskRef) -> Option<Megabytes> {
    facts.root(disk)?.filesystem.advertised
}
