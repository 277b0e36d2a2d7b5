//! How much a volume takes up.
//!
//! A MOUNT disk is asked for its free space, and a directory's file system for what it counts itself
//! ([`counted`]). Any other directory is walked, as everything in tenants' trees
//! is looked at: by descriptors, through no link, into no mount, reading without a trace. Memory and
//! descriptors are bounded whatever the tree: directories are read piece by piece, the names of
//! directories still to enter are kept in one stack, only a few directories are open at once. What
//! went beyond a bound, or could not be looked at, is said.
//!
//! It is a sum over a tree that may change meanwhile, not a snapshot.

pub(super) mod quota;

pub use quota::{Project, counted, project};

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, SeekFrom, fstatvfs, openat, seek};
use rustix::io::{Errno, retry_on_intr};

use crate::decide::facts::DeviceNumber;
use crate::sys::open::without_noatime_if_refused;
use crate::sys::{
    Batch, Crew, Footprint, More, NameStack, OpenError, Times, footprint, mount_id, open_beneath,
    open_root, reopen, times,
};

/// How many directories one worker has open, its root not counted.
const WINDOW: usize = 24;
/// How much memory one worker has for names.
const NAMES: usize = 1 << 20;
/// How deep one worker goes.
const DEEPEST: usize = 1 << 16;
/// How many entries one worker counts before the others are started: most volumes of a host with many are
/// counted before a thread would have begun.
const ALONE: u64 = 512;
/// How many inodes with several names are remembered, so that each is counted once.
const LINKED: usize = 1 << 16;

/// How it was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The file system's own count, which includes what it needs for itself.
    Statvfs,
    /// The btrfs's own count for the subvolume, with what it needs for itself, as of its last commit
    /// (seconds ago; `sync` makes one). Extents that files share are counted once, whole.
    Qgroup,
    /// The xfs's own count for the project id of the directory: what carries the id, wherever it lies.
    ProjectQuota,
    /// Every entry was looked at.
    Walk,
}

impl Method {
    /// As in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Statvfs => "statvfs",
            Self::Qgroup => "qgroup",
            Self::ProjectQuota => "project_quota",
            Self::Walk => "walk",
        }
    }
}

/// What a volume takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// How it was found out.
    pub method: Method,
    /// Bytes that are allocated.
    pub bytes: u64,
    /// Entries, directories among them; `None` where the file system does not count them.
    pub entries: Option<u64>,
    /// What was not looked at: mounts inside, directories that can't be read, what was moved
    /// meanwhile or lies beyond a bound. The numbers are too small by that.
    pub skipped: u64,
    /// Names of files with several names that were counted for each because there were too many to
    /// remember. The numbers are too large by some of that.
    pub recounted: u64,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A directory on the way could not be opened.
    #[error("it could not be opened")]
    Open(#[from] OpenError),
    /// The kernel refused a question.
    #[error("it could not be looked at")]
    Io(#[from] Errno),
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
}

/// How far it is; read by anyone at any time.
#[derive(Debug, Default)]
pub struct Progress {
    entries: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Entries looked at.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Ends it soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What the file system of this root has in use.
pub fn of_filesystem(root: &Path) -> Result<Usage, UsageError> {
    let dir = open_root(root)?;
    let found = retry_on_intr(|| fstatvfs(&dir))?;
    Ok(Usage {
        method: Method::Statvfs,
        bytes: found
            .f_blocks
            .saturating_sub(found.f_bfree)
            .saturating_mul(found.f_frsize),
        entries: (found.f_files > 0).then(|| found.f_files.saturating_sub(found.f_ffree)),
        skipped: 0,
        recounted: 0,
    })
}

/// What a directory ([`reach`]) takes up, itself included, counted by at most so many threads.
pub fn of_directory(
    dir: OwnedFd,
    threads: usize,
    progress: &Progress,
) -> Result<Usage, UsageError> {
    let own = footprint(&dir, b"")?;
    let mut count = Count {
        bytes: own.bytes,
        entries: 1,
        ..Count::default()
    };
    let shared = Shared {
        crew: Crew::new([Task {
            dir,
            names: NameStack::default(),
            whole: true,
        }]),
        linked: Mutex::default(),
        progress,
    };
    let work = |grown: &mut dyn FnMut()| {
        let mut count = Count::default();
        let mut batch = Batch::new(1);
        while let Some((task, _working)) = shared.crew.next() {
            Walk::new(&shared, &mut batch, &mut count).carry_out(task, grown);
        }
        count
    };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        count.add(work(&mut || {
            let missing = threads.saturating_sub(1).saturating_sub(others.len());
            others.extend((0..missing).filter_map(|_| {
                let builder = std::thread::Builder::new().name("usage".to_owned());
                // Fewer will do.
                builder
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, || work(&mut || {}))
                    .ok()
            }));
        }));
        for other in others {
            match other.join() {
                Ok(part) => count.add(part),
                Err(_panicked) => count.skipped = count.skipped.saturating_add(1),
            }
        }
    });
    if progress.stop.load(Ordering::Relaxed) {
        return Err(UsageError::Stopped);
    }
    Ok(Usage {
        method: Method::Walk,
        bytes: count.bytes,
        entries: Some(count.entries),
        skipped: count.skipped,
        recounted: count.recounted,
    })
}

/// When the directory that is reached from a root through these components was made and last changed.
pub fn times_of_directory<'a>(
    root: &Path,
    components: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Times, UsageError> {
    Ok(times(&reach(root, components)?)?)
}

/// Opens the directory that is reached from a root through these components, through no link and into no mount.
pub fn reach<'a>(
    root: &Path,
    components: impl IntoIterator<Item = &'a [u8]>,
) -> Result<OwnedFd, OpenError> {
    let mut dir = open_root(root)?;
    for name in components {
        dir = open_beneath(&dir, name)?;
    }
    Ok(dir)
}

/// Directories to enter, in one that was looked at already.
#[derive(Debug)]
struct Task {
    dir: OwnedFd,
    names: NameStack,
    /// Whether it was not, and everything in it is meant.
    whole: bool,
}

struct Shared<'a> {
    crew: Crew<Task>,
    /// Inodes with several names that were counted.
    linked: Mutex<BTreeSet<(DeviceNumber, u64)>>,
    progress: &'a Progress,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    bytes: u64,
    entries: u64,
    skipped: u64,
    recounted: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.recounted = self.recounted.saturating_add(other.recounted);
    }
}

/// A directory on the way.
struct Frame {
    /// `None` while it is closed.
    dir: Option<OwnedFd>,
    /// By what it is known again, and where its reading goes on; set when it is closed.
    closed: Option<(DeviceNumber, u64, u64)>,
    names_from: usize,
    more: bool,
}

struct Walk<'a, 'b> {
    shared: &'a Shared<'a>,
    batch: &'b mut Batch,
    count: &'b mut Count,
    frames: Vec<Frame>,
    /// How many frames after the first are closed; the others are open.
    closed: usize,
    names: NameStack,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(shared: &'a Shared<'a>, batch: &'b mut Batch, count: &'b mut Count) -> Self {
        Self {
            shared,
            batch,
            count,
            frames: Vec::new(),
            closed: 0,
            names: NameStack::default(),
        }
    }

    /// Says once that the tree has `grown` beyond what one worker counts alone.
    fn carry_out(&mut self, task: Task, grown: &mut dyn FnMut()) {
        self.names = task.names;
        self.push(task.dir, 0, task.whole);
        let mut told = false;
        while let Some(top) = self.frames.last() {
            let (from, more) = (top.names_from, top.more);
            if self.shared.progress.stop.load(Ordering::Relaxed) {
                self.shared.crew.end();
            }
            if self.shared.crew.is_over() {
                return;
            }
            if self.names.height() > from {
                self.descend();
            } else if more {
                self.read();
            } else {
                self.ascend();
            }
            if !told && self.count.entries > ALONE {
                told = true;
                grown();
            }
            if self.shared.crew.is_hungry() {
                self.lend();
            }
        }
    }

    fn push(&mut self, dir: OwnedFd, names_from: usize, more: bool) {
        self.frames.push(Frame {
            dir: Some(dir),
            closed: None,
            names_from,
            more,
        });
    }

    fn skip(&mut self, entries: u64) {
        self.count.skipped = self.count.skipped.saturating_add(entries);
    }

    /// Enters the directory on top of the names.
    fn descend(&mut self) {
        let opened = match (
            self.frames.last().and_then(|frame| frame.dir.as_ref()),
            self.names.top(),
        ) {
            (Some(dir), Some(name)) if self.frames.len() < DEEPEST => open_beneath(dir, name),
            (_, _) => Err(OpenError::Io(Errno::NAMETOOLONG)),
        };
        self.names.pop();
        match opened {
            Ok(dir) => {
                let height = self.names.height();
                self.push(dir, height, true);
                self.close_beyond_window();
            }
            // Gone or something else by now.
            Err(OpenError::Missing | OpenError::Symlink | OpenError::NotADirectory) => {}
            Err(OpenError::Mount | OpenError::NoMountId | OpenError::Io(_)) => self.skip(1),
        }
    }

    fn close_beyond_window(&mut self) {
        let open = self.frames.len().saturating_sub(self.closed);
        if open <= WINDOW {
            return;
        }
        self.closed = self.closed.saturating_add(1);
        if let Some(frame) = self.frames.get_mut(self.closed)
            && let Some(dir) = frame.dir.take()
        {
            // One that can't be known again is not entered again.
            frame.closed = footprint(&dir, b"").ok().and_then(|found| {
                let at = seek(&dir, SeekFrom::Current(0)).ok()?;
                Some((found.device, found.inode, at))
            });
        }
    }

    /// Looks at the next entries of the directory on top.
    fn read(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let Some(dir) = frame.dir.as_ref() else {
            frame.more = false;
            return;
        };
        self.batch.clear();
        let mut failed = 0_u64;
        match self.batch.read(dir) {
            Ok(More::Maybe | More::Hardly) => {}
            Ok(More::No) => frame.more = false,
            Err(_) => {
                frame.more = false;
                failed = 1;
            }
        }
        for (name, ..) in self.batch.iter() {
            match footprint(dir, name) {
                Ok(found) if found.mounted => failed = failed.saturating_add(1),
                Ok(found) => {
                    self.count.entries = self.count.entries.saturating_add(1);
                    if is_new(self.shared, self.count, &found) {
                        self.count.bytes = self.count.bytes.saturating_add(found.bytes);
                    }
                    if found.directory && (self.names.height() > NAMES || !self.names.push(name)) {
                        failed = failed.saturating_add(1);
                    }
                }
                Err(Errno::NOENT) => {}
                Err(_) => failed = failed.saturating_add(1),
            }
        }
        let seen = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        self.shared
            .progress
            .entries
            .fetch_add(seen, Ordering::Relaxed);
        self.skip(failed);
    }

    /// Leaves the directory on top.
    fn ascend(&mut self) {
        let Some(done) = self.frames.pop() else {
            return;
        };
        let Some(parent) = self.frames.last() else {
            return;
        };
        if parent.dir.is_some() {
            return;
        }
        let again = done
            .dir
            .as_ref()
            .zip(parent.closed)
            .and_then(|(dir, closed)| enter_again(dir, closed));
        if let (Some(dir), Some(parent)) = (again, self.frames.last_mut()) {
            parent.dir = Some(dir);
            self.closed = self.closed.saturating_sub(1);
            return;
        }
        // The tree was moved meanwhile: only the first directory is still known.
        let lost = self.frames.len().saturating_sub(1);
        self.skip(u64::try_from(lost).unwrap_or(u64::MAX));
        if let Some(second) = self.frames.get(1) {
            let height = second.names_from;
            self.names.cut(height);
        }
        self.frames.truncate(1);
        self.closed = 0;
    }

    /// Gives half of the names of a directory to whoever waits.
    fn lend(&mut self) {
        let frames = self.frames.iter();
        let found = self
            .names
            .to_lend(frames.map(|frame| (frame.dir.is_some(), frame.names_from)));
        let Some((at, from, to)) = found else {
            return;
        };
        let lender = self.frames.get(at).and_then(|frame| frame.dir.as_ref());
        let Some(Ok(dir)) = lender.map(reopen) else {
            return;
        };
        let names = self.names.take(from, to);
        let taken = to.saturating_sub(from);
        for frame in self.frames.iter_mut().skip(at.saturating_add(1)) {
            frame.names_from = frame.names_from.saturating_sub(taken);
        }
        self.shared.crew.give(Task {
            dir,
            names,
            whole: false,
        });
    }
}

/// Whether an inode is met for the first time.
fn is_new(shared: &Shared<'_>, count: &mut Count, found: &Footprint) -> bool {
    if found.links <= 1 || found.directory {
        return true;
    }
    let mut linked = shared.linked.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (found.device, found.inode);
    if linked.contains(&key) {
        return false;
    }
    if linked.len() < LINKED {
        linked.insert(key);
    } else {
        count.recounted = count.recounted.saturating_add(1);
    }
    true
}

/// Opens a parent that was closed, by `..`, if it is the one that was closed.
fn enter_again(dir: &OwnedFd, closed: (DeviceNumber, u64, u64)) -> Option<OwnedFd> {
    let (device, inode, at) = closed;
    let opened =
        without_noatime_if_refused(|flags: OFlags| openat(dir, c"..", flags, Mode::empty()))
            .ok()?;
    let found = footprint(&opened, b"").ok()?;
    if (found.device, found.inode) != (device, inode)
        || mount_id(&opened).ok()? != mount_id(dir).ok()?
    {
        return None;
    }
    seek(&opened, SeekFrom::Start(at)).ok()?;
    Some(opened)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests make trees of their own"
)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    use super::*;

    /// What `du` counts.
    fn counted(path: &Path) -> (u64, u64) {
        let meta = std::fs::symlink_metadata(path).unwrap();
        let mut sum = (meta.blocks() * 512, 1);
        if meta.file_type().is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                let inside = counted(&entry.unwrap().path());
                sum = (sum.0 + inside.0, sum.1 + inside.1);
            }
        }
        sum
    }

    fn plant(at: &Path, width: usize, depth: usize) {
        for i in 0..width {
            std::fs::write(at.join(format!("file{i}")), vec![b'x'; 3000 * i]).unwrap();
            std::os::unix::fs::symlink("/", at.join(format!("link{i}"))).unwrap();
            if depth > 0 {
                let dir = at.join(format!("dir{i}"));
                std::fs::create_dir(&dir).unwrap();
                plant(&dir, width, depth - 1);
            }
        }
    }

    fn usage(path: &Path, threads: usize) -> Usage {
        of_directory(reach(path, []).unwrap(), threads, &Progress::default()).unwrap()
    }

    #[test]
    fn a_tree_is_counted_as_du_counts_it_whatever_the_threads() {
        let temp = tempfile::tempdir().unwrap();
        plant(temp.path(), 4, 4);
        // Deeper than directories stay open, with siblings on the way back.
        let mut path = temp.path().join("deep");
        for i in 0..60 {
            std::fs::create_dir_all(path.join(format!("sibling{i}/inside"))).unwrap();
            path.push("d");
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("file"), vec![b'x'; 5000]).unwrap();
        }
        let (bytes, entries) = counted(temp.path());
        for threads in [1, 2, 4] {
            let found = usage(temp.path(), threads);
            assert_eq!((found.bytes, found.entries), (bytes, Some(entries)));
            assert_eq!((found.skipped, found.recounted), (0, 0));
        }
    }

    #[test]
    fn a_file_with_several_names_is_counted_once() {
        let temp = tempfile::tempdir().unwrap();
        let first = temp.path().join("first");
        std::fs::write(&first, vec![b'x'; 100_000]).unwrap();
        let alone = usage(temp.path(), 1);
        for i in 0..10 {
            std::fs::hard_link(&first, temp.path().join(format!("link{i}"))).unwrap();
        }
        let linked = usage(temp.path(), 2);
        assert_eq!(linked.bytes, alone.bytes);
        assert_eq!(linked.entries, alone.entries.map(|entries| entries + 10));
    }

    #[test]
    fn no_time_of_access_changes_and_a_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        plant(temp.path(), 2, 1);
        let paths: Vec<PathBuf> = ["", "dir0", "dir0/file1", "link0"]
            .iter()
            .map(|tail| temp.path().join(tail))
            .collect();
        // Older than a day, so that relatime would update them.
        let old = std::fs::FileTimes::new()
            .set_accessed(std::time::SystemTime::UNIX_EPOCH)
            .set_modified(std::time::SystemTime::UNIX_EPOCH);
        std::fs::File::open(&paths[1])
            .unwrap()
            .set_times(old)
            .unwrap();
        let before: Vec<_> = paths
            .iter()
            .map(|path| std::fs::symlink_metadata(path).unwrap().atime())
            .collect();
        usage(temp.path(), 2);
        let after: Vec<_> = paths
            .iter()
            .map(|path| std::fs::symlink_metadata(path).unwrap().atime())
            .collect();
        assert_eq!(before, after);
        let root = temp.path();
        let through_a_link = reach(root, [b"link0".as_slice()]);
        assert!(matches!(through_a_link, Err(OpenError::Symlink)));
    }

    #[test]
    fn it_stops_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let progress = Progress::default();
        progress.stop();
        let stopped = of_directory(reach(temp.path(), []).unwrap(), 2, &progress);
        assert!(matches!(stopped, Err(UsageError::Stopped)));
    }
}
