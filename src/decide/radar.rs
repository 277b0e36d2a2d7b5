//! The double-mount radar: volumes that are mounted, or used, as they should not be.
//!
//! An operator at scale saw a MOUNT volume emptied by the sandbox collection of a container that was
//! long gone: its mount of the volume had stayed behind, and the disk was mounted twice (MESOS-7366).
//! What keeps such a volume from being touched are the guards (`in_use_mount`, `in_use_fd`,
//! `mount_inside`); here it is said before anything is to be done with it, by name, and since when.
//!
//! No alarm: one mounting in many namespaces (every container's namespace inherits what others
//! have mounted; copies lie on the same directory, see [`Mounting`]), several mountings of one
//! container and those nested in it (pods; Docker's own bind of what lies in the sandbox), volumes
//! that Mesos shares, and a MOUNT disk's own mount, which is no use of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::authority::{Claims, our_agents};
use super::facts::{ContainerRun, Facts, FsLocation, Holder, Known, Mounting, RunEnd, Why};
use super::guards::{Reason, Refusal};
use super::memory::Memory;
use super::roots::RootView;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::units::{Raw, Span};

/// How long a container whose process is gone is left to the agent that runs, before it counts as
/// dead: it has to notice, and to unmount.
const CLEANUP: Span = Span::seconds(60);

/// How many alarms are remembered; further ones are raised without a time.
const REMEMBERED: usize = 512;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A volume that is not shared is mounted more than once, and not for one container.
    MountedTwice,
    /// A container that has ended still has it mounted.
    DeadContainer,
    /// It is in use, although no authority names it.
    InUseDestroyed,
    /// Something is mounted inside it.
    MountedInside,
}

impl AlarmKind {
    /// All of them, the most harmful first.
    pub const ALL: [Self; 4] = [
        Self::MountedTwice,
        Self::DeadContainer,
        Self::InUseDestroyed,
        Self::MountedInside,
    ];

    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MountedTwice => "mounted_twice",
            Self::DeadContainer => "dead_container",
            Self::InUseDestroyed => "in_use_destroyed",
            Self::MountedInside => "mounted_inside",
        }
    }

    /// What is so: half a sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MountedTwice => "is mounted more than once, and Mesos does not share it",
            Self::DeadContainer => "is still mounted for a container that has ended",
            Self::InUseDestroyed => "is in use, although Mesos knows no such volume any more",
            Self::MountedInside => "has something mounted inside it",
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::MountedTwice => {
                "unmount the one that no live task needs, before a sandbox collection or a destroy \
                 walks into it"
            }
            Self::DeadContainer => {
                "unmount it there (`umount`, or `nsenter -t PID -m umount`), or end the process that \
                 keeps the mount namespace"
            }
            Self::InUseDestroyed => {
                "end the process, or adopt the volume if its data is still wanted; it is kept until then"
            }
            Self::MountedInside => {
                "unmount what lies inside: an agent that destroys the volume empties it first"
            }
        }
    }

    /// What is so where there is none: half a sentence.
    #[must_use]
    pub const fn passed(self) -> &'static str {
        match self {
            Self::MountedTwice => "mounted for one container at most, or shared",
            Self::DeadContainer => "no container that has ended has it mounted",
            Self::InUseDestroyed => "named, or not in use",
            Self::MountedInside => "nothing is mounted inside",
        }
    }

    /// The guard that keeps a volume with this alarm.
    #[must_use]
    pub const fn guard(self) -> Refusal {
        match self {
            Self::MountedTwice | Self::DeadContainer => Refusal::InUseMount,
            Self::InUseDestroyed => Refusal::InUseFd,
            Self::MountedInside => Refusal::MountInside,
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// When an alarm was first raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmSince {
    /// What is wrong.
    pub kind: AlarmKind,
    /// Where.
    pub path: Raw,
    /// Lived time of the first pass that saw it.
    pub lived: Span,
    /// Seconds since 1970 then, for display.
    pub wall_seconds: i64,
}

/// Somebody who uses a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct User {
    /// The container, where one could be told.
    pub container: Option<Raw>,
    /// By what it is known to have ended.
    pub ended: Option<RunEnd>,
    /// How: `mounted at /…`, `open`.
    pub how: String,
    /// The mount namespace, where it is not that of pid 1.
    pub namespace: Option<Raw>,
    /// The first processes; empty for what the kernel holds, and for the namespace of pid 1.
    pub pids: Vec<i32>,
    /// The name of the first.
    pub command: Raw,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)?;
        if let Some(container) = &self.container {
            write!(f, " of container {container}")?;
        }
        match self.ended {
            Some(RunEnd::Sentinel) => f.write_str(", which has ended")?,
            Some(RunEnd::ProcessGone(pid)) => write!(f, ", whose process {pid} is gone")?,
            None => {}
        }
        // The first stands for all: the others come and go, and each would be a new line in the log.
        if let Some(pid) = self.pids.first() {
            write!(f, ", pid {pid}")?;
            if !self.command.is_empty() {
                write!(f, " ({})", self.command)?;
            }
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        Ok(())
    }
}

/// A volume that is mounted or used as it should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// The volume.
    pub volume: VolumeKey,
    /// The disk it lies on.
    pub disk: DiskRef,
    /// Where it lies.
    pub path: Raw,
    /// Who uses it.
    pub users: Vec<User>,
    /// Seconds since 1970 when it was first seen, now or by an earlier pass; `None` where there are
    /// too many to remember.
    pub since: Option<i64>,
    /// Lived time since then.
    pub seen_for: Span,
}

impl Alarm {
    /// Who was seen.
    #[must_use]
    pub fn evidence(&self) -> String {
        let users: Vec<String> = self.users.iter().map(ToString::to_string).collect();
        users.join("; ")
    }

    /// The alarm as a reason to keep the volume.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let detail = format!("{}: {}", self.kind, self.evidence());
        Reason::new(self.kind.guard(), detail)
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {} {} ({}): {}",
            self.volume,
            self.path,
            self.kind.reason(),
            self.kind,
            self.evidence()
        )
    }
}

/// Every alarm of these facts, with the times that the memory knows. `Unknown` where it could not
/// be seen who uses what: no alarm then means nothing. Never `Absent`.
#[must_use]
pub fn alarms(
    facts: &Facts,
    claims: &Claims,
    views: &[RootView<'_>],
    memory: &Memory,
) -> Known<Vec<Alarm>> {
    match seen(facts, claims, views, memory) {
        Ok(found) => {
            let lived = memory.clock.lived;
            let agent_runs = !our_agents(&facts.agent).is_empty();
            Known::Known(
                found
                    .into_iter()
                    .map(|mut alarm| {
                        let since = since(memory, &alarm);
                        alarm.since = since.map(|since| since.wall_seconds);
                        alarm.seen_for = since.map_or(Span::ZERO, |since| lived.minus(since.lived));
                        alarm
                    })
                    .filter(|alarm| !(agent_runs && is_young(alarm)))
                    .collect(),
            )
        }
        Err(why) => Known::Unknown(why),
    }
}

/// Whether the agent may still be about to clean up behind a process that ended.
fn is_young(alarm: &Alarm) -> bool {
    alarm.kind == AlarmKind::DeadContainer
        && alarm.seen_for < CLEANUP
        && !alarm
            .users
            .iter()
            .any(|user| user.ended == Some(RunEnd::Sentinel))
}

/// Notes when each was first seen, and forgets those that are over. While it can't be seen who uses
/// what, nothing is over.
pub(in crate::decide) fn note(
    memory: &mut Memory,
    facts: &Facts,
    claims: &Claims,
    views: &[RootView<'_>],
) {
    let Ok(found) = seen(facts, claims, views, memory) else {
        return;
    };
    let mut kept: Vec<AlarmSince> = found
        .iter()
        .filter_map(|alarm| since(memory, alarm).cloned())
        .collect();
    for alarm in &found {
        if kept.len() >= REMEMBERED {
            break;
        }
        if since(memory, alarm).is_none() {
            kept.push(AlarmSince {
                kind: alarm.kind,
                path: alarm.path.clone(),
                lived: memory.clock.lived,
                wall_seconds: facts.host.now.wall_seconds,
            });
        }
    }
    kept.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    memory.alarms = kept;
}

fn since<'a>(memory: &'a Memory, alarm: &Alarm) -> Option<&'a AlarmSince> {
    memory
        .alarms
        .iter()
        .find(|since| since.kind == alarm.kind && since.path == alarm.path)
}

/// A place where a volume lies.
struct Subject<'a> {
    key: VolumeKey,
    disk: &'a DiskRef,
    path: Raw,
    /// Whether an authority names it.
    named: bool,
    /// Whether Mesos shares it between containers.
    shared: bool,
}

fn seen(
    facts: &Facts,
    claims: &Claims,
    views: &[RootView<'_>],
    memory: &Memory,
) -> Result<Vec<Alarm>, Why> {
    let (mountings, holders) = match (&facts.mountings, &facts.holders) {
        (Known::Known(mountings), Known::Known(holders)) => (mountings, holders),
        (Known::Unknown(why), _) | (_, Known::Unknown(why)) => return Err(why.clone()),
        (Known::Absent, _) | (_, Known::Absent) => {
            return Err(Why("who uses what was not looked at".to_owned()));
        }
    };
    if mountings.is_empty() && holders.is_empty() {
        return Ok(Vec::new());
    }
    let subjects = subjects(facts, claims, views, memory);
    let containers = Containers::new(facts);
    // Whether absence of a name means something.
    let certain = claims.doubts.is_empty() && claims.empty.is_none() && memory.certain;
    let agents: BTreeSet<i32> = our_agents(&facts.agent).into_iter().collect();

    let mut by_place: BTreeMap<&FsLocation, (Vec<&Mounting>, Vec<&Holder>)> = BTreeMap::new();
    for mounting in mountings {
        if let Some(place) = above(&subjects, &mounting.location) {
            by_place.entry(place).or_default().0.push(mounting);
        }
    }
    for holder in holders {
        if let Some(place) = above(&subjects, &holder.location) {
            by_place.entry(place).or_default().1.push(holder);
        }
    }
    let mut found = Vec::new();
    for (place, (mountings, holders)) in by_place {
        let Some(subject) = subjects.get(place) else {
            continue;
        };
        let (inside, of_it): (Vec<&Mounting>, Vec<&Mounting>) =
            mountings.into_iter().partition(|mounting| mounting.inside);
        // Mounted on itself, as systemd does with `ReadWritePaths=`.
        let on_itself = |mounting: &Mounting| mounting.lies_on.as_ref() == Some(&mounting.location);
        let itself: BTreeSet<&FsLocation> = of_it
            .iter()
            .filter(|mounting| on_itself(mounting))
            .map(|mounting| &mounting.location)
            .collect();
        let of_it: Vec<(&Mounting, Option<Raw>)> = of_it
            .into_iter()
            .filter(|mounting| !on_itself(mounting))
            .map(|mounting| (mounting, container(mounting)))
            .collect();
        let users = |mountings: &[(&Mounting, Option<Raw>)]| -> Vec<User> {
            mountings
                .iter()
                .map(|(mounting, container)| containers.user(mounting, container.clone()))
                .collect()
        };
        let mut raise = |kind, users: Vec<User>| {
            if !users.is_empty() {
                found.push(Alarm {
                    kind,
                    volume: subject.key.clone(),
                    disk: subject.disk.clone(),
                    path: subject.path.clone(),
                    users,
                    since: None,
                    seen_for: Span::ZERO,
                });
            }
        };
        if !subject.shared && is_twice(&of_it) {
            raise(AlarmKind::MountedTwice, users(&of_it));
        }
        let dead: Vec<(&Mounting, Option<Raw>)> = of_it
            .iter()
            .filter(|(_, container)| {
                container
                    .as_ref()
                    .is_some_and(|id| containers.end(id).is_some())
            })
            .cloned()
            .collect();
        raise(AlarmKind::DeadContainer, users(&dead));
        if certain && !subject.named {
            let mut all = users(&of_it);
            all.extend(
                holders
                    .iter()
                    .filter(|holder| holder.mount_point.is_none() && !agents.contains(&holder.pid))
                    .map(|holder| of_holder(holder)),
            );
            raise(AlarmKind::InUseDestroyed, all);
        }
        let inside: Vec<(&Mounting, Option<Raw>)> = inside
            .into_iter()
            .filter(|mounting| !itself.contains(&mounting.location))
            .map(|mounting| (mounting, container(mounting)))
            .collect();
        raise(AlarmKind::MountedInside, users(&inside));
    }
    found.sort_by(|a, b| (&a.volume, a.kind, &a.path).cmp(&(&b.volume, b.kind, &b.path)));
    Ok(found)
}

/// Where volumes lie, held or not, and what of them lies in the trash.
fn subjects<'a>(
    facts: &'a Facts,
    claims: &Claims,
    views: &'a [RootView<'a>],
    memory: &Memory,
) -> HashMap<FsLocation, Subject<'a>> {
    let mut subjects = HashMap::new();
    let subject = |key: &VolumeKey, disk: &'a DiskRef, path: Raw| {
        let claim = claims.get(key);
        Subject {
            key: key.clone(),
            disk,
            path,
            named: claim.is_some(),
            shared: claim.is_some_and(|claim| claim.shared),
        }
    };
    for root in &facts.roots {
        for entry in root.trash.known().into_iter().flatten() {
            if let (Known::Known(manifest), Known::Known(place)) =
                (&entry.manifest, &entry.location)
            {
                let path = root.trash_path().join(&entry.id.0);
                subjects.insert(place.clone(), subject(&manifest.volume, &root.disk, path));
            }
        }
    }
    for view in views {
        let disk = &view.root.disk;
        for (key, dir) in &view.dirs {
            if let Known::Known(place) = &dir.location {
                let path = dir.path(disk);
                subjects.insert(place.clone(), subject(key, disk, path));
            }
        }
        if disk.kind != DiskType::Mount {
            continue;
        }
        let tenant = claims.holder_of(disk).cloned().or_else(|| {
            let gone = memory.volumes.iter().find(|record| {
                record.gone.is_some() && record.places.iter().any(|place| place.disk == *disk)
            });
            gone.map(|record| record.key.clone())
        });
        if let (Known::Known(mount), Some(key)) = (&view.root.mount, tenant) {
            let subject = subject(&key, disk, disk.root.clone());
            subjects.insert(mount.location.clone(), subject);
        }
    }
    subjects
}

/// The deepest place of a volume that this one is or lies in.
fn above<'a>(
    subjects: &'a HashMap<FsLocation, Subject<'_>>,
    location: &FsLocation,
) -> Option<&'a FsLocation> {
    let mut place = location.clone();
    loop {
        if let Some((found, _)) = subjects.get_key_value(&place) {
            return Some(found);
        }
        let bytes = place.path.as_bytes();
        let slash = bytes.iter().rposition(|&byte| byte == b'/')?;
        let parent = match bytes.get(..slash) {
            Some([]) if bytes.len() > 1 => Raw::from("/"),
            Some([]) | None => return None,
            Some(parent) => Raw::from(parent),
        };
        place.path = parent;
    }
}

/// The container that a mounting was made for.
fn container(mounting: &Mounting) -> Option<Raw> {
    let lies_on = mounting.lies_on.as_ref().map(|place| &place.path);
    let points = mounting.views.iter().map(|view| &view.mount_point);
    let by_path = lies_on
        .into_iter()
        .chain(points)
        .find_map(paths::container_of)
        .map(|path| path.container);
    by_path
        .or_else(|| {
            // A namespace that shows one sandbox by itself belongs to that container; one that
            // shows more is a host's.
            mounting
                .views
                .iter()
                .filter(|view| !view.host)
                .find_map(|view| match view.sandboxes.as_slice() {
                    [one] => Some(one.clone()),
                    [] | [_, _, ..] => None,
                })
        })
        .or_else(|| {
            mounting
                .views
                .iter()
                .filter(|view| !view.host)
                .find_map(|view| view.cgroup.clone())
        })
}

/// Whether these mountings are for more than one container, or for one and for somebody else.
fn is_twice(mountings: &[(&Mounting, Option<Raw>)]) -> bool {
    let containers: BTreeSet<&Raw> = mountings
        .iter()
        .filter_map(|(_, container)| container.as_ref())
        .collect();
    let others = mountings
        .iter()
        .filter(|(_, container)| container.is_none())
        .count();
    containers.len().saturating_add(others) > 1
}

fn of_holder(holder: &Holder) -> User {
    use super::facts::HolderKind;
    let how = match holder.kind {
        HolderKind::MountOf | HolderKind::MountPoint => "mounted",
        HolderKind::OpenFile => "open",
        HolderKind::WorkingDirectory => "a working directory",
        HolderKind::Mapping => "mapped",
        HolderKind::Swap => "a swap file",
    };
    User {
        container: None,
        ended: None,
        how: how.to_owned(),
        namespace: None,
        pids: (holder.pid > 0).then_some(holder.pid).into_iter().collect(),
        command: holder.command.clone(),
    }
}

/// What is known of containers.
struct Containers<'a>(BTreeMap<&'a Raw, &'a ContainerRun>);

impl<'a> Containers<'a> {
    fn new(facts: &'a Facts) -> Self {
        let runs = facts.containers.known().into_iter().flatten();
        Self(runs.map(|run| (&run.id, run)).collect())
    }

    fn end(&self, id: &Raw) -> Option<RunEnd> {
        self.0.get(id)?.ended.known().copied()
    }

    fn user(&self, mounting: &Mounting, container: Option<Raw>) -> User {
        let ended = container.as_ref().and_then(|id| self.end(id));
        let first = mounting.views.first();
        let foreign = first.filter(|view| !view.host);
        User {
            how: match first {
                Some(view) => format!("mounted at {}", view.mount_point),
                None => "mounted".to_owned(),
            },
            namespace: foreign.map(|view| view.namespace.clone()),
            pids: foreign.map(|view| view.pids.clone()).unwrap_or_default(),
            command: foreign.map(|view| view.command.clone()).unwrap_or_default(),
            container,
            ended,
        }
    }
}
