//! Held volumes whose directory is missing: law 3.

use super::{Planner, place};
use crate::decide::facts::{Known, TrashFacts};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::roots::RootView;
use crate::decide::steps::Step;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;

impl Planner<'_> {
    pub(super) fn missing(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if root.kind() == DiskType::Mount {
            return;
        }
        let facts = self.facts();
        for (key, claim) in self.judge.claims.on(&root.disk) {
            if !claim.homes().contains(&root.disk) || view.occupied(key) {
                continue;
            }
            let asked = facts.words.recreate.as_ref() == Some(key);
            if !asked && !facts.policy.recreate_vanished && !self.never_there(view, key) {
                continue;
            }
            let reasons = self.create_reasons(view, key);
            match root.filesystem.present.known() {
                Some(present) if reasons.is_empty() => self.steps.push(Step::Create {
                    place: place(
                        root,
                        present,
                        key.clone(),
                        &key.role.directory(),
                        key.id.as_raw(),
                    ),
                }),
                Some(_) | None => {
                    if asked {
                        let path = root.disk.root.join(paths::volume_directory(key));
                        self.keep(Some(key.clone()), &root.disk, path, true, reasons);
                    }
                }
            }
        }
    }

    /// Whether the volume came while we watched and never had a directory here.
    fn never_there(&self, view: &RootView<'_>, key: &VolumeKey) -> bool {
        self.judge.record(key).is_some_and(|record| {
            record.places.iter().any(|place| {
                place.disk == view.root.disk && place.directory.is_none() && place.watched
            })
        })
    }

    /// Why a missing directory may not be made, whoever asks.
    fn create_reasons(&self, view: &RootView<'_>, key: &VolumeKey) -> Vec<Reason> {
        let judge = self.judge;
        let facts = judge.facts;
        let root = view.root;
        let mut reasons = view.reasons.clone();
        // `volumes recreate` is itself the word that the root is right, for its one directory.
        if facts.words.recreate.as_ref() == Some(key) {
            reasons.retain(|reason| reason.code != Refusal::RootUnverified);
        }
        judge.doubt_reasons(&mut reasons);
        judge.unsettled_reasons(key, &mut reasons);
        if let Known::Unknown(why) = &root.dirs {
            reasons.push(Reason::new(
                Refusal::AuthorityUnknown,
                format!("the directories of {} can't be read: {why}", root.disk.root),
            ));
        }
        for entry in self.trashed.get(key).into_iter().flatten() {
            reasons.push(Reason::new(
                Refusal::Contested,
                format!("trash entry {entry} holds its data"),
            ));
        }
        match &root.trash {
            Known::Known(entries) => reasons.extend(entries.iter().filter_map(unreadable)),
            Known::Absent => {}
            Known::Unknown(why) => {
                reasons.push(Reason::new(Refusal::ForeignTrash, why.to_string()));
            }
        }
        reasons
    }
}

/// An entry that could be anybody's may be this volume's.
fn unreadable(entry: &TrashFacts) -> Option<Reason> {
    match &entry.manifest {
        Known::Known(_) => None,
        Known::Absent | Known::Unknown(_) => Some(Reason::new(
            Refusal::ForeignTrash,
            format!("trash entry {} can't be read", entry.id),
        )),
    }
}
