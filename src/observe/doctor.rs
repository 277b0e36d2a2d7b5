//! What `doctor` looks at besides the facts of a pass. Reads only.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::files::Stamp;
use super::places::Places;
use super::usage::{UsageError, quota, reach};
use super::{health, mountinfo, read, units};
use crate::decide::facts::{
    BootMount, FileAccess, FileKind, Known, ProjectUse, RootFacts, SocketAccess, UnitOrder,
};
use crate::decide::steps::TrashId;
use crate::mesos::disk::DiskType;
use crate::mesos::paths;
use crate::sys::Resolver;
use crate::units::{Raw, chain};

/// Our unit that writes the agent's resources.
const RESOURCES_UNIT: &str = "mesos-volumed-resources.service";

/// Whether the kernel resolves names by `openat2(2)` for us.
#[must_use]
pub fn openat2() -> Known<()> {
    match Resolver::probed() {
        Resolver::Openat2 => Known::Known(()),
        Resolver::Fdinfo => Known::Absent,
    }
}

/// What the agent's units and ours say of their order.
#[must_use]
pub fn unit_orders(places: &Places) -> Known<Vec<UnitOrder>> {
    match units::orders(places, &[RESOURCES_UNIT]) {
        Ok(orders) => Known::Known(orders),
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// What `/etc/fstab` and mount units mount at boot.
#[must_use]
pub fn boot_mounts(places: &Places) -> Known<Vec<BootMount>> {
    let mut mounts = match read::whole(&places.fstab, 1 << 20) {
        Ok(text) => fstab(&text, &places.fstab),
        Err(error) if read::is_absent(&error) => Vec::new(),
        Err(error) => return Known::unknown(chain(&error)),
    };
    match units::mounts(places) {
        Ok(of_units) => {
            // What systemd makes of fstab says no more than that.
            mounts.extend(of_units);
            Known::Known(mounts)
        }
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// fstab(5): device, mount point, type, options.
fn fstab(text: &[u8], from: &Raw) -> Vec<BootMount> {
    text.split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.starts_with(b"#"))
        .filter_map(|line| {
            let mut fields = line
                .split(u8::is_ascii_whitespace)
                .filter(|field| !field.is_empty());
            let mut point = mountinfo::unescape(fields.nth(1)?);
            while point.len() > 1 && point.last() == Some(&b'/') {
                point.pop();
            }
            let options = String::from_utf8_lossy(fields.nth(1).unwrap_or_default()).into_owned();
            Some(BootMount {
                mount_point: Raw::new(point),
                options: options.split(',').map(str::to_owned).collect(),
                from: from.clone(),
            })
        })
        .filter(|mount| mount.mount_point.as_bytes().first() == Some(&b'/'))
        .collect()
}

/// How many errors each root's file system has counted.
#[must_use]
pub fn errors(places: &Places, roots: &[RootFacts]) -> Vec<(Raw, Known<u64>)> {
    roots
        .iter()
        .filter_map(|root| {
            let mount = root.mount.known()?;
            Some((root.disk.root.clone(), health::errors(places, mount.device)))
        })
        .collect()
}

/// Owner and permission bits of what is ours.
#[must_use]
pub fn access(path: &Path, what: &'static str, forbidden: u32) -> FileAccess {
    FileAccess {
        path: Raw::from(path),
        what,
        access: match std::fs::symlink_metadata(path) {
            Ok(metadata) => Known::Known((metadata.uid(), metadata.mode() & 0o7777)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Known::Absent,
            Err(error) => Known::unknown(error.to_string()),
        },
        forbidden,
    }
}

/// The project ids that directories on xfs hand on: those of ROOT and PATH disks, and the data of their
/// trash entries. MOUNT disks have none that Mesos gave.
#[must_use]
pub fn projects(roots: &[RootFacts]) -> Vec<ProjectUse> {
    let is_xfs = |root: &&RootFacts| root.kind() != DiskType::Mount && root.is_on_xfs();
    let mut found = Vec::new();
    for root in roots.iter().filter(is_xfs) {
        let project = |path: Raw, trash: Option<TrashId>| {
            let below = path.below(&root.disk.root).unwrap_or_default();
            let names = below
                .split(|&byte| byte == b'/')
                .filter(|name| !name.is_empty());
            ProjectUse {
                project: reach(root.disk.root.as_path(), names)
                    .map_err(UsageError::from)
                    .and_then(|dir| Ok(quota::project(&dir)?))
                    .map(|found| found.map(|project| (project.device, project.id)))
                    .map_err(|error| chain(&error)),
                disk: root.disk.clone(),
                path,
                trash,
            }
        };
        let dirs = root.dirs.known().into_iter().flatten();
        let dirs = dirs.filter(|dir| dir.kind == FileKind::Directory);
        found.extend(dirs.map(|dir| project(dir.path(&root.disk), None)));
        let entries = root.trash.known().into_iter().flatten();
        let entries = entries.filter(|entry| entry.data.known().is_some());
        found.extend(entries.map(|entry| {
            let path = root.trash_path().join(&entry.id.0).join("data");
            project(path, Some(entry.id.clone()))
        }));
    }
    found
}

/// Who may connect to the API's socket at this path.
#[must_use]
pub fn socket(path: &Path, wanted: Option<(String, Option<u32>)>) -> Known<SocketAccess> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Known::Known(SocketAccess {
            path: Raw::from(path),
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode() & 0o7777,
            wanted,
        }),
        Ok(_) => Known::unknown(format!("{} is no socket", Raw::from(path))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Known::Absent,
        Err(error) => Known::unknown(error.to_string()),
    }
}

/// When a file below the work_dir was last written, in seconds since 1970.
fn written(work_dir: &Raw, name: &str) -> Known<i64> {
    match Stamp::of(work_dir.join(name).as_path()) {
        Stamp::There { modified_nanos, .. } => {
            Known::Known(modified_nanos.div_euclid(1_000_000_000))
        }
        Stamp::Absent => Known::Absent,
        Stamp::Failed(kind) => Known::unknown(format!("{name}: {kind}")),
    }
}

/// When `.state` was last written.
#[must_use]
pub fn state_written(work_dir: &Raw) -> Known<i64> {
    written(work_dir, paths::STATE)
}

/// When `resources.target` was last written.
#[must_use]
pub fn info_target_written(work_dir: &Raw) -> Known<i64> {
    written(work_dir, paths::INFO_TARGET)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn file(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn places(&self) -> Places {
            let at = |name: &str| Raw::from(self.0.path()).join(name);
            Places {
                fstab: at("fstab"),
                sys: at("sys"),
                units: vec![at("etc"), at("usr")],
                ..Places::default()
            }
        }
    }

    #[test]
    fn what_is_mounted_at_boot_stands_in_fstab_and_in_mount_units_that_somebody_wants() {
        let tree = Tree(tempfile::tempdir().unwrap());
        assert_eq!(boot_mounts(&tree.places()), Known::Known(Vec::new()));
        tree.file(
            "fstab",
            "# comment\nUUID=1 /mnt/a ext4 defaults,nofail 0 2\n/dev/sdb  /mnt/a\\040b/ xfs\n\
             swap none swap sw\n",
        );
        tree.file(
            "usr/mnt-c.mount",
            "[Unit]\nAfter=x\n[Mount]\nWhat=/dev/sdc\nWhere=/mnt/c\nOptions=noatime\n",
        );
        tree.file("usr/mnt-d.mount", "[Mount]\nWhat=/dev/sdd\nWhere=/mnt/d\n");
        tree.file("etc/local-fs.target.wants/mnt-c.mount", "");
        let Known::Known(mounts) = boot_mounts(&tree.places()) else {
            panic!()
        };
        let found: Vec<(String, String)> = mounts
            .iter()
            .map(|mount| (mount.mount_point.to_string(), mount.options.join(",")))
            .collect();
        let expected = [
            ("/mnt/a", "defaults,nofail"),
            ("/mnt/a b", ""),
            ("/mnt/c", "noatime"),
            ("/mnt/d", ",noauto"),
        ]
        .map(|(point, options)| (point.to_owned(), options.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn units_tell_their_order_with_their_drop_ins() {
        let tree = Tree(tempfile::tempdir().unwrap());
        tree.file(
            "usr/mesos-slave.service",
            "[Unit]\nAfter=network.target a.service\nDefaultDependencies=no\n[Service]\nAfter=no\n",
        );
        tree.file(
            "etc/mesos-slave.service.d/disk.conf",
            "[Unit]\nAfter=b.service\nRequiresMountsFor=/mnt/a\n",
        );
        tree.file(
            "usr/mesos-volumed-resources.service",
            "[Unit]\nBefore=mesos-slave.service\n",
        );
        let Known::Known(orders) = unit_orders(&tree.places()) else {
            panic!()
        };
        let [agent, ours] = &orders[..] else {
            panic!("{orders:?}")
        };
        assert_eq!(agent.after, ["network.target", "a.service", "b.service"]);
        assert_eq!(
            (agent.mounts.as_slice(), agent.defaults),
            (&["/mnt/a".to_owned()][..], false)
        );
        assert_eq!(
            (ours.before.as_slice(), ours.defaults),
            (&["mesos-slave.service".to_owned()][..], true)
        );
    }

    #[test]
    fn errors_are_read_where_the_file_system_counts_them() {
        let tree = Tree(tempfile::tempdir().unwrap());
        let device = crate::decide::facts::DeviceNumber { major: 8, minor: 1 };
        assert_eq!(health::errors(&tree.places(), device), Known::Absent);
        tree.file("sys/fs/ext4/sda1/errors_count", "3\n");
        let links = tree.0.path().join("sys/dev/block");
        std::fs::create_dir_all(&links).unwrap();
        std::os::unix::fs::symlink("../../devices/pci/sda/sda1", links.join("8:1")).unwrap();
        assert_eq!(health::errors(&tree.places(), device), Known::Known(3));
        tree.file("sys/fs/ext4/sda1/errors_count", "x");
        assert!(health::errors(&tree.places(), device).why().is_some());
    }
}
