//! Marathon's API v2, as far as stateful apps are told of (decode only).
//!
//! What Marathon leaves out of an answer is left out here; a task without `startedAt` is one that
//! has its reservations and its volumes and is not running: Marathon's own page calls it *Waiting*.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::PersistenceId;

/// Why an answer can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not what Marathon says of {what}")]
pub struct MarathonError {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

/// A volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalVolume {
    /// Its path inside the container.
    pub container_path: String,
    /// Its persistence id.
    pub persistence_id: String,
}

impl LocalVolume {
    /// The persistence id as Mesos knows it.
    #[must_use]
    pub fn id(&self) -> PersistenceId {
        PersistenceId::new(self.persistence_id.as_str())
    }
}

/// A task (instance) of an app.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The task id.
    pub id: String,
    /// The app; the answer for one app leaves it out at times.
    pub app_id: Option<String>,
    /// The host that it is pinned to.
    pub host: Option<String>,
    /// The agent that it is pinned to.
    pub slave_id: Option<String>,
    /// Mesos's state of the task, such as `TASK_RUNNING`.
    pub state: Option<String>,
    /// When it was last launched.
    pub staged_at: Option<String>,
    /// When it last ran.
    pub started_at: Option<String>,
    /// The version of its app's definition.
    pub version: Option<String>,
    /// Its volumes.
    #[serde(default)]
    pub local_volumes: Vec<LocalVolume>,
}

/// What a stateful task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TaskState {
    /// It runs, or is on its way to.
    Running,
    /// It has volumes and does not run.
    Waiting,
    /// Its agent can't be reached, or lost it.
    Lost,
}

impl TaskState {
    /// The word that Marathon's own page has for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Lost => "Lost",
        }
    }
}

/// Whether this is a state of a task whose agent can't be reached, or has lost it.
fn is_lost(state: &str) -> bool {
    matches!(
        state,
        "TASK_LOST"
            | "TASK_UNREACHABLE"
            | "TASK_GONE"
            | "TASK_GONE_BY_OPERATOR"
            | "TASK_UNKNOWN"
            | "TASK_DROPPED"
    )
}

impl Task {
    /// What it does. A state that is not known counts as running: nobody touches that.
    #[must_use]
    pub fn now(&self) -> TaskState {
        match self.state.as_deref() {
            Some(state) if is_lost(state) => TaskState::Lost,
            Some(
                "TASK_RESERVED" | "TASK_FINISHED" | "TASK_FAILED" | "TASK_KILLED" | "TASK_ERROR",
            ) => TaskState::Waiting,
            Some(_) => TaskState::Running,
            None if self.started_at.is_some() || self.staged_at.is_some() => TaskState::Running,
            None => TaskState::Waiting,
        }
    }
}

/// `upgradeStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// Share of instances that stays up during an upgrade.
    pub minimum_health_capacity: f64,
    /// Share of instances that are started in addition.
    pub maximum_over_capacity: f64,
}

impl UpgradeStrategy {
    /// Whether an app with local volumes can be upgraded by it without waiting for itself: above 0.5
    /// an old instance may have to stay up that holds what the new one needs, and what is started in
    /// addition gets empty volumes of its own.
    #[must_use]
    pub fn suits_volumes(&self) -> bool {
        self.minimum_health_capacity <= 0.5 && self.maximum_over_capacity <= 0.0
    }
}

/// A volume as an app's definition wants it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeWish {
    /// Its path inside the container.
    pub container_path: Option<String>,
    /// Set for a persistent volume.
    pub persistent: Option<PersistentWish>,
}

/// `persistent` of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PersistentWish {
    /// Megabytes.
    pub size: u64,
    /// `root`, `path` or `mount`; root where it is not said.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Container {
    #[serde(default)]
    volumes: Vec<VolumeWish>,
}

/// An app.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Its id, such as `/group/app`.
    pub id: String,
    /// How many instances it shall have.
    pub instances: u64,
    /// How many run.
    #[serde(default)]
    pub tasks_running: u64,
    /// Apps and groups that it depends on.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// How it is upgraded.
    pub upgrade_strategy: Option<UpgradeStrategy>,
    /// The role whose resources it uses, where the answer tells.
    pub role: Option<String>,
    #[serde(default)]
    container: Option<Container>,
    /// Set on stateful apps.
    pub residency: Option<Value>,
    /// Deployments that it is part of.
    #[serde(default)]
    pub deployments: Vec<Deployment>,
    /// Its tasks, where they were asked for (`embed=apps.tasks`).
    #[serde(default)]
    pub tasks: Vec<Task>,
}

impl App {
    /// The persistent volumes that each instance has.
    pub fn persistent_volumes(&self) -> impl Iterator<Item = &VolumeWish> {
        self.container
            .iter()
            .flat_map(|container| &container.volumes)
            .filter(|volume| volume.persistent.is_some())
    }

    /// Whether its instances have volumes of their own.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|value| !value.is_null())
            || self.persistent_volumes().next().is_some()
            || self.tasks.iter().any(|task| !task.local_volumes.is_empty())
    }
}

/// A deployment by its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// The id.
    pub id: String,
}

/// A group with all that lies in it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Group {
    /// Its id, such as `/group`.
    pub id: String,
    /// Groups and apps that it depends on.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Its apps.
    #[serde(default)]
    pub apps: Vec<App>,
    /// Its pods.
    #[serde(default)]
    pub pods: Vec<PodName>,
    /// The groups in it.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// A pod in a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PodName {
    /// Its id.
    pub id: String,
}

/// A pod's definition, as far as its state is judged by it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PodSpec {
    #[serde(default)]
    scaling: Option<Scaling>,
    #[serde(default)]
    scheduling: Option<Scheduling>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Scaling {
    instances: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Scheduling {
    upgrade: Option<UpgradeStrategy>,
}

impl PodSpec {
    /// How many instances it shall have.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        let scaling = self.scaling.as_ref();
        scaling.and_then(|scaling| scaling.instances).unwrap_or(1)
    }

    /// How it is upgraded.
    #[must_use]
    pub fn strategy(&self) -> Option<UpgradeStrategy> {
        self.scheduling.as_ref()?.upgrade
    }
}

/// A pod's state (`/v2/pods/::status`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PodStatus {
    /// Its id.
    pub id: String,
    /// Its definition; left out of an answer, nobody knows how many instances are wanted.
    pub spec: Option<PodSpec>,
    /// Its instances.
    #[serde(default)]
    pub instances: Vec<PodInstance>,
}

/// An instance of a pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodInstance {
    /// Its id.
    pub id: String,
    /// `STABLE`, `DEGRADED`, `TERMINAL`, …
    pub status: Option<String>,
    /// The host that it is on.
    pub agent_hostname: Option<String>,
    /// The agent that it is on.
    pub agent_id: Option<String>,
    /// Its volumes.
    #[serde(default)]
    pub local_volumes: Vec<LocalVolume>,
    #[serde(default)]
    containers: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ContainerStatus {
    status: Option<String>,
}

impl PodInstance {
    /// What it does. A state that is not known counts as running: nobody touches that.
    #[must_use]
    pub fn now(&self) -> TaskState {
        let mut states = self.containers.iter();
        if states.any(|one| one.status.as_deref().is_some_and(is_lost)) {
            return TaskState::Lost;
        }
        match self.status.as_deref() {
            Some("TERMINAL" | "PENDING") => TaskState::Waiting,
            Some(_) | None => TaskState::Running,
        }
    }
}

/// What Marathon does about apps and pods (`/v2/deployments`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Under {
    /// Its id.
    pub id: String,
    /// The apps that it changes.
    #[serde(default)]
    pub affected_apps: Vec<String>,
    /// The pods that it changes.
    #[serde(default)]
    pub affected_pods: Vec<String>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &'static str) -> Result<T, MarathonError> {
    serde_json::from_slice(body).map_err(|source| MarathonError { what, source })
}

/// The answer to `/v2/apps`.
pub fn parse_apps(body: &[u8]) -> Result<Vec<App>, MarathonError> {
    #[derive(Deserialize)]
    struct Apps {
        apps: Vec<App>,
    }
    read::<Apps>(body, "its apps").map(|answer| answer.apps)
}

/// The answer to `/v2/apps/{id}`.
pub fn parse_app(body: &[u8]) -> Result<App, MarathonError> {
    #[derive(Deserialize)]
    struct One {
        app: App,
    }
    read::<One>(body, "an app").map(|answer| answer.app)
}

/// The answer to `/v2/apps/{id}/tasks` and to `/v2/tasks`.
pub fn parse_tasks(body: &[u8]) -> Result<Vec<Task>, MarathonError> {
    #[derive(Deserialize)]
    struct Tasks {
        tasks: Vec<Task>,
    }
    read::<Tasks>(body, "tasks").map(|answer| answer.tasks)
}

/// The answer to `/v2/groups/{id}`.
pub fn parse_group(body: &[u8]) -> Result<Group, MarathonError> {
    read(body, "a group")
}

/// The answer to `/v2/pods/::status`.
pub fn parse_pods(body: &[u8]) -> Result<Vec<PodStatus>, MarathonError> {
    read(body, "its pods")
}

/// The answer to `/v2/deployments`.
pub fn parse_deployments(body: &[u8]) -> Result<Vec<Under>, MarathonError> {
    read(body, "its deployments")
}

/// The app's id in a persistence id: `/a/b/c` is `a_b_c`.
#[must_use]
pub fn app_in_persistence_id(app: &str) -> String {
    app.trim_matches('/').replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_answer_for_a_waiting_task_is_read() {
        let body = br#"{"tasks": [{
            "appId": "/postgres", "host": "10.0.0.168",
            "id": "postgres.53ab8733-fd96-11e5-8e70-76a1c19f8c3d",
            "localVolumes": [{"containerPath": "pgdata",
                "persistenceId": "postgres#pgdata#53ab8732-fd96-11e5-8e70-76a1c19f8c3d"}],
            "slaveId": "d935ca7e-e29d-4503-94e7-25fe9f16847c-S1"}]}"#;
        let tasks = parse_tasks(body).unwrap();
        let [task] = tasks.as_slice() else {
            panic!("{tasks:?}")
        };
        assert_eq!(task.now(), TaskState::Waiting);
        assert_eq!(
            task.slave_id.as_deref(),
            Some("d935ca7e-e29d-4503-94e7-25fe9f16847c-S1")
        );
        let volume = task.local_volumes[0].id().marathon().unwrap();
        assert_eq!(
            (volume.app.as_str(), volume.container_path.as_str()),
            ("postgres", "pgdata")
        );
    }

    #[test]
    fn a_task_of_an_unknown_state_counts_as_running() {
        let state = |state: &str| {
            let body = format!(r#"{{"tasks": [{{"id": "a", "state": "{state}"}}]}}"#);
            parse_tasks(body.as_bytes()).unwrap()[0].now()
        };
        assert_eq!(state("TASK_RUNNING"), TaskState::Running);
        assert_eq!(state("TASK_SOMETHING_NEW"), TaskState::Running);
        assert_eq!(state("TASK_UNREACHABLE"), TaskState::Lost);
        assert_eq!(state("TASK_KILLED"), TaskState::Waiting);
    }

    #[test]
    fn an_app_with_volumes_is_stateful_and_its_strategy_is_told() {
        let body = br#"{"app": {"id": "/db/postgres", "instances": 1, "tasksRunning": 1,
            "dependencies": ["/db/etcd"],
            "container": {"type": "DOCKER", "volumes": [
                {"containerPath": "pgdata", "mode": "RW", "persistent": {"size": 100}},
                {"containerPath": "/etc/x", "hostPath": "/x", "mode": "RO"}]},
            "residency": {"taskLostBehavior": "WAIT_FOREVER"},
            "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}}}"#;
        let app = parse_app(body).unwrap();
        assert!(app.is_stateful());
        assert_eq!(app.persistent_volumes().count(), 1);
        assert_eq!(app.dependencies, ["/db/etcd"]);
        assert_eq!(app_in_persistence_id(&app.id), "db_postgres");
        let plain = parse_apps(br#"{"apps": [{"id": "/web", "instances": 3}]}"#).unwrap();
        assert!(!plain[0].is_stateful());
        assert!(parse_apps(br#"{"apps": [{"instances": 3}]}"#).is_err());
        assert!(parse_apps(br#"{"message": "no"}"#).is_err());
        assert!(app.upgrade_strategy.unwrap().suits_volumes());
        for (health, over) in [(0.6, 0.0), (0.5, 0.1), (1.0, 1.0)] {
            let strategy = UpgradeStrategy {
                minimum_health_capacity: health,
                maximum_over_capacity: over,
            };
            assert!(!strategy.suits_volumes(), "{strategy:?}");
        }
    }

    #[test]
    fn a_pods_instance_waits_runs_or_is_lost() {
        let body = br#"[{"id": "/p", "spec": {"scaling": {"kind": "fixed", "instances": 3},
            "scheduling": {"upgrade": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}}},
            "instances": [
                {"id": "p.1", "status": "STABLE"}, {"id": "p.2", "status": "TERMINAL"},
                {"id": "p.3", "status": "DEGRADED",
                    "containers": [{"name": "c", "status": "TASK_UNREACHABLE"}]},
                {"id": "p.4", "status": "DEGRADED"}, {"id": "p.5", "status": "NEW_WORD"},
                {"id": "p.6"}, {"id": "p.7", "status": "PENDING"}]}]"#;
        let pods = parse_pods(body).unwrap();
        let spec = pods[0].spec.as_ref().unwrap();
        assert_eq!(spec.wanted(), 3);
        assert!(spec.strategy().unwrap().suits_volumes());
        let states: Vec<&str> = pods[0]
            .instances
            .iter()
            .map(|one| one.now().word())
            .collect();
        assert_eq!(
            states,
            [
                "Running", "Waiting", "Lost", "Running", "Running", "Running", "Waiting"
            ]
        );
    }
}
