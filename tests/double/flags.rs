//! The agent's flags, and `--resources` in its JSON form.

use std::path::PathBuf;

use anyhow::Context as _;
use mesos_volumed::mesos::resource::{Resource, Value};
use mesos_volumed::units::Megabytes;
use serde_json::Value as Json;

use super::http::{Access, Faults};
use super::resources::{from_json, plain};
use super::steps::Step;

/// Flags of a Mesos agent, by its names, and below `control` the stand-in's own.
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
    /// A stand-in master to register with; without it there is none.
    #[arg(long)]
    pub(crate) master: Option<String>,
    #[arg(long, default_value = "localhost")]
    pub(crate) hostname: String,

    /// The unix socket that takes orders.
    #[arg(long)]
    pub(crate) control: PathBuf,
    /// The version to behave as, 0.23 and later.
    #[arg(long = "as_version", default_value = "1.11.0")]
    pub(crate) as_version: Version,
    /// `false`: a checkpoint that can't be read is none, with a warning.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) strict: bool,
    /// For so many seconds after the start HTTP answers 503, as during a recovery.
    #[arg(long = "recovers_for", default_value_t = 0.0)]
    pub(crate) recovers_for: f64,
    /// The agent id of a first registration; random without it.
    #[arg(long = "agent_id")]
    pub(crate) agent_id: Option<String>,
    /// The agent ends as in a crash, right after this step is done for the first time.
    #[arg(long = "crash_after")]
    pub(crate) crash_after: Option<Step>,
    /// So many microseconds pass at each entry that a DESTROY deletes.
    #[arg(long = "delete_pause", default_value_t = 0)]
    pub(crate) delete_pause: u64,
    /// `principal:secret` that HTTP asks for.
    #[arg(long)]
    pub(crate) basic: Option<String>,
    /// A bearer token that HTTP asks for.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// What HTTP does wrong, as JSON.
    #[arg(long, value_parser = faults, default_value = "{}")]
    pub(crate) faults: Faults,
}

fn faults(text: &str) -> Result<Faults, serde_json::Error> {
    serde_json::from_str(text)
}

/// A version of Mesos.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    text: String,
    numbers: (u32, u32),
    /// How it keeps what it holds.
    pub(crate) generation: Generation,
}

/// How an agent keeps what it holds, and when it deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Before 1.0: `resources.info` is written, then directories are made; none is ever deleted.
    InfoOnly,
    /// 1.0: as before, then directories are deleted; what fails is logged.
    CommitFirst,
    /// 1.1 to 1.7: `resources.target`, directories, rename.
    InfoTarget,
    /// 1.8: `.state` is written first, and no target of it; then as 1.1 did.
    StateFirst,
    /// Since 1.9: both targets, then directories, then both commits.
    Targets,
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
            (1, 0) => Generation::CommitFirst,
            (1, 1..=7) => Generation::InfoTarget,
            (1, 8) => Generation::StateFirst,
            (1, 9..) => Generation::Targets,
            _ => return Err("no version of Mesos that has persistent volumes".to_owned()),
        };
        Ok(Self {
            text: text.to_owned(),
            numbers: (major, minor),
            generation,
        })
    }
}

impl Version {
    /// Whether it is at least this one.
    pub(crate) fn since(&self, major: u32, minor: u32) -> bool {
        self.numbers >= (major, minor)
    }

    /// Whether this is the build that was recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.numbers == (1, 12)
    }

    /// What its agent says that it can do.
    pub(crate) fn capabilities(&self) -> Vec<&'static str> {
        [
            ("MULTI_ROLE", (1, 3)),
            ("HIERARCHICAL_ROLE", (1, 3)),
            ("RESERVATION_REFINEMENT", (1, 4)),
            ("RESOURCE_PROVIDER", (1, 6)),
            ("RESIZE_VOLUME", (1, 6)),
            ("AGENT_OPERATION_FEEDBACK", (1, 7)),
            ("AGENT_DRAINING", (1, 9)),
            ("TASK_RESOURCE_LIMITS", (1, 11)),
        ]
        .into_iter()
        .filter(|(_, (major, minor))| self.since(*major, *minor))
        .map(|(name, _)| name)
        .collect()
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

    /// Who may ask.
    pub(crate) fn access(&self) -> Access {
        Access {
            basic: self.basic.clone(),
            token: self.token.clone(),
            read_only: false,
        }
    }
}

/// `--resources` as resources. What a real agent would detect by itself is added.
pub(crate) fn total(text: &str) -> anyhow::Result<Vec<Resource>> {
    let entries: Vec<Json> =
        serde_json::from_str(text).context("Failed to determine agent resources: no JSON array")?;
    let mut total = entries
        .iter()
        .map(from_json)
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
