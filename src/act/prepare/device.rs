//! The device right before and right after its file system is made.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use rustix::fs::OFlags;

use super::{Change, PrepareError};
use crate::decide::facts::DeviceNumber;
use crate::decide::prepare::Command;
use crate::sys::program;
use crate::units::Raw;

/// What the plan was made for.
pub(super) struct Expected<'a> {
    pub(super) device: &'a Raw,
    pub(super) number: DeviceNumber,
    pub(super) size_bytes: u64,
    pub(super) uuid: &'a str,
    pub(super) again: bool,
}

impl Expected<'_> {
    fn moved(&self, what: impl Into<String>) -> PrepareError {
        PrepareError::DeviceMoved {
            device: self.device.clone(),
            what: what.into(),
        }
    }
}

fn open(expected: &Expected<'_>, more: OFlags) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | more;
    File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(expected.device.as_path())
}

/// Looks at the device once more: the same number and size, nobody uses it, and nothing is on it
/// but what an earlier run of ours began. The open file keeps its number from going to another
/// device while the program that formats it opens it by name; it is not exclusive, because that
/// program takes the device exclusively itself.
pub(super) fn look_again(expected: &Expected<'_>, probe: &Command) -> Result<File, PrepareError> {
    let fail = |source| PrepareError::Device {
        device: expected.device.clone(),
        source,
    };
    let mut held = open(expected, OFlags::empty()).map_err(fail)?;
    let found = held.metadata().map_err(fail)?;
    let number = DeviceNumber {
        major: rustix::fs::major(found.rdev()),
        minor: rustix::fs::minor(found.rdev()),
    };
    if !found.file_type().is_block_device() || number != expected.number {
        return Err(expected.moved(format!("it is device {number}, not {}", expected.number)));
    }
    let size = held.seek(SeekFrom::End(0)).map_err(fail)?;
    if size != expected.size_bytes {
        return Err(expected.moved(format!("it has {size} bytes, not {}", expected.size_bytes)));
    }
    match open(expected, OFlags::EXCL) {
        Ok(_closed_at_once) => {}
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            return Err(expected.moved("something uses it"));
        }
        Err(error) => return Err(fail(error)),
    }
    match probed(probe)? {
        Probed::Nothing => Ok(held),
        Probed::Uuid(uuid) if expected.again && uuid == expected.uuid => Ok(held),
        Probed::Uuid(_) | Probed::Something => Err(expected.moved("a signature is on it")),
    }
}

enum Probed {
    Nothing,
    /// A file system with this UUID.
    Uuid(String),
    Something,
}

/// What blkid(8) finds now.
fn probed(probe: &Command) -> Result<Probed, PrepareError> {
    let arguments: Vec<&std::ffi::OsStr> = probe.arguments.iter().map(Raw::as_os_str).collect();
    let output = program::run(probe.program.as_path(), &arguments).map_err(|source| {
        PrepareError::Start {
            command: probe.typed(),
            source,
        }
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    match (output.status.code(), field("UUID"), field("USAGE")) {
        (Some(2), _, _) if text.trim().is_empty() => Ok(Probed::Nothing),
        (Some(0), Some(uuid), Some("filesystem")) => Ok(Probed::Uuid(uuid.to_owned())),
        (Some(0 | 8), _, _) => Ok(Probed::Something),
        _ => Err(PrepareError::Program {
            command: probe.typed(),
            status: output.status,
            said: program::said(&output),
        }),
    }
}

/// The file system is on it, durably.
pub(super) fn made(
    held: &File,
    expected: &Expected<'_>,
    probe: &Command,
) -> Result<Change, PrepareError> {
    held.sync_all().map_err(|source| PrepareError::Device {
        device: expected.device.clone(),
        source,
    })?;
    match probed(probe)? {
        Probed::Uuid(uuid) if uuid == expected.uuid => Ok(Change::Done),
        Probed::Nothing | Probed::Uuid(_) | Probed::Something => {
            Err(expected.moved("the new file system is not found on it"))
        }
    }
}
