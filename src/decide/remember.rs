//! What a pass adds to the memory: lived time, holdings, witnessed destroys, sightings.
//!
//! Pure: the memory before and the facts now give the memory after. While an authority is
//! doubtful nothing is concluded from absence, so only time passes and names are added.

mod destroys;
mod gone;
mod left;
mod sightings;

use std::collections::{BTreeMap, BTreeSet};

use self::destroys::{Destroys, Spent};
use super::authority::{Claim, Claims, Source, effective_file, empty_doubt, our_agents};
use super::facts::{AgentAnswer, CheckpointFile, Facts, FileKind, Known};
use super::guards::Refusal;
use super::manifest::{Manifest, TrashState};
use super::memory::{
    Gone, LeftOn, LivedClock, Memory, StaleSince, VolumePlaceRecord, VolumeRecord,
};
use super::radar;
use super::roots::{RootView, present_filesystem};
use super::steps::Evidence;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Span;

/// How long the brake remembers, in lived time.
pub(in crate::decide) const BRAKE_WINDOW: Span = Span::seconds(24 * 3600);

/// One pass, with what several of its questions need.
struct Pass<'a> {
    facts: &'a Facts,
    claims: &'a Claims,
    views: BTreeMap<&'a DiskRef, &'a RootView<'a>>,
    destroys: Destroys<'a>,
    /// Volumes with an entry in our trash, and those whose entry may still go back, by disk.
    trashed: BTreeSet<&'a VolumeKey>,
    moving: BTreeSet<(&'a DiskRef, &'a VolumeKey)>,
    /// Volumes that were moved out of a prepared MOUNT for good, and the lived time of that.
    moved_out: BTreeMap<(&'a DiskRef, &'a VolumeKey), Span>,
    lived: Span,
    /// Whether the last pass was certain and a short time ago.
    watching: bool,
}

/// The memory after this observation.
#[must_use]
pub fn remember(facts: &Facts, claims: &Claims, views: &[RootView<'_>]) -> Memory {
    let mut memory = match &facts.memory {
        Known::Known(memory) => memory.clone(),
        Known::Absent => first(facts),
        // The plan does not let it be written: see `Plan::memory_unknown`.
        Known::Unknown(_) => Memory::new(&facts.host.now),
    };
    let soon = pass_time(&mut memory, facts);
    let mut pass = Pass {
        facts,
        claims,
        views: views.iter().map(|view| (&view.root.disk, view)).collect(),
        destroys: Destroys::read(facts),
        trashed: BTreeSet::new(),
        moving: BTreeSet::new(),
        moved_out: BTreeMap::new(),
        lived: memory.clock.lived,
        watching: soon && memory.certain,
    };
    for (disk, manifest) in our_trash(facts) {
        pass.trashed.insert(&manifest.volume);
        if matches!(manifest.state, TrashState::Prepared | TrashState::Moved) {
            pass.moving.insert((disk, &manifest.volume));
        } else if manifest.emptied.is_some() {
            pass.moved_out
                .insert((disk, &manifest.volume), manifest.lived_at);
        }
    }
    let mut spent = Spent::new(std::mem::take(&mut memory.spent_destroys));

    gone::mark_lost(&mut memory, &pass, &spent);
    note_names(&mut memory, &pass, &mut spent);
    note_unnamed(&mut memory, &pass, &spent);
    note_named_disk(&mut memory, &pass);
    left::keep_up(&mut memory, &pass);
    note_acceptance(&mut memory, &pass);

    let certain = claims.doubts.is_empty() && empty_doubt(claims, facts, &memory).is_none();
    // The grace of an accepted emptiness and that of its orphans run together.
    if claims.doubts.is_empty() && (certain || memory.empty_accepted_at.is_some()) {
        sightings::note(&mut memory, &pass);
    }
    if certain {
        for record in &mut memory.volumes {
            if !claims.volumes.contains_key(&record.key) {
                gone::note(record, &pass, &spent, &mut memory.left_on);
            }
        }
        memory.run = facts.agent.run.known().cloned();
        note_stale(&mut memory, facts, claims);
    } else {
        if claims.empty.is_some() || gone::damaged(facts) {
            gone::void_witnesses(&mut memory, facts, &mut spent);
        }
        // Named again in the meantime: such a sighting is void even in a doubtful pass.
        memory
            .sightings
            .retain(|sighting| !claims.volumes.contains_key(&sighting.key));
        memory
            .stale
            .retain(|entry| claims.get(&entry.key).is_some_and(Claim::stale_only));
    }
    memory.certain = certain;
    gone::close(&mut memory, &pass, &mut spent, certain);
    memory.spent_destroys = spent.kept(&pass.destroys);
    let lived = memory.clock.lived;
    memory
        .unwitnessed
        .retain(|batch| lived.minus(batch.at) < BRAKE_WINDOW);
    radar::note(&mut memory, facts, claims, views);
    memory
}

/// Manifests of entries that this machine made for this agent.
fn our_trash(facts: &Facts) -> impl Iterator<Item = (&DiskRef, &Manifest)> {
    facts.roots.iter().flat_map(|root| {
        root.trash
            .known()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.manifest.known())
            .filter(|manifest| {
                facts.host.machine_id.known() == Some(&manifest.machine_id)
                    && facts.agent.work_dir == manifest.work_dir
            })
            .map(|manifest| (&root.disk, manifest))
    })
}

/// The memory of a host without one. Trash entries outlive a lost memory; the clock starts where
/// the youngest of them was moved, so that their retention ends some time.
fn first(facts: &Facts) -> Memory {
    let mut memory = Memory::new(&facts.host.now);
    memory.clock.lived = our_trash(facts)
        .map(|(_, manifest)| manifest.lived_at)
        .max()
        .unwrap_or(Span::ZERO);
    memory
}

/// Adds the lived time since the last pass: a step of `CLOCK_BOOTTIME`, capped, none across a
/// boot, none backwards. Says whether the whole time since then was counted.
fn pass_time(memory: &mut Memory, facts: &Facts) -> bool {
    let now = &facts.host.now;
    let cap = facts.policy.sweep_every.plus(facts.policy.sweep_every);
    let same_boot = memory.clock.boot_id == now.boot_id;
    let passed = now.since_boot.minus(memory.clock.since_boot);
    let step = if same_boot {
        passed.min(cap)
    } else {
        Span::ZERO
    };
    memory.clock = LivedClock {
        boot_id: now.boot_id.clone(),
        since_boot: now.since_boot,
        lived: memory.clock.lived.plus(step),
    };
    same_boot && passed <= cap
}

fn note_names(memory: &mut Memory, pass: &Pass<'_>, spent: &mut Spent) {
    // In place, as they are in order from the last pass, which is seen at once: with very many of them a map
    // of all would be among the largest things of a pass.
    let mut records = std::mem::take(&mut memory.volumes);
    records.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let mut new = Vec::new();
    for (key, claim) in &pass.claims.volumes {
        let found = records.binary_search_by(|record| record.key.cmp(key));
        if let Some(record) = found.ok().and_then(|at| records.get_mut(at)) {
            note_named(record, pass, claim, spent, &mut memory.left_on);
        } else {
            let mut record = new_record(key);
            note_named(&mut record, pass, claim, spent, &mut memory.left_on);
            new.push(record);
        }
    }
    if !new.is_empty() {
        records.append(&mut new);
        records.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    }
    memory.volumes = records;
    memory.lost_across_start = memory.volumes.iter().any(|record| record.lost);
}

fn new_record(key: &VolumeKey) -> VolumeRecord {
    VolumeRecord {
        key: key.clone(),
        places: Vec::new(),
        size: None,
        principal: None,
        named_at: Span::ZERO,
        held_in_run: None,
        held_in_file: None,
        held_in_boot: String::new(),
        pending_destroys: Vec::new(),
        lost: false,
        gone: None,
    }
}

fn note_named(
    record: &mut VolumeRecord,
    pass: &Pass<'_>,
    claim: &Claim,
    spent: &mut Spent,
    left: &mut Vec<LeftOn>,
) {
    // Evidence of an earlier destroy is void once the volume is named again.
    if let Some(Gone {
        evidence: Some(Evidence::DestroyOperation(uuid)),
        ..
    }) = record.gone.take()
    {
        spent.add(&uuid, &record.key);
    }
    if claim.effective {
        record.lost = false;
    }
    record.named_at = pass.lived;
    record.size = claim.size.or(record.size);
    record.principal = claim.principal.clone().or_else(|| record.principal.clone());
    if claim.effective {
        // The agent believes the file and yet does not have it (F§3.5 O8): when its next
        // checkpoint leaves it out, that is no destroy.
        if !denied(pass, record, claim) {
            record.held_in_run = pass.facts.agent.run.known().cloned();
            record.held_in_file = effective_file(pass.facts);
            record.held_in_boot.clone_from(&pass.facts.host.now.boot_id);
        }
    } else if !claim.stale_only() {
        record.held_in_run = None;
        record.held_in_file = None;
    }
    note_places(record, pass, claim, spent, left);
    pass.destroys.note(record, claim, spent);
}

/// Whether the agent, asked after its file was read, does not list a volume that the file names.
fn denied(pass: &Pass<'_>, record: &VolumeRecord, claim: &Claim) -> bool {
    let is_shown = pass
        .claims
        .shown_roles
        .as_ref()
        .is_none_or(|shown| shown.contains(&record.key.role));
    matches!(pass.facts.answer, AgentAnswer::State(_))
        && is_shown
        && !claim.sources.contains(&Source::Answer)
}

fn note_places(
    record: &mut VolumeRecord,
    pass: &Pass<'_>,
    claim: &Claim,
    spent: &Spent,
    left: &mut Vec<LeftOn>,
) {
    let homes = claim.homes();
    // The file of lower precedence may tell of another life; it adds nothing to what is known.
    let settled = claim.stale_only() && !record.places.is_empty();
    // A place of an earlier life of the name is not what a later destroy speaks of.
    if !homes.is_empty() && !settled {
        let (here, elsewhere) = std::mem::take(&mut record.places)
            .into_iter()
            .partition(|place| homes.contains(&place.disk));
        record.places = here;
        for place in &elsewhere {
            left::note(left, place, record, pass, spent);
        }
    }
    for disk in homes {
        // Only what lies on the disk that is under this root counts as the volume's place.
        let there = pass.views.get(disk).filter(|view| tells(view));
        let filesystem = there.and_then(|view| present_filesystem(view.root));
        let seen = there
            .and_then(|view| view.dirs.get(&record.key))
            .filter(|dir| dir.kind == FileKind::Directory)
            .and_then(|dir| dir.identity.known())
            .cloned();
        let usable = there.is_some_and(|view| view.reasons.is_empty());
        match record.places.iter_mut().find(|place| place.disk == *disk) {
            Some(place) => {
                if filesystem.is_some() {
                    place.filesystem = filesystem;
                }
                if seen.is_some() {
                    place.directory = seen;
                }
            }
            None if settled => {}
            None => record.places.push(VolumePlaceRecord {
                disk: disk.clone(),
                filesystem,
                directory: seen,
                watched: pass.watching && usable,
            }),
        }
    }
    left::note_other_lives(left, record, claim, pass);
}

/// Whether what lies under a root can be told, though it may not be touched: the file system is
/// known, is not another one than before, and is the one that the agent sees.
fn tells(view: &RootView<'_>) -> bool {
    view.reasons.iter().all(|reason| {
        matches!(
            reason.code,
            Refusal::RootUnverified
                | Refusal::ForeignRoot
                | Refusal::ReadOnly
                | Refusal::NetworkFilesystem
        )
    })
}

/// What a doubtful pass may know as well of volumes that nobody names: that a DESTROY of them was
/// read, and that a MOUNT disk is another volume's by now, with all that lies on it.
fn note_unnamed(memory: &mut Memory, pass: &Pass<'_>, spent: &Spent) {
    for record in &mut memory.volumes {
        if pass.claims.volumes.contains_key(&record.key) {
            continue;
        }
        if record.gone.is_none() {
            pass.destroys.note_finished(record, spent);
        }
        let (taken, own) = std::mem::take(&mut record.places)
            .into_iter()
            .partition(|place| left::taken_over(place, pass));
        record.places = own;
        for place in &taken {
            left::note(&mut memory.left_on, place, record, pass, spent);
        }
    }
}

/// An operator who names a volume that nobody holds by the root of its MOUNT disk says that it was on
/// the disk which is there. That counts where no pass ever saw which one it was on, and nowhere else.
fn note_named_disk(memory: &mut Memory, pass: &Pass<'_>) {
    let words = &pass.facts.words;
    let (Some(key), Some(root)) = (&words.wipe, &words.wipe_root) else {
        return;
    };
    if pass.claims.volumes.contains_key(key) {
        return;
    }
    let record = memory.volumes.iter_mut().find(|record| record.key == *key);
    for place in record.into_iter().flat_map(|record| &mut record.places) {
        let view = pass.views.get(&place.disk);
        if place.disk.kind == DiskType::Mount
            && place.disk.root == *root
            && place.filesystem.is_none()
            && let Some(view) = view.filter(|view| view.reasons.is_empty())
        {
            place.filesystem = present_filesystem(view.root);
        }
    }
}

/// Whether a volume is on this MOUNT disk, as anybody says: by the older file alone, too, as what lies there
/// may be its tenant's.
fn has_tenant(claims: &Claims, disk: &DiskRef) -> bool {
    claims
        .on(disk)
        .any(|(_, claim)| claim.effective || claim.all_homes().contains(disk))
}

/// The operator's word on an emptiness, and its end.
fn note_acceptance(memory: &mut Memory, pass: &Pass<'_>) {
    if pass.claims.empty.is_none() && !memory.lost_across_start {
        memory.empty_accepted_at = None;
    } else if pass.facts.words.accept_empty && memory.empty_accepted_at.is_none() {
        memory.empty_accepted_at = Some(pass.lived);
    }
    let in_force = memory
        .empty_accepted_at
        .is_some_and(|at| pass.lived.minus(at) >= pass.facts.policy.grace);
    if in_force && pass.claims.doubts.is_empty() {
        // From here on they are gone like others, without a witness.
        for record in &mut memory.volumes {
            record.lost = false;
        }
        memory.lost_across_start = false;
    }
}

/// Counts how long the running agent's unfiltered answer has lacked what only the older file
/// names.
fn note_stale(memory: &mut Memory, facts: &Facts, claims: &Claims) {
    let answered = matches!(facts.answer, AgentAnswer::State(_)) && claims.shown_roles.is_none();
    let whole = matches!(facts.checkpoint.state, CheckpointFile::Whole(_));
    let lived = memory.clock.lived;
    let before: BTreeMap<VolumeKey, Span> = std::mem::take(&mut memory.stale)
        .into_iter()
        .map(|entry| (entry.key, entry.since))
        .collect();
    if answered && whole {
        memory.stale = claims
            .volumes
            .iter()
            .filter(|(_, claim)| claim.stale_only())
            .map(|(key, _)| StaleSince {
                key: key.clone(),
                since: before.get(key).copied().unwrap_or(lived),
            })
            .collect();
    }
}

/// Whether the claim of the older file on this volume has been released: the agent, which answers
/// now, has not borne it out for the grace. What an earlier pass heard is not enough.
#[must_use]
pub fn stale_released(facts: &Facts, memory: &Memory, key: &VolumeKey) -> bool {
    if !matches!(facts.answer, AgentAnswer::State(_)) {
        return false;
    }
    // In the order of their keys: see `note_stale`.
    memory
        .stale
        .binary_search_by(|entry| entry.key.cmp(key))
        .ok()
        .and_then(|index| memory.stale.get(index))
        .is_some_and(|entry| memory.clock.lived.minus(entry.since) >= facts.policy.grace)
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
