//! The nine inputs that break DC/OS's own generator, each run with what it does (written anew in
//! `tests/bench/dcos`) and with ours. `UPDATE_GOLDEN=1` writes the table anew.

#![expect(
    clippy::disallowed_methods,
    reason = "runs the comparison, and reads what it should say"
)]

use std::path::Path;
use std::process::Command;

use super::own_namespace::entered;

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

const TABLE: &str = "tests/golden/dcos_inputs.txt";

#[test]
fn root_what_breaks_the_generator_of_dcos_does_not_break_ours() {
    if !entered("dcos::root_what_breaks_the_generator_of_dcos_does_not_break_ours") {
        return;
    }
    let output = Command::new("python3")
        .arg(file("tests/bench/dcos/compare.py"))
        .arg("inputs")
        .arg(env!("CARGO_BIN_EXE_mesos-volumed"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: needs python3");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file(TABLE), &table).unwrap();
    }
    let expected = std::fs::read_to_string(file(TABLE)).unwrap();
    similar_asserts::assert_eq!(table, expected);
}

#[test]
fn the_table_of_the_readme_is_the_one_that_was_run() {
    let table = std::fs::read_to_string(file(TABLE)).unwrap();
    let readme = std::fs::read_to_string(file("README.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 10, "a heading and nine inputs");
    for row in rows {
        assert_eq!(row.len(), 3, "{row:?}");
        let line = format!("| {} |", row.join(" | "));
        assert!(readme.contains(&line), "{line}");
    }
}
