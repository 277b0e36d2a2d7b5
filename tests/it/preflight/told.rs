//! All that is told of a start, to the word: an operator starts the agent, or does not, by it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it preflight::told` writes the scenes anew; read the diff.
#![expect(
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "the golden files are read and written here; the scenes are tables"
)]

use std::fmt::Write as _;
use std::path::Path;

use mesos_volumed::decide::facts::{
    CheckpointFile, FileKind, Known, LatestAgent, MakeOutcome, Obstacle, ObstacleKind,
    ReconfigurationPolicy, StartFacts, VolumeLook, Why,
};
use mesos_volumed::decide::preflight::{
    PreflightInput, PreflightReport, Verdict, preflight, roots,
};
use mesos_volumed::mesos::agent_info::{AgentInfo, parse_attributes, parse_domain};
use mesos_volumed::mesos::state::{Operation, OperationKind, OperationState};
use mesos_volumed::units::{Bytes, Raw};

use super::host::{
    BASE, MOUNT, PATH, WORK_DIR, directory, facts, nothing, recordings, start, whole_volume,
    with_volumes, without_agent, without_volumes,
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

/// With this changed.
fn but(mut input: PreflightInput, change: impl FnOnce(&mut PreflightInput)) -> PreflightInput {
    change(&mut input);
    input
}

fn old(input: &mut PreflightInput, change: impl FnOnce(&mut AgentInfo)) {
    let CheckpointFile::Whole(info) = &mut input.facts.info else {
        panic!("{:?}", input.facts.info)
    };
    change(info);
}

fn changed(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replace(from, to)
}

fn disk(kind: &str, root: &str, size: &str) -> String {
    let member = kind.to_lowercase();
    format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{size}}},
            "disk":{{"source":{{"type":"{kind}","{member}":{{"root":"{root}"}}}}}}}}"#
    )
}

/// ROOT, and these.
fn with_root(more: &[String]) -> String {
    let root = r#"{"name":"disk","type":"SCALAR","scalar":{"value":10}}"#.to_owned();
    format!("[{}]", [&[root], more].concat().join(","))
}

fn of_role(entry: &str, role: &str) -> String {
    entry.replacen(
        r#""type":"SCALAR","#,
        &format!(r#""type":"SCALAR","role":"{role}","#),
        1,
    )
}

fn put(input: &mut PreflightInput, root: &str, look: mesos_volumed::decide::facts::RootLook) {
    input.facts.roots.insert(Raw::from(root), look);
}

/// What was compared follows, and is as the recordings have it.
fn first_line(words: &str) -> &str {
    words.lines().next().unwrap_or_default().trim_end()
}

fn render(report: &PreflightReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, said: &str| {
        writeln!(text, "  {name}: {said}").unwrap();
    };
    match &report.verdict {
        Verdict::Recovers { first_start: true } => line("verdict", "starts for the first time"),
        Verdict::Recovers { first_start: false } => line("verdict", "recovers"),
        Verdict::Refuses { check, text, once } => {
            let once = if *once { " once" } else { "" };
            line("verdict", &format!("refuses{once} ({check})"));
            line("its words", first_line(text));
        }
        Verdict::NewAgentId { why } => {
            line("verdict", "new agent id");
            line("because", first_line(why));
        }
        Verdict::CannotTell { why } => {
            line("verdict", "can't tell");
            for said in why {
                line("because", said);
            }
        }
    }
    if let Some(said) = &report.hint {
        line("hint", said);
    }
    for one in &report.differences {
        line("difference", &format!("{} {one}", one.change().as_str()));
    }
    for one in &report.deletes {
        line("deletes", &format!("{} at {}", one.volume, one.path));
    }
    for said in &report.warnings {
        line("warning", said);
    }
    for said in &report.remedy.edits {
        line("edit", &said.to_string());
    }
    if let Some(said) = &report.remedy.policy {
        line("or with", &said.to_string());
    }
    if let Some(said) = &report.remedy.no_edit {
        line("no edit", said);
    }
    for said in &report.remedy.ways {
        line("way", said);
    }
    text
}

type Scene = (&'static str, PreflightInput);

/// What a policy, the checkpoint and the disks want, and what helps.
fn remedies() -> Vec<Scene> {
    let mount_250 = changed(r#"{"value":240}"#, r#"{"value":250}"#);
    let root_more = changed(r#"{"value":4096}"#, r#"{"value":8192}"#);
    let path_100 = changed(r#"{"value":2048},"#, r#"{"value":100},"#);
    let gone = |input: PreflightInput| {
        but(input, |input| {
            put(input, MOUNT, directory(MOUNT, 9, false));
        })
    };
    let path_fails = |input: PreflightInput| {
        but(input, |input| {
            let look = input.facts.roots.get_mut(&Raw::from(PATH)).unwrap();
            look.make = MakeOutcome::Fails("Read-only file system".to_owned());
        })
    };
    let no_mount = BASE.rsplit_once(",\n    {\"name\"").unwrap().0.to_owned() + "]";
    vec![
        ("as it was", held(Equal, BASE)),
        ("a held MOUNT has another number", held(Equal, &mount_250)),
        ("a held MOUNT is left out", held(Additive, &no_mount)),
        ("a bare MOUNT has another number", bare(Equal, &mount_250)),
        ("a bare MOUNT is left out", bare(Additive, &no_mount)),
        ("ROOT is larger", held(Equal, &root_more)),
        (
            "ROOT is larger, which is allowed",
            held(Additive, &root_more),
        ),
        (
            "PATH is smaller than what it holds",
            held(Additive, &path_100),
        ),
        (
            "ROOT is larger, and the host has rebooted",
            but(held(Equal, &root_more), |input| {
                input.rebooted = Known::Known(true);
            }),
        ),
        (
            "without slave.info",
            but(held(Equal, &mount_250), |input| {
                input.facts.info = CheckpointFile::Missing;
            }),
        ),
        (
            "without slave.info, and all fits",
            but(held(Equal, BASE), |input| {
                input.facts.info = CheckpointFile::Missing;
            }),
        ),
        (
            "without slave.info, and nothing is held",
            but(bare(Equal, BASE), |input| {
                input.facts.info = CheckpointFile::Missing;
            }),
        ),
        (
            "without the link, and nothing is held",
            but(bare(Equal, BASE), |input| {
                input.facts.latest = LatestAgent::Missing { earlier: false };
            }),
        ),
        (
            "without the link of an earlier agent",
            but(bare(Equal, BASE), |input| {
                input.facts.latest = LatestAgent::Missing { earlier: true };
            }),
        ),
        (
            "without the link, and volumes are held",
            but(held(Equal, BASE), |input| {
                input.facts.latest = LatestAgent::Missing { earlier: false };
            }),
        ),
        ("a held MOUNT is not mounted", gone(held(Equal, BASE))),
        (
            "a reserved MOUNT is not mounted",
            but(gone(held(Equal, BASE)), |input| {
                let CheckpointFile::Whole(state) = &mut input.facts.checkpoint.state else {
                    panic!()
                };
                for one in &mut state.resources {
                    one.persistence = None;
                }
            }),
        ),
        ("a bare MOUNT is not mounted", gone(bare(Equal, BASE))),
        (
            "a bare MOUNT is not mounted, and the host has rebooted",
            but(gone(bare(Equal, BASE)), |input| {
                input.rebooted = Known::Known(true);
            }),
        ),
        ("a held PATH can't be made", path_fails(held(Equal, BASE))),
        ("a bare PATH can't be made", path_fails(bare(Equal, BASE))),
        (
            "a disk that nothing needs is not there",
            but(
                held(
                    Additive,
                    &BASE.replace(
                        "}}}}]",
                        &format!("}}}}}}}},{}]", disk("MOUNT", "/srv/m/mnt/gone", "7")),
                    ),
                ),
                |input| put(input, "/srv/m/mnt/gone", nothing()),
            ),
        ),
        (
            "ROOT is larger, and a flag is another",
            but(held(Equal, &root_more), |input| {
                input.flags.hostname = Known::Known(Raw::from("b"));
            }),
        ),
        (
            "every flag is another",
            but(held(Additive, BASE), |input| {
                input.flags.hostname = Known::Known(Raw::from("b"));
                input.flags.port = Known::Known(5052);
                input.flags.attributes = Known::Known("rack:r2".to_owned());
                input.flags.domain = Known::Known(
                    r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"b"}}}"#.to_owned(),
                );
                old(input, |info| {
                    info.attributes = parse_attributes("rack:r1").unwrap();
                    let domain = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}"#;
                    info.domain = Some(parse_domain(domain).unwrap());
                });
            }),
        ),
        (
            "flags as they were, and some not given",
            but(held(Additive, BASE), |input| {
                input.flags.hostname = Known::Known(Raw::from("127.0.0.1"));
                input.flags.port = Known::Absent;
                input.flags.attributes = Known::Absent;
                input.flags.domain = Known::Absent;
            }),
        ),
        (
            "attributes in another order",
            but(held(Additive, BASE), |input| {
                input.flags.attributes = Known::Known("p:[1-6];level:1;rack:r1".to_owned());
                old(input, |info| {
                    info.attributes = parse_attributes("rack:r1;level:1;p:[2-3]").unwrap();
                });
            }),
        ),
        (
            "attributes are new",
            but(held(Equal, BASE), |input| {
                input.flags.attributes = Known::Known("rack:r1".to_owned());
            }),
        ),
        (
            "another flag, and it is not strict",
            but(held(Equal, BASE), |input| {
                input.flags.hostname = Known::Known(Raw::from("b"));
                input.flags.strict = Known::Known(false);
                input.facts.checkpoint.state = CheckpointFile::Damaged(Why("torn".to_owned()));
                input.facts.unreadable.insert(
                    "meta/resources/resources_and_operations.state".to_owned(),
                    "Failed to read size".to_owned(),
                );
            }),
        ),
        (
            "ROOT is larger, which is allowed, and PATH is smaller",
            held(
                Additive,
                &root_more.replace(r#"{"value":2048},"#, r#"{"value":100},"#),
            ),
        ),
        (
            "PATH is smaller than what it holds, as it was before",
            but(
                held(Additive, &changed(r#"{"value":2048},"#, r#"{"value":50},"#)),
                |input| {
                    let before = preflight(&first(&path_100)).resources;
                    old(input, |info| info.resources = before);
                },
            ),
        ),
        (
            "another flag, a disk that is gone",
            but(gone(held(Equal, BASE)), |input| {
                input.flags.hostname = Known::Known(Raw::from("b"));
            }),
        ),
        (
            "whether the host has rebooted is unknown",
            but(held(Equal, &root_more), |input| {
                input.rebooted = Known::unknown("no boot id");
            }),
        ),
        (
            "whether PATH can be made is unknown",
            but(held(Equal, BASE), |input| {
                let look = input.facts.roots.get_mut(&Raw::from(PATH)).unwrap();
                look.make = MakeOutcome::Unknown(Why("it hangs".to_owned()));
            }),
        ),
        (
            "whether MOUNT is mounted is unknown",
            but(held(Equal, BASE), |input| {
                let look = input.facts.roots.get_mut(&Raw::from(MOUNT)).unwrap();
                look.mounted = Known::unknown("no mount table");
            }),
        ),
        (
            "nobody looked at the disks",
            but(held(Equal, BASE), |input| input.facts.roots.clear()),
        ),
        (
            "what the agent detects is unknown, and a number is",
            but(first("cpus:1;disk:1;ports:[1-2]"), |input| {
                input.facts.detected.memory = Known::unknown("no /proc");
                input.facts.meta = Known::unknown("permission denied");
            }),
        ),
    ]
}

const CRASHED: &str = "extra/target_fail_PATH_meta_first_exit/meta";
const DESTROYED: &str = "/srv/m/mnt/path0/volumes/roles/prod/path1";

/// After a crash in the middle of a DESTROY.
fn crashed() -> PreflightInput {
    start(facts(&recordings().join(CRASHED)), Equal, BASE)
}

fn look(facts: &mut StartFacts) -> &mut VolumeLook {
    facts.volumes.get_mut(&Raw::from(DESTROYED)).unwrap()
}

/// A CREATE on ROOT that was not finished.
fn creating(state: OperationState) -> PreflightInput {
    but(held(Equal, BASE), |input| {
        let CheckpointFile::Whole(state_file) = &mut input.facts.checkpoint.state else {
            panic!()
        };
        let on_root = state_file
            .resources
            .iter_mut()
            .find(|one| one.source.is_none());
        let on_root = on_root.unwrap();
        let volume = on_root.clone();
        on_root.persistence = None;
        state_file.operations.push(Operation {
            uuid: "00".repeat(16),
            kind: OperationKind::Create,
            state,
            volumes: vec![volume],
        });
        for volume in mesos_volumed::decide::preflight::volumes(&input.facts) {
            let mut look = whole_volume();
            look.exists = Known::Known(false);
            look.make = MakeOutcome::Made;
            input.facts.volumes.insert(volume.path, look);
        }
    })
}

/// The same by a target beside an old agent's file.
fn creating_of_target() -> PreflightInput {
    but(creating(OperationState::Pending), |input| {
        let files = &mut input.facts.checkpoint;
        files.state_target = std::mem::replace(&mut files.state, CheckpointFile::Missing);
        let CheckpointFile::Whole(resources) = &mut files.info else {
            panic!("{:?}", files.info)
        };
        for one in resources.iter_mut().filter(|one| one.source.is_none()) {
            one.persistence = None;
        }
    })
}

/// What is in the agent's files.
fn files() -> Vec<Scene> {
    let made = |input: PreflightInput, make: MakeOutcome| {
        but(input, |input| {
            for look in input.facts.volumes.values_mut() {
                look.make = make.clone();
            }
        })
    };
    let damaged = |name: &str, change: fn(&mut StartFacts)| {
        let name = name.to_owned();
        but(crashed(), |input| {
            change(&mut input.facts);
            let words = "Failed to read size: hit EOF unexpectedly, possible corruption";
            input.facts.unreadable.insert(name, words.to_owned());
        })
    };
    let torn = || Why("torn".to_owned());
    let state_target = "meta/resources/resources_and_operations.target";
    let info_target = "meta/resources/resources.target";
    let info = "meta/resources/resources.info";
    vec![
        ("a DESTROY is carried out", crashed()),
        (
            "a DESTROY was carried out",
            but(crashed(), |input| {
                look(&mut input.facts).exists = Known::Known(false);
            }),
        ),
        (
            "a DESTROY meets obstacles",
            but(crashed(), |input| {
                let at = |name: &str| Raw::from(DESTROYED).join(name);
                look(&mut input.facts).obstacles = vec![
                    Obstacle {
                        at: at("a"),
                        kind: ObstacleKind::Immutable,
                    },
                    Obstacle {
                        at: at("b"),
                        kind: ObstacleKind::Mount,
                    },
                ];
            }),
        ),
        (
            "a DESTROY of what was not looked at as a whole",
            but(crashed(), |input| {
                look(&mut input.facts).complete = Known::unknown("too many files");
            }),
        ),
        (
            "a DESTROY of what could not be looked at",
            but(crashed(), |input| {
                look(&mut input.facts).exists = Known::unknown("EIO");
            }),
        ),
        (
            "a DESTROY of what was not looked at",
            but(crashed(), |input| input.facts.volumes.clear()),
        ),
        (
            "a crash between both targets",
            but(crashed(), |input| {
                input.facts.checkpoint.info_target = CheckpointFile::Missing;
            }),
        ),
        (
            "a crash between both targets, and the host has rebooted with less",
            but(crashed(), |input| {
                input.facts.checkpoint.info_target = CheckpointFile::Missing;
                input.text.text = changed(r#"{"value":4096}"#, r#"{"value":4000}"#);
                input.rebooted = Known::Known(true);
            }),
        ),
        (
            "a crash between both targets, and what follows is unknown",
            but(crashed(), |input| {
                input.facts.checkpoint.info_target = CheckpointFile::Missing;
                input.text.text = changed(r#"{"value":4096}"#, r#"{"value":4000}"#);
                input.rebooted = Known::unknown("no boot id");
            }),
        ),
        (
            "the target of an old agent",
            but(crashed(), |input| {
                input.facts.checkpoint.state = CheckpointFile::Missing;
                input.facts.checkpoint.state_target = CheckpointFile::Missing;
            }),
        ),
        (
            "the old agent's files, and its target has 0 bytes",
            but(crashed(), |input| {
                input.facts.checkpoint.state = CheckpointFile::Missing;
                input.facts.checkpoint.info_target = CheckpointFile::Empty;
            }),
        ),
        (
            "the old agent's files alone",
            but(held(Equal, BASE), |input| {
                input.facts.checkpoint.state = CheckpointFile::Missing;
            }),
        ),
        (
            "the old agent's file has 0 bytes",
            but(bare(Equal, BASE), |input| {
                input.facts.checkpoint.state = CheckpointFile::Missing;
                input.facts.checkpoint.info = CheckpointFile::Empty;
            }),
        ),
        (
            "no committed file, and operations in a target",
            but(crashed(), |input| {
                input.facts.checkpoint.state = CheckpointFile::Missing;
                input.facts.checkpoint.info = CheckpointFile::Missing;
            }),
        ),
        (
            "a target with 0 bytes",
            but(crashed(), |input| {
                input.facts.checkpoint.state_target = CheckpointFile::Empty;
            }),
        ),
        (
            "a state with 0 bytes",
            but(held(Equal, BASE), |input| {
                input.facts.checkpoint.state = CheckpointFile::Empty;
            }),
        ),
        (
            "a damaged target",
            damaged(state_target, |facts| {
                facts.checkpoint.state_target = CheckpointFile::Damaged(Why("torn".to_owned()));
            }),
        ),
        (
            "a damaged target of an old agent",
            damaged(info_target, |facts| {
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info_target = CheckpointFile::Damaged(Why("torn".to_owned()));
            }),
        ),
        (
            "a damaged file of an old agent",
            damaged(info, |facts| {
                facts.checkpoint.state = CheckpointFile::Missing;
                facts.checkpoint.info = CheckpointFile::Damaged(Why("torn".to_owned()));
            }),
        ),
        (
            "a damaged file of an old agent, and it is not strict",
            but(
                damaged(info, |facts| {
                    facts.checkpoint.state = CheckpointFile::Missing;
                    facts.checkpoint.info = CheckpointFile::Damaged(Why("torn".to_owned()));
                }),
                |input| input.flags.strict = Known::Known(false),
            ),
        ),
        (
            "a damaged file that the agent may read",
            but(held(Equal, BASE), |input| {
                input.facts.checkpoint.state = CheckpointFile::Damaged(torn());
            }),
        ),
        (
            "a damaged slave.info",
            but(damaged("slave.info", |_| {}), |input| {
                input.facts.info = CheckpointFile::Damaged(torn());
            }),
        ),
        (
            "a damaged slave.info, and it is not strict",
            but(damaged("slave.info", |_| {}), |input| {
                input.facts.info = CheckpointFile::Damaged(torn());
                input.flags.strict = Known::Known(false);
            }),
        ),
        (
            "a damaged slave.info that the agent may read",
            but(held(Equal, BASE), |input| {
                input.facts.info = CheckpointFile::Damaged(torn());
            }),
        ),
        (
            "a slave.info of 0 bytes",
            but(held(Equal, BASE), |input| {
                input.facts.info = CheckpointFile::Empty;
            }),
        ),
        (
            "a link that leads nowhere",
            but(held(Equal, BASE), |input| {
                input.facts.latest = LatestAgent::Dangling;
            }),
        ),
        (
            "a link that can't be read",
            but(held(Equal, BASE), |input| {
                input.facts.latest = LatestAgent::Unknown(Why("EIO".to_owned()));
            }),
        ),
        ("a CREATE is carried out", creating(OperationState::Pending)),
        (
            "a CREATE that failed",
            made(
                creating(OperationState::Failed),
                MakeOutcome::Fails("no".to_owned()),
            ),
        ),
        (
            "a CREATE that can't be carried out",
            made(
                creating(OperationState::Pending),
                MakeOutcome::Fails("File name too long".to_owned()),
            ),
        ),
        (
            "a CREATE of what could not be looked at",
            made(
                creating(OperationState::Pending),
                MakeOutcome::Unknown(Why("EIO".to_owned())),
            ),
        ),
        (
            "a CREATE of what is there",
            but(
                made(
                    creating(OperationState::Pending),
                    MakeOutcome::Fails("no".to_owned()),
                ),
                |input| {
                    for look in input.facts.volumes.values_mut() {
                        look.exists = Known::Known(true);
                    }
                },
            ),
        ),
        (
            "a CREATE of what was not looked at",
            but(creating(OperationState::Pending), |input| {
                input.facts.volumes.clear();
            }),
        ),
        (
            "a CREATE of what is not held",
            but(creating(OperationState::Pending), |input| {
                let CheckpointFile::Whole(state) = &mut input.facts.checkpoint.state else {
                    panic!()
                };
                state.resources.retain(|one| one.source.is_some());
                state.operations[0].volumes[0].reservations[0].role =
                    mesos_volumed::mesos::ids::Role::new("other");
            }),
        ),
        (
            "an old agent's files, and a CREATE in a target",
            made(
                creating_of_target(),
                MakeOutcome::Fails("File name too long".to_owned()),
            ),
        ),
        (
            "no committed file, and a CREATE in a target",
            but(made(creating_of_target(), MakeOutcome::Made), |input| {
                input.facts.checkpoint.info = CheckpointFile::Missing;
            }),
        ),
        (
            "attributes that can't be read at the first start",
            but(first(BASE), |input| {
                input.flags.attributes = Known::Known("rack".to_owned());
            }),
        ),
        (
            "attributes that can't be read",
            but(held(Equal, BASE), |input| {
                input.flags.attributes = Known::Known("rack".to_owned());
            }),
        ),
        (
            "a domain that can't be read",
            but(held(Equal, BASE), |input| {
                input.flags.domain = Known::Known("[]".to_owned());
            }),
        ),
    ]
}

/// What goes wrong later, and what only looks so.
fn dangers() -> Vec<Scene> {
    let only = |more: &[String]| first(&with_root(more));
    let seen = |more: &[String], root: &str, look| but(only(more), |input| put(input, root, look));
    let path = |root: &str| disk("PATH", root, "1");
    let mut file = directory("/srv/m/mnt/file", 2, false);
    file.kind = Known::Known(FileKind::File);
    let mut mounted = directory("/srv/m/mnt/new", 9, true);
    mounted.node = Known::Absent;
    let inner = "/srv/m/mnt/path0/sub";
    let inner_look = || directory(inner, 0, false);
    let mut same_node = directory("/srv/m/mnt/twin", 0, true);
    same_node.node = directory(PATH, 0, true).node;
    vec![
        (
            "one of each",
            only(&[path(PATH), disk("MOUNT", MOUNT, "256")]),
        ),
        (
            "more than its file system has",
            only(&[disk("MOUNT", MOUNT, "256.001")]),
        ),
        (
            "ROOT has more than its file system",
            but(first("disk:17000"), |input| {
                let mut look = directory(WORK_DIR, 9, false);
                if let Known::Known(filesystem) = &mut look.filesystem {
                    filesystem.total = Known::Known(Bytes(16 << 30));
                }
                put(input, WORK_DIR, look);
            }),
        ),
        ("the same twice", only(&[path(PATH), path(PATH)])),
        (
            "parts for two roles",
            only(&[of_role(&path(PATH), "a"), of_role(&path(PATH), "b")]),
        ),
        (
            "one directory as two disks",
            only(&[path(PATH), disk("MOUNT", PATH, "1")]),
        ),
        (
            "one directory by two names",
            seen(
                &[path(PATH), path("/srv/m/mnt/twin")],
                "/srv/m/mnt/twin",
                same_node,
            ),
        ),
        (
            "one in the other",
            seen(&[path(PATH), path(inner)], inner, inner_look()),
        ),
        (
            "the other in the one",
            seen(&[path(inner), path(PATH)], inner, inner_look()),
        ),
        (
            "one in the other, by a link",
            but(
                seen(&[path("/srv/m/mnt/link"), path(inner)], inner, inner_look()),
                |input| {
                    let mut link = directory(PATH, 0, true);
                    link.node = Known::Absent;
                    put(input, "/srv/m/mnt/link", link);
                },
            ),
        ),
        (
            "a file",
            seen(&[path("/srv/m/mnt/file")], "/srv/m/mnt/file", file),
        ),
        (
            "nothing",
            seen(&[path("/srv/m/mnt/no")], "/srv/m/mnt/no", nothing()),
        ),
        ("on the work_dir's disk", only(&[path("/srv/m/mnt/path1")])),
        (
            "on the work_dir's disk, and mounted",
            seen(&[path("/srv/m/mnt/new")], "/srv/m/mnt/new", mounted),
        ),
        (
            "links",
            but(
                only(&[path("/srv/m/mnt/p"), disk("MOUNT", "/srv/m/mnt/v", "1")]),
                |input| {
                    put(input, "/srv/m/mnt/p", directory(PATH, 0, true));
                    put(input, "/srv/m/mnt/v", directory(MOUNT, 1, true));
                },
            ),
        ),
        (
            "spellings",
            but(
                only(&[
                    path("/srv/m/mnt/path0/"),
                    path("/srv//x"),
                    path("/srv/./y"),
                    path("/srv/../z"),
                    path("/"),
                    path("relative"),
                ]),
                |input| {
                    for root in ["/srv//x", "/srv/./y", "/srv/../z", "/", "relative"] {
                        let mut look = directory(root, 2, false);
                        look.node = Known::Absent;
                        put(input, root, look);
                    }
                },
            ),
        ),
        (
            "an empty DiskInfo, a source.id, an unknown key",
            first(&with_root(&[
                r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{}}"#.to_owned(),
                disk("PATH", PATH, "1").replace(r#""type":"PATH""#, r#""type":"PATH","id":"x""#),
                r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"dsik":{}}"#.to_owned(),
            ])),
        ),
        ("no ROOT", first(&format!("[{}]", path(PATH)))),
        (
            "no disk is named",
            but(first("cpus:1"), |input| {
                input.facts.detected.disk = Known::Known(Bytes(16 << 30));
            }),
        ),
        ("a path alone", first("/etc/resources.json")),
        ("two slashes", first("//etc/resources.json")),
        ("an object", first("{\"name\":\"disk\"}")),
        ("a mistake", first("[{\"name\":\"disk\",}]")),
        ("no JSON", first("disk")),
    ]
}

fn golden(name: &str, scenes: Vec<Scene>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/preflight")
        .join(name);
    let mut text = String::new();
    for (what, input) in scenes {
        write!(text, "{what}\n{}\n", render(&preflight(&input))).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    similar_asserts::assert_eq!(wanted, text);
}

#[test]
fn what_keeps_an_agent_is_said_to_the_word() {
    golden("remedies.txt", remedies());
}

#[test]
fn what_an_agent_makes_of_its_files_is_said_to_the_word() {
    golden("files.txt", files());
}

#[test]
fn what_goes_wrong_later_is_said_once_and_nothing_else() {
    golden("dangers.txt", dangers());
}

#[test]
fn every_root_that_a_text_or_a_file_of_the_agent_names_is_looked_at() {
    let of = |input: PreflightInput| -> Vec<String> {
        roots(&input).iter().map(ToString::to_string).collect()
    };
    let text = with_root(&[disk("PATH", "/new", "1"), disk("PATH", "/new", "2")]);
    assert_eq!(of(held(Equal, &text)), ["/new", PATH, MOUNT]);
    assert_eq!(of(first(&text)), ["/new"]);
    assert_eq!(of(held(Equal, "no text")), [PATH, MOUNT]);
    // Only the checkpoint names them, in either generation.
    let without_info = |change: fn(&mut PreflightInput)| {
        of(but(held(Equal, "cpus:1"), |input| {
            input.facts.info = CheckpointFile::Missing;
            change(input);
        }))
    };
    assert_eq!(without_info(|_| {}), [PATH, MOUNT]);
    assert_eq!(
        without_info(|input| input.facts.checkpoint.state = CheckpointFile::Missing),
        [PATH, MOUNT]
    );
    assert_eq!(
        without_info(|input| {
            input.facts.checkpoint.state = CheckpointFile::Missing;
            input.facts.checkpoint.info = CheckpointFile::Missing;
        }),
        Vec::<String>::new()
    );
}

#[test]
fn what_the_kernel_reads_only_to_its_nul_is_told_of() {
    let report = preflight(&first(&with_root(&[disk("PATH", "/srv/\\u0000", "1")])));
    let nul = report
        .warnings
        .iter()
        .filter(|said| said.contains("holds a NUL"));
    assert_eq!(nul.count(), 1, "{:?}", report.warnings);
}
