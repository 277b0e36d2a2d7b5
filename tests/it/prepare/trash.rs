//! A destroyed volume on a prepared MOUNT: into the trash behind the gate, a second look, the wipe.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::e2e::host::{Host, Parts, fill, is_gone, must, names, tree};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// A device that was prepared as the MOUNT disk of a host, until this is dropped: before the host.
pub(crate) struct PreparedDisk {
    device: String,
    root: PathBuf,
    mounts: PathBuf,
}

impl PreparedDisk {
    /// In the place of the host's plain one. Its agent has not been started.
    pub(crate) fn of(host: &Host) -> Self {
        host.mount_disk.unmount();
        let image = host.temp().join("prepared.img");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(40 << 20).unwrap();
        let device = super::bench::attach(&image, &[]);
        let made = Self {
            device: device.to_str().unwrap().to_owned(),
            root: host.root("MOUNT"),
            mounts: host.state_dir().join("mounts"),
        };
        made.prepare(host);
        made
    }

    fn prepare(&self, host: &Host) {
        let word = self.device.strip_prefix("/dev/").unwrap();
        let root = self.root.to_str().unwrap();
        let what = ["disk", "prepare", &self.device, "--as", "mount"];
        let how = ["--at", root, "--fs", "ext4", "--confirm", word];
        host.run(&[&what[..], &how].concat()).ends(0);
    }

    fn hidden(&self) -> PathBuf {
        self.mounts.join(&names(&self.mounts)[0])
    }

    fn trash(&self) -> PathBuf {
        self.hidden().join(".mesos-volumed/trash")
    }

    /// What is in its trash.
    pub(crate) fn entries(&self) -> Vec<String> {
        if std::fs::symlink_metadata(self.trash()).is_err() {
            return Vec::new();
        }
        names(&self.trash())
    }
}

impl Drop for PreparedDisk {
    fn drop(&mut self) {
        let hidden = std::fs::read_dir(&self.mounts).into_iter().flatten();
        let hidden = hidden.flatten().map(|entry| entry.path());
        for at in [self.root.clone()].into_iter().chain(hidden) {
            for (program, option) in [("umount", "-l"), ("chattr", "-i")] {
                let mut command = std::process::Command::new(program);
                drop(command.arg(option).arg(&at).output());
            }
        }
        let mut detach = std::process::Command::new("losetup");
        drop(detach.args(["--detach", &self.device]).output());
    }
}

/// A host whose MOUNT disk is a prepared one.
struct Prepared {
    disk: PreparedDisk,
    host: Host,
}

impl Prepared {
    fn new(settings: &'static str) -> Self {
        let host = Host::new(Parts {
            settings,
            ..Parts::default()
        });
        Self {
            disk: PreparedDisk::of(&host),
            host,
        }
    }

    fn root(&self) -> PathBuf {
        self.host.root("MOUNT")
    }

    fn hidden(&self) -> PathBuf {
        self.disk.hidden()
    }

    fn trash(&self) -> PathBuf {
        self.disk.trash()
    }

    fn entries(&self) -> Vec<String> {
        self.disk.entries()
    }

    /// Another volume on it; the reservation is still there.
    fn next(&self) {
        let name = format!("MOUNT:{}", self.root().display());
        let order = ["create", "r/next", "--disk", &name, "--size", "20"];
        self.host.agent.order(&order);
        fill(&self.root(), 10);
    }

    /// A volume with data, destroyed while its data stays, and the agent down.
    fn destroyed(&mut self) {
        self.host.agent.start();
        self.host.tenant("ROOT", "stays", 5);
        self.host.tenant("MOUNT", "goes", 40);
        self.host.sweep(0);
        self.host.destroy("goes");
        self.host.agent.stop();
    }
}

const GATED: &str = "[agent]\nstart_gate = true\n";

#[test]
fn root_a_destroy_goes_through_the_trash_of_the_hidden_side_and_is_wiped() {
    if !entered(
        "prepare::trash::root_a_destroy_goes_through_the_trash_of_the_hidden_side_and_is_wiped",
    ) {
        return;
    }
    let mut disk = Prepared::new(GATED);
    disk.destroyed();
    let run = disk.host.sweep(0);
    assert!(run.out.contains("move_out"), "{}", run.out);
    assert!(names(&disk.root()).is_empty());
    assert_eq!(disk.entries(), [""; 0]);
    assert!(std::fs::symlink_metadata(disk.host.state_dir().join("gate.json")).is_err());
    // Planning again changes nothing, and the next tenant has the disk.
    let run = disk.host.run(&["sweep", "--dry-run"]).ends(0);
    assert!(!run.out.contains("move"), "{}", run.out);
    disk.host.agent.start();
    disk.next();
    disk.host.sweep(0);
    assert!(names(&disk.root()).contains(&"data.bin".to_owned()));
    let refused = disk
        .host
        .run(&[
            "--output",
            "json",
            "disk",
            "release",
            disk.root().to_str().unwrap(),
        ])
        .ends(5);
    assert!(refused.out.contains("it holds r/next"), "{}", refused.out);
}

#[test]
fn root_what_is_moved_out_waits_for_its_retention_out_of_the_tenants_sight() {
    if !entered(
        "prepare::trash::root_what_is_moved_out_waits_for_its_retention_out_of_the_tenants_sight",
    ) {
        return;
    }
    let mut disk = Prepared::new("[agent]\nstart_gate = true\n[trash]\nretention = \"7d\"\n");
    disk.destroyed();
    // Flags that keep even root from moving something.
    let secret = disk.root().join("secret");
    must("chattr", &["+i", secret.to_str().unwrap()]);
    must("chattr", &["+a", disk.root().join("d0").to_str().unwrap()]);
    disk.host.sweep(0);
    assert!(names(&disk.root()).is_empty());
    let entries = disk.entries();
    assert_eq!(entries.len(), 1);
    let data = disk.trash().join(&entries[0]).join("data");
    assert!(names(&data).contains(&"secret".to_owned()));
    let list = disk.host.run(&["trash", "list"]).ends(0);
    assert!(list.out.contains("goes"), "{}", list.out);
    // The disk is the next tenant's meanwhile.
    disk.host.agent.start();
    disk.next();
    let before = tree(&disk.root());
    disk.host.run(&["trash", "purge", "--all"]).ends(0);
    assert_eq!(disk.entries(), [""; 0]);
    assert_eq!(tree(&disk.root()), before);
}

#[test]
fn root_without_a_barrier_nothing_is_moved() {
    if !entered("prepare::trash::root_without_a_barrier_nothing_is_moved") {
        return;
    }
    let mut disk = Prepared::new("");
    disk.destroyed();
    let before = tree(&disk.root());
    let run = disk.host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    disk.host.configure(GATED);
    disk.host.agent.start();
    let run = disk.host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    assert_eq!(tree(&disk.root()), before);
    assert_eq!(disk.entries(), [""; 0]);
}

#[test]
fn root_what_uses_the_disk_keeps_it_and_only_its_own_two_mounts_do_not() {
    if !entered(
        "prepare::trash::root_what_uses_the_disk_keeps_it_and_only_its_own_two_mounts_do_not",
    ) {
        return;
    }
    let mut disk = Prepared::new(GATED);
    disk.destroyed();
    let before = tree(&disk.root());
    let other = disk.host.temp().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = other.to_str().unwrap();
    let binds: [PathBuf; 3] = [disk.root(), disk.hidden(), disk.hidden().join("volume/d0")];
    for bound in binds {
        must("mount", &["--bind", bound.to_str().unwrap(), other]);
        let run = disk.host.sweep(5);
        assert!(run.out.contains("in_use_mount"), "{bound:?}: {}", run.out);
        must("umount", &[other]);
    }
    for open in [
        disk.root(),
        disk.hidden().join("volume"),
        disk.root().join("data.bin"),
    ] {
        let held = std::fs::File::open(&open).unwrap();
        let run = disk.host.sweep(5);
        assert!(run.out.contains("in_use_fd"), "{open:?}: {}", run.out);
        drop(held);
    }
    assert_eq!(tree(&disk.root()), before);
    assert_eq!(disk.entries(), [""; 0]);
    disk.host.sweep(0);
    assert!(names(&disk.root()).is_empty());
}

#[test]
fn root_a_hidden_side_that_is_not_seen_or_not_ours_keeps_everything() {
    if !entered("prepare::trash::root_a_hidden_side_that_is_not_seen_or_not_ours_keeps_everything")
    {
        return;
    }
    let mut disk = Prepared::new(GATED);
    disk.destroyed();
    let before = tree(&disk.root());
    let marker = disk.hidden().join(".mesos-volumed/marker.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let hidden = disk.hidden();
    let keeps = |why: &str| {
        let run = disk.host.sweep(5);
        assert!(run.out.contains(why), "{why}: {}", run.out);
        assert_eq!(tree(&disk.root()), before, "{why}");
    };
    std::fs::remove_file(&marker).unwrap();
    keeps("is missing");
    std::fs::write(
        &marker,
        text.replace("\"filesystem\":\"", "\"filesystem\":\"0"),
    )
    .unwrap();
    keeps("is of file system 0");
    std::fs::write(&marker, "{").unwrap();
    keeps("is damaged");
    std::fs::write(&marker, &text).unwrap();
    must("umount", &["-l", hidden.to_str().unwrap()]);
    keeps("is not mounted at");
    must("mount", &[&disk.disk.device, hidden.to_str().unwrap()]);
    disk.host.sweep(0);
    assert!(names(&disk.root()).is_empty());
}

/// What lies in the root and in the only entry's data, by name.
fn parts(disk: &Prepared) -> (Vec<String>, Vec<String>) {
    let entries = disk.entries();
    let data = entries
        .first()
        .map(|entry| names(&disk.trash().join(entry).join("data")))
        .unwrap_or_default();
    (names(&disk.root()), data)
}

/// Lays the disk out as a crash in the middle of the moves leaves it.
fn crashed_in_the_middle(disk: &Prepared) -> (Vec<String>, PathBuf) {
    let all = names(&disk.root());
    // A real entry, made by a real run with retention, then half of it back and the clock turned.
    disk.host.run(&["sweep"]).ends(0);
    let entry = disk.trash().join(&disk.entries()[0]);
    let manifest = entry.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"cleared\"", "\"prepared\"")).unwrap();
    for name in all.iter().take(all.len() / 2) {
        std::fs::rename(
            entry.join("data").join(name),
            disk.hidden().join("volume").join(name),
        )
        .unwrap();
    }
    let closed = format!(r#"{{"version":1,"roots":["{}"]}}"#, disk.root().display());
    std::fs::write(disk.host.state_dir().join("gate.json"), closed).unwrap();
    (all, entry)
}

const KEPT: &str = "[agent]\nstart_gate = true\n[trash]\nretention = \"7d\"\n";

#[test]
fn root_after_a_crash_in_the_middle_the_rest_follows_and_only_then_the_gate_opens() {
    if !entered(
        "prepare::trash::root_after_a_crash_in_the_middle_the_rest_follows_and_only_then_the_gate_opens",
    ) {
        return;
    }
    let mut disk = Prepared::new(KEPT);
    disk.destroyed();
    // The memory of the moment before the move: as a crash leaves it.
    let memory = disk.host.state_dir().join("memory.json");
    disk.host.run(&["sweep", "--dry-run"]).ends(0);
    let before = {
        let host = &disk.host;
        host.configure("[trash]\nretention = \"7d\"\n");
        host.sweep(5);
        let text = std::fs::read(&memory).unwrap();
        host.configure(KEPT);
        text
    };
    let (all, _) = crashed_in_the_middle(&disk);
    std::fs::write(&memory, before).unwrap();
    let (rest, moved) = parts(&disk);
    assert!(!rest.is_empty() && !moved.is_empty());
    // An agent that starts waits; one that runs all the same keeps everything where it is.
    let mut waits = disk.host.spawn(&["preflight", "--gate"]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(waits.try_wait().unwrap().is_none());
    disk.host.agent.start();
    disk.host.sweep(5);
    assert_eq!(parts(&disk), (rest, moved));
    assert!(std::fs::symlink_metadata(disk.host.state_dir().join("gate.json")).is_ok());
    disk.host.agent.stop();

    disk.host.sweep(0);
    let (rest, mut moved) = parts(&disk);
    moved.sort();
    assert_eq!((rest, moved), (Vec::new(), all));
    assert_eq!(disk.entries().len(), 1);
    wait_until("the gate opens", Duration::from_secs(70), || {
        waits.try_wait().unwrap().is_some()
    });
}

#[test]
fn root_what_is_half_moved_goes_back_when_the_volume_is_named_again() {
    if !entered("prepare::trash::root_what_is_half_moved_goes_back_when_the_volume_is_named_again")
    {
        return;
    }
    let mut disk = Prepared::new(KEPT);
    disk.host.agent.start();
    disk.host.tenant("ROOT", "stays", 5);
    disk.host.tenant("MOUNT", "goes", 40);
    disk.host.sweep(0);
    let meta = disk.host.root("ROOT").join("meta/resources");
    let named: Vec<(PathBuf, Vec<u8>)> = names(&meta)
        .iter()
        .map(|name| meta.join(name))
        .map(|file| (file.clone(), std::fs::read(&file).unwrap()))
        .collect();
    let before = contents(&disk.root());
    disk.host.destroy("goes");
    disk.host.agent.stop();
    crashed_in_the_middle(&disk);
    // The checkpoint is as it was before the destroy: the data is live.
    for (file, bytes) in named {
        std::fs::write(file, bytes).unwrap();
    }
    let run = disk.host.run(&["sweep"]);
    assert!(
        run.out.contains("put_back") || run.out.contains("put back"),
        "{}\n{}",
        run.out,
        run.err
    );
    assert_eq!(contents(&disk.root()), before);
    assert_eq!(disk.entries(), [""; 0]);
    assert!(std::fs::symlink_metadata(disk.host.state_dir().join("gate.json")).is_err());
}

/// Names and contents, without times.
fn contents(folder: &Path) -> String {
    tree(folder)
        .lines()
        .filter(|line| !line.starts_with(". "))
        .filter(|line| line.split(' ').count() == 3)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn root_a_disk_that_its_tenant_filled_to_the_last_byte_is_moved_out_all_the_same() {
    if !entered(
        "prepare::trash::root_a_disk_that_its_tenant_filled_to_the_last_byte_is_moved_out_all_the_same",
    ) {
        return;
    }
    let mut disk = Prepared::new(GATED);
    disk.host.agent.start();
    disk.host.tenant("ROOT", "stays", 5);
    disk.host.tenant("MOUNT", "goes", 5);
    disk.host.sweep(0);
    // The last block and the last inode.
    let mut file = std::fs::File::create(disk.root().join("fill")).unwrap();
    let block = vec![1_u8; 1 << 20];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    for number in 0.. {
        if std::fs::write(disk.root().join(format!("x{number}")), [1]).is_err()
            && std::fs::File::create(disk.root().join(format!("y{number}"))).is_err()
        {
            break;
        }
    }
    drop(file);
    disk.host.destroy("goes");
    disk.host.agent.stop();
    disk.host.sweep(0);
    assert!(names(&disk.root()).is_empty());
    assert_eq!(disk.entries(), [""; 0]);
    let reserve = disk.hidden().join(".mesos-volumed/reserve");
    assert_eq!(names(&reserve).len(), 8, "it is there for the next one");
}

#[test]
fn root_discovery_offers_the_root_and_tells_what_the_hidden_side_is() {
    if !entered("prepare::trash::root_discovery_offers_the_root_and_tells_what_the_hidden_side_is")
    {
        return;
    }
    let disk = Prepared::new(GATED);
    let found = disk
        .host
        .run(&["--output", "json", "discover"])
        .ends(0)
        .json();
    let row = |path: &Path| {
        found["disks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|disk| {
                disk["root"] == path.to_str().unwrap() || disk["path"] == path.to_str().unwrap()
            })
            .unwrap_or_else(|| panic!("{}: {found}", path.display()))
            .clone()
    };
    assert_eq!(row(&disk.root())["verdict"], "offered");
    let hidden = row(&disk.hidden());
    assert_eq!(hidden["verdict"], "rejected");
    assert!(hidden.to_string().contains("hidden_side"), "{hidden}");
    fill(&disk.root(), 1);
}

#[test]
fn root_a_disk_comes_and_goes_beside_the_running_daemon() {
    if !entered("prepare::trash::root_a_disk_comes_and_goes_beside_the_running_daemon") {
        return;
    }
    let prepared = Prepared::new(GATED);
    let (host, root, disk) = (&prepared.host, prepared.root(), &prepared.disk);
    let device = disk.device.as_str();
    let name = device.strip_prefix("/dev/").unwrap();
    let at = root.to_str().unwrap();
    let release = || host.run(&["--output", "json", "disk", "release", at]);
    // What is advertised is in the ledger.
    let file = host.temp().join("resources.json");
    let advertise = || {
        host.run(&["resources", "--write", file.to_str().unwrap()])
            .ends(0)
    };
    let known = || {
        let ledger = std::fs::read(host.state_dir().join("ledger.json")).unwrap();
        let ledger: serde_json::Value = serde_json::from_slice(&ledger).unwrap();
        let roots = ledger["roots"].as_array().unwrap();
        roots.iter().any(|entry| entry["disk"]["root"] == at)
    };
    fill(&root, 3);
    let daemon = host.daemon();
    advertise();
    assert!(known());
    let zero = [
        "wipe",
        "--device",
        device,
        "--confirm",
        name,
        "--mode",
        "zero_device",
    ];
    for round in 0..2 {
        // As long as somebody uses it neither is done, and the daemon has no part in that.
        let open = std::fs::File::open(&root).unwrap();
        let run = release().ends(5);
        assert!(run.out.contains("in_use"), "{}", run.out);
        drop(open);
        let run = host.run(&zero).ends(5);
        assert!(run.err.contains("is mounted at"), "{}", run.err);

        release().ends(0);
        assert!(!known(), "round {round}");
        assert!(is_gone(&disk.mounts));
        // The daemon looks on, and does not write it down again.
        daemon.two_passes();
        assert!(!known(), "round {round}");
        let run = host.run(&zero).ends(0);
        assert!(run.out.contains("wipe_device"), "{}", run.out);
        let bytes = std::fs::read(host.temp().join("prepared.img")).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "round {round}");

        disk.prepare(host);
        advertise();
        assert!(known(), "round {round}");
    }
    host.run(&["sweep"]).ends(0);
    daemon.stop();
}
