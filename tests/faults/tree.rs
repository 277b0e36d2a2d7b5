//! A tree as text.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Everything of a tree that a tenant could miss: names, kinds, owners, modes, times, contents.
pub(crate) fn tree(folder: &Path) -> String {
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let name = path.strip_prefix(folder).unwrap().display();
                let Ok(meta) = path.symlink_metadata() else {
                    writeln!(text, "{name} went meanwhile").unwrap();
                    continue;
                };
                writeln!(
                    text,
                    "{name} {:o} {} {} {} {}.{} {}",
                    meta.mode(),
                    meta.nlink(),
                    meta.uid(),
                    meta.gid(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                    content(path, &meta)
                )
                .unwrap();
            }
            Err(error) => writeln!(text, "{error}").unwrap(),
        }
    }
    text
}

pub(crate) fn content(path: &Path, meta: &std::fs::Metadata) -> String {
    if meta.is_symlink() {
        return match std::fs::read_link(path) {
            Ok(to) => format!("-> {}", to.display()),
            Err(error) => format!("unreadable: {error}"),
        };
    }
    if !meta.is_file() {
        return String::new();
    }
    match std::fs::read(path) {
        Ok(bytes) => {
            use std::hash::{DefaultHasher, Hash as _, Hasher as _};
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            format!("{} bytes {:016x}", bytes.len(), hasher.finish())
        }
        Err(error) => format!("unreadable: {error}"),
    }
}
