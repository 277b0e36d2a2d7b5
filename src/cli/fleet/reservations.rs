//! `fleet reservations`: the master's list summed up by role and principal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ask::{Fleet, Listed};
use super::stream::Stream;
use super::sums::Sums;
use crate::cli::{Context, Exit};
use crate::mesos::operator::AgentEntry;
use crate::mesos::resource::{Reservation, ReservationType, Resource};
use crate::observe::master;
use crate::units::{Megabytes, Raw, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What this role has on each agent
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

/// Who reserved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct By {
    role: Raw,
    principal: Option<Raw>,
    kind: &'static str,
}

/// What is reserved.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    agents: u32,
    cpus: Megabytes,
    mem: Megabytes,
    disk: Megabytes,
    volumes: u32,
    in_volumes: Megabytes,
    used: u32,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    role: String,
    principal: Option<String>,
    kind: &'static str,
    agents: u32,
    cpus: f64,
    mem_mb: f64,
    disk_mb: f64,
    volumes: u32,
    in_volumes_mb: f64,
    used: u32,
    frameworks: Vec<&'a str>,
}

const COLUMNS: &[(&str, usize)] = &[
    ("ON", 20),
    ("ROLE", 20),
    ("PRINCIPAL", 14),
    ("KIND", 7),
    ("CPUS", 7),
    ("MEM MB", 8),
    ("DISK MB", 10),
    ("VOLUMES", 7),
    ("VOLUMES MB", 10),
    ("USED", 5),
    ("FRAMEWORKS", 0),
];

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let fleet = Fleet::new(context.settings())?;
    let mut sums = Sums::default();
    match master::frameworks(&fleet.master) {
        Ok(frameworks) => sums.frameworks(&frameworks),
        Err(error) => sums.troubles.push(chain(&error)),
    }
    let mut stream = Stream::new(&context.output, "reservations", COLUMNS)?;
    let mut listed = Listed::default();
    let mut all: BTreeMap<By, Sum> = BTreeMap::new();
    let mut failed = Ok(());
    let read = master::slaves(&fleet.master, &mut |entry| {
        listed.agents = listed.agents.saturating_add(1);
        listed.hidden = listed
            .hidden
            .saturating_add(u32::from(entry.hides().is_some()));
        let here = of_agent(&entry);
        listed.roles.extend(here.keys().map(|by| by.role.clone()));
        match &args.role {
            None => {
                for (by, sum) in here {
                    all.entry(by).or_default().add(sum);
                }
            }
            Some(role) => {
                let (host, agent) = (entry.hostname.to_string(), entry.id.to_string());
                for (by, sum) in here
                    .iter()
                    .filter(|(by, _)| by.role == Raw::from(role.as_str()))
                {
                    if failed.is_ok() {
                        failed = show(Some((&host, &agent)), by, sum, &sums, &mut stream);
                    }
                }
            }
        }
    });
    failed?;
    match read {
        Ok(seen) => listed.recovered = seen.recovered.iter().map(ToString::to_string).collect(),
        Err(error) => listed.cut = Some(chain(&error)),
    }
    sums.listed(listed);
    for (by, sum) in &all {
        show(None, by, sum, &sums, &mut stream)?;
    }
    stream.end(&sums)?;
    Ok(sums.exit())
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.agents = self.agents.saturating_add(other.agents);
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.mem = self.mem.saturating_add(other.mem);
        self.disk = self.disk.saturating_add(other.disk);
        self.volumes = self.volumes.saturating_add(other.volumes);
        self.in_volumes = self.in_volumes.saturating_add(other.in_volumes);
        self.used = self.used.saturating_add(other.used);
    }

    fn take(&mut self, resource: &Resource, used: bool) {
        let size = resource.megabytes().unwrap_or_default();
        match resource.name.as_bytes() {
            b"cpus" => self.cpus = self.cpus.saturating_add(size),
            b"mem" => self.mem = self.mem.saturating_add(size),
            b"disk" => self.disk = self.disk.saturating_add(size),
            _ => {}
        }
        if resource.persistence.is_some() {
            self.volumes = self.volumes.saturating_add(1);
            self.in_volumes = self.in_volumes.saturating_add(size);
            self.used = self.used.saturating_add(u32::from(used));
        }
    }
}

fn of_agent(entry: &AgentEntry) -> BTreeMap<By, Sum> {
    let mut all: BTreeMap<By, Sum> = BTreeMap::new();
    for resource in &entry.resources {
        let Some(last) = resource.reservations.last() else {
            continue;
        };
        let used = entry.used.as_ref().is_some_and(|used| {
            let key = resource.volume_key();
            key.is_some_and(|key| used.contains(&key))
        });
        let sum = all.entry(By::of(last)).or_insert(Sum {
            agents: 1,
            ..Sum::default()
        });
        sum.take(resource, used);
    }
    all
}

impl By {
    fn of(reservation: &Reservation) -> Self {
        Self {
            role: reservation.role.as_raw().clone(),
            principal: reservation.principal.clone(),
            kind: match reservation.kind {
                ReservationType::Static => "static",
                ReservationType::Dynamic => "dynamic",
                ReservationType::Unknown(_) => "unknown",
            },
        }
    }
}

fn show(
    on: Option<(&str, &str)>,
    by: &By,
    sum: &Sum,
    sums: &Sums,
    stream: &mut Stream<'_>,
) -> anyhow::Result<()> {
    let row = Row {
        host: on.map(|(host, _)| host),
        agent: on.map(|(_, agent)| agent),
        role: by.role.to_string(),
        principal: by.principal.as_ref().map(ToString::to_string),
        kind: by.kind,
        agents: sum.agents,
        cpus: sum.cpus.as_f64(),
        mem_mb: sum.mem.as_f64(),
        disk_mb: sum.disk.as_f64(),
        volumes: sum.volumes,
        in_volumes_mb: sum.in_volumes.as_f64(),
        used: sum.used,
        frameworks: sums.of_role(&by.role),
    };
    stream.row(&row, || {
        let frameworks = match row.frameworks.as_slice() {
            [] => "none registered".to_owned(),
            [one] => (*one).to_owned(),
            several => format!("shared: {}", several.join(", ")),
        };
        let on = on.map_or_else(
            || format!("{} agents", row.agents),
            |(host, _)| host.to_owned(),
        );
        vec![
            on,
            row.role.clone(),
            row.principal.clone().unwrap_or_else(|| "-".to_owned()),
            row.kind.to_owned(),
            row.cpus.to_string(),
            row.mem_mb.to_string(),
            row.disk_mb.to_string(),
            row.volumes.to_string(),
            row.in_volumes_mb.to_string(),
            row.used.to_string(),
            frameworks,
        ]
    })
}
