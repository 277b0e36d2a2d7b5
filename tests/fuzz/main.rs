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
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;

use targets::{Target, mutant, scratch};

#[derive(Debug, clap::Parser)]
#[command(name = "fuzz")]
struct Order {
    /// So many seconds in all
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// This target alone
    #[arg(long)]
    target: Option<String>,
    /// Only write the recordings below this folder, a folder for each target, and tell their names
    #[arg(long)]
    corpora: Option<PathBuf>,
}

fn main() -> ExitCode {
    let order = Order::parse();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut targets = Target::ALL.to_vec();
    if let Some(only) = &order.target {
        targets.retain(|target| target.name() == *only);
        if targets.is_empty() {
            let names = Target::ALL.map(Target::name).join(", ");
            eprintln!("error: --target is one of {names}");
            return ExitCode::from(2);
        }
    }
    if let Some(folder) = &order.corpora {
        for target in targets {
            let folder = folder.join(target.name());
            std::fs::create_dir_all(&folder).unwrap();
            for (number, bytes) in target.corpus(repository).iter().enumerate() {
                std::fs::write(folder.join(format!("recording-{number}")), bytes).unwrap();
            }
            println!("{}", target.name());
        }
        return ExitCode::SUCCESS;
    }
    let each = Duration::from_secs(order.seconds) / u32::try_from(targets.len()).unwrap();
    let scratch = scratch();
    let mut failed = false;
    for target in targets {
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
