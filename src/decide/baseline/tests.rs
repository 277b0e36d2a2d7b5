//! What an agent's start is measured by, as it lies in its files.

use super::*;
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::ids::PersistenceId;
use crate::mesos::resource::{Persistence, Reservation, Value};

fn disk(kind: DiskType, root: &str) -> DiskRef {
    DiskRef {
        kind,
        root: root.into(),
    }
}

fn path(root: &str) -> DiskRef {
    disk(DiskType::Path, root)
}

fn resource(on: &DiskRef, number: i64) -> Resource {
    let kind = match on.kind {
        DiskType::Mount => SourceType::Mount,
        DiskType::Root | DiskType::Path => SourceType::Path,
    };
    Resource {
        name: "disk".into(),
        value: Value::Scalar(Megabytes::from_thousandths(number)),
        reservations: Vec::new(),
        source: (on.kind != DiskType::Root).then(|| DiskSource {
            kind,
            root: Some(on.root.clone()),
            id: None,
            vendor: None,
            profile: None,
            metadata: Vec::new(),
        }),
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

fn reserved(kind: ReservationType, role: &str) -> Reservation {
    Reservation {
        kind,
        role: Role::new(role),
        principal: None,
        labels: Vec::new(),
    }
}

fn key(id: &str) -> VolumeKey {
    VolumeKey::new(Role::new("r"), PersistenceId::new(id))
}

fn part(on: DiskRef, role: &str, volumes: &[&str]) -> AgentDisk {
    AgentDisk {
        disk: on,
        role: Role::new(role),
        number: Megabytes::whole(1),
        extras: SourceExtras::default(),
        volumes: volumes.iter().map(|id| key(id)).collect(),
    }
}

#[test]
fn carved_disks_add_up_a_role_and_a_mount_is_its_last_number() {
    let (p, m) = (path("/p"), disk(DiskType::Mount, "/m"));
    let of_role = |on: &DiskRef, number, kind| Resource {
        reservations: vec![reserved(kind, "a")],
        ..resource(on, number)
    };
    let volume = Resource {
        reservations: vec![
            reserved(ReservationType::Static, "a"),
            reserved(ReservationType::Dynamic, "r"),
        ],
        persistence: Some(Persistence {
            id: PersistenceId::new("v"),
            principal: None,
            container_path: None,
        }),
        ..resource(&p, 4000)
    };
    let list = [
        resource(&p, 1000),
        of_role(&p, 2000, ReservationType::Dynamic),
        of_role(&p, 3000, ReservationType::Static),
        volume,
        resource(&m, 5000),
        resource(&m, 6000),
        // Nothing of it is a disk of ours.
        resource(&p, 0),
        resource(&p, -1000),
        Resource {
            provider_id: Some("csi".into()),
            ..resource(&p, 8000)
        },
        Resource {
            name: "mem".into(),
            ..resource(&disk(DiskType::Root, "/w"), 1000)
        },
    ];
    let (disks, faults) = disks_of(&list, &"/w".into());
    let found: Vec<_> = disks
        .iter()
        .map(|part| {
            (
                part.disk.to_string(),
                part.role.to_string(),
                part.number.thousandths(),
                part.volumes.len(),
            )
        })
        .collect();
    let one = |disk: &str, role: &str, number, volumes| {
        (disk.to_owned(), role.to_owned(), number, volumes)
    };
    assert_eq!(
        found,
        [
            one("PATH:/p", "*", 3000, 0),
            one("PATH:/p", "a", 7000, 1),
            one("MOUNT:/m", "*", 6000, 0),
        ]
    );
    assert_eq!(faults, [""; 0]);
    // What is a storage provider's is never written here.
    let mut provided = resource(&p, 1000);
    provided.source.as_mut().unwrap().id = Some("csi-1".into());
    let (disks, faults) = disks_of([&provided], &"/w".into());
    assert_eq!((disks.len(), faults.len()), (0, 1));
}

#[test]
fn spellings_of_one_path_are_the_same() {
    for (text, wanted) in [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("//a/./b/.", "/a/b"),
        ("/", "/"),
        ("//./", "/"),
        ("a/b/", "a/b"),
        ("./a", "a"),
        ("", ""),
        ("./", ""),
        ("/a/..b/.c", "/a/..b/.c"),
    ] {
        assert_eq!(plain(&text.into()), wanted.into(), "{text}");
    }
    for (one, other, same) in [
        ("/a", "/a", true),
        ("/a/", "/a", true),
        ("/a", "/b", false),
        ("/a", "a", false),
        ("/a", "/a/b", false),
    ] {
        assert_eq!(same_root(&one.into(), &other.into()), same, "{one} {other}");
    }
}

#[test]
fn a_part_is_found_by_its_disk_and_its_role() {
    let parts = [part(path("/p"), "a", &[]), part(path("/q"), "b", &[])];
    let found = |root: &str, role: &str| {
        find(&parts, &path(root), &Role::new(role)).map(|part| part.disk.root.clone())
    };
    assert_eq!(found("/p", "a"), Some("/p".into()));
    assert_eq!(found("/q", "b"), Some("/q".into()));
    assert_eq!(found("/p", "b"), None);
    assert_eq!(found("/q", "a"), None);
}

#[test]
fn every_disk_of_the_agent_is_listed_once_spelt_as_the_first_that_names_it() {
    let agent = Baselines {
        needed: Known::Known(vec![part(path("/p/"), "*", &[])]),
        registered: Known::Known(vec![
            part(path("/p"), "*", &[]),
            part(path("/p"), "a", &[]),
            part(disk(DiskType::Mount, "/p"), "*", &[]),
            part(path("/q"), "*", &[]),
        ]),
        running: vec![part(path("/q"), "*", &[]), part(path("/r"), "*", &[])],
        ..Baselines::default()
    };
    assert_eq!(
        agent.disks(),
        [
            path("/p/"),
            disk(DiskType::Mount, "/p"),
            path("/q"),
            path("/r")
        ]
    );
}

#[test]
fn files_that_cannot_be_read_leave_everything_open() {
    let unknown = Baselines::unknown("torn", ReconfigurationPolicy::Additive);
    assert_eq!(unknown.registered, Known::unknown("torn"));
    assert_eq!(unknown.needed, Known::unknown("torn"));
    assert_eq!(unknown.rebooted, Known::unknown("torn"));
    assert_eq!(unknown.policy, ReconfigurationPolicy::Additive);
    assert_eq!(unknown.doubt().as_deref(), Some("torn; torn"));
    assert_eq!(Baselines::default().doubt(), None);
}

#[test]
fn a_disk_is_bare_only_where_nothing_can_be_on_it() {
    let needed = |parts| Baselines {
        needed: Known::Known(parts),
        ..Baselines::default()
    };
    let (p, q) = (path("/p"), path("/q"));
    let none = needed(Vec::new());
    assert_eq!(none.occupancy(&p, Some(false)), Occupancy::Bare);
    assert_eq!(none.occupancy(&p, Some(true)), Occupancy::Held);
    assert_eq!(none.occupancy(&p, None), Occupancy::Held);
    let some = needed(vec![
        part(p.clone(), "*", &[]),
        part(q.clone(), "*", &[]),
        part(q.clone(), "a", &["v"]),
    ]);
    assert_eq!(some.occupancy(&p, Some(false)), Occupancy::Reserved);
    assert_eq!(some.occupancy(&q, Some(false)), Occupancy::Held);
    assert_eq!(some.occupancy(&path("/r"), Some(false)), Occupancy::Bare);
    let unknown = Baselines {
        needed: Known::unknown("torn"),
        ..Baselines::default()
    };
    assert_eq!(unknown.occupancy(&p, Some(false)), Occupancy::Held);
}

#[test]
fn directories_are_those_of_the_volumes_on_that_path_disk() {
    let (p, m) = (path("/p/"), disk(DiskType::Mount, "/m"));
    let agent = Baselines {
        needed: Known::Known(vec![
            part(p.clone(), "*", &["a"]),
            part(path("/q"), "*", &["b"]),
            part(m.clone(), "*", &["c"]),
        ]),
        ..Baselines::default()
    };
    assert_eq!(
        agent.volume_directories(&p),
        [Raw::from("/p/volumes/roles/r/a")]
    );
    assert_eq!(agent.volume_directories(&m), Vec::<Raw>::new());
    assert_eq!(agent.need(&m, &Role::new("*")), Some(Megabytes::whole(1)));
    assert_eq!(agent.need(&m, &Role::new("a")), None);
}
