//! Block devices: what `/sys`, `/proc/swaps`, `/etc/fstab` and their own first bytes say.
//!
//! sysinfo is not used here, although it knows drives: in 0.40 each way to its list looks at every
//! mount point with `stat(2)`, also when asked for nothing but the kind of drive, and so hangs on
//! a FUSE or network mount whose server is gone. Its two extras come from where it has them, from
//! sysfs: whether a drive turns, and whether it hangs on USB.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::deadline::{Answered, PATIENCE, ask_each};
use super::mountinfo::unescape;
use super::superblock::{self, HEAD, TAIL};
use crate::decide::facts::{BlockDevice, Content, DeviceNumber, Known, MountEntry, device_of};
use crate::units::Raw;

/// Why the list of devices or of swap is unknown.
#[derive(Debug, thiserror::Error)]
pub enum DisksError {
    /// A folder or file of sysfs or procfs could not be read.
    #[error("can't read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not as the kernel writes it.
    #[error("{} is not as the kernel writes it: {what}", .path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// Every block device below `/sys/class/block`, by name, without its content.
///
/// # Errors
/// When the list can't be read. A device that goes away meanwhile is left out.
pub fn list(sys: &Path) -> Result<Vec<BlockDevice>, DisksError> {
    let class = sys.join("class/block");
    let failed = |source| DisksError::Read {
        path: class.clone(),
        source,
    };
    let mut devices = Vec::new();
    for entry in fs::read_dir(&class).map_err(failed)? {
        if let Some(device) = device(&entry.map_err(failed)?.path())? {
            devices.push(device);
        }
    }
    devices.sort_by_cached_key(|device| natural(&device.name));
    link_partitions(&mut devices);
    Ok(devices)
}

/// The devices that these mounts' file systems lie on, without their partitions and content: two
/// dozen small files a device are read, and a host may have hundreds of devices that nobody asked
/// for.
///
/// # Errors
/// As [`list`], which is what is read where a device can't be told from its mount alone.
pub fn below<'a>(
    sys: &Path,
    mounts: impl IntoIterator<Item = &'a MountEntry>,
) -> Result<Vec<BlockDevice>, DisksError> {
    let mut devices: Vec<BlockDevice> = Vec::new();
    for mount in mounts {
        if device_of(mount, &devices).is_some() {
            continue;
        }
        let name = if mount.device.major == 0 {
            // The file system has a number of its own (btrfs); its source tells.
            mount.source.as_path().file_name().map(OsStr::to_owned)
        } else {
            fs::read_link(sys.join(format!("dev/block/{}", mount.device)))
                .ok()
                .and_then(|target| target.file_name().map(OsStr::to_owned))
        };
        let found = match name {
            Some(name) => device(&sys.join("class/block").join(name))?,
            None => None,
        };
        match found {
            Some(device) if device_of(mount, std::slice::from_ref(&device)).is_some() => {
                devices.push(device);
            }
            // A mapper's name, or something that is no device.
            Some(_) | None => return list(sys),
        }
    }
    Ok(devices)
}

/// `sda2` before `sda10` before `sdb`: digits compare as numbers.
fn natural(name: &Raw) -> Vec<(u8, usize, Vec<u8>)> {
    name.as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .map(|run| match run {
            [b'0'..=b'9', ..] => (0, run.len(), run.to_vec()),
            _ => (1, 0, run.to_vec()),
        })
        .collect()
}

/// One device; `None` for one that went away, or that has no node below `/dev`.
fn device(folder: &Path) -> Result<Option<BlockDevice>, DisksError> {
    let target = match fs::read_link(folder) {
        Ok(target) => target,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(DisksError::Read {
                path: folder.to_owned(),
                source,
            });
        }
    };
    let Some(number) = attribute(folder, "dev")
        .known()
        .and_then(|text| device_number(text))
    else {
        return Ok(None);
    };
    if attribute(folder, "hidden").known() == Some(&b"1".to_vec()) {
        return Ok(None);
    }
    let name = |path: &Path| {
        path.file_name()
            .map(|name| Raw::new(name.as_bytes().to_vec()))
            .map(|name| {
                Raw::new(
                    name.as_bytes()
                        .iter()
                        .copied()
                        .map(slashes)
                        .collect::<Vec<u8>>(),
                )
            })
    };
    let Some(own_name) = name(folder) else {
        return Ok(None);
    };
    let is_partition = attribute(folder, "partition").known().is_some();
    let parent = is_partition
        .then(|| target.parent().and_then(name))
        .flatten();
    // What belongs to the drive is found one folder up from a partition.
    let drive = if is_partition {
        folder.join("..")
    } else {
        folder.to_owned()
    };
    let drive = drive.as_path();
    let path = target.as_os_str().as_bytes();
    let on_usb = path
        .split(|byte| *byte == b'/')
        .any(|part| part.starts_with(b"usb"));
    let text = |value: Known<Vec<u8>>| {
        value
            .known()
            .map(|bytes| bytes.trim_ascii().to_vec())
            .filter(|bytes| !bytes.is_empty())
            .map(Raw::new)
    };
    Ok(Some(BlockDevice {
        name: own_name,
        number,
        parent,
        mapper_name: text(attribute(folder, "dm/name")),
        size_bytes: number_of(attribute(folder, "size"), "size")
            .map(|sectors| sectors.saturating_mul(512)),
        read_only: flag(attribute(folder, "ro"), "ro"),
        removable: if on_usb {
            Known::Known(true)
        } else {
            flag(attribute(drive, "removable"), "removable")
        },
        rotational: flag(attribute(drive, "queue/rotational"), "queue/rotational"),
        is_virtual: contains(path, b"/devices/virtual/") && !contains(path, b"/nvme-subsystem/"),
        backing_file: attribute(folder, "loop/backing_file")
            .known()
            .map(|bytes| Raw::from(bytes.as_slice())),
        holders: names(&folder.join("holders"))?,
        slaves: names(&folder.join("slaves"))?,
        partitions: Vec::new(),
        model: text(attribute(drive, "device/model")),
        serial: text(attribute(drive, "serial"))
            .or_else(|| text(attribute(drive, "device/serial")))
            .or_else(|| {
                // A SCSI page has four bytes before the text.
                let page = attribute(drive, "device/vpd_pg80");
                text(page.map(|bytes| bytes.get(4..).unwrap_or_default().to_vec()))
            }),
        wwn: text(attribute(drive, "wwid")).or_else(|| text(attribute(drive, "device/wwid"))),
        content: Known::unknown("not looked at"),
    }))
}

fn slashes(byte: u8) -> u8 {
    match byte {
        b'!' => b'/',
        other => other,
    }
}

fn contains(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|window| window == part)
}

fn link_partitions(devices: &mut [BlockDevice]) {
    let pairs: Vec<(Raw, Raw)> = devices
        .iter()
        .filter_map(|device| Some((device.parent.clone()?, device.name.clone())))
        .collect();
    for device in devices {
        device.partitions = pairs
            .iter()
            .filter(|(parent, _)| *parent == device.name)
            .map(|(_, name)| name.clone())
            .collect();
    }
}

/// The content of a sysfs file without its last line feed.
fn attribute(folder: &Path, name: &str) -> Known<Vec<u8>> {
    match fs::read(folder.join(name)) {
        Ok(mut bytes) => {
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            Known::Known(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Known::Absent,
        Err(error) => Known::unknown(format!("can't read {name}: {error}")),
    }
}

fn number_of(value: Known<Vec<u8>>, name: &str) -> Known<u64> {
    match value {
        Known::Known(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map_or_else(
                || Known::unknown(format!("{name} is no number")),
                Known::Known,
            ),
        Known::Absent => Known::Absent,
        Known::Unknown(why) => Known::Unknown(why),
    }
}

fn flag(value: Known<Vec<u8>>, name: &str) -> Known<bool> {
    number_of(value, name).map(|number| number != 0)
}

fn device_number(text: &[u8]) -> Option<DeviceNumber> {
    let (major, minor) = std::str::from_utf8(text).ok()?.trim().split_once(':')?;
    Some(DeviceNumber {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

/// The names in a folder, sorted; none where there is no such folder.
fn names(folder: &Path) -> Result<Vec<Raw>, DisksError> {
    let failed = |source| DisksError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.push(Raw::new(
            name.as_bytes()
                .iter()
                .copied()
                .map(slashes)
                .collect::<Vec<u8>>(),
        ));
    }
    names.sort();
    Ok(names)
}

/// Reads what each of these devices carries from its first and last bytes, below this folder
/// (`/dev`). A drive that does not answer in time costs its own answer only.
pub fn look_into(devices: &mut [BlockDevice], dev: &Path) {
    let questions: Vec<Question> = devices
        .iter()
        .map(|device| Question {
            path: dev.join(device.name.as_os_str()),
            number: device.number,
            size: device.size_bytes.clone(),
        })
        .collect();
    let answers = ask_each(questions, PATIENCE, read_content);
    for (device, answer) in devices.iter_mut().zip(answers) {
        device.content = match answer {
            Answered::Yes(content) => content,
            Answered::TooLate => Known::unknown("the drive does not answer"),
            Answered::NotAsked => Known::unknown("not asked: too many drives do not answer"),
        };
    }
}

struct Question {
    path: PathBuf,
    number: DeviceNumber,
    size: Known<u64>,
}

fn read_content(question: &Question) -> Known<Content> {
    // Opening an empty drive can wait for its medium, or pull its tray in.
    match question.size {
        Known::Known(0) => return Known::Absent,
        Known::Known(_) => {}
        Known::Absent | Known::Unknown(_) => return Known::unknown("its size is unknown"),
    }
    match head_and_tail(question) {
        Ok(Some((head, tail))) => {
            superblock::content(&head, &tail).map_or(Known::Absent, Known::Known)
        }
        Ok(None) => Known::unknown("its node in /dev is another device"),
        Err(error) => Known::unknown(format!("can't read it: {error}")),
    }
}

/// The first and the last bytes; `None` when the node is not this device.
fn head_and_tail(question: &Question) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let mut file = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(&question.path)?;
    let metadata = file.metadata()?;
    let number = DeviceNumber {
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
    };
    if !metadata.file_type().is_block_device() || number != question.number {
        return Ok(None);
    }
    let mut head = Vec::new();
    let limit = u64::try_from(HEAD).unwrap_or(u64::MAX);
    (&mut file).take(limit).read_to_end(&mut head)?;
    let back = i64::try_from(TAIL).unwrap_or(0).saturating_neg();
    let mut tail = Vec::new();
    // A device smaller than that has all of itself in the head.
    if file.seek(SeekFrom::End(0))? > limit {
        file.seek(SeekFrom::End(back))?;
        let limit = u64::try_from(TAIL).unwrap_or(u64::MAX);
        (&mut file).take(limit).read_to_end(&mut tail)?;
    } else {
        tail.clone_from(&head);
    }
    Ok(Some((head, tail)))
}

/// Devices and files of active swap: `/proc/swaps`.
///
/// # Errors
/// When it can't be read or has another form. A kernel without swap has no such file: none.
pub fn swaps(path: &Path) -> Result<Vec<Raw>, DisksError> {
    match fs::read(path) {
        Ok(text) => parse_swaps(&text).ok_or_else(|| DisksError::Form {
            path: path.to_owned(),
            what: "the heading is missing",
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DisksError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn parse_swaps(text: &[u8]) -> Option<Vec<Raw>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut lines = text.split(|byte| *byte == b'\n');
    lines
        .next()
        .filter(|first| first.starts_with(b"Filename"))?;
    Some(
        lines
            .filter_map(|line| {
                line.split(u8::is_ascii_whitespace)
                    .find(|field| !field.is_empty())
            })
            .map(|field| Raw::new(unescape(field)))
            .collect(),
    )
}

/// The mount points that `/etc/fstab` wants; none where there is no such file.
///
/// # Errors
/// When it is there and can't be read.
pub fn fstab(path: &Path) -> Result<Vec<Raw>, DisksError> {
    match fs::read(path) {
        Ok(text) => Ok(parse_fstab(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(DisksError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn parse_fstab(text: &[u8]) -> Vec<Raw> {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.starts_with(b"#"))
        .filter_map(|line| {
            line.split(u8::is_ascii_whitespace)
                .filter(|field| !field.is_empty())
                .nth(1)
        })
        .map(unescape)
        .filter(|point| point.starts_with(b"/"))
        .map(|mut point| {
            while point.len() > 1 && point.last() == Some(&b'/') {
                point.pop();
            }
            Raw::new(point)
        })
        .collect()
}

#[cfg(test)]
mod tests;
