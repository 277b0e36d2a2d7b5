//! The table of missing disks: written down, and what the oracle says of each row.

#![expect(
    clippy::disallowed_methods,
    reason = "the golden table is read and written here"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mesos_volumed::decide::facts::{
    CheckpointFile, DiskType, Known, LatestAgent, ReconfigurationPolicy, StartFacts,
};
use mesos_volumed::decide::preflight::missing::{
    AgentWill, Emit, Gone, MissingDisk, NextId, Occupancy, table,
};
use mesos_volumed::decide::preflight::{Check, Verdict, preflight};
use mesos_volumed::mesos::disk::SourceType;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Raw;

use super::host::{BASE, MOUNT, PATH, WORK_DIR, directory, facts, nothing, recordings, start};

#[test]
fn the_table_is_the_one_that_is_written_down() {
    let mut text = String::from(
        "# A disk that was advertised, or that the agent has, and that is missing or replaced.\n\
         # type | what | occupancy | policy | agent id | emitted | agent | told\n",
    );
    for (disk, decision) in table() {
        writeln!(
            text,
            "{:5} | {:8} | {:8} | {:8} | {:8} | {:16} | {:16} | {}",
            disk.kind,
            disk.gone,
            disk.occupancy,
            disk.policy,
            disk.id,
            decision.emit,
            decision.agent,
            decision.tell
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/missing_disk.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    similar_asserts::assert_eq!(golden, text, "the table and {}", path.display());
    assert_eq!(table().len(), 5 * 3 * 2 * 3);
}

fn kind_of(resource: &Resource) -> DiskType {
    match resource.source.as_ref().map(|source| source.kind) {
        None => DiskType::Root,
        Some(SourceType::Mount) => DiskType::Mount,
        Some(_) => DiskType::Path,
    }
}

/// The recorded host with one disk missing.
fn host(disk: MissingDisk) -> StartFacts {
    let mut facts = facts(&recordings().join("restart/equal__same/meta"));
    if let CheckpointFile::Whole(state) = &mut facts.checkpoint.state {
        state
            .resources
            .retain(|resource| kind_of(resource) != disk.kind || disk.occupancy != Occupancy::Bare);
        for resource in &mut state.resources {
            if kind_of(resource) == disk.kind && disk.occupancy == Occupancy::Reserved {
                resource.persistence = None;
            }
        }
    }
    match (disk.kind, disk.gone) {
        (DiskType::Path, Gone::Missing) => {
            facts.roots.insert(Raw::from(PATH), nothing());
        }
        (DiskType::Mount, Gone::Missing) => {
            facts
                .roots
                .insert(Raw::from(MOUNT), directory(MOUNT, 9, false));
        }
        // Nothing of it is seen by an agent.
        (DiskType::Path, Gone::Replaced) => {
            facts
                .roots
                .insert(Raw::from(PATH), directory(PATH, 5, true));
        }
        (DiskType::Mount, Gone::Replaced) => {
            facts
                .roots
                .insert(Raw::from(MOUNT), directory(MOUNT, 5, true));
        }
        // The agent's own files are on the disk that is missing.
        (DiskType::Root, _) => {
            facts.meta = Known::Absent;
            facts.latest = LatestAgent::Missing { earlier: false };
            facts.info = CheckpointFile::Missing;
            facts.checkpoint.state = CheckpointFile::Missing;
            facts.checkpoint.info = CheckpointFile::Missing;
            facts.roots.insert(Raw::from(WORK_DIR), nothing());
        }
    }
    if disk.id == NextId::New && disk.kind != DiskType::Root {
        facts.latest = LatestAgent::Missing { earlier: true };
        facts.info = CheckpointFile::Missing;
    }
    facts
}

/// The resources with this disk as the table emits it.
fn text(disk: MissingDisk, emit: Emit) -> String {
    let entries: Vec<serde_json::Value> = serde_json::from_str(BASE).unwrap();
    let kept: Vec<_> = entries
        .into_iter()
        .filter(|entry| {
            let kind = match entry
                .pointer("/disk/source/type")
                .and_then(|kind| kind.as_str())
            {
                Some("PATH") => DiskType::Path,
                Some(_) => DiskType::Mount,
                None => DiskType::Root,
            };
            emit == Emit::LastGood || kind != disk.kind || entry["name"] != "disk"
        })
        .collect();
    serde_json::to_string(&kept).unwrap()
}

#[test]
fn the_agent_does_what_the_table_says() {
    for (disk, decision) in table() {
        let mut input = start(host(disk), disk.policy, &text(disk, decision.emit));
        input.rebooted = Known::Known(disk.id == NextId::Rebooted);
        let verdict = preflight(&input).verdict;
        let agent = match &verdict {
            Verdict::Recovers { first_start: true } => AgentWill::StartOver,
            Verdict::Refuses { check, .. } => AgentWill::Refuse(*check),
            // It would have had a new one with the disk, too.
            Verdict::NewAgentId { .. } if disk.id == NextId::New => AgentWill::DoWithout,
            Verdict::NewAgentId { .. } => AgentWill::TakeNewId,
            Verdict::Recovers { first_start: false } | Verdict::CannotTell { .. } => {
                panic!("{disk:?}: {verdict:?}")
            }
        };
        assert_eq!(agent, decision.agent, "{disk:?}: {verdict:?}");
    }
}

/// Leaving a MOUNT out where the table keeps it, or the other way round, is never better.
#[test]
fn no_other_answer_keeps_the_agent() {
    for (disk, decision) in table() {
        if disk.kind == DiskType::Root {
            continue;
        }
        let other = match decision.emit {
            Emit::LastGood => Emit::LeaveOut,
            Emit::LeaveOut => Emit::LastGood,
        };
        let mut input = start(host(disk), disk.policy, &text(disk, other));
        input.rebooted = Known::Known(disk.id == NextId::Rebooted);
        let report = preflight(&input);
        let comes_up = matches!(
            report.verdict,
            Verdict::Recovers { .. } | Verdict::NewAgentId { .. }
        );
        match (disk.kind, disk.gone, report.verdict) {
            // It would come up, and offer the file system below.
            (DiskType::Path, Gone::Missing, _) => assert!(
                comes_up
                    && report
                        .warnings
                        .iter()
                        .any(|warning| warning.contains("its volumes land on the wrong one")),
                "{:?}",
                report.warnings
            ),
            // It would come up, and give the other disk to whoever holds this one.
            (DiskType::Path | DiskType::Mount, Gone::Replaced, _) => assert!(comes_up, "{disk:?}"),
            (DiskType::Mount, Gone::Missing, Verdict::Refuses { check, .. }) => assert!(
                matches!(check, Check::Disks | Check::Fit | Check::Policy),
                "{disk:?}"
            ),
            (_, _, verdict) => panic!("{disk:?} {other}: {verdict:?}"),
        }
    }
}

#[test]
fn a_dead_mount_that_holds_a_volume_has_its_ways_out_in_order_of_harm() {
    for policy in [
        ReconfigurationPolicy::Equal,
        ReconfigurationPolicy::Additive,
    ] {
        for emit in [Emit::LastGood, Emit::LeaveOut] {
            let disk = MissingDisk {
                kind: DiskType::Mount,
                gone: Gone::Missing,
                occupancy: Occupancy::Held,
                policy,
                id: NextId::Same,
            };
            let remedy = preflight(&start(host(disk), policy, &text(disk, emit))).remedy;
            assert_eq!(remedy.edits, []);
            assert_eq!(
                remedy.no_edit.as_deref(),
                Some(
                    "no --resources gets this agent up: with MOUNT:/srv/m/mnt/vol0 it does not \
                     find the disk, without it what is held there does not fit"
                )
            );
            let begins = [
                "mount the disk of /srv/m/mnt/vol0 again",
                "mount an empty file system of any size at /srv/m/mnt/vol0 and keep the number \
                 240: the agent starts and takes it for the disk; DESTROY prod/m1, then UNRESERVE",
                "with the agent stopped, move /srv/m/state/agent/meta/resources away",
            ];
            assert_eq!(remedy.ways.len(), begins.len());
            for (way, begin) in remedy.ways.iter().zip(begins) {
                assert!(way.starts_with(begin), "{way}");
            }
        }
    }
}
