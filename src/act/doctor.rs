//! What `doctor --fix` does: nothing that can't be undone, and what undoes it is written down first.
//!
//! A running daemon is not in the way: no file of its own is written but the permissions that a
//! finding names, and the record is one appended line.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fchmod, fstat, open};
use rustix::io::Errno;
use serde::Serialize;

use super::sys::Sys;
use crate::decide::facts::Fix;
use crate::sys::OpenError;
use crate::units::Raw;

/// The file in `state_dir` with a line for each change.
pub const RECORD: &str = "fixes.jsonl";

/// Why a fix was not made.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// What undoes it could not be written down first.
    #[error("what undoes it can't be written to {file}; nothing was done")]
    Record {
        /// The file.
        file: Raw,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The way to the entry.
    #[error("{path} could not be opened")]
    Open {
        /// How far it was.
        path: Raw,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// It does not lie in the volume.
    #[error("{at} does not lie in {volume}")]
    Outside {
        /// The entry.
        at: Raw,
        /// The volume.
        volume: Raw,
    },
    /// It is not any more as it was found.
    #[error("{path} is not as it was found; run doctor again")]
    Changed {
        /// The path.
        path: Raw,
    },
    /// The change itself.
    #[error("{path} could not be changed")]
    Change {
        /// The path.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

/// A line of the record.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    at: i64,
    fix: &'a Fix,
    undo: String,
}

/// Makes one fix. `state_dir` has to be there: what undoes it is appended to [`RECORD`] in it.
pub fn fix(sys: &impl Sys, state_dir: &Path, now: i64, fix: &Fix) -> Result<(), FixError> {
    record(state_dir, now, fix)?;
    match fix {
        Fix::ClearFlags { volume, at, .. } => clear_flags(sys, volume, at),
        Fix::Restrict { path, from, to } => restrict(path, *from, *to),
    }
}

fn record(state_dir: &Path, now: i64, fix: &Fix) -> Result<(), FixError> {
    let file: PathBuf = state_dir.join(RECORD);
    let failed = |source| FixError::Record {
        file: Raw::from(file.as_path()),
        source,
    };
    let line = Line {
        at: now,
        fix,
        undo: fix.undo(),
    };
    let mut bytes = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    let mut opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(nofollow())
        .open(&file)
        .map_err(failed)?;
    opened.write_all(&bytes).map_err(failed)?;
    opened.sync_data().map_err(failed)
}

fn nofollow() -> i32 {
    // The bits of open(2) fit: they are an int there.
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Component by component from the volume's directory: through no link and into no mount.
fn clear_flags(sys: &impl Sys, volume: &Raw, at: &Raw) -> Result<(), FixError> {
    let tail = at.below(volume).ok_or_else(|| FixError::Outside {
        at: at.clone(),
        volume: volume.clone(),
    })?;
    let failed = |source| FixError::Open {
        path: at.clone(),
        source,
    };
    let changed = |source| FixError::Change {
        path: at.clone(),
        source,
    };
    let mut dir = sys.open_root(volume.as_path()).map_err(failed)?;
    let mut names = tail
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    let had = loop {
        let Some(name) = names.next() else {
            break sys.clear_flags(&dir).map_err(changed)?;
        };
        if names.peek().is_none() {
            break sys.clear_entry_flags(&dir, name).map_err(changed)?;
        }
        dir = sys.open_child(&dir, name).map_err(failed)?;
    };
    if had {
        Ok(())
    } else {
        Err(FixError::Changed { path: at.clone() })
    }
}

fn restrict(path: &Raw, from: u32, to: u32) -> Result<(), FixError> {
    let changed = |source| FixError::Change {
        path: path.clone(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path.as_path(), flags, Mode::empty()).map_err(changed)?;
    let now = fstat(&file).map_err(changed)?.st_mode & 0o7777;
    // Only ever less.
    if now != from || to & !from != 0 {
        return Err(FixError::Changed { path: path.clone() });
    }
    fchmod(&file, Mode::from_raw_mode(to)).map_err(changed)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::act::sys::Kernel;

    #[test]
    fn permissions_are_taken_away_once_and_never_given_and_what_undoes_it_is_written_down() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("ledger.json");
        std::fs::write(&file, "{}").unwrap();
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        let a_fix = |from, to| Fix::Restrict {
            path: Raw::from(file.as_path()),
            from,
            to,
        };
        let make = |one: &Fix| fix(&Kernel::new(), temp.path(), 7, one);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        make(&a_fix(0o666, 0o644)).unwrap();
        assert_eq!(mode(), 0o644);
        // As it is no more; more than it had; a link.
        assert!(matches!(
            make(&a_fix(0o666, 0o600)),
            Err(FixError::Changed { .. })
        ));
        assert!(matches!(
            make(&a_fix(0o644, 0o755)),
            Err(FixError::Changed { .. })
        ));
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let by_link = Fix::Restrict {
            path: Raw::from(link),
            from: 0o644,
            to: 0o600,
        };
        assert!(matches!(make(&by_link), Err(FixError::Change { .. })));
        assert_eq!(mode(), 0o644);
        let record = std::fs::read_to_string(temp.path().join(RECORD)).unwrap();
        let first: serde_json::Value =
            serde_json::from_str(record.lines().next().unwrap()).unwrap();
        assert_eq!(first["at"], 7);
        assert!(
            first["undo"].as_str().unwrap().starts_with("chmod 0666 "),
            "{first}"
        );
    }

    #[test]
    fn nothing_is_done_that_can_not_be_written_down_or_lies_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let volume = temp.path().join("volume");
        std::fs::create_dir_all(volume.join("a")).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("link")).unwrap();
        let flags = |at: &str| Fix::ClearFlags {
            volume: Raw::from(volume.as_path()),
            at: Raw::from(at),
            undo: String::new(),
        };
        let make = |at: &str| fix(&Kernel::new(), temp.path(), 7, &flags(at));
        assert!(matches!(make("/etc/passwd"), Err(FixError::Outside { .. })));
        let at = |name: &str| volume.join(name).to_str().unwrap().to_owned();
        assert!(matches!(
            make(&at("link/passwd")),
            Err(FixError::Open { .. })
        ));
        assert!(matches!(
            make(&at("../x")),
            Err(FixError::Open { .. } | FixError::Change { .. })
        ));
        let nowhere = fix(&Kernel::new(), &volume.join("none"), 7, &flags(&at("a")));
        assert!(matches!(nowhere, Err(FixError::Record { .. })));
    }
}
