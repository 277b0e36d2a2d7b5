//! The daemon's figures: what its passes and looks saw, for `GET /metrics` and `GET /healthz`.
//!
//! Labels are types, states and stable codes, never names of volumes or devices: the number of series
//! does not grow with the host. Only a job that runs is told by its root, as long as it runs.

mod jobs;
pub mod live;
mod sheet;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prometheus::{Encoder as _, TextEncoder};

use self::jobs::JobFigures;
use self::live::Live;
use self::sheet::{Row, Sheet, number, seconds};
use super::workers::Ended;

use crate::decide::discover::Code;
use crate::decide::guards::Refusal;
use crate::decide::listing::VolumeState;
use crate::decide::radar::AlarmKind;
use crate::mesos::disk::DiskType;
use crate::units::Span;

/// What the text of [`Figures::text`] is.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Refusals that tell that a root is not, or no longer, what it was.
const TRIPS: [Refusal; 11] = [
    Refusal::NotMounted,
    Refusal::FingerprintMismatch,
    Refusal::FilesystemShrunk,
    Refusal::FilesystemFailed,
    Refusal::DeviceGone,
    Refusal::RootUnverified,
    Refusal::NoIdentity,
    Refusal::ReadOnly,
    Refusal::NetworkFilesystem,
    Refusal::OtherView,
    Refusal::ForeignRoot,
];

/// How the file stands that the agent reads its resources from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// `resources.write_to` is not set.
    #[default]
    Off,
    /// The ROOT disk has not settled: nothing can be written yet.
    Waiting,
    /// It holds what would be written.
    Current,
    /// It differs from what would be written, and an agent would not keep its id with that.
    HeldBack,
    /// What would be written, or the file itself, could not be told or written.
    Failed,
}

impl FileState {
    const ALL: [Self; 5] = [
        Self::Off,
        Self::Waiting,
        Self::Current,
        Self::HeldBack,
        Self::Failed,
    ];

    /// The word of the label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Current => "current",
            Self::HeldBack => "held_back",
            Self::Failed => "failed",
        }
    }
}

/// A disk's type and its verdict: `None` for offered.
pub type DiskKey = (DiskType, Option<Code>);

/// What a look at the disks saw.
#[derive(Clone, Debug, Default)]
pub struct DiskFigures {
    /// Disks that rules or the ledger name.
    pub disks: BTreeMap<DiskKey, u32>,
    /// Devices and mounts that are rejected, those included that no rule names.
    pub rejected: BTreeMap<Code, u32>,
    /// Bytes advertised, by type.
    pub advertised: BTreeMap<DiskType, u64>,
    /// Bytes of the file systems of offered disks, by type.
    pub total: BTreeMap<DiskType, u64>,
    /// Bytes that are free of them.
    pub free: BTreeMap<DiskType, u64>,
    /// Disks that are advertised with their last good number.
    pub degraded: u32,
    /// The resources file.
    pub file: FileState,
}

/// What a pass saw.
#[derive(Clone, Debug, Default)]
pub struct PassFigures {
    /// Roots that may not be swept, by each reason.
    pub tripped: BTreeMap<Refusal, u32>,
    /// What is due and kept back, by each reason.
    pub refused: BTreeMap<Refusal, u32>,
    /// Volumes by state.
    pub volumes: BTreeMap<VolumeState, u32>,
    /// Volumes that are mounted or used as they should not be; `None` where that can't be seen.
    pub alarms: Option<BTreeMap<AlarmKind, u32>>,
}

#[derive(Debug, Default)]
struct State {
    disks: Option<DiskFigures>,
    pass: Option<PassFigures>,
    /// Whether the last pass told what is so.
    pass_ok: bool,
    passes: BTreeMap<&'static str, u64>,
    looks: u64,
    writes: u64,
    jobs: JobFigures,
    mismatches: u64,
    /// Seconds since 1970, and how long it took.
    last_pass: Option<(i64, f64)>,
    /// The same moment since the host was booted: ages must not come from a clock that jumps.
    last_pass_since_boot: Span,
    last_look: Option<i64>,
    hotplug: bool,
    /// How many seconds a pass may be old.
    stale_after: u64,
    trouble: Option<String>,
    /// The last try to read the configuration failed; the one before is in force.
    reload_failed: bool,
    /// When it was read last, in seconds since 1970.
    reloaded: Option<i64>,
}

/// The figures, shared by the threads that fill them and the server that shows them.
#[derive(Clone, Debug, Default)]
pub struct Figures(Arc<Mutex<State>>);

impl Figures {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a plain assignment: a panic elsewhere leaves nothing half done.
        match self.0.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// A pass ended at this time (seconds since 1970, and since boot) after so many seconds; without
    /// figures it failed, for the reason given.
    pub fn passed(
        &self,
        (now, since_boot): (i64, Span),
        seconds: f64,
        seen: Result<PassFigures, String>,
    ) {
        let mut state = self.state();
        state.last_pass = Some((now, seconds));
        state.last_pass_since_boot = since_boot;
        state.pass_ok = seen.is_ok();
        let result = if seen.is_ok() { "ok" } else { "failed" };
        let count = state.passes.entry(result).or_default();
        *count = count.saturating_add(1);
        match seen {
            Ok(seen) => {
                let mismatches = |figures: &PassFigures| {
                    let of = figures.tripped.get(&Refusal::FingerprintMismatch);
                    u64::from(of.copied().unwrap_or(0))
                };
                let before = state.pass.as_ref().map_or(0, mismatches);
                let more = mismatches(&seen).saturating_sub(before);
                state.mismatches = state.mismatches.saturating_add(more);
                state.pass = Some(seen);
                state.trouble = None;
            }
            Err(why) => state.trouble = Some(why),
        }
    }

    /// A look at the disks ended.
    pub fn looked(&self, now: i64, seen: Option<DiskFigures>, wrote: bool) {
        let mut state = self.state();
        state.looks = state.looks.saturating_add(1);
        state.writes = state.writes.saturating_add(u64::from(wrote));
        if let Some(seen) = seen {
            state.last_look = Some(now);
            state.disks = Some(seen);
        }
    }

    /// How the resources file stands.
    #[must_use]
    pub fn file(&self) -> FileState {
        self.state()
            .disks
            .as_ref()
            .map_or(FileState::Off, |disks| disks.file)
    }

    /// The configuration was read again, or could not be; `now` is in seconds since 1970.
    pub fn reloaded(&self, now: i64, ok: bool) {
        let mut state = self.state();
        state.reload_failed = !ok;
        if ok {
            state.reloaded = Some(now);
        }
    }

    /// A job ended.
    pub fn ended(&self, ended: &Ended) {
        self.state().jobs.ended(ended);
    }

    /// Whether the kernel's uevents are heard.
    pub fn hears(&self, uevents: bool) {
        self.state().hotplug = uevents;
    }

    /// After how many seconds without a pass the daemon is not well.
    pub fn stale_after(&self, seconds: u64) {
        self.state().stale_after = seconds;
    }

    /// What is wrong with the daemon, as `/healthz` says it. `now` is since boot: the wall clock of a
    /// host may begin in 1970 and jump to this day.
    #[must_use]
    pub fn trouble(&self, now: Span) -> Option<String> {
        let state = self.state();
        if state.last_pass.is_none() {
            return Some("no pass has ended yet".to_owned());
        }
        if let Some(trouble) = &state.trouble {
            return Some(format!("the last pass failed: {trouble}"));
        }
        let age = now.minus(state.last_pass_since_boot).0.as_secs();
        (age > state.stale_after).then(|| format!("no pass has ended for {age} s"))
    }

    /// All of it in Prometheus's text format; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Never in practice: names and labels are fixed.
    pub fn text(&self, now: i64, live: &Live) -> Result<Vec<u8>, prometheus::Error> {
        let sheet = Sheet::default();
        let state = self.state();
        sheet.gauge(
            "build_info",
            "The program that runs; always 1.",
            &["version"],
            &[(&[env!("CARGO_PKG_VERSION")], 1.0)],
        )?;
        state.disks(&sheet)?;
        state.passes(&sheet, now)?;
        state.jobs.show(&sheet)?;
        state.reloads(&sheet)?;
        drop(state);
        live.show(&sheet)?;
        let mut text = Vec::new();
        TextEncoder::new().encode(&sheet.registry.gather(), &mut text)?;
        Ok(text)
    }
}

const TYPES: [DiskType; 3] = [DiskType::Root, DiskType::Path, DiskType::Mount];

fn type_word(kind: DiskType) -> &'static str {
    match kind {
        DiskType::Root => "ROOT",
        DiskType::Path => "PATH",
        DiskType::Mount => "MOUNT",
    }
}

impl State {
    fn disks(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        sheet.counter(
            "disk_looks_total",
            "Looks at the disks of this host.",
            &[],
            &[(&[], self.looks)],
        )?;
        sheet.counter(
            "resources_writes_total",
            "How often the daemon wrote the resources file.",
            &[],
            &[(&[], self.writes)],
        )?;
        sheet.gauge(
            "hotplug_listening",
            "Whether the kernel's events of block devices are heard.",
            &[],
            &[(&[], if self.hotplug { 1.0 } else { 0.0 })],
        )?;
        let Some(disks) = &self.disks else {
            return Ok(());
        };

        let mut rows: BTreeMap<[&str; 3], f64> = BTreeMap::new();
        for kind in TYPES {
            rows.insert([type_word(kind), "offered", ""], 0.0);
        }
        for ((kind, code), count) in &disks.disks {
            let (verdict, reason) = match code {
                None => ("offered", ""),
                Some(code) => ("rejected", code.as_str()),
            };
            rows.insert([type_word(*kind), verdict, reason], f64::from(*count));
        }
        let rows: Vec<Row<'_>> = rows.iter().map(|(key, count)| (&key[..], *count)).collect();
        sheet.gauge(
            "disks",
            "Disks that rules or the ledger name, by type, verdict and the code of a rejection.",
            &["type", "verdict", "reason"],
            &rows,
        )?;
        sheet.by_word(
            "rejected_devices",
            "Devices and mounts of this host that are rejected, by the code that says why.",
            "reason",
            Code::ALL.into_iter().map(|code| {
                let count = disks.rejected.get(&code).copied().unwrap_or(0);
                (code.as_str(), f64::from(count))
            }),
        )?;
        for (name, help, bytes) in [
            (
                "advertised_bytes",
                "What is advertised to Mesos, by type of disk.",
                &disks.advertised,
            ),
            (
                "filesystem_bytes",
                "Size of the file systems of offered disks, by type of disk.",
                &disks.total,
            ),
            (
                "filesystem_free_bytes",
                "What is free on the file systems of offered disks, by type of disk.",
                &disks.free,
            ),
        ] {
            let sums = TYPES.map(|kind| {
                let bytes = bytes.get(&kind).copied().unwrap_or(0);
                (type_word(kind), number(bytes))
            });
            sheet.by_word(name, help, "type", sums)?;
        }
        sheet.gauge(
            "degraded_disks",
            "Disks that can't be offered now: advertised with their last good number, or left out.",
            &[],
            &[(&[], f64::from(disks.degraded))],
        )?;
        sheet.by_word(
            "resources_file",
            "How the file of resources.write_to stands: 1 for the state that it is in.",
            "state",
            FileState::ALL.map(|state| (state.word(), if state == disks.file { 1.0 } else { 0.0 })),
        )?;
        if let Some(at) = self.last_look {
            sheet.gauge(
                "last_disk_look_timestamp_seconds",
                "When the disks were last looked at, since 1970.",
                &[],
                &[(&[], seconds(at))],
            )?;
        }
        Ok(())
    }

    fn reloads(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        sheet.plain(
            "config_last_reload_successful",
            "Whether the configuration in force is the one that was to be read last.",
            if self.reload_failed { 0.0 } else { 1.0 },
        )?;
        let Some(at) = self.reloaded else {
            return Ok(());
        };
        sheet.plain(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration was read, since 1970.",
            seconds(at),
        )
    }

    fn passes(&self, sheet: &Sheet, now: i64) -> Result<(), prometheus::Error> {
        let count = |result| self.passes.get(result).copied().unwrap_or(0);
        sheet.counter(
            "passes_total",
            "Passes over the volumes, by how they ended.",
            &["result"],
            &[(&["ok"], count("ok")), (&["failed"], count("failed"))],
        )?;
        sheet.counter(
            "fingerprint_mismatches_total",
            "How often a root was found with another file system, marker or directory.",
            &[],
            &[(&[], self.mismatches)],
        )?;
        if let Some((at, took)) = self.last_pass {
            for (name, help, value) in [
                (
                    "last_pass_timestamp_seconds",
                    "When the last pass ended, since 1970.",
                    seconds(at),
                ),
                (
                    "last_pass_age_seconds",
                    "How long ago the last pass ended.",
                    seconds(now.saturating_sub(at)),
                ),
                (
                    "last_pass_duration_seconds",
                    "How long the last pass took.",
                    took,
                ),
                (
                    "last_pass_success",
                    "Whether the last pass could tell what is so.",
                    if self.pass_ok { 1.0 } else { 0.0 },
                ),
            ] {
                sheet.gauge(name, help, &[], &[(&[], value)])?;
            }
        }
        let Some(pass) = &self.pass else {
            return Ok(());
        };
        for (name, help, codes, counts) in [
            (
                "tripped_roots",
                "Roots on which nothing is made, moved or wiped, by each code that says why.",
                &TRIPS[..],
                &pass.tripped,
            ),
            (
                "refusals",
                "Destroys and overdue orphans that are kept back, by each code that says why.",
                &Refusal::ALL[..],
                &pass.refused,
            ),
        ] {
            let words: Vec<[&str; 1]> = codes.iter().map(|code| [code.code()]).collect();
            let rows: Vec<Row<'_>> = codes
                .iter()
                .zip(&words)
                .map(|(code, word)| {
                    let count = counts.get(code).copied().unwrap_or(0);
                    (&word[..], f64::from(count))
                })
                .collect();
            sheet.gauge(name, help, &["reason"], &rows)?;
        }
        pass.volumes(sheet)?;
        pass.alarms(sheet)
    }
}

impl PassFigures {
    fn volumes(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        let words = VolumeState::ALL.map(|state| [state.word()]);
        let rows: Vec<Row<'_>> = VolumeState::ALL
            .iter()
            .zip(&words)
            .map(|(state, word)| {
                let count = self.volumes.get(state).copied().unwrap_or(0);
                (&word[..], f64::from(count))
            })
            .collect();
        sheet.gauge(
            "volumes",
            "Volumes, leftovers and trash entries on this host, by state.",
            &["state"],
            &rows,
        )
    }

    /// None, rather than zero, where it can't be seen who uses what.
    fn alarms(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        let Some(alarms) = &self.alarms else {
            return Ok(());
        };
        let count = |kind| f64::from(alarms.get(&kind).copied().unwrap_or(0));
        sheet.gauge(
            "double_mounts",
            "Volumes that are mounted more than once although Mesos does not share them.",
            &[],
            &[(&[], count(AlarmKind::MountedTwice))],
        )?;
        let words = AlarmKind::ALL.map(|kind| [kind.code()]);
        let rows: Vec<Row<'_>> = AlarmKind::ALL
            .into_iter()
            .zip(&words)
            .map(|(kind, word)| (&word[..], count(kind)))
            .collect();
        sheet.gauge(
            "mount_alarms",
            "Volumes that are mounted or used as they should not be, by each alarm.",
            &["alarm"],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(figures: &Figures) -> String {
        String::from_utf8(figures.text(1_000, &Live::default()).unwrap()).unwrap()
    }

    #[test]
    fn what_was_never_seen_is_not_shown_as_zero() {
        let text = text(&Figures::default());
        assert!(
            text.contains("mesos_volumed_build_info{version=\""),
            "{text}"
        );
        for name in ["mesos_volumed_volumes", "mesos_volumed_disks{", "last_pass"] {
            assert!(!text.contains(name), "{name}\n{text}");
        }
    }

    #[test]
    fn every_code_and_state_is_there_once_something_was_seen() {
        let figures = Figures::default();
        let mismatch = |roots| PassFigures {
            tripped: [(Refusal::FingerprintMismatch, roots)].into(),
            volumes: [(VolumeState::Orphan, 3)].into(),
            alarms: Some([(AlarmKind::MountedTwice, 1)].into()),
            ..PassFigures::default()
        };
        figures.passed((900, Span::ZERO), 0.5, Ok(mismatch(1)));
        figures.passed((950, Span::ZERO), 0.25, Ok(mismatch(1)));
        figures.passed((990, Span::ZERO), 0.25, Ok(mismatch(2)));
        let text = text(&figures);
        for line in [
            "mesos_volumed_tripped_roots{reason=\"fingerprint_mismatch\"} 2",
            "mesos_volumed_tripped_roots{reason=\"device_gone\"} 0",
            "mesos_volumed_refusals{reason=\"in_use_fd\"} 0",
            "mesos_volumed_volumes{state=\"orphan\"} 3",
            "mesos_volumed_volumes{state=\"held\"} 0",
            "mesos_volumed_double_mounts 1",
            "mesos_volumed_mount_alarms{alarm=\"mounted_twice\"} 1",
            "mesos_volumed_mount_alarms{alarm=\"dead_container\"} 0",
            "mesos_volumed_fingerprint_mismatches_total 2",
            "mesos_volumed_passes_total{result=\"ok\"} 3",
            "mesos_volumed_last_pass_age_seconds 10",
            "mesos_volumed_last_pass_success 1",
            "mesos_volumed_config_last_reload_successful 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_failed_or_an_old_pass_is_trouble() {
        let figures = Figures::default();
        figures.stale_after(100);
        assert!(figures.trouble(Span::ZERO).is_some());
        figures.passed((5, Span::seconds(1_000)), 0.1, Ok(PassFigures::default()));
        // Who uses what was not seen.
        assert!(!text(&figures).contains("mounts"));
        assert_eq!(figures.trouble(Span::seconds(1_100)), None);
        assert!(
            figures
                .trouble(Span::seconds(1_101))
                .unwrap()
                .contains("101 s")
        );
        figures.passed(
            (1_000_000_000, Span::seconds(1_000)),
            0.1,
            Err("no work_dir".to_owned()),
        );
        assert!(
            figures
                .trouble(Span::seconds(1_000))
                .unwrap()
                .contains("no work_dir")
        );
    }
}
