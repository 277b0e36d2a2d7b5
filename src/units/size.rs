//! Sizes: bytes for file systems, whole or thousandth megabytes for Mesos.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes; in configuration a string with a unit, such as `"5GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// One MiB, which is what Mesos calls a megabyte (docs/attributes-resources.md).
pub const MIB: u64 = 1 << 20;

/// Why a text is not a size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a size: {rule}; write for example \"512MiB\" or \"5GiB\"")]
pub struct SizeError {
    text: String,
    rule: &'static str,
}

impl Bytes {
    /// Whole megabytes (2^20 bytes) in this size; the rest is dropped, as Mesos drops it.
    #[must_use]
    pub fn whole_megabytes(self) -> u64 {
        self.0 / MIB
    }

    /// The size of so many megabytes, the largest one where that is out of range.
    #[must_use]
    pub fn from_megabytes(megabytes: u64) -> Self {
        Self(megabytes.saturating_mul(MIB))
    }
}

impl FromStr for Bytes {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let fail = |rule| SizeError {
            text: text.to_owned(),
            rule,
        };
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u64 = match unit.trim() {
            "B" => 1,
            "KiB" | "K" => 1 << 10,
            "MiB" | "M" => 1 << 20,
            "GiB" | "G" => 1 << 30,
            "TiB" | "T" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "" if number == "0" => 1,
            "" => return Err(fail("the unit is missing")),
            _ => {
                return Err(fail(
                    "the unit is none of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB",
                ));
            }
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole
            .parse()
            .map_err(|_not_a_number| fail("the number is missing or too large"))?;
        let mut bytes = whole
            .checked_mul(factor)
            .ok_or_else(|| fail("it is too large"))?;
        if !fraction.is_empty() {
            if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return Err(fail("at most six digits may follow the point"));
            }
            let scale = 10u64
                .checked_pow(u32::try_from(fraction.len()).unwrap_or(6))
                .unwrap_or(1);
            let part: u64 = fraction
                .parse()
                .map_err(|_not_a_number| fail("the fraction is not a number"))?;
            let extra = u128::from(part)
                .saturating_mul(u128::from(factor))
                .checked_div(u128::from(scale))
                .unwrap_or(0);
            bytes = u64::try_from(extra)
                .ok()
                .and_then(|extra| bytes.checked_add(extra))
                .ok_or_else(|| fail("it is too large"))?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        for (unit, factor) in UNITS {
            if self.0 >= factor {
                let tenths = u128::from(self.0)
                    .saturating_mul(10)
                    .checked_div(u128::from(factor))
                    .unwrap_or(0);
                let (whole, tenth) = (tenths / 10, tenths % 10);
                return if tenth == 0 {
                    f.pad(&format!("{whole} {unit}"))
                } else {
                    f.pad(&format!("{whole}.{tenth} {unit}"))
                };
            }
        }
        f.pad(&format!("{} B", self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

/// A Mesos scalar of a `disk` or `mem` resource: thousandths of a megabyte (2^20 bytes).
///
/// Mesos compares and adds scalars as `llround(x * 1000)` (src/common/values.cpp); so do we.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Megabytes(i64);

impl Megabytes {
    /// The value with these thousandths.
    #[must_use]
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// A whole number of megabytes, the largest one where that is out of range.
    #[must_use]
    pub fn whole(megabytes: u64) -> Self {
        Self(
            i64::try_from(megabytes)
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        )
    }

    /// The value that Mesos would see in this double; `None` for one that is not finite or out of
    /// range.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the range is checked; Mesos rounds the same way (llround)"
    )]
    pub fn from_f64(value: f64) -> Option<Self> {
        let thousandths = (value * 1000.0).round();
        (thousandths.is_finite() && thousandths.abs() < 9.0e18).then_some(Self(thousandths as i64))
    }

    /// The value as the double that goes into a checkpoint or JSON.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a double is Mesos's own type for this number"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Thousandths of a megabyte.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// Sum, held at the largest value.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        if part == 0 {
            f.pad(&format!("{sign}{whole}"))
        } else {
            f.pad(format!("{sign}{whole}.{part:03}").trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_say_why_not() {
        for (text, bytes) in [
            ("5GiB", 5 << 30),
            ("100 MiB", 100 << 20),
            ("1.5GiB", 3 << 29),
            ("0", 0),
            ("2GB", 2_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
        for text in [
            "5",
            "",
            "GiB",
            "-1GiB",
            "5 GiBs",
            "1.1234567GiB",
            "99999999999TiB",
            "1..5G",
        ] {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is not a size: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn sizes_show_one_digit() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes(1 << 20).to_string(), "1 MiB");
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
    }

    #[test]
    fn megabytes_round_as_mesos_does() {
        assert_eq!(Megabytes::from_f64(0.0004).unwrap().thousandths(), 0);
        assert_eq!(
            Megabytes::from_f64(239.9995).unwrap(),
            Megabytes::whole(240)
        );
        assert_eq!(Megabytes::from_f64(f64::NAN), None);
        assert_eq!(Megabytes::from_f64(1e18), None);
        assert_eq!(Megabytes::from_thousandths(1500).to_string(), "1.5");
        assert_eq!(Megabytes::whole(240).to_string(), "240");
        assert_eq!(Megabytes::whole(10).to_string(), "10");
    }
}
