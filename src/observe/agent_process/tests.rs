#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::mesos::checkpoint::encode_slave_info;
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::resource::{Resource, Value as Amount};
use crate::mesos::state::SlaveInfo;
use crate::units::Megabytes;

struct Host {
    tree: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            tree: tempfile::tempdir().unwrap(),
        };
        host.process(1, "/usr/lib/systemd/systemd", &["/sbin/init"], &[]);
        host
    }

    fn raw(&self, name: &str) -> Raw {
        Raw::from(std::fs::canonicalize(self.tree.path()).unwrap()).join(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    fn folder(&self, name: &str) -> Raw {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.raw(name)
    }

    /// A process that sees the same mounts as this one.
    fn process(&self, pid: i32, exe: &str, argv: &[&str], environ: &[&str]) -> PathBuf {
        self.task(&format!("proc/{pid}"), pid, exe, argv, environ)
    }

    fn task(&self, at: &str, pid: i32, exe: &str, argv: &[&str], environ: &[&str]) -> PathBuf {
        let folder = self.path(at);
        std::fs::create_dir_all(folder.join(format!("task/{pid}"))).unwrap();
        symlink(exe, folder.join("exe")).unwrap();
        symlink("/", folder.join("root")).unwrap();
        let strings = |list: &[&str]| {
            let mut text = list.join("\0");
            if !list.is_empty() {
                text.push('\0');
            }
            text
        };
        std::fs::write(folder.join("cmdline"), strings(argv)).unwrap();
        std::fs::write(folder.join("environ"), strings(environ)).unwrap();
        std::fs::write(folder.join("stat"), format!("{pid} (x) S 1 1 1 0 -1 0 0")).unwrap();
        std::fs::copy("/proc/self/mountinfo", folder.join("mountinfo")).unwrap();
        folder
    }

    fn look(&self) -> Known<Vec<AgentProcess>> {
        let places = Places {
            proc: self.raw("proc"),
            ..Places::default()
        };
        observe(&places, &self.raw("mesos"))
    }

    fn agents(&self) -> Vec<AgentProcess> {
        match self.look() {
            Known::Known(agents) => agents,
            Known::Absent | Known::Unknown(_) => panic!("{:?}", self.look()),
        }
    }

    fn agent(&self, argv: &[&str], environ: &[&str]) -> AgentProcess {
        let folder = self.process(77, "/usr/sbin/mesos-agent", argv, environ);
        let agents = self.agents();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!(agents.len(), 1);
        agents.into_iter().next().unwrap()
    }
}

#[test]
fn agents_are_told_by_executable_or_first_argument() {
    let host = Host::new();
    for (pid, exe, argv0) in [
        (10, "/usr/sbin/mesos-agent", "x"),
        (11, "/usr/sbin/mesos-slave (deleted)", "x"),
        (12, "/build/src/.libs/lt-mesos-agent", "x"),
        (13, "/build/src/.libs/lt-mesos-slave", "x"),
        (14, "/usr/bin/sleep", "mesos-agent"),
        (15, "/usr/bin/sleep", "./mesos-slave"),
    ] {
        host.process(pid, exe, &[argv0], &[]);
    }
    for (pid, exe, argv) in [
        (20, "/usr/sbin/mesos-master", vec!["mesos-master"]),
        (21, "/usr/bin/bash", vec!["bash", "/usr/sbin/mesos-agent"]),
        (22, "/usr/bin/mesos-agent-wrapper", vec!["x"]),
        (23, "/usr/bin/xmesos-agent", vec![]),
    ] {
        host.process(pid, exe, &argv, &[]);
    }
    let pids: Vec<i32> = host.agents().iter().map(|agent| agent.pid).collect();
    assert_eq!(pids, [10, 11, 12, 13, 14, 15]);
}

#[test]
fn no_agent_is_an_empty_list() {
    assert_eq!(Host::new().look(), Known::Known(Vec::new()));
}

#[test]
fn the_work_dir_comes_from_arguments_first_and_then_from_the_environment() {
    let host = Host::new();
    let ours = host.raw("mesos").to_string();
    let flag = format!("--work_dir={ours}");
    let variable = format!("mesos_Work_DIR={ours}");
    let other = "MESOS_WORK_DIR=/elsewhere";
    for (argv, environ) in [
        (vec!["a", flag.as_str()], vec![other]),
        (vec!["a", "--work_dir", ours.as_str()], vec![]),
        (vec!["a", "--ip=::1"], vec!["PATH=/bin", variable.as_str()]),
        (vec!["a", flag.as_str(), "--", "--work_dir=/x"], vec![]),
    ] {
        let agent = host.agent(&argv, &environ);
        assert_eq!(agent.work_dir, Known::Known(host.raw("mesos")), "{argv:?}");
        assert!(agent.ours);
        assert_eq!(agent.roots, Known::Absent);
    }
}

#[test]
fn a_work_dir_that_cannot_be_told_counts_as_ours() {
    let host = Host::new();
    let twice = host.agent(&["a", "--work_dir=/x", "--work_dir=/y"], &[]);
    assert!(twice.ours && twice.work_dir.why().is_some());
    assert!(twice.roots.why().is_some() && twice.filesystems.why().is_some());
    let relative = host.agent(&["a", "--work_dir=state"], &[]);
    assert!(relative.ours);
    let none = host.agent(&["a"], &[]);
    assert!(none.ours && none.work_dir == Known::Absent);
    let folder = host.process(77, "/usr/sbin/mesos-agent", &["a"], &[]);
    std::fs::remove_file(folder.join("environ")).unwrap();
    let unreadable = host.agents().remove(0);
    assert!(unreadable.ours && unreadable.work_dir.why().is_some());
}

#[test]
fn the_same_directory_under_another_name_is_ours() {
    let host = Host::new();
    let ours = host.folder("mesos");
    host.folder("other");
    symlink(ours.as_path(), host.path("link")).unwrap();
    for (text, expected) in [
        (format!("{ours}//./"), true),
        (host.raw("link").to_string(), true),
        (host.raw("other").to_string(), false),
        (host.raw("none").to_string(), false),
        ("/proc/self/cwd".to_owned(), true),
    ] {
        let agent = host.agent(&["a", &format!("--work_dir={text}")], &[]);
        assert_eq!(agent.ours, expected, "{text}");
    }
}

fn path_disk(root: &Raw) -> Resource {
    Resource {
        name: "disk".into(),
        value: Amount::Scalar(Megabytes::whole(10)),
        reservations: Vec::new(),
        source: Some(DiskSource {
            kind: SourceType::Path,
            root: Some(root.clone()),
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

#[test]
fn another_agents_roots_come_from_its_flags_its_files_and_its_work_dir() {
    let host = Host::new();
    host.folder("mesos");
    let theirs = host.folder("theirs");
    let in_info = host.folder("in info");
    let info = SlaveInfo {
        hostname: "h".into(),
        port: 5051,
        resources: vec![path_disk(&in_info)],
    };
    host.folder("theirs/meta/slaves/S1");
    std::fs::write(
        host.path("theirs/meta/slaves/S1/slave.info"),
        encode_slave_info(&info, b"S1").unwrap(),
    )
    .unwrap();
    symlink(
        host.path("theirs/meta/slaves/S1"),
        host.path("theirs/meta/slaves/latest"),
    )
    .unwrap();
    let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1}},
        {"name":"disk","type":"SCALAR","scalar":{"value":1},
         "disk":{"source":{"type":"PATH","path":{"root":"/p"}}}},
        {"name":"disk","type":"SCALAR","scalar":{"value":1},
         "disk":{"source":{"type":"MOUNT","mount":{"root":"/m"}}}}]"#;
    std::fs::write(host.path("resources.json"), json).unwrap();
    let work_dir = format!("--work_dir={theirs}");
    let file = format!("MESOS_RESOURCES=file://{}", host.raw("resources.json"));
    for (argv, environ) in [
        (vec!["a", &work_dir, &format!("--resources={json}")], vec![]),
        (vec!["a", &work_dir], vec![file.as_str()]),
    ] {
        let agent = host.agent(&argv, &environ);
        assert!(!agent.ours);
        let mut expected = vec!["/m".into(), "/p".into(), in_info.clone(), theirs.clone()];
        expected.sort();
        assert_eq!(agent.roots, Known::Known(expected));
        let table = MountTable::new(mountinfo::read_self().unwrap());
        let devices = [&theirs, &"/m".into()]
            .iter()
            .map(|path| table.mount_of(path).unwrap().device)
            .collect();
        assert_eq!(agent.filesystems, Known::Known(devices));
    }
    let text = host.agent(&["a", &work_dir, "--resources=disk:10;cpus(*):1"], &[]);
    assert_eq!(text.roots.known().unwrap().len(), 2);
}

#[test]
fn what_another_agent_uses_is_unknown_where_it_cannot_be_read_whole() {
    let host = Host::new();
    host.folder("mesos");
    let theirs = host.folder("theirs");
    let work_dir = format!("--work_dir={theirs}");
    for resources in [
        "--resources=[{",
        "--resources={}",
        "--resources=file:///nowhere/at/all",
        r#"--resources=[{"disk":{"source":{"type":"PATH"}}}]"#,
        r#"--resources=[{"disk":{"source":{"type":"BLOCK"}}}]"#,
    ] {
        let agent = host.agent(&["a", &work_dir, resources], &[]);
        assert!(!agent.ours);
        let why = agent.roots.why().unwrap().to_string();
        assert!(
            why.starts_with("what the agent with pid 77 uses could not be told: "),
            "{why}"
        );
        assert!(agent.filesystems.why().is_some());
    }
    host.folder("theirs/meta/slaves/latest");
    for damaged in [&b""[..], b"\x05\0\0\0abc"] {
        std::fs::write(host.path("theirs/meta/slaves/latest/slave.info"), damaged).unwrap();
        assert!(host.agent(&["a", &work_dir], &[]).roots.why().is_some());
    }
}

#[test]
fn a_process_that_may_not_be_looked_at_makes_the_list_unknown_unless_nothing_runs_in_it() {
    let host = Host::new();
    let folder = host.process(30, "/usr/bin/x", &["x"], &[]);
    // No link gives an error other than "gone".
    std::fs::remove_file(folder.join("exe")).unwrap();
    std::fs::write(folder.join("exe"), "").unwrap();
    let why = host.look().why().unwrap().to_string();
    assert!(
        why.starts_with(
            "process 30 (x) may be an agent and could not be looked at; this needs CAP_SYS_PTRACE: "
        ),
        "{why}"
    );
    for nothing_runs in [
        "30 (kworker/0) S 2 0 0 0 -1 2129984 0",
        "30 (x) Z 1 1 1 0 -1 0 0",
    ] {
        std::fs::write(folder.join("stat"), nothing_runs).unwrap();
        assert_eq!(host.look(), Known::Known(Vec::new()), "{nothing_runs}");
    }
}

#[test]
fn an_agent_whose_main_thread_has_ended_still_runs() {
    let host = Host::new();
    let folder = host.process(30, "gone", &[], &[]);
    std::fs::remove_file(folder.join("exe")).unwrap();
    assert_eq!(host.look(), Known::Known(Vec::new()));
    host.task(
        "proc/30/task/31",
        31,
        "/usr/sbin/mesos-agent",
        &["mesos-agent", "--work_dir=/elsewhere"],
        &[],
    );
    let agents = host.agents();
    assert_eq!(agents.len(), 1);
    assert_eq!(
        (agents[0].pid, &agents[0].work_dir),
        (30, &Known::Known("/elsewhere".into()))
    );
}

#[test]
fn a_proc_that_does_not_show_all_processes_is_unknown_and_not_empty() {
    let host = Host::new();
    std::fs::rename(host.path("proc/1"), host.path("proc/2")).unwrap();
    assert!(host.look().why().is_some());
}
