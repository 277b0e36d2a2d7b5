//! `sweep`: one pass.

use anyhow::anyhow;

use super::host::operate;
use super::{Context, Exit, Text, WithExit, plan_text};
use crate::daemon::answers::plan::planned;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Ending, Operated, Sweep};
use crate::daemon::pass::look;
use crate::decide::facts::Words;
use crate::decide::plan::Plan;

/// Move what was destroyed to the trash, wipe what is due, and handle orphans: one pass
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed sweep --dry-run
  prints the very plan that a run would carry out, and changes nothing

Exit codes: 5 when a witnessed destroy, or an orphan past its grace, was kept by a guard other than
held, grace_period or protected, or an authority could not be read. A running daemon does it, and this waits until all that it began has ended; exits 6
while another command works on this host.")]
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
    if args.dry_run {
        let words = Words {
            accept_empty: args.accept_empty,
            confirm_brake: args.confirm_brake,
            ..Words::default()
        };
        return dry_run(context, &words);
    }
    let ask = Ask::Sweep(Sweep {
        accept_empty: args.accept_empty,
        confirm_brake: args.confirm_brake,
    });
    end(context, &operate(context, ask)?)
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
    Ok(if plan.blocked() || plan.is_blind() {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// Prints what was done and what is left, and ends as that ended.
pub(super) fn end(context: &Context, operated: &Operated) -> anyhow::Result<Exit> {
    print(context, operated)?;
    let exit = exit(operated);
    match &operated.why {
        Some(why) => Err(anyhow!("{why}")).exit(exit),
        None => Ok(exit),
    }
}

/// The exit code that stands for how it ended.
pub(super) fn exit(operated: &Operated) -> Exit {
    match operated.result {
        Ending::Done => Exit::Done,
        Ending::Refused => Exit::Refused,
        Ending::Failed => Exit::Error,
    }
}

fn print(context: &Context, operated: &Operated) -> anyhow::Result<()> {
    context.output.value_or(operated, |_| {
        let mut text = Text::new();
        for step in &operated.planned.outcomes {
            text.line(&step.text);
        }
        let mut text = text.into_string();
        text.push_str(&plan_text::kept_text(&operated.planned));
        text
    })
}
