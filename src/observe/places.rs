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
    /// `/etc/fstab`.
    pub fstab: Raw,
    /// The folders of systemd's units, the one that wins first.
    pub units: Vec<Raw>,
    /// Folders with one file a flag of the agent (`mesos-init-wrapper`).
    pub flag_folders: Vec<Raw>,
    /// Files with the agent's environment, the one that wins last.
    pub environment_files: Vec<Raw>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: Raw::from("/proc"),
            sys: Raw::from("/sys"),
            machine_id: Raw::from("/etc/machine-id"),
            fstab: Raw::from("/etc/fstab"),
            units: [
                "/etc/systemd/system",
                "/run/systemd/system",
                "/usr/local/lib/systemd/system",
                "/usr/lib/systemd/system",
                "/lib/systemd/system",
            ]
            .map(Raw::from)
            .into(),
            flag_folders: ["/etc/mesos-agent", "/etc/mesos-slave"]
                .map(Raw::from)
                .into(),
            environment_files: [
                "/etc/default/mesos",
                "/etc/default/mesos-slave",
                "/etc/default/mesos-agent",
                "/opt/mesosphere/etc/mesos-slave-common",
                "/var/lib/dcos/mesos-slave-common",
                "/opt/mesosphere/etc/mesos-slave",
                "/var/lib/dcos/mesos-resources",
                "/run/dcos/etc/mesos-slave",
                "/etc/mesosphere/mesos/agent.env",
            ]
            .map(Raw::from)
            .into(),
        }
    }
}
