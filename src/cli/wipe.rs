//! `wipe`: one volume, now, on the operator's word.

use anyhow::anyhow;

use super::host::Owner;
use super::volumes::{confirmed, volume_key};
use super::{Context, Exit, WithExit, sweep};
use crate::act::sys::Sys as _;
use crate::act::wipe::promise;
use crate::daemon::pass::look;
use crate::decide::facts::{WipeMode, Words};
use crate::decide::guards::Refusal;
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// Wipe one volume now: the operator's word stands for a witnessed destroy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed wipe slave_public/old-data --confirm old-data
  wipes an orphan; returns when its data is gone

Example: mesos-volumed wipe slave_public/old-data --confirm old-data --mode overwrite --strict
  overwrites its data where it lies and reads that back, or refuses with nothing touched

Grace, sightings, retention and the brake do not apply; every other guard does. A held volume is
refused (exit 5): destroy it through Mesos. What each mode promises, and where it can't, stands in
README.md; the outcome says what was reached.")]
pub(super) struct Args {
    /// The volume, as role/persistence-id or as the path that `volumes list` shows
    #[arg(value_name = "ROLE/ID or PATH")]
    volume: String,
    /// The persistence id again
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
}

impl From<Mode> for WipeMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Unlink => Self::Unlink,
            Mode::Discard => Self::Discard,
            Mode::Overwrite => Self::Overwrite,
            Mode::ZeroFree => Self::ZeroFree,
            Mode::Reformat => Self::Reformat,
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let owner = Owner::new(context)?;
    let key = find(args, &owner)?;
    confirmed(&key, &args.confirm)?;
    let words = Words {
        wipe: Some(key.clone()),
        mode: args.mode.map(WipeMode::from),
        strict: args.strict,
        ..Words::default()
    };
    promised(&key, &words, &owner, context)?;
    let pass = owner.pass(&words)?;
    sweep::print(context, &pass)?;
    if pass.failed() {
        return Ok(Exit::Error);
    }
    let rows = listing::volumes(&pass.facts, &pass.last);
    let left: Vec<&VolumeRow> = rows
        .iter()
        .filter(|row| row.key.as_ref() == Some(&key))
        .collect();
    if left.is_empty() && !pass.refused() {
        return Ok(Exit::Done);
    }
    let why: Vec<String> = left
        .iter()
        .flat_map(|row| row.reasons.iter().map(ToString::to_string))
        .collect();
    let held = left.iter().any(|row| {
        matches!(
            row.state,
            VolumeState::Held | VolumeState::Pending | VolumeState::Vanished
        )
    });
    let what = if held { "is held by Mesos and" } else { "" };
    Err(anyhow!("{key} {what} was not wiped: {}", why.join("; "))).exit(Exit::Refused)
}

/// Under --strict nothing is even moved to the trash where the mode can't keep its promise.
fn promised(
    key: &VolumeKey,
    words: &Words,
    owner: &Owner,
    context: &Context,
) -> anyhow::Result<()> {
    let policy = context.settings().policy();
    let (facts, checked) = look(&mut || owner.observer.facts(words))?;
    for row in listing::volumes(&facts, checked.plan()) {
        // What is held, or not there, is refused by the pass.
        let (Some(disk), VolumeState::Orphan | VolumeState::Destroyed) = (&row.disk, row.state)
        else {
            continue;
        };
        if row.key.as_ref() != Some(key) {
            continue;
        }
        let method = words
            .method(key, disk.kind, &policy)
            .unwrap_or_else(|| policy.method(disk.kind));
        if !method.strict {
            continue;
        }
        let kernel = owner.shared.desk.sys.as_ref();
        // What can't be opened is refused by the pass, with its reason.
        let Ok(dir) = kernel.open_root(row.path.as_path()) else {
            continue;
        };
        let control = owner.shared.pace.control();
        if let Err(broken) = promise(kernel, &dir, method, &control) {
            let code = Refusal::ModeRefused;
            return Err(anyhow!(
                "{key} was not touched: {code}: {} can't keep its promise for {broken}; {}",
                method.mode,
                code.remedy()
            ))
            .exit(Exit::Refused);
        }
    }
    Ok(())
}

/// The volume that is meant; it must be on this host.
fn find(args: &Args, owner: &Owner) -> anyhow::Result<VolumeKey> {
    let (facts, checked) = look(&mut || owner.observer.facts(&Words::default()))?;
    let rows = listing::volumes(&facts, checked.plan());
    let path = Raw::from(args.volume.trim_end_matches('/'));
    let by_path = || {
        rows.iter()
            .find(|row| row.path == path)
            .and_then(|row| row.key.clone())
    };
    let by_name = || {
        volume_key(&args.volume)
            .ok()
            .filter(|key| rows.iter().any(|row| row.key.as_ref() == Some(key)))
    };
    if args.volume.starts_with('/') { by_path() } else { by_name() }.ok_or_else(|| {
        anyhow!(
            "there is no volume {} on this host; see `mesos-volumed volumes list`. A MOUNT disk \
             whose volume was never seen held is nobody's garbage (its data may be there on purpose)",
            Raw::from(args.volume.as_str())
        )
    })
    .exit(Exit::Refused)
}
