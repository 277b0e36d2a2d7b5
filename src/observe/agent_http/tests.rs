#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::mesos::resource::Resource;
use crate::sys::http::Secret;

const OURS: &str = "/srv/m/state/agent";
const ID: &str = "639c1f60-ce04-483e-8e54-a6e476833f04-S0";

fn recorded() -> Vec<u8> {
    std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/mesos/stages/S02_volumes_root_path_mount/agent_state.json"
    ))
    .unwrap()
}

fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut state: serde_json::Value = serde_json::from_slice(&recorded()).unwrap();
    change(&mut state);
    serde_json::to_vec(&state).unwrap()
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok(body: &[u8]) -> Vec<u8> {
    response("200 OK", "Content-Type: application/json\r\n", body)
}

/// Answers one request with these bytes, in pieces of this size, with this pause between them; then
/// closes. Gives back what was asked.
fn serve(bytes: Vec<u8>, piece: usize, pause: Duration) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = request(&mut stream);
        // It knows nothing but the first question.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                self::request(&mut stream);
                drop(stream.write_all(&response("404 Not Found", "", b"")));
            }
        });
        for piece in bytes.chunks(piece) {
            if stream.write_all(piece).is_err() {
                break;
            }
            thread::sleep(pause);
        }
        request
    });
    (url, server)
}

/// A request with its body: what is left unread would break the connection off.
fn request(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            if count == 0 {
                return request;
            }
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.parse().unwrap());
        if count == 0 || body.len() >= length {
            return request;
        }
    }
}

/// What comes of an agent that answers `/state` as recorded, and calls of its operator API so: those that
/// are not named it does not know.
fn with_api(calls: &[(&str, Vec<u8>)]) -> AgentAnswer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls: Vec<(String, Vec<u8>)> = calls
        .iter()
        .map(|(call, answer)| (format!("\"{call}\""), answer.clone()))
        .collect();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let asked = request(&mut stream);
            let known = calls.iter().find(|(call, _)| asked.contains(call));
            let answer = match known {
                _ if asked.starts_with("GET /state") => ok(&recorded()),
                Some((_, answer)) => answer.clone(),
                None => response("400 Bad Request", "", b"Failed to validate agent::Call"),
            };
            drop(stream.write_all(&answer));
        }
    });
    answer_to(&url, &latest())
}

fn stage(stage: &str, file: &str) -> Vec<u8> {
    let stages = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mesos/stages");
    std::fs::read(std::path::Path::new(stages).join(stage).join(file)).unwrap()
}

const LIMITS: Limits = Limits {
    connect: Duration::from_millis(500),
    total: Duration::from_millis(500),
    body: 1 << 20,
};

fn answer_to(url: &str, latest: &Known<Raw>) -> AgentAnswer {
    ask(&Question {
        url: Some(url),
        access: &Access::default(),
        work_dir: &Raw::from(OURS),
        latest,
        limits: LIMITS,
    })
}

fn latest() -> Known<Raw> {
    Known::Known(Raw::from(ID))
}

/// What comes of an agent that answers these bytes at once.
fn outcome(bytes: Vec<u8>) -> AgentAnswer {
    let (url, server) = serve(bytes, usize::MAX, Duration::ZERO);
    let answer = answer_to(&url, &latest());
    server.join().unwrap();
    answer
}

fn why(answer: AgentAnswer) -> String {
    let AgentAnswer::Unknown(why) = answer else {
        panic!("{answer:?}")
    };
    why.0
}

fn whole(answer: AgentAnswer) -> AgentState {
    let AgentAnswer::State(state) = answer else {
        panic!("{answer:?}")
    };
    state
}

#[test]
fn a_recorded_answer_is_believed() {
    let before = clock::since_boot();
    let state = whole(outcome(ok(&recorded())));
    assert_eq!(state.id, Raw::from(ID));
    assert_eq!(state.version.unwrap().minor, 12);
    let volumes = state.resources.iter().filter_map(Resource::volume_key);
    assert_eq!(volumes.count(), 3);
    assert_eq!(
        state.flag_roots,
        Known::Known(vec![
            Raw::from("/srv/m/mnt/path0"),
            Raw::from("/srv/m/mnt/vol0")
        ])
    );
    assert!(state.asked_at >= before && state.asked_at <= clock::since_boot());
}

#[test]
fn the_request_names_principal_and_path_and_the_secret_is_not_printed() {
    let (url, server) = serve(ok(&recorded()), usize::MAX, Duration::ZERO);
    let access = Access {
        basic: Some(("sidecar".to_owned(), Secret::new("s3cret"))),
        ..Access::default()
    };
    let question = Question {
        url: Some(&url),
        access: &access,
        work_dir: &Raw::from(OURS),
        latest: &latest(),
        limits: LIMITS,
    };
    assert!(matches!(ask(&question), AgentAnswer::State(_)));
    let request = server.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /state http/1.1\r\n"), "{request}");
    // base64 of `sidecar:s3cret`, in lower case as the request above.
    assert!(
        request.contains("\r\nauthorization: basic c2lkzwnhcjpzm2nyzxq=\r\n"),
        "{request}"
    );
    assert!(!format!("{question:?}").contains("s3cret"));
}

#[test]
fn nobody_to_ask_and_nobody_listening_are_two_answers() {
    let question = Question {
        url: None,
        access: &Access::default(),
        work_dir: &Raw::from(OURS),
        latest: &latest(),
        limits: LIMITS,
    };
    assert_eq!(ask(&question), AgentAnswer::NotConfigured);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    assert_eq!(answer_to(&url, &latest()), AgentAnswer::Refused);
}

#[test]
fn a_recovering_agent_is_recovering() {
    assert_eq!(
        outcome(response(
            "503 Service Unavailable",
            "",
            b"Agent has not finished recovery"
        )),
        AgentAnswer::Recovering
    );
}

#[test]
fn every_other_status_is_unknown() {
    for (status, words) in [
        (
            "401 Unauthorized",
            "answers 401 Unauthorized; name a principal",
        ),
        ("403 Forbidden", "answers 403 Forbidden; name a principal"),
        ("404 Not Found", "answers 404 Not Found"),
        ("500 Internal Server Error", "answers 500"),
        ("204 No Content", "answers 204"),
        ("206 Partial Content", "answers 206"),
    ] {
        let body: &[u8] = if status.starts_with("204") {
            b""
        } else {
            b"{}"
        };
        let why = why(outcome(response(status, "", body)));
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let (elsewhere, never_asked) = serve(ok(&recorded()), usize::MAX, Duration::ZERO);
    let why = why(outcome(response(
        "307 Temporary Redirect",
        &format!("Location: {elsewhere}/state\r\n"),
        b"",
    )));
    assert!(why.contains("answers 307"), "{why}");
    assert!(!never_asked.is_finished());
    // Let the other server end.
    drop(TcpStream::connect(elsewhere.trim_start_matches("http://")).unwrap());
    assert_eq!(never_asked.join().unwrap(), "");
}

#[test]
fn half_an_answer_is_no_answer() {
    let (body, complete) = (recorded(), ok(&recorded()));
    for missing in [1, 100, body.len() / 2, body.len()] {
        let cut = complete[..complete.len() - missing].to_vec();
        let why = why(outcome(cut));
        assert!(why.contains("does not answer"), "{missing}: {why}");
    }
    // Without a length the end of the connection is the end of the answer.
    let mut unbounded = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    unbounded.extend_from_slice(&body);
    assert!(matches!(outcome(unbounded.clone()), AgentAnswer::State(_)));
    unbounded.truncate(unbounded.len() - 2);
    assert!(why(outcome(unbounded)).contains("no whole JSON document"));
    // A length that is too short cuts the answer as well.
    let mut short = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        body.len() - 5
    )
    .into_bytes();
    short.extend_from_slice(&body);
    assert!(why(outcome(short)).contains("no whole JSON document"));
    // A chunk that does not end.
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{".to_vec();
    chunked.extend_from_slice(b"\"id\"");
    assert!(why(outcome(chunked)).contains("does not answer"));
    assert!(why(outcome(Vec::new())).contains("does not answer"));
    assert!(why(outcome(b"SSH-2.0-x\r\n".to_vec())).contains("does not answer"));
}

#[test]
fn an_answer_that_drips_is_given_up() {
    let (url, server) = serve(ok(&recorded()), 1, Duration::from_millis(20));
    let begin = clock::since_boot();
    let why = why(answer_to(&url, &latest()));
    let took = clock::since_boot().0.checked_sub(begin.0).unwrap();
    assert!(why.ends_with("does not answer within 500ms"), "{why}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    server.join().unwrap();
}

#[test]
fn an_agent_that_takes_the_connection_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let why = why(answer_to(&url, &latest()));
    assert!(why.ends_with("does not answer within 500ms"), "{why}");
}

#[test]
fn an_endless_answer_is_given_up() {
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    bytes.extend(vec![b' '; (1 << 20) + 100]);
    assert!(why(outcome(bytes)).contains("more than 1048576 bytes"));
}

#[test]
fn the_answer_of_another_agent_is_not_ours() {
    let other_id = Known::Known(Raw::from("another-S1"));
    let (url, server) = serve(ok(&recorded()), usize::MAX, Duration::ZERO);
    let words = why(answer_to(&url, &other_id));
    assert!(
        words.contains("but another-S1 is the one of our work_dir"),
        "{words}"
    );
    server.join().unwrap();
    let (url, server) = serve(ok(&recorded()), usize::MAX, Duration::ZERO);
    assert!(why(answer_to(&url, &Known::Absent)).contains("never had an agent"));
    server.join().unwrap();
    let moved = changed(|state| state["flags"]["work_dir"] = "/var/lib/other".into());
    assert_eq!(
        why(outcome(ok(&moved))).split_once(' ').unwrap().1,
        "is that of an agent with --work_dir /var/lib/other, and ours is /srv/m/state/agent"
    );
    let relative = changed(|state| state["flags"]["work_dir"] = "srv/m/state/agent".into());
    assert!(why(outcome(ok(&relative))).contains("--work_dir srv/m"));
}

#[test]
fn the_same_work_dir_may_be_written_in_another_way() {
    let slashes = changed(|state| state["flags"]["work_dir"] = "/srv//m/state/agent/".into());
    whole(outcome(ok(&slashes)));
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(
        other_work_dir(&Raw::from(real.as_path()), &Raw::from(link.as_path())),
        None
    );
    assert!(other_work_dir(&Raw::from(real.as_path()), &Raw::from(folder.path())).is_some());
    assert!(other_work_dir(&Raw::from("/none"), &Raw::from("/nowhere")).is_some());
}

#[test]
fn hidden_flags_need_an_id_that_we_know() {
    let hidden = changed(|state| drop(state.as_object_mut().unwrap().remove("flags")));
    let state = whole(outcome(ok(&hidden)));
    assert!(state.flag_roots.why().unwrap().0.contains("VIEW_FLAGS"));
    let (url, server) = serve(ok(&hidden), usize::MAX, Duration::ZERO);
    let answer = answer_to(&url, &Known::unknown("unreadable"));
    assert!(why(answer).contains("does not tell whose it is"));
    server.join().unwrap();
    // Before the first registration there is no id; the work_dir is enough.
    let nameless = changed(|state| state["id"] = "".into());
    assert_eq!(whole(outcome(ok(&nameless))).id, Raw::from(""));
}

#[test]
fn an_unreadable_flag_or_version_is_said_to_be_so() {
    let odd = changed(|state| {
        state["flags"]["resources"] = "disk".into();
        state["version"] = "newest".into();
    });
    let state = whole(outcome(ok(&odd)));
    assert!(
        state
            .flag_roots
            .why()
            .unwrap()
            .0
            .contains("Bad value for resources")
    );
    assert_eq!(state.version, None);
}

#[test]
fn what_the_operator_api_knows_is_added() {
    let plain = whole(with_api(&[]));
    assert!(plain.operations.is_empty() && plain.tasks.is_empty());
    // Recorded: a task that runs with a volume.
    let tasks = stage("S11_task_running", "agent_v1_GET_TASKS.json");
    let state = whole(with_api(&[("GET_TASKS", ok(&tasks))]));
    assert_eq!(state.tasks.len(), 1, "{:?}", state.tasks);
    assert_eq!(state.tasks[0].volumes.len(), 3);
    assert!(!state.tasks[0].framework.is_empty());
    // One that is not at its end, and one that is.
    let volume = serde_json::json!({ "name": "disk", "type": "SCALAR", "scalar": { "value": 5.0 },
        "reservations": [{ "type": "DYNAMIC", "role": "r", "principal": "p" }],
        "disk": { "persistence": { "id": "v", "principal": "p" },
                  "volume": { "container_path": "d", "mode": "RW" } } });
    let operation = |state: &str, byte: u8| {
        serde_json::json!({ "info": { "type": "DESTROY", "destroy": { "volumes": [volume] } },
            "latest_status": { "state": state },
            "uuid": { "value": base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD, [byte; 16]) } })
    };
    let operations = serde_json::json!({ "type": "GET_OPERATIONS", "get_operations": {
        "operations": [operation("OPERATION_PENDING", 1), operation("OPERATION_FINISHED", 2)] } });
    let operations = serde_json::to_vec(&operations).unwrap();
    let state = whole(with_api(&[("GET_OPERATIONS", ok(&operations))]));
    assert_eq!(state.operations.len(), 1);
    assert_eq!(state.operations[0].uuid, "01".repeat(16));
    let provided = serde_json::json!({ "type": "GET_RESOURCE_PROVIDERS", "get_resource_providers": {
        "resource_providers": [{ "resource_provider_info": { "type": "t", "name": "n" },
                                 "total_resources": [volume] }] } });
    let provided = serde_json::to_vec(&provided).unwrap();
    let state = whole(with_api(&[("GET_RESOURCE_PROVIDERS", ok(&provided))]));
    assert_eq!(state.resources.len(), plain.resources.len() + 1);
}

#[test]
fn an_operator_api_that_breaks_off_is_no_whole_answer() {
    let tasks = stage("S11_task_running", "agent_v1_GET_TASKS.json");
    let whole_answer = ok(&tasks);
    let half = whole_answer[..whole_answer.len() - 10].to_vec();
    for (call, answer, said) in [
        ("GET_TASKS", half, "does not answer"),
        ("GET_OPERATIONS", ok(b"{}"), "can't be used"),
        ("GET_OPERATIONS", ok(b"[]"), "can't be used"),
        (
            "GET_RESOURCE_PROVIDERS",
            response("503 Service Unavailable", "", b""),
            "answers 503",
        ),
        ("GET_TASKS", response("500 Oh", "", b""), "answers 500"),
    ] {
        let why = why(with_api(&[(call, answer)]));
        assert!(why.contains(call) && why.contains(said), "{why}");
    }
    // Who may not ask is told nothing, and that is no doubt: the files decide.
    for status in ["401 Unauthorized", "403 Forbidden", "501 Not Implemented"] {
        whole(with_api(&[("GET_TASKS", response(status, "", b""))]));
    }
}

#[test]
fn what_the_agent_measured_is_told_or_why_not() {
    let serve_one = |bytes| {
        let (url, server) = serve(bytes, usize::MAX, Duration::ZERO);
        let told = measured(&url, &Access::default(), LIMITS);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /monitor/statistics")
        );
        told
    };
    let recorded = stage("S13_statistics", "agent_monitor_statistics.json");
    let Known::Known(uses) = serve_one(ok(&recorded)) else {
        panic!("no uses")
    };
    assert!(!uses.is_empty());
    assert_eq!(serve_one(response("403 Forbidden", "", b"")), Known::Absent);
    for wrong in [ok(b"{}"), response("500 Oh", "", b"")] {
        assert!(matches!(serve_one(wrong), Known::Unknown(_)));
    }
}
