#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::cell::Cell;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use RootWitness::{Checkpoint, Config, Flags, Ledger as InLedger, SlaveInfo as InInfo};

use super::*;
use crate::decide::facts::{
    AgentState, AgentView, DiscoveryRules, DiskRule, OrphanPolicy, RootRule, SizeRule,
};
use crate::decide::ledger::LedgerRoot;
use crate::mesos::checkpoint::{
    Form, OperationContext, encode_info, encode_slave_info, encode_state,
};
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Value};
use crate::mesos::state::{Operation, OperationKind, OperationState, ResourceState, SlaveInfo};
use crate::units::{Bytes, Megabytes, Span};

/// A host in a temporary folder: a work_dir with an agent's files, a `/proc` with pid 1.
struct Host {
    tree: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            tree: tempfile::tempdir().unwrap(),
        };
        host.file(
            "proc/sys/kernel/random/boot_id",
            b"0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab\n",
        );
        host.file("proc/filesystems", b"nodev\tproc\n");
        host.process("self", "mnt:[1]", "/");
        symlink("pid:[4026531836]", host.path("proc/self/ns/pid")).unwrap();
        host.process("1", "mnt:[1]", "/");
        host.folder("sys/block");
        host.folder("mesos/volumes/roles/r/a");
        host.file(
            "mesos/meta/boot_id",
            b"0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab",
        );
        let info = SlaveInfo {
            hostname: "h".into(),
            port: 5051,
            resources: vec![
                disk(None),
                disk(Some((SourceType::Path, host.raw("in-info")))),
            ],
        };
        host.file(
            "mesos/meta/slaves/S1/slave.info",
            &encode_slave_info(&info, b"S1").unwrap(),
        );
        symlink(
            host.path("mesos/meta/slaves/S1"),
            host.path("mesos/meta/slaves/latest"),
        )
        .unwrap();
        host.checkpoint(&ResourceState::default());
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    fn raw(&self, name: &str) -> Raw {
        Raw::from(std::fs::canonicalize(self.tree.path()).unwrap()).join(name)
    }

    fn folder(&self, name: &str) -> Raw {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.raw(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn process(&self, pid: &str, namespace: &str, root: &str) {
        let folder = self.path(&format!("proc/{pid}"));
        for name in ["ns", "fd", "fdinfo", "task"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        for (name, text) in [
            ("ns/mnt", namespace),
            ("root", root),
            ("cwd", "/"),
            ("exe", "/usr/bin/x"),
        ] {
            symlink(text, folder.join(name)).unwrap();
        }
        std::fs::copy("/proc/self/mountinfo", folder.join("mountinfo")).unwrap();
        for (name, text) in [
            ("maps", ""),
            ("cmdline", "x\0"),
            ("environ", ""),
            ("stat", "1 (x) S 1 1 1 0 -1 0 0"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    fn agent(&self, pid: &str, namespace: &str, root: &str, work_dir: &Raw) {
        self.process(pid, namespace, root);
        self.file(
            &format!("proc/{pid}/cmdline"),
            format!("mesos-agent\0--work_dir={work_dir}\0").as_bytes(),
        );
    }

    fn checkpoint(&self, state: &ResourceState) {
        let context = OperationContext {
            agent_id: b"S1",
            status_uuid: [7; 16],
        };
        self.file(
            "mesos/meta/resources/resources_and_operations.state",
            &encode_state(state, &context).unwrap(),
        );
        self.file(
            "mesos/meta/resources/resources.info",
            &encode_info(&state.resources, Form::Pre).unwrap(),
        );
    }

    fn request(&self) -> Request {
        Request {
            rules: DiskRules {
                work_dir: self.raw("mesos"),
                root: RootRule {
                    advertise: true,
                    size: SizeRule::Reserve(Bytes(0)),
                    role: Role::new("*"),
                },
                disks: Vec::new(),
                discovery: DiscoveryRules {
                    settle: Span::ZERO,
                    min_size: Bytes(0),
                    filesystems: Vec::new(),
                    exclude: Vec::new(),
                },
            },
            policy: Policy {
                sweep_every: Span::seconds(1),
                grace: Span::ZERO,
                orphans: OrphanPolicy::Report,
                protect: Vec::new(),
                brake_percent: 100,
                brake_min: 5,
                recreate_vanished: false,
                retention: Span::ZERO,
                orphan_retention: Span::ZERO,
                require_agent: false,
                start_gate: false,
                pid_namespace: PidNamespace::Host,
                barrier: false,
                wipe: crate::decide::facts::WipeMethod::UNLINK,
                mount_mode: None,
                trash: crate::decide::facts::TrashPolicy::default(),
            },
            words: Words::default(),
            state_dir: self.raw("state"),
        }
    }

    fn observe(&self, request: &Request, ask: &dyn Fn(&Known<Raw>) -> AgentAnswer) -> Facts {
        observe_facts(&self.places(), request, ask).unwrap()
    }

    fn facts(&self) -> Facts {
        self.observe(&self.request(), &|_latest| AgentAnswer::NotConfigured)
    }

    fn places(&self) -> Places {
        Places {
            proc: self.raw("proc"),
            sys: self.raw("sys"),
            ..Places::default()
        }
    }
}

fn disk(source: Option<(SourceType, Raw)>) -> Resource {
    Resource {
        name: "disk".into(),
        value: Value::Scalar(Megabytes::whole(64)),
        reservations: Vec::new(),
        source: source.map(|(kind, root)| DiskSource {
            kind,
            root: Some(root),
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

fn volume(id: &str, source: Option<(SourceType, Raw)>) -> Resource {
    Resource {
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("r"),
            principal: Some("p".into()),
            labels: Vec::new(),
        }],
        persistence: Some(Persistence {
            id: PersistenceId::new(id),
            principal: Some("p".into()),
            container_path: Some("data".into()),
        }),
        ..disk(source)
    }
}

fn answer(resources: Vec<Resource>, flag_roots: Known<Vec<Raw>>) -> AgentAnswer {
    AgentAnswer::State(AgentState {
        id: "S1".into(),
        version: None,
        resources,
        roles: BTreeSet::new(),
        flag_roots,
        operations: Vec::new(),
        tasks: Vec::new(),
        asked_at: Span::ZERO,
    })
}

fn witnesses(facts: &Facts) -> BTreeMap<String, BTreeSet<RootWitness>> {
    facts
        .roots
        .iter()
        .map(|root| (root.disk.to_string(), root.named_by.clone()))
        .collect()
}

fn only_root(facts: &Facts) -> &RootFacts {
    facts
        .roots
        .iter()
        .find(|root| root.kind() == DiskType::Root)
        .unwrap()
}

#[test]
fn a_host_is_observed_whole() {
    let host = Host::new();
    host.checkpoint(&ResourceState {
        resources: vec![volume("a", None)],
        operations: Vec::new(),
    });
    let facts = host.facts();
    assert_eq!(facts.agent.latest, Known::Known("S1".into()));
    assert_eq!(facts.agent.processes, Known::Known(Vec::new()));
    assert_eq!(facts.holders, Known::Known(Vec::new()));
    assert_eq!(facts.gate.closed_for, Known::Absent);
    assert_eq!(facts.memory, Known::Absent);
    assert_eq!(facts.checkpoint.state.whole().unwrap().resources.len(), 1);
    let root = only_root(&facts);
    assert_eq!(root.view, AgentView::NoAgent);
    let dirs = root.dirs.known().unwrap();
    assert_eq!((dirs.len(), &dirs[0].id_dir), (1, &"a".into()));
    let again: Facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
    assert_eq!(again, facts);
}

#[test]
fn every_authority_may_name_roots_and_each_is_told() {
    let host = Host::new();
    let of_type = |kind, name: &str| Some((kind, host.raw(name)));
    let pending = Operation {
        uuid: "00112233445566778899aabbccddeeff".to_owned(),
        kind: OperationKind::Create,
        state: OperationState::Pending,
        volumes: vec![volume("c", of_type(SourceType::Path, "in-operation"))],
    };
    host.checkpoint(&ResourceState {
        resources: vec![
            volume("b", of_type(SourceType::Mount, "in-state")),
            disk(of_type(SourceType::Path, "in-answer")),
        ],
        operations: vec![pending],
    });
    let in_ledger = DiskRef {
        kind: DiskType::Path,
        root: host.raw("in-ledger"),
    };
    let ledger = Ledger {
        roots: vec![LedgerRoot::new(in_ledger, 0)],
        ..Ledger::default()
    };
    host.file("state/ledger.json", &serde_json::to_vec(&ledger).unwrap());
    let mut request = host.request();
    let rule = |kind, paths: &[String]| DiskRule {
        kind,
        paths: paths.to_vec(),
        labels: Vec::new(),
        models: Vec::new(),
        devices: Vec::new(),
        size: SizeRule::Reserve(Bytes(0)),
        role: Role::new("*"),
    };
    request.rules.disks = vec![
        rule(DiskType::Path, &[host.raw("in-rules").to_string()]),
        rule(DiskType::Mount, &["/pro*".to_owned(), "/[".to_owned()]),
        rule(DiskType::Path, &["/proc".to_owned()]),
    ];
    let mut of_provider = disk(of_type(SourceType::Path, "of-provider"));
    of_provider.provider_id = Some("p".into());
    let mut of_csi = disk(of_type(SourceType::Mount, "of-csi"));
    of_csi.source.as_mut().unwrap().id = Some("x".into());
    let resources = vec![
        disk(of_type(SourceType::Path, "in-answer")),
        of_provider,
        of_csi,
    ];
    let flag_roots = Known::Known(vec![host.raw("in-info"), host.raw("unheard-of")]);
    let facts = host.observe(&request, &|_latest| {
        answer(resources.clone(), flag_roots.clone())
    });
    let named = |kind: &str, root: &Raw, by: &[RootWitness]| {
        (format!("{kind}:{root}"), by.iter().copied().collect())
    };
    assert_eq!(
        witnesses(&facts),
        BTreeMap::from([
            named("ROOT", &host.raw("mesos"), &[Config, InInfo]),
            named("PATH", &host.raw("in-info"), &[InInfo, Flags]),
            named("MOUNT", &host.raw("in-state"), &[Checkpoint]),
            named("PATH", &host.raw("in-operation"), &[Checkpoint]),
            named("PATH", &host.raw("in-answer"), &[Checkpoint, Flags]),
            named("PATH", &host.raw("in-ledger"), &[InLedger]),
            named("PATH", &host.raw("in-rules"), &[Config]),
            named("MOUNT", &"/proc".into(), &[Config]),
        ])
    );
}

#[test]
fn directories_are_read_before_the_authorities_that_could_name_them() {
    let host = Host::new();
    let facts = host.observe(&host.request(), &|_latest| {
        // Between the files and the end of the observation a volume is created.
        host.folder("mesos/volumes/roles/r/late");
        AgentAnswer::NotConfigured
    });
    let ids: Vec<&Raw> = only_root(&facts)
        .dirs
        .known()
        .unwrap()
        .iter()
        .map(|dir| &dir.id_dir)
        .collect();
    assert_eq!(ids, [&Raw::from("a")]);
}

#[test]
fn a_root_that_is_named_late_is_looked_at_before_the_authorities_are_asked_again() {
    let host = Host::new();
    host.folder("new/volumes/roles/r/n");
    let asked = Cell::new(0);
    let facts = host.observe(&host.request(), &|latest| {
        assert_eq!(*latest, Known::Known("S1".into()));
        asked.set(asked.get() + 1);
        answer(
            vec![disk(Some((SourceType::Path, host.raw("new"))))],
            Known::Absent,
        )
    });
    assert_eq!(asked.get(), 2);
    let new = facts
        .roots
        .iter()
        .find(|root| root.disk.root == host.raw("new"))
        .unwrap();
    assert_eq!(new.dirs.known().unwrap().len(), 1);
    assert_eq!(new.named_by, BTreeSet::from([RootWitness::Flags]));
}

#[test]
fn an_agent_that_names_new_roots_without_end_does_not_hold_the_observation_up() {
    let host = Host::new();
    let asked = Cell::new(0);
    let facts = host.observe(&host.request(), &|_latest| {
        asked.set(asked.get() + 1);
        let root = host.raw(&format!("new{}", asked.get()));
        answer(vec![disk(Some((SourceType::Path, root)))], Known::Absent)
    });
    assert_eq!(asked.get(), 4);
    assert!(
        facts
            .roots
            .iter()
            .all(|root| root.disk.root != host.raw("new4")),
        "a root that was not looked at is not told"
    );
}

#[test]
fn outside_the_initial_pid_namespace_processes_are_unknown_unless_all_live_in_ours() {
    let host = Host::new();
    let link = host.path("proc/self/ns/pid");
    std::fs::remove_file(&link).unwrap();
    let mut request = host.request();
    let blind = |request: &Request| {
        let facts = host.observe(request, &|_latest| AgentAnswer::NotConfigured);
        (
            facts.holders.why().is_some(),
            facts.agent.processes.why().is_some(),
            matches!(only_root(&facts).view, AgentView::Unknown(_)),
        )
    };
    assert_eq!(blind(&request), (true, true, true));
    symlink("pid:[4026532001]", &link).unwrap();
    assert_eq!(blind(&request), (true, true, true));
    request.policy.pid_namespace = PidNamespace::Own;
    assert_eq!(blind(&request), (false, false, false));
}

#[test]
fn a_work_dir_that_is_missing_or_never_asked_is_an_error() {
    let host = Host::new();
    let mut request = host.request();
    let error = |request: &Request| {
        observe_facts(&host.places(), request, &|_latest| {
            AgentAnswer::NotConfigured
        })
        .unwrap_err()
    };
    request.rules.work_dir = host.raw("none");
    assert!(matches!(error(&request), ObserveError::WorkDir(_)));
    request.rules.work_dir = "/proc/self".into();
    assert!(
        error(&request)
            .to_string()
            .starts_with("agent.work_dir /proc/self lies on proc, which is never asked")
    );
}

#[test]
fn our_agent_sees_the_same_or_something_else() {
    let host = Host::new();
    let work_dir = host.raw("mesos");
    let view = || only_root(&host.facts()).view.clone();
    host.agent("20", "mnt:[1]", "/", &work_dir);
    assert_eq!(view(), AgentView::Same);
    // Another namespace that shows the same.
    host.agent("21", "mnt:[2]", "/", &work_dir);
    assert_eq!(view(), AgentView::Same);
    // A changed root, in which the text leads to another directory, or nowhere.
    let jail = host.folder("jail");
    host.agent("22", "mnt:[1]", jail.as_str().unwrap(), &work_dir);
    assert_eq!(
        view(),
        AgentView::Other(format!("the agent with pid 22 sees nothing at {work_dir}"))
    );
    host.folder(&format!("jail{work_dir}"));
    assert!(
        matches!(view(), AgentView::Other(what) if what.starts_with("the agent with pid 22 sees something else at")),
    );
}

#[test]
fn another_agent_on_the_same_file_system_is_told() {
    let host = Host::new();
    let theirs = host.folder("theirs");
    host.agent("20", "mnt:[1]", "/", &theirs);
    let facts = host.facts();
    let root = only_root(&facts);
    assert_eq!(
        root.view,
        AgentView::Other(format!(
            "the agent with pid 20 and work_dir {theirs} uses the file system of {}, too",
            host.raw("mesos")
        ))
    );
    assert!(!facts.agent.processes.known().unwrap()[0].ours);
    // What it uses can't be told.
    host.file(
        "proc/20/cmdline",
        format!("mesos-agent\0--work_dir={theirs}\0--resources=[{{\0").as_bytes(),
    );
    assert!(matches!(
        only_root(&host.facts()).view,
        AgentView::Unknown(_)
    ));
}
