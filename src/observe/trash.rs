//! The trash of a ROOT or PATH root, and our marker beside it.

use std::os::fd::AsFd as _;

use serde::Deserialize;

use super::marks;
use super::volumes::{Folder, LookError, identity};
use crate::decide::facts::{Known, TrashFacts};
use crate::decide::manifest::{AdoptedMark, Manifest, Marker};
use crate::decide::steps::TrashId;
use crate::sys::{self, OpenError, ReadError};
use crate::units::{Raw, chain};

/// A manifest holds a handful of names of at most 4096 bytes.
const MANIFEST: usize = 256 << 10;
const MARKER: usize = 4096;

/// Marker and trash, of an open `volumes/.mesos-volumed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ours {
    pub(super) marker: Known<Marker>,
    pub(super) trash: Known<Vec<TrashFacts>>,
    pub(super) adopted: Known<Vec<AdoptedMark>>,
}

impl Ours {
    pub(super) fn absent() -> Self {
        Self {
            marker: Known::Absent,
            trash: Known::Absent,
            adopted: Known::Absent,
        }
    }

    pub(super) fn unknown(why: &str) -> Self {
        Self {
            marker: Known::unknown(why),
            trash: Known::unknown(why),
            adopted: Known::unknown(why),
        }
    }
}

/// Looks at `volumes/.mesos-volumed`, of an open `volumes`.
pub(super) fn observe(volumes: &Folder<'_>) -> Ours {
    let name = b".mesos-volumed";
    let path = volumes.path.join(name);
    let location = volumes.place(name);
    match volumes.open(name) {
        Ok(None) => Ours::absent(),
        Ok(Some(opened)) => {
            let folder = Folder {
                fd: opened.as_fd(),
                path: &path,
                location: &location,
                ..*volumes
            };
            Ours {
                marker: marker(&folder),
                trash: match entries(&folder) {
                    Ok(Some(entries)) => Known::Known(entries),
                    Ok(None) => Known::Absent,
                    Err(error) => Known::Unknown(error.into()),
                },
                adopted: marks::observe(&folder),
            }
        }
        Err(error) => Ours::unknown(&chain(&error)),
    }
}

fn marker(folder: &Folder<'_>) -> Known<Marker> {
    let path = folder.path.join("marker.json");
    let bytes = match sys::read_bounded_at(folder.fd, b"marker.json", MARKER) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing { .. }) => return Known::Absent,
        Err(error) => {
            return Known::unknown(format!("{}: {}", folder.path, chain(&error)));
        }
    };
    match serde_json::from_slice::<Marker>(&bytes) {
        Ok(marker) if marker.version == Marker::VERSION => Known::Known(marker),
        Ok(marker) => Known::unknown(format!(
            "{path} has version {}, this program reads version 1",
            marker.version
        )),
        Err(error) => Known::unknown(format!(
            "{path} is damaged ({error}); if the right disk is mounted there, remove it"
        )),
    }
}

fn entries(ours: &Folder<'_>) -> Result<Option<Vec<TrashFacts>>, LookError> {
    let Some(trash) = ours.open(b"trash")? else {
        return Ok(None);
    };
    let path = ours.path.join("trash");
    let location = ours.place(b"trash");
    let trash = Folder {
        fd: trash.as_fd(),
        path: &path,
        location: &location,
        ..*ours
    };
    let names = trash.names()?;
    Ok(Some(
        names
            .iter()
            .filter_map(|name| entry(&trash, name))
            .collect(),
    ))
}

/// One entry; `None` where it has gone meanwhile.
fn entry(trash: &Folder<'_>, name: &Raw) -> Option<TrashFacts> {
    let id = TrashId(name.to_string());
    let path = trash.path.join(name);
    let location = trash.place(name.as_bytes());
    let opened = match trash.open(name.as_bytes()) {
        Ok(Some(opened)) => opened,
        Ok(None) => return None,
        Err(error) => {
            let why = chain(&error);
            return Some(TrashFacts {
                id,
                manifest: Known::unknown(&why),
                data: Known::unknown(&why),
                location: Known::unknown(why),
                bare: false,
            });
        }
    };
    let folder = Folder {
        fd: opened.as_fd(),
        path: &path,
        location: &location,
        ..*trash
    };
    let data = match sys::open_beneath(folder.fd, b"data") {
        Ok(data) => identity(data.as_fd(), folder.filesystem),
        Err(OpenError::Missing) => Known::Absent,
        Err(error) => Known::unknown(format!(
            "{} can't be opened: {}",
            folder.path.join("data"),
            chain(&error)
        )),
    };
    let manifest = manifest(&folder, &id);
    Some(TrashFacts {
        bare: manifest == Known::Absent && is_bare(&folder),
        manifest,
        data,
        location: Known::Known(folder.place(b"data")),
        id,
    })
}

/// Whether nothing lies in an entry without a manifest but what a crash leaves there: half a manifest,
/// and, on a prepared MOUNT, a `data` to which nothing was moved yet.
fn is_bare(entry: &Folder<'_>) -> bool {
    let Ok(names) = sys::list(entry.fd, 8) else {
        return false;
    };
    names.iter().all(|(name, ..)| match name.as_bytes() {
        b".manifest.json.new" => true,
        b"data" => sys::open_beneath(entry.fd, b"data")
            .is_ok_and(|data| sys::list(&data, 1).is_ok_and(|inside| inside.is_empty())),
        _ => false,
    })
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

fn manifest(entry: &Folder<'_>, id: &TrashId) -> Known<Manifest> {
    let path = entry.path.join("manifest.json");
    let bytes = match sys::read_bounded_at(entry.fd, b"manifest.json", MANIFEST) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing { .. }) => return Known::Absent,
        Err(error) => {
            return Known::unknown(format!("{}: {}", entry.path, chain(&error)));
        }
    };
    let damaged =
        |error: &dyn std::fmt::Display| Known::unknown(format!("{path} is damaged: {error}"));
    match serde_json::from_slice::<Version>(&bytes) {
        Err(error) => return damaged(&error),
        Ok(found) if found.version != u64::from(Manifest::VERSION) => {
            return Known::unknown(format!(
                "{path} has version {}, this program reads version {}",
                found.version,
                Manifest::VERSION
            ));
        }
        Ok(_) => {}
    }
    match serde_json::from_slice::<Manifest>(&bytes) {
        Err(error) => damaged(&error),
        Ok(manifest) if manifest.id != *id => {
            damaged(&format!("it is of the entry {}", manifest.id))
        }
        Ok(manifest) => Known::Known(manifest),
    }
}
