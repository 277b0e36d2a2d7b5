//! From a message to one normal form: presence, numbers and names are checked here, and the PRE,
//! POST and ENDPOINT forms of reservations become one stack.
//!
//! The rules are those of Mesos's own validation (src/common/resources.cpp, src/common/roles.cpp,
//! src/common/validation.cpp). Mesos drops a record that breaks them without a word; for us such a
//! file can't be trusted, because what the record meant to name may be on disk.

use std::fmt;

use super::wire;
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use crate::mesos::state::{Launched, Operation, OperationKind, OperationState, SlaveInfo};
use crate::units::{Megabytes, Raw};

/// A rule that a message breaks, and where.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mesos) struct Fault {
    /// The field, from the message down, such as `disk.persistence.id`.
    pub field: String,
    /// The rest of the sentence that begins with the field.
    pub rule: String,
}

impl Fault {
    pub(in crate::mesos) fn new(field: &str, rule: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            rule: rule.into(),
        }
    }

    fn missing(field: &str) -> Self {
        Self::new(field, "is missing")
    }

    fn number(field: &str, number: i32) -> Self {
        Self::new(
            field,
            format!("is {number}, a number that Mesos does not have"),
        )
    }

    /// The same fault, seen from the message that holds this one in `field`.
    pub(in crate::mesos) fn inside(self, field: impl fmt::Display) -> Self {
        Self {
            field: format!("{field}.{}", self.field),
            rule: self.rule,
        }
    }
}

type Normal<T> = Result<T, Fault>;

fn required<T>(value: Option<T>, field: &str) -> Normal<T> {
    value.ok_or_else(|| Fault::missing(field))
}

fn id(value: Option<wire::Text>, field: &str) -> Normal<Raw> {
    optional_id(value, field)?.ok_or_else(|| Fault::missing(field))
}

fn optional_id(value: Option<wire::Text>, field: &str) -> Normal<Option<Raw>> {
    value
        .map(|text| {
            required(text.value, "value")
                .map(Raw::new)
                .map_err(|fault| fault.inside(field))
        })
        .transpose()
}

/// A resource of any form.
pub(in crate::mesos) fn resource(wire: wire::Resource) -> Normal<Resource> {
    let name = Raw::new(required(wire.name, "name")?);
    if name.is_empty() {
        return Err(Fault::new("name", "is empty"));
    }
    let value = value(wire.kind, wire.scalar, wire.ranges, wire.set)?;
    let has_disk = wire.disk.is_some();
    if has_disk && name.as_bytes() != b"disk" {
        return Err(Fault::new(
            "disk",
            format!("is set for the resource {name}"),
        ));
    }
    let (source, persistence) = match wire.disk {
        Some(info) => disk(*info).map_err(|fault| fault.inside("disk"))?,
        None => (None, None),
    };
    let reservations = reservations(
        wire.role,
        wire.reservation.map(|reservation| *reservation),
        wire.reservations,
    )?;
    let shared = wire.shared.is_some();
    if shared && persistence.is_none() {
        return Err(Fault::new("shared", "is set for what is no volume"));
    }
    let reserved_dynamically = reservations
        .iter()
        .any(|reservation| reservation.kind == ReservationType::Dynamic);
    if wire.revocable.is_some() && (has_disk || reserved_dynamically) {
        return Err(Fault::new(
            "revocable",
            "is set for a disk or a dynamic reservation",
        ));
    }
    Ok(Resource {
        name,
        value,
        reservations,
        source,
        persistence,
        shared,
        provider_id: optional_id(wire.provider_id, "provider_id")?,
    })
}

fn value(
    kind: Option<i32>,
    scalar: Option<wire::Scalar>,
    ranges: Option<wire::Ranges>,
    set: Option<wire::Set>,
) -> Normal<Value> {
    let kind = required(kind, "type")?;
    let several = [scalar.is_some(), ranges.is_some(), set.is_some()]
        .iter()
        .filter(|there| **there)
        .count()
        > 1;
    if several {
        return Err(Fault::new("type", "has values of more than one type"));
    }
    match kind {
        wire::SCALAR => {
            let number = required(required(scalar, "scalar")?.value, "scalar.value")?;
            scalar_value(number)
                .map(Value::Scalar)
                .map_err(|rule| Fault::new("scalar.value", rule))
        }
        wire::RANGES => required(ranges, "ranges")?
            .range
            .into_iter()
            .map(|range| {
                Ok((
                    required(range.begin, "ranges.range.begin")?,
                    required(range.end, "ranges.range.end")?,
                ))
            })
            .collect::<Normal<_>>()
            .map(Value::Ranges),
        wire::SET => Ok(Value::Set(
            required(set, "set")?
                .item
                .into_iter()
                .map(Raw::new)
                .collect(),
        )),
        wire::TEXT => Err(Fault::new("type", "is TEXT, which no resource has")),
        number => Err(Fault::number("type", number)),
    }
}

/// The number as Mesos compares it. Less than half a thousandth is zero, as it is there.
fn scalar_value(number: f64) -> Result<Megabytes, String> {
    if number.is_nan() {
        return Err("is not a number".to_owned());
    }
    let value = Megabytes::from_f64(number)
        .ok_or_else(|| format!("is {number:e}, which is out of range"))?;
    if value < Megabytes::default() || number.is_sign_negative() && number != 0.0 {
        return Err(format!("is negative ({number})"));
    }
    Ok(value)
}

fn disk(info: wire::DiskInfo) -> Normal<(Option<DiskSource>, Option<Persistence>)> {
    let container_path = match info.volume {
        Some(volume) => {
            let path = required(volume.container_path, "volume.container_path")?;
            match required(volume.mode, "volume.mode")? {
                wire::RW | wire::RO => Some(Raw::new(path)),
                number => return Err(Fault::number("volume.mode", number)),
            }
        }
        None => None,
    };
    let persistence = info
        .persistence
        .map(|persistence| {
            let id = PersistenceId::new(required(persistence.id, "persistence.id")?);
            if let Some(rule) = id.fault() {
                return Err(Fault::new("persistence.id", rule));
            }
            Ok(Persistence {
                id,
                principal: persistence.principal.map(Raw::new),
                container_path,
            })
        })
        .transpose()?;
    let source = info
        .source
        .map(|source| disk_source(source).map_err(|fault| fault.inside("source")))
        .transpose()?;
    Ok((source, persistence))
}

fn disk_source(source: wire::Source) -> Normal<DiskSource> {
    let number = required(source.kind, "type")?;
    let (kind, root) = match number {
        wire::PATH => (
            SourceType::Path,
            Some(required(required(source.path, "path")?.root, "path.root")?),
        ),
        wire::MOUNT => (
            SourceType::Mount,
            Some(required(
                required(source.mount, "mount")?.root,
                "mount.root",
            )?),
        ),
        wire::BLOCK | wire::RAW => {
            if source.path.is_some() || source.mount.is_some() {
                return Err(Fault::new("type", "is BLOCK or RAW, which have no root"));
            }
            if number == wire::BLOCK {
                (SourceType::Block, None)
            } else {
                (SourceType::Raw, None)
            }
        }
        0 => return Err(Fault::new("type", "is UNKNOWN")),
        number => return Err(Fault::number("type", number)),
    };
    Ok(DiskSource {
        kind,
        root: root.map(Raw::new),
        id: source.id.map(Raw::new),
        vendor: source.vendor.map(Raw::new),
        profile: source.profile.map(Raw::new),
        metadata: labels(source.metadata).map_err(|fault| fault.inside("metadata"))?,
    })
}

fn labels(labels: Option<wire::Labels>) -> Normal<Vec<(Raw, Option<Raw>)>> {
    labels
        .map_or_else(Vec::new, |labels| labels.labels)
        .into_iter()
        .map(|label| {
            Ok((
                Raw::new(required(label.key, "labels.key")?),
                label.value.map(Raw::new),
            ))
        })
        .collect()
}

/// One stack from either form; where both are there (ENDPOINT) they must say the same.
fn reservations(
    role: Option<Vec<u8>>,
    dynamic: Option<wire::ReservationInfo>,
    stack: Vec<wire::ReservationInfo>,
) -> Normal<Vec<Reservation>> {
    let role = role.map(Role::new);
    if let Some(rule) = role.as_ref().and_then(Role::fault) {
        return Err(Fault::new("role", rule));
    }
    let role = role.filter(|role| !role.is_unreserved());
    if stack.is_empty() {
        return single(role, dynamic).map(|one| one.into_iter().collect());
    }
    let mut all: Vec<Reservation> = Vec::with_capacity(stack.len());
    for (index, entry) in stack.into_iter().enumerate() {
        let at = |fault: Fault| fault.inside(format_args!("reservations[{index}]"));
        let entry = refined(entry, all.last()).map_err(at)?;
        all.push(entry);
    }
    let agrees = match (&all[..], role, dynamic) {
        (_, None, None) => true,
        ([only], Some(role), dynamic) => {
            only.role == role && (dynamic.is_none() || only.kind == ReservationType::Dynamic)
        }
        _ => false,
    };
    if agrees {
        Ok(all)
    } else {
        Err(Fault::new("role", "contradicts reservations"))
    }
}

/// `role` and `reservation`, the form before refinement.
fn single(
    role: Option<Role>,
    dynamic: Option<wire::ReservationInfo>,
) -> Normal<Option<Reservation>> {
    let Some(role) = role else {
        return match dynamic {
            Some(_) => Err(Fault::new("reservation", "is set, but the role is `*`")),
            None => Ok(None),
        };
    };
    let Some(info) = dynamic else {
        return Ok(Some(Reservation {
            kind: ReservationType::Static,
            role,
            principal: None,
            labels: Vec::new(),
        }));
    };
    if info.kind.is_some_and(|kind| kind != wire::DYNAMIC)
        || info.role.is_some_and(|inner| Role::new(inner) != role)
    {
        return Err(Fault::new("reservation", "contradicts role"));
    }
    Ok(Some(Reservation {
        kind: ReservationType::Dynamic,
        role,
        principal: info.principal.map(Raw::new),
        labels: labels(info.labels).map_err(|fault| fault.inside("reservation"))?,
    }))
}

/// One entry of `reservations`, on top of the one before.
fn refined(info: wire::ReservationInfo, below: Option<&Reservation>) -> Normal<Reservation> {
    let kind = match required(info.kind, "type")? {
        wire::STATIC if below.is_some() => {
            return Err(Fault::new(
                "type",
                "is STATIC on top of another reservation",
            ));
        }
        wire::STATIC => ReservationType::Static,
        wire::DYNAMIC => ReservationType::Dynamic,
        0 => return Err(Fault::new("type", "is UNKNOWN")),
        number => return Err(Fault::number("type", number)),
    };
    let role = Role::new(required(info.role, "role")?);
    if let Some(rule) = role.fault() {
        return Err(Fault::new("role", rule));
    }
    if role.is_unreserved() {
        return Err(Fault::new("role", "is `*`, which can't be reserved"));
    }
    if below.is_some_and(|below| !role.refines(&below.role)) {
        return Err(Fault::new("role", "does not refine the reservation below"));
    }
    Ok(Reservation {
        kind,
        role,
        principal: info.principal.map(Raw::new),
        labels: labels(info.labels)?,
    })
}

fn all(resources: Vec<wire::Resource>, field: &str) -> Normal<Vec<Resource>> {
    resources
        .into_iter()
        .enumerate()
        .map(|(index, one)| {
            resource(one).map_err(|fault| fault.inside(format_args!("{field}[{index}]")))
        })
        .collect()
}

/// An operation with the volumes it names.
pub(super) fn operation(wire: wire::Operation) -> Normal<Operation> {
    let uuid = id(wire.uuid, "uuid")?;
    let uuid = uuid::Uuid::from_slice(uuid.as_bytes())
        .map_err(|_length| Fault::new("uuid.value", "is not 16 bytes long"))?;
    optional_id(wire.framework_id, "framework_id")?;
    optional_id(wire.slave_id, "slave_id")?;
    let state = status(required(wire.latest_status, "latest_status")?)
        .map_err(|fault| fault.inside("latest_status"))?;
    for (index, one) in wire.statuses.into_iter().enumerate() {
        status(one).map_err(|fault| fault.inside(format_args!("statuses[{index}]")))?;
    }
    let (kind, volumes) =
        offer_operation(required(wire.info, "info")?).map_err(|fault| fault.inside("info"))?;
    Ok(Operation {
        uuid: uuid.simple().to_string(),
        kind,
        state,
        volumes,
    })
}

fn status(wire: wire::OperationStatus) -> Normal<OperationState> {
    all(wire.converted_resources, "converted_resources")?;
    match required(wire.state, "state")? {
        wire::OPERATION_PENDING => Ok(OperationState::Pending),
        wire::OPERATION_FINISHED => Ok(OperationState::Finished),
        wire::OPERATION_FAILED
        | wire::OPERATION_ERROR
        | wire::OPERATION_DROPPED
        | wire::OPERATION_GONE_BY_OPERATOR => Ok(OperationState::Failed),
        0..=wire::OPERATION_UNKNOWN => Ok(OperationState::Unclear),
        number => Err(Fault::number("state", number)),
    }
}

/// Type and volumes. The member that belongs to the type must be there, and no other.
fn offer_operation(wire: wire::OfferOperation) -> Normal<(OperationKind, Vec<Resource>)> {
    let number = required(wire.kind, "type")?;
    let members = [
        wire.launch.is_some(),
        wire.launch_group.is_some(),
        wire.reserve.is_some(),
        wire.unreserve.is_some(),
        wire.create.is_some(),
        wire.destroy.is_some(),
        wire.grow_volume.is_some(),
        wire.shrink_volume.is_some(),
        wire.create_disk.is_some(),
        wire.destroy_disk.is_some(),
    ];
    if members.iter().filter(|there| **there).count() > 1 {
        return Err(Fault::new("type", "has the members of several types"));
    }
    let listed = |member: Option<wire::Listed>, field: &str| {
        let member = required(member, field)?;
        let mut named = all(member.resources, field)?;
        named.extend(all(member.source, field)?);
        Ok(named)
    };
    let one = |resource_of: Option<wire::Resource>, field: &str| {
        resource(required(resource_of, field)?).map_err(|fault| fault.inside(field))
    };
    let (kind, named) = match number {
        wire::CREATE => (OperationKind::Create, listed(wire.create, "create")?),
        wire::DESTROY => (OperationKind::Destroy, listed(wire.destroy, "destroy")?),
        wire::GROW_VOLUME => {
            let grow = required(wire.grow_volume, "grow_volume")?;
            one(grow.addition, "grow_volume.addition")?;
            let volume = one(grow.volume, "grow_volume.volume")?;
            (OperationKind::Resize, vec![volume])
        }
        wire::SHRINK_VOLUME => {
            let shrink = required(wire.shrink_volume, "shrink_volume")?;
            required(
                required(shrink.subtract, "shrink_volume.subtract")?.value,
                "shrink_volume.subtract.value",
            )?;
            let volume = one(shrink.volume, "shrink_volume.volume")?;
            (OperationKind::Resize, vec![volume])
        }
        wire::RESERVE => (
            OperationKind::Other(number),
            listed(wire.reserve, "reserve")?,
        ),
        wire::UNRESERVE => (
            OperationKind::Other(number),
            listed(wire.unreserve, "unreserve")?,
        ),
        wire::CREATE_DISK => {
            let member = required(wire.create_disk, "create_disk")?;
            required(member.target_type, "create_disk.target_type")?;
            let source = one(member.source, "create_disk.source")?;
            (OperationKind::Other(number), vec![source])
        }
        wire::DESTROY_DISK => {
            let member = required(wire.destroy_disk, "destroy_disk")?;
            let source = one(member.source, "destroy_disk.source")?;
            (OperationKind::Other(number), vec![source])
        }
        number => {
            return Err(Fault::new(
                "type",
                format!("is {number}, which no agent checkpoints"),
            ));
        }
    };
    let volumes = named
        .into_iter()
        .filter(|resource| resource.persistence.is_some())
        .collect();
    Ok((kind, volumes))
}

/// `slave.info`. The port is Mesos's default where it is absent.
pub(super) fn slave_info(wire: wire::SlaveInfo) -> Normal<SlaveInfo> {
    optional_id(wire.id, "id")?;
    Ok(SlaveInfo {
        hostname: Raw::new(required(wire.hostname, "hostname")?),
        port: wire.port.unwrap_or(5051),
        resources: all(wire.resources, "resources")?,
    })
}

/// `task.info`.
pub(super) fn task(wire: wire::Task) -> Normal<Launched> {
    required(wire.name, "name")?;
    id(wire.slave_id, "slave_id")?;
    required(wire.state, "state")?;
    optional_id(wire.executor_id, "executor_id")?;
    Ok(Launched {
        id: id(wire.id, "task_id")?,
        framework: Some(id(wire.framework_id, "framework_id")?),
        resources: all(wire.resources, "resources")?,
    })
}

/// `executor.info`.
pub(super) fn executor(wire: wire::ExecutorInfo) -> Normal<Launched> {
    Ok(Launched {
        id: id(wire.executor_id, "executor_id")?,
        framework: optional_id(wire.framework_id, "framework_id")?,
        resources: all(wire.resources, "resources")?,
    })
}
