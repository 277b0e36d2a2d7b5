//! Roots and what lies in them: whether they may be used, taken on, and what may be made there.

use super::{Reader, Verdict, must, plain_name};
use crate::decide::facts::{
    AgentView, CheckpointFile, FileKind, Fingerprint, Known, MarkerOf, MountContent, RootFacts,
    RootWitness, TrashFacts,
};
use crate::decide::ledger::Verified;
use crate::decide::manifest::Manifest;
use crate::decide::plan::Plan;
use crate::decide::steps::{Step, TrashPlace, VolumePlace};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

impl<'a> Reader<'a> {
    /// The volume has nothing in its place on this root.
    pub(super) fn free(&self, root: &RootFacts, key: &VolumeKey) -> Verdict {
        let (role, id) = (key.role.directory(), key.id.as_raw());
        must(
            !matches!(root.dirs, Known::Unknown(_))
                && !self.dirs.contains_key(&(&root.disk, &role, id)),
            || format!("{key} has a directory on {}", root.disk),
        )
    }

    /// The root of a disk, whatever its state.
    pub(super) fn seen(&self, disk: &DiskRef) -> Result<&'a RootFacts, String> {
        self.facts
            .root(disk)
            .ok_or_else(|| format!("{disk} was not observed"))
    }

    /// The root is there, local, writable, ours, and seen alike by every agent that may use it.
    pub(super) fn observed(
        &self,
        disk: &DiskRef,
        print: &Fingerprint,
    ) -> Result<&'a RootFacts, String> {
        let facts = self.facts;
        let root = self.seen(disk)?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{disk} is not mounted"))?;
        must(disk.kind != DiskType::Mount || mount.is_mount_point, || {
            format!("{} is no mount point", disk.root)
        })?;
        must(!mount.network && !mount.read_only, || {
            format!("{disk} is remote or read-only")
        })?;
        must(mount.failure.is_none(), || {
            format!("the file system of {disk} has failed, or its device is gone")
        })?;
        let agents = facts.agent.processes.known();
        let running = agents.into_iter().flatten().any(|agent| agent.ours);
        must(
            root.view == AgentView::Same || (root.view == AgentView::NoAgent && !running),
            || format!("the agent sees something else under {disk}"),
        )?;
        for agent in agents.into_iter().flatten() {
            let alone =
                agent.ours && agent.roots == Known::Absent && agent.filesystems == Known::Absent;
            let elsewhere = agent
                .filesystems
                .known()
                .is_some_and(|devices| !devices.contains(&mount.device));
            must(alone || elsewhere, || {
                format!("the agent with pid {} may use {disk} too", agent.pid)
            })?;
        }
        must(root.filesystem.present.known() == Some(print), || {
            format!("{disk} is another file system than planned for")
        })?;
        must(matches!(facts.agent.latest, Known::Known(_)), || {
            "the work_dir is of no agent".to_owned()
        })?;
        let ours = (disk.kind == DiskType::Root && disk.root == facts.agent.work_dir)
            || root.named_by.contains(&RootWitness::SlaveInfo)
            || root.named_by.contains(&RootWitness::Checkpoint)
            || root.named_by.contains(&RootWitness::Flags);
        must(ours, || format!("the agent does not name {disk}"))?;
        Ok(root)
    }

    /// The root may be used, and is the known one or adopted by this very plan.
    pub(super) fn root(
        &self,
        disk: &DiskRef,
        print: &Fingerprint,
    ) -> Result<&'a RootFacts, String> {
        let root = self.observed(disk, print)?;
        let known = root
            .filesystem
            .ledger
            .known()
            .is_some_and(|known| same_disk(known, print));
        let marker = match &root.filesystem.marker {
            Known::Known(marker) => *marker == print.filesystem && self.marker_is_ours(root),
            Known::Absent => true,
            Known::Unknown(_) => false,
        };
        must(
            (known && marker && self.has_its_size(root)) || self.adopted.contains(disk),
            || format!("{disk} was never verified"),
        )?;
        Ok(root)
    }

    pub(super) fn trash_entry(&self, entry: &TrashPlace) -> Result<&'a TrashFacts, String> {
        let manifest = &entry.manifest;
        let found = self
            .trash
            .get(&(&entry.disk, &manifest.id))
            .copied()
            .ok_or_else(|| format!("trash entry {} was not seen", manifest.id))?;
        must(found.manifest.known() == Some(manifest), || {
            format!("the manifest of {} is another", manifest.id)
        })?;
        must(found.data.known() == entry.data.as_ref(), || {
            format!("the data of {} is another", manifest.id)
        })?;
        must(
            manifest.version == Manifest::VERSION
                && self.facts.host.machine_id.known() == Some(&manifest.machine_id)
                && manifest.work_dir == self.facts.agent.work_dir,
            || format!("trash entry {} is of another agent", manifest.id),
        )?;
        let (role, id) = (
            manifest.volume.role.directory(),
            manifest.volume.id.as_raw(),
        );
        plain_name(&role)?;
        plain_name(id)?;
        let place = match entry.disk.kind {
            DiskType::Root | DiskType::Path => {
                Raw::from(crate::mesos::paths::ROLES).join(&role).join(id)
            }
            DiskType::Mount => Raw::from("volume"),
        };
        must(manifest.path == place, || {
            format!("{} is not the place of {}", manifest.path, manifest.volume)
        })?;
        self.hidden_side(entry)?;
        Ok(found)
    }

    pub(super) fn create(&self, place: &VolumePlace) -> Verdict {
        let asked = self.facts.words.recreate.as_ref() == Some(&place.volume);
        let root = self.observed(&place.disk, &place.root)?;
        // `volumes recreate` is itself the word for a root first met; for a changed one it is not.
        if !asked || root.filesystem.ledger != Known::Absent {
            self.root(&place.disk, &place.root)?;
        }
        must(root.disk.kind != DiskType::Mount, || {
            "a MOUNT is its own directory".to_owned()
        })?;
        plain_name(&place.role_dir)?;
        plain_name(&place.id_dir)?;
        must(
            place.volume.role.directory() == place.role_dir
                && *place.volume.id.as_raw() == place.id_dir,
            || format!("{} is not the directory of {}", place.path(), place.volume),
        )?;
        self.authorities.clone()?;
        must(self.named.effective_on(&place.volume, &place.disk), || {
            format!("{} is not held on {}", place.volume, place.disk)
        })?;
        self.free(root, &place.volume)?;
        must(
            matches!(self.facts.checkpoint.state_target, CheckpointFile::Missing)
                && matches!(self.facts.checkpoint.info_target, CheckpointFile::Missing)
                && !self.named.pending(&place.volume),
            || "a change is in flight".to_owned(),
        )?;
        let trashed = self
            .facts
            .roots
            .iter()
            .flat_map(|root| root.trash.known().into_iter().flatten())
            .filter_map(|entry| entry.manifest.known())
            .any(|manifest| manifest.volume == place.volume);
        must(!trashed, || {
            format!("the trash holds the data of {}", place.volume)
        })?;
        let never_there = self.records.get(&place.volume).is_some_and(|record| {
            record
                .places
                .iter()
                .any(|seen| seen.disk == place.disk && seen.watched && seen.directory.is_none())
        });
        must(
            asked || self.facts.policy.recreate_vanished || never_there,
            || format!("{} was there before and is gone", place.path()),
        )
    }

    /// The marker, as far as it tells, is of this host and of this root.
    fn marker_is_ours(&self, root: &RootFacts) -> bool {
        root.filesystem.marker_of.as_ref().is_none_or(|marker| {
            let here = match &self.facts.host.machine_id {
                Known::Known(machine_id) => marker.machine_id == *machine_id,
                Known::Absent | Known::Unknown(_) => true,
            };
            here && marker.root == root.disk.root
        })
    }

    /// What is advertised of the file system of a verified root fits into it, or did not when it
    /// was verified either.
    fn has_its_size(&self, root: &RootFacts) -> bool {
        let (Some(mount), Known::Known(_)) = (root.mount.known(), &root.filesystem.ledger) else {
            return true;
        };
        // Only what is seen, or known from before, to be elsewhere does not count.
        let uuid = |print: &Known<Fingerprint>| print.known().map(|print| print.filesystem.clone());
        let ours = uuid(&root.filesystem.present);
        let beside = self.facts.roots.iter().filter(|other| match &other.mount {
            Known::Known(other) => other.device == mount.device,
            Known::Absent => false,
            Known::Unknown(_) => {
                let theirs = uuid(&other.filesystem.ledger);
                theirs.is_none() || ours.is_none() || theirs == ours
            }
        });
        // In thousandths of a mebibyte on both sides.
        let asked: i128 = beside
            .filter_map(|other| other.filesystem.advertised)
            .map(|number| i128::from(number.thousandths()))
            .sum();
        let there = i128::from(mount.total_bytes).saturating_mul(1000) >> 20_u32;
        asked <= there
            || root
                .filesystem
                .verified
                .as_ref()
                .is_some_and(|then| then.overdrawn && mount.total_bytes >= then.total_bytes)
    }

    pub(super) fn adopt(
        &self,
        disk: &DiskRef,
        print: &Fingerprint,
        verified: &Verified,
        marker_of: Option<&MarkerOf>,
    ) -> Verdict {
        let root = self.observed(disk, print)?;
        let total = root.mount.known().map(|mount| mount.total_bytes);
        must(total == Some(verified.total_bytes), || {
            format!("{disk} has another size than is to be noted")
        })?;
        let told = marker_of.is_none_or(|of| {
            of.root == disk.root && self.facts.host.machine_id.known() == Some(&of.machine_id)
        });
        must(told, || {
            format!("the marker for {disk} would be of another host or root")
        })?;
        let accepted = self.facts.words.accept_root.as_ref() == Some(&disk.root);
        let marker = match &root.filesystem.marker {
            Known::Known(marker) => *marker == print.filesystem && self.marker_is_ours(root),
            Known::Absent => true,
            Known::Unknown(_) => false,
        };
        must(accepted || (marker && self.has_its_size(root)), || {
            format!("the marker on {disk} is of another file system, or it has shrunk")
        })?;
        match &root.filesystem.ledger {
            Known::Unknown(why) => Err(why.to_string()),
            Known::Known(known) => must(accepted || same_disk(known, print), || {
                format!("{disk} is not the file system of the ledger")
            }),
            Known::Absent if accepted => Ok(()),
            Known::Absent => {
                self.doubtless()?;
                for key in self.named.effective_volumes_on(disk) {
                    let (role, id) = (key.role.directory(), key.id.as_raw());
                    let there = disk.kind == DiskType::Mount
                        || self
                            .dirs
                            .get(&(disk, &role, id))
                            .is_some_and(|dir| dir.kind == FileKind::Directory);
                    must(there, || format!("{disk} lacks the directory of {key}"))?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn open_gate(&self, plan: &Plan) -> Verdict {
        let facts = self.facts;
        for step in &plan.steps {
            if let Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } =
                step
            {
                return Err(format!("{} is about to be emptied", authorization.disk()));
            }
        }
        let half_emptied = |text: &Raw| {
            let closed = match &facts.gate.closed_for {
                Known::Known(roots) => roots.contains(text),
                Known::Absent => false,
                Known::Unknown(_) => true,
            };
            let empty = facts.roots.iter().any(|root| {
                root.disk.kind == DiskType::Mount
                    && root.disk.root == *text
                    && root.content == Known::Known(MountContent::Empty)
            });
            closed && !empty
        };
        let unfilled = |text: &Raw| {
            facts.gate.fills.iter().any(|fill| {
                fill.root == *text
                    && facts.roots.iter().any(|root| {
                        root.disk.root == *text
                            && root
                                .filesystem
                                .present
                                .known()
                                .is_some_and(|present| present.directory == fill.directory)
                    })
            })
        };
        for root in &facts.roots {
            let closed = match &facts.gate.closed_for {
                Known::Known(roots) => roots.contains(&root.disk.root),
                Known::Absent => false,
                Known::Unknown(_) => true,
            };
            must(!closed || !super::hidden::half_moved(root), || {
                format!("{} is half moved into its trash", root.disk)
            })?;
        }
        for record in &self.memory.volumes {
            for place in &record.places {
                must(
                    place.disk.kind != DiskType::Mount
                        || self.named.names(&record.key)
                        || self.kept_by_a_mark(&place.disk, &record.key)
                        || !(half_emptied(&place.disk.root) || unfilled(&place.disk.root)),
                    || format!("{} may be half emptied", place.disk),
                )?;
            }
        }
        match (&facts.memory, &facts.gate.closed_for) {
            (Known::Known(_), _) => Ok(()),
            (memory, Known::Known(roots)) => {
                let forgotten = *memory == Known::Absent;
                let over = |root: &Raw| !half_emptied(root) && (forgotten || !unfilled(root));
                must(roots.iter().all(over), || {
                    "a disk may be half emptied".to_owned()
                })
            }
            (Known::Absent | Known::Unknown(_), Known::Absent | Known::Unknown(_)) => {
                Err("nobody knows what the gate was closed for".to_owned())
            }
        }
    }
}

/// A disk is its file system, and a root one directory of it.
fn same_disk(one: &Fingerprint, other: &Fingerprint) -> bool {
    one.filesystem == other.filesystem && one.directory == other.directory
}
