//! The model host: disks and what is mounted where, an agent with its files, tasks, clocks; and the
//! truth about every volume's life, which nobody on a real host has.

use std::collections::{BTreeMap, BTreeSet};

use mesos_volumed::decide::facts::HolderKind;
use mesos_volumed::decide::manifest::{HIDDEN_OURS, MARKER, Marker, VOLUME};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;
use mesos_volumed::sys::OpenError;
use mesos_volumed::units::Raw;

use super::agent::Agent;
use super::builder::{self, WORK_DIR};
use super::disk::{Disk, ROOT};

/// Where the hidden side of the prepared MOUNT disk is mounted.
pub(crate) const HIDDEN: &str = "/hidden/volume1";

/// The roots of the host: ROOT, two PATH disks on one file system, a plain and a prepared MOUNT.
pub(crate) fn roots() -> [DiskRef; 5] {
    let of = |kind, root: &str| DiskRef {
        kind,
        root: root.into(),
    };
    [
        builder::root(),
        builder::path(),
        of(DiskType::Path, "/mnt/more"),
        builder::mount(),
        of(DiskType::Mount, "/dcos/volume1"),
    ]
}

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) disk: usize,
    pub(crate) shows: u64,
    /// The directory that it lies on.
    pub(crate) on: (usize, u64),
}

/// A process that uses something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) disk: usize,
    pub(crate) ino: u64,
    pub(crate) kind: HolderKind,
    pub(crate) pid: i32,
}

/// A task that the agent's files know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) key: VolumeKey,
    pub(crate) pid: i32,
}

/// One life of a volume: from a CREATE to a DESTROY. What nobody created has one, too.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) key: VolumeKey,
    pub(crate) root: usize,
    /// Whether the agent was told to destroy it and no authority has named it since.
    pub(crate) destroyed: bool,
    /// Whether an operator named it, or its entry, for destruction.
    pub(crate) condemned: bool,
    /// When an authority named its volume last, in seconds that nobody can turn back.
    pub(crate) named_at: u64,
    pub(crate) files: u32,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) disk: usize,
    pub(crate) ino: u64,
}

/// What happens to a call of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) calls: u64,
    /// The process is dead before this call.
    pub(crate) dies_at: Option<u64>,
    /// Before this call something happens beside it.
    pub(crate) meanwhile: Option<(u64, super::acts::Act)>,
    /// What becomes of a call to the master.
    pub(crate) asked: Asked,
}

/// What becomes of a call to the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The agent carries it out, or crashes after so many writes.
    #[default]
    Done,
    Crash(usize),
    /// No master takes it.
    NotTaken,
    /// It says no.
    Refused,
    /// It is carried out, and its answer is lost.
    Unanswered,
    /// It is taken, and never reaches the agent.
    Lost,
}

/// Something about the host, or about how it is looked at, that keeps the program from acting for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oddity {
    /// The agent's answer leaves a role out.
    RoleHidden,
    /// Processes can't be looked at.
    HoldersUnknown,
    /// The agent sees another disk below a root than we do.
    OtherView,
    /// The device below a mounted file system is gone.
    DeviceGone,
    /// A file system is smaller than what was advertised of it.
    Shrunk,
    /// A root comes over the network.
    Network,
    /// A file system gives no handles.
    NoIdentity,
    /// The agent asks for more authorities than we could read.
    Unread,
    /// Nobody told us where the agent can be asked.
    Unasked,
    /// Nothing but our own configuration names a root.
    Unnamed,
    /// What lies at the volumes' places is of another file system than the root.
    Beyond,
}

impl Oddity {
    pub(crate) const ALL: [Self; 11] = [
        Self::RoleHidden,
        Self::HoldersUnknown,
        Self::OtherView,
        Self::DeviceGone,
        Self::Shrunk,
        Self::Network,
        Self::NoIdentity,
        Self::Unread,
        Self::Unasked,
        Self::Unnamed,
        Self::Beyond,
    ];
}

/// The host.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) odd: BTreeSet<Oddity>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) boot: u32,
    pub(crate) since_boot: u64,
    pub(crate) wall: i64,
    /// Seconds that have passed, whatever clocks say.
    pub(crate) passed: u64,
    pub(crate) nonce: u64,
    pub(crate) agent: Agent,
    /// The agent's files below its work_dir.
    pub(crate) meta: BTreeMap<&'static str, Vec<u8>>,
    /// What of them a power cut would certainly show.
    pub(crate) meta_settled: BTreeMap<&'static str, Vec<u8>>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) lives: Vec<Life>,
    pub(crate) next_pid: i32,
    pub(crate) locked_elsewhere: bool,
    pub(crate) fate: Fate,
    pub(crate) oracle: super::oracle::Oracle,
}

/// The disks by their places in [`World::disks`].
const HOST: usize = 0;
pub(crate) const SLAVE: usize = 1;
pub(crate) const DATA: usize = 2;
pub(crate) const PLAIN: usize = 3;
pub(crate) const PREPARED: usize = 4;

impl World {
    pub(crate) fn new() -> Self {
        let disks = (0..5).map(|minor| Disk::new(minor + 1, 0)).collect();
        let mut world = Self {
            odd: BTreeSet::new(),
            disks,
            mounts: Vec::new(),
            boot: 1,
            since_boot: 3600,
            wall: 1_700_000_000,
            passed: 0,
            nonce: 0,
            agent: Agent::new(),
            meta: BTreeMap::new(),
            meta_settled: BTreeMap::new(),
            holds: Vec::new(),
            tasks: Vec::new(),
            lives: Vec::new(),
            next_pid: 1000,
            locked_elsewhere: false,
            fate: Fate::default(),
            oracle: super::oracle::Oracle::default(),
        };
        for point in ["/var/lib/mesos", "/mnt/data", "/mnt/more", "/dcos/volume0"] {
            world.mkdirs(point);
        }
        world.mkdirs("/dcos/volume1");
        world.mkdirs(HIDDEN);
        for disk in [SLAVE, DATA, PLAIN, PREPARED] {
            world.furnish(disk);
            world.mount_own(disk);
        }
        world.mkdirs(WORK_DIR);
        for disk in &mut world.disks {
            disk.sync_all();
        }
        world.agent_start();
        world.settle();
        world
    }

    /// What a disk has before anybody uses it.
    pub(crate) fn furnish(&mut self, disk: usize) {
        let on = &mut self.disks[disk];
        match disk {
            SLAVE => {
                on.mkdir(ROOT, b"slave").unwrap();
            }
            DATA => {
                on.mkdir(ROOT, b"more").unwrap();
            }
            PREPARED => {
                on.mkdir(ROOT, VOLUME.as_bytes()).unwrap();
                let ours = on.mkdir(ROOT, HIDDEN_OURS.as_bytes()).unwrap();
                let marker = Marker {
                    version: Marker::VERSION,
                    filesystem: on.uuid.clone(),
                    of: None,
                };
                let name = MARKER.rsplit('/').next().unwrap().as_bytes();
                let text = serde_json::to_vec(&marker).unwrap();
                on.put(ours, name, &text).unwrap();
                on.mkdir(ours, b"trash").unwrap();
            }
            _ => {}
        }
        on.sync_all();
    }

    /// Mounts a disk where it belongs.
    pub(crate) fn mount_own(&mut self, disk: usize) {
        match disk {
            SLAVE => self.mount("/var/lib/mesos", disk, ROOT),
            DATA => {
                self.mount("/mnt/data", disk, ROOT);
                if let Ok(more) = self.disks[disk].lookup(ROOT, b"more") {
                    self.mount("/mnt/more", disk, more);
                }
            }
            PLAIN => self.mount("/dcos/volume0", disk, ROOT),
            PREPARED => {
                self.mount(HIDDEN, disk, ROOT);
                if let Ok(volume) = self.disks[disk].lookup(ROOT, VOLUME.as_bytes()) {
                    self.mount("/dcos/volume1", disk, volume);
                }
            }
            _ => unreachable!("no disk of a root"),
        }
    }

    pub(crate) fn mount(&mut self, point: &str, disk: usize, shows: u64) {
        let Ok(on) = self.resolve(point.as_bytes()) else {
            return;
        };
        self.mounts.push(Mount {
            point: point.to_owned(),
            disk,
            shows,
            on: (on.disk, on.ino),
        });
    }

    /// Whether a disk is mounted.
    pub(crate) fn is_mounted(&self, disk: usize) -> bool {
        self.mounts.iter().any(|mount| mount.disk == disk)
    }

    /// What is mounted on this directory, the last one on top.
    pub(crate) fn mounted_on(&self, disk: usize, ino: u64) -> Option<&Mount> {
        self.mounts
            .iter()
            .rev()
            .find(|mount| mount.on == (disk, ino))
    }

    /// Follows a path through mounts, and no link.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<Spot, OpenError> {
        let mut at = Spot {
            disk: HOST,
            ino: ROOT,
        };
        for name in path.split(|&byte| byte == b'/').filter(|n| !n.is_empty()) {
            let disk = &self.disks[at.disk];
            let ino = disk.lookup(at.ino, name).map_err(|_| OpenError::Missing)?;
            match disk.inode(ino).map(|inode| &inode.node) {
                Some(super::disk::Node::Dir(_)) => {}
                Some(super::disk::Node::Link) => return Err(OpenError::Symlink),
                _ => return Err(OpenError::NotADirectory),
            }
            at.ino = ino;
            while let Some(mount) = self.mounted_on(at.disk, at.ino) {
                at = Spot {
                    disk: mount.disk,
                    ino: mount.shows,
                };
                if mount.on == (at.disk, at.ino) {
                    break;
                }
            }
        }
        Ok(at)
    }

    /// The mount that a root's path leads to the top of.
    pub(crate) fn mount_at(&self, point: &str) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == point)
    }

    /// `mkdir -p`; what lies there is taken as it is.
    pub(crate) fn mkdirs(&mut self, path: &str) -> Option<Spot> {
        let mut done = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let parent = self.resolve(done.as_bytes()).ok()?;
            done = format!("{done}/{name}");
            if self.resolve(done.as_bytes()).is_err() {
                self.disks[parent.disk]
                    .mkdir(parent.ino, name.as_bytes())
                    .ok()?;
            }
        }
        self.resolve(done.as_bytes()).ok()
    }

    /// A volume's path.
    pub(crate) fn volume_path(root: usize, key: &VolumeKey) -> Raw {
        let disk = &roots()[root];
        match disk.kind {
            DiskType::Mount => disk.root.clone(),
            DiskType::Root | DiskType::Path => disk.root.join(paths::volume_directory(key)),
        }
    }

    /// A volume's directory, where its disk is mounted.
    pub(crate) fn volume_spot(&self, root: usize, key: &VolumeKey) -> Option<Spot> {
        self.resolve(Self::volume_path(root, key).as_bytes()).ok()
    }

    /// The last life of a volume.
    pub(crate) fn life_of(&self, key: &VolumeKey) -> Option<usize> {
        self.lives.iter().rposition(|life| life.key == *key)
    }

    /// Time passes, on clocks that do not jump.
    pub(crate) fn pass_time(&mut self, seconds: u64) {
        self.note_named();
        self.since_boot += seconds;
        self.passed += seconds;
        self.wall = self
            .wall
            .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        if seconds > 30 {
            self.settle();
        }
    }

    /// Everything that was written reaches its disk.
    pub(crate) fn settle(&mut self) {
        for disk in &mut self.disks {
            disk.sync_all();
        }
        self.meta_settled = self.meta.clone();
    }

    pub(crate) fn pid(&mut self) -> i32 {
        self.next_pid += 1;
        self.next_pid
    }

    /// Whose data are to be seen in a directory.
    pub(crate) fn owners_in(&self, spot: Spot) -> BTreeSet<usize> {
        let disk = &self.disks[spot.disk];
        disk.below(spot.ino)
            .into_iter()
            .filter_map(|ino| disk.inode(ino)?.owner)
            .collect()
    }

    /// A file of a life in its volume, durable, as a database writes.
    pub(crate) fn write_data(&mut self, life: usize) {
        let (root, key) = (self.lives[life].root, self.lives[life].key.clone());
        let Some(spot) = self.volume_spot(root, &key) else {
            return;
        };
        self.lives[life].files += 1;
        let number = self.lives[life].files;
        let disk = &mut self.disks[spot.disk];
        let name = format!("data-{life}-{number}");
        let content = format!("of life {life}");
        let mut dir = spot.ino;
        if number.is_multiple_of(3) {
            let folder = format!("folder-{number}");
            match disk.mkdir(dir, folder.as_bytes()) {
                Ok(made) => dir = made,
                Err(_) => return,
            }
        }
        if disk
            .file(dir, name.as_bytes(), content.as_bytes(), Some(life))
            .is_ok()
        {
            disk.sync_all();
        }
    }
}
