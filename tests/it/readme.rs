//! What README.md shows is what the program says.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs, and look for files by name"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use mesos_volumed::decide::doctor;
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::radar::AlarmKind;
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resources_json::{DiskEntry, Foreign, SourceExtras, generate};
use mesos_volumed::units::Megabytes;

/// The README, and behind it the guide that has every code.
const README: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../config/guide/refusals.md")
);

fn between<'a>(start: &str, end: &str) -> &'a str {
    let (_, rest) = README.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}

#[test]
fn every_refusal_stands_in_the_guide_with_its_meaning_and_remedy() {
    let mut table = String::from("\n\n| code | what is so | what to do |\n|-|-|-|\n");
    for refusal in Refusal::ALL {
        writeln!(
            table,
            "| `{}` | {} | {} |",
            refusal.code(),
            refusal.reason(),
            refusal.remedy().replace('|', "\\|")
        )
        .unwrap();
    }
    table.push('\n');
    let shown = between(
        "<!-- refusals: checked by tests/it/readme.rs -->",
        "<!-- end of refusals -->",
    );
    similar_asserts::assert_eq!(shown, table);
}

#[test]
fn every_alarm_stands_in_the_guide_with_its_meaning_and_remedy() {
    let mut table = String::from("\n\n| alarm | the volume | what to do |\n|-|-|-|\n");
    for kind in AlarmKind::ALL {
        let (code, reason, remedy) = (kind.code(), kind.reason(), kind.remedy());
        writeln!(table, "| `{code}` | {reason} | {remedy} |").unwrap();
    }
    table.push('\n');
    let shown = between(
        "<!-- alarms: checked by tests/it/readme.rs -->",
        "<!-- end of alarms -->",
    );
    similar_asserts::assert_eq!(shown, table);
}

#[test]
fn every_finding_of_doctor_stands_in_the_guide_with_its_meaning_and_remedy() {
    let mut table = String::from("\n\n| finding | | what is so | what to do |\n|-|-|-|-|\n");
    for code in doctor::Code::ALL {
        let remedy = code.remedy().replace('|', "\\|");
        let (severity, meaning) = (code.severity().word(), code.meaning());
        writeln!(table, "| `{code}` | {severity} | {meaning} | {remedy} |").unwrap();
    }
    table.push('\n');
    let shown = between(
        "<!-- findings: checked by tests/it/readme.rs -->",
        "<!-- end of findings -->",
    );
    similar_asserts::assert_eq!(shown, table);
}

#[test]
fn every_command_stands_in_the_readme() {
    let rows = between("## Commands\n", "\n## ");
    for command in mesos_volumed::cli::command().get_subcommands() {
        let name = command.get_name();
        let mut names: Vec<String> = command
            .get_subcommands()
            .map(|inner| format!("`{name} {}", inner.get_name()))
            .collect();
        if names.is_empty() {
            names.push(format!("`{name}"));
        }
        for name in names {
            assert!(rows.contains(&name), "{name}` is not in the table");
        }
    }
}

#[test]
fn every_exit_code_stands_in_the_readme() {
    use mesos_volumed::cli::Exit;
    let rows = between("## Exit codes\n", "\n## ");
    for exit in [
        Exit::Done,
        Exit::Error,
        Exit::Usage,
        Exit::WouldChange,
        Exit::Degraded,
        Exit::Refused,
        Exit::Locked,
        Exit::CannotTell,
        Exit::BadConfig,
    ] {
        let row = format!("\n| {} | ", exit.code());
        assert!(rows.contains(&row), "{row}");
    }
}

#[test]
fn the_configuration_of_the_readme_is_sound() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), between("```toml\n", "```")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
        .args(["config", "check", "--config"])
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_resources_of_the_readme_are_what_is_written_to_the_byte() {
    let disk = |kind, root: &str, megabytes| DiskEntry {
        disk: DiskRef {
            kind,
            root: root.into(),
        },
        size: Megabytes::whole(megabytes),
        role: Role::new("*"),
        extras: SourceExtras::default(),
        known: false,
    };
    let foreign = Foreign::parse("cpus:8;mem:16384;ports:[31000-32000]").unwrap();
    let written = generate(
        &[
            disk(DiskType::Root, "/var/lib/mesos/slave", 92_160),
            disk(DiskType::Path, "/mnt/data", 194_560),
            disk(DiskType::Mount, "/dcos/volume0", 204_700),
        ],
        &foreign,
    )
    .unwrap();
    let shown = between(
        "<!-- resources: checked by tests/it/readme.rs -->\n```json\n",
        "```",
    );
    similar_asserts::assert_eq!(shown.trim_end(), written.json().trim_end());
}

/// Files that are linked from a Markdown file, from where it lies.
fn links(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.starts_with("http"))
        .collect()
}

#[test]
fn what_the_documentation_links_to_is_there_and_every_guide_is_linked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md"), root.join("config/README.zh-CN.md")];
    for entry in std::fs::read_dir(root.join("config/guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let link = format!("config/guide/{name}");
        assert!(links(&files[0]).contains(&link), "{link} is not linked");
        files.push(root.join(link));
    }
    for file in files {
        for link in links(&file) {
            let target = file.parent().unwrap().join(&link);
            assert!(target.metadata().is_ok(), "{link} of {}", file.display());
        }
    }
}

/// All Rust files below a folder of the repository, in one text.
fn sources(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn every_answer_of_the_threat_model_names_a_test_that_is_there() {
    let guide = include_str!("../../config/guide/security.md");
    let (_, rest) = guide.split_once("<!-- threats: ").unwrap();
    let (model, _) = rest.split_once("<!-- end of threats -->").unwrap();
    for threat in [
        "A tenant who is root in a container",
        "A stolen read-only account",
        "A hostile client of the API",
        "A malicious disk image",
        "An operator's typo",
    ] {
        assert!(model.contains(&format!("\n### {threat}\n")), "{threat}");
        assert!(README.contains(threat), "{threat} is not in the README");
    }
    let code = sources("src") + &sources("tests");
    let rows = model.lines().filter(|line| line.starts_with("| "));
    let mut count = 0;
    for row in rows.filter(|row| !row.ends_with("| shown by |")) {
        let shown_by = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let is_there = if name.starts_with("scripts/") {
                script.symlink_metadata().is_ok()
            } else {
                // Each refusal has a test of its own.
                Refusal::ALL.iter().any(|refusal| refusal.code() == name)
                    || code.contains(&format!("\nfn {name}()"))
                    || code.contains(&format!("    fn {name}()"))
            };
            assert!(is_there, "{name} of {row}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn every_mutant_that_may_survive_has_a_file_and_a_reason() {
    let known = include_str!("../mutants/survivors.txt");
    let mut lines = known.lines().filter(|line| !line.starts_with('#'));
    while let Some(line) = lines.next() {
        let mutant = line.strip_prefix("- ").unwrap_or_else(|| panic!("{line}"));
        let (file, what) = mutant.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(
            path.symlink_metadata().is_ok() && !what.is_empty(),
            "{line}"
        );
        let reason = lines.next().and_then(|line| line.strip_prefix("  "));
        assert!(reason.is_some_and(|reason| reason.len() > 20), "{line}");
    }
}

#[test]
fn every_script_is_in_the_readme_and_has_help() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for entry in std::fs::read_dir(scripts).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(README.contains(&format!("`scripts/{name}`")), "{name}");
        let output = Command::new(entry.path()).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && help.starts_with("Usage: "),
            "{name}: {output:?}"
        );
    }
}
