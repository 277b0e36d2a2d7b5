//! `discover`: every disk and mount with its verdict.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Align, Context, Exit, Table, Text};
use crate::daemon::disks::View;
use crate::decide::discover::{Code, DiskVerdict, FilesystemSeen, Verdict};
use crate::decide::facts::{BlockDevice, Known};
use crate::decide::preflight::missing::Emit;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::{Bytes, Megabytes, Raw};

/// Show every disk and mount of this host with its verdict
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Gives every block device and every mount a verdict: offered to Mesos as ROOT, PATH or \
        MOUNT, or rejected, with the reason and what to do about it. Changes nothing, and asks nothing of \
        FUSE and network file systems, or of mounts that no rule names.",
    after_help = "\
Example: mesos-volumed discover --output json | jq '.disks[] | select(.verdict == \"offered\")'
  shows the disks that `mesos-volumed resources` writes"
)]
pub(super) struct Args {
    /// Also show, in the table, the kernel's own mounts and devices without a medium; JSON has them
    /// always
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let view = View::of_host(settings)?;
    let warnings = warnings(&view);
    if context.output.is_json() {
        context.output.json(&Answer {
            disks: view
                .discovery
                .disks
                .iter()
                .map(|disk| disk_json(disk, &view))
                .collect(),
            warnings: &warnings,
        })?;
    } else {
        let mut text = Text::new();
        for warning in &warnings {
            text.line(format_args!("warning: {warning}"));
        }
        let (shown, hidden): (Vec<_>, Vec<_>) = view
            .discovery
            .disks
            .iter()
            .partition(|disk| args.all || matters(disk));
        if !hidden.is_empty() {
            text.line(format_args!(
                "not shown: {} of the kernel's mounts and devices without a medium; see them with \
                 --all",
                hidden.len()
            ));
        }
        let table = context.output.rendered(&table(&shown));
        context
            .output
            .text(&format!("{table}{}", text.into_string()))?;
    }
    Ok(Exit::Done)
}

/// What is odd about the rules, and what could not be read.
pub(super) fn warnings(view: &View) -> Vec<String> {
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

/// Whether a row says something about a disk: not the kernel's own mounts, and not a loop or
/// card-reader device with nothing in it, unless something names them.
fn matters(disk: &DiskVerdict) -> bool {
    disk.disk.is_some()
        || disk.rejection().is_none_or(|rejection| {
            !matches!(rejection.code, Code::PseudoFilesystem | Code::NoMedium)
        })
}

fn table(disks: &[&DiskVerdict]) -> Table {
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("ROOT", Align::Left),
        ("DEVICE", Align::Left),
        ("FILESYSTEM", Align::Left),
        ("SIZE", Align::Right),
        ("FREE", Align::Right),
        ("MB", Align::Right),
        ("VERDICT", Align::Left),
        ("WHY", Align::Left),
    ]);
    for disk in disks {
        let dash = || "-".to_owned();
        let (verdict, number, why) = match &disk.verdict {
            Verdict::Offered(offer) => (
                "offered".to_owned(),
                offer.number.to_string(),
                offer.reason.to_string(),
            ),
            Verdict::Rejected(rejection) => (
                rejection.code.to_string(),
                disk.last_good
                    .as_ref()
                    .filter(|last| last.emit == Emit::LastGood)
                    .map_or_else(dash, |last| last.number.to_string()),
                match &rejection.remedy {
                    Some(remedy) => format!("{}; {remedy}", rejection.sentence),
                    None => rejection.sentence.clone(),
                },
            ),
        };
        let space = disk.filesystem.as_ref().and_then(|fs| fs.space);
        table.row([
            disk.disk
                .as_ref()
                .map_or_else(dash, |disk| disk.kind.to_string()),
            disk.path.as_ref().map_or_else(dash, ToString::to_string),
            disk.device.as_ref().map_or_else(dash, device_name),
            disk.filesystem
                .as_ref()
                .map_or_else(dash, |fs| fs.fs_type.to_string()),
            space
                .map(|(total, _)| total)
                .or_else(|| disk.device.as_ref()?.size_bytes.known().copied())
                .map_or_else(dash, |total| Bytes(total).to_string()),
            space.map_or_else(dash, |(_, free)| Bytes(free).to_string()),
            number,
            verdict,
            why,
        ]);
    }
    table
}

fn device_name(device: &BlockDevice) -> String {
    match (&device.mapper_name, device.is_virtual) {
        (Some(mapper), _) => format!("{} ({mapper})", device.name),
        (None, true) => format!("{} (virtual)", device.name),
        (None, false) => device.name.to_string(),
    }
}

/// Megabytes as Mesos writes them: whole where they are.
pub(super) fn number(number: Megabytes) -> Value {
    match number.thousandths().checked_rem(1000) {
        Some(0) => json!(number.thousandths().checked_div(1000)),
        Some(_) | None => json!(number.as_f64()),
    }
}

/// The whole answer.
#[derive(Serialize)]
struct Answer<'a> {
    disks: Vec<DiskJson<'a>>,
    warnings: &'a [String],
}

/// A name as text, and in base64 where it is not UTF-8.
struct Name {
    text: String,
    base64: Option<String>,
}

impl Name {
    fn new(name: &Raw) -> Self {
        Self {
            text: name.to_string(),
            base64: name.base64_if_not_utf8(),
        }
    }
}

/// A disk; names that are not UTF-8 have their exact bytes in the `*_base64` key beside them.
#[derive(Serialize)]
struct DiskJson<'a> {
    #[serde(rename = "type")]
    kind: Option<DiskType>,
    root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_base64: Option<String>,
    verdict: &'static str,
    reason: Option<Code>,
    explanation: String,
    remedy: Option<&'a str>,
    device: Option<String>,
    drive: Option<DriveJson<'a>>,
    filesystem: Option<FilesystemJson<'a>>,
    advertised_mb: Option<Value>,
    /// Why the number is what it is, as a code; `explanation` says it in a sentence.
    number_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adopted_from: Option<String>,
    /// What an agent does that starts without the disk, or with its last good number.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_would: Option<String>,
    role: Option<String>,
    rule: Option<usize>,
    held: Vec<VolumeJson>,
}

#[derive(Serialize)]
struct DriveJson<'a> {
    size_bytes: Option<&'a u64>,
    model: Option<String>,
    serial: Option<String>,
    rotational: Option<&'a bool>,
    removable: Option<&'a bool>,
    #[serde(rename = "virtual")]
    is_virtual: bool,
    backing_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_file_base64: Option<String>,
}

#[derive(Serialize)]
struct FilesystemJson<'a> {
    #[serde(rename = "type")]
    fs_type: String,
    uuid: Option<&'a str>,
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_base64: Option<String>,
    total_bytes: Option<u64>,
    free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct VolumeJson {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_base64: Option<String>,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_base64: Option<String>,
}

fn disk_json<'a>(disk: &'a DiskVerdict, view: &View) -> DiskJson<'a> {
    let root = disk.path.as_ref().map(Name::new);
    let (offer, rejection) = (disk.offer(), disk.rejection());
    let last_good = disk.last_good.as_ref();
    DiskJson {
        kind: disk.disk.as_ref().map(|disk| disk.kind),
        root_base64: root.as_ref().and_then(|root| root.base64.clone()),
        root: root.map(|root| root.text),
        verdict: if offer.is_some() {
            "offered"
        } else {
            "rejected"
        },
        reason: rejection.map(|rejection| rejection.code),
        explanation: match &disk.verdict {
            Verdict::Offered(offer) => offer.reason.to_string(),
            Verdict::Rejected(rejection) => rejection.sentence.clone(),
        },
        remedy: rejection.and_then(|rejection| rejection.remedy.as_deref()),
        device: disk
            .device
            .as_ref()
            .map(|device| Raw::from("/dev").join(&device.name).to_string()),
        drive: disk.device.as_ref().map(drive_json),
        filesystem: disk.filesystem.as_ref().map(filesystem_json),
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
            .map(volume_json)
            .collect(),
    }
}

fn volume_json(key: &VolumeKey) -> VolumeJson {
    let (id, role) = (Name::new(key.id.as_raw()), Name::new(key.role.as_raw()));
    VolumeJson {
        id: id.text,
        id_base64: id.base64,
        role: role.text,
        role_base64: role.base64,
    }
}

fn filesystem_json(filesystem: &FilesystemSeen) -> FilesystemJson<'_> {
    let label = filesystem.label.as_ref().map(Name::new);
    FilesystemJson {
        fs_type: filesystem.fs_type.to_string(),
        uuid: filesystem.uuid.as_deref(),
        label_base64: label.as_ref().and_then(|label| label.base64.clone()),
        label: label.map(|label| label.text),
        total_bytes: filesystem.space.map(|(total, _)| total),
        free_bytes: filesystem.space.map(|(_, free)| free),
    }
}

fn drive_json(device: &BlockDevice) -> DriveJson<'_> {
    let file = device.backing_file.as_ref().map(Name::new);
    DriveJson {
        size_bytes: device.size_bytes.known(),
        model: device.model.as_ref().map(ToString::to_string),
        serial: device.serial.as_ref().map(ToString::to_string),
        rotational: device.rotational.known(),
        removable: device.removable.known(),
        is_virtual: device.is_virtual,
        backing_file_base64: file.as_ref().and_then(|file| file.base64.clone()),
        backing_file: file.map(|file| file.text),
    }
}
