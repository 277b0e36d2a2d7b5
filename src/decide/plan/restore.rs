//! What an operator wants kept or back: `trash restore` and `volumes adopt`, and the end of their
//! marks.
//!
//! A restore is begun by a durable mark beside the trash, and over when the entry has no data. In
//! between it goes on at the next pass, as at the next start; the mark keeps what was restored from
//! being swept again, whatever evidence there is of its destroy.

use super::Planner;
use super::trash::Look;
use crate::decide::authority::effective_file;
use crate::decide::facts::{AdoptWord, FileIdentity, FileKind, Known, MountContent, TrashFacts};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{AdoptedMark, TrashState};
use crate::decide::remember::agent_may_delete;
use crate::decide::roots::{RootView, present_filesystem};
use crate::decide::steps::{OursPlace, Step, TrashId, Unadopted};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;

impl Planner<'_> {
    /// An entry that an operator wants back, by a word or by a mark that was made before.
    pub(super) fn restore(&mut self, view: &RootView<'_>, look: Look, begun: Option<AdoptedMark>) {
        let Look { place, data, .. } = look;
        let root = view.root;
        let manifest = place.manifest.clone();
        let volume = &manifest.volume;
        let judge = self.judge;
        let mut reasons = Vec::new();
        if manifest.state == TrashState::Wiping {
            reasons.push(Refusal::HalfWiped.into());
        }
        // That a checkpoint is lost keeps everything, and is when a restore is wanted most.
        judge.name_reasons(volume, &mut reasons);
        reasons.extend(judge.claims.doubts.iter().cloned());
        judge.hidden_role(volume, &mut reasons);
        let gone = judge.record(volume).and_then(|record| record.gone.as_ref());
        if gone.is_some_and(|gone| agent_may_delete(judge.facts, judge.memory, gone)) {
            reasons.push(Refusal::AgentDeleting.into());
        }
        if let Known::Unknown(why) = &root.adopted {
            reasons.push(Reason::new(Refusal::AuthorityUnknown, why.to_string()));
        }
        if present_filesystem(root).as_ref() != Some(&data.filesystem) {
            reasons.push(Refusal::WrongFilesystem.into());
        }
        let occupied = match root.kind() {
            DiskType::Root | DiskType::Path => view.occupied(volume),
            DiskType::Mount => {
                manifest.state != TrashState::Prepared
                    && root.content != Known::Known(MountContent::Empty)
            }
        };
        if occupied {
            let at = match root.kind() {
                DiskType::Root | DiskType::Path => root.disk.root.join(&manifest.path),
                DiskType::Mount => root.disk.root.clone(),
            };
            reasons.push(Reason::new(
                Refusal::Contested,
                format!("something lies in {at} already"),
            ));
        }
        if root.half_moved().any(|entry| entry.id != manifest.id) {
            reasons.push(Reason::new(
                Refusal::Contested,
                "another entry holds parts of what was on the disk".to_owned(),
            ));
        }
        reasons.extend(self.way_back(view, &manifest));
        if !reasons.is_empty() {
            if begun.is_some() {
                judge.adopted_reasons(root, volume, &mut reasons);
            }
            return self.keep_entry(root, &manifest, true, reasons);
        }
        let directory = manifest.emptied.clone().unwrap_or_else(|| data.clone());
        let mark =
            begun.unwrap_or_else(|| self.mark(view, volume, directory, Some(manifest.id.clone())));
        let step = Step::Restore {
            entry: place,
            mark: Box::new(mark),
        };
        self.act(root, &data, &manifest, step);
    }

    fn mark(
        &mut self,
        view: &RootView<'_>,
        volume: &VolumeKey,
        identity: FileIdentity,
        trash: Option<TrashId>,
    ) -> AdoptedMark {
        let name = self.name();
        let facts = self.facts();
        AdoptedMark {
            version: AdoptedMark::VERSION,
            name,
            volume: volume.clone(),
            disk: view.root.disk.clone(),
            identity,
            trash,
            by: facts.words.by.clone(),
            plan: self.id.clone(),
            lived_at: self.lived(),
            marked_at: facts.host.now.wall_seconds,
        }
    }

    /// Marks that end, and the one that an operator makes now.
    pub(super) fn marks(&mut self, view: &RootView<'_>) {
        let root = view.root;
        let word = self.facts().words.adopt.clone();
        let word = word.filter(|word| word.root.as_ref().is_none_or(|at| *at == root.disk.root));
        for mark in root.adopted.known().into_iter().flatten() {
            let Some(at) = ours(view) else { continue };
            let claim = self.judge.claims.get(&mark.volume);
            // A file that is not committed yet may never be.
            let committed = effective_file(self.facts());
            let held = claim.is_some_and(|claim| {
                committed.is_some_and(|file| claim.sources.contains(&file))
                    && claim.pending.is_empty()
            });
            let asked = word
                .as_ref()
                .is_some_and(|word| word.undo && word.volume == mark.volume);
            let why = if held || self.judge.is_void(mark) {
                Unadopted::Named
            } else if asked {
                Unadopted::Asked
            } else {
                continue;
            };
            self.steps.push(Step::Unadopt {
                at,
                mark: Box::new(mark.clone()),
                why,
            });
        }
        if let Some(word) = word.filter(|word| !word.undo) {
            self.adopt(view, &word);
        }
    }

    /// `volumes adopt`: of a directory that nobody names, or, with the root named, of what lies on a
    /// prepared MOUNT disk.
    fn adopt(&mut self, view: &RootView<'_>, word: &AdoptWord) {
        let root = view.root;
        let key = &word.volume;
        let (identity, path, mut reasons) = match root.kind() {
            DiskType::Root | DiskType::Path => {
                let Some(dir) = view.dirs.get(key) else {
                    return;
                };
                let path = dir.path(&root.disk);
                let mut reasons = view.reasons.clone();
                match dir.kind {
                    FileKind::Directory => {}
                    FileKind::Symlink => reasons.push(Refusal::Symlink.into()),
                    FileKind::File | FileKind::Special | FileKind::Mount => {
                        reasons.push(Reason::new(
                            Refusal::NotAVolumePath,
                            "it is not a directory".to_owned(),
                        ));
                    }
                }
                (dir.identity.known().cloned(), path, reasons)
            }
            DiskType::Mount => {
                // Which volume a MOUNT disk was is written nowhere on it: the operator says.
                if word.root.is_none() {
                    return;
                }
                let mut reasons = view.reasons.clone();
                match &root.hidden {
                    Known::Known(_) => {}
                    Known::Absent => reasons.push(Reason::new(
                        Refusal::NotAVolumePath,
                        "no file of ours ever lies on a plain MOUNT disk, so no mark can; \
                         sweep.protect keeps it"
                            .to_owned(),
                    )),
                    Known::Unknown(why) => {
                        reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
                    }
                }
                for (other, _) in self.judge.claims.on(&root.disk) {
                    reasons.push(Reason::new(
                        Refusal::Held,
                        format!("the disk holds volume {other}"),
                    ));
                }
                let identity = root.filesystem.present.known();
                let identity = identity.map(|present| present.directory.clone());
                (identity, root.disk.root.clone(), reasons)
            }
        };
        // What is named needs no mark: the authority's word keeps it.
        self.judge.name_reasons(key, &mut reasons);
        if let Known::Unknown(why) = &root.adopted {
            reasons.push(Reason::new(Refusal::AuthorityUnknown, why.to_string()));
        }
        match (identity, ours(view)) {
            // Once is enough.
            (Some(_), Some(_)) if self.judge.mark_of(root, key).is_some() => {}
            (Some(identity), Some(at)) if reasons.is_empty() => {
                let mark = self.mark(view, key, identity, None);
                self.steps.push(Step::Adopt {
                    at,
                    mark: Box::new(mark),
                });
            }
            (identity, _) => {
                if identity.is_none() && reasons.is_empty() {
                    reasons.push(Refusal::NoIdentity.into());
                }
                self.keep(Some(key.clone()), &root.disk, path, true, reasons);
            }
        }
    }

    /// The frame of an entry that a crash left before its manifest: it holds nothing, and goes by
    /// removals that would refuse if it did.
    pub(super) fn tidy(&mut self, view: &RootView<'_>, entry: &TrashFacts) -> bool {
        let at = ours(view).filter(|_| entry.bare);
        let Some(at) = at else {
            return false;
        };
        self.steps.push(Step::Tidy {
            at,
            id: entry.id.clone(),
        });
        true
    }
}

/// The folder of ours on a root that may be used, where it can have one.
fn ours(view: &RootView<'_>) -> Option<OursPlace> {
    let root = view.root;
    let (_, present) = view.standing()?;
    let hidden = match (root.kind(), &root.hidden) {
        (DiskType::Root | DiskType::Path, Known::Absent) => None,
        (DiskType::Mount, Known::Known(hidden)) => Some(hidden.clone()),
        (DiskType::Root | DiskType::Path | DiskType::Mount, _) => return None,
    };
    Some(OursPlace {
        disk: root.disk.clone(),
        root: present.clone(),
        hidden,
    })
}
