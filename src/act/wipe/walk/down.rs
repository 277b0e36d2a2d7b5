//! Going down.

use super::{Frame, NO_DIRECTORY, Unlinked, Walk};
use crate::act::sys::{Errno, FsKind, Sys};
use crate::act::wipe::report::{LeftKind, StopReason};
use crate::decide::facts::FileKind;
use crate::sys::{OpenError, TypeHint};

/// After so many readings of the root, directories are moved up from twice as deep as before.
const DOUBLED_AFTER: u16 = 64;

impl<S: Sys> Walk<'_, S> {
    pub(super) fn descend(&mut self, name: &[u8]) -> Result<(), StopReason> {
        // A file that waited for the directories before it. By now it may be a directory as well.
        if self.names.top_is_other() {
            match self.unlink(name, TypeHint::Unknown)? {
                Unlinked::IsDirectory => {}
                Unlinked::Gone | Unlinked::Left => {
                    self.child_is_done();
                    return Ok(());
                }
                Unlinked::Outside => return self.begin_anew(),
            }
        }
        let too_deep = self.frames.len() > 1
            && (self.frames.len() >= self.limits.deepest
                || self.names.height() >= self.limits.names_most);
        if too_deep || self.is_long_way() {
            if self.crew.is_some() {
                // The root of this walk is somebody else's as well.
                self.top()?.left = true;
                self.child_is_done();
                return Ok(());
            }
            if self.move_up(name)? {
                return Ok(());
            }
            if too_deep {
                return self.leave_child(LeftKind::TooDeep);
            }
        }
        match self.open_child(name)? {
            Ok(dir) => self.enter(dir, name),
            Err(OpenError::Missing) => {
                self.child_is_done();
                Ok(())
            }
            // It was something else when it was listed, or the listing did not say.
            Err(OpenError::Symlink | OpenError::NotADirectory) => {
                match self.unlink(name, TypeHint::Unknown)? {
                    Unlinked::Gone | Unlinked::Left => self.child_is_done(),
                    Unlinked::IsDirectory => self.child_again(LeftKind::Busy, 0)?,
                    Unlinked::Outside => self.begin_anew()?,
                }
                Ok(())
            }
            Err(OpenError::Mount) => self.not_entered(name),
            Err(OpenError::NoMountId) => self.leave_child(LeftKind::from_errno(Errno::NOSYS)),
            Err(OpenError::Io(errno)) => self.leave_child(LeftKind::from_errno(errno)),
        }
    }

    /// Whether it is so far to the root that behind a fence it is better to move what comes next up than
    /// to enter it here. What can't be moved is entered, and tried again so many levels below.
    fn is_long_way(&self) -> bool {
        let (Some(shallow), Some(root)) = (self.limits.shallow, self.frames.first()) else {
            return false;
        };
        let depth = self.base.saturating_add(self.frames.len());
        if self.crew.is_some() {
            return depth >= shallow;
        }
        // A reading of the root may find but one directory that was moved there, and readings are
        // counted: so that they suffice for any chain, each may be longer than those before.
        let doubled = root.readings.checked_div(DOUBLED_AFTER).unwrap_or(0);
        let shallow = shallow
            .checked_shl(u32::from(doubled))
            .unwrap_or(usize::MAX);
        depth.checked_rem(shallow) == Some(0)
    }

    /// The kernel says that a mount would have been entered. It says the same of a directory that
    /// is moved out of this one at the same moment.
    fn not_entered(&mut self, name: &[u8]) -> Result<(), StopReason> {
        match self.sys.kind(self.dir()?, name) {
            Err(Errno::NOENT) => {
                self.child_is_done();
                Ok(())
            }
            Ok(FileKind::Mount) | Err(_) => self.leave_child(LeftKind::Mount),
            Ok(FileKind::Directory | FileKind::Symlink | FileKind::File | FileKind::Special) => {
                self.child_again(LeftKind::Mount, 0)
            }
        }
    }

    /// Opens a directory; where too many are open, closes others.
    pub(super) fn open_child(
        &mut self,
        name: &[u8],
    ) -> Result<Result<S::Dir, OpenError>, StopReason> {
        loop {
            match self.sys.open_child(self.dir()?, name) {
                Err(OpenError::Io(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM))) => {
                    self.narrow_window(errno)?;
                }
                other => return Ok(other),
            }
        }
    }

    pub(super) fn narrow_window(&mut self, errno: Errno) -> Result<(), StopReason> {
        let open = self
            .frames
            .len()
            .saturating_sub(self.closed)
            .saturating_sub(1);
        // The one that the walk is in has to stay.
        if open <= 1 {
            return Err(StopReason::from_errno(errno));
        }
        self.limits.window = open.saturating_sub(1);
        self.close_beyond_window();
        Ok(())
    }

    pub(super) fn enter(&mut self, dir: S::Dir, name: &[u8]) -> Result<(), StopReason> {
        if self.kind == FsKind::Btrfs
            && self.sys.is_subvolume(&dir) == Ok(true)
            && self.subvolume_is_done(&dir, name)?
        {
            return Ok(());
        }
        self.frames.push(Frame::new(dir, self.names.height()));
        self.close_beyond_window();
        Ok(())
    }

    pub(super) fn close_beyond_window(&mut self) {
        loop {
            let open = self
                .frames
                .len()
                .saturating_sub(self.closed)
                .saturating_sub(1);
            if open <= self.limits.window {
                return;
            }
            self.closed = self.closed.saturating_add(1);
            if let Some(frame) = self.frames.get_mut(self.closed) {
                // One that can't be known again is never entered again by `..`.
                frame.anchor = frame.dir.as_ref().and_then(|dir| self.sys.anchor(dir).ok());
                frame.dir = None;
            }
        }
    }

    /// Destroys a subvolume whole, or makes it writable so that it can be walked. Whether nothing
    /// is left to do for it.
    pub(super) fn subvolume_is_done(
        &mut self,
        dir: &S::Dir,
        name: &[u8],
    ) -> Result<bool, StopReason> {
        // The kernel would silently take mounts below it out of the tree.
        if self.sys.mounts_below(dir) == Ok(false) {
            match self.sys.destroy_subvolume(self.dir()?, name) {
                Ok(()) => {
                    self.tally.subvolumes = self.tally.subvolumes.saturating_add(1);
                    self.child_is_done();
                    return Ok(true);
                }
                Err(Errno::ROFS) => return Err(StopReason::ReadOnly),
                // It holds subvolumes, or its parent has flags: the walk sees to that.
                Err(_) => {}
            }
        }
        match self.sys.make_subvolume_writable(dir) {
            Ok(_) => Ok(false),
            Err(Errno::ROFS) => Err(StopReason::ReadOnly),
            Err(errno) => {
                self.leave_child(LeftKind::from_errno(errno))?;
                Ok(true)
            }
        }
    }

    /// Moves a directory that lies too deep to the top of the tree, where it is found later; `false`
    /// where it can't be moved.
    fn move_up(&mut self, name: &[u8]) -> Result<bool, StopReason> {
        let mut flags_cleared = false;
        loop {
            self.check()?;
            let new_name = format!(".mesos-volumed-deep-{}", self.moved_up);
            self.moved_up = self.moved_up.saturating_add(1);
            let root = self
                .frames
                .first()
                .and_then(|root| root.dir.as_ref())
                .ok_or(NO_DIRECTORY)?;
            let dir = self.dir()?;
            match self
                .sys
                .rename_noreplace(dir, name, root, new_name.as_bytes())
            {
                Ok(()) => {
                    if let Some(root) = self.frames.first_mut() {
                        root.pass.skipped = true;
                    }
                    self.child_is_done();
                    self.keep_pace()?;
                    return Ok(true);
                }
                Err(Errno::NOENT) => {
                    self.child_is_done();
                    return Ok(true);
                }
                Err(Errno::EXIST) => {}
                Err(Errno::ROFS) => return Err(StopReason::ReadOnly),
                Err(errno) if !flags_cleared && self.may_be_flags(errno) => {
                    flags_cleared = true;
                    // Whether it helped is seen at the next try.
                    for cleared in [
                        self.sys.clear_flags(dir),
                        self.sys.clear_flags(root),
                        self.clear_child_flags(name)?,
                    ] {
                        if cleared == Err(Errno::ROFS) {
                            return Err(StopReason::ReadOnly);
                        }
                    }
                }
                Err(_) => return Ok(false),
            }
        }
    }

    pub(super) fn clear_child_flags(&self, name: &[u8]) -> Result<Result<bool, Errno>, StopReason> {
        Ok(match self.sys.open_child(self.dir()?, name) {
            Ok(child) => self.sys.clear_flags(&child),
            // The next try says what is wrong.
            Err(_) => Ok(false),
        })
    }
}
