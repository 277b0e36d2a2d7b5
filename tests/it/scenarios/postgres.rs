//! The tutorial of stateful apps, played with a real database: a PostgreSQL app is created, stopped,
//! started with its data, and removed; every byte comes back. The data directory is made by `initdb`
//! and the server runs on it; Marathon, master and agent are stand-ins.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name, and start programs"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use super::apps::{ask, register, running, soon, tasks, through};
use super::site::FAST;
use crate::e2e::host::{Host, Parts, is_gone, must, names, used};
use crate::own_namespace::entered;
use crate::stand_ins::cluster::{Cluster, Flags};

const MIB: u64 = 1 << 20;

/// The folder of PostgreSQL's programs, as Debian lays them out.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").symlink_metadata().is_ok())
        .collect();
    folders.sort();
    folders.pop()
}

/// A database server on a data directory, run by user `postgres`.
struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
}

impl Postgres {
    fn as_postgres(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(self.programs.join(program))
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn must(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.as_postgres(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self) {
        let options = format!("-c listen_addresses= -k {}", self.sockets.display());
        let log = self.sockets.join("log").display().to_string();
        let data = self.data.display().to_string();
        // Its output would keep the pipe open.
        self.must(
            "pg_ctl",
            &["-D", &data, "-w", "-l", &log, "-o", &options, "start"],
        );
    }

    fn stop(&self) {
        let data = self.data.display().to_string();
        self.must("pg_ctl", &["-D", &data, "-w", "-m", "fast", "stop"]);
    }

    fn sql(&self, statement: &str) -> String {
        let sockets = self.sockets.display().to_string();
        let arguments = ["-h", &sockets, "-d", "postgres", "-Atc", statement];
        self.must("psql", &arguments).trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data.display().to_string();
        if !is_gone(&self.data.join("postmaster.pid")) {
            drop(self.as_postgres("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]));
        }
    }
}

fn task(cluster: &Cluster) -> Option<Json> {
    tasks(cluster, "/postgres").into_iter().next()
}

fn runs(cluster: &Cluster) -> bool {
    running(cluster, "/postgres") == 1
}

#[test]
fn scenario_postgresql_app_from_creation_to_the_last_byte() {
    if !entered("scenarios::postgres::scenario_postgresql_app_from_creation_to_the_last_byte") {
        return;
    }
    let Some(programs) = programs() else {
        println!("skipped: postgresql is missing (apt-get install postgresql)");
        return;
    };
    // Agents before 1.0 leave all data behind, which is why the tutorial tells to remove them by
    // hand; newer ones delete them themselves. Here nobody has to.
    for version in ["0.28.2", "1.11.0"] {
        life(version, &programs);
    }
}

/// An agent of this version, registered, with a tenant of another framework on PATH.
fn site(version: &str, cluster: &Cluster) -> Host {
    let mut host = Host::new(Parts {
        path: "xfs",
        settings: FAST,
        ..Parts::default()
    });
    // User `postgres` has to get through to the disk.
    for folder in host.temp().ancestors().take(2) {
        must("chmod", &["755", folder.to_str().unwrap()]);
    }
    let version = format!("--as_version={version}");
    host.agent.set_flags(&[&version]);
    host.agent.start();
    // Something else lives on the disk, and will when the app is gone.
    host.tenant("PATH", "neighbour", 20);
    host.sweep(0);
    register(&mut host, cluster, &[&version]);
    host.configure(&through(cluster, FAST));
    host
}

fn life(version: &str, programs: &Path) {
    let cluster = Cluster::start(&Flags::default()).unwrap();
    let mut host = site(version, &cluster);
    let sockets = host.temp().join("sockets");
    std::fs::create_dir(&sockets).unwrap();
    must("chown", &["postgres", sockets.to_str().unwrap()]);

    let before = used(&host.root("PATH"));
    let app = json!({
        "id": "/postgres", "cpus": 0.1, "mem": 32, "instances": 1,
        "container": {"type": "MESOS", "volumes": [{"containerPath": "pgdata", "mode": "RW",
            "persistent": {"type": "path", "size": 25}}]},
        "residency": {"taskLostBehavior": "WAIT_FOREVER"},
        "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
    });
    ask("POST", &cluster, "/v2/apps", &app.to_string());
    soon("the app runs", || runs(&cluster));
    let id = task(&cluster).unwrap()["localVolumes"][0]["persistenceId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(id.starts_with("postgres#pgdata#"), "{id}");
    let volume = host.root("PATH").join("volumes/roles/marathon").join(&id);
    soon("its volume is there", || !is_gone(&volume));
    // At launch the volume is given to the task's user.
    must("chown", &["postgres", volume.to_str().unwrap()]);
    let postgres = Postgres {
        programs: programs.to_owned(),
        data: volume.clone(),
        sockets,
    };
    let data = volume.display().to_string();
    postgres.must("initdb", &["-D", &data, "-A", "trust", "--no-sync"]);
    postgres.start();
    postgres.sql("create table kept as select n, md5(n::text) from generate_series(1, 20000) n");
    let sum = postgres.sql("select count(*), md5(string_agg(md5, '' order by n)) from kept");
    assert!(sum.starts_with("20000|"), "{sum}");
    let grown = used(&host.root("PATH")).saturating_sub(before);
    assert!(grown > 20 * MIB, "{grown}");

    let listed = host.run(&["marathon", "tasks"]).ends(0);
    for word in ["Running", &id, data.as_str(), "no replica: back it up"] {
        assert!(listed.out.contains(word), "{word}: {}", listed.out);
    }

    // Stopped: the task ends, the volume waits, and sweep after sweep nothing happens to it.
    ask("PUT", &cluster, "/v2/apps/postgres", r#"{"instances": 0}"#);
    soon("it is suspended", || !runs(&cluster));
    postgres.stop();
    for _ in 0..3 {
        host.sweep(0);
    }
    host.agent.restart();
    host.sweep(0);
    assert_eq!(host.states(&id), ["held"]);
    let listed = host.run(&["marathon", "tasks", "--app", "/postgres"]);
    assert!(listed.ends(0).out.contains("Waiting"));

    // Started again, with its data.
    ask(
        "PUT",
        &cluster,
        "/v2/apps/postgres?force=true",
        r#"{"instances": 1}"#,
    );
    soon("it runs again", || runs(&cluster));
    let again = task(&cluster).unwrap();
    assert_eq!(again["localVolumes"][0]["persistenceId"], id.as_str());
    postgres.start();
    let after = postgres.sql("select count(*), md5(string_agg(md5, '' order by n)) from kept");
    assert_eq!(after, sum);
    // While it runs, a sweep sees who uses it.
    host.sweep(0);
    postgres.stop();

    // Removed. While it runs, or shall run, nothing of it goes.
    let name = task(&cluster).unwrap()["id"].as_str().unwrap().to_owned();
    let wipe = ["marathon", "wipe", "/postgres", "--task", &name];
    let refused = host.run(&wipe).ends(5);
    assert!(refused.out.contains("stays: it runs"), "{}", refused.out);
    assert_eq!(host.states(&id), ["held"]);
    // Stopped and wiped, as the tutorial says: one command, and no `rm -rf`. An old agent leaves the
    // data behind, which the sweep then sees destroyed.
    let gone = host.run(&[&wipe[..], &["--scale"]].concat()).ends(0);
    assert!(gone.out.contains(": gone\n"), "{}", gone.out);
    assert!(task(&cluster).is_none());
    assert!(!host.agent.order(&["show"]).contains(&id));
    assert!(is_gone(&volume), "{}", gone.out);
    let listed = host.run(&["marathon", "tasks"]).ends(0);
    assert!(!listed.out.contains(&id), "{}", listed.out);
    soon("every byte is back", || {
        used(&host.root("PATH")).abs_diff(before) < MIB / 4
    });
    let trash = host.root("PATH").join("volumes/.mesos-volumed/trash");
    assert!(is_gone(&trash) || names(&trash).is_empty());
    assert_eq!(host.states("neighbour"), ["held"]);
    println!("agent {version}: {grown} bytes came and went, 20000 rows were kept");
}
