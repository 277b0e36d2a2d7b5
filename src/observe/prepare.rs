//! Looks at a device that is to become a disk, and at where it is to be mounted. Nothing is
//! changed: the exclusive open is for reading, and the programs that look for signatures are told
//! not to act.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::places::Places;
use super::{disks, mountinfo, proc, read, state_dir, superblock};
use crate::decide::facts::{
    BlockDevice, DeviceNumber, Known, MountPoint, MountTable, MountedElsewhere, PrepareFacts,
    PrepareRequest, PreparedDisk, Probe,
};
use crate::sys::{self, OpenError, program};
use crate::units::{Raw, chain};

/// So much of a device's beginning and end must be zeros.
const EDGE: u64 = 1 << 20;

/// Everything that a preparation is decided from.
///
/// # Errors
/// Only without a mount table.
pub fn observe(
    places: &Places,
    request: &PrepareRequest,
) -> Result<PrepareFacts, mountinfo::MountinfoError> {
    let mounts = MountTable::new(mountinfo::read_self()?);
    let node = node(request.device.as_path());
    let mut devices = known(disks::list(places.sys.as_path()));
    let mut target = None;
    if let (Known::Known(number), Known::Known(devices)) = (&node, &mut devices)
        && let Some(device) = devices.iter_mut().find(|device| device.number == *number)
    {
        disks::look_into(std::slice::from_mut(device), Path::new("/dev"));
        target = Some(device.clone());
    }
    let records = records(&request.state_dir);
    // The hidden path holds the file system's UUID: that of the record, where there is one.
    let uuid = target
        .as_ref()
        .and_then(|device| {
            let (word, _) = device.confirmation();
            records
                .known()?
                .iter()
                .find(|record| record.is_of(device, &word))
        })
        .map_or(&request.uuid, |record| &record.uuid);
    let systemd = systemd_runs();
    Ok(PrepareFacts {
        swaps: known(disks::swaps(places.proc.join("swaps").as_path())),
        fstab: known(disks::fstab(Path::new("/etc/fstab"))),
        elsewhere: match &node {
            Known::Known(number) => mounted_elsewhere(places, *number),
            Known::Absent | Known::Unknown(_) => (Vec::new(), 0),
        },
        exclusive: target.as_ref().map_or_else(not_looked_at, exclusive),
        blank: target.as_ref().map_or_else(not_looked_at, blank),
        probes: target.as_ref().map(probes).unwrap_or_default(),
        at: mount_point(&request.at, &mounts),
        hidden: request
            .hidden(uuid)
            .map(|hidden| mount_point(&hidden, &mounts)),
        ledger: state_dir::ledger(&request.state_dir),
        programs: [
            "blkid",
            "wipefs",
            "systemctl",
            "mount",
            request.fs.program(),
        ]
        .into_iter()
        .map(|name| (name, program_path(name)))
        .collect::<BTreeMap<_, _>>(),
        systemd,
        records,
        node,
        devices,
        mounts,
    })
}

/// Whether systemd runs this host (sd_booted(3)).
#[must_use]
pub fn systemd_runs() -> bool {
    std::fs::symlink_metadata("/run/systemd/system").is_ok_and(|found| found.is_dir())
}

/// Where a program lies.
#[must_use]
pub fn program_path(name: &str) -> Known<Raw> {
    match program::find(name) {
        Ok(Some(path)) => Known::Known(path),
        Ok(None) => Known::Absent,
        Err(error) => Known::unknown(format!("{name} could not be looked for: {error}")),
    }
}

fn not_looked_at<T>() -> Known<T> {
    Known::unknown("it was not looked at")
}

fn known<T, E: std::error::Error>(result: Result<T, E>) -> Known<T> {
    match result {
        Ok(value) => Known::Known(value),
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// Which device a path leads to.
fn node(path: &Path) -> Known<DeviceNumber> {
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => Known::Known(DeviceNumber {
            major: rustix::fs::major(found.rdev()),
            minor: rustix::fs::minor(found.rdev()),
        }),
        Ok(_) => Known::unknown(format!("{} is no block device", Raw::from(path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Known::Absent,
        Err(error) => Known::unknown(format!("{}: {error}", Raw::from(path))),
    }
}

/// Opens the device for reading, with more flags; an error when its node is another one.
fn open(device: &BlockDevice, more: OFlags) -> io::Result<File> {
    let path = Path::new("/dev").join(device.name.as_path());
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | more;
    let file = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)?;
    let found = file.metadata()?;
    let number = DeviceNumber {
        major: rustix::fs::major(found.rdev()),
        minor: rustix::fs::minor(found.rdev()),
    };
    if found.file_type().is_block_device() && number == device.number {
        Ok(file)
    } else {
        Err(io::Error::other("its node in /dev is another device"))
    }
}

/// Whether nobody else uses the device: a mount, swap, device mapper, md and ZFS all claim theirs.
fn exclusive(device: &BlockDevice) -> Known<()> {
    match open(device, OFlags::EXCL) {
        Ok(_closed_at_once) => Known::Known(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Known::Absent,
        Err(error) => Known::unknown(format!("{} can't be opened: {error}", device.name)),
    }
}

/// Whether the first and the last MiB are zeros.
fn blank(device: &BlockDevice) -> Known<bool> {
    let look = || -> io::Result<bool> {
        let mut file = open(device, OFlags::empty())?;
        let mut edge = Vec::new();
        (&mut file).take(EDGE).read_to_end(&mut edge)?;
        let mut all = superblock::is_blank(&edge);
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(EDGE)))?;
        edge.clear();
        file.read_to_end(&mut edge)?;
        all &= superblock::is_blank(&edge);
        Ok(all)
    };
    match look() {
        Ok(all) => Known::Known(all),
        Err(error) => Known::unknown(format!("{} can't be read: {error}", device.name)),
    }
}

/// What programs find that know every signature in use (util-linux).
fn probes(device: &BlockDevice) -> Vec<Probe> {
    let node = Raw::from("/dev").join(&device.name);
    [
        ("blkid", &["-p", "-o", "export"][..]),
        ("wipefs", &["--no-act", "--parsable"][..]),
    ]
    .into_iter()
    .map(|(name, arguments)| Probe {
        command: format!("{name} {} {node}", arguments.join(" ")),
        found: probe(name, arguments, &node),
    })
    .collect()
}

fn probe(name: &str, arguments: &[&str], node: &Raw) -> Known<Vec<String>> {
    let path = match program_path(name) {
        Known::Known(path) => path,
        Known::Absent => return Known::unknown("it is not installed"),
        Known::Unknown(why) => return Known::Unknown(why),
    };
    let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(std::ffi::OsStr::new).collect();
    all.push(node.as_os_str());
    let output = match program::run(path.as_path(), &all) {
        Ok(output) => output,
        Err(error) => return Known::unknown(format!("it could not be started: {error}")),
    };
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Raw::from(line).to_string())
        .collect();
    match (name, output.status.code(), lines.is_empty()) {
        // blkid(8): 2 is "nothing found" when it probes; 8 is "several, and which can't be told".
        ("blkid", Some(2), true) | ("wipefs", Some(0), true) => Known::Absent,
        ("blkid", Some(8), _) => Known::Known(vec!["several signatures at once".to_owned()]),
        (_, Some(0), false) => Known::Known(lines),
        _ => Known::unknown(program::said(&output)),
    }
}

/// The mounts of a device that processes in other namespaces see, and how many processes could
/// not be asked. What is in use is the exclusive open's to say; this only names it.
fn mounted_elsewhere(places: &Places, device: DeviceNumber) -> (Vec<MountedElsewhere>, usize) {
    let Ok(pids) = proc::pids(places) else {
        return (Vec::new(), 1);
    };
    let own = read::link(&places.proc.join("self/ns/mnt"));
    let mut seen = std::collections::BTreeSet::new();
    let (mut found, mut unread) = (Vec::new(), 0_usize);
    for pid in pids {
        let folder = places.proc.join(pid.to_string());
        let namespace = match read::link(&folder.join("ns/mnt")) {
            Ok(namespace) => namespace,
            Err(error) if read::is_absent(&error) => continue,
            Err(_) => {
                unread = unread.saturating_add(1);
                continue;
            }
        };
        if own.as_ref().is_ok_and(|own| *own == namespace) || !seen.insert(namespace) {
            continue;
        }
        match mountinfo::read_at(folder.join("mountinfo").as_path()) {
            Ok(entries) => found.extend(
                entries
                    .into_iter()
                    .filter(|entry| entry.device == device)
                    .map(|entry| MountedElsewhere {
                        pid,
                        mount_point: entry.mount_point,
                    }),
            ),
            Err(_) => unread = unread.saturating_add(1),
        }
    }
    (found, unread)
}

/// What lies at a path where something is to be mounted.
fn mount_point(path: &Raw, mounts: &MountTable) -> MountPoint {
    let unusable = |why: String| MountPoint::Unusable(why);
    let Some(text) = path.as_str() else {
        return unusable(format!(
            "{path} is not UTF-8, and Mesos takes its resources as JSON"
        ));
    };
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let is_plain = text.starts_with('/')
        && !parts.is_empty()
        && parts
            .iter()
            .all(|part| !matches!(*part, "" | "." | "..") && part.trim() == *part)
        && !text.chars().any(char::is_control)
        && !text.ends_with('\\');
    if !is_plain {
        return unusable(format!(
            "{path} is not an absolute path without `.`, `..`, repeated slashes and odd characters"
        ));
    }
    if mounts.mount_at(path).is_some() {
        return MountPoint::Mounted;
    }
    let mut here = Raw::from("/");
    let mut missing = Vec::new();
    for part in parts {
        here = here.join(part);
        if missing.is_empty() {
            if let Some(lies_on) = mounts
                .mount_of(&here)
                .filter(|mount| !mount.class().may_be_asked() || mount.read_only())
            {
                return unusable(format!(
                    "{here} lies on {} ({}), where no mount point can be made",
                    lies_on.mount_point, lies_on.fs_type
                ));
            }
            match sys::open_root(here.as_path()) {
                Ok(_) => {}
                Err(OpenError::Missing) => missing.push(here.clone()),
                Err(error) => {
                    return unusable(format!("{here} can't be used: {}", chain(&error)));
                }
            }
        } else {
            missing.push(here.clone());
        }
    }
    if !missing.is_empty() {
        return MountPoint::Missing(missing);
    }
    let content = sys::open_root(path.as_path())
        .map_err(|error| chain(&error))
        .and_then(|dir| sys::list(&dir, 16).map_err(|errno| errno.to_string()));
    match content {
        Ok(entries) if entries.is_empty() => MountPoint::Empty,
        Ok(_) => unusable(format!(
            "{path} is not empty; what is in it would be hidden by the mount"
        )),
        Err(why) => unusable(format!("{path} can't be looked at: {why}")),
    }
}

/// The records in `state_dir`; unknown where one of them can't be read.
#[must_use]
pub fn records(state_dir: &Raw) -> Known<Vec<PreparedDisk>> {
    let folder = state_dir.join(PreparedDisk::FOLDER);
    let names = match read::names(&folder) {
        Ok(names) => names,
        Err(error) if read::is_absent(&error) => return Known::Absent,
        Err(error) => return Known::unknown(chain(&error)),
    };
    let mut records = Vec::new();
    for name in names {
        // What a crash left beside a record that was being replaced is no record.
        if !name.as_bytes().ends_with(b".json") || name.as_bytes().starts_with(b".") {
            continue;
        }
        let file = folder.join(&name);
        match state_dir::versioned::<PreparedDisk>(
            &file,
            PreparedDisk::VERSION,
            "which disk was prepared as which file system is in it; restore it from a backup",
        ) {
            Known::Known(record) => records.push(record),
            Known::Absent => {}
            Known::Unknown(why) => return Known::Unknown(why),
        }
    }
    Known::Known(records)
}

/// What lies on a prepared disk besides the marker: names of trash entries, and whether there is
/// data. `Absent`: its file system is not mounted at `at`.
#[must_use]
pub fn on_disk(record: &PreparedDisk) -> (Known<Vec<Raw>>, Known<bool>) {
    let at = record.mounted_at();
    let opened = match sys::open_root(at.as_path()) {
        Ok(opened) => opened,
        Err(OpenError::Missing) => return (Known::Absent, Known::Absent),
        Err(error) => {
            let why = format!("{at} can't be opened: {}", chain(&error));
            return (Known::unknown(why.clone()), Known::unknown(why));
        }
    };
    match sys::filesystem_uuid(&opened) {
        Ok(uuid) if uuid == record.uuid => {}
        Ok(_) | Err(sys::FsUuidError::NoDevice) => return (Known::Absent, Known::Absent),
        Err(error) => {
            let why = format!("{at}: {}", chain(&error));
            return (Known::unknown(why.clone()), Known::unknown(why));
        }
    }
    let names = |path: &[&[u8]]| -> Result<Vec<Raw>, OpenError> {
        let mut dir = sys::reopen(&opened).map_err(OpenError::Io)?;
        for name in path {
            dir = match sys::open_beneath(&dir, name) {
                Ok(child) => child,
                Err(OpenError::Missing) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
        }
        let entries = sys::list(&dir, 1 << 20).map_err(OpenError::Io)?;
        Ok(entries.into_iter().map(|(name, _, _)| name).collect())
    };
    let (trash, data): (&[&[u8]], &[&[u8]]) = if record.hidden.is_some() {
        (&[b".mesos-volumed", b"trash"], &[b"volume"])
    } else {
        (
            &[b"volumes", b".mesos-volumed", b"trash"],
            &[b"volumes", b"roles"],
        )
    };
    let known = |found: Result<Vec<Raw>, OpenError>| match found {
        Ok(names) => Known::Known(names),
        Err(error) => Known::unknown(format!("{at}: {}", chain(&error))),
    };
    (
        known(names(trash)),
        known(names(data)).map(|names| !names.is_empty()),
    )
}
