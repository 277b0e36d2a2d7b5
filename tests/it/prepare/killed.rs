//! Killed after each step and run again: the end is the same.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look at their own files, and start themselves again"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use mesos_volumed::act::prepare::{PrepareLock, prepare};
use mesos_volumed::act::store::Store;
use mesos_volumed::decide::facts::{PrepareRequest, PreparedFs};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::observe::places::Places;
use mesos_volumed::observe::prepare::observe;
use mesos_volumed::units::{Bytes, Raw};

use super::bench::{Bench, is_immutable};
use crate::own_namespace::entered;

/// Which step to die after; with where everything is.
const ORDER: &str = "MESOS_VOLUMED_TEST_DIE_AFTER";

/// The process that dies: the program's own library, with `kill -9` of itself in place of the
/// line that the program prints after a step. Only the tests below give it an order.
#[test]
fn a_run_that_is_killed() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let order: BTreeMap<String, String> = serde_json::from_str(&order).unwrap();
    let raw = |name: &str| Raw::from(order[name].as_str());
    let kind = if order["kind"] == "mount" {
        DiskType::Mount
    } else {
        DiskType::Path
    };
    let request = PrepareRequest {
        device: raw("device"),
        kind,
        at: raw("at"),
        fs: if order["fs"] == "xfs" {
            PreparedFs::Xfs
        } else {
            PreparedFs::Ext4
        },
        confirm: raw("confirm"),
        immutable: true,
        uuid: order["uuid"].clone(),
        state_dir: raw("state"),
        work_dir: raw("work"),
        min_size: Bytes(0),
    };
    let last: usize = order["step"].parse().unwrap();
    let store = Store::open(raw("state").as_path()).unwrap();
    let _lock = PrepareLock::acquire(&store).unwrap();
    let facts = observe(&Places::default(), &request).unwrap();
    let decision = mesos_volumed::decide::prepare::prepare(&request, &facts);
    let plan = decision
        .plan
        .unwrap_or_else(|| panic!("{:?}", decision.tried));
    let mut step = 0_usize;
    prepare(&store, plan, &mut |_, _| {
        if step == last {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap();
        }
        step = step.saturating_add(1);
    })
    .unwrap();
}

/// What is there in the end: mounts, flags, record and marker, without what differs by nature.
fn end(bench: &Bench, at: &str) -> String {
    let uuid = bench.uuid();
    let record = std::fs::read_to_string(bench.at("state/prepared").join(format!("{uuid}.json")));
    let mounts = bench.mounts();
    let (own, _) = mounts.iter().find(|(_, root)| root == "/").unwrap();
    let marker = ["", "volumes"]
        .iter()
        .map(|folder| own.join(folder).join(".mesos-volumed/marker.json"))
        .find_map(|file| std::fs::read_to_string(file).ok())
        .unwrap();
    let text = format!("{mounts:?}\n{}\n{marker}", record.unwrap());
    bench.unmount_all();
    let mut points = vec![bench.at(at)];
    points.extend(mounts.iter().map(|(point, _)| point.clone()));
    let flags: Vec<bool> = points.iter().map(|point| is_immutable(point)).collect();
    format!("{text}{flags:?}")
        .replace(&uuid, "UUID")
        .replace(bench.at("").to_str().unwrap(), "/T/")
        .replace(&bench.word(), "LOOP")
}

fn killed_after(bench: &Bench, kind: &str, at: &str, fs: &str, uuid: &str, step: usize) -> bool {
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let order: BTreeMap<&str, String> = BTreeMap::from([
        ("kind", kind.to_owned()),
        ("device", text(bench.device.clone())),
        ("at", text(bench.at(at))),
        ("fs", fs.to_owned()),
        ("confirm", bench.word()),
        ("uuid", uuid.to_owned()),
        ("state", text(bench.at("state"))),
        ("work", text(bench.at("work"))),
        ("step", step.to_string()),
    ]);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "prepare::killed::a_run_that_is_killed"])
        .args(["--nocapture", "--test-threads=1"])
        .env(ORDER, serde_json::to_string(&order).unwrap())
        .output()
        .unwrap();
    let died = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(
        died || output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    died
}

/// Kills a run after step 0, 1, 2, … of a device of its own each, until one ends by itself.
fn every_step(kind: &str, at: &str, fs: &str, mib: u64) -> usize {
    let more: &[&str] = if kind == "path" {
        &["--immutable-mount-point"]
    } else {
        &[]
    };
    let whole = Bench::new(mib);
    whole.prepare(kind, at, fs, more).ends(0);
    let expected = end(&whole, at);
    for step in 0.. {
        let bench = Bench::new(mib);
        // xfs refuses to mount two of one UUID, and other tests run at the same time.
        let uuid = uuid::Uuid::new_v4().to_string();
        let died = killed_after(&bench, kind, at, fs, &uuid, step);
        // Before the record nothing has happened; from then on the file system keeps its UUID.
        bench.prepare(kind, at, fs, more).ends(0);
        assert_eq!(bench.uuid(), uuid);
        assert_eq!(
            end(&bench, at),
            expected,
            "{kind} {fs} killed after step {step}"
        );
        if !died {
            return step;
        }
    }
    0
}

#[test]
fn root_a_mount_disk_is_prepared_to_the_end_after_a_kill_at_each_step() {
    if !entered(
        "prepare::killed::root_a_mount_disk_is_prepared_to_the_end_after_a_kill_at_each_step",
    ) {
        return;
    }
    assert!(every_step("mount", "mount0", "ext4", 64) > 10);
    assert!(every_step("mount", "mount0", "xfs", 320) > 10);
}

#[test]
fn root_a_path_disk_is_prepared_to_the_end_after_a_kill_at_each_step() {
    if !entered(
        "prepare::killed::root_a_path_disk_is_prepared_to_the_end_after_a_kill_at_each_step",
    ) {
        return;
    }
    assert!(every_step("path", "path0", "ext4", 64) > 6);
    assert!(every_step("path", "path0", "xfs", 320) > 6);
}

#[test]
fn root_a_file_system_that_was_half_made_is_made_again_and_no_other_is() {
    if !entered(
        "prepare::killed::root_a_file_system_that_was_half_made_is_made_again_and_no_other_is",
    ) {
        return;
    }
    let uuid = "5f8a2a1e-9a0e-4b38-8a5e-2f1f5a6a7b01";
    // Step 1 is the record that says that it is being made.
    let write = |bench: &Bench, at: u64, bytes: &[u8]| {
        let file = std::fs::File::options()
            .write(true)
            .open(&bench.device)
            .unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
        file.sync_all().unwrap();
    };
    let bench = Bench::new(64);
    assert!(killed_after(&bench, "mount", "mount0", "ext4", uuid, 1));
    write(&bench, 4096, &[0xff; 8192]);
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    assert_eq!(bench.uuid(), uuid);

    // Whole, but the record does not say so yet.
    let bench = Bench::new(64);
    assert!(killed_after(&bench, "mount", "mount0", "ext4", uuid, 2));
    bench.prepare("mount", "mount0", "ext4", &[]).ends(0);
    assert_eq!(bench.uuid(), uuid);

    // Somebody else's in the meantime.
    let bench = Bench::new(64);
    assert!(killed_after(&bench, "mount", "mount0", "ext4", uuid, 1));
    crate::support::disk::sh!("mkfs.ext4", "-q", &bench.device);
    let before = bench.bytes();
    let run = bench.prepare("mount", "mount0", "ext4", &[]).ends(5);
    assert!(
        run.failed().contains(&"has_signature".to_owned()),
        "{}",
        run.out
    );
    assert_eq!(bench.bytes(), before);
    // What was begun can be given up, and nothing of the other's is touched.
    bench.release("mount0").ends(0);
    assert_eq!(bench.bytes(), before);
}
