//! What an agent is told when it starts: from the process that runs, from its `/flags`, or from
//! where packages keep it (F§7).
//!
//! Nothing here is guessed: what can't be read, or is said in two ways, is unknown, and counts as
//! unchanged.

mod unit;

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use self::unit::{Start, Starter, starter};
use super::agent_http::{self, Question};
use super::agent_process::{Flags, read_file};
use super::places::Places;
use super::proc::{Look, Task};
use super::read;
use super::walk::{Viewpoint, normal};
use crate::decide::facts::{
    AgentFlags, AgentProcess, FlagSource, FlagText, Known, ReconfigurationPolicy,
};
use crate::mesos::env_file::{Assigned, assignments};
use crate::mesos::ids::Role;
use crate::units::{Raw, chain};

/// A flag's file; a `--resources` has a few hundred entries at most.
const FILE: usize = 16 << 20;

/// Where flags may be read.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The kernel's and the host's places.
    pub places: &'a Places,
    /// Our `agent.work_dir`.
    pub work_dir: &'a Raw,
    /// The agents that run.
    pub processes: &'a Known<Vec<AgentProcess>>,
    /// Whom to ask, if anybody.
    pub question: Option<Question<'a>>,
    /// Our own environment, where it is the agent's too.
    pub environment: Option<Vec<(Raw, Raw)>>,
}

/// The flags of our agent: those of the one that runs, or else those with which it would start.
#[must_use]
pub fn observe(sources: &Sources<'_>) -> AgentFlags {
    let ours: Vec<&AgentProcess> = sources
        .processes
        .known()
        .into_iter()
        .flatten()
        .filter(|agent| agent.ours)
        .collect();
    match ours.as_slice() {
        [only] => return of_process(sources.places, only.pid),
        [] => {}
        [_, _, ..] => return AgentFlags::unknown("more than one agent of ours runs"),
    }
    if let Some(question) = &sources.question
        && let Some(url) = question.url
        && let Ok(flags) = agent_http::ask_flags(question)
    {
        return of_answer(url, &flags);
    }
    match starter(sources.places, sources.environment.as_deref()) {
        Ok(Starter::Itself(start)) => of_unit(sources, start),
        Ok(Starter::Wrapper(unit)) => of_files(sources, Some(unit)),
        Ok(Starter::Unknown) => of_files(sources, None),
        Err(why) => AgentFlags::unknown(&why),
    }
}

/// The value of a flag.
type ValueOf<'a> = dyn Fn(&str) -> Known<Raw> + 'a;

/// Reads a file; `None` where it is not there.
type ReadFile<'a> = dyn Fn(&Raw) -> Result<Option<Vec<u8>>, String> + 'a;

/// What a source says of its flags, by their names.
struct Said<'a> {
    source: FlagSource,
    value: Box<ValueOf<'a>>,
    /// Reads a file that a flag names, as the agent would.
    file: Box<ReadFile<'a>>,
    directory: Known<Raw>,
}

impl Said<'_> {
    fn flags(self) -> AgentFlags {
        AgentFlags {
            resources: self.text("resources").map(|(text, file)| FlagText {
                text,
                from: file.unwrap_or_else(|| format!("--resources of {}", self.source)),
            }),
            default_role: self.plain("default_role").map(Role::new),
            hostname: self.plain("hostname").map(Raw::from),
            port: match self.number("advertise_port") {
                advertised @ Known::Known(_) => advertised,
                Known::Absent | Known::Unknown(_) => self.number("port"),
            },
            attributes: self.plain("attributes"),
            domain: self.plain("domain"),
            policy: match self.plain("reconfiguration_policy") {
                Known::Known(name) => match ReconfigurationPolicy::named(&name) {
                    Some(policy) => Known::Known(policy),
                    None => Known::unknown(format!("--reconfiguration_policy is `{name}`")),
                },
                Known::Absent => Known::Absent,
                Known::Unknown(why) => Known::Unknown(why),
            },
            isolation: self.plain("isolation"),
            project_range: self.plain("xfs_project_range"),
            strict: match (self.plain("strict"), (self.value)("no-strict")) {
                (Known::Known(word), _) => match word.as_str() {
                    "true" | "1" | "" => Known::Known(true),
                    "false" | "0" => Known::Known(false),
                    _ => Known::unknown(format!("--strict is `{word}`")),
                },
                (_, Known::Known(_)) => Known::Known(false),
                (other, _) => other.map(|_| true),
            },
            directory: self.directory,
            source: self.source,
        }
    }

    fn plain(&self, name: &str) -> Known<String> {
        self.text(name).map(|(text, _)| text)
    }

    fn number(&self, name: &str) -> Known<i32> {
        match self.plain(name) {
            Known::Known(text) => match text.trim().parse() {
                Ok(number) => Known::Known(number),
                Err(_) => Known::unknown(format!("--{name} is `{text}`")),
            },
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why),
        }
    }

    /// The text of a flag, and the file that it names in its place.
    fn text(&self, name: &str) -> Known<(String, Option<String>)> {
        let value = match (self.value)(name) {
            Known::Known(value) => value,
            Known::Absent => return Known::Absent,
            Known::Unknown(why) => return Known::Unknown(why),
        };
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let Some(file) = value.as_bytes().strip_prefix(b"file://") else {
            return match utf8(value.as_bytes()) {
                Ok(text) => Known::Known((text, None)),
                Err(_) => Known::unknown(format!("--{name} is not UTF-8")),
            };
        };
        let file = Raw::from(file);
        match (self.file)(&file) {
            Ok(Some(bytes)) => match utf8(&bytes) {
                Ok(text) => Known::Known((text, Some(file.to_string()))),
                Err(_) => Known::unknown(format!("{file} is not UTF-8")),
            },
            Ok(None) => Known::unknown(format!(
                "{file}, which --{name} names, is not there; the agent can't start without it"
            )),
            Err(why) => Known::unknown(why),
        }
    }
}

fn of_process(places: &Places, pid: i32) -> AgentFlags {
    let task = Task::process(places, pid);
    let flags = Flags::read(&task);
    let directory = match task.link("cwd") {
        Ok(Look::Seen(path)) => Known::Known(path),
        Ok(Look::Gone) => Known::unknown(format!("process {pid} has ended")),
        Err(error) => Known::unknown(chain(&error)),
    };
    Said {
        source: FlagSource::Process(pid),
        value: Box::new(move |name| flags.value_or_nothing(name)),
        file: Box::new(move |path| {
            let view = Viewpoint::of(places, pid).map_err(|error| chain(&error))?;
            read_file(&view, path)
        }),
        directory,
    }
    .flags()
}

fn of_answer(url: &str, flags: &BTreeMap<String, String>) -> AgentFlags {
    Said {
        source: FlagSource::Http(url.to_owned()),
        value: Box::new(|name| match flags.get(name) {
            Some(value) => Known::Known(Raw::from(value.as_str())),
            None => Known::Absent,
        }),
        // What `/flags` shows is the content already.
        file: Box::new(own_file),
        directory: Known::unknown("the agent's /flags do not tell its directory"),
    }
    .flags()
}

fn own_file(path: &Raw) -> Result<Option<Vec<u8>>, String> {
    match read::whole(path, FILE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if read::is_absent(&error) => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}

/// The values that were found for each flag; more than one is a contradiction.
type Found = BTreeMap<String, BTreeSet<Raw>>;

/// What the agent's unit tells it.
fn of_unit(sources: &Sources<'_>, start: Start) -> AgentFlags {
    if let Some(other) = of_another(sources, &start.value("work_dir")) {
        return other;
    }
    Said {
        source: FlagSource::Unit(start.unit.clone()),
        value: Box::new(move |name| start.value(name)),
        file: Box::new(own_file),
        directory: Known::unknown("no agent runs"),
    }
    .flags()
}

/// Nothing, where the flags at hand are those of another agent.
fn of_another(sources: &Sources<'_>, work_dir: &Known<Raw>) -> Option<AgentFlags> {
    let theirs = work_dir.known()?;
    (normal(theirs) != normal(sources.work_dir)).then(|| {
        AgentFlags::unknown(&format!(
            "the files here are of an agent with --work_dir {theirs}"
        ))
    })
}

/// What packages, and our own environment, tell an agent. What is not there may stand in its unit.
fn of_files(sources: &Sources<'_>, wrapper: Option<Raw>) -> AgentFlags {
    let mut files = Vec::new();
    let folders = match of_folders(&sources.places.flag_folders, &mut files) {
        Ok(found) => found,
        Err(why) => return AgentFlags::unknown(&why),
    };
    let environment = match of_environment(sources, &mut files) {
        Ok(found) => found,
        Err(why) => return AgentFlags::unknown(&why),
    };
    let value = |name: &str| -> Known<Raw> {
        if let Some(values) = folders.get(name) {
            return only(name, values);
        }
        match environment.get(&format!("MESOS_{}", name.to_uppercase())) {
            Some(Assigned::Text(text)) => Known::Known(Raw::from(text.as_str())),
            Some(Assigned::Unclear(why)) => Known::unknown(why.clone()),
            None => Known::unknown(format!("--{name} stands in no file that is known here")),
        }
    };
    if let Some(other) = of_another(sources, &value("work_dir")) {
        return other;
    }
    let found_any = !folders.is_empty() || !environment.is_empty();
    Said {
        source: match wrapper {
            Some(unit) => FlagSource::Unit(unit),
            None if found_any => FlagSource::Files(files),
            None => FlagSource::Nowhere,
        },
        value: Box::new(value),
        file: Box::new(own_file),
        directory: Known::unknown("no agent runs"),
    }
    .flags()
}

fn only(name: &str, values: &BTreeSet<Raw>) -> Known<Raw> {
    let mut values = values.iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Known::Known(value.clone()),
        (Some(_), Some(_)) => Known::unknown(format!("--{name} is said in two ways")),
        (None, _) => Known::Absent,
    }
}

/// `/etc/mesos-agent/<flag>` holds the value of a flag, `?flag` gives it without one; the folders
/// `resources` and `attributes` hold a file a part.
fn of_folders(folders: &[Raw], files: &mut Vec<Raw>) -> Result<Found, String> {
    let mut found = Found::new();
    for folder in folders {
        for name in names(folder)? {
            let path = folder.join(&name);
            let Some(text) = name.as_str() else { continue };
            let value = match content(&path)? {
                Content::Text(value) => value,
                Content::Folder if matches!(text, "resources" | "attributes") => parts(&path)?,
                Content::Folder | Content::Nothing => continue,
            };
            files.push(path);
            let (flag, value) = match text.strip_prefix('?') {
                Some(flag) => (flag, Raw::default()),
                None => (text, value),
            };
            found.entry(flag.to_owned()).or_default().insert(value);
        }
    }
    Ok(found)
}

fn names(folder: &Raw) -> Result<Vec<Raw>, String> {
    match read::names(folder) {
        Ok(mut names) => {
            names.retain(|name| name.as_bytes().first() != Some(&b'.'));
            names.sort();
            Ok(names)
        }
        Err(error) if read::is_absent(&error) || read::errno(&error) == Some(Errno::NOTDIR) => {
            Ok(Vec::new())
        }
        Err(error) => Err(chain(&error)),
    }
}

enum Content {
    Text(Raw),
    Folder,
    Nothing,
}

/// A file as a shell's `$(cat file)` gives it.
fn content(path: &Raw) -> Result<Content, String> {
    match read::whole(path, FILE) {
        Ok(bytes) => {
            let end = bytes.iter().rposition(|byte| *byte != b'\n');
            let length = end.map_or(0, |end| end.saturating_add(1));
            Ok(Content::Text(Raw::from(
                bytes.get(..length).unwrap_or_default(),
            )))
        }
        Err(crate::sys::ReadError::NotAFile { .. }) => Ok(Content::Folder),
        Err(error) if read::errno(&error) == Some(Errno::ISDIR) => Ok(Content::Folder),
        Err(error) if read::is_absent(&error) => Ok(Content::Nothing),
        Err(error) => Err(chain(&error)),
    }
}

/// `name:value;…` of a folder with a file a part, such as `/etc/mesos-agent/resources`.
///
/// # Errors
/// A sentence, when the folder or a file in it can't be read.
pub fn parts(folder: &Raw) -> Result<Raw, String> {
    let mut all: Vec<u8> = Vec::new();
    for name in names(folder)? {
        if let Content::Text(value) = content(&folder.join(&name))? {
            if !all.is_empty() {
                all.push(b';');
            }
            all.extend_from_slice(name.as_bytes());
            all.push(b':');
            all.extend_from_slice(value.as_bytes());
        }
    }
    Ok(Raw::new(all))
}

/// Our own environment, and over it the files in their order; names in capitals.
fn of_environment(
    sources: &Sources<'_>,
    files: &mut Vec<Raw>,
) -> Result<BTreeMap<String, Assigned>, String> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, value: Assigned| {
        let name = name.to_uppercase();
        if name.starts_with("MESOS_") && !name.starts_with("MESOS_VOLUMED_") {
            found.insert(name, value);
        }
    };
    for (name, value) in sources.environment.iter().flatten() {
        if let (Some(name), Some(value)) = (name.as_str(), value.as_str()) {
            add(name, Assigned::Text(value.to_owned()));
        }
    }
    for file in &sources.places.environment_files {
        let Some(bytes) = own_file(file)? else {
            continue;
        };
        let text = String::from_utf8(bytes).map_err(|_not_utf8| format!("{file} is not UTF-8"))?;
        for (name, value) in assignments(&text) {
            add(&name, value);
        }
        files.push(file.clone());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
