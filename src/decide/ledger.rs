//! What was advertised, for which file system: `state_dir/ledger.json`.

use serde::{Deserialize, Serialize};

use super::facts::{Drive, Fingerprint};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::Role;
use crate::units::Megabytes;

/// The ledger of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Version of this structure; see [`Ledger::VERSION`].
    pub version: u32,
    /// One entry a root, in the order of first sight.
    pub roots: Vec<LedgerRoot>,
}

impl Ledger {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// The entry of this disk.
    #[must_use]
    pub fn root(&self, disk: &DiskRef) -> Option<&LedgerRoot> {
        self.roots.iter().find(|entry| entry.disk == *disk)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            roots: Vec::new(),
        }
    }
}

/// A root that was verified or advertised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRoot {
    /// Type and text, spelt as first advertised.
    pub disk: DiskRef,
    /// What it was when it was verified; `None`: advertised, but never verified for sweeping.
    pub fingerprint: Option<Fingerprint>,
    /// Static role of the advertised entry; `*` for none. `None`: never advertised by us.
    pub role: Option<Role>,
    /// The advertised number.
    pub advertised: Option<Megabytes>,
    /// Seconds since 1970 of the first and the last sight, for display only.
    pub first_seen: i64,
    /// See `first_seen`.
    pub last_seen: i64,
    /// Each change with its reason, oldest first.
    pub changes: Vec<LedgerChange>,
    /// What was noted of the disk when it was last verified or accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// A disk as it was when it was verified, or accepted by the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Size of the file system in bytes.
    pub total_bytes: u64,
    /// It was smaller than what was advertised of it already: that is no news then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdrawn: bool,
    /// The drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<Drive>,
}

/// A change of a ledger entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerChange {
    /// Seconds since 1970, for display only.
    pub at: i64,
    /// What changed and why: a sentence.
    pub what: String,
}
