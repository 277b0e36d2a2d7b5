//! Looking through a tree before anything is touched.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::tree::{self, Go, Visit};
use super::{Storage, short_of, target};
use crate::act::sys::FsKind;
use crate::act::wipe::control::Control;
use crate::act::wipe::proof::ShortOf;
use crate::act::wipe::report::StopReason;
use crate::decide::facts::WipeMethod;
use crate::sys::OpenError;
use crate::sys::ioctl::{FileExtent, file_extents};
use crate::units::Raw;

/// Looks through a tree before anything is touched: the first file, if any, for which the promise
/// can't be kept.
pub(in crate::act::wipe) fn survey(
    root: BorrowedFd<'_>,
    method: WipeMethod,
    control: &Control,
) -> Result<Option<(ShortOf, Raw)>, StopReason> {
    let storage = Storage::of(root).map_err(StopReason::from_errno)?;
    if let Some(short) = storage.short.or_else(|| storage.unread(method)) {
        return Ok(Some((short, Raw::from("."))));
    }
    let mut found = None;
    let mut extents = Vec::new();
    tree::visit(root, control, &mut |visit, path| {
        found = match visit {
            Visit::TooDeep(name) => Some((ShortOf::TooDeep, path(name))),
            Visit::Files(dir, names) => {
                let mut why = None;
                for name in names {
                    if !control.proceed() {
                        return Err(StopReason::Cancelled);
                    }
                    why = look_through(&storage, dir, name, &mut extents)
                        .map(|why| (why, path(name)));
                    if why.is_some() {
                        break;
                    }
                }
                why
            }
        };
        Ok(if found.is_some() { Go::Enough } else { Go::On })
    })?;
    Ok(found)
}

/// Why the promise can't be kept for one file, as far as that shows without writing to it.
fn look_through(
    storage: &Storage,
    dir: BorrowedFd<'_>,
    name: &[u8],
    extents: &mut Vec<FileExtent>,
) -> Option<ShortOf> {
    let unreadable = |errno: Errno| {
        Some(ShortOf::NotOverwritten {
            errno: errno.raw_os_error(),
        })
    };
    let (entry, look) = match target::find(dir, name) {
        Ok(Some(found)) => found,
        Ok(None) | Err(OpenError::Missing) => return None,
        Err(OpenError::Io(errno)) => return unreadable(errno),
        Err(_) => return unreadable(Errno::XDEV),
    };
    if look.links > 1 {
        return Some(ShortOf::HardLink);
    }
    if look.is_empty() {
        return None;
    }
    let quiet = target::open(&entry, OFlags::RDONLY | OFlags::NOATIME);
    let file = match quiet.or_else(|_refused| target::open(&entry, OFlags::RDONLY)) {
        Ok(file) => file,
        Err(errno) => return unreadable(errno),
    };
    if storage.kind == FsKind::Ext4 && target::is_journaled(file.as_fd()) {
        return Some(ShortOf::JournaledData);
    }
    let mut from = 0;
    loop {
        if let Err(errno) = file_extents(file.as_fd(), from, false, extents) {
            return unreadable(errno);
        }
        // What has no place yet gets one of its own.
        let short = extents
            .iter()
            .filter(|extent| !extent.is_pending())
            .find_map(short_of);
        let end = extents
            .last()
            .map_or(from, |extent| extent.logical.saturating_add(extent.length));
        if short.is_some() || end <= from || extents.last().is_none_or(FileExtent::is_last) {
            return short;
        }
        from = end;
    }
}
