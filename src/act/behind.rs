//! What keeps Mesos from using a MOUNT disk while it is changed: stood behind from the first change
//! to the last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::jobs::JobContext;
use super::outcome::{Outcome, StepError};
use super::sys::Sys;
use crate::decide::facts::{Known, OwedFill};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::steps::Barrier;
use crate::mesos::disk::DiskRef;

/// How often the agent's checkpoint is looked at while a disk that it has reserved is emptied.
const LOOK: Duration = Duration::from_millis(500);

/// So many looks one after the other may fail: a file that is just being replaced is read again.
const MOST_UNKNOWN: u32 = 10;

/// A barrier that a job stands behind.
pub(in crate::act) struct Behind<'a, 'c, S: Sys> {
    context: &'a JobContext<'c, S>,
    disk: &'a DiskRef,
    barrier: Barrier,
    /// Where the gate was closed: whether an earlier job closed it for this disk, and did not end.
    gate: Option<bool>,
}

impl<'a, 'c, S: Sys> Behind<'a, 'c, S> {
    /// Closes the gate, durably, and looks for agents again behind it; or looks at the agent's
    /// checkpoint again, where that has the disk reserved.
    ///
    /// What is owed to the disk's free space is noted in the gate's file, which is therefore closed
    /// beside a reservation too: an agent that runs does not mind.
    pub(in crate::act) fn stand(
        context: &'a JobContext<'c, S>,
        disk: &'a DiskRef,
        barrier: Barrier,
        owed: Option<OwedFill>,
    ) -> Result<Self, Outcome> {
        let closes = match barrier {
            Barrier::Gate => true,
            // What was owed before may be wanted no more, which is noted there as well.
            Barrier::Reservation => owed.is_some() || context.gate.owes(&disk.root),
        };
        let gate = if closes {
            let before = context.gate.close_owing(&disk.root, owed);
            Some(before.map_err(StepError::from)?)
        } else {
            None
        };
        let behind = Self {
            context,
            disk,
            barrier,
            gate,
        };
        let why = match barrier {
            Barrier::Gate => agent_runs((context.agents)()),
            Barrier::Reservation => match (context.reserved)(disk) {
                Known::Known(()) => None,
                Known::Absent => Some(no_barrier(format!(
                    "{disk} is reserved no more in the agent's checkpoint"
                ))),
                Known::Unknown(why) => Some(no_barrier(why.to_string())),
            },
        };
        match why {
            None => Ok(behind),
            Some(reason) => {
                behind.leave_untouched()?;
                Err(Outcome::Refused(reason))
            }
        }
    }

    /// Does what takes long. A reservation is looked at meanwhile: the job is stopped at once where
    /// somebody took it away. The gate is ours alone.
    pub(in crate::act) fn watched<T>(&self, act: impl FnOnce() -> T) -> T {
        if self.barrier == Barrier::Gate {
            return act();
        }
        let (reserved, control, disk) = (self.context.reserved, self.context.control, self.disk);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut unknown: u32 = 0;
                while !ended.load(Ordering::Relaxed) {
                    std::thread::park_timeout(LOOK);
                    let why = match reserved(disk) {
                        Known::Known(()) => {
                            unknown = 0;
                            continue;
                        }
                        Known::Unknown(_) if unknown < MOST_UNKNOWN => {
                            unknown = unknown.saturating_add(1);
                            continue;
                        }
                        Known::Unknown(why) => why.to_string(),
                        Known::Absent => "somebody took the reservation away".to_owned(),
                    };
                    tracing::error!(disk.root = %disk.root, why, "the barrier is gone, stopping");
                    control.stop();
                    return;
                }
            });
            let done = act();
            ended.store(true, Ordering::Relaxed);
            watch.thread().unpark();
            done
        })
    }

    /// The job ended. `whole`: nothing has to be kept back for this disk any more. A reservation is
    /// given back by a plan, never by a job.
    pub(in crate::act) fn leave(self, whole: bool) -> Result<(), StepError> {
        match self.gate {
            Some(_) => Ok(self.context.gate.done(&self.disk.root, whole)?),
            None => Ok(()),
        }
    }

    /// Does what has to be whole before the barrier may go: that goes after it alone.
    pub(in crate::act) fn through<T>(
        self,
        act: impl FnOnce() -> Result<T, Outcome>,
    ) -> Result<T, Outcome> {
        let done = self.watched(act);
        self.leave(done.is_ok())?;
        done
    }

    /// Nothing was changed: where an earlier job began nothing either, nothing is held back.
    pub(in crate::act) fn leave_untouched(self) -> Result<(), StepError> {
        let begun_before = self.gate.unwrap_or(false);
        self.leave(!begun_before)
    }
}

fn no_barrier(why: String) -> Reason {
    Reason::new(Refusal::NoBarrier, why)
}

fn agent_runs(agents: Known<Vec<i32>>) -> Option<Reason> {
    match agents {
        Known::Known(pids) => pids
            .first()
            .map(|pid| no_barrier(format!("an agent started meanwhile (pid {pid})"))),
        Known::Absent => Some(Refusal::NoBarrier.into()),
        Known::Unknown(why) => Some(no_barrier(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::act::gate::Gate;
    use crate::act::roots::RootLocks;
    use crate::act::store::Store;
    use crate::act::sys::Kernel;
    use crate::act::wipe::{Control, Progress};
    use crate::mesos::disk::DiskType;

    fn disk() -> DiskRef {
        DiskRef {
            kind: DiskType::Mount,
            root: "/m".into(),
        }
    }

    /// With a checkpoint that says this at each look.
    fn with<T>(look: fn(u32) -> Known<()>, act: impl FnOnce(&JobContext<'_, Kernel>) -> T) -> T {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        let looks = Arc::new(AtomicU32::new(0));
        let reserved = move |_: &DiskRef| look(looks.fetch_add(1, Ordering::Relaxed));
        act(&JobContext {
            sys: &Kernel::new(),
            locks: &RootLocks::default(),
            gate: &Gate::new(store, [], Vec::new()),
            agents: &|| Known::Known(vec![812]),
            reserved: &reserved,
            control: &Control::new(0),
            progress: &Progress::default(),
        })
    }

    #[test]
    fn a_job_is_stopped_once_somebody_takes_the_reservation_away() {
        let look = |number: u32| match number {
            0 | 3 => Known::Known(()),
            1 | 2 => Known::unknown("a file is being replaced"),
            _ => Known::Absent,
        };
        with(look, |context| {
            let disk = disk();
            let Ok(behind) = Behind::stand(context, &disk, Barrier::Reservation, None) else {
                panic!("it stands")
            };
            // As a wipe does: until it is told to stop.
            behind.watched(|| {
                for _ in 0..600 {
                    if !context.control.proceed() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            assert!(!context.control.proceed());
        });
    }

    #[test]
    fn a_job_does_not_begin_without_its_barrier() {
        let refused = |look: fn(u32) -> Known<()>, barrier| {
            with(look, |context| {
                let disk = disk();
                match Behind::stand(context, &disk, barrier, None) {
                    Err(Outcome::Refused(reason)) => reason.code,
                    Err(other) => panic!("{other:?}"),
                    Ok(_) => panic!("it stands"),
                }
            })
        };
        let gone = |_: u32| Known::Absent;
        assert_eq!(refused(gone, Barrier::Reservation), Refusal::NoBarrier);
        let unknown = |_: u32| Known::unknown("cut");
        assert_eq!(refused(unknown, Barrier::Reservation), Refusal::NoBarrier);
        // An agent runs, and the gate is left as it was found.
        assert_eq!(refused(gone, Barrier::Gate), Refusal::NoBarrier);
    }
}
