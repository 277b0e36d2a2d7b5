//! A small host in one file system: an agent's work_dir with volumes, `state_dir`, and things that
//! nobody may touch. It is made once, kept as an image, and put back before every run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesos_volumed::decide::facts::GateFile;
use mesos_volumed::decide::manifest::{HIDDEN_OURS, OURS, VOLUME};
use serde_json::json;

use crate::shell::{attach, give_up, must, run};

/// The file system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fs {
    /// `data=ordered`, as mounted by default.
    Ext4,
    /// `data=journal`.
    Ext4Journal,
    Xfs,
    Btrfs,
}

impl Fs {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Ext4Journal => "ext4-journal",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext4Journal => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Nothing is written by itself before the cut.
    const fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Btrfs => "rw,commit=300",
            Self::Ext4Journal => "rw,commit=300,data=journal",
            Self::Xfs => "rw",
        }
    }

    const fn megabytes(self) -> u64 {
        match self {
            Self::Ext4 | Self::Ext4Journal => 48,
            Self::Xfs => 320,
            Self::Btrfs => 192,
        }
    }
}

/// Where volumes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On the disk of the agent's work_dir.
    Root,
    /// On a disk of their own, of type PATH.
    Path,
    /// `d1` on a plain disk of type MOUNT, the others on ROOT.
    Mount,
    /// Likewise, but the disk is one that `disk prepare` made, with a hidden side.
    Hidden,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Path => "path",
            Self::Mount => "mount",
            Self::Hidden => "hidden",
        }
    }
}

/// The state that a run begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// There was no volume on the prepared disk yet.
    Fresh,
    /// `d1` and `d2` are held.
    Held,
    /// `d1` and `d2` were destroyed, and their data are there.
    Destroyed,
    /// The data of `d1` lie in the trash, and it is held again.
    NamedAgain,
}

impl Base {
    const fn file(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Held => "held",
            Self::Destroyed => "destroyed",
            Self::NamedAgain => "named-again",
        }
    }
}

/// Volumes that are held throughout.
pub(crate) const HELD: [&str; 2] = ["h1", "h2"];
/// Volumes that are destroyed in [`Base::Destroyed`].
pub(crate) const DESTROYED: [&str; 2] = ["d1", "d2"];
/// A directory that nobody names, seen once, in its place.
pub(crate) const ORPHAN: &str = "o1";
/// A directory that nobody named, in the trash.
pub(crate) const TRASHED: &str = "t1";

/// The host.
#[derive(Debug)]
pub(crate) struct World {
    folder: PathBuf,
    fs: Fs,
    layout: Layout,
    device: Option<PathBuf>,
}

impl Drop for World {
    /// A loop device outlives the namespace that it was attached in.
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let output = run("losetup", &["--detach".as_ref(), device.as_os_str()]);
            if !output.status.success() {
                eprintln!("{} is still attached: {output:?}", device.display());
            }
        }
    }
}

impl World {
    /// Makes the host in a folder of its own, which is in memory.
    pub(crate) fn make(folder: &Path, fs: Fs, layout: Layout) -> Self {
        let world = Self {
            folder: folder.join(layout.name()),
            fs,
            layout,
            device: None,
        };
        std::fs::create_dir_all(world.point()).unwrap();
        std::fs::write(world.config(), world.settings()).unwrap();
        world.make_image();
        for folder in ["work", "state", "out", "canary/deep"] {
            std::fs::create_dir_all(world.point().join(folder)).unwrap();
        }
        std::fs::write(world.canary().join("deep/file"), "not yours\n").unwrap();
        match layout {
            Layout::Root => world.populate(),
            Layout::Path => {
                world.make_side();
                world.populate();
            }
            Layout::Mount => {
                world.make_side();
                world.populate_mount();
            }
            Layout::Hidden => {
                world.prepare_side();
                world.populate_mount();
            }
        }
        world
    }

    /// A mounted file system with nothing in it.
    pub(crate) fn bare(folder: &Path, fs: Fs) -> Self {
        let world = Self {
            folder: folder.to_owned(),
            fs,
            layout: Layout::Root,
            device: None,
        };
        std::fs::create_dir_all(world.point()).unwrap();
        world.make_image();
        world
    }

    /// Where the disk beside that of the work_dir is mounted, as the agent names it.
    pub(crate) fn side(&self) -> Option<PathBuf> {
        match self.layout {
            Layout::Root => None,
            Layout::Path => Some(self.folder.join("path")),
            Layout::Mount | Layout::Hidden => Some(self.folder.join("disk1")),
        }
    }

    fn side_image(&self) -> PathBuf {
        self.folder.join("side")
    }

    /// The mount points of the file systems whose power is cut, each with its image: the one that is
    /// mounted in the other first.
    pub(crate) fn filesystems(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut all = Vec::new();
        if let Some(side) = self.side() {
            let point = match self.layout {
                Layout::Hidden => self.hidden(),
                Layout::Root | Layout::Path | Layout::Mount => side,
            };
            all.push((point, self.side_image()));
        }
        all.push((self.point(), self.image()));
        all
    }

    /// The hidden side of the prepared disk.
    fn hidden(&self) -> PathBuf {
        let folder = self.state().join("mounts");
        // Its name is the UUID. There is none once the disk was given back.
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        let one = entries.map(|entry| entry.unwrap().path()).next();
        one.unwrap_or_else(|| folder.join("none"))
    }

    /// The gate is closed: a MOUNT disk may be half emptied.
    pub(crate) fn is_gate_closed(&self) -> bool {
        self.state().join(GateFile::NAME).symlink_metadata().is_ok()
    }

    /// Of these volumes, whether this one takes a whole disk.
    pub(crate) fn is_on_mount(&self, id: &str) -> bool {
        matches!(self.layout, Layout::Mount | Layout::Hidden) && id == "d1"
    }

    pub(crate) fn canary(&self) -> PathBuf {
        self.point().join("canary")
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) const fn fs(&self) -> Fs {
        self.fs
    }

    /// Where the file system is mounted.
    pub(crate) fn point(&self) -> PathBuf {
        self.folder.join("m")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.point().join("work")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.point().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// A file for one run's notes.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn volume(&self, id: &str) -> PathBuf {
        match self.side() {
            Some(side) if self.layout == Layout::Path => side.join("volumes/roles/r").join(id),
            Some(side) if self.is_on_mount(id) => side,
            Some(_) | None => self.work().join("volumes/roles/r").join(id),
        }
    }

    /// Where our own folder is on the disk under test.
    pub(crate) fn ours(&self) -> PathBuf {
        match self.layout {
            // A plain MOUNT has no trash of its own.
            Layout::Root | Layout::Mount => self.work().join(OURS),
            Layout::Path => self.folder.join("path").join(OURS),
            Layout::Hidden => self.hidden().join(HIDDEN_OURS),
        }
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.ours().join("trash")
    }

    /// The name of the entry that holds this volume.
    pub(crate) fn entry_of(&self, id: &str) -> String {
        let id = format!("\"{id}\"");
        let entries = std::fs::read_dir(self.trash()).unwrap();
        let found = entries.map(|entry| entry.unwrap().path()).find(|entry| {
            std::fs::read_to_string(entry.join("manifest.json"))
                .is_ok_and(|text| text.contains(&id))
        });
        let Some(found) = found else {
            give_up("there is no such entry");
        };
        found.file_name().unwrap().to_str().unwrap().to_owned()
    }

    pub(crate) fn resources(&self) -> PathBuf {
        self.point().join("out/resources.json")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn settings(&self) -> String {
        let more = match self.layout {
            Layout::Path => format!(
                "[[disks]]\ntype = \"PATH\"\npaths = [\"{}/path\"]\nreserve = \"4MiB\"\n",
                self.folder.display()
            ),
            Layout::Root | Layout::Mount | Layout::Hidden => String::new(),
        };
        format!(
            r#"
            [agent]
            start_gate = {gate}
            work_dir = "{work}"
            url = ""
            pid_namespace = "own"
            [root]
            reserve = "4MiB"
            [discovery]
            settle = "0s"
            min_size = "1MiB"
            [sweep]
            every = "1s"
            settle = "0s"
            grace = "0s"
            orphans = "quarantine"
            [daemon]
            state_dir = "{state}"
            listen = ""
            socket = "{folder}/api.sock"
            socket_group = "root"
            [[disks]]
            type = "MOUNT"
            paths = ["{folder}/disk*"]
            reserve = "1MiB"
            {more}"#,
            gate = matches!(self.layout, Layout::Mount | Layout::Hidden),
            folder = self.folder.display(),
            work = self.work().display(),
            state = self.state().display(),
        )
    }

    /// What the agent offers.
    fn offer(&self) -> serde_json::Value {
        let mut offer = json!([{"name": "disk", "type": "SCALAR", "scalar": {"value": 30}}]);
        let (kind, size) = match self.layout {
            Layout::Path => ("path", "30"),
            Layout::Root | Layout::Mount | Layout::Hidden => ("mount", MOUNT_SIZE),
        };
        if let (Some(side), Some(all)) = (self.side(), offer.as_array_mut()) {
            let size: u64 = size.parse().unwrap();
            let source = json!({"type": kind.to_uppercase(), kind: {"root": side}});
            all.push(json!({
                "name": "disk", "type": "SCALAR", "scalar": {"value": size},
                "disk": {"source": source},
            }));
        }
        offer
    }

    /// The program with its configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Vec<String> {
        let mut command = vec![
            program().to_str().unwrap().to_owned(),
            "--config".to_owned(),
            self.config().to_str().unwrap().to_owned(),
        ];
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        command
    }

    fn make_image(&self) {
        self.make_filesystem(&self.image());
        self.mount();
    }

    fn make_side(&self) {
        self.make_filesystem(&self.side_image());
        if let Err(said) = self.try_mount_side() {
            give_up(&said);
        }
    }

    /// As an operator makes it.
    fn prepare_side(&self) {
        let image = self.side_image();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(self.fs.megabytes() << 20).unwrap();
        let device = attach(&image);
        let side = self.folder.join("disk1");
        let confirm = device.file_name().unwrap().to_str().unwrap();
        let (device, side) = (device.to_str().unwrap(), side.to_str().unwrap());
        let args = ["disk", "prepare", device, "--as", "mount", "--at", side];
        let more = ["--fs", self.fs.kind(), "--confirm", confirm];
        let command = self.command(&[&args[..], &more].concat());
        must(&command[0], &command[1..]);
        // Its mounts keep it.
        must("losetup", &["--detach", device]);
    }

    fn make_filesystem(&self, image: &Path) {
        let file = std::fs::File::create(image).unwrap();
        file.set_len(self.fs.megabytes() << 20).unwrap();
        let text = image.to_str().unwrap();
        match self.fs {
            Fs::Ext4 | Fs::Ext4Journal => must(
                "mkfs.ext4",
                &["-qF", "-m0", "-N", "1024", "-J", "size=4", text],
            ),
            Fs::Xfs => must("mkfs.xfs", &["-qf", text]),
            Fs::Btrfs => must("mkfs.btrfs", &["-qf", "-m", "single", text]),
        };
    }

    /// Mounts the image as it is.
    pub(crate) fn mount(&self) {
        if let Err(said) = self.try_mount() {
            give_up(&said);
        }
    }

    /// As [`World::mount`]; what was said where it does not work.
    pub(crate) fn try_mount(&self) -> Result<(), String> {
        self.try_mount_at(&self.image(), &self.point())
    }

    /// Mounts the disk beside it, as the host does at its start.
    pub(crate) fn try_mount_side(&self) -> Result<(), String> {
        let Some(side) = self.side() else {
            return Ok(());
        };
        if side.symlink_metadata().is_err() {
            std::fs::create_dir(&side).unwrap();
        }
        if self.layout != Layout::Hidden {
            return self.try_mount_at(&self.side_image(), &side);
        }
        let hidden = self.hidden();
        self.try_mount_at(&self.side_image(), &hidden)?;
        must(
            "mount",
            &[
                "--bind".as_ref(),
                hidden.join(VOLUME).as_os_str(),
                side.as_os_str(),
            ],
        );
        Ok(())
    }

    fn try_mount_at(&self, image: &Path, point: &Path) -> Result<(), String> {
        let device = attach(image);
        let mounted = self.try_mount_device(&device, point);
        // The loop device is gone with the unmount, whatever happens to us; at once where it is not
        // mounted.
        must("losetup", &["--detach".as_ref(), device.as_os_str()]);
        mounted
    }

    /// Mounts a device as the file system under test.
    pub(crate) fn try_mount_device(&self, device: &Path, point: &Path) -> Result<(), String> {
        let (device, point) = (device.to_str().unwrap(), point.to_str().unwrap());
        let options = self.fs.options();
        let output = run(
            "mount",
            &["-t", self.fs.kind(), "-o", options, device, point],
        );
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Unmounts all but the file system of the work_dir: the disk beside it, and what a command
    /// mounted below its folder.
    pub(crate) fn unmount_side(&self) {
        for point in mounts_below(&self.folder).iter().rev() {
            if Path::new(point) != self.point() {
                must("umount", &["--no-canonicalize", point]);
            }
        }
    }

    /// Unmounts it, and what a command mounted below its folder.
    pub(crate) fn unmount(&self) {
        self.unmount_side();
        // The bare folder below a prepared disk's mount.
        if let Some(disk) = self.disk()
            && disk.symlink_metadata().is_ok()
        {
            must("chattr", &["-i".as_ref(), disk.as_os_str()]);
            std::fs::remove_dir(&disk).unwrap();
        }
        must("umount", &[self.point()]);
    }

    /// Removes all that it made, so that the next one's images have their room.
    pub(crate) fn remove(self) {
        if self.layout == Layout::Hidden {
            // The bare folder below its mount.
            let side = self.folder.join("disk1");
            run("chattr", &["-i".as_ref(), side.as_os_str()]);
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// Where `disk prepare` is to put its disk.
    pub(crate) fn disk(&self) -> Option<PathBuf> {
        self.device.as_ref().map(|_| self.folder.join("disk0"))
    }

    /// The bare device for it.
    pub(crate) fn device(&self) -> Option<&Path> {
        self.device.as_deref()
    }

    /// Attaches a device for `disk prepare`; it goes with the last user once it is let go.
    pub(crate) fn with_device(mut self) -> Self {
        let image = self.folder.join("device");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        self.device = Some(attach(&image));
        self
    }

    /// Lets the device go.
    pub(crate) fn without_device(mut self) -> Self {
        if let Some(device) = self.device.take() {
            must("losetup", &["--detach", device.to_str().unwrap()]);
        }
        self
    }

    /// Makes it bare again.
    fn blank(&self) {
        if let Some(device) = &self.device {
            must("blkdiscard", &["--force".as_ref(), device.as_os_str()]);
        }
    }

    /// Puts the host back and mounts it.
    pub(crate) fn restore(&self, base: Base) {
        self.blank();
        for (image, kept) in self.kept(base) {
            copy(&kept, &image);
        }
        self.mount();
        if let Err(said) = self.try_mount_side() {
            give_up(&said);
        }
    }

    /// The images of its file systems.
    pub(crate) fn images(&self) -> Vec<PathBuf> {
        let side = self.side().map(|_| self.side_image());
        side.into_iter().chain([self.image()]).collect()
    }

    /// Each image, and what is kept of it.
    fn kept(&self, base: Base) -> Vec<(PathBuf, PathBuf)> {
        self.images()
            .into_iter()
            .map(|image| {
                let kept = image.with_extension(base.file());
                (image, kept)
            })
            .collect()
    }

    /// Keeps the present state, while the agent goes on: frozen, it is whole in the image.
    fn keep(&self, base: Base) {
        for (point, image) in self.filesystems() {
            must("fsfreeze", &["--freeze".as_ref(), point.as_os_str()]);
            copy(&image, &image.with_extension(base.file()));
            must("fsfreeze", &["--unfreeze".as_ref(), point.as_os_str()]);
        }
    }

    /// A life that ends in each of the bases.
    fn populate(&self) {
        std::fs::write(
            self.resources(),
            "[\n  {\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":3}}\n]\n",
        )
        .unwrap();
        let agent = Agent::start(self);
        let disk = match self.side() {
            Some(side) => format!("PATH:{}", side.display()),
            None => "ROOT".to_owned(),
        };
        for id in HELD.into_iter().chain(DESTROYED) {
            agent.tenant(&disk, id, "2");
            self.fill(id);
        }
        // Where even root must first take a flag away.
        must(
            "chattr",
            &["+i".as_ref(), self.volume("d1").join("d/a").as_os_str()],
        );
        self.sweep();
        self.fill(TRASHED);
        self.sweep();
        self.sweep();
        if self.volume(TRASHED).symlink_metadata().is_ok() {
            give_up("an orphan was not moved into the trash");
        }
        self.fill(ORPHAN);
        self.sweep();
        self.keep(Base::Held);
        for id in DESTROYED {
            agent.order(&["destroy", &format!("r/{id}"), "--keep-data"]);
        }
        self.keep(Base::Destroyed);
        // `moved`, and then named again.
        agent.order(&["acknowledge"]);
        self.move_aside();
        agent.order(&["create", "r/d1", "--disk", &disk, "--size", "2"]);
        std::fs::remove_dir(self.volume("d1")).unwrap();
        self.keep(Base::NamedAgain);
        drop(agent);
        self.unmount();
    }

    /// A life of `d1` on a disk of its own.
    fn populate_mount(&self) {
        let Some(side) = self.side() else {
            return;
        };
        let agent = Agent::start(self);
        for id in HELD {
            agent.tenant("ROOT", id, "2");
            self.fill(id);
        }
        self.sweep();
        self.keep(Base::Fresh);
        agent.tenant(&format!("MOUNT:{}", side.display()), "d1", MOUNT_SIZE);
        self.fill("d1");
        must(
            "chattr",
            &["+i".as_ref(), self.volume("d1").join("d/a").as_os_str()],
        );
        self.sweep();
        self.keep(Base::Held);
        agent.order(&["destroy", "r/d1", "--keep-data"]);
        self.keep(Base::Destroyed);
        drop(agent);
        self.unmount();
    }

    /// A quarantine of `d1` that was stopped once it was `moved`; `d2` waits in the trash.
    fn move_aside(&self) {
        let kept = format!("{}\n[trash]\nretention = \"7d\"\n", self.settings());
        std::fs::write(self.config(), kept).unwrap();
        self.sweep();
        std::fs::write(self.config(), self.settings()).unwrap();
        let mut moved = 0;
        for entry in std::fs::read_dir(self.trash()).unwrap() {
            let path = entry.unwrap().path().join("manifest.json");
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("\"d1\"") {
                std::fs::write(&path, text.replace("\"cleared\"", "\"moved\"")).unwrap();
                moved += 1;
            }
        }
        if moved != 1 {
            give_up("d1 is not in the trash");
        }
    }

    fn sweep(&self) {
        let command = self.command(&["sweep"]);
        let output = run(&command[0], &command[1..]);
        if output.status.code().is_none_or(|code| code == 1) {
            give_up(&format!("sweep: {output:?}"));
        }
    }

    /// A little of everything in a volume.
    fn fill(&self, id: &str) {
        let volume = self.volume(id);
        std::fs::create_dir_all(volume.join("d")).unwrap();
        std::fs::write(volume.join("d/a"), format!("{id} a\n")).unwrap();
        std::fs::write(volume.join("b"), id.repeat(3000)).unwrap();
        std::fs::hard_link(volume.join("b"), volume.join("d/again")).unwrap();
        symlink(self.point().join("canary"), volume.join("out")).unwrap();
    }
}

/// Mount points strictly below a folder, in the order of the mount table.
pub(crate) fn mounts_below(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let prefix = format!("{}/", folder.display());
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|mounted| mounted.starts_with(&prefix))
        .map(|mounted| mounted.trim_end_matches("//deleted").to_owned())
        .collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    must(
        "cp",
        &["--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()],
    );
}

fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().to_owned()
}

/// The program under test, of the same build.
pub(crate) fn program() -> PathBuf {
    beside().parent().unwrap().join("mesos-volumed")
}

/// The stand-in agent (tests/double), for as long as the host is made.
struct Agent {
    child: Child,
    socket: PathBuf,
}

/// What a tenant takes of a MOUNT disk, in megabytes: all that is offered of it.
const MOUNT_SIZE: &str = "20";

impl Agent {
    fn start(world: &World) -> Self {
        use std::os::unix::process::CommandExt as _;
        let socket = world.scratch("agent.sock");
        let child = Command::new(beside().join("stand-in-agent"))
            .arg0("mesos-agent")
            .arg(format!("--work_dir={}", world.work().display()))
            .arg(format!("--resources={}", world.offer()))
            .arg("--port=0")
            .arg(format!("--control={}", socket.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { child, socket };
        for _ in 0..500 {
            if agent.ask(&["show"]) {
                return agent;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        give_up("the stand-in agent takes no orders");
    }

    fn ask(&self, order: &[&str]) -> bool {
        let mut args = vec!["--control", self.socket.to_str().unwrap()];
        args.extend(order);
        let program = beside().join("stand-in-agent");
        run(program.to_str().unwrap(), &args).status.success()
    }

    /// Reserves and creates.
    fn tenant(&self, disk: &str, id: &str, size: &str) {
        let on = ["--disk", disk, "--size", size];
        self.order(&[&["reserve", "r"][..], &on].concat());
        self.order(&[&["create", &format!("r/{id}")][..], &on].concat());
    }

    fn order(&self, order: &[&str]) {
        if !self.ask(order) {
            give_up(&format!("the stand-in agent refused {order:?}"));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
