//! What a command is about.

use std::collections::BTreeSet;

use super::Planner;
use crate::decide::facts::{AdoptWord, Words};
use crate::decide::steps::{Step, TrashId};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// What a command is about: the operator's word for one thing is no word for another.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    Volume(&'a VolumeKey),
    Root(&'a Raw),
    Trash(&'a [TrashId]),
    Adopt(&'a AdoptWord),
}

impl<'a> Scope<'a> {
    pub(super) fn of(words: &'a Words) -> Option<Self> {
        let destroy = words.destroy.as_ref().map(|now| &now.volume);
        if let Some(key) = words.wipe.as_ref().or(words.recreate.as_ref()).or(destroy) {
            Some(Self::Volume(key))
        } else if let Some(root) = &words.accept_root {
            Some(Self::Root(root))
        } else if let Some(word) = &words.adopt {
            Some(Self::Adopt(word))
        } else if let Some(id) = &words.restore {
            Some(Self::Trash(std::slice::from_ref(id)))
        } else if words.purge.is_empty() {
            None
        } else {
            Some(Self::Trash(&words.purge))
        }
    }

    /// Leaves what the command is about, and the roots that have to be remembered for it.
    pub(super) fn narrow(self, planner: &mut Planner<'_>) {
        planner.steps.retain(|step| self.covers(step));
        let disks: BTreeSet<DiskRef> = planner.steps.iter().filter_map(step_disk).collect();
        planner.steps.retain(|step| {
            let Step::AdoptRoot { disk, .. } = step else {
                return true;
            };
            match self {
                Self::Root(root) => disk.root == *root,
                Self::Volume(_) | Self::Trash(_) | Self::Adopt(_) => disks.contains(disk),
            }
        });
        planner.kept.retain(|kept| match self {
            Self::Volume(key) => kept.volume.as_ref() == Some(key),
            Self::Root(root) => kept.disk.root == *root,
            Self::Trash(ids) => kept.trash.as_ref().is_some_and(|(id, _)| ids.contains(id)),
            Self::Adopt(word) => kept.volume.as_ref() == Some(&word.volume) && kept.trash.is_none(),
        });
        // Nothing of a command's own scope is unwitnessed: the operator's word stands behind it.
        planner.unwitnessed.clear();
        planner.steps.retain(|step| {
            !matches!(step, Step::Quarantine { manifest, .. } if !manifest.evidence.witnessed())
        });
    }

    fn covers(self, step: &Step) -> bool {
        match step {
            Step::AdoptRoot { .. } => true,
            Step::OpenGate => matches!(self, Self::Volume(_)),
            Step::Bar { volume, .. } => match volume {
                Some(volume) => self.is_of(volume),
                None => matches!(self, Self::Volume(_)),
            },
            Step::Quarantine { place, .. } | Step::Create { place } => self.is_of(&place.volume),
            Step::Clear { entry }
            | Step::PutBack { entry }
            | Step::Void { entry }
            | Step::Confirm { entry, .. }
            | Step::Wipe { entry, .. } => match self {
                Self::Trash(ids) => ids.contains(&entry.manifest.id),
                Self::Volume(_) | Self::Root(_) | Self::Adopt(_) => {
                    self.is_of(&entry.manifest.volume)
                }
            },
            // A word for the volume is none for what an operator wanted before.
            Step::Restore { entry, .. } => match self {
                Self::Trash(ids) => ids.contains(&entry.manifest.id),
                Self::Volume(_) | Self::Root(_) | Self::Adopt(_) => false,
            },
            Step::Call { volume, .. } => self.is_of(volume),
            Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
                self.is_of(authorization.volume())
            }
            Step::Adopt { mark, .. } | Step::Unadopt { mark, .. } => match self {
                Self::Adopt(word) => word.volume == mark.volume,
                Self::Volume(_) | Self::Root(_) | Self::Trash(_) => false,
            },
            Step::Tidy { id, .. } => match self {
                Self::Trash(ids) => ids.contains(id),
                Self::Volume(_) | Self::Root(_) | Self::Adopt(_) => false,
            },
        }
    }

    fn is_of(self, volume: &VolumeKey) -> bool {
        match self {
            Self::Volume(key) => key == volume,
            Self::Root(_) | Self::Trash(_) | Self::Adopt(_) => false,
        }
    }
}

/// The disk of a step that needs a remembered root.
fn step_disk(step: &Step) -> Option<DiskRef> {
    match step {
        Step::AdoptRoot { .. } | Step::OpenGate => None,
        Step::Adopt { at, .. } | Step::Unadopt { at, .. } | Step::Tidy { at, .. } => {
            Some(at.disk.clone())
        }
        Step::Quarantine { place, .. } | Step::Create { place } => Some(place.disk.clone()),
        Step::Clear { entry }
        | Step::PutBack { entry }
        | Step::Void { entry }
        | Step::Restore { entry, .. }
        | Step::Confirm { entry, .. }
        | Step::Wipe { entry, .. } => Some(entry.disk.clone()),
        Step::Call { disk, .. } | Step::Bar { disk, .. } => Some(disk.clone()),
        Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
            Some(authorization.disk().clone())
        }
    }
}
