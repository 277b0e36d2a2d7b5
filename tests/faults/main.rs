//! The engine of `scripts/faults`, `scripts/powercut`, `scripts/hostile` and `scripts/vm write-log`: runs the program on file
//! systems of its own while calls fail, processes are killed, power is cut, or somebody else works
//! against it, and looks whether everything that must hold does.
//!
//! Each worker has a mount and a pid namespace of its own, and keeps its images in memory: whatever
//! happens to it, nothing stays behind.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a testing tool: it makes and looks at file systems of its own, and stops at the first surprise"
)]

mod faults;
mod hostile;
mod look;
mod powercut;
mod report;
mod scene;
mod shell;
mod trace;
mod tree;
mod world;
mod writelog;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

#[derive(Debug, clap::Parser)]
#[command(name = "fault-tool")]
struct Tool {
    #[command(subcommand)]
    task: Task,
    /// So many workers at a time
    #[arg(long, global = true, default_value_t = 2)]
    jobs: usize,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    #[command(flatten)]
    Work(Work),
    /// One of the processes that work against a wipe
    #[command(hide = true)]
    Attacker {
        kind: hostile::Kind,
        point: PathBuf,
        count: PathBuf,
        seed: u64,
    },
    /// What the others start
    #[command(hide = true)]
    Worker {
        part: String,
        folder: PathBuf,
        #[command(subcommand)]
        work: Work,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Work {
    /// Each call in turn fails, is delayed, or is the last one
    Faults {
        #[command(flatten)]
        order: faults::Order,
    },
    /// The power is cut at calls of a command
    Powercut {
        #[command(flatten)]
        order: powercut::Order,
    },
    /// Processes work against a wipe
    Hostile {
        #[command(flatten)]
        order: hostile::Order,
    },
    /// All writes of a command are logged, and the log is replayed up to each of its flushes
    WriteLog {
        #[command(flatten)]
        order: writelog::Order,
    },
}

/// The N-th of M parts of the runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    number: u64,
    of: u64,
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, of) = text.split_once('/').ok_or("it is written as N/M")?;
        let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
        let of: u64 = of.parse().map_err(|error| format!("{error}"))?;
        if number == 0 || number > of {
            return Err("N is 1 to M".to_owned());
        }
        Ok(Self { number, of })
    }
}

impl Share {
    /// Whether a run is in it. The shares of one seed have every run once.
    fn has(self, seed: u64, index: usize) -> bool {
        let index = u64::try_from(index).unwrap();
        let (row, column) = (index / self.of, index % self.of);
        (column + mixed(seed, row)) % self.of + 1 == self.number
    }

    fn of(self) -> usize {
        usize::try_from(self.of).unwrap()
    }
}

/// A number that looks random (splitmix64).
pub(crate) fn mixed(seed: u64, index: u64) -> u64 {
    let mut mixed = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What one worker does.
#[derive(Debug)]
pub(crate) struct Part {
    number: usize,
    of: usize,
    pub(crate) folder: PathBuf,
}

impl Part {
    fn has(&self, index: usize) -> bool {
        index % self.of == self.number
    }
}

fn main() -> ExitCode {
    let Tool { task, jobs } = Tool::parse();
    let found_nothing = match task {
        // The workers read the same arguments.
        Task::Work(_) => report::gather(jobs),
        Task::Attacker {
            kind,
            point,
            count,
            seed,
        } => hostile::attack(kind, &point, &count, seed),
        Task::Worker { part, folder, work } => {
            let (number, of) = part.split_once('/').unwrap();
            let part = Part {
                number: number.parse().unwrap(),
                of: of.parse().unwrap(),
                folder,
            };
            shell::must(
                "mount",
                &["-t", "tmpfs", "tmpfs", part.folder.to_str().unwrap()],
            );
            match work {
                Work::Faults { order } => faults::work(&order, &part),
                Work::Powercut { order } => powercut::work(&order, &part),
                Work::Hostile { order } => hostile::work(&order, &part),
                Work::WriteLog { order } => writelog::work(&order, &part),
            }
            true
        }
    };
    if found_nothing {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
