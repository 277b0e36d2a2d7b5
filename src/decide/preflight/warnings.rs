//! What an agent accepts at its start and regrets later.

use super::root_of;
use crate::decide::facts::{FileKind, Known, MakeOutcome, RootLook, StartFacts};
use crate::mesos::resources::{Entry, Place, Resources};
use crate::units::{Bytes, MIB, Raw};

/// Warnings about the disks of a text.
pub(super) fn of_disks(resources: &Resources, facts: &StartFacts) -> Vec<String> {
    let mut warnings = Vec::new();
    for entry in resources.entries() {
        of_entry(entry, facts, &mut warnings);
    }
    let rooted: Vec<(&Entry, Raw)> = resources
        .entries()
        .iter()
        .filter_map(|entry| Some((entry, root_of(entry)?)))
        .collect();
    for (index, (one, root)) in rooted.iter().enumerate() {
        for (other, other_root) in rooted.iter().skip(index.saturating_add(1)) {
            warnings.extend(of_pair((one, root), (other, other_root), facts));
        }
    }
    warnings.extend(too_much(resources, facts));
    warnings
}

fn of_entry(entry: &Entry, facts: &StartFacts, warnings: &mut Vec<String>) {
    let label = entry.label();
    let mut warn = |text: String| warnings.push(format!("{label} {text}"));
    if entry.place() == Place::EmptyDiskInfo {
        warn("is offered as a part of ROOT, and the master refuses volumes on it".to_owned());
    }
    if entry.has_source_id() {
        warn("has a source.id, which moves the directories of its volumes".to_owned());
    }
    let is_mount = match entry.place() {
        Place::Mount(Some(_)) => true,
        Place::Path(Some(_)) => false,
        Place::NoDisk
        | Place::Root
        | Place::EmptyDiskInfo
        | Place::Path(None)
        | Place::Mount(None)
        | Place::Unsupported => return,
    };
    let Some(root) = root_of(entry) else { return };
    if root.as_bytes().first() != Some(&b'/') {
        warn(
            "is relative: the start resolves it from the agent's directory, volumes from its \
             work_dir"
                .to_owned(),
        );
    }
    if root.as_bytes().contains(&0) {
        warn("holds a NUL, behind which the kernel reads nothing".to_owned());
    }
    if let Some(rule) = spelling(&root) {
        warn(format!(
            "{rule}: Mesos compares roots as text, so that any other spelling is another disk"
        ));
    }
    let Some(look) = facts.roots.get(&root) else {
        return;
    };
    of_look(&root, look, is_mount, facts, &mut warn);
}

fn of_look(
    root: &Raw,
    look: &RootLook,
    is_mount: bool,
    facts: &StartFacts,
    warn: &mut dyn FnMut(String),
) {
    if let Known::Known(real) = &look.real
        && real != root
        && spelling(root).is_none()
    {
        warn(if is_mount {
            format!(
                "is a symbolic link to {real}: a DESTROY removes the link and keeps all data, and \
                 the next start fails"
            )
        } else {
            format!("leads through a symbolic link to {real}")
        });
    }
    if is_mount {
        return;
    }
    match &look.kind {
        Known::Known(FileKind::File | FileKind::Special) => warn(
            "is no directory: the start goes well, and the agent exits at the first CREATE"
                .to_owned(),
        ),
        Known::Known(FileKind::Directory | FileKind::Mount | FileKind::Symlink)
        | Known::Absent
        | Known::Unknown(_) => {}
    }
    let Known::Known(filesystem) = &look.filesystem else {
        return;
    };
    match &look.make {
        MakeOutcome::Made => warn(format!(
            "is not there: the agent makes it on the file system of {}; if a disk should be \
             mounted there, its volumes land on the wrong one",
            filesystem.mount_point
        )),
        MakeOutcome::There => {
            let on_root = facts.roots.get(&facts.work_dir).is_some_and(|work_dir| {
                work_dir
                    .filesystem
                    .known()
                    .is_some_and(|other| other.device == filesystem.device)
            });
            if on_root && look.mounted != Known::Known(true) {
                warn(format!(
                    "lies on the file system of the work_dir ({}); both numbers come from one disk",
                    filesystem.mount_point
                ));
            }
        }
        MakeOutcome::Fails(_) | MakeOutcome::Unknown(_) => {}
    }
}

/// What is wrong with how a root is written.
fn spelling(root: &Raw) -> Option<&'static str> {
    let bytes = root.as_bytes();
    let below = bytes.strip_prefix(b"/")?;
    if below.is_empty() {
        return Some("is the root of the whole system");
    }
    below
        .split(|byte| *byte == b'/')
        .find_map(|component| match component {
            b"" => Some("has a trailing or doubled slash"),
            b"." | b".." => Some("has a component `.` or `..`"),
            _ => None,
        })
}

fn of_pair(
    (one, root): (&Entry, &Raw),
    (other, other_root): (&Entry, &Raw),
    facts: &StartFacts,
) -> Option<String> {
    let (label, other_label) = (one.label(), other.label());
    let place = |root: &Raw| facts.roots.get(root).map(|look| (&look.node, &look.real));
    let same_node = match (place(root), place(other_root)) {
        (Some((Known::Known(one), _)), Some((Known::Known(other), _))) => one == other,
        _ => false,
    };
    if root == other_root && one.same_metadata(other) {
        return Some(format!("{label} is there twice: the agent offers it twice"));
    }
    if root == other_root || same_node {
        if one.place() == other.place() {
            // The same disk, in parts for different roles.
            return None;
        }
        return Some(format!(
            "{label} and {other_label} are one directory: the agent offers it twice"
        ));
    }
    let real = |root: &Raw| {
        let real = facts.roots.get(root).and_then(|look| look.real.known());
        real.unwrap_or(root).clone()
    };
    let (root, other_root) = (real(root), real(other_root));
    if other_root.below(&root).is_some() {
        return Some(format!(
            "{other_label} lies in {label}: its data counts twice"
        ));
    }
    if root.below(&other_root).is_some() {
        return Some(format!(
            "{label} lies in {other_label}: its data counts twice"
        ));
    }
    None
}

/// Entries, each alone, that offer more than their file system has.
fn too_much(resources: &Resources, facts: &StartFacts) -> Vec<String> {
    resources
        .entries()
        .iter()
        .filter_map(|entry| {
            let root = match entry.place() {
                Place::Root => facts.work_dir.clone(),
                Place::NoDisk
                | Place::EmptyDiskInfo
                | Place::Path(_)
                | Place::Mount(_)
                | Place::Unsupported => root_of(entry)?,
            };
            let look = facts.roots.get(&root)?;
            let total = look.filesystem.known()?.total.known()?;
            let thousandths = u64::try_from(entry.scalar()?.thousandths()).ok()?;
            let offered = u128::from(thousandths).saturating_mul(u128::from(MIB)) / 1000;
            (offered > u128::from(total.0)).then(|| {
                let offered = Bytes(u64::try_from(offered).unwrap_or(u64::MAX));
                format!(
                    "{} offers {} MB ({offered}), more than the {total} of its file system",
                    entry.label(),
                    entry.value_text()
                )
            })
        })
        .collect()
}
