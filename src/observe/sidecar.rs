//! What the daemons of other hosts tell of themselves. They are asked over TCP, where nothing changes
//! anything.
//!
//! Daemons of other versions answer too: what is not understood of an answer is left out of it, and a
//! daemon that does not know a question at all is told from one that is not there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::sys::http::{Access, AccessError, Failure, Limits, Request, Transport};
use crate::units::Raw;

/// Why a daemon told nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens there.
    #[error("no sidecar answers at {url}")]
    Nobody {
        /// Where it was asked.
        url: String,
    },
    /// It can't be reached, or did not answer in time.
    #[error("the sidecar at {url} {why}")]
    Silent {
        /// Where it was asked.
        url: String,
        /// What happened.
        why: String,
    },
    /// It answers and has nothing to tell yet, or not to us.
    #[error("the sidecar at {url} answers {status}: {says}")]
    Refused {
        /// Where it was asked.
        url: String,
        /// The status.
        status: u16,
        /// What it says.
        says: String,
    },
    /// It does not know the question, or answers in another form: it is of an older version.
    #[error("the sidecar at {url} is of another version: {why}")]
    Old {
        /// Where it was asked.
        url: String,
        /// How that shows.
        why: String,
    },
}

/// Whom to ask, and how. One for all hosts.
#[derive(Clone, Debug)]
pub struct Sidecars {
    transport: Transport,
    url: String,
}

impl Sidecars {
    /// Daemons that answer at this URL, in which `{host}` stands for the name of a host.
    pub fn new(url: &str, access: &Access, limits: Limits) -> Result<Self, AccessError> {
        Ok(Self {
            transport: Transport::new(access, limits)?,
            url: url.to_owned(),
        })
    }

    /// Where the daemon of a host answers.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        // An address of IPv6 stands in brackets in a URL.
        if host.contains(':') && !host.starts_with('[') {
            return self.url.replace("{host}", &format!("[{host}]"));
        }
        self.url.replace("{host}", host)
    }

    /// What the daemon of a host answers at a path.
    pub fn ask<T: DeserializeOwned>(&self, host: &str, path: &str) -> Result<T, NoAnswer> {
        let url = self.url(host);
        let silent = |failure: Failure| NoAnswer::Silent {
            url: url.clone(),
            why: failure.to_string(),
        };
        let answer = match self.transport.send(&url, &Request::get(path)) {
            Ok(answer) => answer,
            Err(Failure::Refused) => return Err(NoAnswer::Nobody { url }),
            Err(failure) => return Err(silent(failure)),
        };
        match answer.status {
            200 => {}
            404 | 405 => {
                return Err(NoAnswer::Old {
                    why: format!("it has nothing at {path}"),
                    url,
                });
            }
            status => {
                return Err(NoAnswer::Refused {
                    status,
                    says: answer.says(),
                    url,
                });
            }
        }
        let body = answer.whole().map_err(silent)?;
        serde_json::from_slice(&body).map_err(|error| NoAnswer::Old {
            why: format!("its answer at {path} is not understood: {error}"),
            url,
        })
    }

    /// How it is.
    pub fn status(&self, host: &str) -> Result<Status, NoAnswer> {
        self.ask(host, "/v1/status")
    }

    /// What is on its host, as of its last pass.
    pub fn volumes(&self, host: &str) -> Result<Volumes, NoAnswer> {
        self.ask(host, "/v1/volumes")
    }

    /// What lies in the trashes of its host, as of its last pass.
    pub fn trash(&self, host: &str) -> Result<Trash, NoAnswer> {
        self.ask(host, "/v1/trash")
    }

    /// The disks of its host, as of its last look.
    pub fn disks(&self, host: &str) -> Result<Disks, NoAnswer> {
        self.ask(host, "/v1/disks")
    }
}

/// `GET /v1/status`, as far as it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// What is wrong there.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// `GET /v1/volumes`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Volumes {
    /// One a volume and disk.
    pub volumes: Vec<Volume>,
    /// What is doubtful about the authorities as a whole.
    #[serde(default)]
    pub doubts: Vec<Why>,
    /// Each authority, with how it was read.
    #[serde(default)]
    authorities: BTreeMap<String, serde_json::Value>,
}

impl Volumes {
    /// Why what it does not list can't be taken for gone; empty where it can.
    #[must_use]
    pub fn unsure(&self) -> Vec<String> {
        let doubts = self.doubts.iter().map(|doubt| doubt.reason.clone());
        let unknown = self.authorities.iter().filter_map(|(name, read)| {
            let is_unknown =
                read.get("state").and_then(serde_json::Value::as_str) == Some("unknown");
            is_unknown.then(|| format!("{name} is unknown there"))
        });
        doubts.chain(unknown).collect()
    }
}

/// A volume, a leftover, or a trash entry.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Volume {
    /// The persistence id.
    pub id: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The disk.
    pub disk: Option<Disk>,
    /// Where it lies.
    pub path: String,
    /// `held`, `pending`, `destroyed`, `orphan`, `trashed`, `foreign`, `vanished`, or a word of a later
    /// version.
    pub state: String,
    /// The size that Mesos gives or gave it.
    pub size_mb: Option<f64>,
    /// The trash entry, where it is one.
    pub trash: Option<String>,
    /// Every reason it is kept for.
    #[serde(default)]
    pub reasons: Vec<Why>,
}

/// A disk as a volume names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Disk {
    /// ROOT, PATH or MOUNT.
    #[serde(rename = "type")]
    pub kind: String,
    /// The root.
    pub root: String,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Why {
    /// The stable code.
    pub code: String,
    /// What is so.
    pub reason: String,
}

/// `GET /v1/trash`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Trash {
    /// One an entry.
    pub items: Vec<TrashItem>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrashItem {
    /// Its name.
    pub id: String,
    /// The persistence id.
    pub persistence_id: Option<String>,
    /// Milliseconds of lived time until it expires; none where it never does by itself.
    pub expires_in_ms: Option<u64>,
    /// Bytes that it takes up, where they were counted.
    pub bytes: Option<u64>,
    /// Why it is still there.
    #[serde(default)]
    pub reasons: Vec<Why>,
}

/// `GET /v1/disks`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Disks {
    /// Each with its verdict.
    pub disks: Vec<DiskSeen>,
}

/// A disk or mount with its verdict.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DiskSeen {
    /// ROOT, PATH or MOUNT; none where no rule names it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The root.
    pub root: Option<String>,
    /// `offered` or `rejected`.
    pub verdict: String,
    /// Why it is rejected.
    pub reason: Option<String>,
    /// What is advertised of it, in megabytes.
    pub advertised_mb: Option<f64>,
    /// The block device.
    pub device: Option<String>,
    /// Its file system.
    pub filesystem: Option<Filesystem>,
    /// The volumes that the agent holds on it.
    #[serde(default)]
    pub held: Vec<serde::de::IgnoredAny>,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Filesystem {
    /// Its size.
    pub total_bytes: Option<u64>,
    /// What is free of it.
    pub free_bytes: Option<u64>,
}

/// A program's version, as far as one can be told to be older than another: its first numbers.
#[must_use]
pub fn older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let first = text.split(['-', '+']).next().unwrap_or_default();
        first
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    numbers(version) < numbers(than)
}

/// A host's name for a message.
#[must_use]
pub fn name(host: Option<&str>) -> String {
    host.map_or_else(
        || "an unknown host".to_owned(),
        |host| Raw::from(host).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_where_the_url_says() {
        let at = |url: &str, host: &str| {
            let sidecars = Sidecars::new(url, &Access::default(), Limits::default()).unwrap();
            sidecars.url(host)
        };
        assert_eq!(at("http://{host}:5061", "a1"), "http://a1:5061");
        assert_eq!(at("http://{host}:5061", "::1"), "http://[::1]:5061");
        assert_eq!(
            at("https://x/agents/{host}/v", "a1"),
            "https://x/agents/a1/v"
        );
    }

    #[test]
    fn versions_are_told_apart_by_their_numbers() {
        for (version, than, is_older) in [
            ("0.1.0", "0.2.0", true),
            ("0.9.0", "0.10.0", true),
            ("0.2.0-rc1", "0.2.0", false),
            ("1.0.0", "0.9.9", false),
            ("", "0.1.0", true),
        ] {
            assert_eq!(older(version, than), is_older, "{version} {than}");
        }
    }

    #[test]
    fn what_is_not_listed_is_gone_only_where_everything_was_seen() {
        let read = |text: &str| serde_json::from_str::<Volumes>(text).unwrap().unsure();
        assert!(
            read(
                r#"{"volumes": [], "doubts": [], "authorities": {"tasks": {"state": "known"},
                    "agent_pids": [7]}, "later": 1}"#
            )
            .is_empty()
        );
        assert_eq!(
            read(r#"{"volumes": [], "authorities": {"tasks": {"state": "unknown"}}}"#),
            ["tasks is unknown there"]
        );
        let doubt =
            r#"{"volumes": [], "doubts": [{"code": "agent_recovering", "reason": "it is"}]}"#;
        assert_eq!(read(doubt), ["it is"]);
    }
}
