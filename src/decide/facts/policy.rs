//! Settings that decisions need, and the operator's words.

use serde::{Deserialize, Serialize};

use super::super::steps::TrashId;
use crate::mesos::ids::VolumeKey;
use crate::units::{Raw, Span};

/// What happens to an orphan past its grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanPolicy {
    /// It is listed.
    Report,
    /// It goes to the trash for `trash.orphan_retention`.
    Quarantine,
    /// It goes to the trash and is wiped from there in the same pass.
    Wipe,
}

/// `agent.pid_namespace`: what the operator states about namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidNamespace {
    /// Agent and tasks are seen from the initial pid namespace only.
    Host,
    /// Agent and tasks all live in our own pid namespace.
    Own,
}

/// The settings that decisions need; see `config/mesos-volumed.toml` for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `sweep.every`: bounds the lived time between two passes.
    pub sweep_every: Span,
    /// `sweep.grace`: lived time between the sightings of an orphan.
    pub grace: Span,
    /// `sweep.orphans`.
    pub orphans: OrphanPolicy,
    /// `sweep.protect`: globs on `role/persistence-id`; `*` does not cross `/`.
    pub protect: Vec<String>,
    /// `sweep.brake_percent`; 100 turns the brake off.
    pub brake_percent: u8,
    /// `sweep.brake_min`: so many unwitnessed steps in 24 h never trip the brake.
    pub brake_min: u32,
    /// `volumes.recreate_vanished`.
    pub recreate_vanished: bool,
    /// `trash.retention`: how long a witnessed destroy stays in the trash.
    pub retention: Span,
    /// `trash.orphan_retention`.
    pub orphan_retention: Span,
    /// `agent.require`: an agent that is down refuses destructive steps.
    pub require_agent: bool,
    /// `agent.start_gate`: whatever starts the agent obeys the gate.
    pub start_gate: bool,
    /// `agent.pid_namespace`.
    pub pid_namespace: PidNamespace,
}

/// What the operator said on the command line of this run; empty for the daemon and the timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// This is a later round of one pass: what it sees was seen in the same pass before, so it is
    /// no further sighting. Set by the loop, not by an operator.
    #[serde(default)]
    pub later_round: bool,
    /// `sweep --accept-empty`: an empty checkpoint is right as it is.
    pub accept_empty: bool,
    /// `sweep --confirm-brake N`: up to so many unwitnessed steps are wanted now.
    pub confirm_brake: Option<u32>,
    /// `wipe <role/id> --confirm`: this volume's directories, now, under the same guards.
    pub wipe: Option<VolumeKey>,
    /// `volumes recreate <role/id> --confirm`.
    pub recreate: Option<VolumeKey>,
    /// `disk accept <root>`: this root is right as it is.
    pub accept_root: Option<Raw>,
    /// `trash purge`: these entries, now.
    pub purge: Vec<TrashId>,
}
