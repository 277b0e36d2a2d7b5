//! The host, its clocks, and the gate.

use serde::{Deserialize, Serialize};

use super::super::steps::Evidence;
use super::{FileIdentity, Known, RootFacts, WipeMethod};
use crate::mesos::ids::VolumeKey;
use crate::units::{Raw, Span};

/// The host at the moment of observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `/etc/machine-id`; trash of another machine is reported only.
    pub machine_id: Known<Raw>,
    /// When the observation began.
    pub now: Moment,
    /// Whether this process is in the initial pid namespace.
    pub initial_pid_namespace: Known<bool>,
    /// Randomness for new names, so that planning stays a pure function.
    pub nonce: u64,
}

/// A moment on both clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `CLOCK_BOOTTIME`: time since boot, suspend included. Ages are measured in it.
    pub since_boot: Span,
    /// Seconds since 1970, for display only: it may jump.
    pub wall_seconds: i64,
}

/// The gate file in `state_dir` that keeps an agent from starting while a MOUNT disk is emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFacts {
    /// Root texts named in the gate file; `Absent`: the gate is open.
    pub closed_for: Known<Vec<Raw>>,
    /// Of these, what is to be filled with zeros once it is empty; none where the file can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fills: Vec<OwedFill>,
    /// The agent's unit (file or drop-in) that runs `preflight --gate`, if one was found.
    pub unit: Known<Raw>,
}

impl GateFacts {
    /// What is owed to the disk at this root, if it is the very disk that it is owed to.
    #[must_use]
    pub fn owed(&self, root: &RootFacts) -> Option<&OwedFill> {
        let present = root.filesystem.present.known()?;
        self.fills
            .iter()
            .find(|fill| fill.root == root.disk.root && fill.directory == present.directory)
    }
}

/// A MOUNT disk whose free space is to be filled with zeros when it is empty. Noted, durably, before
/// the first unlink, and gone with the last zero: an empty disk does not tell whether that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwedFill {
    /// The root's text.
    pub root: Raw,
    /// Its directory: another file system at that root is owed nothing.
    pub directory: FileIdentity,
    /// The volume that was on it.
    pub volume: VolumeKey,
    /// Why its data goes. An operator's word is not remembered elsewhere.
    pub evidence: Evidence,
    /// How, with all that was promised.
    pub method: WipeMethod,
}

/// `state_dir/gate.json`: there while the gate is closed, durable before the first change and
/// removed after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFile {
    /// Version of this structure; see [`GateFile::VERSION`].
    pub version: u32,
    /// Root texts of the disks that are being emptied; never empty.
    pub roots: Vec<Raw>,
    /// Of these, what is to be filled with zeros once it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fills: Vec<OwedFill>,
}

impl GateFile {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
    /// Its name in `state_dir`.
    pub const NAME: &str = "gate.json";
}
