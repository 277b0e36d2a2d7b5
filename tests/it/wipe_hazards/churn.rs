//! Trees that change while they are wiped, and wipes that are stopped.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, LeftKind, Progress, StopReason, fence};
use rustix::fs::{Mode, OFlags};

use super::{Site, within};
use crate::own_namespace::entered;
use crate::support::disk::Fs;
use crate::support::trees::{describe, is_gone, plant, plant_chain};

#[test]
fn root_hazard_writer_that_never_stops() {
    if !entered("wipe_hazards::churn::root_hazard_writer_that_never_stops") {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        let busy = site.volume.join("dir0/busy");
        plant(&site.volume, 2, 2);
        std::fs::create_dir(&busy).unwrap();
        let site = within(Duration::from_mins(1), move || {
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                        let dir = rustix::fs::open(&busy, flags, Mode::empty());
                        let mut i = 0_u64;
                        while let (Ok(dir), false) = (&dir, done.load(Ordering::Relaxed)) {
                            let name = format!("{i}");
                            let create = OFlags::CREATE | OFlags::CLOEXEC;
                            let file = rustix::fs::openat(dir, name.as_str(), create, Mode::RUSR);
                            let sub = rustix::fs::mkdirat(dir, format!("d{i}"), Mode::RWXU);
                            if file.is_err() && sub.is_err() {
                                // The directory itself is gone.
                                break;
                            }
                            i += 1;
                        }
                    });
                }
                std::thread::sleep(Duration::from_millis(20));
                let report = site.wipe();
                assert_eq!(report.stopped, None, "{report:?}");
                for left in &report.left {
                    assert_eq!(left.kind, LeftKind::Busy, "{report:?}");
                }
                done.store(true, Ordering::Relaxed);
            });
            site
        });
        site.assert_untouched();
        if !is_gone(&site.volume) {
            site.wipe_whole();
        }
    }
}

#[test]
fn root_hazard_tree_moved_away_while_we_are_inside() {
    if !entered("wipe_hazards::churn::root_hazard_tree_moved_away_while_we_are_inside") {
        return;
    }
    for fs in Fs::ALL {
        let mut site = Site::new(fs);
        // Slow enough to move it while the walk is on its way down, before it moves up what lies deep; without
        // a fence deep enough that the way back is by `..`.
        let top = site.volume.join("a/b");
        std::fs::create_dir_all(&top).unwrap();
        plant_chain(&top, 200);
        // At the new place, siblings of the same names as on the way up.
        let shelter = site.outside.join("shelter");
        std::fs::create_dir_all(shelter.join("d/d")).unwrap();
        plant(&shelter, 2, 1);
        site.look();
        let (control, progress) = (Control::new(40), Progress::default());
        let when_moved = Mutex::new(String::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.now().files < 5 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let moved = site.outside.join("moved");
                std::fs::rename(top.join("d"), &moved).unwrap();
                control.set_rate(0);
                if fence::is_there() {
                    // What was begun before may still end.
                    std::thread::sleep(Duration::from_millis(50));
                    *when_moved.lock().unwrap() = describe(&moved);
                }
            });
            let report = site.wipe_by(Kernel::new(), &control, &progress);
            assert!(report.complete, "{report:?}");
        });
        // Behind a fence nothing of what was moved goes any more; without one it is emptied at most.
        let moved = site.outside.join("moved");
        if fence::is_there() {
            let when_moved = when_moved.into_inner().unwrap();
            similar_asserts::assert_eq!(when_moved, describe(&moved));
        }
        // Nothing beside it is touched.
        std::fs::remove_dir_all(&moved).unwrap();
        let without_times_of_root =
            |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            without_times_of_root(&site.before),
            without_times_of_root(&describe(&site.outside))
        );
    }
}

/// The same names are files, directories and links in turn, as fast as can be.
#[test]
fn root_hazard_names_that_change_their_type_meanwhile() {
    if !entered("wipe_hazards::churn::root_hazard_names_that_change_their_type_meanwhile") {
        return;
    }
    for fs in Fs::ALL {
        for threads in [1, 3] {
            let site = Site::new(fs);
            plant(&site.volume, 3, 3);
            let flat = site.volume.join("dir0");
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut round = 0_usize;
                    while !done.load(Ordering::Relaxed) {
                        let path = flat.join(format!("name{}", round % 7));
                        // Each may fail, as the wipe is at it as well.
                        let changed = match round % 5 {
                            0 => std::fs::write(&path, ""),
                            1 => std::fs::remove_file(&path),
                            2 => std::fs::create_dir(&path),
                            3 => std::os::unix::fs::symlink(&site.outside, path.join("link")),
                            _ => std::fs::remove_dir(&path),
                        };
                        round = round.wrapping_add(1 + usize::from(changed.is_err()));
                    }
                });
                for _ in 0..5 {
                    let control = Control::new(0).with_threads(threads);
                    let report = site.wipe_by(Kernel::new(), &control, &Progress::default());
                    assert_eq!(report.stopped, None, "{report:?}");
                    if report.complete {
                        break;
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
            site.assert_untouched();
            if !is_gone(&site.volume) {
                site.wipe_whole();
            }
        }
    }
}

fn many_files(at: &Path, number: usize) {
    for i in 0..number {
        std::fs::write(at.join(i.to_string()), "").unwrap();
    }
}

#[test]
fn root_hazard_wipe_is_stopped_and_another_goes_on() {
    if !entered("wipe_hazards::churn::root_hazard_wipe_is_stopped_and_another_goes_on") {
        return;
    }
    for rate in [0, 2_000] {
        let site = Site::new(Fs::Ext4);
        many_files(&site.volume, 30_000);
        plant(&site.volume, 3, 3);
        let (control, progress) = (Control::new(rate), Progress::default());
        let (report, waited) = std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                while progress.now().files < 500 {
                    std::thread::yield_now();
                }
                control.stop();
                Instant::now()
            });
            let report = site.wipe_by(Kernel::new(), &control, &progress);
            (report, stopper.join().unwrap().elapsed())
        });
        assert_eq!(report.stopped, Some(StopReason::Cancelled));
        assert!((500..30_000).contains(&report.files), "{report:?}");
        assert!(waited < Duration::from_millis(100), "{waited:?}");
        let rest = site.wipe_whole();
        assert_eq!(report.files + rest.files, 30_000 + 2 * (3 + 9 + 27 + 81));
    }
}

#[test]
fn root_hazard_wipe_is_paused_and_goes_on() {
    if !entered("wipe_hazards::churn::root_hazard_wipe_is_paused_and_goes_on") {
        return;
    }
    let site = Site::new(Fs::Ext4);
    many_files(&site.volume, 5_000);
    let (control, progress) = (Control::new(5_000), Progress::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.now().files < 500 {
                std::thread::yield_now();
            }
            control.pause();
            std::thread::sleep(Duration::from_millis(100));
            let at = progress.now();
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(at, progress.now());
            assert!(at.files < 4_000);
            control.resume();
        });
        let report = site.wipe_by(Kernel::new(), &control, &progress);
        assert!(report.complete);
        assert!(
            report.elapsed.0 > Duration::from_millis(900 + 300),
            "{report:?}"
        );
    });
}
