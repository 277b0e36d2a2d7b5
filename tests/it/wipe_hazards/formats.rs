//! What file systems can do to directories beside holding files: encryption, project ids, subvolumes,
//! the leftovers of overlays.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use mesos_volumed::act::sys::{Errno, Kernel, Sys as _};
use mesos_volumed::act::wipe::{LeftKind, fence};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::Site;
use crate::own_namespace::entered;
use crate::support::disk::{Fs, LoopDisk, sh};
use crate::support::trees::plant;

/// Rows of the catalogue that this kernel does not show, by name.
#[test]
fn root_hazard_rows_that_are_not_shown_here() {
    for (sign, row) in [
        (
            "/sys/fs/ext4/features/casefold",
            "casefold directories: this kernel has no CONFIG_UNICODE; their entries are removed by the \
             names that the listing gives, as all are",
        ),
        (
            "/sys/class/misc/device-mapper",
            "dm-thin and other thin devices below a file system: no device-mapper in this kernel; which \
             mapped devices are thin is told by their names, which \
             mapped_devices_are_known_by_who_made_them shows",
        ),
        (
            "/proc/fs/xfs/xqmstat",
            "project quota of xfs and ext4: this kernel has neither CONFIG_XFS_QUOTA nor CONFIG_QFMT_V2; \
             project ids, which work without, are shown by root_hazard_project_ids_that_are_inherited",
        ),
    ] {
        let has = std::fs::exists(sign).unwrap();
        assert!(
            !has,
            "{sign} is there, so this can be shown here: write its test"
        );
        println!("not shown here: {row}");
    }
    println!(
        "shown with the modes that overwrite: hard links to the outside, FIFOs and devices in overwrite mode"
    );
}

#[test]
fn root_hazard_encrypted_directories_without_their_key() {
    if !entered("wipe_hazards::formats::root_hazard_encrypted_directories_without_their_key") {
        return;
    }
    if !std::fs::exists("/sys/fs/ext4/features/test_dummy_encryption_v2").unwrap() {
        println!("not shown here: fscrypt: the kernel has no encryption of ext4 with a test key");
        return;
    }
    let mut disk = LoopDisk::with(
        Fs::Ext4,
        400,
        &["-O", "encrypt"],
        "rw,test_dummy_encryption",
    );
    let volume = disk.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    let (files, dirs) = plant(&volume, 3, 2);
    std::fs::write(volume.join("n".repeat(200)), "long").unwrap();
    // Without the option there is no key: names are shown in another form.
    disk.mount_again("rw");
    let names: Vec<_> = std::fs::read_dir(&volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3 * 3 + 1);
    assert!(!names.iter().any(|name| name == "file0"), "{names:?}");
    let file = names
        .iter()
        .map(|name| volume.join(name))
        .find(|path| std::fs::symlink_metadata(path).unwrap().is_file())
        .unwrap();
    File::open(file).unwrap_err();
    std::fs::rename(&volume, disk.path().join("kept")).unwrap();
    let site = Site::on(disk);
    std::fs::remove_dir(&site.volume).unwrap();
    std::fs::rename(site.disk.path().join("kept"), &site.volume).unwrap();
    let report = site.wipe_whole();
    assert_eq!((report.files, report.dirs), (files + 1, dirs + 1));
}

#[test]
fn root_hazard_project_ids_that_are_inherited() {
    if !entered("wipe_hazards::formats::root_hazard_project_ids_that_are_inherited") {
        return;
    }
    // This kernel mounts no ext4 with project ids (CONFIG_QFMT_V2 is off).
    let site = Site::new(Fs::Xfs);
    let (one, other) = (site.volume.join("one"), site.volume.join("other"));
    for (id, path) in [("77", &one), ("78", &other)] {
        std::fs::create_dir(path).unwrap();
        sh!("chattr", "+P", "-p", id, path);
        plant(path, 3, 2);
    }
    // Nothing can be moved from one into the other; nothing is lost by the attempt.
    let kernel = Kernel::new();
    let [one, other] = [one, other].map(|path| kernel.open_root(&path).unwrap());
    assert_eq!(
        kernel.rename_noreplace(&one, b"dir0", &other, b"moved"),
        Err(Errno::XDEV)
    );
    assert!(kernel.kind(&one, b"dir0").is_ok());
    drop((one, other));
    site.wipe_whole();
}

/// Deeper than the walk's stack, so that it has to move directories up, which their project ids
/// forbid: what can't go is said, and goes once they are out of the way.
#[test]
fn root_hazard_too_deep_to_walk_and_not_to_be_moved() {
    if !entered("wipe_hazards::formats::root_hazard_too_deep_to_walk_and_not_to_be_moved") {
        return;
    }
    let site = Site::on(LoopDisk::new(Fs::Xfs, 800));
    sh!("chattr", "+P", "-p", "99", &site.volume);
    let inner = site.volume.join("inner");
    std::fs::create_dir(&inner).unwrap();
    sh!("chattr", "+P", "-p", "77", &inner);
    // Behind a fence the walk goes less deep.
    let depth = if fence::is_there() { 4_500 } else { 34_000 };
    crate::support::trees::plant_chain(&inner, depth);
    let report = site.wipe();
    assert!(!report.complete && report.stopped.is_none(), "{report:?}");
    assert_eq!(report.left[0].kind, LeftKind::TooDeep);
    site.assert_untouched();
    sh!("chattr", "-P", &site.volume);
    site.wipe_whole();
}

#[test]
fn root_hazard_rename_across_subvolumes() {
    if !entered("wipe_hazards::formats::root_hazard_rename_across_subvolumes") {
        return;
    }
    let site = Site::new(Fs::Btrfs);
    let inside = site.volume.join("subvolume");
    sh!("btrfs", "subvolume", "create", &inside);
    plant(&inside, 2, 1);
    std::fs::create_dir(site.volume.join("plain")).unwrap();
    let kernel = Kernel::new();
    let volume = kernel.open_root(&site.volume).unwrap();
    let subvolume = kernel.open_child(&volume, b"subvolume").unwrap();
    for (from, name, to) in [
        (&volume, &b"plain"[..], &subvolume),
        (&subvolume, b"dir0", &volume),
    ] {
        let moved = kernel.rename_noreplace(from, name, to, b"moved");
        assert_eq!(moved, Err(Errno::XDEV));
        assert!(kernel.kind(from, name).is_ok());
        assert_eq!(kernel.kind(to, b"moved"), Err(Errno::NOENT));
    }
    drop((volume, subvolume));
    site.wipe_whole();
}

#[test]
fn root_hazard_what_overlays_leave_behind() {
    if !entered("wipe_hazards::formats::root_hazard_what_overlays_leave_behind") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        let at = |name: &str| site.volume.join(name);
        for name in ["upper", "work", "merged"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let lower = site.outside.join("dir0");
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            at("upper").display(),
            at("work").display()
        );
        sh!(
            "mount",
            "-t",
            "overlay",
            "-o",
            options,
            "none",
            at("merged")
        );
        std::fs::remove_file(at("merged/file0")).unwrap();
        std::fs::remove_dir_all(at("merged/dir0")).unwrap();
        std::fs::create_dir(at("merged/dir0")).unwrap();
        std::fs::write(at("merged/file1"), "changed").unwrap();
        sh!("umount", at("merged"));
        // A whiteout, an opaque directory, and a folder that nobody may enter.
        assert_eq!(
            std::fs::symlink_metadata(at("upper/file0")).unwrap().rdev(),
            0
        );
        assert_eq!(
            std::fs::metadata(at("work/work")).unwrap().mode() & 0o777,
            0
        );
        let whiteout = at("work/work/left");
        mknodat(CWD, whiteout, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        site.wipe_whole();
    }
}
