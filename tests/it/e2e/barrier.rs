//! A plain MOUNT disk is wiped while its agent runs: reserved through the master, wiped, given back;
//! also where the program is killed in between, and where the master or a framework says no.

#![expect(clippy::disallowed_methods, reason = "tests make their own folders")]

use std::time::Duration;

use super::host::{Host, Parts, files_below, fill, is_gone, names, tree};
use super::killed_modes::below_strace;
use super::master::Site;
use crate::own_namespace::entered;
use crate::prepare::trash::PreparedDisk;
use crate::stand_ins::master::MasterOrder;
use crate::support::stand_in::wait_until;

const SOON: Duration = Duration::from_mins(1);

/// `r/goes` on MOUNT was destroyed and its data stayed; `r/stays` on PATH is held. The agent runs.
fn owed(settings: &str, files: u32) -> Site {
    owed_on(Site::new(settings), files)
}

/// The same, on this host.
fn owed_on(mut site: Site, files: u32) -> Site {
    site.tenant("MOUNT", "goes");
    let more = site.host.root("MOUNT").join("more");
    std::fs::create_dir(&more).unwrap();
    fill(&more, files);
    site.tenant("PATH", "stays");
    site.host.sweep(0);
    site.host.destroy("goes");
    // Seen while the operation is in the checkpoint; the master does not know yet.
    let run = site.host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    let registered = |site: &Site| {
        let master = site.cluster.master.lock();
        let all = master.agents.values().map(|one| one.registered_time);
        all.fold(0.0, f64::max)
    };
    let before = registered(&site);
    site.host.agent.restart();
    wait_until("the agent registers again", SOON, || {
        registered(&site) > before
    });
    site
}

fn reserved(site: &Site) -> bool {
    let master = site.cluster.master.lock();
    let mut all = master.agents.values().flat_map(|agent| &agent.total);
    all.any(|one| {
        one.role()
            .is_some_and(|role| role.to_string().contains("mesos-volumed"))
    })
}

fn shown(site: &Site) -> bool {
    site.host.agent.order(&["show"]).contains("mesos-volumed")
}

/// Nothing of the tenant is left, nothing else is touched, and the disk is Mesos's again.
fn ended(site: &Site, before: &str) {
    assert!(names(&site.host.root("MOUNT")).is_empty());
    assert!(!reserved(site) && !shown(site));
    assert_eq!(tree(&site.host.volume("PATH", "stays")), before);
    assert!(is_gone(&site.host.state_dir().join("gate.json")));
    site.host.sweep(0);
}

/// The kinds of the steps that were carried out, in their order.
fn steps(said: &serde_json::Value) -> Vec<&str> {
    let outcomes = said["outcomes"].as_array().unwrap().iter();
    outcomes.map(|one| one["step"].as_str().unwrap()).collect()
}

#[test]
fn root_a_mount_is_reserved_wiped_and_given_back_while_its_agent_runs() {
    if !entered("e2e::barrier::root_a_mount_is_reserved_wiped_and_given_back_while_its_agent_runs")
    {
        return;
    }
    let site = owed("", 50);
    let before = tree(&site.host.volume("PATH", "stays"));
    let dry = site.host.run(&["sweep", "--dry-run"]).ends(5);
    assert!(dry.out.contains("reserve     MOUNT:"), "{}", dry.out);
    assert!(!reserved(&site));
    let run = site.host.sweep(0);
    let steps: Vec<&str> = run
        .out
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    let wanted = ["reserve", "empty_mount", "unreserve"];
    assert_eq!(steps[..3], wanted, "{}", run.out);
    ended(&site, &before);
    // The next tenant gets it.
    site.tenant("MOUNT", "next");
}

#[test]
fn root_the_daemon_does_the_same_by_itself() {
    if !entered("e2e::barrier::root_the_daemon_does_the_same_by_itself") {
        return;
    }
    let site = owed("", 50);
    let before = tree(&site.host.volume("PATH", "stays"));
    let daemon = site.host.daemon();
    wait_until("the disk is given back", SOON, || {
        names(&site.host.root("MOUNT")).is_empty() && !reserved(&site) && !shown(&site)
    });
    daemon.two_passes();
    daemon.stop();
    ended(&site, &before);
}

#[test]
fn root_a_master_or_a_framework_that_says_no_leaves_the_data_and_is_told() {
    if !entered(
        "e2e::barrier::root_a_master_or_a_framework_that_says_no_leaves_the_data_and_is_told",
    ) {
        return;
    }
    let site = owed("", 20);
    let before = tree(&site.host.volume("PATH", "stays"));
    let data = tree(&site.host.root("MOUNT"));
    let forbid = |calls: &[&str]| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        site.order(MasterOrder::Forbid(calls));
    };
    forbid(&["RESERVE_RESOURCES"]);
    let run = site.host.sweep(5);
    assert!(
        run.out.contains("no_barrier") && run.out.contains("needs the right to reserve"),
        "{}",
        run.out
    );
    forbid(&[]);
    // A framework has it in an offer that it is about to take.
    let (agent, disk) = {
        let master = site.cluster.master.lock();
        let (id, agent) = master.agents.iter().next().unwrap();
        let is_mount = |one: &&mesos_volumed::mesos::resource::Resource| {
            one.source
                .as_ref()
                .and_then(|source| source.root.as_ref())
                .is_some_and(|root| root.as_path() == site.host.root("MOUNT"))
        };
        let disk: Vec<_> = agent.total.iter().filter(is_mount).cloned().collect();
        (id.clone(), disk)
    };
    assert_eq!(disk.len(), 1);
    site.order(MasterOrder::Offer(agent.clone(), disk));
    let run = site.host.sweep(5);
    assert!(run.out.contains("409"), "{}", run.out);
    assert!(tree(&site.host.root("MOUNT")) == data, "it was touched");
    assert!(!reserved(&site));
    // It declines. The disk is wiped, and at first can't be given back.
    site.order(MasterOrder::Offer(agent, Vec::new()));
    forbid(&["UNRESERVE_RESOURCES"]);
    let run = site.host.sweep(1);
    assert!(run.out.contains("403"), "{}", run.out);
    assert!(names(&site.host.root("MOUNT")).is_empty() && reserved(&site));
    forbid(&[]);
    site.host.sweep(0);
    ended(&site, &before);
}

#[test]
fn root_killed_between_any_two_steps_the_reservation_is_found_and_the_work_goes_on() {
    if !entered(
        "e2e::barrier::root_killed_between_any_two_steps_the_reservation_is_found_and_the_work_goes_on",
    ) {
        return;
    }
    let site = owed("[wipe]\nrate = 100\n", 400);
    let before = tree(&site.host.volume("PATH", "stays"));
    let data = tree(&site.host.root("MOUNT"));
    site.holds_messages();

    // The master took the call; the agent has not heard.
    let mut sweep = site.host.spawn(&["sweep"]);
    wait_until("the master reserves it", SOON, || reserved(&site));
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    assert!(tree(&site.host.root("MOUNT")) == data, "it was touched");
    let run = site.host.run(&["sweep", "--dry-run"]).ends(5);
    assert!(run.out.contains("does not show it yet"), "{}", run.out);
    site.delivers();
    wait_until("the agent has heard", SOON, || shown(&site));

    // In the middle of the wipe.
    let daemon = site.host.daemon();
    wait_until("it is in the middle", SOON, || {
        files_below(&site.host.root("MOUNT")) < 390
    });
    daemon.kill();
    let left = files_below(&site.host.root("MOUNT"));
    assert!(left > 0, "it was too fast for this test");
    assert!(reserved(&site) && shown(&site));

    // Everything is gone; the call that gives it back is on its way.
    site.holds_messages();
    let daemon = site.host.daemon();
    wait_until("it is empty and given back", SOON, || {
        names(&site.host.root("MOUNT")).is_empty() && !reserved(&site)
    });
    daemon.kill();
    assert!(shown(&site));
    site.delivers();
    wait_until("the agent has heard", SOON, || !shown(&site));
    ended(&site, &before);
}

#[test]
fn root_zeros_that_are_owed_to_free_space_hold_the_reservation() {
    if !entered("e2e::barrier::root_zeros_that_are_owed_to_free_space_hold_the_reservation") {
        return;
    }
    let site = owed("[wipe]\nmount_mode = \"zero_free\"\nrate = 0\n", 50);
    let host = &site.host;
    let before = tree(&host.volume("PATH", "stays"));
    let log = host.temp().join("calls");
    // Reserved, emptied, and killed while the zeros are written.
    let killed = below_strace(host, "inject=pwrite64:signal=KILL:when=3", &log, &["sweep"]);
    assert!(killed, "it was not killed");
    let gate = host.state_dir().join("gate.json");
    let owing = || std::fs::read_to_string(&gate).is_ok_and(|text| text.contains("fills"));
    assert!(names(&host.root("MOUNT")).is_empty() && owing());
    assert!(
        reserved(&site) && shown(&site),
        "half wiped, and given back"
    );
    // Nobody else gets it meanwhile.
    site.create("MOUNT", "early", &[]).ends(5);
    let said = host.run(&["sweep", "--output", "json"]).ends(0).json();
    let steps = steps(&said);
    assert_eq!(steps, ["empty_mount", "unreserve"], "{said:#}");
    let receipt = &said["outcomes"][0]["detail"];
    assert_eq!(receipt["mode"], "zero_free", "{said:#}");
    assert_eq!(receipt["proof"]["guarantee"], "guaranteed", "{said:#}");
    ended(&site, &before);
    site.tenant("MOUNT", "next");
}

#[test]
fn root_a_prepared_mount_is_moved_out_behind_a_reservation_and_goes_on_after_a_kill() {
    if !entered(
        "e2e::barrier::root_a_prepared_mount_is_moved_out_behind_a_reservation_and_goes_on_after_a_kill",
    ) {
        return;
    }
    let host = Host::new(Parts::default());
    let disk = PreparedDisk::of(&host);
    // The disk goes before the host.
    let both = (disk, owed_on(Site::of(host, "[wipe]\nrate = 0\n"), 5));
    let (disk, site) = &both;
    let host = &site.host;
    let root = host.root("MOUNT");
    // Many entries, so that there is a middle.
    for number in 0..60 {
        std::fs::write(root.join(format!("file-{number}")), "x").unwrap();
    }
    let all = names(&root).len();
    let before = tree(&host.volume("PATH", "stays"));
    let dry = host.run(&["sweep", "--dry-run"]).ends(5);
    assert!(dry.out.contains("reserve     MOUNT:"), "{}", dry.out);

    // Killed in the middle of the moves: the rest is in its trash.
    let log = host.temp().join("calls");
    let at = "inject=renameat2:signal=KILL:when=30";
    assert!(
        below_strace(host, at, &log, &["sweep"]),
        "it was not killed"
    );
    let left = names(&root).len();
    assert!(left > 0 && left < all, "{left} of {all}");
    assert_eq!(disk.entries().len(), 1);
    assert!(reserved(site) && shown(site), "half moved, and given back");
    site.create("MOUNT", "early", &[]).ends(5);

    let said = host.run(&["sweep", "--output", "json"]).ends(0).json();
    let steps = steps(&said);
    for step in ["move_out", "clear", "wipe", "unreserve"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    ended(site, &before);
    assert!(disk.entries().is_empty());
    site.tenant("MOUNT", "next");
    host.sweep(0);
    assert_eq!(host.states("next"), ["held"]);
}
