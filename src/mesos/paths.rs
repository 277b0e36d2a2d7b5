//! Where Mesos keeps things (src/slave/paths.cpp), relative to a root or to the work_dir.

use super::ids::VolumeKey;
use crate::units::Raw;

/// The folder of all volumes, relative to a ROOT or PATH root.
pub const VOLUMES: &str = "volumes";
/// The folder of role directories, relative to a ROOT or PATH root.
pub const ROLES: &str = "volumes/roles";
/// Committed resources and operations (agents since 1.8), relative to the work_dir.
pub const STATE: &str = "meta/resources/resources_and_operations.state";
/// Uncommitted resources and operations (agents since 1.9).
pub const STATE_TARGET: &str = "meta/resources/resources_and_operations.target";
/// Committed resources, all versions.
pub const INFO: &str = "meta/resources/resources.info";
/// Uncommitted resources (agents since 1.1).
pub const INFO_TARGET: &str = "meta/resources/resources.target";
/// The kernel's boot id as the agent last saw it; every agent start rewrites it.
pub const BOOT_ID: &str = "meta/boot_id";
/// The folder of agent ids.
pub const SLAVES: &str = "meta/slaves";
/// Link to the folder of the present agent id.
pub const LATEST: &str = "meta/slaves/latest";

/// The directory of a volume on ROOT or PATH, relative to the root.
#[must_use]
pub fn volume_directory(key: &VolumeKey) -> Raw {
    Raw::from(ROLES)
        .join(key.role.directory())
        .join(key.id.as_raw())
}

/// A container that a path is told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPath {
    /// The id of the outermost container: nested ones belong to it.
    pub container: Raw,
    /// Whether the path is the container's sandbox itself, not something below it.
    pub is_sandbox: bool,
}

/// The container that a path belongs to: one with
/// `slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>` (its sandbox, with
/// what is mounted there) or `provisioner/containers/<container>` (its root file system) in it.
#[must_use]
pub fn container_of(path: &Raw) -> Option<ContainerPath> {
    const SANDBOX: [Option<&[u8]>; 8] = [
        Some(b"slaves"),
        None,
        Some(b"frameworks"),
        None,
        Some(b"executors"),
        None,
        Some(b"runs"),
        None,
    ];
    const PROVISIONED: [Option<&[u8]>; 3] = [Some(b"provisioner"), Some(b"containers"), None];
    let names: Vec<&[u8]> = path
        .as_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let find = |pattern: &[Option<&[u8]>]| {
        names
            .windows(pattern.len())
            .enumerate()
            .find_map(|(at, window)| {
                let fits = window
                    .iter()
                    .zip(pattern)
                    .all(|(name, wanted)| wanted.is_none_or(|wanted| wanted == *name));
                let end = at.saturating_add(pattern.len());
                fits.then(|| {
                    (
                        Raw::from(*window.last().unwrap_or(&&[][..])),
                        end == names.len(),
                    )
                })
            })
    };
    match find(&SANDBOX) {
        // A link to the newest run.
        Some((name, _)) if name.as_bytes() == b"latest" => None,
        Some((container, is_sandbox)) => Some(ContainerPath {
            container,
            is_sandbox,
        }),
        None => find(&PROVISIONED).map(|(container, _)| ContainerPath {
            container,
            is_sandbox: false,
        }),
    }
}

/// The container that a line of `/proc/<pid>/cgroup` names: what follows `mesos` (the agent's
/// `--cgroups_root`), or Docker's own id.
#[must_use]
pub fn container_of_cgroup(text: &[u8]) -> Option<Raw> {
    let names = || {
        text.split(|&byte| byte == b'\n')
            .filter_map(|line| line.splitn(3, |&byte| byte == b':').nth(2))
            .flat_map(|path| path.split(|&byte| byte == b'/'))
    };
    names()
        .zip(names().skip(1))
        .find(|(name, _)| *name == b"mesos")
        .map(|(_, container)| Raw::from(container))
        .filter(|container| !container.is_empty())
        .or_else(|| {
            names().find_map(|name| {
                let id = name.strip_prefix(b"docker-").unwrap_or(name);
                let id = id.strip_suffix(b".scope").unwrap_or(id);
                let is_id = id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit);
                let head = String::from_utf8_lossy(id.get(..12)?).into_owned();
                is_id.then(|| Raw::from(format!("docker-{head}")))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(path: &str) -> Option<(String, bool)> {
        let found = container_of(&path.into())?;
        Some((found.container.to_string(), found.is_sandbox))
    }

    #[test]
    fn a_container_is_told_by_its_sandbox_and_by_its_root_file_system() {
        let sandbox = "/mesos/slaves/S0/frameworks/F/executors/db.1/runs/0a1b";
        let told = |is_sandbox| Some(("0a1b".to_owned(), is_sandbox));
        assert_eq!(container(sandbox), told(true));
        assert_eq!(container(&format!("{sandbox}/data")), told(false));
        assert_eq!(
            container(&format!("{sandbox}/containers/n/data")),
            told(false)
        );
        let rootfs = "/var/lib/mesos/provisioner/containers/0a1b/backends/overlay/rootfses/x/data";
        assert_eq!(container(rootfs), told(false));
        let latest = "/mesos/slaves/S0/frameworks/F/executors/db.1/runs/latest/data";
        for path in [
            "/",
            "/mnt/data",
            "/slaves/S0/frameworks/F/executors/db.1/runs",
            latest,
        ] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn a_container_is_told_by_its_control_group() {
        let told = |text: &str| container_of_cgroup(text.as_bytes()).map(|id| id.to_string());
        assert_eq!(told("0::/mesos/0a1b/leaf\n").unwrap(), "0a1b");
        assert_eq!(
            told("5:cpu:/mesos/0a1b\n1:name=systemd:/mesos/0a1b\n").unwrap(),
            "0a1b"
        );
        let id = "c0ffee".repeat(10) + "beef";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
        ] {
            assert_eq!(
                told(&format!("0::{path}\n")).unwrap(),
                "docker-c0ffeec0ffee"
            );
        }
        for none in [
            "",
            "0::/\n",
            "0::/mesos\n",
            "0::/system.slice/ssh.service\n",
        ] {
            assert_eq!(told(none), None, "{none}");
        }
    }
}
