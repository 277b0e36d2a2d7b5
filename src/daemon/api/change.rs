//! What is asked of the daemon to change something: by whom, written down, then done.

use std::sync::atomic::{AtomicI64, Ordering};

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Api, Change, Door, Peer, error, json, not_yet};
use crate::config::SocketWriters;
use crate::daemon::answers::jobs::jobs;
use crate::daemon::http::{Asked, Reply};
use crate::daemon::operate::{Ask, OperateError};
use crate::daemon::operations::Operation;
use crate::daemon::run::Order;
use crate::decide::facts::Who;
use crate::decide::receipts::AuditRecord;
use crate::observe::clock;
use crate::units::{Raw, chain};

/// How many seconds lie between two refusals in the audit log: who may not write must not be able to
/// fill it either.
const BETWEEN_REFUSALS: i64 = 10;

/// `POST /v1/pause` and `/v1/resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::daemon) struct Hold {
    /// The root, as Mesos spells it; null for all of them.
    root: Option<String>,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    let body = if body.is_empty() { b"{}" } else { body };
    // A list would be read as an object's values in their order.
    let value: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(_) => return Err(error(StatusCode::BAD_REQUEST, "the body is no JSON object")),
    };
    serde_json::from_value(value.into()).map_err(|why| {
        let why = Raw::from(why.to_string());
        error(
            StatusCode::BAD_REQUEST,
            format!("the body is not what is asked for here: {why}"),
        )
    })
}

/// What the body asks for; `None` for what is no pass.
fn ask(change: Change, body: &[u8]) -> Result<Option<Ask>, Reply> {
    Ok(Some(match change {
        Change::Sweep => Ask::Sweep(parse(body)?),
        Change::Purge => Ask::Purge(parse(body)?),
        Change::Restore => Ask::Restore(parse(body)?),
        Change::Wipe => Ask::Wipe(parse(body)?),
        Change::Recreate => Ask::Recreate(parse(body)?),
        Change::Accept => Ask::Accept(parse(body)?),
        Change::Adopt => Ask::Adopt(parse(body)?),
        Change::Destroy => Ask::Destroy(parse(body)?),
        Change::Pause | Change::Resume => return Ok(None),
    }))
}

impl Api {
    /// Does what is asked, if it may be asked, and answers when it is done.
    pub(super) async fn change(&self, change: Change, asked: &Asked) -> Reply {
        let Door::Socket(peer) = asked.door else {
            return error(StatusCode::NOT_FOUND, "there is nothing here");
        };
        let for_group = self.rules().writers == SocketWriters::Group;
        // Nothing else takes data away that somebody holds: it is done with the daemon's own rights at
        // the master.
        let for_root_alone = change == Change::Destroy;
        if !peer.is_root() && (for_root_alone || !for_group) {
            self.refused(asked, peer).await;
            let why = if for_root_alone && for_group {
                "may not destroy what is held; be root"
            } else {
                "may look, and change nothing; be root, or see daemon.socket_writers"
            };
            return error(StatusCode::FORBIDDEN, format!("user {} {why}", peer.uid));
        }
        let ask = match ask(change, &asked.body) {
            Ok(ask) => ask,
            Err(reply) => return reply,
        };
        let Some(ask) = ask else {
            return self.hold(change, asked, peer).await;
        };
        let Ok(_place) = self.asking.try_acquire() else {
            return not_yet("others wait already until what they asked for is done; ask again");
        };
        if let Err(reply) = self.written(asked, peer, "asked").await {
            return reply;
        }
        let (reply, answer) = oneshot::channel();
        let by = Who {
            via: "api".to_owned(),
            uid: peer.uid,
            pid: peer.pid,
            login_uid: None,
        };
        let order = Order::Operate(Box::new(Operation { ask, by, reply }));
        if self.orders.send(order).is_err() {
            return not_yet("the daemon is stopping");
        }
        match answer.await {
            Ok(Ok(operated)) => json(&operated),
            Ok(Err(why)) => {
                let status = match &why {
                    OperateError::Usage(_) => StatusCode::BAD_REQUEST,
                    OperateError::Refused(_) => StatusCode::CONFLICT,
                    OperateError::Missing(_) => StatusCode::NOT_FOUND,
                    OperateError::Pass(_)
                    | OperateError::Halfway { .. }
                    | OperateError::Ledger(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                error(status, chain(&why))
            }
            Err(_ended) => {
                not_yet("the daemon is stopping; what was begun goes on at its next start")
            }
        }
    }

    /// Pauses or resumes.
    async fn hold(&self, change: Change, asked: &Asked, peer: Peer) -> Reply {
        let hold: Hold = match parse(&asked.body) {
            Ok(hold) => hold,
            Err(reply) => return reply,
        };
        let pause = change == Change::Pause;
        // A pause of a root that is misspelt would protect nothing.
        if let (Some(root), Some(looked)) = (&hold.root, self.board.disks())
            && pause
        {
            let roots = looked.disks.disks.iter().filter(|disk| disk.kind.is_some());
            let roots: Vec<&str> = roots.filter_map(|disk| disk.root.as_deref()).collect();
            if !roots.contains(&root.as_str()) {
                let there = roots.join(", ");
                let root = Raw::from(root.as_str());
                let why = format!("{root} is no root of this host; there are {there}");
                return error(StatusCode::NOT_FOUND, why);
            }
        }
        if let Err(reply) = self.written(asked, peer, "asked").await {
            return reply;
        }
        let workers = self.jobs.clone();
        let root = hold.root.map(Raw::from);
        let changed = tokio::task::spawn_blocking(move || {
            if pause {
                workers.pause(root.as_ref())
            } else {
                workers.resume(root.as_ref())
            }
        });
        match changed.await {
            Ok(Ok(())) => json(&jobs(&self.jobs)),
            Ok(Err(why)) => {
                let why = format!(
                    "in force for as long as the daemon runs, and not written down: {}",
                    chain(&why)
                );
                error(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
            Err(_ended) => not_yet("the daemon is stopping"),
        }
    }

    /// Writes down who asks for what; without that nothing is done.
    async fn written(&self, asked: &Asked, peer: Peer, event: &str) -> Result<(), Reply> {
        let pid = peer
            .pid
            .map_or_else(String::new, |pid| format!(", process {pid}"));
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let record = AuditRecord {
            at: clock::wall_seconds(),
            plan: String::new(),
            step: asked.path.trim_start_matches("/v1/").to_owned(),
            subject: format!("asked through the socket by user {}{pid}", peer.uid),
            event: event.to_owned(),
            by: None,
            receipt: None,
            why: Some(body).filter(|body| !body.is_empty()),
        };
        tracing::info!(
            uid = peer.uid,
            pid = peer.pid,
            path = asked.path,
            event,
            "asked"
        );
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.audit(&record)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => {
                let why = format!("nothing was done: {}", chain(&why));
                Err(error(StatusCode::INTERNAL_SERVER_ERROR, why))
            }
            Err(_ended) => Err(not_yet("the daemon is stopping")),
        }
    }

    /// Somebody asked who may not.
    async fn refused(&self, asked: &Asked, peer: Peer) {
        static LAST: AtomicI64 = AtomicI64::new(0);
        let now = clock::since_boot();
        let now = i64::try_from(now.0.as_secs()).unwrap_or(i64::MAX);
        let last = LAST.load(Ordering::Relaxed);
        if last != 0 && now.saturating_sub(last) < BETWEEN_REFUSALS {
            tracing::debug!(uid = peer.uid, path = asked.path, "may not, ignoring");
            return;
        }
        LAST.store(now.max(1), Ordering::Relaxed);
        // It is refused whether that can be written down or not; the log has it in any case.
        let _logged = self.written(asked, peer, "refused").await;
    }
}
