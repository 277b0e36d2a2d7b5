//! The only place where a wipe is decided.
//!
//! [`plan`] is a pure function of facts. What it gives is data: a dry run prints it, and a run
//! executes the very same. Everything that was looked at and is left alone is in it too, with
//! every reason.

mod bar;
mod brake;
mod create;
mod mounts;
mod own;
mod pressure;
mod restore;
mod scope;
mod trash;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::scope::Scope;
use super::authority::{Claims, empty_doubt};
use super::facts::{Facts, FileIdentity, Fingerprint, Known, RootFacts, Who};
use super::guards::{Reason, Refusal};
use super::manifest::{Manifest, TrashState};
use super::memory::{Memory, VolumePlaceRecord, VolumeRecord};
use super::remember::remember;
use super::roots::{RootView, Standing, place_exists, present_filesystem};
use super::steps::{Evidence, Kept, Step, TrashId, VolumePlace};
use super::trip::{marker_now, verified_now};
use super::volumes::{Finding, Judge};
use crate::decide::facts::OrphanPolicy;
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
    /// Whose word it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
    /// The memory of earlier passes could not be read, so that [`Plan::memory`] must not be
    /// written over it: it may be a later program's, or be mended.
    #[serde(skip)]
    pub memory_unknown: bool,
    /// An earlier round of this very pass wrote this memory, but for a moment of lived time and for
    /// sightings of what was moved since: it is on disk already, durably, and needs no writing again. A
    /// moment that a crash takes from lived time makes everything younger, never older.
    #[serde(skip)]
    pub memory_written: bool,
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

    /// Whether an authority could not be read, so that it is not known whether something was due: the sweep then
    /// exits 5 as well, because what it did not see may be a destroy.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let code = super::guards::Refusal::AuthorityUnknown;
        self.doubts.iter().any(|doubt| doubt.code == code)
    }

    /// Whether executing it changes nothing on any disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Whether a plan of these facts is one for the whole host, not for what a command is about.
#[must_use]
pub fn is_whole(facts: &Facts) -> bool {
    Scope::of(&facts.words).is_none()
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
        touched: BTreeMap::new(),
        on_mounts: on_mounts(&memory),
        trashed: trashed(facts),
        early: BTreeSet::new(),
    };
    planner.early = planner.pressure();
    for view in &views {
        planner.adopt_root(view);
        planner.trash(view);
        planner.directories(view);
        planner.missing(view);
        planner.mount(view);
        planner.marks(view);
        planner.own_destroy(view);
    }
    planner.owed();
    planner.gate();
    planner.unbar();
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
        memory_written: written(facts, &memory),
        memory,
        memory_unknown: matches!(facts.memory, Known::Unknown(_)),
        by: facts.words.by.clone(),
    }
}

/// So much lived time may be missing in the file.
const MOMENT: Span = Span::seconds(1);

/// See [`Plan::memory_written`].
fn written(facts: &Facts, memory: &Memory) -> bool {
    let Known::Known(before) = &facts.memory else {
        return false;
    };
    facts.words.later_round
        && before.clock.boot_id == memory.clock.boot_id
        && memory.clock.since_boot.minus(before.clock.since_boot) < MOMENT
        && before.same_but_for_when(memory)
}

/// Records by the MOUNT disks that they may lie on.
fn on_mounts(memory: &Memory) -> BTreeMap<&DiskRef, Vec<&VolumeRecord>> {
    let mut map: BTreeMap<&DiskRef, Vec<&VolumeRecord>> = BTreeMap::new();
    for record in &memory.volumes {
        for place in &record.places {
            if place.disk.kind == DiskType::Mount {
                map.entry(&place.disk).or_default().push(record);
            }
        }
    }
    map
}

/// Entries of all trashes, by the volume that their manifests name.
fn trashed(facts: &Facts) -> BTreeMap<&VolumeKey, Vec<&TrashId>> {
    let mut map: BTreeMap<&VolumeKey, Vec<&TrashId>> = BTreeMap::new();
    for root in &facts.roots {
        for entry in root.trash.known().into_iter().flatten() {
            if let Known::Known(manifest) = &entry.manifest {
                map.entry(&manifest.volume).or_default().push(&entry.id);
            }
        }
    }
    map
}

/// Roots are remembered first; what was begun is ended before anything new is begun.
fn sort_steps(steps: &mut [Step]) {
    steps.sort_by_key(|step| match step {
        Step::AdoptRoot { .. } => 0,
        Step::PutBack { .. } | Step::Restore { .. } | Step::Adopt { .. } | Step::Unadopt { .. } => {
            1
        }
        Step::Create { .. } => 2,
        Step::Quarantine { .. } => 3,
        Step::Clear { .. } | Step::Confirm { .. } => 4,
        Step::Void { .. } | Step::Tidy { .. } => 5,
        Step::Wipe { .. } => 6,
        Step::EmptyMount { .. } | Step::MoveOut { .. } => 7,
        Step::OpenGate | Step::Bar { .. } => 8,
        Step::Call { .. } => 9,
    });
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
    /// Directories that a step acts on, and where: two roots can show one directory.
    touched: BTreeMap<FileIdentity, Raw>,
    on_mounts: BTreeMap<&'a DiskRef, Vec<&'a VolumeRecord>>,
    trashed: BTreeMap<&'a VolumeKey, Vec<&'a TrashId>>,
    /// Entries of the trash that go before their time, for want of space.
    early: BTreeSet<FileIdentity>,
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

    /// Takes a directory for a step; where another root shows it too and it is taken already, says
    /// so.
    fn take(&mut self, directory: &FileIdentity, path: &Raw) -> Result<(), Reason> {
        if let Some(other) = self.touched.get(directory) {
            return Err(Reason::new(
                Refusal::Contested,
                format!("it is the same directory as {other}, on which a step acts"),
            ));
        }
        self.touched.insert(directory.clone(), path.clone());
        Ok(())
    }

    fn adopt_root(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if let Some((how, present)) = view.standing()
            && (how == Standing::New
                || view.marker_due(self.facts())
                || view.note_due(self.facts()))
        {
            self.steps.push(Step::AdoptRoot {
                disk: root.disk.clone(),
                root: present.clone(),
                verified: verified_now(self.facts(), root),
                marker: marker_now(self.facts(), root),
            });
        }
    }

    fn directories(&mut self, view: &RootView<'_>) {
        let root = view.root;
        let standing = view.standing();
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
            let asked = self
                .facts()
                .words
                .method(key, root.kind(), &self.facts().policy);
            if let Some(asked) = asked.filter(|asked| asked.mode.whole_disk()) {
                reasons.push(Reason::new(
                    Refusal::ModeRefused,
                    format!("{} acts on a whole MOUNT disk", asked.mode),
                ));
            }
            let key = key.clone();
            let path = dir.path(&root.disk);
            match (standing, dir.identity.known(), evidence) {
                (Some((_, present)), Some(identity), Some(evidence)) if reasons.is_empty() => {
                    if let Err(reason) = self.take(identity, &path) {
                        self.keep(Some(key), &root.disk, path, false, vec![reason]);
                        continue;
                    }
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
                _ => {
                    if reasons.is_empty() {
                        // Can't happen: what may go has a step. Kept all the same.
                        reasons.push(Refusal::GracePeriod.into());
                    }
                    self.keep(Some(key), &root.disk, path, due, reasons);
                }
            }
        }
    }

    /// A new name for an entry of the trash, or a mark beside it.
    fn name(&mut self) -> String {
        self.names = self.names.saturating_add(1);
        let now = self.facts().host.now.wall_seconds.max(0);
        format!("{now}-{}-{}", self.id, self.names)
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
        let name = self.name();
        let retention = match (evidence, facts.policy.orphans) {
            (Evidence::Operator, _) | (Evidence::Unwitnessed { .. }, OrphanPolicy::Wipe) => {
                Span::ZERO
            }
            (Evidence::Unwitnessed { .. }, OrphanPolicy::Report | OrphanPolicy::Quarantine) => self
                .own_retention(&key.role, |rule| rule.orphan_retention)
                .unwrap_or(facts.policy.orphan_retention),
            (Evidence::DestroyOperation(_) | Evidence::GoneWithinRun | Evidence::OwnDestroy, _) => {
                self.own_retention(&key.role, |rule| rule.retention)
                    .unwrap_or(facts.policy.retention)
            }
        };
        Ok(Manifest {
            version: Manifest::VERSION,
            id: TrashId(name),
            volume: key.clone(),
            disk: root.disk.clone(),
            path: Raw::from(crate::mesos::paths::ROLES)
                .join(role_dir)
                .join(id_dir),
            identity: identity.clone(),
            emptied: None,
            state: TrashState::Prepared,
            evidence: evidence.clone(),
            unconfirmed: false,
            asked: None,
            machine_id: machine_id.clone(),
            work_dir: facts.agent.work_dir.clone(),
            plan: self.id.clone(),
            lived_at: self.lived(),
            retention,
            quarantined_at: facts.host.now.wall_seconds,
            method: facts.words.method(key, root.kind(), &facts.policy),
            size: None,
        })
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
        if let Some(Known::Unknown(why)) = view.map(|view| &view.root.mount) {
            let why = format!("{why}; what was destroyed there is owed until it can be looked at");
            return Some(vec![Reason::new(Refusal::NotMounted, why)]);
        }
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
