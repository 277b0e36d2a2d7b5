//! What is told of this host as JSON: by commands with `--output json`, by the API, and to the status
//! page. One type for each answer, so that all of them say the same.
//!
//! Names that are not UTF-8 appear escaped, with the exact bytes in the `*_base64` key beside them.
//! The schemas of `config/openapi.json` are made from these types.

pub mod alarms;
pub mod disks;
pub mod jobs;
pub mod plan;
pub mod receipts;
pub mod status;
pub mod trash;
pub mod volumes;

use serde::{Deserialize, Serialize};

use crate::decide::guards::{Reason, Refusal};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::Raw;

/// A name as text, and in base64 where it is not UTF-8.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) base64: Option<String>,
}

impl From<&Raw> for Name {
    fn from(name: &Raw) -> Self {
        Self {
            text: name.to_string(),
            base64: name.base64_if_not_utf8(),
        }
    }
}

/// A disk as a volume or a trash entry names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Disk {
    /// ROOT, PATH or MOUNT.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(with = "schemas::DiskTypes"))]
    pub kind: DiskType,
    /// The root; the work_dir for ROOT.
    pub root: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_base64: Option<String>,
}

impl From<&DiskRef> for Disk {
    fn from(disk: &DiskRef) -> Self {
        let root = Name::from(&disk.root);
        Self {
            kind: disk.kind,
            root: root.text,
            root_base64: root.base64,
        }
    }
}

/// A reason with its sentence and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Why {
    /// The stable code.
    #[cfg_attr(test, schemars(with = "schemas::Refusals"))]
    pub code: Refusal,
    /// What is so.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl From<&Reason> for Why {
    fn from(reason: &Reason) -> Self {
        let detail = if reason.detail.is_empty() {
            reason.code.reason()
        } else {
            &reason.detail
        };
        Self {
            code: reason.code,
            reason: detail.to_owned(),
            remedy: reason.code.remedy().to_owned(),
        }
    }
}

/// Every reason, with sentence and remedy.
#[must_use]
pub fn whys(reasons: &[Reason]) -> Vec<Why> {
    reasons.iter().map(Why::from).collect()
}

/// Why something was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Failure {
    /// A sentence.
    pub error: String,
}

/// What the schema says of types that lie where no schema is made.
#[cfg(test)]
pub(super) mod schemas {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use crate::decide::discover::Code;
    use crate::decide::facts::WipeMode;
    use crate::decide::guards::Refusal;
    use crate::decide::listing::VolumeState;
    use crate::decide::manifest::TrashState;
    use crate::decide::radar::AlarmKind;
    use crate::mesos::disk::DiskType;

    fn words(words: impl IntoIterator<Item = impl serde::Serialize>) -> Schema {
        let words: Vec<serde_json::Value> = words
            .into_iter()
            .map(|word| serde_json::to_value(word).unwrap())
            .collect();
        json_schema!({ "type": "string", "enum": words })
    }

    macro_rules! enumeration {
        ($name:ident, $title:literal, $words:expr) => {
            pub(crate) struct $name;
            impl JsonSchema for $name {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    $title.into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    words($words)
                }
            }
        };
    }

    enumeration!(
        DiskTypes,
        "DiskType",
        [DiskType::Root, DiskType::Path, DiskType::Mount]
    );
    enumeration!(Refusals, "Refusal", Refusal::ALL);
    enumeration!(Rejections, "Rejection", Code::ALL);
    enumeration!(AlarmKinds, "AlarmKind", AlarmKind::ALL);
    enumeration!(VolumeStates, "VolumeState", VolumeState::ALL);
    enumeration!(
        WipeModes,
        "WipeMode",
        [
            WipeMode::Unlink,
            WipeMode::Discard,
            WipeMode::Overwrite,
            WipeMode::ZeroFree,
            WipeMode::Reformat
        ]
    );
    enumeration!(
        TrashStates,
        "TrashState",
        [
            TrashState::Prepared,
            TrashState::Moved,
            TrashState::Cleared,
            TrashState::Wiping
        ]
    );

    /// An object of this program whose keys are not part of the contract.
    pub(crate) struct Object;
    impl JsonSchema for Object {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Object".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "object" })
        }
    }

    /// Anything.
    pub(crate) struct Anything;
    impl JsonSchema for Anything {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Anything".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({})
        }
    }
}
