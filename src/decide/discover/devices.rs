//! Rows for the block devices that no mount shows.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::codes::{Code, Rejection};
use super::judge::Judge;
use super::passes::Passes;
use super::{DiskVerdict, FilesystemSeen, Subject, Verdict};
use crate::decide::facts::{BlockDevice, Content, HostDisks, Known};
use crate::units::{Bytes, Raw};

/// One row for each device that is in none of the rows so far.
pub(super) fn rows(host: &HostDisks, judge: &Judge<'_>, shown: &[DiskVerdict]) -> Vec<DiskVerdict> {
    let shown: BTreeSet<&Raw> = shown
        .iter()
        .filter_map(|row| row.device.as_ref())
        .map(|device| &device.name)
        .collect();
    let os = judge.os_devices();
    host.devices()
        .iter()
        .filter(|device| !shown.contains(&device.name))
        .map(|device| {
            let mut passes = Passes::default();
            let rejection = rejection(host, judge, &os, device, &mut passes);
            DiskVerdict {
                subject: Subject::Device(device.name.clone()),
                disk: None,
                path: None,
                role: None,
                filesystem: filesystem(device),
                mount: None,
                passes,
                verdict: Verdict::Rejected(rejection),
                device: Some(device.clone()),
                last_good: None,
            }
        })
        .collect()
}

fn filesystem(device: &BlockDevice) -> Option<FilesystemSeen> {
    match device.content.known()? {
        Content::Filesystem {
            fs_type,
            uuid,
            label,
        } => Some(FilesystemSeen {
            fs_type: Raw::from(fs_type.as_str()),
            uuid: uuid.clone(),
            label: label.clone(),
            space: None,
        }),
        Content::Swap | Content::Member(_) | Content::PartitionTable(_) => None,
    }
}

fn rejection(
    host: &HostDisks,
    judge: &Judge<'_>,
    os: &BTreeSet<Raw>,
    device: &BlockDevice,
    passes: &mut Passes,
) -> Rejection {
    if device.size_bytes == Known::Known(0) {
        return Rejection::plain(Code::NoMedium, "it has no medium or backing file");
    }
    passes.note(
        Code::NoMedium,
        match &device.size_bytes {
            Known::Known(size) => format!("it has {}", Bytes(*size)).into(),
            Known::Absent | Known::Unknown(_) => Cow::Borrowed("its size could not be read"),
        },
    );
    if os.contains(&device.name) {
        return Rejection::plain(Code::OsDisk, "the operating system lies on it");
    }
    passes.note(
        Code::OsDisk,
        "no mount point of the operating system lies on it",
    );
    if let Some(excluded) = judge.excluded(None, Some(device)) {
        return excluded;
    }
    passes.note(Code::Excluded, "discovery.exclude does not name it");
    if !device.partitions.is_empty() {
        return Rejection::plain(
            Code::Partitioned,
            format!(
                "its partitions are judged one by one: {}",
                list(&device.partitions)
            ),
        );
    }
    passes.note(Code::Partitioned, "the kernel shows no partitions on it");
    if host
        .swaps
        .known()
        .is_some_and(|swaps| swaps.iter().any(|swap| device.is_called(swap)))
    {
        return Rejection::plain(Code::Swap, "the kernel swaps to it");
    }
    passes.note(
        Code::Swap,
        match host.swaps.why() {
            None => Cow::Borrowed("/proc/swaps does not list it"),
            Some(why) => format!("/proc/swaps could not be read: {why}").into(),
        },
    );
    if let Some(mount_point) = member_of_mounted(host, device) {
        return Rejection::plain(
            Code::Member,
            format!("it is a part of the file system that is mounted at {mount_point}"),
        );
    }
    passes.note(
        Code::Member,
        "it is no further device of a file system that is mounted",
    );
    if !device.holders.is_empty() {
        return Rejection::new(
            Code::HasHolders,
            format!("{} is made of it", list(&device.holders)),
            "use that device instead",
        );
    }
    passes.note(Code::HasHolders, "no other device is made of it");
    by_content(device)
}

fn by_content(device: &BlockDevice) -> Rejection {
    match &device.content {
        Known::Known(Content::Filesystem { fs_type, .. }) => Rejection::new(
            Code::NotMounted,
            format!("its file system ({fs_type}) is mounted nowhere in this mount namespace"),
            "mount it by UUID in /etc/fstab at a path that a rule names",
        ),
        Known::Known(Content::Swap) => Rejection::new(
            Code::Swap,
            "it holds swap space, not in use",
            "make a file system on it if it shall be a disk for Mesos",
        ),
        Known::Known(Content::Member(what)) => Rejection::new(
            Code::Member,
            format!("it is {what}"),
            "activate what it belongs to, and use that",
        ),
        Known::Known(Content::PartitionTable(what)) => Rejection::new(
            Code::Partitioned,
            format!("it holds {what}, of which the kernel shows no partition"),
            "let the kernel read it: partx -a",
        ),
        Known::Absent if device.removable.known() == Some(&true) => Rejection::plain(
            Code::Removable,
            "the drive, or its medium, can be taken out",
        ),
        Known::Absent => Rejection::new(
            Code::Unformatted,
            "nothing that is known here is on it",
            "if it is free, make a file system on it and mount it at a path that a rule names",
        ),
        Known::Unknown(why) => Rejection::new(
            Code::Unreadable,
            format!("what is on it could not be told: {why}"),
            "look at the drive (dmesg)",
        ),
    }
}

/// Where the file system is mounted that this device is a further member of (btrfs on several
/// devices is in the mount table with one of them).
fn member_of_mounted<'a>(host: &'a HostDisks, device: &BlockDevice) -> Option<&'a Raw> {
    let uuid = device.uuid()?;
    host.mounts
        .entries()
        .iter()
        .find(|mount| {
            mount.device.major == 0
                && mount.class().may_be_asked()
                && host
                    .device_of(mount)
                    .is_some_and(|other| other.uuid() == Some(uuid))
        })
        .map(|mount| &mount.mount_point)
}

fn list(names: &[Raw]) -> String {
    names
        .iter()
        .map(Raw::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
