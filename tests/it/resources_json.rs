//! `--resources`: every text that a real agent was given, with what the agent did; and the one-line
//! forms, read back by those who read them.
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a shell reads what is written for shells"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesos_volumed::mesos::disk::{DiskRef, DiskType, SourceType};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::resources_json::{
    DiskEntry, Foreign, ResourcesError, SourceExtras, generate, parse_resources,
};
use mesos_volumed::units::{Megabytes, Raw};
use serde_json::Value;

fn variants() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mesos/resources_variants")
}

/// Type, root and size of each disk, and its role, with the sums that the agent makes.
type Disks = BTreeMap<(Option<SourceType>, String, String), i64>;

fn disks(resources: &[Resource]) -> Disks {
    let mut disks = Disks::new();
    for resource in resources {
        let size = resource.megabytes().map_or(0, Megabytes::thousandths);
        if resource.name.as_bytes() != b"disk" || size == 0 {
            continue;
        }
        let source = resource.source.as_ref();
        let root = source.and_then(|source| source.root.as_ref());
        let key = (
            source.map(|source| source.kind),
            root.map_or_else(String::new, ToString::to_string),
            resource
                .role()
                .map_or_else(String::new, ToString::to_string),
        );
        *disks.entry(key).or_insert(0) += size;
    }
    disks
}

/// What the recorded agent then offered; its JSON is read with the same reader.
fn offered(result: &Value) -> Disks {
    let mut entries: Vec<Value> = result["agent_unreserved_disk"].as_array().unwrap().clone();
    for (_, reserved) in result["agent_reserved"].as_object().into_iter().flatten() {
        entries.extend(reserved.as_array().unwrap().iter().cloned());
    }
    entries.retain(|entry| entry["name"] == "disk");
    let text = serde_json::to_string(&entries).unwrap();
    disks(&parse_resources(&text, &Role::new("*")).unwrap())
}

#[test]
fn every_recorded_text_has_the_agent_s_own_verdict() {
    let results = fs::read_to_string(variants().join("results.json")).unwrap();
    let results: Vec<Value> = serde_json::from_str(&results).unwrap();
    let (mut accepted, mut refused, mut aborted, mut file_system) = (0, 0, 0, 0);
    for result in &results {
        let name = result["name"].as_str().unwrap();
        let role = Role::new(if name == "flag_default_role" {
            "prod"
        } else {
            "*"
        });
        let text = match fs::read_to_string(variants().join(format!("{name}.json"))) {
            Ok(text) => text,
            Err(_) if name == "flag_plain_path_without_scheme" => "./resources.json".to_owned(),
            // The text stood on the command line, and is that of another case.
            Err(_) if name == "flag_inline_json" => {
                fs::read_to_string(variants().join("path_root_missing_on_disk.json"))
                    .unwrap()
                    .replace("/srv/m/mnt/nope", "/srv/m/mnt/path0")
            }
            Err(_) if name == "flag_absent" => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let verdict = parse_resources(&text, &role);
        if result["registered"] == true {
            let resources = verdict.unwrap_or_else(|error| panic!("{name}: {error}"));
            if name == "name_Disk_uppercase" {
                // No `disk` is named: the agent detects one by itself.
                assert_eq!(disks(&resources), Disks::new());
            } else {
                assert_eq!(disks(&resources), offered(result), "{name}");
            }
            accepted += 1;
            continue;
        }
        if result["rc"] == -6 {
            let member = if name.starts_with("path") {
                "path"
            } else {
                "mount"
            };
            assert_eq!(
                verdict.unwrap_err(),
                ResourcesError::Abort(format!("source.has_{member}()")),
                "{name}"
            );
            aborted += 1;
            continue;
        }
        let log = result["last"].as_str().unwrap();
        let shutdown = result["shutdown_lines"][0].as_str().unwrap_or(log);
        let said = shutdown
            .split_once("EXIT with status 1: ")
            .unwrap_or_else(|| panic!("{name}: {shutdown}"))
            .1;
        if said.contains("realpath") || said.contains("/proc/mounts") {
            // The text is fine; the file system is not.
            assert!(verdict.is_ok(), "{name}");
            file_system += 1;
            continue;
        }
        // A line of the log ends where the text has a line break.
        let words = verdict.unwrap_err().to_string();
        let first = words.split('\n').next().unwrap();
        assert_eq!(first, said.lines().next().unwrap(), "{name}");
        refused += 1;
    }
    assert_eq!(
        (accepted, refused, aborted, file_system),
        (32, 41, 4, 4),
        "of {}",
        results.len()
    );
}

/// Everything that may stand in a root and means something to a shell or to systemd.
pub(super) fn nasty() -> Vec<DiskEntry> {
    [
        (DiskType::Root, "/var/lib/mesos"),
        (DiskType::Path, "/m/with space  and\ttab"),
        (DiskType::Path, "/m/it's \"quoted\""),
        (DiskType::Path, "/m/$HOME ${HOME} $(id) `id` %h %%"),
        (DiskType::Path, "/m/back\\slash \\n \\\\ \\"),
        (DiskType::Path, "/m/line\nbreak\r"),
        (
            DiskType::Path,
            "/m/#comment; = !x * ? [a] ~ & | <> päth-データ",
        ),
        (DiskType::Mount, "/m/end\\'"),
    ]
    .into_iter()
    .map(|(kind, root)| DiskEntry {
        disk: DiskRef {
            kind,
            root: Raw::from(root),
        },
        size: Megabytes::whole(7),
        role: Role::new("*"),
        extras: SourceExtras::default(),
        known: false,
    })
    .collect()
}

/// `EnvironmentFile=` by the rules of systemd's src/basic/env-file.c, for one assignment whose
/// value is in double quotes. Before systemd 240 a backslash there stood for the next character,
/// whatever it was; since then it does so only before `"`, `\`, `$` and the backquote.
fn as_systemd_reads(line: &str, since_240: bool) -> String {
    let value = line.strip_prefix("MESOS_RESOURCES=\"").unwrap();
    let (mut read, mut chars) = (String::new(), value.chars());
    loop {
        match chars.next().expect("the quotes are closed") {
            '"' => break,
            '\\' => match chars.next().unwrap() {
                c if since_240 && !"\"\\`$".contains(c) => read.extend(['\\', c]),
                c => read.push(c),
            },
            c => read.push(c),
        }
    }
    assert_eq!(chars.as_str(), "\n", "nothing follows");
    read
}

#[test]
fn the_environment_file_survives_systemd_and_a_shell() {
    let text = generate(&nasty(), &Foreign::parse("cpus:2").unwrap()).unwrap();
    let line = text.env().unwrap();
    for since_240 in [false, true] {
        let read = as_systemd_reads(&line, since_240);
        assert_eq!(
            parse_resources(&read, &Role::new("*")).unwrap(),
            text.resources()
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesos-resources");
    fs::write(&file, &line).unwrap();
    let output = Command::new("sh")
        .args(["-c", ". \"$1\"; printf %s \"$MESOS_RESOURCES\"", "sh"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        parse_resources(&read, &Role::new("*")).unwrap(),
        text.resources()
    );
}

#[test]
fn the_flag_survives_a_shell() {
    let text = generate(&nasty(), &Foreign::default()).unwrap();
    let command = format!("printf %s {}", text.flag().unwrap());
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let flag = String::from_utf8(output.stdout).unwrap();
    let read = flag.strip_prefix("--resources=").unwrap();
    assert_eq!(
        parse_resources(read, &Role::new("*")).unwrap(),
        text.resources()
    );
}

/// systemd reads os-release with the very code that reads `EnvironmentFile=`, and systemd-tmpfiles
/// can be made to print a value of it.
#[test]
fn the_environment_file_survives_systemd_itself() {
    let text = generate(&nasty(), &Foreign::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let value = text
        .env()
        .unwrap()
        .replacen("MESOS_RESOURCES=", "BUILD_ID=", 1);
    fs::write(path("os-release"), format!("ID=x\n{value}")).unwrap();
    let rule = format!("f {} 0600 - - - %B\n", path("out").display());
    fs::write(path("rule.conf"), rule).unwrap();
    let output = Command::new("systemd-tmpfiles")
        .arg("--create")
        .arg(path("rule.conf"))
        .env("SYSTEMD_OS_RELEASE", path("os-release"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: needs systemd-tmpfiles ({error})");
            return;
        }
    };
    assert!(output.status.success(), "{output:?}");
    let read = fs::read_to_string(path("out")).unwrap();
    assert_eq!(
        parse_resources(&read, &Role::new("*")).unwrap(),
        text.resources()
    );
}
