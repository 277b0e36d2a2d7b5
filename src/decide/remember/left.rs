//! What volumes left on MOUNT disks that are another's by now, or nobody's.
//!
//! A MOUNT shows its tenant all that lies on it. An agent that is given a destroyed and a new volume of
//! one disk in one message empties nothing (F§3.5 O15), and neither does one that did not reach the disk;
//! what came and went between two passes nobody saw. Such data is nobody's garbage: who has the disk now
//! may be using it. So nothing is done, and it is told.

use super::{Claim, Pass, Spent, has_tenant, tells};
use crate::decide::facts::{AgentAnswer, Known, MountContent};
use crate::decide::memory::{LeftOn, Memory, VolumePlaceRecord, VolumeRecord};
use crate::decide::roots::{RootView, present_filesystem};
use crate::mesos::disk::DiskType;
use crate::mesos::state::AgentVersion;

/// How many are remembered: the youngest.
const REMEMBERED: usize = 64;

/// The first version that empties a disk before it writes down that the volume is gone (F§4.4).
const EMPTIES_FIRST: (u32, u32) = (1, 9);

/// Notes that the place of a volume is not its own any more, unless its disk was seen empty or the
/// agent has emptied it.
pub(super) fn note(
    left: &mut Vec<LeftOn>,
    place: &VolumePlaceRecord,
    record: &VolumeRecord,
    pass: &Pass<'_>,
    spent: &Spent,
) {
    let destroyed = pass.destroys.evidence(record, spent).is_some();
    // What lies there may be the tenant's. Without one, or where a pass saw data on it after the destroy,
    // it was not deleted by that.
    let emptied = destroyed
        && place.filesystem.is_some()
        && there(place, pass).is_some()
        && taken_over(place, pass)
        && record.gone.is_none()
        && empties_first(pass);
    if !emptied {
        note_not_emptied(left, place, record, pass);
    }
}

/// The same where no agent can have emptied it: unless its disk was seen empty.
pub(super) fn note_not_emptied(
    left: &mut Vec<LeftOn>,
    place: &VolumePlaceRecord,
    record: &VolumeRecord,
    pass: &Pass<'_>,
) {
    let empty = there(place, pass)
        .is_some_and(|view| view.root.content == Known::Known(MountContent::Empty));
    if place.disk.kind == DiskType::Mount && !empty {
        left.push(LeftOn {
            key: record.key.clone(),
            disk: place.disk.clone(),
            filesystem: place.filesystem.clone(),
            since: pass.lived,
        });
    }
}

/// The root of a place, where it can be told and has the file system of then at it, if that is known.
fn there<'a>(place: &VolumePlaceRecord, pass: &Pass<'a>) -> Option<&'a RootView<'a>> {
    let view = pass.views.get(&place.disk).copied()?;
    let same = place.filesystem.is_none() || present_filesystem(view.root) == place.filesystem;
    (same && tells(view)).then_some(view)
}

/// Notes what is named on a MOUNT disk that nobody else has, and is not where the volume is. Such is another
/// life of the name, of whose end no file will tell.
pub(super) fn note_other_lives(
    left: &mut Vec<LeftOn>,
    record: &VolumeRecord,
    claim: &Claim,
    pass: &Pass<'_>,
) {
    for disk in claim.all_homes() {
        let is_own = record.places.iter().any(|place| place.disk == *disk);
        let taken = pass.claims.on(disk).any(|(key, claim)| {
            *key != record.key && claim.effective && claim.homes().contains(disk)
        });
        if is_own || taken || disk.kind != DiskType::Mount {
            continue;
        }
        let view = pass.views.get(disk).filter(|view| tells(view));
        let filesystem = view.and_then(|view| present_filesystem(view.root));
        let known = left.iter_mut().find(|one| {
            let same = filesystem.is_none() || one.may_be_on(filesystem.as_deref());
            one.key == record.key && one.disk == *disk && same
        });
        match known {
            Some(one) => one.filesystem = one.filesystem.take().or(filesystem),
            None => left.push(LeftOn {
                key: record.key.clone(),
                disk: disk.clone(),
                filesystem,
                since: pass.lived,
            }),
        }
    }
}

fn empties_first(pass: &Pass<'_>) -> bool {
    match &pass.facts.answer {
        AgentAnswer::State(state) => state
            .version
            .is_some_and(|AgentVersion { major, minor, .. }| (major, minor) >= EMPTIES_FIRST),
        AgentAnswer::NotConfigured
        | AgentAnswer::Refused
        | AgentAnswer::Recovering
        | AgentAnswer::Unknown(_) => false,
    }
}

/// Forgets what is over: its disk was seen empty, is the volume's own again, or the operator says that
/// it is right as it is.
pub(super) fn keep_up(memory: &mut Memory, pass: &Pass<'_>) {
    let accepted = pass.facts.words.accept_root.as_ref();
    let mut left = std::mem::take(&mut memory.left_on);
    left.retain(|one| {
        let view = pass.views.get(&one.disk).filter(|view| tells(view));
        let there = view.filter(|view| one.may_be_on(present_filesystem(view.root).as_deref()));
        let over = there.is_some_and(|view| {
            view.root.content == Known::Known(MountContent::Empty)
                || accepted == Some(&one.disk.root)
        });
        let again = memory
            .volumes
            .binary_search_by(|record| record.key.cmp(&one.key))
            .ok()
            .and_then(|at| memory.volumes.get(at))
            .is_some_and(|record| {
                let own = |place: &VolumePlaceRecord| place.disk == one.disk;
                pass.claims.volumes.contains_key(&one.key) && record.places.iter().any(own)
            });
        !over && !again
    });
    // The oldest of each is the one that tells since when.
    let mut seen = std::collections::BTreeSet::new();
    left.retain(|one| seen.insert((one.key.clone(), one.disk.clone(), one.filesystem.clone())));
    let surplus = left.len().saturating_sub(REMEMBERED);
    left.drain(..surplus);
    memory.left_on = left;
}

/// Whether a place on a MOUNT disk is another volume's by now.
pub(super) fn taken_over(place: &VolumePlaceRecord, pass: &Pass<'_>) -> bool {
    place.disk.kind == DiskType::Mount && has_tenant(pass.claims, &place.disk)
}
