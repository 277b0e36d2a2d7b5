//! Rejections that several rules share.

use super::codes::{Code, Rejection};
use crate::decide::facts::{FsClass, MountEntry};
use crate::decide::guards::Refusal;
use crate::units::Raw;

/// No rule names it.
pub(super) fn no_rule(path: &Raw) -> Rejection {
    Rejection::new(
        Code::NoRule,
        "no [[disks]] rule names it",
        format!("to offer it, add a rule with type PATH or MOUNT and paths = [\"{path}\"]"),
    )
}

/// Looking at it failed.
pub(super) fn unreadable(path: &Raw, why: &str) -> Rejection {
    Rejection::new(
        Code::Unreadable,
        format!("{path} could not be looked at: {why}"),
        "look again; if it stays so, look at the drive (dmesg)",
    )
}

/// A file system that is mounted and is no use any more.
pub(super) fn failed(code: Code, what: &str, refusal: Refusal) -> Rejection {
    Rejection::new(code, what, refusal.remedy())
}

/// What `/etc/fstab` wants there is not mounted.
pub(super) fn fstab_gap(point: &Raw) -> Rejection {
    Rejection::new(
        Code::Missing,
        format!("/etc/fstab wants a mount at {point}, and none is there"),
        format!("mount it: mount {point}"),
    )
}

/// The rejection of a file system by its type.
pub(super) fn of_class(mount: &MountEntry, is_named: bool) -> Rejection {
    let fs_type = &mount.fs_type;
    let (code, sentence) = match mount.class() {
        FsClass::Network => (
            Code::NetworkFilesystem,
            format!(
                "{fs_type} at {} is on other hosts, or shared with them; it was not asked",
                mount.mount_point
            ),
        ),
        FsClass::Fuse => (
            Code::FuseFilesystem,
            format!(
                "{fs_type} at {} is served by a process that may not answer; it was not asked",
                mount.mount_point
            ),
        ),
        FsClass::Memory => (
            Code::PseudoFilesystem,
            format!("{fs_type} at {} is memory, not a disk", mount.mount_point),
        ),
        FsClass::Layered => (
            Code::PseudoFilesystem,
            format!(
                "{fs_type} at {} lies over other file systems",
                mount.mount_point
            ),
        ),
        FsClass::Pseudo => (
            Code::PseudoFilesystem,
            format!(
                "{fs_type} at {} is the kernel's, and stores nothing",
                mount.mount_point
            ),
        ),
        FsClass::Foreign | FsClass::Local => (
            Code::UnknownFilesystem,
            format!(
                "{fs_type} at {} is of no known type and on no block device; it was not asked",
                mount.mount_point
            ),
        ),
    };
    if is_named {
        Rejection::new(code, sentence, "use a local file system on a block device")
    } else {
        Rejection::plain(code, sentence)
    }
}
