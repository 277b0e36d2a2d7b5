//! A made `/proc`: processes with their mounts and open files.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::*;
use crate::decide::facts::DeviceNumber;

/// The tables of a host: `/` on 254:0, a PATH disk on 8:16 mounted at /mnt, a MOUNT disk on 8:32.
pub(super) const HOST: &str = "\
27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 0:20 / /proc rw - proc proc rw
30 27 8:16 / /mnt rw - xfs /dev/sdb rw
31 27 8:32 / /dcos/volume0 rw - ext4 /dev/sdc rw
";

pub(super) struct Host {
    tree: tempfile::TempDir,
}

pub(super) struct Process<'a> {
    pub(super) folder: PathBuf,
    host: &'a Host,
}

impl Host {
    /// A host whose pid 1 holds nothing.
    pub(super) fn new() -> Self {
        let host = Self {
            tree: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(host.path("sys/block")).unwrap();
        host.process(1, "mnt:[1]").mounts(HOST);
        host.file("proc/filesystems", "nodev\tproc\n\text4\nnodev\toverlay\n");
        host
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    pub(super) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn process(&self, pid: i32, namespace: &str) -> Process<'_> {
        Process::make(self, &format!("proc/{pid}"), pid, namespace)
    }

    pub(super) fn look(&self) -> Known<Vec<Holder>> {
        let places = Places {
            proc: self.path("proc").into(),
            sys: self.path("sys").into(),
            ..Places::default()
        };
        observe(
            &places,
            &[
                target((254, 0), "/var/lib/mesos/volumes"),
                target((8, 16), "/data/volumes"),
                Target {
                    location: at((8, 32), "/"),
                    own_mount: Some(at((254, 0), "/dcos/volume0")),
                    hidden: None,
                },
            ],
        )
    }

    pub(super) fn holders(&self) -> Vec<(HolderKind, FsLocation, i32)> {
        match self.look() {
            Known::Known(holders) => holders
                .into_iter()
                .map(|holder| (holder.kind, holder.location, holder.pid))
                .collect(),
            Known::Absent | Known::Unknown(_) => panic!("{:?}", self.look()),
        }
    }

    pub(super) fn why(&self) -> String {
        self.look().why().expect("known").to_string()
    }
}

impl<'a> Process<'a> {
    fn make(host: &'a Host, folder: &str, pid: i32, namespace: &str) -> Self {
        let folder = host.path(folder);
        for name in ["ns", "fd", "fdinfo", "task"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::create_dir_all(folder.join(format!("task/{pid}"))).unwrap();
        let process = Self { folder, host };
        process
            .link("ns/mnt", namespace)
            .link("root", "/")
            .link("cwd", "/")
            .link("exe", "/usr/bin/x")
            .file("maps", "")
            .file("stat", &format!("{pid} (db) S 1 1 1 0 -1 4194304 0"))
    }

    pub(super) fn link(self, name: &str, text: &str) -> Self {
        let path = self.folder.join(name);
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path).unwrap();
        }
        symlink(text, path).unwrap();
        self
    }

    pub(super) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.join(name), text).unwrap();
        self
    }

    pub(super) fn mounts(self, table: &str) -> Self {
        self.file("mountinfo", table)
    }

    pub(super) fn open(self, fd: i32, mount_id: u64, text: &str) -> Self {
        self.link(&format!("fd/{fd}"), text).file(
            &format!("fdinfo/{fd}"),
            &format!("pos:\t0\nflags:\t0100000\nmnt_id:\t{mount_id}\nino:\t7\n"),
        )
    }

    pub(super) fn thread(&self, tid: i32, namespace: &str) -> Self {
        let pid: i32 = tid;
        let folder = self.folder.join(format!("task/{tid}"));
        let folder = folder.strip_prefix(self.host.tree.path()).unwrap();
        Self::make(self.host, folder.to_str().unwrap(), pid, namespace)
    }

    /// As a zombie's folder is.
    pub(super) fn ended(self) -> Self {
        for name in ["ns/mnt", "root", "cwd", "exe"] {
            std::fs::remove_file(self.folder.join(name)).unwrap();
        }
        let stat = std::fs::read_to_string(self.folder.join("stat")).unwrap();
        let stat = stat.replace(") S", ") Z");
        self.file("stat", &stat)
    }
}

pub(super) fn at((major, minor): (u32, u32), path: &str) -> FsLocation {
    FsLocation {
        device: DeviceNumber { major, minor },
        path: path.into(),
    }
}

pub(super) fn target(device: (u32, u32), path: &str) -> Target {
    Target {
        location: at(device, path),
        own_mount: None,
        hidden: None,
    }
}
