//! What bounds a walk: tries, descriptors, what is kept of paths, and the rate.

use super::super::control::BY_FILE_SYSTEM;
use super::super::walk::Walk;
use super::*;

/// How often a directory is removed that is filled again each time, by these numbers of files, in turn;
/// what is left in the end.
fn filled_again(fills: &[u32]) -> (usize, Vec<LeftKind>) {
    let temp = temp();
    let busy = temp.path().join("busy");
    std::fs::create_dir(&busy).unwrap();
    let fill = |many: u32| {
        for file in 0..many {
            std::fs::write(busy.join(file.to_string()), "").unwrap();
        }
    };
    fill(fills[0]);
    let tries = Cell::new(0);
    let hook = |call: &'static str, name: &[u8]| {
        if call == "rmdir" && name == b"busy" {
            tries.set(tries.get() + 1);
            fill(fills.get(tries.get()).copied().unwrap_or(1));
        }
        Ok(())
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    (tries.get(), tally.left.into_keys().collect())
}

#[test]
fn whoever_fills_a_directory_faster_than_it_is_emptied_is_given_up_early() {
    // One that was full to begin with is no sign of a writer; the second time it is.
    assert_eq!(filled_again(&[1500; 9]), (2, vec![LeftKind::Busy]));
    assert_eq!(filled_again(&[1, 1, 1500, 1500]), (3, vec![LeftKind::Busy]));
    // Fewer each time: it is gained upon. And few are no flood, as often as they come.
    let fewer = [1500, 1400, 1300, 1200, 1100, 1050, 1040, 1030, 1020];
    assert_eq!(filled_again(&fewer), (8, vec![LeftKind::Busy]));
    assert_eq!(filled_again(&[1000; 9]), (8, vec![LeftKind::Busy]));
    assert_eq!(filled_again(&[3; 9]), (8, vec![LeftKind::Busy]));
    // At the eighth try it is not filled any more.
    assert_eq!(filled_again(&[5, 5, 5, 5, 5, 5, 5, 5, 0]), (8, vec![]));
}

#[test]
fn each_file_system_has_the_rate_at_which_a_neighbour_hardly_notices() {
    for (kind, discards, expected) in [
        (FsKind::Ext4, false, 20_000),
        (FsKind::Xfs, false, 5_000),
        (FsKind::Btrfs, false, 10_000),
        (FsKind::Other, false, 5_000),
        (FsKind::Ext4, true, 5_000),
        (FsKind::Xfs, true, 5_000),
        (FsKind::Btrfs, true, 5_000),
        (FsKind::Other, true, 5_000),
    ] {
        let temp = temp();
        let sys = Hooked::new(&quiet);
        sys.kind.set(Some(kind));
        sys.discards.set(Some(discards));
        let (before, during) = (Control::new(BY_FILE_SYSTEM), Control::new(BY_FILE_SYSTEM));
        let root = sys.open_root(temp.path()).unwrap();
        Walk::new(&sys, &before, &Progress::default(), TINY)
            .look(&root)
            .unwrap();
        assert_eq!(before.rate(), expected, "{kind:?} {discards}");
        empty_with(&sys, temp.path(), TINY, &during, &Progress::default());
        assert_eq!(during.rate(), expected, "{kind:?} {discards}");
    }
}

#[test]
fn what_is_left_is_named_from_the_root_on_and_very_long_paths_are_cut() {
    let long = |letter: char| letter.to_string().repeat(120);
    let temp = temp();
    let mut path = temp.path().join("a/b");
    for letter in 'c'..='z' {
        path.push(long(letter));
    }
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("file"), "").unwrap();
    let at = Cell::new(0);
    let hook = |call: &'static str, name: &[u8]| {
        if call == "read_entries" {
            at.set(at.get() + 1);
        }
        match (call, at.get()) {
            // The root and `a/b` can be read once, and not to their ends.
            ("read_entries", 2 | 6) => Err(Errno::ISDIR),
            ("unlink", _) if name == b"file" => Err(Errno::BUSY),
            _ => Ok(()),
        }
    };
    let sys = Hooked::new(&hook);
    // Where each directory is read until nothing comes.
    sys.kind.set(Some(FsKind::Other));
    let (tally, stopped) = empty(&sys, temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    let left = |kind| tally.left[&kind].paths.clone();
    let errno = Errno::ISDIR.raw_os_error();
    assert_eq!(left(LeftKind::Other { errno }), [".".into(), "a/b".into()]);
    let deep = left(LeftKind::Mount).remove(0).to_string();
    assert!(deep.starts_with(&format!("a/b/{}/", long('c'))), "{deep}");
    assert!(deep.ends_with("/…/file"), "{deep}");
    assert!((1024..1300).contains(&deep.len()), "{}", deep.len());
}

#[test]
fn no_more_directories_are_open_than_the_window_has() {
    let temp = temp();
    let mut path = temp.path().to_owned();
    for _ in 0..100 {
        path.push("d");
    }
    std::fs::create_dir_all(&path).unwrap();
    let most = Cell::new(0);
    let hook = |_: &'static str, _: &[u8]| {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let ours = open
            .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(temp.path())));
        most.set(most.get().max(ours.count()));
        Ok(())
    };
    for (window, bound) in [(2, 4), (10, 12), (32, 34)] {
        std::fs::create_dir_all(&path).unwrap();
        most.set(0);
        let limits = Limits {
            window,
            ..Limits::USUAL
        };
        let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), limits);
        assert_eq!((tally.dirs, stopped), (100, None));
        // The root, and one that is about to be entered or was just left.
        assert!(
            most.get() > window && most.get() <= bound,
            "{window}: {}",
            most.get()
        );
    }
}

#[test]
fn several_threads_work_only_where_they_are_allowed_and_nobody_is_to_be_spared() {
    for (threads, rate, works) in [(1, 0, false), (2, 0, true), (4, 1_000_000, false)] {
        let temp = temp();
        plant(temp.path(), 2, 2);
        let (control, progress) = (
            Control::new(rate).with_threads(threads),
            Progress::default(),
        );
        let kernel = Kernel::new();
        let root = kernel.open_root(temp.path()).unwrap();
        let watched = (&control, &progress);
        let done = hasten_within(kernel, (&root, FsKind::Ext4), watched, None, Limits::USUAL);
        assert_eq!(done.tally.files > 0, works, "{threads} {rate}");
    }
}

#[test]
fn a_directory_of_many_batches_is_read_on_and_not_begun_anew() {
    for kind in [FsKind::Ext4, FsKind::Btrfs, FsKind::Other] {
        let temp = temp();
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        for file in 0..3000 {
            std::fs::write(
                temp.path().join(format!("dir/file-of-some-length-{file}")),
                "",
            )
            .unwrap();
        }
        let rewound = Cell::new(0);
        let hook = |call: &'static str, _: &[u8]| {
            rewound.set(rewound.get() + usize::from(call == "rewind"));
            Ok(())
        };
        let sys = Hooked::new(&hook);
        sys.kind.set(Some(kind));
        let limits = Limits {
            batch: 1000,
            ..Limits::USUAL
        };
        let (tally, stopped) = empty(&sys, temp.path(), limits);
        assert_eq!(
            (tally.files, tally.dirs, stopped),
            (3000, 1, None),
            "{tally:?}"
        );
        // The root once, where it was found with something in it.
        assert!(rewound.get() <= 3, "{kind:?}: {}", rewound.get());
    }
}

#[test]
fn the_rate_is_kept_by_what_is_removed() {
    let temp = temp();
    plant(temp.path(), 20, 1);
    let begun = std::time::Instant::now();
    let (control, progress) = (Control::new(2000), Progress::default());
    let (_, stopped) = empty_with(
        &Kernel::new(),
        temp.path(),
        Limits::USUAL,
        &control,
        &progress,
    );
    assert_eq!((stopped, progress.now().removed()), (None, 440));
    assert!(begun.elapsed() >= std::time::Duration::from_millis(150));
}

const MIB: u64 = 1 << 20;

/// Which sizes a file of 320 MiB is given before it is unlinked, and what asked for large files.
fn steps(kind: FsKind, discards: bool, rate: u32) -> (Vec<u64>, Vec<Raw>) {
    let temp = temp();
    let file = std::fs::File::create(temp.path().join("large")).unwrap();
    file.set_len(320 * MIB).unwrap();
    std::os::unix::fs::symlink("large", temp.path().join("link")).unwrap();
    let (sizes, asked) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let hook = |call: &'static str, name: &[u8]| {
        match call {
            "truncate" => {
                let size: u64 = std::str::from_utf8(name).unwrap().parse().unwrap();
                sizes.borrow_mut().push(size / MIB);
            }
            "open_large" => asked.borrow_mut().push(Raw::new(name)),
            _ => {}
        }
        Ok(())
    };
    let sys = Hooked::new(&hook);
    sys.kind.set(Some(kind));
    sys.discards.set(Some(discards));
    let (control, progress) = (Control::new(rate), Progress::default());
    let (tally, stopped) = empty_with(&sys, temp.path(), Limits::USUAL, &control, &progress);
    assert_eq!((tally.files, stopped), (2, None));
    (sizes.into_inner(), asked.into_inner())
}

#[test]
fn large_files_are_shortened_step_by_step_only_where_that_spares_a_neighbour() {
    let in_steps = (vec![256, 192, 128, 64], vec![Raw::from("large")]);
    let at_once = (vec![], vec![]);
    for (kind, discards, rate, expected) in [
        (FsKind::Ext4, false, 100_000, &in_steps),
        (FsKind::Xfs, true, 100_000, &in_steps),
        (FsKind::Btrfs, false, 100_000, &at_once),
        (FsKind::Xfs, false, 100_000, &at_once),
        (FsKind::Ext4, true, 0, &at_once),
    ] {
        assert_eq!(
            steps(kind, discards, rate),
            *expected,
            "{kind:?} {discards} {rate}"
        );
    }
}

#[test]
fn shortening_a_large_file_ends_when_it_is_told_to() {
    let temp = temp();
    let file = std::fs::File::create(temp.path().join("large")).unwrap();
    file.set_len(640 * MIB).unwrap();
    let (control, progress) = (Control::new(1000), Progress::default());
    let steps = Cell::new(0);
    let hook = |call: &'static str, _: &[u8]| {
        if call == "truncate" {
            steps.set(steps.get() + 1);
            control.stop();
        }
        Ok(())
    };
    let sys = Hooked::new(&hook);
    sys.kind.set(Some(FsKind::Ext4));
    let (tally, stopped) = empty_with(&sys, temp.path(), Limits::USUAL, &control, &progress);
    assert_eq!((tally.files, steps.get()), (0, 1));
    assert_eq!(stopped, Some(StopReason::Cancelled));
    assert_eq!(file.metadata().unwrap().len(), 576 * MIB);
}
