//! The fence: what removes a tree can write, make, move and remove nothing outside it, by the kernel's word.
//!
//! Landlock binds a thread, and every thread that it starts, to what lies beneath directories that were
//! opened before. So a wipe runs on a thread of its own that may write, make and remove beneath the
//! directory it was given, take away the directory itself, and nothing else on the host: not what a
//! tenant moves out of the tree while it is walked, and not what a mistake in the walk would name. It is
//! one lock more, behind the walk's own. Landlock does not look at modes, owners, flags (`FS_IOC_SETFLAGS`) and
//! btrfs's own call that destroys a subvolume: those are kept in by the walk's descriptors alone.
//!
//! At each change the kernel goes up from the directory until a rule allows it. The rule lies on the very
//! directory that is emptied, so that the way is as long as the tree is deep; and behind a fence the walk
//! moves deep directories up (`Limits::fenced` of the walk).
//!
//! Why not the whole daemon: a thread behind a fence may not look at processes before it, so that it
//! could not tell who uses a volume; a fence can't be widened, while a reload names new roots; and a
//! mount that comes later lies outside it. Why no read-only view of systemd's making: see
//! `mesos-volumed.service`.
//!
//! Kernels without Landlock, or before 5.19, which can't allow a move between directories, have no
//! fence, and the walk is what it is without one. Where the kernel has Landlock and the fence can't be
//! put up, nothing is removed.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use super::report::StopReason;

/// What a fence lets nobody do outside it.
///
/// Cutting a file short (`AccessFs::Truncate`, Linux 6.2) is not named by itself: that takes a file opened for
/// writing, which is refused outside, or `truncate` and `O_TRUNC` by a path, which nothing here ever calls. If it
/// were, the kernel would go up from each directory that is opened to see whether that may be cut short: a sixth
/// of the time of a deep chain.
fn every_change() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V2)
}

/// Does this work where nothing but what lies beneath `inside` can be changed, and empty directories
/// be taken from `parent`. The work is told whether there is a fence.
pub(super) fn within<T: Send>(
    inside: BorrowedFd<'_>,
    parent: Option<BorrowedFd<'_>>,
    work: impl FnOnce(bool) -> T + Send,
) -> Result<T, StopReason> {
    let Some(rules) = new_rules() else {
        return Ok(work(false));
    };
    let rules = rules
        .and_then(|rules| with(rules, inside, parent))
        .map_err(unusable)?;
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new()
            .name("wipe".to_owned())
            .spawn_scoped(scope, move || {
                put_up(rules)?;
                Ok(work(true))
            });
        match spawned {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => Err(StopReason::Resources),
        }
    })
}

/// Whether this kernel lets a fence be put up.
#[must_use]
pub fn is_there() -> bool {
    new_rules().is_some()
}

/// `None` where the kernel has no such fence.
fn new_rules() -> Option<Result<RulesetCreated, RulesetError>> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(every_change())
        .ok()?;
    Some(rules.create())
}

fn with(
    rules: RulesetCreated,
    inside: BorrowedFd<'_>,
    parent: Option<BorrowedFd<'_>>,
) -> Result<RulesetCreated, RulesetError> {
    let rules = rules.add_rule(PathBeneath::new(inside, every_change()))?;
    match parent {
        Some(parent) => rules.add_rule(PathBeneath::new(parent, AccessFs::RemoveDir)),
        None => Ok(rules),
    }
}

fn put_up(rules: RulesetCreated) -> Result<(), StopReason> {
    match rules.restrict_self().map_err(unusable)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(StopReason::Unfenced),
    }
}

fn unusable<E: std::fmt::Display>(error: E) -> StopReason {
    tracing::error!(
        "the kernel has Landlock, but no fence could be put up: {error}; nothing is removed"
    );
    StopReason::Unfenced
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "tests make and look at trees of their own"
    )]

    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::os::fd::AsFd;

    use rustix::fs::{AtFlags, unlinkat};
    use rustix::io::Errno;

    use super::*;

    /// A folder with `inside/sub/file` and `outside/file`; `None`, said aloud, without Landlock.
    fn two_trees() -> Option<tempfile::TempDir> {
        if !is_there() {
            println!("skipped: needs Landlock (Linux 5.19 or later, with landlock among its LSMs)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for file in ["inside/sub/file", "outside/file"] {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "data").unwrap();
        }
        Some(folder)
    }

    /// Otherwise a wipe would go on without one, and every test here be skipped.
    #[test]
    fn where_the_kernel_has_landlock_there_is_a_fence() {
        let asked = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)
            .and_then(Ruleset::create);
        assert_eq!(is_there(), asked.is_ok());
        let here = File::open("/").unwrap();
        let fenced = within(here.as_fd(), None, |fenced| fenced);
        assert_eq!(fenced, Ok(asked.is_ok()));
    }

    #[test]
    fn behind_a_fence_nothing_outside_it_can_be_changed() {
        let Some(folder) = two_trees() else { return };
        let at = |name: &str| folder.path().join(name);
        let (inside, outside) = (
            File::open(at("inside")).unwrap(),
            File::open(at("outside")).unwrap(),
        );
        within(inside.as_fd(), None, |_fenced| {
            let refused = |result: std::io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            };
            refused(fs::remove_file(at("outside/file")));
            refused(fs::write(at("outside/file"), "other"));
            refused(fs::create_dir(at("outside/new")));
            refused(fs::create_dir(at("new")));
            refused(fs::rename(at("inside"), at("elsewhere")));
            refused(fs::remove_dir_all(at("outside")));
            // A descriptor of before is no way out.
            let by_descriptor = unlinkat(outside.as_fd(), "file", AtFlags::empty());
            assert_eq!(by_descriptor, Err(Errno::ACCESS));
            // Nor is a thread that it starts.
            std::thread::scope(|scope| {
                let other = scope.spawn(|| fs::remove_file(at("outside/file")));
                refused(other.join().unwrap());
            });

            fs::write(at("inside/sub/file"), "over").unwrap();
            fs::create_dir(at("inside/other")).unwrap();
            fs::rename(at("inside/sub/file"), at("inside/other/file")).unwrap();
            fs::remove_dir_all(at("inside/sub")).unwrap();
            fs::remove_dir_all(at("inside/other")).unwrap();
        })
        .unwrap();
        assert_eq!(fs::read_to_string(at("outside/file")).unwrap(), "data");
        // Whoever put it up is not behind it.
        fs::remove_file(at("outside/file")).unwrap();
        fs::remove_dir(at("inside")).unwrap();
    }

    /// The same calls, on a thread beside: it is the fence that refuses them, and nothing else does.
    #[test]
    fn what_is_refused_behind_a_fence_is_done_without_one() {
        let Some(folder) = two_trees() else { return };
        let at = |name: &str| folder.path().join(name);
        let inside = File::open(at("inside")).unwrap();
        let calls = || {
            [
                fs::write(at("outside/file"), "other"),
                fs::create_dir(at("outside/new")),
                fs::rename(at("outside/new"), at("outside/newer")),
                fs::rename(at("inside/sub/file"), at("outside/moved")),
                fs::remove_file(at("outside/file")),
            ]
            .map(|result| result.map_err(|error| error.kind()))
        };
        let behind = within(inside.as_fd(), None, |fenced| (fenced, calls())).unwrap();
        let refused = Err(ErrorKind::PermissionDenied);
        // What was not made can't be found either.
        let missing = Err(ErrorKind::NotFound);
        assert_eq!(
            behind,
            (true, [refused, refused, missing, refused, refused])
        );
        assert_eq!(calls(), [Ok(()); 5]);
    }

    #[test]
    fn what_is_moved_out_of_a_directory_while_it_is_wiped_stays() {
        let Some(folder) = two_trees() else { return };
        let at = |name: &str| folder.path().join(name);
        let inside = File::open(at("inside")).unwrap();
        let entered = File::open(at("inside/sub")).unwrap();
        fs::rename(at("inside/sub"), at("outside/sub")).unwrap();
        let removed = within(inside.as_fd(), None, |_fenced| {
            unlinkat(entered.as_fd(), "file", AtFlags::empty())
        });
        assert_eq!(removed, Ok(Err(Errno::ACCESS)));
        assert_eq!(fs::read_to_string(at("outside/sub/file")).unwrap(), "data");
    }

    #[test]
    fn the_directory_itself_goes_and_nothing_full_beside_it() {
        let Some(folder) = two_trees() else { return };
        let at = |name: &str| folder.path().join(name);
        let (inside, parent) = (
            File::open(at("inside")).unwrap(),
            File::open(folder.path()).unwrap(),
        );
        within(inside.as_fd(), Some(parent.as_fd()), |_fenced| {
            fs::remove_dir_all(at("outside")).unwrap_err();
            fs::remove_dir_all(at("inside")).unwrap();
        })
        .unwrap();
        assert!(!at("inside").exists());
        assert!(at("outside/file").exists());
    }

    /// Why the fence is round the wipe and not round the daemon.
    #[test]
    fn from_behind_a_fence_other_processes_can_t_be_looked_at() {
        let Some(folder) = two_trees() else { return };
        let Some(parent) = rustix::process::getppid() else {
            println!("skipped: needs a parent process");
            return;
        };
        let its_root = format!("/proc/{}/root", parent.as_raw_nonzero());
        if fs::read_link(&its_root).is_err() {
            println!("skipped: needs a parent process that may be looked at");
            return;
        }
        let inside = File::open(folder.path()).unwrap();
        let looked = within(inside.as_fd(), None, |_fenced| {
            fs::read_link(&its_root).err()
        });
        let refused = looked.unwrap().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::PermissionDenied));
    }
}
