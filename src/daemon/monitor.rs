//! Watches a job while it runs: how fast it is, and what comes back.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::act::wipe::{Control, Progress};
use crate::observe::{clock, drives};
use crate::units::Raw;

/// How often a job is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// Runs a job on this thread, while a second one watches it. Without a second one the job runs all
/// the same, at its ordinary rate.
pub(super) fn watched<T>(
    root: &Raw,
    _control: &Control,
    progress: &Progress,
    job: impl FnOnce() -> T,
) -> T {
    let end = End::default();
    std::thread::scope(|scope| {
        // Ended on every way out, a panic included: the other thread would wait for ever.
        let _ending = Ending(&end);
        let watcher = std::thread::Builder::new()
            .name("watch".to_owned())
            .stack_size(128 << 10)
            .spawn_scoped(scope, || watch(root, progress, &end));
        if let Err(error) = watcher {
            tracing::warn!(%error, root = %root, "nobody watches this job, ignoring");
        }
        job()
    })
}

fn watch(root: &Raw, progress: &Progress, end: &End) {
    let free = || drives::free_bytes(root.as_path());
    let before = free();
    loop {
        progress.note(clock::since_boot().0);
        if let (Some(before), Some(now)) = (before, free()) {
            progress.freed(now.saturating_sub(before));
        }
        if end.within(EVERY) {
            return;
        }
    }
}

/// Tells the watching thread that the job has ended.
#[derive(Debug, Default)]
struct End {
    ended: Mutex<bool>,
    told: Condvar,
}

impl End {
    /// Waits so long at most; whether the job has ended.
    fn within(&self, span: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _late) = self
            .told
            .wait_timeout_while(ended, span, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

struct Ending<'a>(&'a End);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_watched_and_its_end_is_seen_at_once() {
        let (control, progress) = (Control::new(0), Progress::default());
        let begun = clock::since_boot();
        let answer = watched(&Raw::from("/"), &control, &progress, || {
            std::thread::sleep(Duration::from_millis(20));
            7
        });
        assert_eq!(answer, 7);
        assert!(clock::since_boot().minus(begun).0 < EVERY);
    }

    #[test]
    fn a_job_that_panics_leaves_no_thread_behind() {
        let (control, progress) = (Control::new(0), Progress::default());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            watched(&Raw::from("/"), &control, &progress, || panic!("as a test"));
        }));
        assert!(ended.is_err());
    }
}
