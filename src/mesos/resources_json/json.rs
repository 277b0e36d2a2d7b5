//! A `Resource` from JSON, by the rules and in the words of Mesos's own conversion
//! (3rdparty/stout/include/stout/protobuf.hpp): unknown keys are ignored, `null` is unset, a number
//! may be written in a string, and keys are looked at in the order of their names.

use serde_json::{Map, Value};

use crate::mesos::checkpoint::wire;

type Object = Map<String, Value>;

/// What Mesos says when it can't convert.
type Parsed<T> = Result<T, String>;

/// A `Resource` with everything that Mesos requires.
pub(in crate::mesos) fn resource(value: &Value) -> Parsed<wire::Resource> {
    let Value::Object(object) = value else {
        return Err("Expecting a JSON object".to_owned());
    };
    let resource = fields(object)?;
    let missing = missing(&resource);
    if missing.is_empty() {
        Ok(resource)
    } else {
        Err(format!("Missing required fields: {}", missing.join(", ")))
    }
}

fn unexpected(kind: &str, field: &str) -> String {
    format!("Not expecting a JSON {kind} for field '{field}'")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The values of an object that are set, with their names, in order.
fn set(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.as_str(), value))
}

fn text(field: &str, value: &Value) -> Parsed<Option<Vec<u8>>> {
    match value.as_str() {
        Some(text) => Ok(Some(text.as_bytes().to_vec())),
        None => Err(unexpected(kind(value), field)),
    }
}

fn message<T>(
    field: &str,
    value: &Value,
    convert: impl FnOnce(&Object) -> Parsed<T>,
) -> Parsed<Option<T>> {
    match value.as_object() {
        Some(object) => convert(object).map(Some),
        None => Err(unexpected(kind(value), field)),
    }
}

/// The elements of a repeated field; Mesos also takes a single one without the brackets.
fn repeated<T>(
    field: &str,
    value: &Value,
    convert: impl Fn(&str, &Value) -> Parsed<Option<T>>,
) -> Parsed<Vec<T>> {
    match value.as_array() {
        Some(values) => values
            .iter()
            .filter(|value| !value.is_null())
            .filter_map(|value| convert(field, value).transpose())
            .collect(),
        None => Ok(convert(field, value)?.into_iter().collect()),
    }
}

/// A required enum must be known; another one that is not counts as unset.
fn number_of(
    field: &str,
    value: &Value,
    names: &[(&str, i32)],
    required: bool,
) -> Parsed<Option<i32>> {
    let Value::String(name) = value else {
        return Err(unexpected(kind(value), field));
    };
    match names.iter().find(|(known, _)| known == name) {
        Some((_, number)) => Ok(Some(*number)),
        None if required => Err(format!("Failed to find enum for '{name}'")),
        None => Ok(None),
    }
}

/// A number, or a string that holds one.
fn numeric<T>(
    field: &str,
    value: &Value,
    convert: impl Fn(&serde_json::Number) -> Option<T>,
) -> Parsed<Option<T>> {
    let number: serde_json::Number = match (value.as_number(), value.as_str()) {
        (Some(number), _) => number.clone(),
        (None, Some(text)) => serde_json::from_str(text).map_err(|_no_number| {
            format!("Failed to parse '{text}' as a JSON number for field '{field}'")
        })?,
        (None, None) => return Err(unexpected(kind(value), field)),
    };
    convert(&number)
        .map(Some)
        .ok_or_else(|| format!("{number} is out of range"))
}

fn double(field: &str, value: &Value) -> Parsed<Option<f64>> {
    match value.as_str() {
        Some("Infinity") => Ok(Some(f64::INFINITY)),
        Some("-Infinity") => Ok(Some(f64::NEG_INFINITY)),
        Some(_) | None => numeric(field, value, serde_json::Number::as_f64),
    }
}

fn unsigned(field: &str, value: &Value) -> Parsed<Option<u64>> {
    numeric(field, value, |number| {
        number.as_u64().or_else(|| {
            // A whole number that is written with a point or an exponent.
            let text = number.as_f64().filter(|number| number.fract() == 0.0)?;
            format!("{text:.0}").parse().ok()
        })
    })
}

fn fields(object: &Object) -> Parsed<wire::Resource> {
    const TYPES: &[(&str, i32)] = &[
        ("SCALAR", wire::SCALAR),
        ("RANGES", wire::RANGES),
        ("SET", wire::SET),
        ("TEXT", wire::TEXT),
    ];
    let mut resource = wire::Resource::default();
    for (name, value) in set(object) {
        match name {
            "name" => resource.name = text(name, value)?,
            "type" => resource.kind = number_of(name, value, TYPES, true)?,
            "scalar" => resource.scalar = message(name, value, scalar)?,
            "ranges" => resource.ranges = message(name, value, ranges)?,
            "set" => resource.set = message(name, value, items)?,
            "role" => resource.role = text(name, value)?,
            "disk" => resource.disk = message(name, value, disk)?.map(Box::new),
            "reservation" => {
                resource.reservation = message(name, value, reservation)?.map(Box::new);
            }
            "revocable" => resource.revocable = message(name, value, |_| Ok(wire::Empty {}))?,
            "shared" => resource.shared = message(name, value, |_| Ok(wire::Empty {}))?,
            "allocation_info" => resource.allocation_info = message(name, value, allocation)?,
            "provider_id" => resource.provider_id = message(name, value, id)?,
            "reservations" => {
                resource.reservations =
                    repeated(name, value, |name, value| message(name, value, reservation))?;
            }
            _ => {}
        }
    }
    Ok(resource)
}

fn scalar(object: &Object) -> Parsed<wire::Scalar> {
    let mut scalar = wire::Scalar::default();
    for (name, value) in set(object) {
        if name == "value" {
            scalar.value = double(name, value)?;
        }
    }
    Ok(scalar)
}

fn ranges(object: &Object) -> Parsed<wire::Ranges> {
    let mut ranges = wire::Ranges::default();
    for (name, value) in set(object) {
        if name == "range" {
            ranges.range = repeated(name, value, |name, value| message(name, value, range))?;
        }
    }
    Ok(ranges)
}

fn range(object: &Object) -> Parsed<wire::Range> {
    let mut range = wire::Range::default();
    for (name, value) in set(object) {
        match name {
            "begin" => range.begin = unsigned(name, value)?,
            "end" => range.end = unsigned(name, value)?,
            _ => {}
        }
    }
    Ok(range)
}

fn items(object: &Object) -> Parsed<wire::Set> {
    let mut items = wire::Set::default();
    for (name, value) in set(object) {
        if name == "item" {
            items.item = repeated(name, value, text)?;
        }
    }
    Ok(items)
}

fn id(object: &Object) -> Parsed<wire::Text> {
    let mut id = wire::Text::default();
    for (name, value) in set(object) {
        if name == "value" {
            id.value = text(name, value)?;
        }
    }
    Ok(id)
}

fn allocation(object: &Object) -> Parsed<wire::AllocationInfo> {
    let mut allocation = wire::AllocationInfo::default();
    for (name, value) in set(object) {
        if name == "role" {
            allocation.role = text(name, value)?;
        }
    }
    Ok(allocation)
}

fn reservation(object: &Object) -> Parsed<wire::ReservationInfo> {
    const TYPES: &[(&str, i32)] = &[
        ("UNKNOWN", 0),
        ("STATIC", wire::STATIC),
        ("DYNAMIC", wire::DYNAMIC),
    ];
    let mut reservation = wire::ReservationInfo::default();
    for (name, value) in set(object) {
        match name {
            "principal" => reservation.principal = text(name, value)?,
            "labels" => reservation.labels = message(name, value, labels)?,
            "role" => reservation.role = text(name, value)?,
            "type" => reservation.kind = number_of(name, value, TYPES, false)?,
            _ => {}
        }
    }
    Ok(reservation)
}

fn labels(object: &Object) -> Parsed<wire::Labels> {
    let mut labels = wire::Labels::default();
    for (name, value) in set(object) {
        if name == "labels" {
            labels.labels = repeated(name, value, |name, value| message(name, value, label))?;
        }
    }
    Ok(labels)
}

fn label(object: &Object) -> Parsed<wire::Label> {
    let mut label = wire::Label::default();
    for (name, value) in set(object) {
        match name {
            "key" => label.key = text(name, value)?,
            "value" => label.value = text(name, value)?,
            _ => {}
        }
    }
    Ok(label)
}

fn disk(object: &Object) -> Parsed<wire::DiskInfo> {
    let mut disk = wire::DiskInfo::default();
    for (name, value) in set(object) {
        match name {
            "persistence" => disk.persistence = message(name, value, persistence)?,
            "volume" => disk.volume = message(name, value, volume)?,
            "source" => disk.source = message(name, value, source)?,
            _ => {}
        }
    }
    Ok(disk)
}

fn persistence(object: &Object) -> Parsed<wire::Persistence> {
    let mut persistence = wire::Persistence::default();
    for (name, value) in set(object) {
        match name {
            "id" => persistence.id = text(name, value)?,
            "principal" => persistence.principal = text(name, value)?,
            _ => {}
        }
    }
    Ok(persistence)
}

/// Image and source of a container's volume name nothing of a disk.
fn volume(object: &Object) -> Parsed<wire::Volume> {
    const MODES: &[(&str, i32)] = &[("RW", wire::RW), ("RO", wire::RO)];
    let mut volume = wire::Volume::default();
    for (name, value) in set(object) {
        match name {
            "container_path" => volume.container_path = text(name, value)?,
            "host_path" => volume.host_path = text(name, value)?,
            "mode" => volume.mode = number_of(name, value, MODES, true)?,
            _ => {}
        }
    }
    Ok(volume)
}

fn source(object: &Object) -> Parsed<wire::Source> {
    const TYPES: &[(&str, i32)] = &[
        ("UNKNOWN", 0),
        ("PATH", wire::PATH),
        ("MOUNT", wire::MOUNT),
        ("BLOCK", wire::BLOCK),
        ("RAW", wire::RAW),
    ];
    let mut source = wire::Source::default();
    for (name, value) in set(object) {
        match name {
            "type" => source.kind = number_of(name, value, TYPES, true)?,
            "path" => source.path = message(name, value, root)?,
            "mount" => source.mount = message(name, value, root)?,
            "id" => source.id = text(name, value)?,
            "metadata" => source.metadata = message(name, value, labels)?,
            "profile" => source.profile = text(name, value)?,
            "vendor" => source.vendor = text(name, value)?,
            _ => {}
        }
    }
    Ok(source)
}

fn root(object: &Object) -> Parsed<wire::Root> {
    let mut root = wire::Root::default();
    for (name, value) in set(object) {
        if name == "root" {
            root.root = text(name, value)?;
        }
    }
    Ok(root)
}

/// The keys of a JSON text, with their place, that Mesos does not know and ignores: in an entry, its
/// `disk`, and the source of that. None where the text is no JSON array.
#[must_use]
pub fn unknown_keys(text: &str) -> Vec<String> {
    const ENTRY: &[&str] = &[
        "name",
        "type",
        "scalar",
        "ranges",
        "set",
        "role",
        "disk",
        "reservation",
        "revocable",
        "shared",
        "allocation_info",
        "provider_id",
        "reservations",
    ];
    const DISK: &[&str] = &["persistence", "volume", "source"];
    const SOURCE: &[&str] = &[
        "type", "path", "mount", "id", "metadata", "profile", "vendor",
    ];
    let Ok(Value::Array(entries)) = serde_json::from_str(text) else {
        return Vec::new();
    };
    let mut unknown = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        for (at, pointer, known) in [
            ("", "", ENTRY),
            (".disk", "/disk", DISK),
            (".disk.source", "/disk/source", SOURCE),
        ] {
            let keys = entry.pointer(pointer).and_then(Value::as_object);
            for (key, _) in keys.into_iter().flatten() {
                if !known.contains(&key.as_str()) {
                    unknown.push(format!("`[{index}]{at}.{key}`"));
                }
            }
        }
    }
    unknown
}

/// Every required field that is not there, as protobuf names them.
fn missing(resource: &wire::Resource) -> Vec<String> {
    fn need<T>(missing: &mut Vec<String>, there: Option<&T>, field: &str) {
        if there.is_none() {
            missing.push(field.to_owned());
        }
    }
    fn keys(missing: &mut Vec<String>, labels: Option<&wire::Labels>, path: &str) {
        for (index, label) in labels.iter().flat_map(|labels| &labels.labels).enumerate() {
            need(
                missing,
                label.key.as_ref(),
                &format!("{path}.labels[{index}].key"),
            );
        }
    }
    let all = &mut Vec::new();
    need(all, resource.name.as_ref(), "name");
    need(all, resource.kind.as_ref(), "type");
    if let Some(scalar) = &resource.scalar {
        need(all, scalar.value.as_ref(), "scalar.value");
    }
    let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
    for (index, range) in ranges.enumerate() {
        need(
            all,
            range.begin.as_ref(),
            &format!("ranges.range[{index}].begin"),
        );
        need(
            all,
            range.end.as_ref(),
            &format!("ranges.range[{index}].end"),
        );
    }
    if let Some(disk) = &resource.disk {
        if let Some(persistence) = &disk.persistence {
            need(all, persistence.id.as_ref(), "disk.persistence.id");
        }
        if let Some(volume) = &disk.volume {
            need(
                all,
                volume.container_path.as_ref(),
                "disk.volume.container_path",
            );
            need(all, volume.mode.as_ref(), "disk.volume.mode");
        }
        if let Some(source) = &disk.source {
            need(all, source.kind.as_ref(), "disk.source.type");
            keys(all, source.metadata.as_ref(), "disk.source.metadata");
        }
    }
    if let Some(reservation) = &resource.reservation {
        keys(all, reservation.labels.as_ref(), "reservation.labels");
    }
    if let Some(provider) = &resource.provider_id {
        need(all, provider.value.as_ref(), "provider_id.value");
    }
    for (index, reservation) in resource.reservations.iter().enumerate() {
        let path = format!("reservations[{index}].labels");
        keys(all, reservation.labels.as_ref(), &path);
    }
    std::mem::take(all)
}
