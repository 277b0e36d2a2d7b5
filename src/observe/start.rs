//! What an agent would meet if it started now: its files, its disks, and what it would delete.
//!
//! Everything is looked at and nothing is made. Paths are followed step by step with the mount
//! table at hand, so that no network or FUSE file system is ever asked.

mod roots;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checkpoints::{Committed, WorkDirError, observe_committed};
use super::files::{self, EntryKind, Stamp};
use super::mountinfo::{self, MountinfoError};
use super::places::Places;
use super::read;
use super::walk::{Viewpoint, WalkError};
use super::{clock, disks};
use crate::decide::facts::{
    AgentRun, CheckpointFacts, CheckpointFile, Detected, Known, LatestAgent, MountTable, RootLook,
    StartFacts, TouchedVolume, VolumeLook, Why,
};
use crate::mesos::agent_info::AgentInfo;
use crate::mesos::checkpoint::{
    self, Content, DecodeError, decode_agent_info, decode_info, decode_state,
};
use crate::mesos::paths;
use crate::units::{Bytes, Raw, chain};

/// Why a start can't be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The work_dir.
    #[error(transparent)]
    WorkDir(#[from] WorkDirError),
    /// Our own mount table.
    #[error("what is mounted on this host can't be told")]
    Mounts(#[from] MountinfoError),
    /// Our own root directory.
    #[error("paths of this host can't be followed: {0}")]
    Root(String),
}

impl From<WalkError> for StartError {
    fn from(error: WalkError) -> Self {
        Self::Root(chain(&error))
    }
}

/// The agent's files. Roots and volumes are looked at with a [`Looker`].
pub fn files(places: &Places, work_dir: &Raw) -> Result<StartFacts, StartError> {
    let mut facts = match observe_committed(work_dir.as_path()) {
        Ok(committed) => of_committed(work_dir, committed),
        // An agent makes its work_dir.
        Err(WorkDirError::Missing { .. }) => nothing(work_dir),
        Err(error) => return Err(error.into()),
    };
    facts.host_boot = match clock::now(places) {
        Ok(now) => Known::Known(Raw::from(now.boot_id)),
        Err(error) => Known::unknown(chain(&error)),
    };
    facts.detected.cpus = cpus(places);
    facts.detected.memory = memory(places);
    Ok(facts)
}

/// A host on which no agent ever ran.
fn nothing(work_dir: &Raw) -> StartFacts {
    StartFacts {
        work_dir: work_dir.clone(),
        meta: Known::Absent,
        checkpoint: CheckpointFacts {
            state_target: CheckpointFile::Missing,
            state: CheckpointFile::Missing,
            info_target: CheckpointFile::Missing,
            info: CheckpointFile::Missing,
        },
        unreadable: BTreeMap::new(),
        latest: LatestAgent::Missing { earlier: false },
        info: CheckpointFile::Missing,
        agent_boot: Known::Absent,
        host_boot: Known::Absent,
        roots: BTreeMap::new(),
        volumes: BTreeMap::new(),
        detected: Detected {
            cpus: Known::unknown("it was not looked at"),
            memory: Known::unknown("it was not looked at"),
            disk: Known::unknown("it was not looked at"),
        },
    }
}

fn of_committed(work_dir: &Raw, committed: Committed) -> StartFacts {
    let mut unreadable = BTreeMap::new();
    let files = &committed.checkpoint;
    let mut damaged = |is_damaged: bool, name: &str, words: fn(&[u8]) -> Option<String>| {
        if is_damaged && let Some(words) = agent_words(&work_dir.join(name), words) {
            unreadable.insert(name.to_owned(), words);
        }
    };
    damaged(is_damaged(&files.state), paths::STATE, of_state);
    damaged(
        is_damaged(&files.state_target),
        paths::STATE_TARGET,
        of_state,
    );
    damaged(is_damaged(&files.info), paths::INFO, of_resources);
    damaged(
        is_damaged(&files.info_target),
        paths::INFO_TARGET,
        of_resources,
    );
    let latest = latest(work_dir, &committed.latest);
    let info = agent_info(work_dir, &latest, &mut unreadable);
    StartFacts {
        meta: exists(&work_dir.join("meta")),
        checkpoint: committed.checkpoint,
        unreadable,
        latest,
        info,
        agent_boot: committed.run.map(|run: AgentRun| run.boot_id),
        ..nothing(work_dir)
    }
}

fn is_damaged<T>(file: &CheckpointFile<T>) -> bool {
    match file {
        CheckpointFile::Damaged(_) => true,
        CheckpointFile::Whole(_) | CheckpointFile::Missing | CheckpointFile::Empty => false,
    }
}

fn words<T>(decoded: Result<T, DecodeError>) -> Option<String> {
    decoded.err().and_then(|error| error.agent_words())
}

fn of_state(bytes: &[u8]) -> Option<String> {
    words(decode_state(bytes))
}

fn of_resources(bytes: &[u8]) -> Option<String> {
    words(decode_info(bytes))
}

/// What an agent says of a file that we can't trust, where we know that it can't read it either.
fn agent_words(path: &Raw, words: fn(&[u8]) -> Option<String>) -> Option<String> {
    match files::read(path.as_path(), checkpoint::MAX_FILE_BYTES) {
        Ok(Some(read)) => words(&read.bytes),
        Ok(None) | Err(_) => None,
    }
}

fn exists(path: &Raw) -> Known<()> {
    match Stamp::of(path.as_path()) {
        Stamp::There { .. } => Known::Known(()),
        Stamp::Absent => Known::Absent,
        Stamp::Failed(kind) => Known::unknown(format!("{path} can't be looked at: {kind}")),
    }
}

fn latest(work_dir: &Raw, link: &Known<Raw>) -> LatestAgent {
    match link {
        Known::Unknown(why) => LatestAgent::Unknown(why.clone()),
        Known::Absent => match files::list(work_dir.join(paths::SLAVES).as_path()) {
            Ok(found) => LatestAgent::Missing {
                earlier: found
                    .iter()
                    .flatten()
                    .any(|entry| entry.kind == EntryKind::Directory),
            },
            Err(error) => LatestAgent::Unknown(Why(chain(&error))),
        },
        Known::Known(id) => match std::fs::metadata(work_dir.join(paths::LATEST).as_path()) {
            Ok(_) => LatestAgent::Id(id.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => LatestAgent::Dangling,
            Err(error) => LatestAgent::Unknown(Why(format!(
                "{} can't be followed: {error}",
                work_dir.join(paths::LATEST)
            ))),
        },
    }
}

fn agent_info(
    work_dir: &Raw,
    latest: &LatestAgent,
    unreadable: &mut BTreeMap<String, String>,
) -> CheckpointFile<AgentInfo> {
    let LatestAgent::Id(id) = latest else {
        return CheckpointFile::Missing;
    };
    let path = work_dir.join(paths::SLAVES).join(id).join("slave.info");
    let read = match files::read(path.as_path(), checkpoint::MAX_FILE_BYTES) {
        Ok(Some(read)) => read,
        Ok(None) => return CheckpointFile::Missing,
        Err(error) => return CheckpointFile::Damaged(Why(chain(&error))),
    };
    match decode_agent_info(&read.bytes) {
        Ok(Content::Whole(info)) => CheckpointFile::Whole(info),
        Ok(Content::Empty) => CheckpointFile::Empty,
        Err(error) => {
            if let Some(words) = error.agent_words() {
                unreadable.insert("slave.info".to_owned(), words);
            }
            CheckpointFile::Damaged(Why(chain(&error)))
        }
    }
}

/// Processors that are online, as glibc counts them: ranges such as `0-3,5`.
fn cpus(places: &Places) -> Known<u32> {
    let path = places.sys.join("devices/system/cpu/online");
    let count = |text: &[u8]| -> Option<u32> {
        let text = std::str::from_utf8(text).ok()?.trim();
        text.split(',').try_fold(0_u32, |sum, range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
        })
    };
    match read::whole(&path, 1 << 16) {
        Ok(bytes) => count(&bytes).map_or_else(
            || Known::unknown(format!("{path} has another form")),
            Known::Known,
        ),
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// Main memory: `MemTotal` of proc_meminfo(5), which is what `sysinfo(2)` gives.
fn memory(places: &Places) -> Known<Bytes> {
    let path = places.proc.join("meminfo");
    let total = |text: &[u8]| -> Option<Bytes> {
        let text = std::str::from_utf8(text).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024).map(Bytes)
    };
    match read::whole(&path, 1 << 20) {
        Ok(bytes) => total(&bytes).map_or_else(
            || Known::unknown(format!("{path} has another form")),
            Known::Known,
        ),
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// Looks at paths of this host.
#[derive(Debug)]
pub struct Looker {
    view: Arc<Viewpoint>,
    /// Active swap: devices and files.
    swaps: Known<Vec<Raw>>,
}

impl Looker {
    /// With the mounts that this process sees.
    pub fn new(places: &Places) -> Result<Self, StartError> {
        let table = MountTable::new(mountinfo::read_self()?);
        Ok(Self {
            view: Arc::new(Viewpoint::own(table)?),
            swaps: match disks::swaps(places.proc.join("swaps").as_path()) {
                Ok(swaps) => Known::Known(swaps),
                Err(error) => Known::unknown(chain(&error)),
            },
        })
    }

    /// What lies at each of these roots. Relative ones are resolved from `directory`.
    #[must_use]
    pub fn roots(&self, roots: &[Raw], directory: &Known<Raw>) -> BTreeMap<Raw, RootLook> {
        roots::look(&self.view, roots, directory)
    }

    /// What lies at each of these directories of volumes, and what keeps it from being deleted.
    #[must_use]
    pub fn volumes(&self, volumes: &[TouchedVolume]) -> BTreeMap<Raw, VolumeLook> {
        volumes::look(&self.view, volumes, &self.swaps, volumes::Limits::default())
    }
}

/// The size of the work_dir's file system, which an agent asks for by `statvfs`.
#[must_use]
pub fn detected_disk(work_dir: &RootLook) -> Known<Bytes> {
    match (&work_dir.real, &work_dir.filesystem) {
        (Known::Known(_), Known::Known(filesystem)) => filesystem.total.clone(),
        (Known::Known(_), Known::Absent) => Known::Absent,
        (Known::Known(_), Known::Unknown(why)) | (Known::Unknown(why), _) => {
            Known::Unknown(why.clone())
        }
        (Known::Absent, _) => Known::unknown("the work_dir is not there yet"),
    }
}

#[cfg(test)]
mod tests;
