//! What the running daemon may do: no more than its work takes, and its work goes on with that.

use std::time::Duration;

use mesos_volumed::daemon::privileges::NEEDED;

use super::host::{Host, Parts, is_gone, must, names};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// The sets of every thread, as `/proc` tells them: `Cap…` and `NoNewPrivs` to their values.
fn threads(pid: u32) -> Vec<Vec<(String, u64)>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .map(|status| {
            status
                .lines()
                .filter_map(|line| line.split_once(":\t"))
                .filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs")
                .map(|(name, value)| (name.to_owned(), u64::from_str_radix(value, 16).unwrap()))
                .collect()
        })
        .collect()
}

#[test]
fn root_after_its_start_the_daemon_has_the_capabilities_it_needs_and_no_other() {
    if !entered(
        "e2e::privileges::root_after_its_start_the_daemon_has_the_capabilities_it_needs_and_no_other",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "goes", 30);
    let volume = host.volume("ROOT", "goes");
    // What root has to have a capability for: somebody else's, closed to all, and immutable.
    must("chown", &["-R", "12345:12345", volume.to_str().unwrap()]);
    must("chmod", &["0", volume.join("d0").to_str().unwrap()]);
    must("chattr", &["+i", volume.join("data.bin").to_str().unwrap()]);
    let daemon = host.daemon();
    daemon.two_passes();
    let sets = threads(daemon.pid());
    assert!(sets.len() > 3, "{sets:?}");
    // What nobody had cannot be kept.
    let own = threads(std::process::id());
    let had = own[0].iter().find(|(name, _)| name == "CapPrm").unwrap().1;
    for (name, value) in sets.into_iter().flatten() {
        let right = match name.as_str() {
            "CapPrm" | "CapEff" | "CapBnd" => NEEDED.bits() & had,
            "CapInh" | "CapAmb" => 0,
            "NoNewPrivs" => 1,
            other => panic!("{other}"),
        };
        assert_eq!(value, right, "{name} is {value:x} and should be {right:x}");
    }
    host.destroy("goes");
    wait_until("it is wiped", Duration::from_mins(1), || {
        is_gone(&volume)
            && std::fs::read_dir(host.root("ROOT").join("volumes/.mesos-volumed/trash"))
                .is_ok_and(|mut entries| entries.next().is_none())
    });
    daemon.stop();
}

#[test]
fn root_the_daemon_makes_a_file_system_anew_with_the_capabilities_it_has_left() {
    if !entered(
        "e2e::privileges::root_the_daemon_makes_a_file_system_anew_with_the_capabilities_it_has_left",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[sweep]\nevery = \"1s\"\n[wipe]\nmount_mode = \"reformat\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 30);
    let root = host.root("MOUNT");
    must("chmod", &["2750", root.to_str().unwrap()]);
    must("chown", &["7:8", root.to_str().unwrap()]);
    let daemon = host.daemon();
    daemon.two_passes();
    host.destroy("goes");
    daemon.two_passes();
    assert!(!names(&root).is_empty(), "the agent runs: no barrier");
    host.agent.stop();
    wait_until(
        "it is empty, and the gate open",
        Duration::from_mins(1),
        || {
            std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_none())
                && is_gone(&host.state_dir().join("gate.json"))
        },
    );
    // The gate opens a moment before the receipt is written.
    wait_until("it is in the audit log", Duration::from_mins(1), || {
        host.run(&["receipts"]).ends(0).out.contains("reformat")
    });
    assert_eq!(
        must("stat", &["-c", "%a %u:%g", root.to_str().unwrap()]),
        "2750 7:8\n"
    );
    daemon.stop();
}
