//! The volume's own directory, which goes last: it, and no other of its name.

use super::*;

/// `parent/volume` with a file in it.
struct Site {
    temp: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let temp = temp();
        std::fs::create_dir(temp.path().join("volume")).unwrap();
        std::fs::write(temp.path().join("volume/file"), "").unwrap();
        Self { temp }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.temp.path().join(name)
    }

    /// Wipes it; how many directories went, what is left, by kind, and why it stopped.
    fn wipe(&self, sys: &Hooked<'_>, limits: Limits) -> (u64, Vec<LeftKind>, Option<StopReason>) {
        let parent = sys.open_root(self.temp.path()).unwrap();
        let root = sys.open_root(&self.at("volume")).unwrap();
        let identity = sys.identity(&root).unwrap();
        let (control, progress) = (Control::new(0), Progress::default());
        let mut walk = Walk::new(sys, &control, &progress, limits);
        let place = (&parent, &b"volume"[..], &identity);
        let stopped = walk.empty(root, Some(place)).err();
        let tally = walk.into_tally();
        for left in tally.left.values() {
            assert_eq!(left.paths, [Raw::from(".")]);
        }
        (tally.dirs, tally.left.into_keys().collect(), stopped)
    }

    fn is_there(&self, name: &str) -> bool {
        self.at(name).symlink_metadata().is_ok()
    }
}

#[test]
fn the_directory_itself_goes_and_is_counted() {
    let site = Site::new();
    assert_eq!(
        site.wipe(&Hooked::new(&quiet), Limits::USUAL),
        (1, vec![], None)
    );
    assert!(!site.is_there("volume"));
}

#[test]
fn another_directory_that_has_its_name_by_then_stays() {
    let site = Site::new();
    let hook = |call: &'static str, _: &[u8]| {
        if call == "read_entries" && !site.is_there("moved") {
            std::fs::rename(site.at("volume"), site.at("moved")).unwrap();
            std::fs::create_dir(site.at("volume")).unwrap();
        }
        Ok(())
    };
    let ended = site.wipe(&Hooked::new(&hook), Limits::USUAL);
    assert_eq!(ended, (0, vec![LeftKind::Moved], None));
    assert!(site.is_there("volume") && site.is_there("moved"));
}

#[test]
fn what_somebody_else_removed_is_not_called_left() {
    let site = Site::new();
    let hook = |call: &'static str, name: &[u8]| {
        if call == "open_child" && name == b"volume" {
            std::fs::remove_dir(site.at("volume")).unwrap();
        }
        Ok(())
    };
    assert_eq!(
        site.wipe(&Hooked::new(&hook), Limits::USUAL),
        (0, vec![], None)
    );
}

#[test]
fn one_that_is_filled_again_is_emptied_again_but_not_for_ever() {
    for (fills, left) in [(2, vec![]), (99, vec![LeftKind::Busy])] {
        let site = Site::new();
        let tries = Cell::new(0);
        let hook = |call: &'static str, _: &[u8]| {
            if call == "rmdir" && tries.replace(tries.get() + 1) < fills {
                std::fs::write(site.at("volume/new"), "").unwrap();
            }
            Ok(())
        };
        let ended = site.wipe(&Hooked::new(&hook), Limits::USUAL);
        assert_eq!((ended.1, ended.2), (left.clone(), None));
        assert_eq!(tries.get(), if left.is_empty() { 3 } else { 8 });
        assert_eq!(site.is_there("volume"), !left.is_empty());
    }
}

/// Refuses to remove it so often; how often flags were looked for and it was synced, and what is left.
fn refused(
    limits: Limits,
    (errno, times): (Errno, usize),
    found: &[bool],
) -> (usize, usize, Vec<LeftKind>, Option<StopReason>) {
    let site = Site::new();
    let (tries, looks, syncs) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let hook = |call: &'static str, _: &[u8]| {
        match call {
            "rmdir" if tries.replace(tries.get() + 1) < times => return Err(errno),
            "clear_flags" => looks.set(looks.get() + 1),
            "sync_fs" => syncs.set(syncs.get() + 1),
            _ => {}
        }
        Ok(())
    };
    let sys = Hooked::new(&hook);
    sys.cleared.borrow_mut().extend(found);
    let (_, left, stopped) = site.wipe(&sys, limits);
    let stays = !left.is_empty() || stopped.is_some();
    assert_eq!(site.is_there("volume"), stays);
    (looks.get(), syncs.get(), left, stopped)
}

#[test]
fn what_keeps_it_from_being_removed_is_taken_away_or_told() {
    use LeftKind::{Failed, NoSpace, NotPermitted};
    let (usual, fenced) = (Limits::USUAL, Limits::USUAL.fenced(Limits::SHALLOW));
    let neither = vec![NotPermitted];
    for found in [[true, false], [false, true], [true, true]] {
        let ended = refused(usual, (Errno::PERM, 1), &found);
        assert_eq!(ended, (2, 0, vec![], None), "{found:?}");
    }
    let no_flag = [false, false];
    let ended = refused(usual, (Errno::PERM, 1), &no_flag);
    assert_eq!(ended, (2, 0, neither.clone(), None));
    let ended = refused(usual, (Errno::ACCESS, 99), &[true, true]);
    assert_eq!(ended, (2, 0, neither.clone(), None), "looked for once");
    let ended = refused(fenced, (Errno::ACCESS, 99), &no_flag);
    assert_eq!(ended, (0, 0, neither, None));
    let ended = refused(usual, (Errno::NOSPC, 3), &no_flag);
    assert_eq!(ended, (0, 3, vec![], None));
    let ended = refused(usual, (Errno::NOSPC, 99), &no_flag);
    assert_eq!(ended, (0, 8, vec![NoSpace], None));
    let ended = refused(usual, (Errno::IO, 99), &no_flag);
    assert_eq!(ended, (0, 0, vec![Failed], None));
    let ended = refused(usual, (Errno::ROFS, 99), &no_flag);
    assert_eq!(ended, (0, 0, vec![], Some(StopReason::ReadOnly)));
}
