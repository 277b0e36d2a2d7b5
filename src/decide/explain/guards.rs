//! The guards of volumes, trash entries and roots.

mod rules;

use std::collections::BTreeSet;

use rules::{
    MOUNT, NAME, PLACE, ROOT, TRASH_FIRST, TRASH_LAST, UNNAMED, USE, answers, evidence_untried,
    root_untried, use_untried,
};

use super::{Answer, Event, Explanation, Question, Rule};
use crate::decide::authority::Claims;
use crate::decide::facts::{Facts, Known};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::memory::Memory;
use crate::decide::plan::Plan;
use crate::decide::radar::{self, Alarm, AlarmKind};
use crate::decide::roots::RootView;
use crate::decide::steps::{Step, TrashPlace};
use crate::decide::volumes::{Finding, Judge};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::Raw;

/// The question about a root.
pub const SWEEPABLE: &str = "may its volumes be made, moved and wiped?";

/// The question about a volume's mounts.
const RADAR: &str = "is it mounted and used only as it should be?";

/// Explains every place of a volume: its directories on every root, its MOUNT disk, its trash
/// entries. Empty where nothing here knows the name. `plan` must be the plan of the same facts.
#[must_use]
pub fn volume(facts: &Facts, plan: &Plan, key: &VolumeKey) -> Vec<Explanation> {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let judge = Judge::new(facts, &claims, &plan.memory, &views);
    let mut told = Told {
        plan,
        key,
        alarms: radar::alarms(facts, &claims, &views, &plan.memory),
        seen: BTreeSet::new(),
        explanations: Vec::new(),
    };
    for view in &views {
        if let Some(dir) = view.dirs.get(key) {
            told.directory(
                view,
                &judge.directory(view, key, dir),
                &dir.path(&view.root.disk),
            );
        }
        told.trash(view);
    }
    let named: Vec<DiskRef> = claims
        .get(key)
        .into_iter()
        .flat_map(|claim| claim.disks.iter().cloned())
        .collect();
    let remembered = plan
        .memory
        .volumes
        .iter()
        .filter(|record| record.key == *key)
        .flat_map(|record| record.places.iter().map(|place| place.disk.clone()));
    // A MOUNT that an operator named for it, which it was never seen on.
    let kept = plan
        .kept
        .iter()
        .filter(|kept| {
            kept.volume.as_ref() == Some(key)
                && kept.trash.is_none()
                && kept.disk.kind == DiskType::Mount
        })
        .map(|kept| kept.disk.clone());
    let disks: BTreeSet<DiskRef> = named.into_iter().chain(remembered).chain(kept).collect();
    for disk in disks {
        told.without_directory(&claims, &views, &disk);
    }
    if told.explanations.is_empty() && claims.get(key).is_some() {
        told.nowhere(&claims);
    }
    told.explanations
}

/// Whether a root may be swept, as a question of its own for `explain <disk>`; `None` for a disk
/// that is no root of this agent's.
#[must_use]
pub fn sweepable(facts: &Facts, disk: &DiskRef) -> Option<Question> {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let view = views.iter().find(|view| view.root.disk == *disk)?;
    let rules = answers(&ROOT, &view.reasons, |code| root_untried(view, code));
    Some(Question {
        question: SWEEPABLE,
        answer: match view.reasons.first() {
            None => "yes".to_owned(),
            Some(reason) => format!("no, {}", reason.code),
        },
        rules,
    })
}

struct Told<'a> {
    plan: &'a Plan,
    key: &'a VolumeKey,
    alarms: Known<Vec<Alarm>>,
    /// Disks whose directory was explained.
    seen: BTreeSet<DiskRef>,
    explanations: Vec<Explanation>,
}

impl Told<'_> {
    fn directory(&mut self, view: &RootView<'_>, finding: &Finding, path: &Raw) {
        let disk = &view.root.disk;
        self.seen.insert(disk.clone());
        // The brake is the plan's, not the directory's.
        let mut reasons = finding.reasons.clone();
        reasons.extend(self.kept_at(disk, path));
        reasons.sort();
        reasons.dedup();
        let tried: Vec<Refusal> = [&ROOT[..], &PLACE, &NAME, &USE, &UNNAMED].concat();
        let rules = answers(&tried, &reasons, |code| {
            root_untried(view, code)
                .or_else(|| use_untried(&reasons, code))
                .or_else(|| {
                    (finding.named && UNNAMED.contains(&code))
                        .then(|| "the volume is named, so it stays whatever its age".to_owned())
                })
                .or_else(|| evidence_untried(finding, &reasons, code))
        });
        let step =
            self.plan.steps.iter().find(
                |step| matches!(step, Step::Quarantine { place, .. } if place.path() == *path),
            );
        let answer = match (step, &finding.evidence) {
            (Some(Step::Quarantine { manifest, .. }), _) => {
                format!("yes, it will be moved to the trash: {}", manifest.evidence)
            }
            (_, Some(evidence)) => format!("not yet, although {evidence}"),
            _ if finding.due => "not yet, although its time has come".to_owned(),
            _ if finding.named => "no, it is named".to_owned(),
            _ => "no".to_owned(),
        };
        self.explanations.push(Explanation {
            subject: format!("volume {} at {path}, on {disk}", self.key),
            questions: vec![
                Question {
                    question: "may it be moved to the trash and wiped?",
                    answer,
                    rules,
                },
                self.radar(path),
            ],
            history: self.history(disk, path),
        });
    }

    fn trash(&mut self, view: &RootView<'_>) {
        let root = view.root;
        for entry in root.trash.known().into_iter().flatten() {
            let Known::Known(manifest) = &entry.manifest else {
                continue;
            };
            if manifest.volume != *self.key {
                continue;
            }
            let kept = self.plan.kept.iter().find(|kept| {
                kept.disk == root.disk && kept.trash.as_ref().is_some_and(|(id, _)| *id == entry.id)
            });
            let reasons = kept.map_or(&[][..], |kept| &kept.reasons);
            let no = |code| reasons.iter().any(|reason| reason.code == code);
            let foreign = no(Refusal::ForeignTrash);
            let unconfirmed = no(Refusal::Unconfirmed);
            let blocked = !view.reasons.is_empty();
            let tried: Vec<Refusal> = [&ROOT[..], &TRASH_FIRST, &NAME, &USE, &TRASH_LAST].concat();
            let late = |code| {
                USE.contains(&code) || TRASH_LAST.contains(&code) || code == Refusal::RoleHidden
            };
            let rules = answers(&tried, reasons, |code| {
                if foreign && code != Refusal::ForeignTrash {
                    return Some("the entry is not ours to touch".to_owned());
                }
                if let Some(why) = root_untried(view, code) {
                    return Some(why);
                }
                if unconfirmed && !ROOT.contains(&code) && code != Refusal::ForeignTrash {
                    return Some("nothing is asked before the agent's confirmation".to_owned());
                }
                if blocked && (late(code) || code == Refusal::Unconfirmed) {
                    return Some("the root may not be used".to_owned());
                }
                use_untried(reasons, code)
            });
            let step = self.plan.steps.iter().find_map(|step| {
                let (place, answer) = of_entry(step)?;
                (place.disk == root.disk && place.manifest.id == entry.id).then_some(answer)
            });
            self.explanations.push(Explanation {
                subject: format!("trash entry {} of {}, on {}", entry.id, self.key, root.disk),
                questions: vec![Question {
                    question: "may it be wiped?",
                    answer: step.unwrap_or("no").to_owned(),
                    rules,
                }],
                history: vec![Event {
                    at: Some(manifest.quarantined_at),
                    what: format!("moved to the trash: {}", manifest.evidence),
                }],
            });
        }
    }

    /// A disk that the volume is or was on, without a directory of it: MOUNT disks, disks that are
    /// not there, directories that have vanished.
    fn without_directory(&mut self, claims: &Claims, views: &[RootView<'_>], disk: &DiskRef) {
        if self.seen.contains(disk) {
            return;
        }
        let view = views.iter().find(|view| view.root.disk == *disk);
        let path = match disk.kind {
            DiskType::Mount => disk.root.clone(),
            DiskType::Root | DiskType::Path => disk.root.join(paths::volume_directory(self.key)),
        };
        let mut reasons = view.map_or_else(
            || vec![Reason::from(Refusal::NotMounted)],
            |view| view.reasons.clone(),
        );
        let kept: Vec<Reason> = self.kept_at(disk, &path).collect();
        let judged = !kept.is_empty();
        reasons.extend(kept);
        let claim = claims.get(self.key);
        if let Some(claim) = claim.filter(|claim| claim.disks.contains(disk)) {
            reasons.extend(
                claim
                    .pending
                    .iter()
                    .map(|operation| Reason::new(Refusal::PendingOperation, operation.clone())),
            );
            if !claim.stale_only() {
                reasons.push(Refusal::Held.into());
            }
        }
        reasons.extend(claims.doubts.iter().cloned());
        reasons.sort();
        reasons.dedup();
        let held = claim.is_some();
        let (question, tried) = match disk.kind {
            DiskType::Mount => (
                "may the disk be emptied?",
                [&ROOT[..], &NAME, &USE, &MOUNT].concat(),
            ),
            DiskType::Root | DiskType::Path => (
                "is its directory there?",
                [&ROOT[..], &NAME[..3], &[Refusal::AuthorityUnknown]].concat(),
            ),
        };
        let emptied = self.plan.steps.iter().any(|step| {
            matches!(step,
                Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. }
                if authorization.volume() == self.key && authorization.disk() == disk)
        });
        let is_mount = disk.kind == DiskType::Mount;
        let rules = answers(&tried, &reasons, |code| {
            let unseen = view.is_none() && ROOT.contains(&code) && code != Refusal::NotMounted;
            if unseen {
                return Some("the root was not seen".to_owned());
            }
            view.and_then(|view| root_untried(view, code))
                .or_else(|| use_untried(&reasons, code))
                .or_else(|| {
                    let later = USE.contains(&code)
                        || [Refusal::NoBarrier, Refusal::RoleHidden].contains(&code);
                    (is_mount && later && !judged && !emptied)
                        .then(|| "no destroy of it is to be carried out".to_owned())
                })
        });
        let made = self.plan.steps.iter().any(
            |step| matches!(step, Step::Create { place } if place.volume == *self.key && place.disk == *disk),
        );
        let answer = match (disk.kind, held) {
            (DiskType::Mount, _) if emptied => "yes, it will be emptied".to_owned(),
            (DiskType::Mount, true) => "no, it is named".to_owned(),
            (DiskType::Mount, false) if judged && self.is_destroyed() => {
                "not yet, although the volume was destroyed".to_owned()
            }
            (DiskType::Root | DiskType::Path, _) if made => "no, it will be made".to_owned(),
            (DiskType::Root | DiskType::Path, true)
                if view.is_some_and(|v| v.reasons.is_empty()) =>
            {
                "no, it has vanished; `mesos-volumed volumes recreate` makes it again, empty"
                    .to_owned()
            }
            (DiskType::Mount, false) | (DiskType::Root | DiskType::Path, _) => "no".to_owned(),
        };
        self.explanations.push(Explanation {
            subject: format!("volume {} at {path}, on {disk}", self.key),
            questions: vec![
                Question {
                    question,
                    answer,
                    rules,
                },
                self.radar(&path),
            ],
            history: self.history(disk, &path),
        });
    }

    /// Whether its destroy was witnessed.
    fn is_destroyed(&self) -> bool {
        let mut records = self.plan.memory.volumes.iter();
        records.any(|record| {
            let gone = record.gone.as_ref();
            record.key == *self.key && gone.is_some_and(|gone| gone.evidence.is_some())
        })
    }

    /// A volume that only a task names.
    fn nowhere(&mut self, claims: &Claims) {
        let mut reasons = vec![Reason::from(Refusal::Held)];
        reasons.extend(claims.doubts.iter().cloned());
        self.explanations.push(Explanation {
            subject: format!("volume {}", self.key),
            questions: vec![Question {
                question: "where is it?",
                answer: "it is named, and no disk of this host is known to hold it".to_owned(),
                rules: answers(
                    &[Refusal::Held, Refusal::AuthorityUnknown],
                    &reasons,
                    |_| None,
                ),
            }],
            history: Vec::new(),
        });
    }

    fn alarms_at(&self, path: &Raw) -> impl Iterator<Item = &Alarm> {
        let found = self.alarms.known().into_iter().flatten();
        found.filter(move |alarm| alarm.path == *path && alarm.volume == *self.key)
    }

    /// Whether its mounts and users are as they should be.
    fn radar(&self, path: &Raw) -> Question {
        let rules = AlarmKind::ALL.map(|kind| {
            let alarm = self.alarms_at(path).find(|alarm| alarm.kind == kind);
            let (answer, evidence) = match (alarm, self.alarms.why()) {
                (Some(alarm), _) => (Answer::No, alarm.evidence()),
                (None, Some(why)) => (Answer::Untried, why.to_string()),
                (None, None) => (Answer::Pass, kind.passed().to_owned()),
            };
            Rule {
                code: kind.code(),
                answer,
                evidence,
                remedy: alarm.map(|alarm| alarm.kind.remedy().to_owned()),
            }
        });
        let bad: Vec<&str> = self
            .alarms_at(path)
            .map(|alarm| alarm.kind.code())
            .collect();
        Question {
            question: RADAR,
            answer: match (bad.as_slice(), &self.alarms) {
                ([], Known::Known(_)) => "it is".to_owned(),
                ([], Known::Absent | Known::Unknown(_)) => "that can't be told".to_owned(),
                (bad, _) => format!("it is not: {}", bad.join(", ")),
            },
            rules: rules.into(),
        }
    }

    fn history(&self, disk: &DiskRef, path: &Raw) -> Vec<Event> {
        let mut events = history(&self.plan.memory, self.key, disk);
        events.extend(self.alarms_at(path).map(|alarm| Event {
            at: alarm.since,
            what: format!(
                "{} first seen, {} of lived time ago",
                alarm.kind, alarm.seen_for
            ),
        }));
        events
    }

    fn kept_at(&self, disk: &DiskRef, path: &Raw) -> impl Iterator<Item = Reason> {
        self.plan
            .kept
            .iter()
            .filter(move |kept| {
                kept.disk == *disk
                    && kept.path == *path
                    && kept.trash.is_none()
                    && kept.volume.as_ref().is_none_or(|key| key == self.key)
            })
            .flat_map(|kept| kept.reasons.iter().cloned())
    }
}

/// The trash entry that a step is about, and what the step answers.
fn of_entry(step: &Step) -> Option<(&TrashPlace, &'static str)> {
    match step {
        Step::Wipe { entry, .. } => Some((entry, "yes, it will be wiped now")),
        Step::Clear { entry } => Some((
            entry,
            "its second look passed; it is wiped when its retention has passed",
        )),
        Step::PutBack { entry } => Some((
            entry,
            "no, it goes back: it is named again, or that can't be told",
        )),
        Step::Confirm { entry, .. } => Some((
            entry,
            "the agent confirmed its destroy; it is wiped when its retention has passed",
        )),
        Step::Void { entry } => Some((entry, "it holds no data any more; its frame is removed")),
        Step::Restore { entry, .. } => Some((entry, "no, it goes back: an operator wants it")),
        // Of one that is there already: a new one has a name that no entry has.
        Step::MoveOut { entry, .. } => Some((
            entry,
            "not yet: the rest of it is moved out of its disk first",
        )),
        Step::AdoptRoot { .. }
        | Step::Quarantine { .. }
        | Step::EmptyMount { .. }
        | Step::OpenGate
        | Step::Bar { .. }
        | Step::Adopt { .. }
        | Step::Unadopt { .. }
        | Step::Tidy { .. }
        | Step::Call { .. }
        | Step::Create { .. } => None,
    }
}

/// What was sighted and remembered of a volume, oldest first. Lived time has no date.
fn history(memory: &Memory, key: &VolumeKey, disk: &DiskRef) -> Vec<Event> {
    let ago = |at| format!("{} ago (lived time)", memory.clock.lived.minus(at));
    let event = |what: String| Event { at: None, what };
    let mut events = Vec::new();
    for record in memory.volumes.iter().filter(|record| record.key == *key) {
        if record.places.iter().any(|place| place.disk == *disk) {
            events.push(event(format!(
                "last named by an authority {}",
                ago(record.named_at)
            )));
        }
        for operation in &record.pending_destroys {
            events.push(event(format!("DESTROY operation {operation} was read")));
        }
        if let Some(gone) = &record.gone {
            let how = gone.evidence.as_ref().map_or_else(
                || "nothing witnessed a destroy".to_owned(),
                ToString::to_string,
            );
            events.push(event(format!(
                "named by nobody since {}: {how}",
                ago(gone.since)
            )));
        }
    }
    for sighting in &memory.sightings {
        if sighting.key == *key && sighting.disk == *disk {
            events.push(event(format!(
                "sighted as an orphan {} times, first {}, last {}",
                sighting.times,
                ago(sighting.first),
                ago(sighting.last)
            )));
        }
    }
    events
}
