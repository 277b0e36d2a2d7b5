//! O13 to O20: data that stay behind because their metadata were lost, or belong to nobody here.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use super::site::{Backup, FAST, Site};
use crate::e2e::host::{fill, is_gone, must};
use crate::own_namespace::entered;
use crate::stand_ins::control::{Order, send};

#[test]
fn scenario_o13_power_loss_after_the_commit_brought_files_back() {
    if !entered("scenarios::lost::scenario_o13_power_loss_after_the_commit_brought_files_back") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "goes", 50);
    let backup = Backup::of(&site.host.volume("PATH", "goes"));
    site.host.agent.order(&["destroy", "r/goes"]);
    site.host.agent.order(&["acknowledge"]);
    site.host.agent.stop();
    // The unlinks were not on disk yet, the rename of the checkpoint was.
    backup.restore();
    site.host.agent.start();
    site.is_found_and_cleaned("PATH", "goes");
}

#[test]
fn scenario_o14_down_below_1_8_and_up_again() {
    if !entered("scenarios::lost::scenario_o14_down_below_1_8_and_up_again") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "ghost", 20);
    site.host.sweep(0);
    site.becomes("1.7.3");
    site.host.agent.order(&["destroy", "r/ghost"]);
    site.host.tenant("ROOT", "live", 20);
    site.becomes("1.11.0");
    // What the older agent destroyed is held again, without a directory; it is reported, not made.
    site.host.sweep(0);
    let ghost = site.listed("ghost");
    assert_eq!(ghost[0]["state"], "vanished", "{ghost:#?}");
    assert!(is_gone(&site.host.volume("PATH", "ghost")));
    // What it created is named by resources.info alone, which no agent believes.
    site.host.configure(&FAST.replace("\"0s\"", "\"1h\""));
    site.is_kept("ROOT", "live", "stale_generation");
}

#[test]
fn scenario_o15_destroyed_and_created_in_one_checkpoint() {
    if !entered("scenarios::lost::scenario_o15_destroyed_and_created_in_one_checkpoint") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("MOUNT", "before", 20);
    site.host.sweep(0);
    // A master that knows no providers sends all that is held in one message.
    let held = site.host.agent.held();
    let resources = held
        .into_iter()
        .map(|mut one| {
            if let Some(persistence) = &mut one.persistence
                && persistence.id.to_string() == "before"
            {
                persistence.id = mesos_volumed::mesos::ids::PersistenceId::new("after");
            }
            one
        })
        .collect();
    send(&site.host.agent.control(), &Order::Checkpoint { resources }).unwrap();
    assert!(!is_gone(&site.host.root("MOUNT").join("data.bin")));
    // It belongs to the new one now; nothing may touch it, and it is told: by the sweep, beside the
    // volume, and by doctor.
    site.remember(&site.host.root("MOUNT"));
    let said = "r/before was on the disk before r/after, and no pass saw the disk empty in between";
    for _ in 0..3 {
        site.host.sweep(0);
        let run = site.host.run(&["sweep", "--dry-run"]).ends(0);
        assert!(run.out.contains(said), "{}", run.out);
    }
    assert_eq!(site.host.states("after"), ["held"]);
    let listed = site.listed("after");
    let reason = listed[0]["reasons"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(said), "{listed:#?}");
    let doctor = site.host.run(&["doctor"]);
    assert!(
        doctor.out.contains("data_exposed")
            && doctor.out.contains("r/before was on it before r/after"),
        "{}",
        doctor.out
    );
    site.host.agent.stop();
    site.host.sweep(0);
    assert!(site.codes("after").contains(&"report_only".to_owned()));
    site.rest_lives();
    // The operator has looked.
    let root = site.host.root("MOUNT").display().to_string();
    site.host.run(&["disk", "accept", &root]).ends(0);
    site.host.sweep(0);
    assert!(!site.codes("after").contains(&"report_only".to_owned()));
    site.rest_lives();
}

#[test]
fn scenario_o16_undeletable_content_and_an_operator_who_removes_the_checkpoint() {
    if !entered(
        "scenarios::lost::scenario_o16_undeletable_content_and_an_operator_who_removes_the_checkpoint",
    ) {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("PATH", "goes", 50);
    site.host.sweep(0);
    let path = site.host.volume("PATH", "goes");
    must("chattr", &["+i", path.join("data.bin").to_str().unwrap()]);
    site.host.agent.crashes_at(&["destroy", "r/goes"]);
    assert!(site.host.agent.try_start().is_err(), "it loops");
    // Nothing is done behind the back of an agent that has a DESTROY before it.
    site.is_kept("PATH", "goes", "pending_operation");
    std::fs::remove_dir_all(site.host.root("ROOT").join("meta/resources")).unwrap();
    site.host.agent.start();
    site.is_kept("PATH", "goes", "authority_empty");
    site.host.run(&["sweep", "--accept-empty"]);
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&path), "flags and all");
}

#[test]
fn scenario_o17_a_create_made_the_directory_and_was_lost() {
    if !entered("scenarios::lost::scenario_o17_a_create_made_the_directory_and_was_lost") {
        return;
    }
    let mut site = Site::new("1.11.0");
    let disk = ["--disk", "ROOT", "--size", "10"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &disk].concat());
    let backup = Backup::of(&site.host.root("ROOT").join("meta/resources"));
    site.host.agent.order(&["crash-after", "directories"]);
    site.host
        .agent
        .crashes_at(&[&["create", "r/goes"][..], &disk].concat());
    // Neither target nor operation was on disk when the power went.
    backup.restore();
    site.host.agent.start();
    site.is_found_and_cleaned("ROOT", "goes");
}

#[test]
fn scenario_o18_a_storage_provider_forgotten_with_its_agent_id() {
    if !entered("scenarios::lost::scenario_o18_a_storage_provider_forgotten_with_its_agent_id") {
        return;
    }
    let mut site = Site::new("1.11.0");
    let path = site.host.volume("PATH", "goes");
    let disk = format!("PATH:{}", site.host.root("PATH").display());
    site.host
        .agent
        .order(&["provide", "lvm", "r/goes", "--disk", &disk, "--size", "5"]);
    fill(&path, 20);
    site.host.sweep(0);
    site.host.agent.stop();
    std::fs::remove_file(site.host.root("ROOT").join("meta/slaves/latest")).unwrap();
    site.host.agent.start();
    // No agent reads the state of that provider any more, which lies under the old id; but as long as
    // the file names the volume, that is what keeps it, and the operator is told so.
    site.is_kept("PATH", "goes", "held");
    let listed = site.listed("goes");
    assert!(listed[0]["reasons"][0]["reason"].is_string(), "{listed:#?}");
    let told = listed[0]["reasons"][0]["reason"].clone();
    let told = told.as_str().unwrap();
    assert!(
        told.contains("resource_provider.state alone")
            && told.contains("no agent reads it any more"),
        "{told}"
    );
    // It is: then the data is an orphan like others.
    let file = told.split_whitespace().nth(2).unwrap();
    std::fs::remove_file(site.host.root("ROOT").join(file)).unwrap();
    site.goes_within(3, "PATH", "goes");
}

#[test]
fn scenario_o19_a_disk_of_another_host() {
    if !entered("scenarios::lost::scenario_o19_a_disk_of_another_host") {
        return;
    }
    let mut old = Site::new("1.11.0");
    old.host.tenant("PATH", "goes", 20);
    old.host.sweep(0);
    old.host.agent.stop();
    old.host.path_disk.unmount();
    // The host is set up anew: another work_dir, another state_dir, the disk at the same place.
    let new = Site::empty("1.11.0");
    new.host.path_disk.unmount();
    let moved = old.host.path_disk.at(&new.host.root("PATH"));
    moved.mount();
    let mut new = new;
    new.host.agent.start();
    new.host.tenant("ROOT", "new", 5);
    // What its marker says is not so here. Nothing goes until somebody looked.
    new.is_kept("PATH", "goes", "fingerprint_mismatch");
    let root = new.host.root("PATH").display().to_string();
    new.host.run(&["disk", "accept", &root]).ends(0);
    new.host.sweep(0);
    new.host.sweep(0);
    assert!(is_gone(&new.host.volume("PATH", "goes")));
    moved.unmount();
    new.host.path_disk.mount();
}

#[test]
fn scenario_o20_leftovers_that_are_no_data_of_a_volume() {
    if !entered("scenarios::lost::scenario_o20_leftovers_that_are_no_data_of_a_volume") {
        return;
    }
    let mut site = Site::new("1.11.0");
    let role = site.host.root("PATH").join("volumes/roles/gone");
    std::fs::create_dir(&role).unwrap();
    let temporary = site.host.root("ROOT").join("meta/resources/X4f2Zq");
    std::fs::write(&temporary, b"half a checkpoint").unwrap();
    site.remember(&role);
    for _ in 0..3 {
        site.host.sweep(0);
    }
    assert!(!is_gone(&temporary), "meta is the agent's alone");
    site.rest_lives();
}
