//! What was done: `receipts`, `GET /v1/receipts`.

use serde::Serialize;

use crate::decide::receipts::AuditRecord;
use crate::observe::receipts::Receipts as Found;

/// Lines of the audit log.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Receipts {
    /// Oldest first.
    #[cfg_attr(test, schemars(with = "Vec<super::schemas::Object>"))]
    pub receipts: Vec<AuditRecord>,
    /// File and number of each line that is none: torn by a crash, or damaged.
    pub damaged: Vec<String>,
}

/// What was read.
#[must_use]
pub fn receipts(found: Found) -> Receipts {
    Receipts {
        damaged: found
            .damaged
            .iter()
            .map(|(file, line)| format!("{file}:{line}"))
            .collect(),
        receipts: found.records,
    }
}
