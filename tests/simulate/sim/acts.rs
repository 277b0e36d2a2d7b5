//! What happens on the host beside the program.

use std::collections::BTreeMap;

use mesos_volumed::act::sys::Errno;
use mesos_volumed::decide::facts::{GateFile, HolderKind};
use mesos_volumed::decide::manifest::OURS;
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;

use super::agent::Generation;
use super::disk::{Disk, Loss, Node, ROOT};
use super::oracle::can_be_read;
use super::world::{DATA, Hold, Life, Oddity, PLAIN, PREPARED, SLAVE, Task, World, roots};

/// What a foreign entry of a trash holds.
pub(crate) const FOREIGN: &[u8] = b"of nobody here";
/// What somebody left where a volume's directory would be.
const STRAY: &[u8] = b"notes";

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Time(u64),
    /// CREATE on a root; the agent crashes after so many writes.
    Create(usize, VolumeKey, usize, bool),
    Destroy(VolumeKey, usize, bool),
    /// A DESTROY that deletes nothing: what is deleted comes back, or was never there to be deleted. It may be
    /// that the agent can't be asked whether it is still at it.
    DestroyLeaving(VolumeKey, bool),
    Grow(VolumeKey, usize),
    TaskStart(VolumeKey),
    /// The process ends, and the agent knows.
    TaskStop,
    /// The process ends while no agent is there to note it.
    TaskForgotten,
    /// The agent takes the task for ended, and its process lives on.
    TaskEscapes,
    /// A process holds a file open.
    Open(VolumeKey),
    /// It closes everything.
    Close,
    Write(VolumeKey),
    AgentStop,
    AgentStart,
    AgentRecovers,
    /// Another version of the agent from now on.
    Version(Generation),
    /// The power is cut; which changes, files and mounts are lost is drawn from the number.
    Cut(u64),
    /// A checkpoint file is damaged while no agent runs: which one, and how.
    Damage(usize, usize),
    Unmount(usize),
    /// Mounted again: as it was, another disk in its place, or a copy of it from earlier.
    Remount(usize, Which),
    /// A copy of it is made, for later.
    Backup(usize),
    ReadOnly(usize),
    Full(usize),
    Failing(usize),
    /// A tenant makes something in its volume immutable.
    Immutable(VolumeKey),
    /// A tenant has something mounted inside its volume.
    Nested(VolumeKey),
    /// Somebody makes a directory where volumes lie.
    ByHand(usize, VolumeKey),
    /// Somebody puts a link where a volume would be.
    Link(usize, VolumeKey),
    /// Somebody puts a file there.
    Stray(usize, VolumeKey),
    /// Something comes to lie in our trash that is not ours: without a manifest, or with half of one.
    Foreign(usize, bool),
    /// From now on the agent can't read everything that it deletes, or can again.
    Blind,
    WallClock(i64),
    Locked(bool),
    /// From now on this is so, or is not any more.
    Odd(Oddity),
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Own,
    Another,
    Old,
}

/// The disk of a root.
pub(crate) fn disk_of(root: usize) -> usize {
    [SLAVE, DATA, DATA, PLAIN, PREPARED][root]
}

/// Does it; whether that was possible.
pub(crate) fn apply(world: &mut World, act: &Act) -> bool {
    match act {
        Act::Time(seconds) => world.pass_time(*seconds),
        Act::Create(root, key, crash, acknowledged) => {
            if !world.create(*root, key, *crash, *acknowledged) {
                return false;
            }
            if !world.agent.running {
                world.oracle.cause("O17");
            } else if let Some(life) = world.life_of(key) {
                world.write_data(life);
                world.write_data(life);
            }
        }
        Act::Destroy(key, crash, acknowledged) => {
            return destroy(world, key, *crash, *acknowledged);
        }
        Act::DestroyLeaving(key, unasked) => {
            world.agent.keeps = true;
            if *unasked {
                world.odd.insert(Oddity::Unasked);
            }
            let done = destroy(world, key, usize::MAX, true);
            world.agent.keeps = false;
            return done;
        }
        Act::Grow(key, crash) => return world.grow(key, *crash),
        Act::TaskStart(key) => return task_start(world, key),
        Act::TaskStop => {
            let Some(task) = world.tasks.pop() else {
                return false;
            };
            world.holds.retain(|hold| hold.pid != task.pid);
        }
        Act::TaskForgotten => {
            let Some(task) = world.tasks.last().cloned() else {
                return false;
            };
            world.holds.retain(|hold| hold.pid != task.pid);
        }
        Act::TaskEscapes => return world.tasks.pop().is_some(),
        Act::Open(key) => return open(world, key),
        Act::Close => {
            let tasks: Vec<i32> = world.tasks.iter().map(|task| task.pid).collect();
            world.holds.retain(|hold| tasks.contains(&hold.pid));
        }
        Act::Write(key) => {
            let Some(life) = world.life_of(key) else {
                return false;
            };
            if !world.tasks.iter().any(|task| task.key == *key) || world.lives[life].destroyed {
                return false;
            }
            world.write_data(life);
        }
        Act::AgentStop => {
            world.note_named();
            world.agent_dies();
        }
        Act::AgentStart => return start(world),
        Act::AgentRecovers => {
            world.agent_dies();
            if !start(world) {
                return false;
            }
            world.agent.recovering = true;
        }
        Act::Version(generation) => {
            world.note_named();
            world.agent_dies();
            if *generation < Generation::V1_8 && world.agent.generation >= Generation::V1_8 {
                world.oracle.cause("O14");
            }
            world.agent.generation = *generation;
            return start(world);
        }
        Act::Cut(number) => cut(world, *number),
        Act::Damage(file, how) => return damage(world, *file, *how),
        Act::Unmount(disk) => return unmount(world, *disk),
        Act::Remount(disk, which) => return remount(world, *disk, *which),
        Act::Backup(disk) => {
            let copy = world.disks[*disk].clone();
            world.oracle.backups.insert(*disk, copy);
        }
        Act::ReadOnly(disk) => world.disks[*disk].read_only ^= true,
        Act::Full(disk) => world.disks[*disk].full ^= true,
        Act::Failing(disk) => world.disks[*disk].failing ^= true,
        Act::Immutable(key) => return immutable(world, key),
        Act::Nested(key) => return nested(world, key),
        Act::ByHand(root, key) => return by_hand(world, *root, key),
        Act::Link(root, key) => {
            return in_place_of(world, *root, key, Disk::link);
        }
        Act::Stray(root, key) => {
            return in_place_of(world, *root, key, |disk, dir, name| {
                disk.file(dir, name, STRAY, None)
            });
        }
        Act::Foreign(root, torn) => return foreign_entry(world, *root, *torn),
        Act::Blind => world.agent.blind ^= true,
        Act::WallClock(jump) => world.wall = world.wall.saturating_add(*jump),
        Act::Locked(locked) => world.locked_elsewhere = *locked,
        Act::Odd(oddity) => {
            if !world.odd.remove(oddity) {
                world.odd.insert(*oddity);
            }
        }
    }
    true
}

/// Whatever starts the agent obeys the gate.
fn start(world: &mut World) -> bool {
    if world.agent.running {
        world.agent.recovering = false;
        return true;
    }
    let gate = world.oracle.state_dir.join(GateFile::NAME);
    if gate.symlink_metadata().is_ok() {
        world.oracle.cause("gate held an agent back");
        return false;
    }
    world.agent_start()
}

pub(crate) fn destroy(
    world: &mut World,
    key: &VolumeKey,
    crash: usize,
    acknowledged: bool,
) -> bool {
    let Some(life) = world.life_of(key) else {
        return false;
    };
    let root = world.lives[life].root;
    let there = world.is_mounted(disk_of(root));
    if !world.agent.running {
        if world.agent.holds(key) {
            // The master answers 202, and the agent never hears of it.
            world.oracle.cause("N1");
        }
        return false;
    }
    let generation = world.agent.generation;
    if !world.destroy(key, crash, acknowledged) {
        return false;
    }
    let left = world
        .volume_spot(root, key)
        .is_some_and(|spot| world.owners_in(spot).contains(&life));
    if !there {
        world.oracle.cause("O10");
    } else if left {
        world.oracle.cause(match generation {
            Generation::V0_28 => "O1",
            Generation::V1_0 => "O2",
            Generation::V1_8 => "O3",
            Generation::V1_1 | Generation::V1_6 | Generation::V1_9 => "O16",
        });
    }
    true
}

fn task_start(world: &mut World, key: &VolumeKey) -> bool {
    let Some(life) = world.life_of(key) else {
        return false;
    };
    if !world.agent.running
        || world.agent.recovering
        || !world.agent.holds(key)
        || world.tasks.iter().any(|task| task.key == *key)
    {
        return false;
    }
    let root = world.lives[life].root;
    let Some(spot) = world.volume_spot(root, key) else {
        // Launching fails: the directory is missing.
        return false;
    };
    let path = World::volume_path(root, key).to_string();
    world.exposed(spot, life, &path, "a task sees what was not told");
    let pid = world.pid();
    world.tasks.push(Task {
        key: key.clone(),
        pid,
    });
    world.holds.push(Hold {
        disk: spot.disk,
        ino: spot.ino,
        kind: HolderKind::MountOf,
        pid,
    });
    world.write_data(life);
    true
}

fn open(world: &mut World, key: &VolumeKey) -> bool {
    let Some(life) = world.life_of(key) else {
        return false;
    };
    let file = world.disks.iter().enumerate().find_map(|(disk, on)| {
        on.all()
            .find(|(ino, inode)| inode.owner == Some(life) && on.path(*ino).is_some())
            .map(|(ino, _)| (disk, ino))
    });
    let Some((disk, ino)) = file.filter(|(disk, _)| world.is_mounted(*disk)) else {
        return false;
    };
    let pid = world.pid();
    world.holds.push(Hold {
        disk,
        ino,
        kind: HolderKind::OpenFile,
        pid,
    });
    true
}

/// Numbers from a number.
fn draw(number: &mut u64, below: u64) -> u64 {
    *number = number
        .wrapping_mul(0x5851_f42d_4c95_7f2d)
        .wrapping_add(0x1405_7b7e_f767_814f);
    (*number >> 33) % below
}

fn cut(world: &mut World, number: u64) {
    let mut number = number;
    world.note_named();
    world.agent_dies();
    world.holds.clear();
    world.boot += 1;
    world.since_boot = 60;
    world.passed += 60;
    let mounted: Vec<usize> = (SLAVE..=PREPARED)
        .filter(|disk| world.is_mounted(*disk))
        .collect();
    for disk in 0..world.disks.len() {
        let unsynced = u64::try_from(world.disks[disk].unsynced()).unwrap_or(0);
        let before = names(&world.disks[disk]);
        let loss = match draw(&mut number, 4) {
            0 => Loss::Nothing,
            1 | 2 => {
                let keeps = draw(&mut number, unsynced + 1);
                Loss::After(usize::try_from(keeps).unwrap_or(0))
            }
            _ => Loss::Some(number.rotate_left(17)),
        };
        world.disks[disk].cut(loss);
        if names(&world.disks[disk]) > before {
            world.oracle.cause("O13");
        }
    }
    for file in FILES {
        let before = world.meta_settled.get(file).cloned();
        let now = world.meta.get(file).cloned();
        if before == now {
            continue;
        }
        // Written and renamed without a sync.
        let left = match draw(&mut number, 5) {
            0 | 1 => now,
            2 => before,
            3 => {
                if now.is_some() {
                    world.oracle.cause("O6");
                }
                now.map(|_| Vec::new())
            }
            _ => now.map(|bytes| {
                let short = draw(&mut number, bytes.len() as u64 + 1);
                world.oracle.cause("O9");
                bytes[..usize::try_from(short).unwrap_or(0)].to_vec()
            }),
        };
        match left {
            Some(bytes) => world.meta.insert(file, bytes),
            None => world.meta.remove(file),
        };
    }
    world.meta_settled = world.meta.clone();
    world.mounts.clear();
    for disk in mounted {
        world.mount_own(disk);
    }
}

fn names(disk: &Disk) -> usize {
    disk.all()
        .filter(|(_, inode)| inode.owner.is_some())
        .count()
}

/// The agent's checkpoint files.
const FILES: [&str; 4] = [
    paths::STATE,
    paths::STATE_TARGET,
    paths::INFO,
    paths::INFO_TARGET,
];

fn damage(world: &mut World, file: usize, how: usize) -> bool {
    world.note_named();
    world.agent_dies();
    let file = FILES[file % FILES.len()];
    let Some(bytes) = world.meta.get(file).cloned() else {
        return false;
    };
    match how % 4 {
        0 => {
            world.meta.remove(file);
            world.oracle.cause("O4");
        }
        1 => {
            world.meta.insert(file, Vec::new());
            world.oracle.cause("O6");
        }
        2 => {
            world.meta.insert(file, bytes[..bytes.len() / 2].to_vec());
        }
        _ => {
            let mut torn = bytes;
            let middle = torn.len() / 2;
            if let Some(byte) = torn.get_mut(middle) {
                *byte ^= 0x55;
            }
            // With a letter of a name changed it is whole, and the agent holds another volume: Mesos
            // keeps no checksum by which anybody could tell.
            if can_be_read(file, &torn) {
                torn.truncate(middle);
            }
            world.meta.insert(file, torn);
        }
    }
    world.meta_settled = world.meta.clone();
    true
}

fn unmount(world: &mut World, disk: usize) -> bool {
    // The agent's own disk stays.
    if disk == SLAVE
        || !world.is_mounted(disk)
        || world.holds.iter().any(|hold| hold.disk == disk)
        || world
            .mounts
            .iter()
            .any(|mount| mount.point.is_empty() && mount.on.0 == disk)
    {
        return false;
    }
    world.mounts.retain(|mount| mount.disk != disk);
    true
}

fn remount(world: &mut World, disk: usize, which: Which) -> bool {
    if disk == SLAVE || world.is_mounted(disk) {
        return false;
    }
    match which {
        Which::Own => {
            if let Some(own) = world.oracle.shelf.remove(&disk) {
                world.disks[disk] = own;
            }
        }
        Which::Another => {
            if world.oracle.shelf.contains_key(&disk) {
                return false;
            }
            let minor = world.disks[disk].minor;
            let generation = 1 + u32::try_from(world.lives.len()).unwrap_or(0);
            let own = std::mem::replace(&mut world.disks[disk], Disk::new(minor, generation));
            world.oracle.shelf.insert(disk, own);
            world.furnish(disk);
            world.oracle.cause("O19");
            world.mount_own(disk);
            foreign_data(world, disk);
            return true;
        }
        Which::Old => {
            let Some(old) = world.oracle.backups.get(&disk).cloned() else {
                return false;
            };
            if world.oracle.shelf.contains_key(&disk) {
                return false;
            }
            world.disks[disk] = old;
            world.oracle.cause("old data came back");
        }
    }
    world.mount_own(disk);
    true
}

/// What another host's agent left on its disk: a volume of a name that we have, too.
fn foreign_data(world: &mut World, disk: usize) {
    let life = world.lives.len();
    let passed = world.passed;
    let on = &mut world.disks[disk];
    let mut at = ROOT;
    if disk == DATA {
        for name in ["volumes", "roles", "db", "a"] {
            at = on.mkdir(at, name.as_bytes()).unwrap();
        }
    } else if let Ok(volume) = on.lookup(ROOT, b"volume") {
        at = volume;
    }
    on.file(at, b"theirs", b"of another host", Some(life))
        .unwrap();
    on.sync_all();
    world.lives.push(Life {
        // Whatever its directory is called there, it is no life of ours.
        key: super::builder::key("alien/a"),
        root: 1,
        destroyed: false,
        condemned: false,
        named_at: passed,
        files: 1,
    });
}

fn immutable(world: &mut World, key: &VolumeKey) -> bool {
    let Some(spot) = live_spot(world, key) else {
        return false;
    };
    let disk = &mut world.disks[spot.disk];
    let below = disk.below(spot.ino);
    let Some(ino) = below.last().copied() else {
        return false;
    };
    disk.flag(ino, true).is_ok()
}

fn live_spot(world: &World, key: &VolumeKey) -> Option<super::world::Spot> {
    let life = world.life_of(key)?;
    world
        .tasks
        .iter()
        .any(|task| task.key == *key)
        .then(|| world.volume_spot(world.lives[life].root, key))?
}

fn nested(world: &mut World, key: &VolumeKey) -> bool {
    let Some(spot) = live_spot(world, key) else {
        return false;
    };
    let disk = &mut world.disks[spot.disk];
    let made = disk.mkdir(spot.ino, b"nested");
    let Ok(on) = made.or_else(|_there| disk.lookup(spot.ino, b"nested")) else {
        return false;
    };
    disk.sync_all();
    if !matches!(disk.inode(on).map(|inode| &inode.node), Some(Node::Dir(_)))
        || world.mounted_on(spot.disk, on).is_some()
    {
        return false;
    }
    world.mounts.push(super::world::Mount {
        point: String::new(),
        disk: 0,
        shows: ROOT,
        on: (spot.disk, on),
    });
    true
}

/// Something that is no directory, where a volume's would be.
fn in_place_of(
    world: &mut World,
    root: usize,
    key: &VolumeKey,
    make: impl Fn(&mut Disk, u64, &[u8]) -> Result<u64, Errno>,
) -> bool {
    if roots()[root].kind == DiskType::Mount {
        return false;
    }
    let path = World::volume_path(root, key).to_string();
    let Some((folder, name)) = path.rsplit_once('/') else {
        return false;
    };
    let Some(spot) = world.mkdirs(folder) else {
        return false;
    };
    make(&mut world.disks[spot.disk], spot.ino, name.as_bytes()).is_ok()
}

/// What is in it may be anybody's, and nobody may touch it.
fn foreign_entry(world: &mut World, root: usize, torn: bool) -> bool {
    if roots()[root].kind == DiskType::Mount {
        return false;
    }
    let trash = format!("{}/{OURS}/trash", roots()[root].root);
    let Some(spot) = world.mkdirs(&trash) else {
        return false;
    };
    let disk = &mut world.disks[spot.disk];
    let name = format!("theirs-{}", disk.entries(spot.ino).map_or(0, BTreeMap::len));
    let made = disk.mkdir(spot.ino, name.as_bytes()).and_then(|entry| {
        if torn {
            disk.put(entry, b"manifest.json", b"{\"version\":1,")?;
        }
        let data = disk.mkdir(entry, b"data")?;
        disk.file(data, b"theirs", FOREIGN, None)
    });
    disk.sync_all();
    made.is_ok()
}

fn by_hand(world: &mut World, root: usize, key: &VolumeKey) -> bool {
    if roots()[root].kind == DiskType::Mount || world.volume_spot(root, key).is_some() {
        return false;
    }
    let path = World::volume_path(root, key).to_string();
    if world.mkdirs(&path).is_none() {
        return false;
    }
    // Nobody created it: it is an orphan from the beginning.
    if world.life_of(key).is_none() {
        let named_at = world.passed;
        world.lives.push(Life {
            key: key.clone(),
            root,
            destroyed: false,
            condemned: false,
            named_at,
            files: 0,
        });
        let life = world.lives.len() - 1;
        world.write_data(life);
    }
    true
}

/// The agent can make no directory where such a file lies, and does not start for as long as it does.
fn clear_strays(disk: &mut Disk) {
    let strays: Vec<Vec<u8>> = disk
        .all()
        .filter(|(_, inode)| inode.node == Node::File(STRAY.to_vec()))
        .filter_map(|(ino, _)| disk.path(ino))
        .collect();
    for path in strays {
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let Some(name) = names.pop() else { continue };
        let folder = names
            .iter()
            .filter(|name| !name.is_empty())
            .try_fold(ROOT, |dir, name| disk.lookup(dir, name));
        disk.unlink(folder.unwrap(), name).unwrap();
    }
    disk.sync_all();
}

/// Everything as it should be: the end of a history.
pub(crate) fn calm(world: &mut World) {
    world.locked_elsewhere = false;
    world.odd.clear();
    world.holds.clear();
    world.tasks.clear();
    world.mounts.retain(|mount| !mount.point.is_empty());
    for disk in [DATA, PLAIN, PREPARED] {
        if world.oracle.shelf.contains_key(&disk) {
            unmount(world, disk);
        }
        remount(world, disk, Which::Own);
    }
    for disk in &mut world.disks {
        disk.read_only = false;
        disk.full = false;
        disk.failing = false;
    }
    for disk in 0..world.disks.len() {
        let flagged: Vec<u64> = world.disks[disk]
            .all()
            .filter(|(_, inode)| inode.immutable)
            .map(|(ino, _)| ino)
            .collect();
        for ino in flagged {
            world.disks[disk].flag(ino, false).unwrap();
        }
        clear_strays(&mut world.disks[disk]);
    }
    // A checkpoint that can't be read is brought back as the agent last had it.
    // One failed start after a crash between two renames is Mesos's own (F§3.4).
    let started = (0..3).any(|_| !world.unreadable() && start(world));
    if !started {
        world.mend_checkpoint();
    }
    if world.agent.generation != Generation::V1_9 {
        world.note_named();
        world.agent_dies();
        world.agent.generation = Generation::V1_9;
    }
    world.settle();
}
