//! Every mount of every namespace, and where a path that the kernel tells lies in its file system.
//!
//! `/proc` tells a path as the walk up its own mount tree, whatever namespace that tree belongs
//! to. A mount id is unique on the host, so that a descriptor is placed by its mount's entry,
//! wherever that is listed. Working directories and mapped files come without a mount id; they are
//! compared with the *windows*: the places where a namespace shows what we look for.

use std::collections::{BTreeSet, HashMap};

use crate::decide::facts::{DeviceNumber, FsClass, FsLocation, MountEntry};
use crate::mesos::paths;
use crate::units::Raw;

/// What is looked for: the place of a root's volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// ROOT and PATH: the folder `volumes`. MOUNT: the root itself.
    pub location: FsLocation,
    /// MOUNT: the directory, on the file system above, that the disk's own mount lies on. Every
    /// copy of that mount, in whatever namespace, lies on the same directory and is no use of the
    /// disk; a bind mount of it lies elsewhere.
    pub own_mount: Option<FsLocation>,
    /// Prepared MOUNT: the directory that the mount of its hidden side lies on. That mount shows
    /// the disk from above and is no use of it; any other one that does is.
    pub hidden: Option<FsLocation>,
}

/// How often a disk may be mounted on itself.
const STACKED: usize = 16;

/// Components below `volumes` that name one volume (`roles/<role>/<id>`) or one trash entry.
const DEPTH: usize = 3;

impl Target {
    /// What is reported once: a volume, a trash entry, or the whole of a MOUNT disk.
    pub(super) fn unit(&self, location: &FsLocation) -> FsLocation {
        let tail = location.path.below(&self.location.path).unwrap_or_default();
        let depth = if self.own_mount.is_some() { 0 } else { DEPTH };
        tail.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .take(depth)
            .fold(self.location.clone(), |unit, name| FsLocation {
                device: unit.device,
                path: unit.path.join(name),
            })
    }
}

/// A mount namespace, as `/proc/<pid>/ns/mnt` names it.
pub(super) type Namespace = Raw;

/// A mount as its own namespace's tree shows it.
#[derive(Clone, Debug)]
struct Listed {
    entry: MountEntry,
    /// From the top of the namespace's tree, not from the reader's root directory.
    mount_point: Raw,
    namespace: Namespace,
    /// A process that sees it.
    pid: i32,
}

/// A text below which a target, or a part of it, is to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Window {
    text: Raw,
    shows: FsLocation,
}

/// A mount that is a use of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountUse {
    pub(super) inside: bool,
    pub(super) location: FsLocation,
    pub(super) mount_point: Raw,
    pub(super) pid: i32,
    pub(super) namespace: Namespace,
    /// The directory it lies on, where that can be told.
    pub(super) lies_on: Option<FsLocation>,
}

/// Where something lies that the kernel told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// In these places of targets; more than one where the text can be read in more ways.
    Within(Vec<FsLocation>),
    /// On another file system, or outside all targets.
    Elsewhere,
    /// Its mount is in no table.
    Unlisted,
    /// On a target's file system, where exactly can't be told.
    Unclear,
}

/// All mounts of the host.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    targets: Vec<Target>,
    devices: BTreeSet<DeviceNumber>,
    by_id: HashMap<u64, Listed>,
    windows: HashMap<Namespace, Vec<Window>>,
    /// The namespace of pid 1, whose paths leak into others.
    host: Namespace,
}

impl Mounts {
    pub(super) fn new(targets: &[Target]) -> Self {
        Self {
            targets: targets.to_vec(),
            devices: targets.iter().map(|t| t.location.device).collect(),
            ..Self::default()
        }
    }

    /// Whether there is nothing to look for.
    pub(super) fn are_unwanted(&self) -> bool {
        self.targets.is_empty()
    }

    pub(super) fn set_host_once(&mut self, namespace: &Namespace) {
        if self.host.is_empty() {
            self.host = namespace.clone();
        }
    }

    /// Takes in the table of a process whose root directory `/proc` tells as `root`. What it shows
    /// of mounts that are listed already does not count, unless `again`.
    pub(super) fn add(
        &mut self,
        namespace: &Namespace,
        root: &Raw,
        pid: i32,
        entries: Vec<MountEntry>,
        again: bool,
    ) {
        for entry in entries {
            if !again && self.by_id.contains_key(&entry.id) {
                continue;
            }
            let mount_point = match (root.as_bytes(), entry.mount_point.as_bytes()) {
                (b"/", _) => entry.mount_point.clone(),
                (_, b"/") => root.clone(),
                (_, [b'/', tail @ ..] | tail) => root.join(tail),
            };
            self.show(namespace, &entry, &mount_point);
            self.by_id.insert(
                entry.id,
                Listed {
                    entry,
                    mount_point,
                    namespace: namespace.clone(),
                    pid,
                },
            );
        }
    }

    /// Whether this namespace is that of pid 1.
    pub(super) fn is_host(&self, namespace: &Namespace) -> bool {
        *namespace == self.host
    }

    /// The containers whose sandbox is itself mounted somewhere, by namespace.
    pub(super) fn sandboxes(&self) -> HashMap<Namespace, BTreeSet<Raw>> {
        let mut found: HashMap<Namespace, BTreeSet<Raw>> = HashMap::new();
        for listed in self.by_id.values() {
            if let Some(path) = paths::container_of(&listed.entry.root)
                && path.is_sandbox
            {
                found
                    .entry(listed.namespace.clone())
                    .or_default()
                    .insert(path.container);
            }
        }
        found
    }

    fn show(&mut self, namespace: &Namespace, entry: &MountEntry, mount_point: &Raw) {
        let windows = self.windows.entry(namespace.clone()).or_default();
        for target in &self.targets {
            let window = if target.location.within(&entry.shown()) {
                // The mount shows the target's file system from above.
                let tail = target.location.path.below(&entry.root).unwrap_or_default();
                Window {
                    text: join(mount_point, tail),
                    shows: target.location.clone(),
                }
            } else if entry.shown().within(&target.location) {
                Window {
                    text: mount_point.clone(),
                    shows: entry.shown(),
                }
            } else {
                continue;
            };
            if !windows.contains(&window) {
                windows.push(window);
            }
        }
    }

    /// The mounts of, and inside, the targets.
    pub(super) fn uses(&self) -> Vec<MountUse> {
        let mut uses = Vec::new();
        for listed in self.by_id.values() {
            if self.is_copy(listed) {
                continue;
            }
            let shown = listed.entry.shown();
            let lies_on = self.lies_on(listed);
            let only = match lies_on.as_slice() {
                [one] => Some(one.clone()),
                [] | [_, _, ..] => None,
            };
            let a_use = |inside: bool, location: FsLocation| MountUse {
                inside,
                location,
                mount_point: listed.mount_point.clone(),
                pid: listed.pid,
                namespace: listed.namespace.clone(),
                lies_on: only.clone(),
            };
            if self.target_of(&shown).is_some() {
                uses.push(a_use(false, shown.clone()));
            }
            for target in self.shown_from_above(listed, &lies_on) {
                uses.push(a_use(false, target.location.clone()));
            }
            for layer in layers(&listed.entry) {
                for location in self.through_windows(&listed.namespace, &layer, |_any| true) {
                    if self.target_of(&location).is_some() {
                        uses.push(a_use(false, location));
                    }
                }
            }
            for location in lies_on {
                if self.target_of(&location).is_some() {
                    uses.push(a_use(true, location));
                }
            }
        }
        uses
    }

    /// Whether this is a MOUNT disk's own mount, as some namespace shows it: on the directory that
    /// it belongs on, or once more on itself, as systemd does with `ReadWritePaths=`.
    fn is_copy(&self, listed: &Listed) -> bool {
        let shown = listed.entry.shown();
        let Some(target) = self.target_of(&shown) else {
            return false;
        };
        if target.own_mount.is_none() || shown != target.location {
            return false;
        }
        let mut listed = listed;
        for _ in 0..STACKED {
            let lies_on = self.lies_on(listed);
            if lies_on.as_slice() == target.own_mount.as_slice() {
                return true;
            }
            match self.by_id.get(&listed.entry.parent) {
                Some(below) if lies_on == [shown.clone()] && below.entry.shown() == shown => {
                    listed = below;
                }
                Some(_) | None => return false,
            }
        }
        false
    }

    /// The prepared MOUNT disks of which this mount shows more than their root, and which is not
    /// the one of their hidden side, nor a copy of it in another namespace.
    fn shown_from_above(&self, listed: &Listed, lies_on: &[FsLocation]) -> Vec<&Target> {
        let shown = listed.entry.shown();
        self.targets
            .iter()
            .filter(|target| {
                target.hidden.as_ref().is_some_and(|hidden| {
                    target.location.within(&shown)
                        && target.location != shown
                        && lies_on != [hidden.clone()]
                        // Mounted on itself, as systemd does with `ReadWritePaths=`.
                        && lies_on != [shown.clone()]
                })
            })
            .collect()
    }

    /// The directory that a mount lies on. Where the mount below is not shown (in a changed root),
    /// what the text says.
    fn lies_on(&self, listed: &Listed) -> Vec<FsLocation> {
        let below = self
            .by_id
            .get(&listed.entry.parent)
            .filter(|below| below.entry.id != listed.entry.id)
            .and_then(|below| Some((below, listed.mount_point.below(&below.mount_point)?)));
        match below {
            Some((below, tail)) => vec![FsLocation {
                device: below.entry.device,
                path: join(&below.entry.root, tail),
            }],
            // Not through the window that this mount is itself.
            None => self.through_windows(&listed.namespace, &listed.mount_point, |window| {
                window.text != listed.mount_point
            }),
        }
    }

    fn target_of(&self, location: &FsLocation) -> Option<&Target> {
        self.targets
            .iter()
            .find(|target| location.within(&target.location))
    }

    /// What is reported once for this place.
    pub(super) fn unit(&self, location: &FsLocation) -> FsLocation {
        match self.target_of(location) {
            Some(target) => target.unit(location),
            None => location.clone(),
        }
    }

    /// Whether this device number of `stat` or of `maps` can be a target's. Those of btrfs are
    /// anonymous there, so that none of them can be told apart.
    pub(super) fn may_be_target(&self, device: DeviceNumber) -> bool {
        self.devices.contains(&device)
            || (device.major == 0 && self.devices.iter().any(|target| target.major == 0))
    }

    /// Places what a descriptor leads to: its mount id and the text of its link.
    pub(super) fn place_opened(&self, mount_id: u64, text: &Raw) -> Placed {
        let Some(listed) = self.by_id.get(&mount_id) else {
            return Placed::Unlisted;
        };
        if !self.devices.contains(&listed.entry.device) {
            return Placed::Elsewhere;
        }
        let locations: Vec<FsLocation> = readings(text)
            .iter()
            .filter_map(|text| {
                let tail = text.below(&listed.mount_point)?;
                Some(FsLocation {
                    device: listed.entry.device,
                    path: join(&listed.entry.root, tail),
                })
            })
            .collect();
        if locations.is_empty() {
            return match self.place_text(&listed.namespace, text) {
                Placed::Within(locations) => Placed::Within(locations),
                Placed::Elsewhere | Placed::Unlisted | Placed::Unclear => Placed::Unclear,
            };
        }
        self.within(locations)
    }

    /// Places what is told by a text alone, in a namespace.
    pub(super) fn place_text(&self, namespace: &Namespace, text: &Raw) -> Placed {
        let locations = readings(text)
            .iter()
            .flat_map(|text| self.through_windows(namespace, text, |_any| true))
            .collect();
        self.within(locations)
    }

    /// Places what the kernel itself uses, as the namespace of pid 1 sees it.
    pub(super) fn place_on_host(&self, text: &Raw) -> Placed {
        self.place_text(&self.host, text)
    }

    /// Places a mapped file: its device number is known too, which tells when the text does not
    /// belong to this namespace.
    pub(super) fn place_mapped(
        &self,
        namespace: &Namespace,
        device: DeviceNumber,
        text: &Raw,
    ) -> Placed {
        if let Placed::Within(locations) = self.place_text(namespace, text) {
            return Placed::Within(locations);
        }
        if !self.devices.contains(&device) {
            return Placed::Elsewhere;
        }
        let everywhere: Vec<FsLocation> = self
            .windows
            .keys()
            .flat_map(|other| self.through(other, text, |_any| true))
            .filter(|location| location.device == device)
            .collect();
        if let Placed::Within(locations) = self.within(everywhere) {
            return Placed::Within(locations);
        }
        // Below a layered file system the device is that of a layer's.
        let shown = self.by_id.values().any(|listed| {
            (listed.entry.device == device || listed.entry.class() == FsClass::Layered)
                && listed.namespace == *namespace
                && text.below(&listed.mount_point).is_some()
        });
        if shown {
            Placed::Elsewhere
        } else {
            Placed::Unclear
        }
    }

    fn within(&self, locations: Vec<FsLocation>) -> Placed {
        let within: Vec<FsLocation> = locations
            .into_iter()
            .filter(|location| self.target_of(location).is_some())
            .collect();
        if within.is_empty() {
            Placed::Elsewhere
        } else {
            Placed::Within(within)
        }
    }

    fn through_windows(
        &self,
        namespace: &Namespace,
        text: &Raw,
        wanted: impl Fn(&Window) -> bool + Copy,
    ) -> Vec<FsLocation> {
        let mut found = self.through(namespace, text, wanted);
        if *namespace != self.host {
            found.extend(self.through(&self.host, text, wanted));
        }
        found.sort();
        found.dedup();
        found
    }

    fn through(
        &self,
        namespace: &Namespace,
        text: &Raw,
        wanted: impl Fn(&Window) -> bool,
    ) -> Vec<FsLocation> {
        self.windows
            .get(namespace)
            .into_iter()
            .flatten()
            .filter(|window| wanted(window))
            .filter_map(|window| {
                let tail = text.below(&window.text)?;
                Some(FsLocation {
                    device: window.shows.device,
                    path: join(&window.shows.path, tail),
                })
            })
            .collect()
    }
}

fn join(base: &Raw, tail: &[u8]) -> Raw {
    match tail {
        [] => base.clone(),
        tail => base.join(tail),
    }
}

/// The directories that an overlay mount is made of, as far as they are told from the top: what
/// was given relative to a directory of the mounter can't be placed.
fn layers(entry: &MountEntry) -> Vec<Raw> {
    const OPTIONS: [&[u8]; 5] = [
        b"lowerdir=",
        b"upperdir=",
        b"workdir=",
        b"lowerdir+=",
        b"datadir+=",
    ];
    if entry.class() != FsClass::Layered {
        return Vec::new();
    }
    let mut layers = Vec::new();
    for option in entry.super_options.as_bytes().split(|&byte| byte == b',') {
        let Some(value) = OPTIONS.iter().find_map(|name| option.strip_prefix(*name)) else {
            continue;
        };
        // A colon parts two directories, `\:` is one in a name.
        let mut layer = Vec::new();
        let mut bytes = value.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b':' => layers.push(std::mem::take(&mut layer)),
                b'\\' => layer.extend(bytes.next()),
                byte => layer.push(byte),
            }
        }
        layers.push(layer);
    }
    layers
        .into_iter()
        .filter(|layer| layer.first() == Some(&b'/'))
        .map(Raw::new)
        .collect()
}

/// The ways to read a path that the kernel tells: it marks a removed file by a suffix that a name
/// may have too.
fn readings(text: &Raw) -> Vec<Raw> {
    match text.as_bytes().strip_suffix(b" (deleted)") {
        Some(head) => vec![text.clone(), Raw::from(head)],
        None => vec![text.clone()],
    }
}
