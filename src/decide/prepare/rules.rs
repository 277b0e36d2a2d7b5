//! The rules of a preparation. Every one is tried as far as the facts go, and each keeps its
//! verdict: an operator sees every lock on the door, and what opened the others.

use serde::{Deserialize, Serialize};

use super::{Tried, steps};
use crate::decide::facts::{
    BlockDevice, Content, Known, MountEntry, MountPoint, PrepareFacts, PrepareRequest,
    PreparedDisk, Stage,
};
use crate::mesos::disk::DiskType;
use crate::units::{Bytes, Raw};

/// A rule, by its stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The device is there, and is a block device that the kernel lists.
    NoDevice,
    /// The word that confirms it is its own.
    WrongSerial,
    /// Records of earlier runs can be read, and none of them speaks against this one.
    Records,
    /// The kernel lets it be written.
    ReadOnly,
    /// It is large enough.
    TooSmall,
    /// It has no partitions.
    Partitioned,
    /// No other device is made of it: LVM, RAID, multipath, bcache, encryption.
    HasHolders,
    /// It is not one of several paths to one drive.
    Multipath,
    /// It is not in use as swap.
    InUseSwap,
    /// It is not mounted.
    Mounted,
    /// The kernel opens it exclusively: nobody uses it in whatever way.
    Busy,
    /// No program finds a signature on it.
    HasSignature,
    /// Its first and last MiB hold nothing.
    NotBlank,
    /// The advertised root can be mounted on.
    Place,
    /// `/etc/fstab` wants nothing else there.
    Fstab,
    /// The root is no other disk's, and lies neither in nor around one.
    PlaceTaken,
    /// The programs that are needed are there.
    Programs,
    /// The agent's files, the ledger and the record name the root as a prepared one.
    NotPrepared,
    /// Nothing of the agent's is on the disk: no volume, no reservation, no operation.
    Held,
    /// What the agent's files say is known.
    AuthorityUnknown,
    /// No running agent offers the disk.
    Offered,
    /// No process uses the disk.
    InUse,
    /// Its trash is empty.
    Trash,
    /// No destroy is owed on it, and it is not being emptied.
    Owed,
}

impl Rule {
    /// The code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoDevice => "no_device",
            Self::WrongSerial => "wrong_serial",
            Self::Records => "records",
            Self::ReadOnly => "read_only",
            Self::TooSmall => "too_small",
            Self::Partitioned => "partitioned",
            Self::HasHolders => "has_holders",
            Self::Multipath => "multipath",
            Self::InUseSwap => "in_use_swap",
            Self::Mounted => "mounted",
            Self::Busy => "busy",
            Self::HasSignature => "has_signature",
            Self::NotBlank => "not_blank",
            Self::Place => "place",
            Self::Fstab => "fstab",
            Self::PlaceTaken => "place_taken",
            Self::Programs => "programs",
            Self::NotPrepared => "not_prepared",
            Self::Held => "held",
            Self::AuthorityUnknown => "authority_unknown",
            Self::Offered => "offered",
            Self::InUse => "in_use",
            Self::Trash => "trash",
            Self::Owed => "owed",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

/// The verdicts so far.
#[derive(Debug, Default)]
pub(super) struct Tries(Vec<Tried>);

impl Tries {
    pub(super) fn pass(&mut self, rule: Rule, evidence: impl Into<String>) {
        self.0.push(Tried {
            rule,
            passed: true,
            evidence: evidence.into(),
            remedy: None,
        });
    }

    pub(super) fn fail(
        &mut self,
        rule: Rule,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Tried {
            rule,
            passed: false,
            evidence: evidence.into(),
            remedy: Some(remedy.into()),
        });
    }

    pub(super) fn into_all(self) -> Vec<Tried> {
        self.0
    }
}

const LOOK: &str = "find out why it can't be read (dmesg), and try again";

/// The device that is asked for.
pub(super) fn device<'a>(
    request: &PrepareRequest,
    facts: &'a PrepareFacts,
    verdicts: &mut Tries,
) -> Option<&'a BlockDevice> {
    let named = &request.device;
    let number = match &facts.node {
        Known::Known(number) => *number,
        Known::Absent => {
            verdicts.fail(
                Rule::NoDevice,
                format!("there is no {named}"),
                "see `lsblk` for the devices of this host",
            );
            return None;
        }
        Known::Unknown(why) => {
            verdicts.fail(Rule::NoDevice, why.0.clone(), "name a block device");
            return None;
        }
    };
    let devices = match &facts.devices {
        Known::Known(devices) => devices,
        Known::Absent => {
            verdicts.fail(Rule::NoDevice, "the kernel lists no block devices", LOOK);
            return None;
        }
        Known::Unknown(why) => {
            verdicts.fail(Rule::NoDevice, why.0.clone(), LOOK);
            return None;
        }
    };
    let Some(device) = devices.iter().find(|device| device.number == number) else {
        verdicts.fail(
            Rule::NoDevice,
            format!("{named} is block device {number}, which the kernel does not list"),
            "name the device by its usual node below /dev",
        );
        return None;
    };
    let model = device
        .model
        .as_ref()
        .map_or_else(String::new, |model| format!(", {model}"));
    verdicts.pass(Rule::NoDevice, format!("{named} is {}{model}", device.name));
    let (word, what) = device.confirmation();
    if word == request.confirm {
        verdicts.pass(Rule::WrongSerial, format!("{word} is its {what}"));
    } else {
        verdicts.fail(
            Rule::WrongSerial,
            format!("its {what} is {word}, not {}", request.confirm),
            format!("if this is the right device: --confirm {word}"),
        );
    }
    Some(device)
}

/// What an earlier run did to this device.
pub(super) fn earlier<'a>(
    request: &PrepareRequest,
    facts: &'a PrepareFacts,
    device: Option<&BlockDevice>,
    verdicts: &mut Tries,
) -> Option<&'a PreparedDisk> {
    let records = match &facts.records {
        Known::Known(records) => records.as_slice(),
        Known::Absent => &[],
        Known::Unknown(why) => {
            verdicts.fail(
                Rule::Records,
                why.0.clone(),
                "without its records this program can't tell what it began; mend the file, or \
                 move it away once nothing it names is in use",
            );
            return None;
        }
    };
    // The confirming word is the device's own here, or the rule before refuses.
    let found = device.and_then(|device| {
        let (word, _) = device.confirmation();
        records.iter().find(|record| record.is_of(device, &word))
    });
    let Some(record) = found else {
        verdicts.pass(Rule::Records, "no earlier run began it");
        return None;
    };
    let same = record.disk.kind == request.kind
        && record.disk.root == request.at
        && record.fs == request.fs
        && record.immutable == request.immutable
        && record.hidden == request.hidden(&record.uuid);
    if record.stage == Stage::Releasing {
        verdicts.fail(
            Rule::Records,
            format!("it is being given back from {}", record.disk),
            format!(
                "end that first: mesos-volumed disk release {}",
                record.disk.root
            ),
        );
    } else if same {
        verdicts.pass(
            Rule::Records,
            format!("an earlier run began it as file system {}", record.uuid),
        );
    } else {
        let guard = match (record.disk.kind, record.immutable) {
            (DiskType::Path, true) => " --immutable-mount-point",
            (DiskType::Root | DiskType::Path | DiskType::Mount, _) => "",
        };
        verdicts.fail(
            Rule::Records,
            format!(
                "an earlier run began it otherwise: --as {} --at {} --fs {}{guard}",
                record.disk.kind.to_string().to_lowercase(),
                record.disk.root,
                record.fs.name()
            ),
            format!(
                "say the same again; or give it up with `mesos-volumed disk release {}`",
                record.disk.root
            ),
        );
    }
    Some(record)
}

/// Who uses the device, and what is on it.
pub(super) fn use_of(
    request: &PrepareRequest,
    facts: &PrepareFacts,
    device: &BlockDevice,
    earlier: Option<&PreparedDisk>,
    verdicts: &mut Tries,
) {
    let made = earlier.filter(|record| record.stage >= Stage::Formatted);
    writable(device, verdicts);
    large_enough(request, device, verdicts);
    parts(facts, device, verdicts);
    swap(facts, device, verdicts);
    let ours = mounts(facts, device, made, verdicts);
    exclusive(facts, ours, verdicts);
    content(facts, device, earlier, verdicts);
}

fn writable(device: &BlockDevice, verdicts: &mut Tries) {
    match &device.read_only {
        Known::Known(false) => verdicts.pass(Rule::ReadOnly, "it can be written"),
        Known::Known(true) => verdicts.fail(
            Rule::ReadOnly,
            "the kernel does not let it be written",
            "find out why (a write-protected drive, `blockdev --getro`, dmesg)",
        ),
        Known::Absent | Known::Unknown(_) => {
            verdicts.fail(Rule::ReadOnly, "whether it can be written is unknown", LOOK);
        }
    }
}

fn large_enough(request: &PrepareRequest, device: &BlockDevice, verdicts: &mut Tries) {
    let wanted = request.fs.smallest().max(request.min_size);
    match &device.size_bytes {
        Known::Known(size) if Bytes(*size) >= wanted => {
            verdicts.pass(Rule::TooSmall, format!("it has {}", Bytes(*size)));
        }
        Known::Known(size) => verdicts.fail(
            Rule::TooSmall,
            format!(
                "it has {}; {} here wants at least {wanted} (discovery.min_size included)",
                Bytes(*size),
                request.fs.name()
            ),
            "use a larger device, or lower discovery.min_size",
        ),
        Known::Absent | Known::Unknown(_) => {
            verdicts.fail(Rule::TooSmall, "its size is unknown", LOOK);
        }
    }
}

fn names(names: &[Raw]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn parts(facts: &PrepareFacts, device: &BlockDevice, verdicts: &mut Tries) {
    if device.partitions.is_empty() {
        verdicts.pass(Rule::Partitioned, "it has no partitions");
    } else {
        verdicts.fail(
            Rule::Partitioned,
            format!("it has partitions: {}", names(&device.partitions)),
            "name a partition that is free, or remove them if nothing on them is needed",
        );
    }
    if device.holders.is_empty() {
        verdicts.pass(Rule::HasHolders, "no other device is made of it");
    } else {
        verdicts.fail(
            Rule::HasHolders,
            format!(
                "it is a part of {} (LVM, RAID, multipath or the like)",
                names(&device.holders)
            ),
            "take it out there first (vgreduce and pvremove, mdadm, multipath -f, cryptsetup close)",
        );
    }
    // A partition has its drive's name; the drive is no second path.
    let twins: Vec<Raw> = facts
        .devices
        .known()
        .into_iter()
        .flatten()
        .filter(|other| {
            other.name != device.name
                && other.wwn.is_some()
                && other.wwn == device.wwn
                && other.parent.is_none()
                && device.parent.is_none()
                && other.slaves.is_empty()
                && device.slaves.is_empty()
        })
        .map(|other| other.name.clone())
        .collect();
    if twins.is_empty() {
        verdicts.pass(Rule::Multipath, "no other device has its world-wide name");
    } else {
        verdicts.fail(
            Rule::Multipath,
            format!("{} lead to the same drive", names(&twins)),
            "set up multipath and name its device below /dev/mapper",
        );
    }
}

fn swap(facts: &PrepareFacts, device: &BlockDevice, verdicts: &mut Tries) {
    match &facts.swaps {
        Known::Known(swaps) if swaps.iter().any(|swap| device.is_called(swap)) => verdicts.fail(
            Rule::InUseSwap,
            "it is in use as swap",
            "if it is to go: swapoff, and take it out of /etc/fstab",
        ),
        Known::Known(_) | Known::Absent => verdicts.pass(Rule::InUseSwap, "it is no active swap"),
        Known::Unknown(why) => verdicts.fail(Rule::InUseSwap, why.0.clone(), LOOK),
    }
}

/// Whether its mounts, if any, are what an earlier run of ours mounted.
fn mounts(
    facts: &PrepareFacts,
    device: &BlockDevice,
    made: Option<&PreparedDisk>,
    verdicts: &mut Tries,
) -> bool {
    let is_ours = |mount: &MountEntry| {
        made.is_some_and(|record| {
            let (at, root) = (mount.mount_point.clone(), mount.root.as_bytes());
            (at == *record.mounted_at() && root == b"/")
                || (record.hidden.is_some() && at == record.disk.root && root == b"/volume")
        })
    };
    let here: Vec<&MountEntry> = facts
        .mounts
        .entries()
        .iter()
        .filter(|mount| mount.device == device.number || device.is_called(&mount.source))
        .collect();
    let (elsewhere, unread) = &facts.elsewhere;
    if let Some(mount) = here.iter().find(|mount| !is_ours(mount)) {
        verdicts.fail(
            Rule::Mounted,
            format!("it is mounted at {}", mount.mount_point),
            "unmount it if nothing on it is needed",
        );
    } else if let (None, Some(mount)) = (made, elsewhere.first()) {
        verdicts.fail(
            Rule::Mounted,
            format!(
                "process {} has it mounted at {} in another mount namespace",
                mount.pid, mount.mount_point
            ),
            "end that process or container, or unmount it there",
        );
    } else if here.is_empty() {
        let unread = match unread {
            0 => String::new(),
            some => {
                format!("; {some} processes could not be looked at, the exclusive open decides")
            }
        };
        verdicts.pass(Rule::Mounted, format!("it is mounted nowhere{unread}"));
    } else {
        verdicts.pass(Rule::Mounted, "an earlier run of this command mounted it");
    }
    !here.is_empty() && here.iter().all(|mount| is_ours(mount))
}

fn exclusive(facts: &PrepareFacts, ours: bool, verdicts: &mut Tries) {
    match &facts.exclusive {
        Known::Known(()) => verdicts.pass(Rule::Busy, "the kernel opens it exclusively"),
        Known::Absent if ours => verdicts.pass(Rule::Busy, "our own mounts use it"),
        Known::Absent => verdicts.fail(
            Rule::Busy,
            "something uses it: the kernel does not open it exclusively",
            "look for it in other mount namespaces, in `lsblk`, `dmsetup ls`, `zpool status` and \
             among programs that have it open (`fuser -v`); an mkfs of an interrupted run may \
             still be at work",
        ),
        Known::Unknown(why) => verdicts.fail(Rule::Busy, why.0.clone(), LOOK),
    }
}

fn describe(content: &Content) -> String {
    match content {
        Content::Filesystem { fs_type, uuid, .. } => match uuid {
            Some(uuid) => format!("a file system: {fs_type} {uuid}"),
            None => format!("a file system: {fs_type}"),
        },
        Content::Swap => "swap space".to_owned(),
        Content::Member(what) | Content::PartitionTable(what) => what.clone(),
    }
}

const ERASE: &str = "if nothing on it is needed: `wipefs --all` on the device, then `blkdiscard` \
                     or zeros over its first and last MiB";

/// What is on it: nothing; or what an earlier run of ours made, told by its UUID.
fn content(
    facts: &PrepareFacts,
    device: &BlockDevice,
    earlier: Option<&PreparedDisk>,
    verdicts: &mut Tries,
) {
    let begun = earlier.filter(|record| record.stage >= Stage::Formatting);
    if let Some(record) = begun
        && device.uuid() == Some(record.uuid.as_str())
    {
        verdicts.pass(
            Rule::HasSignature,
            format!(
                "the file system that an earlier run made is on it: {}",
                record.uuid
            ),
        );
        verdicts.pass(Rule::NotBlank, "what is on it is that file system");
        return;
    }
    if let Some(record) = begun.filter(|record| record.stage >= Stage::Formatted) {
        verdicts.fail(
            Rule::HasSignature,
            format!(
                "file system {} was made on it and is not there now",
                record.uuid
            ),
            format!(
                "something else wrote to it; give the record up with `mesos-volumed disk release \
                 {}`",
                record.disk.root
            ),
        );
        return;
    }
    match &device.content {
        Known::Known(content) => verdicts.fail(
            Rule::HasSignature,
            format!("it carries {}", describe(content)),
            ERASE,
        ),
        Known::Unknown(why) => verdicts.fail(Rule::HasSignature, why.0.clone(), LOOK),
        Known::Absent => signatures(facts, verdicts),
    }
    match (&facts.blank, begun) {
        (_, Some(record)) => verdicts.pass(
            Rule::NotBlank,
            format!(
                "an earlier run was making file system {} on it",
                record.uuid
            ),
        ),
        (Known::Known(true), None) => {
            verdicts.pass(Rule::NotBlank, "its first and last MiB are zeros");
        }
        (Known::Known(false), None) => verdicts.fail(
            Rule::NotBlank,
            "its first or last MiB holds data of a form that no program here knows",
            ERASE,
        ),
        (Known::Absent, None) => verdicts.fail(Rule::NotBlank, "it was not read", LOOK),
        (Known::Unknown(why), None) => verdicts.fail(Rule::NotBlank, why.0.clone(), LOOK),
    }
}

fn signatures(facts: &PrepareFacts, verdicts: &mut Tries) {
    if facts.probes.is_empty() {
        verdicts.fail(
            Rule::HasSignature,
            "no program looked for signatures",
            "install blkid and wipefs (util-linux)",
        );
        return;
    }
    for probe in &facts.probes {
        match &probe.found {
            Known::Absent => verdicts.pass(
                Rule::HasSignature,
                format!("`{}` finds nothing", probe.command),
            ),
            Known::Known(found) => verdicts.fail(
                Rule::HasSignature,
                format!("`{}` finds {}", probe.command, found.join(", ")),
                ERASE,
            ),
            Known::Unknown(why) => verdicts.fail(
                Rule::HasSignature,
                format!("`{}` did not answer: {why}", probe.command),
                "install blkid and wipefs (util-linux), and look at the drive (dmesg)",
            ),
        }
    }
}

/// Where it is to be mounted.
pub(super) fn place(
    request: &PrepareRequest,
    facts: &PrepareFacts,
    earlier: Option<&PreparedDisk>,
    verdicts: &mut Tries,
) {
    let made = earlier.is_some_and(|record| record.stage >= Stage::Formatted);
    let hidden_path = request.hidden(earlier.map_or(&request.uuid, |record| &record.uuid));
    let points = std::iter::once((&request.at, &facts.at))
        .chain(hidden_path.as_ref().zip(facts.hidden.as_ref()));
    for (path, point) in points {
        match point {
            MountPoint::Missing(folders) => {
                verdicts.pass(Rule::Place, format!("{} are to be made", names(folders)));
            }
            MountPoint::Empty => verdicts.pass(Rule::Place, format!("{path} is empty")),
            // Whether the right one is mounted there is looked at when it is mounted.
            MountPoint::Mounted if made => {
                verdicts.pass(Rule::Place, format!("{path} is mounted by an earlier run"));
            }
            MountPoint::Mounted => verdicts.fail(
                Rule::Place,
                format!("something is mounted at {path}"),
                "name another path, or unmount it",
            ),
            MountPoint::Unusable(why) => verdicts.fail(
                Rule::Place,
                why.clone(),
                "name an absolute path without links whose last folder is empty or missing",
            ),
        }
    }
    match &facts.fstab {
        Known::Known(points) if points.contains(&request.at) => verdicts.fail(
            Rule::Fstab,
            format!("/etc/fstab mounts something at {}", request.at),
            "take that line out, or name another path",
        ),
        Known::Known(_) | Known::Absent => {
            verdicts.pass(Rule::Fstab, "/etc/fstab mounts nothing there");
        }
        Known::Unknown(why) => verdicts.fail(Rule::Fstab, why.0.clone(), LOOK),
    }
    taken(request, facts, earlier, verdicts);
}

/// Two roots that are, hold or bind one another can't both be offered.
fn taken(
    request: &PrepareRequest,
    facts: &PrepareFacts,
    earlier: Option<&PreparedDisk>,
    verdicts: &mut Tries,
) {
    let ledger = match &facts.ledger {
        Known::Known(ledger) => ledger.roots.as_slice(),
        Known::Absent => &[],
        Known::Unknown(why) => {
            verdicts.fail(Rule::PlaceTaken, why.0.clone(), "mend the ledger first");
            return;
        }
    };
    let at = &request.at;
    let overlaps = |root: &Raw| root.below(at).is_some() || at.below(root).is_some();
    let same = |kind: DiskType, root: &Raw| kind == request.kind && root == at;
    let other_record = facts
        .records
        .known()
        .into_iter()
        .flatten()
        .filter(|record| earlier.is_none_or(|earlier| earlier.uuid != record.uuid))
        .find(|record| overlaps(&record.disk.root));
    if let Some(record) = other_record {
        verdicts.fail(
            Rule::PlaceTaken,
            format!("{} was prepared on {}", record.disk, record.device),
            format!(
                "name another path; or give that one back: mesos-volumed disk release {}",
                record.disk.root
            ),
        );
    } else if overlaps(&request.work_dir) {
        verdicts.fail(
            Rule::PlaceTaken,
            format!("{at} overlaps with agent.work_dir {}", request.work_dir),
            "name a path outside of it",
        );
    } else if overlaps(&request.state_dir) {
        verdicts.fail(
            Rule::PlaceTaken,
            format!("{at} overlaps with daemon.state_dir {}", request.state_dir),
            "name a path outside of it",
        );
    } else if let Some(entry) = ledger
        .iter()
        .find(|entry| overlaps(&entry.disk.root) && !same(entry.disk.kind, &entry.disk.root))
    {
        verdicts.fail(
            Rule::PlaceTaken,
            format!("{at} overlaps with {}, which the ledger knows", entry.disk),
            "name a path outside of it",
        );
    } else {
        verdicts.pass(Rule::PlaceTaken, format!("{at} is no other disk's"));
    }
}

/// What runs on the host.
pub(super) fn programs(request: &PrepareRequest, facts: &PrepareFacts, verdicts: &mut Tries) {
    let missing: Vec<&str> = steps::programs(request.fs, facts.systemd)
        .into_iter()
        .filter(|name| {
            facts
                .programs
                .get(name)
                .is_none_or(|found| found.known().is_none())
        })
        .collect();
    if missing.is_empty() {
        verdicts.pass(Rule::Programs, "every program that is needed is there");
    } else {
        verdicts.fail(
            Rule::Programs,
            format!("not installed: {}", missing.join(", ")),
            "install util-linux and xfsprogs or e2fsprogs",
        );
    }
}
