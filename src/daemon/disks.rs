//! Looks at the disks of this host: the mount table, the block devices, and then only those paths
//! that discovery asks for.

use std::path::Path;
use std::time::Duration;

use crate::decide::discover::questions;
use crate::decide::facts::{DiskRules, HostDisks, Known, MountTable, PathAnswer, Settled};
use crate::observe::mountinfo::MountinfoError;
use crate::observe::{disks, filesystem, mountinfo};

/// How often a host is looked at anew whose mounts change meanwhile.
const LOOKS: u32 = 3;

/// The disks of this host, as these rules need them. Mounts that no rule names are not touched.
///
/// # Errors
/// Only without a mount table; anything else that can't be read is unknown in the answer.
pub fn look(rules: &DiskRules) -> Result<HostDisks, MountinfoError> {
    let mut host = look_once(rules)?;
    for _ in 1..LOOKS {
        let may_have_moved = host
            .answers
            .values()
            .any(|answer| matches!(answer, PathAnswer::Failed(_)));
        if !may_have_moved {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        host = look_once(rules)?;
    }
    Ok(host)
}

fn look_once(rules: &DiskRules) -> Result<HostDisks, MountinfoError> {
    let mounts = MountTable::new(mountinfo::read_self()?);
    let devices = known(disks::list(Path::new("/sys"))).map(|mut devices| {
        disks::look_into(&mut devices, Path::new("/dev"));
        devices
    });
    let paths = questions(rules, &mounts, devices.known().map_or(&[], Vec::as_slice));
    Ok(HostDisks {
        answers: filesystem::ask(paths, &mounts),
        swaps: known(disks::swaps(Path::new("/proc/swaps"))),
        fstab: known(disks::fstab(Path::new("/etc/fstab"))),
        settled: Settled::Taken,
        mounts,
        devices,
    })
}

fn known<T, E: std::error::Error>(read: Result<T, E>) -> Known<T> {
    match read {
        Ok(value) => Known::Known(value),
        Err(error) => {
            let mut why = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                why.push_str(": ");
                why.push_str(&error.to_string());
                cause = error.source();
            }
            Known::unknown(why)
        }
    }
}
