//! What this program keeps in `state_dir`: memory, ledger, gate, what `marathon wipe` began, and audit
//! log.
//!
//! Every file is replaced atomically and durably before the step that relies on it, so that a
//! crash between any two calls finds either the old or the new one, whole. Durability points of a pass:
//!
//! 1. `memory.json`, before the first step: what is done can be counted, and its evidence is kept;
//! 2. of each step that tenants can see its line in the audit log, before the step;
//! 3. `gate.json`, before the first change behind it, and gone after the last one;
//! 4. `ledger.json`, before the marker that confirms it, and before a number that is printed.
//!
//! What a crash leaves of a replacement lies beside the file until the next replacement.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use serde::Serialize;

use super::audit::{AuditLimits, AuditLog};
use super::durable::{self, ReadError, ReplaceError};
use super::sys::{Access, Content};
use crate::decide::facts::{Fingerprint, GateFile, MarathonWipes, OwedFill, Pauses};
use crate::decide::held_back::HeldBack;
use crate::decide::ledger::{Ledger, LedgerChange, LedgerPlace, LedgerRoot, Verified};
use crate::decide::memory::Memory;
use crate::mesos::disk::DiskRef;
use crate::units::{Bytes, Raw};

/// Why something was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is not there and could not be made.
    #[error("the state folder {path} could not be made; see daemon.state_dir")]
    Folder {
        /// The folder.
        path: Raw,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A value could not be written as JSON.
    #[error("{what} could not be written as JSON")]
    Encode {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file could not be replaced; the old one is whole.
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    /// The ledger could not be locked.
    #[error("the ledger's lock {path} could not be taken")]
    LedgerLock {
        /// The lock file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// The ledger could not be read; it was left as it is.
    #[error("the ledger could not be read; it was left as it is")]
    Ledger(#[source] ReadError),
    /// The ledger is damaged; it was left as it is.
    #[error("ledger.json is damaged; restore it from a backup, or move it away")]
    LedgerDamaged(#[source] serde_json::Error),
    /// A later program wrote the ledger.
    #[error("ledger.json has version {found}; run the program that wrote it")]
    LedgerVersion {
        /// Its version.
        found: u32,
    },
    /// The gate file could not be removed.
    #[error("the gate file {path} could not be removed; agents stay held back")]
    Gate {
        /// The file.
        path: Raw,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// The audit log could not be written.
    #[error("the audit log {path} could not be written")]
    Audit {
        /// The file.
        path: Raw,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The folder `daemon.state_dir`.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    log: AuditLog,
}

impl Store {
    /// Opens the folder, making it (0700) where it is missing. Its parent must be there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let made = std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(dir);
        match made {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                log: AuditLog::new(dir.join("audit"), AuditLimits::default()),
            }),
            Err(source) => Err(StoreError::Folder {
                path: dir.into(),
                source,
            }),
        }
    }

    /// With an audit log of these limits.
    #[must_use]
    pub fn with_audit(self, limits: AuditLimits) -> Self {
        Self {
            log: AuditLog::new(self.dir.join("audit"), limits),
            ..self
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces `memory.json`.
    pub fn write_memory(&self, memory: &Memory) -> Result<(), StoreError> {
        self.log.lived(memory.clock.lived);
        // On one line: with very many volumes it is read and written far sooner, by every pass.
        self.write_by("memory.json", &|out| serde_json::to_writer(out, memory))
    }

    /// Replaces `ledger.json`.
    pub fn write_ledger(&self, ledger: &Ledger) -> Result<(), StoreError> {
        self.write("ledger.json", ledger)
    }

    /// Replaces `held_back.json`.
    pub fn write_held_back(&self, held: &HeldBack) -> Result<(), StoreError> {
        self.write(HeldBack::NAME, held)
    }

    /// Replaces `paused.json`.
    pub fn write_pauses(&self, pauses: &Pauses) -> Result<(), StoreError> {
        self.write(Pauses::NAME, pauses)
    }

    /// Replaces `marathon.json`; who does it holds a [`super::marathon::WipeLock`].
    pub fn write_marathon_wipes(&self, wipes: &MarathonWipes) -> Result<(), StoreError> {
        self.write(MarathonWipes::NAME, wipes)
    }

    /// Reads the ledger anew, changes it, and replaces it if that changed anything. A lock of its
    /// own keeps the daemon, which verifies roots, and a command, which writes the numbers that it
    /// advertises, from losing each other's change.
    pub fn update_ledger(
        &self,
        change: impl FnOnce(Ledger) -> Ledger,
    ) -> Result<Ledger, StoreError> {
        let path = self.dir.join("ledger.lock");
        let locked = (|| {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(rustix::fs::CWD, &path, flags, Mode::from_raw_mode(0o600))?;
            rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            Ok(file)
        })();
        let _lock = locked.map_err(|source| StoreError::LedgerLock {
            path: path.as_path().into(),
            source,
        })?;
        let present = self.read_ledger()?;
        let changed = change(present.clone());
        if changed != present {
            self.write_ledger(&changed)?;
        }
        Ok(changed)
    }

    /// An empty one where there is none; a damaged one is an error, never an empty one.
    fn read_ledger(&self) -> Result<Ledger, StoreError> {
        let bytes = match durable::read_bounded(&self.dir.join("ledger.json"), 1 << 30) {
            Ok(bytes) => bytes,
            Err(ReadError::Missing { .. }) => return Ok(Ledger::default()),
            Err(error) => return Err(StoreError::Ledger(error)),
        };
        let ledger: Ledger = serde_json::from_slice(&bytes).map_err(StoreError::LedgerDamaged)?;
        if ledger.version == Ledger::VERSION {
            Ok(ledger)
        } else {
            Err(StoreError::LedgerVersion {
                found: ledger.version,
            })
        }
    }

    /// Closes the gate for these roots, and notes what is owed to some of them; durable when this
    /// returns.
    pub fn close_gate(&self, roots: &[Raw], fills: &[OwedFill]) -> Result<(), StoreError> {
        self.write(
            GateFile::NAME,
            &GateFile {
                version: GateFile::VERSION,
                roots: roots.to_vec(),
                fills: fills.to_vec(),
            },
        )
    }

    /// Opens the gate; durable when this returns.
    #[expect(
        clippy::disallowed_methods,
        reason = "the gate is a file of ours in a folder of ours; its removal opens it"
    )]
    pub fn open_gate(&self) -> Result<(), StoreError> {
        let path = self.dir.join(GateFile::NAME);
        let fail = |source| StoreError::Gate {
            path: path.as_path().into(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(rustix::fs::CWD, &self.dir, flags, Mode::empty()).map_err(fail)?;
        match rustix::fs::unlinkat(&dir, GateFile::NAME, rustix::fs::AtFlags::empty()) {
            Ok(()) => rustix::fs::fsync(&dir).map_err(fail),
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(source) => Err(fail(source)),
        }
    }

    /// Appends one line to the audit log, durably.
    pub fn audit<T: Serialize>(&self, record: &T) -> Result<(), StoreError> {
        self.audit_all(std::slice::from_ref(record))
    }

    /// Appends these lines to the audit log at once, durably.
    pub fn audit_all(&self, records: &[impl Serialize]) -> Result<(), StoreError> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).map_err(|source| StoreError::Encode {
                what: "an audit record",
                source,
            })?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        self.log.append(&text).map_err(|source| StoreError::Audit {
            path: self.log.file().as_path().into(),
            source,
        })
    }

    fn write(&self, name: &'static str, value: &impl Serialize) -> Result<(), StoreError> {
        self.write_by(name, &|out| serde_json::to_writer_pretty(out, value))
    }

    fn write_by(
        &self,
        name: &'static str,
        json: &dyn Fn(&mut dyn std::io::Write) -> Result<(), serde_json::Error>,
    ) -> Result<(), StoreError> {
        let mut no_form = None;
        let content: Content<'_> = &mut |out| {
            match json(&mut *out) {
                Ok(()) => {}
                Err(error) if error.is_io() => return Err(error.into()),
                Err(error) => {
                    no_form = Some(error);
                    return Err(std::io::ErrorKind::InvalidData.into());
                }
            }
            out.write_all(b"\n")
        };
        let access = Access {
            mode: 0o600,
            owner: None,
        };
        let written = durable::replace_by_writing(&self.dir.join(name), content, access);
        match no_form {
            Some(source) => Err(StoreError::Encode { what: name, source }),
            None => Ok(written?),
        }
    }
}

/// The ledger with this root verified as this file system.
#[must_use]
pub fn with_verified_root(
    mut ledger: Ledger,
    disk: &DiskRef,
    print: &Fingerprint,
    verified: Verified,
    now: i64,
) -> Ledger {
    let change = |what: String| LedgerChange { at: now, what };
    if let Some(entry) = ledger.roots.iter_mut().find(|entry| entry.disk == *disk) {
        if entry.fingerprint.as_ref() != Some(print) {
            let before = entry.fingerprint.as_ref().map_or_else(
                || "never verified".to_owned(),
                |old| format!("{} {}", old.fs_type, old.filesystem),
            );
            entry.changes.push(change(format!(
                "verified as {} {} (before: {before})",
                print.fs_type, print.filesystem
            )));
            entry.fingerprint = Some(print.clone());
            // Where it lay no longer says anything of what it lies on now.
            let is_there = |place: &LedgerPlace| {
                let uuid = place.filesystem.as_ref();
                uuid.is_none_or(|uuid| *uuid == print.filesystem)
            };
            entry.place = entry.place.take().filter(is_there);
        }
        if let Some(before) = &entry.verified
            && before.total_bytes != verified.total_bytes
        {
            entry.changes.push(change(format!(
                "its file system of {} was {} before",
                Bytes(verified.total_bytes),
                Bytes(before.total_bytes)
            )));
        }
        entry.verified = Some(verified);
        entry.last_seen = now;
    } else {
        let mut entry = LedgerRoot::new(disk.clone(), now);
        entry.fingerprint = Some(print.clone());
        entry.verified = Some(verified);
        entry.changes.push(change(format!(
            "first verified as {} {}",
            print.fs_type, print.filesystem
        )));
        ledger.roots.push(entry);
    }
    ledger
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "test fixtures")]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::decide::facts::FileIdentity;
    use crate::mesos::disk::DiskType;

    fn noted() -> Verified {
        Verified {
            total_bytes: 1 << 30,
            ..Verified::default()
        }
    }

    #[test]
    fn the_gate_closes_and_opens_and_opening_twice_is_no_error() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("state")).unwrap();
        store
            .close_gate(&[Raw::from("/dcos/volume0")], &[])
            .unwrap();
        let text = std::fs::read_to_string(store.dir().join("gate.json")).unwrap();
        assert!(text.contains("/dcos/volume0"), "{text}");
        store.open_gate().unwrap();
        store.open_gate().unwrap();
        assert!(std::fs::metadata(store.dir().join("gate.json")).is_err());
    }

    #[test]
    fn each_change_of_a_root_stands_in_the_ledger_once() {
        let disk = DiskRef {
            kind: DiskType::Path,
            root: Raw::from("/mnt/a"),
        };
        let print = |uuid: &str| Fingerprint {
            filesystem: uuid.to_owned(),
            fs_type: "xfs".to_owned(),
            directory: FileIdentity {
                filesystem: uuid.to_owned(),
                handle: "1:aa".to_owned(),
            },
        };
        let ledger = with_verified_root(Ledger::default(), &disk, &print("u1"), noted(), 10);
        let ledger = with_verified_root(ledger, &disk, &print("u1"), noted(), 20);
        assert_eq!(ledger.roots[0].changes.len(), 1);
        assert_eq!(
            (ledger.roots[0].first_seen, ledger.roots[0].last_seen),
            (10, 20)
        );
        let ledger = with_verified_root(ledger, &disk, &print("u2"), noted(), 30);
        assert_eq!(
            ledger.roots[0].changes[1].what,
            "verified as xfs u2 (before: xfs u1)"
        );
    }

    #[test]
    fn two_that_change_the_ledger_at_once_lose_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let print = |uuid: &str| Fingerprint {
            filesystem: uuid.to_owned(),
            fs_type: "xfs".to_owned(),
            directory: FileIdentity {
                filesystem: uuid.to_owned(),
                handle: "1:aa".to_owned(),
            },
        };
        std::thread::scope(|scope| {
            for half in ["a", "b"] {
                let store = Store::open(temp.path()).unwrap();
                scope.spawn(move || {
                    for number in 0..20 {
                        let disk = DiskRef {
                            kind: DiskType::Path,
                            root: Raw::from(format!("/mnt/{half}{number}")),
                        };
                        store
                            .update_ledger(|ledger| {
                                with_verified_root(ledger, &disk, &print("u1"), noted(), 10)
                            })
                            .unwrap();
                    }
                });
            }
        });
        let store = Store::open(temp.path()).unwrap();
        let before = std::fs::metadata(temp.path().join("ledger.json")).unwrap();
        let ledger = store.update_ledger(|ledger| ledger).unwrap();
        assert_eq!(ledger.roots.len(), 40);
        let after = std::fs::metadata(temp.path().join("ledger.json")).unwrap();
        assert_eq!(
            before.ino(),
            after.ino(),
            "nothing changed, nothing written"
        );
    }

    #[test]
    fn a_damaged_ledger_is_left_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        for text in ["", "{", r#"{"version":2,"roots":[]}"#] {
            std::fs::write(temp.path().join("ledger.json"), text).unwrap();
            store
                .update_ledger(|_| panic!("it was believed"))
                .unwrap_err();
            let now = std::fs::read_to_string(temp.path().join("ledger.json")).unwrap();
            assert_eq!(now, text);
        }
    }

    #[test]
    fn the_audit_log_is_appended_line_by_line() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path()).unwrap();
        store.audit(&serde_json::json!({"a": 1})).unwrap();
        store.audit(&serde_json::json!({"b": 2})).unwrap();
        let text = std::fs::read_to_string(temp.path().join("audit/audit.jsonl")).unwrap();
        assert_eq!(text, "{\"a\":1}\n{\"b\":2}\n");
    }
}
