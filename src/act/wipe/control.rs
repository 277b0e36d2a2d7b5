//! Stopping, pausing and pacing a wipe.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bits of the state; nothing set: it runs.
const RUN: u8 = 0;
/// Held by somebody's word.
const PAUSE: u8 = 1;
/// Held by whoever watches the disk.
const HOLD: u8 = 2;
/// Ended; this wins over the others, and stays.
const STOP: u8 = 4;

/// A rate that stands for what suits the file system: see [`Control::rate`].
pub const BY_FILE_SYSTEM: u32 = u32::MAX;

/// Nobody watches the disk: the ordinary rate.
const NO_FEEDBACK: u32 = u32::MAX;

/// Until the file system is known.
const CAREFUL: u32 = 5_000;

/// The reins of one wipe; shared with whoever may stop, pause or pace it. Each takes effect at the
/// next entry, and wakes a wipe that waits.
#[derive(Debug)]
pub struct Control {
    state: AtomicU8,
    /// Removals per second; 0: as fast as it goes; or [`BY_FILE_SYSTEM`].
    rate: AtomicU32,
    /// What suits the file system.
    usual: AtomicU32,
    /// What feedback allows: removals per second; 0: as fast as it goes; or [`NO_FEEDBACK`].
    allowed: AtomicU32,
    /// Threads for one tree where several are a gain and nobody is to be spared.
    threads: AtomicU32,
    /// Guards nothing but the waiting itself.
    waiting: Mutex<()>,
    changed: Condvar,
}

impl Control {
    /// Runs at so many removals per second; 0: as fast as it goes; [`BY_FILE_SYSTEM`]: at the rate
    /// at which a tenant of that file system hardly notices. One thread.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            state: AtomicU8::new(RUN),
            rate: AtomicU32::new(rate),
            usual: AtomicU32::new(CAREFUL),
            allowed: AtomicU32::new(NO_FEEDBACK),
            threads: AtomicU32::new(1),
            waiting: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// The same with so many threads for one tree. Used only on ext4 and xfs, and only without a rate:
    /// elsewhere a second thread is no gain, and a neighbour is worth more than time.
    #[must_use]
    pub fn with_threads(self, threads: u32) -> Self {
        self.threads.store(threads, Ordering::Relaxed);
        self
    }

    /// Threads for one tree.
    pub(super) fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Ends the wipe; what is left stays for another one. It can't be taken back.
    pub fn stop(&self) {
        self.state.fetch_or(STOP, Ordering::Relaxed);
        self.wake();
    }

    /// Holds the wipe until [`Control::resume`] or [`Control::stop`].
    pub fn pause(&self) {
        self.state.fetch_or(PAUSE, Ordering::Relaxed);
        self.wake();
    }

    /// Goes on after [`Control::pause`].
    pub fn resume(&self) {
        self.state.fetch_and(!PAUSE, Ordering::Relaxed);
        self.wake();
    }

    /// Holds the wipe, or lets it go on, for whoever watches the disk; apart from
    /// [`Control::pause`], which holds it all the same.
    pub fn hold(&self, hold: bool) {
        if hold {
            self.state.fetch_or(HOLD, Ordering::Relaxed);
        } else {
            self.state.fetch_and(!HOLD, Ordering::Relaxed);
        }
        self.wake();
    }

    /// From now on so many removals per second; 0: as fast as it goes; or [`BY_FILE_SYSTEM`]. Whoever
    /// sees the disk's other users suffer may lower it at any time.
    pub fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Ordering::Relaxed);
        self.wake();
    }

    /// Removals per second that are allowed now, with the file system's own rate filled in, and
    /// as feedback has it; 0: as fast as it goes.
    pub fn rate(&self) -> u32 {
        match (self.ordinary(), self.allowed.load(Ordering::Relaxed)) {
            (0, _) => 0,
            (ordinary, NO_FEEDBACK) => ordinary,
            (_, allowed) => allowed,
        }
    }

    /// The rate without feedback; 0: none is kept, and feedback has no say.
    pub fn ordinary(&self) -> u32 {
        match self.rate.load(Ordering::Relaxed) {
            BY_FILE_SYSTEM => self.usual.load(Ordering::Relaxed),
            rate => rate,
        }
    }

    /// Whether the rate is the file system's own, not one that somebody asked for.
    pub fn by_file_system(&self) -> bool {
        self.rate.load(Ordering::Relaxed) == BY_FILE_SYSTEM
    }

    /// What whoever watches the disk allows from now on: removals per second; 0: as fast as it goes.
    /// Without any effect where there is no rate to keep to.
    pub fn allow(&self, rate: u32) {
        if self.allowed.swap(rate, Ordering::Relaxed) != rate {
            self.wake();
        }
    }

    /// Whether it goes slower than it would without feedback.
    pub fn is_slowed(&self) -> bool {
        let (ordinary, rate) = (self.ordinary(), self.rate());
        rate > 0 && rate < ordinary
    }

    /// Whether it is held by [`Control::pause`].
    pub fn is_paused(&self) -> bool {
        self.state.load(Ordering::Relaxed) & PAUSE != 0
    }

    /// What suits the file system that is wiped on.
    pub(super) fn set_usual(&self, rate: u32) {
        self.usual.store(rate, Ordering::Relaxed);
    }

    fn wake(&self) {
        // Taken, so that nobody is between looking and waiting.
        let guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        self.changed.notify_all();
    }

    /// Whether to go on; waits while paused.
    #[inline]
    pub(in crate::act) fn proceed(&self) -> bool {
        match self.state.load(Ordering::Relaxed) {
            RUN => true,
            _ => self.proceed_slowly(),
        }
    }

    #[cold]
    fn proceed_slowly(&self) -> bool {
        let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(self.state.load(Ordering::Relaxed), 1..STOP) {
            guard = self
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.state.load(Ordering::Relaxed) == RUN
    }

    /// Waits so long, or until something changes, and says whether to go on.
    pub(in crate::act) fn rest(&self, span: Duration) -> bool {
        let guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.load(Ordering::Relaxed) == RUN {
            let woken = self
                .changed
                .wait_timeout(guard, span)
                .unwrap_or_else(PoisonError::into_inner);
            drop(woken);
        } else {
            drop(guard);
        }
        self.proceed()
    }
}

/// Keeps to the rate: after each thousandth of a second's worth of removals it rests for what is
/// left of that thousandth. Time lost is not made up for, a hundredth of a second excepted. So there
/// are no bursts: an fsync of somebody else has to wait for everything that is in the file system's
/// running transaction, and the fewer removals come at once, the less that is.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many threads keep to the rate together.
    sharers: u32,
    /// Removals until the clock is looked at again.
    until_look: u32,
    began: Duration,
}

/// A rest shorter than this is not worth a system call.
const SHORTEST_REST: Duration = Duration::from_micros(100);
/// Time lost up to this is made up for: a processor that is busy with others gives it late to us.
const MADE_UP: Duration = Duration::from_millis(10);
/// So many bursts of removals there are in a second.
const BURSTS: u32 = 1000;

impl Pace {
    pub(super) fn new(sharers: u32) -> Self {
        Self {
            sharers,
            until_look: 0,
            began: Duration::ZERO,
        }
    }

    /// After each removal; whether to go on.
    #[inline]
    pub(super) fn removed(&mut self, control: &Control, now: impl Fn() -> Duration) -> bool {
        let rate = control.rate();
        if rate == 0 {
            return true;
        }
        let rate = rate.div_ceil(self.sharers.max(1));
        if let Some(fewer @ 1..) = self.until_look.checked_sub(1) {
            self.until_look = fewer;
            return true;
        }
        self.rest(rate, control, now)
    }

    #[cold]
    fn rest(&mut self, rate: u32, control: &Control, now: impl Fn() -> Duration) -> bool {
        let quantum = rate.div_ceil(BURSTS);
        let span = Duration::from_secs(1)
            .saturating_mul(quantum)
            .checked_div(rate)
            .unwrap_or_default();
        let mut go_on = true;
        let mut at = now();
        // In the first quantum there is nothing to rest for.
        if !self.began.is_zero() {
            let due = self.began.saturating_add(span);
            // Something else than the time may end a rest: a new rate.
            let whole = control.rate();
            while go_on && control.rate() == whole && due.saturating_sub(at) > SHORTEST_REST {
                go_on = control.rest(due.saturating_sub(at));
                at = now();
            }
            // On time, or nearly: the next quantum begins when this one should have ended.
            if at.saturating_sub(due) < span.max(MADE_UP) {
                at = due.max(self.began);
            }
        }
        self.began = at;
        self.until_look = quantum;
        go_on
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;

    fn clock() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap(),
            u32::try_from(now.tv_nsec).unwrap(),
        )
    }

    #[test]
    fn the_rate_is_kept_and_can_be_changed_on_the_way() {
        for (rate, removals, least, most) in [(1000, 200, 150, 20_000), (50, 10, 150, 20_000)] {
            let control = Control::new(rate);
            let mut pace = Pace::new(1);
            let begun = clock();
            for _ in 0..removals {
                assert!(pace.removed(&control, clock));
            }
            let took = clock().saturating_sub(begun);
            assert!(took >= Duration::from_millis(least), "{rate}: {took:?}");
            assert!(took <= Duration::from_millis(most), "{rate}: {took:?}");
        }
        let control = Arc::new(Control::new(1));
        let faster = Arc::clone(&control);
        let begun = clock();
        let helper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            faster.set_rate(0);
        });
        let mut pace = Pace::new(1);
        for _ in 0..100_000 {
            assert!(pace.removed(&control, clock));
        }
        helper.join().unwrap();
        assert!(clock().saturating_sub(begun) < Duration::from_secs(20));
    }

    #[test]
    fn time_lost_is_not_made_up_for() {
        let control = Control::new(100);
        let mut pace = Pace::new(1);
        // A clock of our own, that rests only move by what really passes.
        let offset = Cell::new(Duration::from_secs(1));
        let now = || clock() + offset.get();
        assert!(pace.removed(&control, now));
        offset.set(Duration::from_secs(1000));
        assert!(pace.removed(&control, now));
        let begun = clock();
        for _ in 0..5 {
            assert!(pace.removed(&control, now));
        }
        assert!(clock().saturating_sub(begun) > Duration::from_millis(35));
    }

    #[test]
    fn stop_and_pause_take_effect_while_it_rests() {
        let control = Arc::new(Control::new(1));
        let worker = Arc::clone(&control);
        let thread = std::thread::spawn(move || {
            let mut pace = Pace::new(1);
            let mut removed = 0;
            while worker.proceed() && pace.removed(&worker, clock) {
                removed += 1;
            }
            removed
        });
        std::thread::sleep(Duration::from_millis(50));
        control.pause();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!thread.is_finished());
        let begun = clock();
        control.stop();
        assert!(thread.join().unwrap() <= 2);
        assert!(clock().saturating_sub(begun) < Duration::from_millis(100));
        control.resume();
        assert!(!control.proceed(), "stopped stays stopped");
    }

    /// Does something again and again until a wipe that rests for a minute goes on, or gives up.
    fn ends_a_rest(change: impl Fn(&Control, u32)) -> bool {
        let control = Control::new(100);
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| control.rest(Duration::from_mins(1)));
            let begun = clock();
            for again in 1.. {
                if resting.is_finished() {
                    return true;
                }
                if clock().saturating_sub(begun) > Duration::from_secs(10) {
                    control.stop();
                    return false;
                }
                change(&control, again);
                std::thread::sleep(Duration::from_millis(1));
            }
            false
        })
    }

    #[test]
    fn where_nothing_changes_it_rests_to_the_end() {
        let (control, begun) = (Control::new(100), clock());
        assert!(control.rest(Duration::from_millis(100)));
        assert!(clock().saturating_sub(begun) >= Duration::from_millis(80));
    }

    #[test]
    fn whatever_changes_takes_effect_while_it_rests() {
        assert!(ends_a_rest(Control::set_rate));
        assert!(ends_a_rest(Control::allow));
        assert!(ends_a_rest(|control, _| control.stop()));
        assert!(ends_a_rest(|control, _| {
            control.pause();
            control.resume();
        }));
        assert!(ends_a_rest(|control, _| {
            control.hold(true);
            control.hold(false);
        }));
    }

    #[test]
    fn who_watches_the_disk_and_the_operator_hold_it_each_by_themselves() {
        let control = Control::new(0);
        assert!(control.proceed() && !control.is_paused());
        let (heard, went_on) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            control.pause();
            control.hold(true);
            scope.spawn(|| heard.send(control.proceed()).unwrap());
            let waits = || went_on.recv_timeout(Duration::from_millis(30)).is_err();
            assert!(waits() && control.is_paused());
            control.resume();
            assert!(waits() && !control.is_paused(), "held by the watcher");
            control.pause();
            control.hold(false);
            assert!(waits() && control.is_paused(), "held by the operator");
            control.resume();
            assert_eq!(went_on.recv_timeout(Duration::from_secs(20)), Ok(true));
        });
    }

    #[test]
    fn feedback_has_a_say_only_where_there_is_a_rate_to_keep_to() {
        let control = Control::new(1000);
        let rates = || (control.rate(), control.ordinary(), control.is_slowed());
        assert_eq!(
            (rates(), control.by_file_system()),
            ((1000, 1000, false), false)
        );
        control.allow(100);
        assert_eq!(rates(), (100, 1000, true));
        control.allow(1000);
        assert_eq!(rates(), (1000, 1000, false));
        control.allow(0);
        assert_eq!(rates(), (0, 1000, false));
        control.allow(100);
        control.set_rate(0);
        assert_eq!(rates(), (0, 0, false), "nobody is to be spared");
        control.set_rate(BY_FILE_SYSTEM);
        control.set_usual(20_000);
        assert_eq!(
            (rates(), control.by_file_system()),
            ((100, 20_000, true), true)
        );
    }
}
