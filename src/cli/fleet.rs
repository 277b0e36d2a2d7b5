//! `fleet`: one table for the cluster, from the leading master's list of agents and from what their
//! sidecars tell.
//!
//! A cluster may have ten thousand agents, of which some are always away. Rows are printed as they come,
//! so many agents at once are asked as the configuration allows, and memory holds a few words for each
//! agent, never its answer. Who did not answer is named, and the exit code says that something is missing.

mod ask;
mod disks;
mod reservations;
mod stream;
mod sums;
mod volumes;

use self::ask::{Agent, Fleet, Told};
use self::stream::Stream;
use self::sums::Sums;
use super::progress::Progress;
use super::{Context, Exit};

/// Show the volumes, disks, orphans or reservations of all agents of the cluster
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Every volume of the cluster: held (used by a task, or waiting), pending, destroyed, orphan, trashed
    #[command(after_help = "\
Example: mesos-volumed fleet volumes
  lists them as the answers come; sums, and who did not answer, stand at the end

Example: mesos-volumed fleet volumes --output json | jq '.fleet'

Needs [master] urls, and sidecars that can be reached ([fleet] url; daemon.listen on their hosts). Exit code 4
where an agent gave no whole answer: it is named.")]
    Volumes(Args),
    /// Every disk that is offered to Mesos, or that a rule names and is not
    #[command(after_help = "\
Example: mesos-volumed fleet disks | grep rejected
  shows the disks that agents could have and have not")]
    Disks(Args),
    /// Data that nobody names: orphans, destroyed volumes still to be wiped, strange entries
    #[command(after_help = "\
Example: mesos-volumed fleet orphans
  lists them with the reasons that they are kept for; what lies in trashes is in the sums")]
    Orphans(Args),
    /// What is reserved, by role and principal, for which frameworks; roles that several share
    #[command(after_help = "\
Example: mesos-volumed fleet reservations
  sums up the master's list: reserved, in volumes, used by tasks

Example: mesos-volumed fleet reservations --role kafka
  lists what this role has on each agent")]
    Reservations(reservations::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Volumes(Args {}) => each(context, &volumes::Volumes { all: true }),
        Command::Orphans(Args {}) => each(context, &volumes::Volumes { all: false }),
        Command::Disks(Args {}) => each(context, &disks::Disks),
        Command::Reservations(args) => reservations::run(args, context),
    }
}

/// What is asked of every sidecar, and shown of its answer.
trait View: Sync {
    /// The answer of one.
    type Answer: Send;

    /// The key of the rows in JSON.
    fn key(&self) -> &'static str;

    /// The columns with their least widths.
    fn columns(&self) -> &'static [(&'static str, usize)];

    /// Asks one.
    fn ask(&self, fleet: &Fleet, agent: &Agent) -> Told<Self::Answer>;

    /// Shows its rows and counts them.
    fn show(
        &self,
        agent: &Agent,
        answer: Self::Answer,
        stream: &mut Stream<'_>,
        sums: &mut Sums,
    ) -> anyhow::Result<()>;
}

fn each<V: View>(context: &Context, view: &V) -> anyhow::Result<Exit> {
    let fleet = Fleet::new(context.settings())?;
    let mut sums = Sums::default();
    let mut stream = Stream::new(&context.output, view.key(), view.columns())?;
    let mut line = Progress::new();
    let mut asked: usize = 0;
    fleet.each(
        &|agent| view.ask(&fleet, agent),
        &mut sums,
        &mut |agent, told, sums| {
            asked = asked.saturating_add(1);
            line.show(|| format!("{asked} agents answered or did not"));
            match told {
                Told::Answer { version, answer } => {
                    sums.answered(&agent, &version);
                    view.show(&agent, answer, &mut stream, sums)
                }
                Told::Nothing(why) => {
                    sums.unanswered(&agent, &why);
                    Ok(())
                }
            }
        },
    )?;
    drop(line);
    stream.end(&sums)?;
    Ok(sums.exit())
}
