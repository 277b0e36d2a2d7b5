//! What becomes of each trash entry: the second look, the way back, the wipe.

use std::collections::BTreeMap;

use super::Planner;
use crate::decide::facts::{FileIdentity, Known, MountContent, RootFacts, TrashFacts, WipeMethod};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::roots::{RootView, present_filesystem};
use crate::decide::steps::{Evidence, Kept, Step, TrashPlace, WipeAuthorization};
use crate::decide::trip;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// An entry whose data is there, with what is said of its volume now.
pub(super) struct Look {
    pub(super) place: Box<TrashPlace>,
    pub(super) data: FileIdentity,
    pub(super) named: bool,
    pub(super) doubt: Vec<Reason>,
    pub(super) in_use: Vec<Reason>,
}

impl Planner<'_> {
    pub(super) fn trash(&mut self, view: &RootView<'_>) {
        let root = view.root;
        match &root.trash {
            Known::Known(entries) => {
                // Two entries that could go back to one place: which of them is the volume's data?
                let mut undecided: BTreeMap<&VolumeKey, usize> = BTreeMap::new();
                for manifest in entries.iter().filter_map(at_second_look) {
                    let count = undecided.entry(&manifest.volume).or_default();
                    *count = count.saturating_add(1);
                }
                for entry in entries {
                    let rivals = at_second_look(entry)
                        .and_then(|manifest| undecided.get(&manifest.volume))
                        .is_some_and(|count| *count > 1);
                    self.entry(view, entry, rivals);
                }
            }
            Known::Absent => {}
            // What is due in a trash that can't be seen is not known: it counts as if something were.
            Known::Unknown(why) => {
                // What its whole disk has, and not the trash, is what an operator must mend.
                let reason = match &root.mount {
                    Known::Known(mount) => trip::failure(mount),
                    Known::Absent => None,
                    Known::Unknown(why) => Some(Reason::new(Refusal::NotMounted, why.to_string())),
                }
                .unwrap_or_else(|| Reason::new(Refusal::ForeignTrash, why.to_string()));
                self.keep(None, &root.disk, root.trash_path(), true, vec![reason]);
            }
        }
    }

    fn entry(&mut self, view: &RootView<'_>, entry: &TrashFacts, rivals: bool) {
        let root = view.root;
        let manifest = match &entry.manifest {
            Known::Known(manifest) => manifest,
            Known::Absent => {
                if !self.tidy(view, entry) {
                    let detail = "it has no manifest".to_owned();
                    self.keep_foreign(root, entry, false, detail);
                }
                return;
            }
            Known::Unknown(why) => return self.keep_foreign(root, entry, true, why.to_string()),
        };
        let due = self.due(manifest);
        if let Some(foreign) = self.foreign(root, entry, manifest) {
            // Of another machine for all that is known; where ours is not, it may be our own.
            let ours = self.facts().host.machine_id.known().is_none();
            return self.keep_foreign(root, entry, due && ours, foreign);
        }
        let Some((_, present)) = view.standing() else {
            let mut reasons = view.reasons.clone();
            self.judge.name_reasons(&manifest.volume, &mut reasons);
            self.judge.doubt_reasons(&mut reasons);
            return self.keep_entry(root, manifest, due, reasons);
        };
        if let Some(reason) = unseen_side(root) {
            return self.keep_entry(root, manifest, due, vec![reason]);
        }
        let place = |data: Option<FileIdentity>| {
            Box::new(TrashPlace {
                disk: root.disk.clone(),
                root: present.clone(),
                manifest: manifest.clone(),
                data,
                hidden: root.hidden.known().cloned(),
            })
        };
        // The frame of a destroy of ours that nobody confirmed says that it was asked for.
        let unconfirmed = manifest.unconfirmed;
        let data = match &entry.data {
            Known::Known(data) if *data == manifest.identity => data.clone(),
            Known::Known(_) => {
                return self.keep_foreign(
                    root,
                    entry,
                    due,
                    "its data is not the directory that its manifest names".to_owned(),
                );
            }
            Known::Absent if !unconfirmed || manifest.state == TrashState::Prepared => {
                // Nothing was moved, or everything is gone: only the frame is left.
                self.steps.push(Step::Void { entry: place(None) });
                return;
            }
            Known::Absent if self.went_back(view, manifest) => {
                self.steps.push(Step::Void { entry: place(None) });
                return;
            }
            Known::Absent => {
                return self.keep_entry(root, manifest, false, vec![Refusal::Unconfirmed.into()]);
            }
            Known::Unknown(why) => {
                return self.keep_foreign(root, entry, due, why.to_string());
            }
        };

        let look = self.look(root, entry, place(Some(data)), rivals);
        if unconfirmed {
            return match manifest.state {
                TrashState::Prepared | TrashState::Moved => self.unconfirmed(view, look, rivals),
                TrashState::Cleared | TrashState::Wiping => {
                    self.keep_entry(root, manifest, false, vec![Refusal::Unconfirmed.into()]);
                }
            };
        }
        let asked = self.facts().words.restore.as_ref() == Some(&manifest.id);
        let begun = self.judge.restoring(root, &manifest.id).cloned();
        let early = matches!(manifest.state, TrashState::Prepared | TrashState::Moved);
        // What goes back in any case needs no operator's word for it.
        if asked || (begun.is_some() && !(early && (look.named || !look.doubt.is_empty()))) {
            return self.restore(view, look, begun);
        }
        match manifest.state {
            TrashState::Prepared if manifest.emptied.is_some() => {
                self.half_moved(view, look, rivals);
            }
            TrashState::Prepared | TrashState::Moved => self.second_look(view, look, rivals),
            TrashState::Cleared | TrashState::Wiping => self.last_look(view, look, due),
        }
    }

    /// Whether a volume is named, and everything that speaks for its being held, or can't be told.
    pub(super) fn doubt_of(&self, volume: &VolumeKey) -> (bool, Vec<Reason>) {
        let mut doubt = Vec::new();
        let named = self.judge.name_reasons(volume, &mut doubt);
        self.judge.doubt_reasons(&mut doubt);
        self.judge.hidden_role(volume, &mut doubt);
        (named, doubt)
    }

    /// What is said now of an entry whose data is there.
    pub(super) fn look(
        &self,
        root: &RootFacts,
        entry: &TrashFacts,
        place: Box<TrashPlace>,
        rivals: bool,
    ) -> Look {
        let manifest = &place.manifest;
        let data = manifest.identity.clone();
        let volume = &manifest.volume;
        let (named, doubt) = self.doubt_of(volume);
        let mut in_use = Vec::new();
        self.judge.use_reasons(volume, &entry.location, &mut in_use);
        let path = trash_path(root, &manifest.id.0).join("data");
        self.judge
            .overlap_reasons(&root.disk, volume, &entry.location, &path, &mut in_use);
        self.judge.protect_reasons(volume, &mut in_use);
        if let Known::Unknown(why) = &root.adopted {
            in_use.push(Reason::new(Refusal::AuthorityUnknown, why.to_string()));
        }
        self.judge.adopted_elsewhere(root, &data, &mut in_use);
        if present_filesystem(root).as_ref() != Some(&data.filesystem) {
            in_use.push(Refusal::WrongFilesystem.into());
        }
        // Until it is confirmed it is named all the time.
        let unconfirmed = manifest.unconfirmed;
        if !named && !unconfirmed && self.judge.named_since(manifest) && !self.purged(manifest) {
            in_use.push(Reason::new(
                Refusal::Contested,
                "the volume was named again after it was moved".to_owned(),
            ));
        }
        // Of several an operator may name one: what is left then goes on by itself.
        if rivals && !unconfirmed && !self.purged(manifest) {
            in_use.push(Reason::new(
                Refusal::Contested,
                "several entries could go back to its place".to_owned(),
            ));
        }

        Look {
            place,
            data,
            named,
            doubt,
            in_use,
        }
    }

    /// Unknown at the second look counts as named; what is named goes back.
    fn second_look(&mut self, view: &RootView<'_>, look: Look, rivals: bool) {
        let Look {
            place,
            data,
            named,
            mut doubt,
            in_use,
        } = look;
        let manifest = place.manifest.clone();
        if named || !doubt.is_empty() {
            let pending = doubt
                .iter()
                .any(|reason| reason.code == Refusal::PendingOperation);
            let occupied = match view.root.kind() {
                DiskType::Root | DiskType::Path => view.occupied(&manifest.volume),
                DiskType::Mount => view.root.content != Known::Known(MountContent::Empty),
            };
            let kept_out = self.way_back(view, &manifest);
            if occupied {
                doubt.push(Reason::new(
                    Refusal::Contested,
                    format!("{} exists again", view.root.disk.root.join(&manifest.path)),
                ));
            }
            if rivals {
                doubt.extend(in_use);
            }
            doubt.extend(kept_out.iter().cloned());
            if occupied || pending || rivals || !kept_out.is_empty() {
                self.keep_entry(view.root, &manifest, true, doubt);
            } else {
                self.act(view.root, &data, &manifest, Step::PutBack { entry: place });
            }
        } else if in_use.is_empty() {
            self.act(view.root, &data, &manifest, Step::Clear { entry: place });
        } else {
            self.keep_entry(view.root, &manifest, true, in_use);
        }
    }

    /// Plans the step, once for each directory.
    pub(super) fn act(
        &mut self,
        root: &RootFacts,
        data: &FileIdentity,
        manifest: &Manifest,
        step: Step,
    ) {
        match self.take(data, &trash_path(root, &manifest.id.0)) {
            Ok(()) => self.steps.push(step),
            Err(reason) => self.keep_entry(root, manifest, false, vec![reason]),
        }
    }

    /// The look before the wipe. From here nothing goes back by itself: what is named by now is
    /// contested.
    fn last_look(&mut self, view: &RootView<'_>, look: Look, due: bool) {
        let Look {
            place,
            data,
            named,
            doubt: mut reasons,
            in_use,
        } = look;
        let manifest = place.manifest.clone();
        if named {
            reasons.push(Refusal::Contested.into());
        }
        reasons.extend(in_use);
        if !due {
            let left = manifest
                .retention
                .minus(self.lived().minus(manifest.lived_at));
            let early = if self.may_go_early(&manifest) {
                ", unless space is short"
            } else {
                ""
            };
            reasons.push(Reason::new(
                Refusal::Retention,
                format!("{} left{early}", left.in_seconds()),
            ));
        }
        let method = self.method(&manifest);
        if method.mode.whole_disk() {
            reasons.push(Reason::new(
                Refusal::ModeRefused,
                format!("{} acts on a whole MOUNT disk", method.mode),
            ));
        }
        if reasons.is_empty() {
            let authorization = WipeAuthorization::new(
                manifest.volume.clone(),
                place.disk.clone(),
                data.clone(),
                manifest.evidence.clone(),
                method,
            );
            let step = Step::Wipe {
                authorization,
                entry: place,
            };
            self.act(view.root, &data, &manifest, step);
        } else {
            self.keep_entry(view.root, &manifest, due, reasons);
        }
    }

    /// Whether the entry's time has come: a second look is due at once, and a wipe that began goes
    /// on.
    fn due(&self, manifest: &Manifest) -> bool {
        match manifest.state {
            TrashState::Wiping | TrashState::Prepared | TrashState::Moved => true,
            TrashState::Cleared => {
                self.early.contains(&manifest.identity)
                    || self.purged(manifest)
                    || self.facts().words.wipe.as_ref() == Some(&manifest.volume)
                    || self.lived().minus(manifest.lived_at) >= manifest.retention
            }
        }
    }

    /// How it is to be destroyed: as the operator says now, or said when it was moved here, or as
    /// the configuration says.
    pub(super) fn method(&self, manifest: &Manifest) -> WipeMethod {
        let facts = self.facts();
        let disk = manifest.disk.kind;
        facts
            .words
            .method(&manifest.volume, disk, &facts.policy)
            .or(manifest.method)
            .unwrap_or_else(|| facts.policy.method(disk))
    }

    pub(super) fn purged(&self, manifest: &Manifest) -> bool {
        self.facts().words.purge.contains(&manifest.id)
    }

    /// Why an entry is none of ours.
    pub(super) fn foreign(
        &self,
        root: &RootFacts,
        entry: &TrashFacts,
        manifest: &Manifest,
    ) -> Option<String> {
        let facts = self.facts();
        let disk = &root.disk;
        if disk.kind == DiskType::Mount && manifest.disk != *disk {
            return Some(format!("it is of {}", manifest.disk));
        }
        let wanted = match manifest.evidence {
            Evidence::DestroyOperation(_) | Evidence::OwnDestroy | Evidence::Operator => true,
            Evidence::GoneWithinRun | Evidence::Unwitnessed { .. } => false,
        };
        if disk.kind == DiskType::Mount && !wanted {
            return Some("a MOUNT is emptied for nothing but a destroy".to_owned());
        }
        if manifest.version != Manifest::VERSION {
            return Some(format!("its manifest has version {}", manifest.version));
        }
        if manifest.id != entry.id {
            return Some(format!("its manifest is of entry {}", manifest.id));
        }
        if manifest.path != Manifest::place_of(disk.kind, &manifest.volume)
            || manifest.emptied.is_some() != (disk.kind == DiskType::Mount)
        {
            return Some(format!(
                "{} is not the place of {}",
                manifest.path, manifest.volume
            ));
        }
        match &facts.host.machine_id {
            Known::Known(ours) if *ours == manifest.machine_id => {}
            Known::Known(_) => {
                return Some(format!("it was made by machine {}", manifest.machine_id));
            }
            Known::Absent | Known::Unknown(_) => {
                return Some("this host has no readable /etc/machine-id".to_owned());
            }
        }
        (manifest.work_dir != facts.agent.work_dir)
            .then(|| format!("it is of the agent in {}", manifest.work_dir))
    }

    pub(super) fn keep_entry(
        &mut self,
        root: &RootFacts,
        manifest: &Manifest,
        due: bool,
        mut reasons: Vec<Reason>,
    ) {
        reasons.sort();
        reasons.dedup();
        self.kept.push(Kept {
            volume: Some(manifest.volume.clone()),
            disk: root.disk.clone(),
            path: trash_path(root, &manifest.id.0),
            trash: Some((manifest.id.clone(), manifest.state)),
            // The clock of its retention lies in the memory: unread, its time counts as come.
            due: due || self.facts().memory.why().is_some(),
            reasons,
        });
    }

    fn keep_foreign(&mut self, root: &RootFacts, entry: &TrashFacts, due: bool, detail: String) {
        let manifest = entry.manifest.known();
        self.kept.push(Kept {
            volume: manifest.map(|manifest| manifest.volume.clone()),
            disk: root.disk.clone(),
            path: trash_path(root, &entry.id.0),
            trash: manifest.map(|manifest| (entry.id.clone(), manifest.state)),
            due,
            reasons: vec![Reason::new(Refusal::ForeignTrash, detail)],
        });
    }
}

/// An entry of a MOUNT lies on its hidden side, and nowhere else; those of others on none.
pub(super) fn unseen_side(root: &RootFacts) -> Option<Reason> {
    match (root.kind(), &root.hidden) {
        (DiskType::Mount, Known::Known(_)) | (DiskType::Root | DiskType::Path, Known::Absent) => {
            None
        }
        (DiskType::Root | DiskType::Path | DiskType::Mount, _) => Some(Reason::new(
            Refusal::NotMounted,
            "the side of the disk that its trash lies on can't be seen".to_owned(),
        )),
    }
}

fn trash_path(root: &RootFacts, id: &str) -> Raw {
    root.trash_path().join(id)
}

/// The manifest of an entry whose second look is due and whose data is there.
fn at_second_look(entry: &TrashFacts) -> Option<&Manifest> {
    let manifest = entry.manifest.known()?;
    let waits = matches!(manifest.state, TrashState::Prepared | TrashState::Moved)
        && entry.data.known() == Some(&manifest.identity);
    waits.then_some(manifest)
}
