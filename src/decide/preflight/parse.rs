//! From the text to what the agent would offer: its own reading, the default role, and what it
//! detects by itself (src/slave/containerizer/containerizer.cpp).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::PreflightInput;
use crate::decide::facts::{Detected, Known};
use crate::mesos::agent_info::AgentInfo;
use crate::mesos::ids::Role;
use crate::mesos::resources::{Entry, Place, Resources};
use crate::mesos::resources_json::{ResourcesError, read_resources, unknown_keys};
use crate::units::{Bytes, MIB};

/// What an agent offers with a text.
pub(super) struct Parsed {
    pub(super) resources: Resources,
    /// What it detects and we can't.
    pub(super) doubts: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// `DEFAULT_DISK` (src/slave/constants.hpp), where `statvfs` fails.
const DEFAULT_DISK: u64 = 10 << 10;
/// `DEFAULT_PORTS`.
const DEFAULT_PORTS: &str = "[31000-32000]";

pub(super) fn resources(input: &PreflightInput) -> Result<Parsed, ResourcesError> {
    let earlier = input.facts.info.whole();
    let role = default_role(&input.flags.default_role, earlier);
    let read = read_resources(&input.text.text, &role)?;
    let mut parsed = Parsed {
        resources: read.resources,
        doubts: Vec::new(),
        warnings: unknown_keys(&input.text.text)
            .into_iter()
            .map(|key| {
                format!(
                    "Mesos does not know the key {key} and ignores it; a misspelt `disk` or \
                     `source` makes a disk a part of ROOT"
                )
            })
            .collect(),
    };
    detect(
        &mut parsed,
        &read.named,
        &input.facts.detected,
        &role,
        earlier,
    );
    let has_root = parsed
        .resources
        .entries()
        .iter()
        .any(|entry| entry.place() == Place::Root);
    if read.named.contains("disk") && !has_root {
        parsed.warnings.push(
            "no ROOT disk is offered: the text names another disk, and then the agent detects \
             none by itself"
                .to_owned(),
        );
    }
    Ok(parsed)
}

/// The default role; where the flag can't be read, the one to which everything was reserved at the
/// first registration.
#[must_use]
pub fn default_role(flag: &Known<Role>, earlier: Option<&AgentInfo>) -> Role {
    let unreserved = Role::new("*");
    match flag {
        Known::Known(role) => role.clone(),
        Known::Absent => unreserved,
        Known::Unknown(_) => {
            let entries = earlier.map_or(&[][..], |info| info.resources.entries());
            let roles: BTreeSet<Option<Role>> = entries.iter().map(Entry::role).collect();
            match (roles.first(), roles.len()) {
                (Some(Some(role)), 1) => role.clone(),
                _ => unreserved,
            }
        }
    }
}

/// What is not named is detected: with our own look where that is possible, and otherwise it counts
/// as unchanged.
fn detect(
    parsed: &mut Parsed,
    named: &BTreeSet<String>,
    detected: &Detected,
    role: &Role,
    earlier: Option<&AgentInfo>,
) {
    let found = [
        ("cpus", detected.cpus.clone().map(|cpus| cpus.to_string())),
        ("gpus", Known::Absent),
        (
            "mem",
            detected
                .memory
                .clone()
                .map(|total| share(total, 2 << 30, 1 << 30)),
        ),
        (
            "disk",
            match &detected.disk {
                Known::Absent => Known::Known(DEFAULT_DISK.to_string()),
                disk @ (Known::Known(_) | Known::Unknown(_)) => {
                    disk.clone().map(|total| share(total, 10 << 30, 5 << 30))
                }
            },
        ),
        ("ports", Known::Known(DEFAULT_PORTS.to_owned())),
    ];
    for (name, value) in found {
        if named.contains(name) {
            continue;
        }
        if let Known::Known(value) = &value
            && let Ok(read) = read_resources(&format!("{name}:{value}"), role)
        {
            for entry in read.resources.entries() {
                parsed.resources.add(entry);
            }
            continue;
        }
        let before: Vec<_> = earlier
            .iter()
            .flat_map(|info| info.resources.entries())
            .filter(|entry| entry.name() == name)
            .collect();
        for entry in &before {
            parsed.resources.add(entry);
        }
        if let (Known::Unknown(why), true) = (&value, before.is_empty()) {
            parsed
                .doubts
                .push(format!("what the agent detects as {name}: {why}"));
        }
    }
}

/// The rule for memory and disk: from a size on all but a fixed part, below it the half.
fn share(total: Bytes, from: u64, less: u64) -> String {
    let bytes = if total.0 >= from {
        total.0.saturating_sub(less)
    } else {
        total.0 / 2
    };
    (bytes / MIB).to_string()
}

/// What is wrong with a text that the agent refuses in words about something else: it takes any
/// mistake in the JSON for the simple form.
pub(super) fn hint(text: &str) -> Option<String> {
    if !text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with(['[', '{', '/'])
    {
        return None;
    }
    let falls_through = "so the agent reads the text as `name:value;…`";
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Array(_)) => None,
        Ok(_) => Some(format!("the JSON is no array, {falls_through}")),
        Err(_) if text.starts_with('/') && !text.starts_with("//") => {
            Some("a path alone is not read as a file: write file:///absolute/path".to_owned())
        }
        Err(error) => Some(format!("the JSON has a mistake ({error}), {falls_through}")),
    }
}
