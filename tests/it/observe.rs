//! The observers on the running kernel: processes, namespaces, mounts and loop devices.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make their own files and start their own processes"
)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mesos_volumed::decide::facts::{
    AgentAnswer, AgentView, DirFacts, DiscoveryRules, DiskRule, DiskRules, Facts, FileKind,
    FsFailure, FsLocation, Holder, HolderKind, Known, MountContent, MountTable, OrphanPolicy,
    PidNamespace, Policy, RootFacts, RootRule, SizeRule, Words,
};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::observe::facts::{Request, observe_facts};
use mesos_volumed::observe::holders::{self, Target};
use mesos_volumed::observe::mountinfo;
use mesos_volumed::observe::places::Places;
use mesos_volumed::observe::roots::{self, Observed, Wanted};
use mesos_volumed::units::{Bytes, Raw, Span};

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
        // In its pid namespace the test is pid 1, so that orphans of the script are its children.
        let any = rustix::process::WaitOptions::empty();
        while rustix::process::waitpgid(group, any).is_ok() {}
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
                hidden: None,
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

/// A file system on a file, mounted below a temporary folder. The loop device is given back with
/// the mount, which goes with the namespace of the test.
struct LoopDisk {
    tree: tempfile::TempDir,
}

impl LoopDisk {
    fn new(fs_type: &str) -> Self {
        let disk = Self {
            tree: tempfile::tempdir().unwrap(),
        };
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(320 << 20).unwrap();
        disk.make(fs_type);
        std::fs::create_dir(disk.root()).unwrap();
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.tree.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.tree.path().join("disk")
    }

    fn text(&self) -> Raw {
        Raw::from(self.root())
    }

    fn make(&self, fs_type: &str) {
        let quiet = if fs_type == "ext4" { "-qF" } else { "-qf" };
        run(Command::new(format!("mkfs.{fs_type}"))
            .arg(quiet)
            .arg(self.image()));
    }

    fn mount(&self) {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([self.image(), self.root()]));
    }

    /// Returns when the loop device has let go of the image: the kernel does that a little later.
    fn unmount(&self) {
        run(Command::new("umount").arg(self.root()));
        for _ in 0..500 {
            let devices = Command::new("losetup")
                .arg("-j")
                .arg(self.image())
                .output()
                .unwrap();
            if devices.stdout.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the loop device keeps {}", self.image().display());
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn look(&self, kind: DiskType) -> Observed {
        self.look_from(&Places::default(), kind)
    }

    fn look_from(&self, places: &Places, kind: DiskType) -> Observed {
        let wanted = Wanted {
            disk: DiskRef {
                kind,
                root: self.text(),
            },
            named_by: BTreeSet::new(),
            accepted: false,
            hidden: Known::Absent,
        };
        let table = MountTable::new(mountinfo::read_self().unwrap());
        roots::observe(places, vec![wanted], &Known::Absent, &table).remove(0)
    }

    fn facts(&self, kind: DiskType) -> RootFacts {
        self.look(kind).facts
    }

    fn holders(&self, kind: DiskType) -> Vec<(HolderKind, String)> {
        let target = self.look(kind).targets.remove(0);
        let known = holders::observe(&Places::default(), std::slice::from_ref(&target));
        known
            .known()
            .unwrap_or_else(|| panic!("{known:?}"))
            .iter()
            .map(|holder| {
                let tail = holder.location.path.below(&target.location.path).unwrap();
                (holder.kind, Raw::from(tail).to_string())
            })
            .collect()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        detach(&self.root());
    }
}

/// Takes away everything that is mounted there, so that the folder can be removed.
fn detach(path: &Path) {
    for _ in 0..10 {
        let unmounted = Command::new("umount").arg("--lazy").arg(path).output();
        if !unmounted.is_ok_and(|output| output.status.success()) {
            break;
        }
    }
}

/// A bind mount, for as long as it is needed.
struct Bound<'a>(&'a Path);

impl<'a> Bound<'a> {
    fn new(what: &Path, on: &'a Path) -> Self {
        bind(what, on);
        Self(on)
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        detach(self.0);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mount_tmpfs(on: &Path) {
    run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(on));
}

fn bind(what: &Path, on: &Path) {
    run(Command::new("mount").arg("--bind").args([what, on]));
}

#[test]
fn root_a_mount_disk_is_told_by_its_file_system_and_whether_it_is_empty() {
    if !entered("observe::root_a_mount_disk_is_told_by_its_file_system_and_whether_it_is_empty") {
        return;
    }
    let disk = LoopDisk::new("ext4");
    let first = disk.facts(DiskType::Mount);
    let mount = first.mount.known().unwrap();
    assert!(mount.is_mount_point && !mount.read_only && mount.fs_type == "ext4");
    assert_eq!(mount.location.path, "/".into());
    let present = first.filesystem.present.known().unwrap();
    assert_eq!(present.directory.filesystem, present.filesystem);
    // Nothing but lost+found.
    assert_eq!(first.content, Known::Known(MountContent::Empty));
    assert_eq!(first.dirs, Known::Absent);

    std::fs::write(disk.root().join("lost+found/x"), "").unwrap();
    let content = || disk.facts(DiskType::Mount).content;
    assert_eq!(content(), Known::Known(MountContent::Data));
    std::fs::remove_file(disk.root().join("lost+found/x")).unwrap();
    std::fs::write(disk.root().join(".hidden"), "").unwrap();
    assert_eq!(content(), Known::Known(MountContent::Data));

    disk.unmount();
    assert_eq!(disk.facts(DiskType::Mount).mount, Known::Absent);
    disk.mount();
    assert_eq!(
        disk.facts(DiskType::Mount).filesystem.present.known(),
        Some(present)
    );
    disk.unmount();
    disk.make("ext4");
    disk.mount();
    let other = disk.facts(DiskType::Mount);
    assert_ne!(other.filesystem.present.known().unwrap(), present);
    mount_tmpfs(&disk.root());
    let hidden = disk.facts(DiskType::Mount);
    assert_eq!(hidden.mount.known().unwrap().fs_type, "tmpfs");
    assert_ne!(hidden.filesystem.present.known(), Some(present));
}

#[test]
fn root_a_file_system_that_refuses_writes_is_read_only() {
    if !entered("observe::root_a_file_system_that_refuses_writes_is_read_only") {
        return;
    }
    let disk = LoopDisk::new("ext4");
    let read_only = || {
        let facts = disk.facts(DiskType::Path);
        facts.mount.known().unwrap().read_only
    };
    run(Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.root()));
    assert!(read_only());
    run(Command::new("mount")
        .args(["-o", "remount,rw,errors=remount-ro"])
        .arg(disk.root()));
    assert!(!read_only());
    // After an error ext4 refuses writes, and its mounts go on saying `rw`.
    let device = location(&disk.root()).device;
    let name = std::fs::read_link(format!("/sys/dev/block/{device}")).unwrap();
    let trigger = Path::new("/sys/fs/ext4")
        .join(name.file_name().unwrap())
        .join("trigger_fs_error");
    std::fs::write(trigger, "a test\n").unwrap();
    std::fs::write(disk.root().join("x"), "").unwrap_err();
    assert!(!read_only(), "that has a code of its own");
    let failure = disk
        .facts(DiskType::Path)
        .mount
        .known()
        .unwrap()
        .failure
        .clone();
    assert!(
        matches!(&failure, Some(FsFailure::Failed(what)) if what.contains("refuses writes")),
        "{failure:?}"
    );
}

#[test]
fn root_a_file_system_that_was_shut_down_has_failed() {
    if !entered("observe::root_a_file_system_that_was_shut_down_has_failed") {
        return;
    }
    for fs_type in ["ext4", "xfs"] {
        let disk = LoopDisk::new(fs_type);
        disk.folder("volumes/roles/eng/db#data");
        assert_eq!(
            disk.facts(DiskType::Path).mount.known().unwrap().failure,
            None
        );
        run(Command::new("xfs_io")
            .args(["-x", "-c", "shutdown"])
            .arg(disk.root()));
        // A kernel that knows no block device at all.
        let bare = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(bare.path().join("dev/block")).unwrap();
        let gone = Places {
            sys: bare.path().into(),
            ..Places::default()
        };
        for kind in [DiskType::Path, DiskType::Mount] {
            let facts = disk.facts(kind);
            let mount = facts.mount.known().unwrap();
            assert!(
                matches!(&mount.failure, Some(FsFailure::Failed(_))),
                "{fs_type}: {mount:?}"
            );
            let facts = disk.look_from(&gone, kind).facts;
            let mount = facts.mount.known().unwrap();
            assert!(
                matches!(&mount.failure, Some(FsFailure::DeviceGone(_))),
                "{fs_type} answers with errors because its device is gone: {mount:?}"
            );
        }
    }
}

#[test]
fn root_volumes_have_identities_that_a_new_directory_of_the_same_name_has_not() {
    if !entered(
        "observe::root_volumes_have_identities_that_a_new_directory_of_the_same_name_has_not",
    ) {
        return;
    }
    for fs_type in ["ext4", "xfs", "btrfs"] {
        let disk = LoopDisk::new(fs_type);
        let volume = disk.folder("volumes/roles/eng dev/db#data");
        let look = || disk.facts(DiskType::Path).dirs.known().unwrap().clone();
        let first = look();
        let [dir] = first.as_slice() else { panic!() };
        assert_eq!(dir.kind, FileKind::Directory);
        assert_eq!(
            dir.identity.known().unwrap().filesystem,
            disk.facts(DiskType::Path)
                .filesystem
                .present
                .known()
                .unwrap()
                .filesystem
        );
        assert_eq!(
            dir.location.known().unwrap().path,
            "/volumes/roles/eng dev/db#data".into()
        );
        assert_eq!(look(), first);
        std::fs::remove_dir(&volume).unwrap();
        std::fs::create_dir(&volume).unwrap();
        assert_ne!(look()[0].identity, first[0].identity, "{fs_type}");
    }
}

#[test]
fn root_mounts_among_volumes_are_seen_and_not_entered() {
    if !entered("observe::root_mounts_among_volumes_are_seen_and_not_entered") {
        return;
    }
    let disk = LoopDisk::new("xfs");
    let volume = disk.folder("volumes/roles/r/a");
    let elsewhere = disk.folder("elsewhere/inside");
    let elsewhere = elsewhere.parent().unwrap();
    let role = disk.folder("volumes/roles/bound");
    // Binds of the same file system: the device number does not tell them.
    bind(elsewhere, &volume);
    bind(elsewhere, &role);
    let facts = disk.facts(DiskType::Path);
    let dirs: Vec<(&Raw, FileKind)> = facts
        .dirs
        .known()
        .unwrap()
        .iter()
        .map(|DirFacts { id_dir, kind, .. }| (id_dir, *kind))
        .collect();
    assert_eq!(dirs, [(&"a".into(), FileKind::Mount)]);
    assert_eq!(facts.strange.len(), 1);
    assert_eq!(
        (&facts.strange[0].path, facts.strange[0].kind),
        (&"volumes/roles/bound".into(), FileKind::Mount)
    );
    assert_eq!(
        disk.holders(DiskType::Path),
        [
            (HolderKind::MountPoint, "roles/bound".to_owned()),
            (HolderKind::MountPoint, "roles/r/a".to_owned()),
        ]
    );
    mount_tmpfs(&disk.root().join("volumes"));
    let facts = disk.facts(DiskType::Path);
    assert!(facts.dirs.why().is_some() && facts.trash.why().is_some());
    assert!(matches!(facts.mount, Known::Known(_)));
}

#[test]
fn root_copies_of_a_mount_disks_mount_are_no_use_and_binds_are() {
    if !entered("observe::root_copies_of_a_mount_disks_mount_are_no_use_and_binds_are") {
        return;
    }
    let disk = LoopDisk::new("ext4");
    let elsewhere = tempfile::tempdir().unwrap();
    // A service with a namespace of its own and the disk among its `ReadWritePaths=`, our own unit
    // likewise, and a service that has the host's tree bound below a folder.
    let _service = Script::unshared("mount --bind \"$1\" \"$1\"", &[&disk.root()]);
    assert_eq!(disk.holders(DiskType::Mount), []);
    let root = disk.root();
    let _ours = Bound::new(&root, &root);
    {
        let _monitor = Script::unshared("mount --rbind / \"$1\"", &[elsewhere.path()]);
        assert_eq!(disk.holders(DiskType::Mount), []);
    }
    let _task = Script::unshared(
        "mount --bind \"$1\" \"$2\"",
        &[&disk.root(), elsewhere.path()],
    );
    assert_eq!(
        disk.holders(DiskType::Mount),
        [(HolderKind::MountOf, String::new())]
    );
}

#[test]
fn root_files_on_a_btrfs_subvolume_are_placed() {
    if !entered("observe::root_files_on_a_btrfs_subvolume_are_placed") {
        return;
    }
    let disk = LoopDisk::new("btrfs");
    run(Command::new("btrfs")
        .args(["subvolume", "create"])
        .arg(disk.root().join("sub")));
    let volume = disk.folder("sub/volumes/roles/r/a");
    let at = tempfile::tempdir().unwrap();
    let _bound = Bound::new(&disk.root().join("sub"), at.path());
    let target = Target {
        location: location(&at.path().join("volumes")),
        own_mount: None,
        hidden: None,
    };
    assert_eq!(target.location.path, "/sub/volumes".into());
    let _script = Script::shell(
        "exec 3>\"$1/x\"; cp \"$(command -v sleep)\" \"$1/prog\"; \"$1/prog\" 1000 & \
         while ! grep -q prog /proc/$!/maps; do :; done",
        &[&volume],
    );
    let known = holders::observe(&Places::default(), &[target]);
    let kinds: Vec<HolderKind> = known
        .known()
        .unwrap_or_else(|| panic!("{known:?}"))
        .iter()
        .map(|holder| holder.kind)
        .collect();
    assert_eq!(kinds, [HolderKind::Mapping, HolderKind::OpenFile]);
}

/// Observes a work_dir and a PATH disk in a namespace where all processes are ours.
fn observe_all(work_dir: &Path, path_disk: &Raw) -> Facts {
    let request = Request {
        rules: DiskRules {
            work_dir: Raw::from(work_dir),
            root: RootRule {
                advertise: true,
                size: SizeRule::Reserve(Bytes(0)),
                role: Role::new("*"),
            },
            disks: vec![DiskRule {
                kind: DiskType::Path,
                paths: vec![path_disk.to_string()],
                labels: Vec::new(),
                models: Vec::new(),
                devices: Vec::new(),
                size: SizeRule::Reserve(Bytes(0)),
                role: Role::new("*"),
            }],
            discovery: DiscoveryRules {
                settle: Span::ZERO,
                min_size: Bytes(0),
                filesystems: Vec::new(),
                exclude: Vec::new(),
            },
        },
        policy: Policy {
            sweep_every: Span::seconds(1),
            grace: Span::ZERO,
            orphans: OrphanPolicy::Report,
            protect: Vec::new(),
            brake_percent: 100,
            brake_min: 5,
            recreate_vanished: false,
            retention: Span::ZERO,
            orphan_retention: Span::ZERO,
            require_agent: false,
            start_gate: false,
            pid_namespace: PidNamespace::Own,
            barrier: false,
            wipe: mesos_volumed::decide::facts::WipeMethod::UNLINK,
            mount_mode: None,
            trash: mesos_volumed::decide::facts::TrashPolicy::default(),
        },
        words: Words::default(),
        state_dir: Raw::from(work_dir).join("state"),
    };
    observe_facts(&Places::default(), &request, &|_latest| {
        AgentAnswer::NotConfigured
    })
    .unwrap()
}

#[test]
fn root_agents_are_found_and_what_they_see_is_compared() {
    if !entered("observe::root_agents_are_found_and_what_they_see_is_compared") {
        return;
    }
    let disk = LoopDisk::new("ext4");
    disk.folder("volumes/roles/r/a");
    let work_dir = tempfile::tempdir().unwrap();
    let view = || {
        let facts = observe_all(work_dir.path(), &disk.text());
        let agents = facts.agent.processes.known().unwrap().len();
        let path = facts
            .roots
            .iter()
            .find(|root| root.kind() == DiskType::Path)
            .unwrap();
        (agents, path.view.clone())
    };
    // The stand-in for an agent is told by its first argument.
    let agent = |before: &str| {
        format!(
            "{before}\nMESOS_WORK_DIR=\"$1\" bash -c 'exec -a mesos-agent sleep 1000' & \
             until [ \"$(tr '\\0' '\\n' < /proc/$!/cmdline | head -n 1)\" = mesos-agent ]; do :; done"
        )
    };
    assert_eq!(view(), (0, AgentView::NoAgent));
    {
        let _agent = Script::shell(&agent("true"), &[work_dir.path(), &disk.root()]);
        assert_eq!(view(), (1, AgentView::Same));
    }
    {
        let _agent = Script::unshared(&agent("true"), &[work_dir.path(), &disk.root()]);
        assert_eq!(view(), (1, AgentView::Same));
    }
    {
        let over = agent("mount -t tmpfs none \"$2/volumes\"");
        let _agent = Script::unshared(&over, &[work_dir.path(), &disk.root()]);
        let (agents, seen) = view();
        assert_eq!(agents, 1);
        assert!(
            matches!(&seen, AgentView::Other(what) if what.contains("/volumes, in its own mount namespace")),
            "{seen:?}"
        );
    }
    {
        let gone = agent("umount \"$2\"");
        let _agent = Script::unshared(&gone, &[work_dir.path(), &disk.root()]);
        assert!(matches!(view(), (1, AgentView::Other(_))), "{:?}", view());
    }
}
