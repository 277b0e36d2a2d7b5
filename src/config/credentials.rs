//! A principal and its secret, in the forms that Mesos's own `--credential` files have.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::units::Raw;

/// A file of this many bytes holds no credential.
const LARGEST_FILE: u64 = 64 << 10;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the request that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Principal and secret for HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Credentials {
    /// The principal.
    pub principal: String,
    /// Its secret.
    pub secret: Secret,
}

/// Why a credentials file can't be used. The file's content is in no message.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read.
    #[error("the credentials file {} can't be read", Raw::from(file.as_path()))]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has another form.
    #[error(
        "the credentials file {} holds no credentials; write {{\"principal\": \"…\", \"secret\": \"…\"}}, or both words on one line",
        Raw::from(file.as_path())
    )]
    Form {
        /// The file.
        file: PathBuf,
    },
}

impl Credentials {
    /// Reads a file in Mesos's JSON form, or with `principal secret` on its only line.
    pub fn read(file: &Path) -> Result<Self, CredentialsError> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|opened| opened.take(LARGEST_FILE).read_to_end(&mut bytes))
            .map_err(|source| CredentialsError::Read {
                file: file.to_path_buf(),
                source,
            })?;
        Self::parse(&bytes).ok_or_else(|| CredentialsError::Form {
            file: file.to_path_buf(),
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.trim();
        if text.starts_with('{') {
            return serde_json::from_str(text).ok();
        }
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(principal), Some(secret), None) => Some(Self {
                principal: principal.to_owned(),
                secret: Secret(secret.to_owned()),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_mesos_are_read() {
        for text in [
            "{\"principal\": \"sidecar\", \"secret\": \"s3cret\"}",
            "sidecar s3cret\n",
        ] {
            let credentials = Credentials::parse(text.as_bytes()).unwrap();
            assert_eq!(credentials.principal, "sidecar");
            assert_eq!(credentials.secret.reveal(), "s3cret");
        }
    }

    #[test]
    fn another_form_is_refused_and_the_secret_is_never_shown() {
        for text in ["", "one", "one two three", "{\"principal\": \"a\"}", "[]"] {
            assert!(Credentials::parse(text.as_bytes()).is_none(), "{text}");
        }
        let credentials = Credentials::parse(b"sidecar s3cret").unwrap();
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let error = Credentials::read(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credentials file /nowhere/at/all can't be read"
        );
    }
}
