//! The services that this program asks, set up as the configuration says. The files with secrets
//! are read anew each time: they may have been changed.

use crate::config::{AccessFiles, AccessSecrets, CredentialsError, Settings};
use crate::observe::sidecar::Sidecars;
use crate::sys::http::{Access, AccessError, Limits, Secret, Site, SiteError};
use crate::units::Raw;

/// Why a service can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The configuration.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// What stands in the files.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// As whom a server is asked, from these files.
pub fn access(files: &AccessFiles) -> Result<Access, CredentialsError> {
    let secrets = AccessSecrets::read(files)?;
    let secret = |secret: &crate::config::Secret| Secret::new(secret.reveal());
    Ok(Access {
        basic: secrets
            .credentials
            .as_ref()
            .map(|one| (one.principal.clone(), secret(&one.secret))),
        token: secrets.token.as_ref().map(secret),
        authorities: secrets.authorities,
        identity: secrets
            .identity
            .as_ref()
            .map(|(certificate, key)| (certificate.clone(), secret(key))),
    })
}

/// The masters.
pub fn master(settings: &Settings) -> Result<Site, ClientError> {
    let access = access(&settings.master.access)?;
    let limits = Limits {
        total: std::time::Duration::from_secs(30),
        ..Limits::default()
    };
    Ok(Site::new(
        "master",
        "master.urls",
        &settings.master.urls,
        &access,
        limits,
    )?)
}

/// Marathon.
pub fn marathon(settings: &Settings) -> Result<Site, ClientError> {
    let access = access(&settings.marathon.access)?;
    let limits = Limits {
        total: std::time::Duration::from_secs(30),
        ..Limits::default()
    };
    let urls: Vec<String> = settings.marathon.url.iter().cloned().collect();
    Ok(Site::new(
        "Marathon",
        "marathon.url",
        &urls,
        &access,
        limits,
    )?)
}

/// The principal of what is reserved and created: as configured, else that of the credentials.
pub fn principal(settings: &Settings) -> Result<Option<Raw>, CredentialsError> {
    if let Some(principal) = &settings.master.principal {
        return Ok(Some(principal.clone()));
    }
    let secrets = AccessSecrets::read(&settings.master.access)?;
    Ok(secrets
        .credentials
        .map(|one| Raw::from(one.principal.as_str())))
}

/// The daemons of other hosts.
pub fn sidecars(settings: &Settings) -> Result<Sidecars, ClientError> {
    let fleet = &settings.fleet;
    let limits = Limits {
        connect: fleet.timeout.0,
        total: fleet.timeout.0,
        ..Limits::default()
    };
    Ok(Sidecars::new(&fleet.url, &access(&fleet.access)?, limits)?)
}
