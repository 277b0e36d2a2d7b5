//! How the daemon is: `status`, `GET /v1/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Why;
use super::disks::VerdictWord;
use super::jobs::{Job, Paused};
use super::volumes::AuthorityState;
use crate::decide::discover::Code;
use crate::decide::guards::Refusal;
use crate::mesos::disk::DiskType;

/// The daemon and what it saw last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it keeps its state.
    pub state_dir: String,
    /// Seconds since 1970 when it started, by the wall clock.
    pub started_at: i64,
    /// For how many seconds it runs.
    pub up_seconds: u64,
    /// Whether `GET /readyz` says so.
    pub ready: bool,
    /// What is wrong; empty when all is well.
    pub troubles: Vec<String>,
    /// Whether each wipe runs behind a fence, so that the kernel lets it write, make, move and
    /// remove nothing outside its volume (Landlock).
    #[serde(default)]
    pub fenced: bool,
    /// How the last pass ended; null before the first.
    pub last_pass: Option<PassEnd>,
    /// Disks that rules or the ledger name; null before the first look.
    pub disks: Option<Vec<DiskShort>>,
    /// Seconds since 1970 when the disks were looked at.
    pub disks_looked_at: Option<i64>,
    /// How the file stands that the agent reads its resources from.
    pub resources_file: String,
    /// Volumes by state; null before the first pass.
    pub volumes: Option<BTreeMap<String, u32>>,
    /// What lies in the trash; null before the first pass.
    pub trash: Option<TrashSum>,
    /// Wipes that wait or run.
    pub jobs: Vec<Job>,
    /// What is held back.
    pub paused: Paused,
    /// Volumes that are mounted or used as they should not be, by each alarm; null where that can't be
    /// seen.
    pub alarms: Option<BTreeMap<String, u32>>,
    /// Each authority, with when it could last be believed.
    pub authorities: Vec<Authority>,
    /// What is doubtful about the authorities as a whole.
    pub doubts: Vec<Why>,
    /// What is due and kept back, and roots on which nothing is touched: one a reason.
    pub refusals: Vec<Refused>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct PassEnd {
    /// Seconds since 1970 when it ended, by the wall clock.
    pub ended_at: i64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it could tell what is so.
    pub ok: bool,
    /// What it came to, in a line.
    pub summary: String,
}

/// A disk in short; `GET /v1/disks` has all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct DiskShort {
    /// ROOT, PATH or MOUNT.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(with = "super::schemas::DiskTypes"))]
    pub kind: DiskType,
    /// Its root.
    pub root: Option<String>,
    /// Offered or rejected.
    pub verdict: VerdictWord,
    /// Why it is rejected.
    #[cfg_attr(test, schemars(with = "Option<super::schemas::Rejections>"))]
    pub reason: Option<Code>,
    /// What is advertised of it, in megabytes.
    pub advertised_mb: Option<f64>,
    /// Size of its file system.
    pub total_bytes: Option<u64>,
    /// What is free of it.
    pub free_bytes: Option<u64>,
}

/// The trash in short; `GET /v1/trash` has all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct TrashSum {
    /// Entries.
    pub items: u32,
}

/// An authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// How it was read last.
    pub state: AuthorityState,
    /// What is to be said of that.
    pub reason: Option<String>,
    /// How many seconds ago it could last be believed; null: never since the daemon started.
    pub good_seconds_ago: Option<u64>,
}

/// A reason that keeps something back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Refused {
    /// The stable code.
    #[cfg_attr(test, schemars(with = "super::schemas::Refusals"))]
    pub code: Refusal,
    /// What is so.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// Destroys and overdue orphans that it keeps back.
    pub volumes: u32,
    /// Roots on which nothing is touched because of it.
    pub roots: u32,
}
