//! Comparing, adding and taking away single resources, as Mesos's own class does.

use super::entry::Entry;
use crate::mesos::checkpoint::wire;
use crate::units::Megabytes;

impl Entry {
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
    pub(super) fn addable(&self, other: &Self) -> bool {
        if self.0.shared.is_some() || other.0.shared.is_some() {
            return self.same(other);
        }
        self.same_metadata(other) && !self.is_whole() && !self.has_raw_id() && !self.is_volume()
    }

    pub(super) fn subtractable(&self, other: &Self) -> bool {
        if self.0.shared.is_some() || other.0.shared.is_some() {
            return self.same(other);
        }
        let only_as_a_whole = self.is_whole() || self.has_raw_id() || self.is_volume();
        self.same_metadata(other) && (!only_as_a_whole || self.same_value(other))
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        self.subtractable(other) && other.at_most(self)
    }

    pub(super) fn increase(&mut self, by: &Self) {
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

    pub(super) fn decrease(&mut self, by: &Self) {
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

pub(super) fn fixed(message: &wire::Resource) -> Megabytes {
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
