//! The neighbour: a program that appends 4 KiB and syncs them, again and again, on the file system on
//! which a volume is wiped.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::disk::Disk;
use super::measure::{self, median, quantile};
use super::wipe::Site;
use super::{Request, Size};

/// How long each sync took while something was done, in milliseconds; one every 2 ms at most.
fn beside(file: &mut File, act: impl FnOnce()) -> Vec<f64> {
    let done = AtomicBool::new(false);
    let done = &done;
    std::thread::scope(|scope| {
        let appender = scope.spawn(move || {
            let block = [b'x'; 4096];
            let mut took = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                file.write_all(&block).unwrap();
                file.sync_all().unwrap();
                took.push(begun.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_millis(2));
            }
            took
        });
        act();
        done.store(true, Ordering::Relaxed);
        appender.join().unwrap()
    })
}

/// What is done beside the neighbour.
const NAMES: [&str; 6] = [
    "alone",
    "rm -rf",
    "wipe, rate = 0",
    "wipe, no feedback",
    "wipe, half of that",
    "wipe, feedback",
];

/// `scripts/bench neighbour`: both file systems, which have rates of their own.
pub(crate) fn both(request: &Request) -> Value {
    let (divisor, rounds) = match request.size {
        Size::Quick => (20, 3),
        Size::Usual => (4, 5),
        Size::Full => (1, 5),
    };
    let mut tables = serde_json::Map::new();
    for (fs, ordinary) in [("ext4", 20_000), ("xfs", 5_000)] {
        if request.wants(fs, &["ext4", "xfs"]) {
            tables.insert(
                fs.to_owned(),
                one(request, (fs, ordinary), divisor, 4, rounds),
            );
        }
    }
    json!({ "size": format!("{:?}", request.size), "divisor": divisor, "neighbour": tables })
}

/// A part of `scripts/bench wipe`.
pub(crate) fn run(request: &Request, divisor: u64, gib: u64, rounds: u64) -> Value {
    one(request, ("ext4", 20_000), divisor, gib, rounds)
}

/// How busy the processors were with anything since these counts, as a share.
fn busy(since: (u64, u64)) -> f64 {
    let now = processors();
    let (all, idle) = (now.0 - since.0, now.1 - since.1);
    1.0 - idle as f64 / all.max(1) as f64
}

/// Ticks in all, and idle ones.
fn processors() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let line = text.lines().next().unwrap();
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .take(8)
        .map(|word| word.parse().unwrap())
        .collect();
    (ticks.iter().sum(), ticks[3] + ticks[4])
}

#[derive(Clone, Copy)]
struct Beside {
    p50: f64,
    p99: f64,
    wall: f64,
    syncs: usize,
    busy: f64,
}

fn one(
    request: &Request,
    (fs, ordinary): (&'static str, u32),
    divisor: u64,
    gib: u64,
    rounds: u64,
) -> Value {
    let disk = Disk::new(&request.folder, fs, gib, "rw");
    let site = Site::new(request, &disk);
    let mut file = File::create(disk.point.join("appended")).unwrap();
    let mut all: [Vec<Beside>; NAMES.len()] = Default::default();
    let idle = Duration::from_secs(if request.size == Size::Quick { 2 } else { 6 });
    for round in 0..rounds {
        eprintln!("neighbour on {fs}: round {}", round + 1);
        for (index, name) in NAMES.iter().enumerate() {
            // A set rate is not exceeded, and no pressure is above the whole.
            let mut command = match *name {
                "rm -rf" => {
                    let mut command = Command::new("rm");
                    command.arg("-rf").arg(&site.volume);
                    command
                }
                "wipe, rate = 0" => {
                    site.configure("rate = 0");
                    site.ours()
                }
                "wipe, no feedback" => {
                    site.configure(&format!("rate = {ordinary}\npressure_limit = 100"));
                    site.ours()
                }
                "wipe, half of that" => {
                    let half = ordinary / 2;
                    site.configure(&format!("rate = {half}\npressure_limit = 100"));
                    site.ours()
                }
                _ => {
                    site.configure("");
                    site.ours()
                }
            };
            if index > 0 {
                site.plant("W1", divisor);
            }
            measure::rest();
            let mut wall = idle.as_secs_f64();
            let before = processors();
            let took = beside(&mut file, || {
                if index == 0 {
                    std::thread::sleep(idle);
                } else {
                    wall = measure::run(&mut command, || {}).wall;
                }
            });
            all[index].push(Beside {
                p50: quantile(took.iter().copied(), 0.5),
                p99: quantile(took.iter().copied(), 0.99),
                wall,
                syncs: took.len(),
                busy: busy(before),
            });
        }
    }
    println!(
        "\nthe fsync of a neighbour (4 KiB appended and synced every 2 ms on the same {fs}) beside W1 \
         (1/{divisor} of its size); medians of {rounds} rounds; bars for the default, \"wipe, feedback\": \
         p50 1.2, p99 2.0"
    );
    println!(
        "  {:<18} {:>8} {:>8} {:>6} {:>8} {:>6} {:>8} {:>6}",
        "", "wall s", "p50 ms", "ratio", "p99 ms", "ratio", "syncs", "CPUs"
    );
    let of = |index: usize, pick: fn(&Beside) -> f64| median(all[index].iter().map(pick));
    let mut rows = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let (p50, p99, wall) = (
            of(index, |r| r.p50),
            of(index, |r| r.p99),
            of(index, |r| r.wall),
        );
        let (r50, r99) = (p50 / of(0, |r| r.p50), p99 / of(0, |r| r.p99));
        let (syncs, busy) = (of(index, |r| r.syncs as f64), of(index, |r| r.busy));
        println!(
            "  {name:<18} {wall:>8.2} {p50:>8.3} {r50:>6.2} {p99:>8.3} {r99:>6.2} {syncs:>8.0} {busy:>5.0}%",
            busy = busy * 100.0
        );
        rows.push(json!({
            "name": name, "wall_s": wall, "p50_ms": p50, "p50_ratio": r50,
            "p99_ms": p99, "p99_ratio": r99, "syncs": syncs, "processors_busy": busy,
        }));
    }
    if of(0, |r| r.busy) > 0.5 {
        println!(
            "  (the processors were busy with other things while the neighbour was alone: its p99 is theirs)"
        );
    }
    Value::Array(rows)
}
