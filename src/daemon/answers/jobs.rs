//! Wipes that wait or run: `status`, `GET /v1/jobs`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Disk;
use crate::daemon::jobs::JobState;
use crate::daemon::workers::WorkersHandle;
use crate::decide::facts::Pauses;
use crate::mesos::disk::DiskType;
use crate::units::Span;

/// Every job, and what is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Jobs {
    /// In the order in which they came.
    pub jobs: Vec<Job>,
    /// What is held back.
    pub paused: Paused,
}

/// What is held back, also what comes later, until somebody resumes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Paused {
    /// Whether every job is, those on `roots` excepted.
    pub all: bool,
    /// Roots on which every job is; where `all` is so, roots on which none is.
    pub roots: Vec<String>,
}

/// A job that waits or runs, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Job {
    /// The step: `wipe`, `empty_mount`, `move_out` or `put_back`.
    pub kind: String,
    /// The volume's role.
    pub role: String,
    /// The volume's persistence id.
    pub persistence_id: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_id_base64: Option<String>,
    /// The disk that it works on.
    pub disk: Disk,
    /// The plan that it is of.
    pub plan: String,
    /// What it does.
    pub state: JobState,
    /// Seconds since 1970 when it came, by the wall clock.
    pub queued_at: i64,
    /// When it began.
    pub started_at: Option<i64>,
    /// Entries removed that were no directories.
    pub files: u64,
    /// Directories removed.
    pub directories: u64,
    /// Entries that could not be removed.
    pub left: u64,
    /// How much more is free on the file system than when it began.
    pub freed_bytes: u64,
    /// Bytes of files overwritten.
    pub overwritten_bytes: u64,
    /// How many files and directories there were in the beginning, about; null where nothing tells
    /// without looking at all of them.
    pub expected: Option<u64>,
    /// Files and directories removed per second, over the last five seconds.
    pub rate: f64,
    /// Bytes overwritten per second, over the last five seconds.
    pub bytes_per_second: f64,
    /// Removals per second that it may make now; null: as many as it can.
    pub allowed_rate: Option<u32>,
    /// The share of time, in percent, in which somebody waits for the drive while it works; null where
    /// that is not looked at.
    #[serde(default)]
    pub io_pressure: Option<f64>,
    /// In how many seconds it ends at this rate; null where nothing tells how much is left.
    pub eta_seconds: Option<u64>,
    /// The job in a line for people.
    pub text: String,
}

impl Job {
    /// `slave_public/data on PATH:/mnt/a: running, 1200 files and directories gone, 400/s, about 2m left`,
    /// for a line of text.
    #[must_use]
    pub fn line(&self) -> String {
        let kind = match self.disk.kind {
            DiskType::Root => "ROOT",
            DiskType::Path => "PATH",
            DiskType::Mount => "MOUNT",
        };
        let removed = self.files.saturating_add(self.directories);
        let mut text = format!(
            "{}/{} on {kind}:{}: {}, {removed} files and directories gone",
            self.role,
            self.persistence_id,
            self.disk.root,
            self.state.word()
        );
        if self.rate >= 1.0 {
            let _infallible = write!(text, ", {:.0}/s", self.rate);
        }
        if let Some(eta) = self.eta_seconds {
            let _infallible = write!(text, ", about {} left", Span::seconds(eta));
        }
        if let Some(pressure) = self.io_pressure {
            let _infallible = write!(text, ", I/O pressure {pressure:.0} %");
        }
        text
    }
}

impl From<&Pauses> for Paused {
    fn from(pauses: &Pauses) -> Self {
        Self {
            all: pauses.all(),
            roots: pauses.roots().iter().map(ToString::to_string).collect(),
        }
    }
}

/// What waits or runs now.
#[must_use]
pub fn jobs(workers: &WorkersHandle) -> Jobs {
    Jobs {
        jobs: workers.jobs(),
        paused: Paused::from(&workers.pauses()),
    }
}
