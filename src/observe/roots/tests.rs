#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::decide::facts::{DeviceNumber, FileIdentity, FileKind};
use crate::decide::ledger::LedgerRoot;
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::steps::{Evidence, TrashId};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::observe::mountinfo;
use crate::units::Span;

/// A PATH root in a temporary folder.
struct Root {
    tree: tempfile::TempDir,
}

impl Root {
    fn new() -> Self {
        Self {
            tree: tempfile::tempdir().unwrap(),
        }
    }

    fn text(&self) -> Raw {
        Raw::from(std::fs::canonicalize(self.tree.path()).unwrap())
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.tree.path().join(OsStr::from_bytes(name))
    }

    fn folder(&self, name: &[u8]) -> &Self {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self
    }

    fn file(&self, name: &str, text: &[u8]) -> &Self {
        let path = self.path(name.as_bytes());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn look(&self) -> Observed {
        look_at(DiskType::Path, &self.text(), &Known::Absent)
    }

    fn dirs(&self) -> Vec<DirFacts> {
        self.look().facts.dirs.known().expect("listed").clone()
    }
}

fn wanted_root(kind: DiskType, root: &Raw) -> Wanted {
    Wanted {
        disk: DiskRef {
            kind,
            root: root.clone(),
        },
        named_by: BTreeSet::new(),
        accepted: false,
        hidden: Known::Absent,
    }
}

fn look_at(kind: DiskType, root: &Raw, ledger: &Known<Ledger>) -> Observed {
    let table = MountTable::new(mountinfo::read_self().unwrap());
    observe(
        &Places::default(),
        vec![wanted_root(kind, root)],
        ledger,
        &table,
    )
    .remove(0)
}

fn why<T: std::fmt::Debug>(known: &Known<T>) -> String {
    known.why().expect("unknown").to_string()
}

#[test]
fn a_root_is_told_with_its_mount_its_file_system_and_its_place() {
    let root = Root::new();
    let observed = root.look();
    let table = MountTable::new(mountinfo::read_self().unwrap());
    let mount = observed.facts.mount.known().unwrap();
    assert_eq!(mount.location, table.locate(&root.text()).unwrap());
    assert!(!mount.is_mount_point && !mount.network && !mount.read_only);
    assert!(mount.total_bytes > mount.free_bytes && mount.free_bytes > 0);
    assert_eq!(
        observed.targets[0].location.path,
        mount.location.path.join("volumes")
    );
    let opened = std::fs::File::open(root.tree.path()).unwrap();
    match sys::identity(&opened) {
        Ok(identity) => {
            let present = observed.facts.filesystem.present.known().unwrap();
            assert_eq!(present.directory, identity);
            assert_eq!(present.filesystem, identity.filesystem);
            assert_eq!(present.fs_type, mount.fs_type);
        }
        // A temporary folder in memory has no identity, and that is said.
        Err(_) => assert!(observed.facts.filesystem.present.why().is_some()),
    }
    assert_eq!(observed.facts.dirs, Known::Absent);
    assert_eq!(observed.facts.trash, Known::Absent);
    assert_eq!(observed.facts.filesystem.marker, Known::Absent);
    assert_eq!(observed.facts.filesystem.ledger, Known::Absent);
    assert_eq!(observed.facts.content, Known::Absent);
}

#[test]
fn volumes_are_listed_with_names_in_their_exact_bytes_and_nothing_is_followed() {
    let root = Root::new();
    let roles = b"volumes/roles/";
    let at = |tail: &[u8]| [&roles[..], tail].concat();
    root.folder(&at(b"eng dev/ a#b ")).folder(&at(b"r/\xff.x"));
    root.folder(b"outside/r2/x");
    symlink(root.path(b"outside"), root.path(&at(b"r/link"))).unwrap();
    std::fs::write(root.path(&at(b"r/file")), "").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path(&at(b"r/socket"))).unwrap();
    let found: Vec<(Raw, Raw, FileKind)> = root
        .dirs()
        .into_iter()
        .map(|dir| (dir.role_dir, dir.id_dir, dir.kind))
        .collect();
    let expected = [
        (&b"eng dev"[..], &b" a#b "[..], FileKind::Directory),
        (b"r", b"file", FileKind::File),
        (b"r", b"link", FileKind::Symlink),
        (b"r", b"socket", FileKind::Special),
        (b"r", b"\xff.x", FileKind::Directory),
    ]
    .map(|(role, id, kind)| (Raw::from(role), Raw::from(id), kind));
    assert_eq!(found, expected);
    assert_eq!(root.look().facts.strange, []);
}

#[test]
fn every_directory_has_an_identity_of_its_own_and_its_place() {
    let root = Root::new();
    root.folder(b"volumes/roles/r/a")
        .folder(b"volumes/roles/r/b");
    let dirs = root.dirs();
    let base = root.look().facts.mount.known().unwrap().location.clone();
    for (dir, id) in dirs.iter().zip(["a", "b"]) {
        assert_eq!(
            dir.location,
            Known::Known(FsLocation {
                device: base.device,
                path: base.path.join("volumes/roles/r").join(id),
            })
        );
    }
    match (&dirs[0].identity, &dirs[1].identity) {
        (Known::Known(a), Known::Known(b)) => assert_ne!(a, b),
        (Known::Unknown(_), Known::Unknown(_)) => {
            assert!(root.look().facts.filesystem.present.why().is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_a_volume_is_strange_and_not_entered() {
    let root = Root::new();
    root.folder(b"volumes/roles/-x/a")
        .folder(b"volumes/roles/r/a\\b")
        .folder(b"volumes/roles/r/a\nb")
        .folder(b"elsewhere/a")
        .file("volumes/roles/file", b"");
    symlink(root.path(b"elsewhere"), root.path(b"volumes/roles/link")).unwrap();
    let facts = root.look().facts;
    assert_eq!(facts.dirs, Known::Known(Vec::new()));
    let strange: Vec<(String, FileKind, &str)> = facts
        .strange
        .iter()
        .map(|entry| (entry.path.to_string(), entry.kind, entry.reason.as_str()))
        .collect();
    let fault = "its name is a persistence id with a slash, a backslash or a control character";
    assert_eq!(
        strange,
        [
            (
                "volumes/roles/-x".to_owned(),
                FileKind::Directory,
                "its name is a role with a component that begins with a dash"
            ),
            (
                "volumes/roles/file".to_owned(),
                FileKind::File,
                "no directory where a role's would be"
            ),
            (
                "volumes/roles/link".to_owned(),
                FileKind::Symlink,
                "a symbolic link where a role's directory would be"
            ),
            (
                "volumes/roles/r/a\\x0ab".to_owned(),
                FileKind::Directory,
                fault
            ),
            (
                "volumes/roles/r/a\\b".to_owned(),
                FileKind::Directory,
                fault
            ),
        ]
    );
}

#[test]
fn links_in_place_of_our_folders_are_unknown_and_never_absent() {
    let root = Root::new();
    root.folder(b"elsewhere/roles/r/a")
        .folder(b"elsewhere/.mesos-volumed/trash/x");
    symlink("elsewhere", root.path(b"volumes")).unwrap();
    let facts = root.look().facts;
    assert!(why(&facts.dirs).contains("volumes can't be opened: it is a symbolic link"));
    assert!(facts.trash.why().is_some() && facts.filesystem.marker.why().is_some());
    assert!(matches!(facts.mount, Known::Known(_)));

    let root = Root::new();
    root.folder(b"elsewhere/r/a").folder(b"volumes/roles/r/a");
    symlink("../elsewhere", root.path(b"volumes/.mesos-volumed")).unwrap();
    let facts = root.look().facts;
    assert_eq!(facts.dirs.known().unwrap().len(), 1);
    assert!(facts.trash.why().is_some() && facts.filesystem.marker.why().is_some());

    let root = Root::new();
    root.folder(b"elsewhere/r/a").folder(b"volumes");
    symlink("../elsewhere", root.path(b"volumes/roles")).unwrap();
    let facts = root.look().facts;
    assert!(facts.dirs.why().is_some());
    assert_eq!(facts.trash, Known::Absent);
}

#[test]
fn the_marker_is_read_or_unknown() {
    let root = Root::new();
    let marker = |text: &[u8]| {
        root.file("volumes/.mesos-volumed/marker.json", text);
        root.look().facts.filesystem.marker
    };
    assert_eq!(
        marker(br#"{"version":1,"filesystem":"0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab"}"#),
        Known::Known("0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab".to_owned())
    );
    for damaged in [&b""[..], b"{", br#"{"version":1}"#] {
        assert!(why(&marker(damaged)).contains("marker.json is damaged"));
    }
    assert!(why(&marker(br#"{"version":2,"filesystem":""}"#)).contains("has version 2"));
    assert!(why(&marker(&[b' '; 5000])).contains("more than 4096 bytes"));
}

fn manifest(id: &str) -> Manifest {
    Manifest {
        version: 1,
        id: TrashId(id.to_owned()),
        volume: VolumeKey::new(Role::new("r"), PersistenceId::new("a")),
        disk: DiskRef {
            kind: DiskType::Path,
            root: "/m".into(),
        },
        path: "volumes/roles/r/a".into(),
        identity: FileIdentity {
            filesystem: "u".to_owned(),
            handle: "1:00".to_owned(),
        },
        emptied: None,
        state: TrashState::Cleared,
        evidence: Evidence::Operator,
        unconfirmed: false,
        asked: None,
        machine_id: "m".into(),
        work_dir: "/w".into(),
        plan: "p".to_owned(),
        lived_at: Span::seconds(1),
        retention: Span::ZERO,
        quarantined_at: 0,
        method: None,
        size: None,
    }
}

#[test]
fn trash_entries_are_read_whole_or_say_what_is_wrong_with_each() {
    let root = Root::new();
    let write = |entry: &str, of: &str, cut: usize| {
        let bytes = serde_json::to_vec(&manifest(of)).unwrap();
        let end = bytes.len() - cut;
        root.file(
            &format!("volumes/.mesos-volumed/trash/{entry}/manifest.json"),
            &bytes[..end],
        );
    };
    write("t1", "t1", 0);
    root.folder(b"volumes/.mesos-volumed/trash/t1/data/x");
    write("t2", "t2", 0);
    write("t3", "other", 0);
    write("t4", "t4", 1);
    root.folder(b"volumes/.mesos-volumed/trash/t5/data");
    root.file("volumes/.mesos-volumed/trash/t6", b"");
    write("t7", "t7", 0);
    symlink("/", root.path(b"volumes/.mesos-volumed/trash/t7/data")).unwrap();
    let trash = root.look().facts.trash;
    let [t1, t2, t3, t4, t5, t6, t7] = trash.known().unwrap().as_slice() else {
        panic!("{trash:?}")
    };
    assert_eq!(t1.manifest, Known::Known(manifest("t1")));
    assert_ne!(t1.data, Known::Absent);
    let place = t1.location.known().unwrap().path.to_string();
    assert!(
        place.ends_with("/volumes/.mesos-volumed/trash/t1/data"),
        "{place}"
    );
    assert_eq!(t2.manifest, Known::Known(manifest("t2")));
    assert_eq!(t2.data, Known::Absent);
    assert!(why(&t3.manifest).contains("it is of the entry other"));
    assert!(why(&t4.manifest).contains("manifest.json is damaged"));
    assert_eq!(t5.manifest, Known::Absent);
    assert_ne!(t5.data, Known::Absent);
    assert!(t6.manifest.why().is_some() && t6.data.why().is_some());
    assert!(why(&t7.data).contains("it is a symbolic link"));
}

#[test]
fn a_root_that_is_not_there_is_absent_and_a_strange_one_unknown() {
    let tree = Root::new();
    tree.folder(b"real").file("file", b"");
    symlink("real", tree.path(b"link")).unwrap();
    let mount = |kind, root: &Raw| {
        let observed = look_at(kind, root, &Known::Absent);
        assert_eq!(observed.targets, []);
        observed.facts.mount
    };
    let text = |name: &str| tree.text().join(name);
    assert_eq!(mount(DiskType::Path, &text("none")), Known::Absent);
    assert_eq!(mount(DiskType::Mount, &text("real")), Known::Absent);
    for file in ["file", "file/none"] {
        assert!(why(&mount(DiskType::Path, &text(file))).contains("is no directory"));
    }
    assert!(
        why(&mount(DiskType::Path, &text("link"))).ends_with(&format!(
            "leads through a symbolic link; name the root by its real path {}",
            text("real")
        ))
    );
    assert!(why(&mount(DiskType::Path, &"real".into())).contains("is not an absolute path"));
    let unknown = look_at(DiskType::Path, &text("link"), &Known::Absent).facts;
    assert!(unknown.dirs.why().is_some() && unknown.trash.why().is_some());
    let slash = look_at(DiskType::Path, &text("real/"), &Known::Absent);
    assert!(matches!(slash.facts.mount, Known::Known(_)));
}

#[test]
fn file_systems_that_may_not_answer_are_known_and_not_touched() {
    let tree = Root::new();
    // Nothing is mounted there in truth: whoever touched it would find a directory.
    tree.folder(b"nfs/volumes/roles/r/a");
    let mut entries = mountinfo::read_self().unwrap();
    let below = MountTable::new(entries.clone());
    let below = below.mount_of(&tree.text()).unwrap().clone();
    entries.push(MountEntry {
        id: 1 << 40,
        parent: below.id,
        device: DeviceNumber {
            major: 0,
            minor: 77,
        },
        root: "/".into(),
        mount_point: tree.text().join("nfs"),
        fs_type: "nfs4".into(),
        ..below
    });
    let table = MountTable::new(entries);
    for (kind, tail) in [
        (DiskType::Mount, "nfs"),
        (DiskType::Path, "nfs"),
        (DiskType::Path, "nfs/deeper"),
    ] {
        let observed = observe(
            &Places::default(),
            vec![wanted_root(kind, &tree.text().join(tail))],
            &Known::Absent,
            &table,
        )
        .remove(0);
        let mount = observed.facts.mount.known().unwrap();
        assert!(mount.network && mount.fs_type == "nfs4");
        assert_eq!(mount.is_mount_point, tail == "nfs");
        assert!(observed.facts.filesystem.present.why().is_some());
        assert_eq!(observed.targets, []);
        match kind {
            DiskType::Mount => assert!(observed.facts.content.why().is_some()),
            DiskType::Root | DiskType::Path => assert!(observed.facts.dirs.why().is_some()),
        }
    }
}

fn ledger_with(disk: DiskRef, filesystem: &str) -> Known<Ledger> {
    Known::Known(Ledger {
        roots: vec![LedgerRoot {
            fingerprint: Some(fingerprint(filesystem)),
            ..LedgerRoot::new(disk, 0)
        }],
        ..Ledger::default()
    })
}

fn fingerprint(filesystem: &str) -> Fingerprint {
    Fingerprint {
        filesystem: filesystem.to_owned(),
        fs_type: "xfs".to_owned(),
        directory: FileIdentity {
            filesystem: filesystem.to_owned(),
            handle: "1:00".to_owned(),
        },
    }
}

#[test]
fn what_the_ledger_knows_is_told_and_a_damaged_ledger_is_unknown() {
    let root = Root::new();
    let disk = wanted_root(DiskType::Path, &root.text()).disk;
    let known = |ledger: &Known<Ledger>| {
        look_at(DiskType::Path, &root.text(), ledger)
            .facts
            .filesystem
            .ledger
    };
    assert_eq!(
        known(&ledger_with(disk.clone(), "u")),
        Known::Known(fingerprint("u"))
    );
    let other = DiskRef {
        kind: DiskType::Mount,
        ..disk
    };
    assert_eq!(known(&ledger_with(other, "u")), Known::Absent);
    assert_eq!(known(&Known::unknown("damaged")), Known::unknown("damaged"));
}

#[test]
fn a_root_that_was_on_a_disk_of_its_own_and_lies_on_the_root_file_system_is_not_mounted() {
    let path: Raw = "/mnt/data".into();
    let entry = |id, parent, mount_point: &str| MountEntry {
        id,
        parent,
        device: DeviceNumber { major: 8, minor: 1 },
        root: "/".into(),
        root_deleted: false,
        mount_point: mount_point.into(),
        options: "rw".into(),
        optional: Vec::new(),
        fs_type: "ext4".into(),
        source: "/dev/sda1".into(),
        super_options: "rw".into(),
    };
    let found = |mount: u64, uuid: Known<String>| {
        PathAnswer::Directory(DirectoryAnswer {
            resolved: path.clone(),
            mount,
            total_bytes: 10,
            free_bytes: 5,
            failure: None,
            read_only: false,
            uuid,
        })
    };
    let root = wanted_root(DiskType::Path, &path);
    let ledger = ledger_with(root.disk.clone(), "old");
    let stands = |root: &Wanted, table: Vec<MountEntry>, answer: &PathAnswer| {
        let ground = ground(
            &[],
            root,
            &path,
            Some(answer),
            &ledger,
            &MountTable::new(table),
        );
        match ground {
            Ground::Standing { .. } => true,
            Ground::Nothing(Known::Absent) => false,
            Ground::Nothing(other) => panic!("{other:?}"),
            Ground::Untouchable { why, .. } => panic!("{why}"),
        }
    };
    let top = || vec![entry(1, 1, "/")];
    let uuid = |uuid: &str| Known::Known(uuid.to_owned());
    assert!(!stands(&root, top(), &found(1, uuid("new"))));
    // The same file system; one that can't be told; a word of the operator; a mount on the way.
    assert!(stands(&root, top(), &found(1, uuid("old"))));
    assert!(stands(&root, top(), &found(1, Known::unknown("x"))));
    let accepted = Wanted {
        accepted: true,
        hidden: Known::Absent,
        ..root.clone()
    };
    assert!(stands(&accepted, top(), &found(1, uuid("new"))));
    let with_mount = vec![entry(1, 1, "/"), entry(2, 1, "/mnt")];
    assert!(stands(&root, with_mount, &found(2, uuid("new"))));
}

#[test]
fn a_mount_on_itself_has_the_place_of_the_one_below() {
    let entries = mountinfo::parse(
        b"1 1 8:1 / / rw - ext4 a rw\n\
          2 1 8:17 / /m rw - ext4 b rw\n\
          3 2 8:17 / /m rw - ext4 b rw\n\
          4 2 8:33 / /m/x rw - ext4 c rw\n",
    )
    .unwrap();
    let table = MountTable::new(entries);
    let place = |id: u64| {
        own_place(&table, table.by_id(id).unwrap())
            .map(|place| (place.device.minor, place.path.to_string()))
    };
    assert_eq!(place(1), None);
    assert_eq!(place(2), Some((1, "/m".to_owned())));
    assert_eq!(place(3), Some((1, "/m".to_owned())));
    assert_eq!(place(4), Some((17, "/x".to_owned())));
}
