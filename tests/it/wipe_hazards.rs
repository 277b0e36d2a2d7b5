//! The hazards of destroying a tree that a hostile root task wrote, on real file systems.
//!
//! Every test looks at a tree outside the volume before and after: not a byte of it may change.
//! `root_hazard_rows_that_are_not_shown_here` names what this kind of machine can't show.

#![expect(clippy::disallowed_methods, reason = "tests make trees of their own")]

mod churn;
mod flags;
mod formats;
mod limits;
mod mounts;
mod outside;
mod storage;
mod subvolumes;
mod usage;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{Control, Extent, LeftKind, Options, Progress, WipeReport, wipe};
use mesos_volumed::decide::facts::WipeMethod;
use mesos_volumed::sys::Resolver;

use crate::support::authorize::authorize;
use crate::support::disk::{Fs, LoopDisk};
use crate::support::trees::{describe, is_gone, plant};

const BOTH: [Resolver; 2] = [Resolver::Openat2, Resolver::Fdinfo];

const TREE: Options = Options {
    extent: Extent::Tree,
    method: WipeMethod::UNLINK,
};

/// A disk with a volume that goes and a tree beside it that stays.
struct Site {
    disk: LoopDisk,
    volume: PathBuf,
    outside: PathBuf,
    before: String,
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
        let before = describe(&outside);
        Self {
            disk,
            volume,
            outside,
            before,
        }
    }

    /// From now on this is what has to stay.
    fn look(&mut self) {
        self.before = describe(&self.outside);
    }

    #[track_caller]
    fn assert_untouched(&self) {
        similar_asserts::assert_eq!(self.before, describe(&self.outside));
    }

    fn open(&self, kernel: Kernel) -> VolumeDir<Kernel> {
        let root = kernel.open_root(&self.disk.path()).unwrap();
        let child = kernel.open_child(&root, b"volume").unwrap();
        let identity = kernel.identity(&child).unwrap();
        VolumeDir::open(&kernel, &root, &[b"volume"], &identity).unwrap()
    }

    /// As fast as it goes; on ext4 by several threads.
    fn wipe(&self) -> WipeReport {
        self.wipe_by(Kernel::new(), &fast(), &Progress::default())
    }

    fn wipe_by(&self, kernel: Kernel, control: &Control, progress: &Progress) -> WipeReport {
        let volume = self.open(kernel);
        let authorization = authorize(volume.identity());
        let report = wipe(&kernel, volume, &authorization, TREE, control, progress);
        // Whatever happened, complete means gone.
        assert_eq!(report.complete, is_gone(&self.volume), "{report:?}");
        report
    }

    /// Wipes and expects that everything goes.
    #[track_caller]
    fn wipe_whole(&self) -> WipeReport {
        let report = self.wipe();
        assert!(report.complete, "{:?}: {report:?}", self.disk.fs());
        self.assert_untouched();
        report
    }
}

/// As fast as it goes: on ext4 by several threads.
fn fast() -> Control {
    Control::new(0).with_threads(3)
}

/// The kinds that are left, each with its count and the first path.
fn left(report: &WipeReport) -> Vec<(LeftKind, u64, String)> {
    report
        .left
        .iter()
        .map(|left| (left.kind, left.count, left.paths[0].to_string()))
        .collect()
}

/// Does something in a thread that may hang; fails after a while instead.
fn within<T: Send + 'static>(limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(limit).expect("it hangs")
}

/// strace on this very process, until dropped.
struct Strace(Child);

impl Strace {
    /// With an injection, such as `openat2:delay_enter=1000`.
    fn inject(what: &str) -> Self {
        let mut child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("inject={what}")])
            .args(["-p", &std::process::id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        assert!(first.contains("attached"), "{first}");
        // What else it says must not fill the pipe.
        std::thread::spawn(move || said.for_each(drop));
        Self(child)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It detaches on SIGINT; on SIGKILL the kernel does it.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn chattr(flags: &str, path: &Path) {
    crate::support::disk::run("chattr", &[OsStr::new(flags), path.as_os_str()]);
}
