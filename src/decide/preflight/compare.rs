//! What an agent has against what it would have, one line an entry.

use std::fmt;

use crate::decide::facts::{AgentFlags, Known};
use crate::mesos::agent_info::{
    AgentInfo, DEFAULT_PORT, parse_attributes, parse_domain, same_attributes,
};
use crate::mesos::resources::{Entry, Resources};

/// An entry, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What: `MOUNT:/dcos/volume0`, `cpus`, `--hostname`.
    pub what: String,
    /// Its value before; `None`: it was not there.
    pub before: Option<String>,
    /// Its value after; `None`: it is not there.
    pub after: Option<String>,
}

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not at all.
    Same,
    /// In its value.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

impl Change {
    /// The name in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

impl Line {
    /// How it differs.
    #[must_use]
    pub fn change(&self) -> Change {
        match (&self.before, &self.after) {
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (before, after) if before == after => Change::Same,
            (_, _) => Change::Changed,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => write!(f, "{what}: {before}"),
            (Some(before), Some(after)) => write!(f, "{what}: {before} became {after}"),
            (Some(before), None) => write!(f, "{what}: {before} is gone"),
            (None, Some(after)) => write!(f, "{what}: {after} is new"),
            (None, None) => f.write_str(what),
        }
    }
}

/// Every entry of both lists: those of the first in their order, then the new ones.
#[must_use]
pub fn lines(before: &Resources, after: &Resources) -> Vec<Line> {
    let mut left: Vec<&Entry> = after.entries().iter().collect();
    // The same value first: a root may be there more than once.
    let mut paired: Vec<(&Entry, Option<&Entry>)> = before
        .entries()
        .iter()
        .map(|old| {
            let same = |new: &&Entry| new.same_metadata(old) && new.same_value(old);
            (
                old,
                left.iter().position(same).map(|index| left.remove(index)),
            )
        })
        .collect();
    for (old, new) in &mut paired {
        if new.is_none() {
            *new = left
                .iter()
                .position(|entry| entry.same_metadata(old))
                .map(|index| left.remove(index));
        }
    }
    let kept = paired.into_iter().map(|(old, new)| Line {
        what: old.label(),
        before: Some(old.value_text()),
        after: new.map(|new| {
            if new.same_value(old) {
                old.value_text()
            } else {
                new.value_text()
            }
        }),
    });
    let added = left.into_iter().map(|entry| Line {
        what: entry.label(),
        before: None,
        after: Some(entry.value_text()),
    });
    kept.chain(added).collect()
}

/// The entries that differ.
pub(super) fn compare(before: &Resources, after: &Resources) -> Vec<Line> {
    lines(before, after)
        .into_iter()
        .filter(|line| line.change() != Change::Same)
        .collect()
}

/// The flags that differ from what the agent registered with.
pub(super) fn flag_lines(flags: &AgentFlags, earlier: &AgentInfo) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut differ = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            lines.push(Line {
                what: what.to_owned(),
                before,
                after,
            });
        }
    };
    if let Known::Known(hostname) = &flags.hostname {
        differ(
            "--hostname",
            Some(earlier.hostname.to_string()),
            Some(hostname.to_string()),
        );
    }
    let port = match flags.port {
        Known::Known(port) => port,
        Known::Absent => DEFAULT_PORT,
        Known::Unknown(_) => earlier.port(),
    };
    differ(
        "--port",
        Some(earlier.port().to_string()),
        Some(port.to_string()),
    );
    let attributes = match &flags.attributes {
        Known::Known(text) => parse_attributes(text).unwrap_or_else(|_refused| Vec::new()),
        Known::Absent => Vec::new(),
        Known::Unknown(_) => earlier.attributes.clone(),
    };
    if !same_attributes(&earlier.attributes, &attributes) {
        let text = |all: &[crate::mesos::agent_info::Attribute]| {
            let all: Vec<String> = all
                .iter()
                .map(|one| format!("{}:{}", one.name(), one.value_text()))
                .collect();
            (!all.is_empty()).then(|| all.join(";"))
        };
        differ("--attributes", text(&earlier.attributes), text(&attributes));
    }
    let domain = match &flags.domain {
        // A start is refused for a bad one before anything is compared.
        Known::Known(text) => parse_domain(text).ok(),
        Known::Absent => None,
        Known::Unknown(_) => earlier.domain.clone(),
    };
    differ(
        "--domain",
        earlier
            .domain
            .as_ref()
            .map(crate::mesos::agent_info::Domain::json),
        domain.as_ref().map(crate::mesos::agent_info::Domain::json),
    );
    lines
}
