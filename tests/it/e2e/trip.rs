//! The trip-wire: disks that are not, or no longer, what they were. Nothing on them is wiped, they
//! keep their last good number or are left out, and the operator is told which and why.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::path::{Path, PathBuf};

use super::host::{Disk, Host, Parts, is_gone, must, tree};
use crate::own_namespace::entered;

/// A host whose disks were verified and advertised; on PATH a volume that lives, and one whose
/// destroy comes with the trip.
fn ready(parts: Parts) -> Host {
    let mut host = Host::new(parts);
    host.agent.start();
    host.tenant("PATH", "stays", 10);
    host.tenant("PATH", "goes", 10);
    host.sweep(0);
    let file = file(&host).display().to_string();
    host.run(&["resources", "--write", &file]).ends(0);
    host
}

fn file(host: &Host) -> PathBuf {
    host.temp().join("resources.json")
}

/// The code that `discover` rejects PATH with.
fn rejected(host: &Host, root: &str) -> String {
    let seen = host.run(&["discover", "--output", "json"]).json();
    let root = host.root(root).display().to_string();
    let disk = seen["disks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|disk| disk["root"] == root.as_str())
        .unwrap_or_else(|| panic!("{root}: {seen:#}"));
    assert!(
        disk["remedy"].is_string() || disk["reason"].is_null(),
        "{disk:#}"
    );
    disk["reason"].as_str().unwrap_or("").to_owned()
}

/// The disk keeps its last good number, or is left out (exit 4), and a destroy on it waits, with
/// this code.
#[track_caller]
fn trips(host: &Host, discovered: &str, refused: &str) {
    let before = std::fs::read(file(host)).unwrap();
    assert_eq!(rejected(host, "PATH"), discovered);
    let name = file(host).display().to_string();
    let run = host.run(&["resources", "--write", &name]).ends(4);
    assert!(run.err.contains(discovered), "{}", run.err);
    let after = std::fs::read(file(host)).unwrap();
    // What is not there is never offered on what lies below or in its place.
    let root = host.root("PATH").display().to_string();
    let is_gone = matches!(discovered, "missing" | "fingerprint_mismatch");
    let is_written = String::from_utf8(after.clone()).unwrap().contains(&root);
    assert_eq!(is_written, !is_gone, "{root}");
    if !is_gone {
        assert_eq!(after, before, "the number stays");
    }
    host.destroy("goes");
    let run = host.sweep(5);
    assert!(run.out.contains(refused), "{refused}:\n{}", run.out);
}

/// All is well again: the destroy is carried out, and the other volume is whole.
#[track_caller]
fn recovers(host: &Host, stays: &str) {
    host.sweep(0);
    host.sweep(0);
    assert!(is_gone(&host.volume("PATH", "goes")));
    similar_asserts::assert_eq!(tree(&host.volume("PATH", "stays")), stays);
    let name = file(host).display().to_string();
    host.run(&["resources", "--write", &name]).ends(0);
    assert_eq!(rejected(host, "PATH"), "");
}

#[test]
fn root_an_unmounted_disk_keeps_its_number_over_a_reboot_and_its_destroy_is_owed() {
    if !entered(
        "e2e::trip::root_an_unmounted_disk_keeps_its_number_over_a_reboot_and_its_destroy_is_owed",
    ) {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    host.path_disk.unmount();
    trips(&host, "missing", "not_mounted");
    // Another boot, and the disk is still not there.
    let boot = host.temp().join("boot_id");
    std::fs::write(&boot, "7d9f2a44-1111-4222-8333-abcdefabcdef\n").unwrap();
    must(
        "mount",
        &[
            "--bind",
            boot.to_str().unwrap(),
            "/proc/sys/kernel/random/boot_id",
        ],
    );
    let name = file(&host).display().to_string();
    host.run(&["resources", "--write", &name]).ends(4);
    host.sweep(5);
    host.path_disk.mount();
    recovers(&host, &stays);
}

#[test]
fn root_two_disks_that_swapped_their_mount_points_are_both_left_alone() {
    if !entered("e2e::trip::root_two_disks_that_swapped_their_mount_points_are_both_left_alone") {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    host.path_disk.unmount();
    host.mount_disk.unmount();
    let path_at_mount = host.path_disk.at(&host.root("MOUNT"));
    let mount_at_path = host.mount_disk.at(&host.root("PATH"));
    path_at_mount.mount();
    mount_at_path.mount();
    trips(&host, "fingerprint_mismatch", "fingerprint_mismatch");
    assert_eq!(rejected(&host, "MOUNT"), "fingerprint_mismatch");
    let moved = host.root("MOUNT").join("volumes/roles/r");
    assert!(!is_gone(&moved.join("goes")));
    similar_asserts::assert_eq!(tree(&moved.join("stays")), stays);
    path_at_mount.unmount();
    mount_at_path.unmount();
    host.path_disk.mount();
    host.mount_disk.mount();
    recovers(&host, &stays);
}

#[test]
fn root_a_disk_that_grew_does_not_trip_and_one_that_shrank_does_until_it_is_accepted() {
    if !entered(
        "e2e::trip::root_a_disk_that_grew_does_not_trip_and_one_that_shrank_does_until_it_is_accepted",
    ) {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    host.path_disk.resize(96);
    assert_eq!(rejected(&host, "PATH"), "");
    host.sweep(0);
    let name = file(&host).display().to_string();
    host.run(&["resources", "--write", &name]).ends(0);
    host.path_disk.resize(40);
    trips(&host, "filesystem_shrunk", "filesystem_shrunk");
    let root = host.root("PATH").display().to_string();
    host.run(&["disk", "accept", &root]).ends(0);
    recovers(&host, &stays);
}

#[test]
fn root_a_disk_that_is_read_only_is_left_alone() {
    if !entered("e2e::trip::root_a_disk_that_is_read_only_is_left_alone") {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    let root = host.root("PATH").display().to_string();
    must("mount", &["-o", "remount,ro", &root]);
    trips(&host, "read_only", "read_only");
    must("mount", &["-o", "remount,rw", &root]);
    recovers(&host, &stays);
}

#[test]
fn root_a_disk_that_refuses_writes_since_an_error_is_left_alone() {
    if !entered("e2e::trip::root_a_disk_that_refuses_writes_since_an_error_is_left_alone") {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    let root = host.root("PATH").display().to_string();
    must("mount", &["-o", "remount,errors=remount-ro", &root]);
    let source = must("findmnt", &["-no", "SOURCE", &root]);
    let device = Path::new(source.trim()).file_name().unwrap().to_owned();
    let trigger = Path::new("/sys/fs/ext4")
        .join(device)
        .join("trigger_fs_error");
    std::fs::write(trigger, "a test\n").unwrap();
    trips(&host, "filesystem_failed", "filesystem_failed");
    host.path_disk.unmount();
    host.path_disk.check();
    host.path_disk.mount();
    recovers(&host, &stays);
}

#[test]
fn root_a_disk_that_was_shut_down_is_left_alone() {
    if !entered("e2e::trip::root_a_disk_that_was_shut_down_is_left_alone") {
        return;
    }
    let host = ready(Parts {
        path: "xfs",
        ..Parts::default()
    });
    let stays = tree(&host.volume("PATH", "stays"));
    let root = host.root("PATH").display().to_string();
    must("xfs_io", &["-x", "-c", "shutdown", &root]);
    trips(&host, "filesystem_failed", "filesystem_failed");
    host.path_disk.unmount();
    host.path_disk.mount();
    recovers(&host, &stays);
}

#[test]
fn root_a_copy_of_a_disk_is_told_by_its_marker_and_left_alone_until_it_is_accepted() {
    if !entered(
        "e2e::trip::root_a_copy_of_a_disk_is_told_by_its_marker_and_left_alone_until_it_is_accepted",
    ) {
        return;
    }
    let host = ready(Parts::default());
    let stays = tree(&host.volume("PATH", "stays"));
    let marker = host.root("PATH").join("volumes/.mesos-volumed/marker.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let root = host.root("PATH").display().to_string();
    assert_eq!(value["of"]["root"], root.as_str(), "{text}");
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap();
    assert_eq!(value["of"]["machine_id"], machine.trim(), "{text}");
    value["of"]["machine_id"] = "00000000000000000000000000000001".into();
    std::fs::write(&marker, value.to_string()).unwrap();
    host.destroy("goes");
    let run = host.sweep(5);
    assert!(
        run.out.contains("fingerprint_mismatch") && run.out.contains("a copy of it"),
        "{}",
        run.out
    );
    assert!(!is_gone(&host.volume("PATH", "goes")));
    host.run(&["disk", "accept", &root]).ends(0);
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), text);
    recovers(&host, &stays);
}

#[test]
fn root_a_replacement_is_shown_against_the_old_disk_and_taken_on() {
    if !entered("e2e::trip::root_a_replacement_is_shown_against_the_old_disk_and_taken_on") {
        return;
    }
    let host = ready(Parts::default());
    let root = host.root("PATH").display().to_string();
    host.path_disk.unmount();
    let run = host.run(&["disk", "accept", &root]).ends(5);
    assert!(run.err.contains("was not accepted"), "{}", run.err);
    let image = host.temp().join("new.img");
    let _new = Disk::new(&image, "xfs", 320, &host.root("PATH"));
    let ledger = || std::fs::read(host.state_dir().join("ledger.json")).unwrap();
    let before = ledger();
    let seen = host
        .run(&["disk", "accept", &root, "--dry-run", "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(ledger(), before, "it was only shown");
    assert_eq!(seen["accepted"], false);
    assert_eq!(seen["before"]["fs_type"], "ext4");
    assert_eq!(seen["now"]["fs_type"], "xfs");
    assert_ne!(seen["before"]["filesystem"], seen["now"]["filesystem"]);
    for side in ["before", "now"] {
        for key in ["total_bytes", "device", "device_bytes", "advertised_mb"] {
            assert!(!seen[side][key].is_null(), "{side}.{key}: {seen:#}");
        }
    }
    let lost: Vec<&str> = seen["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| volume["id"].as_str().unwrap())
        .collect();
    assert_eq!(lost, ["goes", "stays"]);
    assert!(seen["next_start"]["verdict"].is_string(), "{seen:#}");

    let text = host.run(&["disk", "accept", &root]).ends(0).out;
    for part in [
        "BEFORE",
        "NOW",
        "ext4",
        "xfs",
        "r/goes, r/stays",
        "at its next start",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(text.ends_with("is accepted as it is now\n"), "{text}");
    let run = host.run(&["disk", "accept", &root]).ends(0);
    assert!(
        run.out.contains("known as it is now already"),
        "{}",
        run.out
    );
    host.sweep(0);
    for id in ["stays", "goes"] {
        assert!(is_gone(&host.volume("PATH", id)), "nothing hides the loss");
        assert_eq!(host.states(id), ["vanished"]);
    }
    assert_eq!(rejected(&host, "PATH"), "");
}
