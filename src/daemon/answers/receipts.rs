//! What was done: `receipts`, `GET /v1/receipts`.

use serde::Serialize;

use crate::decide::receipts::AuditRecord;
use crate::mesos::ids::VolumeKey;
use crate::observe::receipts::Receipts as Found;
use crate::units::{Raw, Span};

/// Lines of the audit log.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Receipts {
    /// Oldest first.
    #[cfg_attr(test, schemars(with = "Vec<super::schemas::Object>"))]
    pub receipts: Vec<AuditRecord>,
    /// File and number of each line that is none: torn by a crash, or damaged.
    pub damaged: Vec<String>,
}

/// What was read.
#[must_use]
pub fn receipts(found: Found) -> Receipts {
    Receipts {
        damaged: found
            .damaged
            .iter()
            .map(|(file, line)| format!("{file}:{line}"))
            .collect(),
        receipts: found.records,
    }
}

/// How many lines are answered where nobody says how many.
const USUAL: usize = 1_000;

/// The most lines that are answered at once.
const MOST: usize = 100_000;

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    volume: Option<VolumeKey>,
    since: Option<i64>,
    limit: Option<usize>,
}

/// Why a wish for receipts is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// No volume.
    #[error("`{0}` is no volume: write role/persistence-id, as `volumes list` shows it")]
    Volume(Raw),
    /// No moment.
    #[error("`{0}` is neither a span such as 24h or 7d nor a moment such as 2026-11-20T12:00:00Z")]
    Since(Raw),
    /// No number of lines.
    #[error("`{0}` is no number of receipts from 1 to 100000")]
    Limit(Raw),
    /// No such wish.
    #[error("there is no parameter `{0}`; there are volume, since and limit")]
    Parameter(Raw),
}

impl Wanted {
    /// Those of this volume.
    ///
    /// # Errors
    /// Where the text names none.
    pub fn volume(&mut self, text: &str) -> Result<(), WantedError> {
        let key = VolumeKey::named(text).ok_or_else(|| WantedError::Volume(text.into()))?;
        self.volume = Some(key);
        Ok(())
    }

    /// Those that are younger: a span, or a moment; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Where the text is neither.
    pub fn since(&mut self, text: &str, now: i64) -> Result<(), WantedError> {
        let since = match text.parse::<Span>() {
            Ok(span) => {
                Some(now.saturating_sub(i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX)))
            }
            Err(_no_span) => humantime::parse_rfc3339_weak(text)
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                .and_then(|since| i64::try_from(since.as_secs()).ok()),
        };
        self.since = Some(since.ok_or_else(|| WantedError::Since(text.into()))?);
        Ok(())
    }

    /// What `?volume=…&since=…&limit=…` asks for: the newest thousand where no limit is given.
    ///
    /// # Errors
    /// Where it asks for something else.
    pub fn of_query(query: &str, now: i64) -> Result<Self, WantedError> {
        let mut wanted = Self {
            limit: Some(USUAL),
            ..Self::default()
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "volume" => wanted.volume(&value)?,
                "since" => wanted.since(&value, now)?,
                "limit" => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit));
                    wanted.limit =
                        Some(limit.ok_or_else(|| WantedError::Limit(value.as_ref().into()))?);
                }
                _ => return Err(WantedError::Parameter(name.as_ref().into())),
            }
        }
        Ok(wanted)
    }

    /// Whether this line is wanted, but for the limit.
    #[must_use]
    pub fn takes(&self, record: &AuditRecord) -> bool {
        self.since.is_none_or(|since| record.at >= since)
            && self.volume.as_ref().is_none_or(|key| record.is_about(key))
    }

    /// The newest of them, as many as are wanted.
    #[must_use]
    pub fn newest(&self, mut receipts: Receipts) -> Receipts {
        let over = self
            .limit
            .map_or(0, |limit| receipts.receipts.len().saturating_sub(limit));
        receipts.receipts.drain(..over);
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_receipts() {
        let wanted = Wanted::of_query("volume=db%2Fa&since=1h&limit=2", 10_000).unwrap();
        assert_eq!(wanted.since, Some(6_400));
        assert_eq!(wanted.volume, VolumeKey::named("db/a"));
        assert_eq!(wanted.limit, Some(2));
        assert_eq!(Wanted::of_query("", 1).unwrap().limit, Some(USUAL));
        for wrong in ["volume=a", "since=yesterday", "limit=0", "limit=1e9", "x=1"] {
            Wanted::of_query(wrong, 1).unwrap_err();
        }
    }

    #[test]
    fn the_newest_stay() {
        let record = |at| AuditRecord {
            at,
            plan: "p".to_owned(),
            step: "wipe".to_owned(),
            subject: "db/a".to_owned(),
            event: "done".to_owned(),
            by: None,
            receipt: None,
            why: None,
        };
        let receipts = Receipts {
            receipts: (0..5).map(record).collect(),
            damaged: Vec::new(),
        };
        let wanted = Wanted::of_query("limit=2", 1).unwrap();
        let times: Vec<i64> = wanted
            .newest(receipts)
            .receipts
            .iter()
            .map(|record| record.at)
            .collect();
        assert_eq!(times, [3, 4]);
    }
}
