//! A disk that was advertised, and is not there or is another: what is emitted, what the agent does
//! with it, and what the operator is told.
//!
//! * ROOT: the agent's own files lie on it. Without them it would come up as one that never was.
//! * PATH: an agent makes a missing root by itself, on the file system below. It is left out, so
//!   that the wrong disk is never offered.
//! * MOUNT: an agent refuses a root that is not mounted. Its last good number stays, because an
//!   agent that runs is not touched by it and one that starts says what is missing; only where
//!   nothing is held and no agent id is kept does the agent come up without it.
//! * Another file system at a PATH or MOUNT: an agent takes it for the disk, and gives its data to
//!   whoever holds the volumes. It is left out, so that the agent stops at its start instead.

use std::fmt;

use super::Check;
use crate::decide::facts::{DiskType, ReconfigurationPolicy};

/// What is on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occupancy {
    /// Neither a dynamic reservation nor a volume.
    Bare,
    /// A dynamic reservation.
    Reserved,
    /// A volume.
    Held,
}

impl Occupancy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bare, Self::Reserved, Self::Held];
}

impl fmt::Display for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Reserved => "reserved",
            Self::Held => "held",
        })
    }
}

/// What became of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// It is not mounted.
    Missing,
    /// Another file system is mounted in its place.
    Replaced,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Replaced => "replaced",
        })
    }
}

/// Which agent id an agent would come up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextId {
    /// Its own, or none at all: it is refused where it can't be kept.
    Same,
    /// Its own where that is allowed, and otherwise a new one: the host has rebooted.
    Rebooted,
    /// Its first, or a new one: there is no `meta/slaves/latest`.
    New,
}

impl NextId {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Same, Self::Rebooted, Self::New];
}

impl fmt::Display for NextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Same => "same",
            Self::Rebooted => "rebooted",
            Self::New => "new",
        })
    }
}

/// A missing disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingDisk {
    /// ROOT, PATH or MOUNT.
    pub kind: DiskType,
    /// What became of it.
    pub gone: Gone,
    /// What the agent holds there.
    pub occupancy: Occupancy,
    /// Its `--reconfiguration_policy`.
    pub policy: ReconfigurationPolicy,
    /// The id that it would have.
    pub id: NextId,
}

/// What stands in `--resources` for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Its entry with the last good number.
    LastGood,
    /// Nothing.
    LeaveOut,
}

impl fmt::Display for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LastGood => "last good number",
            Self::LeaveOut => "left out",
        })
    }
}

/// What an agent that starts with it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentWill {
    /// It registers as an agent that never was, on the file system below its work_dir.
    StartOver,
    /// It refuses.
    Refuse(Check),
    /// It comes up with a new agent id.
    TakeNewId,
    /// It comes up without the disk, as it would have come up with it.
    DoWithout,
}

impl fmt::Display for AgentWill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartOver => f.pad("starts over"),
            Self::Refuse(check) => f.pad(&format!("refuses ({check})")),
            Self::TakeNewId => f.pad("new agent id"),
            Self::DoWithout => f.pad("does without"),
        }
    }
}

/// What becomes of a missing disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingDecision {
    /// What is emitted.
    pub emit: Emit,
    /// What an agent does that starts with it.
    pub agent: AgentWill,
    /// What the operator is told.
    pub tell: &'static str,
}

/// Decides over a missing disk. The policy makes no difference: a disk that is gone is a change that
/// neither allows, as the table has it in all its rows.
#[must_use]
pub fn missing(disk: MissingDisk) -> MissingDecision {
    let (emit, agent, tell) = match (disk.kind, disk.gone) {
        (DiskType::Root, _) => (
            Emit::LastGood,
            AgentWill::StartOver,
            "the agent's own files are on it: keep the agent down and mount it, or it registers \
             as a new one on the file system below, without any volume of this host",
        ),
        (DiskType::Path, Gone::Missing) => path(disk),
        (DiskType::Mount, Gone::Missing) => mount(disk),
        (DiskType::Path | DiskType::Mount, Gone::Replaced) => replaced(disk),
    };
    MissingDecision { emit, agent, tell }
}

type Decided = (Emit, AgentWill, &'static str);

fn path(disk: MissingDisk) -> Decided {
    match (disk.occupancy, disk.id) {
        (Occupancy::Bare, NextId::Same) => (
            Emit::LeaveOut,
            AgentWill::Refuse(Check::Policy),
            "it is not offered on the file system below; mount it before the agent restarts; or, \
             with the agent stopped, remove meta/slaves/latest to go on without it under a new \
             agent id",
        ),
        (Occupancy::Bare, NextId::Rebooted) => (
            Emit::LeaveOut,
            AgentWill::TakeNewId,
            "it is not offered on the file system below; mount it before the agent starts to keep \
             the agent id",
        ),
        (Occupancy::Bare, NextId::New) => (
            Emit::LeaveOut,
            AgentWill::DoWithout,
            "it is not offered on the file system below; mount it to offer it",
        ),
        (Occupancy::Reserved | Occupancy::Held, _) => (
            Emit::LeaveOut,
            AgentWill::Refuse(Check::Fit),
            "it is not offered on the file system below; mount it before the agent starts: \
             without it what the agent holds there fits nowhere",
        ),
    }
}

fn mount(disk: MissingDisk) -> Decided {
    match (disk.occupancy, disk.id) {
        (Occupancy::Bare, NextId::Same) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "mount it before the agent restarts; or, with the agent stopped, remove \
             meta/slaves/latest and write the resources again, to go on without it under a new \
             agent id",
        ),
        (Occupancy::Bare, NextId::Rebooted) => (
            Emit::LeaveOut,
            AgentWill::TakeNewId,
            "mount it before the agent starts to keep the agent id",
        ),
        (Occupancy::Bare, NextId::New) => (
            Emit::LeaveOut,
            AgentWill::DoWithout,
            "mount it to offer it: an agent does not start with a MOUNT that is not mounted",
        ),
        (Occupancy::Reserved, _) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "no --resources gets the agent up: mount it; or mount an empty file system there, \
             start the agent and UNRESERVE; or, worst, move meta/resources away and lose every \
             reservation and volume of this host",
        ),
        (Occupancy::Held, _) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "no --resources gets the agent up: mount it; or mount an empty file system there, \
             start the agent, DESTROY the volume and UNRESERVE; or, worst, move meta/resources \
             away and lose every reservation and volume of this host",
        ),
    }
}

fn replaced(disk: MissingDisk) -> Decided {
    let (agent, tell) = match (disk.occupancy, disk.id) {
        (Occupancy::Bare, NextId::Same) => (
            AgentWill::Refuse(Check::Policy),
            "another file system is there, and it is not offered in its place; mount the right \
             one before the agent restarts, or, if the disk was replaced, take the new one on: \
             mesos-volumed disk accept",
        ),
        (Occupancy::Bare, NextId::Rebooted) => (
            AgentWill::TakeNewId,
            "another file system is there, and it is not offered in its place; mount the right \
             one, or take the new one on (mesos-volumed disk accept), before the agent starts to \
             keep the agent id",
        ),
        (Occupancy::Bare, NextId::New) => (
            AgentWill::DoWithout,
            "another file system is there, and it is not offered in its place; mount the right \
             one, or, if the disk was replaced, take the new one on: mesos-volumed disk accept",
        ),
        (Occupancy::Reserved | Occupancy::Held, _) => (
            AgentWill::Refuse(Check::Fit),
            "another file system is there, and its data must not be given to whoever holds this \
             disk; mount the right one before the agent starts; or, if the disk was replaced and \
             the data are lost for good, take the new one on: mesos-volumed disk accept",
        ),
    };
    (Emit::LeaveOut, agent, tell)
}

/// The whole table, as it is written down in `tests/golden/missing_disk.txt`.
#[must_use]
pub fn table() -> Vec<(MissingDisk, MissingDecision)> {
    let policies = [
        ReconfigurationPolicy::Equal,
        ReconfigurationPolicy::Additive,
    ];
    let cases = [
        (DiskType::Root, Gone::Missing),
        (DiskType::Path, Gone::Missing),
        (DiskType::Path, Gone::Replaced),
        (DiskType::Mount, Gone::Missing),
        (DiskType::Mount, Gone::Replaced),
    ];
    let mut table = Vec::new();
    for (kind, gone) in cases {
        for occupancy in Occupancy::ALL {
            for policy in policies {
                for id in NextId::ALL {
                    let disk = MissingDisk {
                        kind,
                        gone,
                        occupancy,
                        policy,
                        id,
                    };
                    table.push((disk, missing(disk)));
                }
            }
        }
    }
    table
}
