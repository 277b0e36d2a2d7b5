//! `/proc` stalls, as on a host whose processes hang in a dead disk.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs and look at the daemon by name"
)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::api::get;
use super::host::{Host, Parts, is_gone};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// What processes and threads of the daemon spent on processors.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    // A hundred a second wherever Linux runs.
    Duration::from_millis(ticks.saturating_mul(10))
}

/// Lets each look of the daemon at the list of processes stall for so long, until the strace that is given back
/// is killed; `None` where there is none.
fn stall(pid: u32, span: Duration) -> Option<Child> {
    let inject = format!("inject=openat:delay_enter={}", span.as_micros());
    let started = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(["-P", "/proc", "-e", "trace=openat"])
        .args(["-e", &inject, "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .spawn();
    let Ok(strace) = started else {
        println!("skipped: needs strace");
        return None;
    };
    wait_until("strace has it", Duration::from_mins(1), || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        !status.lines().any(|line| line == "TracerPid:\t0")
    });
    Some(strace)
}

/// Destroys a volume while every look at the list of processes stalls: meanwhile the daemon answers, does not
/// work, and takes nothing away.
fn destroy_while_stalled(host: &Host, pid: u32, span: Duration) {
    let (begun, before) = (Instant::now(), cpu(pid));
    host.destroy("goes");
    while begun.elapsed() < span {
        assert_eq!(get(host, "/v1/status").status, 200);
        assert!(!is_gone(&host.volume("PATH", "goes")), "nothing stalled");
        std::thread::sleep(Duration::from_millis(500));
    }
    let spent = cpu(pid).saturating_sub(before);
    assert!(
        spent < span.div_f64(2.0),
        "{spent:?} in {:?}",
        begun.elapsed()
    );
}

fn host() -> Host {
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 5);
    host
}

#[test]
fn root_a_stall_of_proc_loses_no_destroy_and_does_not_spin() {
    if !entered("e2e::stall::root_a_stall_of_proc_loses_no_destroy_and_does_not_spin") {
        return;
    }
    let host = host();
    let daemon = host.daemon();
    daemon.two_passes();
    let span = Duration::from_secs(8);
    let Some(mut strace) = stall(daemon.pid(), span) else {
        return;
    };
    destroy_while_stalled(&host, daemon.pid(), span);
    // It goes although each look goes on to stall.
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

#[test]
fn root_half_a_minute_in_which_proc_does_not_answer_is_waited_out() {
    if !entered("e2e::stall::root_half_a_minute_in_which_proc_does_not_answer_is_waited_out") {
        return;
    }
    let host = host();
    let daemon = host.daemon();
    daemon.two_passes();
    let threads = || {
        std::fs::read_dir(format!("/proc/{}/task", daemon.pid()))
            .unwrap()
            .count()
    };
    let span = Duration::from_secs(30);
    let Some(mut strace) = stall(daemon.pid(), span) else {
        return;
    };
    destroy_while_stalled(&host, daemon.pid(), span);
    // A look waits for itself, and no other is begun beside it.
    let most = threads();
    assert!(most < 16, "{most} threads");
    strace.kill().unwrap();
    strace.wait().unwrap();
    wait_until("it goes when that is over", Duration::from_mins(3), || {
        is_gone(&host.volume("PATH", "goes"))
    });
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    daemon.two_passes();
    daemon.stop();
}
