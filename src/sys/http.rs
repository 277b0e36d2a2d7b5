//! HTTP as agents, masters and Marathon speak it: one request, one bounded answer.
//!
//! This carries what it is given. Questions are put by `observe`, calls that change something are
//! made by `act`; both need the same answer to "did it get there?", because only a request that
//! certainly was not taken may be sent again.

mod access;
mod site;

use std::fmt;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, SystemTime};

use ureq::Agent;
use ureq::http::{Request as HttpRequest, header};

pub use access::{Access, AccessError, Secret};
pub use site::{Site, SiteError, Told};

use crate::units::Span;

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

impl Limits {
    /// For answers with an entry for each agent of a cluster, which are read as they come.
    pub const CLUSTER: Self = Self {
        connect: Duration::from_secs(5),
        total: Duration::from_mins(3),
        body: 4 << 30,
    };
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

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Sends a body.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// The word in the request.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request, without whom it is for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// Path and query behind the site's own URL, with its first slash, as they go over the wire.
    pub path: String,
    /// A JSON body.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// Reads this path.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::Get,
            path: path.into(),
            body: None,
        }
    }

    /// Sends JSON to this path.
    pub fn post(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self {
            method: Method::Post,
            path: path.into(),
            body: Some(body.to_string().into_bytes()),
        }
    }
}

/// A path of these segments, each escaped, with these parameters.
#[must_use]
pub fn path_of(segments: &[&str], query: &[(&str, &str)]) -> String {
    let Ok(mut url) = url::Url::parse("http://h/") else {
        return "/".to_owned();
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(segments);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Every address of the host refuses the connection: nothing listens there.
    Refused,
    /// The request did not get there.
    NotSent(String),
    /// The request may have got there.
    Unclear(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refuses the connection"),
            Self::NotSent(why) | Self::Unclear(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

/// An answer whose body has not been read.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Location`, where there is one.
    pub location: Option<String>,
    /// `Date`: when it was given, by the clock of the server; none where that is not told.
    pub date: Option<SystemTime>,
    body: Body,
}

/// The body of an answer: ends with an error where it is longer or slower than it may be.
pub struct Body {
    reader: ureq::BodyReader<'static>,
    limits: Limits,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Answer {
    /// The body, as it comes.
    #[must_use]
    pub fn reader(self) -> Body {
        self.body
    }

    /// The whole body.
    pub fn whole(mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.body
            .reader
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Unclear(words_of_io(error, self.body.limits)))?;
        Ok(bytes)
    }

    /// The beginning of the body as one line, for a message: what the server says of a refusal.
    #[must_use]
    pub fn says(self) -> String {
        let mut bytes = Vec::new();
        // What can't be read is not said.
        let _read = self.body.reader.take(600).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        crate::units::Raw::from(line).to_string()
    }
}

fn words_of_io(error: io::Error, limits: Limits) -> String {
    let kind = error.kind();
    match error.into_inner() {
        Some(inner) => match inner.downcast::<ureq::Error>() {
            Ok(inner) => words(&inner, limits),
            Err(other) => format!("does not answer: {other}"),
        },
        None => format!("does not answer: {kind}"),
    }
}

fn words(error: &ureq::Error, limits: Limits) -> String {
    if matches!(error, ureq::Error::Timeout(_)) {
        format!("does not answer within {}", Span(limits.total))
    } else if let ureq::Error::BodyExceedsLimit(limit) = error {
        format!("answers more than {limit} bytes")
    } else {
        format!("does not answer: {error}")
    }
}

/// Whether a request that failed so was certainly not taken.
fn not_sent(error: &ureq::Error) -> bool {
    use ureq::Timeout;
    if let ureq::Error::Io(error) = error {
        let nobody = matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        );
        // Whose certificate is not trusted is told nothing.
        let stranger = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .is_some_and(|inner| matches!(inner, rustls::Error::InvalidCertificate(_)));
        // The standard library has no kind for it.
        let no_name = error
            .to_string()
            .starts_with("failed to lookup address information");
        return nobody || stranger || no_name;
    }
    matches!(
        error,
        ureq::Error::HostNotFound
            | ureq::Error::BadUri(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Tls(_)
            | ureq::Error::Pem(_)
            | ureq::Error::Rustls(_)
            | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect)
    )
}

/// Sends requests as one principal, over connections that are trusted in one way.
#[derive(Clone)]
pub struct Transport {
    agent: Agent,
    authorization: Option<Secret>,
    limits: Limits,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport for this principal.
    pub fn new(access: &Access, limits: Limits) -> Result<Self, AccessError> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            // Whom to follow is decided in one place: see `Site`.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The environment of a root daemon does not choose who answers.
            .proxy(None)
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.total))
            .max_idle_connections(0)
            .user_agent(concat!("mesos-volumed/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .tls_config(access.tls()?)
            .build()
            .into();
        Ok(Self {
            agent,
            authorization: access.authorization(),
            limits,
        })
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends one request to one server, once, and follows nobody.
    pub fn send(&self, base: &str, request: &Request) -> Result<Answer, Failure> {
        let url = format!("{base}{}", request.path);
        let mut head = HttpRequest::builder()
            .method(request.method.word())
            .uri(&url);
        if let Some(secret) = &self.authorization {
            // The client's own log of headers leaves out what is marked.
            let mut value = header::HeaderValue::from_str(secret.reveal()).map_err(|_bad| {
                Failure::NotSent("needs credentials that fit into no HTTP header".to_owned())
            })?;
            value.set_sensitive(true);
            head = head.header(header::AUTHORIZATION, value);
        }
        let sent = match &request.body {
            None => head
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|ready| self.agent.run(ready)),
            Some(body) => head
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.as_slice())
                .map_err(ureq::Error::from)
                .and_then(|ready| self.agent.run(ready)),
        };
        let response = match sent {
            Ok(response) => response,
            Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(match refused(base, self.limits.connect) {
                    Ok(()) => Failure::Refused,
                    Err(why) => Failure::NotSent(why),
                });
            }
            Err(error) if not_sent(&error) => {
                return Err(Failure::NotSent(words(&error, self.limits)));
            }
            Err(error) => return Err(Failure::Unclear(words(&error, self.limits))),
        };
        let text = |name| {
            let value: Option<&header::HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let location = text(header::LOCATION).map(str::to_owned);
        let date = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(Answer {
            status: response.status().as_u16(),
            location,
            date,
            body: Body {
                reader: response
                    .into_body()
                    .into_with_config()
                    .limit(self.limits.body)
                    .reader(),
                limits: self.limits,
            },
        })
    }
}

/// Whether every address of the host refuses. The client tells only of the last one that it tried;
/// a server may sit behind another that did not answer in time.
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

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]
mod tests;
