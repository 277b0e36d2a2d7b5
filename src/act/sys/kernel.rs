//! [`Sys`] by the kernel.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the fd calls that change the world are made"
)]

use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, IFlags, Mode, OFlags, RenameFlags, SeekFrom, flock, fstatvfs,
    fsync, ftruncate, ioctl_getflags, ioctl_setflags, mkdirat, openat, readlinkat, renameat_with,
    seek, syncfs, unlinkat,
};
use rustix::fs::{Gid, Uid};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::{ClockId, clock_gettime};

use super::{Anchor, FsKind, Space, StillOpen, Sys, still_open, temp_name};
use crate::decide::facts::{FileIdentity, FileKind};
use crate::sys::open::{one_component, without_noatime_if_refused};
use crate::sys::stat::open_path;
use crate::sys::{
    Batch, Footprint, IdentityError, More, Node, OpenError, ReadError, Resolver, entry_kind,
    fs_uuid, identity, ioctl, mount_id, node, read_bounded, read_bounded_at, reopen,
};

use crate::units::Raw;

/// The kernel.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    resolver: Resolver,
}

impl Kernel {
    /// With the resolver that this kernel has.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Resolver::probed())
    }

    /// With this resolver.
    #[must_use]
    pub fn with(resolver: Resolver) -> Self {
        Self { resolver }
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

/// Flags that keep even root from removing.
const KEEPING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// The root directory of every btrfs subvolume has this inode number.
const SUBVOLUME_INODE: u64 = 256;

impl Sys for Kernel {
    type Dir = OwnedFd;
    type File = OwnedFd;

    fn open_root(&self, path: &Path) -> Result<OwnedFd, OpenError> {
        self.resolver.open_root(path)
    }

    fn open_child(&self, dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, OpenError> {
        self.resolver.open_beneath(dir, name)
    }

    fn open_parent(&self, dir: &OwnedFd) -> Result<OwnedFd, Errno> {
        without_noatime_if_refused(|flags| openat(dir, c"..", flags, Mode::empty()))
    }

    fn reopen(&self, dir: &OwnedFd) -> Result<OwnedFd, Errno> {
        reopen(dir)
    }

    fn descriptor<'d>(&self, dir: &'d OwnedFd) -> Option<BorrowedFd<'d>> {
        Some(dir.as_fd())
    }

    fn node(&self, dir: &OwnedFd) -> Result<Node, Errno> {
        node(dir)
    }

    fn identity(&self, dir: &OwnedFd) -> Result<FileIdentity, IdentityError> {
        identity(dir)
    }

    fn anchor(&self, dir: &OwnedFd) -> Result<Anchor, Errno> {
        let handle = ioctl::file_handle(dir.as_fd())?;
        let mut hasher = DefaultHasher::new();
        (handle.kind, handle.bytes, handle.mount_id).hash(&mut hasher);
        Ok(Anchor(hasher.finish()))
    }

    fn is_host_root(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = node(openat(CWD, c"/", flags, Mode::empty())?)?;
        let this = node(dir)?;
        Ok((root.device, root.inode) == (this.device, this.inode))
    }

    fn fs_kind(&self, dir: &OwnedFd) -> Result<FsKind, Errno> {
        fs_uuid::fs_kind(dir)
    }

    fn discards(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        let mount = mount_id(dir)?.0.to_string();
        let table = mount_table()?;
        let options = super_options(&table, mount.as_bytes()).ok_or(Errno::NODATA)?;
        // `discard=async` (btrfs) waits for an idle moment.
        Ok(options
            .split(|&byte| byte == b',')
            .any(|option| option == b"discard" || option == b"discard=sync"))
    }

    fn between_threads<'a>(&self, dir: &'a OwnedFd) -> Option<(Kernel, &'a OwnedFd)> {
        Some((*self, dir))
    }

    fn space(&self, dir: &OwnedFd) -> Result<Space, Errno> {
        let found = retry_on_intr(|| fstatvfs(dir))?;
        Ok(Space {
            free_bytes: found.f_bfree.saturating_mul(found.f_frsize),
            used_inodes: found.f_files.saturating_sub(found.f_ffree),
        })
    }

    fn kind(&self, dir: &OwnedFd, name: &[u8]) -> Result<FileKind, Errno> {
        entry_kind(dir, name)
    }

    fn read_entries(&self, dir: &OwnedFd, batch: &mut Batch) -> Result<More, Errno> {
        batch.read(dir)
    }

    fn rewind(&self, dir: &OwnedFd) -> Result<(), Errno> {
        seek(dir, SeekFrom::Start(0)).map(|_| ())
    }

    fn unlink(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        retry_on_intr(|| unlinkat(dir, name, AtFlags::empty()))
    }

    fn unlink_flagged(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let (entry, kind) = unmounted_entry(dir, name)?;
        match kind {
            FileKind::Directory => Err(Errno::ISDIR),
            FileKind::Mount => Err(Errno::BUSY),
            FileKind::File => {
                let file = open_again(&entry, OFlags::RDONLY)?;
                let flags = ioctl_getflags(&file)?;
                if !flags.intersects(KEEPING) {
                    return Err(Errno::PERM);
                }
                ioctl_setflags(&file, flags.difference(KEEPING))?;
                let unlinked = self.unlink(dir, name);
                // Another name of the inode may lie outside: it gets back what it had.
                if unlinked.is_err() || node(&file)?.links > 0 {
                    ioctl_setflags(&file, flags)?;
                }
                unlinked
            }
            // Never opened.
            FileKind::Symlink | FileKind::Special => {
                if cleared_at(dir, name, ioctl::clear_flags_at)? {
                    self.unlink(dir, name)
                } else {
                    Err(Errno::PERM)
                }
            }
        }
    }

    fn rmdir(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        retry_on_intr(|| unlinkat(dir, name, AtFlags::REMOVEDIR))
    }

    fn clear_flags(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        let flags = match ioctl_getflags(dir) {
            Ok(flags) => flags,
            // A file system without such flags.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        if !flags.intersects(KEEPING) {
            return Ok(false);
        }
        ioctl_setflags(dir, flags.difference(KEEPING))?;
        Ok(true)
    }

    fn clear_entry_flags(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
        let (entry, kind) = unmounted_entry(dir, name)?;
        match kind {
            FileKind::Mount => Err(Errno::BUSY),
            FileKind::File | FileKind::Directory => {
                self.clear_flags(&open_again(&entry, OFlags::RDONLY)?)
            }
            // Never opened.
            FileKind::Symlink | FileKind::Special => cleared_at(dir, name, ioctl::clear_flags_at),
        }
    }

    fn project(&self, dir: &OwnedFd) -> Result<u32, Errno> {
        ioctl::project(dir.as_fd())
    }

    fn clear_project(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        ioctl::clear_project(dir.as_fd())
    }

    fn clear_entry_project(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
        let (entry, kind) = unmounted_entry(dir, name)?;
        match kind {
            FileKind::Mount => Err(Errno::BUSY),
            FileKind::Directory => Err(Errno::ISDIR),
            FileKind::File => ioctl::clear_project(open_again(&entry, OFlags::RDONLY)?.as_fd()),
            // Never opened; before Linux 6.17 nobody can give them one either.
            FileKind::Symlink | FileKind::Special => cleared_at(dir, name, ioctl::clear_project_at),
        }
    }

    fn footprint(&self, dir: &OwnedFd, name: &[u8]) -> Result<Footprint, Errno> {
        crate::sys::footprint(dir, name)
    }

    fn rename_noreplace(
        &self,
        from: &OwnedFd,
        name: &[u8],
        to: &OwnedFd,
        new_name: &[u8],
    ) -> Result<(), Errno> {
        one_component(name)?;
        one_component(new_name)?;
        retry_on_intr(|| renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE))
    }

    fn set_owner(&self, dir: &OwnedFd, owner: Option<(u32, u32)>, mode: u32) -> Result<(), Errno> {
        if let Some((user, group)) = owner {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::fchown(dir, Some(user), Some(group))?;
        }
        // After the owner: changing that takes set-user-ID bits away.
        rustix::fs::fchmod(dir, Mode::from_raw_mode(mode))
    }

    fn mkdir(&self, dir: &OwnedFd, name: &[u8], mode: u32) -> Result<(), Errno> {
        one_component(name)?;
        let mode = Mode::from_raw_mode(mode);
        retry_on_intr(|| mkdirat(dir, name, mode))?;
        // The umask may have taken bits away.
        let opened = self.open_child(dir, name).map_err(|error| match error {
            OpenError::Io(errno) => errno,
            OpenError::Missing => Errno::NOENT,
            OpenError::Mount
            | OpenError::Symlink
            | OpenError::NotADirectory
            | OpenError::NoMountId => Errno::STALE,
        });
        let set = opened.and_then(|opened| rustix::fs::fchmod(&opened, mode));
        if let Err(errno) = set {
            // Nothing is left of what failed, unless somebody has put something into it.
            match unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(_) => return Err(errno),
            }
        }
        Ok(())
    }

    fn sync(&self, dir: &OwnedFd) -> Result<(), Errno> {
        retry_on_intr(|| fsync(dir))
    }

    fn sync_fs(&self, dir: &OwnedFd) -> Result<(), Errno> {
        retry_on_intr(|| syncfs(dir))
    }

    fn read_file(&self, dir: &OwnedFd, name: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
        read_bounded_at(dir, name, limit)
    }

    fn write_file(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        content: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        self.write_file_whole(dir, name, content, mode)?;
        self.sync(dir)
    }

    fn write_file_whole(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        content: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        one_component(name)?;
        let temp = temp_name(name);
        match self.unlink(dir, &temp) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let content: Content<'_> = &mut |out| out.write_all(content);
        exchange_by(dir, name, &temp, content, Access { mode, owner: None })
    }

    fn lock(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        try_lock(dir)
    }

    fn unlock(dir: &OwnedFd) {
        // Where this fails, the lock goes with the descriptor.
        flock(dir, FlockOperation::Unlock).unwrap_or(());
    }

    fn is_subvolume(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        Ok(node(dir)?.inode == SUBVOLUME_INODE && self.fs_kind(dir)? == FsKind::Btrfs)
    }

    fn destroy_subvolume(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        one_component(name)?;
        ioctl::btrfs_destroy_subvolume(dir.as_fd(), name)
    }

    fn mounts_below(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        let path = self.path(dir)?;
        let table = mount_table()?;
        Ok(mount_points(&table).any(|point| {
            Raw::new(point)
                .below(&path)
                .is_some_and(|tail| !tail.is_empty())
        }))
    }

    fn make_subvolume_writable(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        ioctl::btrfs_make_subvolume_writable(dir.as_fd())
    }

    fn open_large(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        more_than: u64,
    ) -> Result<Option<(OwnedFd, u64)>, Errno> {
        one_component(name)?;
        let entry = open_path(dir.as_fd(), name)?;
        if mount_id(&entry)? != mount_id(dir)? {
            return Err(Errno::BUSY);
        }
        let fits = |found: Node| {
            found.kind == FileKind::File && found.links == 1 && found.size > more_than
        };
        if !fits(node(&entry)?) {
            return Ok(None);
        }
        let file = open_again(&entry, OFlags::WRONLY)?;
        let found = node(&file)?;
        Ok(fits(found).then_some((file, found.size)))
    }

    fn truncate(&self, file: &OwnedFd, size: u64) -> Result<(), Errno> {
        retry_on_intr(|| ftruncate(file, size))
    }

    fn is_swap(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
        let this = node(open_path(dir.as_fd(), name)?)?;
        let Ok(table) = read_bounded(Path::new("/proc/swaps"), 1 << 20) else {
            return Ok(false);
        };
        Ok(swap_files(&table).any(|path| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            openat(CWD, path.as_slice(), flags, Mode::empty())
                .and_then(node)
                .is_ok_and(|swap| (swap.device, swap.inode) == (this.device, this.inode))
        }))
    }

    fn still_open(&self, dir: &OwnedFd, within: &[u8]) -> Result<Vec<StillOpen>, Errno> {
        still_open::still_open(dir, within)
    }

    fn path(&self, dir: &OwnedFd) -> Result<Raw, Errno> {
        let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let text = readlinkat(CWD, link.as_str(), Vec::new())?;
        Ok(Raw::new(text.into_bytes()))
    }

    fn now(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }
}

/// An entry and what it is, opened without opening what it names; `EBUSY` where something is mounted
/// on it.
fn unmounted_entry(dir: &OwnedFd, name: &[u8]) -> Result<(OwnedFd, FileKind), Errno> {
    one_component(name)?;
    let entry = open_path(dir.as_fd(), name)?;
    if mount_id(&entry)? != mount_id(dir)? {
        return Err(Errno::BUSY);
    }
    let kind = node(&entry)?.kind;
    Ok((entry, kind))
}

/// Clears something of an entry that is never opened, by its name; `false` where the kernel or the
/// file system knows no such call, so that there is nothing to clear.
fn cleared_at(
    dir: &OwnedFd,
    name: &[u8],
    clear: impl Fn(BorrowedFd<'_>, &CStr) -> Result<bool, Errno>,
) -> Result<bool, Errno> {
    let text = CString::new(name).map_err(|_nul| Errno::INVAL)?;
    match clear(dir.as_fd(), &text) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOTTY) => Ok(false),
        other => other,
    }
}

/// Opens for access what an `O_PATH` descriptor of a regular file stands for: no name is resolved
/// again, so that nothing else can be opened.
fn open_again(entry: &OwnedFd, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(CWD, path.as_str(), flags, Mode::empty()))
}

/// The paths in `/proc/swaps` that are files.
fn swap_files(table: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    table
        .split(|&byte| byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let mut words = line
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            let path = words.next()?;
            (words.next()? == b"file").then(|| unescape(path))
        })
}

fn mount_table() -> Result<Vec<u8>, Errno> {
    read_bounded(Path::new("/proc/self/mountinfo"), 64 << 20).map_err(|_unreadable| Errno::NODATA)
}

/// The options of the file system of the mount with this id: the last field of its line.
fn super_options<'a>(table: &'a [u8], id: &[u8]) -> Option<&'a [u8]> {
    table
        .split(|&byte| byte == b'\n')
        .find(|line| line.split(|&byte| byte == b' ').next() == Some(id))?
        .rsplit(|&byte| byte == b' ')
        .next()
}

/// The fifth field of each line of a mount table.
fn mount_points(table: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(unescape)
}

/// Undoes the kernel's `\ooo` for blanks and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            out.push(byte);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

/// The exclusive lock of an open file, if nobody else has it.
pub(in crate::act) fn try_lock(fd: impl AsFd) -> Result<bool, Errno> {
    match retry_on_intr(|| flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The lock of a file of ours that is there for nothing else, made where it is missing; `None` where
/// somebody has it. It is held as long as the descriptor is open.
pub(in crate::act) fn lock_file(path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::from_raw_mode(0o600))?;
    Ok(try_lock(&file)?.then_some(file))
}

/// Who may use a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::act) struct Access {
    /// Mode bits.
    pub(in crate::act) mode: u32,
    /// User and group; `None`: the caller's.
    pub(in crate::act) owner: Option<(u32, u32)>,
}

/// What writes the content of a new file.
pub(in crate::act) type Content<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Writes `content` to the new file `temp`, makes it durable, renames it to `name`, and makes that
/// durable. On an error before the rename nothing is left behind and `name` is what it was. Without
/// an owner, user and group are the caller's.
pub(in crate::act) fn replace_by(
    dir: impl AsFd,
    name: &[u8],
    temp: &[u8],
    content: Content<'_>,
    access: Access,
) -> Result<(), Errno> {
    exchange_by(dir.as_fd(), name, temp, content, access)?;
    retry_on_intr(|| fsync(dir.as_fd()))
}

/// An open file that is written to.
struct Out<'a>(BorrowedFd<'a>);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::write(self.0, bytes))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// So much is written at once, and held in memory until then.
const AT_ONCE: usize = 1 << 18;

fn fill(file: BorrowedFd<'_>, content: Content<'_>) -> Result<(), Errno> {
    let mut out = BufWriter::with_capacity(AT_ONCE, Out(file));
    content(&mut out)
        .and_then(|()| out.flush())
        // A write of nothing has no number.
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// As [`replace_by`], but the rename is not made durable: after a power cut the old file is there or
/// the new one, each whole, because the new one's content is durable before the rename.
fn exchange_by(
    dir: impl AsFd,
    name: &[u8],
    temp: &[u8],
    content: Content<'_>,
    access: Access,
) -> Result<(), Errno> {
    let dir = dir.as_fd();
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(access.mode);
    let file = retry_on_intr(|| openat(dir, temp, flags, mode))?;
    let written = (|| {
        if let Some((user, group)) = access.owner {
            rustix::fs::fchown(
                &file,
                Some(rustix::fs::Uid::from_raw(user)),
                Some(rustix::fs::Gid::from_raw(group)),
            )?;
        }
        // After the owner, whose change may take mode bits away.
        rustix::fs::fchmod(&file, mode)?;
        fill(file.as_fd(), content)?;
        retry_on_intr(|| fsync(&file))?;
        retry_on_intr(|| renameat_with(dir, temp, dir, name, RenameFlags::empty()))
    })();
    if let Err(errno) = written {
        // The error that counts is the first one.
        match unlinkat(dir, temp, AtFlags::empty()) {
            Ok(()) | Err(_) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_files_are_read_as_the_kernel_writes_them() {
        let table = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /mnt/a\\040b\\134c                       file\t\t1020\t\t0\t\t-2\n\
            /dev/sda2                               partition\t1\t0\t-1\n";
        assert_eq!(
            swap_files(table).collect::<Vec<_>>(),
            [b"/mnt/a b\\c".to_vec()]
        );
    }

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let table = b"36 35 98:0 /m /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n";
        assert_eq!(
            mount_points(table).collect::<Vec<_>>(),
            [b"/mnt/a b".to_vec()]
        );
        let table =
            b"3 1 7:0 / /a rw - ext4 /dev/loop0 rw,discard\n33 1 7:1 / /b rw - xfs /dev/b rw\n";
        assert_eq!(super_options(table, b"3"), Some(&b"rw,discard"[..]));
        assert_eq!(super_options(table, b"33"), Some(&b"rw"[..]));
        assert_eq!(super_options(table, b"333"), None);
        let kernel = Kernel::new();
        let open = |path: &str| kernel.open_root(Path::new(path)).unwrap();
        assert_eq!(kernel.mounts_below(&open("/")), Ok(true));
        let temp = tempfile::tempdir().unwrap();
        let dir = kernel.open_root(temp.path()).unwrap();
        assert_eq!(kernel.mounts_below(&dir), Ok(false));
    }

    #[test]
    fn a_made_directory_has_its_mode_whatever_the_umask() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let dir = kernel.open_root(temp.path()).unwrap();
        kernel.mkdir(&dir, b"open", 0o777).unwrap();
        let made = kernel.open_child(&dir, b"open").unwrap();
        assert_eq!(rustix::fs::fstat(&made).unwrap().st_mode & 0o7777, 0o777);
        assert_eq!(kernel.mkdir(&dir, b"open", 0o777), Err(Errno::EXIST));
        assert_eq!(kernel.mkdir(&dir, b"a/b", 0o777), Err(Errno::INVAL));
    }

    #[test]
    fn a_rename_never_replaces() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let dir = kernel.open_root(temp.path()).unwrap();
        for name in [&b"a"[..], b"b"] {
            kernel.mkdir(&dir, name, 0o755).unwrap();
        }
        assert_eq!(
            kernel.rename_noreplace(&dir, b"a", &dir, b"b"),
            Err(Errno::EXIST)
        );
        kernel.rename_noreplace(&dir, b"a", &dir, b"c").unwrap();
        assert_eq!(kernel.kind(&dir, b"a"), Err(Errno::NOENT));
        assert_eq!(kernel.kind(&dir, b"c"), Ok(FileKind::Directory));
    }

    #[test]
    fn a_file_is_replaced_over_what_a_crash_left_behind() {
        let temp = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let dir = kernel.open_root(temp.path()).unwrap();
        std::fs::write(temp.path().join(".m.json.new"), "half").unwrap();
        kernel.write_file(&dir, b"m.json", b"one", 0o600).unwrap();
        kernel.write_file(&dir, b"m.json", b"two", 0o600).unwrap();
        assert_eq!(kernel.read_file(&dir, b"m.json", 9).unwrap(), b"two");
        assert_eq!(crate::sys::list(&dir, 9).unwrap().len(), 1);
    }
}
