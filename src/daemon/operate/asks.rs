//! The asks themselves, as the socket takes them: the body of each route.

use serde::{Deserialize, Serialize};

pub use crate::daemon::destroy::Destroy;
use crate::decide::facts::WipeMode;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `sweep`.
    Sweep(Sweep),
    /// `trash purge`.
    Purge(Purge),
    /// `trash restore`.
    Restore(Restore),
    /// `wipe`.
    Wipe(Wipe),
    /// `volumes recreate`.
    Recreate(Recreate),
    /// `disk accept`.
    Accept(Accept),
    /// `volumes adopt`.
    Adopt(Adopt),
    /// `volumes destroy`.
    Destroy(Destroy),
}

/// One pass over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sweep {
    /// An empty checkpoint is right as it is; in force after a full grace period.
    pub accept_empty: bool,
    /// Up to so many steps without a witnessed destroy are wanted now.
    pub confirm_brake: Option<u32>,
}

/// Trash entries that are to go now, whatever their retention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Purge {
    /// Their names, as `GET /v1/trash` has them.
    pub entries: Vec<String>,
    /// Every entry; then none is named.
    pub all: bool,
}

/// A trash entry that is to go back to its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restore {
    /// Its name, as `GET /v1/trash` has it.
    pub entry: String,
}

/// A volume that is to be wiped now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Wipe {
    /// As role/persistence-id, or its path.
    pub volume: String,
    /// The persistence id again.
    pub confirm: String,
    /// What is promised; null for what the configuration says.
    #[serde(default)]
    #[cfg_attr(
        test,
        schemars(with = "Option<crate::daemon::answers::schemas::WipeModes>")
    )]
    pub mode: Option<WipeMode>,
    /// What the mode can't guarantee is refused, with nothing touched.
    #[serde(default)]
    pub strict: bool,
}

/// A held volume whose missing directory is to be made again, empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recreate {
    /// As role/persistence-id.
    pub volume: String,
    /// The persistence id again.
    pub confirm: String,
}

/// A root that is right as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Accept {
    /// The root, as Mesos spells it.
    pub root: String,
}

/// A volume that nobody names and that is wanted all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Adopt {
    /// As role/persistence-id.
    pub volume: String,
    /// On this disk only, as Mesos spells its root; null for every one where it lies. A MOUNT disk has
    /// to be named.
    #[serde(default)]
    pub root: Option<String>,
    /// The mark is taken back.
    #[serde(default)]
    pub undo: bool,
}

impl Ask {
    /// The name of its route and in the audit log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sweep(_) => "sweep",
            Self::Purge(_) => "purge",
            Self::Restore(_) => "restore",
            Self::Wipe(_) => "wipe",
            Self::Recreate(_) => "recreate",
            Self::Accept(_) => "accept",
            Self::Adopt(_) => "adopt",
            Self::Destroy(_) => "destroy",
        }
    }

    /// Its parameters, as JSON.
    #[must_use]
    pub fn body(&self) -> serde_json::Value {
        match self {
            Self::Sweep(sweep) => serde_json::json!(sweep),
            Self::Purge(purge) => serde_json::json!(purge),
            Self::Restore(restore) => serde_json::json!(restore),
            Self::Wipe(wipe) => serde_json::json!(wipe),
            Self::Recreate(recreate) => serde_json::json!(recreate),
            Self::Accept(accept) => serde_json::json!(accept),
            Self::Adopt(adopt) => serde_json::json!(adopt),
            Self::Destroy(destroy) => serde_json::json!(destroy),
        }
    }
}
