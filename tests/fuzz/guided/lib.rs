//! The targets of tests/fuzz for libFuzzer: it chooses by coverage which inputs to keep; how one is changed
//! is shared between its own ways and ours, which exchange whole words and numbers of recordings.

use std::path::Path;
use std::sync::LazyLock;

pub use libfuzzer_sys;

use targets::{Target, changed, mixed, scratch};

#[expect(dead_code, reason = "which input is changed is libFuzzer's to choose")]
#[path = "../targets.rs"]
mod targets;

static SCRATCH: LazyLock<tempfile::TempDir> = LazyLock::new(scratch);

/// One of the targets, while it is fuzzed.
#[derive(Debug)]
pub struct Fuzzed {
    target: Target,
    recordings: Vec<Vec<u8>>,
}

impl Fuzzed {
    /// # Panics
    /// When no target has this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let target = Target::ALL
            .into_iter()
            .find(|target| target.name() == name)
            .expect("the name of a target");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        Self {
            target,
            recordings: target.corpus(&repository),
        }
    }

    /// Reads the bytes; panics where something does not hold.
    pub fn run(&self, bytes: &[u8]) {
        self.target.run(bytes, SCRATCH.path());
    }

    /// Changes an input; how long it is then.
    pub fn change(&self, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
        if mixed(u64::from(seed), 0).is_multiple_of(2) {
            return libfuzzer_sys::fuzzer_mutate(data, size, most);
        }
        let mut new = changed(data[..size].to_vec(), &self.recordings, u64::from(seed));
        new.truncate(most);
        data[..new.len()].copy_from_slice(&new);
        new.len()
    }
}

/// What libFuzzer calls.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        static FUZZED: std::sync::LazyLock<$crate::Fuzzed> =
            std::sync::LazyLock::new(|| $crate::Fuzzed::named($name));

        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| FUZZED.run(data));

        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                              size: usize,
                                              max_size: usize,
                                              seed: u32| {
            FUZZED.change(data, size, max_size, seed)
        });
    };
}
