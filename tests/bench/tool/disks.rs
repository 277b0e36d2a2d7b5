//! Several disks at once: the engine on a tree on each, by one thread a file system as the daemon has
//! it, against each alone.

use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use super::disk::Disk;
use super::measure::{self, median, quantile};
use super::{Request, Size, engine, trees};

/// `engines DIRECTORY...`: wipes each, by a thread of its own, and syncs its file system.
pub(crate) fn engines(args: &[String]) {
    thread::scope(|scope| {
        for path in args {
            scope.spawn(move || {
                let parent = std::path::Path::new(path).parent().unwrap();
                let dir = std::fs::File::open(parent).unwrap();
                engine::run(&[path.clone(), "1".to_owned()]);
                rustix::fs::syncfs(dir).unwrap();
            });
        }
    });
}

pub(crate) fn run(request: &Request, divisor: u64, rounds: u64) -> Value {
    let cores = thread::available_parallelism().unwrap().get();
    // Images of one disk below, and as many as there are cores for: else they wait for each other,
    // not for us.
    let count = cores.clamp(2, 3);
    let gib = if request.size == Size::Full { 3 } else { 1 };
    let disks: Vec<Disk> = ["ext4", "xfs", "btrfs"]
        .into_iter()
        .take(count)
        .map(|fs| Disk::new(&request.folder, fs, gib, "rw"))
        .collect();
    let itself = std::env::current_exe().unwrap();
    let wiped = |at: &[usize]| {
        let mut command = Command::new(&itself);
        command.arg("engines");
        for &index in at {
            let tree = disks[index].point.join("tree");
            std::fs::create_dir(&tree).unwrap();
            trees::make("W1", divisor, &tree);
            disks[index].sync();
            command.arg(tree);
        }
        measure::rest();
        measure::run(&mut command, || {}).wall
    };
    // Each alone, then all.
    let mut sets: Vec<Vec<usize>> = (0..count).map(|index| vec![index]).collect();
    sets.push((0..count).collect());
    let mut took = vec![Vec::new(); sets.len()];
    for round in 0..rounds {
        eprintln!("several disks at once: round {}", round + 1);
        let shift = usize::try_from(round).unwrap() % sets.len();
        for turn in 0..sets.len() {
            let set = (turn + shift) % sets.len();
            took[set].push(wiped(&sets[set]));
        }
    }
    let (together, alone) = took.split_last().unwrap();
    let ratios: Vec<f64> = (0..together.len())
        .map(|round| together[round] / alone.iter().map(|runs| runs[round]).fold(0.0, f64::max))
        .collect();
    println!(
        "\nseveral disks at once: W1 (1/{divisor} of it) wiped on each of {count}, to the end of a sync; \
         medians of {rounds} rounds, {cores} cores, load {}",
        load()
    );
    println!("  {:<18} {:>8} {:>15}", "", "wall s", "(min-max)");
    let mut rows = Vec::new();
    for (set, runs) in sets.iter().zip(&took) {
        let name = match set[..] {
            [index] => format!("{} alone", disks[index].fs),
            _ => "all at once".to_owned(),
        };
        let at = |share| quantile(runs.iter().copied(), share);
        let range = format!("({:.3}-{:.3})", at(0.0), at(1.0));
        println!("  {name:<18} {:>8.3} {range:>15}", at(0.5));
        rows.push(json!({ "name": name, "median_s": at(0.5), "runs_s": runs }));
    }
    let ratio = median(ratios.iter().copied());
    println!("  all at once is {ratio:.2} of the slowest alone (of the same round; bar: 1.15)");
    json!({
        "workload": "W1", "divisor": divisor, "cores": cores, "rows": rows,
        "ratio_to_slowest_alone": ratio, "ratios": ratios, "bar": 1.15,
    })
}

/// Of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().to_owned()
}
