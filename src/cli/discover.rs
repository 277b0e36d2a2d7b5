//! `discover`: every disk and mount with its verdict.

use super::{Align, Context, Exit, Table, Text};
use crate::daemon::answers;
use crate::daemon::disks::View;
use crate::decide::discover::{Code, DiskVerdict, Verdict};
use crate::decide::facts::BlockDevice;
use crate::decide::preflight::missing::Emit;
use crate::units::Bytes;

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
    if context.output.is_json() {
        context.output.json(&answers::disks::disks(&view))?;
    } else {
        let mut text = Text::new();
        for warning in answers::disks::warnings(&view) {
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
