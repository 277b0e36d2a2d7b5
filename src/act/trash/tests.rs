#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests make and look at trees of their own"
)]

use std::cell::Cell;
use std::path::{Path, PathBuf};

use super::*;
use crate::act::sys::hooked::{Hooked, quiet};
use crate::decide::facts::Fingerprint;
use crate::decide::manifest::AdoptedMark;
use crate::decide::steps::OursPlace;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::units::Span;

/// A PATH root with one volume, and the step that moves it.
struct Host {
    temp: tempfile::TempDir,
    place: VolumePlace,
    identity: FileIdentity,
    manifest: Manifest,
}

impl Host {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let volume = temp.path().join("volumes/roles/eng dev/data#1");
        std::fs::create_dir_all(volume.join("deep/er")).unwrap();
        std::fs::write(volume.join("deep/er/file"), "precious").unwrap();
        let kernel = Hooked::new(&quiet);
        let at = |path: &Path| kernel.identity(&kernel.open_root(path).unwrap()).unwrap();
        let root = at(temp.path());
        let identity = at(&volume);
        let disk = DiskRef {
            kind: DiskType::Path,
            root: Raw::from(temp.path()),
        };
        let key = VolumeKey::new(Role::new("eng/dev"), PersistenceId::new("data#1"));
        let place = VolumePlace {
            volume: key.clone(),
            disk: disk.clone(),
            root: Fingerprint {
                filesystem: root.filesystem.clone(),
                fs_type: "test".to_owned(),
                directory: root,
            },
            role_dir: Raw::from("eng dev"),
            id_dir: Raw::from("data#1"),
        };
        let manifest = Manifest::sample(key, disk, identity.clone());
        Self {
            temp,
            place,
            identity,
            manifest,
        }
    }

    fn volume(&self) -> PathBuf {
        self.temp.path().join("volumes/roles/eng dev/data#1")
    }

    fn entry(&self) -> PathBuf {
        self.temp.path().join("volumes/.mesos-volumed/trash/1-a-1")
    }

    fn quarantine<S: Sys>(&self, sys: &S) -> Outcome {
        quarantine(
            sys,
            &RootLocks::default(),
            &self.place,
            &self.identity,
            &self.manifest,
        )
    }

    /// The entry in this state, as a plan would name it.
    fn trash_place(&self, state: TrashState, data: bool) -> TrashPlace {
        TrashPlace {
            disk: self.place.disk.clone(),
            root: self.place.root.clone(),
            manifest: Manifest {
                state,
                ..self.manifest.clone()
            },
            data: data.then(|| self.identity.clone()),
            hidden: None,
        }
    }

    fn state(&self) -> Option<TrashState> {
        let text = std::fs::read(self.entry().join("manifest.json")).ok()?;
        Some(serde_json::from_slice::<Manifest>(&text).unwrap().state)
    }

    /// Where the data is, whole: in its place or in the trash. Anything else is a loss.
    fn where_whole(&self) -> &'static str {
        let file = |base: PathBuf| std::fs::read_to_string(base.join("deep/er/file"));
        match (file(self.volume()), file(self.entry().join("data"))) {
            (Ok(text), Err(_)) if text == "precious" => "place",
            (Err(_), Ok(text)) if text == "precious" => "trash",
            other => panic!("the data is neither here nor there: {other:?}"),
        }
    }
}

fn assert_done(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

#[test]
fn a_volume_goes_into_the_trash_and_back_with_everything() {
    let host = Host::new();
    let kernel = Hooked::new(&quiet);
    assert_done(&host.quarantine(&kernel));
    assert_eq!(
        (host.where_whole(), host.state()),
        ("trash", Some(TrashState::Moved))
    );
    assert!(
        std::fs::metadata(host.volume().parent().unwrap()).is_ok(),
        "the role stays"
    );
    let locks = RootLocks::default();
    assert_done(&put_back(
        &kernel,
        &locks,
        &host.trash_place(TrashState::Moved, true),
    ));
    assert_eq!((host.where_whole(), host.state()), ("place", None));
    assert!(
        std::fs::metadata(host.entry()).is_err(),
        "the entry is gone"
    );
}

/// Clears what needs no walk.
fn cleared<S: Sys>(sys: &S, locks: &RootLocks<S>, place: &TrashPlace) -> Outcome {
    clear_at_once(sys, locks, place).unwrap()
}

#[test]
fn clearing_says_so_durably_and_only_for_the_manifest_that_was_planned_for() {
    let host = Host::new();
    let (kernel, locks) = (Hooked::new(&quiet), RootLocks::default());
    assert_done(&host.quarantine(&kernel));
    let prepared = host.trash_place(TrashState::Prepared, true);
    assert!(matches!(
        cleared(&kernel, &locks, &prepared),
        Outcome::Stale(_)
    ));
    assert_eq!(host.state(), Some(TrashState::Moved));
    assert_done(&cleared(
        &kernel,
        &locks,
        &host.trash_place(TrashState::Moved, true),
    ));
    assert_eq!(host.state(), Some(TrashState::Cleared));
}

#[test]
fn nothing_is_replaced_on_the_way_back() {
    let host = Host::new();
    let (kernel, locks) = (Hooked::new(&quiet), RootLocks::default());
    assert_done(&host.quarantine(&kernel));
    std::fs::create_dir(host.volume()).unwrap();
    let outcome = put_back(&kernel, &locks, &host.trash_place(TrashState::Moved, true));
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("exists again")),
        "{outcome:?}"
    );
    std::fs::remove_dir(host.volume()).unwrap();
    assert_eq!(host.where_whole(), "trash");
}

#[test]
fn a_directory_that_was_exchanged_since_the_plan_stays() {
    let host = Host::new();
    let other = host.temp.path().join("volumes/roles/eng dev/other");
    std::fs::rename(host.volume(), &other).unwrap();
    std::fs::create_dir(host.volume()).unwrap();
    std::fs::write(host.volume().join("new tenant"), "").unwrap();
    let outcome = host.quarantine(&Hooked::new(&quiet));
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("another")),
        "{outcome:?}"
    );
    assert!(std::fs::metadata(host.volume().join("new tenant")).is_ok());
    assert!(std::fs::metadata(host.entry()).is_err());
}

#[test]
fn a_directory_that_is_exchanged_between_check_and_rename_goes_back_at_once() {
    let host = Host::new();
    let (volume, other) = (host.volume(), host.volume().with_file_name("other"));
    let exchanged = Cell::new(false);
    let hook = |call: &'static str, _name: &[u8]| {
        if call == "rename_noreplace" && !exchanged.replace(true) {
            std::fs::rename(&volume, &other).unwrap();
            std::fs::create_dir(&volume).unwrap();
            std::fs::write(volume.join("new tenant"), "").unwrap();
        }
        Ok(())
    };
    let outcome = host.quarantine(&Hooked::new(&hook));
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("exchanged")),
        "{outcome:?}"
    );
    assert!(
        std::fs::metadata(volume.join("new tenant")).is_ok(),
        "the new tenant's is back"
    );
    assert!(std::fs::metadata(other.join("deep/er/file")).is_ok());
    assert!(std::fs::metadata(host.entry()).is_err());
}

#[test]
fn another_root_directory_than_planned_for_is_not_touched() {
    let mut host = Host::new();
    host.place.root.directory.handle.push_str("00");
    let outcome = host.quarantine(&Hooked::new(&quiet));
    assert!(matches!(&outcome, Outcome::Stale(_)), "{outcome:?}");
    assert!(
        std::fs::metadata(host.temp.path().join("volumes/.mesos-volumed")).is_err(),
        "not even our folder was made"
    );
}

#[test]
fn a_root_that_another_process_works_on_is_refused() {
    let host = Host::new();
    let kernel = Hooked::new(&quiet);
    assert_done(&host.quarantine(&kernel));
    let ours = host.temp.path().join("volumes/.mesos-volumed");
    let lock = kernel.open_root(&ours).unwrap();
    assert!(kernel.lock(&lock).unwrap());
    let place = host.trash_place(TrashState::Moved, true);
    let outcome = put_back(&kernel, &RootLocks::default(), &place);
    assert!(
        matches!(&outcome, Outcome::Refused(reason)
            if reason.code == crate::decide::guards::Refusal::RootLocked),
        "{outcome:?}"
    );
    drop(lock);
    assert_done(&put_back(&kernel, &RootLocks::default(), &place));
}

#[test]
fn an_entry_with_data_is_never_voided() {
    let host = Host::new();
    let (kernel, locks) = (Hooked::new(&quiet), RootLocks::default());
    assert_done(&host.quarantine(&kernel));
    let place = host.trash_place(TrashState::Moved, false);
    assert!(matches!(void(&kernel, &locks, &place), Outcome::Stale(_)));
    assert_eq!(host.where_whole(), "trash");
    std::fs::rename(host.entry().join("data"), host.volume()).unwrap();
    assert_done(&void(&kernel, &locks, &place));
    assert!(std::fs::metadata(host.entry()).is_err());
}

/// Fails call number `n` of a step, then carries the step out again undisturbed, as the next pass
/// would plan it: the data is whole throughout, and the end is the same.
fn every_call_fails(
    prepare: impl Fn(&Host),
    step: impl Fn(&Host, &Hooked<'_>) -> Outcome,
    again: impl Fn(&Host) -> Outcome,
    end: &str,
) -> usize {
    for n in 1.. {
        let host = Host::new();
        prepare(&host);
        let calls = Cell::new(0_usize);
        let failed = Cell::new(None);
        let hook = |call: &'static str, _name: &[u8]| {
            calls.set(calls.get() + 1);
            if calls.get() == n {
                failed.set(Some(call));
                return Err(Errno::IO);
            }
            Ok(())
        };
        let outcome = step(&host, &Hooked::new(&hook));
        let Some(call) = failed.get() else {
            assert_done(&outcome);
            return n - 1;
        };
        host.where_whole();
        let last = again(&host);
        assert_eq!(
            host.where_whole(),
            end,
            "after {call} failed as call {n}: {last:?}"
        );
    }
    0
}

/// What the planner would do with what it finds after a failed quarantine.
fn quarantine_again(host: &Host) -> Outcome {
    let kernel = Hooked::new(&quiet);
    let locks = RootLocks::default();
    match (host.where_whole(), host.state()) {
        // The data never moved: the frame, if any, is voided, and a new entry is made.
        ("place", None) => {
            // A frame without a manifest is nobody's; rmdir as an operator would.
            drop(std::fs::remove_file(
                host.entry().join(".manifest.json.new"),
            ));
            drop(std::fs::remove_dir(host.entry()));
            host.quarantine(&kernel)
        }
        ("place", Some(state)) => {
            assert_done(&void(&kernel, &locks, &host.trash_place(state, false)));
            host.quarantine(&kernel)
        }
        (_, Some(state @ (TrashState::Prepared | TrashState::Moved))) => {
            cleared(&kernel, &locks, &host.trash_place(state, true))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_quarantine_in_which_any_call_fails_loses_nothing_and_ends_the_same() {
    let count = every_call_fails(
        |_| (),
        |host, sys| host.quarantine(sys),
        quarantine_again,
        "trash",
    );
    assert!(count > 20, "{count} calls were failed");
}

#[test]
fn a_way_back_in_which_any_call_fails_loses_nothing_and_ends_the_same() {
    let locks = RootLocks::<Hooked<'_>>::default;
    let count = every_call_fails(
        |host| assert_done(&host.quarantine(&Hooked::new(&quiet))),
        |host, sys| {
            put_back(
                sys,
                &RootLocks::default(),
                &host.trash_place(TrashState::Moved, true),
            )
        },
        |host| match host.where_whole() {
            "place" => match host.state() {
                Some(state) => void(
                    &Hooked::new(&quiet),
                    &locks(),
                    &host.trash_place(state, false),
                ),
                None => Outcome::Identity,
            },
            _ => put_back(
                &Hooked::new(&quiet),
                &locks(),
                &host.trash_place(TrashState::Moved, true),
            ),
        },
        "place",
    );
    assert!(count > 10, "{count} calls were failed");
}

/// Restores as a job does; no gate is needed for a PATH root.
fn restored<S: Sys>(host: &Host, sys: &S, state: TrashState) -> Outcome {
    let store = crate::act::store::Store::open(&host.temp.path().join("state")).unwrap();
    let context = crate::act::jobs::JobContext {
        sys,
        locks: &RootLocks::default(),
        gate: &crate::act::gate::Gate::new(store, [], Vec::new()),
        agents: &|| crate::decide::facts::Known::Known(Vec::new()),
        reserved: &|_| crate::decide::facts::Known::Absent,
        control: &crate::act::wipe::Control::new(0),
        progress: &crate::act::wipe::Progress::default(),
    };
    match restore(&context, &host.trash_place(state, true), &host.mark(), "p") {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

impl Host {
    fn mark(&self) -> AdoptedMark {
        AdoptedMark {
            version: AdoptedMark::VERSION,
            name: "1-a-9".to_owned(),
            volume: self.manifest.volume.clone(),
            disk: self.manifest.disk.clone(),
            identity: self.identity.clone(),
            trash: Some(self.manifest.id.clone()),
            by: None,
            plan: "p".to_owned(),
            lived_at: Span::ZERO,
            marked_at: 1,
        }
    }

    /// The mark as it lies beside the trash.
    fn marked(&self) -> Option<AdoptedMark> {
        let ours = self.temp.path().join("volumes/.mesos-volumed");
        let text = std::fs::read(ours.join("adopted/1-a-9.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

#[test]
fn a_restored_volume_is_back_and_marked() {
    let host = Host::new();
    let kernel = Hooked::new(&quiet);
    assert_done(&host.quarantine(&kernel));
    // The agent, or somebody, removed the role meanwhile.
    std::fs::remove_dir(host.volume().parent().unwrap()).unwrap();
    let Outcome::Done(receipt) = restored(&host, &kernel, TrashState::Moved) else {
        panic!()
    };
    assert_eq!(receipt.step, "restore");
    assert_eq!((host.where_whole(), host.state()), ("place", None));
    assert_eq!(host.marked(), Some(host.mark()));
    assert!(std::fs::metadata(host.entry()).is_err());
}

#[test]
fn a_restore_in_which_any_call_fails_loses_nothing_and_is_never_back_without_its_mark() {
    let kernel = || Hooked::new(&quiet);
    let count = every_call_fails(
        |host| assert_done(&host.quarantine(&kernel())),
        |host, sys| {
            let outcome = restored(host, sys, TrashState::Moved);
            assert!(
                host.where_whole() == "trash" || host.marked().is_some(),
                "the next sweep would take it: {outcome:?}"
            );
            outcome
        },
        |host| match (host.where_whole(), host.state()) {
            ("place", Some(state)) => void(
                &kernel(),
                &RootLocks::default(),
                &host.trash_place(state, false),
            ),
            ("place", None) => Outcome::Identity,
            _ => restored(host, &kernel(), TrashState::Moved),
        },
        "place",
    );
    assert!(count > 15, "{count} calls were failed");
}

#[test]
fn a_restore_replaces_nothing_and_leaves_no_mark_then() {
    let host = Host::new();
    let kernel = Hooked::new(&quiet);
    assert_done(&host.quarantine(&kernel));
    std::fs::create_dir(host.volume()).unwrap();
    let outcome = restored(&host, &kernel, TrashState::Moved);
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("exists again")),
        "{outcome:?}"
    );
    assert_eq!(host.marked(), None);
    std::fs::remove_dir(host.volume()).unwrap();
    assert_eq!(host.where_whole(), "trash");
}

/// Removes the frame of the entry.
fn tidied(host: &Host) -> Outcome {
    let at = OursPlace {
        disk: host.place.disk.clone(),
        root: host.place.root.clone(),
        hidden: None,
    };
    tidy(
        &Hooked::new(&quiet),
        &RootLocks::default(),
        &at,
        &host.manifest.id,
    )
}

#[test]
fn an_empty_frame_goes_and_nothing_else_does() {
    let host = Host::new();
    assert!(matches!(tidied(&host), Outcome::Identity));
    std::fs::create_dir_all(host.entry().join("data")).unwrap();
    std::fs::write(host.entry().join(".manifest.json.new"), "{").unwrap();
    assert_done(&tidied(&host));
    assert!(std::fs::metadata(host.entry()).is_err());

    std::fs::create_dir_all(host.entry().join("data")).unwrap();
    std::fs::write(host.entry().join("data/precious"), "").unwrap();
    assert!(matches!(tidied(&host), Outcome::Refused(_)));
    assert!(std::fs::metadata(host.entry().join("data/precious")).is_ok());
    std::fs::remove_file(host.entry().join("data/precious")).unwrap();
    std::fs::write(host.entry().join("note"), "").unwrap();
    assert!(matches!(tidied(&host), Outcome::Refused(_)));
    assert!(std::fs::metadata(host.entry().join("note")).is_ok());
    std::fs::remove_file(host.entry().join("note")).unwrap();
    std::fs::write(host.entry().join("manifest.json"), "{}").unwrap();
    assert!(matches!(tidied(&host), Outcome::Stale(_)));
    assert!(std::fs::metadata(host.entry().join("manifest.json")).is_ok());
}

#[test]
fn a_quarantine_that_ends_at_any_call_leaves_nothing_that_stays_for_ever() {
    for n in 1.. {
        let host = Host::new();
        let calls = Cell::new(0_usize);
        let hook = |_call: &'static str, _name: &[u8]| {
            calls.set(calls.get() + 1);
            // The process is dead from here on.
            if calls.get() >= n {
                return Err(Errno::IO);
            }
            Ok(())
        };
        let outcome = host.quarantine(&Hooked::new(&hook));
        if calls.get() < n {
            assert_done(&outcome);
            assert!(n > 15, "{n}");
            return;
        }
        if host.state().is_none() && std::fs::metadata(host.entry()).is_ok() {
            assert_done(&tidied(&host));
        }
        let again = quarantine_again(&host);
        assert_done(&again);
    }
}

#[test]
fn a_survey_counts_everything_once_and_is_cut_short_without_a_word_too_much() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    std::fs::create_dir_all(at("a/b/c")).unwrap();
    for n in 0..700 {
        std::fs::write(at("a").join(n.to_string()), "x".repeat(5000)).unwrap();
    }
    std::fs::hard_link(at("a/1"), at("a/b/one")).unwrap();
    std::os::unix::fs::symlink("/etc", at("a/b/link")).unwrap();
    let sys = Hooked::new(&quiet);
    let top = sys.open_root(temp.path()).unwrap();
    let control = crate::act::wipe::Control::new(0);
    let found = survey(&sys, &top, &control, true).unwrap();
    assert_eq!(found.size.entries, 4 + 700 + 2);
    assert_eq!((found.size.skipped, found.cleared), (0, 0));
    let du = std::process::Command::new("du")
        .args(["-s", "-B1"])
        .arg(temp.path())
        .output()
        .unwrap();
    let du: u64 = String::from_utf8(du.stdout)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(found.size.bytes.abs_diff(du) <= 4096, "{found:?} {du}");
    let refuse = |call: &'static str, name: &[u8]| match (call, name) {
        ("footprint", b"7") | ("open_child", b"c") => Err(Errno::IO),
        _ => Ok(()),
    };
    let found = survey(&Hooked::new(&refuse), &top, &control, false).unwrap();
    assert_eq!(
        (found.size.entries, found.size.skipped),
        (4 + 700 + 2 - 2, 2)
    );
    // Ids that could not be taken are told, too.
    let found = survey(&Hooked::new(&refuse), &top, &control, true).unwrap();
    assert_eq!((found.size.skipped, found.left), (2, 2));
    // What fails once only is counted all the same.
    let refused = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let once = |call: &'static str, name: &[u8]| {
        let now = refuse(call, name).is_ok() || !refused.borrow_mut().insert(call);
        if now { Ok(()) } else { Err(Errno::IO) }
    };
    let found = survey(&Hooked::new(&once), &top, &control, true).unwrap();
    assert_eq!(refused.borrow().len(), 2);
    assert_eq!((found.size.entries, found.size.skipped), (4 + 700 + 2, 0));
    control.stop();
    assert_eq!(
        survey(&sys, &top, &control, false),
        Err(SurveyStop::Stopped)
    );
}

#[test]
fn what_lies_deeper_than_the_survey_goes_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut path = temp.path().to_owned();
    for _ in 0..140 {
        path = path.join("d");
    }
    std::fs::create_dir_all(path).unwrap();
    let sys = Hooked::new(&quiet);
    let top = sys.open_root(temp.path()).unwrap();
    let control = crate::act::wipe::Control::new(0);
    let found = survey(&sys, &top, &control, true).unwrap();
    assert_eq!((found.size.skipped, found.left), (1, 1));
    assert!(found.size.entries > 100, "{found:?}");
}
