//! What lies in the trash: `trash list`, `GET /v1/trash`.

use serde::Serialize;

use super::{Disk, Name, Why, whys};
use crate::decide::listing::TrashItem;
use crate::decide::manifest::TrashState;
use crate::decide::steps::TrashId;
use crate::units::Span;

/// The trash of every root.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Trash {
    /// One an entry.
    pub items: Vec<TrashEntry>,
}

/// An entry.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct TrashEntry {
    /// The entry's name.
    #[cfg_attr(test, schemars(with = "String"))]
    pub id: TrashId,
    /// The role; null where the manifest can't be read.
    pub role: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_base64: Option<String>,
    /// The persistence id.
    pub persistence_id: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence_id_base64: Option<String>,
    /// The disk whose trash it is in.
    pub disk: Disk,
    /// The root of that disk.
    pub root: String,
    /// How far it got; null where the manifest can't be read.
    #[cfg_attr(test, schemars(with = "Option<super::schemas::TrashStates>"))]
    pub state: Option<TrashState>,
    /// Seconds since 1970 when it was moved, by the wall clock.
    pub quarantined_at: Option<i64>,
    /// Milliseconds of lived time until it expires; null where it never does by itself.
    #[cfg_attr(test, schemars(with = "Option<u64>"))]
    pub expires_in_ms: Option<Span>,
    /// Why it is still there.
    pub reasons: Vec<Why>,
}

/// Every entry.
#[must_use]
pub fn trash(items: &[TrashItem]) -> Trash {
    Trash {
        items: items.iter().map(item).collect(),
    }
}

fn item(item: &TrashItem) -> TrashEntry {
    let id = item.key.as_ref().map(|key| Name::from(key.id.as_raw()));
    let role = item.key.as_ref().map(|key| Name::from(key.role.as_raw()));
    let base64 = |name: &Option<Name>| name.as_ref().and_then(|name| name.base64.clone());
    let disk = Disk::from(&item.disk);
    TrashEntry {
        id: item.id.clone(),
        role_base64: base64(&role),
        persistence_id_base64: base64(&id),
        role: role.map(|name| name.text),
        persistence_id: id.map(|name| name.text),
        root: disk.root.clone(),
        disk,
        state: item.state,
        quarantined_at: item.quarantined_at,
        expires_in_ms: item.expires_in,
        reasons: whys(&item.reasons),
    }
}
