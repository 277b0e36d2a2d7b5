//! Real file systems on loop devices.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make, mount and unmount file systems by the system's own programs"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A file system to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fs {
    Ext4,
    Xfs,
    Btrfs,
}

impl Fs {
    pub(crate) const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
        }
    }
}

/// Runs a program; says all about it where it fails.
pub(crate) fn run(program: &str, args: &[&OsStr]) -> Output {
    let output = try_run(program, args);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a program that may fail.
pub(crate) fn try_run(program: &str, args: &[&OsStr]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// [`run`] with arguments of text and paths mixed: `sh!("mount", "--bind", &from, &to)`.
macro_rules! sh {
    ($program:expr $(, $arg:expr)* $(,)?) => {
        $crate::support::disk::run($program, &[$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*])
    };
}
pub(crate) use sh;

/// A file system on a loop device, mounted in a temporary folder. When it is dropped, everything
/// below is unmounted, and the loop device is gone with the last mount, also when the test program
/// is killed and its mount namespace ends.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    fs: Fs,
    device: PathBuf,
    image: PathBuf,
    folder: tempfile::TempDir,
}

impl LoopDisk {
    /// So many MiB (xfs wants 320 at least); the image is sparse.
    pub(crate) fn new(fs: Fs, mib: u64) -> Self {
        Self::with(fs, mib, &[], "rw")
    }

    /// With arguments for mkfs and mount options.
    pub(crate) fn with(fs: Fs, mib: u64, mkfs: &[&str], options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        Self::made(folder, image, fs, mib, mkfs, options)
    }

    /// One whose device takes no discard: what holds its image can't have holes punched.
    pub(crate) fn without_discard(fs: Fs, mib: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("memory");
        std::fs::create_dir(&memory).unwrap();
        sh!("mount", "-t", "ramfs", "ramfs", memory);
        let image = memory.join("image");
        Self::made(folder, image, fs, mib, &[], "rw")
    }

    fn made(
        folder: tempfile::TempDir,
        image: PathBuf,
        fs: Fs,
        mib: u64,
        mkfs: &[&str],
        options: &str,
    ) -> Self {
        let point = folder.path().join("mnt");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib.checked_mul(1 << 20).unwrap()).unwrap();
        std::fs::create_dir(&point).unwrap();
        let (program, fixed) = fs.mkfs();
        let mut args: Vec<&OsStr> = fixed.iter().chain(mkfs).map(OsStr::new).collect();
        args.push(image.as_os_str());
        run(program, &args);
        let device = attach(&image);
        let made = Self {
            fs,
            device,
            image,
            folder,
        };
        made.mount(options);
        made
    }

    /// Says what `mount` said where it fails.
    fn mount(&self, options: &str) {
        let output = self.try_mount(options);
        assert!(output.status.success(), "mount -o {options}: {output:?}");
    }

    /// Mounts it, or leaves no loop device behind.
    fn try_mount(&self, options: &str) -> Output {
        let point = self.path();
        let args = [
            OsStr::new("-t"),
            OsStr::new(self.fs.name()),
            OsStr::new("-o"),
            OsStr::new(options),
            self.device.as_os_str(),
            point.as_os_str(),
        ];
        let output = try_run("mount", &args);
        // Where it is mounted, not at once but with the last unmount: nothing stays behind, whatever
        // happens.
        sh!("losetup", "--detach", &self.device);
        output
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    /// The file that holds it.
    pub(crate) fn image(&self) -> PathBuf {
        self.image.clone()
    }

    /// Unmounts it, so that all is in the image; only that can be looked at from then on.
    pub(crate) fn unmount(&self) {
        sh!("umount", self.path());
        // The loop device lets go of it a moment later.
        sh!("sync", self.image());
    }

    /// The block device.
    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// Its kind.
    pub(crate) fn fs(&self) -> Fs {
        self.fs
    }

    /// Unmounts it and mounts it with these options.
    pub(crate) fn mount_again(&mut self, options: &str) {
        let output = self.try_mount_again(options);
        assert!(output.status.success(), "mount -o {options}: {output:?}");
    }

    /// The same, where the kernel may not know the options; it is not mounted then.
    pub(crate) fn try_mount_again(&mut self, options: &str) -> Output {
        sh!("umount", self.path());
        self.device = attach(&self.image);
        self.try_mount(options)
    }

    /// Mounts it anew with other options, such as `ro`.
    pub(crate) fn remount(&self, options: &str) -> Output {
        let options = format!("remount,{options}");
        try_run(
            "mount",
            &[
                OsStr::new("-o"),
                OsStr::new(&options),
                self.path().as_os_str(),
            ],
        )
    }

    /// Unmounts what is mounted somewhere below the mount point.
    pub(crate) fn unmount_inside(&self) {
        let point = self.path();
        // The latest first: a mount may lie on another.
        for inside in mounts_below(&point).into_iter().rev() {
            sh!("umount", "--lazy", "--no-canonicalize", &inside);
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let memory = self.folder.path().join("memory");
        for point in mounts_below(&self.path())
            .into_iter()
            .rev()
            .chain([self.path(), memory])
        {
            if !is_mounted(&point) {
                continue;
            }
            let args = [
                OsStr::new("--lazy"),
                OsStr::new("--no-canonicalize"),
                point.as_os_str(),
            ];
            let output = try_run("umount", &args);
            if !output.status.success() && !std::thread::panicking() {
                println!("umount {}: {output:?}", point.display());
            }
        }
    }
}

/// Attaches an image to a free loop device; others look for one at the same time.
fn attach(image: &Path) -> PathBuf {
    for _ in 0..100 {
        let args = [
            OsStr::new("--find"),
            OsStr::new("--show"),
            image.as_os_str(),
        ];
        let output = try_run("losetup", &args);
        if output.status.success() {
            return PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no free loop device for {}", image.display());
}

fn is_mounted(point: &Path) -> bool {
    mounts_below(Path::new("/"))
        .iter()
        .any(|mounted| mounted == point)
}

/// Mount points strictly below a path, in the order of the mount table.
pub(crate) fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap();
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(|point| PathBuf::from(OsStr::from_bytes(point)))
        .filter(|point| point.starts_with(path) && point != path)
        .collect()
}
