//! `--resources` as the agent reads it (src/common/resources.cpp, src/common/values.cpp,
//! src/slave/slave.cpp): a JSON array, or else `name(role):value;…`, with Mesos's own refusals.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::json;
use crate::mesos::checkpoint::{normalise, wire};
use crate::mesos::ids::Role;
use crate::mesos::resource::Resource;
use crate::mesos::resources::{Entry, Resources, SourceFault, joined, lossy};
use crate::units::Megabytes;

/// Why an agent with this text for `--resources` does not start, in the words of its log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// The text is refused.
    #[error("Failed to determine agent resources: {0}")]
    Refused(String),
    /// A disk is refused before the file system is looked at.
    #[error("{0}")]
    Disk(String),
    /// The agent aborts.
    #[error("Check failed: {0}")]
    Abort(String),
}

use ResourcesError::{Abort, Disk, Refused};

/// The resources that an agent reads from a text, before it detects others by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentResources {
    /// As the agent holds them: summed, those of size zero dropped.
    pub resources: Resources,
    /// Every name in the text, of entries of size zero too: what is named is not detected.
    pub named: BTreeSet<String>,
}

/// What an agent with this `--resources` and `--default_role` makes of the text, as far as it can
/// tell without looking at its disks.
///
/// A text with any mistake in its JSON is read as the simple form, as the agent does, and refused
/// in its words.
pub fn read_resources(text: &str, default_role: &Role) -> Result<AgentResources, ResourcesError> {
    let wires = read(text, default_role)?;
    Ok(AgentResources {
        named: wires.iter().map(|wire| lossy(wire.name.as_ref())).collect(),
        resources: wires.into_iter().map(Entry::new).collect(),
    })
}

/// The resources that an agent with this `--resources` and `--default_role` would start with, as
/// far as the text alone decides: entries as they are written, not yet summed, also those of size
/// zero, which the agent drops, and which suppress its own detection all the same.
///
/// A text with any mistake in its JSON is read as the simple form, as the agent does, and refused
/// in its words.
pub fn parse_resources(text: &str, default_role: &Role) -> Result<Vec<Resource>, ResourcesError> {
    read(text, default_role)?
        .into_iter()
        .filter_map(|wire| start(wire).transpose())
        .collect()
}

/// The entries of a text in the form that the agent works with, none of which it refuses.
pub(super) fn read(text: &str, default_role: &Role) -> Result<Vec<wire::Resource>, ResourcesError> {
    let wires = match serde_json::from_str(text) {
        Ok(Json::Array(entries)) => from_json(&entries, default_role)?,
        Ok(_) | Err(_) => from_text(text, default_role)?,
    };
    for wire in &wires {
        validate(wire).map_err(Refused)?;
    }
    command_line(&wires)?;
    Ok(wires)
}

fn from_json(entries: &[Json], default_role: &Role) -> Result<Vec<wire::Resource>, ResourcesError> {
    let wires: Vec<wire::Resource> = entries
        .iter()
        .map(json::resource)
        .collect::<Result<_, _>>()
        .map_err(|words| {
            Refused(format!(
                "Some JSON resources were not formatted properly: {words}"
            ))
        })?;
    wires
        .into_iter()
        .map(|mut wire| {
            if wire.role.is_none() && wire.reservations.is_empty() {
                wire.role = Some(default_role.as_raw().as_bytes().to_vec());
            }
            upgraded(wire)
        })
        .collect()
}

/// The form that the agent works with: reservations alone.
pub(in crate::mesos) fn upgraded(
    mut wire: wire::Resource,
) -> Result<wire::Resource, ResourcesError> {
    let role = wire.role.take();
    let reservation = wire.reservation.take();
    if !wire.reservations.is_empty() {
        return Ok(wire);
    }
    match role {
        Some(role) if role != b"*" => {
            let kind = if reservation.is_some() {
                wire::DYNAMIC
            } else {
                wire::STATIC
            };
            let info = reservation.map_or_else(wire::ReservationInfo::default, |info| *info);
            wire.reservations = vec![wire::ReservationInfo {
                role: Some(role),
                kind: Some(kind),
                ..info
            }];
            Ok(wire)
        }
        Some(_) | None if reservation.is_some() => {
            Err(Abort("!resource->has_reservation()".into()))
        }
        Some(_) | None => Ok(wire),
    }
}

fn tokens<'a>(text: &'a str, separators: &'static [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).filter(|token| !token.is_empty())
}

fn from_text(text: &str, default_role: &Role) -> Result<Vec<wire::Resource>, ResourcesError> {
    tokens(text, &[';'])
        .map(|token| {
            let mut pair = tokens(token, &[':']);
            let (Some(left), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                return Err(Refused(format!(
                    "Bad value for resources, missing or extra ':' in {token}"
                )));
            };
            let (name, role) = match left.split_once('(') {
                None => (left, default_role.as_raw().as_bytes()),
                Some((name, rest)) => match rest.split_once(')') {
                    Some((role, _)) if !name.contains(')') => (name, role.trim().as_bytes()),
                    Some(_) | None => {
                        return Err(Refused(format!(
                            "Bad value for resources, mismatched parentheses in {token}"
                        )));
                    }
                },
            };
            simple(name.trim(), value, role).map_err(Refused)
        })
        .collect()
}

fn simple(name: &str, text: &str, role: &[u8]) -> Result<wire::Resource, String> {
    let mut wire = wire::Resource {
        name: Some(name.as_bytes().to_vec()),
        ..wire::Resource::default()
    };
    if role != b"*" {
        wire.reservations = vec![wire::ReservationInfo {
            role: Some(role.to_vec()),
            kind: Some(wire::STATIC),
            ..wire::ReservationInfo::default()
        }];
    }
    match simple_value(text)
        .map_err(|words| format!("Failed to parse resource {name} value {text} error {words}"))?
    {
        Simple::Scalar(number) => {
            wire.kind = Some(wire::SCALAR);
            wire.scalar = Some(wire::Scalar {
                value: Some(number),
            });
        }
        Simple::Ranges(ranges) => {
            wire.kind = Some(wire::RANGES);
            wire.ranges = Some(ranges);
        }
        Simple::Set(set) => {
            wire.kind = Some(wire::SET);
            wire.set = Some(set);
        }
        Simple::Text => {
            return Err(format!(
                "Bad type for resource {name} value {text} type TEXT"
            ));
        }
    }
    Ok(wire)
}

/// A value of the simple form.
pub(in crate::mesos) enum Simple {
    Scalar(f64),
    Ranges(wire::Ranges),
    Set(wire::Set),
    Text,
}

pub(in crate::mesos) fn simple_value(text: &str) -> Result<Simple, String> {
    let text = text.replace(' ', "");
    if text.is_empty() {
        return Err("Expecting non-empty string".to_owned());
    }
    if ![('{', '}'), ('[', ']'), ('(', ')')]
        .iter()
        .all(|&(open, close)| brackets_match(&text, open, close))
    {
        return Err("Mismatched brackets".to_owned());
    }
    match (text.find('['), text.find('{')) {
        (Some(0), _) => simple_ranges(&text).map(Simple::Ranges),
        (Some(_), _) => Err("Unexpected '[' found".to_owned()),
        (None, Some(0)) => Ok(Simple::Set(wire::Set {
            item: tokens(&text, &['{', '}', ',', '\n'])
                .map(|item| item.as_bytes().to_vec())
                .collect(),
        })),
        (None, Some(_)) => Err("Unexpected '{' found".to_owned()),
        // A negative number, infinity and NaN are text.
        (None, None) => Ok(text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && number.is_sign_positive())
            .map_or(Simple::Text, Simple::Scalar)),
    }
}

fn brackets_match(text: &str, open: char, close: char) -> bool {
    let mut depth = 0_u32;
    for c in text.chars() {
        if c == open {
            depth = depth.saturating_add(1);
        } else if c == close {
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return false,
            }
        }
    }
    depth == 0
}

fn simple_ranges(text: &str) -> Result<wire::Ranges, String> {
    let numbers: Vec<&str> = tokens(text, &['[', ']', '-', ',', '\n']).collect();
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("Expecting one or more \"ranges\"".to_owned());
    }
    let ranges: Vec<(u64, u64)> = pairs
        .iter()
        .map(|[begin, end]| match (begin.parse(), end.parse()) {
            (Ok(begin), Ok(end)) => Ok((begin, end)),
            _ => Err(format!("Expecting non-negative integers in '{end}'")),
        })
        .collect::<Result<_, _>>()?;
    // Mesos joins what touches.
    Ok(wire::Ranges {
        range: joined(ranges)
            .into_iter()
            .map(|(begin, end)| wire::Range {
                begin: Some(begin),
                end: Some(end),
            })
            .collect(),
    })
}

/// `Resources::validate`.
fn validate(wire: &wire::Resource) -> Result<(), String> {
    let name = lossy(wire.name.as_ref());
    if name.is_empty() {
        return Err("Empty resource name".to_owned());
    }
    value(wire)?;
    if let Some(disk) = &wire.disk {
        if name != "disk" {
            return Err(format!("DiskInfo should not be set for {name} resource"));
        }
        if let Some(source) = &disk.source {
            disk_source(source)?;
        }
    }
    reservations(&wire.reservations)?;
    if wire.shared.is_some() {
        if name != "disk" {
            return Err(format!("Resource {name} cannot be shared"));
        }
        if wire
            .disk
            .as_ref()
            .is_none_or(|disk| disk.persistence.is_none())
        {
            return Err("Only persistent volumes can be shared".to_owned());
        }
    }
    Ok(())
}

fn value(wire: &wire::Resource) -> Result<(), String> {
    let there = (
        wire.scalar.as_ref(),
        wire.ranges.as_ref(),
        wire.set.as_ref(),
    );
    match (wire.kind, there) {
        (Some(wire::SCALAR), (Some(scalar), None, None)) => {
            let number = scalar.value.unwrap_or(0.0);
            let positive =
                Megabytes::from_f64(number).is_some_and(|value| value > Megabytes::default());
            if number == 0.0 || positive {
                Ok(())
            } else {
                Err("Invalid scalar resource: value <= 0".to_owned())
            }
        }
        (Some(wire::SCALAR), _) => Err("Invalid scalar resource".to_owned()),
        (Some(wire::RANGES), (None, Some(ranges), None)) => {
            let mut all: Vec<(Option<u64>, Option<u64>)> = ranges
                .range
                .iter()
                .map(|range| (range.begin, range.end))
                .collect();
            if all.iter().any(|(begin, end)| begin > end) {
                return Err("Invalid ranges resource: begin > end".to_owned());
            }
            all.sort_unstable();
            let overlap = all
                .iter()
                .zip(all.iter().skip(1))
                .any(|(one, next)| next.0 <= one.1);
            if overlap {
                return Err("Invalid ranges resource: overlapping ranges".to_owned());
            }
            Ok(())
        }
        (Some(wire::RANGES), _) => Err("Invalid ranges resource".to_owned()),
        (Some(wire::SET), (None, None, Some(set))) => {
            let mut items = set.item.clone();
            items.sort_unstable();
            items.dedup();
            if items.len() < set.item.len() {
                return Err("Invalid set resource: duplicated elements".to_owned());
            }
            Ok(())
        }
        (Some(wire::SET), _) => Err("Invalid set resource".to_owned()),
        (Some(_) | None, _) => Err("Unsupported resource type".to_owned()),
    }
}

fn disk_source(source: &wire::Source) -> Result<(), String> {
    let name = match source.kind {
        Some(wire::PATH | wire::MOUNT) => return Ok(()),
        Some(wire::BLOCK) => "BLOCK",
        Some(wire::RAW) => "RAW",
        Some(_) | None => {
            return Err("Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'".to_owned());
        }
    };
    if source.mount.is_some() {
        return Err(format!("Mount should not be set for {name} disk source"));
    }
    if source.path.is_some() {
        return Err(format!("Path should not be set for {name} disk source"));
    }
    Ok(())
}

fn reservations(stack: &[wire::ReservationInfo]) -> Result<(), String> {
    let unset = |field| {
        Err(format!(
            "Invalid reservation: 'Resource.ReservationInfo.{field}' field must be set."
        ))
    };
    for reservation in stack {
        if reservation.kind.is_none() {
            return unset("type");
        }
        let Some(role) = &reservation.role else {
            return unset("role");
        };
        if let Some(words) = role_error(&String::from_utf8_lossy(role)) {
            return Err(words);
        }
        if role == b"*" {
            return Err("Invalid reservation: role \"*\" cannot be reserved".to_owned());
        }
    }
    for (below, above) in stack.iter().zip(stack.iter().skip(1)) {
        if above.kind == Some(wire::STATIC) {
            return Err(
                "Invalid refined reservation: A refined reservation cannot be STATIC".to_owned(),
            );
        }
        let role = |info: &wire::ReservationInfo| Role::new(info.role.clone().unwrap_or_default());
        if !role(above).refines(&role(below)) {
            return Err(format!(
                "Invalid refined reservation: role '{}' is not a refinement of '{}'",
                lossy(above.role.as_ref()),
                lossy(below.role.as_ref())
            ));
        }
    }
    match stack {
        [only] if only.kind == Some(0) => {
            Err("Unsupported 'Resource.ReservationInfo.Type'".to_owned())
        }
        _ => Ok(()),
    }
}

/// `roles::validate`.
fn role_error(role: &str) -> Option<String> {
    if role == "*" {
        return None;
    }
    if role.is_empty() {
        return Some("Empty role name is invalid".to_owned());
    }
    if role.starts_with('/') {
        return Some(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Some(format!("Role '{role}' cannot end with a slash"));
    }
    if role.contains("//") {
        return Some(format!("Role '{role}' cannot contain two adjacent slashes"));
    }
    role.split('/').find_map(|component| match component {
        "." | ".." | "*" => Some(format!(
            "Role '{role}' cannot include '{component}' as a component"
        )),
        _ if component.starts_with('-') => Some(format!(
            "Role component '{component}' is invalid because it starts with a dash"
        )),
        _ if component.contains(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{7f}']) => {
            Some(format!(
                "Role component '{component}' is invalid because it contains backspace or \
                 whitespace"
            ))
        }
        _ => None,
    })
}

/// What the command line may not hold.
fn command_line(wires: &[wire::Resource]) -> Result<(), ResourcesError> {
    let mut types: Vec<(&Option<Vec<u8>>, Option<i32>)> = Vec::new();
    // Entries of size zero are dropped before this is looked at.
    for wire in wires.iter().filter(|wire| !is_nothing(wire)) {
        if wire
            .disk
            .as_ref()
            .is_some_and(|disk| disk.persistence.is_some())
        {
            return Err(Refused(
                "Persistent volumes cannot be specified at the command line".to_owned(),
            ));
        }
        if wire.revocable.is_some() {
            return Err(Refused(
                "Revocable resources cannot be specified at the command line; do not include a \
                 'revocable' key in the resources JSON"
                    .to_owned(),
            ));
        }
        if wire
            .reservations
            .last()
            .is_some_and(|last| last.kind == Some(wire::DYNAMIC))
        {
            return Err(Refused(
                "Dynamic reservations cannot be specified at the command line; do not include a \
                 reservation with DYNAMIC type in the resources JSON"
                    .to_owned(),
            ));
        }
        match types.iter().find(|(name, _)| *name == &wire.name) {
            Some((_, kind)) if *kind != wire.kind => {
                return Err(Refused(format!(
                    "Resources with the same name ('{}') but different types are not allowed",
                    lossy(wire.name.as_ref())
                )));
            }
            Some(_) => {}
            None => types.push((&wire.name, wire.kind)),
        }
    }
    Ok(())
}

fn is_nothing(wire: &wire::Resource) -> bool {
    match wire.kind {
        Some(wire::SCALAR) => wire.scalar.as_ref().is_some_and(|scalar| {
            scalar.value.and_then(Megabytes::from_f64) == Some(Megabytes::default())
        }),
        Some(wire::RANGES) => wire
            .ranges
            .as_ref()
            .is_some_and(|ranges| ranges.range.is_empty()),
        Some(wire::SET) => wire.set.as_ref().is_some_and(|set| set.item.is_empty()),
        Some(_) | None => false,
    }
}

/// What the agent checks of a disk before it looks at the file system.
///
/// An entry of size zero that breaks a rule is dropped with all the others of that size.
fn start(wire: wire::Resource) -> Result<Option<Resource>, ResourcesError> {
    if is_nothing(&wire) {
        return Ok(normalise(wire).ok());
    }
    let entry = Entry::new(wire);
    match entry.source_fault() {
        Some(SourceFault::Exit(words)) => return Err(Disk(words)),
        Some(SourceFault::Abort(check)) => return Err(Abort(check.to_owned())),
        None => {}
    }
    // Nothing is left that Mesos takes and we do not; a role with NUL is one exception.
    normalise(entry.into_message())
        .map(Some)
        .map_err(|fault| Refused(format!("{} {}", fault.field, fault.rule)))
}
