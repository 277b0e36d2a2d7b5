//! What a volume takes up as its file system counts it, against looking at every entry.

#![expect(clippy::disallowed_methods, reason = "tests make trees of their own")]

use std::path::Path;

use mesos_volumed::observe::usage::{
    Method, Progress, Project, Usage, counted, of_directory, project, reach,
};

use crate::support::disk::{Fs, LoopDisk, sh};

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

fn asked(root: &Path, name: &str) -> Option<Usage> {
    counted(&reach(root, [name.as_bytes()]).unwrap(), |_: Project| true).unwrap()
}

fn walked(root: &Path, name: &str) -> Usage {
    of_directory(
        reach(root, [name.as_bytes()]).unwrap(),
        1,
        &Progress::default(),
    )
    .unwrap()
}

/// Files of 20 MiB in all, some in a folder.
fn plant(at: &Path) {
    std::fs::create_dir_all(at.join("inside")).unwrap();
    for (name, mib) in [("a", 7), ("inside/b", 13)] {
        std::fs::write(at.join(name), vec![b'x'; mib << 20]).unwrap();
    }
}

#[test]
fn root_a_subvolume_with_a_qgroup_is_counted_by_the_btrfs_and_in_doubt_by_a_walk() {
    if !is_root() {
        return;
    }
    let disk = LoopDisk::new(Fs::Btrfs, 512);
    let root = disk.path();
    sh!("btrfs", "subvolume", "create", root.join("volume"));
    std::fs::create_dir(root.join("directory")).unwrap();
    plant(&root.join("volume"));
    plant(&root.join("directory"));
    sh!("sync", "--file-system", &root);
    assert_eq!(asked(&root, "volume"), None, "quota is off");

    sh!("btrfs", "quota", "enable", &root);
    sh!("btrfs", "quota", "rescan", "-w", &root);
    sh!("sync", "--file-system", &root);
    let walk = walked(&root, "volume");
    let found = asked(&root, "volume").expect("the qgroup is complete");
    assert_eq!((found.method, found.entries), (Method::Qgroup, None));
    // The qgroup counts the nodes of the subvolume's tree, too.
    let more = found.bytes.checked_sub(walk.bytes).unwrap();
    assert!(
        walk.bytes >= 20 << 20 && more <= 256 << 10,
        "{found:?} {walk:?}"
    );
    assert_eq!(asked(&root, "directory"), None, "a directory has no qgroup");

    // It follows what is written, commit by commit.
    std::fs::write(root.join("volume/c"), vec![b'x'; 5 << 20]).unwrap();
    sh!("sync", "--file-system", &root);
    let later = asked(&root, "volume").unwrap();
    assert!((5 << 20..=(5 << 20) + (64 << 10)).contains(&(later.bytes - found.bytes)));

    // A subvolume inside is counted apart, so the walk is right.
    let inside = root.join("volume/inside/another");
    sh!("btrfs", "subvolume", "create", &inside);
    assert_eq!(asked(&root, "volume"), None, "a subvolume lies inside");
    sh!("btrfs", "subvolume", "delete", "--commit-after", &inside);
    sh!("btrfs", "subvolume", "sync", &root);
    assert!(asked(&root, "volume").is_some());

    // Put below a group of a higher level while it shares extents, it makes the counts wrong, and the
    // file system says so.
    sh!(
        "btrfs",
        "subvolume",
        "snapshot",
        root.join("volume"),
        root.join("copy")
    );
    sh!("sync", "--file-system", &root);
    assert!(asked(&root, "volume").is_some());
    sh!("btrfs", "qgroup", "create", "1/0", &root);
    sh!(
        "btrfs",
        "qgroup",
        "assign",
        "--no-rescan",
        "0/256",
        "1/0",
        &root
    );
    sh!("sync", "--file-system", &root);
    assert_eq!(asked(&root, "volume"), None, "the counts are inconsistent");
    sh!("btrfs", "quota", "rescan", "-w", &root);
    sh!("sync", "--file-system", &root);
    assert!(asked(&root, "volume").is_some());

    sh!("btrfs", "quota", "disable", &root);
    assert_eq!(asked(&root, "volume"), None, "quota is off again");
}

fn set_project(dir: &Path, id: &str) {
    sh!(
        "xfs_io",
        "-c",
        format!("chproj {id}"),
        "-c",
        "chattr +P",
        dir
    );
}

#[test]
fn root_a_project_without_quota_on_xfs_is_walked() {
    if !is_root() {
        return;
    }
    let disk = LoopDisk::new(Fs::Xfs, 320);
    let root = disk.path();
    let volume = root.join("volume");
    std::fs::create_dir(&volume).unwrap();
    let of = |name: &str| project(&reach(&root, [name.as_bytes()]).unwrap()).unwrap();
    assert_eq!(of("volume"), None, "no project");
    sh!("xfs_io", "-c", "chproj 77", &volume);
    assert_eq!(of("volume"), None, "it keeps its id to itself");
    set_project(&volume, "77");
    assert_eq!(of("volume").map(|project| project.id), Some(77));
    plant(&volume);
    assert_eq!(asked(&root, "volume"), None, "nobody counts");
    assert_eq!(walked(&root, "volume").entries, Some(4));
}

#[test]
fn root_a_project_with_quota_on_xfs_is_counted_by_the_xfs() {
    if !is_root() {
        return;
    }
    let mut disk = LoopDisk::new(Fs::Xfs, 320);
    if !disk.try_mount_again("prjquota").status.success() {
        println!("not shown here: project quota on xfs (this kernel has no CONFIG_XFS_QUOTA)");
        return;
    }
    let root = disk.path();
    for (name, id) in [("volume", "77"), ("other", "78")] {
        std::fs::create_dir(root.join(name)).unwrap();
        set_project(&root.join(name), id);
        plant(&root.join(name));
    }
    sh!("sync", "--file-system", &root);
    let (found, walk) = (asked(&root, "volume").unwrap(), walked(&root, "volume"));
    assert_eq!(found.method, Method::ProjectQuota);
    assert_eq!((found.bytes, found.entries), (walk.bytes, walk.entries));
    let shared = counted(&reach(&root, [b"volume".as_slice()]).unwrap(), |_| false).unwrap();
    assert_eq!(shared, None, "another volume has the id, too");
}

#[test]
fn root_a_disk_that_is_not_mounted_leaves_no_loop_device() {
    if !is_root() {
        return;
    }
    let mut disk = LoopDisk::new(Fs::Ext4, 16);
    let output = disk.try_mount_again("no-such-option");
    assert!(!output.status.success());
    let listed = sh!("losetup", "--list", "--noheadings", "--output", "BACK-FILE");
    let image = disk.image();
    let image = image.to_str().unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(image));
}
