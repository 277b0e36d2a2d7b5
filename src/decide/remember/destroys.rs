//! DESTROY operations: which of them can be evidence, and for which life of a name.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::authority::{Claim, Source};
use crate::decide::facts::{Facts, OperationKind, OperationState, ResourceState};
use crate::decide::memory::{SpentDestroy, VolumeRecord};
use crate::decide::steps::Evidence;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// How many DESTROYs whose matter is over are remembered beyond those that files still name. A
/// checkpoint is rolled back by seconds, in which an agent carries out far fewer.
const SPENT: usize = 1024;

/// A DESTROY of one volume, as one file shows it.
#[derive(Clone, Debug)]
struct Destroy<'a> {
    uuid: &'a str,
    state: OperationState,
    /// The disk that it names the volume on.
    disk: Option<DiskRef>,
    /// Whether the same file names the volume all the same. Finished, it was an earlier life then.
    survived: bool,
}

impl Destroy<'_> {
    /// Whether it can be of the life that is known: a volume of that name on another disk is another life.
    fn speaks_of(&self, record: &VolumeRecord) -> bool {
        let mut places = record.places.iter();
        record.places.is_empty()
            || self
                .disk
                .as_ref()
                .is_none_or(|disk| places.any(|place| place.disk == *disk))
    }
}

/// Every DESTROY in the files, by the volumes they name.
#[derive(Debug)]
pub(super) struct Destroys<'a> {
    by_volume: BTreeMap<VolumeKey, Vec<Destroy<'a>>>,
    /// Operations that failed, or do something else to the volume.
    denied: BTreeSet<(&'a str, VolumeKey)>,
}

impl<'a> Destroys<'a> {
    pub(super) fn read(facts: &'a Facts) -> Self {
        let checkpoint = &facts.checkpoint;
        let providers = facts.providers.known().into_iter().flatten();
        let committed = checkpoint
            .state
            .whole()
            .into_iter()
            .chain(providers.map(|provider| &provider.content));
        let mut destroys = Self {
            by_volume: BTreeMap::new(),
            denied: BTreeSet::new(),
        };
        let work_dir = &facts.agent.work_dir;
        if let Some(target) = checkpoint.state_target.whole() {
            destroys.file(target, work_dir);
        }
        for file in committed {
            destroys.file(file, work_dir);
        }
        destroys
    }

    fn file(&mut self, file: &'a ResourceState, work_dir: &Raw) {
        if file.operations.is_empty() {
            return;
        }
        let named: BTreeSet<VolumeKey> = file
            .resources
            .iter()
            .filter_map(Resource::volume_key)
            .collect();
        for operation in &file.operations {
            for volume in &operation.volumes {
                let Some(key) = volume.volume_key() else {
                    continue;
                };
                if operation.kind != OperationKind::Destroy
                    || operation.state == OperationState::Failed
                {
                    self.denied.insert((&operation.uuid, key));
                    continue;
                }
                let survived = named.contains(&key);
                self.by_volume.entry(key).or_default().push(Destroy {
                    uuid: &operation.uuid,
                    state: operation.state,
                    disk: volume.disk(work_dir),
                    survived,
                });
            }
        }
    }

    fn of(&self, key: &VolumeKey) -> &[Destroy<'a>] {
        self.by_volume.get(key).map_or(&[], Vec::as_slice)
    }

    fn denied(&self, key: &VolumeKey, uuid: &str) -> bool {
        !self.denied.is_empty() && self.denied.contains(&(uuid, key.clone()))
    }

    /// Whether what was taken for a destroy did not happen, as the files say by now, or was another
    /// life's.
    pub(super) fn refutes(&self, key: &VolumeKey, evidence: &Evidence, spent: &Spent) -> bool {
        match evidence {
            Evidence::DestroyOperation(uuid) => self.denied(key, uuid) || spent.contains(uuid, key),
            Evidence::GoneWithinRun
            | Evidence::OwnDestroy
            | Evidence::Operator
            | Evidence::Unwitnessed { .. } => false,
        }
    }

    /// A finished DESTROY of this volume's present life.
    pub(super) fn finished(&self, record: &VolumeRecord, spent: &Spent) -> Option<String> {
        let key = &record.key;
        self.of(key)
            .iter()
            .find(|destroy| {
                destroy.state == OperationState::Finished
                    && destroy.speaks_of(record)
                    && !self.denied(key, destroy.uuid)
                    && !spent.contains(destroy.uuid, key)
            })
            .map(|destroy| destroy.uuid.to_owned())
    }

    /// The operation by which a volume that no authority names was destroyed, if one was read.
    pub(super) fn evidence(&self, record: &VolumeRecord, spent: &Spent) -> Option<Evidence> {
        let key = &record.key;
        self.finished(record, spent)
            .or_else(|| {
                record
                    .pending_destroys
                    .iter()
                    .find(|uuid| !self.denied(key, uuid) && !spent.contains(uuid, key))
                    .cloned()
            })
            .map(Evidence::DestroyOperation)
    }

    /// Notes the DESTROYs of a volume that is named, and which of them are over.
    pub(super) fn note(&self, record: &mut VolumeRecord, claim: &Claim, spent: &mut Spent) {
        let key = record.key.clone();
        let before = std::mem::take(&mut record.pending_destroys);
        if self.of(&key).is_empty() && before.is_empty() {
            return;
        }
        let mut open: BTreeSet<String> = BTreeSet::new();
        for destroy in self.of(&key) {
            match destroy.state {
                OperationState::Finished if destroy.survived => spent.add(destroy.uuid, &key),
                // The answer was asked for after the files were read, and the agent is one actor: what
                // it holds then is another life, or the file is not the one that it believes (an agent
                // that was downgraded leaves its successor's file behind, be it committed or a target of
                // which a crash took the commit).
                OperationState::Finished if claim.sources.contains(&Source::Answer) => {
                    spent.add(destroy.uuid, &key);
                }
                // Only the older file names it. That may be a crash between the two files; or an agent was
                // downgraded below 1.8 since, which writes the older file alone, and made the volume
                // anew. The files say the same in both cases, and only in one the data is dead: so that
                // DESTROY is no witness for what lies there. Neither is one in a target: while it is on
                // its way the committed file names the volume still, and where that file is cut to
                // nothing, an agent below 1.8 believes the older one.
                OperationState::Finished if claim.stale_only() => {
                    spent.add(destroy.uuid, &key);
                }
                // Finished in a target, while the volume still stands in the committed file; or
                // what keeps its name is a task.
                OperationState::Pending | OperationState::Finished => {
                    if destroy.speaks_of(record) {
                        open.insert(destroy.uuid.to_owned());
                    }
                }
                OperationState::Unclear => {
                    if before.iter().any(|uuid| uuid == destroy.uuid) {
                        open.insert(destroy.uuid.to_owned());
                    }
                }
                OperationState::Failed => {}
            }
        }
        if claim.alive() || claim.stale_only() {
            // It is over, and the volume lives: it failed, or this is another life. So it may be where
            // the older file alone names it, see above.
            for uuid in before {
                if !open.contains(&uuid) {
                    spent.add(&uuid, &key);
                }
            }
        } else {
            open.extend(before);
        }
        open.retain(|uuid| !self.denied(&key, uuid) && !spent.contains(uuid, &key));
        record.pending_destroys = open.into_iter().collect();
    }

    /// Whether no file says that this DESTROY was of a volume on another disk than this.
    pub(super) fn may_be_on(&self, key: &VolumeKey, uuid: &str, disk: &DiskRef) -> bool {
        self.of(key)
            .iter()
            .filter(|destroy| destroy.uuid == uuid)
            .all(|destroy| destroy.disk.as_ref().is_none_or(|named| named == disk))
    }

    /// Notes the finished DESTROYs of a volume that nobody names any more: they may be acknowledged,
    /// and out of the files, before the pass that can conclude something.
    pub(super) fn note_finished(&self, record: &mut VolumeRecord, spent: &Spent) {
        if let Some(uuid) = self.finished(record, spent)
            && !record.pending_destroys.contains(&uuid)
        {
            record.pending_destroys.push(uuid);
        }
    }

    /// Every finished DESTROY with the volume it names.
    pub(super) fn all_finished(&self) -> impl Iterator<Item = (&'a str, &VolumeKey)> {
        self.by_volume.iter().flat_map(|(key, destroys)| {
            destroys
                .iter()
                .filter(|destroy| destroy.state == OperationState::Finished)
                .map(move |destroy| (destroy.uuid, key))
        })
    }
}

/// DESTROYs whose matter is over, oldest first.
#[derive(Debug)]
pub(super) struct Spent {
    list: Vec<SpentDestroy>,
    set: BTreeSet<SpentDestroy>,
}

impl Spent {
    pub(super) fn new(list: Vec<SpentDestroy>) -> Self {
        Self {
            set: list.iter().cloned().collect(),
            list,
        }
    }

    pub(super) fn add(&mut self, uuid: &str, key: &VolumeKey) {
        let spent = SpentDestroy {
            uuid: uuid.to_owned(),
            key: key.clone(),
        };
        if self.set.insert(spent.clone()) {
            self.list.push(spent);
        }
    }

    pub(super) fn contains(&self, uuid: &str, key: &VolumeKey) -> bool {
        !self.set.is_empty()
            && self.set.contains(&SpentDestroy {
                uuid: uuid.to_owned(),
                key: key.clone(),
            })
    }

    /// Those that files still name, and the youngest of the others.
    pub(super) fn kept(self, destroys: &Destroys<'_>) -> Vec<SpentDestroy> {
        let shown = |spent: &SpentDestroy| {
            destroys
                .of(&spent.key)
                .iter()
                .any(|destroy| destroy.uuid == spent.uuid)
        };
        let others = self.list.iter().filter(|spent| !shown(spent)).count();
        let mut forget = others.saturating_sub(SPENT);
        self.list
            .into_iter()
            .filter(|spent| {
                let old = forget > 0 && !shown(spent);
                if old {
                    forget = forget.saturating_sub(1);
                }
                !old
            })
            .collect()
    }
}
