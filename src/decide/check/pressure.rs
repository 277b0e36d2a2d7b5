//! Entries that leave the trash early: only where space is short, the oldest first, and no more than
//! it takes. Written apart from the planner, as everything here.

use std::collections::BTreeSet;

use super::Reader;
use crate::decide::facts::{FileIdentity, Known, RootFacts};
use crate::decide::guards::Refusal;
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::plan::Plan;
use crate::decide::steps::{Step, TrashId, TrashPlace};
use crate::mesos::disk::DiskRef;
use crate::units::Span;

/// The data of the entries that the plan wipes.
pub(super) fn wiped(plan: &Plan) -> BTreeSet<&FileIdentity> {
    let mut wiped = BTreeSet::new();
    for step in &plan.steps {
        if let Step::Wipe { entry, .. } = step {
            wiped.insert(&entry.manifest.identity);
        }
    }
    wiped
}

/// Entries that it keeps for nothing but their time; an id is unique in one trash only.
pub(super) fn waiting(plan: &Plan) -> BTreeSet<(&DiskRef, &TrashId)> {
    plan.kept
        .iter()
        .filter(|kept| {
            kept.reasons
                .iter()
                .all(|reason| reason.code == Refusal::Retention)
        })
        .filter_map(|kept| kept.trash.as_ref().map(|(id, _)| (&kept.disk, id)))
        .collect()
}

/// The older comes first.
fn age(manifest: &Manifest) -> (Span, &TrashId, &FileIdentity) {
    (manifest.lived_at, &manifest.id, &manifest.identity)
}

impl Reader<'_> {
    /// Whether this entry may go before its time.
    pub(super) fn early(&self, entry: &TrashPlace) -> bool {
        let policy = &self.facts.policy.trash;
        let lived = self.memory.clock.lived;
        let this = &entry.manifest;
        if lived.minus(this.lived_at) < policy.min_retention {
            return false;
        }
        let filesystem = &this.identity.filesystem;
        let here = |root: &&RootFacts| {
            let present = root.filesystem.present.known();
            present.is_some_and(|print| print.filesystem == *filesystem)
                && matches!(root.mount, Known::Known(_))
        };
        let roots: Vec<&RootFacts> = self.facts.roots.iter().filter(here).collect();
        let mut seen = BTreeSet::new();
        let others: Vec<(&RootFacts, &Manifest)> = roots
            .iter()
            .flat_map(|root| {
                let entries = root.trash.known().into_iter().flatten();
                entries.map(move |found| (*root, found))
            })
            .filter_map(|(root, found)| {
                let manifest = found.manifest.known()?;
                (found.data.known() == Some(&manifest.identity)).then_some((root, manifest))
            })
            .filter(|(_, manifest)| {
                manifest.identity.filesystem == *filesystem && seen.insert(&manifest.identity)
            })
            .collect();
        let bytes = |manifest: &Manifest| manifest.size.map_or(0, |size| size.bytes);
        let sum = |of: &dyn Fn(&Manifest) -> bool| {
            others
                .iter()
                .filter(|(_, manifest)| of(manifest))
                .fold(0_u64, |sum, (_, manifest)| {
                    sum.saturating_add(bytes(manifest))
                })
        };
        let over = policy
            .max_bytes
            .map_or(0, |most| sum(&|_| true).saturating_sub(most.0));
        let lacks = roots
            .iter()
            .filter_map(|root| match (&root.mount, policy.free_below) {
                (Known::Known(mount), Some(least)) => {
                    Some(least.of(mount.total_bytes).saturating_sub(mount.free_bytes))
                }
                (Known::Known(_) | Known::Absent | Known::Unknown(_), _) => None,
            })
            .max()
            .unwrap_or(0);
        let need = over.max(lacks);
        // What goes anyway, and what goes before this one, must leave something to be done.
        let goes_first = |manifest: &Manifest| {
            let expired = lived.minus(manifest.lived_at) >= manifest.retention;
            manifest.identity != this.identity
                && (manifest.state == TrashState::Wiping
                    || (self.wiped.contains(&manifest.identity)
                        && (expired || age(manifest) < age(this))))
        };
        let unknown = others
            .iter()
            .any(|(_, manifest)| goes_first(manifest) && manifest.size.is_none());
        let passed_over = others.iter().any(|(root, manifest)| {
            manifest.state == TrashState::Cleared
                && age(manifest) < age(this)
                && lived.minus(manifest.lived_at) >= policy.min_retention
                && self.waiting.contains(&(&root.disk, &manifest.id))
        });
        !unknown && !passed_over && sum(&goes_first) < need
    }
}
