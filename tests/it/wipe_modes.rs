//! What the modes of a wipe promise, looked at in the image of the disk: a pattern is planted, the
//! volume wiped, the disk unmounted, and every byte of the image searched.

#![expect(clippy::disallowed_methods, reason = "tests make trees of their own")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "test arithmetic"
)]

mod overwrite;
mod reformat;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{
    Control, Extent, Guarantee, LeftKind, Options, Progress, ShortOf, StopReason, WipeReport,
    promise, wipe,
};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};

use crate::own_namespace::entered;
use crate::support::authorize::authorize;
use crate::support::disk::{Fs, LoopDisk, sh};
use crate::support::stand_in::wait_until;
use crate::support::trees::{describe, is_gone, plant};

/// Half a sector of this is nowhere by chance.
const MAGIC: &[u8; 32] = b"<planted by a test of the wipe!>";

const MIB: usize = 1 << 20;

fn pattern(bytes: usize) -> Vec<u8> {
    MAGIC.iter().copied().cycle().take(bytes).collect()
}

/// Small and large files, nested, with holes, with space allocated ahead, of odd sizes.
fn plant_pattern(fs: Fs, at: &Path) {
    for (dir, count) in [("a", 40), ("a/b", 30), ("a/b/c", 20)] {
        std::fs::create_dir(at.join(dir)).unwrap();
        for i in 0..count {
            std::fs::write(at.join(dir).join(format!("f{i}")), pattern(100 + 700 * i)).unwrap();
        }
    }
    std::fs::write(at.join("large"), pattern(24 * MIB)).unwrap();
    std::fs::write(at.join("middle"), pattern(MIB + 1234)).unwrap();
    let sparse = File::create(at.join("sparse")).unwrap();
    sparse
        .write_all_at(&pattern(5000), 40 * MIB as u64)
        .unwrap();
    sparse
        .write_all_at(&pattern(300_000), 4000 * MIB as u64)
        .unwrap();
    if fs == Fs::Ext4 {
        // Zeroed in name only: the blocks hold the old data still. (xfs takes other blocks.)
        let zeroed = File::create(at.join("zeroed")).unwrap();
        zeroed.write_all_at(&pattern(MIB), 0).unwrap();
        zeroed.sync_all().unwrap();
        let zero = rustix::fs::FallocateFlags::ZERO_RANGE;
        rustix::fs::fallocate(&zeroed, zero, 0, MIB as u64).unwrap();
    }
    sh!("sync", "-f", at);
}

/// How often the pattern is in an image.
fn found(image: &Path) -> usize {
    let mut file = File::open(image).unwrap();
    let mut count = 0;
    let mut at = 0;
    // Holes hold nothing, and skipping them is quick.
    while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(data)).unwrap();
        file.seek(SeekFrom::Start(data)).unwrap();
        let mut bytes = vec![0; usize::try_from(end - data).unwrap()];
        file.read_exact(&mut bytes).unwrap();
        count += memmem(&bytes);
        at = end;
    }
    count
}

fn memmem(bytes: &[u8]) -> usize {
    // Files begin with a block, and blocks with the pattern.
    bytes
        .chunks_exact(MAGIC.len())
        .filter(|chunk| *chunk == MAGIC)
        .count()
}

const OVERWRITE: WipeMethod = WipeMethod {
    mode: WipeMode::Overwrite,
    ..WipeMethod::UNLINK
};

struct Site {
    disk: LoopDisk,
    volume: PathBuf,
    outside: PathBuf,
}

impl Site {
    fn new(fs: Fs) -> Self {
        Self::on(LoopDisk::new(fs, 400))
    }

    fn on(disk: LoopDisk) -> Self {
        let (volume, outside) = (disk.path().join("volume"), disk.path().join("outside"));
        std::fs::create_dir(&volume).unwrap();
        std::fs::create_dir(&outside).unwrap();
        plant(&outside, 3, 2);
        Self {
            disk,
            volume,
            outside,
        }
    }

    fn open(&self) -> VolumeDir<Kernel> {
        let kernel = Kernel::new();
        let root = kernel.open_root(&self.disk.path()).unwrap();
        let child = kernel.open_child(&root, b"volume").unwrap();
        let identity = kernel.identity(&child).unwrap();
        VolumeDir::open(&kernel, &root, &[b"volume"], &identity).unwrap()
    }

    fn wipe_by(&self, method: WipeMethod, control: &Control) -> WipeReport {
        let volume = self.open();
        let authorization = authorize(volume.identity());
        let options = Options {
            extent: Extent::Tree,
            method,
        };
        let progress = Progress::default();
        let report = wipe(
            &Kernel::new(),
            volume,
            &authorization,
            options,
            control,
            &progress,
        );
        assert_eq!(report.complete, is_gone(&self.volume), "{report:?}");
        report
    }

    /// Wipes all of it; nothing outside changes.
    #[track_caller]
    fn wipe(&self, method: WipeMethod) -> WipeReport {
        let before = describe(&self.outside);
        let report = self.wipe_by(method, &Control::new(0));
        assert!(report.complete, "{:?}: {report:?}", self.disk.fs());
        similar_asserts::assert_eq!(before, describe(&self.outside));
        report
    }

    fn promise(&self, method: WipeMethod) -> Result<(), String> {
        let kernel = Kernel::new();
        let dir = kernel.open_root(&self.volume).unwrap();
        promise(&kernel, &dir, method, &Control::new(0)).map_err(|broken| broken.to_string())
    }
}

#[test]
fn root_unlinked_data_is_still_there_and_overwritten_data_is_not() {
    if !entered("wipe_modes::root_unlinked_data_is_still_there_and_overwritten_data_is_not") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        for passes in [0, 1, 2] {
            let site = Site::new(fs);
            plant_pattern(fs, &site.volume);
            assert!(
                found(&site.disk.image()) > 100_000,
                "it must be found at all"
            );
            if passes == 0 {
                let report = site.wipe(WipeMethod::UNLINK);
                assert_eq!(report.proof.guarantee, Guarantee::Guaranteed);
                site.disk.unmount();
                assert!(found(&site.disk.image()) > 100_000, "{fs:?}");
                continue;
            }
            assert_eq!(site.promise(OVERWRITE), Ok(()));
            let report = site.wipe(WipeMethod {
                passes,
                ..OVERWRITE
            });
            let proof = &report.proof;
            assert_eq!(proof.guarantee, Guarantee::Guaranteed, "{fs:?} {proof:?}");
            let files = if fs == Fs::Ext4 { 94 } else { 93 };
            assert_eq!(proof.overwritten_files, files, "{fs:?}");
            assert!(proof.overwritten_bytes >= (25 * MIB) as u64 * u64::from(passes));
            assert!(
                proof.overwritten_bytes < (40 * MIB) as u64 * u64::from(passes),
                "no holes"
            );
            assert!(proof.read_back_bytes >= (25 * MIB) as u64, "{proof:?}");
            site.disk.unmount();
            assert_eq!(found(&site.disk.image()), 0, "{fs:?}");
        }
    }
}

#[test]
fn root_windows_that_a_second_thread_reads_back_are_all_read_back() {
    if !entered("wipe_modes::root_windows_that_a_second_thread_reads_back_are_all_read_back") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        // Three windows and a rest, of files that go through the page cache.
        const FILES: u64 = 600;
        let site = Site::new(fs);
        for i in 0..FILES {
            let dir = site.volume.join(format!("d{}", i % 7));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(format!("f{i}")), pattern(100 << 10)).unwrap();
        }
        sh!("sync", "-f", site.volume);
        let report = site.wipe(OVERWRITE);
        let proof = &report.proof;
        assert_eq!(proof.guarantee, Guarantee::Guaranteed, "{fs:?} {proof:?}");
        assert_eq!(proof.overwritten_files, FILES, "{fs:?}");
        assert_eq!(proof.overwritten_bytes, FILES * (100 << 10), "{fs:?}");
        assert_eq!(proof.read_back_bytes, proof.overwritten_bytes, "{fs:?}");
        site.disk.unmount();
        assert_eq!(found(&site.disk.image()), 0, "{fs:?}");
    }
}

/// Why files are not renamed before they are unlinked: it would promise what it does not do.
#[test]
fn root_a_rename_leaves_the_old_name_on_the_disk() {
    if !entered("wipe_modes::root_a_rename_leaves_the_old_name_on_the_disk") {
        return;
    }
    let name = "a name that tells what was in the file";
    for fs in Fs::ALL {
        let site = Site::new(fs);
        std::fs::write(site.volume.join(name), "x").unwrap();
        for other in ["before", "behind"] {
            std::fs::write(site.volume.join(other), "x").unwrap();
        }
        sh!("sync", "-f", site.volume);
        std::fs::rename(site.volume.join(name), site.volume.join("0")).unwrap();
        sh!("sync", "-f", site.volume);
        std::fs::remove_file(site.volume.join("0")).unwrap();
        site.disk.unmount();
        let image = std::fs::read(site.disk.image()).unwrap();
        let first = name.as_bytes()[0];
        let told = image
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == first)
            .any(|(at, _)| image[at..].starts_with(name.as_bytes()));
        assert!(
            told,
            "{fs:?}: a rename does overwrite names; then it is worth its time"
        );
    }
}

fn method(mode: WipeMode) -> WipeMethod {
    WipeMethod {
        mode,
        ..WipeMethod::UNLINK
    }
}

fn short(report: &WipeReport) -> Vec<(ShortOf, u64)> {
    report
        .proof
        .short
        .iter()
        .map(|short| (short.why, short.count))
        .collect()
}

/// What else is done to a site before it is wiped.
type Change<'a> = &'a dyn Fn(&Site);

#[test]
fn root_where_nothing_can_be_promised_that_is_said_and_strict_touches_nothing() {
    if !entered(
        "wipe_modes::root_where_nothing_can_be_promised_that_is_said_and_strict_touches_nothing",
    ) {
        return;
    }
    let reflink = |site: &Site| {
        let (from, to) = (site.volume.join("f"), site.outside.join("copy"));
        sh!("cp", "--reflink=always", from, to);
    };
    let nothing = |_: &Site| {};
    let hard_link = |site: &Site| {
        std::fs::hard_link(site.volume.join("f"), site.outside.join("other")).unwrap();
    };
    let inline = LoopDisk::with(Fs::Ext4, 64, &["-O", "inline_data", "-I", "256"], "rw");
    let journal = LoopDisk::with(Fs::Ext4, 64, &[], "data=journal");
    let compressed = LoopDisk::with(Fs::Btrfs, 200, &[], "compress=zstd");
    let ext4 = LoopDisk::new(Fs::Ext4, 64);
    let cases: [(LoopDisk, usize, Change<'_>, ShortOf); 6] = [
        (
            LoopDisk::new(Fs::Btrfs, 200),
            1 << 20,
            &nothing,
            ShortOf::CopyOnWrite,
        ),
        (compressed, 1 << 20, &nothing, ShortOf::CopyOnWrite),
        (
            LoopDisk::new(Fs::Xfs, 320),
            1 << 20,
            &reflink,
            ShortOf::SharedBlocks,
        ),
        (journal, 100_000, &nothing, ShortOf::JournaledData),
        (inline, 64, &nothing, ShortOf::InlineData),
        (ext4, 100_000, &hard_link, ShortOf::HardLink),
    ];
    for (disk, bytes, change, expected) in cases {
        let site = Site::on(disk);
        std::fs::write(site.volume.join("f"), pattern(bytes)).unwrap();
        std::fs::write(site.volume.join("empty"), "").unwrap();
        sh!("sync", "-f", site.volume);
        change(&site);
        sh!("sync", "-f", site.volume);
        let outside =
            |site: &Site| ["copy", "other"].map(|name| std::fs::read(site.outside.join(name)).ok());
        let (before, inside) = (outside(&site), describe(&site.volume));

        let refused = site.promise(OVERWRITE).unwrap_err();
        assert!(refused.contains(&expected.to_string()), "{refused}");
        similar_asserts::assert_eq!(inside, describe(&site.volume));

        // Asked for all the same, strictly, it stays where the promise can't be kept.
        let strict = WipeMethod {
            strict: true,
            ..OVERWRITE
        };
        if expected == ShortOf::HardLink {
            let report = site.wipe_by(strict, &Control::new(0));
            assert_eq!(report.left[0].kind, LeftKind::Promise, "{report:?}");
            assert_eq!(
                std::fs::read(site.volume.join("f")).unwrap(),
                pattern(bytes)
            );
        }

        let report = site.wipe_by(OVERWRITE, &Control::new(0));
        assert!(report.complete, "{report:?}");
        assert_eq!(report.proof.guarantee, Guarantee::BestEffort);
        assert_eq!(short(&report), [(expected, 1)], "{report:?}");
        assert_eq!(report.proof.short[0].paths, ["f".into()]);
        // What others have of it is what it was, to the byte.
        assert_eq!(outside(&site), before);
    }
}

#[test]
fn root_names_that_all_lie_inside_are_one_file_and_it_is_overwritten() {
    if !entered("wipe_modes::root_names_that_all_lie_inside_are_one_file_and_it_is_overwritten") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        std::fs::create_dir(site.volume.join("d")).unwrap();
        std::fs::write(site.volume.join("a"), pattern(MIB)).unwrap();
        std::fs::hard_link(site.volume.join("a"), site.volume.join("b")).unwrap();
        std::fs::hard_link(site.volume.join("a"), site.volume.join("d/c")).unwrap();
        sh!("sync", "-f", site.volume);
        let report = site.wipe(OVERWRITE);
        assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
        assert_eq!(report.proof.overwritten_files, 1);
        site.disk.unmount();
        assert_eq!(found(&site.disk.image()), 0, "{fs:?}");
    }
}

#[test]
fn root_hazard_fifos_sockets_and_devices_are_never_opened_by_an_overwrite() {
    if !entered(
        "wipe_modes::root_hazard_fifos_sockets_and_devices_are_never_opened_by_an_overwrite",
    ) {
        return;
    }
    // A live disk of somebody else, of which the volume has a node.
    let other = LoopDisk::new(Fs::Ext4, 64);
    std::fs::write(other.path().join("live"), pattern(MIB)).unwrap();
    sh!("sync", "-f", other.path());
    let before = describe(&other.path());
    for fs in Fs::ALL {
        let site = Site::new(fs);
        sh!("cp", "-a", other.device(), site.volume.join("device"));
        sh!("mkfifo", site.volume.join("fifo"));
        sh!("mknod", site.volume.join("null"), "c", "1", "3");
        let socket = std::os::unix::net::UnixListener::bind(site.volume.join("socket")).unwrap();
        std::os::unix::fs::symlink(other.path().join("live"), site.volume.join("link")).unwrap();
        std::fs::write(site.volume.join("file"), pattern(100)).unwrap();
        let begun = Instant::now();
        let report = site.wipe(OVERWRITE);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert_eq!(report.proof.overwritten_files, 1);
        drop(socket);
        similar_asserts::assert_eq!(before, describe(&other.path()));
    }
    other.unmount();
    assert!(found(&other.image()) >= MIB / MAGIC.len());
}

#[test]
fn root_flags_depth_and_names_keep_no_file_from_being_overwritten() {
    if !entered("wipe_modes::root_flags_depth_and_names_keep_no_file_from_being_overwritten") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        let mut deep = site.volume.clone();
        for level in 0..60 {
            deep.push(format!("d{level}"));
            std::fs::create_dir(&deep).unwrap();
            std::fs::write(deep.join("f"), pattern(3000)).unwrap();
        }
        for (name, flag) in [("immutable", "+i"), ("append", "+a")] {
            let path = site.volume.join(name);
            std::fs::write(&path, pattern(500_000)).unwrap();
            sh!("sync", "-f", site.volume);
            sh!("chattr", flag, path);
        }
        let odd = std::ffi::OsStr::from_bytes(b"\xff\n\x1b[2J");
        std::fs::write(site.volume.join(odd), pattern(5000)).unwrap();
        sh!("chmod", "000", site.volume.join(odd));
        sh!("sync", "-f", site.volume);
        let report = site.wipe(OVERWRITE);
        assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
        assert_eq!(report.proof.overwritten_files, 63);
        site.disk.unmount();
        assert_eq!(found(&site.disk.image()), 0, "{fs:?}");
    }
}

#[test]
fn root_hazard_a_file_that_grows_while_it_is_overwritten_is_given_up_and_said() {
    if !entered(
        "wipe_modes::root_hazard_a_file_that_grows_while_it_is_overwritten_is_given_up_and_said",
    ) {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        std::fs::write(site.volume.join("still"), pattern(70_000)).unwrap();
        let mut file = File::create(site.volume.join("grows")).unwrap();
        file.write_all(&pattern(MIB)).unwrap();
        sh!("sync", "-f", site.volume);
        let over = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Until the wipe is over; the disk may be full before.
                while !over.load(Ordering::Relaxed) && file.write(&pattern(8192)).is_ok() {
                    std::hint::spin_loop();
                }
            });
            // A busy machine may let it wait for longer than the wipe takes.
            let path = site.volume.join("grows");
            wait_until("it grows", Duration::from_secs(20), || {
                path.metadata().unwrap().len() > 2 * MIB as u64
            });
            let report = site.wipe_by(OVERWRITE, &Control::new(0));
            over.store(true, Ordering::Relaxed);
            report
        });
        assert!(report.complete, "{report:?}");
        println!("{fs:?}: {:?}", report.proof);
        if report.proof.guarantee == Guarantee::BestEffort {
            // The writer was there after the last look, and what was read back shows it.
            let why = report.proof.short[0].why;
            assert!(
                matches!(why, ShortOf::Changing | ShortOf::Differs),
                "{report:?}"
            );
            assert_eq!(report.proof.short[0].paths, ["grows".into()]);
        } else {
            // Quicker than the writer in the end, after it had been at it more than once.
            assert!(
                report.proof.overwritten_bytes > 2 * MIB as u64,
                "{report:?}"
            );
        }
    }
}

#[test]
fn root_an_overwrite_stops_at_once_and_another_one_ends_it() {
    if !entered("wipe_modes::root_an_overwrite_stops_at_once_and_another_one_ends_it") {
        return;
    }
    for rate in [0, 10_000] {
        let site = Site::on(LoopDisk::new(Fs::Ext4, 700));
        for i in 0..4 {
            std::fs::write(site.volume.join(format!("f{i}")), pattern(150 * MIB)).unwrap();
        }
        sh!("sync", "-f", site.volume);
        let control = Control::new(rate);
        let (report, took) = std::thread::scope(|scope| {
            let wipe = scope.spawn(|| site.wipe_by(OVERWRITE, &control));
            std::thread::sleep(Duration::from_millis(60));
            control.pause();
            std::thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            control.stop();
            (wipe.join().unwrap(), begun.elapsed())
        });
        assert_eq!(report.stopped, Some(StopReason::Cancelled), "{report:?}");
        println!("stopped after {took:?}");
        assert!(took < Duration::from_millis(100), "{took:?}");
        let report = site.wipe(OVERWRITE);
        assert_eq!(report.proof.guarantee, Guarantee::Guaranteed);
    }
}

#[test]
fn root_a_discard_is_looked_at_and_without_one_it_is_called_an_unlink() {
    if !entered("wipe_modes::root_a_discard_is_looked_at_and_without_one_it_is_called_an_unlink") {
        return;
    }
    for (fs, takes) in [
        (Fs::Ext4, true),
        (Fs::Xfs, true),
        (Fs::Btrfs, true),
        (Fs::Ext4, false),
    ] {
        let site = Site::on(if takes {
            LoopDisk::new(fs, 400)
        } else {
            LoopDisk::without_discard(fs, 200)
        });
        plant_pattern(fs, &site.volume);
        let discard = method(WipeMode::Discard);
        assert_eq!(site.promise(discard).is_ok(), takes);
        let report = site.wipe(discard);
        let proof = &report.proof;
        site.disk.unmount();
        let left = found(&site.disk.image());
        match (fs, takes) {
            (_, false) => {
                assert_eq!(proof.guarantee, Guarantee::Downgraded);
                assert_eq!(proof.instead, Some(WipeMode::Unlink));
                assert_eq!(short(&report), [(ShortOf::NoDiscard, 1)]);
                assert!(left > 100_000);
            }
            (Fs::Btrfs, true) => {
                // Its addresses are none of the device's: nobody can look.
                assert_eq!(proof.guarantee, Guarantee::BestEffort, "{proof:?}");
                assert!(proof.discarded_bytes > 0);
            }
            (Fs::Ext4 | Fs::Xfs, true) => {
                // xfs itself may use a freed block by then, and that is said.
                let reused = fs == Fs::Xfs && short(&report) == [(ShortOf::NotZero, 1)];
                let guaranteed = proof.guarantee == Guarantee::Guaranteed;
                assert!(guaranteed || reused, "{fs:?} {proof:?}");
                assert!(proof.discarded_bytes > 20 * MIB as u64);
                assert!(proof.read_back_bytes > 1_000_000);
                assert!(left == 0 || !guaranteed, "{fs:?}: {left} left, {proof:?}");
                assert!(left < 100, "{fs:?}: {left} left, {proof:?}");
            }
        }
    }
}

#[test]
fn root_a_discard_says_what_has_names_or_blocks_elsewhere_and_looks_only_where_data_lay() {
    if !entered(
        "wipe_modes::root_a_discard_says_what_has_names_or_blocks_elsewhere_and_looks_only_where_data_lay",
    ) {
        return;
    }
    let discard = method(WipeMode::Discard);
    let linked = Site::on(LoopDisk::new(Fs::Ext4, 64));
    for (name, other) in [("f", "outside/other"), ("twice", "volume/again")] {
        let path = linked.volume.join(name);
        std::fs::write(&path, pattern(100_000)).unwrap();
        std::fs::hard_link(&path, linked.disk.path().join(other)).unwrap();
    }
    sh!("sync", "-f", linked.volume);
    let report = linked.wipe_by(discard, &Control::new(0));
    assert_eq!(short(&report), [(ShortOf::HardLink, 1)], "{report:?}");
    let other = std::fs::read(linked.outside.join("other")).unwrap();
    assert!(report.complete && other == pattern(100_000));
    assert_eq!(report.proof.short[0].paths, ["f".into()]);
    assert_eq!(report.proof.guarantee, Guarantee::BestEffort);

    let shared = Site::on(LoopDisk::new(Fs::Xfs, 320));
    std::fs::write(shared.volume.join("f"), pattern(MIB)).unwrap();
    sh!("sync", "-f", shared.volume);
    let (from, to) = (shared.volume.join("f"), shared.outside.join("copy"));
    sh!("cp", "--reflink=always", from, to);
    let report = shared.wipe(discard);
    assert!(
        short(&report).contains(&(ShortOf::SharedBlocks, 1)),
        "{report:?}"
    );

    // Where nothing was removed nobody can hold it open.
    let empty = Site::on(LoopDisk::new(Fs::Ext4, 64));
    assert_eq!(empty.wipe(discard).still_open, None);

    // What was not written out yet has no place on the device.
    let fresh = Site::on(LoopDisk::new(Fs::Ext4, 64));
    std::fs::write(fresh.volume.join("f"), pattern(MIB)).unwrap();
    let report = fresh.wipe(discard);
    assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
}

/// A file system of which a listing does not say what is a directory.
#[test]
fn root_files_of_which_a_listing_tells_nothing_are_looked_through_and_overwritten() {
    if !entered(
        "wipe_modes::root_files_of_which_a_listing_tells_nothing_are_looked_through_and_overwritten",
    ) {
        return;
    }
    let mkfs = ["-O", "^filetype"];
    let site = Site::on(LoopDisk::with(Fs::Ext4, 64, &mkfs, "rw"));
    std::fs::create_dir(site.volume.join("d")).unwrap();
    for name in ["a", "d/b"] {
        std::fs::write(site.volume.join(name), pattern(100_000)).unwrap();
    }
    sh!("sync", "-f", site.volume);
    assert_eq!(site.promise(OVERWRITE), Ok(()));
    std::fs::hard_link(site.volume.join("d/b"), site.outside.join("other")).unwrap();
    let refused = site.promise(OVERWRITE).unwrap_err();
    assert!(refused.starts_with("d/b: "), "{refused}");
    std::fs::remove_file(site.outside.join("other")).unwrap();
    let report = site.wipe(OVERWRITE);
    assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
    assert_eq!(report.proof.overwritten_files, 2);
    site.disk.unmount();
    assert_eq!(found(&site.disk.image()), 0);
}

/// Empties a MOUNT disk, and fills its free space.
fn empty_and_fill(disk: &LoopDisk) -> WipeReport {
    let kernel = Kernel::new();
    let root = kernel.open_root(&disk.path()).unwrap();
    let identity = kernel.identity(&root).unwrap();
    let volume = VolumeDir::open(&kernel, &root, &[], &identity).unwrap();
    let options = Options {
        extent: Extent::Content,
        method: method(WipeMode::ZeroFree),
    };
    let (control, progress) = (Control::new(0), Progress::default());
    let authorization = authorize(&identity);
    wipe(
        &kernel,
        volume,
        &authorization,
        options,
        &control,
        &progress,
    )
}

#[test]
fn root_the_free_space_of_a_disk_on_which_something_stays_is_not_filled() {
    if !entered("wipe_modes::root_the_free_space_of_a_disk_on_which_something_stays_is_not_filled")
    {
        return;
    }
    let disk = LoopDisk::new(Fs::Ext4, 64);
    for name in ["inside", "goes"] {
        std::fs::write(disk.path().join(name), "x").unwrap();
    }
    sh!(
        "mount",
        "--bind",
        "/proc/version",
        disk.path().join("inside")
    );
    let report = empty_and_fill(&disk);
    assert_eq!(report.left[0].kind, LeftKind::Mount, "{report:?}");
    assert_eq!((report.files, report.proof.overwritten_bytes), (1, 0));
    disk.unmount_inside();
}

#[test]
fn root_filling_the_free_space_takes_also_what_was_deleted_long_ago() {
    if !entered("wipe_modes::root_filling_the_free_space_takes_also_what_was_deleted_long_ago") {
        return;
    }
    for (fs, options, mkfs) in [
        (Fs::Ext4, "rw", &["-b", "4096"][..]),
        (Fs::Ext4, "rw", &["-b", "1024"]),
        (Fs::Xfs, "rw", &[]),
    ] {
        let disk = LoopDisk::with(fs, 320, mkfs, options);
        plant_pattern(fs, &disk.path());
        std::fs::remove_file(disk.path().join("large")).unwrap();
        sh!("sync", "-f", disk.path());
        let kernel = Kernel::new();
        let root = kernel.open_root(&disk.path()).unwrap();
        let free = kernel.space(&root).unwrap().free_bytes;
        let name = disk.device().file_name().unwrap();
        let kept = Path::new("/sys/fs/ext4")
            .join(name)
            .join("reserved_clusters");
        let kept_before = std::fs::read(&kept).ok();
        assert_eq!(kept_before.is_some(), fs == Fs::Ext4);
        let report = empty_and_fill(&disk);
        assert!(report.complete, "{report:?}");
        // What ext4 keeps for its own needs is lifted for that time only.
        assert_eq!(std::fs::read(&kept).ok(), kept_before);
        // A file system may give space back behind the call.
        wait_until("it was given back", Duration::from_secs(10), || {
            kernel.space(&root).unwrap().free_bytes > free
        });
        drop(root);
        let proof = &report.proof;
        println!("{fs:?} {proof:?}");
        assert!(proof.read_back_bytes + (16 << 20) > free, "{proof:?}");
        disk.unmount();
        let left = found(&disk.image());
        if fs == Fs::Ext4 {
            assert_eq!(proof.guarantee, Guarantee::Guaranteed, "{proof:?}");
            assert_eq!(left, 0);
        } else {
            // Not all is gone, and that is said.
            assert_eq!(short(&report), [(ShortOf::KeptBack, 1)]);
        }
    }
}
