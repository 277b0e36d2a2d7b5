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
