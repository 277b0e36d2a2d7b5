//! `plan`: print the plan; record or replay a host.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::{Context, Exit, sweep};
use crate::act::durable;
use crate::daemon::observer::Observer;
use crate::daemon::pass::look;
use crate::decide::check::check;
use crate::decide::facts::{Facts, Words};
use crate::decide::plan::plan;

/// A host with a hundred thousand volumes stays below this many bytes.
const LARGEST_FACTS: usize = 1 << 30;

/// Print what a sweep would do; record the facts, or replay them from a file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed plan --save-facts facts.json
  records what was observed; `mesos-volumed plan --facts facts.json` decides the same on any machine")]
pub(super) struct Args {
    /// Decide by these facts instead of observing this host
    #[arg(long, value_name = "FILE", conflicts_with = "save_facts")]
    facts: Option<PathBuf>,
    /// Write the facts to this file
    #[arg(long, value_name = "FILE")]
    save_facts: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(file) = &args.facts {
        let facts = read(file)?;
        let checked = check(plan(&facts), &facts)?;
        return sweep::print_plan(context, checked.plan());
    }
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    if let Some(file) = &args.save_facts {
        let mut text = serde_json::to_vec_pretty(&facts).context("the facts have no JSON form")?;
        text.push(b'\n');
        durable::replace(file, &text, 0o600)?;
    }
    sweep::print_plan(context, checked.plan())
}

fn read(file: &std::path::Path) -> anyhow::Result<Facts> {
    let text = durable::read_bounded(file, LARGEST_FACTS)
        .with_context(|| format!("{} can't be read", file.display()))?;
    let facts: Facts = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no facts file of this program", file.display()))?;
    if facts.version != Facts::VERSION {
        bail!(
            "{} has version {}, this program reads version {}; replay it with the program that \
             wrote it",
            file.display(),
            facts.version,
            Facts::VERSION
        );
    }
    Ok(facts)
}
