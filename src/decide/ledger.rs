//! What was advertised, for which file system: `state_dir/ledger.json`.

use serde::{Deserialize, Serialize};

use super::adopt::AdoptedFrom;
use super::baseline::same_root;
use super::facts::{Drive, Fingerprint};
use crate::mesos::disk::{DiskRef, SourceExtras};
use crate::mesos::ids::Role;
use crate::units::{Megabytes, Raw};

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

    /// The entry of this disk, however its root is spelt there: `/mnt/a/` is `/mnt/a`.
    #[must_use]
    pub fn root_spelt_in_any_way(&self, disk: &DiskRef) -> Option<&LedgerRoot> {
        let is_it = |entry: &&LedgerRoot| {
            entry.disk.kind == disk.kind && same_root(&entry.disk.root, &disk.root)
        };
        self.root(disk).or_else(|| self.roots.iter().find(is_it))
    }

    /// Whether any number was ever advertised.
    #[must_use]
    pub fn has_numbers(&self) -> bool {
        self.roots.iter().any(|entry| entry.advertised.is_some())
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
    /// What its source says beside type and root, where the agent was started with such.
    #[serde(default, skip_serializing_if = "SourceExtras::is_empty")]
    pub extras: SourceExtras,
    /// Other parts of the same root, each with a static role of its own. We never make any; an
    /// agent that was started with them must be started with them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<LedgerPart>,
    /// Where the number was found, if it is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<AdoptedFrom>,
    /// What it lay on when its number was last advertised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<LedgerPlace>,
    /// Seconds since 1970 of the first and the last sight, for display only. The last one is kept
    /// to the hour, so that looking does not write.
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

impl LedgerRoot {
    /// A root of which nothing but its name is known, seen at this time.
    #[must_use]
    pub fn new(disk: DiskRef, now: i64) -> Self {
        Self {
            disk,
            fingerprint: None,
            role: None,
            advertised: None,
            extras: SourceExtras::default(),
            parts: Vec::new(),
            adopted: None,
            place: None,
            verified: None,
            first_seen: now,
            last_seen: now,
            changes: Vec::new(),
        }
    }
}

/// A part of a root that has a static role of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPart {
    /// The role; `*` for none.
    pub role: Role,
    /// The advertised number.
    pub advertised: Megabytes,
}

/// What a root lies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPlace {
    /// The file system's UUID; `None` where it has none.
    pub filesystem: Option<String>,
    /// Where it is mounted.
    pub mount_point: Raw,
}

/// A change of a ledger entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerChange {
    /// Seconds since 1970, for display only.
    pub at: i64,
    /// What changed and why: a sentence.
    pub what: String,
}
