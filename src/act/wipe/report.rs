//! What a wipe did, and what it left.

use std::collections::BTreeMap;
use std::fmt;

use rustix::io::Errno;
use serde::Serialize;

use super::proof::Proof;
use crate::act::sys::StillOpen;
use crate::units::{Raw, Span};

/// What a wipe did. Nothing is called complete that was not looked at and made durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WipeReport {
    /// Entries removed that were no directories; hard links count each.
    pub files: u64,
    /// Directories removed one by one.
    pub dirs: u64,
    /// btrfs subvolumes destroyed whole, with everything in them uncounted.
    pub subvolumes: u64,
    /// By how much the file system's free space grew meanwhile, in bytes: others write too, and
    /// xfs and btrfs give back some of it later. `None` when it could not be read.
    pub freed_bytes: Option<u64>,
    /// How long it took, in milliseconds, rests and pauses included.
    pub elapsed: Span,
    /// Whether nothing is left.
    pub complete: bool,
    /// What could not be removed, by kind.
    pub left: Vec<Left>,
    /// Who holds files open that were unlinked: their space is not back yet. As far as processes can be
    /// looked at; `None` when they could not be at all, or nothing was removed.
    pub still_open: Option<Vec<StillOpen>>,
    /// Why it ended early; `None` when it went through the whole tree.
    pub stopped: Option<StopReason>,
    /// What was reached of what the mode promises.
    pub proof: Proof,
}

/// What could not be removed for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The reason.
    #[serde(flatten)]
    pub kind: LeftKind,
    /// How many entries; directories that only hold others of the list are not counted.
    pub count: u64,
    /// The first of them, relative to the directory that was wiped.
    pub paths: Vec<Raw>,
}

/// How many paths of each kind are kept.
pub(super) const PATHS: usize = 16;

/// Why an entry could not be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LeftKind {
    /// Something is mounted there; it was not entered.
    Mount,
    /// It was filled again as often as it was emptied.
    Busy,
    /// An active swap file.
    Swap,
    /// Not permitted, and no flag that could be taken away was the reason.
    NotPermitted,
    /// The device or file system failed there.
    Failed,
    /// The file system is too full even for removing.
    NoSpace,
    /// Directories were moved away while they were wiped, again and again.
    Moved,
    /// Deeper than can be walked, and it could not be moved up.
    TooDeep,
    /// What the mode promises could not be reached there, and `strict` was asked for.
    Promise,
    /// Anything else.
    Other {
        /// The error number.
        errno: i32,
    },
}

impl LeftKind {
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::BUSY | Errno::XDEV => Self::Mount,
            Errno::NOTEMPTY | Errno::EXIST => Self::Busy,
            Errno::PERM | Errno::ACCESS => Self::NotPermitted,
            Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NXIO | Errno::NODEV => Self::Failed,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            other => Self::Other {
                errno: other.raw_os_error(),
            },
        }
    }
}

impl fmt::Display for LeftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount => f.write_str("something is mounted there; unmount it"),
            Self::Busy => f.write_str("filled again as often as emptied; end what writes there"),
            Self::Swap => f.write_str("an active swap file; swapoff it"),
            Self::NotPermitted => f.write_str(
                "not permitted; CAP_DAC_OVERRIDE, CAP_FOWNER and CAP_LINUX_IMMUTABLE are needed",
            ),
            Self::Failed => f.write_str("the device or file system failed; see the kernel's log"),
            Self::NoSpace => f.write_str("the file system is too full even for removing"),
            Self::Moved => f.write_str("moved away while it was wiped; end what moves it"),
            Self::TooDeep => f.write_str("nested too deeply"),
            Self::Promise => f.write_str("the mode's promise can't be kept there (strict)"),
            Self::Other { errno } => write!(f, "{}", Errno::from_raw_os_error(*errno)),
        }
    }
}

/// Why a wipe ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// It was told to.
    Cancelled,
    /// The directory is not the one that may be wiped; nothing was touched.
    WrongDirectory,
    /// The file system is read-only, or became so.
    ReadOnly,
    /// The device or file system fails again and again.
    Failing,
    /// Directories keep being moved.
    Moving,
    /// The process may open no more files, or the kernel has no memory.
    Resources,
    /// The kernel has Landlock, but would not confine the wipe to its directory; nothing was touched.
    Unfenced,
    /// Everything was removed, but the removal could not be made durable.
    NotDurable {
        /// The error number.
        errno: i32,
    },
    /// The directory itself could not be used.
    Unusable {
        /// The error number.
        errno: i32,
    },
}

impl StopReason {
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::ROFS => Self::ReadOnly,
            Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NXIO | Errno::NODEV => Self::Failing,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Self::Resources,
            other => Self::Unusable {
                errno: other.raw_os_error(),
            },
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("it was stopped"),
            Self::WrongDirectory => {
                f.write_str("it is not the directory that may be wiped; nothing was touched")
            }
            Self::ReadOnly => f.write_str("the file system is read-only"),
            Self::Failing => {
                f.write_str("the device or file system keeps failing; see the kernel's log")
            }
            Self::Moving => f.write_str("directories keep being moved while they are wiped"),
            Self::Resources => f.write_str("no more files can be opened, or memory is short"),
            Self::Unfenced => f.write_str(
                "the kernel would not confine it to its directory (Landlock); nothing was touched",
            ),
            Self::NotDurable { errno } => write!(
                f,
                "everything was removed, but it could not be made durable: {}",
                Errno::from_raw_os_error(*errno)
            ),
            Self::Unusable { errno } => write!(
                f,
                "the directory can't be used: {}",
                Errno::from_raw_os_error(*errno)
            ),
        }
    }
}

/// Counts kept while walking.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) dirs: u64,
    pub(super) subvolumes: u64,
    pub(super) left: BTreeMap<LeftKind, Left>,
}

impl Tally {
    /// Notes an entry that is left; its path is only made when it is wanted.
    pub(super) fn leave(&mut self, kind: LeftKind, path: impl FnOnce() -> Raw) {
        let left = self.left.entry(kind).or_insert_with(|| Left {
            kind,
            count: 0,
            paths: Vec::new(),
        });
        left.count = left.count.saturating_add(1);
        if left.paths.len() < PATHS {
            left.paths.push(path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_by_kind_with_the_first_paths() {
        let mut tally = Tally::default();
        for i in 0..PATHS + 5 {
            tally.leave(LeftKind::Mount, || format!("m{i}").into());
        }
        tally.leave(LeftKind::from_errno(Errno::NAMETOOLONG), || "long".into());
        let left: Vec<_> = tally.left.into_values().collect();
        assert_eq!(
            serde_json::to_value(&left[1]).unwrap(),
            serde_json::json!({"kind": "other", "errno": 36, "count": 1, "paths": ["long"]})
        );
        assert_eq!(left[0].count, 21);
        assert_eq!(left[0].paths.len(), PATHS);
        assert_eq!(left[0].paths[15], "m15".into());
    }
}
