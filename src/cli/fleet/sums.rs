//! What the cluster comes to, and who did not answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::ask::{Agent, Listed};
use crate::cli::{Exit, Text};
use crate::mesos::operator::Frameworks;
use crate::observe::sidecar::{NoAnswer, older};
use crate::units::{Bytes, Megabytes, Raw};

/// So many are named in a line for people; JSON names all.
const NAMED: usize = 10;

/// Sums over the cluster.
#[derive(Debug, Default)]
pub(super) struct Sums {
    listed: Listed,
    answered: u32,
    /// Agents that nobody answers for, by what is wrong.
    missing: BTreeMap<Missing, Vec<Unanswered>>,
    /// Volumes that the master believes to be on agents that nobody answers for.
    unseen: (u32, Megabytes),
    /// Sidecars of older versions that do answer.
    old: Vec<(String, String)>,
    /// Rows by state.
    pub(super) states: BTreeMap<String, u32>,
    pub(super) used: u32,
    pub(super) waiting: u32,
    /// What is destroyed, and what lies in trashes, as far as it was counted.
    pub(super) owed_bytes: u64,
    /// What of that has no number.
    pub(super) owed_uncounted: u32,
    /// Numbers of a view of its own.
    pub(super) others: BTreeMap<&'static str, f64>,
    /// Frameworks by role.
    frameworks: BTreeMap<Raw, BTreeSet<String>>,
    pub(super) troubles: Vec<String>,
}

/// What is wrong with an agent's sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Missing {
    NoSidecar,
    Silent,
    NotReady,
    Old,
}

impl Missing {
    const fn words(self) -> &'static str {
        match self {
            Self::NoSidecar => "without a sidecar",
            Self::Silent => "whose sidecar can't be reached",
            Self::NotReady => "whose sidecar has nothing to tell",
            Self::Old => "whose sidecar is of another version",
        }
    }
}

#[derive(Debug, Serialize)]
struct Unanswered {
    host: String,
    agent: String,
    why: String,
    /// Volumes that the master believes to be there.
    volumes: u32,
}

impl Sums {
    pub(super) fn frameworks(&mut self, frameworks: &Frameworks) {
        for framework in &frameworks.present {
            for role in &framework.roles {
                let name = format!("{} ({})", framework.name, framework.id);
                let of_role = self.frameworks.entry(role.as_raw().clone()).or_default();
                of_role.insert(name);
            }
        }
    }

    pub(super) fn listed(&mut self, listed: Listed) {
        self.listed = listed;
    }

    pub(super) fn answered(&mut self, agent: &Agent, version: &str) {
        self.answered = self.answered.saturating_add(1);
        if older(version, env!("CARGO_PKG_VERSION")) {
            self.old.push((agent.host.clone(), version.to_owned()));
        }
    }

    pub(super) fn unanswered(&mut self, agent: &Agent, why: &NoAnswer) {
        let missing = match why {
            NoAnswer::Nobody { .. } => Missing::NoSidecar,
            NoAnswer::Silent { .. } => Missing::Silent,
            NoAnswer::Refused { .. } => Missing::NotReady,
            NoAnswer::Old { .. } => Missing::Old,
        };
        self.unseen.0 = self.unseen.0.saturating_add(agent.volumes);
        self.unseen.1 = self.unseen.1.saturating_add(agent.size);
        self.missing.entry(missing).or_default().push(Unanswered {
            host: agent.host.clone(),
            agent: agent.id.clone(),
            why: why.to_string(),
            volumes: agent.volumes,
        });
    }

    pub(super) fn count(&mut self, state: &str) {
        let count = self.states.entry(state.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn owe(&mut self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.owed_bytes = self.owed_bytes.saturating_add(bytes),
            None => self.owed_uncounted = self.owed_uncounted.saturating_add(1),
        }
    }

    pub(super) fn add(&mut self, what: &'static str, number: f64) {
        *self.others.entry(what).or_default() += number;
    }

    /// Frameworks that have a role, by their names.
    pub(super) fn of_role(&self, role: &Raw) -> Vec<&str> {
        let names = self.frameworks.get(role).into_iter().flatten();
        names.map(String::as_str).collect()
    }

    /// Roles with reservations that several frameworks have.
    fn shared(&self) -> impl Iterator<Item = (&Raw, &BTreeSet<String>)> {
        self.frameworks
            .iter()
            .filter(|(role, names)| names.len() > 1 && self.listed.roles.contains(*role))
    }

    /// An error where the list of agents is not whole; degraded where an agent is missing.
    pub(super) fn exit(&self) -> Exit {
        if self.listed.cut.is_some() {
            Exit::Error
        } else if self.missing.is_empty()
            && self.listed.recovered.is_empty()
            && self.listed.hidden == 0
            && self.troubles.is_empty()
        {
            Exit::Done
        } else {
            Exit::Degraded
        }
    }

    /// As JSON.
    pub(super) fn told(&self) -> Value {
        let named =
            |(role, frameworks)| json!({ "role": format!("{role}"), "frameworks": frameworks });
        let shared: Vec<Value> = self
            .shared()
            .map(|(role, names): (&Raw, &BTreeSet<String>)| (role.to_string(), json!(names)))
            .map(named)
            .collect();
        let old: Vec<Value> = self
            .old
            .iter()
            .map(|(host, version)| json!({ "host": host, "version": version }))
            .collect();
        json!({
            "agents": self.listed.agents,
            "answered": self.answered,
            "not_connected": self.listed.away,
            "missing": self.missing,
            "missing_volumes": self.unseen.0,
            "missing_size_mb": self.unseen.1.as_f64(),
            "old": old,
            "recovered": self.listed.recovered,
            "hidden": self.listed.hidden,
            "states": self.states,
            "used": self.used,
            "waiting": self.waiting,
            "owed_bytes": self.owed_bytes,
            "owed_uncounted": self.owed_uncounted,
            "sums": self.others,
            "shared_roles": shared,
            "list_cut": self.listed.cut,
            "troubles": self.troubles,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = Text::new();
        text.line(format_args!(
            "{} agents, {} sidecars answered",
            self.listed.agents, self.answered
        ));
        if !self.states.is_empty() {
            let states: Vec<String> = self
                .states
                .iter()
                .map(|(state, count)| match state.as_str() {
                    "held" => format!(
                        "{count} held ({} used, {} waiting)",
                        self.used, self.waiting
                    ),
                    other => format!("{count} {}", Raw::from(other)),
                })
                .collect();
            text.line(states.join(", "));
        }
        if self.owed_bytes > 0 || self.owed_uncounted > 0 {
            let more = match self.owed_uncounted {
                0 => String::new(),
                more => format!(", and {more} that were not counted"),
            };
            text.line(format_args!(
                "{} still to be freed{more}",
                Bytes(self.owed_bytes)
            ));
        }
        for (what, number) in &self.others {
            text.line(format_args!("{number} {what}"));
        }
        for (missing, agents) in &self.missing {
            let names = agents.iter().map(|one| one.host.as_str());
            text.line(format_args!(
                "{} agents {}: {}",
                agents.len(),
                missing.words(),
                some(names)
            ));
            if let Some(first) = agents.first() {
                text.line(format_args!("  such as: {}", Raw::from(first.why.as_str())));
            }
        }
        if self.unseen.0 > 0 {
            text.line(format_args!(
                "not shown: {} volumes, {} MB, that the master counts there",
                self.unseen.0, self.unseen.1
            ));
        }
        if !self.old.is_empty() {
            let names = self.old.iter().map(|(host, _)| host.as_str());
            text.line(format_args!(
                "{} sidecars are older: {}",
                self.old.len(),
                some(names)
            ));
        }
        if !self.listed.recovered.is_empty() {
            let names = self.listed.recovered.iter().map(String::as_str);
            text.line(format_args!(
                "{} agents have not come back since the master's failover: {}",
                self.listed.recovered.len(),
                some(names)
            ));
        }
        if self.listed.hidden > 0 {
            text.line(format_args!(
                "of {} agents the master hides something: our principal may not see every role \
                 (VIEW_ROLE)",
                self.listed.hidden
            ));
        }
        for (role, names) in self.shared() {
            text.line(format_args!(
                "role {role} is shared by {}",
                some(names.iter().map(String::as_str))
            ));
        }
        for trouble in self.troubles.iter().chain(&self.listed.cut) {
            text.line(format_args!("not whole: {}", Raw::from(trouble.as_str())));
        }
        text.into_string()
    }
}

/// The first names of many.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<String> = names.map(|name| Raw::from(name).to_string()).collect();
    all.sort();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let names = all.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more (--output json names all)"),
    }
}
