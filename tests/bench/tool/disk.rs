//! File systems on loop devices with O_DIRECT, so that the machine's page cache holds no second copy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A mounted file system; unmounted when dropped, and its image removed.
pub(crate) struct Disk {
    pub(crate) fs: &'static str,
    options: &'static str,
    image: PathBuf,
    pub(crate) point: PathBuf,
}

pub(crate) fn sh(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        super::panic_with(&format!("{program} {}: {said}", args.join(" ")));
    }
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Disk {
    pub(crate) fn new(folder: &Path, fs: &'static str, gib: u64, options: &'static str) -> Self {
        let image = folder.join(format!("{fs}.image"));
        let point = folder.join(fs);
        std::fs::File::create(&image)
            .unwrap()
            .set_len(gib << 30)
            .unwrap();
        std::fs::create_dir_all(&point).unwrap();
        let text = image.to_str().unwrap();
        match fs {
            // Lazy initialisation would go on while we measure; inodes for the largest workload.
            "ext4" => sh(
                "mkfs.ext4",
                &[
                    "-qF",
                    "-i",
                    "8192",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0",
                    text,
                ],
            ),
            "xfs" => sh("mkfs.xfs", &["-qf", text]),
            _ => sh("mkfs.btrfs", &["-qf", text]),
        };
        let made = Self {
            fs,
            options,
            image,
            point,
        };
        made.mount();
        made
    }

    fn mount(&self) {
        let image = self.image.to_str().unwrap();
        let attach = ["--find", "--show", "--direct-io=on", image];
        let mut tries = 0;
        let device = loop {
            let output = Command::new("losetup").args(attach).output().unwrap();
            if output.status.success() {
                break String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            tries += 1;
            if tries > 50 {
                super::panic_with("no loop device is free");
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let mut mount = Command::new("mount");
        mount.args(["-t", self.fs, "-o", self.options, &device]);
        let mounted = mount.arg(&self.point).output().unwrap();
        // Gone with the unmount, whatever happens to us; at once where it is not mounted.
        sh("losetup", &["--detach", &device]);
        if !mounted.status.success() {
            let said = String::from_utf8_lossy(&mounted.stderr);
            super::panic_with(&format!("{mount:?}: {said}"));
        }
    }

    /// Nothing of it is in memory afterwards.
    pub(crate) fn cool(&self) {
        sh("umount", &[self.point.to_str().unwrap()]);
        self.mount();
    }

    pub(crate) fn sync(&self) {
        let dir = std::fs::File::open(&self.point).unwrap();
        rustix::fs::syncfs(dir).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        sh("umount", &["--lazy", self.point.to_str().unwrap()]);
        std::fs::remove_file(&self.image).unwrap();
    }
}
