#![expect(clippy::disallowed_methods, reason = "tests make their own sysfs")]

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A sysfs of a few files.
struct Sys(TempDir);

impl Sys {
    fn new() -> Self {
        let sys = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(sys.0.path().join("class/block")).unwrap();
        sys
    }

    /// A device at this place below `devices/`, with these attributes.
    fn device(&self, place: &str, attributes: &[(&str, &[u8])]) {
        let folder = self.0.path().join("devices").join(place);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, value) in attributes {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                std::fs::create_dir_all(&file).unwrap();
            } else {
                std::fs::write(file, value).unwrap();
            }
        }
        let name = folder.file_name().unwrap();
        symlink(
            Path::new("../../devices").join(place),
            self.0.path().join("class/block").join(name),
        )
        .unwrap();
    }

    fn list(&self) -> Vec<BlockDevice> {
        list(self.0.path()).unwrap()
    }
}

#[test]
fn drives_partitions_and_what_is_made_of_them_are_told() {
    let sys = Sys::new();
    let drive = "pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda";
    sys.device(
        drive,
        &[
            ("dev", b"8:0\n"),
            ("size", b"2048\n"),
            ("ro", b"0\n"),
            ("removable", b"0\n"),
            ("queue/rotational", b"1\n"),
            ("device/model", b"ST10000NM0016-1T\n"),
            ("device/vpd_pg80", b"\0\x80\0\x08  ZA2ABC"),
            ("device/wwid", b"naa.5000c500\n"),
            ("holders/", b""),
        ],
    );
    sys.device(
        &format!("{drive}/sda10"),
        &[
            ("dev", b"8:10\n"),
            ("size", b"8\n"),
            ("ro", b"1\n"),
            ("partition", b"10\n"),
        ],
    );
    sys.device(
        &format!("{drive}/sda2"),
        &[
            ("dev", b"8:2\n"),
            ("size", b"8\n"),
            ("ro", b"0\n"),
            ("partition", b"2\n"),
            ("holders/dm-0", b""),
        ],
    );
    sys.device(
        "virtual/block/dm-0",
        &[
            ("dev", b"253:0\n"),
            ("size", b"8\n"),
            ("ro", b"0\n"),
            ("dm/name", b"vg-data\n"),
            ("slaves/sda2", b""),
        ],
    );
    let devices = sys.list();
    let names: Vec<String> = devices
        .iter()
        .map(|device| device.name.to_string())
        .collect();
    assert_eq!(names, ["dm-0", "sda", "sda2", "sda10"]);
    let [mapped, drive, second, tenth] = &devices[..] else {
        panic!("{devices:#?}");
    };
    assert_eq!(drive.size_bytes, Known::Known(1 << 20));
    assert_eq!(drive.rotational, Known::Known(true));
    assert_eq!(drive.model, Some("ST10000NM0016-1T".into()));
    assert_eq!(drive.serial, Some("ZA2ABC".into()));
    assert_eq!(drive.wwn, Some("naa.5000c500".into()));
    assert_eq!(drive.partitions, ["sda2".into(), "sda10".into()]);
    assert!(!drive.is_virtual);
    assert_eq!(second.parent, Some("sda".into()));
    assert_eq!(second.holders, ["dm-0".into()]);
    assert_eq!(second.model, drive.model, "of its drive");
    assert_eq!(second.rotational, Known::Known(true), "of its drive");
    assert_eq!(tenth.read_only, Known::Known(true));
    assert_eq!(mapped.slaves, ["sda2".into()]);
    assert!(mapped.is_virtual);
    assert!(mapped.is_called(&"/dev/mapper/vg-data".into()));
    assert!(mapped.is_called(&"/dev/dm-0".into()));
    assert!(!mapped.is_called(&"/dev/mapper/vg-data2".into()));
    assert!(!mapped.is_called(&"dm-0".into()));
}

#[test]
fn loop_usb_nvme_and_odd_names_are_told() {
    let sys = Sys::new();
    let plain: &[(&str, &[u8])] = &[("dev", b"7:0\n"), ("size", b"0\n")];
    sys.device("virtual/block/loop0", plain);
    sys.device(
        "virtual/block/loop1",
        &[
            ("dev", b"7:1\n"),
            ("size", b"8\n"),
            ("loop/backing_file", b"/srv/with\nfeed (deleted)\n"),
        ],
    );
    sys.device(
        "pci0000:00/usb1/1-1/host4/block/sdb",
        &[("dev", b"8:16\n"), ("size", b"8\n"), ("removable", b"0\n")],
    );
    sys.device(
        "virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
        &[
            ("dev", b"259:0\n"),
            ("size", b"8\n"),
            ("wwid", b"eui.0025\n"),
            ("device/serial", b"S1  \n"),
        ],
    );
    sys.device(
        "pci0000:00/nvme/nvme0/nvme0c0n1",
        &[("dev", b"259:1\n"), ("hidden", b"1\n")],
    );
    sys.device("pci0000:00/cciss0/block/cciss!c0d0", &[("dev", b"104:0\n")]);
    sys.device("virtual/block/nothing", &[("size", b"8\n")]);
    let devices = sys.list();
    let of = |name: &str| {
        devices
            .iter()
            .find(|device| device.name == name.into())
            .unwrap()
    };
    assert_eq!(devices.len(), 5, "{devices:#?}");
    assert_eq!(of("loop0").size_bytes, Known::Known(0));
    assert_eq!(of("loop0").backing_file, None);
    assert_eq!(
        of("loop1").backing_file,
        Some("/srv/with\nfeed (deleted)".into())
    );
    assert!(of("loop1").is_virtual);
    assert_eq!(of("sdb").removable, Known::Known(true));
    assert!(!of("nvme0n1").is_virtual);
    assert_eq!(of("nvme0n1").serial, Some("S1".into()));
    assert_eq!(of("nvme0n1").wwn, Some("eui.0025".into()));
    assert!(matches!(of("cciss/c0d0").size_bytes, Known::Absent));
}

#[test]
fn the_devices_below_mounts_are_those_of_the_whole_list() {
    let sys = Sys::new();
    let drive = "pci0000:00/ata1/block/sda";
    let device = |place: &str, number: &str, more: &[(&str, &[u8])]| {
        let number = format!("{number}\n");
        let own: [(&str, &[u8]); 2] = [("dev", number.as_bytes()), ("size", b"8\n")];
        sys.device(place, &[&own[..], more].concat());
    };
    device(drive, "8:0", &[("device/wwid", b"naa.5\n")]);
    device(&format!("{drive}/sda2"), "8:2", &[("partition", b"2\n")]);
    device("virtual/block/dm-0", "253:0", &[("dm/name", b"vg-data\n")]);
    device("virtual/block/cciss!c0d0", "104:0", &[]);
    let block = sys.0.path().join("dev/block");
    std::fs::create_dir_all(&block).unwrap();
    for (number, place) in [
        ("8:0", drive),
        ("8:2", "pci0000:00/ata1/block/sda/sda2"),
        ("104:0", "virtual/block/cciss!c0d0"),
    ] {
        symlink(Path::new("../../devices").join(place), block.join(number)).unwrap();
    }
    let all = sys.list();
    let mount = |device: &str, source: &str| {
        let line = format!("36 35 {device} / /mnt rw - some {source} rw\n");
        crate::observe::mountinfo::parse(line.as_bytes())
            .unwrap()
            .remove(0)
    };
    for (mounts, count) in [
        (vec![mount("8:2", "/dev/sda2")], 1),
        (
            vec![
                mount("8:2", "/dev/sda2"),
                mount("8:2", "/dev/root"),
                mount("8:0", "/dev/sda"),
            ],
            2,
        ),
        (vec![mount("104:0", "/dev/cciss/c0d0")], 1),
        // btrfs has numbers of its own, and a mapper's name is told by the whole list alone.
        (vec![mount("0:40", "/dev/sda2")], 1),
        (vec![mount("0:41", "/dev/mapper/vg-data")], 4),
        (vec![mount("0:42", "tank/data")], 4),
        (vec![mount("253:0", "/dev/mapper/vg-data")], 4),
        (Vec::new(), 0),
    ] {
        let some = below(sys.0.path(), &mounts).unwrap();
        assert_eq!(some.len(), count, "{mounts:?}");
        for mount in &mounts {
            let (some, all) = (device_of(mount, &some), device_of(mount, &all));
            let told = |device: Option<&BlockDevice>| {
                device.map(|device| (device.name.clone(), device.wwn.clone(), device.number))
            };
            assert_eq!(told(some), told(all), "{mount:?}");
        }
    }
}

#[test]
fn a_missing_sysfs_is_an_error_and_not_an_empty_host() {
    let error = list(Path::new("/proc/0")).unwrap_err();
    assert_eq!(error.to_string(), "can't read /proc/0/class/block");
}

#[test]
fn this_hosts_devices_are_listed() {
    let devices = list(Path::new("/sys")).unwrap();
    let count = std::fs::read_dir("/sys/class/block").unwrap().count();
    assert!(devices.len() <= count);
    for device in devices {
        assert!(matches!(device.size_bytes, Known::Known(_)), "{device:#?}");
    }
}

#[test]
fn the_content_of_a_node_that_is_no_such_device_is_not_read() {
    let temp = tempfile::tempdir().unwrap();
    let sys = Sys::new();
    for name in ["sda", "sdb", "sdc"] {
        sys.device(
            &format!("pci/block/{name}"),
            &[("dev", b"8:0\n"), ("size", b"8\n")],
        );
    }
    let mut devices = sys.list();
    std::fs::write(
        temp.path().join("sda"),
        [b"XFSB".as_slice(), &[0; 8192]].concat(),
    )
    .unwrap();
    symlink("sda", temp.path().join("sdb")).unwrap();
    look_into(&mut devices, temp.path());
    let why: Vec<&str> = devices
        .iter()
        .map(|device| device.content.why().unwrap().0.as_str())
        .collect();
    assert_eq!(why[0], "its node in /dev is another device");
    assert!(
        why[1].starts_with("can't read it: Too many levels"),
        "{why:?}"
    );
    assert!(why[2].starts_with("can't read it: No such file"), "{why:?}");
}

#[test]
fn swaps_are_read_as_the_kernel_writes_them() {
    let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
        /dev/sda4                               partition\t8388604\t\t0\t\t-2\n\
        /srv/swap\\040file                       file\t\t1048572\t\t0\t\t-3\n";
    assert_eq!(
        parse_swaps(text).unwrap(),
        ["/dev/sda4".into(), "/srv/swap file".into()]
    );
    assert_eq!(parse_swaps(b"").unwrap(), []);
    assert_eq!(parse_swaps(b"/dev/sda4 partition\n"), None);
}

#[test]
fn fstab_gives_its_mount_points() {
    let text = b"# <file system> <mount point>\n\
        UUID=1 / ext4 errors=remount-ro 0 1\n\
        \n\
        UUID=2\tnone\tswap\tsw\t0\t0\n\
          LABEL=data0\t/dcos/volume0/ ext4 nofail 0 2\n\
        /dev/sdc1 /mnt/with\\040space xfs\n\
        tooshort\n";
    assert_eq!(
        parse_fstab(text),
        ["/".into(), "/dcos/volume0".into(), "/mnt/with space".into()]
    );
}

proptest! {
    #[test]
    fn no_bytes_at_all_bring_the_readers_down(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _swaps = parse_swaps(&text);
        let _points = parse_fstab(&text);
        let _number = device_number(&text);
    }
}
