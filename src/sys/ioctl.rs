//! The kernel calls that no crate wraps: file handles, file-system UUIDs, btrfs subvolumes, and
//! inode flags of what can't be opened.
#![expect(
    unsafe_code,
    reason = "these calls have no safe wrapper; every unsafe block of this package is in this file"
)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

/// The most bytes that a handle can have (`MAX_HANDLE_SZ`).
const MAX_HANDLE: usize = 128;

/// A file handle, as `name_to_handle_at(2)` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHandle {
    /// `handle_type`.
    pub kind: i32,
    /// The opaque bytes; for ext4, xfs and btrfs they hold inode number and generation.
    pub bytes: Vec<u8>,
    /// The mount that the file was reached through, as in mountinfo's first field.
    pub mount_id: i32,
}

/// `struct file_handle` with room for the largest handle.
#[repr(C)]
struct HandleBuffer {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    f_handle: [u8; MAX_HANDLE],
}

/// The handle of an open file; works on `O_PATH` descriptors.
///
/// `ENOTSUP` where the file system gives no handles.
pub fn file_handle(fd: BorrowedFd<'_>) -> Result<FileHandle, Errno> {
    let mut buffer = HandleBuffer {
        handle_bytes: 128,
        handle_type: 0,
        f_handle: [0; MAX_HANDLE],
    };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: the path is a NUL-terminated constant; `buffer` has the layout of
    // `struct file_handle` followed by `handle_bytes` bytes, of which the kernel writes at most
    // as many; `mount_id` is an int of ours. All three outlive the call.
    let result = unsafe {
        libc::name_to_handle_at(
            fd.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut buffer).cast(),
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    let length = usize::try_from(buffer.handle_bytes).map_err(|_large| Errno::OVERFLOW)?;
    let bytes = buffer.f_handle.get(..length).ok_or(Errno::OVERFLOW)?;
    Ok(FileHandle {
        kind: buffer.handle_type,
        bytes: bytes.to_vec(),
        mount_id,
    })
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `struct fsuuid2`.
#[repr(C)]
struct FsUuid2 {
    len: u8,
    uuid: [u8; 16],
}

/// `FS_IOC_GETFSUUID` (Linux 6.9): the UUID of the file system. `ENOTTY` where kernel or file
/// system does not know it.
pub fn fs_uuid(fd: BorrowedFd<'_>) -> Result<[u8; 16], Errno> {
    const GETFSUUID: Opcode = opcode::read::<FsUuid2>(0x15, 0);
    // SAFETY: this opcode writes one `struct fsuuid2`, whose layout `FsUuid2` has.
    let answer = unsafe { ioctl(fd, Getter::<GETFSUUID, FsUuid2>::new()) }?;
    if answer.len == 16 {
        Ok(answer.uuid)
    } else {
        Err(Errno::NOTTY)
    }
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct BtrfsFsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u64; 124],
}

const _: () = assert!(size_of::<BtrfsFsInfo>() == 1024);

/// `BTRFS_IOC_FS_INFO`: the UUID of a btrfs. Its numbers are in magic 0x94, which is btrfs's own.
pub fn btrfs_fsid(fd: BorrowedFd<'_>) -> Result<[u8; 16], Errno> {
    const FS_INFO: Opcode = opcode::read::<BtrfsFsInfo>(0x94, 31);
    // SAFETY: this opcode writes one `struct btrfs_ioctl_fs_info_args`, 1024 bytes.
    unsafe { ioctl(fd, Getter::<FS_INFO, BtrfsFsInfo>::new()) }.map(|info| info.fsid)
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct BtrfsVolArgs {
    fd: i64,
    name: [u8; 4088],
}

const _: () = assert!(size_of::<BtrfsVolArgs>() == 4096);

/// `BTRFS_IOC_SNAP_DESTROY`: destroys the subvolume `name` of this directory, read-only ones
/// included. `ENOTEMPTY` when it holds other subvolumes, `EINVAL` when it is none.
pub fn btrfs_destroy_subvolume(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    const SNAP_DESTROY: Opcode = opcode::write::<BtrfsVolArgs>(0x94, 15);
    let mut args = BtrfsVolArgs {
        fd: 0,
        name: [0; 4088],
    };
    // The last byte stays 0.
    let room = args
        .name
        .get_mut(..name.len().min(4087))
        .ok_or(Errno::NAMETOOLONG)?;
    if room.len() != name.len() {
        return Err(Errno::NAMETOOLONG);
    }
    room.copy_from_slice(name);
    // SAFETY: this opcode reads one `struct btrfs_ioctl_vol_args`; its name ends with NUL.
    unsafe { ioctl(dir, Setter::<SNAP_DESTROY, BtrfsVolArgs>::new(args)) }
}

/// `BTRFS_SUBVOL_RDONLY`.
const SUBVOLUME_READ_ONLY: u64 = 1 << 1;

/// Takes the read-only flag from the subvolume whose root directory this is; says whether it had
/// it.
pub fn btrfs_make_subvolume_writable(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    const GETFLAGS: Opcode = opcode::read::<u64>(0x94, 25);
    const SETFLAGS: Opcode = opcode::write::<u64>(0x94, 26);
    // SAFETY: this opcode writes one u64.
    let flags = unsafe { ioctl(dir, Getter::<GETFLAGS, u64>::new()) }?;
    if flags & SUBVOLUME_READ_ONLY == 0 {
        return Ok(false);
    }
    // SAFETY: this opcode reads one u64.
    unsafe {
        ioctl(
            dir,
            Setter::<SETFLAGS, u64>::new(flags & !SUBVOLUME_READ_ONLY),
        )
    }?;
    Ok(true)
}

/// `struct file_attr` (Linux 6.17).
#[repr(C)]
#[derive(Clone, Copy)]
struct FileAttr {
    xflags: u64,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
}

const SYS_FILE_GETATTR: libc::c_long = 468;
const SYS_FILE_SETATTR: libc::c_long = 469;
const XFLAG_IMMUTABLE: u64 = 0x8;
const XFLAG_APPEND: u64 = 0x10;

/// Takes the immutable and append-only flags from the entry `name` of this directory without
/// opening it: the only way for FIFOs, sockets and devices. Says whether one was set. `ENOSYS`
/// before Linux 6.17.
pub fn clear_flags_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    let mut attr = FileAttr {
        xflags: 0,
        extsize: 0,
        nextents: 0,
        projid: 0,
        cowextsize: 0,
    };
    // SAFETY: `name` is NUL-terminated; `attr` is a `struct file_attr` of the stated size. Both
    // outlive the call.
    let got = unsafe {
        libc::syscall(
            SYS_FILE_GETATTR,
            dir.as_raw_fd(),
            name.as_ptr(),
            &raw mut attr,
            size_of::<FileAttr>(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if got < 0 {
        return Err(last_errno());
    }
    if attr.xflags & (XFLAG_IMMUTABLE | XFLAG_APPEND) == 0 {
        return Ok(false);
    }
    attr.xflags &= !(XFLAG_IMMUTABLE | XFLAG_APPEND);
    // SAFETY: as above; the kernel only reads `attr`.
    let set = unsafe {
        libc::syscall(
            SYS_FILE_SETATTR,
            dir.as_raw_fd(),
            name.as_ptr(),
            &raw mut attr,
            size_of::<FileAttr>(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    if set < 0 { Err(last_errno()) } else { Ok(true) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_handle_tells_two_files_apart_and_knows_one_again() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| std::fs::File::create(dir.path().join(name)).unwrap();
        let (a, b) = (open("a"), open("b"));
        let handle = |file: &std::fs::File| file_handle(file.as_fd()).unwrap();
        assert_eq!(handle(&a), handle(&open("a")));
        assert_ne!(handle(&a).bytes, handle(&b).bytes);
        assert!(!handle(&a).bytes.is_empty());
    }

    #[test]
    fn what_has_no_handle_says_so() {
        let (read, _write) = std::io::pipe().unwrap();
        // 6.14 and newer give pidfs and the like handles, never pipes.
        assert_eq!(file_handle(read.as_fd()).unwrap_err(), Errno::OPNOTSUPP);
    }
}
