//! Mounts of all namespaces, joined to mountings: copies of one mount lie on the same directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::places::Places;
use super::super::proc::{Look, Task};
use super::mounts::{MountUse, Mounts, Namespace};
use crate::decide::facts::{FsLocation, MountView, Mounting};
use crate::mesos::paths;
use crate::units::Raw;

/// Namespaces of a mounting that are told; a host tree that hundreds of containers inherited says no
/// more by all of them.
const VIEWS: usize = 8;
/// Processes of a namespace that are told.
const PIDS: usize = 4;

/// Who lives in a mount namespace.
#[derive(Debug, Default)]
pub(super) struct Residents {
    pids: BTreeSet<i32>,
}

impl Residents {
    pub(super) fn add(&mut self, pid: i32) {
        self.pids.insert(pid);
    }
}

/// What makes two mounts one mounting.
type Key = (FsLocation, bool, Result<FsLocation, (Namespace, Raw)>);

/// Joins the mounts.
pub(super) fn join(
    places: &Places,
    uses: &[MountUse],
    mounts: &Mounts,
    residents: &HashMap<Namespace, Residents>,
) -> Vec<Mounting> {
    let mut groups: BTreeMap<Key, Vec<&MountUse>> = BTreeMap::new();
    for used in uses {
        let place = match &used.lies_on {
            Some(place) => Ok(place.clone()),
            None => Err((used.namespace.clone(), used.mount_point.clone())),
        };
        groups
            .entry((used.location.clone(), used.inside, place))
            .or_default()
            .push(used);
    }
    let sandboxes = mounts.sandboxes();
    let mut cgroups: HashMap<i32, Option<Raw>> = HashMap::new();
    groups
        .into_iter()
        .map(|((location, inside, place), mut uses)| {
            let rank = |used: &MountUse| {
                let first = residents
                    .get(&used.namespace)
                    .and_then(|here| here.pids.first().copied());
                (
                    !mounts.is_host(&used.namespace),
                    first.unwrap_or(used.pid),
                    used.mount_point.clone(),
                )
            };
            uses.sort_by_cached_key(|used| rank(used));
            let namespaces: BTreeSet<&Namespace> =
                uses.iter().map(|used| &used.namespace).collect();
            let views = uses
                .iter()
                .take(VIEWS)
                .map(|used| {
                    let here = residents.get(&used.namespace);
                    let pids: Vec<i32> = here.map_or_else(
                        || vec![used.pid],
                        |here| here.pids.iter().copied().take(PIDS).collect(),
                    );
                    let first = pids.first().copied().unwrap_or(used.pid);
                    MountView {
                        namespace: used.namespace.clone(),
                        host: mounts.is_host(&used.namespace),
                        mount_point: used.mount_point.clone(),
                        processes: here
                            .map_or(1, |here| u32::try_from(here.pids.len()).unwrap_or(u32::MAX)),
                        pids,
                        command: Task::process(places, first).command(),
                        sandboxes: sandboxes
                            .get(&used.namespace)
                            .into_iter()
                            .flatten()
                            .cloned()
                            .collect(),
                        cgroup: cgroups
                            .entry(first)
                            .or_insert_with(|| cgroup(places, first))
                            .clone(),
                    }
                })
                .collect();
            Mounting {
                location,
                inside,
                lies_on: place.ok(),
                views,
                namespaces: u32::try_from(namespaces.len()).unwrap_or(u32::MAX),
            }
        })
        .collect()
}

/// The container that the process's control group names. It only helps to name who it is: what
/// can't be read is left out.
fn cgroup(places: &Places, pid: i32) -> Option<Raw> {
    match Task::process(places, pid).file("cgroup", 1 << 16) {
        Ok(Look::Seen(text)) => paths::container_of_cgroup(&text),
        Ok(Look::Gone) | Err(_) => None,
    }
}
