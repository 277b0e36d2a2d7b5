//! Volumes that are mounted or used as they should not be.

use serde::Serialize;

use super::{Disk, Name};
use crate::decide::facts::RunEnd;
use crate::decide::radar::{self, AlarmKind};

/// An alarm of the radar.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Alarm {
    /// The stable code.
    #[cfg_attr(test, schemars(with = "super::schemas::AlarmKinds"))]
    pub code: AlarmKind,
    /// The volume's role.
    pub role: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_base64: Option<String>,
    /// The volume's persistence id.
    pub id: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_base64: Option<String>,
    /// The disk that it lies on.
    pub disk: Disk,
    /// Where it lies.
    pub path: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// Seconds since 1970 when it was first seen; null where there are too many to remember.
    pub since: Option<i64>,
    /// Lived time since then, in seconds.
    pub seen_for_seconds: u64,
    /// Who uses it.
    pub users: Vec<User>,
    /// All of it in a sentence.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Somebody who uses a volume.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct User {
    /// The container, where one could be told.
    pub container: Option<String>,
    /// By what it is known to have ended: `sentinel` or `process_gone`; null where nothing says so.
    pub ended: Option<&'static str>,
    /// How the volume is used.
    pub how: String,
    /// The mount namespace, where it is not that of pid 1.
    pub mount_namespace: Option<String>,
    /// The first processes that live there.
    pub pids: Vec<i32>,
    /// The name of the first.
    pub command: String,
}

impl From<&radar::Alarm> for Alarm {
    fn from(alarm: &radar::Alarm) -> Self {
        let role = Name::from(alarm.volume.role.as_raw());
        let id = Name::from(alarm.volume.id.as_raw());
        let path = Name::from(&alarm.path);
        Self {
            code: alarm.kind,
            role: role.text,
            role_base64: role.base64,
            id: id.text,
            id_base64: id.base64,
            disk: Disk::from(&alarm.disk),
            path: path.text,
            path_base64: path.base64,
            since: alarm.since,
            seen_for_seconds: alarm.seen_for.0.as_secs(),
            users: alarm.users.iter().map(User::from).collect(),
            reason: alarm.to_string(),
            remedy: alarm.kind.remedy(),
        }
    }
}

impl From<&radar::User> for User {
    fn from(user: &radar::User) -> Self {
        Self {
            container: user.container.as_ref().map(ToString::to_string),
            ended: user.ended.map(|end| match end {
                RunEnd::Sentinel => "sentinel",
                RunEnd::ProcessGone(_) => "process_gone",
            }),
            how: user.how.clone(),
            mount_namespace: user.namespace.as_ref().map(ToString::to_string),
            pids: user.pids.clone(),
            command: user.command.to_string(),
        }
    }
}
