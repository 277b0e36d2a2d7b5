//! A text of `--resources` entry by entry, as it was written, and the disks that are put into it.
//!
//! What is not ours stays: cpus, mem, ports, gpus, disks that nobody here ever advertised, and the
//! vendor, profile and metadata of those that we do. A name stands in one place only: what
//! `resources.extra` names is taken from there alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::parse::read;
use super::{
    DiskEntry, GenerateError, ResourcesError, ResourcesText, SourceExtras, generate_with,
    parse_resources, simple,
};
use crate::mesos::checkpoint::normalise;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::Role;
use crate::mesos::resources::{Entry, Place};
use crate::units::Raw;

/// Resources other than disks, as an operator wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreign(Written);

/// Every entry of a text of `--resources`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    pub(super) items: Vec<Item>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// JSON without space between its tokens.
    pub(super) json: String,
    /// What an agent reads from it.
    entry: Entry,
    extras: SourceExtras,
}

/// Why a text can't be `resources.extra`.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// An entry is a disk.
    #[error(
        "resources.extra names the resource `{name}`; disks come from [root] and [[disks]] alone"
    )]
    Disk {
        /// The name as written.
        name: String,
    },
    /// The agent would not take it.
    #[error("an agent would refuse resources.extra: {0}")]
    Refused(#[source] ResourcesError),
    /// It begins like JSON and is none.
    #[error("resources.extra begins like a JSON array and is none")]
    Json(#[source] serde_json::Error),
    /// An entry can't be written as JSON.
    #[error("an entry of resources.extra can't be written as JSON")]
    Write(#[source] serde_json::Error),
}

/// Why a text can't be read entry by entry.
#[derive(Debug, thiserror::Error)]
pub enum WrittenError {
    /// The agent would not take it.
    #[error("an agent would refuse it: {0}")]
    Refused(#[source] ResourcesError),
    /// It begins like JSON and is none.
    #[error("it begins like a JSON array and is none")]
    Json(#[source] serde_json::Error),
    /// An entry can't be written as JSON.
    #[error("one of its entries can't be written as JSON")]
    Write(#[source] serde_json::Error),
}

/// Why disks can't be put into what is there.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// ROOT is divided, which `[root]` can't say.
    #[error(
        "ROOT stands there for more than one role ({}); [root] gives it to one: leave one entry",
        roles.join(", ")
    )]
    Divided {
        /// The roles.
        roles: Vec<String>,
    },
    /// An entry that no agent can use as a disk.
    #[error(
        "`{entry}` stands there, which is neither ROOT nor a PATH or MOUNT with a root; mend it or \
         take it out"
    )]
    Odd {
        /// The entry, as Mesos prints it.
        entry: String,
    },
    /// An entry whose volumes lie elsewhere than we look.
    #[error(
        "`{entry}` stands there with a source id, which moves the folders of its volumes; take its \
         root out of [[disks]], or the id out of the entry"
    )]
    SourceId {
        /// The entry, as Mesos prints it.
        entry: String,
    },
    /// The same root, spelt in another way.
    #[error(
        "the root {present} stands there, which is {ours} here; an agent compares the text, so that \
         it would be another disk: write it alike, or take it out of [[disks]]"
    )]
    Spelling {
        /// As it is there.
        present: Raw,
        /// As we write it.
        ours: Raw,
    },
    /// The result can't be written.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// The result of [`merge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The resources.
    pub text: ResourcesText,
    /// Disks of others that stay as they are, as Mesos prints them.
    pub kept: Vec<String>,
    /// Entries that something else takes the place of, as Mesos prints them: a name that
    /// `resources.extra` has too, or a disk that is not offered any more.
    pub replaced: Vec<String>,
}

impl Foreign {
    /// `resources.extra`: a JSON array or `name:value;…`, as the agent takes them, without disks.
    pub fn parse(text: &str) -> Result<Self, ForeignError> {
        let is_disk = |name: &str| name.eq_ignore_ascii_case("disk");
        let written = Written::parse(text).map_err(|error| match error {
            WrittenError::Refused(error) => ForeignError::Refused(error),
            WrittenError::Json(error) => ForeignError::Json(error),
            WrittenError::Write(error) => ForeignError::Write(error),
        })?;
        match written
            .items
            .iter()
            .map(|item| item.entry.name())
            .find(|name| is_disk(name))
        {
            Some(name) => Err(ForeignError::Disk { name }),
            None => Ok(Self(written)),
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.0.items
    }
}

impl Written {
    /// The entries of a text, in its order; of one in the simple form, with the same meaning.
    pub fn parse(text: &str) -> Result<Self, WrittenError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let raw: Result<Vec<Box<RawValue>>, _> = serde_json::from_str(text);
        let entries: Vec<String> = match raw {
            Ok(raw) => raw.iter().map(|entry| compact(entry.get())).collect(),
            Err(error) if text.starts_with(['[', '{']) => return Err(WrittenError::Json(error)),
            Err(_) => of_simple_text(text)?,
        };
        let unreserved = Role::new("*");
        let wires = read(&format!("[{}]", entries.join(",")), &unreserved)
            .map_err(WrittenError::Refused)?;
        let items = entries
            .into_iter()
            .zip(wires)
            .map(|(json, wire)| {
                let source = normalise(wire.clone()).ok().and_then(|one| one.source);
                Item {
                    json,
                    extras: source.map(SourceExtras::from).unwrap_or_default(),
                    entry: Entry::new(wire),
                }
            })
            .collect();
        Ok(Self { items })
    }
}

impl From<&ResourcesText> for Written {
    fn from(text: &ResourcesText) -> Self {
        // It was read by the agent's rules when it was made.
        Self::parse(&text.json()).unwrap_or_default()
    }
}

/// The entries of `name(role):value;…` as JSON. A `*` that is written out stays so, since an entry
/// without a role gets the agent's `--default_role`.
fn of_simple_text(text: &str) -> Result<Vec<String>, WrittenError> {
    let under = |role: &str| parse_resources(text, &Role::new(role)).map_err(WrittenError::Refused);
    under("*")?
        .iter()
        .zip(under("mesos-volumed")?)
        .map(|(resource, other)| {
            let says_star = resource.role().is_none() && other.role().is_none();
            simple(resource, says_star).map_err(WrittenError::Write)
        })
        .collect()
}

/// JSON without the space between its tokens; strings stay as they are.
fn compact(json: &str) -> String {
    let (mut text, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
        } else if c.is_ascii_whitespace() {
            continue;
        } else if c == '"' {
            in_string = true;
        }
        text.push(c);
    }
    text
}

/// Puts these disks into what is there already: `present`, of which the first that has a name or a
/// root wins. Of `present`, what `extra` names and the disks at our roots go, and those that
/// `was_ours` knows; everything else stays. `default_role` is the agent's `--default_role`: where it
/// is another than `*`, ours that have no role say so.
pub fn merge(
    disks: &[DiskEntry],
    extra: &Foreign,
    present: &[&Written],
    was_ours: &dyn Fn(DiskType, &Raw) -> bool,
    default_role: &Role,
) -> Result<Merged, MergeError> {
    let mut entries: Vec<String> = extra.items().iter().map(|item| item.json.clone()).collect();
    let mut names: BTreeSet<String> = extra.items().iter().map(|i| i.entry.name()).collect();
    let (mut kept_disks, mut kept, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
    let mut roots: BTreeSet<(DiskType, Raw)> = BTreeSet::new();
    let mut extras: BTreeMap<(DiskType, Raw), SourceExtras> = BTreeMap::new();
    for written in present {
        one_root(written, disks, default_role)?;
        let mut here = BTreeSet::new();
        let mut roots_here = BTreeSet::new();
        for item in &written.items {
            let entry = &item.entry;
            let (kind, root) = match entry.place() {
                Place::NoDisk if names.contains(&entry.name()) => {
                    if !entries.contains(&item.json) {
                        replaced.push(entry.to_string());
                    }
                    continue;
                }
                Place::NoDisk => {
                    here.insert(entry.name());
                    if !entries.contains(&item.json) {
                        entries.push(item.json.clone());
                    }
                    continue;
                }
                Place::Root => continue,
                Place::Path(Some(root)) => (DiskType::Path, root),
                Place::Mount(Some(root)) => (DiskType::Mount, root),
                Place::EmptyDiskInfo
                | Place::Unsupported
                | Place::Path(None)
                | Place::Mount(None) => {
                    return Err(MergeError::Odd {
                        entry: entry.to_string(),
                    });
                }
            };
            match ours(disks, &root) {
                Some(disk) if disk.disk.root != root => {
                    return Err(MergeError::Spelling {
                        present: root,
                        ours: disk.disk.root.clone(),
                    });
                }
                Some(_) if entry.has_source_id() => {
                    return Err(MergeError::SourceId {
                        entry: entry.to_string(),
                    });
                }
                Some(_) => {
                    extras
                        .entry((kind, root))
                        .or_insert_with(|| item.extras.clone());
                }
                None if was_ours(kind, &root) => replaced.push(entry.to_string()),
                None if roots.contains(&(kind, root.clone()))
                    || kept_disks.contains(&item.json) => {}
                None => {
                    roots_here.insert((kind, root));
                    kept_disks.push(item.json.clone());
                    kept.push(entry.to_string());
                }
            }
        }
        names.append(&mut here);
        roots.append(&mut roots_here);
    }
    entries.append(&mut kept_disks);
    let disks: Vec<DiskEntry> = disks
        .iter()
        .map(|disk| {
            let mut disk = disk.clone();
            let there = extras.remove(&(disk.disk.kind, disk.disk.root.clone()));
            if let Some(there) = there.filter(|_| disk.extras == SourceExtras::default()) {
                disk.extras = there;
            }
            disk
        })
        .collect();
    Ok(Merged {
        text: generate_with(&disks, entries, default_role)?,
        kept,
        replaced,
    })
}

/// ROOT must not be divided between roles, unless the agent has it so, and we write it so.
fn one_root(written: &Written, disks: &[DiskEntry], default_role: &Role) -> Result<(), MergeError> {
    let ours: BTreeSet<String> = disks
        .iter()
        .filter(|entry| entry.disk.kind == DiskType::Root)
        .map(|entry| entry.role.to_string())
        .collect();
    let roles: BTreeSet<String> = written
        .items
        .iter()
        .filter(|item| item.entry.place() == Place::Root && !item.entry.is_nothing())
        .map(|item| {
            // It was read as that of an agent without a default role.
            let wires = read(&format!("[{}]", item.json), default_role).unwrap_or_default();
            let role = wires.into_iter().find_map(|wire| Entry::new(wire).role());
            role.map_or_else(|| "*".to_owned(), |role| role.to_string())
        })
        .collect();
    if roles.len() > 1 && roles != ours {
        return Err(MergeError::Divided {
            roles: roles.into_iter().collect(),
        });
    }
    Ok(())
}

/// Our disk at this root, however that is spelt.
fn ours<'a>(disks: &'a [DiskEntry], root: &Raw) -> Option<&'a DiskEntry> {
    disks
        .iter()
        .filter(|entry| entry.disk.kind != DiskType::Root)
        .find(|entry| components(&entry.disk.root).eq(components(root)))
}

fn components(path: &Raw) -> impl Iterator<Item = &[u8]> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests;
