//! A Mesos `Resource`, normalised: one form for PRE, POST and ENDPOINT records
//! (include/mesos/mesos.proto, src/common/resources_utils.cpp).

use serde::{Deserialize, Serialize};

use super::disk::{DiskRef, DiskSource, DiskType, SourceType};
use super::ids::{PersistenceId, Role, VolumeKey};
use crate::units::{Megabytes, Raw};

/// Static or dynamic (`ReservationInfo.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReservationType {
    /// From `--resources`.
    Static,
    /// From RESERVE.
    Dynamic,
    /// A number that this program does not know.
    Unknown(i32),
}

/// One entry of a reservation stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reservation {
    /// Static or dynamic.
    #[serde(rename = "type")]
    pub kind: ReservationType,
    /// The role.
    pub role: Role,
    /// Who reserved.
    pub principal: Option<Raw>,
    /// Labels, as key and value in the order given.
    pub labels: Vec<(Raw, Option<Raw>)>,
}

/// `DiskInfo.Persistence` and the container path beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// The persistence id.
    pub id: PersistenceId,
    /// Who created the volume.
    pub principal: Option<Raw>,
    /// `DiskInfo.volume.container_path`.
    pub container_path: Option<Raw>,
}

/// The value of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `disk`, `mem`, `cpus`, …, in thousandths.
    Scalar(Megabytes),
    /// `ports`.
    Ranges(Vec<(u64, u64)>),
    /// A set of names.
    Set(Vec<Raw>),
}

/// A resource, with its reservations as one stack: empty means unreserved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// `disk`, `cpus`, …
    pub name: Raw,
    /// How much.
    pub value: Value,
    /// From the first (static, if any) to the most refined.
    pub reservations: Vec<Reservation>,
    /// `disk.source`; `None` for ROOT and for resources that are no disk.
    pub source: Option<DiskSource>,
    /// Set on a persistent volume.
    pub persistence: Option<Persistence>,
    /// Whether the volume is shared.
    pub shared: bool,
    /// The resource provider that owns it, if any.
    pub provider_id: Option<Raw>,
}

impl Resource {
    /// The role of the last, most refined reservation; `None` when unreserved.
    #[must_use]
    pub fn role(&self) -> Option<&Role> {
        self.reservations
            .last()
            .map(|reservation| &reservation.role)
    }

    /// Role and persistence id, where this is a persistent volume. A volume without a reservation
    /// has the role `*`, whose directory Mesos would use.
    #[must_use]
    pub fn volume_key(&self) -> Option<VolumeKey> {
        let persistence = self.persistence.as_ref()?;
        let role = self.role().cloned().unwrap_or_else(|| Role::new("*"));
        Some(VolumeKey::new(role, persistence.id.clone()))
    }

    /// The disk this resource is on; `None` for other resources, and for BLOCK, RAW and sources
    /// without a root, which have no directory here.
    #[must_use]
    pub fn disk(&self, work_dir: &Raw) -> Option<DiskRef> {
        if self.name.as_bytes() != b"disk" {
            return None;
        }
        let Some(source) = &self.source else {
            return Some(DiskRef {
                kind: DiskType::Root,
                root: work_dir.clone(),
            });
        };
        let kind = match source.kind {
            SourceType::Path => DiskType::Path,
            SourceType::Mount => DiskType::Mount,
            SourceType::Block | SourceType::Raw | SourceType::Unknown(_) => return None,
        };
        Some(DiskRef {
            kind,
            root: source.root.clone()?,
        })
    }

    /// The scalar value in megabytes; `None` for ranges and sets.
    #[must_use]
    pub fn megabytes(&self) -> Option<Megabytes> {
        match &self.value {
            Value::Scalar(value) => Some(*value),
            Value::Ranges(_) | Value::Set(_) => None,
        }
    }
}
