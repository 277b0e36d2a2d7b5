//! Plain MOUNT disks: emptied in place, after a destroy only, behind a barrier only.

use super::Planner;
use crate::decide::facts::{Known, MountContent};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::memory::VolumeRecord;
use crate::decide::remember::agent_may_delete;
use crate::decide::roots::RootView;
use crate::decide::steps::{Evidence, Step, WipeAuthorization};
use crate::mesos::disk::DiskType;

impl Planner<'_> {
    pub(super) fn mount(&mut self, view: &RootView<'_>) {
        let root = view.root;
        let memory = self.judge.memory;
        for record in &memory.volumes {
            let word = self.facts().words.wipe.as_ref() == Some(&record.key)
                && record.places.iter().any(|place| place.disk == root.disk);
            let witnessed = self.judge.witnessed(&record.key, &root.disk, None, root);
            match (word, witnessed) {
                (true, _) => self.empty_mount(view, record, Evidence::Operator),
                (false, Some((gone, evidence))) => {
                    let deleting = agent_may_delete(self.facts(), memory, gone);
                    if deleting {
                        self.keep(
                            Some(record.key.clone()),
                            &root.disk,
                            root.disk.root.clone(),
                            true,
                            vec![Refusal::AgentDeleting.into()],
                        );
                    } else {
                        self.empty_mount(view, record, evidence);
                    }
                }
                (false, None) => {}
            }
        }
    }

    fn empty_mount(&mut self, view: &RootView<'_>, record: &VolumeRecord, evidence: Evidence) {
        let root = view.root;
        let facts = self.facts();
        let claims = self.judge.claims;
        let key = &record.key;
        if matches!(root.content, Known::Known(MountContent::Empty)) {
            return;
        }
        let mut reasons = view.reasons.clone();
        self.judge.name_reasons(key, &mut reasons);
        self.judge.doubt_reasons(&mut reasons);
        self.judge.hidden_role(key, &mut reasons);
        if let Some(holder) = claims.holder_of(&root.disk) {
            reasons.push(Reason::new(
                Refusal::Held,
                format!("the disk holds volume {holder}"),
            ));
        }
        if claims.disks_in_flight.contains(&root.disk) {
            reasons.push(Reason::new(
                Refusal::PendingOperation,
                format!("an operation names {}", root.disk),
            ));
        }
        if let Known::Unknown(why) = &root.content {
            reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
        }
        let location = root.mount.clone().map(|mount| mount.location);
        self.judge
            .use_reasons(key, &location, Some(&root.disk.root), &mut reasons);
        self.judge.protect_reasons(key, &mut reasons);
        self.barrier(&mut reasons);
        match view.standing(facts) {
            Some((_, present)) if reasons.is_empty() => {
                let authorization = WipeAuthorization::new(
                    key.clone(),
                    root.disk.clone(),
                    present.directory.clone(),
                    evidence,
                );
                self.steps.push(Step::EmptyMount {
                    authorization,
                    root: present.clone(),
                });
            }
            Some(_) | None => {
                self.keep(
                    Some(key.clone()),
                    &root.disk,
                    root.disk.root.clone(),
                    true,
                    reasons,
                );
            }
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
        let gated = facts.policy.start_gate || matches!(facts.gate.unit, Known::Known(_));
        if !gated {
            reasons.push(Reason::new(
                Refusal::NoBarrier,
                "no agent unit runs `mesos-volumed preflight --gate` and agent.start_gate is not set"
                    .to_owned(),
            ));
        }
    }

    /// Opens the gate when nothing that it was closed for is owed any more. While something is, it
    /// stays closed: a half-emptied disk must not get a tenant.
    pub(super) fn gate(&mut self) {
        let facts = self.facts();
        let closed = match &facts.gate.closed_for {
            Known::Absent => return,
            Known::Known(roots) => roots.clone(),
            // Not readable is closed; it is ours, so it opens when no MOUNT is owed at all.
            Known::Unknown(_) => Vec::new(),
        };
        let wanted = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::EmptyMount { .. }));
        let owed = self.judge.memory.volumes.iter().any(|record| {
            record
                .gone
                .as_ref()
                .is_some_and(|gone| gone.evidence.is_some())
                && record.places.iter().any(|place| {
                    place.disk.kind == DiskType::Mount
                        && (closed.is_empty() || closed.contains(&place.disk.root))
                })
        });
        if !wanted && !owed {
            self.steps.push(Step::OpenGate);
        }
    }
}
