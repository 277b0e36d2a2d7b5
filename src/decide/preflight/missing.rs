//! A disk that is configured and was advertised, and is not there: what is emitted, what the agent
//! does with it, and what the operator is told.
//!
//! * ROOT: the agent's own files lie on it. Without them it would come up as one that never was.
//! * PATH: an agent makes a missing root by itself, on the file system below. It is left out, so
//!   that the wrong disk is never offered.
//! * MOUNT: an agent refuses a root that is not mounted. Its last good number stays, because an
//!   agent that runs is not touched by it and one that starts says what is missing; only where
//!   nothing is held and the host has rebooted does the agent come up without it.

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

/// A missing disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingDisk {
    /// ROOT, PATH or MOUNT.
    pub kind: DiskType,
    /// What the agent holds there.
    pub occupancy: Occupancy,
    /// Its `--reconfiguration_policy`.
    pub policy: ReconfigurationPolicy,
    /// Whether the host has rebooted since the agent ran.
    pub rebooted: bool,
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
}

impl fmt::Display for AgentWill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartOver => f.pad("starts over"),
            Self::Refuse(check) => f.pad(&format!("refuses ({check})")),
            Self::TakeNewId => f.pad("new agent id"),
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
    let (emit, agent, tell) = match (disk.kind, disk.occupancy, disk.rebooted) {
        (DiskType::Root, _, _) => (
            Emit::LastGood,
            AgentWill::StartOver,
            "the agent's own files are on it: keep the agent down and mount it, or it registers \
             as a new one on the file system below, without any volume of this host",
        ),
        (DiskType::Path, Occupancy::Bare, false) => (
            Emit::LeaveOut,
            AgentWill::Refuse(Check::Policy),
            "it is not offered on the file system below; mount it before the agent restarts, or \
             remove meta/slaves/latest to go on without it under a new agent id",
        ),
        (DiskType::Path, Occupancy::Bare, true) => (
            Emit::LeaveOut,
            AgentWill::TakeNewId,
            "it is not offered on the file system below; mount it before the agent starts to keep \
             the agent id",
        ),
        (DiskType::Path, Occupancy::Reserved | Occupancy::Held, _) => (
            Emit::LeaveOut,
            AgentWill::Refuse(Check::Fit),
            "it is not offered on the file system below; mount it before the agent starts: \
             without it what the agent holds there fits nowhere",
        ),
        (DiskType::Mount, Occupancy::Bare, false) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "mount it before the agent restarts, or take it out of the rules and remove \
             meta/slaves/latest to go on without it under a new agent id",
        ),
        (DiskType::Mount, Occupancy::Bare, true) => (
            Emit::LeaveOut,
            AgentWill::TakeNewId,
            "mount it before the agent starts to keep the agent id",
        ),
        (DiskType::Mount, Occupancy::Reserved, _) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "no --resources gets the agent up: mount it; or mount an empty file system there, \
             start the agent and UNRESERVE; or, worst, move meta/resources away and lose every \
             reservation and volume of this host",
        ),
        (DiskType::Mount, Occupancy::Held, _) => (
            Emit::LastGood,
            AgentWill::Refuse(Check::Disks),
            "no --resources gets the agent up: mount it; or mount an empty file system there, \
             start the agent, DESTROY the volume and UNRESERVE; or, worst, move meta/resources \
             away and lose every reservation and volume of this host",
        ),
    };
    MissingDecision { emit, agent, tell }
}

/// The whole table, as it is written down in `tests/golden/missing_disk.txt`.
#[must_use]
pub fn table() -> Vec<(MissingDisk, MissingDecision)> {
    let policies = [
        ReconfigurationPolicy::Equal,
        ReconfigurationPolicy::Additive,
    ];
    let kinds = [DiskType::Root, DiskType::Path, DiskType::Mount];
    let mut table = Vec::new();
    for kind in kinds {
        for occupancy in Occupancy::ALL {
            for policy in policies {
                for rebooted in [false, true] {
                    let disk = MissingDisk {
                        kind,
                        occupancy,
                        policy,
                        rebooted,
                    };
                    table.push((disk, missing(disk)));
                }
            }
        }
    }
    table
}
