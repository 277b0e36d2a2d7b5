//! What the agent's files say of the containers that mounts tell of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{self, Entry, EntryKind, FileError, Stamp};
use super::places::Places;
use crate::decide::facts::{ContainerRun, Known, Mounting, RunEnd};
use crate::mesos::paths;
use crate::units::{Raw, chain};

/// The folder of a run's process ids, and the file with the container's first process.
const FORKED: &str = "pids/forked.pid";

/// The containers that these mountings tell of.
#[must_use]
pub fn named(mountings: &[Mounting]) -> BTreeSet<Raw> {
    let mut ids = BTreeSet::new();
    for mounting in mountings {
        let lies_on = mounting.lies_on.as_ref().map(|place| &place.path);
        let points = mounting.views.iter().map(|view| &view.mount_point);
        ids.extend(
            lies_on
                .into_iter()
                .chain(points)
                .filter_map(paths::container_of)
                .map(|path| path.container),
        );
        for view in &mounting.views {
            ids.extend(view.sandboxes.iter().cloned());
            ids.extend(view.cgroup.clone());
        }
    }
    ids
}

/// What `meta/slaves/*/frameworks/*/executors/*/runs/<id>` says of these containers; those that it
/// does not know are left out. `Unknown` where a folder could not be read.
#[must_use]
pub fn observe(places: &Places, work_dir: &Raw, ids: &BTreeSet<Raw>) -> Known<Vec<ContainerRun>> {
    if ids.is_empty() {
        return Known::Known(Vec::new());
    }
    match runs(places, work_dir, ids) {
        Ok(runs) => Known::Known(runs),
        Err(error) => Known::unknown(chain(&error)),
    }
}

fn runs(
    places: &Places,
    work_dir: &Raw,
    ids: &BTreeSet<Raw>,
) -> Result<Vec<ContainerRun>, FileError> {
    let mut found = Vec::new();
    for agent in folders(&work_dir.as_path().join(paths::SLAVES))? {
        for framework in folders(&agent.path.join("frameworks"))? {
            for executor in folders(&framework.path.join("executors"))? {
                for run in folders(&executor.path.join("runs"))? {
                    if ids.contains(&run.name) {
                        found.push(ContainerRun {
                            ended: ended(places, &run.path),
                            id: run.name,
                            framework: framework.name.clone(),
                            executor: executor.name.clone(),
                        });
                    }
                }
            }
        }
    }
    Ok(found)
}

fn folders(path: &Path) -> Result<Vec<Entry>, FileError> {
    Ok(files::list(path)?
        .into_iter()
        .flatten()
        .filter(|entry| entry.kind == EntryKind::Directory)
        .collect())
}

fn ended(places: &Places, run: &Path) -> Known<RunEnd> {
    match Stamp::of(&run.join("executor.sentinel")) {
        Stamp::There { .. } => return Known::Known(RunEnd::Sentinel),
        Stamp::Absent => {}
        Stamp::Failed(why) => return Known::unknown(format!("executor.sentinel: {why}")),
    }
    let file: PathBuf = run.join(FORKED);
    let text = match files::read(&file, 64) {
        Ok(Some(read)) => read.bytes,
        // Not started yet.
        Ok(None) => return Known::Absent,
        Err(error) => return Known::unknown(chain(&error)),
    };
    let pid = std::str::from_utf8(text.trim_ascii())
        .ok()
        .and_then(|text| text.parse::<i32>().ok())
        .filter(|pid| *pid > 0);
    let Some(pid) = pid else {
        return Known::unknown(format!("{} holds no process id", Raw::from(file)));
    };
    // A number that was given to another process meanwhile counts as alive.
    match Stamp::of(places.proc.join(pid.to_string()).as_path()) {
        Stamp::Absent => Known::Known(RunEnd::ProcessGone(pid)),
        Stamp::There { .. } => Known::Absent,
        Stamp::Failed(why) => Known::unknown(format!("process {pid}: {why}")),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_ended_by_its_sentinel_or_its_process_and_lives_otherwise() {
        let temp = tempfile::tempdir().unwrap();
        let runs = temp
            .path()
            .join("meta/slaves/S0/frameworks/F/executors/db.1/runs");
        let make = |id: &str, file: &str, text: &str| {
            let path = runs.join(id).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        make("sentinel", "executor.sentinel", "");
        make("gone", FORKED, "4194305");
        make("lives", FORKED, &std::process::id().to_string());
        make("young", "tasks/x/task.info", "");
        make("odd", FORKED, "x");
        make("unasked", "executor.sentinel", "");
        std::os::unix::fs::symlink("lives", runs.join("latest")).unwrap();
        let ids = ["sentinel", "gone", "lives", "young", "odd", "elsewhere"].map(Raw::from);
        let found = observe(
            &Places::default(),
            &Raw::from(temp.path()),
            &ids.into_iter().collect(),
        );
        let mut found: Vec<(String, Known<RunEnd>)> = found
            .known()
            .unwrap()
            .iter()
            .map(|run| (run.id.to_string(), run.ended.clone()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("gone", Known::Known(RunEnd::ProcessGone(4_194_305))),
            ("lives", Known::Absent),
            ("odd", found.get(2).unwrap().1.clone()),
            ("sentinel", Known::Known(RunEnd::Sentinel)),
            ("young", Known::Absent),
        ]
        .map(|(id, ended)| (id.to_owned(), ended));
        assert_eq!(found, expected);
        assert!(found.get(2).unwrap().1.why().is_some());
    }
}
