//! What changes something, asked of the running daemon: by commands, and by whoever may.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name, and start programs"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{get, open_up, post};
use super::host::{Host, Parts, fill, is_gone};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);

fn orphan(host: &Host, id: &str, files: u32) {
    let folder = host.volume("PATH", id);
    std::fs::create_dir_all(&folder).unwrap();
    fill(&folder, files);
}

/// What was written down of those who asked.
fn asked(host: &Host) -> Vec<Value> {
    let receipts = host.run(&["receipts", "--output", "json"]).ends(0).json();
    let receipts = receipts["receipts"].as_array().unwrap();
    receipts
        .iter()
        .filter(|record| {
            record["subject"]
                .as_str()
                .unwrap()
                .starts_with("asked through")
        })
        .cloned()
        .collect()
}

#[test]
fn root_commands_that_change_something_ask_the_running_daemon() {
    if !entered("e2e::operate::root_commands_that_change_something_ask_the_running_daemon") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[trash]\nretention = \"1h\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 20);
    let run = host.run(&["status"]).ends(1);
    assert!(run.err.contains("no daemon answers at"), "{}", run.err);
    assert!(
        run.err.contains("systemctl start mesos-volumed"),
        "{}",
        run.err
    );
    let daemon = host.daemon();
    daemon.two_passes();
    orphan(&host, "nobodys", 30);

    // One pass, with what it left in the JSON and the words of a command that does it itself.
    let sweep = host.run(&["sweep", "--output", "json"]).ends(0).json();
    assert_eq!(sweep["result"], "done", "{sweep}");
    assert!(
        sweep["kept"]
            .as_array()
            .unwrap()
            .iter()
            .any(|kept| kept["id"] == "nobodys")
    );
    host.destroy("goes");
    let sweep = host.run(&["sweep"]).ends(0);
    assert!(sweep.out.contains("left as they are"), "{}", sweep.out);
    let trash = || {
        host.run(&["trash", "list", "--output", "json"])
            .ends(0)
            .json()
    };
    wait_until("it lies in the trash", PATIENCE, || {
        trash()["items"][0]["state"] == "cleared"
    });
    let entry = trash()["items"][0]["id"].as_str().unwrap().to_owned();

    // What makes no sense, what is not there, and what a guard forbids.
    host.run(&["trash", "purge"]).ends(2);
    let run = host.run(&["trash", "purge", "no-such-entry"]).ends(1);
    assert!(run.err.contains("there is no trash entry"), "{}", run.err);
    let run = host
        .run(&["wipe", "r/nobodys", "--confirm", "nobody"])
        .ends(5);
    assert!(run.err.contains("not_confirmed"), "{}", run.err);
    let run = host.run(&["wipe", "r/stays", "--confirm", "stays"]).ends(5);
    assert!(run.err.contains("is held by Mesos"), "{}", run.err);
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    assert!(!is_gone(&host.volume("PATH", "nobodys")));

    // Back, and away again.
    let restored = host.run(&["trash", "restore", &entry]).ends(0);
    assert!(restored.out.contains("restored: "), "{}", restored.out);
    assert!(!is_gone(&host.volume("PATH", "goes")));
    host.run(&["trash", "restore", &entry]).ends(1);
    let run = host.run(&["wipe", "r/goes", "--confirm", "goes"]).ends(5);
    assert!(run.err.contains("adopted"), "{}", run.err);
    host.tenant("PATH", "leaves", 20);
    host.run(&["sweep"]).ends(0);
    host.destroy("leaves");
    wait_until("it lies in the trash", PATIENCE, || {
        trash()["items"][0]["state"] == "cleared"
    });
    let entry = trash()["items"][0]["id"].as_str().unwrap().to_owned();

    // When they return, it is done.
    let purge = host.run(&["trash", "purge", &entry]).ends(0);
    assert!(purge.out.contains("wipe: "), "{}", purge.out);
    assert!(trash()["items"].as_array().unwrap().is_empty());
    // With nothing to purge, nothing else is done in its place.
    orphan(&host, "another", 2);
    host.run(&["trash", "purge", "--all"]).ends(0);
    let wipe = host
        .run(&[
            "wipe",
            "r/nobodys",
            "--confirm",
            "nobodys",
            "--output",
            "json",
        ])
        .ends(0)
        .json();
    assert_eq!(wipe["result"], "done", "{wipe}");
    let wiped = wipe["outcomes"].as_array().unwrap();
    let wiped = wiped.iter().find(|step| step["step"] == "wipe").unwrap();
    assert_eq!(wiped["result"], "done", "{wiped}");
    assert!(wiped["detail"]["files"].as_u64().unwrap() >= 30, "{wiped}");
    assert!(is_gone(&host.volume("PATH", "nobodys")));
    assert!(!is_gone(&host.volume("PATH", "another")));
    adopted_and_back(&host);

    who_asked_is_written_down(&host);
    daemon.stop();
}

/// An orphan is wanted, and then it is not.
fn adopted_and_back(host: &Host) {
    let run = host.run(&["volumes", "adopt", "r/another"]).ends(0);
    assert!(
        run.out.contains("adopted: r/another on PATH"),
        "{}",
        run.out
    );
    let run = host.run(&["wipe", "r/another", "--confirm", "another"]);
    assert!(run.ends(5).err.contains("adopted"));
    let run = host
        .run(&["volumes", "adopt", "r/another", "--undo"])
        .ends(0);
    assert!(
        run.out.contains("no longer adopted: r/another"),
        "{}",
        run.out
    );
    let run = host.run(&["volumes", "adopt", "r/nobodys"]).ends(5);
    assert!(run.err.contains("was not adopted"), "{}", run.err);
}

fn who_asked_is_written_down(host: &Host) {
    let asked = asked(host);
    let steps: Vec<&str> = asked
        .iter()
        .map(|record| record["step"].as_str().unwrap())
        .collect();
    assert!(
        ["sweep", "purge", "wipe", "adopt"]
            .iter()
            .all(|step| steps.contains(step)),
        "{steps:?}"
    );
    let subject = asked[0]["subject"].as_str().unwrap();
    assert!(subject.contains("by user 0, process "), "{subject}");

    let status = host.run(&["status"]);
    assert!([0, 4].contains(&status.code), "{status:?}");
    for word in [
        "last pass",
        "1 held",
        " orphan",
        "AUTHORITY",
        "agent_state",
        "DISK",
    ] {
        assert!(status.out.contains(word), "{word}\n{}", status.out);
    }
}

#[test]
fn root_a_sweep_is_answered_when_its_wipes_have_ended_and_holds_nobody_up() {
    if !entered(
        "e2e::operate::root_a_sweep_is_answered_when_its_wipes_have_ended_and_holds_nobody_up",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[wipe]\nrate = 100\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 400);
    let daemon = host.daemon();
    daemon.two_passes();
    host.agent.order(&["destroy", "r/goes", "--keep-data"]);
    let trash = host.root("PATH").join("volumes/.mesos-volumed/trash");
    let sweep = host.spawn(&["sweep", "--output", "json"]);
    let mut shown = Vec::new();
    wait_until("a job shows", PATIENCE, || {
        let start = Instant::now();
        let jobs = get(&host, "/v1/jobs").json();
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        shown.push(jobs["jobs"][0]["state"].clone());
        jobs["jobs"][0]["files"]
            .as_u64()
            .is_some_and(|files| files > 0)
    });
    // Held, it stays; let go, it ends, and only then the sweep does.
    let paused = host.run(&["pause", "--output", "json"]).ends(0).json();
    assert_eq!(paused["paused"]["all"], true, "{paused}");
    let files = || get(&host, "/v1/jobs").json()["jobs"][0]["files"].as_u64();
    std::thread::sleep(Duration::from_millis(300));
    let before = files();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(files(), before, "it is paused");
    let status = host.run(&["status"]);
    assert!(
        status.out.contains("paused      everything"),
        "{}",
        status.out
    );
    let run = host.run(&["pause", "--root", "/no/such/root"]).ends(1);
    assert!(run.err.contains("is no root of this host"), "{}", run.err);
    let resumed = host.run(&["resume"]).ends(0);
    assert!(resumed.out.contains("nothing is paused"), "{}", resumed.out);
    let output = sweep.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes = answer["outcomes"].as_array().unwrap();
    let wiped = outcomes.iter().find(|step| step["step"] == "wipe").unwrap();
    assert_eq!(wiped["result"], "done", "{answer:#}");
    assert_eq!(super::host::names(&trash), Vec::<String>::new());
    println!("states that were seen: {shown:?}");
    daemon.stop();
}

#[test]
fn root_only_root_changes_something_unless_the_configuration_says_otherwise() {
    if !entered(
        "e2e::operate::root_only_root_changes_something_unless_the_configuration_says_otherwise",
    ) {
        return;
    }
    let group = "[daemon]\nsocket_group = \"daemon\"\n";
    let mut host = Host::new(Parts {
        settings: group,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    let daemon = host.daemon();
    daemon.two_passes();
    open_up(&host);
    let socket = host.socket();
    let as_member = |method: &str, path: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid=nobody", "--regid=daemon", "--clear-groups"])
            .args([
                "curl",
                "--silent",
                "--request",
                method,
                "--write-out",
                "\n%{http_code}",
            ])
            .arg("--unix-socket")
            .arg(&socket)
            .arg(format!("http://localhost{path}"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (body, code) = said.rsplit_once('\n').unwrap();
        (code.parse::<u16>().unwrap(), body.to_owned())
    };
    assert_eq!(as_member("GET", "/v1/volumes").0, 200);
    for path in [
        "sweep", "purge", "wipe", "recreate", "accept", "destroy", "pause", "resume",
    ] {
        let (code, body) = as_member("POST", &format!("/v1/{path}"));
        assert_eq!(code, 403, "{path}: {body}");
        assert!(body.contains("socket_writers"), "{body}");
    }
    // Refused, and written down; but nobody fills the log by being refused.
    let refused = asked(&host);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["event"], "refused");
    assert!(!refused[0]["subject"].as_str().unwrap().contains("user 0"));

    host.configure(&format!("{group}socket_writers = \"group\"\n"));
    daemon.signal(rustix::process::Signal::HUP);
    wait_until("the group may", PATIENCE, || {
        as_member("POST", "/v1/resume").0 == 200
    });
    let (code, body) = as_member("POST", "/v1/sweep");
    assert_eq!(code, 200, "{body}");
    // What is held is root's to destroy, whatever the group may.
    let (code, body) = as_member("POST", "/v1/destroy");
    assert_eq!(code, 403, "{body}");
    assert!(body.contains("be root"), "{body}");
    // A body is read strictly.
    for (path, body) in [
        ("/v1/sweep", json!({"accept_emty": true})),
        ("/v1/wipe", json!({"volume": "r/stays"})),
        ("/v1/destroy", json!({"volume": "r/stays"})),
        ("/v1/purge", json!({"entries": "all"})),
        ("/v1/pause", json!([])),
    ] {
        assert_eq!(post(&host, path, &body).status, 400, "{path} {body}");
    }
    daemon.stop();
}

#[test]
fn root_a_daemon_of_another_state_folder_is_not_asked() {
    if !entered("e2e::operate::root_a_daemon_of_another_state_folder_is_not_asked") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    let daemon = host.daemon();
    // Another folder, whose lock a process has that answers nowhere, and the socket of the first.
    let other = host.temp().join("other");
    std::fs::create_dir(&other).unwrap();
    let lock = other.join("lock");
    std::fs::write(&lock, "").unwrap();
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sleep", "60"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::fs::write(&lock, format!("{}\n", holder.id())).unwrap();
    host.configure(&format!("[daemon]\nstate_dir = \"{}\"\n", other.display()));
    wait_until("the lock is taken", PATIENCE, || {
        host.run(&["sweep"]).code == 6
    });
    let run = host.run(&["sweep"]).ends(6);
    assert!(
        run.err.contains("is no daemon that can be asked"),
        "{}",
        run.err
    );
    let run = host.run(&["status"]).ends(1);
    assert!(run.err.contains("it is another one"), "{}", run.err);
    holder.kill().unwrap();
    holder.wait().unwrap();
    daemon.stop();
}

#[test]
fn root_pauses_of_no_daemon_hold_for_the_next_and_metrics_come_as_a_file() {
    if !entered(
        "e2e::operate::root_pauses_of_no_daemon_hold_for_the_next_and_metrics_come_as_a_file",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    let file = host.temp().join("volumed.prom");
    host.configure(&format!("[daemon]\ntextfile = \"{}\"\n", file.display()));
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    let run = host.run(&["pause"]).ends(0);
    assert!(run.out.contains("paused: everything"), "{}", run.out);
    let daemon = host.daemon();
    let line = |wanted: &str| {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().any(|line| line == wanted)
    };
    wait_until("it is shown", PATIENCE, || line("mesos_volumed_paused 1"));
    host.run(&["resume"]).ends(0);
    wait_until("it is not any more", PATIENCE, || {
        daemon.two_passes();
        line("mesos_volumed_paused 0")
    });
    let text = std::fs::read_to_string(&file).unwrap();
    for name in [
        "jobs{state=\"running\"} 0",
        "jobs_ended_total{kind=\"wipe\",result=\"done\"} 0",
        "config_last_reload_successful 1",
        "trash_items 0",
        "trash_bytes 0",
        "trash_items_uncounted 0",
        "rejected_devices{reason=\"removable\"} 0",
        "orphan_bytes 0",
        "owed_bytes 0",
    ] {
        assert!(line(&format!("mesos_volumed_{name}")), "{name}\n{text}");
    }
    for name in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "authority_last_good_age_seconds{authority=\"memory\"} ",
        "filesystem_free_bytes{type=\"ROOT\"} ",
    ] {
        assert!(
            text.contains(&format!("\nmesos_volumed_{name}")),
            "{name}\n{text}"
        );
    }
    assert_eq!(mode(&file), 0o644);
    super::hotplug::check_with_promtool(&text);
    daemon.stop();
}

fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o7777
}
