//! A volume's directory: an open descriptor whose identity was checked. The only thing that a
//! wipe accepts.

use super::sys::{Kernel, Sys};
use crate::decide::facts::FileIdentity;
use crate::sys::{IdentityError, OpenError};
use crate::units::Raw;

/// Why a directory is not the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeDirError {
    /// A component could not be opened: a link, a mount, no directory, not there.
    #[error("{at} of the volume's path could not be opened")]
    Open {
        /// The component.
        at: Raw,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// It has no identity to compare.
    #[error("the directory has no identity")]
    NoIdentity(#[source] IdentityError),
    /// It is another directory than the one that was seen.
    #[error("it is another directory than the one that was decided on")]
    Another {
        /// What was found.
        found: FileIdentity,
    },
    /// It is the root directory of the host.
    #[error("it is the root directory of this host")]
    HostRoot,
    /// The kernel refused a question.
    #[error("the directory could not be looked at")]
    Io(#[source] rustix::io::Errno),
}

/// An open directory that is what was decided on, with the place it was found in.
#[derive(Debug)]
pub struct VolumeDir<S: Sys> {
    dir: S::Dir,
    /// The directory it lies in and its name there; `None` for a root itself.
    place: Option<(S::Dir, Vec<u8>)>,
    identity: FileIdentity,
}

impl<S: Sys> VolumeDir<S> {
    /// Opens, one component at a time from an open root, the directory with this identity; with
    /// no component, the root itself. Refuses links, mounts and anything else than the expected
    /// directory.
    pub fn open(
        sys: &S,
        root: &S::Dir,
        components: &[&[u8]],
        expected: &FileIdentity,
    ) -> Result<Self, VolumeDirError> {
        let mut dir = sys.reopen(root).map_err(VolumeDirError::Io)?;
        let mut place = None;
        for &name in components {
            let next = sys
                .open_child(&dir, name)
                .map_err(|source| VolumeDirError::Open {
                    at: Raw::new(name),
                    source,
                })?;
            place = Some((std::mem::replace(&mut dir, next), name.to_vec()));
        }
        if sys.is_host_root(&dir).map_err(VolumeDirError::Io)? {
            return Err(VolumeDirError::HostRoot);
        }
        let found = sys.identity(&dir).map_err(VolumeDirError::NoIdentity)?;
        if found != *expected {
            return Err(VolumeDirError::Another { found });
        }
        Ok(Self {
            dir,
            place,
            identity: found,
        })
    }

    /// Its identity, as found.
    pub fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// The open directory.
    pub fn dir(&self) -> &S::Dir {
        &self.dir
    }

    /// The same directory, opened again for another thread, where these calls are the kernel's.
    pub(super) fn for_a_thread(
        &self,
        sys: &S,
    ) -> Option<Result<(Kernel, VolumeDir<Kernel>), rustix::io::Errno>> {
        let (kernel, dir) = sys.between_threads(&self.dir)?;
        let again = || {
            let place = self
                .place
                .as_ref()
                .and_then(|(parent, name)| Some((sys.between_threads(parent)?.1, name)))
                .map(|(parent, name)| Ok((kernel.reopen(parent)?, name.clone())))
                .transpose()?;
            let again = VolumeDir {
                dir: kernel.reopen(dir)?,
                place,
                identity: self.identity.clone(),
            };
            Ok((kernel, again))
        };
        Some(again())
    }

    /// The directory it lies in and its name there; `None` for a root itself.
    pub fn place(&self) -> Option<(&S::Dir, &[u8])> {
        self.place
            .as_ref()
            .map(|(dir, name)| (dir, name.as_slice()))
    }
}
