//! A regular file, taken hold of without ever opening anything else.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, IFlags, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps, UTIME_OMIT,
    futimens, ioctl_getflags, ioctl_setflags, openat, statx,
};
use rustix::io::{Errno, retry_on_intr};

use crate::sys::{OpenError, Resolver};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::act::wipe) struct Look {
    pub(in crate::act::wipe) inode: u64,
    pub(in crate::act::wipe) links: u32,
    /// In bytes.
    pub(in crate::act::wipe) size: u64,
    /// Bytes that it takes on the file system.
    pub(in crate::act::wipe) allocated: u64,
    modified: Mark,
}

impl Look {
    /// Whether it has no byte of data anywhere.
    pub(in crate::act::wipe) fn is_empty(&self) -> bool {
        self.size == 0 && self.allocated == 0
    }

    /// Whether nobody changed it since it was marked.
    pub(super) fn bears(&self, mark: Mark) -> bool {
        // Small inodes of ext4 keep whole seconds.
        self.modified == mark || (self.modified.seconds == mark.seconds && self.modified.nanos == 0)
    }
}

/// A time of change that nobody else would give a file. A file bears it from when it was
/// overwritten until it is written to again, so that nothing has to be remembered about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    seconds: i64,
    nanos: u32,
}

impl Mark {
    /// One that nobody can guess.
    pub(super) fn random() -> Result<Self, Errno> {
        let mut bytes = [0_u8; 8];
        let (seconds, nanos) = {
            fill_random(&mut bytes)?;
            let (a, b) = bytes.split_at(4);
            let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |n, b| (n << 8) | u32::from(*b));
            (number(a), number(b))
        };
        Ok(Self {
            // From 1970 on for 68 years, which every file system can keep.
            seconds: i64::from(seconds & 0x7FFF_FFFF),
            nanos: nanos.checked_rem(1_000_000_000).unwrap_or(0).max(1),
        })
    }

    /// Marks a file.
    pub(super) fn set(self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        futimens(
            file,
            &Timestamps {
                last_access: Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_OMIT,
                },
                last_modification: Timespec {
                    tv_sec: self.seconds,
                    tv_nsec: self.nanos.into(),
                },
            },
        )
    }
}

/// Random bytes of the kernel.
pub(super) fn fill_random(mut bytes: &mut [u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let got = retry_on_intr(|| {
            rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
        })?;
        bytes = bytes.get_mut(got..).ok_or(Errno::IO)?;
    }
    Ok(())
}

/// Looks at an open file.
pub(super) fn look(fd: BorrowedFd<'_>) -> Result<Option<Look>, Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH;
    let found = retry_on_intr(|| statx(fd, c"", flags, StatxFlags::BASIC_STATS))?;
    Ok(of_regular(&found))
}

/// Looks at what this name shows at this moment, itself if it is a link, and asks nothing of a file
/// system that may be mounted there; what it is a moment later is the caller's risk.
pub(super) fn glance(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Look>, Errno> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = retry_on_intr(|| statx(dir, name, flags, StatxFlags::BASIC_STATS))?;
    Ok(of_regular(&found))
}

fn of_regular(found: &Statx) -> Option<Look> {
    let kind = rustix::fs::FileType::from_raw_mode(u32::from(found.stx_mode));
    kind.is_file().then_some(Look {
        inode: found.stx_ino,
        links: found.stx_nlink,
        size: found.stx_size,
        allocated: found.stx_blocks.saturating_mul(512),
        modified: Mark {
            seconds: found.stx_mtime.tv_sec,
            nanos: found.stx_mtime.tv_nsec,
        },
    })
}

/// The entry of this name if it is a regular file; nothing is opened for access.
pub(in crate::act::wipe) fn find(
    dir: BorrowedFd<'_>,
    name: &[u8],
) -> Result<Option<(OwnedFd, Look)>, OpenError> {
    let entry = Resolver::probed().entry_beneath(dir, name)?;
    let found = look(entry.as_fd()).map_err(OpenError::Io)?;
    Ok(found.map(|look| (entry, look)))
}

/// Opens what [`find`] found: by its descriptor, so that no name is resolved again.
pub(in crate::act::wipe) fn open(entry: &OwnedFd, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(CWD, path.as_str(), flags, Mode::empty()))
}

const KEEPING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// Opens it for writing, with its one name; takes the flags away that keep even root from it.
pub(super) fn open_to_write(entry: &OwnedFd, more: OFlags) -> Result<OwnedFd, Errno> {
    match open(entry, OFlags::RDWR | more) {
        Err(Errno::PERM) => {
            let file = open(entry, OFlags::RDONLY)?;
            let flags = ioctl_getflags(&file)?;
            if !flags.intersects(KEEPING) {
                return Err(Errno::PERM);
            }
            ioctl_setflags(&file, flags.difference(KEEPING))?;
            open(entry, OFlags::RDWR | more)
        }
        other => other,
    }
}

/// Whether ext4 journals the data of this very file.
pub(super) fn is_journaled(file: BorrowedFd<'_>) -> bool {
    ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::JOURNALING))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make and look at files of their own"
)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::act::wipe::tests::temp;

    fn set(file: &File, seconds: i64, nanos: u32) {
        Mark { seconds, nanos }.set(file.as_fd()).unwrap();
    }

    #[test]
    fn a_file_bears_its_mark_until_somebody_writes_to_it() {
        let temp = temp();
        let path = temp.path().join("file");
        std::fs::write(&path, "data").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let mark = Mark::random().unwrap();
        let bears = || look(file.as_fd()).unwrap().unwrap().bears(mark);
        assert!(!bears());
        let accessed = file.metadata().unwrap().atime_nsec();
        mark.set(file.as_fd()).unwrap();
        assert!(bears());
        assert_eq!(file.metadata().unwrap().atime_nsec(), accessed);
        std::os::unix::fs::FileExt::write_all_at(&file, b"more", 0).unwrap();
        assert!(!bears());
        // Small inodes of ext4 keep whole seconds; nothing else passes.
        set(&file, mark.seconds, 0);
        assert!(bears());
        set(&file, mark.seconds, mark.nanos ^ 1);
        assert!(!bears());
        set(&file, mark.seconds ^ 1, mark.nanos);
        assert!(!bears());
        set(&file, mark.seconds ^ 1, 0);
        assert!(!bears());
    }

    #[test]
    fn nobody_guesses_a_mark_and_every_file_system_keeps_it() {
        let marks: Vec<Mark> = (0..200).map(|_| Mark::random().unwrap()).collect();
        let seconds: BTreeSet<_> = marks.iter().map(|mark| mark.seconds).collect();
        let nanos: BTreeSet<_> = marks.iter().map(|mark| mark.nanos).collect();
        // Two may be alike by chance, once in ten thousand runs.
        assert!(seconds.len() >= 198 && nanos.len() >= 198, "{marks:?}");
        for mark in marks {
            assert!((0..=i64::from(i32::MAX)).contains(&mark.seconds));
            assert!((1..1_000_000_000).contains(&mark.nanos));
        }
    }

    #[test]
    fn only_what_has_no_byte_anywhere_is_empty() {
        let temp = temp();
        let dir = File::open(temp.path()).unwrap();
        let make = |name: &str| File::create_new(temp.path().join(name)).unwrap();
        let empty = |name: &str| {
            find(dir.as_fd(), name.as_bytes())
                .unwrap()
                .unwrap()
                .1
                .is_empty()
        };
        make("empty");
        make("sparse").set_len(1 << 20).unwrap();
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(make("ahead"), keep, 0, 1 << 20).unwrap();
        std::fs::write(temp.path().join("data"), "data").unwrap();
        assert_eq!(
            ["empty", "sparse", "ahead", "data"].map(empty),
            [true, false, false, false]
        );
    }

    #[test]
    fn only_regular_files_are_found_and_the_very_one_is_opened() {
        let temp = temp();
        let dir = File::open(temp.path()).unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::write(at("file"), "data").unwrap();
        std::fs::hard_link(at("file"), at("other")).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&dir, "fifo", fifo, Mode::RWXU, 0).unwrap();
        for name in ["link", "dir", "fifo"] {
            assert!(
                find(dir.as_fd(), name.as_bytes()).unwrap().is_none(),
                "{name}"
            );
            assert_eq!(glance(dir.as_fd(), name.as_bytes()), Ok(None), "{name}");
        }
        assert_eq!(find(dir.as_fd(), b"none").unwrap_err(), OpenError::Missing);
        let (entry, found) = find(dir.as_fd(), b"file").unwrap().unwrap();
        assert_eq!(glance(dir.as_fd(), b"file"), Ok(Some(found)));
        let meta = at("file").metadata().unwrap();
        assert_eq!((found.inode, found.links, found.size), (meta.ino(), 2, 4));
        // Another one of its name is not what was found.
        std::fs::rename(at("other"), at("moved")).unwrap();
        std::fs::remove_file(at("file")).unwrap();
        std::os::unix::fs::symlink("/dev/null", at("file")).unwrap();
        for opened in [
            open(&entry, OFlags::RDONLY),
            open_to_write(&entry, OFlags::empty()),
        ] {
            let now = look(opened.unwrap().as_fd()).unwrap().unwrap();
            assert_eq!((now.inode, now.links), (meta.ino(), 1));
        }
    }

    /// A program that is started meanwhile, such as mkfs, must not keep a file of a volume open.
    #[test]
    fn what_is_opened_is_closed_in_programs_that_are_started() {
        let temp = temp();
        std::fs::write(temp.path().join("file"), "data").unwrap();
        let dir = File::open(temp.path()).unwrap();
        let (entry, _) = find(dir.as_fd(), b"file").unwrap().unwrap();
        let read = open(&entry, OFlags::RDONLY).unwrap();
        let write = open_to_write(&entry, OFlags::empty()).unwrap();
        for fd in [&entry, &read, &write] {
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert_eq!(rustix::io::write(&write, b"over"), Ok(4));
        assert_eq!(rustix::io::write(&read, b"over"), Err(Errno::BADF));
    }
}
