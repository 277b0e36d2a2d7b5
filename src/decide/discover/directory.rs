//! Whether a directory can be a disk: a mount point, or a directory on one.

use std::borrow::Cow;

use super::codes::{Code, Rejection};
use super::judge::{Judge, Wanted};
use super::passes::Passes;
use super::rejections::{failed, fstab_gap, of_class, unreadable};
use super::rules::{Rule, is_plain_absolute};
use crate::decide::facts::{
    BlockDevice, DirectoryAnswer, FsClass, FsFailure, FsLocation, MountEntry, PathAnswer,
    RootMount, SizeRule,
};
use crate::decide::guards::Refusal;
use crate::decide::ledger::LedgerRoot;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::{Bytes, Megabytes, Raw};

impl<'a> Judge<'a> {
    /// What speaks against this directory as a disk.
    pub(super) fn directory(
        &self,
        path: &Raw,
        wanted: Wanted<'_>,
        passes: &mut Passes,
    ) -> Result<Found<'a>, Rejection> {
        if !is_plain_absolute(path) {
            return Err(Rejection::new(
                Code::NotAbsolute,
                format!("{path} is not an absolute path without `.` and `..`"),
                "write the whole path, beginning with /",
            ));
        }
        passes.note(
            Code::NotAbsolute,
            "it is an absolute path without `.` and `..`",
        );
        let kind = match wanted {
            Wanted::WorkDir => DiskType::Root,
            Wanted::Rule(rule) => rule.kind,
        };
        let disk = self.spelt(DiskRef {
            kind,
            root: path.clone(),
        });
        let known = self.input.ledger.root(&disk);
        // What an agent has, it was given as it is.
        let of_agent = self.is_of_agent(&disk);
        if let (Wanted::Rule(_), Some(excluded)) = (wanted, self.excluded(Some(path), None)) {
            return Err(excluded);
        }
        let answer = self.answer(path, kind)?;
        let Some(mount) = self.host().mounts.by_id(answer.mount) else {
            return Err(unreadable(path, "its mount is not in the mount table"));
        };
        passes.note(Code::Unanswering, "its file system answered in time");
        passes.note(Code::NotADirectory, "it is a directory");
        directly(path, answer, kind == DiskType::Root || of_agent, passes)?;
        self.mount_of_directory(path, &answer.resolved, mount, kind)?;
        self.where_it_lay(path, known, mount, answer)?;
        passes.note(
            Code::Missing,
            format!(
                "{} from {} is mounted at {}",
                mount.fs_type, mount.source, mount.mount_point
            ),
        );
        if let Wanted::Rule(rule) = wanted {
            self.by_rule(path, rule, mount, answer, of_agent, passes)?;
            if !of_agent {
                self.beneath(mount, known)?;
                passes.note(
                    Code::Overmounted,
                    "no other disk is mounted below it at its mount point",
                );
            }
        }
        if self.input.agent.emptied.contains(&disk) {
            return Err(Rejection::new(
                Code::Missing,
                format!(
                    "not one of the volumes that the agent holds on {path} is there; it lies on \
                     {}",
                    mount.mount_point
                ),
                format!(
                    "mount its disk, or, if the data are lost, make the directory of a volume at \
                     {path}"
                ),
            ));
        }
        healthy(mount, answer, passes)?;
        self.against_ledger(known, mount, answer, passes)?;
        match mount.location(&answer.resolved) {
            Some(location) => Ok(Found {
                mount,
                answer,
                location,
            }),
            None => Err(unreadable(path, "it does not lie on its mount")),
        }
    }

    /// Another disk under this one, at the same mount point: which of the two is meant can only
    /// be told where it was verified before.
    fn beneath(&self, mount: &MountEntry, known: Option<&LedgerRoot>) -> Result<(), Rejection> {
        if known.is_some_and(|entry| entry.fingerprint.is_some()) {
            return Ok(());
        }
        let below = self.host().mounts.entries().iter().find(|below| {
            below.id != mount.id
                && below.mount_point == mount.mount_point
                && below.class() == FsClass::Local
                && below.device != mount.device
        });
        match below {
            None => Ok(()),
            Some(below) => Err(Rejection::new(
                Code::Overmounted,
                format!(
                    "{} is mounted over another disk, {}, at the same mount point",
                    mount.source, below.source
                ),
                format!("leave one of the two mounted at {}", mount.mount_point),
            )),
        }
    }

    /// What was found at the path, if it is a directory.
    fn answer(&self, path: &Raw, kind: DiskType) -> Result<&'a DirectoryAnswer, Rejection> {
        match self.host().answers.get(path) {
            Some(PathAnswer::Directory(answer)) => Ok(answer),
            Some(PathAnswer::Missing) => Err(self.missing(path, kind)),
            Some(PathAnswer::NotADirectory) => Err(Rejection::new(
                Code::NotADirectory,
                format!("{path} is not a directory"),
                "move it away and make a directory, or name another path",
            )),
            Some(PathAnswer::OutOfBounds(id)) => Err(match self.host().mounts.by_id(*id) {
                Some(mount) => of_class(mount, true),
                None => unreadable(path, "a mount on the way to it must not be asked"),
            }),
            Some(PathAnswer::Unanswering) => Err(Rejection::new(
                Code::Unanswering,
                format!("the file system at {path} did not answer in time"),
                "look at the drive (dmesg) and at processes that hang on it",
            )),
            Some(PathAnswer::Erring(_, failure)) => Err(unhealthy(failure)),
            Some(PathAnswer::Failed(why)) => Err(unreadable(path, &why.0)),
            None => Err(unreadable(path, "it was not looked at")),
        }
    }

    fn missing(&self, path: &Raw, kind: DiskType) -> Rejection {
        if let Some(wanted) = self.fstab_point(path) {
            return fstab_gap(wanted);
        }
        match kind {
            DiskType::Root => Rejection::new(
                Code::Missing,
                format!("agent.work_dir {path} is not there"),
                "set agent.work_dir to the agent's --work_dir, or start the agent once",
            ),
            DiskType::Path => Rejection::new(
                Code::Missing,
                format!("there is no directory {path}"),
                format!("mount its disk, or make the directory: mkdir -p {path}"),
            ),
            DiskType::Mount => Rejection::new(
                Code::Missing,
                format!("there is no mount point {path}"),
                format!("make the directory and mount the disk there: {path}"),
            ),
        }
    }

    /// The longest mount point in `/etc/fstab` that this path is or lies below.
    fn fstab_point(&self, path: &Raw) -> Option<&'a Raw> {
        self.host()
            .fstab
            .known()?
            .iter()
            .filter(|point| path.below(point).is_some())
            .max_by_key(|point| point.as_bytes().len())
    }

    /// What speaks against a directory because of the mount that it lies on.
    fn mount_of_directory(
        &self,
        path: &Raw,
        resolved: &Raw,
        mount: &MountEntry,
        kind: DiskType,
    ) -> Result<(), Rejection> {
        let at_mount_point = mount.mount_point == *resolved;
        if let Some(point) = self.fstab_point(resolved).filter(|point| {
            point
                .below(&mount.mount_point)
                .is_some_and(|tail| !tail.is_empty())
        }) {
            return Err(fstab_gap(point));
        }
        if kind == DiskType::Mount && !at_mount_point {
            return Err(Rejection::new(
                Code::Missing,
                format!(
                    "nothing is mounted at {path}; it lies on {}",
                    mount.mount_point
                ),
                format!("mount the disk at {path}"),
            ));
        }
        match (mount.class(), kind) {
            (FsClass::Local, _) | (FsClass::Layered | FsClass::Memory, DiskType::Root) => Ok(()),
            _ => Err(of_class(mount, true)),
        }
    }

    /// What speaks against a directory that a rule names.
    fn by_rule(
        &self,
        path: &Raw,
        rule: &Rule,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
        of_agent: bool,
        passes: &mut Passes,
    ) -> Result<(), Rejection> {
        let device = self.host().device_of(mount);
        if let Some(excluded) = self.excluded(Some(path), device) {
            return Err(excluded);
        }
        if path.as_str().is_none() {
            return Err(Rejection::new(
                Code::NotUtf8Root,
                format!("{path} is not UTF-8, and Mesos takes its resources as JSON"),
                "mount it at a path of plain characters",
            ));
        }
        passes.note(Code::NotUtf8Root, "its path is UTF-8");
        fits_device(path, rule, mount, device)?;
        if rule.is_configured() {
            passes.note(
                Code::WrongDevice,
                format!(
                    "labels, models and devices of rule {} fit it, or the rule has none",
                    rule.number
                ),
            );
        }
        if of_agent {
            self.beyond_the_system(path, rule, mount, answer)?;
            passes.note(
                Code::NeedsAdditive,
                "the agent has it, so that discovery.filesystems, discovery.min_size and what is \
                 said of removable drives and the system's own disk do not apply",
            );
            return Ok(());
        }
        self.by_taste(path, rule, mount, answer, passes)
    }

    /// A PATH of the agent on the system's own disk, of which nothing is known but its number. A
    /// rule that does not mean that disk says that its own is not mounted, unless a volume of the
    /// agent is seen there; and without a rule it is kept, unless its number is more than there is.
    fn beyond_the_system(
        &self,
        path: &Raw,
        rule: &Rule,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
    ) -> Result<(), Rejection> {
        let disk = self.spelt(DiskRef {
            kind: rule.kind,
            root: path.clone(),
        });
        let known = self.input.ledger.root(&disk);
        let is_verified =
            known.is_some_and(|entry| entry.fingerprint.is_some() || entry.place.is_some());
        let number = known.and_then(|entry| entry.advertised);
        let total = Megabytes::whole(Bytes(answer.total_bytes).whole_megabytes());
        let fits = number.is_none_or(|number| number <= total);
        let is_seen = |volume: &Raw| {
            let answer = self.host().answers.get(volume);
            matches!(answer, Some(PathAnswer::Directory(_)))
        };
        let volumes = self.input.agent.volume_directories(&disk);
        let is_told = rule.is_configured() && !volumes.iter().any(is_seen);
        if is_verified || (fits && !is_told) {
            return Ok(());
        }
        self.not_the_system(path, rule, mount, self.host().device_of(mount))
    }

    /// What speaks against a directory for a disk that no agent has yet.
    fn by_taste(
        &self,
        path: &Raw,
        rule: &Rule,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
        passes: &mut Passes,
    ) -> Result<(), Rejection> {
        let device = self.host().device_of(mount);
        self.not_the_system(path, rule, mount, device)?;
        passes.note(
            Code::OsDisk,
            if self.os.contains(&mount.device) {
                "the rule names the system's own device and gives an explicit size"
            } else {
                "the operating system does not lie on its file system"
            },
        );
        let allowed = &self.input.rules.discovery.filesystems;
        if !allowed.is_empty()
            && !allowed
                .iter()
                .any(|fs_type| fs_type.as_bytes() == mount.fs_type.as_bytes())
        {
            return Err(Rejection::new(
                Code::FilesystemNotAllowed,
                format!("discovery.filesystems does not list {}", mount.fs_type),
                "use one of the listed types, or add this one to the list",
            ));
        }
        passes.note(
            Code::FilesystemNotAllowed,
            if allowed.is_empty() {
                "discovery.filesystems lists none, so every local one may be".into()
            } else {
                Cow::from(format!("discovery.filesystems lists {}", mount.fs_type))
            },
        );
        let can_be_taken_out = device.is_some_and(|device| device.removable.known() == Some(&true));
        let is_named = device.is_some_and(|device| rule.devices.find_device(device).is_some());
        if can_be_taken_out && !is_named {
            return Err(Rejection::new(
                Code::Removable,
                "the drive, or its medium, can be taken out",
                "name the drive in `devices` of the rule if this is meant",
            ));
        }
        passes.note(
            Code::Removable,
            if can_be_taken_out {
                "the drive can be taken out, and the rule names it in `devices`"
            } else {
                "nothing says that the drive can be taken out"
            },
        );
        let smallest = self.input.rules.discovery.min_size;
        if Bytes(answer.total_bytes) < smallest {
            return Err(Rejection::new(
                Code::TooSmall,
                format!(
                    "its {} are less than discovery.min_size = {smallest}",
                    Bytes(answer.total_bytes)
                ),
                "use a larger disk, or lower discovery.min_size",
            ));
        }
        passes.note(
            Code::TooSmall,
            format!(
                "its {} are not less than discovery.min_size = {smallest}",
                Bytes(answer.total_bytes)
            ),
        );
        Ok(())
    }

    /// The operating system's disk is none for Mesos. A directory on it may be an unmounted mount
    /// point, whatever size the rule gives: only a rule that names the device, too, is clear.
    fn not_the_system(
        &self,
        path: &Raw,
        rule: &Rule,
        mount: &MountEntry,
        device: Option<&BlockDevice>,
    ) -> Result<(), Rejection> {
        let is_meant = rule.kind == DiskType::Path
            && matches!(rule.size, Some(SizeRule::Size(_)))
            && device.is_some_and(|device| rule.devices.find_device(device).is_some())
            && path.as_bytes() != b"/";
        if is_meant || !self.os.contains(&mount.device) {
            return Ok(());
        }
        let at = &mount.mount_point;
        if *at == *path {
            return Err(Rejection::new(
                Code::OsDisk,
                format!("the operating system lies on the file system at {at}"),
                "mount a disk of its own there",
            ));
        }
        Err(Rejection::new(
            Code::Missing,
            format!("nothing is mounted at {path} or between it and the system's own disk at {at}"),
            format!(
                "mount its disk; or, if a part of the system's disk is meant, give the rule an \
                 explicit `size` and devices = [\"{}\"]",
                device.map_or_else(|| Raw::from("…"), |device| device.name.clone())
            ),
        ))
    }
}

/// What speaks against the device below a path that a rule names.
pub(super) fn fits_device(
    path: &Raw,
    rule: &Rule,
    mount: &MountEntry,
    device: Option<&BlockDevice>,
) -> Result<(), Rejection> {
    if rule.wants_device(device) {
        return Ok(());
    }
    let lies_on = device.map_or_else(|| mount.source.clone(), |device| device.name.clone());
    Err(Rejection::new(
        Code::WrongDevice,
        format!(
            "{path} lies on {lies_on}, which the labels, models and devices of rule {} do not name",
            rule.number
        ),
        "mount the right disk there, or change the rule",
    ))
}

/// Whether a path leads to its directory by links.
fn directly(
    path: &Raw,
    answer: &DirectoryAnswer,
    may_be_link: bool,
    passes: &mut Passes,
) -> Result<(), Rejection> {
    if answer.resolved != *path && !may_be_link {
        return Err(Rejection::new(
            Code::SymlinkedRoot,
            format!(
                "{path} is a symbolic link, or lies behind one; it is {}",
                answer.resolved
            ),
            format!("name the directory itself: {}", answer.resolved),
        ));
    }
    passes.note(
        Code::SymlinkedRoot,
        if answer.resolved == *path {
            "no symbolic link leads to it".into()
        } else {
            Cow::from(format!(
                "it is {}; ROOT, and what the agent has, may be a link",
                answer.resolved
            ))
        },
    );
    Ok(())
}

fn unhealthy(failure: &FsFailure) -> Rejection {
    let (code, refusal) = match failure {
        FsFailure::Failed(_) => (Code::FilesystemFailed, Refusal::FilesystemFailed),
        FsFailure::DeviceGone(_) => (Code::DeviceGone, Refusal::DeviceGone),
    };
    failed(code, failure.what(), refusal)
}

/// What is wrong with a file system that is mounted.
fn healthy(
    mount: &MountEntry,
    answer: &DirectoryAnswer,
    passes: &mut Passes,
) -> Result<(), Rejection> {
    if let Some(failure) = &answer.failure {
        return Err(unhealthy(failure));
    }
    passes.note(Code::DeviceGone, "its device is there");
    passes.note(
        Code::FilesystemFailed,
        "the file system takes writes, as far as can be seen",
    );
    if mount.read_only() || answer.read_only {
        return Err(Rejection::new(
            Code::ReadOnly,
            format!("the file system at {} is read-only", mount.mount_point),
            "find out why (dmesg), then remount it read-write",
        ));
    }
    passes.note(
        Code::ReadOnly,
        "neither the mount nor the file system is read-only",
    );
    Ok(())
}

/// A directory that nothing speaks against.
pub(super) struct Found<'a> {
    pub(super) mount: &'a MountEntry,
    pub(super) answer: &'a DirectoryAnswer,
    /// Where it lies in its file system.
    pub(super) location: FsLocation,
}

pub(super) fn root_mount(
    mount: &MountEntry,
    resolved: &Raw,
    answer: &DirectoryAnswer,
) -> RootMount {
    RootMount {
        device: mount.device,
        fs_type: mount.fs_type.to_string(),
        mount_point: mount.mount_point.clone(),
        location: mount.location(resolved).unwrap_or_else(|| mount.shown()),
        is_mount_point: mount.mount_point == *resolved,
        read_only: mount.read_only() || answer.read_only,
        network: mount.class() == FsClass::Network,
        total_bytes: answer.total_bytes,
        free_bytes: answer.free_bytes,
        failure: answer.failure.clone(),
        drive: None,
    }
}
