//! What keeps the agent: the smallest edit of its resources and flags, tried with the same judge, or
//! the ways out where no edit helps.

use std::fmt;

use super::compare::{Change, Line, compare, flag_lines};
use super::judge::{Judged, Question, judge};
use super::replay::{self, Effects};
use super::{Check, Verdict, disks, fit, meta_path, root_of};
use crate::decide::facts::{AgentFlags, Known, LatestAgent, ReconfigurationPolicy};
use crate::mesos::resources::{Entry, Place, Resources};
use crate::units::Raw;

/// One change of what the agent is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// An entry gets another value.
    Set {
        /// The entry.
        what: String,
        /// Its value in the text.
        from: String,
        /// The value that it needs.
        to: String,
        /// Whether the agent registered with it.
        back: bool,
    },
    /// An entry is put in.
    PutIn {
        /// The entry.
        what: String,
        /// Its value.
        value: String,
        /// Whether the agent registered with it.
        back: bool,
    },
    /// An entry is taken out.
    TakeOut {
        /// The entry.
        what: String,
        /// Its value in the text.
        value: String,
    },
    /// A flag is given as it was.
    Flag {
        /// The flag.
        flag: String,
        /// How it is; `None`: not given.
        from: Option<String>,
        /// How it was; `None`: not given.
        to: Option<String>,
    },
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = |back: &bool| if *back { " back" } else { "" };
        match self {
            Self::Set {
                what,
                from,
                to,
                back,
            } => write!(f, "set {what}{} to {to} (now {from})", again(back)),
            Self::PutIn { what, value, back } => {
                write!(f, "put {what}{} in with {value}", again(back))
            }
            Self::TakeOut { what, value } => write!(f, "take {what} out (now {value})"),
            Self::Flag {
                flag,
                from: _,
                to: None,
            } => write!(f, "start the agent without {flag}"),
            Self::Flag {
                flag,
                from,
                to: Some(to),
            } => write!(
                f,
                "start the agent with {flag}={to} ({})",
                from.as_ref()
                    .map_or("now without".to_owned(), |from| format!("now {from}"))
            ),
        }
    }
}

/// What keeps the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    /// The smallest edit; the agent recovers with all of these. Empty: nothing is to be done, or
    /// no edit helps.
    pub edits: Vec<Edit>,
    /// A policy with which the agent recovers as it is.
    pub policy: Option<ReconfigurationPolicy>,
    /// Why no edit of `--resources` helps.
    pub no_edit: Option<String>,
    /// What else gets the agent up, in order of harm.
    pub ways: Vec<String>,
}

/// Finds out what keeps this agent.
pub(super) fn remedy(question: &Question<'_>, resources: &Resources, judged: &Judged) -> Remedy {
    let (check, once) = match &judged.verdict {
        Verdict::Recovers { .. } | Verdict::CannotTell { .. } => return Remedy::default(),
        // Nothing of the agent can be kept where its id is not there to be found.
        Verdict::NewAgentId { .. } if judged.earlier.is_none() => return Remedy::default(),
        Verdict::NewAgentId { .. } => (Check::Policy, false),
        Verdict::Refuses { check, once, .. } => (*check, *once),
    };
    if once {
        return Remedy {
            ways: vec!["start the agent again: this fails only once".to_owned()],
            ..Remedy::default()
        };
    }
    match check {
        Check::Disks | Check::Fit | Check::Policy => {}
        Check::Replay | Check::Operations => {
            return Remedy {
                no_edit: Some("resources have nothing to do with it".to_owned()),
                ways: judged.obstacles.clone(),
                ..Remedy::default()
            };
        }
        Check::Checkpoint => return of_files(question),
        Check::Resources | Check::Flags => return Remedy::default(),
    }
    let candidate = candidate(question, resources, judged);
    let trial = judge(question, &candidate);
    if recovers(&trial) {
        return Remedy {
            edits: edits(resources, &candidate, judged),
            policy: other_policy(question, resources),
            ..Remedy::default()
        };
    }
    // The flags may differ too.
    if let Some(earlier) = &judged.earlier {
        let unchanged = AgentFlags {
            strict: question.flags.strict.clone(),
            ..AgentFlags::unknown("as it was")
        };
        let lines = flag_lines(question.flags, earlier);
        let trial = judge(
            &Question {
                flags: &unchanged,
                ..*question
            },
            &candidate,
        );
        if !lines.is_empty() && recovers(&trial) {
            let mut all = edits(resources, &candidate, judged);
            all.extend(lines.into_iter().map(|line| Edit::Flag {
                flag: line.what,
                from: line.after,
                to: line.before,
            }));
            return Remedy {
                edits: all,
                policy: other_policy(question, resources),
                ..Remedy::default()
            };
        }
    }
    ways_out(question, &candidate, &trial)
}

fn recovers(judged: &Judged) -> bool {
    matches!(judged.verdict, Verdict::Recovers { .. })
}

/// The resources that are nearest to these and that the policy and the checkpoint allow.
fn candidate(question: &Question<'_>, resources: &Resources, judged: &Judged) -> Resources {
    let wanted = match (&judged.earlier, question.policy) {
        (None, _) => resources.clone(),
        (Some(earlier), ReconfigurationPolicy::Equal) => earlier.resources.clone(),
        (Some(earlier), ReconfigurationPolicy::Additive) => {
            let mut wanted: Vec<Entry> = resources.entries().to_vec();
            for before in earlier.resources.entries() {
                let now = wanted.iter_mut().find(|entry| entry.same_metadata(before));
                match now {
                    Some(now) if before.at_most(now) => {}
                    Some(now) => *now = before.clone(),
                    None => wanted.push(before.clone()),
                }
            }
            wanted.into_iter().collect()
        }
    };
    let wide = fit::widened(&wanted, &judged.checkpointed);
    // A disk that the agent refuses, and that nothing obliges it to have.
    let earlier = judged.earlier.as_ref().map(|info| &info.resources);
    let held = judged.checkpointed.entries().iter();
    let held: Resources = held.map(Entry::stripped).collect();
    let needed = |entry: &Entry| {
        earlier.is_some_and(|before| before.matching(entry).is_some())
            || held.matching(entry).is_some()
    };
    wide.entries()
        .iter()
        .filter(|entry| {
            let alone: Resources = [(*entry).clone()].into_iter().collect();
            let fine = disks::check(&alone, question.facts, &mut Vec::new());
            fine == disks::Disks::Fine || needed(entry)
        })
        .cloned()
        .collect()
}

fn edits(from: &Resources, to: &Resources, judged: &Judged) -> Vec<Edit> {
    let registered = judged.earlier.as_ref().map(|info| &info.resources);
    let back = |line: &Line, value: &str| {
        registered.is_some_and(|before| {
            before
                .entries()
                .iter()
                .any(|entry| entry.label() == line.what && entry.value_text() == value)
        })
    };
    compare(from, to)
        .into_iter()
        .filter_map(|line| {
            Some(match (line.change(), &line.before, &line.after) {
                (Change::Changed, Some(from), Some(to)) => Edit::Set {
                    back: back(&line, to),
                    from: from.clone(),
                    to: to.clone(),
                    what: line.what,
                },
                (Change::Added, _, Some(value)) => Edit::PutIn {
                    back: back(&line, value),
                    value: value.clone(),
                    what: line.what,
                },
                (Change::Removed, Some(value), _) => Edit::TakeOut {
                    value: value.clone(),
                    what: line.what,
                },
                (Change::Same | Change::Changed | Change::Added | Change::Removed, _, _) => {
                    return None;
                }
            })
        })
        .collect()
}

fn other_policy(question: &Question<'_>, resources: &Resources) -> Option<ReconfigurationPolicy> {
    let additive = Question {
        policy: ReconfigurationPolicy::Additive,
        ..*question
    };
    (question.policy == ReconfigurationPolicy::Equal && recovers(&judge(&additive, resources)))
        .then_some(ReconfigurationPolicy::Additive)
}

/// Where the checkpoint itself can't be read.
fn of_files(question: &Question<'_>) -> Remedy {
    let facts = question.facts;
    let strict = question.flags.strict != Known::Known(false);
    let back = "put the file back from a backup".to_owned();
    let ways = if replay::believe(facts, strict, &mut Effects::default()).is_err() {
        vec![back, forget(question)]
    } else {
        // It is the link, or `slave.info` behind it: nothing has to be forgotten.
        let unlink = format!(
            "remove the link {}: the agent starts with a new id, volumes and reservations stay",
            meta_path(facts, crate::mesos::paths::LATEST)
        );
        if facts.latest == LatestAgent::Dangling {
            vec![unlink]
        } else {
            vec![back, unlink]
        }
    };
    Remedy {
        no_edit: Some("resources have nothing to do with it".to_owned()),
        ways,
        ..Remedy::default()
    }
}

fn forget(question: &Question<'_>) -> String {
    format!(
        "with the agent stopped, move {} away: it forgets every reservation and every volume of \
         this host, their directories stay behind as orphans, and frameworks lose their volumes",
        meta_path(question.facts, "meta/resources")
    )
}

/// Where no text helps: a disk must be there and is not, or the policy and the checkpoint want
/// different things.
fn ways_out(question: &Question<'_>, candidate: &Resources, trial: &Judged) -> Remedy {
    if let Some(disk) = &trial.refused_disk {
        return without_disk(question, candidate, trial, disk);
    }
    let mut ways = Vec::new();
    if let Some(way) = with_new_id(question, candidate) {
        ways.push(way);
    }
    Remedy {
        no_edit: Some(match &trial.verdict {
            Verdict::Refuses { check, .. } => {
                format!("even the resources of its first registration are refused ({check})")
            }
            Verdict::Recovers { .. } | Verdict::NewAgentId { .. } | Verdict::CannotTell { .. } => {
                "whether other resources would help can't be told".to_owned()
            }
        }),
        ways,
        ..Remedy::default()
    }
}

fn without_disk(
    question: &Question<'_>,
    candidate: &Resources,
    trial: &Judged,
    disk: &Entry,
) -> Remedy {
    let label = disk.label();
    let held: Vec<&Entry> = trial
        .checkpointed
        .entries()
        .iter()
        .filter(|entry| entry.stripped().same_metadata(disk))
        .collect();
    let root = root_of(disk).unwrap_or_default();
    let is_mount = matches!(disk.place(), Place::Mount(_));
    let mut ways = vec![if is_mount {
        format!("mount the disk of {root} again; nothing is lost then")
    } else {
        format!("mend what keeps {root} from being made")
    }];
    if held.is_empty() {
        let rest: Resources = candidate
            .entries()
            .iter()
            .filter(|entry| *entry != disk)
            .cloned()
            .collect();
        ways.extend(with_new_id(question, &rest));
        return Remedy {
            no_edit: Some(format!(
                "with {label} the agent does not find the disk, without it the policy refuses"
            )),
            ways,
            ..Remedy::default()
        };
    }
    if is_mount {
        ways.push(placeholder(disk, &root, &held));
    }
    ways.push(forget(question));
    Remedy {
        no_edit: Some(format!(
            "no --resources gets this agent up: with {label} it does not find the disk, without it \
             what is held there does not fit"
        )),
        ways,
        ..Remedy::default()
    }
}

fn placeholder(disk: &Entry, root: &Raw, held: &[&Entry]) -> String {
    let volumes: Vec<String> = held
        .iter()
        .filter_map(|entry| entry.volume_key())
        .map(|key| key.to_string())
        .collect();
    let then = if volumes.is_empty() {
        "UNRESERVE it".to_owned()
    } else {
        format!("DESTROY {}, then UNRESERVE", volumes.join(", "))
    };
    format!(
        "mount an empty file system of any size at {root} and keep the number {}: the agent starts \
         and takes it for the disk; {then}. The data on the missing disk stays as it is, and no \
         longer belongs to a volume",
        disk.value_text()
    )
}

/// A new id, where that is all that is needed.
fn with_new_id(question: &Question<'_>, resources: &Resources) -> Option<String> {
    let mut facts = question.facts.clone();
    facts.latest = LatestAgent::Missing { earlier: true };
    let trial = judge(
        &Question {
            facts: &facts,
            ..*question
        },
        resources,
    );
    let entries: Vec<String> = resources
        .entries()
        .iter()
        .filter(|entry| entry.place() != Place::NoDisk)
        .map(|entry| format!("{} {}", entry.label(), entry.value_text()))
        .collect();
    matches!(trial.verdict, Verdict::NewAgentId { .. }).then(|| {
        format!(
            "offer only {} and remove {}: the agent starts with a new id, and tasks that still run \
             are killed; volumes and reservations stay",
            entries.join(", "),
            meta_path(question.facts, crate::mesos::paths::LATEST)
        )
    })
}
