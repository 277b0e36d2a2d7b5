//! The command line; only here is text rendered.
//!
//! One file a command. A command is an `Args` type for clap and
//! `pub(super) fn run(args, &Context) -> anyhow::Result<Exit>`; it gives its result to
//! [`Output`] and its failure to the caller. An error reaches a terminal in one place, [`exit`].
//!
//! Every flag can also be given as `MESOS_VOLUMED_<FLAG>`; [`command`] adds that to each of them, so
//! no command writes it down. What is on the command line wins.

mod config_cmd;
mod daemon;
mod diff;
mod discover;
mod disk;
mod disk_accept;
mod disk_prepare;
mod disk_release;
mod disk_steps;
mod doctor;
pub mod exit;
mod explain;
mod fleet;
mod generate;
mod host;
mod janitor;
mod late;
mod logging;
mod marathon;
pub mod output;
mod pause;
mod plan_cmd;
pub mod plan_text;
mod preflight;
pub mod progress;
mod receipts;
mod resources;
mod run;
mod status;
mod sweep;
mod trash;
mod volumes;
mod wipe;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _};

pub use exit::{Exit, WithExit};
pub use output::{Align, Output, Table, Text};

use self::late::Late;
use crate::config::{self, Loaded, Settings};

#[derive(Debug, clap::Parser)]
#[command(
    name = "mesos-volumed",
    version,
    about = "The storage sidecar of an Apache Mesos agent",
    long_about = "Finds the ROOT, PATH and MOUNT disks of this host, writes the agent's --resources, keeps the \
        directories of persistent volumes right, wipes what was destroyed and sweeps what was orphaned.",
    after_help = EXIT_CODES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Every flag can also be given as MESOS_VOLUMED_<FLAG>, such as MESOS_VOLUMED_OUTPUT=json.

Exit codes: 0 done, or nothing to do · 1 error, or some steps failed · 2 usage · 3 would change (--check)
· 4 degraded · 5 refused by a guard · 6 another instance holds the lock · 7 cannot tell
· 78 bad configuration";

/// Flags that every command has.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Read this configuration, and conf.d/*.toml beside it [default:
    /// /etc/mesos-volumed/config.toml, or the built-in defaults where that file is missing]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print tables for people or JSON for programs
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    pub output: output::Form,
    /// Log to standard error in this form; `auto` takes the journal where systemd gives one
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    pub log_format: logging::LogFormat,
    /// Log more: once what was done, twice how, three times everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Discover(Late<discover::Args>),
    Explain(Late<explain::Args>),
    Resources(Late<resources::Args>),
    #[command(subcommand)]
    Volumes(Late<volumes::Command>),
    Sweep(Late<sweep::Args>),
    #[command(subcommand)]
    Trash(Late<trash::Command>),
    Wipe(Late<wipe::Args>),
    Janitor(Late<janitor::Args>),
    Receipts(Late<receipts::Args>),
    #[command(subcommand)]
    Disk(Late<disk::Command>),
    Plan(Late<plan_cmd::Args>),
    Preflight(Late<preflight::Args>),
    Diff(Late<diff::Args>),
    #[command(subcommand)]
    Marathon(Late<marathon::Command>),
    #[command(subcommand)]
    Fleet(Late<fleet::Command>),
    Doctor(Late<doctor::Args>),
    Run(Late<run::Args>),
    Status(Late<status::Args>),
    Pause(Late<pause::PauseArgs>),
    Resume(Late<pause::ResumeArgs>),
    /// Check the configuration, or show what is in force
    #[command(subcommand)]
    Config(Late<config_cmd::ConfigCommand>),
    #[command(subcommand)]
    Generate(Late<generate::Command>),
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// The configuration in force.
    pub loaded: Loaded,
    /// Where it was read from; the daemon reads it again on SIGHUP.
    pub source: config::Source,
    /// Where results go.
    pub output: Output,
    /// The flags that every command has.
    pub global: Global,
}

impl Context {
    /// Reads the configuration.
    pub fn new(global: Global, output: Output) -> anyhow::Result<Self> {
        let source = global.source();
        Ok(Self {
            loaded: config::load(&source)?,
            source,
            output,
            global,
        })
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }
}

impl Global {
    fn source(&self) -> config::Source {
        match &self.config {
            Some(file) => config::Source {
                file: file.clone(),
                required: true,
            },
            None => config::Source {
                file: PathBuf::from(config::DEFAULT_FILE),
                required: false,
            },
        }
    }
}

/// Runs the command line and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error).into(),
    };
    let reporter = exit::Reporter::for_stderr();
    let verbosity = cli.global.verbose.saturating_add(cli.command.verbosity());
    if let Err(error) = logging::init(cli.global.log_format, verbosity) {
        return reporter.report(&error).into();
    }
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(error) => reporter.report(&error),
    }
    .into()
}

impl Command {
    /// How many `-v` it has by nature: a command's output says what it did, so that its log holds
    /// warnings only; a daemon has nothing but its log.
    fn verbosity(&self) -> u8 {
        match self {
            Self::Run(_) => 1,
            Self::Discover(_)
            | Self::Explain(_)
            | Self::Resources(_)
            | Self::Volumes(_)
            | Self::Sweep(_)
            | Self::Trash(_)
            | Self::Wipe(_)
            | Self::Janitor(_)
            | Self::Receipts(_)
            | Self::Disk(_)
            | Self::Plan(_)
            | Self::Preflight(_)
            | Self::Diff(_)
            | Self::Marathon(_)
            | Self::Fleet(_)
            | Self::Doctor(_)
            | Self::Status(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Config(_)
            | Self::Generate(_) => 0,
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { global, command } = cli;
    let output = Output::new(global.output);
    let context = |global| Context::new(global, output.clone());
    match command {
        Command::Discover(args) => discover::run(&args, &context(global)?),
        Command::Explain(args) => explain::run(&args, &context(global)?),
        Command::Resources(args) => resources::run(&args, &context(global)?),
        Command::Volumes(args) => volumes::run(&args, &context(global)?),
        Command::Sweep(args) => sweep::run(&args, &context(global)?),
        Command::Trash(args) => trash::run(&args, &context(global)?),
        Command::Wipe(args) => wipe::run(&args, &context(global)?),
        Command::Janitor(args) => janitor::run(&args, &context(global)?),
        Command::Receipts(args) => receipts::run(&args, &context(global)?),
        Command::Disk(args) => disk::run(&args, &context(global)?),
        Command::Plan(args) => plan_cmd::run(&args, &context(global)?),
        Command::Preflight(args) => preflight::run(&args, &context(global)?),
        Command::Diff(args) => diff::run(&args, &context(global)?),
        Command::Marathon(args) => marathon::run(&args, &context(global)?),
        Command::Fleet(args) => fleet::run(&args, &context(global)?),
        Command::Doctor(args) => doctor::run(&args, &context(global)?),
        Command::Run(args) => run::run(&args, &context(global)?),
        Command::Generate(args) => generate::run(&args, &output),
        Command::Status(args) => status::run(&args, &context(global)?),
        Command::Pause(args) => pause::pause(&args, &context(global)?),
        Command::Resume(args) => pause::resume(&args, &context(global)?),
        // It has to work above all where the configuration does not.
        Command::Config(args) => config_cmd::run(&args, &global.source(), &output),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Ok(matches) = late::lean(command).try_get_matches_from(&args)
        && let Ok(cli) = Cli::from_arg_matches(&matches)
    {
        return Ok(cli);
    }
    // Help and mistakes are for a command line that has everything.
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The whole command line, for parsing and for generating man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    with_environment(Cli::command())
}

/// Gives every flag its `MESOS_VOLUMED_<FLAG>`. A switch takes 1, true, yes, on and their
/// opposites there.
fn with_environment(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let Some(long) = arg.get_long() else {
                return arg;
            };
            let name = format!("MESOS_VOLUMED_{}", long.replace('-', "_").to_uppercase());
            let arg = arg.env(name).hide_env(true);
            if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
                arg.value_parser(BoolishValueParser::new())
            } else {
                arg
            }
        })
        .mut_subcommands(with_environment)
}

/// Whether colours are wanted on a stream: it is a terminal, and `NO_COLOR` is unset or empty
/// (no-color.org), and the terminal is not a dumb one.
fn wants_color(stream: &impl std::io::IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// Seconds since 1970 as a moment in UTC, for display.
fn date(at: i64) -> String {
    u64::try_from(at)
        .ok()
        .and_then(|seconds| {
            std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))
        })
        .map_or_else(
            || format!("{at} s"),
            |time| humantime::format_rfc3339_seconds(time).to_string(),
        )
}

/// Whether standard error is the journal's stream, as systemd tells its services.
fn stderr_is_journal() -> bool {
    if std::io::stderr().is_terminal() {
        return false;
    }
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(command: &clap::Command, visit: &mut impl FnMut(&clap::Command, bool)) {
        let mut children = command.get_subcommands().peekable();
        visit(command, children.peek().is_none());
        for child in children {
            each(child, visit);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_that_are_made_late_are_parsed_as_the_whole_command_line_parses_them() {
        let lines: [&[&str]; 9] = [
            &["volumes", "list", "--usage", "--output", "json"],
            &["--output", "json", "volumes", "list"],
            &["wipe", "role/id", "--confirm", "id", "-vv"],
            &["sweep", "--dry-run", "--config", "/x"],
            &["config", "check"],
            &["run"],
            &["volumes", "list", "--no-such-flag"],
            &["no-such-command"],
            &["volumes"],
        ];
        for line in lines {
            let args = || ["mesos-volumed"].iter().chain(line).map(OsString::from);
            let whole = command()
                .try_get_matches_from(args())
                .and_then(|matches| Cli::from_arg_matches(&matches));
            match (parse(args()), whole) {
                (Ok(late), Ok(whole)) => assert_eq!(format!("{late:?}"), format!("{whole:?}")),
                (Err(late), Err(whole)) => assert_eq!(late.to_string(), whole.to_string()),
                (late, whole) => panic!("{line:?}: {late:?}, {whole:?}"),
            }
        }
    }

    #[test]
    fn flags_that_are_made_late_have_their_variables_too() {
        let mut lean = late::lean(command);
        let before = lean
            .find_subcommand("wipe")
            .unwrap()
            .get_arguments()
            .count();
        lean.build();
        let wipe = lean.find_subcommand("wipe").unwrap();
        assert!(wipe.get_arguments().count() > before);
        let confirm = wipe
            .get_arguments()
            .find(|arg| arg.get_long() == Some("confirm"));
        assert_eq!(confirm.unwrap().get_env().unwrap(), "MESOS_VOLUMED_CONFIRM");
    }

    #[test]
    fn every_flag_has_its_variable() {
        each(&command(), &mut |command, _| {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|l| *l != "help" && *l != "version") else {
                    continue;
                };
                let variable = format!("MESOS_VOLUMED_{}", long.replace('-', "_").to_uppercase());
                assert_eq!(
                    arg.get_env().and_then(std::ffi::OsStr::to_str),
                    Some(variable.as_str()),
                    "{} --{long}",
                    command.get_name()
                );
            }
        });
    }

    #[test]
    fn every_command_shows_an_example() {
        each(&command(), &mut |command, is_leaf| {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                !is_leaf
                    || help
                        .as_ref()
                        .is_some_and(|help| help.starts_with("Example")),
                "{} has no example below its help",
                command.get_name()
            );
        });
    }
}
