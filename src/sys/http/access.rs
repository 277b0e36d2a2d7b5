//! As whom a server is asked, and how it is known to be the right one.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Where distributions keep the certificates of public authorities.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

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

/// As whom a server is asked, and how it is known. Empty: as nobody, and by the authorities that
/// this host trusts.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Principal and secret.
    pub basic: Option<(String, Secret)>,
    /// A bearer token; goes before principal and secret.
    pub token: Option<Secret>,
    /// Certificates (PEM) of the authorities that sign servers; no other is trusted.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificates (PEM) and the key to the first of them.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// Why no connection can be made as the configuration says. No message holds what a file holds.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is none in it.
    #[error("the file of {0} holds no certificate in PEM form")]
    NoCertificate(&'static str),
    /// It is damaged.
    #[error("the file of {0} is not in PEM form")]
    Pem(&'static str),
    /// There is none in it, or it needs a password.
    #[error("key_file holds no private key in PEM form that can be used without a password")]
    NoKey,
}

impl Access {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> Option<Secret> {
        if let Some(token) = &self.token {
            // DC/OS has a scheme of its own, which its users write out.
            return Some(Secret(if token.0.starts_with("token=") {
                token.0.clone()
            } else {
                format!("Bearer {}", token.0)
            }));
        }
        let (principal, secret) = self.basic.as_ref()?;
        Some(Secret(format!(
            "Basic {}",
            BASE64.encode(format!("{principal}:{}", secret.0))
        )))
    }

    pub(super) fn tls(&self) -> Result<TlsConfig, AccessError> {
        let roots = match &self.authorities {
            Some(pem) => certificates(pem, "ca_file")?,
            None => system_authorities(),
        };
        let identity = match &self.identity {
            None => None,
            Some((chain, key)) => {
                let key =
                    PrivateKey::from_pem(key.0.as_bytes()).map_err(|_secret| AccessError::NoKey)?;
                Some(ClientCert::new_with_certs(
                    &certificates(chain, "cert_file")?,
                    key,
                ))
            }
        };
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build())
    }
}

fn certificates(pem: &[u8], file: &'static str) -> Result<Vec<Certificate<'static>>, AccessError> {
    let mut all = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => all.push(certificate),
            Ok(_) => {}
            Err(_error) => return Err(AccessError::Pem(file)),
        }
    }
    if all.is_empty() {
        return Err(AccessError::NoCertificate(file));
    }
    Ok(all)
}

/// What this host trusts; nothing where it has no bundle, so that https then needs a `ca_file`.
fn system_authorities() -> Vec<Certificate<'static>> {
    SYSTEM_BUNDLES
        .iter()
        .find_map(|file| {
            let pem = std::fs::read(file).ok()?;
            certificates(&pem, "ca_file").ok()
        })
        .unwrap_or_default()
}
