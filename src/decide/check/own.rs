//! Destroys of our own, read a second time.

use super::{Reader, Verdict, must};
use crate::decide::facts::{CheckpointFile, FileIdentity, Phase, Registered};
use crate::decide::manifest::{Asked, Manifest, TrashState};
use crate::decide::steps::{Evidence, MasterCall, TrashPlace, VolumePlace};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, ResourceFormat};
use crate::units::Span;

impl Reader<'_> {
    fn asked_for(&self, key: &VolumeKey, phase: Phase) -> Verdict {
        let now = self.facts.words.destroy.as_ref();
        must(
            now.is_some_and(|now| now.volume == *key && now.phase == phase),
            || format!("nobody asked to destroy {key}"),
        )
    }

    pub(super) fn registered(&self) -> Result<&Registered, String> {
        let master = self.facts.master.known().ok_or("no master answered")?;
        let agent = master.agent.known().ok_or("the agent is not registered")?;
        must(
            self.facts.agent.latest.known() == Some(&agent.id) && agent.active,
            || "the master lists another agent, or has lost ours".to_owned(),
        )?;
        Ok(agent)
    }

    fn agent_names(&self, key: &VolumeKey) -> Verdict {
        must(self.facts.answer.names(key), || {
            format!("the agent's answer does not name {key}")
        })
    }

    fn nothing_in_flight(&self, key: &VolumeKey) -> Verdict {
        let checkpoint = &self.facts.checkpoint;
        must(
            matches!(checkpoint.state_target, CheckpointFile::Missing)
                && matches!(checkpoint.info_target, CheckpointFile::Missing)
                && !self.named.pending(key),
            || "a change is in flight".to_owned(),
        )
    }

    /// Held, quiet, unused and reachable: what has to be so before a destroy of ours, at each of its
    /// steps.
    fn may_be_destroyed(&self, key: &VolumeKey, disk: &DiskRef) -> Verdict {
        self.authorities.clone()?;
        must(self.named.effective_on(key, disk), || {
            format!("{key} is not held on {disk}")
        })?;
        self.nothing_in_flight(key)?;
        self.unprotected(key)?;
        self.agent_names(key)?;
        let agent = self.registered()?;
        must(
            agent.volume(key).is_some() && !agent.used.contains(key),
            || format!("the master does not list {key}, or a task uses it"),
        )
    }

    /// The directory of a held volume goes aside for a destroy of ours, and for nothing else.
    pub(super) fn set_aside(
        &self,
        place: &VolumePlace,
        identity: &FileIdentity,
        manifest: &Manifest,
    ) -> Verdict {
        self.asked_for(&place.volume, Phase::SetAside)?;
        let root = self.root(&place.disk, &place.root)?;
        must(root.disk.kind != DiskType::Mount, || {
            "a MOUNT is never emptied before its destroy is committed".to_owned()
        })?;
        let dir = self.directory_of(place, identity)?;
        self.may_be_destroyed(&place.volume, &place.disk)?;
        self.held_alone(&place.volume, &dir.location, &place.path())?;
        must(
            manifest.asked.is_none() && manifest.evidence == Evidence::OwnDestroy,
            || "the manifest does not describe the step".to_owned(),
        )?;
        self.describes(manifest, place, identity, true)
    }

    /// A call is a DESTROY of exactly the volume that is meant, as the master lists it, for our
    /// agent, once a pass.
    pub(super) fn call(
        &self,
        call: &MasterCall,
        key: &VolumeKey,
        disk: &DiskRef,
        asked: &Asked,
        entry: Option<&TrashPlace>,
    ) -> Verdict {
        self.asked_for(key, Phase::Ask)?;
        must(!self.facts.words.later_round, || {
            format!("{key} was asked for in this pass")
        })?;
        self.may_be_destroyed(key, disk)?;
        let agent = self.registered()?;
        let version = self.facts.master.known().map(|master| master.version);
        must(
            call.agent == agent.id
                && version.map(ResourceFormat::of) == Some(call.format)
                && asked.registered == agent.since,
            || "the call is for another agent or another master".to_owned(),
        )?;
        match &call.change {
            Change::Destroy(volumes) => must(
                volumes.len() == 1 && volumes.first() == agent.volume(key),
                || format!("the call does not name {key} alone, as the master lists it"),
            )?,
            Change::Reserve(_)
            | Change::Unreserve(_)
            | Change::Create(_)
            | Change::Grow { .. }
            | Change::Shrink { .. } => return Err("the call is no DESTROY".to_owned()),
        }
        if let Some(entry) = entry {
            self.trash_entry(entry)?;
            let root = self.root(&entry.disk, &entry.root)?;
            must(
                entry.manifest.unconfirmed
                    && entry.manifest.volume == *key
                    && entry.disk == *disk
                    && entry.data.as_ref() == Some(&entry.manifest.identity),
                || format!("entry {} is not that of the destroy", entry.manifest.id),
            )?;
            return self.free(root, key);
        }
        let root = self.seen(disk)?;
        if disk.kind == DiskType::Mount {
            let mount = root.mount.known().ok_or("the disk is not mounted")?;
            self.seen_by_all(key)?;
            self.not_in_use(root, mount)
        } else {
            self.free(root, key)
        }
    }

    /// A destroy of ours is confirmed: nobody names the volume, nothing is pending, nobody uses its
    /// data.
    pub(super) fn confirm(&self, entry: &TrashPlace, lived_at: Span) -> Verdict {
        self.root(&entry.disk, &entry.root)?;
        let found = self.trash_entry(entry)?;
        let manifest = &entry.manifest;
        must(
            manifest.unconfirmed
                && manifest.evidence == Evidence::OwnDestroy
                && entry.disk.kind != DiskType::Mount
                && matches!(manifest.state, TrashState::Prepared | TrashState::Moved),
            || format!("entry {} is no destroy that waits", manifest.id),
        )?;
        must(
            entry.data.as_ref() == Some(&manifest.identity)
                && manifest.identity.filesystem == entry.root.filesystem,
            || format!("the data of {} is another directory", manifest.id),
        )?;
        must(lived_at == self.memory.clock.lived, || {
            "its age would not be counted from now".to_owned()
        })?;
        must(!self.named.pending(&manifest.volume), || {
            format!("an operation on {} is pending", manifest.volume)
        })?;
        self.nobody_wants(&manifest.volume)?;
        let path = entry
            .disk
            .root
            .join(crate::decide::manifest::TRASH)
            .join(&manifest.id.0)
            .join("data");
        self.unused(&manifest.volume, &found.location, &path)
    }

    /// An unconfirmed entry goes back only while its volume is held and no destroy of ours is on
    /// its way.
    pub(super) fn unconfirmed_back(&self, entry: &TrashPlace) -> Verdict {
        let manifest = &entry.manifest;
        must(entry.disk.kind != DiskType::Mount, || {
            "a MOUNT is never moved for a destroy of ours".to_owned()
        })?;
        self.authorities.clone()?;
        must(
            self.named.effective_on(&manifest.volume, &entry.disk),
            || format!("{} is not held on {}", manifest.volume, entry.disk),
        )?;
        self.nothing_in_flight(&manifest.volume)?;
        let Some(asked) = &manifest.asked else {
            return Ok(());
        };
        self.agent_names(&manifest.volume)?;
        let agent = self.registered()?;
        must(
            agent.since != asked.registered && agent.volume(&manifest.volume).is_some(),
            || format!("the destroy of {} may still arrive", manifest.volume),
        )
    }
}
