//! `discover` and `resources` as commands on real file systems.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make, mount and unmount file systems by the system's own programs"
)]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::MountFlags;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::own_namespace::entered;

const MIB: u64 = 1 << 20;

fn sh(program: &str, args: &[&OsStr]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A folder for everything that a test makes. It runs in a mount namespace of its own, with which
/// its mounts and loop devices end.
struct Host {
    folder: TempDir,
    rules: String,
}

impl Host {
    /// A host whose work_dir is a plain directory.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Self {
            folder,
            rules: String::new(),
        };
        std::fs::create_dir(host.at("work")).unwrap();
        host
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        std::fs::canonicalize(self.folder.path())
            .unwrap()
            .join(path)
    }

    fn text(&self, path: &str) -> String {
        self.at(path).to_str().unwrap().to_owned()
    }

    /// A file system of so many MiB at this path below the folder; its device.
    fn disk(&self, fs_type: &str, mib: u64, path: impl AsRef<Path>, options: &str) -> PathBuf {
        let device = self.attached(fs_type, mib);
        self.mount(&device, path, options);
        // It goes with its last mount.
        sh("losetup", &[OsStr::new("--detach"), device.as_os_str()]);
        device
    }

    /// A loop device with a file system.
    fn attached(&self, fs_type: &str, mib: u64) -> PathBuf {
        let image = tempfile::Builder::new()
            .suffix("-image")
            .tempfile_in(self.folder.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        if !fs_type.is_empty() {
            sh(
                &format!("mkfs.{fs_type}"),
                &[OsStr::new("-q"), image.as_os_str()],
            );
        }
        for _ in 0..100 {
            let output = Command::new("losetup")
                .args(["--find", "--show"])
                .arg(&image)
                .output()
                .unwrap();
            if output.status.success() {
                return PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii()));
            }
            // Another looked for a free one at the same time.
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no free loop device");
    }

    fn mount(&self, source: &Path, path: impl AsRef<Path>, options: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(&path).unwrap();
        let options: Vec<&OsStr> = options.split(' ').map(OsStr::new).collect();
        let args = [options, vec![source.as_os_str(), path.as_os_str()]].concat();
        sh("mount", &args);
    }

    fn umount(&self, path: impl AsRef<Path>) {
        sh("umount", &[self.at(path).as_os_str()]);
    }

    /// Adds a rule; `path` is below the folder.
    fn rule(&mut self, kind: &str, path: &str, size: &str) {
        let path = self.text(path);
        write!(
            self.rules,
            "[[disks]]\ntype = \"{kind}\"\npaths = [\"{path}\"]\n{size}\n"
        )
        .unwrap();
    }

    fn config(&self, more: &str) -> PathBuf {
        let file = self.at("config.toml");
        let text = format!(
            "{}\n[agent]\nwork_dir = \"{}\"\n[daemon]\nstate_dir = \"{}\"\n\
             [discovery]\nsettle = \"0s\"\nmin_size = \"1MiB\"\n[resources]\nwrite_to = \"{}\"\n{more}\n",
            self.rules,
            self.text("work"),
            self.text("state"),
            self.text("resources"),
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Runs a command to its end, which must come soon.
    fn run(&self, args: &[&str]) -> Output {
        self.run_with("", args)
    }

    fn run_with(&self, config: &str, args: &[&str]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
            .arg("--config")
            .arg(self.config(config))
            .args(args)
            .env_remove("MESOS_VOLUMED_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Output is read by threads, so that a full pipe is no reason to wait.
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let read = |mut pipe: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        let (stdout, stderr) = (read(Box::new(stdout)), read(Box::new(stderr)));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("{args:?} hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Output {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    fn discover(&self) -> Vec<Value> {
        let output = self.run(&["discover", "--output", "json"]);
        assert!(output.status.success(), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["disks"].as_array().unwrap().clone()
    }

    /// The rows with this root.
    fn rows<'a>(&self, disks: &'a [Value], path: &str) -> Vec<&'a Value> {
        let path = self.text(path);
        disks.iter().filter(|disk| disk["root"] == path).collect()
    }

    fn row<'a>(&self, disks: &'a [Value], path: &str) -> &'a Value {
        let rows = self.rows(disks, path);
        assert_eq!(rows.len(), 1, "{path}: {rows:#?}");
        rows[0]
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn name(device: &Path) -> &str {
    device.to_str().unwrap()
}

/// Disks of all three kinds on a host, and what is to be offered of each.
struct Kinds {
    host: Host,
    /// Path, type, device, megabytes, file-system type.
    expected: Vec<(&'static str, &'static str, PathBuf, u64, &'static str)>,
}

const ROOT_RULE: &str = "[root]\nreserve = \"10MiB\"";

impl Kinds {
    fn new() -> Self {
        let mut host = Host::new();
        let work = host.disk("ext4", 64, "work", "-o rw");
        let volume0 = host.disk("ext4", 40, "dcos/volume0", "-o rw");
        let carved = host.disk("xfs", 320, "mnt", "-o rw");
        std::fs::create_dir(host.at("mnt/data")).unwrap();
        let whole = host.disk("ext4", 48, "path0", "-o rw");
        host.rule("MOUNT", "dcos/volume*", "reserve = \"8MiB\"");
        host.rule("PATH", "mnt/data", "size = \"200MiB\"\nrole = \"prod\"");
        host.rule("PATH", "path0", "reserve = \"0\"");
        let total = |path: &str| {
            let space = rustix::fs::statvfs(host.at(path)).unwrap();
            space.f_frsize * space.f_blocks
        };
        let root = (total("work") - 10 * MIB) / MIB;
        let path = total("path0") / MIB;
        let mount = (total("dcos/volume0") - 8 * MIB) / MIB;
        Self {
            expected: vec![
                ("work", "ROOT", work, root, "ext4"),
                ("mnt/data", "PATH", carved, 200, "xfs"),
                ("path0", "PATH", whole, path, "ext4"),
                ("dcos/volume0", "MOUNT", volume0, mount, "ext4"),
            ],
            host,
        }
    }

    fn discover(&self) -> Vec<Value> {
        let output = self
            .host
            .run_with(ROOT_RULE, &["discover", "--output", "json"]);
        json(&output)["disks"].as_array().unwrap().clone()
    }
}

#[test]
fn root_disks_of_all_three_kinds_are_offered_with_their_numbers() {
    if !entered("discover::root_disks_of_all_three_kinds_are_offered_with_their_numbers") {
        return;
    }
    let kinds = Kinds::new();
    let disks = kinds.discover();
    for (path, kind, device, megabytes, fs_type) in &kinds.expected {
        let row = kinds.host.row(&disks, path);
        assert_eq!(row["verdict"], "offered", "{row:#}");
        assert_eq!(row["type"], *kind);
        assert_eq!(row["device"], name(device));
        assert_eq!(row["advertised_mb"], *megabytes, "{row:#}");
        assert_eq!(row["filesystem"]["type"], *fs_type);
        assert_eq!(row["drive"]["virtual"], true);
        let image = row["drive"]["backing_file"].as_str().unwrap();
        assert!(image.ends_with("-image"), "{image}");
        let uuid = sh(
            "blkid",
            &["-s", "UUID", "-o", "value", name(device)].map(OsStr::new),
        );
        let uuid = String::from_utf8(uuid).unwrap();
        assert_eq!(row["filesystem"]["uuid"], uuid.trim());
        assert_eq!(row["held"], json!([]));
    }
    let parent = kinds.host.row(&disks, "mnt");
    assert_eq!(parent["reason"], "no_rule");
    assert_eq!(parent["type"], Value::Null);
}

#[test]
fn root_every_device_and_every_mount_is_shown() {
    if !entered("discover::root_every_device_and_every_mount_is_shown") {
        return;
    }
    let kinds = Kinds::new();
    // Listed before: another test may add a loop device at any time.
    let devices: Vec<String> = std::fs::read_dir("/sys/class/block")
        .unwrap()
        .map(|entry| format!("/dev/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    let disks = kinds.discover();
    for device in devices {
        assert!(
            disks.iter().any(|disk| disk["device"] == device),
            "{device} is missing"
        );
    }
    let table = std::fs::read("/proc/self/mountinfo").unwrap();
    for mount in mesos_volumed::observe::mountinfo::parse(&table).unwrap() {
        let point = mount.mount_point.to_string();
        assert!(disks.iter().any(|disk| disk["root"] == point), "{point}");
    }
    let table = kinds.host.run_with(ROOT_RULE, &["discover"]);
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table
        .lines()
        .find(|line| line.contains("dcos/volume0"))
        .unwrap();
    assert!(
        line.starts_with("MOUNT ") && line.contains(" (virtual) ") && line.contains(" offered "),
        "{table}"
    );
    // The kernel's own mounts are counted, and listed only when they are asked for.
    let lists_proc = |table: &str| table.lines().any(|line| line.contains("  /proc  "));
    assert!(
        table.contains("not shown: ") && !lists_proc(&table),
        "{table}"
    );
    let all = kinds.host.run_with(ROOT_RULE, &["discover", "--all"]);
    let all = String::from_utf8(all.stdout).unwrap();
    assert!(!all.contains("not shown: ") && lists_proc(&all), "{all}");
}

#[test]
fn root_explain_says_what_discover_says_by_path_device_and_link() {
    if !entered("discover::root_explain_says_what_discover_says_by_path_device_and_link") {
        return;
    }
    let kinds = Kinds::new();
    let explained = |subject: &str| {
        let told = kinds
            .host
            .run_with(ROOT_RULE, &["--output", "json", "explain", subject]);
        assert_eq!(
            told.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        json(&told)["explanations"].as_array().unwrap().clone()
    };
    for (path, kind, device, megabytes, _) in &kinds.expected {
        let path = kinds.host.text(path);
        let told = explained(&path);
        let offer = &told[0]["questions"][0];
        assert_eq!(offer["question"], "is it offered to Mesos?");
        if *kind == "ROOT" {
            continue;
        }
        let answer = offer["answer"].as_str().unwrap();
        assert!(
            answer.starts_with(&format!("yes, with {megabytes} MB")),
            "{answer}"
        );
        let rules = offer["rules"].as_array().unwrap();
        assert!(
            rules.iter().all(|rule| rule["answer"] == "pass"),
            "{rules:#?}"
        );
        assert!(rules.len() > 10, "{rules:#?}");
        for name in [name(device), name(device).trim_start_matches("/dev/")] {
            let by_device = explained(name);
            assert_eq!(by_device[0]["questions"], told[0]["questions"], "{name}");
        }
        // A path inside belongs to its mount.
        let inside = explained(&format!("{path}/."));
        assert_eq!(inside[0]["questions"], told[0]["questions"]);
    }
    let told = kinds
        .host
        .run_with(ROOT_RULE, &["explain", "no-such-thing"]);
    assert_eq!(told.status.code(), Some(1));
    let error = String::from_utf8(told.stderr).unwrap();
    assert!(
        error.contains("nothing here is called no-such-thing"),
        "{error}"
    );
}

#[test]
fn root_resources_have_the_three_documented_shapes() {
    if !entered("discover::root_resources_have_the_three_documented_shapes") {
        return;
    }
    let kinds = Kinds::new();
    let output = kinds.host.run_with(ROOT_RULE, &["resources"]);
    let mut wanted: Vec<Value> = kinds
        .expected
        .iter()
        .map(|(path, kind, _, megabytes, _)| {
            let root = json!({"root": kinds.host.text(path)});
            let mut entry =
                json!({"name": "disk", "type": "SCALAR", "scalar": {"value": megabytes}});
            match *kind {
                "PATH" => entry["disk"] = json!({"source": {"type": "PATH", "path": root}}),
                "MOUNT" => entry["disk"] = json!({"source": {"type": "MOUNT", "mount": root}}),
                _ => {}
            }
            entry
        })
        .collect();
    wanted[1]["role"] = json!("prod");
    assert_eq!(json(&output), Value::from(wanted));
    let again = kinds.host.run_with(ROOT_RULE, &["resources"]);
    assert_eq!(again.stdout, output.stdout, "same input, same bytes");
}

/// Mounts a FUSE file system that nobody serves, and that hangs everyone who asks it, for as long
/// as this file lives.
fn never_answering(path: &Path) -> File {
    std::fs::create_dir_all(path).unwrap();
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    let data = CString::new(format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    ))
    .unwrap();
    rustix::mount::mount("never", path, "fuse", MountFlags::empty(), data.as_c_str()).unwrap();
    device
}

#[test]
fn root_each_trouble_has_its_own_reason_and_hides_no_other_disk() {
    if !entered("discover::root_each_trouble_has_its_own_reason_and_hides_no_other_disk") {
        return;
    }
    let mut host = Host::new();
    let good = host.disk("ext4", 40, "dcos/volume0", "-o rw");
    host.mount(&host.at("dcos/volume0"), "dcos/volume9", "--bind");
    host.disk("ext4", 40, "dcos/volume1", "-o ro");
    let hidden = host.disk("ext4", 40, "dcos/volume2", "-o rw");
    host.mount(Path::new("none"), "dcos/volume2", "-t tmpfs");
    let below = host.disk("ext4", 40, "over/inner", "-o rw");
    host.mount(Path::new("none"), "over", "-t tmpfs");
    host.mount(Path::new("none"), "dcos/volume3", "-t tmpfs");
    let odd = Path::new("dcos").join(OsStr::from_bytes(b"volume\xff4"));
    host.disk("ext4", 40, &odd, "-o rw");
    let _held = never_answering(&host.at("dcos/volume5"));
    let bare = host.attached("xfs", 320);
    let blank = host.attached("", 8);
    symlink(host.at("dcos/volume0"), host.at("link")).unwrap();
    std::fs::write(host.at("file"), "x").unwrap();
    host.rule("MOUNT", "dcos/volume*", "reserve = \"1MiB\"");
    for path in ["over/inner", "dcos/volume5/inside", "gone", "link", "file"] {
        host.rule("PATH", path, "reserve = \"1MiB\"");
    }
    // Its disk is not mounted: the directory lies on the system's own disk.
    std::fs::create_dir(host.at("unmounted")).unwrap();
    host.rule("PATH", "unmounted", "size = \"1MiB\"");
    std::fs::create_dir(host.at("elsewhere")).unwrap();
    host.rule("MOUNT", "elsewhere", "reserve = \"1MiB\"");
    host.rule("MOUNT", "work", "reserve = \"1MiB\"");
    host.rule("PATH", "nothing/like*", "reserve = \"1MiB\"");

    let start = Instant::now();
    let disks = host.discover();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );

    let reason = |path: &str| host.row(&disks, path)["reason"].clone();
    assert_eq!(host.row(&disks, "dcos/volume0")["verdict"], "offered");
    assert_eq!(host.row(&disks, "dcos/volume0")["device"], name(&good));
    assert_eq!(reason("dcos/volume9"), "duplicate_device");
    assert_eq!(reason("dcos/volume1"), "read_only");
    assert_eq!(reason("dcos/volume3"), "pseudo_filesystem");
    assert_eq!(reason("dcos/volume5"), "fuse_filesystem");
    assert_eq!(reason("dcos/volume5/inside"), "fuse_filesystem");
    assert_eq!(reason("gone"), "missing");
    assert_eq!(reason("elsewhere"), "missing");
    // Where /tmp is memory it lies on that.
    let unmounted = reason("unmounted");
    assert!(
        unmounted == "missing" || unmounted == "pseudo_filesystem",
        "{unmounted}"
    );
    assert_eq!(reason("link"), "symlinked_root");
    assert_eq!(reason("file"), "not_a_directory");
    assert_eq!(reason("over/inner"), "overmounted");
    assert_eq!(host.row(&disks, "over/inner")["device"], name(&below));
    let stacked: Vec<&Value> = host.rows(&disks, "dcos/volume2");
    assert_eq!(stacked.len(), 2);
    let disk = stacked
        .iter()
        .find(|row| row["device"] == name(&hidden))
        .unwrap();
    assert_eq!(disk["reason"], "overmounted");
    let odd_row = disks
        .iter()
        .find(|row| row["reason"] == "not_utf8_root")
        .unwrap();
    assert_eq!(odd_row["root"], host.text("dcos") + "/volume\\xff4");
    let exact = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        odd_row["root_base64"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(exact, host.at(&odd).as_os_str().as_bytes());
    let device = |device: &Path| {
        disks
            .iter()
            .find(|row| row["device"] == name(device))
            .unwrap()["reason"]
            .clone()
    };
    assert_eq!(device(&bare), "not_mounted");
    assert_eq!(device(&blank), "unformatted");
    for row in &disks {
        assert!(!row["explanation"].as_str().unwrap().is_empty(), "{row:#}");
    }
    for disk in [bare, blank] {
        sh("losetup", &[OsStr::new("--detach"), disk.as_os_str()]);
    }
    let output = host.run(&["discover"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("no_match: \"") && text.contains("nothing/like*"),
        "{text}"
    );
}

#[test]
fn root_a_work_dir_that_never_answers_hangs_nothing() {
    if !entered("discover::root_a_work_dir_that_never_answers_hangs_nothing") {
        return;
    }
    let mut host = Host::new();
    host.disk("ext4", 40, "dcos/volume0", "-o rw");
    host.rule("MOUNT", "dcos/volume*", "reserve = \"1MiB\"");
    let _held = never_answering(&host.at("work"));
    let disks = host.discover();
    // Whether an agent registered without it, and would not start with it, can't be told.
    assert_eq!(host.row(&disks, "dcos/volume0")["reason"], "unreadable");
    let rows = host.rows(&disks, "work");
    assert!(
        rows.iter().all(|row| row["reason"] == "fuse_filesystem"),
        "{rows:#?}"
    );
    let output = host.run(&["resources"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("which numbers the agent has can't be told"),
        "{error}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn root_a_known_disk_that_goes_missing_is_left_out_and_told_and_comes_back_as_it_was() {
    if !entered(
        "discover::root_a_known_disk_that_goes_missing_is_left_out_and_told_and_comes_back_as_it_was",
    ) {
        return;
    }
    let mut host = Host::new();
    let device = host.attached("ext4", 40);
    host.mount(&device, "dcos/volume0", "-o rw");
    host.disk("ext4", 40, "dcos/volume1", "-o rw");
    host.rule("MOUNT", "dcos/volume*", "reserve = \"1MiB\"");
    let extra = "extra = \"cpus:2;mem:1024\"";

    assert_eq!(
        host.run_with(extra, &["resources", "--check"])
            .status
            .code(),
        Some(3)
    );
    assert!(
        host.at("resources").symlink_metadata().is_err(),
        "--check writes nothing"
    );
    assert!(
        host.at("state").symlink_metadata().is_err(),
        "--check writes nothing"
    );
    let written = host.run_with(extra, &["resources", "--write"]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let first = std::fs::read(host.at("resources")).unwrap();
    let entries: Value = serde_json::from_slice(&first).unwrap();
    let names: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cpus", "mem", "disk", "disk", "disk"]);
    assert_eq!(
        host.run_with(extra, &["resources", "--check"])
            .status
            .code(),
        Some(0)
    );

    host.umount("dcos/volume0");
    let disks = host.discover();
    assert_eq!(host.row(&disks, "dcos/volume0")["reason"], "missing");
    assert_eq!(host.row(&disks, "dcos/volume1")["verdict"], "offered");
    let degraded = host.run_with(extra, &["resources", "--write"]);
    assert_eq!(degraded.status.code(), Some(4), "{degraded:?}");
    let said = String::from_utf8(degraded.stderr).unwrap();
    assert!(
        said.contains("dcos/volume0 is left out") && said.contains("an agent does not start"),
        "{said}"
    );
    let without = std::fs::read(host.at("resources")).unwrap();
    let entries: Value = serde_json::from_slice(&without).unwrap();
    assert_eq!(entries.as_array().unwrap().len(), 4);
    let printed = host.run_with(extra, &["resources"]);
    assert_eq!(printed.status.code(), Some(4));
    assert_eq!(printed.stdout, without);

    host.mount(&device, "dcos/volume0", "-o rw");
    sh("losetup", &[OsStr::new("--detach"), device.as_os_str()]);
    assert_eq!(
        host.run_with(extra, &["resources", "--write"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(std::fs::read(host.at("resources")).unwrap(), first);
}

#[test]
fn root_numbers_come_from_totals_and_not_from_free_space() {
    if !entered("discover::root_numbers_come_from_totals_and_not_from_free_space") {
        return;
    }
    let mut host = Host::new();
    host.disk("ext4", 40, "dcos/volume0", "-o rw");
    host.rule("MOUNT", "dcos/volume*", "reserve = \"1MiB\"");
    let before = host.run(&["resources"]);
    // Numbers come from totals: what tenants write moves none.
    std::fs::write(host.at("dcos/volume0/data"), vec![7; 20 << 20]).unwrap();
    let after = host.run(&["resources"]);
    assert_eq!(before.stdout, after.stdout);
    assert_eq!(after.status.code(), Some(0));
}

#[test]
fn root_new_disks_are_waited_for_once() {
    if !entered("discover::root_new_disks_are_waited_for_once") {
        return;
    }
    let mut host = Host::new();
    host.disk("ext4", 40, "dcos/volume0", "-o rw");
    host.rule("MOUNT", "dcos/volume*", "reserve = \"1MiB\"");
    let config = host.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let timed = |write: bool| {
        std::fs::write(&config, text.replace("settle = \"0s\"", "settle = \"1s\"")).unwrap();
        let start = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command.arg("--config").arg(&config).arg("resources");
        if write {
            command.arg("--write");
        }
        assert!(command.output().unwrap().status.success());
        start.elapsed()
    };
    assert!(
        timed(false) < Duration::from_millis(900),
        "printing waits for nothing"
    );
    assert!(timed(true) >= Duration::from_secs(1));
    assert!(
        timed(true) < Duration::from_millis(900),
        "the ledger knows them now"
    );
}

#[test]
fn without_root_the_command_still_answers() {
    let host = Host::new();
    let disks = host.discover();
    let row = host.row(&disks, "work");
    assert_eq!(row["type"], "ROOT");
    let output = host.run(&["resources", "--format", "flag"]);
    if row["verdict"] == "offered" {
        assert!(output.stdout.starts_with(b"--resources='["), "{output:?}");
    } else {
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_flag_without_a_file_is_a_mistake_of_usage() {
    let host = Host::new();
    let config = host.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("write_to"))
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(&config, without).unwrap();
    for flag in ["--write", "--check"] {
        let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
            .arg("--config")
            .arg(&config)
            .args(["resources", flag, "--format=flag"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn a_damaged_ledger_stops_every_number() {
    let host = Host::new();
    std::fs::create_dir(host.at("state")).unwrap();
    std::fs::write(host.at("state/ledger.json"), "{").unwrap();
    std::fs::write(host.at("resources"), "old").unwrap();
    for args in [["resources", "--write"], ["resources", "--check"]] {
        let output = host.run(&args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("ledger.json is damaged"), "{error}");
    }
    assert_eq!(std::fs::read(host.at("resources")).unwrap(), b"old");
    // Looking is still possible, and says so.
    let output = host.run(&["discover"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the ledger can't be read"), "{text}");
}
