//! Apps of the stand-in Marathon, on hosts whose agents are registered with its master.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::e2e::host::Host;
use crate::stand_ins::cluster::Cluster;
use crate::support::stand_in::wait_until;

/// Asks Marathon.
pub(super) fn ask(method: &str, cluster: &Cluster, path: &str, body: &str) -> Json {
    let url = format!("http://127.0.0.1:{}{path}", cluster.marathon_port);
    let answer = match method {
        "GET" => ureq::get(&url).call(),
        "DELETE" => ureq::delete(&url).call(),
        "PUT" => ureq::put(&url).send(body),
        _ => ureq::post(&url).send(body),
    };
    let text = answer.unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The tasks of an app.
pub(super) fn tasks(cluster: &Cluster, app: &str) -> Vec<Json> {
    let list = ask("GET", cluster, &format!("/v2/apps{app}/tasks"), "");
    list["tasks"].as_array().unwrap().clone()
}

/// How many of them run.
pub(super) fn running(cluster: &Cluster, app: &str) -> usize {
    let tasks = tasks(cluster, app);
    let run = tasks.iter().filter(|one| one["state"] == "TASK_RUNNING");
    run.count()
}

pub(super) fn soon(what: &str, holds: impl FnMut() -> bool) {
    wait_until(what, Duration::from_secs(40), holds);
}

/// Starts the agent anew, known to this master.
pub(super) fn register(host: &mut Host, cluster: &Cluster, flags: &[&str]) {
    let before = cluster.master.lock().agents.len();
    host.agent.stop();
    let master = format!("--master={}", cluster.address());
    host.agent.set_flags(&[flags, &[&master]].concat());
    host.agent.start();
    soon("the agent is known", || {
        cluster.master.lock().agents.len() > before
    });
}

/// These settings, with master and Marathon.
pub(super) fn through(cluster: &Cluster, settings: &str) -> String {
    format!(
        "{settings}\n[master]\nurls = [\"http://{}\"]\n[marathon]\nurl = \"http://127.0.0.1:{}\"\n",
        cluster.address(),
        cluster.marathon_port
    )
}

/// An app with a volume on PATH.
pub(super) fn app(id: &str, instances: u32) -> Json {
    json!({
        "id": id, "cpus": 0.1, "mem": 32, "instances": instances,
        "container": {"type": "MESOS", "volumes": [{"containerPath": "data", "mode": "RW",
            "persistent": {"type": "path", "size": 8}}]},
        "residency": {"taskLostBehavior": "WAIT_FOREVER"},
        "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
    })
}
