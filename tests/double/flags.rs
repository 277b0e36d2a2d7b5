//! The agent's flags, and `--resources` in its JSON form.
#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value gives null where there is nothing"
)]

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use mesos_volumed::mesos::disk::{DiskSource, SourceType};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resource::{Reservation, ReservationType, Resource, Value};
use mesos_volumed::units::{Megabytes, Raw};
use serde_json::Value as Json;

/// Flags of a Mesos agent, by its names, and three of the stand-in's own at the end.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "mesos-agent", about = "A stand-in for a Mesos agent")]
pub(crate) struct Flags {
    /// The agent's folder.
    #[arg(long = "work_dir")]
    pub(crate) work_dir: PathBuf,
    /// JSON, or file:// and the absolute path of a file that holds it.
    #[arg(long)]
    pub(crate) resources: String,
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) ip: String,
    /// 0 takes a free one; it is printed with the line that says that the agent listens.
    #[arg(long, default_value_t = 5051)]
    pub(crate) port: u16,
    #[arg(long, default_value = "127.0.0.1:5050")]
    pub(crate) master: String,
    #[arg(long, default_value = "localhost")]
    pub(crate) hostname: String,

    /// The unix socket that takes what a master would send.
    #[arg(long)]
    pub(crate) control: PathBuf,
    /// The version to behave as: 0.23 to 0.28, or 1.9 and later.
    #[arg(long = "as_version", default_value = "1.11.0")]
    pub(crate) as_version: Version,
    /// For so many seconds after the start `/state` answers 503, as during a recovery.
    #[arg(long = "recovers_for", default_value_t = 0.0)]
    pub(crate) recovers_for: f64,
}

/// A version of Mesos.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    text: String,
    /// How it keeps what it holds.
    pub(crate) generation: Generation,
}

/// How an agent keeps what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Before 1.0: `resources.info` is written, then directories are made; none is ever deleted.
    InfoOnly,
    /// Since 1.9: target files, operations, and directories before the commit.
    Operations,
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err("a version is major.minor.patch".to_owned());
        };
        let generation = match (major, minor) {
            (0, 23..=28) => Generation::InfoOnly,
            (1, 9..) => Generation::Operations,
            _ => return Err("only 0.23 to 0.28 and 1.9 and later are known here".to_owned()),
        };
        Ok(Self {
            text: text.to_owned(),
            generation,
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Flags {
    /// The text of `--resources`: of the file where one is named.
    pub(crate) fn resources_text(&self) -> anyhow::Result<String> {
        match self.resources.strip_prefix("file://") {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("Failed to read file {file} of --resources")),
            None => Ok(self.resources.clone()),
        }
    }
}

/// `--resources` as resources. What a real agent would detect by itself is added.
pub(crate) fn total(text: &str) -> anyhow::Result<Vec<Resource>> {
    let entries: Vec<Json> =
        serde_json::from_str(text).context("Failed to determine agent resources: no JSON array")?;
    let mut total = entries
        .iter()
        .map(resource)
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (name, value) in [
        ("cpus", Value::Scalar(Megabytes::whole(2))),
        ("mem", Value::Scalar(Megabytes::whole(2048))),
        ("ports", Value::Ranges(vec![(31_000, 32_000)])),
    ] {
        if !total
            .iter()
            .any(|one| one.name.as_bytes() == name.as_bytes())
        {
            total.push(plain(name, value));
        }
    }
    Ok(total)
}

/// An unreserved resource.
pub(crate) fn plain(name: &str, value: Value) -> Resource {
    Resource {
        name: name.into(),
        value,
        reservations: Vec::new(),
        source: None,
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

fn resource(json: &Json) -> anyhow::Result<Resource> {
    let name = json["name"]
        .as_str()
        .context("Missing required fields: name")?;
    let value = match json["type"].as_str() {
        Some("SCALAR") => Value::Scalar(
            json["scalar"]["value"]
                .as_f64()
                .and_then(Megabytes::from_f64)
                .context("Invalid scalar resource")?,
        ),
        Some("RANGES") => Value::Ranges(
            json["ranges"]["range"]
                .as_array()
                .context("Invalid ranges resource")?
                .iter()
                .map(|range| Some((range["begin"].as_u64()?, range["end"].as_u64()?)))
                .collect::<Option<_>>()
                .context("Invalid ranges resource")?,
        ),
        other => bail!("Bad type {other:?} for resource {name}"),
    };
    Ok(Resource {
        source: source(&json["disk"])?,
        reservations: json["role"]
            .as_str()
            .filter(|role| *role != "*")
            .map(|role| Reservation {
                kind: ReservationType::Static,
                role: Role::new(role),
                principal: None,
                labels: Vec::new(),
            })
            .into_iter()
            .collect(),
        ..plain(name, value)
    })
}

fn source(disk: &Json) -> anyhow::Result<Option<DiskSource>> {
    let source = &disk["source"];
    if source.is_null() {
        return Ok(None);
    }
    let (kind, root) = match source["type"].as_str() {
        Some("PATH") => (SourceType::Path, &source["path"]["root"]),
        Some("MOUNT") => (SourceType::Mount, &source["mount"]["root"]),
        other => bail!("Unsupported 'DiskInfo.Source.Type' {other:?}"),
    };
    let root = root
        .as_str()
        .context("disk root directory is not specified")?;
    Ok(Some(disk_source(kind, root)))
}

/// A disk source with this root and nothing else.
pub(crate) fn disk_source(kind: SourceType, root: &str) -> DiskSource {
    DiskSource {
        kind,
        root: Some(Raw::from(root)),
        id: None,
        vendor: None,
        profile: None,
        metadata: Vec::new(),
    }
}
