//! What earlier passes wrote into `state_dir`: the memory and the ledger.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::read;
use crate::decide::facts::{Known, MarathonWipes, Pauses};
use crate::decide::ledger::Ledger;
use crate::decide::memory::Memory;
use crate::units::{Raw, chain};

/// The memory's name in `state_dir`.
pub const MEMORY: &str = "memory.json";
/// The ledger's name in `state_dir`.
pub const LEDGER: &str = "ledger.json";

/// A host with a million volumes stays far below this.
const LIMIT: usize = 1 << 30;

/// `memory.json`. `Absent` on a first run; `Unknown`, with a remedy, where it is damaged or of
/// another version.
#[must_use]
pub fn memory(state_dir: &Raw) -> Known<Memory> {
    versioned(
        &state_dir.join(MEMORY),
        Memory::VERSION,
        "sightings and owed destroys are in it; restore it from a backup, or move it away to begin \
         anew (every orphan's grace starts again, and destroys still owed become orphans)",
    )
}

/// `ledger.json`. `Absent` before anything was advertised or verified; `Unknown`, with a remedy,
/// where it is damaged or of another version.
#[must_use]
pub fn ledger(state_dir: &Raw) -> Known<Ledger> {
    versioned(
        &state_dir.join(LEDGER),
        Ledger::VERSION,
        "advertised sizes and known file systems are in it; restore it from a backup, or move it \
         away and accept every root again with `mesos-volumed disk accept <root>`",
    )
}

/// `paused.json`. `Absent` where nothing was ever paused; `Unknown`, with a remedy, where it is
/// damaged or of another version.
#[must_use]
pub fn pauses(state_dir: &Raw) -> Known<Pauses> {
    versioned(
        &state_dir.join(Pauses::NAME),
        Pauses::VERSION,
        "what was paused is in it; `mesos-volumed resume` writes it anew",
    )
}

/// `marathon.json`. `Absent` where nothing was ever begun; `Unknown`, with a remedy, where it is
/// damaged or of another version.
#[must_use]
pub fn marathon_wipes(state_dir: &Raw) -> Known<MarathonWipes> {
    versioned(
        &state_dir.join(MarathonWipes::NAME),
        MarathonWipes::VERSION,
        "which volumes Marathon was told to destroy is in it; restore it from a backup, or move it \
         away and look with `mesos-volumed fleet orphans` for what is left of them",
    )
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// A file of one JSON value with a `version`. The version is looked at first, so that a file of a
/// later program is told from a damaged one.
pub(super) fn versioned<T: DeserializeOwned>(file: &Raw, version: u32, remedy: &str) -> Known<T> {
    let bytes = match read::whole(file, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if read::is_absent(&error) => return Known::Absent,
        Err(error) => return Known::unknown(chain(&error)),
    };
    let damaged = |error: serde_json::Error| {
        if bytes.is_empty() {
            Known::unknown(format!("{file} is empty; {remedy}"))
        } else {
            Known::unknown(format!("{file} is damaged ({error}); {remedy}"))
        }
    };
    match serde_json::from_slice::<Version>(&bytes) {
        Err(error) => damaged(error),
        Ok(found) if found.version != u64::from(version) => Known::unknown(format!(
            "{file} has version {}, this program reads version {version}; run the program that \
             wrote it",
            found.version
        )),
        Ok(_) => match serde_json::from_slice(&bytes) {
            Ok(value) => Known::Known(value),
            Err(error) => damaged(error),
        },
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use crate::decide::facts::Moment;
    use crate::units::Span;

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Raw) {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join(name), bytes).unwrap();
        let path = Raw::from(tree.path());
        (tree, path)
    }

    fn a_memory() -> Memory {
        Memory::new(&Moment {
            boot_id: "0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab".to_owned(),
            since_boot: Span::seconds(5),
            wall_seconds: 0,
        })
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_written_is_absent() {
        let (_tree, dir) = written(MEMORY, &serde_json::to_vec(&a_memory()).unwrap());
        assert_eq!(memory(&dir), Known::Known(a_memory()));
        assert_eq!(ledger(&dir), Known::Absent);
        assert_eq!(ledger(&dir.join("nowhere")), Known::Absent);
    }

    #[test]
    fn a_file_cut_at_any_byte_is_unknown_and_never_absent_or_smaller() {
        let whole = serde_json::to_vec(&a_memory()).unwrap();
        for length in 0..whole.len() {
            let (_tree, dir) = written(MEMORY, &whole[..length]);
            let why = memory(&dir).why().unwrap().to_string();
            assert!(why.contains("memory.json is "), "{why}");
            assert!(why.contains("begin anew"), "{why}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let (_tree, dir) = written(LEDGER, br#"{"version":2,"shelves":[]}"#);
        let why = ledger(&dir).why().unwrap().to_string();
        assert!(
            why.ends_with(
                "ledger.json has version 2, this program reads version 1; run the program that \
                 wrote it"
            ),
            "{why}"
        );
    }

    #[test]
    fn a_folder_in_its_place_is_unknown() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join(LEDGER)).unwrap();
        assert!(ledger(&tree.path().into()).why().is_some());
    }
}
