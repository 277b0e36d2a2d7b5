//! Roots of disks: the mount that each lies on, what identifies it, and what lies in it.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::time::Duration;

use super::deadline::{Answered, ask_each};
use super::disks;
use super::filesystem;
use super::hidden::{self, HiddenAt};
use super::holders::Target;
use super::places::Places;
use super::trash::{self, Ours};
use super::volumes::{self, Folder};
use super::walk::normal;
use crate::decide::facts::{
    AgentView, BlockDevice, DirFacts, DirectoryAnswer, Drive, Fingerprint, FsFacts, FsFailure,
    FsLocation, HiddenSide, Known, MountContent, MountEntry, MountTable, PathAnswer, RootFacts,
    RootMount, RootWitness, StrangeEntry, device_of,
};
use crate::decide::ledger::{Ledger, Verified};
use crate::decide::manifest::HIDDEN_OURS;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::paths;
use crate::sys::{self, IdentityError};
use crate::units::{Megabytes, Raw, chain};

/// How long the whole look at one root may take: it lists every volume, so it takes longer than a
/// question; a drive that hangs must not hold the other roots up for ever.
const PATIENCE: Duration = Duration::from_mins(2);

/// A root to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Type and text.
    pub disk: DiskRef,
    /// Who names it.
    pub named_by: BTreeSet<RootWitness>,
    /// The operator says that it is right as it is (`disk accept`).
    pub accepted: bool,
    /// Where its hidden side is mounted, as the record of `disk prepare` says. `Absent`: it was
    /// not prepared by this program, or not by this `state_dir`.
    pub hidden: Known<Raw>,
}

/// A root with what the look at it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The facts. What the agent sees there is not told yet: [`AgentView::NoAgent`].
    pub facts: RootFacts,
    /// What holders are to be looked for; none where nothing can be told or touched there.
    pub targets: Vec<Target>,
}

/// Looks at these roots, through this mount table.
///
/// Network, FUSE and automounted file systems are never touched: their `mount` is known, the rest
/// is unknown. A MOUNT root that is no mount point, a path that does not exist, and a root that
/// was on a disk of its own and now lies on the host's root file system are `Absent`.
#[must_use]
pub fn observe(
    places: &Places,
    wanted: Vec<Wanted>,
    ledger: &Known<Ledger>,
    table: &MountTable,
) -> Vec<Observed> {
    let normals: Vec<Raw> = wanted.iter().map(|root| normal(&root.disk.root)).collect();
    let answers = filesystem::ask(
        places,
        normals
            .iter()
            .filter(|path| path.as_bytes().first() == Some(&b'/'))
            .cloned()
            .collect(),
        table,
    );
    // For warnings alone: without the drives there are none.
    let mounts = answers.values().filter_map(|answer| match answer {
        PathAnswer::Directory(answer) => table.by_id(answer.mount),
        PathAnswer::Missing
        | PathAnswer::NotADirectory
        | PathAnswer::Unanswering
        | PathAnswer::Failed(_)
        | PathAnswer::Erring(..)
        | PathAnswer::OutOfBounds(_) => None,
    });
    let devices = disks::below(places.sys.as_path(), mounts).unwrap_or_default();
    let grounds: Vec<Ground> = wanted
        .iter()
        .zip(&normals)
        .map(|(root, path)| {
            let answer = answers.get(path);
            ground(&devices, root, path, answer, ledger, table)
        })
        .collect();
    let questions: Vec<Question> = wanted
        .iter()
        .zip(&grounds)
        .filter_map(|(root, ground)| match ground {
            Ground::Standing { mount, answer, .. } => Some(Question {
                kind: root.disk.kind,
                path: answer.resolved.clone(),
                mount_id: answer.mount,
                fs_type: mount.fs_type.clone(),
                location: mount.location.clone(),
                hidden: hidden::place(&root.disk, &mount.location, &root.hidden, table, |entry| {
                    own_place(table, entry)
                }),
            }),
            Ground::Nothing(_) | Ground::Untouchable { .. } => None,
        })
        .collect();
    let mut looks = ask_each(questions, PATIENCE, look).into_iter();
    wanted
        .into_iter()
        .zip(grounds)
        .map(|(root, ground)| {
            let known = Before::of(&root.disk, ledger);
            match ground {
                Ground::Nothing(mount) => without_look(root, mount, known),
                Ground::Untouchable { mount, why } => {
                    let mut observed = without_look(root, Known::unknown(why), known);
                    observed.facts.mount = Known::Known(*mount);
                    observed
                }
                Ground::Standing { mount, lies_on, .. } => {
                    let found = match looks.next() {
                        Some(Answered::Yes(found)) => found,
                        Some(Answered::TooLate) => Contents::unknown(
                            root.disk.kind,
                            &format!("{} does not answer", root.disk.root),
                        ),
                        Some(Answered::NotAsked) | None => Contents::unknown(
                            root.disk.kind,
                            &format!(
                                "{} was not looked at: too many file systems do not answer",
                                root.disk.root
                            ),
                        ),
                    };
                    standing(root, *mount, lies_on, known, found)
                }
            }
        })
        .collect()
}

/// What a root stands on.
enum Ground {
    /// It is not there (`Absent`), or can't be told.
    Nothing(Known<RootMount>),
    /// A file system that is never asked.
    Untouchable { mount: Box<RootMount>, why: String },
    /// A directory that may be looked at.
    Standing {
        mount: Box<RootMount>,
        answer: DirectoryAnswer,
        /// MOUNT: the directory that its mount lies on.
        lies_on: Option<FsLocation>,
    },
}

fn ground(
    devices: &[BlockDevice],
    root: &Wanted,
    path: &Raw,
    answer: Option<&PathAnswer>,
    ledger: &Known<Ledger>,
    table: &MountTable,
) -> Ground {
    let unknown = |why: String| Ground::Nothing(Known::unknown(why));
    let text = &root.disk.root;
    let answer = match answer {
        None => {
            return unknown(format!(
                "{text} is not an absolute path; Mesos takes it as relative to the directory that the agent was started in"
            ));
        }
        Some(PathAnswer::Missing) => return Ground::Nothing(Known::Absent),
        Some(PathAnswer::NotADirectory) => {
            return unknown(format!("{text} is no directory, or leads through a file"));
        }
        Some(PathAnswer::Unanswering) => {
            return unknown(format!("the file system at {text} does not answer"));
        }
        Some(PathAnswer::Failed(why)) => return unknown(why.to_string()),
        Some(PathAnswer::Erring(id, failure)) => {
            return match table.by_id(*id) {
                Some(entry) => erring(path, entry, failure),
                None => unknown(failure.what().to_owned()),
            };
        }
        Some(PathAnswer::OutOfBounds(id)) => {
            return match table.by_id(*id) {
                Some(entry) => untouchable(root, path, entry),
                None => unknown(format!("what is mounted at {text} can't be told")),
            };
        }
        Some(PathAnswer::Directory(answer)) => answer,
    };
    if answer.resolved != *path {
        return unknown(format!(
            "{text} leads through a symbolic link; name the root by its real path {}",
            answer.resolved
        ));
    }
    let Some((entry, location)) = table
        .by_id(answer.mount)
        .and_then(|entry| Some((entry, entry.location(path)?)))
        .filter(|(entry, _)| !entry.root_deleted)
    else {
        return unknown(format!(
            "where {text} lies in its file system can't be told"
        ));
    };
    let is_mount_point = entry.mount_point == *path;
    if root.disk.kind == DiskType::Mount && !is_mount_point {
        return Ground::Nothing(Known::Absent);
    }
    let strayed = !is_mount_point
        && entry.mount_point.as_bytes() == b"/"
        && !root.accepted
        && match (known_fingerprint(&root.disk, ledger), &answer.uuid) {
            (Known::Known(known), Known::Known(now)) => known.filesystem != *now,
            // One that had a UUID is not one that has none.
            (Known::Known(_), Known::Absent) => true,
            _ => false,
        };
    if strayed {
        // It was on a disk of its own: that is not mounted, and its path is a mere directory.
        return Ground::Nothing(Known::Absent);
    }
    let mount = RootMount {
        device: entry.device,
        fs_type: entry.fs_type.to_string(),
        mount_point: entry.mount_point.clone(),
        location,
        is_mount_point,
        // One that failed is more than read-only, and has a code of its own.
        read_only: answer.failure.is_none() && (entry.read_only() || answer.read_only),
        network: false,
        total_bytes: answer.total_bytes,
        free_bytes: answer.free_bytes,
        failure: answer.failure.clone(),
        drive: drive(entry, devices),
    };
    Ground::Standing {
        mount: Box::new(mount),
        lies_on: own_place(table, entry),
        answer: answer.clone(),
    }
}

/// The directory that a mount lies on; where it is mounted on itself (`ReadWritePaths=` of our own
/// unit does that), the one below.
fn own_place(table: &MountTable, entry: &MountEntry) -> Option<FsLocation> {
    let mut entry = entry;
    for _ in 0..table.entries().len() {
        let below = table
            .by_id(entry.parent)
            .filter(|below| below.id != entry.id)?;
        let place = below.location(&entry.mount_point)?;
        if below.shown() != entry.shown() || place != entry.shown() {
            return Some(place);
        }
        entry = below;
    }
    None
}

/// The drive below a mount, as it shows in sysfs.
fn drive(entry: &MountEntry, devices: &[BlockDevice]) -> Option<Drive> {
    let device = device_of(entry, devices)?;
    Some(Drive {
        name: device.name.clone(),
        size_bytes: device.size_bytes.known().copied(),
        serial: device.serial.clone(),
        wwn: device.wwn.clone(),
    })
}

/// A mount as its line in the table tells, of whose file system nothing is asked.
fn unasked(entry: &MountEntry, path: &Raw, location: FsLocation) -> RootMount {
    RootMount {
        device: entry.device,
        fs_type: entry.fs_type.to_string(),
        mount_point: entry.mount_point.clone(),
        location,
        is_mount_point: entry.mount_point == *path,
        read_only: false,
        network: false,
        total_bytes: 0,
        free_bytes: 0,
        failure: None,
        drive: None,
    }
}

/// A mount whose file system answers with errors alone.
fn erring(path: &Raw, entry: &MountEntry, failure: &FsFailure) -> Ground {
    match entry.location(path) {
        Some(location) => Ground::Untouchable {
            mount: Box::new(RootMount {
                failure: Some(failure.clone()),
                ..unasked(entry, path, location)
            }),
            why: failure.what().to_owned(),
        },
        None => Ground::Nothing(Known::unknown(failure.what())),
    }
}

fn untouchable(root: &Wanted, path: &Raw, entry: &MountEntry) -> Ground {
    let why = format!(
        "{} lies on {}, which is never asked: it may not answer",
        root.disk.root, entry.fs_type
    );
    match entry.location(path) {
        Some(location) => Ground::Untouchable {
            mount: Box::new(RootMount {
                read_only: entry.read_only(),
                network: true,
                ..unasked(entry, path, location)
            }),
            why,
        },
        // A link leads there.
        None => Ground::Nothing(Known::unknown(why)),
    }
}

/// What the ledger knows of a root. `Absent`: it was never verified.
fn known_fingerprint(disk: &DiskRef, ledger: &Known<Ledger>) -> Known<Fingerprint> {
    match ledger {
        Known::Known(ledger) => match ledger
            .root(disk)
            .and_then(|entry| entry.fingerprint.clone())
        {
            Some(fingerprint) => Known::Known(fingerprint),
            None => Known::Absent,
        },
        Known::Absent => Known::Absent,
        Known::Unknown(why) => Known::Unknown(why.clone()),
    }
}

/// What the ledger knows of a root.
struct Before {
    fingerprint: Known<Fingerprint>,
    advertised: Option<Megabytes>,
    verified: Option<Verified>,
}

impl Before {
    fn of(disk: &DiskRef, ledger: &Known<Ledger>) -> Self {
        let entry = ledger.known().and_then(|ledger| ledger.root(disk));
        Self {
            fingerprint: known_fingerprint(disk, ledger),
            advertised: entry.and_then(|entry| entry.advertised),
            verified: entry.and_then(|entry| entry.verified.clone()),
        }
    }
}

fn without_look(root: Wanted, mount: Known<RootMount>, before: Before) -> Observed {
    let contents = match &mount {
        Known::Unknown(why) => Contents::unknown(root.disk.kind, &why.0),
        Known::Known(_) | Known::Absent => Contents::absent(),
    };
    Observed {
        facts: facts(root, mount, before, contents),
        targets: Vec::new(),
    }
}

fn standing(
    root: Wanted,
    mount: RootMount,
    lies_on: Option<FsLocation>,
    before: Before,
    contents: Contents,
) -> Observed {
    let target = match root.disk.kind {
        DiskType::Root | DiskType::Path => Target {
            location: FsLocation {
                device: mount.location.device,
                path: mount.location.path.join(paths::VOLUMES),
            },
            own_mount: None,
            hidden: None,
        },
        DiskType::Mount => Target {
            location: mount.location.clone(),
            // A mount at the top of the namespace lies on nothing: then no copy is told apart.
            own_mount: Some(lies_on.unwrap_or_else(|| mount.location.clone())),
            hidden: contents.hidden_lies_on.clone(),
        },
    };
    let mut targets = vec![target];
    if let Known::Known(_) = &contents.hidden {
        // What was moved into the trash may still be open.
        targets.push(Target {
            location: FsLocation {
                device: mount.location.device,
                path: Raw::from("/").join(HIDDEN_OURS),
            },
            own_mount: None,
            hidden: None,
        });
    }
    Observed {
        facts: facts(root, Known::Known(mount), before, contents),
        targets,
    }
}

fn facts(root: Wanted, mount: Known<RootMount>, before: Before, contents: Contents) -> RootFacts {
    RootFacts {
        disk: root.disk,
        named_by: root.named_by,
        mount,
        filesystem: FsFacts {
            present: contents.present,
            ledger: before.fingerprint,
            marker_of: contents
                .ours
                .marker
                .known()
                .and_then(|marker| marker.of.clone()),
            marker: contents.ours.marker.map(|marker| marker.filesystem),
            advertised: before.advertised,
            verified: before.verified,
        },
        view: AgentView::NoAgent,
        dirs: contents.dirs,
        strange: contents.strange,
        trash: contents.ours.trash,
        adopted: contents.ours.adopted,
        content: contents.content,
        hidden: contents.hidden,
    }
}

/// A root whose directory may be looked at.
struct Question {
    kind: DiskType,
    path: Raw,
    mount_id: u64,
    fs_type: String,
    location: FsLocation,
    hidden: HiddenAt,
}

/// What lies on a root.
struct Contents {
    present: Known<Fingerprint>,
    dirs: Known<Vec<DirFacts>>,
    strange: Vec<StrangeEntry>,
    ours: Ours,
    content: Known<MountContent>,
    hidden: Known<HiddenSide>,
    /// The directory that the hidden side's mount lies on.
    hidden_lies_on: Option<FsLocation>,
}

impl Contents {
    fn absent() -> Self {
        Self {
            present: Known::Absent,
            dirs: Known::Absent,
            strange: Vec::new(),
            ours: Ours::absent(),
            content: Known::Absent,
            hidden: Known::Absent,
            hidden_lies_on: None,
        }
    }

    fn unknown(kind: DiskType, why: &str) -> Self {
        let present = Known::unknown(why);
        match kind {
            DiskType::Root | DiskType::Path => Self {
                present,
                dirs: Known::unknown(why),
                ours: Ours::unknown(why),
                ..Self::absent()
            },
            DiskType::Mount => Self {
                present,
                content: Known::unknown(why),
                ..Self::absent()
            },
        }
    }
}

/// Looks at an open root: everything through the one descriptor that was compared with the mount
/// table.
fn look(question: &Question) -> Contents {
    let unknown = |why: String| Contents::unknown(question.kind, &why);
    let path = &question.path;
    let root = match sys::open_root(path.as_path()) {
        Ok(root) => root,
        Err(error) => {
            return unknown(format!("{path} can't be opened: {}", chain(&error)));
        }
    };
    match sys::mount_id(&root) {
        Ok(id) if id.0 == question.mount_id => {}
        Ok(_) => return unknown(format!("the mounts changed while {path} was looked at")),
        Err(errno) => return unknown(format!("{path} can't be looked at: {errno}")),
    }
    let filesystem = match sys::filesystem_uuid(&root) {
        Ok(uuid) => Known::Known(uuid),
        Err(error) => Known::unknown(chain(&IdentityError::NoUuid(error))),
    };
    let folder = Folder {
        fd: root.as_fd(),
        path,
        location: &question.location,
        filesystem: &filesystem,
    };
    let present = volumes::identity(root.as_fd(), &filesystem).map(|directory| Fingerprint {
        filesystem: directory.filesystem.clone(),
        fs_type: question.fs_type.clone(),
        directory,
    });
    match question.kind {
        DiskType::Mount => {
            let found = hidden::look(&question.hidden, &folder, present.known());
            Contents {
                present,
                content: match volumes::content(&folder) {
                    Ok(content) => Known::Known(content),
                    Err(error) => Known::Unknown(error.into()),
                },
                hidden: found.side,
                hidden_lies_on: found.lies_on,
                ours: found.ours,
                ..Contents::absent()
            }
        }
        DiskType::Root | DiskType::Path => Contents {
            present,
            ..volumes_of(&folder)
        },
    }
}

fn volumes_of(root: &Folder<'_>) -> Contents {
    let opened = match root.open(paths::VOLUMES.as_bytes()) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Contents::absent(),
        Err(error) => return Contents::unknown(DiskType::Path, &chain(&error)),
    };
    let path = root.path.join(paths::VOLUMES);
    let location = root.place(paths::VOLUMES.as_bytes());
    let folder = Folder {
        fd: opened.as_fd(),
        path: &path,
        location: &location,
        ..*root
    };
    let ours = trash::observe(&folder);
    match volumes::list(&folder) {
        Ok(Some(listing)) => Contents {
            dirs: Known::Known(listing.dirs),
            strange: listing.strange,
            ours,
            ..Contents::absent()
        },
        Ok(None) => Contents {
            ours,
            ..Contents::absent()
        },
        Err(error) => Contents {
            dirs: Known::Unknown(error.into()),
            ours,
            ..Contents::absent()
        },
    }
}

#[cfg(test)]
mod tests;
