//! Ways by which names lead out of the volume, and what lies in it that is no file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, Progress};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat};

use super::{BOTH, Site, Strace};
use crate::own_namespace::entered;
use crate::support::disk::Fs;
use crate::support::trees::{is_gone, plant};

#[test]
fn root_hazard_links_to_the_outside() {
    if !entered("wipe_hazards::outside::root_hazard_links_to_the_outside") {
        return;
    }
    for fs in Fs::ALL {
        let mut site = Site::new(fs);
        for (name, to) in [
            ("dir", site.outside.clone()),
            ("file", site.outside.join("file1")),
            ("up", "../outside".into()),
            ("root", "/".into()),
            ("self", "/proc/self/fd".into()),
            ("dangling", "none".into()),
        ] {
            std::os::unix::fs::symlink(to, site.volume.join(name)).unwrap();
        }
        let hard = site.outside.join("hard");
        std::fs::write(&hard, "content").unwrap();
        std::fs::hard_link(&hard, site.volume.join("hard")).unwrap();
        let report = site.wipe();
        assert!(report.complete, "{report:?}");
        assert_eq!((report.files, report.dirs), (7, 1));
        assert_eq!(std::fs::read(&hard).unwrap(), b"content");
        assert_eq!(std::fs::metadata(&hard).unwrap().nlink(), 1);
        std::fs::remove_file(&hard).unwrap();
        let same = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let before = same(&site.before);
        site.look();
        assert_eq!(
            before,
            same(&site.before),
            "all but the times of the folder itself"
        );
    }
}

#[test]
fn root_hazard_fifos_sockets_devices_and_names_of_any_bytes() {
    if !entered("wipe_hazards::outside::root_hazard_fifos_sockets_devices_and_names_of_any_bytes") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        let nodes = [
            ("fifo", FileType::Fifo, 0),
            ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
            ("whiteout", FileType::CharacterDevice, 0),
            ("disk", FileType::BlockDevice, rustix::fs::makedev(7, 0)),
            ("socket", FileType::Socket, 0),
        ];
        for (name, kind, device) in nodes {
            mknodat(CWD, site.volume.join(name), kind, Mode::empty(), device).unwrap();
        }
        let long = [b'n'; 255];
        let names: [&[u8]; 8] = [
            b"\xff\xfe",
            b"a\nb",
            b"-rf",
            b"\x1b[2J",
            b"...",
            b" ",
            b"\\",
            &long,
        ];
        for name in names {
            let dir = site.volume.join(OsStr::from_bytes(name));
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join(OsStr::from_bytes(name)), "").unwrap();
            // As overlayfs leaves its work directories.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
            std::fs::set_permissions(&dir, mode).unwrap();
        }
        let report = site.wipe_whole();
        assert_eq!((report.files, report.dirs), (5 + 8, 8 + 1));
    }
}

/// Exchanges a directory in the volume and a link to the outside for as long as it is wiped.
#[test]
fn root_hazard_directory_swapped_for_a_link_meanwhile() {
    if !entered("wipe_hazards::outside::root_hazard_directory_swapped_for_a_link_meanwhile") {
        return;
    }
    for (slowed, rounds, threads) in [(true, 6, 1), (true, 6, 3), (false, 40, 1), (false, 40, 3)] {
        for resolver in BOTH {
            let site = Site::new(Fs::Ext4);
            let swaps = AtomicU64::new(0);
            for round in 0..rounds {
                std::fs::create_dir_all(&site.volume).unwrap();
                let (dir, link) = (site.volume.join("dir"), site.volume.join("link"));
                std::fs::create_dir(&dir).unwrap();
                plant(&dir, 3, 2);
                std::os::unix::fs::symlink(&site.outside, &link).unwrap();
                let done = AtomicBool::new(false);
                // Between looking at a name and acting on it there is all the time in the world.
                let strace = (slowed && round < rounds).then(|| {
                    Strace::inject("openat2,openat,unlinkat,newfstatat,statx:delay_enter=3000")
                });
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            let swapped = rustix::fs::renameat_with(
                                CWD,
                                &dir,
                                CWD,
                                &link,
                                RenameFlags::EXCHANGE,
                            );
                            if swapped.is_ok() {
                                swaps.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    });
                    let kernel = Kernel::with(resolver);
                    for _ in 0..20 {
                        let report = site.wipe_by(
                            kernel,
                            &Control::new(0).with_threads(threads),
                            &Progress::default(),
                        );
                        if report.complete {
                            break;
                        }
                    }
                    done.store(true, Ordering::Relaxed);
                });
                drop(strace);
                site.assert_untouched();
                if !is_gone(&site.volume) {
                    site.wipe_whole();
                }
            }
            assert!(swaps.into_inner() > 10, "the race was not run");
        }
    }
}
