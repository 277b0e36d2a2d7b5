//! The stand-in master: what it takes, what it forgets, and what reaches an agent.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::stand_ins::agent::Running;
use crate::stand_ins::cluster::{Cluster, Flags};
use crate::stand_ins::control;
use crate::stand_ins::flags;
use crate::stand_ins::http::Access;
use crate::stand_ins::master::{Framework, MasterOrder};
use crate::support::stand_in::wait_until;

/// A master, and an agent that listens at a socket.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) temp: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        Self {
            cluster: Cluster::start(&Flags::default()).unwrap(),
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// An agent of this name and version; its process is this one.
    pub(super) fn agent(&self, name: &str, version: &str) -> Agent {
        let at = |part: &str| {
            let path = self.temp.path().join(format!("{name}-{part}"));
            path.display().to_string()
        };
        let resources = json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 4096}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 400}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 300},
             "disk": {"source": {"type": "PATH", "path": {"root": at("path")}}}},
        ]);
        let flags = <flags::Flags as clap::Parser>::parse_from([
            "mesos-agent",
            &format!("--work_dir={}", at("work")),
            &format!("--control={}", at("control")),
            &format!("--as_version={version}"),
            &format!("--master={}", self.cluster.address()),
            &format!("--hostname={name}"),
            &format!("--resources={resources}"),
            &format!("--agent_id={name}"),
            &format!("--port={}", crate::support::stand_in::free_port()),
        ]);
        let mut agent = Agent {
            flags,
            running: None,
        };
        agent.start();
        wait_until("the agent is known", Duration::from_secs(10), || {
            self.get("/slaves").to_string().contains(name)
        });
        agent
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.cluster.address())
    }

    pub(super) fn get(&self, path: &str) -> Json {
        fetch(&self.url(path))
    }

    pub(super) fn call(&self, call: &Json) -> (u16, String) {
        send("POST", &self.url("/api/v1"), &call.to_string())
    }

    pub(super) fn operate(&self, kind: &str, agent: &str, key: &str, list: &Json) -> (u16, String) {
        let member = kind.to_ascii_lowercase();
        self.call(&json!({"type": kind, member: {"agent_id": {"value": agent}, key: list}}))
    }
}

/// An agent that can end and come back.
pub(super) struct Agent {
    pub(super) flags: flags::Flags,
    pub(super) running: Option<(std::sync::Arc<Running>, std::thread::JoinHandle<()>)>,
}

impl Agent {
    pub(super) fn start(&mut self) {
        let running = std::sync::Arc::new(Running::start(self.flags.clone()).unwrap());
        let (one, socket) = (running.clone(), self.flags.control.clone());
        let thread = std::thread::spawn(move || {
            // It ends with an error once the agent is dead.
            drop(control::serve(&socket, &one));
        });
        self.running = Some((running, thread));
    }

    /// As when its process is killed: nobody listens any more.
    pub(super) fn stop(&mut self) {
        let (running, thread) = self.running.take().unwrap();
        running.agent.lock().unwrap().dead = true;
        drop(running);
        // Whatever comes next finds it dead.
        drop(control::send(&self.flags.control, &control::Order::Show));
        thread.join().unwrap();
        let gone = || {
            let stream = std::os::unix::net::UnixStream::connect(&self.flags.control);
            stream.is_err()
        };
        wait_until("its socket is closed", Duration::from_secs(5), gone);
    }

    pub(super) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(super) fn volume(&self, role: &str, id: &str) -> std::path::PathBuf {
        let volumes = self.flags.work_dir.join("volumes/roles");
        volumes.join(role).join(id)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
    }
}

pub(super) fn fetch(url: &str) -> Json {
    let text = ureq::get(url).call().unwrap().body_mut().read_to_string();
    serde_json::from_str(&text.unwrap()).unwrap()
}

pub(super) fn send(method: &str, url: &str, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let client = ureq::Agent::new_with_config(config);
    let kind = "application/json";
    let answer = match method {
        "GET" => client.get(url).call(),
        "DELETE" => client.delete(url).call(),
        "PUT" => client.put(url).content_type(kind).send(body),
        _ => client.post(url).content_type(kind).send(body),
    };
    let mut answer = answer.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

pub(super) fn reserved(size: f64) -> Json {
    json!([{"name": "disk", "type": "SCALAR", "scalar": {"value": size},
        "reservations": [{"type": "DYNAMIC", "role": "r"}]}])
}

pub(super) fn volume(id: &str, size: f64) -> Json {
    let mut json = reserved(size);
    json[0]["disk"] = json!({"persistence": {"id": id},
        "volume": {"mode": "RW", "container_path": "data"}});
    json
}

fn taken() -> (u16, String) {
    (202, String::new())
}

#[test]
fn an_operation_reaches_the_agent_after_the_master_took_it() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    let slow = MasterOrder::DeliveredAfter(0.3);
    site.cluster.master.order(slow).unwrap();
    assert_eq!(
        site.operate("RESERVE_RESOURCES", "nobody", "resources", &reserved(50.0)),
        (400, "No agent found with specified ID".to_owned())
    );
    let take = |kind, key, list: &Json| site.operate(kind, "a1", key, list);
    assert_eq!(
        take("RESERVE_RESOURCES", "resources", &reserved(50.0)),
        taken()
    );
    assert_eq!(
        take("CREATE_VOLUMES", "volumes", &volume("v", 50.0)),
        taken()
    );
    assert!(site.get("/slaves").to_string().contains("\"id\":\"v\""));
    let directory = agent.volume("r", "v");
    let there = || directory.symlink_metadata().is_ok();
    wait_until("the agent makes it", Duration::from_secs(5), there);
    assert_eq!(
        take("RESERVE_RESOURCES", "resources", &reserved(1000.0)).0,
        409
    );
    assert_eq!(
        take("DESTROY_VOLUMES", "volumes", &volume("v", 50.0)),
        taken()
    );
    wait_until("the agent deletes it", Duration::from_secs(5), || !there());
}

/// N1 of the facts: the master drops the volume, the message is lost, the agent brings it back.
#[test]
fn a_destroy_for_an_agent_that_is_down_is_taken_and_lost() {
    for (version, is_lost) in [("1.11.0", true), ("1.4.0", false)] {
        let site = Site::new();
        let mut agent = site.agent("a1", version);
        site.operate("RESERVE_RESOURCES", "a1", "resources", &reserved(50.0));
        site.operate("CREATE_VOLUMES", "a1", "volumes", &volume("v", 50.0));
        let directory = agent.volume("r", "v");
        let there = || directory.symlink_metadata().is_ok();
        wait_until("it is made", Duration::from_secs(5), there);
        agent.stop();
        assert_eq!(
            site.operate("DESTROY_VOLUMES", "a1", "volumes", &volume("v", 50.0)),
            taken()
        );
        let listed = || site.get("/slaves").to_string().contains("\"id\":\"v\"");
        assert!(!listed() && there());
        agent.start();
        if is_lost {
            wait_until("it is back", Duration::from_secs(5), listed);
            assert!(there());
        } else {
            wait_until("the agent is told", Duration::from_secs(5), || !there());
        }
    }
}

#[test]
fn after_a_failover_only_what_is_connected_comes_back() {
    let site = Site::new();
    let _agent = site.agent("a1", "1.11.0");
    let master = &site.cluster.master;
    let away = Framework {
        id: "away".to_owned(),
        name: "kafka".to_owned(),
        failover_timeout: 604_800.0,
        ..Framework::default()
    };
    master.order(MasterOrder::Framework(away)).unwrap();
    master
        .order(MasterOrder::Disconnect("away".to_owned()))
        .unwrap();
    let frameworks = |key: &str| -> Vec<Json> {
        let all = site.get("/frameworks")[key].as_array().unwrap().clone();
        all.into_iter().map(|one| one["id"].clone()).collect()
    };
    assert_eq!(frameworks("frameworks").len(), 2);
    let elected = site.get("/state")["elected_time"].as_f64().unwrap();
    master.order(MasterOrder::Failover).unwrap();
    assert!(site.get("/state")["elected_time"].as_f64().unwrap() > elected);
    let v1 = site.call(&json!({"type": "GET_FRAMEWORKS"})).1;
    assert!(v1.contains("marathon") && !v1.contains("kafka"), "{v1}");
    assert_eq!(frameworks("frameworks").len(), 1, "marathon alone");
    wait_until("the agent is back", Duration::from_secs(5), || {
        site.get("/slaves")["slaves"].as_array().unwrap().len() == 1
    });
    let marathon = frameworks("frameworks")[0].as_str().unwrap().to_owned();
    master.order(MasterOrder::Complete(marathon)).unwrap();
    assert_eq!(frameworks("completed_frameworks").len(), 1);
}

#[test]
fn who_asks_the_wrong_master_or_has_no_rights_is_told() {
    let site = Site::new();
    let _agent = site.agent("a1", "1.11.0");
    let master = &site.cluster.master;
    let leader = MasterOrder::Lead(Some("127.0.0.1:9".to_owned()));
    master.order(leader).unwrap();
    for path in ["/slaves", "/state", "/redirect"] {
        let (status, _) = send("GET", &site.url(path), "");
        assert_eq!(status, 307, "{path}");
    }
    assert_eq!(site.call(&json!({"type": "GET_AGENTS"})).0, 307);
    master.order(MasterOrder::Lead(None)).unwrap();
    assert_eq!(site.call(&json!({"type": "GET_AGENTS"})).0, 200);
    assert_eq!(send("GET", &site.url("/api/v1"), "").0, 405);
    assert_eq!(site.call(&json!({})).0, 400);

    let forbidden = vec!["DESTROY_VOLUMES".to_owned()];
    master.order(MasterOrder::Forbid(forbidden)).unwrap();
    let refused = site.operate("DESTROY_VOLUMES", "a1", "volumes", &volume("v", 1.0));
    assert_eq!(refused, (403, String::new()));
    let access = Access {
        basic: Some("ops:secret".to_owned()),
        ..Access::default()
    };
    master.order(MasterOrder::Access(access)).unwrap();
    assert_eq!(send("GET", &site.url("/slaves"), "").0, 401);
    assert_eq!(site.call(&json!({"type": "GET_AGENTS"})).0, 401);
    let known = ureq::get(&site.url("/slaves"))
        .header("Authorization", "Basic b3BzOnNlY3JldA==")
        .call();
    assert_eq!(known.unwrap().status().as_u16(), 200);
}

#[test]
fn faults_come_where_they_are_wanted() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    site.operate("RESERVE_RESOURCES", "a1", "resources", &reserved(50.0));
    let (running, _) = agent.running.as_ref().unwrap();
    let state = format!("http://127.0.0.1:{}/state", running.port);
    wait_until("it is reserved", Duration::from_secs(5), || {
        fetch(&state)["reserved_resources_full"]["r"].is_array()
    });
    let faults = |json: &str| {
        let json = json.to_owned();
        running.order(&control::Order::Faults { json }).unwrap();
    };
    faults(r#"{"hidden_roles": ["r"]}"#);
    assert!(fetch(&state)["reserved_resources_full"]["r"].is_null());
    faults(r#"{"paths": [{"path": "/state", "status": 503, "times": 1}]}"#);
    assert_eq!(send("GET", &state, "").0, 503);
    assert_eq!(send("GET", &state, "").0, 200);
    faults(r#"{"paths": [{"path": "/state", "half": true}]}"#);
    let (status, half) = send("GET", &state, "");
    assert!(status == 200 && serde_json::from_str::<Json>(&half).is_err());
    faults(r#"{"paths": [{"path": "/api/v1#GET_TASKS", "status": 401}]}"#);
    let call = |kind: &str| {
        let url = format!("http://127.0.0.1:{}/api/v1", running.port);
        send("POST", &url, &json!({ "type": kind }).to_string()).0
    };
    assert_eq!((call("GET_TASKS"), call("GET_AGENT")), (401, 200));
}

#[test]
fn while_an_agent_deletes_it_answers_nobody() {
    let site = Site::new();
    let agent = site.agent("a1", "1.11.0");
    site.operate("RESERVE_RESOURCES", "a1", "resources", &reserved(50.0));
    site.operate("CREATE_VOLUMES", "a1", "volumes", &volume("v", 50.0));
    let directory = agent.volume("r", "v");
    wait_until("it is made", Duration::from_secs(5), || {
        directory.symlink_metadata().is_ok()
    });
    for number in 0..50 {
        std::fs::File::create(directory.join(number.to_string())).unwrap();
    }
    let (running, _) = agent.running.as_ref().unwrap();
    running
        .order(&control::Order::DeletePause {
            microseconds: 10_000,
        })
        .unwrap();
    site.operate("DESTROY_VOLUMES", "a1", "volumes", &volume("v", 50.0));
    wait_until("it deletes", Duration::from_secs(5), || {
        std::fs::read_dir(&directory).is_ok_and(|left| left.count() < 50)
    });
    // The answer comes when all is gone, never from the middle.
    let state = fetch(&format!("http://127.0.0.1:{}/state", running.port));
    assert!(directory.symlink_metadata().is_err());
    assert!(!state.to_string().contains("\"id\":\"v\""));
}
