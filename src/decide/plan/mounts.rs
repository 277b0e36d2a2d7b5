//! MOUNT disks: after a destroy only, and behind a barrier only.
//!
//! A plain one is emptied in place. One that `disk prepare` laid out has a hidden side with a trash:
//! its entries are moved there one by one, and what is in the trash is looked at again and wiped as
//! everywhere. While an entry is *half moved* (`prepared`) part of the data lies here and part there:
//! the gate stays closed, and the only ways are on, and back.

use super::Planner;
use super::trash::Look;
use crate::decide::facts::{AgentAnswer, Fingerprint, Known, MountContent, RootFacts, WipeMethod};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::memory::VolumeRecord;
use crate::decide::remember::agent_may_delete;
use crate::decide::roots::{RootView, present_filesystem};
use crate::decide::steps::{Barrier, Evidence, Step, TrashPlace, WipeAuthorization};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

impl Planner<'_> {
    pub(super) fn mount(&mut self, view: &RootView<'_>) {
        self.left_on(view);
        let root = view.root;
        let records = self.on_mounts.get(&root.disk).cloned().unwrap_or_default();
        // What is being moved is its entry's matter, until that has passed its second look.
        let moving = root.trash.known().into_iter().flatten().any(|entry| {
            entry.manifest.known().is_some_and(|manifest| {
                matches!(manifest.state, TrashState::Prepared | TrashState::Moved)
            }) && entry.data != Known::Absent
        });
        let empty = root.content == Known::Known(MountContent::Empty);
        let owed = self.facts().gate.owed(root);
        if (empty && owed.is_none()) || moving || root.half_moved().next().is_some() {
            return;
        }
        // Whether it is owed lies in the memory: unread, it counts as if it were.
        if let Some(why) = self.facts().memory.why().map(ToString::to_string)
            && self.judge.claims.holder_of(&root.disk).is_none()
        {
            let reasons = vec![Reason::new(Refusal::AuthorityUnknown, why)];
            let at = root.disk.root.clone();
            self.keep(None, &root.disk, at, true, reasons);
        }
        for record in records {
            let owed = owed.filter(|fill| fill.volume == record.key);
            if empty && owed.is_none() {
                continue;
            }
            let word = self.facts().words.wipe.as_ref() == Some(&record.key)
                // A word that was given before is none for what lies there by now.
                || (empty && owed.is_some_and(|fill| fill.evidence == Evidence::Operator));
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

    /// Tells what an earlier volume may have left for all to see. It is nobody's garbage: who has the
    /// disk now may be using it, and what nobody has may be there on purpose.
    fn left_on(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if root.content == Known::Known(MountContent::Empty) {
            return;
        }
        let present = present_filesystem(root);
        let judge = self.judge;
        for left in &judge.memory.left_on {
            if left.disk != root.disk || !left.may_be_on(present.as_deref()) {
                continue;
            }
            let key = &left.key;
            let at = &root.disk.root;
            let holder = judge.claims.holder_of(&root.disk);
            if holder == Some(key) {
                // The older file names it there still.
                continue;
            }
            let why = match holder {
                Some(tenant) => format!(
                    "{key} was on the disk before {tenant}, and no pass saw the disk empty in between: \
                     the tenant of {tenant} may see its data; look at it, and `mesos-volumed disk \
                     accept {at}` when it is right as it is"
                ),
                None => format!(
                    "{key} was on the disk, which no pass saw empty since, and nobody has the disk now: the \
                     next volume on it shows its data; look at it, and empty the disk by hand, or \
                     `mesos-volumed disk accept {at}` when it is right as it is"
                ),
            };
            let reasons = vec![Reason::new(Refusal::ReportOnly, why)];
            self.keep(Some(key.clone()), &root.disk, at.clone(), false, reasons);
        }
    }

    /// A MOUNT is never an orphan; that its volume went without a witness is said all the same. So is
    /// one whose destroy was seen, but by nothing that a MOUNT is emptied for, or on a disk that was
    /// never seen while it was held. One that is owed on another disk is told with what is owed.
    fn unwitnessed_mount(&mut self, view: &RootView<'_>, record: &VolumeRecord) {
        let disk = &view.root.disk;
        let Some(gone) = &record.gone else { return };
        let seen_on = record
            .places
            .iter()
            .find(|place| place.disk == *disk)
            .and_then(|place| place.filesystem.clone());
        let owed = gone.evidence.is_some()
            && seen_on.is_some()
            && seen_on != present_filesystem(view.root);
        if owed || self.judge.claims.holder_of(disk).is_some() {
            return;
        }
        let why = match (&gone.evidence, seen_on) {
            (None, _) => {
                "it went without a witnessed destroy, and a MOUNT is never an orphan; name it with \
                 `mesos-volumed wipe` when its data is not wanted"
            }
            (Some(_), Some(_)) => {
                "it was destroyed, but no DESTROY operation was read, and a MOUNT is emptied for \
                 nothing less; name it with `mesos-volumed wipe` when its data is not wanted"
            }
            (Some(_), None) => {
                "it was destroyed, but its disk was never seen while it was held, and may be another; \
                 look at it, and name the disk with `mesos-volumed wipe ROOT --confirm ID` when its \
                 data is not wanted"
            }
        };
        self.keep(
            Some(record.key.clone()),
            disk,
            disk.root.clone(),
            false,
            vec![Reason::new(Refusal::ReportOnly, why.to_owned())],
        );
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
        self.judge.adopted_reasons(root, key, &mut reasons);
        hidden_side(root, &mut reasons);
        let facts = self.facts();
        let method = facts
            .words
            .method(key, root.kind(), &facts.policy)
            .or_else(|| {
                let owed = facts.gate.owed(root).filter(|fill| fill.volume == *key);
                owed.map(|fill| fill.method)
            })
            .unwrap_or_else(|| facts.policy.method(root.kind()));
        whole_disk(method, root, &mut reasons);
        let mut due = true;
        let barrier = match self.barrier(&root.disk) {
            Ok(barrier) => Some(barrier),
            Err(missing) => {
                if reasons.is_empty() && view.standing().is_some() {
                    self.bar(root, key, &mut reasons);
                }
                reasons.extend(missing);
                None
            }
        };
        if let Some((_, present)) = view.standing()
            && let Some(barrier) = barrier
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
                    match self.emptying(root, present, authorization, barrier) {
                        Ok(step) => {
                            self.steps.push(step);
                            return;
                        }
                        Err(reason) => reasons.push(reason),
                    }
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

    /// Has the master reserve the disk, where that is all that is missing; says what is missing for
    /// that.
    fn bar(&mut self, root: &RootFacts, key: &VolumeKey, reasons: &mut Vec<Reason>) {
        match self.reserving(root) {
            Ok(call) => {
                self.steps.push(Step::Bar {
                    call: Box::new(call),
                    volume: Some(key.clone()),
                    disk: root.disk.clone(),
                    directory: None,
                });
                reasons.push(Reason::new(
                    Refusal::NoBarrier,
                    "the master is asked to reserve the disk for the time of the wipe".to_owned(),
                ));
            }
            Err(reason) => reasons.push(reason),
        }
    }

    /// Emptied in place, or moved into the trash of its hidden side.
    fn emptying(
        &mut self,
        root: &RootFacts,
        present: &Fingerprint,
        authorization: WipeAuthorization,
        barrier: Barrier,
    ) -> Result<Step, Reason> {
        let Known::Known(hidden) = &root.hidden else {
            return Ok(Step::EmptyMount {
                authorization,
                root: present.clone(),
                fill_only: root.content == Known::Known(MountContent::Empty),
                barrier,
            });
        };
        let (key, none) = (authorization.volume().clone(), Raw::default());
        let evidence = authorization.evidence().clone();
        let manifest = self.manifest(root, &none, &none, &key, &present.directory, &evidence)?;
        let manifest = Manifest {
            path: Manifest::place_of(DiskType::Mount, &key),
            emptied: Some(present.directory.clone()),
            ..manifest
        };
        Ok(Step::MoveOut {
            authorization,
            entry: Box::new(TrashPlace {
                disk: root.disk.clone(),
                root: present.clone(),
                manifest,
                data: None,
                hidden: Some(hidden.clone()),
            }),
            barrier,
        })
    }

    /// An entry that a crash left half filled, or half emptied: on, or back where the volume is
    /// named again or nobody knows.
    pub(super) fn half_moved(&mut self, view: &RootView<'_>, look: Look, rivals: bool) {
        let Look {
            place,
            data,
            named,
            mut doubt,
            in_use,
        } = look;
        let root = view.root;
        let manifest = place.manifest.clone();
        let mut reasons = self.may_move(view, &manifest);
        if rivals || root.half_moved().count() > 1 {
            reasons.push(Reason::new(
                Refusal::Contested,
                "several entries hold parts of what was on the disk".to_owned(),
            ));
        }
        // An operator who wants what lies on the disk wants the half that has left it, too.
        let adopted = self.judge.mark_of(root, &manifest.volume).is_some();
        if named || adopted || !doubt.is_empty() {
            self.gate_stands(&mut reasons);
            let pending = doubt
                .iter()
                .any(|reason| reason.code == Refusal::PendingOperation);
            if pending || !reasons.is_empty() {
                doubt.extend(reasons);
                self.keep_entry(root, &manifest, true, doubt);
            } else {
                self.act(root, &data, &manifest, Step::PutBack { entry: place });
            }
            return;
        }
        reasons.extend(in_use);
        // What is left in the root must be the rest of the same volume.
        if root.content != Known::Known(MountContent::Empty) {
            let record = self
                .on_mounts
                .get(&root.disk)
                .into_iter()
                .flatten()
                .find(|record| record.key == manifest.volume);
            match record {
                Some(record) => Self::same_disk(view, record, &mut reasons),
                None => reasons.push(Reason::new(
                    Refusal::Contested,
                    "nobody knows whose the data is that lies on the disk now".to_owned(),
                )),
            }
        }
        let method = self.method(&manifest);
        whole_disk(method, root, &mut reasons);
        let barrier = match self.barrier(&root.disk) {
            Ok(barrier) => Some(barrier),
            Err(missing) => {
                reasons.extend(missing);
                None
            }
        };
        let (Some(present), Some(barrier)) = (
            (root.filesystem.present.known()).filter(|_| reasons.is_empty()),
            barrier,
        ) else {
            return self.keep_entry(root, &manifest, true, reasons);
        };
        let authorization = WipeAuthorization::new(
            manifest.volume.clone(),
            root.disk.clone(),
            present.directory.clone(),
            manifest.evidence.clone(),
            method,
        );
        match self.take(&present.directory, &root.disk.root) {
            Ok(()) => self.steps.push(Step::MoveOut {
                authorization,
                entry: place,
                barrier,
            }),
            Err(reason) => self.keep_entry(root, &manifest, false, vec![reason]),
        }
    }

    /// What keeps entries from being moved back to the root of a prepared MOUNT: whatever keeps them
    /// from being moved at all, or an agent that runs. Nothing for ROOT and PATH, where one rename
    /// does it.
    pub(super) fn way_back(&self, view: &RootView<'_>, manifest: &Manifest) -> Vec<Reason> {
        let mut reasons = self.may_move(view, manifest);
        if view.root.kind() == DiskType::Mount {
            self.gate_stands(&mut reasons);
        }
        reasons
    }

    /// What keeps entries from being moved from or to the root of a prepared MOUNT: somebody who
    /// uses it, or another tenant.
    fn may_move(&self, view: &RootView<'_>, manifest: &Manifest) -> Vec<Reason> {
        let root = view.root;
        let mut reasons = Vec::new();
        if root.kind() != DiskType::Mount {
            return reasons;
        }
        hidden_side(root, &mut reasons);
        let location = root.mount.clone().map(|mount| mount.location);
        self.judge
            .use_reasons(&manifest.volume, &location, &mut reasons);
        // A task that is to have the volume wants its data back; it runs no process now.
        reasons.retain(|reason| reason.code != Refusal::InUseTask);
        match &root.content {
            Known::Known(_) => {}
            Known::Absent => reasons.push(Refusal::NotMounted.into()),
            Known::Unknown(why) => reasons.push(Reason::new(Refusal::NotMounted, why.to_string())),
        }
        for (other, _) in self.judge.claims.on(&root.disk) {
            if *other != manifest.volume {
                reasons.push(Reason::new(
                    Refusal::Held,
                    format!("the disk holds volume {other}"),
                ));
            }
        }
        for other in self.on_mounts.get(&root.disk).into_iter().flatten() {
            if other.key != manifest.volume && other.named_at > manifest.lived_at {
                reasons.push(Reason::new(
                    Refusal::Contested,
                    format!("volume {} was on it since", other.key),
                ));
            }
        }
        reasons
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
        Self::same_disk(view, record, reasons);
    }

    /// Whether the disk is the one that the volume was on.
    fn same_disk(view: &RootView<'_>, record: &VolumeRecord, reasons: &mut Vec<Reason>) {
        let disk = &view.root.disk;
        let then = record
            .places
            .iter()
            .find(|place| place.disk == *disk)
            .and_then(|place| place.filesystem.clone());
        let key = &record.key;
        let why = match then {
            None => format!(
                "the disk of {key} was never seen while it was held, and this may be another; look at \
                 it, and where it is the one: `mesos-volumed wipe {} --confirm {}`",
                disk.root, key.id
            ),
            Some(then) if Some(&then) != present_filesystem(view.root).as_ref() => {
                format!("{key} was not held on this file system")
            }
            Some(_) => return,
        };
        reasons.push(Reason::new(Refusal::FingerprintMismatch, why));
    }

    /// No agent process runs, and its start is held back by a gate that its starter obeys.
    pub(super) fn gate_stands(&self, reasons: &mut Vec<Reason>) {
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
        let filled = |root: &Raw| !self.owes_a_fill(root);
        let wanted = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::EmptyMount { .. } | Step::MoveOut { .. }));
        let owed = match &facts.memory {
            Known::Known(_) => self
                .on_mounts
                .iter()
                .filter(|(disk, _)| concerns(&disk.root) || !filled(&disk.root))
                .flat_map(|(disk, records)| records.iter().map(move |record| (disk, record)))
                .any(|(disk, record)| self.may_be_owed(disk, record)),
            // What it was closed for is forgotten.
            Known::Absent => closed.is_none_or(|closed| closed.iter().any(concerns)),
            Known::Unknown(_) => closed
                .is_none_or(|closed| closed.iter().any(|root| concerns(root) || !filled(root))),
        };
        let half_moved = facts.roots.iter().any(|root| {
            closed.is_none_or(|closed| closed.contains(&root.disk.root))
                && root.half_moved().next().is_some()
        });
        if !wanted && !owed && !half_moved {
            self.steps.push(Step::OpenGate);
        }
    }

    /// Whether the data of this volume on a MOUNT disk may be what is to be wiped.
    pub(super) fn may_be_owed(&self, disk: &DiskRef, record: &VolumeRecord) -> bool {
        !self.judge.claims.volumes.contains_key(&record.key) && !self.adopted_on(disk, &record.key)
    }

    /// Whether the data on a MOUNT disk is to stay there, whole: what is half moved is looked at apart.
    fn adopted_on(&self, disk: &DiskRef, key: &VolumeKey) -> bool {
        self.facts().roots.iter().any(|root| {
            root.disk == *disk
                && matches!(root.hidden, Known::Known(_))
                && self.judge.mark_of(root, key).is_some()
        })
    }

    /// Whether the free space of the disk that is there is still to be filled.
    fn owes_a_fill(&self, root: &Raw) -> bool {
        let facts = self.facts();
        facts
            .roots
            .iter()
            .any(|one| one.disk.root == *root && facts.gate.owed(one).is_some())
    }

    fn is_empty(&self, root: &Raw) -> bool {
        self.facts().roots.iter().any(|facts| {
            facts.kind() == DiskType::Mount
                && facts.disk.root == *root
                && facts.content == Known::Known(MountContent::Empty)
        })
    }
}

/// A disk that was laid out by us is emptied through its hidden side, or not at all.
fn hidden_side(root: &RootFacts, reasons: &mut Vec<Reason>) {
    if let Known::Unknown(why) = &root.hidden {
        reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
    }
    if let (Known::Known(_), Known::Unknown(why)) = (&root.hidden, &root.trash) {
        reasons.push(Reason::new(Refusal::ForeignTrash, why.to_string()));
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
