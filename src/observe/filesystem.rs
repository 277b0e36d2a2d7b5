//! Asks file systems for their size, through an opened directory, and only those that can answer
//! by themselves.
//!
//! Before each step along a path the mount table is asked which mount comes next; a FUSE, network
//! or automount file system ends the walk before it is touched. A drive that hangs costs
//! [`deadline::PATIENCE`](super::deadline::PATIENCE) and its own answer.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstatvfs, openat};
use rustix::io::{Errno, retry_on_intr};

use super::deadline::{Answered, PATIENCE, ask_each};
use super::health;
use super::places::Places;
use crate::decide::facts::{DirectoryAnswer, FsFailure, Known, MountTable, PathAnswer, Why};
use crate::sys::{self, FsUuidError};
use crate::units::Raw;

/// How many symbolic links may lie on one path; the kernel's own limit.
const LINKS: u32 = 40;

/// What a file system says that was shut down, whose device is gone, or that is damaged.
const BROKEN: [Errno; 6] = [
    Errno::IO,
    Errno::NXIO,
    Errno::NODEV,
    Errno::SHUTDOWN,
    Errno::UCLEAN,
    Errno::STALE,
];

/// What is at these absolute paths.
#[must_use]
pub fn ask(places: &Places, paths: Vec<Raw>, mounts: &MountTable) -> BTreeMap<Raw, PathAnswer> {
    let table = Arc::new(mounts.clone());
    let answers = ask_each(paths.clone(), PATIENCE, move |path| look(path, &table));
    paths
        .into_iter()
        .zip(answers)
        .map(|(path, answer)| {
            let answer = match answer {
                Answered::Yes(PathAnswer::Directory(answer)) => {
                    let failure = (mounts.by_id(answer.mount))
                        .and_then(|entry| health::failure(places, entry));
                    PathAnswer::Directory(DirectoryAnswer { failure, ..answer })
                }
                // Sooner or later a file system whose device is gone answers with errors alone.
                Answered::Yes(PathAnswer::Erring(mount, said)) => {
                    let seen =
                        (mounts.by_id(mount)).and_then(|entry| health::failure(places, entry));
                    let gone = seen.filter(|seen| matches!(seen, FsFailure::DeviceGone(_)));
                    PathAnswer::Erring(mount, gone.unwrap_or(said))
                }
                Answered::Yes(answer) => answer,
                Answered::TooLate => PathAnswer::Unanswering,
                Answered::NotAsked => PathAnswer::Failed(Why(
                    "not asked: too many file systems do not answer".to_owned(),
                )),
            };
            (path, answer)
        })
        .collect()
}

/// The end of a walk that did not reach a directory.
enum Stop {
    Answer(PathAnswer),
    Errno { at: Raw, source: Errno },
}

impl From<PathAnswer> for Stop {
    fn from(answer: PathAnswer) -> Self {
        Self::Answer(answer)
    }
}

fn look(path: &Raw, mounts: &MountTable) -> PathAnswer {
    match walk(path, mounts).and_then(|(fd, resolved)| question(&fd, resolved, mounts)) {
        Ok(answer) | Err(Stop::Answer(answer)) => answer,
        Err(Stop::Errno { source, .. }) if source == Errno::NOENT => PathAnswer::Missing,
        Err(Stop::Errno { source, .. }) if source == Errno::NOTDIR => PathAnswer::NotADirectory,
        Err(Stop::Errno { at, source }) if BROKEN.contains(&source) => {
            let what = format!("{at} answers with an error: {source}");
            match mounts.mount_of(&at) {
                Some(entry) => PathAnswer::Erring(entry.id, FsFailure::Failed(what)),
                None => PathAnswer::Failed(Why(what)),
            }
        }
        Err(Stop::Errno { at, source }) => {
            PathAnswer::Failed(Why(format!("can't look at {at}: {source}")))
        }
    }
}

/// Opens the directory, component by component, and gives its path without links.
fn walk(path: &Raw, mounts: &MountTable) -> Result<(OwnedFd, Raw), Stop> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let errno = |at: &Raw| {
        let at = at.clone();
        move |source| Stop::Errno { at, source }
    };
    let root = Raw::from("/");
    let open_root = || {
        passable(&root, mounts)?;
        let flags = flags | OFlags::DIRECTORY;
        retry_on_intr(|| rustix::fs::open("/", flags, Mode::empty())).map_err(errno(&root))
    };
    let mut pending = components(path);
    let mut links = 0u32;
    let (mut fd, mut walked) = (open_root()?, root.clone());
    while let Some(name) = pending.pop_front() {
        if name.as_bytes() == b".." {
            // What was walked so far holds no link, so its parent is a matter of text.
            let mut again = components(&walked);
            again.pop_back();
            again.append(&mut pending);
            pending = again;
            (fd, walked) = (open_root()?, root.clone());
            continue;
        }
        let next = walked.join(&name);
        passable(&next, mounts)?;
        let opened = retry_on_intr(|| openat(&fd, name.as_os_str(), flags, Mode::empty()))
            .map_err(errno(&next))?;
        let stat = rustix::fs::fstat(&opened).map_err(errno(&next))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => (fd, walked) = (opened, next),
            FileType::Symlink => {
                links = links.saturating_add(1);
                if links > LINKS {
                    return Err(errno(&next)(Errno::LOOP));
                }
                let target = rustix::fs::readlinkat(&opened, "", Vec::new())
                    .map_err(errno(&next))?
                    .into_bytes();
                if target.first() == Some(&b'/') {
                    (fd, walked) = (open_root()?, root.clone());
                }
                let mut again = components(&Raw::new(target));
                again.append(&mut pending);
                pending = again;
            }
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => return Err(PathAnswer::NotADirectory.into()),
        }
    }
    Ok((fd, walked))
}

fn components(path: &Raw) -> VecDeque<Raw> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(Raw::from)
        .collect()
}

/// Whether everything that the kernel passes on its way to this path may be asked.
fn passable(path: &Raw, mounts: &MountTable) -> Result<(), Stop> {
    let chain = mounts.chain(path);
    if chain.is_empty() {
        return Err(PathAnswer::Failed(Why(format!(
            "the mount table does not show what {path} lies on"
        )))
        .into());
    }
    match chain.iter().find(|mount| !mount.class().may_be_asked()) {
        Some(mount) => Err(PathAnswer::OutOfBounds(mount.id).into()),
        None => Ok(()),
    }
}

fn question(fd: &OwnedFd, resolved: Raw, mounts: &MountTable) -> Result<PathAnswer, Stop> {
    let errno = |source| Stop::Errno {
        at: resolved.clone(),
        source,
    };
    let mount = sys::mount_id(fd).map_err(errno)?.0;
    if mounts.mount_of(&resolved).map(|entry| entry.id) != Some(mount) {
        return Ok(PathAnswer::Failed(Why(format!(
            "the mounts changed while {resolved} was looked at"
        ))));
    }
    let directory = sys::reopen(fd).map_err(errno)?;
    let space = retry_on_intr(|| fstatvfs(&directory)).map_err(errno)?;
    let uuid = match sys::filesystem_uuid(&directory) {
        Ok(uuid) => Known::Known(uuid),
        Err(FsUuidError::NoDevice) => Known::Absent,
        Err(error) => Known::unknown(error.to_string()),
    };
    Ok(PathAnswer::Directory(DirectoryAnswer {
        total_bytes: space.f_frsize.saturating_mul(space.f_blocks),
        free_bytes: space.f_frsize.saturating_mul(space.f_bfree),
        read_only: space.f_flag.contains(StatVfsMountFlags::RDONLY),
        uuid,
        resolved,
        mount,
        failure: None,
    }))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own tree")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::observe::mountinfo;

    fn here() -> MountTable {
        MountTable::new(mountinfo::read_self().unwrap())
    }

    fn one(path: &Raw, mounts: &MountTable) -> PathAnswer {
        ask(&Places::default(), vec![path.clone()], mounts)
            .remove(path)
            .unwrap()
    }

    #[test]
    fn a_directory_is_found_with_its_mount_and_size() {
        let temp = tempfile::tempdir().unwrap();
        let path = Raw::from(std::fs::canonicalize(temp.path()).unwrap());
        let mounts = here();
        let PathAnswer::Directory(answer) = one(&path, &mounts) else {
            panic!("{path} is there");
        };
        assert_eq!(answer.resolved, path);
        assert_eq!(answer.mount, mounts.mount_of(&path).unwrap().id);
        let space = rustix::fs::statvfs(temp.path()).unwrap();
        assert_eq!(answer.total_bytes, space.f_frsize * space.f_blocks);
    }

    #[test]
    fn links_are_followed_and_told() {
        let temp = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(temp.path()).unwrap();
        std::fs::create_dir_all(base.join("real/inner")).unwrap();
        symlink("real", base.join("relative")).unwrap();
        symlink(base.join("relative/../relative"), base.join("absolute")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let mounts = here();
        let at = |name: &str| one(&Raw::from(base.join(name)), &mounts);
        for name in ["relative/inner", "absolute/inner", "real/../real/./inner"] {
            let PathAnswer::Directory(answer) = at(name) else {
                panic!("{name}: {:?}", at(name));
            };
            assert_eq!(
                answer.resolved,
                Raw::from(base.join("real/inner")),
                "{name}"
            );
        }
        let PathAnswer::Failed(why) = at("loop/x") else {
            panic!("a loop of links");
        };
        assert!(
            why.0.contains("too many") || why.0.contains("Too many"),
            "{why}"
        );
    }

    #[test]
    fn what_is_no_directory_and_what_is_not_there_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(temp.path()).unwrap();
        std::fs::write(base.join("file"), "x").unwrap();
        symlink("nowhere", base.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(base.join("socket")).unwrap();
        let mounts = here();
        let at = |name: &str| one(&Raw::from(base.join(name)), &mounts);
        assert_eq!(at("file"), PathAnswer::NotADirectory);
        assert_eq!(at("file/below"), PathAnswer::NotADirectory);
        assert_eq!(at("socket"), PathAnswer::NotADirectory);
        assert_eq!(at("none"), PathAnswer::Missing);
        assert_eq!(at("none/below"), PathAnswer::Missing);
        assert_eq!(at("dangling"), PathAnswer::Missing);
    }

    #[test]
    fn nothing_behind_a_mount_that_may_not_be_asked_is_touched() {
        let mounts = here();
        let proc = mounts.mount_of(&"/proc".into()).unwrap().id;
        for path in ["/proc", "/proc/self", "/proc/nothing/there"] {
            assert_eq!(one(&path.into(), &mounts), PathAnswer::OutOfBounds(proc));
        }
        let temp = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(temp.path()).unwrap();
        symlink("/proc/self", base.join("link")).unwrap();
        assert_eq!(
            one(&Raw::from(base.join("link")), &mounts),
            PathAnswer::OutOfBounds(proc),
            "a link does not lead there either"
        );
    }

    #[test]
    fn a_table_that_does_not_fit_the_kernels_is_not_believed() {
        let temp = tempfile::tempdir().unwrap();
        let path = Raw::from(std::fs::canonicalize(temp.path()).unwrap());
        let mut entries = here().entries().to_vec();
        for entry in &mut entries {
            entry.id += 1_000_000;
            entry.parent += 1_000_000;
        }
        let answer = one(&path, &MountTable::new(entries));
        assert!(
            matches!(&answer, PathAnswer::Failed(why) if why.0.contains("the mounts changed")),
            "{answer:?}"
        );
        let answer = one(&path, &MountTable::default());
        assert!(
            matches!(&answer, PathAnswer::Failed(why) if why.0.contains("does not show")),
            "{answer:?}"
        );
    }
}
