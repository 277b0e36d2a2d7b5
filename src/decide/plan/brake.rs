//! Law 13: the blast radius is bounded.

use std::collections::BTreeSet;

use super::Planner;
use crate::decide::authority::Claims;
use crate::decide::facts::Facts;
use crate::decide::guards::{Reason, Refusal};
use crate::decide::memory::{Memory, UnwitnessedBatch};
use crate::decide::roots::RootView;
use crate::decide::steps::Step;
use crate::mesos::ids::VolumeKey;

impl Planner<'_> {
    /// Takes the unwitnessed steps back when they are too many for 24 hours of lived time; counts
    /// them otherwise.
    pub(super) fn brake(&mut self) -> Option<UnwitnessedBatch> {
        let wanted = u32::try_from(self.unwitnessed.len()).unwrap_or(u32::MAX);
        if wanted == 0 {
            return None;
        }
        let of = all_volumes(self.judge.claims, self.views);
        let limit = limit(self.facts(), self.judge.memory, of);
        if wanted <= limit {
            return Some(UnwitnessedBatch {
                at: self.lived(),
                count: wanted,
                of,
            });
        }
        let detail = format!(
            "{wanted} unwitnessed steps, {limit} are allowed now (sweep.brake_percent = {}, \
             sweep.brake_min = {}); confirm with --confirm-brake {wanted}",
            self.facts().policy.brake_percent,
            self.facts().policy.brake_min
        );
        let braked: BTreeSet<usize> = std::mem::take(&mut self.unwitnessed).into_iter().collect();
        let mut rest = Vec::new();
        for (index, step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            if let Step::Quarantine { place, .. } = &step
                && braked.contains(&index)
            {
                self.keep(
                    Some(place.volume.clone()),
                    &place.disk,
                    place.path(),
                    true,
                    vec![Reason::new(Refusal::Brake, detail.clone())],
                );
            } else {
                rest.push(step);
            }
        }
        self.steps = rest;
        None
    }
}

/// How many unwitnessed steps are allowed now.
fn limit(facts: &Facts, memory: &Memory, of: u32) -> u32 {
    let policy = &facts.policy;
    if policy.brake_percent >= 100 {
        return u32::MAX;
    }
    let done: u32 = memory
        .unwitnessed
        .iter()
        .fold(0, |sum, batch| sum.saturating_add(batch.count));
    let baseline = memory.unwitnessed.first().map_or(of, |batch| batch.of);
    let percent = u64::from(baseline).saturating_mul(u64::from(policy.brake_percent)) / 100;
    let allowed = u32::try_from(percent)
        .unwrap_or(u32::MAX)
        .max(policy.brake_min);
    allowed
        .saturating_sub(done)
        .max(facts.words.confirm_brake.unwrap_or(0))
}

/// All volumes: named, and directories found.
fn all_volumes(claims: &Claims, views: &[RootView<'_>]) -> u32 {
    let mut keys: BTreeSet<&VolumeKey> = claims.volumes.keys().collect();
    for view in views {
        keys.extend(view.dirs.keys());
    }
    u32::try_from(keys.len()).unwrap_or(u32::MAX)
}
