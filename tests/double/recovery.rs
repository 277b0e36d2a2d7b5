//! From the files to a running agent, and from a change to the files: the order of writes of each
//! version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use mesos_volumed::mesos::checkpoint::OperationContext;
use mesos_volumed::mesos::disk::{DiskRef, DiskType, SourceType};
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::{Operation, OperationState, ResourceState, SlaveInfo};
use mesos_volumed::units::{Megabytes, Raw};

use super::agent::{Agent, Deletion, say};
use super::files;
use super::flags::Generation;
use super::steps::Step;

/// The directories of volumes: the persistence id, and whether the directory stays at a DESTROY.
type Places = BTreeMap<PathBuf, (String, bool)>;

impl Agent {
    /// A target that a crash left is carried out first; then come the id and what is pending.
    pub(super) fn recover(&mut self) -> anyhow::Result<()> {
        match self.flags.as_version.generation {
            Generation::InfoOnly | Generation::CommitFirst => {
                self.take(&self.meta.info()?.unwrap_or_default(), Vec::new())?;
            }
            Generation::InfoTarget => self.recover_info()?,
            Generation::StateFirst => {
                if let Some(state) = self.meta.state()? {
                    self.take(&state.resources, state.operations)?;
                } else {
                    self.recover_info()?;
                }
            }
            Generation::Targets => self.recover_targets()?,
        }
        let known = self.register()?;
        if !known {
            // Operations belong to the agent id that had them.
            self.operations.clear();
        }
        self.meta.boot_id()?;
        self.take_up_tasks()?;
        let pending = |one: &Operation| one.state == OperationState::Pending;
        if self.operations.iter().any(pending) {
            self.finish(Deletion::Done)?;
        }
        Ok(())
    }

    /// Entries that are no valid resource (they round to nothing) are dropped without a word.
    fn take(&mut self, held: &[Resource], operations: Vec<Operation>) -> anyhow::Result<()> {
        let is_valid = |one: &&Resource| one.megabytes() != Some(Megabytes::default());
        let held: Vec<Resource> = held.iter().filter(is_valid).cloned().collect();
        self.total = self.total_with(&held)?;
        self.operations = operations;
        Ok(())
    }

    fn recover_info(&mut self) -> anyhow::Result<()> {
        let committed = self.meta.info()?;
        // Without a committed file a target is not looked at.
        let target = match committed {
            Some(_) => self.meta.info_target()?,
            None => None,
        };
        self.take(&committed.unwrap_or_default(), Vec::new())?;
        if let Some(target) = target {
            let total = self.total_with(&target)?;
            self.sync(&total, Deletion::Done)
                .context("Target checkpointed resources failed to sync")?;
            self.meta.commit_info()?;
            self.total = total;
        }
        Ok(())
    }

    fn recover_targets(&mut self) -> anyhow::Result<()> {
        let target = if let Some(state) = self.meta.state()? {
            self.take(&state.resources, state.operations)?;
            self.meta.state_target()?
        } else if let Some(info) = self.meta.info()? {
            self.take(&info, Vec::new())?;
            self.meta.info_target()?.map(|resources| ResourceState {
                operations: Vec::new(),
                resources,
            })
        } else {
            // With nothing committed yet targets are not looked at.
            None
        };
        if let Some(target) = target {
            let total = self.total_with(&target.resources)?;
            self.sync(&total, Deletion::Done)
                .context("Target checkpointed resources failed to sync")?;
            self.total = total;
            self.operations = target.operations;
            self.meta
                .commit_state()
                .context("Failed to rename target resources and associated operations")?;
            self.meta
                .commit_info()
                .context("Failed to rename target resources")?;
        }
        Ok(())
    }

    /// The agent id is kept while the agent's info is what it was; after a boot of the host a new
    /// one begins. Whether the old one was kept.
    fn register(&mut self) -> anyhow::Result<bool> {
        let info = SlaveInfo {
            hostname: Raw::from(self.flags.hostname.as_str()),
            port: i32::from(self.flags.port),
            resources: self.flagged.clone(),
        };
        if let Some(id) = self.meta.latest()? {
            let mut before = self.meta.slave_info(&id)?.resources;
            let mut now = info.resources.clone();
            before.sort();
            now.sort();
            if before == now {
                self.id = id;
                return Ok(true);
            }
            ensure!(
                self.meta.host_rebooted()?,
                "Incompatible agent info detected. --resources differs from the first registration"
            );
        }
        let random = || format!("{}-S0", uuid::Uuid::new_v4());
        self.id = self.flags.agent_id.clone().unwrap_or_else(random);
        self.meta.register(&self.id, &info)?;
        Ok(false)
    }

    /// Tasks whose executors outlived the agent.
    fn take_up_tasks(&mut self) -> anyhow::Result<()> {
        self.tasks = self.meta.running(&self.id)?;
        Ok(())
    }

    /// Only operations changed: the state alone.
    pub(super) fn checkpoint_operations(&mut self) -> anyhow::Result<()> {
        match self.flags.as_version.generation {
            Generation::InfoOnly | Generation::CommitFirst | Generation::InfoTarget => {}
            Generation::StateFirst => {
                let total = self.total.clone();
                self.write_state(&total, false)?;
                self.done(Step::Operations)?;
            }
            Generation::Targets => {
                let total = self.total.clone();
                self.write_state(&total, true)?;
                self.done(Step::OperationsTarget)?;
                self.meta.commit_state()?;
                self.done(Step::Operations)?;
            }
        }
        Ok(())
    }

    fn write_state(&self, total: &[Resource], target: bool) -> anyhow::Result<()> {
        let state = ResourceState {
            operations: self.operations.clone(),
            resources: held(total),
        };
        let context = OperationContext {
            agent_id: self.id.as_bytes(),
            status_uuid: *uuid::Uuid::new_v4().as_bytes(),
        };
        self.meta.write_state(&state, &context, target)
    }

    /// Resources changed: files and directories follow, in this version's order.
    pub(super) fn sync_checkpoint(
        &mut self,
        total: Vec<Resource>,
        deletion: Deletion,
    ) -> anyhow::Result<()> {
        let new = held(&total);
        match self.flags.as_version.generation {
            Generation::InfoOnly | Generation::CommitFirst => {
                self.operations.clear();
                self.meta.write_info(&new)?;
                self.done(Step::Info)?;
                let keeps = self.flags.as_version.generation == Generation::InfoOnly;
                let deletion = if keeps { Deletion::Left } else { deletion };
                if let Err(error) = self.sync(&total, deletion) {
                    // Logged, and that is all.
                    say(&format!("{error:#}"))?;
                }
                self.done(Step::Directories)?;
            }
            Generation::InfoTarget => {
                self.operations.clear();
                self.through_info_target(&total, &new, deletion)?;
            }
            Generation::StateFirst => {
                self.write_state(&total, false)?;
                self.done(Step::State)?;
                self.through_info_target(&total, &new, deletion)?;
            }
            Generation::Targets => {
                self.write_state(&total, true)?;
                self.done(Step::StateTarget)?;
                self.through_info_target(&total, &new, deletion)?;
                self.meta.commit_state()?;
                self.done(Step::State)?;
            }
        }
        self.total = total;
        Ok(())
    }

    fn through_info_target(
        &mut self,
        total: &[Resource],
        new: &[Resource],
        deletion: Deletion,
    ) -> anyhow::Result<()> {
        self.meta.write_info_target(new)?;
        self.done(Step::InfoTarget)?;
        if let Err(error) = self.sync(total, deletion) {
            return Err(self.fatal(error.context("Failed to sync checkpointed resources")));
        }
        self.done(Step::Directories)?;
        self.meta.commit_info()?;
        self.done(Step::Info)
    }

    /// Makes directories that are new and deletes those that are no more, by path.
    fn sync(&self, total: &[Resource], deletion: Deletion) -> anyhow::Result<()> {
        let (old, new) = (self.places(&self.total), self.places(total));
        for (path, (id, _)) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
            files::make(path).with_context(|| {
                format!(
                    "Failed to create the persistent volume {id} at '{}'",
                    path.display()
                )
            })?;
        }
        for (path, (id, keep)) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
            match deletion {
                Deletion::Done => self.delete(id, path, *keep)?,
                Deletion::Left => say(&format!("Leaving the data at '{}'", path.display()))?,
            }
        }
        Ok(())
    }

    fn places(&self, resources: &[Resource]) -> Places {
        resources
            .iter()
            .filter_map(|one| {
                let (key, disk) = (one.volume_key()?, one.disk(&self.work_dir())?);
                let (path, keep) = place(&key, &disk);
                Some((path, (key.id.to_string(), keep)))
            })
            .collect()
    }
}

fn held(total: &[Resource]) -> Vec<Resource> {
    total
        .iter()
        .filter(|one| super::resources::is_checkpointed(one))
        .cloned()
        .collect()
}

fn place(key: &VolumeKey, disk: &DiskRef) -> (PathBuf, bool) {
    match disk.kind {
        DiskType::Mount => (disk.root.as_path().to_owned(), true),
        DiskType::Root | DiskType::Path => (
            disk.root
                .join(paths::volume_directory(key))
                .as_path()
                .to_owned(),
            false,
        ),
    }
}

/// The start-up checks of disks: PATH roots are made, MOUNT roots must be mounted.
pub(super) fn check_disks(total: &[Resource]) -> anyhow::Result<()> {
    for source in total.iter().filter_map(|one| one.source.as_ref()) {
        let root = source.root.as_ref().context("a disk has a root")?.as_path();
        if source.kind == SourceType::Path {
            files::make(root).with_context(|| {
                format!(
                    "Failed to create DiskInfo path directory '{}'",
                    root.display()
                )
            })?;
        } else {
            ensure!(
                files::is_mounted(root)?,
                "Failed to find mount '{}' in /proc/mounts",
                root.display()
            );
        }
    }
    Ok(())
}
