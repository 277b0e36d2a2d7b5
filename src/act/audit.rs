//! The audit log: `state_dir/audit/audit.jsonl`, one JSON object a line, only ever appended.
//!
//! A line is durable before the step that it announces begins: the line by `fdatasync`, with the first line
//! of a file the folder that names it, with the first file the folder that names that. A file that has grown to its limit is
//! renamed to `audit-<number>-<lived seconds>.jsonl` and a new one begun; a renamed file goes when it
//! is older than the log is kept for, in lived time: a clock that jumps forgets nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::units::{Bytes, Span};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLimits {
    /// A file of this size is closed and a new one begun.
    pub file_size: Bytes,
    /// A closed file goes when it is older than this, in lived time.
    pub keep: Span,
}

impl Default for AuditLimits {
    /// Those of the sample configuration.
    fn default() -> Self {
        Self {
            file_size: Bytes(16 << 20),
            keep: Span::seconds(365 * 24 * 60 * 60),
        }
    }
}

/// The log; clones write the same one.
#[derive(Clone, Debug)]
pub struct AuditLog {
    folder: PathBuf,
    limits: AuditLimits,
    /// Lived seconds as of the last memory that was written; 0: none was, and nothing is too old.
    lived: Arc<AtomicU64>,
    /// One append at a time, so that a line is whole and a file is closed once.
    writing: Arc<Mutex<()>>,
}

/// A closed file.
struct Closed {
    name: String,
    number: u64,
    lived: u64,
}

impl AuditLog {
    /// The log in this folder, which is made with the first line.
    #[must_use]
    pub fn new(folder: PathBuf, limits: AuditLimits) -> Self {
        Self {
            folder,
            limits,
            lived: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// The file that lines are appended to.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Says how long this host has lived, for the age of closed files.
    pub fn lived(&self, span: Span) {
        self.lived.store(span.0.as_secs(), Ordering::Relaxed);
    }

    /// Appends a line, which ends with its line break; durable when this returns.
    pub fn append(&self, line: &[u8]) -> io::Result<()> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.folder)?;
        let _alone = alone(&self.folder)?;
        let mut file = open(&self.file())?;
        let size = file.metadata()?.len();
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        // Who knows of no lived time (a command that only calls a master) leaves closing to the next writer
        // that does: a file without it would be kept for ever.
        let may_close = self.lived.load(Ordering::Relaxed) > 0;
        if may_close && size > 0 && size.saturating_add(len) > self.limits.file_size.0 {
            self.close()?;
            file = open(&self.file())?;
        } else if size > 0 && !ends_with_break(&mut file)? {
            // A crash tore the last line; this one begins on its own.
            file.write_all(b"\n")?;
        }
        file.write_all(line)?;
        file.sync_data()?;
        if size == 0 {
            sync(&self.folder)?;
            if let Some(parent) = self.folder.parent() {
                sync(parent)?;
            }
        }
        Ok(())
    }

    /// Closes the file, and lets those go that are too old.
    #[expect(
        clippy::disallowed_methods,
        reason = "files of ours, named by ourselves, in a folder of ours that only root writes"
    )]
    fn close(&self) -> io::Result<()> {
        let closed = self.closed()?;
        let last = closed.iter().map(|file| file.number).max().unwrap_or(0);
        let lived = self.lived.load(Ordering::Relaxed);
        let name = format!("audit-{:08}-{lived}.jsonl", last.saturating_add(1));
        std::fs::rename(self.file(), self.folder.join(name))?;
        sync(&self.folder)?;
        let keep = self.limits.keep.0.as_secs();
        for old in closed {
            if old.lived > 0 && old.lived.saturating_add(keep) < lived {
                std::fs::remove_file(self.folder.join(old.name))?;
            }
        }
        Ok(())
    }

    fn closed(&self) -> io::Result<Vec<Closed>> {
        let mut closed = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            let numbers = name
                .strip_prefix("audit-")
                .and_then(|rest| rest.strip_suffix(".jsonl"))
                .and_then(|numbers| numbers.split_once('-'));
            let Some((Ok(number), Ok(lived))) =
                numbers.map(|(number, lived)| (number.parse(), lived.parse()))
            else {
                continue;
            };
            closed.push(Closed {
                name,
                number,
                lived,
            });
        }
        Ok(closed)
    }
}

/// Commands that run beside the daemon write to the log too: one process at a time, so that no file is
/// closed over another. Let go of when this is dropped.
fn alone(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    rustix::io::retry_on_intr(|| flock(&folder, FlockOperation::LockExclusive))?;
    Ok(folder)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn ends_with_break(file: &mut File) -> io::Result<bool> {
    let mut last = [0_u8];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at their own files")]
mod tests {
    use super::*;

    fn log(folder: &Path) -> AuditLog {
        AuditLog::new(
            folder.join("audit"),
            AuditLimits {
                file_size: Bytes(40),
                keep: Span::seconds(100),
            },
        )
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder.join("audit"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_closed_and_an_old_one_goes_by_lived_time() {
        let temp = tempfile::tempdir().unwrap();
        let log = log(temp.path());
        let line = b"{\"a line of 25 bytes\":123}\n";
        log.lived(Span::seconds(1000));
        log.append(line).unwrap();
        log.append(line).unwrap();
        log.append(line).unwrap();
        assert_eq!(
            names(temp.path()),
            [
                "audit-00000001-1000.jsonl",
                "audit-00000002-1000.jsonl",
                "audit.jsonl"
            ]
        );
        log.lived(Span::seconds(1101));
        log.append(line).unwrap();
        assert_eq!(
            names(temp.path()),
            ["audit-00000003-1101.jsonl", "audit.jsonl"]
        );
        // A state that was lost lives from nought again: nothing can be told to be too old.
        log.lived(Span::seconds(5));
        log.append(line).unwrap();
        assert_eq!(names(temp.path()).len(), 3);
    }

    #[test]
    fn who_knows_no_lived_time_closes_no_file() {
        let temp = tempfile::tempdir().unwrap();
        let log = log(temp.path());
        let line = b"{\"a line of 25 bytes\":123}\n";
        for _ in 0..3 {
            log.append(line).unwrap();
        }
        assert_eq!(names(temp.path()), ["audit.jsonl"]);
        log.lived(Span::seconds(9));
        log.append(line).unwrap();
        assert_eq!(
            names(temp.path()),
            ["audit-00000001-9.jsonl", "audit.jsonl"]
        );
    }

    #[test]
    fn writers_of_several_processes_lose_no_line_when_a_file_is_closed() {
        let temp = tempfile::tempdir().unwrap();
        let limits = AuditLimits {
            file_size: Bytes(200),
            keep: Span::seconds(1),
        };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                // Each with a log of its own, as processes have: they share no mutex.
                let log = AuditLog::new(temp.path().join("audit"), limits);
                log.lived(Span::seconds(10));
                scope.spawn(move || {
                    for number in 0..20 {
                        let line = format!("{{\"writer\":{writer},\"number\":{number}}}\n");
                        log.append(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        let lines: std::collections::BTreeSet<String> = names(temp.path())
            .into_iter()
            .flat_map(|name| {
                let text = std::fs::read_to_string(temp.path().join("audit").join(name)).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(lines.len(), 80);
    }

    #[test]
    fn a_line_longer_than_a_file_is_kept_whole() {
        let temp = tempfile::tempdir().unwrap();
        let log = log(temp.path());
        let line = [vec![b'x'; 100], b"\n".to_vec()].concat();
        log.append(&line).unwrap();
        assert_eq!(std::fs::read(log.file()).unwrap(), line);
    }

    #[test]
    fn a_line_that_a_crash_tore_does_not_spoil_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let log = log(temp.path());
        log.append(b"{\"a\":1}\n").unwrap();
        let torn = std::fs::read(log.file()).unwrap();
        std::fs::write(log.file(), &torn[..5]).unwrap();
        log.append(b"{\"b\":2}\n").unwrap();
        let text = std::fs::read_to_string(log.file()).unwrap();
        assert_eq!(text, "{\"a\":\n{\"b\":2}\n");
    }

    #[test]
    fn many_threads_write_whole_lines() {
        let temp = tempfile::tempdir().unwrap();
        let log = AuditLog::new(
            temp.path().join("audit"),
            AuditLimits {
                file_size: Bytes(200),
                keep: Span::seconds(1),
            },
        );
        log.lived(Span::seconds(10));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = log.clone();
                scope.spawn(move || {
                    for number in 0..20 {
                        let line = format!("{{\"thread\":{thread},\"number\":{number}}}\n");
                        log.append(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        let mut lines = 0;
        for name in names(temp.path()) {
            let text = std::fs::read_to_string(temp.path().join("audit").join(name)).unwrap();
            for line in text.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
                lines += 1;
            }
        }
        assert_eq!(lines, 80);
    }
}
