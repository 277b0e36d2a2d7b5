//! What goes: by which witness, what is owed for it, and when that is over.

use std::collections::BTreeSet;

use super::destroys::Spent;
use super::{Pass, has_tenant, left};
use crate::decide::authority::effective_file;
use crate::decide::facts::{AgentRun, CheckpointFile, Facts, Known, MountContent, RootFacts};
use crate::decide::memory::{Gone, LeftOn, Memory, VolumePlaceRecord, VolumeRecord};
use crate::decide::roots::{place_exists, present_filesystem};
use crate::decide::steps::Evidence;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::Span;

/// Whether a file of the checkpoint has lost what it said. The next agent may take it for the whole truth, or a
/// target for what it was about to commit; and an older one, which never reads it, may have had what was
/// destroyed there.
pub(super) fn damaged(facts: &Facts) -> bool {
    fn lost<T>(file: &CheckpointFile<T>) -> bool {
        matches!(file, CheckpointFile::Damaged(_))
    }
    let checkpoint = &facts.checkpoint;
    lost(&checkpoint.state)
        || lost(&checkpoint.state_target)
        || lost(&checkpoint.info)
        || lost(&checkpoint.info_target)
        || checkpoint.state_target == CheckpointFile::Empty
}

/// A checkpoint that was lost may have had what was destroyed, and not yet removed, created anew since the
/// last look: from here on it goes like what went without a witness. While the agent runs on it has the
/// truth in memory, and a file that is put back tells it again.
pub(super) fn void_witnesses(memory: &mut Memory, facts: &Facts, spent: &mut Spent) {
    let accepted = memory.empty_accepted_at.is_some();
    let same_run = same_run(memory.run.as_ref(), facts);
    for record in &mut memory.volumes {
        let boot = match &record.gone {
            Some(gone) => &gone.boot_id,
            None => &record.held_in_boot,
        };
        if !accepted && same_run && *boot == facts.host.now.boot_id {
            continue;
        }
        let Some(gone) = &mut record.gone else {
            // It was about to be destroyed, or so a file said that not every agent reads.
            for uuid in std::mem::take(&mut record.pending_destroys) {
                spent.add(&uuid, &record.key);
            }
            continue;
        };
        match &gone.evidence {
            Some(Evidence::DestroyOperation(uuid)) => {
                spent.add(uuid, &record.key);
                gone.evidence = None;
            }
            Some(Evidence::GoneWithinRun) => gone.evidence = None,
            // The operator's own word.
            Some(Evidence::OwnDestroy | Evidence::Operator | Evidence::Unwitnessed { .. })
            | None => {}
        }
    }
}

/// Whether the agent still is in the run of then, as far as its files tell.
fn same_run(then: Option<&AgentRun>, facts: &Facts) -> bool {
    then.is_some() && then == facts.agent.run.known()
}

/// Everything gone across an agent start is no proof, whatever the files say; but what a DESTROY
/// was read for did not just go.
pub(super) fn mark_lost(memory: &mut Memory, pass: &Pass<'_>, spent: &Spent) {
    let named_in_files = pass.claims.volumes.values().any(|claim| claim.effective);
    let same_run = same_run(memory.run.as_ref(), pass.facts);
    if named_in_files || same_run || !pass.claims.doubts.is_empty() {
        return;
    }
    for record in &mut memory.volumes {
        if record.gone.is_none()
            && record.held_in_file.is_some()
            && pass.destroys.evidence(record, spent).is_none()
        {
            record.lost = true;
        }
    }
}

pub(super) fn note(
    record: &mut VolumeRecord,
    pass: &Pass<'_>,
    spent: &Spent,
    left: &mut Vec<LeftOn>,
) {
    let now = &pass.facts.host.now;
    let gone = record.gone.take();
    let first = gone.is_none();
    let known = gone
        .as_ref()
        .and_then(|gone| gone.evidence.clone())
        .filter(|evidence| !pass.destroys.refutes(&record.key, evidence, spent));
    let evidence = known.or_else(|| find_evidence(record, pass, spent, first));
    if let Some(Evidence::DestroyOperation(uuid)) = &evidence {
        // What another life of the name has on another disk is not what it destroyed.
        let (here, elsewhere) = std::mem::take(&mut record.places)
            .into_iter()
            .partition(|place| pass.destroys.may_be_on(&record.key, uuid, &place.disk));
        record.places = here;
        for place in &elsewhere {
            left::note_not_emptied(left, place, record, pass);
        }
    }
    record.gone = Some(Gone {
        since: gone.as_ref().map_or(pass.lived, |gone| gone.since),
        since_boot: gone.as_ref().map_or(now.since_boot, |gone| gone.since_boot),
        boot_id: gone.map_or_else(|| now.boot_id.clone(), |gone| gone.boot_id),
        evidence,
    });
    let key = &record.key;
    let gone_since = record.gone.as_ref().map(|gone| gone.since);
    record
        .places
        .retain(|place| may_owe(pass, place, key, gone_since));
}

/// Whether something of the volume may still lie in this place, or come back to it.
fn may_owe(
    pass: &Pass<'_>,
    place: &VolumePlaceRecord,
    key: &VolumeKey,
    gone_since: Option<Span>,
) -> bool {
    let Some(view) = pass.views.get(&place.disk) else {
        return true;
    };
    if !place_exists(view.root) {
        return true;
    }
    match &place.filesystem {
        Some(then) => {
            if present_filesystem(view.root).as_ref() != Some(then) {
                return true;
            }
        }
        // It was never told which file system it was on, so that no other one can be recognised
        // as it later: what lies here decides, once the root may be used.
        None => {
            if !view.reasons.is_empty() {
                return true;
            }
        }
    }
    match view.root.kind() {
        DiskType::Root | DiskType::Path => {
            view.occupied(key)
                || matches!(view.root.trash, Known::Unknown(_))
                || pass.moving.contains(&(&place.disk, key))
        }
        DiskType::Mount => {
            // What was moved out of it passed its second look: what lies there now came later.
            let over = gone_since.is_some_and(|since| {
                pass.moved_out
                    .get(&(&place.disk, key))
                    .is_some_and(|moved| *moved >= since)
            });
            !has_tenant(pass.claims, &place.disk)
                && (pass.moving.contains(&(&place.disk, key))
                    || (!over && !matches!(view.root.content, Known::Known(MountContent::Empty)))
                    || owed_a_fill(pass, view.root, key))
        }
    }
}

/// Whether it is empty, and its free space is still to be filled for this volume.
fn owed_a_fill(pass: &Pass<'_>, root: &RootFacts, key: &VolumeKey) -> bool {
    let owed = pass.facts.gate.owed(root);
    owed.is_some_and(|fill| fill.volume == *key)
}

fn find_evidence(
    record: &VolumeRecord,
    pass: &Pass<'_>,
    spent: &Spent,
    first: bool,
) -> Option<Evidence> {
    if let Some(uuid) = pass.destroys.finished(record, spent) {
        return Some(Evidence::DestroyOperation(uuid));
    }
    if !first {
        return None;
    }
    if let Some(evidence) = pass.destroys.evidence(record, spent) {
        return Some(evidence);
    }
    (gone_within_run(record, pass)).then_some(Evidence::GoneWithinRun)
}

/// ROOT and PATH only: from held to gone in the effective generation, within one boot and one run
/// of the agent. An emptiness that an operator had to accept is no witness, and neither is it when
/// the agent would believe another file by now.
fn gone_within_run(record: &VolumeRecord, pass: &Pass<'_>) -> bool {
    let facts = pass.facts;
    same_run(record.held_in_run.as_ref(), facts)
        && record.held_in_boot == facts.host.now.boot_id
        && pass.claims.empty.is_none()
        && record.held_in_file.is_some()
        && record.held_in_file == effective_file(facts)
        && record
            .places
            .iter()
            .any(|place| place.disk.kind != DiskType::Mount)
}

/// Forgets what is over: gone, with nothing left in its places or in the trash.
pub(super) fn close(memory: &mut Memory, pass: &Pass<'_>, spent: &mut Spent, certain: bool) {
    memory.volumes.retain(|record| {
        let Some(gone) = &record.gone else {
            return true;
        };
        let open = !record.places.is_empty() || pass.trashed.contains(&record.key);
        if !open && let Some(Evidence::DestroyOperation(uuid)) = &gone.evidence {
            spent.add(uuid, &record.key);
        }
        open
    });
    if certain {
        let open: BTreeSet<(&str, &VolumeKey)> = memory
            .volumes
            .iter()
            .filter_map(|record| match &record.gone.as_ref()?.evidence {
                Some(Evidence::DestroyOperation(uuid)) => Some((uuid.as_str(), &record.key)),
                Some(
                    Evidence::GoneWithinRun
                    | Evidence::OwnDestroy
                    | Evidence::Operator
                    | Evidence::Unwitnessed { .. },
                )
                | None => None,
            })
            .collect();
        let pending: BTreeSet<(&str, &VolumeKey)> = memory
            .volumes
            .iter()
            .flat_map(|record| {
                let key = &record.key;
                record
                    .pending_destroys
                    .iter()
                    .map(move |uuid| (uuid.as_str(), key))
            })
            .collect();
        for (uuid, key) in pass.destroys.all_finished() {
            if !open.contains(&(uuid, key)) && !pending.contains(&(uuid, key)) {
                spent.add(uuid, key);
            }
        }
    }
}
