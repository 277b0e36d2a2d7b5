//! A service that answers at one of several addresses: masters, of which one leads.

use std::fmt;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::{Access, AccessError, Answer, Failure, Limits, Request, Transport};
use crate::units::Raw;

/// How often the whole list is asked for what may be asked again.
const ROUNDS: u32 = 3;
/// The pause before the second round; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// A leader may have changed while we followed the last one.
const REDIRECTS: u32 = 4;

/// The addresses of a service, and as whom it is asked.
pub struct Site {
    what: &'static str,
    urls: Vec<String>,
    transport: Transport,
    access: Access,
    /// Who answered last; asked first.
    last: Mutex<Option<String>>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("what", &self.what)
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// An answer, and whose it is.
#[derive(Debug)]
pub struct Told {
    /// The URL of the server that gave it, without a slash at its end.
    pub by: String,
    /// The answer, with a status of 2xx.
    pub answer: Answer,
}

/// Why a service gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// No address is configured.
    #[error("no {what} is configured; set {key}")]
    NotConfigured {
        /// The service.
        what: &'static str,
        /// The key.
        key: &'static str,
    },
    /// The configuration of its access can't be used.
    #[error("the {what} can't be asked as configured: {why}")]
    Access {
        /// The service.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// No server took the request. Nothing came of it.
    #[error("no {what} took the request: {}", why.join("; "))]
    NotTaken {
        /// The service.
        what: &'static str,
        /// Why, for each address.
        why: Vec<String>,
    },
    /// A server may have taken the request, and did not tell.
    #[error("it is unclear whether the {what} took the request: {url} {why}")]
    Unclear {
        /// The service.
        what: &'static str,
        /// The server.
        url: String,
        /// What happened.
        why: String,
    },
    /// 401: it wants to know who asks.
    #[error(
        "{url} answers 401 Unauthorized; name a principal that it knows in credentials_file or token_file"
    )]
    Unauthorized {
        /// The server.
        url: String,
    },
    /// 403: the principal may not.
    #[error("{url} answers 403 Forbidden: {says}; our principal lacks the right for this")]
    Forbidden {
        /// The server.
        url: String,
        /// What it says.
        says: String,
    },
    /// Another status: it does not do it.
    #[error("{url} answers {status}: {says}")]
    Refused {
        /// The server.
        url: String,
        /// The status.
        status: u16,
        /// What it says.
        says: String,
    },
}

impl SiteError {
    /// Whether the request certainly changed nothing. Statuses of 400 to 499 are refusals; what a
    /// server did before it answered 500 or above (but 503) can't be told.
    #[must_use]
    pub const fn changed_nothing(&self) -> bool {
        match self {
            Self::NotConfigured { .. }
            | Self::Access { .. }
            | Self::NotTaken { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. } => true,
            Self::Unclear { .. } => false,
            Self::Refused { status, .. } => *status < 500 || *status == 503,
        }
    }
}

/// Whether a request may be sent again when it is unclear whether it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Harmless,
    OnlyIfNotTaken,
}

impl Site {
    /// A service of this name at these URLs; `key` is the configuration's for them.
    pub fn new(
        what: &'static str,
        key: &'static str,
        urls: &[String],
        access: &Access,
        limits: Limits,
    ) -> Result<Self, SiteError> {
        if urls.is_empty() {
            return Err(SiteError::NotConfigured { what, key });
        }
        let transport = Transport::new(access, limits).map_err(|error| cant(what, &error))?;
        Ok(Self {
            what,
            urls: urls.to_vec(),
            transport,
            access: access.clone(),
            last: Mutex::new(None),
        })
    }

    /// The same service with other limits.
    pub fn with_limits(&self, limits: Limits) -> Result<Self, SiteError> {
        Ok(Self {
            what: self.what,
            urls: self.urls.clone(),
            transport: Transport::new(&self.access, limits)
                .map_err(|error| cant(self.what, &error))?,
            access: self.access.clone(),
            last: Mutex::new(self.leader()),
        })
    }

    /// Its addresses as configured.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Who answered last.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.last.lock().map_or(None, |last| last.clone())
    }

    /// Asks what may be asked again: every address in turn, three times with growing pauses.
    pub fn ask(&self, request: &Request) -> Result<Told, SiteError> {
        self.send(request, Repeat::Harmless)
    }

    /// Makes a call that changes something. It is sent again only where it was certainly not
    /// taken: to the leader that a server names, or to the next address when one refuses the
    /// connection or says that it serves nobody now (503).
    pub fn call(&self, request: &Request) -> Result<Told, SiteError> {
        self.send(request, Repeat::OnlyIfNotTaken)
    }

    fn send(&self, request: &Request, repeat: Repeat) -> Result<Told, SiteError> {
        let mut why = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                thread::sleep(jittered(
                    PAUSE.saturating_mul(1 << (round.saturating_sub(1))),
                ));
                why.clear();
            }
            let last = self.leader();
            let rest = self.urls.iter().filter(|url| Some(*url) != last.as_ref());
            for url in last.iter().chain(rest) {
                match self.at(url, request) {
                    Ok(told) => {
                        if let Ok(mut last) = self.last.lock() {
                            *last = Some(told.by.clone());
                        }
                        return Ok(told);
                    }
                    Err(Missed::Final(error)) => return Err(error),
                    Err(Missed::NotTaken(words)) => why.push(words),
                    Err(Missed::Unclear(url, words)) => match repeat {
                        Repeat::Harmless => why.push(format!("{url} {words}")),
                        Repeat::OnlyIfNotTaken => {
                            return Err(SiteError::Unclear {
                                what: self.what,
                                url,
                                why: words,
                            });
                        }
                    },
                }
            }
        }
        Err(SiteError::NotTaken {
            what: self.what,
            why,
        })
    }

    /// Asks one address and follows it to the leader.
    fn at(&self, url: &str, request: &Request) -> Result<Told, Missed> {
        let mut by = url.to_owned();
        for _ in 0..REDIRECTS {
            let answer = match self.transport.send(&by, request) {
                Ok(answer) => answer,
                Err(failure @ (Failure::Refused | Failure::NotSent(_))) => {
                    return Err(Missed::NotTaken(format!("{by} {failure}")));
                }
                Err(Failure::Unclear(why)) => return Err(Missed::Unclear(by, why)),
            };
            match answer.status {
                200..=299 => return Ok(Told { by, answer }),
                301 | 302 | 307 | 308 => {
                    let to = answer.location.clone().unwrap_or_default();
                    by = leader(&by, &to, &request.path).ok_or_else(|| {
                        Missed::NotTaken(format!(
                            "{by} sends us to `{}`, which can't be followed",
                            Raw::from(to)
                        ))
                    })?;
                }
                401 => return Err(Missed::Final(SiteError::Unauthorized { url: by })),
                403 => {
                    return Err(Missed::Final(SiteError::Forbidden {
                        url: by,
                        says: answer.says(),
                    }));
                }
                503 => {
                    let says = answer.says();
                    return Err(Missed::NotTaken(format!("{by} answers 503: {says}")));
                }
                status => {
                    return Err(Missed::Final(SiteError::Refused {
                        url: by,
                        status,
                        says: answer.says(),
                    }));
                }
            }
        }
        Err(Missed::NotTaken(format!(
            "{url} and those that it names send us to one another"
        )))
    }
}

enum Missed {
    Final(SiteError),
    NotTaken(String),
    Unclear(String, String),
}

fn cant(what: &'static str, error: &AccessError) -> SiteError {
    SiteError::Access {
        what,
        why: error.to_string(),
    }
}

/// The base URL that a redirect leads to. Masters write `//host:port`, with or without the path
/// that was asked for. Encryption is never given up on the way: our credentials go with us.
fn leader(from: &str, location: &str, path: &str) -> Option<String> {
    if location.is_empty() {
        return None;
    }
    let from = url::Url::parse(from).ok()?;
    let to = from.join(location).ok()?;
    let safe = to.scheme() == from.scheme() || to.scheme() == "https";
    if !safe || !to.has_host() || !to.username().is_empty() || to.password().is_some() {
        return None;
    }
    let authority = match to.port() {
        Some(port) => format!("{}:{port}", to.host_str()?),
        None => to.host_str()?.to_owned(),
    };
    let asked = path.split('?').next().unwrap_or(path);
    let prefix = if to.path() == "/" {
        from.path().trim_end_matches('/')
    } else {
        to.path().strip_suffix(asked)?
    };
    Some(format!("{}://{authority}{prefix}", to.scheme()))
}

/// Between half and the whole of a pause, so that many hosts do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let half = pause.checked_div(2).unwrap_or_default();
    match rustix::rand::getrandom(&mut byte[..], rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(_) => half.saturating_add(half.mul_f64(f64::from(byte[0]) / 255.0)),
        Err(_none) => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_followed_in_each_form_that_masters_write() {
        let at = |from, to| leader(from, to, "/api/v1");
        assert_eq!(
            at("http://m1:5050", "//m2:5050"),
            Some("http://m2:5050".to_owned())
        );
        assert_eq!(
            at("http://m1:5050", "//m2:5050/api/v1"),
            Some("http://m2:5050".to_owned())
        );
        assert_eq!(
            at("https://dcos/mesos", "//10.0.0.2:5050/api/v1"),
            Some("https://10.0.0.2:5050".to_owned())
        );
        assert_eq!(
            at("https://dcos/mesos", "https://other/mesos/api/v1"),
            Some("https://other/mesos".to_owned())
        );
        assert_eq!(
            leader(
                "http://m1:5050",
                "//[::1]:5050/slaves?slave_id=a",
                "/slaves?slave_id=a"
            ),
            Some("http://[::1]:5050".to_owned())
        );
    }

    #[test]
    fn a_redirect_to_less_safety_or_to_elsewhere_is_not_followed() {
        for to in [
            "http://m2:5050/api/v1",
            "ftp://m2/api/v1",
            "//u:p@m2:5050/api/v1",
            "//m2:5050/login",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(leader("https://m1:5050", to, "/api/v1"), None, "{to}");
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_asked_for() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_millis(100));
            assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_millis(100));
        }
    }
}
