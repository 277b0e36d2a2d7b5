//! Where the `disk` commands begin.

use super::{Context, Exit, disk_accept, disk_prepare, disk_release};

/// Prepare, take on and give back disks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Prepare(disk_prepare::Args),
    Release(disk_release::Args),
    Accept(disk_accept::Args),
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Prepare(args) => disk_prepare::run(args, context),
        Command::Release(args) => disk_release::run(args, context),
        Command::Accept(args) => disk_accept::run(args, context),
    }
}
