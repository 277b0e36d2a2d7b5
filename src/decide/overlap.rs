//! Places that lie in one another: a root inside a volume, a volume inside a held volume, two
//! roots that are one directory. Mesos takes all of them (F§11); what holds or lies in something
//! else that is in use is nobody's garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::authority::Claims;
use super::facts::{DeviceNumber, FsLocation, Known};
use super::guards::{Reason, Refusal};
use super::roots::RootView;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::Raw;

/// Something at paths of file systems.
type Spots<T> = BTreeMap<DeviceNumber, BTreeMap<Vec<u8>, T>>;

/// Where held volumes and roots lie in their file systems.
#[derive(Debug)]
pub(in crate::decide) struct Overlap<'a> {
    held: Spots<&'a VolumeKey>,
    roots: Spots<Vec<&'a DiskRef>>,
    /// Roots of which nobody knows now where they lie, by their text.
    unplaced: BTreeMap<&'a Raw, Vec<&'a DiskRef>>,
}

impl<'a> Overlap<'a> {
    pub(in crate::decide) fn new(
        claims: &Claims,
        views: &'a [RootView<'a>],
        named: &BTreeSet<&'a VolumeKey>,
    ) -> Self {
        let mut held: Spots<&VolumeKey> = BTreeMap::new();
        let mut roots: Spots<Vec<&DiskRef>> = BTreeMap::new();
        let mut unplaced: BTreeMap<&Raw, Vec<&DiskRef>> = BTreeMap::new();
        for view in views {
            let disk = &view.root.disk;
            for (key, dir) in &view.dirs {
                if let Some(key) = named.get(key)
                    && let Known::Known(location) = &dir.location
                {
                    let path = location.path.as_bytes().to_vec();
                    held.entry(location.device).or_default().insert(path, *key);
                }
            }
            let Some(mount) = view.root.mount.known() else {
                unplaced.entry(&disk.root).or_default().push(disk);
                continue;
            };
            let location = &mount.location;
            let here = held.entry(location.device).or_default();
            for key in claims.on(disk).filter_map(|(key, _)| named.get(key)) {
                let place = match disk.kind {
                    DiskType::Mount => location.path.clone(),
                    DiskType::Root | DiskType::Path => {
                        location.path.join(paths::volume_directory(key))
                    }
                };
                here.insert(place.as_bytes().to_vec(), *key);
            }
            roots
                .entry(location.device)
                .or_default()
                .entry(location.path.as_bytes().to_vec())
                .or_default()
                .push(disk);
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
        let own_path = location.path.as_bytes();
        let held = self.held.get(&location.device);
        for prefix in prefixes(own_path) {
            if let Some(holder) = held.and_then(|held| held.get(prefix))
                && *holder != key
            {
                let how = if prefix == own_path {
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
        for (place, holder) in below(held, own_path) {
            if *holder != key && place != own_path {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("held volume {holder} lies inside it"),
                ));
            }
        }
        let placed = below(self.roots.get(&location.device), own_path).flat_map(|(_, disks)| disks);
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
    spots: Option<&'m BTreeMap<Vec<u8>, T>>,
    path: &'m [u8],
) -> impl Iterator<Item = (&'m [u8], &'m T)> {
    let all = path == b"/";
    spots
        .into_iter()
        .flat_map(move |spots| spots.range::<[u8], _>((Bound::Included(path), Bound::Unbounded)))
        .map(|(place, what)| (place.as_slice(), what))
        .take_while(move |(place, _)| place.starts_with(path))
        .filter(move |(place, _)| all || matches!(place.get(path.len()), None | Some(b'/')))
}

/// The path and every directory above it.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, byte)| **byte == b'/')
        .map(|(index, _)| index)
        .chain((path != b"/").then_some(path.len()));
    path.get(..1)
        .into_iter()
        .chain(ends.filter_map(move |end| path.get(..end)))
}
