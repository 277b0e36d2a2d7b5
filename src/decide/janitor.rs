//! What a framework that is gone for good left on agents: which reservations and volumes are its, and
//! whether they may go.
//!
//! A framework is gone when the leading master lists it as completed, or when the operator types its
//! id. That a role or a principal has no framework any more is told by the absence of a framework from
//! the master's list, and after a failover a living one is absent for a while (F§11): so a leader that
//! was elected lately is not believed.

use std::collections::BTreeSet;
use std::fmt;

use globset::GlobBuilder;
use serde::Serialize;

use super::bar;
use crate::mesos::ids::{Role, VolumeKey};
use crate::mesos::operator::{FrameworkEntry, Frameworks, stripped_volume, unreserved};
use crate::mesos::resource::{Reservation, Resource};
use crate::units::{Raw, Span};

/// The label by which Marathon tells whose a reservation is.
const FRAMEWORK_LABEL: &[u8] = b"marathon_framework_id";

/// Whose things are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everything that is reserved for this role.
    Role(Role),
    /// Everything that this principal reserved.
    Principal(Raw),
    /// Everything of the framework with this id.
    Framework(Raw),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role `{role}`"),
            Self::Principal(principal) => write!(f, "principal `{principal}`"),
            Self::Framework(id) => write!(f, "framework {id}"),
        }
    }
}

/// Why something stays, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stay {
    /// The master lists the framework, connected or not.
    FrameworkPresent,
    /// The master lists it neither as present nor as completed, and nobody typed its id.
    FrameworkUnknown,
    /// A framework of this role or principal is there.
    OwnerPresent,
    /// The leader was elected too lately to know every framework.
    ElectedRecently,
    /// A task uses the volume.
    InUseTask,
    /// An operation on the volume is pending.
    PendingOperation,
    /// `sweep.protect` names it.
    Protected,
    /// Another framework, which may live, shares role and principal.
    RoleShared,
    /// It is the barrier of a disk that is being wiped.
    Barrier,
    /// The agent is not connected: a call would be lost.
    AgentAway,
    /// The master hides resources of the agent from our principal.
    RoleHidden,
}

impl Stay {
    /// The code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FrameworkPresent => "framework_present",
            Self::FrameworkUnknown => "framework_unknown",
            Self::OwnerPresent => "owner_present",
            Self::ElectedRecently => "elected_recently",
            Self::InUseTask => "in_use_task",
            Self::PendingOperation => "pending_operation",
            Self::Protected => "protected",
            Self::RoleShared => "role_shared",
            Self::Barrier => "barrier",
            Self::AgentAway => "agent_away",
            Self::RoleHidden => "role_hidden",
        }
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// What the leading master knows.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Its frameworks.
    pub frameworks: &'a Frameworks,
    /// How long it leads; none where it does not tell.
    pub elected_for: Option<Span>,
    /// `master.longest_failover`.
    pub longest_failover: Span,
}

/// What is known to be left behind.
#[derive(Clone, Debug)]
pub struct Left {
    whose: Whose,
    /// The completed framework, as the master tells of it.
    entry: Option<FrameworkEntry>,
    /// Frameworks that are there.
    present: Vec<FrameworkEntry>,
}

/// Whether these things were left behind; why they may be somebody's otherwise. `typed`: what the
/// operator typed after `--confirm`.
pub fn left(
    whose: &Whose,
    cluster: Cluster<'_>,
    typed: Option<&str>,
) -> Result<Left, (Stay, String)> {
    let Frameworks { present, completed } = cluster.frameworks;
    let left = |entry: Option<FrameworkEntry>| Left {
        whose: whose.clone(),
        entry,
        present: present.clone(),
    };
    let belongs: Box<dyn Fn(&FrameworkEntry) -> bool> = match whose {
        Whose::Framework(id) => {
            if let Some(there) = present.iter().find(|one| one.id == *id) {
                return Err((
                    Stay::FrameworkPresent,
                    format!(
                        "the master lists {whose} ({}) as {}; tear it down first",
                        there.name,
                        if there.connected {
                            "connected"
                        } else {
                            "disconnected"
                        }
                    ),
                ));
            }
            let entry = completed.iter().find(|one| one.id == *id);
            let confirmed = typed.is_some_and(|typed| typed.as_bytes() == id.as_bytes());
            if entry.is_none() && !confirmed {
                return Err((
                    Stay::FrameworkUnknown,
                    format!(
                        "the master lists {whose} neither as present nor as completed; after a \
                         failover it forgets those that live, too. Where you know that it is gone, \
                         add --confirm with its id"
                    ),
                ));
            }
            return Ok(left(entry.cloned()));
        }
        Whose::Role(role) => {
            let role = role.clone();
            Box::new(move |one| one.roles.contains(&role))
        }
        Whose::Principal(principal) => {
            let principal = principal.clone();
            Box::new(move |one| one.principal.as_ref() == Some(&principal))
        }
    };
    if let Some(there) = present.iter().find(|one| belongs(one)) {
        return Err((
            Stay::OwnerPresent,
            format!(
                "framework {} ({}) has {whose}; tear it down first",
                there.id, there.name
            ),
        ));
    }
    let longest = present
        .iter()
        .chain(completed)
        .map(|one| seconds(one.failover_timeout))
        .fold(cluster.longest_failover, Span::max);
    match cluster.elected_for {
        Some(elected) if elected > longest => Ok(left(None)),
        Some(elected) => Err((
            Stay::ElectedRecently,
            format!(
                "the master leads for {elected}, and a framework that it does not know yet may come \
                 back for {longest} (the longest failover_timeout, master.longest_failover)"
            ),
        )),
        None => Err((
            Stay::ElectedRecently,
            "the master does not tell since when it leads".to_owned(),
        )),
    }
}

/// Seconds that a framework named; what is no time is the longest.
fn seconds(text: f64) -> Span {
    std::time::Duration::try_from_secs_f64(text.max(0.0))
        .map_or(Span(std::time::Duration::MAX), Span)
}

/// An agent as the master lists it.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    /// Whether it is connected.
    pub active: bool,
    /// Everything that it has.
    pub resources: &'a [Resource],
    /// Volumes that tasks use.
    pub used: &'a BTreeSet<VolumeKey>,
    /// Why the entry does not show everything.
    pub hides: Option<&'a str>,
}

/// What may not go although somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stays {
    /// What.
    pub resource: Option<Resource>,
    /// Why.
    pub code: Stay,
    /// What was seen.
    pub detail: String,
}

/// What is to be done on one agent, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Volumes to be destroyed.
    pub destroy: Vec<Resource>,
    /// What is to be unreserved once they are; disk of a volume as it is then.
    pub unreserve: Vec<Resource>,
    /// What stays.
    pub stays: Vec<Stays>,
}

impl Share {
    /// Whether the agent has nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.destroy.is_empty() && self.unreserve.is_empty() && self.stays.is_empty()
    }
}

impl Left {
    /// What of this agent's is to go, and what stays. `pending`: volumes on which an operation is
    /// pending, as the master knows; `protect`: `sweep.protect`.
    #[must_use]
    pub fn on(&self, agent: Agent<'_>, pending: &BTreeSet<VolumeKey>, protect: &[String]) -> Share {
        let mut share = Share::default();
        if let Some(why) = agent.hides {
            share.stays.push(Stays {
                resource: None,
                code: Stay::RoleHidden,
                detail: why.to_owned(),
            });
            return share;
        }
        for one in agent.resources {
            let Some(last) = one.reservations.last() else {
                continue;
            };
            let stay = match self.is_whose(last) {
                None => continue,
                Some(Err(stay)) => Some(stay),
                Some(Ok(())) if bar::is_ours(one) => {
                    Some((Stay::Barrier, "its disk is being wiped".to_owned()))
                }
                Some(Ok(())) => Self::kept(one, &agent, pending, protect),
            };
            if let Some((code, detail)) = stay {
                share.stays.push(Stays {
                    resource: Some(one.clone()),
                    code,
                    detail,
                });
                continue;
            }
            if one.volume_key().is_some() {
                share.destroy.push(one.clone());
            }
            let rest = stripped_volume(one);
            // What --resources reserves stays reserved.
            if unreserved(&rest).is_ok() {
                share.unreserve.push(rest);
            }
        }
        share
    }

    /// Whether a reservation is one of those that were left; or why nobody can tell.
    fn is_whose(&self, last: &Reservation) -> Option<Result<(), (Stay, String)>> {
        let label = last.labels.iter().find_map(|(key, value)| {
            (key.as_bytes() == FRAMEWORK_LABEL)
                .then_some(value.as_ref())
                .flatten()
        });
        let there = label.and_then(|id| self.present.iter().find(|one| one.id == *id));
        let matches = match (&self.whose, label) {
            (Whose::Role(role), _) => last.role == *role,
            (Whose::Principal(principal), _) => last.principal.as_ref() == Some(principal),
            (Whose::Framework(id), Some(label)) => label == id,
            (Whose::Framework(_), None) => self.entry.as_ref().is_some_and(|entry| {
                entry.roles.contains(&last.role) && entry.principal == last.principal
            }),
        };
        if !matches {
            return None;
        }
        if let Some(there) = there {
            return Some(Err((
                Stay::FrameworkPresent,
                format!(
                    "its label names framework {} ({}), which is there",
                    there.id, there.name
                ),
            )));
        }
        if matches!(self.whose, Whose::Framework(_)) && label.is_none() {
            let other = self
                .present
                .iter()
                .find(|one| one.roles.contains(&last.role));
            if let Some(other) = other {
                return Some(Err((
                    Stay::RoleShared,
                    format!(
                        "framework {} ({}) has role `{}` too",
                        other.id, other.name, last.role
                    ),
                )));
            }
        }
        Some(Ok(()))
    }

    fn kept(
        one: &Resource,
        agent: &Agent<'_>,
        pending: &BTreeSet<VolumeKey>,
        protect: &[String],
    ) -> Option<(Stay, String)> {
        if let Some(key) = one.volume_key() {
            if agent.used.contains(&key) {
                return Some((Stay::InUseTask, "a task uses it".to_owned()));
            }
            if pending.contains(&key) {
                return Some((
                    Stay::PendingOperation,
                    "an operation on it is pending".to_owned(),
                ));
            }
            if let Some(glob) = protect.iter().find(|glob| protects(glob, &key)) {
                return Some((Stay::Protected, format!("sweep.protect has `{glob}`")));
            }
        }
        (!agent.active).then(|| (Stay::AgentAway, "the master has lost the agent".to_owned()))
    }
}

/// Whether a glob names the volume; one that is none protects everything.
fn protects(glob: &str, key: &VolumeKey) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let name = key.role.as_raw().join(key.id.as_raw());
    GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map_or(true, |glob| {
            glob.compile_matcher()
                .is_match(std::ffi::OsStr::from_bytes(name.as_bytes()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::ids::PersistenceId;
    use crate::mesos::resource::{Persistence, ReservationType, Value};
    use crate::units::Megabytes;

    fn framework(id: &str, role: &str) -> FrameworkEntry {
        FrameworkEntry {
            id: id.into(),
            name: format!("name of {id}"),
            principal: Some("p".into()),
            roles: [Role::new(role)].into(),
            failover_timeout: 60.0,
            active: true,
            connected: true,
            recovered: false,
        }
    }

    fn volume(role: &str, id: &str, label: Option<&str>) -> Resource {
        Resource {
            name: "disk".into(),
            value: Value::Scalar(Megabytes::whole(5)),
            reservations: vec![Reservation {
                kind: ReservationType::Dynamic,
                role: Role::new(role),
                principal: Some("p".into()),
                labels: label
                    .map(|id| ("marathon_framework_id".into(), Some(Raw::from(id))))
                    .into_iter()
                    .collect(),
            }],
            source: None,
            persistence: Some(Persistence {
                id: PersistenceId::new(id),
                principal: None,
                container_path: None,
            }),
            shared: false,
            provider_id: None,
        }
    }

    fn days(days: u64) -> Span {
        Span::seconds(days.saturating_mul(86_400))
    }

    fn judge(
        whose: &Whose,
        frameworks: &Frameworks,
        elected_for: Option<Span>,
        typed: Option<&str>,
    ) -> Result<Left, Stay> {
        let cluster = Cluster {
            frameworks,
            elected_for,
            longest_failover: Span::seconds(7 * 86_400),
        };
        left(whose, cluster, typed).map_err(|(stay, _)| stay)
    }

    fn share(left: &Left, resources: &[Resource], used: &[&str]) -> Share {
        let key = |id: &&str| VolumeKey::new(Role::new("r"), PersistenceId::new(*id));
        let used = used.iter().map(key).collect();
        let agent = Agent {
            active: true,
            resources,
            used: &used,
            hides: None,
        };
        left.on(agent, &[key(&"pending")].into(), &["r/keep*".to_owned()])
    }

    #[test]
    fn a_framework_is_gone_where_the_master_says_so_or_the_operator_types_its_id() {
        let whose = Whose::Framework("f-1".into());
        let mut known = Frameworks::default();
        let now = Some(days(0));
        assert_eq!(
            judge(&whose, &known, now, None).unwrap_err(),
            Stay::FrameworkUnknown
        );
        assert_eq!(
            judge(&whose, &known, now, Some("f-2")).unwrap_err(),
            Stay::FrameworkUnknown
        );
        assert!(judge(&whose, &known, now, Some("f-1")).is_ok());
        known.completed.push(framework("f-1", "r"));
        assert!(judge(&whose, &known, now, None).is_ok());
        // One that is there, connected or not, is not gone whatever anybody types.
        known.present.push(FrameworkEntry {
            connected: false,
            ..framework("f-1", "r")
        });
        assert_eq!(
            judge(&whose, &known, now, Some("f-1")).unwrap_err(),
            Stay::FrameworkPresent
        );
    }

    #[test]
    fn a_leader_that_was_elected_lately_may_have_forgotten_whose_a_role_is() {
        for whose in [Whose::Role(Role::new("r")), Whose::Principal("p".into())] {
            let mut known = Frameworks::default();
            for (elected, goes) in [(None, false), (Some(days(7)), false), (Some(days(8)), true)] {
                assert_eq!(
                    judge(&whose, &known, elected, None).is_ok(),
                    goes,
                    "{elected:?}"
                );
            }
            // One that stays away for longer is waited for as long.
            known.completed.push(FrameworkEntry {
                failover_timeout: 30.0 * 86_400.0,
                ..framework("f-9", "other")
            });
            assert_eq!(
                judge(&whose, &known, Some(days(8)), None).unwrap_err(),
                Stay::ElectedRecently
            );
            assert!(judge(&whose, &known, Some(days(31)), None).is_ok());
            known.present.push(framework("f-1", "r"));
            assert_eq!(
                judge(&whose, &known, Some(days(31)), None).unwrap_err(),
                Stay::OwnerPresent
            );
        }
    }

    #[test]
    fn what_is_used_pending_protected_or_anothers_stays() {
        let known = Frameworks {
            present: vec![framework("f-2", "other")],
            completed: vec![framework("f-1", "r")],
        };
        let left = judge(&Whose::Framework("f-1".into()), &known, Some(days(0)), None).unwrap();
        let all = [
            volume("r", "goes", None),
            volume("r", "labelled", Some("f-1")),
            volume("r", "used", None),
            volume("r", "pending", None),
            volume("r", "keep-1", None),
            volume("r", "anothers", Some("f-3")),
            volume("other", "no", None),
            stripped_volume(&volume("r", "x", None)),
        ];
        let share = share(&left, &all, &["used"]);
        let ids = |all: &[Resource]| -> Vec<String> {
            all.iter()
                .map(|one| {
                    one.volume_key()
                        .map_or("-".to_owned(), |key| key.id.to_string())
                })
                .collect()
        };
        assert_eq!(ids(&share.destroy), ["goes", "labelled"]);
        assert_eq!(share.unreserve.len(), 3);
        let stays: Vec<Stay> = share.stays.iter().map(|one| one.code).collect();
        assert_eq!(
            stays,
            [Stay::InUseTask, Stay::PendingOperation, Stay::Protected]
        );
    }

    #[test]
    fn a_role_that_another_framework_has_is_not_told_by_the_role() {
        let known = Frameworks {
            present: vec![framework("f-2", "r")],
            completed: vec![framework("f-1", "r")],
        };
        let left = judge(&Whose::Framework("f-1".into()), &known, Some(days(0)), None).unwrap();
        let all = [
            volume("r", "whose", None),
            volume("r", "ours", Some("f-1")),
            volume("r", "theirs", Some("f-2")),
        ];
        let share = share(&left, &all, &[]);
        assert_eq!(share.destroy, all[1..2]);
        assert_eq!(share.stays.len(), 1);
        assert_eq!(share.stays[0].code, Stay::RoleShared);
    }

    #[test]
    fn an_agent_that_hides_something_or_is_away_is_left_alone() {
        let known = Frameworks::default();
        let left = judge(&Whose::Role(Role::new("r")), &known, Some(days(9)), None).unwrap();
        let all = [volume("r", "a", None)];
        let used = BTreeSet::new();
        let agent = Agent {
            active: true,
            resources: &all,
            used: &used,
            hides: Some("5 MB are hidden"),
        };
        let codes = |agent| -> Vec<Stay> {
            let share = left.on(agent, &used, &[]);
            assert!(share.destroy.is_empty() && share.unreserve.is_empty());
            share.stays.iter().map(|one| one.code).collect()
        };
        assert_eq!(codes(agent), [Stay::RoleHidden]);
        let away = Agent {
            active: false,
            hides: None,
            ..agent
        };
        assert_eq!(codes(away), [Stay::AgentAway]);
    }

    #[test]
    fn a_code_is_the_word_that_json_has() {
        let all = [
            Stay::FrameworkPresent,
            Stay::FrameworkUnknown,
            Stay::OwnerPresent,
            Stay::ElectedRecently,
            Stay::InUseTask,
            Stay::PendingOperation,
            Stay::Protected,
            Stay::RoleShared,
            Stay::Barrier,
            Stay::AgentAway,
            Stay::RoleHidden,
        ];
        for stay in all {
            assert_eq!(serde_json::to_value(stay).unwrap(), stay.code());
        }
    }

    #[test]
    fn an_agent_has_nothing_of_it_where_nothing_goes_and_nothing_stays() {
        let one = || vec![volume("r", "a", None)];
        let none = Share::default();
        assert!(none.is_empty());
        let destroys = Share {
            destroy: one(),
            ..none.clone()
        };
        let unreserves = Share {
            unreserve: one(),
            ..none.clone()
        };
        let keeps = Share {
            stays: vec![Stays {
                resource: None,
                code: Stay::RoleHidden,
                detail: String::new(),
            }],
            ..none
        };
        for share in [destroys, unreserves, keeps] {
            assert!(!share.is_empty());
        }
    }

    #[test]
    fn a_principals_things_go_and_a_disk_that_is_being_wiped_stays_reserved() {
        let known = Frameworks::default();
        let principal = Whose::Principal("p".into());
        let left = judge(&principal, &known, Some(days(9)), None).unwrap();
        let mut of_another = volume("r", "no", None);
        of_another.reservations[0].principal = Some("q".into());
        let mut barrier = stripped_volume(&volume(bar::ROLE, "x", None));
        barrier.reservations[0].labels = bar::labels();
        let all = [volume("r", "goes", None), of_another, barrier];
        let share = share(&left, &all, &[]);
        assert_eq!(share.destroy, all[..1]);
        assert_eq!(share.unreserve.len(), 1);
        let stays: Vec<Stay> = share.stays.iter().map(|one| one.code).collect();
        assert_eq!(stays, [Stay::Barrier]);
    }
}
