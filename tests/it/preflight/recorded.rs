//! Every recorded start of a real agent: our verdict is the agent's, and our text its own.

use std::fs;
use std::path::Path;

use mesos_volumed::decide::facts::{
    CheckpointFile, FileKind, Known, LatestAgent, MakeOutcome, Obstacle, ObstacleKind,
    ReconfigurationPolicy, VolumeLook,
};
use mesos_volumed::decide::preflight::{Check, PreflightInput, Verdict, preflight};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::units::{Bytes, Raw};
use serde_json::Value;

use super::host::{
    self, BASE, MOUNT, PATH, WORK_DIR, directory, facts, nothing, recordings, start, whole_volume,
};

/// What a recorded start came to.
#[derive(Debug, PartialEq)]
enum Recorded {
    /// It registered again with the same id.
    Same,
    /// It registered with another id.
    New,
    /// It exited with this text.
    Exit(String),
}

/// The text behind `EXIT with status 1: `, without the advice.
fn exit_text(log: &str) -> Option<String> {
    let text = log.split_once("EXIT with status 1: ")?.1;
    let mut ends = [
        "\nIf recovery failed due to",
        "\nreserved_resources_full",
        "\nmeta/resources",
    ]
    .into_iter()
    .filter_map(|end| text.find(end));
    let text = text.split_at(ends.next().unwrap_or(text.len())).0;
    Some(text.trim_end_matches('\n').to_owned())
}

fn ours(input: &PreflightInput) -> Recorded {
    match preflight(input).verdict {
        Verdict::Recovers { .. } => Recorded::Same,
        Verdict::NewAgentId { .. } => Recorded::New,
        Verdict::Refuses { text, .. } => Recorded::Exit(text.trim_end_matches('\n').to_owned()),
        Verdict::CannotTell { why } => panic!("cannot tell: {why:?}"),
    }
}

fn line<'a>(log: &'a str, begin: &str) -> Option<&'a str> {
    log.lines().find_map(|line| line.strip_prefix(begin))
}

/// The host of a recorded restart.
fn restarted(case: &str, folder: &Path, log: &str) -> PreflightInput {
    let policy = case.split("__").next().unwrap();
    let mut facts = facts(&folder.join("meta"));
    let text = line(log, "resources: ").unwrap();
    if case.contains("mount_not_mounted") {
        facts
            .roots
            .insert(Raw::from(MOUNT), directory(MOUNT, 9, false));
    }
    if case.contains("path_root_gone") {
        facts.roots.insert(Raw::from(PATH), nothing());
    }
    if case.contains("path_to_mount") {
        facts
            .roots
            .insert(Raw::from(PATH), directory(PATH, 9, false));
    }
    if case.contains("latest_link_removed") {
        // A start that registered has made the link again.
        facts.latest = LatestAgent::Missing { earlier: true };
        facts.info = CheckpointFile::Missing;
    }
    let mut input = start(facts, ReconfigurationPolicy::named(policy).unwrap(), text);
    let attributes = log
        .lines()
        .find_map(|line| line.split_once("Agent attributes: [ "));
    // A start that did not find its disks ended before that line.
    let attributes = attributes.map_or("", |line| line.1.trim_end_matches(']').trim());
    input.flags.attributes = Known::Known(attributes.replace('=', ":"));
    input.flags.hostname = Known::Known(Raw::from("127.0.0.1"));
    input.flags.port = Known::Known(5051);
    input.flags.domain = Known::Absent;
    input.flags.default_role = Known::Known(Role::new("*"));
    input
}

#[test]
fn every_recorded_restart_has_the_agent_s_verdict_and_text() {
    let folder = recordings().join("restart");
    let (mut same, mut new, mut refused) = (0, 0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let log = fs::read_to_string(folder.join(&case).join("log.txt")).unwrap();
        let recorded = match exit_text(&log) {
            Some(text) => {
                refused += 1;
                Recorded::Exit(text)
            }
            None if case.contains("latest_link_removed") => {
                new += 1;
                Recorded::New
            }
            None => {
                assert_eq!(
                    line(&log, "reregistered: "),
                    Some("True  exit code: None"),
                    "{case}"
                );
                same += 1;
                Recorded::Same
            }
        };
        let input = restarted(&case, &folder.join(&case), &log);
        similar_asserts::assert_eq!(ours(&input), recorded, "{case}");
    }
    assert_eq!((same, new, refused), (13, 1, 24));
}

/// The disks of the recordings of texts.
fn variant_host(name: &str) -> PreflightInput {
    let text =
        match fs::read_to_string(recordings().join(format!("resources_variants/{name}.json"))) {
            Ok(text) => text,
            Err(_) if name == "flag_plain_path_without_scheme" => "./resources.json".to_owned(),
            Err(_) if name == "flag_inline_json" => {
                let path = recordings().join("resources_variants/path_root_missing_on_disk.json");
                fs::read_to_string(path)
                    .unwrap()
                    .replace("/srv/m/mnt/nope", PATH)
            }
            Err(_) if name == "flag_absent" => String::new(),
            Err(error) => panic!("{name}: {error}"),
        };
    let mut facts = facts(Path::new("/there/is/no/meta"));
    facts.detected.disk = Known::Known(Bytes((252_899 << 20) + (5 << 30)));
    let mount = |path: &str, minor| directory(path, minor, true);
    let plain = |path: &str| directory(path, 9, false);
    let linked = |to: &str| host::directory(to, 1, true);
    for (root, look) in [
        ("/srv/m/mnt", plain("/srv/m/mnt")),
        ("/srv/m/mnt/path0/sub", nothing()),
        ("/srv/m/mnt/vol0/sub", nothing()),
        ("/srv/m/mnt/path1/../path0", mount(PATH, 0)),
        ("/srv/m/mnt/nope", nothing()),
        ("/srv/m/mnt/nope2", nothing()),
        ("/srv/m/mnt/link-vol0", linked(MOUNT)),
        ("/srv/m/state/mal", plain("/srv/m/state/mal")),
        ("/", mount("/", 9)),
        ("", nothing()),
        ("rel/path0", nothing()),
        ("rel/vol0", nothing()),
        ("/srv/m/mnt/p\u{e4}th-\u{30c7}\u{30fc}\u{30bf}", nothing()),
        ("/srv/m/mnt/with space", nothing()),
        ("/srv/m/mnt/a\nb", nothing()),
    ] {
        facts.roots.insert(Raw::from(root), look);
    }
    let mut input = start(facts, ReconfigurationPolicy::Equal, &text);
    input.flags.default_role = Known::Known(Role::new(if name == "flag_default_role" {
        "prod"
    } else {
        "*"
    }));
    input
}

#[test]
fn every_recorded_text_has_the_agent_s_verdict_and_text() {
    let results = recordings().join("resources_variants/results.json");
    let results: Vec<Value> = serde_json::from_str(&fs::read_to_string(results).unwrap()).unwrap();
    let (mut accepted, mut refused, mut aborted) = (0, 0, 0);
    for result in &results {
        let name = result["name"].as_str().unwrap();
        let report = preflight(&variant_host(name));
        if result["registered"] == true {
            assert_eq!(
                report.verdict,
                Verdict::Recovers { first_start: true },
                "{name}"
            );
            let offered: i64 = report
                .resources
                .entries()
                .iter()
                .filter(|entry| entry.name() == "disk")
                .filter_map(|entry| Some(entry.scalar()?.thousandths()))
                .sum();
            let total = result["agent_disk_total"].as_f64().unwrap();
            // The agent sums up numbers that are rounded already.
            assert!(
                (offered as f64 / 1000.0 - total).abs() < 0.001,
                "{name}: {offered} {total}"
            );
            accepted += 1;
            continue;
        }
        let Verdict::Refuses { text, once, .. } = report.verdict else {
            panic!("{name}: {:?}", report.verdict)
        };
        assert!(!once);
        if result["rc"] == -6 {
            let member = if name.starts_with("path") {
                "path"
            } else {
                "mount"
            };
            assert_eq!(
                text,
                format!("Check failed: source.has_{member}()"),
                "{name}"
            );
            aborted += 1;
            continue;
        }
        let log = result["last"].as_str().unwrap();
        let shutdown = result["shutdown_lines"][0].as_str().unwrap_or(log);
        let said = exit_text(shutdown).unwrap_or_else(|| panic!("{name}: {shutdown}"));
        // A line of the log ends where the text has a line break.
        assert_eq!(text.lines().next(), said.lines().next(), "{name}");
        refused += 1;
    }
    assert_eq!((accepted, refused, aborted), (33, 45, 4));
}

/// The checkpoint of the recorded hosts with volumes `root1`, `path1` and `mount1`.
fn with_volumes() -> PreflightInput {
    let meta = recordings().join("restart/equal__same/meta");
    start(facts(&meta), ReconfigurationPolicy::Equal, BASE)
}

#[test]
fn a_changed_boot_id_gives_what_the_agent_gave() {
    for (path, recorded) in [
        // extra/boot_id_changed__same_resources.txt: the id stays.
        ("2048", Recorded::Same),
        // extra/boot_id_changed__PATH_bigger.txt: S0 became S1.
        ("4096", Recorded::New),
    ] {
        let mut input = with_volumes();
        input.text.text = BASE.replace("2048},\n", &format!("{path}}},\n"));
        input.rebooted = Known::Known(true);
        assert_eq!(ours(&input), recorded, "{path}");
    }
    // extra/boot_id_changed__PATH_smaller_than_the_volume.txt: refused all the same.
    let log = fs::read_to_string(
        recordings().join("extra/boot_id_changed__PATH_smaller_than_the_volume.txt"),
    )
    .unwrap();
    let mut input = with_volumes();
    input.text.text = BASE.replace("2048},\n", "100},\n");
    input.rebooted = Known::Known(true);
    // The volumes have other names there.
    let names = |text: String| {
        text.replace("path1:", "p1:")
            .replace("root1:", "r1:")
            .replace("mount1:", "m1:")
    };
    similar_asserts::assert_eq!(
        ours(&input),
        Recorded::Exit(names(exit_text(&log).unwrap()))
    );
}

/// A host on which a DESTROY of `path1` failed at an immutable file.
fn after_a_failed_destroy(meta: &Path, volume: &str, kind: ObstacleKind) -> PreflightInput {
    let mut facts = facts(meta);
    facts.volumes.insert(
        Raw::from(volume),
        VolumeLook {
            obstacles: vec![Obstacle {
                at: Raw::from(volume).join("inner"),
                kind,
            }],
            ..whole_volume()
        },
    );
    start(facts, ReconfigurationPolicy::Equal, BASE)
}

#[test]
fn a_destroy_that_failed_fails_again_in_the_agent_s_words() {
    const VOLUME: &str = "/srv/m/mnt/path0/volumes/roles/prod/path1";
    let log = fs::read_to_string(recordings().join("extra/target_fail_PATH.txt")).unwrap();
    let section = |title: &str| {
        let section = log.split("\n## ").find(|part| part.starts_with(title));
        exit_text(section.unwrap_or_else(|| panic!("{title}"))).unwrap()
    };
    let first = recordings().join("extra/target_fail_PATH_meta_first_exit/meta");
    let second = recordings().join("extra/target_fail_PATH_meta_second_exit/meta");
    for (meta, title) in [
        (&first, "start 1 with nothing fixed"),
        (&second, "start 2 with nothing fixed"),
    ] {
        let input = after_a_failed_destroy(meta, VOLUME, ObstacleKind::Immutable);
        similar_asserts::assert_eq!(ours(&input), Recorded::Exit(section(title)));
        let report = preflight(&input);
        assert!(
            report.remedy.ways[0].ends_with("take the immutable flag away (chattr -i)"),
            "{:?}",
            report.remedy
        );
    }
    // With target files taken away by hand.
    let mut input = after_a_failed_destroy(&first, VOLUME, ObstacleKind::Immutable);
    input.facts.checkpoint.info_target = CheckpointFile::Missing;
    similar_asserts::assert_eq!(
        ours(&input),
        Recorded::Exit(section("only resources.target removed (repeated"))
    );
    for both in [false, true] {
        let mut input = after_a_failed_destroy(&first, VOLUME, ObstacleKind::Immutable);
        input.facts.checkpoint.state_target = CheckpointFile::Missing;
        let title = if both {
            input.facts.checkpoint.info_target = CheckpointFile::Missing;
            "both targets removed"
        } else {
            "only resources_and_operations.target removed"
        };
        assert_eq!(ours(&input), Recorded::Exit(section(title)), "{title}");
    }
    // Mended, the start deletes the volume and goes on.
    let mut input = after_a_failed_destroy(&first, VOLUME, ObstacleKind::Immutable);
    input
        .facts
        .volumes
        .insert(Raw::from(VOLUME), whole_volume());
    let report = preflight(&input);
    assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
    assert_eq!(report.deletes.len(), 1);
    assert_eq!(report.deletes[0].path, Raw::from(VOLUME));
}

#[test]
fn every_recorded_exit_in_a_create_or_destroy_repeats_itself() {
    let folder = recordings().join("destroy");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let meta = folder.join(&case).join("meta");
        let mut facts = facts(&meta);
        let paths: Vec<Raw> = facts.volumes.keys().cloned().collect();
        assert_eq!(paths.len(), 1, "{case}");
        let look = facts.volumes.get_mut(&paths[0]).unwrap();
        let words = match case.as_str() {
            "bind_inside_PATH" | "tmpfs_inside_PATH" => {
                look.obstacles.push(Obstacle {
                    at: paths[0].join("m"),
                    kind: ObstacleKind::Mount,
                });
                "Device or resource busy"
            }
            "parent_file_at_create_PATH" => {
                look.exists = Known::Known(false);
                look.make = MakeOutcome::Fails("Not a directory".to_owned());
                "Not a directory"
            }
            "immutable_root_at_create_PATH" => {
                look.exists = Known::Known(false);
                look.make = MakeOutcome::Fails("Operation not permitted".to_owned());
                "Operation not permitted"
            }
            _ => {
                look.obstacles.push(Obstacle {
                    at: paths[0].clone(),
                    kind: ObstacleKind::Immutable,
                });
                "Operation not permitted"
            }
        };
        let input = start(facts, ReconfigurationPolicy::Equal, BASE);
        let Verdict::Refuses { check, text, .. } = preflight(&input).verdict else {
            panic!("{case}")
        };
        assert_eq!(check, Check::Replay, "{case}");
        assert!(
            text.starts_with("Failed to perform recovery: Target checkpointed resources "),
            "{case}: {text}"
        );
        assert!(text.ends_with(&format!("': {words}")), "{case}: {text}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn the_stages_of_a_host_recover_with_what_they_were_started_with() {
    let folder = recordings().join("stages");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let facts = facts(&folder.join(&case).join("meta"));
        let CheckpointFile::Whole(info) = &facts.info else {
            panic!("{case}")
        };
        let text = info.resources.json();
        for policy in [
            ReconfigurationPolicy::Equal,
            ReconfigurationPolicy::Additive,
        ] {
            for rebooted in [false, true] {
                let mut input = start(facts.clone(), policy, &text);
                input.rebooted = Known::Known(rebooted);
                assert_eq!(
                    preflight(&input).verdict,
                    Verdict::Recovers { first_start: false },
                    "{case}"
                );
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn what_is_looked_at_is_what_a_start_looks_at() {
    let input = with_volumes();
    let roots = mesos_volumed::decide::preflight::roots(&input);
    assert_eq!(roots, [Raw::from(PATH), Raw::from(MOUNT)]);
    assert_eq!(
        input.facts.roots[&Raw::from(WORK_DIR)].kind,
        Known::Known(FileKind::Directory)
    );
}
