//! What a host looks like: the end of a run without what differs by nature, and what must
//! hold at any moment.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use mesos_volumed::decide::facts::GateFile;
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::decide::manifest::{Manifest, Marker, TrashState};
use mesos_volumed::decide::memory::Memory;
use serde_json::Value;

use crate::tree::{content, tree};
use crate::world::{DESTROYED, HELD, Layout, ORPHAN, TRASHED, World};

/// What has to become of a volume's data in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In its place, untouched.
    Held,
    /// Whole, in its place or in the trash, in one of them alone.
    Moves,
    /// Whole in the trash.
    Waits,
    /// As [`Fate::Moves`], or half gone in an entry that says so, or gone.
    Goes,
}

/// The trees as they were when the run began.
#[derive(Debug)]
pub(crate) struct Before {
    canary: String,
    volumes: BTreeMap<&'static str, String>,
}

/// An entry of the trash as it lies there.
struct Entry {
    name: String,
    /// Without one: what is wrong with it.
    manifest: Result<Manifest, String>,
    data: Option<String>,
}

fn entries(world: &World) -> Vec<Entry> {
    let Ok(folder) = std::fs::read_dir(world.trash()) else {
        return Vec::new();
    };
    let mut entries: Vec<Entry> = folder
        .map(|entry| {
            let path = entry.unwrap().path();
            let manifest = std::fs::read(path.join("manifest.json"))
                .map_err(|error| error.to_string())
                .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
            let data = path.join("data");
            let data = Some(data).filter(|data| data.symlink_metadata().is_ok());
            // On a prepared MOUNT `data` is made before anything is moved there, and goes last.
            let data = data.map(|data| tree(&data)).filter(|tree| {
                manifest.is_ok() || world.layout() != Layout::Hidden || !below(tree).is_empty()
            });
            Entry {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                manifest,
                data,
            }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

impl Before {
    pub(crate) fn of(world: &World) -> Self {
        let mut volumes = BTreeMap::new();
        for id in HELD.into_iter().chain(DESTROYED).chain([ORPHAN, TRASHED]) {
            let place = world.volume(id);
            let found = if world.is_on_mount(id) {
                // Its root is there, whoever has it.
                Some(tree(&place)).filter(|tree| !below(tree).is_empty())
            } else if place.symlink_metadata().is_ok() {
                Some(tree(&place))
            } else {
                entries(world).into_iter().find_map(|entry| {
                    let named = entry.manifest.is_ok_and(|manifest| is(&manifest, id));
                    entry.data.filter(|_| named)
                })
            };
            if let Some(found) = found {
                volumes.insert(id, found);
            }
        }
        Self {
            canary: tree(&world.canary()),
            volumes,
        }
    }

    /// What does not hold, at any moment, whatever happened.
    pub(crate) fn broken(&self, world: &World, fate: &dyn Fn(&str) -> Fate) -> Vec<String> {
        let mut broken = Vec::new();
        if tree(&world.canary()) != self.canary {
            broken.push("the canary was touched".to_owned());
        }
        let entries = entries(world);
        for entry in &entries {
            if let (Err(why), Some(_)) = (&entry.manifest, &entry.data) {
                broken.push(format!("{} has data and no manifest: {why}", entry.name));
            }
        }
        for (id, whole) in &self.volumes {
            let place = world.volume(id);
            let mut here = place.symlink_metadata().is_ok().then(|| tree(&place));
            // Emptied, or moved out, one name after the other: behind the gate alone.
            let mut may_be_half = false;
            if world.is_on_mount(id) {
                may_be_half = world.is_gate_closed();
                here = here.filter(|here| !below(here).is_empty());
                if may_be_half && here.as_deref().map(below) != Some(below(whole)) {
                    here = None;
                }
            }
            let same = |found: &str| {
                found == whole || world.is_on_mount(id) && below(found) == below(whole)
            };
            let there: Vec<(&Manifest, &String)> = entries
                .iter()
                .filter_map(|entry| Some((entry.manifest.as_ref().ok()?, entry.data.as_ref()?)))
                .filter(|(manifest, _)| is(manifest, id))
                .collect();
            if let Some(here) = &here
                && !same(here.as_str())
            {
                broken.push(format!("{id} is in its place, and not whole:\n{here}"));
            }
            let wiping = |manifest: &Manifest| manifest.state == TrashState::Wiping;
            for (manifest, data) in &there {
                if !same(data.as_str()) && !wiping(manifest) && !may_be_half {
                    broken.push(format!(
                        "{id} is not whole, and its entry says {:?}:\n{data}",
                        manifest.state
                    ));
                }
            }
            // Before the first name is moved out, its entry is there and has nothing.
            let moved = |data: &str| !may_be_half || !below(data).is_empty();
            let moved = there.iter().filter(|(_, data)| moved(data)).count();
            let places = moved + usize::from(here.is_some());
            if places > 1 {
                broken.push(format!("{id} is in {places} places"));
            }
            let fate = fate(id);
            let right = match fate {
                Fate::Held => here.is_some(),
                Fate::Moves => {
                    here.is_some() || there.iter().any(|(manifest, _)| !wiping(manifest))
                }
                Fate::Waits => there.iter().any(|(manifest, _)| !wiping(manifest)),
                Fate::Goes => true,
            };
            if !right {
                broken.push(format!("{id} ({fate:?}) is lost"));
            }
        }
        broken.extend(torn(world));
        broken
    }
}

/// A tree without its root, which changes when something is moved out of it, and without what mkfs made.
fn below(tree: &str) -> String {
    let lines = tree.lines().skip(1);
    let kept = lines.filter(|line| !line.starts_with("lost+found "));
    kept.fold(String::new(), |all, line| all + line + "\n")
}

fn is(manifest: &Manifest, id: &str) -> bool {
    manifest.volume.id.as_raw().as_bytes() == id.as_bytes()
}

/// Files of ours that are neither old nor new.
fn torn(world: &World) -> Vec<String> {
    let state = world.state();
    let marker = world.ours().join("marker.json");
    let mut torn = Vec::new();
    let mut look =
        |path: &Path, read: &dyn Fn(&[u8]) -> Result<(), serde_json::Error>| match std::fs::read(
            path,
        ) {
            Ok(text) => {
                if let Err(error) = read(&text) {
                    torn.push(format!("{} is torn: {error}", path.display()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => torn.push(format!("{}: {error}", path.display())),
        };
    look(&state.join("memory.json"), &|text| {
        serde_json::from_slice::<Memory>(text).map(drop)
    });
    look(&state.join("ledger.json"), &|text| {
        serde_json::from_slice::<Ledger>(text).map(drop)
    });
    look(&state.join("gate.json"), &|text| {
        serde_json::from_slice::<GateFile>(text).map(drop)
    });
    look(&marker, &|text| {
        serde_json::from_slice::<Marker>(text).map(drop)
    });
    look(&world.resources(), &|text| {
        serde_json::from_slice::<Value>(text).map(drop)
    });
    torn
}

/// An entry of the trash that was not begun, or is all but removed.
pub(crate) const FRAME: &str = "an entry without manifest";

/// What a crash may leave of a replacement, until the next one of the same file takes it away: no more
/// than one each.
const HALF_WRITTEN: [&str; 4] = [
    "state/.mesos-volumed-memory.json.new",
    "state/.mesos-volumed-ledger.json.new",
    "state/.mesos-volumed-gate.json.new",
    "out/.mesos-volumed-resources.json.new",
];

/// Names and contents below the mount point, without what no two runs have alike: entry names, plan
/// ids, times, device names, and the audit log, of which `audit` says what is in it, with the note of
/// what it said last of things held back.
pub(crate) fn end(world: &World) -> BTreeMap<String, String> {
    let point = world.point();
    let names: BTreeMap<String, String> = entries(world)
        .into_iter()
        .map(|entry| {
            let volume = entry
                .manifest
                .as_ref()
                .map_or_else(|_| FRAME.to_owned(), |manifest| manifest.volume.to_string());
            (entry.name, format!("<{volume}>"))
        })
        .collect();
    let mut end = BTreeMap::new();
    // The hidden side of a prepared disk is mounted below the first.
    let side = world.side().filter(|_| world.layout() != Layout::Hidden);
    let walks = [(Some(point), ""), (side, "side/")];
    for (entry, below, prefix) in walks.iter().flat_map(|(folder, prefix)| {
        let folder = folder.as_ref();
        folder.into_iter().flat_map(move |folder| {
            let walk = walkdir::WalkDir::new(folder).min_depth(1);
            let entries = walk.sort_by_file_name().into_iter();
            entries.map(move |entry| (entry, folder, prefix))
        })
    }) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                end.insert(error.to_string(), String::new());
                continue;
            }
        };
        let path = entry.path();
        let name = path.strip_prefix(below).unwrap().to_str().unwrap();
        let mut name = format!("{prefix}{name}");
        if name.ends_with("lost+found")
            || name.starts_with("state/audit/")
            || name.ends_with("lock")
        {
            continue;
        }
        if name == "state/held_back.json" {
            continue;
        }
        if HALF_WRITTEN.contains(&name.as_str()) {
            continue;
        }
        for (id, volume) in &names {
            name = name.replace(id, volume);
        }
        let is_mark = name.contains("/.mesos-volumed/adopted/")
            && path
                .extension()
                .is_some_and(|extension| extension == "json");
        if is_mark {
            let mark = std::fs::read(path).unwrap_or_default();
            let volume = serde_json::from_slice::<Value>(&mark)
                .map_or_else(|error| error.to_string(), |mark| mark["volume"].to_string());
            name = format!("{}/<{volume}>", path.parent().unwrap().display());
        }
        let Ok(meta) = path.symlink_metadata() else {
            end.insert(name, "went meanwhile".to_owned());
            continue;
        };
        let what = match name.rsplit('/').next() {
            _ if is_mark => String::new(),
            // How each look went; what follows from it is elsewhere.
            Some("memory.json") => String::new(),
            Some("ledger.json" | "manifest.json" | "marker.json") => {
                let text = std::fs::read(path).unwrap_or_default();
                match serde_json::from_slice::<Value>(&text) {
                    Ok(mut value) => {
                        plain(&mut value);
                        value.to_string()
                    }
                    Err(error) => error.to_string(),
                }
            }
            _ => content(path, &meta),
        };
        end.insert(
            name,
            format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()),
        );
    }
    end
}

/// Blanks what differs by nature.
fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match key.as_str() {
                    "lived_at" | "at" | "quarantined_at" | "times" | "sighted_for" | "plan"
                    | "first_seen" | "last_seen" | "milliseconds" => *value = Value::Null,
                    "id" | "name" => {
                        let text = value.as_str().unwrap_or_default();
                        if text.matches('-').count() == 2 || text.starts_with("loop") {
                            *value = Value::Null;
                        }
                    }
                    _ => plain(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// How two ends differ, in a few lines.
pub(crate) fn difference(
    found: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, what) in expected {
        match found.get(name) {
            None => lines.push(format!("missing: {name} ({what})")),
            Some(other) if other != what => {
                let same = other
                    .bytes()
                    .zip(what.bytes())
                    .take_while(|(a, b)| a == b)
                    .count();
                let part = |text: &str| -> String {
                    text.chars()
                        .skip(same.saturating_sub(60))
                        .take(240)
                        .collect()
                };
                lines.push(format!(
                    "{name}: is …{}\n      should be …{}",
                    part(other),
                    part(what)
                ));
            }
            Some(_) => {}
        }
    }
    for (name, what) in found {
        if !expected.contains_key(name) {
            lines.push(format!("extra: {name} ({what})"));
        }
    }
    lines
}
