//! Calls to the leading master that change an agent's resources.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::store::Store;
use super::sys::lock_file;
use crate::mesos::operator::{Change, ResourceFormat, WriteError};
use crate::sys::http::{Request, Site, SiteError};
use crate::units::Raw;

/// Held by a command that changes an agent's resources through the master, and waits for what the agent
/// makes of it: another one's reservation must not be taken for its own. It is apart from the instance
/// lock: a daemon that runs need not be stopped for it.
#[derive(Debug)]
pub struct MasterLock {
    _file: OwnedFd,
}

impl MasterLock {
    /// Takes it; `None` where another command has it.
    pub fn acquire(store: &Store) -> Result<Option<Self>, Errno> {
        let file = lock_file(&store.dir().join("master.lock"))?;
        Ok(file.map(|file| Self { _file: file }))
    }
}

/// Why a call was not made, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It can't be said in the API's words.
    #[error("{call} can't be written")]
    Write {
        /// The call.
        call: &'static str,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// The master refused it, or nobody knows whether it took it.
    #[error("{call}: {source}")]
    Site {
        /// The call.
        call: &'static str,
        /// What happened. It is part of the message: it says whether anything came of the call.
        source: SiteError,
    },
}

impl ChangeError {
    /// Whether the call certainly changed nothing.
    #[must_use]
    pub const fn changed_nothing(&self) -> bool {
        match self {
            Self::Write { .. } => true,
            Self::Site { source, .. } => source.changed_nothing(),
        }
    }

    /// Whether the master said no, or it can't be said to it: asking again as things are is no use.
    #[must_use]
    pub const fn refused(&self) -> bool {
        match self {
            Self::Write { .. } => true,
            Self::Site { source, .. } => match source {
                SiteError::Unauthorized { .. } | SiteError::Forbidden { .. } => true,
                SiteError::Refused { status, .. } => *status < 500,
                SiteError::NotConfigured { .. }
                | SiteError::Access { .. }
                | SiteError::NotTaken { .. }
                | SiteError::Unclear { .. } => false,
            },
        }
    }

    /// Whether our principal lacks the right for it.
    #[must_use]
    pub const fn no_right(&self) -> bool {
        matches!(
            self,
            Self::Site {
                source: SiteError::Unauthorized { .. } | SiteError::Forbidden { .. },
                ..
            }
        )
    }
}

/// Makes one call. `Ok`: the leader said 202, which means that the call is valid and is on its way
/// to the agent, and nothing more.
pub fn change(
    site: &Site,
    agent: &Raw,
    change: &Change,
    format: ResourceFormat,
) -> Result<(), ChangeError> {
    let call = change.name();
    let body = change
        .body(agent, format)
        .map_err(|source| ChangeError::Write { call, source })?;
    site.call(&Request::post("/api/v1", &body))
        .map(|_accepted| ())
        .map_err(|source| ChangeError::Site { call, source })
}
