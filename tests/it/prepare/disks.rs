//! From a bare device to a disk that is offered, and back.

#![expect(clippy::disallowed_methods, reason = "tests look at their own files")]

use super::bench::{Bench, is_immutable};
use crate::own_namespace::entered;
use crate::support::disk::sh;

fn offered(bench: &Bench, kind: &str, root: &str) -> bool {
    let found = bench.run(&["--output", "json", "discover"]).ends(0).json();
    let root = bench.at(root);
    found["disks"].as_array().unwrap().iter().any(|disk| {
        disk["type"] == kind
            && disk["root"] == root.to_str().unwrap()
            && disk["verdict"] == "offered"
    })
}

fn no_file_system_of_ours(bench: &Bench) {
    assert_eq!(bench.mounts(), []);
    for name in ["mount0", "path0", "state/mounts"] {
        assert!(std::fs::symlink_metadata(bench.at(name)).is_err(), "{name}");
    }
    assert_eq!(
        std::fs::read_dir(bench.at("state/prepared"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn root_a_bare_device_becomes_a_mount_disk_and_is_given_back() {
    if !entered("prepare::disks::root_a_bare_device_becomes_a_mount_disk_and_is_given_back") {
        return;
    }
    for fs in ["xfs", "ext4"] {
        let bench = Bench::new(320);
        let made = bench.prepare("mount", "mount0", fs, &[]).ends(0).json();
        let uuid = bench.uuid();
        assert_eq!(made["record"]["uuid"], uuid);
        assert_eq!(
            bench.mounts(),
            [
                (bench.at("mount0"), "/volume".to_owned()),
                (bench.hidden(), "/".to_owned())
            ],
            "{fs}"
        );
        let blkid = sh!("blkid", "-p", "-o", "export", &bench.device);
        let said = String::from_utf8(blkid.stdout).unwrap();
        assert!(said.contains(&format!("UUID={uuid}\n")), "{said}");
        assert!(said.contains(&format!("TYPE={fs}\n")), "{said}");
        let marker =
            std::fs::read_to_string(bench.hidden().join(".mesos-volumed/marker.json")).unwrap();
        assert!(marker.contains(&uuid), "{marker}");
        assert_eq!(
            std::fs::read_dir(bench.at("mount0")).unwrap().count(),
            0,
            "nothing of ours lies in the tenant's sight"
        );
        assert!(offered(&bench, "MOUNT", "mount0"), "{fs}");

        let again = bench.prepare("mount", "mount0", fs, &[]).ends(0).json();
        for outcome in again["outcomes"].as_array().unwrap() {
            assert_eq!(outcome["outcome"], "was so", "{outcome}");
        }

        std::fs::write(bench.at("mount0/precious"), "precious").unwrap();
        let back = bench.release("mount0").ends(0);
        assert!(
            back.out.contains("stays on its file system"),
            "{}",
            back.out
        );
        no_file_system_of_ours(&bench);
        // What was on it is still there: only a bare device is prepared.
        let refused = bench.prepare("mount", "mount0", fs, &[]).ends(5);
        assert!(refused.failed().contains(&"has_signature".to_owned()));
        let elsewhere = bench.at("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        sh!("mount", &bench.device, &elsewhere);
        let precious = std::fs::read_to_string(elsewhere.join("volume/precious")).unwrap();
        assert_eq!(precious, "precious");
    }
}

#[test]
fn root_a_bare_device_becomes_a_path_disk_and_is_given_back() {
    if !entered("prepare::disks::root_a_bare_device_becomes_a_path_disk_and_is_given_back") {
        return;
    }
    for fs in ["xfs", "ext4"] {
        let bench = Bench::new(320);
        bench.prepare("path", "path0", fs, &[]).ends(0);
        assert_eq!(bench.mounts(), [(bench.at("path0"), "/".to_owned())]);
        let marker = bench.at("path0/volumes/.mesos-volumed/marker.json");
        assert!(
            std::fs::read_to_string(marker)
                .unwrap()
                .contains(&bench.uuid())
        );
        assert!(offered(&bench, "PATH", "path0"), "{fs}");
        bench.prepare("path", "path0", fs, &[]).ends(0);
        bench.release("path0").ends(0);
        no_file_system_of_ours(&bench);
    }
}

#[test]
fn root_a_mount_that_is_missing_swallows_nothing() {
    if !entered("prepare::disks::root_a_mount_that_is_missing_swallows_nothing") {
        return;
    }
    let bench = Bench::new(64);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    let hidden = bench.hidden();
    bench.unmount_all();
    for folder in [bench.at("mount0"), hidden] {
        assert!(is_immutable(&folder), "{}", folder.display());
        let error = std::fs::write(folder.join("swallowed"), "data").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1), "{error}");
        std::fs::create_dir(folder.join("swallowed")).unwrap_err();
    }
    assert!(!offered(&bench, "MOUNT", "mount0"));
    // The same command mounts it again.
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    assert!(offered(&bench, "MOUNT", "mount0"));
}

#[test]
fn root_a_path_without_its_disk_is_immutable_only_where_that_was_asked_for() {
    if !entered(
        "prepare::disks::root_a_path_without_its_disk_is_immutable_only_where_that_was_asked_for",
    ) {
        return;
    }
    let bench = Bench::new(64);
    let made = bench.prepare("path", "path0", "ext4", &[]).ends(0);
    assert!(
        made.out.contains("--immutable-mount-point makes that fail"),
        "{}",
        made.out
    );
    bench.unmount_all();
    assert!(!is_immutable(&bench.at("path0")));

    let bench = Bench::new(64);
    let made = bench
        .prepare("path", "path0", "ext4", &["--immutable-mount-point"])
        .ends(0);
    assert!(made.out.contains("ends at its next CREATE"), "{}", made.out);
    bench.unmount_all();
    assert!(is_immutable(&bench.at("path0")));
    std::fs::create_dir_all(bench.at("path0/volumes/roles/r/id")).unwrap_err();
    bench
        .prepare("path", "path0", "ext4", &["--immutable-mount-point"])
        .ends(0);
    bench.release("path0").ends(0);
    no_file_system_of_ours(&bench);
}

#[test]
fn root_a_dry_run_prints_the_commands_and_touches_nothing() {
    if !entered("prepare::disks::root_a_dry_run_prints_the_commands_and_touches_nothing") {
        return;
    }
    let bench = Bench::new(320);
    let before = (bench.bytes(), super::super::e2e::host::tree(&bench.at("")));
    for kind in ["mount", "path"] {
        let text = bench.run(&[
            "disk",
            "prepare",
            bench.device.to_str().unwrap(),
            "--as",
            kind,
            "--at",
            bench.at("new/root").to_str().unwrap(),
            "--fs",
            "xfs",
            "--confirm",
            &bench.word(),
            "--dry-run",
        ]);
        let text = text.ends(0).out;
        let mounted = "/mount -t xfs -w ";
        for command in ["/mkfs.xfs -q -m uuid=", "mkdir -m 0755 ", mounted] {
            assert!(text.contains(command), "{command}: {text}");
        }
        assert_eq!(text.contains("chattr +i"), kind == "mount", "{text}");
        assert_eq!(text.contains("/mount --bind "), kind == "mount", "{text}");
    }
    let after = (bench.bytes(), super::super::e2e::host::tree(&bench.at("")));
    assert_eq!(after, before);

    bench.prepare("mount", "mount0", "xfs", &[]).ends(0);
    let mounts = bench.mounts();
    let root = bench.at("mount0");
    let dry = ["disk", "release", root.to_str().unwrap(), "--dry-run"];
    let text = bench.run(&dry).ends(0).out;
    assert!(
        text.contains("/umount ") && text.contains("chattr -i "),
        "{text}"
    );
    assert_eq!(bench.mounts(), mounts);
}

#[test]
fn root_what_is_held_or_unknown_is_not_given_back() {
    if !entered("prepare::disks::root_what_is_held_or_unknown_is_not_given_back") {
        return;
    }
    let bench = Bench::new(64);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    let mounts = bench.mounts();
    assert_eq!(bench.release("nothing").ends(5).failed(), ["not_prepared"]);

    let entry = bench.hidden().join(".mesos-volumed/trash/1-a-1");
    std::fs::create_dir_all(&entry).unwrap();
    assert_eq!(bench.release("mount0").ends(5).failed(), ["trash"]);
    std::fs::remove_dir(&entry).unwrap();

    let resources = bench.at("work/meta/resources");
    std::fs::create_dir_all(&resources).unwrap();
    std::fs::write(resources.join("resources_and_operations.state"), "damaged").unwrap();
    assert_eq!(
        bench.release("mount0").ends(5).failed(),
        ["authority_unknown"]
    );
    std::fs::remove_dir_all(bench.at("work/meta")).unwrap();

    let gate = bench.at("state/gate.json");
    let closed = format!(
        r#"{{"version":1,"roots":["{}"]}}"#,
        bench.at("mount0").display()
    );
    std::fs::write(&gate, closed).unwrap();
    assert_eq!(bench.release("mount0").ends(5).failed(), ["owed"]);
    std::fs::remove_file(&gate).unwrap();

    // Nobody knows of it but the kernel, which decides.
    let open = std::fs::File::open(bench.hidden()).unwrap();
    let failed = bench.release("mount0").ends(1);
    assert!(failed.err.contains("busy"), "{}", failed.err);
    drop(open);
    assert_ne!(bench.mounts(), mounts, "it was begun");
    bench.release("mount0").ends(0);
    no_file_system_of_ours(&bench);
}

#[test]
fn root_a_disk_that_another_instance_works_on_is_not_given_back() {
    if !entered("prepare::disks::root_a_disk_that_another_instance_works_on_is_not_given_back") {
        return;
    }
    let bench = Bench::new(64);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    let lock = std::fs::File::open(bench.hidden().join(".mesos-volumed")).unwrap();
    lock.lock().unwrap();
    assert_eq!(bench.release("mount0").ends(5).failed(), ["in_use"]);
    drop(lock);
    let lock = std::fs::File::open(bench.at("state/prepare.lock")).unwrap();
    lock.lock().unwrap();
    bench.release("mount0").ends(6);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(6);
    let word = bench.word();
    let device = bench.device.to_str().unwrap();
    let wipe = ["wipe", "--device", device, "--confirm", &word];
    bench
        .run(&[&wipe[..], &["--mode", "zero_device"]].concat())
        .ends(6);
}
