//! Making the file system of a MOUNT disk anew, in about a second at any size.
//!
//! What stays: type, UUID, label, size of blocks and inodes, number of inodes (ext4) or of allocation
//! groups (xfs), mount point and mount options, owner and mode of the root directory. Everything else
//! is what this host's mkfs makes by default, which discards the device where it can. Extended
//! attributes of the root directory are gone.
//!
//! It promises what `unlink` promises, and that no name and no structure of the old file system is
//! used any more; blocks that were not discarded hold their data until they are used again.
//!
//! Order: the device is opened (which keeps a loop device alive), the root let go of and unmounted,
//! the device taken exclusively (nobody holds it), mkfs, mounted again, looked at. From the unmount on
//! a failure leaves the disk unmounted or empty, says so, and the gate closed.
#![expect(
    clippy::disallowed_methods,
    reason = "the root's lost+found, which mkfs makes, is removed"
)]

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, fstatvfs, openat, unlinkat,
};
use rustix::io::{Errno, pread, retry_on_intr};

use super::overwrite::{device_name, is_device};
use crate::decide::facts::{DeviceNumber, FileIdentity};
use crate::sys::{
    OpenError, fs_uuid::FsKind, fs_uuid::fs_kind, identity, mount_id, node, open_root, program,
    read_bounded,
};
use crate::units::Raw;

/// Why a file system was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum ReformatError {
    /// It can't be done here; nothing was changed.
    #[error("{what}; nothing was changed")]
    Refused {
        /// Why.
        what: String,
    },
    /// Somebody uses it; nothing was changed.
    #[error("it could not be unmounted; nothing was changed")]
    Busy(#[source] Errno),
    /// It was unmounted, somebody holds its device, and it was mounted again.
    #[error(
        "its device is held by somebody, such as a mount in another namespace; nothing was changed"
    )]
    Held(#[source] Errno),
    /// mkfs failed.
    #[error("{program} failed, and the disk is not mounted: {said}")]
    Mkfs {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// It could not be mounted again.
    #[error("it was made anew and could not be mounted again; mount it by hand, then sweep")]
    Mount(#[source] Errno),
    /// What is there now is not what should be.
    #[error("it was made anew, and {what}")]
    Wrong {
        /// What.
        what: String,
    },
}

impl ReformatError {
    /// Whether everything is as it was.
    #[must_use]
    pub fn changed_nothing(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Busy(_) | Self::Held(_))
    }
}

/// What a reformat needs to know, read while the old file system is mounted.
#[derive(Debug)]
pub struct Old {
    root: PathBuf,
    #[expect(
        dead_code,
        reason = "a loop device goes away when nobody has it open or mounted"
    )]
    device: OwnedFd,
    number: DeviceNumber,
    device_path: PathBuf,
    flags: MsFlags,
    data: Vec<u8>,
    kind: FsKind,
    /// The mkfs of this type, found before anything is unmounted.
    program: PathBuf,
    arguments: Vec<String>,
    owner: (u32, u32, u32),
    identity: FileIdentity,
    total_bytes: u64,
}

impl Old {
    /// Of the MOUNT disk whose root this is.
    pub fn of(
        dir: BorrowedFd<'_>,
        root: &Raw,
        expected: &FileIdentity,
    ) -> Result<Self, ReformatError> {
        let refused = |what: String| ReformatError::Refused { what };
        let io =
            |errno: Errno| refused(format!("its file system could not be looked at ({errno})"));
        let kind = fs_kind(dir).map_err(io)?;
        if !matches!(kind, FsKind::Ext4 | FsKind::Xfs) {
            return Err(refused("only ext4 and xfs are made anew".to_owned()));
        }
        let program = match program::find(mkfs_of(kind)) {
            Ok(Some(path)) => path.as_path().to_path_buf(),
            Ok(None) => return Err(refused(format!("{} is not installed", mkfs_of(kind)))),
            Err(error) => {
                return Err(refused(format!(
                    "{} can't be looked for: {error}",
                    mkfs_of(kind)
                )));
            }
        };
        let number = node(dir).map_err(io)?.device;
        let line = MountLine::of(dir, number).map_err(refused)?;
        let path =
            device_name(number).ok_or_else(|| refused(format!("device {number} has no name")))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let device = retry_on_intr(|| openat(CWD, &path, flags, Mode::empty())).map_err(io)?;
        if !is_device(device.as_fd(), number) {
            return Err(refused(format!("{} is another device", path.display())));
        }
        let stat = fstat(dir).map_err(io)?;
        let mode = stat.st_mode & 0o7777;
        can_be_given(dir, mode).map_err(refused)?;
        let arguments = arguments(kind, device.as_fd())
            .ok_or_else(|| refused("its superblock is not as it should be".to_owned()))?;
        Ok(Self {
            root: root.as_path().to_path_buf(),
            device_path: path,
            flags: line.flags,
            data: line.data,
            kind,
            program,
            arguments,
            owner: (stat.st_uid, stat.st_gid, mode),
            identity: expected.clone(),
            total_bytes: total(dir).map_err(io)?,
            device,
            number,
        })
    }

    /// Makes it anew. No descriptor of the old one may be open in this process.
    pub fn make_anew(self) -> Result<(), ReformatError> {
        self.unmount()?;
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Released before mkfs, which takes it exclusively by itself.
        match retry_on_intr(|| openat(CWD, &self.device_path, flags, Mode::empty())) {
            Ok(taken) if is_device(taken.as_fd(), self.number) => drop(taken),
            Ok(_) => {
                self.mount()?;
                return Err(ReformatError::Held(Errno::NODEV));
            }
            Err(errno) => {
                self.mount()?;
                return Err(ReformatError::Held(errno));
            }
        }
        self.mkfs()?;
        self.mount()?;
        self.look()
    }

    fn unmount(&self) -> Result<(), ReformatError> {
        // Passes of this very program look at it now and then.
        for tries in 0_u32.. {
            match umount2(&self.root, MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) => break,
                Err(nix::errno::Errno::EBUSY) if tries < 20 => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(errno) => return Err(ReformatError::Busy(of_nix(errno))),
            }
        }
        Ok(())
    }

    fn mkfs(&self) -> Result<(), ReformatError> {
        let program = mkfs_of(self.kind);
        let failed = |said: String| ReformatError::Mkfs { program, said };
        let mut arguments: Vec<&OsStr> = self.arguments.iter().map(OsStr::new).collect();
        arguments.push(self.device_path.as_os_str());
        let output =
            program::run(&self.program, &arguments).map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(failed(program::said(&output)))
        }
    }

    fn mount(&self) -> Result<(), ReformatError> {
        let point = open_root(&self.root).map_err(|error| {
            ReformatError::Mount(match error {
                OpenError::Io(errno) => errno,
                OpenError::Missing => Errno::NOENT,
                OpenError::Mount
                | OpenError::Symlink
                | OpenError::NotADirectory
                | OpenError::NoMountId => Errno::NOTDIR,
            })
        })?;
        // On what was opened: the path is not resolved again.
        let target = format!("/proc/self/fd/{}", point.as_raw_fd());
        let kind = match self.kind {
            FsKind::Xfs => "xfs",
            FsKind::Ext4 | FsKind::Btrfs | FsKind::Other => "ext4",
        };
        mount(
            Some(&self.device_path),
            target.as_str(),
            Some(kind),
            self.flags,
            Some(self.data.as_slice()),
        )
        .map_err(|errno| ReformatError::Mount(of_nix(errno)))
    }

    /// Looks at what is there now, and gives the root its owner back.
    fn look(&self) -> Result<(), ReformatError> {
        let wrong = |what: String| ReformatError::Wrong { what };
        let io = |errno: Errno| wrong(format!("could not be looked at ({errno})"));
        let root = open_root(&self.root).map_err(|error| wrong(error.to_string()))?;
        let found = identity(&root).map_err(|error| wrong(error.to_string()))?;
        if found != self.identity {
            return Err(wrong(format!(
                "its root is another than before; run `mesos-volumed disk accept {}`",
                self.root.display()
            )));
        }
        match unlinkat(&root, c"lost+found", AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io(errno)),
        }
        let (user, group, mode) = self.owner;
        fchown(&root, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))).map_err(io)?;
        fchmod(&root, Mode::from_raw_mode(mode)).map_err(io)?;
        rustix::fs::syncfs(&root).map_err(io)?;
        if total(root.as_fd()).map_err(io)? < self.total_bytes {
            return Err(wrong("has less room than before".to_owned()));
        }
        Ok(())
    }
}

/// Whether a new root can be given this mode: set-user-ID and set-group-ID bits are dropped in silence,
/// or refused, where this process may not set them. Tried on the old root, which has it already.
fn can_be_given(dir: BorrowedFd<'_>, mode: u32) -> Result<(), String> {
    if mode & 0o6000 == 0 {
        return Ok(());
    }
    let own = rustix::thread::capabilities(None)
        .map_err(|errno| format!("what this process may do can't be told ({errno})"))?;
    let may = own
        .effective
        .contains(rustix::thread::CapabilitySet::FSETID);
    if may && fchmod(dir, Mode::from_raw_mode(mode)).is_ok() {
        return Ok(());
    }
    Err(format!(
        "this process may not give a new root the mode {mode:o} of the old one (CAP_FSETID, and \
         RestrictSUIDSGID= of its unit); take the bit away"
    ))
}

fn mkfs_of(kind: FsKind) -> &'static str {
    match kind {
        FsKind::Xfs => "mkfs.xfs",
        FsKind::Ext4 | FsKind::Btrfs | FsKind::Other => "mkfs.ext4",
    }
}

fn of_nix(errno: nix::errno::Errno) -> Errno {
    Errno::from_io_error(&std::io::Error::from(errno)).unwrap_or(Errno::IO)
}

fn total(dir: BorrowedFd<'_>) -> Result<u64, Errno> {
    let found = retry_on_intr(|| fstatvfs(dir))?;
    Ok(found.f_blocks.saturating_mul(found.f_frsize))
}

/// How a file system is mounted.
struct MountLine {
    flags: MsFlags,
    data: Vec<u8>,
}

impl MountLine {
    /// By its line in mountinfo; refused where the file system is mounted elsewhere, too.
    fn of(dir: BorrowedFd<'_>, number: DeviceNumber) -> Result<Self, String> {
        let id = mount_id(dir)
            .map_err(|errno| format!("its mount can't be told ({errno})"))?
            .0
            .to_string();
        let table = read_bounded(Path::new("/proc/self/mountinfo"), 64 << 20)
            .map_err(|_unreadable| "the mount table can't be read".to_owned())?;
        Self::in_table(&table, &id, &number.to_string())
    }

    /// The line of this mount of this device, which has to be its only one.
    fn in_table(table: &[u8], id: &str, device: &str) -> Result<Self, String> {
        let mut mine = None;
        for line in table.split(|&byte| byte == b'\n') {
            let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
            if fields.get(2) != Some(&device.as_bytes()) {
                continue;
            }
            if fields.first() != Some(&id.as_bytes()) {
                let point = Raw::new(fields.get(4).copied().unwrap_or_default());
                return Err(format!("its file system is also mounted at {point}"));
            }
            if fields.get(3) != Some(&b"/".as_slice()) {
                return Err("only a part of its file system is mounted there".to_owned());
            }
            let options = fields.get(5).copied().unwrap_or_default();
            let data = fields
                .iter()
                .skip_while(|field| **field != b"-")
                .nth(3)
                .copied()
                .unwrap_or_default();
            mine = Some((options, data));
        }
        let (options, data) = mine.ok_or("its mount is not in the mount table")?;
        let own = [b"rw".as_slice(), b"ro", b"seclabel"];
        let data: Vec<&[u8]> = data
            .split(|&byte| byte == b',')
            .filter(|option| !own.contains(option))
            .collect();
        Ok(Self {
            flags: flags(options),
            data: data.join(&b','),
        })
    }
}

/// The flags of a mount, from its options in mountinfo.
fn flags(options: &[u8]) -> MsFlags {
    options
        .split(|&byte| byte == b',')
        .map(|option| match option {
            b"ro" => MsFlags::MS_RDONLY,
            b"nosuid" => MsFlags::MS_NOSUID,
            b"nodev" => MsFlags::MS_NODEV,
            b"noexec" => MsFlags::MS_NOEXEC,
            b"noatime" => MsFlags::MS_NOATIME,
            b"nodiratime" => MsFlags::MS_NODIRATIME,
            b"relatime" => MsFlags::MS_RELATIME,
            // Neither relatime nor noatime is shown: it is strict.
            _ => MsFlags::empty(),
        })
        .fold(MsFlags::empty(), |all, one| all | one)
        | if [b"noatime".as_slice(), b"relatime"].iter().any(|word| {
            options
                .split(|&byte| byte == b',')
                .any(|option| option == *word)
        }) {
            MsFlags::empty()
        } else {
            MsFlags::MS_STRICTATIME
        }
}

/// What mkfs is told, so that what matters of the old file system stays.
fn arguments(kind: FsKind, device: BorrowedFd<'_>) -> Option<Vec<String>> {
    let mut block = [0_u8; 512];
    let at = if kind == FsKind::Ext4 { 1024 } else { 0 };
    let length = block.len();
    let read = retry_on_intr(|| pread(device, &mut block, at)).ok()?;
    if read != length {
        return None;
    }
    let bytes = |from: usize, length: usize| block.get(from..from.checked_add(length)?);
    let uuid = |from: usize| uuid::Uuid::from_slice(bytes(from, 16)?).ok();
    let label = |from: usize, length: usize| -> Option<String> {
        let text = bytes(from, length)?;
        let text = text.split(|&byte| byte == 0).next()?;
        String::from_utf8(text.to_vec()).ok()
    };
    let number = |bytes: &[u8], big: bool| -> u64 {
        let fold = |n: u64, byte: &u8| (n << 8) | u64::from(*byte);
        if big {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        }
    };
    if kind == FsKind::Ext4 {
        if bytes(0x38, 2)? != [0x53, 0xEF] {
            return None;
        }
        let block_size =
            1024_u64.checked_shl(u32::try_from(number(bytes(0x18, 4)?, false)).ok()?)?;
        Some(vec![
            "-q".into(),
            "-F".into(),
            "-U".into(),
            uuid(0x68)?.to_string(),
            "-L".into(),
            label(0x78, 16)?,
            "-b".into(),
            block_size.to_string(),
            "-I".into(),
            number(bytes(0x58, 2)?, false).to_string(),
            "-N".into(),
            number(bytes(0, 4)?, false).to_string(),
        ])
    } else {
        if bytes(0, 4)? != b"XFSB" {
            return None;
        }
        let mut arguments = vec![
            "-q".into(),
            "-f".into(),
            "-m".into(),
            format!("uuid={}", uuid(32)?),
            "-b".into(),
            format!("size={}", number(bytes(4, 4)?, true)),
            "-i".into(),
            format!("size={}", number(bytes(104, 2)?, true)),
            "-d".into(),
            format!("agcount={}", number(bytes(88, 4)?, true)),
        ];
        let label = label(108, 12)?;
        if !label.is_empty() {
            arguments.extend(["-L".into(), label]);
        }
        Some(arguments)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn mount_options_become_flags() {
        assert_eq!(flags(b"rw,relatime"), MsFlags::MS_RELATIME);
        assert_eq!(flags(b"rw"), MsFlags::MS_STRICTATIME);
        assert_eq!(
            flags(b"rw,nosuid,nodev,noatime"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME
        );
        assert_eq!(
            flags(b"ro,noexec,nodiratime,relatime"),
            MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC | MsFlags::MS_NODIRATIME | MsFlags::MS_RELATIME
        );
    }

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 8:17 / /disks/a rw,nosuid,relatime shared:7 master:3 - xfs /dev/sdb1 rw,seclabel,noquota
41 22 8:18 / /disks/b ro,noatime - ext4 /dev/sdb2 ro
42 22 8:18 / /elsewhere ro,noatime - ext4 /dev/sdb2 ro
43 22 8:19 /part /disks/c rw - ext4 /dev/sdb3 rw
";

    #[test]
    fn a_disk_is_mounted_again_as_it_was() {
        let line = MountLine::in_table(TABLE.as_bytes(), "40", "8:17").unwrap();
        assert_eq!(line.flags, MsFlags::MS_NOSUID | MsFlags::MS_RELATIME);
        // The kernel shows these, and takes them from nobody.
        assert_eq!(line.data, b"noquota");
        let line = MountLine::in_table(TABLE.as_bytes(), "22", "8:1").unwrap();
        assert_eq!(line.data, b"errors=remount-ro");
    }

    #[test]
    fn what_is_mounted_elsewhere_or_in_part_is_not_made_anew() {
        let refused = |id, device| {
            let line = MountLine::in_table(TABLE.as_bytes(), id, device);
            line.map(|line| line.data).unwrap_err()
        };
        assert!(refused("41", "8:18").contains("also mounted at /elsewhere"));
        assert!(refused("42", "8:18").contains("also mounted at /disks/b"));
        assert!(refused("43", "8:19").contains("only a part"));
        assert!(refused("44", "8:20").contains("not in the mount table"));
        assert!(refused("4", "8:17").contains("also mounted"));
    }

    /// A device that begins with these bytes, by their places.
    fn device(parts: &[(usize, &[u8])]) -> std::fs::File {
        let mut bytes = vec![0; 4096];
        for (at, part) in parts {
            bytes[*at..at.checked_add(part.len()).unwrap()].copy_from_slice(part);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    const UUID: [u8; 16] = [
        0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8,
    ];

    #[test]
    fn mkfs_is_told_what_stays_of_ext4() {
        let said = arguments(
            FsKind::Ext4,
            device(&[
                (1024, &[0x00, 0x01, 0x02, 0x00]),
                (1024 + 0x18, &[2, 0, 0, 0]),
                (1024 + 0x38, &[0x53, 0xEF]),
                (1024 + 0x58, &[0, 1]),
                (1024 + 0x68, &UUID),
                (1024 + 0x78, b"mesos a"),
            ])
            .as_fd(),
        );
        let expected =
            "-q -F -U 12345678-9abc-def0-0102-030405060708 -L mesos_a -b 4096 -I 256 -N 131328";
        assert_eq!(
            said.unwrap().join(" ").replace("mesos a", "mesos_a"),
            expected
        );
    }

    #[test]
    fn mkfs_is_told_what_stays_of_xfs() {
        let parts: [(usize, &[u8]); 5] = [
            (0, b"XFSB"),
            (4, &[0, 0, 0x10, 0]),
            (32, &UUID),
            (88, &[0, 0, 1, 4]),
            (104, &[2, 0]),
        ];
        let expected = "-q -f -m uuid=12345678-9abc-def0-0102-030405060708 -b size=4096 -i size=512 \
                        -d agcount=260";
        let said = arguments(FsKind::Xfs, device(&parts).as_fd()).unwrap();
        assert_eq!(said.join(" "), expected);
        let labelled = [&parts[..], &[(108, b"disk12345678")]].concat();
        let said = arguments(FsKind::Xfs, device(&labelled).as_fd()).unwrap();
        assert_eq!(said.join(" "), format!("{expected} -L disk12345678"));
    }

    #[test]
    fn a_superblock_that_is_none_gives_no_orders() {
        for kind in [FsKind::Ext4, FsKind::Xfs] {
            assert_eq!(arguments(kind, device(&[]).as_fd()), None);
            let short = tempfile::tempfile().unwrap();
            assert_eq!(arguments(kind, short.as_fd()), None);
        }
        // Of ext4, beyond any size of blocks.
        let wrong = device(&[(1024 + 0x18, &[99, 0, 0, 0]), (1024 + 0x38, &[0x53, 0xEF])]);
        assert_eq!(arguments(FsKind::Ext4, wrong.as_fd()), None);
    }

    #[test]
    fn only_what_changed_nothing_says_so() {
        let what = String::new;
        let said = [
            ReformatError::Refused { what: what() },
            ReformatError::Busy(Errno::BUSY),
            ReformatError::Held(Errno::BUSY),
            ReformatError::Mkfs {
                program: "mkfs.xfs",
                said: what(),
            },
            ReformatError::Mount(Errno::IO),
            ReformatError::Wrong { what: what() },
        ]
        .map(|error| {
            (
                error.changed_nothing(),
                error.to_string().contains("nothing was changed"),
            )
        });
        let yes = (true, true);
        assert_eq!(
            said,
            [
                yes,
                yes,
                yes,
                (false, false),
                (false, false),
                (false, false)
            ]
        );
    }
}
