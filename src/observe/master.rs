//! What the leading master says. It is asked where to send calls and how a volume is written in
//! them, and what the cluster holds; that something is gone from an agent only the agent's own
//! checkpoint tells (F§5.5).

use std::time::{Duration, SystemTime};

use crate::mesos::agent_state::StateError;
use crate::mesos::operator::{
    self, AgentEntry, AgentsSeen, Frameworks, MasterInfo, OperationEntry, Question, StreamError,
};
use crate::mesos::state::AgentVersion;
use crate::sys::http::{Failure, Limits, Request, Site, SiteError, Told, path_of};
use crate::units::{Raw, Span};

/// Why the master tells nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It gives no answer.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Its answer does not end.
    #[error("{by}: the answer to {what} {failure}")]
    Cut {
        /// Who answered.
        by: String,
        /// The question.
        what: &'static str,
        /// What happened.
        failure: Failure,
    },
    /// Its answer can't be understood.
    #[error("{by}: the answer to {what} can't be used")]
    Answer {
        /// Who answered.
        by: String,
        /// The question.
        what: &'static str,
        /// Why.
        #[source]
        source: StateError,
    },
    /// Its list of agents can't be understood, or is cut.
    #[error("{by}: the list of agents can't be used")]
    Agents {
        /// Who answered.
        by: String,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// It has a version that can't be read.
    #[error("{by} does not tell a version that can be read")]
    Version {
        /// Who answered.
        by: String,
    },
    /// It hides something from our principal.
    #[error("{by}: the entry of agent {agent} {why}")]
    Hidden {
        /// Who answered.
        by: String,
        /// The agent.
        agent: Raw,
        /// What it hides.
        why: String,
    },
}

fn whole<T>(
    told: Told,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, StateError>,
) -> Result<T, MasterError> {
    let by = told.by;
    match told.answer.whole() {
        Err(failure) => Err(MasterError::Cut { by, what, failure }),
        Ok(body) => parse(&body).map_err(|source| MasterError::Answer { by, what, source }),
    }
}

fn question<T>(
    site: &Site,
    question: Question,
    parse: impl FnOnce(&[u8]) -> Result<T, StateError>,
) -> Result<T, MasterError> {
    let told = site.ask(&Request::post("/api/v1", &question.body()))?;
    whole(told, question.name(), parse)
}

/// Every agent that is registered, one at a time, as the answer comes: a large cluster's is not
/// held in memory. An error may come after some of them.
pub fn agents(site: &Site, each: &mut dyn FnMut(AgentEntry)) -> Result<AgentsSeen, MasterError> {
    let site = site.with_limits(Limits::CLUSTER)?;
    let told = site.ask(&Request::post("/api/v1", &Question::GetAgents.body()))?;
    let by = told.by;
    operator::read_agents(told.answer.reader(), each)
        .map_err(|source| MasterError::Agents { by, source })
}

/// The same from `/slaves`, which also tells what tasks use, and how much disk there is: an entry that
/// leaves something out says so ([`AgentEntry::hides`]).
pub fn slaves(site: &Site, each: &mut dyn FnMut(AgentEntry)) -> Result<AgentsSeen, MasterError> {
    let site = site.with_limits(Limits::CLUSTER)?;
    let told = site.ask(&Request::get("/slaves"))?;
    let by = told.by;
    operator::read_slaves(told.answer.reader(), each)
        .map_err(|source| MasterError::Agents { by, source })
}

/// The agent with this id; `None` where the leader does not have it registered. An entry that is
/// known to leave something out is an error.
pub fn agent(site: &Site, id: &Raw) -> Result<Option<AgentEntry>, MasterError> {
    // A master that does not know the parameter names every agent.
    let site = site.with_limits(Limits::CLUSTER)?;
    let text = id.to_string();
    let told = site.ask(&Request::get(path_of(&["slaves"], &[("slave_id", &text)])))?;
    let by = told.by;
    let mut found = None;
    let read = operator::read_slaves(told.answer.reader(), &mut |entry| {
        if entry.id == *id {
            found = Some(entry);
        }
    });
    if let Err(source) = read {
        return Err(MasterError::Agents { by, source });
    }
    if let Some(why) = found.as_ref().and_then(AgentEntry::hides) {
        return Err(MasterError::Hidden {
            by,
            agent: id.clone(),
            why,
        });
    }
    Ok(found)
}

/// Every agent that is registered, with what tasks use and with how much disk it has in all, which
/// tells whether something is hidden; one at a time, as above.
pub fn agents_with_use(
    site: &Site,
    each: &mut dyn FnMut(AgentEntry),
) -> Result<AgentsSeen, MasterError> {
    let site = site.with_limits(Limits::CLUSTER)?;
    let told = site.ask(&Request::get("/slaves"))?;
    let by = told.by;
    operator::read_slaves(told.answer.reader(), each)
        .map_err(|source| MasterError::Agents { by, source })
}

/// Operations that the master knows.
pub fn operations(site: &Site) -> Result<Vec<OperationEntry>, MasterError> {
    question(
        &site.with_limits(Limits::CLUSTER)?,
        Question::GetOperations,
        operator::parse_operations,
    )
}

/// Frameworks that the master knows.
pub fn frameworks(site: &Site) -> Result<Frameworks, MasterError> {
    question(
        &site.with_limits(Limits::CLUSTER)?,
        Question::GetFrameworks,
        operator::parse_frameworks,
    )
}

/// The leader itself, and for how long it leads.
///
/// Both times are the master's own: when it was elected, and when it gave this very answer (`Date`, in
/// whole seconds, so that the span is less than a second too short). The clock of this host has no part
/// in it; one that was set on the master's host since the election has.
pub fn leader(site: &Site) -> Result<Leader, MasterError> {
    let body = Question::GetMaster.body();
    let told = site.ask(&Request::post("/api/v1", &body))?;
    let date = told.answer.date;
    let info = whole(told, Question::GetMaster.name(), operator::parse_master)?;
    let elected_for = led_for(info.elected, date);
    Ok(Leader { info, elected_for })
}

/// The leading master.
#[derive(Clone, Debug, PartialEq)]
pub struct Leader {
    /// What it says of itself.
    pub info: MasterInfo,
    /// For how long it leads; none where it does not tell, or was elected in its own future.
    pub elected_for: Option<Span>,
}

/// The time from one moment to another.
fn led_for(elected: Option<f64>, now: Option<SystemTime>) -> Option<Span> {
    let now = now?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let elected = Duration::try_from_secs_f64(elected?).ok()?;
    now.checked_sub(elected).map(Span)
}

/// The leader's version, which everybody may ask.
pub fn version(site: &Site) -> Result<AgentVersion, MasterError> {
    let told = site.ask(&Request::get("/version"))?;
    let by = told.by.clone();
    whole(told, "/version", operator::parse_version)?
        .map_err(|_unreadable| MasterError::Version { by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_master_leads_is_told_by_its_own_times_alone() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(
            led_for(Some(100.5), at(160)),
            Some(Span(Duration::from_millis(59_500)))
        );
        for (elected, now) in [
            (None, at(160)),
            (Some(100.0), None),
            (Some(161.0), at(160)),
            (Some(f64::NAN), at(160)),
            (Some(-1.0), at(160)),
            (Some(1e300), at(160)),
        ] {
            assert_eq!(led_for(elected, now), None, "{elected:?}");
        }
    }
}
