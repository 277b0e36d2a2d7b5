//! Inputs: the fragments merged, nothing yet validated.
//!
//! A later file wins key by key. `[[disks]]` rules of later files go behind those of earlier ones:
//! the first match wins, so a drop-in can add disks, and can't quietly change what the main file
//! says of one. The built-in rule stands only where no file says anything of `[[disks]]`.

use toml::Value;

use super::Problem;
use super::fragments::{DiskFragment, Fragment, Given, Place, Values, given};
use super::keys::{self, AnyKey, DISK_KEYS, Key, SECTION_KEYS};

/// All files together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    pub(super) values: Values,
    pub(super) disks: Option<Vec<DiskFragment>>,
}

/// A key with the value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The key's name within its section.
    pub name: &'static str,
    /// The value in force.
    pub value: Value,
    /// Where it was given; `None`: it is the default.
    pub place: Option<Place>,
}

/// Merges the fragments in the order given.
pub(super) fn merge(fragments: impl IntoIterator<Item = Fragment>) -> Inputs {
    let mut inputs = Inputs::default();
    for fragment in fragments {
        for (pair, other) in [("root.size", "root.reserve"), ("root.reserve", "root.size")] {
            // Both say the same thing in two ways, so a later file's way replaces the earlier one.
            let says = |key| {
                fragment
                    .values
                    .get(key)
                    .is_some_and(|given: &Given| given.value.as_str() != Some(""))
            };
            if says(pair) && !says(other) {
                inputs.values.remove(other);
            }
        }
        inputs.values.extend(fragment.values);
        if let Some(disks) = fragment.disks {
            inputs.disks.get_or_insert_default().extend(disks);
        }
    }
    inputs
}

/// The default of a key as a TOML value; `None` where the key has none.
fn default_of(key: &dyn AnyKey) -> Option<Value> {
    toml::from_str::<toml::Table>(&format!("it = {}", key.default_text()))
        .ok()?
        .remove("it")
}

fn effective(key: &'static dyn AnyKey, values: &Values) -> Option<Effective> {
    let (value, place) = match values.get(key.name()) {
        Some(Given { value, place }) => (value.clone(), Some(place.clone())),
        // With a size there is no reserve.
        None if key.name().ends_with(".reserve") && says_size(key, values) => return None,
        None => (default_of(key)?, None),
    };
    Some(Effective {
        name: split(key).1,
        value,
        place,
    })
}

fn says_size(reserve: &dyn AnyKey, values: &Values) -> bool {
    let size = format!("{}.size", split(reserve).0);
    values
        .get(size.as_str())
        .is_some_and(|given| given.value.as_str() != Some(""))
}

fn split(key: &dyn AnyKey) -> (&'static str, &'static str) {
    key.name().split_once('.').unwrap_or(("", key.name()))
}

impl Inputs {
    /// Every section but `[[disks]]`, with the values in force.
    #[must_use]
    pub fn sections(&self) -> Vec<(&'static str, Vec<Effective>)> {
        SECTION_KEYS
            .chunk_by(|a, b| split(*a).0 == split(*b).0)
            .filter_map(|keys| {
                let values = keys.iter().filter_map(|key| effective(*key, &self.values));
                Some((split(*keys.first()?).0, values.collect()))
            })
            .collect()
    }

    /// Every `[[disks]]` rule with the values in force.
    #[must_use]
    pub fn disks(&self) -> Vec<Vec<Effective>> {
        let rules = self.disk_rules();
        let mut shown: Vec<_> = rules
            .iter()
            .map(|rule| {
                DISK_KEYS
                    .iter()
                    .filter_map(|key| effective(*key, &rule.values))
                    .collect::<Vec<_>>()
            })
            .collect();
        if self.disks.is_none() {
            for key in shown.iter_mut().flatten() {
                key.place = None;
            }
        }
        shown
    }

    /// The `[[disks]]` rules as written, or the built-in one.
    pub(super) fn disk_rules(&self) -> Vec<DiskFragment> {
        match &self.disks {
            Some(disks) => disks.clone(),
            None => default_disks(),
        }
    }

    /// Values that were written down and are in force, with their keys.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        given(&self.values, self.disks.as_ref())
    }
}

/// The built-in rule; its places say nothing, because no file gave it.
fn default_disks() -> Vec<DiskFragment> {
    super::fragments::parse(std::path::Path::new("built in"), keys::DEFAULT_DISKS)
        .0
        .disks
        .unwrap_or_default()
}

/// What a key stands for: its written value, or its default.
pub(super) fn read<T>(key: &Key<T>, values: &Values) -> Result<T, Problem> {
    let wrong = |place, source| Problem::Value {
        key: key.name(),
        place,
        source,
    };
    match values.get(key.name()) {
        Some(given) => key
            .read(&given.value)
            .map_err(|source| wrong(Some(given.place.clone()), source)),
        None => match default_of(key) {
            Some(value) => key.read(&value).map_err(|source| wrong(None, source)),
            None => Err(Problem::Missing { key: key.name() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::fragments::parse;
    use super::*;

    fn merged(files: &[&str]) -> Inputs {
        merge(
            files
                .iter()
                .enumerate()
                .map(|(number, text)| parse(Path::new(&format!("/{number}.toml")), text).0),
        )
    }

    #[test]
    fn a_later_file_wins_key_by_key() {
        let inputs = merged(&[
            "[sweep]\ngrace = \"1h\"\nevery = \"1m\"\n",
            "[sweep]\ngrace = \"2h\"\n",
        ]);
        let shown = |name| {
            let sections = inputs.sections();
            let (_, keys) = sections.iter().find(|(of, _)| *of == "sweep").unwrap();
            keys.iter().find(|one| one.name == name).unwrap().clone()
        };
        assert_eq!(shown("grace").value.as_str(), Some("2h"));
        assert_eq!(shown("grace").place.unwrap().to_string(), "/1.toml line 2");
        assert_eq!(shown("every").value.as_str(), Some("1m"));
        assert_eq!(shown("settle").place, None);
    }

    #[test]
    fn rules_of_later_files_go_behind_those_of_earlier_ones() {
        let rule = |path: &str| format!("[[disks]]\ntype = \"PATH\"\npaths = [\"{path}\"]\n");
        let inputs = merged(&[&rule("/a"), &rule("/b")]);
        let paths: Vec<_> = inputs
            .disks()
            .into_iter()
            .flatten()
            .filter(|one| one.name == "paths")
            .map(|one| one.value.to_string())
            .collect();
        assert_eq!(paths, ["[\"/a\"]", "[\"/b\"]"]);
    }

    #[test]
    fn the_built_in_rule_stands_only_where_no_file_speaks_of_disks() {
        assert_eq!(merged(&[""]).disks().len(), 1);
        assert!(merged(&["disks = []"]).disks().is_empty());
        assert_eq!(
            merged(&["[[disks]]\ntype = \"PATH\"\npaths = [\"/a\"]"])
                .disks()
                .len(),
            1
        );
    }

    #[test]
    fn a_later_size_replaces_an_earlier_reserve_and_the_other_way_round() {
        let (reserve, size) = ("[root]\nreserve = \"1GiB\"", "[root]\nsize = \"2GiB\"");
        let inputs = merged(&[reserve, size]);
        assert!(!inputs.values.contains_key("root.reserve"));
        let inputs = merged(&[size, reserve]);
        assert!(!inputs.values.contains_key("root.size"));
        let inputs = merged(&[reserve, "[root]\nsize = \"\""]);
        assert!(inputs.values.contains_key("root.reserve"));
    }
}
