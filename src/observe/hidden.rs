//! The hidden side of a MOUNT disk that `disk prepare` laid out.
//!
//! Two things must agree before a mount is taken for one: the mount table, in which the advertised
//! root shows `/volume` of a file system whose own root is mounted elsewhere, and the disk itself,
//! where our marker names that very file system and `volume` is the directory under the root. The
//! record of `disk prepare`, where there is one, says where to look, and that a hidden side is to be
//! missed where it is not seen.

use std::os::fd::AsFd as _;

use super::trash::{self, Ours};
use super::volumes::{self, Folder};
use crate::decide::facts::{
    Fingerprint, FsClass, FsLocation, HiddenSide, Known, MountEntry, MountTable, Why,
};
use crate::decide::manifest::VOLUME;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::sys::{self, OpenError};
use crate::units::{Raw, chain};

/// Where the hidden side of a root is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HiddenAt {
    /// It has none.
    Plain,
    /// It was laid out by us, and its hidden side is not to be seen.
    Unseen(Why),
    /// There.
    At {
        path: Raw,
        mount_id: u64,
        /// The directory that this mount lies on.
        lies_on: Option<FsLocation>,
        /// Whether a record says that it is one.
        recorded: bool,
    },
}

/// What was found there.
pub(super) struct Found {
    pub(super) side: Known<HiddenSide>,
    pub(super) lies_on: Option<FsLocation>,
    pub(super) ours: Ours,
}

impl Found {
    fn nothing(side: Known<HiddenSide>) -> Self {
        let ours = match side.why() {
            Some(why) => Ours {
                marker: Known::Absent,
                ..Ours::unknown(&why.0)
            },
            None => Ours::absent(),
        };
        Self {
            side,
            lies_on: None,
            ours,
        }
    }
}

/// Where to look, by the mount table and the record of `disk prepare`.
pub(super) fn place(
    disk: &DiskRef,
    location: &FsLocation,
    recorded: &Known<Raw>,
    table: &MountTable,
    lies_on: impl Fn(&MountEntry) -> Option<FsLocation>,
) -> HiddenAt {
    if disk.kind != DiskType::Mount {
        return HiddenAt::Plain;
    }
    if location.path != Raw::from("/").join(VOLUME) {
        return match recorded {
            Known::Known(hidden) => HiddenAt::Unseen(Why(format!(
                "`disk prepare` bound {} of {hidden} to {}, and {} is to be seen there",
                VOLUME, disk.root, location.path
            ))),
            Known::Absent | Known::Unknown(_) => HiddenAt::Plain,
        };
    }
    let whole = |entry: &&MountEntry| {
        entry.device == location.device
            && entry.shows_whole_filesystem()
            && entry.class() == FsClass::Local
            && table.hidden_by(entry).is_none()
    };
    let at = |entry: &MountEntry, recorded| HiddenAt::At {
        path: entry.mount_point.clone(),
        mount_id: entry.id,
        lies_on: lies_on(entry),
        recorded,
    };
    let mut all = table.entries().iter().filter(whole);
    match recorded {
        Known::Known(hidden) => match all.find(|entry| entry.mount_point == *hidden) {
            Some(entry) => at(entry, true),
            None => HiddenAt::Unseen(Why(format!(
                "the hidden side of {} is not mounted at {hidden}; mount it, or say `mesos-volumed \
                 disk prepare` again",
                disk.root
            ))),
        },
        Known::Absent => all.next().map_or(HiddenAt::Plain, |entry| at(entry, false)),
        Known::Unknown(why) => HiddenAt::Unseen(why.clone()),
    }
}

/// Looks at it. `root` is the opened advertised root, `present` what it is.
pub(super) fn look(at: &HiddenAt, root: &Folder<'_>, present: Option<&Fingerprint>) -> Found {
    let (path, mount_id, lies_on, recorded) = match at {
        HiddenAt::Plain => return Found::nothing(Known::Absent),
        HiddenAt::Unseen(why) => return Found::nothing(Known::Unknown(why.clone())),
        HiddenAt::At {
            path,
            mount_id,
            lies_on,
            recorded,
        } => (path, *mount_id, lies_on, *recorded),
    };
    let unknown = |why: String| Found::nothing(Known::unknown(why));
    let Some(present) = present else {
        return unknown(format!("what {} is can't be told", root.path));
    };
    let opened = match sys::open_root(path.as_path()) {
        Ok(opened) => opened,
        Err(error) => return unknown(format!("{path} can't be opened: {}", chain(&error))),
    };
    match sys::mount_id(&opened) {
        Ok(id) if id.0 == mount_id => {}
        Ok(_) => return unknown(format!("the mounts changed while {path} was looked at")),
        Err(errno) => return unknown(format!("{path} can't be looked at: {errno}")),
    }
    let top = FsLocation {
        device: root.location.device,
        path: Raw::from("/"),
    };
    let folder = Folder {
        fd: opened.as_fd(),
        path,
        location: &top,
        filesystem: root.filesystem,
    };
    let ours = trash::observe(&folder);
    match &ours.marker {
        Known::Known(marker) if marker.filesystem == present.filesystem => {}
        Known::Known(marker) => {
            return unknown(format!(
                "the marker in {path} is of file system {}",
                marker.filesystem
            ));
        }
        Known::Absent if recorded => {
            return unknown(format!("our marker in {path} is missing"));
        }
        // Somebody bound a folder of that name.
        Known::Absent => return Found::nothing(Known::Absent),
        Known::Unknown(why) => return Found::nothing(Known::Unknown(why.clone())),
    }
    let identity = |fd: &std::os::fd::OwnedFd| volumes::identity(fd.as_fd(), root.filesystem);
    let volume = match sys::open_beneath(&opened, VOLUME.as_bytes()) {
        Ok(volume) => identity(&volume),
        Err(OpenError::Missing) => Known::Absent,
        Err(error) => {
            return unknown(format!(
                "{path}/{VOLUME} can't be opened: {}",
                chain(&error)
            ));
        }
    };
    if volume.known() != Some(&present.directory) {
        return unknown(format!(
            "{path}/{VOLUME} is not the directory that {} shows",
            root.path
        ));
    }
    match identity(&opened) {
        Known::Known(directory) => Found {
            side: Known::Known(HiddenSide {
                path: path.clone(),
                directory,
            }),
            lies_on: lies_on.clone().or(Some(top)),
            ours,
        },
        Known::Absent => unknown(format!("{path} gives no identity")),
        Known::Unknown(why) => Found::nothing(Known::Unknown(why)),
    }
}
