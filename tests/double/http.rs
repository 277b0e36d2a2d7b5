//! Serving HTTP: who may ask, and what is done wrong on demand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use tiny_http::{Header, Request, Response, Server, StatusCode};

use super::json::{J, at};

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// 200 with JSON.
    pub(crate) fn json(json: &J) -> Self {
        Self {
            status: 200,
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: json.to_string(),
        }
    }

    /// Plain text.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            body: body.into(),
        }
    }

    /// No body.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What libprocess says where nothing is.
    pub(crate) fn not_found() -> Self {
        Self::text(404, "404 Not Found.")
    }
}

/// What a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: String,
    content_type: String,
    authorization: Option<String>,
}

impl Asked {
    fn read(request: &mut Request) -> std::io::Result<Self> {
        let header = |name: &'static str| {
            request
                .headers()
                .iter()
                .find(|header| header.field.equiv(name))
                .map(|header| header.value.to_string())
        };
        let (content_type, authorization) = (header("Content-Type"), header("Authorization"));
        let url = request.url().to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let mut body = String::new();
        std::io::Read::read_to_string(request.as_reader(), &mut body)?;
        Ok(Self {
            method: request.method().to_string(),
            path: path.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            body,
            content_type: content_type.unwrap_or_default(),
            authorization,
        })
    }

    /// The value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a parameter says `true`.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// The body of a v1 call, or what Mesos answers to one that it can't read.
    pub(crate) fn call(&self, protocol: &str) -> Result<serde_json::Value, Answer> {
        if self.method != "POST" {
            let text = format!(
                "405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{}'.",
                self.method
            );
            return Err(Answer::text(405, text).header("Allow", "POST"));
        }
        if !self.content_type.starts_with("application/json") {
            return Err(Answer::text(
                415,
                "Expecting 'Content-Type' of application/json or application/x-protobuf or \
                 application/recordio",
            ));
        }
        let Ok(call) = serde_json::from_str::<serde_json::Value>(&self.body) else {
            return Err(Answer::text(400, "Failed to parse body into JSON"));
        };
        if !at(&call, "/type").is_string() {
            return Err(Answer::text(
                400,
                format!("Failed to validate {protocol}::Call: Expecting 'type' to be present"),
            ));
        }
        Ok(call)
    }
}

/// Who may ask: nobody has to say who he is, where no secret is set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    /// `principal:secret` of basic authentication.
    pub(crate) basic: Option<String>,
    /// A bearer token.
    pub(crate) token: Option<String>,
    /// Whether the principal may only read.
    pub(crate) read_only: bool,
}

impl Access {
    /// 401 where the client does not say who he is.
    pub(crate) fn refuse(&self, asked: &Asked, realm: &str) -> Option<Answer> {
        if self.basic.is_none() && self.token.is_none() {
            return None;
        }
        let given = asked.authorization.as_deref().unwrap_or_default();
        let basic = self.basic.as_ref().map(|secret| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
            format!("Basic {encoded}")
        });
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let known = [basic, token].into_iter().flatten().any(|one| one == given);
        let challenge = if self.basic.is_some() {
            "Basic"
        } else {
            "Bearer"
        };
        (!known).then(|| {
            Answer::text(401, "401 Unauthorized.")
                .header("WWW-Authenticate", format!("{challenge} realm=\"{realm}\""))
        })
    }
}

/// What goes wrong on purpose.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Faults {
    /// Answers to paths that begin so; the first that fits counts.
    pub(crate) paths: Vec<Fault>,
    /// Roles that the asking principal may not see.
    pub(crate) hidden_roles: Vec<String>,
}

/// A wrong answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    /// The beginning of the path; with `#TYPE` at its end only calls of this type.
    pub(crate) path: String,
    /// This status and no more.
    pub(crate) status: Option<u16>,
    /// The answer comes so many seconds late.
    pub(crate) late: f64,
    /// Only the first half of the body is sent.
    pub(crate) half: bool,
    /// How many answers; 0 for all.
    pub(crate) times: u32,
}

impl Faults {
    /// The fault that this request meets.
    fn meet(&mut self, asked: &Asked) -> Option<Fault> {
        let index = self.paths.iter().position(|fault| {
            let (path, call) = fault.path.split_once('#').unwrap_or((&fault.path, ""));
            let call = format!("\"{call}\"");
            asked.path.starts_with(path) && (call == "\"\"" || asked.body.contains(&call))
        })?;
        let fault = self.paths.get_mut(index)?;
        let met = fault.clone();
        match fault.times {
            0 => {}
            1 => {
                self.paths.remove(index);
            }
            more => fault.times = more.saturating_sub(1),
        }
        Some(met)
    }
}

/// Opens a port of this address; 0 takes a free one. An earlier life may still be letting go of it.
pub(crate) fn listen(ip: &str, port: u16) -> anyhow::Result<Server> {
    let mut tries: u32 = 0;
    loop {
        match Server::http((ip, port)) {
            Ok(server) => return Ok(server),
            Err(_) if tries < 100 => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(anyhow!("{ip}:{port} can't be listened on: {error}")),
        }
        tries = tries.saturating_add(1);
    }
}

/// The port that a server has.
pub(crate) fn port(server: &Server) -> u16 {
    server.server_addr().to_ip().map_or(0, |at| at.port())
}

/// Threads that answer; they end when this is dropped.
pub(crate) struct Serving {
    server: Arc<Server>,
    threads: usize,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({})", port(&self.server))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        for _ in 0..self.threads {
            self.server.unblock();
        }
    }
}

/// Answers requests on threads of their own. `answer` gives nothing where the connection is to be
/// closed without a word.
pub(crate) fn serve(
    server: Server,
    threads: usize,
    faults: &Arc<Mutex<Faults>>,
    answer: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
) -> Serving {
    let (server, answer) = (Arc::new(server), Arc::new(answer));
    for _ in 0..threads {
        let (server, faults) = (Arc::clone(&server), Arc::clone(faults));
        let answer = Arc::clone(&answer);
        std::thread::spawn(move || {
            while let Ok(mut request) = server.recv() {
                let Ok(asked) = Asked::read(&mut request) else {
                    continue;
                };
                let fault = faults
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .meet(&asked)
                    .unwrap_or_default();
                std::thread::sleep(Duration::try_from_secs_f64(fault.late).unwrap_or_default());
                let answer = match fault.status {
                    Some(status) => Some(Answer::text(status, reason(status))),
                    None => answer(&asked),
                };
                if let Some(answer) = answer {
                    // A client that went away is not the server's trouble.
                    drop(respond(request, answer, fault.half));
                }
            }
        });
    }
    Serving { server, threads }
}

fn reason(status: u16) -> &'static str {
    match status {
        401 => "401 Unauthorized.",
        403 => "",
        503 => "Agent has not finished recovery",
        _ => "wrong on purpose",
    }
}

fn respond(request: Request, answer: Answer, half: bool) -> std::io::Result<()> {
    let mut body = answer.body;
    if half {
        let mut at = body.len() >> 1;
        while !body.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        body.truncate(at);
    }
    let length = body.len();
    let mut response = Response::new(
        StatusCode(answer.status),
        Vec::new(),
        std::io::Cursor::new(body.into_bytes()),
        Some(length),
        None,
    )
    .with_chunked_threshold(usize::MAX);
    for (name, value) in answer.headers {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    request.respond(response)
}
