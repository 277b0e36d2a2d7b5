//! A file system in memory: directories, files, links, and what a power cut leaves of what was not
//! made durable.
//!
//! Changes are kept as a list until a sync. A sync of a directory makes durable what was changed in
//! it; a journal makes everything before that durable too. What is left of the rest after a cut is
//! drawn: in the order of a journal (ext4, xfs), or each change by itself, as far as it still has a
//! place (what POSIX allows).

use std::collections::BTreeMap;

use mesos_volumed::act::sys::Errno;

/// The root directory's inode.
pub(crate) const ROOT: u64 = 2;

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Its entries.
    Dir(BTreeMap<Vec<u8>, u64>),
    /// Its content.
    File(Vec<u8>),
    /// Where it leads does not matter: nobody may follow it.
    Link,
}

/// An inode. Its number is never given out again, so that it is its identity for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) node: Node,
    pub(crate) immutable: bool,
    pub(crate) parent: u64,
    /// Whose data it is: a life of a volume.
    pub(crate) owner: Option<usize>,
}

type Inodes = BTreeMap<u64, Inode>;

#[derive(Clone, Debug)]
enum Change {
    Make {
        dir: u64,
        name: Vec<u8>,
        ino: u64,
        inode: Inode,
    },
    Remove {
        dir: u64,
        name: Vec<u8>,
    },
    Move {
        from: u64,
        name: Vec<u8>,
        to: u64,
        new_name: Vec<u8>,
    },
    /// A file takes the place of what has this name.
    Put {
        dir: u64,
        name: Vec<u8>,
        ino: u64,
        inode: Inode,
    },
}

impl Change {
    fn touches(&self, directory: u64) -> bool {
        match self {
            Self::Make { dir, .. } | Self::Remove { dir, .. } | Self::Put { dir, .. } => {
                *dir == directory
            }
            Self::Move { from, to, .. } => *from == directory || *to == directory,
        }
    }

    /// Does it; `false` where it has no place any more.
    fn apply(&self, inodes: &mut Inodes) -> bool {
        match self {
            Self::Make {
                dir,
                name,
                ino,
                inode,
            } => match entries_mut(inodes, *dir) {
                Some(entries) if !entries.contains_key(name) => {
                    entries.insert(name.clone(), *ino);
                    inodes.insert(*ino, inode.clone());
                    true
                }
                _ => false,
            },
            Self::Remove { dir, name } => {
                let Some(ino) = entries_mut(inodes, *dir).and_then(|found| found.remove(name))
                else {
                    return false;
                };
                forget(inodes, ino);
                true
            }
            Self::Move {
                from,
                name,
                to,
                new_name,
            } => {
                if entries_mut(inodes, *to).is_none_or(|found| found.contains_key(new_name)) {
                    return false;
                }
                let Some(ino) = entries_mut(inodes, *from).and_then(|found| found.remove(name))
                else {
                    return false;
                };
                if let Some(entries) = entries_mut(inodes, *to) {
                    entries.insert(new_name.clone(), ino);
                }
                if let Some(inode) = inodes.get_mut(&ino) {
                    inode.parent = *to;
                }
                true
            }
            Self::Put {
                dir,
                name,
                ino,
                inode,
            } => {
                let Some(entries) = entries_mut(inodes, *dir) else {
                    return false;
                };
                let old = entries.insert(name.clone(), *ino);
                inodes.insert(*ino, inode.clone());
                if let Some(old) = old {
                    forget(inodes, old);
                }
                true
            }
        }
    }
}

fn entries_mut(inodes: &mut Inodes, dir: u64) -> Option<&mut BTreeMap<Vec<u8>, u64>> {
    match &mut inodes.get_mut(&dir)?.node {
        Node::Dir(entries) => Some(entries),
        Node::File(_) | Node::Link => None,
    }
}

/// An inode without a name, and all that is in it.
fn forget(inodes: &mut Inodes, ino: u64) {
    if let Some(Inode {
        node: Node::Dir(entries),
        ..
    }) = inodes.remove(&ino)
    {
        for inner in entries.into_values() {
            forget(inodes, inner);
        }
    }
}

/// What a power cut takes of the changes that were not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the journal was just committed.
    Nothing,
    /// Everything after this many of the changes that could be lost.
    After(usize),
    /// Each by this mask.
    Some(u64),
}

/// A file system.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) uuid: String,
    pub(crate) minor: u32,
    inodes: Inodes,
    next: u64,
    /// As a power cut would show it, before `pending`.
    durable: Inodes,
    /// Changes since, and whether each was made durable.
    pending: Vec<(Change, bool)>,
    pub(crate) read_only: bool,
    pub(crate) full: bool,
    /// Every call that changes something gives EIO.
    pub(crate) failing: bool,
}

impl Disk {
    pub(crate) fn new(minor: u32, generation: u32) -> Self {
        let root = Inode {
            node: Node::Dir(BTreeMap::new()),
            immutable: false,
            parent: ROOT,
            owner: None,
        };
        let inodes: Inodes = [(ROOT, root)].into();
        Self {
            uuid: format!("{minor:08x}-0000-4000-8000-{generation:012x}"),
            minor,
            durable: inodes.clone(),
            inodes,
            next: 100,
            pending: Vec::new(),
            read_only: false,
            full: false,
            failing: false,
        }
    }

    pub(crate) fn inode(&self, ino: u64) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    pub(crate) fn entries(&self, dir: u64) -> Result<&BTreeMap<Vec<u8>, u64>, Errno> {
        match self.inodes.get(&dir).map(|inode| &inode.node) {
            Some(Node::Dir(entries)) => Ok(entries),
            Some(Node::File(_) | Node::Link) => Err(Errno::NOTDIR),
            // Open, and removed.
            None => Err(Errno::NOENT),
        }
    }

    pub(crate) fn lookup(&self, dir: u64, name: &[u8]) -> Result<u64, Errno> {
        self.entries(dir)?.get(name).copied().ok_or(Errno::NOENT)
    }

    fn writable(&self) -> Result<(), Errno> {
        if self.failing {
            Err(Errno::IO)
        } else if self.read_only {
            Err(Errno::ROFS)
        } else {
            Ok(())
        }
    }

    fn not_immutable(&self, ino: u64) -> Result<(), Errno> {
        match self.inodes.get(&ino) {
            Some(inode) if inode.immutable => Err(Errno::PERM),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        assert!(change.apply(&mut self.inodes), "{change:?} was checked");
        self.pending.push((change, false));
        if self.pending.len() > 300 {
            self.sync_all();
        }
    }

    fn make(
        &mut self,
        dir: u64,
        name: &[u8],
        node: Node,
        owner: Option<usize>,
    ) -> Result<u64, Errno> {
        self.writable()?;
        if self.entries(dir)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.not_immutable(dir)?;
        if self.full {
            return Err(Errno::NOSPC);
        }
        let ino = self.next;
        self.next += 1;
        self.change(Change::Make {
            dir,
            name: name.to_vec(),
            ino,
            inode: Inode {
                node,
                immutable: false,
                parent: dir,
                owner,
            },
        });
        Ok(ino)
    }

    pub(crate) fn mkdir(&mut self, dir: u64, name: &[u8]) -> Result<u64, Errno> {
        self.make(dir, name, Node::Dir(BTreeMap::new()), None)
    }

    pub(crate) fn link(&mut self, dir: u64, name: &[u8]) -> Result<u64, Errno> {
        self.make(dir, name, Node::Link, None)
    }

    pub(crate) fn file(
        &mut self,
        dir: u64,
        name: &[u8],
        content: &[u8],
        owner: Option<usize>,
    ) -> Result<u64, Errno> {
        self.make(dir, name, Node::File(content.to_vec()), owner)
    }

    /// A file in the place of what has this name, whole.
    pub(crate) fn put(&mut self, dir: u64, name: &[u8], content: &[u8]) -> Result<(), Errno> {
        self.writable()?;
        self.entries(dir)?;
        self.not_immutable(dir)?;
        if self.full {
            return Err(Errno::NOSPC);
        }
        let ino = self.next;
        self.next += 1;
        self.change(Change::Put {
            dir,
            name: name.to_vec(),
            ino,
            inode: Inode {
                node: Node::File(content.to_vec()),
                immutable: false,
                parent: dir,
                owner: None,
            },
        });
        Ok(())
    }

    pub(crate) fn unlink(&mut self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        let ino = self.lookup(dir, name)?;
        if self.entries(ino).is_ok() {
            return Err(Errno::ISDIR);
        }
        self.remove(dir, name, ino)
    }

    pub(crate) fn rmdir(&mut self, dir: u64, name: &[u8]) -> Result<(), Errno> {
        let ino = self.lookup(dir, name)?;
        if !self.entries(ino)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.remove(dir, name, ino)
    }

    fn remove(&mut self, dir: u64, name: &[u8], ino: u64) -> Result<(), Errno> {
        self.writable()?;
        self.not_immutable(ino)?;
        self.not_immutable(dir)?;
        self.change(Change::Remove {
            dir,
            name: name.to_vec(),
        });
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: u64,
        name: &[u8],
        to: u64,
        new_name: &[u8],
    ) -> Result<(), Errno> {
        let ino = self.lookup(from, name)?;
        self.writable()?;
        if self.entries(to)?.contains_key(new_name) {
            return Err(Errno::EXIST);
        }
        for touched in [ino, from, to] {
            self.not_immutable(touched)?;
        }
        self.change(Change::Move {
            from,
            name: name.to_vec(),
            to,
            new_name: new_name.to_vec(),
        });
        Ok(())
    }

    /// Sets or takes the immutable flag; whether that changed anything. At once, and for good.
    pub(crate) fn flag(&mut self, ino: u64, immutable: bool) -> Result<bool, Errno> {
        self.writable()?;
        let mut changed = false;
        let lasting = self.durable.get_mut(&ino);
        for inode in self.inodes.get_mut(&ino).into_iter().chain(lasting) {
            changed |= inode.immutable != immutable;
            inode.immutable = immutable;
        }
        for (change, _) in &mut self.pending {
            if let Change::Make {
                ino: made, inode, ..
            } = change
                && *made == ino
            {
                inode.immutable = immutable;
            }
        }
        Ok(changed)
    }

    pub(crate) fn sync(&mut self, dir: u64) -> Result<(), Errno> {
        self.writable()?;
        for (change, durable) in &mut self.pending {
            *durable |= change.touches(dir);
        }
        if self.pending.iter().all(|(_, durable)| *durable) {
            self.sync_all();
        }
        Ok(())
    }

    pub(crate) fn sync_all(&mut self) {
        self.durable = self.inodes.clone();
        self.pending.clear();
    }

    /// How many changes a cut could take.
    pub(crate) fn unsynced(&self) -> usize {
        self.pending.iter().filter(|(_, durable)| !durable).count()
    }

    pub(crate) fn cut(&mut self, loss: Loss) {
        let mut inodes = self.durable.clone();
        let last = self.pending.iter().rposition(|(_, durable)| *durable);
        let mut number = 0;
        for (at, (change, durable)) in self.pending.iter().enumerate() {
            let journalled = *durable || last.is_some_and(|last| at < last);
            let keeps = match loss {
                Loss::Nothing => true,
                Loss::After(_) if journalled => true,
                Loss::After(most) => {
                    number += 1;
                    number <= most
                }
                Loss::Some(mask) => {
                    if !durable {
                        number += 1;
                    }
                    *durable || mask >> (number % 64) & 1 == 1
                }
            };
            if keeps {
                // What a lost directory was to hold is lost with it.
                change.apply(&mut inodes);
            }
        }
        self.inodes = inodes;
        self.sync_all();
    }

    /// Path from this file system's root; `None` for what has no name any more.
    pub(crate) fn path(&self, ino: u64) -> Option<Vec<u8>> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut at = ino;
        while at != ROOT {
            let parent = self.inodes.get(&at)?.parent;
            let entries = self.entries(parent).ok()?;
            let (name, _) = entries.iter().find(|(_, inner)| **inner == at)?;
            parts.push(name);
            at = parent;
        }
        let mut path = Vec::new();
        for part in parts.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }

    /// This directory and what lies above it.
    pub(crate) fn above(&self, ino: u64) -> Vec<u64> {
        let mut all = vec![ino];
        let mut at = ino;
        while at != ROOT {
            match self.inodes.get(&at) {
                Some(inode) => at = inode.parent,
                None => break,
            }
            all.push(at);
        }
        all
    }

    /// Every inode below this one, itself included.
    pub(crate) fn below(&self, ino: u64) -> Vec<u64> {
        let mut all = vec![ino];
        let mut at = 0;
        while let Some(&next) = all.get(at) {
            if let Ok(entries) = self.entries(next) {
                all.extend(entries.values());
            }
            at += 1;
        }
        all
    }

    /// Everything that has a name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Inode)> {
        self.inodes.iter().map(|(ino, inode)| (*ino, inode))
    }
}
