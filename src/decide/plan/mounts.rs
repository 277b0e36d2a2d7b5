//! Plain MOUNT disks: emptied in place, after a destroy only, behind a barrier only.

use super::Planner;
use crate::decide::facts::{AgentAnswer, Known, MountContent, RootFacts, WipeMethod};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::memory::VolumeRecord;
use crate::decide::remember::agent_may_delete;
use crate::decide::roots::{RootView, present_filesystem};
use crate::decide::steps::{Evidence, Step, WipeAuthorization};
use crate::mesos::disk::DiskType;
use crate::units::Raw;

impl Planner<'_> {
    pub(super) fn mount(&mut self, view: &RootView<'_>) {
        let root = view.root;
        let records = self.on_mounts.get(&root.disk).cloned().unwrap_or_default();
        if matches!(root.content, Known::Known(MountContent::Empty)) {
            return;
        }
        for record in records {
            let word = self.facts().words.wipe.as_ref() == Some(&record.key);
            match self.judge.witnessed(&record.key, &root.disk, None, root) {
                Some((gone, evidence)) => {
                    let deleting = agent_may_delete(self.facts(), self.judge.memory, gone)
                        .then(|| Refusal::AgentDeleting.into());
                    let evidence = if word { Evidence::Operator } else { evidence };
                    self.empty_mount(view, record, evidence, deleting);
                }
                None if word => self.empty_mount(view, record, Evidence::Operator, None),
                None => self.unwitnessed_mount(view, record),
            }
        }
    }

    /// A MOUNT is never an orphan; that its volume went without a witness is said all the same.
    fn unwitnessed_mount(&mut self, view: &RootView<'_>, record: &VolumeRecord) {
        let disk = &view.root.disk;
        let gone = record
            .gone
            .as_ref()
            .is_some_and(|gone| gone.evidence.is_none());
        if gone && self.judge.claims.holder_of(disk).is_none() {
            self.keep(
                Some(record.key.clone()),
                disk,
                disk.root.clone(),
                false,
                vec![Reason::new(
                    Refusal::ReportOnly,
                    "it went without a witnessed destroy, and a MOUNT is never an orphan; name it \
                     with `mesos-volumed wipe` when its data is not wanted"
                        .to_owned(),
                )],
            );
        }
    }

    fn empty_mount(
        &mut self,
        view: &RootView<'_>,
        record: &VolumeRecord,
        evidence: Evidence,
        deleting: Option<Reason>,
    ) {
        let root = view.root;
        let claims = self.judge.claims;
        let key = &record.key;
        let mut reasons = view.reasons.clone();
        reasons.extend(deleting);
        self.judge.name_reasons(key, &mut reasons);
        self.judge.doubt_reasons(&mut reasons);
        self.judge.hidden_role(key, &mut reasons);
        self.tenant(view, record, &mut reasons);
        if claims.disks_in_flight.contains(&root.disk) {
            reasons.push(Reason::new(
                Refusal::PendingOperation,
                format!("an operation names {}", root.disk),
            ));
        }
        match &root.content {
            Known::Known(_) => {}
            Known::Absent => reasons.push(Refusal::NotMounted.into()),
            Known::Unknown(why) => reasons.push(Reason::new(Refusal::NotMounted, why.to_string())),
        }
        let location = root.mount.clone().map(|mount| mount.location);
        self.judge.use_reasons(key, &location, &mut reasons);
        self.judge
            .overlap_reasons(&root.disk, key, &location, &root.disk.root, &mut reasons);
        self.judge.protect_reasons(key, &mut reasons);
        self.barrier(&mut reasons);
        let facts = self.facts();
        let method = facts
            .words
            .method(key, root.kind(), &facts.policy)
            .unwrap_or_else(|| facts.policy.method(root.kind()));
        whole_disk(method, root, &mut reasons);
        let mut due = true;
        if let Some((_, present)) = view.standing()
            && reasons.is_empty()
        {
            match self.take(&present.directory, &root.disk.root) {
                Ok(()) => {
                    let authorization = WipeAuthorization::new(
                        key.clone(),
                        root.disk.clone(),
                        present.directory.clone(),
                        evidence,
                        method,
                    );
                    self.steps.push(Step::EmptyMount {
                        authorization,
                        root: present.clone(),
                    });
                    return;
                }
                Err(reason) => {
                    due = false;
                    reasons.push(reason);
                }
            }
        }
        let path = root.disk.root.clone();
        self.keep(Some(key.clone()), &root.disk, path, due, reasons);
    }

    /// Whose the disk is by now, and whether it is the one that the volume was on.
    fn tenant(&self, view: &RootView<'_>, record: &VolumeRecord, reasons: &mut Vec<Reason>) {
        let disk = &view.root.disk;
        if let Some(holder) = self.judge.claims.holder_of(disk) {
            reasons.push(Reason::new(
                Refusal::Held,
                format!("the disk holds volume {holder}"),
            ));
        }
        // A task's volume is named without its disk, and one that went unwitnessed may be wanted;
        // the memory knows that they were here.
        for other in self.on_mounts.get(disk).into_iter().flatten() {
            let destroyed = other
                .gone
                .as_ref()
                .is_some_and(|gone| gone.evidence.is_some());
            if other.key != record.key && !destroyed {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("volume {} was on it, and nobody destroyed that", other.key),
                ));
            }
        }
        let then = record
            .places
            .iter()
            .find(|place| place.disk == *disk)
            .and_then(|place| place.filesystem.clone());
        if then.is_none() || then != present_filesystem(view.root) {
            reasons.push(Reason::new(
                Refusal::FingerprintMismatch,
                format!("{} was not held on this file system", record.key),
            ));
        }
    }

    /// No agent process runs, and its start is held back by a gate that its starter obeys.
    fn barrier(&self, reasons: &mut Vec<Reason>) {
        let facts = self.facts();
        match &facts.agent.processes {
            Known::Known(processes) => {
                // Any agent: one of another work_dir may use this disk too.
                if let Some(process) = processes.first() {
                    reasons.push(Reason::new(
                        Refusal::NoBarrier,
                        format!("an agent runs (pid {})", process.pid),
                    ));
                }
            }
            Known::Absent => reasons.push(Refusal::NoBarrier.into()),
            Known::Unknown(why) => reasons.push(Reason::new(Refusal::NoBarrier, why.to_string())),
        }
        if matches!(facts.answer, AgentAnswer::State(_)) {
            reasons.push(Reason::new(
                Refusal::NoBarrier,
                "an agent answers at agent.url".to_owned(),
            ));
        }
        let gated = facts.policy.start_gate || matches!(facts.gate.unit, Known::Known(_));
        if !gated {
            reasons.push(Reason::new(
                Refusal::NoBarrier,
                "no agent unit runs `mesos-volumed preflight --gate` and agent.start_gate is not set"
                    .to_owned(),
            ));
        }
    }

    /// Opens the gate when nothing that it was closed for is left to empty: while a volume's data
    /// may still lie there, by whatever right the wipe began, or nobody knows, it stays closed. A
    /// half-emptied disk must not get a tenant.
    pub(super) fn gate(&mut self) {
        let facts = self.facts();
        let closed = match &facts.gate.closed_for {
            Known::Absent => return,
            Known::Known(roots) => Some(roots),
            // Not readable is closed, for any disk.
            Known::Unknown(_) => None,
        };
        // An empty disk has nothing half wiped, whatever else is not known.
        let concerns =
            |root: &Raw| closed.is_none_or(|closed| closed.contains(root)) && !self.is_empty(root);
        let wanted = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::EmptyMount { .. }));
        let owed = match &facts.memory {
            Known::Known(_) => self
                .on_mounts
                .iter()
                .filter(|(disk, _)| concerns(&disk.root))
                .flat_map(|(_, records)| records)
                .any(|record| !self.judge.claims.volumes.contains_key(&record.key)),

            // What it was closed for is forgotten.
            Known::Absent | Known::Unknown(_) => {
                closed.is_none_or(|closed| closed.iter().any(concerns))
            }
        };
        if !wanted && !owed {
            self.steps.push(Step::OpenGate);
        }
    }

    fn is_empty(&self, root: &Raw) -> bool {
        self.facts().roots.iter().any(|facts| {
            facts.kind() == DiskType::Mount
                && facts.disk.root == *root
                && facts.content == Known::Known(MountContent::Empty)
        })
    }
}

/// What acts on a whole disk acts on no part of one: a bound directory shares its file system.
fn whole_disk(method: WipeMethod, root: &RootFacts, reasons: &mut Vec<Reason>) {
    if !method.mode.whole_disk() {
        return;
    }
    let whole = match &root.mount {
        Known::Known(mount) => mount.is_mount_point && mount.location.path == "/".into(),
        Known::Absent | Known::Unknown(_) => false,
    };
    if !whole {
        reasons.push(Reason::new(
            Refusal::ModeRefused,
            format!(
                "{} acts on a whole file system, and only a part of one is mounted there",
                method.mode
            ),
        ));
    }
}
