//! What `marathon wipe` has begun.
//!
//! Once Marathon has dropped an instance it tells nothing of it any more, not even which volumes it had:
//! without a note of our own, a command that was cut short could not be ended.

use serde::{Deserialize, Serialize};

/// `marathon.json` in `state_dir`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarathonWipes {
    /// Version of this structure; see [`MarathonWipes::VERSION`].
    pub version: u32,
    /// What was begun and not seen to its end.
    pub wipes: Vec<MarathonWipe>,
}

impl Default for MarathonWipes {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            wipes: Vec::new(),
        }
    }
}

impl MarathonWipes {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
    /// The file's name in `state_dir`.
    pub const NAME: &str = "marathon.json";
}

/// An instance that Marathon was, or was about to be, told to wipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarathonWipe {
    /// Its app or pod.
    pub app: String,
    /// Its id.
    pub instance: String,
    /// The host that it was pinned to.
    pub host: Option<String>,
    /// The agent that it was pinned to.
    pub agent: Option<String>,
    /// The persistence ids of its volumes.
    pub volumes: Vec<String>,
    /// Whether they lay on the host of this `state_dir`.
    pub here: bool,
    /// Whether the sidecar of their host, another one, knew them then: only one that did can tell that
    /// they are gone.
    pub known_there: bool,
    /// Seconds since 1970.
    pub began_at: i64,
}
