//! `scripts/bench wipe`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::disk::Disk;
use super::measure::{self, Run};
use super::table::Table;
use super::{Request, Size, aside, disks, neighbour, trees};

const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];
const NAMES: [&str; 5] = ["W1", "W2", "W3", "W4", "W5"];
const SECTIONS: [&str; 5] = ["trees", "neighbour", "disks", "aside", "memory"];

pub(crate) fn run(request: &Request) -> Value {
    let (file_systems, workloads, divisor, rounds, gib): (&[&'static str], &[&str], _, _, _) =
        match request.size {
            Size::Quick => (&["ext4", "xfs"], &["W1", "W5"], 20, 5, 3),
            Size::Usual => (&["ext4", "xfs"], &["W1", "W2", "W5"], 4, 5, 4),
            Size::Full => (&FILE_SYSTEMS, &NAMES, 1, 5, 12),
        };
    let mut tables = Vec::new();
    if request.wants("trees", &SECTIONS) {
        for fs in FILE_SYSTEMS {
            let named = request.only.iter().any(|only| only == fs);
            if !(named || file_systems.contains(&fs)) || !request.wants(fs, &FILE_SYSTEMS) {
                continue;
            }
            let disk = Disk::new(&request.folder, fs, gib, "rw");
            let site = Site::new(request, &disk);
            for workload in NAMES {
                let named = request.only.iter().any(|only| only == workload);
                if !(named || workloads.contains(&workload)) || !request.wants(workload, &NAMES) {
                    continue;
                }
                for cold in [false, true] {
                    if cold && request.size != Size::Full {
                        continue;
                    }
                    let table = compare(request, &site, workload, divisor, rounds, cold);
                    table.print();
                    tables.push(table.json());
                }
            }
        }
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
        "tables": tables,
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
        std::os::unix::fs::symlink(meta.join("slaves/S0"), meta.join("slaves/latest")).unwrap();
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

fn compare(
    request: &Request,
    site: &Site<'_>,
    workload: &str,
    divisor: u64,
    rounds: u64,
    cold: bool,
) -> Table {
    let mut contenders = vec!["rm -rf", "wipe", "engine"];
    if site.disk.fs == "ext4" {
        contenders.extend(["wipe, 2 threads", "engine, 2 threads"]);
    }
    if request.size == Size::Full {
        let peers = [
            ("rmz", "rmz"),
            ("find", "find -delete"),
            ("rsync", "rsync --delete"),
            ("perl", "perl remove_tree"),
        ];
        contenders.extend(
            peers
                .iter()
                .filter(|(program, _)| in_path(program))
                .map(|(_, name)| *name),
        );
    }
    let what = trees::WORKLOADS
        .iter()
        .find(|known| known.0 == workload)
        .unwrap()
        .1;
    let title = format!(
        "{} {workload} ({what}{}), {}, {rounds} rounds",
        site.disk.fs,
        if divisor == 1 || workload == "W3" {
            String::new()
        } else {
            format!("; 1/{divisor} of it")
        },
        if cold { "cold" } else { "warm" },
    );
    let mut runs: BTreeMap<&'static str, Vec<Run>> = BTreeMap::new();
    for round in 0..rounds {
        eprintln!("{title}: round {}", round + 1);
        // Not always the same one after the same one.
        let shift = usize::try_from(round).unwrap() % contenders.len();
        let (late, early) = contenders.split_at(shift);
        for &contender in early.iter().chain(late) {
            site.plant(workload, divisor);
            if cold {
                site.disk.cool();
            }
            let mut command = site.command(contender);
            measure::rest();
            let run = measure::run(&mut command, || site.disk.sync());
            if contender == "rsync --delete" {
                std::fs::remove_dir(&site.volume).unwrap();
            }
            if site.volume.exists() {
                super::panic_with(&format!("{contender} left something"));
            }
            runs.entry(contender).or_default().push(run);
        }
    }
    Table {
        title,
        contenders,
        runs,
    }
}
