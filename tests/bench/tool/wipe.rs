//! `scripts/bench wipe`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::disk::{Disk, sh};
use super::measure::{self, Run};
use super::table::Table;
use super::{Request, Size, aside, disks, neighbour, trees};

const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];
const NAMES: [&str; 5] = ["W1", "W2", "W3", "W4", "W5"];
const STATES: [&str; 2] = ["warm", "cold"];
/// Other removers: the program, and what its row is called.
const PEERS: [(&str, &str); 4] = [
    ("rmz", "rmz"),
    ("find", "find -delete"),
    ("rsync", "rsync --delete"),
    ("perl", "perl remove_tree"),
];
const SECTIONS: [&str; 5] = ["trees", "neighbour", "disks", "aside", "memory"];

pub(crate) fn run(request: &Request) -> Value {
    let (file_systems, workloads, divisor, rounds, gib): (&[&'static str], &[&str], _, _, _) =
        match request.size {
            Size::Quick => (&["ext4", "xfs"], &["W1", "W5"], 20, 5, 3),
            Size::Usual => (&["ext4", "xfs"], &["W1", "W2", "W5"], 4, 5, 4),
            Size::Full => (&FILE_SYSTEMS, &NAMES, 1, 5, 12),
        };
    let rounds = request.number("rounds").unwrap_or(rounds);
    let divisor = request.number("part").unwrap_or(divisor);
    // W4 takes 8 GiB at its size, W1 and W2 three.
    let gib = if request.number("part").is_some() {
        8_u64.div_ceil(divisor).max(2) + 2
    } else {
        gib
    };
    let mut finished = Finished::read(request);
    if request.wants("trees", &SECTIONS) {
        for fs in FILE_SYSTEMS {
            let named = request.only.iter().any(|only| only == fs);
            if !(named || file_systems.contains(&fs)) || !request.wants(fs, &FILE_SYSTEMS) {
                continue;
            }
            // Made when the first workload is to be measured on it.
            let mut disk = None;
            for workload in NAMES {
                let named = request.only.iter().any(|only| only == workload);
                if !(named || workloads.contains(&workload)) || !request.wants(workload, &NAMES) {
                    continue;
                }
                for (cold, state) in [(false, "warm"), (true, "cold")] {
                    let named = request.only.iter().any(|only| only == state);
                    if cold && !named && request.size != Size::Full
                        || !request.wants(state, &STATES)
                    {
                        continue;
                    }
                    let case = Case {
                        fs,
                        workload,
                        divisor,
                        rounds,
                        cold,
                    };
                    let contenders = contenders(request, fs);
                    if finished.has(&case, &contenders) {
                        eprintln!("{}: measured before", case.title());
                        continue;
                    }
                    let disk =
                        disk.get_or_insert_with(|| Disk::new(&request.folder, fs, gib, "rw"));
                    let table = compare(&Site::new(request, disk), &case, contenders);
                    table.print();
                    finished.add(case.json(&table));
                }
            }
        }
        finished.sums();
    }
    let neighbour = (request.wants("neighbour", &SECTIONS))
        .then(|| neighbour::run(request, divisor, gib, rounds.min(3)));
    let disks = request
        .wants("disks", &SECTIONS)
        .then(|| disks::run(request, divisor, rounds));
    let aside = request
        .wants("aside", &SECTIONS)
        .then(|| aside::run(request));
    // A million files take minutes.
    let named = request.only.iter().any(|only| only == "memory");
    let memory = (named || request.size == Size::Full && request.wants("memory", &SECTIONS))
        .then(|| memory(request));
    json!({
        "size": format!("{:?}", request.size),
        "divisor": divisor,
        "tables": finished.tables,
        "neighbour": neighbour,
        "disks": disks,
        "aside": aside,
        "memory": memory,
    })
}

/// The largest flat directory: what the whole command needs of memory, against `rm`, in one run each.
fn memory(request: &Request) -> Value {
    const FILES: u64 = 1_000_000;
    let disk = Disk::new(&request.folder, "ext4", 9, "rw");
    let site = Site::new(request, &disk);
    let contenders = vec!["rm -rf", "wipe"];
    let mut runs: BTreeMap<&'static str, Vec<Run>> = BTreeMap::new();
    for &contender in &contenders {
        eprintln!("memory: {contender}");
        std::fs::create_dir(&site.volume).unwrap();
        trees::flat(&site.volume, FILES);
        disk.sync();
        let run = measure::run(&mut site.command(contender), || disk.sync());
        if site.volume.exists() {
            super::panic_with(&format!("{contender} left something"));
        }
        runs.insert(contender, vec![run]);
    }
    let table = Table {
        title: format!(
            "memory: ext4, one directory of {FILES} empty files, one run; the largest resident memory is \
             in the last column (bar for wipe: 16 MiB)"
        ),
        contenders,
        runs,
        failed: BTreeMap::new(),
    };
    table.print();
    table.json()
}

/// A file system laid out as the agent's ROOT disk, with a configuration for it.
pub(crate) struct Site<'a> {
    pub(crate) disk: &'a Disk,
    ours: PathBuf,
    tool: PathBuf,
    config: PathBuf,
    /// `volumes/roles/bench/volume`
    pub(crate) volume: PathBuf,
}

impl<'a> Site<'a> {
    pub(crate) fn new(request: &Request, disk: &'a Disk) -> Self {
        let work_dir = &disk.point;
        let meta = work_dir.join("meta");
        std::fs::create_dir_all(meta.join("resources")).unwrap();
        std::fs::create_dir_all(meta.join("slaves/S0")).unwrap();
        let latest = meta.join("slaves/latest");
        if !latest.is_symlink() {
            std::os::unix::fs::symlink(meta.join("slaves/S0"), latest).unwrap();
        }
        let boot_id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap();
        std::fs::write(meta.join("boot_id"), boot_id).unwrap();
        // An agent that holds nothing: both checkpoint generations say so.
        let resources = meta.join("resources");
        std::fs::write(resources.join("resources_and_operations.state"), [0; 4]).unwrap();
        std::fs::write(resources.join("resources.info"), []).unwrap();
        let role = work_dir.join("volumes/roles/bench");
        std::fs::create_dir_all(&role).unwrap();
        let config = request.folder.join(format!("{}.toml", disk.fs));
        let made = Self {
            disk,
            ours: request.ours.clone(),
            tool: std::env::current_exe().unwrap(),
            config,
            volume: role.join("volume"),
        };
        made.configure("rate = 0");
        made
    }

    /// With these lines below `[wipe]`.
    pub(crate) fn configure(&self, wipe: &str) {
        let work_dir = self.disk.point.display();
        let text = format!(
            "disks = []\n[agent]\nwork_dir = \"{work_dir}\"\nurl = \"\"\npid_namespace = \"own\"\n\
             [daemon]\nstate_dir = \"{work_dir}/state\"\n[wipe]\n{wipe}\n"
        );
        std::fs::write(&self.config, text).unwrap();
    }

    /// The tree of a workload, durable; the disk rests.
    pub(crate) fn plant(&self, workload: &str, divisor: u64) {
        std::fs::create_dir(&self.volume).unwrap();
        trees::make(workload, divisor, &self.volume);
        self.disk.sync();
    }

    /// `mesos-volumed wipe`, as an operator has it: configuration, plan, trash, second look, wipe.
    pub(crate) fn ours(&self) -> Command {
        let mut command = Command::new(&self.ours);
        command.arg("--config").arg(&self.config).args([
            "wipe",
            "bench/volume",
            "--confirm",
            "volume",
        ]);
        command
    }

    /// `mesos-volumed volumes list --usage`
    pub(crate) fn list_usage(&self) -> Command {
        let mut command = Command::new(&self.ours);
        command
            .arg("--config")
            .arg(&self.config)
            .args(["volumes", "list", "--usage"]);
        command
    }

    fn command(&self, contender: &str) -> Command {
        let volume = self.volume.as_os_str();
        let of = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).arg(volume);
            command
        };
        let engine = |threads: &str| {
            let mut command = Command::new(&self.tool);
            command.arg("engine").arg(volume).arg(threads);
            command
        };
        match contender {
            "rm -rf" => of("rm", &["-rf"]),
            "wipe" => {
                self.configure("rate = 0\nthreads = 1");
                self.ours()
            }
            "wipe, 2 threads" => {
                self.configure("rate = 0\nthreads = 2");
                self.ours()
            }
            "engine" => engine("1"),
            "engine, 2 threads" => engine("2"),
            "rmz" => of("rmz", &[]),
            "find -delete" => {
                let mut command = Command::new("find");
                command.arg(volume).arg("-delete");
                command
            }
            "rsync --delete" => {
                let empty = self.disk.point.join("empty/");
                std::fs::create_dir_all(&empty).unwrap();
                let mut command = Command::new("rsync");
                let mut to = volume.to_owned();
                to.push("/");
                command.args(["-a", "--delete"]).arg(empty).arg(to);
                command
            }
            _ => {
                let mut command = Command::new("perl");
                command
                    .args(["-MFile::Path=remove_tree", "-e", "remove_tree(@ARGV)"])
                    .arg(volume);
                command
            }
        }
    }
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).exists())
}

/// Ours by one and by two threads, `rm`, and the peers that are wanted and installed.
fn contenders(request: &Request, fs: &str) -> Vec<&'static str> {
    let chosen = |what: &str| request.only.iter().any(|only| only == what);
    if chosen("pair") {
        return vec!["rm -rf", "engine"];
    }
    let mut contenders = vec!["rm -rf", "wipe", "engine"];
    if fs != "btrfs" {
        contenders.extend(["wipe, 2 threads", "engine, 2 threads"]);
    }
    if chosen("engines") {
        contenders.retain(|contender| !contender.starts_with("wipe"));
    }
    let programs: Vec<&str> = PEERS.iter().map(|(program, _)| *program).collect();
    for (program, name) in PEERS {
        let named = request.only.iter().any(|only| only == program);
        if !(named || request.size == Size::Full) || !request.wants(program, &programs) {
            continue;
        }
        if in_path(program) {
            contenders.push(name);
        } else if named {
            super::panic_with(&format!(
                "{program} is not installed; see scripts/bench peers"
            ));
        }
    }
    contenders
}

/// One table.
struct Case {
    fs: &'static str,
    workload: &'static str,
    divisor: u64,
    rounds: u64,
    cold: bool,
}

impl Case {
    fn title(&self) -> String {
        let Self {
            fs,
            workload,
            divisor,
            rounds,
            cold,
        } = self;
        let known = trees::WORKLOADS.iter().find(|known| known.0 == *workload);
        let part = if *divisor == 1 || *workload == "W3" {
            String::new()
        } else {
            format!("; 1/{divisor} of it")
        };
        format!(
            "{fs} {workload} ({}{part}), {}, {rounds} rounds",
            known.unwrap().1,
            if *cold { "cold" } else { "warm" },
        )
    }

    fn json(&self, table: &Table) -> Value {
        let mut value = table.json();
        for (key, of) in [
            ("fs", json!(self.fs)),
            ("workload", json!(self.workload)),
            ("divisor", json!(self.divisor)),
            ("rounds", json!(self.rounds)),
            ("cold", json!(self.cold)),
        ] {
            value[key] = of;
        }
        value
    }
}

/// Tables that were finished, now or, where they are kept in a file, earlier.
struct Finished {
    file: Option<PathBuf>,
    tables: Vec<Value>,
}

impl Finished {
    fn read(request: &Request) -> Self {
        let file = request.given("tables").map(PathBuf::from);
        let text = file.as_ref().map(std::fs::read_to_string);
        let tables = match text {
            Some(Ok(text)) => text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            Some(Err(_)) | None => Vec::new(),
        };
        Self { file, tables }
    }

    fn has(&self, case: &Case, contenders: &[&str]) -> bool {
        self.tables.iter().any(|table| {
            table["fs"] == case.fs
                && table["workload"] == case.workload
                && table["divisor"] == case.divisor
                && table["cold"] == case.cold
                && table["rounds"].as_u64() >= Some(case.rounds)
                && contenders.iter().all(|&contender| {
                    !table["contenders"][contender].is_null()
                        || !table["failed"][contender].is_null()
                })
        })
    }

    fn add(&mut self, table: Value) {
        if let Some(file) = &self.file {
            use std::io::Write as _;
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.append(true).create(true).open(file).unwrap();
            writeln!(file, "{table}").unwrap();
        }
        self.tables.push(table);
    }

    /// Everything that each remover took, over all tables, against what `rm` took for the same ones.
    fn sums(&self) {
        let took = |table: &Value, contender: &str| {
            let runs = table["contenders"][contender]["runs"].as_array()?;
            let runs = runs.iter().filter_map(|run| run["to_sync_s"].as_f64());
            Some(measure::median(runs))
        };
        println!(
            "\nsums of the medians to the end of a sync over {} tables; \"by file system\" is two \
             threads on ext4 and xfs, and one elsewhere",
            self.tables.len()
        );
        let by_file_system = |table: &Value, name: &str| {
            let two = format!("{name}, 2 threads");
            took(table, &two).or_else(|| took(table, name))
        };
        let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
        let each = |of: &dyn Fn(&Value) -> Option<f64>| self.tables.iter().map(of).collect();
        for name in ["rm -rf", "wipe", "engine"] {
            rows.push((name.to_owned(), each(&|table| took(table, name))));
        }
        for name in ["wipe", "engine"] {
            rows.push((
                format!("{name}, by file system"),
                each(&|table| by_file_system(table, name)),
            ));
        }
        for (_, name) in PEERS {
            rows.push((name.to_owned(), each(&|table| took(table, name))));
        }
        let rm = rows[0].1.clone();
        for (name, took) in rows {
            let both: Vec<(f64, f64)> = took
                .iter()
                .zip(&rm)
                .filter_map(|(took, rm)| Some(((*took)?, (*rm)?)))
                .collect();
            if both.is_empty() {
                continue;
            }
            let (sum, of_rm) = both
                .iter()
                .fold((0.0, 0.0), |(a, b), (took, rm)| (a + took, b + rm));
            println!(
                "  {name:<24} {sum:>9.3} s in {:>2} tables, {:.2} of rm's in the same",
                both.len(),
                sum / of_rm
            );
        }
    }
}

fn compare(site: &Site<'_>, case: &Case, contenders: Vec<&'static str>) -> Table {
    let title = case.title();
    let mut runs: BTreeMap<&'static str, Vec<Run>> = BTreeMap::new();
    let mut failed: BTreeMap<&'static str, String> = BTreeMap::new();
    for round in 0..case.rounds {
        eprintln!("{title}: round {}", round + 1);
        // Not always the same one after the same one.
        let shift = usize::try_from(round).unwrap() % contenders.len();
        let (late, early) = contenders.split_at(shift);
        for &contender in early.iter().chain(late) {
            if failed.contains_key(contender) {
                continue;
            }
            site.plant(case.workload, case.divisor);
            if case.cold {
                site.disk.cool();
            }
            let mut command = site.command(contender);
            measure::rest();
            let run = measure::try_run(&mut command, || site.disk.sync());
            if contender == "rsync --delete" && run.is_ok() {
                std::fs::remove_dir(&site.volume).unwrap();
            }
            let is_peer = PEERS.iter().any(|(_, name)| *name == contender);
            match run {
                Ok(run) if !site.volume.exists() => runs.entry(contender).or_default().push(run),
                how if is_peer => {
                    let how = match how {
                        Ok(_) => "it said it did, and left something".to_owned(),
                        Err(status) => status.to_string(),
                    };
                    failed.insert(contender, how);
                    runs.remove(contender);
                    sh("rm", &["-rf", site.volume.to_str().unwrap()]);
                }
                Ok(_) => super::panic_with(&format!("{contender} left something")),
                Err(status) => super::panic_with(&format!("{command:?}: {status}")),
            }
        }
    }
    Table {
        title,
        contenders: contenders
            .into_iter()
            .filter(|contender| !failed.contains_key(contender))
            .collect(),
        runs,
        failed,
    }
}
