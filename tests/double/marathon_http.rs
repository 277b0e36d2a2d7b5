//! Marathon's HTTP.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::http::{Answer, Asked};
use super::json::J;
use super::marathon::{
    App, Goal, Instance, InstanceState, Marathon, MarathonOrder, State, names, stamp,
};

/// The answer to a request.
pub(super) fn answer(asked: &Asked, marathon: &Arc<Marathon>) -> Answer {
    if asked.path == "/double/order" {
        let order = serde_json::from_str::<MarathonOrder>(&asked.body);
        let done = order
            .map_err(anyhow::Error::from)
            .and_then(|order| marathon.order(order));
        return match done {
            Ok(()) => Answer::empty(200),
            Err(error) => Answer::text(400, format!("{error:#}")),
        };
    }
    if asked.path == "/ping" {
        return Answer::text(200, "pong\n");
    }
    let mut state = marathon.lock();
    if let Some(refused) = state.access.refuse(asked, "Mesosphere") {
        return refused;
    }
    if state.access.read_only && asked.method != "GET" {
        return message(403, "Not Authorized to perform this action!");
    }
    let path = asked.path.trim_end_matches('/').to_owned();
    let method = asked.method.as_str();
    if let Some(rest) = path.strip_prefix("/v2/apps") {
        return apps(asked, method, rest, &mut state);
    }
    if let Some(rest) = path.strip_prefix("/v2/pods") {
        return pods(asked, method, rest, &mut state);
    }
    if let Some(rest) = path.strip_prefix("/v2/groups") {
        return groups(asked, method, rest, &mut state);
    }
    match (method, path.as_str()) {
        ("GET", "/v2/info") => ok(&json!({
            "name": "marathon",
            "version": "1.9.109",
            "elected": true,
            "frameworkId": state.framework,
            "marathon_config": {"mesos_role": state.role, "mesos_authentication_principal": state.principal},
        })),
        ("GET", "/v2/tasks") => {
            let tasks: Vec<Json> = state.apps.iter().flat_map(tasks).collect();
            ok(&json!({ "tasks": tasks }))
        }
        ("POST", "/v2/tasks/delete") => delete_tasks(asked, &mut state),
        ("GET", "/v2/deployments") => {
            let all: Vec<Json> = state
                .deployments
                .iter()
                .map(|one| json!({"id": one.id, "affectedApps": one.apps, "affectedPods": [], "steps": []}))
                .collect();
            ok(&Json::from(all))
        }
        _ => message(404, "HTTP 404 Not Found"),
    }
}

fn ok(json: &Json) -> Answer {
    Answer::json(&J::from(json))
}

fn message(status: u16, text: &str) -> Answer {
    let mut answer = ok(&json!({ "message": text }));
    answer.status = status;
    answer
}

fn locked(by: &[String]) -> Answer {
    let deployments: Vec<Json> = by.iter().map(|id| json!({ "id": id })).collect();
    let mut answer = ok(&json!({
        "message": "App is locked by one or more deployments. Override with the option \
                    '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.",
        "deployments": deployments,
    }));
    answer.status = 409;
    answer
}

fn deployed(done: Result<String, Vec<String>>) -> Answer {
    match done {
        Ok(id) => ok(&json!({"version": stamp(), "deploymentId": id})),
        Err(by) => locked(&by),
    }
}

/// The absolute id in a path; both `/v2/apps/a/b` and `/v2/apps//a/b` name `/a/b`.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

fn apps(asked: &Asked, method: &str, rest: &str, state: &mut State) -> Answer {
    let embeds = asked.query.iter().any(|(key, value)| {
        key == "embed" && (value.contains("apps.tasks") || value.contains("app.tasks"))
    });
    if rest.is_empty() {
        return match method {
            "GET" => {
                let id = asked.parameter("id");
                let wanted = |app: &&App| !app.is_pod && id.is_none_or(|id| app.id.contains(id));
                let all: Vec<Json> = state
                    .apps
                    .iter()
                    .filter(wanted)
                    .map(|app| app_json(app, state, embeds))
                    .collect();
                ok(&json!({ "apps": all }))
            }
            "POST" => add(asked, state, false),
            _ => message(405, "HTTP 405 Method Not Allowed"),
        };
    }
    if let Some((id, task)) = rest.split_once("/tasks") {
        return app_tasks(asked, method, &absolute(id), task.trim_matches('/'), state);
    }
    let (id, restarts) = match rest.strip_suffix("/restart") {
        Some(id) => (absolute(id), true),
        None => (absolute(rest), false),
    };
    let Some(index) = state
        .apps
        .iter()
        .position(|app| app.id == id && !app.is_pod)
    else {
        return message(404, &format!("App '{id}' does not exist"));
    };
    let force = asked.says("force");
    match method {
        "GET" => match state.apps.get(index) {
            // A single app always comes with its tasks.
            Some(app) => ok(&json!({ "app": app_json(app, state, true) })),
            None => message(404, ""),
        },
        "POST" if restarts => {
            let done = state.deploy(vec![id], force);
            if let (Ok(_), Some(app)) = (&done, state.apps.get_mut(index)) {
                app.version = stamp();
                // Old tasks are killed first; their reservations are taken over.
                for instance in &mut app.instances {
                    if instance.goal == Goal::Running {
                        instance.goal = Goal::Stopped;
                    }
                }
            }
            deployed(done)
        }
        "PUT" | "PATCH" => {
            let Ok(update) = serde_json::from_str::<Json>(&asked.body) else {
                return message(400, "Invalid JSON");
            };
            let done = state.deploy(vec![id], force);
            if let (Ok(_), Some(app)) = (&done, state.apps.get_mut(index)) {
                for (key, value) in update.as_object().into_iter().flatten() {
                    app.set(key, value.clone());
                }
                app.version = stamp();
            }
            deployed(done)
        }
        "DELETE" => {
            let done = state.deploy(vec![id], force);
            if let (Ok(_), Some(app)) = (&done, state.apps.get_mut(index)) {
                delete(app);
            }
            deployed(done)
        }
        _ => message(405, "HTTP 405 Method Not Allowed"),
    }
}

fn delete(app: &mut App) {
    app.is_deleted = true;
    for instance in &mut app.instances {
        instance.goal = Goal::Decommissioned;
    }
}

fn add(asked: &Asked, state: &mut State, is_pod: bool) -> Answer {
    let Ok(spec) = serde_json::from_str::<Json>(&asked.body) else {
        return message(400, "Invalid JSON");
    };
    let Some(id) = spec.get("id").and_then(Json::as_str).map(absolute) else {
        return message(422, "Object is not valid");
    };
    if state.apps.iter().any(|app| app.id == id) {
        return message(409, &format!("An app with id [{id}] already exists."));
    }
    let done = state.deploy(vec![id.clone()], asked.says("force"));
    let app = App {
        id,
        spec,
        is_pod,
        version: stamp(),
        instances: Vec::new(),
        is_deleted: false,
    };
    let mut answer = ok(&app_json(&app, state, false));
    state.apps.push(app);
    answer.status = 201;
    match done {
        Ok(id) => answer.header("Marathon-Deployment-Id", id),
        Err(by) => locked(&by),
    }
}

/// Which of these instances are meant, and what happens to them.
fn app_tasks(asked: &Asked, method: &str, id: &str, task: &str, state: &mut State) -> Answer {
    // `/v2/apps/group/*/tasks` names all apps of a group.
    if let Some(group) = id.strip_suffix("/*") {
        let inside = |app: &&App| app.id.starts_with(&format!("{group}/"));
        let all: Vec<Json> = state.apps.iter().filter(inside).flat_map(tasks).collect();
        return ok(&json!({ "tasks": all }));
    }
    let Some(index) = state.apps.iter().position(|app| app.id == id) else {
        return message(404, &format!("App '{id}' does not exist"));
    };
    let Some(app) = state.apps.get(index) else {
        return message(404, "");
    };
    match method {
        "GET" => ok(&json!({ "tasks": tasks(app) })),
        "DELETE" => {
            let host = asked.parameter("host");
            let meant: Vec<String> = app
                .instances
                .iter()
                .filter(|one| task.is_empty() || names(app, one, task))
                .filter(|one| host.is_none_or(|host| host == "*" || one.host == host))
                .map(|one| one.uuid.clone())
                .collect();
            let (wipe, scale) = (asked.says("wipe"), asked.says("scale"));
            if wipe && scale {
                return message(400, "You cannot use scale and wipe at the same time.");
            }
            if meant.is_empty() && !task.is_empty() {
                return message(404, &format!("Task '{task}' does not exist"));
            }
            if scale {
                return kill_and_scale(state, index, &meant, asked.says("force"));
            }
            let Some(app) = state.apps.get_mut(index) else {
                return message(404, "");
            };
            let mut killed = kill(app, &meant, wipe);
            if task.is_empty() {
                ok(&json!({ "tasks": killed }))
            } else {
                ok(&json!({ "task": killed.pop() }))
            }
        }
        _ => message(405, "HTTP 405 Method Not Allowed"),
    }
}

/// Tasks end; with `wipe` their instances do.
fn kill(app: &mut App, meant: &[String], wipe: bool) -> Vec<Json> {
    let all = app.clone();
    let mut killed = Vec::new();
    for instance in &mut app.instances {
        if meant.contains(&instance.uuid) {
            killed.push(task_json(&all, instance));
            if wipe {
                instance.goal = Goal::Decommissioned;
            } else if instance.goal == Goal::Running {
                // It ends in the next round, and is launched again in the one after.
                instance.goal = Goal::Stopped;
            }
        }
    }
    killed
}

fn kill_and_scale(state: &mut State, index: usize, meant: &[String], force: bool) -> Answer {
    let Some(id) = state.apps.get(index).map(|app| app.id.clone()) else {
        return message(404, "");
    };
    let done = state.deploy(vec![id], force);
    if let (Ok(_), Some(app)) = (&done, state.apps.get_mut(index)) {
        let mut fewer = 0;
        for instance in &mut app.instances {
            if meant.contains(&instance.uuid) && instance.goal == Goal::Running {
                instance.goal = Goal::Stopped;
                fewer = usize::saturating_add(fewer, 1);
            }
        }
        let running = app.instances.iter().filter(|one| one.goal == Goal::Running);
        let left = running.count();
        app.scale(left);
    }
    deployed(done)
}

/// `POST /v2/tasks/delete` with `{"ids": […]}`.
fn delete_tasks(asked: &Asked, state: &mut State) -> Answer {
    let (wipe, scale) = (asked.says("wipe"), asked.says("scale"));
    if wipe && scale {
        return message(400, "You cannot use scale and wipe at the same time.");
    }
    let body = serde_json::from_str::<Json>(&asked.body).unwrap_or_default();
    let ids: Vec<&str> = body
        .get("ids")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let mut killed = Vec::new();
    for id in ids {
        let Some((app, instance)) = state.find(id) else {
            continue;
        };
        let uuid = state
            .apps
            .get(app)
            .and_then(|app| Some(app.instances.get(instance)?.uuid.clone()));
        let meant: Vec<String> = uuid.into_iter().collect();
        if scale {
            let answer = kill_and_scale(state, app, &meant, asked.says("force"));
            if answer.status != 200 {
                return answer;
            }
        } else if let Some(app) = state.apps.get_mut(app) {
            killed.extend(kill(app, &meant, wipe));
        }
    }
    ok(&json!({ "tasks": killed }))
}

/// The tasks of an app.
fn tasks(app: &App) -> Vec<Json> {
    app.instances
        .iter()
        .map(|one| task_json(app, one))
        .collect()
}

fn local_volumes(app: &App, instance: &Instance) -> Json {
    instance
        .resources
        .iter()
        .filter_map(|one| {
            let persistence = one.persistence.as_ref()?;
            let id = persistence.id.to_string();
            let path = persistence.container_path.as_ref()?.to_string();
            let uuid = id.rsplit('#').next()?.to_owned();
            Some(json!({
                "runSpecId": app.id,
                "containerPath": path,
                "uuid": uuid,
                "persistenceId": id,
            }))
        })
        .collect()
}

fn task_json(app: &App, instance: &Instance) -> Json {
    let state = match instance.state {
        InstanceState::Running => "TASK_RUNNING",
        InstanceState::Waiting => "TASK_KILLED",
        InstanceState::Lost => "TASK_UNREACHABLE",
    };
    let mut json = json!({
        "id": app.task_id(instance),
        "appId": app.id,
        "host": instance.host,
        "slaveId": instance.agent,
        "state": state,
        "healthCheckResults": [],
        "ipAddresses": [],
        "servicePorts": [],
        "ports": [],
        "localVolumes": local_volumes(app, instance),
    });
    if instance.state != InstanceState::Waiting {
        let staged = instance.staged_at.as_str();
        put(&mut json, "stagedAt", staged.into());
        put(&mut json, "startedAt", staged.into());
        put(&mut json, "version", app.version.as_str().into());
    }
    json
}

fn put(json: &mut Json, key: &str, value: Json) {
    if let Json::Object(members) = json {
        members.insert(key.to_owned(), value);
    }
}

fn app_json(app: &App, state: &State, embeds: bool) -> Json {
    let count = |wanted: InstanceState| {
        let all = app.instances.iter();
        all.filter(|one| one.state == wanted).count()
    };
    let mut json = json!({
        "cpus": 0.1,
        "mem": 32,
        "disk": 0,
        "instances": 1,
        "dependencies": [],
        "labels": {},
        "constraints": [],
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0},
        "unreachableStrategy": "disabled",
        "killSelection": "YOUNGEST_FIRST",
    });
    for (key, value) in app.spec.as_object().into_iter().flatten() {
        put(&mut json, key, value.clone());
    }
    let deployments: Vec<Json> = state
        .deployments
        .iter()
        .filter(|one| one.apps.contains(&app.id))
        .map(|one| json!({ "id": one.id }))
        .collect();
    put(&mut json, "id", app.id.as_str().into());
    put(&mut json, "role", state.role.as_str().into());
    put(&mut json, "version", app.version.as_str().into());
    put(
        &mut json,
        "versionInfo",
        json!({"lastScalingAt": app.version, "lastConfigChangeAt": app.version}),
    );
    put(&mut json, "tasksStaged", 0.into());
    put(
        &mut json,
        "tasksRunning",
        count(InstanceState::Running).into(),
    );
    put(&mut json, "tasksHealthy", 0.into());
    put(&mut json, "tasksUnhealthy", 0.into());
    put(&mut json, "deployments", deployments.into());
    if embeds {
        put(&mut json, "tasks", tasks(app).into());
    }
    json
}

fn group_json(id: &str, state: &State) -> Json {
    let prefix = if id == "/" {
        "/".to_owned()
    } else {
        format!("{id}/")
    };
    let inside: Vec<&App> = state
        .apps
        .iter()
        .filter(|app| app.id.starts_with(&prefix))
        .collect();
    let direct = |app: &&&App| !app.id.get(prefix.len()..).unwrap_or_default().contains('/');
    let of = |pods: bool| -> Vec<Json> {
        let here = inside
            .iter()
            .filter(direct)
            .filter(|app| app.is_pod == pods);
        here.map(|app| app_json(app, state, false)).collect()
    };
    let mut groups: Vec<String> = inside
        .iter()
        .filter_map(|app| app.id.get(prefix.len()..)?.split_once('/'))
        .map(|(group, _)| format!("{prefix}{group}"))
        .collect();
    groups.sort();
    groups.dedup();
    let groups: Vec<Json> = groups.iter().map(|id| group_json(id, state)).collect();
    json!({"id": id, "apps": of(false), "pods": of(true), "groups": groups, "dependencies": []})
}

fn groups(asked: &Asked, method: &str, rest: &str, state: &mut State) -> Answer {
    let id = absolute(rest);
    let prefix = format!("{}/", id.trim_end_matches('/'));
    if id != "/" && !state.apps.iter().any(|app| app.id.starts_with(&prefix)) {
        return message(404, &format!("Group '{id}' does not exist"));
    }
    match method {
        "GET" => ok(&group_json(&id, state)),
        "DELETE" => {
            let ids: Vec<String> = state
                .apps
                .iter()
                .filter(|app| app.id.starts_with(&prefix))
                .map(|app| app.id.clone())
                .collect();
            let done = state.deploy(ids.clone(), asked.says("force"));
            if done.is_ok() {
                let meant = state.apps.iter_mut().filter(|app| ids.contains(&app.id));
                meant.for_each(delete);
            }
            deployed(done)
        }
        _ => message(405, "HTTP 405 Method Not Allowed"),
    }
}

fn pod_status(app: &App) -> Json {
    let instances: Vec<Json> = app
        .instances
        .iter()
        .map(|one| {
            let status = match one.state {
                InstanceState::Running => "STABLE",
                InstanceState::Waiting => "TERMINAL",
                InstanceState::Lost => "DEGRADED",
            };
            let task = match one.state {
                InstanceState::Running => "TASK_RUNNING",
                InstanceState::Waiting => "TASK_KILLED",
                InstanceState::Lost => "TASK_UNREACHABLE",
            };
            json!({
                "id": app.task_id(one),
                "status": status,
                "agentId": one.agent,
                "agentHostname": one.host,
                "containers": [{"name": "main", "status": task}],
                "specReference": format!("/v2/pods{}::versions/{}", app.id, app.version),
                "localVolumes": local_volumes(app, one),
            })
        })
        .collect();
    json!({"id": app.id, "spec": app.spec, "status": "STABLE", "instances": instances, "terminationHistory": []})
}

fn pods(asked: &Asked, method: &str, rest: &str, state: &mut State) -> Answer {
    let (id, about) = rest.split_once("::").unwrap_or((rest, ""));
    let all = || state.apps.iter().filter(|app| app.is_pod);
    if id.trim_matches('/').is_empty() {
        return match (method, about) {
            ("GET", "") => ok(&all().map(|app| app.spec.clone()).collect()),
            ("GET", "status") => ok(&all().map(pod_status).collect()),
            ("POST", "") => add(asked, state, true),
            _ => message(405, "HTTP 405 Method Not Allowed"),
        };
    }
    let id = absolute(id);
    let Some(index) = state.apps.iter().position(|app| app.id == id && app.is_pod) else {
        return message(404, &format!("Pod '{id}' does not exist"));
    };
    let Some(app) = state.apps.get(index) else {
        return message(404, "");
    };
    match (method, about) {
        ("GET", "") => ok(&app.spec),
        ("GET", "status") => ok(&pod_status(app)),
        ("DELETE", "") => {
            let done = state.deploy(vec![id], asked.says("force"));
            if let (Ok(_), Some(app)) = (&done, state.apps.get_mut(index)) {
                delete(app);
            }
            deployed(done)
        }
        ("DELETE", about) => {
            let task = about.strip_prefix("instances/").unwrap_or_default();
            let meant: Vec<String> = app
                .instances
                .iter()
                .filter(|one| names(app, one, task))
                .map(|one| one.uuid.clone())
                .collect();
            match state.apps.get_mut(index) {
                Some(app) if !meant.is_empty() => {
                    kill(app, &meant, asked.says("wipe"));
                    ok(&pod_status(app))
                }
                _ => message(404, &format!("Task '{task}' does not exist")),
            }
        }
        _ => message(405, "HTTP 405 Method Not Allowed"),
    }
}
