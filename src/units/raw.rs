//! Names as the kernel and Mesos give them: bytes, not text.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name or path in its exact bytes.
///
/// `Display` escapes control characters and bytes that are not UTF-8, so that a hostile name can
/// neither move a terminal's cursor nor break a log line. In JSON it is a string where it is UTF-8
/// and `{"base64": "…"}` where it is not; both read back to the same bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw(Vec<u8>);

impl Raw {
    /// The name with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as the operating system's string type.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The name as a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// The text, where the bytes are UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes in base64, where they are not UTF-8: for the `*_base64` keys of the JSON output.
    #[must_use]
    pub fn base64_if_not_utf8(&self) -> Option<String> {
        match self.as_str() {
            Some(_) => None,
            None => Some(BASE64.encode(&self.0)),
        }
    }

    /// This path with one more component (or several, joined by `/`) behind it.
    #[must_use]
    pub fn join(&self, tail: impl AsRef<[u8]>) -> Self {
        let mut bytes = self.0.clone();
        if bytes.last() != Some(&b'/') {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(tail.as_ref());
        Self(bytes)
    }

    /// What follows `base` when this path is `base` or lies below it, component by component:
    /// `Some("")` for the path itself, `None` for a sibling such as `/mnt/disks-old` of
    /// `/mnt/disks`. A statement about text only; it never stands in for an opened descriptor.
    #[must_use]
    pub fn below<'a>(&'a self, base: &Raw) -> Option<&'a [u8]> {
        let base = match base.0.as_slice() {
            b"/" => return self.0.strip_prefix(b"/"),
            [head @ .., b'/'] => head,
            whole => whole,
        };
        match self.0.strip_prefix(base)? {
            [] => Some(&[]),
            [b'/', rest @ ..] => Some(rest),
            _ => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
                {
                    for b in c.to_string().bytes() {
                        write!(f, "\\x{b:02x}")?;
                    }
                } else {
                    f.write_char(c)?;
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&[u8]> for Raw {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&Path> for Raw {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl From<PathBuf> for Raw {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string().into_vec())
    }
}

impl From<OsString> for Raw {
    fn from(name: OsString) -> Self {
        Self(name.into_vec())
    }
}

impl From<&OsStr> for Raw {
    fn from(name: &OsStr) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl AsRef<[u8]> for Raw {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes { base64: String },
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => Wire::Bytes {
                base64: BASE64.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer)? {
            Wire::Text(text) => Ok(Self(text.into_bytes())),
            Wire::Bytes { base64 } => BASE64.decode(base64).map(Self).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_escapes_control_characters_and_bytes_outside_utf8() {
        assert_eq!(
            Raw::new(*b"a\x1b[2J\xff\nb\xc3\xa9").to_string(),
            "a\\x1b[2J\\xff\\x0abé"
        );
    }

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [&b"plain"[..], b"", b"\xff\xfe", b"a\nb", "é".as_bytes()] {
            let raw = Raw::new(bytes);
            let json = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<Raw>(&json).unwrap(), raw, "{json}");
        }
    }

    #[test]
    fn below_is_by_component() {
        let below =
            |path: &str, base: &str| Raw::from(path).below(&Raw::from(base)).map(<[u8]>::to_vec);
        assert_eq!(below("/mnt/disks", "/mnt/disks"), Some(Vec::new()));
        assert_eq!(below("/mnt/disks/a/b", "/mnt/disks"), Some(b"a/b".to_vec()));
        assert_eq!(below("/mnt/disks/a", "/mnt/disks/"), Some(b"a".to_vec()));
        assert_eq!(below("/mnt/disks-old", "/mnt/disks"), None);
        assert_eq!(below("/mnt", "/"), Some(b"mnt".to_vec()));
        assert_eq!(below("/mnt", "/mnt/disks"), None);
    }
}
