//! `scripts/soak`, for a moment.

#![expect(clippy::disallowed_methods, reason = "tests start programs")]

use std::path::Path;
use std::process::Command;

#[test]
fn root_volumes_come_and_go_and_the_daemon_neither_grows_nor_forgets() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let volumed = Path::new(env!("CARGO_BIN_EXE_mesos-volumed"));
    let stand_in = volumed.with_file_name("examples").join("stand-in-agent");
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/soak"))
        .args(["--seconds", "16"])
        .env("SOAK_VOLUMED", volumed)
        .env("SOAK_STAND_IN", stand_in)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all of them gone"), "{said}");
    assert!(said.contains("after the warm-up"), "{said}");
}
