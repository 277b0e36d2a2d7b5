//! The agent's checks from the resources that it offers to its end.

use super::compare::{Line, compare, flag_lines};
use super::disks::{self, Disks};
use super::replay::{self, Believed, Effects, in_recovery, refusal};
use super::{Check, Deletion, Verdict, meta_path, policy};
use crate::decide::facts::{
    AgentFlags, CheckpointFile, Known, LatestAgent, ReconfigurationPolicy, StartFacts,
};
use crate::mesos::agent_info::{AgentInfo, parse_attributes, parse_domain};
use crate::mesos::paths;
use crate::mesos::resources::{Entry, Resources};

/// What a start is judged by, beside the resources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) facts: &'a StartFacts,
    pub(super) flags: &'a AgentFlags,
    pub(super) policy: ReconfigurationPolicy,
    pub(super) rebooted: &'a Known<bool>,
}

/// How a start was judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// The disk that is refused, if one is.
    pub(super) refused_disk: Option<Entry>,
    /// What must fit into the resources.
    pub(super) checkpointed: Resources,
    /// What the agent registered with, where it would recover that id.
    pub(super) earlier: Option<AgentInfo>,
    pub(super) differences: Vec<Line>,
    pub(super) deletes: Vec<Deletion>,
    pub(super) warnings: Vec<String>,
    /// What stands in the way of a pending DESTROY.
    pub(super) obstacles: Vec<String>,
}

/// Judges a start with these resources.
pub(super) fn judge(question: &Question<'_>, resources: &Resources) -> Judged {
    let mut effects = Effects::default();
    let mut judged = Judged {
        verdict: Verdict::Recovers { first_start: false },
        refused_disk: None,
        checkpointed: Resources::default(),
        earlier: earlier(question.facts).cloned(),
        differences: Vec::new(),
        deletes: Vec::new(),
        warnings: Vec::new(),
        obstacles: Vec::new(),
    };
    if let Some(earlier) = &judged.earlier {
        judged.differences = compare(&earlier.resources, resources);
        judged
            .differences
            .extend(flag_lines(question.flags, earlier));
    }
    let verdict = match walk(question, resources, &mut judged, &mut effects) {
        Ok(verdict) | Err(verdict) => verdict,
    };
    judged.verdict = match verdict {
        refuses @ Verdict::Refuses { .. } => refuses,
        other @ (Verdict::Recovers { .. }
        | Verdict::NewAgentId { .. }
        | Verdict::CannotTell { .. }) => {
            if effects.doubts.is_empty() {
                other
            } else {
                Verdict::CannotTell {
                    why: effects.doubts,
                }
            }
        }
    };
    judged.deletes = effects.deletes;
    judged.warnings = effects.warnings;
    judged.obstacles = effects.obstacles;
    judged
}

/// `slave.info` of the id that is recovered.
fn earlier(facts: &StartFacts) -> Option<&AgentInfo> {
    match facts.latest {
        LatestAgent::Id(_) => facts.info.whole(),
        LatestAgent::Missing { .. } | LatestAgent::Dangling | LatestAgent::Unknown(_) => None,
    }
}

fn walk(
    question: &Question<'_>,
    resources: &Resources,
    judged: &mut Judged,
    effects: &mut Effects,
) -> Result<Verdict, Verdict> {
    let facts = question.facts;
    if let Disks::Refused(entry, text) = disks::check(resources, facts, &mut effects.doubts) {
        judged.refused_disk = Some(*entry);
        // What is checkpointed tells whether any text could help.
        if let Ok(believed) = replay::believe(facts, true, &mut Effects::default()) {
            judged.checkpointed = believed.target.unwrap_or(believed.committed);
        }
        return Err(refusal(Check::Disks, text, false));
    }
    flags(question.flags)?;
    match &facts.meta {
        Known::Absent => return Ok(Verdict::Recovers { first_start: true }),
        Known::Known(()) => {}
        Known::Unknown(why) => effects
            .doubts
            .push(format!("what is in {}: {why}", meta_path(facts, "meta"))),
    }
    let strict = question.flags.strict != Known::Known(false);
    let believed = replay::believe(facts, strict, effects)?;
    readable(facts, strict, effects)?;
    let total = recover(question, resources, &believed, judged, effects)?;
    decide(question, resources, &believed, &total, judged, effects)
}

/// `--attributes` and `--domain` are read before anything is recovered.
fn flags(flags: &AgentFlags) -> Result<(), Verdict> {
    let attributes = flags.attributes.known().map(|text| parse_attributes(text));
    let domain = flags.domain.known().map(|text| parse_domain(text));
    let errors = [
        attributes.and_then(Result::err),
        domain.and_then(Result::err),
    ];
    match errors.into_iter().flatten().next() {
        Some(error) => Err(refusal(Check::Flags, error.to_string(), false)),
        None => Ok(()),
    }
}

/// The link to the agent id and its `slave.info`.
fn readable(facts: &StartFacts, strict: bool, effects: &mut Effects) -> Result<(), Verdict> {
    let id = match &facts.latest {
        LatestAgent::Missing { .. } => return Ok(()),
        LatestAgent::Dangling => {
            let words = "Failed to find latest agent: No such file or directory";
            return Err(refusal(Check::Checkpoint, in_recovery(words), false));
        }
        LatestAgent::Unknown(why) => {
            effects
                .doubts
                .push(format!("which agent id is recovered: {why}"));
            return Ok(());
        }
        LatestAgent::Id(id) => id,
    };
    let CheckpointFile::Damaged(why) = &facts.info else {
        return Ok(());
    };
    let path = meta_path(facts, paths::SLAVES).join(id).join("slave.info");
    match facts.unreadable.get("slave.info") {
        Some(words) if strict => {
            let words = format!(
                "Failed to read agent info from '{}': {words}",
                disks::text(&path)
            );
            Err(refusal(Check::Checkpoint, in_recovery(&words), false))
        }
        Some(words) => {
            effects.warnings.push(format!(
                "{path} can't be read ({words}); with --strict=false the agent starts all the same"
            ));
            Ok(())
        }
        None => {
            effects.doubts.push(format!(
                "what the agent makes of {path}, which can't be understood: {why}"
            ));
            Ok(())
        }
    }
}

/// Replays what was not committed and applies what is checkpointed; gives the total.
fn recover(
    question: &Question<'_>,
    resources: &Resources,
    believed: &Believed,
    judged: &mut Judged,
    effects: &mut Effects,
) -> Result<Resources, Verdict> {
    judged.checkpointed = believed.committed.clone();
    if let Some(target) = &believed.target {
        // What will have to fit once the target is committed.
        judged.checkpointed = target.clone();
        let committed = replay::commit(question.facts, &believed.committed, target, effects);
        match committed {
            Ok(now) => judged.checkpointed = now,
            Err(verdict) => {
                if let Verdict::Refuses { once: true, .. } = verdict {
                    warn_of_next(question, resources, effects);
                }
                return Err(verdict);
            }
        }
    }
    replay::fitted(resources, &judged.checkpointed)
}

/// Says so if the start after one that fails once fails too.
fn warn_of_next(question: &Question<'_>, resources: &Resources, effects: &mut Effects) {
    let facts = replay::after_failed_commit(question.facts);
    let next = judge(
        &Question {
            facts: &facts,
            ..*question
        },
        resources,
    );
    match next.verdict {
        Verdict::Recovers { .. } => {}
        Verdict::Refuses { text, .. } => effects.warnings.push(format!(
            "the start after this one is refused too: {}",
            first_line(&text)
        )),
        Verdict::NewAgentId { why } => effects.warnings.push(format!(
            "the start after this one has a new agent id: {}",
            first_line(&why)
        )),
        Verdict::CannotTell { why } => effects.warnings.push(format!(
            "whether the start after this one goes well can't be told: {}",
            why.join("; ")
        )),
    }
}

/// Of an agent's words those that say what is wrong; all that was compared may follow.
fn first_line(words: &str) -> &str {
    words.lines().next().unwrap_or_default().trim_end()
}

/// Which id the agent has, and what it finishes with it.
fn decide(
    question: &Question<'_>,
    resources: &Resources,
    believed: &Believed,
    total: &Resources,
    judged: &mut Judged,
    effects: &mut Effects,
) -> Result<Verdict, Verdict> {
    let facts = question.facts;
    let new_id = |why: &str| Verdict::NewAgentId {
        why: why.to_owned(),
    };
    let nothing_held = judged.checkpointed.is_empty();
    match &facts.latest {
        LatestAgent::Missing { earlier: false } if nothing_held => {
            return Ok(Verdict::Recovers { first_start: true });
        }
        LatestAgent::Missing { .. } => {
            return Ok(new_id("there is no meta/slaves/latest"));
        }
        // Told above.
        LatestAgent::Dangling | LatestAgent::Unknown(_) => return Ok(new_id("")),
        LatestAgent::Id(_) => {}
    }
    let verdict = match (&facts.info, &judged.earlier) {
        (CheckpointFile::Whole(_), Some(earlier)) => {
            let now = policy::offered(question.flags, resources, earlier)
                .map_err(|error| refusal(Check::Flags, error.to_string(), false))?;
            match policy::compatible(question.policy, earlier, &now) {
                Ok(()) => Verdict::Recovers { first_start: false },
                Err(words) => match question.rebooted {
                    Known::Known(true) => return Ok(new_id(&words)),
                    Known::Known(false) | Known::Absent => {
                        return Err(refusal(Check::Policy, in_recovery(&words), false));
                    }
                    Known::Unknown(why) => {
                        effects.doubts.push(format!(
                            "whether the host has rebooted ({why}): if not, the agent is refused \
                             ({}), otherwise it gets a new id",
                            first_line(&words)
                        ));
                        return Ok(new_id(&words));
                    }
                },
            }
        }
        (CheckpointFile::Missing, _) if nothing_held => Verdict::Recovers { first_start: true },
        (CheckpointFile::Missing, _) => new_id("the agent has no slave.info: it never registered"),
        (CheckpointFile::Empty, _) => new_id("slave.info has 0 bytes"),
        (CheckpointFile::Whole(_) | CheckpointFile::Damaged(_), _) => {
            new_id("slave.info can't be read")
        }
    };
    replay::finish(
        facts,
        total,
        &judged.checkpointed,
        &believed.operations,
        effects,
    )?;
    Ok(verdict)
}
