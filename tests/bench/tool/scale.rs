//! `scripts/bench scale`: a large host at a sixteenth, a quarter and the whole of its size. What each
//! command takes on it, in time and memory, what the daemon takes at rest, and how both grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::{Daemon, commit};
use super::disk::{Disk, sh};
use super::measure::{Run, median, run_ending};
use super::wipe::Site;
use super::{Request, Size};

/// The parts of the whole that are measured. Growth is told from one to the next.
const PARTS: [u64; 3] = [16, 4, 1];

/// From here on growth is called worse than linear: measuring has its own noise.
const LINEAR: f64 = 1.15;

/// Shorter than this much of it is start and noise.
const TELLING: f64 = 0.1;

/// How large a host is.
#[derive(Clone, Copy, Debug)]
struct Host {
    /// Volumes that the agent holds, each with its directory.
    held: u64,
    /// Directories of volumes that nobody names.
    orphans: u64,
    /// File systems mounted beside the disk.
    mounts: u64,
    /// Entries in one more orphan.
    entries: u64,
}

impl Host {
    const fn whole(size: Size) -> Self {
        let whole = Self {
            held: 100_000,
            orphans: 50_000,
            mounts: 1_000,
            entries: 10_000_000,
        };
        match size {
            Size::Quick => whole.part(20),
            Size::Usual | Size::Full => whole,
        }
    }

    const fn part(self, part: u64) -> Self {
        Self {
            held: self.held / part,
            orphans: self.orphans / part,
            mounts: self.mounts / part,
            entries: self.entries / part,
        }
    }

    fn text(self) -> String {
        format!(
            "{} volumes, {} orphans, {} mounts, a tree of {} entries",
            self.held, self.orphans, self.mounts, self.entries
        )
    }
}

/// One row: seconds from its start to its end, seconds of CPU time, MiB.
#[derive(Clone, Copy, Debug)]
struct Cost {
    seconds: f64,
    cpu: f64,
    mib: f64,
}

impl Cost {
    const fn of(run: Run) -> Self {
        Self {
            seconds: run.wall,
            cpu: run.cpu,
            mib: run.mib,
        }
    }
}

pub(crate) fn run(request: &Request) -> Value {
    let whole = Host::whole(request.size);
    let mut rows: Vec<(String, Vec<Cost>)> = Vec::new();
    let mut hosts = Vec::new();
    for part in PARTS {
        let host = whole.part(part);
        eprintln!("scale: {}", host.text());
        hosts.push(json!({
            "held": host.held, "orphans": host.orphans, "mounts": host.mounts,
            "entries": host.entries,
        }));
        for (name, cost) in measured(request, host) {
            match rows.iter_mut().find(|(known, _)| *known == name) {
                Some((_, costs)) => costs.push(cost),
                None => rows.push((name, vec![cost])),
            }
        }
    }
    print(whole, &rows)
}

/// The exponent of growth between two sizes, a factor apart: 1 is linear.
fn exponent(small: f64, large: f64, factor: u64) -> f64 {
    (large / small).ln() / (factor as f64).ln()
}

fn print(whole: Host, rows: &[(String, Vec<Cost>)]) -> Value {
    println!("\na sixteenth, a quarter and the whole of {}", whole.text());
    println!(
        "  {:<26} {:>27}   {:>10} {:>6}   {:>23}  {:>6}",
        "", "seconds", "of CPU", "grows", "MiB", "grows"
    );
    let mut worse = Vec::new();
    let mut all = BTreeMap::new();
    for (name, costs) in rows {
        let of = |pick: fn(&Cost) -> f64| -> Vec<f64> { costs.iter().map(pick).collect() };
        let (seconds, cpu) = (of(|cost| cost.seconds), of(|cost| cost.cpu));
        let mib = of(|cost| cost.mib);
        let last = PARTS[PARTS.len() - 2] / PARTS[PARTS.len() - 1];
        let grows = |values: &[f64]| exponent(values[1], values[2], last);
        let (time, memory) = (grows(&cpu), grows(&mib));
        println!(
            "  {name:<26} {:>8.3} {:>8.3} {:>9.3}   {:>10.3} n^{time:>4.2}   {:>7.1} {:>7.1} {:>7.1}  n^{memory:>4.2}",
            seconds[0], seconds[1], seconds[2], cpu[2], mib[0], mib[1], mib[2]
        );
        if time > LINEAR && cpu[2] > TELLING {
            worse.push(format!("the CPU time of {name} grows as n^{time:.2}"));
        }
        if memory > LINEAR {
            worse.push(format!("the memory of {name} grows as n^{memory:.2}"));
        }
        all.insert(
            name.clone(),
            json!({ "seconds": seconds, "cpu": cpu, "mib": mib, "cpu_exponent": time, "memory_exponent": memory }),
        );
    }
    println!("  (grows: CPU time and memory, from the quarter to the whole; n^1 is linear)");
    if worse.is_empty() {
        println!("  nothing grows worse than linear");
    }
    for line in &worse {
        println!("  worse than linear: {line}");
    }
    json!({ "host": whole.text(), "rows": all, "worse_than_linear": worse })
}

/// A host of this size, made, measured, and gone again.
fn measured(request: &Request, host: Host) -> Vec<(String, Cost)> {
    let disk = Disk::new(&request.folder, "ext4", 5, "rw");
    drop(Site::new(request, &disk));
    let tree = disk.point.join("volumes/roles/bench/tree");
    // In a process of its own: a measured one begins with no less memory than the one that starts it.
    sh(
        std::env::current_exe().unwrap().to_str().unwrap(),
        &[
            "scale-host",
            disk.point.to_str().unwrap(),
            &host.held.to_string(),
            &host.orphans.to_string(),
            &host.entries.to_string(),
        ],
    );
    disk.sync();
    let many = Mounts::new(&request.folder.join("many"), host.mounts);
    let config = request.folder.join("scale.toml");
    let socket = request.folder.join("scale.sock");
    configure(&config, &disk.point, &socket, "");
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(&request.ours);
        command.arg("--config").arg(&config).args(arguments);
        command
    };
    let mut rows = Vec::new();
    let mut tell = |name: &str, run: Run| {
        rows.push((name.to_owned(), Cost::of(run)));
    };
    // A first sweep remembers what is there; orphans are seen for the first time.
    tell(
        "sweep, the first",
        run_ending(&mut ours(&["sweep"]), &CODES),
    );
    for name in [
        "sweep --dry-run",
        "plan",
        "volumes list",
        "trash list",
        "discover",
        "resources",
        "doctor",
    ] {
        let arguments: Vec<&str> = name.split(' ').collect();
        tell(name, often(|| run_ending(&mut ours(&arguments), &CODES)));
    }
    tell(
        "volumes list --usage",
        run_ending(&mut ours(&["volumes", "list", "--usage"]), &CODES),
    );

    let daemon = Daemon::start(&request.ours, &config, &disk.point.join("state"));
    daemon.settle();
    let before = daemon.cpu();
    daemon.pass();
    daemon.settle();
    let spent = daemon.cpu() - before;
    let pass = Cost {
        seconds: spent,
        cpu: spent,
        mib: daemon.memory().0,
    };
    tell(
        "status",
        often(|| run_ending(&mut ours(&["status"]), &CODES)),
    );
    let after = daemon.memory();
    drop(daemon);

    tell(
        "wipe of the tree",
        run_ending(
            &mut ours(&["wipe", "bench/tree", "--confirm", "tree"]),
            &CODES,
        ),
    );
    if tree.symlink_metadata().is_ok() {
        super::panic_with("the tree was not wiped");
    }
    configure(&config, &disk.point, &socket, QUARANTINE);
    tell(
        "sweep, orphans to trash",
        run_ending(&mut ours(&["sweep"]), &CODES),
    );
    let entries = std::fs::read_dir(disk.point.join("volumes/.mesos-volumed/trash")).unwrap();
    let trashed = entries.count() as u64;
    if trashed < host.orphans {
        super::panic_with(&format!("{trashed} of {} orphans went", host.orphans));
    }
    tell(
        "trash list, all of them",
        often(|| run_ending(&mut ours(&["trash", "list"]), &CODES)),
    );
    rows.push(("daemon: a pass, RSS at rest".to_owned(), pass));
    let rest = Cost {
        mib: after.1,
        ..pass
    };
    rows.push(("daemon: the same, PSS".to_owned(), rest));
    drop(many);
    rows
}

/// Done, degraded, or something is kept: each is an answer.
const CODES: [i32; 3] = [0, 4, 5];

const QUARANTINE: &str = "orphans = \"quarantine\"\ngrace = \"0s\"\nbrake_percent = 100\n";

/// Three runs of what is short, one of what is long: the median.
fn often(mut once: impl FnMut() -> Run) -> Run {
    let first = once();
    if first.wall > 5.0 {
        return first;
    }
    let runs = [first, once(), once()];
    Run {
        wall: median(runs.iter().map(|run| run.wall)),
        to_sync: median(runs.iter().map(|run| run.to_sync)),
        cpu: median(runs.iter().map(|run| run.cpu)),
        mib: median(runs.iter().map(|run| run.mib)),
    }
}

fn configure(config: &Path, work_dir: &Path, socket: &Path, sweep: &str) {
    let text = format!(
        "disks = []\n[agent]\nwork_dir = \"{work}\"\nurl = \"\"\npid_namespace = \"own\"\n\
         [daemon]\nstate_dir = \"{work}/state\"\nlisten = \"\"\nsocket = \"{socket}\"\nsocket_group = \"root\"\n\
         [wipe]\nrate = 0\n[sweep]\n{sweep}",
        work = work_dir.display(),
        socket = socket.display(),
    );
    std::fs::write(config, text).unwrap();
}

/// File systems mounted below a folder, until this is dropped.
struct Mounts(PathBuf);

impl Mounts {
    fn new(folder: &Path, count: u64) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let at = folder.to_str().unwrap();
        sh("mount", &["-t", "tmpfs", "many", at]);
        let made = Self(folder.to_owned());
        for number in 0..count {
            let one = folder.join(number.to_string());
            std::fs::create_dir(&one).unwrap();
            rustix::mount::mount(
                "many",
                &one,
                "tmpfs",
                rustix::mount::MountFlags::empty(),
                None,
            )
            .unwrap();
        }
        made
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let at = self.0.to_str().unwrap();
        sh("umount", &["--lazy", "--recursive", at]);
    }
}

/// `scale-host WORK_DIR HELD ORPHANS ENTRIES`: fills a work_dir.
pub(crate) fn make(args: &[String]) {
    let work_dir = Path::new(&args[0]);
    let number = |at: usize| -> u64 { args[at].parse().unwrap() };
    let role = work_dir.join("volumes/roles/bench");
    let held: Vec<String> = (0..number(1))
        .map(|n| format!("app#data#{n:08x}"))
        .collect();
    let gone = (0..number(2)).map(|n| format!("old#data#{n:08x}"));
    for id in held.iter().cloned().chain(gone) {
        std::fs::create_dir(role.join(id)).unwrap();
    }
    commit(work_dir, held.iter().map(String::as_str));
    tree(&role.join("tree"), number(3));
}

/// So many names in one directory.
const FLAT: u64 = 10_000;

/// A tree of so many entries: most are further names of a few files, which costs neither inodes nor
/// blocks; one file is a terabyte of nothing.
fn tree(at: &Path, entries: u64) {
    std::fs::create_dir(at).unwrap();
    let mut left = entries;
    for number in 0.. {
        if left == 0 {
            break;
        }
        let folder = at.join(format!("d{number:05}"));
        std::fs::create_dir(&folder).unwrap();
        left -= 1;
        let dir = std::fs::File::open(&folder).unwrap();
        std::fs::write(folder.join("f"), "the only one\n").unwrap();
        left = left.saturating_sub(1);
        for name in 1..FLAT.min(left) {
            let name = format!("f{name:06}");
            rustix::fs::linkat(&dir, "f", &dir, name, rustix::fs::AtFlags::empty()).unwrap();
            left -= 1;
        }
    }
    let sparse = std::fs::File::create(at.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
}
