//! A disk that is made anew: only where nobody else has it, with what it had.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::process::Command;

use mesos_volumed::act::wipe::reformat::{Old, ReformatError};
use mesos_volumed::units::Raw;
use rustix::fd::AsFd as _;
use rustix::thread::CapabilitySet;

use super::*;

fn old(disk: &LoopDisk) -> Result<Old, ReformatError> {
    let kernel = Kernel::new();
    let root = kernel.open_root(&disk.path()).unwrap();
    let identity = kernel.identity(&root).unwrap();
    let path = Raw::new(disk.path().as_os_str().as_bytes());
    Old::of(root.as_fd(), &path, &identity)
}

fn make_anew(disk: &LoopDisk) -> Result<(), ReformatError> {
    std::fs::write(disk.path().join("file"), "data").unwrap();
    old(disk)?.make_anew()
}

/// Whether what was there before is.
fn is_as_it_was(disk: &LoopDisk) -> bool {
    std::fs::read(disk.path().join("file")).is_ok_and(|text| text == b"data")
}

#[test]
fn root_a_new_root_has_the_owner_and_the_mode_of_the_old_one_and_nothing_in_it() {
    if !entered(
        "wipe_modes::reformat::root_a_new_root_has_the_owner_and_the_mode_of_the_old_one_and_nothing_in_it",
    ) {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        for mode in [0o755, 0o1777, 0o2770] {
            let disk = LoopDisk::new(fs, if fs == Fs::Xfs { 320 } else { 64 });
            sh!("chown", "12:34", disk.path());
            std::fs::set_permissions(disk.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let before = rustix::fs::statvfs(disk.path()).unwrap();
            make_anew(&disk).unwrap();
            let root = disk.path().metadata().unwrap();
            assert_eq!(
                (root.uid(), root.gid(), root.mode() & 0o7777),
                (12, 34, mode)
            );
            assert!(
                std::fs::read_dir(disk.path()).unwrap().next().is_none(),
                "{fs:?}"
            );
            let after = rustix::fs::statvfs(disk.path()).unwrap();
            assert_eq!(
                (before.f_blocks, before.f_files),
                (after.f_blocks, after.f_files)
            );
        }
    }
}

#[test]
fn root_a_mode_that_can_t_be_given_back_is_refused_before_anything_is_touched() {
    if !entered(
        "wipe_modes::reformat::root_a_mode_that_can_t_be_given_back_is_refused_before_anything_is_touched",
    ) {
        return;
    }
    let disk = LoopDisk::new(Fs::Ext4, 64);
    std::fs::write(disk.path().join("file"), "data").unwrap();
    for (mode, given) in [(0o755, true), (0o2755, false), (0o4755, false)] {
        std::fs::set_permissions(disk.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let found = std::thread::scope(|scope| {
            let without = scope.spawn(|| {
                let mut own = rustix::thread::capabilities(None).unwrap();
                own.effective.remove(CapabilitySet::FSETID);
                rustix::thread::set_capabilities(None, own).unwrap();
                old(&disk).map(|_| ()).map_err(|error| error.to_string())
            });
            without.join().unwrap()
        });
        assert_eq!(found.is_ok(), given, "{mode:o} {found:?}");
        assert!(
            given
                || found
                    .unwrap_err()
                    .contains("may not give a new root the mode")
        );
    }
    assert!(is_as_it_was(&disk));
}

#[test]
fn root_a_disk_that_somebody_else_has_stays_as_it_was() {
    if !entered("wipe_modes::reformat::root_a_disk_that_somebody_else_has_stays_as_it_was") {
        return;
    }
    // Mounted in another namespace as well, which this one's mount table does not show.
    let disk = LoopDisk::new(Fs::Ext4, 64);
    let mut other = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            "echo; exec sleep 100",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0];
    other.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let ended = make_anew(&disk);
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(matches!(ended, Err(ReformatError::Held(_))), "{ended:?}");
    assert!(is_as_it_was(&disk));

    // A file that is open for a moment is waited for, and one that stays open is not.
    for stays in [true, false] {
        let disk = LoopDisk::new(Fs::Ext4, 64);
        let open = File::create(disk.path().join("open")).unwrap();
        let ended = std::thread::scope(|scope| {
            let (over, waits) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                let _open = open;
                let limit = Duration::from_millis(if stays { 20_000 } else { 300 });
                waits.recv_timeout(limit).unwrap_err();
            });
            let ended = make_anew(&disk);
            drop(over);
            ended
        });
        assert_eq!(
            matches!(ended, Err(ReformatError::Busy(_))),
            stays,
            "{ended:?}"
        );
        assert_eq!((is_as_it_was(&disk), ended.is_ok()), (stays, !stays));
    }
}

#[test]
fn root_another_device_in_the_place_of_the_disk_s_is_not_touched() {
    if !entered(
        "wipe_modes::reformat::root_another_device_in_the_place_of_the_disk_s_is_not_touched",
    ) {
        return;
    }
    let disk = LoopDisk::new(Fs::Ext4, 64);
    std::fs::write(disk.path().join("file"), "data").unwrap();
    let spare = disk.image().with_file_name("spare");
    std::fs::write(&spare, pattern(MIB)).unwrap();
    let large = File::options().write(true).open(&spare).unwrap();
    large.set_len(64 * MIB as u64).unwrap();
    let said = sh!("losetup", "--find", "--show", spare);
    let device = PathBuf::from(std::ffi::OsStr::from_bytes(said.stdout.trim_ascii()));
    let _open = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(&device)
        .unwrap();
    sh!("losetup", "--detach", device);
    let old = old(&disk).unwrap();
    sh!("mount", "--bind", device, disk.device());
    let ended = old.make_anew();
    sh!("umount", disk.device());
    assert!(ended.is_err(), "{ended:?}");
    assert!(std::fs::read(&spare).unwrap()[..MIB] == pattern(MIB));
}

#[test]
fn root_less_room_than_before_is_told() {
    if !entered("wipe_modes::reformat::root_less_room_than_before_is_told") {
        return;
    }
    let disk = LoopDisk::with(Fs::Ext4, 64, &["-O", "^has_journal"], "rw");
    let ended = make_anew(&disk);
    let Err(ReformatError::Wrong { what }) = ended else {
        panic!("{ended:?}");
    };
    assert!(what.contains("less room"), "{what}");
}
