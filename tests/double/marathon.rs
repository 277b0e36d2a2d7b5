//! Marathon: apps and pods whose instances keep their reservations and volumes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use mesos_volumed::mesos::disk::SourceType;
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::units::{Megabytes, Raw};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::change::Change;
use super::control::Order;
use super::http::Access;
use super::master::{Framework, Master, MasterOrder, now};
use super::master_http;
use super::resources::{plain, plain_disk};

/// A Marathon that is a framework of a master.
#[derive(Debug)]
pub(crate) struct Marathon {
    state: Mutex<State>,
    master: Arc<Master>,
}

/// What Marathon knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) framework: String,
    pub(crate) role: String,
    pub(crate) principal: String,
    pub(crate) apps: Vec<App>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) access: Access,
    /// Deployments don't end.
    pub(crate) holds_deployments: bool,
    /// No offers come: nothing is launched, destroyed or unreserved.
    pub(crate) is_suspended: bool,
}

/// An app, or a pod.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) spec: Json,
    pub(crate) is_pod: bool,
    pub(crate) version: String,
    pub(crate) instances: Vec<Instance>,
    /// It was deleted, and waits until all instances are gone.
    pub(crate) is_deleted: bool,
}

/// An instance: its reservation outlives its tasks.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) uuid: String,
    /// How many tasks it has had.
    pub(crate) attempt: u32,
    pub(crate) agent: String,
    pub(crate) host: String,
    /// Reserved resources and volumes.
    pub(crate) resources: Vec<Resource>,
    pub(crate) state: InstanceState,
    pub(crate) goal: Goal,
    pub(crate) staged_at: String,
}

/// How its task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceState {
    /// It runs.
    Running,
    /// There is none; the reservation is kept.
    Waiting,
    /// Its agent is away.
    Lost,
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// It runs, and is launched again.
    Running,
    /// It was scaled down.
    Stopped,
    /// It was wiped: volumes are destroyed, resources unreserved.
    Decommissioned,
}

/// A deployment.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) apps: Vec<String>,
}

/// What a test has Marathon do; over HTTP it is the body of a POST to `/double/order`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MarathonOrder {
    /// Deployments don't end from now on, or do.
    HoldDeployments(bool),
    /// No offers come from now on, or do.
    Suspend(bool),
    /// The task of this id ends by itself.
    Fail(String),
    /// Who may ask.
    Access(Access),
    /// Its scheduler is gone for good: the framework is torn down, nothing is destroyed.
    TearDown,
}

/// The id of an app as it stands in task and persistence ids: `/a/b/c` is `a_b_c`.
pub(crate) fn safe(id: &str) -> String {
    id.trim_start_matches('/').replace('/', "_")
}

/// The time as Marathon writes it.
pub(crate) fn stamp() -> String {
    let time = std::time::Duration::try_from_secs_f64(now()).unwrap_or_default();
    let time = std::time::UNIX_EPOCH.checked_add(time);
    humantime::format_rfc3339_millis(time.unwrap_or(std::time::UNIX_EPOCH)).to_string()
}

impl App {
    fn wanted(&self) -> usize {
        let path = if self.is_pod {
            "/scaling/instances"
        } else {
            "/instances"
        };
        let wanted = self.spec.pointer(path).and_then(Json::as_u64).unwrap_or(1);
        usize::try_from(wanted).unwrap_or(usize::MAX)
    }

    /// Sets how many instances are wanted.
    pub(crate) fn scale(&mut self, wanted: usize) {
        if self.is_pod {
            let scaling = serde_json::json!({"kind": "fixed", "instances": wanted});
            self.set("scaling", scaling);
        } else {
            self.set("instances", wanted.into());
        }
    }

    /// Sets a part of the definition.
    pub(crate) fn set(&mut self, key: &str, value: Json) {
        if let Json::Object(spec) = &mut self.spec {
            spec.insert(key.to_owned(), value);
        }
    }

    /// The task of an instance, by the name it has now.
    pub(crate) fn task_id(&self, instance: &Instance) -> String {
        let id = format!("{}.{}", safe(&self.id), instance.uuid);
        match instance.attempt {
            0 | 1 => id,
            more => format!("{id}.{more}"),
        }
    }

    /// The volumes that its definition asks for: container path, type and MB.
    fn volumes(&self) -> Vec<(String, String, f64)> {
        let volumes = if self.is_pod {
            self.spec.get("volumes")
        } else {
            self.spec.pointer("/container/volumes")
        };
        let volumes = volumes.and_then(Json::as_array).into_iter().flatten();
        volumes
            .filter_map(|volume| {
                let persistent = volume.get("persistent")?;
                let name = if self.is_pod { "name" } else { "containerPath" };
                Some((
                    volume.get(name)?.as_str()?.to_owned(),
                    persistent
                        .get("type")
                        .and_then(Json::as_str)
                        .unwrap_or("root")
                        .to_owned(),
                    persistent.get("size")?.as_f64()?,
                ))
            })
            .collect()
    }
}

impl Marathon {
    /// Registers with the master, and goes on offer after offer until it is dropped.
    pub(crate) fn start(master: &Arc<Master>, role: &str) -> anyhow::Result<Arc<Self>> {
        let framework = format!("{}-0000", uuid::Uuid::new_v4());
        let marathon = Arc::new(Self {
            state: Mutex::new(State {
                framework,
                role: role.to_owned(),
                principal: "marathon".to_owned(),
                apps: Vec::new(),
                deployments: Vec::new(),
                access: Access::default(),
                holds_deployments: false,
                is_suspended: false,
            }),
            master: Arc::clone(master),
        });
        marathon.register()?;
        let weak = Arc::downgrade(&marathon);
        std::thread::spawn(move || {
            while let Some(marathon) = weak.upgrade() {
                marathon.go_on();
                drop(marathon);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Ok(marathon)
    }

    /// What it knows.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> anyhow::Result<()> {
        let state = self.lock();
        let framework = Framework {
            id: state.framework.clone(),
            name: "marathon".to_owned(),
            roles: vec![state.role.clone()],
            principal: Some(state.principal.clone()),
            failover_timeout: 604_800.0,
            ..Framework::default()
        };
        drop(state);
        self.master.order(MasterOrder::Framework(framework))
    }

    /// Does what a test wants.
    pub(crate) fn order(&self, order: MarathonOrder) -> anyhow::Result<()> {
        let mut state = self.lock();
        match order {
            MarathonOrder::HoldDeployments(holds) => state.holds_deployments = holds,
            MarathonOrder::Suspend(suspends) => state.is_suspended = suspends,
            MarathonOrder::Access(access) => state.access = access,
            MarathonOrder::Fail(id) => {
                let (app, index) = state.find(&id).context("no such task")?;
                let app = state.apps.get_mut(app).context("no such app")?;
                self.end_task(app, index)?;
            }
            MarathonOrder::TearDown => {
                let framework = state.framework.clone();
                state.is_suspended = true;
                drop(state);
                self.master.order(MasterOrder::Complete(framework))?;
            }
        }
        Ok(())
    }

    fn end_task(&self, app: &mut App, index: usize) -> anyhow::Result<()> {
        let instance = app.instances.get(index).context("no such instance")?;
        let (agent, task) = (instance.agent.clone(), app.task_id(instance));
        self.master.send(&agent, Order::Kill { task })?;
        if let Some(instance) = app.instances.get_mut(index) {
            instance.state = InstanceState::Waiting;
        }
        Ok(())
    }

    /// One round: what is lost, what is to end, what is to be launched.
    fn go_on(&self) {
        let mut state = self.lock();
        if state.is_suspended {
            return;
        }
        let mut apps = std::mem::take(&mut state.apps);
        for app in &mut apps {
            self.look(app);
            // What fails now is tried again in the next round.
            drop(self.decommission(app));
            drop(self.balance(app, &state));
        }
        apps.retain(|app| !app.is_deleted || !app.instances.is_empty());
        let done = |app: &App| {
            let running = |one: &&Instance| one.state == InstanceState::Running;
            app.is_deleted || app.instances.iter().filter(running).count() == app.wanted()
        };
        if !state.holds_deployments {
            state.deployments.retain(|deployment| {
                let mut waits = apps.iter().filter(|app| !done(app) || app.is_deleted);
                waits.any(|app| deployment.apps.contains(&app.id))
            });
        }
        state.apps = apps;
    }

    /// Which agents are there, and which tasks on them.
    fn look(&self, app: &mut App) {
        let master = self.master.lock();
        let ids: Vec<String> = app.instances.iter().map(|one| app.task_id(one)).collect();
        for (instance, task) in app.instances.iter_mut().zip(ids) {
            let Some(agent) = master.agents.get(&instance.agent) else {
                instance.state = InstanceState::Lost;
                continue;
            };
            if !agent.is_connected() {
                instance.state = InstanceState::Lost;
            } else if instance.state == InstanceState::Lost {
                let runs = agent.registration.tasks.iter().any(|(id, ..)| *id == task);
                instance.state = if runs {
                    InstanceState::Running
                } else {
                    InstanceState::Waiting
                };
            }
        }
    }

    /// Wiped instances: their tasks end, volumes are destroyed, resources unreserved. On an agent
    /// that is away this waits.
    fn decommission(&self, app: &mut App) -> anyhow::Result<()> {
        let mut index = 0;
        while let Some(instance) = app.instances.get(index).cloned() {
            let is_next = instance.goal == Goal::Decommissioned;
            if !is_next || instance.state == InstanceState::Lost {
                index = index.saturating_add(1);
                continue;
            }
            if instance.state == InstanceState::Running {
                self.end_task(app, index)?;
                // The agent has to say first that the task is gone.
                return Ok(());
            }
            let volumes: Vec<Resource> = instance
                .resources
                .iter()
                .filter(|one| one.persistence.is_some())
                .cloned()
                .collect();
            let plain: Vec<Resource> = instance.resources.iter().map(plain_disk).collect();
            if !volumes.is_empty() {
                let change = Change::Destroy(volumes);
                self.master.accept(&instance.agent, &change)?;
            }
            self.master
                .accept(&instance.agent, &Change::Unreserve(plain))?;
            app.instances.remove(index);
        }
        Ok(())
    }

    /// As many instances run as are wanted: first those that have their reservation.
    fn balance(&self, app: &mut App, state: &State) -> anyhow::Result<()> {
        if app.is_deleted {
            return Ok(());
        }
        let kept = |one: &Instance| one.goal == Goal::Running;
        let wanted = app.wanted();
        while app.instances.iter().filter(|one| kept(one)).count() > wanted {
            let index = app.instances.iter().rposition(kept).context("counted")?;
            if let Some(instance) = app.instances.get_mut(index) {
                instance.goal = Goal::Stopped;
            }
        }
        for index in 0..app.instances.len() {
            let running = app.instances.iter().filter(|one| kept(one)).count();
            let is_to_end =
                |one: &Instance| one.goal == Goal::Stopped && one.state == InstanceState::Running;
            if app.instances.get(index).is_some_and(is_to_end) {
                self.end_task(app, index)?;
            }
            let Some(instance) = app.instances.get_mut(index) else {
                continue;
            };
            if instance.goal == Goal::Stopped && running < wanted {
                instance.goal = Goal::Running;
            }
            if instance.goal == Goal::Running && instance.state == InstanceState::Waiting {
                instance.attempt = instance.attempt.saturating_add(1);
                instance.staged_at = stamp();
                self.launch(app, index, state)?;
            }
        }
        while app.instances.iter().filter(|one| kept(one)).count() < wanted {
            let instance = self.reserve(app, state)?;
            app.instances.push(instance);
            let index = app.instances.len().saturating_sub(1);
            self.launch(app, index, state)?;
        }
        Ok(())
    }

    fn launch(&self, app: &mut App, index: usize, state: &State) -> anyhow::Result<()> {
        let instance = app.instances.get(index).context("no such instance")?;
        let order = Order::LaunchTask {
            task: app.task_id(instance),
            framework: state.framework.clone(),
            resources: instance.resources.clone(),
        };
        self.master.send(&instance.agent, order)?;
        if let Some(instance) = app.instances.get_mut(index) {
            instance.state = InstanceState::Running;
        }
        Ok(())
    }

    /// Takes an offer: reserves what a new instance needs, and creates its volumes.
    fn reserve(&self, app: &App, state: &State) -> anyhow::Result<Instance> {
        let uuid = uuid::Uuid::new_v4().to_string();
        let reservation = Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new(state.role.as_str()),
            principal: Some(Raw::from(state.principal.as_str())),
            labels: vec![
                label("marathon_framework_id", &state.framework),
                label("marathon_task_id", &format!("{}.{uuid}", safe(&app.id))),
            ],
        };
        let reserved = |one: Resource| Resource {
            reservations: vec![reservation.clone()],
            ..one
        };
        let (agent, host, disks) = self.offer(app)?;
        let amount = |name: &str, default: f64| {
            let value = app.spec.get(name).and_then(Json::as_f64).unwrap_or(default);
            plain(
                name,
                Value::Scalar(Megabytes::from_f64(value).unwrap_or_default()),
            )
        };
        let mut plain_resources =
            vec![reserved(amount("cpus", 0.1)), reserved(amount("mem", 32.0))];
        let mut volumes = Vec::new();
        for ((path, _, _), disk) in app.volumes().into_iter().zip(disks) {
            let disk = reserved(disk);
            plain_resources.push(disk.clone());
            let id = format!("{}#{path}#{}", safe(&app.id), uuid::Uuid::new_v4());
            volumes.push(Resource {
                persistence: Some(Persistence {
                    id: PersistenceId::new(id),
                    principal: Some(Raw::from(state.principal.as_str())),
                    container_path: Some(Raw::from(path.as_str())),
                }),
                ..disk
            });
        }
        self.master
            .accept(&agent, &Change::Reserve(plain_resources.clone()))?;
        if !volumes.is_empty() {
            self.master
                .accept(&agent, &Change::Create(volumes.clone()))?;
        }
        plain_resources.truncate(2);
        plain_resources.extend(volumes);
        Ok(Instance {
            uuid,
            attempt: 1,
            agent,
            host,
            resources: plain_resources,
            state: InstanceState::Waiting,
            goal: Goal::Running,
            staged_at: stamp(),
        })
    }

    /// An agent that is there and has the disks; the one with the fewest instances of the app first.
    fn offer(&self, app: &App) -> anyhow::Result<(String, String, Vec<Resource>)> {
        let master = self.master.lock();
        let mut agents: Vec<_> = master
            .agents
            .values()
            .filter(|one| !one.is_simulated && one.is_connected())
            .collect();
        let load = |id: &str| app.instances.iter().filter(|one| one.agent == id).count();
        agents.sort_by_key(|one| load(&one.registration.id));
        for known in agents {
            let mut free = master_http::free(known);
            let mut disks = Vec::new();
            for (_, kind, size) in app.volumes() {
                let size = Megabytes::from_f64(size).unwrap_or_default();
                if let Some(disk) = take(&mut free, &kind, size) {
                    disks.push(disk);
                }
            }
            if disks.len() == app.volumes().len() {
                let agent = &known.registration;
                return Ok((agent.id.clone(), agent.hostname.clone(), disks));
            }
        }
        anyhow::bail!("no offer fits {}", app.id)
    }
}

fn label(key: &str, value: &str) -> (Raw, Option<Raw>) {
    (Raw::from(key), Some(Raw::from(value)))
}

/// Takes disk of a type out of what is free; of a MOUNT all.
fn take(free: &mut Vec<Resource>, kind: &str, size: Megabytes) -> Option<Resource> {
    let index = free.iter().position(|one| {
        let source = one.source.as_ref().map(|source| source.kind);
        let fits = match kind {
            "mount" => source == Some(SourceType::Mount),
            "path" => source == Some(SourceType::Path),
            _ => source.is_none(),
        };
        let is_disk = one.name.as_bytes() == b"disk";
        is_disk && fits && one.megabytes().is_some_and(|have| have >= size)
    })?;
    let one = free.get(index)?.clone();
    let taken = if kind == "mount" {
        one
    } else {
        Resource {
            value: Value::Scalar(size),
            ..one
        }
    };
    *free = super::resources::without(free, std::slice::from_ref(&taken)).ok()?;
    Some(taken)
}

impl State {
    /// The app and the instance that a task id names.
    pub(crate) fn find(&self, task: &str) -> Option<(usize, usize)> {
        self.apps.iter().enumerate().find_map(|(index, app)| {
            let at = app.instances.iter().position(|one| names(app, one, task))?;
            Some((index, at))
        })
    }

    /// A deployment of these apps begins, unless one of them has one already.
    pub(crate) fn deploy(&mut self, apps: Vec<String>, force: bool) -> Result<String, Vec<String>> {
        let locking: Vec<String> = self
            .deployments
            .iter()
            .filter(|one| one.apps.iter().any(|app| apps.contains(app)))
            .map(|one| one.id.clone())
            .collect();
        if !locking.is_empty() && !force {
            return Err(locking);
        }
        self.deployments.retain(|one| !locking.contains(&one.id));
        let id = uuid::Uuid::new_v4().to_string();
        self.deployments.push(Deployment {
            id: id.clone(),
            apps,
        });
        Ok(id)
    }
}

/// Whether a task id, of whichever attempt, is of this instance.
pub(crate) fn names(app: &App, instance: &Instance, task: &str) -> bool {
    let id = format!("{}.{}", safe(&app.id), instance.uuid);
    task == id || task.starts_with(&format!("{id}."))
}
