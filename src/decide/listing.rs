//! What is on this host: authorities joined with directories and trash, one row a volume.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::authority::{Claim, Claims, Source};
use super::facts::{Facts, FileKind, Known, ProviderState, RootFacts};
use super::guards::{Reason, Refusal};
use super::manifest::{TrashSize, TrashState};
use super::memory::VolumeRecord;
use super::plan::Plan;
use super::radar::{self, Alarm};
use super::remember::stale_released;
use super::roots::RootView;
use super::steps::{Evidence, Kept, TrashId};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::mesos::resource::Resource;
use crate::units::{Megabytes, Raw, Span};

/// The state of a volume, as `volumes list` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// An authority names it.
    Held,
    /// An operation on it is pending.
    Pending,
    /// It was destroyed and its data is still there, or owed on a disk that is not.
    Destroyed,
    /// A directory that nobody names.
    Orphan,
    /// It lies in the trash.
    Trashed,
    /// Something below `volumes/roles`, or a root, that is none of ours.
    Foreign,
    /// Held, on a root that is there, without its directory.
    Vanished,
}

impl VolumeState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Held,
        Self::Pending,
        Self::Destroyed,
        Self::Orphan,
        Self::Trashed,
        Self::Foreign,
        Self::Vanished,
    ];

    /// The word of the table and of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Destroyed => "destroyed",
            Self::Orphan => "orphan",
            Self::Trashed => "trashed",
            Self::Foreign => "foreign",
            Self::Vanished => "vanished",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeRow {
    /// Role and id; `None` for something that can't be a volume.
    pub key: Option<VolumeKey>,
    /// The disk; `None` where only a task names the volume.
    pub disk: Option<DiskRef>,
    /// Where it lies or would lie.
    pub path: Raw,
    /// Its state.
    pub state: VolumeState,
    /// Size, where an authority gives one or gave one.
    pub size: Option<Megabytes>,
    /// Principal, likewise.
    pub principal: Option<Raw>,
    /// The trash entry, where it is one.
    pub trash: Option<TrashId>,
    /// Every reason it is kept for, or what is wrong with it.
    pub reasons: Vec<Reason>,
}

/// One item of the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrashItem {
    /// The entry's name.
    pub id: TrashId,
    /// The disk whose trash it is in.
    pub disk: DiskRef,
    /// Role and id; `None` where the manifest can't be read.
    pub key: Option<VolumeKey>,
    /// How far it got; `None` where the manifest can't be read.
    pub state: Option<TrashState>,
    /// Seconds since 1970 when it was moved, for display.
    pub quarantined_at: Option<i64>,
    /// Lived time since it was moved.
    pub age: Option<Span>,
    /// Lived time until it expires; `None` where it never does by itself.
    pub expires_in: Option<Span>,
    /// When that is by the wall clock, if this host lives on until then.
    pub expires_at: Option<i64>,
    /// Whether it may go before that where space is short.
    pub may_go_early: bool,
    /// What it takes up, where it was counted.
    pub size: Option<TrashSize>,
    /// Why it was moved there.
    pub evidence: Option<Evidence>,
    /// Why it is still there.
    pub reasons: Vec<Reason>,
}

/// What is told of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Every volume, by name and place.
    pub rows: Vec<VolumeRow>,
    /// Every alarm of the radar. `Unknown` where it could not be seen who uses what. Never `Absent`.
    pub alarms: Known<Vec<Alarm>>,
    /// How many roots may not be swept, by reason.
    pub tripped: BTreeMap<Refusal, u32>,
}

/// Lists every volume; `plan` must be the plan of the same facts.
#[must_use]
pub fn volumes(facts: &Facts, plan: &Plan) -> Vec<VolumeRow> {
    all(facts, plan).rows
}

/// Lists everything, with one reading of the authorities; `plan` must be the plan of the same facts.
#[must_use]
pub fn all(facts: &Facts, plan: &Plan) -> Listing {
    let claims = Claims::join(facts);
    let views = RootView::all(facts, &claims);
    let mut list = List {
        plan,
        facts,
        claims: &claims,
        views: &views,
        kept: by_place(plan),
        records: plan
            .memory
            .volumes
            .iter()
            .map(|record| (&record.key, record))
            .collect(),
        rows: Vec::new(),
    };
    list.named();
    for view in &views {
        list.directories(view);
        list.strange(view.root);
        list.trashed(view.root);
        list.adopted(view.root);
    }
    list.owed();
    let mut rows = list.rows;
    let alarms = radar::alarms(facts, &claims, &views, &plan.memory);
    let mut alarmed: BTreeMap<&Raw, Vec<Reason>> = BTreeMap::new();
    for alarm in alarms.known().into_iter().flatten() {
        let reasons = alarmed.entry(&alarm.path).or_default();
        reasons.push(alarm.reason());
    }
    for row in &mut rows {
        if let Some(reasons) = alarmed.get(&row.path) {
            row.reasons.extend(reasons.iter().cloned());
            row.reasons.sort();
        }
    }
    rows.sort_by(|a, b| (&a.key, &a.path).cmp(&(&b.key, &b.path)));
    let mut tripped: BTreeMap<Refusal, u32> = BTreeMap::new();
    for view in &views {
        let codes: BTreeSet<Refusal> = view.reasons.iter().map(|reason| reason.code).collect();
        for code in codes {
            let count = tripped.entry(code).or_default();
            *count = count.saturating_add(1);
        }
    }
    Listing {
        rows,
        alarms,
        tripped,
    }
}

/// Lists the trash of every root.
#[must_use]
pub fn trash(facts: &Facts, plan: &Plan) -> Vec<TrashItem> {
    let lived = plan.memory.clock.lived;
    let policy = &facts.policy.trash;
    let early = policy.max_bytes.is_some() || policy.free_below.is_some();
    let kept = by_place(plan);
    let mut items = Vec::new();
    for root in &facts.roots {
        for entry in root.trash.known().into_iter().flatten() {
            let manifest = entry.manifest.known();
            let path = root.trash_path().join(&entry.id.0);
            let reasons = reasons_at(&kept, &root.disk, &path);
            let stays = reasons.iter().any(|reason| {
                matches!(
                    reason.code,
                    Refusal::Contested
                        | Refusal::Unconfirmed
                        | Refusal::ForeignTrash
                        | Refusal::Adopted
                )
            });
            let expires_in = manifest
                .filter(|_| !stays)
                .map(|manifest| manifest.retention.minus(lived.minus(manifest.lived_at)));
            items.push(TrashItem {
                id: entry.id.clone(),
                disk: root.disk.clone(),
                key: manifest.map(|manifest| manifest.volume.clone()),
                state: manifest.map(|manifest| manifest.state),
                quarantined_at: manifest.map(|manifest| manifest.quarantined_at),
                age: manifest.map(|manifest| lived.minus(manifest.lived_at)),
                expires_in,
                expires_at: expires_in.map(|left| {
                    let left = i64::try_from(left.0.as_secs()).unwrap_or(i64::MAX);
                    facts.host.now.wall_seconds.saturating_add(left)
                }),
                may_go_early: early
                    && manifest.is_some_and(|manifest| {
                        !stays
                            && manifest.state == TrashState::Cleared
                            && lived.minus(manifest.lived_at) >= policy.min_retention
                    }),
                size: manifest.and_then(|manifest| manifest.size),
                evidence: manifest.map(|manifest| manifest.evidence.clone()),
                reasons,
            });
        }
    }
    items
}

/// What is kept, by where it is: an entry of the trash lies in a place of its own too.
type KeptAt<'a> = BTreeMap<(&'a DiskRef, &'a Raw), Vec<&'a Kept>>;

fn by_place(plan: &Plan) -> KeptAt<'_> {
    let mut kept = KeptAt::new();
    for item in &plan.kept {
        kept.entry((&item.disk, &item.path)).or_default().push(item);
    }
    kept
}

/// Why what lies there is kept.
fn reasons_at(kept: &KeptAt<'_>, disk: &DiskRef, path: &Raw) -> Vec<Reason> {
    kept.get(&(disk, path))
        .into_iter()
        .flatten()
        .flat_map(|kept| kept.reasons.iter().cloned())
        .collect()
}

struct List<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    claims: &'a Claims,
    views: &'a [RootView<'a>],
    kept: KeptAt<'a>,
    records: BTreeMap<&'a VolumeKey, &'a VolumeRecord>,
    rows: Vec<VolumeRow>,
}

impl List<'_> {
    /// Whether only the older file names it, and the agent's answers have released that name.
    fn released(&self, key: &VolumeKey) -> bool {
        self.claims.get(key).is_some_and(Claim::stale_only)
            && stale_released(self.facts, &self.plan.memory, key)
    }

    /// Why a volume is held that nothing but the file of a storage provider names: such a file lies below
    /// the agent's id, and an agent with a new id reads it no more (F§3.5 O18).
    fn provided_alone(&self, key: &VolumeKey, claim: &Claim) -> Option<Reason> {
        if claim
            .sources
            .iter()
            .any(|source| *source != Source::Provider)
        {
            return None;
        }
        let names = |provider: &&ProviderState| {
            let mut keys = provider.content.resources.iter().map(Resource::volume_key);
            keys.any(|one| one.as_ref() == Some(key))
        };
        let file = &self.facts.providers.known()?.iter().find(names)?.file;
        let ours = self.facts.agent.latest.known().is_some_and(|latest| {
            let folder = Raw::from("meta/slaves").join(latest);
            file.below(&folder).is_some()
        });
        let whose = if ours {
            ""
        } else {
            ", which belongs to an earlier id of the agent: no agent reads it any more. Where its data is \
             not wanted, move the file away"
        };
        Some(Reason::new(
            Refusal::Held,
            format!("named by {file} alone{whose}"),
        ))
    }

    /// What other volumes may have left on a MOUNT disk.
    fn left_by_others(&self, disk: &DiskRef, path: &Raw, key: &VolumeKey) -> Vec<Reason> {
        let kept = self.kept.get(&(disk, path)).into_iter().flatten();
        let left = kept.filter(|kept| kept.volume.as_ref() != Some(key));
        left.flat_map(|kept| kept.reasons.iter().cloned())
            .filter(|reason| reason.code == Refusal::ReportOnly)
            .collect()
    }

    /// Every named volume on every disk it is named on.
    fn named(&mut self) {
        for (key, claim) in &self.claims.volumes {
            if self.released(key) {
                continue;
            }
            let pending = !claim.pending.is_empty();
            let mut reasons: Vec<Reason> = claim
                .pending
                .iter()
                .map(|operation| Reason::new(Refusal::PendingOperation, operation.clone()))
                .collect();
            if claim.stale_only() {
                reasons.push(Refusal::StaleGeneration.into());
            }
            reasons.extend(self.provided_alone(key, claim));
            let state = if pending {
                VolumeState::Pending
            } else {
                VolumeState::Held
            };
            if claim.disks.is_empty() {
                // A directory that is there is a row of its own.
                if self.views.iter().any(|view| view.dirs.contains_key(key)) {
                    continue;
                }
                self.rows.push(VolumeRow {
                    key: Some(key.clone()),
                    disk: None,
                    path: paths::volume_directory(key),
                    state,
                    size: claim.size,
                    principal: claim.principal.clone(),
                    trash: None,
                    reasons,
                });
                continue;
            }
            for disk in &claim.disks {
                let path = match disk.kind {
                    DiskType::Mount => disk.root.clone(),
                    DiskType::Root | DiskType::Path => disk.root.join(paths::volume_directory(key)),
                };
                let mut reasons = reasons.clone();
                let mut state = state;
                match self.views.iter().find(|view| view.root.disk == *disk) {
                    Some(view) => {
                        reasons.extend(view.reasons.iter().cloned());
                        let there = matches!(view.root.mount, Known::Known(_))
                            && !view.reasons.iter().any(|reason| {
                                matches!(
                                    reason.code,
                                    Refusal::NotMounted
                                        | Refusal::FingerprintMismatch
                                        | Refusal::FilesystemFailed
                                        | Refusal::DeviceGone
                                )
                            });
                        // What only the older file names may have ended in good order.
                        let missing = disk.kind != DiskType::Mount && !view.occupied(key);
                        if there && missing && !pending && !claim.stale_only() {
                            state = VolumeState::Vanished;
                            // It is in our trash, by a destroy that was cut short.
                            if has_unconfirmed(view.root, key) {
                                reasons.push(Refusal::Unconfirmed.into());
                            }
                        }
                    }
                    None => reasons.push(Refusal::NotMounted.into()),
                }
                if disk.kind == DiskType::Mount {
                    reasons.extend(self.left_by_others(disk, &path, key));
                }
                self.rows.push(VolumeRow {
                    key: Some(key.clone()),
                    disk: Some(disk.clone()),
                    path,
                    state,
                    size: claim.size,
                    principal: claim.principal.clone(),
                    trash: None,
                    reasons,
                });
            }
        }
    }

    /// Directories that are not the place of a named volume on this disk.
    fn directories(&mut self, view: &RootView<'_>) {
        let disk = &view.root.disk;
        for (key, dir) in &view.dirs {
            let claim = self.claims.get(key).filter(|_| !self.released(key));
            if claim.is_some_and(|claim| claim.disks.contains(disk)) {
                continue;
            }
            let path = dir.path(disk);
            let record = self
                .records
                .get(key)
                .filter(|record| record.places.iter().any(|place| place.disk == *disk));
            let witnessed = record
                .and_then(|record| record.gone.as_ref())
                .is_some_and(|gone| gone.evidence.is_some());
            let foreign_root = view
                .reasons
                .iter()
                .any(|reason| reason.code == Refusal::ForeignRoot);
            let reasons = reasons_at(&self.kept, disk, &path);
            let adopted = reasons.iter().any(|reason| reason.code == Refusal::Adopted);
            let state = if dir.kind != FileKind::Directory || foreign_root {
                VolumeState::Foreign
            } else if claim.is_some() {
                // A directory of a held name on another disk: kept with it (law 2).
                VolumeState::Held
            } else if witnessed && !adopted {
                VolumeState::Destroyed
            } else {
                // What an operator wants kept is waited for by nobody either.
                VolumeState::Orphan
            };
            self.rows.push(VolumeRow {
                key: Some(key.clone()),
                disk: Some(disk.clone()),
                path,
                state,
                size: record.and_then(|record| record.size),
                principal: record.and_then(|record| record.principal.clone()),
                trash: None,
                reasons,
            });
        }
    }

    fn strange(&mut self, root: &RootFacts) {
        for entry in &root.strange {
            self.rows.push(VolumeRow {
                key: None,
                disk: Some(root.disk.clone()),
                path: root.disk.root.join(&entry.path),
                state: VolumeState::Foreign,
                size: None,
                principal: None,
                trash: None,
                reasons: vec![Reason::new(Refusal::NotAVolumePath, entry.reason.clone())],
            });
        }
    }

    fn trashed(&mut self, root: &RootFacts) {
        for entry in root.trash.known().into_iter().flatten() {
            let path = root.trash_path().join(&entry.id.0);
            self.rows.push(VolumeRow {
                key: entry
                    .manifest
                    .known()
                    .map(|manifest| manifest.volume.clone()),
                disk: Some(root.disk.clone()),
                state: VolumeState::Trashed,
                size: None,
                principal: None,
                trash: Some(entry.id.clone()),
                reasons: reasons_at(&self.kept, &root.disk, &path),
                path,
            });
        }
    }

    /// MOUNT disks whose data an operator wants kept: no directory tells whose it is.
    fn adopted(&mut self, root: &RootFacts) {
        if root.kind() != DiskType::Mount {
            return;
        }
        for mark in root.adopted.known().into_iter().flatten() {
            let restored = mark.trash.as_ref().is_none_or(|id| {
                let entries = root.trash.known().into_iter().flatten();
                entries.into_iter().all(|entry| entry.id != *id)
            });
            if !restored || self.claims.get(&mark.volume).is_some() {
                continue;
            }
            self.rows.push(VolumeRow {
                key: Some(mark.volume.clone()),
                disk: Some(root.disk.clone()),
                path: root.disk.root.clone(),
                state: VolumeState::Orphan,
                size: None,
                principal: None,
                trash: None,
                reasons: vec![Refusal::Adopted.into()],
            });
        }
    }

    /// Witnessed destroys without a directory to show: MOUNT disks, and disks that are not there.
    fn owed(&mut self) {
        let shown: BTreeSet<(VolumeKey, DiskRef)> = self
            .rows
            .iter()
            .filter_map(|row| Some((row.key.clone()?, row.disk.clone()?)))
            .collect();
        for record in &self.plan.memory.volumes {
            let Some(gone) = &record.gone else { continue };
            if gone.evidence.is_none() {
                continue;
            }
            for place in &record.places {
                if shown.contains(&(record.key.clone(), place.disk.clone())) {
                    continue;
                }
                let path = match place.disk.kind {
                    DiskType::Mount => place.disk.root.clone(),
                    DiskType::Root | DiskType::Path => {
                        place.disk.root.join(paths::volume_directory(&record.key))
                    }
                };
                let reasons = reasons_at(&self.kept, &place.disk, &path);
                self.rows.push(VolumeRow {
                    key: Some(record.key.clone()),
                    disk: Some(place.disk.clone()),
                    path,
                    state: VolumeState::Destroyed,
                    size: record.size,
                    principal: record.principal.clone(),
                    trash: None,
                    reasons,
                });
            }
        }
    }
}

/// Whether the data of a held volume lies in the trash, for a destroy that its agent has not confirmed.
fn has_unconfirmed(root: &RootFacts, key: &VolumeKey) -> bool {
    let entries = root.trash.known().into_iter().flatten();
    entries
        .filter_map(|entry| entry.manifest.known())
        .any(|manifest| manifest.unconfirmed && manifest.volume == *key)
}

/// The volumes of a root that have directories, for `discover`'s `held`.
#[must_use]
pub fn held_on(claims: &Claims, disk: &DiskRef) -> Vec<VolumeKey> {
    claims
        .volumes
        .iter()
        .filter(|(_, claim)| claim.disks.contains(disk))
        .map(|(key, _)| key.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_interface() {
        for (state, word) in [
            (VolumeState::Held, "held"),
            (VolumeState::Vanished, "vanished"),
            (VolumeState::Trashed, "trashed"),
        ] {
            assert_eq!(state.word(), word);
            assert_eq!(serde_json::to_value(state).unwrap(), word);
        }
    }
}
