//! Sightings of directories that no authority names.

use std::collections::BTreeSet;

use super::{Pass, stale_released};
use crate::decide::facts::{DirFacts, FileKind, Known};
use crate::decide::guards::Refusal;
use crate::decide::memory::{Memory, Sighting};
use crate::decide::roots::RootView;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;

/// Notes what is seen in this pass.
pub(super) fn note(memory: &mut Memory, pass: &Pass<'_>) {
    let mut sightings = std::mem::take(&mut memory.sightings);
    let mut known: BTreeSet<(&DiskRef, &VolumeKey)> = BTreeSet::new();
    sightings.retain_mut(|sighting| match pass.views.get(&sighting.disk) {
        Some(view) if looked_into(view) => {
            let Some((key, dir)) = view.dirs.get_key_value(&sighting.key) else {
                return false;
            };
            // Another directory of the same name starts anew.
            let again = dir.identity.known() == Some(&sighting.identity)
                && orphaned(memory, pass, key, dir);
            if again {
                known.insert((&view.root.disk, key));
                // When the same pass looks again, that is no second sighting.
                if !pass.facts.words.later_round {
                    sighting.last = pass.lived;
                    sighting.times = sighting.times.saturating_add(1);
                }
            }
            again
        }
        // Neither confirmed nor refuted.
        Some(view) => still_there(view) && nameless(memory, pass, &sighting.key),
        // The disk was away, and may have been in use elsewhere.
        None => false,
    });
    for view in pass.views.values().filter(|view| looked_into(view)) {
        let disk = &view.root.disk;
        for (key, dir) in &view.dirs {
            if let Known::Known(identity) = &dir.identity
                && !known.contains(&(disk, key))
                && orphaned(memory, pass, key, dir)
            {
                sightings.push(Sighting {
                    disk: disk.clone(),
                    key: key.clone(),
                    identity: identity.clone(),
                    first: pass.lived,
                    last: pass.lived,
                    times: 1,
                });
            }
        }
    }
    memory.sightings = sightings;
}

fn orphaned(memory: &Memory, pass: &Pass<'_>, key: &VolumeKey, dir: &DirFacts) -> bool {
    dir.kind == FileKind::Directory && nameless(memory, pass, key)
}

fn nameless(memory: &Memory, pass: &Pass<'_>, key: &VolumeKey) -> bool {
    pass.claims
        .get(key)
        .is_none_or(|claim| claim.stale_only() && stale_released(pass.facts, memory, key))
}

fn looked_into(view: &RootView<'_>) -> bool {
    view.reasons.is_empty() && matches!(view.root.dirs, Known::Known(_))
}

/// Whether the disk under the root is the known one, whatever else keeps it from being swept.
///
/// A root that could not be looked at ([`Refusal::NotMounted`], too) is not known to have stayed: its disk may
/// have been in use elsewhere, so that its orphans wait anew, which keeps them longer.
fn still_there(view: &RootView<'_>) -> bool {
    !matches!(view.root.dirs, Known::Absent)
        && !view.reasons.iter().any(|reason| {
            matches!(
                reason.code,
                Refusal::NotMounted
                    | Refusal::FingerprintMismatch
                    | Refusal::FilesystemFailed
                    | Refusal::DeviceGone
                    | Refusal::NoIdentity
                    | Refusal::RootUnverified
            )
        })
}
