//! The program's calls, on the model host.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mesos_volumed::act::sys::{Anchor, Errno, FsKind, Kernel, Space, StillOpen, Sys};
use mesos_volumed::decide::facts::{DeviceNumber, FileIdentity, FileKind};
use mesos_volumed::sys::{
    Batch, Footprint, IdentityError, More, Node as Found, OpenError, ReadError, TypeHint,
};
use mesos_volumed::units::Raw;

use super::disk::{Disk, Node};
use super::world::{Spot, World};

/// The world, behind the calls of one process.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) world: Mutex<World>,
}

/// The process was killed.
pub(crate) struct Killed;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Open {
    disk: usize,
    ino: u64,
    /// Whether everything was read.
    read: Cell<bool>,
}

impl Open {
    fn new(disk: usize, ino: u64) -> Self {
        Self {
            disk,
            ino,
            read: Cell::new(false),
        }
    }
}

impl Model {
    /// The world, for those beside the program.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        match self.world.lock() {
            Ok(world) => world,
            // A process that was killed left it as it is.
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// The world, at a call: what happens beside it happens, and the process may be dead.
    fn call(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        world.fate.calls += 1;
        let now = world.fate.calls;
        if world
            .fate
            .meanwhile
            .as_ref()
            .is_some_and(|(at, _)| *at == now)
            && let Some((_, act)) = world.fate.meanwhile.take()
        {
            super::acts::apply(&mut world, &act);
        }
        if world.fate.dies_at == Some(now) {
            drop(world);
            std::panic::resume_unwind(Box::new(Killed));
        }
        world
    }

    fn on<T>(
        &self,
        dir: &Open,
        act: impl FnOnce(&mut Disk, u64) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut world = self.call();
        act(&mut world.disks[dir.disk], dir.ino)
    }
}

fn one_component(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(Errno::INVAL);
    }
    Ok(())
}

fn device(disk: &Disk) -> DeviceNumber {
    DeviceNumber {
        major: 8,
        minor: disk.minor,
    }
}

fn kind_of(disk: &Disk, ino: u64) -> Result<FileKind, Errno> {
    match disk.inode(ino).map(|inode| &inode.node) {
        Some(Node::Dir(_)) => Ok(FileKind::Directory),
        Some(Node::File(_)) => Ok(FileKind::File),
        Some(Node::Link) => Ok(FileKind::Symlink),
        None => Err(Errno::NOENT),
    }
}

/// What identifies a directory of the model.
pub(crate) fn identity(disk: &Disk, ino: u64) -> FileIdentity {
    FileIdentity {
        filesystem: disk.uuid.clone(),
        handle: format!("1:{ino:016x}"),
    }
}

impl Sys for Model {
    type Dir = Open;
    type File = Open;

    fn open_root(&self, path: &Path) -> Result<Open, OpenError> {
        let Spot { disk, ino } = self.call().resolve(path.as_os_str().as_bytes())?;
        Ok(Open::new(disk, ino))
    }

    fn open_child(&self, dir: &Open, name: &[u8]) -> Result<Open, OpenError> {
        one_component(name).map_err(OpenError::Io)?;
        let world = self.call();
        let disk = &world.disks[dir.disk];
        let ino = disk
            .lookup(dir.ino, name)
            .map_err(|_gone| OpenError::Missing)?;
        if world.mounted_on(dir.disk, ino).is_some() {
            return Err(OpenError::Mount);
        }
        match kind_of(disk, ino) {
            Ok(FileKind::Directory) => Ok(Open::new(dir.disk, ino)),
            Ok(FileKind::Symlink) => Err(OpenError::Symlink),
            _ => Err(OpenError::NotADirectory),
        }
    }

    fn open_parent(&self, dir: &Open) -> Result<Open, Errno> {
        self.on(dir, |disk, ino| {
            disk.inode(ino).cloned().ok_or(Errno::NOENT)
        })
        .map(|inode| Open::new(dir.disk, inode.parent))
    }

    fn reopen(&self, dir: &Open) -> Result<Open, Errno> {
        drop(self.call());
        Ok(Open::new(dir.disk, dir.ino))
    }

    fn descriptor<'d>(&self, _dir: &'d Open) -> Option<BorrowedFd<'d>> {
        None
    }

    fn node(&self, dir: &Open) -> Result<Found, Errno> {
        self.on(dir, |disk, ino| {
            Ok(Found {
                device: device(disk),
                inode: ino,
                kind: kind_of(disk, ino)?,
                links: 2,
                size: 4096,
            })
        })
    }

    fn identity(&self, dir: &Open) -> Result<FileIdentity, IdentityError> {
        let world = self.call();
        Ok(identity(&world.disks[dir.disk], dir.ino))
    }

    fn anchor(&self, dir: &Open) -> Result<Anchor, Errno> {
        self.on(dir, |_, ino| Ok(Anchor(ino)))
    }

    fn is_host_root(&self, dir: &Open) -> Result<bool, Errno> {
        self.on(dir, |disk, ino| {
            Ok(disk.minor == 1 && ino == super::disk::ROOT)
        })
    }

    fn fs_kind(&self, _dir: &Open) -> Result<FsKind, Errno> {
        Ok(FsKind::Ext4)
    }

    fn discards(&self, _dir: &Open) -> Result<bool, Errno> {
        Ok(false)
    }

    fn between_threads<'a>(&self, _dir: &'a Open) -> Option<(Kernel, &'a OwnedFd)> {
        None
    }

    fn space(&self, dir: &Open) -> Result<Space, Errno> {
        self.on(dir, |disk, _| {
            let used = u64::try_from(disk.all().count()).unwrap_or(u64::MAX);
            Ok(Space {
                free_bytes: (1 << 30) - used * 4096,
                used_inodes: used,
            })
        })
    }

    fn kind(&self, dir: &Open, name: &[u8]) -> Result<FileKind, Errno> {
        one_component(name)?;
        let world = self.call();
        let disk = &world.disks[dir.disk];
        let ino = disk.lookup(dir.ino, name)?;
        if world.mounted_on(dir.disk, ino).is_some() {
            return Ok(FileKind::Mount);
        }
        kind_of(disk, ino)
    }

    fn read_entries(&self, dir: &Open, batch: &mut Batch) -> Result<More, Errno> {
        self.on(dir, |disk, ino| {
            if dir.read.replace(true) {
                return Ok(More::No);
            }
            let Ok(entries) = disk.entries(ino) else {
                // A directory that was removed has none.
                return Ok(More::No);
            };
            for (name, inner) in entries {
                let hint = match kind_of(disk, *inner)? {
                    FileKind::Directory => TypeHint::Directory,
                    FileKind::File => TypeHint::File,
                    FileKind::Symlink | FileKind::Special | FileKind::Mount => TypeHint::Other,
                };
                batch.push(name, *inner, hint)?;
            }
            Ok(More::No)
        })
    }

    fn rewind(&self, dir: &Open) -> Result<(), Errno> {
        dir.read.set(false);
        Ok(())
    }

    fn unlink(&self, dir: &Open, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        let mut world = self.call();
        world.judge_removal(dir.disk, dir.ino, name);
        world.disks[dir.disk].unlink(dir.ino, name)
    }

    fn unlink_flagged(&self, dir: &Open, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        let mut world = self.call();
        let disk = &mut world.disks[dir.disk];
        let ino = disk.lookup(dir.ino, name)?;
        if !disk.flag(ino, false)? {
            return Err(Errno::PERM);
        }
        world.judge_removal(dir.disk, dir.ino, name);
        world.disks[dir.disk].unlink(dir.ino, name)
    }

    fn rmdir(&self, dir: &Open, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        let mut world = self.call();
        let ino = world.disks[dir.disk].lookup(dir.ino, name)?;
        if world.mounted_on(dir.disk, ino).is_some() {
            return Err(Errno::BUSY);
        }
        world.judge_removal(dir.disk, dir.ino, name);
        world.disks[dir.disk].rmdir(dir.ino, name)
    }

    fn clear_flags(&self, dir: &Open) -> Result<bool, Errno> {
        self.on(dir, |disk, ino| disk.flag(ino, false))
    }

    fn clear_entry_flags(&self, dir: &Open, name: &[u8]) -> Result<bool, Errno> {
        one_component(name)?;
        self.on(dir, |disk, ino| {
            let entry = disk.lookup(ino, name)?;
            disk.flag(entry, false)
        })
    }

    fn project(&self, _dir: &Open) -> Result<u32, Errno> {
        Ok(0)
    }

    fn clear_project(&self, _dir: &Open) -> Result<bool, Errno> {
        Ok(false)
    }

    fn clear_entry_project(&self, _dir: &Open, _name: &[u8]) -> Result<bool, Errno> {
        Ok(false)
    }

    fn footprint(&self, dir: &Open, name: &[u8]) -> Result<Footprint, Errno> {
        let world = self.call();
        let disk = &world.disks[dir.disk];
        let ino = if name.is_empty() {
            dir.ino
        } else {
            disk.lookup(dir.ino, name)?
        };
        Ok(Footprint {
            device: device(disk),
            inode: ino,
            links: 1,
            bytes: 4096,
            directory: kind_of(disk, ino)? == FileKind::Directory,
            mounted: world.mounted_on(dir.disk, ino).is_some(),
        })
    }

    fn rename_noreplace(
        &self,
        from: &Open,
        name: &[u8],
        to: &Open,
        new_name: &[u8],
    ) -> Result<(), Errno> {
        one_component(name)?;
        one_component(new_name)?;
        let mut world = self.call();
        if from.disk != to.disk {
            return Err(Errno::XDEV);
        }
        world.judge_move(from.disk, from.ino, name, to.ino);
        world.disks[from.disk].rename(from.ino, name, to.ino, new_name)
    }

    fn mkdir(&self, dir: &Open, name: &[u8], _mode: u32) -> Result<(), Errno> {
        one_component(name)?;
        self.on(dir, |disk, ino| disk.mkdir(ino, name).map(|_made| ()))
    }

    fn set_owner(&self, _dir: &Open, _owner: Option<(u32, u32)>, _mode: u32) -> Result<(), Errno> {
        Ok(())
    }

    fn sync(&self, dir: &Open) -> Result<(), Errno> {
        self.on(dir, Disk::sync)
    }

    fn sync_fs(&self, dir: &Open) -> Result<(), Errno> {
        self.on(dir, |disk, _| {
            disk.sync_all();
            Ok(())
        })
    }

    fn read_file(&self, dir: &Open, name: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
        let path = Raw::new(name);
        let world = self.call();
        let disk = &world.disks[dir.disk];
        let Ok(ino) = disk.lookup(dir.ino, name) else {
            return Err(ReadError::Missing { path });
        };
        match disk.inode(ino).map(|inode| &inode.node) {
            Some(Node::File(content)) if content.len() <= limit => Ok(content.clone()),
            Some(Node::File(_)) => Err(ReadError::TooLarge { path, limit }),
            _ => Err(ReadError::NotAFile { path }),
        }
    }

    fn write_file(&self, dir: &Open, name: &[u8], content: &[u8], mode: u32) -> Result<(), Errno> {
        self.write_file_whole(dir, name, content, mode)?;
        self.on(dir, Disk::sync)
    }

    fn write_file_whole(
        &self,
        dir: &Open,
        name: &[u8],
        content: &[u8],
        _mode: u32,
    ) -> Result<(), Errno> {
        one_component(name)?;
        let temp = mesos_volumed::act::sys::temp_name(name);
        // A new file beside it, its content, the rename.
        self.on(dir, |disk, ino| {
            disk.put(ino, &temp, &content[..content.len() / 2])
        })?;
        self.on(dir, |disk, ino| disk.put(ino, &temp, content))?;
        self.on(dir, |disk, ino| {
            disk.put(ino, name, content)?;
            disk.unlink(ino, &temp)
        })
    }

    fn lock(&self, _dir: &Open) -> Result<bool, Errno> {
        Ok(!self.call().locked_elsewhere)
    }

    fn unlock(_dir: &Open) {}

    fn is_subvolume(&self, _dir: &Open) -> Result<bool, Errno> {
        Ok(false)
    }

    fn destroy_subvolume(&self, _dir: &Open, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOTTY)
    }

    fn mounts_below(&self, dir: &Open) -> Result<bool, Errno> {
        let world = self.call();
        let below = world.disks[dir.disk].below(dir.ino);
        Ok(world
            .mounts
            .iter()
            .any(|mount| mount.on.0 == dir.disk && below.contains(&mount.on.1)))
    }

    fn make_subvolume_writable(&self, _dir: &Open) -> Result<bool, Errno> {
        Ok(false)
    }

    fn open_large(
        &self,
        _dir: &Open,
        _name: &[u8],
        _more_than: u64,
    ) -> Result<Option<(Open, u64)>, Errno> {
        Ok(None)
    }

    fn truncate(&self, _file: &Open, _size: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn is_swap(&self, _dir: &Open, _name: &[u8]) -> Result<bool, Errno> {
        Ok(false)
    }

    fn still_open(&self, _dir: &Open, _within: &[u8]) -> Result<Vec<StillOpen>, Errno> {
        Ok(Vec::new())
    }

    fn path(&self, dir: &Open) -> Result<Raw, Errno> {
        self.on(dir, |disk, ino| {
            disk.path(ino).map(Raw::new).ok_or(Errno::NOENT)
        })
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.world().since_boot)
    }
}
