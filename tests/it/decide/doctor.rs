//! Doctor finds each thing in a host that has it, nothing on a healthy one, and says what it could
//! not look at.

mod exact;

use std::collections::{BTreeMap, BTreeSet};

use mesos_volumed::decide::doctor::{Code, Finding, Patient, Severity, examine};
use mesos_volumed::decide::facts::{
    AgentView, BootMount, CheckpointFile, ContainerRun, DeviceNumber, DoctorFacts, Facts,
    FileAccess, FileKind, Fix, FsLocation, Holder, HolderKind, Known, MountContent, MountView,
    Mounting, Obstacle, ObstacleKind, OperationKind, OperationState, ProjectUse,
    ReconfigurationPolicy, RunEnd, SlaveInfo, SocketAccess, UnitOrder, VolumeLook, VolumeUse, Why,
};
use mesos_volumed::decide::manifest::{Manifest, TrashSize, TrashState};
use mesos_volumed::decide::plan::plan;
use mesos_volumed::decide::preflight::PreflightInput;
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::mesos::ids::{PersistenceId, VolumeKey};
use mesos_volumed::mesos::operator::DiskUse;
use mesos_volumed::mesos::paths;
use mesos_volumed::units::{Bytes, Megabytes, Raw, Span};

use super::builder::{
    DAY, WORK_DIR, World, a_reservation, a_root, a_volume, an_agent, healthy, key, mount, path,
    root, unknown,
};
use crate::preflight::host::{BASE, start, whole_volume, with_volumes};

/// A host with everything that doctor looks at.
struct Host {
    facts: Facts,
    doctor: DoctorFacts,
    start: Result<PreflightInput, String>,
}

impl Host {
    /// On which nothing is wrong, with one volume on each carved disk.
    fn new() -> Self {
        let mut facts = healthy();
        facts.create(&path(), &key("r/db"));
        facts.create(&root(), &key("r/log"));
        facts.gate.unit = Known::Known("/etc/systemd/system/mesos-slave.service.d/g.conf".into());
        facts.pass();
        let now = facts.host.now.wall_seconds;
        let points = [WORK_DIR, "/mnt/data", "/dcos/volume0"];
        let doctor = DoctorFacts {
            openat2: Known::Known(()),
            fence: Known::Known(()),
            volumes: Known::Known(BTreeMap::new()),
            boot_mounts: Known::Known(
                points
                    .map(|point| BootMount {
                        mount_point: point.into(),
                        options: vec!["defaults".to_owned()],
                        from: "/etc/fstab".into(),
                    })
                    .into(),
            ),
            units: Known::Known(vec![a_unit()]),
            errors: points.map(|point| (point.into(), Known::Known(0))).into(),
            files: vec![a_file(0o700)],
            state_written: Known::Known(now),
            info_target_written: Known::Absent,
            frameworks: Known::Known(BTreeSet::from(["f-0001".into()])),
            usage: Some(Vec::new()),
            measured: Known::Absent,
            ledger: Known::Known(()),
            projects: Vec::new(),
            socket: Known::Known(a_socket()),
            notes: Vec::new(),
        };
        Self {
            facts,
            doctor,
            start: Ok(start(with_volumes(), ReconfigurationPolicy::Equal, BASE)),
        }
    }

    fn find(&self) -> Vec<Finding> {
        let plan = plan(&self.facts);
        examine(Patient {
            facts: &self.facts,
            plan: &plan,
            host: &self.doctor,
            start: self.start.as_ref().map_err(String::as_str),
        })
    }

    fn place(&self, volume: &VolumeKey) -> FsLocation {
        let root = self
            .facts
            .roots
            .iter()
            .find(|one| one.disk == path())
            .unwrap();
        let location = root.mount.known().unwrap().location.clone();
        FsLocation {
            path: location.path.join(paths::volume_directory(volume)),
            ..location
        }
    }

    fn mounted(&mut self, at: &str, inside: bool) {
        let location = self.place(&key("r/db"));
        let location = FsLocation {
            path: if inside {
                location.path.join("inside")
            } else {
                location.path.clone()
            },
            ..location
        };
        let mounting = Mounting {
            lies_on: Some(FsLocation {
                path: at.into(),
                ..location.clone()
            }),
            location,
            inside,
            views: vec![MountView {
                namespace: "mnt:[1]".into(),
                host: true,
                mount_point: at.into(),
                pids: vec![1],
                processes: 1,
                command: "init".into(),
                sandboxes: Vec::new(),
                cgroup: None,
            }],
            namespaces: 1,
        };
        match &mut self.facts.mountings {
            Known::Known(mountings) => mountings.push(mounting),
            Known::Absent | Known::Unknown(_) => panic!(),
        }
    }
}

fn a_unit() -> UnitOrder {
    UnitOrder {
        name: "mesos-slave.service".to_owned(),
        file: "/etc/systemd/system/mesos-slave.service".into(),
        defaults: true,
        ..UnitOrder::default()
    }
}

fn a_socket() -> SocketAccess {
    SocketAccess {
        path: "/run/mesos-volumed/api.sock".into(),
        owner: 0,
        group: 77,
        mode: 0o660,
        wanted: Some(("mesos".to_owned(), Some(77))),
    }
}

/// A directory on the disk with this project id.
fn a_project(disk: &DiskRef, name: &str, id: u32) -> ProjectUse {
    ProjectUse {
        path: disk.root.join("volumes/roles/r").join(name),
        disk: disk.clone(),
        trash: None,
        project: Ok(Some((DeviceNumber { major: 8, minor: 1 }, id))),
    }
}

/// The agent counts by project ids, those of its default range.
fn isolates(host: &mut Host) {
    let start = host.start.as_mut().unwrap();
    start.flags.isolation = Known::Known("cgroups/cpu,disk/xfs".to_owned());
    start.flags.project_range = Known::Absent;
}

/// An entry in the trash of PATH.
fn cleared(facts: &mut Facts) -> &mut Manifest {
    match &mut facts
        .trash(&path(), &key("r/old"), TrashState::Cleared)
        .manifest
    {
        Known::Known(manifest) => manifest,
        Known::Absent | Known::Unknown(_) => panic!(),
    }
}

/// The trash of PATH has an entry of this size.
fn trashed(host: &mut Host, bytes: u64, max_bytes: u64) {
    host.facts.policy.trash.max_bytes = Some(Bytes(max_bytes));
    let entry = cleared(&mut host.facts);
    entry.size = Some(TrashSize {
        bytes,
        entries: 1,
        skipped: 0,
    });
}

fn a_file(mode: u32) -> FileAccess {
    FileAccess {
        path: "/var/lib/mesos-volumed".into(),
        what: "state directory",
        access: Known::Known((0, mode)),
        forbidden: 0o077,
    }
}

fn sandbox(container: &str) -> String {
    format!("/slaves/S0/frameworks/F/executors/db.1/runs/{container}/data")
}

fn labelled(volume: &str, framework: &str) -> mesos_volumed::mesos::resource::Resource {
    let mut resource = a_volume(&path(), &key(volume));
    let reservation = resource.reservations.last_mut().unwrap();
    reservation.labels = vec![("marathon_framework_id".into(), Some(framework.into()))];
    resource
}

/// What makes a host have one thing wrong.
type Case = (Code, &'static str, fn(&mut Host));

/// Each with a part of what is said of it.
const CASES: &[Case] = &[
    (Code::TwoAgents, "812 and 900", |host| {
        host.facts.agent.processes = Known::Known(vec![an_agent(812), an_agent(900)]);
    }),
    (Code::TwoAgents, "sees something else", |host| {
        host.facts.disk(&path()).view = AgentView::Other("the agent sees something else".into());
    }),
    (Code::RootTwice, "the same directory as", |host| {
        let location = host
            .facts
            .disk(&path())
            .mount
            .known()
            .unwrap()
            .location
            .clone();
        let mut other = a_root(&mesos_volumed::mesos::disk::DiskRef {
            root: "/mnt/other".into(),
            ..path()
        });
        if let Known::Known(mount) = &mut other.mount {
            mount.location = location;
        }
        host.facts.roots.push(other);
    }),
    (Code::RootTwice, "keeps its volumes", |host| {
        let mut location = host
            .facts
            .disk(&path())
            .mount
            .known()
            .unwrap()
            .location
            .clone();
        location.path = location.path.join("volumes/roles/r/db");
        if let Known::Known(mount) = &mut host.facts.disk(&mount()).mount {
            mount.location = location;
        }
    }),
    (Code::CheckpointEmpty, "0 bytes", |host| {
        host.facts.checkpoint.state = CheckpointFile::Empty;
    }),
    (Code::CheckpointEmpty, "names resources", |host| {
        host.facts.checkpoint.info = CheckpointFile::Empty;
    }),
    (Code::CheckpointDamaged, "torn", |host| {
        host.facts.checkpoint.info = CheckpointFile::Damaged(Why("torn".to_owned()));
    }),
    (
        Code::UndeletableVolume,
        "is immutable (Operation not permitted)",
        |host| {
            obstacle(host, ObstacleKind::Immutable);
        },
    ),
    (Code::UndeletableVolume, "is an active swap file", |host| {
        obstacle(host, ObstacleKind::Swap);
    }),
    (
        Code::UndeletableVolume,
        "is a mount point (Device or resource busy)",
        |host| {
            obstacle(host, ObstacleKind::Mount);
        },
    ),
    (Code::AgentRefuses, "at ", |host| {
        let text = BASE.replace(r#"{"value":240}"#, r#"{"value":250}"#);
        host.start = Ok(start(
            with_volumes(),
            ReconfigurationPolicy::Additive,
            &text,
        ));
    }),
    (Code::AgentNewId, "", |host| {
        let text = BASE.replace(r#"{"value":4096}"#, r#"{"value":4097}"#);
        let mut input = start(with_volumes(), ReconfigurationPolicy::Equal, &text);
        input.rebooted = Known::Known(true);
        host.start = Ok(input);
    }),
    (Code::StartWarning, "", |host| {
        let more = r#",{"name":"disk","type":"SCALAR","scalar":{"value":1},
            "disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt/path1"}}}}]"#;
        let text = BASE.trim_end_matches(']').to_owned() + more;
        host.start = Ok(start(
            with_volumes(),
            ReconfigurationPolicy::Additive,
            &text,
        ));
    }),
    (Code::MountedTwice, "more than once", |host| {
        host.mounted(&sandbox("c1"), false);
        host.mounted(&sandbox("c2"), false);
    }),
    (Code::DeadContainer, "which has ended", |host| {
        host.mounted(&sandbox("c1"), false);
        host.facts.containers = Known::Known(vec![ContainerRun {
            id: "c1".into(),
            framework: "F".into(),
            executor: "db.1".into(),
            ended: Known::Known(RunEnd::Sentinel),
        }]);
    }),
    (Code::InUseDestroyed, "open", |host| {
        host.facts.forget(&key("r/db"));
        let location = host.place(&key("r/db"));
        host.facts.holders = Known::Known(vec![Holder {
            kind: HolderKind::OpenFile,
            location,
            mount_point: None,
            pid: 77,
            command: "db".into(),
        }]);
    }),
    (Code::MountedInside, "inside", |host| {
        host.mounted("/mnt/inside", true);
    }),
    (Code::WorkDirVolatile, "tmpfs", |host| {
        if let Known::Known(mount) = &mut host.facts.disk(&root()).mount {
            mount.fs_type = "tmpfs".to_owned();
        }
    }),
    (Code::OrphanExposed, "1 that nobody names: x/left", |host| {
        host.facts.mkdir(&path(), &key("x/left"));
    }),
    (Code::DataExposed, "x/m was on it before x/tenant", |host| {
        host.facts.create(&mount(), &key("x/m"));
        host.facts.pass();
        host.facts.forget(&key("x/m"));
        host.facts.create(&mount(), &key("x/tenant"));
        host.facts.disk(&mount()).content = Known::Known(MountContent::Data);
    }),
    (Code::VolumeVanished, "is not there", |host| {
        host.facts.rmdir(&path(), &key("r/db"));
    }),
    (
        Code::PathOnParent,
        "the file system of the work_dir",
        |host| {
            let device = host.facts.disk(&root()).mount.known().unwrap().device;
            if let Known::Known(mount) = &mut host.facts.disk(&path()).mount {
                mount.is_mount_point = false;
                mount.device = device;
                mount.mount_point = WORK_DIR.into();
            }
        },
    ),
    (Code::PathOnParent, "the system's own file system", |host| {
        if let Known::Known(mount) = &mut host.facts.disk(&path()).mount {
            mount.is_mount_point = false;
            mount.mount_point = "/".into();
        }
    }),
    (
        Code::OverCommitted,
        "are offered of a file system of",
        |host| {
            if let Known::Known(mount) = &mut host.facts.disk(&path()).mount {
                mount.total_bytes = 100 << 20;
            }
            let mut offer = a_reservation("x");
            offer.source = a_volume(&path(), &key("r/db")).source;
            host.facts.agent.slave_info = Known::Known(SlaveInfo {
                hostname: "node-1".into(),
                port: 5051,
                resources: vec![offer],
            });
        },
    ),
    (
        Code::OverCommitted,
        "are offered of a file system of",
        |host| {
            host.facts.disk(&path()).filesystem.advertised = Some(Megabytes::whole(1 << 30));
        },
    ),
    (Code::RootUnusable, "not_mounted", |host| {
        host.facts.disk(&path()).mount = Known::Absent;
    }),
    (Code::FilesystemErrors, "3 errors", |host| {
        host.doctor
            .errors
            .insert("/mnt/data".into(), Known::Known(3));
    }),
    (Code::FilesystemFull, "are free", |host| {
        if let Known::Known(mount) = &mut host.facts.disk(&path()).mount {
            mount.free_bytes = 4096;
        }
    }),
    (
        Code::GenerationsDisagree,
        "only meta/resources/resources.info names it",
        |host| {
            if let CheckpointFile::Whole(resources) = &mut host.facts.checkpoint.info {
                resources.push(a_volume(&path(), &key("r/older")));
            }
        },
    ),
    (Code::AuthorityDoubtful, "agent_recovering", |host| {
        host.facts.answer = mesos_volumed::decide::facts::AgentAnswer::Recovering;
    }),
    (Code::HoldersUnknown, "namespace", |host| {
        host.facts.holders = Known::unknown("not in the initial pid namespace");
        host.facts.mountings = Known::unknown("not in the initial pid namespace");
    }),
    (Code::OwnFilesDamaged, "ledger", |host| {
        host.doctor.ledger = Known::unknown("ledger.json is torn");
    }),
    (Code::OwnFilesDamaged, "memory", |host| {
        host.facts.memory = Known::unknown("memory.json is torn");
    }),
    (Code::UnsafePermissions, "0755", |host| {
        host.doctor.files = vec![a_file(0o755)];
    }),
    (Code::UnsafePermissions, "user 1000", |host| {
        host.doctor.files = vec![FileAccess {
            access: Known::Known((1000, 0o700)),
            ..a_file(0)
        }];
    }),
    (Code::UnsafePermissions, "permissions 0666", |host| {
        host.doctor.socket = Known::Known(SocketAccess {
            mode: 0o666,
            ..a_socket()
        });
    }),
    (Code::UnsafePermissions, "group 12", |host| {
        host.doctor.socket = Known::Known(SocketAccess {
            group: 12,
            ..a_socket()
        });
    }),
    (Code::UnsafePermissions, "user 1000, not to root", |host| {
        host.doctor.socket = Known::Known(SocketAccess {
            owner: 1000,
            ..a_socket()
        });
    }),
    (Code::ConfigNote, "there is no group mesos", |host| {
        host.doctor.socket = Known::Known(SocketAccess {
            group: 0,
            wanted: Some(("mesos".to_owned(), None)),
            ..a_socket()
        });
    }),
    (Code::ConfigNote, "could not give it that group", |host| {
        host.doctor.socket = Known::Known(SocketAccess {
            group: 0,
            ..a_socket()
        });
    }),
    (
        Code::ProjectIds,
        "/volumes/roles/r/b has its project id 5001 too",
        |host| {
            isolates(host);
            host.doctor.projects = ["a", "b"].map(|name| a_project(&root(), name, 5001)).into();
        },
    ),
    (
        Code::ProjectIds,
        "which is not of the agent's --xfs_project_range",
        |host| {
            isolates(host);
            host.start.as_mut().unwrap().flags.project_range = Known::Known("[7-9]".to_owned());
            host.doctor.projects = vec![a_project(&path(), "db", 5001)];
        },
    ),
    (Code::ProjectIds, "may give to another container", |host| {
        isolates(host);
        let id = cleared(&mut host.facts).id.clone();
        host.doctor.projects = vec![ProjectUse {
            trash: Some(id),
            ..a_project(&path(), "old", 5001)
        }];
    }),
    (Code::TrashBudget, "its trash takes up", |host| {
        trashed(host, 3 << 30, 2 << 30);
    }),
    (
        Code::TrashBudget,
        "would not stay for its retention",
        |host| {
            host.facts.policy.retention = Span::seconds(DAY);
            host.facts.policy.trash.max_bytes = Some(Bytes(1));
        },
    ),
    (Code::GateClosed, "/dcos/volume0", |host| {
        host.facts.gate.closed_for = Known::Known(vec!["/dcos/volume0".into()]);
    }),
    (Code::NoOpenat2, "openat2", |host| {
        host.doctor.openat2 = Known::Absent;
    }),
    (Code::AgentBeforeMounts, "nofail", |host| {
        boot(host, "/mnt/data").options = vec!["nofail".to_owned()];
    }),
    (Code::AgentBeforeMounts, "DefaultDependencies=no", |host| {
        host.doctor.units = Known::Known(vec![UnitOrder {
            defaults: false,
            ..a_unit()
        }]);
    }),
    (Code::ResourcesAfterAgent, "Before=", |host| {
        let ours = UnitOrder {
            name: "mesos-volumed-resources.service".to_owned(),
            before: vec!["mesos-agent.service".to_owned()],
            ..a_unit()
        };
        host.doctor.units = Known::Known(vec![a_unit(), ours]);
    }),
    (
        Code::MountNotKept,
        "neither /etc/fstab nor a mount unit",
        |host| {
            boot(host, "/mnt/data").mount_point = "/mnt/other".into();
        },
    ),
    (Code::MountNotKept, "noauto", |host| {
        boot(host, "/mnt/data").options = vec!["noauto".to_owned()];
    }),
    (Code::StaleTarget, "no change is in flight", |host| {
        host.facts.checkpoint.info_target = CheckpointFile::Whole(Vec::new());
        host.doctor.info_target_written = Known::Known(host.facts.host.now.wall_seconds - 600);
    }),
    (Code::DestroyKept, "in_use_fd", |host| {
        host.facts.destroy(&key("r/db"), 9);
        host.facts
            .hold(&path(), "volumes/roles/r/db", HolderKind::OpenFile);
    }),
    (Code::RoleShared, "principals", |host| {
        let mut volume = a_volume(&path(), &key("r/theirs"));
        volume.reservations.last_mut().unwrap().principal = Some("other".into());
        host.facts.state().resources.push(volume);
    }),
    (Code::RoleShared, "frameworks", |host| {
        host.doctor.frameworks = Known::Known(["a".into(), "b".into()].into());
        for (name, framework) in [("r/one", "a"), ("r/two", "b")] {
            host.facts.state().resources.push(labelled(name, framework));
        }
    }),
    (Code::FrameworkGone, "reserved for framework gone", |host| {
        host.facts.state().resources.push(labelled("r/one", "gone"));
    }),
    (
        Code::ReservationIdle,
        "512 MB of disk are reserved",
        |host| {
            host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds - 61);
        },
    ),
    (Code::VolumeLarger, "takes up", |host| {
        host.doctor.usage = Some(vec![a_use(Ok(Bytes((10 << 20) + 1)))]);
    }),
    (Code::VolumeLarger, "as the agent measured", |host| {
        host.doctor.usage = None;
        host.doctor.measured = Known::Known(vec![measured("db", Some("/mnt/data"), 1 << 50)]);
    }),
    (Code::NotChecked, "could not be checked: 500", |host| {
        host.doctor.usage = None;
        host.doctor.measured = Known::unknown("500");
    }),
    (Code::NoGate, "preflight --gate", |host| {
        host.facts.gate.unit = Known::Absent;
    }),
    (Code::ClockWrong, "s from now", |host| {
        host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds + 90);
    }),
    (Code::ClockWrong, "since 1970", |host| {
        host.facts.host.now.wall_seconds = 12;
    }),
    (Code::MountNotEmpty, "holds data", |host| {
        host.facts.disk(&mount()).content = Known::Known(MountContent::Data);
    }),
    (Code::NoFence, "Landlock", |host| {
        host.doctor.fence = Known::Absent;
    }),
    (Code::ConfigNote, "go-w", |host| {
        host.doctor.notes = vec!["run chmod go-w".to_owned()];
    }),
    (Code::NotAsked, "--usage", |host| host.doctor.usage = None),
    (Code::NotAsked, "master.urls", |host| {
        host.doctor.frameworks = Known::Absent;
    }),
    (Code::NotChecked, "could not be checked: no", |host| {
        host.start = Err("no --resources is known".to_owned());
    }),
];

fn boot<'a>(host: &'a mut Host, point: &str) -> &'a mut BootMount {
    match &mut host.doctor.boot_mounts {
        Known::Known(mounts) => mounts
            .iter_mut()
            .find(|mount| mount.mount_point == point.into())
            .unwrap(),
        Known::Absent | Known::Unknown(_) => panic!(),
    }
}

fn a_use(used: Result<Bytes, String>) -> VolumeUse {
    VolumeUse {
        volume: key("r/db"),
        path: "/mnt/data/volumes/roles/r/db".into(),
        size: Megabytes::whole(10),
        used,
    }
}

fn measured(id: &str, root: Option<&str>, used: u64) -> DiskUse {
    DiskUse {
        executor: "e".into(),
        framework: "f-0001".into(),
        id: PersistenceId::new(id),
        root: root.map(Raw::from),
        used,
        limit: None,
    }
}

#[test]
fn what_the_agent_measured_is_of_the_volume_on_that_disk_or_of_none() {
    for (one, found) in [
        (measured("db", Some("/mnt/data"), 1), 0),
        (measured("db", None, 1 << 50), 0),
        (measured("log", None, 1 << 50), 1),
        (measured("none", Some("/mnt/data"), 1 << 50), 0),
    ] {
        let mut host = Host::new();
        host.doctor.usage = None;
        host.doctor.measured = Known::Known(vec![one.clone()]);
        let larger = host.find();
        let larger = larger.iter().filter(|one| one.code == Code::VolumeLarger);
        assert_eq!(larger.count(), found, "{one:?}");
    }
}

fn obstacle(host: &mut Host, kind: ObstacleKind) {
    let key = key("r/db");
    let volume = a_volume(&path(), &key);
    let at: Raw = path().root.join(paths::volume_directory(&key));
    host.facts
        .operate(OperationKind::Destroy, OperationState::Pending, 4, volume);
    let look = VolumeLook {
        obstacles: vec![Obstacle {
            at: at.join("file"),
            kind,
        }],
        ..whole_volume()
    };
    host.doctor.volumes = Known::Known([(at, look)].into());
}

#[test]
fn a_healthy_host_has_no_finding() {
    assert_eq!(Host::new().find(), []);
}

#[test]
fn every_code_is_found_on_a_host_that_has_it_and_says_what_was_seen() {
    for (code, part, make) in CASES {
        let mut host = Host::new();
        make(&mut host);
        let found = host.find();
        assert!(
            found
                .iter()
                .any(|finding| finding.code == *code && finding.evidence.contains(part)),
            "{code}, {part}: {found:#?}"
        );
        for finding in &found {
            let text = [&finding.subject, &finding.evidence, &finding.remedy];
            assert!(text.iter().all(|text| !text.is_empty()), "{finding:?}");
        }
    }
    let tested: BTreeSet<Code> = CASES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(tested, Code::ALL.into());
}

#[test]
fn what_could_not_be_looked_at_is_a_finding() {
    type Blind = (&'static str, fn(&mut Host));
    let cases: [Blind; 19] = [
        ("whether one agent runs", |host| {
            host.facts.agent.processes = unknown();
        }),
        ("what the agent sees at", |host| {
            host.facts.disk(&path()).view = AgentView::Unknown("it hangs".into());
        }),
        ("where PATH", |host| {
            host.facts.disk(&path()).mount = unknown();
        }),
        ("what mounts the disks", |host| {
            host.doctor.boot_mounts = unknown();
        }),
        ("the order of units", |host| host.doctor.units = unknown()),
        ("the errors of", |host| {
            host.doctor.errors.insert("/mnt/data".into(), unknown());
        }),
        ("whether the agent's unit waits", |host| {
            host.facts.gate.unit = unknown();
        }),
        ("what is offered of the disks", |host| {
            host.facts.agent.slave_info = unknown();
        }),
        ("whether the frameworks", |host| {
            host.doctor.frameworks = unknown();
        }),
        ("how old idle reservations are", |host| {
            host.doctor.state_written = unknown();
        }),
        ("how old resources.target is", |host| {
            host.facts.checkpoint.info_target = CheckpointFile::Whole(Vec::new());
            host.doctor.info_target_written = unknown();
        }),
        ("how large r/db is", |host| {
            host.doctor.usage = Some(vec![a_use(Err("no".into()))]);
        }),
        ("whether the kernel has openat2", |host| {
            host.doctor.openat2 = unknown();
        }),
        ("who may change", |host| {
            host.doctor.files = vec![FileAccess {
                access: unknown(),
                ..a_file(0)
            }];
        }),
        ("who may connect to the API's socket", |host| {
            host.doctor.socket = unknown();
        }),
        ("the xfs project of", |host| {
            host.doctor.projects = vec![ProjectUse {
                project: Err("no".to_owned()),
                ..a_project(&path(), "db", 1)
            }];
        }),
        ("whether xfs project ids", |host| {
            isolates(host);
            host.start.as_mut().unwrap().flags.project_range = unknown();
            host.doctor.projects = vec![a_project(&path(), "db", 5001)];
        }),
        ("whether xfs project ids", |host| {
            host.start.as_mut().unwrap().flags.isolation = unknown();
            host.doctor.projects = vec![a_project(&path(), "db", 5001)];
        }),
        ("whether the agent can delete what", |host| {
            obstacle(host, ObstacleKind::Immutable);
            host.doctor.volumes = unknown();
        }),
    ];
    for (what, make) in cases {
        let mut host = Host::new();
        make(&mut host);
        let found = host.find();
        assert!(
            found
                .iter()
                .any(|one| one.code == Code::NotChecked && one.subject.starts_with(what)),
            "{what}: {found:#?}"
        );
    }
}

#[test]
fn the_most_harmful_comes_first_and_codes_stand_in_that_order() {
    let severities: Vec<Severity> = Code::ALL.iter().map(|code| code.severity()).collect();
    assert!(severities.is_sorted());
    let mut host = Host::new();
    for (code, _, make) in CASES {
        if [
            Code::ConfigNote,
            Code::NoGate,
            Code::TwoAgents,
            Code::UnsafePermissions,
        ]
        .contains(code)
        {
            make(&mut host);
        }
    }
    let found: Vec<Severity> = host.find().iter().map(|finding| finding.severity).collect();
    assert!(found.is_sorted() && found.len() >= 4, "{found:?}");
    assert_eq!(found.first(), Some(&Severity::Critical));
}

#[test]
fn only_flags_and_permissions_can_be_fixed() {
    for (_, _, make) in CASES {
        let mut host = Host::new();
        make(&mut host);
        for finding in host.find() {
            match finding.fix {
                None => {}
                Some(Fix::ClearFlags { volume, at, undo }) => {
                    assert!(at.below(&volume).is_some() && undo.starts_with("chattr +"));
                    assert_eq!(finding.code, Code::UndeletableVolume);
                }
                Some(Fix::Restrict { from, to, .. }) => {
                    assert!(to & !from == 0 && from != to);
                    assert_eq!(finding.code, Code::UnsafePermissions);
                }
            }
        }
    }
}

#[test]
fn what_is_normal_raises_nothing() {
    // A unit that names the mount it needs.
    let mut host = Host::new();
    boot(&mut host, "/mnt/data").options = vec!["nofail".to_owned()];
    for unit in [
        UnitOrder {
            mounts: vec!["/mnt/data/volumes".to_owned()],
            ..a_unit()
        },
        UnitOrder {
            after: vec!["mnt-data.mount".to_owned()],
            ..a_unit()
        },
    ] {
        host.doctor.units = Known::Known(vec![unit]);
        assert_eq!(host.find(), []);
    }
    // A reservation of which a part became a volume, and one whose CREATE is on its way.
    let mut host = Host::new();
    host.doctor.state_written = Known::Known(host.facts.host.now.wall_seconds - 600);
    let part = a_volume(&root(), &key("other/part"));
    host.facts.state().resources.push(part.clone());
    if let CheckpointFile::Whole(resources) = &mut host.facts.checkpoint.info {
        resources.push(part);
    }
    host.facts.mkdir(&root(), &key("other/part"));
    assert_eq!(host.find(), []);
    // A change that is in flight.
    let mut host = Host::new();
    host.facts.checkpoint.info_target = host.facts.checkpoint.info.clone();
    host.doctor.info_target_written = Known::Known(host.facts.host.now.wall_seconds - 5);
    let found = host.find();
    assert!(
        found.iter().all(|one| one.code != Code::StaleTarget),
        "{found:?}"
    );
    // Project ids of the agent's range; anybody's where it does not count by them.
    let mut host = Host::new();
    isolates(&mut host);
    host.doctor.projects = vec![
        a_project(&path(), "db", 5001),
        a_project(&root(), "log", 5002),
    ];
    assert_eq!(host.find(), []);
    let mut host = Host::new();
    host.start.as_mut().unwrap().flags.isolation = Known::Known("posix/cpu".to_owned());
    host.doctor.projects = ["a", "b"].map(|name| a_project(&root(), name, 3)).into();
    assert_eq!(host.find(), []);
    // A socket for root alone, because that is what is wanted; none, because no daemon runs.
    let mut host = Host::new();
    host.doctor.socket = Known::Known(SocketAccess {
        group: 0,
        wanted: None,
        ..a_socket()
    });
    assert_eq!(host.find(), []);
    host.doctor.socket = Known::Absent;
    assert_eq!(host.find(), []);
    // A budget that holds what may come, or that cuts no window short because there is none.
    let mut host = Host::new();
    host.facts.policy.trash.max_bytes = Some(Bytes(1));
    assert_eq!(host.find(), []);
    // A strange entry is no orphan.
    let mut host = Host::new();
    host.facts.mkdir(&path(), &key("x/file")).kind = FileKind::File;
    host.facts.later(DAY);
    let found = host.find();
    assert!(
        found.iter().all(|one| one.code != Code::OrphanExposed),
        "{found:?}"
    );
}
