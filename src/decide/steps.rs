//! The plan as data: what is to be done, to what, and why. The executor chooses nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{FileIdentity, Fingerprint, HiddenSide, MarkerOf, WipeMethod};
use super::guards::Reason;
use super::ledger::Verified;
use super::manifest::{AdoptedMark, Asked, Manifest, TrashState};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, ResourceFormat};
use crate::units::{Raw, Span};

/// The name of a trash entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrashId(pub String);

impl fmt::Display for TrashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a volume's data is to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A DESTROY of it was read as pending or finished: the operation's uuid.
    DestroyOperation(String),
    /// It went from held to gone in the effective generation within one boot and one agent run.
    GoneWithinRun,
    /// A destroy of ours that the agent's own checkpoint confirmed.
    OwnDestroy,
    /// The operator named it (`wipe --confirm`).
    Operator,
    /// Nobody was seen to destroy it: an orphan, sighted this long and this often.
    Unwitnessed {
        /// Lived time between the first and the last sighting.
        sighted_for: Span,
        /// Passes that saw it.
        times: u32,
    },
}

impl Evidence {
    /// Whether somebody's destroy stands behind it; otherwise the brake counts it.
    #[must_use]
    pub const fn witnessed(&self) -> bool {
        match self {
            Self::DestroyOperation(_) | Self::GoneWithinRun | Self::OwnDestroy | Self::Operator => {
                true
            }
            Self::Unwitnessed { .. } => false,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DestroyOperation(uuid) => write!(f, "DESTROY operation {uuid}"),
            Self::GoneWithinRun => f.write_str("destroyed within one run of the agent"),
            Self::OwnDestroy => f.write_str("destroyed by `volumes destroy`"),
            Self::Operator => f.write_str("named by the operator"),
            Self::Unwitnessed { sighted_for, times } => {
                write!(f, "orphan, seen {times} times in {sighted_for}")
            }
        }
    }
}

/// A directory under `volumes/roles` of a ROOT or PATH root, by identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlace {
    /// The volume.
    pub volume: VolumeKey,
    /// The disk.
    pub disk: DiskRef,
    /// The root as it was verified; checked again on the opened descriptor.
    pub root: Fingerprint,
    /// Name of the role directory, in its exact bytes.
    pub role_dir: Raw,
    /// Name of the volume directory, in its exact bytes.
    pub id_dir: Raw,
}

impl VolumePlace {
    /// The directory's path, for display.
    #[must_use]
    pub fn path(&self) -> Raw {
        self.disk
            .root
            .join(crate::mesos::paths::ROLES)
            .join(&self.role_dir)
            .join(&self.id_dir)
    }

    /// The names on the way from the root to the directory.
    #[must_use]
    pub fn components(&self) -> [&[u8]; 4] {
        let (role, id) = (self.role_dir.as_bytes(), self.id_dir.as_bytes());
        [b"volumes", b"roles", role, id]
    }
}

/// A trash entry, by identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashPlace {
    /// The disk whose trash it is in.
    pub disk: DiskRef,
    /// The root as it was verified.
    pub root: Fingerprint,
    /// Its manifest, as read.
    pub manifest: Manifest,
    /// Identity of its data; `None` where there is none.
    pub data: Option<FileIdentity>,
    /// Prepared MOUNT: where the trash is; checked again on the opened descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenSide>,
}

/// The folder of ours on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OursPlace {
    /// The disk.
    pub disk: DiskRef,
    /// The root as it was verified.
    pub root: Fingerprint,
    /// Prepared MOUNT: its hidden side, on which the folder lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenSide>,
}

/// Why a mark goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unadopted {
    /// An authority names the volume (again): its word decides from here on.
    Named,
    /// The operator took it back.
    Asked,
}

impl fmt::Display for Unadopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "an authority names the volume again, and decides from here on",
            Self::Asked => "the operator took it back",
        })
    }
}

/// What may be wiped: made only in `decide::plan`, carried by value to `act::wipe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WipeAuthorization {
    volume: VolumeKey,
    disk: DiskRef,
    identity: FileIdentity,
    evidence: Evidence,
    method: WipeMethod,
}

impl WipeAuthorization {
    /// Only `decide` may make one.
    pub(in crate::decide) fn new(
        volume: VolumeKey,
        disk: DiskRef,
        identity: FileIdentity,
        evidence: Evidence,
        method: WipeMethod,
    ) -> Self {
        Self {
            volume,
            disk,
            identity,
            evidence,
            method,
        }
    }

    /// The volume whose data goes.
    #[must_use]
    pub fn volume(&self) -> &VolumeKey {
        &self.volume
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &DiskRef {
        &self.disk
    }

    /// The identity of the directory whose content goes; compared with the opened descriptor.
    #[must_use]
    pub fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// How.
    #[must_use]
    pub fn method(&self) -> WipeMethod {
        self.method
    }

    /// Why.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// What keeps Mesos from using a MOUNT disk while it is emptied (design §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Barrier {
    /// No agent runs, and its start is held back by the gate file.
    Gate,
    /// The agent's own checkpoint has the disk reserved to a role of ours.
    Reservation,
}

/// A call to the leading master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MasterCall {
    /// The agent that it is for.
    pub agent: Raw,
    /// How resources are written.
    pub format: ResourceFormat,
    /// What it does.
    pub change: Change,
}

/// One thing to do, or a volume kept with every reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Remember a root met for the first time: ledger entry and marker.
    AdoptRoot {
        /// The disk.
        disk: DiskRef,
        /// What it is.
        root: Fingerprint,
        /// What to note of it besides.
        verified: Verified,
        /// What the marker says besides the UUID; `None`: this host has no readable machine id.
        marker: Option<MarkerOf>,
    },
    /// Move a volume's directory into the trash by one rename.
    Quarantine {
        /// What.
        place: VolumePlace,
        /// The directory, checked again on the opened descriptor.
        identity: FileIdentity,
        /// The manifest to write first, in state `prepared`.
        manifest: Box<Manifest>,
    },
    /// The second look passed: the entry may be wiped from now on.
    Clear {
        /// Which.
        entry: Box<TrashPlace>,
    },
    /// The volume is named again: put it back by one rename.
    PutBack {
        /// Which.
        entry: Box<TrashPlace>,
    },
    /// The entry holds no data: remove what is left of it.
    Void {
        /// Which.
        entry: Box<TrashPlace>,
    },
    /// Wipe a trash entry's data, then remove the entry.
    Wipe {
        /// What may go.
        authorization: WipeAuthorization,
        /// From which entry.
        entry: Box<TrashPlace>,
    },
    /// Empty a plain MOUNT disk in place, behind a barrier.
    EmptyMount {
        /// What may go.
        authorization: WipeAuthorization,
        /// The root as it was verified.
        root: Fingerprint,
        /// It is empty already: only what is owed to its free space is to be done, and nothing if it
        /// is empty no more.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        fill_only: bool,
        /// What keeps Mesos from using the disk meanwhile.
        barrier: Barrier,
    },
    /// Move the entries of a prepared MOUNT disk into its trash, one by one, behind a barrier; or go
    /// on with that.
    MoveOut {
        /// What may go.
        authorization: WipeAuthorization,
        /// Where to: without data for a new entry.
        entry: Box<TrashPlace>,
        /// What keeps Mesos from using the disk meanwhile.
        barrier: Barrier,
    },
    /// Ask the leading master to reserve a MOUNT disk to a role of ours, or to give it back
    /// (`RESERVE_RESOURCES`, `UNRESERVE_RESOURCES`).
    Bar {
        /// The call.
        call: Box<MasterCall>,
        /// For whose data the disk is reserved; none where it is given back.
        #[serde(skip_serializing_if = "Option::is_none")]
        volume: Option<VolumeKey>,
        /// The disk.
        disk: DiskRef,
        /// The root's directory, where it was seen: while a job works on it, it is not given back.
        #[serde(skip_serializing_if = "Option::is_none")]
        directory: Option<FileIdentity>,
    },
    /// Open the gate: nothing that it was closed for is to be done any more.
    OpenGate,
    /// The operator wants it back: mark it adopted, and move it to its place.
    Restore {
        /// Which.
        entry: Box<TrashPlace>,
        /// The mark, durable before anything moves.
        mark: Box<AdoptedMark>,
    },
    /// Mark a volume that nobody names as wanted.
    Adopt {
        /// Where the mark goes.
        at: OursPlace,
        /// The mark.
        mark: Box<AdoptedMark>,
    },
    /// Take a mark away.
    Unadopt {
        /// Where it lies.
        at: OursPlace,
        /// The mark, as read.
        mark: Box<AdoptedMark>,
        /// Why.
        why: Unadopted,
    },
    /// Remove the frame of a trash entry that has neither manifest nor data.
    Tidy {
        /// Where it lies.
        at: OursPlace,
        /// Its name.
        id: TrashId,
    },
    /// Call the leading master for a destroy of ours. The entry's manifest says durably that it was
    /// asked before the request leaves.
    Call {
        /// The call.
        call: Box<MasterCall>,
        /// The volume.
        volume: VolumeKey,
        /// The disk it is on.
        disk: DiskRef,
        /// What the manifest says from then on.
        asked: Asked,
        /// The entry with its data, where that was moved aside.
        entry: Option<Box<TrashPlace>>,
    },
    /// The agent's own checkpoint confirmed a destroy of ours: the entry may be wiped from now on.
    Confirm {
        /// Which.
        entry: Box<TrashPlace>,
        /// Our lived time now: its age is counted from here.
        lived_at: Span,
    },
    /// Make a held volume's missing directory: mode 0755, owner root.
    Create {
        /// What. `role_dir` and `id_dir` are the names to make.
        place: VolumePlace,
    },
}

/// Something that was looked at and is left as it is, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The volume, where there is one.
    pub volume: Option<VolumeKey>,
    /// The disk.
    pub disk: DiskRef,
    /// Its path.
    pub path: Raw,
    /// The trash entry it is, if it is one.
    pub trash: Option<(TrashId, TrashState)>,
    /// Whether a destroy or an overdue orphan waits behind the reasons: a blocking reason then
    /// makes a sweep exit 5.
    pub due: bool,
    /// Every reason; never empty.
    pub reasons: Vec<Reason>,
}
