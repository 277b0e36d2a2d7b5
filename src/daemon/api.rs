//! What the daemon answers: one table of routes, from which `config/openapi.json` is made too.
//!
//! Over TCP only what looks is answered: whoever reaches the address may ask, and nothing there
//! changes anything. What changes something, the plan, and the audit log are asked through the
//! socket, where the kernel tells who asks.

mod change;
#[cfg(test)]
mod openapi;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::answers::jobs::{Jobs, jobs};
use super::answers::plan::planned;
use super::answers::receipts::{self, receipts};
use super::answers::status::{self, Status};
use super::answers::volumes::AUTHORITIES;
use super::board::{self, Board};
use super::events::Events;
use super::figures::live::Live;
use super::figures::{self, Figures};
use super::http::{Asked, Reply};
use super::observer::Observer;
use super::page;
use super::pass::look;
use super::run::Order;
use super::workers::WorkersHandle;
use crate::act::store::Store;
use crate::act::wipe::fence;
use crate::config::{Settings, SocketWriters};
use crate::decide::facts::Words;
use crate::decide::guards::Refusal;
use crate::decide::receipts::AuditRecord;
use crate::observe::{self, clock};
use crate::units::{Raw, Span, chain};

/// Who connected to the socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    /// `None` where it is in no namespace that is seen from here.
    pub(super) pid: Option<i32>,
}

impl Peer {
    pub(super) const fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Where something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `daemon.listen`: anybody who reaches it.
    Tcp,
    /// `daemon.socket`: somebody whom the kernel names.
    Socket(Peer),
}

/// Where a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At both doors.
    Both,
    /// Through the socket alone.
    Socket,
}

/// What a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Page,
    PageStyle,
    PageScript,
    PageIcon,
    Events,
    Metrics,
    Health,
    Readiness,
    Status,
    Disks,
    Volumes,
    Trash,
    Jobs,
    Plan,
    Receipts,
    /// Through the socket alone.
    Change(Change),
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Sweep,
    Purge,
    Restore,
    Wipe,
    Recreate,
    Accept,
    Adopt,
    Destroy,
    Pause,
    Resume,
}

impl What {
    const fn method(self) -> Method {
        match self {
            Self::Page
            | Self::PageStyle
            | Self::PageScript
            | Self::PageIcon
            | Self::Events
            | Self::Metrics
            | Self::Health
            | Self::Readiness
            | Self::Status
            | Self::Disks
            | Self::Volumes
            | Self::Trash
            | Self::Jobs
            | Self::Plan
            | Self::Receipts => Method::GET,
            Self::Change(_) => Method::POST,
        }
    }
}

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) at: At,
    pub(super) what: What,
    /// What it tells or does, for the file that describes the API.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the test that makes that file")
    )]
    pub(super) summary: &'static str,
}

/// Everything that can be asked.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/",
        at: At::Both,
        what: What::Page,
        summary: "The status page: this host's disks, volumes, trash and wipes, for a browser",
    },
    Route {
        path: "/page.css",
        at: At::Both,
        what: What::PageStyle,
        summary: "The status page's style sheet",
    },
    Route {
        path: "/page.js",
        at: At::Both,
        what: What::PageScript,
        summary: "The status page's script, which keeps it fresh",
    },
    Route {
        path: "/page.svg",
        at: At::Both,
        what: What::PageIcon,
        summary: "The status page's icon",
    },
    Route {
        path: "/events",
        at: At::Both,
        what: What::Events,
        summary: "Server-sent events: the names of the status page's sections that have changed",
    },
    Route {
        path: "/metrics",
        at: At::Both,
        what: What::Metrics,
        summary: "Metrics in Prometheus's text format",
    },
    Route {
        path: "/healthz",
        at: At::Both,
        what: What::Health,
        summary: "Whether the daemon makes passes",
    },
    Route {
        path: "/readyz",
        at: At::Both,
        what: What::Readiness,
        summary: "Whether a whole pass was made, every authority can be read and no disk is tripped",
    },
    Route {
        path: "/v1/status",
        at: At::Both,
        what: What::Status,
        summary: "The daemon and what it saw last, in short",
    },
    Route {
        path: "/v1/disks",
        at: At::Both,
        what: What::Disks,
        summary: "Every disk and mount with its verdict, as of the last look",
    },
    Route {
        path: "/v1/volumes",
        at: At::Both,
        what: What::Volumes,
        summary: "What is on this host, as of the last pass",
    },
    Route {
        path: "/v1/trash",
        at: At::Both,
        what: What::Trash,
        summary: "What lies in the trash, as of the last pass",
    },
    Route {
        path: "/v1/jobs",
        at: At::Both,
        what: What::Jobs,
        summary: "Wipes that wait or run, now",
    },
    Route {
        path: "/v1/plan",
        at: At::Socket,
        what: What::Plan,
        summary: "What a sweep would do: looks anew and changes nothing",
    },
    Route {
        path: "/v1/receipts",
        at: At::Socket,
        what: What::Receipts,
        summary: "The audit log: what was done, by what right, and how it ended",
    },
    Route {
        path: "/v1/sweep",
        at: At::Socket,
        what: What::Change(Change::Sweep),
        summary: "Makes a pass now and answers when everything that it began has ended",
    },
    Route {
        path: "/v1/purge",
        at: At::Socket,
        what: What::Change(Change::Purge),
        summary: "Wipes entries of the trash now, whatever their retention; every guard still holds",
    },
    Route {
        path: "/v1/restore",
        at: At::Socket,
        what: What::Change(Change::Restore),
        summary: "Moves an entry of the trash back to its place, and adopts its volume",
    },
    Route {
        path: "/v1/wipe",
        at: At::Socket,
        what: What::Change(Change::Wipe),
        summary: "Wipes one volume now; every guard but grace, retention and brake still holds",
    },
    Route {
        path: "/v1/recreate",
        at: At::Socket,
        what: What::Change(Change::Recreate),
        summary: "Makes the missing directory of a held volume again, empty",
    },
    Route {
        path: "/v1/accept",
        at: At::Socket,
        what: What::Change(Change::Accept),
        summary: "Takes a root on as it is now",
    },
    Route {
        path: "/v1/adopt",
        at: At::Socket,
        what: What::Change(Change::Adopt),
        summary: "Marks a volume that nobody names as wanted, or takes that back",
    },
    Route {
        path: "/v1/destroy",
        at: At::Socket,
        what: What::Change(Change::Destroy),
        summary: "Destroys a held volume through the master: aside, asked for, confirmed by the \
                  agent's checkpoint, wiped; for root alone",
    },
    Route {
        path: "/v1/pause",
        at: At::Socket,
        what: What::Change(Change::Pause),
        summary: "Holds wipes back, on one root or everywhere, also over restarts",
    },
    Route {
        path: "/v1/resume",
        at: At::Socket,
        what: What::Change(Change::Resume),
        summary: "Lets wipes go on",
    },
];

/// How many may wait until what they asked for is done; what is asked beyond that is refused, so that
/// connections stay free for those who only look.
pub(super) const ASKERS: usize = 4;

/// How many browsers may look on; the others ask from time to time.
pub(super) const LOOKING_ON: usize = 8;

/// What the settings say that are in force.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    observer: Observer,
    writers: SocketWriters,
}

impl Rules {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            observer: Observer::new(settings),
            writers: settings.daemon.socket_writers,
        }
    }
}

/// The media type of answers.
const JSON: &str = "application/json";

/// What answering needs.
pub(super) struct Api {
    pub(super) figures: Figures,
    pub(super) board: Board,
    pub(super) jobs: WorkersHandle,
    pub(super) store: Store,
    pub(super) rules: Mutex<Rules>,
    /// To the thread that makes passes.
    pub(super) orders: mpsc::Sender<Order>,
    /// Looks at the host that an asker waits for: one at a time.
    pub(super) looking: Semaphore,
    /// Those who wait until what they asked for is done.
    pub(super) asking: Semaphore,
    /// Status pages that are drawn: one at a time.
    pub(super) drawing: Semaphore,
    /// Browsers that look on.
    pub(super) streaming: Arc<Semaphore>,
    /// Seconds since 1970, and since boot, when the daemon started.
    pub(super) started: (i64, Span),
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    fn rules(&self) -> Rules {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Other settings are in force.
    pub(super) fn set(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Answers.
    pub(super) async fn answer(&self, asked: Asked) -> Reply {
        tracing::debug!(
            method = %asked.method,
            path = asked.path,
            bytes = asked.body.len(),
            door = ?asked.door,
            "asked"
        );
        let there: Vec<&Route> = ROUTES
            .iter()
            .filter(|route| route.path == asked.path)
            .filter(|route| route.at == At::Both || matches!(asked.door, Door::Socket(_)))
            .collect();
        let head = asked.method == Method::HEAD;
        let route = there.iter().find(|route| {
            route.what.method() == asked.method || (head && route.what.method() == Method::GET)
        });
        match (route, there.first()) {
            (Some(route), _) => self.route(route.what, &asked).await,
            (None, Some(other)) => {
                let allow = if other.what.method() == Method::GET {
                    "GET, HEAD"
                } else {
                    "POST"
                };
                Reply {
                    allow: Some(allow),
                    ..error(
                        StatusCode::METHOD_NOT_ALLOWED,
                        format!("only {allow} is answered here"),
                    )
                }
            }
            (None, None) => error(
                StatusCode::NOT_FOUND,
                "there is nothing here; config/openapi.json tells what there is",
            ),
        }
    }

    async fn route(&self, what: What, asked: &Asked) -> Reply {
        let now = clock::wall_seconds();
        match what {
            What::Page => self.page(&asked.query, now).await,
            What::PageStyle => Reply::of("text/css; charset=utf-8", page::STYLE),
            What::PageScript => Reply::of("text/javascript; charset=utf-8", page::SCRIPT),
            What::PageIcon => Reply::of("image/svg+xml", page::ICON),
            What::Events => self.events(asked),
            What::Metrics => match self.metrics(now) {
                Ok(text) => Reply::of(figures::CONTENT_TYPE, text),
                Err(why) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
            },
            What::Health => sentence(self.figures.trouble(clock::since_boot()).as_slice()),
            What::Readiness => sentence(&self.troubles(clock::since_boot())),
            What::Status => json(&self.status()),
            What::Jobs => json(&jobs(&self.jobs)),
            What::Disks => match self.board.disks() {
                Some(looked) => aged(json(&*looked.disks), now, looked.at),
                None => not_yet("the disks were not looked at yet"),
            },
            What::Volumes | What::Trash => match self.board.seen() {
                Some(seen) if what == What::Trash => aged(whole(seen.trash.clone()), now, seen.at),
                Some(seen) => aged(whole(seen.volumes.clone()), now, seen.at),
                None => not_yet("no pass has ended yet"),
            },
            What::Plan => self.plan().await,
            What::Receipts => self.receipts(&asked.query).await,
            What::Change(change) => self.change(change, asked).await,
        }
    }

    /// The metrics, as they are now.
    pub(super) fn metrics(&self, now: i64) -> Result<Vec<u8>, prometheus::Error> {
        self.figures.text(now, &Live::now(&self.board, &self.jobs))
    }

    /// What is wrong; nothing where the daemon is ready.
    fn troubles(&self, now: Span) -> Vec<String> {
        let mut troubles: Vec<String> = self.figures.trouble(now).into_iter().collect();
        let Some(seen) = self.board.seen() else {
            return troubles;
        };
        troubles.extend(seen.authorities.iter().filter_map(|(name, read)| {
            let reason = read.reason.as_deref().unwrap_or("it can't be told");
            (!read.state.is_good()).then(|| format!("{name} is unknown: {reason}"))
        }));
        troubles.extend(
            seen.tripped
                .iter()
                .map(|(code, roots)| format!("{code} on {roots} of the roots: {}", code.remedy())),
        );
        troubles
    }

    fn status(&self) -> Status {
        let since_boot = clock::since_boot();
        let troubles = self.troubles(since_boot);
        let seen = self.board.seen();
        let looked = self.board.disks();
        let ages = self.board.ages(since_boot);
        let Jobs { jobs, paused } = jobs(&self.jobs);
        let (started_at, started) = self.started;
        let seen = seen.as_deref();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state_dir: self.store.dir().display().to_string(),
            started_at,
            up_seconds: since_boot.minus(started).0.as_secs(),
            ready: troubles.is_empty(),
            troubles,
            fenced: fence::is_there(),
            last_pass: self.board.last(),
            disks: looked.as_ref().map(|looked| {
                let named = looked.disks.disks.iter().filter_map(|disk| {
                    let filesystem = disk.filesystem.as_ref();
                    Some(status::DiskShort {
                        kind: disk.kind?,
                        root: disk.root.clone(),
                        verdict: disk.verdict,
                        reason: disk.reason,
                        advertised_mb: disk.advertised_mb.as_ref().and_then(Value::as_f64),
                        total_bytes: filesystem.and_then(|seen| seen.total_bytes),
                        free_bytes: filesystem.and_then(|seen| seen.free_bytes),
                    })
                });
                named.collect()
            }),
            disks_looked_at: looked.map(|looked| looked.at),
            resources_file: self.figures.file().word().to_owned(),
            volumes: seen.map(|seen| {
                let counts = seen.states.iter();
                counts
                    .map(|(state, (count, _))| (state.word().to_owned(), *count))
                    .collect()
            }),
            trash: seen.map(|seen| status::TrashSum {
                items: seen.trash_items,
            }),
            jobs,
            paused,
            alarms: seen.and_then(|seen| {
                let alarms = seen.alarms.as_ref()?.iter();
                Some(
                    alarms
                        .map(|(kind, count)| (kind.code().to_owned(), *count))
                        .collect(),
                )
            }),
            authorities: seen.map_or_else(Vec::new, |seen| {
                let read = |name| Some((name, seen.authorities.get(name)?));
                AUTHORITIES
                    .into_iter()
                    .filter_map(read)
                    .map(|(name, read)| status::Authority {
                        name: name.to_owned(),
                        state: read.state,
                        reason: read.reason.clone(),
                        good_seconds_ago: ages.get(name).map(|age| age.0.as_secs()),
                    })
                    .collect()
            }),
            doubts: seen.map_or_else(Vec::new, |seen| seen.doubts.clone()),
            refusals: seen.map_or_else(Vec::new, |seen| {
                let mut refused: Vec<status::Refused> = Vec::new();
                for code in Refusal::ALL {
                    let count = |counts: &BTreeMap<_, u32>| counts.get(&code).copied().unwrap_or(0);
                    let (volumes, roots) = (count(&seen.refusals), count(&seen.tripped));
                    if volumes > 0 || roots > 0 {
                        refused.push(status::Refused {
                            code,
                            reason: code.reason().to_owned(),
                            remedy: code.remedy().to_owned(),
                            volumes,
                            roots,
                        });
                    }
                }
                refused
            }),
        }
    }

    /// Draws the status page, on a thread of its own: a host with very many volumes takes a while.
    async fn page(&self, query: &str, now: i64) -> Reply {
        let wanted = page::Wanted::of_query(query);
        // One at a time, so that browsers can't make memory grow.
        let Ok(_alone) = self.drawing.acquire().await else {
            return not_yet("the daemon is stopping");
        };
        let status = self.status();
        let (disks, seen) = (self.board.disks(), self.board.seen());
        let drawn = tokio::task::spawn_blocking(move || {
            let sight = page::Sight {
                host: host_name(),
                now,
                status: &status,
                disks: disks.as_ref().map(|looked| &*looked.disks),
                seen: seen
                    .as_deref()
                    .map(|seen| (&*seen.volumes, &*seen.trash, seen.at)),
            };
            page::draw(&sight, &wanted)
        });
        match drawn.await {
            Ok(Ok(text)) => Reply::of("text/html; charset=utf-8", text),
            Ok(Err(why)) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, chain(&why)),
            Err(_ended) => not_yet("the daemon is stopping"),
        }
    }

    /// Tells what has changed from now on.
    fn events(&self, asked: &Asked) -> Reply {
        let reply = Reply::of("text/event-stream", Bytes::new());
        if asked.method == Method::HEAD {
            return reply;
        }
        match Arc::clone(&self.streaming).try_acquire_owned() {
            Ok(place) => Reply {
                events: Some(Events::begin(self.board.clone(), self.jobs.clone(), place)),
                ..reply
            },
            Err(_full) => not_yet("too many browsers look on; ask again later"),
        }
    }

    /// Looks anew, on a thread that may wait for slow disks.
    async fn plan(&self) -> Reply {
        let Ok(_alone) = self.looking.acquire().await else {
            return not_yet("the daemon is stopping");
        };
        let observer = self.rules().observer;
        let looked = tokio::task::spawn_blocking(move || {
            look(&mut || observer.facts(&Words::default()))
                .map(|(_facts, checked)| planned(checked.plan(), &[]))
        });
        match looked.await {
            Ok(Ok(planned)) => json(&planned),
            Ok(Err(why)) => error(StatusCode::INTERNAL_SERVER_ERROR, chain(&why)),
            Err(_ended) => not_yet("the daemon is stopping"),
        }
    }

    async fn receipts(&self, query: &str) -> Reply {
        let wanted = match receipts::Wanted::of_query(query, clock::wall_seconds()) {
            Ok(wanted) => wanted,
            Err(why) => return error(StatusCode::BAD_REQUEST, why.to_string()),
        };
        let Ok(_alone) = self.looking.acquire().await else {
            return not_yet("the daemon is stopping");
        };
        let state_dir = self.store.dir().to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let matches = |record: &AuditRecord| wanted.takes(record);
            observe::receipts::read(&state_dir, &matches)
                .map(|found| wanted.newest(receipts(found)))
        });
        match read.await {
            Ok(Ok(answer)) => json(&answer),
            Ok(Err(why)) => error(StatusCode::INTERNAL_SERVER_ERROR, chain(&why)),
            Err(_ended) => not_yet("the daemon is stopping"),
        }
    }
}

/// The name of this host, as the kernel has it.
fn host_name() -> String {
    let system = rustix::system::uname();
    Raw::new(system.nodename().to_bytes()).to_string()
}

fn whole(body: Bytes) -> Reply {
    Reply::of(JSON, body)
}

fn json(answer: &impl serde::Serialize) -> Reply {
    match board::text(answer) {
        Ok(text) => whole(text),
        Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
    }
}

fn aged(reply: Reply, now: i64, at: i64) -> Reply {
    Reply {
        age: u64::try_from(now.saturating_sub(at)).ok(),
        ..reply
    }
}

/// A failure as JSON.
fn error(status: StatusCode, why: impl Into<String>) -> Reply {
    let answer = super::answers::Failure { error: why.into() };
    match board::text(&answer) {
        Ok(text) => Reply {
            status,
            ..whole(text)
        },
        Err(_never) => Reply::text(status, answer.error),
    }
}

fn not_yet(why: &str) -> Reply {
    error(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// `ok`, or what is wrong.
fn sentence(troubles: &[String]) -> Reply {
    if troubles.is_empty() {
        Reply::text(StatusCode::OK, "ok")
    } else {
        Reply::text(StatusCode::SERVICE_UNAVAILABLE, troubles.join("\n"))
    }
}
