//! Names as the kernel and Mesos give them: bytes, not text.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name or path in its exact bytes.
///
/// `Display` escapes control characters and bytes that are not UTF-8, so that a hostile name can
/// neither move a terminal's cursor nor break a log line. In JSON it is a string where it is UTF-8
/// and `{"base64": "…"}` where it is not; both read back to the same bytes.
///
/// Copies share the bytes: a pass has the name of each volume in a dozen places.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw(Arc<[u8]>);

/// Names that were made on this thread, while they are shared.
type Pool = HashSet<Arc<[u8]>, BuildHasherDefault<DefaultHasher>>;

thread_local! {
    static POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
}

/// Longer ones are no names that come twice.
const SHARED: usize = 512;

impl Raw {
    /// The name with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(&bytes.into())
    }

    /// Runs this; every name that is made meanwhile on this thread shares its bytes with those made before
    /// that are the same. Nothing else is different: the files of a host say the same names over and over.
    pub fn sharing<T>(make: impl FnOnce() -> T) -> T {
        /// Ends it, also by a panic.
        struct End(Option<Pool>);
        impl Drop for End {
            fn drop(&mut self) {
                POOL.set(self.0.take());
            }
        }
        let _end = End(POOL.replace(Some(Pool::default())));
        make()
    }

    fn of(bytes: &[u8]) -> Self {
        let shared = |pool: &RefCell<Option<Pool>>| {
            let mut pool = pool.borrow_mut();
            let pool = pool.as_mut().filter(|_| bytes.len() <= SHARED)?;
            if let Some(known) = pool.get(bytes) {
                return Some(Arc::clone(known));
            }
            let new: Arc<[u8]> = bytes.into();
            pool.insert(Arc::clone(&new));
            Some(new)
        };
        // Where the thread ends there is none.
        let shared = POOL.try_with(shared).ok().flatten();
        Self(shared.unwrap_or_else(|| bytes.into()))
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
        let slash: &[u8] = if self.0.last() == Some(&b'/') {
            b""
        } else {
            b"/"
        };
        Self::of(&[&self.0, slash, tail.as_ref()].concat())
    }

    /// What follows `base` when this path is `base` or lies below it, component by component:
    /// `Some("")` for the path itself, `None` for a sibling such as `/mnt/disks-old` of
    /// `/mnt/disks`. A statement about text only; it never stands in for an opened descriptor.
    #[must_use]
    pub fn below<'a>(&'a self, base: &Raw) -> Option<&'a [u8]> {
        let base = match base.as_bytes() {
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
        Self::of(text.as_bytes())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Self::of(text.as_bytes())
    }
}

impl From<&[u8]> for Raw {
    fn from(bytes: &[u8]) -> Self {
        Self::of(bytes)
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of(&bytes)
    }
}

impl From<&Path> for Raw {
    fn from(path: &Path) -> Self {
        Self::of(path.as_os_str().as_bytes())
    }
}

impl From<PathBuf> for Raw {
    fn from(path: PathBuf) -> Self {
        Self::of(path.as_os_str().as_bytes())
    }
}

impl From<OsString> for Raw {
    fn from(name: OsString) -> Self {
        Self::of(name.as_bytes())
    }
}

impl From<&OsStr> for Raw {
    fn from(name: &OsStr) -> Self {
        Self::of(name.as_bytes())
    }
}

impl AsRef<[u8]> for Raw {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Bytes {
    base64: String,
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => Bytes {
                base64: BASE64.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// Reads a name without a copy of it in between.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or an object with base64")
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Raw, A::Error> {
        let Bytes { base64 } = Bytes::deserialize(MapAccessDeserializer::new(map))?;
        BASE64
            .decode(base64)
            .map(Raw::new)
            .map_err(A::Error::custom)
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
    fn copies_of_a_name_share_its_bytes() {
        let raw = Raw::from("app#data#0dd1f3b2");
        assert_eq!(raw.clone().as_bytes().as_ptr(), raw.as_bytes().as_ptr());
    }

    #[test]
    fn names_that_are_made_while_they_are_shared_lie_in_one_place() {
        let at = |raw: &Raw| raw.as_bytes().as_ptr();
        let (one, two, long) = Raw::sharing(|| {
            // One inside another shares by itself.
            let inner = Raw::sharing(|| Raw::from("a/b"));
            assert_ne!(at(&inner), at(&Raw::from("a/b")));
            let long = "x".repeat(SHARED + 1);
            (
                Raw::from("a").join("b"),
                serde_json::from_str::<Raw>("\"a/b\"").unwrap(),
                Raw::from(long),
            )
        });
        assert_eq!(at(&one), at(&two));
        assert_ne!(at(&long), at(&Raw::from(long.as_bytes())));
        assert_ne!(at(&Raw::from("a/b")), at(&Raw::from("a/b")));
        let panicked = std::panic::catch_unwind(|| Raw::sharing(|| panic!("in the middle")));
        assert!(panicked.is_err());
        assert_ne!(at(&Raw::from("a/b")), at(&Raw::from("a/b")));
    }

    #[test]
    fn what_is_no_name_is_told_from_one() {
        for json in [
            "1",
            "null",
            "[]",
            "{}",
            r#"{"base64":"%"}"#,
            r#"{"base64":1}"#,
        ] {
            assert!(serde_json::from_str::<Raw>(json).is_err(), "{json}");
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
