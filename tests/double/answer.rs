//! The agent's HTTP: `/state` in the recorded shape.
#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON object makes the key"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use mesos_volumed::mesos::disk::SourceType;
use mesos_volumed::mesos::resource::{Reservation, ReservationType, Resource, Value};
use serde_json::{Map, Value as Json, json};
use tiny_http::{Header, Request, Response, Server};

use crate::agent::{Agent, say, unreserved};
use crate::flags::{Flags, Generation};

/// Opens the port.
pub(crate) fn listen(flags: &Flags) -> anyhow::Result<Server> {
    let server = Server::http((flags.ip.as_str(), flags.port))
        .map_err(|error| anyhow!("{}:{} can't be listened on: {error}", flags.ip, flags.port))?;
    say(&format!(
        "Mesos agent started on (1)@{}",
        server.server_addr()
    ))?;
    Ok(server)
}

/// Answers on a thread of its own; 503 until the recovery is over.
#[expect(
    clippy::disallowed_methods,
    reason = "how long the recovery has lasted is no decision of the daemon's"
)]
pub(crate) fn serve(server: Server, recovery: Duration, agent: Arc<Mutex<Agent>>) {
    let start = std::time::Instant::now();
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let recovering = start.elapsed() < recovery;
            // A client that went away is not the agent's trouble.
            drop(answer(request, recovering, &agent));
        }
    });
}

fn answer(request: Request, recovering: bool, agent: &Mutex<Agent>) -> std::io::Result<()> {
    let path = request.url().split('?').next().unwrap_or_default();
    match path.strip_prefix("/slave(1)").unwrap_or(path) {
        "/health" => request.respond(Response::empty(200)),
        "/state" if recovering => request.respond(
            Response::from_string("Agent has not finished recovery").with_status_code(503),
        ),
        "/state" => match state(&agent.lock().unwrap_or_else(PoisonError::into_inner)) {
            Ok(state) => request.respond(json_response(&state)),
            Err(error) => {
                request.respond(Response::from_string(format!("{error:#}")).with_status_code(500))
            }
        },
        _ => request.respond(Response::empty(404)),
    }
}

fn json_response(json: &Json) -> Response<std::io::Cursor<Vec<u8>>> {
    let response = Response::from_string(json.to_string());
    match Header::from_bytes("Content-Type", "application/json") {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    }
}

fn state(agent: &Agent) -> anyhow::Result<Json> {
    let flags = &agent.flags;
    let generation = flags.as_version.generation;
    let free = unreserved(agent)?;
    let mut reserved: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
    let fixed = agent
        .total
        .iter()
        .filter(|one| !one.reservations.is_empty());
    for one in agent.held.iter().chain(fixed) {
        let role = one.role().map(ToString::to_string).unwrap_or_default();
        reserved.entry(role).or_default().push(one);
    }
    let full: Map<String, Json> = reserved
        .iter()
        .map(|(role, list)| {
            let list: Vec<Json> = list.iter().map(|one| endpoint(one, generation)).collect();
            (role.clone(), Json::from(list))
        })
        .collect();
    let sums: Map<String, Json> = reserved
        .iter()
        .map(|(role, list)| (role.clone(), numbers(list.iter().copied())))
        .collect();
    let mut state = json!({
        "version": flags.as_version.to_string(),
        "git_sha": "",
        "git_branch": "",
        "build_date": "",
        "build_time": 0.0,
        "build_user": "",
        "start_time": 0.0,
        "id": agent.id,
        "pid": format!("slave(1)@{}:{}", flags.ip, flags.port),
        "hostname": flags.hostname,
        "resources": numbers(agent.total.iter()),
        "reserved_resources": sums,
        "unreserved_resources": numbers(free.iter()),
        "reserved_resources_full": full,
        "unreserved_resources_full": free.iter().map(|one| endpoint(one, generation)).collect::<Vec<_>>(),
        "attributes": {},
        "master_hostname": "localhost",
        "flags": {
            "default_role": "*",
            "hostname": flags.hostname,
            "ip": flags.ip,
            "master": flags.master,
            "port": flags.port.to_string(),
            "recover": "reconnect",
            "resources": agent.resources_text,
            "strict": "true",
            "work_dir": flags.work_dir.to_string_lossy(),
        },
        "frameworks": [],
        "completed_frameworks": [],
    });
    if generation == Generation::Operations {
        state["capabilities"] = json!([
            "MULTI_ROLE",
            "HIERARCHICAL_ROLE",
            "RESERVATION_REFINEMENT",
            "RESOURCE_PROVIDER",
            "RESIZE_VOLUME",
            "AGENT_OPERATION_FEEDBACK"
        ]);
        state["reserved_resources_allocated"] = json!({});
        state["unreserved_resources_allocated"] = numbers([].into_iter());
        state["resource_providers"] = json!([]);
        state["flags"]["reconfiguration_policy"] = json!("equal");
    }
    Ok(state)
}

/// Sums by name, as the endpoint shows them.
fn numbers<'a>(resources: impl Iterator<Item = &'a Resource>) -> Json {
    let mut sums: BTreeMap<&str, f64> =
        BTreeMap::from([("cpus", 0.0), ("disk", 0.0), ("gpus", 0.0), ("mem", 0.0)]);
    let mut json = Map::new();
    for one in resources {
        let name = one.name.as_str().unwrap_or_default();
        match &one.value {
            Value::Scalar(value) => *sums.entry(name).or_default() += value.as_f64(),
            Value::Ranges(ranges) => {
                let text: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
                json.insert(name.to_owned(), json!(format!("[{}]", text.join(", "))));
            }
            Value::Set(_) => {}
        }
    }
    json.extend(
        sums.iter()
            .map(|(name, sum)| ((*name).to_owned(), json!(sum))),
    );
    Json::Object(json)
}

/// A resource in the form of HTTP answers: with a single reservation both forms at once.
fn endpoint(one: &Resource, generation: Generation) -> Json {
    let mut json = json!({ "name": one.name.to_string() });
    match &one.value {
        Value::Scalar(value) => {
            json["type"] = json!("SCALAR");
            json["scalar"] = json!({ "value": value.as_f64() });
        }
        Value::Ranges(ranges) => {
            let list: Vec<Json> = ranges
                .iter()
                .map(|(begin, end)| json!({ "begin": begin, "end": end }))
                .collect();
            json["type"] = json!("RANGES");
            json["ranges"] = json!({ "range": list });
        }
        Value::Set(items) => {
            json["type"] = json!("SET");
            json["set"] = json!({ "item": items });
        }
    }
    match &one.reservations[..] {
        [] => json["role"] = json!("*"),
        [only] => {
            json["role"] = json!(only.role.to_string());
            if only.kind == ReservationType::Dynamic {
                json["reservation"] = reservation(only, false);
            }
        }
        [_, ..] => {}
    }
    if generation == Generation::Operations && !one.reservations.is_empty() {
        let list: Vec<Json> = one
            .reservations
            .iter()
            .map(|one| reservation(one, true))
            .collect();
        json["reservations"] = json!(list);
    }
    if let Some(persistence) = &one.persistence {
        json["disk"]["persistence"] = json!({ "id": persistence.id.to_string() });
        if let Some(principal) = &persistence.principal {
            json["disk"]["persistence"]["principal"] = json!(principal.to_string());
        }
        if let Some(path) = &persistence.container_path {
            json["disk"]["volume"] = json!({ "mode": "RW", "container_path": path.to_string() });
        }
    }
    if let Some(source) = &one.source {
        let root = source.root.as_ref().map(ToString::to_string);
        let root = json!({ "root": root });
        json["disk"]["source"] = match source.kind {
            SourceType::Path => json!({ "type": "PATH", "path": root }),
            SourceType::Mount => json!({ "type": "MOUNT", "mount": root }),
            SourceType::Block | SourceType::Raw | SourceType::Unknown(_) => json!({}),
        };
    }
    json
}

fn reservation(one: &Reservation, refined: bool) -> Json {
    let mut json = json!({});
    if refined {
        json["type"] = json!(match one.kind {
            ReservationType::Static => "STATIC",
            ReservationType::Dynamic | ReservationType::Unknown(_) => "DYNAMIC",
        });
        json["role"] = json!(one.role.to_string());
    }
    if let Some(principal) = &one.principal {
        json["principal"] = json!(principal.to_string());
    }
    json
}
