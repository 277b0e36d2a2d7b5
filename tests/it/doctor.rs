//! Doctor on real disks: it names what is wrong with them, and mends what can be undone.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and mount their own files by name, and start programs"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mesos_volumed::decide::facts::{Facts, ProjectUse};
use mesos_volumed::observe::doctor::projects;
use serde_json::Value;

use super::e2e::host::{Host, Parts, is_gone, must};
use super::own_namespace::entered;
use super::support::stand_in::wait_until;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn findings(host: &Host, code: i32) -> Vec<Value> {
    let said = host.run(&["doctor", "--output", "json"]).ends(code).json();
    said["findings"].as_array().unwrap().clone()
}

fn of(findings: &[Value], code: &str) -> Vec<Value> {
    let has = |finding: &&Value| finding["code"] == code;
    findings.iter().filter(has).cloned().collect()
}

/// Whether some finding of this code tells this.
#[track_caller]
fn tells(findings: &[Value], code: &str, part: &str) {
    let of = of(findings, code);
    assert!(
        of.iter()
            .any(|finding| finding["evidence"].as_str().unwrap().contains(part)),
        "{code}, {part}: {findings:#?}"
    );
}

fn is_immutable(path: &Path) -> bool {
    must("lsattr", &["-d", text(path)])
        .split_whitespace()
        .next()
        .unwrap()
        .contains('i')
}

#[test]
fn root_what_keeps_an_agent_from_deleting_a_volume_is_named_and_a_flag_is_mended_when_asked() {
    if !entered(
        "doctor::root_what_keeps_an_agent_from_deleting_a_volume_is_named_and_a_flag_is_mended_when_asked",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "db", 10);
    host.sweep(0);
    let volume = host.volume("PATH", "db");
    let (folder, file) = (volume.join("deep"), volume.join("deep/kept"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&file, "kept").unwrap();
    must("chattr", &["+i", text(&file)]);
    assert_eq!(
        of(&findings(&host, 4), "undeletable_volume"),
        Vec::<Value>::new()
    );

    host.agent.order(&["destroy", "r/db", "--pending-only"]);
    let found = findings(&host, 4);
    tells(&found, "undeletable_volume", text(&file));
    tells(&found, "undeletable_volume", "is immutable");
    assert_eq!(found[0]["severity"], "critical");
    assert_eq!(of(&found, "undeletable_volume")[0]["fixable"], true);

    // Nobody is there to be asked.
    let refused = host.run(&["doctor", "--fix"]).ends(5);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    assert!(is_immutable(&file));
    let fixed = host
        .run(&["doctor", "--fix", "--yes", "--output", "json"])
        .ends(4)
        .json();
    let fix = &fixed["fixes"][0];
    assert_eq!(
        (&fix["done"], &fix["error"]),
        (&true.into(), &Value::Null),
        "{fixed:#}"
    );
    assert!(!is_immutable(&file) && file.exists());
    let record = std::fs::read_to_string(host.state_dir().join("fixes.jsonl")).unwrap();
    assert!(
        record.contains(&format!("chattr +i {}", text(&file))),
        "{record}"
    );
    assert_eq!(
        of(&findings(&host, 4), "undeletable_volume"),
        Vec::<Value>::new()
    );

    // A mount in it is not ours to undo.
    must("mount", &["-t", "tmpfs", "none", text(&folder)]);
    let found = findings(&host, 4);
    tells(&found, "undeletable_volume", "Device or resource busy");
    tells(&found, "mounted_inside", text(&folder));
    assert_eq!(of(&found, "undeletable_volume")[0]["fixable"], false);
    must("umount", &[text(&folder)]);
    host.agent.restart();
    wait_until("the agent has deleted it", Duration::from_secs(5), || {
        is_gone(&volume)
    });
}

#[test]
fn root_disks_checkpoints_and_leftovers_of_a_real_host_are_found() {
    if !entered("doctor::root_disks_checkpoints_and_leftovers_of_a_real_host_are_found") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "db", 10);
    host.tenant("MOUNT", "disk", 3);
    host.sweep(0);
    let found = findings(&host, 4);
    // Test disks are in no fstab, and no unit waits at the gate.
    assert_eq!(of(&found, "mount_not_kept").len(), 3, "{found:#?}");
    tells(&found, "no_gate", "preflight --gate");
    for absent in [
        "two_agents",
        "checkpoint_empty",
        "holders_unknown",
        "unsafe_permissions",
    ] {
        assert_eq!(of(&found, absent), Vec::<Value>::new());
    }

    // A disk that fell off, and a folder where it was.
    host.path_disk.unmount();
    let unusable = of(&findings(&host, 4), "root_unusable");
    let is_path = |one: &Value| one["subject"].as_str().unwrap().starts_with("PATH:");
    assert!(unusable.iter().any(is_path), "{unusable:#?}");
    host.path_disk.mount();
    // Leftovers, a vanished directory, our own files open to all.
    std::fs::create_dir_all(host.volume("ROOT", "left")).unwrap();
    let state_dir = host.state_dir();
    std::fs::set_permissions(&state_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_dir_all(host.volume("PATH", "db")).unwrap();
    let found = findings(&host, 4);
    tells(&found, "orphan_exposed", "r/left");
    tells(&found, "volume_vanished", text(&host.volume("PATH", "db")));
    tells(&found, "unsafe_permissions", "0755");
    host.run(&["doctor", "--fix", "--yes"]).ends(4);
    let mode = std::fs::metadata(&state_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    // With the sizes of volumes.
    let said = host.run(&["doctor", "--usage"]).ends(4).out;
    assert!(!said.contains("larger than their size"), "{said}");
    std::fs::create_dir(host.volume("PATH", "db")).unwrap();
    std::fs::write(host.volume("PATH", "db").join("big"), vec![1_u8; 11 << 20]).unwrap();
    let said = host.run(&["doctor", "--usage"]).ends(4).out;
    assert!(said.contains("volume_larger r/db"), "{said}");

    // A power cut left no bytes; nobody can be asked.
    host.agent.stop();
    let state = "meta/resources/resources_and_operations.state";
    std::fs::write(host.root("ROOT").join(state), "").unwrap();
    let found = findings(&host, 4);
    assert_eq!(found[0]["severity"], "critical");
    tells(&found, "checkpoint_empty", "0 bytes");
}

#[test]
fn root_on_a_terminal_each_fix_is_asked_for_and_anything_but_yes_is_no() {
    if !entered("doctor::root_on_a_terminal_each_fix_is_asked_for_and_anything_but_yes_is_no") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.sweep(0);
    let state_dir = host.state_dir();
    let mode = || std::fs::metadata(&state_dir).unwrap().permissions().mode() & 0o7777;
    std::fs::set_permissions(&state_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = format!(
        "{} --config {} doctor --fix",
        env!("CARGO_BIN_EXE_mesos-volumed"),
        text(&host.config())
    );
    let answered = |answer: &str| {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for no in ["n\n", "\n", "yess\n"] {
        let said = answered(no);
        assert!(said.contains("from 0755 to 0700? [y/N]"), "{said}");
        assert!(said.contains("left: change the permissions"), "{said}");
        assert_eq!(mode(), 0o755);
        assert!(is_gone(&state_dir.join("fixes.jsonl")));
    }
    let said = answered("y\n");
    assert!(said.contains("undone by `chmod 0755"), "{said}");
    assert_eq!(mode(), 0o700);
}

#[test]
fn root_project_ids_of_an_xfs_are_seen_and_what_the_daemon_cleared_has_none() {
    if !entered("doctor::root_project_ids_of_an_xfs_are_seen_and_what_the_daemon_cleared_has_none")
    {
        return;
    }
    let mut host = Host::new(Parts {
        path: "xfs",
        settings: "[trash]\nretention = \"1h\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "db", 3);
    host.sweep(0);
    let volume = host.volume("PATH", "db");
    let set = format!("project -s -p {} 5001", text(&volume));
    must("xfs_quota", &["-x", "-c", &set, text(&host.root("PATH"))]);
    let roots = || {
        let saved = host.temp().join("facts.json");
        host.run(&["plan", "--save-facts", text(&saved)]);
        let facts: Facts = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
        facts.roots
    };
    let ids = || -> Vec<(String, Option<u32>)> {
        let of = |one: ProjectUse| {
            let id = one.project.unwrap().map(|(_, id)| id);
            (one.path.to_string(), id)
        };
        projects(&roots()).into_iter().map(of).collect()
    };
    assert_eq!(ids(), [(text(&volume).to_owned(), Some(5001))]);
    // Nobody counts by them on this host: nothing to say.
    assert_eq!(of(&findings(&host, 4), "project_ids"), Vec::<Value>::new());
    host.destroy("db");
    host.sweep(0);
    let left = ids();
    assert!(
        left[0].0.contains("/trash/") && left[0].1.is_none(),
        "{left:?}"
    );
}
