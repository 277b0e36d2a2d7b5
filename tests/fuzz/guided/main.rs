//! One target of tests/fuzz, named by `MESOS_VOLUMED_FUZZ`, for libFuzzer.

#![no_main]
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "a testing tool that uses a part of what it shares"
)]

#[path = "../targets.rs"]
mod targets;

use std::sync::LazyLock;

use targets::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("MESOS_VOLUMED_FUZZ").expect("MESOS_VOLUMED_FUZZ names a target");
    let known = |target: &Target| format!("{target:?}").eq_ignore_ascii_case(&name);
    Target::ALL
        .into_iter()
        .find(known)
        .expect("MESOS_VOLUMED_FUZZ names a target of tests/fuzz")
});

static SCRATCH: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_none| tempfile::tempdir())
        .expect("a folder for one file")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.run(data, SCRATCH.path()));
