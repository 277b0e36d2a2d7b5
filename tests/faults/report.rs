//! What workers tell, and what becomes of it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Tells the one who started this worker.
pub(crate) fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").unwrap();
    out.flush().unwrap();
}

/// So much of one fault is shown.
const MOST_LINES: usize = 12;

/// What was counted for one command on one file system.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    points: u64,
    changing: u64,
    planned: u64,
    runs: BTreeMap<String, u64>,
    ends: BTreeMap<String, u64>,
    not_reached: u64,
    faults: u64,
    /// Of a log that was replayed.
    writes: u64,
    /// What attackers did, and how often each kind was there.
    attacks: u64,
    attackers: BTreeMap<String, u64>,
}

impl Tally {
    fn line(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            parts.join(", ")
        };
        let runs: u64 = self.runs.values().sum();
        if !self.attackers.is_empty() || self.attacks > 0 {
            return format!(
                "{runs} wipes: {}; against {} operations of {}; {} faults",
                list(&self.runs),
                self.attacks,
                list(&self.attackers),
                self.faults
            );
        }
        if self.writes > 0 {
            return format!(
                "{} writes, {} flushes, {runs} of {} replayed, what is found there: {}; {} faults",
                self.writes,
                self.points,
                self.planned,
                list(&self.runs),
                self.faults
            );
        }
        let mut line = format!(
            "{} calls, {} points ({} change something), {runs} of {} runs: {}; ended {}",
            self.calls,
            self.points,
            self.changing,
            self.planned,
            list(&self.runs),
            list(&self.ends),
        );
        if self.not_reached > 0 {
            line.push_str(&format!("; {} did not meet their call", self.not_reached));
        }
        line.push_str(&format!("; {} faults", self.faults));
        line
    }
}

/// Starts the workers, in namespaces of their own, and adds up what they tell. Whether nothing was
/// found.
pub(crate) fn gather(workers: usize) -> bool {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("faults.")
        .tempdir()
        .unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let mut children: Vec<Child> = Vec::new();
    for index in 0..workers {
        let own = folder.path().join(index.to_string());
        std::fs::create_dir(&own).unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
            .arg(std::env::current_exe().unwrap())
            .arg("worker")
            .arg(format!("{index}/{workers}"))
            .arg(&own)
            .args(std::env::args_os().skip(1))
            .env("TMPDIR", &own)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let tell = tell.clone();
        std::thread::spawn(move || {
            for line in out.lines() {
                let Ok(line) = line else { return };
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        children.push(child);
    }
    drop(tell);
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let mut shown = Instant::now();
    let mut done = 0_u64;
    while let Ok(line) = told.recv() {
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            println!("{line}");
            continue;
        };
        count(&mut tallies, &value);
        done += u64::from(value["event"] == "run");
        if std::io::stderr().is_terminal() && shown.elapsed() > Duration::from_millis(500) {
            eprint!("\r{done} runs, {} s ", began.elapsed().as_secs());
            shown = Instant::now();
        }
    }
    let mut ended_well = true;
    for mut child in children {
        ended_well &= child.wait().unwrap().success();
    }
    let mut faults = 0;
    for ((scene, fs), tally) in &tallies {
        println!("{scene} on {fs}: {}", tally.line());
        faults += tally.faults;
    }
    let points: u64 = tallies.values().map(|tally| tally.points).sum();
    let attacks: u64 = tallies.values().map(|tally| tally.attacks).sum();
    let against = if attacks > 0 {
        format!("wipes against {attacks} operations")
    } else {
        format!("runs at {points} points")
    };
    println!(
        "{done} {against}, {faults} faults, in {} s",
        began.elapsed().as_secs()
    );
    if !ended_well {
        println!("a worker did not end well");
    }
    ended_well && faults == 0 && done > 0
}

fn count(tallies: &mut BTreeMap<(String, String), Tally>, value: &Value) {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| value[key].as_u64().unwrap_or_default();
    let tally = tallies.entry((text("scene"), text("fs"))).or_default();
    if value["event"] == "scene" {
        tally.calls = number("calls");
        tally.points = number("points");
        tally.changing = number("changing");
        tally.planned = number("runs");
        tally.writes = number("writes");
        return;
    }
    tally.attacks += number("attacks");
    for attacker in value["attackers"].as_array().into_iter().flatten() {
        let name = attacker.as_str().unwrap_or_default().to_owned();
        *tally.attackers.entry(name).or_default() += 1;
    }
    *tally.runs.entry(text("injury")).or_default() += 1;
    let end = value["code"]
        .as_i64()
        .map_or_else(|| "killed".to_owned(), |code| code.to_string());
    *tally.ends.entry(end).or_default() += 1;
    tally.not_reached += u64::from(value["reached"] == false);
    let problems = value["problems"].as_array().cloned().unwrap_or_default();
    if problems.is_empty() {
        return;
    }
    tally.faults += 1;
    println!(
        "FAULT {} on {}, {} at {}: {}",
        text("scene"),
        text("fs"),
        text("injury"),
        text("point"),
        text("about")
    );
    for problem in problems.iter().take(MOST_LINES) {
        println!("    {}", problem.as_str().unwrap_or_default());
    }
    if let Some(more) = problems
        .len()
        .checked_sub(MOST_LINES)
        .filter(|more| *more > 0)
    {
        println!("    and {more} more");
    }
    for line in text("said").lines().take(MOST_LINES) {
        println!("    | {line}");
    }
}
