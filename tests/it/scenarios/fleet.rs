//! `fleet`: one table for a cluster in which some agents have no sidecar, an old one, or one that does
//! not answer.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value as Json, json};

use super::apps::{app, ask, register, running, soon, tasks, through};
use crate::e2e::host::{Daemon, Host, Parts, Run, fill, is_gone};
use crate::own_namespace::entered;
use crate::stand_ins::cluster::{Cluster, Flags};
use crate::stand_ins::http::{Fault, Faults};
use crate::stand_ins::master::{Framework, MasterOrder};

/// Answers everybody so at this address, or, without an answer, nobody ever.
fn serve(address: &str, port: u16, answer: Option<&'static str>) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).unwrap();
            // A client that is gone misses nothing.
            drop(stream.write_all(answer.as_bytes()));
        }
    });
}

/// Agents that are only names, at these addresses, each like the one that is registered.
fn simulate(cluster: &Cluster, addresses: &[&str]) {
    let first = {
        let master = cluster.master.lock();
        let known = master.agents.values().next().unwrap();
        known.registration.clone()
    };
    for address in addresses {
        let mut one = first.clone();
        one.id = format!("simulated-{address}");
        (*address).clone_into(&mut one.hostname);
        one.tasks.clear();
        cluster
            .master
            .order(MasterOrder::Simulate(Box::new(one)))
            .unwrap();
    }
}

/// One agent with a sidecar, two volumes of an app, an orphan, and something in the trash.
struct Site {
    cluster: Cluster,
    host: Host,
    port: u16,
    settings: String,
    _daemon: Daemon,
}

impl Site {
    fn new() -> Self {
        let cluster = Cluster::start(&Flags::default()).unwrap();
        let port = crate::support::stand_in::free_port();
        let mut host = Host::new(Parts::default());
        register(&mut host, &cluster, &["--hostname=127.0.0.3"]);
        let settings = format!(
            "[trash]\nretention = \"1h\"\n[daemon]\nlisten = \"127.0.0.3:{port}\"\n\
             [fleet]\nurl = \"http://{{host}}:{port}\"\ntimeout = \"3s\"\n"
        );
        host.configure(&through(&cluster, &settings));
        let daemon = host.daemon();
        ask("POST", &cluster, "/v2/apps", &app("/pg", 2).to_string());
        soon("both run", || running(&cluster, "/pg") == 2);
        ask(
            "PUT",
            &cluster,
            "/v2/apps/pg?force=true",
            r#"{"instances": 1}"#,
        );
        soon("one waits", || running(&cluster, "/pg") == 1);
        for task in tasks(&cluster, "/pg") {
            let id = task["localVolumes"][0]["persistenceId"].as_str().unwrap();
            let volume = host.root("PATH").join("volumes/roles/marathon").join(id);
            soon("it is made", || !is_gone(&volume));
        }
        host.tenant("ROOT", "goes", 20);
        fill(&host.volume("ROOT", "nobodys"), 3);
        daemon.two_passes();
        host.destroy("goes");
        soon("it lies in the trash", || {
            host.states("goes") == ["trashed"]
        });
        daemon.two_passes();
        for (id, role) in [("f1", "marathon"), ("f2", "r")] {
            let framework = Framework {
                id: id.to_owned(),
                name: "second".to_owned(),
                roles: vec![role.to_owned()],
                ..Framework::default()
            };
            cluster
                .master
                .order(MasterOrder::Framework(framework))
                .unwrap();
        }
        Self {
            cluster,
            host,
            port,
            settings,
            _daemon: daemon,
        }
    }

    fn fleet(&self, what: &str) -> Run {
        self.host.run(&["fleet", what, "--output", "json"])
    }

    /// Alone it is whole.
    fn is_shown_whole(&self) {
        let mut whole = Json::Null;
        // The master hears of what tasks use a little later, and the trash is counted by a later pass.
        soon("all of it is told", || {
            whole = self.fleet("volumes").ends(0).json();
            let fleet = &whole["fleet"];
            fleet["used"] == 1 && fleet["waiting"] == 1 && fleet["owed_uncounted"] == 0
        });
        let states = json!({"held": 2, "orphan": 1, "trashed": 1});
        assert_eq!(whole["fleet"]["states"], states, "{whole}");
        assert!(
            whole["fleet"]["owed_bytes"].as_u64().unwrap() > 3 << 20,
            "{whole}"
        );
        let shared = &whole["fleet"]["shared_roles"];
        assert_eq!(shared[0]["role"], "marathon", "{whole}");
        assert_eq!(shared.as_array().unwrap().len(), 1, "{whole}");
        let orphans = self.fleet("orphans").ends(0).json();
        assert_eq!(orphans["orphans"].as_array().unwrap().len(), 1, "{orphans}");
        assert_eq!(orphans["orphans"][0]["id"], "nobodys");
        let disks = self.fleet("disks").ends(0).json();
        let offered = disks["disks"].as_array().unwrap().iter();
        let offered = offered.filter(|one| one["verdict"] == "offered");
        assert_eq!(offered.count(), 3, "{disks}");
        let reserved = self.fleet("reservations").ends(0).json();
        let mut rows = reserved["reservations"].as_array().unwrap().iter();
        let marathon = rows.find(|one| one["role"] == "marathon").unwrap();
        assert_eq!(marathon["volumes"], 2, "{reserved}");
        assert_eq!(
            marathon["frameworks"].as_array().unwrap().len(),
            2,
            "{reserved}"
        );
    }

    /// Nobody listens at .4, .5 never answers, .6 has nothing to tell, .7 and .8 are old.
    fn gaps_are_named(&self) {
        serve("127.0.0.5", self.port, None);
        for (address, answer) in [
            ("127.0.0.6", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            ("127.0.0.7", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
            (
                "127.0.0.8",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            ),
        ] {
            serve(address, self.port, Some(answer));
        }
        let addresses = [
            "127.0.0.4",
            "127.0.0.5",
            "127.0.0.6",
            "127.0.0.7",
            "127.0.0.8",
        ];
        simulate(&self.cluster, &addresses);
        let gaps = self.fleet("volumes").ends(4).json();
        assert_eq!(gaps["volumes"].as_array().unwrap().len(), 4, "{gaps}");
        let (agents, answered) = (&gaps["fleet"]["agents"], &gaps["fleet"]["answered"]);
        assert_eq!((agents, answered), (&json!(6), &json!(1)));
        let missing = &gaps["fleet"]["missing"];
        for (kind, hosts) in [
            ("no_sidecar", &["127.0.0.4"][..]),
            ("silent", &["127.0.0.5"]),
            ("not_ready", &["127.0.0.6"]),
            ("old", &["127.0.0.7", "127.0.0.8"]),
        ] {
            let all = missing[kind].as_array().unwrap().iter();
            let mut named: Vec<&str> = all.map(|one| one["host"].as_str().unwrap()).collect();
            named.sort_unstable();
            assert_eq!(named, hosts, "{missing}");
        }
        assert!(
            gaps["fleet"]["missing_volumes"].as_u64().unwrap() >= 10,
            "{gaps}"
        );
        let table = self.host.run(&["fleet", "volumes"]).ends(4).out;
        for words in [
            "HOST ",
            "6 agents, 1 sidecars answered",
            "2 held (1 used, 1 waiting)",
            "1 agents without a sidecar: 127.0.0.4",
            "role marathon is shared by",
        ] {
            assert!(table.contains(words), "{words}: {table}");
        }
        // The master alone is asked for these.
        let role = [
            "fleet",
            "reservations",
            "--role",
            "marathon",
            "--output",
            "json",
        ];
        let on = self.host.run(&role).ends(0).json();
        assert_eq!(on["reservations"].as_array().unwrap().len(), 6, "{on}");
    }

    /// A list that is cut, and a master that says nothing, are errors; what is hidden is a gap.
    fn a_master_that_says_half_is_an_error(&self) {
        let faults = |paths, hidden_roles| {
            *self.cluster.faults.lock().unwrap() = Faults {
                paths,
                hidden_roles,
            };
        };
        let half = Fault {
            path: "/slaves".to_owned(),
            half: true,
            ..Fault::default()
        };
        faults(vec![half], Vec::new());
        let cut = self.fleet("disks").ends(1).json();
        assert!(cut["fleet"]["list_cut"].is_string(), "{cut}");
        faults(Vec::new(), vec!["marathon".to_owned()]);
        let hidden = self.fleet("reservations").ends(4).json();
        assert!(hidden["fleet"]["hidden"].as_u64().unwrap() >= 1, "{hidden}");
        self.host.configure(&self.settings);
        let unset = self.host.run(&["fleet", "volumes"]).ends(1);
        assert!(unset.err.contains("master.urls"), "{}", unset.err);
    }
}

#[test]
fn scenario_a_fleet_with_gaps_is_shown_with_its_gaps() {
    if !entered("scenarios::fleet::scenario_a_fleet_with_gaps_is_shown_with_its_gaps") {
        return;
    }
    let site = Site::new();
    site.is_shown_whole();
    site.gaps_are_named();
    site.a_master_that_says_half_is_an_error();
}
