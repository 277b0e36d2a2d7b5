//! `fleet disks`.

use serde::Serialize;

use super::View;
use super::ask::{Agent, Fleet, Told};
use super::stream::Stream;
use super::sums::Sums;
use super::volumes::bytes;
use crate::observe::sidecar::{DiskSeen, NoAnswer};

/// Disks that are offered, or that a rule names.
pub(super) struct Disks;

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    agent: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    root: Option<&'a str>,
    device: Option<&'a str>,
    verdict: &'a str,
    reason: Option<&'a str>,
    advertised_mb: Option<f64>,
    total_bytes: Option<u64>,
    free_bytes: Option<u64>,
    held: usize,
}

impl View for Disks {
    type Answer = Vec<DiskSeen>;

    fn key(&self) -> &'static str {
        "disks"
    }

    fn columns(&self) -> &'static [(&'static str, usize)] {
        &[
            ("HOST", 20),
            ("TYPE", 5),
            ("ROOT", 28),
            ("VERDICT", 8),
            ("ADVERTISED MB", 13),
            ("TOTAL", 9),
            ("FREE", 9),
            ("HELD", 4),
            ("REASON", 0),
        ]
    }

    fn ask(&self, fleet: &Fleet, agent: &Agent) -> Told<Vec<DiskSeen>> {
        let ask = || -> Result<(String, Vec<DiskSeen>), NoAnswer> {
            let version = fleet.sidecars.status(&agent.host)?.version;
            Ok((version, fleet.sidecars.disks(&agent.host)?.disks))
        };
        ask().into()
    }

    fn show(
        &self,
        agent: &Agent,
        disks: Vec<DiskSeen>,
        stream: &mut Stream<'_>,
        sums: &mut Sums,
    ) -> anyhow::Result<()> {
        for disk in &disks {
            let Some(kind) = &disk.kind else {
                continue;
            };
            sums.count(&disk.verdict);
            if let Some(advertised) = disk.advertised_mb {
                sums.add("MB advertised", advertised);
            }
            let filesystem = disk.filesystem.as_ref();
            let row = Row {
                host: &agent.host,
                agent: &agent.id,
                kind,
                root: disk.root.as_deref(),
                device: disk.device.as_deref(),
                verdict: &disk.verdict,
                reason: disk.reason.as_deref(),
                advertised_mb: disk.advertised_mb,
                total_bytes: filesystem.and_then(|one| one.total_bytes),
                free_bytes: filesystem.and_then(|one| one.free_bytes),
                held: disk.held.len(),
            };
            stream.row(&row, || {
                vec![
                    row.host.to_owned(),
                    row.kind.to_owned(),
                    row.root.unwrap_or("-").to_owned(),
                    row.verdict.to_owned(),
                    row.advertised_mb
                        .map_or_else(|| "-".to_owned(), |number| number.to_string()),
                    bytes(row.total_bytes),
                    bytes(row.free_bytes),
                    row.held.to_string(),
                    row.reason.unwrap_or_default().to_owned(),
                ]
            })?;
        }
        Ok(())
    }
}
