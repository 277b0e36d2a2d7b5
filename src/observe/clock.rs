//! The clocks. Nothing else in the program, its tests aside, reads them: time is an input.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::places::Places;
use super::read;
use crate::decide::facts::Moment;
use crate::sys::ReadError;
use crate::units::Span;

/// Why the moment could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The file with the kernel's boot id could not be read.
    #[error("the kernel's boot id could not be read; is /proc mounted?")]
    BootId(#[source] ReadError),
    /// It holds no boot id.
    #[error("`{text}` in /proc/sys/kernel/random/boot_id is not a boot id")]
    NotABootId {
        /// What was read.
        text: String,
    },
}

/// The present moment on both clocks.
pub fn now(places: &Places) -> Result<Moment, ClockError> {
    let file = places.proc.join("sys/kernel/random/boot_id");
    let bytes = read::whole(&file, 256).map_err(ClockError::BootId)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if uuid::Uuid::try_parse(&text).is_err() {
        return Err(ClockError::NotABootId { text });
    }
    Ok(Moment {
        boot_id: text,
        since_boot: since_boot(),
        wall_seconds: wall_seconds(),
    })
}

/// `CLOCK_BOOTTIME`: time since boot, suspend included. Ages are measured in it. In whole
/// milliseconds, as a facts file keeps it, so that a replay is the same.
#[must_use]
pub fn since_boot() -> Span {
    Span::milliseconds(Span(duration(ClockId::Boottime)).as_milliseconds())
}

/// `CLOCK_MONOTONIC`, in full: for spans of a second or so, in which the host was not suspended.
#[must_use]
pub fn precise() -> Duration {
    duration(ClockId::Monotonic)
}

fn duration(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// Seconds since 1970, for display only: the wall clock may jump, and may lie before 1970.
#[must_use]
pub fn wall_seconds() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_secs()).map_or(i64::MIN, i64::saturating_neg)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run_and_the_boot_id_stays() {
        let first = now(&Places::default()).unwrap();
        let second = now(&Places::default()).unwrap();
        assert_eq!(first.boot_id, second.boot_id);
        assert_eq!(first.boot_id.len(), 36);
        assert!(first.since_boot <= second.since_boot);
        assert!(first.since_boot > Span::ZERO && first.wall_seconds > 1_700_000_000);
    }

    #[test]
    fn a_boot_id_that_cannot_be_read_is_an_error_and_never_an_empty_text() {
        let tree = tempfile::tempdir().unwrap();
        let places = Places {
            proc: tree.path().into(),
            ..Places::default()
        };
        assert!(matches!(now(&places), Err(ClockError::BootId(_))));
        let random = tree.path().join("sys/kernel/random");
        std::fs::create_dir_all(&random).unwrap();
        for text in ["", "\n", "not a boot id\n"] {
            std::fs::write(random.join("boot_id"), text).unwrap();
            assert!(
                matches!(now(&places), Err(ClockError::NotABootId { .. })),
                "{text:?}"
            );
        }
    }
}
