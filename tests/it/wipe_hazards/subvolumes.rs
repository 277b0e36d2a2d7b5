//! btrfs: subvolumes and read-only snapshots.

use std::path::Path;

use mesos_volumed::act::wipe::LeftKind;

use super::{Site, left};
use crate::own_namespace::entered;
use crate::support::disk::{Fs, sh};
use crate::support::trees::plant;

#[test]
fn root_hazard_subvolumes_and_read_only_snapshots() {
    if !entered("wipe_hazards::subvolumes::root_hazard_subvolumes_and_read_only_snapshots") {
        return;
    }
    let site = Site::new(Fs::Btrfs);
    let at = |name: &str| site.volume.join(name);
    plant(&site.volume, 2, 1);
    for name in ["plain", "outer", "outer/inner", "outer/inner/innermost"] {
        sh!("btrfs", "subvolume", "create", at(name));
        plant(&at(name), 2, 2);
    }
    sh!(
        "btrfs",
        "subvolume",
        "snapshot",
        "-r",
        at("plain"),
        at("dir1/read-only")
    );
    sh!(
        "btrfs",
        "subvolume",
        "snapshot",
        "-r",
        at("plain"),
        at("outer/inner/read-only")
    );
    // Read-only, with others inside: can't be destroyed whole, nor walked as it is.
    sh!("btrfs", "property", "set", at("outer/inner"), "ro", "true");
    std::fs::remove_dir_all(at("dir1/read-only")).unwrap_err();
    let report = site.wipe_whole();
    assert!(report.subvolumes >= 4, "{report:?}");
}

#[test]
fn root_hazard_a_subvolume_goes_at_once_whatever_it_holds() {
    if !entered("wipe_hazards::subvolumes::root_hazard_a_subvolume_goes_at_once_whatever_it_holds")
    {
        return;
    }
    let site = Site::new(Fs::Btrfs);
    let subvolume = site.volume.join("large");
    sh!("btrfs", "subvolume", "create", &subvolume);
    for i in 0..20_000 {
        std::fs::write(subvolume.join(i.to_string()), "").unwrap();
    }
    let report = site.wipe_whole();
    assert_eq!((report.files, report.dirs, report.subvolumes), (0, 1, 1));
}

#[test]
fn root_hazard_the_volume_itself_is_a_read_only_subvolume() {
    if !entered("wipe_hazards::subvolumes::root_hazard_the_volume_itself_is_a_read_only_subvolume")
    {
        return;
    }
    for nested in [false, true] {
        let site = Site::new(Fs::Btrfs);
        std::fs::remove_dir(&site.volume).unwrap();
        sh!("btrfs", "subvolume", "create", &site.volume);
        plant(&site.volume, 2, 2);
        if nested {
            sh!(
                "btrfs",
                "subvolume",
                "create",
                site.volume.join("dir0/inner")
            );
        }
        sh!("btrfs", "property", "set", &site.volume, "ro", "true");
        site.wipe_whole();
    }
}

#[test]
fn root_hazard_mount_inside_a_subvolume() {
    if !entered("wipe_hazards::subvolumes::root_hazard_mount_inside_a_subvolume") {
        return;
    }
    // In one that lies in the volume, and in the volume that is one itself.
    for name in ["sub volume", ""] {
        let site = Site::new(Fs::Btrfs);
        let subvolume = if name.is_empty() {
            std::fs::remove_dir(&site.volume).unwrap();
            site.volume.clone()
        } else {
            site.volume.join(name)
        };
        sh!("btrfs", "subvolume", "create", &subvolume);
        plant(&subvolume, 2, 1);
        let point = subvolume.join("dir1/bind");
        std::fs::create_dir(&point).unwrap();
        sh!("mount", "--bind", &site.outside, &point);
        sh!("btrfs", "property", "set", &subvolume, "ro", "true");
        let report = site.wipe();
        let at = Path::new(name).join("dir1/bind");
        let at = at.to_str().unwrap().to_owned();
        assert_eq!(left(&report), [(LeftKind::Mount, 1, at)]);
        assert_eq!(report.subvolumes, 0);
        site.assert_untouched();
        assert!(
            point.join("file1").symlink_metadata().is_ok(),
            "still mounted"
        );
        sh!("umount", &point);
        // At once, now that nothing is mounted in it.
        assert_eq!(site.wipe_whole().subvolumes, 1);
    }
}
