//! Roots: where they lie, how much is offered of them, what mounts them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Examined, Finding};
use crate::decide::facts::{
    DeviceNumber, FsLocation, Known, MountContent, RootFacts, RootMount, UnitOrder,
};
use crate::decide::guards::Refusal;
use crate::decide::roots::{RootView, present_filesystem};
use crate::mesos::disk::DiskType;
use crate::mesos::paths::VOLUMES;
use crate::units::{Bytes, Megabytes, Raw};

/// Below this a file system has no room for a folder and a manifest.
const NO_ROOM: u64 = 1 << 20;

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    unusable(examined, findings);
    on_parent(examined, findings);
    twice(examined, findings);
    over_committed(examined, findings);
    health(examined, findings);
    at_boot(examined, findings);
    gate(examined, findings);
}

/// Roots that are mounted, with their mount.
fn mounted<'a>(
    examined: &Examined<'a>,
) -> impl Iterator<Item = (&'a RootFacts, &'a RootMount)> + use<'a> {
    let roots = &examined.patient.facts.roots;
    roots
        .iter()
        .filter_map(|root| Some((root, root.mount.known()?)))
}

fn unusable(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    for view in &examined.views {
        for reason in &view.reasons {
            // Told as two agents.
            if reason.code != Refusal::OtherView {
                findings.push(
                    Finding::new(
                        Code::RootUnusable,
                        view.root.disk.to_string(),
                        reason.to_string(),
                    )
                    .remedy(reason.code.remedy()),
                );
            }
        }
        let nameless = examined.claims.holder_of(&view.root.disk).is_none();
        if view.root.content == Known::Known(MountContent::Data) && nameless {
            findings.push(Finding::new(
                Code::MountNotEmpty,
                view.root.disk.to_string(),
                "no volume is on it, and it holds data",
            ));
        }
        exposed(examined, view, findings);
        if let Known::Unknown(why) = &view.root.mount {
            let what = format!("where {} lies", view.root.disk);
            findings.push(Finding::not_checked(&what, why));
        }
    }
}

/// A tenant that may see what an earlier volume left.
fn exposed(examined: &Examined<'_>, view: &RootView<'_>, findings: &mut Vec<Finding>) {
    let Some(tenant) = examined.claims.holder_of(&view.root.disk) else {
        return;
    };
    for left in &examined.patient.plan.memory.left_on {
        if left.disk == view.root.disk
            && left.key != *tenant
            && left.may_be_on(present_filesystem(view.root).as_deref())
            && view.root.content != Known::Known(MountContent::Empty)
        {
            findings.push(Finding::new(
                Code::DataExposed,
                view.root.disk.to_string(),
                format!("{} was on it before {tenant}", left.key),
            ));
        }
    }
}

fn on_parent(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    let work_dir = mounted(examined).find(|(root, _)| root.kind() == DiskType::Root);
    for (root, mount) in mounted(examined) {
        if root.kind() != DiskType::Path || mount.is_mount_point {
            continue;
        }
        let beside_root =
            work_dir.is_some_and(|(_, of_work_dir)| of_work_dir.device == mount.device);
        if beside_root {
            findings.push(Finding::new(
                Code::PathOnParent,
                root.disk.to_string(),
                format!(
                    "it is no mount point, and lies on the file system of the work_dir {} ({})",
                    facts.agent.work_dir, mount.mount_point
                ),
            ));
        } else if mount.mount_point.as_bytes() == b"/" {
            findings.push(Finding::new(
                Code::PathOnParent,
                root.disk.to_string(),
                "it is no mount point, and lies on the system's own file system",
            ));
        }
    }
    if let Some((root, mount)) = work_dir
        && ["tmpfs", "ramfs"].contains(&mount.fs_type.as_str())
    {
        findings.push(Finding::new(
            Code::WorkDirVolatile,
            root.disk.to_string(),
            format!("{} is {}", mount.mount_point, mount.fs_type),
        ));
    }
}

fn twice(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let all: Vec<(&RootFacts, &RootMount)> = mounted(examined).collect();
    for (at, (one, mount)) in all.iter().enumerate() {
        for (other, other_mount) in all.iter().skip(at.saturating_add(1)) {
            let (a, b) = (&mount.location, &other_mount.location);
            let evidence = if a == b {
                format!("it is the same directory as {}", other.disk)
            } else if a.within(&volumes_of(other, b)) {
                format!("it lies where {} keeps its volumes", other.disk)
            } else if b.within(&volumes_of(one, a)) {
                format!("{} lies where it keeps its volumes", other.disk)
            } else {
                continue;
            };
            findings.push(Finding::new(
                Code::RootTwice,
                one.disk.to_string(),
                evidence,
            ));
        }
    }
}

fn volumes_of(root: &RootFacts, at: &FsLocation) -> FsLocation {
    match root.kind() {
        DiskType::Mount => at.clone(),
        DiskType::Root | DiskType::Path => FsLocation {
            device: at.device,
            path: at.path.join(VOLUMES),
        },
    }
}

/// What Mesos is offered of a root: by the agent's registration, else by our ledger.
fn offered(examined: &Examined<'_>, root: &RootFacts) -> Option<Megabytes> {
    let facts = examined.patient.facts;
    let registered: Vec<Megabytes> = facts
        .agent
        .slave_info
        .known()
        .into_iter()
        .flat_map(|info| &info.resources)
        .filter(|resource| resource.disk(&facts.agent.work_dir).as_ref() == Some(&root.disk))
        .filter_map(crate::mesos::resource::Resource::megabytes)
        .collect();
    if registered.is_empty() {
        return root.filesystem.advertised;
    }
    Some(
        registered
            .into_iter()
            .fold(Megabytes::whole(0), Megabytes::saturating_add),
    )
}

fn over_committed(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let mut by_device: BTreeMap<DeviceNumber, (Megabytes, Megabytes, Vec<String>)> =
        BTreeMap::new();
    for (root, mount) in mounted(examined) {
        if let Some(number) = offered(examined, root) {
            let size = Megabytes::whole(Bytes(mount.total_bytes).whole_megabytes());
            let (total, sum, roots) = by_device
                .entry(mount.device)
                .or_insert_with(|| (size, Megabytes::whole(0), Vec::new()));
            *total = size.max(*total);
            *sum = sum.saturating_add(number);
            roots.push(format!("{} {number} MB", root.disk));
        }
    }
    if let Known::Unknown(why) = &examined.patient.facts.agent.slave_info {
        findings.push(Finding::not_checked("what is offered of the disks", why));
    }
    for (total, sum, roots) in by_device.into_values() {
        if sum > total {
            findings.push(Finding::new(
                Code::OverCommitted,
                roots.join(", "),
                format!("{sum} MB are offered of a file system of {total} MB"),
            ));
        }
    }
}

fn health(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for (root, mount) in mounted(examined) {
        if !seen.insert(mount.device) {
            continue;
        }
        let subject = || root.disk.to_string();
        if mount.free_bytes < NO_ROOM && !mount.network {
            findings.push(Finding::new(
                Code::FilesystemFull,
                subject(),
                format!("{} are free", Bytes(mount.free_bytes)),
            ));
        }
        match examined.patient.host.errors.get(&root.disk.root) {
            Some(Known::Known(count)) if *count > 0 => findings.push(Finding::new(
                Code::FilesystemErrors,
                subject(),
                format!("it has counted {count} errors"),
            )),
            Some(Known::Unknown(why)) => {
                let what = format!("the errors of {}", root.disk);
                findings.push(Finding::not_checked(&what, why));
            }
            Some(Known::Known(_) | Known::Absent) | None => {}
        }
    }
}

/// Whether each disk is mounted at boot, and before the agent starts.
fn at_boot(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let host = examined.patient.host;
    let mounts = match &host.boot_mounts {
        Known::Known(mounts) => mounts.as_slice(),
        Known::Absent => &[],
        Known::Unknown(why) => {
            findings.push(Finding::not_checked("what mounts the disks at boot", why));
            return;
        }
    };
    let units = match &host.units {
        Known::Known(units) => units.as_slice(),
        Known::Absent => &[],
        Known::Unknown(why) => {
            findings.push(Finding::not_checked("the order of units at boot", why));
            &[]
        }
    };
    let agents = || units.iter().filter(|unit| unit.name != OURS);
    for (root, mount) in mounted(examined) {
        let point = &mount.mount_point;
        // That of the system is mounted by whoever starts it.
        if point.as_bytes() == b"/" {
            continue;
        }
        let Some(kept) = mounts.iter().find(|kept| kept.mount_point == *point) else {
            findings.push(Finding::new(
                Code::MountNotKept,
                root.disk.to_string(),
                format!("neither /etc/fstab nor a mount unit has {point}"),
            ));
            continue;
        };
        let has = |option: &str| kept.options.iter().any(|one| one == option);
        if has("noauto") {
            findings.push(Finding::new(
                Code::MountNotKept,
                root.disk.to_string(),
                format!("{} has it with noauto", kept.from),
            ));
        }
        let not_awaited = has("nofail") || has("noauto");
        for unit in agents()
            .filter(|unit| !waits_for(unit, point) && (not_awaited || !awaits_local_disks(unit)))
        {
            let why = if not_awaited {
                format!(
                    "{} has it with nofail or noauto, so that nobody waits for it",
                    kept.from
                )
            } else {
                "it has DefaultDependencies=no".to_owned()
            };
            findings.push(Finding::new(
                Code::AgentBeforeMounts,
                root.disk.to_string(),
                format!(
                    "{} ({}) does not wait for {point}: {why}",
                    unit.name, unit.file
                ),
            ));
        }
    }
    if let Some(ours) = units.iter().find(|unit| unit.name == OURS) {
        for agent in agents() {
            if !ours.before.contains(&agent.name) && !agent.after.iter().any(|one| one == OURS) {
                findings.push(Finding::new(
                    Code::ResourcesAfterAgent,
                    agent.name.clone(),
                    format!("{} does not have it in Before=", ours.file),
                ));
            }
        }
    }
}

/// The unit that writes the agent's resources.
const OURS: &str = "mesos-volumed-resources.service";

fn waits_for(unit: &UnitOrder, point: &Raw) -> bool {
    let escaped = point.as_str().map(|point| {
        format!(
            "{}.mount",
            point
                .trim_matches('/')
                .replace('-', "\\x2d")
                .replace('/', "-")
        )
    });
    unit.mounts
        .iter()
        .any(|path| Raw::from(path.as_str()).below(point).is_some())
        || escaped.is_some_and(|escaped| unit.after.contains(&escaped))
}

/// Services wait for `local-fs.target` by default (systemd.service(5)).
fn awaits_local_disks(unit: &UnitOrder) -> bool {
    unit.defaults || unit.after.iter().any(|one| one == "local-fs.target")
}

fn gate(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let facts = examined.patient.facts;
    match &facts.gate.closed_for {
        Known::Known(roots) => {
            let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
            findings.push(Finding::new(
                Code::GateClosed,
                "gate.json",
                format!("it was closed to empty {}", roots.join(", ")),
            ));
        }
        Known::Unknown(why) => {
            findings.push(Finding::new(Code::GateClosed, "gate.json", why.to_string()));
        }
        Known::Absent => {}
    }
    let has_mounts = facts
        .roots
        .iter()
        .any(|root| root.kind() == DiskType::Mount);
    if !has_mounts || facts.policy.start_gate {
        return;
    }
    match &facts.gate.unit {
        Known::Known(_) => {}
        Known::Absent => findings.push(Finding::new(
            Code::NoGate,
            "the agent's unit",
            "no unit of an agent runs `mesos-volumed preflight --gate` before each start",
        )),
        Known::Unknown(why) => {
            findings.push(Finding::not_checked(
                "whether the agent's unit waits at the gate",
                why,
            ));
        }
    }
}
