//! One mutant after the other, by the tests that come by it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::build::Built;

/// A test that passes as long as no mutant is on.
struct Test<'a> {
    program: &'a Path,
    name: String,
    takes: Duration,
    reaches: Vec<u8>,
}

enum End {
    Passed,
    /// The test that failed, where one says so.
    Failed(String),
    TooLong,
}

/// Which mutants, by which tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// Tests whose names begin so; those of units only, after `lib:`
    #[arg(long)]
    tests: Vec<String>,
    /// None that takes more milliseconds
    #[arg(long, default_value_t = u64::MAX)]
    slowest: u64,
    /// The K-th of N shares, from 0
    #[arg(long, default_value = "0/1")]
    shard: String,
    /// Mutants whose names begin so; all unless said
    #[arg(long)]
    only: Vec<String>,
    /// No more are begun after so many seconds
    #[arg(long, default_value_t = u64::MAX)]
    seconds: u64,
}

pub(crate) fn run(built: &Path, results: &Path, choice: &Choice) {
    let (only, seconds) = (&choice.only, choice.seconds);
    let slowest = Duration::from_millis(choice.slowest);
    let begun = Instant::now();
    let built: Built = serde_json::from_slice(&std::fs::read(built).unwrap()).unwrap();
    let results = results.join("mutants.out");
    std::fs::create_dir_all(&results).unwrap();
    let path = |kind: &str| results.join(format!("{kind}.txt"));
    let mut done = BTreeSet::new();
    for kind in ["caught", "missed", "timeout"] {
        let known = std::fs::read_to_string(path(kind)).unwrap_or_default();
        done.extend(known.lines().map(str::to_owned));
        add(&path(kind), "");
    }
    let (share, of) = choice.shard.split_once('/').unwrap();
    let (share, of): (usize, usize) = (share.parse().unwrap(), of.parse().unwrap());
    let is_chosen =
        |name: &str| only.is_empty() || only.iter().any(|begin| name.starts_with(begin));
    for (kind, names) in [("unviable", &built.unviable), ("apart", &built.apart)] {
        let names: Vec<_> = names
            .iter()
            .filter(|name| is_chosen(name))
            .cloned()
            .collect();
        std::fs::write(
            path(kind),
            names.join("\n") + if names.is_empty() { "" } else { "\n" },
        )
        .unwrap();
    }
    let chosen: Vec<_> = (built.mutants.iter().filter(|(_, name)| is_chosen(name)))
        .enumerate()
        .filter(|(place, (_, name))| place % of == share && !done.contains(*name))
        .map(|(_, mutant)| mutant)
        .collect();
    let tests = tests(&built, &choice.tests, slowest, &path("tests"));
    println!(
        "{} tests come by mutants, which takes them {:.1} s; {} mutants to ask about",
        tests.len(),
        tests
            .iter()
            .map(|test| test.takes)
            .sum::<Duration>()
            .as_secs_f64(),
        chosen.len()
    );
    let mut counts = [0_u32; 3];
    let mut shown = Instant::now();
    for (tried, (id, name)) in (1_u32..).zip(&chosen) {
        if begun.elapsed() > Duration::from_secs(seconds) {
            println!(
                "the time is over: {} are left",
                chosen.len() + 1 - usize::try_from(tried).unwrap()
            );
            break;
        }
        let place = usize::try_from(**id).unwrap();
        let those: Vec<_> = tests
            .iter()
            .filter(|test| test.reaches[place] == 1)
            .collect();
        let end = match ask(&built, **id, &those) {
            // Perhaps the machine was busy.
            End::TooLong => ask(&built, **id, &those),
            end => end,
        };
        let (kind, note) = match end {
            End::Failed(test) => (0, test),
            End::Passed => (1, format!("{} tests came by", those.len())),
            End::TooLong => (2, String::new()),
        };
        counts[kind] += 1;
        let kind = ["caught", "missed", "timeout"][kind];
        add(&path(kind), &format!("{name}\n"));
        add(&path("by"), &format!("{kind}\t{name}\t{note}\n"));
        if kind == "missed" {
            println!("survives: {name} ({note})");
        }
        if shown.elapsed() > Duration::from_secs(30) {
            shown = Instant::now();
            let [caught, survived, long] = counts;
            println!(
                "{tried} of {}: {caught} caught, {survived} survived, {long} ran out of time, in {} s",
                chosen.len(),
                begun.elapsed().as_secs()
            );
        }
    }
    println!("took {} s", begun.elapsed().as_secs());
}

fn add(path: &Path, text: &str) {
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The tests that come by a mutant, the quick ones first.
fn tests<'a>(
    built: &'a Built,
    prefixes: &[String],
    slowest: Duration,
    times: &Path,
) -> Vec<Test<'a>> {
    let length = built
        .mutants
        .keys()
        .max()
        .map_or(1, |id| usize::try_from(*id).unwrap() + 1);
    let scratch = tempfile::tempdir().unwrap();
    let reached: PathBuf = scratch.path().join("reached");
    let mut tests = Vec::new();
    for program in &built.programs {
        let output = command(built, program)
            .args(["--list", "--format=terse"])
            .output()
            .unwrap();
        let is_unit = !program
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("it-");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let Some(name) = line.strip_suffix(": test") else {
                continue;
            };
            let is_wanted = prefixes.iter().any(|prefix| {
                let prefix = prefix
                    .strip_prefix("lib:")
                    .map_or(prefix.as_str(), |prefix| if is_unit { prefix } else { "-" });
                name.starts_with(prefix)
            });
            if !is_wanted {
                continue;
            }
            std::fs::write(&reached, vec![0_u8; length]).unwrap();
            let mut command = command(built, program);
            command
                .env("MUTANTS_REACHED", &reached)
                .args(["--exact", name]);
            let begun = Instant::now();
            match watch(command, Duration::from_mins(3)) {
                End::Passed => {
                    let test = Test {
                        program,
                        name: name.to_owned(),
                        takes: begun.elapsed(),
                        reaches: std::fs::read(&reached).unwrap(),
                    };
                    if test.reaches.contains(&1) {
                        tests.push(test);
                    }
                }
                End::Failed(_) | End::TooLong => println!("not asked, as it fails already: {name}"),
            }
        }
    }
    tests.sort_by_key(|test: &Test<'_>| test.takes);
    let took = tests
        .iter()
        .map(|test| format!("{:?}\t{}\n", test.takes, test.name));
    std::fs::write(times, took.collect::<String>()).unwrap();
    tests.retain(|test| test.takes <= slowest);
    tests
}

/// Runs these tests with the mutant, in handfuls that grow.
fn ask(built: &Built, id: u32, tests: &[&Test<'_>]) -> End {
    let mut rest = tests;
    let mut handful = Duration::from_millis(400);
    while !rest.is_empty() {
        let mut takes = Duration::ZERO;
        let many = rest.iter().take_while(|test| {
            takes += test.takes;
            takes <= handful
        });
        let (now, later) = rest.split_at(many.count().max(1));
        let programs: BTreeSet<_> = now.iter().map(|test| test.program).collect();
        for program in programs {
            let names = now.iter().filter(|test| test.program == program);
            let mut command = command(built, program);
            command.env("MUTANT", id.to_string()).arg("--exact");
            command.args(names.map(|test| &test.name));
            let limit =
                Duration::from_secs(20) + now.iter().map(|test| test.takes).sum::<Duration>() * 8;
            match watch(command, limit) {
                End::Passed => {}
                end => return end,
            }
        }
        rest = later;
        handful *= 5;
    }
    End::Passed
}

fn command(built: &Built, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&built.copy)
        .env("CARGO_MANIFEST_DIR", &built.copy)
        .env("RUST_BACKTRACE", "0")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .arg("--test-threads=1")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Waits for the program to end, the first test to fail, or the time to be over; while everything here is stopped,
/// no time goes by.
fn watch(mut command: Command, limit: Duration) -> End {
    let step = Duration::from_millis(50);
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.split(b'\n').map_while(Result::ok) {
            if said
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    let mut left = limit;
    loop {
        match heard.recv_timeout(step) {
            Ok(line) => {
                if let Some(test) = line.strip_suffix(" ... FAILED") {
                    stop(&mut child);
                    return End::Failed(test.trim_start_matches("test ").to_owned());
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                left = left.saturating_sub(step);
                if left.is_zero() {
                    stop(&mut child);
                    return End::TooLong;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                stop(&mut child);
                return if status.success() {
                    End::Passed
                } else {
                    End::Failed(status.to_string())
                };
            }
        }
    }
}

fn stop(child: &mut Child) {
    if let Some(group) = Pid::from_raw(i32::try_from(child.id()).unwrap()) {
        // What it left behind may be gone as well.
        let _gone = kill_process_group(group, Signal::KILL);
    }
    drop(child.wait());
}
