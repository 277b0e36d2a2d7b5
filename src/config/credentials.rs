//! As whom servers are asked: a principal and its secret, in the forms that Mesos's own
//! `--credential` files have, a bearer token, and certificates.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::settings::AccessFiles;
use crate::units::Raw;

/// A file of this many bytes holds no credential.
const LARGEST_FILE: u64 = 64 << 10;
/// A bundle of every public authority has a few hundred KiB.
const LARGEST_PEM: u64 = 4 << 20;

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

impl Secret {
    fn new(text: &str) -> Self {
        Self(text.to_owned())
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
    #[error("the file {} can't be read", Raw::from(file.as_path()))]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A token is one word.
    #[error(
        "the token file {} holds no token; write it alone, on one line",
        Raw::from(file.as_path())
    )]
    Token {
        /// The file.
        file: PathBuf,
    },
    /// One is of no use without the other.
    #[error("cert_file and key_file belong together: set both, or neither")]
    Pair,
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
        let bytes = whole(file, LARGEST_FILE)?;
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

fn whole(file: &Path, limit: u64) -> Result<Vec<u8>, CredentialsError> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
        .map_err(|source| CredentialsError::Read {
            file: file.to_path_buf(),
            source,
        })?;
    Ok(bytes)
}

/// What the files of [`AccessFiles`] hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSecrets {
    /// Principal and secret.
    pub credentials: Option<Credentials>,
    /// A bearer token.
    pub token: Option<Secret>,
    /// Certificates (PEM) of those that sign servers' ones.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificates (PEM) and the key to the first of them.
    pub identity: Option<(Vec<u8>, Secret)>,
}

impl AccessSecrets {
    /// Reads the files. They may have been changed: who asks a server reads them anew.
    pub fn read(files: &AccessFiles) -> Result<Self, CredentialsError> {
        let token = match &files.token {
            None => None,
            Some(file) => {
                let bytes = whole(file, LARGEST_FILE)?;
                let text = std::str::from_utf8(&bytes).map_or("", str::trim);
                if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic()) {
                    return Err(CredentialsError::Token { file: file.clone() });
                }
                Some(Secret::new(text))
            }
        };
        let identity = match (&files.certificate, &files.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let secret = whole(key, LARGEST_FILE)?;
                Some((
                    whole(certificate, LARGEST_PEM)?,
                    Secret(String::from_utf8_lossy(&secret).into_owned()),
                ))
            }
            (Some(_), None) | (None, Some(_)) => return Err(CredentialsError::Pair),
        };
        Ok(Self {
            credentials: files
                .credentials
                .as_deref()
                .map(Credentials::read)
                .transpose()?,
            token,
            authorities: files
                .authorities
                .as_deref()
                .map(|file| whole(file, LARGEST_PEM))
                .transpose()?,
            identity,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
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
        assert_eq!(error.to_string(), "the file /nowhere/at/all can't be read");
    }

    #[test]
    fn files_of_an_access_are_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            Some(file)
        };
        let files = AccessFiles {
            credentials: file("credentials", "sidecar s3cret"),
            token: file("token", "t0ken\n"),
            authorities: file("ca", "CA"),
            certificate: file("cert", "CERT"),
            key: file("key", "k3y"),
        };
        let read = AccessSecrets::read(&files).unwrap();
        assert_eq!(read.token.as_ref().unwrap().reveal(), "t0ken");
        assert_eq!(read.authorities.as_deref(), Some(&b"CA"[..]));
        let shown = format!("{read:?}");
        for secret in ["s3cret", "t0ken", "k3y"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let alone = AccessFiles {
            key: None,
            ..files.clone()
        };
        assert!(matches!(
            AccessSecrets::read(&alone),
            Err(CredentialsError::Pair)
        ));
        for bad in ["", "two words", "a\nb"] {
            let files = AccessFiles {
                token: file("token", bad),
                ..AccessFiles::default()
            };
            let error = AccessSecrets::read(&files).unwrap_err();
            assert!(matches!(error, CredentialsError::Token { .. }), "{bad}");
        }
        let gone = AccessFiles {
            token: Some(folder.path().join("none")),
            ..AccessFiles::default()
        };
        assert!(matches!(
            AccessSecrets::read(&gone),
            Err(CredentialsError::Read { .. })
        ));
    }
}
