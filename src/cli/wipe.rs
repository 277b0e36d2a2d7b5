//! `wipe`: one volume, now, on the operator's word.

use std::path::Path;

use anyhow::anyhow;
use serde_json::json;

use super::host::{Alone, operate, show, who};
use super::{Context, Exit, Text, WithExit, sweep};
use crate::act::executor::StepOutcome;
use crate::act::outcome::Outcome;
use crate::act::wipe::Progress;
use crate::act::wipe::device::{DeviceMode, wipe_device};
use crate::daemon::answers::plan::became;
use crate::daemon::operate::{Ask, Wipe};
use crate::decide::facts::WipeMode;
use crate::decide::whole_device::{Seen, authorize};
use crate::observe::{disks, mountinfo};
use crate::units::Raw;

/// Wipe one volume now: the operator's word stands for a witnessed destroy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed wipe slave_public/old-data --confirm old-data
  wipes an orphan; returns when its data is gone

Example: mesos-volumed wipe slave_public/old-data --confirm old-data --mode overwrite --strict
  overwrites its data where it lies and reads that back, or refuses with nothing touched

Example: mesos-volumed wipe /dcos/volume0 --confirm old-data
  wipes what a destroyed volume left on a MOUNT disk that was never seen while the volume was held: the
  disk is named by its path, after a look at it

Example: mesos-volumed wipe --device /dev/sdb --confirm S3R1AL --mode zero_device
  zeroes a disk that nothing uses, and reads it back

Grace, sightings, retention and the brake do not apply; every other guard does. A held volume is
refused (exit 5): destroy it through Mesos. What each mode promises, and where it can't, stands in
guide/volumes.md of the documentation; the outcome says what was reached.")]
pub(super) struct Args {
    /// The volume, as role/persistence-id or as the path that `volumes list` shows
    #[arg(value_name = "ROLE/ID or PATH", required_unless_present = "device")]
    volume: Option<String>,
    /// A whole block device that nothing uses, such as /dev/sdb, instead of a volume
    #[arg(
        long,
        value_name = "DEVICE",
        conflicts_with = "volume",
        requires = "mode"
    )]
    device: Option<String>,
    /// The persistence id again; of a device its serial number, or its name where it has none
    #[arg(long, value_name = "ID")]
    confirm: String,
    /// What the wipe promises [default: wipe.mode, on MOUNT disks wipe.mount_mode]
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    /// Refuse what the mode can't guarantee, with nothing touched, instead of doing it as well as it
    /// goes
    #[arg(long)]
    strict: bool,
}

/// Named by what it guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Mode {
    /// The space is given back; blocks keep their content until they are used again
    Unlink,
    /// Unlinked, and the device is told which blocks are free
    Discard,
    /// Data is overwritten where it lies and read back before it is unlinked
    Overwrite,
    /// MOUNT: emptied, then the free space is filled with zeros and freed
    ZeroFree,
    /// MOUNT: the file system is made anew, with the same UUID and label
    Reformat,
    /// --device: all of it is zeroed and read back
    ZeroDevice,
    /// --device: the device is told to forget all of it, and is read back
    DiscardDevice,
}

/// What a mode acts on.
enum On {
    Volume(WipeMode),
    Device(DeviceMode),
}

impl From<Mode> for On {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Unlink => Self::Volume(WipeMode::Unlink),
            Mode::Discard => Self::Volume(WipeMode::Discard),
            Mode::Overwrite => Self::Volume(WipeMode::Overwrite),
            Mode::ZeroFree => Self::Volume(WipeMode::ZeroFree),
            Mode::Reformat => Self::Volume(WipeMode::Reformat),
            Mode::ZeroDevice => Self::Device(DeviceMode::Zero),
            Mode::DiscardDevice => Self::Device(DeviceMode::Discard),
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mode = match (&args.device, args.mode.map(On::from)) {
        (None, None) => None,
        (None, Some(On::Volume(mode))) => Some(mode),
        (Some(device), Some(On::Device(mode))) => return wipe_whole(args, device, mode, context),
        (Some(_), Some(On::Volume(_)) | None) => {
            return Err(anyhow!(
                "a whole device is wiped by --mode zero_device or discard_device"
            ))
            .exit(Exit::Usage);
        }
        (None, Some(On::Device(_))) => {
            return Err(anyhow!(
                "that mode acts on a whole device; name it with --device"
            ))
            .exit(Exit::Usage);
        }
    };
    let ask = Ask::Wipe(Wipe {
        volume: args.volume.clone().unwrap_or_default(),
        confirm: args.confirm.clone(),
        mode,
        strict: args.strict,
    });
    sweep::end(context, &operate(context, ask)?)
}

/// Wipes a whole device that nothing uses.
fn wipe_whole(
    args: &Args,
    device: &str,
    mode: DeviceMode,
    context: &Context,
) -> anyhow::Result<Exit> {
    let alone = Alone::new(context)?;
    let mut devices = disks::list(Path::new("/sys"))?;
    disks::look_into(&mut devices, Path::new("/dev"));
    let mounts = mountinfo::read_self()?;
    let swaps = disks::swaps(Path::new("/proc/swaps"))?;
    let ledger = alone.observer.ledger()?;
    let seen = Seen {
        devices: &devices,
        mounts: &mounts,
        swaps: &swaps,
        ledger: &ledger,
    };
    let authorization = authorize(&seen, &Raw::from(device), &args.confirm)
        .map_err(|reasons| {
            anyhow!(
                "{} was not touched: {}",
                Raw::from(device),
                reasons.join("; ")
            )
        })
        .exit(Exit::Refused)?;
    let verify = context.settings().wipe.method.verify;
    let control = alone.pace.control();
    let subject = authorization.name().to_string();
    let progress = Progress::default();
    let by = who();
    let outcome = show(&progress, &subject, &mut || {
        let reins = (&control, &progress);
        wipe_device(&alone.desk, &authorization, mode, verify, &by, reins)
    });
    let step = StepOutcome {
        step: "wipe_device",
        subject,
        outcome,
    };
    let said = became(&step);
    let value = json!({ "outcomes": [said] });
    context.output.value_or(&value, |_| {
        let mut text = Text::new();
        text.line(&said.text);
        text.into_string()
    })?;
    Ok(match step.outcome {
        Outcome::Done(receipt) if receipt.verified || !args.strict => Exit::Done,
        Outcome::Refused(_) => Exit::Refused,
        Outcome::Done(_)
        | Outcome::Identity
        | Outcome::Started
        | Outcome::Stale(_)
        | Outcome::Failed(_) => Exit::Error,
    })
}
