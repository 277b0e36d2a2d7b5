//! Carries out the steps that make a disk, or give one back, and chooses nothing.
//!
//! Every step can be done again: it looks first, and leaves what is so already. The record in
//! `state_dir` says how far it got; it is durable before the file system is made, so that a run
//! that was killed at any point is carried on by the next one. Two things are looked at once more
//! on the spot, because between the decision and the step the world may have moved: the device
//! before it is formatted, and what a mount shows after it was made.

mod device;
mod journal;
mod places;

use std::io;
use std::process::ExitStatus;

use rustix::io::Errno;

pub use self::journal::PrepareLock;
use super::durable::ReplaceError;
use super::store::{Store, StoreError};
use crate::decide::prepare::{Command, DiskStep, PreparePlan, ReleasePlan};
use crate::sys::{FsUuidError, OpenError, program};
use crate::units::Raw;

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was so already.
    Identity,
    /// It was done, and looked at again.
    Done,
}

/// Why a step did not work. The steps before it are done, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A record could not be written or removed.
    #[error("the record {path} could not be written")]
    Record {
        /// The file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A record has no JSON form.
    #[error("the record of {uuid} could not be written as JSON")]
    Encode {
        /// The file system.
        uuid: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file could not be replaced.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The lock could not be taken.
    #[error("{path} could not be locked")]
    Lock {
        /// The lock file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// Another process prepares, releases, reformats or wipes a disk right now.
    #[error("another process prepares, releases, reformats or wipes a disk on this host")]
    Locked,
    /// The device is not what the plan was made for.
    #[error("{device} is not what it was when it was looked at: {what}; nothing was written to it")]
    DeviceMoved {
        /// The device.
        device: Raw,
        /// What is otherwise.
        what: String,
    },
    /// The device could not be looked at once more.
    #[error("{device} could not be looked at once more; nothing was written to it")]
    Device {
        /// The device.
        device: Raw,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("`{command}` could not be started")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed: {said}")]
    Program {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A folder could not be opened.
    #[error("{path} could not be opened")]
    Open {
        /// The folder.
        path: Raw,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A call failed.
    #[error("could not {what} {path}")]
    Call {
        /// The verb.
        what: &'static str,
        /// The object.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The bare mount point can't be made immutable.
    #[error(
        "{path} can't be made immutable: its file system keeps no such flag; put the mount point \
         on ext4, xfs or btrfs"
    )]
    NoFlag {
        /// The mount point.
        path: Raw,
    },
    /// Something else is mounted, or nothing.
    #[error("{at} does not show file system {uuid} after `{command}`: {what}")]
    Mounted {
        /// The mount point.
        at: Raw,
        /// The file system that it should show.
        uuid: String,
        /// What was run.
        command: String,
        /// What is there.
        what: String,
    },
    /// Another file system is mounted where ours is to be unmounted.
    #[error("{at} shows another file system than {uuid}; it was left mounted")]
    Another {
        /// The mount point.
        at: Raw,
        /// The file system that it should show.
        uuid: String,
    },
    /// The file system's UUID could not be told.
    #[error("which file system {path} lies on could not be told")]
    Uuid {
        /// The folder.
        path: Raw,
        /// Why.
        #[source]
        source: FsUuidError,
    },
    /// Another process works on the disk.
    #[error("another process works on {at}: it holds its lock")]
    InUse {
        /// Where the file system is mounted.
        at: Raw,
    },
    /// The ledger could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the disk. `seen` is told of each step when it is over; what it does not see has not
/// happened, or not wholly.
pub fn prepare(
    store: &Store,
    plan: PreparePlan,
    seen: &mut dyn FnMut(&DiskStep, Change),
) -> Result<(), PrepareError> {
    steps(store, plan.into_steps(), seen)
}

/// Gives the disk back.
pub fn release(
    store: &Store,
    plan: ReleasePlan,
    seen: &mut dyn FnMut(&DiskStep, Change),
) -> Result<(), PrepareError> {
    steps(store, plan.into_steps(), seen)
}

fn steps(
    store: &Store,
    steps: Vec<DiskStep>,
    seen: &mut dyn FnMut(&DiskStep, Change),
) -> Result<(), PrepareError> {
    for step in steps {
        let change = one(store, &step)?;
        tracing::info!(step = step.name(), ?change, "disk step");
        seen(&step, change);
    }
    Ok(())
}

fn one(store: &Store, step: &DiskStep) -> Result<Change, PrepareError> {
    match step {
        DiskStep::Record { record } => journal::write(store, record),
        DiskStep::Forget { uuid } => journal::remove(store, uuid),
        DiskStep::Format {
            device,
            number,
            size_bytes,
            uuid,
            again,
            probe,
            command,
        } => {
            let expected = device::Expected {
                device,
                number: *number,
                size_bytes: *size_bytes,
                uuid,
                again: *again,
            };
            let held = device::look_again(&expected, probe)?;
            run(command)?;
            device::made(&held, &expected, probe)
        }
        DiskStep::Folder { path, mode } => places::folder(path, *mode),
        DiskStep::Protect { path } => places::protect(path),
        DiskStep::Unprotect { path } => places::unprotect(path),
        DiskStep::RemoveFolder { path } => places::remove_folder(path),
        DiskStep::Unit { path, text } => places::unit(path, text),
        DiskStep::RemoveUnit { path } => places::remove_file(path),
        DiskStep::Systemd { command } => run(command).map(|()| Change::Done),
        DiskStep::Mount {
            command,
            at,
            uuid,
            shows,
        } => places::mount(command, at, uuid, shows.as_ref()),
        DiskStep::Unmount { command, at, uuid } => places::unmount(command, at, uuid),
        DiskStep::Furnish { disk, at, uuid } => places::furnish(disk, at, uuid),
        DiskStep::Retire { disk } => {
            let mut change = Change::Identity;
            // A daemon that verifies it at this moment, where it is still mounted, would write it down again.
            let _held = places::hold(disk)?;
            store.update_ledger(|mut ledger| {
                let before = ledger.roots.len();
                ledger.roots.retain(|entry| entry.disk != *disk);
                if ledger.roots.len() != before {
                    change = Change::Done;
                }
                ledger
            })?;
            Ok(change)
        }
    }
}

/// Runs a program to its end; anything but success is a failure.
fn run(command: &Command) -> Result<(), PrepareError> {
    let arguments: Vec<&std::ffi::OsStr> = command.arguments.iter().map(Raw::as_os_str).collect();
    let output = program::run(command.program.as_path(), &arguments).map_err(|source| {
        PrepareError::Start {
            command: command.typed(),
            source,
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(PrepareError::Program {
        command: command.typed(),
        status: output.status,
        said: program::said(&output),
    })
}
