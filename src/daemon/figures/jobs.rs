//! What jobs did, over the life of the daemon.

use std::collections::BTreeMap;

use prometheus::{HistogramOpts, HistogramVec};

use super::sheet::Sheet;
use crate::act::outcome::Outcome;
use crate::daemon::workers::Ended;

/// Seconds; a volume of some files takes less than the first, a full disk that is overwritten the
/// last.
const BUCKETS: [f64; 10] = [
    0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];

const KINDS: [&str; 4] = ["wipe", "empty_mount", "move_out", "put_back"];
const RESULTS: [&str; 3] = ["done", "refused", "failed"];

/// Sums over jobs that ended.
#[derive(Debug, Default)]
pub(super) struct JobFigures {
    ends: BTreeMap<(&'static str, &'static str), u64>,
    failures: BTreeMap<&'static str, u64>,
    files: u64,
    directories: u64,
    freed: u64,
    overwritten: u64,
    /// Made with the first job that ends.
    seconds: Option<HistogramVec>,
}

impl JobFigures {
    pub(super) fn ended(&mut self, ended: &Ended) {
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == ended.became.step) else {
            return;
        };
        let result = match ended.outcome.as_ref() {
            Outcome::Identity | Outcome::Done(_) => "done",
            Outcome::Started | Outcome::Stale(_) => return,
            Outcome::Refused(reason) => {
                add(self.failures.entry(reason.code.code()).or_default(), 1);
                "refused"
            }
            Outcome::Failed(error) => {
                add(self.failures.entry(error.word()).or_default(), 1);
                "failed"
            }
        };
        add(self.ends.entry((kind, result)).or_default(), 1);
        add(&mut self.files, ended.progress.files);
        add(&mut self.directories, ended.progress.dirs);
        add(&mut self.freed, ended.progress.freed);
        add(&mut self.overwritten, ended.progress.overwritten);
        if self.seconds.is_none() {
            match histogram() {
                Ok(made) => self.seconds = Some(made),
                Err(error) => tracing::error!(%error, "jobs are not timed, ignoring"),
            }
        }
        if let Some(seconds) = &self.seconds {
            seconds
                .with_label_values(&[kind])
                .observe(ended.took.0.as_secs_f64());
        }
    }

    pub(super) fn show(&self, sheet: &Sheet) -> Result<(), prometheus::Error> {
        let mut rows: Vec<([&str; 2], u64)> = Vec::new();
        for kind in KINDS {
            for result in RESULTS {
                let count = self.ends.get(&(kind, result)).copied().unwrap_or(0);
                rows.push(([kind, result], count));
            }
        }
        let rows: Vec<(&[&str], u64)> =
            rows.iter().map(|(key, count)| (&key[..], *count)).collect();
        sheet.counter(
            "jobs_ended_total",
            "Jobs that ended, by what they did and how they ended.",
            &["kind", "result"],
            &rows,
        )?;
        let words: Vec<([&str; 1], u64)> = self
            .failures
            .iter()
            .map(|(word, count)| ([*word], *count))
            .collect();
        let rows: Vec<(&[&str], u64)> = words
            .iter()
            .map(|(word, count)| (&word[..], *count))
            .collect();
        sheet.counter(
            "job_failures_total",
            "Jobs that did not reach their end, by the code of the refusal or what could not be done.",
            &["reason"],
            &rows,
        )?;
        for (name, help, sum) in [
            (
                "wiped_files_total",
                "Entries removed by jobs that ended, directories excepted.",
                self.files,
            ),
            (
                "wiped_directories_total",
                "Directories removed by jobs that ended.",
                self.directories,
            ),
            (
                "wiped_bytes_total",
                "Bytes that became free on their file systems while those jobs ran.",
                self.freed,
            ),
            (
                "overwritten_bytes_total",
                "Bytes of files that those jobs overwrote.",
                self.overwritten,
            ),
        ] {
            sheet.counter(name, help, &[], &[(&[], sum)])?;
        }
        match &self.seconds {
            Some(seconds) => sheet.registry.register(Box::new(seconds.clone())),
            None => Ok(()),
        }
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn histogram() -> Result<HistogramVec, prometheus::Error> {
    let options = Sheet::options("job_seconds", "How long jobs ran, by what they did.");
    let options = HistogramOpts::from(options).buckets(BUCKETS.to_vec());
    HistogramVec::new(options, &["kind"])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::act::executor::StepOutcome;
    use crate::act::wipe::ProgressNow;
    use crate::daemon::answers::plan::became;
    use crate::decide::guards::Refusal;
    use crate::units::Span;

    fn ended(outcome: Outcome) -> Ended {
        let step = StepOutcome {
            step: "wipe",
            subject: "r/a".to_owned(),
            outcome,
        };
        Ended {
            number: 1,
            became: became(&step),
            outcome: Arc::new(step.outcome),
            progress: ProgressNow {
                files: 10,
                dirs: 2,
                freed: 4096,
                ..ProgressNow::default()
            },
            took: Span::seconds(90),
        }
    }

    #[test]
    fn ends_are_counted_by_kind_result_and_reason_and_timed() {
        let mut figures = JobFigures::default();
        figures.ended(&ended(Outcome::Identity));
        figures.ended(&ended(Outcome::Refused(Refusal::ModeRefused.into())));
        figures.ended(&ended(Outcome::Stale("the daemon is stopping".to_owned())));
        let sheet = Sheet::default();
        figures.show(&sheet).unwrap();
        let mut text = Vec::new();
        prometheus::Encoder::encode(
            &prometheus::TextEncoder::new(),
            &sheet.registry.gather(),
            &mut text,
        )
        .unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "mesos_volumed_jobs_ended_total{kind=\"wipe\",result=\"done\"} 1",
            "mesos_volumed_jobs_ended_total{kind=\"wipe\",result=\"refused\"} 1",
            "mesos_volumed_jobs_ended_total{kind=\"put_back\",result=\"failed\"} 0",
            "mesos_volumed_job_failures_total{reason=\"mode_refused\"} 1",
            "mesos_volumed_wiped_files_total 20",
            "mesos_volumed_wiped_bytes_total 8192",
            "mesos_volumed_job_seconds_bucket{kind=\"wipe\",le=\"60\"} 0",
            "mesos_volumed_job_seconds_bucket{kind=\"wipe\",le=\"300\"} 2",
            "mesos_volumed_job_seconds_sum{kind=\"wipe\"} 180",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
