//! Whether the host slept: timers of this process stand still meanwhile, disks may be changed.

use std::time::Duration;

/// A difference of the clocks smaller than this is their reading one after the other.
const NOTICED: Duration = Duration::from_secs(2);

/// Compares the clock that runs on while the host is suspended with the one that does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspend {
    ahead: Duration,
}

impl Suspend {
    /// From this moment on. `boot` is `CLOCK_BOOTTIME`, `monotonic` `CLOCK_MONOTONIC`.
    pub(super) fn new(boot: Duration, monotonic: Duration) -> Self {
        Self {
            ahead: boot.saturating_sub(monotonic),
        }
    }

    /// How long the host was suspended since the last look; `None` where it was not.
    pub(super) fn since(&mut self, boot: Duration, monotonic: Duration) -> Option<Duration> {
        let ahead = boot.saturating_sub(monotonic);
        let slept = ahead.saturating_sub(self.ahead);
        if slept < NOTICED {
            return None;
        }
        self.ahead = ahead;
        Some(slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_seen_once_and_a_busy_host_is_not_taken_for_a_sleeping_one() {
        let seconds = Duration::from_secs;
        let mut suspend = Suspend::new(seconds(1000), seconds(900));
        assert_eq!(suspend.since(seconds(1060), seconds(960)), None);
        // Read a second apart.
        assert_eq!(suspend.since(seconds(1121), seconds(1020)), None);
        assert_eq!(
            suspend.since(seconds(4720), seconds(1020)),
            Some(seconds(3600))
        );
        assert_eq!(suspend.since(seconds(4721), seconds(1021)), None);
    }
}
