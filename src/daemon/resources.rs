//! The agent's resources in the file where the agent reads them: what is there, what would be
//! written, and writing it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::disks::View;
use crate::act::publish::{self, PublishError, Published};
use crate::act::store::{Store, StoreError};
use crate::config::{ResourcesFormat, Settings};
use crate::decide::advertise::{AdvertiseError, Advertisement, recorded};
use crate::decide::ledger::Ledger;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::layout::{Layout, LayoutError, dcos_cache};
use crate::mesos::resources_json::{
    DiskEntry, Foreign, ForeignError, MergeError, Merged, ResourcesText, Written, WrittenError,
    merge,
};
use crate::observe::agent_flags::parts;
use crate::units::Raw;

/// A file and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub file: PathBuf,
    /// Its form.
    pub form: ResourcesFormat,
}

impl Target {
    /// The file that the configuration means; a flag alone has none.
    #[must_use]
    pub fn configured(settings: &Settings) -> Option<Self> {
        let form = settings.resources.format;
        let file = settings.resources_file(form)?;
        Some(Self { file, form })
    }
}

/// The layout of a form.
#[must_use]
pub fn layout(form: ResourcesFormat) -> Layout {
    match form {
        ResourcesFormat::Json => Layout::Json,
        ResourcesFormat::Env => Layout::Env,
        ResourcesFormat::Flag => Layout::Flag,
        ResourcesFormat::Mesosphere | ResourcesFormat::Clusterd => Layout::Value,
        ResourcesFormat::Dcos => Layout::Dcos,
    }
}

/// Why nothing can be written. What is there stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The configuration's own resources.
    #[error("resources.extra can't be used")]
    Extra(#[source] ForeignError),
    /// The numbers.
    #[error(transparent)]
    Advertise(#[from] AdvertiseError),
    /// The present file.
    #[error(transparent)]
    File(#[from] PublishError),
    /// A folder of parts in the place of the packages' file.
    #[error(
        "{folder} is a folder of name:value parts, which can't express PATH and MOUNT disks; {}, \
         then move the folder away",
        match extra {
            Ok(extra) => format!("set extra = '{extra}' in [resources]"),
            Err(why) => format!("put its parts into resources.extra (they can't be read: {why})"),
        }
    )]
    Parts {
        /// The folder.
        folder: Raw,
        /// Its parts as one text.
        extra: Result<Raw, String>,
    },
    /// The present file is not UTF-8.
    #[error("{file} is not UTF-8; it was left as it is")]
    NotText {
        /// The file.
        file: Raw,
    },
    /// The present file can't be read in its form, or can't take what is to be written.
    #[error("{file} can't be written; it was left as it is")]
    Layout {
        /// The file.
        file: Raw,
        /// Why.
        #[source]
        source: LayoutError,
    },
    /// What the present file gives the agent can't be read.
    #[error("{file} holds what can't be kept; it was left as it is")]
    Present {
        /// The file, or the environment.
        file: Raw,
        /// Why.
        #[source]
        source: WrittenError,
    },
    /// What the present file gives the agent can't be joined with the disks.
    #[error("{file} can't be written; it was left as it is")]
    Merge {
        /// The file.
        file: Raw,
        /// Why.
        #[source]
        source: MergeError,
    },
}

/// Why a proposal was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] PublishError),
    /// A disk was given back after it was looked at.
    #[error("{disk} was given back meanwhile (`disk release`); nothing was written")]
    GivenBack {
        /// The disk.
        disk: DiskRef,
    },
}

/// What would be written.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The disks, and what is wrong with them.
    pub advertisement: Advertisement,
    /// Disks in the file that nobody here advertised, as Mesos prints them; they stay.
    pub kept: Vec<String>,
    /// Entries of the file that something else takes the place of, as Mesos prints them.
    pub replaced: Vec<String>,
    /// The resources.
    pub text: ResourcesText,
    /// The roots that the ledger had when this was made.
    known: BTreeSet<DiskRef>,
    files: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    path: PathBuf,
    before: Option<Vec<u8>>,
    content: String,
}

impl Proposal {
    /// Whether a file would change.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.files
            .iter()
            .any(|file| file.before.as_deref() != Some(file.content.as_bytes()))
    }

    /// Writes the files that would change, each in one step and durably; `now` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// When the ledger or a file can't be written, or somebody else wrote a file meanwhile.
    pub fn write(&self, store: &Store, now: i64) -> Result<Published, WriteError> {
        // The ledger first: a number that an agent may have seen must be known for ever.
        let mut gone = None;
        store.update_ledger(|ledger| {
            gone = self.given_back(&ledger).cloned();
            match &gone {
                None => recorded(&ledger, &self.advertisement, now),
                Some(_) => ledger,
            }
        })?;
        if let Some(disk) = gone {
            return Err(WriteError::GivenBack { disk });
        }
        let mut all = Published::Same;
        for file in &self.files {
            let content = file.content.as_bytes();
            if publish::publish(&file.path, file.before.as_deref(), content)? == Published::Written
            {
                all = Published::Written;
            }
        }
        Ok(all)
    }

    /// A disk of it that the ledger had, and has no more: what this says of it is not so any more.
    fn given_back(&self, ledger: &Ledger) -> Option<&DiskRef> {
        let has = |disk: &DiskRef| ledger.roots.iter().any(|root| root.disk == *disk);
        let mut offered = self.advertisement.disks.iter().map(|entry| &entry.disk);
        offered.find(|disk| self.known.contains(*disk) && !has(disk))
    }
}

/// What would be written into this file: the disks of this view, `resources.extra`, and what stands
/// there already. `environment` is a text of `--resources` that an agent has from elsewhere, such as
/// the variable with which DC/OS calls its generator; it counts before the file.
pub fn propose(
    settings: &Settings,
    view: &View,
    target: Option<&Target>,
    environment: Option<&str>,
) -> Result<Proposal, ProposeError> {
    let extra = Foreign::parse(&settings.resources.extra).map_err(ProposeError::Extra)?;
    let advertisement = view.advertise(&settings.disk_rules())?;
    let disks: Vec<DiskEntry> = advertisement
        .disks
        .iter()
        .map(|entry| DiskEntry {
            disk: entry.disk.clone(),
            size: entry.number,
            role: entry.role.clone(),
            extras: entry.extras.clone(),
            known: entry.known,
        })
        .collect();
    let was_ours = |kind: DiskType, root: &Raw| {
        let disk = DiskRef {
            kind,
            root: root.clone(),
        };
        view.ledger
            .known()
            .and_then(|ledger| ledger.root_spelt_in_any_way(&disk))
            .is_some_and(|entry| entry.advertised.is_some())
    };
    let joined = |file: &Raw, present: &[&Written]| {
        merge(&disks, &extra, present, &was_ours, &view.default_role).map_err(|source| {
            ProposeError::Merge {
                file: file.clone(),
                source,
            }
        })
    };
    let nobody = Written::default();
    let environment = match environment {
        Some(text) => in_environment(text)?,
        None => nobody.clone(),
    };
    let Some(target) = target else {
        let merged = joined(&"the environment".into(), &[&environment])?;
        return Ok(proposal(view, advertisement, merged, Vec::new()));
    };
    let main = Content::read(&target.file, target.form)?;
    let layout = layout(target.form);
    let merged = joined(&main.name, &[&environment, &main.entries(layout)?])?;
    let mut files = vec![main.planned(|present| layout.write(present, &merged.text))?];
    if target.form == ResourcesFormat::Dcos {
        let cache = Content::read(&beside(&target.file, ".cache"), target.form)?;
        let there = cache.entries(layout)?;
        let of_main = Written::from(&merged.text);
        let with_cache = joined(&cache.name, &[&of_main, &there])?;
        files.push(cache.planned(|present| dcos_cache(present, &with_cache.text))?);
    }
    Ok(proposal(view, advertisement, merged, files))
}

fn proposal(
    view: &View,
    advertisement: Advertisement,
    merged: Merged,
    files: Vec<Planned>,
) -> Proposal {
    Proposal {
        known: view.recorded.clone(),
        advertisement,
        kept: merged.kept,
        replaced: merged.replaced,
        text: merged.text,
        files,
    }
}

fn in_environment(text: &str) -> Result<Written, ProposeError> {
    let name = Raw::from("MESOS_RESOURCES of the environment");
    match Layout::Value.read(text) {
        Ok(text) => Written::parse(text.as_deref().unwrap_or_default())
            .map_err(|source| ProposeError::Present { file: name, source }),
        Err(source) => Err(ProposeError::Layout { file: name, source }),
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file as it is.
struct Content {
    path: PathBuf,
    name: Raw,
    before: Option<Vec<u8>>,
    text: Option<String>,
}

impl Content {
    fn read(path: &Path, form: ResourcesFormat) -> Result<Self, ProposeError> {
        let name = Raw::from(path);
        let before = match (publish::read(path), form) {
            (
                Err(PublishError::Folder { .. }),
                ResourcesFormat::Mesosphere | ResourcesFormat::Clusterd,
            ) => {
                return Err(ProposeError::Parts {
                    extra: parts(&name),
                    folder: name,
                });
            }
            (read, _) => read?,
        };
        let text = before.clone().map(String::from_utf8).transpose();
        let Ok(text) = text else {
            return Err(ProposeError::NotText { file: name });
        };
        Ok(Self {
            path: path.to_owned(),
            name,
            before,
            text,
        })
    }

    /// What it gives the agent.
    fn entries(&self, layout: Layout) -> Result<Written, ProposeError> {
        let text = match &self.text {
            None => None,
            Some(text) => layout.read(text).map_err(|source| self.layout(source))?,
        };
        Written::parse(text.as_deref().unwrap_or_default()).map_err(|source| {
            ProposeError::Present {
                file: self.name.clone(),
                source,
            }
        })
    }

    fn planned(
        self,
        write: impl FnOnce(Option<&str>) -> Result<String, LayoutError>,
    ) -> Result<Planned, ProposeError> {
        let content = write(self.text.as_deref()).map_err(|source| self.layout(source))?;
        Ok(Planned {
            path: self.path,
            before: self.before,
            content,
        })
    }

    fn layout(&self, source: LayoutError) -> ProposeError {
        ProposeError::Layout {
            file: self.name.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
