//! What bytes from elsewhere are given to, and what must hold whatever they are: nothing panics, no plan
//! touches what a checkpoint names, and no wipe what lies outside its volume.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mesos_volumed::config;
use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{CheckpointFile, Facts, MountTable};
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::decide::manifest::{AdoptedMark, Manifest, Marker};
use mesos_volumed::decide::memory::Memory;
use mesos_volumed::decide::plan::plan;
use mesos_volumed::decide::steps::Step;
use mesos_volumed::mesos::agent_state::parse_state;
use mesos_volumed::mesos::checkpoint;
use mesos_volumed::mesos::ids::{Role, VolumeKey};
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::resources_json::parse_resources;
use mesos_volumed::observe::{hints, mountinfo};
use operations::List;
pub(crate) use scratch::scratch;

#[path = "operations.rs"]
mod operations;
#[path = "../it/support/scratch.rs"]
mod scratch;

/// One thing that reads bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Checkpoint,
    Mountinfo,
    State,
    Configuration,
    Ledger,
    Manifest,
    Resources,
    Uevents,
    Facts,
    /// What a tenant does to a volume that is wiped.
    Operations,
}

impl Target {
    pub(crate) const ALL: [Self; 10] = [
        Self::Checkpoint,
        Self::Mountinfo,
        Self::State,
        Self::Configuration,
        Self::Ledger,
        Self::Manifest,
        Self::Resources,
        Self::Uevents,
        Self::Facts,
        Self::Operations,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The recorded data that it begins from, below the repository.
    pub(crate) fn corpus(self, repository: &Path) -> Vec<Vec<u8>> {
        let fixtures = repository.join("tests/fixtures");
        let mut files = Vec::new();
        match self {
            Self::Checkpoint => find(
                &fixtures.join("mesos"),
                &[
                    ".state",
                    ".target",
                    ".info",
                    "executor_generated_for_command_task",
                ],
                &mut files,
            ),
            Self::Mountinfo => find(&fixtures.join("mountinfo"), &[".txt"], &mut files),
            Self::State => find(&fixtures.join("mesos"), &[".json"], &mut files),
            Self::Configuration => find(&repository.join("config"), &[".toml"], &mut files),
            Self::Resources => {
                find(&fixtures.join("mesos"), &[".json"], &mut files);
                find(&repository.join("tests/golden/layouts"), &[""], &mut files);
            }
            Self::Ledger | Self::Manifest | Self::Facts => {
                find(
                    &repository.join("tests/golden/plan"),
                    &[".facts.json"],
                    &mut files,
                );
            }
            Self::Uevents | Self::Operations => {}
        }
        files.sort();
        let mut corpus: Vec<Vec<u8>> = files
            .into_iter()
            .filter_map(|file| std::fs::read(file).ok())
            .collect();
        match self {
            // What lies within recorded facts.
            Self::Manifest => corpus = within(&corpus, "manifest"),
            Self::Ledger => {
                corpus = within(&corpus, "memory");
                corpus.push(LEDGER.to_vec());
            }
            Self::Uevents => corpus.push(UEVENT.to_vec()),
            Self::Operations => corpus = List::some(),
            Self::Checkpoint
            | Self::Mountinfo
            | Self::State
            | Self::Configuration
            | Self::Resources
            | Self::Facts => {}
        }
        corpus
    }

    /// Reads the bytes; panics where something does not hold. `scratch` is a folder of the caller's.
    pub(crate) fn run(self, bytes: &[u8], scratch: &Path) {
        match self {
            Self::Checkpoint => {
                let _read = checkpoint::decode_state(bytes);
                let _read = checkpoint::decode_provider_state(bytes);
                let _read = checkpoint::decode_info(bytes);
                let _read = checkpoint::decode_slave_info(bytes);
                let _read = checkpoint::decode_agent_info(bytes);
                let _read = checkpoint::decode_task_info(bytes);
                let _read = checkpoint::decode_executor_info(bytes);
            }
            Self::Mountinfo => {
                if let Ok(entries) = mountinfo::parse(bytes) {
                    let points: Vec<_> = entries
                        .iter()
                        .map(|entry| entry.mount_point.clone())
                        .collect();
                    let table = MountTable::new(entries);
                    for point in points.iter().take(8) {
                        let _above = table.chain(point);
                    }
                }
            }
            Self::State => {
                let _read = parse_state(bytes);
            }
            Self::Configuration => {
                let file = scratch.join("config.toml");
                std::fs::write(&file, bytes).unwrap();
                let source = config::Source {
                    file,
                    required: true,
                };
                if let Err(error) = config::load(&source) {
                    assert!(!error.to_string().is_empty());
                }
            }
            Self::Ledger => {
                if let Ok(ledger) = serde_json::from_slice::<Ledger>(bytes) {
                    same_again(&ledger);
                }
                if let Ok(memory) = serde_json::from_slice::<Memory>(bytes) {
                    same_again(&memory);
                }
            }
            Self::Manifest => {
                if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
                    same_again(&manifest);
                }
                if let Ok(marker) = serde_json::from_slice::<Marker>(bytes) {
                    same_again(&marker);
                }
                if let Ok(mark) = serde_json::from_slice::<AdoptedMark>(bytes) {
                    same_again(&mark);
                }
            }
            Self::Resources => {
                let text = String::from_utf8_lossy(bytes);
                let _read = parse_resources(&text, &Role::new("*"));
            }
            Self::Uevents => {
                let _told = hints::is_about_a_block_device(bytes);
            }
            Self::Facts => {
                if let Ok(facts) = serde_json::from_slice::<Facts>(bytes) {
                    judge(&facts);
                }
            }
            Self::Operations => List::read(bytes).run(scratch),
        }
    }
}

/// A ledger as this program writes it.
const LEDGER: &[u8] = br#"{"version":1,"roots":[{"disk":{"type":"PATH","root":"/mnt/data"},"fingerprint":
{"filesystem":"u1","fs_type":"xfs","directory":{"filesystem":"u1","handle":"1:aa"}},"role":"*","advertised":
1000,"first_seen":10,"last_seen":20,"changes":[{"at":10,"what":"first verified as xfs u1"}]}]}"#;

/// A message as the kernel sends it.
const UEVENT: &[u8] =
    b"change@/devices/virtual/block/loop7\0ACTION=change\0DEVPATH=/devices/virtual/block/\
loop7\0SUBSYSTEM=block\0MAJOR=7\0MINOR=7\0DEVNAME=loop7\0DEVTYPE=disk\0DISKSEQ=12\0SEQNUM=4711\0";

fn find(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let name = entry.file_name().into_string().unwrap();
        if kind.is_dir() {
            find(&entry.path(), endings, files);
        } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            files.push(entry.path());
        }
    }
}

/// The values of a key, wherever it is.
fn within(corpus: &[Vec<u8>], key: &str) -> Vec<Vec<u8>> {
    fn walk(value: &serde_json::Value, key: &str, found: &mut Vec<Vec<u8>>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, inner) in map {
                    if name == key {
                        let known = inner.get("known").unwrap_or(inner);
                        found.push(known.to_string().into_bytes());
                    }
                    walk(inner, key, found);
                }
            }
            serde_json::Value::Array(list) => list.iter().for_each(|inner| walk(inner, key, found)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    for bytes in corpus {
        if let Ok(value) = serde_json::from_slice(bytes) {
            walk(&value, key, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What was read is written so that it is read as the same.
fn same_again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq>(value: &T) {
    let text = serde_json::to_vec(value).unwrap();
    assert!(serde_json::from_slice::<T>(&text).unwrap() == *value);
}

/// Planner and checker agree, and nothing that a file names is touched.
fn judge(facts: &Facts) {
    let planned = plan(facts);
    let keys = |resources: &[Resource]| -> Vec<VolumeKey> {
        resources.iter().filter_map(Resource::volume_key).collect()
    };
    let mut named: BTreeSet<VolumeKey> = BTreeSet::new();
    for state in [&facts.checkpoint.state, &facts.checkpoint.state_target] {
        if let CheckpointFile::Whole(state) = state {
            named.extend(keys(&state.resources));
        }
    }
    for info in [&facts.checkpoint.info, &facts.checkpoint.info_target] {
        if let CheckpointFile::Whole(resources) = info {
            named.extend(keys(resources));
        }
    }
    // A file of lower precedence is released by the running agent's own answer, after the grace.
    let released = &planned.memory.stale;
    for step in &planned.steps {
        let key = match step {
            Step::Quarantine { place, .. } => &place.volume,
            Step::Wipe { authorization, .. }
            | Step::EmptyMount { authorization, .. }
            | Step::MoveOut { authorization, .. } => authorization.volume(),
            _ => continue,
        };
        assert!(
            !named.contains(key) || released.iter().any(|stale| stale.key == *key),
            "{key} is named, and {step:?}"
        );
    }
    if let Err(error) = check(planned, facts) {
        panic!(
            "planner and checker disagree: {}",
            mesos_volumed::units::chain(&error)
        );
    }
}

/// A number that looks random (splitmix64).
pub(crate) fn mixed(seed: u64, index: u64) -> u64 {
    let mut mixed = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// One of the corpus, changed a little.
pub(crate) fn mutant(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let which = usize::try_from(mixed(seed, 0) >> 1).unwrap() % corpus.len();
    changed(corpus[which].clone(), corpus, seed)
}

/// Changes a little: bytes flipped, cut, doubled, words exchanged with those of another.
pub(crate) fn changed(mut bytes: Vec<u8>, corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut drawn = 0;
    let mut draw = |below: usize| {
        drawn += 1;
        usize::try_from(mixed(seed, drawn) >> 1).unwrap() % below.max(1)
    };
    for _ in 0..=draw(4) {
        let at = draw(bytes.len());
        let length = draw(16).min(bytes.len() - at);
        match draw(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw(8),
            1 if at < bytes.len() => {
                bytes[at] = [0, 0xff, 0x7f, b'"', b'9', b'-', b'{', b'\n'][draw(8)];
            }
            2 => bytes.truncate(at),
            3 => {
                bytes.drain(at..at + length);
            }
            4 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            5 | 6 => {
                // A token of another in the place of one of ours: what is still JSON finds deeper paths.
                let other = &corpus[draw(corpus.len())];
                let (Some(from), Some(to)) = (token(&bytes, at), token(other, draw(other.len())))
                else {
                    continue;
                };
                bytes.splice(from, other[to].iter().copied());
            }
            _ => {
                let number = [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 53][draw(5)].to_string();
                if let Some(range) = digits(&bytes, at) {
                    bytes.splice(range, number.into_bytes());
                }
            }
        }
    }
    bytes
}

/// The quoted text, or the word, that begins behind this place.
fn token(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let from = at + bytes.get(at..)?.iter().position(|byte| *byte == b'"')?;
    let to = from
        + 1
        + bytes
            .get(from + 1..)?
            .iter()
            .position(|byte| *byte == b'"')?;
    Some(from..to + 1)
}

/// The number that begins behind this place.
fn digits(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let from = at + bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
    let length = bytes
        .get(from..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    Some(from..from + length)
}
