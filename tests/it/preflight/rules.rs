//! Rules that no recording shows: each with the agent's words.

use mesos_volumed::decide::facts::{
    CheckpointFile, FileKind, Known, LatestAgent, MakeOutcome, ReconfigurationPolicy, Why,
};
use mesos_volumed::decide::preflight::{
    Check, Edit, PreflightInput, PreflightReport, Verdict, preflight,
};
use mesos_volumed::mesos::agent_info::{parse_attributes, parse_domain};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::state::{Operation, OperationKind, OperationState};
use mesos_volumed::units::{Bytes, Raw};

use super::host::{
    BASE, MOUNT, PATH, directory, facts, nothing, recordings, start, whole_volume, with_volumes,
    without_agent, without_volumes,
};

use ReconfigurationPolicy::{Additive, Equal};

fn held(policy: ReconfigurationPolicy, text: &str) -> PreflightInput {
    start(with_volumes(), policy, text)
}

fn bare(policy: ReconfigurationPolicy, text: &str) -> PreflightInput {
    start(without_volumes(), policy, text)
}

fn first(text: &str) -> PreflightInput {
    start(without_agent(), Equal, text)
}

fn refused(report: &PreflightReport) -> (Check, String, bool) {
    let Verdict::Refuses { check, text, once } = &report.verdict else {
        panic!("{:?}", report.verdict)
    };
    (*check, text.clone(), *once)
}

fn changed(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replace(from, to)
}

fn edits(report: &PreflightReport) -> Vec<String> {
    report.remedy.edits.iter().map(Edit::to_string).collect()
}

const MOUNT_240: &str = r#"{"value":240}"#;

#[test]
fn the_smallest_edit_keeps_the_agent() {
    for (policy, text, expected) in [
        (
            Equal,
            changed(MOUNT_240, r#"{"value":250}"#),
            &["set MOUNT:/srv/m/mnt/vol0 back to 240 (now 250)"][..],
        ),
        (
            Additive,
            changed(MOUNT_240, r#"{"value":239.999}"#),
            &["set MOUNT:/srv/m/mnt/vol0 back to 240 (now 239.999)"],
        ),
        (
            Equal,
            changed(r#"{"value":2048},"#, r#"{"value":100},"#),
            &["set PATH:/srv/m/mnt/path0 back to 2048 (now 100)"],
        ),
        (
            Equal,
            changed(r#"{"value":4096}"#, r#"{"value":4097}"#),
            &["set ROOT back to 4096 (now 4097)"],
        ),
        (
            Additive,
            changed("path0\"}}}}", "path0/\"}}}}"),
            &["put PATH:/srv/m/mnt/path0 back in with 2048"],
        ),
        (
            Equal,
            changed("path0\"}}}}", "path0/\"}}}}"),
            &[
                "put PATH:/srv/m/mnt/path0 back in with 2048",
                "take PATH:/srv/m/mnt/path0/ out (now 2048)",
            ],
        ),
        (
            Equal,
            changed("vol0", "vol1"),
            &[
                "put MOUNT:/srv/m/mnt/vol0 back in with 240",
                "take MOUNT:/srv/m/mnt/vol1 out (now 240)",
            ],
        ),
        (
            Equal,
            changed("31100", "31200").replace(r#""value":2}"#, r#""value":3}"#),
            &[
                "set cpus back to 2 (now 3)",
                "set ports back to [31000-31100] (now [31000-31200])",
            ],
        ),
    ] {
        let report = preflight(&held(policy, &text));
        refused(&report);
        let mut found = edits(&report);
        found.sort();
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_policy_that_allows_it_is_named() {
    let more = changed(r#"{"value":4096}"#, r#"{"value":8192}"#);
    assert_eq!(preflight(&held(Equal, &more)).remedy.policy, Some(Additive));
    let less = changed(r#"{"value":4096}"#, r#"{"value":4000}"#);
    assert_eq!(preflight(&held(Equal, &less)).remedy.policy, None);
}

#[test]
fn without_slave_info_only_what_is_held_counts() {
    let mut input = held(Equal, &changed(r#"{"value":2048},"#, r#"{"value":100},"#));
    input.facts.latest = LatestAgent::Missing { earlier: true };
    input.facts.info = CheckpointFile::Missing;
    let report = preflight(&input);
    let (check, text, _) = refused(&report);
    assert_eq!(check, Check::Fit);
    assert!(text.ends_with("does not contain disk[PATH:/srv/m/mnt/path0]:128"));
    // There is no agent to keep, so that the remedy is what starts at all.
    assert_eq!(edits(&report), Vec::<String>::new());
}

#[test]
fn a_bare_mount_that_is_gone_leaves_a_new_id() {
    let mut input = bare(Equal, BASE);
    input
        .facts
        .roots
        .insert(Raw::from(MOUNT), directory(MOUNT, 9, false));
    let report = preflight(&input);
    assert_eq!(
        refused(&report).1,
        "Failed to find mount '/srv/m/mnt/vol0' in /proc/mounts"
    );
    assert_eq!(report.remedy.ways.len(), 2);
    assert_eq!(
        report.remedy.ways[1],
        "offer only ROOT 4096, PATH:/srv/m/mnt/path0 2048 and remove \
         /srv/m/state/agent/meta/slaves/latest: the agent starts with a new id, and tasks that \
         still run are killed; volumes and reservations stay"
    );
}

#[test]
fn a_disk_that_nothing_needs_is_taken_out() {
    let text = changed(
        "\"vol0\"}}}}]".replace("\"vol0\"", "vol0\"").as_str(),
        r#"vol0"}}}},{"name":"disk","type":"SCALAR","scalar":{"value":7},
            "disk":{"source":{"type":"MOUNT","mount":{"root":"/srv/m/mnt/gone"}}}}]"#,
    );
    for input in [held(Equal, &text), held(Additive, &text), first(&text)] {
        let mut input = input;
        input
            .facts
            .roots
            .insert(Raw::from("/srv/m/mnt/gone"), nothing());
        let report = preflight(&input);
        assert_eq!(
            refused(&report).1,
            "Failed to determine `realpath` for DiskInfo mount in resource \
             'disk[MOUNT:/srv/m/mnt/gone]:7' with path '/srv/m/mnt/gone': no such path"
        );
        assert_eq!(edits(&report), ["take MOUNT:/srv/m/mnt/gone out (now 7)"]);
    }
}

#[test]
fn a_path_root_that_can_t_be_made_is_refused() {
    let mut input = first(BASE);
    let look = input.facts.roots.get_mut(&Raw::from(PATH)).unwrap();
    look.make = MakeOutcome::Fails("Read-only file system".to_owned());
    let (check, text, _) = refused(&preflight(&input));
    assert_eq!(check, Check::Disks);
    assert_eq!(
        text,
        "Failed to create DiskInfo path directory '/srv/m/mnt/path0': Read-only file system"
    );
}

/// `SlaveInfo` under both policies, one change at a time.
#[test]
fn every_part_of_the_agent_s_info_is_compared() {
    for (change, additive, edit) in hosts_and_ports()
        .into_iter()
        .chain(attributes_and_domains())
    {
        let mut input = held(Additive, BASE);
        change(&mut input);
        let verdict = preflight(&input).verdict;
        match additive {
            None => assert_eq!(verdict, Verdict::Recovers { first_start: false }),
            Some(words) => assert_eq!(
                verdict,
                Verdict::Refuses {
                    check: Check::Policy,
                    text: format!("Failed to perform recovery: {words}"),
                    once: false
                }
            ),
        }
        input.policy = Equal;
        let report = preflight(&input);
        assert!(refused(&report).1.starts_with(
            "Failed to perform recovery: Incompatible agent info detected. \n\n-----"
        ));
        assert_eq!(edits(&report), [edit]);
        input.rebooted = Known::Known(true);
        assert!(matches!(
            preflight(&input).verdict,
            Verdict::NewAgentId { .. }
        ));
    }
}

const INFO: &str = "Configuration change not permitted under `additive` policy: ";
const OTHER: &str = "Configuration change not permitted under 'additive' policy: ";

/// A change, what the agent says of it under `additive` (nothing where it is allowed), and the edit
/// under `equal`.
type Case = (fn(&mut PreflightInput), Option<String>, String);

const DOMAIN: &str = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}"#;

fn hosts_and_ports() -> Vec<Case> {
    vec![
        (
            |input| input.flags.hostname = Known::Known(Raw::from("b")),
            Some(format!("{INFO}Hostname changed from 127.0.0.1 to b")),
            "start the agent with --hostname=127.0.0.1 (now b)".to_owned(),
        ),
        (
            |input| input.flags.port = Known::Known(5052),
            Some(format!("{INFO}Port changed from 5051 to 5052")),
            "start the agent with --port=5051 (now 5052)".to_owned(),
        ),
    ]
}

fn attributes_and_domains() -> Vec<Case> {
    vec![
        (
            |input| input.flags.attributes = Known::Known("rack:r1".to_owned()),
            None,
            "start the agent without --attributes".to_owned(),
        ),
        (
            |input| {
                input.flags.attributes = Known::Absent;
                old(input, |info| {
                    info.attributes = parse_attributes("rack:r1;level:1").unwrap();
                });
            },
            Some(format!("{OTHER}Couldn't find attribute rack=r1")),
            "start the agent with --attributes=rack:r1;level:1 (now without)".to_owned(),
        ),
        (
            |input| {
                input.flags.attributes = Known::Known("rack:r2".to_owned());
                old(input, |info| {
                    info.attributes = parse_attributes("rack:r1").unwrap();
                });
            },
            Some(format!(
                "{OTHER}Value of text attribute 'rack' changed from r1 to r2"
            )),
            "start the agent with --attributes=rack:r1 (now rack:r2)".to_owned(),
        ),
        (
            |input| {
                input.flags.attributes = Known::Known("rack:2".to_owned());
                old(input, |info| {
                    info.attributes = parse_attributes("rack:1").unwrap();
                });
            },
            Some(format!(
                "{OTHER}Value of scalar attribute 'rack' changed from 1 to 2"
            )),
            "start the agent with --attributes=rack:1 (now rack:2)".to_owned(),
        ),
        (
            |input| {
                input.flags.attributes = Known::Known("rack:2".to_owned());
                old(input, |info| {
                    info.attributes = parse_attributes("rack:r1").unwrap();
                });
            },
            Some(format!(
                "{OTHER}Type of attribute 'rack' changed from 3 to 0"
            )),
            "start the agent with --attributes=rack:r1 (now rack:2)".to_owned(),
        ),
        (
            |input| {
                input.flags.attributes = Known::Known("p:[1-5]".to_owned());
                old(input, |info| {
                    info.attributes = parse_attributes("p:[1-6]").unwrap();
                });
            },
            Some(
                "Previous value of ranges resource 'p' ([1-6]) not included in current [1-5]"
                    .to_owned(),
            ),
            "start the agent with --attributes=p:[1-6] (now p:[1-5])".to_owned(),
        ),
        (
            |input| {
                input.flags.domain = Known::Known(DOMAIN.to_owned());
            },
            None,
            "start the agent without --domain".to_owned(),
        ),
        (
            |input| {
                input.flags.domain = Known::Absent;
                old(input, |info| {
                    info.domain = Some(parse_domain(DOMAIN).unwrap());
                });
            },
            Some(format!("{INFO}Domain changed from {DOMAIN} to {{}}")),
            format!("start the agent with --domain={DOMAIN} (now without)"),
        ),
    ]
}

fn old(
    input: &mut PreflightInput,
    change: impl FnOnce(&mut mesos_volumed::mesos::agent_info::AgentInfo),
) {
    let CheckpointFile::Whole(info) = &mut input.facts.info else {
        panic!("{:?}", input.facts.info)
    };
    change(info);
}

#[test]
fn additive_keeps_ranges_and_sets() {
    let ports = changed("31100", "31050");
    assert_eq!(
        refused(&preflight(&held(Additive, &ports))).1,
        "Failed to perform recovery: Configuration change not permitted under 'additive' policy: \
         Previous value of range resource 'ports' ([31000-31100]) not included in current \
         [31000-31050]"
    );
    let mut input = first("cpus:2;zones:{a,b}");
    let report = preflight(&input);
    input = held(Additive, "");
    old(&mut input, |info| info.resources = report.resources);
    input.facts.checkpoint.state = CheckpointFile::Missing;
    input.facts.checkpoint.info = CheckpointFile::Missing;
    input.text.text = "cpus:2;zones:{a,c}".to_owned();
    assert_eq!(
        refused(&preflight(&input)).1,
        "Failed to perform recovery: Configuration change not permitted under 'additive' policy: \
         Previous value of set resource 'zones' ({a, b}) not included in current {a, c}"
    );
}

/// An agent compares each old entry with the first new one that fits. Two numbers for one root are
/// legal, and under `additive` the agent never comes back with them, not even with the same text.
#[test]
fn two_numbers_for_one_mount_never_recover_under_additive() {
    let entry = |size: u32| {
        format!(
            r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{size}}},
                "disk":{{"source":{{"type":"MOUNT","mount":{{"root":"{MOUNT}"}}}}}}}}"#
        )
    };
    let text = format!("[{},{}]", entry(1), entry(2));
    let mut input = bare(Equal, &text);
    let before = preflight(&first(&text)).resources;
    old(&mut input, |info| info.resources = before);
    assert_eq!(
        preflight(&input).verdict,
        Verdict::Recovers { first_start: false }
    );
    input.policy = Additive;
    assert!(
        refused(&preflight(&input))
            .1
            .ends_with("Value of scalar resource 'disk' decreased from 2 to 1")
    );
}

#[test]
fn attributes_and_domain_that_an_agent_can_t_read_are_refused() {
    let mut input = held(Equal, BASE);
    input.flags.attributes = Known::Known("rack".to_owned());
    let (check, text, _) = refused(&preflight(&input));
    assert_eq!(
        (check, text.as_str()),
        (Check::Flags, "Invalid attribute key:value pair 'rack'")
    );
    input.flags.attributes = Known::Absent;
    input.flags.domain = Known::Known("[]".to_owned());
    assert_eq!(refused(&preflight(&input)).0, Check::Flags);
}

/// The windows of a crash in the middle of a DESTROY (F 3.4).
mod crashes {
    use super::*;

    const META: &str = "extra/target_fail_PATH_meta_first_exit/meta";
    const VOLUME: &str = "/srv/m/mnt/path0/volumes/roles/prod/path1";

    fn input() -> PreflightInput {
        start(facts(&recordings().join(META)), Equal, BASE)
    }

    #[test]
    fn after_all_files_were_written_the_destroy_is_carried_out() {
        let report = preflight(&input());
        assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
        assert_eq!(report.deletes[0].path, Raw::from(VOLUME));
        assert_eq!(report.deletes[0].volume.to_string(), "prod/path1");
    }

    #[test]
    fn between_both_targets_one_start_fails() {
        let mut input = input();
        input.facts.checkpoint.info_target = CheckpointFile::Missing;
        let report = preflight(&input);
        let (check, text, once) = refused(&report);
        assert_eq!((check, once), (Check::Replay, true));
        assert_eq!(
            text,
            "Failed to perform recovery: Failed to rename target resources \
             disk(reservations: [(DYNAMIC,prod)])[MOUNT:/srv/m/mnt/vol0,mount1:data]:240; \
             disk(reservations: [(DYNAMIC,prod)])[root1:data]:64; \
             disk(reservations: [(DYNAMIC,prod)])[PATH:/srv/m/mnt/path0]:128: \
             No such file or directory"
        );
        // The data are gone after that start.
        assert_eq!(report.deletes.len(), 1);
        assert_eq!(
            report.remedy.ways,
            ["start the agent again: this fails only once"]
        );
        assert_eq!(report.warnings, Vec::<String>::new());
        // Unless the next one has a reason of its own.
        input.text.text = changed(MOUNT_240, r#"{"value":250}"#);
        let report = preflight(&input);
        assert!(refused(&report).2);
        assert!(
            report.warnings[0].starts_with("the start after this one is refused too: Failed to"),
            "{:?}",
            report.warnings
        );
    }

    #[test]
    fn a_target_of_an_old_agent_fails_for_ever() {
        let mut input = input();
        let files = &mut input.facts.checkpoint;
        files.state = CheckpointFile::Missing;
        files.state_target = CheckpointFile::Missing;
        let report = preflight(&input);
        let (check, text, once) = refused(&report);
        assert_eq!((check, once), (Check::Replay, false));
        assert!(
            text.ends_with(" and associated operations: No such file or directory"),
            "{text}"
        );
        assert!(
            report.remedy.ways[0].starts_with(
                "move /srv/m/state/agent/meta/resources/resources.target away by hand"
            ),
            "{:?}",
            report.remedy
        );
    }

    #[test]
    fn targets_without_any_committed_file_do_not_count() {
        let mut input = input();
        let files = &mut input.facts.checkpoint;
        files.state = CheckpointFile::Missing;
        files.info = CheckpointFile::Missing;
        let report = preflight(&input);
        assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
        assert_eq!(report.deletes, []);
    }

    #[test]
    fn a_pending_destroy_is_carried_out_only_with_the_old_id() {
        let mut input = input();
        input.facts.checkpoint.state_target = CheckpointFile::Missing;
        input.facts.checkpoint.info_target = CheckpointFile::Missing;
        let report = preflight(&input);
        assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
        assert_eq!(report.deletes.len(), 1);
        input.facts.latest = LatestAgent::Missing { earlier: true };
        let report = preflight(&input);
        assert!(matches!(report.verdict, Verdict::NewAgentId { .. }));
        assert_eq!(report.deletes, []);
    }

    #[test]
    fn a_pending_create_makes_its_directory_or_is_refused() {
        let mut input = held(Equal, BASE);
        let CheckpointFile::Whole(state) = &mut input.facts.checkpoint.state else {
            panic!()
        };
        let volume = state
            .resources
            .iter()
            .find(|one| one.source.is_none())
            .unwrap()
            .clone();
        for one in &mut state.resources {
            if one.source.is_none() {
                one.persistence = None;
            }
        }
        state.operations.push(Operation {
            uuid: "00".repeat(16),
            kind: OperationKind::Create,
            state: OperationState::Pending,
            volumes: vec![volume],
        });
        let path = Raw::from("/srv/m/state/agent/volumes/roles/prod/r1");
        let mut look = whole_volume();
        look.exists = Known::Known(false);
        look.make = MakeOutcome::Made;
        input.facts.volumes.insert(path.clone(), look);
        assert_eq!(
            preflight(&input).verdict,
            Verdict::Recovers { first_start: false }
        );
        let look = input.facts.volumes.get_mut(&path).unwrap();
        look.make = MakeOutcome::Fails("File name too long".to_owned());
        let (check, text, _) = refused(&preflight(&input));
        assert_eq!(check, Check::Operations);
        assert_eq!(
            text,
            "Failed to sync checkpointed resources: Failed to create the persistent volume r1 at \
             '/srv/m/state/agent/volumes/roles/prod/r1': File name too long"
        );
    }
}

#[test]
fn files_that_can_t_be_read_are_refused_or_in_doubt() {
    let mut input = held(Equal, BASE);
    input.facts.checkpoint.state = CheckpointFile::Damaged(Why("cut".to_owned()));
    assert!(matches!(
        preflight(&input).verdict,
        Verdict::CannotTell { .. }
    ));
    let name = "meta/resources/resources_and_operations.state";
    let words = "Failed to read size: hit EOF unexpectedly, possible corruption";
    input
        .facts
        .unreadable
        .insert(name.to_owned(), words.to_owned());
    let report = preflight(&input);
    let (check, text, _) = refused(&report);
    assert_eq!(check, Check::Checkpoint);
    assert_eq!(
        text,
        format!(
            "Failed to perform recovery: Failed to read resource and operations file \
             '/srv/m/state/agent/{name}': {words}"
        )
    );
    assert_eq!(report.remedy.ways[0], "put the file back from a backup");
    input.flags.strict = Known::Known(false);
    let report = preflight(&input);
    assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
    assert!(report.warnings[0].contains("overwrites the file"));

    let mut input = held(Equal, BASE);
    input.facts.info = CheckpointFile::Damaged(Why("cut".to_owned()));
    assert!(matches!(
        preflight(&input).verdict,
        Verdict::CannotTell { .. }
    ));
    input
        .facts
        .unreadable
        .insert("slave.info".to_owned(), words.to_owned());
    assert!(
        refused(&preflight(&input)).1.starts_with(
            "Failed to perform recovery: Failed to read agent info from '/srv/m/state"
        )
    );
    input.facts.latest = LatestAgent::Dangling;
    assert_eq!(
        refused(&preflight(&input)).1,
        "Failed to perform recovery: Failed to find latest agent: No such file or directory"
    );
}

#[test]
fn an_empty_state_is_taken_for_nothing_and_said() {
    let mut input = held(Equal, BASE);
    input.facts.checkpoint.state = CheckpointFile::Empty;
    let report = preflight(&input);
    assert_eq!(report.verdict, Verdict::Recovers { first_start: false });
    assert!(report.warnings[0].contains("has 0 bytes"));
    let mut input = held(Equal, BASE);
    input.facts.info = CheckpointFile::Empty;
    assert_eq!(
        preflight(&input).verdict,
        Verdict::NewAgentId {
            why: "slave.info has 0 bytes".to_owned()
        }
    );
}

#[test]
fn what_is_not_named_is_detected_by_the_agent_s_rules() {
    let with = |disk: Known<Bytes>, memory| {
        let mut input = first("");
        input.facts.detected.disk = disk;
        input.facts.detected.memory = Known::Known(Bytes(memory));
        preflight(&input).resources.to_string()
    };
    let gib = 1 << 30;
    assert_eq!(
        with(Known::Known(Bytes(10 * gib)), 2 * gib),
        "cpus:4; mem:1024; disk:5120; ports:[31000-32000]"
    );
    assert_eq!(
        with(Known::Known(Bytes(10 * gib - 1)), 2 * gib - 1),
        "cpus:4; mem:1023; disk:5119; ports:[31000-32000]"
    );
    assert_eq!(
        with(Known::Known(Bytes(4 * gib)), gib),
        "cpus:4; mem:512; disk:2048; ports:[31000-32000]"
    );
    assert_eq!(
        with(Known::Absent, gib),
        "cpus:4; mem:512; disk:10240; ports:[31000-32000]"
    );
    // An entry of size zero is not offered, and nothing is detected for it.
    assert_eq!(
        preflight(&first("cpus:1;mem:1;disk:0;ports:[1-2]"))
            .resources
            .to_string(),
        "cpus:1; mem:1; ports:[1-2]"
    );
    // What we can't look at counts as unchanged, and is in doubt where there is nothing to keep.
    let mut input = first("");
    input.facts.detected.memory = Known::unknown("no /proc");
    assert_eq!(
        preflight(&input).verdict,
        Verdict::CannotTell {
            why: vec!["what the agent detects as mem: no /proc".to_owned()]
        }
    );
    let mut input = held(Equal, &BASE.replace(r#""mem""#, r#""other""#));
    input.facts.detected.memory = Known::unknown("no /proc");
    assert!(
        preflight(&input)
            .resources
            .to_string()
            .ends_with("mem:2048")
    );
}

#[test]
fn the_default_role_is_the_flag_s_or_the_one_it_was() {
    let role = |role: &str| Known::Known(Role::new(role));
    let mut input = first("cpus:1;mem:1;disk:1;ports:[1-2]");
    input.flags.default_role = role("prod");
    let report = preflight(&input);
    assert!(
        report
            .resources
            .to_string()
            .starts_with("cpus(reservations: [(STATIC,prod)]):1; mem(reser")
    );
    // Registered so, and the flag can't be read: it counts as unchanged.
    let mut input = bare(Equal, "cpus:1;mem:1;disk:1;ports:[1-2]");
    old(&mut input, |info| info.resources = report.resources);
    assert_eq!(
        preflight(&input).verdict,
        Verdict::Recovers { first_start: false }
    );
    // The same resources with another default role are others (F 11).
    input.flags.default_role = role("*");
    let (check, _, _) = refused(&preflight(&input));
    assert_eq!(check, Check::Policy);
}

#[test]
fn unknown_looks_are_in_doubt_unless_something_else_refuses() {
    let mut input = held(Equal, BASE);
    input.facts.roots.get_mut(&Raw::from(MOUNT)).unwrap().real =
        Known::unknown("its disk does not answer");
    assert_eq!(
        preflight(&input).verdict,
        Verdict::CannotTell {
            why: vec!["where MOUNT:/srv/m/mnt/vol0 leads: its disk does not answer".to_owned()]
        }
    );
    input.text.text = changed(r#"{"value":2048},"#, r#"{"value":100},"#);
    assert_eq!(refused(&preflight(&input)).0, Check::Fit);
    let mut input = held(Equal, &changed(r#"{"value":4096}"#, r#"{"value":8192}"#));
    input.rebooted = Known::unknown("no boot id");
    let Verdict::CannotTell { why } = preflight(&input).verdict else {
        panic!()
    };
    assert_eq!(
        why,
        [
            "whether the host has rebooted (no boot id): if not, the agent is refused \
             (Incompatible agent info detected.), otherwise it gets a new id"
        ]
    );
}

#[test]
fn later_dangers_are_warnings() {
    let disk = |kind: &str, root: &str, size: &str| {
        let member = kind.to_lowercase();
        format!(
            r#",{{"name":"disk","type":"SCALAR","scalar":{{"value":{size}}},
                "disk":{{"source":{{"type":"{kind}","{member}":{{"root":"{root}"}}}}}}}}"#
        )
    };
    let text = |more: &[String]| {
        let base = r#"[{"name":"disk","type":"SCALAR","scalar":{"value":10}}"#;
        format!("{base}{}]", more.concat())
    };
    let mut file = directory("/srv/m/mnt/file", 9, false);
    file.kind = Known::Known(FileKind::File);
    for (more, look, words) in [
        (
            vec![disk("PATH", "/srv/m/mnt/file", "1")],
            Some(("/srv/m/mnt/file", file)),
            "PATH:/srv/m/mnt/file is no directory",
        ),
        (
            vec![disk("MOUNT", MOUNT, "257")],
            None,
            "MOUNT:/srv/m/mnt/vol0 offers 257 MB (257 MiB), more than the 256 MiB",
        ),
        (
            vec![disk("MOUNT", MOUNT, "240"), disk("MOUNT", MOUNT, "240")],
            None,
            "MOUNT:/srv/m/mnt/vol0 is there twice",
        ),
        (
            vec![disk("PATH", PATH, "1"), disk("MOUNT", PATH, "1")],
            None,
            "PATH:/srv/m/mnt/path0 and MOUNT:/srv/m/mnt/path0 are one directory",
        ),
        (
            vec![
                disk("PATH", PATH, "1"),
                disk("PATH", "/srv/m/mnt/path0/sub", "1"),
            ],
            Some((
                "/srv/m/mnt/path0/sub",
                directory("/srv/m/mnt/path0/sub", 0, false),
            )),
            "PATH:/srv/m/mnt/path0/sub lies in PATH:/srv/m/mnt/path0",
        ),
        (
            vec![disk("PATH", "/srv/m/mnt/nope", "1")],
            Some(("/srv/m/mnt/nope", nothing())),
            "PATH:/srv/m/mnt/nope is not there: the agent makes it on the file system of /;",
        ),
        (
            vec![disk("PATH", "/srv/m/mnt/path1", "1")],
            None,
            "PATH:/srv/m/mnt/path1 lies on the file system of the work_dir",
        ),
        (
            vec![disk("PATH", "/srv/m/mnt/path0/", "1")],
            None,
            "PATH:/srv/m/mnt/path0/ has a trailing or doubled slash",
        ),
        (
            vec![disk("MOUNT", "/srv/m/mnt/link", "1")],
            Some(("/srv/m/mnt/link", directory(MOUNT, 1, true))),
            "MOUNT:/srv/m/mnt/link is a symbolic link to /srv/m/mnt/vol0: a DESTROY removes",
        ),
        (
            vec![r#",{"name":"disk","type":"SCALAR","scalar":{"value":1},"dsik":{}}"#.to_owned()],
            None,
            "Mesos does not know the key `[1].dsik`",
        ),
        (
            vec![r#",{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{}}"#.to_owned()],
            None,
            "disk with an empty DiskInfo is offered as a part of ROOT",
        ),
    ] {
        let mut input = first(&text(&more));
        if let Some((root, look)) = look {
            input.facts.roots.insert(Raw::from(root), look);
        }
        let report = preflight(&input);
        assert_eq!(report.verdict, Verdict::Recovers { first_start: true });
        assert!(
            report.warnings.iter().any(|one| one.starts_with(words)),
            "{words}: {:?}",
            report.warnings
        );
    }
    let report = preflight(&first(&text(&[])));
    assert_eq!(report.warnings, Vec::<String>::new());
    let only = disk("PATH", PATH, "1");
    let report = preflight(&first(&format!("[{}]", only.trim_start_matches(','))));
    assert!(report.warnings[0].starts_with("no ROOT disk is offered"));
}

#[test]
fn a_mistake_in_the_json_is_pointed_out() {
    let hint = |text: &str| preflight(&first(text)).hint;
    assert_eq!(
        hint("[{\"name\":\"disk\",}]").as_deref(),
        Some(
            "the JSON has a mistake (trailing comma at line 1 column 17), so the agent reads the \
             text as `name:value;…`"
        )
    );
    assert_eq!(
        hint("{\"name\":\"disk\"}").as_deref(),
        Some("the JSON is no array, so the agent reads the text as `name:value;…`")
    );
    assert_eq!(
        hint("/etc/resources.json").as_deref(),
        Some("a path alone is not read as a file: write file:///absolute/path")
    );
    assert_eq!(hint("disk"), None);
    assert_eq!(hint("[{\"name\":\"disk\"}]"), None);
}

fn entry(rest: &str) -> String {
    format!(r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":1}}{rest}}}]"#)
}

fn source(rest: &str) -> String {
    entry(&format!(r#","disk":{{"source":{{{rest}}}}}"#))
}

/// The texts of F 1.3 and 1.1, each as the end of what the agent says.
#[test]
fn every_refusal_of_a_text_has_mesos_words() {
    for (text, words) in refused_texts() {
        let (check, said, _) = refused(&preflight(&first(&text)));
        assert_eq!(check, Check::Resources, "{text}");
        assert_eq!(
            said,
            format!("Failed to determine agent resources: {words}"),
            "{text}"
        );
    }
    for (text, words) in [
        (
            source(r#""type":"PATH","path":{}"#),
            "PATH disk root directory is not specified 'disk[PATH]:1'",
        ),
        (
            source(r#""type":"MOUNT","mount":{}"#),
            "MOUNT disk root directory is not specified 'disk[MOUNT]:1'",
        ),
        (
            source(r#""type":"BLOCK""#),
            "Unsupported 'DiskInfo.Source.Type' in 'disk[BLOCK]:1'",
        ),
        (
            source(r#""type":"PATH""#),
            "Check failed: source.has_path()",
        ),
    ] {
        let (check, said, _) = refused(&preflight(&first(&text)));
        assert_eq!((check, said.as_str()), (Check::Disks, words), "{text}");
    }
}
fn refused_texts() -> Vec<(String, &'static str)> {
    vec![
        (
            r#"[{"name":"disk","type":"ROOT"}]"#.to_owned(),
            "Some JSON resources were not formatted properly: Failed to find enum for 'ROOT'",
        ),
        (
            r#"[{"type":"SCALAR"}]"#.to_owned(),
            "Some JSON resources were not formatted properly: Missing required fields: name",
        ),
        (
            source(r#""type":"UNKNOWN""#),
            "Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'",
        ),
        (
            entry(r#","disk":{}"#).replace("\"disk\",\"type\"", "\"mem\",\"type\""),
            "DiskInfo should not be set for mem resource",
        ),
        (
            source(r#""type":"RAW","mount":{}"#),
            "Mount should not be set for RAW disk source",
        ),
        (
            source(r#""type":"BLOCK","path":{}"#),
            "Path should not be set for BLOCK disk source",
        ),
        (entry("").replace("\"disk\"", "\"\""), "Empty resource name"),
        (
            r#"[{"name":"disk","type":"SCALAR"}]"#.to_owned(),
            "Invalid scalar resource",
        ),
        (
            entry("").replace("{\"value\":1}", "{\"value\":-1}"),
            "Invalid scalar resource: value <= 0",
        ),
        (
            entry("").replace("{\"value\":1}", "{\"value\":0.0004}"),
            "Invalid scalar resource: value <= 0",
        ),
        (
            "disk:-5".to_owned(),
            "Bad type for resource disk value -5 type TEXT",
        ),
        (
            entry(r#","role":"a","disk":{"persistence":{"id":"x"}}"#),
            "Persistent volumes cannot be specified at the command line",
        ),
        (
            entry(r#","revocable":{}"#),
            "Revocable resources cannot be specified at the command line; do not include a \
             'revocable' key in the resources JSON",
        ),
        (
            entry(r#","role":"a","reservation":{}"#),
            "Dynamic reservations cannot be specified at the command line; do not include a \
             reservation with DYNAMIC type in the resources JSON",
        ),
        (
            "disk:1;disk:[1-2]".to_owned(),
            "Resources with the same name ('disk') but different types are not allowed",
        ),
        (
            "disk(/x):1".to_owned(),
            "Role '/x' cannot start with a slash",
        ),
        (
            "disk(x//y):1".to_owned(),
            "Role 'x//y' cannot contain two adjacent slashes",
        ),
        (
            entry(r#","reservations":[{"type":"STATIC","role":"*"}]"#),
            "Invalid reservation: role \"*\" cannot be reserved",
        ),
        (
            "{}".to_owned(),
            "Bad value for resources, missing or extra ':' in {}",
        ),
    ]
}
