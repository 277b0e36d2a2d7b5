//! Discovery and resources on a host with 1,000 mounts: a busy agent with 60 disks and 230
//! containers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mesos_volumed::decide::advertise::advertise;
use mesos_volumed::decide::baseline::Baselines;
use mesos_volumed::decide::discover::{Input, discover, questions};
use mesos_volumed::decide::facts::{
    BlockDevice, Content, DeviceNumber, DirectoryAnswer, DiscoveryRules, DiskRule, DiskRules,
    HostDisks, Known, MountTable, PathAnswer, RootRule, Settled, SizeRule,
};
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resources_json::{DiskEntry, Foreign, generate};
use mesos_volumed::observe::mountinfo;
use mesos_volumed::units::{Bytes, Raw, Span};

const MOUNTS: u32 = 1000;
const DISKS: u32 = 60;
const SIZE: u64 = 8 << 40;

/// `sda`, `sdb`, …, `sdaa`, …
fn drive(index: u32) -> String {
    let letter = |n: u32| char::from_u32(u32::from(b'a').saturating_add(n)).unwrap_or('x');
    match index.checked_div(26) {
        Some(0) | None => format!("sd{}", letter(index)),
        Some(high) => format!("sd{}{}", letter(high.saturating_sub(1)), letter(index % 26)),
    }
}

fn minor(index: u32) -> u32 {
    index.saturating_mul(16)
}

/// A mount table in the kernel's form.
fn table() -> String {
    let mut text = String::from(
        "22 27 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n\
         23 27 0:22 / /sys rw,nosuid shared:2 - sysfs sysfs rw\n\
         24 27 0:5 / /dev rw,nosuid shared:8 - devtmpfs udev rw,size=16384000k\n\
         26 27 0:24 / /run rw,nosuid shared:11 - tmpfs tmpfs rw,size=3280000k\n\
         27 1 8:0 / / rw,relatime shared:1 - ext4 /dev/sda rw,errors=remount-ro\n",
    );
    let mut id = 100u32;
    let mut line = |rest: std::fmt::Arguments<'_>| {
        id = id.saturating_add(1);
        // Writing to a string does not fail.
        writeln!(text, "{id} 27 {rest}").unwrap_or_default();
    };
    for index in 1..DISKS {
        line(format_args!(
            "8:{} / /dcos/volume{index} rw,noatime shared:{index} - xfs /dev/{} rw,attr2,inode64,noquota",
            minor(index),
            drive(index)
        ));
    }
    let mut container = 0u32;
    for mount in DISKS.saturating_add(4)..MOUNTS {
        let folder = format!("/var/lib/mesos/containers/{container:032x}");
        match mount % 4 {
            0 => line(format_args!(
                "0:{mount} / {folder}/rootfs rw,relatime - overlay overlay rw,lowerdir={folder}/l1:{folder}/l2,upperdir={folder}/u,workdir={folder}/w"
            )),
            1 => line(format_args!(
                "0:{mount} / {folder}/shm rw,nosuid - tmpfs shm rw,size=65536k"
            )),
            2 => line(format_args!(
                "0:4 net:[{mount}] {folder}/net rw shared:9 - nsfs nsfs rw"
            )),
            _ => {
                container = container.saturating_add(1);
                line(format_args!(
                    "8:0 /var/lib/mesos/slaves/s\\040{mount} {folder}/sandbox rw,relatime shared:1 - ext4 /dev/sda rw,errors=remount-ro"
                ));
            }
        }
    }
    text
}

fn devices() -> Vec<BlockDevice> {
    (0..DISKS)
        .map(|index| BlockDevice {
            name: drive(index).into(),
            number: DeviceNumber {
                major: 8,
                minor: minor(index),
            },
            parent: None,
            mapper_name: None,
            size_bytes: Known::Known(SIZE),
            read_only: Known::Known(false),
            removable: Known::Known(false),
            rotational: Known::Known(true),
            is_virtual: false,
            backing_file: None,
            holders: Vec::new(),
            slaves: Vec::new(),
            partitions: Vec::new(),
            model: Some("ST8000NM0055".into()),
            serial: None,
            wwn: None,
            content: Known::Known(Content::Filesystem {
                fs_type: "xfs".to_owned(),
                uuid: Some(format!("00000000-0000-0000-0000-{index:012}")),
                label: None,
            }),
        })
        .collect()
}

fn rules() -> DiskRules {
    DiskRules {
        work_dir: "/var/lib/mesos".into(),
        root: RootRule {
            advertise: true,
            size: SizeRule::Reserve(Bytes(5 << 30)),
            role: Role::new("*"),
        },
        disks: vec![
            DiskRule {
                kind: DiskType::Path,
                paths: vec!["/dcos/volume1".to_owned()],
                labels: Vec::new(),
                models: Vec::new(),
                devices: Vec::new(),
                size: SizeRule::Size(Bytes(2 << 30)),
                role: Role::new("prod"),
            },
            DiskRule {
                kind: DiskType::Mount,
                paths: vec!["/dcos/volume*".to_owned()],
                labels: Vec::new(),
                models: Vec::new(),
                devices: Vec::new(),
                size: SizeRule::Reserve(Bytes(100 << 20)),
                role: Role::new("*"),
            },
        ],
        discovery: DiscoveryRules {
            settle: Span::seconds(5),
            min_size: Bytes(64 << 20),
            filesystems: vec!["ext4".to_owned(), "xfs".to_owned()],
            exclude: vec!["/boot/*".to_owned()],
        },
    }
}

fn answers(paths: Vec<Raw>, mounts: &MountTable) -> BTreeMap<Raw, PathAnswer> {
    paths
        .into_iter()
        .filter_map(|path| {
            let mount = mounts.mount_of(&path)?;
            let answer = DirectoryAnswer {
                resolved: path.clone(),
                mount: mount.id,
                total_bytes: SIZE,
                free_bytes: SIZE,
                failure: None,
                read_only: false,
                uuid: Known::Absent,
            };
            Some((path, PathAnswer::Directory(answer)))
        })
        .collect()
}

/// From the text of the mount table to the text of `--resources`: all but the asking.
fn resources(text: &str, devices: &[BlockDevice], rules: &DiskRules) -> Option<String> {
    let mounts = MountTable::new(mountinfo::parse(text.as_bytes()).ok()?);
    let paths = questions(rules, &mounts, devices);
    let host = HostDisks {
        answers: answers(paths, &mounts),
        mounts,
        devices: Known::Known(devices.to_vec()),
        swaps: Known::Known(Vec::new()),
        fstab: Known::Known(Vec::new()),
        settled: Settled::Taken,
    };
    let ledger = Ledger::default();
    let discovery = discover(Input {
        rules,
        host: &host,
        ledger: &ledger,
        held: &Known::Known(BTreeSet::new()),
        agent: &Baselines::default(),
    });
    let entries: Vec<DiskEntry> = advertise(&discovery, rules)
        .ok()?
        .disks
        .into_iter()
        .map(|entry| DiskEntry {
            disk: entry.disk,
            size: entry.number,
            role: entry.role,
            extras: entry.extras,
            known: entry.known,
        })
        .collect();
    Some(generate(&entries, &Foreign::default()).ok()?.json())
}

fn benches(criterion: &mut Criterion) {
    let (text, devices, rules) = (table(), devices(), rules());
    let written = resources(&text, &devices, &rules).unwrap_or_default();
    // One line an entry and two for the array: the bench must not measure a failure.
    assert_eq!(
        written.lines().count(),
        usize::try_from(DISKS).unwrap_or(0).saturating_add(2),
        "{written}"
    );
    let mut group = criterion.benchmark_group("1,000 mounts");
    group.bench_function("read the mount table", |bench| {
        bench.iter(|| mountinfo::parse(black_box(text.as_bytes())));
    });
    group.bench_function("discover and write resources", |bench| {
        bench.iter(|| resources(black_box(&text), &devices, &rules));
    });
    group.finish();
}

criterion_group!(discovery, benches);
criterion_main!(discovery);
