//! `/proc` stalls, as on a host whose processes hang in a dead disk.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs and look at the daemon by name"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::api::get;
use super::host::{Host, Parts, is_gone};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// How long each look at the list of processes stalls.
const STALL: Duration = Duration::from_secs(8);

/// What processes and threads of the daemon spent on processors.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    // A hundred a second wherever Linux runs.
    Duration::from_millis(ticks.saturating_mul(10))
}

#[test]
fn root_a_stall_of_proc_loses_no_destroy_and_does_not_spin() {
    if !entered("e2e::stall::root_a_stall_of_proc_loses_no_destroy_and_does_not_spin") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 5);
    let daemon = host.daemon();
    daemon.two_passes();
    let pid = daemon.pid();
    let inject = format!("inject=openat:delay_enter={}", STALL.as_micros());
    let started = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-P",
            "/proc",
            "-e",
            "trace=openat",
        ])
        .args(["-e", &inject, "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .spawn();
    let Ok(mut strace) = started else {
        println!("skipped: needs strace");
        return;
    };
    wait_until("strace has it", Duration::from_mins(1), || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        !status.lines().any(|line| line == "TracerPid:\t0")
    });
    let (begun, before) = (Instant::now(), cpu(pid));
    host.destroy("goes");
    // It answers while it waits, and waits without working.
    while begun.elapsed() < STALL {
        assert_eq!(get(&host, "/v1/status").status, 200);
        assert!(!is_gone(&host.volume("PATH", "goes")), "nothing stalled");
        std::thread::sleep(Duration::from_millis(500));
    }
    let spent = cpu(pid).saturating_sub(before);
    assert!(
        spent < STALL.div_f64(2.0),
        "{spent:?} in {:?}",
        begun.elapsed()
    );
    wait_until("it goes all the same", Duration::from_mins(3), || {
        is_gone(&host.volume("PATH", "goes"))
    });
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    // Detached, it goes on.
    strace.kill().unwrap();
    strace.wait().unwrap();
    daemon.two_passes();
    daemon.stop();
}
