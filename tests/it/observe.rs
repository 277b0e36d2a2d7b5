//! The observers on the running kernel: processes, namespaces, mounts and loop devices.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make their own files and start their own processes"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesos_volumed::decide::facts::{FsLocation, Holder, HolderKind, Known, MountTable};
use mesos_volumed::observe::holders::{self, Target};
use mesos_volumed::observe::mountinfo;
use mesos_volumed::observe::places::Places;
use mesos_volumed::units::Raw;

use super::own_namespace::entered;

/// A shell that does something, says so, and waits to be ended. It leads a process group of its
/// own, so that what it started ends with it.
struct Script(Child);

impl Script {
    fn start(command: &mut Command, script: &str, arguments: &[&Path]) -> Self {
        let mut child = command
            .args(["-ec", &format!("{script}\necho ready\nsleep 1000"), "sh"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let script = Self(child);
        assert_eq!(line, "ready\n", "the script failed");
        script
    }

    fn shell(script: &str, arguments: &[&Path]) -> Self {
        Self::start(&mut Command::new("sh"), script, arguments)
    }

    /// In a mount namespace of its own.
    fn unshared(script: &str, arguments: &[&Path]) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh"]);
        Self::start(&mut command, script, arguments)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        self.0.wait().unwrap();
    }
}

fn location(path: &Path) -> FsLocation {
    MountTable::new(mountinfo::read_self().unwrap())
        .locate(&Raw::from(path))
        .unwrap()
}

/// A folder `volumes` with two volumes, and what is held in it.
struct Volumes {
    tree: tempfile::TempDir,
}

impl Volumes {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        for id in ["a", "b"] {
            std::fs::create_dir_all(tree.path().join("volumes/roles/r").join(id)).unwrap();
        }
        Self { tree }
    }

    fn volume(&self, id: &str) -> std::path::PathBuf {
        self.tree.path().join("volumes/roles/r").join(id)
    }

    fn look(&self) -> Known<Vec<Holder>> {
        holders::observe(
            &Places::default(),
            &[Target {
                location: location(&self.tree.path().join("volumes")),
                own_mount: None,
            }],
        )
    }

    /// Kind and path below `volumes/roles/r` of every holder.
    fn held(&self) -> Vec<(HolderKind, String)> {
        let base = location(&self.tree.path().join("volumes/roles/r"));
        match self.look() {
            Known::Known(holders) => holders
                .iter()
                .map(|holder| {
                    let tail = holder.location.path.below(&base.path).unwrap();
                    (holder.kind, Raw::from(tail).to_string())
                })
                .collect(),
            Known::Absent | Known::Unknown(_) => panic!("{:?}", self.look()),
        }
    }
}

#[test]
fn root_files_directories_and_programs_of_another_process_hold_a_volume() {
    if !entered("observe::root_files_directories_and_programs_of_another_process_hold_a_volume") {
        return;
    }
    let volumes = Volumes::new();
    assert_eq!(volumes.held(), []);
    {
        let _script = Script::shell("exec 3>\"$1/x\"", &[&volumes.volume("a")]);
        assert_eq!(volumes.held(), [(HolderKind::OpenFile, "a/x".to_owned())]);
    }
    {
        let _script = Script::shell(
            "exec 3>\"$1/x (deleted)\"; rm \"$1/x (deleted)\"",
            &[&volumes.volume("a")],
        );
        let held = volumes.held();
        assert!(
            held.contains(&(HolderKind::OpenFile, "a/x (deleted) (deleted)".to_owned()))
                || held.contains(&(HolderKind::OpenFile, "a/x (deleted)".to_owned())),
            "{held:?}"
        );
    }
    {
        let _script = Script::shell("cd \"$1\"", &[&volumes.volume("b")]);
        assert_eq!(
            volumes.held(),
            [(HolderKind::WorkingDirectory, "b".to_owned())]
        );
    }
    {
        let _script = Script::shell(
            "cp \"$(command -v sleep)\" \"$1/prog\"; \"$1/prog\" 1000 & while ! grep -q prog /proc/$!/maps; do :; done",
            &[&volumes.volume("b")],
        );
        assert_eq!(volumes.held(), [(HolderKind::Mapping, "b/prog".to_owned())]);
    }
    // The last process ends a moment after its group was killed.
    for _ in 0..100 {
        if volumes.held().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(volumes.held(), []);
}

#[test]
fn root_mounts_in_another_namespace_hold_a_volume() {
    if !entered("observe::root_mounts_in_another_namespace_hold_a_volume") {
        return;
    }
    let volumes = Volumes::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let _script = Script::unshared(
        "mount --bind \"$1\" \"$2\"; mount -t tmpfs none \"$3\"; exec 3>\"$2/x\"",
        &[&volumes.volume("a"), elsewhere.path(), &volumes.volume("b")],
    );
    assert_eq!(
        volumes.held(),
        [
            (HolderKind::MountOf, "a".to_owned()),
            (HolderKind::OpenFile, "a/x".to_owned()),
            (HolderKind::MountPoint, "b".to_owned()),
        ]
    );
    assert!(
        std::fs::read_dir(elsewhere.path())
            .unwrap()
            .next()
            .is_none(),
        "the mount is in the other namespace only"
    );
}

#[test]
fn root_a_file_on_a_lazily_unmounted_mount_is_unknown_and_not_free() {
    if !entered("observe::root_a_file_on_a_lazily_unmounted_mount_is_unknown_and_not_free") {
        return;
    }
    let volumes = Volumes::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let _script = Script::unshared(
        "mount --bind \"$1\" \"$2\"; exec 3>\"$2/x\"; umount -l \"$2\"",
        &[&volumes.volume("a"), elsewhere.path()],
    );
    let why = volumes.look().why().expect("not known").to_string();
    assert!(
        why.contains(" has /x open, on a mount that no mount table shows"),
        "{why}"
    );
}
