//! The stand-in agent (tests/double) as a process of a test.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes and wait for them"
)]

use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mesos_volumed::mesos::checkpoint::{Content, decode_state};
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::Resource;

/// The stand-in's program. Cargo builds it with `cargo test`, but not with `cargo test --test it`.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_mesos-volumed"))
        .with_file_name("examples")
        .join("stand-in-agent");
    assert!(
        program.symlink_metadata().is_ok(),
        "{} is missing; run `cargo build --example stand-in-agent`",
        program.display()
    );
    program
}

/// Waits until this is so; says what was waited for where it never is.
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// A port of the loopback interface that nobody listens on, each asked for but once. Below those
/// that the kernel gives to whoever asks for any, who could have it before the agent or between
/// two of its lives; above those of the scripts.
pub(crate) fn free_port() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let ports = 20_000..32_000_u16;
    let mut next = NEXT.lock().unwrap();
    let first = next.unwrap_or_else(|| {
        // Tests that have namespaces of their own are processes of their own, all with the same id.
        let chance = RandomState::new().hash_one(0) % 12_000;
        ports.start.checked_add(chance.try_into().unwrap()).unwrap()
    });
    let port = (first..ports.end)
        .chain(ports.start..first)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port can be listened on");
    let after = port.checked_add(1).filter(|after| ports.contains(after));
    *next = Some(after.unwrap_or(ports.start));
    port
}

/// An agent's life after life on one work_dir.
#[derive(Debug)]
pub(crate) struct StandIn {
    folder: PathBuf,
    work_dir: PathBuf,
    resources: String,
    pub(crate) port: u16,
    flags: Vec<String>,
    child: Option<Child>,
}

impl StandIn {
    /// An agent that is not started yet; `folder` takes its socket and log.
    pub(crate) fn new(folder: &Path, work_dir: &Path, resources: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            work_dir: work_dir.to_owned(),
            resources: resources.to_owned(),
            port: free_port(),
            flags: Vec::new(),
            child: None,
        }
    }

    /// Adds a flag.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// From its next start on it has these flags beside its own.
    pub(crate) fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// The socket that takes its orders.
    pub(crate) fn control(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Starts it as `mesos-agent` and waits until it takes orders.
    pub(crate) fn start(&mut self) {
        if let Err(log) = self.try_start() {
            panic!("the agent ended: {log}");
        }
    }

    /// The same; its log where it ends before that.
    pub(crate) fn try_start(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::File::create(self.log()).unwrap();
        let mut child = Command::new(program())
            .arg0("mesos-agent")
            .arg(format!("--work_dir={}", self.work_dir.display()))
            .arg(format!("--resources={}", self.resources))
            .arg(format!("--port={}", self.port))
            .arg(format!("--control={}", self.control().display()))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut ended = None;
        wait_until("the stand-in takes orders", Duration::from_mins(1), || {
            let has_ended = child.try_wait().unwrap().is_some();
            let log = std::fs::read_to_string(self.log()).unwrap();
            if has_ended {
                ended = Some(log);
                return true;
            }
            log.contains("orders are taken") && self.ask(&["show"]).status.success()
        });
        if let Some(log) = ended {
            return Err(log);
        }
        self.child = Some(child);
        Ok(())
    }

    /// Gives an order at which it ends, as in a crash.
    pub(crate) fn crashes_at(&mut self, order: &[&str]) {
        let output = self.ask(order);
        assert!(!output.status.success(), "{order:?} was carried out");
        let mut child = self.child.take().unwrap();
        assert!(!child.wait().unwrap().success());
    }

    /// From now on it runs on this work_dir.
    pub(crate) fn set_work_dir(&mut self, work_dir: &Path) {
        work_dir.clone_into(&mut self.work_dir);
    }

    /// From its next start on these are its `--resources`.
    pub(crate) fn set_resources(&mut self, resources: &str) {
        resources.clone_into(&mut self.resources);
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it has checkpointed, by its own file.
    pub(crate) fn held(&self) -> Vec<Resource> {
        let file = self.work_dir.join(paths::STATE);
        match decode_state(&std::fs::read(file).unwrap()).unwrap() {
            Content::Whole(state) => state.resources,
            Content::Empty => Vec::new(),
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Gives an order and tells what came of it.
    pub(crate) fn ask(&self, order: &[&str]) -> Output {
        Command::new(program())
            .arg("--control")
            .arg(self.control())
            .args(order)
            .output()
            .unwrap()
    }

    /// Gives an order that has to be carried out.
    pub(crate) fn order(&self, order: &[&str]) -> String {
        let output = self.ask(order);
        assert!(
            output.status.success(),
            "{order:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop();
    }
}
