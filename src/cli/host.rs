//! What commands that act share: the lock, `state_dir`, and the host that jobs run on.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::daemon::Daemon;
use super::disk_prepare::lock;
use super::progress::Progress as Line;
use super::{Context, Exit, WithExit};
use crate::act::audit::AuditLimits;
use crate::act::executor::Desk;
use crate::act::gate::Gate;
use crate::act::lock::{InstanceLock, LockError};
use crate::act::outcome::Outcome;
use crate::act::prepare::PrepareLock;
use crate::act::roots::RootLocks;
use crate::act::store::Store;
use crate::act::sys::Kernel;
use crate::act::wipe::Progress;
use crate::daemon::answers::plan::became;
use crate::daemon::host::{Inline, Pace, Reins, Shared};
use crate::daemon::jobs::eta;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, OperateError, Operated};
use crate::decide::facts::Who;
use crate::observe::clock;
use crate::sys::heap;
use crate::units::{Bytes, Span};

/// `state_dir`, made where it is missing. The audit log in it may be written to beside a daemon.
pub(super) fn store(context: &Context) -> anyhow::Result<Store> {
    let daemon = &context.settings().daemon;
    Ok(Store::open(&daemon.state_dir)?.with_audit(AuditLimits {
        file_size: daemon.audit_file_size,
        keep: daemon.audit_keep,
    }))
}

/// The only instance on this host, with everything that acting needs.
pub(super) struct Owner {
    _lock: InstanceLock,
    pub(super) shared: Shared,
    pub(super) observer: Observer,
}

impl Owner {
    /// Takes the lock of `state_dir`, making the folder where it is missing.
    pub(super) fn new(context: &Context) -> anyhow::Result<Self> {
        match Self::acquire(context)? {
            Ok(owner) => Ok(owner),
            Err(error) => locked(error),
        }
    }

    /// The same; who has the lock where somebody has it.
    fn acquire(context: &Context) -> anyhow::Result<Result<Self, LockError>> {
        let store = store(context)?;
        let lock = match InstanceLock::acquire(store.dir()) {
            Ok(lock) => lock,
            Err(error @ LockError::Locked { .. }) => return Ok(Err(error)),
            Err(error @ LockError::Io { .. }) => return Err(error.into()),
        };
        // Before any thread is started: those of a wipe would each keep an arena with their buffers.
        heap::share();
        let observer = Observer::new(context.settings());
        let gate = Gate::found(store.clone(), &observer.gate_file());
        Ok(Ok(Self {
            _lock: lock,
            shared: Shared {
                desk: desk(store, gate),
                agents: observer.agents(),
                reserved: observer.reserved(),
                caller: observer.caller(),
                confirm: observer.confirm(),
                pace: Pace::from(&context.settings().wipe),
                reins: Arc::new(Reins::of(context.settings())),
            },
            observer,
        }))
    }

    /// Does what is asked for on this thread, with a line of progress on a terminal.
    fn operate(&self, ask: Ask) -> Result<Operated, OperateError> {
        let control = self.shared.pace.control();
        let mut prepared = ask.prepare(who(), &self.observer, &self.shared)?;
        let mut host = Inline::new(self.shared.clone(), &control, &show);
        let mut outcomes = Vec::new();
        loop {
            let turn = prepared.turn(&self.observer, &mut host)?;
            outcomes.extend(turn.pass.outcomes.iter().map(became));
            if !prepared.awaits() {
                return Ok(prepared.finish(&turn, outcomes));
            }
            while !prepared.heard(&self.observer) {
                std::thread::sleep(LOOK);
            }
        }
    }
}

fn desk(store: Store, gate: Gate) -> Desk<Kernel> {
    Desk {
        sys: Arc::new(Kernel::new()),
        locks: RootLocks::default(),
        store,
        gate: Arc::new(gate),
        wall_seconds: clock::wall_seconds,
    }
}

/// What works on a disk that is nobody's, also beside a daemon: the one process on this host that works
/// on whole disks. A daemon never touches a device that is not mounted, but for the second in which it
/// makes a file system anew, for which it takes this lock too.
pub(super) struct Alone {
    _lock: PrepareLock,
    pub(super) desk: Desk<Kernel>,
    pub(super) pace: Pace,
    pub(super) observer: Observer,
}

impl Alone {
    /// Takes the lock of whole disks, in `state_dir`.
    pub(super) fn new(context: &Context) -> anyhow::Result<Self> {
        let store = store(context)?;
        Ok(Self {
            _lock: lock(&store)?,
            // Nothing that it does is behind the gate.
            desk: desk(store.clone(), Gate::new(store, [], Vec::new())),
            pace: Pace::from(&context.settings().wipe),
            observer: Observer::new(context.settings()),
        })
    }
}

/// How often the agent's checkpoint is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(100);

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

/// Does what is asked for: by the running daemon, or here where none runs. While a command that does
/// something itself has the lock, nobody can be asked (exit code 6).
pub(super) fn operate(context: &Context, ask: Ask) -> anyhow::Result<Operated> {
    match by_whom(context)? {
        Either::Us(owner) => owner.operate(ask).map_err(of_operate),
        Either::Daemon(daemon) => daemon.post(&format!("/v1/{}", ask.name()), &ask.body()),
    }
}

/// Who does it.
pub(super) enum Either {
    /// This process, which has the lock.
    Us(Box<Owner>),
    /// The daemon, which has it.
    Daemon(Daemon),
}

/// Takes the lock, or finds the daemon that has it.
pub(super) fn by_whom(context: &Context) -> anyhow::Result<Either> {
    let error = match Owner::acquire(context)? {
        Ok(owner) => return Ok(Either::Us(Box::new(owner))),
        Err(error) => error,
    };
    let holder = match &error {
        LockError::Locked { holder, .. } => *holder,
        LockError::Io { .. } => None,
    };
    let socket = context.settings().daemon.socket.as_deref();
    if let (Some(socket), Some(holder)) = (socket, holder)
        && let Some(daemon) = Daemon::at(socket, Some(holder))?
    {
        return Ok(Either::Daemon(daemon));
    }
    locked(error)
}

fn locked<T>(error: LockError) -> anyhow::Result<T> {
    Err(error)
        .context(
            "another instance works on this host, and is no daemon that can be asked through \
             daemon.socket; wait until it has ended, or stop it",
        )
        .exit(Exit::Locked)
}

fn of_operate(error: OperateError) -> anyhow::Error {
    let exit = match &error {
        OperateError::Usage(_) => Exit::Usage,
        OperateError::Refused(_) => Exit::Refused,
        OperateError::Missing(_)
        | OperateError::Pass(_)
        | OperateError::Halfway { .. }
        | OperateError::Ledger(_) => Exit::Error,
    };
    match Err::<(), _>(error).exit(exit) {
        Err(error) => error,
        Ok(()) => anyhow::anyhow!("nothing was done"),
    }
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
        let line = scope.spawn(|| {
            let mut line = Line::new();
            while !ended.load(Ordering::Relaxed) {
                line.show(|| how_far(subject, progress));
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        let outcome = job();
        ended.store(true, Ordering::Relaxed);
        // It sleeps between two lines; nobody waits for the rest of that.
        line.thread().unpark();
        outcome
    })
}

/// `[######··············] 30 %  wiping a/b: 300,000 files and directories gone, 19,870/s, about 35s left`.
/// Bar, percent and end are there only where the whole is known.
fn how_far(subject: &str, progress: &Progress) -> String {
    let (now, speed) = (progress.now(), progress.speed());
    let mut text = String::new();
    let share = now
        .expected
        .and_then(|all| now.removed().saturating_mul(100).checked_div(all))
        // Overwriting comes before removing, and takes longest.
        .filter(|_| now.overwritten == 0);
    if let Some(percent) = share {
        let percent = percent.min(100);
        let done = usize::try_from(percent.div_euclid(5)).unwrap_or(0).min(BAR);
        let (done, left) = ("#".repeat(done), "·".repeat(BAR.saturating_sub(done)));
        let _infallible = write!(text, "[{done}{left}] {percent} %  ");
    }
    let _infallible = write!(text, "wiping {subject}: ");
    if now.overwritten > 0 {
        let _infallible = write!(text, "{} overwritten", Bytes(now.overwritten));
        if speed.overwritten >= 1.0 {
            let per_second =
                Duration::try_from_secs_f64(speed.overwritten).map_or(0, |bytes| bytes.as_secs());
            let _infallible = write!(text, " ({}/s)", Bytes(per_second));
        }
        text.push_str(", ");
    }
    let _infallible = write!(text, "{} files and directories gone", now.removed());
    if speed.removals >= 1.0 {
        let _infallible = write!(text, ", {:.0}/s", speed.removals);
    }
    if let Some(eta) = eta(now, speed) {
        let _infallible = write!(text, ", about {} left", Span::seconds(eta));
    }
    if let Some(pressure) = progress.pressure() {
        let _infallible = write!(text, ", I/O pressure {:.0} %", pressure.worked);
    }
    text
}

/// The bar's width.
const BAR: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::wipe::Pressure;

    #[test]
    fn rate_and_end_are_shown_where_they_are_known() {
        let progress = Progress::default();
        assert_eq!(
            how_far("a/b", &progress),
            "wiping a/b: 0 files and directories gone"
        );
        progress.pressed(Some(Pressure {
            worked: 12.4,
            rested: None,
        }));
        progress.note(Duration::from_secs(1));
        progress.note(Duration::from_secs(2));
        assert_eq!(
            how_far("a/b", &progress),
            "wiping a/b: 0 files and directories gone, I/O pressure 12 %"
        );
    }
}
