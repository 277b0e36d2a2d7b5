//! What lies at a root, and what `mkdir -p` of it would come to, without making anything.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::decide::facts::{
    FileKind, Known, MakeOutcome, MountEntry, RootFilesystem, RootLook, Why,
};
use crate::observe::deadline::{Answered, PATIENCE, ask_each};
use crate::observe::walk::{Found, Viewpoint, WalkError, normal};
use crate::sys::{self, stat};
use crate::units::{Bytes, Raw, chain};

const NO_ANSWER: &str = "its disk gave no answer in time";

/// The longest name of a file (`NAME_MAX`).
const NAME_MAX: usize = 255;

pub(super) fn look(
    view: &Arc<Viewpoint>,
    roots: &[Raw],
    directory: &Known<Raw>,
) -> BTreeMap<Raw, RootLook> {
    let asked = Arc::clone(view);
    let directory = directory.clone();
    let answers = ask_each(roots.to_vec(), PATIENCE, move |root: &Raw| {
        match absolute(root, &directory) {
            Ok(path) => of_path(&asked, &path),
            Err(why) => unknown(&why),
        }
    });
    roots
        .iter()
        .zip(answers)
        .map(|(root, answer)| {
            let look = match answer {
                Answered::Yes(look) => look,
                Answered::TooLate | Answered::NotAsked => unknown(NO_ANSWER),
            };
            (root.clone(), look)
        })
        .collect()
}

fn unknown(why: &str) -> RootLook {
    RootLook {
        real: Known::unknown(why),
        mounted: Known::unknown(why),
        kind: Known::unknown(why),
        make: MakeOutcome::Unknown(Why(why.to_owned())),
        filesystem: Known::unknown(why),
        node: Known::unknown(why),
    }
}

/// The path as the kernel reads it from the agent: to the first NUL, from its directory.
fn absolute(root: &Raw, directory: &Known<Raw>) -> Result<Raw, String> {
    let bytes = root.as_bytes();
    let root = Raw::from(bytes.split(|byte| *byte == 0).next().unwrap_or_default());
    if root.as_bytes().first() == Some(&b'/') || root.is_empty() {
        return Ok(root);
    }
    match directory {
        Known::Known(directory) => Ok(directory.join(&root)),
        Known::Absent => Err("it is relative".to_owned()),
        Known::Unknown(why) => Err(format!(
            "it is relative to the directory that the agent is started in ({why})"
        )),
    }
}

fn of_path(view: &Viewpoint, path: &Raw) -> RootLook {
    if path.is_empty() {
        // `mkdir -p` of nothing does nothing; there is no file with an empty name.
        return RootLook {
            real: Known::Absent,
            mounted: Known::Absent,
            kind: Known::Absent,
            make: MakeOutcome::There,
            filesystem: Known::Absent,
            node: Known::Absent,
        };
    }
    let (make, below) = make(view, path);
    match view.follow(path) {
        Ok(found) => of_found(view, &found, make),
        Err(WalkError::Missing { .. }) => RootLook {
            real: Known::Absent,
            mounted: Known::Absent,
            kind: Known::Absent,
            make,
            filesystem: match below {
                Some(below) => filesystem(view, &below),
                None => Known::Absent,
            },
            node: Known::Absent,
        },
        // A mount that must not be asked, by its own name: it is mounted, that is all there is to
        // know.
        Err(WalkError::NotAsked { path: at, .. })
            if at == normal(path) && view.table.mount_at(&at).is_some() =>
        {
            let why = "its file system is never asked: it may not answer";
            RootLook {
                real: Known::Known(at),
                mounted: Known::Known(true),
                make: MakeOutcome::There,
                ..unknown(why)
            }
        }
        Err(error) => RootLook {
            make,
            ..unknown(&chain(&error))
        },
    }
}

fn of_found(view: &Viewpoint, found: &Found, make: MakeOutcome) -> RootLook {
    let node = sys::node(&found.fd);
    let failed = |errno: &Errno| format!("{} can't be looked at: {errno}", found.real);
    // An agent takes any line of the mount table, one that is hidden by another mount too.
    let mounted = view
        .table
        .entries()
        .iter()
        .any(|entry| entry.mount_point == found.real);
    RootLook {
        real: Known::Known(found.real.clone()),
        mounted: Known::Known(mounted),
        kind: match &node {
            Ok(node) => Known::Known(node.kind),
            Err(errno) => Known::unknown(failed(errno)),
        },
        make,
        filesystem: filesystem(view, found),
        node: match &node {
            Ok(node) => Known::Known((node.device, node.inode)),
            Err(errno) => Known::unknown(failed(errno)),
        },
    }
}

fn mount_of<'a>(view: &'a Viewpoint, found: &Found) -> Option<&'a MountEntry> {
    view.table.mount_of(&found.real)
}

fn filesystem(view: &Viewpoint, found: &Found) -> Known<RootFilesystem> {
    let Some(mount) = mount_of(view, found) else {
        return Known::unknown("no mount table shows what it lies on");
    };
    Known::Known(RootFilesystem {
        device: mount.device,
        mount_point: mount.mount_point.clone(),
        total: match rustix::fs::fstatvfs(&found.fd) {
            Ok(space) => Known::Known(Bytes(space.f_frsize.saturating_mul(space.f_blocks))),
            Err(errno) => Known::unknown(format!("{} does not tell its size: {errno}", found.real)),
        },
    })
}

/// What `mkdir -p` of an absolute path would come to, component by component as the agent does it,
/// and the directory in which the first new one would be made.
pub(super) fn make(view: &Viewpoint, path: &Raw) -> (MakeOutcome, Option<Found>) {
    let fails = |words: &str| MakeOutcome::Fails(words.to_owned());
    let names: Vec<&[u8]> = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let mut prefix = Raw::from("/");
    for (index, name) in names.iter().enumerate() {
        let parent = match view.follow(&prefix) {
            Ok(parent) => parent,
            // A link that leads nowhere: it is there, and what is below it can't be made.
            Err(WalkError::Missing { .. }) => return (fails("No such file or directory"), None),
            Err(WalkError::Links { .. }) => {
                return (fails("Too many levels of symbolic links"), None);
            }
            Err(error) => return (MakeOutcome::Unknown(Why(chain(&error))), None),
        };
        let next = prefix.join(name);
        let is_directory = sys::node(&parent.fd).map(|node| node.kind == FileKind::Directory);
        match is_directory {
            Ok(true) => {}
            Ok(false) => return (fails("Not a directory"), None),
            Err(errno) => return (unclear(&next, errno), None),
        }
        if !matches!(*name, b"." | b"..") {
            match stat::open_path(parent.fd.as_fd(), name) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    let rest = names.get(index..).unwrap_or_default();
                    return (made_in(view, &parent, rest), Some(parent));
                }
                Err(Errno::NAMETOOLONG) => return (fails("File name too long"), None),
                Err(errno) => return (unclear(&next, errno), None),
            }
        }
        prefix = next;
    }
    (MakeOutcome::There, None)
}

fn unclear(path: &Raw, errno: Errno) -> MakeOutcome {
    MakeOutcome::Unknown(Why(format!("{path} can't be looked at: {errno}")))
}

/// Whether the first of these names can be made in this directory, and then the others below it.
fn made_in(view: &Viewpoint, parent: &Found, names: &[&[u8]]) -> MakeOutcome {
    let fails = |words: &str| MakeOutcome::Fails(words.to_owned());
    if names.iter().any(|name| name.len() > NAME_MAX) {
        return fails("File name too long");
    }
    if read_only(view, parent) {
        return fails("Read-only file system");
    }
    match attributes(&parent.fd) {
        Ok(found) if found.contains(StatxAttributes::IMMUTABLE) => fails("Operation not permitted"),
        Ok(_) => MakeOutcome::Made,
        Err(errno) => unclear(&parent.real, errno),
    }
}

/// Whether the mount, or its file system by itself, is read-only.
pub(super) fn read_only(view: &Viewpoint, found: &Found) -> bool {
    mount_of(view, found).is_some_and(MountEntry::read_only)
        || rustix::fs::fstatvfs(&found.fd)
            .is_ok_and(|space| space.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The flags of an open file. What its file system does not tell is not set.
pub(super) fn attributes(fd: &OwnedFd) -> Result<StatxAttributes, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(fd, c"", flags, StatxFlags::TYPE).map(|found| found.stx_attributes)
}
