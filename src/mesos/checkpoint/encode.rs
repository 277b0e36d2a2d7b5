//! Writing what Mesos would write, to the byte: for tests and demonstrations that replay the life
//! of an agent. This program never writes below Mesos's `meta`.

use prost::Message;

use super::wire;
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use crate::mesos::state::{
    Launched, Operation, OperationKind, OperationState, ResourceState, SlaveInfo,
};
use crate::units::Raw;

/// How reservations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Before refinement: role and `reservation`. A refined resource has no such form and is
    /// written as [`Form::Post`], as Mesos does.
    Pre,
    /// After refinement: the stack `reservations`.
    Post,
}

/// What an operation on disk has, and [`Operation`] leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationContext<'a> {
    /// The agent id.
    pub agent_id: &'a [u8],
    /// The uuid of the status of operations that are not pending.
    pub status_uuid: [u8; 16],
}

/// Why something can't be written as Mesos would.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EncodeError {
    /// An operation's uuid is not 32 hexadecimal digits.
    #[error("`{uuid}` is not the uuid of an operation (32 hexadecimal digits)")]
    Uuid {
        /// What it is.
        uuid: String,
    },
    /// Only CREATE and DESTROY are written.
    #[error("operation {uuid} is neither CREATE nor DESTROY")]
    Kind {
        /// The operation.
        uuid: String,
    },
    /// A record is too long for its length.
    #[error("a record of {bytes} bytes does not fit into a length of 32 bits")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

fn bytes(raw: &Raw) -> Vec<u8> {
    raw.as_bytes().to_vec()
}

fn text(raw: &[u8]) -> wire::Text {
    wire::Text {
        value: Some(raw.to_vec()),
    }
}

fn record(message: &impl Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len())
        .map_err(|_too_large| EncodeError::TooLarge { bytes: body.len() })?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// `resources_and_operations.state` or `.target`, as an agent since 1.9 writes it.
pub fn encode_state(
    state: &ResourceState,
    context: &OperationContext<'_>,
) -> Result<Vec<u8>, EncodeError> {
    let operations = state
        .operations
        .iter()
        .map(|one| operation(one, context).map(|message| message.encode_to_vec()))
        .collect::<Result<_, _>>()?;
    let message = wire::State {
        operations,
        resources: state
            .resources
            .iter()
            .map(|one| resource(one, Form::Post).encode_to_vec())
            .collect(),
        storage: None,
    };
    let mut out = Vec::new();
    record(&message, &mut out)?;
    Ok(out)
}

/// `resources.info` or `resources.target`. Mesos writes them in [`Form::Pre`] unless any resource
/// is refined.
pub fn encode_info(resources: &[Resource], form: Form) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    for one in resources {
        record(&resource(one, form), &mut out)?;
    }
    Ok(out)
}

/// `slave.info` of the agent with this id.
pub fn encode_slave_info(info: &SlaveInfo, agent_id: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let message = wire::SlaveInfo {
        hostname: Some(bytes(&info.hostname)),
        webui_hostname: None,
        resources: info
            .resources
            .iter()
            .map(|one| resource(one, Form::Pre))
            .collect(),
        webui_port: None,
        attributes: Vec::new(),
        id: Some(text(agent_id)),
        checkpoint: Some(true),
        port: Some(info.port),
        domain: None,
    };
    let mut out = Vec::new();
    record(&message, &mut out)?;
    Ok(out)
}

/// `task.info` of a staging task on the agent with this id, its resources allocated to the role of
/// the first reserved one.
pub fn encode_task(task: &Launched, agent_id: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let role = task.resources.iter().find_map(Resource::role);
    let resources = task
        .resources
        .iter()
        .map(|one| wire::Resource {
            allocation_info: Some(wire::AllocationInfo {
                role: Some(role.map_or_else(|| b"*".to_vec(), |role| bytes(role.as_raw()))),
            }),
            ..resource(one, Form::Pre)
        })
        .collect();
    let message = wire::Task {
        name: Some(bytes(&task.id)),
        id: Some(text(task.id.as_bytes())),
        framework_id: Some(text(
            task.framework.as_ref().map_or(&b""[..], Raw::as_bytes),
        )),
        slave_id: Some(text(agent_id)),
        state: Some(TASK_STAGING),
        resources,
        ..wire::Task::default()
    };
    let mut out = Vec::new();
    record(&message, &mut out)?;
    Ok(out)
}

/// `TaskState`: the state in which a task is checkpointed.
const TASK_STAGING: i32 = 6;

fn operation(
    operation: &Operation,
    context: &OperationContext<'_>,
) -> Result<wire::Operation, EncodeError> {
    let listed = wire::Listed {
        resources: operation
            .volumes
            .iter()
            .map(|one| resource(one, Form::Post))
            .collect(),
        source: Vec::new(),
    };
    let info = match operation.kind {
        OperationKind::Create => wire::OfferOperation {
            kind: Some(wire::CREATE),
            create: Some(listed),
            ..wire::OfferOperation::default()
        },
        OperationKind::Destroy => wire::OfferOperation {
            kind: Some(wire::DESTROY),
            destroy: Some(listed),
            ..wire::OfferOperation::default()
        },
        OperationKind::Resize | OperationKind::Other(_) => {
            return Err(EncodeError::Kind {
                uuid: operation.uuid.clone(),
            });
        }
    };
    let state = match operation.state {
        OperationState::Pending => wire::OPERATION_PENDING,
        OperationState::Finished => wire::OPERATION_FINISHED,
        OperationState::Failed => wire::OPERATION_FAILED,
        OperationState::Unclear => wire::OPERATION_UNKNOWN,
    };
    let pending = operation.state == OperationState::Pending;
    let status = wire::OperationStatus {
        state: Some(state),
        uuid: (!pending).then(|| text(&context.status_uuid)),
        slave_id: Some(text(context.agent_id)),
        ..wire::OperationStatus::default()
    };
    let uuid = uuid::Uuid::try_parse(&operation.uuid).map_err(|_no_uuid| EncodeError::Uuid {
        uuid: operation.uuid.clone(),
    })?;
    Ok(wire::Operation {
        framework_id: None,
        slave_id: Some(text(context.agent_id)),
        info: Some(info),
        latest_status: Some(status.clone()),
        statuses: if pending { Vec::new() } else { vec![status] },
        uuid: Some(text(uuid.as_bytes())),
    })
}

/// The message of a resource.
pub(in crate::mesos) fn resource(resource: &Resource, form: Form) -> wire::Resource {
    let mut message = wire::Resource {
        name: Some(bytes(&resource.name)),
        shared: resource.shared.then(wire::Empty::default),
        provider_id: resource.provider_id.as_ref().map(|id| text(id.as_bytes())),
        ..wire::Resource::default()
    };
    match &resource.value {
        Value::Scalar(value) => {
            message.kind = Some(wire::SCALAR);
            message.scalar = Some(wire::Scalar {
                value: Some(value.as_f64()),
            });
        }
        Value::Ranges(ranges) => {
            message.kind = Some(wire::RANGES);
            message.ranges = Some(wire::Ranges {
                range: ranges
                    .iter()
                    .map(|&(begin, end)| wire::Range {
                        begin: Some(begin),
                        end: Some(end),
                    })
                    .collect(),
            });
        }
        Value::Set(items) => {
            message.kind = Some(wire::SET);
            message.set = Some(wire::Set {
                item: items.iter().map(bytes).collect(),
            });
        }
    }
    match (form, &resource.reservations[..]) {
        (Form::Pre, []) => message.role = Some(b"*".to_vec()),
        (Form::Pre, [only]) => {
            message.role = Some(bytes(only.role.as_raw()));
            message.reservation = (only.kind != ReservationType::Static).then(|| {
                Box::new(wire::ReservationInfo {
                    role: None,
                    kind: None,
                    ..reservation(only)
                })
            });
        }
        (Form::Pre | Form::Post, stack) => {
            message.reservations = stack.iter().map(reservation).collect();
        }
    }
    if resource.source.is_some() || resource.persistence.is_some() {
        message.disk = Some(Box::new(disk(
            resource.persistence.as_ref(),
            resource.source.as_ref(),
        )));
    }
    message
}

fn reservation(one: &Reservation) -> wire::ReservationInfo {
    wire::ReservationInfo {
        principal: one.principal.as_ref().map(bytes),
        labels: labels(&one.labels),
        role: Some(bytes(one.role.as_raw())),
        kind: Some(match one.kind {
            ReservationType::Static => wire::STATIC,
            ReservationType::Dynamic => wire::DYNAMIC,
            ReservationType::Unknown(number) => number,
        }),
    }
}

fn labels(labels: &[(Raw, Option<Raw>)]) -> Option<wire::Labels> {
    (!labels.is_empty()).then(|| wire::Labels {
        labels: labels
            .iter()
            .map(|(key, value)| wire::Label {
                key: Some(bytes(key)),
                value: value.as_ref().map(bytes),
            })
            .collect(),
    })
}

fn disk(persistence: Option<&Persistence>, source: Option<&DiskSource>) -> wire::DiskInfo {
    wire::DiskInfo {
        persistence: persistence.map(|one| wire::Persistence {
            id: Some(bytes(one.id.as_raw())),
            principal: one.principal.as_ref().map(bytes),
        }),
        volume: persistence
            .and_then(|one| one.container_path.as_ref())
            .map(|path| wire::Volume {
                container_path: Some(bytes(path)),
                mode: Some(wire::RW),
                ..wire::Volume::default()
            }),
        source: source.map(|one| {
            let root = || {
                one.root.as_ref().map(|root| wire::Root {
                    root: Some(bytes(root)),
                })
            };
            let (kind, path, mount) = match one.kind {
                SourceType::Path => (wire::PATH, root(), None),
                SourceType::Mount => (wire::MOUNT, None, root()),
                SourceType::Block => (wire::BLOCK, None, None),
                SourceType::Raw => (wire::RAW, None, None),
                SourceType::Unknown(number) => (number, None, None),
            };
            wire::Source {
                kind: Some(kind),
                path,
                mount,
                id: one.id.as_ref().map(bytes),
                metadata: labels(&one.metadata),
                profile: one.profile.as_ref().map(bytes),
                vendor: one.vendor.as_ref().map(bytes),
            }
        }),
    }
}
