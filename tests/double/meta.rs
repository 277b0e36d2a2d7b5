//! The files below `meta`, in the agent's formats.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mesos_volumed::mesos::checkpoint::{
    self, Content, Form, OperationContext, encode_info, encode_slave_info, encode_state,
    encode_task,
};
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::{Launched, ResourceState, SlaveInfo};
use mesos_volumed::units::Raw;

use super::agent::Task;
use super::files;
use super::flags::Flags;

/// The `meta` folder of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    work_dir: PathBuf,
    strict: bool,
    /// Until 1.4 a last record that is cut short was left out.
    takes_torn: bool,
}

impl Meta {
    pub(crate) fn new(flags: &Flags) -> Self {
        Self {
            work_dir: flags.work_dir.clone(),
            strict: flags.strict,
            takes_torn: !flags.as_version.since(1, 5),
        }
    }

    fn at(&self, file: &str) -> PathBuf {
        self.work_dir.join(file)
    }

    /// The agent id that `latest` names.
    pub(crate) fn latest(&self) -> anyhow::Result<Option<String>> {
        let link = self.at(paths::LATEST);
        if link.symlink_metadata().is_err() {
            return Ok(None);
        }
        let target = std::fs::read_link(&link)?;
        let name = target.file_name().and_then(|name| name.to_str());
        Ok(Some(name.context("latest names no agent id")?.to_owned()))
    }

    fn slave_info_file(&self, id: &str) -> PathBuf {
        self.at(paths::SLAVES).join(id).join("slave.info")
    }

    /// What the first registration of this agent id wrote.
    pub(crate) fn slave_info(&self, id: &str) -> anyhow::Result<SlaveInfo> {
        let bytes = files::read(&self.slave_info_file(id))?.context("slave.info is missing")?;
        match checkpoint::decode_slave_info(&bytes)? {
            Content::Whole(info) => Ok(info),
            Content::Empty => bail!("slave.info has 0 bytes"),
        }
    }

    /// A first registration: `slave.info`, then `latest`.
    pub(crate) fn register(&self, id: &str, info: &SlaveInfo) -> anyhow::Result<()> {
        let bytes = encode_slave_info(info, id.as_bytes())?;
        files::checkpoint(&self.slave_info_file(id), &bytes)?;
        files::link(&self.at(paths::SLAVES).join(id), &self.at(paths::LATEST))
    }

    /// Every start of an agent rewrites it: a new inode with the kernel's boot id.
    pub(crate) fn boot_id(&self) -> anyhow::Result<()> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        files::checkpoint(&self.at(paths::BOOT_ID), id.trim().as_bytes())
    }

    /// Committed resources and operations, and whether a target stands beside them.
    pub(crate) fn state(&self) -> anyhow::Result<Option<ResourceState>> {
        self.decode_state(&self.at(paths::STATE))
    }

    /// Resources and operations that a crash left uncommitted.
    pub(crate) fn state_target(&self) -> anyhow::Result<Option<ResourceState>> {
        self.decode_state(&self.at(paths::STATE_TARGET))
    }

    /// 0 bytes are nothing at all to Mesos.
    fn decode_state(&self, path: &Path) -> anyhow::Result<Option<ResourceState>> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let decoded = checkpoint::decode_state(&bytes);
        if decoded.is_err() && !self.strict {
            return Ok(Some(ResourceState::default()));
        }
        let content = decoded.with_context(|| {
            format!(
                "Failed to read resources and operations file {}",
                path.display()
            )
        })?;
        Ok(Some(match content {
            Content::Empty => ResourceState::default(),
            Content::Whole(state) => state,
        }))
    }

    /// Committed resources of `resources.info`.
    pub(crate) fn info(&self) -> anyhow::Result<Option<Vec<Resource>>> {
        self.decode_info(&self.at(paths::INFO))
    }

    /// Resources of `resources.target`, which a crash left uncommitted.
    pub(crate) fn info_target(&self) -> anyhow::Result<Option<Vec<Resource>>> {
        self.decode_info(&self.at(paths::INFO_TARGET))
    }

    fn decode_info(&self, path: &Path) -> anyhow::Result<Option<Vec<Resource>>> {
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let whole = if self.takes_torn {
            whole_records(&bytes)
        } else {
            &bytes
        };
        let decoded = checkpoint::decode_info(whole);
        if decoded.is_err() && !self.strict {
            return Ok(Some(Vec::new()));
        }
        let content =
            decoded.with_context(|| format!("Failed to read resources file {}", path.display()))?;
        Ok(Some(match content {
            Content::Empty => Vec::new(),
            Content::Whole(resources) => resources,
        }))
    }

    /// Whether the host was booted since an agent last started here.
    pub(crate) fn host_rebooted(&self) -> anyhow::Result<bool> {
        let then = files::read(&self.at(paths::BOOT_ID))?.unwrap_or_default();
        let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(then.trim_ascii() != now.trim().as_bytes())
    }

    /// Writes the state's target, or the state itself in one go.
    pub(crate) fn write_state(
        &self,
        state: &ResourceState,
        context: &OperationContext<'_>,
        target: bool,
    ) -> anyhow::Result<()> {
        let file = if target {
            paths::STATE_TARGET
        } else {
            paths::STATE
        };
        files::checkpoint(&self.at(file), &encode_state(state, context)?)
    }

    /// Commits the state's target.
    pub(crate) fn commit_state(&self) -> anyhow::Result<()> {
        files::rename(&self.at(paths::STATE_TARGET), &self.at(paths::STATE))
    }

    /// Writes `resources.target`.
    pub(crate) fn write_info_target(&self, resources: &[Resource]) -> anyhow::Result<()> {
        files::checkpoint(
            &self.at(paths::INFO_TARGET),
            &encode_info(resources, form(resources))?,
        )
    }

    /// Commits `resources.target`.
    pub(crate) fn commit_info(&self) -> anyhow::Result<()> {
        files::rename(&self.at(paths::INFO_TARGET), &self.at(paths::INFO))
    }

    /// The runs of a task's executor; the executor of a command task is called like it.
    fn runs(&self, id: &str, framework: &str, task: &str) -> PathBuf {
        self.executors(id, framework).join(task).join("runs")
    }

    fn executors(&self, id: &str, framework: &str) -> PathBuf {
        self.at(paths::SLAVES)
            .join(id)
            .join("frameworks")
            .join(framework)
            .join("executors")
    }

    /// A new run of this task, `task.info` in it before anything is launched.
    pub(crate) fn launch(
        &self,
        id: &str,
        framework: &str,
        task: &str,
        container: &str,
        resources: &[Resource],
    ) -> anyhow::Result<()> {
        let runs = self.runs(id, framework, task);
        let run = runs.join(container);
        let info = Launched {
            id: Raw::from(task),
            framework: Some(Raw::from(framework)),
            resources: resources.to_vec(),
        };
        files::checkpoint(
            &run.join("tasks").join(task).join("task.info"),
            &encode_task(&info, id.as_bytes())?,
        )?;
        files::link(&run, &runs.join("latest"))
    }

    /// The end of the task's latest run.
    pub(crate) fn end_run(&self, id: &str, framework: &str, task: &str) -> anyhow::Result<()> {
        let run = std::fs::read_link(self.runs(id, framework, task).join("latest"))
            .with_context(|| format!("no task {task} was launched"))?;
        files::checkpoint(&run.join("executor.sentinel"), b"")
    }

    /// The tasks of runs that have not ended.
    pub(crate) fn running(&self, id: &str) -> anyhow::Result<Vec<Task>> {
        let mut tasks = Vec::new();
        let frameworks = self.at(paths::SLAVES).join(id).join("frameworks");
        for framework in files::names(&frameworks)? {
            for task in files::names(&self.executors(id, &framework))? {
                let run = std::fs::read_link(self.runs(id, &framework, &task).join("latest"))?;
                let info = run.join("tasks").join(&task).join("task.info");
                let Some(bytes) = files::read(&info)? else {
                    continue;
                };
                if files::read(&run.join("executor.sentinel"))?.is_some() {
                    continue;
                }
                if let Content::Whole(launched) = checkpoint::decode_task_info(&bytes)? {
                    let container = run.file_name().unwrap_or_default().to_string_lossy();
                    tasks.push(Task {
                        id: task,
                        framework: framework.clone(),
                        container: container.into_owned(),
                        resources: launched.resources,
                    });
                }
            }
        }
        Ok(tasks)
    }

    /// What a resource provider has, in the file of its own.
    pub(crate) fn write_provider(
        &self,
        id: &str,
        name: &str,
        provider: &str,
        resources: &[Resource],
    ) -> anyhow::Result<()> {
        let state = ResourceState {
            operations: Vec::new(),
            resources: resources.to_vec(),
        };
        let context = OperationContext {
            agent_id: id.as_bytes(),
            status_uuid: [0; 16],
        };
        let folder = self.at(paths::SLAVES).join(id).join("resource_providers");
        let folder = folder.join("org.apache.mesos.rp.local.storage").join(name);
        let file = folder.join(provider).join("resource_provider.state");
        files::checkpoint(&file, &encode_state(&state, &context)?)
    }

    /// Writes `resources.info` in one go, as agents before 1.1 did.
    pub(crate) fn write_info(&self, resources: &[Resource]) -> anyhow::Result<()> {
        files::checkpoint(
            &self.at(paths::INFO),
            &encode_info(resources, form(resources))?,
        )
    }
}

/// The bytes up to the end of the last record that is whole.
fn whole_records(bytes: &[u8]) -> &[u8] {
    let mut end = 0_usize;
    let length = |at: usize| -> Option<usize> {
        let header = bytes.get(at..at.checked_add(4)?)?;
        let length = u32::from_le_bytes(header.try_into().ok()?);
        at.checked_add(4)?
            .checked_add(usize::try_from(length).ok()?)
    };
    while let Some(next) = length(end).filter(|&next| next <= bytes.len()) {
        end = next;
    }
    bytes.get(..end).unwrap_or_default()
}

/// With one refined reservation all records keep the newer form.
fn form(resources: &[Resource]) -> Form {
    if resources.iter().any(|one| one.reservations.len() > 1) {
        Form::Post
    } else {
        Form::Pre
    }
}
