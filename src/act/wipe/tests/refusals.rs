//! What the kernel refuses, and what is made of that.

use super::*;

/// Removes `dir/file` while these calls are refused each time; which calls were made for it, and what
/// is left.
fn refused(limits: Limits, call: &'static str, errno: Errno) -> (Vec<&'static str>, Vec<LeftKind>) {
    let temp = temp();
    std::fs::create_dir(temp.path().join("dir")).unwrap();
    std::fs::write(temp.path().join("dir/file"), "").unwrap();
    let tried = RefCell::new(Vec::new());
    let hook = |made: &'static str, _: &[u8]| {
        if matches!(
            made,
            "unlink" | "unlink_flagged" | "clear_flags" | "rmdir" | "sync_fs"
        ) {
            tried.borrow_mut().push(made);
        }
        if made == call { Err(errno) } else { Ok(()) }
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), limits);
    assert_eq!(stopped, None);
    (tried.into_inner(), tally.left.into_keys().collect())
}

#[test]
fn flags_are_looked_for_only_where_they_may_be_the_reason() {
    use LeftKind::{Failed, NotPermitted};
    let (usual, fenced) = (Limits::USUAL, Limits::USUAL.fenced(Limits::SHALLOW));
    // Of the directory first, then of the entry; neither has one.
    let flags = vec!["unlink", "clear_flags", "unlink_flagged"];
    for (limits, errno) in [
        (usual, Errno::PERM),
        (fenced, Errno::PERM),
        (usual, Errno::ACCESS),
    ] {
        let expected = (flags.clone(), vec![NotPermitted]);
        assert_eq!(refused(limits, "unlink", errno), expected);
    }
    // Behind a fence that is the fence's word, and flags outside it are nobody's business.
    let none = vec!["unlink"];
    assert_eq!(
        refused(fenced, "unlink", Errno::ACCESS),
        (none.clone(), vec![NotPermitted])
    );
    assert_eq!(refused(usual, "unlink", Errno::IO), (none, vec![Failed]));

    let flags = vec!["unlink", "rmdir", "clear_flags", "clear_flags"];
    for limits in [usual, fenced] {
        assert_eq!(
            refused(limits, "rmdir", Errno::PERM),
            (flags.clone(), vec![NotPermitted])
        );
    }
    assert_eq!(
        refused(usual, "rmdir", Errno::ACCESS),
        (flags, vec![NotPermitted])
    );
    let none = vec!["unlink", "rmdir"];
    assert_eq!(
        refused(fenced, "rmdir", Errno::ACCESS),
        (none.clone(), vec![NotPermitted])
    );
    assert_eq!(refused(usual, "rmdir", Errno::IO), (none, vec![Failed]));
}

#[test]
fn a_file_system_that_stays_full_is_synced_a_few_times_and_then_reported() {
    for call in ["unlink", "rmdir"] {
        let (tried, left) = refused(Limits::USUAL, call, Errno::NOSPC);
        assert_eq!(left, [LeftKind::NoSpace], "{call}");
        let syncs = tried.iter().filter(|call| **call == "sync_fs").count();
        assert_eq!(syncs, 8, "{call}");
    }
}

/// Removes `dir` with `file` in it, where this call is refused the first time, and flags are found as said
/// by what takes them away; which calls were made for it, and what is left.
fn refused_once(call: &'static str, found: &[bool]) -> (Vec<&'static str>, Vec<LeftKind>) {
    let temp = temp();
    std::fs::create_dir(temp.path().join("dir")).unwrap();
    std::fs::write(temp.path().join("dir/file"), "").unwrap();
    let tried = RefCell::new(Vec::new());
    let hook = |made: &'static str, _: &[u8]| {
        let mut tried = tried.borrow_mut();
        let is_first = !tried.contains(&made);
        if matches!(made, "unlink" | "unlink_flagged" | "clear_flags" | "rmdir") {
            tried.push(made);
        }
        if made == call && is_first {
            Err(Errno::PERM)
        } else {
            Ok(())
        }
    };
    let sys = Hooked::new(&hook);
    sys.cleared.borrow_mut().extend(found);
    let (tally, stopped) = empty(&sys, temp.path(), Limits::USUAL);
    assert_eq!(stopped, None);
    (tried.into_inner(), tally.left.into_keys().collect())
}

#[test]
fn where_a_flag_was_taken_away_it_is_tried_again_and_once_only() {
    let gone = vec!["unlink", "clear_flags", "unlink", "rmdir"];
    assert_eq!(refused_once("unlink", &[true]), (gone, vec![]));
    // Its own, or that of the directory that it lies in.
    let gone = vec!["unlink", "rmdir", "clear_flags", "clear_flags", "rmdir"];
    for found in [[true, false], [false, true], [true, true]] {
        assert_eq!(
            refused_once("rmdir", &found),
            (gone.clone(), vec![]),
            "{found:?}"
        );
    }
    let left = vec!["unlink", "rmdir", "clear_flags", "clear_flags"];
    assert_eq!(
        refused_once("rmdir", &[false, false]),
        (left, vec![LeftKind::NotPermitted])
    );
}

/// Moves up what lies too deep in a short chain, refused so often; how often flags were looked for, and
/// what comes of it.
fn moved_up(
    errno: Errno,
    times: usize,
    flags: Result<(), Errno>,
) -> (usize, Vec<LeftKind>, Option<StopReason>) {
    let temp = temp();
    std::fs::create_dir_all(temp.path().join("a/b/c/d/e")).unwrap();
    let (renames, looks) = (Cell::new(0), Cell::new(0));
    let hook = |call: &'static str, _: &[u8]| match call {
        "rename_noreplace" if renames.replace(renames.get() + 1) < times => Err(errno),
        "clear_flags" => {
            looks.set(looks.get() + 1);
            flags
        }
        _ => Ok(()),
    };
    let limits = Limits {
        deepest: 4,
        ..Limits::USUAL
    };
    let (tally, stopped) = empty(&Hooked::new(&hook), temp.path(), limits);
    (looks.get(), tally.left.into_keys().collect(), stopped)
}

#[test]
fn what_lies_too_deep_loses_the_flags_that_keep_it_there() {
    // Of the directory that it is in, of the root, and its own.
    assert_eq!(moved_up(Errno::PERM, 1, Ok(())), (3, vec![], None));
    assert_eq!(
        moved_up(Errno::PERM, 99, Ok(())),
        (3, vec![LeftKind::TooDeep], None)
    );
    assert_eq!(
        moved_up(Errno::XDEV, 99, Ok(())),
        (0, vec![LeftKind::TooDeep], None)
    );
    // A name that is there already is no reason to give up, and who took it away helped.
    assert_eq!(moved_up(Errno::EXIST, 3, Ok(())), (0, vec![], None));
    let (looks, _, stopped) = moved_up(Errno::PERM, 1, Err(Errno::ROFS));
    assert_eq!((looks, stopped), (3, Some(StopReason::ReadOnly)));
}
