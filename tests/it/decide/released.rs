//! When a disk may be given back to the host, and the way back.

use mesos_volumed::decide::facts::{
    CheckpointFile, Facts, HolderKind, Known, OperationKind, OperationState, PreparedDisk,
    PreparedFs, RootWitness, Stage, Why,
};
use mesos_volumed::decide::ledger::{Ledger, LedgerRoot};
use mesos_volumed::decide::memory::Gone;
use mesos_volumed::decide::prepare::{
    Command, DiskStep, Judged, ReleaseFacts, ReleasePlan, Rule, release,
};
use mesos_volumed::decide::steps::Evidence;
use mesos_volumed::units::{Raw, Span};

use super::builder::{World, a_reservation, a_volume, healthy, key, mount, path, root, unknown};

const HIDDEN: &str = "/state/mounts/u-1";

/// All that a release is decided from.
#[derive(Clone)]
struct Given {
    facts: Facts,
    at: Raw,
    record: Known<PreparedDisk>,
    ledger: Ledger,
    trash: Known<Vec<Raw>>,
    data: Known<bool>,
    umount: Known<Raw>,
    systemctl: Known<Raw>,
    systemd: bool,
}

/// A prepared MOUNT disk of which nothing is left, on a host whose agent is down.
fn given() -> Given {
    let mut facts = healthy();
    facts.stop_agent();
    Given {
        facts,
        at: mount().root,
        record: Known::Known(record()),
        ledger: Ledger {
            roots: vec![LedgerRoot::new(mount(), 0)],
            ..Ledger::default()
        },
        trash: Known::Known(Vec::new()),
        data: Known::Known(false),
        umount: Known::Known("/usr/bin/umount".into()),
        systemctl: Known::Known("/usr/bin/systemctl".into()),
        systemd: true,
    }
}

fn record() -> PreparedDisk {
    PreparedDisk {
        version: PreparedDisk::VERSION,
        uuid: "u-1".to_owned(),
        disk: mount(),
        fs: PreparedFs::Ext4,
        device: "sdb".into(),
        confirmed: "S1".into(),
        backing_file: None,
        size_bytes: 1 << 40,
        hidden: Some(HIDDEN.into()),
        immutable: true,
        folders: vec!["/state/mounts".into(), HIDDEN.into(), mount().root],
        units: vec![
            "state-mounts-u\\x2d1.mount".to_owned(),
            "dcos-volume0.mount".to_owned(),
        ],
        stage: Stage::Done,
    }
}

impl Given {
    fn judged(&self) -> Judged<ReleasePlan> {
        release(&ReleaseFacts {
            facts: &self.facts,
            root: self.at.clone(),
            record: self.record.clone(),
            ledger: &self.ledger,
            trash: self.trash.clone(),
            data: self.data.clone(),
            umount: self.umount.clone(),
            systemctl: self.systemctl.clone(),
            systemd: self.systemd,
        })
    }

    /// The rules that refuse.
    #[track_caller]
    fn refused(&self) -> Vec<Rule> {
        let judged = self.judged();
        let rules: Vec<Rule> = judged.refusals().map(|tried| tried.rule).collect();
        assert_eq!(judged.plan.is_none(), !rules.is_empty());
        for tried in &judged.tried {
            assert_eq!(tried.passed, tried.remedy.is_none(), "{tried:?}");
        }
        rules
    }

    #[track_caller]
    fn plan(&self) -> ReleasePlan {
        self.judged().plan.unwrap()
    }

    fn record(&mut self) -> &mut PreparedDisk {
        match &mut self.record {
            Known::Known(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// As the ledger knows a disk that was not prepared here.
    fn not_prepared(&mut self) {
        self.record = Known::Absent;
        self.trash = Known::Absent;
        self.data = Known::Absent;
    }
}

fn agent_runs(given: &mut Given) {
    given.facts = healthy();
}

fn witnesses(given: &mut Given, of: &[RootWitness]) {
    given.facts.disk(&mount()).named_by = of.iter().copied().collect();
}

/// `db/m` was on this disk when it was last named.
fn remembered(given: &mut Given, disk: &mesos_volumed::mesos::disk::DiskRef, gone: Option<Gone>) {
    let mut facts = given.facts.clone();
    facts.create(disk, &key("db/m"));
    facts.pass();
    given.facts.memory = facts.memory;
    let records = &mut given.facts.memory().volumes;
    assert_eq!(records.len(), 1);
    records[0].gone = gone;
}

fn gone(evidence: Option<Evidence>) -> Gone {
    Gone {
        since: Span::ZERO,
        since_boot: Span::ZERO,
        boot_id: String::new(),
        evidence,
    }
}

type Case = (&'static str, fn(&mut Given), &'static [Rule]);

#[track_caller]
fn each(cases: &[Case]) {
    assert_eq!(given().refused(), []);
    for (what, change, rules) in cases {
        let mut given = given();
        change(&mut given);
        assert_eq!(given.refused(), *rules, "{what}");
    }
}

#[test]
fn nothing_of_the_agents_may_be_on_a_disk_that_is_given_back() {
    each(&[
        (
            "a volume",
            |g| g.facts.create(&mount(), &key("db/m")),
            &[Rule::Held],
        ),
        (
            "a volume of another disk",
            |g| g.facts.create(&path(), &key("db/p")),
            &[],
        ),
        (
            "an operation that is pending there",
            |g| {
                let bare = mesos_volumed::mesos::resource::Resource {
                    persistence: None,
                    ..a_volume(&mount(), &key("db/m"))
                };
                let (kind, state) = (OperationKind::Create, OperationState::Pending);
                g.facts.operate(kind, state, 9, bare);
            },
            &[Rule::Held],
        ),
        (
            "a reservation",
            |g| {
                let mut reserved = a_volume(&mount(), &key("db/m"));
                reserved.persistence = None;
                g.facts.state().resources.push(reserved);
            },
            &[Rule::Held],
        ),
        (
            "a reservation of another disk",
            |g| g.facts.state().resources.push(a_reservation("db")),
            &[],
        ),
    ]);
}

#[test]
fn what_the_agents_files_cannot_say_keeps_a_disk() {
    each(&[
        (
            "a damaged checkpoint",
            |g| g.facts.checkpoint.state = CheckpointFile::Damaged(Why("torn".to_owned())),
            &[Rule::AuthorityUnknown],
        ),
        (
            "a checkpoint that is not there",
            |g| {
                g.facts.checkpoint.state = CheckpointFile::Missing;
                g.facts.checkpoint.info = CheckpointFile::Missing;
            },
            &[Rule::AuthorityUnknown],
        ),
        (
            "a checkpoint that is not there, of an agent that never ran",
            |g| {
                g.facts.checkpoint.state = CheckpointFile::Missing;
                g.facts.checkpoint.info = CheckpointFile::Missing;
                g.facts.agent.latest = Known::Absent;
            },
            &[],
        ),
        (
            "whether an agent ever ran is unknown",
            |g| {
                g.facts.checkpoint.state = CheckpointFile::Missing;
                g.facts.checkpoint.info = CheckpointFile::Missing;
                g.facts.agent.latest = unknown();
            },
            &[Rule::AuthorityUnknown],
        ),
    ]);
}

#[test]
fn a_disk_that_a_running_agent_offers_is_not_given_back() {
    each(&[
        (
            "it registered with it",
            |g| {
                agent_runs(g);
                witnesses(g, &[RootWitness::SlaveInfo]);
            },
            &[Rule::Offered],
        ),
        (
            "its flags name it",
            |g| {
                agent_runs(g);
                witnesses(g, &[RootWitness::Flags]);
            },
            &[Rule::Offered],
        ),
        (
            "only a rule names it",
            |g| {
                agent_runs(g);
                witnesses(g, &[RootWitness::Config]);
            },
            &[],
        ),
        (
            "it is not looked at",
            |g| {
                agent_runs(g);
                g.facts.roots.retain(|root| root.disk != mount());
            },
            &[],
        ),
        (
            "the agent is another's",
            |g| {
                let mut theirs = super::builder::an_agent(7);
                theirs.ours = false;
                g.facts.agent.processes = Known::Known(vec![theirs]);
            },
            &[],
        ),
        (
            "whether an agent runs is unknown",
            |g| {
                agent_runs(g);
                g.facts.agent.processes = unknown();
            },
            &[Rule::AuthorityUnknown, Rule::Offered],
        ),
    ]);
}

#[test]
fn a_disk_in_use_is_not_given_back() {
    each(&[
        (
            "a process has a file of it open",
            |g| g.facts.hold(&mount(), "file", HolderKind::OpenFile),
            &[Rule::InUse],
        ),
        (
            "a process has a file of another disk open",
            |g| g.facts.hold(&path(), "file", HolderKind::OpenFile),
            &[],
        ),
        // The kernel does not unmount what is in use.
        (
            "who uses it is unknown",
            |g| g.facts.holders = unknown(),
            &[],
        ),
        (
            "it is not mounted",
            |g| {
                g.facts.hold(&mount(), "file", HolderKind::OpenFile);
                g.facts.disk(&mount()).mount = Known::Absent;
            },
            &[],
        ),
        (
            "its trash holds an entry",
            |g| g.trash = Known::Known(vec!["1-abc-1".into()]),
            &[Rule::Trash],
        ),
        (
            "its trash can't be read",
            |g| g.trash = unknown(),
            &[Rule::Trash],
        ),
        (
            "its file system is not mounted",
            |g| g.trash = Known::Absent,
            &[],
        ),
    ]);
}

#[test]
fn a_disk_on_which_a_destroy_is_owed_is_not_given_back() {
    each(&[
        (
            "it is being emptied",
            |g| g.facts.gate.closed_for = Known::Known(vec![path().root, mount().root]),
            &[Rule::Owed],
        ),
        (
            "another disk is being emptied",
            |g| g.facts.gate.closed_for = Known::Known(vec![path().root]),
            &[],
        ),
        (
            "what is being emptied is unknown",
            |g| g.facts.gate.closed_for = unknown(),
            &[Rule::Owed],
        ),
        (
            "nothing was ever remembered",
            |g| g.facts.memory = Known::Absent,
            &[],
        ),
        (
            "what was remembered can't be read",
            |g| g.facts.memory = unknown(),
            &[Rule::AuthorityUnknown, Rule::Owed],
        ),
        (
            "a volume was there a moment ago",
            |g| remembered(g, &mount(), None),
            &[Rule::Owed],
        ),
        (
            "a volume was on another disk a moment ago",
            |g| remembered(g, &path(), None),
            &[],
        ),
        (
            "a destroy was witnessed and is not carried out",
            |g| remembered(g, &mount(), Some(gone(Some(Evidence::GoneWithinRun)))),
            &[Rule::Owed],
        ),
        (
            "a volume went, and nobody knows why",
            |g| remembered(g, &mount(), Some(gone(None))),
            &[],
        ),
    ]);
}

#[test]
fn only_a_disk_that_is_known_is_given_back() {
    each(&[
        (
            "nobody knows the root",
            |g| {
                g.not_prepared();
                g.at = "/elsewhere".into();
            },
            &[Rule::NotPrepared],
        ),
        (
            "the work_dir is no disk to give back",
            |g| {
                g.not_prepared();
                g.ledger.roots = vec![LedgerRoot::new(root(), 0)];
                g.at = root().root;
            },
            &[Rule::NotPrepared],
        ),
        (
            "the records can't be read",
            |g| g.record = unknown(),
            &[Rule::Records],
        ),
        (
            "there is no umount",
            |g| g.umount = Known::Absent,
            &[Rule::Programs],
        ),
        (
            "there is no systemctl for its units",
            |g| g.systemctl = Known::Absent,
            &[Rule::Programs],
        ),
        (
            "there is no systemctl, and there are no units",
            |g| {
                g.systemctl = Known::Absent;
                g.record().units.clear();
            },
            &[],
        ),
        (
            "what the ledger knows alone is not unmounted",
            |g| {
                g.not_prepared();
                g.umount = Known::Absent;
            },
            &[],
        ),
    ]);
}

fn command(program: &str, arguments: &[&str]) -> Command {
    Command {
        program: program.into(),
        arguments: arguments.iter().map(|word| Raw::from(*word)).collect(),
    }
}

fn releasing(record: PreparedDisk) -> DiskStep {
    DiskStep::Record {
        record: Box::new(PreparedDisk {
            stage: Stage::Releasing,
            ..record
        }),
    }
}

fn unmount(command: Command, at: &str) -> DiskStep {
    DiskStep::Unmount {
        command,
        at: at.into(),
        uuid: "u-1".to_owned(),
    }
}

/// The end of every way back: the bare folders and what is written down.
fn bare() -> Vec<DiskStep> {
    let at = mount().root.to_string();
    let mut steps: Vec<DiskStep> = [at.as_str(), HIDDEN]
        .map(|path| DiskStep::Unprotect { path: path.into() })
        .into();
    steps.extend(
        [at.as_str(), HIDDEN, "/state/mounts"]
            .map(|path| DiskStep::RemoveFolder { path: path.into() }),
    );
    steps.push(DiskStep::Retire { disk: mount() });
    steps.push(DiskStep::Forget {
        uuid: "u-1".to_owned(),
    });
    steps
}

#[test]
fn what_was_made_last_goes_first() {
    let given = given();
    let plan = given.plan();
    let systemctl = "/usr/bin/systemctl";
    let units = record().units;
    let [own, bound] = [units[0].as_str(), units[1].as_str()];
    let mut wanted = vec![
        releasing(record()),
        unmount(command(systemctl, &["stop", bound]), "/dcos/volume0"),
        unmount(command(systemctl, &["stop", own]), HIDDEN),
        DiskStep::Systemd {
            command: command(systemctl, &["disable", own, bound]),
        },
        DiskStep::RemoveUnit {
            path: Raw::from("/etc/systemd/system").join(own),
        },
        DiskStep::RemoveUnit {
            path: Raw::from("/etc/systemd/system").join(bound),
        },
        DiskStep::Systemd {
            command: command(systemctl, &["daemon-reload"]),
        },
    ];
    wanted.extend(bare());
    assert_eq!(plan.steps(), wanted);
    assert_eq!(plan.disk(), &mount());
    assert_eq!(plan.into_steps(), wanted);
}

#[test]
fn units_are_stopped_only_where_systemd_runs_and_made_them() {
    let umount = |at: &str| unmount(command("/usr/bin/umount", &[at]), at);
    // Prepared while systemd did not run.
    let mut given = given();
    given.record().units.clear();
    let mut wanted = vec![
        releasing(given.record().clone()),
        umount("/dcos/volume0"),
        umount(HIDDEN),
    ];
    wanted.extend(bare());
    assert_eq!(given.plan().steps(), wanted);
    // Prepared with units, and systemd does not run any more: they go as files.
    let mut given = self::given();
    given.systemd = false;
    let names = [
        "record",
        "unmount",
        "unmount",
        "systemd",
        "remove_unit",
        "remove_unit",
    ];
    let plan = given.plan();
    let steps = plan.steps();
    let found: Vec<&str> = steps.iter().map(DiskStep::name).collect();
    assert_eq!(found[..names.len()], names);
    assert_eq!(found[names.len()], "unprotect");
    assert_eq!(steps[1..3], [umount("/dcos/volume0"), umount(HIDDEN)]);
}

#[test]
fn a_mount_point_that_was_left_writable_is_not_touched() {
    let mut given = given();
    given.record().immutable = false;
    given.record().folders.clear();
    let names: Vec<&str> = given.plan().steps().iter().map(DiskStep::name).collect();
    assert!(
        !names.contains(&"unprotect") && !names.contains(&"remove_folder"),
        "{names:?}"
    );
}

#[test]
fn a_disk_that_was_not_prepared_here_only_leaves_the_ledger() {
    let mut given = given();
    given.not_prepared();
    let plan = given.plan();
    assert_eq!(plan.steps(), [DiskStep::Retire { disk: mount() }]);
    assert_eq!(plan.disk(), &mount());
    assert!(
        plan.notes()
            .iter()
            .any(|note| note.contains("unmount it yourself")),
        "{:?}",
        plan.notes()
    );
}

#[test]
fn the_operator_is_told_what_stays() {
    let mut given = given();
    witnesses(&mut given, &[]);
    assert_eq!(given.plan().notes(), Vec::<String>::new());
    let notes = |change: fn(&mut Given)| {
        let mut given = given.clone();
        change(&mut given);
        let notes = given.plan().notes().to_vec();
        assert_eq!(notes.len(), 1, "{notes:?}");
        notes[0].clone()
    };
    assert!(notes(|g| g.data = Known::Known(true)).contains("nothing was wiped"));
    assert!(notes(|g| g.data = unknown()).contains("is unknown"));
    assert!(notes(|g| witnesses(g, &[RootWitness::Config])).contains("[[disks]] rule"));
}

#[test]
fn what_is_on_it_is_named() {
    let said = |change: fn(&mut Given), rule: Rule| {
        let mut given = given();
        change(&mut given);
        let judged = given.judged();
        let mut refusals = judged.refusals();
        refusals
            .find(|tried| tried.rule == rule)
            .unwrap()
            .evidence
            .clone()
    };
    let volume = |g: &mut Given| g.facts.create(&mount(), &key("db/m"));
    assert_eq!(said(volume, Rule::Held), "it holds db/m");
    let entries = |g: &mut Given| g.trash = Known::Known(vec!["1-a-1".into(), "1-a-2".into()]);
    assert_eq!(said(entries, Rule::Trash), "its trash holds 1-a-1, 1-a-2");
}
