//! Commands whose flags are made only when they are given.
//!
//! The whole command line is some hundreds of flags; a process that lists volumes needs a dozen of
//! them. What makes the others would be a tenth of its memory.

use std::cell::Cell;
use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};

use super::with_environment;

thread_local! {
    static LATE: Cell<bool> = const { Cell::new(false) };
}

/// Makes a command line whose commands get their flags when they are given. It parses as the whole one
/// does; what it says of mistakes and in help is not meant for people.
pub(super) fn lean(make: impl FnOnce() -> Command) -> Command {
    LATE.set(true);
    let command = make();
    LATE.set(false);
    command
}

/// The flags, or the commands, of a command.
#[derive(Debug)]
pub(super) struct Late<T>(T);

impl<T> Deref for Late<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Late<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn late(command: Command, make: fn(Command) -> Command, later: fn(Command) -> Command) -> Command {
    if LATE.get() {
        command.defer(later)
    } else {
        make(command)
    }
}

impl<T: Args> Args for Late<T> {
    fn augment_args(command: Command) -> Command {
        late(command, T::augment_args, |command| {
            with_environment(T::augment_args(command))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Subcommand> Subcommand for Late<T> {
    fn augment_subcommands(command: Command) -> Command {
        late(command, T::augment_subcommands, |command| {
            with_environment(T::augment_subcommands(command))
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        T::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}
