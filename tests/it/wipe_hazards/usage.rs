//! Looking how much a volume takes up, in the same trees.

use std::time::Duration;

use mesos_volumed::observe::usage::{Progress, Usage, of_directory, of_filesystem, reach};
use mesos_volumed::sys::OpenError;

use super::limits::{Descriptors, memory_for, on_a_small_stack};
use super::mounts::hung_fuse;
use super::{Site, within};
use crate::own_namespace::entered;
use crate::support::disk::{Fs, LoopDisk, sh};
use crate::support::trees::{plant, plant_chain};

fn usage(site: &Site) -> Usage {
    let dir = reach(&site.disk.path(), [b"volume".as_slice()]).unwrap();
    of_directory(dir, 2, &Progress::default()).unwrap()
}

#[test]
fn root_hazard_usage_of_what_is_mounted_inside() {
    if !entered("wipe_hazards::usage::root_hazard_usage_of_what_is_mounted_inside") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        plant(&site.volume, 3, 2);
        std::fs::create_dir(site.volume.join("bind")).unwrap();
        std::fs::write(site.volume.join("file"), "").unwrap();
        let before = usage(&site);
        assert_eq!(before.skipped, 0);
        sh!("mount", "--bind", &site.outside, site.volume.join("bind"));
        sh!(
            "mount",
            "--bind",
            site.outside.join("file2"),
            site.volume.join("file")
        );
        let with_mounts = usage(&site);
        assert_eq!(with_mounts.skipped, 2);
        assert_eq!(
            with_mounts.entries,
            before.entries.map(|entries| entries - 2)
        );
        // The volume itself may be a mount point.
        sh!("mount", "--bind", &site.outside, &site.volume);
        let mounted = reach(&site.disk.path(), [b"volume".as_slice()]);
        assert!(matches!(mounted, Err(OpenError::Mount)));
        site.assert_untouched();
    }
}

#[test]
fn root_hazard_usage_beside_a_mount_that_never_answers() {
    if !entered("wipe_hazards::usage::root_hazard_usage_beside_a_mount_that_never_answers") {
        return;
    }
    let site = Site::new(Fs::Ext4);
    plant(&site.volume, 3, 1);
    let point = site.volume.join("dir1/hung");
    std::fs::create_dir(&point).unwrap();
    let server = hung_fuse(&point);
    let (found, site) = within(Duration::from_secs(10), move || (usage(&site), site));
    assert_eq!(found.skipped, 1);
    site.assert_untouched();
    drop(server);
    site.disk.unmount_inside();
}

#[test]
fn root_hazard_usage_of_deep_and_flat_trees_in_bounded_memory() {
    if !entered("wipe_hazards::usage::root_hazard_usage_of_deep_and_flat_trees_in_bounded_memory") {
        return;
    }
    let site = Site::on(LoopDisk::with(Fs::Ext4, 800, &["-N", "200000"], "rw"));
    plant_chain(&site.volume, 20_000);
    for i in 0..50_000 {
        std::fs::File::create(site.volume.join(format!("a-name-of-some-length-{i:08}"))).unwrap();
    }
    let few = Descriptors::at_most(128);
    let (memory, found) = memory_for(|| on_a_small_stack(|| usage(&site)));
    drop(few);
    assert_eq!(found.entries, Some(1 + 20_000 * 2 + 50_000), "{found:?}");
    assert_eq!((found.skipped, found.recounted), (0, 0));
    assert!(memory < 8 << 20, "{memory} bytes");
    let whole = of_filesystem(&site.disk.path()).unwrap();
    assert!(whole.bytes >= found.bytes && whole.entries >= found.entries);
    site.assert_untouched();
}
