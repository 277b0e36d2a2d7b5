//! The walk behind a fence: what it may not touch any more, and how deep it goes.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::fence;
use super::super::report::{StopReason, Tally};
use super::super::walk::{BeforeUnlink, Ready};
use super::*;

/// Has the first file wait until somebody has done something to the tree.
struct Meanwhile {
    begun: AtomicBool,
    both: Barrier,
}

impl BeforeUnlink for Meanwhile {
    fn before_unlink(
        &self,
        _dir: BorrowedFd<'_>,
        _name: &[u8],
        _path: &dyn Fn() -> Raw,
    ) -> Result<Ready, StopReason> {
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.both.wait();
            self.both.wait();
        }
        Ok(Ready::Unlink)
    }

    fn is_ready(&self, _dir: BorrowedFd<'_>, _name: &[u8]) -> bool {
        true
    }
}

/// Empties a directory with ten files in `a/sub`, which is moved out before the first of them is unlinked;
/// how many are there in the end, and what the walk tells.
fn moved_out(limits: Limits, behind: bool) -> (usize, Tally, Option<StopReason>) {
    let temp = temp();
    let (volume, outside) = (temp.path().join("volume"), temp.path().join("outside"));
    let sub = volume.join("a/sub");
    std::fs::create_dir_all(&sub).unwrap();
    std::fs::create_dir(&outside).unwrap();
    for i in 0..10 {
        std::fs::write(sub.join(format!("file{i}")), "live").unwrap();
    }
    let meanwhile = Meanwhile {
        begun: AtomicBool::new(false),
        both: Barrier::new(2),
    };
    let kernel = Kernel::new();
    let root = kernel.open_root(&volume).unwrap();
    let (control, progress) = (Control::new(0), Progress::default());
    let work = || {
        let mut walk = Walk::new(&kernel, &control, &progress, limits);
        walk.before_unlink(Some(&meanwhile));
        let stopped = walk.empty(kernel.reopen(&root).unwrap(), None).err();
        (walk.into_tally(), stopped)
    };
    let (tally, stopped) = std::thread::scope(|scope| {
        scope.spawn(|| {
            meanwhile.both.wait();
            std::fs::rename(&sub, outside.join("sub")).unwrap();
            meanwhile.both.wait();
        });
        if behind {
            fence::within(root.as_fd(), None, |_fenced| work()).unwrap()
        } else {
            work()
        }
    });
    assert!(is_empty(&volume));
    let stay = std::fs::read_dir(outside.join("sub")).unwrap().count();
    (stay, tally, stopped)
}

#[test]
fn what_is_moved_out_of_a_volume_while_the_walk_is_in_it_stays_behind_a_fence_and_goes_without_one()
{
    let (stay, tally, stopped) = moved_out(Limits::USUAL, false);
    assert_eq!((stay, tally.files, stopped), (0, 10, None));
    if !fence::is_there() {
        println!("skipped: needs Landlock (Linux 5.19 or later, with landlock among its LSMs)");
        return;
    }
    let (stay, tally, stopped) = moved_out(Limits::USUAL.fenced(Limits::SHALLOW), true);
    // It is none of ours any more: neither removed nor reported as left.
    assert_eq!((stay, tally.files, stopped), (10, 0, None));
    assert!(tally.left.is_empty(), "{:?}", tally.left);
}

/// So many directories in one another, each with a file.
fn chain(at: &Path, depth: usize) {
    let mut path = at.to_owned();
    for _ in 0..depth {
        path.push("d");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("f"), "").unwrap();
    }
}

const SHALLOW: Limits = Limits {
    shallow: Some(2),
    ..Limits::USUAL
};

#[test]
fn behind_a_fence_a_chain_is_moved_up_in_pieces_that_grow() {
    let temp = temp();
    chain(temp.path(), 800);
    let moved = Cell::new(0);
    let hook = |call: &'static str, _: &[u8]| {
        moved.set(moved.get() + usize::from(call == "rename_noreplace"));
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), SHALLOW);
    assert_eq!((tally.files, tally.dirs, stopped), (800, 800, None));
    // By twos 400 times, were they not to grow.
    assert!((100..300).contains(&moved.get()), "{}", moved.get());
    assert!(is_empty(temp.path()));
}

#[test]
fn what_can_t_be_moved_up_is_removed_where_it_lies() {
    for errno in [Errno::XDEV, Errno::NOSPC, Errno::MLINK, Errno::ACCESS] {
        let temp = temp();
        chain(temp.path(), 100);
        let tried = Cell::new(0);
        let hook = |call: &'static str, _: &[u8]| {
            if call == "rename_noreplace" {
                tried.set(tried.get() + 1);
                return Err(errno);
            }
            Ok(())
        };
        let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), SHALLOW);
        assert_eq!((tally.files, tally.dirs, stopped), (100, 100, None));
        assert!(tally.left.is_empty(), "{errno}: {:?}", tally.left);
        assert!(tried.get() >= 50, "{}", tried.get());
        assert!(is_empty(temp.path()));
    }
}

#[test]
fn what_lies_too_deep_and_can_t_be_moved_up_is_said_and_goes_once_it_can() {
    let temp = temp();
    chain(temp.path(), 100);
    let limits = Limits {
        deepest: 40,
        ..SHALLOW
    };
    let hook = |call: &'static str, _: &[u8]| match call {
        "rename_noreplace" => Err(Errno::XDEV),
        _ => Ok(()),
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), limits);
    assert_eq!(stopped, None);
    let left: Vec<_> = tally.left.values().map(|left| left.kind).collect();
    assert_eq!(left, [LeftKind::TooDeep]);
    assert!(!is_empty(temp.path()));
    let (tally, stopped) = empty(&Kernel::new(), temp.path(), limits);
    assert_eq!((tally.dirs, stopped), (100, None));
    assert!(is_empty(temp.path()));
}

#[test]
fn workers_behind_a_fence_leave_what_lies_deep_to_the_single_walk() {
    let temp = temp();
    let (files, dirs) = plant(temp.path(), 3, 6);
    let kernel = Kernel::new();
    let root = kernel.open_root(temp.path()).unwrap();
    let (control, progress) = (Control::new(0).with_threads(3), Progress::default());
    let watched = (&control, &progress);
    let limits = Limits {
        shallow: Some(4),
        ..Limits::USUAL
    };
    let done = hasten_within(kernel, (&root, FsKind::Ext4), watched, None, limits);
    assert_eq!(done.stopped, None);
    assert!(done.tally.left.is_empty());
    let deep = temp.path().join("dir0/dir0/dir0/dir0/file0");
    assert!(deep.symlink_metadata().is_ok());
    assert_eq!(done.tally.files, 3 * (1 + 3 + 9 + 27));
    let (tally, stopped) = empty(&kernel, temp.path(), limits);
    assert_eq!(stopped, None);
    assert_eq!(tally.files + done.tally.files, files);
    assert_eq!(tally.dirs + done.tally.dirs, dirs);
    assert!(is_empty(temp.path()));
}

/// At 32,768 levels it would take the kernel many minutes.
#[test]
fn behind_a_fence_no_way_down_is_longer_than_a_few_thousand_levels() {
    let temp = temp();
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(temp.path(), flags, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..4200 {
        rustix::fs::mkdirat(&dir, "d", rustix::fs::Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, "d", flags, rustix::fs::Mode::empty()).unwrap();
    }
    let hook = |call: &'static str, _: &[u8]| match call {
        "rename_noreplace" => Err(Errno::XDEV),
        _ => Ok(()),
    };
    let (tally, stopped) = empty(
        &Hooked::new(&hook),
        temp.path(),
        Limits::USUAL.fenced(Limits::SHALLOW),
    );
    let left: Vec<_> = tally.left.into_keys().collect();
    assert_eq!((left, stopped), (vec![LeftKind::TooDeep], None));
    let (tally, stopped) = empty(&Kernel::new(), temp.path(), Limits::USUAL);
    assert_eq!((tally.dirs, tally.left.len(), stopped), (4200, 0, None));
}

#[test]
fn a_directory_that_the_fence_keeps_because_it_was_moved_out_is_not_called_left() {
    let temp = temp();
    let (volume, outside) = (temp.path().join("volume"), temp.path().join("outside"));
    std::fs::create_dir_all(volume.join("a/sub/empty")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    let hook = |call: &'static str, name: &[u8]| {
        if call == "rmdir" && name == b"empty" {
            std::fs::rename(volume.join("a/sub"), outside.join("sub")).unwrap();
            return Err(Errno::ACCESS);
        }
        Ok(())
    };
    let (tally, stopped) = empty(
        &Hooked::new(&hook),
        &volume,
        Limits::USUAL.fenced(Limits::SHALLOW),
    );
    assert!(tally.left.is_empty(), "{:?}", tally.left);
    assert_eq!((tally.dirs, stopped), (1, None));
    assert!(is_empty(&volume) && outside.join("sub/empty").is_dir());
}
