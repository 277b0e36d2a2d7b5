//! `volumes list --usage`: how much each volume takes up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cli::progress::Progress as Line;
use crate::decide::facts::{Facts, Known, RootFacts};
use crate::decide::listing::{VolumeRow, VolumeState};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::observe::usage::{
    Progress, Project, Usage, UsageError, counted, of_directory, of_filesystem, project, reach,
    times_of_directory,
};
use crate::sys::{OpenError, Times, text};
use crate::units::chain;

/// What a row takes up, or why that can't be said.
pub(in crate::cli) type Used = Result<Usage, String>;

/// Two are twice as fast as one on trees in memory, and a disk with tenants is not to be crowded.
const THREADS: usize = 2;

/// Looks at every row, in their order.
pub(in crate::cli) fn of_rows(rows: &[VolumeRow], facts: &Facts) -> Vec<Used> {
    of_those(rows, facts, |_| true)
        .into_iter()
        .flatten()
        .collect()
}

/// Looks at those rows, in the order of all.
pub(in crate::cli) fn of_those(
    rows: &[VolumeRow],
    facts: &Facts,
    wanted: impl Fn(&VolumeRow) -> bool,
) -> Vec<Option<Used>> {
    let progress = Progress::default();
    // The host has been observed; what follows may take long.
    text::give_back();
    let projects = Projects::of(rows, facts);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let drawing = scope.spawn(|| {
            let mut line = Line::new();
            while !ended.load(Ordering::Relaxed) {
                line.show(|| format!("looking at volumes: {} entries", progress.entries()));
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        let used = rows
            .iter()
            .map(|row| wanted(row).then(|| of_row(row, facts, &projects, &progress)))
            .collect();
        ended.store(true, Ordering::Relaxed);
        drawing.thread().unpark();
        used
    })
}

/// The projects of all volumes.
struct Projects {
    /// Sorted.
    found: Vec<Project>,
    /// Whether one could not be looked at, so that it may have any.
    unknown: bool,
}

impl Projects {
    fn of(rows: &[VolumeRow], facts: &Facts) -> Self {
        let mut all = Self {
            found: Vec::new(),
            unknown: false,
        };
        for row in rows {
            let Some(disk) = row.disk.as_ref() else {
                continue;
            };
            if disk.kind == DiskType::Mount
                || !facts.root(disk).is_some_and(RootFacts::is_on_xfs)
                || row.state == VolumeState::Vanished
                || answers(disk, facts).is_err()
            {
                continue;
            }
            let Some(below) = below(row, disk) else {
                continue;
            };
            let found = reach(disk.root.as_path(), components(below));
            match found.and_then(|dir| project(&dir).map_err(OpenError::Io)) {
                Ok(found) => all.found.extend(found),
                // It carries none of an xfs that has others here.
                Err(OpenError::Missing | OpenError::Mount) => {}
                Err(_) => all.unknown = true,
            }
        }
        all.found.sort_unstable();
        all
    }

    /// Whether one volume has it.
    fn is_lone(&self, project: Project) -> bool {
        let from = self.found.partition_point(|found| *found < project);
        let mut have = self.found.iter().skip(from).take(2);
        let (first, second) = (have.next(), have.next());
        !self.unknown && first == Some(&project) && second != Some(&project)
    }
}

/// Where a volume lies, from the root of its disk on.
fn below<'a>(row: &'a VolumeRow, disk: &DiskRef) -> Option<&'a [u8]> {
    row.path.below(&disk.root).filter(|below| !below.is_empty())
}

fn components(below: &[u8]) -> impl Iterator<Item = &[u8]> {
    below.split(|&byte| byte == b'/')
}

fn of_row(row: &VolumeRow, facts: &Facts, projects: &Projects, progress: &Progress) -> Used {
    let disk = row.disk.as_ref().ok_or("its disk is not known")?;
    if row.state == VolumeState::Vanished {
        return Err("its directory is missing".to_owned());
    }
    answers(disk, facts)?;
    let root = Path::new(disk.root.as_os_str());
    let used = match disk.kind {
        DiskType::Mount => of_filesystem(root),
        DiskType::Root | DiskType::Path => {
            let below = below(row, disk).ok_or("it does not lie on its disk")?;
            of_carved(root, below, projects, progress)
        }
    };
    used.map_err(|error| chain(&error))
}

/// What lies in a directory of a root.
fn of_carved(
    root: &Path,
    below: &[u8],
    projects: &Projects,
    progress: &Progress,
) -> Result<Usage, UsageError> {
    let dir = reach(root, components(below))?;
    match counted(&dir, |project| projects.is_lone(project)) {
        Ok(Some(used)) => Ok(used),
        // What the walk meets it says itself.
        Ok(None) | Err(_) => of_directory(dir, THREADS, progress),
    }
}

/// When a row's directory was made and last changed. A MOUNT's own root is as old as its file system,
/// not as its volume.
pub(in crate::cli) fn times_of(row: &VolumeRow, facts: &Facts) -> Result<Times, String> {
    let disk = row.disk.as_ref().ok_or("its disk is not known")?;
    answers(disk, facts)?;
    let names = below(row, disk).into_iter().flat_map(components);
    let found = times_of_directory(Path::new(disk.root.as_os_str()), names)
        .map_err(|error| chain(&error))?;
    Ok(Times {
        made: found.made.filter(|_| disk.kind != DiskType::Mount),
        ..found
    })
}

/// Only a root that was seen mounted, with a file system of ours on it, is asked anything: others
/// may never answer.
fn answers(disk: &DiskRef, facts: &Facts) -> Result<(), String> {
    let root = facts.root(disk).ok_or("its disk is not known")?;
    match (&root.mount, &root.filesystem.present) {
        (Known::Known(mount), _) if mount.network => {
            Err("it is on a network file system, which is not asked".to_owned())
        }
        (Known::Known(_), Known::Known(_)) => Ok(()),
        (Known::Unknown(why), _) | (_, Known::Unknown(why)) => Err(why.to_string()),
        (Known::Absent, _) | (_, Known::Absent) => Err("its disk is not mounted".to_owned()),
    }
}

/// The cells of a row: megabytes, entries, and how they were found out; with `>` where something was not
/// looked at.
pub(in crate::cli) fn cells(used: Option<&Used>) -> [String; 3] {
    let Some(Ok(used)) = used else {
        return ["-".to_owned(), "-".to_owned(), "-".to_owned()];
    };
    let sign = if used.skipped > 0 {
        ">"
    } else if used.recounted > 0 {
        "<"
    } else {
        ""
    };
    let megabytes = used.bytes.div_ceil(1 << 20);
    let entries = used
        .entries
        .map_or_else(|| "-".to_owned(), |entries| format!("{sign}{entries}"));
    [
        format!("{sign}{megabytes}"),
        entries,
        used.method.word().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::daemon::answers::volumes as answers;
    use crate::observe::usage::Method;

    fn json(used: &Used) -> Value {
        serde_json::to_value(answers::Used::from(used)).unwrap()
    }

    #[test]
    fn a_project_that_two_volumes_have_or_an_unknown_one_may_have_is_not_relied_on() {
        let of = |id| Project {
            device: crate::decide::facts::DeviceNumber { major: 8, minor: 1 },
            id,
        };
        let mut projects = Projects {
            found: vec![of(5), of(6), of(6)],
            unknown: false,
        };
        assert!(projects.is_lone(of(5)));
        assert!(!projects.is_lone(of(6)));
        assert!(!projects.is_lone(of(7)));
        projects.unknown = true;
        assert!(!projects.is_lone(of(5)));
    }

    #[test]
    fn numbers_that_are_no_more_than_a_bound_say_so() {
        let usage = |skipped, recounted| {
            Ok(Usage {
                method: Method::Walk,
                bytes: (3 << 20) + 1,
                entries: Some(7),
                skipped,
                recounted,
            })
        };
        assert_eq!(cells(Some(&usage(0, 0))), ["4", "7", "walk"]);
        assert_eq!(cells(Some(&usage(1, 1))), [">4", ">7", "walk"]);
        assert_eq!(cells(Some(&usage(0, 1))), ["<4", "<7", "walk"]);
        assert_eq!(cells(Some(&Err("gone".to_owned()))), ["-", "-", "-"]);
        assert_eq!(
            json(&usage(0, 2)),
            json!({ "method": "walk", "bytes": 3_145_729, "entries": 7, "skipped": 0, "recounted": 2 })
        );
        assert_eq!(json(&Err("gone".to_owned())), json!({ "error": "gone" }));
    }
}
