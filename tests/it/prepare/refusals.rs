//! Everything that a device must not be. After each the device is what it was, to the byte.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write to their own images, and start programs"
)]

use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use super::bench::{Bench, attach};
use crate::own_namespace::entered;
use crate::support::disk::{sh, try_run};

/// Refused for these rules, on a device that stays as it is.
#[track_caller]
fn refused(bench: &Bench, more: &[&str], rules: &[&str]) {
    let before = bench.bytes();
    let run = bench.prepare("mount", "mount0", "ext4", more).ends(5);
    assert_eq!(run.failed(), rules, "{}", run.out);
    for tried in run.json()["tried"].as_array().unwrap() {
        assert_eq!(
            tried["passed"] == false,
            tried["remedy"].is_string(),
            "{tried}"
        );
    }
    assert_eq!(bench.bytes(), before, "{rules:?}");
    assert!(std::fs::symlink_metadata(bench.at("mount0")).is_err());
    let records = bench.at("state/prepared");
    assert!(
        std::fs::symlink_metadata(records).is_err(),
        "nothing was begun"
    );
}

fn has(program: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| std::fs::metadata(format!("{folder}/{program}")).is_ok());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Writes into the device.
fn write(bench: &Bench, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options()
        .write(true)
        .open(&bench.device)
        .unwrap();
    file.write_all_at(bytes, at).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn root_the_wrong_word_and_what_is_no_device_are_refused() {
    if !entered("prepare::refusals::root_the_wrong_word_and_what_is_no_device_are_refused") {
        return;
    }
    let bench = Bench::new(64);
    refused(&bench, &["--confirm", "loop999"], &["wrong_serial"]);
    refused(&bench, &["--confirm", ""], &["wrong_serial"]);
    for (path, why) in [
        ("/dev/null", "no block device"),
        ("/dev/none", "there is no"),
    ] {
        let run = bench.run(&[
            "--output",
            "json",
            "disk",
            "prepare",
            path,
            "--as",
            "path",
            "--at",
            "/x",
            "--fs",
            "xfs",
            "--confirm",
            "x",
        ]);
        let run = run.ends(5);
        assert_eq!(run.failed(), ["no_device"]);
        assert!(run.out.contains(why), "{}", run.out);
    }
}

#[test]
fn root_a_device_with_anything_on_it_is_refused() {
    if !entered("prepare::refusals::root_a_device_with_anything_on_it_is_refused") {
        return;
    }
    for program in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkswap"] {
        if has(program) {
            let bench = Bench::new(320);
            sh!(program, &bench.device);
            refused(&bench, &[], &["has_signature", "not_blank"]);
        }
    }
    if has("sfdisk") {
        for label in ["label: gpt\n,\n", "label: dos\n,\n"] {
            let bench = Bench::new(64);
            let mut sfdisk = Command::new("sfdisk")
                .args(["--no-reread", "--quiet"])
                .arg(&bench.device)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut sfdisk.stdin.take().unwrap(), label.as_bytes()).unwrap();
            assert!(sfdisk.wait().unwrap().success());
            refused(&bench, &[], &["has_signature", "not_blank"]);
        }
    }
    if has("pvcreate") {
        let bench = Bench::new(64);
        let device = bench.device.to_str().unwrap();
        let config = format!("devices {{ filter=[\"a|{device}|\",\"r|.*|\"] }}");
        sh!("pvcreate", "--config", &config, "--devices", device, device);
        refused(&bench, &[], &["has_signature", "not_blank"]);
        let said = bench.prepare("path", "path0", "ext4", &[]).ends(5).out;
        assert!(said.contains("LVM"), "{said}");
    }
    // What only the first look here knows: a RAID member of version 1.0, near the end, and a ZFS
    // pool's uberblock. (The kernel of a test machine need not have either.)
    let bench = Bench::new(64);
    let md = [0xa92b_4efc_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    write(&bench, (64 << 20) - 8192, &md);
    refused(&bench, &[], &["has_signature", "not_blank"]);
    let bench = Bench::new(64);
    write(&bench, 128 << 10, &0x00ba_b10c_u64.to_le_bytes());
    refused(&bench, &[], &["has_signature", "not_blank"]);
}

#[test]
fn root_a_signature_that_only_other_programs_know_is_refused() {
    if !entered("prepare::refusals::root_a_signature_that_only_other_programs_know_is_refused") {
        return;
    }
    // minix, 8 MiB or so behind no magic of ours; libblkid knows it.
    let bench = Bench::new(64);
    let mut superblock = [0_u8; 32];
    superblock[0..2].copy_from_slice(&64_u16.to_le_bytes());
    superblock[2..4].copy_from_slice(&1000_u16.to_le_bytes());
    superblock[4..6].copy_from_slice(&1_u16.to_le_bytes());
    superblock[6..8].copy_from_slice(&1_u16.to_le_bytes());
    superblock[8..10].copy_from_slice(&10_u16.to_le_bytes());
    superblock[12..16].copy_from_slice(&0x1008_1c00_u32.to_le_bytes());
    superblock[16..18].copy_from_slice(&0x137f_u16.to_le_bytes());
    superblock[18..20].copy_from_slice(&1_u16.to_le_bytes());
    write(&bench, 1024, &superblock);
    let found = try_run("blkid", &["-p".as_ref(), bench.device.as_os_str()]);
    assert!(found.status.success(), "the fixture is no minix: {found:?}");
    let run = bench.prepare("mount", "mount0", "ext4", &[]).ends(5);
    assert!(
        run.failed().contains(&"has_signature".to_owned()),
        "{}",
        run.out
    );
    assert!(run.out.contains("minix"), "{}", run.out);
}

#[test]
fn root_data_that_nobody_knows_is_refused() {
    if !entered("prepare::refusals::root_data_that_nobody_knows_is_refused") {
        return;
    }
    for at in [1 << 19, (64 << 20) - 5000] {
        let bench = Bench::new(64);
        write(&bench, at, b"a database on the bare device");
        refused(&bench, &[], &["not_blank"]);
    }
}

#[test]
fn root_a_device_in_use_is_refused() {
    if !entered("prepare::refusals::root_a_device_in_use_is_refused") {
        return;
    }
    // Mounted here.
    let bench = Bench::new(64);
    sh!("mkfs.ext4", "-q", &bench.device);
    std::fs::create_dir(bench.at("elsewhere")).unwrap();
    sh!("mount", "-o", "ro", &bench.device, bench.at("elsewhere"));
    refused(
        &bench,
        &[],
        &["mounted", "busy", "has_signature", "not_blank"],
    );
    sh!("umount", bench.at("elsewhere"));

    // Mounted in the namespace of another process only.
    let script = format!(
        "mount -o ro {} {} && echo ready && sleep 60",
        bench.device.display(),
        bench.at("elsewhere").display()
    );
    let mut other = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--kill-child",
            "--fork",
            "sh",
            "-c",
            &script,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(other.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert_eq!(line, "ready\n");
    let run = bench.prepare("mount", "mount0", "ext4", &[]).ends(5);
    assert!(
        run.out.contains("in another mount namespace"),
        "{}",
        run.out
    );
    assert!(
        run.failed()
            .starts_with(&["mounted".to_owned(), "busy".to_owned()])
    );
    other.kill().unwrap();
    other.wait().unwrap();

    // Active swap.
    let bench = Bench::new(64);
    sh!("mkswap", &bench.device);
    let on = try_run("swapon", &[bench.device.as_os_str()]);
    if on.status.success() {
        let run = bench.prepare("mount", "mount0", "ext4", &[]);
        sh!("swapoff", &bench.device);
        let run = run.ends(5);
        assert!(
            run.failed()
                .starts_with(&["in_use_swap".to_owned(), "busy".to_owned()])
        );
    } else {
        println!("skipped: no swap on this machine: {on:?}");
    }

    // Some program has it exclusively.
    let bench = Bench::new(64);
    let flags = rustix::fs::OFlags::EXCL | rustix::fs::OFlags::RDONLY;
    let held = rustix::fs::open(&bench.device, flags, rustix::fs::Mode::empty()).unwrap();
    refused(&bench, &[], &["busy"]);
    drop(held);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
}

#[test]
fn root_partitions_are_refused_and_a_free_one_is_taken() {
    if !entered("prepare::refusals::root_partitions_are_refused_and_a_free_one_is_taken") {
        return;
    }
    if !has("sfdisk") {
        return;
    }
    let mut bench = Bench::new(700);
    let table = std::fs::File::create(bench.at("table")).unwrap();
    std::io::Write::write_all(&mut &table, b"label: gpt\n,330MiB\n,\n").unwrap();
    let status = Command::new("sfdisk")
        .args(["--quiet", "--no-reread"])
        .arg(bench.at("image"))
        .stdin(std::fs::File::open(bench.at("table")).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let whole = bench.device.clone();
    sh!("losetup", "--detach", &whole);
    bench.device = attach(&bench.at("image"), &["--partscan"]);
    let whole = bench.device.clone();
    let run = bench.prepare("mount", "mount0", "ext4", &[]).ends(5);
    if !run.failed().contains(&"partitioned".to_owned()) {
        println!(
            "skipped: this kernel makes no partitions of loop devices: {}",
            run.out
        );
        assert!(run.failed().contains(&"has_signature".to_owned()));
        return;
    }
    let part = std::path::PathBuf::from(format!("{}p1", whole.display()));
    if std::fs::metadata(&part).is_err() {
        println!("skipped: nobody makes nodes for partitions here");
        return;
    }
    bench.device = part;
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    bench.unmount_all();
    bench.device = whole;
}

#[test]
fn root_what_can_not_be_written_or_is_too_small_is_refused() {
    if !entered("prepare::refusals::root_what_can_not_be_written_or_is_too_small_is_refused") {
        return;
    }
    let mut bench = Bench::new(64);
    // Not by `blockdev --setro`: a loop device keeps that beyond its image.
    sh!("losetup", "--detach", &bench.device);
    bench.device = attach(&bench.at("image"), &["--read-only"]);
    refused(&bench, &[], &["read_only"]);
    let bench = Bench::new(8);
    refused(&bench, &[], &["too_small"]);
    let bench = Bench::new(64);
    assert_eq!(
        bench.prepare("path", "path0", "xfs", &[]).ends(5).failed(),
        ["too_small"]
    );
    bench.prepare("path", "path0", "ext4", &[]).ends(0);
}

#[test]
fn root_a_place_that_is_taken_or_can_not_be_used_is_refused() {
    if !entered("prepare::refusals::root_a_place_that_is_taken_or_can_not_be_used_is_refused") {
        return;
    }
    let bench = Bench::new(64);
    let at = |place: &str| bench.prepare("path", place, "ext4", &[]).ends(5).failed();
    std::fs::create_dir_all(bench.at("full/inner")).unwrap();
    std::fs::write(bench.at("file"), "").unwrap();
    std::os::unix::fs::symlink("work", bench.at("link")).unwrap();
    std::fs::create_dir(bench.at("mounted")).unwrap();
    sh!("mount", "-t", "tmpfs", "none", bench.at("mounted"));
    for place in [
        "full", "file", "link", "link/x", "mounted", "a/../b", "a b\n",
    ] {
        assert_eq!(at(place), ["place"], "{place}");
    }
    assert_eq!(at("work/inner"), ["place_taken"]);
    assert_eq!(at("state/inner"), ["place_taken"]);
    assert_eq!(at("etc/.."), ["place"]);

    let other = Bench::new(64);
    bench.prepare("path", "path0", "ext4", &[]).ends(0);
    let device = other.device.to_str().unwrap();
    for place in ["path0/inner", "path0"] {
        let run = bench.run(&[
            "--output",
            "json",
            "disk",
            "prepare",
            device,
            "--as",
            "path",
            "--at",
            bench.at(place).to_str().unwrap(),
            "--fs",
            "ext4",
            "--confirm",
            &other.word(),
        ]);
        assert!(
            run.ends(5).failed().contains(&"place_taken".to_owned()),
            "{place}"
        );
    }
    // An earlier run began it otherwise.
    let run = bench.prepare("mount", "mount0", "ext4", &[]).ends(5);
    assert!(run.failed().contains(&"records".to_owned()), "{}", run.out);
    // A damaged record is no missing one.
    let record = bench.at("state/prepared").join(bench.uuid() + ".json");
    std::fs::write(&record, "{").unwrap();
    let run = bench.prepare("path", "path0", "ext4", &[]).ends(5);
    assert!(run.failed().contains(&"records".to_owned()), "{}", run.out);
}
