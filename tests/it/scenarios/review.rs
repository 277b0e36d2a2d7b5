//! What reviews found on a real agent, played again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::time::Duration;

use super::site::{Backup, FAST, Site};
use crate::e2e::host::{is_gone, must};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

#[test]
fn scenario_review_a_checkpoint_rolled_back_to_before_a_create() {
    if !entered("scenarios::review::scenario_review_a_checkpoint_rolled_back_to_before_a_create") {
        return;
    }
    let mut site = Site::new("1.11.0");
    let resources = site.host.root("ROOT").join("meta/resources");
    let backup = Backup::of(&resources);
    site.host.tenant("PATH", "tenant", 30);
    let daemon = site.host.daemon();
    daemon.two_passes();
    assert_eq!(site.host.states("tenant"), ["held"]);
    daemon.kill();
    site.host.agent.stop();
    // The power went: the tenant's fsynced data are there, the checkpoint is that of before.
    backup.restore();
    site.host.configure(&FAST.replace("\"0s\"", "\"1h\""));
    site.host.agent.start();
    // That is no destroy: nothing goes before the grace is over, and the operator is told.
    site.is_kept("PATH", "tenant", "grace_period");
    assert_eq!(site.host.states("tenant"), ["orphan"]);
}

#[test]
fn scenario_review_an_agent_that_hangs_at_destroy() {
    if !entered("scenarios::review::scenario_review_an_agent_that_hangs_at_destroy") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "slow", 60);
    site.host.sweep(0);
    let path = site.host.volume("PATH", "slow");
    let inode = std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    site.host.agent.order(&["delete-pause", "300000"]);
    std::thread::scope(|scope| {
        let agent = &site.host.agent;
        let hangs = scope.spawn(move || agent.ask(&["destroy", "r/slow"]));
        let target = site
            .host
            .root("ROOT")
            .join("meta/resources/resources.target");
        wait_until("it is at it", Duration::from_secs(10), || !is_gone(&target));
        // It answers nobody, and its directory is not taken away under its hands.
        let run = site.host.run(&["sweep"]);
        assert!(run.out.contains("authority_unknown"), "{}", run.out);
        let now = std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
        assert_eq!(now, inode);
        let pid = site.host.agent.pid().unwrap().to_string();
        must("kill", &["-KILL", &pid]);
        assert!(!hangs.join().unwrap().status.success());
    });
    site.host.agent.stop();
    assert!(!is_gone(&path));
    site.host.run(&["sweep"]);
    assert!(site.codes("slow").contains(&"pending_operation".to_owned()));
    assert!(!is_gone(&path));
    site.host.agent.start();
    assert!(is_gone(&path), "its own restart ends it");
    site.host.sweep(0);
    site.rest_lives();
}

#[test]
fn scenario_review_two_views_of_one_root() {
    if !entered("scenarios::review::scenario_review_two_views_of_one_root") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    let view = site.host.temp().join("view");
    std::fs::create_dir(&view).unwrap();
    let path = site.host.root("PATH");
    must(
        "mount",
        &["--bind", path.to_str().unwrap(), view.to_str().unwrap()],
    );
    let root = |root: &std::path::Path| {
        serde_json::json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 20},
            "disk": {"source": {"type": "PATH", "path": {"root": root}}}})
    };
    let resources = serde_json::json!([
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 40}}, root(&path), root(&view)]);
    site.host.agent.set_resources(&resources.to_string());
    site.host.configure(&format!(
        "{FAST}[[disks]]\ntype = \"PATH\"\npaths = [\"{}\", \"{}\"]\nreserve = \"8MiB\"\n",
        path.display(),
        view.display()
    ));
    site.host.agent.start();
    site.host.tenant("PATH", "one", 20);
    assert!(!is_gone(&view.join("volumes/roles/r/one")));
    // Seen through the other root nobody names it there; it is the same directory.
    site.is_kept("PATH", "one", "fingerprint_mismatch");
    site.host.agent.stop();
    site.is_kept("PATH", "one", "fingerprint_mismatch");
    must("umount", &[view.to_str().unwrap()]);
}

#[test]
fn scenario_review_metadata_lost_under_a_running_task() {
    if !entered("scenarios::review::scenario_review_metadata_lost_under_a_running_task") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("PATH", "used", 30);
    site.host.tenant("ROOT", "other", 10);
    site.host.agent.order(&["launch", "r/used", "task-1"]);
    site.host.sweep(0);
    site.host.agent.stop();
    std::fs::remove_dir_all(site.host.root("ROOT").join("meta/resources")).unwrap();
    // With the posix isolator neither a mount nor an open file tells of the task.
    site.host.agent.start();
    site.host.run(&["sweep", "--accept-empty"]);
    site.host.run(&["sweep"]);
    site.is_kept("PATH", "used", "in_use_task");
    assert!(is_gone(&site.host.volume("ROOT", "other")));
    let said = format!("{:?}", site.listed("used"));
    assert!(said.contains("task"), "{said}");
    // Its executor has ended: now nothing names it.
    site.host.agent.order(&["kill", "task-1"]);
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&site.host.volume("PATH", "used")));
}

#[test]
fn scenario_review_a_stale_generation_after_a_crash() {
    if !entered("scenarios::review::scenario_review_a_stale_generation_after_a_crash") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "goes", 30);
    site.host.agent.order(&["acknowledge"]);
    site.host.sweep(0);
    site.host.agent.order(&["crash-after", "state-target"]);
    site.host.agent.crashes_at(&["destroy", "r/goes"]);
    assert!(site.host.agent.try_start().is_err(), "one failed start");
    site.host.agent.start();
    let path = site.host.volume("PATH", "goes");
    assert!(is_gone(&path));
    // resources.info goes on naming it: nothing is made for it, and it is no loss.
    for _ in 0..3 {
        site.host.sweep(0);
    }
    assert!(is_gone(&path));
    let listed = site.listed("goes");
    assert!(
        listed.iter().all(|one| one["state"] != "vanished"),
        "{listed:#?}"
    );
    site.rest_lives();
}
