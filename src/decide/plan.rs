//! The only place where a wipe is decided.
//!
//! [`plan`] is a pure function of facts. What it gives is data: a dry run prints it, and a run
//! executes the very same. Everything that was looked at and is left alone is in it too, with
//! every reason.

mod mounts;
mod trash;

use std::collections::BTreeSet;

use serde::Serialize;

use super::authority::{Claims, empty_doubt};
use super::facts::{Facts, FileIdentity, Fingerprint, Known, RootFacts};
use super::guards::{Reason, Refusal};
use super::manifest::{Manifest, TrashState};
use super::memory::{Memory, UnwitnessedBatch, VolumePlaceRecord};
use super::remember::remember;
use super::roots::{RootView, Standing, place_exists, present_filesystem};
use super::steps::{Evidence, Kept, Step, TrashId, VolumePlace};
use super::volumes::{Finding, Judge};
use crate::decide::facts::{OrphanPolicy, Words};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::{Raw, Span};

/// What is to be done, what is left alone and why, and what is to be remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Names this plan in logs, manifests and receipts.
    pub id: String,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// What was looked at and is left as it is.
    pub kept: Vec<Kept>,
    /// What is doubtful about the authorities as a whole; empty when all is well.
    pub doubts: Vec<Reason>,
    /// The memory to write before the first step.
    #[serde(skip)]
    pub memory: Memory,
}

impl Plan {
    /// Whether a destroy or an overdue orphan was kept by a guard that an operator should see:
    /// the sweep then exits 5.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.kept.iter().any(|kept| {
            kept.due
                && kept
                    .reasons
                    .iter()
                    .any(|reason| reason.code.weight() == super::guards::Weight::Blocking)
        })
    }

    /// Whether executing it changes nothing on any disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Decides.
#[must_use]
pub fn plan(facts: &Facts) -> Plan {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let memory = remember(facts, &claims, &views);
    let judge = Judge::new(facts, &claims, &memory, &views);
    let mut planner = Planner {
        judge: &judge,
        views: &views,
        id: format!("{:016x}", facts.host.nonce),
        names: 0,
        steps: Vec::new(),
        kept: Vec::new(),
        unwitnessed: Vec::new(),
    };
    for view in &views {
        planner.adopt_root(view);
        planner.trash(view);
        planner.directories(view);
        planner.missing(view);
        if view.root.kind() == DiskType::Mount {
            planner.mount(view);
        }
    }
    planner.owed();
    planner.gate();
    if let Some(scope) = Scope::of(&facts.words) {
        scope.narrow(&mut planner);
    }
    let unwitnessed = planner.brake();
    let Planner {
        id,
        mut steps,
        mut kept,
        ..
    } = planner;
    sort_steps(&mut steps);
    kept.retain(|kept| !kept.reasons.is_empty());
    let mut doubts = claims.doubts.clone();
    doubts.extend(empty_doubt(&claims, facts, &memory));
    let mut memory = memory;
    if let Some(batch) = unwitnessed {
        memory.unwitnessed.push(batch);
    }
    Plan {
        id,
        steps,
        kept,
        doubts,
        memory,
    }
}

/// Roots are remembered first; what was begun is ended before anything new is begun.
fn sort_steps(steps: &mut [Step]) {
    steps.sort_by_key(|step| match step {
        Step::AdoptRoot { .. } => 0,
        Step::PutBack { .. } => 1,
        Step::Create { .. } => 2,
        Step::Quarantine { .. } => 3,
        Step::Clear { .. } => 4,
        Step::Void { .. } => 5,
        Step::Wipe { .. } => 6,
        Step::EmptyMount { .. } => 7,
        Step::OpenGate => 8,
    });
}

/// What a command is about: the operator's word for one thing is no word for another.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Volume(&'a VolumeKey),
    Root(&'a Raw),
    Trash(&'a [TrashId]),
}

impl<'a> Scope<'a> {
    fn of(words: &'a Words) -> Option<Self> {
        if let Some(key) = words.wipe.as_ref().or(words.recreate.as_ref()) {
            Some(Self::Volume(key))
        } else if let Some(root) = &words.accept_root {
            Some(Self::Root(root))
        } else if words.purge.is_empty() {
            None
        } else {
            Some(Self::Trash(&words.purge))
        }
    }

    /// Leaves what the command is about, and the roots that have to be remembered for it.
    fn narrow(self, planner: &mut Planner<'_>) {
        planner.steps.retain(|step| self.covers(step));
        let disks: BTreeSet<DiskRef> = planner.steps.iter().filter_map(step_disk).collect();
        planner.steps.retain(|step| match step {
            Step::AdoptRoot { disk, .. } => match self {
                Self::Root(root) => disk.root == *root,
                Self::Volume(_) | Self::Trash(_) => disks.contains(disk),
            },
            Step::Quarantine { .. }
            | Step::Clear { .. }
            | Step::PutBack { .. }
            | Step::Void { .. }
            | Step::Wipe { .. }
            | Step::EmptyMount { .. }
            | Step::OpenGate
            | Step::Create { .. } => true,
        });
        planner.kept.retain(|kept| match self {
            Self::Volume(key) => kept.volume.as_ref() == Some(key),
            Self::Root(root) => kept.disk.root == *root,
            Self::Trash(ids) => kept.trash.as_ref().is_some_and(|(id, _)| ids.contains(id)),
        });
        // Nothing of a command's own scope is unwitnessed: the operator's word stands behind it.
        planner.unwitnessed.clear();
        planner.steps.retain(|step| {
            !matches!(step, Step::Quarantine { manifest, .. } if !manifest.evidence.witnessed())
        });
    }

    fn covers(self, step: &Step) -> bool {
        match (self, step) {
            (_, Step::AdoptRoot { .. }) | (Self::Volume(_), Step::OpenGate) => true,
            (Self::Volume(key), Step::Quarantine { place, .. } | Step::Create { place }) => {
                place.volume == *key
            }
            (
                Self::Volume(key),
                Step::Clear { entry }
                | Step::PutBack { entry }
                | Step::Void { entry }
                | Step::Wipe { entry, .. },
            ) => entry.manifest.volume == *key,
            (Self::Volume(key), Step::EmptyMount { authorization, .. }) => {
                authorization.volume() == key
            }
            (
                Self::Trash(ids),
                Step::Clear { entry }
                | Step::PutBack { entry }
                | Step::Void { entry }
                | Step::Wipe { entry, .. },
            ) => ids.contains(&entry.manifest.id),
            (
                Self::Trash(_),
                Step::Quarantine { .. }
                | Step::EmptyMount { .. }
                | Step::OpenGate
                | Step::Create { .. },
            )
            | (
                Self::Root(_),
                Step::Quarantine { .. }
                | Step::Clear { .. }
                | Step::PutBack { .. }
                | Step::Void { .. }
                | Step::Wipe { .. }
                | Step::EmptyMount { .. }
                | Step::OpenGate
                | Step::Create { .. },
            ) => false,
        }
    }
}

/// The disk of a step that needs a remembered root.
fn step_disk(step: &Step) -> Option<DiskRef> {
    match step {
        Step::AdoptRoot { .. } | Step::OpenGate => None,
        Step::Quarantine { place, .. } | Step::Create { place } => Some(place.disk.clone()),
        Step::Clear { entry }
        | Step::PutBack { entry }
        | Step::Void { entry }
        | Step::Wipe { entry, .. } => Some(entry.disk.clone()),
        Step::EmptyMount { authorization, .. } => Some(authorization.disk().clone()),
    }
}

struct Planner<'a> {
    judge: &'a Judge<'a>,
    views: &'a [RootView<'a>],
    id: String,
    names: u32,
    steps: Vec<Step>,
    kept: Vec<Kept>,
    /// Indexes into `steps` of unwitnessed quarantines.
    unwitnessed: Vec<usize>,
}

impl<'a> Planner<'a> {
    fn facts(&self) -> &'a Facts {
        self.judge.facts
    }

    fn lived(&self) -> Span {
        self.judge.memory.clock.lived
    }

    fn keep(
        &mut self,
        volume: Option<VolumeKey>,
        disk: &DiskRef,
        path: Raw,
        due: bool,
        mut reasons: Vec<Reason>,
    ) {
        reasons.sort();
        reasons.dedup();
        self.kept.push(Kept {
            volume,
            disk: disk.clone(),
            path,
            trash: None,
            due,
            reasons,
        });
    }

    fn adopt_root(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if let Some((how, present)) = view.standing(self.facts()) {
            // A marker that went missing is written again; it only confirms.
            let marker_missing = root.kind() != DiskType::Mount
                && matches!(root.filesystem.marker, Known::Absent)
                && matches!(root.dirs, Known::Known(_));
            if how == Standing::New || marker_missing {
                self.steps.push(Step::AdoptRoot {
                    disk: root.disk.clone(),
                    root: present.clone(),
                });
            }
        }
    }

    fn directories(&mut self, view: &RootView<'_>) {
        let root = view.root;
        let standing = view.standing(self.facts());
        for entry in &root.strange {
            self.keep(
                None,
                &root.disk,
                root.disk.root.join(&entry.path),
                false,
                vec![Reason::new(Refusal::NotAVolumePath, entry.reason.clone())],
            );
        }
        for (key, dir) in &view.dirs {
            let Finding {
                evidence,
                due,
                mut reasons,
                ..
            } = self.judge.directory(view, key, dir);
            let key = key.clone();
            let path = root
                .disk
                .root
                .join(crate::mesos::paths::ROLES)
                .join(&dir.role_dir)
                .join(&dir.id_dir);
            match (standing, dir.identity.known(), evidence) {
                (Some((_, present)), Some(identity), Some(evidence)) if reasons.is_empty() => {
                    match self.manifest(root, &dir.role_dir, &dir.id_dir, &key, identity, &evidence)
                    {
                        Ok(manifest) => {
                            if !evidence.witnessed() {
                                self.unwitnessed.push(self.steps.len());
                            }
                            self.steps.push(Step::Quarantine {
                                place: place(root, present, key, &dir.role_dir, &dir.id_dir),
                                identity: identity.clone(),
                                manifest: Box::new(manifest),
                            });
                        }
                        Err(reason) => self.keep(Some(key), &root.disk, path, true, vec![reason]),
                    }
                }
                (_, _, evidence) => {
                    if reasons.is_empty() && evidence.is_none() {
                        // Can't happen: without evidence there is a reason. Kept all the same.
                        reasons.push(Refusal::GracePeriod.into());
                    }
                    self.keep(Some(key), &root.disk, path, due, reasons);
                }
            }
        }
    }

    /// The manifest that a quarantine writes first.
    fn manifest(
        &mut self,
        root: &RootFacts,
        role_dir: &Raw,
        id_dir: &Raw,
        key: &VolumeKey,
        identity: &FileIdentity,
        evidence: &Evidence,
    ) -> Result<Manifest, Reason> {
        let facts = self.facts();
        // Without a machine id the entry could later be taken for another machine's.
        let Known::Known(machine_id) = &facts.host.machine_id else {
            return Err(Reason::new(
                Refusal::AuthorityUnknown,
                "this host has no readable /etc/machine-id".to_owned(),
            ));
        };
        self.names = self.names.saturating_add(1);
        let retention = match (evidence, facts.policy.orphans) {
            (Evidence::Operator, _) | (Evidence::Unwitnessed { .. }, OrphanPolicy::Wipe) => {
                Span::ZERO
            }
            (Evidence::Unwitnessed { .. }, OrphanPolicy::Report | OrphanPolicy::Quarantine) => {
                facts.policy.orphan_retention
            }
            (Evidence::DestroyOperation(_) | Evidence::GoneWithinRun | Evidence::OwnDestroy, _) => {
                facts.policy.retention
            }
        };
        Ok(Manifest {
            version: Manifest::VERSION,
            id: TrashId(format!(
                "{}-{}-{}",
                facts.host.now.wall_seconds.max(0),
                self.id,
                self.names
            )),
            volume: key.clone(),
            disk: root.disk.clone(),
            path: Raw::from(crate::mesos::paths::ROLES)
                .join(role_dir)
                .join(id_dir),
            identity: identity.clone(),
            state: TrashState::Prepared,
            evidence: evidence.clone(),
            unconfirmed: false,
            machine_id: machine_id.clone(),
            work_dir: facts.agent.work_dir.clone(),
            plan: self.id.clone(),
            lived_at: self.lived(),
            retention,
            quarantined_at: facts.host.now.wall_seconds,
        })
    }

    /// Held volumes whose directory is missing: law 3.
    fn missing(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if root.kind() == DiskType::Mount {
            return;
        }
        let facts = self.facts();
        for (key, claim) in &self.judge.claims.volumes {
            if !claim.disks.contains(&root.disk) || view.occupied(key) {
                continue;
            }
            if let Some(present) = may_create(self.judge, view, key) {
                self.steps.push(Step::Create {
                    place: place(
                        root,
                        present,
                        key.clone(),
                        &key.role.directory(),
                        key.id.as_raw(),
                    ),
                });
            } else if facts.words.recreate.as_ref() == Some(key) {
                let reasons = recreate_reasons(self.judge, view, key);
                let path = root
                    .disk
                    .root
                    .join(crate::mesos::paths::volume_directory(key));
                self.keep(Some(key.clone()), &root.disk, path, true, reasons);
            }
        }
    }

    /// Witnessed destroys whose disk is not there: nothing is mounted, or another file system, such
    /// as the one that the mount point itself lies on.
    fn owed(&mut self) {
        for record in &self.judge.memory.volumes {
            if record
                .gone
                .as_ref()
                .is_none_or(|gone| gone.evidence.is_none())
            {
                continue;
            }
            for owed in &record.places {
                let Some(reasons) = self.away(owed) else {
                    continue;
                };
                let path = match owed.disk.kind {
                    DiskType::Mount => owed.disk.root.clone(),
                    DiskType::Root | DiskType::Path => owed
                        .disk
                        .root
                        .join(crate::mesos::paths::volume_directory(&record.key)),
                };
                self.keep(Some(record.key.clone()), &owed.disk, path, true, reasons);
            }
        }
    }

    /// Why the disk of a destroyed volume is not there; `None` where it is, and where an operator
    /// accepted another one in its place.
    fn away(&self, owed: &VolumePlaceRecord) -> Option<Vec<Reason>> {
        let view = self.views.iter().find(|view| view.root.disk == owed.disk);
        let present = view.and_then(|view| present_filesystem(view.root));
        let mounted = view.is_some_and(|view| place_exists(view.root));
        if mounted && (owed.filesystem.is_none() || owed.filesystem == present) {
            return None;
        }
        let more = view.map_or(&[][..], |view| &view.reasons);
        if mounted && more.is_empty() {
            return None;
        }
        let what = owed.filesystem.as_ref().map_or_else(
            || "its file system".to_owned(),
            |filesystem| format!("file system {filesystem}"),
        );
        let mut reasons = vec![Reason::new(
            Refusal::NotMounted,
            format!("destroyed while {what} was not mounted; owed until it returns"),
        )];
        if mounted {
            reasons.extend(more.iter().cloned());
        }
        Some(reasons)
    }

    /// Law 13: unwitnessed steps are counted over 24 hours of lived time.
    fn brake(&mut self) -> Option<UnwitnessedBatch> {
        let wanted = u32::try_from(self.unwitnessed.len()).unwrap_or(u32::MAX);
        if wanted == 0 {
            return None;
        }
        let of = all_volumes(self.judge.claims, self.views);
        let limit = brake_limit(self.facts(), self.judge.memory, of);
        if wanted <= limit {
            return Some(UnwitnessedBatch {
                at: self.lived(),
                count: wanted,
                of,
            });
        }
        let detail = format!(
            "{wanted} unwitnessed steps, {limit} are allowed now (sweep.brake_percent = {}, \
             sweep.brake_min = {}); confirm with --confirm-brake {wanted}",
            self.facts().policy.brake_percent,
            self.facts().policy.brake_min
        );
        let braked: BTreeSet<usize> = std::mem::take(&mut self.unwitnessed).into_iter().collect();
        let mut rest = Vec::new();
        for (index, step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            if let Step::Quarantine { place, .. } = &step
                && braked.contains(&index)
            {
                self.keep(
                    Some(place.volume.clone()),
                    &place.disk,
                    place.path(),
                    true,
                    vec![Reason::new(Refusal::Brake, detail.clone())],
                );
            } else {
                rest.push(step);
            }
        }
        self.steps = rest;
        None
    }
}

/// How many unwitnessed steps are allowed now.
#[must_use]
fn brake_limit(facts: &Facts, memory: &Memory, of: u32) -> u32 {
    let policy = &facts.policy;
    if policy.brake_percent >= 100 {
        return u32::MAX;
    }
    let done: u32 = memory
        .unwitnessed
        .iter()
        .fold(0, |sum, batch| sum.saturating_add(batch.count));
    let baseline = memory.unwitnessed.first().map_or(of, |batch| batch.of);
    let percent = u64::from(baseline).saturating_mul(u64::from(policy.brake_percent)) / 100;
    let allowed = u32::try_from(percent)
        .unwrap_or(u32::MAX)
        .max(policy.brake_min);
    allowed
        .saturating_sub(done)
        .max(facts.words.confirm_brake.unwrap_or(0))
}

/// All volumes: named, and directories found.
#[must_use]
fn all_volumes(claims: &Claims, views: &[RootView<'_>]) -> u32 {
    let mut keys: BTreeSet<&VolumeKey> = claims.volumes.keys().collect();
    for view in views {
        keys.extend(view.dirs.keys());
    }
    u32::try_from(keys.len()).unwrap_or(u32::MAX)
}

fn place(
    root: &RootFacts,
    present: &Fingerprint,
    volume: VolumeKey,
    role_dir: &Raw,
    id_dir: &Raw,
) -> VolumePlace {
    VolumePlace {
        volume,
        disk: root.disk.clone(),
        root: present.clone(),
        role_dir: role_dir.clone(),
        id_dir: id_dir.clone(),
    }
}

/// The root where a held volume's missing directory may be made; `None` where it may not.
fn may_create<'a>(
    judge: &Judge<'_>,
    view: &RootView<'a>,
    key: &VolumeKey,
) -> Option<&'a Fingerprint> {
    let root = view.root;
    if !recreate_reasons(judge, view, key).is_empty() {
        return None;
    }
    let facts = judge.facts;
    let asked = facts.words.recreate.as_ref() == Some(key);
    let never_there = judge.record(key).is_some_and(|record| {
        record
            .places
            .iter()
            .any(|place| place.disk == root.disk && place.directory.is_none())
    });
    (asked || never_there || facts.policy.recreate_vanished)
        .then(|| root.filesystem.present.known())
        .flatten()
}

/// Why a missing directory may not be made, whoever asks.
fn recreate_reasons(judge: &Judge<'_>, view: &RootView<'_>, key: &VolumeKey) -> Vec<Reason> {
    let facts = judge.facts;
    let root = view.root;
    let mut reasons = view.reasons.clone();
    // `volumes recreate` is itself the word that the root is right, for its one directory.
    if facts.words.recreate.as_ref() == Some(key) {
        reasons.retain(|reason| reason.code != Refusal::RootUnverified);
    }
    judge.doubt_reasons(&mut reasons);
    let claim = judge.claims.get(key);
    if !claim.is_some_and(|claim| claim.effective) {
        reasons.push(Reason::new(
            Refusal::StaleGeneration,
            "the checkpoint that the agent believes does not name it".to_owned(),
        ));
    }
    for operation in claim.into_iter().flat_map(|claim| &claim.pending) {
        reasons.push(Reason::new(Refusal::PendingOperation, operation.clone()));
    }
    if judge.claims.in_flight {
        reasons.push(Reason::new(
            Refusal::PendingOperation,
            "a target file exists: a change is in flight".to_owned(),
        ));
    }
    if matches!(root.dirs, Known::Unknown(_)) {
        reasons.push(Reason::new(
            Refusal::AuthorityUnknown,
            format!("the directories of {} can't be read", root.disk.root),
        ));
    }
    for other in &facts.roots {
        match &other.trash {
            Known::Known(entries) => {
                for entry in entries {
                    match &entry.manifest {
                        Known::Known(manifest) if manifest.volume == *key => {
                            reasons.push(Reason::new(
                                Refusal::Contested,
                                format!("trash entry {} holds its data", entry.id),
                            ));
                        }
                        Known::Known(_) => {}
                        Known::Absent | Known::Unknown(_) => {
                            if other.disk == root.disk {
                                reasons.push(Reason::new(
                                    Refusal::ForeignTrash,
                                    format!("trash entry {} can't be read", entry.id),
                                ));
                            }
                        }
                    }
                }
            }
            Known::Absent => {}
            Known::Unknown(why) => {
                if other.disk == root.disk {
                    reasons.push(Reason::new(Refusal::ForeignTrash, why.to_string()));
                }
            }
        }
    }
    reasons
}
