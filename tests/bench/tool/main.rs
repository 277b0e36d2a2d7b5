//! The measuring part of `scripts/bench wipe` and `scripts/bench usage`: makes file systems and trees,
//! runs this program and its peers in turn, and says how they compare.
//!
//! Runs of one table are interleaved, round by round; each begins on a tree made anew, synced and
//! rested. Wall time is from the start of the process to its end and, a second figure, to the end of a
//! `syncfs` after it, which is what ratios are made of. CPU time is that of the process alone: what
//! kernel threads do for it later is not in it.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool: it makes and measures trees of its own, and stops at the first surprise"
)]

mod aside;
mod daemon;
mod disk;
mod disks;
mod engine;
mod fleet;
mod measure;
mod neighbour;
mod scale;
mod table;
mod trees;
mod usage;
mod wipe;

use std::path::PathBuf;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Quick,
    Usual,
    Full,
}

/// What the script asked for.
#[derive(Debug)]
struct Request {
    size: Size,
    folder: PathBuf,
    /// The program that is measured.
    ours: PathBuf,
    /// Only these file systems, workloads, sections, states and peers, where any are named, and
    /// `name=value` for numbers and the file of finished tables.
    only: Vec<String>,
}

impl Request {
    fn read(args: &[String]) -> Self {
        Self {
            size: match args[0].as_str() {
                "quick" => Size::Quick,
                "usual" => Size::Usual,
                "full" => Size::Full,
                other => panic_with(&format!("`{other}` is no size")),
            },
            folder: args[1].clone().into(),
            ours: args[2].clone().into(),
            only: args[3..].to_vec(),
        }
    }

    /// What was given for this name.
    fn given(&self, name: &str) -> Option<&str> {
        self.only.iter().find_map(|only| {
            let (key, value) = only.split_once('=')?;
            (key == name).then_some(value)
        })
    }

    /// The number that was given for this name.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.given(name)?;
        match value.parse() {
            Ok(number) if number > 0 => Some(number),
            Ok(_) | Err(_) => panic_with(&format!("{name}={value} is no number above 0")),
        }
    }

    /// Whether something of this name is wanted, among names of its kind.
    fn wants(&self, name: &str, kind: &[&str]) -> bool {
        let named = |kind: &[&str]| self.only.iter().any(|only| kind.contains(&only.as_str()));
        !named(kind) || named(&[name])
    }
}

fn panic_with(what: &str) -> ! {
    eprintln!("error: {what}");
    std::process::exit(1);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = match args.first().map(String::as_str) {
        Some("engine") => return engine::run(&args[1..]),
        Some("engines") => return disks::engines(&args[1..]),
        Some("tree") => return trees::run(&args[1..]),
        Some("walk") => return usage::walk(&args[1..]),
        Some("scale-host") => return scale::make(&args[1..]),
        Some("scale") => scale::run(&Request::read(&args[1..])),
        Some("usage") => usage::run(&Request::read(&args[1..])),
        Some("daemon") => daemon::run(&Request::read(&args[1..])),
        Some("fleet") => fleet::run(&Request::read(&args[1..])),
        Some("neighbour") => neighbour::both(&Request::read(&args[1..])),
        Some("wipe") => wipe::run(&Request::read(&args[1..])),
        _ => panic_with("it is started by scripts/bench"),
    };
    println!("JSON {json}");
}
