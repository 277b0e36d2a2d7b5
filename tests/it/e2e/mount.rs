//! A plain MOUNT disk is emptied in place: after a destroy only, and behind the barrier only.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look at their own files by name and wait"
)]

use std::time::Duration;

use super::host::{Host, Parts, fill, is_gone, names, tree};
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
