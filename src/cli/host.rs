//! What commands that act share: the lock, `state_dir`, and the host that jobs run on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::progress::Progress as Line;
use super::{Context, Exit, WithExit};
use crate::act::audit::AuditLimits;
use crate::act::executor::Desk;
use crate::act::gate::Gate;
use crate::act::lock::{InstanceLock, LockError};
use crate::act::outcome::Outcome;
use crate::act::roots::RootLocks;
use crate::act::store::Store;
use crate::act::sys::Kernel;
use crate::act::wipe::Progress;
use crate::daemon::host::{Inline, Pace, Shared};
use crate::daemon::observer::{Observer, ObserverError};
use crate::daemon::operator::Observe;
use crate::daemon::pass::{Pass, PassError, pass};
use crate::decide::facts::{Who, Words};
use crate::observe::clock;
use crate::units::Bytes;

/// The only instance on this host, with everything that acting needs.
pub(super) struct Owner {
    _lock: InstanceLock,
    pub(super) shared: Shared,
    pub(super) observer: Observer,
}

impl Owner {
    /// Takes the lock of `state_dir`, making the folder where it is missing.
    pub(super) fn new(context: &Context) -> anyhow::Result<Self> {
        let settings = context.settings();
        let store = Store::open(&settings.daemon.state_dir)?.with_audit(AuditLimits {
            file_size: settings.daemon.audit_file_size,
            keep: settings.daemon.audit_keep,
        });
        let lock = match InstanceLock::acquire(store.dir()) {
            Ok(lock) => lock,
            Err(error @ LockError::Locked { .. }) => {
                return Err(error)
                    .context("another instance works on this host; a running daemon sweeps by itself, SIGUSR1 makes it sweep now")
                    .exit(Exit::Locked);
            }
            Err(error @ LockError::Io { .. }) => return Err(error.into()),
        };
        let observer = Observer::new(settings);
        let gate = Gate::new(store.clone(), observer.gate_roots());
        Ok(Self {
            _lock: lock,
            shared: Shared {
                desk: Desk {
                    sys: Arc::new(Kernel::new()),
                    locks: RootLocks::default(),
                    store,
                    gate: Arc::new(gate),
                    wall_seconds: clock::wall_seconds,
                },
                agents: observer.agents(),
                pace: Pace::from(&settings.wipe),
            },
            observer,
        })
    }

    /// Makes a pass on this thread, with a line of progress on a terminal.
    pub(super) fn pass(&self, words: &Words) -> anyhow::Result<Pass> {
        let words = Words {
            by: Some(who()),
            ..words.clone()
        };
        self.with(|observe, host| pass(&mut || observe(&words), host))
    }

    /// Does something with an observer and a host on this thread.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(
            &Observe<'_, ObserverError>,
            &mut Inline<'_>,
        ) -> Result<T, PassError<ObserverError>>,
    ) -> anyhow::Result<T> {
        let control = self.shared.pace.control();
        // A damaged ledger is refused here, before anything is done.
        self.observer.ledger()?;
        let mut host = Inline::new(self.shared.clone(), &control, &show);
        act(&|words| self.observer.facts(words), &mut host).map_err(of_pass)
    }
}

/// Who runs this command.
pub(super) fn who() -> Who {
    // Says nothing where nobody logged in, and where there is no audit in the kernel.
    let login = crate::sys::read_bounded(std::path::Path::new("/proc/self/loginuid"), 64)
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| text.trim().parse::<u32>().ok())
        .filter(|uid| *uid != u32::MAX);
    Who {
        via: "cli".to_owned(),
        uid: rustix::process::getuid().as_raw(),
        pid: None,
        login_uid: login,
    }
}

fn of_pass<E: std::error::Error + Send + Sync + 'static>(error: PassError<E>) -> anyhow::Error {
    error.into()
}

/// Runs a job while a second thread draws how far it is.
pub(super) fn show(
    progress: &Progress,
    subject: &str,
    job: &mut dyn FnMut() -> Outcome,
) -> Outcome {
    use std::sync::atomic::{AtomicBool, Ordering};
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = Line::new();
            while !ended.load(Ordering::Relaxed) {
                line.show(|| {
                    let now = progress.now();
                    let overwritten = if now.overwritten > 0 {
                        format!("{} overwritten, ", Bytes(now.overwritten))
                    } else {
                        String::new()
                    };
                    let expected = now
                        .expected
                        .map_or_else(String::new, |all| format!(" of about {all}"));
                    format!(
                        "wiping {subject}: {overwritten}{} files, {} directories gone{expected}",
                        now.files, now.dirs
                    )
                });
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        let outcome = job();
        ended.store(true, Ordering::Relaxed);
        outcome
    })
}
