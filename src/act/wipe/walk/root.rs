//! The root: what is done before everything and after everything.

use super::{Place, Walk};
use crate::act::sys::{Errno, FsKind, Sys};
use crate::act::wipe::report::{LeftKind, StopReason};
use crate::decide::facts::FileIdentity;

impl<S: Sys> Walk<'_, S> {
    pub(super) fn root_subvolume_gone(
        &mut self,
        place: Option<Place<'_, S>>,
    ) -> Result<bool, StopReason> {
        let root = self.dir()?;
        if self.kind != FsKind::Btrfs || self.sys.is_subvolume(root) != Ok(true) {
            return Ok(false);
        }
        if let Some((parent, name, identity)) = place
            && self.sys.mounts_below(root) == Ok(false)
            && self.lies_there(parent, name, identity)
            && self.sys.destroy_subvolume(parent, name).is_ok()
        {
            self.tally.subvolumes = self.tally.subvolumes.saturating_add(1);
            return Ok(true);
        }
        match self.sys.make_subvolume_writable(root) {
            Ok(_) => Ok(false),
            Err(errno) => Err(StopReason::from_errno(errno)),
        }
    }

    /// Nothing is left to enter or read: whether the walk is over.
    pub(super) fn root_is_done(&mut self, place: Option<Place<'_, S>>) -> Result<bool, StopReason> {
        let root = self.top()?;
        if root.left {
            return Ok(true);
        }
        let emptied = match place {
            // Only a reading that shows nothing proves that nothing is there.
            None => root.pass.seen == 0,
            Some(place) => self.root_is_removed(place)?,
        };
        if emptied || self.top()?.left {
            return Ok(true);
        }
        let seen = self.top()?.pass.seen;
        if !self.root_patience.lasts(seen) {
            self.leave_directory(LeftKind::Busy)?;
            return Ok(true);
        }
        self.read_anew()?;
        Ok(false)
    }

    /// Removes the root itself; `false` when there is something in it again.
    pub(super) fn root_is_removed(&mut self, place: Place<'_, S>) -> Result<bool, StopReason> {
        let (parent, name, identity) = place;
        let mut flags_cleared = false;
        loop {
            if !self.lies_there(parent, name, identity) {
                // Removed by somebody else, or moved away by him.
                return match self.sys.node(self.dir()?) {
                    Ok(node) if node.links == 0 => Ok(true),
                    Ok(_) | Err(_) => {
                        self.leave_directory(LeftKind::Moved)?;
                        Ok(true)
                    }
                };
            }
            match self.sys.rmdir(parent, name) {
                Ok(()) => {
                    self.removed_dir()?;
                    return Ok(true);
                }
                Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => return Ok(false),
                Err(Errno::ROFS) => return Err(StopReason::ReadOnly),
                Err(errno) if !flags_cleared && self.may_be_flags(errno) => {
                    flags_cleared = true;
                    let here = self.sys.clear_flags(self.dir()?);
                    let there = self.sys.clear_flags(parent);
                    if here != Ok(true) && there != Ok(true) {
                        self.leave_directory(LeftKind::NotPermitted)?;
                        return Ok(true);
                    }
                }
                Err(Errno::NOSPC | Errno::DQUOT) if self.sync_for_room()? => {}
                Err(errno) => {
                    self.leave_directory(LeftKind::from_errno(errno))?;
                    return Ok(true);
                }
            }
        }
    }

    /// Whether the root still lies where it was found.
    pub(super) fn lies_there(&self, parent: &S::Dir, name: &[u8], identity: &FileIdentity) -> bool {
        self.sys.open_child(parent, name).is_ok_and(|dir| {
            self.sys
                .identity(&dir)
                .is_ok_and(|found| found == *identity)
        })
    }
}
