//! The stand-in Marathon: instances keep their volumes until they are wiped.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::cluster::{Agent, Site, fetch, send};
use crate::stand_ins::marathon::MarathonOrder;
use crate::support::stand_in::wait_until;

fn app(id: &str, instances: u32) -> String {
    json!({
        "id": id, "instances": instances, "cpus": 0.1, "mem": 32, "cmd": "sleep 1000",
        "container": {"type": "MESOS", "volumes": [{"containerPath": "pgdata", "mode": "RW",
            "persistent": {"type": "root", "size": 50}}]},
        "residency": {"taskLostBehavior": "WAIT_FOREVER"},
    })
    .to_string()
}

fn url(site: &Site, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", site.cluster.marathon_port)
}

fn tasks(site: &Site, app: &str) -> Vec<Json> {
    let list = fetch(&url(site, &format!("/v2/apps{app}/tasks")));
    list["tasks"].as_array().unwrap().clone()
}

/// Whether a task runs, by Marathon's own sign.
fn runs(task: &Json) -> bool {
    task["stagedAt"].is_string() && task["state"] == "TASK_RUNNING"
}

fn running(site: &Site, app: &str) -> usize {
    tasks(site, app).iter().filter(|one| runs(one)).count()
}

fn soon(what: &str, holds: impl FnMut() -> bool) {
    wait_until(what, Duration::from_secs(10), holds);
}

fn persistence(task: &Json) -> String {
    let id = task["localVolumes"][0]["persistenceId"].as_str();
    id.unwrap().to_owned()
}

fn directory(agent: &Agent, task: &Json) -> std::path::PathBuf {
    agent.volume("marathon", &persistence(task))
}

#[test]
fn a_scaled_down_instance_waits_with_its_volume_and_runs_on_it_again() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    let (status, _) = send("POST", &url(&site, "/v2/apps"), &app("/db/pg", 2));
    assert_eq!(status, 201);
    soon("both run", || running(&site, "/db/pg") == 2);
    let before = tasks(&site, "/db/pg");
    let id = persistence(&before[0]);
    assert!(id.starts_with("db_pg#pgdata#"), "{id}");
    soon("volumes are made", || {
        let made = |task| directory(&agent, task).symlink_metadata().is_ok();
        before.iter().all(made)
    });
    let scale = |count: u32| {
        let body = json!({ "instances": count }).to_string();
        send("PUT", &url(&site, "/v2/apps/db/pg"), &body).0
    };
    assert_eq!(scale(1), 200);
    soon("one waits", || running(&site, "/db/pg") == 1);
    let waiting = tasks(&site, "/db/pg");
    let waiting = waiting.iter().find(|one| !runs(one)).unwrap();
    assert!(waiting["version"].is_null() && waiting["startedAt"].is_null());
    assert!(directory(&agent, waiting).symlink_metadata().is_ok());
    soon("the deployment ends", || scale(2) == 200);
    soon("both run again", || running(&site, "/db/pg") == 2);
    let mut after: Vec<String> = tasks(&site, "/db/pg").iter().map(persistence).collect();
    let mut then: Vec<String> = before.iter().map(persistence).collect();
    after.sort();
    then.sort();
    assert_eq!(after, then, "on the volumes they had");
    let held = site.get("/slaves").to_string();
    assert!(held.contains(&id) && held.contains("marathon_task_id"));
}

#[test]
fn wipe_destroys_and_unreserves_and_can_not_scale_at_once() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    send("POST", &url(&site, "/v2/apps"), &app("/pg", 1));
    soon("it runs", || running(&site, "/pg") == 1);
    let old = tasks(&site, "/pg").remove(0);
    let data = directory(&agent, &old);
    soon("its volume is made", || data.symlink_metadata().is_ok());
    let one = format!("/v2/apps/pg/tasks/{}", old["id"].as_str().unwrap());
    let delete = |query: &str| send("DELETE", &url(&site, &format!("{one}?{query}")), "");
    let (status, said) = delete("wipe=true&scale=true");
    assert_eq!(status, 400);
    assert!(said.contains("scale and wipe at the same time"), "{said}");

    assert_eq!(delete("scale=true").0, 200);
    soon("it waits", || running(&site, "/pg") == 0);
    assert!(data.symlink_metadata().is_ok());
    let (status, said) = delete("wipe=true");
    assert_eq!(status, 200);
    assert!(said.contains(&persistence(&old)), "{said}");
    soon("its data are gone", || data.symlink_metadata().is_err());
    soon("it is gone", || tasks(&site, "/pg").is_empty());
    soon("nothing is reserved", || {
        site.get("/slaves")["slaves"][0]["reserved_resources_full"] == json!({})
    });
    assert_eq!(delete("wipe=true").0, 404);
}

#[test]
fn a_locked_app_says_409_unless_forced_and_a_lost_agent_loses_nothing() {
    let site = Site::new();
    let mut agent = site.agent("a1", "1.11.0");
    let marathon = site.cluster.marathon.clone().unwrap();
    marathon
        .order(MarathonOrder::HoldDeployments(true))
        .unwrap();
    send("POST", &url(&site, "/v2/apps"), &app("/pg", 1));
    soon("it runs", || running(&site, "/pg") == 1);
    let body = json!({"instances": 2}).to_string();
    let (status, said) = send("PUT", &url(&site, "/v2/apps/pg"), &body);
    assert_eq!(status, 409);
    assert!(said.contains("locked by one or more deployments"), "{said}");
    let forced = url(&site, "/v2/apps/pg?force=true");
    assert_eq!(send("PUT", &forced, "{}").0, 200);
    marathon
        .order(MarathonOrder::HoldDeployments(false))
        .unwrap();

    let task = tasks(&site, "/pg").remove(0);
    let data = directory(&agent, &task);
    soon("its volume is made", || data.symlink_metadata().is_ok());
    agent.stop();
    soon("it is lost", || {
        tasks(&site, "/pg")[0]["state"] == "TASK_UNREACHABLE"
    });
    agent.start();
    soon("it runs again", || running(&site, "/pg") == 1);
    assert_eq!(persistence(&tasks(&site, "/pg")[0]), persistence(&task));
    assert!(data.symlink_metadata().is_ok());

    assert_eq!(send("DELETE", &url(&site, "/v2/apps/pg"), "").0, 200);
    soon("app and data are gone", || {
        data.symlink_metadata().is_err() && fetch(&url(&site, "/v2/apps"))["apps"] == json!([])
    });
}

#[test]
fn groups_and_pods_are_shown_with_what_is_in_them() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    send("POST", &url(&site, "/v2/apps"), &app("/shop/db/pg", 1));
    let pod = json!({"id": "/shop/cache", "scaling": {"kind": "fixed", "instances": 1},
        "containers": [{"name": "c"}],
        "volumes": [{"name": "disk", "persistent": {"type": "path", "size": 10}}]});
    assert_eq!(
        send("POST", &url(&site, "/v2/pods"), &pod.to_string()).0,
        201
    );
    let status = || fetch(&url(&site, "/v2/pods/shop/cache::status"));
    soon("the pod runs", || {
        status()["instances"][0]["status"] == "STABLE"
    });
    let id = status()["instances"][0]["localVolumes"][0]["persistenceId"].clone();
    assert!(id.as_str().unwrap().starts_with("shop_cache#disk#"));
    let group = fetch(&url(&site, "/v2/groups/shop"));
    assert_eq!(group["groups"][0]["id"], "/shop/db");
    assert_eq!(group["groups"][0]["apps"][0]["id"], "/shop/db/pg");
    assert_eq!(group["pods"][0]["id"], "/shop/cache");
    soon("the app runs", || running(&site, "/shop/db/pg") == 1);
    let app = fetch(&url(&site, "/v2/apps?embed=apps.tasks"));
    assert_eq!(app["apps"][0]["tasks"].as_array().unwrap().len(), 1);
    drop(agent);
}

#[test]
fn a_task_that_ends_by_itself_is_launched_again_on_its_volume() {
    let site = Site::new();
    let mut agent = site.agent("a1", "1.11.0");
    send("POST", &url(&site, "/v2/apps"), &app("/pg", 1));
    soon("it runs", || running(&site, "/pg") == 1);
    let old = tasks(&site, "/pg").remove(0);
    let marathon = site.cluster.marathon.clone().unwrap();
    let id = old["id"].as_str().unwrap().to_owned();
    marathon.order(MarathonOrder::Fail(id.clone())).unwrap();
    soon("it runs anew", || {
        let tasks = tasks(&site, "/pg");
        runs(&tasks[0]) && tasks[0]["id"] == format!("{id}.2")
    });
    agent.restart();
    soon("it still runs", || running(&site, "/pg") == 1);
    assert_eq!(persistence(&tasks(&site, "/pg")[0]), persistence(&old));
}
