//! The agent's own word: `GET /state`, and what its operator API knows beyond that.
//!
//! The further questions only add: operations that are pending in the agent's memory (agents 1.6 and 1.7
//! write none down), tasks that wait and have no `task.info` yet, volumes of resource providers. An agent
//! that does not know a question, or does not answer it to our principal, adds nothing; one that breaks
//! off in the middle is no whole answer.
//!
//! Every way in which an answer can fail to be a whole answer of *our* agent is a reason, and a
//! reason keeps everything. Only a refusal by every address of the host says that nothing listens.

use std::collections::BTreeMap;

use super::clock;
use super::deadline::{self, Answered};
use crate::decide::facts::{AgentAnswer, AgentState, Known, OperationState, TaskUse, Why};
use crate::mesos::agent_state::{StateAnswer, StateError, parse_state};
use crate::mesos::operator::{self, DiskUse, hides};
use crate::sys::http::{Access, Failure, Request, Transport};
use crate::units::{Megabytes, Raw, Span, chain};

pub use crate::sys::http::Limits;

/// What is asked, and whose answer counts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `agent.url`, without a slash at its end; `None`: there is no agent to ask.
    pub url: Option<&'a str>,
    /// Who asks, and how the agent is known.
    pub access: &'a Access,
    /// Our `agent.work_dir`.
    pub work_dir: &'a Raw,
    /// The agent id that `meta/slaves/latest` names.
    pub latest: &'a Known<Raw>,
    /// Bounds.
    pub limits: Limits,
}

/// Asks the agent. Each of five questions takes `limits.total` at most, the first that fails is the last,
/// and it takes a little longer where a name has to be looked up again or work_dirs be compared.
///
/// An answer that hides roles from our principal is no answer of a whole agent (VIEW_ROLE): the
/// agent leaves them out without a word, but tells all the disk that it has.
#[must_use]
pub fn ask(question: &Question<'_>) -> AgentAnswer {
    let Some(url) = question.url else {
        return AgentAnswer::NotConfigured;
    };
    let asked_at = clock::since_boot();
    let unknown = |why: String| AgentAnswer::Unknown(Why(format!("{url}/state {why}")));
    let transport = match Transport::new(question.access, question.limits) {
        Ok(transport) => transport,
        Err(error) => return unknown(format!("can't be asked: {}", chain(&error))),
    };
    let (status, body) = match fetch(&transport, url, &Request::get("/state")) {
        Ok(answer) => answer,
        Err(Failure::Refused) => return AgentAnswer::Refused,
        Err(failure) => return unknown(failure.to_string()),
    };
    match status {
        200 => {}
        503 => return AgentAnswer::Recovering,
        401 | 403 => {
            return unknown(format!(
                "answers {}; name a principal that may read it in agent.credentials_file or \
                 agent.token_file",
                words_of(status)
            ));
        }
        _ => return unknown(format!("answers {}", words_of(status))),
    }
    let answer = match parse_state(&body) {
        Ok(answer) => answer,
        Err(error) => return unknown(format!("can't be used: {}", chain(&error))),
    };
    if let Some(why) = not_ours(&answer, question) {
        return unknown(why);
    }
    if let Some(why) = answer
        .hides
        .clone()
        .or_else(|| less_than_it_has(&transport, url, &answer))
    {
        return unknown(why);
    }
    let mut state = state(answer, asked_at);
    match add_more(&transport, url, &mut state) {
        Ok(()) => AgentAnswer::State(state),
        Err(why) => AgentAnswer::Unknown(Why(format!("{url}/api/v1 {why}"))),
    }
}

/// Adds what the operator API knows.
fn add_more(transport: &Transport, url: &str, state: &mut AgentState) -> Result<(), String> {
    let operations = v1(
        transport,
        url,
        operator::Question::GetOperations,
        operator::parse_operations,
    )?;
    let operations = operations.into_iter().flatten();
    state.operations = operations
        .map(|entry| entry.operation)
        .filter(|one| matches!(one.state, OperationState::Pending | OperationState::Unclear))
        .collect();
    let tasks = v1(
        transport,
        url,
        operator::Question::GetTasks,
        operator::parse_tasks,
    )?;
    state.tasks = tasks
        .into_iter()
        .flatten()
        .filter(|task| !task.volumes.is_empty())
        .map(|task| TaskUse {
            task: task.id,
            framework: task.framework.unwrap_or_default(),
            volumes: task.volumes,
        })
        .collect();
    let provided = v1(
        transport,
        url,
        operator::Question::GetResourceProviders,
        operator::parse_providers,
    )?;
    for one in provided.into_iter().flatten() {
        if !state.resources.contains(&one) {
            state.resources.push(one);
        }
    }
    Ok(())
}

/// Asks the operator API; `None` where the agent does not know the question, or does not answer it to
/// us.
fn v1<T>(
    transport: &Transport,
    url: &str,
    question: operator::Question,
    parse: impl FnOnce(&[u8]) -> Result<T, StateError>,
) -> Result<Option<T>, String> {
    let name = question.name();
    let request = Request::post("/api/v1", &question.body());
    let (status, body) =
        fetch(transport, url, &request).map_err(|failure| format!("({name}) {failure}"))?;
    match status {
        200 => parse(&body)
            .map(Some)
            .map_err(|error| format!("({name}) can't be used: {}", chain(&error))),
        400..=499 | 501 => Ok(None),
        _ => Err(format!("({name}) answers {}", words_of(status))),
    }
}

/// Why an answer shows less disk than the agent itself was given, as GET_AGENT tells it to whoever
/// may ask at all (MESOS-9006). A principal that may not ask, or an agent without that call, tells
/// nothing.
fn less_than_it_has(transport: &Transport, url: &str, answer: &StateAnswer) -> Option<String> {
    let request = Request::post("/api/v1", &operator::Question::GetAgent.body());
    let (200, body) = fetch(transport, url, &request).ok()? else {
        return None;
    };
    let given = operator::parse_agent_info(&body).ok()?;
    let total = given
        .iter()
        .filter(|one| one.name.as_bytes() == b"disk")
        .filter_map(crate::mesos::resource::Resource::megabytes)
        .fold(Megabytes::default(), Megabytes::saturating_add);
    hides(&answer.resources, total)
}

/// Asks the agent for its flags: those that are set, or have a default. An error says why there is
/// no answer of our agent.
pub fn ask_flags(question: &Question<'_>) -> Result<BTreeMap<String, String>, String> {
    let Some(url) = question.url else {
        return Err("there is no agent to ask (agent.url)".to_owned());
    };
    let failed = |why: String| format!("{url}/flags {why}");
    let transport = Transport::new(question.access, question.limits)
        .map_err(|error| failed(format!("can't be asked: {}", chain(&error))))?;
    let (status, body) = fetch(&transport, url, &Request::get("/flags"))
        .map_err(|failure| failed(failure.to_string()))?;
    if status != 200 {
        return Err(failed(format!("answers {}", words_of(status))));
    }
    let answer: FlagsAnswer =
        serde_json::from_slice(&body).map_err(|error| failed(format!("can't be used: {error}")))?;
    let theirs = answer
        .flags
        .get("work_dir")
        .map(|text| Raw::from(text.as_str()));
    match theirs {
        None => Err(failed("does not tell its work_dir".to_owned())),
        Some(theirs) => match other_work_dir(&theirs, question.work_dir) {
            Some(why) => Err(failed(why)),
            None => Ok(answer.flags),
        },
    }
}

/// What the isolators `disk/du` and `disk/xfs` of an agent measured of volumes in use. `Absent`: it does
/// not tell us.
#[must_use]
pub fn measured(url: &str, access: &Access, limits: Limits) -> Known<Vec<DiskUse>> {
    const PATH: &str = "/monitor/statistics";
    let failed = |why: String| Known::unknown(format!("{url}{PATH} {why}"));
    let transport = match Transport::new(access, limits) {
        Ok(transport) => transport,
        Err(error) => return failed(format!("can't be asked: {}", chain(&error))),
    };
    match fetch(&transport, url, &Request::get(PATH)) {
        Ok((200, body)) => match operator::parse_statistics(&body) {
            Ok(uses) => Known::Known(uses),
            Err(error) => failed(format!("can't be used: {}", chain(&error))),
        },
        Ok((400..=499, _)) => Known::Absent,
        Ok((status, _)) => failed(format!("answers {}", words_of(status))),
        Err(failure) => failed(failure.to_string()),
    }
}

/// The body of `/flags`.
#[derive(serde::Deserialize)]
struct FlagsAnswer {
    flags: BTreeMap<String, String>,
}

fn state(answer: StateAnswer, asked_at: Span) -> AgentState {
    let flag_roots = match answer.flags {
        None => Known::unknown("the agent hides its flags from our principal (VIEW_FLAGS)"),
        Some(flags) => match flags.roots {
            Ok(roots) => Known::Known(roots),
            Err(error) => Known::unknown(format!(
                "the agent's flag `resources` can't be read: {error}"
            )),
        },
    };
    AgentState {
        id: answer.id,
        // Without a version nothing is concluded from the order in which it commits and deletes.
        version: answer.version.ok(),
        resources: answer.resources,
        roles: answer.roles,
        flag_roots,
        operations: Vec::new(),
        tasks: Vec::new(),
        asked_at,
    }
}

/// Status and body.
fn fetch(transport: &Transport, url: &str, request: &Request) -> Result<(u16, Vec<u8>), Failure> {
    let answer = transport.send(url, request)?;
    let status = answer.status;
    Ok((status, answer.whole()?))
}

/// A status with its name.
fn words_of(status: u16) -> String {
    ureq::http::StatusCode::from_u16(status)
        .map_or_else(|_odd| status.to_string(), |status| status.to_string())
}

/// Why an answer is not that of the agent with our work_dir.
fn not_ours(answer: &StateAnswer, question: &Question<'_>) -> Option<String> {
    let ids = match question.latest {
        Known::Known(latest) if !answer.id.is_empty() => {
            if answer.id != *latest {
                return Some(format!(
                    "is that of agent {}, but {latest} is the one of our work_dir",
                    answer.id
                ));
            }
            Ids::Same
        }
        Known::Absent if !answer.id.is_empty() => {
            return Some(format!(
                "is that of agent {}, but our work_dir never had an agent",
                answer.id
            ));
        }
        Known::Known(_) | Known::Absent | Known::Unknown(_) => Ids::Untold,
    };
    match (&answer.flags, ids) {
        (Some(flags), _) => other_work_dir(&flags.work_dir, question.work_dir),
        (None, Ids::Same) => None,
        (None, Ids::Untold) => Some(
            "does not tell whose it is: neither its work_dir (VIEW_FLAGS) nor an agent id that we \
             know"
                .to_owned(),
        ),
    }
}

/// What the agent ids on both sides tell.
enum Ids {
    /// Both are known, and are the same.
    Same,
    /// One of them is not known.
    Untold,
}

/// Why the agent's work_dir is not ours, where it is not: another text that is not another name of
/// the same directory either.
fn other_work_dir(theirs: &Raw, ours: &Raw) -> Option<String> {
    let components = |path: &Raw| -> Vec<Vec<u8>> {
        path.as_bytes()
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    if theirs.as_bytes().first() == Some(&b'/') {
        if components(theirs) == components(ours) {
            return None;
        }
        // A path from elsewhere may lie on a mount that never answers.
        let both = vec![theirs.clone(), ours.clone()];
        let identities = deadline::ask_each(both, deadline::PATIENCE, |path: &Raw| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(path.as_path()).map(|metadata| (metadata.dev(), metadata.ino()))
        });
        if let [Answered::Yes(Ok(one)), Answered::Yes(Ok(other))] = &identities[..]
            && one == other
        {
            return None;
        }
    }
    Some(format!(
        "is that of an agent with --work_dir {theirs}, and ours is {ours}"
    ))
}

#[cfg(test)]
mod tests;
