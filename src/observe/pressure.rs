//! How much a drive is used, and whether anybody waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::places::Places;
use super::read;
use crate::units::Raw;

/// What the kernel has counted up to a moment. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How long some task of the host waited for I/O (`some` in `/proc/pressure/io`); `None` where
    /// the kernel does not count it, or was started with `psi=0`.
    pub stalled: Option<Duration>,
    /// What the drives did; `None` where they are not known.
    pub drives: Option<DriveCounts>,
    /// Bytes that this process had read from drives.
    pub own_read: u64,
}

/// What drives did, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriveCounts {
    /// Bytes read.
    pub read: u64,
    /// Writes that ended.
    pub writes: u64,
    /// Flushes that ended: each fsync makes one, unless the drive has no cache to flush. `None`
    /// before Linux 5.5.
    pub flushes: Option<u64>,
    /// How long it had something to do; of several drives, the one that had most.
    pub busy: Duration,
}

/// Reads them for these drives, by their names in `/sys/class/block`.
#[must_use]
pub fn counts(places: &Places, drives: Option<&BTreeSet<Raw>>) -> Counts {
    Counts {
        stalled: stalled(places),
        drives: drives.and_then(|drives| drive_counts(places, drives)),
        own_read: own_read(places).unwrap_or(0),
    }
}

/// `some avg10=0.02 avg60=0.32 avg300=2.47 total=1031305020`, the total in microseconds.
fn stalled(places: &Places) -> Option<Duration> {
    let text = read::whole(&places.proc.join("pressure/io"), 4096).ok()?;
    let text = String::from_utf8(text).ok()?;
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let total = line.split(' ').find_map(|word| word.strip_prefix("total="));
    Some(Duration::from_micros(total?.parse().ok()?))
}

fn drive_counts(places: &Places, drives: &BTreeSet<Raw>) -> Option<DriveCounts> {
    let mut all = DriveCounts {
        flushes: Some(0),
        ..DriveCounts::default()
    };
    for drive in drives {
        let file = places.sys.join("class/block").join(drive).join("stat");
        let text = String::from_utf8(read::whole(&file, 4096).ok()?).ok()?;
        let one = stat(&text)?;
        all = DriveCounts {
            read: all.read.saturating_add(one.read),
            writes: all.writes.saturating_add(one.writes),
            flushes: one
                .flushes
                .and_then(|flushes| all.flushes?.checked_add(flushes)),
            busy: all.busy.max(one.busy),
        };
    }
    (!drives.is_empty()).then_some(all)
}

/// The columns of Documentation/block/stat.rst.
fn stat(text: &str) -> Option<DriveCounts> {
    let columns: Vec<u64> = text
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some(DriveCounts {
        // Sectors are of 512 bytes here, whatever the drive's are.
        read: columns.get(2)?.saturating_mul(512),
        writes: *columns.get(4)?,
        busy: Duration::from_millis(*columns.get(9)?),
        flushes: columns.get(15).copied(),
    })
}

fn own_read(places: &Places) -> Option<u64> {
    let text = read::whole(&places.proc.join("self/io"), 4096).ok()?;
    let text = String::from_utf8(text).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    line?.trim().parse().ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read_and_nothing_else_is_believed() {
        let tree = tempfile::tempdir().unwrap();
        let places = Places {
            proc: tree.path().join("proc").into(),
            sys: tree.path().join("sys").into(),
            ..Places::default()
        };
        assert_eq!(counts(&places, None), Counts::default());
        for folder in [
            "proc/pressure",
            "proc/self",
            "sys/class/block/sda",
            "sys/class/block/sdb",
        ] {
            std::fs::create_dir_all(tree.path().join(folder)).unwrap();
        }
        let write = |file: &str, text: &str| {
            std::fs::write(tree.path().join(file), text).unwrap();
        };
        write(
            "proc/pressure/io",
            "some avg10=12.54 avg60=11.54 avg300=8.43 total=1081818526\n\
             full avg10=0.00 avg60=0.00 avg300=0.03 total=128570424\n",
        );
        write("proc/self/io", "rchar: 1\nread_bytes: 4096\n");
        write(
            "sys/class/block/sda/stat",
            " 100 0 8 11 20 0 77 86 0 813 19953 1254 303 1255 258 6 55\n",
        );
        // Linux before 5.5, and before 4.18.
        write(
            "sys/class/block/sdb/stat",
            "10 0 2 11 7 0 77 86 0 900 19953\n",
        );
        let drives = |names: &[&str]| names.iter().map(|&name| Raw::from(name)).collect();
        let one = counts(&places, Some(&drives(&["sda"])));
        assert_eq!(
            one,
            Counts {
                stalled: Some(Duration::from_micros(1_081_818_526)),
                drives: Some(DriveCounts {
                    read: 4096,
                    writes: 20,
                    flushes: Some(6),
                    busy: Duration::from_millis(813),
                }),
                own_read: 4096,
            }
        );
        let two = counts(&places, Some(&drives(&["sda", "sdb"])));
        assert_eq!(
            two.drives,
            Some(DriveCounts {
                read: 5120,
                writes: 27,
                flushes: None,
                busy: Duration::from_millis(900),
            })
        );
        for gone in [&["sdc"][..], &["sda", "sdc"], &[]] {
            assert_eq!(counts(&places, Some(&drives(gone))).drives, None);
        }
        write("proc/pressure/io", "");
        write("sys/class/block/sda/stat", "1 2 x\n");
        assert_eq!(counts(&places, Some(&drives(&["sda"]))).stalled, None);
        assert_eq!(counts(&places, Some(&drives(&["sda"]))).drives, None);
    }

    #[test]
    fn this_kernel_tells_of_its_first_drive() {
        let names = read::names(&Raw::from("/sys/class/block")).unwrap();
        let Some(first) = names.into_iter().next() else {
            println!("skipped: no block device here");
            return;
        };
        let found = counts(&Places::default(), Some(&BTreeSet::from([first])));
        assert!(found.drives.is_some(), "{found:?}");
    }
}
