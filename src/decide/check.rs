//! A second reader of every plan, written apart from [`super::plan`]: it derives from the facts,
//! in the plainest way, whether each step is allowed, and shares none of the planner's code. One
//! fault then needs two accomplices.
//!
//! The plan's memory is the planner's work as well; what it says about a destroy or a sighting is
//! held against the memory that the facts brought along.

mod authorities;
mod bar;
mod evidence;
mod hidden;
mod named;
mod own;
mod places;
mod pressure;
mod restore;
mod roots;

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};

use self::named::Named;
use self::places::Places;
use super::facts::{
    AgentAnswer, DirFacts, Facts, FileIdentity, FileKind, Fingerprint, Known, MountContent,
    Operation, TrashFacts, WipeMethod,
};
use super::manifest::{Manifest, TrashState};
use super::memory::{Memory, Sighting, VolumeRecord};
use super::plan::Plan;
use super::steps::{Barrier, Evidence, Step, TrashId, TrashPlace, VolumePlace, WipeAuthorization};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// A plan that was read twice. Only [`check`] makes one, and executing takes it by value.
#[derive(Debug)]
pub struct CheckedPlan(Plan);

impl CheckedPlan {
    /// The plan inside.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// Gives the plan up for execution.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

/// The checker's "no": planner and checker disagree, which is a fault of this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan was rejected by its check at step {step}: {why}; nothing was done; please report \
     this with the file of `mesos-volumed plan --save-facts FILE`"
)]
pub struct PlanRejected {
    /// Index of the step.
    pub step: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Reads the plan a second time.
pub fn check(plan: Plan, facts: &Facts) -> Result<CheckedPlan, PlanRejected> {
    let end = plan.steps.len();
    let reject = |step: usize| move |why: String| PlanRejected { step, why };
    must(
        plan.memory_unknown == matches!(facts.memory, Known::Unknown(_)),
        || "the memory that could not be read would be written over".to_owned(),
    )
    .map_err(reject(end))?;
    let as_on_disk = || {
        let before = facts.memory.known();
        facts.words.later_round && before.is_some_and(|it| it.same_but_for_when(&plan.memory))
    };
    must(!plan.memory_written || as_on_disk(), || {
        "what is to be remembered would not be written".to_owned()
    })
    .map_err(reject(end))?;
    if !plan.steps.is_empty() {
        let reader = Reader::new(&plan, facts);
        reader.clock().map_err(reject(0))?;
        let mut touched: BTreeSet<FileIdentity> = BTreeSet::new();
        for (index, step) in plan.steps.iter().enumerate() {
            let identity = reader.step(step, &plan).map_err(reject(index))?;
            if let Some(identity) = identity
                && !touched.insert(identity)
            {
                return Err(reject(index)("two steps act on one directory".to_owned()));
            }
        }
        reader.blast_radius(&plan).map_err(reject(end))?;
    }
    Ok(CheckedPlan(plan))
}

type Verdict = Result<(), String>;

fn must(condition: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(otherwise()) }
}

struct Reader<'a> {
    facts: &'a Facts,
    memory: &'a Memory,
    adopted: BTreeSet<&'a DiskRef>,
    named: Named,
    places: Places,
    dirs: BTreeMap<(&'a DiskRef, &'a Raw, &'a Raw), &'a DirFacts>,
    held_identities: BTreeSet<&'a FileIdentity>,
    records: BTreeMap<&'a VolumeKey, &'a VolumeRecord>,
    sightings: BTreeMap<(&'a DiskRef, &'a VolumeKey), &'a Sighting>,
    prior_records: BTreeMap<&'a VolumeKey, &'a VolumeRecord>,
    prior_sightings: BTreeMap<(&'a DiskRef, &'a VolumeKey), &'a Sighting>,
    prior_spent: BTreeSet<(&'a str, &'a VolumeKey)>,
    operations: BTreeMap<&'a str, Vec<&'a Operation>>,
    trash: BTreeMap<(&'a DiskRef, &'a TrashId), &'a TrashFacts>,
    protect: Vec<Result<GlobMatcher, String>>,
    authorities: Verdict,
    /// Entries of the trash that this plan wipes, and those that it keeps for their time alone.
    wiped: BTreeSet<&'a FileIdentity>,
    waiting: BTreeSet<(&'a DiskRef, &'a TrashId)>,
}

impl<'a> Reader<'a> {
    fn new(plan: &'a Plan, facts: &'a Facts) -> Self {
        let memory = &plan.memory;
        let named = Named::read(facts, memory);
        let adopted = plan
            .steps
            .iter()
            .filter_map(|step| {
                let Step::AdoptRoot { disk, .. } = step else {
                    return None;
                };
                Some(disk)
            })
            .collect();
        let mut dirs = BTreeMap::new();
        let mut held_identities = BTreeSet::new();
        for root in &facts.roots {
            for dir in root.dirs.known().into_iter().flatten() {
                dirs.insert((&root.disk, &dir.role_dir, &dir.id_dir), dir);
                if let Known::Known(identity) = &dir.identity
                    && named.holds(&super::roots::dir_key(dir))
                {
                    held_identities.insert(identity);
                }
            }
            if let Known::Known(present) = &root.filesystem.present
                && root.disk.kind == DiskType::Mount
                && named.volumes_on(&root.disk).any(|key| named.holds(key))
            {
                held_identities.insert(&present.directory);
            }
        }
        let protect = facts
            .policy
            .protect
            .iter()
            .map(|glob| {
                GlobBuilder::new(glob)
                    .literal_separator(true)
                    .build()
                    .map(|glob| glob.compile_matcher())
                    .map_err(|error| format!("protect glob {glob}: {error}"))
            })
            .collect();
        let mut reader = Self {
            facts,
            memory,
            adopted,
            places: Places::read(facts, &named),
            named,
            dirs,
            held_identities,
            records: records(memory),
            sightings: sightings(memory),
            prior_records: facts.memory.known().map(records).unwrap_or_default(),
            prior_sightings: facts.memory.known().map(sightings).unwrap_or_default(),
            prior_spent: facts
                .memory
                .known()
                .into_iter()
                .flat_map(|memory| &memory.spent_destroys)
                .map(|spent| (spent.uuid.as_str(), &spent.key))
                .collect(),
            operations: evidence::operations(facts),
            trash: facts
                .roots
                .iter()
                .flat_map(|root| {
                    root.trash
                        .known()
                        .into_iter()
                        .flatten()
                        .map(|entry| ((&root.disk, &entry.id), entry))
                })
                .collect(),
            protect,
            authorities: Ok(()),
            wiped: pressure::wiped(plan),
            waiting: pressure::waiting(plan),
        };
        reader.authorities = reader.read_authorities();
        reader
    }

    /// The identity of what the step acts on, where it acts on a directory.
    fn step(&self, step: &Step, plan: &Plan) -> Result<Option<FileIdentity>, String> {
        match step {
            Step::Quarantine {
                place,
                identity,
                manifest,
            } if manifest.unconfirmed => {
                self.set_aside(place, identity, manifest)?;
                Ok(Some(identity.clone()))
            }
            Step::Call {
                call,
                volume,
                disk,
                asked,
                entry,
            } => self
                .call(call, volume, disk, asked, entry.as_deref())
                .map(|()| None),
            Step::Confirm { entry, lived_at } => {
                self.confirm(entry, *lived_at)?;
                Ok(entry.data.clone())
            }
            Step::Quarantine {
                place,
                identity,
                manifest,
            } => {
                self.quarantine(place, identity, manifest)?;
                Ok(Some(identity.clone()))
            }
            Step::Wipe {
                authorization,
                entry,
            } => {
                self.wipe(authorization, entry)?;
                Ok(Some(authorization.identity().clone()))
            }
            Step::EmptyMount {
                authorization,
                root,
                fill_only,
                barrier,
            } => {
                self.empty_mount(authorization, root, *fill_only, *barrier)?;
                Ok(Some(authorization.identity().clone()))
            }
            Step::MoveOut {
                authorization,
                entry,
                barrier,
            } => {
                self.move_out(authorization, entry, *barrier)?;
                Ok(Some(authorization.identity().clone()))
            }
            Step::Bar {
                call, volume, disk, ..
            } => {
                let read = match volume {
                    Some(volume) => self.bar(call, volume, disk),
                    None => self.unbar(call, disk, plan),
                };
                read.map(|()| None)
            }
            Step::Clear { entry } => {
                self.clear(entry)?;
                Ok(entry.data.clone())
            }
            Step::PutBack { entry } => {
                self.put_back(entry)?;
                Ok(entry.data.clone())
            }
            Step::Void { entry } => self.void(entry).map(|()| None),
            Step::Create { place } => self.create(place).map(|()| None),
            Step::AdoptRoot {
                disk,
                root,
                verified,
                marker,
            } => self
                .adopt(disk, root, verified, marker.as_ref())
                .map(|()| None),
            Step::OpenGate => self.open_gate(plan).map(|()| None),
            Step::Restore { entry, mark } => {
                self.restore(entry, mark)?;
                Ok(entry.data.clone())
            }
            Step::Adopt { at, mark } => self.adopt_volume(at, mark).map(|()| None),
            Step::Unadopt { at, mark, why } => self.unadopt(at, mark, *why).map(|()| None),
            Step::Tidy { at, id } => self.tidy(at, id).map(|()| None),
        }
    }

    /// An entry that holds no data, and says nothing that has to be kept.
    fn void(&self, entry: &TrashPlace) -> Verdict {
        let root = self.root(&entry.disk, &entry.root)?;
        let found = self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        must(found.data == Known::Absent, || {
            format!("entry {} has data", manifest.id)
        })?;
        if !manifest.unconfirmed || manifest.state == TrashState::Prepared {
            return Ok(());
        }
        // Or its data is back in its place, where it may be.
        let is_back = root.dirs.known().into_iter().flatten().any(|dir| {
            dir.path(&entry.disk) == entry.disk.root.join(&manifest.path)
                && dir.identity.known() == Some(&manifest.identity)
        });
        must(is_back, || {
            format!("nobody confirmed the destroy of entry {}", manifest.id)
        })?;
        self.unconfirmed_back(entry)
    }

    fn quarantine(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
        manifest: &Manifest,
    ) -> Verdict {
        let root = self.root(&place.disk, &place.root)?;
        must(root.disk.kind != DiskType::Mount, || {
            "a MOUNT has no trash".to_owned()
        })?;
        let dir = self.directory_of(place, identity)?;
        self.nobody_wants(&place.volume)?;
        must(!self.held_identities.contains(identity), || {
            format!("{} is the directory of a held volume", place.path())
        })?;
        self.unused(&place.volume, &dir.location, &place.path())?;
        self.unmarked(root, |mark| mark.volume == place.volume)?;
        self.unmarked_elsewhere(&place.disk, identity)?;
        self.describes(manifest, place, identity, false)?;
        self.evidence(place, identity, manifest)
    }

    /// The directory that was seen there; it is the volume's, and the one that is meant.
    fn directory_of(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
    ) -> Result<&DirFacts, String> {
        plain_name(&place.role_dir)?;
        plain_name(&place.id_dir)?;
        must(
            place.volume.role.directory() == place.role_dir
                && *place.volume.id.as_raw() == place.id_dir,
            || format!("{} is not the directory of {}", place.path(), place.volume),
        )?;
        let dir = *self
            .dirs
            .get(&(&place.disk, &place.role_dir, &place.id_dir))
            .ok_or_else(|| format!("{} was not seen", place.path()))?;
        must(dir.kind == FileKind::Directory, || {
            format!("{} is no directory", place.path())
        })?;
        must(dir.identity.known() == Some(identity), || {
            format!("{} is another directory", place.path())
        })?;
        must(identity.filesystem == place.root.filesystem, || {
            format!("{} is on another file system", place.path())
        })?;
        Ok(dir)
    }

    /// A manifest of this pass, for a move that has not begun.
    fn describes(
        &self,
        manifest: &Manifest,
        place: &VolumePlace,
        identity: &FileIdentity,
        unconfirmed: bool,
    ) -> Verdict {
        must(
            manifest.version == Manifest::VERSION
                && manifest.state == TrashState::Prepared
                && manifest.unconfirmed == unconfirmed
                && manifest.volume == place.volume
                && manifest.disk == place.disk
                && place.disk.root.join(&manifest.path) == place.path()
                && manifest.identity == *identity
                && manifest.work_dir == self.facts.agent.work_dir
                && manifest.lived_at == self.memory.clock.lived
                && self.facts.host.machine_id.known() == Some(&manifest.machine_id),
            || "the manifest does not describe the step".to_owned(),
        )?;
        plain_name(&Raw::from(manifest.id.0.as_str()))
    }

    fn wipe(&self, authorization: &WipeAuthorization, entry: &TrashPlace) -> Verdict {
        self.root(&entry.disk, &entry.root)?;
        let found = self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        must(
            matches!(manifest.state, TrashState::Cleared | TrashState::Wiping)
                && !manifest.unconfirmed,
            || format!("entry {} was not cleared", manifest.id),
        )?;
        must(
            entry.data.as_ref() == Some(authorization.identity())
                && manifest.identity == *authorization.identity()
                && manifest.volume == *authorization.volume()
                && manifest.evidence == *authorization.evidence()
                && entry.disk == *authorization.disk(),
            || "the authorization is for something else".to_owned(),
        )?;
        self.mode(authorization, manifest.method, false)?;
        self.unclaimed_entry(entry, found)?;
        let age = self.memory.clock.lived.minus(manifest.lived_at);
        let words = &self.facts.words;
        must(
            manifest.state == TrashState::Wiping
                || age >= manifest.retention
                || self.early(entry)
                || words.purge.contains(&manifest.id)
                || words.wipe.as_ref() == Some(&manifest.volume),
            || {
                format!(
                    "entry {} is to stay for {}",
                    manifest.id,
                    manifest.retention.minus(age)
                )
            },
        )
    }

    fn clear(&self, entry: &TrashPlace) -> Verdict {
        self.root(&entry.disk, &entry.root)?;
        let found = self.trash_entry(entry)?;
        must(
            matches!(
                entry.manifest.state,
                TrashState::Prepared | TrashState::Moved
            ) && !entry.manifest.unconfirmed,
            || format!("entry {} is not at its second look", entry.manifest.id),
        )?;
        must(
            entry.disk.kind != DiskType::Mount || entry.manifest.state == TrashState::Moved,
            || {
                format!(
                    "entry {} holds a part of what is on its disk",
                    entry.manifest.id
                )
            },
        )?;
        self.unclaimed_entry(entry, found)
    }

    /// Nobody names or uses the volume of an entry, nor ever did since it was moved.
    fn unclaimed_entry(&self, entry: &TrashPlace, found: &TrashFacts) -> Verdict {
        let manifest = &entry.manifest;
        must(entry.data.as_ref() == Some(&manifest.identity), || {
            format!("the data of {} is another directory", manifest.id)
        })?;
        must(
            manifest.identity.filesystem == entry.root.filesystem,
            || format!("the data of {} is on another file system", manifest.id),
        )?;
        self.nobody_wants(&manifest.volume)?;
        for root in self
            .facts
            .roots
            .iter()
            .filter(|root| root.disk == entry.disk)
        {
            self.unmarked(root, |mark| mark.trash.as_ref() == Some(&manifest.id))?;
        }
        self.unmarked_elsewhere(&entry.disk, &manifest.identity)?;
        let path = match &entry.hidden {
            Some(hidden) => hidden.path.join(super::manifest::HIDDEN_TRASH),
            None => entry.disk.root.join(super::manifest::TRASH),
        };
        let path = path.join(&manifest.id.0).join("data");
        self.unused(&manifest.volume, &found.location, &path)?;
        let before = self.prior_record(&manifest.volume).ok();
        let named_since = self
            .records
            .get(&manifest.volume)
            .copied()
            .into_iter()
            .chain(before)
            .any(|record| record.named_at > manifest.lived_at);
        must(
            !named_since || self.facts.words.purge.contains(&manifest.id),
            || format!("{} was named after it was moved", manifest.volume),
        )
    }

    fn put_back(&self, entry: &TrashPlace) -> Verdict {
        let root = self.root(&entry.disk, &entry.root)?;
        self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        must(
            matches!(manifest.state, TrashState::Prepared | TrashState::Moved),
            || format!("entry {} is past the way back", manifest.id),
        )?;
        if manifest.unconfirmed {
            self.unconfirmed_back(entry)?;
        }
        must(entry.data.as_ref() == Some(&manifest.identity), || {
            format!("the data of {} is another directory", manifest.id)
        })?;
        self.free(root, &manifest.volume)?;
        must(!self.named.pending(&manifest.volume), || {
            format!("an operation on {} is pending", manifest.volume)
        })?;
        if root.disk.kind == DiskType::Mount {
            self.mount_back(root, entry)?;
        }
        Ok(())
    }

    /// Data is destroyed as was asked for, never as something weaker, and a mode of whole disks
    /// acts on nothing less.
    fn mode(
        &self,
        authorization: &WipeAuthorization,
        asked: Option<WipeMethod>,
        whole_disk: bool,
    ) -> Verdict {
        let facts = self.facts;
        let disk = authorization.disk().kind;
        let said = facts
            .words
            .method(authorization.volume(), disk, &facts.policy);
        let wanted = match (said, asked) {
            (Some(method), _) | (None, Some(method)) => method,
            (None, None) => facts.policy.method(disk),
        };
        let method = authorization.method();
        must(method == wanted, || {
            format!(
                "it is to be destroyed by {}, not by {}",
                wanted.mode, method.mode
            )
        })?;
        must(whole_disk || !method.mode.whole_disk(), || {
            format!("{} is for whole disks", method.mode)
        })
    }

    fn empty_mount(
        &self,
        authorization: &WipeAuthorization,
        print: &Fingerprint,
        fill_only: bool,
        barrier: Barrier,
    ) -> Verdict {
        let disk = authorization.disk();
        let key = authorization.volume();
        let root = self.root(disk, print)?;
        must(disk.kind == DiskType::Mount, || {
            format!("{disk} is no MOUNT disk")
        })?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{} is not mounted", root.disk.root))?;
        must(*authorization.identity() == print.directory, || {
            "the authorization is for another directory".to_owned()
        })?;
        let owed = self.facts.gate.fills.iter().find(|fill| {
            fill.volume == *key && fill.root == disk.root && fill.directory == print.directory
        });
        let expected = if fill_only {
            MountContent::Empty
        } else {
            MountContent::Data
        };
        must(root.content == Known::Known(expected), || {
            format!("{} holds nothing to wipe, or something", root.disk.root)
        })?;
        must(!fill_only || owed.is_some(), || {
            format!("nothing is owed to {}", root.disk.root)
        })?;
        let whole = mount.is_mount_point && mount.location.path == "/".into();
        self.mode(authorization, owed.map(|fill| fill.method), whole)?;
        self.nobody_wants(key)?;
        must(!self.named.on_disk(disk), || {
            format!("{disk} holds another volume")
        })?;
        let wanted_by_another = self.memory.volumes.iter().any(|record| {
            let destroyed = record.gone.as_ref().and_then(|gone| gone.evidence.as_ref());
            record.key != *key
                && destroyed.is_none()
                && record.places.iter().any(|place| place.disk == *disk)
        });
        must(!wanted_by_another, || {
            format!("{disk} held another volume, which nobody destroyed")
        })?;
        self.mount_unused(root, mount)?;
        self.behind(barrier, disk)?;
        self.unmarked(root, |mark| mark.volume == *key)?;
        must(root.hidden == Known::Absent, || {
            format!("{disk} has a hidden side, and a trash there")
        })?;
        let word_kept = fill_only && owed.is_some_and(|fill| fill.evidence == Evidence::Operator);
        self.mount_evidence(authorization, print, word_kept)
    }

    /// Mesos can't use the disk meanwhile.
    fn behind(&self, barrier: Barrier, disk: &DiskRef) -> Verdict {
        match barrier {
            Barrier::Gate => self.behind_the_gate(),
            Barrier::Reservation => self.behind_a_reservation(disk),
        }
    }

    /// No agent runs, and none starts while the gate is closed.
    fn behind_the_gate(&self) -> Verdict {
        must(
            self.facts
                .agent
                .processes
                .known()
                .is_some_and(Vec::is_empty)
                && !matches!(self.facts.answer, AgentAnswer::State(_)),
            || "an agent may run".to_owned(),
        )?;
        must(
            self.facts.policy.start_gate || matches!(self.facts.gate.unit, Known::Known(_)),
            || "nothing obeys the gate".to_owned(),
        )
    }
}

fn records(memory: &Memory) -> BTreeMap<&VolumeKey, &VolumeRecord> {
    memory
        .volumes
        .iter()
        .map(|record| (&record.key, record))
        .collect()
}

fn sightings(memory: &Memory) -> BTreeMap<(&DiskRef, &VolumeKey), &Sighting> {
    memory
        .sightings
        .iter()
        .map(|sighting| ((&sighting.disk, &sighting.key), sighting))
        .collect()
}

/// Neither empty nor a way up nor a path.
fn plain_name(name: &Raw) -> Verdict {
    let bytes = name.as_bytes();
    must(
        !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/'),
        || format!("{name:?} is no plain name"),
    )
}
