//! Writes into the audit log what holds destroys back, and when that is over.

use super::durable;
use super::executor::AuditLine;
use super::store::{Store, StoreError};
use crate::decide::held_back::HeldBack;
use crate::decide::plan::Plan;

/// A host with a hundred thousand of them stays far below this.
const LIMIT: usize = 64 << 20;

/// Appends a line for each refusal that holds something back since, in other words, or no longer. The
/// lines are durable before it is noted that they were written: a crash doubles them, and loses none.
///
/// # Errors
/// When a line, or the note, could not be written; the next pass tries again.
pub fn record(store: &Store, at: i64, plan: &Plan, whole: bool) -> Result<(), StoreError> {
    let before = read(store);
    let (now, changes) = before.after(plan, whole);
    if now == before {
        return Ok(());
    }
    let lines: Vec<AuditLine<'_>> = changes
        .iter()
        .map(|change| AuditLine {
            at,
            plan: &plan.id,
            step: "keep",
            subject: &change.subject,
            event: if change.is_held {
                "held back"
            } else {
                "no longer held back"
            },
            by: plan.by.as_ref(),
            receipt: None,
            why: Some(change.why.clone()),
        })
        .collect();
    store.audit_all(&lines)?;
    store.write_held_back(&now)
}

/// What was told; nothing where that can't be read: then it is told again.
fn read(store: &Store) -> HeldBack {
    durable::read_bounded(&store.dir().join(HeldBack::NAME), LIMIT)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::guards::Refusal;
    use crate::decide::held_back::tests::{kept, plan};

    #[test]
    fn lines_come_once_also_over_a_restart_and_again_where_the_note_is_lost() {
        let temp = tempfile::tempdir().unwrap();
        let held = plan(vec![kept("a", true, &[(Refusal::NoBarrier, "none")])]);
        let over = plan(Vec::new());
        let events = || -> Vec<String> {
            let text = std::fs::read_to_string(temp.path().join("audit/audit.jsonl")).unwrap();
            text.lines()
                .map(|line| {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    value["event"].as_str().unwrap().to_owned()
                })
                .collect()
        };
        let store = || Store::open(temp.path()).unwrap();
        record(&store(), 1, &held, true).unwrap();
        record(&store(), 2, &held, true).unwrap();
        assert_eq!(events(), ["held back"]);
        durable::replace(&temp.path().join(HeldBack::NAME), b"{", 0o600).unwrap();
        record(&store(), 3, &held, true).unwrap();
        record(&store(), 4, &over, true).unwrap();
        record(&store(), 5, &over, true).unwrap();
        assert_eq!(events(), ["held back", "held back", "no longer held back"]);
    }
}
