//! The verdict on one mount or path, as far as it does not depend on others.

use std::collections::BTreeSet;

use super::candidate::{Candidate, Judged};
use super::codes::{Code, Rejection};
use super::directory::{Found, fits_device, root_mount};
use super::passes::Passes;
use super::rejections::{no_rule, of_class};
use super::rules::{Rule, Rules};
use super::{DiskVerdict, FilesystemSeen, Input, Subject, Verdict};
use crate::decide::baseline::{plain, same_root};
use crate::decide::facts::{
    BlockDevice, DeviceNumber, DirectoryAnswer, FsClass, HostDisks, Known, MountEntry, PathAnswer,
};
use crate::decide::ledger::LedgerRoot;
use crate::decide::manifest::VOLUME;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::Role;
use crate::units::Raw;

/// Mount points whose file system is the operating system's.
const OS_MOUNT_POINTS: [&str; 12] = [
    "/",
    "/boot",
    "/boot/efi",
    "/boot/firmware",
    "/efi",
    "/etc",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
    "/tmp",
];

/// Who asks for a disk.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// `agent.work_dir`.
    WorkDir,
    /// A `[[disks]]` rule.
    Rule(&'a Rule),
}

/// Judges one by one.
pub(super) struct Judge<'a> {
    pub(super) input: Input<'a>,
    pub(super) rules: &'a Rules,
    /// File systems of the operating system.
    pub(super) os: BTreeSet<DeviceNumber>,
    /// The disks that the agent would miss, as it spells them.
    pub(super) of_agent: &'a [DiskRef],
}

impl<'a> Judge<'a> {
    pub(super) fn new(input: Input<'a>, rules: &'a Rules, of_agent: &'a [DiskRef]) -> Self {
        let os = input
            .host
            .mounts
            .entries()
            .iter()
            .filter(|mount| {
                mount.class().may_be_asked()
                    && mount.class() != FsClass::Memory
                    && mount
                        .mount_point
                        .as_str()
                        .is_some_and(|point| OS_MOUNT_POINTS.contains(&point))
            })
            .map(|mount| mount.device)
            .collect();
        Self {
            input,
            rules,
            os,
            of_agent,
        }
    }

    /// The disk as the agent, or else the ledger, spells it already: Mesos compares roots as text.
    pub(super) fn spelt(&self, disk: DiskRef) -> DiskRef {
        let is_it =
            |known: &&DiskRef| known.kind == disk.kind && same_root(&known.root, &disk.root);
        if let Some(known) = self.of_agent.iter().find(is_it) {
            return known.clone();
        }
        match self.input.ledger.root_spelt_in_any_way(&disk) {
            Some(entry) if entry.advertised.is_some() => entry.disk.clone(),
            Some(_) | None => disk,
        }
    }

    /// Whether an agent would miss it.
    pub(super) fn is_of_agent(&self, disk: &DiskRef) -> bool {
        self.of_agent.contains(disk)
    }

    /// Whether anything is reserved there; `None`: it can't be told.
    pub(super) fn held(&self, disk: &DiskRef) -> Option<bool> {
        match self.input.held {
            Known::Known(held) => Some(held.contains(disk)),
            Known::Absent => Some(false),
            Known::Unknown(_) => None,
        }
    }

    pub(super) fn host(&self) -> &'a HostDisks {
        self.input.host
    }

    /// Names of the devices that the operating system lies on, drives and parts of arrays
    /// included.
    pub(super) fn os_devices(&self) -> BTreeSet<Raw> {
        let mut found = BTreeSet::new();
        let mut pending: Vec<&BlockDevice> = self
            .host()
            .mounts
            .entries()
            .iter()
            .filter(|mount| self.os.contains(&mount.device))
            .filter_map(|mount| self.host().device_of(mount))
            .collect();
        while let Some(device) = pending.pop() {
            if found.insert(device.name.clone()) {
                pending.extend(
                    device
                        .parent
                        .iter()
                        .chain(&device.slaves)
                        .filter_map(|name| self.host().device_named(name)),
                );
            }
        }
        found
    }

    /// Whether `discovery.exclude` names it.
    pub(super) fn excluded(
        &self,
        path: Option<&Raw>,
        device: Option<&BlockDevice>,
    ) -> Option<Rejection> {
        let pattern = path
            .and_then(|path| self.rules.exclude_paths.find(path))
            .or_else(|| device.and_then(|device| self.rules.exclude_devices.find_device(device)))?;
        Some(Rejection::plain(
            Code::Excluded,
            format!("discovery.exclude names it: \"{}\"", pattern.text),
        ))
    }

    /// The row of `agent.work_dir`.
    pub(super) fn work_dir(&self) -> Judged {
        let path = &self.input.rules.work_dir;
        let disk = DiskRef {
            kind: DiskType::Root,
            root: path.clone(),
        };
        let rule = &self.input.rules.root;
        let mut row = self.path_row(path, disk, rule.role.clone());
        let own_mount = row.verdict.mount.as_ref().and_then(|mount| {
            let entry = self.host().mounts.mount_at(&mount.mount_point)?;
            mount.is_mount_point.then_some(entry.id)
        });
        row.verdict.subject = Subject::WorkDir(own_mount);
        let verdict = if rule.advertise {
            let passes = &mut row.verdict.passes;
            passes.note(Code::NotAdvertised, "root.advertise is true");
            self.directory(path, Wanted::WorkDir, passes)
        } else {
            Err(Rejection::new(
                Code::NotAdvertised,
                "root.advertise is false: an entry of 0 MB keeps the agent from detecting it",
                "set root.advertise = true to offer it",
            ))
        };
        self.conclude(row, verdict, Wanted::WorkDir)
    }

    /// The row of a mount.
    pub(super) fn mount(&self, mount: &MountEntry) -> Judged {
        let device = self.host().device_of(mount);
        let rule = self
            .rules
            .first(&mount.mount_point, device)
            .or_else(|| self.rule_by_path(&mount.mount_point));
        let answer = self.host().answers.get(&mount.mount_point);
        let asked = match answer {
            Some(PathAnswer::Directory(answer)) if answer.mount == mount.id => Some(answer),
            _ => None,
        };
        let mut row = Judged {
            verdict: DiskVerdict {
                subject: Subject::Mount(mount.id),
                disk: rule.map(|rule| {
                    self.spelt(DiskRef {
                        kind: rule.kind,
                        root: mount.mount_point.clone(),
                    })
                }),
                path: Some(mount.mount_point.clone()),
                role: rule.map(|rule| rule.role.clone()),
                device: device.cloned(),
                filesystem: Some(self.filesystem(mount, asked)),
                mount: asked.map(|answer| root_mount(mount, &mount.mount_point, answer)),
                passes: Passes::default(),
                verdict: Verdict::Rejected(no_rule(&mount.mount_point)),
                last_good: None,
            },
            candidate: None,
        };
        let passes = &mut row.verdict.passes;
        let by_itself = self.mount_by_itself(mount, device, rule.is_some(), passes);
        let Some(rule) = rule else {
            let rejection = by_itself.err().unwrap_or_else(|| {
                if self.os.contains(&mount.device) {
                    Rejection::plain(Code::OsDisk, "the operating system lies on it")
                } else {
                    no_rule(&mount.mount_point)
                }
            });
            return Judged {
                verdict: DiskVerdict {
                    verdict: Verdict::Rejected(rejection),
                    ..row.verdict
                },
                candidate: None,
            };
        };
        passes.note(Code::NoRule, named_by(rule));
        let verdict = by_itself.and_then(|()| {
            // Only what fits its rule in all, or is named exactly, was asked.
            if answer.is_none() {
                fits_device(&mount.mount_point, rule, mount, device)?;
            }
            self.directory(&mount.mount_point, Wanted::Rule(rule), passes)
        });
        self.conclude(row, verdict, Wanted::Rule(rule))
    }

    /// The rule that names this path, although its labels, models or devices do not fit: for an
    /// exact path, and for a disk that was advertised before. It is rejected as such, not as
    /// something that no rule names.
    fn rule_by_path(&self, path: &Raw) -> Option<&'a Rule> {
        let was_advertised = |kind| {
            let disk = DiskRef {
                kind,
                root: path.clone(),
            };
            self.input
                .ledger
                .root_spelt_in_any_way(&disk)
                .is_some_and(|entry: &LedgerRoot| entry.advertised.is_some())
        };
        self.rules.exact(path).or_else(|| {
            self.rules
                .disks
                .iter()
                .find(|rule| rule.names_path(path) && was_advertised(rule.kind))
        })
    }

    /// What speaks against a mount before its file system is asked.
    fn mount_by_itself(
        &self,
        mount: &MountEntry,
        device: Option<&BlockDevice>,
        is_named: bool,
        passes: &mut Passes,
    ) -> Result<(), Rejection> {
        if let Some(excluded) = self.excluded(Some(&mount.mount_point), device) {
            return Err(excluded);
        }
        passes.note(Code::Excluded, "discovery.exclude does not name it");
        if mount.class() != FsClass::Local {
            return Err(of_class(mount, is_named));
        }
        passes.note(
            Code::NetworkFilesystem,
            format!("{} is a local file system on a block device", mount.fs_type),
        );
        if let Some(hiding) = self.host().mounts.hidden_by(mount) {
            return Err(Rejection::new(
                Code::Overmounted,
                format!(
                    "the mount at {} ({} from {}) hides it",
                    hiding.mount_point, hiding.fs_type, hiding.source
                ),
                format!("unmount what hides it: umount {}", hiding.mount_point),
            ));
        }
        passes.note(Code::Overmounted, "no other mount hides it");
        if let Some(shown) = self.hidden_side_of(mount, device) {
            return Err(Rejection::plain(
                Code::HiddenSide,
                format!("the hidden side of {}", shown.mount_point),
            ));
        }
        if mount.root_deleted {
            return Err(Rejection::new(
                Code::DeletedRoot,
                format!(
                    "the directory {} that is bound there has been removed",
                    mount.root
                ),
                format!("unmount it: umount {}", mount.mount_point),
            ));
        }
        Ok(())
    }

    /// The mount of which this one is the hidden side, as `disk prepare` lays it out: a whole file
    /// system in a folder that has its UUID as name, and its `volume` bound elsewhere. Told from
    /// the tables alone; a sweep asks the marker as well.
    fn hidden_side_of(
        &self,
        mount: &MountEntry,
        device: Option<&BlockDevice>,
    ) -> Option<&'a MountEntry> {
        let name = mount
            .mount_point
            .as_bytes()
            .rsplit(|byte| *byte == b'/')
            .next()?;
        if !mount.shows_whole_filesystem() || device?.uuid()?.as_bytes() != name {
            return None;
        }
        self.host()
            .mounts
            .entries()
            .iter()
            .find(|other| other.device == mount.device && other.root == Raw::from("/").join(VOLUME))
    }

    /// Rows for the rules' exact paths that are no mount points.
    pub(super) fn exact_paths(&self) -> Vec<Judged> {
        let mut seen = BTreeSet::new();
        let mut rows = Vec::new();
        for (rule, path) in self.rules.exact_paths() {
            let has_row = self
                .host()
                .mounts
                .entries()
                .iter()
                .any(|mount| mount.mount_point == *path);
            if has_row || *path == self.input.rules.work_dir || !seen.insert(path.clone()) {
                continue;
            }
            let disk = self.spelt(DiskRef {
                kind: rule.kind,
                root: path.clone(),
            });
            let mut row = self.path_row(path, disk, rule.role.clone());
            let passes = &mut row.verdict.passes;
            passes.note(Code::NoRule, named_by(rule));
            let verdict = self.directory(path, Wanted::Rule(rule), passes);
            rows.push(self.conclude(row, verdict, Wanted::Rule(rule)));
        }
        rows
    }

    /// Rows for disks that were advertised, that a rule still names, and that are not there.
    pub(super) fn forgotten(&self, rows: &[Judged]) -> Vec<Judged> {
        self.input
            .ledger
            .roots
            .iter()
            .filter(|entry| entry.advertised.is_some() && entry.disk.kind != DiskType::Root)
            .filter(|entry| {
                !rows.iter().any(|row| {
                    row.verdict
                        .disk
                        .as_ref()
                        .is_some_and(|disk| same_root(&disk.root, &entry.disk.root))
                })
            })
            .filter_map(|entry| {
                let path = plain(&entry.disk.root);
                let rule = self
                    .rules
                    .disks
                    .iter()
                    .find(|rule| rule.kind == entry.disk.kind && rule.names_path(&path))?;
                let mut row = self.path_row(&path, entry.disk.clone(), rule.role.clone());
                row.reject(Rejection::new(
                    Code::Missing,
                    "it was advertised before, and nothing is mounted there now",
                    format!(
                        "mount it again, or take it out of the rules: {}",
                        entry.disk.root
                    ),
                ));
                Some(row)
            })
            .collect()
    }

    /// Rows for disks of the agent that a rule takes for something else.
    pub(super) fn unshown(&self, rows: &[Judged]) -> Vec<Judged> {
        let is_shown = |disk: &DiskRef| {
            rows.iter()
                .any(|row| row.verdict.disk.as_ref() == Some(disk))
        };
        self.of_agent
            .iter()
            .filter(|disk| disk.kind != DiskType::Root && !is_shown(disk))
            .map(|disk| {
                let path = plain(&disk.root);
                let mut row = self.path_row(&path, disk.clone(), Role::new("*"));
                row.reject(Rejection::new(
                    Code::NoRule,
                    format!(
                        "the rules take {path} for something else than a {}",
                        disk.kind
                    ),
                    format!("name it as what the agent has: type = \"{}\"", disk.kind),
                ));
                row
            })
            .collect()
    }

    /// A row for a path, with what was found there.
    fn path_row(&self, path: &Raw, disk: DiskRef, role: Role) -> Judged {
        let found = self.host().answers.get(path).and_then(|answer| {
            let PathAnswer::Directory(answer) = answer else {
                return None;
            };
            Some((self.host().mounts.by_id(answer.mount)?, answer))
        });
        let device = found.and_then(|(mount, _)| self.host().device_of(mount));
        Judged {
            verdict: DiskVerdict {
                subject: Subject::Path(path.clone()),
                path: Some(path.clone()),
                role: Some(role),
                device: device.cloned(),
                filesystem: found.map(|(mount, answer)| self.filesystem(mount, Some(answer))),
                mount: found.map(|(mount, answer)| root_mount(mount, &answer.resolved, answer)),
                passes: Passes::default(),
                verdict: Verdict::Rejected(no_rule(path)),
                disk: Some(disk),
                last_good: None,
            },
            candidate: None,
        }
    }

    fn conclude(
        &self,
        mut row: Judged,
        verdict: Result<Found<'_>, Rejection>,
        wanted: Wanted<'_>,
    ) -> Judged {
        let (found, disk) = match (verdict, row.verdict.disk.clone()) {
            (Ok(found), Some(disk)) => (found, disk),
            (Err(rejection), _) => {
                row.reject(rejection);
                return row;
            }
            (Ok(_), None) => return row,
        };
        let known = self.input.ledger.root(&disk).is_some();
        let (rule, size) = match wanted {
            Wanted::WorkDir => (0, Some(self.input.rules.root.size)),
            Wanted::Rule(rule) => (rule.number, rule.size),
        };
        let place = self
            .host()
            .mounts
            .entries()
            .iter()
            .position(|mount| mount.id == found.mount.id)
            .unwrap_or(usize::MAX);
        match self.claim(&disk, &row.verdict, size, &found) {
            Err(rejection) => row.reject(rejection),
            Ok((claim, form)) => {
                row.verdict.role = Some(form.role.clone());
                row.candidate = Some(Candidate {
                    rule,
                    place,
                    known,
                    on: self.on(found.mount, found.answer),
                    location: found.location,
                    claim,
                    form,
                    disk,
                });
            }
        }
        row
    }

    fn filesystem(&self, mount: &MountEntry, answer: Option<&DirectoryAnswer>) -> FilesystemSeen {
        let device = self.host().device_of(mount);
        FilesystemSeen {
            fs_type: mount.fs_type.clone(),
            uuid: answer
                .and_then(|answer| answer.uuid.known().cloned())
                .or_else(|| Some(device?.uuid()?.to_owned())),
            label: device.and_then(BlockDevice::label).cloned(),
            space: answer.map(|answer| (answer.total_bytes, answer.free_bytes)),
        }
    }
}

fn named_by(rule: &Rule) -> String {
    if !rule.is_configured() {
        return format!(
            "no [[disks]] rule names it; the agent has it as {}",
            rule.kind
        );
    }
    format!("[[disks]] rule {} names it as {}", rule.number, rule.kind)
}
