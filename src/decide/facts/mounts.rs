//! The mount table, as `/proc/<pid>/mountinfo` gives it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{DeviceNumber, FsLocation};
use crate::units::Raw;

/// One line of mountinfo (proc_pid_mountinfo(5)), with its escapes undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// Mount id; also in `/proc/<pid>/fdinfo/<fd>` and `statx(2)`. Reused after an unmount.
    pub id: u64,
    /// Id of the mount that this one lies on; its own for a root without parent.
    pub parent: u64,
    /// The file system's device number: the same for every mount of one file system.
    pub device: DeviceNumber,
    /// Which directory of the file system is mounted, from its own root.
    pub root: Raw,
    /// Whether that directory has been removed meanwhile (`//deleted` behind the root).
    pub root_deleted: bool,
    /// Where, relative to the reader's root directory.
    pub mount_point: Raw,
    /// Options of the mount, separated by commas.
    pub options: Raw,
    /// Optional fields such as `shared:7`.
    pub optional: Vec<Raw>,
    /// File-system type, such as `ext4` or `fuse.sshfs`.
    pub fs_type: Raw,
    /// What was mounted: mostly a device, but any text, also none.
    pub source: Raw,
    /// Options of the file system, separated by commas.
    pub super_options: Raw,
}

/// What a type of file system means for us; told from mountinfo alone, without asking it anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FsClass {
    /// On a block device of this host. It may be asked.
    Local,
    /// Layered over others (overlay). It may be asked; it is no disk of its own.
    Layered,
    /// In memory (tmpfs). It may be asked; it is no disk.
    Memory,
    /// Of the kernel (proc, cgroup, autofs, …): no storage, and a look may have effects.
    Pseudo,
    /// Served by a process, which may never answer: never asked.
    Fuse,
    /// On other hosts, or shared with them: never asked.
    Network,
    /// A type we don't know, without a block device: never asked.
    Foreign,
}

impl FsClass {
    /// Whether looking at such a file system can neither hang on someone else nor set anything
    /// off. A dying drive can still hang it.
    #[must_use]
    pub fn may_be_asked(self) -> bool {
        match self {
            Self::Local | Self::Layered | Self::Memory => true,
            Self::Pseudo | Self::Fuse | Self::Network | Self::Foreign => false,
        }
    }

    /// The class of a type. `major` is the major device number: 0 without a block device, but
    /// also for btrfs, zfs and bcachefs.
    #[must_use]
    pub fn of(fs_type: &Raw, major: u32) -> Self {
        match fs_type.as_bytes() {
            b"ext2" | b"ext3" | b"ext4" | b"xfs" | b"btrfs" | b"zfs" | b"f2fs" | b"jfs"
            | b"bcachefs" | b"reiserfs" | b"nilfs2" | b"vfat" | b"exfat" | b"ntfs3"
            | b"hfsplus" | b"squashfs" | b"erofs" | b"iso9660" | b"udf" => Self::Local,
            b"overlay" | b"overlayfs" | b"aufs" => Self::Layered,
            b"tmpfs" | b"ramfs" | b"rootfs" => Self::Memory,
            b"proc" | b"sysfs" | b"devtmpfs" | b"devpts" | b"cgroup" | b"cgroup2" | b"cpuset"
            | b"pstore" | b"bpf" | b"tracefs" | b"debugfs" | b"securityfs" | b"selinuxfs"
            | b"smackfs" | b"apparmorfs" | b"configfs" | b"mqueue" | b"hugetlbfs"
            | b"binfmt_misc" | b"fusectl" | b"efivarfs" | b"nsfs" | b"autofs" | b"rpc_pipefs"
            | b"nfsd" | b"resctrl" | b"binder" | b"functionfs" | b"xenfs" | b"devfs" | b"pidfs"
            | b"sockfs" | b"pipefs" | b"dax" => Self::Pseudo,
            b"nfs" | b"nfs4" | b"cifs" | b"smb3" | b"smbfs" | b"ceph" | b"9p" | b"afs"
            | b"coda" | b"ncpfs" | b"ncp" | b"lustre" | b"glusterfs" | b"gfs" | b"gfs2"
            | b"ocfs2" | b"orangefs" | b"pvfs2" | b"beegfs" | b"gpfs" | b"mmfs" | b"panfs"
            | b"acfs" | b"vboxsf" | b"vmhgfs" | b"prl_fs" | b"virtiofs" => Self::Network,
            b"fuse" | b"fuseblk" => Self::Fuse,
            other if other.starts_with(b"fuse.") || other.starts_with(b"fuseblk.") => Self::Fuse,
            _ if major != 0 => Self::Local,
            _ => Self::Foreign,
        }
    }
}

fn has_option(options: &Raw, wanted: &[u8]) -> bool {
    options
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|option| option == wanted)
}

impl MountEntry {
    /// What its type means for us.
    #[must_use]
    pub fn class(&self) -> FsClass {
        FsClass::of(&self.fs_type, self.device.major)
    }

    /// Whether this mount or its file system says that it is read-only. A file system that went
    /// read-only after an error may not say so (ext4 before Linux 6.15).
    #[must_use]
    pub fn read_only(&self) -> bool {
        has_option(&self.options, b"ro")
            || has_option(&self.super_options, b"ro")
            || has_option(&self.super_options, b"emergency_ro")
    }

    /// Whether the file system has this option.
    #[must_use]
    pub fn has_super_option(&self, wanted: &[u8]) -> bool {
        has_option(&self.super_options, wanted)
    }

    /// Whether the mount has this option.
    #[must_use]
    pub fn has_option(&self, wanted: &[u8]) -> bool {
        has_option(&self.options, wanted)
    }

    /// Whether this mount shows the file system's own root.
    #[must_use]
    pub fn shows_whole_filesystem(&self) -> bool {
        self.root.as_bytes() == b"/"
    }

    /// Where `path` lies in this mount's file system, when it lies below the mount point by text.
    /// Whether another mount is in between is the table's to say: [`MountTable::mount_of`].
    #[must_use]
    pub fn location(&self, path: &Raw) -> Option<FsLocation> {
        let tail = path.below(&self.mount_point)?;
        Some(FsLocation {
            device: self.device,
            path: match tail {
                [] => self.root.clone(),
                tail => self.root.join(tail),
            },
        })
    }

    /// The place of its file system that this mount shows.
    #[must_use]
    pub fn shown(&self) -> FsLocation {
        FsLocation {
            device: self.device,
            path: self.root.clone(),
        }
    }
}

/// A whole mount table, as one process sees it.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    entries: Vec<MountEntry>,
    by_id: HashMap<u64, usize>,
    /// Key: the id of the mount below (`None`: one that the table does not show) and the mount
    /// point. The kernel keeps at most one mount for each.
    children: HashMap<(Option<u64>, Raw), usize>,
}

impl PartialEq for MountTable {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for MountTable {}

impl MountTable {
    /// The table of these entries, in the order of mountinfo.
    #[must_use]
    pub fn new(entries: Vec<MountEntry>) -> Self {
        let by_id: HashMap<u64, usize> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.id, index))
            .collect();
        let children = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let parent = (entry.parent != entry.id && by_id.contains_key(&entry.parent))
                    .then_some(entry.parent);
                ((parent, entry.mount_point.clone()), index)
            })
            .collect();
        Self {
            entries,
            by_id,
            children,
        }
    }

    /// Every mount, hidden ones too, in the order of mountinfo.
    #[must_use]
    pub fn entries(&self) -> &[MountEntry] {
        &self.entries
    }

    /// The mount with this id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&MountEntry> {
        self.entries.get(*self.by_id.get(&id)?)
    }

    /// The mounts that the kernel passes on its way to `path`, which must be absolute and without
    /// symbolic links, `.` and `..`; the last one is the mount that `path` lies on. Mounts that
    /// are hidden by a later one, at or above them, are not among them. Empty when the table does
    /// not reach so far (a reader in a changed root).
    #[must_use]
    pub fn chain(&self, path: &Raw) -> Vec<&MountEntry> {
        let mut chain: Vec<&MountEntry> = Vec::new();
        let mut current: Option<u64> = None;
        for prefix in prefixes(path) {
            // Several mounts may be stacked on one mount point, each on the one before.
            while let Some(entry) = self
                .children
                .get(&(current, prefix.clone()))
                .and_then(|index| self.entries.get(*index))
            {
                if chain.iter().any(|passed| passed.id == entry.id) {
                    break;
                }
                current = Some(entry.id);
                chain.push(entry);
            }
        }
        chain
    }

    /// The mount that `path` lies on; see [`Self::chain`].
    #[must_use]
    pub fn mount_of(&self, path: &Raw) -> Option<&MountEntry> {
        self.chain(path).pop()
    }

    /// The mount whose mount point `path` is, and which is to be seen there.
    #[must_use]
    pub fn mount_at(&self, path: &Raw) -> Option<&MountEntry> {
        self.mount_of(path)
            .filter(|entry| entry.mount_point == *path)
    }

    /// The mount that hides this one, if any: what is to be seen at its mount point instead.
    #[must_use]
    pub fn hidden_by(&self, entry: &MountEntry) -> Option<&MountEntry> {
        self.mount_of(&entry.mount_point)
            .filter(|seen| seen.id != entry.id)
    }

    /// Where `path` lies in its file system.
    #[must_use]
    pub fn locate(&self, path: &Raw) -> Option<FsLocation> {
        self.mount_of(path)?.location(path)
    }
}

/// `/`, `/a`, `/a/b` for `/a/b`.
fn prefixes(path: &Raw) -> impl Iterator<Item = Raw> {
    let bytes = path.as_bytes();
    let ends = bytes
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, byte)| **byte == b'/')
        .map(|(index, _)| index)
        .chain((bytes != b"/").then_some(bytes.len()));
    std::iter::once(Raw::from("/")).chain(ends.filter_map(|end| bytes.get(..end).map(Raw::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, parent: u64, root: &str, mount_point: &str) -> MountEntry {
        MountEntry {
            id,
            parent,
            device: DeviceNumber {
                major: 8,
                minor: u32::try_from(id).unwrap(),
            },
            root: root.into(),
            root_deleted: false,
            mount_point: mount_point.into(),
            options: "rw,relatime".into(),
            optional: Vec::new(),
            fs_type: "ext4".into(),
            source: "/dev/sdx".into(),
            super_options: "rw".into(),
        }
    }

    fn on(table: &MountTable, path: &str) -> Option<u64> {
        table.mount_of(&path.into()).map(|entry| entry.id)
    }

    #[test]
    fn a_path_lies_on_the_nearest_mount_by_component() {
        let table = MountTable::new(vec![
            entry(1, 1, "/", "/"),
            entry(2, 1, "/", "/mnt"),
            entry(3, 2, "/", "/mnt/data"),
        ]);
        assert_eq!(on(&table, "/mnt/data/x"), Some(3));
        assert_eq!(on(&table, "/mnt/data"), Some(3));
        assert_eq!(on(&table, "/mnt/data-old"), Some(2));
        assert_eq!(on(&table, "/mnta"), Some(1));
        assert_eq!(on(&table, "/"), Some(1));
        assert_eq!(table.mount_at(&"/mnt".into()).unwrap().id, 2);
        assert_eq!(table.mount_at(&"/mnt/data/x".into()), None);
    }

    #[test]
    fn the_topmost_of_stacked_mounts_is_seen() {
        let table = MountTable::new(vec![
            entry(1, 0, "/", "/"),
            entry(2, 1, "/", "/mnt"),
            entry(5, 2, "/", "/mnt"),
        ]);
        assert_eq!(on(&table, "/mnt/x"), Some(5));
        let below = table.by_id(2).unwrap();
        assert_eq!(table.hidden_by(below).unwrap().id, 5);
        assert_eq!(table.hidden_by(table.by_id(5).unwrap()), None);
    }

    #[test]
    fn a_mount_above_hides_what_is_mounted_below_it() {
        // /mnt/a was mounted on the root file system; then something was mounted on /mnt.
        let table = MountTable::new(vec![
            entry(1, 0, "/", "/"),
            entry(2, 1, "/", "/mnt/a"),
            entry(3, 1, "/", "/mnt"),
        ]);
        assert_eq!(on(&table, "/mnt/a/x"), Some(3));
        assert_eq!(table.hidden_by(table.by_id(2).unwrap()).unwrap().id, 3);
        assert_eq!(table.mount_at(&"/mnt/a".into()), None);
    }

    #[test]
    fn a_mount_on_the_root_itself_hides_all() {
        let table = MountTable::new(vec![
            entry(1, 1, "/", "/"),
            entry(2, 1, "/", "/mnt"),
            entry(3, 1, "/", "/"),
        ]);
        assert_eq!(on(&table, "/mnt"), Some(3));
        assert_eq!(table.hidden_by(table.by_id(2).unwrap()).unwrap().id, 3);
    }

    #[test]
    fn in_a_changed_root_the_unseen_root_mount_is_not_guessed() {
        let table = MountTable::new(vec![entry(7, 3, "/", "/mnt")]);
        assert_eq!(on(&table, "/mnt/x"), Some(7));
        assert_eq!(on(&table, "/etc"), None);
    }

    #[test]
    fn parents_that_form_a_ring_end() {
        let table = MountTable::new(vec![entry(2, 3, "/", "/"), entry(3, 2, "/", "/")]);
        assert_eq!(on(&table, "/x"), None);
    }

    #[test]
    fn locations_join_the_shown_directory() {
        let table = MountTable::new(vec![entry(1, 1, "/", "/"), entry(2, 1, "/sub", "/mnt")]);
        let location = table.locate(&"/mnt/a/b".into()).unwrap();
        assert_eq!(location.path, "/sub/a/b".into());
        assert_eq!(table.locate(&"/mnt".into()).unwrap().path, "/sub".into());
        assert_eq!(table.locate(&"/etc".into()).unwrap().path, "/etc".into());
    }

    #[test]
    fn a_mount_of_a_folder_does_not_show_its_whole_file_system() {
        assert!(entry(1, 1, "/", "/").shows_whole_filesystem());
        assert!(!entry(1, 1, "/sub", "/").shows_whole_filesystem());
    }

    #[test]
    fn tables_are_the_same_where_their_mounts_are() {
        let table = |root: &str| MountTable::new(vec![entry(1, 1, root, "/")]);
        assert_eq!(table("/"), table("/"));
        assert_ne!(table("/"), table("/sub"));
        assert_ne!(table("/"), MountTable::default());
    }

    #[test]
    fn types_that_another_must_answer_for_are_never_asked() {
        for name in [
            "fuse",
            "fuse.sshfs",
            "fuseblk",
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "ceph",
            "9p",
            "glusterfs",
            "fuse.glusterfs",
            "afs",
            "lustre",
            "autofs",
            "virtiofs",
            "newfs",
        ] {
            assert!(!FsClass::of(&name.into(), 0).may_be_asked(), "{name}");
        }
        for name in ["fuseblk", "gfs2", "ocfs2"] {
            assert!(!FsClass::of(&name.into(), 8).may_be_asked(), "{name}");
        }
        for name in ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs"] {
            assert!(FsClass::of(&name.into(), 0).may_be_asked(), "{name}");
        }
        assert_eq!(FsClass::of(&"newfs".into(), 8), FsClass::Local);
    }

    #[test]
    fn read_only_is_told_from_whole_options() {
        let mut mount = entry(1, 1, "/", "/");
        assert!(!mount.read_only());
        mount.super_options = "rw,errors=remount-ro".into();
        assert!(!mount.read_only());
        mount.super_options = "rw,emergency_ro".into();
        assert!(mount.read_only());
        mount.super_options = "ro".into();
        assert!(mount.read_only());
        mount.super_options = "rw".into();
        mount.options = "ro,nosuid".into();
        assert!(mount.read_only());
    }
}
