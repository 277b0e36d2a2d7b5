//! What lies at the directory of a volume that a start would delete, and what would keep it from
//! being deleted: flags, mounts, swap files, a read-only file system.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use super::roots::{attributes, make, read_only};
use crate::decide::facts::{
    FileKind, Known, MakeOutcome, Obstacle, ObstacleKind, TouchedVolume, VolumeLook, Why,
};
use crate::observe::deadline::{Answered, ask_each};
use crate::observe::walk::{Found, Viewpoint, WalkError, normal};
use crate::sys::{self, OpenError, list, open_beneath, reopen, stat};
use crate::units::{Raw, chain};

/// How far a tree is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries.
    pub(super) entries: usize,
    /// Directories below one another.
    pub(super) depth: usize,
    /// Obstacles that are told.
    pub(super) obstacles: usize,
    /// Time for one volume.
    pub(super) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 50_000,
            depth: 64,
            obstacles: 20,
            patience: Duration::from_secs(10),
        }
    }
}

pub(super) fn look(
    view: &Arc<Viewpoint>,
    volumes: &[TouchedVolume],
    swaps: &Known<Vec<Raw>>,
    limits: Limits,
) -> BTreeMap<Raw, VolumeLook> {
    let (asked, swaps) = (Arc::clone(view), swaps.clone());
    let answers = ask_each(
        volumes.to_vec(),
        limits.patience,
        move |volume: &TouchedVolume| of_volume(&asked, volume, &swaps, limits),
    );
    volumes
        .iter()
        .zip(answers)
        .map(|(volume, answer)| {
            let look = match answer {
                Answered::Yes(look) => look,
                Answered::TooLate | Answered::NotAsked => {
                    unknown("it could not be looked at in time")
                }
            };
            (volume.path.clone(), look)
        })
        .collect()
}

fn unknown(why: &str) -> VolumeLook {
    VolumeLook {
        exists: Known::unknown(why),
        make: MakeOutcome::Unknown(Why(why.to_owned())),
        obstacles: Vec::new(),
        complete: Known::unknown(why),
    }
}

fn of_volume(
    view: &Viewpoint,
    volume: &TouchedVolume,
    swaps: &Known<Vec<Raw>>,
    limits: Limits,
) -> VolumeLook {
    let path = &normal(&volume.path);
    let mut look = VolumeLook {
        exists: Known::Known(false),
        make: make(view, path).0,
        obstacles: Vec::new(),
        complete: Known::Known(()),
    };
    let Some((parent, name)) = split(path) else {
        return unknown("it has no parent directory");
    };
    let parent = match view.follow(&parent) {
        Ok(parent) => parent,
        Err(WalkError::Missing { .. }) => return look,
        Err(error) => return unknown(&chain(&error)),
    };
    let entry = match stat::open_path(parent.fd.as_fd(), name.as_bytes()) {
        Ok(entry) => entry,
        Err(Errno::NOENT | Errno::NOTDIR) => return look,
        Err(errno) => return unknown(&format!("{path} can't be looked at: {errno}")),
    };
    look.exists = Known::Known(true);
    let mut search = Search {
        limits,
        keeps_root: volume.keeps_root,
        looked_at: 0,
        obstacles: Vec::new(),
        complete: Known::Known(()),
    };
    search.around(view, &parent, &name, &entry, swaps);
    look.obstacles = search.obstacles;
    look.complete = search.complete;
    look
}

fn split(path: &Raw) -> Option<(Raw, Raw)> {
    let bytes = path.as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b'/')?;
    let (parent, name) = bytes.split_at_checked(at)?;
    let name = name.strip_prefix(b"/")?;
    let parent = if parent.is_empty() { b"/" } else { parent };
    (!name.is_empty()).then(|| (Raw::from(parent), Raw::from(name)))
}

struct Search {
    limits: Limits,
    keeps_root: bool,
    looked_at: usize,
    obstacles: Vec<Obstacle>,
    complete: Known<()>,
}

/// A directory that is still to be looked into.
struct Pending {
    parent: Rc<OwnedFd>,
    name: Raw,
    path: Raw,
    depth: usize,
}

impl Search {
    fn found(&mut self, at: &Raw, kind: ObstacleKind) {
        let obstacle = Obstacle {
            at: at.clone(),
            kind,
        };
        if self.obstacles.len() < self.limits.obstacles && !self.obstacles.contains(&obstacle) {
            self.obstacles.push(obstacle);
        }
    }

    fn incomplete(&mut self, why: String) {
        if self.complete == Known::Known(()) {
            self.complete = Known::unknown(why);
        }
    }

    fn flags(&mut self, at: &Raw, found: StatxAttributes) {
        if found.contains(StatxAttributes::IMMUTABLE) {
            self.found(at, ObstacleKind::Immutable);
        }
        if found.contains(StatxAttributes::APPEND) {
            self.found(at, ObstacleKind::AppendOnly);
        }
    }

    /// The volume's directory, what lies in it, and the directory that it lies in.
    fn around(
        &mut self,
        view: &Viewpoint,
        parent: &Found,
        name: &Raw,
        entry: &OwnedFd,
        swaps: &Known<Vec<Raw>>,
    ) {
        let own = parent.real.join(name);
        if !self.keeps_root {
            // It is taken out of its directory.
            for (at, fd) in [(&parent.real, &parent.fd), (&own, entry)] {
                match attributes(fd) {
                    Ok(found) => self.flags(at, found),
                    Err(errno) => self.incomplete(format!("{at}: {errno}")),
                }
            }
            if read_only(view, parent) {
                self.found(&own, ObstacleKind::ReadOnly);
            }
            if view.table.mount_at(&own).is_some() {
                self.found(&own, ObstacleKind::Mount);
            }
        }
        for mount in view.table.entries() {
            let below = mount.mount_point.below(&own).unwrap_or_default();
            if !below.is_empty() {
                self.found(&mount.mount_point, ObstacleKind::Mount);
            }
        }
        match swaps {
            Known::Known(swaps) => {
                for swap in swaps.iter().filter(|swap| swap.below(&own).is_some()) {
                    self.found(swap, ObstacleKind::Swap);
                }
            }
            Known::Absent => {}
            Known::Unknown(why) => self.incomplete(format!("active swap: {why}")),
        }
        match view.follow(&own) {
            // A link is taken away, and what it leads to stays.
            Ok(found) if found.real != own => {}
            Ok(found) => self.tree(view, &found),
            Err(WalkError::Missing { .. }) => {}
            Err(error) => self.incomplete(chain(&error)),
        }
    }

    /// Looks at a tree, without entering mounts.
    fn tree(&mut self, view: &Viewpoint, top: &Found) {
        let Ok(node) = sys::node(&top.fd) else {
            self.incomplete(format!("{} can't be looked at", top.real));
            return;
        };
        if node.kind != FileKind::Directory {
            return;
        }
        let dir = match reopen(&top.fd) {
            Ok(dir) => Rc::new(dir),
            Err(errno) => return self.incomplete(format!("{}: {errno}", top.real)),
        };
        let mut todo = Vec::new();
        self.directory(&dir, &top.real, 1, &mut todo);
        // What holds nothing is not changed.
        if self.looked_at > 0 {
            match attributes(&dir) {
                Ok(found) => self.flags(&top.real, found),
                Err(errno) => self.incomplete(format!("{}: {errno}", top.real)),
            }
            if read_only(view, top) {
                self.found(&top.real, ObstacleKind::ReadOnly);
            }
        }
        while let Some(next) = todo.pop() {
            match open_beneath(&*next.parent, next.name.as_bytes()) {
                Ok(dir) => self.directory(&Rc::new(dir), &next.path, next.depth, &mut todo),
                // A mount is an obstacle of its own, told from the mount table.
                Err(
                    OpenError::Mount
                    | OpenError::Symlink
                    | OpenError::NotADirectory
                    | OpenError::Missing,
                ) => {}
                Err(error @ (OpenError::NoMountId | OpenError::Io(_))) => {
                    self.incomplete(format!("{}: {}", next.path, chain(&error)));
                }
            }
        }
    }

    fn directory(&mut self, dir: &Rc<OwnedFd>, path: &Raw, depth: usize, todo: &mut Vec<Pending>) {
        let left = self.limits.entries.saturating_sub(self.looked_at);
        if left == 0 {
            return self.incomplete(format!(
                "only the first {} entries were looked at",
                self.limits.entries
            ));
        }
        let entries = match list(&**dir, left) {
            Ok(entries) => entries,
            Err(Errno::FBIG) => {
                self.looked_at = self.limits.entries;
                return self.incomplete(format!("{path} has more entries than are looked at"));
            }
            Err(errno) => return self.incomplete(format!("{path}: {errno}")),
        };
        self.looked_at = self.looked_at.saturating_add(entries.len());
        for (name, _, _) in entries {
            let at = path.join(&name);
            let found = match look_at(&**dir, &name) {
                Ok(found) => found,
                Err(Errno::NOENT) => continue,
                Err(errno) => {
                    self.incomplete(format!("{at}: {errno}"));
                    continue;
                }
            };
            self.flags(&at, found.stx_attributes);
            let kind = FileType::from_raw_mode(u32::from(found.stx_mode));
            if kind == FileType::Directory
                && !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
            {
                if depth >= self.limits.depth {
                    self.incomplete(format!("{at} lies deeper than is looked"));
                    continue;
                }
                todo.push(Pending {
                    parent: Rc::clone(dir),
                    name,
                    path: at,
                    depth: depth.saturating_add(1),
                });
            }
        }
    }
}

/// An entry itself, not what it leads to; nobody is asked over a network.
fn look_at(dir: impl AsFd, name: &Raw) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(dir, name.as_os_str(), flags, StatxFlags::TYPE)
}
