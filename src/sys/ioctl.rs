//! The kernel calls that no crate wraps: file handles, file-system UUIDs, btrfs subvolumes and items,
//! project ids and quotas, inode flags of what can't be opened, where the bytes of a file lie, and what
//! is free on a device.
#![expect(
    unsafe_code,
    reason = "these calls have no safe wrapper; every unsafe block but that of sys/heap.rs is in this file"
)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};

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

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct BtrfsInodeLookup {
    tree: u64,
    inode: u64,
    name: [u8; 4080],
}

const _: () = assert!(size_of::<BtrfsInodeLookup>() == 4096);

/// The number of the subvolume that a file or directory of btrfs lies in, as in `btrfs subvolume list`.
pub fn btrfs_subvolume_id(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    const INO_LOOKUP: Opcode = opcode::read_write::<BtrfsInodeLookup>(0x94, 18);
    let mut lookup = BtrfsInodeLookup {
        tree: 0,
        // The root directory of every subvolume.
        inode: 256,
        name: [0; 4080],
    };
    // SAFETY: this opcode reads and writes one `struct btrfs_ioctl_ino_lookup_args`.
    unsafe {
        ioctl(
            fd,
            Updater::<INO_LOOKUP, BtrfsInodeLookup>::new(&mut lookup),
        )
    }?;
    Ok(lookup.tree)
}

/// What is free for items in one search.
const ITEMS: usize = 4096 - 104;

/// `struct btrfs_ioctl_search_args`.
#[repr(C)]
struct BtrfsSearch {
    tree: u64,
    objects: [u64; 2],
    offsets: [u64; 2],
    transactions: [u64; 2],
    kinds: [u32; 2],
    items: u32,
    unused: u32,
    unused_wide: [u64; 4],
    found: [u8; ITEMS],
}

const _: () = assert!(size_of::<BtrfsSearch>() == 4096);

/// `BTRFS_IOC_TREE_SEARCH`: the bytes of the first item in a tree of the btrfs that this was opened on,
/// with this object and kind, and an offset in this range; `None` where there is none. `ENOENT` when
/// there is no such tree.
pub fn btrfs_item(
    fd: BorrowedFd<'_>,
    tree: u64,
    object: u64,
    kind: u32,
    offsets: [u64; 2],
) -> Result<Option<Vec<u8>>, Errno> {
    const TREE_SEARCH: Opcode = opcode::read_write::<BtrfsSearch>(0x94, 17);
    /// `struct btrfs_ioctl_search_header`, the length its last four bytes.
    const HEADER: usize = 32;
    let mut search = BtrfsSearch {
        tree,
        objects: [object; 2],
        offsets,
        transactions: [0, u64::MAX],
        kinds: [kind; 2],
        items: 1,
        unused: 0,
        unused_wide: [0; 4],
        found: [0; ITEMS],
    };
    // SAFETY: this opcode reads and writes one `struct btrfs_ioctl_search_args`, whose buffer has the
    // size that is in the opcode.
    unsafe { ioctl(fd, Updater::<TREE_SEARCH, BtrfsSearch>::new(&mut search)) }?;
    if search.items == 0 {
        return Ok(None);
    }
    let (header, rest) = search
        .found
        .split_first_chunk::<HEADER>()
        .ok_or(Errno::OVERFLOW)?;
    let length = header.last_chunk().ok_or(Errno::OVERFLOW)?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).map_err(|_large| Errno::OVERFLOW)?;
    Ok(Some(rest.get(..length).ok_or(Errno::OVERFLOW)?.to_vec()))
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

const _: () = assert!(size_of::<FsXattr>() == 28);

/// `FS_IOC_FSGETXATTR`: the project id of an open directory that hands it on to all that is made in it
/// (`FS_XFLAG_PROJINHERIT`); `None` where it has none, or keeps it to itself.
pub fn inherited_project(dir: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    const FSGETXATTR: Opcode = opcode::read::<FsXattr>(b'X', 31);
    const PROJINHERIT: u32 = 0x200;
    // SAFETY: this opcode writes one `struct fsxattr`.
    let found = unsafe { ioctl(dir, Getter::<FSGETXATTR, FsXattr>::new()) }?;
    Ok((found.projid != 0 && found.xflags & PROJINHERIT != 0).then_some(found.projid))
}

/// `FS_IOC_FSGETXATTR`: the project id of an open file or directory; 0 where it has none, and where its
/// file system knows of none.
pub fn project(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    match get_xattr(fd) {
        Ok(found) => Ok(found.projid),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(0),
        Err(errno) => Err(errno),
    }
}

fn get_xattr(fd: BorrowedFd<'_>) -> Result<FsXattr, Errno> {
    const FSGETXATTR: Opcode = opcode::read::<FsXattr>(b'X', 31);
    // SAFETY: this opcode writes one `struct fsxattr`.
    unsafe { ioctl(fd, Getter::<FSGETXATTR, FsXattr>::new()) }
}

/// `FS_IOC_FSSETXATTR`: takes the project id from an open file or directory, and from a directory that
/// it hands it on; whether there was one. What is immutable or append-only stays so.
pub fn clear_project(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    const FSSETXATTR: Opcode = opcode::write::<FsXattr>(b'X', 32);
    const PROJINHERIT: u32 = 0x200;
    const KEEPING: u32 = 0x8 | 0x10;
    let mut attr = match get_xattr(fd) {
        Ok(attr) => attr,
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    if attr.projid == 0 && attr.xflags & PROJINHERIT == 0 {
        return Ok(false);
    }
    attr.projid = 0;
    attr.xflags &= !PROJINHERIT;
    let set = |attr: FsXattr| {
        // SAFETY: this opcode reads one `struct fsxattr`.
        unsafe { ioctl(fd, Setter::<FSSETXATTR, FsXattr>::new(attr)) }
    };
    match set(attr) {
        Err(Errno::PERM) if attr.xflags & KEEPING != 0 => {
            set(FsXattr {
                xflags: attr.xflags & !KEEPING,
                ..attr
            })?;
            set(attr)?;
            Ok(true)
        }
        other => other.map(|()| true),
    }
}

/// `struct fs_disk_quota`.
#[repr(C)]
#[derive(Default)]
struct XfsQuota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    limits: [u64; 4],
    blocks: u64,
    inodes: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    timers_high: [i8; 4],
    realtime_limits: [u64; 2],
    realtime_blocks: u64,
    realtime_timer: i32,
    realtime_warnings: u16,
    padding: [u8; 10],
}

const _: () = assert!(size_of::<XfsQuota>() == 112);

/// `struct fs_quota_stat`; of it only the flags mean something here.
#[repr(C)]
#[derive(Default)]
struct XfsQuotaState {
    version: i8,
    flags: u16,
    padding: i8,
    files: [[u64; 3]; 2],
    rest: [u32; 5],
}

const _: () = assert!(size_of::<XfsQuotaState>() == 80);

/// What a project takes up on an xfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectUsage {
    /// Bytes, those that are only reserved yet among them.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// `quotactl_fd(Q_XGETQUOTA)` (Linux 5.14): what a project takes up on the xfs that this was opened on;
/// `None` where it does not count that. `ENOSYS` where the kernel has no quota or not this call.
pub fn xfs_project_usage(fd: BorrowedFd<'_>, project: u32) -> Result<Option<ProjectUsage>, Errno> {
    const PROJECT: u32 = 2;
    const GET_STATE: u32 = (0x5805 << 8) | PROJECT;
    const GET_QUOTA: u32 = (0x5803 << 8) | PROJECT;
    const PROJECTS_ARE_COUNTED: u16 = 1 << 4;
    let mut state = XfsQuotaState::default();
    // SAFETY: this command writes one `struct fs_quota_stat`, which is no larger than `state`.
    unsafe { quotactl_fd(fd, GET_STATE, 0, (&raw mut state).cast()) }?;
    if state.flags & PROJECTS_ARE_COUNTED == 0 {
        return Ok(None);
    }
    let mut quota = XfsQuota::default();
    // SAFETY: this command writes one `struct fs_disk_quota`, whose layout `XfsQuota` has.
    match unsafe { quotactl_fd(fd, GET_QUOTA, project, (&raw mut quota).cast()) } {
        Ok(()) if quota.id == project && quota.realtime_blocks == 0 => Ok(Some(ProjectUsage {
            bytes: quota.blocks.saturating_mul(512),
            inodes: quota.inodes,
        })),
        // Another's, or on a part of the disk that is counted apart; or never counted.
        Ok(()) | Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// # Safety
///
/// `to` points to what the command writes.
unsafe fn quotactl_fd(
    fd: BorrowedFd<'_>,
    command: u32,
    id: u32,
    to: *mut libc::c_void,
) -> Result<(), Errno> {
    const SYS_QUOTACTL_FD: libc::c_long = 443;
    // SAFETY: by this function's own contract.
    let result = unsafe { libc::syscall(SYS_QUOTACTL_FD, fd.as_raw_fd(), command, id, to) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
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
    change_attr_at(dir, name, |attr| {
        let had = attr.xflags & (XFLAG_IMMUTABLE | XFLAG_APPEND) != 0;
        attr.xflags &= !(XFLAG_IMMUTABLE | XFLAG_APPEND);
        had
    })
}

/// Takes the project id from the entry `name` without opening it; whether there was one. `ENOSYS` before
/// Linux 6.17.
pub fn clear_project_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    change_attr_at(dir, name, |attr| {
        let had = attr.projid != 0;
        attr.projid = 0;
        had
    })
}

/// Changes attributes of an entry where `change` says that it changed some.
fn change_attr_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    change: impl FnOnce(&mut FileAttr) -> bool,
) -> Result<bool, Errno> {
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
    if !change(&mut attr) {
        return Ok(false);
    }
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

/// A part of a file as its file system maps it; all numbers in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileExtent {
    /// Where it begins in the file.
    pub logical: u64,
    /// Where it begins on the device; means something only where [`FileExtent::on_device`] says so.
    pub physical: u64,
    /// How long it is.
    pub length: u64,
    reserved_wide: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

const _: () = assert!(size_of::<FileExtent>() == 56);

impl FileExtent {
    const LAST: u32 = 0x1;
    const UNKNOWN: u32 = 0x2;
    const DELALLOC: u32 = 0x4;
    const ENCODED: u32 = 0x8;
    const DATA_ENCRYPTED: u32 = 0x80;
    const NOT_ALIGNED: u32 = 0x100;
    const DATA_INLINE: u32 = 0x200;
    const DATA_TAIL: u32 = 0x400;
    const SHARED: u32 = 0x2000;

    /// Whether no other follows it in the file.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.flags & Self::LAST != 0
    }

    /// Whether no place on the device was chosen for it yet.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.flags & (Self::DELALLOC | Self::UNKNOWN) != 0
    }

    /// Whether another file, or another part, has the same blocks.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.flags & Self::SHARED != 0
    }

    /// Whether it lies among metadata instead of in blocks of its own.
    #[must_use]
    pub const fn is_inline(&self) -> bool {
        self.flags & (Self::DATA_INLINE | Self::DATA_TAIL | Self::NOT_ALIGNED) != 0
    }

    /// Whether the blocks hold something else than the file's bytes: compressed or encrypted.
    #[must_use]
    pub const fn is_encoded(&self) -> bool {
        self.flags & (Self::ENCODED | Self::DATA_ENCRYPTED) != 0
    }

    /// Whether `physical` is where its bytes lie.
    #[must_use]
    pub const fn on_device(&self) -> bool {
        !self.is_pending() && !self.is_inline() && !self.is_encoded()
    }
}

/// How many extents one call gives at most.
const EXTENTS: usize = 64;

/// `struct fiemap` with room for extents.
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [FileExtent; EXTENTS],
}

/// The part of [`Fiemap`] whose size is in its opcode.
#[repr(C)]
struct FiemapHead([u64; 4]);

/// `FS_IOC_FIEMAP`: the next extents of an open file from this byte on, in their order, into
/// `found`, which is emptied before. `write_out` first writes out what has no place on the device
/// yet. Holes have no extent.
pub fn file_extents(
    fd: BorrowedFd<'_>,
    from: u64,
    write_out: bool,
    found: &mut Vec<FileExtent>,
) -> Result<(), Errno> {
    const FIEMAP: Opcode = opcode::read_write::<FiemapHead>(b'f', 11);
    let mut map = Fiemap {
        start: from,
        length: u64::MAX.saturating_sub(from),
        flags: u32::from(write_out),
        mapped: 0,
        count: 64,
        reserved: 0,
        extents: [FileExtent::default(); EXTENTS],
    };
    found.clear();
    // SAFETY: this opcode reads and writes one `struct fiemap`, followed by at most `count`
    // `struct fiemap_extent`, for which there is room.
    unsafe { ioctl(fd, Updater::<FIEMAP, Fiemap>::new(&mut map)) }?;
    let mapped = usize::try_from(map.mapped).map_err(|_large| Errno::OVERFLOW)?;
    found.extend_from_slice(map.extents.get(..mapped).ok_or(Errno::OVERFLOW)?);
    Ok(())
}

/// `struct fstrim_range`.
#[repr(C)]
struct TrimRange {
    start: u64,
    length: u64,
    least: u64,
}

/// `FITRIM`: has the file system tell its device all blocks that are free; how many bytes it told.
/// `EOPNOTSUPP` where the device takes no such word.
pub fn trim_free(dir: BorrowedFd<'_>) -> Result<u64, Errno> {
    const FITRIM: Opcode = opcode::read_write::<TrimRange>(b'X', 121);
    let mut range = TrimRange {
        start: 0,
        length: u64::MAX,
        least: 0,
    };
    // SAFETY: this opcode reads and writes one `struct fstrim_range`.
    unsafe { ioctl(dir, Updater::<FITRIM, TrimRange>::new(&mut range)) }?;
    Ok(range.length)
}

/// `BLKGETSIZE64`: the size of a block device, in bytes.
pub fn device_size(device: BorrowedFd<'_>) -> Result<u64, Errno> {
    const GETSIZE64: Opcode = opcode::read::<usize>(0x12, 114);
    // SAFETY: this opcode writes one u64 (its number was made with `size_t`).
    unsafe { ioctl(device, Getter::<GETSIZE64, u64>::new()) }
}

/// `BLKZEROOUT`: makes a range of a block device, in bytes, read as zeros. Device and driver choose
/// how; some only note it.
pub fn zero_device(device: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), Errno> {
    const ZEROOUT: Opcode = opcode::none(0x12, 127);
    // SAFETY: this opcode reads two u64.
    unsafe { ioctl(device, Setter::<ZEROOUT, [u64; 2]>::new([from, length])) }
}

/// `BLKDISCARD`: tells a block device that nobody wants a range of it any more, in bytes.
pub fn discard_device(device: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), Errno> {
    const DISCARD: Opcode = opcode::none(0x12, 119);
    // SAFETY: this opcode reads two u64.
    unsafe { ioctl(device, Setter::<DISCARD, [u64; 2]>::new([from, length])) }
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
