//! What a master refuses, in its words (src/master/validation.cpp).

use mesos_volumed::mesos::disk::SourceType;
use mesos_volumed::mesos::resource::{ReservationType, Resource};
use serde_json::Value as Json;

use super::change::Change;
use super::resources::{same_kind, text};

/// Why a call is refused with 400; the JSON is looked at where a resource does not say it all.
/// `agent` is "agent ID at pid (host)".
pub(super) fn fault(
    change: &Change,
    call: &Json,
    total: &[Resource],
    used: &[Resource],
    agent: &str,
) -> Option<String> {
    if let Some(fault) = change.resources().iter().find_map(role_fault) {
        return Some(format!("Failed to validate master::Call: {fault}"));
    }
    let on_agent = |fault: String| {
        let name = change.name();
        format!("Invalid {name} operation on {agent}: {fault}")
    };
    match change {
        Change::Reserve(list) => reserve(list).map(on_agent),
        Change::Unreserve(list) => unreserve(list).map(on_agent),
        Change::Create(volumes) => create(volumes, call, total).map(on_agent),
        Change::Destroy(volumes) => {
            destroy(volumes, total, used).map(|fault| format!("Invalid DESTROY operation: {fault}"))
        }
        Change::Grow(volume, addition) => grow(volume, addition).map(on_agent),
        Change::Shrink(volume, by) => {
            let fault = if is_mount(volume) {
                Some("Shrinking a volume on a MOUNT disk is not supported")
            } else if volume.shared {
                Some("Shrinking a shared persistent volume is not supported")
            } else if volume.megabytes().is_none_or(|size| size <= *by) {
                Some("Invalid 'ShrinkVolume.subtract': value too large")
            } else {
                None
            };
            fault.map(str::to_owned).map(on_agent)
        }
    }
}

/// Roles are checked before anything else is.
fn role_fault(one: &Resource) -> Option<String> {
    let invalid = |fault: String| format!("Resource '{}' is invalid: {fault}", text(one));
    one.reservations.iter().find_map(|reservation| {
        let role = reservation.role.to_string();
        if role == "*" {
            let fault = "Invalid reservation: role \"*\" cannot be reserved";
            return Some(invalid(fault.to_owned()));
        }
        let whole = |fault: &str| Some(invalid(format!("Role '{role}' {fault}")));
        if role.starts_with('/') {
            return whole("cannot start with a slash");
        }
        if role.ends_with('/') {
            return whole("cannot end with a slash");
        }
        if role.contains("//") {
            return whole("cannot contain two adjacent slashes");
        }
        role.split('/').find_map(|part| {
            let component = |fault: &str| {
                let fault = format!("Role component '{part}' is invalid because it {fault}");
                Some(invalid(fault))
            };
            match part {
                "." | ".." | "*" => whole(&format!("cannot include '{part}' as a component")),
                _ if part.starts_with('-') => component("starts with a dash"),
                _ if part.contains(|c: char| {
                    c.is_ascii_whitespace() || c == '\u{7f}' || c == '\u{b}'
                }) =>
                {
                    component("contains backspace or whitespace")
                }
                _ => None,
            }
        })
    })
}

fn is_dynamic(one: &Resource) -> bool {
    one.reservations
        .last()
        .is_some_and(|last| last.kind == ReservationType::Dynamic)
}

fn is_mount(one: &Resource) -> bool {
    one.source
        .as_ref()
        .is_some_and(|source| source.kind == SourceType::Mount)
}

fn reserve(list: &[Resource]) -> Option<String> {
    list.iter().find_map(|one| {
        if !is_dynamic(one) {
            Some(format!(
                "Resource {} is not dynamically reserved",
                text(one)
            ))
        } else if one.persistence.is_some() {
            Some(format!(
                "A persistent volume {} must already be reserved",
                text(one)
            ))
        } else {
            None
        }
    })
}

fn unreserve(list: &[Resource]) -> Option<String> {
    list.iter().find_map(|one| {
        if !is_dynamic(one) {
            Some(format!(
                "Resource {} is not dynamically reserved",
                text(one)
            ))
        } else if one.persistence.is_some() {
            Some(format!(
                "A dynamically reserved persistent volume {} cannot be unreserved directly. \
                 Please destroy the persistent volume first then unreserve the resource",
                text(one)
            ))
        } else {
            None
        }
    })
}

fn create(volumes: &[Resource], call: &Json, total: &[Resource]) -> Option<String> {
    let asked = call
        .pointer("/create_volumes/volumes")
        .and_then(Json::as_array);
    for (index, volume) in volumes.iter().enumerate() {
        let json = asked.and_then(|asked| asked.get(index));
        let disk = |pointer: &str| json.and_then(|json| json.pointer(pointer));
        let Some(persistence) = &volume.persistence else {
            return Some("Not a persistent volume: 'persistence' is not set".to_owned());
        };
        let invalid = |fault: &str| Some(format!("Invalid resources: Invalid DiskInfo: {fault}"));
        if volume.reservations.is_empty() {
            return invalid("Persistent volumes cannot be created from unreserved resources");
        }
        if disk("/disk/volume").is_none() {
            return invalid("Expecting 'volume' to be set for persistent volume");
        }
        if disk("/disk/volume/host_path").is_some() {
            return invalid("Expecting 'host_path' to be unset for persistent volume");
        }
        if persistence.id.fault().is_some() {
            return invalid(&format!(
                "Invalid persistence ID for persistent volume: '{}'",
                persistence.id
            ));
        }
        if disk("/disk/volume/mode").is_some_and(|mode| mode != "RW") {
            return Some(
                "Not a persistent volume: Read-only persistent volume not supported".to_owned(),
            );
        }
        let key = volume.volume_key();
        if total.iter().any(|one| one.volume_key() == key) {
            return Some(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    None
}

fn destroy(volumes: &[Resource], total: &[Resource], used: &[Resource]) -> Option<&'static str> {
    if volumes.iter().any(|one| !total.contains(one)) {
        return Some("Persistent volumes not found");
    }
    if volumes.iter().any(|one| used.contains(one)) {
        return Some("Persistent volumes in use");
    }
    None
}

fn grow(volume: &Resource, addition: &Resource) -> Option<String> {
    let plain = super::resources::plain_disk(volume);
    let melts = !is_mount(volume) && same_kind(&plain, addition);
    let fault = if volume.shared {
        "Growing a shared persistent volume is not supported"
    } else if !melts {
        "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
    } else {
        return None;
    };
    Some(fault.to_owned())
}
