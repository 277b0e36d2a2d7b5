//! What held a destroy back stands in the audit log.

use std::time::Duration;

use super::host::{Host, Parts, is_gone};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

/// Events of the lines about what is held back, and the reason of the first.
fn told(host: &Host) -> (Vec<String>, String) {
    let receipts = host
        .run(&["receipts", "--volume", "r/goes", "--output", "json"])
        .ends(0)
        .json();
    let records = receipts["receipts"].as_array().unwrap().iter();
    let kept: Vec<_> = records.filter(|record| record["step"] == "keep").collect();
    let events = kept
        .iter()
        .map(|record| record["event"].as_str().unwrap().to_owned())
        .collect();
    let why = kept
        .first()
        .map_or("", |record| record["why"].as_str().unwrap());
    (events, why.to_owned())
}

#[test]
fn root_what_holds_a_destroy_back_is_written_down_once_and_so_is_its_end() {
    if !entered(
        "e2e::receipts::root_what_holds_a_destroy_back_is_written_down_once_and_so_is_its_end",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 3);
    host.tenant("PATH", "goes", 5);
    host.sweep(0);
    assert_eq!(told(&host).0, Vec::<String>::new());
    let open = std::fs::File::open(host.volume("PATH", "goes").join("data.bin")).unwrap();
    host.destroy("goes");
    host.sweep(5);
    host.sweep(5);
    // The daemon does not tell again what a command told.
    let daemon = host.daemon();
    daemon.two_passes();
    let (events, why) = told(&host);
    assert_eq!(events, ["held back"]);
    assert!(why.contains("in_use_fd"), "{why}");
    let table = host.run(&["receipts"]).ends(0);
    assert!(table.out.contains("held back"), "{}", table.out);
    drop(open);
    wait_until("it is over", Duration::from_mins(1), || {
        daemon.two_passes();
        told(&host).0 == ["held back", "no longer held back"]
    });
    assert!(is_gone(&host.volume("PATH", "goes")));
    daemon.stop();
}
