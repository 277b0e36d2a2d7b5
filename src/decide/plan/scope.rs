//! What a command is about.

use std::collections::BTreeSet;

use super::Planner;
use crate::decide::facts::Words;
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
}

impl<'a> Scope<'a> {
    pub(super) fn of(words: &'a Words) -> Option<Self> {
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
    pub(super) fn narrow(self, planner: &mut Planner<'_>) {
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
            | Step::MoveOut { .. }
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
            (
                Self::Volume(key),
                Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. },
            ) => authorization.volume() == key,
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
                | Step::MoveOut { .. }
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
                | Step::MoveOut { .. }
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
        Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
            Some(authorization.disk().clone())
        }
    }
}
