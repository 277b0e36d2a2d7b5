//! Watches a job while it runs: how fast it is, what comes back, and what its drive has to bear.
//!
//! ```text
//!   |------- 900 ms: the job works -------|- 100 ms: it rests -|------- it works ...
//!    what tasks wait for I/O in this time  what others wait for
//! ```
//!
//! The rest is made only where its answer is needed. What is allowed next is decided by
//! [`crate::decide::pace`].

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::host::Reins;
use crate::act::wipe::{Control, Pressure, Progress};
use crate::decide::pace::{Allowed, Bounds, Sample, next};
use crate::observe::places::Places;
use crate::observe::pressure::{Counts, counts};
use crate::observe::{clock, drives};
use crate::units::Raw;

/// How often a job is looked at.
const TICK: Duration = Duration::from_millis(100);
/// So many ticks make one look at the pressure.
const TICKS: u32 = 9;
/// The beginning of a rest, in which what we began still ends,
const SETTLE: Duration = Duration::from_millis(30);
/// and the rest of it, which shows what others do.
const LISTEN: Duration = Duration::from_millis(70);
/// So many looks may go by without a rest.
const LOOKS: u32 = 5;

/// A job that is watched.
pub(super) struct Watch<'a> {
    /// The root that it works on.
    pub(super) root: &'a Raw,
    /// When it slows down and when it hurries.
    pub(super) reins: &'a Reins,
    pub(super) control: &'a Control,
    pub(super) progress: &'a Progress,
}

impl Watch<'_> {
    /// Runs a job on this thread, while a second one watches it. Without a second one the job runs
    /// all the same, at its ordinary rate.
    pub(super) fn over<T>(&self, job: impl FnOnce() -> T) -> T {
        let end = End::default();
        std::thread::scope(|scope| {
            // Ended on every way out, a panic included: the other thread would wait for ever.
            let _ending = Ending(&end);
            let watcher = std::thread::Builder::new()
                .name("watch".to_owned())
                .stack_size(128 << 10)
                .spawn_scoped(scope, || Watcher::new(self, &end).watch());
            if let Err(error) = watcher {
                tracing::warn!(%error, root = %self.root, "nobody watches this job, ignoring");
            }
            job()
        })
    }
}

struct Watcher<'a> {
    job: &'a Watch<'a>,
    end: &'a End,
    places: Places,
    drives: Option<BTreeSet<Raw>>,
    /// What was free when it began.
    free: Option<u64>,
    allowed: Allowed,
    looks: u32,
    /// Bytes overwritten up to the last look.
    overwritten: u64,
}

/// The job has ended.
struct Ended;

/// What was counted in a span of time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    span: Duration,
    from: Counts,
    to: Counts,
}

impl Seen {
    /// The share of the time in which tasks waited for I/O, in percent; where the kernel does not
    /// tell, that in which the drive was busy.
    fn pressure(&self) -> Option<f64> {
        let waited = if let (Some(from), Some(to)) = (self.from.stalled, self.to.stalled) {
            to.saturating_sub(from)
        } else {
            let (from, to) = (self.from.drives?, self.to.drives?);
            to.busy.saturating_sub(from.busy)
        };
        let share = waited.as_secs_f64() / self.span.as_secs_f64() * 100.0;
        share.is_finite().then_some(share.clamp(0.0, 100.0))
    }

    /// Whether somebody else used the drive: what we do ourselves flushes it a few times a second
    /// at most, and reads only what this process is told to have read.
    fn others(&self) -> Option<bool> {
        let (from, to) = (self.from.drives?, self.to.drives?);
        let flushes = to.flushes?.saturating_sub(from.flushes?);
        let own = self.to.own_read.saturating_sub(self.from.own_read);
        let read = to.read.saturating_sub(from.read).saturating_sub(own);
        Some(self.per_second(flushes) > OWN_FLUSHES || self.per_second(read) > OWN_READS)
    }

    /// The same in a rest, when we do nothing: what we did may still be written.
    fn others_at_rest(&self) -> Option<bool> {
        let (from, to) = (self.from.drives?, self.to.drives?);
        let writes = to.writes.saturating_sub(from.writes);
        Some(self.others()? || self.per_second(writes) > LATE_WRITES)
    }

    fn per_second(&self, count: u64) -> f64 {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        count / self.span.as_secs_f64()
    }
}

/// Flushes per second that may be of the file system's own journal.
const OWN_FLUSHES: f64 = 15.0;
/// Bytes read per second that this process was not told of: what the file system reads for itself.
const OWN_READS: f64 = 1e6;
/// Writes per second that may be late ones of ours.
const LATE_WRITES: f64 = 40.0;

impl<'a> Watcher<'a> {
    fn new(job: &'a Watch<'a>, end: &'a End) -> Self {
        let places = Places::default();
        let path = job.root.as_path();
        Self {
            job,
            end,
            drives: drives::device(path).and_then(|device| drives::under(&places, device)),
            places,
            free: drives::room(path).map(|room| room.free),
            // All that is ordinary, which the wipe itself tells when it has seen the file system.
            allowed: Allowed::Rate(u32::MAX),
            looks: 0,
            overwritten: 0,
        }
    }

    fn watch(mut self) {
        while self.look().is_ok() {}
    }

    fn counts(&self) -> (Duration, Counts) {
        let now = clock::precise();
        (now, counts(&self.places, self.drives.as_ref()))
    }

    fn since(&self, (then, from): (Duration, Counts)) -> Seen {
        let (now, to) = self.counts();
        Seen {
            span: now.saturating_sub(then).max(Duration::from_millis(1)),
            from,
            to,
        }
    }

    fn tick(&self, span: Duration) -> Result<(), Ended> {
        self.job.progress.note(clock::precise());
        if self.end.within(span) {
            return Err(Ended);
        }
        Ok(())
    }

    /// Which share of the time it may work. Its rate slows down what removes; what overwrites has no
    /// rate that is counted in removals, and is held for a part of each tick instead.
    fn working_share(&mut self) -> f64 {
        let overwritten = self.job.progress.now().overwritten;
        let overwrites = overwritten > self.overwritten;
        self.overwritten = overwritten;
        let ordinary = self.job.control.ordinary();
        match self.allowed {
            Allowed::Rate(rate) if overwrites && rate < ordinary => {
                f64::from(rate) / f64::from(ordinary)
            }
            Allowed::Everything | Allowed::Rate(_) | Allowed::Nothing => 1.0,
        }
    }

    fn work_for(&self, share: f64) -> Result<(), Ended> {
        if share >= 1.0 {
            return self.tick(TICK);
        }
        let works = TICK.mul_f64(share.max(0.0));
        self.job.control.hold(true);
        let held = self.tick(TICK.saturating_sub(works));
        self.job.control.hold(false);
        held.and_then(|()| self.tick(works))
    }

    /// Looks for about a second, and decides on the next one.
    fn look(&mut self) -> Result<(), Ended> {
        let control = self.job.control;
        let began = self.counts();
        let mut last = began;
        let share = self.working_share();
        for _ in 0..TICKS {
            self.work_for(share)?;
            // Who comes to an idle disk is not kept waiting for the end of the second.
            if self.allowed == Allowed::Everything {
                let seen = self.since(last);
                if seen.others() == Some(true) {
                    self.allow(Allowed::Rate(control.ordinary()));
                    break;
                }
                last = self.counts();
            }
        }
        let room = drives::room(self.job.root.as_path());
        if let (Some(before), Some(room)) = (self.free, room) {
            self.job.progress.freed(room.free.saturating_sub(before));
        }
        if control.ordinary() == 0 || control.is_paused() {
            self.job.progress.pressed(None);
            self.allowed = Allowed::Rate(u32::MAX);
            control.hold(false);
            return Ok(());
        }
        let worked = self.since(began);
        let mut sample = Sample {
            worked: worked.pressure(),
            rested: None,
            others: worked.others(),
            urgent: room.is_some_and(|room| is_short(room, self.job.reins)),
        };
        let limit = self.job.reins.limit();
        self.looks = self.looks.wrapping_add(1);
        if self.allowed == Allowed::Nothing {
            sample.rested = sample.worked.take();
        } else if !sample.urgent
            && (sample.others != Some(true)
                || sample.worked.is_some_and(|worked| worked > limit)
                || self.looks.is_multiple_of(LOOKS))
        {
            let rested = self.rest()?;
            sample.rested = rested.pressure();
            sample.others = match (sample.others, rested.others_at_rest()) {
                (Some(worked), Some(rested)) => Some(worked || rested),
                (None, _) | (_, None) => None,
            };
        }
        self.show(&sample);
        let bounds = Bounds {
            ordinary: control.ordinary().max(1),
            hasten: control.by_file_system(),
            limit,
        };
        let allowed = next(self.allowed, &sample, &bounds);
        self.allow(allowed);
        Ok(())
    }

    /// Holds the job for a moment, to see what others do.
    fn rest(&self) -> Result<Seen, Ended> {
        let control = self.job.control;
        control.hold(true);
        let rested = self.tick(SETTLE).and_then(|()| {
            let began = self.counts();
            self.tick(LISTEN)?;
            Ok(self.since(began))
        });
        control.hold(false);
        rested
    }

    fn show(&self, sample: &Sample) {
        let before = self.job.progress.pressure().unwrap_or_default();
        let rested = sample.rested.or(before.rested);
        let pressure = match (sample.worked, sample.rested) {
            (Some(worked), _) => Some(Pressure { worked, rested }),
            (None, Some(rested)) => Some(Pressure {
                worked: rested,
                rested: Some(rested),
            }),
            (None, None) => None,
        };
        self.job.progress.pressed(pressure);
    }

    fn allow(&mut self, allowed: Allowed) {
        if allowed != self.allowed {
            tracing::debug!(root = %self.job.root, ?allowed, "the pace changes");
        }
        self.allowed = allowed;
        let control = self.job.control;
        match allowed {
            Allowed::Everything => control.allow(0),
            Allowed::Rate(rate) => control.allow(rate),
            Allowed::Nothing => {}
        }
        control.hold(allowed == Allowed::Nothing);
    }
}

/// Whether space is needed urgently: a tenant of this file system is about to find it full, or there is
/// less than an operator wants to be free while the trash holds anything (`trash.free_below`).
fn is_short(room: drives::Room, reins: &Reins) -> bool {
    let nearly_full = room.available < room.total.checked_div(50).unwrap_or(0);
    let least = reins.least_free(room.total);
    nearly_full || least.is_some_and(|least| room.free < least)
}

/// Tells the watching thread that the job has ended.
#[derive(Debug, Default)]
struct End {
    ended: Mutex<bool>,
    told: Condvar,
}

impl End {
    /// Waits so long at most; whether the job has ended.
    fn within(&self, span: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _late) = self
            .told
            .wait_timeout_while(ended, span, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

struct Ending<'a>(&'a End);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::FreeBelow;
    use crate::observe::pressure::DriveCounts;

    fn watched<T>(work: impl FnOnce() -> T) -> T {
        let (control, progress) = (Control::new(0), Progress::default());
        let watch = Watch {
            root: &Raw::from("/"),
            reins: &Reins::default(),
            control: &control,
            progress: &progress,
        };
        watch.over(work)
    }

    #[test]
    fn a_job_is_watched_to_its_end() {
        let begun = clock::precise();
        let answer = watched(|| {
            std::thread::sleep(Duration::from_millis(20));
            7
        });
        assert_eq!(answer, 7);
        assert!(clock::precise().saturating_sub(begun) < Duration::from_secs(30));
    }

    #[test]
    fn a_job_that_panics_leaves_no_thread_behind() {
        let ended = std::panic::catch_unwind(|| watched(|| panic!("as a test")));
        assert!(ended.is_err());
    }

    fn seen(stalled: Option<u64>, busy: u64, flushes: Option<u64>, read: u64, own: u64) -> Seen {
        let drives = DriveCounts {
            read,
            writes: 0,
            flushes,
            busy: Duration::from_millis(busy),
        };
        Seen {
            span: Duration::from_secs(1),
            from: Counts {
                stalled: stalled.map(|_| Duration::ZERO),
                drives: Some(DriveCounts {
                    flushes: flushes.map(|_| 0),
                    ..DriveCounts::default()
                }),
                own_read: 0,
            },
            to: Counts {
                stalled: stalled.map(Duration::from_millis),
                drives: Some(drives),
                own_read: own,
            },
        }
    }

    fn about(share: Option<f64>, percent: f64) -> bool {
        share.is_some_and(|share| (share - percent).abs() < 0.01)
    }

    #[test]
    fn the_drive_stands_in_where_the_kernel_tells_of_no_pressure() {
        assert!(about(seen(Some(250), 900, None, 0, 0).pressure(), 25.0));
        assert!(about(seen(None, 900, None, 0, 0).pressure(), 90.0));
        let nothing = Seen {
            span: Duration::from_secs(1),
            from: Counts::default(),
            to: Counts::default(),
        };
        assert_eq!(nothing.pressure(), None);
        assert_eq!(nothing.others(), None);
    }

    #[test]
    fn others_are_told_by_their_flushes_and_reads() {
        assert_eq!(seen(None, 0, Some(300), 0, 0).others(), Some(true));
        assert_eq!(seen(None, 0, Some(2), 0, 0).others(), Some(false));
        // Before Linux 5.5 flushes are not counted: unknown is not idle.
        assert_eq!(seen(None, 0, None, 0, 0).others(), None);
        let read = 100 << 20;
        assert_eq!(seen(None, 0, Some(0), read, read).others(), Some(false));
        assert_eq!(seen(None, 0, Some(0), read, 0).others(), Some(true));
    }

    #[test]
    fn space_is_short_with_a_fiftieth_left_or_less_free_than_an_operator_wants() {
        let room = |available| drives::Room {
            total: 1000,
            free: available,
            available,
        };
        let reins = Reins::default();
        assert!(is_short(room(19), &reins));
        assert!(!is_short(room(20), &reins));
        reins.hurry_below(Some(FreeBelow::Percent(30)));
        assert!(is_short(room(299), &reins));
        assert!(!is_short(room(300), &reins));
        reins.hurry_below(Some(FreeBelow::Bytes(500)));
        assert!(is_short(room(499), &reins));
    }
}
