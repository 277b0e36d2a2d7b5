//! The agent's files below `meta`: what it holds, what it was started with, and which life it is in.
//!
//! Order (law 4): what tasks and resource providers hold first, then each target before its
//! committed file. A volume moves from a target to its committed file by one rename, so it is seen
//! in one of both. All of them are read again when any was replaced meanwhile, `boot_id` included:
//! what is taken for one agent run must be of one.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::files::{self, Entry, EntryKind, FileError, Stamp};
use crate::decide::facts::{
    AgentRun, CheckpointFacts, CheckpointFile, Known, ProviderState, SlaveInfo, TaskUse, Why,
};
use crate::mesos::checkpoint::{self, Content, DecodeError};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::mesos::resource::Resource;
use crate::mesos::state::Launched;
use crate::units::{Raw, chain};

/// Everything that the agent's files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// The four checkpoint files.
    pub checkpoint: CheckpointFacts,
    /// Every `resource_provider.state`. `Absent`: there is no `meta/slaves`.
    pub providers: Known<Vec<ProviderState>>,
    /// Every task and executor of a run that has not ended, with its volumes. `Absent`: there is
    /// no `meta/slaves`.
    pub tasks: Known<Vec<TaskUse>>,
    /// The agent id that `meta/slaves/latest` names.
    pub latest: Known<Raw>,
    /// That agent's `slave.info`.
    pub slave_info: Known<SlaveInfo>,
    /// The agent's present or last life.
    pub run: Known<AgentRun>,
}

/// Why a path can't be a work_dir.
#[derive(Debug, thiserror::Error)]
pub enum WorkDirError {
    /// It is relative.
    #[error(
        "agent.work_dir `{work_dir}` is not absolute; write the agent's --work_dir from the root on"
    )]
    NotAbsolute {
        /// The path.
        work_dir: Raw,
    },
    /// It is not there.
    #[error(
        "agent.work_dir {work_dir} does not exist; give the agent's --work_dir, or mount its disk"
    )]
    Missing {
        /// The path.
        work_dir: Raw,
    },
    /// It is something else.
    #[error("agent.work_dir {work_dir} is no directory; give the agent's --work_dir")]
    NotADirectory {
        /// The path.
        work_dir: Raw,
    },
    /// It can't be looked at.
    #[error("can't look at agent.work_dir {work_dir}; run as root")]
    Unreadable {
        /// The path.
        work_dir: Raw,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// How often files that change under the reader are read again.
const ATTEMPTS: u32 = 10;
/// How long to wait before that; an agent's checkpoint takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
/// Why a file is not believed that changed in every attempt.
const RESTLESS: &str = "changes faster than it can be read";

/// Reads everything that the agent's files say. An error only where there is no work_dir at all;
/// whatever can't be read below it is damaged or unknown, with a reason. Blocks for a fifth of a
/// second or so where the agent writes without pause.
pub fn observe_authorities(work_dir: &Path) -> Result<Authorities, WorkDirError> {
    check_work_dir(work_dir)?;
    let meta = Meta {
        work_dir: work_dir.to_path_buf(),
    };
    let providers = meta.settled(Meta::providers);
    let tasks = meta.settled(Meta::tasks);
    let core = meta.core(|| meta.core_once(), || thread::sleep(PAUSE));
    Ok(Authorities {
        checkpoint: core.checkpoint,
        providers,
        tasks,
        latest: core.latest,
        slave_info: core.slave_info,
        run: core.run,
    })
}

/// What an agent recovers from, without what its tasks and resource providers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The four checkpoint files.
    pub checkpoint: CheckpointFacts,
    /// The agent id that `meta/slaves/latest` names.
    pub latest: Known<Raw>,
    /// The agent's present or last life.
    pub run: Known<AgentRun>,
}

/// Reads what an agent recovers from, as [`observe_authorities`] reads it.
pub fn observe_committed(work_dir: &Path) -> Result<Committed, WorkDirError> {
    check_work_dir(work_dir)?;
    let meta = Meta {
        work_dir: work_dir.to_path_buf(),
    };
    let core = meta.core(|| meta.core_once(), || thread::sleep(PAUSE));
    Ok(Committed {
        checkpoint: core.checkpoint,
        latest: core.latest,
        run: core.run,
    })
}

fn check_work_dir(path: &Path) -> Result<(), WorkDirError> {
    let work_dir = Raw::from(path);
    if !path.is_absolute() {
        return Err(WorkDirError::NotAbsolute { work_dir });
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(WorkDirError::NotADirectory { work_dir }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(WorkDirError::Missing { work_dir })
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(WorkDirError::NotADirectory { work_dir })
        }
        Err(source) => Err(WorkDirError::Unreadable { work_dir, source }),
    }
}

/// What is read together, and again when any of it changed.
struct Core {
    checkpoint: CheckpointFacts,
    latest: Known<Raw>,
    slave_info: Known<SlaveInfo>,
    run: Known<AgentRun>,
}

/// Why a walk below `meta/slaves` did not end.
#[derive(Debug, thiserror::Error)]
enum WalkError {
    /// Something that was listed is gone: the agent works there.
    #[error("{0} went while it was looked at")]
    Gone(Raw),
    #[error(transparent)]
    File(#[from] FileError),
    /// An entry of a type that Mesos does not make there.
    #[error("{0} is neither what Mesos makes there nor a link called `latest`")]
    Strange(Raw),
    /// A file that can't be trusted.
    #[error("{file} can't be trusted")]
    Damaged {
        file: Raw,
        #[source]
        source: DecodeError,
    },
    /// A lost write.
    #[error("{0} is empty, which a lost write leaves behind")]
    Empty(Raw),
}

struct Meta {
    work_dir: PathBuf,
}

impl Meta {
    fn at(&self, relative: &str) -> PathBuf {
        self.work_dir.join(relative)
    }

    /// What lies at `path`, relative to the work_dir: the name that reasons and facts use.
    fn name(&self, path: &Path) -> Raw {
        let path = Raw::from(path);
        match path.below(&Raw::from(self.work_dir.as_path())) {
            Some(below) => Raw::from(below),
            None => path,
        }
    }

    /// The core files, read until none of them changed while the others were read.
    fn core(&self, mut read: impl FnMut() -> Core, mut pause: impl FnMut()) -> Core {
        let mut attempt = 1;
        loop {
            let before = self.stamps();
            let mut core = read();
            let after = self.stamps();
            if before == after {
                return core;
            }
            if attempt == ATTEMPTS {
                distrust(&mut core, &before, &after);
                return core;
            }
            attempt = attempt.saturating_add(1);
            pause();
        }
    }

    fn stamps(&self) -> Stamps {
        Stamps {
            boot_id: Stamp::of(&self.at(paths::BOOT_ID)),
            state_target: Stamp::of(&self.at(paths::STATE_TARGET)),
            state: Stamp::of(&self.at(paths::STATE)),
            info_target: Stamp::of(&self.at(paths::INFO_TARGET)),
            info: Stamp::of(&self.at(paths::INFO)),
            latest: Stamp::of(&self.at(paths::LATEST)),
        }
    }

    fn core_once(&self) -> Core {
        let run = self.run();
        let checkpoint = CheckpointFacts {
            state_target: self.checkpoint(paths::STATE_TARGET, checkpoint::decode_state),
            state: self.checkpoint(paths::STATE, checkpoint::decode_state),
            info_target: self.checkpoint(paths::INFO_TARGET, checkpoint::decode_info),
            info: self.checkpoint(paths::INFO, checkpoint::decode_info),
        };
        let latest = self.latest();
        let slave_info = match &latest {
            Known::Known(id) => self.slave_info(id),
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why.clone()),
        };
        Core {
            checkpoint,
            latest,
            slave_info,
            run,
        }
    }

    fn checkpoint<T>(
        &self,
        relative: &str,
        decode: impl FnOnce(&[u8]) -> Result<Content<T>, DecodeError>,
    ) -> CheckpointFile<T> {
        let read = match files::read(&self.at(relative), checkpoint::MAX_FILE_BYTES) {
            Ok(Some(read)) => read,
            Ok(None) => return CheckpointFile::Missing,
            Err(error) => return CheckpointFile::Damaged(Why(chain(&error))),
        };
        match decode(&read.bytes) {
            Ok(Content::Whole(content)) => CheckpointFile::Whole(content),
            Ok(Content::Empty) => CheckpointFile::Empty,
            Err(error) => CheckpointFile::Damaged(Why(format!("{relative}: {}", chain(&error)))),
        }
    }

    fn run(&self) -> Known<AgentRun> {
        match files::read(&self.at(paths::BOOT_ID), 4096) {
            Ok(Some(read)) => Known::Known(AgentRun {
                boot_id: Raw::from(read.bytes.trim_ascii()),
                inode: read.inode,
                mtime_nanos: read.modified_nanos,
            }),
            Ok(None) => Known::Absent,
            Err(error) => Known::unknown(chain(&error)),
        }
    }

    /// The last component of what `latest` links to; the link may be absolute, relative, dangling.
    fn latest(&self) -> Known<Raw> {
        let path = self.at(paths::LATEST);
        let target = match std::fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Known::Absent,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Known::unknown(format!("{} is no symbolic link", paths::LATEST));
            }
            Err(error) => {
                return Known::unknown(format!("can't read {}: {error}", paths::LATEST));
            }
        };
        match target.components().next_back() {
            Some(Component::Normal(id)) => Known::Known(Raw::from(id)),
            Some(
                Component::CurDir
                | Component::ParentDir
                | Component::RootDir
                | Component::Prefix(_),
            )
            | None => Known::unknown(format!(
                "{} links to {}, which is no agent's folder",
                paths::LATEST,
                Raw::from(target)
            )),
        }
    }

    fn slave_info(&self, id: &Raw) -> Known<SlaveInfo> {
        let path = self
            .at(paths::SLAVES)
            .join(id.as_os_str())
            .join("slave.info");
        match self.decoded(&path, checkpoint::decode_slave_info) {
            Ok(Some(info)) => Known::Known(info),
            // The agent died before its first registration.
            Ok(None) => Known::Absent,
            Err(error) => Known::unknown(chain(&error)),
        }
    }

    /// A file of one message; `None` when it is not there.
    fn decoded<T>(
        &self,
        path: &Path,
        decode: impl FnOnce(&[u8]) -> Result<Content<T>, DecodeError>,
    ) -> Result<Option<T>, WalkError> {
        let Some(read) = files::read(path, checkpoint::MAX_FILE_BYTES)? else {
            return Ok(None);
        };
        match decode(&read.bytes) {
            Ok(Content::Whole(content)) => Ok(Some(content)),
            Ok(Content::Empty) => Err(WalkError::Empty(self.name(path))),
            Err(source) => Err(WalkError::Damaged {
                file: self.name(path),
                source,
            }),
        }
    }

    /// What a walk finds, once nothing went away under it. `Absent` without `meta/slaves`.
    fn settled<T>(&self, walk: impl Fn(&Self) -> Result<Option<T>, WalkError>) -> Known<T> {
        let mut attempt = 1;
        loop {
            match walk(self) {
                Ok(Some(found)) => return Known::Known(found),
                Ok(None) => return Known::Absent,
                Err(WalkError::Gone(path)) if attempt == ATTEMPTS => {
                    return Known::unknown(format!("{path} {RESTLESS}"));
                }
                Err(WalkError::Gone(_)) => {
                    attempt = attempt.saturating_add(1);
                    thread::sleep(PAUSE);
                }
                Err(error) => return Known::unknown(chain(&error)),
            }
        }
    }

    /// The folders in `path`; none when it is not there. Links called `latest` and plain files are
    /// passed over, anything else is an error: a folder that is a link could hide volumes.
    fn folders(&self, path: &Path) -> Result<Vec<Entry>, WalkError> {
        let mut folders = Vec::new();
        for entry in files::list(path)?.into_iter().flatten() {
            match entry.kind {
                EntryKind::Directory => folders.push(entry),
                EntryKind::File => {}
                EntryKind::Link if entry.name.as_bytes() == b"latest" => {}
                EntryKind::Link | EntryKind::Other => {
                    return Err(WalkError::Strange(self.name(&entry.path)));
                }
            }
        }
        Ok(folders)
    }

    /// The folders of all agent ids; `None` without `meta/slaves`.
    fn agents(&self) -> Result<Option<Vec<Entry>>, WalkError> {
        let slaves = self.at(paths::SLAVES);
        if Stamp::of(&slaves) == Stamp::Absent {
            return Ok(None);
        }
        self.folders(&slaves).map(Some)
    }

    /// `slaves/<agent>/resource_providers/<type>/<name>/<id>/resource_provider.state`.
    fn providers(&self) -> Result<Option<Vec<ProviderState>>, WalkError> {
        let Some(agents) = self.agents()? else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for agent in agents {
            for kind in self.folders(&agent.path.join("resource_providers"))? {
                for name in self.folders(&kind.path)? {
                    for provider in self.folders(&name.path)? {
                        let path = provider.path.join("resource_provider.state");
                        // Not there before the provider's first checkpoint.
                        if let Some(content) =
                            self.decoded(&path, checkpoint::decode_provider_state)?
                        {
                            found.push(ProviderState {
                                file: self.name(&path),
                                content,
                            });
                        }
                    }
                }
            }
        }
        Ok(Some(found))
    }

    /// `slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>/tasks/<task>/
    /// task.info` of every run without `executor.sentinel`, and the `executor.info` above it.
    fn tasks(&self) -> Result<Option<Vec<TaskUse>>, WalkError> {
        let Some(agents) = self.agents()? else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for agent in agents {
            for framework in self.folders(&agent.path.join("frameworks"))? {
                for executor in self.folders(&framework.path.join("executors"))? {
                    self.executor(&executor, &framework.name, &mut found)?;
                }
            }
        }
        Ok(Some(found))
    }

    fn executor(
        &self,
        executor: &Entry,
        framework: &Raw,
        found: &mut Vec<TaskUse>,
    ) -> Result<(), WalkError> {
        let mut live = false;
        for run in self.folders(&executor.path.join("runs"))? {
            match Stamp::of(&run.path.join("executor.sentinel")) {
                Stamp::There { .. } => continue,
                // A run whose sentinel can't be looked at is taken for one that has not ended.
                Stamp::Absent | Stamp::Failed(_) => live = true,
            }
            for task in self.folders(&run.path.join("tasks"))? {
                // The agent writes task.info before it hands the task on; without it none runs.
                let path = task.path.join("task.info");
                if let Some(info) = self.decoded(&path, checkpoint::decode_task_info)? {
                    found.push(task_use(info, framework));
                }
            }
            // A run that ended and was collected meanwhile would look like one without tasks.
            if Stamp::of(&run.path) == Stamp::Absent {
                return Err(WalkError::Gone(self.name(&run.path)));
            }
        }
        if live {
            let path = executor.path.join("executor.info");
            if let Some(info) = self.decoded(&path, checkpoint::decode_executor_info)? {
                let holder = task_use(info, framework);
                if !holder.volumes.is_empty() {
                    found.push(holder);
                }
            }
        }
        Ok(())
    }
}

fn task_use(launched: Launched, framework: &Raw) -> TaskUse {
    let volumes: BTreeSet<VolumeKey> = launched
        .resources
        .iter()
        .filter_map(Resource::volume_key)
        .collect();
    TaskUse {
        task: launched.id,
        framework: launched.framework.unwrap_or_else(|| framework.clone()),
        volumes,
    }
}

/// The states of the core files at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Stamps {
    boot_id: Stamp,
    state_target: Stamp,
    state: Stamp,
    info_target: Stamp,
    info: Stamp,
    latest: Stamp,
}

/// Whatever changed under the last attempt is not believed.
fn distrust(core: &mut Core, before: &Stamps, after: &Stamps) {
    fn file<T>(content: &mut CheckpointFile<T>, name: &str, before: &Stamp, after: &Stamp) {
        if before != after {
            *content = CheckpointFile::Damaged(Why(format!("{name} {RESTLESS}")));
        }
    }
    let files = &mut core.checkpoint;
    file(
        &mut files.state_target,
        paths::STATE_TARGET,
        &before.state_target,
        &after.state_target,
    );
    file(&mut files.state, paths::STATE, &before.state, &after.state);
    file(
        &mut files.info_target,
        paths::INFO_TARGET,
        &before.info_target,
        &after.info_target,
    );
    file(&mut files.info, paths::INFO, &before.info, &after.info);
    if before.boot_id != after.boot_id {
        core.run = Known::unknown(format!("{} {RESTLESS}", paths::BOOT_ID));
    }
    if before.latest != after.latest {
        core.latest = Known::unknown(format!("{} {RESTLESS}", paths::LATEST));
        core.slave_info = Known::unknown(format!("{} {RESTLESS}", paths::LATEST));
    }
}

#[cfg(test)]
mod tests;
