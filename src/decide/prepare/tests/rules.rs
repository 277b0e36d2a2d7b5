//! Rules at their edges: what is just enough, and what only looks like a reason.

use super::*;
use crate::decide::facts::{PreparedFs, Why};

/// Refused for these rules once this is so.
#[track_caller]
fn with(change: impl FnOnce(&mut PrepareRequest, &mut PrepareFacts)) -> Vec<Rule> {
    let (mut request, mut facts) = (request(), facts());
    change(&mut request, &mut facts);
    refused(&request, &facts)
}

/// What this rule said.
fn said(request: &PrepareRequest, facts: &PrepareFacts, rule: Rule) -> Vec<(bool, String)> {
    let judged = prepare(request, facts);
    let tried = judged.tried.into_iter().filter(|tried| tried.rule == rule);
    tried.map(|tried| (tried.passed, tried.evidence)).collect()
}

#[test]
fn a_device_is_large_enough_from_what_its_file_system_and_discovery_want() {
    let sized = |fs: PreparedFs, min_size: u64, size: u64| {
        with(|request, facts| {
            request.fs = fs;
            request.min_size = Bytes(min_size);
            edit(facts, |device| device.size_bytes = Known::Known(size));
        })
    };
    let (xfs, ext4) = (300 << 20, 16 << 20);
    for (fs, min_size, wanted) in [
        (PreparedFs::Xfs, 0, xfs),
        (PreparedFs::Ext4, 0, ext4),
        (PreparedFs::Ext4, 1 << 30, 1 << 30),
    ] {
        assert_eq!(sized(fs, min_size, wanted), []);
        assert_eq!(sized(fs, min_size, wanted - 1), [Rule::TooSmall]);
    }
}

#[test]
fn only_another_way_to_the_same_drive_is_a_second_path() {
    type Of = fn(&mut BlockDevice);
    let beside = |other: Of, ours: Of| {
        with(|_, facts| {
            let mut twin = BlockDevice {
                name: "sdc".into(),
                number: DeviceNumber {
                    major: 8,
                    minor: 32,
                },
                ..device()
            };
            let mut device = device();
            other(&mut twin);
            ours(&mut device);
            facts.devices = Known::Known(vec![twin, device]);
        })
    };
    assert_eq!(beside(|_| {}, |_| {}), [Rule::Multipath]);
    let none: [(&str, Of, Of); 7] = [
        ("another name", |d| d.wwn = Some("w2".into()), |_| {}),
        ("no name on either", |d| d.wwn = None, |d| d.wwn = None),
        ("no name on the other", |d| d.wwn = None, |_| {}),
        (
            "its own partition",
            |d| d.parent = Some("sdb".into()),
            |_| {},
        ),
        ("its drive", |_| {}, |d| d.parent = Some("sdc".into())),
        ("made of it", |d| d.slaves = vec!["sdb".into()], |_| {}),
        (
            "it is made of that",
            |_| {},
            |d| d.slaves = vec!["sdc".into()],
        ),
    ];
    for (what, other, ours) in none {
        assert_eq!(beside(other, ours), [], "{what}");
    }
}

#[test]
fn mounts_of_a_path_disk_are_ours_where_they_show_the_whole_of_it() {
    let path = |mount_root: &str, at: &str| {
        with(|request, facts| {
            request.kind = DiskType::Path;
            facts.records = Known::Known(vec![PreparedDisk {
                disk: DiskRef {
                    kind: DiskType::Path,
                    root: request.at.clone(),
                },
                hidden: None,
                ..record(Stage::Done)
            }]);
            edit(facts, |device| device.content = made("u-old"));
            facts.exclusive = Known::Absent;
            facts.at = MountPoint::Mounted;
            facts.hidden = None;
            facts.mounts = MountTable::new(vec![mount(NUMBER, mount_root, at)]);
        })
    };
    assert_eq!(path("/", "/dcos/volume0"), []);
    for (root, at) in [("/volume", "/dcos/volume0"), ("/", "/elsewhere")] {
        assert_eq!(
            path(root, at),
            [Rule::Mounted, Rule::Busy],
            "{root} at {at}"
        );
    }
}

#[test]
fn a_mount_in_another_namespace_is_ours_only_where_we_made_the_file_system() {
    let elsewhere = |stage: Stage| {
        with(|_, facts| {
            facts.records = Known::Known(vec![record(stage)]);
            if stage >= Stage::Formatting {
                edit(facts, |device| device.content = made("u-old"));
            }
            facts.elsewhere.0.push(MountedElsewhere {
                pid: 9,
                mount_point: "/x".into(),
            });
        })
    };
    assert_eq!(elsewhere(Stage::Chosen), [Rule::Mounted]);
    assert_eq!(elsewhere(Stage::Formatting), [Rule::Mounted]);
    assert_eq!(elsewhere(Stage::Formatted), []);
    assert_eq!(elsewhere(Stage::Done), []);
}

#[test]
fn mounts_of_other_devices_are_none_of_this_ones_business() {
    let number = DeviceNumber { major: 8, minor: 1 };
    let other = MountEntry {
        source: "/dev/sda1".into(),
        ..mount(number, "/", "/")
    };
    assert_eq!(with(|_, f| f.mounts = MountTable::new(vec![other])), []);
    assert_eq!(
        with(|_, f| f.swaps = Known::Known(vec!["/dev/sda2".into()])),
        []
    );
    assert_eq!(with(|_, f| f.swaps = Known::Absent), []);
}

#[test]
fn processes_that_could_not_be_looked_at_are_told_of() {
    let mut facts = facts();
    let told = |facts: &PrepareFacts| said(&request(), facts, Rule::Mounted);
    assert_eq!(told(&facts), [(true, "it is mounted nowhere".to_owned())]);
    facts.elsewhere.1 = 3;
    assert!(
        told(&facts)[0]
            .1
            .contains("3 processes could not be looked at")
    );
}

#[test]
fn what_is_on_the_device_is_named() {
    let contents = [
        (
            Content::Filesystem {
                fs_type: "ext4".to_owned(),
                uuid: Some("u-9".to_owned()),
                label: None,
            },
            "it carries a file system: ext4 u-9",
        ),
        (
            Content::Filesystem {
                fs_type: "vfat".to_owned(),
                uuid: None,
                label: None,
            },
            "it carries a file system: vfat",
        ),
        (Content::Swap, "it carries swap space"),
        (
            Content::Member("an LVM physical volume".to_owned()),
            "it carries an LVM physical volume",
        ),
        (
            Content::PartitionTable("a GPT".to_owned()),
            "it carries a GPT",
        ),
    ];
    for (content, words) in contents {
        let mut facts = facts();
        edit(&mut facts, |device| device.content = Known::Known(content));
        assert_eq!(
            said(&request(), &facts, Rule::HasSignature),
            [(false, words.to_owned())]
        );
    }
}

#[test]
fn every_program_that_looked_is_heard() {
    let mut facts = facts();
    let probe = |command: &str, found| Probe {
        command: command.to_owned(),
        found,
    };
    facts.probes = vec![
        probe("blkid", Known::Absent),
        probe("wipefs", Known::Known(vec!["a".to_owned(), "b".to_owned()])),
        probe("other", Known::Unknown(Why("it crashed".to_owned()))),
    ];
    assert_eq!(
        said(&request(), &facts, Rule::HasSignature),
        [
            (true, "`blkid` finds nothing".to_owned()),
            (false, "`wipefs` finds a, b".to_owned()),
            (false, "`other` did not answer: it crashed".to_owned()),
        ]
    );
}

#[test]
fn what_an_earlier_run_began_is_gone_on_with_only_as_it_was_begun() {
    let mut facts = facts();
    facts.records = Known::Known(vec![record(Stage::Done)]);
    edit(&mut facts, |device| device.content = made("u-old"));
    assert_eq!(refused(&request(), &facts), []);
    // The state folder moved.
    let moved = PrepareRequest {
        state_dir: "/srv/state".into(),
        ..request()
    };
    assert_eq!(refused(&moved, &facts), [Rule::Records]);
    // A PATH whose mount point was protected, and shall not be.
    let path = PrepareRequest {
        kind: DiskType::Path,
        immutable: false,
        ..request()
    };
    for (record_immutable, guard) in [(true, " --immutable-mount-point"), (false, "")] {
        let begun = PreparedDisk {
            disk: DiskRef {
                kind: DiskType::Path,
                root: "/dcos/volume0".into(),
            },
            hidden: None,
            immutable: record_immutable,
            ..record(Stage::Done)
        };
        facts.records = Known::Known(vec![begun]);
        let request = PrepareRequest {
            immutable: !record_immutable,
            ..path.clone()
        };
        assert_eq!(
            said(&request, &facts, Rule::Records),
            [(
                false,
                format!(
                    "an earlier run began it otherwise: --as path --at /dcos/volume0 --fs xfs{guard}"
                )
            )]
        );
        facts.hidden = None;
        let request = PrepareRequest {
            immutable: record_immutable,
            ..path.clone()
        };
        assert_eq!(refused(&request, &facts), []);
    }
}

#[test]
fn our_own_mounts_are_where_they_belong() {
    let mounted = |stage: Stage| {
        with(|_, facts| {
            facts.records = Known::Known(vec![record(stage)]);
            edit(facts, |device| device.content = made("u-old"));
            facts.at = MountPoint::Mounted;
        })
    };
    assert_eq!(mounted(Stage::Formatting), [Rule::Place]);
    assert_eq!(mounted(Stage::Formatted), []);
}

#[test]
fn another_root_is_in_the_way_only_where_one_lies_in_the_other() {
    let known = |kind, root: &str| {
        let root = root.to_owned();
        with(move |_, facts| facts.ledger = Known::Known(ledger(kind, &root)))
    };
    assert_eq!(known(DiskType::Mount, "/dcos/volume0"), []);
    assert_eq!(known(DiskType::Mount, "/dcos/volume"), []);
    assert_eq!(known(DiskType::Mount, "/dcos/volume00"), []);
    assert_eq!(
        known(DiskType::Mount, "/dcos/volume0/inner"),
        [Rule::PlaceTaken]
    );
    assert_eq!(known(DiskType::Mount, "/dcos"), [Rule::PlaceTaken]);
    assert_eq!(known(DiskType::Path, "/dcos/volume0"), [Rule::PlaceTaken]);
    let prepared = |root: &str| {
        let other = PreparedDisk {
            uuid: "u-9".to_owned(),
            confirmed: "S9".into(),
            disk: DiskRef {
                kind: DiskType::Mount,
                root: root.into(),
            },
            ..record(Stage::Done)
        };
        with(|_, facts| facts.records = Known::Known(vec![other]))
    };
    assert_eq!(prepared("/dcos/volume1"), []);
    assert_eq!(prepared("/dcos/volume0/inner"), [Rule::PlaceTaken]);
    assert_eq!(
        with(|r, _| r.state_dir = "/dcos".into()),
        [Rule::PlaceTaken]
    );
    assert_eq!(
        with(|r, _| r.work_dir = "/dcos/volume0/agent".into()),
        [Rule::PlaceTaken]
    );
}

#[test]
fn only_programs_that_are_run_must_be_there() {
    let without = |name: &str, systemd: bool, fs: PreparedFs| {
        with(|request, facts| {
            request.fs = fs;
            facts.systemd = systemd;
            facts.programs.remove(name);
        })
    };
    let (xfs, ext4) = (PreparedFs::Xfs, PreparedFs::Ext4);
    for (name, systemd, fs, needed) in [
        ("blkid", true, xfs, true),
        ("wipefs", true, xfs, true),
        ("mkfs.xfs", true, xfs, true),
        ("mkfs.xfs", true, ext4, false),
        ("mkfs.ext4", true, ext4, true),
        ("systemctl", true, xfs, true),
        ("systemctl", false, xfs, false),
        ("mount", false, xfs, true),
        ("mount", true, xfs, false),
    ] {
        let rules: &[Rule] = if needed { &[Rule::Programs] } else { &[] };
        assert_eq!(without(name, systemd, fs), rules, "{name}");
    }
}

#[test]
fn codes_are_the_same_in_json() {
    let rules = [
        Rule::NoDevice,
        Rule::WrongSerial,
        Rule::Records,
        Rule::ReadOnly,
        Rule::TooSmall,
        Rule::Partitioned,
        Rule::HasHolders,
        Rule::Multipath,
        Rule::InUseSwap,
        Rule::Mounted,
        Rule::Busy,
        Rule::HasSignature,
        Rule::NotBlank,
        Rule::Place,
        Rule::Fstab,
        Rule::PlaceTaken,
        Rule::Programs,
        Rule::NotPrepared,
        Rule::Held,
        Rule::AuthorityUnknown,
        Rule::Offered,
        Rule::InUse,
        Rule::Trash,
        Rule::Owed,
    ];
    for rule in rules {
        assert_eq!(serde_json::to_string(&rule).unwrap(), format!("\"{rule}\""));
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    let told = |change: fn(&mut PrepareFacts), rule: Rule| {
        let mut facts = facts();
        change(&mut facts);
        said(&request(), &facts, rule)[0].1.clone()
    };
    let partitions = |facts: &mut PrepareFacts| {
        edit(facts, |device| {
            device.partitions = vec!["sdb1".into(), "sdb2".into()];
        });
    };
    assert_eq!(
        told(partitions, Rule::Partitioned),
        "it has partitions: sdb1, sdb2"
    );
    let holders = |facts: &mut PrepareFacts| {
        edit(facts, |device| device.holders = vec!["dm-0".into()]);
    };
    assert!(told(holders, Rule::HasHolders).starts_with("it is a part of dm-0 "));
    let folders = |facts: &mut PrepareFacts| {
        facts.at = MountPoint::Missing(vec!["/dcos".into(), "/dcos/volume0".into()]);
    };
    assert_eq!(
        told(folders, Rule::Place),
        "/dcos, /dcos/volume0 are to be made"
    );
}
