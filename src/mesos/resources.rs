//! Lists of resources with the arithmetic and the words of Mesos's own class `Resources`
//! (src/common/resources.cpp, src/common/values.cpp).
//!
//! An agent decides with these lists whether it starts, and prints them when it does not. They keep
//! every field of a message, also those that no decision about volumes needs: an empty `disk`, for
//! instance, is not the same as none.

mod print;

use std::fmt;

use super::checkpoint::{encode_resource, wire};
use super::ids::{Role, VolumeKey};
use super::resource::Resource;
use crate::units::{Megabytes, Raw};

pub(in crate::mesos) use print::{
    TextFormat, lossy, ranges as print_ranges, scalar as print_scalar,
};

/// One resource, in the form after reservation refinement.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry(wire::Resource);

/// What a resource lies on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It is no disk.
    NoDisk,
    /// The agent's work_dir.
    Root,
    /// A `disk` object without a source: offered as the work_dir, and refused by the master for
    /// volumes.
    EmptyDiskInfo,
    /// A carved-up directory, with its root; without one the agent refuses.
    Path(Option<Raw>),
    /// A whole file system, with its root; without one the agent refuses.
    Mount(Option<Raw>),
    /// BLOCK, RAW or another type, which the agent refuses.
    Unsupported,
}

/// What an agent finds wrong with a disk's message before it looks at the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// It exits with this text.
    Exit(String),
    /// It aborts at this check.
    Abort(&'static str),
}

impl Entry {
    /// The entry of a message that is in the form after refinement.
    pub(in crate::mesos) fn new(message: wire::Resource) -> Self {
        Self(message)
    }

    pub(in crate::mesos) fn into_message(self) -> wire::Resource {
        self.0
    }

    /// Its fields in protobuf's text format.
    pub(in crate::mesos) fn write(&self, text: &mut TextFormat) {
        print::text_resource(text, &self.0);
    }

    /// `disk`, `cpus`, …
    #[must_use]
    pub fn name(&self) -> String {
        lossy(self.0.name.as_ref())
    }

    fn source(&self) -> Option<&wire::Source> {
        self.0.disk.as_ref()?.source.as_ref()
    }

    /// What it lies on.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.0.name.as_deref() != Some(b"disk") {
            return Place::NoDisk;
        }
        let root = |member: &Option<wire::Root>| {
            member
                .as_ref()
                .and_then(|member| member.root.clone())
                .map(Raw::new)
        };
        match (&self.0.disk, self.source()) {
            (None, _) => Place::Root,
            (Some(disk), None) if disk.persistence.is_some() => Place::Root,
            (Some(_), None) => Place::EmptyDiskInfo,
            (Some(_), Some(source)) => match source.kind {
                Some(wire::PATH) => Place::Path(root(&source.path)),
                Some(wire::MOUNT) => Place::Mount(root(&source.mount)),
                Some(_) | None => Place::Unsupported,
            },
        }
    }

    /// Whether `source.id` is set, which moves the directories of volumes.
    #[must_use]
    pub fn has_source_id(&self) -> bool {
        self.source().is_some_and(|source| source.id.is_some())
    }

    /// How an operator would name it: `MOUNT:/dcos/volume0`, `ROOT`, `cpus`; with the role where it
    /// is reserved.
    #[must_use]
    pub fn label(&self) -> String {
        let name = match self.place() {
            Place::NoDisk => self.name(),
            Place::Root => "ROOT".to_owned(),
            Place::EmptyDiskInfo => "disk with an empty DiskInfo".to_owned(),
            Place::Path(_) | Place::Mount(_) | Place::Unsupported => {
                self.source().map_or_else(String::new, print::source)
            }
        };
        match self.role() {
            None => name,
            Some(role) => format!("{name} of role {role}"),
        }
    }

    /// The number, where it has one.
    #[must_use]
    pub fn scalar(&self) -> Option<Megabytes> {
        self.0.scalar.as_ref()?.value.and_then(Megabytes::from_f64)
    }

    /// The same with another number; of ranges and sets, the same.
    #[must_use]
    pub fn with_scalar(&self, number: Megabytes) -> Self {
        let mut entry = self.clone();
        if let Some(scalar) = &mut entry.0.scalar {
            scalar.value = Some(number.as_f64());
        }
        entry
    }

    /// The value as Mesos prints it.
    #[must_use]
    pub fn value_text(&self) -> String {
        print::value(&self.0)
    }

    /// The role of the last reservation; `None` when unreserved.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        let last = self.0.reservations.last()?;
        Some(Role::new(last.role.clone().unwrap_or_default()))
    }

    fn is_dynamic(&self) -> bool {
        self.0
            .reservations
            .last()
            .is_some_and(|last| last.kind == Some(wire::DYNAMIC))
    }

    /// Whether it is a persistent volume.
    #[must_use]
    pub fn is_volume(&self) -> bool {
        self.0
            .disk
            .as_ref()
            .is_some_and(|disk| disk.persistence.is_some())
    }

    /// Role and persistence id of a volume.
    #[must_use]
    pub fn volume_key(&self) -> Option<VolumeKey> {
        let id = self.0.disk.as_ref()?.persistence.as_ref()?.id.clone()?;
        let role = self.role().unwrap_or_else(|| Role::new("*"));
        Some(VolumeKey::new(role, super::ids::PersistenceId::new(id)))
    }

    /// Where the agent keeps the data of this volume; `None` for what is no volume, or has no
    /// directory.
    #[must_use]
    pub fn volume_path(&self, work_dir: &Raw) -> Option<Raw> {
        let key = self.volume_key()?;
        let below = |root: Raw| {
            let root = anchored(work_dir, root);
            match self.source().and_then(|one| one.id.as_ref()) {
                // A volume of CSI; no operator writes one.
                Some(id) => root.join(percent_encoded(id)).join("target"),
                None => root,
            }
        };
        match self.place() {
            Place::Root => Some(work_dir.join(super::paths::volume_directory(&key))),
            Place::Path(Some(root)) => Some(below(root).join(super::paths::volume_directory(&key))),
            Place::Mount(Some(root)) => Some(below(root)),
            Place::NoDisk
            | Place::EmptyDiskInfo
            | Place::Path(None)
            | Place::Mount(None)
            | Place::Unsupported => None,
        }
    }

    /// Whether the agent checkpoints it: reserved dynamically, or a volume, and of no resource
    /// provider.
    #[must_use]
    pub fn is_checkpointed(&self) -> bool {
        self.0.provider_id.is_none() && (self.is_dynamic() || self.is_volume())
    }

    /// What of `--resources` a checkpointed entry stands on: without dynamic reservations,
    /// persistence, container path and sharing.
    #[must_use]
    pub fn stripped(&self) -> Self {
        let mut message = self.0.clone();
        if self.is_dynamic() {
            let first = message.reservations.first();
            let is_static = first.is_some_and(|first| first.kind == Some(wire::STATIC));
            message.reservations.truncate(usize::from(is_static));
        }
        if self.is_volume() {
            clear_volume(&mut message);
        }
        message.shared = None;
        Self(message)
    }

    /// A volume as it is after its DESTROY: the reservation stays.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let mut message = self.0.clone();
        clear_volume(&mut message);
        message.shared = None;
        Self(message)
    }

    /// What the agent finds wrong with this disk's message itself.
    #[must_use]
    pub fn source_fault(&self) -> Option<SourceFault> {
        let source = self.source()?;
        let root_missing = |kind| {
            SourceFault::Exit(format!(
                "{kind} disk root directory is not specified '{self}'"
            ))
        };
        match (source.kind, &source.path, &source.mount) {
            (Some(wire::PATH), None, _) => Some(SourceFault::Abort("source.has_path()")),
            (Some(wire::MOUNT), _, None) => Some(SourceFault::Abort("source.has_mount()")),
            (Some(wire::PATH), Some(path), _) => path.root.is_none().then(|| root_missing("PATH")),
            (Some(wire::MOUNT), _, Some(mount)) => {
                mount.root.is_none().then(|| root_missing("MOUNT"))
            }
            (Some(_) | None, _, _) => Some(SourceFault::Exit(format!(
                "Unsupported 'DiskInfo.Source.Type' in '{self}'"
            ))),
        }
    }

    /// Whether both differ in nothing but their values.
    #[must_use]
    pub fn same_metadata(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.name == other.name
            && one.kind == other.kind
            && one.allocation_info == other.allocation_info
            && one.reservations.len() == other.reservations.len()
            && one
                .reservations
                .iter()
                .zip(&other.reservations)
                .all(|(one, other)| same_reservation(one, other))
            && same_disk(one.disk.as_deref(), other.disk.as_deref())
            && one.revocable.is_some() == other.revocable.is_some()
            && one.provider_id == other.provider_id
            && one.shared.is_some() == other.shared.is_some()
    }

    /// Whether the values are equal, as Mesos compares them.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        match one.kind {
            Some(wire::SCALAR) => fixed(one) == fixed(other),
            Some(wire::RANGES) => coalesced(one) == coalesced(other),
            Some(wire::SET) => {
                let (one, other) = (items(one), items(other));
                one.len() == other.len() && one.iter().all(|item| other.contains(item))
            }
            Some(_) | None => false,
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.same_metadata(other) && self.same_value(other)
    }

    /// Whether this value is within the other one.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        match one.kind {
            Some(wire::SCALAR) => fixed(one) <= fixed(other),
            Some(wire::RANGES) => {
                let wide = coalesced(other);
                coalesced(one).iter().all(|(begin, end)| {
                    wide.iter()
                        .any(|(first, last)| first <= begin && end <= last)
                })
            }
            Some(wire::SET) => {
                let (one, other) = (items(one), items(other));
                one.len() <= other.len() && one.iter().all(|item| other.contains(item))
            }
            Some(_) | None => false,
        }
    }

    /// Whether it stands for nothing: such entries are dropped.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self.0.kind {
            Some(wire::SCALAR) => fixed(&self.0) == Megabytes::default(),
            Some(wire::RANGES) => self
                .0
                .ranges
                .as_ref()
                .is_none_or(|ranges| ranges.range.is_empty()),
            Some(wire::SET) => items(&self.0).is_empty(),
            Some(_) | None => false,
        }
    }

    /// Whether it lies on a disk that is given as a whole or not at all.
    fn is_whole(&self) -> bool {
        self.source()
            .is_some_and(|source| matches!(source.kind, Some(wire::MOUNT | wire::BLOCK)))
    }

    fn has_raw_id(&self) -> bool {
        self.source()
            .is_some_and(|source| source.kind == Some(wire::RAW) && source.id.is_some())
    }

    /// Whether both make one entry when they are added.
    fn addable(&self, other: &Self) -> bool {
        if self.0.shared.is_some() || other.0.shared.is_some() {
            return self.same(other);
        }
        self.same_metadata(other) && !self.is_whole() && !self.has_raw_id() && !self.is_volume()
    }

    fn subtractable(&self, other: &Self) -> bool {
        if self.0.shared.is_some() || other.0.shared.is_some() {
            return self.same(other);
        }
        let only_as_a_whole = self.is_whole() || self.has_raw_id() || self.is_volume();
        self.same_metadata(other) && (!only_as_a_whole || self.same_value(other))
    }

    fn contains(&self, other: &Self) -> bool {
        self.subtractable(other) && other.at_most(self)
    }

    fn increase(&mut self, by: &Self) {
        match self.0.kind {
            Some(wire::SCALAR) => {
                let sum = fixed(&self.0).thousandths();
                set_fixed(&mut self.0, sum.saturating_add(fixed(&by.0).thousandths()));
            }
            Some(wire::RANGES) => {
                let mut all = ranges(&self.0);
                all.extend(ranges(&by.0));
                set_ranges(&mut self.0, joined(all));
            }
            Some(wire::SET) => {
                let more: Vec<Vec<u8>> = items(&by.0).to_vec();
                if let Some(set) = &mut self.0.set {
                    for item in more {
                        if !set.item.contains(&item) {
                            set.item.push(item);
                        }
                    }
                }
            }
            Some(_) | None => {}
        }
    }

    fn decrease(&mut self, by: &Self) {
        match self.0.kind {
            Some(wire::SCALAR) => {
                let rest = fixed(&self.0).thousandths();
                set_fixed(&mut self.0, rest.saturating_sub(fixed(&by.0).thousandths()));
            }
            Some(wire::RANGES) => {
                let left = without(coalesced(&self.0), &coalesced(&by.0));
                set_ranges(&mut self.0, left);
            }
            Some(wire::SET) => {
                let fewer: Vec<Vec<u8>> = items(&by.0).to_vec();
                if let Some(set) = &mut self.0.set {
                    set.item.retain(|item| !fewer.contains(item));
                }
            }
            Some(_) | None => {}
        }
    }
}

impl From<&Resource> for Entry {
    fn from(resource: &Resource) -> Self {
        Self(encode_resource(resource))
    }
}

/// Persistence and container path go; a disk without a source is then no `disk` at all.
fn clear_volume(message: &mut wire::Resource) {
    message.disk = message
        .disk
        .take()
        .filter(|disk| disk.source.is_some())
        .map(|disk| {
            Box::new(wire::DiskInfo {
                persistence: None,
                volume: None,
                source: disk.source,
            })
        });
}

/// Relative roots are meant from the work_dir (include/mesos/mesos.proto).
fn anchored(work_dir: &Raw, root: Raw) -> Raw {
    if root.as_bytes().first() == Some(&b'/') {
        root
    } else {
        work_dir.join(root)
    }
}

fn percent_encoded(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|&byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                vec![byte]
            } else {
                format!("%{byte:02X}").into_bytes()
            }
        })
        .collect()
}

fn same_reservation(one: &wire::ReservationInfo, other: &wire::ReservationInfo) -> bool {
    one.kind.unwrap_or_default() == other.kind.unwrap_or_default()
        && one.role.as_deref().unwrap_or_default() == other.role.as_deref().unwrap_or_default()
        && one.principal == other.principal
        && same_labels(one.labels.as_ref(), other.labels.as_ref())
}

/// The order of labels does not matter, whether they are there at all does.
fn same_labels(one: Option<&wire::Labels>, other: Option<&wire::Labels>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.labels.len() == other.labels.len()
                && one.labels.iter().all(|label| {
                    other.labels.iter().any(|candidate| {
                        candidate.key == label.key
                            && candidate.value.as_deref().unwrap_or_default()
                                == label.value.as_deref().unwrap_or_default()
                    })
                })
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// `volume`, the container path, says how a disk is used, not what it is.
fn same_disk(one: Option<&wire::DiskInfo>, other: Option<&wire::DiskInfo>) -> bool {
    let (one, other) = match (one, other) {
        (None, None) => return true,
        (None, Some(_)) | (Some(_), None) => return false,
        (Some(one), Some(other)) => (one, other),
    };
    let id = |disk: &wire::DiskInfo| {
        disk.persistence
            .as_ref()
            .map(|persistence| persistence.id.clone())
    };
    let sources = match (&one.source, &other.source) {
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some(one), Some(other)) => {
            one.kind == other.kind
                && one.path == other.path
                && one.mount == other.mount
                && one.vendor == other.vendor
                && one.id == other.id
                && same_labels(one.metadata.as_ref(), other.metadata.as_ref())
                && one.profile == other.profile
        }
    };
    sources && id(one) == id(other)
}

fn fixed(message: &wire::Resource) -> Megabytes {
    message
        .scalar
        .as_ref()
        .and_then(|scalar| scalar.value)
        .and_then(Megabytes::from_f64)
        .unwrap_or_default()
}

fn set_fixed(message: &mut wire::Resource, thousandths: i64) {
    message.scalar = Some(wire::Scalar {
        value: Some(Megabytes::from_thousandths(thousandths).as_f64()),
    });
}

fn items(message: &wire::Resource) -> &[Vec<u8>] {
    message.set.as_ref().map_or(&[], |set| &set.item)
}

type Range = (u64, u64);

fn ranges(message: &wire::Resource) -> Vec<Range> {
    message
        .ranges
        .iter()
        .flat_map(|ranges| &ranges.range)
        .map(|range| {
            (
                range.begin.unwrap_or_default(),
                range.end.unwrap_or_default(),
            )
        })
        .collect()
}

fn set_ranges(message: &mut wire::Resource, ranges: Vec<Range>) {
    message.ranges = Some(wire::Ranges {
        range: ranges
            .into_iter()
            .map(|(begin, end)| wire::Range {
                begin: Some(begin),
                end: Some(end),
            })
            .collect(),
    });
}

/// Sorted, and joined where they touch.
pub(in crate::mesos) fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::new();
    for (begin, end) in ranges {
        match joined.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            Some(_) | None => joined.push((begin, end)),
        }
    }
    joined
}

fn coalesced(message: &wire::Resource) -> Vec<Range> {
    joined(ranges(message))
}

fn without(ranges: Vec<Range>, gone: &[Range]) -> Vec<Range> {
    gone.iter().fold(ranges, |left, &(begin, end)| {
        left.into_iter()
            .flat_map(|(first, last)| {
                if end < first || last < begin {
                    return vec![(first, last)];
                }
                let below = begin
                    .checked_sub(1)
                    .filter(|below| first <= *below)
                    .map(|below| (first, below));
                let above = end
                    .checked_add(1)
                    .filter(|above| *above <= last)
                    .map(|above| (above, last));
                below.into_iter().chain(above).collect()
            })
            .collect()
    })
}

/// A list of resources: what can be one entry is one, and nothing stands for zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources(Vec<Entry>);

impl Resources {
    /// The entries, in the order in which an agent would hold and print them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry) {
        if entry.is_nothing() {
            return;
        }
        match self.0.iter_mut().find(|held| held.addable(entry)) {
            // Shared ones are counted, not summed.
            Some(held) if held.0.shared.is_some() => {}
            Some(held) => held.increase(entry),
            None => self.0.push(entry.clone()),
        }
    }

    /// Takes an entry away; what becomes nothing leaves its place to the last entry.
    pub fn subtract(&mut self, entry: &Entry) {
        if entry.is_nothing() {
            return;
        }
        let Some(index) = self.0.iter().position(|held| held.subtractable(entry)) else {
            return;
        };
        let Some(held) = self.0.get_mut(index) else {
            return;
        };
        if held.0.shared.is_some() {
            self.0.swap_remove(index);
            return;
        }
        held.decrease(entry);
        let negative = held.0.kind == Some(wire::SCALAR) && fixed(&held.0) < Megabytes::default();
        if negative || held.is_nothing() {
            self.0.swap_remove(index);
        }
    }

    /// Whether one of the entries holds this one.
    #[must_use]
    pub fn contains(&self, entry: &Entry) -> bool {
        self.0.iter().any(|held| held.contains(entry))
    }

    fn contains_all(&self, other: &Self) -> bool {
        let mut left = self.clone();
        other.0.iter().all(|entry| {
            let there = left.contains(entry);
            if entry.is_volume() {
                left.subtract(entry);
            }
            there
        })
    }

    /// Whether both say the same, in whatever order (Mesos's `==`).
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.contains_all(other) && other.contains_all(self)
    }

    /// The first entry that differs from this one in nothing but the value.
    #[must_use]
    pub fn matching(&self, entry: &Entry) -> Option<&Entry> {
        self.0.iter().find(|held| held.same_metadata(entry))
    }

    /// The list as the agent's log has it where it prints JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let entries: Vec<serde_json::Value> = self
            .0
            .iter()
            .map(|entry| print::json_resource(&entry.0))
            .collect();
        serde_json::Value::Array(entries).to_string()
    }
}

impl FromIterator<Entry> for Resources {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut resources = Self::default();
        for entry in entries {
            resources.add(&entry);
        }
        resources
    }
}

impl<'a> FromIterator<&'a Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = &'a Resource>>(resources: I) -> Self {
        resources.into_iter().map(Entry::from).collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print::resource(&self.0))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.pad("{}");
        }
        let entries: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.pad(&entries.join("; "))
    }
}

#[cfg(test)]
mod tests;
