//! `fleet volumes`, `fleet orphans`.

use serde::Serialize;

use super::View;
use super::ask::{Agent, Fleet, Told};
use super::stream::Stream;
use super::sums::Sums;
use crate::observe::sidecar::{NoAnswer, TrashItem, Volume};
use crate::units::Bytes;

/// What lies on the hosts.
pub(super) struct Volumes {
    /// All of it, or only what nobody names.
    pub(super) all: bool,
}

/// What one tells.
pub(super) struct There {
    volumes: Vec<Volume>,
    trash: Vec<TrashItem>,
    /// Why the rows may not be all.
    unsure: Vec<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    agent: &'a str,
    state: &'a str,
    role: Option<&'a str>,
    id: Option<&'a str>,
    disk: Option<&'a str>,
    root: Option<&'a str>,
    path: &'a str,
    size_mb: Option<f64>,
    /// Of a volume that is held: whether a task uses it.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<&'static str>,
    reasons: Vec<&'a str>,
}

/// Whether a row is data that nobody names.
fn is_left(state: &str) -> bool {
    !matches!(state, "held" | "pending" | "vanished" | "trashed")
}

impl View for Volumes {
    type Answer = There;

    fn key(&self) -> &'static str {
        if self.all { "volumes" } else { "orphans" }
    }

    fn columns(&self) -> &'static [(&'static str, usize)] {
        &[
            ("HOST", 20),
            ("STATE", 9),
            ("USE", 7),
            ("ROLE", 12),
            ("ID", 40),
            ("DISK", 24),
            ("MB", 8),
            ("REASONS", 0),
        ]
    }

    fn ask(&self, fleet: &Fleet, agent: &Agent) -> Told<There> {
        let ask = || -> Result<(String, There), NoAnswer> {
            let sidecars = &fleet.sidecars;
            let version = sidecars.status(&agent.host)?.version;
            let there = sidecars.volumes(&agent.host)?;
            let unsure = there.unsure();
            let has_trash = there.volumes.iter().any(|one| one.state == "trashed");
            let trash = if has_trash {
                sidecars.trash(&agent.host)?.items
            } else {
                Vec::new()
            };
            let volumes = there.volumes;
            Ok((
                version,
                There {
                    volumes,
                    trash,
                    unsure,
                },
            ))
        };
        ask().into()
    }

    fn show(
        &self,
        agent: &Agent,
        there: There,
        stream: &mut Stream<'_>,
        sums: &mut Sums,
    ) -> anyhow::Result<()> {
        if let Some(why) = there.unsure.first() {
            sums.troubles.push(format!("{}: {why}", agent.host));
        }
        for item in &there.trash {
            sums.owe(item.bytes);
        }
        for volume in &there.volumes {
            sums.count(&volume.state);
            if volume.state == "destroyed" {
                sums.owe(None);
            }
            let row = row(agent, volume);
            match row.usage {
                Some("used") => sums.used = sums.used.saturating_add(1),
                Some(_) => sums.waiting = sums.waiting.saturating_add(1),
                None => {}
            }
            if self.all || is_left(&volume.state) {
                stream.row(&row, || cells(&row))?;
            }
        }
        Ok(())
    }
}

fn row<'a>(agent: &'a Agent, volume: &'a Volume) -> Row<'a> {
    let name = match (&volume.role, &volume.id) {
        (Some(role), Some(id)) => format!("{role}/{id}"),
        (Some(_) | None, _) => String::new(),
    };
    let usage = agent
        .used
        .as_ref()
        .filter(|_| volume.state == "held")
        .map(|used| {
            if used.contains(name.as_str()) {
                "used"
            } else {
                "waiting"
            }
        });
    Row {
        host: &agent.host,
        agent: &agent.id,
        state: &volume.state,
        role: volume.role.as_deref(),
        id: volume.id.as_deref(),
        disk: volume.disk.as_ref().map(|disk| disk.kind.as_str()),
        root: volume.disk.as_ref().map(|disk| disk.root.as_str()),
        path: &volume.path,
        size_mb: volume.size_mb,
        usage,
        reasons: volume.reasons.iter().map(|why| why.code.as_str()).collect(),
    }
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let disk = match (row.disk, row.root) {
        (Some(kind), Some(root)) => format!("{kind}:{root}"),
        (Some(_) | None, _) => "-".to_owned(),
    };
    vec![
        row.host.to_owned(),
        row.state.to_owned(),
        row.usage.unwrap_or("-").to_owned(),
        row.role.unwrap_or("-").to_owned(),
        row.id.unwrap_or(row.path).to_owned(),
        disk,
        row.size_mb
            .map_or_else(|| "-".to_owned(), |size| size.to_string()),
        row.reasons.join(","),
    ]
}

/// Bytes as a cell.
pub(super) fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| Bytes(bytes).to_string())
}
