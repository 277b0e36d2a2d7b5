//! Disks with their verdicts: `discover`, `GET /v1/disks`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Name;
use crate::daemon::disks::View;
use crate::decide::discover::{Code, DiskVerdict, FilesystemSeen, Verdict};
use crate::decide::facts::{BlockDevice, Known};
use crate::decide::preflight::missing::Emit;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::{Megabytes, Raw};

/// Every disk and mount.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Disks {
    /// Each with its verdict.
    pub disks: Vec<DiskSeen>,
    /// What is odd about the rules, and what could not be read.
    pub warnings: Vec<String>,
}

/// What became of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum VerdictWord {
    /// It is offered to Mesos.
    Offered,
    /// It is not.
    Rejected,
}

/// A disk.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct DiskSeen {
    /// ROOT, PATH or MOUNT; null where no rule names it.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(with = "Option<super::schemas::DiskTypes>"))]
    pub kind: Option<DiskType>,
    /// Where it is mounted, or the root as Mesos spells it.
    pub root: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_base64: Option<String>,
    /// Offered or rejected.
    pub verdict: VerdictWord,
    /// Why it is rejected.
    #[cfg_attr(test, schemars(with = "Option<super::schemas::Rejections>"))]
    pub reason: Option<Code>,
    /// Verdict and number in a sentence.
    pub explanation: String,
    /// What to do about a rejection.
    pub remedy: Option<String>,
    /// The block device.
    pub device: Option<String>,
    /// What is known of the device.
    pub drive: Option<Drive>,
    /// The file system.
    pub filesystem: Option<Filesystem>,
    /// What is advertised of it, in megabytes.
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    pub advertised_mb: Option<Value>,
    /// Why the number is what it is, as a code; `explanation` says it in a sentence.
    pub number_reason: Option<&'static str>,
    /// Where a number comes from that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted_from: Option<String>,
    /// What an agent does that starts without the disk, or with its last good number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_would: Option<String>,
    /// The role it is offered to.
    pub role: Option<String>,
    /// The number of the rule that named it, from 0.
    pub rule: Option<usize>,
    /// The volumes that the agent holds on it.
    pub held: Vec<VolumeName>,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Drive {
    /// Its size.
    pub size_bytes: Option<u64>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Whether it turns.
    pub rotational: Option<bool>,
    /// Whether it can be taken out.
    pub removable: Option<bool>,
    /// Whether no hardware of its own is behind it.
    #[serde(rename = "virtual")]
    pub is_virtual: bool,
    /// The file behind a loop device.
    pub backing_file: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_file_base64: Option<String>,
}

/// A file system.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Filesystem {
    /// Its type.
    #[serde(rename = "type")]
    pub fs_type: String,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_base64: Option<String>,
    /// Its size.
    pub total_bytes: Option<u64>,
    /// What is free of it.
    pub free_bytes: Option<u64>,
}

/// A volume by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct VolumeName {
    /// The persistence id.
    pub id: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_base64: Option<String>,
    /// The role.
    pub role: String,
    /// Its exact bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_base64: Option<String>,
}

impl From<&VolumeKey> for VolumeName {
    fn from(key: &VolumeKey) -> Self {
        let (id, role) = (Name::from(key.id.as_raw()), Name::from(key.role.as_raw()));
        Self {
            id: id.text,
            id_base64: id.base64,
            role: role.text,
            role_base64: role.base64,
        }
    }
}

/// Everything that was seen.
#[must_use]
pub fn disks(view: &View) -> Disks {
    Disks {
        disks: view
            .discovery
            .disks
            .iter()
            .map(|disk| seen(disk, view))
            .collect(),
        warnings: warnings(view),
    }
}

/// What is odd about the rules, and what could not be read.
#[must_use]
pub fn warnings(view: &View) -> Vec<String> {
    let mut warnings = view.discovery.warnings.clone();
    if let Known::Unknown(why) = &view.ledger {
        warnings.push(format!("the ledger can't be read: {why}"));
    }
    warnings.extend(view.unread.iter().cloned());
    if let Some(why) = &view.blocked {
        warnings.push(format!("nothing can be advertised yet: {why}"));
    }
    for doubt in &view.held.doubts {
        warnings.push(format!(
            "what the agent holds can't be told: {doubt}; keeping every number"
        ));
    }
    warnings
}

/// Megabytes as Mesos writes them: whole where they are.
#[must_use]
pub fn number(number: Megabytes) -> Value {
    match number.thousandths().checked_rem(1000) {
        Some(0) => json!(number.thousandths().checked_div(1000)),
        Some(_) | None => json!(number.as_f64()),
    }
}

fn seen(disk: &DiskVerdict, view: &View) -> DiskSeen {
    let root = disk.path.as_ref().map(Name::from);
    let (offer, rejection) = (disk.offer(), disk.rejection());
    let last_good = disk.last_good.as_ref();
    DiskSeen {
        kind: disk.disk.as_ref().map(|disk| disk.kind),
        root_base64: root.as_ref().and_then(|root| root.base64.clone()),
        root: root.map(|root| root.text),
        verdict: if offer.is_some() {
            VerdictWord::Offered
        } else {
            VerdictWord::Rejected
        },
        reason: rejection.map(|rejection| rejection.code),
        explanation: match &disk.verdict {
            Verdict::Offered(offer) => offer.reason.to_string(),
            Verdict::Rejected(rejection) => rejection.sentence.clone(),
        },
        remedy: rejection.and_then(|rejection| rejection.remedy.clone()),
        device: disk
            .device
            .as_ref()
            .map(|device| Raw::from("/dev").join(&device.name).to_string()),
        drive: disk.device.as_ref().map(drive),
        filesystem: disk.filesystem.as_ref().map(filesystem),
        advertised_mb: match (offer, last_good) {
            (Some(offer), _) => Some(number(offer.number)),
            (None, Some(last)) if last.emit == Emit::LastGood => Some(number(last.number)),
            (None, _) => None,
        },
        number_reason: match (offer, last_good) {
            (Some(offer), _) => Some(offer.reason.as_str()),
            (None, last) => last.map(|last| match last.emit {
                Emit::LastGood => "last_good",
                Emit::LeaveOut => "left_out",
            }),
        },
        adopted_from: offer
            .and_then(|offer| offer.reason.adopted.as_ref())
            .map(ToString::to_string),
        agent_would: last_good.and_then(|last| last.agent.map(|agent| agent.to_string())),
        role: disk.role.as_ref().map(ToString::to_string),
        rule: offer.and_then(|offer| offer.rule),
        held: disk
            .disk
            .iter()
            .flat_map(|disk| view.held.on(disk))
            .map(VolumeName::from)
            .collect(),
    }
}

fn filesystem(filesystem: &FilesystemSeen) -> Filesystem {
    let label = filesystem.label.as_ref().map(Name::from);
    Filesystem {
        fs_type: filesystem.fs_type.to_string(),
        uuid: filesystem.uuid.clone(),
        label_base64: label.as_ref().and_then(|label| label.base64.clone()),
        label: label.map(|label| label.text),
        total_bytes: filesystem.space.map(|(total, _)| total),
        free_bytes: filesystem.space.map(|(_, free)| free),
    }
}

fn drive(device: &BlockDevice) -> Drive {
    let file = device.backing_file.as_ref().map(Name::from);
    Drive {
        size_bytes: device.size_bytes.known().copied(),
        model: device.model.as_ref().map(ToString::to_string),
        serial: device.serial.as_ref().map(ToString::to_string),
        rotational: device.rotational.known().copied(),
        removable: device.removable.known().copied(),
        is_virtual: device.is_virtual,
        backing_file_base64: file.as_ref().and_then(|file| file.base64.clone()),
        backing_file: file.map(|file| file.text),
    }
}
