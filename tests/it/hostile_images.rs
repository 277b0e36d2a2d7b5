//! Disks whose file system somebody damaged, or wrote to do harm: nothing panics or hangs, and what lies
//! beside such a disk stays bit for bit what it is.
//!
//! This program mounts no file system but those that it makes itself (`disk prepare`, reformat); what an
//! operator mounts, the kernel judges. `MESOS_VOLUMED_IMAGES=N` tries N damages of each kind.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make, damage and mount images of their own"
)]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::e2e::host::{Host, Parts, is_gone, must, tree};
use crate::fuzz::targets::mixed;
use crate::own_namespace::entered;

/// Longer than any command here takes on a busy machine.
const HANGS: &str = "120";

/// A host with a destroyed volume, `goes`, and a held one, `keeps`, on a PATH disk that is not mounted
/// just now.
struct Bench {
    host: Host,
    image: PathBuf,
    /// The image as the tenants left it.
    whole: PathBuf,
    outside: PathBuf,
    /// What is beside the disk, as it was.
    before: String,
}

fn copy(from: &Path, to: &Path) {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    must("cp", &["--archive", "--sparse=always", from, to]);
}

impl Bench {
    /// Without checksums of metadata a damage gets past the kernel's first look.
    fn new(fs: &'static str, checksums: bool) -> Self {
        let mut host = Host::new(Parts {
            path: fs,
            settings: "[wipe]\nrate = 0\n",
            ..Parts::default()
        });
        let image = host.temp().join("path.img");
        if !checksums {
            host.path_disk.unmount();
            host.path_disk.check();
            must(
                "tune2fs",
                &["-O", "^metadata_csum", image.to_str().unwrap()],
            );
            host.path_disk.mount();
        }
        host.agent.start();
        host.tenant("ROOT", "stays", 5);
        host.tenant("PATH", "keeps", 10);
        host.tenant("PATH", "goes", 60);
        std::fs::create_dir(host.volume("PATH", "goes").join("evil-nam")).unwrap();
        host.sweep(0);
        host.destroy("goes");
        host.path_disk.unmount();
        let whole = host.temp().join("whole.img");
        copy(&image, &whole);
        copy(&host.state_dir(), &host.temp().join("state.whole"));
        let outside = host.temp().join("outside");
        std::fs::create_dir_all(outside.join("keeps/d0")).unwrap();
        std::fs::write(outside.join("keeps/d0/file"), "not yours\n").unwrap();
        let before = tree(&outside) + &tree(&host.volume("ROOT", "stays"));
        Self {
            host,
            image,
            whole,
            outside,
            before,
        }
    }

    /// Everything as the tenants left it; the disk is not mounted.
    fn again(&self) {
        copy(&self.whole, &self.image);
        std::fs::remove_dir_all(self.host.state_dir()).unwrap();
        copy(
            &self.host.temp().join("state.whole"),
            &self.host.state_dir(),
        );
    }

    /// Runs what looks at the disk and what deletes there; whether it could be mounted.
    fn survives(&self, what: &str) -> bool {
        let root = self.host.root("PATH");
        let (image, at) = (self.image.to_str().unwrap(), root.to_str().unwrap());
        let mounted = (0..20).any(|_| {
            let output = Command::new("timeout")
                .args(["--signal=KILL", HANGS, "mount"])
                .args(["-o", "loop,nodev,nosuid", image, at])
                .output()
                .unwrap();
            // Which loop device is free is asked and taken in two calls, which may race.
            let raced = String::from_utf8_lossy(&output.stderr).contains("loop device");
            if raced {
                std::thread::sleep(Duration::from_millis(100));
            }
            output.status.success() || !raced
        }) && is_mount_point(&root);
        for command in [
            &["sweep"][..],
            &["sweep"],
            &["volumes", "list", "--usage"],
            &["trash", "list"],
            &["discover"],
            &["doctor"],
        ] {
            let output = Command::new("timeout")
                .args(["--signal=KILL", HANGS, env!("CARGO_BIN_EXE_mesos-volumed")])
                .arg("--config")
                .arg(self.host.config())
                .args(command)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(
                code.is_some_and(|code| code <= 7) && !said.contains("panicked"),
                "{what}: {command:?} ends with {code:?} or {:?}:\n{said}",
                output.status.signal()
            );
        }
        let now = tree(&self.outside) + &tree(&self.host.volume("ROOT", "stays"));
        similar_asserts::assert_eq!(now, self.before, "{}", what);
        mounted
    }

    fn unmount(&self) {
        must("umount", &[self.host.root("PATH").to_str().unwrap()]);
    }

    /// What was done to copies is not the disk's: with the whole one it goes on as if nothing had been.
    fn ends_well(&self) {
        self.again();
        self.host.path_disk.mount();
        self.host.sweep(0);
        assert!(is_gone(&self.host.volume("PATH", "goes")));
        assert!(!is_gone(&self.host.volume("PATH", "keeps").join("d0/1")));
    }
}

fn is_mount_point(folder: &Path) -> bool {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines()
        .any(|line| line.split(' ').nth(4) == folder.to_str())
}

/// Places of sectors in the image that are in use and not file data.
fn metadata(image: &Path) -> Vec<u64> {
    let bytes = std::fs::read(image).unwrap();
    let used = |sector: &[u8]| {
        let first = sector[0];
        // All alike: nothing, or a tenant's data.
        sector.iter().any(|byte| *byte != first)
    };
    let places = bytes
        .chunks(512)
        .enumerate()
        .filter(|(_, sector)| used(sector));
    places
        .map(|(number, _)| u64::try_from(number).unwrap() * 512)
        .collect()
}

fn damaged(fs: &'static str, checksums: bool) {
    let bench = Bench::new(fs, checksums);
    let places = metadata(&bench.whole);
    let tries = std::env::var("MESOS_VOLUMED_IMAGES").map_or(5, |text| text.parse().unwrap());
    let mut mounted = 0;
    for seed in 0..tries {
        bench.again();
        let image = std::fs::File::options()
            .write(true)
            .open(&bench.image)
            .unwrap();
        for hit in 0..=mixed(seed, 0) % 24 {
            let draw = |index| mixed(seed, hit * 4 + index);
            let sector = usize::try_from(draw(1) >> 1).unwrap() % places.len();
            let at = places[sector] + draw(2) % 512;
            image.write_all_at(&[draw(3).to_le_bytes()[0]], at).unwrap();
        }
        drop(image);
        if bench.survives(&format!("{fs}, checksums {checksums}, seed {seed}")) {
            mounted += 1;
            bench.unmount();
        }
    }
    println!("{fs}, checksums {checksums}: {mounted} of {tries} damaged images could be mounted");
    bench.ends_well();
}

#[test]
fn root_a_damaged_ext4_neither_panics_nor_hangs_it_nor_costs_another_disk_a_byte() {
    if !entered(
        "hostile_images::root_a_damaged_ext4_neither_panics_nor_hangs_it_nor_costs_another_disk_a_byte",
    ) {
        return;
    }
    damaged("ext4", true);
    damaged("ext4", false);
}

#[test]
fn root_a_damaged_xfs_neither_panics_nor_hangs_it_nor_costs_another_disk_a_byte() {
    if !entered(
        "hostile_images::root_a_damaged_xfs_neither_panics_nor_hangs_it_nor_costs_another_disk_a_byte",
    ) {
        return;
    }
    damaged("xfs", true);
}

/// Changes the directory entry of this name wherever it stands in the image: its name, whose length
/// stays, or the byte at `at` before the name.
fn patch(image: &Path, name: &[u8], change: &dyn Fn(&mut [u8])) {
    let bytes = std::fs::read(image).unwrap();
    let file = std::fs::File::options().write(true).open(image).unwrap();
    let mut found = 0;
    for at in 8..bytes.len() - name.len() {
        if bytes[at..].starts_with(name) {
            // inode (4), length (2), length of the name, type, name
            let mut entry = bytes[at - 8..at + name.len()].to_vec();
            change(&mut entry);
            let at = u64::try_from(at - 8).unwrap();
            file.write_all_at(&entry, at).unwrap();
            found += 1;
        }
    }
    assert!(found > 0, "the entry is not in the image");
}

/// What is done to an image, and its name.
type Case<'a> = (&'a str, &'a dyn Fn());

fn debugfs(image: &Path, order: &str) {
    let said = must("debugfs", &["-w", "-R", order, image.to_str().unwrap()]);
    assert_eq!(said, "", "{order}");
}

#[test]
fn root_an_image_written_to_do_harm_leads_no_wipe_out_of_its_volume_or_its_disk() {
    if !entered(
        "hostile_images::root_an_image_written_to_do_harm_leads_no_wipe_out_of_its_volume_or_its_disk",
    ) {
        return;
    }
    let bench = Bench::new("ext4", false);
    let goes = "volumes/roles/r/goes";
    let evil: &[u8] = b"evil-nam";
    let image = bench.image.as_path();
    // A name with a slash in it, that leads to the volume of somebody else.
    let slash = || {
        patch(image, evil, &|entry| {
            entry[8..].copy_from_slice(b"../keeps");
        });
    };
    // A second `..` in the middle of a directory.
    let parent = || {
        patch(image, evil, &|entry| {
            entry[6] = 2;
            entry[8..10].copy_from_slice(b"..");
        });
    };
    // A directory that says it is a file, a link, and nothing known.
    let kind = |kind: u8| patch(image, evil, &|entry| entry[7] = kind);
    // An entry without a name, and one of an inode that is not there.
    let nameless = || patch(image, evil, &|entry| entry[6] = 0);
    let nowhere = || patch(image, evil, &|entry| entry[..4].copy_from_slice(&[0xff; 4]));
    // A directory that holds the volume it lies in; one that holds the disk's root.
    let cycle = |of: &str| debugfs(image, &format!("link {of} {goes}/d0/loop"));
    let cases: [Case<'_>; 9] = [
        ("a name with a slash", &slash),
        ("a second `..`", &parent),
        ("a directory called a file", &|| kind(1)),
        ("a directory called a link", &|| kind(7)),
        ("a directory of no known type", &|| kind(99)),
        ("an entry without a name", &nameless),
        ("an entry of no inode", &nowhere),
        ("a directory in itself", &|| cycle(goes)),
        ("the disk's root in a volume", &|| cycle("/")),
    ];
    for (what, harm) in cases {
        bench.again();
        let keeps = {
            bench.host.path_disk.mount();
            let keeps = tree(&bench.host.volume("PATH", "keeps"));
            bench.unmount();
            keeps
        };
        harm();
        assert!(bench.survives(what), "{what}: it could not be mounted");
        let now = tree(&bench.host.volume("PATH", "keeps"));
        similar_asserts::assert_eq!(now, keeps, "{}", what);
        bench.unmount();
    }
    bench.ends_well();
}
