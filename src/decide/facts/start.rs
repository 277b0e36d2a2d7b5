//! What an agent would meet if it started now: its files, its disks, and what it is told.

use std::collections::BTreeMap;
use std::fmt;

use super::{CheckpointFacts, CheckpointFile, DeviceNumber, FileKind, Known, Why};
use crate::mesos::agent_info::AgentInfo;
use crate::mesos::ids::Role;
use crate::units::{Bytes, Raw};

/// `--reconfiguration_policy`: which changes an agent may be started with and keep its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReconfigurationPolicy {
    /// None. Mesos's default, and what agents before 1.5 do.
    #[default]
    Equal,
    /// More of what there is, and new things.
    Additive,
}

impl ReconfigurationPolicy {
    /// The policy that a flag names.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "equal" => Some(Self::Equal),
            "additive" => Some(Self::Additive),
            _ => None,
        }
    }
}

impl fmt::Display for ReconfigurationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Equal => "equal",
            Self::Additive => "additive",
        })
    }
}

/// Where an agent's flags were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagSource {
    /// The arguments and the environment of the agent with this pid.
    Process(i32),
    /// Its `/flags`.
    Http(String),
    /// The unit that starts the agent, with its environment or the packages' files.
    Unit(Raw),
    /// Our own environment, which an `ExecStartPre=` shares with the agent, and these files, where
    /// nothing shows that the agent takes them.
    Files(Vec<Raw>),
    /// Nowhere.
    Nowhere,
}

impl FlagSource {
    /// Whether the agent is known to take what stands here.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        match self {
            Self::Process(_) | Self::Http(_) | Self::Unit(_) => true,
            Self::Files(files) => files.is_empty(),
            Self::Nowhere => false,
        }
    }
}

impl fmt::Display for FlagSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Process(pid) => format!("the agent with pid {pid}"),
            Self::Http(url) => format!("{url}/flags"),
            Self::Unit(file) => file.to_string(),
            Self::Files(files) if files.is_empty() => "the environment".to_owned(),
            Self::Files(files) => {
                let files: Vec<String> = files.iter().map(ToString::to_string).collect();
                files.join(", ")
            }
            Self::Nowhere => "nowhere".to_owned(),
        };
        f.pad(&text)
    }
}

/// An agent's flags, as far as they decide over its start. `Absent`: not given, so that the agent
/// takes its default; `Unknown`: can't be read, and counts as unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFlags {
    /// Where they were read.
    pub source: FlagSource,
    /// The text of `--resources`; of a `file://`, the file's content now.
    pub resources: Known<FlagText>,
    /// `--default_role`.
    pub default_role: Known<Role>,
    /// `--hostname`.
    pub hostname: Known<Raw>,
    /// `--port`, or `--advertise_port` where that is given.
    pub port: Known<i32>,
    /// `--attributes`.
    pub attributes: Known<String>,
    /// `--domain`.
    pub domain: Known<String>,
    /// `--reconfiguration_policy`.
    pub policy: Known<ReconfigurationPolicy>,
    /// `--strict`.
    pub strict: Known<bool>,
    /// `--isolation`.
    pub isolation: Known<String>,
    /// `--xfs_project_range`.
    pub project_range: Known<String>,
    /// The directory that the agent is started in; relative roots are resolved from there.
    pub directory: Known<Raw>,
}

impl AgentFlags {
    /// Flags of which nothing could be read, for this reason.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self {
            source: FlagSource::Nowhere,
            resources: Known::unknown(why),
            default_role: Known::unknown(why),
            hostname: Known::unknown(why),
            port: Known::unknown(why),
            attributes: Known::unknown(why),
            domain: Known::unknown(why),
            policy: Known::unknown(why),
            strict: Known::unknown(why),
            isolation: Known::unknown(why),
            project_range: Known::unknown(why),
            directory: Known::unknown(why),
        }
    }
}

/// A text for `--resources`, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagText {
    /// The text.
    pub text: String,
    /// Where it stands: a file, or in words.
    pub from: String,
}

/// The agent id that `meta/slaves/latest` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LatestAgent {
    /// There is no such link.
    Missing {
        /// Whether there is a folder of an earlier id.
        earlier: bool,
    },
    /// The link leads nowhere.
    Dangling,
    /// This id.
    Id(Raw),
    /// It can't be told.
    Unknown(Why),
}

/// What `mkdir -p` would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MakeOutcome {
    /// Everything is there, if only as a file.
    There,
    /// It would be made.
    Made,
    /// It would fail, with the kernel's words.
    Fails(String),
    /// It can't be told.
    Unknown(Why),
}

/// The file system that a root lies on, or would be made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFilesystem {
    /// Its device number.
    pub device: DeviceNumber,
    /// Where it is mounted.
    pub mount_point: Raw,
    /// Its size; `Unknown` where it was not asked.
    pub total: Known<Bytes>,
}

/// What lies at a root of `--resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootLook {
    /// Its path without links. `Absent`: it, or what a link leads to, is not there.
    pub real: Known<Raw>,
    /// Whether that is the mount point of a mount. `Absent` where there is no such path.
    pub mounted: Known<bool>,
    /// What is there.
    pub kind: Known<FileKind>,
    /// What `mkdir -p` of it would come to.
    pub make: MakeOutcome,
    /// The file system.
    pub filesystem: Known<RootFilesystem>,
    /// Device and inode number, to tell two names of one directory.
    pub node: Known<(DeviceNumber, u64)>,
}

/// What keeps an agent from deleting a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// An immutable flag (`chattr +i`).
    Immutable,
    /// An append-only flag (`chattr +a`).
    AppendOnly,
    /// An active swap file.
    Swap,
    /// Something is mounted there. What is mounted is emptied first.
    Mount,
    /// The file system is read-only.
    ReadOnly,
}

impl ObstacleKind {
    /// The kernel's words when the agent comes to it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Immutable | Self::AppendOnly | Self::Swap => "Operation not permitted",
            Self::Mount => "Device or resource busy",
            Self::ReadOnly => "Read-only file system",
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Immutable => "take the immutable flag away (chattr -i)",
            Self::AppendOnly => "take the append-only flag away (chattr -a)",
            Self::Swap => "turn this swap file off (swapoff)",
            Self::Mount => "unmount it, or its content is deleted too",
            Self::ReadOnly => "mount the file system read-write",
        }
    }
}

impl fmt::Display for ObstacleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Immutable => "is immutable",
            Self::AppendOnly => "is append-only",
            Self::Swap => "is an active swap file",
            Self::Mount => "is a mount point",
            Self::ReadOnly => "lies on a read-only file system",
        })
    }
}

/// Something that keeps an agent from deleting a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// Where.
    pub at: Raw,
    /// What.
    pub kind: ObstacleKind,
}

/// A directory of a volume that a start would make or delete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TouchedVolume {
    /// Where it is.
    pub path: Raw,
    /// Whether the directory itself stays when the volume is deleted: that of a MOUNT does.
    pub keeps_root: bool,
}

/// What lies at the directory of a volume that a start would make or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeLook {
    /// Whether anything is there, if only a link.
    pub exists: Known<bool>,
    /// What `mkdir -p` of it would come to.
    pub make: MakeOutcome,
    /// What keeps it from being deleted, as far as was looked.
    pub obstacles: Vec<Obstacle>,
    /// Whether all of it was looked at.
    pub complete: Known<()>,
}

/// What an agent detects by itself where `--resources` does not name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// Processors that are online.
    pub cpus: Known<u32>,
    /// Main memory.
    pub memory: Known<Bytes>,
    /// The size of the work_dir's file system. `Absent`: `statvfs` fails, and the agent takes its
    /// own default.
    pub disk: Known<Bytes>,
}

/// What an agent would meet if it started now.
#[derive(Clone, Debug, PartialEq)]
pub struct StartFacts {
    /// Its `--work_dir`.
    pub work_dir: Raw,
    /// Whether there is `meta`. `Absent`: no agent ever ran here.
    pub meta: Known<()>,
    /// The four checkpoint files.
    pub checkpoint: CheckpointFacts,
    /// What the agent itself would say of the files that it can't read, by their path below the
    /// work_dir. A damaged file that is not listed may be one that the agent reads all the same.
    pub unreadable: BTreeMap<String, String>,
    /// The agent id that it would recover.
    pub latest: LatestAgent,
    /// That agent's `slave.info`.
    pub info: CheckpointFile<AgentInfo>,
    /// `meta/boot_id`: the boot in which an agent last ran here.
    pub agent_boot: Known<Raw>,
    /// The present boot.
    pub host_boot: Known<Raw>,
    /// Roots by their text.
    pub roots: BTreeMap<Raw, RootLook>,
    /// Directories of volumes by their path.
    pub volumes: BTreeMap<Raw, VolumeLook>,
    /// What it detects.
    pub detected: Detected,
}
