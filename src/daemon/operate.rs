//! What an operator asks for: one code for commands that do it themselves and for the daemon, which
//! does it for them and for whoever asks through its socket.
//!
//! Each is a pass with the operator's words in the facts: words narrow what a pass does and waive what
//! they say, and every other guard stands. What takes long is a job; the daemon makes further passes
//! with the same words when its jobs have ended, and answers then.

use serde::{Deserialize, Serialize};

use super::answers::plan::{Became, Planned, StepResult, planned};
use super::answers::trash::{DoneEntry, Word, done_entry};
pub use super::destroy::Destroy;
use super::destroy::OwnDestroy;
use super::host::Shared;
use super::observer::{Observer, ObserverError};
use super::operator::{self, Became as Entry};
use super::pass::{Pass, PassError, look, pass};
use crate::act::executor::Host;
use crate::act::sys::Sys as _;
use crate::act::wipe::promise;
use crate::decide::facts::{AdoptWord, Facts, Who, WipeMode, Words};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::decide::plan::Plan;
use crate::decide::steps::{Kept, TrashId};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `sweep`.
    Sweep(Sweep),
    /// `trash purge`.
    Purge(Purge),
    /// `trash restore`.
    Restore(Restore),
    /// `wipe`.
    Wipe(Wipe),
    /// `volumes recreate`.
    Recreate(Recreate),
    /// `disk accept`.
    Accept(Accept),
    /// `volumes adopt`.
    Adopt(Adopt),
    /// `volumes destroy`.
    Destroy(Destroy),
}

/// One pass over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sweep {
    /// An empty checkpoint is right as it is; in force after a full grace period.
    pub accept_empty: bool,
    /// Up to so many steps without a witnessed destroy are wanted now.
    pub confirm_brake: Option<u32>,
}

/// Trash entries that are to go now, whatever their retention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Purge {
    /// Their names, as `GET /v1/trash` has them.
    pub entries: Vec<String>,
    /// Every entry; then none is named.
    pub all: bool,
}

/// A trash entry that is to go back to its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restore {
    /// Its name, as `GET /v1/trash` has it.
    pub entry: String,
}

/// A volume that is to be wiped now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Wipe {
    /// As role/persistence-id, or its path.
    pub volume: String,
    /// The persistence id again.
    pub confirm: String,
    /// What is promised; null for what the configuration says.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<super::answers::schemas::WipeModes>"))]
    pub mode: Option<WipeMode>,
    /// What the mode can't guarantee is refused, with nothing touched.
    #[serde(default)]
    pub strict: bool,
}

/// A held volume whose missing directory is to be made again, empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recreate {
    /// As role/persistence-id.
    pub volume: String,
    /// The persistence id again.
    pub confirm: String,
}

/// A root that is right as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Accept {
    /// The root, as Mesos spells it.
    pub root: String,
}

/// A volume that nobody names and that is wanted all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Adopt {
    /// As role/persistence-id.
    pub volume: String,
    /// On this disk only, as Mesos spells its root; null for every one where it lies. A MOUNT disk has
    /// to be named.
    #[serde(default)]
    pub root: Option<String>,
    /// The mark is taken back.
    #[serde(default)]
    pub undo: bool,
}

/// What came of it: the pass, and a word for the whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Operated {
    /// What was done, and what is left.
    #[serde(flatten)]
    pub planned: Planned,
    /// Entries of the trash that were named, and what became of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<DoneEntry>,
    /// How it ended.
    pub result: Ending,
    /// Why it was refused, where that is to be said.
    pub why: Option<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Ending {
    /// Done, or nothing to do.
    Done,
    /// A guard refused something that was due or asked for.
    Refused,
    /// A step was tried and did not work; wins over the others.
    Failed,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A rule forbids it.
    #[error("{0}")]
    Refused(String),
    /// What it is about is not there.
    #[error("{0}")]
    Missing(String),
    /// The host could not be looked at, or what was seen not be written down.
    #[error(transparent)]
    Pass(#[from] PassError<ObserverError>),
    /// The same, after something was begun.
    #[error("{what}")]
    Halfway {
        /// What was begun, and how it goes on.
        what: String,
        /// Why it was not gone on with.
        #[source]
        source: PassError<ObserverError>,
    },
    /// The ledger is damaged.
    #[error(transparent)]
    Ledger(#[from] ObserverError),
}

/// What is asked for, understood: volumes and entries that are there, promises that can be kept.
#[derive(Clone, Debug)]
pub struct Prepared {
    ask: Ask,
    /// For the facts of each of its passes.
    words: Words,
    by: Who,
    /// What was observed a moment ago, for its first pass; every later one observes anew.
    seen: Option<Facts>,
    /// How far a destroy is.
    destroy: Option<OwnDestroy>,
}

/// A pass that was made for it.
#[derive(Debug)]
pub struct Turn {
    /// The pass.
    pub pass: Pass,
    /// Entries of the trash that were named, with what became of each.
    pub entries: Vec<(TrashId, Entry)>,
}

impl Ask {
    /// The name of its route and in the audit log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sweep(_) => "sweep",
            Self::Purge(_) => "purge",
            Self::Restore(_) => "restore",
            Self::Wipe(_) => "wipe",
            Self::Recreate(_) => "recreate",
            Self::Accept(_) => "accept",
            Self::Adopt(_) => "adopt",
            Self::Destroy(_) => "destroy",
        }
    }

    /// Its parameters, as JSON.
    #[must_use]
    pub fn body(&self) -> serde_json::Value {
        match self {
            Self::Sweep(sweep) => serde_json::json!(sweep),
            Self::Purge(purge) => serde_json::json!(purge),
            Self::Restore(restore) => serde_json::json!(restore),
            Self::Wipe(wipe) => serde_json::json!(wipe),
            Self::Recreate(recreate) => serde_json::json!(recreate),
            Self::Accept(accept) => serde_json::json!(accept),
            Self::Adopt(adopt) => serde_json::json!(adopt),
            Self::Destroy(destroy) => serde_json::json!(destroy),
        }
    }

    /// Understands it, looking at the host where that is needed.
    ///
    /// # Errors
    /// Where it makes no sense, or a rule forbids it; nothing was done then.
    pub fn prepare(
        self,
        by: Who,
        observer: &Observer,
        shared: &Shared,
    ) -> Result<Prepared, OperateError> {
        // A damaged ledger is refused here, before anything is done.
        observer.ledger()?;
        let mut seen = None;
        let mut own = None;
        let words = match &self {
            Self::Sweep(sweep) => Words {
                accept_empty: sweep.accept_empty,
                confirm_brake: sweep.confirm_brake,
                ..Words::default()
            },
            Self::Purge(purge) => Words {
                purge: purge.named(observer)?,
                ..Words::default()
            },
            // Its words are made with its pass.
            Self::Restore(_) => Words::default(),
            Self::Wipe(wipe) => {
                let (words, facts) = wipe.words(observer, shared)?;
                seen = facts;
                words
            }
            Self::Recreate(recreate) => {
                let key = named(&recreate.volume)?;
                confirmed(&key, &recreate.confirm)?;
                Words {
                    recreate: Some(key),
                    ..Words::default()
                }
            }
            Self::Accept(accept) => Words {
                accept_root: Some(Raw::from(accept.root.as_str())),
                ..Words::default()
            },
            Self::Adopt(adopt) => Words {
                adopt: Some(AdoptWord {
                    volume: named(&adopt.volume)?,
                    root: adopt.root.as_deref().map(Raw::from),
                    undo: adopt.undo,
                }),
                ..Words::default()
            },
            // Its words are made with each of its passes.
            Self::Destroy(destroy) => {
                let key = named(&destroy.volume)?;
                confirmed(&key, &destroy.confirm)?;
                own = Some(OwnDestroy::new(key, by.clone(), observer.confirm()));
                Words::default()
            }
        };
        let words = Words {
            by: Some(by.clone()),
            ..words
        };
        Ok(Prepared {
            ask: self,
            words,
            by,
            seen,
            destroy: own,
        })
    }
}

impl Prepared {
    /// Makes a pass for it.
    ///
    /// # Errors
    /// Where the host could not be looked at, or what was seen not be written down.
    pub fn turn<H: Host>(
        &mut self,
        observer: &Observer,
        host: &mut H,
    ) -> Result<Turn, OperateError> {
        let mut seen = self.seen.take();
        let observe = |words: &Words| observer.facts(words);
        let by = || self.by.clone();
        if let Some(destroy) = &mut self.destroy {
            return Ok(Turn {
                pass: destroy.turn(observer, host)?,
                entries: Vec::new(),
            });
        }
        let operator::Answer { entries, pass } = match &self.ask {
            Ask::Restore(Restore { entry }) => {
                operator::restore(&observe, host, &TrashId(entry.clone()), by())?
            }
            Ask::Purge(_) => operator::purge(&observe, host, &self.words.purge, by())?,
            Ask::Sweep(_)
            | Ask::Wipe(_)
            | Ask::Recreate(_)
            | Ask::Accept(_)
            | Ask::Adopt(_)
            | Ask::Destroy(_) => operator::Answer {
                entries: Vec::new(),
                pass: pass(
                    &mut || match seen.take() {
                        Some(facts) => Ok(Facts {
                            words: self.words.clone(),
                            ..facts
                        }),
                        None => observe(&self.words),
                    },
                    host,
                )?,
            },
        };
        Ok(Turn { pass, entries })
    }

    /// Whether another pass for it may have more to do once the jobs of the last one have ended. What
    /// names trash entries is over with them.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        match self.ask {
            Ask::Sweep(_) | Ask::Wipe(_) | Ask::Recreate(_) | Ask::Accept(_) => true,
            Ask::Purge(_) | Ask::Restore(_) | Ask::Adopt(_) => false,
            Ask::Destroy(_) => self.destroy.as_ref().is_some_and(OwnDestroy::goes_on),
        }
    }

    /// Whether its next pass is to be made only when the agent's checkpoint shows something, or the
    /// time for that is over ([`Prepared::heard`]).
    #[must_use]
    pub fn awaits(&self) -> bool {
        self.destroy.as_ref().is_some_and(OwnDestroy::awaits)
    }

    /// Whether its next pass is to be made now.
    #[must_use]
    pub fn heard(&self, observer: &Observer) -> bool {
        let waits = |destroy: &OwnDestroy| !destroy.heard(observer);
        !self.destroy.as_ref().is_some_and(waits)
    }

    /// What came of it, after its last pass; `outcomes` are those of all of them.
    #[must_use]
    pub fn finish(&self, turn: &Turn, outcomes: Vec<Became>) -> Operated {
        let pass = &turn.pass;
        let entries: Vec<DoneEntry> = turn
            .entries
            .iter()
            .map(|(id, entry)| done_entry(&(id.clone(), settled(id, entry, &outcomes))))
            .collect();
        let (result, why) = self.ending(&pass.facts, &pass.last, &outcomes, &entries);
        Operated {
            entries,
            planned: Planned {
                outcomes,
                ..planned(&pass.last, &[])
            },
            result,
            why,
        }
    }

    fn ending(
        &self,
        facts: &Facts,
        last: &Plan,
        outcomes: &[Became],
        entries: &[DoneEntry],
    ) -> (Ending, Option<String>) {
        let any = |result| outcomes.iter().any(|step| step.result == result);
        if let Some(destroy) = &self.destroy {
            return destroy.ending(last, any(StepResult::Failed));
        }
        if any(StepResult::Failed) {
            return (Ending::Failed, None);
        }
        let blocked = last.blocked() || any(StepResult::Refused);
        let refused = |why: Option<String>| (Ending::Refused, why);
        match &self.ask {
            Ask::Sweep(_) | Ask::Accept(_) if blocked => refused(None),
            Ask::Sweep(_) | Ask::Accept(_) => (Ending::Done, None),
            Ask::Purge(_) | Ask::Restore(_) => {
                let any = |word| entries.iter().any(|entry| entry.became == word);
                let missing = matches!(self.ask, Ask::Restore(_)) && any(Word::Missing);
                if any(Word::Failed) || missing {
                    (Ending::Failed, None)
                } else if any(Word::Kept) {
                    refused(None)
                } else {
                    (Ending::Done, None)
                }
            }
            Ask::Wipe(_) => match wiped(facts, last, self.words.wipe.as_ref(), blocked) {
                Ok(()) => (Ending::Done, None),
                Err(why) => refused(Some(why)),
            },
            Ask::Adopt(_) => match self.words.adopt.as_ref().map(|word| adopted(facts, word)) {
                None | Some(Ok(())) => (Ending::Done, None),
                Some(Err(why)) => refused(Some(why)),
            },
            // Told above.
            Ask::Destroy(_) => (Ending::Failed, None),
            Ask::Recreate(_) => {
                let key = self.words.recreate.as_ref();
                let made = outcomes.iter().any(|step| {
                    step.step == "create"
                        && matches!(step.result, StepResult::Done | StepResult::Identity)
                });
                let there = listing::volumes(facts, last)
                    .iter()
                    .any(|row| row.key.as_ref() == key && row.state == VolumeState::Held);
                if made || there {
                    return (Ending::Done, None);
                }
                let key = key.map(ToString::to_string).unwrap_or_default();
                refused(Some(format!(
                    "{key} was not made: it is not a held ROOT or PATH volume whose directory is \
                     missing on a root that can be used; see `mesos-volumed volumes list`"
                )))
            }
        }
    }
}

/// What became of an entry, where a worker had it and has ended.
fn settled(id: &TrashId, entry: &Entry, outcomes: &[Became]) -> Entry {
    let named = format!("(trash entry {id})");
    let about = |step: &&Became| step.subject.contains(&named);
    let Some(step) = outcomes.iter().rfind(about) else {
        return entry.clone();
    };
    match (entry, step.result) {
        // It went with an earlier pass, and the last one saw nothing of it any more.
        (Entry::UnderWay, _) | (Entry::Missing, StepResult::Done) => {}
        _ => return entry.clone(),
    }
    match step.result {
        StepResult::Done if step.step == "restore" => {
            let path = step.detail.get("path").cloned().unwrap_or_default();
            Entry::Restored {
                at: serde_json::from_value(path).unwrap_or_else(|_| Raw::from("?")),
            }
        }
        StepResult::Done => Entry::Purged,
        StepResult::Refused => match serde_json::from_value::<Reason>(step.detail.clone()) {
            Ok(reason) => Entry::Kept(vec![reason]),
            Err(_) => Entry::Failed(step.text.clone()),
        },
        StepResult::Failed | StepResult::Stale => Entry::Failed(step.text.clone()),
        StepResult::Identity | StepResult::Started => Entry::UnderWay,
    }
}

/// Whether a volume is adopted by now (or no longer), or why not. A plain MOUNT disk needs no mark: it
/// is never an orphan.
fn adopted(facts: &Facts, word: &AdoptWord) -> Result<(), String> {
    let key = &word.volume;
    let is_marked = !operator::marked(facts, key).is_empty();
    if word.undo {
        return if is_marked {
            Err(format!("the mark of {key} is still there"))
        } else {
            Ok(())
        };
    }
    if is_marked || operator::plain_mount(facts, word.root.as_ref()).is_some() {
        return Ok(());
    }
    Err(format!(
        "{key} was not adopted: it has no directory that nobody names on a root that can be used; see \
         `mesos-volumed volumes list`. A MOUNT disk has to be named with --root; an entry of the trash is \
         restored with `mesos-volumed trash restore`"
    ))
}

/// Whether nothing is left of the volume, or why it is.
fn wiped(facts: &Facts, last: &Plan, key: Option<&VolumeKey>, blocked: bool) -> Result<(), String> {
    let rows = listing::volumes(facts, last);
    let left: Vec<&VolumeRow> = rows.iter().filter(|row| row.key.as_ref() == key).collect();
    // What it left on a MOUNT disk has no row.
    let kept: Vec<&Kept> = last
        .kept
        .iter()
        .filter(|kept| kept.volume.as_ref() == key && kept.disk.kind == DiskType::Mount)
        .collect();
    if left.is_empty() && kept.is_empty() && !blocked {
        return Ok(());
    }
    let of_rows = left.iter().flat_map(|row| &row.reasons);
    let of_kept = kept.iter().flat_map(|kept| &kept.reasons);
    let mut why: Vec<String> = of_rows.chain(of_kept).map(ToString::to_string).collect();
    why.sort();
    why.dedup();
    let held = left.iter().any(|row| {
        matches!(
            row.state,
            VolumeState::Held | VolumeState::Pending | VolumeState::Vanished
        )
    });
    let what = if held { "is held by Mesos and" } else { "" };
    let key = key.map(ToString::to_string).unwrap_or_default();
    Err(format!("{key} {what} was not wiped: {}", why.join("; ")))
}

impl Purge {
    /// The entries that are meant; each must be there.
    fn named(&self, observer: &Observer) -> Result<Vec<TrashId>, OperateError> {
        if self.all != self.entries.is_empty() {
            return Err(OperateError::Usage(
                "name the entries to purge, or --all (`\"all\": true`)".to_owned(),
            ));
        }
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let known: Vec<TrashId> = listing::trash(&facts, checked.plan())
            .into_iter()
            .map(|item| item.id)
            .collect();
        if self.all {
            return match operator::unseen(&facts).first() {
                None => Ok(known),
                Some(why) => Err(OperateError::Refused(format!("{why}; nothing was purged"))),
            };
        }
        let named: Vec<TrashId> = self.entries.iter().cloned().map(TrashId).collect();
        match named.iter().find(|id| !known.contains(id)) {
            None => Ok(named),
            Some(id) => Err(OperateError::Missing(format!(
                "there is no trash entry {}; see `mesos-volumed trash list`",
                Raw::from(id.0.as_str())
            ))),
        }
    }
}

fn named(volume: &str) -> Result<VolumeKey, OperateError> {
    VolumeKey::named(volume).ok_or_else(|| {
        OperateError::Usage(format!(
            "`{}` is no volume: write role/persistence-id, as `volumes list` shows it",
            Raw::from(volume)
        ))
    })
}

/// The most dangerous verbs ask for the id a second time.
///
/// # Errors
/// Where it is another one.
pub fn confirmed(key: &VolumeKey, confirm: &str) -> Result<(), OperateError> {
    if key.id.as_raw().as_bytes() == confirm.as_bytes() {
        return Ok(());
    }
    Err(OperateError::Refused(format!(
        "not_confirmed: --confirm {} is not the persistence id of {key}; nothing was done",
        Raw::from(confirm)
    )))
}

impl Wipe {
    /// What it means, and what was observed for that, where planning from it is not too late.
    fn words(
        &self,
        observer: &Observer,
        shared: &Shared,
    ) -> Result<(Words, Option<Facts>), OperateError> {
        let (key, disk, facts) = self.find(observer)?;
        confirmed(&key, &self.confirm)?;
        let words = Words {
            wipe: Some(key.clone()),
            wipe_root: disk.map(|disk| disk.root),
            mode: self.mode,
            strict: self.strict,
            ..Words::default()
        };
        // Directories that were looked into take as long as they are large.
        let seen = match promised(&key, &words, observer, shared)? {
            Looked::No => Some(facts),
            Looked::Into => None,
        };
        Ok((words, seen))
    }

    /// The volume that is meant, which must be on this host, the MOUNT disk that was named for it, and
    /// the facts that show it.
    fn find(
        &self,
        observer: &Observer,
    ) -> Result<(VolumeKey, Option<DiskRef>, Facts), OperateError> {
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let rows = listing::volumes(&facts, checked.plan());
        // What a volume left on a MOUNT disk has no directory, and no row.
        let left = checked.plan().kept.iter().filter(|kept| {
            kept.trash.is_none() && kept.disk.kind == DiskType::Mount && kept.path == kept.disk.root
        });
        let left = left.filter_map(|kept| Some((kept.volume.as_ref()?, &kept.path, &kept.disk)));
        let listed = rows
            .iter()
            .filter_map(|row| Some((row.key.as_ref()?, &row.path, row.disk.as_ref()?)));
        let all: Vec<(&VolumeKey, &Raw, &DiskRef)> = listed.chain(left).collect();
        let volume = self.volume.as_str();
        let is_path = volume.starts_with('/');
        let found = if is_path {
            let path = Raw::from(volume.trim_end_matches('/'));
            let there = || all.iter().filter(|(_, at, _)| **at == path);
            // Several may have been on one MOUNT disk: the id tells which.
            let meant = there().find(|(key, ..)| confirmed(key, &self.confirm).is_ok());
            meant.or_else(|| there().next()).map(|(key, _, disk)| {
                let mount = (disk.kind == DiskType::Mount && disk.root == path).then_some(*disk);
                ((*key).clone(), mount.cloned())
            })
        } else {
            VolumeKey::named(volume)
                .filter(|key| {
                    rows.iter().any(|row| row.key.as_ref() == Some(key))
                        || all.iter().any(|(one, ..)| *one == key)
                })
                .map(|key| (key, None))
        };
        let (key, disk) = found.ok_or_else(|| {
            let code = if is_path {
                format!("{}: ", Refusal::NotAVolumePath)
            } else {
                "no_such_volume: ".to_owned()
            };
            OperateError::Refused(format!(
                "{code}there is no volume {} on this host, and nothing was touched; see \
                 `mesos-volumed volumes list`. A MOUNT disk whose volume was never seen held is \
                 nobody's garbage (its data may be there on purpose)",
                Raw::from(volume)
            ))
        })?;
        Ok((key, disk, facts))
    }
}

/// Whether directories were looked into, which takes as long as they are large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    No,
    Into,
}

/// Under --strict nothing is even moved to the trash where the mode can't keep its promise.
fn promised(
    key: &VolumeKey,
    words: &Words,
    observer: &Observer,
    shared: &Shared,
) -> Result<Looked, OperateError> {
    let policy = observer.policy();
    let kinds = [DiskType::Root, DiskType::Path, DiskType::Mount];
    let method = |kind| {
        words
            .method(key, kind, &policy)
            .unwrap_or_else(|| policy.method(kind))
    };
    // Without it nothing is refused here, and nothing has to be looked at.
    if !kinds.into_iter().any(|kind| method(kind).strict) {
        return Ok(Looked::No);
    }
    let (facts, checked) = look(&mut || observer.facts(words))?;
    for row in listing::volumes(&facts, checked.plan()) {
        // What is held, or not there, is refused by the pass.
        let (Some(disk), VolumeState::Orphan | VolumeState::Destroyed) = (&row.disk, row.state)
        else {
            continue;
        };
        if row.key.as_ref() != Some(key) {
            continue;
        }
        let method = method(disk.kind);
        if !method.strict {
            continue;
        }
        let kernel = shared.desk.sys.as_ref();
        // What can't be opened is refused by the pass, with its reason.
        let Ok(dir) = kernel.open_root(row.path.as_path()) else {
            continue;
        };
        let control = shared.pace.control();
        if let Err(broken) = promise(kernel, &dir, method, &control) {
            let code = Refusal::ModeRefused;
            return Err(OperateError::Refused(format!(
                "{key} was not touched: {code}: {} can't keep its promise for {broken}; {}",
                method.mode,
                code.remedy()
            )));
        }
    }
    Ok(Looked::Into)
}
