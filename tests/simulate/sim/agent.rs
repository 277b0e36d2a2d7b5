//! The agent: what it holds, the files that it keeps, and in which order each generation writes them.

use std::collections::{BTreeMap, BTreeSet};

use mesos_volumed::decide::facts::AgentRun;
use mesos_volumed::mesos::checkpoint::{
    Content, Form, OperationContext, decode_info, decode_state, encode_info, encode_state,
};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::{Resource, Value};
use mesos_volumed::mesos::state::{
    AgentVersion, Operation, OperationKind, OperationState, ResourceState,
};
use mesos_volumed::sys::OpenError;
use mesos_volumed::units::Megabytes;

use super::builder::{a_reservation, a_volume, uuid};
use super::world::{Life, World, roots};

/// How an agent keeps what it holds (F§4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Generation {
    /// 0.28: never deletes.
    V0_28,
    /// 1.0: commits, then deletes; what fails is logged.
    V1_0,
    /// 1.1: `resources.target`, directories, rename.
    V1_1,
    /// 1.6: the same; volumes grow.
    V1_6,
    /// 1.8: `.state` first, no target of it.
    V1_8,
    /// 1.9: both targets.
    V1_9,
}

impl Generation {
    pub(crate) const ALL: [Self; 6] = [
        Self::V1_9,
        Self::V1_8,
        Self::V1_6,
        Self::V1_1,
        Self::V1_0,
        Self::V0_28,
    ];

    pub(crate) fn version(self) -> AgentVersion {
        let (major, minor) = match self {
            Self::V0_28 => (0, 28),
            Self::V1_0 => (1, 0),
            Self::V1_1 => (1, 1),
            Self::V1_6 => (1, 6),
            Self::V1_8 => (1, 8),
            Self::V1_9 => (1, 9),
        };
        AgentVersion {
            major,
            minor,
            patch: 0,
        }
    }
}

/// The agent's process, and what it has in memory.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) running: bool,
    /// It answers 503.
    pub(crate) recovering: bool,
    pub(crate) generation: Generation,
    pub(crate) total: Vec<Resource>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) run: Option<AgentRun>,
    pub(crate) runs: u64,
    pub(crate) pid: i32,
    pub(crate) next_operation: u32,
    /// It can't read one of the entries that it deletes.
    pub(crate) blind: bool,
    /// It deletes nothing.
    pub(crate) keeps: bool,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self {
            running: false,
            recovering: false,
            generation: Generation::V1_9,
            total: vec![a_reservation("other")],
            operations: Vec::new(),
            run: None,
            runs: 0,
            pid: 0,
            next_operation: 1,
            blind: false,
            keeps: false,
        }
    }

    pub(crate) fn holds(&self, key: &VolumeKey) -> bool {
        self.total
            .iter()
            .any(|resource| resource.volume_key().as_ref() == Some(key))
    }
}

/// One thing that an agent does on its way, between two of which it may crash.
#[derive(Clone, Debug)]
enum Write {
    File(&'static str, Vec<u8>),
    Commit(&'static str, &'static str),
    /// Directories are made and deleted; whether a failure ends the agent.
    Directories {
        fatal: bool,
        delete: bool,
    },
}

fn state_bytes(resources: &[Resource], operations: &[Operation]) -> Vec<u8> {
    let state = ResourceState {
        operations: operations.to_vec(),
        resources: resources.to_vec(),
    };
    let context = OperationContext {
        agent_id: b"agent-S0",
        status_uuid: [7; 16],
    };
    encode_state(&state, &context).unwrap()
}

fn info_bytes(resources: &[Resource]) -> Vec<u8> {
    encode_info(resources, Form::Pre).unwrap()
}

/// The volumes' places: which root, and for which volume.
fn places(resources: &[Resource]) -> BTreeMap<(usize, VolumeKey), usize> {
    let all = roots();
    let work_dir = &all[0].root;
    resources
        .iter()
        .filter_map(|resource| {
            let key = resource.volume_key()?;
            let disk = resource.disk(work_dir)?;
            let root = all.iter().position(|root| *root == disk)?;
            Some(((root, key), root))
        })
        .collect()
}

impl World {
    /// The agent crashes, or is stopped; its tasks live on.
    pub(crate) fn agent_dies(&mut self) {
        self.agent.running = false;
        self.agent.recovering = false;
    }

    /// The agent starts: it checks its disks, recovers what its files say, and ends what a crash left
    /// half done. Whether it came up.
    pub(crate) fn agent_start(&mut self) -> bool {
        if self.agent.running {
            return true;
        }
        // PATH roots are made, MOUNT roots must be mounted (F§1.4).
        for root in roots() {
            let text = root.root.to_string();
            match root.kind {
                DiskType::Path => {
                    self.mkdirs(&text);
                }
                DiskType::Mount if self.mount_at(&text).is_none() => return false,
                DiskType::Mount | DiskType::Root => {}
            }
        }
        if self.resolve(roots()[0].root.as_bytes()).is_err() {
            return false;
        }
        if !self.recover() {
            return false;
        }
        self.agent.runs += 1;
        self.agent.run = Some(AgentRun {
            boot_id: self.boot_id().into(),
            inode: 1000 + self.agent.runs,
            mtime_nanos: i64::try_from(self.agent.runs).unwrap_or(0) * 1_000_000_000,
        });
        self.agent.pid = self.pid();
        self.agent.running = true;
        self.note_named();
        true
    }

    pub(crate) fn boot_id(&self) -> String {
        format!("0b0a7d52-32b5-4e3a-8b52-{:012x}", self.boot)
    }

    /// `None`: damaged. An empty state is nothing at all.
    fn read_state(&self, file: &'static str) -> Option<Option<ResourceState>> {
        match self.meta.get(file) {
            None => Some(None),
            Some(bytes) => match decode_state(bytes) {
                Ok(Content::Whole(state)) => Some(Some(state)),
                Ok(Content::Empty) => Some(Some(ResourceState::default())),
                Err(_) => None,
            },
        }
    }

    fn read_info(&self, file: &'static str) -> Option<Option<Vec<Resource>>> {
        match self.meta.get(file) {
            None => Some(None),
            Some(bytes) => match decode_info(bytes) {
                Ok(Content::Whole(resources)) => Some(Some(resources)),
                Ok(Content::Empty) => Some(Some(Vec::new())),
                Err(_) => None,
            },
        }
    }

    fn recover(&mut self) -> bool {
        let generation = self.agent.generation;
        let (Some(state), Some(state_target), Some(info), Some(info_target)) = (
            self.read_state(paths::STATE),
            self.read_state(paths::STATE_TARGET),
            self.read_info(paths::INFO),
            self.read_info(paths::INFO_TARGET),
        ) else {
            // --strict: it says why, and ends.
            return false;
        };
        let reserved = vec![a_reservation("other")];
        let (mut total, mut operations, mut target) = match generation {
            Generation::V0_28 | Generation::V1_0 => (info.unwrap_or(reserved), Vec::new(), None),
            Generation::V1_1 | Generation::V1_6 => {
                let target = info.is_some().then_some(info_target).flatten();
                (
                    info.unwrap_or(reserved),
                    Vec::new(),
                    target.map(|resources| (resources, Vec::new())),
                )
            }
            Generation::V1_8 => match state {
                Some(state) => (state.resources, state.operations, None),
                None => {
                    let target = info.is_some().then_some(info_target).flatten();
                    (
                        info.unwrap_or(reserved),
                        Vec::new(),
                        target.map(|resources| (resources, Vec::new())),
                    )
                }
            },
            Generation::V1_9 => match (state, info) {
                (Some(state), _) => (
                    state.resources,
                    state.operations,
                    state_target.map(|target| (target.resources, target.operations)),
                ),
                (None, Some(info)) => (
                    info,
                    Vec::new(),
                    info_target.map(|resources| (resources, Vec::new())),
                ),
                (None, None) => (reserved, Vec::new(), None),
            },
        };
        if let Some((resources, pending)) = target.take() {
            if self.directories(&total, &resources, true).is_err() {
                return false;
            }
            total = resources;
            operations = pending;
            let moved_state =
                generation >= Generation::V1_9 && self.commit(paths::STATE_TARGET, paths::STATE);
            let moved_info = self.commit(paths::INFO_TARGET, paths::INFO);
            if generation >= Generation::V1_9 && !(moved_state && moved_info) {
                // One failed start (F§3.4); the next one works, or somebody moves the file away.
                if !moved_state {
                    self.meta.remove(paths::INFO_TARGET);
                }
                return false;
            }
        }
        self.agent.total = total;
        self.agent.operations = operations;
        // What was pending is carried out (F§3.4).
        let pending: Vec<Operation> = self
            .agent
            .operations
            .iter()
            .filter(|operation| operation.state == OperationState::Pending)
            .cloned()
            .collect();
        self.agent
            .operations
            .retain(|operation| operation.state != OperationState::Pending);
        let mut again = Vec::new();
        for operation in pending {
            if operation.kind == OperationKind::Destroy {
                let keys: Vec<VolumeKey> = operation
                    .volumes
                    .iter()
                    .filter_map(Resource::volume_key)
                    .collect();
                for key in keys {
                    if let Some(life) = self.life_of(&key) {
                        again.push(life);
                    }
                }
            }
            let new = applied(&self.agent.total, &operation);
            self.agent.running = true;
            let done = self.sync_checkpoint(new, Some(operation), usize::MAX, true);
            self.agent.running = false;
            if !done {
                return false;
            }
        }
        for life in again {
            self.lives[life].destroyed = true;
        }
        true
    }

    fn commit(&mut self, target: &'static str, file: &'static str) -> bool {
        match self.meta.remove(target) {
            Some(bytes) => {
                self.meta.insert(file, bytes);
                true
            }
            None => false,
        }
    }

    /// Makes what is new and deletes what is no more, by path.
    fn directories(&mut self, old: &[Resource], new: &[Resource], delete: bool) -> Result<(), ()> {
        let (old, new) = (places(old), places(new));
        let old_keys: BTreeSet<_> = old.keys().collect();
        let made: Vec<_> = new.keys().filter(|key| !old_keys.contains(key)).collect();
        for (root, key) in made {
            let path = World::volume_path(*root, key).to_string();
            let life = self.life_of(key);
            let spot = self.volume_spot(*root, key);
            if let (Some(spot), Some(life)) = (spot, life) {
                self.exposed(spot, life, &path, "a CREATE took over what lay there");
            }
            // Whatever has the name is taken as it is, a link as well (F§3.2).
            let is_link = self.resolve(path.as_bytes()) == Err(OpenError::Symlink);
            if !is_link && self.mkdirs(&path).is_none() {
                return Err(());
            }
        }
        if !delete || self.agent.keeps {
            return Ok(());
        }
        let gone: Vec<_> = old
            .keys()
            .filter(|key| !new.contains_key(*key))
            .cloned()
            .collect();
        for (root, key) in gone {
            let path = World::volume_path(root, &key);
            if let Some(spot) = self.volume_spot(root, &key) {
                if self.agent.blind && roots()[root].kind == DiskType::Mount {
                    // A top-level entry that can't be read: nothing notices (F§3.3).
                    self.oracle.cause("O12");
                    continue;
                }
                self.delete_in(spot.disk, spot.ino)?;
                if roots()[root].kind != DiskType::Mount {
                    let bytes = path.as_bytes();
                    let cut = bytes.iter().rposition(|byte| *byte == b'/').ok_or(())?;
                    let parent = self.resolve(&bytes[..cut]).map_err(|_| ())?;
                    self.disks[parent.disk]
                        .rmdir(parent.ino, &bytes[cut + 1..])
                        .map_err(|_| ())?;
                }
            }
        }
        Ok(())
    }

    /// As the agent's `fts` walk: to the first error.
    fn delete_in(&mut self, disk: usize, dir: u64) -> Result<(), ()> {
        let entries = self.disks[disk].entries(dir).map_err(|_| ())?.clone();
        for (name, ino) in entries {
            if self.disks[disk].entries(ino).is_ok() {
                if self.mounted_on(disk, ino).is_some() {
                    return Err(());
                }
                self.delete_in(disk, ino)?;
                self.disks[disk].rmdir(dir, &name).map_err(|_| ())?;
            } else {
                self.disks[disk].unlink(dir, &name).map_err(|_| ())?;
            }
        }
        Ok(())
    }

    /// Resources changed: files and directories follow in this generation's order, and the agent
    /// crashes after so many steps. Whether it came to the end.
    pub(crate) fn sync_checkpoint(
        &mut self,
        new: Vec<Resource>,
        operation: Option<Operation>,
        crash_after: usize,
        acknowledged: bool,
    ) -> bool {
        let old = self.agent.total.clone();
        let with = |state: OperationState| -> Vec<Operation> {
            let one = operation.clone().map(|one| Operation { state, ..one });
            self.agent.operations.iter().cloned().chain(one).collect()
        };
        let (pending, finished) = (
            with(OperationState::Pending),
            with(OperationState::Finished),
        );
        let kept = if acknowledged {
            self.agent.operations.clone()
        } else {
            finished.clone()
        };
        let directories = |fatal, delete| Write::Directories { fatal, delete };
        let info = info_bytes(&new);
        let steps: Vec<Write> = match self.agent.generation {
            Generation::V0_28 => vec![Write::File(paths::INFO, info), directories(false, false)],
            Generation::V1_0 => vec![Write::File(paths::INFO, info), directories(false, true)],
            Generation::V1_1 | Generation::V1_6 => vec![
                Write::File(paths::INFO_TARGET, info),
                directories(true, true),
                Write::Commit(paths::INFO_TARGET, paths::INFO),
            ],
            Generation::V1_8 => vec![
                Write::File(paths::STATE, state_bytes(&old, &pending)),
                Write::File(paths::STATE, state_bytes(&new, &finished)),
                Write::File(paths::INFO_TARGET, info),
                directories(true, true),
                Write::Commit(paths::INFO_TARGET, paths::INFO),
                Write::File(paths::STATE, state_bytes(&new, &kept)),
            ],
            Generation::V1_9 => vec![
                Write::File(paths::STATE_TARGET, state_bytes(&old, &pending)),
                Write::Commit(paths::STATE_TARGET, paths::STATE),
                Write::File(paths::STATE_TARGET, state_bytes(&new, &finished)),
                Write::File(paths::INFO_TARGET, info),
                directories(true, true),
                Write::Commit(paths::INFO_TARGET, paths::INFO),
                Write::Commit(paths::STATE_TARGET, paths::STATE),
                Write::File(paths::STATE_TARGET, state_bytes(&new, &kept)),
                Write::Commit(paths::STATE_TARGET, paths::STATE),
            ],
        };
        for (number, step) in steps.into_iter().enumerate() {
            if number == crash_after {
                self.agent_dies();
                return false;
            }
            match step {
                Write::File(file, bytes) => {
                    self.meta.insert(file, bytes);
                }
                Write::Commit(target, file) => {
                    self.commit(target, file);
                }
                Write::Directories { fatal, delete } => {
                    if self.directories(&old, &new, delete).is_err() && fatal {
                        self.agent_dies();
                        return false;
                    }
                }
            }
        }
        self.agent.total = new;
        if self.agent.generation >= Generation::V1_8 {
            self.agent.operations = kept;
        }
        true
    }

    fn operation(&mut self, kind: OperationKind, volume: &Resource) -> Operation {
        self.agent.next_operation += 1;
        Operation {
            uuid: uuid(self.agent.next_operation),
            kind,
            state: OperationState::Pending,
            volumes: vec![volume.clone()],
        }
    }

    /// CREATE: whether it began.
    pub(crate) fn create(
        &mut self,
        root: usize,
        key: &VolumeKey,
        crash_after: usize,
        acknowledged: bool,
    ) -> bool {
        let disk = &roots()[root];
        let taken = disk.kind == DiskType::Mount
            && places(&self.agent.total).values().any(|at| *at == root);
        if !self.agent.running || self.agent.holds(key) || taken {
            return false;
        }
        let volume = a_volume(disk, key);
        let operation = self.operation(OperationKind::Create, &volume);
        let mut new = self.agent.total.clone();
        new.push(volume);
        self.lives.push(Life {
            key: key.clone(),
            root,
            destroyed: false,
            condemned: false,
            named_at: self.passed,
            files: 0,
        });
        self.sync_checkpoint(new, Some(operation), crash_after, acknowledged);
        self.note_named();
        true
    }

    /// DESTROY: whether it began.
    pub(crate) fn destroy(
        &mut self,
        key: &VolumeKey,
        crash_after: usize,
        acknowledged: bool,
    ) -> bool {
        let volume = self
            .agent
            .total
            .iter()
            .find(|resource| resource.volume_key().as_ref() == Some(key))
            .cloned();
        let (true, Some(volume)) = (self.agent.running, volume) else {
            return false;
        };
        // Mesos destroys no volume that a task uses.
        if self.tasks.iter().any(|task| task.key == *key) {
            return false;
        }
        let operation = self.operation(OperationKind::Destroy, &volume);
        let new = applied(&self.agent.total, &operation);
        if let Some(life) = self.life_of(key) {
            self.note_named();
            self.lives[life].destroyed = true;
            // With all that its CREATE took over.
            let root = self.lives[life].root;
            if let Some(spot) = self.volume_spot(root, key) {
                for other in self.owners_in(spot) {
                    self.lives[other].destroyed = true;
                }
            } else {
                // Its disk is away.
                let took = |other: &&mut Life| other.key == *key && other.root == root;
                for other in self.lives.iter_mut().filter(took) {
                    other.destroyed = true;
                }
            }
        }
        self.sync_checkpoint(new, Some(operation), crash_after, acknowledged);
        true
    }

    /// GROW_VOLUME: metadata alone.
    pub(crate) fn grow(&mut self, key: &VolumeKey, crash_after: usize) -> bool {
        if !self.agent.running || self.agent.generation < Generation::V1_6 {
            return false;
        }
        let mut new = self.agent.total.clone();
        let Some(volume) = new
            .iter_mut()
            .find(|resource| resource.volume_key().as_ref() == Some(key))
        else {
            return false;
        };
        volume.value = Value::Scalar(Megabytes::whole(1024));
        self.sync_checkpoint(new, None, crash_after, true);
        true
    }
}

/// Resources after an operation.
fn applied(total: &[Resource], operation: &Operation) -> Vec<Resource> {
    let names = |resource: &Resource| {
        operation
            .volumes
            .iter()
            .any(|volume| volume.volume_key() == resource.volume_key())
    };
    let mut new: Vec<Resource> = total.to_vec();
    match operation.kind {
        OperationKind::Destroy => {
            new.retain(|resource| resource.volume_key().is_none() || !names(resource));
        }
        OperationKind::Create => {
            let missing = !total
                .iter()
                .any(|resource| resource.volume_key().is_some() && names(resource));
            if missing {
                new.extend(operation.volumes.iter().cloned());
            }
        }
        OperationKind::Resize | OperationKind::Other(_) => {}
    }
    new
}
