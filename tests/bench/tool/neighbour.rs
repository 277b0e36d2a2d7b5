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

pub(crate) fn run(request: &Request, divisor: u64, gib: u64, rounds: u64) -> Value {
    let disk = Disk::new(&request.folder, "ext4", gib, "rw");
    let site = Site::new(request, &disk);
    let mut file = File::create(disk.point.join("appended")).unwrap();
    let names = ["idle", "rm -rf", "wipe, usual pace", "wipe, rate = 0"];
    let mut all: [Vec<(f64, f64, f64)>; 4] = Default::default();
    let idle = Duration::from_secs(if request.size == Size::Quick { 2 } else { 6 });
    for round in 0..rounds {
        eprintln!("neighbour: round {}", round + 1);
        for (index, name) in names.iter().enumerate() {
            let mut command = match *name {
                "rm -rf" => {
                    let mut command = Command::new("rm");
                    command.arg("-rf").arg(&site.volume);
                    command
                }
                "wipe, usual pace" => {
                    site.configure("");
                    site.ours()
                }
                _ => {
                    site.configure("rate = 0");
                    site.ours()
                }
            };
            if index > 0 {
                site.plant("W1", divisor);
            }
            measure::rest();
            let mut wall = idle.as_secs_f64();
            let took = beside(&mut file, || {
                if index == 0 {
                    std::thread::sleep(idle);
                } else {
                    wall = measure::run(&mut command, || {}).wall;
                }
            });
            all[index].push((
                quantile(took.iter().copied(), 0.5),
                quantile(took.iter().copied(), 0.99),
                wall,
            ));
        }
    }
    println!(
        "\nthe fsync of a neighbour (4 KiB appended and synced every 2 ms on the same ext4) beside W1; \
         medians of {rounds} rounds"
    );
    println!(
        "  {:<18} {:>8} {:>8} {:>6} {:>8} {:>6}",
        "", "wall s", "p50 ms", "ratio", "p99 ms", "ratio"
    );
    let of = |index: usize, pick: fn(&(f64, f64, f64)) -> f64| median(all[index].iter().map(pick));
    let mut rows = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let (p50, p99, wall) = (of(index, |r| r.0), of(index, |r| r.1), of(index, |r| r.2));
        let (r50, r99) = (p50 / of(0, |r| r.0), p99 / of(0, |r| r.1));
        println!("  {name:<18} {wall:>8.2} {p50:>8.3} {r50:>6.2} {p99:>8.3} {r99:>6.2}");
        rows.push(json!({
            "name": name, "wall_s": wall, "p50_ms": p50, "p50_ratio": r50,
            "p99_ms": p99, "p99_ratio": r99,
        }));
    }
    Value::Array(rows)
}
