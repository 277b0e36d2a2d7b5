//! One resource: what it is, where it lies, and what of it an agent keeps.

use std::fmt;

use super::print::{self, TextFormat, lossy};
use crate::mesos::checkpoint::{encode_resource, wire};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::mesos::paths;
use crate::mesos::resource::Resource;
use crate::units::{Megabytes, Raw};

/// One resource, in the form after reservation refinement.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry(pub(super) wire::Resource);

/// What a resource lies on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It is no disk.
    NoDisk,
    /// The agent's work_dir.
    Root,
    /// A `disk` object without a source: offered as the work_dir, and refused by the master for
    /// volumes.
    EmptyDiskInfo,
    /// A carved-up directory, with its root; without one the agent refuses.
    Path(Option<Raw>),
    /// A whole file system, with its root; without one the agent refuses.
    Mount(Option<Raw>),
    /// BLOCK, RAW or another type, which the agent refuses.
    Unsupported,
}

/// What an agent finds wrong with a disk's message before it looks at the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// It exits with this text.
    Exit(String),
    /// It aborts at this check.
    Abort(&'static str),
}

impl Entry {
    /// The entry of a message that is in the form after refinement.
    pub(in crate::mesos) fn new(message: wire::Resource) -> Self {
        Self(message)
    }

    pub(in crate::mesos) fn into_message(self) -> wire::Resource {
        self.0
    }

    /// Its fields in protobuf's text format.
    pub(in crate::mesos) fn write(&self, text: &mut TextFormat) {
        print::text_resource(text, &self.0);
    }

    /// `disk`, `cpus`, …
    #[must_use]
    pub fn name(&self) -> String {
        lossy(self.0.name.as_ref())
    }

    pub(super) fn source(&self) -> Option<&wire::Source> {
        self.0.disk.as_ref()?.source.as_ref()
    }

    /// What it lies on.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.0.name.as_deref() != Some(b"disk") {
            return Place::NoDisk;
        }
        let root = |member: &Option<wire::Root>| {
            member
                .as_ref()
                .and_then(|member| member.root.clone())
                .map(Raw::new)
        };
        match (&self.0.disk, self.source()) {
            (None, _) => Place::Root,
            (Some(disk), None) if disk.persistence.is_some() => Place::Root,
            (Some(_), None) => Place::EmptyDiskInfo,
            (Some(_), Some(source)) => match source.kind {
                Some(wire::PATH) => Place::Path(root(&source.path)),
                Some(wire::MOUNT) => Place::Mount(root(&source.mount)),
                Some(_) | None => Place::Unsupported,
            },
        }
    }

    /// Whether `source.id` is set, which moves the directories of volumes.
    #[must_use]
    pub fn has_source_id(&self) -> bool {
        self.source().is_some_and(|source| source.id.is_some())
    }

    /// How an operator would name it: `MOUNT:/dcos/volume0`, `ROOT`, `cpus`; with the role where it
    /// is reserved.
    #[must_use]
    pub fn label(&self) -> String {
        let name = match self.place() {
            Place::NoDisk => self.name(),
            Place::Root => "ROOT".to_owned(),
            Place::EmptyDiskInfo => "disk with an empty DiskInfo".to_owned(),
            Place::Path(_) | Place::Mount(_) | Place::Unsupported => {
                self.source().map_or_else(String::new, print::source)
            }
        };
        match self.role() {
            None => name,
            Some(role) => format!("{name} of role {role}"),
        }
    }

    /// The number, where it has one.
    #[must_use]
    pub fn scalar(&self) -> Option<Megabytes> {
        self.0.scalar.as_ref()?.value.and_then(Megabytes::from_f64)
    }

    /// The same with another number; of ranges and sets, the same.
    #[must_use]
    pub fn with_scalar(&self, number: Megabytes) -> Self {
        let mut entry = self.clone();
        if let Some(scalar) = &mut entry.0.scalar {
            scalar.value = Some(number.as_f64());
        }
        entry
    }

    /// The value as Mesos prints it.
    #[must_use]
    pub fn value_text(&self) -> String {
        print::value(&self.0)
    }

    /// The role of the last reservation; `None` when unreserved.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        let last = self.0.reservations.last()?;
        Some(Role::new(last.role.clone().unwrap_or_default()))
    }

    fn is_dynamic(&self) -> bool {
        self.0
            .reservations
            .last()
            .is_some_and(|last| last.kind == Some(wire::DYNAMIC))
    }

    /// Whether it is a persistent volume.
    #[must_use]
    pub fn is_volume(&self) -> bool {
        self.0
            .disk
            .as_ref()
            .is_some_and(|disk| disk.persistence.is_some())
    }

    /// Role and persistence id of a volume.
    #[must_use]
    pub fn volume_key(&self) -> Option<VolumeKey> {
        let id = self.0.disk.as_ref()?.persistence.as_ref()?.id.clone()?;
        let role = self.role().unwrap_or_else(|| Role::new("*"));
        Some(VolumeKey::new(role, PersistenceId::new(id)))
    }

    /// Where the agent keeps the data of this volume; `None` for what is no volume, or has no
    /// directory.
    #[must_use]
    pub fn volume_path(&self, work_dir: &Raw) -> Option<Raw> {
        let key = self.volume_key()?;
        let below = |root: Raw| {
            let root = anchored(work_dir, root);
            match self.source().and_then(|one| one.id.as_ref()) {
                // A volume of CSI; no operator writes one.
                Some(id) => root.join(percent_encoded(id)).join("target"),
                None => root,
            }
        };
        match self.place() {
            Place::Root => Some(work_dir.join(paths::volume_directory(&key))),
            Place::Path(Some(root)) => Some(below(root).join(paths::volume_directory(&key))),
            Place::Mount(Some(root)) => Some(below(root)),
            Place::NoDisk
            | Place::EmptyDiskInfo
            | Place::Path(None)
            | Place::Mount(None)
            | Place::Unsupported => None,
        }
    }

    /// Whether the agent checkpoints it: reserved dynamically, or a volume, and of no resource
    /// provider.
    #[must_use]
    pub fn is_checkpointed(&self) -> bool {
        self.0.provider_id.is_none() && (self.is_dynamic() || self.is_volume())
    }

    /// What of `--resources` a checkpointed entry stands on: without dynamic reservations,
    /// persistence, container path and sharing.
    #[must_use]
    pub fn stripped(&self) -> Self {
        let mut message = self.0.clone();
        if self.is_dynamic() {
            let first = message.reservations.first();
            let is_static = first.is_some_and(|first| first.kind == Some(wire::STATIC));
            message.reservations.truncate(usize::from(is_static));
        }
        if self.is_volume() {
            clear_volume(&mut message);
        }
        message.shared = None;
        Self(message)
    }

    /// A volume as it is after its DESTROY: the reservation stays.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let mut message = self.0.clone();
        clear_volume(&mut message);
        message.shared = None;
        Self(message)
    }

    /// What the agent finds wrong with this disk's message itself.
    #[must_use]
    pub fn source_fault(&self) -> Option<SourceFault> {
        let source = self.source()?;
        let root_missing = |kind| {
            SourceFault::Exit(format!(
                "{kind} disk root directory is not specified '{self}'"
            ))
        };
        match (source.kind, &source.path, &source.mount) {
            (Some(wire::PATH), None, _) => Some(SourceFault::Abort("source.has_path()")),
            (Some(wire::MOUNT), _, None) => Some(SourceFault::Abort("source.has_mount()")),
            (Some(wire::PATH), Some(path), _) => path.root.is_none().then(|| root_missing("PATH")),
            (Some(wire::MOUNT), _, Some(mount)) => {
                mount.root.is_none().then(|| root_missing("MOUNT"))
            }
            (Some(_) | None, _, _) => Some(SourceFault::Exit(format!(
                "Unsupported 'DiskInfo.Source.Type' in '{self}'"
            ))),
        }
    }
}

impl From<&Resource> for Entry {
    fn from(resource: &Resource) -> Self {
        Self(encode_resource(resource))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&print::resource(&self.0))
    }
}

/// Persistence and container path go; a disk without a source is then no `disk` at all.
fn clear_volume(message: &mut wire::Resource) {
    message.disk = message
        .disk
        .take()
        .filter(|disk| disk.source.is_some())
        .map(|disk| {
            Box::new(wire::DiskInfo {
                persistence: None,
                volume: None,
                source: disk.source,
            })
        });
}

/// Relative roots are meant from the work_dir (include/mesos/mesos.proto).
fn anchored(work_dir: &Raw, root: Raw) -> Raw {
    if root.as_bytes().first() == Some(&b'/') {
        root
    } else {
        work_dir.join(root)
    }
}

fn percent_encoded(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|&byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                vec![byte]
            } else {
                format!("%{byte:02X}").into_bytes()
            }
        })
        .collect()
}
