//! File systems that are read-only, failing or full; MOUNT roots; identities.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use mesos_volumed::act::durable::{ReplaceError, replace};
use mesos_volumed::act::sys::{Errno, FsKind, Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{Control, Extent, LeftKind, Options, Progress, StopReason, wipe};
use mesos_volumed::decide::facts::WipeMethod;
use mesos_volumed::sys::fs_uuid::superblock_uuid;
use mesos_volumed::sys::{filesystem_uuid, identity, node};

use super::{Site, TREE};
use crate::own_namespace::entered;
use crate::support::authorize::authorize;
use crate::support::disk::{Fs, LoopDisk, sh};
use crate::support::stand_in::wait_until;
use crate::support::trees::{describe, is_empty, is_gone, plant};

#[test]
fn root_hazard_read_only_in_the_middle() {
    if !entered("wipe_hazards::storage::root_hazard_read_only_in_the_middle") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        for i in 0..3_000 {
            std::fs::write(site.volume.join(i.to_string()), "").unwrap();
        }
        let (control, progress) = (Control::new(1_000), Progress::default());
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.now().files < 100 {
                    std::thread::yield_now();
                }
                // Refused as long as an unlinked inode is not yet gone.
                wait_until("read-only", Duration::from_secs(2), || {
                    site.disk.remount("ro").status.success()
                });
            });
            site.wipe_by(Kernel::new(), &control, &progress)
        });
        assert_eq!(report.stopped, Some(StopReason::ReadOnly), "{report:?}");
        assert!((100..3_000).contains(&report.files), "{report:?}");
        assert!(report.left.is_empty(), "stopped at once: {report:?}");
        let output = site.disk.remount("rw");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(site.wipe_whole().files, 3_000 - report.files);
    }
}

#[test]
fn root_hazard_ext4_that_made_itself_read_only_after_an_error() {
    if !entered("wipe_hazards::storage::root_hazard_ext4_that_made_itself_read_only_after_an_error")
    {
        return;
    }
    let disk = LoopDisk::with(Fs::Ext4, 64, &[], "errors=remount-ro");
    let site = Site::on(disk);
    plant(&site.volume, 2, 2);
    let name = site.disk.device().file_name().unwrap().to_str().unwrap();
    let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
    if let Err(error) = std::fs::write(&trigger, "test") {
        println!("skipped: {trigger}: {error}");
        return;
    }
    // The mount table still says "rw" (Linux 6.1), or hides it in an option (6.18).
    let report = site.wipe();
    assert_eq!(report.stopped, Some(StopReason::ReadOnly), "{report:?}");
    site.assert_untouched();
}

#[test]
fn root_hazard_device_that_fails() {
    if !entered("wipe_hazards::storage::root_hazard_device_that_fails") {
        return;
    }
    let site = Site::new(Fs::Xfs);
    plant(&site.volume, 3, 2);
    let kernel = Kernel::new();
    let volume = site.open(kernel);
    let authorization = authorize(volume.identity());
    // From now on every call fails, as when a disk is pulled.
    sh!("xfs_io", "-x", "-c", "shutdown", site.disk.path());
    let report = wipe(
        &kernel,
        volume,
        &authorization,
        TREE,
        &super::fast(),
        &Progress::default(),
    );
    assert_eq!((report.complete, report.files, report.dirs), (false, 0, 0));
    let failed = report.left.iter().any(|left| left.kind == LeftKind::Failed);
    assert!(
        failed || report.stopped == Some(StopReason::Failing),
        "{report:?}"
    );
}

#[test]
fn root_hazard_device_that_fails_in_the_middle() {
    if !entered("wipe_hazards::storage::root_hazard_device_that_fails_in_the_middle") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        for i in 0..3_000 {
            std::fs::write(site.volume.join(i.to_string()), "").unwrap();
        }
        let kernel = Kernel::new();
        let volume = site.open(kernel);
        let authorization = authorize(volume.identity());
        let (control, progress) = (Control::new(1_000), Progress::default());
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.now().files < 100 {
                    std::thread::yield_now();
                }
                sh!("xfs_io", "-x", "-c", "shutdown", site.disk.path());
            });
            wipe(&kernel, volume, &authorization, TREE, &control, &progress)
        });
        assert!(!report.complete, "{report:?}");
        assert!((100..3_000).contains(&report.files), "{report:?}");
        assert!(
            matches!(
                report.stopped,
                Some(StopReason::Failing | StopReason::ReadOnly)
            ) || report.left.iter().any(|left| left.kind == LeftKind::Failed),
            "{report:?}"
        );
    }
}

#[test]
fn root_hazard_open_but_deleted_files_are_named_with_who_holds_them() {
    if !entered(
        "wipe_hazards::storage::root_hazard_open_but_deleted_files_are_named_with_who_holds_them",
    ) {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        plant(&site.volume, 2, 1);
        let large = site.volume.join("dir0/large");
        std::fs::write(&large, vec![b'x'; 8 << 20]).unwrap();
        let elsewhere = File::create(site.outside.join("theirs")).unwrap();
        std::fs::remove_file(site.outside.join("theirs")).unwrap();
        let mut holder = std::process::Command::new("sh")
            .args([
                "-c",
                "exec 3<\"$1\"; exec 4<\"$1\"; echo open; exec sleep 1000",
                "sh",
            ])
            .arg(&large)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        std::io::Read::read_exact(&mut holder.stdout.take().unwrap(), &mut said).unwrap();
        let report = site.wipe();
        assert!(report.complete, "{report:?}");
        let held = report.still_open.clone().unwrap();
        assert_eq!(held.len(), 1, "{fs:?}: {held:?}");
        assert_eq!((held[0].pid, held[0].files), (holder.id().cast_signed(), 1));
        assert!(held[0].bytes >= 8 << 20, "{held:?}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        drop(elsewhere);

        std::fs::create_dir(&site.volume).unwrap();
        plant(&site.volume, 2, 1);
        assert_eq!(site.wipe().still_open, Some(Vec::new()));
    }
}

#[test]
fn root_hazard_full_file_system() {
    if !entered("wipe_hazards::storage::root_hazard_full_file_system") {
        return;
    }
    for fs in Fs::ALL {
        let mut site = Site::new(fs);
        plant(&site.volume, 4, 3);
        let kept = site.outside.join("state");
        replace(&kept, b"old", 0o644).unwrap();
        // To the last byte, with files of every size.
        let mut number = 0_u32;
        for size in [1 << 22, 1 << 16, 1 << 12, 1] {
            loop {
                let path = site.volume.join(format!("fill{number}"));
                number += 1;
                let filled = File::create(path).and_then(|mut file| {
                    file.write_all(&vec![b'x'; size])?;
                    file.sync_data()
                });
                if filled.is_err() || number > 3_000 {
                    break;
                }
            }
        }
        site.look();
        // A file of ours keeps its old content then.
        let large = vec![b'y'; 8 << 20];
        let error = replace(&kept, &large, 0o644).unwrap_err();
        assert!(
            matches!(
                error,
                ReplaceError::Write {
                    source: Errno::NOSPC,
                    ..
                }
            ),
            "{fs:?}: {error:?}"
        );
        assert_eq!(std::fs::read(&kept).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&site.outside).unwrap().count(), 3 * 3 + 1);
        site.look();

        let report = site.wipe_whole();
        if fs == Fs::Ext4 {
            assert!(report.freed_bytes.unwrap() > 200 << 20, "{report:?}");
        }
        replace(&kept, &large, 0o644).unwrap();
    }
}

#[test]
fn root_hazard_a_mount_root_is_emptied_and_stays() {
    if !entered("wipe_hazards::storage::root_hazard_a_mount_root_is_emptied_and_stays") {
        return;
    }
    for fs in Fs::ALL {
        let disk = LoopDisk::new(fs, 400);
        let (files, dirs) = plant(&disk.path(), 3, 2);
        super::chattr("+a", &disk.path());
        let before = std::fs::metadata(disk.path()).unwrap().ino();
        let kernel = Kernel::new();
        let root = kernel.open_root(&disk.path()).unwrap();
        let identity = kernel.identity(&root).unwrap();
        let go = |extent| {
            let volume = VolumeDir::open(&kernel, &root, &[], &identity).unwrap();
            wipe(
                &kernel,
                volume,
                &authorize(&identity),
                Options {
                    extent,
                    method: WipeMethod::UNLINK,
                },
                &super::fast(),
                &Progress::default(),
            )
        };
        // A root can't go itself, and nothing of it is touched for the attempt.
        let contents = describe(&disk.path());
        let refused = go(Extent::Tree);
        assert_eq!(refused.stopped, Some(StopReason::WrongDirectory));
        assert_eq!(contents, describe(&disk.path()));

        let report = go(Extent::Content);
        assert!(report.complete, "{report:?}");
        // ext4 has its lost+found, which goes too, as Mesos has it.
        let more = u64::from(fs == Fs::Ext4);
        assert_eq!((report.files, report.dirs), (files, dirs + more));
        assert!(is_empty(&disk.path()));
        assert_eq!(std::fs::metadata(disk.path()).unwrap().ino(), before);
        assert!(go(Extent::Content).complete, "an empty one is complete");
    }
}

#[test]
fn root_hazard_the_authorization_is_for_another_directory() {
    if !entered("wipe_hazards::storage::root_hazard_the_authorization_is_for_another_directory") {
        return;
    }
    let site = Site::new(Fs::Ext4);
    plant(&site.volume, 2, 1);
    let kernel = Kernel::new();
    let other = identity(File::open(&site.outside).unwrap()).unwrap();
    let contents = describe(&site.volume);
    let report = wipe(
        &kernel,
        site.open(kernel),
        &authorize(&other),
        TREE,
        &super::fast(),
        &Progress::default(),
    );
    assert_eq!(report.stopped, Some(StopReason::WrongDirectory));
    assert!(!report.complete);
    assert_eq!((report.files, report.dirs), (0, 0));
    assert_eq!(contents, describe(&site.volume));
    site.assert_untouched();
}

#[test]
fn root_identity_is_told_apart_by_file_system_and_generation() {
    if !entered("wipe_hazards::storage::root_identity_is_told_apart_by_file_system_and_generation")
    {
        return;
    }
    for fs in Fs::ALL {
        let disk = LoopDisk::new(fs, 400);
        let dir = File::open(disk.path()).unwrap();
        let uuid = filesystem_uuid(&dir).unwrap();
        let blkid = sh!("blkid", "-o", "value", "-s", "UUID", "-p", disk.device());
        assert_eq!(uuid, String::from_utf8_lossy(&blkid.stdout).trim());
        // Without the kernel's word, by the superblock on the device.
        let kind = match fs {
            Fs::Ext4 => FsKind::Ext4,
            Fs::Xfs => FsKind::Xfs,
            Fs::Btrfs => FsKind::Btrfs,
        };
        let block = node(File::open(disk.device()).unwrap()).unwrap();
        let rdev = std::fs::metadata(disk.device()).unwrap().rdev();
        assert_ne!(block.inode, 0);
        let device = mesos_volumed::decide::facts::DeviceNumber {
            major: rustix::fs::major(rdev),
            minor: rustix::fs::minor(rdev),
        };
        assert_eq!(superblock_uuid(device, kind).unwrap().as_ref(), Some(&uuid));
        for other in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
            if other != kind {
                assert_eq!(superblock_uuid(device, other).unwrap(), None);
            }
        }

        // A reused inode number is another file.
        let path = disk.path().join("dir");
        let mut seen = Vec::new();
        for _ in 0..30 {
            std::fs::create_dir(&path).unwrap();
            let found = identity(File::open(&path).unwrap()).unwrap();
            assert_eq!(found.filesystem, uuid);
            assert!(!seen.contains(&found), "{fs:?}");
            seen.push(found);
            std::fs::remove_dir(&path).unwrap();
        }
        assert!(is_gone(&path));

        // Another file system of the same kind shares no identity with it.
        let twin = LoopDisk::new(fs, 400);
        assert_ne!(
            identity(&dir).unwrap(),
            identity(File::open(twin.path()).unwrap()).unwrap()
        );
    }
}
