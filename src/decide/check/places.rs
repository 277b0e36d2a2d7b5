//! Places in file systems: who uses them, and what lies in what.

use std::collections::BTreeSet;

use super::named::Named;
use super::{Reader, Verdict, must};
use crate::decide::facts::{
    DeviceNumber, Facts, FsLocation, Known, PidNamespace, RootFacts, RootMount,
};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::Raw;

type Spot = (DeviceNumber, Raw);

#[derive(Debug)]
pub(super) struct Places {
    /// Every directory with a holder in it, up to the file system's root.
    used: BTreeSet<Spot>,
    /// Every directory with a root or a held volume in it.
    inhabited: BTreeSet<Spot>,
    /// The directories of held volumes.
    held: BTreeSet<Spot>,
    /// The texts of roots of which nobody knows where they lie.
    unplaced: Vec<Raw>,
}

impl Places {
    pub(super) fn read(facts: &Facts, named: &Named) -> Self {
        let mut places = Self {
            used: BTreeSet::new(),
            inhabited: BTreeSet::new(),
            held: BTreeSet::new(),
            unplaced: Vec::new(),
        };
        for holder in facts.holders.known().into_iter().flatten() {
            places.used.extend(upward(&holder.location));
        }
        for root in &facts.roots {
            let Known::Known(mount) = &root.mount else {
                places.unplaced.push(root.disk.root.clone());
                continue;
            };
            places.inhabited.extend(upward(&mount.location));
            for dir in root.dirs.known().into_iter().flatten() {
                if let Known::Known(location) = &dir.location
                    && named.holds(&crate::decide::roots::dir_key(dir))
                {
                    places.hold(location);
                }
            }
        }
        for (disk, key) in named.places() {
            if !named.holds(key) {
                continue;
            }
            for root in facts.roots.iter().filter(|root| root.disk == *disk) {
                if let Known::Known(mount) = &root.mount {
                    let mut place = mount.location.clone();
                    if disk.kind != DiskType::Mount {
                        place.path = place.path.join(paths::volume_directory(key));
                    }
                    places.hold(&place);
                }
            }
        }
        places
    }

    fn hold(&mut self, place: &FsLocation) {
        self.held.insert((place.device, place.path.clone()));
        self.inhabited.extend(upward(place));
    }

    pub(super) fn in_use(&self, place: &FsLocation) -> bool {
        self.used.contains(&(place.device, place.path.clone()))
    }

    /// Nothing else lies in the place, and it lies in no held volume.
    pub(super) fn apart(&self, place: &FsLocation, text: &Raw) -> Verdict {
        must(
            !self.inhabited.contains(&(place.device, place.path.clone())),
            || format!("a root or a held volume lies in {text}"),
        )?;
        must(!upward(place).any(|spot| self.held.contains(&spot)), || {
            format!("{text} lies in a held volume")
        })?;
        must(
            !self.unplaced.iter().any(|root| root.below(text).is_some()),
            || format!("a root that is not there lies in {text}"),
        )
    }
}

impl Reader<'_> {
    /// No process, mount or task uses the directory of a held volume, and no root and no other held
    /// volume shares its place.
    pub(super) fn held_alone(
        &self,
        key: &VolumeKey,
        location: &Known<FsLocation>,
        text: &Raw,
    ) -> Verdict {
        let place = self.quiet(key, location)?;
        for (device, path) in &self.places.held {
            let other = FsLocation {
                device: *device,
                path: path.clone(),
            };
            must(
                other == *place || !(within(&other, place) || within(place, &other)),
                || format!("another held volume shares its place with {text}"),
            )?;
        }
        for root in &self.facts.roots {
            let inside = match &root.mount {
                Known::Known(mount) => within(&mount.location, place),
                Known::Absent | Known::Unknown(_) => root.disk.root.below(text).is_some(),
            };
            must(!inside, || format!("{} lies in {text}", root.disk))?;
        }
        Ok(())
    }

    /// No process, mount or task uses the place, nothing else lies in it, and it lies in nothing
    /// that is held.
    pub(super) fn unused(
        &self,
        key: &VolumeKey,
        location: &Known<FsLocation>,
        text: &Raw,
    ) -> Verdict {
        self.places.apart(self.quiet(key, location)?, text)
    }

    /// The place of a volume, which nothing uses, as far as everybody who knows was asked.
    fn quiet<'l>(
        &self,
        key: &VolumeKey,
        location: &'l Known<FsLocation>,
    ) -> Result<&'l FsLocation, String> {
        self.seen_by_all(key)?;
        let place = location
            .known()
            .ok_or("its place in the file system is unknown")?;
        must(!self.places.in_use(place), || format!("{key} is in use"))?;
        Ok(place)
    }

    pub(super) fn seen_by_all(&self, key: &VolumeKey) -> Verdict {
        let facts = self.facts;
        must(!matches!(facts.tasks, Known::Unknown(_)), || {
            "tasks are unknown".to_owned()
        })?;
        must(!self.named.by_task(key), || format!("a task uses {key}"))?;
        self.all_seen(key)?;
        must(matches!(facts.holders, Known::Known(_)), || {
            "holders are unknown".to_owned()
        })
    }

    fn all_seen(&self, what: &dyn std::fmt::Display) -> Verdict {
        must(
            self.facts.policy.pid_namespace == PidNamespace::Own
                || self.facts.host.initial_pid_namespace == Known::Known(true),
            || format!("not all processes that may use {what} can be seen"),
        )
    }

    /// No process and no mount uses a MOUNT disk.
    pub(super) fn not_in_use(&self, root: &RootFacts, mount: &RootMount) -> Verdict {
        let text = &root.disk.root;
        let holders = self.facts.holders.known().ok_or("holders are unknown")?;
        for holder in holders {
            must(!within(&holder.location, &mount.location), || {
                format!("{text} is in use by pid {}", holder.pid)
            })?;
        }
        self.all_seen(text)
    }

    /// The same for a MOUNT disk, whose own place does not count. Its own mount is not among the
    /// holders.
    pub(super) fn mount_unused(&self, root: &RootFacts, mount: &RootMount) -> Verdict {
        let text = &root.disk.root;
        self.not_in_use(root, mount)?;
        for other in self
            .facts
            .roots
            .iter()
            .filter(|other| other.disk != root.disk)
        {
            let inside = match &other.mount {
                Known::Known(theirs) => within(&theirs.location, &mount.location),
                Known::Absent | Known::Unknown(_) => other.disk.root.below(text).is_some(),
            };
            must(!inside, || format!("{} lies in {text}", other.disk))?;
        }
        for (device, path) in &self.places.held {
            let held = FsLocation {
                device: *device,
                path: path.clone(),
            };
            must(
                !within(&held, &mount.location) && !within(&mount.location, &held),
                || format!("a held volume shares its place with {text}"),
            )?;
        }
        self.all_seen(text)
    }
}

fn within(inner: &FsLocation, outer: &FsLocation) -> bool {
    inner.device == outer.device && inner.path.below(&outer.path).is_some()
}

/// The place and every directory above it.
fn upward(place: &FsLocation) -> impl Iterator<Item = Spot> {
    let device = place.device;
    let mut next = Some(place.path.as_bytes().to_vec());
    std::iter::from_fn(move || {
        let path = next.take()?;
        if path.len() > 1 {
            let cut = path.iter().rposition(|byte| *byte == b'/')?;
            let mut above = path.clone();
            above.truncate(cut.max(1));
            next = Some(above);
        }
        Some((device, Raw::new(path)))
    })
}
