//! The modes that act on whole disks, killed at a system call and run again: the end is the same, and
//! until then agents are held back.

#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests count, look at their own files by name, and start the program below strace"
)]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::host::{Host, Parts, fill, is_gone, must, names, tree};
use crate::own_namespace::entered;

/// Calls by which a disk, a folder or a mount is changed, or made durable.
const CHANGING: &str = "unlinkat,renameat,renameat2,mkdir,mkdirat,pwrite64,fallocate,ftruncate,fsync,\
                        fdatasync,syncfs,ioctl,mount,umount2,fchmod,fchown,execve";

/// Below strace, with this of its options; whether it was killed.
pub(super) fn below_strace(host: &Host, option: &str, log: &Path, arguments: &[&str]) -> bool {
    let status = Command::new("strace")
        .args(["-f", "-e", &format!("trace={CHANGING}"), "-e", option])
        .arg("-o")
        .arg(log)
        .arg(env!("CARGO_BIN_EXE_mesos-volumed"))
        .arg("--config")
        .arg(host.config())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Each call of a run that was not disturbed, by its name and its number among those of its name in one
/// thread, which is how strace counts; at most so many of them, the first and the last among them.
fn calls(log: &Path, points: usize) -> Vec<(String, usize)> {
    let text = std::fs::read_to_string(log).unwrap();
    let mut counted = BTreeMap::<(&str, &str), usize>::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        // The program itself is started by one.
        if !CHANGING.split(',').any(|changing| changing == name)
            || calls.is_empty() && name == "execve"
        {
            continue;
        }
        let number = counted.entry((thread, name)).or_default();
        *number += 1;
        let call = (name.to_owned(), *number);
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    let last = calls.len() - 1;
    let points = points.min(calls.len());
    let mut some: Vec<usize> = (0..points)
        .map(|point| point * last / (points - 1))
        .collect();
    some.dedup();
    println!("{} calls that change something", calls.len());
    some.into_iter().map(|at| calls[at].clone()).collect()
}

fn kill_at((name, number): &(String, usize)) -> String {
    format!("inject={name}:signal=KILL:when={number}")
}

/// `r/goes` on the MOUNT disk is destroyed, its data are there, and no agent runs.
fn destroyed(host: &mut Host, secret: &str) {
    host.agent.start();
    let root = host.root("MOUNT");
    let disk = format!("MOUNT:{}", root.display());
    host.agent
        .order(&["create", "r/goes", "--disk", &disk, "--size", "20"]);
    fill(&root, 20);
    let early = root.join("early");
    std::fs::write(&early, secret.repeat(5000)).unwrap();
    must("sync", &["-f", early.to_str().unwrap()]);
    host.sweep(0);
    host.destroy("goes");
    host.agent.stop();
}

/// How often the audit log says that a MOUNT disk was done.
fn told(host: &Host) -> usize {
    let audit = std::fs::read_to_string(host.state_dir().join("audit/audit.jsonl")).unwrap();
    audit
        .lines()
        .filter(|line| line.contains("\"empty_mount\"") && line.contains("\"done\""))
        .count()
}

fn seen(host: &Host) -> String {
    let root = host.root("MOUNT");
    let what = ["-no", "FSTYPE,UUID,LABEL", root.to_str().unwrap()];
    let output = Command::new("findmnt").args(what).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn on_a_mount(mode: &str, points: usize) {
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[wipe]\nrate = 0\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    let at = format!("MOUNT:{}", host.root("MOUNT").display());
    host.agent
        .order(&["reserve", "r", "--disk", &at, "--size", "20"]);
    host.agent.stop();
    let stays = tree(&host.volume("ROOT", "stays"));
    let (log, image) = (host.temp().join("calls"), host.temp().join("mount.img"));
    let gate = host.state_dir().join("gate.json");
    let wiping = ["wipe", "r/goes", "--confirm", "goes", "--mode", mode];
    let disk = seen(&host);
    let uuid = disk.split_whitespace().nth(1).unwrap().to_owned();

    destroyed(&mut host, "SECRET ");
    assert!(!below_strace(&host, "signal=none", &log, &wiping));
    let calls = calls(&log, points);
    let (mut killed, mut unmounted, mut owed) = (0, 0, 0);
    for (number, call) in calls.iter().enumerate() {
        let at = format!("{}, number {}", call.0, call.1);
        destroyed(&mut host, "SECRET ");
        let told_before = told(&host);
        let died = below_strace(&host, &kill_at(call), &log, &wiping);
        killed += usize::from(died);
        let whole = seen(&host) == disk && !names(&host.root("MOUNT")).is_empty();
        if seen(&host).is_empty() {
            unmounted += 1;
            assert!(
                !is_gone(&gate),
                "{mode}, {at}: an agent could start on a bare mount point"
            );
            // As it is, nothing is said to be done, and agents stay held back.
            assert_ne!(host.run(&wiping).code, 0, "{mode}, {at}");
            assert!(!is_gone(&gate), "{mode}, {at}");
            // What the operator is told to do: mount it; where mkfs was killed, make it first.
            let point = host.root("MOUNT");
            let again = [
                "-o",
                "loop,strictatime",
                image.to_str().unwrap(),
                point.to_str().unwrap(),
            ];
            let mounted = Command::new("mount").args(again).output().unwrap();
            if !mounted.status.success() {
                must(
                    "mkfs.ext4",
                    &["-q", "-F", "-U", &uuid, image.to_str().unwrap()],
                );
                host.mount_disk.mount();
                std::fs::remove_dir(point.join("lost+found")).unwrap();
            }
        } else if !whole {
            let done = names(&host.root("MOUNT")).is_empty();
            assert!(
                done || !is_gone(&gate),
                "{mode}, {at}: half a disk, and the gate is open"
            );
        }
        let owing = std::fs::read_to_string(&gate).is_ok_and(|text| text.contains("fills"));
        let emptied = names(&host.root("MOUNT")).is_empty();
        owed += usize::from(owing && emptied);
        // An operator may want it no more.
        let given_up = owing && emptied && number % 3 == 2;
        if given_up {
            let word = ["wipe", "r/goes", "--confirm", "goes", "--mode", "unlink"];
            host.run(&word).ends(0);
            assert!(is_gone(&gate), "{mode}, {at}");
        }
        // What is owed is taken up by whoever comes next: the same command, or any sweep.
        if !given_up && (number % 2 == 0 || !owing) {
            let again = host.run(&wiping);
            let nothing_left = again.code == 5 && again.err.contains("there is no volume");
            assert!(
                again.code == 0 || (nothing_left && !owing),
                "{mode}, {at}: {again:?}"
            );
        }
        // A disk that was emptied before the kill is nobody's any more; a sweep lets agents start.
        host.sweep(0);
        assert!(names(&host.root("MOUNT")).is_empty(), "{mode}, {at}");
        assert!(is_gone(&gate), "{mode}, {at}");
        assert_eq!(seen(&host), disk, "{mode}, {at}");
        assert_eq!(tree(&host.volume("ROOT", "stays")), stays);
        if mode == "zero_free" {
            host.mount_disk.unmount();
            let bytes = std::fs::read(&image).unwrap();
            let left = bytes.chunks(512).any(|block| block.starts_with(b"SECRET "));
            host.mount_disk.mount();
            assert!(!left || given_up, "{mode}, {at}: old data is left");
            // A kill after the last zero and before the line of the audit log leaves none.
            assert!(told(&host) > told_before || !owing, "{mode}, {at}");
        }
    }
    println!(
        "{mode}: killed at {killed} of {} calls tried, {unmounted} times with the disk unmounted, \
         {owed} times with an empty disk whose free space was owed its zeros",
        calls.len()
    );
    assert!(mode != "zero_free" || owed > 1, "{owed} of {calls:?}");
    // Where mkfs was killed, the program itself went on to say so.
    assert!(
        (killed + unmounted) * 2 > calls.len(),
        "{killed} of {calls:?}"
    );
}

#[test]
fn root_a_zero_free_that_is_killed_at_a_call_is_taken_up_again() {
    if !entered("e2e::killed_modes::root_a_zero_free_that_is_killed_at_a_call_is_taken_up_again") {
        return;
    }
    on_a_mount("zero_free", 14);
}

#[test]
fn root_a_reformat_that_is_killed_at_a_call_ends_the_same_when_run_again() {
    if !entered(
        "e2e::killed_modes::root_a_reformat_that_is_killed_at_a_call_ends_the_same_when_run_again",
    ) {
        return;
    }
    on_a_mount("reformat", 18);
}

#[test]
fn root_a_device_wipe_that_is_killed_at_a_call_ends_the_same_when_run_again() {
    if !entered(
        "e2e::killed_modes::root_a_device_wipe_that_is_killed_at_a_call_ends_the_same_when_run_again",
    ) {
        return;
    }
    let host = Host::new(Parts::default());
    let (log, image) = (host.temp().join("calls"), host.temp().join("spare.img"));
    std::fs::write(&image, "").unwrap();
    for mode in ["zero_device", "discard_device"] {
        let run = |option: Option<&str>| {
            let device = must("losetup", &["--find", "--show", image.to_str().unwrap()]);
            let device = device.trim();
            let name = device.trim_start_matches("/dev/");
            let wiping = [
                "wipe",
                "--device",
                device,
                "--confirm",
                name,
                "--mode",
                mode,
            ];
            let died = option.is_some_and(|option| below_strace(&host, option, &log, &wiping));
            let code = (!died).then(|| host.run(&wiping).ends(0).code);
            // What was killed in the middle is simply done again.
            let again = host.run(&wiping).ends(0);
            must("losetup", &["--detach", device]);
            (died, code, again)
        };
        let fill = || std::fs::write(&image, "SECRET ".repeat(1 << 20)).unwrap();
        fill();
        run(Some("signal=none"));
        let calls = calls(&log, 12);
        let mut killed = 0;
        for call in &calls {
            let at = format!("{}, number {}", call.0, call.1);
            fill();
            let (died, ..) = run(Some(&kill_at(call)));
            killed += usize::from(died);
            let bytes = std::fs::read(&image).unwrap();
            assert!(
                !bytes.windows(7).any(|bytes| bytes == b"SECRET "),
                "{mode}, {at}"
            );
        }
        println!("{mode}: killed at {killed} of {} calls tried", calls.len());
        assert!(killed * 2 > calls.len(), "{killed} of {calls:?}");
    }
}
