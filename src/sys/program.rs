//! Runs programs of the system: those that know file systems, signatures and units better than a
//! re-implementation could. By their whole path, without a shell, and with an environment of ours.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place where a program is started; which one and with what, its callers print"
)]

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::units::Raw;

/// Where programs of the system lie; what a user's `PATH` says is not asked.
pub const FOLDERS: [&str; 6] = [
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
];

/// The path of a program; `None` where none of [`FOLDERS`] has it.
pub fn find(name: &str) -> io::Result<Option<Raw>> {
    for folder in FOLDERS {
        let path = Path::new(folder).join(name);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return Ok(Some(Raw::from(path))),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Runs it to its end: no input, its output captured, in the C locale.
pub fn run(program: &Path, arguments: &[impl AsRef<OsStr>]) -> io::Result<Output> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", FOLDERS.join(":"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
}

/// What a program said on standard error, in one line, for a message.
#[must_use]
pub fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    let status = output.status;
    if line.is_empty() {
        status.to_string()
    } else {
        format!("{line} ({status})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_and_says_what_went_wrong() {
        let cat = find("cat").unwrap().unwrap();
        let output = run(cat.as_path(), &["/none"]).unwrap();
        assert!(said(&output).contains("No such file"), "{}", said(&output));
        assert_eq!(find("no-such-program-here").unwrap(), None);
    }
}
