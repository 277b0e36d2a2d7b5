//! The order of writes of each version, and what a crash between any two of them leaves.

use std::path::{Path, PathBuf};

use crate::stand_ins::agent::Running;
use crate::stand_ins::control::{Disk, Order};
use crate::stand_ins::flags::Flags;
use crate::stand_ins::steps::Step;

struct Host {
    temp: tempfile::TempDir,
    agent: Option<Running>,
}

impl Host {
    fn new(version: &str) -> Self {
        let mut host = Self {
            temp: tempfile::tempdir().unwrap(),
            agent: None,
        };
        host.start(version).unwrap();
        host
    }

    fn start(&mut self, version: &str) -> anyhow::Result<()> {
        self.agent = None;
        let at = |name: &str| self.temp.path().join(name).display().to_string();
        let flags = <Flags as clap::Parser>::parse_from([
            "mesos-agent",
            &format!("--work_dir={}", at("work")),
            &format!("--control={}", at("control")),
            &format!("--as_version={version}"),
            "--port=0",
            // The port is part of the agent's info.
            "--resources=[{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":400}}]",
        ]);
        self.agent = Some(Running::start(flags)?);
        Ok(())
    }

    fn order(&self, order: &Order) -> anyhow::Result<String> {
        self.agent.as_ref().unwrap().order(order)
    }

    /// A volume with a file in it.
    fn tenant(&self) -> PathBuf {
        let disk = Disk {
            disk: "ROOT".to_owned(),
            size: 64.0,
        };
        let (role, volume) = ("r".to_owned(), "r/v".to_owned());
        self.order(&Order::Reserve {
            role,
            disk: disk.clone(),
        })
        .unwrap();
        self.order(&Order::Create {
            volume,
            disk,
            container_path: "data".to_owned(),
            principal: None,
        })
        .unwrap();
        self.order(&Order::Acknowledge {
            operations: Vec::new(),
        })
        .unwrap();
        let volume = self.temp.path().join("work/volumes/roles/r/v");
        std::fs::File::create(volume.join("file")).unwrap();
        volume
    }

    fn destroy(&self) -> anyhow::Result<String> {
        self.order(&Order::Destroy {
            volume: "r/v".to_owned(),
            keep_data: false,
            pending_only: false,
        })
    }

    fn holds(&self) -> bool {
        self.order(&Order::Show).unwrap().contains("r/v\n")
    }

    fn has(&self, file: &str) -> bool {
        is_there(&self.temp.path().join("work/meta/resources").join(file))
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// How often it has to be started until it runs: 1, or 2 after one failed start.
fn starts(host: &mut Host, version: &str) -> u32 {
    for tried in 1..=3 {
        if host.start(version).is_ok() {
            return tried;
        }
    }
    panic!("it never comes back")
}

#[test]
fn since_1_9_a_crash_between_any_two_steps_ends_with_the_volume_destroyed() {
    // (the step after which it crashes, whether the data are there then, starts until it runs)
    let told = [
        (Step::OperationsTarget, true, 2),
        (Step::Operations, true, 1),
        (Step::StateTarget, true, 2),
        (Step::InfoTarget, true, 1),
        (Step::Directories, false, 1),
        (Step::Info, false, 2),
        (Step::State, false, 1),
    ];
    assert_eq!(told.map(|(step, ..)| step), Step::SINCE_1_9);
    for (step, data, tries) in told {
        let mut host = Host::new("1.11.0");
        let volume = host.tenant();
        host.order(&Order::CrashAfter { step }).unwrap();
        assert!(host.destroy().is_err() && host.agent.as_ref().unwrap().is_dead());
        assert_eq!(is_there(&volume), data, "{step:?}");
        assert_eq!(starts(&mut host, "1.11.0"), tries, "{step:?}");
        assert!(!host.holds() && !is_there(&volume), "{step:?}");
        assert!(!host.has("resources.target"), "{step:?}");
    }
}

#[test]
fn a_crash_after_the_states_target_alone_leaves_resources_info_stale() {
    let mut host = Host::new("1.11.0");
    host.tenant();
    host.order(&Order::CrashAfter {
        step: Step::StateTarget,
    })
    .unwrap();
    host.destroy().unwrap_err();
    assert_eq!(starts(&mut host, "1.11.0"), 2);
    let info = std::fs::read(host.temp.path().join("work/meta/resources/resources.info")).unwrap();
    let info = String::from_utf8_lossy(&info).into_owned();
    assert!(info.contains("data"), "still named: {info}");
}

#[test]
fn agents_1_0_and_1_8_commit_before_they_delete() {
    for (version, step) in [("1.0.4", Step::Info), ("1.8.1", Step::State)] {
        let mut host = Host::new(version);
        let volume = host.tenant();
        host.order(&Order::CrashAfter { step }).unwrap();
        host.destroy().unwrap_err();
        assert_eq!(starts(&mut host, version), 1, "{version}");
        assert!(!host.holds() && is_there(&volume), "{version}: an orphan");
    }
}

#[test]
fn agents_1_1_to_1_7_carry_out_their_target_at_the_next_start() {
    for step in [Step::InfoTarget, Step::Directories] {
        let mut host = Host::new("1.7.3");
        let volume = host.tenant();
        assert!(!host.has("resources_and_operations.state"));
        host.order(&Order::CrashAfter { step }).unwrap();
        host.destroy().unwrap_err();
        assert_eq!(starts(&mut host, "1.7.3"), 1);
        assert!(!host.holds() && !is_there(&volume) && !host.has("resources.target"));
    }
}

#[test]
fn an_upgrade_over_a_stuck_destroy_never_starts_again() {
    let mut host = Host::new("1.7.3");
    host.tenant();
    host.order(&Order::CrashAfter {
        step: Step::InfoTarget,
    })
    .unwrap();
    host.destroy().unwrap_err();
    for _ in 0..3 {
        let error = format!("{:#}", host.start("1.9.0").unwrap_err());
        assert!(
            error.contains("Failed to rename target resources"),
            "{error}"
        );
    }
}

#[test]
fn an_undeletable_entry_ends_agents_since_1_1_and_is_only_logged_by_1_0() {
    for (version, dies) in [("1.0.4", false), ("1.7.3", true), ("1.11.0", true)] {
        let mut host = Host::new(version);
        let volume = host.tenant();
        // A folder where the agent can't remove anything: a file system of its own in it is busy;
        // without root a name that is no directory will do.
        let _gone = std::fs::File::create(volume.join("file")).unwrap();
        let status = std::process::id();
        let busy = volume.join(format!("busy-{status}"));
        if !immutable(&busy) {
            println!("skipped: needs root and a file system with flags");
            return;
        }
        let done = host.destroy();
        assert_eq!(done.is_err(), dies, "{version}: {done:?}");
        if dies {
            assert!(host.start(version).is_err(), "{version} loops");
        }
        mutable(&busy);
        host.start(version).unwrap();
        assert!(!host.holds());
        assert_eq!(is_there(&volume), !dies, "{version}");
    }
}

fn chattr(flag: &str, path: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "tests run programs")]
    let mut command = std::process::Command::new("chattr");
    command
        .arg(flag)
        .arg(path)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn immutable(path: &Path) -> bool {
    std::fs::File::create(path).unwrap();
    chattr("+i", path)
}

fn mutable(path: &Path) {
    assert!(chattr("-i", path));
}
