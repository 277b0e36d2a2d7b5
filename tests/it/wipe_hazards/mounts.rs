//! Mounts inside the volume.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use mesos_volumed::act::sys::{Errno, Kernel, Sys as _};
use mesos_volumed::act::volume_dir::{VolumeDir, VolumeDirError};
use mesos_volumed::act::wipe::{LeftKind, Progress};
use mesos_volumed::decide::facts::FileKind;
use mesos_volumed::sys::{OpenError, entry_kind};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use super::{BOTH, Site, Strace, left, within};
use crate::own_namespace::entered;
use crate::support::disk::{Fs, LoopDisk, sh};
use crate::support::trees::{describe, is_empty, plant};

#[test]
fn root_hazard_bind_mount_of_a_directory_of_the_same_file_system() {
    if !entered(
        "wipe_hazards::mounts::root_hazard_bind_mount_of_a_directory_of_the_same_file_system",
    ) {
        return;
    }
    for fs in Fs::ALL {
        for resolver in BOTH {
            let site = Site::new(fs);
            plant(&site.volume, 2, 2);
            let deep = site.volume.join("dir0/dir0/bind");
            std::fs::create_dir(&deep).unwrap();
            sh!("mount", "--bind", &site.outside, &deep);

            let kernel = Kernel::with(resolver);
            let report = site.wipe_by(kernel, &super::fast(), &Progress::default());
            assert_eq!(
                left(&report),
                [(LeftKind::Mount, 1, "dir0/dir0/bind".to_owned())]
            );
            assert_eq!((report.complete, report.stopped), (false, None));
            site.assert_untouched();

            sh!("umount", &deep);
            let report = site.wipe_whole();
            assert_eq!(
                (report.files, report.dirs),
                (0, 4),
                "{fs:?}: all else went at first"
            );
        }
    }
}

#[test]
fn root_hazard_bind_mount_is_what_std_empties() {
    if !entered("wipe_hazards::mounts::root_hazard_bind_mount_is_what_std_empties") {
        return;
    }
    let site = Site::new(Fs::Ext4);
    let bind = site.volume.join("bind");
    std::fs::create_dir(&bind).unwrap();
    sh!("mount", "--bind", &site.outside, &bind);
    // The error comes after the data is gone.
    std::fs::remove_dir_all(&site.volume).unwrap_err();
    assert!(is_empty(&site.outside));
}

#[test]
fn root_hazard_bind_mount_of_a_file() {
    if !entered("wipe_hazards::mounts::root_hazard_bind_mount_of_a_file") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        plant(&site.volume, 2, 1);
        let target = site.volume.join("resolv.conf");
        std::fs::write(&target, "").unwrap();
        sh!("mount", "--bind", site.outside.join("file1"), &target);
        for resolver in BOTH {
            let kernel = Kernel::with(resolver);
            let report = site.wipe_by(kernel, &super::fast(), &Progress::default());
            assert_eq!(
                left(&report),
                [(LeftKind::Mount, 1, "resolv.conf".to_owned())]
            );
            site.assert_untouched();
        }
        sh!("umount", &target);
        site.wipe_whole();
    }
}

#[test]
fn root_hazard_other_file_systems_inside() {
    if !entered("wipe_hazards::mounts::root_hazard_other_file_systems_inside") {
        return;
    }
    let site = Site::new(Fs::Xfs);
    let other = LoopDisk::new(Fs::Ext4, 32);
    plant(&other.path(), 2, 1);
    let before = describe(&other.path());
    for (name, kind) in [("tmpfs", "tmpfs"), ("proc", "proc")] {
        let point = site.volume.join(name);
        std::fs::create_dir(&point).unwrap();
        sh!("mount", "-t", kind, "none", &point);
    }
    std::fs::write(site.volume.join("tmpfs/file"), "").unwrap();
    let point = site.volume.join("disk");
    std::fs::create_dir(&point).unwrap();
    sh!("mount", "--bind", other.path(), &point);
    for resolver in BOTH {
        let kernel = Kernel::with(resolver);
        let report = site.wipe_by(kernel, &super::fast(), &Progress::default());
        assert_eq!(report.left.len(), 1);
        assert_eq!(
            (report.left[0].kind, report.left[0].count),
            (LeftKind::Mount, 3)
        );
        assert!(!is_empty(&site.volume.join("tmpfs")));
        assert_eq!(describe(&other.path()), before);
    }
    site.disk.unmount_inside();
    site.wipe_whole();
}

/// A FUSE file system whose server never answers.
pub(super) fn hung_fuse(at: &std::path::Path) -> std::os::fd::OwnedFd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let server = rustix::fs::open("/dev/fuse", flags, Mode::empty()).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&server);
    let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount(
        "hung",
        at,
        "fuse",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .unwrap();
    server
}

#[test]
fn root_hazard_fuse_mount_that_never_answers() {
    if !entered("wipe_hazards::mounts::root_hazard_fuse_mount_that_never_answers") {
        return;
    }
    for resolver in BOTH {
        let site = Site::new(Fs::Ext4);
        plant(&site.volume, 3, 1);
        let point = site.volume.join("dir1/hung");
        std::fs::create_dir(&point).unwrap();
        let server = hung_fuse(&point);
        // What anybody else would do hangs for ever.
        let asked = point.clone();
        let naive = std::thread::spawn(move || std::fs::metadata(asked).map(drop));

        let (report, site, kind, opened) = within(Duration::from_secs(10), move || {
            let kernel = Kernel::with(resolver);
            let root = kernel.open_root(&site.disk.path()).unwrap();
            let dir = kernel.open_child(&root, b"volume").unwrap();
            let dir = kernel.open_child(&dir, b"dir1").unwrap();
            let kind = entry_kind(&dir, b"hung");
            let opened = kernel.open_child(&dir, b"hung").map(drop);
            let report = site.wipe_by(kernel, &super::fast(), &Progress::default());
            (report, site, kind, opened)
        });
        assert_eq!(kind, Ok(FileKind::Mount));
        assert_eq!(opened, Err(OpenError::Mount));
        assert_eq!(
            left(&report),
            [(LeftKind::Mount, 1, "dir1/hung".to_owned())]
        );
        assert!(report.elapsed.0 < Duration::from_secs(2));
        assert!(!naive.is_finished(), "the server did answer");
        site.assert_untouched();
        // Ends the connection, and with it the thread that hangs.
        drop(server);
        naive.join().unwrap().unwrap_err();
        site.disk.unmount_inside();
        site.wipe_whole();
    }
}

#[test]
fn root_hazard_mount_in_another_namespace() {
    if !entered("wipe_hazards::mounts::root_hazard_mount_in_another_namespace") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        let point = site.volume.join("theirs");
        std::fs::create_dir(&point).unwrap();
        let script = "mount --bind \"$1\" \"$2\" && cat \"$2/file1\" | wc -c && read line && \
             cat \"$1/file1\" | wc -c";
        let mut other = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .args([&site.outside, &point])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap().trim(), "100");
        // Nothing is mounted there for us: the directory goes, and their mount with it; what they
        // had mounted stays.
        site.wipe_whole();
        other.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(said.next().unwrap().unwrap().trim(), "100");
        assert!(other.wait().unwrap().success());
        site.assert_untouched();
    }
}

#[test]
fn root_hazard_kernel_that_refuses_openat2() {
    if !entered("wipe_hazards::mounts::root_hazard_kernel_that_refuses_openat2") {
        return;
    }
    // As before Linux 5.6, or under seccomp; the first use of it in this process.
    let strace = Strace::inject("openat2:error=EPERM");
    let site = Site::new(Fs::Ext4);
    plant(&site.volume, 2, 2);
    let bind = site.volume.join("dir1/bind");
    std::fs::create_dir(&bind).unwrap();
    sh!("mount", "--bind", &site.outside, &bind);
    let report = site.wipe();
    drop(strace);
    assert_eq!(
        left(&report),
        [(LeftKind::Mount, 1, "dir1/bind".to_owned())]
    );
    site.assert_untouched();
}

#[test]
fn root_hazard_the_volume_itself_is_not_what_was_meant() {
    if !entered("wipe_hazards::mounts::root_hazard_the_volume_itself_is_not_what_was_meant") {
        return;
    }
    let site = Site::new(Fs::Ext4);
    plant(&site.volume, 2, 1);
    let path = site.disk.path();
    std::os::unix::fs::symlink("outside", path.join("link")).unwrap();
    std::fs::write(path.join("file"), "").unwrap();
    std::fs::create_dir(path.join("bound")).unwrap();
    sh!("mount", "--bind", &site.outside, path.join("bound"));
    for resolver in BOTH {
        let kernel = Kernel::with(resolver);
        let root = kernel.open_root(&path).unwrap();
        let expected = site.open(kernel).identity().clone();
        let open =
            |components: &[&[u8]]| VolumeDir::open(&kernel, &root, components, &expected).map(drop);
        let refused = |at: &str, source| VolumeDirError::Open {
            at: at.into(),
            source,
        };
        assert_eq!(open(&[b"volume"]), Ok(()));
        assert_eq!(open(&[b"link"]), Err(refused("link", OpenError::Symlink)));
        assert_eq!(
            open(&[b"link", b"dir0"]),
            Err(refused("link", OpenError::Symlink))
        );
        assert_eq!(
            open(&[b"file"]),
            Err(refused("file", OpenError::NotADirectory))
        );
        assert_eq!(open(&[b"bound"]), Err(refused("bound", OpenError::Mount)));
        assert_eq!(open(&[b"none"]), Err(refused("none", OpenError::Missing)));
        assert_eq!(
            open(&[b"volume", b".."]),
            Err(refused("..", OpenError::Io(Errno::INVAL)))
        );
        for other in [&[&b"outside"[..]][..], &[]] {
            assert!(matches!(open(other), Err(VolumeDirError::Another { .. })));
        }
        let host = kernel.open_root(std::path::Path::new("/")).unwrap();
        assert_eq!(
            VolumeDir::open(&kernel, &host, &[], &expected).map(drop),
            Err(VolumeDirError::HostRoot)
        );
    }
    site.assert_untouched();
}
