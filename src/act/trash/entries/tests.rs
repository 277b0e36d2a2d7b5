#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "tests make and look at trees of their own"
)]

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::act::gate::Gate;
use crate::act::roots::RootLocks;
use crate::act::store::Store;
use crate::act::sys::hooked::{Hooked, quiet};
use crate::act::wipe::{Control, Progress};
use crate::decide::facts::{Fingerprint, HiddenSide, Known};
use crate::decide::guards::Refusal;
use crate::decide::manifest::AdoptedMark;
use crate::decide::manifest::HIDDEN_TRASH;
use crate::decide::steps::{Evidence, TrashId};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::units::Span;

/// A prepared MOUNT without its mounts: the root is the folder `volume` itself.
struct Disk {
    temp: tempfile::TempDir,
    place: TrashPlace,
    /// Whether an agent is found behind the gate.
    agent: Arc<AtomicBool>,
}

const NAMES: [&str; 5] = ["a", "b", "c", "deep", "with space"];

impl Disk {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let hidden = temp.path().join("hidden");
        let volume = hidden.join("volume");
        std::fs::create_dir_all(volume.join("deep/er")).unwrap();
        std::fs::write(volume.join("deep/er/file"), "precious").unwrap();
        for name in ["a", "b", "c", "with space"] {
            std::fs::write(volume.join(name), name).unwrap();
        }
        std::fs::create_dir_all(hidden.join(".mesos-volumed/reserve")).unwrap();
        for number in 0..RESERVE {
            let file = hidden.join(format!(".mesos-volumed/reserve/{number}"));
            std::fs::write(file, [0; 16]).unwrap();
        }
        std::fs::create_dir(temp.path().join("state")).unwrap();
        let kernel = Hooked::new(&quiet);
        let at =
            |path: &std::path::Path| kernel.identity(&kernel.open_root(path).unwrap()).unwrap();
        let directory = at(&volume);
        let disk = DiskRef {
            kind: DiskType::Mount,
            root: Raw::from(volume),
        };
        let key = VolumeKey::new(Role::new("eng"), PersistenceId::new("data"));
        let place = TrashPlace {
            disk: disk.clone(),
            root: Fingerprint {
                filesystem: directory.filesystem.clone(),
                fs_type: "test".to_owned(),
                directory: directory.clone(),
            },
            manifest: Manifest {
                emptied: Some(directory.clone()),
                evidence: Evidence::Operator,
                ..Manifest::sample(key, disk, directory)
            },
            data: None,
            hidden: Some(HiddenSide {
                directory: at(&hidden),
                path: Raw::from(hidden),
            }),
        };
        Self {
            temp,
            place,
            agent: Arc::default(),
        }
    }

    fn volume(&self) -> PathBuf {
        self.temp.path().join("hidden/volume")
    }

    fn entry(&self) -> PathBuf {
        self.temp
            .path()
            .join("hidden")
            .join(HIDDEN_TRASH)
            .join("1-a-1")
    }

    fn reserve(&self) -> usize {
        let folder = self.temp.path().join("hidden/.mesos-volumed/reserve");
        std::fs::read_dir(folder).unwrap().count()
    }

    /// The roots that agents are held back for, as the file says.
    fn gate(&self) -> Vec<Raw> {
        match std::fs::read_to_string(self.temp.path().join("state/gate.json")) {
            Ok(text) => {
                let file: crate::decide::facts::GateFile = serde_json::from_str(&text).unwrap();
                file.roots
            }
            Err(_) => Vec::new(),
        }
    }

    /// The manifest that is there now.
    fn manifest(&self) -> Option<Manifest> {
        let text = std::fs::read(self.entry().join("manifest.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// The entry as the next plan would name it; `None` where there is none that counts.
    fn again(&self) -> TrashPlace {
        match self.manifest() {
            Some(manifest) => TrashPlace {
                data: Some(manifest.identity.clone()),
                manifest,
                ..self.place.clone()
            },
            None => TrashPlace {
                manifest: Manifest {
                    id: TrashId("1-a-2".to_owned()),
                    ..self.place.manifest.clone()
                },
                ..self.place.clone()
            },
        }
    }

    /// A process that begins with what the file of the gate says.
    fn act(
        &self,
        sys: &Hooked<'_>,
        control: &Control,
        step: impl FnOnce(&JobContext<'_, Hooked<'_>>) -> Result<Outcome, Outcome>,
    ) -> Outcome {
        let store = Store::open(&self.temp.path().join("state")).unwrap();
        let gate = Gate::new(store, self.gate(), Vec::new());
        let agent = Arc::clone(&self.agent);
        let agents = move || {
            Known::Known(if agent.load(Ordering::Relaxed) {
                vec![812]
            } else {
                Vec::new()
            })
        };
        let context = JobContext {
            sys,
            locks: &RootLocks::default(),
            gate: &gate,
            agents: &agents,
            reserved: &|_| Known::Absent,
            control,
            progress: &Progress::default(),
        };
        match step(&context) {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    fn out(&self, sys: &Hooked<'_>, place: &TrashPlace) -> Outcome {
        self.act(sys, &Control::new(0), |context| {
            move_out(context, place, Barrier::Gate, "p")
        })
    }

    fn back(&self, sys: &Hooked<'_>, place: &TrashPlace) -> Outcome {
        self.act(sys, &Control::new(0), |context| {
            move_back(context, place, None, "p")
        })
    }

    fn mark(&self) -> AdoptedMark {
        AdoptedMark {
            version: AdoptedMark::VERSION,
            name: "m".to_owned(),
            volume: self.place.manifest.volume.clone(),
            disk: self.place.disk.clone(),
            identity: self.place.root.directory.clone(),
            trash: Some(self.place.manifest.id.clone()),
            by: None,
            plan: "p".to_owned(),
            lived_at: Span::ZERO,
            marked_at: 1,
        }
    }

    fn restored(&self, sys: &Hooked<'_>, place: &TrashPlace) -> Outcome {
        self.act(sys, &Control::new(0), |context| {
            move_back(context, place, Some(&self.mark()), "p")
        })
    }

    fn is_marked(&self) -> bool {
        let ours = self.temp.path().join("hidden/.mesos-volumed");
        std::fs::metadata(ours.join("adopted/m.json")).is_ok()
    }

    /// Every name, in the root and in the data of all entries: each once, whole, or a loss.
    fn whole(&self) -> (usize, usize) {
        let here = names(&self.volume());
        let trash = self.temp.path().join("hidden").join(HIDDEN_TRASH);
        let there: Vec<String> = match std::fs::read_dir(&trash) {
            Ok(entries) => entries
                .flat_map(|entry| names(&entry.unwrap().path().join("data")))
                .collect(),
            Err(_) => Vec::new(),
        };
        let mut all = [here.clone(), there.clone()].concat();
        all.sort();
        assert_eq!(all, NAMES, "root {here:?}, trash {there:?}");
        (here.len(), there.len())
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn assert_done(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

#[test]
fn everything_goes_into_the_entry_and_back() {
    let disk = Disk::new();
    let sys = Hooked::new(&quiet);
    let Outcome::Done(receipt) = disk.out(&sys, &disk.place) else {
        panic!()
    };
    assert_eq!((receipt.step, receipt.files), ("move_out", 5));
    assert_eq!(disk.whole(), (0, 5));
    assert_eq!(disk.manifest().unwrap().state, TrashState::Moved);
    assert_eq!(disk.gate(), []);
    assert_done(&disk.back(&sys, &disk.again()));
    assert_eq!(disk.whole(), (5, 0));
    assert!(std::fs::metadata(disk.entry()).is_err());
    assert_eq!(disk.gate(), []);
    let text = std::fs::read_to_string(disk.volume().join("deep/er/file")).unwrap();
    assert_eq!(text, "precious");
}

/// Fails call number `n`, or ends at it as a kill does; then goes on as the next passes would.
fn every_call(
    prepare: impl Fn(&Disk),
    step: impl Fn(&Disk, &Hooked<'_>) -> Outcome,
    next: impl Fn(&Disk) -> Outcome,
    end: (usize, usize),
) -> usize {
    for n in 1.. {
        let disk = Disk::new();
        prepare(&disk);
        let calls = Cell::new(0_usize);
        let failed = Cell::new(None);
        // From call n on nothing works any more: the process is dead, the kernel's state stays.
        let hook = |call: &'static str, _name: &[u8]| {
            calls.set(calls.get() + 1);
            if calls.get() >= n {
                failed.set(failed.get().or(Some(call)));
                return Err(Errno::IO);
            }
            Ok(())
        };
        let outcome = step(&disk, &Hooked::new(&hook));
        let Some(call) = failed.get() else {
            assert_done(&outcome);
            return n - 1;
        };
        let (here, there) = disk.whole();
        let half = here > 0 && there > 0;
        assert!(
            !half || disk.gate() == [Raw::from(disk.volume())],
            "agents may start on half of it after {call} failed as call {n}"
        );
        if there > 0 {
            assert!(disk.manifest().is_some(), "moved without a manifest");
        }
        let last = next(&disk);
        assert_eq!(
            disk.whole(),
            end,
            "after {call} failed as call {n}: {last:?}"
        );
        assert_eq!(disk.gate(), [], "after {call} failed as call {n}");
    }
    0
}

#[test]
fn a_move_out_that_ends_at_any_call_goes_on_to_the_same_end() {
    let count = every_call(
        |_| (),
        |disk, sys| disk.out(sys, &disk.place),
        |disk| match disk.manifest().map(|manifest| manifest.state) {
            Some(TrashState::Moved) => Outcome::Identity,
            _ => disk.out(&Hooked::new(&quiet), &disk.again()),
        },
        (0, 5),
    );
    assert!(count > 25, "{count} calls were failed");
}

#[test]
fn a_move_out_that_ends_at_any_call_can_be_put_back_whole() {
    let count = every_call(
        |_| (),
        |disk, sys| disk.out(sys, &disk.place),
        |disk| {
            if disk.manifest().is_some() {
                disk.back(&Hooked::new(&quiet), &disk.again())
            } else {
                // Only the gate was closed, if that: the next plan opens it.
                let store = Store::open(&disk.temp.path().join("state")).unwrap();
                Gate::new(store, disk.gate(), Vec::new()).open().unwrap();
                Outcome::Identity
            }
        },
        (5, 0),
    );
    assert!(count > 25, "{count} calls were failed");
}

#[test]
fn a_way_back_that_ends_at_any_call_goes_on_to_the_same_end() {
    let count = every_call(
        |disk| assert_done(&disk.out(&Hooked::new(&quiet), &disk.place)),
        |disk, sys| disk.back(sys, &disk.again()),
        |disk| match disk.manifest() {
            // The data is back and its folder gone: the frame is voided, and the gate opened.
            Some(_) if std::fs::metadata(disk.entry().join("data")).is_err() => {
                let sys = Hooked::new(&quiet);
                let frame = TrashPlace {
                    data: None,
                    ..disk.again()
                };
                let outcome = super::super::void(&sys, &RootLocks::default(), &frame);
                let store = Store::open(&disk.temp.path().join("state")).unwrap();
                Gate::new(store, disk.gate(), Vec::new()).open().unwrap();
                outcome
            }
            Some(_) => disk.back(&Hooked::new(&quiet), &disk.again()),
            None => {
                let store = Store::open(&disk.temp.path().join("state")).unwrap();
                Gate::new(store, disk.gate(), Vec::new()).open().unwrap();
                Outcome::Identity
            }
        },
        (5, 0),
    );
    assert!(count > 20, "{count} calls were failed");
}

#[test]
fn a_restore_that_ends_at_any_call_goes_on_to_the_same_end_and_is_marked_first() {
    let count = every_call(
        |disk| assert_done(&disk.out(&Hooked::new(&quiet), &disk.place)),
        |disk, sys| {
            let outcome = disk.restored(sys, &disk.again());
            assert!(disk.whole().0 == 0 || disk.is_marked(), "{outcome:?}");
            outcome
        },
        |disk| {
            let open = || {
                let store = Store::open(&disk.temp.path().join("state")).unwrap();
                Gate::new(store, disk.gate(), Vec::new()).open().unwrap();
            };
            match disk.manifest() {
                Some(_) if std::fs::metadata(disk.entry().join("data")).is_err() => {
                    let frame = TrashPlace {
                        data: None,
                        ..disk.again()
                    };
                    let sys = Hooked::new(&quiet);
                    let outcome = super::super::void(&sys, &RootLocks::default(), &frame);
                    open();
                    outcome
                }
                Some(_) => disk.restored(&Hooked::new(&quiet), &disk.again()),
                None => {
                    open();
                    Outcome::Identity
                }
            }
        },
        (5, 0),
    );
    assert!(count > 20, "{count} calls were failed");
}

#[test]
fn an_agent_that_is_found_behind_the_gate_keeps_everything() {
    let disk = Disk::new();
    let sys = Hooked::new(&quiet);
    disk.agent.store(true, Ordering::Relaxed);
    let outcome = disk.out(&sys, &disk.place);
    assert!(
        matches!(&outcome, Outcome::Refused(reason) if reason.code == Refusal::NoBarrier),
        "{outcome:?}"
    );
    assert_eq!((disk.whole(), disk.gate()), ((5, 0), Vec::new()));
    disk.agent.store(false, Ordering::Relaxed);
    assert_done(&disk.out(&sys, &disk.place));
    disk.agent.store(true, Ordering::Relaxed);
    assert!(matches!(
        disk.back(&sys, &disk.again()),
        Outcome::Refused(_)
    ));
    assert_eq!((disk.whole(), disk.gate()), ((0, 5), Vec::new()));
}

#[test]
fn told_to_stop_it_stops_behind_the_closed_gate_and_goes_on_later() {
    let disk = Disk::new();
    let control = Control::new(0);
    let moves = Cell::new(0);
    let hook = |call: &'static str, _name: &[u8]| {
        if call == "rename_noreplace" {
            moves.set(moves.get() + 1);
            if moves.get() == 2 {
                control.stop();
            }
        }
        Ok(())
    };
    let outcome = disk.act(&Hooked::new(&hook), &control, |context| {
        move_out(context, &disk.place, Barrier::Gate, "p")
    });
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("2 entries")),
        "{outcome:?}"
    );
    assert_eq!(disk.whole(), (3, 2));
    assert_eq!(disk.gate(), [Raw::from(disk.volume())]);
    assert_done(&disk.out(&Hooked::new(&quiet), &disk.again()));
    assert_eq!((disk.whole(), disk.gate()), ((0, 5), Vec::new()));
}

#[test]
fn nothing_is_replaced_on_either_way() {
    let disk = Disk::new();
    let sys = Hooked::new(&quiet);
    assert_done(&disk.out(&sys, &disk.place));
    std::fs::write(disk.volume().join("a"), "the next tenant's").unwrap();
    let outcome = disk.back(&sys, &disk.again());
    assert!(
        matches!(&outcome, Outcome::Stale(why) if why.contains("lies in")),
        "{outcome:?}"
    );
    assert_eq!(disk.manifest().unwrap().state, TrashState::Moved);
    assert_eq!(disk.gate(), []);
    let text = std::fs::read_to_string(disk.volume().join("a")).unwrap();
    assert_eq!(text, "the next tenant's");
    // Half moved, with the same name on both sides.
    let mut half = disk.again();
    half.manifest.state = TrashState::Prepared;
    let text = serde_json::to_vec(&half.manifest).unwrap();
    std::fs::write(disk.entry().join("manifest.json"), text).unwrap();
    assert!(matches!(disk.out(&sys, &half), Outcome::Failed(_)));
    let there = std::fs::read_to_string(disk.entry().join("data/a")).unwrap();
    assert_eq!(there, "a");
    assert_eq!(
        disk.gate(),
        [Raw::from(disk.volume())],
        "half of it stays behind the gate"
    );
}

#[test]
fn another_root_or_hidden_side_than_planned_for_is_not_touched() {
    let changes: [fn(&mut TrashPlace); 4] = [
        |place| place.root.directory.handle.push_str("00"),
        |place| {
            place
                .hidden
                .as_mut()
                .unwrap()
                .directory
                .handle
                .push_str("00");
        },
        |place| {
            let hidden = place.hidden.as_mut().unwrap();
            hidden.path = hidden.path.join("volume");
        },
        |place| place.hidden = None,
    ];
    for change in changes {
        let disk = Disk::new();
        let mut place = disk.place.clone();
        change(&mut place);
        let outcome = disk.out(&Hooked::new(&quiet), &place);
        assert!(matches!(outcome, Outcome::Stale(_)), "{outcome:?}");
        assert_eq!((disk.whole(), disk.gate()), ((5, 0), Vec::new()));
        assert!(std::fs::metadata(disk.entry()).is_err());
    }
}

#[test]
fn a_disk_without_room_gives_up_its_reserve_and_no_more_than_once() {
    for (call, at) in [
        ("mkdir", 1),
        ("mkdir", 2),
        ("write_file", 1),
        ("rename_noreplace", 3),
        ("write_file", 2),
    ] {
        let disk = Disk::new();
        let seen = Cell::new(0);
        let hook = |this: &'static str, _name: &[u8]| {
            if this == call {
                seen.set(seen.get() + 1);
                if seen.get() == at {
                    return Err(Errno::NOSPC);
                }
            }
            Ok(())
        };
        let outcome = disk.out(&Hooked::new(&hook), &disk.place);
        assert_done(&outcome);
        assert_eq!((disk.whole(), disk.reserve()), ((0, 5), 0), "{call} {at}");
    }
    let disk = Disk::new();
    let hook = |this: &'static str, _name: &[u8]| match this {
        "write_file" => Err(Errno::NOSPC),
        _ => Ok(()),
    };
    let outcome = disk.out(&Hooked::new(&hook), &disk.place);
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert_eq!((disk.whole(), disk.gate()), ((5, 0), Vec::new()));
    assert!(
        std::fs::metadata(disk.entry()).is_err(),
        "its frame is gone"
    );
}

#[test]
fn a_disk_that_another_process_works_on_is_refused() {
    let disk = Disk::new();
    let kernel = Hooked::new(&quiet);
    let ours = disk.temp.path().join("hidden/.mesos-volumed");
    let lock = kernel.open_root(&ours).unwrap();
    assert!(kernel.lock(&lock).unwrap());
    let outcome = disk.out(&kernel, &disk.place);
    assert!(
        matches!(&outcome, Outcome::Refused(reason) if reason.code == Refusal::RootLocked),
        "{outcome:?}"
    );
    drop(lock);
    assert_done(&disk.out(&kernel, &disk.place));
}
