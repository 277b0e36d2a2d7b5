//! Lines of the audit log, read back: what was done, by what right, and how it ended.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::Who;
use crate::mesos::ids::VolumeKey;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Seconds since 1970, by the wall clock.
    pub at: i64,
    /// The plan that the step belonged to; empty where it belonged to none.
    #[serde(default)]
    pub plan: String,
    /// `quarantine`, `wipe`, …
    pub step: String,
    /// What it was about, for people.
    pub subject: String,
    /// `begin`, `done`, `failed`, …
    pub event: String,
    /// Whose word it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
    /// The proof, where it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
    /// Why not, where it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl AuditRecord {
    /// Whether it is about this volume.
    #[must_use]
    pub fn is_about(&self, key: &VolumeKey) -> bool {
        let of_receipt = self
            .receipt
            .as_ref()
            .and_then(|receipt| receipt.get("volume"))
            .and_then(|volume| serde_json::from_value::<VolumeKey>(volume.clone()).ok());
        match of_receipt {
            Some(volume) => volume == *key,
            // Subjects begin with the volume: `role/id on …`, `role/id (trash entry …) on …`.
            None => self
                .subject
                .strip_prefix(&key.to_string())
                .is_some_and(|rest| {
                    rest.is_empty()
                        || rest.starts_with(" on ")
                        || rest.starts_with(" (trash entry ")
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::ids::{PersistenceId, Role};

    fn record(subject: &str, receipt: Option<Value>) -> AuditRecord {
        AuditRecord {
            at: 1,
            plan: "p".to_owned(),
            step: "wipe".to_owned(),
            subject: subject.to_owned(),
            event: "begin".to_owned(),
            by: None,
            receipt,
            why: None,
        }
    }

    #[test]
    fn a_volume_is_not_taken_for_one_whose_name_it_begins() {
        let key = VolumeKey::new(Role::new("db"), PersistenceId::new("a"));
        assert!(record("db/a on ROOT:/w", None).is_about(&key));
        assert!(record("db/a (trash entry 1-2-3) on ROOT:/w", None).is_about(&key));
        assert!(!record("db/ab on ROOT:/w", None).is_about(&key));
        assert!(!record("db/a and b on ROOT:/w", None).is_about(&key));
        let receipt = |key: &VolumeKey| Some(serde_json::json!({ "volume": key }));
        assert!(record("?", receipt(&key)).is_about(&key));
        let other = VolumeKey::new(Role::new("db"), PersistenceId::new("b"));
        assert!(!record("db/a on ROOT:/w", receipt(&other)).is_about(&key));
    }
}
