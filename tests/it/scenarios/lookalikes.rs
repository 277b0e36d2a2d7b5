//! N1 to N9: what looks like an orphan and is none. Each must survive, with all that makes data go
//! fast switched on.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name, and start programs"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use super::site::Site;
use crate::e2e::host::{fill, is_gone};
use crate::own_namespace::entered;
use crate::stand_ins::cluster::{Cluster, Flags};
use crate::stand_ins::master::{Framework, MasterOrder};
use crate::support::stand_in::{StandIn, wait_until};

/// A site whose agent is registered with a master.
fn with_master(site: &mut Site) -> Cluster {
    let cluster = Cluster::start(&Flags::default()).unwrap();
    site.host.agent.stop();
    let master = format!("--master={}", cluster.address());
    site.host.agent.set_flags(&[&master]);
    site.host.agent.start();
    wait_until("the agent is known", Duration::from_secs(10), || {
        !cluster.master.lock().agents.is_empty()
    });
    cluster
}

fn knows(cluster: &Cluster, id: &str) -> bool {
    let state = cluster.master.lock();
    let volumes = state.agents.values().flat_map(|agent| &agent.total);
    let mut keys = volumes.filter_map(mesos_volumed::mesos::resource::Resource::volume_key);
    keys.any(|key| key.id.to_string() == id)
}

#[test]
fn scenario_n01_destroyed_while_the_agent_was_down() {
    if !entered("scenarios::lookalikes::scenario_n01_destroyed_while_the_agent_was_down") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "back", 30);
    let cluster = with_master(&mut site);
    wait_until("it is known", Duration::from_secs(5), || {
        knows(&cluster, "back")
    });
    site.host.sweep(0);
    site.host.agent.stop();
    let (agent, volume) = {
        let state = cluster.master.lock();
        let (id, agent) = state.agents.iter().next().unwrap();
        let is_back = |one: &&mesos_volumed::mesos::resource::Resource| {
            one.volume_key()
                .is_some_and(|key| key.id.to_string() == "back")
        };
        let volume = agent.total.iter().find(is_back).unwrap().clone();
        (id.clone(), volume)
    };
    let destroy = crate::stand_ins::change::Change::Destroy(vec![volume]);
    cluster.master.accept(&agent, &destroy).unwrap();
    assert!(!knows(&cluster, "back"), "the master has dropped it");
    site.is_kept("PATH", "back", "held");
    site.host.agent.start();
    wait_until("it is back", Duration::from_secs(5), || {
        knows(&cluster, "back")
    });
    site.is_kept("PATH", "back", "held");
}

#[test]
fn scenario_n02_a_new_agent_id() {
    if !entered("scenarios::lookalikes::scenario_n02_a_new_agent_id") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "lives", 30);
    site.host.tenant("MOUNT", "lives-too", 30);
    site.remember(&site.host.root("MOUNT"));
    site.host.sweep(0);
    site.host.agent.stop();
    let latest = site.host.root("ROOT").join("meta/slaves/latest");
    let old = std::fs::read_link(&latest).unwrap();
    std::fs::remove_file(&latest).unwrap();
    site.is_kept("PATH", "lives", "foreign_root");
    site.host.agent.start();
    assert_ne!(std::fs::read_link(&latest).unwrap(), old);
    site.is_kept("PATH", "lives", "held");
    assert_eq!(site.host.states("lives"), ["held"]);
}

#[test]
fn scenario_n03_a_create_that_is_pending_or_only_in_a_target() {
    if !entered("scenarios::lookalikes::scenario_n03_a_create_that_is_pending_or_only_in_a_target")
    {
        return;
    }
    let mut site = Site::new("1.11.0");
    let disk = ["--disk", "ROOT", "--size", "10"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &disk].concat());
    // Its directory is there already, as after a crash, with data.
    let path = site.host.volume("ROOT", "new");
    fill(&path, 10);
    site.host
        .agent
        .order(&[&["create-pending", "r/new"][..], &disk].concat());
    site.is_kept("ROOT", "new", "pending_operation");
    site.host.agent.order(&["crash-after", "directories"]);
    site.host.agent.crashes_at(&["finish"]);
    let resources = site.host.root("ROOT").join("meta/resources");
    assert!(!is_gone(&resources.join("resources.target")));
    site.is_kept("ROOT", "new", "pending_operation");
    site.host.agent.start();
    site.is_kept("ROOT", "new", "held");
    assert_eq!(site.host.states("new"), ["held"]);
}

#[test]
fn scenario_n04_an_agent_that_recovers_or_hides_a_role() {
    if !entered("scenarios::lookalikes::scenario_n04_an_agent_that_recovers_or_hides_a_role") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "lives", 30);
    let old = site.host.volume("PATH", "nobodys");
    fill(&old, 10);
    site.remember(&old);
    site.host
        .agent
        .order(&["faults", r#"{"paths": [{"path": "/", "status": 503}]}"#]);
    site.is_kept("PATH", "lives", "held");
    let run = site.host.run(&["sweep"]);
    assert!(run.out.contains("agent_recovering"), "{}", run.out);
    site.host
        .agent
        .order(&["faults", r#"{"hidden_roles": ["r"]}"#]);
    let run = site.host.run(&["sweep"]);
    assert!(run.out.contains("VIEW_ROLE"), "{}", run.out);
    site.is_kept("PATH", "lives", "held");
    for wrong in [
        r#"{"paths": [{"path": "/", "half": true}]}"#,
        r#"{"paths": [{"path": "/", "status": 401}]}"#,
        r#"{"paths": [{"path": "/", "late": 30}]}"#,
    ] {
        site.host.agent.order(&["faults", wrong]);
        let run = site.host.run(&["sweep"]);
        assert!(run.out.contains("authority_unknown"), "{wrong} {}", run.out);
    }
    site.rest_lives();
}

#[test]
fn scenario_n05_metadata_lost_while_a_container_has_it_mounted() {
    if !entered(
        "scenarios::lookalikes::scenario_n05_metadata_lost_while_a_container_has_it_mounted",
    ) {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("PATH", "mounted", 30);
    site.host.sweep(0);
    let path = site.host.volume("PATH", "mounted");
    // A container: a mount namespace of its own, with the volume bound into its sandbox.
    let sandbox = site.host.temp().join("sandbox");
    std::fs::create_dir(&sandbox).unwrap();
    let script = format!(
        "mount --bind '{}' '{}' && exec sleep 1000",
        path.display(),
        sandbox.display()
    );
    let mut container = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = container.id();
    wait_until("it is mounted", Duration::from_secs(5), || {
        let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"));
        table.is_ok_and(|table| table.contains("/sandbox "))
    });
    site.host.agent.stop();
    std::fs::remove_dir_all(site.host.root("ROOT").join("meta/resources")).unwrap();
    site.host.agent.start();
    site.host.run(&["sweep", "--accept-empty"]);
    site.is_kept("PATH", "mounted", "in_use_mount");
    container.kill().unwrap();
    container.wait().unwrap();
    // Nobody has it any more: now it is an orphan like others.
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&path));
}

#[test]
fn scenario_n06_a_mount_that_was_filled_beforehand() {
    if !entered("scenarios::lookalikes::scenario_n06_a_mount_that_was_filled_beforehand") {
        return;
    }
    let mut site = Site::new("1.11.0");
    fill(&site.host.root("MOUNT"), 30);
    site.remember(&site.host.root("MOUNT"));
    for _ in 0..3 {
        site.host.sweep(0);
    }
    site.host.agent.stop();
    site.host.sweep(0);
    site.rest_lives();
    site.host.agent.start();
    // Its first volume finds the data there, as documented.
    let disk = format!("MOUNT:{}", site.host.root("MOUNT").display());
    let part = ["--disk", &disk, "--size", "20"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &part].concat());
    site.host
        .agent
        .order(&[&["create", "r/filled"][..], &part].concat());
    site.host.sweep(0);
    site.host.agent.stop();
    site.host.sweep(0);
    site.rest_lives();
}

#[test]
fn scenario_n07_a_second_agent_shares_a_path_root() {
    if !entered("scenarios::lookalikes::scenario_n07_a_second_agent_shares_a_path_root") {
        return;
    }
    let site = Site::new("1.11.0");
    let folder = site.host.temp().join("second");
    std::fs::create_dir(&folder).unwrap();
    let resources = serde_json::json!([
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 40}},
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 40},
         "disk": {"source": {"type": "PATH", "path": {"root": site.host.root("PATH")}}}},
    ]);
    let mut second = StandIn::new(&folder, &folder.join("work"), &resources.to_string());
    second.start();
    let disk = format!("PATH:{}", site.host.root("PATH").display());
    let part = ["--disk", &disk, "--size", "10"];
    second.order(&[&["reserve", "r"][..], &part].concat());
    second.order(&[&["create", "r/second"][..], &part].concat());
    let path = site.host.volume("PATH", "second");
    fill(&path, 20);
    site.is_kept("PATH", "second", "other_view");
}

#[test]
fn scenario_n08_a_volume_of_a_resource_provider() {
    if !entered("scenarios::lookalikes::scenario_n08_a_volume_of_a_resource_provider") {
        return;
    }
    let mut site = Site::new("1.11.0");
    let disk = format!("PATH:{}", site.host.root("PATH").display());
    site.host.agent.order(&[
        "provide",
        "lvm",
        "r/provided",
        "--disk",
        &disk,
        "--size",
        "5",
    ]);
    let path = site.host.volume("PATH", "provided");
    fill(&path, 20);
    site.is_kept("PATH", "provided", "held");
    // Its file alone is enough.
    site.host.agent.stop();
    site.is_kept("PATH", "provided", "held");
}

#[test]
fn scenario_n09_the_framework_is_gone() {
    if !entered("scenarios::lookalikes::scenario_n09_the_framework_is_gone") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "kept", 30);
    let cluster = with_master(&mut site);
    let framework = Framework {
        id: "f".to_owned(),
        name: "kafka".to_owned(),
        roles: vec!["r".to_owned()],
        ..Framework::default()
    };
    cluster
        .master
        .order(MasterOrder::Framework(framework))
        .unwrap();
    site.host.sweep(0);
    cluster
        .master
        .order(MasterOrder::Complete("f".to_owned()))
        .unwrap();
    site.is_kept("PATH", "kept", "held");
    assert_eq!(site.host.states("kept"), ["held"]);
}
