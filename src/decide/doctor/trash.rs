//! The trash against its budget.

use std::collections::BTreeMap;

use super::{Code, Examined, Finding};
use crate::decide::authority::believed;
use crate::decide::facts::{DeviceNumber, Facts, Known, RootFacts};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::units::{Bytes, MIB, Megabytes, Span};

/// The trash of one file system.
#[derive(Default)]
struct Heap {
    roots: Vec<String>,
    bytes: u64,
    largest: Option<(Bytes, VolumeKey)>,
}

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let Some(most) = facts.policy.trash.max_bytes else {
        return;
    };
    let mut heaps: BTreeMap<DeviceNumber, Heap> = BTreeMap::new();
    for root in facts.roots.iter().filter(|root| has_trash(root)) {
        let Some(mount) = root.mount.known() else {
            continue;
        };
        let heap = heaps.entry(mount.device).or_default();
        heap.roots.push(root.disk.to_string());
        let entries = root.trash.known().into_iter().flatten();
        let sizes = entries.filter_map(|entry| entry.manifest.known()?.size);
        heap.bytes = sizes.fold(heap.bytes, |sum, size| sum.saturating_add(size.bytes));
        for (size, key) in volumes(facts, root) {
            if heap
                .largest
                .as_ref()
                .is_none_or(|(largest, _)| size > *largest)
            {
                heap.largest = Some((size, key));
            }
        }
    }
    for heap in heaps.into_values() {
        let subject = heap.roots.join(", ");
        if heap.bytes > most.0 {
            findings.push(Finding::new(
                Code::TrashBudget,
                subject.clone(),
                format!(
                    "its trash takes up {} of {most} (trash.max_bytes): the oldest entries go once \
                     they are {} old (trash.min_retention)",
                    Bytes(heap.bytes),
                    facts.policy.trash.min_retention
                ),
            ));
        }
        if let Some((size, key)) = heap.largest
            && keeps_destroyed(facts)
            && size > most
        {
            findings.push(Finding::new(
                Code::TrashBudget,
                subject,
                format!(
                    "{key} has {size}, and its trash may have {most} (trash.max_bytes): destroyed, it \
                     would not stay for its retention"
                ),
            ));
        }
    }
}

/// A plain MOUNT has none.
fn has_trash(root: &RootFacts) -> bool {
    root.kind() != DiskType::Mount || matches!(root.hidden, Known::Known(_))
}

/// Whether what is destroyed is kept for a time at all.
fn keeps_destroyed(facts: &Facts) -> bool {
    let roles = &facts.policy.trash.roles;
    let of_roles = roles.iter().filter_map(|rule| rule.retention);
    of_roles
        .chain([facts.policy.retention])
        .any(|retention| retention > Span::ZERO)
}

/// The volumes on this disk with the size that Mesos gives them.
fn volumes<'a>(
    facts: &'a Facts,
    root: &'a RootFacts,
) -> impl Iterator<Item = (Bytes, VolumeKey)> + use<'a> {
    believed(facts).filter_map(|resource| {
        let key = resource.volume_key()?;
        let is_here = resource.disk(&facts.agent.work_dir).as_ref() == Some(&root.disk);
        let size = resource.megabytes().filter(|_| is_here)?;
        Some((bytes(size), key))
    })
}

fn bytes(size: Megabytes) -> Bytes {
    let thousandths = u64::try_from(size.thousandths()).unwrap_or(0);
    Bytes(thousandths.saturating_mul(MIB) / 1000)
}
