//! Alerts and dashboard: sound to Prometheus, each alert tested and told what to do about, and all of
//! them about metrics that a running daemon has.

#![expect(
    clippy::disallowed_methods,
    reason = "runs promtool, and makes the files of a host"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::e2e::api::{get, post};
use crate::e2e::host::{Host, Parts};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

const RULES: &str = include_str!("../../config/prometheus-rules.yml");
const TESTS: &str = include_str!("../../config/prometheus-rules.test.yml");
const RUNBOOK: &str = include_str!("../../config/runbook.md");
const DASHBOARD: &str = include_str!("../../config/grafana-dashboard.json");
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

fn alerts() -> Vec<&'static str> {
    RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect()
}

#[test]
fn prometheus_takes_the_rules_and_every_test_of_them_holds() {
    for arguments in [
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(CONFIG)
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: needs promtool");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn every_alert_is_seen_to_fire_and_to_be_silent_and_has_a_paragraph_of_the_runbook() {
    let alerts = alerts();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in &alerts {
        let tests = format!("alertname: {alert}\n");
        assert_eq!(TESTS.matches(&tests).count(), 2, "{alert}");
        let (_, paragraph) = RUNBOOK
            .split_once(&format!("## {alert}\n"))
            .unwrap_or_else(|| panic!("{alert} is not in the runbook"));
        let paragraph = paragraph.split("\n## ").next().unwrap_or_default();
        assert!(paragraph.len() > 100, "{alert}: {paragraph}");
        let link = format!("runbook: runbook.md#{}\n", alert.to_lowercase());
        assert!(RULES.contains(&link), "{alert}");
    }
    let headings = RUNBOOK.matches("\n## ").count();
    assert_eq!(headings, alerts.len(), "a paragraph is about no alert");
}

/// Metrics that a text names, each with the labels that it asks for.
fn named(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rest in text.split("mesos_volumed_").skip(1) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let labels = metrics.entry(name.to_owned()).or_default();
        let asked = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for part in asked.map_or("", |(asked, _)| asked).split(',') {
            let label: String = part.trim().chars().take_while(|c| is_word(*c)).collect();
            // Prometheus itself adds where a series comes from.
            if !label.is_empty() && label != "instance" {
                labels.insert(label);
            }
        }
    }
    metrics
}

fn expressions(value: &Value, into: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let (true, Some(text)) =
                    (["expr", "query"].contains(&key.as_str()), value.as_str())
                {
                    into.push_str(text);
                    into.push('\n');
                }
                expressions(value, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn root_alerts_and_dashboard_ask_for_nothing_that_the_daemon_does_not_have() {
    if !entered("alerts::root_alerts_and_dashboard_ask_for_nothing_that_the_daemon_does_not_have") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("PATH", "goes", 5);
    let daemon = host.daemon();
    daemon.two_passes();
    // A job that waits, so that what is told of jobs is there.
    assert_eq!(post(&host, "/v1/pause", &json!({})).status, 200);
    host.destroy("goes");
    wait_until("a job waits", Duration::from_mins(1), || {
        get(&host, "/v1/jobs").json()["jobs"][0]["state"] == "paused"
    });
    let metrics = get(&host, "/metrics").body;
    let there = named(
        &metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    let mut asked = String::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut asked);
    for line in RULES
        .lines()
        .filter(|line| line.trim().starts_with("expr: "))
    {
        asked.push_str(&line.replace("\\\"", "\""));
        asked.push('\n');
    }
    let asked = named(&asked);
    assert!(asked.len() > 25, "{asked:?}");
    for (metric, labels) in asked {
        // There once a job has ended or failed; `daemon::figures::jobs` holds their names.
        if ["job_failures_total", "job_seconds_bucket"].contains(&metric.as_str()) {
            assert_eq!(labels, BTreeSet::new());
            continue;
        }
        let found = there
            .get(&metric)
            .unwrap_or_else(|| panic!("mesos_volumed_{metric} is not among\n{metrics}"));
        assert!(
            labels.is_subset(found),
            "{metric}: {labels:?}, not {found:?}"
        );
    }
    daemon.stop();
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(
            panel["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        let at = &panel["gridPos"];
        let right = at["x"].as_u64().unwrap() + at["w"].as_u64().unwrap();
        assert!(right <= 24, "{panel}");
        let is_row = panel["type"] == "row";
        assert!(is_row || !panel["targets"][0]["expr"].as_str().unwrap().is_empty());
    }
}
