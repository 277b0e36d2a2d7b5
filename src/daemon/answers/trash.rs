//! What lies in the trash: `trash list`, `GET /v1/trash`.

use serde::{Deserialize, Serialize};

use super::{Disk, Name, Why, whys};
use crate::daemon::operator::Became;
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
    /// Milliseconds of lived time since it was moved.
    #[cfg_attr(test, schemars(with = "Option<u64>"))]
    pub age_ms: Option<Span>,
    /// Seconds since 1970 when it expires, if the host runs on until then.
    pub expires_at: Option<i64>,
    /// Whether it may go before that where space is short.
    pub may_go_early: bool,
    /// Entries in it, directories among them; null where that was not counted.
    pub files: Option<u64>,
    /// Bytes that it takes up; null where that was not counted.
    pub bytes: Option<u64>,
    /// Why it was moved there, in words.
    pub evidence: Option<String>,
    /// Why it is still there.
    pub reasons: Vec<Why>,
}

/// What became of an entry that an operator named: `trash restore`, `trash purge`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct DoneEntry {
    /// The entry's name.
    #[cfg_attr(test, schemars(with = "String"))]
    pub id: TrashId,
    /// What became of it.
    pub became: Word,
    /// Where it is now, of one that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// Why it was kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Why>,
    /// What did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of it, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Word {
    /// It is back in its place, and adopted.
    Restored,
    /// Its data is gone, and the entry too.
    Purged,
    /// A worker has it; its end is in the audit log.
    UnderWay,
    /// A guard keeps it.
    Kept,
    /// It was tried and did not work; it goes on at the next pass.
    Failed,
    /// There is no such entry, or it had no data.
    Missing,
}

/// What became of an entry.
#[must_use]
pub fn done_entry((id, became): &(TrashId, Became)) -> DoneEntry {
    let plain = |word| DoneEntry {
        id: id.clone(),
        became: word,
        path: None,
        path_base64: None,
        reasons: Vec::new(),
        error: None,
    };
    match became {
        Became::Restored { at } => {
            let at = Name::from(at);
            DoneEntry {
                path: Some(at.text),
                path_base64: at.base64,
                ..plain(Word::Restored)
            }
        }
        Became::Purged => plain(Word::Purged),
        Became::UnderWay => plain(Word::UnderWay),
        Became::Kept(reasons) => DoneEntry {
            reasons: whys(reasons),
            ..plain(Word::Kept)
        },
        Became::Failed(error) => DoneEntry {
            error: Some(error.clone()),
            ..plain(Word::Failed)
        },
        Became::Missing => plain(Word::Missing),
    }
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
        age_ms: item.age,
        expires_at: item.expires_at,
        may_go_early: item.may_go_early,
        files: item.size.map(|size| size.entries),
        bytes: item.size.map(|size| size.bytes),
        evidence: item.evidence.as_ref().map(ToString::to_string),
        reasons: whys(&item.reasons),
    }
}
