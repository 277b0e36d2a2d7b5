//! Histories of a model host, in which the real decide, check and executor live: see
//! `tests/simulate`, and `scripts/simulate` for more of them.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a model in memory, with its state in a folder of its own"
)]

#[expect(
    dead_code,
    reason = "the program of scripts/simulate uses what tests do not"
)]
#[path = "../simulate/sim/mod.rs"]
mod sim;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::decide::builder;
use crate::fuzz::targets::scratch;
use sim::count::Counts;
use sim::history::{run, run_with, tape_of};
use sim::observe::Blunder;

/// Seeds of histories that once found something; each stays in every run.
const FOUND: [u64; 31] = [
    1031,
    1640,
    6_001_307,
    700_001_189,
    700_006_158,
    700_025_758,
    700_036_967,
    700_042_119,
    700_053_173,
    700_078_616,
    700_093_512,
    810_001_130,
    900_008_365,
    900_036_682,
    900_045_996,
    900_046_798,
    900_145_753,
    900_183_964,
    900_262_170,
    900_265_838,
    900_269_310,
    1_100_163_639,
    1_100_185_644,
    1_100_227_883,
    1_200_004_508,
    1_200_122_458,
    1_300_019_255,
    1_500_128_856,
    1_500_783_590,
    1_500_842_784,
    1_500_940_967,
];

/// Mistakes of a program, and the seeds of histories that find them.
const BITTEN: [(Blunder, u64); 5] = [
    (Blunder::NoHolders, 266),
    (Blunder::UnknownIsAbsent, 627),
    (Blunder::OneAuthority, 176),
    (Blunder::NoGrace, 10),
    (Blunder::OneLife, 184),
];

/// How many others a test run has; `scripts/test` runs 2,000 others.
const HISTORIES: u64 = 300;

#[test]
fn histories_keep_what_must_hold() {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let folder = scratch();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let seed = match FOUND.get(usize::try_from(number).unwrap()) {
                        Some(seed) => *seed,
                        None if number < HISTORIES => 10_000 + number,
                        None => break,
                    };
                    match run(&tape_of(seed), folder.path()) {
                        Ok(counts) => all.lock().unwrap().add(&counts),
                        Err(found) => panic!(
                            "scripts/simulate --histories 1 --seed {seed}: {:#?}",
                            found.findings
                        ),
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    println!("{}", all.text());
    // A model in which nothing happens would find nothing.
    for step in [
        "quarantine done",
        "clear done",
        "wipe done",
        "empty_mount done",
        "call done",
        "confirm done",
    ] {
        assert!(all.steps.contains_key(step), "no {step}");
    }
    assert!(all.codes.len() > 20, "{:?}", all.codes);
    assert!(all.causes.len() > 8, "{:?}", all.causes);
}

#[test]
fn a_program_without_its_guards_is_found_out() {
    // The seeds by which `scripts/simulate --show-it-bites` found each mistake.
    for (blunder, seed) in BITTEN {
        let folder = scratch();
        let found = run_with(&tape_of(seed), folder.path(), Some(blunder)).unwrap_err();
        assert!(
            found
                .findings
                .iter()
                .any(|finding| finding.contains("was moved aside")
                    || finding.contains("was removed")),
            "{blunder:?}: {:?}",
            found.findings
        );
        run(&tape_of(seed), folder.path()).unwrap();
    }
}
