//! `discover`: every disk and mount with its verdict.

use serde_json::{Map, Value, json};

use super::{Align, Context, Exit, Table, Text};
use crate::daemon::disks::View;
use crate::decide::discover::{DiskVerdict, Verdict};
use crate::decide::facts::{BlockDevice, Known};
use crate::mesos::disk::DiskRef;
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
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let state_dir = Raw::from(settings.daemon.state_dir.as_path());
    let view = View::new(&settings.disk_rules(), &state_dir)?;
    let warnings = warnings(&view);
    if context.output.is_json() {
        context.output.json(&json!({
            "disks": view
                .discovery
                .disks
                .iter()
                .map(|disk| disk_json(disk, &view))
                .collect::<Vec<_>>(),
            "warnings": warnings,
        }))?;
    } else {
        let mut text = Text::new();
        for warning in &warnings {
            text.line(format_args!("warning: {warning}"));
        }
        let table = context.output.rendered(&table(&view));
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
    for doubt in &view.held.doubts {
        warnings.push(format!(
            "what the agent holds can't be told: {doubt}; keeping every number"
        ));
    }
    warnings
}

fn table(view: &View) -> Table {
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
    for disk in &view.discovery.disks {
        let dash = || "-".to_owned();
        let (verdict, number, why) = match &disk.verdict {
            Verdict::Offered(offer) => (
                "offered".to_owned(),
                offer.number.to_string(),
                offer.because.clone(),
            ),
            Verdict::Rejected(rejection) => (
                rejection.code.to_string(),
                dash(),
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

/// A name as text, with its exact bytes beside it where it is not UTF-8.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<&Raw>) {
    object.insert(name.to_owned(), json!(value.map(ToString::to_string)));
    if let Some(base64) = value.and_then(Raw::base64_if_not_utf8) {
        object.insert(format!("{name}_base64"), json!(base64));
    }
}

/// Megabytes as Mesos writes them: whole where they are.
pub(super) fn number(number: Megabytes) -> Value {
    match number.thousandths().checked_rem(1000) {
        Some(0) => json!(number.thousandths().checked_div(1000)),
        Some(_) | None => json!(number.as_f64()),
    }
}

fn disk_json(disk: &DiskVerdict, view: &View) -> Value {
    let mut object = Map::new();
    object.insert(
        "type".to_owned(),
        json!(disk.disk.as_ref().map(|disk| disk.kind)),
    );
    put(&mut object, "root", disk.path.as_ref());
    let (verdict, reason, why, remedy) = match &disk.verdict {
        Verdict::Offered(offer) => ("offered", None, &offer.because, None),
        Verdict::Rejected(rejection) => (
            "rejected",
            Some(rejection.code),
            &rejection.sentence,
            rejection.remedy.as_ref(),
        ),
    };
    object.insert("verdict".to_owned(), json!(verdict));
    object.insert("reason".to_owned(), json!(reason));
    object.insert("explanation".to_owned(), json!(why));
    object.insert("remedy".to_owned(), json!(remedy));
    let node = disk
        .device
        .as_ref()
        .map(|device| Raw::from("/dev").join(&device.name));
    put(&mut object, "device", node.as_ref());
    object.insert(
        "drive".to_owned(),
        disk.device.as_ref().map_or(Value::Null, drive_json),
    );
    object.insert("filesystem".to_owned(), filesystem_json(disk));
    object.insert(
        "advertised_mb".to_owned(),
        json!(disk.offer().map(|offer| number(offer.number))),
    );
    object.insert(
        "role".to_owned(),
        json!(disk.role.as_ref().map(ToString::to_string)),
    );
    object.insert(
        "rule".to_owned(),
        json!(disk.offer().and_then(|offer| offer.rule)),
    );
    let held = disk
        .disk
        .iter()
        .flat_map(|disk: &DiskRef| view.held.on(disk))
        .map(volume_json)
        .collect::<Vec<_>>();
    object.insert("held".to_owned(), json!(held));
    Value::Object(object)
}

fn volume_json(key: &VolumeKey) -> Value {
    let mut object = Map::new();
    put(&mut object, "id", Some(key.id.as_raw()));
    put(&mut object, "role", Some(key.role.as_raw()));
    Value::Object(object)
}

fn filesystem_json(disk: &DiskVerdict) -> Value {
    let Some(filesystem) = &disk.filesystem else {
        return Value::Null;
    };
    let mut object = Map::new();
    put(&mut object, "type", Some(&filesystem.fs_type));
    object.insert("uuid".to_owned(), json!(filesystem.uuid));
    put(&mut object, "label", filesystem.label.as_ref());
    let space = filesystem.space;
    object.insert(
        "total_bytes".to_owned(),
        json!(space.map(|(total, _)| total)),
    );
    object.insert("free_bytes".to_owned(), json!(space.map(|(_, free)| free)));
    Value::Object(object)
}

fn drive_json(device: &BlockDevice) -> Value {
    let mut object = Map::new();
    object.insert("size_bytes".to_owned(), json!(device.size_bytes.known()));
    put(&mut object, "model", device.model.as_ref());
    put(&mut object, "serial", device.serial.as_ref());
    object.insert("rotational".to_owned(), json!(device.rotational.known()));
    object.insert("removable".to_owned(), json!(device.removable.known()));
    object.insert("virtual".to_owned(), json!(device.is_virtual));
    put(&mut object, "backing_file", device.backing_file.as_ref());
    Value::Object(object)
}
