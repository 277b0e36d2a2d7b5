//! Numbers and times as people read them.

use std::time::{Duration, SystemTime};

use crate::units::Bytes;

/// A moment.
#[derive(Clone, Debug)]
pub(super) struct When {
    /// As machines read it.
    pub(super) stamp: String,
    /// The same for people, in UTC.
    pub(super) clock: String,
    /// How long ago it was.
    pub(super) ago: String,
}

impl When {
    /// Of seconds since 1970.
    pub(super) fn at(at: i64, now: i64) -> Self {
        let since = Duration::from_secs(u64::try_from(at).unwrap_or(0));
        let stamp = SystemTime::UNIX_EPOCH
            .checked_add(since)
            .map_or_else(String::new, |at| {
                humantime::format_rfc3339_seconds(at).to_string()
            });
        let ago = u64::try_from(now.saturating_sub(at)).unwrap_or(0);
        Self {
            clock: stamp.replace('T', " ").replace('Z', " UTC"),
            stamp,
            ago: ago_of(ago),
        }
    }
}

/// `5 min ago`.
pub(super) fn ago_of(seconds: u64) -> String {
    if seconds == 0 {
        "just now".to_owned()
    } else {
        format!("{} ago", span(seconds))
    }
}

/// `3 d 4 h`, `12 min`, `5 s`: what matters of a span.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64, &str, u64); 3] = [
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "", 0),
    ];
    for (large, one, small, part) in UNITS {
        let Some(whole) = seconds.checked_div(one).filter(|whole| *whole > 0) else {
            continue;
        };
        let rest = seconds
            .checked_rem(one)
            .and_then(|rest| rest.checked_div(part));
        return match rest {
            Some(rest) if rest > 0 && whole < 10 => format!("{whole} {large} {rest} {small}"),
            Some(_) | None => format!("{whole} {large}"),
        };
    }
    format!("{seconds} s")
}

/// `1 volume`, `1,200 volumes`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { many }
    )
}

/// A piece of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Whether it is something to type, which stands between backticks.
    pub(super) typed: bool,
    /// Without the backticks.
    pub(super) text: &'a str,
}

/// A sentence in its pieces; a backtick that has no other one stays as it is.
pub(super) fn pieces(sentence: &str) -> Vec<Piece<'_>> {
    let piece = |typed, text| Piece { typed, text };
    let mut all = Vec::new();
    let mut rest = sentence;
    while let Some((before, typed, after)) = rest.split_once('`').and_then(|(before, from)| {
        from.split_once('`')
            .map(|(typed, after)| (before, typed, after))
    }) {
        all.extend([piece(false, before), piece(true, typed)]);
        rest = after;
    }
    all.push(piece(false, rest));
    all
}

/// `1,200`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(at);
        if at > 0 && left.checked_rem(3) == Some(0) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Megabytes, as sizes are read.
pub(super) fn megabytes(megabytes: f64) -> String {
    // Mesos's numbers have three decimals and stay far below 2^53.
    if megabytes >= 1024.0 {
        format!("{:.1} GiB", megabytes / 1024.0)
    } else {
        format!("{megabytes} MiB")
    }
}

/// A part of a whole in percent, from 0 to 100.
pub(super) fn share(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part)
        .saturating_mul(100)
        .checked_div(u128::from(whole))?;
    Some(u64::try_from(share).unwrap_or(100).min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_counts_read_well() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(60), "1 min");
        assert_eq!(span(3600), "1 h");
        assert_eq!(span(3 * 86400 + 4 * 3600 + 59), "3 d 4 h");
        assert_eq!(span(40 * 86400 + 4 * 3600), "40 d");
        assert_eq!(count(1, "wipe", "wipes"), "1 wipe");
        assert_eq!(count(1_234_567, "file", "files"), "1,234,567 files");
        assert_eq!(grouped(100), "100");
        assert_eq!(ago_of(0), "just now");
    }

    #[test]
    fn a_share_is_never_beyond_the_whole() {
        assert_eq!(share(1, 0), None);
        assert_eq!(share(u64::MAX, 1), Some(100));
        assert_eq!(share(1, 3), Some(33));
    }

    #[test]
    fn what_is_to_be_typed_stands_alone() {
        let typed = |sentence| {
            let all = pieces(sentence).into_iter();
            all.map(|piece| (piece.typed, piece.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            typed("run `a b`, or `c`"),
            [
                (false, "run "),
                (true, "a b"),
                (false, ", or "),
                (true, "c"),
                (false, "")
            ]
        );
        assert_eq!(typed("a ` b"), [(false, "a ` b")]);
        assert_eq!(typed(""), [(false, "")]);
    }
}
