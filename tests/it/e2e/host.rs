//! A host of a test: disks, an agent, a configuration, and the program itself.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make, mount and look at their own files by name, and start programs"
)]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::stand_in::{StandIn, wait_until};

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Fails the test unless it ended so.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}\n{}", self.out, self.err);
        self
    }

    /// What it said, as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// Runs a program that has to succeed.
pub(crate) fn must(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A file system in a file.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes it, and mounts it at `at`, which is made too.
    pub(crate) fn new(image: &Path, kind: &str, megabytes: u64, at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        File::create(image)
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
        let quiet: &[&str] = if kind == "ext4" {
            &["-q", "-F", "-m0"]
        } else {
            &["-q"]
        };
        let image_name = image.to_str().unwrap();
        must(&format!("mkfs.{kind}"), &[quiet, &[image_name]].concat());
        let disk = Self {
            image: image.to_owned(),
            at: at.to_owned(),
        };
        disk.mount();
        disk
    }

    pub(crate) fn mount(&self) {
        let (image, at) = (self.image.to_str().unwrap(), self.at.to_str().unwrap());
        // Which loop device is free is asked and taken in two calls, which may race.
        let mut tries = 0;
        while !Command::new("mount")
            .args(["-o", "loop,strictatime", image, at])
            .status()
            .unwrap()
            .success()
        {
            tries += 1;
            assert!(tries < 20, "{image} could not be mounted");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn unmount(&self) {
        must("umount", &[self.at.to_str().unwrap()]);
    }

    /// The same disk at another place.
    pub(crate) fn at(&self, at: &Path) -> Self {
        Self {
            image: self.image.clone(),
            at: at.to_owned(),
        }
    }

    /// Repairs an ext4 that is not mounted.
    pub(crate) fn check(&self) {
        let image = self.image.to_str().unwrap();
        // 1: errors were mended.
        let status = Command::new("e2fsck")
            .args(["-f", "-y", image])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    }

    /// Makes an ext4 larger or smaller, with its UUID.
    pub(crate) fn resize(&self, megabytes: u64) {
        self.unmount();
        let image = File::options().write(true).open(&self.image).unwrap();
        let size = megabytes << 20;
        let is_larger = image.metadata().unwrap().len() < size;
        if is_larger {
            image.set_len(size).unwrap();
        }
        self.check();
        let text = format!("{megabytes}M");
        must("resize2fs", &[self.image.to_str().unwrap(), &text]);
        image.set_len(size).unwrap();
        self.mount();
    }
}

/// What a test may change of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// The type of the file system of PATH.
    pub(crate) path: &'static str,
    /// What stands in conf.d over the configuration of every test.
    pub(crate) settings: &'static str,
    /// What the agent offers of MOUNT, and what a tenant takes of it.
    pub(crate) mount: &'static str,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            path: "ext4",
            settings: "",
            mount: "20",
        }
    }
}

/// ROOT of 64 MiB, PATH, and MOUNT of 32 MiB; an agent that is not started yet.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) agent: StandIn,
    pub(crate) path_disk: Disk,
    pub(crate) mount_disk: Disk,
    mount: &'static str,
    _root_disk: Disk,
    temp: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new(parts: Parts) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let path_size = match parts.path {
            "xfs" => 320,
            "btrfs" => 128,
            _ => 64,
        };
        let root_disk = Disk::new(&at("root.img"), "ext4", 64, &at("work"));
        let path_disk = Disk::new(&at("path.img"), parts.path, path_size, &at("path"));
        let mount_disk = Disk::new(&at("mount.img"), "ext4", 32, &at("mount"));
        let mount: serde_json::Value = parts.mount.parse().unwrap();
        let resources = serde_json::json!([
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 40}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 40},
             "disk": {"source": {"type": "PATH", "path": {"root": at("path")}}}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": mount},
             "disk": {"source": {"type": "MOUNT", "mount": {"root": at("mount")}}}},
        ]);
        let host = Self {
            agent: StandIn::new(temp.path(), &at("work"), &resources.to_string()),
            path_disk,
            mount_disk,
            mount: parts.mount,
            _root_disk: root_disk,
            temp,
        };
        host.configure(parts.settings);
        host
    }

    /// Writes the configuration anew, with other settings over it.
    pub(crate) fn configure(&self, settings: &str) {
        let text = format!(
            r#"
            [agent]
            work_dir = "{work}"
            url = "http://127.0.0.1:{port}"
            pid_namespace = "own"
            [root]
            reserve = "8MiB"
            [[disks]]
            type = "PATH"
            paths = ["{path}"]
            reserve = "8MiB"
            [[disks]]
            type = "MOUNT"
            paths = ["{mount}"]
            reserve = "2MiB"
            [discovery]
            settle = "0s"
            min_size = "1MiB"
            [daemon]
            state_dir = "{state}"
            listen = ""
            socket = "{socket}"
            "#,
            work = self.root("ROOT").display(),
            path = self.root("PATH").display(),
            mount = self.root("MOUNT").display(),
            state = self.state_dir().display(),
            socket = self.socket().display(),
            port = self.agent.port,
        );
        let folder = self.temp.path().join("etc/conf.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(self.config(), text).unwrap();
        std::fs::write(folder.join("test.toml"), settings).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.temp.path().join("etc/config.toml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    /// Where the daemon of this host is asked.
    pub(crate) fn socket(&self) -> PathBuf {
        self.temp.path().join("run/api.sock")
    }

    pub(crate) fn temp(&self) -> &Path {
        self.temp.path()
    }

    /// The root of the disk of this type.
    pub(crate) fn root(&self, disk: &str) -> PathBuf {
        self.temp.path().join(match disk {
            "ROOT" => "work",
            "PATH" => "path",
            "MOUNT" => "mount",
            other => panic!("{other}"),
        })
    }

    /// The disk as the stand-in's orders name it.
    fn disk(&self, disk: &str) -> String {
        match disk {
            "ROOT" => "ROOT".to_owned(),
            _ => format!("{disk}:{}", self.root(disk).display()),
        }
    }

    /// The directory of a volume of role `r`.
    pub(crate) fn volume(&self, disk: &str, id: &str) -> PathBuf {
        match disk {
            "MOUNT" => self.root(disk),
            _ => self.root(disk).join("volumes/roles/r").join(id),
        }
    }

    /// Reserves disk for role `r`, creates volume `id` of all of it, and fills it.
    pub(crate) fn tenant(&self, disk: &str, id: &str, files: u32) {
        let name = self.disk(disk);
        let size = if disk == "MOUNT" { self.mount } else { "10" };
        let disk_and_size = ["--disk", &name, "--size", size];
        self.agent
            .order(&[&["reserve", "r"][..], &disk_and_size].concat());
        let volume = format!("r/{id}");
        self.agent
            .order(&[&["create", &volume][..], &disk_and_size].concat());
        fill(&self.volume(disk, id), files);
    }

    /// Destroys the volume of role `r`; its data stay, as after a power cut.
    pub(crate) fn destroy(&self, id: &str) {
        self.agent
            .order(&["destroy", &format!("r/{id}"), "--keep-data"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the program and leaves it to itself.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// One pass that has to end so.
    #[track_caller]
    pub(crate) fn sweep(&self, code: i32) -> Run {
        self.run(&["sweep"]).ends(code)
    }

    /// The states of a volume by its id, as `volumes list` has them.
    pub(crate) fn states(&self, id: &str) -> Vec<String> {
        let list = self
            .run(&["volumes", "list", "--output", "json"])
            .ends(0)
            .json();
        list["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|volume| volume["id"] == id)
            .map(|volume| volume["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Starts the daemon and waits for its first pass.
    pub(crate) fn daemon(&self) -> Daemon {
        let log = self.temp.path().join("daemon.log");
        let child = self
            .command(&["run", "--log-format", "human"])
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Daemon {
            child,
            log,
            memory: self.state_dir().join("memory.json"),
        };
        wait_until("the daemon is ready", Duration::from_mins(1), || {
            assert!(daemon.runs(), "{}", daemon.log());
            daemon.log().contains(" ready\n")
        });
        daemon
    }
}

/// The running daemon; it is killed at the end.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    memory: PathBuf,
}

impl Daemon {
    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Two passes end, so that at least one of them began after now.
    pub(crate) fn two_passes(&self) {
        let stamp = || std::fs::metadata(&self.memory).map(|meta| (meta.ino(), meta.mtime_nsec()));
        for _ in 0..2 {
            let before = stamp().unwrap();
            self.signal(Signal::USR1);
            wait_until("the daemon makes a pass", Duration::from_mins(1), || {
                stamp().is_ok_and(|now| now != before)
            });
        }
    }

    /// Stops it and says how long that took.
    pub(crate) fn stop(mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let took = start.elapsed();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        took
    }

    /// Ends it between two instructions.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Small files in folders of fifty, one larger one, a link and a file nobody may read.
pub(crate) fn fill(folder: &Path, files: u32) {
    for number in 0..files {
        let folder = folder.join(format!("d{}", number / 50));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(number.to_string()), format!("{number}\n")).unwrap();
    }
    std::fs::write(folder.join("data.bin"), vec![7_u8; 3 << 20]).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    let secret = folder.join("secret");
    std::fs::write(&secret, "secret").unwrap();
    must("chmod", &["0", secret.to_str().unwrap()]);
    // Not in the page cache alone: free space is compared.
    must("sync", &["-f", folder.to_str().unwrap()]);
}

/// Everything that tells of a tree but times of access: names, kinds, links, owners, modes, sizes,
/// the other times, and contents.
pub(crate) fn tree(folder: &Path) -> String {
    let contents = "find . -type f -print0 | sort -z | xargs -0 -r sha256sum";
    format!("{}{}", stats(folder), in_folder(folder, contents))
}

/// Everything that `lstat` tells of what lies on a mounted file system, times of access included.
/// Only of links they are left out: reading one can't be done without.
pub(crate) fn untouched(mount: &Path) -> String {
    let remount = |option: &str| {
        let options = format!("remount,{option}");
        must("mount", &["-o", &options, mount.to_str().unwrap()]);
    };
    // Looking must not change what is looked at.
    remount("noatime");
    let links = in_folder(
        mount,
        &format!("find . -type l -printf '{FORMAT}\\n' | sort"),
    );
    let others = in_folder(
        mount,
        &format!("find . ! -type l -printf '{FORMAT} %A@\\n' | sort"),
    );
    remount("strictatime");
    links + &others
}

const FORMAT: &str = "%p %y %i %n %m %U %G %s %b %T@ %C@ %l";

fn stats(folder: &Path) -> String {
    in_folder(folder, &format!("find . -printf '{FORMAT}\\n' | sort"))
}

pub(crate) fn in_folder(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether nothing has this name.
pub(crate) fn is_gone(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How many files lie below a folder that may change meanwhile.
pub(crate) fn files_below(folder: &Path) -> usize {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .filter(|entry| {
            entry
                .as_ref()
                .is_ok_and(|entry| entry.file_type().is_file())
        })
        .count()
}

/// Bytes in use on the file system of this folder, once everything is written out.
pub(crate) fn used(folder: &Path) -> u64 {
    must("sync", &["-f", folder.to_str().unwrap()]);
    let stat = rustix::fs::statvfs(folder).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}
