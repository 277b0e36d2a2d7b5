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
