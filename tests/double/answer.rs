//! The agent's HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesos_volumed::mesos::resource::Resource;
use tiny_http::Server;

use super::agent::{Agent, Task};
use super::calls;
use super::http::{self, Answer, Asked, Faults, Serving};
use super::json::{J, empty, list, object, value};
use super::resources::Shape;
use super::views;

/// Answers on threads of their own; 503 until the recovery is over.
#[expect(
    clippy::disallowed_methods,
    reason = "how long the recovery has lasted is no decision of the daemon's"
)]
pub(super) fn serve(
    server: Server,
    recovery: Duration,
    agent: &Arc<Mutex<Agent>>,
    faults: &Arc<Mutex<Faults>>,
) -> Serving {
    let start = std::time::Instant::now();
    let (agent, wrong) = (Arc::clone(agent), Arc::clone(faults));
    http::serve(server, 4, faults, move |asked| {
        // One actor: whoever asks waits until it has done what it is at.
        let agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
        if agent.dead {
            return None;
        }
        let faults = wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(answer(asked, &agent, start.elapsed() < recovery, &faults))
    })
}

fn answer(asked: &Asked, agent: &Agent, recovering: bool, faults: &Faults) -> Answer {
    let path = asked.path.strip_prefix("/slave(1)").unwrap_or(&asked.path);
    match path {
        "/health" => return Answer::empty(200),
        "/version" => return Answer::json(&version(agent)),
        _ => {}
    }
    let realm = if path == "/api/v1" {
        "mesos-agent-readwrite"
    } else {
        "mesos-agent-readonly"
    };
    if let Some(refused) = agent.flags.access().refuse(asked, realm) {
        return refused;
    }
    match path {
        "/state" | "/api/v1" if recovering => Answer::text(503, "Agent has not finished recovery"),
        "/state" => Answer::json(&state(agent, &faults.hidden_roles)),
        "/flags" => Answer::json(&object([("flags", views::flags(agent))])),
        "/api/v1" => match asked.call("agent") {
            Ok(call) => calls::answer(&call, agent, &faults.hidden_roles),
            Err(answer) => answer,
        },
        "/monitor/statistics" => Answer::json(&list(agent.tasks.iter().map(statistics))),
        "/containers" => Answer::json(&list([])),
        _ => Answer::not_found(),
    }
}

/// `/version`, whose keys are sorted.
fn version(agent: &Agent) -> J {
    let version = &agent.flags.as_version;
    let mut build = views::build(&version.to_string(), version.is_recorded());
    build.sort_by_key(|(key, _)| *key);
    object(build)
}

/// How an agent of this version shows resources.
pub(super) fn shape(agent: &Agent) -> Shape {
    if agent.flags.as_version.since(1, 4) {
        Shape::Endpoint
    } else {
        Shape::Old
    }
}

/// `/state`.
pub(crate) fn state(agent: &Agent, hidden: &[String]) -> J {
    let (flags, shape) = (&agent.flags, shape(agent));
    let version = &flags.as_version;
    let free = agent.unreserved();
    let mut json = object(views::build(&version.to_string(), version.is_recorded()));
    json.push("start_time", J::Real(0.0));
    json.push("id", agent.id.as_str().into());
    json.push(
        "pid",
        format!("slave(1)@{}:{}", flags.ip, flags.port).into(),
    );
    json.push("hostname", flags.hostname.as_str().into());
    let capabilities = version.capabilities();
    if !capabilities.is_empty() {
        json.push("capabilities", list(capabilities.into_iter().map(J::from)));
    }
    json.push("resources", views::numbers(agent.total.iter()));
    json.push("reserved_resources", views::reserved(&agent.total, hidden));
    json.push("unreserved_resources", views::numbers(free.iter()));
    json.push(
        "reserved_resources_full",
        views::reserved_full(&agent.total, hidden, &shape),
    );
    json.push(
        "unreserved_resources_full",
        views::full(&free, &shape, None),
    );
    if version.since(1, 6) {
        let used = agent.used();
        json.push(
            "reserved_resources_allocated",
            views::reserved(&used, hidden),
        );
        json.push(
            "unreserved_resources_allocated",
            views::numbers(used.iter().filter(|one| one.reservations.is_empty())),
        );
        json.push("resource_providers", providers(agent));
    }
    json.push("attributes", empty());
    json.push("master_hostname", "localhost".into());
    json.push("flags", views::flags(agent));
    json.push("frameworks", frameworks(agent));
    json.with("completed_frameworks", list([]))
}

/// The agent's resource providers.
pub(super) fn providers(agent: &Agent) -> J {
    list(agent.providers.iter().map(|one| {
        object([
            (
                "resource_provider_info",
                object([
                    ("id", value(&one.id)),
                    ("type", "org.apache.mesos.rp.local.storage".into()),
                    ("name", one.name.as_str().into()),
                ]),
            ),
            (
                "total_resources",
                views::full(&one.resources, &Shape::Endpoint, None),
            ),
        ])
    }))
}

fn frameworks(agent: &Agent) -> J {
    let mut ids: Vec<&str> = agent
        .tasks
        .iter()
        .map(|one| one.framework.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    list(ids.into_iter().map(|id| {
        let executors = agent.tasks.iter().filter(|one| one.framework == id);
        object([
            ("id", id.into()),
            ("name", "marathon".into()),
            ("user", "root".into()),
            ("failover_timeout", J::Real(604_800.0)),
            ("checkpoint", true.into()),
            ("hostname", "".into()),
            ("roles", list([])),
            (
                "executors",
                list(executors.map(|task| executor(agent, task))),
            ),
            ("completed_executors", list([])),
        ])
    }))
}

fn executor(agent: &Agent, task: &Task) -> J {
    object([
        ("id", task.id.as_str().into()),
        (
            "name",
            format!("Command Executor (Task: {})", task.id).into(),
        ),
        ("source", task.id.as_str().into()),
        ("container", task.container.as_str().into()),
        ("directory", directory(agent, task).into()),
        ("resources", views::numbers(task.resources.iter())),
        ("role", views::role_of(&task.resources).into()),
        (
            "tasks",
            list([views::task(task, &agent.id, "TASK_RUNNING")]),
        ),
        ("queued_tasks", list([])),
        ("completed_tasks", list([])),
    ])
}

/// The sandbox.
fn directory(agent: &Agent, task: &Task) -> String {
    format!(
        "{}/slaves/{}/frameworks/{}/executors/{}/runs/{}",
        agent.flags.work_dir.display(),
        agent.id,
        task.framework,
        task.id,
        task.container
    )
}

/// What `/monitor/statistics` says of a task, whose keys are sorted.
fn statistics(task: &Task) -> J {
    let disks = task.resources.iter().filter_map(disk_statistics);
    object([
        ("executor_id", task.id.as_str().into()),
        (
            "executor_name",
            format!("Command Executor (Task: {})", task.id).into(),
        ),
        ("framework_id", task.framework.as_str().into()),
        ("source", task.id.as_str().into()),
        ("statistics", object([("disk_statistics", list(disks))])),
    ])
}

fn disk_statistics(volume: &Resource) -> Option<J> {
    let persistence = volume.persistence.as_ref()?;
    let mib = volume.megabytes()?.thousandths().checked_div(1000)?;
    let mut json = object([
        ("limit_bytes", J::Int(mib.checked_mul(1 << 20)?)),
        (
            "persistence",
            object([("id", J::from(persistence.id.to_string()))]),
        ),
    ]);
    if let Some(source) = &volume.source {
        let root = source.root.as_ref().map(ToString::to_string);
        let root = object([("root", J::from(root.unwrap_or_default()))]);
        let source = if source.kind == mesos_volumed::mesos::disk::SourceType::Mount {
            object([("mount", root), ("type", "MOUNT".into())])
        } else {
            object([("path", root), ("type", "PATH".into())])
        };
        json.push("source", source);
    }
    Some(json)
}
