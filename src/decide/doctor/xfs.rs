//! Project ids on xfs, where the agent's isolator `disk/xfs` counts by them (F§9.2): it aborts on an id that two
//! directories have, or that is not of its range, and gives an id that it takes for free to another
//! container, which is then charged for whatever still carries it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Examined, Finding};
use crate::decide::facts::{DeviceNumber, Facts, Known, ProjectUse};
use crate::decide::manifest::TrashState;
use crate::decide::steps::TrashId;
use crate::mesos::disk::{DiskRef, DiskType};

/// What the agent takes where `--xfs_project_range` says nothing.
const DEFAULT_RANGE: (u32, u32) = (5000, 10_000);

/// The isolator's name.
const ISOLATOR: &str = "disk/xfs";

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let seen = &examined.patient.host.projects;
    let mut labelled = Vec::new();
    for one in seen {
        match &one.project {
            Ok(Some(project)) => labelled.push((one, *project)),
            Ok(None) => {}
            Err(why) => {
                let what = format!("the xfs project of {}", one.path);
                findings.push(Finding::not_checked(&what, why));
            }
        }
    }
    if labelled.is_empty() {
        return;
    }
    let ranges = match ranges(examined) {
        Ok(Some(ranges)) => ranges,
        // Another's quotas, which are not ours to judge.
        Ok(None) => return,
        Err(why) => {
            let what = "whether xfs project ids are as the agent expects them";
            findings.push(Finding::not_checked(what, why));
            return;
        }
    };
    let in_range = |id: u32| {
        ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&id))
    };
    let cleared = cleared(examined.patient.facts);
    let is_cleared = |one: &ProjectUse| {
        let place = one.trash.as_ref().map(|id| (&one.disk, id));
        place.is_some_and(|place| cleared.contains(&place))
    };
    let mut of_root: BTreeMap<(DeviceNumber, u32), Vec<&ProjectUse>> = BTreeMap::new();
    for (one, (device, id)) in labelled {
        if one.trash.is_some() {
            if in_range(id) && is_cleared(one) {
                findings.push(found(
                    one,
                    format!("its data still has project id {id}, which the agent may give to another container"),
                ));
            }
            continue;
        }
        if !in_range(id) {
            findings.push(found(
                one,
                format!("it has project id {id}, which is not of the agent's --xfs_project_range: the agent aborts when a task is to use it"),
            ));
        }
        if one.disk.kind == DiskType::Root {
            of_root.entry((device, id)).or_default().push(one);
        }
    }
    for ((_, id), all) in of_root {
        if let [first, rest @ ..] = all.as_slice()
            && !rest.is_empty()
        {
            let others: Vec<String> = rest.iter().map(|one| one.path.to_string()).collect();
            findings.push(found(
                first,
                format!(
                    "{} has its project id {id} too: the agent aborts at its next start",
                    others.join(", ")
                ),
            ));
        }
    }
}

fn found(one: &ProjectUse, evidence: String) -> Finding {
    Finding::new(Code::ProjectIds, one.path.to_string(), evidence)
}

/// The entries whose ids should be gone by now: they are taken right after the second look. Before it,
/// and while a destroy of ours waits, they are rightly there.
fn cleared(facts: &Facts) -> BTreeSet<(&DiskRef, &TrashId)> {
    let entries = facts.roots.iter().flat_map(|root| {
        let entries = root.trash.known().into_iter().flatten();
        entries.map(move |entry| (&root.disk, entry))
    });
    entries
        .filter(|(_, entry)| {
            let manifest = entry.manifest.known();
            manifest.is_some_and(|manifest| match manifest.state {
                TrashState::Cleared | TrashState::Wiping => true,
                TrashState::Prepared | TrashState::Moved => false,
            })
        })
        .map(|(disk, entry)| (disk, &entry.id))
        .collect()
}

/// The ids that the agent gives; `None` where it does not count by them.
fn ranges(examined: &Examined<'_>) -> Result<Option<Vec<(u32, u32)>>, String> {
    let flags = match examined.patient.start {
        Ok(input) => &input.flags,
        Err(why) => return Err(why.to_owned()),
    };
    match &flags.isolation {
        Known::Known(names) if names.split(',').any(|name| name.trim() == ISOLATOR) => {}
        Known::Known(_) | Known::Absent => return Ok(None),
        Known::Unknown(why) => return Err(why.to_string()),
    }
    match &flags.project_range {
        Known::Known(text) => parse(text)
            .map(Some)
            .ok_or_else(|| format!("--xfs_project_range is `{text}`")),
        Known::Absent => Ok(Some(vec![DEFAULT_RANGE])),
        Known::Unknown(why) => Err(why.to_string()),
    }
}

/// `[5000-10000]`, also several, as Mesos writes ranges.
fn parse(text: &str) -> Option<Vec<(u32, u32)>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    inner
        .split(',')
        .map(|range| {
            let (low, high) = range.trim().split_once('-')?;
            let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            (low <= high).then_some((low, high))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_mesos_writes_them() {
        assert_eq!(parse("[5000-10000]"), Some(vec![(5000, 10_000)]));
        assert_eq!(parse(" [1-2, 7-7] "), Some(vec![(1, 2), (7, 7)]));
        for wrong in ["", "[]", "5000-10000", "[9-1]", "[1-x]", "[1]", "[-1-4]"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
