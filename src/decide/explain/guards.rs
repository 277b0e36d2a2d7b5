//! The guards of volumes, trash entries and roots.

use std::collections::BTreeSet;

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

/// Guards of a root, in the order in which they are asked.
const ROOT: [Refusal; 11] = [
    Refusal::ForeignRoot,
    Refusal::NotMounted,
    Refusal::NetworkFilesystem,
    Refusal::ReadOnly,
    Refusal::FilesystemFailed,
    Refusal::DeviceGone,
    Refusal::OtherView,
    Refusal::NoIdentity,
    Refusal::FingerprintMismatch,
    Refusal::FilesystemShrunk,
    Refusal::RootUnverified,
];

/// Guards of a place under `volumes/roles`.
const PLACE: [Refusal; 3] = [
    Refusal::Symlink,
    Refusal::NotAVolumePath,
    Refusal::WrongFilesystem,
];

/// Guards of a name, and of who knows it.
const NAME: [Refusal; 8] = [
    Refusal::Held,
    Refusal::PendingOperation,
    Refusal::StaleGeneration,
    Refusal::AuthorityUnknown,
    Refusal::AuthorityEmpty,
    Refusal::AgentRecovering,
    Refusal::AgentRequired,
    Refusal::RoleHidden,
];

/// Guards of who uses it, and of the operator's wishes.
const USE: [Refusal; 7] = [
    Refusal::InUseTask,
    Refusal::HoldersUnknown,
    Refusal::InUseMount,
    Refusal::InUseFd,
    Refusal::MountInside,
    Refusal::Protected,
    Refusal::Adopted,
];

/// Guards of trash entries that come before everything but the root.
const TRASH_FIRST: [Refusal; 2] = [Refusal::ForeignTrash, Refusal::Unconfirmed];

/// Guards of trash entries that come last.
const TRASH_LAST: [Refusal; 3] = [
    Refusal::WrongFilesystem,
    Refusal::Contested,
    Refusal::Retention,
];

/// Guards of MOUNT disks.
const MOUNT: [Refusal; 2] = [Refusal::NoBarrier, Refusal::ModeRefused];

/// Asked by the executor alone, when it locks a root: nothing can be said of it before.
#[cfg(test)]
const OF_THE_EXECUTOR: [Refusal; 1] = [Refusal::RootLocked];

/// Asked by `trash restore` alone.
#[cfg(test)]
const OF_RESTORING: [Refusal; 1] = [Refusal::HalfWiped];

/// Guards of evidence and time: only for what nobody names.
const UNNAMED: [Refusal; 4] = [
    Refusal::AgentDeleting,
    Refusal::GracePeriod,
    Refusal::ReportOnly,
    Refusal::Brake,
];

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
            (_, Some(evidence)) if finding.due => format!("not yet, although {evidence}"),
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
                    (is_mount && later && !judged)
                        .then(|| "no destroy of it is to be carried out".to_owned())
                })
        });
        let emptied = self.plan.steps.iter().any(|step| {
            matches!(step,
                Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. }
                if authorization.volume() == self.key && authorization.disk() == disk)
        });
        let made = self.plan.steps.iter().any(
            |step| matches!(step, Step::Create { place } if place.volume == *self.key && place.disk == *disk),
        );
        let answer = match (disk.kind, held) {
            (DiskType::Mount, _) if emptied => "yes, it will be emptied".to_owned(),
            (DiskType::Mount, true) => "no, it is named".to_owned(),
            (DiskType::Mount, false) if judged => {
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
        // A new one is not there yet.
        Step::MoveOut { entry, .. } if entry.data.is_some() => Some((
            entry,
            "not yet: the rest of it is moved out of its disk first",
        )),
        Step::AdoptRoot { .. }
        | Step::Quarantine { .. }
        | Step::EmptyMount { .. }
        | Step::MoveOut { .. }
        | Step::OpenGate
        | Step::Bar { .. }
        | Step::Adopt { .. }
        | Step::Unadopt { .. }
        | Step::Tidy { .. }
        | Step::Call { .. }
        | Step::Create { .. } => None,
    }
}

/// Every rule of the list, and every other one that said no.
fn answers(
    tried: &[Refusal],
    reasons: &[Reason],
    untried: impl Fn(Refusal) -> Option<String>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for code in tried {
        let before = rules.len();
        rules.extend(
            reasons
                .iter()
                .filter(|reason| reason.code == *code)
                .map(Rule::no),
        );
        if rules.len() > before {
            continue;
        }
        rules.push(match untried(*code) {
            Some(evidence) => Rule {
                code: code.code(),
                answer: Answer::Untried,
                evidence,
                remedy: None,
            },
            None => Rule {
                code: code.code(),
                answer: Answer::Pass,
                evidence: passed(*code).to_owned(),
                remedy: None,
            },
        });
    }
    rules.extend(
        reasons
            .iter()
            .filter(|reason| !tried.contains(&reason.code))
            .map(Rule::no),
    );
    rules
}

/// Why a guard of the root was not asked.
fn root_untried(view: &RootView<'_>, code: Refusal) -> Option<String> {
    let no = |code| view.reasons.iter().any(|reason| reason.code == code);
    let place = ROOT.iter().position(|root| *root == code)?;
    if place > 1 && !matches!(view.root.mount, Known::Known(_)) {
        return Some("nothing is mounted there".to_owned());
    }
    let identity = [
        Refusal::FingerprintMismatch,
        Refusal::FilesystemShrunk,
        Refusal::RootUnverified,
    ]
    .contains(&code);
    if identity && no(Refusal::NoIdentity) {
        return Some("the file system can't be identified".to_owned());
    }
    (code == Refusal::RootUnverified && no(Refusal::FingerprintMismatch))
        .then(|| "another file system is there".to_owned())
}

/// Why a guard of use was not asked.
fn use_untried(reasons: &[Reason], code: Refusal) -> Option<String> {
    let unknown = reasons
        .iter()
        .any(|reason| reason.code == Refusal::HoldersUnknown);
    let seen = [Refusal::InUseMount, Refusal::InUseFd, Refusal::MountInside];
    (unknown && seen.contains(&code)).then(|| "who uses it can't be told".to_owned())
}

/// Why a guard of time was not asked.
fn evidence_untried(finding: &Finding, reasons: &[Reason], code: Refusal) -> Option<String> {
    let young = reasons
        .iter()
        .any(|reason| reason.code == Refusal::GracePeriod);
    let witnessed = finding
        .evidence
        .as_ref()
        .is_some_and(crate::decide::steps::Evidence::witnessed);
    let is = |codes: &[Refusal]| codes.contains(&code);
    let why = if witnessed && is(&[Refusal::GracePeriod, Refusal::ReportOnly, Refusal::Brake]) {
        "it is for orphans only, and this was a destroy"
    } else if young && is(&[Refusal::ReportOnly, Refusal::Brake]) {
        "its time has not come"
    } else if finding.evidence.is_none() && is(&[Refusal::GracePeriod]) {
        "its destroy was read and is not concluded yet"
    } else if !reasons.is_empty() && is(&[Refusal::Brake]) {
        "other guards keep it already"
    } else {
        return None;
    };
    Some(why.to_owned())
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

/// What is so where a guard has nothing to say.
const fn passed(code: Refusal) -> &'static str {
    match code {
        Refusal::Held => "no authority names it, and it is no held volume's directory",
        Refusal::PendingOperation => "no operation on it is pending",
        Refusal::AuthorityUnknown => {
            "every checkpoint file, provider state, task.info and answer was read whole"
        }
        Refusal::AuthorityEmpty => {
            "the checkpoint is there, and did not lose everything across an agent start"
        }
        Refusal::StaleGeneration => "it is not a name that only the older checkpoint file has",
        Refusal::AgentRecovering => "the agent does not say that it is recovering",
        Refusal::RoleHidden => "the agent's answer does not hide its role, or there is none",
        Refusal::AgentRequired => "agent.require is not set, or the agent is up",
        Refusal::AgentDeleting => "no running agent may still be deleting it",
        Refusal::HoldersUnknown => "mounts and open files of every process were read",
        Refusal::InUseMount => "no process has it mounted",
        Refusal::InUseFd => "no process has anything in it open, mapped, or as its directory",
        Refusal::InUseTask => "no task that has not ended was given it",
        Refusal::MountInside => "nothing is mounted inside it",
        Refusal::Symlink => "it is no symbolic link",
        Refusal::NotAVolumePath => "it lies where Mesos keeps volumes, and is a directory",
        Refusal::WrongFilesystem => "it lies on the file system of its root",
        Refusal::FingerprintMismatch => "its file system is the one that is known under this root",
        Refusal::FilesystemShrunk => "the file system is not smaller than what is advertised of it",
        Refusal::FilesystemFailed => "the file system reports no error",
        Refusal::DeviceGone => "the device below the file system is there",
        Refusal::RootUnverified => "the root is known, or was first met with nothing missing",
        Refusal::NoIdentity => "its file system gives a UUID and file handles",
        Refusal::NotMounted => "the root is there and mounted",
        Refusal::ForeignRoot => "the agent's own files show that the root is this agent's",
        Refusal::OtherView => {
            "every agent on this host sees the same there, and no other one uses it"
        }
        Refusal::NetworkFilesystem => "the root is on a local file system",
        Refusal::ReadOnly => "the file system takes writes",
        Refusal::GracePeriod => "it was sighted twice with the grace period between",
        Refusal::Protected => "no protect glob matches it",
        Refusal::Brake => "the steps of the last 24 hours are within the brake's limit",
        Refusal::NoBarrier => "no agent runs, and its start is held back",
        Refusal::ReportOnly => "sweep.orphans lets orphans go",
        Refusal::Retention => "its retention has passed, or does not apply",
        Refusal::Contested => "its volume was not named again, and nothing lies in its place",
        Refusal::Unconfirmed => "its destroy is confirmed",
        Refusal::Adopted => "no mark beside the trash says that it is wanted",
        Refusal::HalfWiped => "its wipe has not begun",
        Refusal::ForeignTrash => "its manifest is whole, of this machine and of this work_dir",
        Refusal::RootLocked => "no other process holds the lock of its root",
        Refusal::ModeRefused => "its wipe mode can be carried out there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_is_asked_of_something() {
        let asked: Vec<Refusal> = [
            &ROOT[..],
            &PLACE,
            &NAME,
            &USE,
            &UNNAMED,
            &TRASH_FIRST,
            &TRASH_LAST,
            &MOUNT,
            &OF_THE_EXECUTOR,
            &OF_RESTORING,
        ]
        .concat();
        for refusal in Refusal::ALL {
            assert!(asked.contains(&refusal), "{refusal} is in no list");
            assert!(!passed(refusal).is_empty());
        }
    }
}
