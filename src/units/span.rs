//! Spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time; in configuration a string with a unit, such as `"7d"` or `"1h 30m"`.
///
/// In JSON it is a number of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// Why a text is not a span of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a span of time; write for example \"30s\", \"24h\" or \"7d\"")]
pub struct SpanError {
    text: String,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// Sum, held at the largest span.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference; no time at all where `other` is longer.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Without what is below a second, where there is a second: for people.
    #[must_use]
    pub const fn in_seconds(self) -> Self {
        match self.0.as_secs() {
            0 => self,
            whole => Self::seconds(whole),
        }
    }

    /// Whole milliseconds, held at the largest number.
    #[must_use]
    pub fn as_milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let fail = || SpanError {
            text: text.to_owned(),
        };
        match text.trim() {
            "0" => Ok(Self::ZERO),
            trimmed => humantime::parse_duration(trimmed)
                .map(Self)
                .map_err(|_no_unit| fail()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_milliseconds())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_parse_and_say_why_not() {
        assert_eq!("7d".parse::<Span>().unwrap(), Span::seconds(7 * 86400));
        assert_eq!("0s".parse::<Span>().unwrap(), Span::ZERO);
        assert_eq!("0".parse::<Span>().unwrap(), Span::ZERO);
        let error = "7".parse::<Span>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`7` is not a span of time; write for example \"30s\", \"24h\" or \"7d\""
        );
    }

    #[test]
    fn people_are_told_whole_seconds() {
        let said = |milliseconds| Span::milliseconds(milliseconds).in_seconds().to_string();
        assert_eq!(said(4_421), "4s");
        assert_eq!(said(421), "421ms");
        assert_eq!(said(0), "0s");
    }
}
