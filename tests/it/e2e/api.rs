//! What the daemon answers, through its socket and over TCP, against `config/openapi.json`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name, and start programs"
)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::host::{Daemon, Host, Parts};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

const PATIENCE: Duration = Duration::from_secs(40);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Self {
            status: head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Asks through the socket.
pub(super) fn socket(host: &Host, text: &str) -> Answer {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::of(&answer)
}

pub(crate) fn get(host: &Host, path: &str) -> Answer {
    socket(host, &request("GET", path, ""))
}

pub(crate) fn post(host: &Host, path: &str, body: &Value) -> Answer {
    socket(host, &request("POST", path, &body.to_string()))
}

pub(super) fn tcp_address(daemon: &Daemon) -> String {
    let log = daemon.log();
    let (_, rest) = log.split_once("metrics are at http://").unwrap();
    rest.split_once("/metrics").unwrap().0.to_owned()
}

/// Asks over TCP.
pub(super) fn tcp(daemon: &Daemon, text: &str) -> Answer {
    let mut stream = TcpStream::connect(tcp_address(daemon)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::of(&answer)
}

/// A host with a volume that stays, an orphan, and something in the trash; TCP is on.
pub(super) fn lively() -> (Host, Daemon) {
    let mut host = Host::new(Parts {
        settings: "[trash]\nretention = \"1h\"\n[daemon]\nlisten = \"127.0.0.1:0\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 5);
    let orphan = host.volume("PATH", "nobodys");
    std::fs::create_dir_all(&orphan).unwrap();
    std::fs::write(orphan.join("file"), "x").unwrap();
    let daemon = host.daemon();
    daemon.two_passes();
    host.destroy("goes");
    wait_until("it lies in the trash", PATIENCE, || {
        get(&host, "/v1/trash").json()["items"][0]["state"] == "cleared"
    });
    (host, daemon)
}

fn document() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The schema of the answer to an operation, with all types that it names beside it.
fn schema(document: &Value, operation: &Value, media: &str) -> Value {
    let mut schema = operation["responses"]["200"]["content"][media]["schema"].clone();
    schema["components"] = document["components"].clone();
    schema
}

#[track_caller]
fn validates(schema: &Value, answer: &Value, what: &str) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{answer:#}");
}

fn a_schema_takes_not_everything(host: &Host, document: &Value) {
    let volumes = schema(
        document,
        &document["paths"]["/v1/volumes"]["get"],
        "application/json",
    );
    let mut wrong = get(host, "/v1/volumes").json();
    wrong["volumes"][0]["novel"] = json!(1);
    assert!(!jsonschema::is_valid(&volumes, &wrong));
    wrong = get(host, "/v1/volumes").json();
    wrong["volumes"][0]["state"] = json!("fine");
    assert!(!jsonschema::is_valid(&volumes, &wrong));
}

/// Nothing that the file does not have.
fn nothing_else_answers(host: &Host, daemon: &Daemon, paths: &serde_json::Map<String, Value>) {
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
    ];
    let mut asked: Vec<String> = paths.keys().cloned().collect();
    asked.extend(
        [
            "/",
            "/v1",
            "/v1/",
            "/v2/status",
            "/v1/status/",
            "/V1/status",
            "/v1//status",
            "/v1/%73tatus",
        ]
        .map(ToOwned::to_owned),
    );
    for path in &asked {
        for method in methods {
            let in_file = |method: &str| {
                paths
                    .get(path)
                    .is_some_and(|operations| operations.get(method.to_lowercase()).is_some())
            };
            if in_file(method) || (method == "HEAD" && in_file("GET")) {
                continue;
            }
            let text = request(method, path, "");
            let wanted = if paths.contains_key(path) { 405 } else { 404 };
            let answer = socket(host, &text);
            assert_eq!(answer.status, wanted, "{method} {path}: {answer:?}");
            assert_eq!(
                answer.head.contains("\r\nallow: "),
                wanted == 405,
                "{answer:?}"
            );
            let answer = tcp(daemon, &text);
            assert!(
                [404, 405].contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[test]
fn root_every_route_answers_as_the_file_says_and_nothing_else_answers() {
    if !entered("e2e::api::root_every_route_answers_as_the_file_says_and_nothing_else_answers") {
        return;
    }
    let (host, daemon) = lively();
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10, "{}", paths.len());
    let mut seen = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let everywhere = operation["tags"] == json!(["tcp and socket"]);
            assert!(
                !everywhere || method == "get",
                "{method} {path} would change something over TCP"
            );
            if method != "get" {
                // They are asked in `operate`; here only what can't change anything.
                let over_tcp = tcp(&daemon, &request("POST", path, "{}"));
                assert_eq!(over_tcp.status, 404, "{path}: {over_tcp:?}");
                let wrong = socket(&host, &request("POST", path, "{\"novel\": 1}"));
                assert_eq!(wrong.status, 400, "{path}: {wrong:?}");
                seen.insert(path.clone());
                continue;
            }
            let answers = if path == "/events" {
                // It has no end; `page` listens to it.
                Vec::new()
            } else if everywhere {
                vec![get(&host, path), tcp(&daemon, &request("GET", path, ""))]
            } else {
                let over_tcp = tcp(&daemon, &request("GET", path, ""));
                assert_eq!(over_tcp.status, 404, "{path}: {over_tcp:?}");
                vec![get(&host, path)]
            };
            for answer in answers {
                // A holder can't be told of where pid 1 may not be looked at.
                assert!([200, 503].contains(&answer.status), "{path}: {answer:?}");
                if operation["responses"]["200"]["content"]["application/json"].is_object() {
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                    assert!(
                        answer.head.contains("content-type: application/json"),
                        "{answer:?}"
                    );
                    let schema = schema(&document, operation, "application/json");
                    validates(&schema, &answer.json(), path);
                } else {
                    let content = operation["responses"]["200"]["content"]
                        .as_object()
                        .unwrap();
                    let media = content.keys().next().unwrap();
                    assert!(
                        answer.head.contains(&format!("content-type: {media}")),
                        "{answer:?}"
                    );
                }
                seen.insert(path.clone());
            }
            let head = socket(&host, &request("HEAD", path, ""));
            assert!(
                [200, 503].contains(&head.status) && head.body.is_empty(),
                "{head:?}"
            );
        }
    }
    a_schema_takes_not_everything(&host, &document);
    nothing_else_answers(&host, &daemon, paths);
    println!("{} routes answered: {seen:?}", seen.len());
    daemon.stop();
}

#[test]
fn root_what_changes_something_answers_as_the_file_says() {
    if !entered("e2e::api::root_what_changes_something_answers_as_the_file_says") {
        return;
    }
    let (host, daemon) = lively();
    let entry = get(&host, "/v1/trash").json()["items"][0]["id"].clone();
    let path = host.root("PATH");
    let asked = [
        ("pause", json!({ "root": path })),
        ("resume", json!({})),
        ("sweep", json!({})),
        ("adopt", json!({ "volume": "r/nobodys" })),
        ("adopt", json!({ "volume": "r/nobodys", "undo": true })),
        ("restore", json!({ "entry": entry })),
        ("purge", json!({ "all": true })),
        (
            "wipe",
            json!({ "volume": "r/nobodys", "confirm": "nobodys" }),
        ),
        (
            "recreate",
            json!({ "volume": "r/stays", "confirm": "stays" }),
        ),
        ("accept", json!({ "root": path })),
        // No master is configured that could be asked.
        (
            "destroy",
            json!({ "volume": "r/stays", "confirm": "stays" }),
        ),
    ];
    let document = document();
    let mut wanted = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        if operations.get("post").is_some() {
            wanted.insert(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    for (name, body) in asked {
        let path = format!("/v1/{name}");
        let operation = &document["paths"][&path]["post"];
        let mut of_body = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        of_body["components"] = document["components"].clone();
        validates(&of_body, &body, &path);
        let answer = post(&host, &path, &body);
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        let answer = answer.json();
        validates(
            &schema(&document, operation, "application/json"),
            &answer,
            &path,
        );
        if answer.get("result").is_some() {
            let ends = if name == "destroy" { "refused" } else { "done" };
            assert_eq!(answer["result"], ends, "{path} {body}: {answer:#}");
        }
        seen.insert(path);
    }
    assert_eq!(seen, wanted);
    daemon.stop();
}

/// Without what moves between two looks: free space, and times that pass.
fn still(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for key in [
                    "age_ms",
                    "free_bytes",
                    "expires_in_ms",
                    // Now and what is left, each rounded: it may be a second more or less.
                    "expires_at",
                    "plan",
                    "agent_pids",
                ] {
                    object.remove(key);
                }
                let code = object.get("code").and_then(Value::as_str);
                if matches!(code, Some("retention" | "grace_period")) {
                    object.remove("reason");
                }
                object.values_mut().for_each(walk);
            }
            Value::Array(list) => {
                // Loop devices of others come and go.
                list.retain(|item| item.get("drive").is_none() || !item["type"].is_null());
                list.iter_mut().for_each(walk);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&mut value);
    value
}

#[test]
fn root_the_api_tells_what_the_commands_tell() {
    if !entered("e2e::api::root_the_api_tells_what_the_commands_tell") {
        return;
    }
    let (host, daemon) = lively();
    daemon.two_passes();
    for (path, command) in [
        ("/v1/disks", &["discover"][..]),
        ("/v1/volumes", &["volumes", "list"]),
        ("/v1/trash", &["trash", "list"]),
        ("/v1/receipts", &["receipts"]),
    ] {
        let by_command = host.run(&[command, &["--output", "json"]].concat()).json();
        let by_api = get(&host, path).json();
        similar_asserts::assert_eq!(still(by_api), still(by_command), "{path}");
    }
    let plan = get(&host, "/v1/plan");
    let by_command = host.run(&["plan", "--output", "json"]).json();
    similar_asserts::assert_eq!(still(plan.json())["kept"], still(by_command)["kept"]);
    // Answers that are not of now say how old they are.
    for path in ["/v1/disks", "/v1/volumes", "/v1/trash"] {
        assert!(get(&host, path).head.contains("\r\nage: "), "{path}");
    }
    let volume = get(&host, "/v1/receipts?volume=r%2Fgoes&limit=1").json();
    assert_eq!(volume["receipts"].as_array().unwrap().len(), 1);
    assert_eq!(get(&host, "/v1/receipts?volum=r%2Fgoes").status, 400);
    daemon.stop();
}

#[test]
fn root_the_socket_is_for_its_group_is_replaced_when_stale_and_goes_at_the_end() {
    if !entered(
        "e2e::api::root_the_socket_is_for_its_group_is_replaced_when_stale_and_goes_at_the_end",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[daemon]\nsocket_group = \"daemon\"\n",
        ..Parts::default()
    });
    host.agent.start();
    let daemon = host.daemon();
    let stat = std::fs::metadata(host.socket()).unwrap();
    assert!(stat.file_type().is_socket());
    assert_eq!(stat.permissions().mode() & 0o7777, 0o660);
    let group = nix::unistd::Group::from_name("daemon").unwrap().unwrap();
    assert_eq!((stat.uid(), stat.gid()), (0, group.gid.as_raw()));
    // Who is not of the group can't even connect.
    let asks = |options: &[&str]| {
        let output = Command::new("setpriv")
            .args(options)
            .args(["curl", "--silent", "--fail", "--unix-socket"])
            .arg(host.socket())
            .arg("http://localhost/v1/status")
            .output()
            .unwrap();
        output.status.code()
    };
    open_up(&host);
    assert_eq!(asks(&["--reuid=nobody", "--clear-groups"]), Some(7));
    assert_eq!(
        asks(&["--reuid=nobody", "--regid=daemon", "--clear-groups"]),
        Some(0)
    );
    assert_eq!(asks(&[]), Some(0));
    daemon.kill();
    assert!(
        host.socket().symlink_metadata().is_ok(),
        "killed, it leaves its socket"
    );
    let daemon = host.daemon();
    assert_eq!(get(&host, "/v1/status").status, 200);
    host.configure("[daemon]\nsocket_group = \"there-is-none\"\n");
    daemon.signal(rustix::process::Signal::HUP);
    wait_until("it is made anew for root alone", PATIENCE, || {
        daemon.log().contains("there is no group there-is-none")
            && std::fs::metadata(host.socket()).is_ok_and(|stat| stat.gid() == 0)
    });
    daemon.stop();
    assert!(
        host.socket().symlink_metadata().is_err(),
        "stopped, it takes its socket away"
    );
}

/// Lets everybody come to the socket of a test, which lies in folders for root alone.
pub(super) fn open_up(host: &Host) {
    for folder in host.socket().ancestors().skip(1) {
        let mode = std::fs::metadata(folder).unwrap().permissions().mode();
        if mode & 0o1 == 0 {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o011))
                .unwrap();
        }
    }
}

#[test]
fn root_hostile_clients_hold_nobody_up_and_are_sent_away() {
    if !entered("e2e::api::root_hostile_clients_hold_nobody_up_and_are_sent_away") {
        return;
    }
    let (host, daemon) = lively();
    let connect = || UnixStream::connect(host.socket()).unwrap();
    // Those that never finish their head, their body, or reading.
    let mut slow: Vec<UnixStream> = (0..30)
        .map(|number| {
            let mut stream = connect();
            let begun: &[u8] = match number % 3 {
                0 => b"GET /v1/status HTTP/1.1\r\nX: ",
                1 => b"POST /v1/sweep HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
                _ => b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            // The later ones are sent away at once.
            drop(stream.write_all(begun));
            stream
        })
        .collect();
    let start = Instant::now();
    wait_until("places are free again", Duration::from_secs(8), || {
        let mut stream = connect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(stream.write_all(request("GET", "/healthz", "").as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        Answer::of(&answer).status == 200
    });
    println!("answered after {:?} beside 30 that hang", start.elapsed());
    slow.clear();
    let wide = |bytes: usize| {
        format!(
            "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    let many: String = (0..100).fold(String::new(), |text, number| {
        text + &format!("H{number}: x\r\n")
    });
    let many = format!("GET /v1/status HTTP/1.1\r\n{many}\r\n");
    for (text, wanted) in [
        (wide(20_000), 431),
        (many, 431),
        ("no request at all\r\n\r\n".to_owned(), 400),
        ("GET /v1/status HTTP/9.9\r\n\r\n".to_owned(), 400),
        (request("GET", &format!("/{}", "x".repeat(7000)), ""), 404),
        (
            "POST /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                .to_owned(),
            400,
        ),
    ] {
        let mut stream = connect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be sent away before it has said all.
        drop(stream.write_all(text.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = Answer::of(&answer);
        assert_eq!(answer.status, wanted, "{answer:?}");
    }
    let huge = request("POST", "/v1/status", &"x".repeat(70_000));
    let mut stream = connect();
    drop(stream.write_all(huge.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert_eq!(
        Answer::of(&answer).status,
        413,
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(get(&host, "/v1/status").status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .unwrap()
        .count();
    assert!(open < 64, "{open} descriptors are open");
    daemon.stop();
}

#[test]
fn root_the_curl_lines_of_the_readme_work() {
    if !entered("e2e::api::root_the_curl_lines_of_the_readme_work") {
        return;
    }
    let (host, daemon) = lively();
    let readme = include_str!("../../../config/guide/daemon.md");
    let (_, rest) = readme
        .split_once("<!-- curl: run by tests/it/e2e/api.rs -->\n```sh\n")
        .unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    assert!(lines.lines().count() >= 3);
    let socket = host.socket().display().to_string();
    for line in lines.lines() {
        let line = line.replace("/run/mesos-volumed/api.sock", &socket);
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer.is_object(), "{line}: {answer}");
    }
    daemon.stop();
}
