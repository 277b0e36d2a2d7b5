#![expect(
    clippy::disallowed_methods,
    reason = "tests build a work_dir of their own, and change it under the reader"
)]

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::decide::facts::{OperationState, ResourceState};
use crate::mesos::checkpoint::{
    Form, OperationContext, encode_info, encode_slave_info, encode_state, encode_task,
};
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Value};
use crate::mesos::state::{Operation, OperationKind};
use crate::units::Megabytes;

const AGENT: &str = "639c1f60-S0";
const CONTEXT: OperationContext<'_> = OperationContext {
    agent_id: AGENT.as_bytes(),
    status_uuid: [1; 16],
};

fn volume(id: &str) -> Resource {
    Resource {
        name: Raw::from("disk"),
        value: Value::Scalar(Megabytes::whole(64)),
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("prod"),
            principal: None,
            labels: Vec::new(),
        }],
        source: None,
        persistence: Some(Persistence {
            id: PersistenceId::new(id),
            principal: None,
            container_path: Some(Raw::from("data")),
        }),
        shared: false,
        provider_id: None,
    }
}

fn key(id: &str) -> VolumeKey {
    VolumeKey::new(Role::new("prod"), PersistenceId::new(id))
}

fn state(ids: &[&str]) -> ResourceState {
    ResourceState {
        operations: Vec::new(),
        resources: ids.iter().map(|id| volume(id)).collect(),
    }
}

fn state_bytes(ids: &[&str]) -> Vec<u8> {
    encode_state(&state(ids), &CONTEXT).unwrap()
}

/// A work_dir that a test fills.
struct WorkDir(TempDir);

impl WorkDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn put(&self, relative: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn link(&self, relative: &str, target: impl AsRef<Path>) -> &Self {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn observe(&self) -> Authorities {
        observe_authorities(self.0.path()).unwrap()
    }

    fn run(&self, container: &str) -> String {
        let _ = self;
        format!("meta/slaves/{AGENT}/frameworks/fw/executors/ex/runs/{container}")
    }
}

fn task(id: &str, volumes: &[&str]) -> Vec<u8> {
    let launched = Launched {
        id: Raw::from(id),
        framework: Some(Raw::from("fw")),
        resources: volumes.iter().map(|id| volume(id)).collect(),
    };
    encode_task(&launched, AGENT.as_bytes()).unwrap()
}

fn use_of(task: &str, volumes: &[&str]) -> TaskUse {
    TaskUse {
        task: Raw::from(task),
        framework: Raw::from("fw"),
        volumes: volumes.iter().map(|id| key(id)).collect(),
    }
}

#[test]
fn a_work_dir_without_meta_has_nothing_and_nothing_is_unknown() {
    let work_dir = WorkDir::new();
    let seen = work_dir.observe();
    assert_eq!(
        seen,
        Authorities {
            checkpoint: CheckpointFacts {
                state_target: CheckpointFile::Missing,
                state: CheckpointFile::Missing,
                info_target: CheckpointFile::Missing,
                info: CheckpointFile::Missing,
            },
            providers: Known::Absent,
            tasks: Known::Absent,
            latest: Known::Absent,
            slave_info: Known::Absent,
            run: Known::Absent,
        }
    );
}

#[test]
fn what_is_no_work_dir_is_refused_with_a_remedy() {
    let work_dir = WorkDir::new();
    work_dir.put("file", "");
    let error = |path: &Path| observe_authorities(path).unwrap_err().to_string();
    assert_eq!(
        error(Path::new("var/lib/mesos")),
        "agent.work_dir `var/lib/mesos` is not absolute; write the agent's --work_dir from the \
         root on"
    );
    assert!(
        error(&work_dir.path("none"))
            .ends_with("/none does not exist; give the agent's --work_dir, or mount its disk")
    );
    for path in ["file", "file/below"] {
        assert!(
            error(&work_dir.path(path)).ends_with("is no directory; give the agent's --work_dir")
        );
    }
}

#[test]
fn every_file_of_an_agent_is_read() {
    let work_dir = WorkDir::new();
    let info = SlaveInfo {
        hostname: Raw::from("h"),
        port: 5051,
        resources: vec![],
    };
    work_dir
        .put(paths::STATE, state_bytes(&["a"]))
        .put(paths::STATE_TARGET, state_bytes(&["b"]))
        .put(paths::INFO, encode_info(&[volume("c")], Form::Pre).unwrap())
        .put(
            paths::INFO_TARGET,
            encode_info(&[volume("d")], Form::Post).unwrap(),
        )
        .put(paths::BOOT_ID, "0b1f-boot\n")
        .link(paths::LATEST, format!("/elsewhere/meta/slaves/{AGENT}"))
        .put(
            &format!("meta/slaves/{AGENT}/slave.info"),
            encode_slave_info(&info, AGENT.as_bytes()).unwrap(),
        );
    let seen = work_dir.observe();
    assert_eq!(seen.checkpoint.state, CheckpointFile::Whole(state(&["a"])));
    assert_eq!(
        seen.checkpoint.state_target,
        CheckpointFile::Whole(state(&["b"]))
    );
    assert_eq!(
        seen.checkpoint.info,
        CheckpointFile::Whole(vec![volume("c")])
    );
    assert_eq!(
        seen.checkpoint.info_target,
        CheckpointFile::Whole(vec![volume("d")])
    );
    assert_eq!(seen.latest, Known::Known(Raw::from(AGENT)));
    assert_eq!(seen.slave_info, Known::Known(info));
    assert_eq!(seen.providers, Known::Known(Vec::new()));
    assert_eq!(seen.tasks, Known::Known(Vec::new()));
    let run = seen.run.known().unwrap().clone();
    assert_eq!(run.boot_id, Raw::from("0b1f-boot"));
    // An agent start writes the file anew, also with the same content.
    let other = work_dir.path("meta/boot_id.tmp");
    fs::write(&other, "0b1f-boot\n").unwrap();
    fs::rename(other, work_dir.path(paths::BOOT_ID)).unwrap();
    assert_ne!(work_dir.observe().run.known().unwrap(), &run);
}

#[test]
fn empty_and_damaged_files_are_told_apart_and_say_why() {
    let work_dir = WorkDir::new();
    work_dir
        .put(paths::STATE, "")
        .put(paths::INFO, "")
        .put(paths::STATE_TARGET, &state_bytes(&["a"])[..20])
        .put(paths::INFO_TARGET, [0xff; 4]);
    let seen = work_dir.observe().checkpoint;
    assert_eq!(seen.state, CheckpointFile::Empty);
    assert_eq!(seen.info, CheckpointFile::Empty);
    let CheckpointFile::Damaged(why) = seen.state_target else {
        panic!("{:?}", seen.state_target)
    };
    assert_eq!(
        why.0,
        "meta/resources/resources_and_operations.target: at byte 0: a record of 48 bytes begins, \
         but only 16 follow"
    );
    let CheckpointFile::Damaged(why) = seen.info_target else {
        panic!("{:?}", seen.info_target)
    };
    assert_eq!(
        why.0,
        "meta/resources/resources.target: at byte 0: a record of 4294967295 bytes begins, but \
         only 0 follow"
    );
}

#[test]
fn what_is_no_regular_file_is_damaged_and_never_missing() {
    let work_dir = WorkDir::new();
    work_dir
        .link(paths::STATE, "nowhere")
        .put("meta/resources/resources.info/x", "");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        work_dir.path(paths::STATE_TARGET),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let seen = work_dir.observe().checkpoint;
    assert!(matches!(seen.state, CheckpointFile::Damaged(why) if why.0.contains("symbolic link")));
    assert!(matches!(seen.state_target, CheckpointFile::Damaged(_)));
    assert!(matches!(seen.info, CheckpointFile::Damaged(_)));
    assert_eq!(seen.info_target, CheckpointFile::Missing);
    let work_dir = WorkDir::new();
    work_dir.put("meta", "a file");
    let seen = work_dir.observe();
    assert!(matches!(seen.checkpoint.state, CheckpointFile::Damaged(_)));
    for known in [
        seen.latest.why(),
        seen.run.why(),
        seen.tasks.why(),
        seen.providers.why(),
    ] {
        assert!(known.is_some());
    }
}

#[test]
fn an_oversized_file_is_damaged_without_being_read() {
    let work_dir = WorkDir::new();
    work_dir.put(paths::INFO, "");
    fs::File::options()
        .write(true)
        .open(work_dir.path(paths::INFO))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let CheckpointFile::Damaged(why) = work_dir.observe().checkpoint.info else {
        panic!("believed")
    };
    assert!(why.0.contains("more than the 33554432 bytes"), "{why}");
}

#[test]
fn latest_is_a_link_to_an_agent_or_unknown() {
    for (target, id) in [
        (format!("/w/meta/slaves/{AGENT}"), Some(AGENT)),
        (AGENT.to_owned(), Some(AGENT)),
        (format!("{AGENT}/"), Some(AGENT)),
        ("..".to_owned(), None),
        ("/".to_owned(), None),
    ] {
        let work_dir = WorkDir::new();
        work_dir.link(paths::LATEST, &target);
        let seen = work_dir.observe();
        assert_eq!(seen.latest.known(), id.map(Raw::from).as_ref(), "{target}");
        assert_eq!(seen.latest.why().is_none(), id.is_some(), "{target}");
        // Only the link is there, not the agent's folder.
        assert_eq!(seen.slave_info == Known::Absent, id.is_some(), "{target}");
    }
    let work_dir = WorkDir::new();
    work_dir.put(paths::LATEST, AGENT);
    assert_eq!(
        work_dir.observe().latest,
        Known::unknown("meta/slaves/latest is no symbolic link")
    );
}

#[test]
fn tasks_of_runs_that_have_not_ended_hold_their_volumes() {
    let work_dir = WorkDir::new();
    let (ended, live) = (work_dir.run("c1"), work_dir.run("c2"));
    work_dir
        .put(&format!("{ended}/executor.sentinel"), "")
        .put(
            &format!("{ended}/tasks/t1/task.info"),
            task("t1", &["gone"]),
        )
        .put(
            &format!("{live}/tasks/t2/task.info"),
            task("t2", &["a", "b"]),
        )
        .put(&format!("{live}/tasks/t3/task.info"), task("t3", &[]))
        .put(&format!("{live}/pids/forked.pid"), "1")
        .link(
            &format!("meta/slaves/{AGENT}/frameworks/fw/executors/ex/runs/latest"),
            "c2",
        )
        .link(paths::LATEST, AGENT)
        // An agent id of before counts as well.
        .put(
            "meta/slaves/old-S9/frameworks/fw/executors/e/runs/c/tasks/t/task.info",
            task("t", &["old"]),
        );
    fs::create_dir_all(work_dir.path(&format!("{live}/tasks/not-launched"))).unwrap();
    assert_eq!(
        work_dir.observe().tasks,
        Known::Known(vec![
            use_of("t2", &["a", "b"]),
            use_of("t3", &[]),
            use_of("t", &["old"])
        ])
    );
}

#[test]
fn whatever_can_t_be_read_below_slaves_makes_all_of_it_unknown() {
    let why = |fill: &dyn Fn(&WorkDir, &str)| {
        let work_dir = WorkDir::new();
        let run = work_dir.run("c");
        work_dir.put(&format!("{run}/tasks/t1/task.info"), task("t1", &["a"]));
        fill(&work_dir, &run);
        let seen = work_dir.observe();
        seen.tasks.why().or(seen.providers.why()).unwrap().0.clone()
    };
    assert!(
        why(&|work_dir, run| {
            work_dir.put(&format!("{run}/tasks/t2/task.info"), "");
        })
        .ends_with("/tasks/t2/task.info is empty, which a lost write leaves behind")
    );
    assert!(
        why(&|work_dir, run| {
            work_dir.put(&format!("{run}/tasks/t2/task.info"), [9, 0, 0]);
        })
        .ends_with(
            "can't be trusted: at byte 0: it ends inside the length of a record (3 of 4 bytes)"
        )
    );
    assert!(
        why(&|work_dir, run| {
            work_dir.put(&format!("{run}/../../executor.info"), "");
        })
        .ends_with("/executor.info is empty, which a lost write leaves behind")
    );
    assert!(
        why(&|work_dir, run| {
            work_dir.link(&format!("{run}/tasks/t2"), "/elsewhere");
        })
        .contains("/tasks/t2 is neither")
    );
    assert!(
        why(&|work_dir, _| {
            work_dir.put(
                &format!("meta/slaves/{AGENT}/resource_providers/t/n/id/resource_provider.state"),
                "",
            );
        })
        .ends_with("/resource_provider.state is empty, which a lost write leaves behind")
    );
}

#[test]
fn resource_providers_are_found_under_every_agent_id() {
    let work_dir = WorkDir::new();
    for agent in [AGENT, "old-S9"] {
        let provider = format!("meta/slaves/{agent}/resource_providers/org.x/local");
        work_dir
            .put(
                &format!("{provider}/id1/resource_provider.state"),
                state_bytes(&[agent]),
            )
            .link(&format!("{provider}/latest"), "id1");
        fs::create_dir_all(work_dir.path(&format!("{provider}/id2"))).unwrap();
    }
    let seen = work_dir.observe().providers;
    let found = seen.known().unwrap();
    assert_eq!(found.len(), 2);
    for (provider, agent) in found.iter().zip([AGENT, "old-S9"]) {
        assert_eq!(provider.content, state(&[agent]));
        assert_eq!(
            provider.file,
            Raw::from(format!(
                "meta/slaves/{agent}/resource_providers/org.x/local/id1/resource_provider.state"
            ))
        );
    }
}

#[test]
fn files_that_change_in_every_attempt_are_not_believed() {
    let work_dir = WorkDir::new();
    work_dir
        .put(paths::STATE, state_bytes(&["a"]))
        .put(paths::INFO, "")
        .put(paths::BOOT_ID, "b");
    let meta = Meta {
        work_dir: work_dir.0.path().to_path_buf(),
    };
    let reads = Cell::new(0);
    let replace = |relative: &str| {
        let temporary = work_dir.path("meta/XXXXXX");
        fs::copy(work_dir.path(relative), &temporary).unwrap();
        fs::rename(temporary, work_dir.path(relative)).unwrap();
    };
    // Quiet from the third attempt on: believed.
    let core = meta.core(
        || {
            reads.set(reads.get() + 1);
            let core = meta.core_once();
            if reads.get() < 3 {
                replace(paths::STATE);
            }
            core
        },
        || {},
    );
    assert_eq!(reads.get(), 3);
    assert_eq!(core.checkpoint.state, CheckpointFile::Whole(state(&["a"])));
    // Never quiet: what changed is not believed, the rest is.
    reads.set(0);
    let core = meta.core(
        || {
            reads.set(reads.get() + 1);
            let core = meta.core_once();
            replace(paths::STATE);
            replace(paths::BOOT_ID);
            core
        },
        || {},
    );
    assert_eq!(reads.get(), ATTEMPTS);
    assert_eq!(
        core.checkpoint.state,
        CheckpointFile::Damaged(Why(
            "meta/resources/resources_and_operations.state changes faster than it can be read"
                .to_owned()
        ))
    );
    assert_eq!(core.checkpoint.info, CheckpointFile::Empty);
    assert_eq!(
        core.run,
        Known::unknown("meta/boot_id changes faster than it can be read")
    );
}

/// An agent that checkpoints without pause: a volume that it holds all the time is named by every
/// observation, or the observation says that it could not tell.
#[test]
fn a_held_volume_is_named_however_fast_the_agent_writes() {
    let work_dir = WorkDir::new();
    work_dir.put(paths::STATE, state_bytes(&["kept"]));
    let operation = |state| Operation {
        uuid: "b291a2425d2f4141adb73c00b435dfcd".to_owned(),
        kind: OperationKind::Destroy,
        state,
        volumes: vec![volume("other")],
    };
    let (mut pending, mut finished) = (state(&["other", "kept"]), state(&["kept"]));
    pending.operations.push(operation(OperationState::Pending));
    finished
        .operations
        .push(operation(OperationState::Finished));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for state in [&pending, &finished] {
                    let temporary = work_dir.path("meta/resources/XXXXXX");
                    fs::write(&temporary, encode_state(state, &CONTEXT).unwrap()).unwrap();
                    fs::rename(&temporary, work_dir.path(paths::STATE_TARGET)).unwrap();
                    fs::rename(
                        work_dir.path(paths::STATE_TARGET),
                        work_dir.path(paths::STATE),
                    )
                    .unwrap();
                }
            }
        });
        for _ in 0..20 {
            let seen = work_dir.observe().checkpoint;
            let names = |file: &CheckpointFile<ResourceState>| match file {
                CheckpointFile::Whole(state) => state
                    .resources
                    .iter()
                    .any(|one| one.volume_key() == Some(key("kept"))),
                CheckpointFile::Damaged(_) => true,
                CheckpointFile::Missing | CheckpointFile::Empty => false,
            };
            assert!(names(&seen.state_target) || names(&seen.state), "{seen:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}
