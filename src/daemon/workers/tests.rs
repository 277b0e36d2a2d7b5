//! Workers: what waits, what is paused, and what is told of ends.

#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::time::Duration;

use super::*;
use crate::act::executor::Desk;
use crate::act::gate::Gate;
use crate::act::roots::RootLocks;
use crate::config::{WipeRate, WipeSettings};
use crate::decide::facts::{Fingerprint, WipeMethod};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::steps::TrashPlace;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::{PersistenceId, Role};
use crate::units::Span;

fn identity(handle: &str) -> FileIdentity {
    FileIdentity {
        filesystem: "no-such-file-system".to_owned(),
        handle: handle.to_owned(),
    }
}

/// A job that ends at once when it runs: its root is not there.
fn job(root: &str) -> Job {
    let disk = DiskRef {
        kind: DiskType::Mount,
        root: Raw::from(root),
    };
    let key = VolumeKey::new(Role::new("role"), PersistenceId::new("id"));
    let manifest = Manifest {
        state: TrashState::Moved,
        ..Manifest::sample(key, disk.clone(), identity(root))
    };
    let root = Fingerprint {
        filesystem: "no-such-file-system".to_owned(),
        fs_type: "ext4".to_owned(),
        directory: identity("root"),
    };
    Job::MoveBack {
        entry: Box::new(TrashPlace {
            disk,
            root,
            manifest,
            data: None,
            hidden: None,
        }),
    }
}

fn workers(state_dir: &std::path::Path) -> Workers {
    let store = Store::open(state_dir).unwrap();
    let shared = Shared {
        desk: Desk {
            sys: Arc::new(Kernel::new()),
            locks: RootLocks::default(),
            gate: Arc::new(Gate::new(store.clone(), [], Vec::new())),
            store,
            wall_seconds: || 7,
        },
        agents: Arc::new(|| Known::Known(Vec::new())),
        reserved: Arc::new(|_| Known::Absent),
        caller: Arc::new(|_| Ok(())),
        confirm: Span::ZERO,
        reins: Arc::default(),
        pace: Pace::from(&WipeSettings {
            rate: WipeRate::ByFileSystem,
            pressure_limit: 20,
            threads: 1,
            method: WipeMethod::UNLINK,
            mount_mode: None,
        }),
    };
    Workers::new(shared, Arc::new(|_| {}))
}

fn ends(handle: &WorkersHandle) -> bool {
    for _ in 0..500 {
        if handle.idle() && handle.jobs().is_empty() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn what_is_paused_waits_whenever_it_comes_and_over_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let (a, b) = ("/nowhere/a", "/nowhere/b");
    let mut first = workers(temp.path());
    let handle = first.handle();
    handle.pause(Some(&Raw::from(a))).unwrap();
    assert!(matches!(first.run(job(a), "p", "s"), Outcome::Started));
    // The same drive, as far as can be told: it is not held up by the one that is paused.
    assert!(matches!(first.run(job(b), "p", "s"), Outcome::Started));
    for _ in 0..500 {
        if handle.jobs().len() == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let [waits] = &handle.jobs()[..] else {
        panic!("{:?}", handle.jobs());
    };
    assert_eq!(waits.disk.root, a);
    assert_eq!((waits.state, waits.started_at), (JobState::Paused, None));
    assert_eq!((waits.kind.as_str(), waits.queued_at), ("put_back", 7));
    assert_eq!(waits.persistence_id, "id");
    handle.stop();
    assert!(ends_idle(&handle), "a worker that waits hears the end");

    let mut second = workers(temp.path());
    let handle = second.handle();
    assert!(handle.pauses().holds(&Raw::from(a)));
    assert!(matches!(second.run(job(a), "p", "s"), Outcome::Started));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(handle.jobs()[0].state, JobState::Paused);
    handle.resume(Some(&Raw::from(a))).unwrap();
    assert!(ends(&handle));
    assert_eq!(workers(temp.path()).handle().pauses(), Pauses::none());
}

fn ends_idle(handle: &WorkersHandle) -> bool {
    for _ in 0..500 {
        if handle.idle() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn a_damaged_note_of_pauses_pauses_everything_until_it_is_taken_back() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join(Pauses::NAME), "{").unwrap();
    let mut workers = workers(temp.path());
    let handle = workers.handle();
    assert!(matches!(
        workers.run(job("/nowhere/a"), "p", "s"),
        Outcome::Started
    ));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(handle.jobs()[0].state, JobState::Paused);
    handle.resume(None).unwrap();
    assert!(ends(&handle));
    let text = std::fs::read_to_string(temp.path().join(Pauses::NAME)).unwrap();
    assert!(text.contains("\"all\": false"), "{text}");
}

#[test]
fn a_pause_reaches_a_job_that_runs() {
    let temp = tempfile::tempdir().unwrap();
    let workers = workers(temp.path());
    let handle = workers.handle();
    let control = Arc::new(workers.shared.pace.control());
    let disk = DiskRef {
        kind: DiskType::Path,
        root: Raw::from("/mnt/a"),
    };
    lock(&workers.work.state).jobs.insert(
        identity("x"),
        Running {
            number: 1,
            quick: false,
            subject: String::new(),
            kind: "wipe",
            volume: VolumeKey::new(Role::new("role"), PersistenceId::new("id")),
            disk,
            plan: String::new(),
            queued_at: 0,
            started_at: Some(1),
            control: Arc::clone(&control),
            progress: Arc::default(),
        },
    );
    handle.pause(None).unwrap();
    assert!(control.is_paused());
    assert_eq!(handle.jobs()[0].state, JobState::Paused);
    handle.resume(Some(&Raw::from("/mnt/a"))).unwrap();
    assert!(!control.is_paused());
    assert!(handle.pauses().holds(&Raw::from("/mnt/b")));
    assert_eq!(handle.jobs()[0].state, JobState::Running);
}

#[test]
fn a_step_waits_for_the_job_before_it_on_the_same_subject() {
    let temp = tempfile::tempdir().unwrap();
    let mut workers = workers(temp.path());
    let handle = workers.handle();
    let root = Raw::from("/nowhere/a");
    handle.pause(Some(&root)).unwrap();
    assert!(matches!(
        workers.run(job("/nowhere/a"), "p", "r/a"),
        Outcome::Started
    ));
    let end = || handle.end_of("wipe", "r/a", 0);
    assert!(end().is_none(), "another step of it runs");
    handle.resume(Some(&root)).unwrap();
    assert!(ends(&handle));
    assert_eq!(end().unwrap().result, StepResult::Stale);
    assert!(handle.end_of("put_back", "r/a", 0).is_some());
}

/// Remembers the end of a job, as its worker does.
fn ended(workers: &Workers, step: &str, subject: &str, result: StepResult) {
    let mut state = lock(&workers.work.state);
    state.ends = state.ends.saturating_add(1);
    let number = state.ends;
    state.ended.push_back(Ended {
        number,
        became: Became {
            step: step.to_owned(),
            subject: subject.to_owned(),
            result,
            detail: serde_json::Value::Null,
            text: String::new(),
        },
        outcome: Arc::new(Outcome::Identity),
        progress: ProgressNow::default(),
        took: Span::ZERO,
    });
}

#[test]
fn what_a_job_did_is_not_hidden_by_a_second_one_that_found_it_done() {
    let temp = tempfile::tempdir().unwrap();
    let workers = workers(temp.path());
    let handle = workers.handle();
    let end = |after| handle.end_of("restore", "r/a", after).unwrap().result;
    ended(&workers, "clear", "r/a", StepResult::Done);
    ended(&workers, "restore", "r/a", StepResult::Done);
    assert_eq!(end(0), StepResult::Done);
    ended(&workers, "restore", "r/a", StepResult::Stale);
    assert_eq!(end(0), StepResult::Done);
    assert_eq!(
        end(2),
        StepResult::Stale,
        "only the second one is asked for"
    );
    ended(&workers, "restore", "r/a", StepResult::Failed);
    assert_eq!(
        end(0),
        StepResult::Failed,
        "the last one that did something"
    );
    let done = |after| {
        let done = handle.done_after(after);
        done.into_iter().map(|end| end.step).collect::<Vec<_>>()
    };
    assert_eq!(done(0), ["clear", "restore"]);
    assert_eq!(done(1), ["restore"]);
    assert!(done(2).is_empty());
}
