//! What a wipe reached of what its mode promises.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use serde::Serialize;

use super::report::PATHS;
use crate::decide::facts::{WipeMethod, WipeMode};
use crate::units::Raw;

/// How far a wipe reached what its mode promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// All of it, looked at as the mode says.
    Guaranteed,
    /// It was done for everything that was reached; for what is listed as short it promises
    /// nothing.
    BestEffort,
    /// It could not be done here; a weaker mode was, which is named.
    Downgraded,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guaranteed => "guaranteed",
            Self::BestEffort => "best effort",
            Self::Downgraded => "downgraded",
        })
    }
}

/// What a wipe did beyond unlinking, and where it fell short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The mode that was asked for, by its name.
    pub mode: &'static str,
    /// What was reached of it.
    pub guarantee: Guarantee,
    /// What was done in place of it; `None` where it was done.
    pub instead: Option<WipeMode>,
    /// Files whose data was overwritten where it lies, each name of it counted once.
    pub overwritten_files: u64,
    /// Bytes written over data, in all passes.
    pub overwritten_bytes: u64,
    /// Bytes read back from the device, past all caches, and found to be what was written, or
    /// zeros.
    pub read_back_bytes: u64,
    /// Bytes that the file system or the program told the device to forget.
    pub discarded_bytes: u64,
    /// Where it fell short, by reason.
    pub short: Vec<Short>,
}

impl Proof {
    /// Nothing was promised but that names and space are given back.
    #[must_use]
    pub fn plain(mode: WipeMode) -> Self {
        Self {
            mode: mode.name(),
            guarantee: Guarantee::Guaranteed,
            instead: None,
            overwritten_files: 0,
            overwritten_bytes: 0,
            read_back_bytes: 0,
            discarded_bytes: 0,
            short: Vec::new(),
        }
    }
}

/// What fell short for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Short {
    /// The reason.
    #[serde(flatten)]
    pub why: ShortOf,
    /// How many files.
    pub count: u64,
    /// The first of them, relative to the directory that was wiped; none where it is of the whole
    /// file system.
    pub paths: Vec<Raw>,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, count, paths } = self;
        if paths.is_empty() {
            return write!(f, "{why}");
        }
        let first: Vec<String> = paths.iter().take(3).map(ToString::to_string).collect();
        write!(f, "{count} × {why} ({})", first.join(", "))
    }
}

/// Why a promise could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum ShortOf {
    /// The file has another name, perhaps outside: its data is not ours to overwrite.
    HardLink,
    /// Other files have the same blocks (a reflink, a snapshot).
    SharedBlocks,
    /// The data lies among metadata, of which journal and backups keep copies.
    InlineData,
    /// The blocks hold the data compressed or encrypted.
    Encoded,
    /// The file system writes elsewhere instead of over what is there.
    CopyOnWrite,
    /// The journal keeps copies of the data (`data=journal`).
    JournaledData,
    /// The device below gives and takes blocks as they are used, or keeps old ones.
    ThinStorage,
    /// What lies below the file system, or what the file system does, is not known here.
    UnknownStorage,
    /// It was written to all the time.
    Changing,
    /// Deeper than can be looked through beforehand.
    TooDeep,
    /// It could not be overwritten.
    NotOverwritten {
        /// The error number.
        errno: i32,
    },
    /// It could not be read back.
    NotReadBack {
        /// The error number.
        errno: i32,
    },
    /// Something else was read back than what was written.
    Differs,
    /// The device takes no word of free blocks.
    NoDiscard,
    /// Telling the device failed.
    DiscardFailed {
        /// The error number.
        errno: i32,
    },
    /// Blocks that were freed and discarded still hold something: the device keeps it, or somebody
    /// else uses them by now.
    NotZero,
    /// Files that were unlinked are held open by a process: their blocks are in use still.
    StillOpen,
    /// The file system keeps some free blocks even from root.
    KeptBack,
    /// The free space could not be filled to its end.
    NotFilled {
        /// The error number.
        errno: i32,
    },
}

impl fmt::Display for ShortOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = |errno: &i32| Errno::from_raw_os_error(*errno);
        match self {
            Self::HardLink => f.write_str("has another name, and was only unlinked"),
            Self::SharedBlocks => f.write_str("shares its blocks with another file"),
            Self::InlineData => f.write_str("its data lies among metadata"),
            Self::Encoded => f.write_str("its data is stored compressed or encrypted"),
            Self::CopyOnWrite => f.write_str("the file system never writes over what is there"),
            Self::JournaledData => f.write_str("the journal keeps copies of the data"),
            Self::ThinStorage => f.write_str("the device below moves or keeps blocks"),
            Self::UnknownStorage => {
                f.write_str("what lies below the file system is not known well enough")
            }
            Self::Changing => f.write_str("was written to all the time"),
            Self::TooDeep => f.write_str("lies too deep to be looked at beforehand"),
            Self::NotOverwritten { errno: e } => {
                write!(f, "could not be overwritten ({})", errno(e))
            }
            Self::NotReadBack { errno: e } => write!(f, "could not be read back ({})", errno(e)),
            Self::Differs => f.write_str("was read back as something else"),
            Self::NoDiscard => f.write_str("the device takes no discard"),
            Self::DiscardFailed { errno: e } => write!(f, "the discard failed ({})", errno(e)),
            Self::NotZero => f.write_str("freed blocks still hold something after the discard"),
            Self::StillOpen => f.write_str("a process holds unlinked files open"),
            Self::KeptBack => f.write_str("the file system keeps some free blocks to itself"),
            Self::NotFilled { errno: e } => {
                write!(
                    f,
                    "the free space could not be filled to its end ({})",
                    errno(e)
                )
            }
        }
    }
}

/// Counts while a wipe runs; shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Account {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: u64,
    written: u64,
    read_back: u64,
    discarded: u64,
    instead: Option<WipeMode>,
    short: Vec<Short>,
}

impl Account {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one addition.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) {
        let mut state = self.state();
        state.files = state.files.saturating_add(1);
    }

    pub(super) fn written(&self, bytes: u64) {
        let mut state = self.state();
        state.written = state.written.saturating_add(bytes);
    }

    pub(super) fn read_back(&self, bytes: u64) {
        let mut state = self.state();
        state.read_back = state.read_back.saturating_add(bytes);
    }

    pub(super) fn discarded(&self, bytes: u64) {
        let mut state = self.state();
        state.discarded = state.discarded.saturating_add(bytes);
    }

    /// It can't be done here at all; this is done in place of it.
    pub(super) fn downgrade(&self, to: WipeMode, why: ShortOf) {
        self.state().instead = Some(to);
        self.short(why, None);
    }

    /// A file fell short, or the whole file system.
    pub(super) fn short(&self, why: ShortOf, path: Option<&dyn Fn() -> Raw>) {
        let mut state = self.state();
        if !state.short.iter().any(|short| short.why == why) {
            state.short.push(Short {
                why,
                count: 0,
                paths: Vec::new(),
            });
        }
        let Some(short) = state.short.iter_mut().find(|short| short.why == why) else {
            return;
        };
        short.count = short.count.saturating_add(1);
        if let Some(path) = path
            && short.paths.len() < PATHS
        {
            short.paths.push(path());
        }
    }

    /// A file that fell short was reached after all.
    pub(super) fn made_up(&self, why: ShortOf, path: &Raw) {
        let mut state = self.state();
        for short in &mut state.short {
            if short.why == why {
                short.count = short.count.saturating_sub(1);
                short.paths.retain(|known| known != path);
            }
        }
        state.short.retain(|short| short.count > 0);
    }

    pub(super) fn proof(&self, method: WipeMethod) -> Proof {
        let state = self.state();
        let guarantee = if state.instead.is_some() {
            Guarantee::Downgraded
        } else if state.short.is_empty() {
            Guarantee::Guaranteed
        } else {
            Guarantee::BestEffort
        };
        Proof {
            mode: method.mode.name(),
            guarantee,
            instead: state.instead,
            overwritten_files: state.files,
            overwritten_bytes: state.written,
            read_back_bytes: state.read_back,
            discarded_bytes: state.discarded,
            short: state.short.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method() -> WipeMethod {
        WipeMethod {
            mode: WipeMode::Overwrite,
            ..WipeMethod::UNLINK
        }
    }

    fn short(account: &Account) -> Vec<(ShortOf, u64, Vec<Raw>)> {
        let short = account.proof(method()).short.into_iter();
        short.map(|one| (one.why, one.count, one.paths)).collect()
    }

    #[test]
    fn what_falls_short_is_told_by_reason_until_it_is_made_up_for() {
        let account = Account::default();
        let guarantee = || account.proof(method()).guarantee;
        assert_eq!(guarantee(), Guarantee::Guaranteed);
        for path in ["a", "b"] {
            account.short(ShortOf::HardLink, Some(&|| path.into()));
        }
        account.short(ShortOf::KeptBack, None);
        account.made_up(ShortOf::HardLink, &"a".into());
        let kept_back = (ShortOf::KeptBack, 1, Vec::new());
        assert_eq!(
            short(&account),
            [(ShortOf::HardLink, 1, vec!["b".into()]), kept_back.clone()]
        );
        account.made_up(ShortOf::HardLink, &"b".into());
        assert_eq!(short(&account), [kept_back]);
        assert_eq!(guarantee(), Guarantee::BestEffort);
        account.made_up(ShortOf::KeptBack, &".".into());
        assert_eq!(guarantee(), Guarantee::Guaranteed);
    }

    #[test]
    fn a_million_files_that_fall_short_are_counted_and_the_first_are_named() {
        let account = Account::default();
        for file in 0..PATHS + 5 {
            account.short(ShortOf::Changing, Some(&|| format!("f{file}").into()));
        }
        let (_, count, paths) = short(&account).remove(0);
        assert_eq!((count, paths.len()), (21, PATHS));
        assert_eq!(paths[15], "f15".into());
    }

    #[test]
    fn a_weaker_mode_is_named_and_never_called_a_guarantee() {
        let account = Account::default();
        account.file();
        account.written(3);
        account.read_back(2);
        account.discarded(1);
        account.downgrade(WipeMode::Unlink, ShortOf::NoDiscard);
        let expected = Proof {
            mode: "overwrite",
            guarantee: Guarantee::Downgraded,
            instead: Some(WipeMode::Unlink),
            overwritten_files: 1,
            overwritten_bytes: 3,
            read_back_bytes: 2,
            discarded_bytes: 1,
            short: vec![Short {
                why: ShortOf::NoDiscard,
                count: 1,
                paths: Vec::new(),
            }],
        };
        assert_eq!(account.proof(method()), expected);
    }
}
