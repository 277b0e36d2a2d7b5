//! The undelete window on real file systems: what comes back is what went.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::path::Path;
use std::time::Duration;

use super::host::{Host, Parts, is_gone, must, names, tree};
use crate::own_namespace::entered;

const SETTINGS: &str = "[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n[trash]\nretention = \"7d\"\n";

/// What a tenant can lay down: owners, modes with all bits, times, names that share an inode,
/// attributes, access lists.
fn belongings(folder: &Path) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(at("owned"), "x").unwrap();
    must("chown", &["1234:4321", &at("owned")]);
    must("chmod", &["6751", &at("owned")]);
    must("ln", &[&at("owned"), &at("same")]);
    must("setfattr", &["-n", "user.note", "-v", "kept", &at("owned")]);
    must("setfacl", &["-m", "u:2345:rwx", &at("owned")]);
    must("setfacl", &["-m", "d:u:2345:r", &at("d0")]);
    must("touch", &["-d", "2001-02-03 04:05:06.789", &at("owned")]);
    must("chown", &["77:88", folder.to_str().unwrap()]);
    must("chmod", &["2770", folder.to_str().unwrap()]);
    must("setfacl", &["-m", "u:2345:rx", folder.to_str().unwrap()]);
    must(
        "touch",
        &["-d", "2002-03-04 05:06:07", folder.to_str().unwrap()],
    );
}

/// Everything that tells of it, the change time of its own directory excepted: a rename is a change.
fn all(folder: &Path) -> String {
    let attributes = must(
        "getfattr",
        &[
            "-R",
            "-d",
            "-m",
            "-",
            "--absolute-names",
            folder.to_str().unwrap(),
        ],
    );
    let access = must("getfacl", &["-R", "-p", "-n", folder.to_str().unwrap()]);
    let tree = tree(folder);
    let own = |line: &str| line.starts_with(". ");
    let mut lines: Vec<String> = tree
        .lines()
        .filter(|line| !own(line))
        .map(str::to_owned)
        .collect();
    let stat = must("stat", &["-c", "%u %g %a %Y %i", folder.to_str().unwrap()]);
    lines.extend([stat, attributes, access]);
    lines.join("\n")
}

fn entry_of(host: &Host, id: &str) -> String {
    let items = host
        .run(&["trash", "list", "--output", "json"])
        .ends(0)
        .json();
    let mut items = items["items"].as_array().unwrap().iter();
    let item = items.find(|item| item["persistence_id"] == id).unwrap();
    item["id"].as_str().unwrap().to_owned()
}

fn a_destroyed_volume_comes_back(path: &'static str) {
    let mut host = Host::new(Parts {
        path,
        settings: SETTINGS,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "goes", 120);
    belongings(&host.volume("PATH", "goes"));
    host.sweep(0);
    let at = host.volume("PATH", "goes");
    let before = all(&at);
    host.destroy("goes");
    host.sweep(0);
    assert!(is_gone(&at));
    let entry = entry_of(&host, "goes");

    // Something else in its place: refused, and said how to go on.
    std::fs::create_dir(&at).unwrap();
    let refused = host.run(&["trash", "restore", &entry]).ends(5);
    assert!(refused.out.contains("contested"), "{}", refused.out);
    assert!(refused.out.contains("trash restore"), "{}", refused.out);
    std::fs::remove_dir(&at).unwrap();

    let json = host
        .run(&["trash", "restore", &entry, "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(json["entries"][0]["became"], "restored");
    assert_eq!(json["entries"][0]["path"], at.to_str().unwrap());
    // How large it was went with the memory of it.
    let note = json["notes"][0].as_str().unwrap();
    assert!(note.contains("makes them with --send"), "{json}");
    assert_eq!(all(&at), before);
    assert!(names(&host.root("PATH").join("volumes/.mesos-volumed/trash")).is_empty());

    // No sweep takes it, by its old destroy or as an orphan; nor without our memory.
    for _ in 0..3 {
        host.sweep(0);
    }
    std::fs::remove_file(host.state_dir().join("memory.json")).unwrap();
    for _ in 0..3 {
        host.sweep(0);
    }
    assert_eq!(all(&at), before);
    assert_eq!(host.states("goes"), ["orphan"]);
    host.run(&["trash", "restore", &entry]).ends(1);

    // Given back to Mesos the mark ends, and the next destroy is carried out.
    let name = format!("PATH:{}", host.root("PATH").display());
    host.agent
        .order(&["create", "r/goes", "--disk", &name, "--size", "10"]);
    host.sweep(0);
    assert_eq!(all(&at), before);
    let marks = host.root("PATH").join("volumes/.mesos-volumed/adopted");
    assert!(names(&marks).is_empty());
    host.destroy("goes");
    host.sweep(0);
    assert!(is_gone(&at));
}

macro_rules! on {
    ($($name:ident: $fs:literal;)*) => {
        $(#[test]
        fn $name() {
            if entered(concat!("e2e::undelete::", stringify!($name))) {
                a_destroyed_volume_comes_back($fs);
            }
        })*
    };
}

on! {
    root_a_destroyed_volume_comes_back_as_it_was_on_ext4: "ext4";
    root_a_destroyed_volume_comes_back_as_it_was_on_xfs: "xfs";
    root_a_destroyed_volume_comes_back_as_it_was_on_btrfs: "btrfs";
}

#[test]
fn root_a_restore_that_is_killed_at_any_moment_is_finished_or_undone() {
    if !entered("e2e::undelete::root_a_restore_that_is_killed_at_any_moment_is_finished_or_undone")
    {
        return;
    }
    let mut host = Host::new(Parts {
        settings: SETTINGS,
        ..Parts::default()
    });
    host.agent.start();
    let at = host.volume("ROOT", "goes");
    host.tenant("ROOT", "goes", 60);
    host.sweep(0);
    let before = all(&at);
    host.destroy("goes");
    host.sweep(0);
    let mut back = 0;
    for wait in [0, 2, 4, 6, 8, 12, 16, 20, 30, 40, 60, 90] {
        if is_gone(&at) {
            let entry = entry_of(&host, "goes");
            let mut child = host.spawn(&["trash", "restore", &entry]);
            std::thread::sleep(Duration::from_millis(wait));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        host.sweep(0);
        let trash = host.root("ROOT").join("volumes/.mesos-volumed/trash");
        let data = names(&trash)
            .first()
            .map(|entry| trash.join(entry).join("data"));
        match (is_gone(&at), data) {
            (false, None) => {
                back += 1;
                assert_eq!(all(&at), before);
            }
            (true, Some(data)) => assert!(!is_gone(&data)),
            other => panic!("doubled or lost: {other:?}"),
        }
    }
    if back == 0 {
        let entry = entry_of(&host, "goes");
        host.run(&["trash", "restore", &entry]).ends(0);
    }
    assert_eq!(all(&at), before);
}

#[test]
fn root_an_empty_frame_of_a_crash_goes_and_one_with_something_in_it_stays() {
    if !entered(
        "e2e::undelete::root_an_empty_frame_of_a_crash_goes_and_one_with_something_in_it_stays",
    ) {
        return;
    }
    let mut host = Host::new(Parts::default());
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.sweep(0);
    let trash = host.root("ROOT").join("volumes/.mesos-volumed/trash");
    for name in ["1-empty-1", "1-half-1", "1-full-1"] {
        std::fs::create_dir_all(trash.join(name)).unwrap();
    }
    std::fs::write(trash.join("1-half-1/.manifest.json.new"), "{").unwrap();
    std::fs::write(trash.join("1-full-1/precious"), "x").unwrap();
    host.sweep(0);
    assert_eq!(names(&trash), ["1-full-1"]);
    assert_eq!(names(&trash.join("1-full-1")), ["precious"]);
}

/// The project ids in a tree, each once; `-` before those that are handed on.
fn projects(folder: &Path) -> Vec<String> {
    let script =
        "find . -exec xfs_io -r -c stat {} \\; 2>/dev/null | grep '^fsxattr.projid' | sort -u";
    let text = super::host::in_folder(folder, script);
    text.lines().map(str::to_owned).collect()
}

// On xfs: an ext4 with the feature `project` can't be mounted by a kernel without quota, such as that
// of this test machine; both take the same calls.
#[test]
fn root_project_ids_go_with_the_second_look_and_never_come_back() {
    if !entered("e2e::undelete::root_project_ids_go_with_the_second_look_and_never_come_back") {
        return;
    }
    let mut host = Host::new(Parts {
        path: "xfs",
        settings: SETTINGS,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "goes", 120);
    host.tenant("ROOT", "stays", 3);
    let at = host.volume("PATH", "goes");
    let label = |folder: &Path| {
        let script = "find . \\( -type f -o -type d \\) \
            -exec xfs_io -r -c 'chproj 5001' -c 'chattr +P' {} \\; 2>/dev/null";
        super::host::in_folder(folder, script);
    };
    label(&at);
    must("chattr", &["+i", at.join("data.bin").to_str().unwrap()]);
    assert_eq!(projects(&at), ["fsxattr.projid = 5001"]);
    host.sweep(0);
    host.destroy("goes");
    host.sweep(0);
    let entry = entry_of(&host, "goes");
    let data = host
        .root("PATH")
        .join("volumes/.mesos-volumed/trash")
        .join(&entry)
        .join("data");
    assert_eq!(projects(&data), ["fsxattr.projid = 0"]);
    let flags = must("lsattr", &[data.join("data.bin").to_str().unwrap()]);
    assert!(flags.contains('i'), "what is immutable stays so: {flags}");

    // Named again in the meantime, by whomever: an id of then is not one to come back with.
    label(&data);
    host.run(&["trash", "restore", &entry]).ends(0);
    assert_eq!(projects(&at), ["fsxattr.projid = 0"]);
    must("chattr", &["-i", at.join("data.bin").to_str().unwrap()]);
}

#[test]
fn root_an_adopted_orphan_survives_everything_and_is_given_back_by_the_calls_that_are_told() {
    if !entered(
        "e2e::undelete::root_an_adopted_orphan_survives_everything_and_is_given_back_by_the_calls_that_are_told",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[sweep]\ngrace = \"0s\"\norphans = \"wipe\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "held", 3);
    host.sweep(0);
    let at = host.volume("PATH", "lost");
    super::host::fill(&at, 40);
    belongings(&at);
    let before = all(&at);
    let refused = host.run(&["volumes", "adopt", "r/none"]).ends(5);
    assert!(refused.err.contains("volumes list"), "{}", refused.err);
    host.run(&["volumes", "adopt", "r/held"]).ends(5);
    let adopt = [
        "volumes",
        "adopt",
        "r/lost",
        "--size",
        "10MiB",
        "--principal",
        "ops",
    ];
    let told = host.run(&adopt).ends(0);
    assert!(told.out.contains("RESERVE_RESOURCES"), "{}", told.out);
    let send = "volumes adopt 'r/lost' --send --size '10MiB' --principal 'ops'\n";
    assert!(told.out.contains(send), "{}", told.out);
    let json = host
        .run(&[&adopt[..], &["--output", "json"]].concat())
        .ends(0)
        .json();
    let (reserve, create) = (&json["calls"][0], &json["calls"][1]);
    assert_eq!(reserve["type"], "RESERVE_RESOURCES");
    let disk = &reserve["reserve_resources"]["resources"][0];
    assert_eq!(disk["scalar"]["value"], 10.0);
    assert_eq!(disk["reservations"][0]["role"], "r");
    assert_eq!(disk["reservations"][0]["principal"], "ops");
    assert_eq!(disk["disk"]["source"]["type"], "PATH");
    assert_eq!(create["type"], "CREATE_VOLUMES");
    let volume = &create["create_volumes"]["volumes"][0];
    assert_eq!(volume["disk"]["persistence"]["id"], "lost");
    assert_eq!(volume["disk"]["volume"]["mode"], "RW");

    for _ in 0..3 {
        host.sweep(0);
    }
    std::fs::remove_dir_all(host.state_dir()).unwrap();
    for _ in 0..3 {
        host.sweep(0);
    }
    assert_eq!(all(&at), before);
    let list = host.run(&["volumes", "list"]).ends(0);
    assert!(list.out.contains("adopted"), "{}", list.out);
    let receipts = host
        .run(&["receipts", "--volume", "r/lost", "--output", "json"])
        .ends(0);
    drop(receipts);

    host.run(&["volumes", "adopt", "r/lost", "--undo"]).ends(0);
    host.sweep(0);
    host.sweep(0);
    assert!(is_gone(&at), "nobody wants it any more");
}

#[test]
fn root_a_host_that_slept_for_days_has_lived_for_minutes_and_expires_nothing() {
    if !entered(
        "e2e::undelete::root_a_host_that_slept_for_days_has_lived_for_minutes_and_expires_nothing",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[trash]\nretention = \"2d\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "goes", 5);
    host.sweep(0);
    host.destroy("goes");
    host.sweep(0);
    let config = host.config();
    let program = env!("CARGO_BIN_EXE_mesos-volumed");
    let item = || {
        let list = host.run(&["trash", "list", "--output", "json"]).ends(0);
        list.json()["items"][0].clone()
    };
    assert_eq!(item()["state"], "cleared");
    // The clock that runs on while a host is suspended is ahead by more and more, in the same boot.
    for days in [3, 10, 400] {
        let seconds = (days * 86_400).to_string();
        let arguments = [
            "--time",
            "--boottime",
            &seconds,
            "--fork",
            program,
            "--config",
        ];
        let swept = [config.to_str().unwrap(), "sweep"];
        must("unshare", &[&arguments[..], &swept].concat());
        let left = item()["expires_in_ms"].as_u64().unwrap();
        assert!(left > 86_400_000, "{days} days: {left}");
        assert_eq!(item()["state"], "cleared");
    }
    // Back again, the clock stands before where it was: nothing is counted, and nothing expires.
    host.sweep(0);
    assert_eq!(item()["state"], "cleared");
}
