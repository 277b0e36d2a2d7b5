//! `sweep`: one pass.

use super::host::Owner;
use super::{Context, Exit, Text, plan_text};
use crate::daemon::answers::plan::planned;
use crate::daemon::observer::Observer;
use crate::daemon::pass::{Pass, look};
use crate::decide::facts::Words;
use crate::decide::plan::Plan;

/// Move what was destroyed to the trash, wipe what is due, and handle orphans: one pass
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed sweep --dry-run
  prints the very plan that a run would carry out, and changes nothing

Exit codes: 5 when a witnessed destroy, or an orphan past its grace, was kept by a guard other than
held, grace_period or protected; 6 when a daemon runs.")]
pub(super) struct Args {
    /// Print the plan and change nothing, not even a timestamp
    #[arg(long)]
    dry_run: bool,
    /// An empty checkpoint is right as it is; in force after a full grace period
    #[arg(long)]
    accept_empty: bool,
    /// Up to N steps without a witnessed destroy are wanted now
    #[arg(long, value_name = "N")]
    confirm_brake: Option<u32>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let words = Words {
        accept_empty: args.accept_empty,
        confirm_brake: args.confirm_brake,
        ..Words::default()
    };
    if args.dry_run {
        return dry_run(context, &words);
    }
    let owner = Owner::new(context)?;
    let pass = owner.pass(&words)?;
    print(context, &pass)?;
    Ok(exit(&pass))
}

/// Observes and plans; what a run would execute first. Exits 5 where the run would.
pub(super) fn dry_run(context: &Context, words: &Words) -> anyhow::Result<Exit> {
    let observer = Observer::new(context.settings());
    let (_facts, checked) = look(&mut || observer.facts(words))?;
    print_plan(context, checked.plan())
}

/// Prints a plan that is not carried out.
pub(super) fn print_plan(context: &Context, plan: &Plan) -> anyhow::Result<Exit> {
    context
        .output
        .value_or(&planned(plan, &[]), |_| plan_text::plan_text(plan))?;
    Ok(if plan.blocked() {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// Prints what a pass did and what it left.
pub(super) fn print(context: &Context, pass: &Pass) -> anyhow::Result<()> {
    context
        .output
        .value_or(&planned(&pass.last, &pass.outcomes), |_| {
            let mut text = Text::new();
            for step in &pass.outcomes {
                text.line(plan_text::outcome_text(step));
            }
            let mut text = text.into_string();
            text.push_str(&plan_text::kept_text(&pass.last));
            text
        })
}

/// Failed wins over refused.
pub(super) fn exit(pass: &Pass) -> Exit {
    if pass.failed() {
        Exit::Error
    } else if pass.refused() {
        Exit::Refused
    } else {
        Exit::Done
    }
}
