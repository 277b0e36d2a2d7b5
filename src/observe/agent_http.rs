//! The agent's own word: one `GET /state`.
//!
//! Every way in which an answer can fail to be a whole answer of *our* agent is a reason, and a
//! reason keeps everything. Only a refusal by every address of the host says that nothing listens.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::Agent;
use ureq::http::StatusCode;

use super::clock;
use super::deadline::{self, Answered};
use crate::decide::facts::{AgentAnswer, AgentState, Known, Why};
use crate::mesos::agent_state::{StateAnswer, parse_state};
use crate::units::{Raw, Span, chain};

/// Principal and secret for HTTP basic authentication; the secret is never printed.
#[derive(Clone, Copy)]
pub struct BasicAuth<'a> {
    /// The principal.
    pub principal: &'a str,
    /// Its secret.
    pub secret: &'a str,
}

impl fmt::Debug for BasicAuth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// How long and how much an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the last byte is there.
    pub total: Duration,
    /// Bytes of the answer.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(5),
            body: 64 << 20,
        }
    }
}

/// What is asked, and whose answer counts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `agent.url`, without a slash at its end; `None`: there is no agent to ask.
    pub url: Option<&'a str>,
    /// Who asks; `None`: nobody in particular.
    pub auth: Option<BasicAuth<'a>>,
    /// Our `agent.work_dir`.
    pub work_dir: &'a Raw,
    /// The agent id that `meta/slaves/latest` names.
    pub latest: &'a Known<Raw>,
    /// Bounds.
    pub limits: Limits,
}

/// Asks the agent. Blocks for `limits.total` at most, and a little longer where a name has to be
/// looked up again or work_dirs be compared.
#[must_use]
pub fn ask(question: &Question<'_>) -> AgentAnswer {
    let Some(url) = question.url else {
        return AgentAnswer::NotConfigured;
    };
    let asked_at = clock::since_boot();
    let unknown = |why: String| AgentAnswer::Unknown(Why(format!("{url}/state {why}")));
    let (status, body) = match fetch(question, url, "state") {
        Ok(Some(answer)) => answer,
        Ok(None) => return AgentAnswer::Refused,
        Err(why) => return unknown(why),
    };
    match status {
        StatusCode::OK => {}
        StatusCode::SERVICE_UNAVAILABLE => return AgentAnswer::Recovering,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return unknown(format!(
                "answers {status}; name a principal that may read it in agent.credentials_file"
            ));
        }
        _ => return unknown(format!("answers {status}")),
    }
    let answer = match parse_state(&body) {
        Ok(answer) => answer,
        Err(error) => return unknown(format!("can't be used: {}", chain(&error))),
    };
    match not_ours(&answer, question) {
        Some(why) => unknown(why),
        None => AgentAnswer::State(state(answer, asked_at)),
    }
}

/// Asks the agent for its flags: those that are set, or have a default. An error says why there is
/// no answer of our agent.
pub fn ask_flags(question: &Question<'_>) -> Result<BTreeMap<String, String>, String> {
    let Some(url) = question.url else {
        return Err("there is no agent to ask (agent.url)".to_owned());
    };
    let failed = |why: String| format!("{url}/flags {why}");
    let (status, body) = match fetch(question, url, "flags") {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(failed("refuses the connection".to_owned())),
        Err(why) => return Err(failed(why)),
    };
    if status != StatusCode::OK {
        return Err(failed(format!("answers {status}")));
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
        asked_at,
    }
}

/// Status and body; `None` where every address of the host refuses the connection.
fn fetch(
    question: &Question<'_>,
    url: &str,
    endpoint: &str,
) -> Result<Option<(StatusCode, Vec<u8>)>, String> {
    let limits = question.limits;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        // An agent does not send us elsewhere, and whoever does is not our agent.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The environment of a root daemon does not choose who answers for the agent.
        .proxy(None)
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.total))
        .max_idle_connections(0)
        .user_agent(concat!("mesos-volumed/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .build()
        .into();
    let mut request = agent.get(format!("{url}/{endpoint}"));
    if let Some(auth) = question.auth {
        let both = BASE64.encode(format!("{}:{}", auth.principal, auth.secret));
        request = request.header("Authorization", format!("Basic {both}"));
    }
    let failed = |error: ureq::Error| {
        if matches!(error, ureq::Error::Timeout(_)) {
            format!("does not answer within {}", Span(limits.total))
        } else if let ureq::Error::BodyExceedsLimit(limit) = error {
            format!("answers more than {limit} bytes")
        } else {
            format!("does not answer: {error}")
        }
    };
    let mut response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return refused(url, limits.connect).map(|()| None);
        }
        Err(error) => return Err(failed(error)),
    };
    let body = response
        .body_mut()
        .with_config()
        .limit(limits.body)
        .read_to_vec()
        .map_err(failed)?;
    Ok(Some((response.status(), body)))
}

/// Whether every address of the host refuses. The client tells only of the last one that it tried;
/// an agent may sit behind another that did not answer in time.
fn refused(url: &str, timeout: Duration) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("is no URL: {error}"))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let addresses: Vec<SocketAddr> = match parsed.host() {
        Some(url::Host::Ipv4(address)) => vec![(address, port).into()],
        Some(url::Host::Ipv6(address)) => vec![(address, port).into()],
        Some(url::Host::Domain(name)) => (name, port)
            .to_socket_addrs()
            .map_err(|error| format!("has a host that can't be looked up: {error}"))?
            .collect(),
        None => Vec::new(),
    };
    for address in &addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(_) => return Err(format!("refused a connection, but {address} takes one")),
            Err(error) => {
                return Err(format!(
                    "refused a connection, but {address} did not: {error}"
                ));
            }
        }
    }
    if addresses.is_empty() {
        return Err("has a host without an address".to_owned());
    }
    Ok(())
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
