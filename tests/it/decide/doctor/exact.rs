//! Where each finding begins and ends: just enough for it, and just too little.

use mesos_volumed::decide::facts::RootMount;
use mesos_volumed::decide::memory::LeftOn;
use mesos_volumed::decide::preflight::{Check, Verdict, preflight};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resource::{ReservationType, Resource, Value};

use super::*;
use crate::decide::builder::filesystem;
use crate::preflight::host::{facts as recorded, recordings};

type Make = fn(&mut Host);

/// Every code that is found, in the order of severity.
fn codes(make: Make) -> Vec<Code> {
    let mut host = Host::new();
    make(&mut host);
    host.find().iter().map(|finding| finding.code).collect()
}

#[track_caller]
fn found(cases: &[(Make, &[Code])]) {
    for (at, (make, wanted)) in cases.iter().enumerate() {
        assert_eq!(codes(*make), *wanted, "case {at}");
    }
}

fn at_mount<'a>(host: &'a mut Host, disk: &DiskRef) -> &'a mut RootMount {
    match &mut host.facts.disk(disk).mount {
        Known::Known(mount) => mount,
        Known::Absent | Known::Unknown(_) => panic!(),
    }
}

/// What keeps the volume of PATH from being deleted.
fn stuck(host: &mut Host, volume: &str) {
    let of = key(volume);
    let disk = if volume == "r/log" { root() } else { path() };
    let at: Raw = disk.root.join(paths::volume_directory(&of));
    let look = VolumeLook {
        obstacles: vec![Obstacle {
            at: at.join("file"),
            kind: ObstacleKind::Immutable,
        }],
        ..whole_volume()
    };
    match &mut host.doctor.volumes {
        Known::Known(looks) => looks.insert(at, look),
        Known::Absent | Known::Unknown(_) => panic!(),
    };
}

fn operate(host: &mut Host, kind: OperationKind, state: OperationState) {
    let volume = a_volume(&path(), &key("r/db"));
    host.facts.operate(kind, state, 4, volume);
}

#[test]
fn only_what_the_agent_is_to_delete_is_undeletable() {
    let named = |make: Make| {
        let mut host = Host::new();
        for volume in ["r/db", "r/log"] {
            stuck(&mut host, volume);
        }
        make(&mut host);
        let found = host.find();
        let stuck = found
            .iter()
            .filter(|one| one.code == Code::UndeletableVolume);
        stuck.map(|one| one.subject.clone()).collect::<Vec<_>>()
    };
    assert_eq!(named(|_| {}), [""; 0]);
    assert_eq!(
        named(|host| operate(host, OperationKind::Destroy, OperationState::Pending)),
        ["r/db"]
    );
    assert_eq!(
        named(|host| operate(host, OperationKind::Destroy, OperationState::Finished)),
        [""; 0]
    );
    assert_eq!(
        named(|host| operate(host, OperationKind::Create, OperationState::Pending)),
        [""; 0]
    );
    // What an uncommitted file does not name any more.
    assert_eq!(
        named(|host| {
            let mut state = host.facts.state().clone();
            state
                .resources
                .retain(|one| one.volume_key() != Some(key("r/db")));
            host.facts.checkpoint.state_target = CheckpointFile::Whole(state);
        }),
        ["r/db"]
    );
}

#[test]
fn a_start_that_fails_for_the_undeletable_volume_alone_is_told_once() {
    let replay = || {
        let meta = "extra/target_fail_PATH_meta_first_exit/meta";
        let mut input = start(
            recorded(&recordings().join(meta)),
            ReconfigurationPolicy::Equal,
            BASE,
        );
        input.facts.checkpoint.info_target = CheckpointFile::Missing;
        let check = match preflight(&input).verdict {
            Verdict::Refuses { check, .. } => check,
            other => panic!("{other:?}"),
        };
        assert_eq!(check, Check::Replay);
        input
    };
    let told = |host: &Host| {
        let found = host.find();
        [Code::UndeletableVolume, Code::AgentRefuses]
            .map(|code| found.iter().any(|one| one.code == code))
    };
    let mut host = Host::new();
    host.start = Ok(replay());
    assert_eq!(told(&host), [false, true]);
    obstacle(&mut host, ObstacleKind::Immutable);
    assert_eq!(told(&host), [true, false]);
    // Another reason is told beside it.
    let text = BASE.replace(r#"{"value":240}"#, r#"{"value":250}"#);
    let additive = ReconfigurationPolicy::Additive;
    host.start = Ok(start(with_volumes(), additive, &text));
    assert_eq!(told(&host), [true, true]);
}

#[test]
fn what_is_a_finding_of_its_own_is_no_doubt_besides() {
    let doubts = |make: Make| {
        let found = codes(make);
        found.contains(&Code::AuthorityDoubtful)
    };
    assert!(!doubts(|host| {
        host.facts.checkpoint.info = CheckpointFile::Damaged(Why("torn".to_owned()));
    }));
    assert!(!doubts(|host| host.facts.agent.processes = unknown()));
    assert!(!doubts(|host| host.facts.memory = unknown()));
    assert!(doubts(|host| host.facts.providers = unknown()));
    assert!(doubts(|host| host.facts.tasks = unknown()));
    // Where no process could be looked at, what an agent sees is not asked at all.
    let mut host = Host::new();
    host.facts.agent.processes = unknown();
    host.facts.disk(&path()).view = AgentView::Unknown("it hangs".into());
    let found = host.find();
    let seen = found
        .iter()
        .filter(|one| one.subject.starts_with("what the agent sees"));
    assert_eq!(seen.count(), 0);
}

#[test]
fn a_target_is_stale_after_a_minute_where_no_other_file_goes_with_it() {
    let stale = |make: Make| {
        let mut host = Host::new();
        host.facts.checkpoint.info_target = host.facts.checkpoint.info.clone();
        host.doctor.info_target_written = Known::Known(host.facts.host.now.wall_seconds - 61);
        make(&mut host);
        let found = host.find();
        let of_age = found.iter().any(|one| one.code == Code::StaleTarget);
        let unknown = found
            .iter()
            .any(|one| one.subject == "how old resources.target is");
        (of_age, unknown)
    };
    assert_eq!(stale(|_| {}), (true, false));
    assert_eq!(
        stale(|host| {
            host.doctor.info_target_written = Known::Known(host.facts.host.now.wall_seconds - 60);
        }),
        (false, false)
    );
    let none: [Make; 3] = [
        |host| host.facts.checkpoint.info_target = CheckpointFile::Missing,
        |host| host.facts.checkpoint.state_target = host.facts.checkpoint.state.clone(),
        |host| host.facts.checkpoint.state = CheckpointFile::Missing,
    ];
    for make in none {
        assert_eq!(stale(make), (false, false));
        let mut host = Host::new();
        host.facts.checkpoint.info_target = host.facts.checkpoint.info.clone();
        host.doctor.info_target_written = unknown();
        make(&mut host);
        let found = host.find();
        let asked = |one: &Finding| one.subject == "how old resources.target is";
        assert!(!found.iter().any(asked), "{found:?}");
    }
}

#[test]
fn a_tenant_may_see_what_was_left_on_that_file_system_and_is_not_gone() {
    let left_by = |left: &str, disk: &DiskRef, of: Option<&DiskRef>, content: MountContent| {
        let mut host = Host::new();
        host.facts.create(&mount(), &key("x/tenant"));
        host.facts.disk(&mount()).content = Known::Known(content);
        let mut plan = plan(&host.facts);
        plan.memory.left_on = vec![LeftOn {
            key: key(left),
            disk: disk.clone(),
            filesystem: of.map(filesystem),
            since: Span::ZERO,
        }];
        let found = examine(Patient {
            facts: &host.facts,
            plan: &plan,
            host: &host.doctor,
            start: host.start.as_ref().map_err(String::as_str),
        });
        found.iter().any(|one| one.code == Code::DataExposed)
    };
    let exposed = |disk: &DiskRef, of: &DiskRef, content| left_by("x/m", disk, Some(of), content);
    let here = mount();
    assert!(exposed(&here, &here, MountContent::Data));
    assert!(!left_by("x/tenant", &here, Some(&here), MountContent::Data));
    assert!(left_by("x/m", &here, None, MountContent::Data));
    assert!(!exposed(&here, &here, MountContent::Empty));
    assert!(!exposed(&here, &path(), MountContent::Data));
    assert!(!exposed(&path(), &here, MountContent::Data));
}

#[test]
fn disks_are_judged_at_the_very_edge() {
    found(&[
        // The work_dir may well lie on the system's own file system.
        (
            |host| {
                let mount = at_mount(host, &root());
                mount.is_mount_point = false;
                mount.mount_point = "/".into();
            },
            &[],
        ),
        // All of a file system is offered, and no more.
        (
            |host| {
                at_mount(host, &path()).total_bytes = 512 << 20;
                host.facts.disk(&path()).filesystem.advertised = Some(Megabytes::whole(512));
            },
            &[],
        ),
        (
            |host| {
                at_mount(host, &path()).total_bytes = 512 << 20;
                host.facts.disk(&path()).filesystem.advertised =
                    Some(Megabytes::from_thousandths(512_001));
            },
            &[Code::OverCommitted, Code::RootUnusable],
        ),
        (|host| at_mount(host, &path()).free_bytes = 1 << 20, &[]),
        (
            |host| at_mount(host, &path()).free_bytes = (1 << 20) - 1,
            &[Code::FilesystemFull],
        ),
    ]);
}

/// The unit that writes the resources.
fn ours() -> UnitOrder {
    UnitOrder {
        name: "mesos-volumed-resources.service".to_owned(),
        ..a_unit()
    }
}

#[test]
fn units_are_in_order_where_either_says_so() {
    found(&[
        (
            |host| host.doctor.units = Known::Known(vec![a_unit(), ours()]),
            &[Code::ResourcesAfterAgent],
        ),
        (
            |host| {
                let ours = UnitOrder {
                    before: vec![a_unit().name],
                    ..ours()
                };
                host.doctor.units = Known::Known(vec![a_unit(), ours]);
            },
            &[],
        ),
        (
            |host| {
                let agent = UnitOrder {
                    after: vec![ours().name],
                    ..a_unit()
                };
                host.doctor.units = Known::Known(vec![agent, ours()]);
            },
            &[],
        ),
        // The agent's unit has no defaults, and waits for the disks all the same.
        (
            |host| {
                host.doctor.units = Known::Known(vec![UnitOrder {
                    defaults: false,
                    after: vec!["local-fs.target".to_owned()],
                    ..a_unit()
                }]);
            },
            &[],
        ),
        // There is no MOUNT disk, or whatever starts the agent waits.
        (
            |host| {
                host.facts.gate.unit = Known::Absent;
                host.facts.policy.start_gate = true;
            },
            &[],
        ),
        (
            |host| {
                host.facts.gate.unit = Known::Absent;
                let disks = &mut host.facts.roots;
                disks.retain(|root| root.kind() != DiskType::Mount);
            },
            &[],
        ),
    ]);
}

#[test]
fn a_socket_that_only_its_owner_may_use_is_nobody_elses_and_clocks_may_differ_a_little() {
    found(&[
        (
            |host| {
                host.doctor.socket = Known::Known(SocketAccess {
                    group: 12,
                    mode: 0o600,
                    ..a_socket()
                });
            },
            &[],
        ),
        (
            |host| {
                host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds + 60);
            },
            &[],
        ),
        (
            |host| {
                host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds + 61);
            },
            &[Code::ClockWrong],
        ),
    ]);
    let wrong = |now: i64| {
        let mut host = Host::new();
        host.facts.host.now.wall_seconds = now;
        let found = host.find();
        found
            .iter()
            .any(|one| one.code == Code::ClockWrong && one.subject == "clock")
    };
    // The first of January 2020.
    assert!(!wrong(1_577_836_800));
    assert!(wrong(1_577_836_799));
}

/// Volumes of 512 MB each are kept for a day after their destroy, in a trash of so much.
fn budget(host: &mut Host, max_bytes: u64) {
    host.facts.policy.retention = Span::seconds(DAY);
    host.facts.policy.trash.max_bytes = Some(Bytes(max_bytes));
}

#[test]
fn a_trash_is_over_its_budget_from_the_first_byte_on() {
    found(&[
        (|host| trashed(host, 1 << 30, 1 << 30), &[]),
        (
            |host| trashed(host, (1 << 30) + 1, 1 << 30),
            &[Code::TrashBudget],
        ),
        (|host| budget(host, 512 << 20), &[]),
        // On both carved disks.
        (
            |host| budget(host, (512 << 20) - 1),
            &[Code::TrashBudget, Code::TrashBudget],
        ),
    ]);
    let told = |make: Make| {
        let mut host = Host::new();
        make(&mut host);
        let found = host.find();
        let budget = found.iter().filter(|one| one.code == Code::TrashBudget);
        budget
            .map(|one| one.evidence.split(',').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // The largest of each, by name; the first of two alike.
    assert_eq!(
        told(|host| {
            for (name, megabytes) in [("r/a", 1), ("r/m", 3), ("r/n", 3), ("r/z", 2)] {
                host.facts.create(&path(), &key(name));
                for resource in &mut host.facts.state().resources {
                    if resource.volume_key() == Some(key(name)) {
                        let size = Megabytes::whole(megabytes * 1024);
                        resource.value = Value::Scalar(size);
                    }
                }
            }
            budget(host, 600 << 20);
        }),
        ["r/m has 3 GiB"]
    );
    // A plain MOUNT has no trash.
    assert_eq!(
        told(|host| {
            host.facts.create(&mount(), &key("r/mount"));
            budget(host, 512 << 20);
            for resource in &mut host.facts.state().resources {
                if resource.volume_key() == Some(key("r/mount")) {
                    let size = Megabytes::whole(1 << 20);
                    resource.value = Value::Scalar(size);
                }
            }
        }),
        [""; 0]
    );
}

/// So many directories that nobody names.
fn exposed(host: &mut Host, count: u32) {
    for n in 0..count {
        host.facts.mkdir(&path(), &key(&format!("x/{n}")));
    }
}

#[test]
fn what_lies_aside_and_how_many_are_exposed_is_told() {
    let told = |code: Code, make: Make| {
        let mut host = Host::new();
        make(&mut host);
        let found = host.find();
        let those = found.iter().filter(|one| one.code == code);
        those.map(|one| one.evidence.clone()).collect::<Vec<_>>()
    };
    let aside = told(Code::VolumeVanished, |host| {
        host.facts.rmdir(&path(), &key("r/db"));
        let entry = host.facts.trash(&path(), &key("r/db"), TrashState::Moved);
        if let Known::Known(manifest) = &mut entry.manifest {
            manifest.unconfirmed = true;
        }
    });
    assert!(
        aside[0].contains("r/db lies in the trash: unconfirmed"),
        "{aside:?}"
    );
    let five = told(Code::OrphanExposed, |host| exposed(host, 5));
    assert!(
        five[0].starts_with("5 that nobody names: x/0, x/1, x/2, x/3, x/4;"),
        "{five:?}"
    );
    let six = told(Code::OrphanExposed, |host| exposed(host, 6));
    assert!(
        six[0].starts_with("6 that nobody names: x/0, x/1, x/2, x/3, x/4, …;"),
        "{six:?}"
    );
}

/// Ten minutes ago the agent wrote its state, with these besides.
fn resources(host: &mut Host, more: Vec<Resource>) {
    host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds - 600);
    let resources = &mut host.facts.state().resources;
    // Marathon's own, which is idle.
    resources.retain(|one| one.volume_key().is_some());
    resources.extend(more);
}

/// A reservation that is idle but for this.
fn changed(change: fn(&mut Resource)) -> Vec<Resource> {
    let mut resource = a_reservation("idle");
    change(&mut resource);
    vec![resource]
}

#[test]
fn a_reservation_is_idle_where_it_is_dynamic_of_disk_anothers_and_no_volume_is_made_of_it() {
    let idle = [Code::ReservationIdle];
    found(&[
        (|host| resources(host, Vec::new()), &[]),
        (|host| resources(host, changed(|_| {})), &idle),
        (
            |host| resources(host, changed(|one| one.name = "mem".into())),
            &[],
        ),
        (
            |host| resources(host, changed(|one| one.reservations.clear())),
            &[],
        ),
        (
            |host| {
                let of = |one: &mut Resource| {
                    one.reservations.last_mut().unwrap().kind = ReservationType::Static;
                };
                resources(host, changed(of));
            },
            &[],
        ),
        // Ours, while a disk is emptied.
        (
            |host| {
                let of = |one: &mut Resource| {
                    one.reservations.last_mut().unwrap().role = Role::new("mesos-volumed");
                };
                resources(host, changed(of));
            },
            &[],
        ),
        // A volume is made of it right now.
        (
            |host| {
                resources(host, changed(|_| {}));
                let (kind, state) = (OperationKind::Create, OperationState::Pending);
                let volume = a_volume(&root(), &key("idle/new"));
                host.facts.operate(kind, state, 4, volume);
            },
            &[],
        ),
    ]);
    // Neither a volume that was made nor one that goes.
    for (kind, state) in [
        (OperationKind::Create, OperationState::Finished),
        (OperationKind::Destroy, OperationState::Pending),
    ] {
        let mut host = Host::new();
        resources(&mut host, changed(|_| {}));
        let volume = a_volume(&root(), &key("idle/new"));
        host.facts.operate(kind, state, 4, volume);
        let found = host.find();
        assert!(found.iter().any(|one| one.code == idle[0]), "{found:?}");
    }
}

#[test]
fn what_is_to_be_done_is_of_that_very_thing() {
    let remedy = |code: Code, make: Make| {
        let mut host = Host::new();
        make(&mut host);
        let found = host.find();
        let of_code = found.iter().find(|one| one.code == code).unwrap();
        of_code.remedy.clone()
    };
    assert_eq!(
        remedy(Code::UnsafePermissions, |host| {
            host.doctor.files = vec![a_file(0o755)];
        }),
        "`chmod 0700 /var/lib/mesos-volumed`"
    );
    let vanished = remedy(Code::VolumeVanished, |host| {
        host.facts.rmdir(&path(), &key("r/db"));
    });
    assert!(
        vanished.contains("`mesos-volumed volumes recreate r/db --confirm db`"),
        "{vanished}"
    );
}

#[test]
fn a_volume_is_larger_from_the_first_byte_beyond_its_size_on() {
    found(&[
        (
            |host| host.doctor.usage = Some(vec![a_use(Ok(Bytes(10 << 20)))]),
            &[],
        ),
        (
            |host| host.doctor.usage = Some(vec![a_use(Ok(Bytes((10 << 20) + 1)))]),
            &[Code::VolumeLarger],
        ),
    ]);
}

#[test]
fn project_ids_in_the_trash_are_to_go_once_they_are_cleared_and_only_the_agents() {
    let found = |state: TrashState, id: u32| {
        let mut host = Host::new();
        isolates(&mut host);
        let manifest = cleared(&mut host.facts);
        manifest.state = state;
        let entry = manifest.id.clone();
        host.doctor.projects = vec![ProjectUse {
            trash: Some(entry),
            ..a_project(&path(), "old", id)
        }];
        let found = host.find();
        found.iter().any(|one| one.code == Code::ProjectIds)
    };
    assert!(found(TrashState::Cleared, 5001));
    assert!(found(TrashState::Wiping, 5001));
    assert!(!found(TrashState::Moved, 5001));
    assert!(!found(TrashState::Cleared, 4999));
}
