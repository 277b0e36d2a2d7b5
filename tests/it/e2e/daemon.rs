//! The daemon's life: stopped, killed and reloaded in the middle of its work.

#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::time::Duration;

use rustix::process::Signal;

use super::host::{Daemon, Host, Parts, files_below, is_gone, names, tree};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// A daemon that wipes 600 files at 100 a second and is in the middle of it.
fn in_the_middle_of_a_wipe(host: &mut Host) -> Daemon {
    host.agent.start();
    host.tenant("ROOT", "stays", 20);
    host.tenant("ROOT", "goes", 600);
    let daemon = host.daemon();
    daemon.two_passes();
    host.destroy("goes");
    wait_until("the wipe has begun", Duration::from_secs(20), || {
        // More than a manifest that is being written, less than all.
        (300..600).contains(&files_in_trash(host))
    });
    daemon
}

fn files_in_trash(host: &Host) -> usize {
    files_below(&host.root("ROOT").join("volumes/.mesos-volumed/trash"))
}

fn slow() -> Parts {
    Parts {
        settings: "[wipe]\nrate = 100\n",
        ..Parts::default()
    }
}

fn the_next_start_finishes(host: &Host) {
    assert!(files_in_trash(host) > 100, "it was too fast for this test");
    host.configure("[wipe]\nrate = 0\n");
    let daemon = host.daemon();
    let trash = host.root("ROOT").join("volumes/.mesos-volumed/trash");
    wait_until(
        "the next start finishes it",
        Duration::from_secs(20),
        || names(&trash).is_empty(),
    );
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    daemon.stop();
}

#[test]
fn root_sigterm_stops_a_wipe_within_two_seconds_and_the_next_start_finishes_it() {
    if !entered(
        "e2e::daemon::root_sigterm_stops_a_wipe_within_two_seconds_and_the_next_start_finishes_it",
    ) {
        return;
    }
    let mut host = Host::new(slow());
    let stays = in_the_middle_of_a_wipe(&mut host);
    let before = tree(&host.volume("ROOT", "stays"));
    let took = stays.stop();
    println!("stopped in {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    the_next_start_finishes(&host);
    assert_eq!(tree(&host.volume("ROOT", "stays")), before);
}

#[test]
fn root_a_daemon_killed_in_the_middle_of_a_wipe_is_finished_by_the_next_one() {
    if !entered(
        "e2e::daemon::root_a_daemon_killed_in_the_middle_of_a_wipe_is_finished_by_the_next_one",
    ) {
        return;
    }
    let mut host = Host::new(slow());
    let daemon = in_the_middle_of_a_wipe(&mut host);
    let before = tree(&host.volume("ROOT", "stays"));
    daemon.kill();
    the_next_start_finishes(&host);
    assert_eq!(tree(&host.volume("ROOT", "stays")), before);
}

#[test]
fn root_sighup_takes_a_sound_configuration_and_keeps_the_last_good_one_otherwise() {
    if !entered(
        "e2e::daemon::root_sighup_takes_a_sound_configuration_and_keeps_the_last_good_one_otherwise",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[sweep]\nprotect = [\"r/**\"]\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("ROOT", "goes", 5);
    let daemon = host.daemon();
    host.destroy("goes");
    daemon.two_passes();
    assert!(!is_gone(&host.volume("ROOT", "goes")), "it is protected");

    let reload = |settings: &str, said: &str| {
        host.configure(settings);
        daemon.signal(Signal::HUP);
        wait_until(said, Duration::from_secs(10), || {
            daemon.log().contains(said)
        });
        daemon.two_passes();
    };
    reload("[sweep]\nprotect = 7\n", "the last good one stays in force");
    assert!(daemon.log().contains("protect"), "{}", daemon.log());
    assert!(
        !is_gone(&host.volume("ROOT", "goes")),
        "it is still protected"
    );

    reload("", "the configuration was read again");
    assert!(
        daemon.log().contains("sweep.protect: [\"r/**\"] is now []"),
        "{}",
        daemon.log()
    );
    wait_until("it goes", Duration::from_secs(10), || {
        is_gone(&host.volume("ROOT", "goes"))
    });
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    daemon.stop();
}

#[test]
fn root_what_is_paused_is_not_wiped_until_the_pause_is_taken_back() {
    if !entered("e2e::daemon::root_what_is_paused_is_not_wiped_until_the_pause_is_taken_back") {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "goes", 50);
    let paused = host.state_dir().join("paused.json");
    std::fs::create_dir_all(host.state_dir()).unwrap();
    std::fs::write(&paused, r#"{"version":1,"all":true,"roots":[]}"#).unwrap();
    let daemon = host.daemon();
    daemon.two_passes();
    host.destroy("goes");
    wait_until("it is in the trash", Duration::from_secs(20), || {
        is_gone(&host.volume("ROOT", "goes"))
    });
    daemon.two_passes();
    std::thread::sleep(Duration::from_secs(1));
    assert!(files_in_trash(&host) >= 50, "it was wiped while paused");
    assert!(daemon.stop() < Duration::from_secs(2));
    std::fs::remove_file(&paused).unwrap();
    let daemon = host.daemon();
    wait_until("it is wiped", Duration::from_secs(20), || {
        files_in_trash(&host) == 0
    });
    daemon.stop();
}

#[test]
fn root_a_storm_of_checkpoint_changes_loses_no_destroy_and_leaves_nothing_behind() {
    if !entered(
        "e2e::daemon::root_a_storm_of_checkpoint_changes_loses_no_destroy_and_leaves_nothing_behind",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 20);
    host.tenant("ROOT", "goes", 20);
    let daemon = host.daemon();
    daemon.two_passes();
    let count = |what: &str| {
        let folder = format!("/proc/{}/{what}", daemon.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    let (files, threads) = (count("fd"), count("task"));
    // More than the kernel queues for a watcher that does not keep up (16,384), each of them seen by
    // its folder: an attribute set.
    let state = host
        .root("ROOT")
        .join("meta/resources/resources_and_operations.state");
    let storm = || {
        for _ in 0..10_000 {
            let file = std::fs::File::options().append(true).open(&state).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
        }
    };
    storm();
    host.destroy("goes");
    storm();
    wait_until("it goes", Duration::from_secs(20), || {
        is_gone(&host.volume("ROOT", "goes")) && files_in_trash(&host) == 0
    });
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    daemon.two_passes();
    wait_until(
        "what the storm needed is given back",
        Duration::from_secs(10),
        || count("fd") <= files + 2 && count("task") <= threads + 2,
    );
    daemon.stop();
}

/// Appends and syncs on the file system of this folder until it is dropped.
struct Neighbour {
    over: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Neighbour {
    fn on(folder: &std::path::Path) -> Self {
        use std::io::Write as _;
        let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (end, mut file) = (
            std::sync::Arc::clone(&over),
            std::fs::File::create(folder.join("appended")).unwrap(),
        );
        let thread = std::thread::spawn(move || {
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(&[b'x'; 512]).unwrap();
                file.sync_all().unwrap();
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.over.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

#[test]
fn root_a_wipe_slows_down_beside_a_neighbour_that_waits_for_its_disk_and_says_so() {
    if !entered(
        "e2e::daemon::root_a_wipe_slows_down_beside_a_neighbour_that_waits_for_its_disk_and_says_so",
    ) {
        return;
    }
    if std::fs::read_to_string("/proc/pressure/io").is_err() {
        println!("skipped: this kernel tells of no I/O pressure");
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[wipe]\nrate = 200\npressure_limit = 1\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "goes", 3000);
    let daemon = host.daemon();
    daemon.two_passes();
    let neighbour = Neighbour::on(&host.root("ROOT"));
    host.destroy("goes");
    let job = || super::api::get(&host, "/v1/jobs").json()["jobs"][0].clone();
    wait_until("it is slowed", Duration::from_secs(30), || {
        job()["state"] == "slowed"
    });
    let slowed = job();
    // Half of it, for what others make alone, or less, for what it adds.
    assert!(slowed["allowed_rate"].as_u64().unwrap() <= 150, "{slowed}");
    let text = slowed["text"].as_str().unwrap();
    assert!(
        text.contains("slowed") && text.contains("I/O pressure"),
        "{text}"
    );
    drop(neighbour);
    // An operator who wants no feedback turns it off, and the job goes on at its rate.
    host.configure("[wipe]\nrate = 0\n");
    daemon.signal(Signal::HUP);
    wait_until("it is wiped", Duration::from_secs(20), || {
        files_in_trash(&host) == 0
    });
    daemon.stop();
}
