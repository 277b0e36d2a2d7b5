//! The configuration, in three stages of one type each:
//!
//! ```text
//! files ── fragments ──► merged ── inputs ──► validated ── settings ──► the program
//!          every key        later file           every value
//!          is known         wins                 is right
//! ```
//!
//! The files are the main one (`/etc/mesos-volumed/config.toml`) and then `conf.d/*.toml` beside
//! it, in the order of their names. A misspelt key or a bad value is never silence: it ends the
//! load, with file, line and remedy, and all of them are named at once. The last good
//! configuration is the caller's to keep.

mod changes;
mod credentials;
mod fragments;
mod inputs;
pub mod keys;
mod settings;
mod value_error;
mod values;

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use changes::changes;
pub use credentials::{AccessSecrets, Credentials, CredentialsError, Secret};
pub use fragments::Place;
pub use inputs::{Effective, Inputs};
pub use keys::{ResourcesFormat, SocketWriters, WipeRate};
pub use settings::{
    AccessFiles, AgentSettings, DaemonSettings, FleetSettings, MarathonSettings, MasterSettings,
    ResourcesSettings, Settings, SweepSettings, TrashSettings, VolumesSettings, WipeSettings,
};
pub use value_error::ValueError;

use crate::units::{Chain, Raw};

/// The main file where none is named.
pub const DEFAULT_FILE: &str = "/etc/mesos-volumed/config.toml";

/// A file of this many bytes is no configuration.
const LARGEST_FILE: u64 = 1 << 20;

/// Which files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The main file; `conf.d` lies beside it.
    pub file: PathBuf,
    /// Whether it must be there: an operator named it.
    pub required: bool,
}

/// A configuration in force, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What the program goes by.
    pub settings: Settings,
    /// What the files say, with places and defaults: for showing.
    pub inputs: Inputs,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What an operator should know although nothing is wrong.
    pub notes: Vec<Note>,
}

/// Why there is no configuration: at least one problem, in the order of the files.
///
/// It prints one line a problem.
#[derive(Debug)]
pub struct ConfigError {
    /// Each of them.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", Chain(problem))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file can't be read.
    #[error("the configuration {} can't be read", Raw::from(file.as_path()))]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("the configuration {} {rule}", Raw::from(file.as_path()))]
    NotAFile {
        /// The file.
        file: PathBuf,
        /// What it is instead, with the remedy.
        rule: &'static str,
    },
    /// The file is no TOML.
    #[error("{place} is not TOML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key or section that does not exist.
    #[error("unknown key {key} in {place}; did you mean {nearest}?")]
    UnknownKey {
        /// As written.
        key: String,
        /// Where.
        place: Place,
        /// The nearest key or section that exists.
        nearest: &'static str,
    },
    /// A section in the form of something else.
    #[error("{section} in {place} must be {form}")]
    Section {
        /// The section.
        section: &'static str,
        /// What it must be, with the remedy.
        form: &'static str,
        /// Where.
        place: Place,
    },
    /// A number that does not fit.
    #[error("{key} in {place}: the number is too large; write a smaller one")]
    Number {
        /// The key.
        key: &'static str,
        /// Where.
        place: Place,
    },
    /// A value that breaks its key's rule.
    #[error("{key} in {}", at(.place.as_ref()))]
    Value {
        /// The key.
        key: &'static str,
        /// Where; `None`: the built-in default.
        place: Option<Place>,
        /// The rule and its remedy.
        #[source]
        source: ValueError,
    },
    /// A key that must be there.
    #[error("{key} is missing and has no default")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("{key} in {place} and {other} in {other_place} exclude each other; remove one of them")]
    Exclusive {
        /// The one.
        key: &'static str,
        /// Where.
        place: Place,
        /// The other.
        other: &'static str,
        /// Where.
        other_place: Place,
    },
    /// A `[[disks]]` rule that says too little.
    #[error("the [[disks]] rule in {place} lacks {lacks}")]
    IncompleteRule {
        /// What, with the remedy.
        lacks: &'static str,
        /// Where the rule begins.
        place: Place,
    },
    /// Our own files would lie among the agent's.
    #[error(
        "{key} in {}: it lies inside the agent's own folders below {work_dir}; name a directory outside of them",
        at(.place.as_ref())
    )]
    StateDir {
        /// The key.
        key: &'static str,
        /// Where; `None`: the built-in default.
        place: Option<Place>,
        /// `agent.work_dir`.
        work_dir: Raw,
    },
}

fn at(place: Option<&Place>) -> String {
    place.map_or_else(|| "the built-in defaults".to_owned(), ToString::to_string)
}

impl Problem {
    /// Where in the files it is, if in one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::Section { place, .. }
            | Self::Number { place, .. }
            | Self::Exclusive { place, .. }
            | Self::IncompleteRule { place, .. } => Some(place),
            Self::Value { place, .. } | Self::StateDir { place, .. } => place.as_ref(),
            Self::Read { .. } | Self::NotAFile { .. } | Self::Missing { .. } => None,
        }
    }
}

/// What an operator should know although nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A key was written that this version only checks.
    NoEffect {
        /// The key.
        key: &'static str,
        /// Where.
        place: Place,
        /// What does not happen.
        what: &'static str,
    },
    /// Others than root may change what a root daemon deletes.
    Writable {
        /// The file.
        file: PathBuf,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoEffect { key, place, what } => {
                write!(
                    f,
                    "key {key} in {place} has no effect yet in this version: {what}"
                )
            }
            Self::Writable { file } => write!(
                f,
                "{} may be changed by others than its owner; run chmod go-w on it",
                Raw::from(file.as_path())
            ),
        }
    }
}

/// Reads, merges and validates. Without any file the defaults are in force.
pub fn load(source: &Source) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut fragments = Vec::new();
    let mut files = Vec::new();
    let mut notes = Vec::new();

    let (drop_ins, unreadable) = drop_ins(&source.file);
    problems.extend(unreadable);
    let main = (source.file.clone(), source.required);
    for (file, required) in std::iter::once(main).chain(drop_ins.into_iter().map(|f| (f, true))) {
        let text = match read_file(&file, &mut notes) {
            Ok(text) => text,
            Err(Problem::Read { source, .. })
                if !required && source.kind() == io::ErrorKind::NotFound =>
            {
                continue;
            }
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let (fragment, found) = fragments::parse(&file, &text);
        problems.extend(found);
        problems.extend(settings::wrong_values(&fragment));
        fragments.push(fragment);
        files.push(file);
    }
    problems.sort_by(|a, b| a.place().cmp(&b.place()));
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }

    let inputs = inputs::merge(fragments);
    let settings = settings::settle(&inputs).map_err(|problems| ConfigError { problems })?;
    notes.extend(
        inputs
            .given()
            .filter_map(|(name, given)| match keys::find(name)?.effect() {
                keys::Effect::Now => None,
                keys::Effect::NotYet(what) => Some(Note::NoEffect {
                    key: keys::find(name)?.name(),
                    place: given.place.clone(),
                    what,
                }),
            }),
    );
    Ok(Loaded {
        settings,
        inputs,
        files,
        notes,
    })
}

/// `conf.d/*.toml` beside the main file, in the order of their names. Hidden files and other
/// endings (a package manager's leftovers) are none of ours.
fn drop_ins(main: &Path) -> (Vec<PathBuf>, Option<Problem>) {
    let folder = main.with_file_name("conf.d");
    let names: Result<Vec<OsString>, io::Error> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    match names {
        Ok(mut names) => {
            names.retain(|name| {
                let name = name.as_encoded_bytes();
                name.ends_with(b".toml") && !name.starts_with(b".")
            });
            names.sort();
            (names.iter().map(|name| folder.join(name)).collect(), None)
        }
        Err(source) => (
            Vec::new(),
            Some(Problem::Read {
                file: folder,
                source,
            }),
        ),
    }
}

fn read_file(file: &Path, notes: &mut Vec<Note>) -> Result<String, Problem> {
    let failed = |source| Problem::Read {
        file: file.to_path_buf(),
        source,
    };
    let other = |rule| Problem::NotAFile {
        file: file.to_path_buf(),
        rule,
    };
    // Asked before it is opened: opening a FIFO would wait for its writer.
    let metadata = std::fs::metadata(file).map_err(failed)?;
    if !metadata.is_file() {
        return Err(other("is not a regular file; name the file itself"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(LARGEST_FILE).read_to_end(&mut bytes))
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length >= LARGEST_FILE) {
        return Err(other("is larger than 1 MiB; is it the right file?"));
    }
    if metadata.mode() & 0o022 != 0 {
        notes.push(Note::Writable {
            file: file.to_path_buf(),
        });
    }
    String::from_utf8(bytes).map_err(|_position_says_nothing| {
        other("is not UTF-8 text; write it anew with an editor that saves UTF-8")
    })
}
