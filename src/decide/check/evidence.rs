//! By what right data goes, held against the memory that the facts brought along.

use std::collections::BTreeMap;

use super::{Reader, Verdict, must};
use crate::decide::facts::{
    AgentAnswer, Facts, FileIdentity, Fingerprint, Operation, OperationKind, OperationState,
    OrphanPolicy,
};
use crate::decide::manifest::Manifest;
use crate::decide::memory::{Memory, VolumeRecord};
use crate::decide::plan::Plan;
use crate::decide::steps::{Evidence, Step, VolumePlace, WipeAuthorization};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::Span;

const WINDOW: Span = Span::seconds(24 * 3600);

impl<'a> Reader<'a> {
    /// What earlier passes wrote.
    fn prior(&self) -> Option<&'a Memory> {
        self.facts.memory.known()
    }

    pub(super) fn prior_record(&self, key: &VolumeKey) -> Result<&'a VolumeRecord, String> {
        self.prior_records
            .get(key)
            .copied()
            .ok_or_else(|| format!("{key} was never held before"))
    }

    /// Lived time went on by no more than the clock and the cap allow.
    pub(super) fn clock(&self) -> Verdict {
        let Some(prior) = self.prior() else {
            return Ok(());
        };
        let now = &self.facts.host.now;
        let every = self.facts.policy.sweep_every;
        let allowed = if prior.clock.boot_id == now.boot_id {
            now.since_boot
                .minus(prior.clock.since_boot)
                .min(every.plus(every))
        } else {
            Span::ZERO
        };
        must(
            self.memory.clock.lived.minus(prior.clock.lived) <= allowed,
            || "lived time ran ahead of the clock".to_owned(),
        )
    }

    /// A directory may go for this evidence.
    pub(super) fn evidence(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
        manifest: &Manifest,
    ) -> Verdict {
        let key = &place.volume;
        match &manifest.evidence {
            Evidence::Operator => must(self.facts.words.wipe.as_ref() == Some(key), || {
                "the operator did not name it".to_owned()
            }),
            evidence @ (Evidence::DestroyOperation(_)
            | Evidence::GoneWithinRun
            | Evidence::OwnDestroy) => {
                let record = self.recorded(key, evidence, &place.disk)?;
                let there = record.places.iter().any(|seen| {
                    seen.disk == place.disk
                        && seen.filesystem.as_ref() == Some(&place.root.filesystem)
                        && match &seen.directory {
                            Some(directory) => directory == identity,
                            None => seen.watched,
                        }
                });
                must(there, || {
                    format!("{} is not where {key} was held", place.path())
                })?;
                self.agent_is_done(record)
            }
            Evidence::Unwitnessed { sighted_for, times } => {
                must(self.facts.policy.orphans != OrphanPolicy::Report, || {
                    "orphans are only reported".to_owned()
                })?;
                self.sighted(place, identity, *sighted_for, *times)
            }
        }
    }

    fn sighted(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
        sighted_for: Span,
        times: u32,
    ) -> Verdict {
        let key = &place.volume;
        let enough = self
            .sightings
            .get(&(&place.disk, key))
            .is_some_and(|sighting| {
                sighting.identity == *identity
                    && sighting.times == times
                    && sighting.last.minus(sighting.first) == sighted_for
                    && sighting.last <= self.memory.clock.lived
            });
        must(
            enough && times >= 2 && sighted_for >= self.facts.policy.grace,
            || format!("{key} was not sighted long enough"),
        )?;
        let before = self
            .prior_sightings
            .get(&(&place.disk, key))
            .is_some_and(|sighting| {
                sighting.identity == *identity
                    && self.memory.clock.lived.minus(sighting.first) >= sighted_for
            });
        must(before, || format!("{key} was not sighted before"))
    }

    /// A MOUNT disk may be emptied for this evidence. `word_kept`: the operator named it before, and
    /// nothing but free space is left of it.
    pub(super) fn mount_evidence(
        &self,
        authorization: &WipeAuthorization,
        print: &Fingerprint,
        word_kept: bool,
    ) -> Verdict {
        let key = authorization.volume();
        let record = match authorization.evidence() {
            Evidence::Operator => {
                let named = self.facts.words.wipe.as_ref() == Some(key);
                must(named || word_kept, || {
                    "the operator did not name it".to_owned()
                })?;
                self.prior_record(key)?
            }
            evidence @ (Evidence::DestroyOperation(_) | Evidence::OwnDestroy) => {
                self.recorded(key, evidence, authorization.disk())?
            }
            Evidence::GoneWithinRun | Evidence::Unwitnessed { .. } => {
                return Err("a MOUNT wants a destroy that was read as an operation".to_owned());
            }
        };
        // Where nobody ever saw which disk it was on, the operator has to name that, too.
        let words = &self.facts.words;
        let disk_named = words.wipe.as_ref() == Some(key)
            && words.wipe_root.as_ref() == Some(&authorization.disk().root);
        let there = record.places.iter().any(|place| {
            place.disk == *authorization.disk()
                && match &place.filesystem {
                    Some(then) => *then == print.filesystem,
                    None => disk_named,
                }
        });
        must(there, || format!("{key} was not held on this file system"))
    }

    /// The memory holds this very evidence, and the facts bear it out.
    fn recorded(
        &self,
        key: &VolumeKey,
        evidence: &Evidence,
        disk: &DiskRef,
    ) -> Result<&'a VolumeRecord, String> {
        let record = self
            .records
            .get(key)
            .copied()
            .ok_or_else(|| format!("{key} was never held"))?;
        let gone = record
            .gone
            .as_ref()
            .ok_or_else(|| format!("{key} is not gone"))?;
        must(gone.evidence.as_ref() == Some(evidence), || {
            format!("the destroy of {key} was not witnessed")
        })?;
        let prior = self.prior_record(key)?;
        let known = prior
            .gone
            .as_ref()
            .is_some_and(|gone| gone.evidence.as_ref() == Some(evidence));
        match evidence {
            Evidence::DestroyOperation(uuid) => {
                let operations = self.destroys(key, uuid);
                must(
                    operations
                        .iter()
                        .all(|operation| operation.kind == OperationKind::Destroy),
                    || format!("operation {uuid} is no DESTROY"),
                )?;
                must(
                    operations
                        .iter()
                        .all(|operation| operation.state != OperationState::Failed),
                    || format!("operation {uuid} did not destroy {key}"),
                )?;
                let named_here = operations
                    .iter()
                    .flat_map(|operation| &operation.volumes)
                    .filter(|volume| volume.volume_key().as_ref() == Some(key))
                    .filter_map(|volume| volume.disk(&self.facts.agent.work_dir))
                    .all(|named| named == *disk);
                must(named_here, || {
                    format!("operation {uuid} destroyed {key} on another disk")
                })?;
                let spent = self.prior_spent.contains(&(uuid.as_str(), key));
                must(!spent, || {
                    format!("operation {uuid} destroyed an earlier life of {key}")
                })?;
                let finished = operations
                    .iter()
                    .any(|operation| operation.state == OperationState::Finished);
                must(
                    known || finished || prior.pending_destroys.contains(uuid),
                    || format!("operation {uuid} was never read"),
                )?;
            }
            Evidence::GoneWithinRun => {
                let now = &self.facts.host.now.boot_id;
                let same_run = prior.held_in_run.is_some()
                    && prior.held_in_run.as_ref() == self.facts.agent.run.known()
                    && prior.held_in_boot == *now
                    && prior.gone.is_none();
                must(known || same_run, || {
                    format!("{key} did not go within one run of the agent")
                })?;
            }
            Evidence::OwnDestroy => must(known, || {
                format!("no destroy of ours of {key} was confirmed")
            })?,
            Evidence::Operator | Evidence::Unwitnessed { .. } => {
                return Err("that is no witnessed destroy".to_owned());
            }
        }
        Ok(record)
    }

    /// Every operation of this uuid that names the volume.
    fn destroys(&self, key: &VolumeKey, uuid: &str) -> Vec<&'a Operation> {
        self.operations
            .get(uuid)
            .into_iter()
            .flatten()
            .copied()
            .filter(|operation| {
                operation
                    .volumes
                    .iter()
                    .filter_map(Resource::volume_key)
                    .any(|named| named == *key)
            })
            .collect()
    }

    /// An agent that commits before it deletes has answered since, or had the grace for it.
    pub(super) fn agent_is_done(&self, record: &VolumeRecord) -> Verdict {
        let running = self
            .facts
            .agent
            .processes
            .known()
            .is_none_or(|agents| agents.iter().any(|agent| agent.ours));
        let since = record
            .gone
            .as_ref()
            .map_or(Span::ZERO, |gone| self.memory.clock.lived.minus(gone.since));
        must(
            !running
                || matches!(self.facts.answer, AgentAnswer::State(_))
                || since >= self.facts.policy.grace,
            || format!("the agent may still delete {}", record.key),
        )
    }

    /// Law 13, counted anew from what earlier passes wrote.
    pub(super) fn blast_radius(&self, plan: &Plan) -> Verdict {
        let policy = &self.facts.policy;
        let now = plan
            .steps
            .iter()
            .filter(|step| {
                matches!(step, Step::Quarantine { manifest, .. }
                    if matches!(manifest.evidence, Evidence::Unwitnessed { .. }))
            })
            .count();
        let now = u32::try_from(now).map_err(|_too_many| "far too many steps".to_owned())?;
        if now == 0 {
            return Ok(());
        }
        let counted = plan.memory.unwitnessed.last();
        must(
            counted.is_some_and(|batch| batch.count >= now && batch.at == self.memory.clock.lived),
            || "this pass's own steps were not counted".to_owned(),
        )?;
        let word = self.facts.words.confirm_brake;
        if policy.brake_percent >= 100 || word.is_some_and(|word| now <= word) {
            return Ok(());
        }
        let mut total = now;
        let mut before = counted.map_or(0, |batch| batch.of);
        let recent = self
            .prior()
            .into_iter()
            .flat_map(|memory| &memory.unwitnessed)
            .filter(|batch| self.memory.clock.lived.minus(batch.at) < WINDOW);
        for (index, batch) in recent.enumerate() {
            if index == 0 {
                before = batch.of;
            }
            total = total.saturating_add(batch.count);
        }
        let percent = u64::from(before).saturating_mul(u64::from(policy.brake_percent));
        must(
            total <= policy.brake_min || u64::from(total).saturating_mul(100) <= percent,
            || format!("{total} unwitnessed steps in 24 hours of {before} volumes"),
        )
    }
}

/// Every operation that a file shows, by its uuid.
pub(super) fn operations(facts: &Facts) -> BTreeMap<&str, Vec<&Operation>> {
    let checkpoint = &facts.checkpoint;
    let providers = facts.providers.known().into_iter().flatten();
    let mut operations: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in [checkpoint.state.whole(), checkpoint.state_target.whole()]
        .into_iter()
        .flatten()
        .chain(providers.map(|provider| &provider.content))
        .flat_map(|state| &state.operations)
    {
        operations
            .entry(&operation.uuid)
            .or_default()
            .push(operation);
    }
    operations
}
