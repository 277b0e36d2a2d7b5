//! One volume directory: named or not, by what evidence it may go, and every reason to keep it.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};

use super::authority::{Claim, Claims, empty_doubt};
use super::facts::{
    DirFacts, Facts, FileIdentity, FileKind, FsLocation, Holder, HolderKind, Known, OrphanPolicy,
    PidNamespace, RootFacts, TaskUse,
};
use super::guards::{Reason, Refusal};
use super::manifest::{AdoptedMark, Manifest};
use super::memory::{Gone, Memory, Sighting, VolumeRecord};
use super::overlap::Overlap;
use super::remember::{agent_may_delete, stale_released};
use super::roots::{RootView, present_filesystem};
use super::steps::{Evidence, TrashId};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

/// What was found out about a directory under `volumes/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether an authority names the volume (a released stale name does not count).
    pub named: bool,
    /// By what right it may go; `None` while it is named, or an orphan seen for the first time.
    pub evidence: Option<Evidence>,
    /// Whether a destroy, or an orphan past its grace, waits behind the reasons.
    pub due: bool,
    /// Every reason to keep it.
    pub reasons: Vec<Reason>,
}

/// Everything that judging needs besides the facts; made once a pass.
#[derive(Debug)]
pub struct Judge<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The joined authorities.
    pub claims: &'a Claims,
    /// The memory after this observation.
    pub memory: &'a Memory,
    protect: Vec<Result<GlobMatcher, String>>,
    held_identities: BTreeMap<&'a FileIdentity, VolumeKey>,
    records: BTreeMap<&'a VolumeKey, &'a VolumeRecord>,
    sightings: BTreeMap<(&'a DiskRef, &'a VolumeKey), &'a Sighting>,
    tasks: BTreeMap<&'a VolumeKey, Vec<&'a TaskUse>>,
    overlap: Overlap<'a>,
    empty: Option<Reason>,
    /// By place, so that what lies below a directory is one range.
    holders: Vec<&'a Holder>,
}

impl<'a> Judge<'a> {
    /// Compiles the globs and collects what held volumes' directories are.
    #[must_use]
    pub fn new(
        facts: &'a Facts,
        claims: &'a Claims,
        memory: &'a Memory,
        views: &'a [RootView<'a>],
    ) -> Self {
        let protect = facts
            .policy
            .protect
            .iter()
            .map(|glob| {
                GlobBuilder::new(glob)
                    .literal_separator(true)
                    .build()
                    .map(|glob| glob.compile_matcher())
                    .map_err(|error| error.to_string())
            })
            .collect();
        let named: BTreeSet<&VolumeKey> = claims
            .volumes
            .iter()
            .filter(|(key, claim)| !(claim.stale_only() && stale_released(facts, memory, key)))
            .map(|(key, _)| key)
            .collect();
        let mut tasks: BTreeMap<&VolumeKey, Vec<&TaskUse>> = BTreeMap::new();
        for task in facts.task_uses() {
            for key in &task.volumes {
                let uses = tasks.entry(key).or_default();
                if !uses.iter().any(|use_of| use_of.task == task.task) {
                    uses.push(task);
                }
            }
        }
        let mut holders: Vec<&Holder> = facts.holders.known().into_iter().flatten().collect();
        holders.sort_by(|a, b| a.location.cmp(&b.location));
        Self {
            facts,
            claims,
            memory,
            protect,
            held_identities: held_identities(claims, memory, views, &named),
            records: memory
                .volumes
                .iter()
                .map(|record| (&record.key, record))
                .collect(),
            sightings: memory
                .sightings
                .iter()
                .map(|sighting| ((&sighting.disk, &sighting.key), sighting))
                .collect(),
            tasks,
            overlap: Overlap::new(claims, views, &named),
            empty: empty_doubt(claims, facts, memory),
            holders,
        }
    }

    /// The record of a volume that was held before.
    #[must_use]
    pub fn record(&self, key: &VolumeKey) -> Option<&'a VolumeRecord> {
        self.records.get(key).copied()
    }

    /// Judges one directory of a ROOT or PATH root.
    #[must_use]
    pub fn directory(&self, view: &RootView<'_>, key: &VolumeKey, dir: &DirFacts) -> Finding {
        let root = view.root;
        let mut reasons = view.reasons.clone();
        match dir.kind {
            FileKind::Directory => {}
            FileKind::Symlink => reasons.push(Refusal::Symlink.into()),
            FileKind::File | FileKind::Special => reasons.push(Reason::new(
                Refusal::NotAVolumePath,
                "it is not a directory".to_owned(),
            )),
            FileKind::Mount => reasons.push(Reason::new(
                Refusal::MountInside,
                "something is mounted on it".to_owned(),
            )),
        }
        // A host shows no such names; facts that were written by hand may.
        if !is_plain(&dir.role_dir) || !is_plain(&dir.id_dir) {
            reasons.push(Reason::new(
                Refusal::NotAVolumePath,
                "no directory has such a name".to_owned(),
            ));
        }
        match &dir.identity {
            Known::Known(identity) => {
                if present_filesystem(root).is_some_and(|present| present != identity.filesystem) {
                    reasons.push(Refusal::WrongFilesystem.into());
                }
                if let Some(holder) = self
                    .held_identities
                    .get(identity)
                    .filter(|holder| *holder != key)
                {
                    reasons.push(Reason::new(
                        Refusal::Held,
                        format!("it is the same directory as held volume {holder}"),
                    ));
                }
            }
            Known::Absent => reasons.push(Refusal::NoIdentity.into()),
            Known::Unknown(why) => {
                reasons.push(Reason::new(Refusal::NoIdentity, why.to_string()));
            }
        }
        let named = self.name_reasons(key, &mut reasons);
        self.doubt_reasons(&mut reasons);
        self.hidden_role(key, &mut reasons);
        self.use_reasons(key, &dir.location, &mut reasons);
        self.protect_reasons(key, &mut reasons);
        self.adopted_reasons(root, key, &mut reasons);
        if let Known::Known(identity) = &dir.identity {
            self.adopted_elsewhere(root, identity, &mut reasons);
        }
        let (evidence, due) = if named {
            // The operator's word waits behind its being named.
            (None, self.facts.words.wipe.as_ref() == Some(key))
        } else {
            let path = dir.path(&root.disk);
            self.overlap_reasons(&root.disk, key, &dir.location, &path, &mut reasons);
            self.directory_evidence(key, root, dir, &mut reasons)
        };
        reasons.sort();
        reasons.dedup();
        Finding {
            named,
            evidence,
            due,
            reasons,
        }
    }

    /// Adds the reasons that come from the volume being named; says whether it is.
    pub(in crate::decide) fn name_reasons(
        &self,
        key: &VolumeKey,
        reasons: &mut Vec<Reason>,
    ) -> bool {
        let Some(claim) = self.claims.get(key) else {
            return false;
        };
        if claim.stale_only() {
            if stale_released(self.facts, self.memory, key) {
                return false;
            }
            reasons.push(Refusal::StaleGeneration.into());
        }
        for operation in &claim.pending {
            reasons.push(Reason::new(Refusal::PendingOperation, operation.clone()));
        }
        if let Some(detail) = held_by(claim) {
            reasons.push(Reason::new(Refusal::Held, detail));
        }
        true
    }

    /// Adds what is doubtful about the authorities as a whole.
    pub(in crate::decide) fn doubt_reasons(&self, reasons: &mut Vec<Reason>) {
        reasons.extend(self.claims.doubts.iter().cloned());
        reasons.extend(self.empty.clone());
    }

    /// Adds what forbids to act for a volume as one that is held: the agent itself does not believe
    /// so, or a change of it, or of anything, is on its way.
    pub(in crate::decide) fn unsettled_reasons(&self, key: &VolumeKey, reasons: &mut Vec<Reason>) {
        let claim = self.claims.get(key);
        if !claim.is_some_and(|claim| claim.effective) {
            reasons.push(Reason::new(
                Refusal::StaleGeneration,
                "the checkpoint that the agent believes does not name it".to_owned(),
            ));
        }
        for operation in claim.into_iter().flat_map(|claim| &claim.pending) {
            reasons.push(Reason::new(Refusal::PendingOperation, operation.clone()));
        }
        if self.claims.in_flight {
            reasons.push(Reason::new(
                Refusal::PendingOperation,
                "a target file exists: a change is in flight".to_owned(),
            ));
        }
    }

    /// Adds `role_hidden` where the agent's answer is filtered and does not show this role.
    pub(in crate::decide) fn hidden_role(&self, key: &VolumeKey, reasons: &mut Vec<Reason>) {
        if self
            .claims
            .shown_roles
            .as_ref()
            .is_some_and(|shown| !shown.contains(&key.role))
        {
            reasons.push(Refusal::RoleHidden.into());
        }
    }

    /// Adds who uses the place. The own mount of a MOUNT disk is not among the holders, nor are its
    /// copies in other namespaces; the disk bound somewhere else is, whatever that path is called.
    pub(in crate::decide) fn use_reasons(
        &self,
        key: &VolumeKey,
        location: &Known<FsLocation>,
        reasons: &mut Vec<Reason>,
    ) {
        for task in self.tasks.get(key).into_iter().flatten() {
            reasons.push(Reason::new(
                Refusal::InUseTask,
                format!("task {} of framework {}", task.task, task.framework),
            ));
        }
        if self.facts.policy.pid_namespace == PidNamespace::Host
            && self.facts.host.initial_pid_namespace != Known::Known(true)
        {
            reasons.push(Reason::new(
                Refusal::HoldersUnknown,
                "this process is not in the initial pid namespace".to_owned(),
            ));
        }
        let unknown = [
            unknown_holders(&self.facts.holders),
            unknown_holders(location),
        ];
        reasons.extend(unknown.into_iter().flatten().take(1));
        let (Known::Known(_), Known::Known(location)) = (&self.facts.holders, location) else {
            return;
        };
        for holder in self.holders_within(location) {
            reasons.push(holder_reason(holder));
        }
    }

    /// Holders of the place itself or of anything below it.
    fn holders_within(&self, location: &FsLocation) -> impl Iterator<Item = &'a Holder> {
        // Everything below a path shares its bytes as a prefix, so it stands in one run; a sibling
        // such as `a-old` may stand between `a` and `a/…`, and is filtered out.
        let first = self
            .holders
            .partition_point(|holder| holder.location < *location);
        let location = location.clone();
        self.holders
            .iter()
            .skip(first)
            .copied()
            .take_while({
                let location = location.clone();
                move |holder| {
                    holder.location.device == location.device
                        && holder
                            .location
                            .path
                            .as_bytes()
                            .starts_with(location.path.as_bytes())
                }
            })
            .filter(move |holder| holder.location.within(&location))
    }

    pub(in crate::decide) fn protect_reasons(&self, key: &VolumeKey, reasons: &mut Vec<Reason>) {
        use std::os::unix::ffi::OsStrExt as _;
        // In `role/id` the id is one component and cannot hold a slash; a role may.
        let name = key.role.as_raw().join(key.id.as_raw());
        for (glob, text) in self.protect.iter().zip(&self.facts.policy.protect) {
            match glob {
                Ok(glob) if !glob.is_match(std::ffi::OsStr::from_bytes(name.as_bytes())) => {}
                Ok(_) => reasons.push(Reason::new(Refusal::Protected, text.clone())),
                // A glob that can't be read protects everything.
                Err(error) => {
                    reasons.push(Reason::new(Refusal::Protected, format!("{text}: {error}")));
                }
            }
        }
    }

    /// Adds that an operator wants it kept on this root; of marks that can't be read, each volume
    /// there may be the one.
    pub(in crate::decide) fn adopted_reasons(
        &self,
        root: &RootFacts,
        key: &VolumeKey,
        reasons: &mut Vec<Reason>,
    ) {
        if let Known::Unknown(why) = &root.adopted {
            reasons.push(Reason::new(Refusal::AuthorityUnknown, why.to_string()));
        }
        if let Some(mark) = self.mark_of(root, key) {
            reasons.push(Reason::new(Refusal::Adopted, in_words(mark)));
        }
    }

    /// Adds that another root keeps this very directory: one file system can be seen at two places,
    /// and what can't be judged at the one must not be lost at the other.
    pub(in crate::decide) fn adopted_elsewhere(
        &self,
        root: &RootFacts,
        directory: &FileIdentity,
        reasons: &mut Vec<Reason>,
    ) {
        for other in &self.facts.roots {
            if other.disk == root.disk {
                continue;
            }
            match &other.adopted {
                Known::Known(marks) => {
                    let mut marks = marks.iter();
                    let kept =
                        marks.find(|mark| mark.identity == *directory && !self.is_void(mark));
                    if let Some(mark) = kept {
                        reasons.push(Reason::new(
                            Refusal::Adopted,
                            format!("{} on {}", in_words(mark), mark.disk),
                        ));
                    }
                }
                Known::Unknown(why) if may_show(other, root, directory) => {
                    reasons.push(Reason::new(
                        Refusal::AuthorityUnknown,
                        format!("marks on {}: {why}", other.disk),
                    ));
                }
                Known::Absent | Known::Unknown(_) => {}
            }
        }
    }

    /// The mark that keeps a volume on this root.
    pub(in crate::decide) fn mark_of(
        &self,
        root: &'a RootFacts,
        key: &VolumeKey,
    ) -> Option<&'a AdoptedMark> {
        let marks = root.adopted.known().into_iter().flatten();
        marks
            .filter(|mark| mark.volume == *key)
            .find(|mark| !self.is_void(mark))
    }

    /// The mark of a restore of this entry that was begun.
    pub(in crate::decide) fn restoring(
        &self,
        root: &'a RootFacts,
        entry: &TrashId,
    ) -> Option<&'a AdoptedMark> {
        let marks = root.adopted.known().into_iter().flatten();
        marks
            .filter(|mark| mark.trash.as_ref() == Some(entry))
            .find(|mark| !self.is_void(mark))
    }

    /// Whether the effective generation has held the volume since the mark was made: a later destroy
    /// of it is meant. That an operation named it which came to nothing does not count.
    pub(in crate::decide) fn is_void(&self, mark: &AdoptedMark) -> bool {
        self.record(&mark.volume)
            .is_some_and(|record| record.named_at > mark.lived_at && record.held_in_file.is_some())
    }

    fn directory_evidence(
        &self,
        key: &VolumeKey,
        root: &RootFacts,
        dir: &DirFacts,
        reasons: &mut Vec<Reason>,
    ) -> (Option<Evidence>, bool) {
        let witnessed = self.witnessed(key, &root.disk, Some(dir), root);
        if let Some((gone, _)) = &witnessed
            && agent_may_delete(self.facts, self.memory, gone)
        {
            reasons.push(Refusal::AgentDeleting.into());
        }
        if self.facts.words.wipe.as_ref() == Some(key) {
            return (Some(Evidence::Operator), true);
        }
        if let Some((_, evidence)) = witnessed {
            return (Some(evidence), true);
        }
        // A DESTROY was read, and only a doubt keeps it from being concluded that it is gone.
        let destroyed = self
            .record(key)
            .is_some_and(|record| record.gone.is_none() && !record.pending_destroys.is_empty());
        let sighting = self
            .sightings
            .get(&(&root.disk, key))
            .filter(|sighting| Some(&sighting.identity) == dir.identity.known());
        let grace = self.facts.policy.grace;
        // Without a doubt it was a name of the older file, released by now, that kept it from being
        // concluded: then it counts as an orphan like others.
        if destroyed && !reasons.is_empty() {
            return (None, true);
        }
        let Some(sighting) = sighting else {
            reasons.push(Reason::new(
                Refusal::GracePeriod,
                "not sighted yet".to_owned(),
            ));
            // Whether its time has come lies in the memory: unread, it counts as if it had.
            return (None, self.facts.memory.why().is_some());
        };
        let sighted_for = sighting.last.minus(sighting.first);
        if sighting.times < 2 || sighted_for < grace {
            reasons.push(Reason::new(
                Refusal::GracePeriod,
                format!("seen for {} of {grace}", sighted_for.in_seconds()),
            ));
            // A doubtful pass sights nothing; that it would be overdue is said all the same.
            let lived = self.memory.clock.lived;
            let overdue = sighting.last < lived && lived.minus(sighting.first) >= grace;
            return (None, overdue);
        }
        match self.facts.policy.orphans {
            OrphanPolicy::Report => reasons.push(Refusal::ReportOnly.into()),
            OrphanPolicy::Quarantine | OrphanPolicy::Wipe => {}
        }
        (
            Some(Evidence::Unwitnessed {
                sighted_for,
                times: sighting.times,
            }),
            true,
        )
    }

    /// The witnessed destroy of this volume in this place, if there is one.
    pub(in crate::decide) fn witnessed(
        &self,
        key: &VolumeKey,
        disk: &DiskRef,
        dir: Option<&DirFacts>,
        root: &RootFacts,
    ) -> Option<(&'a Gone, Evidence)> {
        let record = self.record(key)?;
        let gone = record.gone.as_ref()?;
        let evidence = gone.evidence.clone()?;
        let place = record.places.iter().find(|place| place.disk == *disk)?;
        // Another file system than the one it was held on, or one that was never told, is not the
        // place of the destroy.
        if place.filesystem.is_none() || place.filesystem != present_filesystem(root) {
            return None;
        }
        match dir {
            // Neither is another directory of the same name. One that was never seen counts only
            // where we saw the volume come: what a volume lost before that may be put back.
            Some(dir) => match &place.directory {
                Some(directory) if Some(directory) == dir.identity.known() => {}
                None if place.watched => {}
                Some(_) | None => return None,
            },
            // In-place wiping of a MOUNT wants an operation or our own destroy, not an inference.
            None => match evidence {
                Evidence::GoneWithinRun | Evidence::Unwitnessed { .. } => return None,
                Evidence::DestroyOperation(_) | Evidence::OwnDestroy | Evidence::Operator => {}
            },
        }
        Some((gone, evidence))
    }

    /// Whether the volume was named again since its entry was moved to the trash: then it is for
    /// people to say whose the data is.
    pub(in crate::decide) fn named_since(&self, manifest: &Manifest) -> bool {
        self.record(&manifest.volume)
            .is_some_and(|record| record.named_at > manifest.lived_at)
    }

    /// Adds what lies in the place, or in what it lies.
    pub(in crate::decide) fn overlap_reasons(
        &self,
        own: &DiskRef,
        key: &VolumeKey,
        location: &Known<FsLocation>,
        path: &Raw,
        reasons: &mut Vec<Reason>,
    ) {
        if let Known::Known(location) = location {
            self.overlap.reasons(own, key, location, path, reasons);
        }
    }
}

/// Whether a directory can have this name.
fn is_plain(name: &Raw) -> bool {
    let name = name.as_bytes();
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/')
}

/// Whether another root may show a directory of this one: it lies on the same file system, or, where
/// that is not known, on the same device.
fn may_show(other: &RootFacts, root: &RootFacts, directory: &FileIdentity) -> bool {
    match (present_filesystem(other), &other.mount, &root.mount) {
        (Some(present), _, _) => present == directory.filesystem,
        (None, Known::Known(other), Known::Known(root)) => {
            other.location.device == root.location.device
        }
        (None, Known::Absent, _) => false,
        (None, Known::Unknown(_), _) | (None, _, Known::Absent | Known::Unknown(_)) => true,
    }
}

/// A mark, in words.
fn in_words(mark: &AdoptedMark) -> String {
    match &mark.trash {
        Some(entry) => format!("it was restored from trash entry {entry}"),
        None => "it was adopted by `mesos-volumed volumes adopt`".to_owned(),
    }
}

/// What the directories of held volumes are: as they are seen now, on every root; as they were
/// seen last, where they can't be seen now; and the roots of held MOUNT disks.
fn held_identities<'a>(
    claims: &'a Claims,
    memory: &'a Memory,
    views: &'a [RootView<'a>],
    named: &BTreeSet<&VolumeKey>,
) -> BTreeMap<&'a FileIdentity, VolumeKey> {
    let mut held = BTreeMap::new();
    for record in &memory.volumes {
        if named.contains(&record.key) {
            for directory in record
                .places
                .iter()
                .filter_map(|place| place.directory.as_ref())
            {
                held.insert(directory, record.key.clone());
            }
        }
    }
    for view in views {
        for (key, dir) in &view.dirs {
            if named.contains(key)
                && let Known::Known(identity) = &dir.identity
            {
                held.insert(identity, key.clone());
            }
        }
        if view.root.kind() == DiskType::Mount
            && let Some((holder, _)) = claims
                .on(&view.root.disk)
                .find(|(key, _)| named.contains(key))
            && let Known::Known(present) = &view.root.filesystem.present
        {
            held.insert(&present.directory, holder.clone());
        }
    }
    held
}

fn held_by(claim: &Claim) -> Option<String> {
    let names: Vec<String> = claim
        .sources
        .iter()
        .map(|source| match source {
            super::authority::Source::State => "resources_and_operations.state",
            super::authority::Source::StateTarget => "resources_and_operations.target",
            super::authority::Source::Info => "resources.info",
            super::authority::Source::InfoTarget => "resources.target",
            super::authority::Source::Operation => "a pending operation",
            super::authority::Source::Provider => "resource_provider.state",
            super::authority::Source::Task => "task.info",
            super::authority::Source::Answer => "the agent's /state",
        })
        .map(str::to_owned)
        .collect();
    (!names.is_empty() && !claim.stale_only()).then(|| format!("named by {}", names.join(", ")))
}

/// That it can't be told who uses something, because this could not be seen.
fn unknown_holders<T>(seen: &Known<T>) -> Option<Reason> {
    match seen {
        Known::Known(_) => None,
        Known::Absent => Some(Refusal::HoldersUnknown.into()),
        Known::Unknown(why) => Some(Reason::new(Refusal::HoldersUnknown, why.to_string())),
    }
}

fn holder_reason(holder: &Holder) -> Reason {
    let who = format!("pid {} ({})", holder.pid, holder.command);
    match holder.kind {
        HolderKind::MountOf => {
            let at = holder
                .mount_point
                .as_ref()
                .map(|at| format!(" at {at}"))
                .unwrap_or_default();
            Reason::new(Refusal::InUseMount, format!("mounted{at} by {who}"))
        }
        HolderKind::MountPoint => Reason::new(
            Refusal::MountInside,
            match &holder.mount_point {
                Some(at) => format!("{at}, seen by {who}"),
                None => format!("seen by {who}"),
            },
        ),
        HolderKind::OpenFile => Reason::new(Refusal::InUseFd, format!("open in {who}")),
        HolderKind::WorkingDirectory => {
            Reason::new(Refusal::InUseFd, format!("directory of {who}"))
        }
        HolderKind::Mapping => Reason::new(Refusal::InUseFd, format!("mapped by {who}")),
        HolderKind::Swap => Reason::new(Refusal::InUseFd, "an active swap file".to_owned()),
    }
}
