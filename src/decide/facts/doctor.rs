//! What `doctor` looks at besides: what a pass need not know.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{DeviceNumber, Known, VolumeLook};
use crate::decide::steps::TrashId;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::DiskUse;
use crate::units::{Bytes, Megabytes, Raw};

/// What `doctor` looks at besides [`super::Facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorFacts {
    /// Whether the kernel has `openat2(2)`. `Absent`: it has not.
    pub openat2: Known<()>,
    /// Whether the kernel has Landlock, which keeps a wipe in its volume. `Absent`: it has not, or not the
    /// one of Linux 5.19.
    pub fence: Known<()>,
    /// The directories of volumes that a start of the agent may delete, by their path.
    pub volumes: Known<BTreeMap<Raw, VolumeLook>>,
    /// What is mounted at boot: `/etc/fstab` and `.mount` units.
    pub boot_mounts: Known<Vec<BootMount>>,
    /// The agent's units, and ours that writes the resources.
    pub units: Known<Vec<UnitOrder>>,
    /// How many errors a root's file system has counted (ext4). `Absent`: it does not count.
    pub errors: BTreeMap<Raw, Known<u64>>,
    /// Who may read and write what is ours.
    pub files: Vec<FileAccess>,
    /// When `.state` was last written, in seconds since 1970. `Absent`: it is not there.
    pub state_written: Known<i64>,
    /// The same of `resources.target`.
    pub info_target_written: Known<i64>,
    /// The frameworks that the master knows. `Absent`: no master is configured.
    pub frameworks: Known<BTreeSet<Raw>>,
    /// What volumes take up; `None`: it was not asked for.
    pub usage: Option<Vec<VolumeUse>>,
    /// What the agent's isolators measured of volumes in use. `Absent`: no agent of ours answers, or it
    /// does not tell us.
    pub measured: Known<Vec<DiskUse>>,
    /// Whether the ledger can be read.
    pub ledger: Known<()>,
    /// The xfs project ids of what lies on ROOT and PATH disks.
    pub projects: Vec<ProjectUse>,
    /// The API's socket. `Absent`: none is configured, or it is not there.
    pub socket: Known<SocketAccess>,
    /// What an operator should know of the configuration although nothing is wrong.
    pub notes: Vec<String>,
}

/// A directory on an xfs, and the project id that it hands on to what is made in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectUse {
    /// The directory.
    pub path: Raw,
    /// The disk it lies on.
    pub disk: DiskRef,
    /// The trash entry, where it is the data of one.
    pub trash: Option<TrashId>,
    /// File system and id, or why that can't be told; `None`: it has none.
    pub project: Result<Option<(DeviceNumber, u32)>, String>,
}

/// Who may connect to the API's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// Where it is.
    pub path: Raw,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u32,
    /// `daemon.socket_group`: its name, and its number where there is such a group; `None` for root alone.
    pub wanted: Option<(String, Option<u32>)>,
}

/// A file system that is mounted at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootMount {
    /// Where.
    pub mount_point: Raw,
    /// Its options.
    pub options: Vec<String>,
    /// The file that says so.
    pub from: Raw,
}

/// What a unit says of its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitOrder {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: Raw,
    /// `After=`.
    pub after: Vec<String>,
    /// `Before=`.
    pub before: Vec<String>,
    /// `RequiresMountsFor=`.
    pub mounts: Vec<String>,
    /// `DefaultDependencies=`.
    pub defaults: bool,
}

/// A file or folder of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAccess {
    /// Where.
    pub path: Raw,
    /// What it is.
    pub what: &'static str,
    /// Owner and permission bits. `Absent`: it is not there.
    pub access: Known<(u32, u32)>,
    /// The bits that nobody but root may have.
    pub forbidden: u32,
}

/// What a volume takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeUse {
    /// The volume.
    pub volume: VolumeKey,
    /// Where it lies.
    pub path: Raw,
    /// Its size in Mesos.
    pub size: Megabytes,
    /// What it takes up, or why that can't be said.
    pub used: Result<Bytes, String>,
}

/// What `--fix` may do: only what can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// Takes the immutable or append-only flag from an entry of a volume whose DESTROY the agent
    /// fails to carry out. `chattr` puts it back.
    ClearFlags {
        /// The volume's directory.
        volume: Raw,
        /// The entry: the volume's directory, or below it.
        at: Raw,
        /// What puts it back.
        undo: String,
    },
    /// Takes bits from the permissions of a file of ours. `chmod` puts them back.
    Restrict {
        /// The file or folder.
        path: Raw,
        /// Its permission bits now.
        from: u32,
        /// Its permission bits then.
        to: u32,
    },
}

impl Fix {
    /// The command that undoes it.
    #[must_use]
    pub fn undo(&self) -> String {
        match self {
            Self::ClearFlags { undo, .. } => undo.clone(),
            Self::Restrict { path, from, .. } => format!("chmod {from:04o} {path}"),
        }
    }
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ClearFlags { at, .. } => {
                write!(f, "take the immutable and append-only flags from {at}")
            }
            Self::Restrict { path, from, to } => {
                write!(
                    f,
                    "change the permissions of {path} from {from:04o} to {to:04o}"
                )
            }
        }
    }
}
