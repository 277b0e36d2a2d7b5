//! Lists of what a tenant does in its volume, before it is wiped and meanwhile, read from bytes: whatever
//! chooses bytes chooses lists.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, WipeReport};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};
use mesos_volumed::sys::Resolver;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};

use super::mixed;
use beneath::beneath;
use tree::tree;

#[path = "../it/support/beneath.rs"]
mod beneath;
#[path = "../faults/tree.rs"]
mod tree;
#[path = "../it/support/wiped.rs"]
mod wiped;

/// Names that a tenant may choose, some of them to be taken for something else.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"c",
    b"data",
    b"lost+found",
    b".mesos-volumed",
    b"-rf",
    b"...",
    b"new\nline",
    b"\xff\xfe",
    b" ",
    &[b'n'; 255],
];

/// A wipe, and what is done beside it.
#[derive(Clone, Debug)]
pub(crate) struct List {
    threads: u32,
    resolver: Resolver,
    mode: WipeMode,
    /// So many of them are done when the wipe begins.
    before: usize,
    operations: Vec<Operation>,
}

/// One thing that a tenant does: which, in which directory, by which name, and with what else.
#[derive(Clone, Copy, Debug)]
struct Operation {
    kind: u8,
    place: u8,
    name: u8,
    more: u8,
}

impl List {
    /// Any bytes are a list; at most 200 operations are read.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let how = bytes.first().copied().unwrap_or(0);
        let operations: Vec<Operation> = bytes
            .get(2..)
            .unwrap_or_default()
            .chunks_exact(4)
            .take(200)
            .map(|chunk| Operation {
                kind: chunk[0],
                place: chunk[1],
                name: chunk[2],
                more: chunk[3],
            })
            .collect();
        let before = usize::from(bytes.get(1).copied().unwrap_or(0)) % (operations.len() + 1);
        Self {
            threads: u32::from(how >> 2) % 3 + 1,
            resolver: if how & 1 == 0 {
                Resolver::Openat2
            } else {
                Resolver::Fdinfo
            },
            mode: if how & 2 == 0 {
                WipeMode::Unlink
            } else {
                WipeMode::Overwrite
            },
            before,
            operations,
        }
    }

    /// Some to begin with, since nobody records what tenants do.
    pub(crate) fn some() -> Vec<Vec<u8>> {
        (0..24)
            .map(|seed| {
                (0..2 + 4 * (8 + seed % 5 * 12))
                    .map(|index| mixed(seed, index).to_le_bytes()[0])
                    .collect()
            })
            .collect()
    }

    /// Does it below `scratch`, and looks: the tree outside is what it was, a wipe that says complete
    /// is, and nothing keeps a second one from ending once the tenant is gone.
    pub(crate) fn run(&self, scratch: &Path) {
        let folder = tempfile::tempdir_in(scratch).unwrap();
        let (volume, outside) = (folder.path().join("volume"), folder.path().join("outside"));
        std::fs::create_dir_all(outside.join("d/e")).unwrap();
        std::fs::create_dir(&volume).unwrap();
        for name in ["a", "b", "d/a", "d/e/data"] {
            std::fs::write(outside.join(name), name.repeat(300)).unwrap();
        }
        let is = tree(&outside);
        let mut tenant = Tenant::new(&volume, &outside);
        let (first, meanwhile) = self.operations.split_at(self.before);
        for operation in first {
            tenant.does(*operation);
        }
        // Nobody is beside it: then it has to be whole, and its counts are what was there.
        let alone = meanwhile.is_empty();
        let entries = 1 + within(&std::fs::File::open(&volume).unwrap().into());
        let report = std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                for operation in meanwhile {
                    tenant.does(*operation);
                }
            });
            let report = self.wiped(&volume);
            beside.join().unwrap();
            report
        });
        assert!(
            report.complete || !alone,
            "alone, and not complete: {report:?}"
        );
        let gone = volume.symlink_metadata().is_err();
        assert!(!report.complete || gone, "it says complete: {report:?}");
        let counted = usize::try_from(report.files + report.dirs).unwrap();
        assert!(
            !alone || counted == entries,
            "{entries} were there: {report:?}"
        );
        if !gone {
            let second = self.wiped(&volume);
            assert!(second.complete, "left, and nobody is there: {second:?}");
        }
        drop(tenant);
        let now = tree(&outside);
        assert!(now == is, "the tree outside was\n{is}\nand is\n{now}");
    }

    fn wiped(&self, volume: &Path) -> WipeReport {
        let method = WipeMethod {
            mode: self.mode,
            ..WipeMethod::UNLINK
        };
        let control = Control::new(0).with_threads(self.threads);
        wiped::wiped(Kernel::with(self.resolver), volume, method, &control)
    }
}

/// Who has a volume.
struct Tenant<'a> {
    volume: &'a Path,
    outside: &'a Path,
    /// The directories that it made, wherever they are by now.
    places: Vec<PathBuf>,
    held: Vec<OwnedFd>,
}

impl<'a> Tenant<'a> {
    fn new(volume: &'a Path, outside: &'a Path) -> Self {
        Self {
            volume,
            outside,
            places: vec![volume.to_owned()],
            held: Vec::new(),
        }
    }

    fn place(&self, which: u8) -> &Path {
        &self.places[usize::from(which) % self.places.len()]
    }

    fn dir(&self, which: u8) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        beneath(self.volume, self.place(which), flags)
    }

    /// Does it, where it can be done: what it is done to may be gone, or be something else.
    fn does(&mut self, operation: Operation) {
        let Operation {
            kind, place, more, ..
        } = operation;
        let name = named(operation.name);
        let Some(dir) = self.dir(place) else {
            return;
        };
        let _could = match kind % 14 {
            0 | 1 => {
                let made = rustix::fs::mkdirat(&dir, name, Mode::RWXU).is_ok();
                if made && self.places.len() < 60 {
                    self.places.push(self.place(place).join(name));
                }
                made
            }
            2 | 3 => {
                // Never what is there: it may be a link to a file outside.
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let size = [0, 1, 4096, 70_000, 1 << 20][usize::from(more) % 5];
                rustix::fs::openat(&dir, name, flags | OFlags::CLOEXEC, Mode::RUSR).is_ok_and(
                    |file| {
                        let _written = rustix::io::write(&file, &[more; 300]);
                        rustix::fs::ftruncate(&file, size).is_ok()
                    },
                )
            }
            4 => {
                let to = ["../outside", "..", ".", "/", "a", "../../.."][usize::from(more) % 6];
                rustix::fs::symlinkat(to, &dir, name).is_ok()
            }
            5 => rustix::fs::symlinkat(self.outside, &dir, name).is_ok(),
            6 => {
                let theirs = self
                    .outside
                    .join(["a", "b", "d/a", "d/e/data"][usize::from(more) % 4]);
                rustix::fs::linkat(rustix::fs::CWD, &theirs, &dir, name, AtFlags::empty()).is_ok()
            }
            7 => self.dir(more).is_some_and(|to| {
                rustix::fs::linkat(&dir, name, &to, named(more / 7), AtFlags::empty()).is_ok()
            }),
            8 => rustix::fs::mknodat(&dir, name, FileType::Fifo, Mode::RUSR, 0).is_ok(),
            9 => self
                .dir(more)
                .is_some_and(|to| rustix::fs::renameat(&dir, name, &to, named(more / 7)).is_ok()),
            10 => self.dir(more).is_some_and(|to| {
                let flags = RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&dir, name, &to, named(more / 7), flags).is_ok()
            }),
            11 => {
                let modes = [
                    Mode::empty(),
                    Mode::RWXU,
                    Mode::RUSR,
                    Mode::SUID | Mode::SVTX,
                ];
                let mode = modes[usize::from(more) % 4];
                // Without root not even the owner gets past them.
                rustix::process::geteuid().is_root() && rustix::fs::fchmod(&dir, mode).is_ok()
            }
            12 => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&dir, name, flags, Mode::empty());
                self.held.truncate(20);
                self.held.extend(file.ok());
                true
            }
            _ => {
                let is_dir = more.is_multiple_of(2);
                let flags = if is_dir {
                    AtFlags::REMOVEDIR
                } else {
                    AtFlags::empty()
                };
                rustix::fs::unlinkat(&dir, name, flags).is_ok()
            }
        };
    }
}

/// How many entries there are, at any depth.
fn within(dir: &OwnedFd) -> usize {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::Dir::read_from(dir)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
        .map(|entry| {
            let inside = rustix::fs::openat(dir, entry.file_name(), flags, Mode::empty());
            1 + inside.map_or(0, |inside| within(&inside))
        })
        .sum()
}

fn named(which: u8) -> &'static OsStr {
    OsStr::from_bytes(NAMES[usize::from(which) % NAMES.len()])
}
