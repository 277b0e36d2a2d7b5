//! Volumes through the master: created, destroyed in O(1), resized; put back, or undecided.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::host::{self, Host, Parts, Run, fill, is_gone, names};
use crate::own_namespace::entered;
use crate::stand_ins::cluster::{Cluster, Flags};
use crate::stand_ins::http::{Access, Fault};
use crate::stand_ins::master::MasterOrder;
use crate::support::stand_in::wait_until;

/// For what is only a matter of how busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that is below a folder. The folder itself was renamed, which its ctime tells.
fn tree(folder: &Path) -> String {
    let all = host::tree(folder);
    let below = all.lines().filter(|line| !line.starts_with(". "));
    below.collect::<Vec<_>>().join("\n")
}

/// A host whose agent is registered with a master.
pub(super) struct Site {
    pub(super) host: Host,
    pub(super) cluster: Cluster,
    settings: String,
}

impl Site {
    pub(super) fn new(settings: &str) -> Self {
        Self::of(Host::new(Parts::default()), settings)
    }

    /// With this host, whose agent has not been started.
    pub(super) fn of(mut host: Host, settings: &str) -> Self {
        let cluster = Cluster::start(&Flags {
            marathon_port: None,
            ..Flags::default()
        })
        .unwrap();
        let address = format!("--master={}", cluster.address());
        host.agent.set_flags(&[&address]);
        let settings = format!(
            "{settings}\n[master]\nurls = [\"http://127.0.0.1:1\", \"http://{}\"]\n",
            cluster.address()
        );
        let mut site = Self {
            host,
            cluster,
            settings,
        };
        site.confirms_within("2m");
        site.start();
        site
    }

    /// So long a destroy waits for the agent's checkpoint.
    pub(super) fn confirms_within(&self, span: &str) {
        let settings = format!("{}confirm = \"{span}\"\n", self.settings);
        self.host.configure(&settings);
    }

    pub(super) fn start(&mut self) {
        self.host.agent.start();
        wait_until("the agent registers", PATIENCE, || {
            !self.cluster.master.lock().agents.is_empty()
        });
    }

    /// The master's messages do not reach the agent until [`Site::delivers`].
    pub(super) fn holds_messages(&self) {
        self.order(MasterOrder::DeliveredAfter(3600.0));
    }

    /// They do, those included that are on their way; those to no agent are lost by the time that
    /// this returns.
    pub(super) fn delivers(&self) {
        let ended = || {
            let post = Arc::clone(&self.cluster.master.lock().post);
            let post = post.lock().unwrap();
            post.ended
        };
        let before = ended();
        self.order(MasterOrder::DeliveredAfter(0.0));
        wait_until("the message has come somewhere", PATIENCE, || {
            ended() > before
        });
    }

    pub(super) fn order(&self, order: MasterOrder) {
        self.cluster.master.order(order).unwrap();
    }

    fn disk(&self, disk: &str) -> String {
        match disk {
            "ROOT" => disk.to_owned(),
            _ => format!("{disk}:{}", self.host.root(disk).display()),
        }
    }

    pub(super) fn create(&self, disk: &str, id: &str, more: &[&str]) -> Run {
        let disk = self.disk(disk);
        let command = [
            "volumes", "create", "--role", "r", "--id", id, "--disk", &disk,
        ];
        self.host.run(&[&command[..], more].concat())
    }

    /// A volume with data.
    pub(super) fn tenant(&self, disk: &str, id: &str) {
        let size: &[&str] = if disk == "MOUNT" {
            &[]
        } else {
            &["--size", "10"]
        };
        self.create(disk, id, size).ends(0);
        fill(&self.host.volume(disk, id), 50);
    }

    fn destroy(&self, id: &str, more: &[&str]) -> Run {
        let volume = format!("r/{id}");
        let command = ["volumes", "destroy", &volume, "--confirm", id];
        self.host.run(&[&command[..], more].concat())
    }

    fn trash(&self, disk: &str) -> std::path::PathBuf {
        self.host.root(disk).join("volumes/.mesos-volumed/trash")
    }

    /// What the agent holds, one line each.
    pub(super) fn held(&self) -> String {
        let all = self.host.agent.order(&["show"]);
        // Operations begin with what they do, resources with their size.
        let resources = all
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        resources.collect::<Vec<_>>().join("\n")
    }

    fn manifest(&self, disk: &str) -> serde_json::Value {
        let trash = self.trash(disk);
        let [entry] = names(&trash).try_into().unwrap();
        let text = std::fs::read(Path::new(&trash).join(&entry).join("manifest.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

/// `r/a` has 12 MB. To a size it is resized once, however often it is said.
fn resized_to(host: &Host) {
    let to = |way: &str, size: &str| host.run(&["volumes", way, "r/a", "--to", size]);
    assert!(to("grow", "14").ends(0).out.contains("resized, 14 MB"));
    assert!(to("grow", "14").ends(0).out.contains("was so already"));
    assert!(to("grow", "12").ends(5).err.contains("volumes shrink"));
    assert!(to("shrink", "12").ends(0).out.contains("resized, 12 MB"));
    assert!(to("shrink", "12").ends(0).out.contains("was so already"));
    assert!(to("shrink", "14").ends(5).err.contains("volumes grow"));
    let dry = host.run(&["volumes", "grow", "r/a", "--to", "12", "--dry-run"]);
    assert!(dry.ends(0).out.contains("no calls"));
    to("grow", "0").ends(2);
    host.run(&["volumes", "grow", "r/a"]).ends(2);
}

#[test]
fn root_volumes_are_created_resized_and_destroyed_through_the_master() {
    if !entered("e2e::master::root_volumes_are_created_resized_and_destroyed_through_the_master") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    // A dry run does nothing and says everything.
    let dry = site
        .create(
            "PATH",
            "a",
            &[
                "--size",
                "10",
                "--owner",
                "7:8",
                "--mode",
                "2750",
                "--dry-run",
            ],
        )
        .ends(0);
    assert!(
        dry.out.contains("RESERVE_RESOURCES") && dry.out.contains("CREATE_VOLUMES"),
        "{}",
        dry.out
    );
    assert!(
        dry.out.contains("install -d -m 2750 -o 7 -g 8 "),
        "{}",
        dry.out
    );
    assert!(is_gone(&host.volume("PATH", "a")));
    assert!(!site.held().contains("r/a"));

    site.create(
        "PATH",
        "a",
        &["--size", "10", "--owner", "7:8", "--mode", "2750"],
    )
    .ends(0);
    let made = std::fs::metadata(host.volume("PATH", "a")).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.permissions().mode() & 0o7777),
        (7, 8, 0o2750)
    );
    // Again: nothing to do. Another size is another volume.
    let again = site.create("PATH", "a", &["--size", "10"]).ends(0);
    assert!(again.out.contains("was so already"), "{}", again.out);
    site.create("PATH", "a", &["--size", "11"]).ends(5);
    assert_eq!(host.states("a"), ["held"]);

    fill(&host.volume("PATH", "a"), 50);
    let before = tree(&host.volume("PATH", "a"));
    host.run(&["volumes", "grow", "r/a", "--by", "5"]).ends(0);
    host.run(&["volumes", "shrink", "r/a", "--by", "3"]).ends(0);
    let list = host
        .run(&["volumes", "list", "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(list["volumes"][0]["size_mb"], 12.0, "{list}");
    assert_eq!(tree(&host.volume("PATH", "a")), before);
    host.run(&["volumes", "grow", "r/a", "--by", "5000"])
        .ends(5);
    host.run(&["volumes", "shrink", "r/a", "--by", "12"])
        .ends(5);
    resized_to(host);
    assert_eq!(tree(&host.volume("PATH", "a")), before);
    host.run(&["volumes", "grow", "r/none", "--by", "1"])
        .ends(5);

    let dry = host
        .run(&["volumes", "destroy", "r/a", "--unreserve", "--dry-run"])
        .ends(0);
    assert!(
        dry.out.contains("DESTROY_VOLUMES") && dry.out.contains("UNRESERVE_RESOURCES"),
        "{}",
        dry.out
    );
    assert_eq!(tree(&host.volume("PATH", "a")), before);
    host.run(&["volumes", "destroy", "r/a", "--confirm", "b"])
        .ends(5);

    let gone = site.destroy("a", &["--unreserve"]).ends(0);
    for step in ["quarantine", "call", "confirm", "wipe"] {
        assert!(
            gone.out.contains(&format!("{step}: ")),
            "{step}: {}",
            gone.out
        );
    }
    assert!(is_gone(&host.volume("PATH", "a")));
    assert!(names(&site.trash("PATH")).is_empty());
    assert!(!site.held().contains("r/a"), "{}", site.held());
    site.destroy("a", &[]).ends(5);
    // All of the disk is there for the next.
    site.create("PATH", "b", &["--size", "40"]).ends(0);
    site.destroy("b", &[]).ends(0);
    // What is left reserved is used first.
    site.create("PATH", "c", &["--size", "40"]).ends(0);
    host.sweep(0);
    assert_eq!(host.states("c"), ["held"]);
}

#[test]
fn root_a_volume_is_not_created_over_something_and_what_failed_is_undone() {
    if !entered(
        "e2e::master::root_a_volume_is_not_created_over_something_and_what_failed_is_undone",
    ) {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    for kind in ["directory", "file"] {
        let at = host.volume("PATH", kind);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        if kind == "file" {
            std::fs::write(&at, "old").unwrap();
        } else {
            fill(&at, 3);
        }
        let refused = site.create("PATH", kind, &["--size", "5"]).ends(5);
        assert!(refused.err.contains("something lies at"), "{}", refused.err);
    }
    std::fs::write(host.root("MOUNT").join("old"), "x").unwrap();
    let refused = site.create("MOUNT", "m", &[]).ends(5);
    assert!(refused.err.contains("is not empty"), "{}", refused.err);
    std::fs::remove_file(host.root("MOUNT").join("old")).unwrap();
    site.create("MOUNT", "m", &["--size", "5"]).ends(5);
    site.create("MOUNT", "m", &[]).ends(0);
    assert!(site.held().contains("r/m"), "{}", site.held());
    host.run(&["volumes", "grow", "r/m", "--by", "1"]).ends(5);

    site.order(MasterOrder::Forbid(vec!["CREATE_VOLUMES".to_owned()]));
    let before = site.held();
    let failed = site
        .create("PATH", "x", &["--size", "5", "--mode", "700"])
        .ends(1);
    assert!(failed.err.contains("is free again"), "{}", failed.err);
    assert!(
        is_gone(&host.volume("PATH", "x")),
        "its directory was made ahead"
    );
    assert_eq!(site.held(), before);
    site.order(MasterOrder::Forbid(vec!["RESERVE_RESOURCES".to_owned()]));
    site.create("PATH", "x", &["--size", "5"]).ends(1);
    assert_eq!(site.held(), before);
    site.order(MasterOrder::Forbid(Vec::new()));
    site.create("PATH", "x", &["--size", "5"]).ends(0);
    // Wrong words.
    site.create("PATH", "a/b", &["--size", "5"]).ends(2);
    site.create("PATH", "y", &[]).ends(2);
    site.create("PATH", "y", &["--size", "5", "--mode", "9"])
        .ends(2);
}

#[test]
fn root_a_destroy_that_is_refused_leaves_everything_as_it_was() {
    if !entered("e2e::master::root_a_destroy_that_is_refused_leaves_everything_as_it_was") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    site.tenant("PATH", "a");
    site.tenant("ROOT", "b");
    let before = tree(&host.volume("PATH", "a"));
    let inode = std::fs::metadata(host.volume("PATH", "a")).unwrap().ino();
    let same = || {
        assert!(
            tree(&host.volume("PATH", "a")) == before,
            "its data changed"
        );
        let now = std::fs::metadata(host.volume("PATH", "a")).unwrap().ino();
        assert_eq!(now, inode);
        assert_eq!(host.states("a"), ["held"]);
        assert!(!site.trash("PATH").exists() || names(&site.trash("PATH")).is_empty());
    };

    // The master says no: put back at once.
    site.order(MasterOrder::Forbid(vec!["DESTROY_VOLUMES".to_owned()]));
    let refused = site.destroy("a", &[]).ends(1);
    assert!(refused.err.contains("it is as it was"), "{}", refused.err);
    assert!(refused.out.contains("put_back: "), "{}", refused.out);
    same();
    site.order(MasterOrder::Forbid(Vec::new()));

    // A task has it.
    host.agent.order(&["launch", "r/a", "task1"]);
    let refused = site.destroy("a", &[]).ends(5);
    assert!(refused.err.contains("in_use_task"), "{}", refused.err);
    same();
    host.agent.order(&["kill", "task1"]);

    // Somebody looks into it.
    let open = std::fs::File::open(host.volume("PATH", "a")).unwrap();
    let refused = site.destroy("a", &[]).ends(5);
    assert!(refused.err.contains("in_use_fd"), "{}", refused.err);
    same();
    drop(open);

    // A framework destroys it: that is the agent's.
    host.agent.order(&["destroy", "r/a", "--pending-only"]);
    let refused = site.destroy("a", &[]).ends(5);
    assert!(refused.err.contains("pending_operation"), "{}", refused.err);
    assert_eq!(tree(&host.volume("PATH", "a")), before);
    host.agent.order(&["finish"]);
    assert!(is_gone(&host.volume("PATH", "a")));

    // No master, and no agent.
    host.configure("[sweep]\nprotect = [\"r/b\"]\n");
    site.destroy("b", &[]).ends(1);
    assert_eq!(host.states("b"), ["held"]);
}

#[test]
fn root_an_undecided_destroy_loses_nothing_and_ends_either_way() {
    if !entered("e2e::master::root_an_undecided_destroy_loses_nothing_and_ends_either_way") {
        return;
    }
    let mut site = Site::new("[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\nbrake_percent = 100\n");
    site.tenant("PATH", "late");
    site.tenant("ROOT", "lost");
    let trees = [
        tree(&site.host.volume("PATH", "late")),
        tree(&site.host.volume("ROOT", "lost")),
    ];

    // The message is long on its way.
    site.holds_messages();
    site.confirms_within("3s");
    let late = site.destroy("late", &[]).ends(1);
    assert!(late.err.contains("undecided"), "{}", late.err);
    let manifest = site.manifest("PATH");
    assert_eq!(manifest["unconfirmed"], true);
    assert!(manifest["asked"]["registered"].is_string(), "{manifest}");
    // No sweep wipes it, puts it back, or makes a directory for it.
    site.host.sweep(0);
    site.host
        .run(&["volumes", "recreate", "r/late", "--confirm", "late"])
        .ends(5);
    let id = manifest["id"].as_str().unwrap().to_owned();
    site.host.run(&["trash", "purge", &id]).ends(5);
    assert!(is_gone(&site.host.volume("PATH", "late")));
    let data = site.trash("PATH").join(&id).join("data");
    assert_eq!(tree(&data), trees[0]);
    site.delivers();
    wait_until("the agent hears of it", PATIENCE, || {
        !site.held().contains("r/late")
    });
    let swept = site.host.sweep(0);
    assert!(swept.out.contains("confirm: "), "{}", swept.out);
    assert!(names(&site.trash("PATH")).is_empty());

    // The message is lost with the agent that it was for.
    site.holds_messages();
    site.confirms_within("3s");
    let lost = site.destroy("lost", &[]).ends(1);
    assert!(lost.err.contains("undecided"), "{}", lost.err);
    site.host.agent.stop();
    site.delivers();
    // While nobody can tell, nothing happens.
    site.host.sweep(0);
    assert!(is_gone(&site.host.volume("ROOT", "lost")));
    site.start();
    wait_until("it has registered again", PATIENCE, || {
        site.host.sweep(0);
        !is_gone(&site.host.volume("ROOT", "lost"))
    });
    assert_eq!(tree(&site.host.volume("ROOT", "lost")), trees[1]);
    assert_eq!(site.host.states("lost"), ["held"]);
    assert!(names(&site.trash("ROOT")).is_empty());
    // And now it goes.
    site.confirms_within("2m");
    site.destroy("lost", &[]).ends(0);
    assert!(is_gone(&site.host.volume("ROOT", "lost")));
}

#[test]
fn root_a_mount_is_never_emptied_before_its_destroy_is_committed() {
    if !entered("e2e::master::root_a_mount_is_never_emptied_before_its_destroy_is_committed") {
        return;
    }
    let site = Site::new("");
    site.tenant("MOUNT", "m");
    let before = tree(&site.host.root("MOUNT"));
    site.holds_messages();
    site.confirms_within("3s");
    let undecided = site.destroy("m", &[]).ends(1);
    assert!(
        undecided.err.contains("nothing was moved"),
        "{}",
        undecided.err
    );
    assert_eq!(tree(&site.host.root("MOUNT")), before);
    site.delivers();
    let what = format!("the agent destroys it, which ended so: {}", undecided.err);
    wait_until(&what, PATIENCE, || !site.held().contains("r/m"));
    // It was the agent's to empty.
    assert_ne!(tree(&site.host.root("MOUNT")), before);
    site.host.sweep(0);
    site.confirms_within("2m");
    site.create("MOUNT", "n", &[]).ends(0);
    site.destroy("n", &["--unreserve"]).ends(0);
    assert_eq!(site.held(), "");
}

#[test]
fn root_beside_a_running_daemon_volumes_are_created_resized_and_destroyed() {
    if !entered(
        "e2e::master::root_beside_a_running_daemon_volumes_are_created_resized_and_destroyed",
    ) {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    let daemon = host.daemon();
    let owned = ["--size", "10", "--owner", "7:8", "--mode", "2750"];
    site.create("PATH", "a", &owned).ends(0);
    let made = std::fs::metadata(host.volume("PATH", "a")).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.permissions().mode() & 0o7777),
        (7, 8, 0o2750)
    );
    fill(&host.volume("PATH", "a"), 50);
    host.run(&["volumes", "grow", "r/a", "--by", "5"]).ends(0);
    host.run(&["volumes", "shrink", "r/a", "--by", "3"]).ends(0);
    assert_eq!(host.states("a"), ["held"]);
    site.tenant("ROOT", "stays");
    let stays = tree(&host.volume("ROOT", "stays"));

    // What is refused or makes no sense leaves all as it was.
    let before = tree(&host.volume("PATH", "a"));
    let inode = std::fs::metadata(host.volume("PATH", "a")).unwrap().ino();
    let same = || {
        assert_eq!(tree(&host.volume("PATH", "a")), before);
        let now = std::fs::metadata(host.volume("PATH", "a")).unwrap().ino();
        assert_eq!(now, inode);
        assert!(!site.trash("PATH").exists() || names(&site.trash("PATH")).is_empty());
    };
    host.run(&["volumes", "destroy", "r/a", "--confirm", "b"])
        .ends(5);
    let none = site.destroy("none", &[]).ends(5);
    assert!(none.err.contains("no_such_volume"), "{}", none.err);
    host.agent.order(&["launch", "r/a", "task1"]);
    let refused = site.destroy("a", &[]).ends(5);
    assert!(refused.err.contains("in_use_task"), "{}", refused.err);
    same();
    host.agent.order(&["kill", "task1"]);
    wait_until("the master knows that it has ended", PATIENCE, || {
        let master = site.cluster.master.lock();
        master.agents.values().all(|one| one.used().is_empty())
    });
    site.order(MasterOrder::Forbid(vec!["DESTROY_VOLUMES".to_owned()]));
    let refused = site.destroy("a", &[]).ends(1);
    assert!(refused.err.contains("it is as it was"), "{}", refused.err);
    same();
    site.order(MasterOrder::Forbid(Vec::new()));

    let gone = site.destroy("a", &["--unreserve"]).ends(0);
    for step in ["quarantine: ", "call: ", "unreserved: done"] {
        assert!(gone.out.contains(step), "{step}: {}", gone.out);
    }
    assert!(is_gone(&host.volume("PATH", "a")));
    wait_until("the trash is empty", PATIENCE, || {
        names(&site.trash("PATH")).is_empty()
    });
    assert!(!site.held().contains("r/a"), "{}", site.held());
    let log = std::fs::read_to_string(host.state_dir().join("audit/audit.jsonl")).unwrap();
    assert!(log.contains("asked through the socket by user 0"), "{log}");
    assert_eq!(tree(&host.volume("ROOT", "stays")), stays);
    daemon.stop();
}

#[test]
fn root_a_destroy_that_the_daemon_waits_for_holds_nobody_up_and_is_ended_by_it() {
    if !entered(
        "e2e::master::root_a_destroy_that_the_daemon_waits_for_holds_nobody_up_and_is_ended_by_it",
    ) {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    site.tenant("PATH", "a");
    site.tenant("ROOT", "b");
    let before = tree(&host.volume("PATH", "a"));
    let daemon = host.daemon();
    // Its message is long on its way: nobody else waits for it.
    site.holds_messages();
    let mut waits = host.spawn(&["volumes", "destroy", "r/a", "--confirm", "a"]);
    wait_until("it is aside", PATIENCE, || {
        is_gone(&host.volume("PATH", "a"))
    });
    wait_until("the master was asked", PATIENCE, || {
        site.manifest("PATH")["asked"]["registered"].is_string()
    });
    host.sweep(0);
    daemon.two_passes();
    let entry = site.manifest("PATH")["id"].as_str().unwrap().to_owned();
    assert_eq!(tree(&site.trash("PATH").join(&entry).join("data")), before);
    assert!(waits.try_wait().unwrap().is_none(), "it said something");
    site.delivers();
    assert_eq!(waits.wait().unwrap().code(), Some(0));
    assert!(names(&site.trash("PATH")).is_empty());

    // Whoever asked goes away: the daemon goes on from what the trash says.
    site.holds_messages();
    let mut leaves = host.spawn(&["volumes", "destroy", "r/b", "--confirm", "b"]);
    wait_until("the master was asked", PATIENCE, || {
        is_gone(&host.volume("ROOT", "b")) && site.manifest("ROOT")["asked"].is_object()
    });
    leaves.kill().unwrap();
    leaves.wait().unwrap();
    daemon.two_passes();
    assert_eq!(site.manifest("ROOT")["unconfirmed"], true);
    site.delivers();
    wait_until("its data is gone", PATIENCE, || {
        names(&site.trash("ROOT")).is_empty()
    });
    daemon.stop();
}

#[test]
fn root_a_destroy_that_was_killed_before_it_left_the_host_goes_back_or_on() {
    if !entered(
        "e2e::master::root_a_destroy_that_was_killed_before_it_left_the_host_goes_back_or_on",
    ) {
        return;
    }
    let mut site = Site::new("[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\nbrake_percent = 100\n");
    let volumes = [("PATH", "back"), ("ROOT", "on")];
    for (disk, id) in volumes {
        site.tenant(disk, id);
    }
    let before = tree(&site.host.volume("PATH", "back"));
    // Who asks is kept waiting, and the master hears nothing of it.
    let swallow = Fault {
        path: "/api/v1#DESTROY_VOLUMES".to_owned(),
        status: Some(500),
        late: 3600.0,
        ..Fault::default()
    };
    site.cluster.faults.lock().unwrap().paths = vec![swallow];
    for (disk, id) in volumes {
        let volume = format!("r/{id}");
        let command = ["volumes", "destroy", &volume, "--confirm", id];
        let mut command = site.host.spawn(&command);
        let is_asked = || {
            let entries = std::fs::read_dir(site.trash(disk)).into_iter().flatten();
            let mut manifests = entries.flatten().filter_map(|entry| {
                let text = std::fs::read(entry.path().join("manifest.json")).ok()?;
                serde_json::from_slice::<serde_json::Value>(&text).ok()
            });
            manifests.any(|manifest| manifest["asked"].is_object())
        };
        wait_until("it is written down that it asks", PATIENCE, is_asked);
        command.kill().unwrap();
        command.wait().unwrap();
    }
    site.cluster.faults.lock().unwrap().paths.clear();

    // Nobody on this host can know that it never left: nothing happens, and that is said.
    for _ in 0..3 {
        site.host.sweep(0);
        let run = site.host.run(&["sweep", "--dry-run"]).ends(0);
        assert!(
            run.out.contains("unconfirmed") && run.out.contains("may never have got there"),
            "{}",
            run.out
        );
    }
    let doctor = site.host.run(&["doctor"]);
    assert!(
        doctor.out.contains("volume_vanished") && doctor.out.contains("restart the agent"),
        "{}",
        doctor.out
    );
    for (disk, id) in volumes {
        assert!(is_gone(&site.host.volume(disk, id)));
        assert!(site.held().contains(&format!("r/{id}")));
    }
    // Asked again it goes on.
    site.destroy("on", &[]).ends(0);
    assert!(!site.held().contains("r/on") && names(&site.trash("ROOT")).is_empty());
    // With the agent registered again, nothing that was sent before can come any more.
    site.host.agent.stop();
    site.start();
    wait_until("it is put back", PATIENCE, || {
        site.host.sweep(0);
        !is_gone(&site.host.volume("PATH", "back"))
    });
    assert_eq!(tree(&site.host.volume("PATH", "back")), before);
    assert_eq!(site.host.states("back"), ["held"]);
    assert!(names(&site.trash("PATH")).is_empty());
}

#[test]
fn root_a_create_that_was_killed_at_any_step_can_be_run_again() {
    if !entered("e2e::master::root_a_create_that_was_killed_at_any_step_can_be_run_again") {
        return;
    }
    let site = Site::new("");
    let at = site.host.volume("PATH", "a");
    let wanted = ["--size", "5", "--owner", "7:8", "--mode", "2750"];
    for call in ["RESERVE_RESOURCES", "CREATE_VOLUMES"] {
        let swallow = Fault {
            path: format!("/api/v1#{call}"),
            status: Some(500),
            late: 3600.0,
            ..Fault::default()
        };
        site.cluster.faults.lock().unwrap().paths = vec![swallow];
        let disk = site.disk("PATH");
        let command = [
            "volumes", "create", "--role", "r", "--id", "a", "--disk", &disk,
        ];
        let mut command = site.host.spawn(&[&command[..], &wanted].concat());
        wait_until("it has come so far", PATIENCE, || !is_gone(&at));
        // Both are written down before the call is made.
        wait_until("it calls", PATIENCE, || {
            let audit = std::fs::read_to_string(site.host.state_dir().join("audit/audit.jsonl"));
            audit.is_ok_and(|audit| audit.contains(call))
        });
        command.kill().unwrap();
        command.wait().unwrap();
        assert!(!is_gone(&at), "its directory was made ahead");
        assert_eq!(site.host.states("a"), ["orphan"]);
    }
    site.cluster.faults.lock().unwrap().paths.clear();
    // Somebody is in it: it is not taken away under him.
    let mut inside = std::process::Command::new("sleep")
        .arg("1000")
        .current_dir(&at)
        .spawn()
        .unwrap();
    let refused = site.create("PATH", "a", &wanted).ends(5);
    assert!(refused.err.contains("in_use_fd"), "{}", refused.err);
    inside.kill().unwrap();
    inside.wait().unwrap();
    // Something was put into it.
    std::fs::write(at.join("x"), "x").unwrap();
    site.create("PATH", "a", &wanted).ends(5);
    std::fs::remove_file(at.join("x")).unwrap();
    // What is reserved already is used, and the empty directory is no obstacle.
    site.create("PATH", "a", &[&wanted[..], &["--dry-run"]].concat())
        .ends(0);
    site.create("PATH", "a", &wanted).ends(0);
    let made = std::fs::metadata(&at).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.permissions().mode() & 0o7777),
        (7, 8, 0o2750)
    );
    assert_eq!(site.host.states("a"), ["held"]);
    assert_eq!(site.held().lines().count(), 1, "{}", site.held());
}

#[test]
fn root_the_calls_that_a_dry_run_prints_work_in_a_shell() {
    if !entered("e2e::master::root_the_calls_that_a_dry_run_prints_work_in_a_shell") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    // The master wants a token, which no line shows.
    let token = host.temp().join("a token");
    std::fs::write(&token, "s3cret\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    site.order(MasterOrder::Access(Access {
        token: Some("s3cret".to_owned()),
        ..Access::default()
    }));
    let settings = format!(
        "{}confirm = \"2m\"\ntoken_file = \"{}\"\n",
        site.settings,
        token.display()
    );
    host.configure(&settings);
    let by_hand = |run: Run| {
        let run = run.ends(0);
        assert!(!run.out.contains("s3cret"), "{}", run.out);
        let json = run.json();
        for line in json["calls"].as_array().unwrap() {
            let line = line.as_str().unwrap();
            let done = std::process::Command::new("bash")
                .args(["-euc", &format!("set -o pipefail\n{line}")])
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{line}\n{}{}",
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
        }
    };
    let held = |size: &str, what: &str| {
        wait_until(what, PATIENCE, || {
            let held = site.held();
            let mut lines = held.lines();
            lines.any(|line| line.starts_with(&format!("{size}\t")) && line.ends_with(what))
        });
    };
    let create = [
        "volumes",
        "create",
        "--role",
        "eng/dev",
        "--id",
        "it's #1",
        "--size",
        "10",
        "--owner",
        "7:8",
        "--mode",
        "750",
        "--shared",
        "--labels",
        "a=b c",
        "--principal",
        "ops",
        "--container-path",
        "here",
        "--dry-run",
        "--output",
        "json",
        "--disk",
    ];
    let disk = site.disk("PATH");
    by_hand(host.run(&[&create[..], &[&disk]].concat()));
    held("10", "eng/dev/it's #1");
    let volume = host.root("PATH").join("volumes/roles/eng dev/it's #1");
    let made = std::fs::metadata(&volume).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.permissions().mode() & 0o7777),
        (7, 8, 0o750)
    );
    let all = host.agent.held();
    let one = all.iter().find(|one| one.persistence.is_some()).unwrap();
    assert!(one.shared);
    let persistence = one.persistence.as_ref().unwrap();
    assert_eq!(persistence.container_path, Some("here".into()));
    assert_eq!(persistence.principal, Some("ops".into()));
    let last = one.reservations.last().unwrap();
    assert_eq!(last.principal, Some("ops".into()));
    assert_eq!(last.labels, [("a".into(), Some("b c".into()))]);

    // On ROOT one that can be resized, and what goes again.
    site.tenant("ROOT", "plain");
    let json = ["--dry-run", "--output", "json"];
    // What lies there already.
    fill(&host.volume("PATH", "it lies"), 3);
    let adopt = ["volumes", "adopt", "r/it lies", "--size", "5MiB"];
    by_hand(host.run(&[&adopt[..], &json].concat()));
    held("5", "r/it lies");
    by_hand(host.run(&[&["volumes", "grow", "r/plain", "--by", "5"][..], &json].concat()));
    held("15", "r/plain");
    by_hand(host.run(&[&["volumes", "shrink", "r/plain", "--by", "7"][..], &json].concat()));
    held("8", "r/plain");
    by_hand(host.run(&[&["volumes", "destroy", "r/plain", "--unreserve"][..], &json].concat()));
    wait_until("it is destroyed", PATIENCE, || {
        !site.held().contains("r/plain")
    });
}

#[test]
fn root_what_a_failing_step_leaves_is_undone_or_named() {
    if !entered("e2e::master::root_what_a_failing_step_leaves_is_undone_or_named") {
        return;
    }
    let site = Site::new("");
    let host = &site.host;
    let forbid = |calls: &[&str]| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        site.order(MasterOrder::Forbid(calls));
    };
    let failed = |run: Run, said: &str| {
        let run = run.ends(1);
        assert!(run.err.contains(said), "{said}: {}", run.err);
    };
    let nothing = site.held();
    let create = |mode: &str| site.create("PATH", "a", &["--size", "10", "--mode", mode]);
    // The directory is made, nothing can be reserved.
    forbid(&["RESERVE_RESOURCES"]);
    failed(create("700"), "403");
    assert!(is_gone(&host.volume("PATH", "a")));
    assert_eq!(site.held(), nothing);
    // It is reserved, can't be created, and can't be given back either: that is said, and the next run
    // goes on from it.
    forbid(&["CREATE_VOLUMES", "UNRESERVE_RESOURCES"]);
    failed(create("700"), "still reserved");
    assert!(is_gone(&host.volume("PATH", "a")));
    assert_eq!(site.held().lines().count(), 1);
    forbid(&["RESERVE_RESOURCES"]);
    create("700").ends(0);
    assert_eq!(host.states("a"), ["held"]);
    fill(&host.volume("PATH", "a"), 3);
    let data = tree(&host.volume("PATH", "a"));
    let held = site.held();
    let resize = |way: &str, by: &str| host.run(&["volumes", way, "r/a", "--by", by]);
    // What it would need can't be reserved; or is, and can't be added.
    failed(resize("grow", "5"), "is as it was");
    assert_eq!(site.held(), held);
    forbid(&["GROW_VOLUME"]);
    failed(resize("grow", "5"), "is free again");
    assert_eq!(site.held(), held);
    forbid(&["SHRINK_VOLUME"]);
    failed(resize("shrink", "5"), "is as it was");
    assert_eq!(site.held(), held);
    forbid(&["UNRESERVE_RESOURCES"]);
    let run = resize("shrink", "5").ends(1);
    assert!(
        run.err.contains("it gave up is still reserved") && run.err.contains("curl"),
        "{}",
        run.err
    );
    assert!(site.held().contains("5\t"), "{}", site.held());
    forbid(&["DESTROY_VOLUMES"]);
    failed(site.destroy("a", &[]), "it is as it was");
    assert_eq!(tree(&host.volume("PATH", "a")), data);
    // Whether it was resized can't be told: it is not said to be run again as it is.
    forbid(&[]);
    site.holds_messages();
    site.confirms_within("3s");
    failed(resize("grow", "2"), "only where it is the first");
    site.delivers();
    wait_until("it is resized", PATIENCE, || {
        site.held()
            .lines()
            .any(|line| line.starts_with("7\t") && line.ends_with("r/a"))
    });
    // To a size it is safe to say it again while the first is on its way.
    let to = || host.run(&["volumes", "grow", "r/a", "--to", "9"]);
    site.holds_messages();
    failed(to(), "asks for nothing twice");
    failed(to(), "nothing more was asked for");
    site.delivers();
    site.confirms_within("2m");
    assert!(to().ends(0).out.contains("was so already"));
    forbid(&["UNRESERVE_RESOURCES"]);
    failed(
        site.destroy("a", &["--unreserve"]),
        "its space is still reserved",
    );
    forbid(&[]);
    assert!(is_gone(&host.volume("PATH", "a")) && names(&site.trash("PATH")).is_empty());
}

#[test]
fn root_a_checkpoint_that_lost_everything_confirms_no_destroy() {
    if !entered("e2e::master::root_a_checkpoint_that_lost_everything_confirms_no_destroy") {
        return;
    }
    let mut site = Site::new("");
    site.tenant("PATH", "a");
    let before = tree(&site.host.volume("PATH", "a"));
    site.holds_messages();
    site.confirms_within("20s");
    let command = ["volumes", "destroy", "r/a", "--confirm", "a"];
    let waits = site.host.spawn(&command);
    wait_until("the master was asked", PATIENCE, || {
        is_gone(&site.host.volume("PATH", "a")) && site.manifest("PATH")["asked"].is_object()
    });
    // It would write them anew.
    site.host.agent.stop();
    let resources = site.host.root("ROOT").join("meta/resources");
    std::fs::remove_file(resources.join("resources_and_operations.state")).unwrap();
    std::fs::write(resources.join("resources.info"), "").unwrap();
    let ended = waits.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("not certain"), "{said}");
    site.host.run(&["sweep"]);
    let manifest = site.manifest("PATH");
    assert_eq!(manifest["unconfirmed"], true);
    let entry = manifest["id"].as_str().unwrap();
    assert_eq!(tree(&site.trash("PATH").join(entry).join("data")), before);
}
