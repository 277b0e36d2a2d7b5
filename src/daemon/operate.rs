//! What an operator asks for: one code for commands that do it themselves and for the daemon, which
//! does it for them and for whoever asks through its socket.
//!
//! Each is a pass with the operator's words in the facts: words narrow what a pass does and waive what
//! they say, and every other guard stands. What takes long is a job; the daemon makes further passes
//! with the same words when its jobs have ended, and answers then.

mod asks;
mod meant;

use serde::{Deserialize, Serialize};

use super::answers::plan::{Became, Planned, StepResult, planned};
use super::answers::trash::{DoneEntry, Word, done_entry};
use super::destroy::OwnDestroy;
use super::host::Shared;
use super::observer::{Observer, ObserverError};
use super::operator::{self, Became as Entry};
use super::pass::{Pass, PassError, pass};
use crate::act::executor::Host;
use crate::decide::facts::{AdoptWord, Facts, Who, Words};
use crate::decide::guards::Reason;
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::decide::plan::Plan;
use crate::decide::steps::{Kept, TrashId};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

pub use asks::{Accept, Adopt, Ask, Destroy, Purge, Recreate, Restore, Sweep, Wipe};
pub use meant::confirmed;
use meant::named;

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
            Ask::Sweep(_) if last.is_blind() => refused(None),
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
