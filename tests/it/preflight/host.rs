//! A host as the recorded agent had it, for the preflight.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mesos_volumed::decide::facts::{
    AgentFlags, CheckpointFacts, CheckpointFile, Detected, DeviceNumber, FileKind, FlagText, Known,
    LatestAgent, MakeOutcome, ReconfigurationPolicy, RootFilesystem, RootLook, StartFacts,
    VolumeLook, Why,
};
use mesos_volumed::decide::preflight::{PreflightInput, volumes};
use mesos_volumed::mesos::checkpoint::{
    Content, DecodeError, decode_agent_info, decode_info, decode_state,
};
use mesos_volumed::units::{Bytes, Raw};

pub(crate) const WORK_DIR: &str = "/srv/m/state/agent";
pub(crate) const PATH: &str = "/srv/m/mnt/path0";
pub(crate) const MOUNT: &str = "/srv/m/mnt/vol0";
pub(crate) const MOUNT1: &str = "/srv/m/mnt/vol1";

/// What the recorded agent was given.
pub(crate) const BASE: &str = r#"[
    {"name":"cpus","type":"SCALAR","scalar":{"value":2}},
    {"name":"mem","type":"SCALAR","scalar":{"value":2048}},
    {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31100}]}},
    {"name":"disk","type":"SCALAR","scalar":{"value":4096}},
    {"name":"disk","type":"SCALAR","scalar":{"value":2048},
     "disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt/path0"}}}},
    {"name":"disk","type":"SCALAR","scalar":{"value":240},
     "disk":{"source":{"type":"MOUNT","mount":{"root":"/srv/m/mnt/vol0"}}}}]"#;

pub(crate) fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mesos")
}

pub(crate) fn device(minor: u32) -> DeviceNumber {
    DeviceNumber { major: 7, minor }
}

/// A directory on a file system of its own, mounted there or not.
pub(crate) fn directory(path: &str, minor: u32, mounted: bool) -> RootLook {
    RootLook {
        real: Known::Known(Raw::from(path)),
        mounted: Known::Known(mounted),
        kind: Known::Known(FileKind::Directory),
        make: MakeOutcome::There,
        filesystem: Known::Known(RootFilesystem {
            device: device(minor),
            mount_point: Raw::from(path),
            total: Known::Known(Bytes(if mounted && minor != 0 {
                256 << 20
            } else {
                16 << 30
            })),
        }),
        node: Known::Known((device(minor), path.len() as u64)),
    }
}

/// Nothing: `mkdir -p` makes it on the file system of the work_dir.
pub(crate) fn nothing() -> RootLook {
    RootLook {
        real: Known::Absent,
        mounted: Known::Absent,
        kind: Known::Absent,
        make: MakeOutcome::Made,
        filesystem: Known::Known(RootFilesystem {
            device: device(9),
            mount_point: Raw::from("/"),
            total: Known::Known(Bytes(300 << 30)),
        }),
        node: Known::Absent,
    }
}

pub(crate) fn whole_volume() -> VolumeLook {
    VolumeLook {
        exists: Known::Known(true),
        make: MakeOutcome::There,
        obstacles: Vec::new(),
        complete: Known::Known(()),
    }
}

fn file<T>(
    path: &Path,
    name: &str,
    unreadable: &mut BTreeMap<String, String>,
    decode: impl FnOnce(&[u8]) -> Result<Content<T>, DecodeError>,
) -> CheckpointFile<T> {
    let Ok(bytes) = fs::read(path) else {
        return CheckpointFile::Missing;
    };
    match decode(&bytes) {
        Ok(Content::Whole(content)) => CheckpointFile::Whole(content),
        Ok(Content::Empty) => CheckpointFile::Empty,
        Err(error) => {
            if let Some(words) = error.agent_words() {
                unreadable.insert(name.to_owned(), words);
            }
            CheckpointFile::Damaged(Why(error.to_string()))
        }
    }
}

/// The facts of a recorded `meta` folder on a host with all disks of the recordings.
pub(crate) fn facts(meta: &Path) -> StartFacts {
    let mut unreadable = BTreeMap::new();
    let resources = |name: &str| meta.join("resources").join(name);
    let at = |name: &str| format!("meta/resources/{name}");
    let name = "resources_and_operations.target";
    let state_target = file(&resources(name), &at(name), &mut unreadable, decode_state);
    let name = "resources_and_operations.state";
    let state = file(&resources(name), &at(name), &mut unreadable, decode_state);
    let name = "resources.target";
    let info_target = file(&resources(name), &at(name), &mut unreadable, decode_info);
    let name = "resources.info";
    let info_file = file(&resources(name), &at(name), &mut unreadable, decode_info);
    let latest = fs::read_to_string(meta.join("slaves/latest")).ok();
    let (latest, info) = if let Some(link) = latest {
        let id = link.rsplit('/').next().unwrap().to_owned();
        let path = meta.join("slaves").join(&id).join("slave.info");
        let info = file(&path, "slave.info", &mut unreadable, decode_agent_info);
        (LatestAgent::Id(Raw::from(id)), info)
    } else {
        let earlier = fs::read_dir(meta.join("slaves")).is_ok_and(|mut all| all.next().is_some());
        (LatestAgent::Missing { earlier }, CheckpointFile::Missing)
    };
    let mut facts = StartFacts {
        work_dir: Raw::from(WORK_DIR),
        meta: if meta.try_exists().unwrap() {
            Known::Known(())
        } else {
            Known::Absent
        },
        checkpoint: CheckpointFacts {
            state_target,
            state,
            info_target,
            info: info_file,
        },
        unreadable,
        latest,
        info,
        agent_boot: Known::Known(Raw::from("a")),
        host_boot: Known::Known(Raw::from("a")),
        roots: [
            (WORK_DIR, directory(WORK_DIR, 9, false)),
            (PATH, directory(PATH, 0, true)),
            (MOUNT, directory(MOUNT, 1, true)),
            (MOUNT1, directory(MOUNT1, 2, true)),
            ("/srv/m/mnt/path1", directory("/srv/m/mnt/path1", 9, false)),
            ("/srv/m/mnt/path0/", directory(PATH, 0, true)),
            ("/srv/m/mnt/vol0/", directory(MOUNT, 1, true)),
        ]
        .into_iter()
        .map(|(root, look)| (Raw::from(root), look))
        .collect(),
        volumes: BTreeMap::new(),
        detected: Detected {
            cpus: Known::Known(4),
            memory: Known::Known(Bytes(8 << 30)),
            disk: Known::Known(Bytes(300 << 30)),
        },
    };
    for volume in volumes(&facts) {
        facts.volumes.insert(volume.path, whole_volume());
    }
    facts
}

/// The recorded host with a volume on each of its disks.
pub(crate) fn with_volumes() -> StartFacts {
    static FACTS: OnceLock<StartFacts> = OnceLock::new();
    let read = || facts(&recordings().join("restart/equal__same/meta"));
    FACTS.get_or_init(read).clone()
}

/// The recorded host before anything was reserved.
pub(crate) fn without_volumes() -> StartFacts {
    static FACTS: OnceLock<StartFacts> = OnceLock::new();
    let read = || facts(&recordings().join("stages/S00_no_volumes/meta"));
    FACTS.get_or_init(read).clone()
}

/// A host on which no agent ever ran.
pub(crate) fn without_agent() -> StartFacts {
    static FACTS: OnceLock<StartFacts> = OnceLock::new();
    let read = || facts(Path::new("/there/is/no/meta"));
    FACTS.get_or_init(read).clone()
}

/// A start with these facts and this text.
pub(crate) fn start(
    facts: StartFacts,
    policy: ReconfigurationPolicy,
    text: &str,
) -> PreflightInput {
    PreflightInput {
        facts,
        flags: AgentFlags::unknown("not looked at"),
        text: FlagText {
            text: text.to_owned(),
            from: "a test".to_owned(),
        },
        policy,
        rebooted: Known::Known(false),
    }
}
