//! The radar on a real kernel: namespaces, bind mounts, processes.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and mount their own files by name, and start programs"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::e2e::host::{Host, Parts, is_gone, must};
use super::own_namespace::entered;
use super::support::stand_in::wait_until;

/// A process in a mount namespace of its own, into which nothing is propagated.
struct Apart(Child);

impl Apart {
    fn new() -> Self {
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sleep", "600"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let own = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
        let pid = child.id().to_string();
        wait_until("it has its own mounts", Duration::from_secs(5), || {
            own(&pid) != own("self")
                && std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name == "sleep\n")
        });
        Self(child)
    }

    fn pid(&self) -> u64 {
        u64::from(self.0.id())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Makes a container's run, with the volume mounted in its sandbox.
fn run(host: &Host, container: &str, volume: &Path) -> PathBuf {
    let tail = format!("slaves/S0/frameworks/F/executors/db.1/runs/{container}");
    let data = host.root("ROOT").join(&tail).join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(host.root("ROOT").join("meta").join(&tail)).unwrap();
    must("mount", &["--bind", text(volume), text(&data)]);
    data
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ended(host: &Host, container: &str) {
    let tail = format!("meta/slaves/S0/frameworks/F/executors/db.1/runs/{container}");
    let sentinel = host.root("ROOT").join(tail).join("executor.sentinel");
    std::fs::write(sentinel, "").unwrap();
}

fn alarms(host: &Host) -> Vec<Value> {
    let listed = host
        .run(&["volumes", "list", "--output", "json"])
        .ends(0)
        .json();
    listed["alarms"].as_array().unwrap().clone()
}

fn codes(host: &Host) -> Vec<String> {
    let code = |alarm: &Value| alarm["code"].as_str().unwrap().to_owned();
    alarms(host).iter().map(code).collect()
}

#[test]
fn root_double_mounts_and_what_dead_containers_keep_are_named_and_kept() {
    if !entered("radar::root_double_mounts_and_what_dead_containers_keep_are_named_and_kept") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "db", 20);
    host.tenant("MOUNT", "disk", 5);
    let volume = host.volume("PATH", "db");
    host.sweep(0);
    assert_eq!(alarms(&host), Vec::<Value>::new());

    // One container; others' namespaces inherit its mount, a service's too.
    let first = run(&host, "c1", &volume);
    let service = Apart::new();
    assert_eq!(codes(&host), Vec::<String>::new());

    // The same volume in a second one.
    let second = run(&host, "c2", &volume);
    let found = alarms(&host);
    assert_eq!(codes(&host), ["mounted_twice"]);
    assert_eq!(
        (&found[0]["role"], &found[0]["id"]),
        (&"r".into(), &"db".into())
    );
    let of = |alarm: &Value| -> Vec<String> {
        let users = alarm["users"].as_array().unwrap().iter();
        users
            .map(|user| user["container"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of(&found[0]), ["c1", "c2"]);
    host.sweep(0);
    let since = alarms(&host)[0]["since"].as_i64().unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(alarms(&host)[0]["since"], since);
    let explained = host.run(&["explain", "r/db"]).ends(0).out;
    assert!(
        explained.contains("it is not: mounted_twice") && explained.contains("of container c2"),
        "{explained}"
    );
    let listed = host.run(&["volumes", "list"]).ends(0).out;
    assert!(
        listed.contains("in_use_mount") && listed.contains("alarm: r/db"),
        "{listed}"
    );

    // The first ends; only the service's namespace still has its mount.
    must("umount", &[text(&first)]);
    ended(&host, "c1");
    let found = alarms(&host);
    assert_eq!(codes(&host), ["mounted_twice", "dead_container"]);
    let user = &found[1]["users"][0];
    assert_eq!(
        (
            &user["container"],
            &user["ended"],
            &user["pids"][0],
            &user["command"]
        ),
        (
            &"c1".into(),
            &"sentinel".into(),
            &service.pid().into(),
            &"sleep".into()
        )
    );

    // Mesos destroys it: the guard keeps it for both.
    host.destroy("db");
    let kept = host.run(&["sweep", "--output", "json"]).ends(5).json();
    let reasons = kept["kept"].to_string();
    assert!(reasons.contains("in_use_mount"), "{reasons}");
    assert!(!is_gone(&volume));
    assert!(codes(&host).contains(&"in_use_destroyed".to_owned()));
    must("umount", &[text(&second)]);
    host.sweep(5);
    assert!(!is_gone(&volume));
    drop(service);
    host.sweep(0);
    assert!(is_gone(&volume));
    assert_eq!(codes(&host), Vec::<String>::new());
}

#[test]
fn root_a_mount_inside_a_volume_and_a_mount_disk_bound_twice_are_named() {
    if !entered("radar::root_a_mount_inside_a_volume_and_a_mount_disk_bound_twice_are_named") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "db", 5);
    host.tenant("MOUNT", "disk", 5);
    host.sweep(0);
    let inside = host.volume("PATH", "db").join("tmp");
    std::fs::create_dir(&inside).unwrap();
    must("mount", &["-t", "tmpfs", "none", text(&inside)]);
    assert_eq!(codes(&host), ["mounted_inside"]);
    assert!(
        alarms(&host)[0]["reason"]
            .as_str()
            .unwrap()
            .contains(text(&inside))
    );
    must("umount", &[text(&inside)]);
    assert_eq!(codes(&host), Vec::<String>::new());

    // A MOUNT disk's own mount, its copies in other namespaces, and one container.
    let disk = host.root("MOUNT");
    let _service = Apart::new();
    run(&host, "c1", &disk);
    assert_eq!(codes(&host), Vec::<String>::new());
    let elsewhere = host.temp().join("backup");
    std::fs::create_dir(&elsewhere).unwrap();
    must("mount", &["--bind", text(&disk), text(&elsewhere)]);
    let found = alarms(&host);
    assert_eq!(codes(&host), ["mounted_twice"]);
    assert_eq!(found[0]["id"], "disk");
    assert!(
        found[0]["users"].to_string().contains(text(&elsewhere)),
        "{found:?}"
    );
}
