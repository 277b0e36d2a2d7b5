//! Lists of resources with the arithmetic and the words of Mesos's own class `Resources`
//! (src/common/resources.cpp, src/common/values.cpp).
//!
//! An agent decides with these lists whether it starts, and prints them when it does not. They keep
//! every field of a message, also those that no decision about volumes needs: an empty `disk`, for
//! instance, is not the same as none.

mod arithmetic;
mod entry;
mod index;
mod print;

use std::fmt;

use super::checkpoint::wire;
use super::resource::Resource;
use crate::units::Megabytes;
use arithmetic::fixed;
use index::Index;

pub(in crate::mesos) use arithmetic::joined;
pub use entry::{Entry, Place, SourceFault};
pub(in crate::mesos) use print::{
    TextFormat, lossy, ranges as print_ranges, scalar as print_scalar,
};

/// A list of resources: what can be one entry is one, and nothing stands for zero.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    entries: Vec<Entry>,
    index: Index,
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Resources {
    /// The entries, in the order in which an agent would hold and print them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the first entry lies that has the same metadata as this one, and is wanted.
    fn position(&self, entry: &Entry, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.index.first(&self.entries, entry, wanted)
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry) {
        if entry.is_nothing() {
            return;
        }
        let held = self
            .position(entry, |held| held.addable(entry))
            .and_then(|at| self.entries.get_mut(at));
        match held {
            // Shared ones are counted, not summed.
            Some(held) if held.0.shared.is_some() => {}
            Some(held) => held.increase(entry),
            None => {
                self.index.put(entry, self.entries.len());
                self.entries.push(entry.clone());
            }
        }
    }

    /// Takes an entry away; what becomes nothing leaves its place to the last entry.
    pub fn subtract(&mut self, entry: &Entry) {
        if entry.is_nothing() {
            return;
        }
        let Some(index) = self.position(entry, |held| held.subtractable(entry)) else {
            return;
        };
        let Some(held) = self.entries.get_mut(index) else {
            return;
        };
        if held.0.shared.is_some() {
            self.swap_remove(index);
            return;
        }
        held.decrease(entry);
        let negative = held.0.kind == Some(wire::SCALAR) && fixed(&held.0) < Megabytes::default();
        if negative || held.is_nothing() {
            self.swap_remove(index);
        }
    }

    fn swap_remove(&mut self, at: usize) {
        let gone = self.entries.swap_remove(at);
        self.index.take(&gone, at);
        if let Some(moved) = self.entries.get(at) {
            self.index.take(moved, self.entries.len());
            self.index.put(moved, at);
        }
    }

    /// Whether one of the entries holds this one.
    #[must_use]
    pub fn contains(&self, entry: &Entry) -> bool {
        self.position(entry, |held| held.contains(entry)).is_some()
    }

    fn contains_all(&self, other: &Self) -> bool {
        let mut left = self.clone();
        other.entries.iter().all(|entry| {
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
        let at = self.position(entry, |held| held.same_metadata(entry))?;
        self.entries.get(at)
    }

    /// The list as the agent's log has it where it prints JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let entries: Vec<serde_json::Value> = self
            .entries
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

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.pad("{}");
        }
        let entries: Vec<String> = self.entries.iter().map(ToString::to_string).collect();
        f.pad(&entries.join("; "))
    }
}

#[cfg(test)]
mod tests;
