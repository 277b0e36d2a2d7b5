#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests make and look at trees of their own"
)]

mod behind_a_fence;
mod bounds;
mod endless;
mod refusals;
mod root;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::report::{LeftKind, StopReason, Tally};
use super::walk::crew::hasten_within;
use super::walk::{Limits, Walk};
use super::{Control, Progress};
use crate::act::sys::hooked::{Hook, Hooked, quiet};
use crate::act::sys::{Errno, FsKind, Kernel, Sys};
use crate::sys::Resolver;
use crate::units::Raw;

/// Limits so small that every tree meets them.
const TINY: Limits = Limits {
    window: 2,
    batch: 64,
    deepest: 6,
    shallow: None,
    names: 64,
    names_least: 8,
    names_most: 400,
};

fn empty<S: Sys<Dir = OwnedFd>>(
    sys: &S,
    path: &Path,
    limits: Limits,
) -> (Tally, Option<StopReason>) {
    let (control, progress) = (Control::new(0), Progress::default());
    empty_with(sys, path, limits, &control, &progress)
}

fn empty_with<S: Sys<Dir = OwnedFd>>(
    sys: &S,
    path: &Path,
    limits: Limits,
    control: &Control,
    progress: &Progress,
) -> (Tally, Option<StopReason>) {
    let root = sys.open_root(path).unwrap();
    let mut walk = Walk::new(sys, control, progress, limits);
    let stopped = walk.empty(root, None).err();
    (walk.into_tally(), stopped)
}

/// In memory where that is possible: the disk of a build machine is slow.
pub(super) fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).unwrap().next().is_none()
}

/// `width` files and directories at each of `depth` levels; files and directories in all.
fn plant(at: &Path, width: usize, depth: usize) -> (u64, u64) {
    let mut made = (0, 0);
    for i in 0..width {
        std::fs::write(at.join(format!("file{i}")), "x").unwrap();
        made.0 += 1;
        if depth > 0 {
            let dir = at.join(format!("dir{i}"));
            std::fs::create_dir(&dir).unwrap();
            let inside = plant(&dir, width, depth - 1);
            made = (made.0 + inside.0, made.1 + inside.1 + 1);
        }
    }
    made
}

#[test]
fn everything_goes_and_is_counted_with_both_resolvers_whatever_the_limits() {
    for resolver in [Resolver::Openat2, Resolver::Fdinfo] {
        for limits in [Limits::USUAL, TINY] {
            let temp = temp();
            let (files, dirs) = plant(temp.path(), 3, 4);
            let (tally, stopped) = empty(&Kernel::with(resolver), temp.path(), limits);
            assert_eq!(stopped, None);
            assert!(tally.left.is_empty(), "{:?}", tally.left);
            assert_eq!((tally.files, tally.dirs), (files, dirs));
            assert!(is_empty(temp.path()));
        }
    }
}

fn on_btrfs(hook: Hook<'_>) -> Hooked<'_> {
    let sys = Hooked::new(hook);
    sys.kind.set(Some(FsKind::Btrfs));
    sys
}

#[test]
fn directories_for_whose_names_there_is_no_room_are_found_again() {
    for sys in [Hooked::new(&quiet), on_btrfs(&quiet)] {
        let temp = temp();
        for i in 0..500 {
            std::fs::create_dir_all(temp.path().join(format!("dir{i}/inner{i}"))).unwrap();
        }
        let (tally, stopped) = empty(&sys, temp.path(), TINY);
        assert_eq!((tally.dirs, stopped), (1000, None));
        assert!(is_empty(temp.path()));
    }
}

#[test]
fn on_btrfs_what_is_listed_behind_a_directory_goes_after_what_is_in_it() {
    for limits in [Limits::USUAL, TINY] {
        let temp = temp();
        let (files, dirs) = plant(temp.path(), 3, 3);
        let (tally, stopped) = empty(&on_btrfs(&quiet), temp.path(), limits);
        assert_eq!((tally.files, tally.dirs, stopped), (files, dirs, None));
        assert!(is_empty(temp.path()));
    }
    let temp = temp();
    for name in ["a", "b", "c", "d"] {
        std::fs::write(temp.path().join(name), "").unwrap();
        std::fs::create_dir(temp.path().join(format!("{name}-dir"))).unwrap();
        std::fs::write(temp.path().join(format!("{name}-dir/in-{name}-dir")), "").unwrap();
    }
    let expected: Vec<Raw> = std::fs::read_dir(temp.path())
        .unwrap()
        .flat_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let inside = name.ends_with("-dir").then(|| format!("in-{name}"));
            inside.into_iter().chain([name])
        })
        .map(|name| Raw::from(name.as_str()))
        .collect();
    let seen = RefCell::new(Vec::new());
    let hook = |call: &'static str, name: &[u8]| {
        if matches!(call, "unlink" | "rmdir") {
            seen.borrow_mut().push(Raw::new(name));
        }
        Ok(())
    };
    empty(&on_btrfs(&hook), temp.path(), Limits::USUAL);
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn a_file_that_is_a_directory_when_its_turn_comes_goes_as_well() {
    let temp = temp();
    for name in ["a", "b"] {
        std::fs::write(temp.path().join(name), "").unwrap();
        std::fs::create_dir(temp.path().join(format!("{name}-dir"))).unwrap();
    }
    let exchanged = Cell::new(false);
    let hook = |call: &'static str, _: &[u8]| {
        if call == "rmdir" && !exchanged.replace(true) {
            for name in ["a", "b"] {
                let path = temp.path().join(name);
                if path.exists() {
                    std::fs::remove_file(&path).unwrap();
                    std::fs::create_dir(&path).unwrap();
                    std::fs::write(path.join("new"), "").unwrap();
                }
            }
        }
        Ok(())
    };
    let (tally, stopped) = empty(&on_btrfs(&hook), temp.path(), Limits::USUAL);
    assert!(exchanged.get() && stopped.is_none() && tally.left.is_empty());
    assert!(is_empty(temp.path()));
}

#[test]
fn what_lies_too_deep_is_moved_up_and_removed_there() {
    let temp = temp();
    let mut path = temp.path().to_owned();
    for i in 0..60 {
        path.push(format!("d{i}"));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("f"), "").unwrap();
    }
    let moved = Cell::new(0);
    let hook = |call: &'static str, _: &[u8]| {
        moved.set(moved.get() + usize::from(call == "rename_noreplace"));
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), TINY);
    assert_eq!((tally.files, tally.dirs, stopped), (60, 60, None));
    assert!(moved.get() >= 10);
    assert!(is_empty(temp.path()));
}

#[test]
fn names_of_any_bytes_go() {
    use std::os::unix::ffi::OsStrExt as _;
    let temp = temp();
    for name in [
        &b"\xff\xfe"[..],
        b"a\nb",
        b"-rf",
        b"\x1b[2J",
        b"...",
        b" ",
        &[b'x'; 255],
    ] {
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::create_dir(temp.path().join(name)).unwrap();
        std::fs::write(temp.path().join(name).join(name), "").unwrap();
    }
    let (tally, _) = empty(&Kernel::new(), temp.path(), Limits::USUAL);
    assert_eq!((tally.files, tally.dirs), (7, 7));
    assert!(is_empty(temp.path()));
}

#[test]
fn a_tree_moved_away_meanwhile_is_not_followed() {
    let temp = temp();
    let outside = tempfile::tempdir_in(temp.path()).unwrap();
    let volume = tempfile::tempdir_in(temp.path()).unwrap();
    std::fs::create_dir_all(volume.path().join("a/b/c/d/e/f")).unwrap();
    std::fs::write(volume.path().join("a/sibling"), "").unwrap();
    // Of the same names as on the way up, and alive.
    std::fs::create_dir_all(outside.path().join("b/live")).unwrap();
    std::fs::write(outside.path().join("file"), "live").unwrap();
    let once = Cell::new(false);
    let hook = |call: &'static str, name: &[u8]| {
        // The walk is in `f`; `a` to `d` are closed.
        if call == "rmdir" && name == b"f" && !once.replace(true) {
            std::fs::rename(volume.path().join("a/b/c"), outside.path().join("c")).unwrap();
        }
        Ok(())
    };
    let limits = Limits {
        deepest: 100,
        ..TINY
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), volume.path(), limits);
    assert!(once.get());
    assert_eq!((stopped, tally.left.len()), (None, 0));
    assert!(is_empty(volume.path()));
    assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"live");
    assert!(std::fs::metadata(outside.path().join("b/live")).is_ok());
    assert!(std::fs::metadata(outside.path().join("c")).is_ok());
}

#[test]
fn a_tree_that_keeps_moving_is_given_up() {
    let temp = temp();
    let volume = tempfile::tempdir_in(temp.path()).unwrap();
    std::fs::create_dir_all(volume.path().join("a/b/c/d/e")).unwrap();
    let (there, back) = (volume.path().join("a/b"), temp.path().join("b"));
    let hook = |call: &'static str, _: &[u8]| {
        // Away before the walk goes up by `..`, and back for the next try, filled.
        if call == "open_parent" && std::fs::metadata(&back).is_err() {
            std::fs::rename(&there, &back).unwrap();
        }
        if call == "open_child" && std::fs::metadata(&there).is_err() {
            std::fs::rename(&back, &there).unwrap();
            std::fs::create_dir_all(there.join("c/d/e")).unwrap();
        }
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), volume.path(), TINY);
    assert_eq!(stopped, None);
    assert_eq!(
        tally.left.keys().collect::<Vec<_>>(),
        [&LeftKind::Moved],
        "given up after a few tries"
    );
}

#[test]
fn a_directory_that_is_filled_for_ever_is_given_up_and_the_rest_goes() {
    let temp = temp();
    std::fs::create_dir_all(temp.path().join("a/busy")).unwrap();
    std::fs::write(temp.path().join("a/other"), "").unwrap();
    std::fs::create_dir_all(temp.path().join("b/c")).unwrap();
    let tries = Cell::new(0);
    let hook = |call: &'static str, name: &[u8]| {
        if call == "rmdir" && name == b"busy" {
            tries.set(tries.get() + 1);
            std::fs::write(temp.path().join("a/busy/new"), "").unwrap();
        }
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!((stopped, tries.get()), (None, 8));
    let left: Vec<_> = tally.left.into_values().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].kind, LeftKind::Busy);
    assert_eq!(left[0].paths, [Raw::from("a/busy")]);
    let rest: Vec<_> = std::fs::read_dir(temp.path()).unwrap().collect();
    assert_eq!(rest.len(), 1);
}

#[test]
fn a_reading_that_never_ends_comes_to_an_end() {
    let temp = temp();
    std::fs::write(temp.path().join("file"), "").unwrap();
    let sys = Hooked::new(&|_, _| Ok(()));
    sys.endless.set(true);
    let limits = Limits {
        batch: 2000,
        ..Limits::USUAL
    };
    let (tally, stopped) = empty(&sys, temp.path(), limits);
    assert_eq!(stopped, None);
    assert_eq!(tally.left.keys().collect::<Vec<_>>(), [&LeftKind::Busy]);
    assert!(tally.files > 100);
}

#[test]
fn errors_are_collected_by_kind_and_the_rest_goes_on() {
    let temp = temp();
    plant(temp.path(), 4, 2);
    let hook = |call: &'static str, name: &[u8]| match (call, name) {
        ("unlink", b"file1") => Err(Errno::BUSY),
        ("unlink" | "unlink_flagged", b"file2") => Err(Errno::PERM),
        ("open_child", b"dir3") => Err(Errno::ACCESS),
        _ => Ok(()),
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    let counts: Vec<_> = tally
        .left
        .values()
        .map(|left| (left.kind, left.count))
        .collect();
    // Thirteen directories are entered (1 + 3 + 9), dir3 of four of them is not.
    assert_eq!(
        counts,
        [(LeftKind::Mount, 13), (LeftKind::NotPermitted, 13 + 4)]
    );
    let mounts = &tally.left[&LeftKind::Mount];
    assert!(mounts.paths.contains(&Raw::from("dir0/dir1/file1")));
    assert_eq!(tally.files, 13 * 2);
}

#[test]
fn a_directory_moved_away_while_it_is_opened_is_not_called_a_mount() {
    let temp = temp();
    plant(temp.path(), 3, 1);
    std::fs::create_dir(temp.path().join("dir0/dir0")).unwrap();
    let calls = Cell::new(0);
    let hook = |call: &'static str, name: &[u8]| match (call, name) {
        ("open_child", b"dir1") => {
            std::fs::remove_dir_all(temp.path().join("dir1")).unwrap();
            Err(Errno::XDEV)
        }
        ("open_child", b"dir2") if calls.replace(calls.get() + 1) < 3 => Err(Errno::XDEV),
        // For ever, though nothing is mounted there: left alone in the end.
        ("open_child", b"dir0") => Err(Errno::XDEV),
        _ => Ok(()),
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    let left: Vec<_> = tally.left.into_values().collect();
    assert_eq!((left.len(), left[0].kind), (1, LeftKind::Mount));
    assert_eq!(left[0].paths, [Raw::from("dir0")]);
    assert_eq!(calls.get(), 4);
}

#[test]
fn a_failing_device_is_given_up_after_some_failures_and_a_read_only_one_at_once() {
    for (errno, reason, most) in [
        (Errno::IO, StopReason::Failing, 17),
        (Errno::ROFS, StopReason::ReadOnly, 1),
    ] {
        let temp = temp();
        plant(temp.path(), 30, 0);
        let calls = Cell::new(0);
        let hook = |call: &'static str, _: &[u8]| {
            if call == "unlink" || call == "rmdir" {
                calls.set(calls.get() + 1);
                return Err(errno);
            }
            Ok(())
        };
        let (_, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
        assert_eq!((stopped, calls.get()), (Some(reason), most));
    }
}

#[test]
fn a_full_file_system_is_synced_and_tried_again() {
    let temp = temp();
    plant(temp.path(), 3, 1);
    let full = Cell::new(true);
    let hook = |call: &'static str, _: &[u8]| match call {
        "unlink" | "rmdir" if full.get() => Err(Errno::NOSPC),
        "sync_fs" => {
            full.set(false);
            Ok(())
        }
        _ => Ok(()),
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!((stopped, tally.left.len()), (None, 0));
    assert!(is_empty(temp.path()));
}

#[test]
fn too_few_descriptors_make_the_window_smaller() {
    let temp = temp();
    let mut path = temp.path().to_owned();
    for _ in 0..40 {
        path.push("d");
    }
    std::fs::create_dir_all(&path).unwrap();
    let refusals = Cell::new(0);
    let hook = |call: &'static str, _: &[u8]| {
        if call == "open_child" || call == "open_parent" {
            refusals.set(refusals.get() + 1);
            if (20..40).contains(&refusals.get()) && refusals.get() % 2 == 0 {
                return Err(Errno::MFILE);
            }
        }
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!((stopped, tally.dirs), (None, 40));
    assert!(is_empty(temp.path()));

    std::fs::create_dir(temp.path().join("d")).unwrap();
    let hook = |call: &'static str, _: &[u8]| match call {
        "open_child" => Err(Errno::MFILE),
        _ => Ok(()),
    };
    let (_, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!(stopped, Some(StopReason::Resources));
}

#[test]
fn an_entry_that_changes_its_type_all_the_time_is_given_up() {
    let temp = temp();
    let path = temp.path().join("both");
    std::fs::create_dir(&path).unwrap();
    let hook = |call: &'static str, name: &[u8]| {
        if name == b"both" {
            match call {
                "open_child" => {
                    std::fs::remove_dir(&path).unwrap();
                    std::fs::write(&path, "").unwrap();
                }
                "unlink" => {
                    std::fs::remove_file(&path).unwrap();
                    std::fs::create_dir(&path).unwrap();
                }
                _ => {}
            }
        }
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    assert_eq!(tally.left.keys().collect::<Vec<_>>(), [&LeftKind::Busy]);
}

/// Fails each call once, for every call that a walk makes: whatever fails, the report is true.
#[test]
fn whichever_call_fails_the_report_is_true() {
    let errnos = [
        Errno::IO,
        Errno::PERM,
        Errno::NOENT,
        Errno::ROFS,
        Errno::MFILE,
        Errno::NOTEMPTY,
        Errno::STALE,
    ];
    for (errno, kind) in errnos
        .into_iter()
        .flat_map(|errno| [(errno, None), (errno, Some(FsKind::Btrfs))])
    {
        for at in 0.. {
            let temp = temp();
            plant(temp.path(), 1, 4);
            std::fs::create_dir_all(temp.path().join("other/dir0")).unwrap();
            let calls = Cell::new(0);
            let failed = RefCell::new(None);
            let hook = |call: &'static str, name: &[u8]| {
                calls.set(calls.get() + 1);
                if calls.get() - 1 == at {
                    *failed.borrow_mut() = Some((call, Raw::new(name)));
                    return Err(errno);
                }
                Ok(())
            };
            let sys = Hooked::new(&hook);
            sys.kind.set(kind);
            let (tally, stopped) = empty(&sys, temp.path(), TINY);
            let complete = stopped.is_none() && tally.left.is_empty();
            // An entry of which the kernel says that it is not there can't be reported.
            if complete && errno != Errno::NOENT {
                assert!(is_empty(temp.path()), "{errno:?} {failed:?}");
            }
            if failed.borrow().is_none() {
                assert!(complete && at > 30);
                break;
            }
        }
    }
}

#[test]
fn it_stops_when_told_and_another_walk_goes_on() {
    let temp = temp();
    let (files, dirs) = plant(temp.path(), 4, 3);
    let (control, progress) = (Control::new(0), Progress::default());
    let hook = |call: &'static str, _: &[u8]| {
        if call == "unlink" && progress.now().files == 20 {
            control.stop();
        }
        Ok(())
    };
    let sys = Hooked::new(&hook);
    let (first, stopped) = empty_with(&sys, temp.path(), TINY, &control, &progress);
    assert_eq!(stopped, Some(StopReason::Cancelled));
    assert!(first.files <= 21, "at the next entry: {}", first.files);
    let (second, stopped) = empty(&Kernel::new(), temp.path(), TINY);
    assert_eq!(stopped, None);
    assert_eq!(first.files + second.files, files);
    assert_eq!(first.dirs + second.dirs, dirs);
    assert_eq!(progress.now().files, first.files);
}

#[test]
fn several_threads_and_one_after_them_remove_everything_once() {
    for (width, depth, limits, kind) in [
        (3, 4, TINY, FsKind::Ext4),
        (5, 3, Limits::USUAL, FsKind::Xfs),
        (40, 1, TINY, FsKind::Xfs),
    ] {
        let temp = temp();
        let (files, dirs) = plant(temp.path(), width, depth);
        let (control, progress) = (Control::new(0).with_threads(4), Progress::default());
        let kernel = Kernel::new();
        let root = kernel.open_root(temp.path()).unwrap();
        let done = hasten_within(kernel, (&root, kind), (&control, &progress), None, limits);
        assert_eq!(done.stopped, None);
        assert!(done.tally.left.is_empty());
        assert!(done.tally.files * 2 > files, "most of it is done by them");
        let (rest, stopped) = empty_with(&kernel, temp.path(), limits, &control, &progress);
        assert_eq!(stopped, None);
        let all = rest.after(done);
        assert!(all.left.is_empty(), "{:?}", all.left);
        assert_eq!((all.files, all.dirs), (files, dirs));
        assert_eq!((progress.now().files, progress.now().dirs), (files, dirs));
        assert!(is_empty(temp.path()));
    }
}

#[test]
fn several_threads_follow_no_link_and_leave_a_link_s_target_alone() {
    for _ in 0..20 {
        let (temp, outside) = (temp(), temp());
        let (volume, live) = (temp.path(), outside.path());
        std::fs::create_dir_all(live.join("dir0/deep")).unwrap();
        std::fs::write(live.join("dir0/file"), "live").unwrap();
        plant(volume, 3, 3);
        std::os::unix::fs::symlink(live, volume.join("link")).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let control = Control::new(0).with_threads(3);
        let kernel = Kernel::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let exchanged = rustix::fs::renameat_with(
                        rustix::fs::CWD,
                        volume.join("dir1"),
                        rustix::fs::CWD,
                        volume.join("link"),
                        rustix::fs::RenameFlags::EXCHANGE,
                    );
                    if exchanged.is_err() {
                        break;
                    }
                }
            });
            let root = kernel.open_root(volume).unwrap();
            let progress = Progress::default();
            hasten_within(
                kernel,
                (&root, FsKind::Ext4),
                (&control, &progress),
                None,
                TINY,
            );
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(empty(&kernel, volume, TINY).1, None);
        assert!(is_empty(volume));
        assert_eq!(std::fs::read(live.join("dir0/file")).unwrap(), b"live");
        assert!(std::fs::metadata(live.join("dir0/deep")).is_ok());
    }
}

#[test]
fn several_threads_stop_when_told_and_make_way_when_a_rate_is_set() {
    for stop in [true, false] {
        let temp = temp();
        let (files, _) = plant(temp.path(), 6, 4);
        let (control, progress) = (Control::new(0).with_threads(3), Progress::default());
        let kernel = Kernel::new();
        let root = kernel.open_root(temp.path()).unwrap();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while progress.now().files < 50 {
                    std::hint::spin_loop();
                }
                if stop {
                    control.stop();
                } else {
                    control.set_rate(100_000);
                }
            });
            hasten_within(
                kernel,
                (&root, FsKind::Ext4),
                (&control, &progress),
                None,
                TINY,
            )
        });
        assert_eq!(done.stopped, stop.then_some(StopReason::Cancelled));
        assert!(done.tally.files < files, "not to the end");
        if !stop {
            let (rest, stopped) = empty_with(&kernel, temp.path(), TINY, &control, &progress);
            assert_eq!((rest.after(done).files, stopped), (files, None));
        }
    }
}
