//! Whether a whole block device may be wiped: only one that nothing uses, nothing of ours is on, and
//! that the operator named twice.

use super::facts::{BlockDevice, DeviceNumber, Known, MountEntry};
use super::ledger::Ledger;
use crate::units::Raw;

/// What was seen of the host.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Every block device, with what it carries.
    pub devices: &'a [BlockDevice],
    /// What is mounted.
    pub mounts: &'a [MountEntry],
    /// Active swap.
    pub swaps: &'a [Raw],
    /// Roots that were verified or advertised.
    pub ledger: &'a Ledger,
}

/// A device that may be wiped; made only here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAuthorization {
    number: DeviceNumber,
    name: Raw,
    size_bytes: u64,
}

impl DeviceAuthorization {
    /// Its number; compared with the opened device.
    #[must_use]
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Its name below `/dev`.
    #[must_use]
    pub fn name(&self) -> &Raw {
        &self.name
    }

    /// Its size; compared with the opened device.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Judges the device at this path; every reason why not, or the right to wipe it.
pub fn authorize(
    seen: &Seen<'_>,
    path: &Raw,
    confirm: &str,
) -> Result<DeviceAuthorization, Vec<String>> {
    let found = path.as_bytes().strip_prefix(b"/dev/").and_then(|name| {
        seen.devices
            .iter()
            .find(|device| device.name.as_bytes() == name)
    });
    let Some(device) = found else {
        return Err(vec![format!(
            "{path} is no block device by the kernel's name; write such as /dev/sdb, not a link to it"
        )]);
    };
    let mut reasons = Vec::new();
    if let Some(drive) = &device.parent {
        reasons.push(format!("it is a partition of {drive}, not a whole device"));
    }
    let (word, what) = device.confirmation();
    if word.as_bytes() != confirm.as_bytes() {
        reasons.push(format!(
            "--confirm {} is not its {what}",
            Raw::from(confirm)
        ));
    }
    let size_bytes = match &device.size_bytes {
        Known::Known(size) if *size > 0 => *size,
        Known::Known(_) | Known::Absent => {
            reasons.push("it has no medium".to_owned());
            0
        }
        Known::Unknown(why) => {
            reasons.push(why.to_string());
            0
        }
    };
    match &device.read_only {
        Known::Known(false) => {}
        Known::Known(true) | Known::Absent => reasons.push("it is read-only".to_owned()),
        Known::Unknown(why) => reasons.push(why.to_string()),
    }
    // The device and its partitions.
    let parts = seen
        .devices
        .iter()
        .filter(|other| other.number == device.number || device.partitions.contains(&other.name));
    for part in parts {
        used(seen, part, &mut reasons);
    }
    if reasons.is_empty() {
        Ok(DeviceAuthorization {
            number: device.number,
            name: device.name.clone(),
            size_bytes,
        })
    } else {
        Err(reasons)
    }
}

/// Who uses a device or partition, or may want it.
fn used(seen: &Seen<'_>, part: &BlockDevice, reasons: &mut Vec<String>) {
    let name = &part.name;
    for mount in seen.mounts {
        // btrfs has device numbers of its own: there the source tells.
        if mount.device == part.number || part.is_called(&mount.source) {
            reasons.push(format!("{name} is mounted at {}", mount.mount_point));
        }
    }
    if seen.swaps.iter().any(|swap| part.is_called(swap)) {
        reasons.push(format!("{name} is active swap"));
    }
    for holder in &part.holders {
        reasons.push(format!("{name} is used by {holder}"));
    }
    if let Known::Unknown(why) = &part.content {
        reasons.push(format!("what {name} carries can't be told: {why}"));
    }
    let Some(uuid) = part.uuid() else { return };
    for root in &seen.ledger.roots {
        let known = root.fingerprint.as_ref();
        if known.is_some_and(|print| print.filesystem == uuid) {
            reasons.push(format!(
                "{name} carries the file system of {}, which this host knows; take it out of the \
                 configuration and of the ledger first",
                root.disk
            ));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decide::facts::{Content, FileIdentity, Fingerprint};
    use crate::decide::ledger::LedgerRoot;
    use crate::mesos::disk::{DiskRef, DiskType};

    /// A disk of which nothing keeps it from being wiped.
    pub(crate) fn device(name: &str, minor: u32) -> BlockDevice {
        BlockDevice {
            name: name.into(),
            number: DeviceNumber { major: 8, minor },
            parent: None,
            mapper_name: None,
            size_bytes: Known::Known(1 << 30),
            read_only: Known::Known(false),
            removable: Known::Known(false),
            rotational: Known::Known(false),
            is_virtual: false,
            backing_file: None,
            holders: Vec::new(),
            slaves: Vec::new(),
            partitions: Vec::new(),
            model: None,
            serial: Some("S3R1AL".into()),
            wwn: None,
            content: Known::Absent,
        }
    }

    fn refused(devices: &[BlockDevice], swaps: &[Raw], path: &str, confirm: &str) -> Vec<String> {
        let ledger = Ledger::default();
        let seen = Seen {
            devices,
            mounts: &[],
            swaps,
            ledger: &ledger,
        };
        authorize(&seen, &path.into(), confirm)
            .err()
            .unwrap_or_default()
    }

    fn mount(device: DeviceNumber, source: &str) -> MountEntry {
        MountEntry {
            id: 1,
            parent: 0,
            device,
            root: "/".into(),
            root_deleted: false,
            mount_point: "/mnt".into(),
            options: "rw".into(),
            optional: Vec::new(),
            fs_type: "btrfs".into(),
            source: source.into(),
            super_options: "rw".into(),
        }
    }

    #[test]
    fn a_device_with_a_file_system_of_the_ledger_is_ours_and_any_other_is_not() {
        let mut device = device("sdb", 16);
        device.content = Known::Known(Content::Filesystem {
            fs_type: "ext4".to_owned(),
            uuid: Some("u-1".to_owned()),
            label: None,
        });
        let refused = |filesystem: &str| {
            let disk = DiskRef {
                kind: DiskType::Path,
                root: "/p".into(),
            };
            let mut root = LedgerRoot::new(disk, 1);
            root.fingerprint = Some(Fingerprint {
                filesystem: filesystem.to_owned(),
                fs_type: "ext4".to_owned(),
                directory: FileIdentity {
                    filesystem: filesystem.to_owned(),
                    handle: "1:2".to_owned(),
                },
            });
            let mut ledger = Ledger::default();
            ledger.roots.push(root);
            let seen = Seen {
                devices: std::slice::from_ref(&device),
                mounts: &[],
                swaps: &[],
                ledger: &ledger,
            };
            authorize(&seen, &"/dev/sdb".into(), "S3R1AL").is_err()
        };
        assert!(refused("u-1"));
        assert!(!refused("u-2"));
    }

    #[test]
    fn a_device_must_be_whole_free_known_and_named_twice() {
        let free = device("sdb", 16);
        assert!(refused(std::slice::from_ref(&free), &[], "/dev/sdb", "S3R1AL").is_empty());
        for (path, confirm) in [
            ("/dev/sdb", "sdb"),
            ("/dev/sdc", "S3R1AL"),
            ("/dev/disk/by-id/x", "S3R1AL"),
            ("sdb", "S3R1AL"),
            ("/", "S3R1AL"),
        ] {
            let said = refused(std::slice::from_ref(&free), &[], path, confirm);
            assert_eq!(said.len(), 1, "{path} {confirm}: {said:?}");
        }
        let nameless = BlockDevice {
            serial: None,
            ..free.clone()
        };
        assert!(refused(std::slice::from_ref(&nameless), &[], "/dev/sdb", "sdb").is_empty());
        let spoilt: [fn(&mut BlockDevice); 5] = [
            |device| device.parent = Some("sda".into()),
            |device| device.size_bytes = Known::Known(0),
            |device| device.read_only = Known::Known(true),
            |device| device.holders.push("dm-0".into()),
            |device| device.content = Known::unknown("it does not answer"),
        ];
        for spoil in spoilt {
            let mut device = free.clone();
            spoil(&mut device);
            assert_eq!(refused(&[device], &[], "/dev/sdb", "S3R1AL").len(), 1);
        }
        assert_eq!(
            refused(
                std::slice::from_ref(&free),
                &["/dev/sdb".into()],
                "/dev/sdb",
                "S3R1AL"
            )
            .len(),
            1
        );
        // By its number, or, where the file system has one of its own, by its name.
        for (number, source) in [
            (free.number, "/dev/root"),
            (
                DeviceNumber {
                    major: 0,
                    minor: 40,
                },
                "/dev/sdb",
            ),
        ] {
            let mount = mount(number, source);
            let ledger = Ledger::default();
            let seen = Seen {
                devices: std::slice::from_ref(&free),
                mounts: &[mount],
                swaps: &[],
                ledger: &ledger,
            };
            let said = authorize(&seen, &"/dev/sdb".into(), "S3R1AL").unwrap_err();
            assert_eq!(said, ["sdb is mounted at /mnt"]);
        }
        // What a partition is used for counts for the whole.
        let mut whole = free.clone();
        whole.partitions.push("sdb1".into());
        let mut part = device("sdb1", 17);
        part.parent = Some("sdb".into());
        part.holders.push("md0".into());
        part.content = Known::Known(Content::Swap);
        let said = refused(&[whole, part], &[], "/dev/sdb", "S3R1AL");
        assert_eq!(said, ["sdb1 is used by md0"]);
    }
}
