//! What became of a step.

use rustix::io::Errno;
use serde::Serialize;

use super::master::ChangeError;
use super::store::StoreError;
use super::volume_dir::VolumeDirError;
use super::wipe::Proof;
use super::wipe::reformat::ReformatError;
use crate::decide::guards::Reason;
use crate::decide::steps::Evidence;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::sys::{IdentityError, OpenError, ReadError};
use crate::units::Raw;

/// What became of a step: whether the world changed, and if not, why.
#[derive(Debug)]
pub enum Outcome {
    /// It was so already.
    Identity,
    /// Done, and verified as the receipt says.
    Done(Box<Receipt>),
    /// A worker has it; its end is reported apart.
    Started,
    /// The world moved since the plan: plan again, never retry in place.
    Stale(String),
    /// A guard that only the executor can ask said no.
    Refused(Reason),
    /// It was tried and did not work; what is left is said.
    Failed(StepError),
}

/// Proof of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// `quarantine`, `wipe`, …
    pub step: &'static str,
    /// The plan it belonged to.
    pub plan: String,
    /// The volume, where there is one.
    pub volume: Option<VolumeKey>,
    /// The disk.
    pub disk: DiskRef,
    /// The path, for display.
    pub path: Raw,
    /// Why.
    pub evidence: Option<Evidence>,
    /// How data was destroyed; `None` where none was.
    pub mode: Option<&'static str>,
    /// What was reached of what the mode promises; `None` where no data was destroyed.
    pub proof: Option<Proof>,
    /// Files, links and other entries unlinked.
    pub files: u64,
    /// Directories removed.
    pub directories: u64,
    /// Growth of the file system's free space meanwhile; an estimate, others write too.
    pub freed_bytes: u64,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// Whether the result was looked at again and found as it should be.
    pub verified: bool,
    /// The file system that it was done on, by its UUID, which is what a disk is; `None` where the
    /// step is about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
}

impl Receipt {
    /// The receipt of a step that destroyed nothing and came to its end.
    #[must_use]
    pub fn plain(
        step: &'static str,
        plan: &str,
        volume: Option<&VolumeKey>,
        disk: &DiskRef,
        path: Raw,
    ) -> Self {
        Self {
            step,
            plan: plan.to_owned(),
            volume: volume.cloned(),
            disk: disk.clone(),
            path,
            evidence: None,
            mode: None,
            proof: None,
            files: 0,
            directories: 0,
            freed_bytes: 0,
            milliseconds: 0,
            verified: true,
            filesystem: None,
        }
    }
}

/// Why a step did not work.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The root could not be opened.
    #[error("{root} could not be opened; nothing was changed")]
    OpenRoot {
        /// The root.
        root: Raw,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A directory on the way could not be opened.
    #[error("{path} could not be opened; nothing was changed")]
    Open {
        /// The directory.
        path: Raw,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A file system gives no identity.
    #[error("{path} could not be identified; nothing was changed")]
    Identity {
        /// The directory.
        path: Raw,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The volume's directory could not be opened.
    #[error("the directory of {volume} could not be taken hold of; nothing was changed")]
    VolumeDir {
        /// The volume.
        volume: VolumeKey,
        /// Why.
        #[source]
        source: VolumeDirError,
    },
    /// A call failed.
    #[error("could not {what} {path}; {left}")]
    Call {
        /// The verb: `rename`, `make`, `sync`, …
        what: &'static str,
        /// The object.
        path: Raw,
        /// What is left as it was, or half done.
        left: &'static str,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A manifest could not be read back.
    #[error("the manifest of trash entry {entry} could not be read")]
    ReadManifest {
        /// The entry.
        entry: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A manifest could not be written as JSON.
    #[error("the manifest of trash entry {entry} could not be written")]
    EncodeManifest {
        /// The entry.
        entry: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A mark could not be written as JSON.
    #[error("the mark {mark} could not be written; nothing was moved")]
    EncodeMark {
        /// Its name.
        mark: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Something is left of the data.
    #[error("the data of {volume} is not gone: {what}")]
    Incomplete {
        /// The volume.
        volume: VolumeKey,
        /// What is left, and why.
        what: String,
    },
    /// A file system was not made anew as it should.
    #[error("the file system of {root} was not made anew; agents are held back until it is mended")]
    Reformat {
        /// The MOUNT root.
        root: Raw,
        /// How far it got.
        #[source]
        source: ReformatError,
    },
    /// A call to the master.
    #[error("{volume}: {source}")]
    Master {
        /// The volume.
        volume: VolumeKey,
        /// What happened. It is part of the message: it says whether anything came of the call.
        source: Box<ChangeError>,
    },
    /// A call for the barrier of a disk.
    #[error("{disk}: {source}; it stays as it is, and the next pass asks again")]
    Barrier {
        /// The disk.
        disk: DiskRef,
        /// What happened; see above.
        source: Box<ChangeError>,
    },
    /// `state_dir` could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StepError {
    /// What could not be done, in a word that stays, for metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::OpenRoot { .. } => "open_root",
            Self::Open { .. } => "open",
            Self::Identity { .. } => "identity",
            Self::VolumeDir { .. } => "volume_directory",
            Self::Call { .. } => "call",
            Self::ReadManifest { .. } => "read_manifest",
            Self::EncodeManifest { .. } => "encode_manifest",
            Self::EncodeMark { .. } => "encode_mark",
            Self::Incomplete { .. } => "incomplete",
            Self::Reformat { .. } => "reformat",
            Self::Master { .. } | Self::Barrier { .. } => "master",
            Self::Store(_) => "state_dir",
        }
    }
}
