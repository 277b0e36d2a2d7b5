//! The answers to questions of the operator API.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::mesos::agent_state::{StateError, required, resources, text, type_error};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::mesos::resource::Resource;
use crate::mesos::state::{AgentVersion, Operation, OperationKind, OperationState, VersionError};
use crate::units::{Megabytes, Raw};

type Object = Map<String, Value>;

/// An agent as its master lists it (GET_AGENTS, `/slaves`). What a principal may not see is missing
/// without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEntry {
    /// The agent id.
    pub id: Raw,
    /// Its host name.
    pub hostname: Raw,
    /// Its port.
    pub port: Option<u16>,
    /// Whether it is connected.
    pub active: bool,
    /// When it was registered, and registered again, in the master's own words.
    pub registered: String,
    /// Its version.
    pub version: Result<AgentVersion, VersionError>,
    /// Its capabilities, such as `RESIZE_VOLUME`.
    pub capabilities: BTreeSet<String>,
    /// Everything that it has, as the master believes.
    pub resources: Vec<Resource>,
    /// The disk that it has in all, where the answer tells (`/slaves`): more than what
    /// [`AgentEntry::resources`] add up to means that some are hidden from the asking principal.
    pub disk_total: Option<Megabytes>,
    /// Volumes that tasks use now, where the answer tells (`/slaves`).
    pub used: Option<BTreeSet<VolumeKey>>,
}

impl AgentEntry {
    /// The volume of this role with this id.
    #[must_use]
    pub fn volume(&self, key: &VolumeKey) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|one| one.volume_key().as_ref() == Some(key))
    }

    /// Why the entry does not show everything to the asking principal, where that is known.
    #[must_use]
    pub fn hides(&self) -> Option<String> {
        hides(&self.resources, self.disk_total?)
    }
}

/// Why resources are not all of the disk that there is; none where they are.
#[must_use]
pub fn hides(resources: &[Resource], total: Megabytes) -> Option<String> {
    let shown = resources
        .iter()
        .filter(|one| one.name.as_bytes() == b"disk")
        .filter_map(Resource::megabytes)
        .fold(Megabytes::default(), Megabytes::saturating_add);
    // Both are sums of doubles with three decimals.
    (total.thousandths().saturating_sub(shown.thousandths()) > 0).then(|| {
        format!(
            "shows {shown} MB of {total} MB of disk: our principal may not see every role \
             (VIEW_ROLE); give it that right for all roles"
        )
    })
}

/// An operation as master or agent tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationEntry {
    /// The agent that it is for.
    pub agent: Option<Raw>,
    /// The framework that asked for it; none for an operator's.
    pub framework: Option<Raw>,
    /// The operation with every resource that it names.
    pub operation: Operation,
}

/// A framework as the master lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkEntry {
    /// The framework id.
    pub id: Raw,
    /// Its name.
    pub name: String,
    /// Its principal.
    pub principal: Option<Raw>,
    /// Its roles.
    pub roles: BTreeSet<Role>,
    /// How long it may stay away, in seconds.
    pub failover_timeout: f64,
    /// Whether it may get offers.
    pub active: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether the master knows it only from its agents, after a failover.
    pub recovered: bool,
}

/// The frameworks that a master knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frameworks {
    /// Those that are registered, or recovered from agents.
    pub present: Vec<FrameworkEntry>,
    /// Those that are gone for good.
    pub completed: Vec<FrameworkEntry>,
}

/// The leading master.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterInfo {
    /// Its id, which every failover changes.
    pub id: Raw,
    /// Its version.
    pub version: Result<AgentVersion, VersionError>,
    /// Seconds since 1970 when it was elected, by its own clock; none where it does not tell.
    pub elected: Option<f64>,
    /// Seconds since 1970 when it was started.
    pub started: Option<f64>,
}

/// In which list of the agent's answer a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskPhase {
    /// Not yet given to an executor.
    Waiting,
    /// Launched, and not at its end.
    Launched,
}

/// A task as its agent tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTask {
    /// Task id.
    pub id: Raw,
    /// Framework id; tasks that still wait have none.
    pub framework: Option<Raw>,
    /// How far it got.
    pub phase: TaskPhase,
    /// Its volumes.
    pub volumes: BTreeSet<VolumeKey>,
}

/// All tasks that an agent tells of, and that have not ended.
pub type AgentTasks = Vec<AgentTask>;

/// How much of a volume a running executor was seen to use (`/monitor/statistics`, isolators
/// `disk/du` and `disk/xfs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// The executor.
    pub executor: Raw,
    /// The framework.
    pub framework: Raw,
    /// The persistence id. The role is not told.
    pub id: PersistenceId,
    /// The root of its disk; none for ROOT.
    pub root: Option<Raw>,
    /// Bytes used.
    pub used: u64,
    /// Bytes that it may use, where there is a limit.
    pub limit: Option<u64>,
}

fn parse(body: &[u8]) -> Result<Object, StateError> {
    serde_json::from_slice(body).map_err(StateError::Json)
}

/// The member that an answer of this type has, after a look at its type.
fn answer(body: &[u8], kind: &'static str, key: &'static str) -> Result<Object, StateError> {
    let mut object = parse(body)?;
    if text(&object, "type")? != kind {
        return Err(StateError::Type {
            key: "type".to_owned(),
            expected: kind,
        });
    }
    match object.remove(key) {
        Some(Value::Object(inner)) => Ok(inner),
        Some(_) => Err(type_error(key, "an object")),
        None => Err(StateError::Missing { key }),
    }
}

/// A list that an empty answer leaves out.
fn list<'a>(object: &'a Object, key: &str) -> Result<&'a [Value], StateError> {
    match object.get(key) {
        None => Ok(&[]),
        Some(value) => Ok(value
            .as_array()
            .ok_or_else(|| type_error(key, "an array"))?
            .as_slice()),
    }
}

fn as_object<'a>(value: &'a Value, key: &str) -> Result<&'a Object, StateError> {
    value
        .as_object()
        .ok_or_else(|| type_error(key, "an object"))
}

fn member<'a>(object: &'a Object, key: &'static str) -> Result<&'a Object, StateError> {
    as_object(required(object, key)?, key)
}

/// `{"value": "…"}`.
fn id(object: &Object, key: &'static str) -> Result<Raw, StateError> {
    text(member(object, key)?, "value").map(Raw::from)
}

fn optional_id(object: &Object, key: &'static str) -> Result<Option<Raw>, StateError> {
    match object.get(key) {
        None => Ok(None),
        Some(_) => id(object, key).map(Some),
    }
}

fn flag(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn listed(object: &Object, key: &str) -> Result<Vec<Resource>, StateError> {
    match object.get(key) {
        None => Ok(Vec::new()),
        Some(value) => resources(value, key),
    }
}

fn port(object: &Object) -> Option<u16> {
    u16::try_from(object.get("port")?.as_u64()?).ok()
}

fn registered(object: &Object) -> String {
    ["registered_time", "reregistered_time"]
        .iter()
        .filter_map(|key| object.get(*key))
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// One entry of GET_AGENTS.
pub(super) fn from_agents(value: &Value) -> Result<AgentEntry, StateError> {
    let object = as_object(value, "get_agents.agents")?;
    let info = member(object, "agent_info")?;
    let capabilities = list(object, "capabilities")?
        .iter()
        .filter_map(|one| one.get("type")?.as_str())
        .map(str::to_owned)
        .collect();
    Ok(AgentEntry {
        id: id(info, "id")?,
        hostname: Raw::from(text(info, "hostname")?),
        port: port(info),
        active: flag(object, "active"),
        registered: registered(object),
        version: text(object, "version")?.parse(),
        capabilities,
        resources: listed(object, "total_resources")?,
        disk_total: None,
        used: None,
    })
}

/// One entry of `/slaves`.
pub(super) fn from_slaves(value: &Value) -> Result<AgentEntry, StateError> {
    let object = as_object(value, "slaves")?;
    let mut all = Vec::new();
    for (role, entries) in member(object, "reserved_resources_full")? {
        all.extend(resources(
            entries,
            &format!("reserved_resources_full.{role}"),
        )?);
    }
    let unreserved = "unreserved_resources_full";
    all.extend(resources(required(object, unreserved)?, unreserved)?);
    let capabilities = list(object, "capabilities")?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let used = match object.get("used_resources_full") {
        None => None,
        Some(used) => Some(
            resources(used, "used_resources_full")?
                .iter()
                .filter_map(Resource::volume_key)
                .collect(),
        ),
    };
    Ok(AgentEntry {
        id: Raw::from(text(object, "id")?),
        hostname: Raw::from(text(object, "hostname")?),
        port: port(object),
        active: flag(object, "active"),
        registered: registered(object),
        version: text(object, "version")?.parse(),
        capabilities,
        resources: all,
        disk_total: object
            .get("resources")
            .and_then(|sums| sums.get("disk"))
            .and_then(Value::as_f64)
            .and_then(Megabytes::from_f64),
        used,
    })
}

/// The agent's own `--resources` (GET_AGENT), as the sum of all its disks.
pub fn parse_agent_info(body: &[u8]) -> Result<Vec<Resource>, StateError> {
    let info = answer(body, "GET_AGENT", "get_agent")?;
    listed(member(&info, "agent_info")?, "resources")
}

/// The volumes and other resources of resource providers (GET_RESOURCE_PROVIDERS).
pub fn parse_providers(body: &[u8]) -> Result<Vec<Resource>, StateError> {
    let inner = answer(body, "GET_RESOURCE_PROVIDERS", "get_resource_providers")?;
    let mut all = Vec::new();
    for provider in list(&inner, "resource_providers")? {
        let provider = as_object(provider, "resource_providers")?;
        all.extend(listed(provider, "total_resources")?);
    }
    Ok(all)
}

/// Operations (GET_OPERATIONS) of a master or an agent.
pub fn parse_operations(body: &[u8]) -> Result<Vec<OperationEntry>, StateError> {
    let inner = answer(body, "GET_OPERATIONS", "get_operations")?;
    list(&inner, "operations")?
        .iter()
        .map(|one| operation(as_object(one, "operations")?))
        .collect()
}

fn operation(object: &Object) -> Result<OperationEntry, StateError> {
    let info = member(object, "info")?;
    let status = member(object, "latest_status")?;
    let state = match text(status, "state")? {
        "OPERATION_PENDING" => OperationState::Pending,
        "OPERATION_FINISHED" => OperationState::Finished,
        "OPERATION_FAILED"
        | "OPERATION_ERROR"
        | "OPERATION_DROPPED"
        | "OPERATION_GONE_BY_OPERATOR" => OperationState::Failed,
        _ => OperationState::Unclear,
    };
    let mut named = Vec::new();
    // Whatever an operation does, it does it to the resources that it names.
    for (key, inner) in info {
        let Some(inner) = inner.as_object() else {
            continue;
        };
        for list in ["resources", "volumes"] {
            if inner.contains_key(list) {
                named.extend(listed(inner, list)?);
            }
        }
        for one in ["volume", "addition", "source"] {
            // RESERVE has a list of the same name.
            match inner.get(one) {
                Some(value @ Value::Object(_)) if !(key == "reserve" && one == "source") => {
                    named.extend(resources(&Value::Array(vec![value.clone()]), one)?);
                }
                _ => {}
            }
        }
    }
    let kind = match text(info, "type")? {
        "CREATE" => OperationKind::Create,
        "DESTROY" => OperationKind::Destroy,
        "GROW_VOLUME" | "SHRINK_VOLUME" => OperationKind::Resize,
        "RESERVE" => OperationKind::Other(2),
        "UNRESERVE" => OperationKind::Other(3),
        "CREATE_DISK" => OperationKind::Other(13),
        "DESTROY_DISK" => OperationKind::Other(14),
        _ => OperationKind::Other(0),
    };
    let uuid = text(member(object, "uuid")?, "value")?;
    let uuid = BASE64
        .decode(uuid)
        .ok()
        .and_then(|bytes| uuid::Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| type_error("uuid", "a uuid in base64"))?;
    Ok(OperationEntry {
        agent: optional_id(object, "agent_id")?,
        framework: optional_id(object, "framework_id")?,
        operation: Operation {
            uuid: uuid.simple().to_string(),
            kind,
            state,
            volumes: named,
        },
    })
}

/// Frameworks (GET_FRAMEWORKS) of a master.
pub fn parse_frameworks(body: &[u8]) -> Result<Frameworks, StateError> {
    let inner = answer(body, "GET_FRAMEWORKS", "get_frameworks")?;
    let all = |key: &str| -> Result<Vec<FrameworkEntry>, StateError> {
        list(&inner, key)?
            .iter()
            .map(|one| framework(as_object(one, key)?))
            .collect()
    };
    Ok(Frameworks {
        present: all("frameworks")?,
        completed: all("completed_frameworks")?,
    })
}

fn framework(object: &Object) -> Result<FrameworkEntry, StateError> {
    let info = member(object, "framework_info")?;
    let mut roles: BTreeSet<Role> = list(info, "roles")?
        .iter()
        .filter_map(Value::as_str)
        .map(Role::new)
        .collect();
    if let Some(role) = info.get("role").and_then(Value::as_str) {
        roles.insert(Role::new(role));
    }
    Ok(FrameworkEntry {
        id: id(info, "id")?,
        name: text(info, "name")?.to_owned(),
        principal: info.get("principal").and_then(Value::as_str).map(Raw::from),
        roles,
        failover_timeout: info
            .get("failover_timeout")
            .and_then(Value::as_f64)
            .unwrap_or(0.0),
        active: flag(object, "active"),
        connected: flag(object, "connected"),
        recovered: flag(object, "recovered"),
    })
}

/// The leading master (GET_MASTER).
pub fn parse_master(body: &[u8]) -> Result<MasterInfo, StateError> {
    let inner = answer(body, "GET_MASTER", "get_master")?;
    let info = member(&inner, "master_info")?;
    let seconds = |key: &str| inner.get(key).and_then(Value::as_f64);
    Ok(MasterInfo {
        id: Raw::from(text(info, "id")?),
        version: info
            .get("version")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .parse(),
        elected: seconds("elected_time"),
        started: seconds("start_time"),
    })
}

/// The version that `/version` tells.
pub fn parse_version(body: &[u8]) -> Result<Result<AgentVersion, VersionError>, StateError> {
    Ok(text(&parse(body)?, "version")?.parse())
}

/// GET_TASKS without what has ended. That may be thousands of tasks, and is skipped as it comes.
#[derive(serde::Deserialize)]
struct TasksAnswer {
    #[serde(rename = "type")]
    kind: String,
    get_tasks: LiveTasks,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct LiveTasks {
    #[serde(rename = "pending_tasks")]
    pending: Vec<Object>,
    #[serde(rename = "queued_tasks")]
    queued: Vec<Object>,
    #[serde(rename = "launched_tasks")]
    launched: Vec<Object>,
}

/// Tasks (GET_TASKS) of an agent that have not ended.
pub fn parse_tasks(body: &[u8]) -> Result<AgentTasks, StateError> {
    let answer: TasksAnswer = serde_json::from_slice(body).map_err(StateError::Json)?;
    if answer.kind != "GET_TASKS" {
        return Err(type_error("type", "GET_TASKS"));
    }
    let LiveTasks {
        pending,
        queued,
        launched,
    } = answer.get_tasks;
    let mut tasks = Vec::new();
    for (list, phase) in [
        (pending, TaskPhase::Waiting),
        (queued, TaskPhase::Waiting),
        (launched, TaskPhase::Launched),
    ] {
        for task in &list {
            tasks.push(AgentTask {
                id: id(task, "task_id")?,
                framework: optional_id(task, "framework_id")?,
                phase,
                volumes: listed(task, "resources")?
                    .iter()
                    .filter_map(Resource::volume_key)
                    .collect(),
            });
        }
    }
    Ok(tasks)
}

/// What the isolators measured of volumes in use (`/monitor/statistics`).
pub fn parse_statistics(body: &[u8]) -> Result<Vec<DiskUse>, StateError> {
    let executors: Vec<Value> = serde_json::from_slice(body).map_err(StateError::Json)?;
    let mut uses = Vec::new();
    for executor in &executors {
        let executor = as_object(executor, "executors")?;
        let Some(statistics) = executor.get("statistics") else {
            continue;
        };
        for one in list(as_object(statistics, "statistics")?, "disk_statistics")? {
            let one = as_object(one, "disk_statistics")?;
            // The sandbox is measured too, and is no volume.
            let Some(persistence) = one.get("persistence") else {
                continue;
            };
            let root = one.get("source").and_then(|source| {
                let member = source.get("path").or_else(|| source.get("mount"))?;
                member.get("root")?.as_str()
            });
            uses.push(DiskUse {
                executor: Raw::from(text(executor, "executor_id")?),
                framework: Raw::from(text(executor, "framework_id")?),
                id: PersistenceId::new(text(as_object(persistence, "persistence")?, "id")?),
                root: root.map(Raw::from),
                used: required(one, "used_bytes")?
                    .as_u64()
                    .ok_or_else(|| type_error("used_bytes", "a number"))?,
                limit: one.get("limit_bytes").and_then(Value::as_u64),
            });
        }
    }
    Ok(uses)
}
