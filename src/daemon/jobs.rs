//! What jobs do, and when they end, as it is shown by `status`, the API, the metrics and systemd.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::act::wipe::{ProgressNow, Speed};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum JobState {
    /// It has not begun: another job runs on the same drive.
    Waiting,
    /// It runs, at the rate of its file system or faster.
    Running,
    /// It runs more slowly, because somebody else needs the drive.
    Slowed,
    /// Somebody has paused it.
    Paused,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Slowed, Self::Paused];

    /// The word in JSON and in the metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Slowed => "slowed",
            Self::Paused => "paused",
        }
    }
}

/// In how many seconds a wipe ends that goes on like this; `None` where nothing tells how much is
/// left: it is not guessed. Overwriting takes its time by bytes, which are not known before.
#[must_use]
pub fn eta(now: ProgressNow, speed: Speed) -> Option<u64> {
    let expected = now.expected?;
    if now.overwritten > 0 || speed.removals < 1.0 {
        return None;
    }
    let left = u32::try_from(expected.checked_sub(now.removed())?).ok()?;
    let span = Duration::try_from_secs_f64(f64::from(left) / speed.removals).ok()?;
    Some(span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_only_where_the_whole_is_known() {
        let speed = Speed {
            removals: 100.0,
            overwritten: 0.0,
        };
        let now = ProgressNow {
            files: 900,
            dirs: 100,
            expected: Some(3000),
            ..ProgressNow::default()
        };
        assert_eq!(eta(now, speed), Some(20));
        let unknown = ProgressNow {
            expected: None,
            ..now
        };
        assert_eq!(eta(unknown, speed), None);
        assert_eq!(eta(now, Speed::default()), None, "it stands still");
        // More came than there was.
        let more = ProgressNow { files: 3000, ..now };
        assert_eq!(eta(more, speed), None);
        let overwrites = ProgressNow {
            overwritten: 4096,
            ..now
        };
        assert_eq!(eta(overwrites, speed), None);
    }

    #[test]
    fn states_are_named_alike_everywhere() {
        for state in JobState::ALL {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.word());
        }
    }
}
