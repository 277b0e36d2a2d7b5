//! Which roots may be swept, and small questions about a root that several decisions ask.

use std::collections::BTreeMap;

use super::authority::{Claims, our_agents};
use super::facts::{
    AgentProcess, AgentView, DirFacts, Facts, FileKind, Fingerprint, Known, RootFacts, RootMount,
    RootWitness,
};
use super::guards::{Reason, Refusal};
use super::trip;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};

/// The volume that a directory's names say it is.
#[must_use]
pub fn dir_key(dir: &DirFacts) -> VolumeKey {
    VolumeKey::new(
        Role::from_directory(dir.role_dir.as_bytes()),
        PersistenceId::new(dir.id_dir.clone()),
    )
}

/// The UUID of the file system that is there now, where it can be told.
#[must_use]
pub fn present_filesystem(root: &RootFacts) -> Option<String> {
    root.filesystem
        .present
        .known()
        .map(|fingerprint| fingerprint.filesystem.clone())
}

/// Whether the root is there and mounted.
#[must_use]
pub fn place_exists(root: &RootFacts) -> bool {
    matches!(root.mount, Known::Known(_))
}

/// How a root stands that nothing forbids to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ledger knows it.
    Verified,
    /// First met, with nothing missing, or accepted by the operator: to be remembered.
    New,
}

/// A root as decisions look at it: what forbids to use it, and its directories by volume.
#[derive(Clone, Debug)]
pub struct RootView<'a> {
    /// The facts.
    pub root: &'a RootFacts,
    /// Why nothing on this root may be created, moved or wiped; empty where it may be swept.
    pub reasons: Vec<Reason>,
    /// ROOT and PATH: what lies at the volumes' places. Roles hold no white space, so that no two
    /// names mean one volume.
    pub dirs: BTreeMap<VolumeKey, &'a DirFacts>,
}

impl<'a> RootView<'a> {
    /// Looks at every root once.
    #[must_use]
    pub fn all(facts: &'a Facts, claims: &Claims) -> Vec<Self> {
        facts
            .roots
            .iter()
            .map(|root| {
                let dirs: BTreeMap<VolumeKey, &DirFacts> = root
                    .dirs
                    .known()
                    .into_iter()
                    .flatten()
                    .map(|dir| (dir_key(dir), dir))
                    .collect();
                let reasons = root_reasons(facts, claims, root, &dirs);
                Self {
                    root,
                    reasons,
                    dirs,
                }
            })
            .collect()
    }

    /// How the root stands, and as what; `None` where something forbids to use it.
    #[must_use]
    pub fn standing(&self) -> Option<(Standing, &'a Fingerprint)> {
        let present = self.root.filesystem.present.known()?;
        if !self.reasons.is_empty() {
            return None;
        }
        let standing = if self.root.filesystem.ledger.known() == Some(present) {
            Standing::Verified
        } else {
            Standing::New
        };
        Some((standing, present))
    }

    /// Whether our marker is to be written (again). It only confirms, and lies where volumes lie.
    #[must_use]
    pub fn marker_due(&self, facts: &Facts) -> bool {
        let root = self.root;
        root.kind() != DiskType::Mount
            && match &root.filesystem.marker {
                Known::Known(marker) => {
                    Some(marker) != present_filesystem(root).as_ref()
                        || trip::marker_of_another(facts, root).is_some()
                }
                Known::Absent => {
                    matches!(root.dirs, Known::Known(_)) || matches!(root.trash, Known::Known(_))
                }
                Known::Unknown(_) => true,
            }
    }

    /// Whether what was noted of the disk is to be noted anew: the operator accepts what trips it,
    /// or another drive.
    #[must_use]
    pub fn note_due(&self, facts: &Facts) -> bool {
        accepted(facts, self.root)
            && (trip::root_shrunk(facts, self.root).is_some()
                || !trip::root_drive_differences(self.root).is_empty())
    }

    /// Whether anything at all lies where the volume's directory would be. Not readable is not
    /// missing.
    #[must_use]
    pub fn occupied(&self, key: &VolumeKey) -> bool {
        match self.root.dirs {
            Known::Known(_) => self.dirs.contains_key(key),
            Known::Absent => false,
            Known::Unknown(_) => true,
        }
    }
}

fn accepted(facts: &Facts, root: &RootFacts) -> bool {
    facts.words.accept_root.as_ref() == Some(&root.disk.root)
}

fn root_reasons(
    facts: &Facts,
    claims: &Claims,
    root: &RootFacts,
    dirs: &BTreeMap<VolumeKey, &DirFacts>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    belongs(facts, root, &mut reasons);
    match &root.mount {
        Known::Absent => {
            reasons.push(Refusal::NotMounted.into());
            return reasons;
        }
        Known::Unknown(why) => {
            reasons.push(Reason::new(Refusal::NotMounted, why.to_string()));
            return reasons;
        }
        Known::Known(mount) => {
            if mount.network {
                reasons.push(Reason::new(
                    Refusal::NetworkFilesystem,
                    format!("{} is {}", root.disk.root, mount.fs_type),
                ));
            }
            reasons.extend(trip::failure(mount));
            if mount.read_only {
                reasons.push(Refusal::ReadOnly.into());
            }
            if root.kind() == DiskType::Mount && !mount.is_mount_point {
                reasons.push(Reason::new(
                    Refusal::NotMounted,
                    format!("{} is not a mount point", root.disk.root),
                ));
            }
            other_agents(facts, mount, &mut reasons);
        }
    }
    match &root.view {
        AgentView::Same => {}
        AgentView::NoAgent => {
            if let Some(pid) = our_agents(&facts.agent).first() {
                reasons.push(Reason::new(
                    Refusal::OtherView,
                    format!("what the agent (pid {pid}) sees there was not compared"),
                ));
            }
        }
        AgentView::Other(what) | AgentView::Unknown(what) => {
            reasons.push(Reason::new(Refusal::OtherView, what.clone()));
        }
    }
    fingerprint(facts, claims, root, dirs, &mut reasons);
    reasons
}

/// Agents that are not known to be ours must have nothing on this file system.
fn other_agents(facts: &Facts, mount: &RootMount, reasons: &mut Vec<Reason>) {
    for process in facts.agent.processes.known().into_iter().flatten() {
        let AgentProcess {
            pid,
            ours,
            roots,
            filesystems,
            ..
        } = process;
        let uses = match (roots, filesystems) {
            (Known::Absent, Known::Absent) if *ours => continue,
            (_, Known::Known(devices)) if !devices.contains(&mount.device) => continue,
            (_, Known::Known(_)) => "uses this file system as well".to_owned(),
            (_, Known::Absent) => "may use this file system as well".to_owned(),
            (_, Known::Unknown(why)) => format!("may use this file system as well: {why}"),
        };
        reasons.push(Reason::new(
            Refusal::OtherView,
            format!("an agent (pid {pid}) {uses}"),
        ));
    }
}

/// Only roots that this agent is known to use: `foreign_root`.
fn belongs(facts: &Facts, root: &RootFacts, reasons: &mut Vec<Reason>) {
    let latest = match &facts.agent.latest {
        Known::Known(_) => None,
        Known::Absent => Some(format!(
            "{} has no meta/slaves/latest",
            facts.agent.work_dir
        )),
        Known::Unknown(why) => Some(why.to_string()),
    };
    if let Some(detail) = latest {
        reasons.push(Reason::new(Refusal::ForeignRoot, detail));
        return;
    }
    let named = root.named_by.iter().any(|witness| match witness {
        RootWitness::SlaveInfo | RootWitness::Checkpoint | RootWitness::Flags => true,
        RootWitness::Config | RootWitness::Ledger => false,
    });
    match root.kind() {
        DiskType::Root if root.disk.root == facts.agent.work_dir => {}
        // The ledger remembers the ROOT of an earlier work_dir. Its own checkpoint may name what
        // lies there, and nobody reads that.
        DiskType::Root => reasons.push(Reason::new(
            Refusal::ForeignRoot,
            format!("the work_dir is {} now", facts.agent.work_dir),
        )),
        DiskType::Path | DiskType::Mount => {
            if !named {
                reasons.push(Reason::new(
                    Refusal::ForeignRoot,
                    format!(
                        "neither slave.info nor checkpoint nor flags name {}",
                        root.disk.root
                    ),
                ));
            }
        }
    }
}

/// A disk is its file system: law 11.
fn fingerprint(
    facts: &Facts,
    claims: &Claims,
    root: &RootFacts,
    dirs: &BTreeMap<VolumeKey, &DirFacts>,
    reasons: &mut Vec<Reason>,
) {
    let present = match &root.filesystem.present {
        Known::Known(present) => present,
        Known::Absent => {
            reasons.push(Refusal::NoIdentity.into());
            return;
        }
        Known::Unknown(why) => {
            reasons.push(Reason::new(Refusal::NoIdentity, why.to_string()));
            return;
        }
    };
    // A ledger that can't be read can't take the word down either.
    if let Known::Unknown(why) = &root.filesystem.ledger {
        reasons.push(Reason::new(Refusal::FingerprintMismatch, why.to_string()));
        return;
    }
    if accepted(facts, root) {
        return;
    }
    if let Some(said) = trip::root_shrunk(facts, root) {
        reasons.push(Reason::new(Refusal::FilesystemShrunk, said));
    }
    match &root.filesystem.ledger {
        Known::Known(known) => {
            if known.filesystem != present.filesystem {
                reasons.push(Reason::new(
                    Refusal::FingerprintMismatch,
                    format!(
                        "{} was {} {}, now {} {} is mounted there",
                        root.disk.root,
                        known.fs_type,
                        known.filesystem,
                        present.fs_type,
                        present.filesystem
                    ),
                ));
            } else if known.directory != present.directory {
                reasons.push(Reason::new(
                    Refusal::FingerprintMismatch,
                    format!(
                        "{} is another directory of the same file system",
                        root.disk.root
                    ),
                ));
            }
        }
        Known::Absent if !claims.doubts.is_empty() => reasons.push(Reason::new(
            Refusal::RootUnverified,
            "first met while it can't be told which volumes belong there".to_owned(),
        )),
        Known::Absent => {
            let missing: Vec<String> = claims
                .on(&root.disk)
                .filter(|(key, claim)| {
                    root.kind() != DiskType::Mount
                        && claim.homes().contains(&root.disk)
                        && dirs
                            .get(key)
                            .is_none_or(|dir| dir.kind != FileKind::Directory)
                })
                .map(|(key, _)| key.to_string())
                .collect();
            if let Some(first) = missing.first() {
                let more = match missing.len() {
                    0 | 1 => String::new(),
                    n => format!(" and {} more", n.saturating_sub(1)),
                };
                reasons.push(Reason::new(
                    Refusal::RootUnverified,
                    format!("first met without the directory of {first}{more}"),
                ));
            }
        }
        Known::Unknown(_) => {}
    }
    match &root.filesystem.marker {
        Known::Known(marker) if *marker != present.filesystem => {
            reasons.push(Reason::new(
                Refusal::FingerprintMismatch,
                format!(
                    "the marker on {} is of file system {marker}",
                    root.disk.root
                ),
            ));
        }
        Known::Unknown(why) => {
            reasons.push(Reason::new(Refusal::FingerprintMismatch, why.to_string()));
        }
        Known::Known(_) => {
            if let Some(said) = trip::marker_of_another(facts, root) {
                reasons.push(Reason::new(
                    Refusal::FingerprintMismatch,
                    format!("{said}: a disk that was moved, or a copy of it"),
                ));
            }
        }
        Known::Absent => {}
    }
}
