//! Prepared MOUNT disks: what is moved out of them, and back. Written apart from the planner, as
//! everything here.

use super::{Reader, Verdict, must, plain_name};
use crate::decide::facts::{Known, MountContent, RootFacts};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::steps::{Barrier, Evidence, TrashPlace, WipeAuthorization};
use crate::mesos::disk::DiskType;
use crate::units::Raw;

/// Whether part of what was on the disk lies in its trash, and part may not.
pub(super) fn half_moved(root: &RootFacts) -> bool {
    let Known::Known(entries) = &root.trash else {
        return false;
    };
    root.disk.kind == DiskType::Mount
        && entries.iter().any(|entry| {
            let no_data = entry.data == Known::Absent;
            let begun = match &entry.manifest {
                Known::Known(manifest) => manifest.state == TrashState::Prepared,
                Known::Absent => false,
                Known::Unknown(_) => true,
            };
            begun && !no_data
        })
}

impl Reader<'_> {
    /// An entry is on the hidden side that was observed, where its disk has one, and nowhere else.
    pub(super) fn hidden_side(&self, entry: &TrashPlace) -> Verdict {
        let seen = self.facts.root(&entry.disk).map(|root| &root.hidden);
        let fits = match (entry.disk.kind, seen, &entry.hidden) {
            (DiskType::Mount, Some(Known::Known(seen)), Some(planned)) => seen == planned,
            (DiskType::Root | DiskType::Path, Some(Known::Absent), None) => true,
            (DiskType::Root | DiskType::Path | DiskType::Mount, _, _) => false,
        };
        must(fits, || {
            format!(
                "entry {} is not on the side that was seen",
                entry.manifest.id
            )
        })?;
        must(
            entry.manifest.emptied.is_some() == (entry.disk.kind == DiskType::Mount)
                && (entry.disk.kind != DiskType::Mount || entry.manifest.disk == entry.disk),
            || format!("entry {} is of another layout or disk", entry.manifest.id),
        )?;
        must(
            entry.disk.kind != DiskType::Mount
                || matches!(
                    entry.manifest.evidence,
                    Evidence::DestroyOperation(_) | Evidence::OwnDestroy | Evidence::Operator
                ),
            || "a MOUNT wants a destroy that was read as an operation".to_owned(),
        )
    }

    /// Entries of a MOUNT disk may be moved into its trash, or that may be ended.
    pub(super) fn move_out(
        &self,
        authorization: &WipeAuthorization,
        entry: &TrashPlace,
        barrier: Barrier,
    ) -> Verdict {
        let disk = authorization.disk();
        let manifest = &entry.manifest;
        must(
            disk.kind == DiskType::Mount && entry.disk == *disk && manifest.disk == *disk,
            || format!("{disk} is no MOUNT disk, or another one"),
        )?;
        let root = self.root(disk, &entry.root)?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{} is not mounted", disk.root))?;
        must(*authorization.identity() == entry.root.directory, || {
            "the authorization is for another directory".to_owned()
        })?;
        must(
            manifest.volume == *authorization.volume()
                && manifest.evidence == *authorization.evidence()
                && !manifest.unconfirmed
                && manifest.state == TrashState::Prepared
                && manifest.version == Manifest::VERSION
                && manifest.path == Raw::from("volume")
                && manifest.emptied.as_ref() == Some(&entry.root.directory),
            || format!("the manifest of {} does not describe the step", manifest.id),
        )?;
        plain_name(&Raw::from(manifest.id.0.as_str()))?;
        self.hidden_side(entry)?;
        must(matches!(root.content, Known::Known(_)), || {
            format!("what lies on {disk} is unknown")
        })?;
        let holds_data = root.content == Known::Known(MountContent::Data);
        let asked = entry.data.as_ref().and(manifest.method);
        self.mode(authorization, asked, false)?;
        self.nobody_wants(&manifest.volume)?;
        self.mount_unused(root, mount)?;
        self.behind(barrier, disk)?;
        self.unmarked(root, |mark| {
            mark.volume == manifest.volume || mark.trash.as_ref() == Some(&manifest.id)
        })?;
        must(!self.named.on_disk(disk), || {
            format!("{disk} holds another volume")
        })?;
        if entry.data.is_none() {
            let known = root.trash.known();
            must(
                !matches!(root.trash, Known::Unknown(_)) && !half_moved(root),
                || format!("the trash of {disk} is not ready for another entry"),
            )?;
            must(
                !known
                    .into_iter()
                    .flatten()
                    .any(|other| other.id == manifest.id),
                || format!("there is an entry {} already", manifest.id),
            )?;
            must(holds_data, || format!("{disk} holds nothing to move"))?;
            must(
                manifest.identity == entry.root.directory
                    && manifest.work_dir == self.facts.agent.work_dir
                    && manifest.lived_at == self.memory.clock.lived
                    && self.facts.host.machine_id.known() == Some(&manifest.machine_id),
                || "the manifest does not describe the step".to_owned(),
            )?;
            self.alone_on(entry, None)?;
            return self.mount_evidence(authorization, &entry.root, false);
        }
        let found = self.trash_entry(entry)?;
        self.unclaimed_entry(entry, found)?;
        self.alone_on(entry, Some(()))?;
        // The rest that lies there must be the same volume's: so an earlier pass wrote.
        let same = self.prior_record(&manifest.volume).is_ok_and(|record| {
            record.places.iter().any(|place| {
                place.disk == *disk && place.filesystem.as_ref() == Some(&entry.root.filesystem)
            })
        });
        must(!holds_data || same, || {
            format!("nobody knows whose the data on {disk} is")
        })
    }

    /// No other volume has to do with what lies on the disk: for a new entry none that was not
    /// destroyed; for one that goes on or back none that came since.
    fn alone_on(&self, entry: &TrashPlace, since: Option<()>) -> Verdict {
        let disk = &entry.disk;
        let manifest = &entry.manifest;
        for record in &self.memory.volumes {
            if record.key == manifest.volume
                || !record.places.iter().any(|place| place.disk == *disk)
            {
                continue;
            }
            let destroyed = record.gone.as_ref().and_then(|gone| gone.evidence.as_ref());
            let others = match since {
                None => destroyed.is_none(),
                Some(()) => record.named_at > manifest.lived_at,
            };
            must(!others, || {
                format!("{disk} held {}, whose data that may be", record.key)
            })?;
        }
        Ok(())
    }

    /// What was moved out of a MOUNT disk may go back: nobody uses it, no other volume has it, and
    /// nothing of others lies in the way.
    pub(super) fn mount_back(&self, root: &RootFacts, entry: &TrashPlace) -> Verdict {
        let disk = &entry.disk;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{} is not mounted", disk.root))?;
        self.hidden_side(entry)?;
        self.behind_the_gate()?;
        self.not_in_use(root, mount)?;
        let free = match entry.manifest.state {
            TrashState::Prepared => matches!(root.content, Known::Known(_)),
            TrashState::Moved | TrashState::Cleared | TrashState::Wiping => {
                root.content == Known::Known(MountContent::Empty)
            }
        };
        must(free, || format!("something lies on {disk} already"))?;
        let other = self
            .named
            .volumes_on(disk)
            .find(|key| **key != entry.manifest.volume);
        must(other.is_none(), || format!("{disk} is another volume's"))?;
        self.alone_on(entry, Some(()))
    }
}
