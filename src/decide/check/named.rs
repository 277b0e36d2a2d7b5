//! Every volume that any source names, by the plainest reading.

use std::collections::BTreeSet;

use crate::decide::facts::{AgentAnswer, CheckpointFile, Facts, Operation, OperationState};
use crate::decide::memory::Memory;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::resource::Resource;

#[derive(Debug)]
pub(super) struct Named {
    all: BTreeSet<VolumeKey>,
    held: BTreeSet<VolumeKey>,
    tasks: BTreeSet<VolumeKey>,
    pending: BTreeSet<VolumeKey>,
    /// On which disks, by whomever.
    places: BTreeSet<(DiskRef, VolumeKey)>,
    /// On which disks, by the committed file that the agent believes.
    effective: BTreeSet<(DiskRef, VolumeKey)>,
    effective_keys: BTreeSet<VolumeKey>,
    effective_roles: BTreeSet<Role>,
}

impl Named {
    pub(super) fn read(facts: &Facts, memory: &Memory) -> Self {
        let checkpoint = &facts.checkpoint;
        let mut strong: Vec<&Resource> = Vec::new();
        let mut older: Vec<&Resource> = Vec::new();
        let mut wanted = in_the_agents_hands(facts);
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
                        wanted.extend(&operation.volumes);
                    }
                    OperationState::Finished | OperationState::Failed => {}
                }
            }
        }
        strong.extend(&wanted);
        let infos = [checkpoint.info.whole(), checkpoint.info_target.whole()];
        for resources in infos.into_iter().flatten() {
            if matches!(checkpoint.state, CheckpointFile::Missing) {
                strong.extend(resources);
            } else {
                older.extend(resources);
            }
        }
        if let AgentAnswer::State(state) = &facts.answer {
            strong.extend(&state.resources);
        }
        let effective: &[Resource] = match (&checkpoint.state, &checkpoint.info) {
            (CheckpointFile::Whole(state), _) => &state.resources,
            (CheckpointFile::Missing, CheckpointFile::Whole(resources)) => resources,
            (CheckpointFile::Missing | CheckpointFile::Empty | CheckpointFile::Damaged(_), _) => {
                &[]
            }
        };
        let state_target = checkpoint
            .state_target
            .whole()
            .map(|state| &state.resources);
        let info_target = match checkpoint.state {
            CheckpointFile::Missing => checkpoint.info_target.whole(),
            CheckpointFile::Whole(_) | CheckpointFile::Empty | CheckpointFile::Damaged(_) => None,
        };
        let targets = state_target.into_iter().chain(info_target).flatten();
        let keys = |resources: &[&Resource]| -> BTreeSet<VolumeKey> {
            resources
                .iter()
                .filter_map(|resource| resource.volume_key())
                .collect()
        };
        let work_dir = &facts.agent.work_dir;
        let place = |resource: &Resource| Some((resource.disk(work_dir)?, resource.volume_key()?));
        let tasks = tasks(facts);
        let released = released(facts, memory);
        let mut held = keys(&strong);
        held.extend(tasks.iter().cloned());
        let mut all = held.clone();
        for key in keys(&older) {
            if !released.contains(&key) {
                held.insert(key.clone());
            }
            all.insert(key);
        }
        Self {
            all,
            held,
            tasks,
            pending: keys(&wanted),
            places: strong
                .iter()
                .chain(&older)
                .filter_map(|resource| place(resource))
                .collect(),
            // A provider's volumes, and those with a source.id, lie elsewhere.
            effective: effective
                .iter()
                .filter(|resource| {
                    let id = resource
                        .source
                        .as_ref()
                        .and_then(|source| source.id.as_ref());
                    resource.provider_id.is_none() && id.is_none()
                })
                .filter_map(place)
                .collect(),
            effective_keys: keys(&effective.iter().collect::<Vec<_>>()),
            effective_roles: effective
                .iter()
                .chain(targets)
                .filter_map(Resource::role)
                .cloned()
                .collect(),
        }
    }

    /// Whether somebody names it; the older file alone no more once its claim is released.
    pub(super) fn holds(&self, key: &VolumeKey) -> bool {
        self.held.contains(key)
    }

    /// Whether anything names it, in whatever file.
    pub(super) fn names(&self, key: &VolumeKey) -> bool {
        self.all.contains(key)
    }

    pub(super) fn by_task(&self, key: &VolumeKey) -> bool {
        self.tasks.contains(key)
    }

    pub(super) fn pending(&self, key: &VolumeKey) -> bool {
        self.pending.contains(key)
    }

    /// Whether any volume is named on this disk.
    pub(super) fn on_disk(&self, disk: &DiskRef) -> bool {
        self.volumes_on(disk).next().is_some()
    }

    pub(super) fn volumes_on<'a>(
        &'a self,
        disk: &'a DiskRef,
    ) -> impl Iterator<Item = &'a VolumeKey> {
        self.places
            .iter()
            .filter(move |(on, _)| on == disk)
            .map(|(_, key)| key)
    }

    pub(super) fn effective_volumes_on<'a>(
        &'a self,
        disk: &'a DiskRef,
    ) -> impl Iterator<Item = &'a VolumeKey> {
        self.effective
            .iter()
            .filter(move |(on, _)| on == disk)
            .map(|(_, key)| key)
    }

    /// Every disk with a volume that is named on it.
    pub(super) fn places(&self) -> impl Iterator<Item = &(DiskRef, VolumeKey)> {
        self.places.iter()
    }

    /// Whether the file that the agent believes names it, on whatever disk.
    pub(super) fn effective_somewhere(&self, key: &VolumeKey) -> bool {
        self.effective_keys.contains(key)
    }

    pub(super) fn effective_on(&self, key: &VolumeKey, disk: &DiskRef) -> bool {
        self.effective.contains(&(disk.clone(), key.clone()))
    }

    /// Whether an answer with these roles shows every role of the checkpoint.
    pub(super) fn shown(&self, roles: &BTreeSet<Role>) -> bool {
        self.effective_roles.is_subset(roles)
    }
}

/// Volumes whose claim by the older file alone the running agent has not borne out for the grace.
fn released<'a>(facts: &Facts, memory: &'a Memory) -> BTreeSet<&'a VolumeKey> {
    let answered = matches!(facts.answer, AgentAnswer::State(_));
    memory
        .stale
        .iter()
        .filter(|entry| answered && memory.clock.lived.minus(entry.since) >= facts.policy.grace)
        .map(|entry| &entry.key)
        .collect()
}

/// What the agent's own operations that are not at their end do something to.
fn in_the_agents_hands(facts: &Facts) -> Vec<&Resource> {
    let open =
        |one: &&Operation| matches!(one.state, OperationState::Pending | OperationState::Unclear);
    match &facts.answer {
        AgentAnswer::State(state) => {
            let open = state.operations.iter().filter(open);
            open.flat_map(|one| &one.volumes).collect()
        }
        AgentAnswer::NotConfigured
        | AgentAnswer::Refused
        | AgentAnswer::Recovering
        | AgentAnswer::Unknown(_) => Vec::new(),
    }
}

fn tasks(facts: &Facts) -> BTreeSet<VolumeKey> {
    let mut tasks = BTreeSet::new();
    if let Some(files) = facts.tasks.known() {
        tasks.extend(files.iter().flat_map(|task| task.volumes.iter().cloned()));
    }
    if let AgentAnswer::State(state) = &facts.answer {
        tasks.extend(
            state
                .tasks
                .iter()
                .flat_map(|task| task.volumes.iter().cloned()),
        );
    }
    tasks
}
