//! Places that lie in one another: a root inside a volume, a volume inside a held volume, two
//! roots that are one directory. Mesos takes all of them (F§11); what holds or lies in something
//! else that is in use is nobody's garbage.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::Claims;
use super::facts::{FsLocation, Known};
use super::guards::{Reason, Refusal};
use super::roots::RootView;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::Raw;

/// Where held volumes and roots lie in their file systems.
#[derive(Debug)]
pub(in crate::decide) struct Overlap<'a> {
    held: BTreeMap<FsLocation, &'a VolumeKey>,
    roots: BTreeMap<FsLocation, Vec<&'a DiskRef>>,
    /// Roots of which nobody knows now where they lie, by their text.
    unplaced: BTreeMap<&'a Raw, Vec<&'a DiskRef>>,
}

impl<'a> Overlap<'a> {
    pub(in crate::decide) fn new(
        claims: &Claims,
        views: &'a [RootView<'a>],
        named: &BTreeSet<&'a VolumeKey>,
    ) -> Self {
        let mut held = BTreeMap::new();
        let mut roots: BTreeMap<FsLocation, Vec<&DiskRef>> = BTreeMap::new();
        let mut unplaced: BTreeMap<&Raw, Vec<&DiskRef>> = BTreeMap::new();
        for view in views {
            let disk = &view.root.disk;
            for (key, dir) in &view.dirs {
                if let Some(key) = named.get(key)
                    && let Known::Known(location) = &dir.location
                {
                    held.insert(location.clone(), *key);
                }
            }
            let Some(mount) = view.root.mount.known() else {
                unplaced.entry(&disk.root).or_default().push(disk);
                continue;
            };
            let location = &mount.location;
            for key in claims.on(disk).filter_map(|(key, _)| named.get(key)) {
                let place = match disk.kind {
                    DiskType::Mount => location.clone(),
                    DiskType::Root | DiskType::Path => FsLocation {
                        device: location.device,
                        path: location.path.join(paths::volume_directory(key)),
                    },
                };
                held.insert(place, *key);
            }
            roots.entry(location.clone()).or_default().push(disk);
        }
        Self {
            held,
            roots,
            unplaced,
        }
    }

    /// Why the place of `key` under the root `own` is not to be touched; `path` is its text.
    pub(in crate::decide) fn reasons(
        &self,
        own: &DiskRef,
        key: &VolumeKey,
        location: &FsLocation,
        path: &Raw,
        reasons: &mut Vec<Reason>,
    ) {
        for prefix in prefixes(&location.path) {
            let place = FsLocation {
                device: location.device,
                path: prefix,
            };
            if let Some(holder) = self.held.get(&place)
                && *holder != key
            {
                let how = if place == *location {
                    "it is the directory of"
                } else {
                    "it lies inside"
                };
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("{how} held volume {holder}"),
                ));
            }
        }
        for (place, holder) in below(&self.held, location) {
            if *holder != key && place != location {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("held volume {holder} lies inside it"),
                ));
            }
        }
        let placed = below(&self.roots, location).flat_map(|(_, disks)| disks);
        let unplaced = self
            .unplaced
            .range::<Raw, _>(path..)
            .take_while(|(text, _)| text.as_bytes().starts_with(path.as_bytes()))
            .filter(|(text, _)| text.below(path).is_some())
            .flat_map(|(_, disks)| disks);
        for disk in placed.chain(unplaced) {
            if *disk != own {
                reasons.push(Reason::new(
                    Refusal::MountInside,
                    format!("{disk} lies inside it"),
                ));
            }
        }
    }
}

/// What lies in a place, the place itself included. Everything below a path shares its bytes as a
/// prefix, so it stands in one run; a sibling such as `a-old` may stand between `a` and `a/…`.
fn below<'m, T>(
    map: &'m BTreeMap<FsLocation, T>,
    location: &'m FsLocation,
) -> impl Iterator<Item = (&'m FsLocation, &'m T)> {
    map.range(location..)
        .take_while(move |(place, _)| {
            place.device == location.device
                && place.path.as_bytes().starts_with(location.path.as_bytes())
        })
        .filter(move |(place, _)| place.within(location))
}

/// The path and every directory above it.
fn prefixes(path: &Raw) -> impl Iterator<Item = Raw> + '_ {
    let bytes = path.as_bytes();
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(index, byte)| **byte == b'/' && *index > 0)
        .map(|(index, _)| index)
        .chain((bytes.len() > 1).then_some(bytes.len()));
    std::iter::once(Raw::from("/"))
        .chain(ends.filter_map(move |end| bytes.get(..end).map(Raw::from)))
}
