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
use crate::mesos::disk::{DiskRef, DiskType};
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
        && seen_at(&left_in(place, record, pass), pass).is_some()
        && another_holds(pass, &place.disk, record)
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
    let one = left_in(place, record, pass);
    let empty = seen_at(&one, pass)
        .is_some_and(|view| view.root.content == Known::Known(MountContent::Empty));
    if place.disk.kind == DiskType::Mount && !empty {
        left.push(one);
    }
}

/// What a volume may have left in a place.
fn left_in(place: &VolumePlaceRecord, record: &VolumeRecord, pass: &Pass<'_>) -> LeftOn {
    LeftOn {
        key: record.key.clone(),
        disk: place.disk.clone(),
        filesystem: place.filesystem.clone(),
        since: pass.lived,
    }
}

/// The root that it may lie on, where that can be told.
fn seen_at<'a>(one: &LeftOn, pass: &Pass<'a>) -> Option<&'a RootView<'a>> {
    let view = pass.views.get(&one.disk).copied()?;
    let there = one.may_be_on(present_filesystem(view.root).as_deref());
    (there && tells(view)).then_some(view)
}

/// Whether the agent holds another volume on this disk.
fn another_holds(pass: &Pass<'_>, disk: &DiskRef, record: &VolumeRecord) -> bool {
    pass.claims
        .on(disk)
        .any(|(key, claim)| *key != record.key && claim.effective && claim.homes().contains(disk))
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
        if is_own || disk.kind != DiskType::Mount || another_holds(pass, disk, record) {
            continue;
        }
        let view = pass.views.get(disk).filter(|view| tells(view));
        let place = VolumePlaceRecord {
            disk: disk.clone(),
            filesystem: view.and_then(|view| present_filesystem(view.root)),
            directory: None,
            watched: false,
        };
        left.push(left_in(&place, record, pass));
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
        let over = seen_at(one, pass).is_some_and(|view| {
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
    // The oldest of each is the one that tells since when; a later one may tell the file system.
    let mut each: Vec<LeftOn> = Vec::new();
    for one in left {
        let same = |before: &&mut LeftOn| {
            let (then, now) = (&before.filesystem, &one.filesystem);
            before.key == one.key
                && before.disk == one.disk
                && (then.is_none() || now.is_none() || then == now)
        };
        match each.iter_mut().find(same) {
            Some(before) => before.filesystem = before.filesystem.take().or(one.filesystem),
            None => each.push(one),
        }
    }
    let mut left = each;
    let surplus = left.len().saturating_sub(REMEMBERED);
    left.drain(..surplus);
    memory.left_on = left;
}

/// Whether a place on a MOUNT disk is another volume's by now.
pub(super) fn taken_over(place: &VolumePlaceRecord, pass: &Pass<'_>) -> bool {
    place.disk.kind == DiskType::Mount && has_tenant(pass.claims, &place.disk)
}
