//! One life of the agent: what it holds, and the orders that change it.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::mesos::resource::{Persistence, Resource, Value};
use mesos_volumed::mesos::state::{Operation, OperationKind, OperationState};
use mesos_volumed::units::{Megabytes, Raw};

use super::change::Change;
use super::control::{self, Disk, Order};
use super::files;
use super::flags::{self, Flags};
use super::http::{self, Faults, Serving};
use super::meta::Meta;
use super::resources::{self, bare, is_checkpointed, reserved, with, without};
use super::steps::Step;
use super::{answer, register};

/// The framework of tasks that an order launches.
pub(crate) const FRAMEWORK: &str = "53ab8732-fd96-11e5-8e70-76a1c19f8c3d-0000";

/// The running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) flags: Flags,
    /// The text of `--resources`.
    pub(crate) resources_text: String,
    /// `--resources`, and what was detected.
    pub(crate) flagged: Vec<Resource>,
    /// The agent id.
    pub(crate) id: String,
    /// All resources: what is unreserved, what is reserved, and volumes.
    pub(crate) total: Vec<Resource>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) tasks: Vec<Task>,
    /// Resource providers and what they have.
    pub(crate) providers: Vec<Provider>,
    pub(super) meta: Meta,
    /// The step after which it crashes.
    pub(super) crash_after: Option<Step>,
    /// It crashed; nothing is done or answered any more.
    pub(crate) dead: bool,
}

/// A running task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) framework: String,
    pub(crate) container: String,
    pub(crate) resources: Vec<Resource>,
}

/// A resource provider.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) resources: Vec<Resource>,
}

/// What of a DESTROY happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// Data are deleted as this version does it.
    Done,
    /// Data stay.
    Left,
}

/// An agent that answers; it ends when this is dropped, without any further write.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) agent: Arc<Mutex<Agent>>,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) port: u16,
    _serving: Serving,
}

impl Running {
    /// Starts an agent; it listens, recovers, and registers with its master.
    pub(crate) fn start(flags: Flags) -> anyhow::Result<Self> {
        let recovery = std::time::Duration::try_from_secs_f64(flags.recovers_for)?;
        let server = http::listen(&flags.ip, flags.port)?;
        let port = http::port(&server);
        say(&format!(
            "Mesos agent started on (1)@{}",
            server.server_addr()
        ))?;
        let flags = Flags { port, ..flags };
        let faults = Arc::new(Mutex::new(flags.faults.clone()));
        let agent = Agent::start(flags).context("Failed to perform recovery")?;
        let agent = Arc::new(Mutex::new(agent));
        let serving = answer::serve(server, recovery, &agent, &faults);
        register::keep_registered(&agent, recovery);
        Ok(Self {
            agent,
            faults,
            port,
            _serving: serving,
        })
    }

    /// Carries out one order.
    pub(crate) fn order(&self, order: &Order) -> anyhow::Result<String> {
        if let Order::Faults { json } = order {
            let faults: Faults = serde_json::from_str(json)?;
            *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
            return Ok(String::new());
        }
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(!agent.dead, "the agent has ended");
        agent.obey(order)
    }

    /// Whether it crashed.
    pub(crate) fn is_dead(&self) -> bool {
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        agent.dead
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        agent.dead = true;
    }
}

/// Runs the agent until the process ends.
pub(crate) fn run(flags: Flags) -> anyhow::Result<()> {
    log();
    let control = flags.control.clone();
    let running = Running::start(flags)?;
    say("Registered; orders are taken")?;
    control::serve(&control, &running)
}

/// Only a program of its own has a log; inside of a test nothing is said.
static LOGS: AtomicBool = AtomicBool::new(false);

/// From now on the log is written.
pub(crate) fn log() {
    LOGS.store(true, Ordering::Relaxed);
}

/// A line of the log.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    if !LOGS.load(Ordering::Relaxed) {
        return Ok(());
    }
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

impl Agent {
    /// Checks the disks, recovers what is checkpointed, and registers.
    fn start(flags: Flags) -> anyhow::Result<Self> {
        let mut agent = Self::new(flags)?;
        super::recovery::check_disks(&agent.flagged)?;
        agent.recover()?;
        Ok(agent)
    }

    /// An agent that has not looked at a disk yet.
    pub(crate) fn new(flags: Flags) -> anyhow::Result<Self> {
        let resources_text = flags.resources_text()?;
        let flagged = flags::total(&resources_text)?;
        let meta = Meta::new(&flags);
        Ok(Self {
            crash_after: flags.crash_after,
            flags,
            resources_text,
            total: flagged.clone(),
            flagged,
            id: String::new(),
            operations: Vec::new(),
            tasks: Vec::new(),
            providers: Vec::new(),
            meta,
            dead: false,
        })
    }

    /// What is checkpointed of all resources.
    pub(crate) fn held(&self) -> Vec<Resource> {
        self.total
            .iter()
            .filter(|one| is_checkpointed(one))
            .cloned()
            .collect()
    }

    /// Resources of `--resources` with these checkpointed ones in them.
    pub(super) fn total_with(&self, held: &[Resource]) -> anyhow::Result<Vec<Resource>> {
        let bare: Vec<Resource> = held.iter().map(bare).collect();
        let rest = without(&self.flagged, &bare).with_context(|| {
            format!(
                "Checkpointed resources {} are incompatible with agent resources {}",
                resources::texts(held),
                resources::texts(&self.flagged)
            )
        })?;
        Ok(with(&rest, held))
    }

    /// Where the volumes of ROOT are.
    pub(crate) fn work_dir(&self) -> Raw {
        Raw::from(self.flags.work_dir.as_path())
    }

    /// Carries out an order; an error says why it was refused, and nothing was changed.
    pub(crate) fn obey(&mut self, order: &Order) -> anyhow::Result<String> {
        match order {
            Order::Reserve { role, disk } => {
                let one = reserved(role, &disk.disk, disk.size)?;
                self.apply(&Change::Reserve(vec![one]), Deletion::Done)?;
            }
            Order::Unreserve { role, disk } => {
                let one = reserved(role, &disk.disk, disk.size)?;
                self.apply(&Change::Unreserve(vec![one]), Deletion::Done)?;
            }
            Order::Create {
                volume,
                disk,
                container_path,
                principal,
            } => {
                let volume = self.new_volume(volume, disk, container_path, principal.as_deref())?;
                self.apply(&Change::Create(vec![volume]), Deletion::Done)?;
            }
            Order::Destroy {
                volume,
                keep_data,
                pending_only,
            } => {
                let change = Change::Destroy(vec![self.volume(volume)?.clone()]);
                if *pending_only {
                    self.begin(&change)?;
                } else if *keep_data {
                    self.apply(&change, Deletion::Left)?;
                } else {
                    self.apply(&change, Deletion::Done)?;
                }
            }
            Order::CreatePending {
                volume,
                disk,
                container_path,
            } => {
                let volume = self.new_volume(volume, disk, container_path, None)?;
                self.begin(&Change::Create(vec![volume]))?;
            }
            Order::Apply { change } => {
                let before = self.operations.len();
                self.apply(change, Deletion::Done)?;
                let new = self.operations.iter().skip(before);
                let uuids: Vec<&str> = new.map(|one| one.uuid.as_str()).collect();
                return Ok(uuids.join(" "));
            }
            Order::Checkpoint { resources } => {
                let total = self.total_with(resources)?;
                self.sync_checkpoint(total, Deletion::Done)?;
            }
            Order::Finish => self.finish(Deletion::Done)?,
            Order::Acknowledge { operations } => {
                self.operations.retain(|one| {
                    one.state == OperationState::Pending
                        || !(operations.is_empty() || operations.contains(&one.uuid))
                });
                self.checkpoint_operations()?;
            }
            Order::Launch { volume, task } => {
                let resources = vec![self.volume(volume)?.clone()];
                self.launch(task, FRAMEWORK, resources)?;
            }
            Order::LaunchTask {
                task,
                framework,
                resources,
            } => self.launch(task, framework, resources.clone())?,
            Order::Kill { task } => self.kill(task)?,
            Order::Provide {
                provider,
                disk,
                volume,
            } => self.provide(provider, disk, volume)?,
            Order::CrashAfter { step } => self.crash_after = Some(*step),
            Order::DeletePause { microseconds } => self.flags.delete_pause = *microseconds,
            Order::Faults { .. } => bail!("faults are no order to the agent itself"),
            Order::Show => return Ok(self.show()),
        }
        Ok(String::new())
    }

    fn launch(
        &mut self,
        task: &str,
        framework: &str,
        resources: Vec<Resource>,
    ) -> anyhow::Result<()> {
        let container = uuid::Uuid::new_v4().to_string();
        self.meta
            .launch(&self.id, framework, task, &container, &resources)?;
        self.tasks.push(Task {
            id: task.to_owned(),
            framework: framework.to_owned(),
            container,
            resources,
        });
        Ok(())
    }

    fn kill(&mut self, task: &str) -> anyhow::Result<()> {
        let framework = self
            .tasks
            .iter()
            .find(|one| one.id == task)
            .map_or(FRAMEWORK, |one| &one.framework)
            .to_owned();
        self.tasks.retain(|one| one.id != task);
        self.meta.end_run(&self.id, &framework, task)
    }

    fn provide(&mut self, provider: &str, disk: &Disk, volume: &str) -> anyhow::Result<()> {
        let id = uuid::Uuid::new_v4().to_string();
        let volume = Resource {
            provider_id: Some(Raw::from(id.as_str())),
            ..self.new_volume(volume, disk, "data", None)?
        };
        self.meta
            .write_provider(&self.id, provider, &id, std::slice::from_ref(&volume))?;
        self.providers.push(Provider {
            name: provider.to_owned(),
            id,
            resources: vec![volume],
        });
        Ok(())
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for one in &self.held() {
            let reserved = || {
                let role = one.role().map_or_else(String::new, ToString::to_string);
                format!("reserved to {role}")
            };
            let what = one
                .volume_key()
                .map_or_else(reserved, |key| key.to_string());
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
        self.total
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
                .total
                .iter()
                .any(|one| one.volume_key().as_ref() == Some(&key)),
            "volume {key} is there already"
        );
        let mut volume = reserved(&key.role.to_string(), &disk.disk, disk.size)?;
        volume.persistence = Some(Persistence {
            id: key.id,
            principal: principal.map(Raw::from),
            container_path: Some(Raw::from(container_path)),
        });
        Ok(volume)
    }

    /// An operation arrives, and is carried out.
    fn apply(&mut self, change: &Change, deletion: Deletion) -> anyhow::Result<()> {
        let total = change.apply(&self.total)?;
        if change.kind().is_some() {
            self.begin(change)?;
            self.finish(deletion)
        } else {
            self.sync_checkpoint(total, deletion)
        }
    }

    /// An operation arrives: it is checkpointed as PENDING, the resources as they were.
    fn begin(&mut self, change: &Change) -> anyhow::Result<()> {
        change.apply(&self.total)?;
        self.operations.push(Operation {
            uuid: uuid::Uuid::new_v4().simple().to_string(),
            kind: change
                .kind()
                .context("only CREATE and DESTROY stay pending")?,
            state: OperationState::Pending,
            volumes: change.resources().to_vec(),
        });
        self.checkpoint_operations()
    }

    /// Every pending operation ends.
    pub(super) fn finish(&mut self, deletion: Deletion) -> anyhow::Result<()> {
        let mut total = self.total.clone();
        for operation in &mut self.operations {
            if operation.state != OperationState::Pending {
                continue;
            }
            let volumes = operation.volumes.clone();
            let change = match operation.kind {
                OperationKind::Create => Change::Create(volumes),
                OperationKind::Destroy => Change::Destroy(volumes),
                OperationKind::Resize | OperationKind::Other(_) => continue,
            };
            total = change.apply(&total)?;
            operation.state = OperationState::Finished;
        }
        self.sync_checkpoint(total, deletion)
    }

    /// A step is done; here the agent may end.
    pub(super) fn done(&mut self, step: Step) -> anyhow::Result<()> {
        if self.crash_after == Some(step) {
            self.crash_after = None;
            self.dead = true;
            bail!("crashed after {step:?}, as ordered");
        }
        Ok(())
    }

    /// What an agent can't live with ends it at once, targets in place.
    pub(super) fn fatal(&mut self, error: anyhow::Error) -> anyhow::Error {
        self.dead = true;
        error
    }

    /// Deletes as this agent does.
    pub(super) fn delete(
        &self,
        id: &str,
        path: &std::path::Path,
        keep: bool,
    ) -> anyhow::Result<()> {
        say(&format!(
            "Deleting persistent volume '{id}' at '{}'",
            path.display()
        ))?;
        if path.symlink_metadata().is_err() {
            return say(&format!(
                "Failed to find persistent volume '{id}' at '{}'",
                path.display()
            ));
        }
        let pause = std::time::Duration::from_micros(self.flags.delete_pause);
        files::delete(path, keep, pause).with_context(|| {
            format!(
                "Failed to remove persistent volume '{id}' at '{}'",
                path.display()
            )
        })
    }

    /// What is not reserved, of each resource.
    pub(crate) fn unreserved(&self) -> Vec<Resource> {
        self.total
            .iter()
            .filter(|one| one.reservations.is_empty())
            .cloned()
            .collect()
    }

    /// What tasks use; every executor has a little of its own.
    pub(crate) fn used(&self) -> Vec<Resource> {
        let executor = [("cpus", 100), ("mem", 32_000)].map(|(name, thousandths)| {
            let value = Value::Scalar(Megabytes::from_thousandths(thousandths));
            resources::plain(name, value)
        });
        let mut used = Vec::new();
        for task in &self.tasks {
            used = with(&with(&used, &task.resources), &executor);
        }
        used
    }
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
