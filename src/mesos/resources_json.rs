//! The agent's `--resources`: written, and read as the agent reads it.
//!
//! A disk is written in exactly one of the three shapes that Mesos documents: ROOT without a
//! source, PATH and MOUNT with their root. Foreign entries (cpus, mem, ports, …) are kept as they
//! were written. What was written is read again by the agent's rules before anyone gets it, because
//! the agent takes any mistake in the JSON for another syntax.

mod json;
mod parse;
mod written;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Number;

pub(in crate::mesos) use json::resource as from_json;
pub use json::unknown_keys;
pub use parse::{AgentResources, ResourcesError, parse_resources, read_resources};
pub(in crate::mesos) use parse::{Simple, simple_value, upgraded};
pub use written::{Foreign, ForeignError, MergeError, Merged, Written, WrittenError, merge};

pub use super::disk::SourceExtras;
use super::disk::{DiskRef, DiskType};
use super::env_file;
use super::ids::Role;
use super::resource::{Resource, Value};
use crate::units::{Megabytes, Raw};

/// The longest string that the kernel hands to a new program in its arguments or its environment,
/// without the NUL behind it (`MAX_ARG_STRLEN`, include/uapi/linux/binfmts.h).
const LONGEST_STRING: usize = 128 * 1024 - 1;

/// A disk as it is to be advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// Type and root. The root of ROOT is the work_dir, which is not written.
    pub disk: DiskRef,
    /// How much. Zero is for ROOT alone: it keeps the agent from detecting one by itself.
    pub size: Megabytes,
    /// The static role; `*` for none.
    pub role: Role,
    /// What else its source has; ROOT has none.
    pub extras: SourceExtras,
    /// Whether an agent has it already: then its root is written as the agent spells it, even where
    /// nobody would spell it so today, and other parts of it may have other roles.
    pub known: bool,
}

/// Why no `--resources` can be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// ROOT must be written out exactly once.
    #[error("{count} disks of type ROOT; there must be one, or the agent detects it by itself")]
    Roots {
        /// How many there are.
        count: usize,
    },
    /// A root is there twice.
    #[error("{root} is the root of two disks; name each root once")]
    Duplicate {
        /// The root.
        root: Raw,
    },
    /// A root that Mesos would take, and that leads to trouble.
    #[error("{disk} can't be written: its root {rule}")]
    Root {
        /// The disk.
        disk: DiskRef,
        /// The rest of the sentence.
        rule: &'static str,
    },
    /// PATH and MOUNT need a size, and none may be negative.
    #[error("{disk} can't be advertised with {size} MB")]
    Size {
        /// The disk.
        disk: DiskRef,
        /// The size.
        size: Megabytes,
    },
    /// A role that Mesos refuses.
    #[error("{disk} can't be reserved: `{role}` {rule}")]
    Role {
        /// The disk.
        disk: DiskRef,
        /// The role.
        role: Role,
        /// The rest of the sentence.
        rule: &'static str,
    },
    /// Too long for an environment or an argument.
    #[error(
        "the text has {bytes} bytes, more than the {LONGEST_STRING} that fit into one argument or \
         variable; write it to a file and give the agent --resources=file:///that/file"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// JSON could not be written.
    #[error("the resources can't be written as JSON")]
    Write(#[source] serde_json::Error),
    /// The agent would not take what was written.
    #[error("an agent would refuse what was written; the old resources stay")]
    Refused(#[source] ResourcesError),
    /// The agent would take something else for what was meant.
    #[error("an agent would read something else than what was meant; the old resources stay")]
    Misread,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scalar: Option<ScalarJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranges: Option<RangesJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<SetJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskJson<'a>>,
}

#[derive(Serialize)]
struct ScalarJson {
    value: Number,
}

#[derive(Serialize)]
struct RangesJson {
    range: Vec<RangeJson>,
}

#[derive(Serialize)]
struct RangeJson {
    begin: u64,
    end: u64,
}

#[derive(Serialize)]
struct SetJson<'a> {
    item: Vec<&'a str>,
}

#[derive(Serialize)]
struct DiskJson<'a> {
    source: SourceJson<'a>,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<RootJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount: Option<RootJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<LabelsJson<'a>>,
}

#[derive(Serialize)]
struct LabelsJson<'a> {
    labels: Vec<LabelJson<'a>>,
}

#[derive(Serialize)]
struct LabelJson<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

#[derive(Serialize)]
struct RootJson<'a> {
    root: &'a str,
}

/// The number as an operator would write it: whole where it is.
fn number(size: Megabytes) -> Number {
    let thousandths = size.thousandths();
    if thousandths.checked_rem(1000) == Some(0) {
        Number::from(thousandths.checked_div(1000).unwrap_or_default())
    } else {
        Number::from_f64(size.as_f64()).unwrap_or_else(|| Number::from(0))
    }
}

/// An entry of the simple form as JSON; it has no more than a name, a value and a role, which may be
/// a `*` that is written out.
fn simple(resource: &Resource, says_star: bool) -> Result<String, serde_json::Error> {
    let text = |raw: &Raw| String::from_utf8_lossy(raw.as_bytes()).into_owned();
    let name = text(&resource.name);
    let role = match resource.role() {
        Some(role) => Some(text(role.as_raw())),
        None => says_star.then(|| "*".to_owned()),
    };
    let items: Vec<String> = match &resource.value {
        Value::Set(items) => items.iter().map(text).collect(),
        Value::Scalar(_) | Value::Ranges(_) => Vec::new(),
    };
    let mut entry = Entry {
        name: &name,
        kind: "SCALAR",
        scalar: None,
        ranges: None,
        set: None,
        role: role.as_deref(),
        disk: None,
    };
    match &resource.value {
        Value::Scalar(value) => {
            entry.scalar = Some(ScalarJson {
                value: number(*value),
            });
        }
        Value::Ranges(ranges) => {
            entry.kind = "RANGES";
            entry.ranges = Some(RangesJson {
                range: ranges
                    .iter()
                    .map(|&(begin, end)| RangeJson { begin, end })
                    .collect(),
            });
        }
        Value::Set(_) => {
            entry.kind = "SET";
            entry.set = Some(SetJson {
                item: items.iter().map(String::as_str).collect(),
            });
        }
    }
    serde_json::to_string(&entry)
}

/// The agent's `--resources`, in the forms that agents are given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcesText {
    entries: Vec<String>,
    resources: Vec<Resource>,
}

/// Writes `--resources`: foreign entries in their order, ROOT, then the other disks by type and
/// root, so that the same disks give the same bytes in whatever order they were found.
pub fn generate(disks: &[DiskEntry], foreign: &Foreign) -> Result<ResourcesText, GenerateError> {
    let entries = foreign.items().iter().map(|item| item.json.clone());
    generate_with(disks, entries.collect(), &Role::new("*"))
}

/// As [`generate`], with entries of others in front, which may be disks, for an agent with this
/// `--default_role`.
fn generate_with(
    disks: &[DiskEntry],
    mut entries: Vec<String>,
    default_role: &Role,
) -> Result<ResourcesText, GenerateError> {
    let mut sorted: Vec<&DiskEntry> = disks.iter().collect();
    sorted.sort_by_key(|entry| (&entry.disk, &entry.role));
    let is_part = |one: &DiskEntry, other: &DiskEntry| {
        one.known && other.known && one.disk == other.disk && one.role != other.role
    };
    let mut roots = 0_usize;
    let mut seen: BTreeMap<&Raw, &DiskEntry> = BTreeMap::new();
    let mut last: Option<&DiskEntry> = None;
    let others = entries.len();
    for entry in &sorted {
        let is_part = last.is_some_and(|last| is_part(last, entry));
        if entry.disk.kind == DiskType::Root {
            roots = roots.saturating_add(usize::from(!is_part));
        } else if seen.insert(&entry.disk.root, entry).is_some() && !is_part {
            return Err(GenerateError::Duplicate {
                root: entry.disk.root.clone(),
            });
        }
        last = Some(entry);
        entries.push(disk_json(entry, default_role)?);
    }
    if roots != 1 {
        return Err(GenerateError::Roots { count: roots });
    }
    // A control character that JSON allows, and that systemd throws a whole variable away for.
    for entry in &mut entries {
        if entry.contains('\u{7f}') {
            *entry = entry.replace('\u{7f}', "\\u007f");
        }
    }
    let is_disk = |resource: &&Resource| resource.name.as_bytes() == b"disk";
    let read = |entries: &[String]| {
        parse_resources(&array(entries), default_role).map_err(GenerateError::Refused)
    };
    let before = read(entries.get(..others).unwrap_or_default())?;
    let resources = read(&entries)?;
    let written = resources
        .iter()
        .filter(is_disk)
        .skip(before.iter().filter(is_disk).count());
    if !written
        .map(|resource| (resource.megabytes(), resource.role(), source_of(resource)))
        .eq(sorted.iter().map(|entry| meant(entry)))
    {
        return Err(GenerateError::Misread);
    }
    Ok(ResourcesText { entries, resources })
}

type Meaning<'a> = (
    Option<Megabytes>,
    Option<&'a Role>,
    Option<(DiskType, &'a Raw, SourceExtras)>,
);

fn meant(entry: &DiskEntry) -> Meaning<'_> {
    let disk = &entry.disk;
    (
        Some(entry.size),
        Some(&entry.role).filter(|role| !role.is_unreserved()),
        (disk.kind != DiskType::Root).then(|| (disk.kind, &disk.root, entry.extras.clone())),
    )
}

fn source_of(resource: &Resource) -> Option<(DiskType, &Raw, SourceExtras)> {
    use super::disk::SourceType;
    let source = resource.source.as_ref()?;
    let kind = match source.kind {
        SourceType::Path => DiskType::Path,
        SourceType::Mount => DiskType::Mount,
        SourceType::Block | SourceType::Raw | SourceType::Unknown(_) => return None,
    };
    Some((kind, source.root.as_ref()?, SourceExtras::from(source)))
}

fn disk_json(entry: &DiskEntry, default_role: &Role) -> Result<String, GenerateError> {
    let disk = &entry.disk;
    let is_root = disk.kind == DiskType::Root;
    let zero = Megabytes::default();
    if entry.size < zero || (entry.size == zero && !is_root) {
        return Err(GenerateError::Size {
            disk: disk.clone(),
            size: entry.size,
        });
    }
    let broken = |rule| GenerateError::Root {
        disk: disk.clone(),
        rule,
    };
    let bad_role = |rule| GenerateError::Role {
        disk: disk.clone(),
        role: entry.role.clone(),
        rule,
    };
    if let Some(rule) = entry.role.fault() {
        return Err(bad_role(rule));
    }
    let role = entry
        .role
        .as_raw()
        .as_str()
        .ok_or_else(|| bad_role("is not UTF-8"))?;
    let source = if is_root {
        None
    } else {
        let root = disk
            .root
            .as_str()
            .ok_or_else(|| broken("is not UTF-8, which JSON can't hold"))?;
        if !entry.known
            && let Some(rule) = root_fault(root)
        {
            return Err(broken(rule));
        }
        Some(source_json(disk.kind, root, &entry.extras).ok_or_else(|| {
            broken("has a vendor, profile or metadata that is not UTF-8, which JSON can't hold")
        })?)
    };
    serde_json::to_string(&Entry {
        name: "disk",
        kind: "SCALAR",
        scalar: Some(ScalarJson {
            value: number(entry.size),
        }),
        ranges: None,
        set: None,
        // An entry without a role gets the default role, and one with `*` does not.
        role: (role != "*" || !default_role.is_unreserved()).then_some(role),
        disk: source.map(|source| DiskJson { source }),
    })
    .map_err(GenerateError::Write)
}

/// `None` where something beside the root is not UTF-8.
fn source_json<'a>(
    kind: DiskType,
    root: &'a str,
    extras: &'a SourceExtras,
) -> Option<SourceJson<'a>> {
    let text = |raw: &'a Option<Raw>| match raw {
        None => Some(None),
        Some(raw) => raw.as_str().map(Some),
    };
    let labels = extras
        .metadata
        .iter()
        .map(|(key, value)| {
            Some(LabelJson {
                key: key.as_str()?,
                value: text(value)?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let is_path = kind == DiskType::Path;
    Some(SourceJson {
        kind: if is_path { "PATH" } else { "MOUNT" },
        path: is_path.then_some(RootJson { root }),
        mount: (!is_path).then_some(RootJson { root }),
        vendor: text(&extras.vendor)?,
        profile: text(&extras.profile)?,
        metadata: (!labels.is_empty()).then_some(LabelsJson { labels }),
    })
}

/// Whether an entry is a PATH disk.
fn is_path(entry: &str) -> bool {
    parse_resources(&format!("[{entry}]"), &Role::new("*"))
        .iter()
        .flatten()
        .any(|one| {
            let source = one.source.as_ref();
            source.is_some_and(|source| source.kind == super::disk::SourceType::Path)
        })
}

/// Roots compare as plain text in Mesos, so that each has one spelling here.
fn root_fault(root: &str) -> Option<&'static str> {
    let Some(below) = root.strip_prefix('/') else {
        return Some("is not absolute; Mesos resolves it differently in different places");
    };
    if below.is_empty() {
        return Some("is the root of the whole system");
    }
    below.split('/').find_map(|component| match component {
        "" => Some("has a trailing or doubled slash"),
        "." | ".." => Some("has a component `.` or `..`"),
        _ if component.contains('\0') => Some("holds NUL"),
        _ => None,
    })
}

/// An array with one entry a line: easy to compare, and JSON all the same.
fn array(entries: &[String]) -> String {
    format!("[\n  {}\n]\n", entries.join(",\n  "))
}

impl ResourcesText {
    /// A JSON array, one entry a line.
    #[must_use]
    pub fn json(&self) -> String {
        array(&self.entries)
    }

    /// What an agent reads from it.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    fn line(&self) -> String {
        format!("[{}]", self.entries.join(","))
    }

    fn fits(&self, name: &str) -> Result<String, GenerateError> {
        let line = self.line();
        // The kernel sees the name, the sign of equality and the value.
        let bytes = line.len().saturating_add(name.len()).saturating_add(1);
        if bytes > LONGEST_STRING {
            Err(GenerateError::TooLong { bytes })
        } else {
            Ok(line)
        }
    }

    /// The value in one line, for a file that the packages' starter reads.
    pub fn argument(&self) -> Result<String, GenerateError> {
        self.fits("--resources")
    }

    /// The value in one line, for the environment.
    pub fn variable(&self) -> Result<String, GenerateError> {
        self.fits("MESOS_RESOURCES")
    }

    /// One line `MESOS_RESOURCES="…"` for systemd's `EnvironmentFile=` or for a shell to read.
    pub fn env(&self) -> Result<String, GenerateError> {
        let value = env_file::double_quoted(&self.variable()?);
        Ok(format!("MESOS_RESOURCES={value}\n"))
    }

    /// The entries of plain text and of no PATH disk, which is all that DC/OS's own generator reads
    /// from its cache without failing.
    #[must_use]
    pub fn plain_without_paths(&self) -> String {
        let entries: Vec<&str> = self
            .entries
            .iter()
            .map(String::as_str)
            .filter(|entry| !entry.contains(['\'', '\\']) && !is_path(entry))
            .collect();
        format!("[{}]", entries.join(","))
    }

    /// `--resources='…'`, quoted for a shell.
    pub fn flag(&self) -> Result<String, GenerateError> {
        let mut text = String::from("--resources='");
        for c in self.fits("--resources")?.chars() {
            if c == '\'' {
                text.push_str("'\\''");
            } else {
                text.push(c);
            }
        }
        text.push_str("'\n");
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
