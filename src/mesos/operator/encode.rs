//! A resource as the JSON of a call.

use serde::Serialize;
use serde_json::{Map, Number, Value, json};

use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::resource::{
    Persistence, Reservation, ReservationType, Resource, Value as Amount,
};
use crate::mesos::state::AgentVersion;
use crate::units::{Megabytes, Raw};

/// How reservations are written (F§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceFormat {
    /// `role` and `reservation`: what masters before 1.4 know; a refined reservation can't be said.
    PreReservationRefinement,
    /// The stack `reservations` alone: what masters since 1.4 keep.
    PostReservationRefinement,
}

impl ResourceFormat {
    /// What a master of this version takes.
    #[must_use]
    pub fn of(master: AgentVersion) -> Self {
        if (master.major, master.minor) < (1, 4) {
            Self::PreReservationRefinement
        } else {
            Self::PostReservationRefinement
        }
    }
}

/// Why a resource can't be written as the JSON of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// JSON has no words for it.
    #[error("the {what} {value} is not UTF-8 and can't be written in a call to the master")]
    NotText {
        /// What it is.
        what: &'static str,
        /// The bytes.
        value: Raw,
    },
    /// Masters before 1.4 do not know it.
    #[error(
        "it has several reservations on top of one another, which masters before 1.4 don't know"
    )]
    Refined,
    /// A number that this program has no name for.
    #[error("its {what} is {number}, which this program does not know")]
    Unknown {
        /// What it is.
        what: &'static str,
        /// The number.
        number: i32,
    },
    /// A reservation whose role is `*`.
    #[error("it is reserved to the role `*`, which stands for no reservation")]
    Star,
}

/// The resource as the JSON of a call.
pub fn resource_json(resource: &Resource, format: ResourceFormat) -> Result<Value, WriteError> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
    set("name", text("name", &resource.name)?);
    match &resource.value {
        Amount::Scalar(value) => {
            set("type", Value::from("SCALAR"));
            set("scalar", scalar(*value));
        }
        Amount::Ranges(ranges) => {
            let ranges: Vec<Value> = ranges
                .iter()
                .map(|&(begin, end)| json!({ "begin": begin, "end": end }))
                .collect();
            set("type", Value::from("RANGES"));
            set("ranges", json!({ "range": ranges }));
        }
        Amount::Set(items) => {
            let items: Vec<Value> = items
                .iter()
                .map(|item| text("item", item))
                .collect::<Result<_, _>>()?;
            set("type", Value::from("SET"));
            set("set", json!({ "item": items }));
        }
    }
    for reservation in &resource.reservations {
        if reservation.role.is_unreserved() {
            return Err(WriteError::Star);
        }
    }
    match (format, resource.reservations.as_slice()) {
        (ResourceFormat::PreReservationRefinement, []) => {
            set("role", Value::from("*"));
        }
        (ResourceFormat::PreReservationRefinement, [only]) => {
            set("role", text("role", only.role.as_raw())?);
            match only.kind {
                ReservationType::Static => {}
                ReservationType::Dynamic => {
                    set("reservation", Value::Object(who(only)?));
                }
                ReservationType::Unknown(number) => {
                    return Err(WriteError::Unknown {
                        what: "type of reservation",
                        number,
                    });
                }
            }
        }
        (ResourceFormat::PreReservationRefinement, [_, _, ..]) => return Err(WriteError::Refined),
        (ResourceFormat::PostReservationRefinement, []) => {}
        (ResourceFormat::PostReservationRefinement, stack) => {
            let stack: Vec<Value> = stack
                .iter()
                .map(reservation_json)
                .collect::<Result<_, _>>()?;
            set("reservations", Value::Array(stack));
        }
    }
    let disk = disk_json(resource.source.as_ref(), resource.persistence.as_ref())?;
    if !disk.is_empty() {
        set("disk", Value::Object(disk));
    }
    if resource.shared {
        set("shared", json!({}));
    }
    if let Some(provider) = &resource.provider_id {
        set(
            "provider_id",
            json!({ "value": text("provider id", provider)? }),
        );
    }
    Ok(Value::Object(object))
}

/// `{"value": …}`, whole where it is.
pub(super) fn scalar(value: Megabytes) -> Value {
    let thousandths = value.thousandths();
    let number = if thousandths.checked_rem(1000) == Some(0) {
        Number::from(thousandths.checked_div(1000).unwrap_or_default())
    } else {
        Number::from_f64(value.as_f64()).unwrap_or_else(|| Number::from(0))
    };
    json!({ "value": number })
}

fn text(what: &'static str, raw: &Raw) -> Result<Value, WriteError> {
    raw.as_str()
        .map(Value::from)
        .ok_or_else(|| WriteError::NotText {
            what,
            value: raw.clone(),
        })
}

fn labels(labels: &[(Raw, Option<Raw>)]) -> Result<Value, WriteError> {
    let labels: Vec<Value> = labels
        .iter()
        .map(|(key, value)| {
            let mut label = Map::new();
            label.insert("key".to_owned(), text("label", key)?);
            if let Some(value) = value {
                label.insert("value".to_owned(), text("label", value)?);
            }
            Ok(Value::Object(label))
        })
        .collect::<Result<_, WriteError>>()?;
    Ok(json!({ "labels": labels }))
}

/// Principal and labels.
fn who(reservation: &Reservation) -> Result<Map<String, Value>, WriteError> {
    let mut object = Map::new();
    if let Some(principal) = &reservation.principal {
        object.insert("principal".to_owned(), text("principal", principal)?);
    }
    if !reservation.labels.is_empty() {
        object.insert("labels".to_owned(), labels(&reservation.labels)?);
    }
    Ok(object)
}

fn reservation_json(reservation: &Reservation) -> Result<Value, WriteError> {
    let kind = match reservation.kind {
        ReservationType::Static => "STATIC",
        ReservationType::Dynamic => "DYNAMIC",
        ReservationType::Unknown(number) => {
            return Err(WriteError::Unknown {
                what: "type of reservation",
                number,
            });
        }
    };
    let mut object = who(reservation)?;
    object.insert("type".to_owned(), Value::from(kind));
    object.insert("role".to_owned(), text("role", reservation.role.as_raw())?);
    Ok(Value::Object(object))
}

fn disk_json(
    source: Option<&DiskSource>,
    persistence: Option<&Persistence>,
) -> Result<Map<String, Value>, WriteError> {
    let mut disk = Map::new();
    if let Some(persistence) = persistence {
        let mut object = Map::new();
        object.insert(
            "id".to_owned(),
            text("persistence id", persistence.id.as_raw())?,
        );
        if let Some(principal) = &persistence.principal {
            object.insert("principal".to_owned(), text("principal", principal)?);
        }
        disk.insert("persistence".to_owned(), Value::Object(object));
        if let Some(path) = &persistence.container_path {
            disk.insert(
                "volume".to_owned(),
                // A read-only volume is never created (F§8).
                json!({ "mode": "RW", "container_path": text("container path", path)? }),
            );
        }
    }
    if let Some(source) = source {
        disk.insert("source".to_owned(), Value::Object(source_json(source)?));
    }
    Ok(disk)
}

fn source_json(source: &DiskSource) -> Result<Map<String, Value>, WriteError> {
    let mut object = Map::new();
    let (word, member) = match source.kind {
        SourceType::Path => ("PATH", Some("path")),
        SourceType::Mount => ("MOUNT", Some("mount")),
        SourceType::Block => ("BLOCK", None),
        SourceType::Raw => ("RAW", None),
        SourceType::Unknown(number) => {
            return Err(WriteError::Unknown {
                what: "type of disk",
                number,
            });
        }
    };
    object.insert("type".to_owned(), Value::from(word));
    if let Some(member) = member {
        let mut inner = Map::new();
        if let Some(root) = &source.root {
            inner.insert("root".to_owned(), text("root", root)?);
        }
        object.insert(member.to_owned(), Value::Object(inner));
    }
    for (key, value) in [
        ("id", &source.id),
        ("vendor", &source.vendor),
        ("profile", &source.profile),
    ] {
        if let Some(value) = value {
            object.insert(key.to_owned(), text("part of a disk's source", value)?);
        }
    }
    if !source.metadata.is_empty() {
        object.insert("metadata".to_owned(), labels(&source.metadata)?);
    }
    Ok(object)
}
