//! `volumes list --usage`: how much each volume takes up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::progress::Progress as Line;
use crate::decide::facts::{Facts, Known};
use crate::decide::listing::{VolumeRow, VolumeState};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::observe::usage::{Progress, Usage, of_directory, of_filesystem};
use crate::units::{Raw, chain};

/// What a row takes up, or why that can't be said.
pub(super) type Used = Result<Usage, String>;

/// Two are twice as fast as one on trees in memory, and a disk with tenants is not to be crowded.
const THREADS: usize = 2;

/// Looks at every row, in their order.
pub(super) fn of_rows(rows: &[VolumeRow], facts: &Facts) -> Vec<Used> {
    let progress = Progress::default();
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
            .map(|row| of_row(row, facts, &progress))
            .collect();
        ended.store(true, Ordering::Relaxed);
        drawing.thread().unpark();
        used
    })
}

fn of_row(row: &VolumeRow, facts: &Facts, progress: &Progress) -> Used {
    let disk = row.disk.as_ref().ok_or("its disk is not known")?;
    if row.state == VolumeState::Vanished {
        return Err("its directory is missing".to_owned());
    }
    answers(disk, facts)?;
    let root = Path::new(disk.root.as_os_str());
    let used = match disk.kind {
        DiskType::Mount => of_filesystem(root),
        DiskType::Root | DiskType::Path => {
            let below = row.path.below(&disk.root).filter(|below| !below.is_empty());
            let below = below.ok_or("it does not lie on its disk")?;
            let components = below.split(|&byte| byte == b'/');
            of_directory(root, components, THREADS, progress)
        }
    };
    used.map_err(|error| chain(&error))
}

/// Only a root that was seen mounted, with a file system of ours on it, is asked anything: others
/// may never answer.
fn answers(disk: &DiskRef, facts: &Facts) -> Result<(), String> {
    let root = facts
        .roots
        .iter()
        .find(|root| root.disk == *disk)
        .ok_or("its disk is not known")?;
    match (&root.mount, &root.filesystem.present) {
        (Known::Known(mount), _) if mount.network => {
            Err("it is on a network file system, which is not asked".to_owned())
        }
        (Known::Known(_), Known::Known(_)) => Ok(()),
        (Known::Unknown(why), _) | (_, Known::Unknown(why)) => Err(why.to_string()),
        (Known::Absent, _) | (_, Known::Absent) => Err("its disk is not mounted".to_owned()),
    }
}

/// The cells of a row: megabytes and entries; with `>` where something was not looked at.
pub(super) fn cells(used: Option<&Used>) -> [String; 2] {
    let Some(Ok(used)) = used else {
        return ["-".to_owned(), "-".to_owned()];
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
    [format!("{sign}{megabytes}"), entries]
}

pub(super) fn json(used: &Used) -> Value {
    match used {
        Ok(used) => json!(used),
        Err(why) => json!({ "error": Raw::from(why.as_str()).to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::usage::Method;

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
        assert_eq!(cells(Some(&usage(0, 0))), ["4", "7"]);
        assert_eq!(cells(Some(&usage(1, 1))), [">4", ">7"]);
        assert_eq!(cells(Some(&usage(0, 1))), ["<4", "<7"]);
        assert_eq!(cells(Some(&Err("gone".to_owned()))), ["-", "-"]);
        assert_eq!(
            json(&usage(0, 2)),
            json!({ "method": "walk", "bytes": 3_145_729, "entries": 7, "skipped": 0, "recounted": 2 })
        );
        assert_eq!(json(&Err("gone".to_owned())), json!({ "error": "gone" }));
    }
}
