//! Commands whose options are put together only when they are called: kubectl waits for `herald token`, which
//! needs no other command's.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};

use super::called::{Name, fit};

/// The arguments of a command, late; they too fit the name that this process was called by. Its line in the list of commands
/// has to stand on the variant.
#[derive(Debug)]
pub(super) struct Late<T>(pub(super) T);

// === impl Late ===

impl<T: FromArgMatches> FromArgMatches for Late<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Late<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| fitted(T::augment_args(command)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| fitted(T::augment_args_for_update(command)))
    }
}

impl<T: Subcommand> Subcommand for Late<T> {
    fn augment_subcommands(command: Command) -> Command {
        command.defer(|command| fitted(T::augment_subcommands(command)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        command.defer(|command| fitted(T::augment_subcommands_for_update(command)))
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

fn fitted(command: Command) -> Command {
    fit(command, Name::of_process())
}
