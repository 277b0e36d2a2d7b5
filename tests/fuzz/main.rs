//! The engine of `scripts/fuzz`: gives changed recordings to everything that reads bytes from elsewhere.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a testing tool"
)]

mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;

use targets::{Target, mutant};

#[derive(Debug, clap::Parser)]
#[command(name = "fuzz")]
struct Order {
    /// So many seconds in all
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let order = Order::parse();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let each = Duration::from_secs(order.seconds) / u32::try_from(Target::ALL.len()).unwrap();
    let scratch = tempfile::tempdir_in("/dev/shm")
        .or_else(|_none| tempfile::tempdir())
        .unwrap();
    let mut failed = false;
    for target in Target::ALL {
        let corpus = target.corpus(repository);
        for bytes in &corpus {
            target.run(bytes, scratch.path());
        }
        let begun = Instant::now();
        let mut tried = 0_u64;
        while begun.elapsed() < each {
            let seed = order.seed.wrapping_mul(1 << 40).wrapping_add(tried);
            let bytes = mutant(&corpus, seed);
            if catch_unwind(AssertUnwindSafe(|| target.run(&bytes, scratch.path()))).is_err() {
                failed = true;
                let file = std::env::temp_dir().join(format!("fuzz-{target:?}-{seed}"));
                std::fs::write(&file, &bytes).unwrap();
                eprintln!("{target:?}: found by seed {seed}: {}", file.display());
                break;
            }
            tried += 1;
        }
        println!("{target:?}: {} recordings, {tried} inputs", corpus.len());
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
