//! Jobs as they are shown: by `status`, the API, the metrics and systemd.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::act::wipe::{Pressure, ProgressNow, Speed};
use crate::mesos::disk::DiskRef;
use crate::units::{Raw, Span};

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

/// A job that waits or runs, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// The step: `wipe`, `empty_mount`, `move_out` or `put_back`.
    pub kind: &'static str,
    /// The volume's role.
    pub role: String,
    /// The volume's persistence id.
    pub persistence_id: String,
    /// The id's exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence_id_base64: Option<String>,
    /// The disk that it works on.
    pub disk: DiskRef,
    /// The disk's root, by which it is paused and resumed.
    pub root: Raw,
    /// The plan that it is of.
    pub plan: String,
    /// What it does.
    pub state: JobState,
    /// When it came, in seconds since 1970, for display only.
    pub queued_at: i64,
    /// When it began.
    pub started_at: Option<i64>,
    /// Entries removed that were no directories.
    pub files: u64,
    /// Directories removed.
    pub directories: u64,
    /// Entries that could not be removed.
    pub left: u64,
    /// How much more is free on the file system than when it began; others that write there at the
    /// same time take from it.
    pub freed_bytes: u64,
    /// Bytes of files overwritten.
    pub overwritten_bytes: u64,
    /// How many files and directories there were in the beginning, about: the inodes in use on a
    /// MOUNT disk. `None` where nothing tells without looking at all of them.
    pub expected: Option<u64>,
    /// Files and directories removed per second, over the last five seconds.
    pub rate: f64,
    /// Bytes overwritten per second, over the last five seconds.
    pub bytes_per_second: f64,
    /// Removals per second that it may make now; `None`: as many as it can.
    pub allowed_rate: Option<u32>,
    /// How much is waited for I/O; `None` where nobody looks: the job waits, or keeps to no rate.
    pub pressure: Option<Pressure>,
    /// In how many seconds it ends at this rate; `None` where nothing tells how much is left.
    pub eta_seconds: Option<u64>,
}

impl JobView {
    /// `slave_public/data on PATH /mnt/a: 1,200 files and directories gone, 400/s, about 2m left`,
    /// for a line of text.
    #[must_use]
    pub fn text(&self) -> String {
        let removed = self.files.saturating_add(self.directories);
        let mut text = format!(
            "{}/{} on {}: {}, {removed} files and directories gone",
            self.role,
            self.persistence_id,
            self.disk,
            self.state.word()
        );
        if self.rate >= 1.0 {
            let _infallible = write!(text, ", {:.0}/s", self.rate);
        }
        if let Some(eta) = self.eta_seconds {
            let _infallible = write!(text, ", about {} left", Span::seconds(eta));
        }
        if let Some(pressure) = self.pressure {
            let _infallible = write!(text, ", I/O pressure {:.0} %", pressure.worked);
        }
        text
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
