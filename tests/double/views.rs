//! What agents and masters show of resources and tasks, key by key in the recorded order.

use std::collections::BTreeMap;

use base64::Engine as _;
use mesos_volumed::mesos::resource::{Resource, Value};
use mesos_volumed::mesos::state::{Operation, OperationKind, OperationState};

use super::agent::{Agent, Task};
use super::change::Change;
use super::json::{J, empty, list, object, value};
use super::resources::{self, Shape};

/// The build that was recorded, or next to nothing for a version that was not.
pub(crate) fn build(version: &str, recorded: bool) -> Vec<(&'static str, J)> {
    let text = |text: &'static str| J::from(if recorded { text } else { "" });
    vec![
        ("version", version.into()),
        ("git_sha", text("c1b42f79d157aa900be5cbb0c1023f1479962aa7")),
        ("git_branch", text("refs/heads/master")),
        ("build_date", text("2026-11-20 10:29:34")),
        (
            "build_time",
            if recorded { 1_795_170_574.0 } else { 0.0 }.into(),
        ),
        ("build_user", "".into()),
    ]
}

/// The same in the order of GET_VERSION.
pub(crate) fn v1_build(version: &str, recorded: bool) -> J {
    let mut build = build(version, recorded);
    // The two of git come last there.
    build.sort_by_key(|(key, _)| key.starts_with("git_"));
    object(build)
}

/// Sums by name.
pub(crate) fn numbers<'a>(of: impl Iterator<Item = &'a Resource>) -> J {
    let mut sums: [(&str, f64); 4] = [("disk", 0.0), ("mem", 0.0), ("gpus", 0.0), ("cpus", 0.0)];
    let mut ranges = Vec::new();
    for one in of {
        match &one.value {
            Value::Scalar(value) => {
                let name = one.name.as_bytes();
                let sum = sums.iter_mut().find(|(key, _)| key.as_bytes() == name);
                if let Some((_, sum)) = sum {
                    *sum += value.as_f64();
                }
            }
            Value::Ranges(list) => {
                let list: Vec<String> = list.iter().map(|(a, b)| format!("{a}-{b}")).collect();
                ranges.push((one.name.to_string(), format!("[{}]", list.join(", "))));
            }
            Value::Set(_) => {}
        }
    }
    let mut json = object(sums.map(|(name, sum)| (name, J::Real(sum))));
    for (name, text) in ranges {
        json.push(&name, text.into());
    }
    json
}

/// Resources by the role of their last reservation, hidden roles left out.
pub(crate) fn by_role<'a>(
    all: &'a [Resource],
    hidden: &[String],
) -> BTreeMap<String, Vec<&'a Resource>> {
    let mut roles: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
    for one in all {
        if let Some(role) = one.role() {
            let role = role.to_string();
            if !hidden.contains(&role) {
                roles.entry(role).or_default().push(one);
            }
        }
    }
    roles
}

/// `reserved_resources` of these.
pub(crate) fn reserved(all: &[Resource], hidden: &[String]) -> J {
    object(
        by_role(all, hidden)
            .into_iter()
            .map(|(role, list)| (role, numbers(list.into_iter()))),
    )
}

/// `reserved_resources_full` of these.
pub(crate) fn reserved_full(all: &[Resource], hidden: &[String], shape: &Shape) -> J {
    object(by_role(all, hidden).into_iter().map(|(role, of_role)| {
        let full = of_role
            .into_iter()
            .map(|one| resources::json(one, shape, None));
        (role, list(full))
    }))
}

/// A list of resources in full.
pub(crate) fn full(all: &[Resource], shape: &Shape, allocated: Option<&str>) -> J {
    list(all.iter().map(|one| resources::json(one, shape, allocated)))
}

/// The role of a task: that of its first reserved resource.
pub(crate) fn role_of(resources: &[Resource]) -> String {
    let role = resources.iter().find_map(Resource::role);
    role.map_or_else(|| "*".to_owned(), ToString::to_string)
}

/// A task as the `/state` of agents and masters shows it.
pub(crate) fn task(task: &Task, agent: &str, state: &str) -> J {
    let status = |state: &str| {
        object([
            ("state", state.into()),
            ("timestamp", J::Real(0.0)),
            (
                "container_status",
                object([("container_id", value(&task.container))]),
            ),
        ])
    };
    let mut statuses = vec![status("TASK_STARTING"), status("TASK_RUNNING")];
    if state != "TASK_RUNNING" {
        statuses.push(status(state));
    }
    object([
        ("id", task.id.as_str().into()),
        ("name", task.id.as_str().into()),
        ("framework_id", task.framework.as_str().into()),
        ("executor_id", "".into()),
        ("slave_id", agent.into()),
        ("state", state.into()),
        ("resources", numbers(task.resources.iter())),
        ("role", role_of(&task.resources).into()),
        ("statuses", J::List(statuses)),
    ])
}

/// A task as v1 calls show it.
pub(crate) fn v1_task(task: &Task, agent: &str) -> J {
    let role = role_of(&task.resources);
    object([
        ("name", task.id.as_str().into()),
        ("task_id", value(&task.id)),
        ("framework_id", value(&task.framework)),
        ("agent_id", value(agent)),
        ("state", "TASK_RUNNING".into()),
        (
            "resources",
            full(&task.resources, &Shape::Post, Some(&role)),
        ),
        ("statuses", list([])),
    ])
}

/// Operations as GET_OPERATIONS shows them, those of hidden roles left out.
pub(crate) fn operations(all: &[Operation], agent: &str, hidden: &[String]) -> J {
    let shown = operation_list(all, agent, hidden);
    if shown.is_empty() {
        return empty();
    }
    object([("operations", J::List(shown))])
}

/// The list of [`operations`].
pub(crate) fn operation_list(all: &[Operation], agent: &str, hidden: &[String]) -> Vec<J> {
    all.iter()
        .filter(|one| !one.volumes.iter().any(|volume| is_hidden(volume, hidden)))
        .map(|one| operation(one, agent))
        .collect()
}

fn is_hidden(one: &Resource, hidden: &[String]) -> bool {
    one.role()
        .is_some_and(|role| hidden.contains(&role.to_string()))
}

fn operation(one: &Operation, agent: &str) -> J {
    let change = match one.kind {
        OperationKind::Create => Change::Create(one.volumes.clone()),
        OperationKind::Destroy | OperationKind::Resize | OperationKind::Other(_) => {
            Change::Destroy(one.volumes.clone())
        }
    };
    let state = match one.state {
        OperationState::Pending => "OPERATION_PENDING",
        OperationState::Finished => "OPERATION_FINISHED",
        OperationState::Failed => "OPERATION_FAILED",
        OperationState::Unclear => "OPERATION_UNKNOWN",
    };
    let status = object([("state", state.into()), ("agent_id", value(agent))]);
    let uuid = uuid::Uuid::try_parse(&one.uuid).unwrap_or_default();
    let uuid = base64::engine::general_purpose::STANDARD.encode(uuid.as_bytes());
    let statuses = match one.state {
        OperationState::Pending => Vec::new(),
        OperationState::Finished | OperationState::Failed | OperationState::Unclear => {
            vec![status.clone()]
        }
    };
    let mut json = object([
        ("agent_id", value(agent)),
        ("info", change.json()),
        ("latest_status", status),
    ]);
    if !statuses.is_empty() {
        json.push("statuses", J::List(statuses));
    }
    json.with("uuid", value(&uuid))
}

/// The agent's flags as it shows them, as far as they are known here.
pub(crate) fn flags(agent: &Agent) -> J {
    let flags = &agent.flags;
    let master = flags.master.as_deref().unwrap_or("127.0.0.1:5050");
    let mut json = object([
        (
            "authenticate_http_readonly",
            J::from(truth(flags.basic.is_some() || flags.token.is_some())),
        ),
        ("default_role", "*".into()),
        ("hostname", flags.hostname.as_str().into()),
        ("ip", flags.ip.as_str().into()),
        ("master", master.into()),
        ("port", flags.port.to_string().into()),
    ]);
    if flags.as_version.since(1, 5) {
        json.push("reconfiguration_policy", "equal".into());
    }
    json.with("recover", "reconnect".into())
        .with("resources", agent.resources_text.as_str().into())
        .with("strict", truth(flags.strict).into())
        .with(
            "work_dir",
            flags.work_dir.to_string_lossy().into_owned().into(),
        )
}

fn truth(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}
