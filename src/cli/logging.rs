//! The log: standard error for people and programs, the journal under systemd.

use std::io;

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// The journal where standard error is its stream, lines for people elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
    /// The journal's own fields.
    Journald,
}

/// Sets the log up for the whole process. Verbosity 0 logs warnings, each step more.
pub(super) fn init(format: LogFormat, verbosity: u8) -> anyhow::Result<()> {
    let level = level(verbosity);
    // Libraries speak only when everything was asked for.
    let others = if level == LevelFilter::TRACE {
        LevelFilter::DEBUG
    } else {
        LevelFilter::WARN
    };
    let filter = Targets::new()
        .with_default(others)
        .with_target("mesos_volumed", level);
    tracing_subscriber::registry()
        .with(layer(format)?.with_filter(filter))
        .try_init()
        .context("the log can't be set up")
}

fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

fn layer(format: LogFormat) -> anyhow::Result<Box<dyn Layer<Registry> + Send + Sync>> {
    match format {
        LogFormat::Json => Ok(tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .boxed()),
        LogFormat::Journald => tracing_journald::layer()
            .map(|layer| layer.with_field_prefix(None).boxed())
            .context("the journal can't be reached; use --log-format human or json"),
        LogFormat::Auto if super::stderr_is_journal() => match tracing_journald::layer() {
            Ok(layer) => Ok(layer.with_field_prefix(None).boxed()),
            // The stream still ends in the journal, only without fields.
            Err(_no_socket) => Ok(human()),
        },
        LogFormat::Auto | LogFormat::Human => Ok(human()),
    }
}

fn human() -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(super::wants_color(&io::stderr()));
    if io::IsTerminal::is_terminal(&io::stderr()) {
        lines.without_time().boxed()
    } else {
        lines.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_says_more() {
        let levels = [0, 1, 2, 3, 255].map(level);
        assert_eq!(
            levels,
            [
                LevelFilter::WARN,
                LevelFilter::INFO,
                LevelFilter::DEBUG,
                LevelFilter::TRACE,
                LevelFilter::TRACE
            ]
        );
    }
}
