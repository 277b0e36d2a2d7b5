//! Reads the audit log, closed files first.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use crate::decide::receipts::AuditRecord;
use crate::units::Raw;

/// Longer lines are no lines of ours.
const LONGEST: usize = 1 << 20;

/// How often the log is read anew whose files change meanwhile.
const LOOKS: u32 = 5;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipts {
    /// The lines that were wanted, oldest first.
    pub records: Vec<AuditRecord>,
    /// Lines that are none: torn by a crash, or damaged. File and line number each.
    pub damaged: Vec<(Raw, u64)>,
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} could not be read")]
pub struct ReceiptsError {
    path: Raw,
    source: std::io::Error,
}

/// The lines that `wanted` takes. No log is no lines.
pub fn read(
    state_dir: &Path,
    wanted: &dyn Fn(&AuditRecord) -> bool,
) -> Result<Receipts, ReceiptsError> {
    let folder = state_dir.join("audit");
    let mut before = files(&folder)?;
    for _ in 0..LOOKS {
        let mut receipts = Receipts::default();
        for file in &before {
            match read_file(&folder.join(file), wanted, &mut receipts) {
                Ok(()) => {}
                // Closed or too old meanwhile: the list will differ.
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(error(&folder.join(file), source)),
            }
        }
        let after = files(&folder)?;
        if before == after {
            return Ok(receipts);
        }
        before = after;
    }
    Err(error(
        &folder,
        std::io::Error::other("its files changed each time they were read"),
    ))
}

fn error(path: &Path, source: std::io::Error) -> ReceiptsError {
    ReceiptsError {
        path: path.into(),
        source,
    }
}

/// The log's files, oldest first: names of closed ones sort by number, and the open one comes last.
fn files(folder: &Path) -> Result<Vec<String>, ReceiptsError> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error(folder, source)),
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(|source| error(folder, source))?.file_name();
        if let Ok(name) = name.into_string()
            && name.starts_with("audit")
            && name.strip_suffix(".jsonl").is_some()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_file(
    path: &Path,
    wanted: &dyn Fn(&AuditRecord) -> bool,
    receipts: &mut Receipts,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(std::fs::File::open(path)?);
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let read = std::io::Read::take(&mut reader, limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        number = number.saturating_add(1);
        match serde_json::from_slice::<AuditRecord>(&line) {
            Ok(record) if wanted(&record) => receipts.records.push(record),
            Ok(_) => {}
            Err(_not_a_line) => receipts.damaged.push((path.into(), number)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
mod tests {
    use super::*;

    fn line(at: i64) -> String {
        format!(
            "{{\"at\":{at},\"plan\":\"p\",\"step\":\"wipe\",\"subject\":\"db/a on ROOT:/w\",\
             \"event\":\"begin\"}}\n"
        )
    }

    #[test]
    fn closed_files_come_first_and_damaged_lines_are_told() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(read(temp.path(), &|_| true).unwrap(), Receipts::default());
        let folder = temp.path().join("audit");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("audit.jsonl"), line(3) + "{\"at\":4,").unwrap();
        std::fs::write(folder.join("audit-00000002-9.jsonl"), line(2)).unwrap();
        std::fs::write(folder.join("audit-00000001-9.jsonl"), line(1)).unwrap();
        std::fs::write(folder.join("notes.txt"), "none of ours").unwrap();
        let found = read(temp.path(), &|record| record.at != 2).unwrap();
        let times: Vec<i64> = found.records.iter().map(|record| record.at).collect();
        assert_eq!(times, [1, 3]);
        assert_eq!(
            found.damaged,
            [(Raw::from(folder.join("audit.jsonl").as_path()), 2)]
        );
    }
}
