//! The agent's operator API, `/api/v1`.

use super::agent::Agent;
use super::answer;
use super::http::Answer;
use super::json::{J, empty, list, object, value};
use super::resources::Shape;
use super::views;

/// The answer to a call.
pub(crate) fn answer(call: &serde_json::Value, agent: &Agent, hidden: &[String]) -> Answer {
    let kind = call
        .get("type")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let (key, inner) = match kind {
        "GET_AGENT" => ("get_agent", object([("agent_info", info(agent))])),
        "GET_OPERATIONS" => (
            "get_operations",
            views::operations(&agent.operations, &agent.id, hidden),
        ),
        "GET_RESOURCE_PROVIDERS" if agent.providers.is_empty() => {
            ("get_resource_providers", empty())
        }
        "GET_RESOURCE_PROVIDERS" => (
            "get_resource_providers",
            object([("resource_providers", answer::providers(agent))]),
        ),
        "GET_TASKS" => ("get_tasks", tasks(agent)),
        "GET_FLAGS" => ("get_flags", object([("flags", flags(agent))])),
        "GET_HEALTH" => ("get_health", object([("healthy", true.into())])),
        "GET_VERSION" => {
            let version = &agent.flags.as_version;
            let build = views::v1_build(&version.to_string(), version.is_recorded());
            ("get_version", object([("version_info", build)]))
        }
        "GET_FRAMEWORKS" | "GET_EXECUTORS" | "GET_CONTAINERS" | "GET_STATE" => {
            (key_of(kind), empty())
        }
        _ => {
            return Answer::text(
                400,
                "Failed to validate agent::Call: Expecting 'type' to be present",
            );
        }
    };
    Answer::json(&object([("type", kind.into()), (key, inner)]))
}

fn key_of(kind: &str) -> &'static str {
    match kind {
        "GET_FRAMEWORKS" => "get_frameworks",
        "GET_EXECUTORS" => "get_executors",
        "GET_CONTAINERS" => "get_containers",
        _ => "get_state",
    }
}

/// `AgentInfo`: `--resources` and nothing that is reserved dynamically.
pub(super) fn info(agent: &Agent) -> J {
    object([
        ("hostname", agent.flags.hostname.as_str().into()),
        ("port", J::Int(i64::from(agent.flags.port))),
        ("resources", views::full(&agent.flagged, &Shape::Post, None)),
        ("id", value(&agent.id)),
    ])
}

fn tasks(agent: &Agent) -> J {
    let launched = agent.tasks.iter().map(|one| views::v1_task(one, &agent.id));
    object([
        ("pending_tasks", list([])),
        ("queued_tasks", list([])),
        ("launched_tasks", list(launched)),
        ("terminated_tasks", list([])),
        ("completed_tasks", list([])),
    ])
}

/// The flags as name and value.
fn flags(agent: &Agent) -> J {
    let J::Object(flags) = views::flags(agent) else {
        return list([]);
    };
    list(
        flags
            .into_iter()
            .map(|(name, value)| object([("name", J::from(name)), ("value", value)])),
    )
}
