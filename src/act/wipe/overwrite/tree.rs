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
    /// Whether nobody saw yet what was read last.
    fresh: bool,
}

impl Level {
    fn new(dir: OwnedFd, name: Vec<u8>) -> Self {
        Self {
            dir,
            name,
            batch: Batch::new(1),
            at: 0,
            more: true,
            fresh: false,
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
            self.fresh = true;
        }
        true
    }
}

/// What a visitor says.
pub(super) enum Go {
    On,
    Enough,
}

/// Called for names of one directory that may be regular files, and for a directory that lies too
/// deep.
pub(super) enum Visit<'a> {
    Files(BorrowedFd<'a>, &'a [&'a [u8]]),
    TooDeep(&'a [u8]),
}

/// Gives the path of an entry of the directory that is visited.
pub(super) type PathOf<'a> = dyn Fn(&[u8]) -> Raw + Sync + 'a;

/// What a visitor does with it; it may ask for paths.
pub(super) type Visitor<'a> = dyn FnMut(Visit<'_>, &PathOf<'_>) -> Result<Go, StopReason> + 'a;

/// Visits every regular file of a tree, across no link and no mount: those of a directory together,
/// as far as one reading of it gives them, then what lies in the directories in it.
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
        let go = if std::mem::take(&mut level.fresh) {
            see_files(&levels, visitor)?
        } else {
            let Some((found, _, hint)) = level.batch.get(level.at) else {
                levels.pop();
                continue;
            };
            level.at = level.at.saturating_add(1);
            if !matches!(hint, TypeHint::Directory | TypeHint::Unknown) {
                continue;
            }
            name.clear();
            name.extend_from_slice(found);
            match resolver.open_beneath(&level.dir, &name) {
                Ok(child) if levels.len() < DEEPEST => {
                    levels.push(Level::new(child, name.clone()));
                    Go::On
                }
                Ok(_) => visitor(Visit::TooDeep(&name), &|name| path_of(&levels, name))?,
                Err(OpenError::Io(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM))) => {
                    return Err(StopReason::from_errno(errno));
                }
                // The listing did not say what it is.
                Err(_) if hint == TypeHint::Unknown => see(&levels, &[&name], visitor)?,
                // The walk meets it again and says what is so.
                Err(_) => Go::On,
            }
        };
        if matches!(go, Go::Enough) {
            return Ok(());
        }
    }
    Ok(())
}

/// The files of what was read last.
fn see_files(levels: &[Level], visitor: &mut Visitor<'_>) -> Result<Go, StopReason> {
    let Some(level) = levels.last() else {
        return Ok(Go::On);
    };
    let files: Vec<&[u8]> = level
        .batch
        .iter()
        .filter(|(.., hint)| *hint == TypeHint::File)
        .map(|(name, ..)| name)
        .collect();
    if files.is_empty() {
        return Ok(Go::On);
    }
    see(levels, &files, visitor)
}

fn see(levels: &[Level], names: &[&[u8]], visitor: &mut Visitor<'_>) -> Result<Go, StopReason> {
    let Some(level) = levels.last() else {
        return Ok(Go::On);
    };
    let visit = Visit::Files(level.dir.as_fd(), names);
    visitor(visit, &|name| path_of(levels, name))
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
