//! `scripts/bench usage`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mesos_volumed::observe::usage::{Progress, of_directory, reach};
use serde_json::{Value, json};

use super::disk::Disk;
use super::measure::{self, Run};
use super::table::Table;
use super::wipe::Site;
use super::{Request, Size};

const CONTENDERS: [&str; 4] = ["du -s", "volumes list", "walk, 2 threads", "walk, 1 thread"];

/// `walk DIRECTORY THREADS`: the walk alone.
pub(crate) fn walk(args: &[String]) {
    let threads = args[1].parse().unwrap();
    let found = of_directory(
        reach(Path::new(&args[0]), []).unwrap(),
        threads,
        &Progress::default(),
    )
    .unwrap();
    println!("{found:?}");
}

pub(crate) fn run(request: &Request) -> Value {
    let (dirs, rounds, gib) = match request.size {
        Size::Quick => (500, 5, 3),
        Size::Usual => (2_500, 7, 4),
        Size::Full => (10_000, 7, 8),
    };
    let disk = Disk::new(&request.folder, "ext4", gib, "rw");
    let site = Site::new(request, &disk);
    std::fs::create_dir(&site.volume).unwrap();
    for dir in 0..dirs {
        let dir = site.volume.join(format!("dir{dir:05}"));
        std::fs::create_dir(&dir).unwrap();
        for file in 0..100 {
            std::fs::File::create(dir.join(format!("file{file:03}"))).unwrap();
        }
    }
    disk.sync();
    let mut tables = Vec::new();
    for cold in [false, true] {
        let mut runs: BTreeMap<&'static str, Vec<Run>> = BTreeMap::new();
        for round in 0..=rounds {
            for contender in CONTENDERS {
                if cold {
                    disk.cool();
                }
                let run = measure::run(&mut command(&site, contender), || {});
                // The first round warms up.
                if round > 0 {
                    runs.entry(contender).or_default().push(run);
                }
            }
        }
        let state = if cold { "cold" } else { "warm" };
        let table = Table {
            title: format!(
                "usage of {} inodes in {} directories on ext4, {state}, {rounds} rounds",
                dirs * 101 + 1,
                dirs + 1
            ),
            contenders: CONTENDERS.to_vec(),
            runs,
            failed: BTreeMap::new(),
        };
        table.print();
        tables.push(table.json());
    }
    json!({ "size": format!("{:?}", request.size), "tables": tables })
}

fn command(site: &Site<'_>, contender: &str) -> Command {
    let walk = |threads: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("walk").arg(&site.volume).arg(threads);
        command
    };
    match contender {
        "du -s" => {
            let mut command = Command::new("du");
            command.arg("-s").arg(&site.volume);
            command
        }
        "volumes list" => site.list_usage(),
        "walk, 2 threads" => walk("2"),
        _ => walk("1"),
    }
}
