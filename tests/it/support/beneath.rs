//! Opening what lies in a volume, wherever its tenant's links point.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens what lies in the volume itself: an attacker must not do to the tree outside what the wipe is
/// blamed for.
pub(crate) fn beneath(volume: &Path, at: &Path, flags: OFlags) -> Option<OwnedFd> {
    let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(volume, open, Mode::empty()).ok()?;
    let name = at.strip_prefix(volume).ok()?;
    let name = if name.as_os_str().is_empty() {
        Path::new(".")
    } else {
        name
    };
    let resolve = rustix::fs::ResolveFlags::BENEATH
        | rustix::fs::ResolveFlags::NO_SYMLINKS
        | rustix::fs::ResolveFlags::NO_XDEV;
    rustix::fs::openat2(&dir, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve).ok()
}
