//! Disks that come and go while the daemon runs, and what it tells over TCP.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::host::{Daemon, Disk, Host, Parts, must};
use crate::own_namespace::entered;
use crate::support::stand_in::wait_until;

const SETTLE: Duration = Duration::from_secs(2);
/// For what is no claim about time.
const PATIENCE: Duration = Duration::from_secs(40);

/// A host whose rules offer what is mounted below `plugged` as well; the numbers are those that its
/// agent registers with.
fn host() -> Host {
    let host = Host::new(Parts::default());
    let at = |name: &str| host.temp().join(name).display().to_string();
    let text = format!(
        r#"
        [agent]
        work_dir = "{work}"
        url = "http://127.0.0.1:{port}"
        pid_namespace = "own"
        [root]
        size = "40MiB"
        [[disks]]
        type = "PATH"
        paths = ["{path}"]
        size = "40MiB"
        [[disks]]
        type = "MOUNT"
        paths = ["{mount}", "{plugged}/*"]
        size = "20MiB"
        [discovery]
        settle = "{settle}s"
        min_size = "1MiB"
        [resources]
        extra = "cpus:2;mem:2048;ports:[31000-32000]"
        write_to = "{file}"
        [daemon]
        state_dir = "{state}"
        listen = "127.0.0.1:0"
        socket = "{socket}"
        "#,
        work = at("work"),
        path = at("path"),
        mount = at("mount"),
        plugged = at("plugged"),
        file = file(&host).display(),
        state = host.state_dir().display(),
        socket = host.socket().display(),
        port = host.agent.port,
        settle = SETTLE.as_secs(),
    );
    std::fs::create_dir_all(host.temp().join("plugged")).unwrap();
    std::fs::write(host.config(), text).unwrap();
    host
}

fn file(host: &Host) -> PathBuf {
    host.temp().join("resources.json")
}

fn text(host: &Host) -> String {
    std::fs::read_to_string(file(host)).unwrap_or_default()
}

/// An answer of the daemon: status and body.
fn get(daemon: &Daemon, request: &str) -> (u16, String) {
    let log = daemon.log();
    let (_, rest) = log.split_once("metrics are at http://").unwrap();
    let address = rest.split_once("/metrics").unwrap().0;
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

fn path(daemon: &Daemon, path: &str) -> (u16, String) {
    get(
        daemon,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}

/// The samples of a text in Prometheus's format, read strictly.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name) && !help.is_empty(), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name, kind).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part))
                .filter(|family| types.get(family) == Some(&"histogram"))
                .unwrap_or(name);
            assert!(types.contains_key(family), "{line}");
            assert!(
                name.starts_with("mesos_volumed_")
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{line}"
            );
            if let Some((_, labels)) = series.split_once('{') {
                let labels = labels.strip_suffix('}').unwrap();
                for label in labels.split("\",") {
                    let (key, value) = label.split_once("=\"").unwrap();
                    assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
                    assert!(!value.contains('/'), "no paths: {line}");
                }
            }
            let value: f64 = value.parse().unwrap();
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    samples
}

fn figures(daemon: &Daemon) -> BTreeMap<String, f64> {
    let (status, body) = path(daemon, "/metrics");
    assert_eq!(status, 200, "{body}");
    samples(&body)
}

fn figure(daemon: &Daemon, series: &str) -> f64 {
    let figures = figures(daemon);
    *figures
        .get(&format!("mesos_volumed_{series}"))
        .unwrap_or_else(|| panic!("{series}: {figures:#?}"))
}

#[test]
fn root_a_disk_that_is_plugged_in_is_written_once_it_has_settled() {
    if !entered("e2e::hotplug::root_a_disk_that_is_plugged_in_is_written_once_it_has_settled") {
        return;
    }
    // No agent ever ran here: nothing can stand in the way of its first start.
    let host = host();
    let daemon = host.daemon();
    wait_until("the disks settle", PATIENCE, || {
        text(&host).contains("mount")
    });
    wait_until("it is said", PATIENCE, || {
        daemon.log().contains("a restart of the agent takes it up")
    });
    // On a machine with much else to do, one of three has to be in time.
    let mut in_time = false;
    let mut disk = None;
    let mut name = String::new();
    for n in 0..3 {
        let point = host.temp().join(format!("plugged/{n}"));
        let image = host.temp().join(format!("{n}.img"));
        let made = Disk::new(&image, "ext4", 32, &point);
        let plugged = Instant::now();
        name = point.display().to_string();
        wait_until("it is seen", PATIENCE, || {
            figures(&daemon)
                .keys()
                .any(|key| key.contains("not_settled"))
        });
        let seen = plugged.elapsed();
        assert!(!text(&host).contains(&name), "it has not settled");
        wait_until("it is written", PATIENCE, || text(&host).contains(&name));
        let took = plugged.elapsed();
        println!("seen after {seen:?}, in the file after {took:?}, settle {SETTLE:?}");
        assert!(took >= SETTLE, "{took:?}");
        disk = Some(made);
        in_time = seen < Duration::from_secs(2) && took < SETTLE + Duration::from_secs(2);
        if in_time {
            break;
        }
    }
    assert!(in_time, "none of three");
    let disk = disk.unwrap();

    // Gone again: no agent registered with it, and one would not start with a MOUNT that is not
    // mounted. It is left out, and the operator is told.
    let before = text(&host);
    disk.unmount();
    let gone = Instant::now();
    wait_until("it is missed", PATIENCE, || {
        daemon
            .log()
            .contains("can't be offered: it was advertised before")
    });
    println!("missed {:?} after it was unmounted", gone.elapsed());
    wait_until("the figures follow", PATIENCE, || {
        (figure(&daemon, "degraded_disks") - 1.0).abs() < 0.1
    });
    assert!(!text(&host).contains(&name), "{}", text(&host));
    // What the ledger knows need not settle.
    disk.mount();
    let back = Instant::now();
    wait_until("it is back", PATIENCE, || {
        figure(&daemon, "degraded_disks").abs() < 0.1
    });
    assert!(
        back.elapsed() < Duration::from_secs(2),
        "{:?}",
        back.elapsed()
    );
    assert_eq!(text(&host), before);
    daemon.stop();
}

#[test]
fn root_a_file_that_would_keep_the_agent_down_is_not_written() {
    if !entered("e2e::hotplug::root_a_file_that_would_keep_the_agent_down_is_not_written") {
        return;
    }
    let mut host = host();
    host.agent.start();
    host.tenant("PATH", "stays", 5);
    let daemon = host.daemon();
    wait_until("the disks settle", PATIENCE, || {
        text(&host).contains("mount")
    });
    let before = text(&host);
    let pid = host.agent.pid();
    let image = host.temp().join("a.img");
    let _disk = Disk::new(&image, "ext4", 32, &host.temp().join("plugged/a"));
    wait_until("it is held back", PATIENCE, || {
        daemon.log().contains("it would not start with it")
    });
    assert_eq!(text(&host), before);
    assert_eq!(host.agent.pid(), pid, "the agent runs on");
    wait_until("the figures follow", PATIENCE, || {
        (figure(&daemon, "resources_file{state=\"held_back\"}") - 1.0).abs() < 0.1
    });
    daemon.stop();
}

#[test]
fn root_a_flood_of_mounts_and_events_makes_few_looks_and_no_pass() {
    if !entered("e2e::hotplug::root_a_flood_of_mounts_and_events_makes_few_looks_and_no_pass") {
        return;
    }
    let host = host();
    let daemon = host.daemon();
    wait_until("the disks settle", PATIENCE, || {
        text(&host).contains("mount")
    });
    let looks = || figure(&daemon, "disk_looks_total");
    let passes = || figure(&daemon, "passes_total{result=\"ok\"}");
    let point = host.temp().join("container");
    std::fs::create_dir(&point).unwrap();
    let point = point.display().to_string();
    // The pass that the settled disks brought about.
    daemon.two_passes();
    std::thread::sleep(Duration::from_millis(500));
    let (before, pass_count) = (looks(), passes());
    let start = Instant::now();
    // As containers do it.
    for _ in 0..100 {
        must("mount", &["-t", "tmpfs", "tmpfs", &point]);
        must("umount", &[&point]);
    }
    let quiet = looks();
    println!(
        "100 mounts in {:?}: {} looks",
        start.elapsed(),
        quiet - before
    );
    // Events of block devices of others may come in between.
    assert!(quiet - before <= start.elapsed().as_secs_f64() + 2.0);
    let device = must(
        "findmnt",
        &["-no", "SOURCE", &host.root("MOUNT").display().to_string()],
    );
    let uevent = format!(
        "/sys/class/block/{}/uevent",
        device.trim().trim_start_matches("/dev/")
    );
    let start = Instant::now();
    for _ in 0..2_000 {
        std::fs::write(&uevent, "change").unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    let loud = looks();
    println!(
        "2000 events in {:?}: {} looks",
        start.elapsed(),
        loud - quiet
    );
    assert!(loud > quiet, "events of block devices are heard");
    assert!(loud - quiet <= start.elapsed().as_secs_f64() + 2.0);
    assert!((passes() - pass_count).abs() < 0.1, "nothing changed");
    daemon.stop();
}

#[test]
fn root_a_disk_that_answers_with_errors_alone_gives_no_more_to_do() {
    if !entered("e2e::hotplug::root_a_disk_that_answers_with_errors_alone_gives_no_more_to_do") {
        return;
    }
    let mut host = Host::new(Parts {
        path: "xfs",
        settings: "[daemon]\nlisten = \"127.0.0.1:0\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "stays", 5);
    host.tenant("PATH", "doomed", 5);
    let daemon = host.daemon();
    daemon.two_passes();
    must(
        "xfs_io",
        &["-x", "-c", "shutdown", host.root("PATH").to_str().unwrap()],
    );
    host.destroy("doomed");
    // Something is heard of the disks, so that the look sees it too.
    host.mount_disk.unmount();
    host.mount_disk.mount();
    let failed = "disks{reason=\"filesystem_failed\",type=\"PATH\",verdict=\"rejected\"}";
    wait_until("a look sees it", PATIENCE, || {
        figures(&daemon).contains_key(&format!("mesos_volumed_{failed}"))
    });
    wait_until("what was destroyed is kept back", PATIENCE, || {
        figure(&daemon, "refusals{reason=\"filesystem_failed\"}") > 0.5
    });
    daemon.two_passes();
    let count = || {
        (
            figure(&daemon, "passes_total{result=\"ok\"}"),
            figure(&daemon, "disk_looks_total"),
        )
    };
    let before = count();
    // `sweep.every` is five minutes; something late may be due once, and others use loop devices.
    std::thread::sleep(Duration::from_secs(6));
    let after = count();
    println!("passes and looks: {before:?}, and six seconds later {after:?}");
    assert!(after.0 - before.0 < 1.5, "{before:?} {after:?}");
    assert!(after.1 - before.1 < 7.5, "{before:?} {after:?}");
    daemon.stop();
}

#[test]
fn root_the_daemon_tells_figures_and_health_and_takes_nothing_else() {
    if !entered("e2e::hotplug::root_the_daemon_tells_figures_and_health_and_takes_nothing_else") {
        return;
    }
    let mut host = host();
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("PATH", "goes", 5);
    let daemon = host.daemon();
    daemon.two_passes();
    let offered = "mesos_volumed_disks{reason=\"\",type=\"ROOT\",verdict=\"offered\"}";
    wait_until("the disks settle", PATIENCE, || {
        figures(&daemon)
            .get(offered)
            .is_some_and(|count| *count > 0.0)
    });
    let (status, body) = path(&daemon, "/healthz");
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    for (series, value) in [
        ("volumes{state=\"held\"}", 2.0),
        ("tripped_roots{reason=\"not_mounted\"}", 0.0),
        ("last_pass_success", 1.0),
        ("hotplug_listening", 1.0),
        ("advertised_bytes{type=\"ROOT\"}", f64::from(40 << 20)),
    ] {
        let found = figure(&daemon, series);
        assert!((found - value).abs() < 0.1, "{series}: {found}");
    }
    // The trip-wire shows.
    host.path_disk.unmount();
    wait_until("it trips", PATIENCE, || {
        // Where the file system below has no UUID, that is what is said of it.
        let codes = ["not_mounted", "no_identity"];
        let found =
            codes.map(|code| figure(&daemon, &format!("tripped_roots{{reason=\"{code}\"}}")));
        found.iter().sum::<f64>() > 0.5
    });
    host.destroy("goes");
    wait_until("it is kept back", PATIENCE, || {
        (figure(&daemon, "refusals{reason=\"not_mounted\"}") - 1.0).abs() < 0.1
    });

    for (request, wanted) in [
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            405,
        ),
        ("DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /metrics/../etc HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("no request at all\r\n\r\n", 400),
    ] {
        let (status, body) = get(&daemon, request);
        assert_eq!(status, wanted, "{request}");
        assert!(wanted != 200 || body.is_empty(), "HEAD has no body");
    }
    let oversized = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let (status, _) = get(&daemon, &oversized);
    assert_eq!(status, 431);
    // Those that never finish their request are ended, and hold nobody else up for long.
    let log = daemon.log();
    let (_, rest) = log.split_once("metrics are at http://").unwrap();
    let address = rest.split_once("/metrics").unwrap().0.to_owned();
    let mut slow: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(path(&daemon, "/healthz").0, 200);
    println!("answered after {:?} beside 20 that hang", start.elapsed());
    let mut end = Vec::new();
    slow[0].read_to_end(&mut end).unwrap();
    drop(slow);

    let status = format!("/proc/{}/status", daemon.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    println!("{resident} (this build)");
    check_with_promtool(&path(&daemon, "/metrics").1);
    daemon.stop();
}

/// Prometheus's own judgement, where it is installed.
pub(super) fn check_with_promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: needs promtool");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn root_a_port_that_is_taken_is_said_loudly_and_stops_nothing() {
    if !entered("e2e::hotplug::root_a_port_that_is_taken_is_said_loudly_and_stops_nothing") {
        return;
    }
    let mut host = Host::new(Parts::default());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    host.configure(&format!(
        "[daemon]\nlisten = \"{}\"\n",
        taken.local_addr().unwrap()
    ));
    host.agent.start();
    host.tenant("ROOT", "goes", 5);
    let daemon = host.daemon();
    wait_until("it is said", PATIENCE, || {
        daemon.log().contains("can't be had")
    });
    daemon.two_passes();
    host.destroy("goes");
    wait_until("it goes all the same", PATIENCE, || {
        super::host::is_gone(&host.volume("ROOT", "goes"))
    });
    daemon.stop();
}
