//! The engine of `scripts/simulate`: runs histories, tells how it goes, and what they reached.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::cast_precision_loss,
    reason = "a testing tool"
)]

#[path = "../it/decide/builder.rs"]
#[expect(dead_code, reason = "tests use what a simulation does not")]
mod builder;
#[path = "../it/support/scratch.rs"]
mod scratch;
mod sim;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser as _;

use scratch::scratch;
use sim::count::Counts;
use sim::history::{Found, run, run_with, shrink, tape_of};
use sim::observe::Blunder;

#[derive(Debug, clap::Parser)]
#[command(name = "simulate")]
struct Order {
    /// So many histories
    #[arg(long, default_value_t = 2000)]
    histories: u64,
    /// The first one's seed; each further one has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many at a time [default: one a processor]
    #[arg(long)]
    jobs: Option<usize>,
    /// Let the program make mistakes, one after the other, and see that each is found
    #[arg(long)]
    show_it_bites: bool,
    /// Where to write the facts of the last look, for `mesos-volumed plan --facts`
    #[arg(long)]
    facts: Option<std::path::PathBuf>,
}

/// Runs programs that make a mistake each, until a history finds it.
fn show_it_bites(order: &Order) -> ExitCode {
    let folder = scratch();
    let mut missed = false;
    for blunder in Blunder::ALL {
        let found = (0..order.histories).find_map(|number| {
            let seed = order.seed.wrapping_add(number);
            let found = run_with(&tape_of(seed), folder.path(), Some(blunder)).err()?;
            Some((seed, found))
        });
        let Some((seed, found)) = found else {
            missed = true;
            println!("{blunder:?}: not found by {} histories", order.histories);
            continue;
        };
        println!(
            "{blunder:?}: found after {} histories, by seed {seed}: {}",
            seed.wrapping_sub(order.seed) + 1,
            found.findings[0]
        );
    }
    if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn main() -> ExitCode {
    let order = Order::parse();
    if order.show_it_bites {
        return show_it_bites(&order);
    }
    let jobs = order
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1);
    let begun = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let all = Mutex::new(Counts::default());
    let found = Mutex::new(Vec::<(u64, Found)>::new());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| {
                    let folder = scratch();
                    let mut counts = Counts::default();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= order.histories || found.lock().unwrap().len() >= 5 {
                            break;
                        }
                        let seed = order.seed.wrapping_add(number);
                        match run(&tape_of(seed), folder.path()) {
                            Ok(one) => counts.add(&one),
                            Err(finding) => {
                                eprintln!("seed {seed} found: {}", finding.findings[0]);
                                found.lock().unwrap().push((seed, finding));
                            }
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    all.lock().unwrap().add(&counts);
                })
            })
            .collect();
        scope.spawn(|| {
            let mut told = Instant::now();
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                if told.elapsed() > Duration::from_secs(10) {
                    told = Instant::now();
                    let so_far = done.load(Ordering::Relaxed);
                    let speed = so_far as f64 / begun.elapsed().as_secs_f64();
                    eprintln!("{so_far} of {} histories, {speed:.0}/s", order.histories);
                }
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    let seconds = begun.elapsed().as_secs_f64();
    let counts = all.into_inner().unwrap();
    let found = found.into_inner().unwrap();
    println!("{}", counts.text());
    println!(
        "{:.1} s, {:.0} histories a second, seeds from {}",
        seconds,
        counts.histories as f64 / seconds,
        order.seed
    );
    for (seed, finding) in &found {
        println!("\nseed {seed} found:");
        for line in &finding.findings {
            println!("  {line}");
        }
        let folder = scratch();
        let short = shrink(&tape_of(*seed), folder.path());
        println!("the shortest tape like it: {short:?}");
        if let Err(short) = run(&short, folder.path()) {
            for line in short.log.iter().chain(&short.findings) {
                println!("    {line}");
            }
            if let Some(file) = &order.facts {
                std::fs::write(file, &short.facts).unwrap();
            }
        }
        println!("again: scripts/simulate --histories 1 --seed {seed}");
    }
    println!("{} of them found something", found.len());
    if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
