//! `config/marathon-sidecar.json` is an app that Marathon takes, and runs what this program is.

use std::collections::BTreeSet;

use mesos_volumed::config;
use serde_json::{Value, json};

const APP: &str = include_str!("../../config/marathon-sidecar.json");
const API: &str = include_str!("../../config/openapi.json");
const SAMPLE: &str = include_str!("../../config/mesos-volumed.toml");

/// Every field of an app that is written, by Marathon 1.9.
const FIELDS: &str = "acceptedResourceRoles args backoffFactor backoffSeconds check cmd constraints container \
    cpus dependencies disk env executor executorResources fetch gpus healthChecks id instances \
    killSelection labels maxLaunchDelaySeconds mem networks portDefinitions readinessChecks requirePorts \
    residency resourceLimits role secrets taskKillGracePeriodSeconds tty unreachableStrategy \
    upgradeStrategy user";
const FETCH: &str = "cache destPath executable extract uri";
const HEALTH_CHECK: &str = "command delaySeconds gracePeriodSeconds ignoreHttp1xx intervalSeconds ipProtocol \
    maxConsecutiveFailures path port portIndex protocol timeoutSeconds";

fn app() -> Value {
    serde_json::from_str(APP).unwrap()
}

#[track_caller]
fn knows(fields: &str, object: &Value) {
    let known: BTreeSet<&str> = fields.split_whitespace().collect();
    for field in object.as_object().unwrap().keys() {
        assert!(known.contains(field.as_str()), "{field}");
    }
}

#[test]
fn it_has_fields_that_marathon_knows_and_no_other() {
    let app = app();
    knows(FIELDS, &app);
    for fetched in app["fetch"].as_array().unwrap() {
        knows(FETCH, fetched);
        let uri = url::Url::parse(fetched["uri"].as_str().unwrap()).unwrap();
        assert_eq!(uri.scheme(), "https");
    }
    for check in app["healthChecks"].as_array().unwrap() {
        knows(HEALTH_CHECK, check);
    }
    knows(
        "maximumOverCapacity minimumHealthCapacity",
        &app["upgradeStrategy"],
    );
    // It is read as our own client reads apps, and keeps nothing.
    let answer = json!({ "app": app }).to_string();
    let read = mesos_volumed::mesos::marathon::parse_app(answer.as_bytes()).unwrap();
    assert!(!read.is_stateful());
}

#[test]
fn one_runs_on_each_agent_and_an_upgrade_ends_the_old_one_first() {
    let app = app();
    assert_eq!(app["constraints"], json!([["hostname", "UNIQUE"]]));
    assert_eq!(app["upgradeStrategy"]["maximumOverCapacity"], 0);
    let health = app["upgradeStrategy"]["minimumHealthCapacity"]
        .as_f64()
        .unwrap();
    assert!(
        health > 0.0 && health < 1.0,
        "an upgrade is rolling, and goes on"
    );
    assert_eq!(app["user"], "root");
    assert_eq!(app["unreachableStrategy"], "disabled");
}

#[test]
fn its_command_is_what_was_fetched_with_arguments_that_we_take() {
    let app = app();
    let cmd = app["cmd"].as_str().unwrap();
    let words: Vec<&str> = cmd.split_whitespace().collect();
    assert_eq!(words[0], "exec", "signals reach it");
    let names: Vec<(&str, bool)> = app["fetch"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let uri = one["uri"].as_str().unwrap();
            (uri.rsplit('/').next().unwrap(), one["executable"] == true)
        })
        .collect();
    assert!(
        names.contains(&(words[1].trim_start_matches("./"), true)),
        "{names:?}"
    );
    let matches = mesos_volumed::cli::command()
        .try_get_matches_from(&words[1..])
        .unwrap();
    let (command, matches) = matches.subcommand().unwrap();
    assert_eq!(command, "run");
    let file = matches.get_one::<std::path::PathBuf>("config").unwrap();
    assert!(
        names.contains(&(file.to_str().unwrap(), false)),
        "{names:?}"
    );
}

#[test]
fn its_health_check_asks_what_the_daemon_answers_where_it_listens() {
    let app = app();
    let check = &app["healthChecks"][0];
    let api: Value = serde_json::from_str(API).unwrap();
    let path = check["path"].as_str().unwrap();
    assert!(api["paths"][path]["get"].is_object(), "{path}");
    let listen = config::keys::all()
        .find(|key| key.name() == "daemon.listen")
        .unwrap()
        .default_text();
    let port = listen.trim_matches('"').rsplit(':').next().unwrap();
    assert_eq!(check["port"].to_string(), port);
    // The executor asks from the host itself.
    assert_eq!(check["protocol"], "MESOS_HTTP");
    assert!(SAMPLE.contains(&format!("#listen = {listen}")));
}
