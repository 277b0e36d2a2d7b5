//! A second reader of every plan, written apart from [`super::plan`]: it derives from the facts,
//! in the plainest way, whether each destructive step is allowed, and shares none of the planner's
//! code. One fault then needs two accomplices.

use std::collections::BTreeSet;

use globset::GlobBuilder;

use super::facts::{
    AgentAnswer, AgentView, CheckpointFile, Facts, FileIdentity, FileKind, Fingerprint, FsLocation,
    HolderKind, Known, MountContent, OperationKind, OperationState, OrphanPolicy, PidNamespace,
    RootFacts, RootWitness, TrashFacts,
};
use super::manifest::{Manifest, TrashState};
use super::memory::{Memory, UnwitnessedBatch};
use super::plan::Plan;
use super::steps::{Evidence, Step, TrashPlace, VolumePlace, WipeAuthorization};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::{Raw, Span};

/// A plan that was read twice. Only [`check`] makes one, and executing takes it by value.
#[derive(Debug)]
pub struct CheckedPlan(Plan);

impl CheckedPlan {
    /// The plan inside.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// Gives the plan up for execution.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

/// The checker's "no": planner and checker disagree, which is a fault of this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan was rejected by its check at step {step}: {why}; nothing was done; please report \
     this with the file of `mesos-volumed plan --save-facts FILE`"
)]
pub struct PlanRejected {
    /// Index of the step.
    pub step: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads the plan a second time.
pub fn check(plan: Plan, facts: &Facts) -> Result<CheckedPlan, PlanRejected> {
    let reader = Reader {
        facts,
        memory: &plan.memory,
        adopted: adopted(&plan),
        named: named(facts),
    };
    let mut touched: BTreeSet<FileIdentity> = BTreeSet::new();
    let mut unwitnessed: u32 = 0;
    for (index, step) in plan.steps.iter().enumerate() {
        let reject = |why: String| PlanRejected { step: index, why };
        let identity = reader.step(step).map_err(reject)?;
        if let Some(identity) = identity
            && !touched.insert(identity)
        {
            return Err(reject("two steps act on one directory".to_owned()));
        }
        if let Step::Quarantine { manifest, .. } = step
            && matches!(manifest.evidence, Evidence::Unwitnessed { .. })
        {
            unwitnessed = unwitnessed.saturating_add(1);
        }
    }
    if unwitnessed > 0 {
        blast_radius(facts, &plan.memory, unwitnessed).map_err(|why| PlanRejected {
            step: plan.steps.len(),
            why,
        })?;
    }
    Ok(CheckedPlan(plan))
}

fn adopted(plan: &Plan) -> Vec<DiskRef> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::AdoptRoot { disk, .. } => Some(disk.clone()),
            Step::Quarantine { .. }
            | Step::Clear { .. }
            | Step::PutBack { .. }
            | Step::Void { .. }
            | Step::Wipe { .. }
            | Step::EmptyMount { .. }
            | Step::OpenGate
            | Step::Create { .. } => None,
        })
        .collect()
}

/// Every volume that any source names, by the plainest reading.
#[derive(Debug)]
struct Named {
    all: BTreeSet<VolumeKey>,
    except_older_file: BTreeSet<VolumeKey>,
    mount_roots: BTreeSet<Raw>,
}

fn named(facts: &Facts) -> Named {
    let mut strong: Vec<&Resource> = Vec::new();
    let mut older: Vec<&Resource> = Vec::new();
    let checkpoint = &facts.checkpoint;
    let states = [checkpoint.state.whole(), checkpoint.state_target.whole()];
    let providers = facts
        .providers
        .known()
        .into_iter()
        .flatten()
        .map(|provider| &provider.content);
    for state in states.into_iter().flatten().chain(providers) {
        strong.extend(&state.resources);
        for operation in &state.operations {
            match operation.state {
                OperationState::Pending | OperationState::Unclear => {
                    strong.extend(&operation.volumes);
                }
                OperationState::Finished | OperationState::Failed => {}
            }
        }
    }
    for resources in [checkpoint.info.whole(), checkpoint.info_target.whole()]
        .into_iter()
        .flatten()
    {
        if matches!(checkpoint.state, CheckpointFile::Missing) {
            strong.extend(resources);
        } else {
            older.extend(resources);
        }
    }
    if let AgentAnswer::State(state) = &facts.answer {
        strong.extend(&state.resources);
    }
    let mut except_older_file: BTreeSet<VolumeKey> = strong
        .iter()
        .filter_map(|resource| resource.volume_key())
        .collect();
    for task in facts.tasks.known().into_iter().flatten() {
        except_older_file.extend(task.volumes.iter().cloned());
    }
    let mut all = except_older_file.clone();
    all.extend(older.iter().filter_map(|resource| resource.volume_key()));
    let mount_roots = strong
        .iter()
        .chain(&older)
        .filter(|resource| resource.persistence.is_some())
        .filter_map(|resource| resource.source.as_ref()?.root.clone())
        .collect();
    Named {
        all,
        except_older_file,
        mount_roots,
    }
}

struct Reader<'a> {
    facts: &'a Facts,
    memory: &'a Memory,
    adopted: Vec<DiskRef>,
    named: Named,
}

type Verdict = Result<(), String>;

fn must(condition: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(otherwise()) }
}

impl Reader<'_> {
    /// The identity of what the step acts on, where it acts on a directory.
    fn step(&self, step: &Step) -> Result<Option<FileIdentity>, String> {
        match step {
            Step::Quarantine {
                place,
                identity,
                manifest,
            } => {
                self.quarantine(place, identity, manifest)?;
                Ok(Some(identity.clone()))
            }
            Step::Wipe {
                authorization,
                entry,
            } => {
                self.wipe(authorization, entry)?;
                Ok(Some(authorization.identity().clone()))
            }
            Step::EmptyMount {
                authorization,
                root,
            } => {
                self.empty_mount(authorization, root)?;
                Ok(Some(authorization.identity().clone()))
            }
            Step::Clear { entry } => {
                self.root(&entry.disk, &entry.root)?;
                let found = self.trash_entry(entry)?;
                self.authorities()?;
                self.unnamed(&entry.manifest.volume)?;
                self.unused(&entry.manifest.volume, &found.location, None)?;
                must(
                    matches!(
                        entry.manifest.state,
                        TrashState::Prepared | TrashState::Moved
                    ) && !entry.manifest.unconfirmed,
                    || format!("entry {} is not at its second look", entry.manifest.id),
                )?;
                Ok(entry.data.clone())
            }
            Step::PutBack { entry } => {
                self.root(&entry.disk, &entry.root)?;
                self.trash_entry(entry)?;
                must(
                    matches!(
                        entry.manifest.state,
                        TrashState::Prepared | TrashState::Moved
                    ),
                    || format!("entry {} is past the way back", entry.manifest.id),
                )?;
                Ok(entry.data.clone())
            }
            Step::Void { entry } => {
                self.root(&entry.disk, &entry.root)?;
                let found = self.trash_entry(entry)?;
                must(found.data == Known::Absent, || {
                    format!("entry {} has data", entry.manifest.id)
                })?;
                Ok(None)
            }
            Step::Create { place } => {
                self.create(place)?;
                Ok(None)
            }
            Step::AdoptRoot { .. } | Step::OpenGate => Ok(None),
        }
    }

    fn quarantine(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
        manifest: &Manifest,
    ) -> Verdict {
        let root = self.root(&place.disk, &place.root)?;
        must(root.disk.kind != DiskType::Mount, || {
            "a MOUNT has no trash".to_owned()
        })?;
        plain_name(&place.role_dir)?;
        plain_name(&place.id_dir)?;
        must(
            place.volume.role.directory() == place.role_dir
                && *place.volume.id.as_raw() == place.id_dir,
            || format!("{} is not the directory of {}", place.path(), place.volume),
        )?;
        let dir = root
            .dirs
            .known()
            .into_iter()
            .flatten()
            .find(|dir| dir.role_dir == place.role_dir && dir.id_dir == place.id_dir)
            .ok_or_else(|| format!("{} was not seen", place.path()))?;
        must(dir.kind == FileKind::Directory, || {
            format!("{} is no directory", place.path())
        })?;
        must(dir.identity.known() == Some(identity), || {
            format!("{} is another directory", place.path())
        })?;
        must(identity.filesystem == place.root.filesystem, || {
            format!("{} is on another file system", place.path())
        })?;
        self.authorities()?;
        self.unnamed(&place.volume)?;
        self.no_held_twin(&place.volume, identity)?;
        self.unused(&place.volume, &dir.location, None)?;
        self.unprotected(&place.volume)?;
        must(
            manifest.state == TrashState::Prepared
                && manifest.volume == place.volume
                && manifest.disk == place.disk
                && manifest.identity == *identity
                && manifest.work_dir == self.facts.agent.work_dir
                && self.facts.host.machine_id.known() == Some(&manifest.machine_id),
            || "the manifest does not describe the step".to_owned(),
        )?;
        self.evidence(&place.volume, &place.disk, identity, &manifest.evidence)
    }

    fn wipe(&self, authorization: &WipeAuthorization, entry: &TrashPlace) -> Verdict {
        self.root(&entry.disk, &entry.root)?;
        let found = self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        must(
            matches!(manifest.state, TrashState::Cleared | TrashState::Wiping)
                && !manifest.unconfirmed,
            || format!("entry {} was not cleared", manifest.id),
        )?;
        must(
            entry.data.as_ref() == Some(authorization.identity())
                && manifest.identity == *authorization.identity()
                && manifest.volume == *authorization.volume()
                && entry.disk == *authorization.disk(),
            || "the authorization is for something else".to_owned(),
        )?;
        self.authorities()?;
        self.unnamed(&manifest.volume)?;
        self.unused(&manifest.volume, &found.location, None)?;
        let age = self.memory.clock.lived.minus(manifest.lived_at);
        let words = &self.facts.words;
        must(
            manifest.state == TrashState::Wiping
                || age >= manifest.retention
                || words.purge.contains(&manifest.id)
                || words.wipe.as_ref() == Some(&manifest.volume),
            || {
                format!(
                    "entry {} is to stay for {}",
                    manifest.id,
                    manifest.retention.minus(age)
                )
            },
        )
    }

    fn empty_mount(&self, authorization: &WipeAuthorization, print: &Fingerprint) -> Verdict {
        let disk = authorization.disk();
        let root = self.root(disk, print)?;
        must(disk.kind == DiskType::Mount, || {
            format!("{disk} is no MOUNT disk")
        })?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{} is not mounted", root.disk.root))?;
        must(mount.is_mount_point, || {
            format!("{} is no mount point", root.disk.root)
        })?;
        must(*authorization.identity() == print.directory, || {
            "the authorization is for another directory".to_owned()
        })?;
        must(root.content == Known::Known(MountContent::Data), || {
            format!("{} holds nothing to wipe", root.disk.root)
        })?;
        self.authorities()?;
        self.unnamed(authorization.volume())?;
        must(!self.named.mount_roots.contains(&disk.root), || {
            format!("{disk} holds another volume")
        })?;
        self.unused(
            authorization.volume(),
            &Known::Known(mount.location.clone()),
            Some(&disk.root),
        )?;
        self.unprotected(authorization.volume())?;
        must(
            self.facts
                .agent
                .processes
                .known()
                .is_some_and(Vec::is_empty)
                && !matches!(self.facts.answer, AgentAnswer::State(_)),
            || "an agent may run".to_owned(),
        )?;
        must(
            self.facts.policy.start_gate || matches!(self.facts.gate.unit, Known::Known(_)),
            || "nothing obeys the gate".to_owned(),
        )?;
        match authorization.evidence() {
            Evidence::Operator => must(
                self.facts.words.wipe.as_ref() == Some(authorization.volume()),
                || "the operator did not name it".to_owned(),
            ),
            Evidence::DestroyOperation(_) | Evidence::OwnDestroy => {
                self.recorded(authorization.volume(), disk, authorization.evidence())
            }
            Evidence::GoneWithinRun | Evidence::Unwitnessed { .. } => {
                Err("a MOUNT wants a destroy that was read as an operation".to_owned())
            }
        }
    }

    fn create(&self, place: &VolumePlace) -> Verdict {
        let root = self
            .facts
            .roots
            .iter()
            .find(|root| root.disk == place.disk)
            .ok_or_else(|| format!("{} was not observed", place.disk))?;
        must(root.filesystem.present.known() == Some(&place.root), || {
            format!("{} is another file system", place.disk)
        })?;
        must(root.disk.kind != DiskType::Mount, || {
            "a MOUNT is its own directory".to_owned()
        })?;
        plain_name(&place.role_dir)?;
        plain_name(&place.id_dir)?;
        must(self.named.except_older_file.contains(&place.volume), || {
            format!("{} is not held", place.volume)
        })?;
        must(
            !root
                .dirs
                .known()
                .into_iter()
                .flatten()
                .any(|dir| dir.role_dir == place.role_dir && dir.id_dir == place.id_dir)
                && !matches!(root.dirs, Known::Unknown(_)),
            || format!("{} exists", place.path()),
        )?;
        must(
            matches!(self.facts.checkpoint.state_target, CheckpointFile::Missing)
                && matches!(self.facts.checkpoint.info_target, CheckpointFile::Missing),
            || "a change is in flight".to_owned(),
        )
    }

    /// The root is there, local, writable, ours, seen alike by the agent, and the known one.
    fn root(&self, disk: &DiskRef, print: &Fingerprint) -> Result<&RootFacts, String> {
        let facts = self.facts;
        let root = facts
            .roots
            .iter()
            .find(|root| root.disk == *disk)
            .ok_or_else(|| format!("{disk} was not observed"))?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{disk} is not mounted"))?;
        must(!mount.network && !mount.read_only, || {
            format!("{disk} is remote or read-only")
        })?;
        must(
            matches!(root.view, AgentView::Same | AgentView::NoAgent),
            || format!("the agent sees something else under {disk}"),
        )?;
        must(root.filesystem.present.known() == Some(print), || {
            format!("{disk} is another file system than planned for")
        })?;
        match &root.filesystem.ledger {
            Known::Known(known) => must(
                known == print || facts.words.accept_root.as_ref() == Some(&disk.root),
                || format!("{disk} is not the file system of the ledger"),
            )?,
            Known::Absent => must(self.adopted.contains(disk), || {
                format!("{disk} was never verified")
            })?,
            Known::Unknown(why) => return Err(why.to_string()),
        }
        must(matches!(facts.agent.latest, Known::Known(_)), || {
            "the work_dir is of no agent".to_owned()
        })?;
        let ours = disk.kind == DiskType::Root
            || root.named_by.contains(&RootWitness::SlaveInfo)
            || root.named_by.contains(&RootWitness::Checkpoint)
            || root.named_by.contains(&RootWitness::Flags);
        must(ours, || format!("the agent does not name {disk}"))?;
        Ok(root)
    }

    fn trash_entry(&self, entry: &TrashPlace) -> Result<&TrashFacts, String> {
        let root = self
            .facts
            .roots
            .iter()
            .find(|root| root.disk == entry.disk)
            .ok_or_else(|| format!("{} was not observed", entry.disk))?;
        let found = root
            .trash
            .known()
            .into_iter()
            .flatten()
            .find(|found| found.id == entry.manifest.id)
            .ok_or_else(|| format!("trash entry {} was not seen", entry.manifest.id))?;
        must(found.manifest.known() == Some(&entry.manifest), || {
            format!("the manifest of {} is another", entry.manifest.id)
        })?;
        must(found.data.known() == entry.data.as_ref(), || {
            format!("the data of {} is another", entry.manifest.id)
        })?;
        must(
            self.facts.host.machine_id.known() == Some(&entry.manifest.machine_id)
                && entry.manifest.work_dir == self.facts.agent.work_dir,
            || format!("trash entry {} is of another agent", entry.manifest.id),
        )?;
        Ok(found)
    }

    /// Every authority was read whole, and emptiness is not taken for an answer.
    fn authorities(&self) -> Verdict {
        let facts = self.facts;
        let checkpoint = &facts.checkpoint;
        let damaged = matches!(checkpoint.state, CheckpointFile::Damaged(_))
            || matches!(
                checkpoint.state_target,
                CheckpointFile::Damaged(_) | CheckpointFile::Empty
            )
            || matches!(checkpoint.info, CheckpointFile::Damaged(_))
            || matches!(checkpoint.info_target, CheckpointFile::Damaged(_));
        must(!damaged, || "a checkpoint file is damaged".to_owned())?;
        let unknown = [
            facts.providers.why(),
            facts.tasks.why(),
            facts.agent.latest.why(),
            facts.agent.run.why(),
            facts.agent.processes.why(),
            facts.memory.why(),
        ];
        if let Some(why) = unknown.into_iter().flatten().next() {
            return Err(format!("an authority is unknown: {why}"));
        }
        let running = facts
            .agent
            .processes
            .known()
            .into_iter()
            .flatten()
            .any(|agent| agent.ours);
        match &facts.answer {
            AgentAnswer::NotConfigured | AgentAnswer::State(_) => {}
            AgentAnswer::Refused if !running => {}
            AgentAnswer::Refused | AgentAnswer::Recovering | AgentAnswer::Unknown(_) => {
                return Err("the agent's answer is unknown".to_owned());
            }
        }
        must(
            !facts.policy.require_agent || running || matches!(facts.answer, AgentAnswer::State(_)),
            || "the agent is down".to_owned(),
        )?;
        let nothing = match (&checkpoint.state, &checkpoint.info) {
            // Both say "nothing", or the newer file says something: that is proof.
            (CheckpointFile::Whole(_), CheckpointFile::Empty) => false,
            (CheckpointFile::Whole(state), info) => {
                state.resources.is_empty() && !info.whole().is_some_and(Vec::is_empty)
            }
            (CheckpointFile::Missing, info) => info.whole().is_none(),
            (CheckpointFile::Empty | CheckpointFile::Damaged(_), _) => true,
        };
        if nothing || self.memory.lost_across_start {
            let accepted = self
                .memory
                .empty_accepted_at
                .is_some_and(|at| self.memory.clock.lived.minus(at) >= facts.policy.grace);
            must(accepted, || "an empty checkpoint is no proof".to_owned())?;
        }
        Ok(())
    }

    fn unnamed(&self, key: &VolumeKey) -> Verdict {
        if !self.named.all.contains(key) {
            return Ok(());
        }
        must(!self.named.except_older_file.contains(key), || {
            format!("{key} is held")
        })?;
        let released = self.memory.stale.iter().any(|entry| {
            entry.key == *key
                && self.memory.clock.lived.minus(entry.since) >= self.facts.policy.grace
        });
        must(
            released && matches!(self.facts.answer, AgentAnswer::State(_)),
            || format!("{key} is named by the older checkpoint file"),
        )
    }

    fn no_held_twin(&self, key: &VolumeKey, identity: &FileIdentity) -> Verdict {
        for root in &self.facts.roots {
            for dir in root.dirs.known().into_iter().flatten() {
                let other = super::roots::dir_key(dir);
                if other != *key
                    && dir.identity.known() == Some(identity)
                    && self.named.all.contains(&other)
                {
                    return Err(format!("it is the directory of held volume {other}"));
                }
            }
        }
        Ok(())
    }

    fn unused(
        &self,
        key: &VolumeKey,
        location: &Known<FsLocation>,
        own_mount: Option<&Raw>,
    ) -> Verdict {
        let facts = self.facts;
        let tasks = facts.tasks.known().ok_or("tasks are unknown")?;
        must(!tasks.iter().any(|task| task.volumes.contains(key)), || {
            format!("a task uses {key}")
        })?;
        must(
            facts.policy.pid_namespace == PidNamespace::Own
                || facts.host.initial_pid_namespace == Known::Known(true),
            || "not all processes can be seen".to_owned(),
        )?;
        let holders = facts.holders.known().ok_or("holders are unknown")?;
        let place = location
            .known()
            .ok_or("its place in the file system is unknown")?;
        for holder in holders {
            if holder.location.device != place.device
                || holder.location.path.below(&place.path).is_none()
            {
                continue;
            }
            let own = own_mount.is_some()
                && holder.kind == HolderKind::MountOf
                && holder.location == *place
                && holder.mount_point.as_ref() == own_mount;
            must(own, || format!("{key} is in use by pid {}", holder.pid))?;
        }
        Ok(())
    }

    fn unprotected(&self, key: &VolumeKey) -> Verdict {
        use std::os::unix::ffi::OsStrExt as _;
        let name = key.role.as_raw().join(key.id.as_raw());
        for glob in &self.facts.policy.protect {
            let matcher = GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .map_err(|error| format!("protect glob {glob}: {error}"))?
                .compile_matcher();
            must(
                !matcher.is_match(std::ffi::OsStr::from_bytes(name.as_bytes())),
                || format!("{key} is protected by {glob}"),
            )?;
        }
        Ok(())
    }

    fn evidence(
        &self,
        key: &VolumeKey,
        disk: &DiskRef,
        identity: &FileIdentity,
        evidence: &Evidence,
    ) -> Verdict {
        match evidence {
            Evidence::Operator => must(self.facts.words.wipe.as_ref() == Some(key), || {
                "the operator did not name it".to_owned()
            }),
            Evidence::DestroyOperation(_) | Evidence::GoneWithinRun | Evidence::OwnDestroy => {
                self.recorded(key, disk, evidence)
            }
            Evidence::Unwitnessed { .. } => {
                must(self.facts.policy.orphans != OrphanPolicy::Report, || {
                    "orphans are only reported".to_owned()
                })?;
                let grace = self.facts.policy.grace;
                must(
                    self.memory.sightings.iter().any(|sighting| {
                        sighting.key == *key
                            && sighting.disk == *disk
                            && sighting.identity == *identity
                            && sighting.times >= 2
                            && sighting.last.minus(sighting.first) >= grace
                    }),
                    || format!("{key} was not sighted long enough"),
                )
            }
        }
    }

    /// The memory holds this very evidence, and where it names an operation, that operation was
    /// read as a DESTROY that did not fail.
    fn recorded(&self, key: &VolumeKey, disk: &DiskRef, evidence: &Evidence) -> Verdict {
        let record = self
            .memory
            .volumes
            .iter()
            .find(|record| record.key == *key)
            .ok_or_else(|| format!("{key} was never held"))?;
        let gone = record
            .gone
            .as_ref()
            .ok_or_else(|| format!("{key} is not gone"))?;
        must(gone.evidence.as_ref() == Some(evidence), || {
            format!("the destroy of {key} was not witnessed")
        })?;
        must(
            record.places.iter().any(|place| place.disk == *disk),
            || format!("{key} was not held on {disk}"),
        )?;
        if let Evidence::DestroyOperation(uuid) = evidence {
            let states = [
                self.facts.checkpoint.state.whole(),
                self.facts.checkpoint.state_target.whole(),
            ];
            let failed = states
                .into_iter()
                .flatten()
                .flat_map(|state| &state.operations)
                .any(|operation| {
                    operation.uuid == *uuid
                        && (operation.state == OperationState::Failed
                            || operation.kind != OperationKind::Destroy)
                });
            must(!failed, || {
                format!("operation {uuid} did not destroy {key}")
            })?;
        }
        Ok(())
    }
}

/// Neither empty nor a way up nor a path.
fn plain_name(name: &Raw) -> Verdict {
    let bytes = name.as_bytes();
    must(
        !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/'),
        || format!("{name:?} is no plain name"),
    )
}

/// Law 13, counted anew: `memory` already holds this pass's own batch as its last entry.
fn blast_radius(facts: &Facts, memory: &Memory, now: u32) -> Verdict {
    let policy = &facts.policy;
    if policy.brake_percent >= 100 || facts.words.confirm_brake.is_some_and(|word| now <= word) {
        return Ok(());
    }
    let window = Span::seconds(24 * 3600);
    let recent: Vec<&UnwitnessedBatch> = memory
        .unwitnessed
        .iter()
        .filter(|batch| memory.clock.lived.minus(batch.at) < window)
        .collect();
    let total = recent
        .iter()
        .fold(0u32, |sum, batch| sum.saturating_add(batch.count));
    let before = recent.first().map_or(0, |batch| batch.of);
    must(total >= now, || {
        "this pass's own steps were not counted".to_owned()
    })?;
    let percent = u64::from(before).saturating_mul(u64::from(policy.brake_percent));
    must(
        total <= policy.brake_min || u64::from(total).saturating_mul(100) <= percent,
        || format!("{total} unwitnessed steps in 24 hours of {before} volumes"),
    )
}
