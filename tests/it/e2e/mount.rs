//! A plain MOUNT disk is emptied in place: after a destroy only, and behind the barrier only.

use std::time::Duration;

use super::host::{Disk, Host, Parts, files_below, fill, is_gone, must, names, tree};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

#[test]
fn root_a_destroyed_mount_is_emptied_behind_the_gate_and_an_agent_waits_for_it() {
    if !entered(
        "e2e::mount::root_a_destroyed_mount_is_emptied_behind_the_gate_and_an_agent_waits_for_it",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[sweep]\nevery = \"1s\"\n[wipe]\nrate = 200\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("MOUNT", "goes", 600);
    let daemon = host.daemon();
    let before = tree(&host.root("MOUNT"));
    host.destroy("goes");
    daemon.two_passes();
    let run = host.run(&["sweep", "--dry-run"]).ends(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    assert_eq!(tree(&host.root("MOUNT")), before);

    let gate = host.state_dir().join("gate.json");
    assert!(is_gone(&gate));
    host.run(&["preflight", "--gate"]).ends(0);
    host.agent.stop();
    wait_until("the gate closes", Duration::from_secs(10), || {
        !is_gone(&gate)
    });
    let mut waits = host.spawn(&["preflight", "--gate"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        waits.try_wait().unwrap().is_none() && !names(&host.root("MOUNT")).is_empty(),
        "600 files at 200 a second take three"
    );
    // The agent may start when, and only when, nothing of the tenant is left.
    assert_eq!(waits.wait().unwrap().code(), Some(0));
    assert!(names(&host.root("MOUNT")).is_empty());
    assert!(is_gone(&gate));
    host.agent.start();
    daemon.two_passes();
    assert!(!is_gone(&host.volume("ROOT", "stays")));
}

#[test]
fn root_an_agent_that_obeys_no_gate_is_no_barrier_even_while_it_is_down() {
    if !entered("e2e::mount::root_an_agent_that_obeys_no_gate_is_no_barrier_even_while_it_is_down")
    {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 20);
    host.sweep(0);
    host.destroy("goes");
    host.agent.stop();
    let before = tree(&host.root("MOUNT"));
    for _ in 0..2 {
        let run = host.sweep(5);
        assert!(run.out.contains("no_barrier"), "{}", run.out);
    }
    assert_eq!(tree(&host.root("MOUNT")), before);
}

#[test]
fn root_a_pre_filled_mount_is_nobodys_garbage() {
    if !entered("e2e::mount::root_a_pre_filled_mount_is_nobodys_garbage") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n",
        ..Parts::default()
    });
    fill(&host.root("MOUNT"), 20);
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    let before = tree(&host.root("MOUNT"));
    host.sweep(0);
    host.agent.stop();
    for _ in 0..3 {
        host.sweep(0);
    }
    assert_eq!(tree(&host.root("MOUNT")), before);
}

#[test]
fn root_a_mount_that_was_away_when_it_was_destroyed_is_emptied_when_it_is_back() {
    if !entered(
        "e2e::mount::root_a_mount_that_was_away_when_it_was_destroyed_is_emptied_when_it_is_back",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 30);
    host.sweep(0);
    host.mount_disk.unmount();
    // As a real agent would: it empties the bare mount point, and that is success to it.
    host.agent.order(&["destroy", "r/goes"]);
    let run = host.sweep(5);
    assert!(run.out.contains("not_mounted"), "{}", run.out);
    host.agent.stop();

    // Another disk in its place keeps what is on it.
    let other = Disk::new(
        &host.temp().join("other.img"),
        "ext4",
        32,
        &host.root("MOUNT"),
    );
    fill(&host.root("MOUNT"), 20);
    let precious = tree(&host.root("MOUNT"));
    let run = host.sweep(5);
    assert!(run.out.contains("fingerprint_mismatch"), "{}", run.out);
    assert_eq!(tree(&host.root("MOUNT")), precious);
    other.unmount();

    host.mount_disk.mount();
    assert!(!names(&host.root("MOUNT")).is_empty());
    host.sweep(0);
    assert!(names(&host.root("MOUNT")).is_empty());
    assert!(is_gone(&host.state_dir().join("gate.json")));
}

#[test]
fn root_after_a_crash_in_the_middle_agents_are_held_back_until_the_next_start_has_finished() {
    if !entered(
        "e2e::mount::root_after_a_crash_in_the_middle_agents_are_held_back_until_the_next_start_has_finished",
    ) {
        return;
    }
    let settings = |rate: u32| format!("[agent]\nstart_gate = true\n[wipe]\nrate = {rate}\n");
    let mut host = Host::new(Parts::default());
    host.configure(&settings(50));
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 600);
    host.sweep(0);
    host.destroy("goes");
    host.agent.stop();
    let daemon = host.daemon();
    let begun = || files_below(&host.root("MOUNT")) < 590;
    wait_until("it is in the middle", Duration::from_secs(20), begun);
    daemon.kill();
    assert!(
        !names(&host.root("MOUNT")).is_empty(),
        "it was too fast for this test"
    );
    assert!(!is_gone(&host.state_dir().join("gate.json")));
    let mut waits = host.spawn(&["preflight", "--gate"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(waits.try_wait().unwrap().is_none());

    host.configure(&settings(0));
    let daemon = host.daemon();
    assert_eq!(waits.wait().unwrap().code(), Some(0));
    assert!(names(&host.root("MOUNT")).is_empty());
    daemon.stop();
}

#[test]
fn root_a_mount_that_was_never_seen_while_held_is_wiped_where_its_disk_is_named() {
    if !entered(
        "e2e::mount::root_a_mount_that_was_never_seen_while_held_is_wiped_where_its_disk_is_named",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 20);
    // No pass sees the disk before its volume is destroyed.
    host.mount_disk.unmount();
    host.run(&["sweep"]);
    host.destroy("goes");
    host.run(&["sweep"]);
    host.agent.stop();
    host.mount_disk.mount();
    let root = host.root("MOUNT");
    let at = root.to_str().unwrap();
    let (data, stays) = (tree(&root), tree(&host.volume("ROOT", "stays")));
    for _ in 0..2 {
        host.run(&["sweep"]);
        let run = host.run(&["sweep", "--dry-run"]);
        assert!(
            run.out.contains("report_only") && run.out.contains("name the disk with"),
            "{}",
            run.out
        );
    }
    // Its name does not say that this is its disk, and neither does a word that the disk is right.
    let by_name = ["wipe", "r/goes", "--confirm", "goes"];
    let refused = host.run(&by_name).ends(5);
    assert!(
        refused.err.contains("fingerprint_mismatch")
            && refused
                .err
                .contains(&format!("mesos-volumed wipe {at} --confirm goes")),
        "{}",
        refused.err
    );
    host.run(&["disk", "accept", at]).ends(0);
    host.run(&by_name).ends(5);
    host.run(&["wipe", at, "--confirm", "stays"]).ends(5);
    assert_eq!(tree(&root), data);
    // What the remedy says works.
    host.run(&["wipe", at, "--confirm", "goes"]).ends(0);
    assert!(names(&root).is_empty());
    assert!(is_gone(&host.state_dir().join("gate.json")));
    assert_eq!(tree(&host.volume("ROOT", "stays")), stays);
    host.sweep(0);
}

#[test]
fn root_what_went_from_a_mount_without_a_witness_can_be_named() {
    if !entered("e2e::mount::root_what_went_from_a_mount_without_a_witness_can_be_named") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.sweep(0);
    let resources = host.root("ROOT").join("meta/resources");
    let before = host.temp().join("before");
    must(
        "cp",
        &["-a", resources.to_str().unwrap(), before.to_str().unwrap()],
    );
    host.tenant("MOUNT", "goes", 20);
    host.sweep(0);
    // A power cut takes the volume from the checkpoint.
    host.agent.stop();
    must("rm", &["-r", resources.to_str().unwrap()]);
    must(
        "cp",
        &["-a", before.to_str().unwrap(), resources.to_str().unwrap()],
    );
    let root = host.root("MOUNT");
    let data = tree(&root);
    host.sweep(0);
    let run = host.run(&["sweep", "--dry-run"]).ends(0);
    assert!(run.out.contains("never an orphan"), "{}", run.out);
    assert_eq!(tree(&root), data);
    host.run(&["wipe", "r/goes", "--confirm", "other"]).ends(5);
    assert_eq!(tree(&root), data);
    host.run(&["wipe", "r/goes", "--confirm", "goes"]).ends(0);
    assert!(names(&root).is_empty());
    host.sweep(0);
}
