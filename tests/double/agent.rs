//! One life of the agent: recovery, registration, and the order in which files and directories
//! change.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail, ensure};
use mesos_volumed::mesos::checkpoint::OperationContext;
use mesos_volumed::mesos::disk::{DiskRef, DiskType, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::state::{
    Operation, OperationKind, OperationState, ResourceState, SlaveInfo,
};
use mesos_volumed::units::{Megabytes, Raw};

use crate::answer;
use crate::control::{self, Disk, Order};
use crate::files;
use crate::flags::{self, Flags, Generation};
use crate::meta::Meta;

/// The running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) flags: Flags,
    /// The text of `--resources`.
    pub(crate) resources_text: String,
    /// `--resources`, and what was detected.
    pub(crate) total: Vec<Resource>,
    /// The agent id.
    pub(crate) id: String,
    /// Reserved disk and volumes.
    pub(crate) held: Vec<Resource>,
    operations: Vec<Operation>,
    meta: Meta,
}

/// What of a DESTROY happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    /// Data are deleted before the commit.
    Done,
    /// Data stay.
    Left,
}

/// Runs the agent until the process ends.
pub(crate) fn run(flags: Flags) -> anyhow::Result<()> {
    let recovery = std::time::Duration::try_from_secs_f64(flags.recovers_for)?;
    let server = answer::listen(&flags)?;
    let control = flags.control.clone();
    let agent = Arc::new(Mutex::new(
        Agent::start(flags).context("Failed to perform recovery")?,
    ));
    answer::serve(server, recovery, Arc::clone(&agent));
    say("Registered; orders are taken")?;
    control::serve(&control, &agent)
}

/// A line of the agent's log.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

impl Agent {
    /// Checks the disks, recovers what is checkpointed, and registers.
    fn start(flags: Flags) -> anyhow::Result<Self> {
        let resources_text = flags.resources_text()?;
        let total = flags::total(&resources_text)?;
        check_disks(&total)?;
        let meta = Meta::new(&flags.work_dir);
        let mut agent = Self {
            flags,
            resources_text,
            total,
            id: String::new(),
            held: Vec::new(),
            operations: Vec::new(),
            meta,
        };
        agent.recover()?;
        agent.register()?;
        agent.meta.boot_id()?;
        agent.retry_pending()?;
        Ok(agent)
    }

    /// A target that a crash left is carried out first.
    fn recover(&mut self) -> anyhow::Result<()> {
        let committed = match self.meta.state()? {
            Some(state) => state,
            None => ResourceState {
                operations: Vec::new(),
                resources: self.meta.info()?.unwrap_or_default(),
            },
        };
        self.held = committed.resources;
        self.operations = committed.operations;
        if let Some(target) = self.meta.state_target()? {
            let (old, new) = (self.places(&self.held), self.places(&target.resources));
            sync(&old, &new, Deletion::Done)?;
            self.meta.commit_state()?;
            self.held = target.resources;
            self.operations = target.operations;
            self.meta
                .commit_info()
                .context("Failed to rename target resources")?;
        }
        Ok(())
    }

    /// The agent id is kept while the agent's info is what it was.
    fn register(&mut self) -> anyhow::Result<()> {
        let info = SlaveInfo {
            hostname: Raw::from(self.flags.hostname.as_str()),
            port: i32::from(self.flags.port),
            resources: self.total.clone(),
        };
        if let Some(id) = self.meta.latest()? {
            let mut before = self.meta.slave_info(&id)?.resources;
            let mut now = info.resources;
            before.sort();
            now.sort();
            ensure!(
                before == now,
                "Incompatible agent info detected. --resources differs from the first registration"
            );
            self.id = id;
        } else {
            self.id = format!("{}-S0", uuid::Uuid::new_v4());
            self.meta.register(&self.id, &info)?;
        }
        Ok(())
    }

    fn retry_pending(&mut self) -> anyhow::Result<()> {
        let pending = |one: &Operation| one.state == OperationState::Pending;
        if self.operations.iter().any(pending) {
            self.finish(Deletion::Done)?;
        }
        Ok(())
    }

    fn work_dir(&self) -> Raw {
        Raw::from(self.flags.work_dir.as_path())
    }

    /// Carries out an order; an error says why it was refused, and nothing was changed.
    pub(crate) fn obey(&mut self, order: &Order) -> anyhow::Result<String> {
        match order {
            Order::Reserve { role, disk } => {
                self.may_reserve(disk)?;
                self.commit(with(&self.held, &[reserved(role, disk)?]))?;
            }
            Order::Unreserve { role, disk } => {
                self.commit(without(&self.held, &[reserved(role, disk)?])?)?;
            }
            Order::Create {
                volume,
                disk,
                container_path,
                principal,
            } => {
                let volume = self.new_volume(volume, disk, container_path, principal.as_deref())?;
                without(&self.held, &[plain_disk(&volume)])?;
                self.begin(OperationKind::Create, volume)?;
                self.finish(Deletion::Done)?;
            }
            Order::Destroy {
                volume,
                keep_data,
                pending_only,
            } => {
                let volume = self.volume(volume)?.clone();
                self.begin(OperationKind::Destroy, volume)?;
                if !pending_only {
                    let deletion = if *keep_data {
                        Deletion::Left
                    } else {
                        Deletion::Done
                    };
                    self.finish(deletion)?;
                }
            }
            Order::Finish => self.finish(Deletion::Done)?,
            Order::Acknowledge => {
                self.operations
                    .retain(|one| one.state == OperationState::Pending);
                self.checkpoint_operations()?;
            }
            Order::Launch { volume, task } => {
                self.meta.launch(&self.id, task, self.volume(volume)?)?;
            }
            Order::Kill { task } => self.meta.end_run(&self.id, task)?,
            Order::Show => return Ok(self.show()),
        }
        Ok(String::new())
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for one in &self.held {
            let what = one
                .volume_key()
                .map_or_else(|| "reserved".to_owned(), |key| key.to_string());
            let disk = one.disk(&self.work_dir());
            let disk = disk.map_or_else(String::new, |disk| disk.to_string());
            let size = one.megabytes().unwrap_or_default();
            text.extend([format!("{size}\t{disk}\t{what}\n")]);
        }
        for one in &self.operations {
            text.extend([format!("{:?}\t{:?}\t{}\n", one.kind, one.state, one.uuid)]);
        }
        text
    }

    fn volume(&self, name: &str) -> anyhow::Result<&Resource> {
        let key = key(name)?;
        self.held
            .iter()
            .find(|one| one.volume_key().as_ref() == Some(&key))
            .with_context(|| format!("Persistent volumes not found: {key}"))
    }

    fn new_volume(
        &self,
        name: &str,
        disk: &Disk,
        container_path: &str,
        principal: Option<&str>,
    ) -> anyhow::Result<Resource> {
        let key = key(name)?;
        ensure!(
            !self
                .held
                .iter()
                .any(|one| one.volume_key().as_ref() == Some(&key)),
            "volume {key} is there already"
        );
        let mut volume = reserved(&key.role.to_string(), disk)?;
        volume.persistence = Some(Persistence {
            id: key.id,
            principal: principal.map(Raw::from),
            container_path: Some(Raw::from(container_path)),
        });
        Ok(volume)
    }

    /// Only what `--resources` offers can be reserved; of a MOUNT disk all or nothing.
    fn may_reserve(&self, disk: &Disk) -> anyhow::Result<()> {
        let wanted = reserved("role", disk)?;
        let of_disk =
            |one: &&Resource| one.name.as_bytes() == b"disk" && one.source == wanted.source;
        let offered = sum(self.total.iter().filter(of_disk));
        let taken = sum(self.held.iter().filter(of_disk));
        let size = wanted.megabytes().unwrap_or_default();
        let whole = disk.disk.starts_with("MOUNT:");
        ensure!(
            taken.saturating_add(size) <= offered && (!whole || size == offered),
            "Insufficient disk resources on {}: {offered} offered, {taken} taken",
            disk.disk
        );
        Ok(())
    }

    /// An operation arrives: it is checkpointed as PENDING, the resources as they were.
    fn begin(&mut self, kind: OperationKind, volume: Resource) -> anyhow::Result<()> {
        self.operations.push(Operation {
            uuid: uuid::Uuid::new_v4().simple().to_string(),
            kind,
            state: OperationState::Pending,
            volumes: vec![volume],
        });
        self.checkpoint_operations()
    }

    /// Every pending operation ends.
    fn finish(&mut self, deletion: Deletion) -> anyhow::Result<()> {
        let mut held = self.held.clone();
        for operation in &mut self.operations {
            if operation.state != OperationState::Pending {
                continue;
            }
            let disks: Vec<Resource> = operation.volumes.iter().map(plain_disk).collect();
            held = match operation.kind {
                OperationKind::Create => with(&without(&held, &disks)?, &operation.volumes),
                OperationKind::Destroy => with(&without(&held, &operation.volumes)?, &disks),
                OperationKind::Resize | OperationKind::Other(_) => held,
            };
            operation.state = OperationState::Finished;
        }
        self.sync_checkpoint(held, deletion)
    }

    /// New resources without an operation that is worth a checkpoint.
    fn commit(&mut self, held: Vec<Resource>) -> anyhow::Result<()> {
        self.sync_checkpoint(held, Deletion::Done)
    }

    fn operations_on_disk(&self) -> ResourceState {
        ResourceState {
            operations: self.operations.clone(),
            resources: self.held.clone(),
        }
    }

    /// Only operations changed: the state alone, by way of its target.
    fn checkpoint_operations(&mut self) -> anyhow::Result<()> {
        match self.flags.as_version.generation {
            Generation::InfoOnly => Ok(()),
            Generation::Operations => {
                self.write_target()?;
                self.meta.commit_state()
            }
        }
    }

    fn write_target(&self) -> anyhow::Result<()> {
        self.meta.write_state_target(
            &self.operations_on_disk(),
            &OperationContext {
                agent_id: self.id.as_bytes(),
                status_uuid: *uuid::Uuid::new_v4().as_bytes(),
            },
        )
    }

    /// Resources changed. Since 1.9: both targets, then directories, then the commits. Before 1.0:
    /// the commit, then new directories; old ones stay for ever.
    fn sync_checkpoint(&mut self, held: Vec<Resource>, deletion: Deletion) -> anyhow::Result<()> {
        let (old, new) = (self.places(&self.held), self.places(&held));
        self.held = held;
        match self.flags.as_version.generation {
            Generation::InfoOnly => {
                self.operations.clear();
                self.meta.write_info(&self.held)?;
                sync(&old, &new, Deletion::Left)
            }
            Generation::Operations => {
                self.write_target()?;
                self.meta.write_info_target(&self.held)?;
                sync(&old, &new, deletion)?;
                self.meta.commit_info()?;
                self.meta.commit_state()
            }
        }
    }

    /// The directories of volumes, with whether the directory itself stays at a DESTROY.
    fn places(&self, resources: &[Resource]) -> BTreeMap<PathBuf, bool> {
        resources
            .iter()
            .filter_map(|one| {
                let (key, disk) = (one.volume_key()?, one.disk(&self.work_dir())?);
                Some(place(&key, &disk))
            })
            .collect()
    }
}

fn place(key: &VolumeKey, disk: &DiskRef) -> (PathBuf, bool) {
    match disk.kind {
        DiskType::Mount => (disk.root.as_path().to_owned(), true),
        DiskType::Root | DiskType::Path => (
            disk.root
                .join(paths::volume_directory(key))
                .as_path()
                .to_owned(),
            false,
        ),
    }
}

/// Makes what is new and deletes what is old, by path. An agent that can't do so exits.
fn sync(
    old: &BTreeMap<PathBuf, bool>,
    new: &BTreeMap<PathBuf, bool>,
    deletion: Deletion,
) -> anyhow::Result<()> {
    let done = || -> anyhow::Result<()> {
        for path in new.keys().filter(|path| !old.contains_key(*path)) {
            files::make(path)?;
        }
        for (path, keep_root) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
            match deletion {
                Deletion::Done => {
                    say(&format!(
                        "Deleting persistent volume at '{}'",
                        path.display()
                    ))?;
                    files::delete(path, *keep_root)?;
                }
                Deletion::Left => say(&format!("Leaving the data at '{}'", path.display()))?,
            }
        }
        Ok(())
    };
    done().or_else(|error| die(&error.context("Failed to sync checkpointed resources")))
}

#[expect(
    clippy::exit,
    reason = "so does the agent, at once and with targets in place"
)]
fn die(error: &anyhow::Error) -> anyhow::Result<()> {
    say(&format!("{error:#}"))?;
    std::process::exit(1)
}

/// The start-up checks of disks: PATH roots are made, MOUNT roots must be mounted.
fn check_disks(total: &[Resource]) -> anyhow::Result<()> {
    for source in total.iter().filter_map(|one| one.source.as_ref()) {
        let root = source.root.as_ref().context("a disk has a root")?.as_path();
        if source.kind == SourceType::Path {
            files::make(root)?;
        } else {
            ensure!(
                files::is_mounted(root)?,
                "Failed to find mount '{}' in /proc/mounts",
                root.display()
            );
        }
    }
    Ok(())
}

fn key(name: &str) -> anyhow::Result<VolumeKey> {
    let (role, id) = name
        .rsplit_once('/')
        .context("a volume is role/persistence-id")?;
    let key = VolumeKey::new(Role::new(role), PersistenceId::new(id));
    if let Some(fault) = key.role.fault().or_else(|| key.id.fault()) {
        bail!("{key} {fault}");
    }
    Ok(key)
}

/// Disk that is reserved dynamically.
fn reserved(role: &str, disk: &Disk) -> anyhow::Result<Resource> {
    let source = match disk.disk.split_once(':') {
        None if disk.disk == "ROOT" => None,
        Some(("PATH", root)) => Some(flags::disk_source(SourceType::Path, root)),
        Some(("MOUNT", root)) => Some(flags::disk_source(SourceType::Mount, root)),
        _ => bail!("a disk is ROOT, PATH:/root or MOUNT:/root"),
    };
    let size = Megabytes::from_f64(disk.size).context("--size is out of range")?;
    Ok(Resource {
        source,
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new(role),
            principal: None,
            labels: Vec::new(),
        }],
        ..flags::plain("disk", Value::Scalar(size))
    })
}

/// The disk that a volume is made of.
fn plain_disk(volume: &Resource) -> Resource {
    Resource {
        persistence: None,
        ..volume.clone()
    }
}

fn sum<'a>(resources: impl Iterator<Item = &'a Resource>) -> Megabytes {
    resources
        .filter_map(Resource::megabytes)
        .fold(Megabytes::default(), Megabytes::saturating_add)
}

/// Alike but for how much.
fn same_kind(a: &Resource, b: &Resource) -> bool {
    Resource {
        value: b.value.clone(),
        ..a.clone()
    } == *b
}

/// Adds; disk that is alike melts into one entry, but volumes and MOUNT disks never do.
fn with(held: &[Resource], more: &[Resource]) -> Vec<Resource> {
    let mut held = held.to_vec();
    for one in more {
        let melts = one.persistence.is_none()
            && one
                .source
                .as_ref()
                .is_none_or(|source| source.kind == SourceType::Path);
        match held.iter_mut().find(|other| melts && same_kind(other, one)) {
            Some(other) => other.value = Value::Scalar(sum([&*other, one].into_iter())),
            None => held.push(one.clone()),
        }
    }
    held
}

/// Subtracts; what is not there in this size is refused.
fn without(held: &[Resource], less: &[Resource]) -> anyhow::Result<Vec<Resource>> {
    let mut held = held.to_vec();
    for one in less {
        let size = one.megabytes().unwrap_or_default();
        let whole = one.persistence.is_some()
            || one
                .source
                .as_ref()
                .is_some_and(|source| source.kind == SourceType::Mount);
        let index = held
            .iter()
            .position(|other| {
                let have = other.megabytes().unwrap_or_default();
                same_kind(other, one) && if whole { have == size } else { have >= size }
            })
            .with_context(|| format!("nothing of {size} MB like this is reserved"))?;
        let have = held
            .get(index)
            .and_then(Resource::megabytes)
            .unwrap_or_default();
        let rest =
            Megabytes::from_thousandths(have.thousandths().saturating_sub(size.thousandths()));
        if rest == Megabytes::default() {
            held.remove(index);
        } else if let Some(other) = held.get_mut(index) {
            other.value = Value::Scalar(rest);
        }
    }
    Ok(held)
}

/// What is left unreserved of each offered resource.
pub(crate) fn unreserved(agent: &Agent) -> anyhow::Result<Vec<Resource>> {
    let taken: Vec<Resource> = agent
        .held
        .iter()
        .map(|one| Resource {
            reservations: Vec::new(),
            ..plain_disk(one)
        })
        .collect();
    let mut free: Vec<Resource> = agent
        .total
        .iter()
        .filter(|one| one.reservations.is_empty())
        .cloned()
        .collect();
    for one in &taken {
        free = without(&free, std::slice::from_ref(one))?;
    }
    Ok(free)
}
