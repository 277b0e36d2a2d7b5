//! Rules of discovery at their edges: what is just enough, and what only looks like a reason.

use mesos_volumed::decide::adopt::AdoptedFrom;
use mesos_volumed::decide::discover::{Code, DiskVerdict, Meaning, emptied, questions_of_agent};
use mesos_volumed::decide::facts::FsFailure;
use mesos_volumed::decide::ledger::{LedgerPart, LedgerPlace};
use mesos_volumed::decide::preflight::Check;
use mesos_volumed::decide::preflight::missing::{AgentWill, Emit, Gone};
use mesos_volumed::mesos::ids::{PersistenceId, VolumeKey};

use super::*;

fn disk(kind: DiskType, root: &str) -> DiskRef {
    DiskRef {
        kind,
        root: root.into(),
    }
}

/// A host whose system lies on sda2, with these mounts more, each `device root point type source`.
fn host(mounts: &[&str], devices: Vec<BlockDevice>) -> Case {
    let mut text = "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n".to_owned();
    for (id, line) in (30..).zip(mounts) {
        let [device, root, point, fs_type, source] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        writeln!(
            text,
            "{id} 1 {device} {root} {point} rw - {fs_type} {source} rw"
        )
        .unwrap();
    }
    let mounts = MountTable::new(mountinfo::parse(text.as_bytes()).unwrap());
    let mut all = vec![device("sda2", "8:2", "ext4")];
    all.extend(devices);
    Case::of(mounts, all)
}

fn sdb() -> BlockDevice {
    device("sdb", "8:16", "ext4")
}

fn sdc() -> BlockDevice {
    device("sdc", "8:32", "ext4")
}

/// The agent registered with these, of whole megabytes.
fn registered(case: &mut Case, disks: &[(DiskType, &str, u64)]) {
    let disks = disks.iter();
    case.agent.registered = Known::Known(
        disks
            .map(|(kind, root, megabytes)| agent_disk(*kind, root, *megabytes))
            .collect(),
    );
}

/// It holds the volume `r/v` there, of whole megabytes.
fn holds(case: &mut Case, kind: DiskType, root: &str, megabytes: u64) {
    let mut part = agent_disk(kind, root, megabytes);
    let key = VolumeKey::new(Role::new("r"), PersistenceId::new("v"));
    part.volumes.insert(key);
    case.agent.needed = Known::Known(vec![part]);
}

fn placed(mut entry: LedgerRoot, filesystem: Option<&str>, mount_point: &str) -> LedgerRoot {
    entry.place = Some(LedgerPlace {
        filesystem: filesystem.map(str::to_owned),
        mount_point: mount_point.into(),
    });
    entry
}

fn row(case: &mut Case, path: &str) -> DiskVerdict {
    let discovery = case.discover();
    let mut rows = discovery.disks.into_iter();
    rows.find(|row| row.path == Some(path.into())).unwrap()
}

/// What stands in for it: what is written, and what an agent does that starts with it.
fn stand_in(case: &mut Case, path: &str) -> Option<(u64, Emit, Option<AgentWill>, bool)> {
    let row = row(case, path);
    let good = row.last_good?;
    let number = u64::try_from(good.number.thousandths()).unwrap() / 1000;
    Some((number, good.emit, good.agent, good.degrades))
}

#[test]
fn a_disk_of_exactly_the_smallest_size_is_offered() {
    let mut case = agent().share("/dcos/volume9", 10 << 20);
    case.rules.disks.clear();
    let mut case = case.share("/mnt/data", 10 << 20);
    case.sizes.insert(number("253:0"), 64 << 20);
    assert_eq!(case.code("/mnt/data"), "offered 10");
    case.host.answers.clear();
    case.sizes.insert(number("253:0"), (64 << 20) - 1);
    assert_eq!(case.code("/mnt/data"), "too_small");
}

#[test]
fn only_what_disk_prepare_lays_out_is_a_hidden_side() {
    let hidden = "/state/mounts/uuid-of-sdb";
    let own = format!("8:16 / {hidden} ext4 /dev/sdb");
    let bound = "8:16 /volume /dcos/volume0 ext4 /dev/sdb";
    let code = |mounts: &[&str]| {
        let mut case = host(mounts, vec![sdb(), sdc()]);
        case.code(mounts[0].split(' ').nth(2).unwrap())
    };
    assert_eq!(code(&[&own, bound]), "hidden_side");
    // Nothing shows its `volume`.
    assert_eq!(code(&[&own]), "no_rule");
    assert_eq!(
        code(&[&own, "8:16 /other /dcos/volume0 ext4 /dev/sdb"]),
        "no_rule"
    );
    assert_eq!(
        code(&[&own, "8:32 /volume /dcos/volume0 ext4 /dev/sdc"]),
        "no_rule"
    );
    // Another folder, or a part of the file system.
    assert_eq!(
        code(&["8:16 / /state/mounts/uuid-of-sdc ext4 /dev/sdb", bound]),
        "no_rule"
    );
    let part = format!("8:16 /part {hidden} ext4 /dev/sdb");
    assert_eq!(code(&[&part, bound]), "no_rule");
}

#[test]
fn another_disk_below_at_the_same_mount_point_is_a_doubt_unless_it_was_verified() {
    let upper = "8:16 / /dcos/volume0 ext4 /dev/sdb";
    let codes = |mounts: &[&str], change: fn(&mut Case)| {
        let mut case = host(&[], Vec::new());
        // Each lies on the one before, as the kernel has it.
        let mut text = "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n".to_owned();
        for (index, line) in mounts.iter().enumerate() {
            let [device, root, point, fs_type, source] = line.split(' ').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            let parent = if index == 0 { 1 } else { 29 + index };
            writeln!(
                text,
                "{} {parent} {device} {root} {point} rw - {fs_type} {source} rw",
                30 + index
            )
            .unwrap();
        }
        case.host.mounts = MountTable::new(mountinfo::parse(text.as_bytes()).unwrap());
        case.host.devices = Known::Known(vec![device("sda2", "8:2", "ext4"), sdb(), sdc()]);
        let mut case = case.mounts(&["/dcos/*"]);
        change(&mut case);
        let discovery = case.discover();
        let mut codes: Vec<(u64, String)> = discovery
            .disks
            .iter()
            .filter_map(|row| match (&row.subject, &row.verdict) {
                (Subject::Mount(id), Verdict::Offered(_)) if *id >= 30 => {
                    Some((*id, "offered".to_owned()))
                }
                (Subject::Mount(id), Verdict::Rejected(rejection)) if *id >= 30 => {
                    Some((*id, rejection.code.to_string()))
                }
                _ => None,
            })
            .collect();
        codes.sort();
        codes.into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    let below = "8:32 / /dcos/volume0 ext4 /dev/sdc";
    assert_eq!(codes(&[upper], |_| {}), ["offered"]);
    assert_eq!(codes(&[below, upper], |_| {}), ["overmounted"; 2]);
    // The same disk, or none at all.
    assert_eq!(codes(&[upper, upper], |_| {}), ["overmounted", "offered"]);
    let memory = "0:40 / /dcos/volume0 tmpfs none";
    assert_eq!(
        codes(&[memory, upper], |_| {}),
        ["pseudo_filesystem", "offered"]
    );
    let elsewhere = "8:32 / /dcos/volume1 ext4 /dev/sdc";
    assert_eq!(codes(&[elsewhere], |_| {}), ["offered"]);
    // Which of the two is meant is known.
    assert_eq!(
        codes(&[below, upper], |case| {
            case.ledger.roots = vec![known(
                DiskType::Mount,
                "/dcos/volume0",
                100,
                Some("uuid-of-sdb"),
            )];
        }),
        ["overmounted", "offered"]
    );
    assert_eq!(
        codes(&[below, upper], |case| {
            registered(case, &[(DiskType::Mount, "/dcos/volume0", 100)]);
        }),
        ["overmounted", "offered"]
    );
}

#[test]
fn a_path_of_the_agent_on_the_systems_disk_is_taken_only_where_something_tells_that_it_is_meant() {
    let place = "/srv/disk";
    let code = |rule: bool, advertised: u64, change: fn(&mut Case)| {
        let mut case = host(&[], Vec::new());
        if rule {
            case = case.paths(&["/srv/disk"]);
        }
        case.directories.push("/srv/disk");
        registered(&mut case, &[(DiskType::Path, place, 10_240)]);
        case.ledger.roots = vec![known(DiskType::Path, place, advertised, None)];
        change(&mut case);
        case.code(place)
    };
    // No rule says that a disk of its own should be there: it is kept, unless its number tells.
    assert_eq!(code(false, 10_240, |_| {}), "offered 10240");
    assert_eq!(code(false, 10_241, |_| {}), "missing");
    assert_eq!(
        code(false, 10_241, |case| case.ledger.roots.clear()),
        "offered 10240"
    );
    // A rule says so.
    assert_eq!(code(true, 10_240, |_| {}), "missing");
    let lives_there = |case: &mut Case| {
        holds(case, DiskType::Path, "/srv/disk", 10);
        case.directories.push("/srv/disk/volumes/roles/r/v");
    };
    assert_eq!(code(true, 10_240, lives_there), "offered 10240");
    assert_eq!(code(true, 10_241, lives_there), "missing");
    let lives_elsewhere = |case: &mut Case| {
        holds(case, DiskType::Path, "/srv/disk", 10);
    };
    assert_eq!(code(true, 10_240, lives_elsewhere), "missing");
    // It was verified, or advertised, on this very disk.
    assert_eq!(
        code(true, 10_240, |case| {
            case.ledger.roots = vec![known(
                DiskType::Path,
                "/srv/disk",
                10_240,
                Some("uuid-of-sda2"),
            )];
        }),
        "offered 10240"
    );
    assert_eq!(
        code(true, 10_240, |case| {
            let entry = known(DiskType::Path, "/srv/disk", 10_240, None);
            case.ledger.roots = vec![placed(entry, Some("uuid-of-sda2"), "/")];
        }),
        "offered 10240"
    );
}

#[test]
fn the_agents_disks_and_the_volumes_that_tell_them_are_asked() {
    let asked = |change: fn(&mut Case)| {
        let mut case = host(&[], Vec::new());
        registered(
            &mut case,
            &[
                (DiskType::Root, "/var/lib/mesos", 1),
                (DiskType::Path, "/srv//disk/", 10),
                (DiskType::Mount, "/m", 10),
                (DiskType::Path, "/srv/../x", 10),
            ],
        );
        holds(&mut case, DiskType::Path, "/srv//disk/", 10);
        change(&mut case);
        questions_of_agent(&case.ledger, &case.agent)
    };
    let with_volume: [Raw; 3] = [
        "/m".into(),
        "/srv/disk".into(),
        "/srv/disk/volumes/roles/r/v".into(),
    ];
    assert_eq!(asked(|_| {}), with_volume);
    assert_eq!(
        asked(|case| {
            case.ledger.roots = vec![known(DiskType::Path, "/srv/disk", 10, None)];
        }),
        with_volume
    );
    let bare: [Raw; 2] = ["/m".into(), "/srv/disk".into()];
    assert_eq!(
        asked(|case| {
            case.ledger.roots = vec![known(DiskType::Path, "/srv/disk", 10, Some("u"))];
        }),
        bare
    );
    assert_eq!(
        asked(|case| {
            let entry = known(DiskType::Path, "/srv/disk", 10, None);
            case.ledger.roots = vec![placed(entry, None, "/srv")];
        }),
        bare
    );
}

#[test]
fn a_path_disk_is_emptied_where_none_of_its_volumes_is_there_and_nothing_else_tells() {
    let found = |there: &[&str], change: fn(&mut Case)| {
        let mut case = host(&[], Vec::new());
        case.directories.push("/srv/disk");
        registered(&mut case, &[(DiskType::Path, "/srv/disk", 10)]);
        holds(&mut case, DiskType::Path, "/srv/disk", 10);
        if let Known::Known(parts) = &mut case.agent.needed {
            let more = VolumeKey::new(Role::new("r"), PersistenceId::new("w"));
            parts[0].volumes.insert(more);
        }
        case.directories
            .extend(there.iter().copied().map(|path| match path {
                "v" => "/srv/disk/volumes/roles/r/v",
                _ => "/srv/disk/volumes/roles/r/w",
            }));
        change(&mut case);
        case.answer();
        let found = emptied(&case.ledger, &case.agent, &case.host.answers);
        case.agent.emptied = found.clone();
        (found.len(), case.code("/srv/disk"))
    };
    assert_eq!(found(&[], |_| {}), (1, "missing".to_owned()));
    assert_eq!(found(&["w"], |_| {}), (0, "offered 10".to_owned()));
    assert_eq!(found(&["v", "w"], |_| {}).0, 0);
    // It holds none.
    assert_eq!(found(&[], |case| case.agent.needed = Known::Absent).0, 0);
    // Its file system tells.
    assert_eq!(
        found(&[], |case| {
            case.ledger.roots = vec![known(DiskType::Path, "/srv/disk", 10, Some("uuid-of-sda2"))];
        })
        .0,
        0
    );
}

#[test]
fn a_root_that_lay_on_a_mount_of_its_own_is_missing_on_the_one_above() {
    let code = |place: Option<&str>, at: &str| {
        let mut case = agent();
        let entry = known(DiskType::Path, "/mnt/data", 2048, None);
        case.ledger.roots = vec![placed(entry, place, at)];
        case.code("/mnt/data")
    };
    assert_eq!(code(Some("uuid-of-another"), "/mnt/data"), "missing");
    assert_eq!(code(None, "/mnt/data"), "missing");
    // The same file system, mounted further up.
    assert_eq!(code(Some("uuid-of-dm-0"), "/mnt/data"), "offered 2048");
    assert_eq!(code(Some("uuid-of-dm-0"), "/mnt"), "offered 2048");
    assert_eq!(code(None, "/mnt"), "offered 2048");
    assert_eq!(code(None, "/elsewhere"), "offered 2048");
    // Another one at the same place.
    assert_eq!(
        code(Some("uuid-of-another"), "/mnt"),
        "fingerprint_mismatch"
    );
}

#[test]
fn what_was_verified_says_more_than_where_it_was_advertised() {
    let mut case = agent();
    let entry = known(DiskType::Path, "/mnt/data", 2048, Some("uuid-of-dm-0"));
    case.ledger.roots = vec![placed(entry, Some("uuid-of-another"), "/mnt")];
    assert_eq!(case.code("/mnt/data"), "offered 2048");
    // Nobody can tell which file system is there.
    if let Known::Known(devices) = &mut case.host.devices {
        for device in devices
            .iter_mut()
            .filter(|device| device.name == "dm-0".into())
        {
            device.content = Known::Absent;
        }
    }
    case.host.answers.clear();
    case.ledger.roots = vec![known(
        DiskType::Path,
        "/mnt/data",
        2048,
        Some("uuid-of-another"),
    )];
    assert_eq!(case.code("/mnt/data"), "offered 2048");
}

#[test]
fn a_verified_file_system_that_became_smaller_than_what_is_advertised_of_it_is_told() {
    let code = |more: LedgerRoot| {
        let mut case = agent();
        let entry = known(DiskType::Path, "/mnt/data", 6000, Some("uuid-of-dm-0"));
        case.ledger.roots = vec![entry, more];
        case.directories.push("/mnt/more");
        let mut case = case.share("/mnt/more", GIB);
        case.code("/mnt/data")
    };
    let more = |root: &str, number| known(DiskType::Path, root, number, None);
    assert_eq!(code(more("/mnt/more", 4240)), "offered 2048");
    assert_eq!(code(more("/mnt/more", 4241)), "filesystem_shrunk");
    // On another disk, or nowhere.
    assert_eq!(code(more("/dcos/volume0", 4241)), "offered 2048");
    assert_eq!(code(more("/nowhere", 4241)), "offered 2048");
    assert_eq!(
        code(LedgerRoot {
            advertised: None,
            ..more("/mnt/more", 4241)
        }),
        "offered 2048"
    );
    // Its own number, however its root is looked at.
    let mut case = agent();
    case.ledger.roots = vec![known(
        DiskType::Path,
        "/mnt/data",
        10_241,
        Some("uuid-of-dm-0"),
    )];
    assert_eq!(case.code("/mnt/data"), "filesystem_shrunk");
}

#[test]
fn a_rule_whose_labels_do_not_fit_is_told_where_the_disk_was_advertised() {
    let code = |entry: Option<LedgerRoot>| {
        let mut case = agent();
        case.rules.disks.truncate(1);
        case.rules.disks[0].labels = vec!["data*".to_owned()];
        case.ledger.roots = entry.into_iter().collect();
        case.code("/dcos/volume0")
    };
    assert_eq!(code(None), "no_rule");
    let entry = known(DiskType::Mount, "/dcos/volume0", 100, None);
    assert_eq!(code(Some(entry.clone())), "wrong_device");
    assert_eq!(
        code(Some(LedgerRoot {
            advertised: None,
            ..entry
        })),
        "no_rule"
    );
    assert_eq!(
        code(Some(known(DiskType::Path, "/dcos/volume0", 100, None))),
        "no_rule"
    );
    assert_eq!(
        code(Some(known(DiskType::Mount, "/mnt", 100, None))),
        "no_rule"
    );
}

#[test]
fn a_path_that_two_rules_name_has_one_row_and_the_work_dir_is_root_alone() {
    let mut case = agent()
        .paths(&["/srv/x", "/var/lib/mesos/"])
        .mounts(&["/srv/x", "/dcos/volume0"]);
    case.directories.push("/srv/x");
    assert_eq!(case.code("/srv/x"), "missing");
    assert_eq!(case.code("/var/lib/mesos"), "offered 5120");
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    case.rules.work_dir = "/srv/x".into();
    assert_eq!(
        row(&mut case, "/srv/x").disk,
        Some(disk(DiskType::Root, "/srv/x"))
    );
    assert_eq!(case.code("/srv/x"), "offered 5120");
}

#[test]
fn a_disk_that_was_advertised_and_is_gone_is_looked_for_where_a_rule_still_names_it() {
    let code = |entry: LedgerRoot| {
        let mut case = agent();
        case.ledger.roots = vec![entry];
        case.code("/dcos/volume7")
    };
    let entry = known(DiskType::Mount, "/dcos/volume7", 500, None);
    assert_eq!(code(entry.clone()), "missing");
    assert_eq!(
        code(LedgerRoot {
            advertised: None,
            ..entry
        }),
        ""
    );
    assert_eq!(code(known(DiskType::Path, "/dcos/volume7", 500, None)), "");
    assert_eq!(code(known(DiskType::Root, "/dcos/volume7", 500, None)), "");
    // Spelt in another way it is the same.
    let mut case = agent();
    case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume0/", 500, None)];
    case.held = Known::Known(BTreeSet::new());
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    assert_eq!(
        row(&mut case, "/dcos/volume0").disk,
        Some(disk(DiskType::Mount, "/dcos/volume0/"))
    );
    let rows = case.discover().disks;
    let named = rows.iter().filter(|row| {
        let root = row.disk.as_ref().map(|disk| disk.root.to_string());
        root.is_some_and(|root| root.contains("volume0"))
    });
    assert_eq!(named.count(), 1);
}

#[test]
fn a_root_is_spelt_as_it_was_only_for_the_same_kind_and_where_it_was_advertised() {
    let spelt = |entry: Option<LedgerRoot>, agent_has: &[(DiskType, &str, u64)]| {
        let mut case = agent();
        case.ledger.roots = entry.into_iter().collect();
        registered(&mut case, agent_has);
        row(&mut case, "/dcos/volume0")
            .disk
            .unwrap()
            .root
            .to_string()
    };
    let mount = DiskType::Mount;
    let slash = |kind| known(kind, "/dcos/volume0/", 500, None);
    assert_eq!(spelt(None, &[]), "/dcos/volume0");
    assert_eq!(spelt(Some(slash(mount)), &[]), "/dcos/volume0/");
    assert_eq!(spelt(Some(slash(DiskType::Root)), &[]), "/dcos/volume0");
    let unadvertised = LedgerRoot {
        advertised: None,
        ..slash(mount)
    };
    assert_eq!(spelt(Some(unadvertised), &[]), "/dcos/volume0");
    // The agent's spelling wins.
    assert_eq!(
        spelt(Some(slash(mount)), &[(mount, "/dcos//volume0", 10_140)]),
        "/dcos//volume0"
    );
    assert_eq!(
        spelt(None, &[(mount, "/dcos/volume1", 10_140)]),
        "/dcos/volume0"
    );
}

#[test]
fn a_disk_of_the_agent_that_the_rules_take_for_another_kind_is_shown_as_what_it_is() {
    let mut case = agent();
    registered(
        &mut case,
        &[
            (DiskType::Path, "/dcos/volume0", 500),
            (DiskType::Mount, "/dcos/volume0", 10_140),
        ],
    );
    let discovery = case.discover();
    let rows: Vec<(String, String)> = discovery
        .disks
        .iter()
        .filter(|row| row.path == Some("/dcos/volume0".into()))
        .map(|row| {
            let said = match &row.verdict {
                Verdict::Offered(offer) => format!("offered {}", offer.number),
                Verdict::Rejected(rejection) => rejection.code.to_string(),
            };
            (row.disk.as_ref().unwrap().kind.to_string(), said)
        })
        .collect();
    let row = |kind: &str, said: &str| (kind.to_owned(), said.to_owned());
    assert_eq!(
        rows,
        [row("MOUNT", "offered 10140"), row("PATH", "no_rule")]
    );
    let path = discovery
        .of(&disk(DiskType::Path, "/dcos/volume0"))
        .unwrap();
    assert_eq!(
        path.rejection().unwrap().remedy.as_deref(),
        Some("it is kept as the agent has it")
    );
}

#[test]
fn of_two_views_of_one_file_system_the_first_in_the_mount_table_stays() {
    let mut case = host(
        &[
            "8:32 / /dcos/volume5 ext4 /dev/sdc",
            "8:16 / /dcos/volume9 ext4 /dev/sdb",
            "8:16 / /dcos/volume0 ext4 /dev/sdb",
        ],
        vec![sdb(), sdc()],
    )
    .mounts(&["/dcos/*"]);
    assert_eq!(case.code("/dcos/volume9"), "offered 10140");
    assert_eq!(case.code("/dcos/volume0"), "duplicate_device");
    assert_eq!(case.code("/dcos/volume5"), "offered 10140");
}

#[test]
fn of_two_rules_that_want_one_file_system_the_earlier_stays() {
    let shared = || {
        let mut case = agent();
        case.rules.disks.clear();
        case.directories.extend(["/mnt/a", "/mnt/b"]);
        case
    };
    let mut case = shared().paths(&["/mnt/b"]).paths(&["/mnt/a"]);
    assert_eq!(case.code("/mnt/b"), "offered 9216");
    assert_eq!(case.code("/mnt/a"), "duplicate_device");
    // What the agent has stays beside it, whatever both ask for.
    registered(
        &mut case,
        &[
            (DiskType::Path, "/mnt/a", 1000),
            (DiskType::Path, "/mnt/b", 1000),
        ],
    );
    assert_eq!(case.code("/mnt/a"), "offered 1000");
    assert_eq!(case.code("/mnt/b"), "offered 1000");
}

#[test]
fn what_takes_a_disk_away_is_told_from_what_makes_it_unfit() {
    let mut case = agent();
    let mut all: Vec<(DiskType, &str, u64)> = vec![
        (DiskType::Root, "/var/lib/mesos", 5120),
        (DiskType::Path, "/mnt/data", 2048),
    ];
    for root in ["/dcos/volume0", "/dcos/volume1", "/dcos/volume3"] {
        all.push((DiskType::Mount, root, 10_140));
    }
    registered(&mut case, &all);
    let mut with = |answer: PathAnswer| {
        let path = Raw::from("/dcos/volume0");
        case.host.answers.insert(path, answer);
        stand_in(&mut case, "/dcos/volume0").unwrap()
    };
    let gone = (
        10_140,
        Emit::LastGood,
        Some(AgentWill::Refuse(Check::Disks)),
        true,
    );
    let unfit = (10_140, Emit::LastGood, None, true);
    assert_eq!(with(PathAnswer::Missing), gone);
    assert_eq!(with(PathAnswer::NotADirectory), gone);
    assert_eq!(with(PathAnswer::Unanswering), unfit);
    let failed = FsFailure::Failed("it was shut down".to_owned());
    assert_eq!(with(PathAnswer::Erring(31, failed)), unfit);
    // Nothing stands in for what nobody has.
    let mut case = agent();
    case.host
        .answers
        .insert("/dcos/volume0".into(), PathAnswer::Missing);
    assert_eq!(stand_in(&mut case, "/dcos/volume0"), None);
}

#[test]
fn a_disk_that_the_configuration_takes_out_goes_only_while_it_is_bare() {
    let out = |change: fn(&mut Case)| {
        let mut case = agent();
        case.rules.discovery.exclude = vec!["/dcos/volume0".to_owned()];
        registered(
            &mut case,
            &[
                (DiskType::Root, "/var/lib/mesos", 5120),
                (DiskType::Mount, "/dcos/volume0", 10_140),
            ],
        );
        case.held = Known::Known(BTreeSet::new());
        case.agent.needed = Known::Known(Vec::new());
        change(&mut case);
        stand_in(&mut case, "/dcos/volume0")
    };
    let refuses = Some(AgentWill::Refuse(Check::Policy));
    assert_eq!(out(|_| {}), Some((10_140, Emit::LeaveOut, refuses, true)));
    assert_eq!(
        out(|case| case.agent.rebooted = Known::Known(true)),
        Some((10_140, Emit::LeaveOut, Some(AgentWill::TakeNewId), true))
    );
    assert_eq!(
        out(|case| {
            let Known::Known(disks) = std::mem::replace(&mut case.agent.registered, Known::Absent)
            else {
                panic!()
            };
            case.agent.running = disks;
            case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume0", 10_140, None)];
        }),
        Some((10_140, Emit::LeaveOut, Some(AgentWill::DoWithout), false))
    );
    assert_eq!(
        out(|case| holds(case, DiskType::Mount, "/dcos/volume0", 10_140)),
        Some((10_140, Emit::LastGood, None, false))
    );
    assert_eq!(
        out(|case| case.held = Known::unknown("the checkpoint is damaged")),
        Some((10_140, Emit::LastGood, None, false))
    );
    // The agent does not have it: it is not offered any more, and that is all.
    assert_eq!(
        out(|case| {
            registered(case, &[(DiskType::Root, "/var/lib/mesos", 5120)]);
            case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume0", 10_140, None)];
        }),
        None
    );
    assert_eq!(
        out(|case| {
            case.agent.registered = Known::Absent;
            case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume0", 10_140, None)];
        }),
        None
    );
}

#[test]
fn what_is_told_of_a_gone_disk_follows_what_is_wrong_with_it() {
    let mut case = agent();
    registered(&mut case, &[(DiskType::Mount, "/dcos/volume0", 10_140)]);
    case.host
        .answers
        .insert("/dcos/volume0".into(), PathAnswer::Missing);
    let remedy = |case: &mut Case| {
        let row = row(case, "/dcos/volume0");
        row.rejection().unwrap().remedy.clone().unwrap()
    };
    let said = remedy(&mut case);
    assert!(
        said.starts_with("make the directory and mount the disk there: /dcos/volume0. Mount it"),
        "{said}"
    );
    // What the configuration takes out has no other remedy than what is told.
    case.rules.discovery.exclude = vec!["/dcos/volume0".to_owned()];
    case.held = Known::Known(BTreeSet::new());
    let said = remedy(&mut case);
    assert!(said.starts_with("the agent registered with it"), "{said}");
}

#[test]
fn where_roots_disk_is_gone_the_agents_files_count_as_unread() {
    let gone = |change: fn(&mut Case)| {
        let mut case = agent();
        case.ledger.roots = vec![
            placed(
                known(DiskType::Root, "/var/lib/mesos", 5120, None),
                Some("uuid-of-sda3"),
                "/var/lib/mesos",
            ),
            known(DiskType::Mount, "/dcos/volume7", 500, None),
        ];
        case.unmount("/var/lib/mesos");
        change(&mut case);
        let advertised = case.ledger.roots.last().unwrap().disk.root.to_string();
        let (_, emit, will, _) = stand_in(&mut case, &advertised).unwrap();
        (case.code("/var/lib/mesos"), emit, will)
    };
    let refuses = Some(AgentWill::Refuse(Check::Disks));
    let missing = "missing".to_owned();
    // Nothing is seen of the agent, which is not that there is none.
    assert_eq!(gone(|_| {}), (missing.clone(), Emit::LastGood, refuses));
    // What was advertised may be the agent's, so that the configuration does not take it out.
    assert_eq!(
        gone(|case| {
            case.ledger.roots[1].disk.root = "/dcos/volume0".into();
            case.rules.discovery.exclude = vec!["/dcos/volume0".to_owned()];
        }),
        (missing.clone(), Emit::LastGood, None)
    );
    // ROOT was never advertised, or something else is wrong with it: what is seen is so.
    let without = Some(AgentWill::DoWithout);
    assert_eq!(
        gone(|case| {
            case.ledger.roots.remove(0);
            case.host
                .answers
                .insert("/var/lib/mesos".into(), PathAnswer::Missing);
        }),
        (missing, Emit::LeaveOut, without)
    );
    assert_eq!(
        gone(|case| {
            case.host
                .answers
                .insert("/var/lib/mesos".into(), PathAnswer::Unanswering);
        }),
        ("unanswering".to_owned(), Emit::LeaveOut, without)
    );
}

#[test]
fn root_may_lie_on_memory_or_layers_and_nothing_else_may() {
    for (line, rejected) in [
        ("0:40 / /data tmpfs none", true),
        ("0:41 / /data overlay overlay", true),
        ("8:16 / /data ext4 /dev/sdb", false),
    ] {
        let mut case = host(&[line], vec![sdb()]).paths(&["/data"]);
        let code = if rejected {
            "pseudo_filesystem"
        } else {
            "offered 9216"
        };
        assert_eq!(case.code("/data"), code, "{line}");
        let mut case = host(&[line], vec![sdb()]);
        case.rules.work_dir = "/data".into();
        assert_eq!(case.code("/data"), "offered 5120", "{line}");
    }
    let mut case = host(&["0:42 / /data nfs4 server:/x"], vec![sdb()]);
    case.rules.work_dir = "/data".into();
    assert_eq!(case.code("/data"), "network_filesystem, network_filesystem");
}

#[test]
fn what_fstab_wants_is_told_by_the_longest_mount_point() {
    let mut case = agent();
    case.host.fstab = Known::Known(vec!["/mnt".into(), "/mnt/data".into(), "/mnt/d".into()]);
    case.host
        .answers
        .insert("/mnt/data".into(), PathAnswer::Missing);
    let sentence = |case: &mut Case| row(case, "/mnt/data").rejection().unwrap().sentence.clone();
    assert_eq!(
        sentence(&mut case),
        "/etc/fstab wants a mount at /mnt/data, and none is there"
    );
    case.host.fstab = Known::Known(vec!["/elsewhere".into()]);
    assert_eq!(sentence(&mut case), "there is no directory /mnt/data");
}

#[test]
fn what_is_odd_about_the_rules_is_said_and_nothing_else() {
    let mut case = agent();
    assert_eq!(
        case.discover().warnings,
        ["[[disks]] rule 3: no_match: \"/ssd/*\" in paths matches nothing here"]
    );
    let mut case = agent();
    case.rules.disks.truncate(2);
    assert_eq!(case.discover().warnings, Vec::<String>::new());
    let mut case = case
        .paths(&["/var/lib/mesos", "/mnt/data", "/x/[a"])
        .mounts(&[]);
    case.rules.disks[3].labels = vec!["data*".to_owned(), "[".to_owned()];
    case.rules.disks[3].models = vec!["ST*".to_owned(), "WD*".to_owned()];
    case.rules.disks[3].devices = vec!["sdb".to_owned(), "nvme*".to_owned(), "{".to_owned()];
    case.ledger.roots = vec![
        known(DiskType::Mount, "/dcos/volume0", 10_140, None),
        known(DiskType::Path, "/elsewhere", 500, None),
        known(DiskType::Root, "/old/work_dir", 500, None),
        LedgerRoot::new(disk(DiskType::Path, "/never/advertised"), 0),
    ];
    case.host.swaps = Known::unknown("no /proc/swaps");
    case.host.fstab = Known::unknown("no /etc/fstab");
    assert_eq!(
        case.discover().warnings,
        [
            "swap could not be read: no /proc/swaps",
            "/etc/fstab could not be read: no /etc/fstab",
            "[[disks]] rule 3: \"/x/[a\" in paths is not a glob, ignoring it",
            "[[disks]] rule 4: no_match: \"data*\" in labels matches nothing here",
            "[[disks]] rule 4: \"[\" in labels is not a glob, ignoring it",
            "[[disks]] rule 4: no_match: \"WD*\" in models matches nothing here",
            "[[disks]] rule 4: no_match: \"nvme*\" in devices matches nothing here",
            "[[disks]] rule 4: \"{\" in devices is not a glob, ignoring it",
            "[[disks]] rule 3 names agent.work_dir /var/lib/mesos, which is the ROOT disk; \
             ignoring it there",
            "[[disks]] rule 3 names /mnt/data once more; the first rule holds",
            "PATH:/elsewhere was advertised, and no rule names it any more; it is no longer \
             offered",
        ]
    );
}

#[test]
fn what_the_agent_has_beyond_the_rules_is_said() {
    let warnings = |change: fn(&mut Case)| {
        let mut case = host(&["8:16 / /data ext4 /dev/sdb"], vec![sdb()]);
        case.directories.push("/srv/disk");
        registered(
            &mut case,
            &[
                (DiskType::Path, "/srv/disk", 100),
                (DiskType::Path, "/data", 100),
            ],
        );
        change(&mut case);
        case.discover().warnings
    };
    let kept = |path: &str| {
        format!(
            "no [[disks]] rule names the PATH disk {path}, which the agent has; it is kept as it \
             is. To withdraw it, name it in discovery.exclude"
        )
    };
    let system = "PATH:/srv/disk lies on the system's own disk, and is taken so because the agent \
                  has it; if its own disk is only not mounted, mount that before the agent \
                  restarts";
    assert_eq!(
        warnings(|_| {}),
        [kept("/srv/disk"), kept("/data"), system.to_owned()]
    );
    // That it is so was verified, or advertised before.
    assert_eq!(
        warnings(|case| {
            let entry = known(DiskType::Path, "/srv/disk", 100, Some("uuid-of-sda2"));
            case.ledger.roots = vec![entry];
        }),
        [kept("/srv/disk"), kept("/data")]
    );
    assert_eq!(
        warnings(|case| {
            let entry = known(DiskType::Path, "/srv/disk", 100, None);
            case.ledger.roots = vec![placed(entry, Some("uuid-of-sda2"), "/")];
        }),
        [kept("/srv/disk"), kept("/data")]
    );
}

#[test]
fn a_part_of_the_systems_disk_that_is_meant_is_no_oddity() {
    let mut case = host(&[], Vec::new()).share("/srv/disk", GIB);
    case.directories.push("/srv/disk");
    case.rules.disks[0].devices = vec!["sda2".to_owned()];
    assert_eq!(case.code("/srv/disk"), "offered 1024");
    assert_eq!(case.discover().warnings, Vec::<String>::new());
    // The whole of it is not.
    let mut case = host(&[], Vec::new()).share("/", GIB);
    case.rules.disks[0].devices = vec!["sda2".to_owned()];
    assert_eq!(case.code("/"), "os_disk");
}

#[test]
fn codes_have_their_meaning_for_a_disk_that_was_advertised() {
    for code in Code::ALL {
        let wanted = match code.as_str() {
            "no_rule" | "excluded" | "not_advertised" => Meaning::Withdrawn,
            "needs_additive" => Meaning::Refused,
            "missing" | "not_mounted" | "not_a_directory" | "deleted_root" => {
                Meaning::Gone(Gone::Missing)
            }
            "fingerprint_mismatch"
            | "overmounted"
            | "network_filesystem"
            | "fuse_filesystem"
            | "pseudo_filesystem"
            | "unknown_filesystem" => Meaning::Gone(Gone::Replaced),
            _ => Meaning::Unfit,
        };
        assert_eq!(code.meaning(), wanted, "{code}");
    }
}

#[test]
fn a_verdict_is_found_by_its_disk_and_of_several_the_offer() {
    let mut case = host(
        &["0:40 / /data tmpfs none", "8:16 / /data ext4 /dev/sdb"],
        vec![sdb()],
    )
    .mounts(&["/data"]);
    let discovery = case.discover();
    let rows = discovery
        .disks
        .iter()
        .filter(|row| row.path == Some("/data".into()));
    assert_eq!(rows.count(), 2);
    let of = |kind, root| discovery.of(&disk(kind, root));
    let offered = of(DiskType::Mount, "/data").unwrap();
    assert!(offered.offer().is_some());
    // Only the mount that was seen there has what was found there.
    for row in discovery
        .disks
        .iter()
        .filter(|row| row.path == Some("/data".into()))
    {
        let is_seen = row.subject == offered.subject;
        let space = row.filesystem.as_ref().and_then(|seen| seen.space);
        assert_eq!(space.is_some(), is_seen, "{row:?}");
        assert_eq!(row.mount.is_some(), is_seen, "{row:?}");
    }
    assert_eq!(of(DiskType::Path, "/data"), None);
    assert_eq!(of(DiskType::Mount, "/elsewhere"), None);
    // ROOT comes of no rule, and so does what the agent has beyond them.
    let rule = |case: &mut Case, path: &str| row(case, path).offer().unwrap().rule;
    let mut case = agent();
    assert_eq!(rule(&mut case, "/var/lib/mesos"), None);
    assert_eq!(rule(&mut case, "/mnt/data"), Some(2));
    case.rules.disks.truncate(1);
    registered(&mut case, &[(DiskType::Path, "/mnt/data", 100)]);
    assert_eq!(rule(&mut case, "/mnt/data"), None);
}

#[test]
fn a_file_system_that_is_read_only_in_any_way_is_no_disk() {
    let read_only = |mount: bool, answer: bool| {
        let mut case = host(&["8:16 / /data ext4 /dev/sdb"], vec![sdb()]).mounts(&["/data"]);
        case.answer();
        if let Some(PathAnswer::Directory(seen)) = case.host.answers.get_mut(&"/data".into()) {
            seen.read_only = answer;
        }
        if mount {
            let mut entries = case.host.mounts.entries().to_vec();
            entries[1].options = "ro".into();
            case.host.mounts = MountTable::new(entries);
        }
        let row = row(&mut case, "/data");
        assert_eq!(row.mount.as_ref().unwrap().read_only, mount || answer);
        assert!(!row.mount.unwrap().network);
        row.verdict
    };
    assert!(matches!(read_only(false, false), Verdict::Offered(_)));
    for (mount, answer) in [(true, false), (false, true), (true, true)] {
        match read_only(mount, answer) {
            Verdict::Rejected(rejection) => assert_eq!(rejection.code, Code::ReadOnly),
            Verdict::Offered(_) => panic!("{mount} {answer}"),
        }
    }
}

#[test]
fn a_second_device_with_the_same_file_system_is_part_of_it_only_where_it_lies_on_several() {
    let code = |fs_type: &str, number: &str| {
        let first = device("sdb", "8:16", fs_type);
        let mut second = device("sdc", "8:32", fs_type);
        second.content = first.content.clone();
        let line = format!("{number} / /data {fs_type} /dev/sdb");
        let mut case = host(&[&line], vec![first, second]);
        let discovery = case.discover();
        let mut rows = discovery.disks.iter();
        let row = rows.find(|row| row.subject == Subject::Device("sdc".into()));
        row.unwrap().rejection().unwrap().code
    };
    assert_eq!(code("btrfs", "0:50"), Code::Member);
    // Two paths to one drive, or a copy.
    assert_eq!(code("ext4", "8:16"), Code::NotMounted);
}

/// A part of a disk with a role of its own.
fn part(role: &str, megabytes: u64, profile: &str) -> AgentDisk {
    AgentDisk {
        role: Role::new(role),
        extras: SourceExtras {
            profile: Some(profile.into()),
            ..SourceExtras::default()
        },
        ..agent_disk(DiskType::Path, "/mnt/data", megabytes)
    }
}

#[test]
fn parts_with_roles_of_their_own_keep_their_numbers_and_what_the_source_says() {
    let form = |case: &mut Case| {
        let row = row(case, "/mnt/data");
        let form = row.offer().unwrap().form.clone();
        let parts: Vec<(String, u64)> = form
            .parts
            .iter()
            .map(|(role, number)| {
                let number = u64::try_from(number.thousandths()).unwrap() / 1000;
                (role.to_string(), number)
            })
            .collect();
        let profile = form.known.and_then(|known| known.profile);
        (
            form.role.to_string(),
            parts,
            profile.map(|profile| profile.to_string()),
        )
    };
    let mut case = agent();
    case.agent.registered = Known::Known(vec![part("b", 50, "of-b"), part("*", 100, "of-all")]);
    assert_eq!(
        form(&mut case),
        (
            "*".to_owned(),
            vec![("b".to_owned(), 50)],
            Some("of-all".to_owned())
        )
    );
    // What it runs with, and registered with no more, has no number to keep.
    let mut case = agent();
    case.agent.running = vec![part("*", 100, "of-all"), part("b", 50, "of-b")];
    assert_eq!(form(&mut case).1, []);
}

#[test]
fn the_part_of_its_own_role_stands_in_for_a_disk_that_is_gone() {
    let number = |role: &str| {
        let mut case = agent();
        let mut entry = known(DiskType::Mount, "/dcos/volume7", 500, None);
        entry.parts = vec![LedgerPart {
            role: Role::new(role),
            advertised: Megabytes::whole(50),
        }];
        case.ledger.roots = vec![entry];
        stand_in(&mut case, "/dcos/volume7").unwrap().0
    };
    assert_eq!(number("b"), 500);
    assert_eq!(number("*"), 50);
}

#[test]
fn what_was_found_written_for_the_agent_counts_as_its_own_and_what_we_advertised_only_in_doubt() {
    let asked = |entry: LedgerRoot, agent_is_known: bool| {
        let mut case = host(&[], Vec::new());
        registered(&mut case, &[(DiskType::Path, "/mnt/data", 100)]);
        if !agent_is_known {
            case.agent.registered = Known::unknown("slave.info is damaged");
        }
        case.ledger.roots = vec![entry];
        questions_of_agent(&case.ledger, &case.agent).contains(&"/x".into())
    };
    let entry = || known(DiskType::Path, "/x", 100, None);
    let adopted = |entry: LedgerRoot| LedgerRoot {
        adopted: Some(AdoptedFrom::SlaveInfo),
        ..entry
    };
    assert!(!asked(entry(), true));
    assert!(asked(entry(), false));
    assert!(asked(adopted(entry()), true));
    assert!(asked(adopted(entry()), false));
    let unadvertised = LedgerRoot {
        advertised: None,
        ..adopted(entry())
    };
    assert!(!asked(unadvertised.clone(), true));
    assert!(!asked(unadvertised, false));
    // Another kind at the same root is another disk; another spelling is not.
    let rows = |kind, root: &str| {
        let mut case = agent();
        registered(&mut case, &[(DiskType::Path, "/mnt/data", 100)]);
        case.ledger.roots = vec![adopted(known(kind, root, 100, None))];
        let discovery = case.discover();
        let named = discovery.disks.iter().filter_map(|row| row.disk.clone());
        named
            .filter(|disk| disk.root.to_string().contains("/mnt/data"))
            .count()
    };
    assert_eq!(rows(DiskType::Path, "/mnt/data"), 1);
    assert_eq!(rows(DiskType::Path, "/mnt/data/"), 1);
    assert_eq!(rows(DiskType::Mount, "/mnt/data"), 2);
}

/// What `explain` shows of each row: what it lies on, and every rule that let it pass.
fn explained(discovery: &Discovery) -> String {
    let mut text = String::new();
    for row in &discovery.disks {
        let name = row
            .path
            .clone()
            .or_else(|| Some(row.device.as_ref()?.name.clone()));
        writeln!(text, "{}", name.unwrap()).unwrap();
        if let Some(seen) = &row.filesystem {
            let (uuid, label) = (&seen.uuid, &seen.label);
            writeln!(
                text,
                "  {} {uuid:?} {label:?} {:?}",
                seen.fs_type, seen.space
            )
            .unwrap();
        }
        if let Some(mount) = &row.mount {
            writeln!(
                text,
                "  on {} at {}, of it {}{}",
                mount.device,
                mount.mount_point,
                mount.location.path,
                if mount.is_mount_point {
                    ""
                } else {
                    ", below it"
                }
            )
            .unwrap();
        }
        for passed in row.passes.iter() {
            writeln!(text, "  {}: {}", passed.code, passed.evidence).unwrap();
        }
    }
    text
}

#[test]
fn every_rule_that_let_a_disk_pass_is_told_with_its_evidence() {
    let mut case = agent();
    let plain = explained(&case.discover());
    // What is known of disks before, and what is said of them.
    let mut case = agent();
    case.directories.push("/srv/disk");
    registered(
        &mut case,
        &[
            (DiskType::Mount, "/dcos/volume0", 10_140),
            (DiskType::Path, "/srv/disk", 100),
        ],
    );
    case.ledger.roots = vec![
        known(DiskType::Path, "/mnt/data", 2048, Some("uuid-of-dm-0")),
        known(DiskType::Mount, "/dcos/volume3", 10_140, None),
    ];
    case.rules.discovery.filesystems = vec!["xfs".to_owned(), "ext4".to_owned()];
    case.rules.disks[0].devices = vec!["*".to_owned()];
    case.host.settled = Settled::Since(BTreeMap::from([
        (30, Span::seconds(9)),
        (32, Span::seconds(9)),
    ]));
    case.host.swaps = Known::unknown("no /proc/swaps");
    if let Known::Known(devices) = &mut case.host.devices {
        for device in devices.iter_mut() {
            if device.name == "sdc1".into() {
                device.removable = Known::Known(true);
            }
            if device.name == "sdi".into() {
                device.size_bytes = Known::unknown("no size");
            }
        }
    }
    let more = explained(&case.discover());
    golden_text("passes.txt", &format!("{plain}\n{more}"));
}
