//! The calls by which this program changes the world, behind one trait: the kernel, and a model
//! of it for simulations.
//!
//! A directory is opened once by path, its root; from there everything is an open directory and
//! one name in it.

#[cfg(test)]
pub(in crate::act) mod hooked;
mod kernel;
mod still_open;

use std::fmt::Debug;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub use kernel::Kernel;
pub(in crate::act) use kernel::{Access, Content, lock_file, replace_by, try_lock};
pub use rustix::io::Errno;
pub use still_open::StillOpen;

use crate::decide::facts::{FileIdentity, FileKind};
pub use crate::sys::fs_uuid::FsKind;
use crate::sys::{Batch, Footprint, IdentityError, More, Node, OpenError, ReadError};
use crate::units::Raw;

/// Room in a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that nobody uses, those reserved for root included.
    pub free_bytes: u64,
    /// Inodes in use; 0 where the file system does not count them (btrfs).
    pub used_inodes: u64,
}

/// Handle and mount of an open directory in 8 bytes: for a walk that can't keep every directory
/// open, and must know the one it comes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor(pub u64);

/// The calls. Every `name` is one component in its exact bytes; `EINVAL` otherwise.
pub trait Sys {
    /// An open directory, with a reading position of its own.
    type Dir: Debug;
    /// An open regular file that can be shortened.
    type File: Debug;

    /// Opens the directory at an absolute path, through mounts but through no link.
    fn open_root(&self, path: &Path) -> Result<Self::Dir, OpenError>;
    /// Opens the directory `name` of `dir`: no link, no mount.
    fn open_child(&self, dir: &Self::Dir, name: &[u8]) -> Result<Self::Dir, OpenError>;
    /// Opens what `..` of this directory is now. The caller checks that it is what it was.
    fn open_parent(&self, dir: &Self::Dir) -> Result<Self::Dir, Errno>;
    /// Opens the same directory again: another reading position, no lock.
    fn reopen(&self, dir: &Self::Dir) -> Result<Self::Dir, Errno>;

    /// The kernel's descriptor, for what works on files themselves; `None` in a model.
    fn descriptor<'d>(&self, dir: &'d Self::Dir) -> Option<BorrowedFd<'d>>;

    /// Device, inode, links.
    fn node(&self, dir: &Self::Dir) -> Result<Node, Errno>;
    /// The identity for good.
    fn identity(&self, dir: &Self::Dir) -> Result<FileIdentity, IdentityError>;
    /// A short form of the identity and the mount, by which an open directory is known again
    /// within one walk.
    fn anchor(&self, dir: &Self::Dir) -> Result<Anchor, Errno>;
    /// Whether it is the root directory of the host.
    fn is_host_root(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Which kind of file system it is on.
    fn fs_kind(&self, dir: &Self::Dir) -> Result<FsKind, Errno>;
    /// Whether its mount discards freed blocks at once (`-o discard`), which makes freeing slow for
    /// everybody.
    fn discards(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// This directory for work that is shared between threads, where these calls are the kernel's.
    fn between_threads<'a>(&self, dir: &'a Self::Dir) -> Option<(Kernel, &'a OwnedFd)>;
    /// Room in its file system.
    fn space(&self, dir: &Self::Dir) -> Result<Space, Errno>;
    /// What an entry is; asks nothing of a file system mounted there.
    fn kind(&self, dir: &Self::Dir, name: &[u8]) -> Result<FileKind, Errno>;

    /// Adds the next entries to a batch, a bounded number; whether there are more.
    fn read_entries(&self, dir: &Self::Dir, batch: &mut Batch) -> Result<More, Errno>;
    /// The next [`Sys::read_entries`] begins with the first entry again.
    fn rewind(&self, dir: &Self::Dir) -> Result<(), Errno>;

    /// Removes an entry that is no directory. `EISDIR` for one, `EBUSY` for a mount point.
    fn unlink(&self, dir: &Self::Dir, name: &[u8]) -> Result<(), Errno>;
    /// Removes an entry that is no directory and is immutable or append-only: takes the flags
    /// away, and puts them back on an inode that has other names. `EPERM` when no flag was the
    /// reason.
    fn unlink_flagged(&self, dir: &Self::Dir, name: &[u8]) -> Result<(), Errno>;
    /// Removes an empty directory.
    fn rmdir(&self, dir: &Self::Dir, name: &[u8]) -> Result<(), Errno>;
    /// Takes the immutable and append-only flags from a directory; whether it had one.
    fn clear_flags(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Takes them from the entry `name`, which is no mount; whether it had one.
    fn clear_entry_flags(&self, dir: &Self::Dir, name: &[u8]) -> Result<bool, Errno>;
    /// The project id of a directory; 0 where it has none.
    fn project(&self, dir: &Self::Dir) -> Result<u32, Errno>;
    /// Takes it away, and that it is handed on; whether there was one.
    fn clear_project(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Takes it from an entry that is no directory and no mount; opens nothing but regular files.
    fn clear_entry_project(&self, dir: &Self::Dir, name: &[u8]) -> Result<bool, Errno>;
    /// What an entry takes up.
    fn footprint(&self, dir: &Self::Dir, name: &[u8]) -> Result<Footprint, Errno>;
    /// Moves an entry to a place where nothing is: `EEXIST` otherwise. Durable after
    /// [`Sys::sync`] of both directories.
    fn rename_noreplace(
        &self,
        from: &Self::Dir,
        name: &[u8],
        to: &Self::Dir,
        new_name: &[u8],
    ) -> Result<(), Errno>;
    /// Makes a directory with exactly this mode, whatever the umask.
    fn mkdir(&self, dir: &Self::Dir, name: &[u8], mode: u32) -> Result<(), Errno>;
    /// Gives a directory to this user and group, and this mode.
    fn set_owner(&self, dir: &Self::Dir, owner: Option<(u32, u32)>, mode: u32)
    -> Result<(), Errno>;
    /// Makes the entries of this directory durable.
    fn sync(&self, dir: &Self::Dir) -> Result<(), Errno>;
    /// Makes everything on the file system durable.
    fn sync_fs(&self, dir: &Self::Dir) -> Result<(), Errno>;

    /// The whole content of a file of at most `limit` bytes.
    fn read_file(&self, dir: &Self::Dir, name: &[u8], limit: usize) -> Result<Vec<u8>, ReadError>;
    /// Puts a file with this content and mode in the place of `name`, atomically and durably: by
    /// a new file [`temp_name`] beside it, which a crash may leave behind, and which the next
    /// call replaces. For directories of ours alone, with one writer.
    fn write_file(
        &self,
        dir: &Self::Dir,
        name: &[u8],
        content: &[u8],
        mode: u32,
    ) -> Result<(), Errno>;

    /// As [`Sys::write_file`], but whole rather than durable: after a power cut the old file is there
    /// or the new one, never a part of either. Enough where both lead to the same end.
    fn write_file_whole(
        &self,
        dir: &Self::Dir,
        name: &[u8],
        content: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        self.write_file(dir, name, content, mode)
    }

    /// Takes the exclusive lock of a directory, for as long as it is open; `false` when somebody
    /// else has it.
    fn lock(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Lets go of that lock, also where a process that another thread is just starting has a copy of the
    /// descriptor: such a copy would keep it until that process has become another program.
    fn unlock(dir: &Self::Dir);

    /// Whether it is the root directory of a btrfs subvolume.
    fn is_subvolume(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Destroys the subvolume `name` with all it holds. `ENOTEMPTY` when it holds subvolumes.
    fn destroy_subvolume(&self, dir: &Self::Dir, name: &[u8]) -> Result<(), Errno>;
    /// Whether anything is mounted somewhere below this directory, as far as its mount table tells.
    fn mounts_below(&self, dir: &Self::Dir) -> Result<bool, Errno>;
    /// Makes the subvolume writable whose root directory this is; whether it was not.
    fn make_subvolume_writable(&self, dir: &Self::Dir) -> Result<bool, Errno>;

    /// Opens an entry for shortening if it is a regular file with one name and more than this
    /// many bytes, with its size; `None` when it is not. Opens nothing else, not even for a
    /// moment.
    fn open_large(
        &self,
        dir: &Self::Dir,
        name: &[u8],
        more_than: u64,
    ) -> Result<Option<(Self::File, u64)>, Errno>;
    /// Shortens a file.
    fn truncate(&self, file: &Self::File, size: u64) -> Result<(), Errno>;

    /// Whether an entry is an active swap file.
    fn is_swap(&self, dir: &Self::Dir, name: &[u8]) -> Result<bool, Errno>;

    /// What processes hold open on this directory's file system although it was unlinked, as far as they
    /// can be looked at: of paths that have this in them; everything when that is empty.
    fn still_open(&self, dir: &Self::Dir, within: &[u8]) -> Result<Vec<StillOpen>, Errno>;
    /// The path by which an open directory is known now, for display.
    fn path(&self, dir: &Self::Dir) -> Result<Raw, Errno>;

    /// Time that only goes forward, from any beginning.
    fn now(&self) -> Duration;
}

/// The name under which [`Sys::write_file`] prepares the new content of `name`.
#[must_use]
pub fn temp_name(name: &[u8]) -> Vec<u8> {
    [b".", name, b".new"].concat()
}
