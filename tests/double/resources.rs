//! Adding, subtracting, reading and printing resources as Mesos does (src/common/resources.cpp).

use anyhow::{Context as _, bail};
use mesos_volumed::mesos::disk::{DiskSource, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::units::{Megabytes, Raw};
use serde_json::Value as Json;

use super::json::{J, at, empty, list, object};

/// An unreserved resource.
pub(crate) fn plain(name: &str, value: Value) -> Resource {
    Resource {
        name: name.into(),
        value,
        reservations: Vec::new(),
        source: None,
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

/// A disk source with this root and nothing else.
pub(crate) fn disk_source(kind: SourceType, root: &str) -> DiskSource {
    DiskSource {
        kind,
        root: Some(Raw::from(root)),
        id: None,
        vendor: None,
        profile: None,
        metadata: Vec::new(),
    }
}

/// Disk of this much that is reserved dynamically; the disk is `ROOT`, `PATH:/root` or
/// `MOUNT:/root`.
pub(crate) fn reserved(role: &str, disk: &str, size: f64) -> anyhow::Result<Resource> {
    let source = match disk.split_once(':') {
        None if disk == "ROOT" => None,
        Some(("PATH", root)) => Some(disk_source(SourceType::Path, root)),
        Some(("MOUNT", root)) => Some(disk_source(SourceType::Mount, root)),
        _ => bail!("a disk is ROOT, PATH:/root or MOUNT:/root"),
    };
    let size = Megabytes::from_f64(size).context("--size is out of range")?;
    Ok(Resource {
        source,
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new(role),
            principal: None,
            labels: Vec::new(),
        }],
        ..plain("disk", Value::Scalar(size))
    })
}

/// Whether this is checkpointed: dynamically reserved or a volume, and of no provider.
pub(crate) fn is_checkpointed(one: &Resource) -> bool {
    let dynamic = one
        .reservations
        .last()
        .is_some_and(|last| last.kind == ReservationType::Dynamic);
    one.provider_id.is_none() && (dynamic || one.persistence.is_some())
}

/// What `--resources` has of this: no dynamic reservation, no volume.
pub(crate) fn bare(one: &Resource) -> Resource {
    Resource {
        reservations: one
            .reservations
            .iter()
            .filter(|reservation| reservation.kind == ReservationType::Static)
            .cloned()
            .collect(),
        shared: false,
        ..plain_disk(one)
    }
}

/// The disk that a volume is made of.
pub(crate) fn plain_disk(volume: &Resource) -> Resource {
    Resource {
        persistence: None,
        shared: false,
        ..volume.clone()
    }
}

/// The resource before its last reservation.
pub(crate) fn before_reservation(one: &Resource) -> Resource {
    let mut one = one.clone();
    one.reservations.pop();
    one
}

/// The sum of scalars.
pub(crate) fn sum<'a>(resources: impl Iterator<Item = &'a Resource>) -> Megabytes {
    resources
        .filter_map(Resource::megabytes)
        .fold(Megabytes::default(), Megabytes::saturating_add)
}

/// Alike but for how much.
pub(crate) fn same_kind(a: &Resource, b: &Resource) -> bool {
    Resource {
        value: b.value.clone(),
        ..a.clone()
    } == *b
}

/// Volumes and MOUNT disks are whole: never added to one another, never divided.
fn is_whole(one: &Resource) -> bool {
    one.persistence.is_some()
        || one
            .source
            .as_ref()
            .is_some_and(|source| source.kind == SourceType::Mount)
}

/// Adds; what is alike melts into one entry, unless it is whole.
pub(crate) fn with(held: &[Resource], more: &[Resource]) -> Vec<Resource> {
    let mut held = held.to_vec();
    for one in more {
        let melts = !is_whole(one) && one.megabytes().is_some();
        match held.iter_mut().find(|other| melts && same_kind(other, one)) {
            Some(other) => other.value = Value::Scalar(sum([&*other, one].into_iter())),
            None => held.push(one.clone()),
        }
    }
    held
}

/// Subtracts; what is not there in this size is refused in Mesos's words. An entry that is used up
/// gives its place to the last one, as in Mesos.
pub(crate) fn without(held: &[Resource], less: &[Resource]) -> anyhow::Result<Vec<Resource>> {
    let mut rest = held.to_vec();
    for one in less {
        let size = one.megabytes().unwrap_or_default();
        let index = rest
            .iter()
            .position(|other| {
                let have = other.megabytes().unwrap_or_default();
                same_kind(other, one)
                    && if is_whole(one) {
                        have == size
                    } else {
                        have >= size
                    }
            })
            .with_context(|| format!("{} does not contain {}", texts(held), text(one)))?;
        let have = rest
            .get(index)
            .and_then(Resource::megabytes)
            .unwrap_or_default();
        let left =
            Megabytes::from_thousandths(have.thousandths().saturating_sub(size.thousandths()));
        if left == Megabytes::default() {
            rest.swap_remove(index);
        } else if let Some(other) = rest.get_mut(index) {
            other.value = Value::Scalar(left);
        }
    }
    Ok(rest)
}

/// Resources as Mesos prints them: `cpus:2; disk(reservations: [(DYNAMIC,r)])[id:data]:64`.
pub(crate) fn texts(resources: &[Resource]) -> String {
    let texts: Vec<String> = resources.iter().map(text).collect();
    texts.join("; ")
}

/// One resource as Mesos prints it.
pub(crate) fn text(one: &Resource) -> String {
    let mut text = one.name.to_string();
    if !one.reservations.is_empty() {
        let stack: Vec<String> = one.reservations.iter().map(reservation_text).collect();
        text.extend([format!("(reservations: [{}])", stack.join(","))]);
    }
    if one.source.is_some() || one.persistence.is_some() {
        let source = one.source.as_ref().map(|source| {
            let kind = kind_name(source.kind);
            match &source.root {
                Some(root) => format!("{kind}:{root}"),
                None => kind.to_owned(),
            }
        });
        let volume = one.persistence.as_ref().map(|volume| {
            let path = volume.container_path.as_ref();
            path.map_or_else(
                || volume.id.to_string(),
                |path| format!("{}:{path}", volume.id),
            )
        });
        let parts: Vec<String> = source.into_iter().chain(volume).collect();
        text.extend([format!("[{}]", parts.join(","))]);
    }
    if one.shared {
        text.push_str("<SHARED>");
    }
    let value = match &one.value {
        Value::Scalar(value) => value.as_f64().to_string(),
        Value::Ranges(ranges) => {
            let ranges: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
            format!("[{}]", ranges.join(", "))
        }
        Value::Set(items) => {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            format!("{{{}}}", items.join(", "))
        }
    };
    format!("{text}:{value}")
}

fn reservation_text(one: &Reservation) -> String {
    let mut parts = vec![reservation_kind(one).to_owned(), one.role.to_string()];
    parts.extend(one.principal.as_ref().map(ToString::to_string));
    if !one.labels.is_empty() {
        let labels: Vec<String> = one
            .labels
            .iter()
            .map(|(key, value)| match value {
                Some(value) => format!("{key}: {value}"),
                None => key.to_string(),
            })
            .collect();
        parts.push(format!("{{{}}}", labels.join(", ")));
    }
    format!("({})", parts.join(","))
}

fn reservation_kind(one: &Reservation) -> &'static str {
    match one.kind {
        ReservationType::Static => "STATIC",
        ReservationType::Dynamic => "DYNAMIC",
        ReservationType::Unknown(_) => "UNKNOWN",
    }
}

fn kind_name(kind: SourceType) -> &'static str {
    match kind {
        SourceType::Path => "PATH",
        SourceType::Mount => "MOUNT",
        SourceType::Block => "BLOCK",
        SourceType::Raw => "RAW",
        SourceType::Unknown(_) => "UNKNOWN",
    }
}

/// How HTTP answers show a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Before 1.4: role and `reservation`.
    Old,
    /// Both forms at once, as far as the old one can say it.
    Endpoint,
    /// `reservations` alone.
    Post,
}

/// A resource as JSON, allocated to a role or not.
pub(crate) fn json(one: &Resource, shape: &Shape, allocated: Option<&str>) -> J {
    let mut json = object([("name", one.name.to_string().into())]);
    match &one.value {
        Value::Scalar(value) => {
            json.push("type", "SCALAR".into());
            json.push("scalar", object([("value", value.as_f64().into())]));
        }
        Value::Ranges(ranges) => {
            let ranges = ranges
                .iter()
                .map(|(begin, end)| object([("begin", whole(*begin)), ("end", whole(*end))]));
            json.push("type", "RANGES".into());
            json.push("ranges", object([("range", list(ranges))]));
        }
        Value::Set(items) => {
            let items = items.iter().map(|item| item.to_string().into());
            json.push("type", "SET".into());
            json.push("set", object([("item", list(items))]));
        }
    }
    let endpoint = *shape != Shape::Post;
    match &one.reservations[..] {
        [] if endpoint => json.push("role", "*".into()),
        [only] if endpoint => json.push("role", only.role.to_string().into()),
        _ => {}
    }
    if let Some(role) = allocated {
        json.push("allocation_info", object([("role", role.into())]));
    }
    match &one.reservations[..] {
        [only] if endpoint && only.kind == ReservationType::Dynamic => {
            json.push("reservation", reservation(only, false));
        }
        _ => {}
    }
    if *shape != Shape::Old && !one.reservations.is_empty() {
        let stack = one.reservations.iter().map(|one| reservation(one, true));
        json.push("reservations", list(stack));
    }
    if one.source.is_some() || one.persistence.is_some() {
        json.push("disk", disk(one));
    }
    if one.shared {
        json.push("shared", empty());
    }
    if let Some(id) = &one.provider_id {
        json.push("provider_id", object([("value", id.to_string().into())]));
    }
    json
}

fn whole(number: u64) -> J {
    J::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn disk(one: &Resource) -> J {
    let mut disk = empty();
    if let Some(persistence) = &one.persistence {
        let mut json = object([("id", persistence.id.to_string().into())]);
        if let Some(principal) = &persistence.principal {
            json.push("principal", principal.to_string().into());
        }
        disk.push("persistence", json);
        if let Some(path) = &persistence.container_path {
            let path = path.to_string().into();
            let volume = object([("mode", "RW".into()), ("container_path", path)]);
            disk.push("volume", volume);
        }
    }
    if let Some(source) = &one.source {
        let mut json = object([("type", kind_name(source.kind).into())]);
        if let Some(root) = &source.root {
            let key = if source.kind == SourceType::Mount {
                "mount"
            } else {
                "path"
            };
            json.push(key, object([("root", root.to_string().into())]));
        }
        let text = |one: &Option<Raw>| one.as_ref().map(|one| J::from(one.to_string()));
        if let Some(vendor) = text(&source.vendor) {
            json.push("vendor", vendor);
        }
        if let Some(id) = text(&source.id) {
            json.push("id", id);
        }
        if !source.metadata.is_empty() {
            json.push("metadata", labels(&source.metadata));
        }
        if let Some(profile) = text(&source.profile) {
            json.push("profile", profile);
        }
        disk.push("source", json);
    }
    disk
}

fn reservation(one: &Reservation, refined: bool) -> J {
    let mut json = empty();
    if refined {
        json.push("type", reservation_kind(one).into());
        json.push("role", one.role.to_string().into());
    }
    if let Some(principal) = &one.principal {
        json.push("principal", principal.to_string().into());
    }
    if !one.labels.is_empty() {
        json.push("labels", labels(&one.labels));
    }
    json
}

fn labels(labels: &[(Raw, Option<Raw>)]) -> J {
    let labels = labels.iter().map(|(key, value)| {
        let mut label = object([("key", J::from(key.to_string()))]);
        if let Some(value) = value {
            label.push("value", value.to_string().into());
        }
        label
    });
    object([("labels", list(labels))])
}

/// A resource from JSON in any of its forms.
pub(crate) fn from_json(json: &Json) -> anyhow::Result<Resource> {
    let name = at(json, "/name")
        .as_str()
        .context("Missing required fields: name")?;
    let value = match at(json, "/type").as_str() {
        Some("SCALAR") => Value::Scalar(
            at(json, "/scalar/value")
                .as_f64()
                .and_then(Megabytes::from_f64)
                .context("Invalid scalar resource")?,
        ),
        Some("RANGES") => Value::Ranges(
            at(json, "/ranges/range")
                .as_array()
                .context("Invalid ranges resource")?
                .iter()
                .map(|range| Some((at(range, "/begin").as_u64()?, at(range, "/end").as_u64()?)))
                .collect::<Option<_>>()
                .context("Invalid ranges resource")?,
        ),
        other => bail!("Bad type {other:?} for resource {name}"),
    };
    Ok(Resource {
        source: source(at(json, "/disk"))?,
        reservations: reservations(json),
        persistence: persistence(at(json, "/disk")),
        shared: !at(json, "/shared").is_null(),
        provider_id: raw(at(json, "/provider_id/value")),
        ..plain(name, value)
    })
}

fn raw(json: &Json) -> Option<Raw> {
    json.as_str().map(Raw::from)
}

fn reservations(json: &Json) -> Vec<Reservation> {
    let one = |json: &Json, kind, role: &str| Reservation {
        kind,
        role: Role::new(role),
        principal: raw(at(json, "/principal")),
        labels: labels_of(at(json, "/labels")),
    };
    if let Some(stack) = at(json, "/reservations").as_array() {
        return stack
            .iter()
            .map(|json| {
                let kind = if at(json, "/type") == "STATIC" {
                    ReservationType::Static
                } else {
                    ReservationType::Dynamic
                };
                one(json, kind, at(json, "/role").as_str().unwrap_or_default())
            })
            .collect();
    }
    let role = at(json, "/role").as_str().unwrap_or("*");
    match at(json, "/reservation") {
        Json::Null if role == "*" => Vec::new(),
        Json::Null => vec![one(&Json::Null, ReservationType::Static, role)],
        json @ (Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_)) => vec![one(json, ReservationType::Dynamic, role)],
    }
}

fn labels_of(json: &Json) -> Vec<(Raw, Option<Raw>)> {
    at(json, "/labels")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|label| Some((raw(at(label, "/key"))?, raw(at(label, "/value")))))
        .collect()
}

fn persistence(disk: &Json) -> Option<Persistence> {
    let persistence = at(disk, "/persistence");
    Some(Persistence {
        id: PersistenceId::new(at(persistence, "/id").as_str()?),
        principal: raw(at(persistence, "/principal")),
        container_path: raw(at(disk, "/volume/container_path")),
    })
}

fn source(disk: &Json) -> anyhow::Result<Option<DiskSource>> {
    let source = at(disk, "/source");
    if source.is_null() {
        return Ok(None);
    }
    let (kind, member) = match at(source, "/type").as_str() {
        Some("PATH") => (SourceType::Path, "path"),
        Some("MOUNT") => (SourceType::Mount, "mount"),
        Some("RAW") => (SourceType::Raw, "path"),
        Some("BLOCK") => (SourceType::Block, "path"),
        other => bail!("Unsupported 'DiskInfo.Source.Type' {other:?}"),
    };
    Ok(Some(DiskSource {
        kind,
        root: raw(at(source, &format!("/{member}/root"))),
        id: raw(at(source, "/id")),
        vendor: raw(at(source, "/vendor")),
        profile: raw(at(source, "/profile")),
        metadata: labels_of(at(source, "/metadata")),
    }))
}
