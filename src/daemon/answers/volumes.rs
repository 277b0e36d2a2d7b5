//! What is on this host: `volumes list`, `GET /v1/volumes`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::alarms::Alarm;
use super::{Disk, Name, Why, whys};
use crate::decide::authority::our_agents;
use crate::decide::facts::{AgentAnswer, CheckpointFile, Facts, Known, Why as Cause};
use crate::decide::listing::{Listing, VolumeRow, VolumeState};
use crate::decide::plan::Plan;
use crate::decide::steps::TrashId;
use crate::observe::usage::Usage;
use crate::units::{Megabytes, Raw};

/// Volumes, and what is known of those who name them.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Volumes<'a> {
    /// One a volume and disk.
    #[cfg_attr(test, schemars(with = "Vec<Volume>"))]
    pub volumes: Rows<'a>,
    /// Each authority with how it was read.
    pub authorities: Authorities,
    /// What is doubtful about the authorities as a whole; empty when all is well.
    pub doubts: Vec<Why>,
    /// Volumes that are mounted or used as they should not be; null where that can't be seen.
    pub alarms: Option<Vec<Alarm>>,
}

/// Rows, each of which is a [`Volume`] only while it is written: an answer about very many volumes is
/// never there as a whole but in its text.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    rows: &'a [VolumeRow],
    /// What each takes up, where that was looked at.
    used: Option<&'a [Result<Usage, String>]>,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().enumerate().map(|(at, row)| Volume {
            usage: self.used.and_then(|used| used.get(at)).map(Used::from),
            ..volume(row)
        }))
    }
}

/// A volume, a leftover, or a trash entry.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Volume {
    /// The persistence id; null for something that can't be a volume.
    pub id: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_base64: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_base64: Option<String>,
    /// The disk; null where only a task names the volume.
    pub disk: Option<Disk>,
    /// Where it lies or would lie.
    pub path: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// Its state.
    #[cfg_attr(test, schemars(with = "super::schemas::VolumeStates"))]
    pub state: VolumeState,
    /// The size that Mesos gives or gave it.
    pub size_mb: Option<f64>,
    /// Who reserved it.
    pub principal: Option<String>,
    /// Marathon's names, where it made the id.
    pub app: Option<App>,
    /// The trash entry, where it is one.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub trash: Option<TrashId>,
    /// Every reason it is kept for, or what is wrong with it.
    pub reasons: Vec<Why>,
    /// What it takes up, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Used>,
}

/// The parts of a persistence id that Marathon made.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct App {
    /// The app's id, in which `/` of the path became `_`.
    pub app: String,
    /// The volume's path inside the container.
    pub container_path: String,
    /// The volume's own id.
    pub uuid: String,
}

/// What a volume takes up, or why that can't be said.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Used {
    /// As it was counted.
    Counted(#[cfg_attr(test, schemars(with = "super::schemas::Object"))] Usage),
    /// It was not.
    Unknown {
        /// Why.
        error: String,
    },
}

impl From<&Result<Usage, String>> for Used {
    fn from(used: &Result<Usage, String>) -> Self {
        match used {
            Ok(usage) => Self::Counted(*usage),
            Err(why) => Self::Unknown {
                error: Raw::from(why.as_str()).to_string(),
            },
        }
    }
}

/// Each authority by its name, and the agent's processes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Authorities {
    /// How each was read.
    #[serde(flatten)]
    pub by_name: BTreeMap<&'static str, AuthorityRead>,
    /// Processes that are the agent of this work_dir.
    pub agent_pids: Vec<i32>,
}

/// How an authority was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct AuthorityRead {
    /// How.
    pub state: AuthorityState,
    /// What is to be said of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far an authority can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum AuthorityState {
    /// It was read whole.
    Known,
    /// It is certain that there is none.
    Absent,
    /// It has 0 bytes, which may mean that nothing is held.
    Empty,
    /// It could not be told; every volume is kept.
    Unknown,
}

impl AuthorityState {
    /// Whether it tells what is so.
    #[must_use]
    pub const fn is_good(self) -> bool {
        match self {
            Self::Known | Self::Absent | Self::Empty => true,
            Self::Unknown => false,
        }
    }
}

/// The names of the authorities, which are the keys of JSON and the labels of metrics.
pub const AUTHORITIES: [&str; 10] = [
    "resources_and_operations.state",
    "resources_and_operations.target",
    "resources.info",
    "resources.target",
    "resource_providers",
    "tasks",
    "agent_processes",
    "agent_state",
    "holders",
    "memory",
];

/// `used` holds what each row takes up, in the order of the rows, where that was looked at.
#[must_use]
pub fn volumes<'a>(
    listing: &'a Listing,
    facts: &Facts,
    plan: &Plan,
    used: Option<&'a [Result<Usage, String>]>,
) -> Volumes<'a> {
    Volumes {
        volumes: Rows {
            rows: &listing.rows,
            used,
        },
        authorities: authorities(facts),
        doubts: whys(&plan.doubts),
        alarms: listing
            .alarms
            .known()
            .map(|alarms| alarms.iter().map(Alarm::from).collect()),
    }
}

/// One row.
#[must_use]
pub fn volume(row: &VolumeRow) -> Volume {
    let id = row.key.as_ref().map(|key| Name::from(key.id.as_raw()));
    let role = row.key.as_ref().map(|key| Name::from(key.role.as_raw()));
    let path = Name::from(&row.path);
    let base64 = |name: &Option<Name>| name.as_ref().and_then(|name| name.base64.clone());
    Volume {
        id_base64: base64(&id),
        role_base64: base64(&role),
        id: id.map(|name| name.text),
        role: role.map(|name| name.text),
        disk: row.disk.as_ref().map(Disk::from),
        path: path.text,
        path_base64: path.base64,
        state: row.state,
        size_mb: row.size.map(Megabytes::as_f64),
        principal: row.principal.as_ref().map(ToString::to_string),
        app: row
            .key
            .as_ref()
            .and_then(|key| key.id.marathon())
            .map(|app| App {
                app: app.app,
                container_path: app.container_path,
                uuid: app.uuid,
            }),
        trash: row.trash.clone(),
        reasons: whys(&row.reasons),
        usage: None,
    }
}

/// Each authority with how it was read.
#[must_use]
pub fn authorities(facts: &Facts) -> Authorities {
    let read = |state, reason: Option<&str>| AuthorityRead {
        state,
        reason: reason.map(ToOwned::to_owned),
    };
    let unknown = |why: &Cause| read(AuthorityState::Unknown, Some(&why.0));
    let answer = match &facts.answer {
        AgentAnswer::NotConfigured => read(AuthorityState::Absent, Some("agent.url is empty")),
        AgentAnswer::Refused => read(AuthorityState::Absent, Some("connection refused")),
        AgentAnswer::Recovering => read(AuthorityState::Unknown, Some("the agent recovers")),
        AgentAnswer::Unknown(why) => unknown(why),
        AgentAnswer::State(_) => read(AuthorityState::Known, None),
    };
    // No bytes are legal in resources.info ("nothing"), and a lost write in the newer file.
    let checkpoint = &facts.checkpoint;
    let reads = [
        file(&checkpoint.state, AuthorityState::Unknown),
        file(&checkpoint.state_target, AuthorityState::Unknown),
        file(&checkpoint.info, AuthorityState::Empty),
        file(&checkpoint.info_target, AuthorityState::Empty),
        known(&facts.providers),
        known(&facts.tasks),
        known(&facts.agent.processes),
        answer,
        known(&facts.holders),
        known(&facts.memory),
    ];
    Authorities {
        by_name: AUTHORITIES.into_iter().zip(reads).collect(),
        agent_pids: our_agents(&facts.agent),
    }
}

fn known<T>(value: &Known<T>) -> AuthorityRead {
    let (state, reason) = match value {
        Known::Known(_) => (AuthorityState::Known, None),
        Known::Absent => (AuthorityState::Absent, None),
        Known::Unknown(why) => (AuthorityState::Unknown, Some(why.0.clone())),
    };
    AuthorityRead { state, reason }
}

fn file<T>(file: &CheckpointFile<T>, empty: AuthorityState) -> AuthorityRead {
    let (state, reason) = match file {
        CheckpointFile::Whole(_) => (AuthorityState::Known, None),
        CheckpointFile::Missing => (AuthorityState::Absent, None),
        CheckpointFile::Empty => (empty, Some("it has 0 bytes".to_owned())),
        CheckpointFile::Damaged(why) => (AuthorityState::Unknown, Some(why.0.clone())),
    };
    AuthorityRead { state, reason }
}
