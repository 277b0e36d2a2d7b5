//! Joins the authorities: who names which volume, and what is doubtful about the whole.
//!
//! Union to keep (law 2): a volume named anywhere is held. Precedence to create (law 3): only the
//! effective generation, the file that the agent itself would believe (F§4.1), can make a
//! directory. Doubts are collected here once, so that every decision refuses for the same reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::facts::{
    AgentAnswer, AgentFacts, CheckpointFile, Facts, Known, Operation, OperationKind,
    OperationState, ResourceState,
};
use super::guards::{Reason, Refusal};
use super::memory::Memory;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::paths;
use crate::mesos::resource::Resource;
use crate::units::{Megabytes, Raw};

/// Who names a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `resources_and_operations.state`.
    State,
    /// `resources_and_operations.target`.
    StateTarget,
    /// `resources.info`.
    Info,
    /// `resources.target`.
    InfoTarget,
    /// An operation that is pending, or whose state is unclear.
    Operation,
    /// A `resource_provider.state`.
    Provider,
    /// A `task.info` of a run that has not ended.
    Task,
    /// The agent's `/state`.
    Answer,
}

/// A few things in their order, each once. A tree would take room for eleven where there is one, which is
/// nearly always so, for each of ten thousand volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T>(Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Few<T> {
    fn insert(&mut self, one: T) {
        if let Err(at) = self.0.binary_search(&one) {
            self.0.reserve_exact(1);
            self.0.insert(at, one);
        }
    }
}

impl<T> std::ops::Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// What the authorities say of one volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Who names it.
    pub sources: BTreeSet<Source>,
    /// Whether the effective generation names it.
    pub effective: bool,
    /// Pending or unclear operations that name it, as `DESTROY 0a1b…`.
    pub pending: Vec<String>,
    /// The disks it is named on; empty when only a task names it.
    pub disks: Few<DiskRef>,
    /// Those of them where its directory lies as Mesos lays out static disks: not those of a
    /// resource provider, nor with a `source.id`, which changes the directory (F§2.1), nor those
    /// that only an operation names.
    homes: Few<DiskRef>,
    /// Those of the homes that the effective generation names.
    effective_homes: Few<DiskRef>,
    /// Its size, from the most trusted source that has one.
    pub size: Option<Megabytes>,
    /// Its principal, likewise.
    pub principal: Option<Raw>,
    /// Whether Mesos shares it between containers.
    pub shared: bool,
}

impl Claim {
    /// Where its directory lies: as the effective generation says, where that names it.
    #[must_use]
    pub fn homes(&self) -> &Few<DiskRef> {
        if self.effective {
            &self.effective_homes
        } else {
            &self.homes
        }
    }

    /// Where anybody says that its directory lies, another generation with another life of the name too.
    pub(in crate::decide) fn all_homes(&self) -> &Few<DiskRef> {
        &self.homes
    }

    /// Whether somebody who would know of its end says that it is there: the effective
    /// generation, its provider, or the agent itself. A task that outlives it, an operation that
    /// is only wanted and a file of lower precedence would not know.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.effective
            || self
                .sources
                .iter()
                .any(|source| matches!(source, Source::Provider | Source::Answer))
    }

    /// Whether nobody but the file of lower precedence names it.
    #[must_use]
    pub fn stale_only(&self) -> bool {
        !self.effective
            && !self.sources.is_empty()
            && self
                .sources
                .iter()
                .all(|source| matches!(source, Source::Info | Source::InfoTarget))
    }
}

/// The joined authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Every volume that is named, and by whom.
    pub volumes: BTreeMap<VolumeKey, Claim>,
    /// Disks that an operation in flight names, volumes or not.
    pub disks_in_flight: BTreeSet<DiskRef>,
    /// Whether a target file exists: a change is in flight.
    pub in_flight: bool,
    /// What is doubtful about the whole: as long as there is one, absence of a name means nothing.
    /// `AuthorityEmpty` is not among them; see [`Claims::empty`].
    pub doubts: Vec<Reason>,
    /// Why the checkpoint proves nothing by being empty; `None`: it is proof.
    pub empty: Option<String>,
    /// Roles that the agent's answer hides, when it is known to hide some: those it shows.
    pub shown_roles: Option<BTreeSet<Role>>,
    /// Disks named by any resource of the checkpoint.
    pub checkpoint_disks: BTreeSet<DiskRef>,
    /// The volumes named on each disk.
    by_disk: BTreeMap<DiskRef, BTreeSet<VolumeKey>>,
}

impl Claims {
    /// Joins the authorities of these facts.
    #[must_use]
    pub fn join(facts: &Facts) -> Self {
        let mut join = Join {
            work_dir: &facts.agent.work_dir,
            claims: Self {
                volumes: BTreeMap::new(),
                disks_in_flight: BTreeSet::new(),
                in_flight: in_flight(facts),
                doubts: doubts(facts),
                empty: empty(facts),
                shown_roles: None,
                checkpoint_disks: BTreeSet::new(),
                by_disk: BTreeMap::new(),
            },
        };
        join.checkpoint(facts);
        if let Some(providers) = facts.providers.known() {
            for provider in providers {
                join.state(&provider.content, Source::Provider, false);
            }
        }
        for key in facts.task_uses().flat_map(|task| &task.volumes) {
            join.claims
                .volumes
                .entry(key.clone())
                .or_default()
                .sources
                .insert(Source::Task);
        }
        if let AgentAnswer::State(state) = &facts.answer {
            let named: BTreeSet<Role> = believed(facts)
                .filter_map(Resource::role)
                .cloned()
                .collect();
            if named.iter().any(|role| !state.roles.contains(role)) {
                join.claims.shown_roles = Some(state.roles.clone());
            }
            join.resources(&state.resources, Source::Answer, false);
            join.operations(&state.operations);
        }
        let mut claims = join.claims;
        for (key, claim) in &claims.volumes {
            for disk in &claim.disks {
                claims
                    .by_disk
                    .entry(disk.clone())
                    .or_default()
                    .insert(key.clone());
            }
        }
        claims
    }

    /// The claim on this volume.
    #[must_use]
    pub fn get(&self, key: &VolumeKey) -> Option<&Claim> {
        self.volumes.get(key)
    }

    /// The volumes that are named on this disk, with what is said of them.
    pub fn on<'a>(&'a self, disk: &DiskRef) -> impl Iterator<Item = (&'a VolumeKey, &'a Claim)> {
        self.by_disk
            .get(disk)
            .into_iter()
            .flatten()
            .filter_map(|key| self.volumes.get_key_value(key))
    }

    /// The volume that claims this MOUNT disk, if any.
    #[must_use]
    pub fn holder_of(&self, disk: &DiskRef) -> Option<&VolumeKey> {
        self.on(disk).next().map(|(key, _)| key)
    }
}

/// The resources of the files that the agent itself would believe, committed and target.
pub(in crate::decide) fn believed(facts: &Facts) -> impl Iterator<Item = &Resource> {
    let checkpoint = &facts.checkpoint;
    let newer = [checkpoint.state.whole(), checkpoint.state_target.whole()];
    let older = [checkpoint.info.whole(), checkpoint.info_target.whole()];
    let older = match checkpoint.state {
        CheckpointFile::Missing => older,
        CheckpointFile::Whole(_) | CheckpointFile::Empty | CheckpointFile::Damaged(_) => {
            [None, None]
        }
    };
    newer
        .into_iter()
        .flatten()
        .flat_map(|state| &state.resources)
        .chain(older.into_iter().flatten().flatten())
}

/// The committed file that the agent itself would believe, where one can be believed.
#[must_use]
pub fn effective_file(facts: &Facts) -> Option<Source> {
    match (&facts.checkpoint.state, &facts.checkpoint.info) {
        (CheckpointFile::Whole(_), _) => Some(Source::State),
        (CheckpointFile::Missing, CheckpointFile::Whole(_) | CheckpointFile::Empty) => {
            Some(Source::Info)
        }
        (
            CheckpointFile::Missing | CheckpointFile::Empty | CheckpointFile::Damaged(_),
            CheckpointFile::Whole(_)
            | CheckpointFile::Missing
            | CheckpointFile::Empty
            | CheckpointFile::Damaged(_),
        ) => None,
    }
}

fn in_flight(facts: &Facts) -> bool {
    !matches!(facts.checkpoint.state_target, CheckpointFile::Missing)
        || !matches!(facts.checkpoint.info_target, CheckpointFile::Missing)
}

/// Why the checkpoint proves nothing by being empty (design §5, `authority_empty`).
fn empty(facts: &Facts) -> Option<String> {
    let checkpoint = &facts.checkpoint;
    match (&checkpoint.state, &checkpoint.info) {
        (CheckpointFile::Empty, _) => Some(format!("{} has 0 bytes", paths::STATE)),
        (CheckpointFile::Missing, CheckpointFile::Missing) => {
            Some("there is no checkpoint file in meta/resources".to_owned())
        }
        (CheckpointFile::Missing, CheckpointFile::Empty) => Some(format!(
            "{} has 0 bytes and there is no {}",
            paths::INFO,
            paths::STATE
        )),
        (CheckpointFile::Whole(state), info) if state.resources.is_empty() => match info {
            CheckpointFile::Empty => None,
            CheckpointFile::Whole(resources) if resources.is_empty() => None,
            CheckpointFile::Whole(_) | CheckpointFile::Missing | CheckpointFile::Damaged(_) => {
                Some(format!(
                    "{} names nothing and {} does not agree",
                    paths::STATE,
                    paths::INFO
                ))
            }
        },
        (CheckpointFile::Whole(_) | CheckpointFile::Missing | CheckpointFile::Damaged(_), _) => {
            None
        }
    }
}

/// Everything that makes the absence of a name meaningless.
fn doubts(facts: &Facts) -> Vec<Reason> {
    let mut doubts = Vec::new();
    let mut unknown = |detail: String| doubts.push(Reason::new(Refusal::AuthorityUnknown, detail));
    let checkpoint = &facts.checkpoint;
    let damage = [
        (paths::STATE_TARGET, damaged(&checkpoint.state_target)),
        (paths::STATE, damaged(&checkpoint.state)),
        (paths::INFO_TARGET, damaged(&checkpoint.info_target)),
        (paths::INFO, damaged(&checkpoint.info)),
    ];
    for (file, why) in damage {
        if let Some(why) = why {
            // The observer names the file itself; facts from elsewhere need not.
            unknown(if why.starts_with(file) {
                why
            } else {
                format!("{file}: {why}")
            });
        }
    }
    // An empty target of the newer form is a lost write; an empty resources.target is legal.
    if matches!(checkpoint.state_target, CheckpointFile::Empty) {
        unknown(format!("{} has 0 bytes", paths::STATE_TARGET));
    }
    if facts.version != Facts::VERSION {
        unknown(format!(
            "these facts have version {}, this program reads version {}",
            facts.version,
            Facts::VERSION
        ));
    }
    if let Some(memory) = facts.memory.known()
        && memory.version != Memory::VERSION
    {
        unknown(format!(
            "the memory has version {}, this program reads version {}",
            memory.version,
            Memory::VERSION
        ));
    }
    // No list at all is not an empty list.
    if facts.agent.processes == Known::Absent {
        unknown("agent processes were not looked for".to_owned());
    }
    for why in [
        facts.providers.why(),
        facts.tasks.why(),
        facts.agent.latest.why(),
        facts.agent.run.why(),
        facts.agent.processes.why(),
        facts.memory.why(),
    ]
    .into_iter()
    .flatten()
    {
        unknown(why.to_string());
    }
    let running = our_agents(&facts.agent);
    match &facts.answer {
        AgentAnswer::NotConfigured | AgentAnswer::State(_) => {}
        AgentAnswer::Refused => {
            if let Some(pid) = running.first() {
                unknown(format!(
                    "an agent runs (pid {pid}) but agent.url refuses connections"
                ));
            }
        }
        AgentAnswer::Recovering => doubts.push(Refusal::AgentRecovering.into()),
        AgentAnswer::Unknown(why) => unknown(format!("agent.url: {why}")),
    }
    if facts.policy.require_agent
        && running.is_empty()
        && !matches!(facts.answer, AgentAnswer::State(_))
    {
        doubts.push(Refusal::AgentRequired.into());
    }
    doubts
}

fn damaged<T>(file: &CheckpointFile<T>) -> Option<String> {
    match file {
        CheckpointFile::Damaged(why) => Some(why.to_string()),
        CheckpointFile::Whole(_) | CheckpointFile::Missing | CheckpointFile::Empty => None,
    }
}

/// Process ids of agents that are ours; empty also where processes are unknown (which is a doubt
/// of its own).
#[must_use]
pub fn our_agents(agent: &AgentFacts) -> Vec<i32> {
    agent
        .processes
        .known()
        .into_iter()
        .flatten()
        .filter(|process| process.ours)
        .map(|process| process.pid)
        .collect()
}

/// The doubt that an empty checkpoint raises, unless an operator accepted it a grace period ago.
#[must_use]
pub fn empty_doubt(claims: &Claims, facts: &Facts, memory: &Memory) -> Option<Reason> {
    let what = match (&claims.empty, memory.lost_across_start) {
        (Some(what), _) => what.clone(),
        (None, true) => "every volume that was held went across a start of the agent".to_owned(),
        (None, false) => return None,
    };
    let grace = facts.policy.grace;
    let detail = match memory.empty_accepted_at {
        None => what,
        Some(at) => {
            let waited = memory.clock.lived.minus(at);
            if waited >= grace {
                return None;
            }
            format!("{what}; accepted {waited} ago, in force after {grace}")
        }
    };
    Some(Reason::new(Refusal::AuthorityEmpty, detail))
}

struct Join<'a> {
    work_dir: &'a Raw,
    claims: Claims,
}

impl Join<'_> {
    fn checkpoint(&mut self, facts: &Facts) {
        let checkpoint = &facts.checkpoint;
        // Most trusted first: size and principal are taken from the first that has them.
        let state_decides = !matches!(checkpoint.state, CheckpointFile::Missing);
        if let Some(state) = checkpoint.state.whole() {
            self.state(state, Source::State, true);
        }
        if let Some(state) = checkpoint.state_target.whole() {
            self.state(state, Source::StateTarget, state_decides);
        }
        if let Some(resources) = checkpoint.info.whole() {
            self.resources(resources, Source::Info, !state_decides);
        }
        if let Some(resources) = checkpoint.info_target.whole() {
            self.resources(resources, Source::InfoTarget, !state_decides);
        }
    }

    fn state(&mut self, state: &ResourceState, source: Source, effective: bool) {
        self.resources(&state.resources, source, effective);
        self.operations(&state.operations);
    }

    fn operations(&mut self, operations: &[Operation]) {
        for operation in operations {
            match operation.state {
                OperationState::Pending | OperationState::Unclear => {}
                OperationState::Finished | OperationState::Failed => continue,
            }
            let label = format!("{} {}", operation_name(operation.kind), operation.uuid);
            for volume in &operation.volumes {
                if let Some(disk) = volume.disk(self.work_dir) {
                    self.claims.disks_in_flight.insert(disk);
                }
                self.volume(volume, Source::Operation, false);
                if let Some(claim) = volume
                    .volume_key()
                    .and_then(|key| self.claims.volumes.get_mut(&key))
                    && !claim.pending.contains(&label)
                {
                    claim.pending.push(label.clone());
                }
            }
        }
    }

    fn resources(&mut self, resources: &[Resource], source: Source, effective: bool) {
        for resource in resources {
            if let Some(disk) = resource.disk(self.work_dir)
                && !matches!(source, Source::Answer)
            {
                self.claims.checkpoint_disks.insert(disk);
            }
            self.volume(resource, source, effective);
        }
    }

    fn volume(&mut self, resource: &Resource, source: Source, effective: bool) {
        let Some(key) = resource.volume_key() else {
            return;
        };
        let claim = self.claims.volumes.entry(key).or_default();
        claim.sources.insert(source);
        claim.effective |= effective;
        claim.shared |= resource.shared;
        if let Some(disk) = resource.disk(self.work_dir) {
            let elsewhere = resource.provider_id.is_some()
                || resource
                    .source
                    .as_ref()
                    .is_some_and(|source| source.id.is_some());
            // What is only wanted has no place yet.
            if !elsewhere && source != Source::Operation {
                claim.homes.insert(disk.clone());
                if effective {
                    claim.effective_homes.insert(disk.clone());
                }
            }
            claim.disks.insert(disk);
        }
        if claim.size.is_none() {
            claim.size = resource.megabytes();
        }
        if claim.principal.is_none() {
            claim.principal = resource
                .persistence
                .as_ref()
                .and_then(|persistence| persistence.principal.clone());
        }
    }
}

fn operation_name(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "CREATE",
        OperationKind::Destroy => "DESTROY",
        OperationKind::Resize => "GROW or SHRINK",
        OperationKind::Other(_) => "operation",
    }
}

#[cfg(test)]
mod tests;
