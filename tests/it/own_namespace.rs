//! Runs a test again in a pid and mount namespace of its own.
//!
//! Who uses a volume is told only where every process can be looked at. A machine that runs tests
//! may have processes that not even root may look at; in a namespace of our own there are none.
//! What a test mounts there, and what it starts, ends with it; so only then can its folders go, which
//! lie in one that belongs to the outer run.

#![expect(
    clippy::disallowed_methods,
    reason = "the test program starts itself again"
)]

use std::process::Command;

const INSIDE: &str = "MESOS_VOLUMED_TEST_INSIDE";

/// Whether the test is to be done here and now. Otherwise it was done inside (and held), or can't
/// be done without root, which is said.
#[must_use]
pub(crate) fn entered(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    clean(folder);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        // What broke comes first: long output is often cut.
        "{test} failed inside:\n{}\n{said}",
        String::from_utf8_lossy(&output.stderr)
    );
    for line in said.lines().filter(|line| line.starts_with("skipped: ")) {
        println!("{line}");
    }
    false
}

/// Removes what the test left, flagged files included.
fn clean(folder: tempfile::TempDir) {
    let flags = Command::new("chattr")
        .args(["-R", "-f", "-i", "-a"])
        .arg(folder.path())
        .output();
    let path = folder.path().to_owned();
    if let Err(error) = folder.close() {
        println!("{} was left behind: {error}; {flags:?}", path.display());
    }
}
