//! The units that may start an agent, as systemd would load them.

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::places::Places;
use super::read;
use crate::decide::facts::{BootMount, UnitOrder};
use crate::sys::ReadError;
use crate::units::Raw;

/// The names that an agent's unit has: Mesosphere's packages, the agent's own name, DC/OS.
pub const AGENT_UNITS: [&str; 4] = [
    "mesos-slave.service",
    "mesos-agent.service",
    "dcos-mesos-slave.service",
    "dcos-mesos-slave-public.service",
];

const LIMIT: usize = 1 << 20;

/// A unit that is installed: its file and its drop-ins.
#[derive(Debug)]
pub(super) struct Unit {
    /// The unit file.
    pub(super) main: Raw,
    settings: Vec<Setting>,
}

/// A line of a section.
#[derive(Debug)]
struct Setting {
    section: String,
    file: Raw,
    key: String,
    value: String,
}

impl Unit {
    /// The values of a list of `[Service]`, each with its file; an empty one forgets all before it.
    pub(super) fn list(&self, key: &str) -> Vec<(&Raw, &str)> {
        self.list_in("[Service]", key)
    }

    /// The same of any section.
    fn list_in(&self, section: &str, key: &str) -> Vec<(&Raw, &str)> {
        let mut values = Vec::new();
        let of_section = self.settings.iter().filter(|one| one.section == section);
        for setting in of_section.filter(|one| one.key == key) {
            if setting.value.is_empty() {
                values.clear();
            } else {
                values.push((&setting.file, setting.value.as_str()));
            }
        }
        values
    }
}

/// The agent units that are installed, of [`AGENT_UNITS`].
pub(super) fn installed(places: &Places) -> Result<Vec<Unit>, ReadError> {
    let mut units = Vec::new();
    for name in AGENT_UNITS {
        units.extend(load(places, name)?);
    }
    Ok(units)
}

/// The unit of this name, with its drop-ins; `None` where there is none, it is masked, or another
/// name of an agent's.
fn load(places: &Places, name: &str) -> Result<Option<Unit>, ReadError> {
    let Some(Main::File(main)) = main_file(places, name)? else {
        return Ok(None);
    };
    let mut settings = Vec::new();
    for file in std::iter::once(main.clone()).chain(drop_ins(places, name)?) {
        read_settings(&read::whole(&file, LIMIT)?, &file, &mut settings);
    }
    Ok(Some(Unit { main, settings }))
}

/// What the agent's units and these others say of their order.
pub(super) fn orders(places: &Places, others: &[&str]) -> Result<Vec<UnitOrder>, ReadError> {
    let mut found = Vec::new();
    for name in AGENT_UNITS.iter().chain(others) {
        let Some(unit) = load(places, name)? else {
            continue;
        };
        let words = |key: &str| -> Vec<String> {
            let values = unit.list_in("[Unit]", key);
            let words = values
                .iter()
                .flat_map(|(_, value)| value.split_whitespace());
            words
                .map(|word| word.trim_matches('"').to_owned())
                .collect()
        };
        let defaults = unit.list_in("[Unit]", "DefaultDependencies");
        found.push(UnitOrder {
            name: (*name).to_owned(),
            after: words("After"),
            before: words("Before"),
            mounts: words("RequiresMountsFor"),
            defaults: defaults
                .last()
                .is_none_or(|(_, value)| !["no", "false", "off", "0"].contains(value)),
            file: unit.main,
        });
    }
    Ok(found)
}

/// What mount units mount. One that nothing wants is not mounted at boot: as if with `noauto`.
pub(super) fn mounts(places: &Places) -> Result<Vec<BootMount>, ReadError> {
    let mut names: BTreeSet<Raw> = BTreeSet::new();
    let mut wanted: BTreeSet<Raw> = BTreeSet::new();
    for folder in &places.units {
        for name in names_in(folder)? {
            let bytes = name.as_bytes();
            if bytes.ends_with(b".mount") {
                names.insert(name);
            } else if bytes.ends_with(b".wants") || bytes.ends_with(b".requires") {
                wanted.extend(names_in(&folder.join(&name))?);
            }
        }
    }
    let mut found = Vec::new();
    for name in names {
        let Some(unit) = name
            .as_str()
            .map(|text| load(places, text))
            .transpose()?
            .flatten()
        else {
            continue;
        };
        let last = |key| {
            unit.list_in("[Mount]", key)
                .last()
                .map(|(_, value)| (*value).to_owned())
        };
        let Some(point) = last("Where") else { continue };
        let mut options: Vec<String> = last("Options")
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect();
        if !wanted.contains(&name) {
            options.push("noauto".to_owned());
        }
        found.push(BootMount {
            mount_point: Raw::from(point),
            options,
            from: unit.main.clone(),
        });
    }
    Ok(found)
}

/// The names in a folder; none where it is not there.
fn names_in(folder: &Raw) -> Result<Vec<Raw>, ReadError> {
    match read::folder(folder) {
        Ok(names) => Ok(names),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

enum Main {
    File(Raw),
    /// Masked, or another of the agent's names for the same unit, which is looked at itself.
    Other,
}

/// The unit file that systemd would load: the one in the first folder that has it.
fn main_file(places: &Places, name: &str) -> Result<Option<Main>, ReadError> {
    for folder in &places.units {
        let path = folder.join(name);
        match read::link(&path) {
            Ok(target) => {
                let target_name = target.as_bytes().rsplit(|&b| b == b'/').next();
                let alias = AGENT_UNITS
                    .iter()
                    .any(|other| *other != name && target_name == Some(other.as_bytes()));
                if alias || target.as_bytes() == b"/dev/null" {
                    return Ok(Some(Main::Other));
                }
                return Ok(Some(Main::File(path)));
            }
            // It is there and is no link.
            Err(error) if read::errno(&error) == Some(Errno::INVAL) => {
                return Ok(Some(Main::File(path)));
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The drop-ins in the order of their names; of two with one name the first folder's counts.
fn drop_ins(places: &Places, name: &str) -> Result<Vec<Raw>, ReadError> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for folder in &places.units {
        let folder = folder.join(format!("{name}.d"));
        let names = match read::folder(&folder) {
            Ok(names) => names,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(error),
        };
        for file in names {
            if file.as_bytes().ends_with(b".conf") && seen.insert(file.clone()) {
                files.push((file.clone(), folder.join(file)));
            }
        }
    }
    files.sort();
    let mut paths = Vec::new();
    for (_, path) in files {
        match read::link(&path) {
            Ok(target) if target.as_bytes() == b"/dev/null" => {}
            Ok(_) | Err(_) => paths.push(path),
        }
    }
    Ok(paths)
}

fn is_missing(error: &ReadError) -> bool {
    read::is_absent(error) || read::errno(error) == Some(Errno::NOTDIR)
}

/// Adds the file's lines.
fn read_settings(bytes: &[u8], file: &Raw, settings: &mut Vec<Setting>) {
    let text = String::from_utf8_lossy(bytes);
    let mut section = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.starts_with(['#', ';']) {
            continue;
        }
        while line.ends_with('\\') {
            line.pop();
            // A comment between continued lines does not end them.
            match lines
                .by_ref()
                .map(str::trim)
                .find(|next| !next.starts_with(['#', ';']))
            {
                Some(next) => {
                    line.push(' ');
                    line.push_str(next);
                }
                None => break,
            }
        }
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, value)) = line.split_once('=') {
            settings.push(Setting {
                section: section.clone(),
                file: file.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
    }
}
