//! Going through a tree without changing it: in bounded memory and descriptors, as deep as these
//! reach, and in the order of the inodes as far as memory reaches.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::act::wipe::control::Control;
use crate::act::wipe::report::StopReason;
use crate::sys::{Batch, More, OpenError, Resolver, TypeHint, reopen};
use crate::units::Raw;

/// How deep it goes; what lies deeper is seen to by the walk, file by file.
const DEEPEST: usize = 32;
/// So many bytes of names and inodes all levels hold together, each half of what the one above may: the
/// more of a directory is put in the order of its inodes, the more of its files lie side by side
/// on the device, where they are written and read back in one go.
const NAMES: usize = 4 << 20;

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
    /// How many bytes the level below may hold: one reading is always taken.
    fn limit_below(&self) -> usize {
        (self.batch.limit() >> 1).max(1)
    }

    fn new(dir: OwnedFd, name: Vec<u8>, limit: usize) -> Self {
        Self {
            dir,
            name,
            batch: Batch::new(limit),
            at: 0,
            more: true,
            fresh: false,
        }
    }

    /// Reads on where everything read was seen; whether there is an entry.
    fn fill(&mut self, control: &Control) -> Result<bool, StopReason> {
        while self.at >= self.batch.len() {
            if !self.more {
                return Ok(false);
            }
            self.batch.clear();
            self.at = 0;
            while self.more && !self.batch.is_full() {
                if !control.proceed() {
                    return Err(StopReason::Cancelled);
                }
                // An error is the walk's to report.
                self.more = matches!(self.batch.read(&self.dir), Ok(More::Maybe));
            }
            self.batch.sort_by_inode();
            self.fresh = true;
        }
        Ok(true)
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
    let mut levels = vec![Level::new(root, Vec::new(), NAMES >> 1)];
    let mut name = Vec::new();
    while let Some(level) = levels.last_mut() {
        if !control.proceed() {
            return Err(StopReason::Cancelled);
        }
        if !level.fill(control)? {
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
            let limit = level.limit_below();
            match resolver.open_beneath(&level.dir, &name) {
                Ok(child) if levels.len() < DEEPEST => {
                    levels.push(Level::new(child, name.clone(), limit));
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make trees of their own")]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::act::wipe::tests::temp;

    /// The paths of the files that are visited, sorted, then of what lies too deep.
    fn seen(at: &std::path::Path) -> (Vec<String>, Vec<String>) {
        let root = File::open(at).unwrap();
        let (mut files, mut deep) = (Vec::new(), Vec::new());
        visit(root.as_fd(), &Control::new(0), &mut |visit, path| {
            match visit {
                Visit::Files(dir, names) => {
                    for name in names {
                        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                        rustix::fs::statat(dir, *name, flags).unwrap();
                        files.push(path(name).to_string());
                    }
                }
                Visit::TooDeep(name) => deep.push(path(name).to_string()),
            }
            Ok(Go::On)
        })
        .unwrap();
        files.sort();
        (files, deep)
    }

    #[test]
    fn every_file_is_visited_once_by_its_path_and_nothing_else_is() {
        let (temp, outside) = (temp(), temp());
        std::fs::write(outside.path().join("live"), "").unwrap();
        let mut expected = Vec::new();
        for dir in ["", "a/", "a/b/", "c/"] {
            std::fs::create_dir_all(temp.path().join(dir)).unwrap();
            // More than one reading gives.
            for i in 0..if dir.is_empty() { 2000 } else { 3 } {
                let file = format!("{dir}file{i:04}");
                std::fs::write(temp.path().join(&file), "").unwrap();
                expected.push(file);
            }
            let link = temp.path().join(dir).join("link");
            std::os::unix::fs::symlink(outside.path(), link).unwrap();
        }
        std::fs::create_dir(temp.path().join("empty")).unwrap();
        expected.sort();
        assert_eq!(seen(temp.path()), (expected, Vec::new()));
    }

    /// What lies side by side on the device is written and read back in one go.
    #[test]
    fn files_of_several_readings_are_visited_together_in_the_order_of_their_inodes() {
        let temp = temp();
        for i in 0..6000 {
            File::create(temp.path().join(format!("file{i:04}"))).unwrap();
        }
        let root = File::open(temp.path()).unwrap();
        let mut visits: Vec<Vec<u64>> = Vec::new();
        visit(root.as_fd(), &Control::new(0), &mut |visit, _| {
            if let Visit::Files(dir, names) = visit {
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                let inode = |name: &&[u8]| rustix::fs::statat(dir, *name, flags).unwrap().st_ino;
                visits.push(names.iter().map(inode).collect());
            }
            Ok(Go::On)
        })
        .unwrap();
        assert_eq!(visits.iter().map(Vec::len).collect::<Vec<_>>(), [6000]);
        assert!(visits[0].is_sorted());
    }

    #[test]
    fn nothing_more_of_a_directory_is_read_once_it_is_told_to_stop() {
        let temp = temp();
        File::create(temp.path().join("file")).unwrap();
        let told = Control::new(0);
        told.stop();
        let dir = OwnedFd::from(File::open(temp.path()).unwrap());
        let mut level = Level::new(dir, Vec::new(), 1);
        assert_eq!(level.fill(&told), Err(StopReason::Cancelled));
        assert_eq!(level.fill(&Control::new(0)), Ok(true));
    }

    #[test]
    fn all_levels_together_hold_no_more_names_than_they_may() {
        let temp = temp();
        let dir = || OwnedFd::from(File::open(temp.path()).unwrap());
        let mut levels = vec![Level::new(dir(), Vec::new(), NAMES >> 1)];
        while levels.len() < DEEPEST {
            let limit = levels[levels.len() - 1].limit_below();
            levels.push(Level::new(dir(), Vec::new(), limit));
        }
        let limits: Vec<usize> = levels.iter().map(|level| level.batch.limit()).collect();
        assert_eq!(limits[..3], [NAMES / 2, NAMES / 4, NAMES / 8]);
        assert!(limits.iter().all(|limit| *limit > 0), "{limits:?}");
        assert!(
            limits.iter().sum::<usize>() <= NAMES + DEEPEST,
            "{limits:?}"
        );
    }

    #[test]
    fn it_goes_as_deep_as_its_descriptors_reach_and_says_what_lies_deeper() {
        let temp = temp();
        let mut path = temp.path().to_owned();
        for _ in 0..DEEPEST + 8 {
            std::fs::write(path.join("f"), "").unwrap();
            path.push("d");
            std::fs::create_dir(&path).unwrap();
        }
        let (files, deep) = seen(temp.path());
        assert_eq!(files.len(), DEEPEST);
        let at = ["d"; DEEPEST].join("/");
        assert_eq!(deep, [at]);
    }

    #[test]
    fn it_ends_when_its_visitor_has_enough_and_when_it_is_told() {
        let temp = temp();
        for dir in ["a", "b", "c"] {
            std::fs::create_dir(temp.path().join(dir)).unwrap();
            std::fs::write(temp.path().join(dir).join("f"), "").unwrap();
        }
        let root = File::open(temp.path()).unwrap();
        for stop in [false, true] {
            let control = Control::new(0);
            let mut visits = 0;
            let ended = visit(root.as_fd(), &control, &mut |_, _| {
                visits += 1;
                if stop {
                    control.stop();
                    return Ok(Go::On);
                }
                Ok(Go::Enough)
            });
            let expected = if stop {
                Err(StopReason::Cancelled)
            } else {
                Ok(())
            };
            assert_eq!((ended, visits), (expected, 1));
        }
    }
}
