//! How a command ends: exit codes, and the one place where an error reaches a terminal.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::output::Text;
use crate::config::ConfigError;
use crate::units::Raw;

/// The exit codes that callers rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// An error, or some steps failed; wins over the others.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `--check`: the file would change.
    WouldChange = 3,
    /// A disk is missing and last good numbers were used; `preflight`: a new agent id.
    Degraded = 4,
    /// A guard refused.
    Refused = 5,
    /// Another instance holds the lock.
    Locked = 6,
    /// `preflight`: cannot tell.
    CannotTell = 7,
    /// The configuration is bad (`EX_CONFIG` of sysexits.h).
    BadConfig = 78,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::WouldChange => 3,
            Self::Degraded => 4,
            Self::Refused => 5,
            Self::Locked => 6,
            Self::CannotTell => 7,
            Self::BadConfig => 78,
        }
    }
}

impl Exit {
    /// An error that ends so.
    pub(super) fn error(self, error: anyhow::Error) -> anyhow::Error {
        anyhow::Error::new(Ending { exit: self, error })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that decides the exit code. It prints as the error it carries.
#[derive(Debug)]
struct Ending {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Ending {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Gives an error its exit code: `lock(…).exit(Exit::Locked)?`.
pub trait WithExit<T> {
    /// The same, ending with this code if it is an error.
    fn exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithExit<T> for Result<T, E> {
    fn exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| exit.error(error.into()))
    }
}

/// How an error ends.
pub(super) fn of(error: &anyhow::Error) -> Exit {
    // Found also below a context that was added later.
    if let Some(ending) = error.downcast_ref::<Ending>() {
        ending.exit
    } else if error.is::<ConfigError>() {
        Exit::BadConfig
    } else {
        Exit::Error
    }
}

/// Prints what clap has to say, and gives its exit code: 0 for `--help`, 2 for a mistake.
pub(super) fn of_usage(error: &clap::Error) -> Exit {
    // A closed pipe or terminal is nothing that could be told to anyone.
    drop(error.print());
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

/// Prints errors to standard error.
pub(super) struct Reporter {
    color: bool,
    journal: bool,
}

impl Reporter {
    pub(super) fn for_stderr() -> Self {
        Self {
            color: super::wants_color(&io::stderr()),
            journal: super::stderr_is_journal(),
        }
    }

    /// Prints the error with its causes and gives the exit code.
    pub(super) fn report(&self, error: &anyhow::Error) -> Exit {
        let text = self.render(error);
        // There is nowhere left to report that standard error is closed.
        drop(io::stderr().lock().write_all(text.as_bytes()));
        of(error)
    }

    fn render(&self, error: &anyhow::Error) -> String {
        let (red, plain) = if self.color {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        // What sd-daemon(3) calls SD_ERR, so that the journal shows it as an error.
        let priority = if self.journal { "<3>" } else { "" };
        let mut text = Text::new();
        // An error of several lines is several errors, such as all problems of a configuration.
        for line in error.to_string().lines() {
            let line = Raw::from(line);
            text.line(format_args!("{priority}{red}error:{plain} {line}"));
        }
        for cause in error.chain().skip(1) {
            for line in cause.to_string().lines() {
                text.line(format_args!("{priority}  caused by: {}", Raw::from(line)));
            }
        }
        text.into_string()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn plain() -> Reporter {
        Reporter {
            color: false,
            journal: false,
        }
    }

    fn not_found() -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, "no such\x1b[2J file")
    }

    #[test]
    fn an_error_prints_one_line_a_cause_and_no_control_character() {
        let error = anyhow::Error::new(not_found())
            .context("/a can't be read")
            .context("nothing was swept");
        assert_eq!(
            plain().render(&error),
            "error: nothing was swept\n  caused by: /a can't be read\n  caused by: no such\\x1b[2J file\n"
        );
    }

    #[test]
    fn an_exit_code_survives_context_and_prints_nothing_of_itself() {
        let error = Err::<(), _>(not_found())
            .exit(Exit::Locked)
            .context("the sweep did not begin")
            .unwrap_err();
        assert_eq!(of(&error), Exit::Locked);
        assert_eq!(plain().render(&error).lines().count(), 2);
        assert_eq!(of(&anyhow::Error::new(not_found())), Exit::Error);
        let bad = ConfigError {
            problems: Vec::new(),
        };
        assert_eq!(of(&anyhow::Error::new(bad)), Exit::BadConfig);
    }

    #[test]
    fn codes_are_the_contract() {
        let codes = [
            Exit::Done,
            Exit::Error,
            Exit::Usage,
            Exit::WouldChange,
            Exit::Degraded,
            Exit::Refused,
            Exit::Locked,
            Exit::CannotTell,
            Exit::BadConfig,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 78]);
    }
}
