//! What an operator asks for by name: restore, purge. One code for the commands and for the
//! daemon's socket: each takes an observer and a host, makes a pass for that one matter under the
//! same guards as every pass, and says what became of it.

use crate::act::executor::{Host, StepOutcome};
use crate::act::outcome::Outcome;
use crate::daemon::pass::{Pass, PassError, pass};
use crate::decide::facts::{Facts, Known, RootFacts, Who, Words};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::listing;
use crate::decide::manifest::TrashState;
use crate::decide::steps::TrashId;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::{Raw, chain};

/// Observes the host with these words.
pub type Observe<'a, E> = dyn Fn(&Words) -> Result<Facts, E> + 'a;

/// What became of a trash entry that an operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is back in its place, and adopted.
    Restored {
        /// That place.
        at: Raw,
    },
    /// Its data is gone, and the entry too.
    Purged,
    /// A worker has it; its end is in the audit log.
    UnderWay,
    /// It was left as it is, for every one of these reasons.
    Kept(Vec<Reason>),
    /// It was tried and did not work: what is left is said. It goes on at the next pass.
    Failed(String),
    /// There is no such entry, or it had no data.
    Missing,
}

/// What became of what an operator asked for.
#[derive(Debug)]
pub struct Answer {
    /// Each entry that was named.
    pub entries: Vec<(TrashId, Became)>,
    /// The pass that was made.
    pub pass: Pass,
}

impl Answer {
    /// Whether something was tried and did not work.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.pass.failed() || self.any(|became| matches!(became, Became::Failed(_)))
    }

    /// Whether a guard kept something from being done.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.any(|became| matches!(became, Became::Kept(_)))
    }

    /// Whether an entry was not there.
    #[must_use]
    pub fn missing(&self) -> bool {
        self.any(|became| matches!(became, Became::Missing))
    }

    fn any(&self, is: impl Fn(&Became) -> bool) -> bool {
        self.entries.iter().any(|(_, became)| is(became))
    }
}

/// Moves an entry of the trash back to its place and marks its volume as adopted.
pub fn restore<H: Host, E: std::error::Error + 'static>(
    observe: &Observe<'_, E>,
    host: &mut H,
    entry: &TrashId,
    by: Who,
) -> Result<Answer, PassError<E>> {
    let words = Words {
        restore: Some(entry.clone()),
        by: Some(by),
        ..Words::default()
    };
    let pass = pass(&mut || observe(&words), host)?;
    let became = match last_of(&pass, "restore") {
        Some(Outcome::Done(receipt)) => Became::Restored {
            at: receipt.path.clone(),
        },
        outcome => unfinished(outcome).unwrap_or_else(|| left(&pass, entry)),
    };
    Ok(Answer {
        entries: vec![(entry.clone(), became)],
        pass,
    })
}

/// Wipes these entries of the trash now, whatever their retention.
pub fn purge<H: Host, E: std::error::Error + 'static>(
    observe: &Observe<'_, E>,
    host: &mut H,
    entries: &[TrashId],
    by: Who,
) -> Result<Answer, PassError<E>> {
    // A word without an entry would be one for everything: a sweep. No entry has an empty name.
    let nothing = [TrashId(String::new())];
    let words = Words {
        purge: if entries.is_empty() {
            &nothing
        } else {
            entries
        }
        .to_vec(),
        by: Some(by),
        ..Words::default()
    };
    let pass = pass(&mut || observe(&words), host)?;
    let entries = entries
        .iter()
        .map(|id| {
            let about = |step: &&StepOutcome| {
                let named = format!("(trash entry {id})");
                matches!(step.step, "wipe" | "void") && step.subject.contains(&named)
            };
            let became = match pass.outcomes.iter().rfind(about).map(|step| &step.outcome) {
                Some(Outcome::Done(_)) => Became::Purged,
                outcome => unfinished(outcome).unwrap_or_else(|| left(&pass, id)),
            };
            (id.clone(), became)
        })
        .collect();
    Ok(Answer { entries, pass })
}

/// The disks on which the volume is adopted.
#[must_use]
pub fn marked(facts: &Facts, key: &VolumeKey) -> Vec<DiskRef> {
    facts
        .roots
        .iter()
        .filter(|root| {
            let marks = root.adopted.known().into_iter().flatten();
            marks.into_iter().any(|mark| mark.volume == *key)
        })
        .map(|root| root.disk.clone())
        .collect()
}

/// The MOUNT disk at this root, where it has no hidden side for marks.
#[must_use]
pub fn plain_mount<'a>(facts: &'a Facts, root: Option<&Raw>) -> Option<&'a DiskRef> {
    let found = facts.roots.iter().find(|found| {
        found.kind() == DiskType::Mount
            && Some(&found.disk.root) == root
            && matches!(found.hidden, Known::Absent)
    });
    found.map(|root| &root.disk)
}

/// What became of the last step of this name.
fn last_of<'a>(pass: &'a Pass, name: &str) -> Option<&'a Outcome> {
    let mut steps = pass.outcomes.iter().rev();
    steps
        .find(|step| step.step == name)
        .map(|step| &step.outcome)
}

fn unfinished(outcome: Option<&Outcome>) -> Option<Became> {
    match outcome? {
        Outcome::Started => Some(Became::UnderWay),
        Outcome::Refused(reason) => Some(Became::Kept(vec![reason.clone()])),
        Outcome::Failed(error) => Some(Became::Failed(chain(error))),
        Outcome::Identity | Outcome::Done(_) | Outcome::Stale(_) => None,
    }
}

/// What the last look says of an entry.
fn left(pass: &Pass, id: &TrashId) -> Became {
    let items = listing::trash(&pass.facts, &pass.last);
    match items.into_iter().find(|item| item.id == *id) {
        Some(item) if item.reasons.is_empty() && item.state == Some(TrashState::Wiping) => {
            Became::UnderWay
        }
        Some(item) => Became::Kept(item.reasons),
        None => {
            let unseen = unseen(&pass.facts);
            if unseen.is_empty() {
                Became::Missing
            } else {
                Became::Kept(unseen)
            }
        }
    }
}

/// Trashes that can't be seen: nobody may say that an entry is in none.
pub(super) fn unseen(facts: &Facts) -> Vec<Reason> {
    let of = |root: &RootFacts| {
        let why = root.trash.why()?;
        Some(Reason::new(
            Refusal::ForeignTrash,
            format!("the trash of {} can't be seen: {why}", root.disk),
        ))
    };
    facts.roots.iter().filter_map(of).collect()
}
