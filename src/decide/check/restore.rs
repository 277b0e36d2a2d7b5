//! What an operator wants kept or back, and marks that end. Written apart from the planner, as
//! everything here.

use super::{Reader, Verdict, must, plain_name};
use crate::decide::facts::{FileIdentity, FileKind, Known, RootFacts};
use crate::decide::manifest::{AdoptedMark, TrashState};
use crate::decide::steps::{OursPlace, TrashId, TrashPlace, Unadopted};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

impl<'a> Reader<'a> {
    /// No mark on this root that is still in force says so, and every mark could be read.
    pub(super) fn unmarked(
        &self,
        root: &RootFacts,
        says: impl Fn(&AdoptedMark) -> bool,
    ) -> Verdict {
        if let Known::Unknown(why) = &root.adopted {
            return Err(format!("a mark on {} can't be read: {why}", root.disk));
        }
        let keeps = root
            .adopted
            .known()
            .into_iter()
            .flatten()
            .find(|mark| says(mark) && !self.over(mark));
        match keeps {
            None => Ok(()),
            Some(mark) => Err(format!("{} was adopted on {}", mark.volume, root.disk)),
        }
    }

    /// No mark in force on any other root is of this very directory.
    pub(super) fn unmarked_elsewhere(&self, disk: &DiskRef, directory: &FileIdentity) -> Verdict {
        let here = self.facts.root(disk);
        let device = |root: &RootFacts| Some(root.mount.known()?.location.device);
        for root in &self.facts.roots {
            let elsewhere = match &root.filesystem.present {
                Known::Known(print) => print.filesystem != directory.filesystem,
                Known::Absent | Known::Unknown(_) => {
                    root.mount == Known::Absent
                        || device(root)
                            .zip(here.and_then(device))
                            .is_some_and(|(other, this)| other != this)
                }
            };
            if root.disk != *disk && (root.adopted.known().is_some() || !elsewhere) {
                self.unmarked(root, |mark| mark.identity == *directory)?;
            }
        }
        Ok(())
    }

    /// Whether the agent has held the volume since it was marked.
    fn over(&self, mark: &AdoptedMark) -> bool {
        let record = self.records.get(&mark.volume);
        record
            .is_some_and(|record| record.held_in_file.is_some() && mark.lived_at < record.named_at)
    }

    /// Whether what lies on a prepared MOUNT disk is wanted there.
    pub(super) fn kept_by_a_mark(&self, disk: &DiskRef, key: &VolumeKey) -> bool {
        self.facts.roots.iter().any(|root| {
            root.disk == *disk
                && root.hidden.known().is_some()
                && root.adopted.known().is_some()
                && self.unmarked(root, |mark| mark.volume == *key).is_err()
        })
    }

    /// An operator wants it, its place is free, and it is whole.
    pub(super) fn restore(&self, entry: &TrashPlace, mark: &AdoptedMark) -> Verdict {
        let root = self.root(&entry.disk, &entry.root)?;
        self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        let id = &manifest.id;
        must(manifest.state < TrashState::Wiping, || {
            format!("the wipe of entry {id} has begun")
        })?;
        must(!manifest.unconfirmed, || {
            format!("nobody confirmed the destroy of entry {id}")
        })?;
        must(entry.data.as_ref() == Some(&manifest.identity), || {
            format!("the data of {id} is another directory")
        })?;
        must(
            manifest.identity.filesystem == entry.root.filesystem,
            || format!("the data of {id} is on another file system"),
        )?;
        self.doubtless()?;
        let volume = &manifest.volume;
        must(
            !self.named.holds(volume) && !self.named.pending(volume),
            || format!("{volume} is named"),
        )?;
        let record = self.records.get(volume);
        if let Some(record) = record.filter(|record| record.gone.is_some()) {
            self.agent_is_done(record)?;
        }
        let directory = manifest.emptied.as_ref().unwrap_or(&manifest.identity);
        must(
            mark.version == AdoptedMark::VERSION
                && mark.volume == *volume
                && mark.trash.as_ref() == Some(id)
                && mark.disk == entry.disk
                && mark.identity == *directory,
            || format!("the mark does not describe the restore of {id}"),
        )?;
        plain_name(&Raw::from(mark.name.as_str()))?;
        if marks(root).any(|seen| seen == mark) {
            must(!self.over(mark), || {
                format!("{volume} was held since its mark")
            })?;
        } else {
            must(self.facts.words.restore.as_ref() == Some(id), || {
                format!("nobody asked for entry {id}")
            })?;
            self.fresh(root, mark)?;
        }
        if root.disk.kind == DiskType::Mount {
            self.mount_back(root, entry)
        } else {
            self.free(root, volume)
        }
    }

    /// A mark of this pass, which replaces none.
    fn fresh(&self, root: &'a RootFacts, mark: &AdoptedMark) -> Verdict {
        must(root.adopted.why().is_none(), || {
            "a mark can't be read".to_owned()
        })?;
        must(
            mark.lived_at == self.memory.clock.lived
                && mark.by == self.facts.words.by
                && !marks(root).any(|seen| seen.name == mark.name),
            || format!("mark {} is not of this pass", mark.name),
        )
    }

    /// The folder of ours is on the side that was seen.
    fn ours(&self, at: &OursPlace) -> Result<&'a RootFacts, String> {
        let root = self.root(&at.disk, &at.root)?;
        let fits = match (at.disk.kind, &root.hidden, &at.hidden) {
            (DiskType::Mount, Known::Known(seen), Some(planned)) => seen == planned,
            (DiskType::Root | DiskType::Path, Known::Absent, None) => true,
            (DiskType::Root | DiskType::Path | DiskType::Mount, _, _) => false,
        };
        must(fits, || format!("{} has no folder of ours there", at.disk))?;
        Ok(root)
    }

    pub(super) fn adopt_volume(&self, at: &OursPlace, mark: &AdoptedMark) -> Verdict {
        let root = self.ours(at)?;
        let word = self.facts.words.adopt.as_ref();
        let asked = word.is_some_and(|word| {
            !word.undo
                && word.volume == mark.volume
                && word.root.as_ref().is_none_or(|root| *root == at.disk.root)
                && (at.disk.kind != DiskType::Mount || word.root.is_some())
        });
        must(asked, || format!("nobody adopts {}", mark.volume))?;
        must(
            !self.named.holds(&mark.volume) && !self.named.pending(&mark.volume),
            || format!("{} is named", mark.volume),
        )?;
        must(
            mark.version == AdoptedMark::VERSION && mark.trash.is_none() && mark.disk == at.disk,
            || "the mark does not describe the step".to_owned(),
        )?;
        plain_name(&Raw::from(mark.name.as_str()))?;
        self.fresh(root, mark)?;
        if at.disk.kind == DiskType::Mount {
            must(!self.named.on_disk(&at.disk), || {
                format!("{} holds a volume", at.disk)
            })?;
            return must(mark.identity == at.root.directory, || {
                "the mark is of another directory".to_owned()
            });
        }
        let (role, id) = (mark.volume.role.directory(), mark.volume.id.as_raw());
        let dir = self
            .dirs
            .get(&(&at.disk, &role, id))
            .ok_or_else(|| format!("{} has no directory on {}", mark.volume, at.disk))?;
        must(
            dir.kind == FileKind::Directory && dir.identity.known() == Some(&mark.identity),
            || "the mark is of another directory".to_owned(),
        )
    }

    pub(super) fn unadopt(&self, at: &OursPlace, mark: &AdoptedMark, why: Unadopted) -> Verdict {
        let root = self.ours(at)?;
        must(marks(root).any(|seen| seen == mark), || {
            format!("mark {} was not seen", mark.name)
        })?;
        let held =
            self.named.effective_somewhere(&mark.volume) && !self.named.pending(&mark.volume);
        let word = self.facts.words.adopt.as_ref();
        let undone = word.is_some_and(|word| word.undo && word.volume == mark.volume);
        let right = match why {
            Unadopted::Named => held || self.over(mark),
            Unadopted::Asked => undone,
        };
        must(right, || format!("{} is still adopted", mark.volume))
    }

    pub(super) fn tidy(&self, at: &OursPlace, id: &TrashId) -> Verdict {
        self.ours(at)?;
        plain_name(&Raw::from(id.0.as_str()))?;
        let found = self.trash.get(&(&at.disk, id));
        must(
            found.is_some_and(|entry| entry.bare && entry.manifest == Known::Absent),
            || format!("entry {id} is no empty frame"),
        )
    }
}

fn marks(root: &RootFacts) -> impl Iterator<Item = &AdoptedMark> {
    root.adopted.known().into_iter().flatten()
}
