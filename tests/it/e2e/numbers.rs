//! The numbers of a host that has an agent: adopted as they are, and moved only where the agent
//! still starts.

#![expect(clippy::disallowed_methods, reason = "a test spoils its own file")]

use super::host::{Host, Parts};
use crate::own_namespace::entered;

/// What `discover` says of the disk of this type.
fn row(host: &Host, disk: &str) -> serde_json::Value {
    let seen = host.run(&["discover", "--output", "json"]).json();
    let root = host.root(disk).display().to_string();
    let rows = seen["disks"].as_array().unwrap();
    rows.iter()
        .find(|row| row["root"] == root.as_str() && row["type"] == disk)
        .unwrap_or_else(|| panic!("{root}: {seen:#}"))
        .clone()
}

#[test]
fn root_a_first_run_adopts_what_the_agent_has_and_grows_it_only_where_the_agent_starts_with_more() {
    if !entered(
        "e2e::numbers::root_a_first_run_adopts_what_the_agent_has_and_grows_it_only_where_the_agent_starts_with_more",
    ) {
        return;
    }
    // What the stand-in has beside its disks.
    let extra = "[resources]\nextra = \"cpus:2;mem:2048;ports:[31000-32000]\"\n";
    let mut host = Host::new(Parts {
        settings: extra,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("MOUNT", "database", 3);
    for (disk, number, reason, from) in [
        ("ROOT", 40, "policy_equal", "slave.info"),
        ("PATH", 40, "policy_equal", "slave.info"),
        ("MOUNT", 20, "held_mount", "checkpoint"),
    ] {
        let row = row(&host, disk);
        assert_eq!(row["advertised_mb"], number, "{row:#}");
        assert_eq!(row["number_reason"], reason, "{row:#}");
        let adopted = row["adopted_from"].as_str().unwrap();
        assert!(adopted.contains(from), "{row:#}");
    }
    let file = host.temp().join("resources.json").display().to_string();
    let write = ["resources", "--write", file.as_str()];
    host.run(&write).ends(0);
    host.run(&["preflight", "--resources", &file]).ends(0);
    let ledger = std::fs::read_to_string(host.state_dir().join("ledger.json")).unwrap();
    assert!(ledger.contains("40 MB adopted from the agent's slave.info"));

    // A larger disk is no larger number for an agent that would not start with it.
    host.path_disk.resize(96);
    host.run(&write).ends(0);
    assert_eq!(row(&host, "PATH")["advertised_mb"], 40);

    host.agent.stop();
    host.configure(&format!("{extra}policy = \"additive\"\n"));
    host.run(&write).ends(0);
    let grown = row(&host, "PATH");
    assert!(grown["advertised_mb"].as_u64().unwrap() > 70, "{grown:#}");
    assert!(grown["adopted_from"].is_null(), "{grown:#}");
    assert_eq!(row(&host, "MOUNT")["advertised_mb"], 20);
    let additive = ["preflight", "--policy", "additive", "--resources", &file];
    host.run(&additive).ends(0);
    let equal = ["preflight", "--policy", "equal", "--resources", &file];
    host.run(&equal).ends(5);

    // It is gone: what lies below is never offered in its place.
    host.path_disk.unmount();
    let run = host.run(&write).ends(4);
    assert!(run.err.contains("is left out"), "{}", run.err);
    let gone = row(&host, "PATH");
    assert_eq!(gone["number_reason"], "left_out", "{gone:#}");
    assert_eq!(gone["agent_would"], "refuses (policy)", "{gone:#}");
    host.run(&additive).ends(5);
    host.path_disk.mount();
    host.run(&write).ends(0);
    assert_eq!(row(&host, "PATH")["advertised_mb"], grown["advertised_mb"]);
    host.run(&additive).ends(0);
}

#[test]
fn root_a_held_mount_keeps_its_three_decimals_over_every_run_and_start() {
    if !entered("e2e::numbers::root_a_held_mount_keeps_its_three_decimals_over_every_run_and_start")
    {
        return;
    }
    let extra = "[resources]\nextra = \"cpus:2;mem:2048;ports:[31000-32000]\"\n";
    let mut host = Host::new(Parts {
        settings: extra,
        mount: "20.125",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("MOUNT", "database", 3);
    host.agent.stop();
    let file = host.temp().join("resources.json").display().to_string();
    for policy in ["equal", "additive", "equal"] {
        host.configure(&format!("{extra}policy = \"{policy}\"\n"));
        host.run(&["resources", "--write", &file]).ends(0);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("{\"value\":20.125},\"disk\""), "{text}");
        let row = row(&host, "MOUNT");
        assert_eq!(row["advertised_mb"], 20.125, "{row:#}");
        host.run(&["preflight", "--policy", "additive", "--resources", &file])
            .ends(0);
    }
    // A number that is off by a thousandth is refused.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("20.125", "20.126")).unwrap();
    host.run(&["preflight", "--policy", "additive", "--resources", &file])
        .ends(5);
    host.run(&["resources", "--write", &file]).ends(0);
    host.run(&["preflight", "--policy", "equal", "--resources", &file])
        .ends(0);
}
