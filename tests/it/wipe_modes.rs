//! What the modes of a wipe promise, looked at in the image of the disk: a pattern is planted, the
//! volume wiped, the disk unmounted, and every byte of the image searched.

#![expect(clippy::disallowed_methods, reason = "tests make trees of their own")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "test arithmetic"
)]

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{
    Control, Extent, Guarantee, Options, Progress, WipeReport, promise, wipe,
};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};

use crate::own_namespace::entered;
use crate::support::authorize::authorize;
use crate::support::disk::{Fs, LoopDisk, sh};
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
    // Planted data begins at multiples of its length within each file, and so on the disk.
    bytes
        .windows(MAGIC.len())
        .step_by(4)
        .filter(|window| *window == MAGIC)
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
