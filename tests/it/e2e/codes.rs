//! Exit codes, the dry run, a full disk, and recorded facts.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use super::host::{Host, Parts, fill, is_gone, must, tree, untouched};
use crate::own_namespace::entered;

#[test]
fn root_a_sweep_tells_by_its_exit_code_what_came_of_it() {
    if !entered("e2e::codes::root_a_sweep_tells_by_its_exit_code_what_came_of_it") {
        return;
    }
    let mut host = Host::new(Parts::default());
    // Nothing is known of an agent that never ran; nothing was destroyed either.
    host.sweep(0);
    host.agent.start();
    host.tenant("ROOT", "goes", 10);
    host.tenant("ROOT", "stays", 10);
    host.sweep(0);

    // Someone has a file of it open.
    let open = std::fs::File::open(host.volume("ROOT", "goes").join("data.bin")).unwrap();
    host.destroy("goes");
    let run = host.sweep(5);
    assert!(run.out.contains("in_use_fd"), "{}", run.out);
    drop(open);

    let daemon = host.daemon();
    // It is asked; where it can't be, nobody does it.
    host.sweep(0);
    host.configure("[daemon]\nsocket = \"\"\n");
    host.sweep(6);
    host.run(&["trash", "purge", "--all"]).ends(6);
    // What only looks needs no lock.
    host.run(&["sweep", "--dry-run"]).ends(0);
    host.run(&["volumes", "list"]).ends(0);
    drop(daemon);

    host.configure("[sweep]\ngrase = \"0s\"\n");
    let run = host.sweep(78);
    assert!(
        run.err.contains("grase") && run.err.contains("grace"),
        "{}",
        run.err
    );
    host.configure("");
    host.run(&["sweep", "--no-such-flag"]).ends(2);
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));

    // Nothing is known to be due; what the agent wrote may say otherwise.
    let state = host
        .root("ROOT")
        .join("meta/resources/resources_and_operations.state");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() - 1]).unwrap();
    let blind = host.sweep(5);
    assert!(blind.out.contains("authority_unknown"), "{}", blind.out);
    host.run(&["sweep", "--dry-run"]).ends(5);
    std::fs::write(&state, &whole).unwrap();
    host.sweep(0);
    host.run(&["sweep", "--dry-run"]).ends(0);
}

#[test]
fn root_a_dry_run_changes_nothing_not_even_a_time_of_access() {
    if !entered("e2e::codes::root_a_dry_run_changes_nothing_not_even_a_time_of_access") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 10);
    host.tenant("MOUNT", "also-goes", 10);
    fill(&host.volume("PATH", "last-year"), 10);
    let all = |host: &Host| {
        ["ROOT", "PATH", "MOUNT"]
            .map(|disk| untouched(&host.root(disk)))
            .join("")
    };
    // On a host that this program never touched it leaves no folder of its own.
    let before = all(&host);
    let plan = host.run(&["sweep", "--dry-run"]).ends(0).out;
    assert!(plan.contains("remember"), "{plan}");
    similar_asserts::assert_eq!(all(&host), before);
    assert!(is_gone(&host.state_dir()));

    std::fs::create_dir(host.state_dir()).unwrap();
    let state = host.state_dir().display().to_string();
    must(
        "mount",
        &["-t", "tmpfs", "-o", "strictatime", "tmpfs", &state],
    );
    host.sweep(0);
    host.destroy("goes");
    host.destroy("also-goes");
    host.agent.stop();
    let before = all(&host) + &untouched(&host.state_dir());
    let plan = host.run(&["sweep", "--dry-run"]).ends(0).out;
    for step in [
        "quarantine  r/goes",
        "quarantine  r/last-year",
        "empty       MOUNT",
    ] {
        assert!(plan.contains(step), "{step}:\n{plan}");
    }
    for command in [
        &["plan"][..],
        &["volumes", "list"],
        &["trash", "list"],
        &["discover"],
        &["resources"],
        &["config", "check"],
    ] {
        host.run(command).ends(0);
    }
    similar_asserts::assert_eq!(all(&host) + &untouched(&host.state_dir()), before);

    // The run does what the dry run said.
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")) && is_gone(&host.volume("PATH", "last-year")));
    assert!(!is_gone(&host.volume("ROOT", "stays")));
}

#[test]
fn root_with_a_full_state_dir_nothing_is_destroyed() {
    if !entered("e2e::codes::root_with_a_full_state_dir_nothing_is_destroyed") {
        return;
    }
    let mut host = Host::new(Parts::default());
    std::fs::create_dir(host.state_dir()).unwrap();
    let state = host.state_dir().display().to_string();
    must("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", &state]);
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 10);
    host.sweep(0);
    host.destroy("goes");
    let ballast = host.state_dir().join("ballast");
    let full = std::fs::write(&ballast, vec![0_u8; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let before = tree(&host.root("ROOT").join("volumes"));
    let run = host.sweep(1);
    assert!(
        run.err.contains(&state) && run.err.contains("nothing was destroyed"),
        "{}",
        run.err
    );
    assert!(run.err.contains("No space left"), "{}", run.err);
    assert_eq!(tree(&host.root("ROOT").join("volumes")), before);

    std::fs::remove_file(&ballast).unwrap();
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));
}

#[test]
fn root_recorded_facts_give_the_same_plan_on_any_machine() {
    if !entered("e2e::codes::root_recorded_facts_give_the_same_plan_on_any_machine") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("PATH", "goes", 10);
    host.sweep(0);
    host.destroy("goes");
    let facts = host.temp().join("facts.json").display().to_string();
    let seen = host.run(&["plan", "--save-facts", &facts]).ends(0).out;
    assert!(seen.contains("quarantine  r/goes"), "{seen}");
    // Elsewhere: this configuration knows nothing of that host.
    host.agent.stop();
    host.path_disk.unmount();
    host.configure("[agent]\nwork_dir = \"/nonexistent\"\n");
    assert_eq!(host.run(&["plan", "--facts", &facts]).ends(0).out, seen);
}

#[test]
fn root_on_a_full_disk_a_destroy_fails_loudly_and_is_carried_out_once_there_is_room() {
    if !entered(
        "e2e::codes::root_on_a_full_disk_a_destroy_fails_loudly_and_is_carried_out_once_there_is_room",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "stays", 10);
    host.tenant("PATH", "goes", 10);
    host.sweep(0);
    let ballast = host.root("PATH").join("ballast");
    for size in [1 << 20, 1 << 10] {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&ballast)
            .unwrap();
        let block = vec![1_u8; size];
        let full = loop {
            if let Err(full) = std::io::Write::write_all(&mut file, &block) {
                break full;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
    host.destroy("goes");
    let before = tree(&host.volume("PATH", "goes"));
    let run = host.sweep(1);
    assert!(run.out.contains("No space left on device"), "{}", run.out);
    assert_eq!(tree(&host.volume("PATH", "goes")), before);
    std::fs::remove_file(&ballast).unwrap();
    host.sweep(0);
    assert!(is_gone(&host.volume("PATH", "goes")));
}
