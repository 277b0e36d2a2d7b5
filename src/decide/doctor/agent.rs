//! The agent: will it start, does it delete what it was told to, is it alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Examined, Finding, Fix};
use crate::decide::authority::our_agents;
use crate::decide::facts::{
    AgentView, CheckpointFile, Facts, Known, ObstacleKind, OperationKind, OperationState,
    ResourceState, Why,
};
use crate::decide::guards::Refusal;
use crate::decide::preflight::{Check, PreflightInput, PreflightReport, Verdict, preflight};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::mesos::resource::Resource;
use crate::units::Raw;

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    alone(examined, findings);
    checkpoints(examined, findings);
    doubts(examined, findings);
    let is_undeletable = undeletable(examined, findings);
    match examined.patient.start {
        Ok(input) => start(input, &preflight(input), is_undeletable, findings),
        Err(why) => findings.push(Finding::not_checked("the agent's next start", why)),
    }
}

/// Volumes that the agent is to delete at its next start: pending DESTROYs, and what its
/// uncommitted files do not name any more. With the path of each.
fn doomed(facts: &Facts) -> BTreeMap<Raw, VolumeKey> {
    let checkpoint = &facts.checkpoint;
    let mut found: Vec<&Resource> = Vec::new();
    for state in [checkpoint.state.whole(), checkpoint.state_target.whole()]
        .into_iter()
        .flatten()
    {
        let pending = state.operations.iter().filter(|operation| {
            operation.kind == OperationKind::Destroy && operation.state == OperationState::Pending
        });
        found.extend(pending.flat_map(|operation| &operation.volumes));
    }
    let of_state = |state: &'_ ResourceState| state.resources.clone();
    let changes = [
        (
            checkpoint.state.whole().map(of_state),
            checkpoint.state_target.whole().map(of_state),
        ),
        (
            checkpoint.info.whole().cloned(),
            checkpoint.info_target.whole().cloned(),
        ),
    ];
    let mut doomed = BTreeMap::new();
    let mut add = |resource: &Resource| {
        if let (Some(key), Some(disk)) =
            (resource.volume_key(), resource.disk(&facts.agent.work_dir))
        {
            let path = match disk.kind {
                DiskType::Mount => disk.root,
                DiskType::Root | DiskType::Path => disk.root.join(paths::volume_directory(&key)),
            };
            doomed.insert(path, key);
        }
    };
    found.into_iter().for_each(&mut add);
    for (before, after) in changes {
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let stays: BTreeSet<_> = after.iter().filter_map(Resource::volume_key).collect();
        let goes = |resource: &&Resource| {
            resource
                .volume_key()
                .is_some_and(|key| !stays.contains(&key))
        };
        before.iter().filter(goes).for_each(&mut add);
    }
    doomed
}

/// What keeps the agent from deleting what it is to delete. Whether there is anything.
fn undeletable(examined: &Examined<'_>, findings: &mut Vec<Finding>) -> bool {
    let before = findings.len();
    let doomed = doomed(examined.patient.facts);
    let looks = match &examined.patient.host.volumes {
        Known::Known(looks) => looks,
        Known::Absent => return false,
        Known::Unknown(why) => {
            if !doomed.is_empty() {
                let what = "whether the agent can delete what it is to delete";
                findings.push(Finding::not_checked(what, why));
            }
            return false;
        }
    };
    for (path, key) in &doomed {
        let Some(look) = looks.get(path) else {
            continue;
        };
        for obstacle in &look.obstacles {
            let undo = match obstacle.kind {
                ObstacleKind::Immutable => Some("chattr +i"),
                ObstacleKind::AppendOnly => Some("chattr +a"),
                ObstacleKind::Swap | ObstacleKind::Mount | ObstacleKind::ReadOnly => None,
            };
            findings.push(
                Finding::new(
                    Code::UndeletableVolume,
                    key.to_string(),
                    format!(
                        "its DESTROY is not carried out, because {} {} ({})",
                        obstacle.at,
                        obstacle.kind,
                        obstacle.kind.words()
                    ),
                )
                .remedy(obstacle.kind.remedy())
                .fix(undo.map(|undo| Fix::ClearFlags {
                    volume: path.clone(),
                    at: obstacle.at.clone(),
                    undo: format!("{undo} {}", obstacle.at),
                })),
            );
        }
        if let Known::Unknown(why) = &look.complete {
            let what = format!("whether the agent can delete {key}");
            findings.push(Finding::not_checked(&what, why));
        }
    }
    findings
        .iter()
        .skip(before)
        .any(|finding| finding.code == Code::UndeletableVolume)
}

fn start(
    input: &PreflightInput,
    report: &PreflightReport,
    is_undeletable: bool,
    findings: &mut Vec<Finding>,
) {
    let subject = format!("work_dir {}", input.facts.work_dir);
    match &report.verdict {
        Verdict::Recovers { .. } => {}
        Verdict::Refuses { check, text, once } => {
            let is_told = is_undeletable && matches!(check, Check::Replay | Check::Operations);
            if !is_told {
                let once = if *once {
                    " (once; the start after it gets further)"
                } else {
                    ""
                };
                findings.push(Finding::new(
                    Code::AgentRefuses,
                    subject,
                    format!("at {check}: {text}{once}"),
                ));
            }
        }
        Verdict::NewAgentId { why } => {
            findings.push(Finding::new(Code::AgentNewId, subject, why.clone()));
        }
        Verdict::CannotTell { why } => {
            findings.push(Finding::not_checked(
                "the agent's next start",
                why.join("; "),
            ));
        }
    }
    for warning in &report.warnings {
        findings.push(Finding::new(
            Code::StartWarning,
            input.text.from.clone(),
            warning.clone(),
        ));
    }
}

fn alone(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let ours = our_agents(&facts.agent);
    if ours.len() > 1 {
        let pids: Vec<String> = ours.iter().map(ToString::to_string).collect();
        findings.push(Finding::new(
            Code::TwoAgents,
            format!("work_dir {}", facts.agent.work_dir),
            format!("agents with the pids {} use it", pids.join(" and ")),
        ));
    }
    if let Known::Unknown(why) = &facts.agent.processes {
        findings.push(Finding::not_checked("whether one agent runs", why));
    }
    for root in &facts.roots {
        match &root.view {
            AgentView::Other(what) => {
                findings.push(Finding::new(
                    Code::TwoAgents,
                    root.disk.to_string(),
                    what.clone(),
                ));
            }
            AgentView::Unknown(why) if matches!(facts.agent.processes, Known::Known(_)) => {
                let what = format!("what the agent sees at {}", root.disk);
                findings.push(Finding::not_checked(&what, why));
            }
            AgentView::Unknown(_) | AgentView::NoAgent | AgentView::Same => {}
        }
    }
}

/// What is to be said of a file: its name, whether it has no bytes, and why it is damaged.
type Told<'a> = (&'static str, bool, Option<&'a Why>);

fn told<'a, T>(name: &'static str, file: &'a CheckpointFile<T>) -> Told<'a> {
    match file {
        CheckpointFile::Whole(_) | CheckpointFile::Missing => (name, false, None),
        CheckpointFile::Empty => (name, true, None),
        CheckpointFile::Damaged(why) => (name, false, Some(why)),
    }
}

fn checkpoints(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let checkpoint = &examined.patient.facts.checkpoint;
    let newer = [
        told(paths::STATE, &checkpoint.state),
        told(paths::STATE_TARGET, &checkpoint.state_target),
    ];
    let older = [
        told(paths::INFO, &checkpoint.info),
        told(paths::INFO_TARGET, &checkpoint.info_target),
    ];
    for (name, is_empty, _) in newer {
        if is_empty {
            findings.push(Finding::new(
                Code::CheckpointEmpty,
                name,
                "it has 0 bytes, which no agent writes: a lost write, as after a power cut",
            ));
        }
    }
    // No bytes are legal in the older file, unless the newer one names something.
    let named = checkpoint
        .state
        .whole()
        .is_some_and(|state| !state.resources.is_empty());
    if named && matches!(checkpoint.info, CheckpointFile::Empty) {
        findings.push(Finding::new(
            Code::CheckpointEmpty,
            paths::INFO,
            format!("it has 0 bytes, while {} names resources", paths::STATE),
        ));
    }
    for (name, _, why) in newer.into_iter().chain(older) {
        if let Some(why) = why {
            findings.push(Finding::new(Code::CheckpointDamaged, name, why.to_string()));
        }
    }
    generations(examined, findings);
    stale_target(examined, findings);
}

fn generations(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    // A change in flight is written to both, one after the other.
    if examined.claims.in_flight {
        return;
    }
    let (Some(state), Some(info)) = (
        facts.checkpoint.state.whole(),
        facts.checkpoint.info.whole(),
    ) else {
        return;
    };
    let volumes = |resources: &[Resource]| {
        resources
            .iter()
            .filter_map(|resource| {
                Some((resource.volume_key()?, resource.disk(&facts.agent.work_dir)))
            })
            .collect::<BTreeSet<_>>()
    };
    let (newer, older) = (volumes(&state.resources), volumes(info));
    for (only, name) in [
        (newer.difference(&older), paths::STATE),
        (older.difference(&newer), paths::INFO),
    ] {
        for (key, _) in only {
            findings.push(Finding::new(
                Code::GenerationsDisagree,
                key.to_string(),
                format!("only {name} names it"),
            ));
        }
    }
}

/// Agents carry a change out within seconds.
const IN_FLIGHT: i64 = 60;

fn stale_target(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let left_alone = !matches!(facts.checkpoint.info_target, CheckpointFile::Missing)
        && matches!(facts.checkpoint.state_target, CheckpointFile::Missing)
        && !matches!(facts.checkpoint.state, CheckpointFile::Missing);
    let now = facts.host.now.wall_seconds;
    match &examined.patient.host.info_target_written {
        Known::Known(at) if left_alone => {
            let age = now.saturating_sub(*at);
            if age > IN_FLIGHT {
                findings.push(Finding::new(
                    Code::StaleTarget,
                    paths::INFO_TARGET,
                    format!("it was written {age} s ago, and no change is in flight"),
                ));
            }
        }
        Known::Unknown(why) if left_alone => {
            findings.push(Finding::not_checked("how old resources.target is", why));
        }
        Known::Known(_) | Known::Absent | Known::Unknown(_) => {}
    }
}

fn doubts(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    for doubt in &examined.patient.plan.doubts {
        // Those are findings of their own.
        let is_told = doubt.code == Refusal::AuthorityUnknown
            && (doubt.detail.contains("meta/resources/")
                || facts
                    .agent
                    .processes
                    .why()
                    .is_some_and(|why| why.0 == doubt.detail)
                || facts.memory.why().is_some_and(|why| why.0 == doubt.detail));
        if !is_told {
            findings.push(
                Finding::new(
                    Code::AuthorityDoubtful,
                    doubt.code.code(),
                    doubt.to_string(),
                )
                .remedy(doubt.code.remedy()),
            );
        }
    }
}
