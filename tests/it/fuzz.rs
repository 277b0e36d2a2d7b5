//! Every recording, and some thousand that were changed a little, through everything that reads bytes from
//! elsewhere; `scripts/fuzz` does it for as long as one likes.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

#[path = "../fuzz/targets.rs"]
pub(crate) mod targets;

use std::path::Path;

use targets::{Target, mutant};

#[test]
fn changed_recordings_panic_nowhere_and_touch_nothing_that_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    for target in Target::ALL {
        let corpus = target.corpus(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(!corpus.is_empty(), "{target:?} has no recordings");
        for bytes in &corpus {
            target.run(bytes, scratch.path());
        }
        for seed in 0..300 {
            target.run(&mutant(&corpus, seed), scratch.path());
        }
    }
}
