//! `volumes adopt --send`: what nobody names is given back through the master, with the data that lies in it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::time::Duration;

use super::host::{Run, fill, is_gone, names, tree};
use super::master::Site;
use crate::own_namespace::entered;
use crate::stand_ins::http::Fault;
use crate::stand_ins::master::MasterOrder;
use crate::support::stand_in::wait_until;

/// For what is only a matter of how busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every orphan that nobody adopts is wiped by the second sweep.
const WIPES: &str = "[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\nbrake_percent = 100\n";

/// What lies on a disk, and nobody names.
struct Lost<'a> {
    site: &'a Site,
    disk: &'static str,
    id: &'static str,
    before: String,
}

impl<'a> Lost<'a> {
    fn new(site: &'a Site, disk: &'static str, id: &'static str) -> Self {
        fill(&site.host.volume(disk, id), 30);
        Self::found(site, disk, id)
    }

    fn found(site: &'a Site, disk: &'static str, id: &'static str) -> Self {
        let before = tree(&site.host.volume(disk, id));
        Self {
            site,
            disk,
            id,
            before,
        }
    }

    /// To the last byte, inode and time of change.
    #[track_caller]
    fn is_as_it_was(&self) {
        let now = tree(&self.site.host.volume(self.disk, self.id));
        assert!(now == self.before, "{} changed:\n{now}", self.id);
    }

    fn send(&self, more: &[&str]) -> Run {
        let volume = format!("r/{}", self.id);
        let command = ["volumes", "adopt", &volume, "--send"];
        self.site.host.run(&[&command[..], more].concat())
    }

    /// It was not given back, is told so, and no sweep takes it.
    #[track_caller]
    fn stays(&self, run: Run, code: i32, said: &[&str]) {
        let run = run.ends(code);
        for said in said.iter().chain(&["its data was not touched"]) {
            assert!(run.err.contains(said), "{said}: {}", run.err);
        }
        for _ in 0..2 {
            self.site.host.run(&["sweep"]);
        }
        self.is_as_it_was();
    }

    #[track_caller]
    fn is_back(&self, run: Run) {
        let run = run.ends(0);
        assert!(run.out.contains("given back, "), "{}", run.out);
        self.is_held();
    }

    #[track_caller]
    fn is_held(&self) {
        for _ in 0..2 {
            self.site.host.run(&["sweep"]);
        }
        assert_eq!(self.site.host.states(self.id), ["held"]);
        self.is_as_it_was();
    }
}

fn forbid(site: &Site, calls: &[&str]) {
    let calls = calls.iter().map(|call| (*call).to_owned()).collect();
    site.order(MasterOrder::Forbid(calls));
}

fn held_lines(site: &Site) -> usize {
    site.held().lines().count()
}

#[test]
fn root_what_a_lost_checkpoint_named_is_given_back_with_its_data() {
    if !entered("e2e::adopt::root_what_a_lost_checkpoint_named_is_given_back_with_its_data") {
        return;
    }
    let mut site = Site::new(WIPES);
    for (disk, id) in [("ROOT", "a"), ("PATH", "b"), ("MOUNT", "m")] {
        site.tenant(disk, id);
    }
    site.host.sweep(0);
    let held = site.held();
    site.host.agent.stop();
    std::fs::remove_dir_all(site.host.root("ROOT").join("meta/resources")).unwrap();
    site.start();
    wait_until("the master knows what is left", PATIENCE, || {
        let master = site.cluster.master.lock();
        master
            .agents
            .values()
            .all(|agent| agent.total.iter().all(|one| one.persistence.is_none()))
    });
    let [a, b, m] = [("ROOT", "a"), ("PATH", "b"), ("MOUNT", "m")]
        .map(|(disk, id)| Lost::found(&site, disk, id));
    let host = &site.host;
    assert_eq!(host.states("a"), ["orphan"]);

    // What makes no sense, is not there, or is not named.
    a.send(&["--undo"]).ends(2);
    a.send(&["--size", "1KiB"]).ends(2);
    let none = host.run(&["volumes", "adopt", "r/none", "--send"]).ends(5);
    assert!(none.err.contains("was not adopted"), "{}", none.err);
    let unnamed = m.send(&[]).ends(5);
    assert!(unnamed.err.contains("--root"), "{}", unnamed.err);
    // Nothing is marked and nothing sent.
    let dry = a.send(&["--dry-run"]).ends(0);
    for call in ["RESERVE_RESOURCES", "CREATE_VOLUMES"] {
        assert!(dry.out.contains(call), "{}", dry.out);
    }
    let marks = |disk: &str| host.root(disk).join("volumes/.mesos-volumed/adopted");
    assert!(is_gone(&marks("ROOT")) || names(&marks("ROOT")).is_empty());
    assert_eq!(site.held(), "");

    // As large as it was when it was last held. What is only marked is kept, and sent later.
    host.run(&["volumes", "adopt", "r/b"]).ends(0);
    a.is_back(a.send(&[]));
    let json = b.send(&["--output", "json"]).ends(0).json();
    assert_eq!(json["outcome"], "given back", "{json}");
    assert_eq!(json["volume"], "r/b", "{json}");
    assert_eq!(json["size_mb"], 10.0, "{json}");
    assert_eq!(json["adopted"][0]["type"], "PATH", "{json}");
    b.is_held();
    let root = host.root("MOUNT");
    let root = ["--root", root.to_str().unwrap()];
    m.is_back(m.send(&root));
    assert_eq!(site.held(), held);

    // Again: nothing to do, and no mark is left.
    let again = a.send(&[]).ends(0);
    assert!(again.out.contains("holds it already"), "{}", again.out);
    let json = b.send(&["--output", "json"]).ends(0).json();
    assert_eq!(json["outcome"], "was so already", "{json}");
    m.send(&root).ends(0);
    let elsewhere = b.send(&root).ends(5);
    assert!(elsewhere.err.contains("holds r/b on"), "{}", elsewhere.err);
    assert_eq!(site.held(), held);
    for disk in ["ROOT", "PATH"] {
        assert!(names(&marks(disk)).is_empty(), "{disk}");
    }
}

#[test]
fn root_what_the_master_refuses_is_undone_and_the_data_stays_adopted() {
    if !entered("e2e::adopt::root_what_the_master_refuses_is_undone_and_the_data_stays_adopted") {
        return;
    }
    let site = Site::new(WIPES);
    let host = &site.host;
    let lost = Lost::new(&site, "PATH", "lost");
    // Nobody remembers how large it was; there is not so much.
    lost.stays(lost.send(&[]), 5, &["--size", "stays adopted"]);
    let large = lost.send(&["--size", "5000MiB"]);
    lost.stays(large, 5, &["has not enough"]);
    let sized = ["--size", "10MiB"];
    forbid(&site, &["RESERVE_RESOURCES"]);
    let said = ["403", "nothing was reserved", "stays adopted"];
    lost.stays(lost.send(&sized), 1, &said);
    assert_eq!(site.held(), "");
    forbid(&site, &["CREATE_VOLUMES"]);
    let said = ["403", "is free again", "the same command", "stays adopted"];
    lost.stays(lost.send(&sized), 1, &said);
    assert_eq!(site.held(), "");
    let json = lost.send(&[&sized[..], &["--output", "json"]].concat());
    let json = json.ends(1).json();
    assert_eq!(json["outcome"], "not given back", "{json}");
    assert_eq!(json["adopted"][0]["type"], "PATH", "{json}");
    assert!(json["why"].as_str().unwrap().contains("403"), "{json}");
    // Not to be given back either; then it is none of ours, and used.
    forbid(&site, &["CREATE_VOLUMES", "UNRESERVE_RESOURCES"]);
    lost.stays(lost.send(&sized), 1, &["still reserved"]);
    assert_eq!(held_lines(&site), 1);
    forbid(&site, &["CREATE_VOLUMES"]);
    let said = ["was reserved for `r` before, and still is"];
    lost.stays(lost.send(&sized), 1, &said);
    assert_eq!(held_lines(&site), 1);
    forbid(&site, &["RESERVE_RESOURCES"]);
    lost.is_back(lost.send(&sized));
    assert_eq!(held_lines(&site), 1, "{}", site.held());

    // A disk that bears no mark.
    let disk = Lost::new(&site, "MOUNT", "disk");
    let root = host.root("MOUNT");
    let root = ["--root", root.to_str().unwrap()];
    forbid(&site, &["CREATE_VOLUMES"]);
    disk.stays(disk.send(&root), 1, &["is free again", "bears no mark"]);
    assert_eq!(held_lines(&site), 1, "{}", site.held());
    forbid(&site, &[]);
    disk.is_back(disk.send(&root));

    // No master.
    let unasked = Lost::new(&site, "ROOT", "unasked");
    host.configure(WIPES);
    unasked.stays(unasked.send(&sized), 1, &["master.urls", "stays adopted"]);
}

#[test]
fn root_what_the_agent_does_not_confirm_is_undecided_and_asked_for_once() {
    if !entered("e2e::adopt::root_what_the_agent_does_not_confirm_is_undecided_and_asked_for_once")
    {
        return;
    }
    let mut site = Site::new(WIPES);
    let sized = ["--size", "10MiB"];
    let reserved = |site: &Site| {
        let master = site.cluster.master.lock();
        let agents = master.agents.values();
        let all = agents.flat_map(|agent| &agent.total);
        all.filter(|one| !one.reservations.is_empty()).count()
    };
    {
        let late = Lost::new(&site, "PATH", "late");
        site.holds_messages();
        site.confirms_within("3s");
        let said = ["undecided", "may be reserved", "run the same command again"];
        late.stays(late.send(&sized), 1, &said);
        // The master has it, the agent not yet: nothing is created on it, and no more reserved.
        let again = late.send(&[&sized[..], &["--output", "json"]].concat());
        let json = again.ends(1).json();
        assert_eq!(json["outcome"], "undecided", "{json}");
        late.stays(late.send(&sized), 1, &["the master lists the reservation"]);
        assert_eq!(reserved(&site), 1);
        site.delivers();
        wait_until("the agent hears of it", PATIENCE, || held_lines(&site) == 1);

        site.holds_messages();
        let said = ["undecided", "may hold the volume soon", "the same command"];
        late.stays(late.send(&sized), 1, &said);
        late.stays(late.send(&sized), 1, &["since an earlier call"]);
        assert_eq!(reserved(&site), 1);
        site.delivers();
        wait_until("the agent hears of it", PATIENCE, || {
            site.held().contains("r/late")
        });
        late.send(&sized).ends(0);
        late.is_held();
        assert_eq!(held_lines(&site), 1);
    }
    // The message is lost with the agent that it was for.
    site.holds_messages();
    site.confirms_within("3s");
    let lost = Lost::new(&site, "ROOT", "lost");
    lost.stays(lost.send(&sized), 1, &["undecided"]);
    let before = lost.before;
    site.host.agent.stop();
    site.delivers();
    site.start();
    wait_until("it has registered again", PATIENCE, || reserved(&site) == 1);
    site.confirms_within("2m");
    let lost = Lost {
        site: &site,
        disk: "ROOT",
        id: "lost",
        before,
    };
    lost.is_back(lost.send(&sized));
    assert_eq!(held_lines(&site), 2);
}

#[test]
fn root_beside_a_daemon_and_after_a_kill_it_is_given_back_once() {
    if !entered("e2e::adopt::root_beside_a_daemon_and_after_a_kill_it_is_given_back_once") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    let lost = Lost::new(&site, "PATH", "lost");
    let disk = Lost::new(&site, "MOUNT", "disk");
    let daemon = host.daemon();
    host.run(&["volumes", "adopt", "r/none", "--send"]).ends(5);
    let sized = ["--size", "10MiB"];
    forbid(&site, &["CREATE_VOLUMES"]);
    lost.stays(lost.send(&sized), 1, &["is free again", "stays adopted"]);
    assert_eq!(site.held(), "");
    let audit = || std::fs::read_to_string(host.state_dir().join("audit/audit.jsonl")).unwrap();
    assert!(
        audit().contains("asked through the socket by user 0"),
        "{}",
        audit()
    );

    // Killed after each call was written down, before the master heard of it; nobody else calls meanwhile.
    forbid(&site, &[]);
    for (call, reserved) in [("RESERVE_RESOURCES", 0), ("CREATE_VOLUMES", 1)] {
        let swallow = Fault {
            path: format!("/api/v1#{call}"),
            status: Some(500),
            late: 3600.0,
            ..Fault::default()
        };
        site.cluster.faults.lock().unwrap().paths = vec![swallow];
        let calls = |audit: &str| audit.matches(call).count();
        let before = calls(&audit());
        let command = ["volumes", "adopt", "r/lost", "--send"];
        let mut command = host.spawn(&[&command[..], &sized].concat());
        wait_until("it calls", PATIENCE, || calls(&audit()) > before);
        lost.stays(lost.send(&sized), 6, &["another command"]);
        command.kill().unwrap();
        command.wait().unwrap();
        assert_eq!(held_lines(&site), reserved, "{}", site.held());
    }
    site.cluster.faults.lock().unwrap().paths.clear();
    daemon.two_passes();
    lost.is_back(lost.send(&sized));
    assert_eq!(held_lines(&site), 1, "{}", site.held());
    let root = host.root("MOUNT");
    disk.is_back(disk.send(&["--root", root.to_str().unwrap()]));
    assert_eq!(held_lines(&site), 2, "{}", site.held());
    daemon.two_passes();
    let marks = host.root("PATH").join("volumes/.mesos-volumed/adopted");
    assert!(names(&marks).is_empty());
    daemon.stop();
}
