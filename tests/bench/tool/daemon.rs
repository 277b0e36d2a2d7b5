//! `scripts/bench daemon`: what the daemon needs while nothing happens, and how soon a destroyed
//! volume's space is back, by the number of volumes that are held.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesos_volumed::mesos::checkpoint::{Form, OperationContext, encode_info, encode_state};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::state::ResourceState;
use mesos_volumed::units::{Megabytes, Raw};
use serde_json::{Value as Json, json};

use super::disk::Disk;
use super::measure::median;
use super::wipe::Site;
use super::{Request, Size};

/// How often the daemon makes a pass, as configured by default.
const PASSES_AN_HOUR: f64 = 12.0;

pub(crate) fn run(request: &Request) -> Json {
    let (counts, rest, passes, destroys): (&[u64], _, _, _) = match request.size {
        Size::Quick => (&[10, 1000], 5, 3, 3),
        Size::Usual | Size::Full => (&[10, 1000, 10_000], 30, 5, 7),
    };
    let mut rows = Vec::new();
    println!("\nthe daemon at rest, with so many held volumes of a ROOT disk; no agent runs");
    println!(
        "  {:>8} {:>12} {:>12} {:>12} {:>9} {:>9} {:>9} {:>9}",
        "volumes",
        "rest CPU s/h",
        "CPU ms/pass",
        "CPU s/h",
        "RSS MiB",
        "PSS MiB",
        "most MiB",
        "pass ms"
    );
    for &count in counts {
        eprintln!("daemon: {count} volumes");
        let host = Host::new(request, count);
        let daemon = host.daemon();
        daemon.settle();
        let before = daemon.cpu();
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(rest));
        let resting = (daemon.cpu() - before) / begun.elapsed().as_secs_f64() * 3600.0;
        let (mut each, mut took) = (Vec::new(), Vec::new());
        for _ in 0..passes {
            let (before, begun) = (daemon.cpu(), Instant::now());
            daemon.pass();
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            daemon.settle();
            each.push((daemon.cpu() - before) * 1e3);
        }
        let (each, took) = (median(each), median(took));
        let hour = resting + each / 1e3 * PASSES_AN_HOUR;
        let (rss, pss) = daemon.memory();
        let most = daemon.largest();
        println!(
            "  {count:>8} {resting:>12.2} {each:>12.1} {hour:>12.2} {rss:>9.1} {pss:>9.1} {most:>9.1} {took:>9.0}"
        );
        rows.push(json!({
            "volumes": count, "resting_cpu_s_per_hour": resting, "pass_cpu_ms": each,
            "cpu_s_per_hour": hour, "rss_mib": rss, "pss_mib": pss, "largest_rss_mib": most, "pass_ms": took,
        }));
    }
    println!(
        "  (CPU s/h: at rest, and {PASSES_AN_HOUR} passes, one every sweep.every = 5m; RSS and PSS: at \
         rest; most: the largest RSS that it ever had, during a pass)"
    );

    println!(
        "\nfrom DESTROY committed to space free: a volume of 1,000 files, with so many others, at the \
         default sweep.settle of 1s"
    );
    println!("  {:>8} {:>10} {:>10}", "others", "median s", "longest s");
    let mut reactions = Vec::new();
    for others in [0, 1000] {
        let host = Host::new(request, others);
        let daemon = host.daemon();
        let took: Vec<f64> = (0..destroys).map(|n| host.destroy(n, &daemon)).collect();
        let longest = took.iter().copied().fold(0.0, f64::max);
        let middle = median(took);
        println!("  {others:>8} {middle:>10.2} {longest:>10.2}");
        reactions.push(json!({ "others": others, "median_s": middle, "longest_s": longest }));
    }
    json!({ "size": format!("{:?}", request.size), "idle": rows, "reaction": reactions })
}

fn volume(id: &str) -> Resource {
    Resource {
        name: Raw::from("disk"),
        // Small, so that a disk of a few GiB may offer all of them.
        value: Value::Scalar(Megabytes::from_thousandths(10)),
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("bench"),
            principal: Some(Raw::from("marathon")),
            labels: Vec::new(),
        }],
        source: None,
        persistence: Some(Persistence {
            id: PersistenceId::new(id),
            principal: Some(Raw::from("marathon")),
            container_path: Some(Raw::from("data")),
        }),
        shared: false,
        provider_id: None,
    }
}

/// A host whose agent holds volumes and does not run.
struct Host {
    request: (PathBuf, PathBuf),
    disk: Disk,
    held: Vec<String>,
}

impl Host {
    fn new(request: &Request, count: u64) -> Self {
        let disk = Disk::new(&request.folder, "ext4", 2, "rw");
        drop(Site::new(request, &disk));
        let held: Vec<String> = (0..count).map(|n| format!("app#data#{n:08x}")).collect();
        let role = disk.point.join("volumes/roles/bench");
        for id in &held {
            std::fs::create_dir(role.join(id)).unwrap();
        }
        let host = Self {
            request: (request.ours.clone(), request.folder.clone()),
            disk,
            held,
        };
        // As it is by default, apart from the address: ports may be taken here.
        let text = format!(
            "disks = []\n[agent]\nwork_dir = \"{work}\"\nurl = \"\"\npid_namespace = \"own\"\n\
             [daemon]\nstate_dir = \"{work}/state\"\nlisten = \"\"\nsocket = \"\"\n",
            work = host.disk.point.display()
        );
        std::fs::write(host.request.1.join("daemon.toml"), text).unwrap();
        host.commit(&[]);
        host.disk.sync();
        host
    }

    /// The checkpoint of an agent that holds these as well, in both generations, each in one rename.
    fn commit(&self, more: &[&str]) {
        let ids = self.held.iter().map(String::as_str);
        commit(&self.disk.point, ids.chain(more.iter().copied()));
    }

    fn daemon(&self) -> Daemon {
        let (ours, folder) = &self.request;
        let state = self.disk.point.join("state");
        Daemon::start(ours, &folder.join("daemon.toml"), &state)
    }

    /// Creates a volume of a thousand files, destroys it, and tells how long it takes until nothing of
    /// it is left.
    fn destroy(&self, number: u64, daemon: &Daemon) -> f64 {
        let id = format!("goes#data#{number:08x}");
        let at = self.disk.point.join("volumes/roles/bench").join(&id);
        std::fs::create_dir(&at).unwrap();
        for file in 0..1000 {
            std::fs::write(at.join(format!("f{file}")), [b'x'; 1024]).unwrap();
        }
        self.commit(&[&id]);
        daemon.pass();
        daemon.pass();
        let trash = self.disk.point.join("volumes/.mesos-volumed/trash");
        let begun = Instant::now();
        self.commit(&[]);
        until(
            "its space is back",
            &self.request.1.join("daemon.log"),
            || !at.exists() && is_empty(&trash),
        );
        begun.elapsed().as_secs_f64()
    }
}

/// Writes the checkpoint of an agent that holds these volumes of role `bench`, in both generations.
pub(crate) fn commit<'a>(work_dir: &Path, ids: impl Iterator<Item = &'a str>) {
    let resources: Vec<Resource> = ids.map(volume).collect();
    let context = OperationContext {
        agent_id: b"S0",
        status_uuid: [0; 16],
    };
    let info = encode_info(&resources, Form::Post).unwrap();
    let whole = ResourceState {
        operations: Vec::new(),
        resources,
    };
    let state = encode_state(&whole, &context).unwrap();
    let folder = work_dir.join("meta/resources");
    for (name, bytes) in [
        ("resources_and_operations.state", state),
        ("resources.info", info),
    ] {
        std::fs::write(folder.join("new"), bytes).unwrap();
        std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn until(what: &str, log: &Path, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > Duration::from_mins(2) {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            super::panic_with(&format!("not in two minutes: {what}\n{log}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct Daemon {
    child: Child,
    memory: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it has made two passes; its log lies beside its configuration.
    pub(crate) fn start(ours: &Path, config: &Path, state_dir: &Path) -> Self {
        let log = config.with_extension("log");
        let child = Command::new(ours)
            .arg("--config")
            .arg(config)
            .args(["--log-format", "human", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self {
            child,
            memory: state_dir.join("memory.json"),
        };
        until("the daemon is ready", &log, || {
            std::fs::read_to_string(&log).unwrap().contains(" ready\n")
        });
        daemon.pass();
        daemon
    }

    /// Asks for a pass and waits until its last memory is written: then it has planned, and rests.
    pub(crate) fn pass(&self) {
        use std::os::unix::fs::MetadataExt as _;
        let stamp = || std::fs::metadata(&self.memory).map(|meta| (meta.ino(), meta.ctime_nsec()));
        let before = stamp().ok();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        let begun = Instant::now();
        while stamp().ok() == before {
            if begun.elapsed() > Duration::from_mins(1) {
                super::panic_with("the daemon made no pass in a minute");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // What it does after that is little: it logs, and tells systemd.
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Waits until it has done nothing for three seconds.
    pub(crate) fn settle(&self) {
        for _ in 0..40 {
            let before = self.cpu();
            std::thread::sleep(Duration::from_secs(3));
            if self.cpu() - before < 0.03 {
                return;
            }
        }
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // USER_HZ is 100 wherever Linux runs.
        ticks / 100.0
    }

    /// Resident and proportional memory, in MiB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        (
            self.of("smaps_rollup", "Rss:"),
            self.of("smaps_rollup", "Pss:"),
        )
    }

    /// The largest resident memory that it ever had, in MiB.
    fn largest(&self) -> f64 {
        self.of("status", "VmHWM:")
    }

    /// What a file of its folder in `/proc` says in kB, in MiB.
    fn of(&self, file: &str, name: &str) -> f64 {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
