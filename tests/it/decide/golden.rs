//! Hosts as files, and the plans for them: `tests/golden/plan/<name>.facts.json` and
//! `<name>.plan.txt`. A change of a plan is read as a diff. `UPDATE_GOLDEN=1` writes both anew.
#![expect(clippy::disallowed_methods, reason = "tests write their golden files")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mesos_volumed::cli::plan_text::plan_text;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, FileKind, HolderKind, Known, OperationKind, OperationState,
    OrphanPolicy, StrangeEntry, Why, Words,
};
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::mesos::paths;
use mesos_volumed::units::{Raw, Span};

use super::builder::{
    DAY, World, a_reservation, a_root, a_task, a_volume, an_operation, fingerprint, first_met,
    healthy, key, mount, path, root, unknown,
};
use super::story::plan_of;

/// A scenario: its name, what it shows, and the facts.
type Scenario = (&'static str, &'static str, Facts);

/// Marathon's names.
const APP: &str = "slave_public/cwc_test_test-root#mydata#0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab";

/// A host that held three tenants a minute ago.
fn tenants() -> Facts {
    let mut facts = healthy();
    facts.create(&root(), &key(APP));
    facts.create(&path(), &key("db/pg-0"));
    facts.create(&mount(), &key("db/pg-1"));
    facts.later(60);
    facts.pass();
    facts.later(60);
    facts
}

fn barrier(facts: &mut Facts) {
    facts.stop_agent();
    facts.gate.unit = Known::Known("/etc/systemd/system/mesos-slave.service".into());
}

fn away(facts: &mut Facts, disk: &DiskRef) {
    let root = facts.disk(disk);
    root.mount = Known::Absent;
    root.dirs = Known::Absent;
    root.trash = Known::Absent;
    root.filesystem.present = Known::Absent;
    if disk.kind == DiskType::Mount {
        root.content = unknown();
    }
}

fn orphans(count: usize) -> Facts {
    let mut facts = tenants();
    for n in 0..count {
        facts.mkdir(&path(), &key(&format!("old/life-{n}")));
    }
    facts.pass();
    facts.later(DAY);
    facts
}

fn made(make: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = tenants();
    make(&mut facts);
    facts
}

fn hosts() -> Vec<Scenario> {
    vec![
        (
            "fresh-host",
            "an agent that never reserved anything; nothing was ever looked at",
            {
                let mut facts = first_met();
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Missing;
                for root in &mut facts.roots {
                    if root.disk.kind != DiskType::Mount {
                        root.dirs = Known::Absent;
                    }
                }
                facts
            },
        ),
        (
            "first-run",
            "tenants of long ago, met for the first time, with an orphan of an older life",
            {
                let mut facts = first_met();
                facts.create(&root(), &key(APP));
                facts.create(&path(), &key("db/pg-0"));
                facts.create(&mount(), &key("db/pg-1"));
                facts.mkdir(&path(), &key("db/who-knows"));
                facts
            },
        ),
        ("all-is-well", "three tenants that live", tenants()),
        (
            "first-met-with-missing-directories",
            "a PATH root first met without the directory of a held volume, a DESTROY behind it",
            {
                let mut facts = first_met();
                facts.create(&path(), &key("db/lost"));
                facts.rmdir(&path(), &key("db/lost"));
                facts.create(&path(), &key("db/goes"));
                facts.pass();
                facts.later(60);
                facts.destroy(&key("db/goes"), 7);
                facts
            },
        ),
        (
            "disk-accept",
            "the same, and the operator says that it is right as it is",
            {
                let mut facts = first_met();
                facts.create(&path(), &key("db/lost"));
                facts.rmdir(&path(), &key("db/lost"));
                facts.pass();
                facts.later(60);
                facts.words.accept_root = Some(path().root);
                facts
            },
        ),
        (
            "vanished",
            "a held volume whose directory was there and is gone",
            made(|facts| {
                facts.rmdir(&path(), &key("db/pg-0"));
            }),
        ),
        (
            "volumes-recreate",
            "the same, and the operator wants its directory made again",
            made(|facts| {
                facts.rmdir(&path(), &key("db/pg-0"));
                facts.words.recreate = Some(key("db/pg-0"));
            }),
        ),
        (
            "created-without-a-directory",
            "law 3: a volume that came while we watched and never had a directory",
            made(|facts| {
                facts.create(&path(), &key("db/new"));
                facts.rmdir(&path(), &key("db/new"));
            }),
        ),
        (
            "another-disk",
            "another file system is mounted under a PATH root",
            made(|facts| {
                facts.disk(&path()).filesystem.present =
                    Known::Known(fingerprint("5ca1ab1e-another"));
                facts.destroy(&key("db/pg-0"), 7);
            }),
        ),
        (
            "other-agent",
            "an agent of another work_dir uses the same file system",
            made(|facts| {
                let device = facts.disk(&path()).mount.known().unwrap().device;
                let mut other = super::builder::an_agent(900);
                other.ours = false;
                other.work_dir = Known::Known("/srv/mesos".into());
                other.roots = Known::Known(vec!["/srv/mesos".into(), "/mnt/data".into()]);
                other.filesystems = Known::Known([device].into());
                facts.agent.processes = Known::Known(vec![super::builder::an_agent(812), other]);
                facts.destroy(&key("db/pg-0"), 7);
            }),
        ),
        (
            "two-roots-one-directory",
            "a root bound to another one: an orphan and a destroyed volume show twice",
            {
                let mut facts = orphans(1);
                let mut bound = facts.disk(&path()).clone();
                bound.disk.root = "/mnt/alias".into();
                facts.roots.push(bound);
                facts.pass();
                facts.later(DAY);
                facts.destroy(&key("db/pg-0"), 7);
                let again = facts.disk(&path()).dirs.clone();
                facts.roots.last_mut().unwrap().dirs = again;
                facts
            },
        ),
        (
            "strange-names",
            "bytes that are no UTF-8, a role with slashes, leading dots, and what can't be a volume",
            {
                let mut facts = tenants();
                let odd = VolumeKey::new(
                    Role::new("eng/dev"),
                    PersistenceId::new(Raw::new(b".odd\xff\x1b[2J".to_vec())),
                );
                facts.mkdir(&path(), &odd);
                facts.mkdir(&path(), &key("eng/dev/... #&'\"")).kind = FileKind::Symlink;
                facts.disk(&path()).strange.push(StrangeEntry {
                    path: "volumes/roles/notes.txt".into(),
                    kind: FileKind::File,
                    reason: "it is a file where role directories are".to_owned(),
                });
                facts.pass();
                facts.later(DAY);
                facts
            },
        ),
    ]
}

fn destroys() -> Vec<Scenario> {
    vec![
        (
            "destroyed-by-operation",
            "a DESTROY read as finished; the data are still there",
            made(|facts| {
                facts.destroy(&key(APP), 7);
            }),
        ),
        (
            "destroyed-within-run",
            "held and gone within one run of the agent; no operation was read",
            made(|facts| {
                facts.forget(&key(APP));
            }),
        ),
        (
            "destroy-failed",
            "a DESTROY that failed, and the volume is gone after the next start of the agent",
            made(|facts| {
                let volume = a_volume(&root(), &key(APP));
                facts.operate(OperationKind::Destroy, OperationState::Failed, 7, volume);
                facts.pass();
                facts.later(60);
                facts.forget(&key(APP));
                facts.restart_agent();
            }),
        ),
        (
            "destroyed-and-created-again",
            "a name that lives again while the finished DESTROY of its earlier life is in the files, lost with the next start",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                facts.create(&root(), &key(APP));
                facts.rmdir(&root(), &key(APP));
                facts.mkdir(&root(), &key(APP));
                facts.pass();
                facts.later(60);
                facts.forget(&key(APP));
                facts.restart_agent();
            }),
        ),
        (
            "destroy-pending",
            "a DESTROY that the agent has yet to carry out",
            made(|facts| {
                let volume = a_volume(&root(), &key(APP));
                facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
            }),
        ),
        (
            "destroy-in-the-target",
            "step 5a of a DESTROY: finished in the target, pending in the committed file",
            made(|facts| {
                let volume = a_volume(&root(), &key(APP));
                let mut target = facts.state().clone();
                target.resources.retain(|found| *found != volume);
                target.operations.push(an_operation(
                    OperationKind::Destroy,
                    OperationState::Finished,
                    7,
                    std::slice::from_ref(&volume),
                ));
                facts.checkpoint.state_target = CheckpointFile::Whole(target);
                facts.operate(OperationKind::Destroy, OperationState::Pending, 7, volume);
            }),
        ),
        (
            "agent-restarted-between",
            "gone across a start of the agent: nobody witnessed it",
            made(|facts| {
                facts.forget(&key(APP));
                facts.restart_agent();
            }),
        ),
        (
            "agent-may-still-delete",
            "destroyed, and an agent runs that is not asked",
            made(|facts| {
                facts.forget(&key(APP));
                facts.answer = AgentAnswer::NotConfigured;
            }),
        ),
        (
            "a-task-outlives-it",
            "destroyed, and a task that was given the volume has not ended",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                facts.tasks = Known::Known(vec![a_task(&key(APP))]);
            }),
        ),
        (
            "in-use",
            "destroyed, open in a process, mounted by another, and something mounted in it",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                let below = paths::volume_directory(&key(APP)).to_string();
                facts.hold(&root(), &format!("{below}/base/1"), HolderKind::OpenFile);
                facts.hold(&root(), &below, HolderKind::MountOf);
                facts.hold(&root(), &format!("{below}/backup"), HolderKind::MountPoint);
            }),
        ),
        (
            "unmounted-at-destroy",
            "a PATH disk that was not mounted when its volume was destroyed",
            made(|facts| {
                away(facts, &path());
                facts.destroy(&key("db/pg-0"), 7);
                facts.pass();
                facts.state().operations.clear();
                facts.reboot();
                facts.later(60);
            }),
        ),
        (
            "unmounted-at-destroy-and-back",
            "the same, and the disk is back",
            {
                let mut facts = tenants();
                let there = facts.disk(&path()).clone();
                away(&mut facts, &path());
                facts.destroy(&key("db/pg-0"), 7);
                facts.pass();
                facts.reboot();
                facts.later(60);
                *facts.disk(&path()) = there;
                facts
            },
        ),
        (
            "unmounted-at-destroy-and-another-back",
            "the same, and another disk was accepted in its place",
            {
                let mut facts = tenants();
                away(&mut facts, &path());
                facts.destroy(&key("db/pg-0"), 7);
                facts.pass();
                facts.reboot();
                facts.later(60);
                let other = facts.disk(&path());
                *other = a_root(&path());
                other.filesystem.present = Known::Known(fingerprint("5ca1ab1e-another"));
                other.filesystem.ledger = other.filesystem.present.clone();
                other.filesystem.marker = Known::Known("5ca1ab1e-another".to_owned());
                facts.mkdir(&path(), &key("db/pg-0"));
                facts
            },
        ),
        (
            "resources-info-alone",
            "0.28: resources.info alone, another reservation left standing, all data left behind",
            made(|facts| {
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.pass();
                facts.later(60);
                facts.forget(&key(APP));
            }),
        ),
    ]
}

fn authorities() -> Vec<Scenario> {
    vec![
        (
            "all-gone-across-a-start",
            "both files agree on nothing, and the agent was started in between",
            made(|facts| {
                for name in [APP, "db/pg-0", "db/pg-1"] {
                    facts.forget(&key(name));
                }
                facts.restart_agent();
            }),
        ),
        (
            "state-of-0-bytes",
            "a lost write: .state with 0 bytes, while resources.info names all",
            made(|facts| {
                facts.checkpoint.state = CheckpointFile::Empty;
            }),
        ),
        (
            "meta-resources-removed",
            "somebody removed meta/resources to unblock the agent",
            {
                let mut facts = orphans(1);
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Missing;
                facts.answer = AgentAnswer::NotConfigured;
                facts
            },
        ),
        (
            "accepted-empty",
            "the same, accepted by the operator a full grace ago",
            {
                let mut facts = orphans(1);
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Missing;
                facts.answer = AgentAnswer::NotConfigured;
                facts.words.accept_empty = true;
                facts.pass();
                facts.words = Words::default();
                facts.later(DAY);
                facts
            },
        ),
        (
            "last-volume-of-0-28",
            "0.28, the last reservation went: resources.info has 0 bytes",
            {
                let mut facts = healthy();
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Whole(vec![a_volume(&root(), &key(APP))]);
                facts.mkdir(&root(), &key(APP));
                facts.pass();
                facts.later(60);
                facts.checkpoint.info = CheckpointFile::Empty;
                facts
            },
        ),
        (
            "stale-generation",
            "named by the older file alone",
            made(|facts| {
                facts.forget(&key("db/pg-0"));
                if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
                    resources.push(a_volume(&path(), &key("db/pg-0")));
                }
            }),
        ),
        (
            "stale-generation-released",
            "the same, a grace and two sightings later",
            made(|facts| {
                facts.forget(&key("db/pg-0"));
                if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
                    resources.push(a_volume(&path(), &key("db/pg-0")));
                }
                facts.pass();
                facts.later(DAY);
                facts.pass();
                facts.later(DAY);
            }),
        ),
        (
            "files-disagree",
            "the files name different volumes: each is held, and nothing else is",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info {
                    resources.retain(|found| found.volume_key() != Some(key("db/pg-0")));
                    resources.push(a_volume(&path(), &key("db/older")));
                }
                facts.mkdir(&path(), &key("db/older"));
            }),
        ),
        (
            "damaged-checkpoint",
            "a checkpoint file that ends in the middle holds the host",
            {
                let mut facts = orphans(1);
                facts.checkpoint.info = CheckpointFile::Damaged(Why(
                    "resources.info ends in the middle of a record".to_owned(),
                ));
                facts
            },
        ),
        (
            "agent-recovering",
            "503, while a DESTROY was read",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                facts.answer = AgentAnswer::Recovering;
            }),
        ),
        (
            "role-hidden",
            "the agent's answer does not show all roles",
            made(|facts| {
                facts.destroy(&key(APP), 7);
                if let AgentAnswer::State(state) = &mut facts.answer {
                    state.roles.retain(|role| *role == Role::new("other"));
                    state.resources = vec![a_reservation("other")];
                }
            }),
        ),
        ("memory-of-another-version", "the memory can't be read", {
            let mut facts = orphans(1);
            facts.memory = Known::unknown(
                "/var/lib/mesos-volumed/memory.json has version 2, this program reads version 1",
            );
            facts
        }),
    ]
}

fn orphans_and_trash() -> Vec<Scenario> {
    let policy = |policy: OrphanPolicy| {
        let mut facts = orphans(2);
        facts.policy.orphans = policy;
        facts
    };
    let trash = |state: TrashState, change: fn(&mut Facts)| {
        let mut facts = tenants();
        facts.policy.retention = Span::seconds(DAY);
        facts.trash(&path(), &key("db/t"), state);
        facts.later(60);
        change(&mut facts);
        facts
    };
    vec![
        (
            "orphans-reported",
            "orphans past their grace, sweep.orphans = \"report\"",
            policy(OrphanPolicy::Report),
        ),
        (
            "orphans-quarantined",
            "orphans past their grace, sweep.orphans = \"quarantine\"",
            policy(OrphanPolicy::Quarantine),
        ),
        (
            "orphans-wiped",
            "orphans past their grace, sweep.orphans = \"wipe\"",
            policy(OrphanPolicy::Wipe),
        ),
        ("orphan-in-grace", "an orphan seen for half its grace", {
            let mut facts = tenants();
            facts.mkdir(&path(), &key("old/life"));
            facts.pass();
            facts.later(DAY / 2);
            facts
        }),
        (
            "brake",
            "more orphans at once than the brake lets go",
            orphans(8),
        ),
        ("brake-confirmed", "the same, confirmed by their number", {
            let mut facts = orphans(8);
            facts.words.confirm_brake = Some(8);
            facts
        }),
        (
            "protected",
            "protect globs on a role with slashes: `*` does not cross them",
            {
                let mut facts = tenants();
                facts.mkdir(&path(), &key("eng/dev/kept"));
                facts.mkdir(&path(), &key("eng/dev/goes"));
                facts.mkdir(&path(), &key("ops/also-kept"));
                facts.policy.protect = vec![
                    "eng/*".to_owned(),
                    "eng/*/kept".to_owned(),
                    "ops/**".to_owned(),
                ];
                facts.pass();
                facts.later(DAY);
                facts
            },
        ),
        (
            "wipe-orphan-by-word",
            "`wipe` of an orphan that was never sighted",
            {
                let mut facts = tenants();
                facts.mkdir(&path(), &key("old/life"));
                facts.words.wipe = Some(key("old/life"));
                facts
            },
        ),
        (
            "wipe-held-by-word",
            "`wipe` of a held volume",
            made(|facts| {
                facts.words.wipe = Some(key("db/pg-0"));
            }),
        ),
        (
            "trash-second-look",
            "moved, and nobody names it",
            trash(TrashState::Moved, |_| {}),
        ),
        (
            "trash-second-look-named",
            "moved, and named again",
            trash(TrashState::Moved, |facts| {
                let volume = a_volume(&path(), &key("db/t"));
                facts.state().resources.push(volume);
            }),
        ),
        (
            "trash-second-look-unknown",
            "moved, and the agent does not answer",
            trash(TrashState::Moved, |facts| {
                facts.answer = AgentAnswer::Unknown(Why("timed out after 10s".to_owned()));
            }),
        ),
        (
            "trash-second-look-taken",
            "moved, named again, and something else lies in its place",
            trash(TrashState::Moved, |facts| {
                facts.create(&path(), &key("db/t"));
            }),
        ),
        (
            "trash-second-look-in-use",
            "moved, and open in a process",
            trash(TrashState::Moved, |facts| {
                let place = facts.disk(&path()).trash.known().unwrap()[0]
                    .location
                    .clone();
                let place = place.known().unwrap().path.clone();
                facts.hold(&path(), "", HolderKind::WorkingDirectory);
                if let Known::Known(holders) = &mut facts.holders {
                    holders[0].location.path = place;
                }
            }),
        ),
        (
            "trash-in-retention",
            "cleared, with most of its retention left",
            trash(TrashState::Cleared, |_| {}),
        ),
        (
            "trash-expired",
            "cleared, its retention passed",
            trash(TrashState::Cleared, |facts| facts.later(DAY)),
        ),
        (
            "trash-purge",
            "cleared, and purged by the operator",
            trash(TrashState::Cleared, |facts| {
                let id = facts.disk(&path()).trash.known().unwrap()[0].id.clone();
                facts.words.purge = vec![id];
            }),
        ),
        (
            "trash-contested",
            "cleared, and named again",
            trash(TrashState::Cleared, |facts| {
                facts.create(&path(), &key("db/t"));
                facts.later(DAY);
            }),
        ),
        (
            "trash-wiping",
            "a wipe that was cut short",
            trash(TrashState::Wiping, |_| {}),
        ),
        (
            "trash-frame",
            "an entry whose data are gone",
            trash(TrashState::Wiping, |facts| {
                if let Known::Known(entries) = &mut facts.disk(&path()).trash {
                    entries[0].data = Known::Absent;
                }
            }),
        ),
        (
            "trash-foreign",
            "entries of another machine, of another work_dir, and with a damaged manifest",
            trash(TrashState::Cleared, |facts| {
                facts.trash(&path(), &key("db/u"), TrashState::Cleared);
                facts.trash(&path(), &key("db/v"), TrashState::Cleared);
                if let Known::Known(entries) = &mut facts.disk(&path()).trash {
                    if let Known::Known(manifest) = &mut entries[0].manifest {
                        manifest.machine_id = "0123456789abcdef0123456789abcdef".into();
                    }
                    if let Known::Known(manifest) = &mut entries[1].manifest {
                        manifest.work_dir = "/srv/mesos".into();
                    }
                    entries[2].manifest = Known::unknown("manifest.json ends in the middle");
                }
                facts.later(DAY);
            }),
        ),
    ]
}

fn mounts() -> Vec<Scenario> {
    vec![
        (
            "mount-destroyed-without-barrier",
            "a MOUNT volume destroyed while the agent runs",
            made(|facts| {
                facts.destroy(&key("db/pg-1"), 7);
            }),
        ),
        (
            "mount-destroyed-with-barrier",
            "the same with the agent down behind a gate that it obeys",
            made(|facts| {
                facts.destroy(&key("db/pg-1"), 7);
                barrier(facts);
            }),
        ),
        (
            "mount-destroyed-unwitnessed",
            "a MOUNT volume that went without an operation",
            made(|facts| {
                facts.forget(&key("db/pg-1"));
                barrier(facts);
            }),
        ),
        (
            "mount-with-new-tenant",
            "a MOUNT disk that was given to another volume before it could be emptied",
            made(|facts| {
                facts.destroy(&key("db/pg-1"), 7);
                facts.pass();
                facts.create(&mount(), &key("db/pg-2"));
                facts.later(60);
                barrier(facts);
            }),
        ),
        (
            "mount-away-at-destroy",
            "a MOUNT disk that was not mounted when its volume was destroyed",
            made(|facts| {
                away(facts, &mount());
                facts.destroy(&key("db/pg-1"), 7);
                barrier(facts);
            }),
        ),
        (
            "mount-half-emptied",
            "an agent was found running in the middle; the gate stays closed",
            made(|facts| {
                facts.destroy(&key("db/pg-1"), 7);
                facts.gate.closed_for = Known::Known(vec![mount().root]);
                facts.gate.unit = Known::Known("/etc/systemd/system/mesos-slave.service".into());
            }),
        ),
        (
            "mount-emptied",
            "nothing is left to empty: the gate opens",
            made(|facts| {
                facts.destroy(&key("db/pg-1"), 7);
                facts.disk(&mount()).content =
                    Known::Known(mesos_volumed::decide::facts::MountContent::Empty);
                facts.gate.closed_for = Known::Known(vec![mount().root]);
                barrier(facts);
            }),
        ),
    ]
}

fn scenarios() -> Vec<Scenario> {
    [
        hosts(),
        destroys(),
        authorities(),
        orphans_and_trash(),
        mounts(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan")
}

/// The plan as an operator reads it, and what is simply left as it is.
fn rendered(what: &str, plan: &Plan) -> String {
    let mut text = format!("# {what}\n\n{}", plan_text(plan));
    let mut left = plan.kept.iter().filter(|kept| !kept.due).peekable();
    if left.peek().is_some() {
        text.push_str("\nleft as they are:\n");
    }
    for kept in left {
        let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
        writeln!(text, "  {}: {}", kept.path, reasons.join("; ")).unwrap();
    }
    text
}

fn update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn compare(file: &Path, new: &str) {
    if update() {
        std::fs::write(file, new).unwrap();
    }
    let old = std::fs::read_to_string(file).unwrap_or_default();
    similar_asserts::assert_eq!(
        old,
        new,
        "{} changed; read the difference, then UPDATE_GOLDEN=1",
        file.display()
    );
}

#[test]
fn plans_are_as_their_golden_files_say() {
    let scenarios = scenarios();
    let names: BTreeSet<&str> = scenarios.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), scenarios.len());
    if update() {
        std::fs::create_dir_all(folder()).unwrap();
    }
    for (name, what, facts) in &scenarios {
        let mut json = serde_json::to_string_pretty(facts).unwrap();
        json.push('\n');
        compare(&folder().join(format!("{name}.facts.json")), &json);
        // By the file, as `plan --facts` does it.
        let read: Facts = serde_json::from_str(&json).unwrap();
        assert_eq!(read, *facts, "{name}");
        let text = rendered(what, &plan_of(&read));
        compare(&folder().join(format!("{name}.plan.txt")), &text);
    }
    // No file without its scenario.
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.split('.').next().unwrap();
        assert!(names.contains(name), "{file} belongs to no scenario");
    }
}
