//! Sightings of directories that no authority names.

use std::collections::BTreeMap;

use super::{Pass, stale_released};
use crate::decide::facts::{FileKind, Known};
use crate::decide::guards::Refusal;
use crate::decide::memory::{Memory, Sighting};
use crate::decide::roots::RootView;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;

/// Notes what is seen in this pass.
pub(super) fn note(memory: &mut Memory, pass: &Pass<'_>) {
    let before = std::mem::take(&mut memory.sightings);
    let mut after: Vec<Sighting> = Vec::new();
    let mut earlier: BTreeMap<(&DiskRef, &VolumeKey), &Sighting> = BTreeMap::new();
    for sighting in &before {
        match pass.views.get(&sighting.disk) {
            Some(view) if looked_into(view) => {
                earlier.insert((&sighting.disk, &sighting.key), sighting);
            }
            // Neither confirmed nor refuted.
            Some(view) if still_there(view) && nameless(memory, pass, &sighting.key) => {
                after.push(sighting.clone());
            }
            // The disk was away, and may have been in use elsewhere.
            Some(_) | None => {}
        }
    }
    for view in pass.views.values().filter(|view| looked_into(view)) {
        let disk = &view.root.disk;
        for (key, dir) in &view.dirs {
            let Known::Known(identity) = &dir.identity else {
                continue;
            };
            if dir.kind != FileKind::Directory || !nameless(memory, pass, key) {
                continue;
            }
            let known = earlier
                .get(&(disk, key))
                .filter(|sighting| sighting.identity == *identity);
            after.push(match known {
                // The same pass looks again: that is no second sighting.
                Some(sighting) if pass.facts.words.later_round => (*sighting).clone(),
                Some(sighting) => Sighting {
                    last: pass.lived,
                    times: sighting.times.saturating_add(1),
                    ..(*sighting).clone()
                },
                None => Sighting {
                    disk: disk.clone(),
                    key: key.clone(),
                    identity: identity.clone(),
                    first: pass.lived,
                    last: pass.lived,
                    times: 1,
                },
            });
        }
    }
    memory.sightings = after;
}

fn nameless(memory: &Memory, pass: &Pass<'_>, key: &VolumeKey) -> bool {
    pass.claims.get(key).is_none_or(|claim| {
        claim.stale_only() && stale_released(memory, key, pass.facts.policy.grace)
    })
}

fn looked_into(view: &RootView<'_>) -> bool {
    view.reasons.is_empty() && matches!(view.root.dirs, Known::Known(_))
}

/// Whether the disk under the root is the known one, whatever else keeps it from being swept.
fn still_there(view: &RootView<'_>) -> bool {
    !matches!(view.root.dirs, Known::Absent)
        && !view.reasons.iter().any(|reason| {
            matches!(
                reason.code,
                Refusal::NotMounted
                    | Refusal::FingerprintMismatch
                    | Refusal::NoIdentity
                    | Refusal::RootUnverified
            )
        })
}
