#![expect(
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a table of cases; steps of one kind are picked out"
)]

use std::collections::BTreeMap;

use super::*;
use crate::decide::facts::{
    Content, DeviceNumber, Known, MountEntry, MountPoint, MountTable, MountedElsewhere, PreparedFs,
    Probe,
};
use crate::decide::ledger::{Ledger, LedgerRoot};
use crate::mesos::disk::DiskType;
use crate::units::{Bytes, Raw};

const NUMBER: DeviceNumber = DeviceNumber {
    major: 8,
    minor: 16,
};

fn device() -> BlockDevice {
    BlockDevice {
        name: "sdb".into(),
        number: NUMBER,
        parent: None,
        mapper_name: None,
        size_bytes: Known::Known(1 << 40),
        read_only: Known::Known(false),
        removable: Known::Known(false),
        rotational: Known::Known(true),
        is_virtual: false,
        backing_file: None,
        holders: Vec::new(),
        slaves: Vec::new(),
        partitions: Vec::new(),
        model: Some("Disk".into()),
        serial: Some("S1".into()),
        wwn: Some("w1".into()),
        content: Known::Absent,
    }
}

fn request() -> PrepareRequest {
    PrepareRequest {
        device: "/dev/sdb".into(),
        kind: DiskType::Mount,
        at: "/dcos/volume0".into(),
        fs: PreparedFs::Xfs,
        confirm: "S1".into(),
        immutable: true,
        uuid: "u-new".to_owned(),
        state_dir: "/var/lib/mesos-volumed".into(),
        work_dir: "/var/lib/mesos/slave".into(),
        min_size: Bytes(1 << 30),
    }
}

fn mount(device: DeviceNumber, root: &str, at: &str) -> MountEntry {
    MountEntry {
        id: 7,
        parent: 1,
        device,
        root: root.into(),
        root_deleted: false,
        mount_point: at.into(),
        options: "rw".into(),
        optional: Vec::new(),
        fs_type: "xfs".into(),
        source: "/dev/sdb".into(),
        super_options: "rw".into(),
    }
}

fn facts() -> PrepareFacts {
    let path = |name| Known::Known(Raw::from(format!("/usr/sbin/{name}")));
    PrepareFacts {
        node: Known::Known(NUMBER),
        devices: Known::Known(vec![device()]),
        swaps: Known::Known(Vec::new()),
        fstab: Known::Known(Vec::new()),
        mounts: MountTable::default(),
        elsewhere: (Vec::new(), 0),
        exclusive: Known::Known(()),
        probes: vec![Probe {
            command: "blkid -p /dev/sdb".to_owned(),
            found: Known::Absent,
        }],
        blank: Known::Known(true),
        at: MountPoint::Empty,
        hidden: Some(MountPoint::Missing(vec!["/h".into()])),
        records: Known::Absent,
        ledger: Known::Absent,
        programs: [
            "blkid",
            "wipefs",
            "mkfs.xfs",
            "mkfs.ext4",
            "mount",
            "systemctl",
        ]
        .map(|name| (name, path(name)))
        .into(),
        systemd: true,
    }
}

fn record(stage: Stage) -> PreparedDisk {
    PreparedDisk {
        version: PreparedDisk::VERSION,
        uuid: "u-old".to_owned(),
        disk: DiskRef {
            kind: DiskType::Mount,
            root: "/dcos/volume0".into(),
        },
        fs: PreparedFs::Xfs,
        device: "sdc".into(),
        confirmed: "S1".into(),
        backing_file: None,
        size_bytes: 1 << 40,
        hidden: Some("/var/lib/mesos-volumed/mounts/u-old".into()),
        immutable: true,
        folders: vec!["/f".into()],
        units: Vec::new(),
        stage,
    }
}

fn edit(facts: &mut PrepareFacts, change: impl FnOnce(&mut BlockDevice)) {
    match &mut facts.devices {
        Known::Known(devices) => change(&mut devices[0]),
        Known::Absent | Known::Unknown(_) => unreachable!(),
    }
}

/// The rules that refuse.
fn refused(request: &PrepareRequest, facts: &PrepareFacts) -> Vec<Rule> {
    let decision = prepare(request, facts);
    let refused: Vec<Rule> = decision.refusals().map(|tried| tried.rule).collect();
    assert_eq!(decision.plan.is_none(), !refused.is_empty());
    for tried in &decision.tried {
        assert_eq!(tried.passed, tried.remedy.is_none(), "{tried:?}");
        assert!(!tried.evidence.is_empty());
    }
    refused
}

/// How a bare device is changed, and the rule that refuses it then.
type Case = (
    &'static str,
    fn(&mut PrepareRequest, &mut PrepareFacts),
    Rule,
);

#[test]
fn each_rule_refuses_alone() {
    assert_eq!(refused(&request(), &facts()), []);
    let cases: &[Case] = &[
        ("no node", |_, f| f.node = Known::Absent, Rule::NoDevice),
        (
            "no block device",
            |_, f| f.node = Known::unknown("x"),
            Rule::NoDevice,
        ),
        (
            "devices unread",
            |_, f| f.devices = Known::unknown("x"),
            Rule::NoDevice,
        ),
        (
            "not listed",
            |_, f| edit(f, |d| d.number.minor = 99),
            Rule::NoDevice,
        ),
        (
            "wrong word",
            |r, _| r.confirm = "S2".into(),
            Rule::WrongSerial,
        ),
        (
            "its name is no serial",
            |r, _| r.confirm = "sdb".into(),
            Rule::WrongSerial,
        ),
        (
            "read-only",
            |_, f| edit(f, |d| d.read_only = Known::Known(true)),
            Rule::ReadOnly,
        ),
        (
            "read-only unknown",
            |_, f| edit(f, |d| d.read_only = Known::unknown("x")),
            Rule::ReadOnly,
        ),
        (
            "too small for the rules",
            |_, f| edit(f, |d| d.size_bytes = Known::Known(1 << 29)),
            Rule::TooSmall,
        ),
        (
            "size unknown",
            |_, f| edit(f, |d| d.size_bytes = Known::unknown("x")),
            Rule::TooSmall,
        ),
        (
            "partitions",
            |_, f| edit(f, |d| d.partitions = vec!["sdb1".into()]),
            Rule::Partitioned,
        ),
        (
            "in a volume group",
            |_, f| edit(f, |d| d.holders = vec!["dm-0".into()]),
            Rule::HasHolders,
        ),
        (
            "a second path to the drive",
            |_, f| {
                let twin = BlockDevice {
                    name: "sdc".into(),
                    number: DeviceNumber {
                        major: 8,
                        minor: 32,
                    },
                    ..device()
                };
                f.devices = Known::Known(vec![device(), twin]);
            },
            Rule::Multipath,
        ),
        (
            "swap",
            |_, f| f.swaps = Known::Known(vec!["/dev/sdb".into()]),
            Rule::InUseSwap,
        ),
        (
            "swap unread",
            |_, f| f.swaps = Known::unknown("x"),
            Rule::InUseSwap,
        ),
        (
            "mounted",
            |_, f| f.mounts = MountTable::new(vec![mount(NUMBER, "/", "/mnt")]),
            Rule::Mounted,
        ),
        (
            "mounted with a number of its own",
            |_, f| {
                let number = DeviceNumber { major: 0, minor: 5 };
                f.mounts = MountTable::new(vec![mount(number, "/", "/mnt")]);
            },
            Rule::Mounted,
        ),
        (
            "mounted elsewhere",
            |_, f| {
                f.elsewhere.0.push(MountedElsewhere {
                    pid: 9,
                    mount_point: "/x".into(),
                });
            },
            Rule::Mounted,
        ),
        ("busy", |_, f| f.exclusive = Known::Absent, Rule::Busy),
        (
            "can't be opened",
            |_, f| f.exclusive = Known::unknown("x"),
            Rule::Busy,
        ),
        (
            "a known signature",
            |_, f| edit(f, |d| d.content = Known::Known(Content::Swap)),
            Rule::HasSignature,
        ),
        (
            "content unread",
            |_, f| edit(f, |d| d.content = Known::unknown("x")),
            Rule::HasSignature,
        ),
        (
            "another program finds something",
            |_, f| f.probes[0].found = Known::Known(vec!["TYPE=vmfs".to_owned()]),
            Rule::HasSignature,
        ),
        (
            "another program fails",
            |_, f| f.probes[0].found = Known::unknown("not installed"),
            Rule::HasSignature,
        ),
        ("nobody looked", |_, f| f.probes.clear(), Rule::HasSignature),
        (
            "not blank",
            |_, f| f.blank = Known::Known(false),
            Rule::NotBlank,
        ),
        (
            "edges unread",
            |_, f| f.blank = Known::unknown("x"),
            Rule::NotBlank,
        ),
        (
            "edges not read",
            |_, f| f.blank = Known::Absent,
            Rule::NotBlank,
        ),
        (
            "the place is full",
            |_, f| f.at = MountPoint::Unusable("full".to_owned()),
            Rule::Place,
        ),
        (
            "the place is mounted",
            |_, f| f.at = MountPoint::Mounted,
            Rule::Place,
        ),
        (
            "the hidden place is mounted",
            |_, f| f.hidden = Some(MountPoint::Mounted),
            Rule::Place,
        ),
        (
            "fstab",
            |_, f| f.fstab = Known::Known(vec!["/dcos/volume0".into()]),
            Rule::Fstab,
        ),
        (
            "fstab unread",
            |_, f| f.fstab = Known::unknown("x"),
            Rule::Fstab,
        ),
        (
            "inside the work_dir",
            |r, _| r.work_dir = "/dcos".into(),
            Rule::PlaceTaken,
        ),
        (
            "around the state_dir",
            |r, _| {
                r.state_dir = "/dcos/volume0/x".into();
            },
            Rule::PlaceTaken,
        ),
        (
            "ledger unread",
            |_, f| f.ledger = Known::unknown("x"),
            Rule::PlaceTaken,
        ),
        (
            "another kind in the ledger",
            |_, f| f.ledger = Known::Known(ledger(DiskType::Path, "/dcos/volume0")),
            Rule::PlaceTaken,
        ),
        (
            "inside another root",
            |_, f| f.ledger = Known::Known(ledger(DiskType::Path, "/dcos")),
            Rule::PlaceTaken,
        ),
        (
            "prepared on another device",
            |_, f| {
                let other = PreparedDisk {
                    confirmed: "S9".into(),
                    ..record(Stage::Done)
                };
                f.records = Known::Known(vec![other]);
            },
            Rule::PlaceTaken,
        ),
        (
            "records unread",
            |_, f| f.records = Known::unknown("x"),
            Rule::Records,
        ),
        (
            "being given back",
            |_, f| {
                f.records = Known::Known(vec![PreparedDisk {
                    stage: Stage::Releasing,
                    ..record(Stage::Done)
                }]);
                edit(f, |d| d.content = made("u-old"));
            },
            Rule::Records,
        ),
        (
            "a program is missing",
            |_, f| {
                f.programs = BTreeMap::from([("blkid", Known::Absent)]);
            },
            Rule::Programs,
        ),
    ];
    for (what, change, rule) in cases {
        let (mut request, mut facts) = (request(), facts());
        change(&mut request, &mut facts);
        assert_eq!(refused(&request, &facts), [*rule], "{what}");
    }
}

fn made(uuid: &str) -> Known<Content> {
    Known::Known(Content::Filesystem {
        fs_type: "xfs".to_owned(),
        uuid: Some(uuid.to_owned()),
        label: None,
    })
}

fn ledger(kind: DiskType, root: &str) -> Ledger {
    let disk = DiskRef {
        kind,
        root: root.into(),
    };
    Ledger {
        roots: vec![LedgerRoot::new(disk, 0)],
        ..Ledger::default()
    }
}

fn names(plan: &PreparePlan) -> Vec<&'static str> {
    plan.steps().iter().map(DiskStep::name).collect()
}

#[test]
fn the_record_is_written_before_and_after_the_file_system_is_made() {
    let plan = prepare(&request(), &facts()).plan.unwrap();
    assert_eq!(names(&plan)[..4], ["record", "record", "format", "record"]);
    let stages: Vec<Stage> = plan
        .steps()
        .iter()
        .filter_map(|step| match step {
            DiskStep::Record { record } => Some(record.stage),
            _ => None,
        })
        .collect();
    assert_eq!(
        stages,
        [
            Stage::Chosen,
            Stage::Formatting,
            Stage::Formatted,
            Stage::Done
        ]
    );
    assert!(!plan.resumed());
}

#[test]
fn a_mount_point_is_protected_before_anything_is_mounted_on_it() {
    let plan = prepare(&request(), &facts()).plan.unwrap();
    let names = names(&plan);
    let last_protect = names.iter().rposition(|name| *name == "protect").unwrap();
    let first_mount = names.iter().position(|name| *name == "mount").unwrap();
    let first_unit = names.iter().position(|name| *name == "unit").unwrap();
    assert!(
        last_protect < first_unit && first_unit < first_mount,
        "{names:?}"
    );
    assert_eq!(names.iter().filter(|name| **name == "protect").count(), 2);
}

#[test]
fn only_what_an_earlier_run_began_is_made_again_and_by_force() {
    let mut facts = facts();
    facts.blank = Known::Known(false);
    let step = |facts: &PrepareFacts| {
        let plan = prepare(&request(), facts).plan.unwrap();
        assert!(plan.resumed());
        assert_eq!(plan.record().uuid, "u-old");
        plan.steps().iter().find_map(|step| match step {
            DiskStep::Format { again, command, .. } => Some((*again, command.typed())),
            _ => None,
        })
    };
    // Before anything was written, the device must still be bare.
    facts.records = Known::Known(vec![record(Stage::Chosen)]);
    assert_eq!(refused(&request(), &facts), [Rule::NotBlank]);
    facts.records = Known::Known(vec![record(Stage::Formatting)]);
    let (again, command) = step(&facts).unwrap();
    assert!(again && command.contains(" -f "), "{command}");
    edit(&mut facts, |device| device.content = made("u-old"));
    assert!(step(&facts).unwrap().0);
    // Somebody else's.
    edit(&mut facts, |device| device.content = made("u-other"));
    assert_eq!(refused(&request(), &facts), [Rule::HasSignature]);
    // Once it is whole it is never made again, whatever is there now.
    facts.records = Known::Known(vec![record(Stage::Formatted)]);
    assert_eq!(refused(&request(), &facts), [Rule::HasSignature]);
    edit(&mut facts, |device| device.content = Known::Absent);
    assert_eq!(refused(&request(), &facts), [Rule::HasSignature]);
    edit(&mut facts, |device| device.content = made("u-old"));
    assert_eq!(step(&facts), None);
}

#[test]
fn our_own_mounts_are_no_use_by_others_and_only_they_are() {
    let mut facts = facts();
    facts.records = Known::Known(vec![record(Stage::Done)]);
    edit(&mut facts, |device| device.content = made("u-old"));
    facts.exclusive = Known::Absent;
    facts.at = MountPoint::Mounted;
    facts.hidden = Some(MountPoint::Mounted);
    let hidden = "/var/lib/mesos-volumed/mounts/u-old";
    let ours = [
        mount(NUMBER, "/", hidden),
        MountEntry {
            id: 8,
            ..mount(NUMBER, "/volume", "/dcos/volume0")
        },
    ];
    facts.mounts = MountTable::new(ours.to_vec());
    assert_eq!(refused(&request(), &facts), []);
    // Busy without a mount of ours is somebody else.
    facts.mounts = MountTable::default();
    assert_eq!(refused(&request(), &facts), [Rule::Busy]);
    for (root, at) in [
        ("/", "/dcos/volume0"),
        ("/volume", hidden),
        ("/volume", "/x"),
    ] {
        let other = MountEntry {
            id: 9,
            ..mount(NUMBER, root, at)
        };
        facts.mounts = MountTable::new([&ours[..], &[other]].concat());
        assert_eq!(
            refused(&request(), &facts),
            [Rule::Mounted, Rule::Busy],
            "{root} at {at}"
        );
    }
}

#[test]
fn another_word_of_the_same_device_begins_nothing_of_its_own() {
    let mut facts = facts();
    facts.records = Known::Known(vec![record(Stage::Done)]);
    edit(&mut facts, |device| device.content = made("u-old"));
    let changes: [fn(&mut PrepareRequest); 3] = [
        |request| request.at = "/dcos/volume1".into(),
        |request| request.fs = PreparedFs::Ext4,
        |request| {
            request.kind = DiskType::Path;
            request.immutable = false;
        },
    ];
    for change in changes {
        let mut request = request();
        change(&mut request);
        assert_eq!(refused(&request, &facts), [Rule::Records]);
    }
    // Another device of another size is not the one of the record.
    edit(&mut facts, |device| {
        device.size_bytes = Known::Known(1 << 41);
    });
    assert!(refused(&request(), &facts).contains(&Rule::HasSignature));
}

#[test]
fn a_replaced_disk_is_prepared_where_the_old_one_was_and_the_operator_is_told() {
    let mut facts = facts();
    let mut known = ledger(DiskType::Mount, "/dcos/volume0");
    known.roots[0].fingerprint = Some(crate::decide::facts::Fingerprint {
        filesystem: "u-dead".to_owned(),
        fs_type: "xfs".to_owned(),
        directory: crate::decide::facts::FileIdentity {
            filesystem: "u-dead".to_owned(),
            handle: "1:aa".to_owned(),
        },
    });
    facts.ledger = Known::Known(known);
    let plan = prepare(&request(), &facts).plan.unwrap();
    let notes = plan.notes().join("\n");
    assert!(
        notes.contains("u-dead before") && notes.contains("disk accept /dcos/volume0"),
        "{notes}"
    );
}

#[test]
fn commands_are_printed_so_that_a_shell_takes_them() {
    let command = Command {
        program: "/usr/bin/mount".into(),
        arguments: vec!["--bind".into(), "/a b/it's".into(), "".into()],
    };
    assert_eq!(command.typed(), r"/usr/bin/mount --bind '/a b/it'\''s' ''");
}

#[test]
fn units_name_the_file_system_and_wait_for_one_another() {
    let mut record = record(Stage::Done);
    record.disk.root = "/dcos/50%-full".into();
    let texts = units::texts(&record);
    let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "var-lib-mesos\\x2dvolumed-mounts-u\\x2dold.mount",
            "dcos-50\\x25\\x2dfull.mount"
        ]
    );
    assert_eq!(units::names(&record), names);
    assert!(texts[0].1.contains("\nWhat=/dev/disk/by-uuid/u-old\n"));
    assert!(texts[0].1.contains("\nType=xfs\n"));
    let bound = &texts[1].1;
    assert!(bound.contains("\nWhere=/dcos/50%%-full\n"), "{bound}");
    assert!(bound.contains("\nOptions=bind\n"));
    assert!(bound.contains(&format!("\nBindsTo={}\nAfter={}\n", names[0], names[0])));
    for (_, text) in &texts {
        assert!(text.contains("Before=local-fs.target mesos-slave.service"));
        assert!(text.contains("\nWantedBy=local-fs.target\n"));
    }
}

mod rules;
mod steps;
