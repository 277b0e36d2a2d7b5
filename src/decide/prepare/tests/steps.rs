//! The steps themselves, to the last argument: what a dry run prints is what is done.

use Stage::{Chosen, Done, Formatted, Formatting};

use super::*;
use crate::decide::facts::Fingerprint;

/// A run's commands, each step under its name.
fn script(plan: &PreparePlan) -> String {
    let steps = plan.steps().iter().map(|step| {
        let commands = step.commands().join("\n    ");
        format!("{}\n    {commands}\n", step.name())
    });
    steps.collect()
}

fn planned(request: &PrepareRequest, facts: &PrepareFacts) -> PreparePlan {
    prepare(request, facts).plan.unwrap()
}

/// A PATH disk with ext4.
fn path_request() -> PrepareRequest {
    PrepareRequest {
        kind: DiskType::Path,
        at: "/mnt/data".into(),
        fs: PreparedFs::Ext4,
        immutable: false,
        ..request()
    }
}

/// For a PATH disk, on a host without systemd.
fn path_facts() -> PrepareFacts {
    PrepareFacts {
        at: MountPoint::Missing(vec!["/mnt".into(), "/mnt/data".into()]),
        hidden: None,
        systemd: false,
        ..facts()
    }
}

#[test]
fn a_mount_disk_is_made_mounted_and_bound_by_units() {
    let mut facts = facts();
    let hidden = "/var/lib/mesos-volumed/mounts";
    facts.at = MountPoint::Missing(vec!["/dcos".into(), "/dcos/volume0".into()]);
    facts.hidden = Some(MountPoint::Missing(vec![
        hidden.into(),
        format!("{hidden}/u-new").into(),
    ]));
    let plan = planned(&request(), &facts);
    similar_asserts::assert_eq!(script(&plan), include_str!("mount_disk_with_units.txt"));
}

#[test]
fn a_path_disk_is_made_and_mounted_by_hand_where_systemd_does_not_run() {
    let plan = planned(&path_request(), &path_facts());
    similar_asserts::assert_eq!(script(&plan), include_str!("path_disk_by_hand.txt"));
    let notes = plan.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("`UUID=u-new /mnt/data ext4 defaults,nofail 0 0`"),
        "{notes:?}"
    );
    assert!(notes[1].contains("--immutable-mount-point"), "{notes:?}");
}

#[test]
fn what_the_executor_gets_beside_the_commands_is_of_this_device_and_file_system() {
    let (request, facts) = (request(), facts());
    let plan = planned(&request, &facts);
    let only = |name: &str| -> Vec<&DiskStep> {
        let steps = plan.steps().iter();
        steps.filter(|step| step.name() == name).collect()
    };
    match only("format")[..] {
        [
            DiskStep::Format {
                device,
                number,
                size_bytes,
                uuid,
                again,
                ..
            },
        ] => {
            assert_eq!((device, *number), (&Raw::from("/dev/sdb"), NUMBER));
            assert_eq!(
                (*size_bytes, uuid.as_str(), *again),
                (1 << 40, "u-new", false)
            );
        }
        ref other => panic!("{other:?}"),
    }
    let hidden = Raw::from("/var/lib/mesos-volumed/mounts/u-new");
    let mounts: Vec<_> = only("mount")
        .into_iter()
        .map(|step| match step {
            DiskStep::Mount {
                at, uuid, shows, ..
            } => (at.clone(), uuid.as_str(), shows.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        mounts,
        [
            (hidden.clone(), "u-new", None),
            (request.at.clone(), "u-new", Some(hidden.join("volume"))),
        ]
    );
    assert_eq!(
        only("furnish"),
        [&DiskStep::Furnish {
            disk: DiskRef {
                kind: DiskType::Mount,
                root: request.at.clone()
            },
            at: hidden.clone(),
            uuid: "u-new".to_owned(),
        }]
    );
    let record = plan.record();
    assert_eq!(
        (&record.device, &record.confirmed, record.size_bytes),
        (&"sdb".into(), &"S1".into(), 1 << 40)
    );
    assert_eq!((&record.hidden, record.immutable), (&Some(hidden), true));
    assert_eq!(record.folders, ["/h".into()]);
    assert_eq!(plan.clone().into_steps(), plan.steps());
    assert!(plan.notes().is_empty(), "{:?}", plan.notes());
}

#[test]
fn folders_out_of_sight_are_closed_and_those_that_a_tenant_passes_are_not() {
    let mut facts = facts();
    let state = "/var/lib/mesos-volumed";
    facts.hidden = Some(MountPoint::Missing(
        [
            state.to_owned(),
            format!("{state}/mounts"),
            format!("{state}/mounts/u-new"),
        ]
        .map(Raw::from)
        .into(),
    ));
    // The root lies below one that the hidden side needs as well.
    let request = PrepareRequest {
        at: "/var/lib/mesos-volumed-disks/x".into(),
        ..request()
    };
    facts.at = MountPoint::Missing(vec![
        "/var/lib/mesos-volumed-disks".into(),
        "/var/lib/mesos-volumed-disks/x".into(),
    ]);
    let modes = |request: &PrepareRequest, facts: &PrepareFacts| -> Vec<(String, u32)> {
        let plan = planned(request, facts);
        let steps = plan.steps().iter();
        steps
            .filter_map(|step| match step {
                DiskStep::Folder { path, mode } => Some((path.to_string(), *mode)),
                _ => None,
            })
            .collect()
    };
    let wanted = [
        (state.to_owned(), 0o700),
        (format!("{state}/mounts"), 0o700),
        (format!("{state}/mounts/u-new"), 0o700),
        ("/var/lib/mesos-volumed-disks".to_owned(), 0o755),
        ("/var/lib/mesos-volumed-disks/x".to_owned(), 0o755),
    ];
    assert_eq!(modes(&request, &facts), wanted);
    // One folder above both is made once, and may be entered.
    facts.hidden = Some(MountPoint::Missing(vec!["/var".into(), "/var/lib".into()]));
    facts.at = MountPoint::Missing(vec!["/var".into(), request.at.clone()]);
    assert_eq!(
        modes(&request, &facts),
        [
            ("/var".to_owned(), 0o755),
            ("/var/lib".to_owned(), 0o755),
            (request.at.to_string(), 0o755)
        ]
    );
    assert_eq!(
        modes(&path_request(), &path_facts()),
        [("/mnt".to_owned(), 0o755), ("/mnt/data".to_owned(), 0o755)]
    );
}

#[test]
fn a_run_that_goes_on_begins_where_the_last_one_ended() {
    let stages = |stage: Stage| -> Vec<Stage> {
        let mut facts = facts();
        facts.records = Known::Known(vec![record(stage)]);
        if stage > Stage::Chosen {
            edit(&mut facts, |device| device.content = made("u-old"));
        }
        let plan = planned(&request(), &facts);
        // Its folders, and those that went since.
        assert_eq!(plan.record().folders, ["/f".into(), "/h".into()]);
        assert_eq!(plan.record().device, "sdb".into(), "names change");
        let steps = plan.steps().iter();
        steps
            .filter_map(|step| match step {
                DiskStep::Record { record } => Some(record.stage),
                _ => None,
            })
            .collect()
    };
    assert_eq!(stages(Chosen), [Chosen, Formatting, Formatted, Done]);
    assert_eq!(stages(Formatting), [Formatting, Formatted, Done]);
    assert_eq!(stages(Formatted), [Formatted, Done]);
    assert_eq!(stages(Done), [Done, Done]);
}

#[test]
fn what_was_half_made_is_made_again_by_force_on_either_file_system() {
    let command = |fs: PreparedFs, stage: Stage| -> String {
        let mut facts = facts();
        facts.records = Known::Known(vec![PreparedDisk {
            fs,
            ..record(stage)
        }]);
        let request = PrepareRequest { fs, ..request() };
        let plan = planned(&request, &facts);
        let mut steps = plan.steps().iter();
        steps
            .find_map(|step| match step {
                DiskStep::Format { command, .. } => Some(command.typed()),
                _ => None,
            })
            .unwrap()
    };
    let (xfs, ext4) = (PreparedFs::Xfs, PreparedFs::Ext4);
    assert_eq!(
        command(xfs, Stage::Chosen),
        "/usr/sbin/mkfs.xfs -q -m uuid=u-old /dev/sdb"
    );
    assert_eq!(
        command(xfs, Stage::Formatting),
        "/usr/sbin/mkfs.xfs -q -m uuid=u-old -f /dev/sdb"
    );
    assert_eq!(
        command(ext4, Stage::Chosen),
        "/usr/sbin/mkfs.ext4 -q -m 0 -U u-old /dev/sdb"
    );
    assert_eq!(
        command(ext4, Stage::Formatting),
        "/usr/sbin/mkfs.ext4 -q -m 0 -U u-old -F /dev/sdb"
    );
}

#[test]
fn a_path_is_protected_only_where_the_operator_wants_it() {
    let protects = |immutable: bool| -> (Vec<Raw>, String) {
        let request = PrepareRequest {
            immutable,
            ..path_request()
        };
        let plan = planned(&request, &facts_of_path_with_units());
        let steps = plan.steps().iter();
        let protected = steps.filter_map(|step| match step {
            DiskStep::Protect { path } => Some(path.clone()),
            _ => None,
        });
        (protected.collect(), plan.notes().join("\n"))
    };
    let (protected, note) = protects(true);
    assert_eq!(protected, ["/mnt/data".into()]);
    assert!(note.contains("immutable without its disk"), "{note}");
    let (protected, note) = protects(false);
    assert_eq!(protected, Vec::<Raw>::new());
    assert!(note.contains("takes data onto the disk below"), "{note}");
}

fn facts_of_path_with_units() -> PrepareFacts {
    PrepareFacts {
        systemd: true,
        ..path_facts()
    }
}

#[test]
fn only_a_root_that_was_another_file_system_is_to_be_accepted() {
    let note = |filesystem: Option<&str>, root: &str| -> Vec<String> {
        let mut known = ledger(DiskType::Mount, root);
        known.roots[0].fingerprint = filesystem.map(|filesystem| Fingerprint {
            filesystem: filesystem.to_owned(),
            fs_type: "xfs".to_owned(),
            directory: crate::decide::facts::FileIdentity {
                filesystem: filesystem.to_owned(),
                handle: "1:aa".to_owned(),
            },
        });
        let facts = PrepareFacts {
            ledger: Known::Known(known),
            ..facts()
        };
        planned(&request(), &facts).notes().to_vec()
    };
    assert_eq!(note(Some("u-dead"), "/dcos/volume0").len(), 1);
    assert_eq!(note(Some("u-new"), "/dcos/volume0"), Vec::<String>::new());
    assert_eq!(note(None, "/dcos/volume0"), Vec::<String>::new());
    assert_eq!(note(Some("u-dead"), "/dcos/volume1"), Vec::<String>::new());
}

#[test]
fn the_way_back_is_printed_as_a_shell_would_do_it() {
    let steps = [
        DiskStep::Unprotect {
            path: "/a b".into(),
        },
        DiskStep::RemoveUnit {
            path: "/etc/systemd/system/a.mount".into(),
        },
        DiskStep::RemoveFolder {
            path: "/a b".into(),
        },
        DiskStep::Retire {
            disk: DiskRef {
                kind: DiskType::Path,
                root: "/mnt/data".into(),
            },
        },
        DiskStep::Forget {
            uuid: "u-1".to_owned(),
        },
    ];
    let said: Vec<(&str, String)> = steps
        .iter()
        .map(|step| (step.name(), step.commands().join("\n")))
        .collect();
    assert_eq!(
        said,
        [
            ("unprotect", "chattr -i '/a b'".to_owned()),
            (
                "remove_unit",
                "rm -f /etc/systemd/system/a.mount".to_owned()
            ),
            ("remove_folder", "rmdir '/a b'".to_owned()),
            (
                "retire",
                "# take PATH:/mnt/data out of the ledger".to_owned()
            ),
            ("forget", "# remove the record of u-1".to_owned()),
        ]
    );
    let releasing = DiskStep::Record {
        record: Box::new(record(Stage::Releasing)),
    };
    assert_eq!(releasing.commands(), ["# record u-old as being given back"]);
}

#[test]
fn units_have_the_names_that_systemd_gives_them() {
    for (path, name) in [
        ("/", "-"),
        ("", "-"),
        ("/a", "a"),
        ("//a//b/", "a-b"),
        ("/dcos/volume0", "dcos-volume0"),
        ("/mnt/data-1", "mnt-data\\x2d1"),
        ("/.hidden/.x", "\\x2ehidden-.x"),
        ("/a b", "a\\x20b"),
        ("/ü", "\\xc3\\xbc"),
        ("/a_b:C.d/e@f", "a_b:C.d-e\\x40f"),
        ("/x\\y", "x\\x5cy"),
    ] {
        assert_eq!(escape_path(&Raw::from(path)), name, "{path}");
    }
}

#[test]
fn lines_for_fstab_wait_for_one_another_and_hide_their_blanks() {
    let mut record = record(Stage::Done);
    record.disk.root = "/dcos/a b\\c".into();
    let hidden = "/var/lib/mesos-volumed/mounts/u-old";
    assert_eq!(
        units::fstab(&record),
        [
            format!("`UUID=u-old {hidden} xfs defaults,nofail 0 0`"),
            format!(
                "`{hidden}/volume /dcos/a\\040b\\134c none \
                 bind,nofail,x-systemd.requires-mounts-for={hidden} 0 0`"
            ),
        ]
    );
    record.hidden = None;
    assert_eq!(
        units::fstab(&record),
        ["`UUID=u-old /dcos/a\\040b\\134c xfs defaults,nofail 0 0`"]
    );
}
