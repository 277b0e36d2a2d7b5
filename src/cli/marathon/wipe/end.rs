//! What became of the volumes of a wiped instance.
//!
//! On this host its agent's checkpoint and a sweep tell; on another its sidecar does. That a volume is
//! in nobody's list is believed only of one who knew it before and sees everything now.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::host::operate;
use crate::cli::{Context, Exit};
use crate::daemon::clients;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Ask, Sweep};
use crate::daemon::pass::look;
use crate::decide::facts::{MarathonWipe, Words};
use crate::decide::listing::{self, VolumeState};
use crate::decide::own::names_none;
use crate::mesos::ids::PersistenceId;
use crate::mesos::resource::Resource;
use crate::observe::checkpoints::observe_committed;
use crate::observe::sidecar::{NoAnswer, Sidecars, Volume};
use crate::observe::{clock, master};
use crate::sys::http::Site;
use crate::units::{Raw, Span, chain};

/// How often a checkpoint, or a sidecar, is asked again.
const LOOK: Duration = Duration::from_millis(300);
/// What a guard keeps may be let go a moment later (a process ends, an agent has recovered).
const PATIENCE: Span = Span(Duration::from_secs(15));

/// What became of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// Nothing was done with it yet, or it was not come to.
    Open,
    /// Its data is gone.
    Gone,
    /// It is destroyed; its data waits in the trash for its retention.
    Trashed,
    /// It is destroyed; a guard keeps its data.
    Kept,
    /// Its agent still holds it, or nobody can say.
    Held,
    /// It is destroyed, as the master believes; nobody there can tell what became of its data.
    Unverified,
}

impl End {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Open => "not begun",
            Self::Gone => "gone",
            Self::Trashed => "destroyed; its data waits in the trash",
            Self::Kept => "destroyed; its data was kept",
            Self::Held => "undecided",
            Self::Unverified => "destroyed; what became of its data can't be told",
        }
    }

    pub(super) const fn exit(self) -> Exit {
        match self {
            Self::Open | Self::Gone | Self::Trashed => Exit::Done,
            Self::Kept => Exit::Refused,
            Self::Held | Self::Unverified => Exit::Error,
        }
    }

    /// Whether nothing is left to be waited for.
    pub(super) const fn is_over(self) -> bool {
        match self {
            Self::Gone | Self::Trashed => true,
            Self::Open | Self::Kept | Self::Held | Self::Unverified => false,
        }
    }
}

/// A volume and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    pub(super) persistence_id: String,
    pub(super) end: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

impl Ended {
    pub(super) fn open(id: &str) -> Self {
        Self {
            persistence_id: id.to_owned(),
            end: End::Open,
            detail: None,
        }
    }

    pub(super) fn new(id: &str, end: End, detail: String) -> Self {
        Self {
            persistence_id: id.to_owned(),
            end,
            detail: Some(detail).filter(|detail| !detail.is_empty()),
        }
    }
}

/// What one look says of a volume.
enum Seen {
    /// That is its end.
    Ended(End, String),
    /// It may be another soon.
    Passing(End, String),
}

/// Who tells of Mesos and of other hosts.
pub(super) struct Mesos {
    sidecars: Sidecars,
    master: Option<Site>,
}

impl Mesos {
    pub(super) fn new(context: &Context) -> anyhow::Result<Self> {
        let settings = context.settings();
        let master = if settings.master.urls.is_empty() {
            None
        } else {
            Some(clients::master(settings).context("the master can't be asked")?)
        };
        Ok(Self {
            sidecars: clients::sidecars(settings)?,
            master,
        })
    }

    /// Whether the sidecar of its host knows all its volumes: only that one can tell later that they
    /// are gone.
    pub(super) fn knows(&self, wipe: &MarathonWipe) -> bool {
        let Some(host) = &wipe.host else {
            return false;
        };
        let is = |volume: &Volume, id: &String| volume.id.as_ref() == Some(id);
        self.sidecars.volumes(host).is_ok_and(|there| {
            let has = |id: &String| there.volumes.iter().any(|one| is(one, id));
            wipe.volumes.iter().all(has)
        })
    }

    /// On another host.
    pub(super) fn end_there(&self, wipe: &MarathonWipe, wait: Span) -> Vec<Ended> {
        let begin = clock::since_boot();
        loop {
            let seen = wipe
                .volumes
                .iter()
                .zip(self.seen_there(wipe))
                .map(|(id, seen)| (id.clone(), seen))
                .collect();
            let waited = clock::since_boot().minus(begin);
            if let Some(ended) = settle(seen, waited, wait) {
                return ended;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn seen_there(&self, wipe: &MarathonWipe) -> Vec<Seen> {
        let each = |seen: &dyn Fn(&String) -> Seen| wipe.volumes.iter().map(seen).collect();
        let Some(host) = &wipe.host else {
            return each(&|_| Seen::Ended(End::Unverified, "its host is not known".to_owned()));
        };
        let answer = self.sidecars.volumes(host);
        let there = match answer {
            Ok(there) => there,
            Err(why) => return each(&|id| self.without_sidecar(wipe, id, &why)),
        };
        let unsure = there.unsure();
        each(&|id| {
            let mut rows = there
                .volumes
                .iter()
                .filter(|one| one.id.as_ref() == Some(id));
            match rows.next() {
                Some(row) => self.row_there(host, row),
                None if !wipe.known_there => Seen::Ended(
                    End::Unverified,
                    format!("the sidecar of {host} did not know it before"),
                ),
                None if !unsure.is_empty() => Seen::Passing(
                    End::Unverified,
                    format!(
                        "the sidecar of {host} does not see everything: {}",
                        unsure.join("; ")
                    ),
                ),
                None => Seen::Ended(End::Gone, String::new()),
            }
        })
    }

    fn row_there(&self, host: &str, row: &Volume) -> Seen {
        let codes: Vec<&str> = row.reasons.iter().map(|why| why.code.as_str()).collect();
        match row.state.as_str() {
            "held" | "pending" | "vanished" => {
                Seen::Passing(End::Held, format!("the agent of {host} still holds it"))
            }
            "trashed" => {
                let trash = self.sidecars.trash(host);
                let item = trash.ok().and_then(|trash| {
                    let is = |id: &String| row.trash.as_ref() == Some(id);
                    trash.items.into_iter().find(|item| is(&item.id))
                });
                match item.map(|item| item.expires_in_ms) {
                    Some(Some(left)) if left > 0 => {
                        Seen::Ended(End::Trashed, in_trash(host, Some(left)))
                    }
                    Some(None) => Seen::Passing(End::Kept, codes.join(", ")),
                    Some(Some(_)) | None => Seen::Passing(End::Trashed, in_trash(host, None)),
                }
            }
            other => Seen::Passing(
                End::Kept,
                format!("{other} on {host}: {}", codes.join(", ")),
            ),
        }
    }

    /// Without a sidecar only the master is left, who knows nothing of data.
    fn without_sidecar(&self, wipe: &MarathonWipe, id: &str, why: &NoAnswer) -> Seen {
        let held = |what: String| Seen::Passing(End::Held, format!("{what}; {why}"));
        let (Some(master), Some(agent)) = (&self.master, &wipe.agent) else {
            return held(
                "no master is configured that could tell whether its agent holds it".into(),
            );
        };
        match master::agent(master, &Raw::from(agent.as_str())) {
            Err(error) => held(chain(&error)),
            Ok(None) => held(format!("agent {agent} is not registered")),
            Ok(Some(entry)) => {
                let mut keys = entry.resources.iter().filter_map(Resource::volume_key);
                if keys.any(|key| key.id == PersistenceId::new(id)) {
                    held(format!("agent {agent} still holds it"))
                } else if wipe.known_there {
                    // It may be back in a moment.
                    Seen::Passing(End::Unverified, why.to_string())
                } else {
                    Seen::Ended(End::Unverified, why.to_string())
                }
            }
        }
    }
}

/// On this host.
pub(super) fn here(
    ids: &BTreeSet<PersistenceId>,
    wait: Span,
    context: &Context,
) -> anyhow::Result<Vec<Ended>> {
    let work_dir = context.settings().agent.work_dir.as_path();
    let begin = clock::since_boot();
    while !names_none(&observe_committed(work_dir)?.checkpoint, ids) {
        if clock::since_boot().minus(begin) >= wait {
            let why = format!("the agent's checkpoint still names it after {wait}");
            let held = |id: &PersistenceId| Ended::new(&id.to_string(), End::Held, why.clone());
            return Ok(ids.iter().map(held).collect());
        }
        std::thread::sleep(LOOK);
    }
    let begin = clock::since_boot();
    loop {
        operate(context, Ask::Sweep(Sweep::default()))
            .context("the volumes are destroyed; this host could not be swept")?;
        let seen = seen_here(ids, context)?;
        let waited = clock::since_boot().minus(begin);
        if let Some(ended) = settle(seen, waited, wait) {
            return Ok(ended);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn in_trash(host: &str, left: Option<u64>) -> String {
    match left {
        Some(left) => format!("on {host}, for {}", Span(Duration::from_millis(left))),
        None => format!("on {host}"),
    }
}

/// The ends, where all of them are reached, or nothing more is to be waited for.
fn settle(seen: Vec<(String, Seen)>, waited: Span, wait: Span) -> Option<Vec<Ended>> {
    let patient = |end: End| match end {
        End::Kept => waited < PATIENCE && waited < wait,
        End::Open | End::Gone | End::Trashed | End::Held | End::Unverified => waited < wait,
    };
    let mut ended = Vec::new();
    for (id, seen) in seen {
        match seen {
            Seen::Passing(end, _) if patient(end) => return None,
            Seen::Ended(end, detail) | Seen::Passing(end, detail) => {
                ended.push(Ended::new(&id, end, detail));
            }
        }
    }
    Some(ended)
}

fn seen_here(
    ids: &BTreeSet<PersistenceId>,
    context: &Context,
) -> anyhow::Result<Vec<(String, Seen)>> {
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    let plan = checked.plan();
    let rows = listing::volumes(&facts, plan);
    let trash = listing::trash(&facts, plan);
    let doubts: Vec<String> = plan.doubts.iter().map(ToString::to_string).collect();
    let seen = ids.iter().map(|id| {
        let is = |row: &&listing::VolumeRow| row.key.as_ref().is_some_and(|key| key.id == *id);
        let seen = match rows.iter().find(is) {
            None if doubts.is_empty() => Seen::Ended(End::Gone, String::new()),
            None => Seen::Passing(End::Held, doubts.join("; ")),
            Some(row) => {
                let why: Vec<String> = row
                    .reasons
                    .iter()
                    .map(|reason| format!("{reason}; {}", reason.code.remedy()))
                    .collect();
                match row.state {
                    VolumeState::Held | VolumeState::Pending | VolumeState::Vanished => {
                        Seen::Passing(End::Held, why.join("; "))
                    }
                    VolumeState::Trashed => {
                        let item = trash
                            .iter()
                            .find(|item| row.trash.as_ref() == Some(&item.id));
                        match item.map(|item| item.expires_in) {
                            Some(Some(left)) if left > Span::ZERO => {
                                Seen::Ended(End::Trashed, format!("for {left}"))
                            }
                            Some(None) => Seen::Passing(End::Kept, why.join("; ")),
                            Some(Some(_)) | None => Seen::Passing(End::Trashed, why.join("; ")),
                        }
                    }
                    VolumeState::Destroyed | VolumeState::Orphan | VolumeState::Foreign => {
                        Seen::Passing(End::Kept, why.join("; "))
                    }
                }
            }
        };
        (id.to_string(), seen)
    });
    Ok(seen.collect())
}
