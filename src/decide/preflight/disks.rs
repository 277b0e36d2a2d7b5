//! The checks of each disk at the start: PATH roots are made, MOUNT roots must be mounted
//! (src/slave/slave.cpp).

use crate::decide::facts::{Known, MakeOutcome, RootLook, StartFacts};
use crate::mesos::resources::{Entry, Place, Resources, SourceFault};
use crate::units::Raw;

/// What the checks come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Disks {
    /// Nothing is wrong.
    Fine,
    /// This entry is refused with this text.
    Refused(Box<Entry>, String),
}

/// Looks at the disks in order; what can't be told goes to `doubts`.
pub(super) fn check(resources: &Resources, facts: &StartFacts, doubts: &mut Vec<String>) -> Disks {
    for entry in resources.entries() {
        let refused = match entry.source_fault() {
            Some(SourceFault::Exit(text)) => Some(text),
            Some(SourceFault::Abort(check)) => Some(format!("Check failed: {check}")),
            None => match entry.place() {
                Place::Path(Some(root)) => path(entry, &root, facts, doubts),
                Place::Mount(Some(root)) => mount(entry, &root, facts, doubts),
                Place::NoDisk
                | Place::Root
                | Place::EmptyDiskInfo
                | Place::Path(None)
                | Place::Mount(None)
                | Place::Unsupported => None,
            },
        };
        if let Some(text) = refused {
            return Disks::Refused(Box::new(entry.clone()), text);
        }
    }
    Disks::Fine
}

fn look<'a>(
    entry: &Entry,
    root: &Raw,
    facts: &'a StartFacts,
    doubts: &mut Vec<String>,
) -> Option<&'a RootLook> {
    let look = facts.roots.get(root);
    if look.is_none() {
        doubts.push(format!("{} was not looked at", entry.label()));
    }
    look
}

fn path(entry: &Entry, root: &Raw, facts: &StartFacts, doubts: &mut Vec<String>) -> Option<String> {
    match &look(entry, root, facts, doubts)?.make {
        MakeOutcome::There | MakeOutcome::Made => None,
        MakeOutcome::Fails(words) => Some(format!(
            "Failed to create DiskInfo path directory '{}': {words}",
            text(root)
        )),
        MakeOutcome::Unknown(why) => {
            doubts.push(format!("whether {} can be made: {why}", entry.label()));
            None
        }
    }
}

fn mount(
    entry: &Entry,
    root: &Raw,
    facts: &StartFacts,
    doubts: &mut Vec<String>,
) -> Option<String> {
    let look = look(entry, root, facts, doubts)?;
    let real = match &look.real {
        Known::Known(real) => real,
        Known::Absent => {
            return Some(format!(
                "Failed to determine `realpath` for DiskInfo mount in resource '{entry}' with \
                 path '{}': no such path",
                text(root)
            ));
        }
        Known::Unknown(why) => {
            doubts.push(format!("where {} leads: {why}", entry.label()));
            return None;
        }
    };
    match &look.mounted {
        Known::Known(true) => None,
        Known::Known(false) | Known::Absent => Some(format!(
            "Failed to find mount '{}' in /proc/mounts",
            text(real)
        )),
        Known::Unknown(why) => {
            doubts.push(format!("whether {} is mounted: {why}", entry.label()));
            None
        }
    }
}

/// A path as the agent prints it: nothing is escaped.
pub(super) fn text(path: &Raw) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}
