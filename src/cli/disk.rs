//! `disk accept`, and where the other `disk` commands begin.

use anyhow::anyhow;
use serde_json::json;

use super::host::Owner;
use super::plan_text::outcome_json;
use super::{Context, Exit, Text, WithExit};
use crate::act::outcome::Outcome;
use crate::daemon::pass::look;
use crate::decide::facts::{Fingerprint, Known, Words};
use crate::units::Raw;

/// Prepare, take on and give back disks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Prepare(super::disk_prepare::Args),
    Release(super::disk_release::Args),
    /// Take a root as it is now: its file system, and held volumes that have no directory on it
    #[command(after_help = "\
Example: mesos-volumed disk accept /mnt/data
  after a look at the right disk; it shows the old file system against the new one

Until then nothing is created, moved or wiped on a root that was first met with directories of held
volumes missing (root_unverified), or under which another file system appeared
(fingerprint_mismatch).")]
    Accept {
        /// The root, as Mesos spells it; the work_dir for ROOT
        #[arg(value_name = "ROOT")]
        root: std::path::PathBuf,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    let root = match command {
        Command::Prepare(args) => return super::disk_prepare::run(args, context),
        Command::Release(args) => return super::disk_release::run(args, context),
        Command::Accept { root } => root,
    };
    let root = Raw::from(root.as_path());
    let owner = Owner::new(context)?;
    let words = Words {
        accept_root: Some(root.clone()),
        ..Words::default()
    };
    let (facts, _) = look(&mut || owner.observer.facts(&Words::default()))?;
    let before = facts
        .roots
        .iter()
        .find(|facts| facts.disk.root == root)
        .ok_or_else(|| anyhow!("{root} is no root of this agent; see `mesos-volumed discover`"))?;
    let old = describe(&before.filesystem.ledger);
    let new = describe(&before.filesystem.present);
    let pass = owner.pass(&words)?;
    let adopted = pass
        .outcomes
        .iter()
        .find(|step| step.step == "adopt_root" && matches!(step.outcome, Outcome::Done(_)));
    // Nothing to take on: the ledger has this very file system, and no step was wanted.
    let already = pass.outcomes.is_empty()
        && before.filesystem.present.known().is_some()
        && before.filesystem.ledger == before.filesystem.present;
    let value = json!({
        "root": root,
        "before": before.filesystem.ledger.known(),
        "now": before.filesystem.present.known(),
        "outcomes": pass.outcomes.iter().map(outcome_json).collect::<Vec<_>>(),
    });
    context.output.value_or(&value, |_| {
        let mut text = Text::new();
        text.line(format_args!("before  {old}"));
        text.line(format_args!("now     {new}"));
        if adopted.is_some() {
            text.line(format_args!("{root} is accepted as it is now"));
        } else if already {
            text.line(format_args!("{root} was known as it is now already"));
        }
        text.into_string()
    })?;
    if pass.failed() {
        return Ok(Exit::Error);
    }
    if adopted.is_some() || already {
        return Ok(Exit::Done);
    }
    let why: Vec<String> = pass
        .last
        .kept
        .iter()
        .filter(|kept| kept.disk.root == root)
        .flat_map(|kept| kept.reasons.iter().map(ToString::to_string))
        .collect();
    Err(anyhow!("{root} was not accepted: {}", why.join("; "))).exit(Exit::Refused)
}

fn describe(print: &Known<Fingerprint>) -> String {
    match print {
        Known::Known(print) => format!("{} {}", print.fs_type, print.filesystem),
        Known::Absent => "not known".to_owned(),
        Known::Unknown(why) => format!("unknown: {why}"),
    }
}
