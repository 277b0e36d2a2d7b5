//! Every guard has a test that dies without it: with its condition nothing is moved or wiped and
//! the reason has its code; without it the step is planned. A plan made before the condition came
//! up is rejected by the check after.

use std::collections::BTreeSet;

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, AgentView, CheckpointFile, DirFacts, Facts, FileKind, FsFailure, HolderKind,
    Known, MarkerOf, OperationKind, OperationState, OrphanPolicy, PidNamespace, ResourceState,
    RootFacts, RootWitness, Why, WipeMode,
};
use mesos_volumed::decide::guards::{Refusal, Weight};
use mesos_volumed::decide::ledger::Verified;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::steps::Kept;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::units::{Megabytes, Span};

use super::builder::{
    DAY, MACHINE, World, a_task, a_volume, filesystem, fingerprint, healthy, key, mount, path,
    root, unknown,
};
use super::story::{doomed, settle};

fn checked(facts: &Facts) -> Plan {
    let made = plan(facts);
    check(made.clone(), facts).unwrap_or_else(|rejected| panic!("{rejected}\n{made:#?}"));
    made
}

/// The marker of PATH tells of this machine and root.
pub(crate) fn marked(facts: &mut Facts, machine: &str, at: &str) {
    facts.disk(&path()).filesystem.marker_of = Some(MarkerOf {
        machine_id: machine.into(),
        root: at.into(),
    });
}

fn kept<'a>(plan: &'a Plan, volume: &VolumeKey) -> Vec<&'a Kept> {
    let kept: Vec<&Kept> = plan
        .kept
        .iter()
        .filter(|kept| kept.volume.as_ref() == Some(volume))
        .collect();
    assert!(
        !kept.is_empty(),
        "{volume} is not among what is kept: {plan:#?}"
    );
    kept
}

/// What a guard is expected to do.
struct Guard<'a> {
    code: Refusal,
    /// The volume that goes without it.
    volume: &'a str,
    /// Whether a destroy or an overdue orphan waits behind it.
    due: bool,
    /// Whether the check can see the condition as well. What was concluded earlier and is in the
    /// memory, it holds against the memory only.
    seen_by_check: bool,
}

impl Guard<'_> {
    fn holds(&self, open: &Facts, closed: &Facts) {
        let volume = key(self.volume);
        let without = checked(open);
        assert!(
            doomed(&without).contains(&volume),
            "without {} {volume} should go: {without:#?}",
            self.code
        );
        let with = checked(closed);
        assert!(
            !doomed(&with).contains(&volume),
            "{} lets {volume} go",
            self.code
        );
        let kept = kept(&with, &volume);
        let reasons: Vec<_> = kept.iter().flat_map(|kept| &kept.reasons).collect();
        assert!(
            reasons.iter().any(|reason| reason.code == self.code),
            "{} is not among {reasons:?}",
            self.code,
        );
        assert_eq!(kept.iter().any(|kept| kept.due), self.due, "{kept:#?}");
        let blocking = reasons
            .iter()
            .any(|reason| reason.code.weight() == Weight::Blocking);
        assert_eq!(with.blocked(), self.due && blocking, "{kept:#?}");
        let late = check(without, closed);
        assert_eq!(late.is_err(), self.seen_by_check, "{}: {late:?}", self.code);
    }
}

impl Guard<'_> {
    fn seen(self, seen_by_check: bool) -> Self {
        Self {
            seen_by_check,
            ..self
        }
    }
}

fn guard(code: Refusal, volume: &str) -> Guard<'_> {
    Guard {
        code,
        volume,
        due: true,
        seen_by_check: true,
    }
}

/// A host where `db/a` on this disk was held, and was destroyed.
fn destroyed_on(disk: &mesos_volumed::mesos::disk::DiskRef) -> Facts {
    let mut facts = healthy();
    facts.create(disk, &key("db/a"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/a"), 7);
    facts
}

pub(crate) fn destroyed() -> Facts {
    destroyed_on(&root())
}

/// A host with an orphan `db/o` on PATH that was seen long enough.
pub(crate) fn orphaned() -> Facts {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("db/o"));
    facts.pass();
    facts.later(DAY);
    facts
}

/// A host whose MOUNT disk's volume `db/m` was destroyed, with the barrier up.
fn mount_destroyed() -> Facts {
    let mut facts = destroyed_mount_with_agent();
    facts.stop_agent();
    facts.policy.start_gate = true;
    facts
}

fn destroyed_mount_with_agent() -> Facts {
    let mut facts = healthy();
    facts.create(&mount(), &key("db/m"));
    facts.pass();
    facts.later(60);
    facts.destroy(&key("db/m"), 7);
    facts
}

/// A host with a cleared trash entry of `db/t` whose time has come.
fn trashed(state: TrashState) -> Facts {
    let mut facts = healthy();
    facts.trash(&root(), &key("db/t"), state);
    facts.later(60);
    facts
}

fn changed(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    change(&mut facts);
    facts
}

macro_rules! guards {
    ($($variant:ident => $name:ident $body:block)*) => {
        /// The test of a guard; a refusal without one does not compile.
        fn test_of(refusal: Refusal) -> &'static str {
            match refusal { $(Refusal::$variant => stringify!($name),)* }
        }
        $(#[test] fn $name() $body)*
    };
}

#[test]
fn every_refusal_has_a_test_of_its_name() {
    let names: BTreeSet<&str> = Refusal::ALL.map(test_of).into();
    assert_eq!(names.len(), Refusal::ALL.len());
    for refusal in Refusal::ALL {
        let name = test_of(refusal);
        assert!(
            name.starts_with(&format!("guard_{}_", refusal.code())),
            "{name} is not the test of {refusal}"
        );
    }
}

guards! {
    Held => guard_held_keeps_what_any_authority_names {
        for (n, name_again) in [
            |facts: &mut Facts| {
                let volume = a_volume(&root(), &key("db/a"));
                facts.state().resources.push(volume);
            },
            |facts: &mut Facts| {
                let volume = a_volume(&root(), &key("db/a"));
                facts.providers = Known::Known(vec![
                    mesos_volumed::decide::facts::ProviderState {
                        file: "meta/x".into(),
                        content: ResourceState { operations: Vec::new(), resources: vec![volume] },
                    },
                ]);
            },
            |facts: &mut Facts| {
                let volume = a_volume(&root(), &key("db/a"));
                if let AgentAnswer::State(state) = &mut facts.answer {
                    state.resources.push(volume);
                }
            },
            |facts: &mut Facts| {
                // On another disk, too: law 2.
                let volume = a_volume(&path(), &key("db/a"));
                facts.state().resources.push(volume);
                facts.mkdir(&path(), &key("db/a"));
            },
            |facts: &mut Facts| {
                let mut state = facts.state().clone();
                state.operations.clear();
                state.resources.push(a_volume(&root(), &key("db/a")));
                facts.checkpoint.state_target = CheckpointFile::Whole(state);
            },
        ]
        .into_iter()
        .enumerate()
        {
            let open = destroyed();
            let closed = changed(&open, name_again);
            Guard { due: false, ..guard(Refusal::Held, "db/a") }.holds(&open, &closed);
            let open = trashed(TrashState::Cleared);
            let closed = changed(&open, |facts| {
                let disk = if n == 3 { path() } else { root() };
                facts.create(&disk, &key("db/t"));
            });
            // An entry in the trash waits behind the name.
            guard(Refusal::Held, "db/t").holds(&open, &closed);
        }
        let open = mount_destroyed();
        let closed = changed(&open, |facts| facts.create(&mount(), &key("db/new")));
        // The new tenant's disk is the new tenant's: nothing is kept for the old volume at all.
        assert!(doomed(&checked(&closed)).is_empty());
        assert!(check(plan(&open), &closed).is_err());
    }

    PendingOperation => guard_pending_operation_keeps_what_an_operation_names {
        for kind in [OperationKind::Create, OperationKind::Destroy, OperationKind::Other(2)] {
            for state in [OperationState::Pending, OperationState::Unclear] {
                let open = destroyed();
                let closed = changed(&open, |facts| {
                    facts.operate(kind, state, 9, a_volume(&root(), &key("db/a")));
                });
                Guard { due: false, ..guard(Refusal::PendingOperation, "db/a") }
                    .holds(&open, &closed);
            }
        }
        let open = mount_destroyed();
        let closed = changed(&open, |facts| {
            facts.operate(
                OperationKind::Create,
                OperationState::Pending,
                9,
                a_volume(&mount(), &key("db/new")),
            );
        });
        guard(Refusal::PendingOperation, "db/m").holds(&open, &closed);
    }

    AuthorityUnknown => guard_authority_unknown_keeps_everything {
        fn damaged<T>() -> CheckpointFile<T> {
            CheckpointFile::Damaged(Why("it ends in the middle".to_owned()))
        }
        let doubts: [fn(&mut Facts); 15] = [
            |facts| facts.checkpoint.state_target = damaged(),
            |facts| facts.checkpoint.state_target = CheckpointFile::Empty,
            |facts| facts.checkpoint.info_target = damaged(),
            |facts| facts.checkpoint.info = damaged(),
            |facts| facts.providers = unknown(),
            |facts| facts.tasks = unknown(),
            |facts| facts.agent.latest = unknown(),
            |facts| facts.agent.run = unknown(),
            |facts| facts.agent.processes = unknown(),
            |facts| facts.agent.processes = Known::Absent,
            |facts| facts.memory = unknown(),
            |facts| facts.memory().version = 2,
            |facts| facts.version = 2,
            |facts| facts.answer = AgentAnswer::Refused,
            |facts| facts.answer = AgentAnswer::Unknown(Why("timed out".to_owned())),
        ];
        for doubt in doubts {
            let open = destroyed();
            let closed = changed(&open, doubt);
            // Also without the memory, which alone would say that its time has come.
            guard(Refusal::AuthorityUnknown, "db/a").holds(&open, &closed);
            // A sweep that knows of nothing due says that it did not see everything.
            assert!(checked(&closed).is_blind() && !checked(&open).is_blind());

            let open = trashed(TrashState::Cleared);
            let closed = changed(&open, doubt);
            guard(Refusal::AuthorityUnknown, "db/t").holds(&open, &closed);
        }
        let open = orphaned();
        let closed = changed(&open, |facts| facts.checkpoint.state = damaged());
        guard(Refusal::AuthorityUnknown, "db/o").holds(&open, &closed);
        let open = mount_destroyed();
        let closed = changed(&open, |facts| facts.providers = unknown());
        assert!(doomed(&checked(&closed)).is_empty());
        assert!(check(plan(&open), &closed).is_err());
    }

    AuthorityEmpty => guard_authority_empty_wants_an_operator_and_a_full_grace {
        let empties: [fn(&mut Facts); 4] = [
            |facts| facts.checkpoint.state = CheckpointFile::Empty,
            |facts| {
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Missing;
            },
            |facts| {
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Empty;
            },
            |facts| {
                facts.state().resources.clear();
                facts.checkpoint.info = CheckpointFile::Missing;
            },
        ];
        for empty in empties {
            let open = orphaned();
            let closed = changed(&open, empty);
            guard(Refusal::AuthorityEmpty, "db/o").holds(&open, &closed);
            // The word alone is not enough; the word and a full grace are.
            let mut accepted = closed;
            accepted.words.accept_empty = true;
            accepted.pass();
            accepted.words.accept_empty = false;
            accepted.later(DAY - 1);
            guard(Refusal::AuthorityEmpty, "db/o").holds(&open, &accepted);
            accepted.later(1);
            // What was held before is not known to be gone; what nobody knew is.
            accepted.policy.brake_percent = 100;
            assert!(doomed(&checked(&accepted)).contains(&key("db/o")));
        }
    }

    StaleGeneration => guard_stale_generation_waits_for_the_agent_and_a_grace {
        let mut closed = healthy();
        closed.create(&path(), &key("db/s"));
        closed.forget(&key("db/s"));
        if let CheckpointFile::Whole(resources) = &mut closed.checkpoint.info {
            resources.push(a_volume(&path(), &key("db/s")));
        }
        closed.pass();
        // Released after a grace, sighted for another.
        let mut open = closed.clone();
        open.later(DAY);
        open.pass();
        open.later(DAY);
        let early = changed(&closed, |facts| facts.later(DAY - 1));
        Guard { due: false, seen_by_check: true, ..guard(Refusal::StaleGeneration, "db/s") }
            .holds(&open, &early);
        // An agent that is not asked releases nothing.
        let mut unasked = closed.clone();
        unasked.answer = AgentAnswer::NotConfigured;
        for _ in 0..4 {
            unasked.later(DAY);
            unasked.pass();
        }
        Guard { due: false, ..guard(Refusal::StaleGeneration, "db/s") }.holds(&open, &unasked);
    }

    AgentRecovering => guard_agent_recovering_waits_for_the_agent {
        let open = orphaned();
        let closed = changed(&open, |facts| facts.answer = AgentAnswer::Recovering);
        guard(Refusal::AgentRecovering, "db/o").holds(&open, &closed);
    }

    RoleHidden => guard_role_hidden_keeps_the_roles_that_an_answer_does_not_show {
        let mut open = destroyed();
        // A role that files show and the answer does not: it is filtered.
        open.create(&path(), &key("secret/s"));
        let closed = changed(&open, |facts| {
            if let AgentAnswer::State(state) = &mut facts.answer {
                state.roles.retain(|role| role.as_raw().as_bytes() == b"other");
                state.resources.retain(|resource| resource.persistence.is_none());
            }
        });
        guard(Refusal::RoleHidden, "db/a").holds(&open, &closed);
    }

    AgentRequired => guard_agent_required_wants_the_agent_up {
        let mut open = destroyed();
        open.stop_agent();
        open.later(DAY);
        let closed = changed(&open, |facts| facts.policy.require_agent = true);
        guard(Refusal::AgentRequired, "db/a").holds(&open, &closed);
    }

    AgentDeleting => guard_agent_deleting_waits_for_an_answer_or_a_grace {
        let open = destroyed();
        let closed = changed(&open, |facts| facts.answer = AgentAnswer::NotConfigured);
        guard(Refusal::AgentDeleting, "db/a").holds(&open, &closed);
        let mut waited = closed.clone();
        waited.pass();
        waited.later(DAY);
        assert!(doomed(&checked(&waited)).contains(&key("db/a")));
        // The operator's word is no answer of the agent.
        let word = changed(&closed, |facts| facts.words.wipe = Some(key("db/a")));
        assert!(doomed(&checked(&word)).is_empty());
        // No process, nothing that deletes.
        let mut down = closed;
        down.stop_agent();
        assert!(doomed(&checked(&down)).contains(&key("db/a")));
    }

    HoldersUnknown => guard_holders_unknown_keeps_what_may_be_in_use {
        let blind: [fn(&mut Facts); 4] = [
            |facts| facts.holders = unknown(),
            |facts| facts.holders = Known::Absent,
            |facts| facts.host.initial_pid_namespace = Known::Known(false),
            |facts| facts.host.initial_pid_namespace = unknown(),
        ];
        for blind in blind {
            for (open, volume) in [
                (destroyed(), "db/a"),
                (orphaned(), "db/o"),
                (trashed(TrashState::Cleared), "db/t"),
                (mount_destroyed(), "db/m"),
            ] {
                let closed = changed(&open, blind);
                guard(Refusal::HoldersUnknown, volume).holds(&open, &closed);
            }
        }
        let open = destroyed();
        let closed = changed(&open, |facts| {
            if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                dirs[0].location = unknown();
            }
        });
        guard(Refusal::HoldersUnknown, "db/a").holds(&open, &closed);
        // Where the operator states that all live in our own namespace, it is enough.
        let mut own = destroyed();
        own.host.initial_pid_namespace = Known::Known(false);
        own.policy.pid_namespace = PidNamespace::Own;
        assert!(doomed(&checked(&own)).contains(&key("db/a")));
    }

    InUseMount => guard_in_use_mount_keeps_what_is_mounted_anywhere {
        for below in ["volumes/roles/db/a", "volumes/roles/db/a/data/base"] {
            let open = destroyed();
            let closed = changed(&open, |facts| facts.hold(&root(), below, HolderKind::MountOf));
            guard(Refusal::InUseMount, "db/a").holds(&open, &closed);
        }
        let open = mount_destroyed();
        let closed = changed(&open, |facts| facts.hold(&mount(), "", HolderKind::MountOf));
        guard(Refusal::InUseMount, "db/m").holds(&open, &closed);
        // A container may have the disk at the very path that the host has it at.
        let same_path = changed(&closed, |facts| {
            if let Known::Known(holders) = &mut facts.holders {
                holders[0].mount_point = Some(mount().root);
            }
        });
        guard(Refusal::InUseMount, "db/m").holds(&open, &same_path);
        let sibling = changed(&destroyed(), |facts| {
            facts.hold(&root(), "volumes/roles/db/a-old", HolderKind::MountOf);
        });
        assert!(doomed(&checked(&sibling)).contains(&key("db/a")));
    }

    InUseFd => guard_in_use_fd_keeps_what_is_open {
        for kind in [
            HolderKind::OpenFile,
            HolderKind::WorkingDirectory,
            HolderKind::Mapping,
            HolderKind::Swap,
        ] {
            let open = destroyed();
            let closed = changed(&open, |facts| {
                facts.hold(&root(), "volumes/roles/db/a-old/x", kind);
                facts.hold(&root(), "volumes/roles/db/a/pg_wal/1", kind);
            });
            guard(Refusal::InUseFd, "db/a").holds(&open, &closed);
            let open = mount_destroyed();
            let closed = changed(&open, |facts| facts.hold(&mount(), "x", kind));
            guard(Refusal::InUseFd, "db/m").holds(&open, &closed);
            let open = trashed(TrashState::Wiping);
            let closed = changed(&open, |facts| {
                let Known::Known(place) = facts
                    .disk(&root())
                    .trash
                    .known()
                    .unwrap()[0]
                    .location
                    .clone()
                else {
                    panic!()
                };
                facts.hold(&root(), "", kind);
                if let Known::Known(holders) = &mut facts.holders {
                    holders[0].location.path = place.path.join("base/1");
                }
            });
            guard(Refusal::InUseFd, "db/t").holds(&open, &closed);
        }
    }

    InUseTask => guard_in_use_task_keeps_what_a_task_was_given {
        let open = destroyed();
        let closed = changed(&open, |facts| {
            facts.tasks = Known::Known(vec![a_task(&key("db/a"))]);
        });
        Guard { due: false, ..guard(Refusal::InUseTask, "db/a") }.holds(&open, &closed);
        let open = trashed(TrashState::Cleared);
        let closed = changed(&open, |facts| {
            facts.tasks = Known::Known(vec![a_task(&key("db/t"))]);
        });
        guard(Refusal::InUseTask, "db/t").holds(&open, &closed);
    }

    MountInside => guard_mount_inside_keeps_what_something_is_mounted_in {
        let open = destroyed();
        let closed = changed(&open, |facts| {
            facts.hold(&root(), "volumes/roles/db/a/backup", HolderKind::MountPoint);
        });
        guard(Refusal::MountInside, "db/a").holds(&open, &closed);
        // A mount on the directory itself.
        let closed = changed(&open, |facts| {
            if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                dirs[0].kind = FileKind::Mount;
            }
        });
        guard(Refusal::MountInside, "db/a").holds(&open, &closed);
        let open = mount_destroyed();
        let closed = changed(&open, |facts| {
            facts.hold(&mount(), "backup", HolderKind::MountPoint);
        });
        guard(Refusal::MountInside, "db/m").holds(&open, &closed);
    }

    Symlink => guard_symlink_is_never_followed {
        let open = destroyed();
        let closed = changed(&open, |facts| {
            if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                dirs[0].kind = FileKind::Symlink;
            }
        });
        guard(Refusal::Symlink, "db/a").holds(&open, &closed);
    }

    NotAVolumePath => guard_not_a_volume_path_touches_directories_at_depth_two_only {
        for kind in [FileKind::File, FileKind::Special] {
            let open = destroyed();
            let closed = changed(&open, |facts| {
                if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                    dirs[0].kind = kind;
                }
            });
            guard(Refusal::NotAVolumePath, "db/a").holds(&open, &closed);
        }
        // No host shows a name that is none; facts of another origin may.
        let fakes: [fn(&mut DirFacts); 7] = [
            |dir| dir.id_dir = "".into(),
            |dir| dir.id_dir = ".".into(),
            |dir| dir.id_dir = "..".into(),
            |dir| dir.id_dir = "a/b".into(),
            |dir| dir.role_dir = "".into(),
            |dir| dir.role_dir = "..".into(),
            |dir| dir.role_dir = "d/b".into(),
        ];
        for fake in fakes {
            let facts = changed(&destroyed(), |facts| {
                if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                    fake(&mut dirs[0]);
                }
                // Seen often enough.
                facts.pass();
                facts.later(2 * 24 * 3600);
                facts.policy.orphans = OrphanPolicy::Quarantine;
            });
            let made = super::story::plan_of(&facts);
            assert!(made.steps.is_empty(), "{:?}", made.steps);
            let codes: Vec<Refusal> = made.kept.iter().flat_map(|kept| &kept.reasons).map(|reason| reason.code).collect();
            assert!(codes.contains(&Refusal::NotAVolumePath), "{codes:?}");
        }
    }

    WrongFilesystem => guard_wrong_filesystem_stays_on_the_roots_own {
        let open = destroyed();
        let elsewhere = |facts: &mut Facts| {
            let Known::Known(dirs) = &mut facts.disk(&root()).dirs else { panic!() };
            if let Known::Known(identity) = &mut dirs[0].identity {
                identity.filesystem = filesystem(&path());
            }
        };
        let closed = changed(&open, elsewhere);
        // It is another directory than the one that was destroyed, too.
        Guard { due: false, ..guard(Refusal::WrongFilesystem, "db/a") }.holds(&open, &closed);
        let mut open = destroyed();
        open.words.wipe = Some(key("db/a"));
        guard(Refusal::WrongFilesystem, "db/a").holds(&open, &changed(&open, elsewhere));
    }

    FingerprintMismatch => guard_fingerprint_mismatch_knows_a_disk_by_its_file_system {
        let others: [fn(&mut Facts); 7] = [
            |facts| {
                facts.disk(&path()).filesystem.ledger =
                    Known::Known(fingerprint("another-file-system"));
            },
            |facts| {
                if let Known::Known(print) = &mut facts.disk(&path()).filesystem.ledger {
                    print.directory.handle = "1:another directory".to_owned();
                }
            },
            |facts| facts.disk(&path()).filesystem.ledger = unknown(),
            |facts| facts.disk(&path()).filesystem.marker = unknown(),
            |facts| {
                facts.disk(&path()).filesystem.marker = Known::Known("another".to_owned());
            },
            // A copy of the disk, with its UUID.
            |facts| marked(facts, "0000another-machine", "/mnt/data"),
            |facts| marked(facts, MACHINE, "/mnt/elsewhere"),
        ];
        for other in others {
            let open = destroyed_on(&path());
            guard(Refusal::FingerprintMismatch, "db/a").holds(&open, &changed(&open, other));
        }
        // One that fits is no reason, and neither is one of a host without a machine id.
        let mut open = destroyed_on(&path());
        marked(&mut open, MACHINE, "/mnt/data");
        assert!(doomed(&checked(&open)).contains(&key("db/a")));
        let open = mount_destroyed();
        let closed = changed(&open, |facts| {
            facts.disk(&mount()).filesystem.ledger = Known::Known(fingerprint("another"));
        });
        guard(Refusal::FingerprintMismatch, "db/m").holds(&open, &closed);
        // A ledger that can't be read can't take on a disk either.
        let mut accepted = destroyed_on(&path());
        accepted.disk(&path()).filesystem.ledger = unknown();
        accepted.words.accept_root = Some(path().root);
        assert!(checked(&accepted).steps.is_empty());
    }

    FilesystemShrunk => guard_filesystem_shrunk_holds_the_number_against_the_size {
        for (disk, volume) in [(path(), "db/a"), (mount(), "db/m")] {
            let mut open = if disk == path() { destroyed_on(&path()) } else { mount_destroyed() };
            // 100 GiB are there.
            open.disk(&disk).filesystem.advertised = Some(Megabytes::whole(100 << 10));
            open.disk(&disk).filesystem.verified = Some(Verified {
                total_bytes: 200 << 30,
                ..Verified::default()
            });
            let ways: [fn(&mut RootFacts); 2] = [
                |root| root.filesystem.advertised = Some(Megabytes::whole((100 << 10) + 1)),
                |root| {
                    root.filesystem.advertised = Some(Megabytes::whole(150 << 10));
                    root.filesystem.verified = Some(Verified {
                        total_bytes: (100 << 30) + 1,
                        overdrawn: true,
                        drive: None,
                    });
                },
            ];
            for way in ways {
                let closed = changed(&open, |facts| way(facts.disk(&disk)));
                guard(Refusal::FilesystemShrunk, volume).holds(&open, &closed);
                // The operator accepts it as it is, once.
                let mut accepted = closed.clone();
                accepted.words.accept_root = Some(disk.root.clone());
                let (mut accepted, taken) = settle(&accepted);
                assert_eq!(taken.first().map(String::as_str), Some("adopt_root"));
                assert_eq!(taken.iter().filter(|step| *step == "adopt_root").count(), 1);
                accepted.words.accept_root = None;
                assert!(!checked(&accepted).kept.iter().any(|kept| {
                    kept.reasons.iter().any(|reason| reason.code == Refusal::FilesystemShrunk)
                }));
            }
        }
        // Two roots on one file system share it.
        let open = destroyed_on(&path());
        let closed = changed(&open, |facts| {
            let mount = facts.disk(&path()).mount.clone();
            facts.disk(&path()).filesystem.advertised = Some(Megabytes::whole(60 << 10));
            let mut other = facts.disk(&path()).clone();
            other.disk.root = "/mnt/beside".into();
            other.dirs = Known::Known(Vec::new());
            if let Known::Known(mount) = &mount {
                let mut mount = mount.clone();
                mount.location.path = "/beside".into();
                other.mount = Known::Known(mount);
            }
            facts.roots.push(other);
        });
        guard(Refusal::FilesystemShrunk, "db/a").holds(&open, &closed);
    }

    FilesystemFailed => guard_filesystem_failed_touches_nothing_on_it {
        for (disk, volume) in [(path(), "db/a"), (mount(), "db/m")] {
            let open = if disk == path() { destroyed_on(&path()) } else { mount_destroyed() };
            let closed = changed(&open, |facts| {
                if let Known::Known(mount) = &mut facts.disk(&disk).mount {
                    mount.failure = Some(FsFailure::Failed("it was shut down".to_owned()));
                }
            });
            guard(Refusal::FilesystemFailed, volume).holds(&open, &closed);
        }
    }

    DeviceGone => guard_device_gone_touches_nothing_on_it {
        for (disk, volume) in [(path(), "db/a"), (mount(), "db/m")] {
            let open = if disk == path() { destroyed_on(&path()) } else { mount_destroyed() };
            let closed = changed(&open, |facts| {
                if let Known::Known(mount) = &mut facts.disk(&disk).mount {
                    mount.failure = Some(FsFailure::DeviceGone("8:17 is gone".to_owned()));
                }
            });
            guard(Refusal::DeviceGone, volume).holds(&open, &closed);
            // No word waives it.
            let accepted = changed(&closed, |facts| {
                facts.words.accept_root = Some(disk.root.clone());
            });
            assert!(checked(&accepted).steps.is_empty());
        }
    }

    RootUnverified => guard_root_unverified_waits_for_the_operator {
        // The operator's word for the volume needs no record of it.
        let mut open = destroyed_on(&path());
        open.words.wipe = Some(key("db/a"));
        let closed = changed(&open, |facts| {
            let root = facts.disk(&path());
            root.filesystem.ledger = Known::Absent;
            root.filesystem.marker = Known::Absent;
            facts.create(&path(), &key("db/missing"));
            facts.rmdir(&path(), &key("db/missing"));
        });
        guard(Refusal::RootUnverified, "db/a").holds(&open, &closed);
        assert!(checked(&closed).steps.is_empty());
        let accepted = changed(&closed, |facts| facts.words.accept_root = Some(path().root));
        assert!(doomed(&checked(&accepted)).contains(&key("db/a")));
    }

    NoIdentity => guard_no_identity_refuses_file_systems_without_handles {
        let open = destroyed();
        for gone in [Known::Absent, unknown()] {
            let closed = changed(&open, |facts| {
                if let Known::Known(dirs) = &mut facts.disk(&root()).dirs {
                    dirs[0].identity = gone.clone();
                }
            });
            Guard { due: false, ..guard(Refusal::NoIdentity, "db/a") }.holds(&open, &closed);
        }
        for gone in [Known::Absent, unknown()] {
            let closed = changed(&open, |facts| {
                facts.disk(&root()).filesystem.present = gone.clone();
            });
            guard(Refusal::NoIdentity, "db/a").holds(&open, &closed);
        }
    }

    NotMounted => guard_not_mounted_owes_the_destroy {
        let open = destroyed_on(&path());
        let closed = changed(&open, |facts| {
            let root = facts.disk(&path());
            root.mount = Known::Absent;
            root.dirs = Known::Absent;
            root.filesystem.present = Known::Absent;
        });
        guard(Refusal::NotMounted, "db/a").holds(&open, &closed);
        let open = mount_destroyed();
        for away in [Known::Absent, unknown()] {
            let closed = changed(&open, |facts| {
                facts.disk(&mount()).mount = away.clone();
                facts.disk(&mount()).content = unknown();
            });
            guard(Refusal::NotMounted, "db/m").holds(&open, &closed);
        }
        let closed = changed(&open, |facts| {
            if let Known::Known(mount) = &mut facts.disk(&mount()).mount {
                mount.is_mount_point = false;
            }
        });
        guard(Refusal::NotMounted, "db/m").holds(&open, &closed);
        for content in [Known::Absent, unknown()] {
            let closed = changed(&open, |facts| facts.disk(&mount()).content = content.clone());
            guard(Refusal::NotMounted, "db/m").holds(&open, &closed);
        }
    }

    ForeignRoot => guard_foreign_root_wants_the_agent_to_name_it {
        let open = destroyed_on(&path());
        let closed = changed(&open, |facts| {
            facts.disk(&path()).named_by = [RootWitness::Config, RootWitness::Ledger].into();
        });
        guard(Refusal::ForeignRoot, "db/a").holds(&open, &closed);
        let open = destroyed();
        let closed = changed(&open, |facts| facts.agent.latest = Known::Absent);
        guard(Refusal::ForeignRoot, "db/a").holds(&open, &closed);
        // The ROOT of an earlier work_dir, whose own checkpoint nobody reads.
        let closed = changed(&open, |facts| facts.agent.work_dir = "/var/lib/mesos/other".into());
        guard(Refusal::ForeignRoot, "db/a").holds(&open, &closed);
        for witness in [RootWitness::SlaveInfo, RootWitness::Checkpoint, RootWitness::Flags] {
            let named = changed(&destroyed_on(&path()), |facts| {
                facts.disk(&path()).named_by = [witness].into();
            });
            assert!(doomed(&checked(&named)).contains(&key("db/a")));
        }
    }

    OtherView => guard_other_view_wants_every_agent_to_see_the_same {
        use super::builder::an_agent;
        let views: [fn(&mut Facts); 6] = [
            |facts| facts.disk(&root()).view = AgentView::Other("another inode".to_owned()),
            |facts| facts.disk(&root()).view = AgentView::Unknown("no /proc/812/root".to_owned()),
            // An agent of ours runs, and nobody compared.
            |facts| facts.disk(&root()).view = AgentView::NoAgent,
            |facts| {
                let device = facts.disk(&root()).mount.known().unwrap().device;
                let mut other = an_agent(900);
                other.ours = false;
                other.roots = Known::Known(vec!["/elsewhere".into()]);
                other.filesystems = Known::Known([device].into());
                facts.agent.processes = Known::Known(vec![an_agent(812), other]);
            },
            |facts| {
                let mut other = an_agent(900);
                other.ours = false;
                other.filesystems = unknown();
                facts.agent.processes = Known::Known(vec![an_agent(812), other]);
            },
            |facts| {
                // Counted as ours because its work_dir is unclear: what it uses is so as well.
                let mut other = an_agent(900);
                other.work_dir = unknown();
                other.roots = unknown();
                other.filesystems = unknown();
                facts.agent.processes = Known::Known(vec![an_agent(812), other]);
            },
        ];
        for view in views {
            let open = destroyed();
            guard(Refusal::OtherView, "db/a").holds(&open, &changed(&open, view));
        }
        let apart = changed(&destroyed(), |facts| {
            let mut other = an_agent(900);
            other.ours = false;
            other.roots = Known::Known(vec!["/elsewhere".into()]);
            other.filesystems = Known::Known(std::collections::BTreeSet::new());
            facts.agent.processes = Known::Known(vec![an_agent(812), other]);
        });
        assert!(doomed(&checked(&apart)).contains(&key("db/a")));
    }

    NetworkFilesystem => guard_network_filesystem_is_left_to_people {
        let open = destroyed();
        let closed = changed(&open, |facts| {
            if let Known::Known(mount) = &mut facts.disk(&root()).mount {
                mount.network = true;
            }
        });
        guard(Refusal::NetworkFilesystem, "db/a").holds(&open, &closed);
    }

    ReadOnly => guard_read_only_is_not_written_to {
        for (open, disk, volume) in [
            (destroyed(), root(), "db/a"),
            (trashed(TrashState::Cleared), root(), "db/t"),
            (mount_destroyed(), mount(), "db/m"),
        ] {
            let closed = changed(&open, |facts| {
                if let Known::Known(mount) = &mut facts.disk(&disk).mount {
                    mount.read_only = true;
                }
            });
            guard(Refusal::ReadOnly, volume).holds(&open, &closed);
        }
    }

    GracePeriod => guard_grace_period_wants_two_sightings_a_grace_apart {
        let open = orphaned();
        let mut once = healthy();
        once.mkdir(&path(), &key("db/o"));
        let early = Guard { due: false, ..guard(Refusal::GracePeriod, "db/o") };
        // Never seen before.
        early.holds(&open, &once);
        once.pass();
        once.later(DAY - 1);
        early.holds(&open, &once);
        // Another directory of the same name starts anew.
        let mut another = orphaned();
        if let Known::Known(dirs) = &mut another.disk(&path()).dirs
            && let Known::Known(identity) = &mut dirs[0].identity
        {
            identity.handle = "1:another".to_owned();
        }
        early.holds(&open, &another);
        // With a grace of no time the second sweep acts, and not the first.
        let mut at_once = healthy();
        at_once.policy.grace = Span::ZERO;
        at_once.mkdir(&path(), &key("db/o"));
        assert!(doomed(&checked(&at_once)).is_empty());
        at_once.pass();
        assert!(doomed(&checked(&at_once)).contains(&key("db/o")));
    }

    Protected => guard_protected_keeps_what_a_glob_matches {
        for glob in ["db/*", "db/o", "*/o", "**", "d?/[a-z]", "[broken"] {
            for (open, volume) in [
                (destroyed(), "db/a"),
                (orphaned(), "db/o"),
                (trashed(TrashState::Cleared), "db/t"),
                (mount_destroyed(), "db/m"),
            ] {
                if (glob.ends_with("/o") && volume != "db/o") || !volume.starts_with("db/") {
                    continue;
                }
                let closed = changed(&open, |facts| facts.policy.protect = vec![glob.to_owned()]);
                guard(Refusal::Protected, volume).holds(&open, &closed);
            }
        }
        // A star does not cross the slash of a role.
        let mut nested = healthy();
        nested.mkdir(&path(), &key("eng/dev/o"));
        nested.pass();
        nested.later(DAY);
        for (glob, free) in [("eng/*", true), ("eng/*/o", false), ("eng/**", false), ("*/o", true)] {
            nested.policy.protect = vec![glob.to_owned()];
            let goes = doomed(&checked(&nested)).contains(&key("eng/dev/o"));
            assert_eq!(goes, free, "{glob}");
        }
    }

    Brake => guard_brake_bounds_what_goes_without_a_witness {
        let mut open = healthy();
        for n in 0..6 {
            open.mkdir(&path(), &key(&format!("db/o{n}")));
        }
        open.pass();
        open.later(DAY);
        let closed = open.clone();
        open.policy.brake_percent = 100;
        guard(Refusal::Brake, "db/o3").holds(&open, &closed);
        assert!(doomed(&checked(&closed)).is_empty(), "all or none");
        // The operator's number, and no smaller one.
        for (word, goes) in [(5, 0), (6, 6), (7, 6)] {
            let confirmed = changed(&closed, |facts| facts.words.confirm_brake = Some(word));
            assert_eq!(doomed(&checked(&confirmed)).len(), goes);
        }
        // As many as brake_min never trip it.
        let few = changed(&closed, |facts| facts.rmdir(&path(), &key("db/o0")));
        assert_eq!(doomed(&checked(&few)).len(), 5);
    }

    NoBarrier => guard_no_barrier_keeps_a_mount_that_mesos_could_use {
        use super::builder::an_agent;
        let open = mount_destroyed();
        let ways: [fn(&mut Facts); 4] = [
            |facts| facts.policy.start_gate = false,
            |facts| {
                facts.agent.processes = Known::Known(vec![an_agent(812)]);
                facts.answer = AgentAnswer::NotConfigured;
                facts.disk(&mount()).view = AgentView::Same;
                facts.later(2 * DAY);
            },
            |facts| {
                // An agent of another work_dir may use the disk too.
                let mut other = an_agent(900);
                other.ours = false;
                other.roots = Known::Known(Vec::new());
                other.filesystems = Known::Known(BTreeSet::new());
                facts.agent.processes = Known::Known(vec![other]);
            },
            |facts| facts.answer = destroyed_mount_with_agent().answer,
        ];
        for way in ways {
            guard(Refusal::NoBarrier, "db/m").holds(&open, &changed(&open, way));
        }
        let unit = changed(&open, |facts| {
            facts.policy.start_gate = false;
            facts.gate.unit = Known::Known("mesos-slave.service".into());
        });
        assert!(doomed(&checked(&unit)).contains(&key("db/m")));
    }

    ReportOnly => guard_report_only_lists_orphans {
        let open = orphaned();
        let closed = changed(&open, |facts| facts.policy.orphans = OrphanPolicy::Report);
        guard(Refusal::ReportOnly, "db/o").holds(&open, &closed);
    }

    Retention => guard_retention_keeps_the_undelete_window {
        let mut closed = healthy();
        closed.policy.retention = Span::seconds(DAY);
        closed.trash(&root(), &key("db/t"), TrashState::Cleared);
        let mut open = closed.clone();
        open.later(DAY);
        closed.later(DAY - 1);
        Guard { due: false, ..guard(Refusal::Retention, "db/t") }.holds(&open, &closed);
        // Named by the operator it goes at once.
        let wiped = changed(&closed, |facts| facts.words.wipe = Some(key("db/t")));
        assert!(doomed(&checked(&wiped)).contains(&key("db/t")));
        let id = closed.disk(&root()).trash.known().unwrap()[0].id.clone();
        let purged = changed(&closed, |facts| facts.words.purge = vec![id]);
        assert!(doomed(&checked(&purged)).contains(&key("db/t")));
    }

    Contested => guard_contested_never_expires {
        let open = trashed(TrashState::Cleared);
        let named = changed(&open, |facts| facts.create(&root(), &key("db/t")));
        guard(Refusal::Contested, "db/t").holds(&open, &named);
        // Nor once the name is gone again: whose data it is, is for people to say.
        let mut gone = named;
        gone.pass();
        gone.later(60);
        gone.forget(&key("db/t"));
        gone.rmdir(&root(), &key("db/t"));
        for _ in 0..3 {
            guard(Refusal::Contested, "db/t").holds(&open, &gone);
            gone.pass();
            gone.later(30 * DAY);
        }
        let id = gone.disk(&root()).trash.known().unwrap()[0].id.clone();
        let purged = changed(&gone, |facts| facts.words.purge = vec![id]);
        assert!(doomed(&checked(&purged)).contains(&key("db/t")));
    }

    Unconfirmed => guard_unconfirmed_waits_for_the_agents_checkpoint {
        for state in [TrashState::Prepared, TrashState::Moved, TrashState::Cleared, TrashState::Wiping] {
            let facts = changed(&trashed(state), |facts| {
                if let Known::Known(entries) = &mut facts.disk(&root()).trash
                    && let Known::Known(manifest) = &mut entries[0].manifest
                {
                    manifest.unconfirmed = true;
                }
            });
            let open = trashed(TrashState::Cleared);
            Guard { due: false, ..guard(Refusal::Unconfirmed, "db/t") }.holds(&open, &facts);
            assert!(checked(&facts).steps.is_empty());
            // Not even by the operator's word, nor when its data is gone.
            let purged = changed(&facts, |facts| {
                let id = facts.disk(&root()).trash.known().unwrap()[0].id.clone();
                facts.words.purge = vec![id];
                facts.words.wipe = Some(key("db/t"));
            });
            assert!(checked(&purged).steps.is_empty());
            if state != TrashState::Prepared {
                let emptied = changed(&facts, |facts| {
                    if let Known::Known(entries) = &mut facts.disk(&root()).trash {
                        entries[0].data = Known::Absent;
                    }
                });
                assert!(checked(&emptied).steps.is_empty());
            }
        }
    }

    Adopted => guard_adopted_keeps_what_an_operator_wants {
        for (open, disk, volume) in [
            (destroyed(), root(), "db/a"),
            (orphaned(), path(), "db/o"),
        ] {
            let closed = changed(&open, |facts| facts.mark(&disk, &key(volume), None));
            guard(Refusal::Adopted, volume).holds(&open, &closed);
            // Another volume's mark, and one on another disk, say nothing of this one.
            let other = changed(&open, |facts| facts.mark(&disk, &key("db/other"), None));
            assert!(doomed(&checked(&other)).contains(&key(volume)));
            let elsewhere = if disk == root() { path() } else { root() };
            let other = changed(&open, |facts| facts.mark(&elsewhere, &key(volume), None));
            assert!(doomed(&checked(&other)).contains(&key(volume)));
            // One that can't be read may be this one's.
            let unread = changed(&open, |facts| facts.disk(&disk).adopted = unknown());
            guard(Refusal::AuthorityUnknown, volume).holds(&open, &unread);
        }
        // An entry whose restore was begun is never wiped, even where it can't go on.
        let open = trashed(TrashState::Wiping);
        let closed = changed(&open, |facts| {
            let id = facts.disk(&root()).trash.known().unwrap()[0].id.clone();
            facts.mark(&root(), &key("db/t"), Some(id));
        });
        guard(Refusal::Adopted, "db/t").holds(&open, &closed);
    }

    HalfWiped => guard_half_wiped_is_never_restored {
        let open = trashed(TrashState::Wiping);
        let asked = changed(&open, |facts| {
            let id = facts.disk(&root()).trash.known().unwrap()[0].id.clone();
            facts.words.restore = Some(id);
        });
        guard(Refusal::HalfWiped, "db/t").seen(false).holds(&open, &asked);
    }

    ForeignTrash => guard_foreign_trash_is_reported_only {
        let open = trashed(TrashState::Cleared);
        let entry = |facts: &mut Facts, change: fn(&mut mesos_volumed::decide::facts::TrashFacts)| {
            if let Known::Known(entries) = &mut facts.disk(&root()).trash {
                change(&mut entries[0]);
            }
        };
        let of = |change: fn(&mut mesos_volumed::decide::manifest::Manifest)| {
            changed(&open, |facts| {
                if let Known::Known(entries) = &mut facts.disk(&root()).trash
                    && let Known::Known(manifest) = &mut entries[0].manifest
                {
                    change(manifest);
                }
            })
        };
        let foreign = Guard { due: false, ..guard(Refusal::ForeignTrash, "db/t") };
        foreign.holds(&open, &of(|manifest| manifest.machine_id = "another".into()));
        foreign.holds(&open, &of(|manifest| manifest.work_dir = "/tmp/mesos".into()));
        foreign.holds(&open, &of(|manifest| manifest.version = 2));
        foreign.holds(&open, &of(|manifest| manifest.id.0.push('x')));
        foreign.holds(&open, &of(|manifest| manifest.path = "../../etc".into()));
        // Perhaps ours, or ours with other data in it: what is due may be kept back by it.
        let strange = guard(Refusal::ForeignTrash, "db/t");
        strange.holds(&open, &changed(&open, |facts| facts.host.machine_id = unknown()));
        strange.holds(&open, &of(|manifest| manifest.identity.handle.push('x')));
        strange.holds(&open, &changed(&open, |facts| entry(facts, |entry| entry.data = unknown())));
        // Without a manifest there is not even a volume to name.
        let changes: [fn(&mut mesos_volumed::decide::facts::TrashFacts); 2] = [
            |entry| entry.manifest = unknown(),
            |entry| entry.manifest = Known::Absent,
        ];
        for change in changes {
            let closed = changed(&open, |facts| entry(facts, change));
            let made = checked(&closed);
            assert!(made.steps.is_empty());
            assert_eq!(made.kept[0].reasons[0].code, Refusal::ForeignTrash);
            assert!(check(plan(&open), &closed).is_err());
        }
        // What could not be read may be due: nobody is told that there was nothing to do.
        assert!(checked(&changed(&open, |facts| entry(facts, changes[0]))).blocked());
        let closed = changed(&open, |facts| facts.disk(&root()).trash = unknown());
        let made = checked(&closed);
        assert!(made.steps.is_empty() && made.blocked());
        assert_eq!(made.kept[0].reasons[0].code, Refusal::ForeignTrash);
    }

    RootLocked => guard_root_locked_is_the_executors_and_has_its_words {
        // Whether another process works on a root shows only when the lock is taken: the executor
        // refuses the step then (act::roots). Here: it makes a sweep exit 5.
        assert_eq!(Refusal::RootLocked.weight(), Weight::Blocking);
        let facts = destroyed();
        for kept in checked(&facts).kept {
            assert!(kept.reasons.iter().all(|reason| reason.code != Refusal::RootLocked));
        }
    }

    ModeRefused => guard_mode_refused_keeps_modes_of_whole_disks_from_what_is_none {
        for mode in [WipeMode::ZeroFree, WipeMode::Reformat] {
            for state in [TrashState::Cleared, TrashState::Wiping] {
                let open = trashed(state);
                let closed = changed(&open, |facts| facts.policy.wipe.mode = mode);
                guard(Refusal::ModeRefused, "db/t").holds(&open, &closed);
            }
        }
    }
}
