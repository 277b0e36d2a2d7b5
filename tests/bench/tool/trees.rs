//! The workloads.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Its name, what it is, and the largest divisor that still says something.
pub(crate) const WORKLOADS: [(&str, &str); 5] = [
    ("W1", "200,000 files of 1 KiB in 2,000 directories"),
    ("W2", "one directory of 500,000 empty files"),
    ("W3", "a chain of 3,000 directories, a file in each"),
    ("W4", "8 files of 1 GiB"),
    ("W5", "60,000 entries as node_modules has them"),
];

/// Makes the tree of a workload, so many times smaller, in a directory that exists.
pub(crate) fn make(workload: &str, divisor: u64, at: &Path) {
    match workload {
        "W1" => {
            let content = [b'x'; 1024];
            for dir in 0..2000 / divisor {
                let dir = at.join(format!("dir{dir:05}"));
                std::fs::create_dir(&dir).unwrap();
                for file in 0..100 {
                    put(&dir.join(format!("file{file:03}")), &content);
                }
            }
        }
        "W2" => flat(at, 500_000 / divisor),
        "W3" => chain(at, 3000),
        "W4" => {
            let block = vec![b'x'; 4 << 20];
            for file in 0..(8 / divisor).max(1) {
                let mut file = File::create(at.join(format!("file{file}"))).unwrap();
                for _ in 0..256 {
                    file.write_all(&block).unwrap();
                }
            }
        }
        _ => modules(at, 60_000 / divisor),
    }
}

/// One directory with so many empty files.
pub(crate) fn flat(at: &Path, files: u64) {
    for file in 0..files {
        File::create(at.join(format!("some-file-{file:07}"))).unwrap();
    }
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

fn chain(at: &Path, depth: u64) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(at, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&dir, "f", create, Mode::RUSR).unwrap();
        dir = rustix::fs::openat(&dir, "d", flags, Mode::empty()).unwrap();
    }
}

/// Packages in packages: few large files, many small ones, links.
fn modules(at: &Path, entries: u64) {
    let mut left = entries;
    let mut random = 12345_u64;
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let content = vec![b'x'; 64 << 10];
    let mut number = 0;
    while left > 0 {
        let mut dir = at.join(format!("package-{number}"));
        std::fs::create_dir(&dir).unwrap();
        left = left.saturating_sub(1);
        for level in 0..=next(4) {
            if level > 0 {
                dir = dir.join(["lib", "node_modules", "dist", "src"][next(4) as usize]);
                std::fs::create_dir(&dir).unwrap();
                left = left.saturating_sub(1);
            }
            for file in 0..3 + next(25) {
                let size = match next(20) {
                    0 => next(64 << 10),
                    1..6 => next(8 << 10),
                    _ => next(1 << 10),
                };
                put(
                    &dir.join(format!("file-{file}.js")),
                    &content[..size as usize],
                );
                left = left.saturating_sub(1);
            }
            std::os::unix::fs::symlink("file-0.js", dir.join("index")).unwrap();
            left = left.saturating_sub(1);
        }
        number += 1;
    }
}

/// `tree WORKLOAD DIVISOR DIRECTORY`
pub(crate) fn run(args: &[String]) {
    make(&args[0], args[1].parse().unwrap(), Path::new(&args[2]));
}
