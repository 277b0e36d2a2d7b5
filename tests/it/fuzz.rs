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

use targets::{Target, mutant, scratch};

#[test]
fn changed_recordings_panic_nowhere_and_touch_nothing_that_is_named() {
    let scratch = scratch();
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

#[test]
fn each_target_is_one_of_libfuzzers_too() {
    let guided = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/guided");
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(guided.join("Cargo.toml")).unwrap()).unwrap();
    let built: Vec<&str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|bin| bin["name"].as_str())
        .collect();
    let targets = Target::ALL.map(Target::name);
    assert_eq!(built, targets);
    for name in targets {
        let text = std::fs::read_to_string(guided.join(format!("targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("target!({name:?})")), "{text}");
    }
}
