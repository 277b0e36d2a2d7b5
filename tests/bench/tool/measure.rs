//! One run of one command.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From the start of the process to its end.
    pub(crate) wall: f64,
    /// The same to the end of a sync of the file system.
    pub(crate) to_sync: f64,
    /// User and system time of the process, in seconds.
    pub(crate) cpu: f64,
    /// Its largest resident memory, in MiB; never less than this tool's own (it comes before exec).
    pub(crate) mib: f64,
}

/// Runs a command to its end and syncs; it has to succeed.
pub(crate) fn run(command: &mut Command, sync: impl FnOnce()) -> Run {
    match try_run(command, sync) {
        Ok(run) => run,
        Err(status) => super::panic_with(&format!("{command:?}: {status}")),
    }
}

/// Runs a command to its end and syncs; how it ended where it failed.
pub(crate) fn try_run(command: &mut Command, sync: impl FnOnce()) -> Result<Run, ExitStatus> {
    let (status, run) = timed(command, sync);
    if status.success() {
        Ok(run)
    } else {
        Err(status)
    }
}

/// Runs a command that ends with one of these codes.
pub(crate) fn run_ending(command: &mut Command, codes: &[i32]) -> Run {
    let (status, run) = timed(command, || {});
    if status.code().is_none_or(|code| !codes.contains(&code)) {
        super::panic_with(&format!("{command:?}: {status}"));
    }
    run
}

#[expect(
    clippy::zombie_processes,
    reason = "it is waited for by its process id"
)]
fn timed(command: &mut Command, sync: impl FnOnce()) -> (ExitStatus, Run) {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let child = command.spawn().unwrap();
    let (status, usage) = wait(child.id());
    let wall = begun.elapsed();
    sync();
    let to_sync = begun.elapsed();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let run = Run {
        wall: wall.as_secs_f64(),
        to_sync: to_sync.as_secs_f64(),
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        mib: usage.ru_maxrss as f64 / 1024.0,
    };
    (status, run)
}

#[expect(unsafe_code, reason = "std does not tell what a child has used")]
fn wait(pid: u32) -> (ExitStatus, libc::rusage) {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which all zeros is a value; both pointers are to locals.
    let (got, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let got = libc::wait4(pid.cast_signed(), &raw mut status, 0, &raw mut usage);
        (got, usage)
    };
    if got != pid.cast_signed() {
        super::panic_with("wait4 failed");
    }
    (ExitStatus::from_raw(status), usage)
}

/// So that what was written before does not count.
pub(crate) fn rest() {
    std::thread::sleep(Duration::from_millis(300));
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this share of the values lies.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    let at = (values.len() - 1) as f64 * share;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    values[low] + (values[high] - values[low]) * (at - at.floor())
}
