//! Going up.

use super::{NO_DIRECTORY, Patience, Walk};
use crate::act::sys::{Errno, Sys};
use crate::act::wipe::report::{LeftKind, StopReason};

/// How often the walk begins anew from the root because directories were moved.
const RESTARTS: u32 = 64;

impl<S: Sys> Walk<'_, S> {
    pub(super) fn ascend(&mut self) -> Result<(), StopReason> {
        let parent = self.frames.len().saturating_sub(2);
        let is_open = self
            .frames
            .get(parent)
            .is_some_and(|frame| frame.dir.is_some());
        if !is_open && !self.enter_again(parent)? {
            return self.begin_anew();
        }
        let done = self.frames.pop().ok_or(NO_DIRECTORY)?;
        if done.left {
            self.top()?.left = true;
            self.child_is_done();
            return Ok(());
        }
        let own = done.dir.ok_or(NO_DIRECTORY)?;
        let seen = done.pass.seen;
        self.with_top_name(|walk, name| walk.remove_child(&own, name, seen))
    }

    /// Opens a parent that was closed, by `..`; whether it is the one that was closed.
    pub(super) fn enter_again(&mut self, parent: usize) -> Result<bool, StopReason> {
        let opened = loop {
            match self.sys.open_parent(self.dir()?) {
                Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                    self.narrow_window(errno)?;
                }
                other => break other,
            }
        };
        let Ok(dir) = opened else {
            return Ok(false);
        };
        let found = self.sys.anchor(&dir).ok();
        let Some(frame) = self.frames.get_mut(parent) else {
            return Ok(false);
        };
        if frame.anchor.is_none() || frame.anchor != found {
            return Ok(false);
        }
        // Its reading begins anew, which finds what is still there.
        frame.dir = Some(dir);
        self.closed = self.closed.saturating_sub(1);
        Ok(true)
    }

    /// Refused with `EACCES` behind a fence: whether the directory that the walk is in was moved out from
    /// below the root, so that the fence is why. Where that can't be told, it was not.
    pub(super) fn is_outside(&self) -> bool {
        let root = self.frames.first().and_then(|root| root.dir.as_ref());
        let (true, Some(root), Ok(dir)) = (self.is_fenced(), root, self.dir()) else {
            return false;
        };
        let Ok(root) = self.sys.anchor(root) else {
            return false;
        };
        let Ok(mut at) = self.sys.reopen(dir) else {
            return false;
        };
        for _ in &self.frames {
            match self.sys.anchor(&at) {
                Ok(anchor) if anchor == root => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
            match self.sys.open_parent(&at) {
                Ok(parent) => at = parent,
                Err(_) => return false,
            }
        }
        true
    }

    /// The tree was moved under us: of all directories on the way only the root is still known.
    pub(super) fn begin_anew(&mut self) -> Result<(), StopReason> {
        self.restarts = self.restarts.saturating_add(1);
        if self.restarts > RESTARTS {
            return Err(StopReason::Moving);
        }
        if let Some(first) = self.frames.get(1) {
            let height = first.names_from;
            self.names.cut(height);
        }
        self.frames.truncate(1);
        self.closed = 0;
        self.child_again(LeftKind::Moved, 0)
    }

    /// Removes a directory that was emptied.
    pub(super) fn remove_child(
        &mut self,
        own: &S::Dir,
        name: &[u8],
        seen: u32,
    ) -> Result<(), StopReason> {
        let mut flags_cleared = false;
        loop {
            let dir = self.dir()?;
            match self.sys.rmdir(dir, name) {
                Ok(()) => {
                    self.child_is_done();
                    return self.removed_dir();
                }
                Err(Errno::NOENT) => {
                    self.child_is_done();
                    return Ok(());
                }
                // Filled again, or another one lies there now.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                    return self.child_again(LeftKind::Busy, seen);
                }
                Err(Errno::ROFS) => return Err(StopReason::ReadOnly),
                Err(errno) if !flags_cleared && self.may_be_flags(errno) => {
                    flags_cleared = true;
                    let here = self.sys.clear_flags(dir);
                    let there = self.sys.clear_flags(own);
                    if here != Ok(true) && there != Ok(true) {
                        return self.leave_child(LeftKind::NotPermitted);
                    }
                }
                Err(Errno::NOSPC | Errno::DQUOT) if self.sync_for_room()? => {}
                Err(Errno::ACCESS) if self.is_outside() => return self.begin_anew(),
                Err(errno) => return self.leave_child(LeftKind::from_errno(errno)),
            }
        }
    }

    pub(super) fn removed_dir(&mut self) -> Result<(), StopReason> {
        self.tally.dirs = self.tally.dirs.saturating_add(1);
        self.progress.removed_dir();
        self.keep_pace()
    }

    /// The directory on top of the names needs nothing more.
    pub(super) fn child_is_done(&mut self) {
        self.names.pop();
        if let Some(top) = self.frames.last_mut() {
            top.patience = Patience::default();
        }
    }

    /// It is to be entered again, but not for ever.
    pub(super) fn child_again(&mut self, otherwise: LeftKind, seen: u32) -> Result<(), StopReason> {
        if self.top()?.patience.lasts(seen) {
            Ok(())
        } else {
            self.leave_child(otherwise)
        }
    }
}
