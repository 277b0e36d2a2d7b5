//! What a pass adds to the memory: lived time, holdings, witnessed destroys, sightings.
//!
//! Pure: the memory before and the facts now give the memory after. While an authority is
//! doubtful nothing is concluded from absence, so only time passes and names are added.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::{Claim, Claims, Source, empty_doubt, our_agents};
use super::facts::{
    AgentAnswer, CheckpointFile, Facts, FileKind, Known, MountContent, Operation, OperationKind,
    OperationState,
};
use super::memory::{
    Gone, LivedClock, Memory, Sighting, StaleSince, VolumePlaceRecord, VolumeRecord,
};
use super::roots::{RootView, place_exists, present_filesystem};
use super::steps::Evidence;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::Span;

/// How long the brake remembers, in lived time.
pub(in crate::decide) const BRAKE_WINDOW: Span = Span::seconds(24 * 3600);

/// The memory after this observation.
#[must_use]
pub fn remember(facts: &Facts, claims: &Claims, views: &[RootView<'_>]) -> Memory {
    let mut memory = match &facts.memory {
        Known::Known(memory) => memory.clone(),
        Known::Absent | Known::Unknown(_) => Memory::new(&facts.host.now),
    };
    pass_time(&mut memory, facts);
    let lived = memory.clock.lived;

    let destroys = destroys(facts);
    let mut records: BTreeMap<VolumeKey, VolumeRecord> = std::mem::take(&mut memory.volumes)
        .into_iter()
        .map(|record| (record.key.clone(), record))
        .collect();
    for (key, claim) in &claims.volumes {
        let record = records
            .entry(key.clone())
            .or_insert_with(|| new_record(key));
        note_named(
            record,
            facts,
            views,
            claim,
            destroys.get(key).map_or(&[], Vec::as_slice),
        );
    }
    memory.volumes = records.into_values().collect();
    forget_spent(&mut memory, facts);
    note_emptiness(&mut memory, facts, claims);

    let certain = claims.doubts.is_empty() && empty_doubt(claims, facts, &memory).is_none();
    // The grace of an accepted emptiness and that of its orphans run together.
    if claims.doubts.is_empty() && (certain || memory.empty_accepted_at.is_some()) {
        note_sightings(&mut memory, facts, claims, views);
    }
    if certain {
        for record in &mut memory.volumes {
            if !claims.volumes.contains_key(&record.key) {
                let operations = destroys.get(&record.key).map_or(&[][..], Vec::as_slice);
                note_gone(record, facts, claims, views, operations, lived);
            }
        }
        memory.run = facts.agent.run.known().cloned();
        note_stale(&mut memory, facts, claims);
    } else {
        // Named again in the meantime: such a sighting is void even in a doubtful pass.
        memory
            .sightings
            .retain(|sighting| !claims.volumes.contains_key(&sighting.key));
    }
    memory
        .volumes
        .retain(|record| record.gone.is_none() || !record.places.is_empty());
    memory
        .unwitnessed
        .retain(|batch| lived.minus(batch.at) < BRAKE_WINDOW);
    memory
}

/// Adds the lived time since the last pass: a step of `CLOCK_BOOTTIME`, capped, none across a
/// boot, none backwards.
fn pass_time(memory: &mut Memory, facts: &Facts) {
    let now = &facts.host.now;
    let cap = facts.policy.sweep_every.plus(facts.policy.sweep_every);
    let step = if memory.clock.boot_id == now.boot_id {
        now.since_boot.minus(memory.clock.since_boot).min(cap)
    } else {
        Span::ZERO
    };
    memory.clock = LivedClock {
        boot_id: now.boot_id.clone(),
        since_boot: now.since_boot,
        lived: memory.clock.lived.plus(step),
    };
}

fn operations(facts: &Facts) -> impl Iterator<Item = &Operation> {
    let checkpoint = &facts.checkpoint;
    let providers = facts
        .providers
        .known()
        .into_iter()
        .flatten()
        .flat_map(|state| &state.content.operations);
    [checkpoint.state_target.whole(), checkpoint.state.whole()]
        .into_iter()
        .flatten()
        .flat_map(|state| &state.operations)
        .chain(providers)
}

/// DESTROY operations by the volumes they name.
fn destroys(facts: &Facts) -> BTreeMap<VolumeKey, Vec<&Operation>> {
    let mut map: BTreeMap<VolumeKey, Vec<&Operation>> = BTreeMap::new();
    for operation in operations(facts) {
        if operation.kind == OperationKind::Destroy {
            for key in operation.volumes.iter().filter_map(Resource::volume_key) {
                map.entry(key).or_default().push(operation);
            }
        }
    }
    map
}

fn new_record(key: &VolumeKey) -> VolumeRecord {
    VolumeRecord {
        key: key.clone(),
        places: Vec::new(),
        size: None,
        principal: None,
        held_in_run: None,
        held_in_boot: String::new(),
        pending_destroys: Vec::new(),
        spent_destroys: Vec::new(),
        gone: None,
    }
}

fn note_named(
    record: &mut VolumeRecord,
    facts: &Facts,
    views: &[RootView<'_>],
    claim: &Claim,
    destroys: &[&Operation],
) {
    // Evidence of an earlier destroy is void once the volume is named again.
    record.gone = None;
    record.size = claim.size.or(record.size);
    record.principal = claim.principal.clone().or_else(|| record.principal.clone());
    record.held_in_boot.clone_from(&facts.host.now.boot_id);
    if claim.effective {
        record.held_in_run = facts.agent.run.known().cloned();
    } else if !claim.stale_only() {
        record.held_in_run = None;
    }
    // A place of an earlier life of the name is not what a later destroy speaks of.
    if !claim.disks.is_empty() {
        record
            .places
            .retain(|place| claim.disks.contains(&place.disk));
    }
    for disk in &claim.disks {
        note_place(record, views, disk);
    }
    let mut pending = Vec::new();
    let named_by_resource = claim.sources.iter().any(|source| match source {
        Source::State
        | Source::StateTarget
        | Source::Info
        | Source::InfoTarget
        | Source::Provider
        | Source::Answer => true,
        Source::Operation | Source::Task => false,
    });
    for operation in destroys {
        match operation.state {
            OperationState::Pending | OperationState::Unclear => {
                pending.push(operation.uuid.clone());
            }
            // Finished, and yet the volume is held: it belongs to an earlier life of the name.
            OperationState::Finished => {
                if named_by_resource && !record.spent_destroys.contains(&operation.uuid) {
                    record.spent_destroys.push(operation.uuid.clone());
                }
            }
            OperationState::Failed => {}
        }
    }
    pending.sort();
    pending.dedup();
    record.pending_destroys = pending;
}

fn note_place(record: &mut VolumeRecord, views: &[RootView<'_>], disk: &DiskRef) {
    // Only what lies on the disk that is known under this root counts as the volume's place.
    let usable = views
        .iter()
        .find(|view| view.root.disk == *disk && view.reasons.is_empty());
    let filesystem = usable.and_then(|view| present_filesystem(view.root));
    let seen = usable
        .and_then(|view| view.dirs.get(&record.key))
        .filter(|dir| dir.kind == FileKind::Directory)
        .and_then(|dir| dir.identity.known())
        .cloned();
    match record.places.iter_mut().find(|place| place.disk == *disk) {
        Some(place) => {
            if filesystem.is_some() {
                place.filesystem = filesystem;
            }
            if seen.is_some() {
                place.directory = seen;
            }
        }
        None => record.places.push(VolumePlaceRecord {
            disk: disk.clone(),
            filesystem,
            directory: seen,
        }),
    }
}

/// Uuids that no file names any more can't be mistaken for anything.
fn forget_spent(memory: &mut Memory, facts: &Facts) {
    if facts.checkpoint.state.whole().is_none() {
        return;
    }
    let present: BTreeSet<&str> = operations(facts)
        .map(|operation| operation.uuid.as_str())
        .collect();
    for record in &mut memory.volumes {
        record
            .spent_destroys
            .retain(|uuid| present.contains(uuid.as_str()));
    }
}

/// Everything gone across an agent start is no proof, whatever the files say.
fn note_emptiness(memory: &mut Memory, facts: &Facts, claims: &Claims) {
    let named_in_files = claims.volumes.values().any(|claim| claim.effective);
    if named_in_files {
        memory.lost_across_start = false;
    } else if claims.doubts.is_empty() {
        let held_before = memory.volumes.iter().any(|record| record.gone.is_none());
        let same_run = match (&memory.run, facts.agent.run.known()) {
            (Some(before), Some(now)) => before == now,
            (None, _) | (_, None) => false,
        };
        if held_before && !same_run {
            memory.lost_across_start = true;
        }
    }
    if claims.empty.is_none() && !memory.lost_across_start {
        memory.empty_accepted_at = None;
    } else if facts.words.accept_empty && memory.empty_accepted_at.is_none() {
        memory.empty_accepted_at = Some(memory.clock.lived);
    }
}

fn note_gone(
    record: &mut VolumeRecord,
    facts: &Facts,
    claims: &Claims,
    views: &[RootView<'_>],
    destroys: &[&Operation],
    lived: Span,
) {
    let now = &facts.host.now;
    let first = record.gone.is_none();
    let evidence = match &record.gone {
        Some(Gone {
            evidence: Some(evidence),
            ..
        }) => Some(evidence.clone()),
        Some(Gone { evidence: None, .. }) | None => find_evidence(record, facts, destroys, first),
    };
    let gone = record.gone.take();
    record.gone = Some(Gone {
        since: gone.as_ref().map_or(lived, |gone| gone.since),
        since_boot: gone.as_ref().map_or(now.since_boot, |gone| gone.since_boot),
        boot_id: gone.map_or_else(|| now.boot_id.clone(), |gone| gone.boot_id),
        evidence,
    });
    record.places.retain(|place| {
        views
            .iter()
            .find(|view| view.root.disk == place.disk)
            .is_none_or(|view| may_owe(view, place, &record.key, claims))
    });
}

/// Whether something of the volume may still lie in this place.
fn may_owe(
    view: &RootView<'_>,
    place: &VolumePlaceRecord,
    key: &VolumeKey,
    claims: &Claims,
) -> bool {
    let same_filesystem = match (&place.filesystem, present_filesystem(view.root)) {
        (Some(then), Some(now)) => *then == now,
        // Not mounted now, or never told: it stays owed.
        (None, _) | (_, None) => return true,
    };
    if !same_filesystem || !place_exists(view.root) {
        return true;
    }
    match view.root.kind() {
        DiskType::Root | DiskType::Path => view.occupied(key),
        // A disk that another volume holds now is its tenant's.
        DiskType::Mount => {
            claims.holder_of(&view.root.disk).is_none()
                && !matches!(view.root.content, Known::Known(MountContent::Empty))
        }
    }
}

fn find_evidence(
    record: &VolumeRecord,
    facts: &Facts,
    destroys: &[&Operation],
    first: bool,
) -> Option<Evidence> {
    let mut dropped = BTreeSet::new();
    for operation in destroys {
        match operation.state {
            OperationState::Finished if !record.spent_destroys.contains(&operation.uuid) => {
                return Some(Evidence::DestroyOperation(operation.uuid.clone()));
            }
            OperationState::Failed => {
                dropped.insert(operation.uuid.as_str());
            }
            OperationState::Finished | OperationState::Pending | OperationState::Unclear => {}
        }
    }
    if !first {
        return None;
    }
    if let Some(uuid) = record
        .pending_destroys
        .iter()
        .find(|uuid| !dropped.contains(uuid.as_str()))
    {
        return Some(Evidence::DestroyOperation(uuid.clone()));
    }
    let same_run = match (&record.held_in_run, facts.agent.run.known()) {
        (Some(then), Some(now)) => then == now && record.held_in_boot == facts.host.now.boot_id,
        (None, _) | (_, None) => false,
    };
    same_run.then_some(Evidence::GoneWithinRun)
}

/// Counts how long the running agent's unfiltered answer has lacked what only the older file
/// names.
fn note_stale(memory: &mut Memory, facts: &Facts, claims: &Claims) {
    let answered = matches!(facts.answer, AgentAnswer::State(_)) && claims.shown_roles.is_none();
    let whole = matches!(facts.checkpoint.state, CheckpointFile::Whole(_));
    let lived = memory.clock.lived;
    let mut stale: Vec<StaleSince> = Vec::new();
    if answered && whole {
        for (key, claim) in &claims.volumes {
            if claim.stale_only() {
                let since = memory
                    .stale
                    .iter()
                    .find(|entry| entry.key == *key)
                    .map_or(lived, |entry| entry.since);
                stale.push(StaleSince {
                    key: key.clone(),
                    since,
                });
            }
        }
    }
    memory.stale = stale;
}

/// Whether the claim of the older file on this volume has been released.
#[must_use]
pub fn stale_released(memory: &Memory, key: &VolumeKey, grace: Span) -> bool {
    memory
        .stale
        .iter()
        .find(|entry| entry.key == *key)
        .is_some_and(|entry| memory.clock.lived.minus(entry.since) >= grace)
}

fn note_sightings(memory: &mut Memory, facts: &Facts, claims: &Claims, views: &[RootView<'_>]) {
    let lived = memory.clock.lived;
    let before = std::mem::take(&mut memory.sightings);
    let index: BTreeMap<(&DiskRef, &VolumeKey), &Sighting> = before
        .iter()
        .map(|sighting| ((&sighting.disk, &sighting.key), sighting))
        .collect();
    for view in views {
        let disk = &view.root.disk;
        if view.root.dirs.known().is_none() {
            // Not readable now: what was seen there before is neither confirmed nor refuted.
            memory.sightings.extend(
                before
                    .iter()
                    .filter(|sighting| sighting.disk == *disk)
                    .cloned(),
            );
            continue;
        }
        if !view.reasons.is_empty() {
            continue;
        }
        for (key, dir) in &view.dirs {
            let Known::Known(identity) = &dir.identity else {
                continue;
            };
            let nameless = claims.get(key).is_none_or(|claim| {
                claim.stale_only() && stale_released(memory, key, facts.policy.grace)
            });
            if dir.kind != FileKind::Directory || !nameless {
                continue;
            }
            let earlier = index
                .get(&(disk, key))
                .filter(|sighting| sighting.identity == *identity);
            memory.sightings.push(match earlier {
                Some(sighting) if facts.words.later_round => (*sighting).clone(),
                Some(sighting) => Sighting {
                    last: lived,
                    times: sighting.times.saturating_add(1),
                    ..(*sighting).clone()
                },
                None => Sighting {
                    disk: disk.clone(),
                    key: key.clone(),
                    identity: identity.clone(),
                    first: lived,
                    last: lived,
                    times: 1,
                },
            });
        }
    }
    drop(index);
    // Roots that were not looked at in this pass keep their sightings.
    let looked_at: BTreeSet<&DiskRef> = facts.roots.iter().map(|root| &root.disk).collect();
    memory.sightings.extend(
        before
            .into_iter()
            .filter(|sighting| !looked_at.contains(&sighting.disk)),
    );
}

/// Whether a running agent of ours may still be carrying out a destroy that it committed.
///
/// Agents 1.0 and 1.8 commit before they delete (F§4.4). The agent is one actor: an answer to a
/// question asked after the commit was read means that the delete is over; the answer of these
/// facts was asked for after the files were read (law 4).
#[must_use]
pub fn agent_may_delete(facts: &Facts, memory: &Memory, gone: &Gone) -> bool {
    if our_agents(&facts.agent).is_empty() {
        return false;
    }
    match &facts.answer {
        AgentAnswer::State(_) => false,
        AgentAnswer::NotConfigured
        | AgentAnswer::Refused
        | AgentAnswer::Recovering
        | AgentAnswer::Unknown(_) => memory.clock.lived.minus(gone.since) < facts.policy.grace,
    }
}
