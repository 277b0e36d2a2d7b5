//! `resources`: the agent's `--resources`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;
use tracing::warn;

use super::{Context, Exit, WithExit, discover};
use crate::act::publish::{self, Published};
use crate::act::store::Store;
use crate::config::ResourcesFormat;
use crate::daemon::disks::View;
use crate::decide::advertise::{Advertisement, advertise, recorded};
use crate::decide::facts::Known;
use crate::decide::ledger::Ledger;
use crate::mesos::resources_json::{DiskEntry, Foreign, generate};
use crate::observe::clock;
use crate::units::Raw;

/// For how many spans of `discovery.settle` new disks are waited for.
const ROUNDS: u32 = 3;

/// Print the agent's --resources, or write it where the agent reads it
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints the agent's --resources: what [resources] extra holds, the ROOT disk, and the PATH \
        and MOUNT disks that `mesos-volumed discover` offers. A disk that was advertised before and is \
        missing keeps its last good number (exit 4): without it the agent would refuse to start, or start as \
        a new one.",
    after_help = "\
Example: mesos-volumed resources --format env --write /etc/mesos-volumed/agent.env
  writes one line for EnvironmentFile= in the agent's unit
Example: mesos-volumed resources --check
  exits 3 when the file of [resources] write_to would change"
)]
pub(super) struct Args {
    /// The form: a JSON array, a line of a systemd EnvironmentFile, or the flag for a shell
    /// [default: json; with --write and --check that of resources.format]
    #[arg(long, value_name = "FORM", value_parser = format)]
    format: Option<ResourcesFormat>,
    /// Write to this file, atomically and durably, if it would change [default: that of
    /// resources.write_to]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(
        clippy::option_option,
        reason = "how clap tells a flag without a value"
    )]
    write: Option<Option<PathBuf>>,
    /// Write nothing; exit 3 if the file would change
    #[arg(long)]
    check: bool,
}

fn format(text: &str) -> Result<ResourcesFormat, String> {
    match text {
        "json" => Ok(ResourcesFormat::Json),
        "env" => Ok(ResourcesFormat::Env),
        "flag" => Ok(ResourcesFormat::Flag),
        _ => Err("write json, env or flag".to_owned()),
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let file = file(args, context)?;
    let extra = Foreign::parse(&settings.resources.extra)
        .context("resources.extra can't be used")
        .exit(Exit::BadConfig)?;
    let rules = settings.disk_rules();
    let state_dir = Raw::from(settings.daemon.state_dir.as_path());
    let mut view = View::new(&rules, &state_dir)?;
    let writes = file.is_some() && !args.check;
    if writes {
        view = view.settle(&rules, ROUNDS)?;
    }
    let ledger = ledger(&view)?;
    let advertisement = advertise(&view.discovery, &rules, &ledger)?;
    for warning in discover::warnings(&view) {
        warn!("{warning}");
    }
    for (disk, rejection) in &advertisement.degraded {
        warn!(
            disk.root = %disk.root,
            refusal = rejection.code.as_str(),
            "{disk} is advertised with its last good number: {}; {}",
            rejection.sentence,
            rejection.remedy.as_deref().unwrap_or("look at the disk")
        );
    }
    let form = args.format.unwrap_or(if file.is_some() {
        settings.resources.format
    } else {
        ResourcesFormat::Json
    });
    let text = text(&advertisement, &extra, form)?;
    let degraded = if advertisement.degraded.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    let Some(file) = file else {
        context.output.text(&text)?;
        return Ok(degraded);
    };
    if args.check {
        let differs = publish::differs(&file, text.as_bytes())?;
        report(context, &file, differs, &advertisement, "would change")?;
        return Ok(if differs { Exit::WouldChange } else { degraded });
    }
    // The ledger first: a number that an agent may have seen must be known for ever.
    Store::open(&settings.daemon.state_dir)?
        .update_ledger(|ledger| recorded(&ledger, &advertisement, clock::wall_seconds()))?;
    let written = publish::publish(&file, text.as_bytes())? == Published::Written;
    report(context, &file, written, &advertisement, "written")?;
    Ok(degraded)
}

/// What would be written, as JSON.
pub(super) fn proposed(context: &Context) -> anyhow::Result<String> {
    let settings = context.settings();
    let extra = Foreign::parse(&settings.resources.extra)
        .context("resources.extra can't be used")
        .exit(Exit::BadConfig)?;
    let rules = settings.disk_rules();
    let state_dir = Raw::from(settings.daemon.state_dir.as_path());
    let view = View::new(&rules, &state_dir)?;
    let advertisement = advertise(&view.discovery, &rules, &ledger(&view)?)?;
    text(&advertisement, &extra, ResourcesFormat::Json)
}

/// The file that is meant, if one is.
fn file(args: &Args, context: &Context) -> anyhow::Result<Option<PathBuf>> {
    let named = args.write.clone().flatten();
    if args.write.is_none() && !args.check {
        return Ok(None);
    }
    match named.or_else(|| context.settings().resources.write_to.clone()) {
        Some(file) => Ok(Some(file)),
        None => Err(anyhow::anyhow!(
            "no file is named: write --write FILE, or set write_to in [resources]"
        ))
        .exit(Exit::Usage),
    }
}

/// The ledger; an empty one before anything was advertised.
fn ledger(view: &View) -> anyhow::Result<Ledger> {
    match &view.ledger {
        Known::Known(ledger) => Ok(ledger.clone()),
        Known::Absent => Ok(Ledger::default()),
        Known::Unknown(why) => {
            bail!("no numbers can be given without the ledger: {why}; the old resources stay")
        }
    }
}

fn text(
    advertisement: &Advertisement,
    extra: &Foreign,
    form: ResourcesFormat,
) -> anyhow::Result<String> {
    let entries: Vec<DiskEntry> = advertisement
        .disks
        .iter()
        .map(|entry| DiskEntry {
            disk: entry.disk.clone(),
            size: entry.number,
            role: entry.role.clone(),
        })
        .collect();
    let resources = generate(&entries, extra)?;
    Ok(match form {
        ResourcesFormat::Json => resources.json(),
        ResourcesFormat::Env => resources.env()?,
        ResourcesFormat::Flag => resources.flag()?,
    })
}

fn report(
    context: &Context,
    file: &Path,
    changed: bool,
    advertisement: &Advertisement,
    done: &str,
) -> anyhow::Result<()> {
    let file = Raw::from(file);
    let value = json!({
        "file": file,
        "changed": changed,
        "disks": advertisement
            .disks
            .iter()
            .map(|entry| {
                let degraded = advertisement
                    .degraded
                    .iter()
                    .find(|(disk, _)| *disk == entry.disk)
                    .map(|(_, rejection)| rejection.code);
                json!({
                    "type": entry.disk.kind,
                    "root": entry.disk.root.to_string(),
                    "advertised_mb": discover::number(entry.number),
                    "explanation": entry.because,
                    "reason": degraded,
                })
            })
            .collect::<Vec<_>>(),
    });
    context.output.value_or(&value, |_| {
        if changed {
            format!("{file}: {done}\n")
        } else {
            format!("{file}: no change\n")
        }
    })
}
