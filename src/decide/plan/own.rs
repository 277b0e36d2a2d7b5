//! Destroys of our own (design §6): aside, asked for, confirmed by the agent's own checkpoint or put
//! back.
//!
//! While an entry is *unconfirmed* only two things can become of it. It is **confirmed** once nobody
//! names its volume any more, with no doubt and nothing pending. It is **put back** while its volume
//! is still held, where the master was certainly not asked, or once the agent has registered again
//! since: what a master sent before that is done by then, or lost. Neither a 202 nor the passing of
//! time is an answer.

use super::Planner;
use super::trash::Look;
use crate::decide::facts::{
    AgentAnswer, Destroying, FileKind, Known, Phase, Registered, RootFacts,
};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{Asked, Manifest};
use crate::decide::roots::RootView;
use crate::decide::steps::{Evidence, MasterCall, Step, TrashPlace, VolumePlace};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, ResourceFormat};
use crate::mesos::paths;

impl Planner<'_> {
    fn destroying(&self, phase: Phase) -> Option<&VolumeKey> {
        match &self.facts().words.destroy {
            Some(Destroying { volume, phase: now }) if *now == phase => Some(volume),
            Some(_) | None => None,
        }
    }

    /// `volumes destroy`: moves the directory aside, or asks for what needs no moving.
    pub(super) fn own_destroy(&mut self, view: &RootView<'_>) {
        let root = view.root;
        if let Some(key) = self.destroying(Phase::SetAside).cloned()
            && self.is_home(root, &key)
            && root.kind() != DiskType::Mount
        {
            self.set_aside(view, &key);
        }
        // What has no directory of its own is only asked for: a MOUNT is the agent's to empty
        // (its task may be launched until the destroy is committed), and so is a volume whose
        // directory is gone.
        if let Some(key) = self.destroying(Phase::Ask).cloned()
            && self.is_home(root, &key)
            && !root.has_set_aside(&key)
            && (root.kind() == DiskType::Mount || !view.occupied(&key))
            && !self.facts().words.later_round
        {
            self.ask(view, &key, None);
        }
    }

    /// Whether the volume is named on this root's disk.
    fn is_home(&self, root: &RootFacts, key: &VolumeKey) -> bool {
        let claim = self.judge.claims.get(key);
        claim.is_some_and(|claim| claim.homes().contains(&root.disk))
    }

    /// Why a volume can't be destroyed now, whatever its disk: it is not held as the agent believes,
    /// something is in flight, or the destroy would not arrive.
    fn destroy_reasons(&self, view: &RootView<'_>, key: &VolumeKey) -> Vec<Reason> {
        let judge = self.judge;
        let facts = self.facts();
        let mut reasons = view.reasons.clone();
        judge.doubt_reasons(&mut reasons);
        judge.hidden_role(key, &mut reasons);
        judge.protect_reasons(key, &mut reasons);
        judge.unsettled_reasons(key, &mut reasons);
        let unknown = |detail: String| Reason::new(Refusal::AuthorityUnknown, detail);
        match &facts.answer {
            answer @ AgentAnswer::State(_) => {
                if !answer.names(key) {
                    reasons.push(unknown(
                        "the agent's own answer does not name it".to_owned(),
                    ));
                }
            }
            AgentAnswer::NotConfigured
            | AgentAnswer::Refused
            | AgentAnswer::Recovering
            | AgentAnswer::Unknown(_) => reasons.push(unknown(
                "the agent does not answer, and a destroy that is sent now would be lost"
                    .to_owned(),
            )),
        }
        match self.registered() {
            Ok(registered) => {
                if !registered.active {
                    reasons.push(unknown("the master has lost the agent".to_owned()));
                }
                if registered.volume(key).is_none() {
                    reasons.push(unknown(
                        "the master does not list it, or hides it from our principal".to_owned(),
                    ));
                }
                if registered.used.contains(key) {
                    reasons.push(Reason::new(
                        Refusal::InUseTask,
                        "a task uses it, as the master knows".to_owned(),
                    ));
                }
            }
            Err(reason) => reasons.push(reason),
        }
        reasons
    }

    /// Our agent as the leading master lists it.
    pub(super) fn registered(&self) -> Result<&Registered, Reason> {
        let facts = self.facts();
        let unknown = |detail: String| Err(Reason::new(Refusal::AuthorityUnknown, detail));
        let master = match &facts.master {
            Known::Known(master) => master,
            Known::Absent => return unknown("no master was asked (master.urls)".to_owned()),
            Known::Unknown(why) => return unknown(why.to_string()),
        };
        match (&master.agent, &facts.agent.latest) {
            (Known::Known(agent), Known::Known(latest)) if agent.id == *latest => Ok(agent),
            (Known::Known(agent), _) => {
                unknown(format!("the master lists another agent, {}", agent.id))
            }
            (Known::Absent, _) => unknown("the agent is not registered with the master".to_owned()),
            (Known::Unknown(why), _) => unknown(why.to_string()),
        }
    }

    fn set_aside(&mut self, view: &RootView<'_>, key: &VolumeKey) {
        let root = view.root;
        let path = root.disk.root.join(paths::volume_directory(key));
        // An entry of an earlier attempt is asked for again, and a directory that is not there
        // needs no moving.
        if root.has_set_aside(key) || !view.occupied(key) {
            return;
        }
        let mut reasons = self.destroy_reasons(view, key);
        let found = view.dirs.get(key).copied();
        if let Some(dir) = found {
            match dir.kind {
                FileKind::Directory => {}
                FileKind::Symlink => reasons.push(Refusal::Symlink.into()),
                FileKind::File | FileKind::Special | FileKind::Mount => {
                    reasons.push(Refusal::NotAVolumePath.into());
                }
            }
            self.judge.use_reasons(key, &dir.location, &mut reasons);
            self.judge
                .overlap_reasons(&root.disk, key, &dir.location, &path, &mut reasons);
        }
        if let (Some((_, present)), Some(dir)) = (view.standing(), found)
            && let Some(identity) = dir.identity.known()
            && reasons.is_empty()
        {
            if identity.filesystem != present.filesystem {
                reasons.push(Refusal::WrongFilesystem.into());
            } else if let Err(reason) = self.take(identity, &path) {
                reasons.push(reason);
            } else {
                match self.manifest(
                    root,
                    &dir.role_dir,
                    &dir.id_dir,
                    key,
                    identity,
                    &Evidence::OwnDestroy,
                ) {
                    Ok(manifest) => {
                        self.steps.push(Step::Quarantine {
                            place: VolumePlace {
                                volume: key.clone(),
                                disk: root.disk.clone(),
                                root: present.clone(),
                                role_dir: dir.role_dir.clone(),
                                id_dir: dir.id_dir.clone(),
                            },
                            identity: identity.clone(),
                            manifest: Box::new(Manifest {
                                unconfirmed: true,
                                ..manifest
                            }),
                        });
                        return;
                    }
                    Err(reason) => reasons.push(reason),
                }
            }
        } else if reasons.is_empty() {
            reasons.push(Refusal::NoIdentity.into());
        }
        self.keep(Some(key.clone()), &root.disk, path, true, reasons);
    }

    /// Asks the master, with the entry that holds the data, where there is one.
    fn ask(&mut self, view: &RootView<'_>, key: &VolumeKey, entry: Option<Box<TrashPlace>>) {
        let root = view.root;
        let mut reasons = self.destroy_reasons(view, key);
        if root.kind() == DiskType::Mount {
            let location = root.mount.clone().map(|mount| mount.location);
            self.judge.use_reasons(key, &location, &mut reasons);
        }
        if let Some(entry) = &entry
            && view.occupied(key)
        {
            reasons.push(Reason::new(
                Refusal::Contested,
                format!("{} exists again", root.disk.root.join(&entry.manifest.path)),
            ));
        }
        let wanted = self.facts().master.known().zip(self.registered().ok());
        if let Some((master, registered)) = wanted
            && let Some(volume) = registered.volume(key)
            && reasons.is_empty()
        {
            self.steps.push(Step::Call {
                call: Box::new(MasterCall {
                    agent: registered.id.clone(),
                    format: ResourceFormat::of(master.version),
                    change: Change::Destroy(vec![volume.clone()]),
                }),
                volume: key.clone(),
                disk: root.disk.clone(),
                asked: Asked {
                    registered: registered.since.clone(),
                    at: self.facts().host.now.wall_seconds,
                },
                entry,
            });
            return;
        }
        let path = match root.kind() {
            DiskType::Mount => root.disk.root.clone(),
            DiskType::Root | DiskType::Path => root.disk.root.join(paths::volume_directory(key)),
        };
        self.keep(Some(key.clone()), &root.disk, path, true, reasons);
    }

    /// An entry of ours that the agent has not confirmed.
    pub(super) fn unconfirmed(&mut self, view: &RootView<'_>, look: Look, rivals: bool) {
        let Look {
            place,
            data,
            named,
            doubt,
            in_use,
        } = look;
        let manifest = place.manifest.clone();
        if manifest.evidence != Evidence::OwnDestroy || view.root.kind() == DiskType::Mount {
            // None that this program would write.
            let reasons = vec![Refusal::Unconfirmed.into()];
            return self.keep_entry(view.root, &manifest, false, reasons);
        }
        let key = &manifest.volume;
        // What is held on another disk is another life, and this entry none of its matter.
        let asking = self.destroying(Phase::Ask) == Some(key) && self.is_home(view.root, key);
        let settling = self.facts().words.destroy.as_ref().is_some_and(|now| {
            now.volume == *key && matches!(now.phase, Phase::SetAside | Phase::Ask)
        });
        if !named && doubt.is_empty() {
            // Gone from the agent's own checkpoint, with nothing pending.
            if in_use.is_empty() {
                let lived_at = self.lived();
                let step = Step::Confirm {
                    entry: place,
                    lived_at,
                };
                return self.act(view.root, &data, &manifest, step);
            }
            let mut reasons = in_use;
            reasons.push(Refusal::Unconfirmed.into());
            return self.keep_entry(view.root, &manifest, true, reasons);
        }
        if asking && !self.facts().words.later_round {
            return self.ask(view, key, Some(place));
        }
        if !settling && self.may_go_back(view, &manifest, &doubt, rivals) {
            return self.act(view.root, &data, &manifest, Step::PutBack { entry: place });
        }
        let mut reasons: Vec<Reason> = vec![Reason::new(
            Refusal::Unconfirmed,
            match &manifest.asked {
                None => "the master was not asked yet".to_owned(),
                // It drops a volume as soon as it takes a DESTROY; one that is still on its way to it
                // can't be told from one that was never sent.
                Some(_) if self.registered().is_ok_and(|now| now.volume(key).is_some()) => {
                    "the agent's checkpoint still names it, and the master lists it: the DESTROY may \
                     never have got there, or may still come"
                        .to_owned()
                }
                Some(_) => "the agent's checkpoint still names it".to_owned(),
            },
        )];
        reasons.extend(
            doubt
                .into_iter()
                .filter(|reason| reason.code != Refusal::Held),
        );
        self.keep_entry(view.root, &manifest, false, reasons);
    }

    /// Whether the data of an unconfirmed entry is in its place again, and nothing of its destroy is still
    /// on its way: who moved it back was killed before the frame was gone.
    pub(super) fn went_back(&self, view: &RootView<'_>, manifest: &Manifest) -> bool {
        let key = &manifest.volume;
        let (_, doubt) = self.doubt_of(key);
        let dir = view.dirs.get(key);
        let is_it = dir.is_some_and(|dir| dir.identity.known() == Some(&manifest.identity));
        is_it && self.is_over(view, manifest, &doubt)
    }

    /// Whether an unconfirmed entry's data goes back: its place is free, and no destroy of ours is still on
    /// its way.
    fn may_go_back(
        &self,
        view: &RootView<'_>,
        manifest: &Manifest,
        doubt: &[Reason],
        rivals: bool,
    ) -> bool {
        !rivals && !view.occupied(&manifest.volume) && self.is_over(view, manifest, doubt)
    }

    /// Whether a destroy of ours came to nothing: the volume is held, as the agent itself believes and says,
    /// nothing of it is pending, and the master was certainly not asked, or the agent has registered again.
    fn is_over(&self, view: &RootView<'_>, manifest: &Manifest, doubt: &[Reason]) -> bool {
        let key = &manifest.volume;
        let only_held = doubt.iter().all(|reason| reason.code == Refusal::Held);
        let claim = self.judge.claims.get(key);
        let held = self.is_home(view.root, key)
            && claim.is_some_and(|claim| claim.effective && claim.pending.is_empty());
        let over = match &manifest.asked {
            None => true,
            Some(asked) => {
                let again = self.registered().is_ok_and(|now| {
                    now.active && now.since != asked.registered && now.volume(key).is_some()
                });
                again && self.facts().answer.names(key)
            }
        };
        only_held && held && over && !self.judge.claims.in_flight
    }
}
