//! The drives under a file system.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{major, minor};

use super::places::Places;
use super::read;
use crate::decide::facts::DeviceNumber;
use crate::units::Raw;

/// Stacks of devices are never this high.
const DEEPEST: u8 = 16;

/// The device of the file system at this path, where it has one of its own: btrfs and file systems
/// without a device give a number that no device has.
#[must_use]
pub fn device(path: &Path) -> Option<DeviceNumber> {
    // Only looks; what is done later is done to what is open, not to this path.
    let stat = rustix::fs::stat(path).ok()?;
    Some(DeviceNumber {
        major: major(stat.st_dev),
        minor: minor(stat.st_dev),
    })
}

/// The whole drives on which this device lies, by the kernel's names: that of a partition, those of
/// a volume group or an array. `None` where the kernel does not tell, or there is no such device.
#[must_use]
pub fn under(places: &Places, device: DeviceNumber) -> Option<BTreeSet<Raw>> {
    let link = places
        .sys
        .join("dev/block")
        .join(format!("{}:{}", device.major, device.minor));
    let folder = read::link(&link).ok()?;
    let name = folder.as_bytes().rsplit(|&byte| byte == b'/').next()?;
    let mut drives = BTreeSet::new();
    add(places, &Raw::new(name), &mut drives, DEEPEST)?;
    Some(drives)
}

fn add(places: &Places, name: &Raw, drives: &mut BTreeSet<Raw>, deepest: u8) -> Option<()> {
    let deeper = deepest.checked_sub(1)?;
    let link = places.sys.join("class/block").join(name);
    let folder = read::link(&link).ok()?;
    if read::whole(&link.join("partition"), 64).is_ok() {
        let mut parts = folder.as_bytes().rsplit(|&byte| byte == b'/');
        return add(places, &Raw::new(parts.nth(1)?), drives, deeper);
    }
    let slaves = read::names(&link.join("slaves")).unwrap_or_else(|_none| Vec::new());
    if slaves.is_empty() {
        drives.insert(name.clone());
    }
    for slave in &slaves {
        add(places, slave, drives, deeper)?;
    }
    Some(())
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it, in bytes.
    pub total: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that are free for everybody: some file systems keep some for root.
    pub available: u64,
}

/// Room on the file system at this path.
#[must_use]
pub fn room(path: &Path) -> Option<Room> {
    let space = rustix::fs::statvfs(path).ok()?;
    Some(Room {
        total: space.f_blocks.checked_mul(space.f_frsize)?,
        free: space.f_bfree.checked_mul(space.f_frsize)?,
        available: space.f_bavail.checked_mul(space.f_frsize)?,
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    /// A folder in the place of `/sys`, with these devices: number, folder, what it lies on.
    fn sysfs(devices: &[(&str, &str, &[&str], bool)]) -> (tempfile::TempDir, Places) {
        let tree = tempfile::tempdir().unwrap();
        let sys = tree.path();
        for folder in ["dev/block", "class/block"] {
            std::fs::create_dir_all(sys.join(folder)).unwrap();
        }
        for (number, folder, slaves, partition) in devices {
            let name = folder.rsplit('/').next().unwrap();
            let real = sys.join("devices").join(folder);
            std::fs::create_dir_all(real.join("slaves")).unwrap();
            for slave in *slaves {
                std::fs::write(real.join("slaves").join(slave), "").unwrap();
            }
            if *partition {
                std::fs::write(real.join("partition"), "1\n").unwrap();
            }
            let link = format!("../../devices/{folder}");
            std::os::unix::fs::symlink(&link, sys.join("dev/block").join(number)).unwrap();
            std::os::unix::fs::symlink(&link, sys.join("class/block").join(name)).unwrap();
        }
        let places = Places {
            sys: sys.into(),
            ..Places::default()
        };
        (tree, places)
    }

    fn under_of(places: &Places, major: u32, minor: u32) -> Option<Vec<String>> {
        let drives = under(places, DeviceNumber { major, minor })?;
        Some(drives.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn partitions_and_stacks_lie_on_whole_drives() {
        let (_tree, places) = sysfs(&[
            ("8:0", "pci/block/sda", &[], false),
            ("8:1", "pci/block/sda/sda1", &[], true),
            ("8:2", "pci/block/sda/sda2", &[], true),
            ("8:16", "pci/block/sdb", &[], false),
            ("9:0", "virtual/block/md0", &["sda2", "sdb"], false),
            ("253:0", "virtual/block/dm-0", &["md0"], false),
        ]);
        assert_eq!(under_of(&places, 8, 1).unwrap(), ["sda"]);
        assert_eq!(under_of(&places, 8, 16).unwrap(), ["sdb"]);
        assert_eq!(under_of(&places, 253, 0).unwrap(), ["sda", "sdb"]);
        assert_eq!(under_of(&places, 0, 40), None);
    }

    #[test]
    fn a_stack_without_an_end_is_unknown() {
        let (_tree, places) = sysfs(&[("253:0", "virtual/block/dm-0", &["dm-0"], false)]);
        assert_eq!(under_of(&places, 253, 0), None);
    }
}
