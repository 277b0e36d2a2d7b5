//! Going through a tree without changing it: in bounded memory and descriptors, as deep as these
//! reach.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::act::wipe::control::Control;
use crate::act::wipe::report::StopReason;
use crate::sys::{Batch, More, OpenError, Resolver, TypeHint, reopen};
use crate::units::Raw;

/// How deep it goes; what lies deeper is seen to by the walk, file by file.
const DEEPEST: usize = 32;

struct Level {
    dir: OwnedFd,
    name: Vec<u8>,
    batch: Batch,
    at: usize,
    more: bool,
}

impl Level {
    fn new(dir: OwnedFd, name: Vec<u8>) -> Self {
        Self {
            dir,
            name,
            batch: Batch::new(1),
            at: 0,
            more: true,
        }
    }

    /// Reads on where everything read was seen; whether there is an entry.
    fn fill(&mut self) -> bool {
        while self.at >= self.batch.len() {
            if !self.more {
                return false;
            }
            self.batch.clear();
            self.at = 0;
            match self.batch.read(&self.dir) {
                Ok(More::Maybe) => {}
                Ok(More::No | More::Hardly) => self.more = false,
                // The walk reports it.
                Err(_) => return false,
            }
            self.batch.sort_by_inode();
        }
        true
    }
}

/// What a visitor says.
pub(super) enum Go {
    On,
    Enough,
}

/// Called for what may be a regular file, and for directories that lie too deep.
pub(super) enum Visit<'a> {
    File(BorrowedFd<'a>, &'a [u8]),
    TooDeep,
}

/// What a visitor does with it; it may ask for the path.
pub(super) type Visitor<'a> = dyn FnMut(Visit<'_>, &dyn Fn() -> Raw) -> Result<Go, StopReason> + 'a;

/// Visits every regular file of a tree, across no link and no mount.
pub(super) fn visit(
    root: BorrowedFd<'_>,
    control: &Control,
    visitor: &mut Visitor<'_>,
) -> Result<(), StopReason> {
    let resolver = Resolver::probed();
    let root = reopen(root).map_err(StopReason::from_errno)?;
    let mut levels = vec![Level::new(root, Vec::new())];
    let mut name = Vec::new();
    while let Some(level) = levels.last_mut() {
        if !control.proceed() {
            return Err(StopReason::Cancelled);
        }
        if !level.fill() {
            levels.pop();
            continue;
        }
        let Some((found, _, hint)) = level.batch.get(level.at) else {
            levels.pop();
            continue;
        };
        name.clear();
        name.extend_from_slice(found);
        level.at = level.at.saturating_add(1);
        let mut as_file = matches!(hint, TypeHint::File | TypeHint::Unknown);
        let mut child = None;
        if matches!(hint, TypeHint::Directory | TypeHint::Unknown) {
            match resolver.open_beneath(&level.dir, &name) {
                Ok(dir) => {
                    child = Some(dir);
                    as_file = false;
                }
                Err(OpenError::Io(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM))) => {
                    return Err(StopReason::from_errno(errno));
                }
                // The walk meets it again and says what is so.
                Err(_) => {}
            }
        }
        let path = || path_of(&levels, &name);
        if as_file {
            let Some(level) = levels.last() else { break };
            let go = visitor(Visit::File(level.dir.as_fd(), &name), &path)?;
            if matches!(go, Go::Enough) {
                return Ok(());
            }
        } else if let Some(child) = child {
            if levels.len() < DEEPEST {
                levels.push(Level::new(child, name.clone()));
            } else if matches!(visitor(Visit::TooDeep, &path)?, Go::Enough) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn path_of(levels: &[Level], name: &[u8]) -> Raw {
    let mut path = Vec::new();
    for level in levels.iter().skip(1) {
        path.extend_from_slice(&level.name);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Raw::new(path)
}
