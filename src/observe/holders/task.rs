//! What one process, or one thread of it, has: its directories, its files, its mappings.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, readlinkat, statx};
use rustix::io::{Errno, retry_on_intr};

use super::super::mountinfo;
use super::super::places::Places;
use super::super::proc::{self, Look, Task, look};
use super::super::read;
use super::mounts::Namespace;
use crate::decide::facts::{DeviceNumber, FsClass};
use crate::sys::ReadError;
use crate::units::Raw;

/// A process with 64 Ki mappings, the kernel's default bound, and long names stays below this.
const MAPS: usize = 256 << 20;

/// How often a descriptor is looked at again that changes under the look.
const LOOKS: u32 = 16;

/// A live process, or a thread of it that differs in what it sees or has open.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) task: Task,
    pub(super) namespace: Namespace,
    /// Its root directory, as `/proc` tells it.
    pub(super) root: Raw,
    directory: Raw,
    /// Whether its mappings are to be looked at: threads share those of their process.
    pub(super) own_memory: bool,
    /// Whether its descriptors are to be looked at.
    pub(super) own_files: bool,
}

impl Viewer {
    /// Whether its mount table shows every mount of its namespace.
    pub(super) fn sees_all(&self) -> bool {
        self.root.as_bytes() == b"/"
    }

    /// Adds a process, and those of its threads that differ from it.
    pub(super) fn of_process(process: &Task, viewers: &mut Vec<Self>) -> Result<(), ReadError> {
        let mut main = Self::of_task(process)?;
        let Look::Seen(threads) = process.threads()? else {
            return Ok(());
        };
        for tid in threads.into_iter().filter(|tid| *tid != process.pid) {
            let Some(mut thread) = Self::of_task(&process.thread(tid))? else {
                continue;
            };
            // Where the main thread has ended, the first live one stands for it.
            let Some(main) = &main else {
                main = Some(thread);
                continue;
            };
            thread.own_memory = false;
            thread.own_files = thread.has_other_files(main)?;
            if thread.own_files
                || thread.namespace != main.namespace
                || thread.root != main.root
                || thread.directory != main.directory
            {
                viewers.push(thread);
            }
        }
        viewers.extend(main);
        Ok(())
    }

    /// `None`: it has ended. The kernel gives files and directories back before the namespace
    /// (`do_exit`), so that a task without namespace holds nothing.
    fn of_task(task: &Task) -> Result<Option<Self>, ReadError> {
        let found = (|| {
            let Look::Seen(namespace) = task.link("ns/mnt")? else {
                return Ok(None);
            };
            let (Look::Seen(root), Look::Seen(directory)) = (task.link("root")?, task.link("cwd")?)
            else {
                return Ok(None);
            };
            Ok(Some(Self {
                task: task.clone(),
                namespace,
                root,
                directory,
                own_memory: true,
                own_files: true,
            }))
        })();
        match found {
            Err(_) if task.holds_nothing()? => Ok(None),
            found => found,
        }
    }

    /// Whether a thread has a table of descriptors of its own (`CLONE_FILES` not set, or
    /// `unshare(2)`): then the two lists differ, and not only because one changed meanwhile.
    fn has_other_files(&self, main: &Self) -> Result<bool, ReadError> {
        for _ in 0..2 {
            let ours = self.descriptors();
            let theirs = main.descriptors();
            match (ours, theirs) {
                (Ok(Look::Seen(ours)), Ok(Look::Seen(theirs))) if ours == theirs => {
                    return Ok(false);
                }
                (Ok(Look::Seen(_)), Ok(Look::Seen(_)) | Err(_)) => {}
                (Ok(Look::Gone), _) => return Ok(false),
                // The main thread has ended meanwhile.
                (Ok(Look::Seen(_)), Ok(Look::Gone)) => return Ok(true),
                (Err(_), _) if self.task.holds_nothing()? => return Ok(false),
                (Err(error), _) => return Err(error),
            }
        }
        Ok(true)
    }

    fn descriptors(&self) -> Result<Look<Vec<i32>>, ReadError> {
        look(proc::numbers(&self.task.folder.join("fd")))
    }

    /// Its root directory and its working directory; nothing where they are the top of its tree.
    pub(super) fn directories(&self) -> Vec<Raw> {
        [&self.root, &self.directory]
            .into_iter()
            .filter(|text| text.as_bytes() != b"/")
            .cloned()
            .collect()
    }

    /// Its descriptors.
    pub(super) fn files(&self) -> Result<Look<Files>, ReadError> {
        match Files::of(&self.task) {
            Err(_) if self.task.holds_nothing()? => Ok(Look::Gone),
            found => found,
        }
    }

    /// The mapped files on devices that are wanted.
    pub(super) fn maps(
        &self,
        wanted: impl Fn(DeviceNumber) -> bool,
    ) -> Result<Vec<(DeviceNumber, Raw)>, ReadError> {
        let bytes = match self.task.file("maps", MAPS) {
            Ok(Look::Seen(bytes)) => bytes,
            Ok(Look::Gone) => return Ok(Vec::new()),
            Err(_) if self.task.holds_nothing()? => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files: Vec<(DeviceNumber, Raw)> = Vec::new();
        for (device, text) in bytes
            .split(|&byte| byte == b'\n')
            .filter_map(mapped_file)
            .filter(|(device, _)| wanted(*device))
        {
            let same =
                |(last, name): &(DeviceNumber, Raw)| *last == device && name.as_bytes() == text;
            if !files.last().is_some_and(same) {
                files.push((device, Raw::from(text)));
                // A line feed in a name is the one byte that is escaped (fs/seq_file.c).
                if text.windows(4).any(|escape| escape == b"\\012") {
                    files.push((device, Raw::new(mountinfo::unescape(text))));
                }
            }
        }
        Ok(files)
    }
}

/// Device and path of a line of `maps`; `None` for memory without a file.
pub(super) fn mapped_file(line: &[u8]) -> Option<(DeviceNumber, &[u8])> {
    // address perms offset device inode path
    let mut rest = line;
    let mut next = || {
        let end = rest.iter().position(|&byte| byte == b' ')?;
        let (field, tail) = rest.split_at_checked(end)?;
        rest = tail.trim_ascii_start();
        Some(field)
    };
    next()?;
    next()?;
    next()?;
    let device = next()?;
    next()?;
    if rest.first() != Some(&b'/') {
        return None;
    }
    let device = std::str::from_utf8(device).ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = DeviceNumber {
        major: u32::from_str_radix(major, 16).ok()?,
        minor: u32::from_str_radix(minor, 16).ok()?,
    };
    Some((device, rest))
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// A file with a path.
    Path { mount_id: u64, text: Raw },
    /// A socket, a pipe, …
    NoPath,
    /// It was closed meanwhile.
    Closed,
    /// It was another file at each look.
    Restless,
}

/// What a file is whose mount no table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// A file or directory on this device.
    On(DeviceNumber),
    /// A device node, FIFO or socket: no volume's data is behind it.
    NoData,
    /// It was not asked, because a network file system might have to answer.
    NotAsked,
}

/// The descriptors of a task.
#[derive(Debug)]
pub(super) struct Files {
    folder: Raw,
    links: OwnedFd,
    infos: OwnedFd,
    numbers: Vec<i32>,
}

impl Files {
    fn of(task: &Task) -> Result<Look<Self>, ReadError> {
        let open = |name: &str| {
            let path = task.folder.join(name);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            look(
                retry_on_intr(|| openat(CWD, path.as_path(), flags, Mode::empty()))
                    .map_err(|errno| read::from_errno(&path, errno)),
            )
        };
        let folder = task.folder.join("fd");
        let (Look::Seen(links), Look::Seen(infos)) = (open("fd")?, open("fdinfo")?) else {
            return Ok(Look::Gone);
        };
        let Look::Seen(numbers) = look(proc::numbers(&folder))? else {
            return Ok(Look::Gone);
        };
        Ok(Look::Seen(Self {
            folder,
            links,
            infos,
            numbers,
        }))
    }

    pub(super) fn numbers(&self) -> &[i32] {
        &self.numbers
    }

    /// Link and mount id of one descriptor, both of the same file: the link is read before and
    /// after.
    pub(super) fn look(&self, fd: i32) -> Result<Opened, ReadError> {
        let name = fd.to_string();
        let failed = |errno| read::from_errno(&self.folder.join(&name), errno);
        let mut before = match self.link(&name) {
            Ok(text) => text,
            Err(Errno::NOENT | Errno::SRCH) => return Ok(Opened::Closed),
            Err(errno) => return Err(failed(errno)),
        };
        for _ in 0..LOOKS {
            if before.as_bytes().first() != Some(&b'/') {
                return Ok(Opened::NoPath);
            }
            let mount_id = match self.mount_id(&name) {
                Ok(Some(id)) => id,
                // Linux before 3.15, which this program does not run on.
                Ok(None) => return Err(failed(Errno::NOSYS)),
                Err(Errno::NOENT | Errno::SRCH) => return Ok(Opened::Closed),
                Err(errno) => return Err(failed(errno)),
            };
            let after = match self.link(&name) {
                Ok(text) => text,
                Err(Errno::NOENT | Errno::SRCH) => return Ok(Opened::Closed),
                Err(errno) => return Err(failed(errno)),
            };
            if before == after {
                return Ok(Opened::Path {
                    mount_id,
                    text: after,
                });
            }
            before = after;
        }
        Ok(Opened::Restless)
    }

    fn link(&self, name: &str) -> Result<Raw, Errno> {
        readlinkat(&self.links, name, Vec::new()).map(|text| Raw::new(text.into_bytes()))
    }

    fn mount_id(&self, name: &str) -> Result<Option<u64>, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let info = retry_on_intr(|| openat(&self.infos, name, flags, Mode::empty()))?;
        // pos, flags and mnt_id come first, whatever else a file has to tell.
        let mut text = [0_u8; 512];
        let length = retry_on_intr(|| rustix::io::read(&info, &mut text))?;
        let text = text.get(..length).unwrap_or_default();
        Ok(text
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(b"mnt_id:"))
            .and_then(|id| std::str::from_utf8(id).ok()?.trim().parse().ok()))
    }

    /// What a file is whose mount no table shows: it was unmounted lazily, is the kernel's own, or
    /// was inherited from a namespace of which no process is left.
    pub(super) fn unlisted(&self, places: &Places, fd: i32) -> Result<Look<Unlisted>, ReadError> {
        if network_filesystems_possible(places)? {
            return Ok(Look::Seen(Unlisted::NotAsked));
        }
        let name = fd.to_string();
        let quiet = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        match retry_on_intr(|| statx(self.links.as_fd(), &name, quiet, StatxFlags::TYPE)) {
            Ok(found) => Ok(Look::Seen(
                match FileType::from_raw_mode(u32::from(found.stx_mode)) {
                    FileType::RegularFile
                    | FileType::Directory
                    | FileType::Symlink
                    | FileType::Unknown => Unlisted::On(DeviceNumber {
                        major: found.stx_dev_major,
                        minor: found.stx_dev_minor,
                    }),
                    FileType::CharacterDevice
                    | FileType::BlockDevice
                    | FileType::Fifo
                    | FileType::Socket => Unlisted::NoData,
                },
            )),
            Err(Errno::NOENT | Errno::SRCH) => Ok(Look::Gone),
            Err(errno) => Err(read::from_errno(&self.folder.join(&name), errno)),
        }
    }
}

/// Whether this kernel has any network file system: only those ask their server when a descriptor
/// of another process is looked at, however quietly (NFS revalidates what a link of `/proc` leads
/// to). FUSE was seen not to.
fn network_filesystems_possible(places: &Places) -> Result<bool, ReadError> {
    let list = read::whole(&places.proc.join("filesystems"), 1 << 16)?;
    Ok(list
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b'\t').nth(1))
        .any(|fs_type| FsClass::of(&Raw::from(fs_type), 0) == FsClass::Network))
}

/// Whether it is memory that the kernel keeps on a mount of its own, which no table shows.
pub(super) fn is_kernel_made(text: &Raw) -> bool {
    const MADE: [&[u8]; 6] = [
        b"/memfd:",
        b"/SYSV",
        b"/dev/zero (deleted)",
        b"/[aio] (deleted)",
        b"/anon_hugepage (deleted)",
        b"/secretmem (deleted)",
    ];
    let text = text.as_bytes();
    text.starts_with(b"/dmabuf:")
        || (text.ends_with(b" (deleted)") && MADE.iter().any(|made| text.starts_with(made)))
}
