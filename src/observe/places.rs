//! Where the observers read; a test points them at a tree of its own.

use crate::units::Raw;

/// The kernel's and the host's own places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `/proc`.
    pub proc: Raw,
    /// `/sys`.
    pub sys: Raw,
    /// `/etc/machine-id`.
    pub machine_id: Raw,
    /// The folders of systemd's units, the one that wins first.
    pub units: Vec<Raw>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: Raw::from("/proc"),
            sys: Raw::from("/sys"),
            machine_id: Raw::from("/etc/machine-id"),
            units: [
                "/etc/systemd/system",
                "/run/systemd/system",
                "/usr/local/lib/systemd/system",
                "/usr/lib/systemd/system",
                "/lib/systemd/system",
            ]
            .map(Raw::from)
            .into(),
        }
    }
}
