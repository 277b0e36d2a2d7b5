//! `wipe`: one volume, now, on the operator's word.

use anyhow::anyhow;

use super::host::Owner;
use super::volumes::{confirmed, volume_key};
use super::{Context, Exit, WithExit, sweep};
use crate::daemon::pass::look;
use crate::decide::facts::Words;
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// Wipe one volume now: the operator's word stands for a witnessed destroy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed wipe slave_public/old-data --confirm old-data
  wipes an orphan; returns when its data is gone

Grace, sightings, retention and the brake do not apply; every other guard does. A held volume is
refused (exit 5): destroy it through Mesos.")]
pub(super) struct Args {
    /// The volume, as role/persistence-id or as the path that `volumes list` shows
    #[arg(value_name = "ROLE/ID or PATH")]
    volume: String,
    /// The persistence id again
    #[arg(long, value_name = "ID")]
    confirm: String,
    /// What the wipe guarantees: `unlink` gives the space back and promises no more
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    mode: Mode,
}

/// Named by what it guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// The space is given back; blocks keep their content until they are used again.
    #[default]
    Unlink,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let Mode::Unlink = args.mode;
    let owner = Owner::new(context)?;
    let key = find(args, &owner)?;
    confirmed(&key, &args.confirm)?;
    let pass = owner.pass(&Words {
        wipe: Some(key.clone()),
        ..Words::default()
    })?;
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
