//! When something is to be done anew: at the latest after its span, at once when it is asked for, and
//! after a hint as soon as it has rested. Hints may come without end (a test bench that plugs disks in
//! and out, an agent that never rests): they lead to one pass after the other otherwise, which on a host
//! with a hundred thousand volumes is a core for as long as they come.

use std::time::Duration;

use tokio::time::Instant;

use super::after;

/// It rests so many times as long as it took: hints alone get a fifth of one core at the most.
const REST: u32 = 4;

/// No rest is longer: that of a pass of 15 seconds.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// When one thing, which a thread does for us, is due.
#[derive(Debug)]
pub(super) struct Due {
    /// Whatever is hinted at.
    at: Instant,
    hinted: Option<Instant>,
    /// Since when it has been done; `None` while nobody does it.
    since: Option<Instant>,
    /// No hint leads to it before.
    rested: Instant,
    /// From one beginning to the next, however short it was.
    least: Duration,
}

impl Due {
    /// Due at once. After hints, it begins no sooner than `least` after it began.
    pub(super) fn new(now: Instant, least: Duration) -> Self {
        Self {
            at: now,
            hinted: None,
            since: None,
            rested: now,
            least,
        }
    }

    /// It is asked for, or its time has come.
    pub(super) fn now(&mut self, now: Instant) {
        self.at = now;
    }

    /// Something may have changed. The first hint sets the time; later ones don't put it off.
    pub(super) fn hint(&mut self, at: Instant) {
        self.hinted = Some(self.hinted.map_or(at, |before| before.min(at)));
    }

    /// When it begins next, once it is not being done.
    pub(super) fn begins(&self) -> Instant {
        self.hinted
            .map_or(self.at, |hinted| self.at.min(hinted.max(self.rested)))
    }

    /// Since when it is being done.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it begins now; then it is due again after this span.
    pub(super) fn begin(&mut self, now: Instant, every: Duration) -> bool {
        if self.since.is_some() || now < self.begins() {
            return false;
        }
        self.since = Some(now);
        self.at = after(now, every);
        self.hinted = None;
        true
    }

    /// It was done.
    pub(super) fn ended(&mut self, now: Instant) {
        let Some(since) = self.since.take() else {
            return;
        };
        let took = now.saturating_duration_since(since);
        let rest = took.saturating_mul(REST).min(LONGEST_REST);
        self.rested = after(now, rest).max(after(since, self.least));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_hours(1);

    fn later(now: Instant, millis: u64) -> Instant {
        after(now, Duration::from_millis(millis))
    }

    /// One that was begun at this time, and took so long.
    fn done(least: Duration, millis: u64) -> (Due, Instant) {
        let now = Instant::now();
        let mut due = Due::new(now, least);
        assert!(due.begin(now, EVERY));
        assert_eq!(due.since(), Some(now));
        let end = later(now, millis);
        due.ended(end);
        assert_eq!(due.since(), None);
        (due, end)
    }

    #[test]
    fn hints_wait_for_as_long_as_it_rests_and_orders_do_not() {
        let (mut due, end) = done(Duration::ZERO, 5000);
        due.hint(end);
        assert_eq!(due.begins(), later(end, 20_000));
        assert!(!due.begin(later(end, 19_999), EVERY));
        due.now(end);
        assert!(due.begin(end, EVERY));
    }

    #[test]
    fn what_was_hinted_at_while_it_was_done_is_looked_at_after_the_rest() {
        let now = Instant::now();
        let mut due = Due::new(now, Duration::ZERO);
        assert!(due.begin(now, EVERY));
        due.hint(later(now, 500));
        assert!(!due.begin(later(now, 600), EVERY), "it is being done");
        due.ended(later(now, 1000));
        assert_eq!(due.begins(), later(now, 5000));
        assert!(due.begin(later(now, 5000), EVERY));
        due.ended(later(now, 5001));
        assert!(!due.begin(later(now, 6000), EVERY), "once");
    }

    #[test]
    fn the_first_hint_sets_the_time() {
        let (mut due, end) = done(Duration::ZERO, 1);
        due.hint(later(end, 2000));
        due.hint(later(end, 9000));
        assert_eq!(due.begins(), later(end, 2000));
        due.hint(later(end, 1000));
        assert_eq!(due.begins(), later(end, 1000));
    }

    #[test]
    fn a_short_one_keeps_its_distance_and_a_long_rest_has_an_end() {
        let (mut due, end) = done(Duration::from_secs(1), 10);
        due.hint(end);
        assert_eq!(due.begins(), later(end, 990));
        let (mut due, end) = done(Duration::ZERO, 600_000);
        due.hint(end);
        assert_eq!(due.begins(), later(end, 60_000));
    }

    #[test]
    fn without_a_hint_it_is_due_after_its_span() {
        let (due, end) = done(Duration::ZERO, 1000);
        assert_eq!(due.begins(), later(end, 3_599_000));
    }
}
