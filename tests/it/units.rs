//! The systemd units: what systemd thinks of them, and what they must not say.

#![expect(
    clippy::disallowed_methods,
    reason = "writes its own files and runs systemd-analyze"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use mesos_volumed::decide::facts::Known;
use mesos_volumed::observe::gate;
use mesos_volumed::observe::places::Places;
use mesos_volumed::units::Raw;

const UNITS: [&str; 4] = [
    "mesos-volumed.service",
    "mesos-volumed-sweep.service",
    "mesos-volumed-sweep.timer",
    "mesos-volumed-resources.service",
];
const OF_DCOS: &str = "mesos-volumed-resources.service.d/10-dcos.conf";

/// The drop-in for an agent's unit.
fn drop_in(agent: &str) -> String {
    format!("{agent}.d/10-mesos-volumed.conf")
}

fn shipped(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The lines that systemd reads.
fn directives(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
}

/// A folder with the units, as installed but for the program's place, beside every agent's unit.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let agents = gate::AGENT_UNITS;
    for name in UNITS
        .into_iter()
        .map(str::to_owned)
        .chain(agents.into_iter().map(drop_in))
        .chain([OF_DCOS.to_owned()])
    {
        let text = shipped(&name).replace(
            "/usr/bin/mesos-volumed",
            env!("CARGO_BIN_EXE_mesos-volumed"),
        );
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    for agent in agents {
        let text = "[Service]\nExecStart=/bin/sleep infinity\n";
        std::fs::write(path.join(agent), text).unwrap();
    }
    folder
}

/// What systemd says of a unit; `None` where it can't be asked.
fn verify(unit: &Path) -> Option<(bool, String)> {
    let output = match Command::new("systemd-analyze")
        .arg("verify")
        .arg(unit)
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: systemd-analyze is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    Some((output.status.success(), stderr))
}

#[test]
fn systemd_has_nothing_to_say_about_the_units_and_the_drop_in() {
    let folder = installed();
    for unit in UNITS.into_iter().chain(gate::AGENT_UNITS) {
        let Some(verdict) = verify(&folder.path().join(unit)) else {
            return;
        };
        assert_eq!(verdict, (true, String::new()), "{unit}");
    }
    // The test itself sees a misspelt directive, which systemd only mumbles about.
    let bad = folder.path().join("mesos-volumed.service");
    let text = shipped("mesos-volumed.service").replace("WatchdogSec", "WatchdogSeconds");
    std::fs::write(&bad, text).unwrap();
    let (_, stderr) = verify(&bad).unwrap();
    assert!(stderr.contains("WatchdogSeconds"), "{stderr}");
}

/// Directives that give a service a mount namespace of its own, or hide processes or devices
/// (systemd.exec(5)).
const HIDING: [&str; 28] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DeviceAllow",
    "DevicePolicy",
    "DynamicUser",
    "ExecPaths",
    "InaccessiblePaths",
    "MountFlags",
    "MountImages",
    "NoExecPaths",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "TemporaryFileSystem",
];

#[test]
fn no_service_hides_mounts_processes_or_disks_from_itself() {
    for unit in UNITS {
        let text = shipped(unit);
        for (name, _) in directives(&text) {
            assert!(!HIDING.contains(&name), "{unit}: {name}");
        }
    }
}

#[test]
fn the_daemon_is_watched_reloads_and_keeps_what_its_work_needs() {
    let text = shipped("mesos-volumed.service");
    let value = |name: &str| {
        let mut values = directives(&text).filter(|(key, _)| *key == name);
        let (_, value) = values.next().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(values.next(), None, "{name}");
        value.to_owned()
    };
    assert_eq!(value("Type"), "notify");
    assert_eq!(value("Restart"), "on-failure");
    assert_eq!(value("ExecReload"), "/bin/kill -HUP $MAINPID");
    assert!(!value("WatchdogSec").is_empty());
    let capabilities = value("CapabilityBoundingSet");
    for needed in [
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_CHOWN",
        "CAP_LINUX_IMMUTABLE",
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
    ] {
        assert!(capabilities.split(' ').any(|one| one == needed), "{needed}");
    }
}

#[test]
fn the_resources_are_written_before_every_usual_agent_and_required_by_none() {
    let text = shipped("mesos-volumed-resources.service");
    let (_, before) = directives(&text)
        .find(|(name, _)| *name == "Before")
        .unwrap();
    let (_, wanted) = directives(&text)
        .find(|(name, _)| *name == "WantedBy")
        .unwrap();
    for agent in gate::AGENT_UNITS {
        assert!(before.split(' ').any(|unit| unit == agent), "{agent}");
        assert!(wanted.split(' ').any(|unit| unit == agent), "{agent}");
    }
    assert!(directives(&text).all(|(name, _)| name != "RequiredBy"));
}

#[test]
fn the_timer_has_a_calendar_that_systemd_reads() {
    let text = shipped("mesos-volumed-sweep.timer");
    let (_, calendar) = directives(&text)
        .find(|(name, _)| *name == "OnCalendar")
        .unwrap();
    let output = match Command::new("systemd-analyze")
        .args(["calendar", calendar])
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: systemd-analyze can't be run: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_drop_in_is_taken_for_a_barrier() {
    let folder = installed();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mesos-volumed"));
    assert_eq!(program.file_name().unwrap(), "mesos-volumed");
    let places = Places {
        units: vec![Raw::from(folder.path())],
        ..Places::default()
    };
    // All of them run the gate, and an agent's unit without it is no barrier.
    assert!(gate::unit(&places).known().is_some());
    for agent in gate::AGENT_UNITS {
        let file = folder.path().join(drop_in(agent));
        let text = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(gate::unit(&places), Known::Absent, "{agent}");
        std::fs::write(&file, text).unwrap();
    }
}

/// A `-` would let the agent start through a closed gate; requiring our oneshot would keep it down
/// for a disk that does not answer.
#[test]
fn an_agent_waits_for_the_gate_and_requires_nothing_else_of_ours() {
    for agent in gate::AGENT_UNITS {
        let text = shipped(&drop_in(agent));
        let said: Vec<(&str, &str)> = directives(&text).collect();
        assert_eq!(
            said,
            [
                ("ExecStartPre", "+/usr/bin/mesos-volumed preflight --gate"),
                ("TimeoutStartSec", "3min"),
            ],
            "{agent}"
        );
    }
    for (name, value) in directives(&shipped(OF_DCOS)) {
        assert!(
            name != "EnvironmentFile" || value.starts_with('-'),
            "{value}"
        );
    }
}
