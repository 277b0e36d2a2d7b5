//! Volumes: who may see them, who is gone, what was left behind.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Examined, Finding};
use crate::decide::authority::believed;
use crate::decide::facts::{Known, OperationKind, OperationState};
use crate::decide::guards::{Refusal, Weight};
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::decide::radar::Alarm;
use crate::mesos::ids::Role;
use crate::mesos::resource::{Reservation, ReservationType, Resource};
use crate::units::{Bytes, MIB, Megabytes, Raw};

/// How many names a finding tells.
const NAMES: usize = 5;

/// Marathon gives a reservation up after 20 seconds; twice that leaves no doubt.
const RESERVED: i64 = 60;

/// The label in which Marathon writes its framework id.
const FRAMEWORK: &[u8] = b"marathon_framework_id";

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let listing = listing::all(examined.patient.facts, examined.patient.plan);
    rows(&listing.rows, findings);
    alarms(&listing.alarms, findings);
    kept(examined, findings);
    shared_roles(examined, findings);
    frameworks(examined, findings);
    reservations(examined, findings);
    usage(examined, findings);
}

fn rows(rows: &[VolumeRow], findings: &mut Vec<Finding>) {
    let mut exposed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let Some(key) = &row.key else { continue };
        match row.state {
            VolumeState::Vanished => {
                let aside = row
                    .reasons
                    .iter()
                    .find(|reason| reason.code == Refusal::Unconfirmed);
                let (seen, remedy) = match aside {
                    Some(reason) => (
                        format!("{} lies in the trash: {reason}", row.path),
                        reason.code.remedy().to_owned(),
                    ),
                    None => (
                        format!("{} is not there", row.path),
                        format!(
                            "mount the right disk, or `mesos-volumed volumes recreate {key} \
                             --confirm {}` for an empty one",
                            key.id
                        ),
                    ),
                };
                let code = Code::VolumeVanished;
                findings.push(Finding::new(code, key.to_string(), seen).remedy(remedy));
            }
            VolumeState::Orphan | VolumeState::Destroyed => {
                if let Some(disk) = &row.disk {
                    exposed
                        .entry(disk.to_string())
                        .or_default()
                        .push(key.to_string());
                }
            }
            VolumeState::Held
            | VolumeState::Pending
            | VolumeState::Trashed
            | VolumeState::Foreign => {}
        }
    }
    for (disk, mut names) in exposed {
        let count = names.len();
        names.truncate(NAMES);
        let more = if count > names.len() { ", …" } else { "" };
        findings.push(Finding::new(
            Code::OrphanExposed,
            disk,
            format!(
                "{count} that nobody names: {}{more}; a CREATE keeps what lies in its directory",
                names.join(", ")
            ),
        ));
    }
}

fn alarms(alarms: &Known<Vec<Alarm>>, findings: &mut Vec<Finding>) {
    match alarms {
        Known::Known(alarms) => findings.extend(alarms.iter().map(|alarm| {
            Finding::new(
                alarm.kind.into(),
                alarm.volume.to_string(),
                alarm.to_string(),
            )
        })),
        Known::Absent => {}
        Known::Unknown(why) => findings.push(Finding::new(
            Code::HoldersUnknown,
            "processes of this host",
            why.to_string(),
        )),
    }
}

fn kept(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    for kept in examined.patient.plan.kept.iter().filter(|kept| kept.due) {
        let blocking: Vec<_> = kept
            .reasons
            .iter()
            .filter(|reason| reason.code.weight() == Weight::Blocking)
            .collect();
        let Some(first) = blocking.first() else {
            continue;
        };
        let all: Vec<String> = blocking.iter().map(ToString::to_string).collect();
        findings.push(
            Finding::new(Code::DestroyKept, kept.path.to_string(), all.join("; "))
                .remedy(first.code.remedy()),
        );
    }
}

/// Roles in which several principals reserved or created, or of which several frameworks use
/// volumes.
fn shared_roles(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let mut principals: BTreeMap<Role, BTreeSet<Raw>> = BTreeMap::new();
    let mut frameworks: BTreeMap<Role, BTreeSet<Raw>> = BTreeMap::new();
    for resource in believed(facts) {
        let Some(role) = resource.role() else {
            continue;
        };
        let reserved = resource
            .reservations
            .last()
            .and_then(|last| last.principal.clone());
        let created = resource
            .persistence
            .as_ref()
            .and_then(|volume| volume.principal.clone());
        principals
            .entry(role.clone())
            .or_default()
            .extend(reserved.into_iter().chain(created));
        if resource.persistence.is_some() {
            frameworks
                .entry(role.clone())
                .or_default()
                .extend(label(resource, FRAMEWORK));
        }
    }
    for task in facts.task_uses() {
        for volume in &task.volumes {
            frameworks
                .entry(volume.role.clone())
                .or_default()
                .insert(task.framework.clone());
        }
    }
    for (what, by_role) in [("principals", principals), ("frameworks", frameworks)] {
        for (role, who) in by_role {
            if who.len() > 1 {
                let who: Vec<String> = who.iter().take(NAMES).map(ToString::to_string).collect();
                findings.push(Finding::new(
                    Code::RoleShared,
                    format!("role {role}"),
                    format!("{what} {}", who.join(", ")),
                ));
            }
        }
    }
}

fn label(resource: &Resource, name: &[u8]) -> Option<Raw> {
    resource
        .reservations
        .iter()
        .flat_map(|reservation| &reservation.labels)
        .find(|(key, _)| key.as_bytes() == name)
        .and_then(|(_, value)| value.clone())
}

fn frameworks(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let known = match &examined.patient.host.frameworks {
        Known::Known(known) => known,
        Known::Absent => {
            findings.push(Finding::new(
                Code::NotAsked,
                "whether the frameworks of volumes are gone",
                "no master is configured (master.urls)",
            ));
            return;
        }
        Known::Unknown(why) => {
            findings.push(Finding::not_checked(
                "whether the frameworks of volumes are gone",
                why,
            ));
            return;
        }
    };
    for resource in believed(examined.patient.facts) {
        if let (Some(key), Some(framework)) = (resource.volume_key(), label(resource, FRAMEWORK))
            && !known.contains(&framework)
        {
            findings.push(Finding::new(
                Code::FrameworkGone,
                key.to_string(),
                format!("it was reserved for framework {framework}"),
            ));
        }
    }
}

fn reservations(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let of_volumes: BTreeSet<&[Reservation]> = believed(facts)
        .filter(|resource| resource.persistence.is_some())
        .map(|resource| resource.reservations.as_slice())
        .collect();
    let idle: Vec<&Resource> = believed(facts)
        .filter(|resource| {
            let last = resource.reservations.last();
            resource.name.as_bytes() == b"disk"
                && resource.persistence.is_none()
                && last.is_some_and(|last| {
                    last.kind == ReservationType::Dynamic
                        && last.role.as_raw().as_bytes() != b"mesos-volumed"
                })
        })
        // What is left of a larger reservation of which a volume was made.
        .filter(|resource| !of_volumes.contains(resource.reservations.as_slice()))
        .collect();
    let creating = facts.checkpoint.state.whole().is_some_and(|state| {
        state.operations.iter().any(|operation| {
            operation.kind == OperationKind::Create && operation.state == OperationState::Pending
        })
    });
    if idle.is_empty() || creating {
        return;
    }
    match &examined.patient.host.state_written {
        Known::Known(at) => {
            let age = facts.host.now.wall_seconds.saturating_sub(*at);
            if age <= RESERVED {
                return;
            }
            for resource in idle {
                let role = resource.role().map(ToString::to_string).unwrap_or_default();
                let number = resource.megabytes().unwrap_or(Megabytes::whole(0));
                let task = label(resource, b"marathon_task_id")
                    .map_or_else(String::new, |task| format!(" for task {task}"));
                findings.push(Finding::new(
                    Code::ReservationIdle,
                    format!("role {role}"),
                    format!(
                        "{number} MB of disk are reserved{task} for {age} s and longer, and no \
                         volume is made of it"
                    ),
                ));
            }
        }
        // Another generation of agents, without this file.
        Known::Absent => {}
        Known::Unknown(why) => {
            findings.push(Finding::not_checked("how old idle reservations are", why));
        }
    }
}

/// Volumes in use that the agent itself measured to be larger than they may be. It tells no role.
fn measured(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let uses = match &examined.patient.host.measured {
        Known::Known(uses) => uses,
        Known::Absent => return,
        Known::Unknown(why) => {
            findings.push(Finding::not_checked(
                "what the agent measured of volumes",
                why,
            ));
            return;
        }
    };
    let mut held: BTreeMap<_, Vec<&Resource>> = BTreeMap::new();
    for resource in believed(examined.patient.facts) {
        if let Some(volume) = &resource.persistence {
            let source = resource.source.as_ref();
            let root = source.and_then(|source| source.root.as_ref());
            held.entry((&volume.id, root)).or_default().push(resource);
        }
    }
    for one in uses {
        if let Some([volume]) = held.get(&(&one.id, one.root.as_ref())).map(Vec::as_slice)
            && let (Some(key), Some(size)) = (volume.volume_key(), volume.megabytes())
            && is_larger(Bytes(one.used), size)
        {
            findings.push(Finding::new(
                Code::VolumeLarger,
                key.to_string(),
                format!(
                    "executor {} uses {} of {size} MB of it, as the agent measured",
                    one.executor,
                    Bytes(one.used)
                ),
            ));
        }
    }
}

fn usage(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let Some(usage) = &examined.patient.host.usage else {
        measured(examined, findings);
        findings.push(Finding::new(
            Code::NotAsked,
            "whether volumes are larger than their size",
            "every entry of every volume would be looked at, but for those that the agent measured; \
             `doctor --usage` does",
        ));
        return;
    };
    for volume in usage {
        match &volume.used {
            Ok(used) if is_larger(*used, volume.size) => findings.push(Finding::new(
                Code::VolumeLarger,
                volume.volume.to_string(),
                format!("{} takes up {used} of {} MB", volume.path, volume.size),
            )),
            Ok(_) => {}
            Err(why) => {
                let what = format!("how large {} is", volume.volume);
                findings.push(Finding::not_checked(&what, why));
            }
        }
    }
}

fn is_larger(used: Bytes, size: Megabytes) -> bool {
    let allowed = i128::from(size.thousandths()).saturating_mul(i128::from(MIB));
    i128::from(used.0).saturating_mul(1000) > allowed
}
