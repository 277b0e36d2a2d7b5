#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

mod made;

use std::fmt::Write as _;

use HolderKind::{Mapping, MountOf, OpenFile, WorkingDirectory};

use made::{HOST, Host, at, target};

use super::task::mapped_file;
use super::*;
use crate::decide::facts::DeviceNumber;

const PATH: (u32, u32) = (8, 16);
const ROOT: (u32, u32) = (254, 0);

#[test]
fn a_host_on_which_nobody_uses_anything_has_no_holders() {
    let host = Host::new();
    host.process(20, "mnt:[1]").open(3, 27, "/var/log/syslog");
    assert_eq!(host.holders(), []);
}

#[test]
fn bind_mounts_and_mounts_inside_are_found_in_every_namespace() {
    let host = Host::new();
    host.process(20, "mnt:[2]").mounts(
        "\
50 49 0:50 / / rw - overlay overlay rw
51 50 8:16 /data/volumes/roles/r/a /mnt/mesos/sandbox/data rw - xfs /dev/sdb rw
52 51 0:51 / /mnt/mesos/sandbox/data/tmp rw - tmpfs tmpfs rw
53 50 8:16 /other /other rw - xfs /dev/sdb rw
",
    );
    let Known::Known(holders) = host.look() else {
        panic!()
    };
    let found: Vec<_> = holders
        .iter()
        .map(|h| (h.kind, &h.location, h.mount_point.as_ref().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (
                HolderKind::MountOf,
                &at(PATH, "/data/volumes/roles/r/a"),
                &"/mnt/mesos/sandbox/data".into()
            ),
            (
                HolderKind::MountPoint,
                &at(PATH, "/data/volumes/roles/r/a/tmp"),
                &"/mnt/mesos/sandbox/data/tmp".into()
            ),
        ]
    );
    assert_eq!((holders[0].pid, &holders[0].command), (20, &"db".into()));
}

#[test]
fn layers_of_an_overlay_hold_the_volume_they_lie_in() {
    let host = Host::new();
    host.process(20, "mnt:[2]").mounts(
        "\
50 49 0:50 / / rw - overlay overlay rw,lowerdir=/srv/base::/mnt/data/volumes/roles/r/a\\134:b/low,upperdir=/mnt/data/volumes/roles/r/c/up,workdir=l/XY,xino=off
",
    );
    let place = |tail: &str| at(PATH, &format!("/data/volumes/roles/r/{tail}"));
    assert_eq!(
        host.holders(),
        [
            (MountOf, place("a:b/low"), 20),
            (MountOf, place("c/up"), 20)
        ]
    );
}

#[test]
fn copies_of_a_mount_disks_own_mount_are_no_use_of_it() {
    let host = Host::new();
    // A service's namespace; a monitoring container with the host's tree below /host.
    host.process(20, "mnt:[2]").mounts(
        "\
127 1 254:0 / / ro - ext4 /dev/vda rw
131 127 8:32 / /dcos/volume0 rw - ext4 /dev/sdc rw
",
    );
    host.process(30, "mnt:[3]").mounts(
        "\
200 199 0:60 / / rw - overlay overlay rw
227 200 254:0 / /host ro - ext4 /dev/vda rw
231 227 8:32 / /host/dcos/volume0 ro - ext4 /dev/sdc rw
",
    );
    assert_eq!(host.holders(), []);
    // A container that was given the disk, at the very same path.
    host.process(40, "mnt:[4]").mounts(
        "\
300 299 0:61 / / rw - overlay overlay rw
331 300 8:32 / /dcos/volume0 rw - ext4 /dev/sdc rw
",
    );
    assert_eq!(
        host.holders(),
        [(HolderKind::MountOf, at((8, 32), "/"), 40)]
    );
}

#[test]
fn a_disk_that_is_bound_on_itself_is_still_its_own_mount() {
    let host = Host::new();
    // As systemd does for a service with ReadWritePaths=/dcos/volume0.
    host.process(20, "mnt:[2]").mounts(
        "\
127 1 254:0 / / ro - ext4 /dev/vda rw
131 127 8:32 / /dcos/volume0 rw - ext4 /dev/sdc rw
132 131 8:32 / /dcos/volume0 rw - ext4 /dev/sdc rw
",
    );
    assert_eq!(host.holders(), []);
    // On itself, but further below another mount of it: that one is a use, and so is this.
    host.process(30, "mnt:[3]").mounts(
        "\
227 1 254:0 / / ro - ext4 /dev/vda rw
231 227 8:32 / /elsewhere rw - ext4 /dev/sdc rw
232 231 8:32 / /elsewhere rw - ext4 /dev/sdc rw
",
    );
    assert_eq!(
        host.holders(),
        [
            (MountOf, at((8, 32), "/"), 30),
            (HolderKind::MountPoint, at((8, 32), "/"), 30),
        ]
    );
}

#[test]
fn a_second_mount_of_a_mount_disk_and_one_over_it_are_seen() {
    let host = Host::new();
    host.process(1, "mnt:[1]").mounts(&format!(
        "{HOST}\
40 27 8:32 / /backup rw - ext4 /dev/sdc rw
41 31 0:44 / /dcos/volume0 rw - tmpfs tmpfs rw
"
    ));
    assert_eq!(
        host.holders(),
        [
            (HolderKind::MountOf, at((8, 32), "/"), 1),
            (HolderKind::MountPoint, at((8, 32), "/"), 1),
        ]
    );
}

#[test]
fn open_files_are_placed_by_their_mount_whatever_namespace_it_is_of() {
    let host = Host::new();
    host.process(20, "mnt:[2]").mounts(
        "\
50 49 0:50 / / rw - overlay overlay rw
51 50 8:16 /data/volumes/roles/r/a /data rw - xfs /dev/sdb rw
",
    );
    // A descriptor that was opened before the process changed its namespace, and one that leads
    // to a file of the same text in its own image.
    host.process(30, "mnt:[3]")
        .mounts("60 59 0:55 / / rw - overlay overlay rw\n")
        .open(3, 30, "/mnt/data/volumes/roles/r/b/log")
        .open(4, 60, "/data/x")
        .open(5, 51, "/data/x");
    let holders = host.holders();
    assert_eq!(
        holders,
        [
            (HolderKind::MountOf, at(PATH, "/data/volumes/roles/r/a"), 20),
            (
                HolderKind::OpenFile,
                at(PATH, "/data/volumes/roles/r/a/x"),
                30
            ),
            (
                HolderKind::OpenFile,
                at(PATH, "/data/volumes/roles/r/b/log"),
                30
            ),
        ]
    );
}

#[test]
fn a_file_below_a_mount_that_hides_it_is_found() {
    let host = Host::new();
    host.process(1, "mnt:[1]").mounts(
        "\
27 1 254:0 / / rw - ext4 /dev/vda rw
30 27 8:16 / /var/lib rw - xfs /dev/sdb rw
",
    );
    host.process(20, "mnt:[1]")
        .open(3, 27, "/var/lib/mesos/volumes/roles/r/a/x");
    assert_eq!(
        host.holders(),
        [(
            HolderKind::OpenFile,
            at(ROOT, "/var/lib/mesos/volumes/roles/r/a/x"),
            20
        )]
    );
}

#[test]
fn a_removed_file_counts_under_both_readings_of_its_name() {
    let host = Host::new();
    host.process(20, "mnt:[1]")
        .open(3, 30, "/mnt/data/volumes/roles/r/a (deleted)");
    assert_eq!(
        host.holders(),
        [
            (
                HolderKind::OpenFile,
                at(PATH, "/data/volumes/roles/r/a"),
                20
            ),
            (
                HolderKind::OpenFile,
                at(PATH, "/data/volumes/roles/r/a (deleted)"),
                20
            ),
        ]
    );
}

#[test]
fn directories_executables_and_mappings_hold() {
    let host = Host::new();
    host.process(20, "mnt:[1]")
        .link("cwd", "/mnt/data/volumes/roles/r/a/in");
    host.process(21, "mnt:[1]")
        .link("root", "/mnt/data/volumes/roles/r/b")
        .mounts("");
    host.process(22, "mnt:[1]")
        .link("exe", "/mnt/data/volumes/roles/r/c/bin/db");
    host.process(23, "mnt:[1]").file(
        "maps",
        "\
55edbe2b0000-55edbe2b1000 r--p 00000000 fe:00 737                        /usr/bin/x
7f0000000000-7f0000001000 rw-s 00000000 08:10 99                         /mnt/data/volumes/roles/r/d/index 1
7f0000001000-7f0000002000 rw-s 00001000 08:10 99                         /mnt/data/volumes/roles/r/d/index 1
7ffd5e7d0000-7ffd5e7f1000 rw-p 00000000 00:00 0                          [stack]
",
    );
    let place = |tail: &str| at(PATH, &format!("/data/volumes/roles/r/{tail}"));
    assert_eq!(
        host.holders(),
        [
            (WorkingDirectory, place("a/in"), 20),
            (WorkingDirectory, place("b"), 21),
            (Mapping, place("c/bin/db"), 22),
            (Mapping, place("d/index 1"), 23),
        ]
    );
}

#[test]
fn threads_with_other_mounts_other_files_or_another_directory_are_looked_at() {
    let host = Host::new();
    let process = host.process(20, "mnt:[1]").open(0, 27, "/dev/null");
    process
        .thread(21, "mnt:[2]")
        .open(0, 27, "/dev/null")
        .mounts("61 60 8:16 /data/volumes/roles/r/a / rw - xfs /dev/sdb rw\n");
    process.thread(22, "mnt:[1]").open(0, 27, "/dev/null").open(
        5,
        30,
        "/mnt/data/volumes/roles/r/b/x",
    );
    process
        .thread(23, "mnt:[1]")
        .open(0, 27, "/dev/null")
        .link("cwd", "/mnt/data/volumes/roles/r/c");
    let place = |tail: &str| at(PATH, &format!("/data/volumes/roles/r/{tail}"));
    assert_eq!(
        host.holders(),
        [
            (MountOf, place("a"), 20),
            (OpenFile, place("b/x"), 20),
            (WorkingDirectory, place("c"), 20),
        ]
    );
}

#[test]
fn where_the_main_thread_has_ended_the_others_are_read_and_a_zombie_holds_nothing() {
    let host = Host::new();
    let process = host
        .process(20, "mnt:[1]")
        .open(3, 30, "/mnt/data/volumes/roles/r/gone")
        .ended();
    process.thread(21, "mnt:[1]").ended();
    process
        .thread(22, "mnt:[1]")
        .open(3, 30, "/mnt/data/volumes/roles/r/a");
    // Nothing but a folder is left of this one.
    std::fs::create_dir(host.path("proc/30")).unwrap();
    assert_eq!(
        host.holders(),
        [(
            HolderKind::OpenFile,
            at(PATH, "/data/volumes/roles/r/a"),
            20
        )]
    );
}

#[test]
fn what_may_not_be_looked_at_makes_everything_unknown_unless_it_holds_nothing() {
    let host = Host::new();
    // A folder of descriptors that is none gives an error other than "gone".
    let process = host.process(20, "mnt:[1]");
    std::fs::remove_dir(process.folder.join("fd")).unwrap();
    let process = process.file("fd", "");
    assert!(
        host.why()
            .starts_with("process 20 (db) could not be looked at; this needs CAP_SYS_PTRACE"),
        "{}",
        host.why()
    );
    // The same of a thread of the kernel.
    process.file("stat", "20 (kworker/0) S 2 0 0 0 -1 2129984 0");
    assert_eq!(host.holders(), []);
}

#[test]
fn a_table_that_cannot_be_read_makes_everything_unknown() {
    let host = Host::new();
    host.process(20, "mnt:[2]").mounts("50 49 0:50 / /\n");
    assert!(
        host.why()
            .starts_with("the mount table of process 20 (db) could not be read"),
        "{}",
        host.why()
    );
}

#[test]
fn a_proc_that_does_not_show_all_processes_is_unknown() {
    let host = Host::new();
    std::fs::rename(host.path("proc/1"), host.path("proc/5")).unwrap();
    assert!(host.why().contains("pid 1 is missing"), "{}", host.why());
}

#[test]
fn a_file_on_an_unlisted_mount_is_unknown_unless_it_surely_is_no_targets() {
    let host = Host::new();
    host.process(20, "mnt:[1]")
        .open(3, 999, "/memfd:x (deleted)")
        .open(4, 999, "/dmabuf:y")
        .open(5, 30, "socket:[123]");
    assert_eq!(host.holders(), []);
    // This one can be asked for its device, which is that of the test's own files.
    let file = host.path("a file");
    std::fs::write(&file, "").unwrap();
    host.process(21, "mnt:[1]")
        .open(3, 999, file.to_str().unwrap());
    let device = crate::sys::node(std::fs::File::open(&file).unwrap())
        .unwrap()
        .device;
    if device.major != 254 && device.major != 8 {
        assert_eq!(host.holders(), []);
    }
    // Where a network file system might have to answer, nothing is asked.
    host.file("proc/filesystems", "nodev\tproc\nnodev\tnfs4\n");
    let why = host.why();
    assert!(
        why.starts_with("process 21 (db) has ") && why.contains("no mount table shows"),
        "{why}"
    );
}

#[test]
fn a_file_on_a_targets_device_that_cannot_be_placed_is_unknown() {
    let host = Host::new();
    host.process(20, "mnt:[1]").open(3, 30, "/detached/x");
    assert!(
        host.why()
            .starts_with("process 20 (db) uses /detached/x on the file system of a root"),
        "{}",
        host.why()
    );
}

#[test]
fn mappings_below_a_layered_file_system_are_elsewhere_and_unplaced_ones_unknown() {
    let host = Host::new();
    let map = "7f0000000000-7f0000001000 r-xp 00000000 08:10 99    /usr/lib/libc.so\n";
    let process = host
        .process(20, "mnt:[2]")
        .mounts("50 49 0:50 / / rw - overlay overlay rw\n")
        .file("maps", map);
    assert_eq!(host.holders(), []);
    process.mounts("50 49 0:50 / / rw - tmpfs tmpfs rw\n");
    assert!(
        host.why()
            .starts_with("process 20 (db) uses /usr/lib/libc.so on the file system of a root"),
        "{}",
        host.why()
    );
}

#[test]
fn a_process_in_a_changed_root_is_placed_from_the_top_of_its_tree() {
    let host = Host::new();
    // It alone lives in its namespace; its table shows mount points from its own root only.
    host.process(20, "mnt:[2]")
        .link("root", "/srv/jail")
        .mounts("71 70 8:16 /data /mnt rw - xfs /dev/sdb rw\n")
        .open(3, 71, "/srv/jail/mnt/volumes/roles/r/a/x");
    assert_eq!(
        host.holders(),
        [(
            HolderKind::OpenFile,
            at(PATH, "/data/volumes/roles/r/a/x"),
            20
        )]
    );
}

#[test]
fn swap_files_and_files_behind_loop_devices_hold() {
    let host = Host::new();
    host.file(
        "proc/swaps",
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
         /dev/sda2                               partition\t1048572\t\t0\t\t-2\n\
         /mnt/data/volumes/roles/r/my\\040swap     file\t\t1048572\t\t0\t\t-3\n",
    );
    host.file("sys/block/loop0/size", "0\n");
    host.file(
        "sys/block/loop7/loop/backing_file",
        "/mnt/data/volumes/roles/r/b/disk.img\n",
    );
    let Known::Known(holders) = host.look() else {
        panic!()
    };
    let found: Vec<_> = holders
        .iter()
        .map(|h| (h.kind, h.location.clone(), h.pid, h.command.to_string()))
        .collect();
    assert_eq!(
        found,
        [
            (
                HolderKind::OpenFile,
                at(PATH, "/data/volumes/roles/r/b/disk.img"),
                0,
                "loop7".to_owned()
            ),
            (
                HolderKind::Swap,
                at(PATH, "/data/volumes/roles/r/my swap"),
                0,
                "swap".to_owned()
            ),
        ]
    );
}

#[test]
fn each_volume_has_one_holder_of_a_kind() {
    let host = Host::new();
    let mut process = host.process(20, "mnt:[1]");
    for fd in 0..50 {
        process = process
            .open(fd * 3, 30, &format!("/mnt/data/volumes/roles/r/a/{fd}"))
            .open(
                fd * 3 + 1,
                30,
                "/mnt/data/volumes/.mesos-volumed/trash/t1/data/x",
            )
            .open(fd * 3 + 2, 31, &format!("/dcos/volume0/{fd}/x"));
    }
    let holders = host.holders();
    assert_eq!(holders.len(), 3, "{holders:?}");
    assert!(holders.contains(&(
        HolderKind::OpenFile,
        at(PATH, "/data/volumes/.mesos-volumed/trash/t1/data/x"),
        20
    )));
}

#[test]
fn lines_of_maps_are_taken_apart() {
    let file = |line: &'static str| {
        mapped_file(line.as_bytes()).map(|(device, path)| (device, Raw::from(path).to_string()))
    };
    let device = DeviceNumber {
        major: 0xfd,
        minor: 0x1a,
    };
    assert_eq!(
        file("7f00-7f01 r-xp 00000000 fd:1a 131 /a b (deleted)"),
        Some((device, "/a b (deleted)".to_owned()))
    );
    for none in [
        "7f00-7f01 rw-p 00000000 00:00 0 ",
        "7f00-7f01 rw-p 00000000 00:00 0    [heap]",
        "7f00-7f01 rw-s 00000000 00:0f 9    anon_inode:[perf_event]",
        "",
        "7f00-7f01 r-xp",
    ] {
        assert_eq!(file(none), None, "{none}");
    }
}

#[test]
fn names_with_line_feeds_are_found_in_maps() {
    let host = Host::new();
    let mut maps = String::new();
    writeln!(
        maps,
        "7f00-7f01 r-xp 00000000 08:10 131 /mnt/data/volumes/roles/r/a\\012b/x"
    )
    .unwrap();
    host.process(20, "mnt:[1]").file("maps", &maps);
    assert_eq!(
        host.holders(),
        [
            (
                HolderKind::Mapping,
                at(PATH, "/data/volumes/roles/r/a\nb/x"),
                20
            ),
            (
                HolderKind::Mapping,
                at(PATH, "/data/volumes/roles/r/a\\012b/x"),
                20
            ),
        ]
    );
}

#[test]
fn copies_of_a_mount_are_one_mounting_with_who_has_it() {
    let host = Host::new();
    let at_sandbox = "/var/lib/mesos/slaves/S0/frameworks/F/executors/db.1/runs/c1";
    let table = |first: u32| {
        format!(
            "{a} 1 254:0 / / rw - ext4 /dev/vda rw\n\
             {b} {a} 8:16 /data/volumes/roles/r/a {at_sandbox}/data rw - xfs /dev/sdb rw\n",
            a = first,
            b = first + 1
        )
    };
    // The agent's namespace, and two that inherited its mounts.
    host.process(20, "mnt:[2]").mounts(&table(100));
    host.process(21, "mnt:[2]").mounts(&table(100));
    host.process(30, "mnt:[3]").mounts(&table(200));
    // Docker's container: the sandbox by itself with the volume in it, and the volume once more.
    host.process(40, "mnt:[4]")
        .mounts(&format!(
            "300 299 0:61 / / rw - overlay overlay rw\n\
             301 300 254:0 {at_sandbox} /mnt/mesos/sandbox rw - ext4 /dev/vda rw\n\
             302 301 8:16 /data/volumes/roles/r/a /mnt/mesos/sandbox/data rw - xfs /dev/sdb rw\n\
             303 300 8:16 /data/volumes/roles/r/a /var/lib/db rw - xfs /dev/sdb rw\n"
        ))
        .file("cgroup", &format!("0::/docker/{}\n", "0a1b2c3d".repeat(8)));
    let places = Places {
        proc: host.path("proc").into(),
        sys: host.path("sys").into(),
        ..Places::default()
    };
    let targets = [
        target(PATH, "/data/volumes"),
        target(ROOT, "/var/lib/mesos/volumes"),
    ];
    let Known::Known(uses) = observe_uses(&places, &targets) else {
        panic!()
    };
    let [own, sandboxed] = &uses.mountings[..] else {
        panic!("{:#?}", uses.mountings)
    };
    assert_eq!(
        sandboxed.lies_on,
        Some(at(ROOT, &format!("{at_sandbox}/data")))
    );
    assert_eq!(sandboxed.namespaces, 3);
    let first = &sandboxed.views[0];
    assert_eq!(
        (&first.namespace, first.host, first.pids.as_slice()),
        (&"mnt:[2]".into(), false, &[20, 21][..])
    );
    // A mount that no table shows lies below it: its place is told by the overlay's device.
    assert_eq!(own.lies_on, Some(at((0, 61), "/var/lib/db")));
    let [view] = &own.views[..] else { panic!() };
    assert_eq!(view.sandboxes, [Raw::from("c1")]);
    assert_eq!(view.cgroup, Some("docker-0a1b2c3d0a1b".into()));
    let holders = host.holders();
    assert_eq!(holders.len(), 3, "{holders:?}");
}
