//! Fragments: one file each, as written. Every key is known, every value has its line; whether a
//! value is right is the next stages' question.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;
use toml::de::{DeArray, DeTable, DeValue};

use super::Problem;
use super::keys::{self, SECTIONS};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1 on.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} line {}",
            crate::units::Raw::from(self.file.as_path()),
            self.line
        )
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    /// The value as written.
    pub value: Value,
    /// Its key's place.
    pub place: Place,
}

/// Values by key, such as `sweep.grace`.
pub(super) type Values = BTreeMap<&'static str, Given>;

/// One `[[disks]]` rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DiskFragment {
    pub(super) values: Values,
    pub(super) place: Place,
}

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fragment {
    pub(super) values: Values,
    /// `None`: the file has no `[[disks]]` and no `disks = […]`.
    pub(super) disks: Option<Vec<DiskFragment>>,
}

impl Fragment {
    /// Values that were written down, with their keys.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        given(&self.values, self.disks.as_ref())
    }
}

pub(super) fn given<'a>(
    values: &'a Values,
    disks: Option<&'a Vec<DiskFragment>>,
) -> impl Iterator<Item = (&'static str, &'a Given)> {
    let disks = disks.into_iter().flatten().flat_map(|rule| &rule.values);
    values
        .iter()
        .chain(disks)
        .map(|(name, given)| (*name, given))
}

/// Takes a file's text apart. Every problem is reported, and what is right beside it is kept, so
/// that its values can be checked too.
pub(super) fn parse(file: &Path, text: &str) -> (Fragment, Vec<Problem>) {
    let file = Arc::new(file.to_path_buf());
    let place = |offset: usize| Place {
        file: Arc::clone(&file),
        line: line_of(text, offset),
    };
    let mut fragment = Fragment::default();
    let mut problems = Vec::new();
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            problems.push(Problem::Syntax {
                place: place(error.span().map_or(0, |span| span.start)),
                message: error.message().to_owned(),
            });
            return (fragment, problems);
        }
    };
    for (name, value) in document.get_ref() {
        let here = place(name.span().start);
        let section = name.get_ref().as_ref();
        let value = value.get_ref();
        match SECTIONS.iter().find(|known| **known == section) {
            None => problems.push(Problem::UnknownKey {
                nearest: if value.is_table() || value.is_array() {
                    keys::nearest_section(section)
                } else {
                    keys::nearest_key(section)
                },
                key: section.to_owned(),
                place: here,
            }),
            Some(&"disks") => match value.as_array() {
                Some(rules) => fragment.disks = Some(disks(rules, &place, &mut problems)),
                None => problems.push(not_rules(here)),
            },
            Some(known) => match value.as_table() {
                Some(table) => collect(known, table, &place, &mut fragment.values, &mut problems),
                None => problems.push(Problem::Section {
                    section: known,
                    form: "a section; write its name in brackets on a line of its own, its keys below",
                    place: here,
                }),
            },
        }
    }
    problems.sort_by(|a, b| a.place().cmp(&b.place()));
    (fragment, problems)
}

fn not_rules(place: Place) -> Problem {
    Problem::Section {
        section: "disks",
        form: "an array of tables; write each rule below a line [[disks]]",
        place,
    }
}

fn disks(
    rules: &DeArray<'_>,
    place: &impl Fn(usize) -> Place,
    problems: &mut Vec<Problem>,
) -> Vec<DiskFragment> {
    let mut disks = Vec::new();
    for rule in rules {
        let here = place(rule.span().start);
        let Some(table) = rule.get_ref().as_table() else {
            problems.push(not_rules(here));
            continue;
        };
        let mut values = Values::new();
        collect("disks", table, place, &mut values, problems);
        disks.push(DiskFragment {
            values,
            place: here,
        });
    }
    disks
}

fn collect(
    section: &str,
    table: &DeTable<'_>,
    place: &impl Fn(usize) -> Place,
    values: &mut Values,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in table {
        let full = format!("{section}.{}", name.get_ref());
        let here = place(name.span().start);
        let Some(key) = keys::find(&full) else {
            problems.push(Problem::UnknownKey {
                nearest: keys::nearest_key(&full),
                key: full,
                place: here,
            });
            continue;
        };
        match owned(value.get_ref()) {
            Some(value) => {
                let given = Given { value, place: here };
                values.insert(key.name(), given);
            }
            None => problems.push(Problem::Number {
                key: key.name(),
                place: here,
            }),
        }
    }
}

/// The value without its borrows; `None` for a number that no 64 bits hold.
fn owned(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(moment) => Value::Datetime(*moment),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| owned(item.get_ref()))
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(name, value)| Some((name.get_ref().to_string(), owned(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(Path::new("/etc/mesos-volumed/config.toml"), text)
            .1
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest_known_one() {
        let text = "\n".repeat(10) + "[sweep]\ngracee = \"1h\"\n";
        assert_eq!(
            problems(&text),
            [
                "unknown key sweep.gracee in /etc/mesos-volumed/config.toml line 12; did you mean sweep.grace?"
            ]
        );
    }

    #[test]
    fn every_unknown_key_is_named_in_the_order_of_the_file() {
        assert_eq!(
            problems("wrk_dir = 1\n[swep]\na = 1\n[agent]\nurll = \"\"\n[[disks]]\npath = []\n"),
            [
                "unknown key wrk_dir in /etc/mesos-volumed/config.toml line 1; did you mean agent.work_dir?",
                "unknown key swep in /etc/mesos-volumed/config.toml line 2; did you mean sweep?",
                "unknown key agent.urll in /etc/mesos-volumed/config.toml line 5; did you mean agent.url?",
                "unknown key disks.path in /etc/mesos-volumed/config.toml line 7; did you mean disks.paths?",
            ]
        );
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let [one] = problems("[agent]\nwork_dir = \n").try_into().unwrap();
        assert!(
            one.starts_with("/etc/mesos-volumed/config.toml line 2 is not TOML: "),
            "{one}"
        );
        let [twice] = problems("[sweep]\ngrace = \"1h\"\ngrace = \"2h\"\n")
            .try_into()
            .unwrap();
        assert!(
            twice.contains("line 3") && twice.contains("duplicate key"),
            "{twice}"
        );
    }

    #[test]
    fn a_section_in_another_form_is_refused() {
        assert!(problems("sweep = 5\n")[0].contains("in brackets"));
        assert!(problems("[disks]\ntype = \"PATH\"\n")[0].contains("[[disks]]"));
        assert!(problems("disks = [1]\n")[0].contains("[[disks]]"));
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        assert_eq!(
            problems("[wipe]\nrate = 99999999999999999999\n"),
            [
                "wipe.rate in /etc/mesos-volumed/config.toml line 2: the number is too large; write a smaller one"
            ]
        );
    }

    #[test]
    fn dotted_keys_and_sections_are_the_same() {
        let file = Path::new("/c");
        assert_eq!(
            parse(file, "sweep.grace = \"1h\"").0.values["sweep.grace"].value,
            parse(file, "[sweep]\ngrace = \"1h\"").0.values["sweep.grace"].value,
        );
    }
}
