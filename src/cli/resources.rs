//! `resources`: the agent's `--resources`.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;
use tracing::warn;

use super::{Context, Exit, WithExit};
use crate::act::publish::Published;
use crate::act::store::Store;
use crate::config::ResourcesFormat;
use crate::daemon::answers;
use crate::daemon::disks::View;
use crate::daemon::resources::{Proposal, ProposeError, Target, layout, propose};
use crate::decide::advertise::Advertisement;
use crate::observe::clock;
use crate::units::Raw;

/// For how many spans of `discovery.settle` new disks are waited for.
const ROUNDS: u32 = 3;

/// Print the agent's --resources, or write it where the agent reads it
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints the agent's --resources: what [resources] extra holds, the ROOT disk, and the PATH \
        and MOUNT disks that `mesos-volumed discover` offers. A disk that was advertised before and is \
        missing keeps its last good number where the agent would refuse to start without it, and is left out \
        where another disk would be taken for it (both exit 4). What stands in the file already and is not ours stays: other resources, other disks, \
        other variables. A file that can't be read with certainty is refused and left as it is.",
    after_help = "\
Example: mesos-volumed resources --format env --write /etc/default/mesos-agent
  sets MESOS_RESOURCES there, and leaves the other variables as they are
Example: mesos-volumed resources --format dcos --write
  writes /var/lib/dcos/mesos-resources, and the .cache of DC/OS's own generator beside it
Example: mesos-volumed resources --check
  exits 3 when the file of [resources] write_to would change"
)]
pub(super) struct Args {
    /// The form: a JSON array (json), a systemd EnvironmentFile (env), the flag for a shell (flag), or
    /// the file of a layout: mesosphere, clusterd, dcos [default: json; with --write and --check that
    /// of resources.format]
    #[arg(long, value_name = "FORM", value_parser = format)]
    format: Option<ResourcesFormat>,
    /// Write to this file, atomically and durably, if it would change [default: where the layout has
    /// it, and for the form of resources.format that of resources.write_to]
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
    ResourcesFormat::named(text)
        .ok_or_else(|| "write json, env, flag, mesosphere, clusterd or dcos".to_owned())
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let target = target(args, context)?;
    let acts = args.write.is_some() || args.check;
    let rules = settings.disk_rules();
    let mut view = View::of_host(settings)?;
    if acts && !args.check {
        view = view.settle(&rules, ROUNDS)?;
    }
    for warning in answers::disks::warnings(&view) {
        warn!("{warning}");
    }
    let proposal = proposal(context, &view, target.as_ref())?;
    let advertisement = &proposal.advertisement;
    for warning in advertisement.warnings() {
        warn!("{warning}");
    }
    for entry in &proposal.kept {
        warn!(
            "{entry} stays as it is in {}: mesos-volumed neither offers nor watches it",
            target.as_ref().map_or_else(
                || "the resources".to_owned(),
                |target| Raw::from(target.file.as_path()).to_string()
            )
        );
    }
    for entry in &proposal.replaced {
        warn!(
            "{entry} goes: resources.extra has it otherwise, or the disk is not offered any more"
        );
    }
    let degraded = if advertisement.degraded.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    let Some(target) = target.filter(|_| acts) else {
        let form = args.format.unwrap_or(ResourcesFormat::Json);
        context
            .output
            .text(&layout(form).write(None, &proposal.text)?)?;
        return Ok(degraded);
    };
    if args.check {
        let differs = proposal.changes();
        report(context, &target, differs, advertisement, "would change")?;
        return Ok(if differs { Exit::WouldChange } else { degraded });
    }
    let store = Store::open(&settings.daemon.state_dir)?;
    let written = proposal.write(&store, clock::wall_seconds())? == Published::Written;
    report(context, &target, written, advertisement, "written")?;
    Ok(degraded)
}

/// What would be written, as JSON.
pub(super) fn proposed(context: &Context) -> anyhow::Result<String> {
    let settings = context.settings();
    let view = View::of_host(settings)?;
    let target = Target::configured(settings);
    Ok(proposal(context, &view, target.as_ref())?.text.json())
}

fn proposal(context: &Context, view: &View, target: Option<&Target>) -> anyhow::Result<Proposal> {
    // DC/OS gives its generator what the agent's other files say.
    let environment = target
        .filter(|target| target.form == ResourcesFormat::Dcos)
        .and_then(|_| std::env::var_os("MESOS_RESOURCES"))
        .map(OsString::into_string)
        .transpose()
        .map_err(|_not_utf8| anyhow::anyhow!("MESOS_RESOURCES of the environment is not UTF-8"))?;
    propose(context.settings(), view, target, environment.as_deref()).or_else(|error| {
        if matches!(error, ProposeError::Extra(_)) {
            return Err(error).exit(Exit::BadConfig);
        }
        Err(error.into())
    })
}

/// The file that is meant: what is there is kept, also where nothing is written.
fn target(args: &Args, context: &Context) -> anyhow::Result<Option<Target>> {
    let settings = context.settings();
    let acts = args.write.is_some() || args.check;
    if !acts {
        return Ok(Target::configured(settings));
    }
    let form = args.format.unwrap_or(settings.resources.format);
    // resources.write_to is the file of resources.format; another form has another file.
    let named = args.write.clone().flatten();
    match named.or_else(|| settings.resources_file(form)) {
        Some(file) => Ok(Some(Target { file, form })),
        None => Err(anyhow::anyhow!(
            "no file is named: write --write FILE, or set write_to in [resources] for its format"
        ))
        .exit(Exit::Usage),
    }
}

fn report(
    context: &Context,
    target: &Target,
    changed: bool,
    advertisement: &Advertisement,
    done: &str,
) -> anyhow::Result<()> {
    let file = Raw::from(target.file.as_path());
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
                    "advertised_mb": answers::disks::number(entry.number),
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
