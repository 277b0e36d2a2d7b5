//! When to look: a timer that compares stamps is the truth, file events are hints.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use notify::{RecursiveMode, Watcher as _};

use crate::mesos::paths;

/// What makes one state of a file differ from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// The stamps of every file that an agent changes when a volume comes or goes, or when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Reads them. A file that can't be looked at differs from one that can: the pass that follows
    /// says what is wrong.
    #[must_use]
    pub(super) fn read(work_dir: &Path) -> Self {
        let files = [
            paths::STATE,
            paths::STATE_TARGET,
            paths::INFO,
            paths::INFO_TARGET,
            paths::BOOT_ID,
            paths::LATEST,
        ];
        Self(
            files
                .iter()
                .map(|file| {
                    let path = work_dir.join(file);
                    let stamp = std::fs::symlink_metadata(&path).ok().map(|meta| Stamp {
                        device: meta.dev(),
                        inode: meta.ino(),
                        size: meta.size(),
                        mtime: (meta.mtime(), meta.mtime_nsec()),
                        ctime: (meta.ctime(), meta.ctime_nsec()),
                    });
                    (path, stamp)
                })
                .collect(),
        )
    }
}

/// Watches the folders in which the agent replaces its files. Dropped, it ends.
#[derive(Debug)]
pub(super) struct FileHints {
    _watcher: notify::RecommendedWatcher,
}

impl FileHints {
    /// Calls `hint` whenever something happens there. `None` where the system grants no watches:
    /// the timer sees everything all the same, only later.
    #[must_use]
    pub(super) fn watch(work_dir: &Path, hint: impl Fn() + Send + 'static) -> Option<Self> {
        let mut watcher = notify::recommended_watcher(move |_event| hint())
            .map_err(|error| tracing::warn!(%error, "no file events, ignoring"))
            .ok()?;
        // `meta` too: `meta/resources` does not exist before the first reservation.
        let mut any = false;
        for folder in ["meta", "meta/resources"] {
            match watcher.watch(&work_dir.join(folder), RecursiveMode::NonRecursive) {
                Ok(()) => any = true,
                Err(error) => tracing::debug!(folder, %error, "not watched, ignoring"),
            }
        }
        any.then_some(Self { _watcher: watcher })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make and replace their own files"
)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_of_the_same_size_and_a_vanished_one_are_seen() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("meta/resources");
        std::fs::create_dir_all(&folder).unwrap();
        let none = Stamps::read(temp.path());
        std::fs::write(folder.join("resources.info"), "aaaa").unwrap();
        let first = Stamps::read(temp.path());
        assert_ne!(none, first);
        assert_eq!(first, Stamps::read(temp.path()));
        std::fs::write(folder.join("x"), "bbbb").unwrap();
        std::fs::rename(folder.join("x"), folder.join("resources.info")).unwrap();
        let second = Stamps::read(temp.path());
        assert_ne!(first, second);
        std::fs::remove_file(folder.join("resources.info")).unwrap();
        assert_ne!(second, Stamps::read(temp.path()));
    }

    #[test]
    fn a_change_in_the_watched_folder_gives_a_hint() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("meta/resources")).unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let hints = FileHints::watch(temp.path(), move || _ = send.send(())).unwrap();
        std::fs::write(temp.path().join("meta/resources/new"), "x").unwrap();
        receive
            .recv_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        drop(hints);
    }
}
