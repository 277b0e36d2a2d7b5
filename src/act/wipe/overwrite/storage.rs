//! What a file system and its device let anybody promise about bytes that are overwritten.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstat, major, minor, openat};
use rustix::io::{Errno, retry_on_intr};

use crate::act::sys::FsKind;
use crate::act::wipe::proof::ShortOf;
use crate::decide::facts::{DeviceNumber, WipeMethod};
use crate::sys::{ReadError, fs_uuid, mount_id, node, read_bounded};

/// A file system and the block device that it lies on.
#[derive(Debug)]
pub(in crate::act::wipe) struct Storage {
    /// Which it is.
    pub(in crate::act::wipe) kind: FsKind,
    /// Why no file on it can be promised to be overwritten where it lies.
    pub(in crate::act::wipe) short: Option<ShortOf>,
    /// Its device, open for reading past all caches; `None` where extents are not places on one
    /// device, or where it could not be opened.
    pub(in crate::act::wipe) device: Option<OwnedFd>,
    /// The device's number; 0:0 for none.
    pub(in crate::act::wipe) number: DeviceNumber,
}

impl Storage {
    /// Of the file system that this directory is on.
    pub(in crate::act::wipe) fn of(dir: BorrowedFd<'_>) -> Result<Self, Errno> {
        let kind = fs_uuid::fs_kind(dir)?;
        let number = node(dir)?.device;
        let mount = Mount::of(dir)?;
        let by_kind = match kind {
            FsKind::Btrfs => Some(ShortOf::CopyOnWrite),
            FsKind::Other => Some(ShortOf::UnknownStorage),
            FsKind::Ext4 => mount.has("data=journal").then_some(ShortOf::JournaledData),
            // Real-time and log devices: extents are places on another one.
            FsKind::Xfs => mount.has_key("rtdev").then_some(ShortOf::UnknownStorage),
        };
        let on_device = matches!(kind, FsKind::Ext4 | FsKind::Xfs) && !mount.has_key("rtdev");
        let short = by_kind.or_else(|| {
            if number.major == 0 {
                Some(ShortOf::UnknownStorage)
            } else {
                below(&sysfs(number), 8)
            }
        });
        let device = if on_device {
            open_device(number).ok()
        } else {
            None
        };
        Ok(Self {
            kind,
            short,
            device,
            number,
        })
    }

    /// Why nothing that is overwritten can be read back, where that is part of the promise and there is no
    /// device to read from.
    pub(super) fn unread(&self, method: WipeMethod) -> Option<ShortOf> {
        let errno = Errno::NODEV.raw_os_error();
        (method.verify && self.device.is_none()).then_some(ShortOf::NotReadBack { errno })
    }

    /// Whether the device takes word of free blocks; `false` also where that can't be told.
    pub(in crate::act::wipe) fn takes_discard(&self) -> bool {
        let of = |path: PathBuf| {
            read_bounded(&path, 64)
                .ok()
                .and_then(|text| String::from_utf8(text).ok())
                .and_then(|text| text.trim().parse::<u64>().ok())
        };
        // btrfs may lie on several devices: its own FITRIM tells.
        self.kind == FsKind::Btrfs
            || queue(&sysfs(self.number), "discard_max_bytes")
                .and_then(of)
                .is_some_and(|bytes| bytes > 0)
    }
}

/// The line of a mount in mountinfo.
struct Mount {
    options: Vec<Vec<u8>>,
}

impl Mount {
    fn of(dir: BorrowedFd<'_>) -> Result<Self, Errno> {
        let id = mount_id(dir)?.0.to_string();
        let table = read_bounded(Path::new("/proc/self/mountinfo"), 64 << 20)
            .map_err(|_unreadable| Errno::NODATA)?;
        let line = table
            .split(|&byte| byte == b'\n')
            .find(|line| line.split(|&byte| byte == b' ').next() == Some(id.as_bytes()))
            .ok_or(Errno::NODATA)?;
        // Type, source and options of the file system stand behind a lone hyphen.
        let options = line
            .split(|&byte| byte == b' ')
            .skip_while(|field| *field != b"-")
            .nth(3)
            .ok_or(Errno::NODATA)?
            .split(|&byte| byte == b',')
            .map(<[u8]>::to_vec)
            .collect();
        Ok(Self { options })
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option.as_bytes())
    }

    fn has_key(&self, key: &str) -> bool {
        let prefix = format!("{key}=");
        self.options
            .iter()
            .any(|given| given.starts_with(prefix.as_bytes()))
    }
}

/// The folder of a block device in sysfs.
pub(in crate::act::wipe) fn sysfs(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{}:{}", number.major, number.minor))
}

/// A file of the device's queue; a partition has its disk's.
fn queue(device: &Path, name: &str) -> Option<PathBuf> {
    ["queue", "../queue"]
        .iter()
        .map(|queue| device.join(queue).join(name))
        .find(|path| path.symlink_metadata().is_ok())
}

/// What makes a device, or one that it is made of, move or keep blocks. Of what sysfs does not show,
/// or does not let read, nothing is known, and so nothing promised.
fn below(device: &Path, deepest: u8) -> Option<ShortOf> {
    match looked_below(device, deepest) {
        Ok(short) => short,
        Err(Unseen) => Some(ShortOf::UnknownStorage),
    }
}

/// Something about a device could not be seen.
struct Unseen;

fn looked_below(device: &Path, deepest: u8) -> Result<Option<ShortOf>, Unseen> {
    let deepest = deepest.checked_sub(1).ok_or(Unseen)?;
    // Every device has a size.
    text(&device.join("size"))?.ok_or(Unseen)?;
    // Host-managed zones are never written twice.
    let queue = ["queue", "../queue"].map(|queue| device.join(queue).join("zoned"));
    for zoned in queue {
        if let Some(zoned) = text(&zoned)?
            && zoned.trim_ascii() != b"none"
        {
            return Err(Unseen);
        }
    }
    if let Some(uuid) = text(&device.join("dm/uuid"))?
        && let Some(short) = mapped(uuid.trim_ascii())
    {
        return Ok(Some(short));
    }
    if text(&device.join("partition"))?.is_some() {
        // It is a part of the disk that it is listed in, which may be made of others.
        return Ok(below(&device.join(".."), deepest));
    }
    let slaves = match std::fs::read_dir(device.join("slaves")) {
        Ok(slaves) => slaves,
        // A disk without anything below.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(Unseen),
    };
    for slave in slaves {
        let slave = slave.map_err(|_unreadable| Unseen)?;
        if let Some(short) = below(&slave.path(), deepest) {
            return Ok(Some(short));
        }
    }
    Ok(None)
}

/// What stands in a file of sysfs; `None` where there is no such file.
fn text(path: &Path) -> Result<Option<Vec<u8>>, Unseen> {
    match read_bounded(path, 4096) {
        Ok(text) => Ok(Some(text)),
        Err(ReadError::Missing { .. }) => Ok(None),
        Err(ReadError::NotAFile { .. } | ReadError::TooLarge { .. } | ReadError::Io { .. }) => {
            Err(Unseen)
        }
    }
}

/// What a mapped device's uuid says: who made it, and, for parts of logical volumes, of what kind.
fn mapped(uuid: &[u8]) -> Option<ShortOf> {
    if uuid.starts_with(b"CRYPT-") || uuid.starts_with(b"mpath-") || uuid.starts_with(b"part") {
        return None;
    }
    let Some(volume) = uuid.strip_prefix(b"LVM-") else {
        return Some(ShortOf::UnknownStorage);
    };
    // Group and volume have 32 letters each.
    match volume.get(64..) {
        Some(b"") => None,
        Some(b"-tpool") => Some(ShortOf::ThinStorage),
        Some(_) | None => Some(ShortOf::UnknownStorage),
    }
}

/// Opens a block device for reading past all caches, by its number.
fn open_device(number: DeviceNumber) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut names = vec![PathBuf::from(format!(
        "/dev/block/{}:{}",
        number.major, number.minor
    ))];
    names.extend(device_name(number));
    let mut last = Errno::NOENT;
    for name in names {
        match retry_on_intr(|| openat(CWD, &name, flags, Mode::empty())) {
            Ok(device) if is_device(device.as_fd(), number) => return Ok(device),
            Ok(_) => last = Errno::NODEV,
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

/// The device's file, as the kernel calls it.
pub(in crate::act::wipe) fn device_name(number: DeviceNumber) -> Option<PathBuf> {
    let text = read_bounded(&sysfs(number).join("uevent"), 1 << 16).ok()?;
    let text = String::from_utf8(text).ok()?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new("/dev").join(name))
}

/// Whether this is the block device of this number.
pub(in crate::act::wipe) fn is_device(device: BorrowedFd<'_>, number: DeviceNumber) -> bool {
    fstat(device).is_ok_and(|found| {
        rustix::fs::FileType::from_raw_mode(found.st_mode).is_block_device()
            && (major(found.st_rdev), minor(found.st_rdev)) == (number.major, number.minor)
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make a sysfs of their own")]
mod tests {
    use super::*;

    #[test]
    fn what_sysfs_does_not_show_is_unknown_and_a_partition_is_what_its_disk_is_made_of() {
        let temp = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = temp.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let short = |name: &str| below(&temp.path().join(name), 8);
        assert_eq!(short("sda"), Some(ShortOf::UnknownStorage), "no sysfs");
        write("sda/size", "100\n");
        assert_eq!(short("sda"), None);
        write("sda/sda1/size", "90\n");
        write("sda/sda1/partition", "1\n");
        assert_eq!(short("sda/sda1"), None);
        write("sda/queue/zoned", "host-managed\n");
        assert_eq!(short("sda/sda1"), Some(ShortOf::UnknownStorage));
        write("sda/queue/zoned", "none\n");
        // A partition of a RAID below which a thin pool lies.
        write("md0/size", "100\n");
        write("md0/md0p1/size", "90\n");
        write("md0/md0p1/partition", "1\n");
        write("dm-0/size", "100\n");
        write("dm-0/dm/uuid", &format!("LVM-{}-tpool\n", "x".repeat(64)));
        std::fs::create_dir(temp.path().join("md0/slaves")).unwrap();
        std::os::unix::fs::symlink("../../dm-0", temp.path().join("md0/slaves/dm-0")).unwrap();
        assert_eq!(short("md0/md0p1"), Some(ShortOf::ThinStorage));
        // What is there and can't be read.
        std::fs::create_dir_all(temp.path().join("sdb/dm/uuid")).unwrap();
        write("sdb/size", "100\n");
        assert_eq!(short("sdb"), Some(ShortOf::UnknownStorage));
    }

    #[test]
    fn mapped_devices_are_known_by_who_made_them() {
        let volume = "x".repeat(64);
        for (uuid, expected) in [
            (format!("LVM-{volume}"), None),
            (format!("LVM-{volume}-tpool"), Some(ShortOf::ThinStorage)),
            (format!("LVM-{volume}-real"), Some(ShortOf::UnknownStorage)),
            (format!("LVM-{volume}-cow"), Some(ShortOf::UnknownStorage)),
            ("CRYPT-LUKS2-1-home".to_owned(), None),
            ("VDO-1".to_owned(), Some(ShortOf::UnknownStorage)),
            (String::new(), Some(ShortOf::UnknownStorage)),
        ] {
            assert_eq!(mapped(uuid.as_bytes()), expected, "{uuid}");
        }
    }

    #[test]
    fn only_what_can_be_seen_to_have_nothing_below_has_nothing_below() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("sda/slaves")).unwrap();
        std::fs::write(at("sda/size"), "100\n").unwrap();
        assert_eq!(below(&at("sda"), 8), None);
        // Made of ever more: further than anybody stacks devices.
        assert_eq!(below(&at("sda"), 0), Some(ShortOf::UnknownStorage));
        std::fs::remove_dir(at("sda/slaves")).unwrap();
        std::fs::write(at("sda/slaves"), "").unwrap();
        assert_eq!(below(&at("sda"), 8), Some(ShortOf::UnknownStorage));
    }

    #[test]
    fn only_a_block_device_of_that_number_is_that_device() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let number = |major, minor| DeviceNumber { major, minor };
        assert!(!is_device(null.as_fd(), number(1, 3)));
        let file = tempfile::tempfile().unwrap();
        assert!(!is_device(file.as_fd(), number(0, 0)));
        let disks = std::fs::read_dir("/sys/block").into_iter().flatten();
        for disk in disks.flatten() {
            let path = Path::new("/dev").join(disk.file_name());
            // Looked at, and not opened.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(device) = openat(CWD, &path, flags, Mode::empty()) else {
                continue;
            };
            let found = fstat(&device).unwrap().st_rdev;
            let (major, minor) = (major(found), minor(found));
            assert!(is_device(device.as_fd(), number(major, minor)));
            assert!(!is_device(
                device.as_fd(),
                number(major, minor.wrapping_add(1))
            ));
            assert!(!is_device(
                device.as_fd(),
                number(major.wrapping_add(1), minor)
            ));
            assert_eq!(device_name(number(major, minor)), Some(path));
            return;
        }
        println!("skipped: needs a block device");
    }

    #[test]
    fn options_of_a_mount_are_told_from_those_that_begin_alike() {
        let options = ["rw", "data=journal", "rtdev=/dev/sdb"].map(|one| one.as_bytes().to_vec());
        let mount = Mount {
            options: options.to_vec(),
        };
        assert!(mount.has("data=journal") && mount.has_key("rtdev"));
        assert!(!mount.has("data") && !mount.has_key("rt") && !mount.has_key("rw"));
    }
}
