//! `--reconfiguration_policy`: which `SlaveInfo` an agent may come back with
//! (src/slave/compatibility.cpp).

use crate::decide::facts::{AgentFlags, Known, ReconfigurationPolicy};
use crate::mesos::agent_info::{
    AgentInfo, AttributeType, Domain, FlagError, parse_attributes, parse_domain,
};
use crate::mesos::resources::{Entry, Resources};

/// What the agent would say of itself. What can't be read counts as unchanged.
pub(super) fn offered(
    flags: &AgentFlags,
    resources: &Resources,
    earlier: &AgentInfo,
) -> Result<AgentInfo, FlagError> {
    Ok(AgentInfo {
        // Without the flag the agent asks its resolver, which is not ours to ask.
        hostname: flags.hostname.known().unwrap_or(&earlier.hostname).clone(),
        port: match &flags.port {
            Known::Known(port) => Some(*port),
            Known::Absent => Some(crate::mesos::agent_info::DEFAULT_PORT),
            Known::Unknown(_) => earlier.port,
        },
        resources: resources.clone(),
        attributes: match &flags.attributes {
            Known::Known(text) => parse_attributes(text)?,
            Known::Absent => Vec::new(),
            Known::Unknown(_) => earlier.attributes.clone(),
        },
        id: earlier.id.clone(),
        checkpoint: Some(true),
        domain: match &flags.domain {
            Known::Known(text) => Some(parse_domain(text)?),
            Known::Absent => None,
            Known::Unknown(_) => earlier.domain.clone(),
        },
    })
}

/// Whether the policy allows it; otherwise the agent's words.
pub(super) fn compatible(
    policy: ReconfigurationPolicy,
    earlier: &AgentInfo,
    now: &AgentInfo,
) -> Result<(), String> {
    match policy {
        ReconfigurationPolicy::Equal => equal(earlier, now),
        ReconfigurationPolicy::Additive => additive(earlier, now),
    }
}

const LINE: &str = "\n------------------------------------------------------------";

fn equal(earlier: &AgentInfo, now: &AgentInfo) -> Result<(), String> {
    if earlier.equals(now) {
        return Ok(());
    }
    Err([
        "Incompatible agent info detected. ",
        LINE,
        &format!("Old agent info:\n{}", earlier.debug_string()),
        LINE,
        &format!("New agent info:\n{}", now.debug_string()),
        LINE,
    ]
    .join("\n"))
}

const REFUSED: &str = "Configuration change not permitted under 'additive' policy";
// With the quotes that the agent has there.
const REFUSED_INFO: &str = "Configuration change not permitted under `additive` policy";

fn additive(earlier: &AgentInfo, now: &AgentInfo) -> Result<(), String> {
    if earlier.hostname != now.hostname {
        return Err(format!(
            "{REFUSED_INFO}: Hostname changed from {} to {}",
            super::disks::text(&earlier.hostname),
            super::disks::text(&now.hostname)
        ));
    }
    if earlier.port() != now.port() {
        return Err(format!(
            "{REFUSED_INFO}: Port changed from {} to {}",
            earlier.port(),
            now.port()
        ));
    }
    if let Some(domain) = &earlier.domain
        && now.domain.as_ref() != Some(domain)
    {
        let after = now.domain.as_ref().map_or("{}".to_owned(), Domain::json);
        return Err(format!(
            "{REFUSED_INFO}: Domain changed from {} to {after}",
            domain.json()
        ));
    }
    for entry in earlier.resources.entries() {
        kept(entry, &now.resources)?;
    }
    attributes(earlier, now)
}

fn kept(entry: &Entry, now: &Resources) -> Result<(), String> {
    let Some(found) = now.matching(entry) else {
        return Err(format!("{REFUSED}. Resource not found: {entry}"));
    };
    if entry.at_most(found) {
        return Ok(());
    }
    let (name, before, after) = (entry.name(), entry.value_text(), found.value_text());
    Err(match before.as_bytes().first() {
        Some(b'[') => format!(
            "{REFUSED}: Previous value of range resource '{name}' ({before}) not included in \
             current {after}"
        ),
        Some(b'{') => format!(
            "{REFUSED}: Previous value of set resource '{name}' ({before}) not included in \
             current {after}"
        ),
        Some(_) | None => format!(
            "{REFUSED}: Value of scalar resource '{name}' decreased from {before} to {after}"
        ),
    })
}

fn attributes(earlier: &AgentInfo, now: &AgentInfo) -> Result<(), String> {
    for before in &earlier.attributes {
        let name = before.name();
        let Some(after) = now.attributes.iter().find(|one| one.name() == name) else {
            return Err(format!("{REFUSED}: Couldn't find attribute {before}"));
        };
        if before.kind() != after.kind() {
            return Err(format!(
                "{REFUSED}: Type of attribute '{name}' changed from {} to {}",
                before.kind().number(),
                after.kind().number()
            ));
        }
        let (old, new) = (before.value_text(), after.value_text());
        match before.kind() {
            AttributeType::Ranges if !before.ranges_within(after) => {
                return Err(format!(
                    "Previous value of ranges resource '{name}' ({old}) not included in current \
                     {new}"
                ));
            }
            AttributeType::Scalar if !before.same_value(after) => {
                return Err(format!(
                    "{REFUSED}: Value of scalar attribute '{name}' changed from {old} to {new}"
                ));
            }
            AttributeType::Text if !before.same_value(after) => {
                return Err(format!(
                    "{REFUSED}: Value of text attribute '{name}' changed from {old} to {new}"
                ));
            }
            AttributeType::Ranges | AttributeType::Scalar | AttributeType::Text => {}
        }
    }
    Ok(())
}
