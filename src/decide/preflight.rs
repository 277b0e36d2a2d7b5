//! Will the agent recover? An agent's checks at its start, re-implemented in its order and with its
//! words (src/slave/slave.cpp, src/slave/state.cpp; F§1, F§3.4, F§6).
//!
//! ```text
//! text ─► parse ─► disks ─► checkpoint ─► replay of targets ─► fit ─► policy ─► pending operations
//!          │         │          │                │             │        │              │
//!          └─────────┴──────────┴──── refuses ───┴─────────────┘        │ rebooted     └ refuses
//!                                                                       ▼
//!                                                               new agent id
//! ```
//!
//! What can't be told does not end the walk: a later check may refuse whatever the answer. Only the
//! start is judged; what would go wrong later is a warning.

pub mod compare;
mod disks;
mod fit;
mod judge;
pub mod missing;
mod parse;
mod policy;
mod remedy;
mod replay;
mod warnings;

use std::collections::BTreeSet;
use std::fmt;

use super::facts::{AgentFlags, FlagText, Known, ReconfigurationPolicy, StartFacts, TouchedVolume};
use crate::mesos::ids::VolumeKey;
use crate::mesos::resources::{Entry, Resources};
use crate::units::Raw;
use compare::Line;
use judge::{Judged, Question};

pub use parse::default_role;
pub use remedy::{Edit, Remedy};

/// Everything that the verdict depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct PreflightInput {
    /// What the agent would meet.
    pub facts: StartFacts,
    /// Its flags.
    pub flags: AgentFlags,
    /// The `--resources` to be judged.
    pub text: FlagText,
    /// Its `--reconfiguration_policy`.
    pub policy: ReconfigurationPolicy,
    /// Whether the host has rebooted since an agent last ran.
    pub rebooted: Known<bool>,
}

/// A check of the agent, in the order in which it makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The text of `--resources`.
    Resources,
    /// The disks that it names.
    Disks,
    /// `--attributes` and `--domain`.
    Flags,
    /// Its own files can be read.
    Checkpoint,
    /// Resources that were not committed are: directories are made and deleted.
    Replay,
    /// What is reserved and what are volumes fits into `--resources`.
    Fit,
    /// What it offers is what it registered with, as far as the policy wants it.
    Policy,
    /// Operations that were not finished are.
    Operations,
}

impl Check {
    /// The name in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Disks => "disks",
            Self::Flags => "flags",
            Self::Checkpoint => "checkpoint",
            Self::Replay => "replay",
            Self::Fit => "fit",
            Self::Policy => "policy",
            Self::Operations => "operations",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a start ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, with the id that it had.
    Recovers {
        /// Nothing is there to recover: it registers for the first time.
        first_start: bool,
    },
    /// It exits.
    Refuses {
        /// The check.
        check: Check,
        /// What its log says behind `EXIT with status 1: `, without the advice that follows; of an
        /// abort, the failed check.
        text: String,
        /// Whether this happens only once: the start after it gets further.
        once: bool,
    },
    /// It runs with a new agent id. Volumes and reservations stay.
    NewAgentId {
        /// Why it can't keep the old one.
        why: String,
    },
    /// Not enough is known.
    CannotTell {
        /// What is not known.
        why: Vec<String>,
    },
}

/// Data that a start deletes: the rest of a DESTROY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The volume.
    pub volume: VolumeKey,
    /// Its directory.
    pub path: Raw,
}

/// The verdict with everything that helps.
#[derive(Clone, Debug, PartialEq)]
pub struct PreflightReport {
    /// How the start ends.
    pub verdict: Verdict,
    /// What the agent's own words hide.
    pub hint: Option<String>,
    /// What it would offer, with what it detects by itself. Empty where the text is refused.
    pub resources: Resources,
    /// Where that differs from what it registered with.
    pub differences: Vec<Line>,
    /// Data that the start deletes.
    pub deletes: Vec<Deletion>,
    /// What would go wrong later.
    pub warnings: Vec<String>,
    /// What keeps the agent.
    pub remedy: Remedy,
}

/// Judges a start.
#[must_use]
pub fn preflight(input: &PreflightInput) -> PreflightReport {
    let parsed = match parse::resources(input) {
        Ok(parsed) => parsed,
        Err(error) => {
            return PreflightReport {
                verdict: Verdict::Refuses {
                    check: Check::Resources,
                    text: error.to_string(),
                    once: false,
                },
                hint: parse::hint(&input.text.text),
                resources: Resources::default(),
                differences: Vec::new(),
                deletes: Vec::new(),
                warnings: Vec::new(),
                remedy: Remedy::default(),
            };
        }
    };
    let question = Question {
        facts: &input.facts,
        flags: &input.flags,
        policy: input.policy,
        rebooted: &input.rebooted,
    };
    let judged = judge::judge(&question, &parsed.resources);
    let remedy = remedy::remedy(&question, &parsed.resources, &judged);
    let mut warnings = parsed.warnings;
    warnings.extend(warnings::of_disks(&parsed.resources, &input.facts));
    warnings.extend(judged.warnings.iter().cloned());
    let verdict = with_doubts(judged.verdict.clone(), parsed.doubts);
    let Judged {
        deletes,
        differences,
        ..
    } = judged;
    PreflightReport {
        verdict,
        hint: None,
        resources: parsed.resources,
        differences,
        deletes,
        warnings,
        remedy,
    }
}

/// A start that would go well goes well only if nothing else is in doubt.
fn with_doubts(verdict: Verdict, doubts: Vec<String>) -> Verdict {
    if doubts.is_empty() {
        return verdict;
    }
    match verdict {
        Verdict::Recovers { .. } | Verdict::NewAgentId { .. } => {
            Verdict::CannotTell { why: doubts }
        }
        Verdict::CannotTell { mut why } => {
            why.extend(doubts);
            Verdict::CannotTell { why }
        }
        refuses @ Verdict::Refuses { .. } => refuses,
    }
}

/// Every root that a start with these resources looks at, and that what the agent's files name.
#[must_use]
pub fn roots(input: &PreflightInput) -> Vec<Raw> {
    let mut roots: Vec<Raw> = Vec::new();
    let mut seen: BTreeSet<Raw> = BTreeSet::new();
    let mut add = |resources: &Resources| {
        for entry in resources.entries() {
            if let Some(root) = root_of(entry)
                && seen.insert(root.clone())
            {
                roots.push(root);
            }
        }
    };
    if let Ok(parsed) = parse::resources(input) {
        add(&parsed.resources);
    }
    if let Some(info) = input.facts.info.whole() {
        add(&info.resources);
    }
    add(&replay::everything(&input.facts.checkpoint));
    roots
}

/// The directories that a start may make or delete.
#[must_use]
pub fn volumes(facts: &StartFacts) -> Vec<TouchedVolume> {
    replay::touched(facts)
}

/// The root of a PATH or MOUNT entry.
fn root_of(entry: &Entry) -> Option<Raw> {
    use crate::mesos::resources::Place;
    match entry.place() {
        Place::Path(root) | Place::Mount(root) => root,
        Place::NoDisk | Place::Root | Place::EmptyDiskInfo | Place::Unsupported => None,
    }
}

/// A file below `meta`, as the agent names it.
fn meta_path(facts: &StartFacts, relative: &str) -> Raw {
    facts.work_dir.join(relative)
}
