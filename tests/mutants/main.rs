//! The engine of `scripts/mutants`: builds every mutant into one program, and asks the tests about one at a time.
//!
//! Building a mutant takes a minute and looking at it a second. So all of them are woven into one program, each
//! behind a question; the environment says which is on. What the compiler does not take goes out again. A test
//! that never came by a mutant can't notice it, so that only those that did are asked, the quick ones first.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a testing tool"
)]

mod build;
mod run;
mod weave;

use std::path::PathBuf;

use clap::Parser as _;

#[derive(Debug, clap::Parser)]
#[command(name = "mutants")]
enum Order {
    /// Weaves the mutants of a list into a copy of the program, and builds it
    Build {
        /// What `cargo mutants --list --json` says
        #[arg(long)]
        list: PathBuf,
        /// The program, changed in place
        #[arg(long)]
        copy: PathBuf,
        /// Where to write what was built
        #[arg(long)]
        built: PathBuf,
    },
    /// Runs the tests with each mutant
    Run {
        /// What was built
        #[arg(long)]
        built: PathBuf,
        /// Where the results are; those that are there already are not asked again
        #[arg(long)]
        results: PathBuf,
        #[command(flatten)]
        choice: run::Choice,
    },
}

fn main() {
    match Order::parse() {
        Order::Build { list, copy, built } => build::build(&list, &copy, &built),
        Order::Run {
            built,
            results,
            choice,
        } => run::run(&built, &results, &choice),
    }
}
