//! What a removed framework left goes; what is used, or may be somebody's, stays.

use super::host::{Run, is_gone, tree};
use super::master::Site;
use crate::own_namespace::entered;
use crate::stand_ins::master::{Framework, MasterOrder};
use crate::support::stand_in::wait_until;

use std::time::Duration;

fn framework(id: &str, role: &str) -> MasterOrder {
    MasterOrder::Framework(Framework {
        id: id.to_owned(),
        name: "app".to_owned(),
        roles: vec![role.to_owned()],
        failover_timeout: 604_800.0,
        ..Framework::default()
    })
}

fn janitor(site: &Site, more: &[&str]) -> Run {
    site.host.run(&[&["janitor"][..], more].concat())
}

fn refused(site: &Site, code: &str, more: &[&str]) {
    let run = janitor(site, more).ends(5);
    let said = format!("{}{}", run.out, run.err);
    assert!(said.contains(code), "{code}: {said}");
}

#[test]
fn root_what_a_completed_framework_left_goes_and_a_used_volume_stays() {
    if !entered("e2e::janitor::root_what_a_completed_framework_left_goes_and_a_used_volume_stays") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    site.order(framework("f-1", "r"));
    site.tenant("PATH", "goes");
    site.tenant("ROOT", "used");
    host.agent.order(&["launch", "r/used", "task"]);
    let used = tree(&host.volume("ROOT", "used"));
    let goes = tree(&host.volume("PATH", "goes"));
    wait_until("the master knows", Duration::from_secs(30), || {
        let master = site.cluster.master.lock();
        master.agents.values().any(|one| !one.used().is_empty())
    });

    refused(&site, "framework_present", &["--framework", "f-1"]);
    site.order(MasterOrder::Disconnect("f-1".to_owned()));
    refused(
        &site,
        "framework_present",
        &["--framework", "f-1", "--confirm", "f-1"],
    );
    refused(&site, "owner_present", &["--role", "r"]);
    site.order(MasterOrder::Complete("f-1".to_owned()));
    let dry = janitor(&site, &["--framework", "f-1", "--dry-run"]).ends(5);
    for said in [
        "DESTROY_VOLUMES",
        "UNRESERVE_RESOURCES",
        "r/goes",
        "in_use_task",
    ] {
        assert!(dry.out.contains(said), "{said}: {}", dry.out);
    }
    assert_eq!(tree(&host.volume("PATH", "goes")), goes);

    let run = janitor(&site, &["--framework", "f-1", "--output", "json"]).ends(5);
    let said = run.json();
    assert_eq!(said["kept"][0]["code"], "in_use_task", "{said}");
    let outcomes: Vec<_> = said["outcomes"].as_array().unwrap().iter().collect();
    assert_eq!(outcomes.len(), 2, "{said}");
    assert!(
        outcomes.iter().all(|one| one["outcome"] == "done"),
        "{said}"
    );
    assert!(is_gone(&host.volume("PATH", "goes")));
    assert!(!site.held().contains("PATH"), "{}", site.held());
    assert_eq!(tree(&host.volume("ROOT", "used")), used);
    // Again: nothing but what is used is left.
    let again = janitor(&site, &["--framework", "f-1", "--output", "json"]).ends(5);
    assert_eq!(again.json()["steps"].as_array().unwrap().len(), 0);
    janitor(&site, &["--framework", "f-1", "--role", "r"]).ends(2);
    janitor(&site, &[]).ends(2);
}

#[test]
fn root_a_master_that_failed_over_and_forgot_a_living_framework_costs_nothing() {
    if !entered(
        "e2e::janitor::root_a_master_that_failed_over_and_forgot_a_living_framework_costs_nothing",
    ) {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    site.order(framework("f-live", "r"));
    let label = ["--size", "10", "--labels", "marathon_framework_id=f-live"];
    site.create("PATH", "a", &label).ends(0);
    let data = tree(&host.volume("PATH", "a"));
    // Another agent has one too.
    let mut other = {
        let master = site.cluster.master.lock();
        master.agents.values().next().unwrap().registration.clone()
    };
    wait_until(
        "the agent says what it holds",
        Duration::from_secs(30),
        || {
            let master = site.cluster.master.lock();
            other = master.agents.values().next().unwrap().registration.clone();
            other.total.iter().any(|one| one.volume_key().is_some())
        },
    );
    other.id = "other-S1".to_owned();
    other.hostname = "other".to_owned();
    site.order(MasterOrder::Disconnect("f-live".to_owned()));
    site.order(MasterOrder::Failover);
    site.order(MasterOrder::Simulate(Box::new(other)));
    wait_until("both agents are there", Duration::from_secs(30), || {
        site.cluster.master.lock().agents.len() == 2
    });

    let all = "--all-agents";
    refused(&site, "framework_unknown", &["--framework", "f-live", all]);
    refused(
        &site,
        "framework_unknown",
        &["--framework", "f-live", "--confirm", "f-1", all],
    );
    for whose in [["--role", "r"], ["--principal", "p"]] {
        refused(&site, "elected_recently", &[&whose[..], &[all]].concat());
    }
    assert_eq!(tree(&host.volume("PATH", "a")), data);
    assert!(site.held().contains("r/a"));
    // Eight days later nobody has come back: so it is gone.
    site.order(MasterOrder::ElectedAgo(8.0 * 86_400.0));
    let run = janitor(&site, &["--role", "r", all, "--output", "json"]).ends(0);
    let said = run.json();
    let outcomes: Vec<&str> = said["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes.iter().filter(|one| **one == "done").count(),
        2,
        "{said}"
    );
    assert_eq!(
        outcomes.iter().filter(|one| **one == "asked").count(),
        2,
        "{said}"
    );
    assert!(is_gone(&host.volume("PATH", "a")));
    let master = site.cluster.master.lock();
    let mut left = master.agents.values().flat_map(|agent| &agent.total);
    assert!(left.all(|one| one.reservations.is_empty()));
}

#[test]
fn root_what_a_typed_id_names_goes_and_nothing_else() {
    if !entered("e2e::janitor::root_what_a_typed_id_names_goes_and_nothing_else") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    let of = |id: &str| format!("marathon_framework_id={id}");
    let create = |disk: &str, id: &str, more: &[&str]| {
        site.create(disk, id, &[&["--size", "10"][..], more].concat())
            .ends(0);
        crate::e2e::host::fill(&host.volume(disk, id), 5);
        tree(&host.volume(disk, id))
    };
    create("PATH", "goes", &["--labels", &of("f-old")]);
    let others = create("PATH", "of-another", &["--labels", &of("f-new")]);
    let nobodys = create("ROOT", "without-label", &[]);
    site.order(framework("f-new", "r"));

    // No master has ever heard of it: its id has to be typed, and exactly.
    refused(&site, "framework_unknown", &["--framework", "f-old"]);
    for typed in ["f-ol", "f-old ", "F-OLD", ""] {
        refused(
            &site,
            "framework_unknown",
            &["--framework", "f-old", "--confirm", typed],
        );
    }
    // What lives can't be typed away.
    refused(
        &site,
        "framework_present",
        &["--framework", "f-new", "--confirm", "f-new"],
    );
    janitor(&site, &["--role", "r", "--confirm", "f-old"]).ends(2);
    assert!(!is_gone(&host.volume("PATH", "goes")));

    let wanted = ["--framework", "f-old", "--confirm", "f-old"];
    let dry = janitor(&site, &[&wanted[..], &["--dry-run"]].concat()).ends(0);
    assert!(
        dry.out.contains("r/goes") && !dry.out.contains("of-another"),
        "{}",
        dry.out
    );
    let run = janitor(&site, &[&wanted[..], &["--output", "json"]].concat()).ends(0);
    let said = run.json();
    assert_eq!(said["outcomes"].as_array().unwrap().len(), 2, "{said}");
    assert!(is_gone(&host.volume("PATH", "goes")));
    assert_eq!(tree(&host.volume("PATH", "of-another")), others);
    assert_eq!(tree(&host.volume("ROOT", "without-label")), nobodys);
    // Again: nothing is left to do.
    janitor(&site, &wanted).ends(0);
}

#[test]
fn root_how_long_a_master_leads_is_not_told_by_our_clock() {
    if !entered("e2e::janitor::root_how_long_a_master_leads_is_not_told_by_our_clock") {
        return;
    }
    let site = Site::new("");
    site.create("PATH", "a", &["--size", "10"]).ends(0);
    let days = |days: f64| days * 86_400.0;
    // It was elected a moment ago, and by our clock years ago, or in years.
    for ahead in [-1000.0, 1000.0] {
        site.order(MasterOrder::ClockAhead(days(ahead)));
        refused(&site, "elected_recently", &["--role", "r"]);
    }
    assert!(!is_gone(&site.host.volume("PATH", "a")));
    // It has led for eight days, wherever its clock stands.
    site.order(MasterOrder::ElectedAgo(days(8.0)));
    for ahead in [-1000.0, 1000.0] {
        site.order(MasterOrder::ClockAhead(days(ahead)));
        janitor(&site, &["--role", "r", "--dry-run"]).ends(0);
    }
}
