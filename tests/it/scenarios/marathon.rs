//! `marathon tasks` and `marathon wipe` on hosts with stateful apps: what is over goes, to the last
//! byte; what runs, or may run again any moment, stays.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::apps::{app, ask, register, running, soon, tasks, through};
use super::site::FAST;
use crate::e2e::host::{Host, Parts, fill, is_gone, tree};
use crate::own_namespace::entered;
use crate::stand_ins::cluster::{Cluster, Flags};
use crate::stand_ins::http::Fault;
use crate::stand_ins::marathon::MarathonOrder;

/// A host and its cluster.
struct Shop {
    cluster: Cluster,
    host: Host,
}

impl Shop {
    fn new(version: &str, settings: &str) -> Self {
        let cluster = Cluster::start(&Flags::default()).unwrap();
        let mut host = Host::new(Parts::default());
        let version = format!("--as_version={version}");
        register(&mut host, &cluster, &[&version, "--hostname=here"]);
        host.configure(&through(&cluster, settings));
        host.sweep(0);
        Self { cluster, host }
    }

    fn order(&self, order: MarathonOrder) {
        let marathon = self.cluster.marathon.as_ref().unwrap();
        marathon.order(order).unwrap();
    }

    /// Starts an app and gives each of its volumes data.
    fn start(&self, app: &Json) {
        let id = app["id"].as_str().unwrap();
        ask("POST", &self.cluster, "/v2/apps", &app.to_string());
        let wanted = usize::try_from(app["instances"].as_u64().unwrap()).unwrap();
        soon("it runs", || running(&self.cluster, id) == wanted);
        for task in tasks(&self.cluster, id) {
            let volume = self.volume(&persistence(&task));
            soon("its volume is made", || !is_gone(&volume));
            fill(&volume, 10);
        }
        self.settled();
    }

    fn settled(&self) {
        soon("deployments are over", || {
            ask("GET", &self.cluster, "/v2/deployments", "") == json!([])
        });
    }

    fn scale(&self, id: &str, instances: usize) {
        let body = json!({ "instances": instances }).to_string();
        ask(
            "PUT",
            &self.cluster,
            &format!("/v2/apps{id}?force=true"),
            &body,
        );
        soon("it is scaled", || running(&self.cluster, id) == instances);
        self.settled();
    }

    fn volume(&self, id: &str) -> PathBuf {
        let roles = self.host.root("PATH").join("volumes/roles/marathon");
        roles.join(id)
    }

    fn wipe(&self, arguments: &[&str]) -> crate::e2e::host::Run {
        self.host
            .run(&[&["marathon", "wipe"][..], arguments].concat())
    }
}

fn persistence(task: &Json) -> String {
    let id = task["localVolumes"][0]["persistenceId"].as_str();
    id.unwrap().to_owned()
}

fn name(task: &Json) -> String {
    task["id"].as_str().unwrap().to_owned()
}

#[test]
fn scenario_tasks_are_listed_and_a_silent_marathon_is_an_error() {
    if !entered("scenarios::marathon::scenario_tasks_are_listed_and_a_silent_marathon_is_an_error")
    {
        return;
    }
    let shop = Shop::new("1.11.0", FAST);
    let list = |more: &[&str]| shop.host.run(&[&["marathon", "tasks"][..], more].concat());
    assert_eq!(list(&[]).ends(0).out, "no stateful tasks\n");
    shop.start(&app("/shop/db/pg", 2));
    shop.scale("/shop/db/pg", 1);
    let mut risky = app("/risky", 1);
    risky["upgradeStrategy"] = json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 1});
    shop.start(&risky);
    ask(
        "POST",
        &shop.cluster,
        "/v2/apps",
        &json!({"id": "/web", "instances": 1}).to_string(),
    );

    let told = list(&["--output", "json"]).ends(0).json();
    let apps = told["apps"].as_array().unwrap();
    let of = |id: &str| apps.iter().find(|app| app["id"] == id).unwrap().clone();
    assert_eq!(apps.len(), 2, "{told}");
    assert_eq!(
        of("/risky")["marks"],
        json!(["no_replica", "upgrade_strategy"])
    );
    let nested = of("/shop/db/pg");
    assert_eq!(nested["marks"], json!([]));
    assert_eq!(nested["in_persistence_ids"], "shop_db_pg");
    let tasks = nested["tasks"].as_array().unwrap();
    let mut states: Vec<_> = tasks
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["Running", "Waiting"]);
    let volume = &tasks[0]["volumes"][0];
    let id = volume["persistence_id"].as_str().unwrap();
    assert!(id.starts_with("shop_db_pg#data#"), "{id}");
    let here = &volume["here"][0];
    assert_eq!(here["state"], "held");
    assert!(here["usage"]["bytes"].as_u64().unwrap() > 3 << 20, "{here}");
    assert!(
        here["changed_at"].as_i64().unwrap() > 0 && here["made_at"].is_i64(),
        "{here}"
    );

    let table = list(&[]).ends(0).out;
    for words in [
        "/risky: no replica: back it up",
        "/risky: upgrade strategy above 0.5/0",
        "here",
        shop.volume(id).to_str().unwrap(),
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let one = list(&["--app", "risky"]).ends(0).out;
    assert!(
        one.contains("/risky") && !one.contains("shop_db_pg"),
        "{one}"
    );
    list(&["--app", "/none"]).ends(5);

    for (status, half) in [(Some(503), false), (Some(500), false), (None, true)] {
        shop.cluster.marathon_faults.lock().unwrap().paths = vec![Fault {
            path: "/v2".to_owned(),
            status,
            half,
            ..Fault::default()
        }];
        let silent = list(&[]).ends(1);
        assert_eq!(silent.out, "");
        assert!(silent.err.contains("error: "), "{}", silent.err);
    }
    shop.host.configure("");
    let unset = list(&[]).ends(1);
    assert!(unset.err.contains("marathon.url"), "{}", unset.err);
}

#[test]
fn scenario_only_what_waits_goes_and_a_running_neighbour_does_not_notice() {
    if !entered(
        "scenarios::marathon::scenario_only_what_waits_goes_and_a_running_neighbour_does_not_notice",
    ) {
        return;
    }
    for version in ["0.28.2", "1.8.0", "1.11.0"] {
        let mut shop = Shop::new(version, FAST);
        shop.start(&app("/pg", 2));
        shop.scale("/pg", 1);
        let all = tasks(&shop.cluster, "/pg");
        let (runs, waits): (Vec<Json>, Vec<Json>) = all
            .into_iter()
            .partition(|one| one["state"] == "TASK_RUNNING");
        let [lives, goes] = [&runs[0], &waits[0]].map(|one| shop.volume(&persistence(one)));
        let before = tree(&lives);

        // Scaled down, swept, the agent restarted: it waits with its data.
        let waiting = tree(&goes);
        shop.host.sweep(0);
        shop.host.agent.restart();
        shop.host.sweep(0);
        shop.host.sweep(0);
        assert_eq!(tree(&goes), waiting, "{version}");

        shop.wipe(&["/pg"]).ends(5);
        let dry = shop.wipe(&["/pg", "--waiting", "--dry-run"]).ends(0).out;
        let call = format!("/v2/apps/pg/tasks/{}?wipe=true", name(&waits[0]));
        assert!(
            dry.contains("--request DELETE") && dry.contains(&call),
            "{dry}"
        );
        assert!(!dry.contains(&name(&runs[0])), "{dry}");
        assert_eq!(tree(&goes), waiting, "{version}");

        let gone = shop.wipe(&["/pg", "--waiting"]).ends(0);
        assert!(gone.out.contains(": gone\n"), "{version} {}", gone.out);
        assert!(is_gone(&goes), "{version}");
        assert_eq!(tree(&lives), before, "{version}");
        assert_eq!(running(&shop.cluster, "/pg"), 1);
        let again = shop.wipe(&["/pg", "--waiting"]).ends(0).out;
        assert!(again.contains("nothing to wipe"), "{again}");
        shop.wipe(&["/pg", "--task", &name(&waits[0])]).ends(5);
    }
}

#[test]
fn scenario_upgrades_restarts_and_failures_never_lose_a_volume() {
    if !entered("scenarios::marathon::scenario_upgrades_restarts_and_failures_never_lose_a_volume")
    {
        return;
    }
    let shop = Shop::new("1.11.0", FAST);
    shop.start(&app("/pg", 1));
    let volume = shop.volume(&persistence(&tasks(&shop.cluster, "/pg")[0]));
    let before = tree(&volume);
    let kept = |code: &str| {
        for more in [&["--waiting"][..], &[], &["--scale"]] {
            if more == ["--scale"] && code != "deploying" {
                continue;
            }
            let run = shop
                .wipe(&[&["/pg", "--output", "json"][..], more].concat())
                .ends(5);
            assert_eq!(run.json()["instances"][0]["stays"], code, "{}", run.out);
        }
        shop.host.sweep(0);
        assert!(tree(&volume) == before, "its data changed");
    };

    // A restart and an upgrade kill the old instance first: for a while, until an offer comes, its
    // volume waits, and looks left behind.
    for (method, path, body) in [
        ("POST", "/v2/apps/pg/restart", json!({})),
        ("PUT", "/v2/apps/pg", json!({"mem": 33})),
    ] {
        shop.order(MarathonOrder::Suspend(true));
        ask(method, &shop.cluster, path, &body.to_string());
        let id = name(&tasks(&shop.cluster, "/pg")[0]);
        shop.order(MarathonOrder::Fail(id));
        assert_eq!(running(&shop.cluster, "/pg"), 0);
        kept("deploying");
        shop.order(MarathonOrder::Suspend(false));
        soon("it runs again", || running(&shop.cluster, "/pg") == 1);
        shop.settled();
    }

    // Its task fails, and no offer comes to launch it again: nobody has scaled it down.
    let id = name(&tasks(&shop.cluster, "/pg")[0]);
    shop.order(MarathonOrder::Suspend(true));
    shop.order(MarathonOrder::Fail(id));
    assert_eq!(running(&shop.cluster, "/pg"), 0);
    kept("awaited");
    shop.order(MarathonOrder::Suspend(false));
    soon("it runs again", || running(&shop.cluster, "/pg") == 1);
    let again = shop.volume(&persistence(&tasks(&shop.cluster, "/pg")[0]));
    assert_eq!(again, volume);
    assert!(tree(&volume) == before, "its data changed");

    // `--scale` is the word that it is over.
    shop.wipe(&["/pg", "--scale"]).ends(0);
    assert!(is_gone(&volume));
    assert!(tasks(&shop.cluster, "/pg").is_empty());
}

#[test]
fn scenario_a_wipe_that_was_killed_is_ended_by_the_next_one() {
    if !entered("scenarios::marathon::scenario_a_wipe_that_was_killed_is_ended_by_the_next_one") {
        return;
    }
    let shop = Shop::new("1.11.0", FAST);
    shop.start(&app("/pg", 2));
    shop.scale("/pg", 0);
    let all = tasks(&shop.cluster, "/pg");
    let [first, second] = [&all[0], &all[1]].map(|one| (name(one), shop.volume(&persistence(one))));
    // Marathon takes the call, and nothing of it happens yet.
    shop.order(MarathonOrder::Suspend(true));
    let mut child = shop
        .host
        .spawn(&["marathon", "wipe", "/pg", "--task", &first.0]);
    let journal = shop.host.state_dir().join("marathon.json");
    let audit = shop.host.state_dir().join("audit/audit.jsonl");
    soon("Marathon was told", || {
        let said = std::fs::read_to_string(&audit).unwrap_or_default();
        said.lines()
            .any(|line| line.contains("\"marathon\"") && line.contains("\"done\""))
    });
    let other = shop.wipe(&["/pg", "--task", &second.0]).ends(6);
    assert!(
        other.err.contains("another `marathon wipe`"),
        "{}",
        other.err
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // Marathon forgets the instance, the agent deletes: nobody but the note knows what it had.
    shop.order(MarathonOrder::Suspend(false));
    soon("it is dropped", || tasks(&shop.cluster, "/pg").len() == 1);
    let noted = std::fs::read_to_string(&journal).unwrap();
    assert!(noted.contains(&first.0), "{noted}");
    let again = shop.wipe(&["/pg", "--task", &first.0]).ends(0);
    assert!(again.out.contains(": gone\n"), "{}", again.out);
    assert!(is_gone(&first.1) && !is_gone(&second.1));
    let noted = std::fs::read_to_string(&journal).unwrap();
    assert!(!noted.contains(&first.0), "{noted}");
    shop.wipe(&["/pg", "--task", &first.0]).ends(5);

    // Undecided when the time is over; the same command goes on.
    shop.order(MarathonOrder::Suspend(true));
    let late = shop.wipe(&["/pg", "--waiting", "--wait", "1s"]).ends(1);
    assert!(
        late.out.contains("undecided: Marathon still lists it"),
        "{}",
        late.out
    );
    assert!(!is_gone(&second.1));
    shop.order(MarathonOrder::Suspend(false));
    soon("it is dropped", || tasks(&shop.cluster, "/pg").is_empty());
    shop.wipe(&["/pg", "--waiting"]).ends(0);
    assert!(is_gone(&second.1));
}

#[test]
fn scenario_a_group_goes_in_the_reverse_of_its_dependencies() {
    if !entered("scenarios::marathon::scenario_a_group_goes_in_the_reverse_of_its_dependencies") {
        return;
    }
    let shop = Shop::new("1.11.0", FAST);
    // By name the database would be first.
    shop.start(&app("/shop/a-db", 1));
    let mut web = app("/shop/web", 1);
    web["dependencies"] = json!(["/shop/a-db"]);
    shop.start(&web);
    shop.start(&app("/shopping", 1));
    shop.wipe(&["--group", "/shop"]).ends(5);
    shop.wipe(&["--group", "/none"]).ends(5);
    let gone = shop
        .wipe(&["--group", "/shop", "--scale", "--output", "json"])
        .ends(0);
    let gone = gone.json();
    let apps: Vec<&Json> = gone["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["app"])
        .collect();
    assert_eq!(apps, ["/shop/web", "/shop/a-db"]);
    for one in gone["instances"].as_array().unwrap() {
        assert_eq!(one["volumes"][0]["end"], "gone", "{gone}");
    }
    assert_eq!(running(&shop.cluster, "/shopping"), 1);
    // What stays stops what it depends on.
    shop.scale("/shop/a-db", 1);
    shop.scale("/shop/web", 1);
    let web = name(&tasks(&shop.cluster, "/shop/web")[0]);
    shop.cluster.marathon_faults.lock().unwrap().paths = vec![Fault {
        path: format!("/v2/apps/shop/web/tasks/{web}"),
        status: Some(422),
        ..Fault::default()
    }];
    let failed = shop.wipe(&["--group", "/shop", "--scale"]).ends(1);
    assert!(
        failed.out.contains("nothing came of the call"),
        "{}",
        failed.out
    );
    assert!(failed.out.contains("not begun"), "{}", failed.out);
    assert_eq!(running(&shop.cluster, "/shop/a-db"), 1);
    assert_eq!(running(&shop.cluster, "/shop/web"), 1);
}

#[test]
fn scenario_a_pods_waiting_instance_goes_and_a_running_one_stays() {
    if !entered(
        "scenarios::marathon::scenario_a_pods_waiting_instance_goes_and_a_running_one_stays",
    ) {
        return;
    }
    let shop = Shop::new("1.11.0", FAST);
    let pod = json!({"id": "/cache", "scaling": {"kind": "fixed", "instances": 1},
        "containers": [{"name": "main"}],
        "volumes": [{"name": "disk", "persistent": {"type": "path", "size": 8}}]});
    ask("POST", &shop.cluster, "/v2/pods", &pod.to_string());
    let status = || ask("GET", &shop.cluster, "/v2/pods/cache::status", "");
    soon("it runs", || status()["instances"][0]["status"] == "STABLE");
    shop.settled();
    let instance = status()["instances"][0].clone();
    let volume = shop.volume(&persistence(&instance));
    soon("its volume is made", || !is_gone(&volume));
    fill(&volume, 5);
    let listed = shop.host.run(&["marathon", "tasks"]).ends(0);
    assert!(listed.out.contains("cache#disk#"), "{}", listed.out);
    shop.wipe(&["/cache"]).ends(5);
    let refused = shop.wipe(&["/cache", "--scale"]).ends(5);
    assert!(
        refused.out.contains("scale the pod down"),
        "{}",
        refused.out
    );
    assert!(!is_gone(&volume));
    {
        let mut state = shop.cluster.marathon.as_ref().unwrap().lock();
        state.apps[0].scale(0);
    }
    soon("it waits", || {
        status()["instances"][0]["status"] == "TERMINAL"
    });
    shop.settled();
    shop.wipe(&["/cache", "--waiting"]).ends(0);
    assert!(is_gone(&volume));
    assert_eq!(status()["instances"], json!([]));
}

#[test]
fn scenario_the_daemon_does_this_hosts_part_and_sidecars_tell_of_theirs() {
    if !entered(
        "scenarios::marathon::scenario_the_daemon_does_this_hosts_part_and_sidecars_tell_of_theirs",
    ) {
        return;
    }
    let cluster = Cluster::start(&Flags::default()).unwrap();
    let port = crate::support::stand_in::free_port();
    let host = |name: &str, daemon: &str| {
        let mut host = Host::new(Parts::default());
        let named = format!("--hostname={name}");
        // An old agent that holds nothing any more has an empty checkpoint, which is doubted.
        host.agent.set_flags(&["--as_version=0.28.2"]);
        host.agent.start();
        host.tenant("ROOT", "neighbour", 3);
        register(&mut host, &cluster, &[&named, "--as_version=0.28.2"]);
        let fleet = format!("[fleet]\nurl = \"http://{{host}}:{port}\"\ntimeout = \"20s\"\n");
        host.configure(&through(&cluster, &format!("{FAST}{daemon}{fleet}")));
        host
    };
    // Every address of 127/8 is this machine's: a name for each host.
    let here = host("127.0.0.2", "");
    let listen = format!("[daemon]\nlisten = \"127.0.0.3:{port}\"\n");
    let there = host("127.0.0.3", &listen);
    let daemons = [here.daemon(), there.daemon()];
    let shop = Shop {
        cluster,
        host: here,
    };
    ask(
        "POST",
        &shop.cluster,
        "/v2/apps",
        &app("/pg", 2).to_string(),
    );
    soon("it runs", || running(&shop.cluster, "/pg") == 2);
    shop.settled();
    let all = tasks(&shop.cluster, "/pg");
    let volume = |host: &Host, name: &str| {
        let task = all.iter().find(|one| one["host"] == name).unwrap();
        let roles = host.root("PATH").join("volumes/roles/marathon");
        roles.join(persistence(task))
    };
    let volumes = [volume(&shop.host, "127.0.0.2"), volume(&there, "127.0.0.3")];
    for volume in &volumes {
        soon("it is made", || !is_gone(volume));
        fill(volume, 10);
    }
    for daemon in &daemons {
        daemon.two_passes();
    }
    let gone = shop
        .wipe(&["/pg", "--scale", "--output", "json"])
        .ends(0)
        .json();
    for one in gone["instances"].as_array().unwrap() {
        assert_eq!(one["here"], one["host"] == "127.0.0.2", "{gone}");
        assert_eq!(one["volumes"][0]["end"], "gone", "{gone}");
    }
    assert!(volumes.iter().all(|volume| is_gone(volume)));

    // Nobody can tell for a host without a sidecar, and that is said.
    let [_here, other] = daemons;
    other.stop();
    shop.scale("/pg", 2);
    shop.scale("/pg", 0);
    let unsure = shop.wipe(&["/pg", "--output", "json"]).ends(1).json();
    let ends: Vec<(bool, &str)> = unsure["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["here"] == true,
                one["volumes"][0]["end"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        ends.contains(&(true, "gone")) && ends.contains(&(false, "unverified")),
        "{unsure}"
    );
}
