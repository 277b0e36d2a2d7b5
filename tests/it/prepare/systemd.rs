//! Where systemd runs: units by UUID, enabled and started, and taken away again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write and look at files of their own namespace"
)]

use std::os::unix::fs::PermissionsExt as _;

use mesos_volumed::decide::prepare::escape_path;
use mesos_volumed::units::Raw;

use super::bench::Bench;
use crate::own_namespace::entered;
use crate::support::disk::{sh, try_run};

/// A systemctl that starts and stops mount units by mount(8) and umount(8), and writes down what
/// it was told.
const SYSTEMCTL: &str = r#"#!/bin/bash
set -eu
echo "$*" >> /run/systemd/log
export TMPDIR=/run
units=/etc/systemd/system
verb=$1; shift
for unit in "$@"; do
    # Specifiers are all that systemd replaces in these values.
    file=$(mktemp)
    sed 's/%%/%/g' "$units/$unit" > "$file"
    case $verb in
        start)
            what=$(sed -n 's/^What=//p' "$file"); where=$(sed -n 's/^Where=//p' "$file")
            type=$(sed -n 's/^Type=//p' "$file"); options=$(sed -n 's/^Options=//p' "$file")
            # There is no udev here.
            case $what in /dev/disk/by-uuid/*) what="UUID=${what##*/}" ;; esac
            if [ "$type" = none ]; then mount -o "$options" "$what" "$where"
            else mount -t "$type" "$what" "$where"; fi ;;
        stop) umount "$(sed -n 's/^Where=//p' "$file")" ;;
        enable) mkdir -p "$units/local-fs.target.wants"
            ln -sf "$units/$unit" "$units/local-fs.target.wants/$unit" ;;
        disable) rm -f "$units/local-fs.target.wants/$unit" ;;
    esac
done
"#;

/// A host on which systemd seems to run, in this mount namespace alone.
fn with_systemd(bench: &Bench) {
    let systemctl = bench.at("systemctl");
    std::fs::write(&systemctl, SYSTEMCTL).unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["/run", "/etc/systemd"] {
        sh!("mount", "-t", "tmpfs", "none", folder);
    }
    std::fs::create_dir_all("/run/systemd/system").unwrap();
    std::fs::create_dir_all("/etc/systemd/system").unwrap();
    let place = ["/usr/bin/systemctl", "/bin/systemctl"]
        .into_iter()
        .find(|place| std::fs::metadata(place).is_ok());
    match place {
        Some(place) => {
            sh!("mount", "--bind", &systemctl, place);
        }
        None => panic!("this test wants a systemctl to stand in for"),
    }
}

fn log() -> Vec<String> {
    let text = std::fs::read_to_string("/run/systemd/log").unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn root_units_mount_the_disk_before_the_agent_and_go_with_it() {
    if !entered("prepare::systemd::root_units_mount_the_disk_before_the_agent_and_go_with_it") {
        return;
    }
    if std::fs::metadata("/usr/bin/systemctl").is_err() {
        println!("skipped: there is no systemctl");
        return;
    }
    let bench = Bench::new(64);
    with_systemd(&bench);
    let root = "mount-a b%c";
    bench.prepare("mount", root, "ext4", &[]).ends(0);
    assert_eq!(bench.mounts().len(), 2);
    let units = |path: &std::path::Path| escape_path(&Raw::from(path)) + ".mount";
    let (own, bound) = (units(&bench.hidden()), units(&bench.at(root)));
    assert_eq!(
        log(),
        [
            "daemon-reload".to_owned(),
            format!("enable {own} {bound}"),
            format!("start {own}"),
            format!("start {bound}"),
        ]
    );
    let text = std::fs::read_to_string(format!("/etc/systemd/system/{own}")).unwrap();
    assert!(
        text.contains(&format!("What=/dev/disk/by-uuid/{}\n", bench.uuid())),
        "{text}"
    );
    assert!(text.contains("Before=local-fs.target mesos-slave.service mesos-agent.service"));
    let verified = try_run(
        "systemd-analyze",
        &[
            "verify".as_ref(),
            format!("/etc/systemd/system/{own}").as_ref(),
            format!("/etc/systemd/system/{bound}").as_ref(),
        ],
    );
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(
        !said.contains("Unknown") && !said.contains("doesn't match"),
        "{said}"
    );

    // The next boot: the units alone mount it.
    bench.unmount_all();
    sh!("/usr/bin/systemctl", "start", &own, &bound);
    assert_eq!(bench.mounts().len(), 2);
    bench.release(root).ends(0);
    assert_eq!(bench.mounts(), []);
    let left: Vec<_> = std::fs::read_dir("/etc/systemd/system")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["local-fs.target.wants"]);
    assert_eq!(
        std::fs::read_dir("/etc/systemd/system/local-fs.target.wants")
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn units_have_the_names_that_systemd_gives_them() {
    let paths = [
        "/",
        "/a",
        "/dcos/volume0",
        "/mnt/data-1",
        "/.hidden/.x",
        "/a b",
        "/ü/ß",
        "/a_b:c.d/e@f",
        "/x\\y",
        "/a%b",
    ];
    let mut compared = 0_usize;
    for path in paths {
        let Ok(output) = std::process::Command::new("systemd-escape")
            .args(["--path", path])
            .output()
        else {
            println!("skipped: systemd-escape is not installed");
            break;
        };
        let theirs = String::from_utf8(output.stdout).unwrap();
        assert_eq!(escape_path(&Raw::from(path)), theirs.trim_end(), "{path}");
        compared = compared.saturating_add(1);
    }
    assert_eq!(escape_path(&Raw::from("/mnt/data-1")), "mnt-data\\x2d1");
    println!("{compared} names compared");
}
