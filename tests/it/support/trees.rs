//! Trees: what is in them to the last byte, and making large ones.

#![expect(clippy::disallowed_methods, reason = "tests make trees of their own")]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Everything in a tree as text, a line for each entry: name, type, mode, owner, links, times of
/// change and content. Equal texts mean that nothing changed by a byte.
pub(crate) fn describe(root: &Path) -> String {
    let mut text = String::new();
    describe_into(root, root, &mut text);
    text
}

fn describe_into(root: &Path, path: &Path, text: &mut String) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let content = if kind.is_file() {
        let mut hasher = DefaultHasher::new();
        std::fs::read(path).unwrap().hash(&mut hasher);
        format!("file {} {:x}", meta.len(), hasher.finish())
    } else if kind.is_symlink() {
        format!("link {:?}", std::fs::read_link(path).unwrap())
    } else if kind.is_dir() {
        "dir".to_owned()
    } else {
        format!("special {} {}", kind.is_fifo(), meta.rdev())
    };
    writeln!(
        text,
        "{:?} {content} {:o} {}:{} x{} m{}.{} c{}.{}",
        path.strip_prefix(root).unwrap(),
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    )
    .unwrap();
    if kind.is_dir() {
        let mut inside: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        inside.sort();
        for path in inside {
            describe_into(root, &path, text);
        }
    }
}

/// Directories with files and links in them, as a tenant might have; returns how many entries are
/// no directories, and how many are.
pub(crate) fn plant(at: &Path, width: usize, depth: usize) -> (u64, u64) {
    let mut made = (0, 0);
    for i in 0..width {
        std::fs::write(at.join(format!("file{i}")), vec![b'x'; 100 * i]).unwrap();
        std::os::unix::fs::symlink("file0", at.join(format!("link{i}"))).unwrap();
        made.0 += 2;
        if depth > 0 {
            let dir = at.join(format!("dir{i}"));
            std::fs::create_dir(&dir).unwrap();
            let inside = plant(&dir, width, depth - 1);
            made = (made.0 + inside.0, made.1 + inside.1 + 1);
        }
    }
    made
}

/// A chain of directories, each with a file: deeper than any path may be long.
pub(crate) fn plant_chain(at: &Path, depth: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(at, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, "d", flags, Mode::empty()).unwrap();
        let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&dir, "f", create, Mode::RUSR).unwrap();
    }
}

/// Whether nothing is in a directory.
pub(crate) fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).unwrap().next().is_none()
}

/// Whether nothing at all has this name.
pub(crate) fn is_gone(path: &Path) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            true
        }
    }
}
