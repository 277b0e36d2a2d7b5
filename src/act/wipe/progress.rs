//! How far a wipe is, and how fast.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// How far a wipe is; written by it, read by anyone at any time.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    dirs: AtomicU64,
    left: AtomicU64,
    overwritten: AtomicU64,
    expected: AtomicU64,
    freed: AtomicU64,
    pressure: Mutex<Option<Pressure>>,
    /// What was seen in the last seconds: the younger, the later.
    seen: Mutex<VecDeque<Seen>>,
}

/// [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressNow {
    /// Entries removed that were no directories.
    pub files: u64,
    /// Directories removed.
    pub dirs: u64,
    /// Entries that could not be removed.
    pub left: u64,
    /// Bytes of files overwritten.
    pub overwritten: u64,
    /// How many files and directories there were in the beginning, about; `None` where nothing tells
    /// without looking at all of them: a part of a file system, or one that does not count.
    pub expected: Option<u64>,
    /// How many bytes more are free on the file system than in the beginning, as whoever watches
    /// the job last saw.
    pub freed: u64,
}

impl ProgressNow {
    /// Files and directories removed.
    #[must_use]
    pub const fn removed(&self) -> u64 {
        self.files.saturating_add(self.dirs)
    }
}

/// How fast a wipe was over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Files and directories removed per second.
    pub removals: f64,
    /// Bytes overwritten per second.
    pub overwritten: f64,
}

/// For which share of the last second or so tasks of the host waited for I/O, in percent, or the
/// drive was busy, where the kernel does not tell that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// While the job worked.
    pub worked: f64,
    /// While it rested, which is what others make; the last that was seen.
    pub rested: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Duration,
    removed: u64,
    overwritten: u64,
}

/// Over which time a speed is told.
const WINDOW: Duration = Duration::from_secs(5);

/// So many looks are kept at most, however often somebody looks.
const LOOKS: usize = 64;

impl Progress {
    /// What it is now.
    pub fn now(&self) -> ProgressNow {
        ProgressNow {
            files: self.files.load(Ordering::Relaxed),
            dirs: self.dirs.load(Ordering::Relaxed),
            left: self.left.load(Ordering::Relaxed),
            overwritten: self.overwritten.load(Ordering::Relaxed),
            expected: Some(self.expected.load(Ordering::Relaxed)).filter(|&inodes| inodes > 0),
            freed: self.freed.load(Ordering::Relaxed),
        }
    }

    /// Notes how far it is at this moment of a clock that never goes back. Whoever watches the job
    /// calls this a few times a second; the speed is told from it.
    pub fn note(&self, at: Duration) {
        let now = self.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(Seen {
            at,
            removed: now.removed(),
            overwritten: now.overwritten,
        });
        // One from before the window stays, so that the window is always whole.
        while seen.len() > LOOKS
            || seen
                .get(1)
                .is_some_and(|second| at.saturating_sub(second.at) >= WINDOW)
        {
            seen.pop_front();
        }
    }

    /// So many bytes more are free on the file system than in the beginning.
    pub fn freed(&self, bytes: u64) {
        self.freed.store(bytes, Ordering::Relaxed);
    }

    /// So much was waited for I/O, as whoever watches the job saw.
    pub fn pressed(&self, pressure: Option<Pressure>) {
        *self.pressure.lock().unwrap_or_else(PoisonError::into_inner) = pressure;
    }

    /// How much is waited for I/O.
    pub fn pressure(&self) -> Option<Pressure> {
        *self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How fast it was over the last seconds, as far as it was watched.
    pub fn speed(&self) -> Speed {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (seen.front(), seen.back()) else {
            return Speed::default();
        };
        let span = last.at.saturating_sub(first.at).as_secs_f64();
        if span <= 0.0 {
            return Speed::default();
        }
        let per_second = |before: u64, after: u64| number(after.saturating_sub(before)) / span;
        Speed {
            removals: per_second(first.removed, last.removed),
            overwritten: per_second(first.overwritten, last.overwritten),
        }
    }

    /// So many inodes are in use where everything goes.
    pub(super) fn expect(&self, inodes: u64) {
        self.expected.store(inodes, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn removed_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn removed_dir(&self) {
        self.dirs.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn overwritten(&self, bytes: u64) {
        self.overwritten.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

fn number(count: u64) -> f64 {
    let high = u32::try_from(count >> 32_u32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(high).mul_add(4_294_967_296.0, f64::from(low))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let progress = Progress::default();
        assert_eq!(progress.speed(), Speed::default());
        progress.note(Duration::from_secs(10));
        assert_eq!(progress.speed(), Speed::default());
        for _ in 0..100 {
            progress.removed_file();
        }
        progress.note(Duration::from_secs(12));
        assert_eq!(progress.speed().removals, 50.0);
        // Long ago: nothing was removed since.
        for second in 13..30 {
            progress.note(Duration::from_secs(second));
        }
        assert_eq!(progress.speed().removals, 0.0);
        assert_eq!(progress.now().removed(), 100);
    }

    #[test]
    fn looking_often_costs_no_memory() {
        let progress = Progress::default();
        for millisecond in 0..10_000 {
            progress.note(Duration::from_millis(millisecond));
        }
        assert!(progress.seen.lock().unwrap().len() <= LOOKS);
    }

    #[test]
    fn what_was_done_and_what_is_waited_for_is_told() {
        let progress = Progress::default();
        assert_eq!(
            (progress.now(), progress.pressure()),
            (ProgressNow::default(), None)
        );
        progress.expect(7);
        progress.removed_file();
        progress.removed_file();
        progress.removed_dir();
        progress.left();
        progress.overwritten(5);
        progress.freed(9);
        let now = ProgressNow {
            files: 2,
            dirs: 1,
            left: 1,
            overwritten: 5,
            expected: Some(7),
            freed: 9,
        };
        assert_eq!((progress.now(), now.removed()), (now, 3));
        let pressure = Pressure {
            worked: 12.0,
            rested: Some(3.0),
        };
        progress.pressed(Some(pressure));
        assert_eq!(progress.pressure(), Some(pressure));
    }

    #[test]
    fn terabytes_a_second_are_told_as_well() {
        let progress = Progress::default();
        progress.note(Duration::from_secs(1));
        let bytes = (5 << 40) + 12_345;
        progress.overwritten(bytes);
        progress.note(Duration::from_secs(3));
        assert_eq!(
            progress.speed().overwritten,
            (2.5 * 1024_f64.powi(4)) + 6_172.5
        );
        assert_eq!(progress.speed().removals, 0.0);
    }
}
