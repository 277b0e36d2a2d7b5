//! The lists of guards that are tried, and what is said of those that had nothing to say.

use super::super::{Answer, Rule};
use crate::decide::facts::Known;
use crate::decide::guards::{Reason, Refusal};
use crate::decide::roots::RootView;
use crate::decide::volumes::Finding;

/// Guards of a root, in the order in which they are asked.
pub(super) const ROOT: [Refusal; 11] = [
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
pub(super) const PLACE: [Refusal; 3] = [
    Refusal::Symlink,
    Refusal::NotAVolumePath,
    Refusal::WrongFilesystem,
];

/// Guards of a name, and of who knows it.
pub(super) const NAME: [Refusal; 8] = [
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
pub(super) const USE: [Refusal; 7] = [
    Refusal::InUseTask,
    Refusal::HoldersUnknown,
    Refusal::InUseMount,
    Refusal::InUseFd,
    Refusal::MountInside,
    Refusal::Protected,
    Refusal::Adopted,
];

/// Guards of trash entries that come before everything but the root.
pub(super) const TRASH_FIRST: [Refusal; 2] = [Refusal::ForeignTrash, Refusal::Unconfirmed];

/// Guards of trash entries that come last.
pub(super) const TRASH_LAST: [Refusal; 3] = [
    Refusal::WrongFilesystem,
    Refusal::Contested,
    Refusal::Retention,
];

/// Guards of MOUNT disks.
pub(super) const MOUNT: [Refusal; 2] = [Refusal::NoBarrier, Refusal::ModeRefused];

/// Asked by the executor alone, when it locks a root: nothing can be said of it before.
#[cfg(test)]
const OF_THE_EXECUTOR: [Refusal; 1] = [Refusal::RootLocked];

/// Asked by `trash restore` alone.
#[cfg(test)]
const OF_RESTORING: [Refusal; 1] = [Refusal::HalfWiped];

/// Guards of evidence and time: only for what nobody names.
pub(super) const UNNAMED: [Refusal; 4] = [
    Refusal::AgentDeleting,
    Refusal::GracePeriod,
    Refusal::ReportOnly,
    Refusal::Brake,
];

/// Every rule of the list, and every other one that said no.
pub(super) fn answers(
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
pub(super) fn root_untried(view: &RootView<'_>, code: Refusal) -> Option<String> {
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
pub(super) fn use_untried(reasons: &[Reason], code: Refusal) -> Option<String> {
    let unknown = reasons
        .iter()
        .any(|reason| reason.code == Refusal::HoldersUnknown);
    let seen = [Refusal::InUseMount, Refusal::InUseFd, Refusal::MountInside];
    (unknown && seen.contains(&code)).then(|| "who uses it can't be told".to_owned())
}

/// Why a guard of time was not asked.
pub(super) fn evidence_untried(
    finding: &Finding,
    reasons: &[Reason],
    code: Refusal,
) -> Option<String> {
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
