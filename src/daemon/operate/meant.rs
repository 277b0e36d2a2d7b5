//! What an ask means on this host: the volume, the entries, the promise. Each must be there, and be able
//! to be kept, before anything is done.

use super::{OperateError, Purge, Wipe};
use crate::act::sys::Sys as _;
use crate::act::wipe::promise;
use crate::daemon::host::Shared;
use crate::daemon::observer::Observer;
use crate::daemon::operator;
use crate::daemon::pass::look;
use crate::decide::facts::{Facts, Words};
use crate::decide::guards::Refusal;
use crate::decide::listing::{self, VolumeState};
use crate::decide::steps::TrashId;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::units::Raw;

impl Purge {
    /// The entries that are meant; each must be there.
    pub(super) fn named(&self, observer: &Observer) -> Result<Vec<TrashId>, OperateError> {
        if self.all != self.entries.is_empty() {
            return Err(OperateError::Usage(
                "name the entries to purge, or --all (`\"all\": true`)".to_owned(),
            ));
        }
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let known: Vec<TrashId> = listing::trash(&facts, checked.plan())
            .into_iter()
            .map(|item| item.id)
            .collect();
        if self.all {
            return match operator::unseen(&facts).first() {
                None => Ok(known),
                Some(why) => Err(OperateError::Refused(format!("{why}; nothing was purged"))),
            };
        }
        let named: Vec<TrashId> = self.entries.iter().cloned().map(TrashId).collect();
        match named.iter().find(|id| !known.contains(id)) {
            None => Ok(named),
            Some(id) => Err(OperateError::Missing(format!(
                "there is no trash entry {}; see `mesos-volumed trash list`",
                Raw::from(id.0.as_str())
            ))),
        }
    }
}

pub(super) fn named(volume: &str) -> Result<VolumeKey, OperateError> {
    VolumeKey::named(volume).ok_or_else(|| {
        OperateError::Usage(format!(
            "`{}` is no volume: write role/persistence-id, as `volumes list` shows it",
            Raw::from(volume)
        ))
    })
}

/// The most dangerous verbs ask for the id a second time.
///
/// # Errors
/// Where it is another one.
pub fn confirmed(key: &VolumeKey, confirm: &str) -> Result<(), OperateError> {
    if key.id.as_raw().as_bytes() == confirm.as_bytes() {
        return Ok(());
    }
    Err(OperateError::Refused(format!(
        "not_confirmed: --confirm {} is not the persistence id of {key}; nothing was done",
        Raw::from(confirm)
    )))
}

impl Wipe {
    /// What it means, and what was observed for that, where planning from it is not too late.
    pub(super) fn words(
        &self,
        observer: &Observer,
        shared: &Shared,
    ) -> Result<(Words, Option<Facts>), OperateError> {
        let (key, disk, facts) = self.find(observer)?;
        confirmed(&key, &self.confirm)?;
        let words = Words {
            wipe: Some(key.clone()),
            wipe_root: disk.map(|disk| disk.root),
            mode: self.mode,
            strict: self.strict,
            ..Words::default()
        };
        // Directories that were looked into take as long as they are large.
        let seen = match promised(&key, &words, observer, shared)? {
            Looked::No => Some(facts),
            Looked::Into => None,
        };
        Ok((words, seen))
    }

    /// The volume that is meant, which must be on this host, the MOUNT disk that was named for it, and
    /// the facts that show it.
    fn find(
        &self,
        observer: &Observer,
    ) -> Result<(VolumeKey, Option<DiskRef>, Facts), OperateError> {
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let rows = listing::volumes(&facts, checked.plan());
        // What a volume left on a MOUNT disk has no directory, and no row.
        let left = checked.plan().kept.iter().filter(|kept| {
            kept.trash.is_none() && kept.disk.kind == DiskType::Mount && kept.path == kept.disk.root
        });
        let left = left.filter_map(|kept| Some((kept.volume.as_ref()?, &kept.path, &kept.disk)));
        let listed = rows
            .iter()
            .filter_map(|row| Some((row.key.as_ref()?, &row.path, row.disk.as_ref()?)));
        let all: Vec<(&VolumeKey, &Raw, &DiskRef)> = listed.chain(left).collect();
        let volume = self.volume.as_str();
        let is_path = volume.starts_with('/');
        let found = if is_path {
            let path = Raw::from(volume.trim_end_matches('/'));
            let there = || all.iter().filter(|(_, at, _)| **at == path);
            // Several may have been on one MOUNT disk: the id tells which.
            let meant = there().find(|(key, ..)| confirmed(key, &self.confirm).is_ok());
            meant.or_else(|| there().next()).map(|(key, _, disk)| {
                let mount = (disk.kind == DiskType::Mount && disk.root == path).then_some(*disk);
                ((*key).clone(), mount.cloned())
            })
        } else {
            VolumeKey::named(volume)
                .filter(|key| {
                    rows.iter().any(|row| row.key.as_ref() == Some(key))
                        || all.iter().any(|(one, ..)| *one == key)
                })
                .map(|key| (key, None))
        };
        let (key, disk) = found.ok_or_else(|| {
            let code = if is_path {
                format!("{}: ", Refusal::NotAVolumePath)
            } else {
                "no_such_volume: ".to_owned()
            };
            OperateError::Refused(format!(
                "{code}there is no volume {} on this host, and nothing was touched; see \
                 `mesos-volumed volumes list`. A MOUNT disk whose volume was never seen held is \
                 nobody's garbage (its data may be there on purpose)",
                Raw::from(volume)
            ))
        })?;
        Ok((key, disk, facts))
    }
}

/// Whether directories were looked into, which takes as long as they are large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    No,
    Into,
}

/// Under --strict nothing is even moved to the trash where the mode can't keep its promise.
fn promised(
    key: &VolumeKey,
    words: &Words,
    observer: &Observer,
    shared: &Shared,
) -> Result<Looked, OperateError> {
    let policy = observer.policy();
    let kinds = [DiskType::Root, DiskType::Path, DiskType::Mount];
    let method = |kind| {
        words
            .method(key, kind, &policy)
            .unwrap_or_else(|| policy.method(kind))
    };
    // Without it nothing is refused here, and nothing has to be looked at.
    if !kinds.into_iter().any(|kind| method(kind).strict) {
        return Ok(Looked::No);
    }
    let (facts, checked) = look(&mut || observer.facts(words))?;
    for row in listing::volumes(&facts, checked.plan()) {
        // What is held, or not there, is refused by the pass.
        let (Some(disk), VolumeState::Orphan | VolumeState::Destroyed) = (&row.disk, row.state)
        else {
            continue;
        };
        if row.key.as_ref() != Some(key) {
            continue;
        }
        let method = method(disk.kind);
        if !method.strict {
            continue;
        }
        let kernel = shared.desk.sys.as_ref();
        // What can't be opened is refused by the pass, with its reason.
        let Ok(dir) = kernel.open_root(row.path.as_path()) else {
            continue;
        };
        let control = shared.pace.control();
        if let Err(broken) = promise(kernel, &dir, method, &control) {
            let code = Refusal::ModeRefused;
            return Err(OperateError::Refused(format!(
                "{key} was not touched: {code}: {} can't keep its promise for {broken}; {}",
                method.mode,
                code.remedy()
            )));
        }
    }
    Ok(Looked::Into)
}
