//! Why something is as it is: every rule that was tried, what it found, and what happened before.
//!
//! Nothing is judged here a second time. A disk's rules are those that discovery noted on its way to
//! the verdict; a volume's are the guards that the planner asked, split into those that refused and
//! those that had nothing to say.

mod guards;

use serde::Serialize;

pub use self::guards::{SWEEPABLE, sweepable, volume};
use super::discover::{DiskVerdict, Verdict};
use super::guards::Reason;
use super::ledger::{Ledger, LedgerRoot};
use super::preflight::missing::Emit;
use crate::mesos::disk::DiskRef;

/// What a rule said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It speaks against it.
    No,
    /// It was tried, and has nothing against it.
    Pass,
    /// It was not tried, for the reason given.
    Untried,
}

impl Answer {
    /// The word of the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "NO",
            Self::Pass => "pass",
            Self::Untried => "-",
        }
    }
}

/// One rule and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its stable code.
    pub code: &'static str,
    /// What it said.
    pub answer: Answer,
    /// What it saw.
    pub evidence: String,
    /// What an operator can do; only where it says no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Rule {
    fn no(reason: &Reason) -> Self {
        let evidence = if reason.detail.is_empty() {
            reason.code.reason().to_owned()
        } else {
            reason.detail.clone()
        };
        Self {
            code: reason.code.code(),
            answer: Answer::No,
            evidence,
            remedy: Some(reason.code.remedy().to_owned()),
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Seconds since 1970, where it is known.
    pub at: Option<i64>,
    /// What happened.
    pub what: String,
}

/// The rules for one question about a thing: may it be offered, may it be swept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// What was asked.
    pub question: &'static str,
    /// The answer, in a sentence.
    pub answer: String,
    /// Every rule, in the order in which they were tried.
    pub rules: Vec<Rule>,
}

/// What is so with a thing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it is about.
    pub subject: String,
    /// What was asked about it.
    pub questions: Vec<Question>,
    /// What happened to it, oldest first.
    pub history: Vec<Event>,
}

/// Why a disk, mount or device is offered or not.
#[must_use]
pub fn offer(verdict: &DiskVerdict) -> Question {
    let mut rules: Vec<Rule> = verdict
        .passes
        .iter()
        .map(|passed| Rule {
            code: passed.code.as_str(),
            answer: Answer::Pass,
            evidence: passed.evidence.to_string(),
            remedy: None,
        })
        .collect();
    let answer = match &verdict.verdict {
        Verdict::Offered(offer) => format!("yes, with {} MB: {}", offer.number, offer.reason),
        Verdict::Rejected(rejection) => {
            rules.push(Rule {
                code: rejection.code.as_str(),
                answer: Answer::No,
                evidence: rejection.sentence.clone(),
                remedy: rejection.remedy.clone(),
            });
            let instead = match &verdict.last_good {
                Some(last) if last.emit == Emit::LastGood => {
                    format!("; its last good number, {} MB, stays", last.number)
                }
                Some(_) => "; it is left out".to_owned(),
                None => String::new(),
            };
            format!(
                "no, {}{instead}; rules after this one were not tried",
                rejection.code
            )
        }
    };
    Question {
        question: "is it offered to Mesos?",
        answer,
        rules,
    }
}

/// What the ledger says of a disk, oldest first.
#[must_use]
pub fn history(ledger: &Ledger, disk: &DiskRef) -> Vec<Event> {
    let Some(entry) = ledger.root(disk) else {
        return Vec::new();
    };
    let LedgerRoot {
        fingerprint,
        advertised,
        first_seen,
        last_seen,
        changes,
        ..
    } = entry;
    let mut events = vec![Event {
        at: Some(*first_seen),
        what: "first seen".to_owned(),
    }];
    events.extend(changes.iter().map(|change| Event {
        at: Some(change.at),
        what: change.what.clone(),
    }));
    let verified = fingerprint.as_ref().map_or_else(
        || "never verified for sweeping".to_owned(),
        |print| format!("verified as {} {}", print.fs_type, print.filesystem),
    );
    let number = advertised.map_or_else(
        || "never advertised by us".to_owned(),
        |number| format!("advertised with {number} MB"),
    );
    events.push(Event {
        at: Some(*last_seen),
        what: format!("last seen; {verified}; {number}"),
    });
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::discover::{Code, Form, LastGood, Passes, Rejection, Subject};
    use crate::decide::ledger::LedgerChange;
    use crate::mesos::disk::DiskType;
    use crate::mesos::ids::Role;
    use crate::units::Megabytes;

    fn disk() -> DiskRef {
        DiskRef {
            kind: DiskType::Path,
            root: "/p".into(),
        }
    }

    #[test]
    fn answers_have_the_words_of_the_table() {
        let words = [Answer::No, Answer::Pass, Answer::Untried].map(Answer::word);
        assert_eq!(words, ["NO", "pass", "-"]);
    }

    #[test]
    fn a_disk_that_is_not_offered_says_what_stands_in_for_it() {
        let answer = |emit: Option<Emit>| {
            let last_good = emit.map(|emit| LastGood {
                number: Megabytes::whole(70),
                form: Form {
                    role: Role::new("*"),
                    parts: Vec::new(),
                    known: None,
                    adopted: None,
                },
                emit,
                agent: None,
                degrades: true,
            });
            offer(&DiskVerdict {
                subject: Subject::Path("/p".into()),
                disk: Some(disk()),
                path: Some("/p".into()),
                role: None,
                device: None,
                filesystem: None,
                mount: None,
                passes: Passes::default(),
                verdict: Verdict::Rejected(Rejection::new(Code::TooSmall, "it is", "mend it")),
                last_good,
            })
            .answer
        };
        let tried = "rules after this one were not tried";
        assert_eq!(answer(None), format!("no, too_small; {tried}"));
        assert_eq!(
            answer(Some(Emit::LastGood)),
            format!("no, too_small; its last good number, 70 MB, stays; {tried}")
        );
        assert_eq!(
            answer(Some(Emit::LeaveOut)),
            format!("no, too_small; it is left out; {tried}")
        );
    }

    #[test]
    fn what_the_ledger_says_of_a_disk_is_told_from_its_first_sight_to_its_last() {
        let mut root = LedgerRoot::new(disk(), 10);
        root.last_seen = 30;
        root.advertised = Some(Megabytes::whole(70));
        root.changes.push(LedgerChange {
            at: 20,
            what: "it grew".to_owned(),
        });
        let mut ledger = Ledger::default();
        assert_eq!(history(&ledger, &disk()), []);
        ledger.roots.push(root);
        let told: Vec<_> = history(&ledger, &disk())
            .into_iter()
            .map(|event| (event.at, event.what))
            .collect();
        let one = |at, what: &str| (Some(at), what.to_owned());
        assert_eq!(
            told,
            [
                one(10, "first seen"),
                one(20, "it grew"),
                one(
                    30,
                    "last seen; never verified for sweeping; advertised with 70 MB"
                ),
            ]
        );
    }
}
