//! O1 to O12: data that stay behind because of the agent's version, a crash, a power cut or a disk.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::path::Path;

use mesos_volumed::mesos::checkpoint::{
    Content, Form, OperationContext, decode_state, encode_info, encode_state,
};
use mesos_volumed::mesos::resource::Value;

use super::site::{Backup, Site};
use crate::e2e::host::{Disk, fill, is_gone, must, tree};
use crate::own_namespace::entered;

fn chattr(flag: &str, path: &Path) {
    must("chattr", &[flag, path.to_str().unwrap()]);
}

#[test]
fn scenario_o01_destroyed_before_1_0_and_upgraded() {
    if !entered("scenarios::orphans::scenario_o01_destroyed_before_1_0_and_upgraded") {
        return;
    }
    let mut site = Site::new("0.28.2");
    site.host.tenant("ROOT", "goes", 50);
    site.host.tenant("PATH", "goes-too", 50);
    site.host.agent.order(&["destroy", "r/goes"]);
    site.host.agent.order(&["destroy", "r/goes-too"]);
    site.becomes("1.11.0");
    site.is_found_and_cleaned("ROOT", "goes");
    assert!(is_gone(&site.host.volume("PATH", "goes-too")));
}

#[test]
fn scenario_o02_committed_before_it_was_deleted_by_1_0() {
    if !entered("scenarios::orphans::scenario_o02_committed_before_it_was_deleted_by_1_0") {
        return;
    }
    let mut site = Site::new("1.0.4");
    site.host.tenant("ROOT", "crashed", 50);
    site.host.tenant("PATH", "undeletable", 50);
    // What can't be deleted is only logged.
    let stuck = site.host.volume("PATH", "undeletable").join("data.bin");
    chattr("+i", &stuck);
    site.host.agent.order(&["destroy", "r/undeletable"]);
    site.host.agent.order(&["crash-after", "info"]);
    site.host.agent.crashes_at(&["destroy", "r/crashed"]);
    site.host.agent.start();
    assert!(!is_gone(&stuck));
    site.is_found_and_cleaned("ROOT", "crashed");
    assert!(is_gone(&site.host.volume("PATH", "undeletable")));
}

#[test]
fn scenario_o03_state_written_before_it_was_deleted_by_1_8() {
    if !entered("scenarios::orphans::scenario_o03_state_written_before_it_was_deleted_by_1_8") {
        return;
    }
    let mut site = Site::new("1.8.1");
    site.host.tenant("PATH", "goes", 50);
    site.host.agent.order(&["crash-after", "info-target"]);
    site.host.agent.crashes_at(&["destroy", "r/goes"]);
    site.host.agent.start();
    let path = site.host.volume("PATH", "goes");
    let target = site
        .host
        .root("ROOT")
        .join("meta/resources/resources.target");
    assert!(!is_gone(&path) && !is_gone(&target));
    // resources.info still names it. As long as the agent can't be asked, that keeps it.
    site.host
        .agent
        .order(&["faults", r#"{"paths": [{"path": "/", "status": 503}]}"#]);
    site.is_kept("PATH", "goes", "stale_generation");
    // The agent's own answer says that it is gone.
    site.host.agent.order(&["faults", "{}"]);
    site.goes_within(4, "PATH", "goes");
}

#[test]
fn scenario_o04_meta_resources_removed_by_an_operator() {
    if !entered("scenarios::orphans::scenario_o04_meta_resources_removed_by_an_operator") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("ROOT", "goes", 50);
    site.host.tenant("PATH", "goes-too", 50);
    site.host.tenant("MOUNT", "mount", 50);
    site.host.sweep(0);
    site.host.agent.stop();
    let meta = site.host.root("ROOT").join("meta");
    std::fs::remove_dir_all(meta.join("resources")).unwrap();
    std::fs::remove_file(meta.join("slaves/latest")).unwrap();
    site.host.agent.start();
    site.is_kept("ROOT", "goes", "authority_empty");
    site.is_kept("PATH", "goes-too", "authority_empty");
    let mount = tree(&site.host.volume("MOUNT", "mount"));
    // The operator says that it is meant so.
    site.host.run(&["sweep", "--accept-empty"]);
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&site.host.volume("ROOT", "goes")));
    assert!(is_gone(&site.host.volume("PATH", "goes-too")));
    // A MOUNT is never an orphan: nobody destroyed it.
    similar_asserts::assert_eq!(tree(&site.host.volume("MOUNT", "mount")), mount);
}

#[test]
fn scenario_o05_the_work_dir_changed() {
    if !entered("scenarios::orphans::scenario_o05_the_work_dir_changed") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("ROOT", "old-root", 50);
    site.host.tenant("PATH", "old-path", 50);
    site.host.sweep(0);
    site.host.agent.stop();
    let old = site.host.root("ROOT");
    let new = site.host.temp().join("new-work");
    let _disk = Disk::new(&site.host.temp().join("new.img"), "ext4", 64, &new);
    site.host.agent.set_work_dir(&new);
    let settings = format!(
        "[agent]\nwork_dir = \"{}\"\n[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n\
         brake_percent = 100\n",
        new.display()
    );
    site.host.configure(&settings);
    site.host.agent.start();
    site.host.tenant("PATH", "new-path", 10);
    site.remember(&site.host.volume("PATH", "new-path"));
    // ROOT of the old work_dir is no disk of this agent any more: it is left alone.
    site.remember(&old.join("volumes/roles/r/old-root"));
    site.is_found_and_cleaned("PATH", "old-path");
    let said = site.codes("old-root");
    assert!(said.contains(&"foreign_root".to_owned()), "{said:?}");
}

#[test]
fn scenario_o06_power_loss_left_a_state_of_0_bytes() {
    if !entered("scenarios::orphans::scenario_o06_power_loss_left_a_state_of_0_bytes") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("ROOT", "goes", 50);
    site.host.sweep(0);
    site.host.agent.stop();
    let resources = site.host.root("ROOT").join("meta/resources");
    std::fs::write(resources.join("resources_and_operations.state"), b"").unwrap();
    site.is_kept("ROOT", "goes", "stale_generation");
    // The agent takes it for nothing at all, without a word.
    site.host.agent.start();
    site.is_kept("ROOT", "goes", "stale_generation");
    // It writes that down with its next change, and then nobody names it.
    let part = ["--disk", "ROOT", "--size", "20"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &part].concat());
    site.is_kept("ROOT", "goes", "authority_empty");
    site.host.run(&["sweep", "--accept-empty"]);
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&site.host.volume("ROOT", "goes")));
}

#[test]
fn scenario_o07_an_unreadable_checkpoint_without_strict() {
    if !entered("scenarios::orphans::scenario_o07_an_unreadable_checkpoint_without_strict") {
        return;
    }
    let mut site = Site::empty("1.11.0");
    site.host.agent.start();
    site.host.tenant("PATH", "goes", 50);
    site.host.sweep(0);
    site.host.agent.stop();
    let resources = site.host.root("ROOT").join("meta/resources");
    let file = resources.join("resources_and_operations.state");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 7]).unwrap();
    assert!(site.host.agent.try_start().is_err(), "strict is strict");
    site.is_kept("PATH", "goes", "stale_generation");
    site.host
        .agent
        .set_flags(&["--as_version=1.11.0", "--strict=false"]);
    site.host.agent.start();
    site.is_kept("PATH", "goes", "stale_generation");
    let part = ["--disk", "ROOT", "--size", "20"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &part].concat());
    // The next checkpoint is whole again, and names it no more.
    site.is_kept("PATH", "goes", "authority_empty");
    site.host.run(&["sweep", "--accept-empty"]);
    site.host.run(&["sweep"]);
    site.host.run(&["sweep"]);
    assert!(is_gone(&site.host.volume("PATH", "goes")));
}

#[test]
fn scenario_o08_a_checkpointed_resource_that_is_dropped_as_invalid() {
    if !entered(
        "scenarios::orphans::scenario_o08_a_checkpointed_resource_that_is_dropped_as_invalid",
    ) {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "goes", 50);
    site.host.agent.order(&["acknowledge"]);
    site.host.sweep(0);
    site.host.agent.stop();
    let resources = site.host.root("ROOT").join("meta/resources");
    let file = resources.join("resources_and_operations.state");
    let Content::Whole(mut state) = decode_state(&std::fs::read(&file).unwrap()).unwrap() else {
        panic!("no state")
    };
    for one in &mut state.resources {
        let key = one.volume_key();
        if key.is_some_and(|key| key.id.to_string() == "goes") {
            one.value = Value::Scalar(mesos_volumed::units::Megabytes::default());
        }
    }
    let context = OperationContext {
        agent_id: b"",
        status_uuid: [0; 16],
    };
    std::fs::write(&file, encode_state(&state, &context).unwrap()).unwrap();
    let info = encode_info(&state.resources, Form::Pre).unwrap();
    std::fs::write(resources.join("resources.info"), info).unwrap();
    // As long as a file names it, it stays, whatever the agent makes of it.
    site.is_kept("PATH", "goes", "held");
    site.host.agent.start();
    site.is_kept("PATH", "goes", "held");
    let part = ["--disk", "ROOT", "--size", "20"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &part].concat());
    // Now no file names it any more. That is no destroy, and goes by as an orphan.
    site.goes_within(3, "PATH", "goes");
}

#[test]
fn scenario_o09_a_torn_resources_info_cut_at_its_last_whole_record() {
    if !entered(
        "scenarios::orphans::scenario_o09_a_torn_resources_info_cut_at_its_last_whole_record",
    ) {
        return;
    }
    let mut site = Site::new("1.4.3");
    site.host.tenant("PATH", "goes", 50);
    site.host.sweep(0);
    site.host.agent.stop();
    let file = site.host.root("ROOT").join("meta/resources/resources.info");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    site.is_kept("PATH", "goes", "authority_unknown");
    // Agents until 1.4 leave out what is torn.
    site.host.agent.start();
    let part = ["--disk", "ROOT", "--size", "5"];
    site.host
        .agent
        .order(&[&["reserve", "r"][..], &part].concat());
    site.is_found_and_cleaned("PATH", "goes");
}

#[test]
fn scenario_o10_the_disk_was_unmounted_at_destroy() {
    if !entered("scenarios::orphans::scenario_o10_the_disk_was_unmounted_at_destroy") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("MOUNT", "goes", 50);
    site.host.sweep(0);
    site.host.mount_disk.unmount();
    fill(&site.host.root("MOUNT"), 5);
    site.host.agent.order(&["destroy", "r/goes"]);
    // The agent emptied what lies below the mount point, and calls that success.
    assert!(is_empty(&site.host.root("MOUNT")));
    let run = site.host.sweep(5);
    assert!(run.out.contains("not_mounted"), "{}", run.out);
    site.host.mount_disk.mount();
    assert!(!is_empty(&site.host.root("MOUNT")), "the data are back");
    // While the agent could launch a task into it, it waits.
    let run = site.host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    site.host.agent.stop();
    site.host.sweep(0);
    assert!(is_empty(&site.host.root("MOUNT")));
    site.rest_lives();
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn scenario_o11_the_directory_was_a_symlink() {
    if !entered("scenarios::orphans::scenario_o11_the_directory_was_a_symlink") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("PATH", "goes", 50);
    site.host.sweep(0);
    let path = site.host.volume("PATH", "goes");
    let elsewhere = site.host.root("PATH").join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    site.remember(&elsewhere);
    site.host.sweep(0);
    // The agent takes the link away and leaves what it points at.
    site.host.agent.order(&["destroy", "r/goes"]);
    assert!(is_gone(&path));
    site.host.sweep(0);
    // A link that nobody names is refused, and not followed.
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    for _ in 0..3 {
        site.host.run(&["sweep"]);
    }
    assert!(site.codes("goes").contains(&"symlink".to_owned()));
    site.rest_lives();
}

#[test]
fn scenario_o12_an_entry_of_a_mount_was_skipped() {
    if !entered("scenarios::orphans::scenario_o12_an_entry_of_a_mount_was_skipped") {
        return;
    }
    let mut site = Site::new("1.11.0");
    site.host.tenant("MOUNT", "goes", 50);
    site.host.sweep(0);
    let backup = Backup::of(&site.host.root("MOUNT").join("d0"));
    site.host.agent.order(&["destroy", "r/goes"]);
    std::fs::create_dir(site.host.root("MOUNT").join("d0")).unwrap();
    backup.restore();
    let run = site.host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    site.host.agent.stop();
    site.host.sweep(0);
    assert!(is_empty(&site.host.root("MOUNT")));
    site.rest_lives();
}
