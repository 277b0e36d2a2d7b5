//! Reading directories: names in their exact bytes, in bounded batches.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

use super::open::reopen;
use crate::units::Raw;

/// What the directory says an entry is: a hint, out of date as soon as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeHint {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// Anything else.
    Other,
    /// The file system does not say.
    Unknown,
}

/// Whether a directory has more entries than were just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// The kernel's buffer was filled.
    Maybe,
    /// There was room for another entry, which local file systems would have given.
    Hardly,
    /// The end was reached.
    No,
}

/// One entry: 16 bytes, its name lies in [`Batch`].
#[derive(Clone, Copy, Debug)]
struct Entry {
    inode: u64,
    name_at: u32,
    name_len: u16,
    hint: TypeHint,
}

/// Entries of a directory, without `.` and `..`, in memory that is used again. It says when it is
/// full; whoever reads stops then.
pub struct Batch {
    names: Vec<u8>,
    entries: Vec<Entry>,
    limit: usize,
    dirents: Vec<u8>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("entries", &self.entries.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// How much the kernel is asked for at once: a larger buffer was measured to gain nothing.
    const DIRENTS: usize = 64 << 10;
    const LARGEST_AT_ONCE: usize = 64 << 20;

    /// An empty batch that counts as full from this many bytes of memory on.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            names: Vec::new(),
            entries: Vec::new(),
            limit,
            dirents: Vec::new(),
        }
    }

    /// How many bytes of memory make it count as full.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// From now on it counts as full from this many bytes of memory on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
    }

    /// Gives its memory back if it holds more than this many bytes.
    pub fn release_beyond(&mut self, bytes: usize) {
        if self.bytes() > bytes {
            self.names = Vec::new();
            self.entries = Vec::new();
        }
        self.clear();
    }

    fn bytes(&self) -> usize {
        let index = self.entries.len().saturating_mul(size_of::<Entry>());
        self.names.len().saturating_add(index)
    }

    /// Takes addresses for all that it may come to hold at once; memory comes with use. Growing step
    /// by step would leave holes of half the size behind.
    fn make_room(&mut self) {
        if self.limit > Self::LARGEST_AT_ONCE {
            return;
        }
        let names = self.limit.saturating_add(Self::DIRENTS);
        if self.names.capacity() < names {
            self.names
                .reserve_exact(names.saturating_sub(self.names.len()));
            let entries = names.checked_div(size_of::<Entry>()).unwrap_or(0);
            self.entries
                .reserve_exact(entries.saturating_sub(self.entries.len()));
        }
    }

    /// How many entries it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether its memory has reached the limit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Adds an entry. `ENAMETOOLONG` for a name that can't be one.
    pub fn push(&mut self, name: &[u8], inode: u64, hint: TypeHint) -> Result<(), Errno> {
        push(&mut self.names, &mut self.entries, name, inode, hint)
    }

    /// Puts the entries in the order of their inodes, in which removing them is cheapest.
    pub fn sort_by_inode(&mut self) {
        self.entries.sort_unstable_by_key(|entry| entry.inode);
    }

    /// The entry at this place: name, inode, hint.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<(&[u8], u64, TypeHint)> {
        let entry = self.entries.get(at)?;
        let from = usize::try_from(entry.name_at).ok()?;
        let to = from.checked_add(usize::from(entry.name_len))?;
        Some((self.names.get(from..to)?, entry.inode, entry.hint))
    }

    /// All entries: name, inode, hint.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64, TypeHint)> {
        (0..self.entries.len()).filter_map(|at| self.get(at))
    }

    /// Adds the next entries of an open directory, as many as the kernel gives at once. A
    /// directory that was removed has none.
    pub fn read(&mut self, dir: impl AsFd) -> Result<More, Errno> {
        self.make_room();
        self.dirents.clear();
        self.dirents.reserve_exact(Self::DIRENTS);
        let room: &mut [MaybeUninit<u8>] = self.dirents.spare_capacity_mut();
        let mut raw = RawDir::new(dir.as_fd(), room);
        let mut used: usize = 0;
        loop {
            let entry = match raw.next() {
                None | Some(Err(Errno::NOENT)) => return Ok(More::No),
                Some(Err(Errno::INTR)) => continue,
                Some(Err(errno)) => return Err(errno),
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name().to_bytes();
            used = used.saturating_add(dirent_size(name.len()));
            let hint = match entry.file_type() {
                FileType::Directory => TypeHint::Directory,
                FileType::RegularFile => TypeHint::File,
                FileType::Unknown => TypeHint::Unknown,
                FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice => TypeHint::Other,
            };
            if name != b"." && name != b".." {
                push(&mut self.names, &mut self.entries, name, entry.ino(), hint)?;
            }
            if raw.is_buffer_empty() {
                let room_left = Self::DIRENTS.saturating_sub(used) > dirent_size(255);
                return Ok(if room_left { More::Hardly } else { More::Maybe });
            }
        }
    }
}

/// The size of a `struct linux_dirent64` with a name of this length.
fn dirent_size(name: usize) -> usize {
    // 19 bytes before the name, NUL behind it, aligned to 8.
    name.saturating_add(27) & !7
}

fn push(
    names: &mut Vec<u8>,
    entries: &mut Vec<Entry>,
    name: &[u8],
    inode: u64,
    hint: TypeHint,
) -> Result<(), Errno> {
    let name_at = u32::try_from(names.len()).map_err(|_large| Errno::NAMETOOLONG)?;
    let name_len = u16::try_from(name.len()).map_err(|_large| Errno::NAMETOOLONG)?;
    names.extend_from_slice(name);
    entries.push(Entry {
        inode,
        name_at,
        name_len,
        hint,
    });
    Ok(())
}

/// Everything in an open directory (by a descriptor of its own, from the start): name, inode,
/// hint; sorted by name. `EFBIG` when there are more than `most`.
pub fn list(dir: impl AsFd, most: usize) -> Result<Vec<(Raw, u64, TypeHint)>, Errno> {
    let dir = reopen(dir)?;
    let mut batch = Batch::new(usize::MAX);
    let mut found = Vec::new();
    loop {
        batch.clear();
        let more = batch.read(&dir)? != More::No;
        for (name, inode, hint) in batch.iter() {
            if found.len() >= most {
                return Err(Errno::FBIG);
            }
            found.push((Raw::new(name), inode, hint));
        }
        if !more {
            break;
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;
    use std::fs::File;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_listing_keeps_every_byte_of_every_name() {
        let temp = tempfile::tempdir().unwrap();
        let names: [&[u8]; 5] = [b"\xff\xfe", b"a\nb", b"-rf", b"\x1b[2J", &[b'x'; 255]];
        for name in names {
            std::fs::write(temp.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        let dir = File::open(temp.path()).unwrap();
        for _twice in 0..2 {
            let found = list(&dir, 6).unwrap();
            let mut expected: Vec<_> = names.iter().map(|name| Raw::new(*name)).collect();
            expected.push("dir".into());
            expected.sort();
            assert_eq!(
                found.iter().map(|f| f.0.clone()).collect::<Vec<_>>(),
                expected
            );
            let hint = &found.iter().find(|f| f.0 == "dir".into()).unwrap().2;
            assert!(matches!(hint, TypeHint::Directory | TypeHint::Unknown));
        }
        assert_eq!(list(&dir, 5).unwrap_err(), Errno::FBIG);
    }

    #[test]
    fn batches_are_bounded_and_together_hold_everything_once() {
        let temp = tempfile::tempdir().unwrap();
        for i in 0..5000 {
            File::create(temp.path().join(format!("f{i:04}"))).unwrap();
        }
        let dir = File::open(temp.path()).unwrap();
        let mut batch = Batch::new(4096);
        let mut seen = BTreeSet::new();
        loop {
            batch.clear();
            let more = loop {
                assert!(!batch.is_full());
                let more = batch.read(&dir).unwrap();
                if more == More::No || batch.is_full() {
                    break more;
                }
            };
            assert!(
                batch.len() < 3000,
                "one read of the kernel past the limit at most"
            );
            batch.sort_by_inode();
            let inodes: Vec<u64> = batch.iter().map(|(_, inode, _)| inode).collect();
            assert!(inodes.is_sorted());
            for (name, ..) in batch.iter() {
                assert!(seen.insert(name.to_vec()));
            }
            if more == More::No {
                break;
            }
        }
        assert_eq!(seen.len(), 5000);
    }
}
