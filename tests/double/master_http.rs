//! A master's HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesos_volumed::mesos::resource::Resource;
use serde_json::Value as Json;

use super::agent::Task;
use super::http::{Answer, Asked};
use super::json::{J, at, empty, list, object, value};
use super::master::{Framework, Known, Master, MasterOrder, State, now};
use super::register::{self, Registration};
use super::resources::{Shape, with, without};
use super::views;

/// The answer to a request.
pub(super) fn answer(asked: &Asked, master: &Arc<Master>, hidden: &[String]) -> Answer {
    let path = asked.path.strip_prefix("/master").unwrap_or(&asked.path);
    match path {
        "/health" => return Answer::empty(200),
        "/double/order" => return order(asked, master),
        register::PATH => {
            return match serde_json::from_str::<Registration>(&asked.body) {
                Ok(registration) => {
                    master.register(registration);
                    Answer::empty(200)
                }
                Err(error) => Answer::text(400, error.to_string()),
            };
        }
        _ => {}
    }
    let state = master.lock();
    let leader = state.leader.clone();
    if path == "/redirect" {
        let to = leader.unwrap_or_else(|| state.address());
        return Answer::empty(307).header("Location", format!("//{to}"));
    }
    let realm = if path == "/api/v1" {
        "mesos-master-readwrite"
    } else {
        "mesos-master-readonly"
    };
    if let Some(refused) = state.access.refuse(asked, realm) {
        return refused;
    }
    match leader {
        Some(none) if none.is_empty() => return Answer::text(503, "No leader elected"),
        Some(leader) => {
            return Answer::empty(307).header("Location", format!("//{leader}{}", asked.path));
        }
        None => {}
    }
    match path {
        "/slaves" => Answer::json(&slaves(&state, asked.parameter("slave_id"), hidden)),
        "/state" => Answer::json(&whole_state(&state, hidden)),
        "/frameworks" => Answer::json(&frameworks(&state)),
        "/version" => {
            let mut build = views::build(&state.version, state.version.starts_with("1.12"));
            build.sort_by_key(|(key, _)| *key);
            Answer::json(&object(build))
        }
        "/api/v1" => match asked.call("master") {
            Ok(call) => {
                drop(state);
                v1(&call, master, hidden)
            }
            Err(answer) => answer,
        },
        _ => Answer::not_found(),
    }
}

fn order(asked: &Asked, master: &Arc<Master>) -> Answer {
    let done = serde_json::from_str::<MasterOrder>(&asked.body)
        .map_err(anyhow::Error::from)
        .and_then(|order| master.order(order));
    match done {
        Ok(()) => Answer::empty(200),
        Err(error) => Answer::text(400, format!("{error:#}")),
    }
}

fn v1(call: &Json, master: &Arc<Master>, hidden: &[String]) -> Answer {
    let kind = at(call, "/type").as_str().unwrap_or_default();
    let state = master.lock();
    if state.forbidden.iter().any(|one| one == kind) {
        return Answer::empty(403);
    }
    let (key, inner) = match kind {
        "GET_AGENTS" => ("get_agents", agents(&state, hidden)),
        "GET_OPERATIONS" => {
            let all: Vec<J> = state
                .agents
                .iter()
                .flat_map(|(id, known)| {
                    views::operation_list(&known.registration.operations, id, hidden)
                })
                .collect();
            let inner = if all.is_empty() {
                empty()
            } else {
                object([("operations", J::List(all))])
            };
            ("get_operations", inner)
        }
        "GET_FRAMEWORKS" => ("get_frameworks", v1_frameworks(&state)),
        "GET_HEALTH" => ("get_health", object([("healthy", true.into())])),
        "GET_VERSION" => {
            let build = views::v1_build(&state.version, state.version.starts_with("1.12"));
            ("get_version", object([("version_info", build)]))
        }
        "GET_MASTER" => ("get_master", v1_master(&state)),
        "RESERVE_RESOURCES"
        | "UNRESERVE_RESOURCES"
        | "CREATE_VOLUMES"
        | "DESTROY_VOLUMES"
        | "GROW_VOLUME"
        | "SHRINK_VOLUME" => {
            drop(state);
            return master.operate(call);
        }
        _ => {
            return Answer::text(
                400,
                "Failed to validate master::Call: Expecting 'type' to be present",
            );
        }
    };
    let answer = Answer::json(&object([("type", kind.into()), (key, inner)]));
    match date(state.clock_ahead) {
        Some(date) => answer.header("Date", date),
        None => answer,
    }
}

fn v1_master(state: &State) -> J {
    let info = object([
        ("id", J::from(state.id.as_str())),
        ("port", J::Int(i64::from(state.port))),
        ("pid", format!("master@{}", state.address()).into()),
        ("hostname", state.ip.as_str().into()),
        ("version", state.version.as_str().into()),
    ]);
    object([
        ("master_info", info),
        ("start_time", state.start_time.into()),
        (
            "elected_time",
            (state.elected_time + state.clock_ahead).into(),
        ),
    ])
}

/// The time as a master shows it whose clock is not ours.
fn date(ahead: f64) -> Option<String> {
    let now = Duration::try_from_secs_f64(now() + ahead).ok()?;
    Some(httpdate::fmt_http_date(
        SystemTime::UNIX_EPOCH.checked_add(now)?,
    ))
}

/// What an agent has that nobody reserved.
fn unreserved(known: &Known) -> Vec<Resource> {
    let free = known.total.iter().filter(|one| one.reservations.is_empty());
    free.cloned().collect()
}

fn summary(known: &Known, hidden: &[String]) -> J {
    let agent = &known.registration;
    let free = unreserved(known);
    object([
        ("id", J::from(agent.id.as_str())),
        ("hostname", agent.hostname.as_str().into()),
        ("port", J::Int(i64::from(agent.port))),
        ("attributes", empty()),
        ("pid", pid(agent).into()),
        ("registered_time", known.registered_time.into()),
        ("resources", views::numbers(known.total.iter())),
        ("used_resources", views::numbers(known.used().iter())),
        ("offered_resources", views::numbers(known.offered.iter())),
        ("reserved_resources", views::reserved(&known.total, hidden)),
        ("unreserved_resources", views::numbers(free.iter())),
        ("active", known.is_connected().into()),
        ("deactivated", false.into()),
        ("version", agent.version.as_str().into()),
        (
            "capabilities",
            list(agent.capabilities.iter().map(|one| one.as_str().into())),
        ),
    ])
}

fn pid(agent: &Registration) -> String {
    format!("slave(1)@{}:{}", agent.ip, agent.port)
}

/// What tasks use of an agent, each task's share allocated to its role.
fn used_full(known: &Known) -> J {
    let used = known.registration.tasks.iter().flat_map(|(.., all)| {
        let role = views::role_of(all);
        all.iter()
            .map(|one| super::resources::json(one, &Shape::Endpoint, Some(&role)))
            .collect::<Vec<_>>()
    });
    list(used)
}

/// `/slaves`.
pub(crate) fn slaves(state: &State, only: Option<&str>, hidden: &[String]) -> J {
    let wanted = |id: &str| only.is_none_or(|only| only == id);
    let agents = state.agents.values();
    let agents = agents
        .filter(|one| wanted(&one.registration.id))
        .map(|known| {
            summary(known, hidden)
                .with(
                    "reserved_resources_full",
                    views::reserved_full(&known.total, hidden, &Shape::Endpoint),
                )
                .with(
                    "unreserved_resources_full",
                    views::full(&unreserved(known), &Shape::Endpoint, None),
                )
                .with("used_resources_full", used_full(known))
                .with(
                    "offered_resources_full",
                    views::full(&known.offered, &Shape::Endpoint, None),
                )
        });
    let recovered = state.recovered.iter().filter(|one| wanted(&one.id));
    object([
        ("slaves", list(agents)),
        ("recovered_slaves", list(recovered.map(recovered_agent))),
    ])
}

fn recovered_agent(agent: &Registration) -> J {
    object([
        ("id", J::from(agent.id.as_str())),
        ("hostname", agent.hostname.as_str().into()),
        ("port", J::Int(i64::from(agent.port))),
        ("attributes", empty()),
    ])
}

/// The answer to GET_AGENTS.
pub(crate) fn agents(state: &State, hidden: &[String]) -> J {
    let agents = state.agents.values().map(|known| {
        let agent = &known.registration;
        let info = object([
            ("hostname", J::from(agent.hostname.as_str())),
            ("port", J::Int(i64::from(agent.port))),
            ("resources", views::full(&agent.flagged, &Shape::Post, None)),
            ("id", value(&agent.id)),
            ("checkpoint", true.into()),
        ]);
        let seen: Vec<Resource> = known
            .total
            .iter()
            .filter(|one| {
                one.role()
                    .is_none_or(|role| !hidden.contains(&role.to_string()))
            })
            .cloned()
            .collect();
        let capabilities = agent
            .capabilities
            .iter()
            .map(|one| object([("type", J::from(one.as_str()))]));
        let mut json = object([
            ("agent_info", info),
            ("active", known.is_connected().into()),
            ("deactivated", false.into()),
            ("version", agent.version.as_str().into()),
            ("pid", pid(agent).into()),
            ("registered_time", nanoseconds(known.registered_time)),
            (
                "total_resources",
                views::full(&seen, &Shape::Endpoint, None),
            ),
        ]);
        if !agent.tasks.is_empty() {
            json.push("allocated_resources", used_full(known));
        }
        if !known.offered.is_empty() {
            json.push(
                "offered_resources",
                views::full(&known.offered, &Shape::Endpoint, None),
            );
        }
        json.with("capabilities", list(capabilities))
    });
    let agents: Vec<J> = agents.collect();
    let recovered: Vec<J> = state
        .recovered
        .iter()
        .map(|agent| {
            object([
                ("hostname", J::from(agent.hostname.as_str())),
                ("port", J::Int(i64::from(agent.port))),
                ("id", value(&agent.id)),
            ])
        })
        .collect();
    object([
        ("agents", J::List(agents)),
        ("recovered_agents", J::List(recovered)),
    ])
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "nanoseconds since 1970 fit for two more centuries"
)]
fn nanoseconds(seconds: f64) -> J {
    object([("nanoseconds", J::Int((seconds * 1e9) as i64))])
}

/// What the tasks of a framework use.
fn used_by(state: &State, framework: &str) -> Vec<Resource> {
    let mut used = Vec::new();
    for known in state.agents.values() {
        for (_, of, _, all) in &known.registration.tasks {
            if of == framework {
                used = with(&used, all);
            }
        }
    }
    used
}

fn framework(state: &State, one: &Framework, is_completed: bool) -> J {
    let used = used_by(state, &one.id);
    let tasks = state.agents.values().flat_map(|known| {
        let agent = &known.registration;
        agent
            .tasks
            .iter()
            .filter(|(_, framework, ..)| *framework == one.id)
            .map(|(id, framework, container, resources)| {
                let task = Task {
                    id: id.clone(),
                    framework: framework.clone(),
                    container: container.clone(),
                    resources: resources.clone(),
                };
                views::task(&task, &agent.id, "TASK_RUNNING")
            })
            .collect::<Vec<_>>()
    });
    let mut json = object([
        ("id", J::from(one.id.as_str())),
        ("name", one.name.as_str().into()),
        ("used_resources", views::numbers(used.iter())),
        ("offered_resources", views::numbers([].into_iter())),
        (
            "capabilities",
            list(["MULTI_ROLE", "RESERVATION_REFINEMENT"].map(J::from)),
        ),
        ("hostname", "".into()),
        ("webui_url", one.webui_url.as_str().into()),
        ("active", one.connected.into()),
        ("connected", one.connected.into()),
        ("recovered", false.into()),
        ("user", "root".into()),
        ("failover_timeout", one.failover_timeout.into()),
        ("checkpoint", true.into()),
        ("registered_time", one.registered_time.into()),
        ("unregistered_time", one.unregistered_time.into()),
    ]);
    if let Some(principal) = &one.principal {
        json.push("principal", principal.as_str().into());
    }
    json.push("resources", views::numbers(used.iter()));
    json.push(
        "roles",
        list(one.roles.iter().map(|one| one.as_str().into())),
    );
    json.push("tasks", list(tasks.filter(|_| !is_completed)));
    for key in [
        "unreachable_tasks",
        "completed_tasks",
        "offers",
        "executors",
    ] {
        json.push(key, list([]));
    }
    json.with("offer_constraints", empty())
}

/// `/frameworks`.
fn frameworks(state: &State) -> J {
    let all = state
        .frameworks
        .iter()
        .map(|one| framework(state, one, false));
    let completed = state
        .completed
        .iter()
        .map(|one| framework(state, one, true));
    object([
        ("frameworks", list(all)),
        ("completed_frameworks", list(completed)),
        ("unregistered_frameworks", list([])),
    ])
}

fn v1_frameworks(state: &State) -> J {
    let one = |framework: &Framework, is_completed: bool| {
        let mut info = object([
            ("user", J::from("root")),
            ("name", framework.name.as_str().into()),
            ("id", value(&framework.id)),
            ("failover_timeout", framework.failover_timeout.into()),
            ("checkpoint", true.into()),
        ]);
        if let Some(principal) = &framework.principal {
            info.push("principal", principal.as_str().into());
        }
        info.push(
            "roles",
            list(framework.roles.iter().map(|one| one.as_str().into())),
        );
        let mut json = object([
            ("framework_info", info),
            ("active", framework.connected.into()),
            ("connected", framework.connected.into()),
            ("recovered", false.into()),
            ("registered_time", nanoseconds(framework.registered_time)),
        ]);
        if is_completed {
            let time = nanoseconds(framework.unregistered_time);
            json.push("unregistered_time", time);
        }
        json
    };
    let mut json = empty();
    if !state.frameworks.is_empty() {
        let all = state
            .frameworks
            .iter()
            .map(|framework| one(framework, false));
        json.push("frameworks", list(all));
    }
    if !state.completed.is_empty() {
        let all = state.completed.iter().map(|framework| one(framework, true));
        json.push("completed_frameworks", list(all));
    }
    json
}

/// `/state`.
pub(crate) fn whole_state(state: &State, hidden: &[String]) -> J {
    let address = state.address();
    let pid = format!("master@{address}");
    let count = |truth: bool| {
        let agents = state.agents.values();
        let count = agents.filter(|one| one.is_connected() == truth).count();
        J::Real(u32::try_from(count).map_or(0.0, f64::from))
    };
    let mut json = object(views::build(
        &state.version,
        state.version.starts_with("1.12"),
    ));
    let leader_info = object([
        ("id", J::from(state.id.as_str())),
        ("pid", pid.as_str().into()),
        ("port", J::Int(i64::from(state.port))),
        ("hostname", state.ip.as_str().into()),
    ]);
    let flags = object([
        ("agent_ping_timeout", J::from("15secs")),
        ("agent_reregister_timeout", "10mins".into()),
        ("cluster", "sidecar-test".into()),
        ("hostname", state.ip.as_str().into()),
        ("ip", state.ip.as_str().into()),
        ("max_agent_ping_timeouts", "5".into()),
        ("max_completed_frameworks", "50".into()),
        ("port", state.port.to_string().into()),
    ]);
    for (key, value) in [
        ("start_time", state.start_time.into()),
        ("elected_time", state.elected_time.into()),
        ("id", J::from(state.id.as_str())),
        ("pid", pid.as_str().into()),
        ("hostname", state.ip.as_str().into()),
        (
            "capabilities",
            list(["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"].map(J::from)),
        ),
        ("activated_slaves", count(true)),
        ("deactivated_slaves", count(false)),
        ("unreachable_slaves", J::Real(0.0)),
        ("leader", pid.as_str().into()),
        ("leader_info", leader_info),
        ("cluster", "sidecar-test".into()),
        ("flags", flags),
    ] {
        json.push(key, value);
    }
    let agents = state.agents.values().map(|one| summary(one, hidden));
    json.push("slaves", list(agents));
    let recovered = state.recovered.iter().map(recovered_agent);
    json.push("recovered_slaves", list(recovered));
    let all = state
        .frameworks
        .iter()
        .map(|one| framework(state, one, false));
    json.push("frameworks", list(all));
    let completed = state
        .completed
        .iter()
        .map(|one| framework(state, one, true));
    json.push("completed_frameworks", list(completed));
    json.push("orphan_tasks", list([]));
    json.with("unregistered_frameworks", list([]))
}

/// Resources that are free on an agent, nobody's and in nobody's hands.
pub(super) fn free(known: &Known) -> Vec<Resource> {
    without(&unreserved(known), &known.offered).unwrap_or_default()
}
