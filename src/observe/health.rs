//! What is wrong with a file system that is mounted and still answers: the mount table and `statfs`
//! show neither a device that is gone nor, before Linux 6.15, an ext4 that refuses writes since an
//! error. Nothing is asked of the file system itself.

use super::places::Places;
use super::read;
use crate::decide::facts::{DeviceNumber, FsFailure, Known, MountEntry};
use crate::units::{Raw, chain};

/// From this release on ext4 says `emergency_ro` and `shutdown` in the mount table.
const EXT4_TELLS: (u32, u32) = (6, 15);

/// What is wrong with the file system of this mount. `None` also where it can't be told: the write
/// itself then fails, and is reported.
#[must_use]
pub fn failure(places: &Places, entry: &MountEntry) -> Option<FsFailure> {
    device_gone(places, entry)
        .map(FsFailure::DeviceGone)
        .or_else(|| failed(places, entry).map(FsFailure::Failed))
}

fn device_gone(places: &Places, entry: &MountEntry) -> Option<String> {
    if entry.device.major == 0 {
        return btrfs_gone(places, entry);
    }
    let folder = places.sys.join("dev/block");
    let device = folder.join(entry.device.to_string());
    match read::whole(&device.join("size"), 64) {
        // What had its medium taken out, or was removed by surprise, has no size left.
        Ok(size) if size.trim_ascii() == b"0" => Some(format!(
            "{} ({}) has no medium any more, and its file system is still mounted at {}",
            entry.source, entry.device, entry.mount_point
        )),
        Err(error) if read::is_absent(&error) && is_there(&folder) && !is_there(&device) => {
            Some(format!(
                "{} ({}) is gone, and its file system is still mounted at {}",
                entry.source, entry.device, entry.mount_point
            ))
        }
        Ok(_) | Err(_) => None,
    }
}

/// btrfs has a number of its own; its devices are listed by UUID. While one is left it may go on.
fn btrfs_gone(places: &Places, entry: &MountEntry) -> Option<String> {
    if entry.fs_type.as_bytes() != b"btrfs" {
        return None;
    }
    let all = places.sys.join("class/block");
    let source = entry.source.as_bytes().strip_prefix(b"/dev/")?;
    // By another name (a link, device mapper) it can't be looked up here.
    if source.contains(&b'/') || !is_there(&all) || is_there(&all.join(source)) {
        return None;
    }
    let of_this = read::names(&places.sys.join("fs/btrfs"))
        .ok()?
        .into_iter()
        .filter_map(|uuid| {
            let devices = places.sys.join("fs/btrfs").join(&uuid).join("devices");
            read::names(&devices).ok()
        })
        .find(|devices| devices.contains(&Raw::from(source)))?;
    let left = of_this.iter().any(|name| is_there(&all.join(name)));
    (!left).then(|| {
        format!(
            "{} is gone, and its file system is still mounted at {}",
            entry.source, entry.mount_point
        )
    })
}

/// Whether a file or folder of `/sys` is there; unreadable counts as there.
fn is_there(path: &Raw) -> bool {
    !rustix::fs::stat(path.as_path()).is_err_and(|errno| errno == rustix::io::Errno::NOENT)
}

fn failed(places: &Places, entry: &MountEntry) -> Option<String> {
    let at = &entry.mount_point;
    let is_ext = entry.fs_type.as_bytes().starts_with(b"ext");
    if entry.has_super_option(b"shutdown") {
        return Some(format!("the file system at {at} was shut down"));
    }
    if entry.has_super_option(b"emergency_ro") {
        return Some(format!(
            "the file system at {at} refuses writes since an error"
        ));
    }
    let goes_read_only = is_ext || [&b"btrfs"[..], b"f2fs"].contains(&entry.fs_type.as_bytes());
    if goes_read_only && entry.has_super_option(b"ro") && entry.has_option(b"rw") {
        return Some(format!(
            "the file system at {at} is read-only, though it is not mounted so: it went read-only \
             on an error, or was made so through another of its mounts"
        ));
    }
    (is_ext && !tells(places) && counts_errors(places, entry)).then(|| {
        format!("ext4 at {at} has counted errors, and goes read-only on them (errors=remount-ro)")
    })
}

/// Whether this kernel's ext4 shows in the mount table that it refuses writes.
fn tells(places: &Places) -> bool {
    let Ok(release) = read::whole(&places.proc.join("sys/kernel/osrelease"), 256) else {
        return false;
    };
    let mut numbers = release
        .split(|byte| !byte.is_ascii_digit())
        .map(|digits| std::str::from_utf8(digits).unwrap_or("").parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= EXT4_TELLS,
        _ => false,
    }
}

fn counts_errors(places: &Places, entry: &MountEntry) -> bool {
    let device = places.sys.join(format!("dev/block/{}", entry.device));
    let Ok(target) = read::link(&device) else {
        return false;
    };
    let Some(name) = target.as_bytes().rsplit(|&byte| byte == b'/').next() else {
        return false;
    };
    let errors = places.sys.join("fs/ext4").join(name).join("errors_count");
    let options = places.proc.join("fs/ext4").join(name).join("options");
    let counted = match read::whole(&errors, 64) {
        Ok(count) => count.trim_ascii() != b"0",
        Err(_) => false,
    };
    counted
        && match read::whole(&options, 1 << 16) {
            Ok(options) => options
                .split(|&byte| byte == b'\n')
                .any(|option| option == b"errors=remount-ro"),
            Err(_) => false,
        }
}

/// How many errors the file system on this device has counted since it was checked last. `Absent`
/// where it does not count.
pub(super) fn errors(places: &Places, device: DeviceNumber) -> Known<u64> {
    let target = match read::link(&places.sys.join(format!("dev/block/{device}"))) {
        Ok(target) => target,
        Err(error) if read::is_absent(&error) => return Known::Absent,
        Err(error) => return Known::unknown(chain(&error)),
    };
    let Some(name) = target.as_bytes().rsplit(|&byte| byte == b'/').next() else {
        return Known::Absent;
    };
    let file = places.sys.join("fs/ext4").join(name).join("errors_count");
    match read::whole(&file, 64) {
        Ok(count) => std::str::from_utf8(count.trim_ascii())
            .ok()
            .and_then(|count| count.parse().ok())
            .map_or_else(
                || Known::unknown(format!("{file} holds no number")),
                Known::Known,
            ),
        Err(error) if read::is_absent(&error) => Known::Absent,
        Err(error) => Known::unknown(chain(&error)),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use crate::decide::facts::DeviceNumber;

    struct Sys {
        tree: tempfile::TempDir,
    }

    impl Sys {
        fn new() -> Self {
            let sys = Self {
                tree: tempfile::tempdir().unwrap(),
            };
            sys.write("sys/dev/block/8:17/size", "2048\n");
            sys.write("sys/class/block/sdb1/size", "2048\n");
            sys
        }

        fn write(&self, name: &str, text: &str) -> &Self {
            let path = self.tree.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            self
        }

        fn remove(&self, name: &str) -> &Self {
            std::fs::remove_dir_all(self.tree.path().join(name)).unwrap();
            self
        }

        fn failure(&self, entry: &MountEntry) -> Option<FsFailure> {
            let at = |name: &str| Raw::from(self.tree.path().join(name));
            let places = Places {
                proc: at("proc"),
                sys: at("sys"),
                ..Places::default()
            };
            failure(&places, entry)
        }
    }

    fn entry(fs_type: &str, major: u32, super_options: &str) -> MountEntry {
        MountEntry {
            id: 7,
            parent: 1,
            device: DeviceNumber { major, minor: 17 },
            root: "/".into(),
            root_deleted: false,
            mount_point: "/mnt/a".into(),
            options: "rw,relatime".into(),
            optional: Vec::new(),
            fs_type: fs_type.into(),
            source: "/dev/sdb1".into(),
            super_options: super_options.into(),
        }
    }

    fn gone(failure: Option<FsFailure>) -> bool {
        match failure {
            Some(FsFailure::DeviceGone(what)) => what.contains("/dev/sdb1"),
            Some(FsFailure::Failed(_)) | None => false,
        }
    }

    fn is_failed(failure: Option<&FsFailure>) -> bool {
        matches!(failure, Some(FsFailure::Failed(_)))
    }

    #[test]
    fn a_device_that_is_not_in_sys_or_has_no_size_is_gone() {
        let sys = Sys::new();
        let disk = entry("xfs", 8, "rw");
        assert_eq!(sys.failure(&disk), None);
        sys.write("sys/dev/block/8:17/size", "0\n");
        assert!(gone(sys.failure(&disk)));
        sys.remove("sys/dev/block/8:17");
        assert!(gone(sys.failure(&disk)));
        // Where sysfs is not mounted nothing can be told.
        sys.remove("sys/dev");
        assert_eq!(sys.failure(&disk), None);
    }

    #[test]
    fn a_btrfs_is_gone_with_its_last_device() {
        let sys = Sys::new();
        let disk = entry("btrfs", 0, "rw");
        for name in ["sdb1", "sdc1"] {
            sys.write(&format!("sys/fs/btrfs/some-uuid/devices/{name}/size"), "1");
        }
        sys.write("sys/class/block/sdc1/size", "2048\n");
        assert_eq!(sys.failure(&disk), None);
        sys.remove("sys/class/block/sdb1");
        assert_eq!(sys.failure(&disk), None, "one of two is left");
        sys.remove("sys/class/block/sdc1");
        assert!(gone(sys.failure(&disk)));
    }

    #[test]
    fn what_went_read_only_by_itself_has_failed() {
        let sys = Sys::new();
        for options in ["rw,emergency_ro", "rw,errors=remount-ro,shutdown", "ro"] {
            assert!(
                is_failed(sys.failure(&entry("ext4", 8, options)).as_ref()),
                "{options}"
            );
        }
        assert!(is_failed(
            sys.failure(&entry("btrfs", 0, "ro,subvol=/")).as_ref()
        ));
        let mut on_purpose = entry("ext4", 8, "ro");
        on_purpose.options = "ro,relatime".into();
        assert_eq!(sys.failure(&on_purpose), None, "that is read_only");
        assert_eq!(sys.failure(&entry("squashfs", 8, "ro")), None);
    }

    #[test]
    fn an_older_ext4_has_failed_when_it_counted_errors_and_goes_read_only_on_them() {
        let sys = Sys::new();
        sys.remove("sys/dev/block/8:17");
        std::os::unix::fs::symlink(
            "../../class/block/sdb1",
            sys.tree.path().join("sys/dev/block/8:17"),
        )
        .unwrap();
        let disk = entry("ext4", 8, "rw");
        sys.write("proc/fs/ext4/sdb1/options", "rw\nerrors=remount-ro\n");
        sys.write("sys/fs/ext4/sdb1/errors_count", "0\n");
        assert_eq!(sys.failure(&disk), None);
        sys.write("sys/fs/ext4/sdb1/errors_count", "2\n");
        assert!(is_failed(sys.failure(&disk).as_ref()));
        sys.write("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
        assert!(is_failed(sys.failure(&disk).as_ref()));
        // A newer one would say so: these errors are of another day.
        sys.write("proc/sys/kernel/osrelease", "6.18.44-fc\n");
        assert_eq!(sys.failure(&disk), None);
        sys.write("proc/sys/kernel/osrelease", "6.1.0\n");
        sys.write("proc/fs/ext4/sdb1/options", "rw\nerrors=continue\n");
        assert_eq!(sys.failure(&disk), None, "it goes on in spite of them");
        sys.write("proc/fs/ext4/sdb1/options", "rw\nerrors=remount-ro\n");
        assert_eq!(sys.failure(&entry("xfs", 8, "rw")), None);
    }
}
