//! What is so at the moment somebody asks for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sheet::{Sheet, number, seconds};
use crate::daemon::answers::jobs::Job;
use crate::daemon::answers::volumes::AUTHORITIES;
use crate::daemon::board::{Board, Seen};
use crate::daemon::jobs::JobState;
use crate::daemon::workers::WorkersHandle;
use crate::decide::facts::Pauses;
use crate::decide::listing::VolumeState;
use crate::observe::clock;
use crate::observe::own::{self, Own};
use crate::units::{MIB, Span};

/// The moment.
#[derive(Clone, Debug, Default)]
pub struct Live {
    jobs: Vec<Job>,
    paused: bool,
    seen: Option<Arc<Seen>>,
    /// How long ago each authority was last read whole.
    ages: BTreeMap<&'static str, Span>,
    own: Option<Own>,
}

impl Live {
    /// This moment.
    #[must_use]
    pub fn now(board: &Board, jobs: &WorkersHandle) -> Self {
        Self {
            jobs: jobs.jobs(),
            paused: jobs.pauses() != Pauses::none(),
            seen: board.seen(),
            ages: board.ages(clock::since_boot()),
            own: own::read(),
        }
    }

    pub(super) fn show(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        self.jobs(sheet)?;
        if let Some(seen) = &self.seen {
            of_pass(seen, sheet)?;
            let ages = AUTHORITIES.into_iter().filter_map(|name| {
                let age = self.ages.get(name)?;
                Some((name, age.0.as_secs_f64()))
            });
            sheet.by_word(
                "authority_last_good_age_seconds",
                "How long ago each authority was last read whole, or known to be absent.",
                "authority",
                ages,
            )?;
        }
        if let Some(own) = &self.own {
            sheet.plain(
                "process_resident_memory_bytes",
                "Memory of the daemon itself.",
                number(own.resident_bytes),
            )?;
            sheet.plain(
                "process_open_fds",
                "Descriptors that the daemon has open.",
                number(own.descriptors),
            )?;
            sheet.plain(
                "process_threads",
                "Threads of the daemon.",
                number(own.threads),
            )?;
            sheet.seconds_total(
                "process_cpu_seconds_total",
                "Time that the daemon spent on processors.",
                own.cpu.as_secs_f64(),
            )?;
        }
        Ok(())
    }

    fn jobs(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        let count = |state| {
            let jobs = self.jobs.iter().filter(|job| job.state == state).count();
            number(u64::try_from(jobs).unwrap_or(u64::MAX))
        };
        let counts = JobState::ALL.map(|state| (state.word(), count(state)));
        sheet.by_word(
            "jobs",
            "Jobs that wait or run, by what they do.",
            "state",
            counts,
        )?;
        let oldest = self.jobs.iter().map(|job| job.queued_at).min();
        if let Some(oldest) = oldest {
            sheet.plain(
                "oldest_job_timestamp_seconds",
                "When the job came that waits or runs for the longest time, since 1970.",
                seconds(oldest),
            )?;
        }
        self.running(sheet)?;
        sheet.plain(
            "paused",
            "Whether jobs are paused, on one root at least.",
            if self.paused { 1.0 } else { 0.0 },
        )
    }
}

impl Live {
    /// How far the jobs are that run: one a drive, told by its root.
    fn running(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        let mut jobs: BTreeMap<&str, &Job> = BTreeMap::new();
        for job in self.jobs.iter().filter(|job| job.started_at.is_some()) {
            jobs.entry(&job.disk.root).or_insert(job);
        }
        let gauge = |name, help, of: &dyn Fn(&Job) -> Option<f64>| {
            let rows = jobs
                .iter()
                .filter_map(|(root, job)| Some((*root, of(job)?)));
            sheet.by_word(name, help, "root", rows)
        };
        gauge(
            "job_removed",
            "Files and directories that the job which runs on this root has removed.",
            &|job| Some(number(job.files.saturating_add(job.directories))),
        )?;
        gauge(
            "job_freed_bytes",
            "Bytes that became free on its file system since it began.",
            &|job| Some(number(job.freed_bytes)),
        )?;
        gauge(
            "job_removals_per_second",
            "Files and directories that it removes per second, over the last five seconds.",
            &|job| Some(job.rate),
        )?;
        gauge(
            "job_remaining_seconds",
            "In how many seconds it ends at this rate, where it is known how much is left.",
            &|job| job.eta_seconds.map(number),
        )
    }
}

fn of_pass(seen: &Seen, sheet: &Sheet) -> Result<(), prometheus::Error> {
    let megabytes = |state| seen.states.get(&state).map_or(0.0, |(_, sum)| *sum);
    for (name, help, value) in [
        (
            "orphan_bytes",
            "Size that Mesos had given to the orphans of this host; of those never seen held it is not \
             known.",
            megabytes(VolumeState::Orphan) * number(MIB),
        ),
        (
            "owed_bytes",
            "Size that Mesos had given to volumes that were destroyed and whose space is not back yet, \
             the trash excepted.",
            megabytes(VolumeState::Destroyed) * number(MIB),
        ),
        (
            "trash_items",
            "Entries in the trash of all roots.",
            f64::from(seen.trash_items),
        ),
        (
            "trash_bytes",
            "What the entries in the trash of all roots take up, those excepted that were not counted yet.",
            number(seen.trash_bytes),
        ),
        (
            "trash_items_uncounted",
            "Entries in the trash of which it is not known yet what they take up.",
            f64::from(seen.trash_uncounted),
        ),
    ] {
        sheet.plain(name, help, value)?;
    }
    Ok(())
}
