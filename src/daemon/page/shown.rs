//! Disks, wipes, trash and authorities as the page shows them.

use std::borrow::Cow;

use serde::Deserialize;

use super::volumes::{DiskRead, WhyRead};
use super::words::{self, When};
use crate::daemon::answers::disks::{DiskSeen, Disks, VerdictWord};
use crate::daemon::answers::jobs::Job;
use crate::daemon::answers::status::{self, Status};
use crate::daemon::answers::volumes::AuthorityState;
use crate::daemon::jobs::JobState;

/// How many entries of the trash are shown.
const ENTRIES: usize = 60;

/// How the last pass ended.
pub(super) struct PassShown<'a> {
    pub(super) when: When,
    pub(super) took: String,
    pub(super) ok: bool,
    pub(super) summary: &'a str,
}

impl<'a> PassShown<'a> {
    pub(super) fn of(pass: &'a status::PassEnd, now: i64) -> Self {
        Self {
            when: When::at(pass.ended_at, now),
            took: format!("{:.1} s", pass.seconds),
            ok: pass.ok,
            summary: &pass.summary,
        }
    }
}

/// What is held back.
pub(super) fn paused(status: &Status) -> String {
    let roots = status.paused.roots.join(", ");
    match (status.paused.all, roots.is_empty()) {
        (false, true) => "not held back".to_owned(),
        (false, false) => format!("paused on {roots}"),
        (true, true) => "all paused".to_owned(),
        (true, false) => format!("paused but on {roots}"),
    }
}

/// A wipe.
pub(super) struct JobShown<'a> {
    pub(super) volume: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) kind: &'a str,
    pub(super) disk_kind: String,
    pub(super) root: &'a str,
    pub(super) share: Option<u64>,
    pub(super) done: String,
    pub(super) speed: String,
}

impl<'a> JobShown<'a> {
    pub(super) fn of(job: &'a Job) -> Self {
        let gone = job.files.saturating_add(job.directories);
        let mut done = match job.expected {
            Some(expected) => format!(
                "{} of about {} files and directories gone",
                words::grouped(gone),
                words::grouped(expected)
            ),
            None => format!("{} files and directories gone", words::grouped(gone)),
        };
        if job.overwritten_bytes > 0 {
            done = format!(
                "{done}, {} overwritten",
                words::bytes(job.overwritten_bytes)
            );
        }
        if job.left > 0 {
            done = format!("{done}, {} could not be removed", words::grouped(job.left));
        }
        Self {
            volume: format!("{}/{}", job.role, job.persistence_id),
            state: job.state.word(),
            tone: match job.state {
                JobState::Running => "good",
                JobState::Slowed | JobState::Paused => "warn",
                JobState::Waiting => "calm",
            },
            kind: match job.kind.as_str() {
                "wipe" => "Wiping",
                "empty_mount" => "Emptying",
                "move_out" => "Moving into the trash",
                "put_back" => "Putting back",
                other => other,
            },
            disk_kind: job.disk.kind.to_string(),
            root: &job.disk.root,
            share: job
                .expected
                .and_then(|expected| words::share(gone, expected)),
            done,
            speed: speed(job),
        }
    }
}

fn speed(job: &Job) -> String {
    let mut parts = Vec::new();
    if job.rate >= 1.0 {
        parts.push(match job.allowed_rate {
            Some(allowed) => format!("{:.0} removals a second of {allowed} allowed", job.rate),
            None => format!("{:.0} removals a second", job.rate),
        });
    }
    if job.bytes_per_second >= 1.0 {
        parts.push(format!(
            "{:.1} MiB a second overwritten",
            job.bytes_per_second / 1_048_576.0
        ));
    }
    if let Some(pressure) = job.io_pressure {
        parts.push(format!("I/O pressure {pressure:.0} %"));
    }
    parts.push(match (job.eta_seconds, job.state) {
        (Some(eta), _) => format!("about {} left", words::span(eta)),
        (None, JobState::Waiting) => "another wipe is on the same drive".to_owned(),
        (None, JobState::Paused) => "goes on when it is resumed".to_owned(),
        (None, JobState::Running | JobState::Slowed) => "nothing tells when it ends".to_owned(),
    });
    parts.join(", ")
}

/// A disk.
pub(super) struct Disk<'a> {
    pub(super) kind: String,
    pub(super) root: &'a str,
    pub(super) verdict: String,
    pub(super) tone: &'static str,
    pub(super) used: Option<Used>,
    pub(super) told: String,
    pub(super) explanation: &'a str,
    pub(super) remedy: Option<&'a str>,
}

/// How full it is.
pub(super) struct Used {
    pub(super) share: u64,
    pub(super) tone: &'static str,
    pub(super) taken: String,
    pub(super) total: String,
    pub(super) free: String,
}

/// Those that rules or the ledger name, and the others.
pub(super) fn disks(disks: Option<&Disks>) -> (Vec<Disk<'_>>, Vec<Disk<'_>>) {
    let all = disks.into_iter().flat_map(|disks| &disks.disks);
    let (named, others): (Vec<&DiskSeen>, Vec<&DiskSeen>) = all.partition(|one| one.kind.is_some());
    (
        named.into_iter().map(Disk::of).collect(),
        others.into_iter().map(Disk::of).collect(),
    )
}

impl<'a> Disk<'a> {
    fn of(disk: &'a DiskSeen) -> Self {
        let offered = disk.verdict == VerdictWord::Offered;
        let device = disk.device.as_deref();
        let root = disk.root.as_deref().or(device).unwrap_or("–");
        let mut told: Vec<String> = Vec::new();
        if let Some(number) = &disk.advertised_mb {
            let role = disk.role.as_deref().unwrap_or("*");
            told.push(format!("{number} MB advertised to role {role}"));
        }
        let held = u64::try_from(disk.held.len()).unwrap_or(u64::MAX);
        told.push(match held {
            0 => "no volume held".to_owned(),
            held => format!("{} held", words::count(held, "volume", "volumes")),
        });
        if let Some(filesystem) = &disk.filesystem {
            told.push(filesystem.fs_type.clone());
        }
        if let Some(device) = device.filter(|device| *device != root) {
            told.push(device.to_owned());
        }
        if let Some(model) = disk.drive.as_ref().and_then(|drive| drive.model.clone()) {
            told.push(model);
        }
        Self {
            kind: disk.kind.map_or_else(String::new, |kind| kind.to_string()),
            root,
            verdict: match disk.reason {
                Some(code) => code.to_string(),
                None => "offered".to_owned(),
            },
            tone: if offered {
                "good"
            } else if disk.held.is_empty() {
                "warn"
            } else {
                "bad"
            },
            used: disk
                .filesystem
                .as_ref()
                .and_then(|filesystem| used(filesystem.total_bytes?, filesystem.free_bytes?)),
            told: told.join(", "),
            explanation: &disk.explanation,
            remedy: disk.remedy.as_deref(),
        }
    }
}

fn used(total: u64, free: u64) -> Option<Used> {
    let used = total.saturating_sub(free);
    let share = words::share(used, total)?;
    Some(Used {
        share,
        tone: match share {
            0..80 => "good",
            80..92 => "warn",
            _ => "bad",
        },
        taken: words::bytes(used),
        total: words::bytes(total),
        free: words::bytes(free),
    })
}

/// What is read back of `GET /v1/trash`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Items<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

/// An entry of it.
#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    persistence_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    disk: DiskRead<'a>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    expires_in_ms: Option<u64>,
    age_ms: Option<u64>,
    may_go_early: bool,
    files: Option<u64>,
    bytes: Option<u64>,
    #[serde(borrow)]
    evidence: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reasons: Vec<WhyRead<'a>>,
}

/// The trash.
pub(super) struct Trash<'a> {
    pub(super) seen: bool,
    pub(super) all: usize,
    pub(super) items: Vec<ItemShown<'a>>,
}

/// An entry of it.
pub(super) struct ItemShown<'a> {
    pub(super) id: &'a str,
    pub(super) name: String,
    pub(super) state: &'a str,
    pub(super) tone: &'static str,
    pub(super) share: Option<u64>,
    pub(super) left: String,
    pub(super) size: Option<String>,
    pub(super) disk_kind: &'a str,
    pub(super) root: &'a str,
    pub(super) evidence: Option<&'a str>,
    pub(super) reasons: &'a [WhyRead<'a>],
}

impl<'a> Trash<'a> {
    /// `age`: seconds since the pass that saw it; `None` where none has ended.
    pub(super) fn of(items: &'a Items<'a>, age: Option<u64>) -> Self {
        let mut sorted: Vec<&Item<'_>> = items.items.iter().collect();
        sorted.sort_by_key(|item| item.expires_in_ms.unwrap_or(u64::MAX));
        Self {
            seen: age.is_some(),
            all: sorted.len(),
            items: sorted
                .into_iter()
                .take(ENTRIES)
                .map(|item| item.shown(age.unwrap_or(0)))
                .collect(),
        }
    }
}

impl<'a> Item<'a> {
    fn shown(&'a self, since: u64) -> ItemShown<'a> {
        let state = self.state.as_deref();
        let left = self
            .expires_in_ms
            .map(|left| left.checked_div(1000).unwrap_or(0).saturating_sub(since));
        let whole = self
            .expires_in_ms
            .and_then(|left| left.checked_add(self.age_ms?)?.checked_div(1000));
        ItemShown {
            id: &self.id,
            name: match (&self.role, &self.persistence_id) {
                (Some(role), Some(id)) => format!("{role}/{id}"),
                _ => self.id.to_string(),
            },
            state: state.unwrap_or("unreadable"),
            tone: match state {
                None => "bad",
                Some(_) if self.is_kept() => "warn",
                Some(_) => "calm",
            },
            share: left.and_then(|left| words::share(left, whole?)),
            left: match left {
                Some(0) => "goes at the next pass".to_owned(),
                Some(left) if self.may_go_early => {
                    format!("{} left, less where space is short", words::span(left))
                }
                Some(left) => format!("{} left", words::span(left)),
                None => "stays until somebody decides".to_owned(),
            },
            size: self.bytes.map(|bytes| {
                let files = self.files.unwrap_or(0);
                format!(
                    "{} in {}",
                    words::bytes(bytes),
                    words::count(files, "file", "files")
                )
            }),
            disk_kind: &self.disk.kind,
            root: &self.disk.root,
            evidence: self.evidence.as_deref(),
            reasons: if self.is_kept() { &self.reasons } else { &[] },
        }
    }

    /// Whether more keeps it than its time, which is shown anyway.
    fn is_kept(&self) -> bool {
        self.reasons.iter().any(|why| why.code != "retention")
    }
}

/// An authority.
pub(super) struct Authority<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) good: String,
    pub(super) reason: Option<&'a str>,
}

impl<'a> Authority<'a> {
    pub(super) fn of(authority: &'a status::Authority) -> Self {
        let (state, tone) = match authority.state {
            AuthorityState::Known => ("known", "good"),
            AuthorityState::Absent => ("absent", "calm"),
            AuthorityState::Empty => ("empty", "calm"),
            AuthorityState::Unknown => ("unknown", "bad"),
        };
        Self {
            name: &authority.name,
            state,
            tone,
            good: authority
                .good_seconds_ago
                .map_or_else(|| "never".to_owned(), words::ago_of),
            reason: authority.reason.as_deref(),
        }
    }
}
