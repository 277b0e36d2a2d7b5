//! Verdicts of discovery on mount tables in the kernel's form: golden tables, and single rules.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it verdicts` writes the tables anew; read the diff.

#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]
#![expect(
    clippy::disallowed_methods,
    reason = "golden files are read and written here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use mesos_volumed::decide::advertise::{advertise, recorded};
use mesos_volumed::decide::baseline::{AgentDisk, Baselines};
use mesos_volumed::decide::discover::{
    Discovery, Input, Subject, Verdict, discover, questions, questions_of_agent,
};
use mesos_volumed::decide::facts::{
    BlockDevice, Content, DeviceNumber, DirectoryAnswer, DiscoveryRules, DiskRule, DiskRules,
    FileIdentity, Fingerprint, HostDisks, Known, MountTable, PathAnswer, RootRule, Settled,
    SizeRule, device_of,
};
use mesos_volumed::decide::ledger::{Ledger, LedgerRoot};
use mesos_volumed::mesos::disk::{DiskRef, DiskType, SourceExtras};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::observe::mountinfo;
use mesos_volumed::units::{Bytes, Megabytes, Raw, Span};
use proptest::prelude::*;

mod edges;

const GIB: u64 = 1 << 30;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn table(name: &str) -> MountTable {
    let text = std::fs::read(fixture("mountinfo").join(name)).unwrap();
    MountTable::new(mountinfo::parse(&text).unwrap())
}

fn number(text: &str) -> DeviceNumber {
    let (major, minor) = text.split_once(':').unwrap();
    DeviceNumber {
        major: major.parse().unwrap(),
        minor: minor.parse().unwrap(),
    }
}

/// A device of 10 GiB with a file system whose UUID is made of its name.
fn device(name: &str, numbers: &str, fs_type: &str) -> BlockDevice {
    BlockDevice {
        name: name.into(),
        number: number(numbers),
        parent: None,
        mapper_name: None,
        size_bytes: Known::Known(10 * GIB),
        read_only: Known::Known(false),
        removable: Known::Known(false),
        rotational: Known::Known(true),
        is_virtual: false,
        backing_file: None,
        holders: Vec::new(),
        slaves: Vec::new(),
        partitions: Vec::new(),
        model: Some("ST10000NM".into()),
        serial: Some(format!("S-{name}").as_str().into()),
        wwn: None,
        content: match fs_type {
            "" => Known::Absent,
            fs_type => Known::Known(Content::Filesystem {
                fs_type: fs_type.to_owned(),
                uuid: Some(format!("uuid-of-{name}")),
                label: None,
            }),
        },
    }
}

fn partition(mut device: BlockDevice, of: &str) -> BlockDevice {
    device.parent = Some(of.into());
    device
}

#[derive(Debug)]
struct Case {
    rules: DiskRules,
    host: HostDisks,
    ledger: Ledger,
    held: Known<BTreeSet<DiskRef>>,
    agent: Baselines,
    /// Directories besides mount points.
    directories: Vec<&'static str>,
    /// Size of file systems, where it is not 10 GiB.
    sizes: BTreeMap<DeviceNumber, u64>,
}

impl Case {
    /// Its directory stays.
    fn unmount(&mut self, point: &'static str) {
        let mounts = self.host.mounts.entries().iter();
        let left = mounts.filter(|mount| mount.mount_point != point.into());
        self.host.mounts = MountTable::new(left.cloned().collect());
        self.directories.push(point);
    }

    fn new(mounts: &str, devices: Vec<BlockDevice>) -> Self {
        Self::of(table(mounts), devices)
    }

    fn of(mounts: MountTable, devices: Vec<BlockDevice>) -> Self {
        Self {
            rules: DiskRules {
                work_dir: "/var/lib/mesos".into(),
                root: RootRule {
                    advertise: true,
                    size: SizeRule::Reserve(Bytes(5 * GIB)),
                    role: Role::new("*"),
                },
                disks: Vec::new(),
                discovery: DiscoveryRules {
                    settle: Span::seconds(5),
                    min_size: Bytes(64 << 20),
                    filesystems: Vec::new(),
                    exclude: Vec::new(),
                },
            },
            host: HostDisks {
                mounts,
                devices: Known::Known(devices),
                swaps: Known::Known(Vec::new()),
                fstab: Known::Known(Vec::new()),
                answers: BTreeMap::new(),
                settled: Settled::Taken,
            },
            ledger: Ledger::default(),
            held: Known::Absent,
            agent: Baselines::default(),
            directories: vec!["/var/lib/mesos"],
            sizes: BTreeMap::new(),
        }
    }

    fn rule(mut self, kind: DiskType, paths: &[&str], size: SizeRule) -> Self {
        self.rules.disks.push(DiskRule {
            kind,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            labels: Vec::new(),
            models: Vec::new(),
            devices: Vec::new(),
            size,
            role: Role::new("*"),
        });
        self
    }

    fn mounts(self, paths: &[&str]) -> Self {
        self.rule(DiskType::Mount, paths, SizeRule::Reserve(Bytes(100 << 20)))
    }

    fn paths(self, paths: &[&str]) -> Self {
        self.rule(DiskType::Path, paths, SizeRule::Reserve(Bytes(GIB)))
    }

    fn share(self, path: &str, size: u64) -> Self {
        self.rule(DiskType::Path, &[path], SizeRule::Size(Bytes(size)))
    }

    /// Answers as the host would: from mount points that may be asked and the known directories.
    fn answer(&mut self) {
        let mut paths = questions(&self.rules, &self.host.mounts, self.host.devices());
        paths.extend(questions_of_agent(&self.ledger, &self.agent));
        for path in paths {
            if self.host.answers.contains_key(&path) {
                continue;
            }
            let chain = self.host.mounts.chain(&path);
            let answer = match chain.iter().find(|mount| !mount.class().may_be_asked()) {
                Some(mount) => PathAnswer::OutOfBounds(mount.id),
                None => match chain.last() {
                    Some(mount)
                        if mount.mount_point == path
                            || self.directories.iter().any(|dir| path == (*dir).into()) =>
                    {
                        PathAnswer::Directory(DirectoryAnswer {
                            resolved: path.clone(),
                            mount: mount.id,
                            total_bytes: *self.sizes.get(&mount.device).unwrap_or(&(10 * GIB)),
                            free_bytes: GIB,
                            failure: None,
                            read_only: mount.read_only(),
                            uuid: match device_of(mount, self.host.devices()) {
                                Some(device) => device
                                    .uuid()
                                    .map_or(Known::Absent, |uuid| Known::Known(uuid.to_owned())),
                                None => Known::Absent,
                            },
                        })
                    }
                    Some(_) | None => PathAnswer::Missing,
                },
            };
            self.host.answers.insert(path, answer);
        }
    }

    fn discover(&mut self) -> Discovery {
        self.answer();
        discover(Input {
            rules: &self.rules,
            host: &self.host,
            ledger: &self.ledger,
            held: &self.held,
            agent: &self.agent,
        })
    }

    fn code(&mut self, path: &str) -> String {
        let discovery = self.discover();
        let named: Vec<_> = discovery
            .disks
            .iter()
            .filter(|disk| disk.path == Some(path.into()))
            .map(|disk| match &disk.verdict {
                Verdict::Offered(offer) => format!("offered {}", offer.number),
                Verdict::Rejected(rejection) => rejection.code.to_string(),
            })
            .collect();
        named.join(", ")
    }
}

/// A disk as an agent has it.
fn agent_disk(kind: DiskType, root: &str, megabytes: u64) -> AgentDisk {
    AgentDisk {
        disk: DiskRef {
            kind,
            root: root.into(),
        },
        role: Role::new("*"),
        number: Megabytes::whole(megabytes),
        extras: SourceExtras::default(),
        volumes: BTreeSet::new(),
    }
}

fn known(kind: DiskType, root: &str, megabytes: u64, uuid: Option<&str>) -> LedgerRoot {
    let disk = DiskRef {
        kind,
        root: root.into(),
    };
    LedgerRoot {
        fingerprint: uuid.map(|uuid| Fingerprint {
            filesystem: uuid.to_owned(),
            fs_type: "ext4".to_owned(),
            directory: FileIdentity {
                filesystem: uuid.to_owned(),
                handle: "1:02".to_owned(),
            },
        }),
        role: Some(Role::new("*")),
        advertised: Some(Megabytes::whole(megabytes)),
        ..LedgerRoot::new(disk, 0)
    }
}

fn render(discovery: &Discovery) -> String {
    let mut text = String::new();
    for disk in &discovery.disks {
        let kind = disk
            .disk
            .as_ref()
            .map_or_else(|| "-".to_owned(), |disk| disk.kind.to_string());
        let path = disk
            .path
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string);
        let device = disk
            .device
            .as_ref()
            .map_or_else(|| "-".to_owned(), |device| device.name.to_string());
        match &disk.verdict {
            Verdict::Offered(offer) => writeln!(
                text,
                "{kind} {path} {device}: offered {} MB\n    {}",
                offer.number, offer.reason
            ),
            Verdict::Rejected(rejection) => writeln!(
                text,
                "{kind} {path} {device}: {}\n    {}{}",
                rejection.code,
                rejection.sentence,
                rejection
                    .remedy
                    .as_ref()
                    .map_or_else(String::new, |remedy| format!("\n    -> {remedy}"))
            ),
        }
        .unwrap();
    }
    for warning in &discovery.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    text
}

fn golden(name: &str, discovery: &Discovery) {
    golden_text(name, &render(discovery));
}

fn golden_text(name: &str, text: &str) {
    let path = fixture("golden/discover").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    similar_asserts::assert_eq!(wanted, text);
}

fn agent() -> Case {
    let mut drive = device("sda", "8:0", "");
    drive.partitions = vec!["sda1".into(), "sda2".into(), "sda3".into(), "sda4".into()];
    let mut sdc = device("sdc", "8:32", "");
    sdc.partitions = vec!["sdc1".into()];
    let mut sdd = device("sdd", "8:48", "");
    sdd.content = Known::Known(Content::Member("an LVM physical volume".to_owned()));
    sdd.holders = vec!["dm-0".into()];
    let mut mapped = device("dm-0", "253:0", "xfs");
    mapped.mapper_name = Some("vg-data".into());
    mapped.slaves = vec!["sdd".into()];
    mapped.is_virtual = true;
    let mut looped = device("loop0", "7:0", "ext4");
    looped.backing_file = Some("/srv/images/disk3".into());
    looped.is_virtual = true;
    let mut empty_loop = device("loop1", "7:1", "");
    empty_loop.size_bytes = Known::Known(0);
    let mut stick = device("sdf", "8:80", "");
    stick.removable = Known::Known(true);
    let mut dead = device("sdg", "8:96", "");
    dead.content = Known::unknown("the drive does not answer");
    let mut case = Case::new(
        "agent.txt",
        vec![
            looped,
            empty_loop,
            mapped,
            drive,
            partition(device("sda1", "8:1", "vfat"), "sda"),
            partition(device("sda2", "8:2", "ext4"), "sda"),
            partition(device("sda3", "8:3", "xfs"), "sda"),
            partition(device("sda4", "8:4", ""), "sda"),
            device("sdb", "8:16", "ext4"),
            sdc,
            partition(device("sdc1", "8:33", "xfs"), "sdc"),
            sdd,
            device("sde", "8:64", "ext4"),
            stick,
            dead,
            device("sdh", "8:112", "xfs"),
            device("sdi", "8:128", ""),
        ],
    );
    case.host.swaps = Known::Known(vec!["/dev/sda4".into()]);
    case.directories = vec!["/mnt/data"];
    case.mounts(&["/dcos/volume*"])
        .share("/mnt/data", 2 * GIB)
        .mounts(&["/ssd/*"])
}

#[test]
fn an_agent_with_all_three_kinds() {
    golden("agent.txt", &agent().discover());
}

#[test]
fn hidden_disks_are_overmounted_and_hide_nothing_else() {
    let devices = [
        ("sdb", "8:16"),
        ("sdc", "8:32"),
        ("sdd", "8:48"),
        ("sde", "8:64"),
        ("sdf", "8:80"),
    ]
    .map(|(name, numbers)| device(name, numbers, "ext4"));
    let mut case = Case::new("overmounted.txt", devices.to_vec())
        .mounts(&["/dcos/volume*"])
        .paths(&["/mnt/a", "/mnt"]);
    golden("overmounted.txt", &case.discover());
}

#[test]
fn several_views_of_one_file_system_are_offered_once() {
    let mut case = Case::new(
        "binds.txt",
        vec![
            device("sdb", "8:16", "ext4"),
            device("sdc", "8:32", "ext4"),
            device("sdd", "8:48", "ext4"),
        ],
    )
    .mounts(&["/dcos/*"])
    .paths(&["/mnt/data", "/mnt/part", "/mnt/data/self"]);
    golden("binds.txt", &case.discover());
}

#[test]
fn subvolumes_share_one_file_system() {
    let mut second = device("sdc", "8:32", "btrfs");
    let first = device("sdb", "8:16", "btrfs");
    second.content = first.content.clone();
    let mut case = Case::new(
        "btrfs.txt",
        vec![device("sda2", "8:2", "btrfs"), first, second],
    )
    .mounts(&["/dcos/*", "/home"]);
    golden("btrfs.txt", &case.discover());
}

#[test]
fn file_systems_that_others_serve_are_rejected_unasked() {
    let mut case = Case::new(
        "foreign.txt",
        vec![
            device("sdb", "8:16", "ext4"),
            device("sdc", "8:32", "ntfs"),
            device("sdd", "8:48", ""),
            device("sde", "8:64", "ext4"),
        ],
    )
    .mounts(&["/mnt/*"])
    .paths(&["/mnt/nfs/local", "/mnt/sshfs/dir"]);
    golden("foreign.txt", &case.discover());
    for path in [
        "nfs", "cifs", "ceph", "9p", "sshfs", "ntfs", "raw", "auto", "new", "gluster", "shared",
    ] {
        let path = Raw::from(format!("/mnt/{path}"));
        assert!(
            !questions(&case.rules, &case.host.mounts, case.host.devices()).contains(&path),
            "{path} would be asked"
        );
    }
}

#[test]
fn odd_names_are_kept_apart() {
    let devices = [
        ("sdb", "8:16"),
        ("sdc", "8:32"),
        ("sdd", "8:48"),
        ("sde", "8:64"),
        ("sdf", "8:80"),
    ]
    .map(|(name, numbers)| device(name, numbers, "ext4"));
    let mut case = Case::new("odd_names.txt", devices.to_vec()).mounts(&["/mnt/*"]);
    golden("odd_names.txt", &case.discover());
}

#[test]
fn the_first_rule_that_matches_wins() {
    let mut case = agent();
    case.rules.disks.insert(
        0,
        DiskRule {
            kind: DiskType::Path,
            paths: vec!["/dcos/volume0".to_owned()],
            size: SizeRule::Size(Bytes(GIB)),
            ..case.rules.disks[0].clone()
        },
    );
    let discovery = case.discover();
    let disk = discovery
        .offered()
        .find(|disk| disk.path == Some("/dcos/volume0".into()))
        .unwrap();
    assert_eq!(disk.disk.as_ref().unwrap().kind, DiskType::Path);
    assert_eq!(disk.offer().unwrap().rule, Some(1));
    assert_eq!(disk.offer().unwrap().number, Megabytes::whole(1024));
}

#[test]
fn labels_models_and_devices_must_all_fit() {
    let rule = |labels: &[&str], models: &[&str], devices: &[&str]| {
        let mut case = agent();
        case.rules.disks.clear();
        if let Known::Known(all) = &mut case.host.devices {
            for device in all.iter_mut().filter(|device| device.name == "sdb".into()) {
                device.content = Known::Known(Content::Filesystem {
                    fs_type: "ext4".to_owned(),
                    uuid: None,
                    label: Some("data0".into()),
                });
            }
        }
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let mut case = case.mounts(&["/dcos/volume0"]);
        case.rules.disks[0].labels = strings(labels);
        case.rules.disks[0].models = strings(models);
        case.rules.disks[0].devices = strings(devices);
        case.code("/dcos/volume0")
    };
    assert_eq!(rule(&["data*"], &["ST*"], &["sd*"]), "offered 10140");
    assert_eq!(rule(&[], &[], &["/dev/sd[a-c]"]), "offered 10140");
    assert_eq!(rule(&["log*"], &["ST*"], &["sd*"]), "wrong_device");
    assert_eq!(rule(&["data*"], &["WD*"], &[]), "wrong_device");
    assert_eq!(rule(&[], &[], &["nvme*"]), "wrong_device");
}

#[test]
fn a_label_alone_names_a_disk_wherever_it_is_mounted() {
    let mut case = agent();
    case.rules.disks.clear();
    if let Known::Known(all) = &mut case.host.devices {
        all[8].content = Known::Known(Content::Filesystem {
            fs_type: "ext4".to_owned(),
            uuid: None,
            label: Some("data0".into()),
        });
    }
    let mut case = case.mounts(&[]);
    case.rules.disks[0].labels = vec!["data?".to_owned()];
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    assert_eq!(case.code("/dcos/volume1"), "no_rule");
    case.rules.disks[0].labels.clear();
    assert_eq!(
        case.code("/dcos/volume0"),
        "no_rule",
        "a rule that says nothing"
    );
}

#[test]
fn a_removable_drive_must_be_named_as_a_device() {
    let mut case = agent();
    if let Known::Known(all) = &mut case.host.devices {
        all[8].removable = Known::Known(true);
    }
    assert_eq!(case.code("/dcos/volume0"), "removable");
    case.rules.disks[0].devices = vec!["*".to_owned()];
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
}

#[test]
fn exclusion_size_and_type_are_checked() {
    let mut case = agent();
    case.rules.discovery.exclude = vec!["/dcos/volume0".to_owned(), "sdc*".to_owned()];
    assert_eq!(case.code("/dcos/volume0"), "excluded");
    assert_eq!(case.code("/dcos/volume1"), "excluded");

    let mut case = agent();
    case.sizes.insert(number("8:16"), 63 << 20);
    assert_eq!(case.code("/dcos/volume0"), "too_small");

    let mut case = agent();
    case.sizes.insert(number("8:16"), 100 << 20);
    assert_eq!(
        case.code("/dcos/volume0"),
        "too_small",
        "less than the reserve"
    );

    let mut case = agent();
    case.rules.discovery.filesystems = vec!["xfs".to_owned()];
    assert_eq!(case.code("/dcos/volume0"), "filesystem_not_allowed");
    assert_eq!(case.code("/dcos/volume1"), "offered 10140");
}

#[test]
fn what_the_host_answers_decides() {
    let answers = [
        (PathAnswer::Unanswering, "unanswering"),
        (PathAnswer::NotADirectory, "not_a_directory"),
        (PathAnswer::Missing, "missing"),
        (
            PathAnswer::Failed(mesos_volumed::decide::facts::Why("EIO".to_owned())),
            "unreadable",
        ),
    ];
    for (answer, code) in answers {
        let mut case = agent();
        case.host.answers.insert("/dcos/volume0".into(), answer);
        assert_eq!(case.code("/dcos/volume0"), code);
        assert_eq!(case.code("/dcos/volume1"), "offered 10140");
    }
}

#[test]
fn a_link_is_named_with_what_it_leads_to() {
    let mut case = agent();
    case.answer();
    let real = case.host.answers[&Raw::from("/mnt/data")].clone();
    case.rules.disks[1].paths = vec!["/srv/link".to_owned()];
    case.host.answers.insert("/srv/link".into(), real);
    let discovery = case.discover();
    let rejected = discovery
        .disks
        .iter()
        .find(|disk| disk.path == Some("/srv/link".into()))
        .and_then(|disk| disk.rejection().cloned())
        .unwrap();
    assert_eq!(rejected.code.as_str(), "symlinked_root");
    assert_eq!(
        rejected.remedy.as_deref(),
        Some("name the directory itself: /mnt/data")
    );
}

#[test]
fn a_work_dir_behind_a_link_is_still_root() {
    let mut case = agent();
    case.answer();
    let real = case.host.answers[&Raw::from("/var/lib/mesos")].clone();
    case.rules.work_dir = "/srv/agent".into();
    case.host.answers.insert("/srv/agent".into(), real);
    assert_eq!(case.code("/srv/agent"), "offered 5120");
    assert_eq!(
        case.code("/var/lib/mesos"),
        "",
        "the mount is shown as ROOT"
    );
}

#[test]
fn a_mount_that_fstab_wants_is_missing_and_not_replaced_by_its_parent() {
    let mut case = agent();
    case.host.fstab = Known::Known(vec!["/mnt/data".into(), "/".into()]);
    assert_eq!(case.code("/mnt/data"), "missing");
    case.host.fstab = Known::Known(vec!["/mnt".into(), "/".into()]);
    assert_eq!(case.code("/mnt/data"), "offered 2048");
    case.host.fstab = Known::Known(vec!["/var/lib/mesos/x".into()]);
    assert_eq!(case.code("/var/lib/mesos"), "offered 5120");
    let mut bare = agent();
    bare.unmount("/var/lib/mesos");
    bare.host.fstab = Known::Known(vec!["/var/lib/mesos".into()]);
    assert_eq!(bare.code("/var/lib/mesos"), "missing");
}

#[test]
fn the_system_disk_is_offered_only_as_a_share_of_a_named_device() {
    let mut case = agent();
    case.rules.disks.clear();
    let mut case = case.paths(&["/srv/disk"]);
    case.directories.push("/srv/disk");
    // It may be the mount point of a disk that is not mounted.
    assert_eq!(case.code("/srv/disk"), "missing");
    case.rules.disks[0].size = SizeRule::Size(Bytes(GIB));
    assert_eq!(case.code("/srv/disk"), "missing");
    case.rules.disks[0].devices = vec!["sda2".to_owned()];
    assert_eq!(case.code("/srv/disk"), "offered 1024");
    case.rules.disks[0].size = SizeRule::Reserve(Bytes(GIB));
    assert_eq!(case.code("/srv/disk"), "missing");
    case.rules.disks[0].devices = vec!["sdb".to_owned()];
    assert_eq!(case.code("/srv/disk"), "wrong_device");
    let mut case = agent().mounts(&["/", "/boot/*"]);
    assert_eq!(case.code("/"), "os_disk");
    assert_eq!(case.code("/boot/efi"), "os_disk");
}

#[test]
fn roots_on_one_file_system_share_it_and_never_overcommit() {
    let shared = || {
        let mut case = agent();
        case.rules.disks.clear();
        case.directories
            .extend(["/mnt/a", "/mnt/b", "/mnt/c", "/mnt/a/inner"]);
        case
    };
    // Two explicit sizes that fit, and one that does not any more.
    let mut case = shared()
        .share("/mnt/a", 6 * GIB)
        .share("/mnt/b", 4 * GIB)
        .share("/mnt/c", GIB);
    assert_eq!(case.code("/mnt/a"), "offered 6144");
    assert_eq!(case.code("/mnt/b"), "offered 4096");
    assert_eq!(case.code("/mnt/c"), "size_beyond_filesystem");
    // One takes the rest, whatever the order.
    let mut case = shared().paths(&["/mnt/a"]).share("/mnt/b", 4 * GIB);
    assert_eq!(case.code("/mnt/a"), "offered 5120");
    assert_eq!(case.code("/mnt/b"), "offered 4096");
    let mut case = shared().share("/mnt/b", 4 * GIB).paths(&["/mnt/a"]);
    assert_eq!(case.code("/mnt/a"), "offered 5120");
    // Two that want the rest.
    let mut case = shared().paths(&["/mnt/a", "/mnt/b"]);
    assert_eq!(case.code("/mnt/a"), "offered 9216");
    assert_eq!(case.code("/mnt/b"), "duplicate_device");
    // A MOUNT shares with nobody.
    let mut case = shared().mounts(&["/mnt"]).share("/mnt/b", GIB);
    assert_eq!(case.code("/mnt"), "offered 10140");
    assert_eq!(case.code("/mnt/b"), "duplicate_device");
    // One inside the other.
    let mut case = shared().share("/mnt/a", GIB).share("/mnt/a/inner", GIB);
    assert_eq!(case.code("/mnt/a"), "offered 1024");
    assert_eq!(case.code("/mnt/a/inner"), "nested_root");
    // More than there is.
    let mut case = shared().share("/mnt/a", 11 * GIB);
    assert_eq!(case.code("/mnt/a"), "size_beyond_filesystem");
}

#[test]
fn root_gives_up_what_a_path_on_its_file_system_takes_by_size() {
    let mut case = agent();
    case.rules.work_dir = "/mnt/agent".into();
    case.directories.push("/mnt/agent");
    assert_eq!(case.code("/mnt/agent"), "offered 3072");
    assert_eq!(case.code("/mnt/data"), "offered 2048");
    // The PATH gives way where both can't be.
    case.rules.disks[1].size = SizeRule::Size(Bytes(6 * GIB));
    assert_eq!(case.code("/mnt/agent"), "offered 5120");
    assert_eq!(case.code("/mnt/data"), "size_beyond_filesystem");
}

#[test]
fn a_held_disk_keeps_its_number_and_a_free_one_follows_the_rule() {
    let mount = DiskRef {
        kind: DiskType::Mount,
        root: "/dcos/volume0".into(),
    };
    let path = DiskRef {
        kind: DiskType::Path,
        root: "/mnt/data".into(),
    };
    let mut case = agent();
    case.ledger.roots = vec![
        known(DiskType::Mount, "/dcos/volume0", 9000, Some("uuid-of-sdb")),
        known(DiskType::Path, "/mnt/data", 1000, None),
    ];
    case.held = Known::Known(BTreeSet::new());
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    case.held = Known::Known(BTreeSet::from([mount, path]));
    assert_eq!(case.code("/dcos/volume0"), "offered 9000");
    assert_eq!(
        case.code("/mnt/data"),
        "offered 2048",
        "an explicit size is the operator's word"
    );
    case.rules.disks[0].size = SizeRule::Size(Bytes(GIB));
    assert_eq!(
        case.code("/dcos/volume0"),
        "offered 9000",
        "but a held MOUNT never moves"
    );
    case.held = Known::unknown("the checkpoint is damaged");
    assert_eq!(case.code("/dcos/volume0"), "offered 9000");
}

#[test]
fn a_disk_of_another_file_system_is_not_the_disk_that_was_verified() {
    let mut case = agent();
    case.ledger.roots = vec![known(
        DiskType::Mount,
        "/dcos/volume0",
        9000,
        Some("uuid-of-another"),
    )];
    assert_eq!(case.code("/dcos/volume0"), "fingerprint_mismatch");
    let discovery = case.discover();
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    assert_eq!(advertisement.degraded.len(), 1);
    let (disk, rejection) = &advertisement.degraded[0];
    assert!(
        !advertisement.has(disk),
        "an agent would take it for the disk"
    );
    let remedy = rejection.remedy.as_ref().unwrap();
    assert!(remedy.contains("disk accept /dcos/volume0"), "{remedy}");
}

#[test]
fn a_mount_that_is_gone_keeps_its_last_good_number_where_an_agent_would_miss_it() {
    let mut case = agent();
    case.agent.registered = Known::Known(
        [
            (DiskType::Root, "/var/lib/mesos", 5120),
            (DiskType::Path, "/mnt/data", 2048),
            (DiskType::Mount, "/dcos/volume0", 10140),
            (DiskType::Mount, "/dcos/volume1", 10140),
            (DiskType::Mount, "/dcos/volume3", 10140),
            (DiskType::Mount, "/dcos/volume7", 500),
        ]
        .map(|(kind, root, megabytes)| agent_disk(kind, root, megabytes))
        .to_vec(),
    );
    case.ledger.roots = vec![
        known(DiskType::Mount, "/dcos/volume7", 500, None),
        known(DiskType::Mount, "/elsewhere", 500, None),
    ];
    let discovery = case.discover();
    assert_eq!(case.code("/dcos/volume7"), "missing");
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    let disks: Vec<String> = advertisement
        .disks
        .iter()
        .map(|entry| format!("{} {}", entry.disk, entry.number))
        .collect();
    assert_eq!(
        disks,
        [
            "ROOT:/var/lib/mesos 5120",
            "PATH:/mnt/data 2048",
            "MOUNT:/dcos/volume0 10140",
            "MOUNT:/dcos/volume1 10140",
            "MOUNT:/dcos/volume3 10140",
            "MOUNT:/dcos/volume7 500",
        ]
    );
    assert_eq!(advertisement.degraded.len(), 1);
    assert!(
        discovery
            .warnings
            .iter()
            .any(|warning| warning.starts_with("MOUNT:/elsewhere was advertised")),
        "{:?}",
        discovery.warnings
    );
}

#[test]
fn what_was_advertised_before_stays_when_a_second_view_of_it_appears() {
    let devices = vec![device("sdb", "8:16", "ext4"), device("sdc", "8:32", "ext4")];
    let mut case = Case::new("binds.txt", devices).mounts(&["/dcos/volume[09]"]);
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    assert_eq!(case.code("/dcos/volume9"), "duplicate_device");
    case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume9", 10140, None)];
    assert_eq!(case.code("/dcos/volume0"), "duplicate_device");
    assert_eq!(case.code("/dcos/volume9"), "offered 10140");
}

#[test]
fn a_disk_that_was_just_met_is_not_offered_until_it_has_settled() {
    let mut case = agent();
    case.host.settled = Settled::Since(BTreeMap::from([(31, Span::seconds(4))]));
    assert_eq!(case.code("/dcos/volume0"), "not_settled");
    case.host.settled = Settled::Since(BTreeMap::from([(31, Span::seconds(5))]));
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    assert_eq!(case.code("/dcos/volume1"), "not_settled");
    case.ledger.roots = vec![known(DiskType::Mount, "/dcos/volume1", 10140, None)];
    assert_eq!(case.code("/dcos/volume1"), "offered 10140");
}

#[test]
fn root_that_is_not_wanted_is_written_as_nothing() {
    let mut case = agent();
    case.rules.root.advertise = false;
    assert_eq!(case.code("/var/lib/mesos"), "not_advertised");
    let discovery = case.discover();
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    assert_eq!(advertisement.disks[0].disk.kind, DiskType::Root);
    assert_eq!(advertisement.disks[0].number, Megabytes::default());
    assert!(advertisement.degraded.is_empty());
}

#[test]
fn without_a_number_for_root_nothing_is_written() {
    let mut case = agent();
    case.host
        .answers
        .insert("/var/lib/mesos".into(), PathAnswer::Missing);
    let discovery = case.discover();
    let error = advertise(&discovery, &case.rules).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the ROOT disk /var/lib/mesos has no number: agent.work_dir /var/lib/mesos is not there \
         (missing); mend that, or set root.advertise = false to offer no ROOT disk"
    );
    case.ledger.roots = vec![known(DiskType::Root, "/var/lib/mesos", 777, None)];
    let discovery = case.discover();
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    assert_eq!(advertisement.disks[0].number, Megabytes::whole(777));
    assert_eq!(advertisement.degraded.len(), 1);
}

#[test]
fn the_ledger_records_each_number_once() {
    let mut case = agent();
    let discovery = case.discover();
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    let first = recorded(&case.ledger, &advertisement, 100);
    assert_eq!(first.roots.len(), advertisement.disks.len());
    assert_eq!(recorded(&first, &advertisement, 200), first);
    case.ledger = first.clone();
    case.rules.disks[1].size = SizeRule::Size(Bytes(3 * GIB));
    let discovery = case.discover();
    let advertisement = advertise(&discovery, &case.rules).unwrap();
    let second = recorded(&first, &advertisement, 300);
    let changed = second
        .roots
        .iter()
        .find(|root| root.disk.kind == DiskType::Path)
        .unwrap();
    assert_eq!(changed.advertised, Some(Megabytes::whole(3072)));
    assert_eq!(
        changed.changes.last().unwrap().what,
        "2048 MB became 3072 MB: size = 3 GiB"
    );
}

#[test]
fn an_unreadable_source_is_said_and_hides_no_mount() {
    let mut case = agent();
    case.host.devices = Known::unknown("can't read /sys/class/block");
    assert_eq!(case.code("/dcos/volume0"), "offered 10140");
    assert_eq!(
        case.discover().warnings[0],
        "block devices could not be read: can't read /sys/class/block"
    );
}

#[test]
fn paths_that_are_no_plain_absolute_paths_are_refused() {
    for path in ["mnt/data", "/mnt/../etc", "/mnt/./data"] {
        let mut case = agent();
        case.rules.disks.clear();
        let mut case = case.share(path, GIB);
        assert_eq!(case.code(path), "not_absolute");
    }
    let mut case = agent();
    case.rules.disks[1].paths = vec!["//mnt//data/".to_owned()];
    assert_eq!(case.code("/mnt/data"), "offered 2048");
}

/// Host and rules made of few names, so that they meet.
fn any_case() -> impl Strategy<Value = Case> {
    let points = ["/", "/a", "/a/b", "/a/b/c", "/d", "/var/lib/mesos", "/a-x"];
    let types = [
        "ext4", "xfs", "nfs4", "fuse", "tmpfs", "proc", "btrfs", "autofs",
    ];
    let line = (
        1u64..9,
        0u64..9,
        0u32..4,
        0usize..7,
        0usize..8,
        0usize..3,
        any::<bool>(),
    );
    let rule = (0usize..3, 0usize..9, any::<bool>(), 0u64..20);
    let root = (0usize..7, 0usize..3, 1u64..20_000);
    (
        proptest::collection::vec(line, 1..12),
        proptest::collection::vec(rule, 0..4),
        proptest::collection::vec(root, 0..4),
        any::<bool>(),
    )
        .prop_map(move |(lines, rules, roots, held)| {
            let mut ids = BTreeSet::new();
            let mut text = String::new();
            for (id, parent, minor, point, fs_type, root, read_only) in lines {
                if !ids.insert(id) {
                    continue;
                }
                let fs_type = types[fs_type];
                let major = if matches!(fs_type, "ext4" | "xfs") {
                    8
                } else {
                    0
                };
                writeln!(
                    text,
                    "{id} {parent} {major}:{minor} {} {} {} - {fs_type} /dev/sd{minor} rw",
                    ["/", "/x", "/x/y"][root],
                    points[point],
                    if read_only { "ro" } else { "rw" }
                )
                .unwrap();
            }
            let mounts = MountTable::new(mountinfo::parse(text.as_bytes()).unwrap());
            let devices = (0..6)
                .map(|n| device(&format!("sd{n}"), &format!("8:{n}"), "ext4"))
                .collect();
            let mut case = Case::of(mounts, devices);
            case.directories = vec!["/a", "/a/b", "/d", "/d/e", "/var/lib/mesos"];
            for (kind, path, explicit, gib) in rules {
                let paths = [
                    "/*", "/a/*", "/a", "/a/b", "/d/e", "/d", "/**", "/nowhere", "/[",
                ];
                let size = if explicit {
                    SizeRule::Size(Bytes(gib * GIB))
                } else {
                    SizeRule::Reserve(Bytes(gib * GIB))
                };
                let kind = [DiskType::Path, DiskType::Mount, DiskType::Path][kind];
                case = case.rule(kind, &[paths[path]], size);
            }
            let mut named = BTreeSet::new();
            for (root, kind, number) in roots {
                let kind = [DiskType::Path, DiskType::Mount, DiskType::Root][kind];
                let entry = known(kind, points[root], number, None);
                if named.insert(entry.disk.clone()) {
                    case.ledger.roots.push(entry);
                }
            }
            case.held = if held {
                Known::unknown("not read")
            } else {
                Known::Absent
            };
            case
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_mount_and_device_gets_its_verdict(mut case in any_case()) {
        let discovery = case.discover();
        // Each mount once.
        let mut mounts = Vec::new();
        for disk in &discovery.disks {
            match disk.subject {
                Subject::Mount(id) | Subject::WorkDir(Some(id)) => mounts.push(id),
                Subject::WorkDir(None) | Subject::Path(_) | Subject::Device(_) => {}
            }
        }
        mounts.sort_unstable();
        let mut wanted: Vec<u64> =
            case.host.mounts.entries().iter().map(|mount| mount.id).collect();
        wanted.sort_unstable();
        prop_assert_eq!(mounts, wanted);
        // Each device at least once, and by itself at most once.
        for device in case.host.devices() {
            let shown = discovery
                .disks
                .iter()
                .filter(|disk| disk.device.as_ref().is_some_and(|shown| shown.name == device.name));
            let own = shown
                .clone()
                .filter(|disk| matches!(disk.subject, Subject::Device(_)))
                .count();
            prop_assert!(shown.count() >= 1 && own <= 1, "{}", device.name);
        }
        // ROOT once, and first.
        let roots = discovery
            .disks
            .iter()
            .filter(|disk| matches!(disk.subject, Subject::WorkDir(_)))
            .count();
        prop_assert_eq!(roots, 1);
    }

    #[test]
    fn what_is_offered_is_seen_local_writable_and_apart(mut case in any_case()) {
        let discovery = case.discover();
        let offered: Vec<_> = discovery.offered().collect();
        for disk in &offered {
            let mount = disk.mount.as_ref().unwrap();
            prop_assert!(!mount.network && !mount.read_only);
            let seen = case.host.mounts.mount_of(&mount.mount_point).unwrap();
            prop_assert_eq!(seen.device, mount.device);
            prop_assert!(seen.class().may_be_asked());
            prop_assert!(disk.offer().unwrap().number > Megabytes::default());
            let kind = disk.disk.as_ref().unwrap().kind;
            prop_assert!(kind != DiskType::Mount || mount.is_mount_point);
        }
        for (index, a) in offered.iter().enumerate() {
            for b in offered.iter().skip(index + 1) {
                let (x, y) = (a.mount.as_ref().unwrap(), b.mount.as_ref().unwrap());
                prop_assert!(!x.location.within(&y.location) && !y.location.within(&x.location));
                let kinds = [a, b].map(|disk| disk.disk.as_ref().unwrap().kind);
                prop_assert!(x.device != y.device || !kinds.contains(&DiskType::Mount));
            }
        }
        // No file system gives more than it has, unless earlier numbers alone do.
        let mut sums: BTreeMap<DeviceNumber, i64> = BTreeMap::new();
        for disk in &offered {
            let entry = sums.entry(disk.mount.as_ref().unwrap().device).or_default();
            *entry += disk.offer().unwrap().number.thousandths();
        }
        for (device, sum) in sums {
            let kept: i64 = offered
                .iter()
                .filter(|disk| disk.mount.as_ref().unwrap().device == device)
                .filter(|disk| disk.offer().unwrap().reason.to_string().starts_with("kept"))
                .map(|disk| disk.offer().unwrap().number.thousandths())
                .sum();
            prop_assert!(sum <= 10 * 1024 * 1000 || sum == kept, "{device}: {sum}");
        }
    }

    #[test]
    fn nothing_that_may_hang_is_asked_for(case in any_case()) {
        for path in questions(&case.rules, &case.host.mounts, case.host.devices()) {
            let exact = case.rules.disks.iter().flat_map(|rule| &rule.paths)
                .any(|text| path == text.as_str().into());
            // Exact paths and the work_dir are walked to step by step; see observe::filesystem.
            if path != case.rules.work_dir && !exact {
                let mounts: Vec<_> = case.host.mounts.entries().iter()
                    .filter(|mount| mount.mount_point == path)
                    .collect();
                prop_assert!(mounts.iter().any(|mount| mount.class().may_be_asked()));
            }
        }
    }

    #[test]
    fn entries_have_root_first_and_each_root_once(mut case in any_case()) {
        let discovery = case.discover();
        if let Ok(advertisement) = advertise(&discovery, &case.rules) {
            prop_assert_eq!(advertisement.disks[0].disk.kind, DiskType::Root);
            let roots: BTreeSet<_> = advertisement.disks.iter().map(|entry| &entry.disk).collect();
            prop_assert_eq!(roots.len(), advertisement.disks.len());
            let again = recorded(&case.ledger, &advertisement, 1);
            prop_assert_eq!(recorded(&again, &advertisement, 2), again);
        }
    }
}
