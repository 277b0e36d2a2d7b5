//! An error with its causes in one line: the form in which one reaches a log, or a reason that is
//! kept as data.

use std::error::Error;
use std::fmt;

/// Prints an error and its causes, each behind a colon.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    Chain(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the middle")]
    struct Middle(#[source] std::num::ParseIntError);

    #[derive(Debug, thiserror::Error)]
    #[error("the top")]
    struct Top(#[source] Middle);

    #[test]
    fn an_error_is_printed_with_every_cause_below_it() {
        let bottom = "x".parse::<u8>().unwrap_err();
        assert_eq!(chain(&bottom), "invalid digit found in string");
        assert_eq!(
            chain(&Top(Middle(bottom))),
            "the top: the middle: invalid digit found in string"
        );
    }
}
