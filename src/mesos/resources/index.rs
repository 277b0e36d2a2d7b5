//! Where the entries of a list lie, by what they are. A host holds tens of thousands of volumes, each of
//! which is looked for in lists of as many.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::entry::Entry;
use crate::mesos::checkpoint::wire;

/// Positions of entries in a list, by a digest of their metadata: those of the same metadata have the
/// same digest, others hardly ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    digests: BTreeMap<u64, Vec<usize>>,
    /// Those that have none. They may be the same as anything.
    odd: Vec<usize>,
}

impl Index {
    /// An entry was put at this position.
    pub(super) fn put(&mut self, entry: &Entry, at: usize) {
        let places = match digest(entry) {
            Some(digest) => self.digests.entry(digest).or_default(),
            None => &mut self.odd,
        };
        let after = places.partition_point(|place| *place < at);
        places.insert(after, at);
    }

    /// The entry at this position is gone from there.
    pub(super) fn take(&mut self, entry: &Entry, at: usize) {
        let Some(digest) = digest(entry) else {
            self.odd.retain(|place| *place != at);
            return;
        };
        if let Some(places) = self.digests.get_mut(&digest) {
            places.retain(|place| *place != at);
            if places.is_empty() {
                self.digests.remove(&digest);
            }
        }
    }

    /// The first of these entries that has the same metadata, as far as the digest tells, and is wanted.
    pub(super) fn first(
        &self,
        entries: &[Entry],
        entry: &Entry,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let Some(digest) = digest(entry) else {
            return entries.iter().position(wanted);
        };
        let among = |places: &[usize]| {
            let mut places = places.iter().copied();
            places.find(|at| entries.get(*at).is_some_and(&wanted))
        };
        let same = self.digests.get(&digest).and_then(|places| among(places));
        same.into_iter().chain(among(&self.odd)).min()
    }
}

/// A digest of what makes one entry differ from another where there are many. `None`: it has a label
/// twice, and Mesos then finds lists of labels the same that are not.
fn digest(entry: &Entry) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    let message = &entry.0;
    message.name.hash(&mut hasher);
    message.reservations.len().hash(&mut hasher);
    for reservation in &message.reservations {
        let role = reservation.role.as_deref().unwrap_or_default();
        (role, &reservation.principal).hash(&mut hasher);
        if let Some(labels) = &reservation.labels {
            sorted(labels)?.hash(&mut hasher);
        }
    }
    if let Some(disk) = &message.disk {
        let persistence = disk.persistence.as_ref();
        persistence.map(|one| &one.id).hash(&mut hasher);
    }
    if let Some(source) = entry.source() {
        for root in [&source.path, &source.mount] {
            root.as_ref().map(|one| &one.root).hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}

/// A label's key and value.
type Pair<'a> = (Option<&'a [u8]>, &'a [u8]);

/// Labels without their order, in which Mesos does not compare them.
fn sorted(labels: &wire::Labels) -> Option<Vec<Pair<'_>>> {
    let mut all: Vec<Pair<'_>> = labels
        .labels
        .iter()
        .map(|label| {
            let value = label.value.as_deref().unwrap_or_default();
            (label.key.as_deref(), value)
        })
        .collect();
    all.sort_unstable();
    let is_twice = all.windows(2).any(|pair| pair.first() == pair.last());
    (!is_twice).then_some(all)
}
