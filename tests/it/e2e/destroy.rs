//! What is destroyed goes, what is held stays: ROOT and PATH.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::time::Duration;

use super::host::{Disk, Host, Parts, files_below, fill, is_gone, names, tree, used};
use crate::own_namespace::entered;
use crate::support::stand_in::{free_port, wait_until};

const MIB: u64 = 1 << 20;

#[test]
fn root_a_daemon_moves_destroyed_volumes_aside_in_time_and_gives_their_space_back() {
    if !entered(
        "e2e::destroy::root_a_daemon_moves_destroyed_volumes_aside_in_time_and_gives_their_space_back",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        path: "xfs",
        ..Parts::default()
    });
    host.agent.start();
    for disk in ["ROOT", "PATH"] {
        host.tenant(disk, &format!("{disk}-stays"), 200);
    }
    let daemon = host.daemon();
    let stays = |disk: &str| tree(&host.volume(disk, &format!("{disk}-stays")));
    let before = [stays("ROOT"), stays("PATH")];
    let free = [used(&host.root("ROOT")), used(&host.root("PATH"))];
    for disk in ["ROOT", "PATH"] {
        host.tenant(disk, &format!("{disk}-goes"), 300);
    }
    daemon.two_passes();
    for disk in ["ROOT", "PATH"] {
        let id = format!("{disk}-goes");
        assert_eq!(host.states(&id), ["held"]);
        host.destroy(&id);
        let took = wait_until("it is out of the way", Duration::from_secs(10), || {
            is_gone(&host.volume(disk, &id))
        });
        println!("{disk}: out of the way {took:?} after its destroy");
    }
    for (disk, free) in ["ROOT", "PATH"].into_iter().zip(free) {
        wait_until("its space is back", Duration::from_secs(20), || {
            used(&host.root(disk)).abs_diff(free) <= MIB
        });
        let trash = host.root(disk).join("volumes/.mesos-volumed/trash");
        wait_until("the trash is empty", Duration::from_secs(5), || {
            names(&trash).is_empty()
        });
    }
    assert_eq!([stays("ROOT"), stays("PATH")], before);
    println!("stopped in {:?}", daemon.stop());
}

#[test]
fn root_detached_volumes_live_through_sweeps_restarts_and_an_agent_that_is_down() {
    if !entered(
        "e2e::destroy::root_detached_volumes_live_through_sweeps_restarts_and_an_agent_that_is_down",
    ) {
        return;
    }
    // All that could make them go fast is on; they are held, and that decides.
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\nbrake_percent = 100\n",
        ..Parts::default()
    });
    host.agent.start();
    for disk in ["ROOT", "PATH", "MOUNT"] {
        host.tenant(disk, disk, 100);
    }
    let foreign = host.root("PATH").join("host-path-of-an-app");
    fill(&foreign, 60);
    let all = || {
        ["ROOT", "PATH", "MOUNT"]
            .map(|disk| tree(&host.volume(disk, disk)))
            .join("")
            + &tree(&foreign)
    };
    let before = all();
    for _ in 0..3 {
        host.sweep(0);
    }
    assert_eq!(all(), before);
    host.agent.order(&["acknowledge"]);
    let mut host = host;
    host.agent.stop();
    for _ in 0..3 {
        host.sweep(0);
    }
    host.agent.start();
    for _ in 0..3 {
        host.sweep(0);
    }
    let after = ["ROOT", "PATH", "MOUNT"]
        .map(|disk| tree(&host.volume(disk, disk)))
        .join("")
        + &tree(&foreign);
    assert_eq!(after, before);
}

#[test]
fn root_a_destroy_while_the_disk_was_away_is_carried_out_when_that_disk_returns_and_on_no_other() {
    if !entered(
        "e2e::destroy::root_a_destroy_while_the_disk_was_away_is_carried_out_when_that_disk_returns_and_on_no_other",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 20);
    host.tenant("PATH", "goes", 100);
    host.sweep(0);
    let at = host.volume("PATH", "goes");
    host.path_disk.unmount();
    // As a real agent would: it finds nothing to delete, and that is success to it.
    host.agent.order(&["destroy", "r/goes"]);
    host.agent.order(&["acknowledge"]);
    // The sweep saw neither PENDING nor FINISHED, but one life of the agent.
    let run = host.sweep(5);
    assert!(run.out.contains("not_mounted"), "{}", run.out);
    assert_eq!(host.states("goes"), ["destroyed"]);

    // Another disk in the same place, with a directory of the same name.
    let other = Disk::new(
        &host.temp().join("other.img"),
        "ext4",
        64,
        &host.root("PATH"),
    );
    fill(&at, 30);
    let precious = tree(&at);
    let run = host.sweep(5);
    assert!(run.out.contains("fingerprint_mismatch"), "{}", run.out);
    assert_eq!(tree(&at), precious);
    other.unmount();

    host.path_disk.mount();
    assert!(!is_gone(&at));
    host.sweep(0);
    assert!(is_gone(&at));
    assert!(!is_gone(&host.volume("ROOT", "stays")));
}

#[test]
fn root_an_orphan_goes_only_by_policy_and_only_when_it_was_seen_twice() {
    if !entered("e2e::destroy::root_an_orphan_goes_only_by_policy_and_only_when_it_was_seen_twice")
    {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[sweep]\ngrace = \"0s\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "held", 20);
    let orphan = host.volume("ROOT", "last-year");
    fill(&orphan, 50);
    for _ in 0..3 {
        host.sweep(0);
    }
    assert_eq!(host.states("last-year"), ["orphan"]);
    assert!(!is_gone(&orphan));

    let protect = "[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\nprotect = [\"r/last*\"]\n";
    host.configure(protect);
    host.sweep(0);
    assert!(!is_gone(&orphan));

    host.configure("[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n");
    host.sweep(0);
    assert!(is_gone(&orphan));
    assert!(!is_gone(&host.volume("ROOT", "held")));

    // A new one needs two sightings.
    fill(&orphan, 10);
    host.sweep(0);
    assert!(!is_gone(&orphan));
    host.sweep(0);
    assert!(is_gone(&orphan));
}

#[test]
fn root_with_a_retention_destroyed_data_wait_in_the_trash_until_they_are_purged() {
    if !entered(
        "e2e::destroy::root_with_a_retention_destroyed_data_wait_in_the_trash_until_they_are_purged",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[trash]\nretention = \"1h\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 60);
    host.sweep(0);
    let before = tree(&host.volume("ROOT", "goes"));
    host.destroy("goes");
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));
    assert_eq!(host.states("goes"), ["trashed"]);
    let items = host
        .run(&["trash", "list", "--output", "json"])
        .ends(0)
        .json();
    let item = &items["items"][0];
    assert_eq!(
        (&item["persistence_id"], &item["state"]),
        (&"goes".into(), &"cleared".into())
    );
    let entry = item["id"].as_str().unwrap();
    let trash = host.root("ROOT").join("volumes/.mesos-volumed/trash");
    // The rename is all that happened to it: its own ctime.
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(&tree(&trash.join(entry).join("data"))),
        lines(&before)
    );

    for _ in 0..2 {
        host.sweep(0);
    }
    assert_eq!(names(&trash), [entry]);
    host.run(&["trash", "purge", "no-such-entry"]).ends(1);
    host.run(&["trash", "purge"]).ends(2);
    assert_eq!(names(&trash), [entry]);
    host.run(&["trash", "purge", entry]).ends(0);
    assert!(names(&trash).is_empty());

    // The word for an empty trash is no word for a sweep.
    host.tenant("ROOT", "later", 10);
    host.sweep(0);
    host.destroy("later");
    let run = host.run(&["trash", "purge", "--all"]).ends(0);
    assert_eq!(run.out, "the trash is empty\n");
    assert_eq!(files_below(&host.volume("ROOT", "later")), 12);

    // A trash that can't be seen is not said to be empty, and nobody is told that all was done.
    let aside = trash.with_file_name("aside");
    std::fs::rename(&trash, &aside).unwrap();
    std::fs::write(&trash, "").unwrap();
    let run = host.run(&["trash", "list"]).ends(0);
    assert!(
        run.out.lines().all(|line| line != "the trash is empty"),
        "{}",
        run.out
    );
    assert!(run.err.contains("can't be seen"), "{}", run.err);
    host.run(&["trash", "purge", "--all"]).ends(5);
    std::fs::remove_file(&trash).unwrap();
    std::fs::rename(&aside, &trash).unwrap();

    // What was done stands in the log, in its order, and of no other volume.
    let receipts = |args: &[&str]| {
        let told = host.run(&[&["--output", "json", "receipts"], args].concat());
        let told = told.ends(0).json();
        assert_eq!(told["damaged"], serde_json::json!([]));
        told["receipts"].as_array().unwrap().clone()
    };
    let lines: Vec<String> = receipts(&["--volume", "r/goes", "--since", "1h"])
        .iter()
        .map(|line| {
            format!(
                "{} {}",
                line["step"].as_str().unwrap(),
                line["event"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "quarantine begin",
            "quarantine done",
            "wipe begin",
            "wipe done"
        ]
    );
    assert!(receipts(&["--volume", "r/stays"]).is_empty());
    assert!(receipts(&["--since", "2099-01-01T00:00:00Z"]).is_empty());
    host.run(&["receipts", "--since", "yesterday"]).ends(2);
    let table = host.run(&["receipts"]).ends(0);
    assert!(
        table.out.contains("  unlink (guaranteed): "),
        "{}",
        table.out
    );
}

#[test]
fn root_a_vanished_directory_is_made_again_only_on_the_operators_word() {
    if !entered("e2e::destroy::root_a_vanished_directory_is_made_again_only_on_the_operators_word")
    {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    for id in ["lost", "other"] {
        host.tenant("PATH", id, 10);
    }
    host.sweep(0);
    let lost = host.volume("PATH", "lost");
    std::fs::remove_dir_all(&lost).unwrap();
    host.sweep(0);
    assert!(is_gone(&lost));
    assert_eq!(host.states("lost"), ["vanished"]);

    host.run(&["volumes", "recreate", "r/lost", "--confirm", "other"])
        .ends(5);
    assert!(is_gone(&lost));
    host.run(&["volumes", "recreate", "r/lost", "--confirm", "lost"])
        .ends(0);
    assert!(names(&lost).is_empty());
    let mode = std::os::unix::fs::PermissionsExt::mode(&lost.metadata().unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(host.states("lost"), ["held"]);

    host.configure("[volumes]\nrecreate_vanished = true\n");
    std::fs::remove_dir_all(&lost).unwrap();
    host.sweep(0);
    assert!(names(&lost).is_empty());
}

#[test]
fn root_a_root_first_met_with_missing_directories_waits_for_disk_accept() {
    if !entered(
        "e2e::destroy::root_a_root_first_met_with_missing_directories_waits_for_disk_accept",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "lost", 10);
    host.tenant("PATH", "goes", 10);
    std::fs::remove_dir_all(host.volume("PATH", "lost")).unwrap();
    host.sweep(0);
    host.destroy("goes");
    let run = host.sweep(5);
    assert!(run.out.contains("root_unverified"), "{}", run.out);
    assert!(!is_gone(&host.volume("PATH", "goes")));
    let root = host.root("PATH").display().to_string();
    host.run(&["disk", "accept", &root]).ends(0);
    host.sweep(0);
    assert!(is_gone(&host.volume("PATH", "goes")));
    // What was on the disk before nobody knows: an empty directory would hide the loss.
    assert!(is_gone(&host.volume("PATH", "lost")));
    assert_eq!(host.states("lost"), ["vanished"]);
    host.run(&["volumes", "recreate", "r/lost", "--confirm", "lost"])
        .ends(0);
    assert!(names(&host.volume("PATH", "lost")).is_empty());
}

#[test]
fn root_wipe_takes_the_operators_word_for_an_orphan_and_never_a_held_volume() {
    if !entered(
        "e2e::destroy::root_wipe_takes_the_operators_word_for_an_orphan_and_never_a_held_volume",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "held", 10);
    let orphan = host.volume("PATH", "last-year");
    fill(&orphan, 40);
    host.run(&["wipe", "r/held", "--confirm", "held"]).ends(5);
    host.run(&["wipe", "r/last-year", "--confirm", "held"])
        .ends(5);
    assert!(!is_gone(&orphan));
    host.run(&["wipe", "r/last-year", "--confirm", "last-year"])
        .ends(0);
    assert!(is_gone(&orphan));
    assert!(!is_gone(&host.volume("PATH", "held")));
}

#[test]
fn root_while_an_authority_is_unknown_even_a_witnessed_destroy_waits() {
    if !entered("e2e::destroy::root_while_an_authority_is_unknown_even_a_witnessed_destroy_waits") {
        return;
    }
    let protected = "[sweep]\nprotect = [\"r/goes\"]\n";
    let mut host = Host::new(Parts {
        settings: protected,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 10);
    host.sweep(0);
    // Witnessed, and kept for now.
    host.destroy("goes");
    host.sweep(0);
    host.configure("");
    let before = tree(&host.root("ROOT").join("volumes/roles"));
    let waits = |host: &Host, why: &str| {
        let run = host.sweep(5);
        assert!(run.out.contains(why), "{why}:\n{}", run.out);
        assert_eq!(
            tree(&host.root("ROOT").join("volumes/roles")),
            before,
            "{why}"
        );
    };

    let meta = host.root("ROOT").join("meta/resources");
    for (file, why) in [
        ("resources_and_operations.state", "authority_unknown"),
        ("resources.info", "authority_unknown"),
    ] {
        let file = meta.join(file);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        waits(&host, why);
        std::fs::write(&file, &whole).unwrap();
    }
    let state = meta.join("resources_and_operations.state");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, "").unwrap();
    waits(&host, "authority_empty");
    std::fs::write(&state, &whole).unwrap();
    std::fs::write(meta.join("resources_and_operations.target"), "").unwrap();
    waits(&host, "authority_unknown");
    std::fs::remove_file(meta.join("resources_and_operations.target")).unwrap();

    // It runs, and nobody answers where it should.
    let url = format!("[agent]\nurl = \"http://127.0.0.1:{}\"\n", free_port());
    host.configure(&url);
    waits(&host, "authority_unknown");
    host.configure("");

    host.agent.stop();
    host.agent.set_flags(&["--recovers_for=3600"]);
    host.agent.start();
    waits(&host, "agent_recovering");
    host.configure("[agent]\nrequire = true\n");
    host.agent.stop();
    waits(&host, "agent_required");

    // Down is an answer: connection refused, and no process.
    host.configure("");
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));
    assert!(!is_gone(&host.volume("ROOT", "stays")));
}

#[test]
fn root_a_pending_destroy_is_the_agents_own() {
    if !entered("e2e::destroy::root_a_pending_destroy_is_the_agents_own") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 10);
    host.sweep(0);
    host.agent.order(&["destroy", "r/goes", "--pending-only"]);
    let before = tree(&host.volume("ROOT", "goes"));
    host.sweep(0);
    assert_eq!(host.states("goes"), ["pending"]);
    assert_eq!(tree(&host.volume("ROOT", "goes")), before);
    host.agent.order(&["finish"]);
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));
    assert_eq!(host.states("goes"), Vec::<String>::new());
}

#[test]
fn root_what_only_a_running_task_names_stays_until_the_task_has_ended() {
    if !entered("e2e::destroy::root_what_only_a_running_task_names_stays_until_the_task_has_ended")
    {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 10);
    host.tenant("ROOT", "goes", 10);
    host.agent.order(&["launch", "r/goes", "task-1"]);
    host.sweep(0);
    host.destroy("goes");
    let before = tree(&host.volume("ROOT", "goes"));
    for _ in 0..2 {
        host.sweep(0);
    }
    assert_eq!(host.states("goes"), ["held"]);
    assert_eq!(tree(&host.volume("ROOT", "goes")), before);
    host.agent.order(&["kill", "task-1"]);
    host.sweep(0);
    assert!(is_gone(&host.volume("ROOT", "goes")));
    assert!(!is_gone(&host.volume("ROOT", "stays")));
}
