//! Refusals that hold a destroy back, as the audit log tells them: a line when one begins or its reasons
//! change, and one when it is over; not one a pass.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::guards::{Refusal, Weight};
use super::plan::Plan;
use super::steps::Kept;

/// What is held back as of the last line about it: `held_back.json` in `state_dir`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Each subject as the audit log names it, with the codes that were told.
    pub subjects: BTreeMap<String, BTreeSet<Refusal>>,
}

/// A line to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about, as in the lines of steps.
    pub subject: String,
    /// Whether it is held back from now on, or no longer.
    pub is_held: bool,
    /// Every reason, or which reasons it were.
    pub why: String,
}

impl HeldBack {
    /// The file's name in `state_dir`.
    pub const NAME: &'static str = "held_back.json";

    /// What is so after this plan, and what is to be told of that. A plan for one thing (`whole` is
    /// false) tells nothing of the others: they stay as they were.
    #[must_use]
    pub fn after(&self, plan: &Plan, whole: bool) -> (Self, Vec<Change>) {
        let mut now = Self::default();
        let mut changes = Vec::new();
        for kept in plan.kept.iter().filter(|kept| holds_back(kept)) {
            let subject = subject(kept);
            let codes: BTreeSet<Refusal> = kept.reasons.iter().map(|reason| reason.code).collect();
            if self.subjects.get(&subject) != Some(&codes) {
                let why: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
                changes.push(Change {
                    subject: subject.clone(),
                    is_held: true,
                    why: why.join("; "),
                });
            }
            now.subjects.insert(subject, codes);
        }
        for (subject, codes) in &self.subjects {
            if now.subjects.contains_key(subject) {
                continue;
            }
            if whole {
                let codes: Vec<&str> = codes.iter().map(|code| code.code()).collect();
                changes.push(Change {
                    subject: subject.clone(),
                    is_held: false,
                    why: format!("it was: {}", codes.join(", ")),
                });
            } else {
                now.subjects.insert(subject.clone(), codes.clone());
            }
        }
        (now, changes)
    }
}

/// Whether a destroy or an overdue orphan waits behind something that an operator should see.
fn holds_back(kept: &Kept) -> bool {
    let blocks = |code: Refusal| code.weight() == Weight::Blocking;
    kept.due && kept.reasons.iter().any(|reason| blocks(reason.code))
}

fn subject(kept: &Kept) -> String {
    match (&kept.volume, &kept.trash) {
        (Some(key), Some((id, _))) => format!("{key} (trash entry {id}) on {}", kept.disk),
        (Some(key), None) => format!("{key} on {}", kept.disk),
        (None, _) => kept.path.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decide::facts::Moment;
    use crate::decide::guards::Reason;
    use crate::decide::memory::Memory;
    use crate::mesos::disk::{DiskRef, DiskType};
    use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
    use crate::units::{Raw, Span};

    pub(crate) fn kept(id: &str, due: bool, reasons: &[(Refusal, &str)]) -> Kept {
        Kept {
            volume: Some(VolumeKey::new(Role::new("db"), PersistenceId::new(id))),
            disk: DiskRef {
                kind: DiskType::Path,
                root: Raw::from("/mnt/a"),
            },
            path: Raw::from("/mnt/a/volumes/roles/db").join(Raw::from(id)),
            trash: None,
            due,
            reasons: reasons
                .iter()
                .map(|(code, detail)| Reason::new(*code, *detail))
                .collect(),
        }
    }

    pub(crate) fn plan(kept: Vec<Kept>) -> Plan {
        let now = Moment {
            boot_id: "b".to_owned(),
            since_boot: Span::ZERO,
            wall_seconds: 0,
        };
        Plan {
            id: "p".to_owned(),
            steps: Vec::new(),
            kept,
            doubts: Vec::new(),
            memory: Memory::new(&now),
            by: None,
            memory_unknown: false,
            memory_written: false,
        }
    }

    #[test]
    fn one_line_when_it_begins_one_when_it_changes_and_one_when_it_is_over() {
        let busy = |pid: &str| plan(vec![kept("a", true, &[(Refusal::InUseFd, pid)])]);
        let (now, told) = HeldBack::default().after(&busy("process 7"), true);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].subject, "db/a on PATH:/mnt/a");
        assert!(
            told[0].is_held && told[0].why == "in_use_fd: process 7",
            "{told:?}"
        );
        // Another process, the same rule: nothing new.
        let (now, told) = now.after(&busy("process 8"), true);
        assert_eq!(told, []);
        let both = [
            (Refusal::InUseFd, "process 8"),
            (Refusal::Symlink, "it is one"),
        ];
        let (now, told) = now.after(&plan(vec![kept("a", true, &both)]), true);
        assert_eq!(told.len(), 1);
        // What an operator asked of another volume tells nothing of this one.
        let (now, told) = now.after(&plan(Vec::new()), false);
        assert_eq!(told, []);
        let (now, told) = now.after(&plan(Vec::new()), true);
        assert!(
            !told[0].is_held && told[0].why == "it was: in_use_fd, symlink",
            "{told:?}"
        );
        assert_eq!(now, HeldBack::default());
    }

    #[test]
    fn what_waits_or_is_simply_kept_is_no_refusal() {
        let plan = plan(vec![
            kept("waits", true, &[(Refusal::GracePeriod, "1h")]),
            kept("held", false, &[(Refusal::InUseMount, "process 7")]),
        ]);
        assert_eq!(HeldBack::default().after(&plan, true).1, []);
    }
}
