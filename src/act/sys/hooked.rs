//! The kernel with a hook before each call: for tests that make calls fail, or that do something
//! meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::{Anchor, Errno, FsKind, Kernel, Space, StillOpen, Sys};
use crate::decide::facts::{FileIdentity, FileKind};
use crate::sys::{Batch, Footprint, IdentityError, More, Node, OpenError, ReadError, TypeHint};
use crate::units::Raw;

/// Called before a call, with its name and the entry's name; an error is what the call gives.
pub(in crate::act) type Hook<'a> = &'a dyn Fn(&'static str, &[u8]) -> Result<(), Errno>;

/// The kernel, with a hook before each call that may make it fail, or do something meanwhile.
pub(in crate::act) struct Hooked<'a> {
    kernel: Kernel,
    hook: Hook<'a>,
    /// How often `read_entries` gives an entry that is made on the spot.
    pub(in crate::act) endless: Cell<bool>,
    /// What `fs_kind` says where it is not the truth.
    pub(in crate::act) kind: Cell<Option<FsKind>>,
    /// What `discards` says where it is not the truth.
    pub(in crate::act) discards: Cell<Option<bool>>,
    /// What `clear_flags` says, one call after the other, where it is not the truth.
    pub(in crate::act) cleared: RefCell<VecDeque<bool>>,
}

impl<'a> Hooked<'a> {
    pub(in crate::act) fn new(hook: Hook<'a>) -> Self {
        Self {
            kernel: Kernel::new(),
            hook,
            endless: Cell::new(false),
            kind: Cell::new(None),
            discards: Cell::new(None),
            cleared: RefCell::default(),
        }
    }
}

/// A hook that does nothing.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it has the type of hooks that fail calls"
)]
pub(in crate::act) fn quiet(_call: &'static str, _name: &[u8]) -> Result<(), Errno> {
    Ok(())
}

macro_rules! hooked {
    ($($method:ident($($name:ident: &[u8])? $(, $arg:ident: $kind:ty)*) -> $ok:ty;)*) => {
        $(fn $method(
            &self,
            dir: &OwnedFd,
            $($name: &[u8],)?
            $($arg: $kind),*
        ) -> Result<$ok, Errno> {
            let name: &[u8] = b"";
            $(let name = { let _ = name; $name };)?
            (self.hook)(stringify!($method), name)?;
            self.kernel.$method(dir, $($name,)? $($arg),*)
        })*
    };
}

impl Sys for Hooked<'_> {
    type Dir = OwnedFd;
    type File = OwnedFd;

    fn unlock(dir: &OwnedFd) {
        Kernel::unlock(dir);
    }

    fn fs_kind(&self, dir: &OwnedFd) -> Result<FsKind, Errno> {
        (self.hook)("fs_kind", b"")?;
        self.kind.get().map_or_else(|| self.kernel.fs_kind(dir), Ok)
    }

    fn discards(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        (self.hook)("discards", b"")?;
        let told = self.discards.get();
        told.map_or_else(|| self.kernel.discards(dir), Ok)
    }

    fn set_owner(&self, dir: &OwnedFd, owner: Option<(u32, u32)>, mode: u32) -> Result<(), Errno> {
        (self.hook)("set_owner", b"")?;
        self.kernel.set_owner(dir, owner, mode)
    }

    fn descriptor<'d>(&self, dir: &'d OwnedFd) -> Option<BorrowedFd<'d>> {
        self.kernel.descriptor(dir)
    }

    fn open_root(&self, path: &Path) -> Result<OwnedFd, OpenError> {
        self.kernel.open_root(path)
    }
    fn open_child(&self, dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, OpenError> {
        (self.hook)("open_child", name).map_err(|errno| match errno {
            Errno::XDEV => OpenError::Mount,
            other => OpenError::Io(other),
        })?;
        self.kernel.open_child(dir, name)
    }
    fn identity(&self, dir: &OwnedFd) -> Result<FileIdentity, IdentityError> {
        // A file system without a UUID, such as some machines' root, does for a test.
        crate::sys::identity_of(dir, "test-filesystem")
    }
    fn read_entries(&self, dir: &OwnedFd, batch: &mut Batch) -> Result<More, Errno> {
        (self.hook)("read_entries", b"")?;
        if self.endless.get() {
            let before = batch.len();
            for i in 0..100_u64 {
                let name = format!("endless{i}-{before}");
                let mode = rustix::fs::Mode::RUSR;
                let flags = rustix::fs::OFlags::CREATE;
                rustix::fs::openat(dir, name.as_str(), flags, mode)?;
                batch.push(name.as_bytes(), i, TypeHint::File)?;
            }
            return Ok(More::Maybe);
        }
        self.kernel.read_entries(dir, batch)
    }
    fn read_file(&self, dir: &OwnedFd, name: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
        self.kernel.read_file(dir, name, limit)
    }
    fn write_file(&self, dir: &OwnedFd, name: &[u8], text: &[u8], mode: u32) -> Result<(), Errno> {
        (self.hook)("write_file", name)?;
        self.kernel.write_file(dir, name, text, mode)
    }
    fn write_file_whole(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        text: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        (self.hook)("write_file", name)?;
        self.kernel.write_file_whole(dir, name, text, mode)
    }
    fn rename_noreplace(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        to: &OwnedFd,
        new_name: &[u8],
    ) -> Result<(), Errno> {
        (self.hook)("rename_noreplace", name)?;
        self.kernel.rename_noreplace(dir, name, to, new_name)
    }
    fn clear_flags(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        (self.hook)("clear_flags", b"")?;
        let told = self.cleared.borrow_mut().pop_front();
        told.map_or_else(|| self.kernel.clear_flags(dir), Ok)
    }
    fn truncate(&self, file: &OwnedFd, size: u64) -> Result<(), Errno> {
        (self.hook)("truncate", size.to_string().as_bytes())?;
        self.kernel.truncate(file, size)
    }
    fn now(&self) -> Duration {
        self.kernel.now()
    }
    fn between_threads<'a>(&self, _: &'a OwnedFd) -> Option<(Kernel, &'a OwnedFd)> {
        // A hook is called by one thread.
        None
    }
    fn sync_fs(&self, _: &OwnedFd) -> Result<(), Errno> {
        // Not really: others use this machine.
        (self.hook)("sync_fs", b"")
    }
    hooked! {
        open_parent() -> OwnedFd;
        reopen() -> OwnedFd;
        node() -> Node;
        anchor() -> Anchor;
        is_host_root() -> bool;
        space() -> Space;
        kind(name: &[u8]) -> FileKind;
        rewind() -> ();
        unlink(name: &[u8]) -> ();
        unlink_flagged(name: &[u8]) -> ();
        rmdir(name: &[u8]) -> ();
        clear_entry_flags(name: &[u8]) -> bool;
        project() -> u32;
        clear_project() -> bool;
        clear_entry_project(name: &[u8]) -> bool;
        footprint(name: &[u8]) -> Footprint;
        mkdir(name: &[u8], mode: u32) -> ();
        sync() -> ();
        lock() -> bool;
        is_subvolume() -> bool;
        destroy_subvolume(name: &[u8]) -> ();
        mounts_below() -> bool;
        make_subvolume_writable() -> bool;
        open_large(name: &[u8], more_than: u64) -> Option<(OwnedFd, u64)>;
        is_swap(name: &[u8]) -> bool;
        still_open(name: &[u8]) -> Vec<StillOpen>;
        path() -> Raw;
    }
}
